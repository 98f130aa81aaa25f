/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_move.h"

#include <limits.h>
#include <string.h>

#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_stretch.h"

/*
 * Operations that only move elements: what came to an output element belongs to the input element
 * that it is, in all three modes. Each is described by nested loops with steps through input and
 * output (a slice has one base, an expansion steps of 0), and one function walks them both ways
 * (credit_loops.c). Those that take stretches of one axis are in credit_stretch.c.
 *
 * Where only some samples were kept, arrays are shorter along their batch axis. Moves along other
 * axes do not see it; those along the batch axis go sample by sample, by their places in the batch.
 * Elements of samples that were not kept are then nobody's: the core books them as rest.
 */

typedef int (*build_fn)(const struct credit_mover *mover);

/* The flat place in the whole value of what was kept at place at. */
static int64_t full_flat(
    const struct credit_io *io, const struct credit_array *array, int64_t at)
{
    const int axis = array->value->batch_axis;
    if (axis < 0 || axis >= array->n_dims || !credit_is_part(array, axis)) {
        return at;
    }
    int64_t inner = 1;
    for (int d = axis + 1; d < array->n_dims; d++) {
        inner *= array->shape[d];
    }
    const int64_t along = array->shape[axis];
    const int64_t place = credit_full_place(io, array, at / inner % along);
    return (at / inner / along * array->value->shape[axis] + place) * inner + at % inner;
}

/* The same elements in another shape, where one side has all samples and the other has not. */
static int reshape_part(const struct credit_mover *mover, bool is_out_whole)
{
    const struct credit_io *io = mover->io;
    const struct credit_array *part = is_out_whole ? &io->in[0] : &io->out[0];
    for (int64_t i = 0; i < part->n; i++) {
        const int64_t full = full_flat(io, part, i);
        const struct credit_loops one = {
            .in_base = is_out_whole ? i : full, .out_base = is_out_whole ? full : i};
        credit_loops_move(mover, 0, 0, &one);
    }
    return 0;
}

/* view, reshape, clone, ...: the same elements in the same order. */
static int build_same(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_in(io, 0) || !credit_has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const struct credit_array *out = &io->out[0];
    if (in->n == out->n) {
        const struct credit_loops all = {
            .n = 1, .extent = {in->n}, .in_step = {1}, .out_step = {1}};
        credit_loops_move(mover, 0, 0, &all);
        return 0;
    }
    const int64_t n_in = credit_full_count(in);
    if (n_in != credit_full_count(out)) {
        return BARO_EUNSUPPORTED;
    }
    if (out->n == n_in || in->n == n_in) {
        return reshape_part(mover, out->n == n_in);
    }
    return BARO_EUNSUPPORTED;
}

/* Spread input `in` over the output (expand, copy_). */
static int spread(const struct credit_mover *mover, uint32_t in_at)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[0];
    const int missing = out->n_dims - in->n_dims;
    if (missing < 0) {
        return BARO_EUNSUPPORTED;
    }
    struct credit_loops loops = {.n = out->n_dims};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    credit_strides(in, in_step);
    credit_strides(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        const int64_t extent = d >= missing ? in->shape[d - missing] : 1;
        if (extent != 1 && extent != out->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[d] = out->shape[d];
        loops.in_step[d] = extent == 1 ? 0 : in_step[d - missing];
        loops.out_step[d] = out_step[d];
    }
    credit_loops_move(mover, in_at, 0, &loops);
    return 0;
}

static int build_expand(const struct credit_mover *mover)
{
    return credit_has_in(mover->io, 0) && credit_has_out(mover->io, 0) ? spread(mover, 0)
                                                                       : BARO_EUNSUPPORTED;
}

static int build_copy(const struct credit_mover *mover)
{
    return credit_has_in(mover->io, 1) && credit_has_out(mover->io, 0) ? spread(mover, 1)
                                                                       : BARO_EUNSUPPORTED;
}

