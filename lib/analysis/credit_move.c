/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_move.h"

#include <limits.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"

/*
 * Operations that only move elements: what came to an output element belongs to the input element
 * that it is, in all three modes. Each is described by nested loops with steps through input and
 * output (a slice has one base, an expansion steps of 0), and one function walks them both ways.
 *
 * Where only some samples were kept, arrays are shorter along their batch axis. Moves along other
 * axes do not see it; those along the batch axis go sample by sample, by their places in the batch.
 * Elements of samples that were not kept are then nobody's: the core books them as rest.
 */

enum { LOOPS = 2 * BARO_MAX_DIMS };

/* Nested loops through an input and an output. */
struct loops {
    int n;
    int64_t extent[LOOPS];
    int64_t in_step[LOOPS];
    int64_t out_step[LOOPS];
    int64_t in_base;
    int64_t out_base;
};

/* Which way elements go. */
struct mover {
    const struct credit_io *io;
    bool is_forward;
};

typedef int (*build_fn)(const struct mover *mover);

/* Walk loops; elements are added, for several outputs may be one input. */
static void move(
    const struct mover *mover, uint32_t in, uint32_t out, const struct loops *loops)
{
    const struct credit_io *io = mover->io;
    const float *from = mover->is_forward ? io->tangent_in[in] : io->of_out[out];
    float *to = mover->is_forward ? io->tangent_out[out] : io->of_in[in];
    if (from == NULL || to == NULL) {
        return;
    }
    const int last = loops->n - 1;
    int64_t n_runs = 1;
    for (int d = 0; d < last; d++) {
        n_runs *= loops->extent[d];
    }
    const int64_t length = loops->n > 0 ? loops->extent[last] : 1;
    const int64_t in_step = loops->n > 0 ? loops->in_step[last] : 0;
    const int64_t out_step = loops->n > 0 ? loops->out_step[last] : 0;
    const int64_t from_step = mover->is_forward ? in_step : out_step;
    const int64_t to_step = mover->is_forward ? out_step : in_step;
    int64_t at[LOOPS] = {0};
    int64_t in_at = loops->in_base;
    int64_t out_at = loops->out_base;
    for (int64_t run = 0; run < n_runs; run++) {
        const float *x = from + (mover->is_forward ? in_at : out_at);
        float *y = to + (mover->is_forward ? out_at : in_at);
        for (int64_t i = 0; i < length; i++) {
            y[i * to_step] += x[i * from_step];
        }
        for (int d = last - 1; d >= 0; d--) {
            in_at += loops->in_step[d];
            out_at += loops->out_step[d];
            if (++at[d] < loops->extent[d]) {
                break;
            }
            in_at -= loops->in_step[d] * loops->extent[d];
            out_at -= loops->out_step[d] * loops->extent[d];
            at[d] = 0;
        }
    }
}

static bool has(const struct credit_io *io, uint32_t in)
{
    return in < io->n_in && io->in[in].value != NULL;
}

static bool has_out(const struct credit_io *io, uint32_t out)
{
    return out < io->n_out && io->out[out].value != NULL;
}

/* Whether only some of the samples along an axis were kept. */
static bool is_part(const struct credit_array *array, int axis)
{
    return axis == array->value->batch_axis &&
           array->shape[axis] != array->value->shape[axis];
}

/* The full place along its batch axis of what was kept at place at. */
static int64_t full_place(
    const struct credit_io *io, const struct credit_array *array, int64_t at)
{
    const int axis = array->value->batch_axis;
    const int64_t each = array->value->shape[axis] / io->probe->n_batch;
    return io->probe->rows[at / each] * each + at % each;
}

static void strides_of(const struct credit_array *array, int64_t out[BARO_MAX_DIMS])
{
    int64_t step = 1;
    for (int d = array->n_dims - 1; d >= 0; d--) {
        out[d] = step;
        step *= array->shape[d];
    }
}

