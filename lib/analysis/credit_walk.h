/* SPDX-License-Identifier: Apache-2.0 */
/* Going through the elements of an output and of the operands that are spread over it. */
#ifndef BARO_CREDIT_WALK_H
#define BARO_CREDIT_WALK_H

#include "lib/analysis/credit_op.h"

enum { CREDIT_WALK_OPERANDS = 4 };

/* A place in an output, and the places in its operands that belong there. */
struct credit_walk {
    int n_dims;
    int n_operands;
    int64_t shape[BARO_MAX_DIMS];
    int64_t at[BARO_MAX_DIMS];
    int64_t stride[CREDIT_WALK_OPERANDS][BARO_MAX_DIMS];
    int64_t offset[CREDIT_WALK_OPERANDS]; /* where we are */
};

/**
 * Begin at the first element.
 *
 * operands  n_operands arrays; NULL or without a value: its offset stays 0
 * returns   0; BARO_EUNSUPPORTED when one cannot be spread over the output
 */
int credit_walk_begin(struct credit_walk *walk, const struct credit_array *out,
    const struct credit_array *const *operands, int n_operands);

/** Go to the next element, in row-major order. */
static inline void credit_walk_next(struct credit_walk *walk)
{
    for (int d = walk->n_dims - 1; d >= 0; d--) {
        for (int k = 0; k < walk->n_operands; k++) {
            walk->offset[k] += walk->stride[k][d];
        }
        if (++walk->at[d] < walk->shape[d]) {
            return;
        }
        for (int k = 0; k < walk->n_operands; k++) {
            walk->offset[k] -= walk->stride[k][d] * walk->shape[d];
        }
        walk->at[d] = 0;
    }
}

#endif
