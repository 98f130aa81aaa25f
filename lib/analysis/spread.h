/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a statistic spreads over the units of a tensor: least, largest and percentiles between, a
 * column of steps at a time. What box plots and percentile bands are drawn from.
 */
#ifndef BARO_SPREAD_H
#define BARO_SPREAD_H

#include <stddef.h>
#include <stdint.h>

struct column;

/* Rows of a spread, from below. */
enum spread_row {
    SPREAD_LEAST, /* of all readings of all units */
    SPREAD_5,     /* percentiles of the units' means */
    SPREAD_25,
    SPREAD_50,
    SPREAD_75,
    SPREAD_95,
    SPREAD_MOST,
    SPREAD_COUNT
};

/* Units under way; made by spread_create. */
struct spread;

/**
 * Find the percentiles of some values by nearest rank: of n values the one of rank ceil(q n).
 *
 * values   n; put into another order; what is not finite is left out
 * out      SPREAD_COUNT; NaN when nothing is finite
 * returns  how many were finite
 * cost     linear in n, on average
 */
size_t spread_of(float *values, size_t n, double *out);

/** Begin a spread of so many units over so many columns. Never NULL. */
struct spread *spread_create(size_t n_units, size_t n_columns);

/** Free it; NULL is fine. */
void spread_destroy(struct spread *spread);

/**
 * Add the columns of some units.
 *
 * columns  n_units rows of n_columns, finished or not; borrowed
 */
void spread_add(struct spread *spread, const struct column *columns, size_t n_units);

/**
 * Give the rows as columns of series: each value stands in min, max, mean, first and last; count
 * is how many units have a reading, n_nan and so on how many held such elements.
 *
 * out      SPREAD_COUNT rows of n_columns, zeroed
 */
void spread_columns(struct spread *spread, struct column *out);

#endif
