/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_pick.h"
#include "lib/analysis/credit_places.h"
#include "lib/analysis/credit_walk.h"
#include "lib/base/mem.h"

/*
 * Writing. y = x, but at the places that indices say the elements of another operand, spread over
 * them, instead of what was there or added to it. Of several that are written to one place the last
 * one counts.
 */
struct put {
    struct credit_places places; /* in y of each element that is written */
    int64_t *what_at;            /* place in the operand that is written */
    uint32_t what;               /* that operand; n_in: a number */
    bool is_added;
};

static void finish_put(struct put *put)
{
    credit_places_finish(&put->places);
    free(put->what_at);
    put->what_at = NULL;
}

/* The shape that is written by x[i, j, :] = what. */
static int indexed_shape(
    const struct credit_side *side, uint32_t end, struct credit_array *out_result)
{
    struct credit_spread spread;
    const int rc = credit_find_spread(side, 1, end, &spread);
    if (rc != 0) {
        return rc;
    }
    const struct credit_array *source = &side->in[0];
    *out_result = (struct credit_array){.n = 1, .value = source->value};
    for (int d = 0; d <= source->n_dims; d++) {
        if (out_result->n_dims == spread.front && d >= spread.front &&
            (d == spread.first || spread.front == 0) && spread.n_dims >= 0) {
            for (int s = 0; s < spread.n_dims && out_result->n_dims < BARO_MAX_DIMS; s++) {
                out_result->shape[out_result->n_dims++] = spread.shape[s];
            }
            spread.n_dims = -1; /* once */
        }
        if (d < source->n_dims &&
            (d + 1 >= (int)end || !credit_side_has(side, (uint32_t)d + 1)) &&
            out_result->n_dims < BARO_MAX_DIMS) {
            out_result->shape[out_result->n_dims++] = source->shape[d];
        }
    }
    for (int d = 0; d < out_result->n_dims; d++) {
        out_result->n *= out_result->shape[d];
    }
    return 0;
}

/* What is written under a mask: one element, or one for each place. */
static int masked_shape(const struct credit_side *side, struct credit_array *out_result)
{
    const struct credit_array *mask = &side->in[1];
    if (mask->x == NULL) {
        return BARO_ENOENT;
    }
    int64_t n = 0;
    for (int64_t i = 0; i < mask->n; i++) {
        n += mask->x[i] != 0;
    }
    *out_result = (struct credit_array){.n_dims = 1, .n = n, .value = mask->value};
    out_result->shape[0] = n;
    for (int d = mask->n_dims; d < side->in[0].n_dims; d++) {
        out_result->shape[out_result->n_dims++] = side->in[0].shape[d];
        out_result->n *= side->in[0].shape[d];
    }
    return 0;
}

/* Spread the operand that is written over the places. */
static int spread_what(
    const struct credit_side *side, struct put *put, const struct credit_array *result)
{
    put->what_at = baro_xcalloc((size_t)result->n, sizeof *put->what_at);
    if (put->what >= side->io->n_in) {
        return 0;
    }
    const struct credit_array *what = &side->in[put->what];
    struct credit_walk walk;
    const int rc = credit_walk_begin(&walk, result, &what, 1);
    for (int64_t i = 0; i < result->n && rc == 0; i++, credit_walk_next(&walk)) {
        put->what_at[i] = walk.offset[0];
    }
    return rc;
}

/* Where two are written to one place only the last is. */
static void keep_last(const struct put *put, int64_t n)
{
    baro_autofree int64_t *last = baro_xcalloc((size_t)n, sizeof *last);
    int64_t *source = put->places.source;
    for (int64_t i = 0; i < put->places.n; i++) {
        if (source[i] == CREDIT_NOWHERE) {
            continue;
        }
        int64_t *held = &last[source[i]];
        if (*held > 0) {
            source[*held - 1] = CREDIT_NOWHERE;
        }
        *held = i + 1;
    }
}

