/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_pick.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_walk.h"
#include "lib/base/mem.h"

/*
 * Each output element is the source's element at a place that indices say. First the places are
 * worked out, then all modes are loops over them.
 *
 *  value     the share goes to the element; of an embedding to the index, for it is the data
 *  gradient  likewise to the element; equal indices add up
 *  change    with places p now and q before the change is x1[p] - x0[q]. By Shapley's rule the
 *            source has (x1[p] - x0[p] + x1[q] - x0[q]) / 2, so half of the multiplier at either
 *            place; the indices have the rest, evenly if there are several that changed.
 *
 * Worked number (tests/unit/test_credit_rules.c repeats it): rows of a table were (1, 2), are
 * (1.5, 2); index 0 before, 1 now: 2 - 1 = 1, of it the table 0.25, the index 0.75.
 */

enum { INDICES = BARO_MAX_DIMS, NOWHERE = -1 };

/* Where the elements of an output are. */
struct places {
    int64_t n;
    int64_t *source;         /* place in the source as kept; NOWHERE: not kept */
    int64_t *index[INDICES]; /* place in each index; NULL: that one is not an operand */
    uint32_t index_at[INDICES];
    int n_indices;
};

/* One side, now or before, of an operation. */
struct side {
    const struct credit_io *io;
    const struct probe *probe;
    const struct credit_array *in;
    const struct credit_array *out;
};

static bool has(const struct side *side, uint32_t k)
{
    return k < side->io->n_in && side->in[k].value != NULL;
}

/* Where a full place along an axis is among what was kept; NOWHERE: not. */
static int64_t kept_place(
    const struct side *side, const struct credit_array *array, int axis, double index)
{
    const int64_t most = array->value->shape[axis];
    if (!(index >= (double)-most && index < (double)most)) {
        return NOWHERE;
    }
    const int64_t full = (int64_t)index < 0 ? (int64_t)index + most : (int64_t)index;
    if (array->shape[axis] == most) {
        return full;
    }
    const int64_t each = most / side->probe->n_batch;
    for (int64_t r = 0; r < array->shape[axis] / each; r++) {
        if (side->probe->rows[r] == full / each) {
            return r * each + full % each;
        }
    }
    return NOWHERE;
}

static void strides_of(const struct credit_array *array, int64_t out[BARO_MAX_DIMS])
{
    int64_t step = 1;
    for (int d = array->n_dims - 1; d >= 0; d--) {
        out[d] = step;
        step *= array->shape[d];
    }
}

static void coordinates(
    const struct credit_array *array, int64_t at, int64_t out[BARO_MAX_DIMS])
{
    for (int d = array->n_dims - 1; d >= 0; d--) {
        out[d] = at % array->shape[d];
        at /= array->shape[d];
    }
}

static void add_index(struct places *places, uint32_t at)
{
    places->index_at[places->n_indices] = at;
    places->index[places->n_indices++] =
        baro_xcalloc((size_t)places->n, sizeof *places->index[0]);
}

/* index_select, embedding: the source's slice along an axis at one index; gather: each element. */
static int find_along(const struct side *side, uint32_t source_at, int axis,
    uint32_t index_at, bool is_gather, struct places *places)
{
    const struct credit_array *source = &side->in[source_at];
    const struct credit_array *index = &side->in[index_at];
    if (index->x == NULL || axis < 0) {
        return axis < 0 ? BARO_EUNSUPPORTED : BARO_ENOENT;
    }
    int64_t inner = 1;
    for (int d = axis + 1; d < source->n_dims; d++) {
        inner *= source->shape[d];
    }
    const int64_t outer_step = source->shape[axis] * inner;
    if (!is_gather &&
        side->out->n != source->n / (outer_step > 0 ? outer_step : 1) * index->n * inner) {
        return BARO_EUNSUPPORTED;
    }
    if (is_gather && (index->n != side->out->n || index->n_dims != source->n_dims)) {
        return BARO_EUNSUPPORTED;
    }
    int64_t step[BARO_MAX_DIMS];
    strides_of(source, step);
    add_index(places, index_at);
    for (int64_t i = 0; i < places->n; i++) {
        const int64_t which = is_gather ? i : i / inner % index->n;
        const int64_t along = kept_place(side, source, axis, (double)index->x[which]);
        int64_t at = i / inner / (is_gather ? 1 : index->n) * outer_step + i % inner;
        if (is_gather) {
            int64_t place[BARO_MAX_DIMS];
            coordinates(index, i, place);
            at = 0;
            for (int d = 0; d < source->n_dims; d++) {
                at += d == axis ? 0 : place[d] * step[d];
            }
        }
        places->index[0][i] = which;
        places->source[i] = along == NOWHERE ? NOWHERE : at + along * inner;
    }
    return 0;
}

