/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grid: how a stretch of steps is cut into columns. A column is `width` steps wide, a power
 * of two, and begins at a multiple of its width. Since the cuts do not depend on where the view
 * begins or ends, readings that arrive later never move a reading of the past to another
 * column: the past does not change its face.
 */
#ifndef CLIENT_MODEL_GRID_H
#define CLIENT_MODEL_GRID_H

#include <stdbool.h>
#include <stdint.h>

struct grid {
    int64_t from;  /* first step of the first column, a multiple of width */
    int64_t width; /* steps in a column: 1, 2, 4, ...; 0: no grid */
    uint32_t n_columns;
};

/**
 * Find the finest grid of at most max_columns columns that covers a range of steps.
 *
 * from, to     inclusive; swapped when the wrong way round; held within +-2^52
 * max_columns  at least 2
 */
struct grid grid_cover(int64_t from, int64_t to, uint32_t max_columns);

/** Last step of the last column. */
int64_t grid_to(struct grid grid);

/** Number of the column of a step, counted from step 0: floor(step / width). */
int64_t grid_column(int64_t width, int64_t step);

/** Whether two grids cut the same steps in the same way. */
bool grid_equal(struct grid a, struct grid b);

#endif
