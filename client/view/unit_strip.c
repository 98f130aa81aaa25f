/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/unit_strip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The pixel chart of a tensor: a row a unit, a column a stretch of steps, the colour its value.
 * Where several units share a row of pixels the one that is furthest from the middle of all shows,
 * and a NaN before any: nothing odd vanishes in a crowd. The picture is made when the data, the
 * order or the size change, and not when only the pointer moves.
 */

static const float LEGEND_W = 90;
static const float CELL = 2; /* px wide */

/* The column of rows that a step falls to; n: none, a gap. */
static size_t column_at(const struct model_units *rows, double step, double gap)
{
    size_t lo = 0;
    size_t hi = rows->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (rows->x[mid] <= step) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == 0) {
        return rows->n;
    }
    bool is_gap = step - rows->x_to[lo - 1] > (lo < rows->n ? gap : gap / 2);
    return is_gap ? rows->n : lo - 1;
}

static draw_color color_of(const struct frame *f, float place, bool is_bad)
{
    return is_bad ? f->theme->alarm : theme_heat(f->theme, place);
}

/* The place of what lies further from the middle of the scale; NaN: neither is there. */
static float further(const struct unit_order *order, float low, float high)
{
    if (!(low <= high)) {
        return NAN;
    }
    const float a = order_place(&order->scale, low);
    const float b = low < high ? order_place(&order->scale, high) : a;
    return fabsf(b - 0.5F) > fabsf(a - 0.5F) ? b : a;
}

/* One row of pixels: of the units a to b of the order. Places rise with values, so the one that is
 * furthest from the middle is the least or the greatest. */
static void fill_row(const struct frame *f, const struct unit_order *order, size_t a,
    size_t b, const size_t *columns, size_t n_x, draw_color *out)
{
    const struct model_units *rows = order->rows;
    for (size_t x = 0; x < n_x; x++) {
        size_t column = columns[x];
        float low = INFINITY;
        float high = -INFINITY;
        bool is_bad = false;
        for (size_t i = a; i < b && column < rows->n && !is_bad; i++) {
            size_t at = (size_t)order->order[i] * rows->n + column;
            float value = rows->mean[at];
            is_bad = rows->flags[at] != 0;
            if (isfinite(value)) {
                low = value < low ? value : low;
                high = value > high ? value : high;
            }
        }
        float shown = further(order, low, high);
        out[x] = is_bad || !isnan(shown) ? color_of(f, shown, is_bad) : f->theme->panel;
    }
}

static void make_picture(struct frame *f, const struct units *units,
    const struct unit_order *order, size_t n_x, size_t n_rows)
{
    struct unit_order_cache *cache = f->view->unit_order;
    if (cache->colors != NULL && cache->colors_stamp == order->stamp && cache->n_x == n_x &&
        cache->n_rows == n_rows && cache->theme == f->theme &&
        cache->x_stamp == f->view->x.stamp) {
        return;
    }
    size_t *columns = draw_scratch(f->list, n_x * sizeof *columns);
    free(cache->colors);
    cache->colors = baro_xcalloc(n_x * n_rows, sizeof *cache->colors);
    cache->colors_stamp = order->stamp;
    cache->x_stamp = f->view->x.stamp;
    cache->n_x = n_x;
    cache->n_rows = n_rows;
    cache->theme = f->theme;
    double gap = fmax(units_gap(units->thing, order->rows->width), 1); /* a step at least */
    for (size_t x = 0; columns != NULL && x < n_x; x++) {
        columns[x] = column_at(order->rows,
            xaxis_step_of_place(f->view, ((double)x + 0.5) / (double)n_x), gap);
    }
    for (size_t row = 0; columns != NULL && row < n_rows; row++) {
        size_t a = row * order->n / n_rows;
        size_t b = (row + 1) * order->n / n_rows;
        fill_row(f, order, a, b > a ? b : a + 1, columns, n_x, cache->colors + row * n_x);
    }
}

/* ---- around it ---- */

/* The scale of colours with its ends; gives where it begins. */
static void draw_legend(struct frame *f, float right, float y, const struct axis *scale)
{
    enum { N = 32 };
    draw_color colors[N];
    char text[FORMAT_MAX];
    for (int i = 0; i < N; i++) {
        colors[i] = theme_heat(f->theme, (float)i / (N - 1));
    }
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    struct draw_rect hi =
        draw_string(f->list, right, y, &style, format_value(text, scale->hi));
    struct draw_rect bar = {hi.x - 6 - LEGEND_W, y - 8, LEGEND_W, 8};
    draw_cells(f->list, bar, colors, N, 1);
    (void)draw_string(f->list, bar.x - 6, y, &style, format_value(text, scale->lo));
}

