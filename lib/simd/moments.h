/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a tensor after some of its blocks: shared by summarise.c, which says how it
 * is computed, and both.c.
 */
#ifndef BARO_MOMENTS_H
#define BARO_MOMENTS_H

#include <stdbool.h>

#include "lib/simd/kernel.h"
#include "lib/simd/walk.h"

/* What is known after some blocks. */
struct baro_moments {
    const struct baro_kernels *kernels;
    const struct baro_walk *walk;
    enum baro_dtype dtype; /* of the elements in memory */
    enum baro_lane lane;
    uint64_t n; /* finite elements so far */
    double mean;
    double m2;
    double l1;
    double min;
    double max;
    uint64_t n_zero;
    uint64_t n_nan;
    uint64_t n_pos_inf;
    uint64_t n_neg_inf;
    int64_t first_bad;
    int n_indexed;      /* bad elements whose index was worked out */
    bool index_unknown; /* there were more than INDEX_BUDGET */
    bool extreme;       /* f64 arithmetic is not enough */
};

/** Begin. walk: over the span; must outlive the moments. */
void baro_moments_begin(
    struct baro_moments *s, const struct baro_walk *walk, const struct baro_span *span);

/**
 * Add a block of at most BARO_BLOCK elements.
 *
 * run       of the type that the lane reads
 * position  on the walk, of its first element
 */
void baro_moments_add(struct baro_moments *s, const void *run, size_t n, int64_t position);

/**
 * Add the sums of elements that were summed about 0.
 *
 * returns  false, and nothing is added, when they are not exact enough: baro_moments_add() the
 *          elements themselves then
 */
bool baro_moments_merge(struct baro_moments *s, const struct baro_block *b);

/** Finish. */
void baro_moments_end(
    struct baro_moments *s, const struct baro_span *span, struct baro_summary *out);

#endif
