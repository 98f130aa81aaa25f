/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops that exist once per instruction set: contiguous numbers in, sums out.
 * Used by summarise.c and units.c through one table per set; all tables give the same bits.
 */
#ifndef BARO_KERNEL_H
#define BARO_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/simd/summarise.h"

enum {
    BARO_LANES = 16,      /* f32 accumulators side by side, in every set */
    BARO_CHUNK = 256,     /* elements summed in f32 before the second level */
    BARO_BLOCK = 4096,    /* elements summed in f32 before f64 */
    BARO_COLS = 512,      /* columns of one strip */
    BARO_TILE_ROWS = 256, /* rows summed in f32 before f64 */
    BARO_NARROW = 256,    /* elements of a row up to which rows are taken many at a time */
    /* Bytes that kernels ask for before they need them. Twice as much made them slower. */
    BARO_FETCH_AHEAD = 512
};

/* Below this magnitude, f32 squares summed up lose digits to underflow. */
#define BARO_FAST_LEAST 0x1p-57f

/* Element types that kernels read as they lie in memory; all others are widened to f64. */
enum baro_lane {
    BARO_LANE_F32 = 0,
    BARO_LANE_F16,
    BARO_LANE_BF16,
    BARO_LANE_F64,
    BARO_LANE_COUNT
};

/*
 * Sums over one block. The fast kernel takes every element as finite, the wide one looks.
 */
struct baro_block {
    double sum;        /* of x - shift */
    double sq;         /* of (x - shift)^2 */
    double l1;         /* of |x| */
    double min;        /* +inf when no element is finite */
    double max;        /* -inf when no element is finite */
    uint64_t n_finite; /* the fast kernel says n */
    uint64_t n_zero;
};

/* Sums down some columns; the kernels add to them. Counts are doubles: exact to 2^53. */
struct baro_columns {
    double sum[BARO_COLS];
    double sq[BARO_COLS];
    double abs_max[BARO_COLS];
    double n_zero[BARO_COLS];
    double n_bad[BARO_COLS]; /* NaN and infinities */
};

/* Sum one block of n elements. shift  finite; the wide kernels take any double */
typedef void (*baro_block_fn)(
    const void *data, size_t n, double shift, struct baro_block *out);

/*
 * Add a tile to the columns. stride: elements from row to row; n_rows <= BARO_TILE_ROWS.
 * The fast kernel returns false and adds nothing when f32 does not do: call the wide one
 * then.
 */
typedef bool (*baro_tile_fn)(const void *data, int64_t stride, size_t n_rows, size_t n_cols,
    struct baro_columns *to);

/*
 * The same for columns and for the tile as a whole in one look. out is filled as by the fast
 * kernel at shift 0. False: nothing is added to the columns, and out is not filled.
 */
typedef bool (*baro_grid_fn)(const void *data, int64_t stride, size_t n_rows, size_t n_cols,
    struct baro_columns *to, struct baro_block *out);

/* Sums of some rows. */
struct baro_rows {
    double sum[BARO_TILE_ROWS];
    double sq[BARO_TILE_ROWS];
    double abs_max[BARO_TILE_ROWS];
    double n_zero[BARO_TILE_ROWS];
};

/*
 * Sum n_rows <= BARO_TILE_ROWS rows of n_cols <= BARO_NARROW elements that follow one another,
 * and all of them. False when f32 does not do for one of the rows: nothing filled in counts.
 */
typedef bool (*baro_rows_fn)(const void *data, size_t n_rows, size_t n_cols,
    struct baro_rows *to, struct baro_block *out);

/*
 * One instruction set. The fast kernels compute in f32 (f64 for f64) and take a shift of
 * that type. row is as fast at shift 0, but fills no l1 and no min, and max is of |x|. The
 * wide ones compute in f64 and leave non-finite elements out. NULL in row, cols, grid and
 * rows: only wide there.
 */
struct baro_kernels {
    baro_block_fn fast[BARO_LANE_COUNT];
    baro_block_fn row[BARO_LANE_COUNT];
    baro_block_fn wide[BARO_LANE_COUNT];
    baro_tile_fn cols[BARO_LANE_COUNT];
    baro_tile_fn wide_cols[BARO_LANE_COUNT];
    baro_grid_fn grid[BARO_LANE_COUNT];
    baro_rows_fn rows[BARO_LANE_COUNT];
};

/* fmax() and fmin() without their care for NaN: numbers only, and no call. */
static inline double baro_larger(double a, double b)
{
    return a > b ? a : b;
}

static inline double baro_smaller(double a, double b)
{
    return a < b ? a : b;
}

extern const struct baro_kernels baro_kernels_scalar;
extern const struct baro_kernels baro_kernels_avx2;
extern const struct baro_kernels baro_kernels_avx512;

/** Give the table in use: the best one of this CPU, or what baro_simd_use() set. */
const struct baro_kernels *baro_kernels_get(void);

#endif
