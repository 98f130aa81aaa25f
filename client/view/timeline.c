/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/notes.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The time axis at the bottom: all steps of the run, the visible range on it, alerts and
 * events, the cursor, and whether the view follows the run. Dragging chooses the range.
 */

static const float RIGHT_W = 260;
static const float MARK_APART = 9;

static struct axis whole_axis(const struct frame *f)
{
    double lo = (double)f->run->first_step;
    double hi = (double)f->run->last_step;
    if (f->view->is_fit) {
        lo = f->view->lo;
        hi = f->view->hi;
    }
    return (struct axis){
        .kind = AXIS_LINEAR, .unit = AXIS_STEP, .lo = lo, .hi = fmax(hi, lo + 1)};
}

static void draw_ticks(struct frame *f, const struct chart_layout *layout, float baseline)
{
    struct ticks ticks;
    ticks_choose(&layout->x, 7, &ticks);
    float right_limit = layout->plot.x + layout->plot.w;
    float cursor_x =
        isnan(f->view->cursor) ? -1000 : chart_px_of_x(layout, f->view->cursor);
    for (int i = 0; i < ticks.n; i++) {
        float x = chart_px_of_x(layout, ticks.at[i]);
        struct draw_style style = {.role = FONT_MONO,
            .size = THEME_SIZE_AXIS,
            .color = f->theme->secondary,
            .align = DRAW_CENTER};
        struct draw_rect box =
            draw_string_box(f->list, x, baseline + 17, &style, ticks.label[i]);
        if (box.x < layout->plot.x - 20 || box.x + box.w > right_limit + 20 ||
            fabsf(x - cursor_x) < box.w + 12) {
            continue;
        }
        draw_hair_v(f->list, x, baseline - 4, 4, 0, f->theme->hairline);
        (void)draw_string(f->list, x, baseline + 17, &style, ticks.label[i]);
    }
}

/* Marks of one level keep their distance, so that a burst is a few marks; the graver lie on
 * top. */
static void draw_events(struct frame *f, const struct chart_layout *layout, float y)
{
    static const enum theme_health order[] = {
        THEME_NO_DATA, THEME_CALM, THEME_WATCH, THEME_ALARM};
    for (size_t k = 0; k < BARO_LEN(order); k++) {
        float last_x = -1000;
        for (size_t i = 0; i < f->n_events; i++) {
            const struct chart_event *event = &f->events[i];
            float x = chart_px_of_x(layout, event->x);
            if (event->level != order[k] || event->is_note || x < layout->plot.x - 1 ||
                x > layout->plot.x + layout->plot.w + 1 || fabsf(x - last_x) < MARK_APART) {
                continue;
            }
            last_x = x;
            if (event->level == THEME_NO_DATA) {
                draw_hair_v(f->list, x, y - 5, 10, 0, f->theme->secondary);
            } else {
                frame_mark(f, event->level, x, y);
            }
        }
    }
}

static void tip_of_events(struct frame *f, const struct chart_layout *layout, float y)
{
    const struct view *view = f->view;
    char step[FORMAT_MAX];
    if (fabsf(view->my - y) > 9 || !frame_is_over(f, layout->rect)) {
        return;
    }
    for (size_t i = 0; i < f->model->events->n; i++) {
        const struct model_event *event = &f->model->events->at[i];
        if (fabsf(chart_px_of_x(layout, (double)event->step) - view->mx) < 5) {
            frame_tip(f, view->mx, view->my);
            frame_tip_line(f, "%s", event->text);
            frame_tip_line(f, "event at step %s", format_count(step, event->step));
        }
    }
    for (size_t i = f->model->alerts->n; i > 0; i--) {
        const struct model_alert *alert = &f->model->alerts->at[i - 1];
        float x = chart_px_of_x(layout, (double)alert->step);
        if (fabsf(x - view->mx) < 5) {
            frame_tip(f, view->mx, view->my);
            frame_tip_line(f, "%s", alert->text);
            frame_tip_line(
                f, "alert at step %s; click to go there", format_count(step, alert->step));
            frame_zone(f, (struct draw_rect){x - 5, y - 9, 10, 18}, VIEW_PICK_ALERT,
                (int64_t)alert->id, 0);
        }
    }
}

static void draw_range(struct frame *f, const struct chart_layout *layout, float baseline)
{
    float left = fmaxf(chart_px_of_x(layout, f->view->lo), layout->plot.x);
    float right =
        fminf(chart_px_of_x(layout, f->view->hi), layout->plot.x + layout->plot.w);
    draw_hair_h(f->list, layout->plot.x, baseline, layout->plot.w, 0, f->theme->hairline);
    if (right > left) {
        draw_fill(f->list,
            (struct draw_rect){left, baseline - 1, fmaxf(right - left, 2), 2},
            f->theme->accent);
        if (!f->view->is_fit) {
            draw_fill(f->list,
                (struct draw_rect){left, layout->plot.y, fmaxf(right - left, 2),
                    baseline - layout->plot.y},
                draw_fade(f->theme->accent, 0.12F));
        }
    }
}