/* Output axis d is input axis axes[d]. */
static int permute(const struct credit_mover *mover, const int *axes)
{
    const struct credit_array *in = &mover->io->in[0];
    const struct credit_array *out = &mover->io->out[0];
    struct credit_loops loops = {.n = out->n_dims};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    credit_strides(in, in_step);
    credit_strides(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        if (axes[d] < 0 || in->shape[axes[d]] != out->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[d] = out->shape[d];
        loops.in_step[d] = in_step[axes[d]];
        loops.out_step[d] = out_step[d];
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

static int build_permute(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io) || probe_attr_count(io->op, "dims") != io->in[0].n_dims) {
        return BARO_EUNSUPPORTED;
    }
    int axes[BARO_MAX_DIMS];
    for (int d = 0; d < io->in[0].n_dims; d++) {
        axes[d] = credit_attr_axis(io, "dims", d, io->in[0].n_dims, INT_MIN);
    }
    return permute(mover, axes);
}

static int build_transpose(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io)) {
        return BARO_EUNSUPPORTED;
    }
    const int n = io->in[0].n_dims;
    const bool is_t = credit_is_named(io, "t") || credit_is_named(io, "numpy_T") ||
                      credit_is_named(io, "mT");
    int axes[BARO_MAX_DIMS];
    for (int d = 0; d < n; d++) {
        axes[d] = d;
    }
    if (n < 2) {
        return permute(mover, axes);
    }
    const char *first = probe_attr_count(io->op, "axis0") > 0 ? "axis0" : "dim0";
    const char *second = probe_attr_count(io->op, "axis1") > 0 ? "axis1" : "dim1";
    const int a = is_t ? n - 2 : credit_attr_axis(io, first, 0, n, INT_MIN);
    const int b = is_t ? n - 1 : credit_attr_axis(io, second, 0, n, INT_MIN);
    if (a < 0 || b < 0) {
        return BARO_EUNSUPPORTED;
    }
    axes[a] = b;
    axes[b] = a;
    return permute(mover, axes);
}

/* Loops over all axes of an array, the input or the output. */
static struct credit_loops loops_of(
    const struct credit_io *io, const struct credit_array *array)
{
    struct credit_loops loops = {.n = array->n_dims};
    credit_strides(&io->in[0], loops.in_step);
    credit_strides(&io->out[0], loops.out_step);
    memcpy(loops.extent, array->shape, (size_t)loops.n * sizeof loops.extent[0]);
    return loops;
}

