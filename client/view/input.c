/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/input.h"

#include <math.h>
#include <stdio.h>

#include "client/view/act.h"
#include "client/view/control.h"
#include "client/view/glide.h"
#include "client/view/inside.h"
#include "client/view/notes.h"
#include "client/view/zone.h"

/* Keys and characters; the pointer is in input_pointer.c. */

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
    case '7': act_show_page(view, (enum view_page)(text[0] - '1')); break;
    case '/':
        view->overlay = VIEW_FIND;
        view->find[0] = '\0';
        view->found_at = 0;
        break;
    case '?': view->overlay = view->overlay == VIEW_KEYS ? VIEW_PLAIN : VIEW_KEYS; break;
    case '[': act_step_alert(view, model, -1); break;
    case ']': act_step_alert(view, model, 1); break;
    case ' ': toggle_live(view); break;
    case 'f': act_fit(view); break;
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
    case 'g': act_open_glob(view, false); break;
    case 'x': xaxis_next(view, model); break;
    case 'o':
        if (view->page == VIEW_NETWORK) {
            act_pick_ops(view, view->ops_hover);
        }
        break;
    case 'p': act_toggle_play(view); break;
    case 'd': act_do(view, model, VIEW_TOGGLE_ALONE, 0, 0); break;
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
        act_do(view, model, VIEW_FOUND, (int64_t)view->found_at, 0);
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
        act_fit(view);
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
        const struct model_run *run = model_run_find(model, view->run);
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
