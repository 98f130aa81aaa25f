/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of differences after some blocks, and what the sums of a unit say; of update.c. */
#ifndef BARO_UPDATE_SUMS_H
#define BARO_UPDATE_SUMS_H

#include "lib/simd/pairs.h"
#include "lib/simd/update_kernel.h"

/* What is known of some differences. */
struct baro_update_tally {
    uint64_t count;
    uint64_t n_nan;
    uint64_t n_pos_inf;
    uint64_t n_neg_inf;
    uint64_t n_zero;
    uint64_t n; /* finite ones */
    double mean;
    double m2;
    double l1;
    double l2;
    double min;
    double max;
    int64_t first_bad;
};

/* The sums of a unit beyond doubt. */
struct baro_update_exact {
    long double dd;
    long double bb;
    double change;
};

/** Begin a tally. */
struct baro_update_tally baro_update_tally_empty(void);

/** Merge the summary of a block that begins at a position. */
void baro_update_tally_merge(
    struct baro_update_tally *to, const struct baro_summary *s, int64_t position);

/** Add a block of finite differences whose squares add up to dd; l1 and m2 are left alone. */
void baro_update_tally_add(
    struct baro_update_tally *to, const struct baro_block *b, double dd);

/**
 * Give 1 - cos of a unit.
 *
 * returns  false when doubles do not tell: baro_update_exactly() does then
 */
bool baro_update_change(
    const struct baro_update_sums *s, enum baro_lane lane, double *out_change);

/** Tell whether nothing is left of a unit. */
bool baro_update_is_gone(const struct baro_pairs *p, enum baro_dtype dtype, int64_t unit);

/** Sum a unit once more, in long double. */
struct baro_update_exact baro_update_exactly(
    const struct baro_pairs *p, enum baro_dtype dtype, int64_t unit);

#endif
