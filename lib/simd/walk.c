/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/walk.h"

#include <string.h>

/*
 * Statistics do not ask for an order, so the walk takes the one that memory likes:
 * dimensions sorted by the size of their stride, negative ones turned round, those that
 * continue each other folded into one. Any permutation or flip of a contiguous tensor
 * becomes one long run. Only the index of the first bad element needs row-major order; it
 * is worked out from the sorted dimensions when there is one.
 *
 * A dimension of stride 0 repeats what is there (the gradient of a sum is such a tensor):
 * it is not walked, its extent multiplies the counts.
 */

static void sort_in(struct baro_walk *walk, struct baro_walk_dim dim)
{
    int at = walk->n_sorted++;
    while (at > 0 && walk->sorted[at - 1].stride < dim.stride) {
        walk->sorted[at] = walk->sorted[at - 1];
        at--;
    }
    walk->sorted[at] = dim;
}

static void fold(struct baro_walk *walk)
{
    walk->n_dims = 0;
    for (int d = 0; d < walk->n_sorted; d++) {
        const struct baro_walk_dim dim = walk->sorted[d];
        struct baro_walk_dim *outer =
            walk->n_dims > 0 ? &walk->dims[walk->n_dims - 1] : NULL;
        if (outer != NULL && outer->stride == dim.extent * dim.stride) {
            outer->extent *= dim.extent;
            outer->stride = dim.stride;
        } else {
            walk->dims[walk->n_dims++] = dim;
        }
    }
}

void baro_walk_init(struct baro_walk *walk, const struct baro_span *span)
{
    walk->base = span->data;
    walk->item = baro_dtype_bytes(span->dtype);
    walk->count = 1;
    walk->repeat = 1;
    walk->first = 0;
    walk->n_sorted = 0;
    int64_t step = 1;
    int64_t offset = 0;
    for (int d = span->n_dims - 1; d >= 0; d--) {
        struct baro_walk_dim dim = {span->shape[d], span->strides[d], step};
        step *= dim.extent;
        if (dim.extent == 1) {
            continue;
        }
        if (dim.stride == 0) {
            walk->repeat *= dim.extent;
            continue;
        }
        walk->count *= dim.extent;
        if (dim.stride < 0) {
            offset += dim.stride * (dim.extent - 1);
            walk->first += dim.step * (dim.extent - 1);
            dim.stride = -dim.stride;
            dim.step = -dim.step;
        }
        sort_in(walk, dim);
    }
    if (walk->repeat == 0) {
        walk->count = 0;
    }
    walk->in_order = true;
    for (int d = 0; d < walk->n_sorted; d++) {
        const int64_t outer = d > 0 ? walk->sorted[d - 1].step : INT64_MAX;
        walk->in_order =
            walk->in_order && walk->sorted[d].step > 0 && outer > walk->sorted[d].step;
    }
    if (walk->count > 0) {
        walk->base += offset * (int64_t)walk->item;
    }
    fold(walk);
}

void baro_walk_copy(void *out, const void *from, int64_t stride, size_t n, size_t item)
{
    if (stride == 1) {
        memcpy(out, from, n * item);
        return;
    }
    const size_t s = (size_t)stride;
    switch (item) {
    case 1:
        for (size_t i = 0; i < n; i++) {
            ((uint8_t *)out)[i] = ((const uint8_t *)from)[i * s];
        }
        break;
    case 2:
        for (size_t i = 0; i < n; i++) {
            ((uint16_t *)out)[i] = ((const uint16_t *)from)[i * s];
        }
        break;
    case 4:
        for (size_t i = 0; i < n; i++) {
            ((uint32_t *)out)[i] = ((const uint32_t *)from)[i * s];
        }
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            ((uint64_t *)out)[i] = ((const uint64_t *)from)[i * s];
        }
        break;
    }
}

/* Passes n elements, which end at the latest where the innermost run ends. */
static void advance(const struct baro_walk *walk, struct baro_walk_at *at, int64_t n)
{
    int d = walk->n_dims - 1;
    at->position += n;
    if (d < 0) {
        return;
    }
    at->coord[d] += n;
    at->offset += n * walk->dims[d].stride;
    while (d > 0 && at->coord[d] == walk->dims[d].extent) {
        at->offset -= at->coord[d] * walk->dims[d].stride;
        at->coord[d] = 0;
        d--;
        at->coord[d]++;
        at->offset += walk->dims[d].stride;
    }
}

size_t baro_walk_next(const struct baro_walk *walk, struct baro_walk_at *at, size_t max,
    void *buffer, const void **out_run)
{
    const int64_t left = walk->count - at->position;
    if (left <= 0) {
        return 0;
    }
    const int inner = walk->n_dims - 1;
    const int64_t extent = inner >= 0 ? walk->dims[inner].extent : 1;
    const int64_t stride = inner >= 0 ? walk->dims[inner].stride : 1;
    int64_t run = extent - (inner >= 0 ? at->coord[inner] : 0);
    if (stride == 1 && (run >= BARO_WALK_DIRECT || run == left)) {
        const int64_t n = run < (int64_t)max ? run : (int64_t)max;
        *out_run = walk->base + at->offset * (int64_t)walk->item;
        advance(walk, at, n);
        return (size_t)n;
    }
    size_t n = 0;
    const size_t room = max < BARO_WALK_BUFFER ? max : BARO_WALK_BUFFER;
    while (n < room && at->position < walk->count) {
        run = extent - at->coord[inner];
        const size_t take = (size_t)run < room - n ? (size_t)run : room - n;
        baro_walk_copy((char *)buffer + n * walk->item,
            walk->base + at->offset * (int64_t)walk->item, stride, take, walk->item);
        advance(walk, at, (int64_t)take);
        n += take;
    }
    *out_run = buffer;
    return n;
}

int64_t baro_walk_index(const struct baro_walk *walk, int64_t position)
{
    int64_t index = walk->first;
    for (int d = walk->n_sorted - 1; d >= 0; d--) {
        index += position % walk->sorted[d].extent * walk->sorted[d].step;
        position /= walk->sorted[d].extent;
    }
    return index;
}
