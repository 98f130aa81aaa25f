/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Curves: the series that are drawn, as a chart's columns. They outlive the frame: of a series
 * that grows at its end only what has come is made anew, and the chart's memo stays with it.
 */
#ifndef CLIENT_VIEW_CURVES_H
#define CLIENT_VIEW_CURVES_H

#include "client/draw/chart.h"
#include "client/model/model.h"

struct frame;
struct curves;

/* One curve, all of it. Borrowed for the frame. */
struct curve {
    const struct chart_column *columns;
    size_t n, n_fixed;       /* the first n_fixed will not change any more */
    struct chart_memo *memo; /* NULL: none */
};

/** Forget curves that have not been drawn lately; once a frame. NULL: there are none yet. */
void curves_sweep(struct curves *curves, uint64_t frame);

/** Free them; NULL is fine. */
void curves_destroy(struct curves *curves);

/**
 * Give the curve of a series.
 *
 * is_hollow  columns without a finite reading are left out
 * returns    false when there is no room
 */
bool curves_get(
    struct frame *f, const struct model_series *series, bool is_hollow, struct curve *out);

#endif