static int build_flip(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io) || io->in[0].n != io->out[0].n) {
        return BARO_EUNSUPPORTED;
    }
    struct credit_loops loops = loops_of(io, &io->in[0]);
    for (int i = 0; i < probe_attr_count(io->op, "dims"); i++) {
        const int axis = credit_attr_axis(io, "dims", i, loops.n, INT_MIN);
        if (axis < 0 || credit_is_part(&io->in[0], axis)) {
            return BARO_EUNSUPPORTED;
        }
        loops.in_base += loops.in_step[axis] * (loops.extent[axis] - 1);
        loops.in_step[axis] = -loops.in_step[axis];
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

static int build_repeat(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_in(io, 0) || !credit_has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const struct credit_array *out = &io->out[0];
    const int missing = out->n_dims - in->n_dims;
    struct credit_loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    credit_strides(in, in_step);
    credit_strides(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        const int64_t extent = d >= missing ? in->shape[d - missing] : 1;
        if (missing < 0 || extent == 0 || out->shape[d] % extent != 0 ||
            (extent != out->shape[d] && credit_is_part(out, d))) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[loops.n] = out->shape[d] / extent;
        loops.in_step[loops.n] = 0;
        loops.out_step[loops.n++] = out_step[d] * extent;
        loops.extent[loops.n] = extent;
        loops.in_step[loops.n] = d >= missing ? in_step[d - missing] : 0;
        loops.out_step[loops.n++] = out_step[d];
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

/* unfold: windows along one axis, as a new last axis. */
static int build_unfold(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = credit_has_in(io, 0) && credit_has_out(io, 0)
                         ? credit_attr_axis(io, "dimension", 0, io->in[0].n_dims, INT_MIN)
                         : -1;
    if (axis < 0 || io->out[0].n_dims != io->in[0].n_dims + 1 ||
        credit_is_part(&io->in[0], axis)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    struct credit_loops loops = loops_of(io, &io->out[0]);
    const int64_t step = credit_attr_int(io, "step", 0, 1);
    loops.in_step[in->n_dims] = loops.in_step[axis];
    loops.in_step[axis] *= step;
    for (int d = 0; d < in->n_dims; d++) {
        if (d != axis && in->shape[d] != loops.extent[d]) {
            return BARO_EUNSUPPORTED;
        }
    }
    const int64_t last = (loops.extent[axis] - 1) * step + loops.extent[in->n_dims];
    if (loops.extent[axis] > 0 && (last > in->shape[axis] || step < 1)) {
        return BARO_EUNSUPPORTED;
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

static int build_pad(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io)) {
        return BARO_EUNSUPPORTED;
    }
    struct credit_loops loops = loops_of(io, &io->in[0]);
    for (int d = 0; d < loops.n; d++) {
        const int place = 2 * (loops.n - 1 - d);
        const bool is_padded = place < probe_attr_count(io->op, "pad");
        const int64_t front = is_padded ? credit_attr_int(io, "pad", place, 0) : 0;
        const int64_t back = is_padded ? credit_attr_int(io, "pad", place + 1, 0) : 0;
        if (loops.extent[d] + front + back != io->out[0].shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        const int64_t cut = front < 0 ? -front : 0;
        loops.in_base += cut * loops.in_step[d];
        loops.out_base += (front > 0 ? front : 0) * loops.out_step[d];
        loops.extent[d] -= cut + (back < 0 ? -back : 0);
        if (loops.extent[d] < 0) {
            return BARO_EUNSUPPORTED;
        }
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

/* tril, triu: the rest of the last two axes is 0. */
static int build_triangle(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io) || io->in[0].n != io->out[0].n || io->in[0].n_dims < 2) {
        return BARO_EUNSUPPORTED;
    }
    const bool is_upper = credit_is_named(io, "triu");
    const int64_t diagonal = credit_attr_int(io, "diagonal", 0, 0);
    const int n = io->in[0].n_dims;
    const int64_t rows = io->in[0].shape[n - 2];
    const int64_t columns = io->in[0].shape[n - 1];
    for (int64_t line = 0; columns > 0 && line < io->in[0].n / columns; line++) {
        const int64_t split = line % rows + diagonal + (is_upper ? 0 : 1);
        const int64_t at = split < 0 ? 0 : split > columns ? columns : split;
        const int64_t from = line * columns + (is_upper ? at : 0);
        const struct credit_loops loops = {.n = 1,
            .extent = {is_upper ? columns - at : at},
            .in_step = {1},
            .out_step = {1},
            .in_base = from,
            .out_base = from};
        credit_loops_move(mover, 0, 0, &loops);
    }
    return 0;
}

static int build_diagonal(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_in(io, 0) || !credit_has_out(io, 0) || io->in[0].n_dims < 2) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const int a = credit_attr_axis(io, "dim1", 0, in->n_dims, 0);
    const int b = credit_attr_axis(io, "dim2", 0, in->n_dims, 1);
    const int64_t offset = credit_attr_int(io, "offset", 0, 0);
    if (a < 0 || b < 0 || a == b || credit_is_part(in, a) || credit_is_part(in, b)) {
        return BARO_EUNSUPPORTED;
    }
    struct credit_loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    credit_strides(in, in_step);
    credit_strides(&io->out[0], loops.out_step);
    for (int d = 0; d < in->n_dims; d++) {
        if (d != a && d != b) {
            loops.extent[loops.n] = in->shape[d];
            loops.in_step[loops.n++] = in_step[d];
        }
    }
    loops.in_base = offset > 0 ? offset * in_step[b] : -offset * in_step[a];
    loops.extent[loops.n] = io->out[0].shape[io->out[0].n_dims - 1];
    loops.in_step[loops.n++] = in_step[a] + in_step[b];
    const int64_t rows = in->shape[a] - (offset < 0 ? -offset : 0);
    const int64_t columns = in->shape[b] - (offset > 0 ? offset : 0);
    if (loops.n != io->out[0].n_dims ||
        loops.extent[loops.n - 1] > (rows < columns ? rows : columns)) {
        return BARO_EUNSUPPORTED;
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

/* pixel_shuffle: [..., c r r, h, w] to [..., c, h r, w r]. */
static int build_shuffle(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int64_t r = credit_attr_int(io, "upscale_factor", 0, 0);
    const int n = io->n_in > 0 ? io->in[0].n_dims : 0;
    if (!credit_has_pair(io) || n < 3 || r < 1 || io->in[0].n != io->out[0].n ||
        io->out[0].shape[n - 2] != io->in[0].shape[n - 2] * r) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t h = io->in[0].shape[n - 2];
    const int64_t w = io->in[0].shape[n - 1];
    const struct credit_loops loops = {.n = 5,
        .extent = {io->in[0].n / (r * r * h * w), r, r, h, w},
        .in_step = {r * r * h * w, r * h * w, h * w, w, 1},
        .out_step = {r * r * h * w, w * r, 1, r * w * r, r}};
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

/* as_strided: places in the memory of a value that is contiguous and whole. */
static int build_as_strided(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_in(io, 0) || !credit_has_out(io, 0) ||
        io->in[0].n != credit_full_count(&io->in[0])) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *out = &io->out[0];
    struct credit_loops loops = {.n = out->n_dims};
    loops.in_base = credit_attr_int(io, "storage_offset", 0, 0);
    credit_strides(out, loops.out_step);
    int64_t last = loops.in_base;
    for (int d = 0; d < out->n_dims; d++) {
        loops.extent[d] = out->shape[d];
        loops.in_step[d] = credit_attr_int(io, "stride", d, -1);
        last += loops.in_step[d] * (loops.extent[d] - 1);
        if (loops.in_step[d] < 0 || credit_attr_int(io, "size", d, -1) != loops.extent[d]) {
            return BARO_EUNSUPPORTED;
        }
    }
    if (out->n > 0 && (loops.in_base < 0 || last >= io->in[0].n)) {
        return BARO_EUNSUPPORTED;
    }
    credit_loops_move(mover, 0, 0, &loops);
    return 0;
}

static const struct {
    const char *names;
    build_fn build;
} builds[] = {
    {"expand expand_as broadcast_to", build_expand},
    {"copy", build_copy},
    {"permute", build_permute},
    {"t transpose swapaxes swapdims numpy_T mT", build_transpose},
    {"slice narrow", credit_stretch_slice},
    {"select", credit_stretch_select},
    {"unbind", credit_stretch_unbind},
    {"split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk",
        credit_stretch_split},
    {"cat concat concatenate", credit_stretch_cat},
    {"stack", credit_stretch_stack},
    {"flip", build_flip},
    {"roll", credit_stretch_roll},
    {"repeat tile", build_repeat},
    {"unfold", build_unfold},
    {"constant_pad_nd", build_pad},
    {"tril triu", build_triangle},
    {"as_strided", build_as_strided},
    {"diagonal", build_diagonal},
    {"pixel_shuffle", build_shuffle},
};

/* Find what an operation does; those that are not in the table keep all elements in order. */
static build_fn find_build(const struct credit_io *io)
{
    for (size_t i = 0; i < sizeof builds / sizeof builds[0]; i++) {
        const char *at = builds[i].names;
        while (*at != '\0') {
            char name[32] = {0};
            const size_t n = strcspn(at, " ");
            memcpy(name, at, n < sizeof name ? n : sizeof name - 1);
            if (credit_is_named(io, name)) {
                return builds[i].build;
            }
            at += n;
            at += strspn(at, " ");
        }
    }
    return build_same;
}

int credit_move(const struct credit_io *io, bool is_forward)
{
    const struct credit_mover mover = {.io = io, .is_forward = is_forward};
    return find_build(io)(&mover);
}
