/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/input.h"

#include <math.h>

#include "client/view/act.h"
#include "client/view/glide.h"
#include "client/view/inside.h"
#include "client/view/zone.h"

static const float CLICK_PX = 4; /* a smaller movement is a click */

/* What was under the pointer stays under it. */
static void pan(struct view *view, float x)
{
    const struct chart_layout *layout = &view->drag_layout;
    float by = view->drag_x0 - x;
    view_set_range(view,
        xaxis_step_at(view, layout, xaxis_px(view, layout, view->drag_lo) + by),
        xaxis_step_at(view, layout, xaxis_px(view, layout, view->drag_hi) + by));
}

static void drag_to(struct view *view, float x)
{
    double from = xaxis_step_at(view, &view->drag_layout, view->drag_x0);
    double to = xaxis_step_at(view, &view->drag_layout, x);
    if (view->drag == DRAG_PAN) {
        pan(view, x);
        glide_drag(view, x);
    } else if (view->drag == DRAG_TIMELINE && fabsf(x - view->drag_x0) >= CLICK_PX) {
        view_set_range(view, fmin(from, to), fmax(from, to));
    }
}

bool input_point(struct view *view)
{
    double before = view->cursor;
    if (!view->has_mouse || view->cursor_is_kept || view->drag != DRAG_NONE) {
        return false;
    }
    const struct chart_layout *layout =
        zone_layout(view, zone_at(view, view->mx, view->my, true));
    bool is_in = layout != NULL && view->overlay == VIEW_PLAIN &&
                 draw_inside(layout->plot, view->mx, view->my);
    view->cursor = is_in ? round(xaxis_step_at(view, layout, view->mx)) : (double)NAN;
    bool is_same = isnan(before) ? isnan(view->cursor) : fabs(view->cursor - before) < 0.5;
    return !is_same;
}

bool input_move(struct view *view, float x, float y)
{
    view->mx = x;
    view->my = y;
    view->has_mouse = true;
    if (view->drag != DRAG_NONE) {
        drag_to(view, x);
        return true;
    }
    const struct chart_layout *layout = zone_layout(view, zone_at(view, x, y, true));
    if (layout != NULL && draw_inside(layout->plot, x, y) && view->overlay == VIEW_PLAIN &&
        !view->is_playing) {
        view->cursor_is_kept = false;
    }
    (void)input_point(view);
    return true;
}

bool input_leave(struct view *view)
{
    view->has_mouse = false;
    if (!view->cursor_is_kept) {
        view->cursor = (double)NAN;
    }
    return true;
}

bool input_down(struct view *view, float x, float y, enum input_button button, int n_clicks)
{
    view->notice[0] = '\0';
    glide_stop(view);
    (void)input_move(view, x, y);
    const struct view_zone *zone = zone_at(view, x, y, true);
    const struct chart_layout *layout = zone_layout(view, zone);
    if (layout == NULL || view->overlay != VIEW_PLAIN) {
        view->drag = DRAG_NONE;
        return false;
    }
    if (button == INPUT_MAIN && n_clicks == 2) {
        act_fit(view);
        return true;
    }
    bool is_over_units = zone->act == VIEW_CHART && zone->a == view->units_slot;
    bool is_brush = is_over_units && (view->is_brushing || view->has_ctrl);
    view->drag = button == INPUT_SECOND       ? DRAG_PAN
                 : zone->act == VIEW_TIMELINE ? DRAG_TIMELINE
                 : is_brush                   ? DRAG_BRUSH
                                              : DRAG_ZOOM;
    view->drag_layout = *layout;
    view->drag_slot = zone->a;
    view->drag_unit = zone->a == view->units_slot ? view->unit_hover : -1;
    view->drag_is_both = view->has_shift && view->drag == DRAG_ZOOM;
    view->drag_x0 = x;
    view->drag_y0 = y;
    view->drag_lo = view->lo;
    view->drag_hi = view->hi;
    view->glide.moved_s = view->now_s;
    view->glide.moved_x = x;
    return true;
}

/* A value at a row of the chart that is dragged in. */
static double value_at(const struct chart_layout *layout, float y)
{
    double t = (double)((layout->plot.y + layout->plot.h - y) / layout->plot.h);
    return axis_value(&layout->y, fmin(fmax(t, 0), 1));
}

/* End of a drag with shift: its chart shows these values until it is fit again. */
static void set_y_range(struct view *view, float y)
{
    struct view_slot *slot = &view->slots[view->drag_slot];
    double a = value_at(&view->drag_layout, view->drag_y0);
    double b = value_at(&view->drag_layout, y);
    if (fabsf(y - view->drag_y0) >= CLICK_PX && fmin(a, b) < fmax(a, b)) {
        slot->has_y = true;
        slot->y_lo = fmin(a, b);
        slot->y_hi = fmax(a, b);
    }
}

