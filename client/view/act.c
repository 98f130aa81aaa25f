/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/act.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/input.h"
#include "client/view/inside.h"
#include "client/view/notes.h"

void act_fit(struct view *view)
{
    view->is_fit = true;
    view->is_live = true;
    view_refit(view);
}

void act_show_page(struct view *view, enum view_page page)
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
    act_show_page(view, VIEW_TENSOR);
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
        const struct model_run *run = model_run_find(model, view->run);
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
            act_show_page(view, VIEW_OVERVIEW);
        }
        view_set_range(view,
            fmax((double)alert->step - half, run != NULL ? (double)run->first_step : 0),
            (double)alert->step + half);
        return;
    }
}

void act_step_alert(struct view *view, const struct model *model, int by)
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
    act_fit(view);
}

void act_open_glob(struct view *view, bool is_all)
{
    if (is_all) {
        view->overview.glob[0] = '\0';
        view->scroll[VIEW_SCROLL_PAGE] = 0;
        return;
    }
    act_show_page(view, VIEW_OVERVIEW);
    view->overlay = VIEW_GLOB;
}

void act_pick_ops(struct view *view, int64_t node)
{
    if (view->tree == NULL || node < 0 || (size_t)node >= view->tree->n) {
        view->ops_of = 0;
        return;
    }
    uint64_t hash = view_hash(&view->tree->nodes[node]);
    view->ops_of = view->ops_of == hash ? 0 : hash;
    view->scroll[VIEW_SCROLL_OPS] = 0;
}

void act_toggle_play(struct view *view)
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

void act_do(
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
    case VIEW_PICK_OPS: act_pick_ops(view, b); break;
    case VIEW_PICK_PAGE: act_show_page(view, (enum view_page)a); break;
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
    case VIEW_FIT: act_fit(view); break;
    case VIEW_CHART:
        if (b != 0) {
            show_thing(view, model, (uint32_t)b);
        }
        break;
    case VIEW_FOUND:
        if (a >= 0 && (size_t)a < view->n_found) {
            view->overlay = VIEW_PLAIN;
            act_do(view, model, view->found[a].act, view->found[a].a, view->found[a].b);
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
    case VIEW_OPEN_GLOB: act_open_glob(view, a != 0); break;
    case VIEW_PICK_NOTE: notes_go(view, model, (uint64_t)a); break;
    case VIEW_WHY_MODE: view->why_mode = (enum credit_mode)a; break;
    }
}
