/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

enum { BYTES_A_READING = 3 * sizeof(float) + 1 };

static const double flat_share = 0.5;    /* of a level value, shown above and below it */
static const double linear_share = 1e-3; /* of the largest value, where symlog is linear */
static const double log_reach =
    1e-6; /* of the largest value, when others are not above 0 */

size_t sample_lines_bytes(size_t n_lines, size_t n_columns)
{
    return n_lines * n_columns * BYTES_A_READING;
}

void sample_lines_init(struct sample_lines *lines, size_t n_lines, size_t n_columns)
{
    const size_t n = n_lines * n_columns;
    *lines = (struct sample_lines){.n_lines = n_lines, .n_columns = n_columns};
    lines->values = baro_xcalloc(n + 1, sizeof *lines->values);
    lines->low = baro_xcalloc(n + 1, sizeof *lines->low);
    lines->high = baro_xcalloc(n + 1, sizeof *lines->high);
    lines->marks = baro_xcalloc(n + 1, 1);
    lines->is_used = baro_xcalloc(n_columns + 1, sizeof *lines->is_used);
    lines->n_readings = baro_xcalloc(n_columns + 1, sizeof *lines->n_readings);
    lines->x = baro_xcalloc(n_columns + 1, sizeof *lines->x);
}

void sample_lines_finish(struct sample_lines *lines)
{
    free(lines->values);
    free(lines->low);
    free(lines->high);
    free(lines->marks);
    free(lines->is_used);
    free(lines->n_readings);
    free(lines->x);
    *lines = (struct sample_lines){0};
}

static void take_column(struct sample_lines *lines, size_t at, const struct column *column)
{
    const uint32_t n_bad = column->n_nan + column->n_pos_inf + column->n_neg_inf;
    lines->marks[at] = n_bad > 0 ? POLYLINE_NONFINITE : POLYLINE_FINITE;
    lines->values[at] = (float)(isfinite(column->last) ? column->last : column->mean);
    lines->low[at] = (float)column->min;
    lines->high[at] = (float)column->max;
    if (column->count > n_bad) {
        lines->least = lines->has_any ? fmin(lines->least, column->min) : column->min;
        lines->most = lines->has_any ? fmax(lines->most, column->max) : column->max;
        lines->has_any = true;
    }
}

void sample_lines_take(struct sample_lines *lines, size_t first_line, size_t n_lines,
    const struct column *columns)
{
    for (size_t i = 0; i < n_lines; i++) {
        for (size_t c = 0; c < lines->n_columns; c++) {
            const struct column *column = &columns[i * lines->n_columns + c];
            if (column->count > 0) { /* else it stays the gap that it is */
                take_column(lines, (first_line + i) * lines->n_columns + c, column);
                lines->is_used[c] = true;
                lines->n_readings[c] = column->count > lines->n_readings[c]
                                           ? (uint32_t)column->count
                                           : lines->n_readings[c];
            }
        }
    }
}

/* Move the used columns of one line together. */
static void pack_line(struct sample_lines *lines, size_t line, size_t n_used)
{
    size_t to = line * n_used;
    for (size_t c = 0; c < lines->n_columns; c++) {
        if (lines->is_used[c]) {
            size_t from = line * lines->n_columns + c;
            lines->values[to] = lines->values[from];
            lines->low[to] = lines->low[from];
            lines->high[to] = lines->high[from];
            lines->marks[to++] = lines->marks[from];
        }
    }
}

void sample_lines_pack(struct sample_lines *lines)
{
    size_t n_used = 0;
    for (size_t c = 0; c < lines->n_columns; c++) {
        if (lines->is_used[c]) {
            lines->n_readings[n_used] = lines->n_readings[c];
            lines->x[n_used++] = (double)c;
        }
    }
    for (size_t i = 0; n_used < lines->n_columns && i < lines->n_lines; i++) {
        pack_line(lines, i, n_used);
    }
    lines->view = (struct polylines){.n_lines = lines->n_lines,
        .n_steps = n_used,
        .values = lines->values,
        .low = lines->low,
        .high = lines->high,
        .marks = lines->marks,
        .x = n_used < lines->n_columns ? lines->x : NULL};
}

bool sample_fit_axis(double least, double most, enum axis_kind kind, struct axis *out)
{
    if (kind == AXIS_LOG && !(most > 0)) {
        return false;
    }
    if (!(most > least)) {
        double around = fabs(least) > 0 ? fabs(least) * flat_share : 1;
        least -= around;
        most += around;
    }
    *out = (struct axis){.kind = kind, .lo = least, .hi = most, .linear_to = 1};
    double reach = fmax(fabs(least), fabs(most));
    switch (kind) {
    case AXIS_LINEAR: return true;
    case AXIS_SYMLOG: out->linear_to = reach * linear_share; return true;
    case AXIS_LOG: break;
    }
    out->lo = least > 0 ? least : most * log_reach;
    return true;
}