/* The place in the order under the pointer. */
static size_t place_at(const struct frame *f, struct draw_rect plot, uint32_t n)
{
    float t = (f->view->my - plot.y) / plot.h;
    size_t place = (size_t)(fminf(fmaxf(t, 0), 1) * (float)n);
    return place < n ? place : n - 1;
}

static void tip_of(struct frame *f, const struct units *units,
    const struct unit_order *order, uint32_t row, uint32_t unit)
{
    char value[FORMAT_MAX];
    char step[FORMAT_MAX];
    double at = f->view->cursor;
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "unit %u", unit);
    size_t column = isnan(at) ? order->rows->n : units_column(order->rows, at);
    if (column < order->rows->n) {
        float mean = order->rows->mean[row * order->rows->n + column];
        uint8_t flags = order->rows->flags[row * order->rows->n + column];
        frame_tip_line(f, "%s%s at step %s", flags != 0 ? "NaN or Inf, " : "",
            isnan(mean) ? "no value" : format_exact(value, (double)mean),
            format_count(step, (int64_t)order->rows->x[column]));
        f->view->under = (struct view_under){true, (double)mean};
    }
    if (units->thing->n_units > UNITS_MAX_SHEET) {
        frame_tip_line(f, "of the %u units that are shown", order->n);
    }
}

/* Where chosen and marked units stand: ticks at the left. */
static void draw_ticks(struct frame *f, struct draw_rect plot, const struct units *units,
    const struct unit_order *order)
{
    int64_t chosen = f->view->unit;
    float h = fmaxf(plot.h / (float)order->n, 2);
    if (chosen < 0 && units->marks == NULL) {
        return;
    }
    for (uint32_t place = 0; place < order->n; place++) {
        uint32_t row = order->order[place];
        uint32_t unit = order->units != NULL ? order->units[row] : row;
        bool is_chosen = (int64_t)unit == chosen;
        if (is_chosen || (units->marks != NULL && marks_has(units->marks, unit))) {
            float y = plot.y + plot.h * (float)place / (float)order->n;
            draw_fill(f->list,
                (struct draw_rect){plot.x - (is_chosen ? 10 : 6), y, is_chosen ? 8 : 4, h},
                f->theme->accent);
        }
    }
}

static void draw_picture(struct frame *f, struct draw_rect plot, const struct units *units,
    const struct unit_order *order)
{
    const struct unit_order_cache *cache = f->view->unit_order;
    float scale = draw_scale(f->list);
    size_t n_x = (size_t)fmaxf(plot.w * scale / CELL, 8);
    size_t n_rows = (size_t)fmaxf(plot.h * scale, 1);
    make_picture(f, units, order, n_x, n_rows < order->n ? n_rows : order->n);
    draw_cells(f->list, plot, cache->colors, (uint32_t)cache->n_x, (uint32_t)cache->n_rows);
    draw_ticks(f, plot, units, order);
}

void unit_strip_draw(struct frame *f, struct draw_rect rect, const struct units *units)
{
    struct unit_order order;
    struct draw_rect plot = {rect.x, rect.y, rect.w, rect.h - 20};
    if (!unit_order_get(f, units, f->view->tensor.order, &order)) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, plot.x,
            plot.y + 20, plot.w,
            units->thing->n_units == 0 ? "this tensor has no units"
                                       : frame_waiting(f, false));
        return;
    }
    draw_picture(f, plot, units, &order);
    struct view_slot *slot =
        plot_slot(f, frame_id(VIEW_TENSOR, units->thing->thing, 0xF0, 0), plot);
    frame_zone(f, plot, VIEW_CHART, slot - f->view->slots, 0);
    plot_cursor(f, plot, draw_fade(f->theme->text, 0.7F));
    if (frame_is_over(f, plot)) {
        uint32_t row = order.order[place_at(f, plot, order.n)];
        uint32_t unit = order.units != NULL ? order.units[row] : row;
        tip_of(f, units, &order, row, unit);
        frame_zone(f, plot, VIEW_PICK_UNIT, unit, 0);
    }
    char text[WORDS_MAX];
    char n[FORMAT_MAX];
    char all[FORMAT_MAX];
    (void)snprintf(text, sizeof text, order.units != NULL ? "%s of %s units" : "%s units",
        format_count(n, order.n), format_count(all, units->thing->n_units));
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), " · %s%s",
        units_stat_words(units->stat), order.scale.kind == AXIS_LOG ? ", log scale" : "");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, plot.x,
        rect.y + rect.h - 5, plot.w - LEGEND_W - 120, text);
    draw_legend(f, plot.x + plot.w, rect.y + rect.h - 5, &order.scale);
}