/* An argument that is an axis, counted from the end when negative; -1: not there. */
static int axis_of(
    const struct credit_io *io, const char *name, int place, int n_dims, int64_t otherwise)
{
    const int64_t axis = credit_attr_int(io, name, place, otherwise);
    const int64_t from_front = axis < 0 ? axis + n_dims : axis;
    return from_front >= 0 && from_front < n_dims ? (int)from_front : -1;
}

/* The flat place in the whole value of what was kept at place at. */
static int64_t full_flat(
    const struct credit_io *io, const struct credit_array *array, int64_t at)
{
    const int axis = array->value->batch_axis;
    if (axis < 0 || axis >= array->n_dims || !is_part(array, axis)) {
        return at;
    }
    int64_t inner = 1;
    for (int d = axis + 1; d < array->n_dims; d++) {
        inner *= array->shape[d];
    }
    const int64_t along = array->shape[axis];
    const int64_t place = full_place(io, array, at / inner % along);
    return (at / inner / along * array->value->shape[axis] + place) * inner + at % inner;
}

/* The same elements in another shape, where one side has all samples and the other has not. */
static int reshape_part(const struct mover *mover, bool is_out_whole)
{
    const struct credit_io *io = mover->io;
    const struct credit_array *part = is_out_whole ? &io->in[0] : &io->out[0];
    for (int64_t i = 0; i < part->n; i++) {
        const int64_t full = full_flat(io, part, i);
        const struct loops one = {
            .in_base = is_out_whole ? i : full, .out_base = is_out_whole ? full : i};
        move(mover, 0, 0, &one);
    }
    return 0;
}

/* view, reshape, clone, ...: the same elements in the same order. */
static int build_same(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has(io, 0) || !has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const struct credit_array *out = &io->out[0];
    if (in->n == out->n) {
        const struct loops all = {
            .n = 1, .extent = {in->n}, .in_step = {1}, .out_step = {1}};
        move(mover, 0, 0, &all);
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
static int spread(const struct mover *mover, uint32_t in_at)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[0];
    const int missing = out->n_dims - in->n_dims;
    if (missing < 0) {
        return BARO_EUNSUPPORTED;
    }
    struct loops loops = {.n = out->n_dims};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    strides_of(in, in_step);
    strides_of(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        const int64_t extent = d >= missing ? in->shape[d - missing] : 1;
        if (extent != 1 && extent != out->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[d] = out->shape[d];
        loops.in_step[d] = extent == 1 ? 0 : in_step[d - missing];
        loops.out_step[d] = out_step[d];
    }
    move(mover, in_at, 0, &loops);
    return 0;
}

static int build_expand(const struct mover *mover)
{
    return has(mover->io, 0) && has_out(mover->io, 0) ? spread(mover, 0)
                                                      : BARO_EUNSUPPORTED;
}

static int build_copy(const struct mover *mover)
{
    return has(mover->io, 1) && has_out(mover->io, 0) ? spread(mover, 1)
                                                      : BARO_EUNSUPPORTED;
}

/* Output axis d is input axis axes[d]. */
static int permute(const struct mover *mover, const int *axes)
{
    const struct credit_array *in = &mover->io->in[0];
    const struct credit_array *out = &mover->io->out[0];
    struct loops loops = {.n = out->n_dims};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    strides_of(in, in_step);
    strides_of(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        if (axes[d] < 0 || in->shape[axes[d]] != out->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[d] = out->shape[d];
        loops.in_step[d] = in_step[axes[d]];
        loops.out_step[d] = out_step[d];
    }
    move(mover, 0, 0, &loops);
    return 0;
}

static bool has_pair(const struct credit_io *io)
{
    return has(io, 0) && has_out(io, 0) && io->in[0].n_dims == io->out[0].n_dims;
}

static int build_permute(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io) || probe_attr_count(io->op, "dims") != io->in[0].n_dims) {
        return BARO_EUNSUPPORTED;
    }
    int axes[BARO_MAX_DIMS];
    for (int d = 0; d < io->in[0].n_dims; d++) {
        axes[d] = axis_of(io, "dims", d, io->in[0].n_dims, INT_MIN);
    }
    return permute(mover, axes);
}

static int build_transpose(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io)) {
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
    const int a = is_t ? n - 2 : axis_of(io, first, 0, n, INT_MIN);
    const int b = is_t ? n - 1 : axis_of(io, second, 0, n, INT_MIN);
    if (a < 0 || b < 0) {
        return BARO_EUNSUPPORTED;
    }
    axes[a] = b;
    axes[b] = a;
    return permute(mover, axes);
}