/* End of a brush: the next frame, which has the lines, marks what it touches. */
static void end_brush(struct view *view, float x, float y)
{
    double from = xaxis_step_at(view, &view->drag_layout, view->drag_x0);
    double to = xaxis_step_at(view, &view->drag_layout, x);
    double a = value_at(&view->drag_layout, view->drag_y0);
    double b = value_at(&view->drag_layout, y);
    view->brush =
        (struct view_brush){true, fmin(from, to), fmax(from, to), fmin(a, b), fmax(a, b)};
}

bool input_up(struct view *view, const struct model *model, float x, float y,
    enum input_button button)
{
    enum view_drag drag = view->drag;
    view->drag = DRAG_NONE;
    bool is_click = drag == DRAG_NONE || fabsf(x - view->drag_x0) < CLICK_PX;
    if (drag == DRAG_PAN && !is_click) {
        glide_let_go(view);
    } else {
        view->glide.speed = 0;
    }
    if (drag == DRAG_ZOOM && !is_click) {
        double from = xaxis_step_at(view, &view->drag_layout, view->drag_x0);
        double to = xaxis_step_at(view, &view->drag_layout, x);
        view_set_range(view, fmin(from, to), fmax(from, to));
        if (view->drag_is_both) {
            set_y_range(view, y);
        }
        return true;
    }
    if (drag == DRAG_BRUSH && (!is_click || fabsf(y - view->drag_y0) >= CLICK_PX)) {
        end_brush(view, x, y);
        return true;
    }
    /* What was pressed counts: while a button is down nothing lies under the pointer. */
    if (button == INPUT_MAIN && is_click && drag != DRAG_NONE && view->drag_unit >= 0) {
        act_do(view, model, VIEW_PICK_UNIT, view->drag_unit, 0);
        return true;
    }
    const struct view_zone *zone = zone_at(view, x, y, false);
    if (button == INPUT_MAIN && is_click && zone != NULL && view->has_shift &&
        view->page == VIEW_LAYERS && zone->act == VIEW_CHART) {
        layers_pick_step(view, view->cursor);
    } else if (button == INPUT_MAIN && is_click && zone != NULL && view->has_ctrl &&
               zone->act == VIEW_PICK_RUN) {
        overview_pick_other(view, model, (uint32_t)zone->a);
    } else if (button == INPUT_MAIN && is_click && zone != NULL) {
        act_do(view, model, zone->act, zone->a, zone->b);
    }
    return true;
}

/* Zoom by a factor so that the step under the pointer stays under it. */
static void zoom_at(struct view *view, const struct model *model,
    const struct chart_layout *layout, double factor)
{
    const struct model_run *run = model_run_find(model, view->run);
    float from = xaxis_px(view, layout, view->lo); /* within the time axis below */
    float to = xaxis_px(view, layout, view->hi);
    float x = fminf(fmaxf(view->mx, from), to);
    double lo = xaxis_step_at(view, layout, x - (x - from) * (float)factor);
    double hi = xaxis_step_at(view, layout, x + (to - x) * (float)factor);
    if (run == NULL) {
        return;
    }
    double all = fmax((double)(run->last_step - run->first_step), 1);
    if (factor > 1 && hi - lo >= all * 1.02) {
        act_fit(view);
    } else if (hi - lo >= 4) {
        view_set_range(view, lo, hi);
    }
}

/* The topmost list or page under the pointer that scrolls; NULL: none. */
static const struct view_zone *scroll_at(const struct view *view)
{
    for (size_t i = view->n_zones; i > 0; i--) {
        const struct view_zone *zone = &view->zones[i - 1];
        if (zone->act == VIEW_SCROLL && draw_inside(zone->rect, view->mx, view->my)) {
            return zone;
        }
    }
    return NULL;
}

/* Whether charts stand in what is much longer than the window: who turns the wheel there wants to
 * see the others. */
static bool is_long(const struct view *view, const struct view_zone *scroll)
{
    return scroll != NULL && view->scroll_max[scroll->a] > scroll->rect.h / 2;
}

bool input_wheel(struct view *view, const struct model *model, float dx, float dy)
{
    const struct view_zone *chart = zone_at(view, view->mx, view->my, true);
    const struct chart_layout *layout = zone_layout(view, chart);
    const struct view_zone *scroll = scroll_at(view);
    bool may_zoom = view->has_ctrl || (chart != NULL && chart->act == VIEW_TIMELINE) ||
                    !is_long(view, scroll);
    if (layout != NULL && view->overlay == VIEW_PLAIN && may_zoom) {
        glide_stop(view);
        if (dx != 0) {
            double by = (view->hi - view->lo) * 0.1 * (double)dx;
            view_set_range(view, view->lo + by, view->hi + by);
        }
        zoom_at(view, model, layout, pow(0.8, (double)dy));
        return true;
    }
    if (scroll != NULL) {
        glide_scroll(view, (enum view_scroll)scroll->a, -dy * 48);
    }
    return scroll != NULL;
}
