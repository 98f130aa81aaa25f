/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/unit_order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/unit_strip.h"
#include "lib/base/mem.h"

/*
 * Units in an order of likeness. What counts as alike is what is seen: the colours that the strip
 * has, over the visible steps, put into at most 32 columns. The scale of colours goes from the 1st
 * to the 99th percentile of all that is visible, logarithmic where few values dwarf the others.
 *
 * An order is worked out once for the same data. While a run goes on its data are others all the
 * time: the order stays until they are an eighth more, and a new order is turned so that it is
 * near to the one before, so that no unit jumps from one end to the other.
 */

enum { COLUMNS = 32, MAX_SAMPLED = 8192 };

/* ---- colours ---- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

/* First and last column of the rows that are visible; false: none. */
static bool visible(const struct view *view, const struct model_units *rows,
    size_t *out_from, size_t *out_to)
{
    size_t from = 0;
    size_t to = rows->n;
    while (from < to && rows->x_to[from] < view->lo) {
        from++;
    }
    while (to > from && rows->x[to - 1] > view->hi) {
        to--;
    }
    *out_from = from;
    *out_to = to;
    return to > from;
}

static struct axis find_scale(
    struct frame *f, const struct model_units *rows, uint32_t n, size_t from, size_t to)
{
    float *values = draw_scratch(f->list, MAX_SAMPLED * sizeof *values);
    size_t n_cells = (size_t)n * (to - from);
    size_t every = n_cells / MAX_SAMPLED + 1;
    size_t n_values = 0;
    for (size_t i = 0; values != NULL && i < n_cells && n_values < MAX_SAMPLED;
         i += every) {
        float value = rows->mean[i / (to - from) * rows->n + from + i % (to - from)];
        if (isfinite(value)) {
            values[n_values++] = value;
        }
    }
    if (n_values == 0) {
        return (struct axis){.kind = AXIS_LINEAR, .lo = 0, .hi = 1};
    }
    qsort(values, n_values, sizeof *values, compare_floats);
    double lo = (double)values[n_values / 100];
    double hi = (double)values[n_values - 1 - n_values / 100];
    double middle = (double)values[n_values / 2];
    if (!(hi > lo)) {
        hi = lo + fmax(fabs(lo) * 0.01, 1e-30);
    }
    bool is_log = values[0] > 0 && middle > 0 && (hi > 20 * middle || lo * 20 < middle);
    return (struct axis){.kind = is_log ? AXIS_LOG : AXIS_LINEAR, .lo = lo, .hi = hi};
}

float unit_strip_place(const struct axis *scale, float value)
{
    if (!isfinite(value)) {
        return NAN;
    }
    return (float)fmin(fmax(axis_place(scale, (double)value), 0), 1);
}