/* A mask: the source's elements (or what is below them) where it is true, in order. */
static int find_masked(
    const struct side *side, uint32_t mask_at, int front, struct places *places)
{
    const struct credit_array *source = &side->in[0];
    const struct credit_array *mask = &side->in[mask_at];
    if (mask->x == NULL) {
        return BARO_ENOENT;
    }
    int64_t outer = 1;
    int64_t inner = 1;
    for (int d = 0; d < source->n_dims; d++) {
        outer *= d < front ? source->shape[d] : 1;
        inner *= d >= front + mask->n_dims ? source->shape[d] : 1;
        if (d >= front && d < front + mask->n_dims &&
            mask->shape[d - front] != source->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
    }
    if (front + mask->n_dims > source->n_dims) {
        return BARO_EUNSUPPORTED;
    }
    add_index(places, mask_at);
    int64_t i = 0;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t m = 0; m < mask->n; m++) {
            for (int64_t j = 0; j < inner && mask->x[m] != 0; j++, i++) {
                if (i >= places->n) {
                    return BARO_EUNSUPPORTED;
                }
                places->source[i] = (o * mask->n + m) * inner + j;
                places->index[0][i] = m;
            }
        }
    }
    return i == places->n ? 0 : BARO_EUNSUPPORTED;
}

/* Several indices at once: their common shape, and where it stands among the output's axes. */
struct spread {
    int n_dims;
    int64_t shape[BARO_MAX_DIMS];
    int front;       /* of the output */
    int first, last; /* axes of the source that have indices */
};

static int find_spread(
    const struct side *side, uint32_t begin, uint32_t end, struct spread *spread)
{
    *spread = (struct spread){.first = -1};
    bool is_together = true;
    for (uint32_t k = begin; k < end; k++) {
        if (!has(side, k)) {
            continue;
        }
        const struct credit_array *index = &side->in[k];
        const int axis = (int)(k - begin);
        if (index->x == NULL || axis >= side->in[0].n_dims) {
            return index->x == NULL ? BARO_ENOENT : BARO_EUNSUPPORTED;
        }
        is_together = is_together && (spread->first < 0 || spread->last == axis - 1);
        spread->first = spread->first < 0 ? axis : spread->first;
        spread->last = axis;
        const int grown = index->n_dims > spread->n_dims ? index->n_dims : spread->n_dims;
        int64_t shape[BARO_MAX_DIMS];
        for (int d = 1; d <= grown; d++) {
            const int64_t a = d <= spread->n_dims ? spread->shape[spread->n_dims - d] : 1;
            const int64_t b = d <= index->n_dims ? index->shape[index->n_dims - d] : 1;
            if (a != b && a != 1 && b != 1) {
                return BARO_EUNSUPPORTED;
            }
            shape[grown - d] = a > b ? a : b;
        }
        memcpy(spread->shape, shape, sizeof shape);
        spread->n_dims = grown;
    }
    spread->front = is_together ? spread->first : 0;
    return spread->first < 0 ? BARO_EUNSUPPORTED : 0;
}

/* Where in an index the place of the common shape is. */
static int64_t index_place(
    const struct credit_array *index, const struct spread *spread, const int64_t *place)
{
    int64_t at = 0;
    for (int d = 0; d < index->n_dims; d++) {
        const int64_t along = place[spread->n_dims - index->n_dims + d];
        at = at * index->shape[d] + (index->shape[d] == 1 ? 0 : along);
    }
    return at;
}

