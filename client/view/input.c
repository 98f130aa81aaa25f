/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/input.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/control.h"
#include "client/view/glide.h"
#include "client/view/inside.h"
#include "client/view/notes.h"
#include "lib/base/mem.h"

static const float CLICK_PX = 4; /* a smaller movement is a click */

/* ---- zones ---- */

static bool is_chart_like(enum view_act act)
{
    return act == VIEW_CHART || act == VIEW_TIMELINE;
}

/* The topmost zone at a point; chart: the topmost that is a chart or the time axis. */
static const struct view_zone *zone_at(
    const struct view *view, float x, float y, bool chart)
{
    for (size_t i = view->n_zones; i > 0; i--) {
        const struct view_zone *zone = &view->zones[i - 1];
        if (draw_inside(zone->rect, x, y) && (!chart || is_chart_like(zone->act))) {
            return zone;
        }
    }
    return NULL;
}

static const struct chart_layout *layout_of(
    const struct view *view, const struct view_zone *zone)
{
    if (zone == NULL || !is_chart_like(zone->act) || zone->a < 0 ||
        zone->a >= VIEW_MAX_SLOTS || !view->slots[zone->a].has_layout) {
        return NULL;
    }
    return &view->slots[zone->a].layout;
}

/* ---- going somewhere ---- */

static const struct model_run *shown_run(const struct view *view, const struct model *model)
{
    return model_run_find(model, view->run);
}

static void fit(struct view *view)
{
    view->is_fit = true;
    view->is_live = true;
    view_refit(view);
}

static void show_page(struct view *view, enum view_page page)
{
    view->page = page;
    view->scroll[VIEW_SCROLL_PAGE] = 0;
}

/* A chosen unit stays chosen in the other roles of its layer. */
static void show_thing(struct view *view, const struct model *model, uint32_t thing)
{
    const struct model_thing *from = model_thing_find(model, view->thing);
    const struct model_thing *to = model_thing_find(model, thing);
    if (from == NULL || to == NULL || from->n_units == 0 || !layer_is_same(from, to)) {
        view->unit = -1;
        view->is_alone = false;
    }
    view->thing = thing;
    show_page(view, VIEW_TENSOR);
}

static void show_unit(
    struct view *view, const struct model *model, int64_t unit, int64_t of)
{
    const struct model_thing *thing =
        model_thing_find(model, of > 0 ? (uint32_t)(of - 1) : view->thing);
    if (thing != NULL && unit >= 0 && unit < (int64_t)thing->n_units) {
        show_thing(view, model, thing->thing);
        view->unit = unit;
        view->scroll[VIEW_SCROLL_UNITS] = 0;
    }
}

/* Go to the step of an alert, to its tensor and unit if it has any. */
static void go_to_alert(struct view *view, const struct model *model, uint64_t id)
{
    for (size_t i = 0; i < model->alerts->n; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        if (alert->id != id) {
            continue;
        }
        const struct model_run *run = shown_run(view, model);
        const struct model_thing *thing = model_thing_find(model, alert->thing);
        double span = run != NULL ? (double)(run->last_step - run->first_step) : 100;
        double half = fmax(span / 20, 20);
        view->alert = id;
        view->cursor = (double)alert->step;
        view->cursor_is_kept = true;
        if (thing != NULL && thing->is_tensor) {
            show_thing(view, model, thing->thing);
            view->unit = alert->unit;
        } else {
            show_page(view, VIEW_OVERVIEW);
        }
        view_set_range(view,
            fmax((double)alert->step - half, run != NULL ? (double)run->first_step : 0),
            (double)alert->step + half);
        return;
    }
}

