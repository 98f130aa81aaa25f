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
        order_finish(&cache->order);
        free(cache->colors);
        free(cache);
    }
}

static bool is_same_subject(const struct unit_order_cache *cache, const struct units *units,
    const struct model_units *rows, enum order_by by, uint32_t n)
{
    return cache->rows != NULL && cache->thing == units->thing->thing &&
           cache->stat == units->stat && cache->order.by == by && cache->order.n == n &&
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
    const struct model_units *rows, enum order_by by, uint32_t n)
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
    cache->hi = view->hi;
    cache->stamp++;
    if (stays) {
        return;
    }
    cache->lo = view->lo;
    cache->width = rows->width;
    cache->n_visible = to - from;
    order_make(&cache->order, rows, n, from, to, by, is_same);
}

bool unit_order_get(
    struct frame *f, const struct units *units, enum order_by by, struct unit_order *out)
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
        .n = cache->order.n,
        .order = cache->order.rows,
        .scale = cache->order.scale,
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
    return seriate_nearest(
        cache->order.places, cache->order.n, cache->order.n_columns, unit, most, out);
}
