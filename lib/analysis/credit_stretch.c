/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_stretch.h"

#include <limits.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"

/* A stretch along one axis: input places in_from, in_from + in_step, ... are output places out_from,
 * out_from + 1, ...; `count` of them. Other axes are alike, but one that is_dropped or is_new. */
struct stretch {
    int axis; /* of the input; of the output when is_new */
    int64_t in_from, in_step, out_from, count;
    bool is_dropped; /* the output has no such axis */
    bool is_new;     /* the input has no such axis */
};

static int move_stretch(const struct credit_mover *mover, uint32_t in_at, uint32_t out_at,
    const struct stretch *s)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[out_at];
    struct credit_loops loops = {0};
    int64_t in_step[BARO_MAX_DIMS];
    int64_t out_step[BARO_MAX_DIMS];
    credit_strides(in, in_step);
    credit_strides(out, out_step);
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
    credit_loops_move(mover, in_at, out_at, &loops);
    return 0;
}

/*
 * The same by full places along the axis; where samples are missing each kept one goes alone.
 */
static int move_full(const struct credit_mover *mover, uint32_t in_at, uint32_t out_at,
    const struct stretch *s)
{
    const struct credit_array *in = &mover->io->in[in_at];
    const struct credit_array *out = &mover->io->out[out_at];
    if (s->is_new || !credit_is_part(in, s->axis)) {
        return move_stretch(mover, in_at, out_at, s);
    }
    if (!s->is_dropped && s->in_step == 1 && s->in_from == 0 && s->out_from == 0 &&
        in->shape[s->axis] == out->shape[s->axis]) {
        struct stretch whole = *s;
        whole.count = in->shape[s->axis];
        return move_stretch(mover, in_at, out_at, &whole);
    }
    if (!s->is_dropped && credit_is_part(out, s->axis)) {
        return BARO_EUNSUPPORTED;
    }
    for (int64_t kept = 0; kept < in->shape[s->axis]; kept++) {
        const int64_t away = credit_full_place(mover->io, in, kept) - s->in_from;
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

int credit_stretch_slice(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis =
        credit_has_pair(io) ? credit_attr_axis(io, "dim", 0, io->in[0].n_dims, 0) : -1;
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
    if (!credit_is_part(&io->in[0], axis) && s.count != io->out[0].shape[axis]) {
        return BARO_EUNSUPPORTED;
    }
    return move_full(mover, 0, 0, &s);
}

int credit_stretch_select(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis = credit_has_in(io, 0) && credit_has_out(io, 0)
                         ? credit_attr_axis(io, "dim", 0, io->in[0].n_dims, 0)
                         : -1;
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

int credit_stretch_unbind(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis =
        credit_has_in(io, 0) ? credit_attr_axis(io, "dim", 0, io->in[0].n_dims, 0) : -1;
    int rc = axis < 0 || io->n_out != full_extent(&io->in[0], axis) ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_out && rc == 0; k++) {
        const struct stretch s = {
            .axis = axis, .in_from = k, .in_step = 1, .count = 1, .is_dropped = true};
        rc = credit_has_out(io, k) ? move_full(mover, 0, k, &s) : 0;
    }
    return rc;
}

int credit_stretch_split(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis =
        credit_has_in(io, 0) ? credit_attr_axis(io, "dim", 0, io->in[0].n_dims, 0) : -1;
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
        if (credit_has_out(io, k)) {
            rc = full_extent(&io->out[k], axis) == count ? move_full(mover, 0, k, &s)
                                                         : BARO_EUNSUPPORTED;
        }
        from += count;
    }
    return rc;
}

int credit_stretch_cat(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_out(io, 0)) {
        return BARO_EUNSUPPORTED;
    }
    const char *name = probe_attr_count(io->op, "axis") > 0 ? "axis" : "dim";
    const int axis = credit_attr_axis(io, name, 0, io->out[0].n_dims, 0);
    int64_t from = 0;
    int rc = axis < 0 ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_in && rc == 0; k++) {
        if (!credit_has_in(io, k) || (io->in[k].n_dims == 1 && io->in[k].n == 0)) {
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

int credit_stretch_stack(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    const int axis =
        credit_has_out(io, 0) ? credit_attr_axis(io, "dim", 0, io->out[0].n_dims, 0) : -1;
    int rc = axis < 0 || io->out[0].shape[axis] != io->n_in ? BARO_EUNSUPPORTED : 0;
    for (uint32_t k = 0; k < io->n_in && rc == 0; k++) {
        const struct stretch s = {.axis = axis, .out_from = k, .count = 1, .is_new = true};
        rc = credit_has_in(io, k) ? move_stretch(mover, k, 0, &s) : 0;
    }
    return rc;
}

int credit_stretch_roll(const struct credit_mover *mover)
{
    const struct credit_io *io = mover->io;
    if (!credit_has_pair(io) || probe_attr_count(io->op, "dims") != 1) {
        return BARO_EUNSUPPORTED;
    }
    const int axis = credit_attr_axis(io, "dims", 0, io->in[0].n_dims, INT_MIN);
    if (axis < 0 || credit_is_part(&io->in[0], axis) || io->in[0].shape[axis] == 0) {
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