static bool is_scatter(const struct credit_io *io)
{
    return credit_is_named(io, "scatter") || credit_is_named(io, "scatter_add");
}

/* index_add, index_copy: slices along an axis. */
static bool is_sliced(const struct credit_io *io)
{
    return credit_is_named(io, "index_add") || credit_is_named(io, "index_copy");
}

static int find_put_places(struct credit_side *side, struct put *put)
{
    const struct credit_io *io = side->io;
    struct credit_places *places = &put->places;
    struct credit_array result;
    const bool by_mask = !is_scatter(io) && io->n_in == 3 && credit_side_has(side, 1) &&
                         credit_is_mask(&side->in[1]);
    int rc = 0;
    if (is_scatter(io) || is_sliced(io)) {
        if (!credit_side_has(side, 1) || (is_sliced(io) && !credit_side_has(side, 2))) {
            return BARO_EUNSUPPORTED;
        }
        result = side->in[is_sliced(io) ? 2 : 1];
    } else if ((rc = by_mask ? masked_shape(side, &result)
                             : indexed_shape(side, io->n_in - 1, &result)) != 0) {
        return rc;
    }
    places->n = result.n;
    places->source = baro_xcalloc((size_t)places->n, sizeof *places->source);
    side->out = &result;
    if (is_scatter(io) || is_sliced(io)) {
        rc = credit_find_along(
            side, 0, credit_axis_argument(io, &side->in[0]), 1, is_scatter(io), places);
    } else if (by_mask) {
        rc = credit_find_masked(side, 1, 0, places);
    } else {
        rc = credit_find_indexed(side, 1, io->n_in - 1, &result, places);
    }
    rc = rc != 0 ? rc : spread_what(side, put, &result);
    side->out = NULL;
    return rc;
}

static int find_put(const struct credit_io *io, bool is_before, struct put *put)
{
    struct credit_side side = {.io = io,
        .probe = is_before ? io->probe0 : io->probe,
        .in = is_before ? io->in0 : io->in,
        .out = is_before ? io->out0 : io->out};
    *put = (struct put){.is_added = credit_attr_int(io, "accumulate", 0, 0) != 0 ||
                                    credit_is_named(io, "scatter_add") ||
                                    credit_is_named(io, "index_add")};
    const int64_t n = side.out[0].n;
    if (io->n_in < 2 || !credit_side_has(&side, 0) || side.out[0].value == NULL ||
        side.in[0].n != n || strstr(io->op->attrs, "reduce=") != NULL ||
        credit_attr(io, "alpha", 0, 1) != 1) {
        return BARO_EUNSUPPORTED;
    }
    if (!is_scatter(io) && !is_sliced(io) && !credit_is_named(io, "index_put") &&
        !credit_is_named(io, "_unsafe_index_put") &&
        !credit_is_named(io, "_index_put_impl")) {
        return BARO_EUNSUPPORTED;
    }
    put->what = is_scatter(io) || is_sliced(io) ? 2 : io->n_in - 1;
    if (is_scatter(io) && !credit_side_has(&side, 2)) {
        put->what = io->n_in; /* a number */
    }
    const int rc = find_put_places(&side, put);
    if (rc != 0) {
        finish_put(put);
    } else if (!put->is_added) {
        keep_last(put, n);
    }
    return rc;
}

static bool *find_written(const struct credit_io *io, const struct put *put)
{
    bool *is_written = baro_xcalloc((size_t)io->out[0].n, sizeof *is_written);
    for (int64_t i = 0; i < put->places.n; i++) {
        if (put->places.source[i] != CREDIT_NOWHERE) {
            is_written[put->places.source[i]] = !put->is_added;
        }
    }
    return is_written;
}

