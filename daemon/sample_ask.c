/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample_inside.h"

#include <inttypes.h>
#include <math.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

enum {
    MAX_SIDE = 8192,            /* px, of the plot */
    MAX_TARGET = 4000,          /* lines */
    MAX_ALWAYS = 256,           /* units */
    MAX_SHOWN_BYTES = 32 << 20, /* of the columns of shown lines */
    BYTES_A_LINE = 480,         /* that the sampler takes, see sample.h */
    BYTES_A_PIXEL = 16          /* of the density */
};

static int check_tensor(
    const struct thing *thing, const Baro__SampleRequest *request, struct baro_err *err)
{
    const Baro__Declare *declare = thing->declare;
    if (!declare->is_tensor) {
        return baro_err_set(err, BARO_EINVAL,
            "'%.100s' is a scalar: only units of a tensor are sampled", declare->name);
    }
    if (declare->n_units == 0) {
        return baro_err_set(err, BARO_EINVAL,
            "'%.100s' has no statistics of units: it has no axis of them, or more than %d "
            "along it",
            declare->name, READING_MAX_UNITS);
    }
    int n_stats = reading_unit_stats((enum baro_role)declare->role);
    if (request->stat >= (uint32_t)n_stats) {
        return baro_err_set(err, BARO_EINVAL,
            "units of '%.100s' have %d statistics; number %" PRIu32 " was asked for",
            declare->name, n_stats, request->stat);
    }
    return 0;
}

static int check_sizes(
    const Baro__SampleRequest *request, uint32_t n_units, struct baro_err *err)
{
    if (request->columns == 0 || request->columns > MAX_SIDE || request->height == 0 ||
        request->height > MAX_SIDE) {
        return baro_err_set(err, BARO_EINVAL,
            "a plot of %" PRIu32 " x %" PRIu32
            " pixels was asked for; each side has 1 to %d",
            request->columns, request->height, MAX_SIDE);
    }
    if (request->target > MAX_TARGET) {
        return baro_err_set(err, BARO_EINVAL,
            "%" PRIu32 " lines were asked for; a sample has at most %d", request->target,
            MAX_TARGET);
    }
    if (request->from_step > request->to_step) {
        return baro_err_set(err, BARO_EINVAL,
            "the first step asked for, %" PRId64 ", is behind the last, %" PRId64,
            request->from_step, request->to_step);
    }
    if (request->n_keep > n_units || request->n_always > MAX_ALWAYS) {
        return baro_err_set(err, BARO_EINVAL,
            "%zu units to keep and %zu to show always, of %" PRIu32
            "; at most all can be kept, and %d shown always",
            request->n_keep, request->n_always, n_units, MAX_ALWAYS);
    }
    return 0;
}

static int take_axis(
    struct sample_ask *ask, const Baro__SampleRequest *request, struct baro_err *err)
{
    if (request->axis > AXIS_SYMLOG) {
        return baro_err_set(err, BARO_EINVAL,
            "axis %" PRIu32 " is none: 0 is linear, 1 log, 2 symlog", request->axis);
    }
    ask->kind = (enum axis_kind)request->axis;
    ask->has_limits = request->has_limits;
    if (!ask->has_limits) {
        return 0;
    }
    ask->limits = (struct axis){.kind = ask->kind,
        .lo = request->lo,
        .hi = request->hi,
        .linear_to = request->linear_to};
    bool is_good = isfinite(request->lo) && isfinite(request->hi) &&
                   request->lo < request->hi && isfinite(request->hi - request->lo) &&
                   (ask->kind != AXIS_LOG || request->lo > 0) &&
                   (ask->kind != AXIS_SYMLOG ||
                       (request->linear_to > 0 && isfinite(request->linear_to)));
    return is_good ? 0
                   : baro_err_set(err, BARO_EINVAL,
                         "an axis from %g to %g, linear to %g, cannot be", request->lo,
                         request->hi, request->linear_to);
}

/* Copy units; 0 or a code. */
static int take_units(uint32_t **out, size_t *out_n, const uint32_t *units, size_t n,
    uint32_t n_units, struct baro_err *err)
{
    *out = baro_xcalloc(n + 1, sizeof **out);
    *out_n = n;
    for (size_t i = 0; i < n; i++) {
        if (units[i] >= n_units) {
            return baro_err_set(err, BARO_EINVAL,
                "unit %" PRIu32 " is to be shown, of a tensor of %" PRIu32, units[i],
                n_units);
        }
        (*out)[i] = units[i];
    }
    return 0;
}

int sample_ask_take(struct sample_ask *ask, struct sample_source *source,
    const struct thing *thing, uint32_t run, const Baro__SampleRequest *request,
    struct baro_err *err)
{
    if (thing == NULL) {
        return baro_err_set(err, BARO_ENOENT, "run %" PRIu32 " has no series %" PRIu32, run,
            request->thing);
    }
    int rc = check_tensor(thing, request, err);
    const uint32_t n_units = thing->declare->n_units;
    rc = rc != 0 ? rc : check_sizes(request, n_units, err);
    rc = rc != 0 ? rc : take_axis(ask, request, err);
    if (rc != 0) {
        return rc;
    }
    source->stat = request->stat;
    source->n_units = n_units;
    ask->from_step = request->from_step;
    ask->to_step = request->to_step;
    ask->n_columns = request->columns;
    ask->height = request->height;
    ask->target = request->target;
    ask->seed = request->seed;
    ask->is_live = request->is_live;
    ask->is_packed = request->packing == WIRE_PACKED;
    rc = take_units(&ask->keep, &ask->n_keep, request->keep, request->n_keep, n_units, err);
    return rc != 0 ? rc
                   : take_units(&ask->always, &ask->n_always, request->always,
                         request->n_always, n_units, err);
}

size_t sample_ask_bytes(const struct sample_ask *ask, size_t n_units)
{
    const size_t width =
        ask->n_columns < SAMPLE_MAX_DENSITY_SIDE ? ask->n_columns : SAMPLE_MAX_DENSITY_SIDE;
    const size_t height =
        ask->height < SAMPLE_MAX_DENSITY_SIDE ? ask->height : SAMPLE_MAX_DENSITY_SIDE;
    return sample_lines_bytes(n_units, POLYLINE_MAX_COLUMNS) + n_units * BYTES_A_LINE +
           sample_rows_bytes((uint32_t)n_units) + (size_t)2 * MAX_SHOWN_BYTES +
           width * height * BYTES_A_PIXEL +
           SAMPLE_SLICE_UNITS * POLYLINE_MAX_COLUMNS * sizeof(struct column);
}

uint32_t sample_ask_columns(const struct sample_ask *ask, size_t n_shown)
{
    uint32_t n = ask->n_columns;
    while (n > 1 && n_shown * n * sizeof(struct column) > MAX_SHOWN_BYTES) {
        n = (n + 1) / 2;
    }
    return n;
}
