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

/* Part of |before|^2 from which |d|^2 is large. */
#define BARO_UPDATE_SHARE 0x1p-4

/* What a fast kernel met. */
enum baro_update_found {
    BARO_UPDATE_DONE = 0,
    BARO_UPDATE_LARGE, /* differences that f32 may round; they are written all the same */
    BARO_UPDATE_NOT_FINITE /* differences that are not finite, in f32 if that is what they are */
};

/*
 * Write the differences, row by row without gaps, and add up each row in sums[row]. out_delta:
 * f64 for f64, else f32. The fast kernel's sums are good where baro_update_is_good() says so; else
 * the careful one is to be asked.
 */
typedef void (*baro_update_rows_fn)(
    const struct baro_update_tile *tile, void *out_delta, struct baro_update_sums *sums);

/*
 * The same, adding to the columns; n_cols <= BARO_UPDATE_COLS. When the fast kernel is not done it
 * has added nothing.
 */
typedef enum baro_update_found (*baro_update_cols_fn)(const struct baro_update_tile *tile,
    void *out_delta, struct baro_update_columns *columns);

/* Tell whether a fast kernel's sums of a row are finite, and of a small step. */
static inline bool baro_update_is_good(const struct baro_update_sums *s)
{
    return s->dd <= s->bb * BARO_UPDATE_SHARE && s->dd - s->dd == 0;
}

struct baro_update_kernels {
    baro_update_rows_fn rows[BARO_LANE_COUNT];
    baro_update_rows_fn careful_rows[BARO_LANE_COUNT];
    baro_update_cols_fn cols[BARO_LANE_COUNT];
    baro_update_cols_fn careful_cols[BARO_LANE_COUNT];
};

extern const struct baro_update_kernels baro_update_kernels_scalar;
extern const struct baro_update_kernels baro_update_kernels_avx2;

#endif