/* A stretch along one axis: input places in_from, in_from + in_step, ... are output places out_from,
 * out_from + 1, ...; `count` of them. Other axes are alike, but one that is_dropped or is_new. */
struct stretch {
    int axis; /* of the input; of the output when is_new */
    int64_t in_from, in_step, out_from, count;
    bool is_dropped; /* the output has no such axis */
    bool is_new;     /* the input has no such axis */
};

static int move_stretch(
    const struct mover *mover, uint32_t in_at, uint32_t out_at, const struct stretch *s)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[out_at];
    struct loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    strides_of(in, in_step);
    strides_of(out, out_step);
    int i = 0;
    int o = 0;
    while (i < in->n_dims || o < out->n_dims) {
        if (s->is_dropped && i == s->axis) {
            loops.in_base += s->in_from * in_step[i++];
            continue;
        }
        if (s->is_new && o == s->axis) {
            loops.out_base += s->out_from * out_step[o++];
            continue;
        }
        if (i >= in->n_dims || o >= out->n_dims) {
            return BARO_EUNSUPPORTED;
        }
        const bool is_it = !s->is_dropped && !s->is_new && i == s->axis;
        if (!is_it && in->shape[i] != out->shape[o]) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[loops.n] = is_it ? s->count : in->shape[i];
        loops.in_step[loops.n] = in_step[i] * (is_it ? s->in_step : 1);
        loops.out_step[loops.n] = out_step[o];
        if (is_it) {
            loops.in_base += s->in_from * in_step[i];
            loops.out_base += s->out_from * out_step[o];
        }
        loops.n++;
        i++;
        o++;
    }
    move(mover, in_at, out_at, &loops);
    return 0;
}

/*
 * The same by full places along the axis; where samples are missing each kept one goes alone.
 */
