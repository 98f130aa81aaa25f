/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/base/tensor.h"
#include "lib/measure/encode.h"
#include "lib/push/due.h"
#include "lib/push/push.h"
#include "lib/simd/update.h"

/*
 * baro_update(): what a step of the optimiser did to a weight, as one summary and one reading of
 * units, of role BARO_UPDATE. Both come out of one pass, so that unit statistics cost next to
 * nothing more; they are left out when the governor says so, for what they take in the ring.
 */

/* Everything about one call. */
struct update {
    uint64_t now_ns;
    const struct thing *thing;
    struct baro_span before;
    struct baro_span after;
};

static struct baro_update_units columns_of(float *column, size_t n)
{
    return (struct baro_update_units){
        .delta = {.mean = column + UNIT_MEAN * n,
            .l2 = column + UNIT_L2 * n,
            .abs_max = column + UNIT_ABS_MAX * n,
            .frac_zero = column + UNIT_FRAC_ZERO * n,
            .n_nonfinite = column + UNIT_N_NONFINITE * n},
        .change = column + UNIT_CHANGE * n,
    };
}

static int put_summary(struct baro_run *run, const struct update *u,
    const struct baro_update_summary *summary, const struct baro_hist *hist)
{
    double stats[SUMMARY_STAT_COUNT];
    struct reading_bin bins[ENCODE_MAX_BINS];
    const struct encode_place place =
        encode_place(&u->after, summary->delta.first_bad, u->thing->unit_axis, false);
    encode_summary(stats, &summary->delta, hist, &place, u->after.dtype);
    stats[SUMMARY_UPDATE_RATIO] = summary->ratio;
    const struct ringfile_part parts[2] = {
        {stats, sizeof stats}, {bins, encode_bins(bins, hist) * sizeof bins[0]}};
    return push_put(run, u->now_ns, READING_SUMMARY, u->thing->id, parts, 2);
}

/* column: room for the unit statistics; NULL: none are put */
static int measure(struct baro_run *run, const struct update *u, float *column)
{
    struct baro_update_summary summary;
    struct baro_hist hist;
    const size_t n = u->thing->n_units;
    const struct baro_update_units units =
        column != NULL ? columns_of(column, n) : (struct baro_update_units){0};
    int rc = baro_summarise_update(&u->before, &u->after,
        column != NULL ? u->thing->unit_axis : BARO_NO_UNITS, &summary, &hist, &units);
    if (rc != 0) {
        return rc;
    }
    rc = put_summary(run, u, &summary, &hist);
    if (column == NULL) {
        return rc;
    }
    const struct ringfile_part part = {column, n * UNIT_STAT_MOST * sizeof *column};
    int units_rc = push_put(run, u->now_ns, READING_UNITS, u->thing->id, &part, 1);
    return rc != 0 ? rc : units_rc;
}

/* Check both tensors and find the thing; the update has the weight's name and axis. */
static int look_up(struct baro_run *run, const struct baro_tensor *before,
    const struct baro_tensor *after, struct baro_tensor *t, struct update *out)
{
    *t = *after;
    t->role = BARO_UPDATE;
    int rc = push_check_tensor(t);
    if (rc != 0) {
        return rc;
    }
    if (before->dtype != t->dtype || before->n_dims != t->n_dims ||
        (t->n_dims > 0 &&
            (before->shape == NULL || memcmp(before->shape, t->shape,
                                          (size_t)t->n_dims * sizeof *t->shape) != 0))) {
        return BARO_EINVAL;
    }
    if ((rc = baro_span_make(&out->before, t->dtype, before->data, t->n_dims, t->shape,
             before->strides, NULL)) != 0 ||
        (rc = baro_span_make(
             &out->after, t->dtype, t->data, t->n_dims, t->shape, t->strides, NULL)) != 0) {
        return rc;
    }
    const bool is_float = t->dtype == BARO_F32 || t->dtype == BARO_F64 ||
                          t->dtype == BARO_F16 || t->dtype == BARO_BF16;
    if (!is_float) {
        return BARO_EUNSUPPORTED;
    }
    const struct thing *named = t->id != 0 ? things_get(run->things, t->id) : NULL;
    if (named != NULL && named->is_tensor && named->role != BARO_UPDATE) {
        t->id = 0; /* it is the weight's own */
    }
    return push_find_tensor(run, t, &out->thing);
}

int baro_update(
    struct baro_run *run, const struct baro_tensor *before, const struct baro_tensor *after)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (before == NULL || after == NULL) {
        return BARO_EINVAL;
    }
    struct baro_tensor t;
    struct update u = {.now_ns = ticks_now_ns()};
    int rc = look_up(run, before, after, &t, &u);
    if (rc != 0) {
        return push_end(run, u.now_ns, rc);
    }
    uint32_t id = t.id != 0 ? t.id : u.thing->id;
    float *column = NULL;
    int slot = 0;
    bool is_busy = false;
    if (due_wants_units(run, id) && push_has_units(run, u.thing, &u.after, &t)) {
        column = push_take_scratch(run, &slot);
        is_busy = column == NULL;
    }
    uint64_t began_ns = ticks_now_ns();
    rc = measure(run, &u, column);
    due_book(run, id, ticks_now_ns() - began_ns, column != NULL);
    if (column != NULL) {
        push_leave_scratch(run, slot);
    }
    if (is_busy) {
        ringfile_count_dropped(run->ring, 1, 0);
        rc = rc != 0 ? rc : BARO_EBUSY;
    }
    return push_end(run, u.now_ns, rc);
}