static void step_alert(struct view *view, const struct model *model, int by)
{
    const struct model_alerts *alerts = model->alerts;
    if (alerts->n == 0) {
        return;
    }
    size_t at = by > 0 ? 0 : alerts->n - 1;
    for (size_t i = 0; i < alerts->n; i++) {
        if (alerts->at[i].id == view->alert) {
            at = by > 0 ? (i + 1) % alerts->n : (i + alerts->n - 1) % alerts->n;
        }
    }
    go_to_alert(view, model, alerts->at[at].id);
}

static void pick_run(struct view *view, uint32_t run)
{
    if (run == view->run) {
        return;
    }
    view->run = run;
    view->compare.is_steps = false;
    view->compare.thing = 0;
    view->is_playing = false;
    view->ops_of = 0;
    view->thing = 0;
    view->unit = -1;
    view->is_alone = view->is_brushing = false;
    marks_clear(&view->marks);
    view->alert = 0;
    view->heat_role = 0;
    view->cursor = (double)NAN;
    view->cursor_is_kept = false;
    view->wanted_tensor = NULL;
    fit(view);
}

/* Type which scalars are shown, or show all again. */
static void open_glob(struct view *view, bool is_all)
{
    if (is_all) {
        view->overview.glob[0] = '\0';
        view->scroll[VIEW_SCROLL_PAGE] = 0;
        return;
    }
    show_page(view, VIEW_OVERVIEW);
    view->overlay = VIEW_GLOB;
}

/* List the operations of a module; those that are listed: no longer. */
static void pick_ops(struct view *view, int64_t node)
{
    if (view->tree == NULL || node < 0 || (size_t)node >= view->tree->n) {
        view->ops_of = 0;
        return;
    }
    uint64_t hash = view_hash(&view->tree->nodes[node]);
    view->ops_of = view->ops_of == hash ? 0 : hash;
    view->scroll[VIEW_SCROLL_OPS] = 0;
}

/* Move the cursor over the visible steps by itself, or stop; from the end: from the beginning. */
static void toggle_play(struct view *view)
{
    view->is_playing = !view->is_playing;
    if (view->is_playing) {
        view->is_live = false; /* the steps stay where they are */
        view->is_fit = false;
        bool is_within = view->cursor >= view->lo && view->cursor < view->hi - 1;
        view->cursor = is_within ? view->cursor : fmax(ceil(view->lo), 0);
        view->cursor_is_kept = true;
    }
}

/* Do what a key does, by its name in the list of commands. */
static void command(struct view *view, const struct model *model, char key)
{
    const char text[] = {key, '\0'};
    (void)input_char(view, model, text);
}