/* x[i, j, :]: places of a result of that shape in the source (or in what is written to). */
static int find_indexed(const struct side *side, uint32_t begin, uint32_t end,
    const struct credit_array *result, struct places *places)
{
    const struct credit_array *source = &side->in[0];
    struct spread spread;
    const int rc = find_spread(side, begin, end, &spread);
    int n_axes = 0;
    for (uint32_t k = begin; k < end; k++) {
        n_axes += has(side, k) ? 1 : 0;
    }
    if (rc != 0 || result->n_dims != source->n_dims - n_axes + spread.n_dims) {
        return rc != 0 ? rc : BARO_EUNSUPPORTED;
    }
    for (uint32_t k = begin; k < end; k++) {
        if (has(side, k)) {
            add_index(places, k);
        }
    }
    int64_t step[BARO_MAX_DIMS];
    strides_of(source, step);
    for (int64_t i = 0; i < places->n; i++) {
        int64_t place[BARO_MAX_DIMS];
        coordinates(result, i, place);
        int64_t at = 0;
        int next = 0; /* axis of the result */
        int which = 0;
        for (int d = 0; d < source->n_dims && at != NOWHERE; d++) {
            const uint32_t k = begin + (uint32_t)d;
            if (k >= end || !has(side, k)) {
                next += next == spread.front ? spread.n_dims : 0;
                at += place[next++] * step[d];
                continue;
            }
            const int64_t in_index =
                index_place(&side->in[k], &spread, place + spread.front);
            const int64_t along =
                kept_place(side, source, d, (double)side->in[k].x[in_index]);
            places->index[which++][i] = in_index;
            at = along == NOWHERE ? NOWHERE : at + along * step[d];
        }
        places->source[i] = at;
    }
    return 0;
}

static int axis_of(const struct credit_io *io, const struct credit_array *array)
{
    const int64_t axis = credit_attr_int(io, "dim", 0, 0);
    const int64_t from_front = axis < 0 ? axis + array->n_dims : axis;
    return from_front >= 0 && from_front < array->n_dims ? (int)from_front : -1;
}

static bool is_mask(const struct credit_array *array)
{
    return array->value->dtype == BARO_BOOL ||
           array->value->dtype == BARO_U8; /* as torch takes it */
}

static void finish(struct places *places)
{
    free(places->source);
    for (int k = 0; k < places->n_indices; k++) {
        free(places->index[k]);
    }
    *places = (struct places){0};
}

static int find_by_name(const struct side *side, struct places *places)
{
    const struct credit_io *io = side->io;
    const struct credit_array *source = &side->in[0];
    if (credit_is_named(io, "embedding")) {
        return source->n_dims == 2 ? find_along(side, 0, 0, 1, false, places)
                                   : BARO_EUNSUPPORTED;
    }
    if (credit_is_named(io, "index_select")) {
        return find_along(side, 0, axis_of(io, source), 1, false, places);
    }
    if (credit_is_named(io, "gather") || credit_is_named(io, "take_along_dim")) {
        return find_along(side, 0, axis_of(io, source), 1, true, places);
    }
    if (credit_is_named(io, "masked_select")) {
        return find_masked(side, 1, 0, places);
    }
    if (!credit_is_named(io, "index")) {
        return BARO_EUNSUPPORTED;
    }
    uint32_t mask_at = 0;
    int n_given = 0;
    for (uint32_t k = 1; k < io->n_in; k++) {
        if (has(side, k)) {
            n_given++;
            mask_at = is_mask(&side->in[k]) ? k : mask_at;
        }
    }
    if (mask_at > 0) {
        return n_given == 1 ? find_masked(side, mask_at, (int)mask_at - 1, places)
                            : BARO_EUNSUPPORTED;
    }
    return find_indexed(side, 1, io->n_in, side->out, places);
}

static int find(const struct credit_io *io, bool is_before, struct places *places)
{
    const struct side side = {.io = io,
        .probe = is_before ? io->probe0 : io->probe,
        .in = is_before ? io->in0 : io->in,
        .out = is_before ? io->out0 : io->out};
    *places = (struct places){0};
    if (!has(&side, 0) || !has(&side, 1) || side.out[0].value == NULL) {
        if (!has(&side, 0) || io->n_in < 2 || side.out[0].value == NULL) {
            return BARO_EUNSUPPORTED;
        }
    }
    places->n = side.out[0].n;
    places->source = baro_xcalloc((size_t)places->n, sizeof *places->source);
    const int rc = find_by_name(&side, places);
    if (rc != 0) {
        finish(places);
    }
    return rc;
}

