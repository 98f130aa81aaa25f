/* SPDX-License-Identifier: Apache-2.0 */
/* Where the elements are that indices choose: for the rules that read and that write there. */
#ifndef BARO_CREDIT_PLACES_H
#define BARO_CREDIT_PLACES_H

#include "lib/analysis/credit_op.h"

enum { CREDIT_INDICES = BARO_MAX_DIMS, CREDIT_NOWHERE = -1 };

/* Where the elements of an output are. */
struct credit_places {
    int64_t n;
    int64_t *source; /* place in the source as kept; CREDIT_NOWHERE: not kept */
    int64_t
        *index[CREDIT_INDICES]; /* place in each index; NULL: that one is not an operand */
    uint32_t index_at[CREDIT_INDICES];
    int n_indices;
};

/* One side, now or before, of an operation. */
struct credit_side {
    const struct credit_io *io;
    const struct probe *probe;
    const struct credit_array *in;
    const struct credit_array *out;
};

/* Several indices at once: their common shape, and where it stands among the output's axes. */
struct credit_spread {
    int n_dims;
    int64_t shape[BARO_MAX_DIMS];
    int front;       /* of the output */
    int first, last; /* axes of the source that have indices */
};

/** Whether an operand was given. */
bool credit_side_has(const struct credit_side *side, uint32_t k);

/** Whether an index is a mask. */
bool credit_is_mask(const struct credit_array *array);

/** Read the axis that an operation was given; -1: it is not there. */
int credit_axis_argument(const struct credit_io *io, const struct credit_array *array);

/** Places of slices along an axis (or, with is_gather, of single elements) that an index says. */
int credit_find_along(const struct credit_side *side, uint32_t source_at, int axis,
    uint32_t index_at, bool is_gather, struct credit_places *places);

/** Places where a mask is true, of axes from front on. */
int credit_find_masked(const struct credit_side *side, uint32_t mask_at, int front,
    struct credit_places *places);

/** Find the common shape of the indices begin to end, and where it stands. */
int credit_find_spread(const struct credit_side *side, uint32_t begin, uint32_t end,
    struct credit_spread *spread);

/** Places of x[i, j, :], for a result of that shape. */
int credit_find_indexed(const struct credit_side *side, uint32_t begin, uint32_t end,
    const struct credit_array *result, struct credit_places *places);

/** Free what the functions above made. */
void credit_places_finish(struct credit_places *places);

#endif