static void draw_cursor(struct frame *f, const struct chart_layout *layout, float baseline)
{
    double cursor = f->view->cursor;
    float x = chart_px_of_x(layout, cursor);
    if (isnan(cursor) || x < layout->plot.x || x > layout->plot.x + layout->plot.w) {
        return;
    }
    char label[FORMAT_MAX];
    draw_hair_v(f->list, x, layout->plot.y, baseline - layout->plot.y, 0, f->theme->accent);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->text,
        .align = DRAW_CENTER};
    (void)format_count(label, (int64_t)llround(cursor));
    struct draw_rect box = draw_string_box(f->list, x, baseline + 17, &style, label);
    struct draw_rect ground = {box.x - 4, baseline + 5, box.w + 8, 17};
    draw_fill(f->list, ground, f->theme->raised);
    (void)draw_string(f->list, x, baseline + 17, &style, label);
}

/* At the right: the range in words, and whether the view follows the run. */
static void draw_state(struct frame *f, struct draw_rect rect)
{
    const struct view *view = f->view;
    char lo[FORMAT_MAX];
    char hi[FORMAT_MAX];
    char text[WORDS_MAX];
    bool is_running = f->run->status == BARO__RUN_STATUS__RUN_RUNNING ||
                      f->run->status == BARO__RUN_STATUS__RUN_STALLED;
    float y = rect.y + 26;
    if (view->is_fit) {
        (void)snprintf(text, sizeof text, "all steps");
    } else {
        (void)snprintf(text, sizeof text, "%s – %s",
            format_count(lo, (int64_t)ceil(view->lo)),
            format_count(hi, (int64_t)floor(view->hi)));
    }
    struct draw_style style = {.role = view->is_fit ? FONT_TEXT : FONT_MONO,
        .size = view->is_fit ? THEME_SIZE_TEXT : THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT,
        .max_w = rect.w - 24};
    (void)draw_string(f->list, rect.x + rect.w - VIEW_PAD, y, &style, text);
    bool is_away = f->model->state != MODEL_READY;
    bool is_live = is_running && view->is_live && !is_away;
    const char *state = !is_running      ? words_status(f->run)
                        : !view->is_live ? "paused; space follows again"
                        : is_away        ? "waits for the daemon"
                                         : "live";
    draw_color color = is_live ? f->theme->accent : f->theme->secondary;
    style = (struct draw_style){
        .size = THEME_SIZE_TEXT, .color = color, .align = DRAW_RIGHT, .max_w = rect.w - 40};
    struct draw_rect box =
        draw_string(f->list, rect.x + rect.w - VIEW_PAD, y + 22, &style, state);
    if (is_live) {
        draw_mark(f->list, DRAW_MARK_DOT, box.x - 10, y + 17.5F, THEME_MARK, color);
    }
    if (is_running) {
        frame_zone(
            f, (struct draw_rect){rect.x, y + 6, rect.w, 24}, VIEW_TOGGLE_LIVE, 0, 0);
    }
    if (!view->is_fit) {
        frame_zone(f, (struct draw_rect){rect.x, y - 18, rect.w, 24}, VIEW_FIT, 0, 0);
    }
}

void timeline_draw(struct frame *f, struct draw_rect rect)
{
    draw_fill(f->list, rect, f->theme->panel);
    draw_hair_h(f->list, rect.x, rect.y, rect.w, 0, f->theme->hairline);
    if (f->run == NULL || f->run->n_steps == 0) {
        return;
    }
    struct view_slot *slot = frame_slot(f, frame_id(VIEW_PAGE_COUNT, 0, 0, 0));
    float right_w = fminf(RIGHT_W, rect.w * 0.3F);
    slot->layout = (struct chart_layout){
        .rect = {rect.x, rect.y, rect.w - right_w, rect.h},
        .plot = {rect.x + VIEW_PAD + 8, rect.y + 6, rect.w - right_w - 2 * VIEW_PAD - 8,
            rect.h - 12},
        .x = whole_axis(f),
    };
    slot->has_layout = true;
    float baseline = rect.y + 36;
    float marks_y = rect.y + 20;
    frame_zone(f, slot->layout.rect, VIEW_TIMELINE, slot - f->view->slots, 0);
    draw_range(f, &slot->layout, baseline);
    draw_ticks(f, &slot->layout, baseline + 4);
    draw_events(f, &slot->layout, marks_y);
    draw_cursor(f, &slot->layout, baseline);
    tip_of_events(f, &slot->layout, marks_y);
    notes_draw_flags(f, &slot->layout, marks_y);
    draw_state(f, (struct draw_rect){rect.x + rect.w - right_w, rect.y, right_w, rect.h});
}