/* Add what came to each output element to its source. */
static void add_back(
    const struct places *places, const float *from, float *to, float factor)
{
    for (int64_t i = 0; i < places->n && to != NULL; i++) {
        if (places->source[i] != NOWHERE) {
            to[places->source[i]] += factor * from[i];
        }
    }
}

int credit_pick_value(const struct credit_io *io)
{
    struct places places;
    const int rc = find(io, false, &places);
    if (rc != 0 || io->of_out[0] == NULL) {
        if (rc == 0) {
            finish(&places);
        }
        return rc;
    }
    float *to_index = places.n_indices == 1 ? io->of_in[places.index_at[0]] : NULL;
    if (credit_is_named(io, "embedding") && to_index != NULL && !io->in[1].is_fixed) {
        for (int64_t i = 0; i < places.n; i++) {
            to_index[places.index[0][i]] += io->of_out[0][i];
        }
    } else {
        add_back(&places, io->of_out[0], io->of_in[0], 1);
    }
    finish(&places);
    return 0;
}

int credit_pick_gradient(const struct credit_io *io)
{
    struct places places;
    const int rc = find(io, false, &places);
    if (rc != 0) {
        return rc;
    }
    if (io->of_out[0] != NULL) {
        add_back(&places, io->of_out[0], io->of_in[0], 1);
    }
    finish(&places);
    return 0;
}

int credit_pick_forward(const struct credit_io *io)
{
    struct places places;
    const int rc = find(io, false, &places);
    if (rc != 0) {
        return rc;
    }
    const float *from = io->tangent_in[0];
    float *to = io->tangent_out[0];
    for (int64_t i = 0; i < places.n && from != NULL && to != NULL; i++) {
        to[i] += places.source[i] != NOWHERE ? from[places.source[i]] : 0;
    }
    finish(&places);
    return 0;
}

/* What other indices did to one element goes to those that are other. */
static void change_indices(const struct credit_io *io, const struct places *now,
    const struct places *before, int64_t i, double effect)
{
    double changed[INDICES] = {0};
    int n = 0;
    for (int k = 0; k < now->n_indices; k++) {
        const uint32_t at = now->index_at[k];
        changed[k] = (double)io->in[at].x[now->index[k][i]] -
                     (double)io->in0[at].x[before->index[k][i]];
        const bool is_same = now->index[k][i] == before->index[k][i];
        changed[k] = is_same && io->of_in[at] != NULL ? changed[k] : 0;
        n += changed[k] != 0;
    }
    for (int k = 0; k < now->n_indices; k++) {
        if (changed[k] != 0) {
            io->of_in[now->index_at[k]][now->index[k][i]] +=
                (float)(effect / changed[k] / n);
        }
    }
    if (n == 0) {
        io->own[CREDIT_OWN_UNKNOWN] += effect;
    }
}

static int change(
    const struct credit_io *io, const struct places *now, const struct places *before)
{
    const float *x1 = io->in[0].x;
    const float *x0 = io->in0[0].x;
    if (x1 == NULL || x0 == NULL || now->n != before->n) {
        return BARO_ENOENT;
    }
    add_back(now, io->of_out[0], io->of_in[0], 0.5f);
    add_back(before, io->of_out[0], io->of_in[0], 0.5f);
    for (int64_t i = 0; i < now->n; i++) {
        const int64_t p = now->source[i];
        const int64_t q = before->source[i];
        if (p == q || p == NOWHERE || q == NOWHERE || io->of_out[0][i] == 0) {
            continue;
        }
        const double effect =
            0.5 * ((double)x1[p] - (double)x1[q] + (double)x0[p] - (double)x0[q]);
        change_indices(io, now, before, i, (double)io->of_out[0][i] * effect);
    }
    return 0;
}

int credit_pick_change(const struct credit_io *io)
{
    struct places now;
    struct places before;
    int rc = find(io, false, &now);
    if (rc != 0) {
        return rc;
    }
    rc = find(io, true, &before);
    if (rc == 0 && io->of_out[0] != NULL) {
        rc = change(io, &now, &before);
    }
    finish(&before);
    finish(&now);
    return rc;
}

