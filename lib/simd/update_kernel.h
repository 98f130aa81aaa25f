/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of update.c, once per instruction set; all give the same bits. */
#ifndef BARO_UPDATE_KERNEL_H
#define BARO_UPDATE_KERNEL_H

#include "lib/simd/kernel.h"

/* Elements of a strip of columns. */
enum { BARO_UPDATE_COLS = 256 };

/* Sums over pairs, d = after - before. */
struct baro_update_sums {
    double dd; /* of d^2 */
    double bb; /* of before^2 */
    double db; /* of d before */
};

/* The same of columns. */
struct baro_update_columns {
    double dd[BARO_UPDATE_COLS];
    double bb[BARO_UPDATE_COLS];
    double db[BARO_UPDATE_COLS];
};

/* Two matrices side by side, which touch along their columns. Strides in elements. */
struct baro_update_tile {
    const void *before;
    const void *after;
    int64_t stride_b;
    int64_t stride_a;
    size_t n_rows;
    size_t n_cols;
};

/*
 * Write the differences, row by row without gaps, and add up each row in sums[row]. out_delta:
 * f64 for f64, else f32. The fast kernel takes every difference as finite: where one is not, the
 * row's dd is not finite, and the careful kernel is the one to ask.
 */
typedef void (*baro_update_rows_fn)(
    const struct baro_update_tile *tile, void *out_delta, struct baro_update_sums *sums);

/*
 * The same, adding to the columns; n_cols <= BARO_UPDATE_COLS. The fast kernel returns false when
 * a difference is not finite, and has added nothing then.
 */
typedef bool (*baro_update_cols_fn)(const struct baro_update_tile *tile, void *out_delta,
    struct baro_update_columns *columns);

struct baro_update_kernels {
    baro_update_rows_fn rows[BARO_LANE_COUNT];
    baro_update_rows_fn careful_rows[BARO_LANE_COUNT];
    baro_update_cols_fn cols[BARO_LANE_COUNT];
    baro_update_cols_fn careful_cols[BARO_LANE_COUNT];
};

extern const struct baro_update_kernels baro_update_kernels_scalar;
extern const struct baro_update_kernels baro_update_kernels_avx2;

#endif
