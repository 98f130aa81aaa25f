/* SPDX-License-Identifier: Apache-2.0 */
/* Nested loops that carry elements between an input and an output, either way. */
#ifndef BARO_CREDIT_LOOPS_H
#define BARO_CREDIT_LOOPS_H

#include "lib/analysis/credit_op.h"

enum { CREDIT_LOOPS_MOST = 2 * BARO_MAX_DIMS };

/* Nested loops through an input and an output. */
struct credit_loops {
    int n;
    int64_t extent[CREDIT_LOOPS_MOST];
    int64_t in_step[CREDIT_LOOPS_MOST];
    int64_t out_step[CREDIT_LOOPS_MOST];
    int64_t in_base;
    int64_t out_base;
};

/* Which way elements go. */
struct credit_mover {
    const struct credit_io *io;
    bool is_forward;
};

/** Walk loops; elements are added, for several outputs may be one input. */
void credit_loops_move(const struct credit_mover *mover, uint32_t in, uint32_t out,
    const struct credit_loops *loops);

/** Give the full place along its batch axis of what was kept at place at. */
int64_t credit_full_place(
    const struct credit_io *io, const struct credit_array *array, int64_t at);

/** Give the steps of an array's axes, in elements. */
void credit_strides(const struct credit_array *array, int64_t out[BARO_MAX_DIMS]);

/** Take an argument that is an axis, counted from the end when negative; -1: not there. */
int credit_attr_axis(
    const struct credit_io *io, const char *name, int place, int n_dims, int64_t otherwise);

/** Whether input in was given. */
static inline bool credit_has_in(const struct credit_io *io, uint32_t in)
{
    return in < io->n_in && io->in[in].value != NULL;
}

/** Whether output out was kept. */
static inline bool credit_has_out(const struct credit_io *io, uint32_t out)
{
    return out < io->n_out && io->out[out].value != NULL;
}

/** Whether the first input and the first output are there, of as many axes. */
static inline bool credit_has_pair(const struct credit_io *io)
{
    return credit_has_in(io, 0) && credit_has_out(io, 0) &&
           io->in[0].n_dims == io->out[0].n_dims;
}

/** Whether only some of the samples along an axis were kept. */
static inline bool credit_is_part(const struct credit_array *array, int axis)
{
    return axis == array->value->batch_axis &&
           array->shape[axis] != array->value->shape[axis];
}

#endif
