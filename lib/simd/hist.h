/* SPDX-License-Identifier: Apache-2.0 */
/* Counting of magnitudes by power of two, exactly or from an even sample. */
#ifndef BARO_HIST_H
#define BARO_HIST_H

#include "lib/base/tensor.h"
#include "lib/simd/summarise.h"

enum {
    BARO_HIST_EXACT = 65536, /* elements up to which every one is counted */
    BARO_HIST_EVERY = 16,    /* above: 16 consecutive ones of every 256 */
    BARO_HIST_SMALL = 1024,  /* elements up to which one table does */
    BARO_HIST_BITS = 9,      /* sign and exponent of an f32 */
    BARO_HIST_TABLES =
        4 /* side by side, so that equal neighbours do not wait for each other */
};

/* Counts on the way, by the upper 9 bits of the f32. */
struct baro_hist_work {
    uint32_t every; /* 1 or BARO_HIST_EVERY */
    uint32_t
        n_tables; /* in use: 1 for small tensors, whose cost is clearing and reading them */
    uint32_t zeros[2];
    uint32_t table[BARO_HIST_TABLES][1 << BARO_HIST_BITS];
};

/** Begin. count: elements of the tensor. */
void baro_hist_begin(struct baro_hist_work *work, int64_t count);

/**
 * Count a run.
 *
 * position  of its first element on the walk: the sample is chosen by it
 */
void baro_hist_add(struct baro_hist_work *work, enum baro_dtype dtype, const void *run,
    size_t n, int64_t position);

/** Finish. repeat: how often each element counts. */
void baro_hist_end(
    const struct baro_hist_work *work, int64_t repeat, struct baro_hist *out);

#endif
