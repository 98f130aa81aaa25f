/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/probe_rows.h"

#include <string.h>

/*
 * Axes that lie one after the other in memory are folded into one stretch, which memcpy takes;
 * the axes before it are counted through like the digits of a number.
 */

/* Copy n elements that lie `stride` bytes apart. */
static void copy_apart(char *out, const char *from, int64_t n, int64_t stride, size_t item)
{
    for (int64_t i = 0; i < n; i++) {
        switch (item) { /* a constant size is a plain load and store */
        case 1: out[i] = from[i * stride]; break;
        case 2: memcpy(out + i * 2, from + i * stride, 2); break;
        case 4: memcpy(out + i * 4, from + i * stride, 4); break;
        default: memcpy(out + i * 8, from + i * stride, 8); break;
        }
    }
}

/* Copy an array of which the last axes are to be walked; returns the end of what was written. */
static char *copy_block(char *out, const char *from, size_t item, int n_dims,
    const int64_t *shape, const int64_t *strides)
{
    int64_t place[BARO_MAX_DIMS] = {0};
    int64_t run = 1; /* elements that lie one after the other */
    int n_outer = n_dims;
    while (n_outer > 0 && (shape[n_outer - 1] == 1 || strides[n_outer - 1] == run)) {
        run *= shape[--n_outer];
    }
    int64_t apart = 1; /* when none do: the last axis by itself */
    int64_t stride = 0;
    if (run == 1 && n_outer > 0) {
        n_outer--;
        apart = shape[n_outer];
        stride = strides[n_outer] * (int64_t)item;
    }
    for (int d = 0; d < n_outer; d++) {
        if (shape[d] == 0) {
            return out;
        }
    }
    while (true) {
        if (run > 1 || stride == 0) {
            for (int64_t i = 0; i < apart; i++, out += (size_t)run * item) {
                memcpy(out, from, (size_t)run * item);
            }
        } else {
            copy_apart(out, from, apart, stride, item);
            out += (size_t)apart * item;
        }
        int d = n_outer - 1;
        while (d >= 0 && ++place[d] == shape[d]) {
            from -= (shape[d] - 1) * strides[d] * (int64_t)item;
            place[d--] = 0;
        }
        if (d < 0) {
            return out;
        }
        from += strides[d] * (int64_t)item;
    }
}

void probe_copy_all(const struct baro_span *span, void *out)
{
    if (baro_span_count(span) > 0) {
        (void)copy_block(out, span->data, baro_dtype_bytes(span->dtype), span->n_dims,
            span->shape, span->strides);
    }
}

void probe_copy_rows(const struct baro_span *span, int axis, int64_t n_batch,
    const int64_t *rows, size_t n_rows, void *out)
{
    const int64_t item = (int64_t)baro_dtype_bytes(span->dtype);
    const int64_t every = span->shape[axis] / n_batch;
    int64_t n_outer = 1;
    char *at = out;
    int64_t shape[BARO_MAX_DIMS];
    if (baro_span_count(span) == 0) {
        return;
    }
    for (int d = 0; d < axis; d++) {
        n_outer *= span->shape[d];
    }
    memcpy(shape, span->shape, sizeof shape);
    shape[axis] = every;
    for (int64_t outer = 0; outer < n_outer; outer++) {
        const char *from = span->data;
        int64_t rest = outer;
        for (int d = axis - 1; d >= 0; d--) {
            from += rest % shape[d] * span->strides[d] * item;
            rest /= shape[d];
        }
        for (size_t i = 0; i < n_rows; i++) {
            at = copy_block(at, from + rows[i] * every * span->strides[axis] * item,
                (size_t)item, span->n_dims - axis, shape + axis, span->strides + axis);
        }
    }
}
