/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/order.h"

enum { COLUMNS = 32, MAX_SAMPLED = 8192 };

static const double far_beyond = 8; /* lengths of the scale: further out all are alike */

/* ---- colours ---- */

/* Logarithmic where few values dwarf the others. */
static struct axis find_scale(
    const struct model_units *units, uint32_t n, size_t from, size_t to)
{
    baro_autofree float *values = baro_xcalloc(MAX_SAMPLED, sizeof *values);
    size_t n_cells = (size_t)n * (to - from);
    size_t every = n_cells / MAX_SAMPLED + 1;
    size_t n_values = 0;
    for (size_t i = 0; i < n_cells && n_values < MAX_SAMPLED; i += every) {
        float value = units->mean[i / (to - from) * units->n + from + i % (to - from)];
        if (isfinite(value)) {
            values[n_values++] = value;
        }
    }
    if (n_values == 0) {
        return (struct axis){.kind = AXIS_LINEAR, .lo = 0, .hi = 1};
    }
    qsort(values, n_values, sizeof *values, baro_by_float);
    double lo = (double)values[n_values / 100];
    double hi = (double)values[n_values - 1 - n_values / 100];
    double middle = (double)values[n_values / 2];
    if (!(hi > lo)) {
        hi = lo + fmax(fabs(lo) * 0.01, 1e-30);
    }
    bool is_log = values[0] > 0 && middle > 0 && (hi > 20 * middle || lo * 20 < middle);
    return (struct axis){.kind = is_log ? AXIS_LOG : AXIS_LINEAR, .lo = lo, .hi = hi};
}

float order_place(const struct axis *scale, float value)
{
    if (!isfinite(value)) {
        return NAN;
    }
    return (float)fmin(fmax(axis_place(scale, (double)value), 0), 1);
}

/* Each row in at most COLUMNS means of its visible colours, and of what those stand for. */
static void fill_cells(
    struct order *order, const struct model_units *units, size_t from, size_t to)
{
    size_t n_columns = to - from < COLUMNS ? to - from : COLUMNS;
    size_t n_cells = (size_t)order->n * n_columns + 1;
    order->n_columns = n_columns;
    free(order->cells);
    free(order->places);
    order->cells = baro_xcalloc(n_cells, sizeof *order->cells);
    order->places = baro_xcalloc(n_cells, sizeof *order->places);
    for (size_t row = 0; row < order->n; row++) {
        const float *mean = &units->mean[row * units->n];
        for (size_t c = 0; c < n_columns; c++) {
            size_t a = from + c * (to - from) / n_columns;
            size_t b = from + (c + 1) * (to - from) / n_columns;
            float sum = 0;
            float sum_places = 0;
            float n = 0;
            for (size_t i = a; i < b; i++) {
                if (isfinite(mean[i])) {
                    double place = axis_place(&order->scale, (double)mean[i]);
                    sum += (float)fmin(fmax(place, 0), 1);
                    sum_places += (float)fmin(fmax(place, -far_beyond), far_beyond);
                    n += 1;
                }
            }
            order->cells[row * n_columns + c] = n > 0 ? sum / n : NAN;
            order->places[row * n_columns + c] = n > 0 ? sum_places / n : NAN;
        }
    }
}

/* ---- order ---- */

/* Of oddness and its row. */
struct odd {
    float oddness;
    uint32_t row;
};

static int compare_odd(const void *a, const void *b)
{
    const struct odd *x = a;
    const struct odd *y = b;
    if (x->oddness > y->oddness || x->oddness < y->oddness) {
        return x->oddness > y->oddness ? -1 : 1;
    }
    return (x->row > y->row) - (x->row < y->row);
}

static void order_by_oddness(struct order *order)
{
    baro_autofree float *oddness = baro_xcalloc(order->n + 1U, sizeof *oddness);
    baro_autofree struct odd *odd = baro_xcalloc(order->n + 1U, sizeof *odd);
    seriate_oddness(order->cells, order->n, order->n_columns, oddness);
    for (uint32_t i = 0; i < order->n; i++) {
        odd[i] = (struct odd){oddness[i], i};
    }
    qsort(odd, order->n, sizeof *odd, compare_odd);
    for (uint32_t i = 0; i < order->n; i++) {
        order->rows[i] = odd[i].row;
    }
}

void order_make(struct order *order, const struct model_units *units, uint32_t n,
    size_t from, size_t to, enum order_by by, bool like)
{
    baro_autofree uint32_t *before = order->rows;
    order->by = by;
    order->n = n;
    order->scale = find_scale(units, n, from, to);
    fill_cells(order, units, from, to);
    order->rows = baro_xcalloc(n + 1U, sizeof *order->rows);
    if (by == ORDER_BY_LIKENESS) {
        seriate(order->cells, n, order->n_columns, order->rows);
        if (like && before != NULL) {
            seriate_orient(before, n, order->rows);
        }
    } else if (by == ORDER_BY_ODDNESS) {
        order_by_oddness(order);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            order->rows[i] = i;
        }
    }
}

void order_finish(struct order *order)
{
    free(order->cells);
    free(order->places);
    free(order->rows);
    *order = (struct order){0};
}
