/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/pairs.h"

#include <string.h>

void baro_pairs_step(const struct baro_pairs *p, struct baro_pairs_at *at, int64_t n)
{
    int d = p->n_dims - 1;
    at->left -= n;
    if (d < 0) {
        return;
    }
    at->coord[d] += n;
    at->b += n * p->dims[d].b;
    at->a += n * p->dims[d].a;
    while (d > 0 && at->coord[d] == p->dims[d].extent) {
        at->b += p->dims[d - 1].b - at->coord[d] * p->dims[d].b;
        at->a += p->dims[d - 1].a - at->coord[d] * p->dims[d].a;
        at->coord[d] = 0;
        at->coord[--d]++;
    }
}

int64_t baro_pairs_run(const struct baro_pairs *p, const struct baro_pairs_at *at)
{
    const int inner = p->n_dims - 1;
    return inner < 0 ? 1 : p->dims[inner].extent - at->coord[inner];
}

bool baro_pairs_touch(const struct baro_pairs *p)
{
    const int inner = p->n_dims - 1;
    return inner < 0 || (p->dims[inner].a == 1 && p->dims[inner].b == 1);
}

/* Elements a stride apart that may be negative, which baro_walk_copy does not take. */
static void copy(char *out, const char *from, int64_t stride, size_t n, size_t item)
{
    if (stride == 1) {
        memcpy(out, from, n * item);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(out + i * item, from + (int64_t)i * stride * (int64_t)item, item);
    }
}

size_t baro_pairs_next(const struct baro_pairs *p, int64_t unit, struct baro_pairs_at *at,
    struct baro_pairs_buffer *buffer, const void **out_b, const void **out_a)
{
    const char *unit_b = baro_pairs_before(p, unit);
    const char *unit_a = baro_pairs_after(p, unit);
    const int64_t item = (int64_t)p->item;
    if (at->left <= 0) {
        return 0;
    }
    int64_t run = baro_pairs_run(p, at);
    if (baro_pairs_touch(p) && (run >= BARO_PAIRS_DIRECT || run == at->left)) {
        const int64_t n = run < BARO_PAIRS_MOST ? run : BARO_PAIRS_MOST;
        *out_b = unit_b + at->b * item;
        *out_a = unit_a + at->a * item;
        baro_pairs_step(p, at, n);
        return (size_t)n;
    }
    size_t n = 0;
    while (n < BARO_PAIRS_GATHER && at->left > 0) {
        const struct baro_pairs_dim *inner = &p->dims[p->n_dims - 1];
        run = baro_pairs_run(p, at);
        const size_t take =
            (size_t)run < BARO_PAIRS_GATHER - n ? (size_t)run : BARO_PAIRS_GATHER - n;
        copy((char *)buffer->b + n * p->item, unit_b + at->b * item, inner->b, take,
            p->item);
        copy((char *)buffer->a + n * p->item, unit_a + at->a * item, inner->a, take,
            p->item);
        baro_pairs_step(p, at, (int64_t)take);
        n += take;
    }
    *out_b = buffer->b;
    *out_a = buffer->a;
    return n;
}

const char *baro_pairs_before(const struct baro_pairs *p, int64_t unit)
{
    return p->unit_count > 0 ? p->b + unit * p->unit_b * (int64_t)p->item : p->b;
}

const char *baro_pairs_after(const struct baro_pairs *p, int64_t unit)
{
    return p->unit_count > 0 ? p->a + unit * p->unit_a * (int64_t)p->item : p->a;
}

static int64_t size_of(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

/* Puts a dimension where its stride belongs. */
static void sort_in(struct baro_pairs *p, struct baro_pairs_dim dim)
{
    int at = p->n_dims++;
    while (at > 0 && size_of(p->dims[at - 1].a) < size_of(dim.a)) {
        p->dims[at] = p->dims[at - 1];
        at--;
    }
    p->in_order = p->in_order && at == p->n_dims - 1;
    p->dims[at] = dim;
}

static void fold(struct baro_pairs *p)
{
    int n = 0;
    for (int d = 0; d < p->n_dims; d++) {
        const struct baro_pairs_dim dim = p->dims[d];
        struct baro_pairs_dim *outer = n > 0 ? &p->dims[n - 1] : NULL;
        if (outer != NULL && outer->a == dim.extent * dim.a &&
            outer->b == dim.extent * dim.b) {
            *outer = (struct baro_pairs_dim){outer->extent * dim.extent, dim.b, dim.a};
        } else {
            p->dims[n++] = dim;
        }
    }
    p->n_dims = n;
}

/* The dimensions but the axis, turned round where they run backwards. */
void baro_pairs_init(struct baro_pairs *p, const struct baro_span *before,
    const struct baro_span *after, int axis)
{
    *p = (struct baro_pairs){.item = baro_dtype_bytes(after->dtype)};
    int64_t b = 0;
    int64_t a = 0;
    p->b = before->data;
    p->a = after->data;
    p->in_order = axis <= 0;
    p->unit_count = 1;
    p->n_units = axis >= 0 ? after->shape[axis] : 1;
    p->unit_b = axis >= 0 ? before->strides[axis] : 0;
    p->unit_a = axis >= 0 ? after->strides[axis] : 0;
    for (int d = 0; d < after->n_dims; d++) {
        struct baro_pairs_dim dim = {
            after->shape[d], before->strides[d], after->strides[d]};
        if (d == axis) {
            continue;
        }
        p->unit_count *= dim.extent;
        if (dim.extent == 1) {
            continue;
        }
        if (dim.a < 0) {
            b += dim.b * (dim.extent - 1);
            a += dim.a * (dim.extent - 1);
            dim.b = -dim.b;
            dim.a = -dim.a;
            p->in_order = false;
        }
        sort_in(p, dim);
    }
    fold(p);
    if (p->unit_count > 0 && p->n_units > 0) {
        p->b += b * (int64_t)p->item;
        p->a += a * (int64_t)p->item;
    }
}