static void act(
    struct view *view, const struct model *model, enum view_act what, int64_t a, int64_t b)
{
    switch (what) {
    case VIEW_NOTHING:
    case VIEW_SCROLL:
    case VIEW_TIMELINE: break;
    case VIEW_PICK_RUN: pick_run(view, (uint32_t)a); break;
    case VIEW_PICK_NODE: show_thing(view, model, (uint32_t)a); break;
    case VIEW_FOLD_NODE:
        if (view->tree != NULL && b >= 0 && (size_t)b < view->tree->n) {
            view_fold(view, &view->tree->nodes[b]);
        }
        break;
    case VIEW_FOLD_BOX:
        if (view->tree != NULL && b >= 0 && (size_t)b < view->tree->n) {
            view_toggle(view, &view->tree->nodes[b], VIEW_FOLDS_NETWORK);
        }
        break;
    case VIEW_PICK_OPS: pick_ops(view, b); break;
    case VIEW_PICK_PAGE: show_page(view, (enum view_page)a); break;
    case VIEW_PICK_ALERT: go_to_alert(view, model, (uint64_t)a); break;
    case VIEW_PICK_THING: show_thing(view, model, (uint32_t)a); break;
    case VIEW_PICK_STAT: view->stat = (enum unit_stat)a; break;
    case VIEW_PICK_UNIT:
        view->unit = view->unit == a ? -1 : a;
        view->is_alone = view->is_alone && view->unit >= 0;
        view->scroll[VIEW_SCROLL_UNITS] = 0;
        break;
    case VIEW_SHOW_UNIT: show_unit(view, model, a, b); break;
    case VIEW_TOGGLE_ALONE: view->is_alone = !view->is_alone && view->unit >= 0; break;
    case VIEW_PICK_HEAT:
    case VIEW_LAYERS_STAT:
    case VIEW_LAYERS_FORM:
    case VIEW_LAYERS_SCALE:
    case VIEW_LAYERS_MOVED:
    case VIEW_LAYERS_STEP:
    case VIEW_LAYERS_TOP:
    case VIEW_TENSOR_TAB:
    case VIEW_TENSOR_ORDER:
    case VIEW_TENSOR_HIST:
    case VIEW_NETWORK_FORM:
    case VIEW_NETWORK_STAT:
    case VIEW_NETWORK_COLOR: layers_act(view, what, a); break;
    case VIEW_TOGGLE_LIVE: view->is_live = !view->is_live; break;
    case VIEW_FIT: fit(view); break;
    case VIEW_CHART:
        if (b != 0) {
            show_thing(view, model, (uint32_t)b);
        }
        break;
    case VIEW_FOUND:
        if (a >= 0 && (size_t)a < view->n_found) {
            view->overlay = VIEW_PLAIN;
            act(view, model, view->found[a].act, view->found[a].a, view->found[a].b);
        }
        break;
    case VIEW_COMMAND: command(view, model, (char)a); break;
    case VIEW_CLOSE: view->overlay = VIEW_PLAIN; break;
    case VIEW_PICK_OTHER: overview_pick_other(view, model, (uint32_t)a); break;
    case VIEW_FOLD_PROJECT: view_fold_hash(view, (uint64_t)a); break;
    case VIEW_PICK_X: xaxis_choose(view, (enum xaxis_kind)a); break;
    case VIEW_PIN: overview_pin_thing(view, model, (uint32_t)a); break;
    case VIEW_COMPARE_PICK: view->compare.thing = (uint32_t)a; break;
    case VIEW_COMPARE_ROLE:
        view->compare.role = (enum baro_role)a;
        view->scroll[VIEW_SCROLL_PAGE] = 0;
        break;
    case VIEW_COMPARE_STEPS: view->compare.is_steps = a != 0; break;
    case VIEW_COMPARE_SORT:
        view->compare.sort = (enum compare_sort)a;
        view->scroll[VIEW_SCROLL_PAGE] = 0;
        break;
    case VIEW_OPEN_GLOB: open_glob(view, a != 0); break;
    case VIEW_PICK_NOTE: notes_go(view, model, (uint64_t)a); break;
    case VIEW_WHY_MODE: view->why_mode = (enum credit_mode)a; break;
    }
}

/* ---- keys ---- */

/* Space: follow again, or stand still where the view is now. */
static void toggle_live(struct view *view)
{
    view->is_live = !view->is_live;
    if (!view->is_live) {
        view->is_fit = false;
    }
}

/* The chart under the pointer, else the first of the page; NULL: none. */
static struct view_slot *meant_chart(struct view *view)
{
    const struct view_zone *zone = zone_at(view, view->mx, view->my, true);
    for (size_t i = 0; i < view->n_zones && (zone == NULL || zone->act != VIEW_CHART);
         i++) {
        zone = view->zones[i].act == VIEW_CHART ? &view->zones[i] : zone;
    }
    return zone != NULL && zone->act == VIEW_CHART ? &view->slots[zone->a] : NULL;
}

static void next_stat(struct view *view, const struct model *model)
{
    const struct model_thing *thing = model_thing_find(model, view->thing);
    int n = thing != NULL ? reading_unit_stats(thing->role) : UNIT_STAT_COUNT;
    view->stat = (enum unit_stat)(((int)view_unit_stat(view, thing) + 1) % n);
}

