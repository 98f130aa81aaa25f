/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/form.h"
#include "client/view/marks.h"
#include "client/view/unit_order.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The panel over time of the tensor page, below the units and on their steps: all units as a strip
 * of pixels, the distribution of all elements, or how far updates move the weights.
 */

static const float HEAD_H = 32;
static const float ALL_W = 620; /* of the head with all words */

/* ---- change ---- */

/* One of the two strips: how the change of the units lies, or the ratio of the whole. */
static void draw_strip(struct frame *f, struct draw_rect rect,
    const struct model_thing *thing, enum form_stat stat, enum form form)
{
    struct form_data data = form_get(f, thing, stat, form);
    struct draw_rect plot = {rect.x, rect.y + 18, rect.w, rect.h - 24};
    struct axis y;
    char text[FORMAT_MAX];
    char note[WORDS_MAX];
    double value = form_value(f, &data, f->view->cursor, NULL);
    struct draw_rect box =
        frame_text(f, FONT_STRONG, THEME_SIZE_AXIS, f->theme->text, plot.x, rect.y + 12,
            200, stat == FORM_RATIO ? "update ratio" : "change degree of the units");
    (void)snprintf(note, sizeof note, "%s",
        stat == FORM_RATIO
            ? "norm of the update / norm of the weights"
            : "1 - cos before, after: least to most, 5 to 95 %, middle half");
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->text,
        .align = DRAW_RIGHT};
    struct draw_rect at = {plot.x + plot.w, 0, 0, 0};
    if (!isnan(value)) {
        at = draw_string(
            f->list, plot.x + plot.w, rect.y + 12, &style, format_value(text, value));
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, box.x + box.w + 10,
        rect.y + 12, fmaxf(at.x - box.x - box.w - 20, 10), note);
    draw_hair_h(f->list, plot.x, plot.y + plot.h, plot.w, 0, f->theme->hairline);
    if (!form_fit(f, &data, 1, stat, form, &y)) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, plot.x + 8,
            plot.y + plot.h / 2 + 4, plot.w,
            data.is_single ? "each unit is one number: it has no direction to change"
                           : "no reading of updates here");
        return;
    }
    style.color = f->theme->secondary;
    for (double v = 1e-12; v < 2; v *= 10) { /* a line a decade, words at some */
        double place = axis_place(&y, v);
        float py = plot.y + plot.h * (1 - (float)place);
        if (place >= 0 && place <= 1) {
            bool is_bound = v > 0.9e-4 && v < 0.2;
            draw_hair_h(f->list, plot.x, py, plot.w, is_bound ? 3 : 0,
                is_bound ? f->theme->hairline : f->theme->grid);
        }
    }
    (void)draw_string(f->list, plot.x - 6, plot.y + 8, &style, format_value(text, y.hi));
    (void)draw_string(
        f->list, plot.x - 6, plot.y + plot.h, &style, format_value(text, y.lo));
    draw_clip(f->list, plot);
    form_draw(f, plot, &data, stat, form, &y, false);
    plot_cursor(f, plot, draw_fade(f->theme->accent, 0.75F));
    draw_unclip(f->list);
    struct view_slot *slot =
        plot_slot(f, frame_id(VIEW_TENSOR, thing->thing, 0xF1, (uint32_t)stat), plot);
    frame_zone(f, plot, VIEW_CHART, slot - f->view->slots, 0);
    if (frame_is_over(f, plot)) {
        frame_tip(f, f->view->mx, f->view->my);
        form_tip(f, &data, stat, form, f->view->cursor);
    }
}

static void draw_change(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    const struct model_thing *update =
        thing->role == BARO_UPDATE ? thing : layer_find(f->model, thing, BARO_UPDATE);
    if (update == NULL) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, rect.x,
            rect.y + 20, rect.w,
            "No updates of this layer are watched: run.watch(model, optimizer) has them, "
            "where it has weights.");
        return;
    }
    f->view->wish.spread_columns = 128;
    float half = (rect.h - 6) / 2;
    draw_strip(f, (struct draw_rect){rect.x, rect.y, rect.w, half}, update, FORM_CHANGE,
        FORM_BANDS);
    draw_strip(f, (struct draw_rect){rect.x, rect.y + half + 6, rect.w, half}, update,
        FORM_RATIO, FORM_LINE);
}

/* ---- the panel ---- */

/* Tabs at the left, what the tab can be shown as at the right. */
static void draw_tabs(struct frame *f, struct draw_rect row, enum tensor_tab tab)
{
    static const char *const tabs[] = {"units × steps", "distribution", "change"};
    static const char *const orders[] = {"by likeness", "by oddness", "by index"};
    static const char *const hists[] = {"bands", "ridges", "heat"};
    static const int64_t values[] = {0, 1, 2};
    _Static_assert(BARO_LEN(tabs) == TENSOR_TAB_COUNT, "each tab has its words");
    float y = row.y + 20;
    (void)frame_switch(f, row.x + CHART_GUTTER, y, tabs, values, BARO_LEN(tabs),
        (int64_t)tab, VIEW_TENSOR_TAB, false);
    int64_t chosen = tab == TENSOR_UNITS ? (int64_t)f->view->tensor.order
                                         : (int64_t)f->view->tensor.hist;
    const char *const *words = tab == TENSOR_UNITS ? orders : hists;
    if (tab == TENSOR_CHANGE) {
        return;
    }
    if (row.w < ALL_W) { /* no room for all: the chosen one, and how to get at the others */
        struct draw_style style = {
            .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
        char text[64];
        (void)snprintf(text, sizeof text, "%s · v: next", words[chosen]);
        (void)draw_string(f->list, row.x + row.w, y, &style, text);
        return;
    }
    (void)frame_switch(f, row.x + row.w, y, words, values, BARO_LEN(orders), chosen,
        tab == TENSOR_UNITS ? VIEW_TENSOR_ORDER : VIEW_TENSOR_HIST, true);
}

void tensor_time_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    enum tensor_tab tab = f->view->tensor.tab;
    if (tab == TENSOR_UNITS && thing->n_units == 0) {
        tab = TENSOR_DISTRIBUTION;
    }
    draw_fill(f->list, rect, f->theme->panel);
    struct draw_rect inner = draw_inset(rect, 8, 0);
    draw_tabs(f, inner, tab);
    struct draw_rect body = {inner.x + CHART_GUTTER, inner.y + HEAD_H,
        inner.w - CHART_GUTTER, inner.h - HEAD_H - 4};
    const struct view *view = f->view;
    if (view->units_slot >= 0) { /* the same steps lie below each other */
        const struct draw_rect *above = &view->slots[view->units_slot].layout.plot;
        body.x = above->x;
        body.w = above->w;
    }
    if (tab == TENSOR_UNITS) {
        struct units units = units_get(f, thing);
        unit_strip_draw(f, body, &units);
    } else if (tab == TENSOR_DISTRIBUTION) {
        hist_time_draw(f, body, thing);
    } else {
        draw_change(f, body, thing);
    }
}
