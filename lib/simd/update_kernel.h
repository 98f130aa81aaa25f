/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of update.c, once per instruction set; all give the same bits. */
#ifndef BARO_UPDATE_KERNEL_H
#define BARO_UPDATE_KERNEL_H

#include "lib/simd/kernel.h"

/* Elements of a strip of columns. */
enum { BARO_UPDATE_COLS = 256 };

/* Sums over elements that are finite in both, d = after - before. */
struct baro_update_sums {
    double dd; /* of d^2 */
    double bb; /* of before^2 */
    double aa; /* of after^2 */
    double ds; /* of d (after + before), which is aa - bb without its rounding */
};

/* The same of columns. */
struct baro_update_columns {
    double dd[BARO_UPDATE_COLS];
    double bb[BARO_UPDATE_COLS];
    double aa[BARO_UPDATE_COLS];
    double ds[BARO_UPDATE_COLS];
};

/*
 * Write n differences and add up. out_delta: f64 for f64, else f32; sums is added to.
 */
typedef void (*baro_update_fn)(const void *before, const void *after, size_t n,
    void *out_delta, struct baro_update_sums *sums);

/* Write n differences and add each to its column; n <= BARO_UPDATE_COLS. */
typedef void (*baro_update_cols_fn)(const void *before, const void *after, size_t n,
    void *out_delta, struct baro_update_columns *columns);

struct baro_update_kernels {
    baro_update_fn run[BARO_LANE_COUNT];
    baro_update_cols_fn cols[BARO_LANE_COUNT];
};

extern const struct baro_update_kernels baro_update_kernels_scalar;
extern const struct baro_update_kernels baro_update_kernels_avx2;

#endif
