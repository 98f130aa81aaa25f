/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/strip.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "client/model/grid.h"
#include "client/model/model.h"

enum { ROOM = 32 };

static uint32_t n_nonfinite(const struct wire_column *column)
{
    return column->n_nan + column->n_pos_inf + column->n_neg_inf;
}

struct wire_column strip_column(int64_t step, double value)
{
    bool is_finite = isfinite(value);
    return (struct wire_column){
        .first_step = step,
        .last_step = step,
        .min = is_finite ? value : (double)NAN,
        .max = is_finite ? value : (double)NAN,
        .mean = is_finite ? value : (double)NAN,
        .first = value,
        .last = value,
        .count = 1,
        .n_nan = isnan(value) ? 1 : 0,
        .n_pos_inf = isinf(value) && value > 0 ? 1 : 0,
        .n_neg_inf = isinf(value) && value < 0 ? 1 : 0,
    };
}

/* Add one reading to a column; it is the column's last from then on. */
static void merge(struct wire_column *column, int64_t step, double value)
{
    struct wire_column one = strip_column(step, value);
    uint32_t n_finite = column->count - n_nonfinite(column);
    if (isfinite(value)) {
        column->min = n_finite == 0 ? value : fmin(column->min, value);
        column->max = n_finite == 0 ? value : fmax(column->max, value);
        column->mean = n_finite == 0
                           ? value
                           : column->mean + (value - column->mean) / (n_finite + 1.0);
    }
    column->last_step = step;
    column->last = value;
    column->count++;
    column->n_nan += one.n_nan;
    column->n_pos_inf += one.n_pos_inf;
    column->n_neg_inf += one.n_neg_inf;
}

void strip_finish(struct strip *strip)
{
    part_unref(strip->columns);
    memset(strip, 0, sizeof *strip);
}

int64_t strip_last_step(const struct strip *strip)
{
    return strip->n == 0 ? INT64_MIN : strip->columns[strip->n - 1].last_step;
}

/* New memory for n columns and some to come; series may share the old one. */
static void take_room(struct strip *strip, size_t n)
{
    strip->capacity = n + n / 8 + ROOM;
    strip->columns = part_create(strip->capacity * sizeof *strip->columns, NULL);
}

/* Append to the columns alone; false for a step that goes back. */
static bool append(struct strip *strip, int64_t step, double value)
{
    if (strip->n > 0) {
        struct wire_column *last = &strip->columns[strip->n - 1];
        if (step < last->last_step) {
            return false;
        }
        if (grid_column(strip->width, step) ==
            grid_column(strip->width, last->first_step)) {
            merge(last, step, value);
            return true;
        }
    }
    if (strip->n == strip->capacity) {
        struct wire_column *old = strip->columns;
        take_room(strip, strip->n + 1);
        if (strip->n > 0) {
            memcpy(strip->columns, old, strip->n * sizeof *old);
        }
        part_unref(old);
    }
    strip->columns[strip->n++] = strip_column(step, value);
    return true;
}

void strip_load(
    struct strip *strip, int64_t width, const struct wire_column *columns, size_t n)
{
    static atomic_uint_fast64_t n_loaded;
    strip->lineage = atomic_fetch_add_explicit(&n_loaded, 1, memory_order_relaxed) + 1;
    strip->width = width;
    strip->n = 0;
    part_unref(strip->columns);
    take_room(strip, n);
    for (size_t i = 0; i < n; i++) {
        if (columns[i].count > 0) {
            strip->columns[strip->n++] = columns[i];
        }
    }
    int64_t last_step = strip_last_step(strip);
    size_t first = strip->n_recent > STRIP_N_RECENT ? strip->n_recent - STRIP_N_RECENT : 0;
    for (size_t i = first; i < strip->n_recent; i++) {
        const struct strip_point *point = &strip->recent[i % STRIP_N_RECENT];
        if (point->step > last_step) {
            (void)append(strip, point->step, point->value);
        }
    }
}

bool strip_add(struct strip *strip, int64_t step, double value)
{
    strip->recent[strip->n_recent++ % STRIP_N_RECENT] = (struct strip_point){step, value};
    return strip->width == 0 || append(strip, step, value);
}

static void finish_series(void *part)
{
    part_unref(((struct model_series *)part)->shared);
}

struct model_series *strip_publish(const struct strip *strip)
{
    struct model_series *series = part_create(sizeof *series, finish_series);
    series->width = strip->width;
    series->is_ready = strip->width != 0;
    series->lineage = strip->lineage;
    series->n = strip->n;
    series->shared = part_ref(strip->columns);
    if (strip->n > 0) {
        series->last = strip->columns[strip->n - 1];
    }
    return series;
}
