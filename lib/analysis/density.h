/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many lines run through each pixel of a chart, steep ones counting no more than level ones:
 * the backdrop that shows the whole behind a few chosen lines. Pure, and progressive by line.
 */
#ifndef BARO_DENSITY_H
#define BARO_DENSITY_H

#include "lib/analysis/polyline.h"

/* Lines added so far, by pixel. The sum does not depend on the order in which lines come. */
struct density {
    size_t width, height;
    size_t
        n_added; /* lines; what is shown is a fair picture of n_added of the caller's lines
                     * when those were taken in random order */
    int64_t
        *edges; /* width x (height + 1), column by column: what is more than in the pixel
                     * above, in 2^-32 lines */
};

/** Make an empty picture of at least one pixel; ends the process without memory. */
void density_init(struct density *density, size_t width, size_t height);

/** Free what a density holds. */
void density_finish(struct density *density);

/** Take all lines out. */
void density_clear(struct density *density);

/**
 * Add one line: in each pixel column that it has a reading in or passes, one line in all, shared
 * evenly by the pixels that it lights there. It is drawn a pixel wide from reading to reading,
 * broken at gaps and at readings that are not finite; where a reading stands for several, from
 * the least to the largest.
 *
 * screen  of the density's height; steps are laid evenly over the width, or by lines->x
 * cost    one read of its values and one step a pixel column, however steep it is
 */
void density_add(struct density *density, const struct polyline_screen *screen,
    const struct polylines *lines, size_t line);

/**
 * Give lines by pixel. A column sums to the number of lines that light a pixel of the chart in it.
 *
 * out_cells   width x height, row by row from the top
 */
void density_get(const struct density *density, float *out_cells);

/**
 * Give shades for a picture: 0 for no line, 255 for the densest pixel; even up to one line, then
 * by the logarithm, so that a single line in an empty place stays visible beside thousands.
 *
 * out_shades   n_cells
 * returns      lines in the densest pixel: what 255 means
 */
float density_shade(const float *cells, size_t n_cells, uint8_t *out_shades);

#endif
