/* SPDX-License-Identifier: Apache-2.0 */
/* Which shown lines come too near to a line, interval by interval: the inside of sample.c. */
#ifndef BARO_SAMPLE_GRID_H
#define BARO_SAMPLE_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/polyline.h"

enum {
    SAMPLE_MAX_INTERVALS = POLYLINE_MAX_COLUMNS,
    SAMPLE_GRID_CELLS = 1024,
    SAMPLE_NOBODY = 0xffff
};

/* One bit an interval. */
struct sample_mask {
    uint64_t bits[(SAMPLE_MAX_INTERVALS + 63) / 64];
};

/* What a line brings to an interval. */
struct sample_piece {
    float middle;  /* px; NaN: no segment */
    float rise;    /* px / sqrt(12) */
    uint16_t next; /* slot in the same row of pixels */
};

/* Segments of the shown lines, by interval and height. A slot is a shown line's place. */
struct sample_grid {
    size_t n_intervals; /* columns - 1, but 1 for a single column: points then */
    size_t n_columns;
    size_t n_slots; /* room */
    float height_px;
    float radius[SAMPLE_MAX_INTERVALS];
    float cell[SAMPLE_MAX_INTERVALS]; /* px; at least the radius */
    float cells_a_px[SAMPLE_MAX_INTERVALS];
    uint16_t *head;              /* n_intervals x SAMPLE_GRID_CELLS: slots */
    struct sample_piece *pieces; /* n_intervals x n_slots */
};

/** Make an empty grid; ends the process without memory. */
void sample_grid_init(
    struct sample_grid *grid, size_t n_columns, size_t n_slots, float height_px);

/** Free what a grid holds. */
void sample_grid_finish(struct sample_grid *grid);

/** Take all lines out and set the cells by the radii, which the caller has changed. */
void sample_grid_clear(struct sample_grid *grid);

/** Put a line into a slot; y: its heights at the key columns. */
void sample_grid_add(struct sample_grid *grid, size_t slot, const float *y);

/** Put a slot's line anew into one interval, after its heights there have changed. */
void sample_grid_move(
    struct sample_grid *grid, size_t slot, size_t interval, const float *y);

/**
 * Weigh the intervals in which a line comes nearer than the radius to a shown one.
 *
 * weights    n_intervals: what a conflict in each costs
 * first      the interval to look at first
 * most       look no further once the share of the line's weight that conflicts is above this
 * out_mask   intervals in which it has a segment and does not conflict; whole only when the
 *            share returned is at most `most`
 * returns    conflicting weight / weight of the intervals in which it has a segment; 2 without any
 */
float sample_grid_conflict(const struct sample_grid *grid, const float *y,
    const float *weights, size_t first, float most, struct sample_mask *out_mask);

#endif