/* Smooth the scalars, more and more, then not at all; what is smoothed never changes again. */
static void next_smoothing(struct view *view)
{
    view->smoothing = view->smoothing >= 1000 ? 0
                      : view->smoothing > 0   ? view->smoothing * 10
                                              : 10;
    if (view->smoothing > 0) {
        (void)snprintf(view->notice, sizeof view->notice,
            "Smoothed over %.0f steps (half-life); the readings themselves stay behind",
            view->smoothing);
    } else {
        (void)snprintf(view->notice, sizeof view->notice, "No smoothing");
    }
}

static void toggle_log(struct view *view)
{
    struct view_slot *slot = meant_chart(view);
    if (slot != NULL) {
        slot->is_log = !slot->is_log;
        slot->has_chosen = true;
        slot->has_y = false;
        chart_refit(&slot->state);
    }
}

static void toggle_zero(struct view *view)
{
    struct view_slot *slot = meant_chart(view);
    if (slot != NULL) {
        slot->has_zero = !slot->has_zero;
        slot->has_y = false;
        chart_refit(&slot->state);
    }
}

/* Over the units a drag marks, or zooms. */
static void toggle_brush(struct view *view)
{
    view->is_brushing = !view->is_brushing && view->units_slot >= 0;
    if (view->is_brushing) {
        (void)snprintf(view->notice, sizeof view->notice,
            "Drag over the lines to mark their units; b ends it, esc takes the marks away");
    }
}

static bool find_char(struct view *view, const char *text)
{
    view_add_text(view->find, sizeof view->find, text);
    view->found_at = 0;
    return true;
}

/* The run in the list under the pointer; 0: none. */
static uint32_t hovered_run(const struct view *view)
{
    const struct view_zone *zone =
        view->has_mouse ? zone_at(view, view->mx, view->my, false) : NULL;
    return zone != NULL && zone->act == VIEW_PICK_RUN ? (uint32_t)zone->a : 0;
}

/* A letter into the box that is open. */
static bool typed(struct view *view, const char *text)
{
    switch (view->overlay) {
    case VIEW_FIND: return find_char(view, text);
    case VIEW_CONTROL: return control_char(view, text);
    case VIEW_GLOB: return overview_glob_char(view, text);
    case VIEW_NOTE: return notes_char(view, text);
    case VIEW_PLAIN:
    case VIEW_KEYS: break;
    }
    return false;
}

/* A run in the list is seen beside the one shown; elsewhere two steps are compared. */
static void beside_or_steps(struct view *view, const struct model *model)
{
    if (hovered_run(view) != 0) {
        overview_pick_other(view, model, hovered_run(view));
    } else {
        compare_steps(view);
    }
}

bool input_char(struct view *view, const struct model *model, const char *text)
{
    if (view->overlay != VIEW_PLAIN && view->overlay != VIEW_KEYS) {
        return typed(view, text);
    }
    view->notice[0] = '\0';
    glide_stop(view);
    switch (text[0]) {
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7': show_page(view, (enum view_page)(text[0] - '1')); break;
    case '/':
        view->overlay = VIEW_FIND;
        view->find[0] = '\0';
        view->found_at = 0;
        break;
    case '?': view->overlay = view->overlay == VIEW_KEYS ? VIEW_PLAIN : VIEW_KEYS; break;
    case '[': step_alert(view, model, -1); break;
    case ']': step_alert(view, model, 1); break;
    case ' ': toggle_live(view); break;
    case 'f': fit(view); break;
    case 'l': toggle_log(view); break;
    case '0': toggle_zero(view); break;
    case 's':
        if (view->page == VIEW_OVERVIEW) {
            next_smoothing(view);
        } else if (!layers_char(view, 's')) {
            next_stat(view, model);
        }
        break;
    case 'b': toggle_brush(view); break;
    case 'k': control_open(view, model); break;
    case 'c': beside_or_steps(view, model); break;
    case 'g': open_glob(view, false); break;
    case 'x': xaxis_next(view, model); break;
    case 'o':
        if (view->page == VIEW_NETWORK) {
            pick_ops(view, view->ops_hover);
        }
        break;
    case 'p': toggle_play(view); break;
    case 'd': act(view, model, VIEW_TOGGLE_ALONE, 0, 0); break;
    case 't': view->theme = view->theme->dark ? &theme_light : &theme_dark; break;
    default:
        return layers_char(view, text[0]) || notes_command(view, model, text[0]) ||
               glide_command(view, text[0]);
    }
    return true;
}