/*
 * Writing. y = x, but at the places that indices say the elements of another operand, spread over
 * them, instead of what was there or added to it. Of several that are written to one place the last
 * one counts.
 */
struct put {
    struct places places; /* in y of each element that is written */
    int64_t *what_at;     /* place in the operand that is written */
    uint32_t what;        /* that operand; n_in: a number */
    bool is_added;
};

static void finish_put(struct put *put)
{
    finish(&put->places);
    free(put->what_at);
    put->what_at = NULL;
}

/* The shape that is written by x[i, j, :] = what. */
static int indexed_shape(
    const struct side *side, uint32_t end, struct credit_array *out_result)
{
    struct spread spread;
    const int rc = find_spread(side, 1, end, &spread);
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
        if (d < source->n_dims && (d + 1 >= (int)end || !has(side, (uint32_t)d + 1)) &&
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
static int masked_shape(const struct side *side, struct credit_array *out_result)
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
    const struct side *side, struct put *put, const struct credit_array *result)
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
        if (source[i] == NOWHERE) {
            continue;
        }
        int64_t *held = &last[source[i]];
        if (*held > 0) {
            source[*held - 1] = NOWHERE;
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

static int find_put_places(struct side *side, struct put *put)
{
    const struct credit_io *io = side->io;
    struct places *places = &put->places;
    struct credit_array result;
    const bool by_mask =
        !is_scatter(io) && io->n_in == 3 && has(side, 1) && is_mask(&side->in[1]);
    int rc = 0;
    if (is_scatter(io) || is_sliced(io)) {
        if (!has(side, 1) || (is_sliced(io) && !has(side, 2))) {
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
        rc = find_along(side, 0, axis_of(io, &side->in[0]), 1, is_scatter(io), places);
    } else if (by_mask) {
        rc = find_masked(side, 1, 0, places);
    } else {
        rc = find_indexed(side, 1, io->n_in - 1, &result, places);
    }
    return rc != 0 ? rc : spread_what(side, put, &result);
}

static int find_put(const struct credit_io *io, bool is_before, struct put *put)
{
    struct side side = {.io = io,
        .probe = is_before ? io->probe0 : io->probe,
        .in = is_before ? io->in0 : io->in,
        .out = is_before ? io->out0 : io->out};
    *put = (struct put){.is_added = credit_attr_int(io, "accumulate", 0, 0) != 0 ||
                                    credit_is_named(io, "scatter_add") ||
                                    credit_is_named(io, "index_add")};
    const int64_t n = side.out[0].n;
    if (io->n_in < 2 || !has(&side, 0) || side.out[0].value == NULL || side.in[0].n != n ||
        strstr(io->op->attrs, "reduce=") != NULL || credit_attr(io, "alpha", 0, 1) != 1) {
        return BARO_EUNSUPPORTED;
    }
    if (!is_scatter(io) && !is_sliced(io) && !credit_is_named(io, "index_put") &&
        !credit_is_named(io, "_unsafe_index_put") &&
        !credit_is_named(io, "_index_put_impl")) {
        return BARO_EUNSUPPORTED;
    }
    put->what = is_scatter(io) || is_sliced(io) ? 2 : io->n_in - 1;
    if (is_scatter(io) && !has(&side, 2)) {
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
        if (put->places.source[i] != NOWHERE) {
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
    const double eps = credit_eps(y, io->out[0].n);
    baro_autofree float *s = baro_xcalloc((size_t)io->out[0].n, sizeof *s);
    for (int64_t i = 0; i < io->out[0].n; i++) {
        s[i] = (float)credit_ratio((double)io->of_out[0][i], (double)y[i], eps);
        if (io->of_in[0] != NULL && s[i] != 0) {
            io->of_in[0][i] += s[i] * x[i];
        }
    }
    for (int64_t i = 0; io->of_in[put->what] != NULL && i < put->places.n; i++) {
        const int64_t at = put->places.source[i];
        if (at != NOWHERE && s[at] != 0) {
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
        if (put->places.source[i] == NOWHERE) {
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
        if (put.places.source[i] != NOWHERE) {
            to[put.places.source[i]] += what[put.what_at[i]];
        }
    }
    finish_put(&put);
    return 0;
}