/* Each row in at most COLUMNS means of its visible colours. */
static void fill_cells(struct unit_order_cache *cache, size_t from, size_t to)
{
    const struct model_units *rows = cache->rows;
    size_t n_columns = to - from < COLUMNS ? to - from : COLUMNS;
    cache->n_columns = n_columns;
    free(cache->cells);
    cache->cells = baro_xcalloc((size_t)cache->n * n_columns + 1, sizeof *cache->cells);
    for (size_t row = 0; row < cache->n; row++) {
        const float *mean = &rows->mean[row * rows->n];
        for (size_t c = 0; c < n_columns; c++) {
            size_t a = from + c * (to - from) / n_columns;
            size_t b = from + (c + 1) * (to - from) / n_columns;
            float sum = 0;
            float n = 0;
            for (size_t i = a; i < b; i++) {
                float place = unit_strip_place(&cache->scale, mean[i]);
                sum += isnan(place) ? 0 : place;
                n += isnan(place) ? 0 : 1;
            }
            cache->cells[row * n_columns + c] = n > 0 ? sum / n : NAN;
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

static void order_by_oddness(struct unit_order_cache *cache)
{
    baro_autofree float *oddness = baro_xcalloc(cache->n + 1U, sizeof *oddness);
    baro_autofree struct odd *odd = baro_xcalloc(cache->n + 1U, sizeof *odd);
    seriate_oddness(cache->cells, cache->n, cache->n_columns, oddness);
    for (uint32_t i = 0; i < cache->n; i++) {
        odd[i] = (struct odd){oddness[i], i};
    }
    qsort(odd, cache->n, sizeof *odd, compare_odd);
    for (uint32_t i = 0; i < cache->n; i++) {
        cache->order[i] = odd[i].row;
    }
}

static void work_out(struct unit_order_cache *cache, enum tensor_order by, bool is_like)
{
    baro_autofree uint32_t *before = cache->order;
    cache->order = baro_xcalloc(cache->n + 1U, sizeof *cache->order);
    if (by == TENSOR_BY_LIKENESS) {
        seriate(cache->cells, cache->n, cache->n_columns, cache->order);
        if (is_like && before != NULL) {
            seriate_orient(before, cache->n, cache->order);
        }
    } else if (by == TENSOR_BY_ODDNESS) {
        order_by_oddness(cache);
    } else {
        for (uint32_t i = 0; i < cache->n; i++) {
            cache->order[i] = i;
        }
    }
}

/* ---- what is remembered ---- */

struct unit_order_cache *unit_order_cache(struct view *view)
{
    if (view->unit_order == NULL) {
        view->unit_order = baro_xcalloc(1, sizeof *view->unit_order);
    }
    return view->unit_order;
}

void unit_order_destroy(struct unit_order_cache *cache)
{
    if (cache != NULL) {
        part_unref(cache->rows);
        part_unref(cache->sample);
        free(cache->cells);
        free(cache->order);
        free(cache->colors);
        free(cache);
    }
}

static bool is_same_subject(const struct unit_order_cache *cache, const struct units *units,
    const struct model_units *rows, enum tensor_order by, uint32_t n)
{
    return cache->rows != NULL && cache->thing == units->thing->thing &&
           cache->stat == units->stat && cache->by == by && cache->n == n &&
           (cache->sample != NULL) == (rows != units->sheet);
}

/* Whether the order that is there goes on to do: the same steps, and not much more of them. */
static bool is_near(const struct unit_order_cache *cache, const struct view *view,
    const struct model_units *rows, size_t n_visible)
{
    bool has_same_start = !(view->lo < cache->lo) && !(view->lo > cache->lo);
    return cache->sample == NULL && has_same_start && rows->width == cache->width &&
           n_visible >= cache->n_visible &&
           n_visible <= cache->n_visible + cache->n_visible / 8;
}

/* Hold on to what rows lie in: the sheet itself, or the sample of which they are a member. */
static void keep_rows(struct unit_order_cache *cache, const struct units *units,
    const struct model_units *rows)
{
    const struct model_units *old = cache->sample == NULL ? cache->rows : NULL;
    const struct model_sample *old_sample = cache->sample;
    bool is_sheet = rows == units->sheet;
    cache->rows = is_sheet ? part_ref(rows) : rows;
    cache->sample = is_sheet ? NULL : part_ref(units->sample);
    part_unref(old);
    part_unref(old_sample);
}

static void update(struct frame *f, const struct units *units,
    const struct model_units *rows, enum tensor_order by, uint32_t n)
{
    struct unit_order_cache *cache = unit_order_cache(f->view);
    const struct view *view = f->view;
    bool is_same = is_same_subject(cache, units, rows, by, n);
    bool has_same_steps = !(view->lo < cache->lo) && !(view->lo > cache->lo) &&
                          !(view->hi < cache->hi) && !(view->hi > cache->hi);
    if (is_same && cache->rows == rows && has_same_steps) {
        return;
    }
    size_t from = 0;
    size_t to = 0;
    bool has_any = visible(view, rows, &from, &to);
    bool stays = is_same && has_any && is_near(cache, view, rows, to - from);
    keep_rows(cache, units, rows);
    cache->thing = units->thing->thing;
    cache->stat = units->stat;
    cache->by = by;
    cache->n = n;
    cache->hi = view->hi;
    cache->stamp++;
    if (stays) {
        return;
    }
    cache->lo = view->lo;
    cache->width = rows->width;
    cache->n_visible = to - from;
    cache->scale = find_scale(f, rows, n, from, to);
    fill_cells(cache, from, to);
    work_out(cache, by, is_same);
}

bool unit_order_get(struct frame *f, const struct units *units, enum tensor_order by,
    struct unit_order *out)
{
    bool has_sheet = units->sheet != NULL && units->sheet->n > 0;
    const struct model_units *rows = has_sheet               ? units->sheet
                                     : units->sample != NULL ? &units->sample->lines
                                                             : NULL;
    uint32_t n = has_sheet ? units->sheet->n_units
                 : units->sample != NULL && units->thing->n_units > UNITS_MAX_SHEET
                     ? units->sample->n_shown
                     : 0;
    if (rows == NULL || rows->n == 0 || n == 0) {
        return false;
    }
    update(f, units, rows, by, n);
    const struct unit_order_cache *cache = f->view->unit_order;
    *out = (struct unit_order){.rows = cache->rows,
        .units = cache->sample != NULL ? cache->sample->shown : NULL,
        .n = cache->n,
        .order = cache->order,
        .scale = cache->scale,
        .stamp = cache->stamp};
    return true;
}

size_t unit_order_nearest(struct frame *f, const struct units *units, uint32_t unit,
    size_t most, struct seriate_near *out)
{
    struct unit_order order;
    if (units->sheet == NULL || unit >= units->sheet->n_units ||
        !unit_order_get(f, units, f->view->tensor.order, &order) || order.units != NULL) {
        return 0;
    }
    const struct unit_order_cache *cache = f->view->unit_order;
    return seriate_nearest(cache->cells, cache->n, cache->n_columns, unit, most, out);
}
