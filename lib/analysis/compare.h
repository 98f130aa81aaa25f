/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing two runs, or two steps of one: how much two readings differ, and from which step on two
 * series do. Pure; used by baro compare and by the viewer's page.
 */
#ifndef BARO_COMPARE_H
#define BARO_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/columns.h"

/**
 * Tell how much two readings differ, to order many by it.
 *
 * is_norm  true: by how many times one is the other, in octaves; false: their difference over the
 *          larger magnitude
 * returns  0 for equal ones, also two NaN; INFINITY where only one is finite
 */
double compare_weight(double a, double b, bool is_norm);

/* Where two series part. */
struct compare_parting {
    bool has_common; /* they have columns at the same steps */
    bool is_equal;   /* to the last bit, wherever both have a reading */
    int64_t
        equal_to; /* last step up to which they are equal; INT64_MIN: from the first on not */
    bool has_parted; /* they differ by more than their own noise, and go on to */
    int64_t step;    /* from which on */
    double noise;    /* of their difference, one standard deviation */
};

/**
 * Find the step from which on two series differ by more than their own noise.
 *
 * The noise of each is that of its second differences, which a trend does not enter: their median
 * magnitude, over 0.6745 and the square root of 6. Of the difference of the two it is the root of
 * both squares. They have parted at the first column from which on three in a row (or all that are
 * left) differ by more than 5 of it, or in which one alone is not finite.
 *
 * a, b     columns by rising steps; those are compared that share steps
 * cost     about 20 ns a column
 */
void compare_part(const struct column *a, size_t n_a, const struct column *b, size_t n_b,
    struct compare_parting *out);

#endif