static int move_full(
    const struct mover *mover, uint32_t in_at, uint32_t out_at, const struct stretch *s)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[out_at];
    if (s->is_new || !is_part(in, s->axis)) {
        return move_stretch(mover, in_at, out_at, s);
    }
    if (!s->is_dropped && s->in_step == 1 && s->in_from == 0 && s->out_from == 0 &&
        in->shape[s->axis] == out->shape[s->axis]) {
        struct stretch whole = *s;
        whole.count = in->shape[s->axis];
        return move_stretch(mover, in_at, out_at, &whole);
    }
    if (!s->is_dropped && is_part(out, s->axis)) {
        return BARO_EUNSUPPORTED;
    }
    for (int64_t kept = 0; kept < in->shape[s->axis]; kept++) {
        const int64_t away = full_place(mover->io, in, kept) - s->in_from;
        if (away < 0 || s->in_step <= 0 || away % s->in_step != 0 ||
            away / s->in_step >= s->count) {
            continue;
        }
        struct stretch one = *s;
        one.in_from = kept;
        one.in_step = 1;
        one.out_from = s->out_from + away / s->in_step;
        one.count = 1;
        const int rc = move_stretch(mover, in_at, out_at, &one);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int64_t full_extent(const struct credit_array *array, int axis)
{
    return array->value->shape[axis];
}

static int64_t clip(int64_t x, int64_t most)
{
    const int64_t from_front = x < 0 ? x + most : x;
    return from_front < 0 ? 0 : from_front > most ? most : from_front;
}

static int build_slice(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = has_pair(io) ? axis_of(io, "dim", 0, io->in[0].n_dims, 0) : -1;
    if (axis < 0) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t most = full_extent(&io->in[0], axis);
    const int64_t step = credit_attr_int(io, "step", 0, 1);
    const int64_t from = clip(credit_attr_int(io, "start", 0, 0), most);
    double length = 0;
    const bool is_narrow = probe_attr(io->op, "length", 0, &length);
    const int64_t end = is_narrow ? from + (int64_t)length
                                  : clip(credit_attr_int(io, "end", 0, most), most);
    if (step < 1) {
        return BARO_EUNSUPPORTED;
    }
    const struct stretch s = {.axis = axis,
        .in_from = from,
        .in_step = step,
        .count = end > from ? (end - from + step - 1) / step : 0};
    if (!is_part(&io->in[0], axis) && s.count != io->out[0].shape[axis]) {
        return BARO_EUNSUPPORTED;
    }
    return move_full(mover, 0, 0, &s);
}

static int build_select(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis =
        has(io, 0) && has_out(io, 0) ? axis_of(io, "dim", 0, io->in[0].n_dims, 0) : -1;
    if (axis < 0 || io->out[0].n_dims != io->in[0].n_dims - 1) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t most = full_extent(&io->in[0], axis);
    const int64_t index = credit_attr_int(io, "index", 0, 0);
    const struct stretch s = {.axis = axis,
        .in_from = index < 0 ? index + most : index,
        .in_step = 1,
        .count = 1,
        .is_dropped = true};
    return s.in_from >= 0 && s.in_from < most ? move_full(mover, 0, 0, &s)
                                              : BARO_EUNSUPPORTED;
}

static int build_unbind(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = has(io, 0) ? axis_of(io, "dim", 0, io->in[0].n_dims, 0) : -1;
    int rc = axis < 0 || io->n_out != full_extent(&io->in[0], axis) ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_out && rc == 0; k++) {
        const struct stretch s = {
            .axis = axis, .in_from = k, .in_step = 1, .count = 1, .is_dropped = true};
        rc = has_out(io, k) ? move_full(mover, 0, k, &s) : 0;
    }
    return rc;
}

/* split, chunk: outputs that nobody has still take their place. */
static int build_split(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = has(io, 0) ? axis_of(io, "dim", 0, io->in[0].n_dims, 0) : -1;
    if (axis < 0) {
        return BARO_EUNSUPPORTED;
    }
    const char *sizes = probe_attr_count(io->op, "split_sizes") > 0  ? "split_sizes"
                        : probe_attr_count(io->op, "split_size") > 0 ? "split_size"
                                                                     : "chunks";
    const bool is_list = probe_attr_count(io->op, sizes) > 1;
    const int64_t most = full_extent(&io->in[0], axis);
    int64_t each = credit_attr_int(io, sizes, 0, most);
    if (strcmp(sizes, "chunks") == 0 && each > 0) {
        each = (most + each - 1) / each;
    }
    int64_t from = 0;
    int rc = 0;
    for (uint32_t k = 0; k < io->n_out && rc == 0; k++) {
        int64_t count = is_list ? credit_attr_int(io, sizes, (int)k, 0) : each;
        count = count > most - from ? most - from : count;
        const struct stretch s = {
            .axis = axis, .in_from = from, .in_step = 1, .count = count};
        if (has_out(io, k)) {
            rc = full_extent(&io->out[k], axis) == count ? move_full(mover, 0, k, &s)
                                                         : BARO_EUNSUPPORTED;
        }
        from += count;
    }
    return rc;
}

