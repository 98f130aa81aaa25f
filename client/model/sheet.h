/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sheet: one statistic of all units of a tensor, columns of a grid by units. As a strip has
 * history at its left and live readings at its right.
 */
#ifndef CLIENT_MODEL_SHEET_H
#define CLIENT_MODEL_SHEET_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/wire.h"

/* What a cell holds besides finite values. */
enum sheet_flag { SHEET_NAN = 1, SHEET_POS_INF = 2, SHEET_NEG_INF = 4 };

/* One unit within one column. */
struct sheet_cell {
    float min, max, mean; /* of finite readings; NaN when none is */
    uint8_t flags;        /* enum sheet_flag */
};

/* The stretch of steps of one column and how many readings it has. */
struct sheet_column {
    int64_t first_step, last_step;
    uint32_t count;
};

enum { SHEET_N_RECENT = 64 };

/* Zero is an empty sheet. */
struct sheet {
    int64_t width;
    uint32_t n_units;
    size_t n, capacity; /* columns that hold readings */
    struct sheet_column *columns;
    struct sheet_cell *cells; /* column-major: [n][n_units] */
    /* The newest live readings, to put them behind a history that does not hold them yet. */
    size_t n_recent; /* ever; the ring holds the last SHEET_N_RECENT */
    int64_t recent_steps[SHEET_N_RECENT];
    float *recent; /* [SHEET_N_RECENT][2][n_units]: values, then non-finite elements */
};

/** Make an empty sheet for a number of units. */
void sheet_init(struct sheet *sheet, uint32_t n_units);

/** Free what a sheet holds. */
void sheet_finish(struct sheet *sheet);

/**
 * Replace the history; recent live readings later than its last one are appended again.
 *
 * columns    n_units rows of n, as a range reply for all units gives them
 * nonfinite  the same of statistic n_nonfinite, or NULL: marks units that hold such elements
 *            though the statistic itself is finite
 */
void sheet_load(struct sheet *sheet, int64_t width, size_t n,
    const struct wire_column *columns, const struct wire_column *nonfinite);

/**
 * Append one live reading of all units.
 *
 * values       n_units
 * n_nonfinite  n_units: non-finite elements of each unit
 * returns      false when the step lies before the last column
 */
bool sheet_add(
    struct sheet *sheet, int64_t step, const float *values, const float *n_nonfinite);

#endif
