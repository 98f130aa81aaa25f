/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_places.h"

#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

bool credit_side_has(const struct credit_side *side, uint32_t k)
{
    return k < side->io->n_in && side->in[k].value != NULL;
}

/* Where a full place along an axis is among what was kept; CREDIT_NOWHERE: not. */
static int64_t kept_place(const struct credit_side *side, const struct credit_array *array,
    int axis, double index)
{
    const int64_t most = array->value->shape[axis];
    if (!(index >= (double)-most && index < (double)most)) {
        return CREDIT_NOWHERE;
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
    return CREDIT_NOWHERE;
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

static void add_index(struct credit_places *places, uint32_t at)
{
    places->index_at[places->n_indices] = at;
    places->index[places->n_indices++] =
        baro_xcalloc((size_t)places->n, sizeof *places->index[0]);
}

/* index_select, embedding: the source's slice along an axis at one index; gather: each element. */
int credit_find_along(const struct credit_side *side, uint32_t source_at, int axis,
    uint32_t index_at, bool is_gather, struct credit_places *places)
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
    int64_t step[BARO_MAX_DIMS] = {0};
    strides_of(source, step);
    add_index(places, index_at);
    for (int64_t i = 0; i < places->n; i++) {
        const int64_t which = is_gather ? i : i / inner % index->n;
        const int64_t along = kept_place(side, source, axis, (double)index->x[which]);
        int64_t at = i / inner / (is_gather ? 1 : index->n) * outer_step + i % inner;
        if (is_gather) {
            int64_t place[BARO_MAX_DIMS] = {0};
            coordinates(index, i, place);
            at = 0;
            for (int d = 0; d < source->n_dims; d++) {
                at += d == axis ? 0 : place[d] * step[d];
            }
        }
        places->index[0][i] = which;
        places->source[i] = along == CREDIT_NOWHERE ? CREDIT_NOWHERE : at + along * inner;
    }
    return 0;
}

/* A mask: the source's elements (or what is below them) where it is true, in order. */
int credit_find_masked(const struct credit_side *side, uint32_t mask_at, int front,
    struct credit_places *places)
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

int credit_find_spread(const struct credit_side *side, uint32_t begin, uint32_t end,
    struct credit_spread *spread)
{
    *spread = (struct credit_spread){.first = -1};
    bool is_together = true;
    for (uint32_t k = begin; k < end; k++) {
        if (!credit_side_has(side, k)) {
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
static int64_t index_place(const struct credit_array *index,
    const struct credit_spread *spread, const int64_t *place)
{
    int64_t at = 0;
    for (int d = 0; d < index->n_dims; d++) {
        const int64_t along = place[spread->n_dims - index->n_dims + d];
        at = at * index->shape[d] + (index->shape[d] == 1 ? 0 : along);
    }
    return at;
}

/* x[i, j, :]: places of a result of that shape in the source (or in what is written to). */
int credit_find_indexed(const struct credit_side *side, uint32_t begin, uint32_t end,
    const struct credit_array *result, struct credit_places *places)
{
    const struct credit_array *source = &side->in[0];
    struct credit_spread spread;
    const int rc = credit_find_spread(side, begin, end, &spread);
    int n_axes = 0;
    for (uint32_t k = begin; k < end; k++) {
        n_axes += credit_side_has(side, k) ? 1 : 0;
    }
    if (rc != 0 || result->n_dims != source->n_dims - n_axes + spread.n_dims) {
        return rc != 0 ? rc : BARO_EUNSUPPORTED;
    }
    for (uint32_t k = begin; k < end; k++) {
        if (credit_side_has(side, k)) {
            add_index(places, k);
        }
    }
    int64_t step[BARO_MAX_DIMS] = {0};
    strides_of(source, step);
    for (int64_t i = 0; i < places->n; i++) {
        int64_t place[BARO_MAX_DIMS] = {0};
        coordinates(result, i, place);
        int64_t at = 0;
        int next = 0; /* axis of the result */
        int which = 0;
        for (int d = 0; d < source->n_dims && at != CREDIT_NOWHERE; d++) {
            const uint32_t k = begin + (uint32_t)d;
            if (k >= end || !credit_side_has(side, k)) {
                next += next == spread.front ? spread.n_dims : 0;
                at += place[next++] * step[d];
                continue;
            }
            const int64_t in_index =
                index_place(&side->in[k], &spread, place + spread.front);
            const int64_t along =
                kept_place(side, source, d, (double)side->in[k].x[in_index]);
            places->index[which++][i] = in_index;
            at = along == CREDIT_NOWHERE ? CREDIT_NOWHERE : at + along * step[d];
        }
        places->source[i] = at;
    }
    return 0;
}

int credit_axis_argument(const struct credit_io *io, const struct credit_array *array)
{
    const int64_t axis = credit_attr_int(io, "dim", 0, 0);
    const int64_t from_front = axis < 0 ? axis + array->n_dims : axis;
    return from_front >= 0 && from_front < array->n_dims ? (int)from_front : -1;
}

bool credit_is_mask(const struct credit_array *array)
{
    return array->value->dtype == BARO_BOOL ||
           array->value->dtype == BARO_U8; /* as torch takes it */
}

void credit_places_finish(struct credit_places *places)
{
    free(places->source);
    for (int k = 0; k < places->n_indices; k++) {
        free(places->index[k]);
    }
    *places = (struct credit_places){0};
}
