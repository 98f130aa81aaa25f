/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines as they lie on the screen: the readings of many units become heights in pixels at a
 * few key columns, after the axis transform. What sampling and density work on. Pure.
 */
#ifndef BARO_POLYLINE_H
#define BARO_POLYLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/axis.h"

enum { POLYLINE_MAX_COLUMNS = 96 };

/* What a reading of a line is. */
enum polyline_mark {
    POLYLINE_GAP = 0,      /* there is none */
    POLYLINE_FINITE = 1,   /* it and all that it stands for are finite */
    POLYLINE_NONFINITE = 2 /* it, or one of those that it stands for, is not */
};

/* The readings of many lines at the same steps; borrowed from whoever made them. */
struct polylines {
    size_t n_lines;
    size_t n_steps;
    const float *values; /* n_lines x n_steps, line by line */
    const float *low;  /* as values: the least of the readings that each stands for, ... */
    const float *high; /* ... and the largest; both NULL: each stands for itself */
    const uint8_t *marks; /* as values: enum polyline_mark; NULL: by value, and no gaps */
    const double *x;      /* n_steps, rising: where each step lies; NULL: evenly */
};

/* A chart: how values become heights, and which steps share a key column. */
struct polyline_screen {
    struct axis axis;
    float height_px;
    size_t n_columns; /* 0 when there are no steps */
    /* Steps of key column c: first_step[c] up to, not including, first_step[c + 1]. */
    uint32_t first_step[POLYLINE_MAX_COLUMNS + 1];
    double from, by; /* height = height_px - (transformed - from) * by */
};

/* What one line is like as a whole. */
struct polyline_traits {
    bool is_empty; /* no finite reading */
    bool has_nonfinite;
    uint32_t bad_column; /* has_nonfinite: the first one */
    float leap_px;       /* the largest rise between two key columns, or within one */
    float top[POLYLINE_MAX_COLUMNS];    /* of all readings in the column; NaN: none */
    float bottom[POLYLINE_MAX_COLUMNS]; /* bottom >= top: pixels grow downwards */
};

/**
 * Lay key columns over the steps of lines.
 *
 * axis        lo < hi; log with lo > 0; symlog with linear_to > 0
 * n_columns   at most POLYLINE_MAX_COLUMNS; fewer when there are fewer steps or x leaves some
 *             without any
 */
void polyline_screen_init(struct polyline_screen *screen, const struct polylines *lines,
    const struct axis *axis, float height_px, size_t n_columns);

/**
 * Give a height in pixels, 0 at the top; values far beyond the chart are held within four
 * heights of it, values that a log axis cannot show lie a tenth below its foot. NaN for NaN.
 *
 * The logarithm is good to a thousandth of a pixel, not to the last bit: for choosing lines, not
 * for drawing them.
 */
float polyline_height(const struct polyline_screen *screen, float value);

/**
 * Give one line's heights at the key columns: its last reading in each; NaN where it has none.
 *
 * out_y   screen->n_columns
 * cost    one read of its values
 */
void polyline_reduce(const struct polyline_screen *screen, const struct polylines *lines,
    size_t line, float *out_y, struct polyline_traits *out_traits);

#endif
