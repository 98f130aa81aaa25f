/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/spread.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/analysis/columns.h"
#include "lib/base/mem.h"

/*
 * Question: a layer has thousands of units; how do they lie, at each step, in a strip of forty
 * pixels? One line would be a mean that hides both the dead and the wild ones.
 *
 * Method: for each column of steps the percentiles 5, 25, 50, 75 and 95 of the units' means in it,
 * by nearest rank, and between them no assumption about the distribution; outside them the least
 * and the largest single reading of any unit, so that no extreme is lost to the averaging within a
 * column. A unit whose readings in a column are all NaN or infinite has no mean: it is counted,
 * and left out of the percentiles.
 *
 * Cost: selection by Hoare's quickselect within what the percentile below left to the right, so
 * all five cost about 3 n steps for n units. Memory: 4 bytes for each unit and column.
 *
 * Worked: the units' means 1, 2, ..., 20: ranks 1, 5, 10, 15 and 19, so 1, 5, 10, 15, 19.
 *
 * Rejected: a sketch (t-digest, KLL) that would need no memory for the units: with at most 65,536
 * units the exact answer costs a few milliseconds, and a bound on the error would have to be told.
 */

static const double QUANTILES[SPREAD_COUNT] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};

struct spread {
    size_t n_units, n_columns;
    size_t n_added;
    float *means;          /* [n_columns][n_units] */
    struct column *totals; /* [n_columns]: count: units; n_nan ...: units that held such */
};

/* ---- percentiles ---- */

static void swap(float *a, float *b)
{
    float c = *a;
    *a = *b;
    *b = c;
}

/* Put the k-th smallest (from 0) at its place, smaller ones before it. */
static void put_kth(float *values, size_t n, size_t k)
{
    size_t lo = 0;
    size_t hi = n - 1;
    while (lo < hi) {
        float pivot = values[lo + (hi - lo) / 2];
        size_t i = lo;
        size_t j = hi;
        while (i <= j) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i <= j) {
                swap(&values[i], &values[j]);
                i++;
                if (j == 0) {
                    break;
                }
                j--;
            }
        }
        if (k <= j && j < hi) {
            hi = j;
        } else if (k >= i) {
            lo = i;
        } else {
            return;
        }
    }
}

size_t spread_of(float *values, size_t n, double *out)
{
    size_t n_finite = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i])) {
            values[n_finite++] = values[i];
        }
    }
    size_t from = 0; /* all before are in place */
    for (int row = 0; row < SPREAD_COUNT; row++) {
        out[row] = (double)NAN;
        if (n_finite == 0) {
            continue;
        }
        double rank = ceil(QUANTILES[row] * (double)n_finite - 1e-9);
        size_t at = rank > 1 ? (size_t)rank - 1 : 0;
        put_kth(values + from, n_finite - from, at - from);
        out[row] = (double)values[at];
        from = at;
    }
    return n_finite;
}

/* ---- columns ---- */

struct spread *spread_create(size_t n_units, size_t n_columns)
{
    struct spread *spread = baro_xcalloc(1, sizeof *spread);
    spread->n_units = n_units;
    spread->n_columns = n_columns;
    spread->means = baro_xcalloc(n_units * n_columns + 1, sizeof *spread->means);
    spread->totals = baro_xcalloc(n_columns + 1, sizeof *spread->totals);
    return spread;
}

void spread_destroy(struct spread *spread)
{
    if (spread != NULL) {
        free(spread->means);
        free(spread->totals);
        free(spread);
    }
}

static void add_total(struct column *total, const struct column *column)
{
    bool is_first = total->count == 0;
    uint64_t n_bad =
        (uint64_t)column->n_nan + column->n_pos_inf + (uint64_t)column->n_neg_inf;
    if (is_first || column->first_step < total->first_step) {
        total->first_step = column->first_step;
    }
    if (is_first || column->last_step > total->last_step) {
        total->last_step = column->last_step;
    }
    if (column->count > n_bad) { /* it has finite readings */
        total->min = is_first ? column->min : fmin(total->min, column->min);
        total->max = is_first ? column->max : fmax(total->max, column->max);
    } else if (is_first) {
        total->min = total->max = (double)NAN;
    }
    total->count++;
    total->n_nan += column->n_nan > 0 ? 1 : 0;
    total->n_pos_inf += column->n_pos_inf > 0 ? 1 : 0;
    total->n_neg_inf += column->n_neg_inf > 0 ? 1 : 0;
}

void spread_add(struct spread *spread, const struct column *columns, size_t n_units)
{
    size_t n = spread->n_columns;
    for (size_t unit = 0; unit < n_units && spread->n_added < spread->n_units; unit++) {
        for (size_t c = 0; c < n; c++) {
            const struct column *column = &columns[unit * n + c];
            uint64_t n_bad =
                (uint64_t)column->n_nan + column->n_pos_inf + (uint64_t)column->n_neg_inf;
            spread->means[c * spread->n_units + spread->n_added] =
                column->count > n_bad ? (float)column->mean : NAN;
            if (column->count > 0) {
                add_total(&spread->totals[c], column);
            }
        }
        spread->n_added++;
    }
}

void spread_columns(struct spread *spread, struct column *out)
{
    for (size_t c = 0; c < spread->n_columns; c++) {
        const struct column *total = &spread->totals[c];
        double rows[SPREAD_COUNT];
        (void)spread_of(&spread->means[c * spread->n_units], spread->n_added, rows);
        rows[SPREAD_LEAST] = total->min;
        rows[SPREAD_MOST] = total->max;
        for (int row = 0; row < SPREAD_COUNT; row++) {
            struct column *column = &out[(size_t)row * spread->n_columns + c];
            *column = *total;
            if (total->count == 0) {
                column_finish(column);
                continue;
            }
            column->min = column->max = column->mean = rows[row];
            column->first = column->last = rows[row];
        }
    }
}
