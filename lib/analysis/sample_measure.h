/* SPDX-License-Identifier: Apache-2.0 */
/* How good a choice of lines is, whoever made it: coverage, overdraw, distances, outliers. Pure. */
#ifndef BARO_SAMPLE_MEASURE_H
#define BARO_SAMPLE_MEASURE_H

#include "lib/analysis/polyline.h"

enum { SAMPLE_REACH_PX = 3, SAMPLE_PAIR_BINS = 16 };

/* Pixels of a chart and how often they are drawn. */
struct sample_canvas {
    size_t width, height;
    uint32_t *n_draws; /* width x height, column by column */
};

/** Make an empty canvas; ends the process without memory. */
void sample_canvas_init(struct sample_canvas *canvas, size_t width, size_t height);

/** Free what a canvas holds. */
void sample_canvas_finish(struct sample_canvas *canvas);

/**
 * Draw one line a pixel wide: in each column from the least to the largest of its heights there.
 *
 * screen   of the canvas's height; steps are laid evenly over the width, or by lines->x
 */
void sample_canvas_draw(struct sample_canvas *canvas, const struct polyline_screen *screen,
    const struct polylines *lines, size_t line);

/** Give the share of the pixels lit in all that lie within SAMPLE_REACH_PX of one lit in some. */
double sample_coverage(const struct sample_canvas *all, const struct sample_canvas *some);

/** Give the mean number of draws of a pixel that is lit; 0 without any. */
double sample_overdraw(const struct sample_canvas *canvas);

/* Distances of the pairs of shown lines, in all intervals. */
struct sample_pairs {
    double near_share; /* of pairs that are nearer than the radius */
    /* Pairs by distance, in steps of half a radius, divided by what an even spread over the
     * heights that the lines take in that interval has: 1 is as many. The last bin is open. */
    double density[SAMPLE_PAIR_BINS];
};

/**
 * Measure distances of pieces, interval by interval.
 *
 * y         n_shown x n_columns heights at key columns
 * radius    px, of each interval: n_columns - 1
 */
void sample_measure_pairs(const float *y, size_t n_shown, size_t n_columns,
    const float *radius, struct sample_pairs *out);

/**
 * Local outlier factor (Breunig, Kriegel, Ng, Sander 2000) of each line: how much sparser it is
 * around it than around its neighbours; near 1 within a cluster.
 *
 * features      n x n_features, e.g. heights at key columns
 * least         distances (of the root of the sum of squares) below it count as it; 0: none do
 * n_references  neighbours are looked for among the first so many of order; n: exactly
 * order         n, a random permutation
 * k             neighbours, at least 1, fewer than n_references
 * out_scores    n
 * cost          n x n_references x n_features
 */
void sample_lof(const float *features, size_t n, size_t n_features, const uint32_t *order,
    size_t n_references, size_t k, double least, double *out_scores);

#endif