static int build_cat(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const char *name = probe_attr_count(io->op, "axis") > 0 ? "axis" : "dim";
    const int axis = axis_of(io, name, 0, io->out[0].n_dims, 0);
    int64_t from = 0;
    int rc = axis < 0 ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_in && rc == 0; k++) {
        if (!has(io, k) || (io->in[k].n_dims == 1 && io->in[k].n == 0)) {
            continue;
        }
        if (io->in[k].n_dims != io->out[0].n_dims) {
            return BARO_EUNSUPPORTED;
        }
        const struct stretch s = {.axis = axis,
            .in_step = 1,
            .out_from = from,
            .count = full_extent(&io->in[k], axis)};
        from += s.count;
        if (from > full_extent(&io->out[0], axis)) {
            return BARO_EUNSUPPORTED;
        }
        rc = move_full(mover, k, 0, &s);
    }
    return rc;
}

static int build_stack(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = has_out(io, 0) ? axis_of(io, "dim", 0, io->out[0].n_dims, 0) : -1;
    int rc = axis < 0 || io->out[0].shape[axis] != io->n_in ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_in && rc == 0; k++) {
        const struct stretch s = {.axis = axis, .out_from = k, .count = 1, .is_new = true};
        rc = has(io, k) ? move_stretch(mover, k, 0, &s) : 0;
    }
    return rc;
}

static int build_flip(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io) || io->in[0].n != io->out[0].n) {
        return BARO_EUNSUPPORTED;
    }
    struct loops loops = {.n = io->in[0].n_dims};
    strides_of(&io->in[0], loops.in_step);
    strides_of(&io->out[0], loops.out_step);
    memcpy(loops.extent, io->in[0].shape, (size_t)loops.n * sizeof loops.extent[0]);
    for (int i = 0; i < probe_attr_count(io->op, "dims"); i++) {
        const int axis = axis_of(io, "dims", i, loops.n, INT_MIN);
        if (axis < 0 || is_part(&io->in[0], axis)) {
            return BARO_EUNSUPPORTED;
        }
        loops.in_base += loops.in_step[axis] * (loops.extent[axis] - 1);
        loops.in_step[axis] = -loops.in_step[axis];
    }
    move(mover, 0, 0, &loops);
    return 0;
}

static int build_roll(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io) || probe_attr_count(io->op, "dims") != 1) {
        return BARO_EUNSUPPORTED;
    }
    const int axis = axis_of(io, "dims", 0, io->in[0].n_dims, INT_MIN);
    if (axis < 0 || is_part(&io->in[0], axis) || io->in[0].shape[axis] == 0) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t extent = io->in[0].shape[axis];
    const int64_t shift = (credit_attr_int(io, "shifts", 0, 0) % extent + extent) % extent;
    const struct stretch front = {
        .axis = axis, .in_step = 1, .out_from = shift, .count = extent - shift};
    const struct stretch back = {
        .axis = axis, .in_from = extent - shift, .in_step = 1, .count = shift};
    const int rc = move_stretch(mover, 0, 0, &front);
    return rc != 0 ? rc : move_stretch(mover, 0, 0, &back);
}

static int build_repeat(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has(io, 0) || !has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const struct credit_array *out = &io->out[0];
    const int missing = out->n_dims - in->n_dims;
    struct loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    strides_of(in, in_step);
    strides_of(out, out_step);
    for (int d = 0; d < out->n_dims; d++) {
        const int64_t extent = d >= missing ? in->shape[d - missing] : 1;
        if (missing < 0 || extent == 0 || out->shape[d] % extent != 0 ||
            (extent != out->shape[d] && is_part(out, d))) {
            return BARO_EUNSUPPORTED;
        }
        loops.extent[loops.n] = out->shape[d] / extent;
        loops.in_step[loops.n] = 0;
        loops.out_step[loops.n++] = out_step[d] * extent;
        loops.extent[loops.n] = extent;
        loops.in_step[loops.n] = d >= missing ? in_step[d - missing] : 0;
        loops.out_step[loops.n++] = out_step[d];
    }
    move(mover, 0, 0, &loops);
    return 0;
}

