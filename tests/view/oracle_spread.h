/* SPDX-License-Identifier: Apache-2.0 */
/* How the oracle's units lie over steps, by sorting: for oracle.c. */
#ifndef TESTS_VIEW_ORACLE_SPREAD_H
#define TESTS_VIEW_ORACLE_SPREAD_H

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "tests/view/oracle.h"

/* How the units lie in one column, by sorting their means; out: rows of n columns. */
static inline void spread_column(
    const struct wire_column *units, size_t n, size_t at, struct wire_column *out)
{
    static const double quantiles[SPREAD_COUNT] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    double means[ORACLE_UNITS];
    size_t n_means = 0;
    struct wire_column total = {0};
    for (size_t unit = 0; unit < ORACLE_UNITS; unit++) {
        const struct wire_column *column = &units[unit * n + at];
        if (column->count == 0) {
            continue;
        }
        if (!isnan(column->mean)) {
            total.min = n_means == 0 ? column->min : fmin(total.min, column->min);
            total.max = n_means == 0 ? column->max : fmax(total.max, column->max);
            means[n_means++] = column->mean;
        }
        total.first_step = column->first_step;
        total.last_step = column->last_step;
        total.n_nan += column->n_nan > 0 ? 1 : 0;
        total.count++;
    }
    qsort(means, n_means, sizeof *means, baro_by_double);
    for (int row = 0; row < SPREAD_COUNT; row++) {
        size_t rank = (size_t)ceil(quantiles[row] * (double)n_means - 1e-9);
        double value = n_means == 0          ? (double)NAN
                       : row == SPREAD_LEAST ? total.min
                       : row == SPREAD_MOST  ? total.max
                                             : means[rank > 0 ? rank - 1 : 0];
        struct wire_column *column = &out[(size_t)row * n + at];
        *column = total;
        column->min = column->max = column->mean = column->first = column->last = value;
    }
}

/* Takes the columns of all units and gives those of their spread. */
static inline struct keeper_frame spread(uint8_t *units, size_t n)
{
    struct wire_column *out = baro_xcalloc(SPREAD_COUNT * n, sizeof *out);
    for (size_t at = 0; at < n; at++) {
        spread_column((const void *)units, n, at, out);
    }
    free(units);
    return (struct keeper_frame){(uint8_t *)out, SPREAD_COUNT * n * sizeof *out};
}

#endif