/* Value mode of adding: y = x + sum of what is written there, shared by the eps rule. */
static int share_added(const struct credit_io *io, const struct put *put)
{
    const float *y = io->out[0].x;
    const float *x = io->in[0].x;
    const float *what = put->what < io->n_in ? io->in[put->what].x : NULL;
    if (y == NULL || x == NULL || what == NULL) {
        return BARO_ENOENT;
    }
    const double eps = credit_eps(y, io->of_out[0], io->out[0].n);
    baro_autofree float *s = baro_xcalloc((size_t)io->out[0].n, sizeof *s);
    for (int64_t i = 0; i < io->out[0].n; i++) {
        s[i] = (float)credit_ratio((double)io->of_out[0][i], (double)y[i], eps);
        if (io->of_in[0] != NULL && s[i] != 0) {
            io->of_in[0][i] += s[i] * x[i];
        }
    }
    for (int64_t i = 0; io->of_in[put->what] != NULL && i < put->places.n; i++) {
        const int64_t at = put->places.source[i];
        if (at != CREDIT_NOWHERE && s[at] != 0) {
            io->of_in[put->what][put->what_at[i]] += s[at] * what[put->what_at[i]];
        }
    }
    return 0;
}

static void move_back(const struct credit_io *io, const struct put *put)
{
    const float *from = io->of_out[0];
    baro_autofree bool *is_written = find_written(io, put);
    for (int64_t i = 0; io->of_in[0] != NULL && i < io->out[0].n; i++) {
        io->of_in[0][i] += is_written[i] ? 0 : from[i];
    }
    float *what = put->what < io->n_in ? io->of_in[put->what] : NULL;
    double number = 0;
    for (int64_t i = 0; i < put->places.n; i++) {
        if (put->places.source[i] == CREDIT_NOWHERE) {
            continue;
        }
        if (what != NULL) {
            what[put->what_at[i]] += from[put->places.source[i]];
        } else {
            number += (double)from[put->places.source[i]];
        }
    }
    if (io->mode == CREDIT_VALUE && what == NULL) {
        io->own[CREDIT_OWN_BIAS] += number;
    }
}

int credit_put_back(const struct credit_io *io)
{
    struct put put;
    int rc = find_put(io, false, &put);
    if (rc != 0) {
        return rc;
    }
    if (io->of_out[0] != NULL && put.is_added && io->mode == CREDIT_VALUE) {
        rc = share_added(io, &put);
    } else if (io->of_out[0] != NULL) {
        move_back(io, &put);
    }
    finish_put(&put);
    return rc;
}

int credit_put_change(const struct credit_io *io)
{
    struct put now;
    struct put before;
    int rc = find_put(io, false, &now);
    if (rc != 0) {
        return rc;
    }
    rc = find_put(io, true, &before);
    if (rc == 0) {
        if (now.places.n != before.places.n ||
            memcmp(now.places.source, before.places.source,
                (size_t)now.places.n * sizeof *now.places.source) != 0) {
            rc = BARO_EUNSUPPORTED;
        } else if (io->of_out[0] != NULL) {
            move_back(io, &now);
        }
        finish_put(&before);
    }
    finish_put(&now);
    return rc;
}

int credit_put_forward(const struct credit_io *io)
{
    struct put put;
    const int rc = find_put(io, false, &put);
    float *to = io->tangent_out[0];
    if (rc != 0) {
        return rc;
    }
    baro_autofree bool *is_written = find_written(io, &put);
    const float *kept = io->tangent_in[0];
    for (int64_t i = 0; to != NULL && kept != NULL && i < io->out[0].n; i++) {
        to[i] += is_written[i] ? 0 : kept[i];
    }
    const float *what = put.what < io->n_in ? io->tangent_in[put.what] : NULL;
    for (int64_t i = 0; to != NULL && what != NULL && i < put.places.n; i++) {
        if (put.places.source[i] != CREDIT_NOWHERE) {
            to[put.places.source[i]] += what[put.what_at[i]];
        }
    }
    finish_put(&put);
    return 0;
}