static bool find_key(struct view *view, const struct model *model, enum input_key key)
{
    if (key == INPUT_ENTER && view->n_found > 0) {
        act(view, model, VIEW_FOUND, (int64_t)view->found_at, 0);
    } else if (key == INPUT_UP && view->found_at > 0) {
        view->found_at--;
    } else if (key == INPUT_DOWN && view->found_at + 1 < view->n_found) {
        view->found_at++;
    } else if (key == INPUT_BACKSPACE) {
        view_cut_text(view->find);
    } else if (key == INPUT_ESCAPE) {
        view->overlay = VIEW_PLAIN;
    }
    return true;
}

bool input_key(
    struct view *view, const struct model *model, enum input_key key, bool has_shift)
{
    if (view->overlay == VIEW_FIND) {
        return find_key(view, model, key);
    }
    if (view->overlay == VIEW_CONTROL) {
        return control_key(view, key);
    }
    if (view->overlay == VIEW_GLOB) {
        return overview_glob_key(view, key);
    }
    if (view->overlay == VIEW_NOTE) {
        return notes_key(view, key);
    }
    if (key == INPUT_DELETE) {
        notes_remove(view, model);
        return true;
    }
    glide_stop(view);
    if (key == INPUT_HOME) {
        view->is_playing = false;
        view->cursor_is_kept = false;
        view->cursor = (double)NAN;
        fit(view);
        return true;
    }
    if (key == INPUT_ESCAPE) {
        view->overlay = VIEW_PLAIN;
        view->is_playing = false;
        view->ops_of = 0;
        view->unit = -1;
        view->is_alone = view->is_brushing = false;
        marks_clear(&view->marks);
        view->cursor_is_kept = false;
        view->cursor = (double)NAN;
        return true;
    }
    if (key == INPUT_LEFT || key == INPUT_RIGHT) {
        view->is_playing = false;
        const struct model_run *run = shown_run(view, model);
        double by = (has_shift ? 10 : 1) * (key == INPUT_LEFT ? -1 : 1);
        double from = isnan(view->cursor) ? (view->lo + view->hi) / 2 : view->cursor;
        view->cursor = round(from) + by;
        if (run != NULL) {
            view->cursor =
                fmin(fmax(view->cursor, (double)run->first_step), (double)run->last_step);
        }
        view->cursor_is_kept = true;
        return true;
    }
    return false;
}

/* ---- pointer ---- */

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
        layout_of(view, zone_at(view, view->mx, view->my, true));
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
    const struct chart_layout *layout = layout_of(view, zone_at(view, x, y, true));
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
    const struct chart_layout *layout = layout_of(view, zone);
    if (layout == NULL || view->overlay != VIEW_PLAIN) {
        view->drag = DRAG_NONE;
        return false;
    }
    if (button == INPUT_MAIN && n_clicks == 2) {
        fit(view);
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
        act(view, model, VIEW_PICK_UNIT, view->drag_unit, 0);
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
        act(view, model, zone->act, zone->a, zone->b);
    }
    return true;
}

/* Zoom by a factor so that the step under the pointer stays under it. */
static void zoom_at(struct view *view, const struct model *model,
    const struct chart_layout *layout, double factor)
{
    const struct model_run *run = shown_run(view, model);
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
        fit(view);
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
    const struct chart_layout *layout = layout_of(view, chart);
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
