/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/sheet.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/grid.h"
#include "lib/base/mem.h"

void sheet_init(struct sheet *sheet, uint32_t n_units)
{
    *sheet = (struct sheet){.n_units = n_units};
    sheet->recent =
        baro_xcalloc((size_t)SHEET_N_RECENT * 2, n_units * sizeof *sheet->recent);
}

void sheet_finish(struct sheet *sheet)
{
    free(sheet->columns);
    free(sheet->cells);
    free(sheet->recent);
    memset(sheet, 0, sizeof *sheet);
}

/* Room for one more column; gives its cells. */
static struct sheet_cell *grow(struct sheet *sheet)
{
    if (sheet->n == sheet->capacity) {
        sheet->capacity = sheet->capacity == 0 ? 64 : sheet->capacity * 2;
        sheet->columns =
            baro_xrealloc(sheet->columns, sheet->capacity, sizeof *sheet->columns);
        sheet->cells = baro_xrealloc(
            sheet->cells, sheet->capacity * sheet->n_units, sizeof *sheet->cells);
    }
    return &sheet->cells[sheet->n++ * sheet->n_units];
}

static uint8_t flags_of(float value)
{
    if (isnan(value)) {
        return SHEET_NAN;
    }
    return isinf(value) ? (value > 0 ? SHEET_POS_INF : SHEET_NEG_INF) : 0;
}

static struct sheet_cell cell_of_column(
    const struct wire_column *column, const struct wire_column *nonfinite)
{
    struct sheet_cell cell = {
        (float)column->min, (float)column->max, (float)column->mean, 0};
    cell.flags |= column->n_nan > 0 ? SHEET_NAN : 0;
    cell.flags |= column->n_pos_inf > 0 ? SHEET_POS_INF : 0;
    cell.flags |= column->n_neg_inf > 0 ? SHEET_NEG_INF : 0;
    if (cell.flags == 0 && nonfinite != NULL && nonfinite->max > 0) {
        cell.flags = SHEET_NAN;
    }
    return cell;
}

static void merge(struct sheet_cell *cell, uint32_t count, float value, uint8_t flags)
{
    cell->flags |= flags;
    if (!isfinite(value)) {
        return;
    }
    bool is_first = isnan(cell->mean);
    cell->min = is_first ? value : fminf(cell->min, value);
    cell->max = is_first ? value : fmaxf(cell->max, value);
    cell->mean = is_first ? value : cell->mean + (value - cell->mean) / (float)(count + 1);
}

/* Append to the columns alone; false for a step that goes back. */
static bool append(
    struct sheet *sheet, int64_t step, const float *values, const float *n_nonfinite)
{
    struct sheet_column *last = sheet->n > 0 ? &sheet->columns[sheet->n - 1] : NULL;
    if (last != NULL && step < last->last_step) {
        return false;
    }
    bool is_same = last != NULL && grid_column(sheet->width, step) ==
                                       grid_column(sheet->width, last->first_step);
    struct sheet_cell *cells =
        is_same ? &sheet->cells[(sheet->n - 1) * sheet->n_units] : grow(sheet);
    for (size_t unit = 0; unit < sheet->n_units; unit++) {
        uint8_t flags = flags_of(values[unit]);
        if (flags == 0 && n_nonfinite[unit] > 0) {
            flags = SHEET_NAN;
        }
        if (!is_same) {
            cells[unit] = (struct sheet_cell){NAN, NAN, NAN, 0};
        }
        merge(&cells[unit], is_same ? last->count : 0, values[unit], flags);
    }
    if (is_same) {
        last->last_step = step;
        last->count++;
    } else {
        assert(sheet->columns != NULL); /* grow() has made room */
        sheet->columns[sheet->n - 1] = (struct sheet_column){step, step, 1};
    }
    return true;
}

/* All units of a tensor are read together: a column is empty when it is for the first unit. */
void sheet_load(struct sheet *sheet, int64_t width, size_t n,
    const struct wire_column *columns, const struct wire_column *nonfinite)
{
    sheet->width = width;
    sheet->n = 0;
    int64_t last_step = INT64_MIN;
    for (size_t i = 0; i < n && sheet->n_units > 0; i++) {
        const struct wire_column *first = &columns[i];
        if (first->count == 0) {
            continue;
        }
        struct sheet_cell *cells = grow(sheet);
        sheet->columns[sheet->n - 1] =
            (struct sheet_column){first->first_step, first->last_step, first->count};
        last_step = first->last_step;
        for (size_t unit = 0; unit < sheet->n_units; unit++) {
            size_t at = unit * n + i;
            cells[unit] =
                cell_of_column(&columns[at], nonfinite != NULL ? &nonfinite[at] : NULL);
        }
    }
    size_t oldest = sheet->n_recent > SHEET_N_RECENT ? sheet->n_recent - SHEET_N_RECENT : 0;
    for (size_t i = oldest; i < sheet->n_recent; i++) {
        size_t at = i % SHEET_N_RECENT;
        if (sheet->recent_steps[at] > last_step) {
            const float *row = &sheet->recent[at * 2 * sheet->n_units];
            (void)append(sheet, sheet->recent_steps[at], row, row + sheet->n_units);
        }
    }
}

bool sheet_add(
    struct sheet *sheet, int64_t step, const float *values, const float *n_nonfinite)
{
    size_t at = sheet->n_recent++ % SHEET_N_RECENT;
    size_t bytes = sheet->n_units * sizeof *values;
    float *row = &sheet->recent[at * 2 * sheet->n_units];
    sheet->recent_steps[at] = step;
    memcpy(row, values, bytes);
    memcpy(row + sheet->n_units, n_nonfinite, bytes);
    return sheet->width == 0 || append(sheet, step, values, n_nonfinite);
}