/* unfold: windows along one axis, as a new last axis. */
static int build_unfold(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = has(io, 0) && has_out(io, 0)
                         ? axis_of(io, "dimension", 0, io->in[0].n_dims, INT_MIN)
                         : -1;
    if (axis < 0 || io->out[0].n_dims != io->in[0].n_dims + 1 ||
        is_part(&io->in[0], axis)) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    struct loops loops = {.n = io->out[0].n_dims};
    strides_of(in, loops.in_step);
    strides_of(&io->out[0], loops.out_step);
    memcpy(loops.extent, io->out[0].shape, (size_t)loops.n * sizeof loops.extent[0]);
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
    move(mover, 0, 0, &loops);
    return 0;
}

static int build_pad(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io)) {
        return BARO_EUNSUPPORTED;
    }
    struct loops loops = {.n = io->in[0].n_dims};
    strides_of(&io->in[0], loops.in_step);
    strides_of(&io->out[0], loops.out_step);
    memcpy(loops.extent, io->in[0].shape, (size_t)loops.n * sizeof loops.extent[0]);
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
    move(mover, 0, 0, &loops);
    return 0;
}

/* tril, triu: the rest of the last two axes is 0. */
static int build_triangle(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has_pair(io) || io->in[0].n != io->out[0].n || io->in[0].n_dims < 2) {
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
        const struct loops loops = {.n = 1,
            .extent = {is_upper ? columns - at : at},
            .in_step = {1},
            .out_step = {1},
            .in_base = from,
            .out_base = from};
        move(mover, 0, 0, &loops);
    }
    return 0;
}

static int build_diagonal(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has(io, 0) || !has_out(io, 0) || io->in[0].n_dims < 2) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *in = &io->in[0];
    const int a = axis_of(io, "dim1", 0, in->n_dims, 0);
    const int b = axis_of(io, "dim2", 0, in->n_dims, 1);
    const int64_t offset = credit_attr_int(io, "offset", 0, 0);
    if (a < 0 || b < 0 || a == b || is_part(in, a) || is_part(in, b)) {
        return BARO_EUNSUPPORTED;
    }
    struct loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    strides_of(in, in_step);
    strides_of(&io->out[0], loops.out_step);
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
    move(mover, 0, 0, &loops);
    return 0;
}

/* pixel_shuffle: [..., c r r, h, w] to [..., c, h r, w r]. */
static int build_shuffle(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    const int64_t r = credit_attr_int(io, "upscale_factor", 0, 0);
    const int n = io->n_in > 0 ? io->in[0].n_dims : 0;
    if (!has_pair(io) || n < 3 || r < 1 || io->in[0].n != io->out[0].n ||
        io->out[0].shape[n - 2] != io->in[0].shape[n - 2] * r) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t h = io->in[0].shape[n - 2];
    const int64_t w = io->in[0].shape[n - 1];
    const struct loops loops = {.n = 5,
        .extent = {io->in[0].n / (r * r * h * w), r, r, h, w},
        .in_step = {r * r * h * w, r * h * w, h * w, w, 1},
        .out_step = {r * r * h * w, w * r, 1, r * w * r, r}};
    move(mover, 0, 0, &loops);
    return 0;
}

/* as_strided: places in the memory of a value that is contiguous and whole. */
static int build_as_strided(const struct mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!has(io, 0) || !has_out(io, 0) || io->in[0].n != credit_full_count(&io->in[0])) {
        return BARO_EUNSUPPORTED;
    }
    const struct credit_array *out = &io->out[0];
    struct loops loops = {.n = out->n_dims};
    loops.in_base = credit_attr_int(io, "storage_offset", 0, 0);
    strides_of(out, loops.out_step);
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
    move(mover, 0, 0, &loops);
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
    {"slice narrow", build_slice},
    {"select", build_select},
    {"unbind", build_unbind},
    {"split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk",
        build_split},
    {"cat concat concatenate", build_cat},
    {"stack", build_stack},
    {"flip", build_flip},
    {"roll", build_roll},
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
    const struct mover mover = {.io = io, .is_forward = is_forward};
    return find_build(io)(&mover);
}
