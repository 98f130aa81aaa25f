/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/capture.h"
#include "client/view/curves.h"
#include "client/view/glide.h"
#include "client/view/heat_row.h"
#include "client/view/input.h"
#include "client/view/inside.h"
#include "client/view/side.h"
#include "client/view/unit_order.h"
#include "client/view/units.h"
#include "lib/base/mem.h"

static const char *const PAGE_NAMES[] = {
    "overview", "tensor", "network", "alerts", "why", "layers", "compare"};
_Static_assert(BARO_LEN(PAGE_NAMES) == VIEW_PAGE_COUNT, "each page has a name");

const char *view_page_name(enum view_page page)
{
    return page < VIEW_PAGE_COUNT ? PAGE_NAMES[page] : "?";
}

enum view_page view_page_parse(const char *name)
{
    int page = 0;
    while (page < VIEW_PAGE_COUNT && strcmp(PAGE_NAMES[page], name) != 0) {
        page++;
    }
    return (enum view_page)page;
}

struct view *view_create(void)
{
    struct view *view = baro_xcalloc(1, sizeof *view);
    view->theme = &theme_dark;
    view->unit = -1;
    view->control.chosen = -1;
    view->unit_hover = -1;
    view->units_slot = -1;
    view->ops_hover = -1;
    view->layers.moved = -1;
    view->stat = UNIT_L2;
    view->is_fit = true;
    view->is_live = true;
    view->hi = 1;
    view->cursor = (double)NAN;
    return view;
}

enum unit_stat view_unit_stat(const struct view *view, const struct model_thing *thing)
{
    int n = thing != NULL ? reading_unit_stats(thing->role) : UNIT_STAT_COUNT;
    return (int)view->stat < n ? view->stat : UNIT_L2;
}

void view_destroy(struct view *view)
{
    if (view != NULL) {
        part_unref(view->tree);
        part_unref(view->tree_of);
        curves_destroy(view->curves);
        heat_cache_destroy(view->heat_cache);
        density_cache_destroy(view->density_cache);
        network_cache_destroy(view->network_cache);
        unit_order_destroy(view->unit_order);
        side_groups_destroy(view->side);
        marks_clear(&view->marks);
        capture_clear(view);
        overview_finish(view);
        compare_cache_destroy(view->compare.cache);
        xaxis_finish(&view->x);
        free(view);
    }
}

void view_set_range(struct view *view, double lo, double hi)
{
    if (hi - lo < 1) {
        double middle = (lo + hi) / 2;
        lo = middle - 0.5;
        hi = middle + 0.5;
    }
    view->lo = lo;
    view->hi = hi;
    view->is_fit = false;
    view->is_live = false;
}

void view_refit(struct view *view)
{
    for (size_t i = 0; i < VIEW_MAX_SLOTS; i++) {
        chart_refit(&view->slots[i].state);
        view->slots[i].has_y = false;
    }
}

/* ---- folds ---- */

uint64_t view_hash(const struct tree_node *node)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < node->path_n; i++) {
        hash = (hash ^ (uint8_t)node->path[i]) * UINT64_C(1099511628211);
    }
    return hash | 1;
}

/* Each kind of fold has hashes of its own. */
static uint64_t hash_fold(const struct tree_node *node, enum view_folds of)
{
    return view_hash(node) ^ ((uint64_t)of << 1);
}

bool view_is_hash_folded(const struct view *view, uint64_t hash)
{
    for (size_t i = 0; i < view->n_folds; i++) {
        if (view->folds[i] == hash) {
            return true;
        }
    }
    return false;
}

bool view_is_toggled(
    const struct view *view, const struct tree_node *node, enum view_folds of)
{
    return view_is_hash_folded(view, hash_fold(node, of));
}

void view_fold_hash(struct view *view, uint64_t hash)
{
    for (size_t i = 0; i < view->n_folds; i++) {
        if (view->folds[i] == hash) {
            view->folds[i] = view->folds[--view->n_folds];
            return;
        }
    }
    if (view->n_folds < VIEW_MAX_FOLDS) {
        view->folds[view->n_folds++] = hash;
    }
}

void view_toggle(struct view *view, const struct tree_node *node, enum view_folds of)
{
    view_fold_hash(view, hash_fold(node, of));
}

uint64_t view_project_hash(const char *project)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ 0x70; /* apart from paths of nodes */
    for (const char *at = project; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(1099511628211);
    }
    return hash & INT64_MAX;
}

bool view_is_folded(const struct view *view, const struct tree_node *node)
{
    return view_is_toggled(view, node, VIEW_FOLDS_TREE);
}

void view_fold(struct view *view, const struct tree_node *node)
{
    view_toggle(view, node, VIEW_FOLDS_TREE);
}

/* ---- playing ---- */

static void play(struct view *view, double seconds)
{
    const double all_in = 10;
    double span = view->hi - view->lo;
    view->cursor += span / all_in * fmin(fmax(seconds, 0), 0.25);
    view->cursor_is_kept = true;
    if (!(view->cursor < view->hi)) {
        view->cursor = floor(view->hi);
        view->is_playing = false;
    }
}

bool view_is_moving(const struct view *view)
{
    return view->is_playing || glide_is_moving(view);
}

bool view_tick(struct view *view, double seconds)
{
    bool is_moving = view_is_moving(view);
    if (view->is_playing) {
        play(view, seconds);
    }
    glide_tick(view, seconds);
    return is_moving;
}

/* ---- what is shown ---- */

/* The run that the person asked for, else the newest; a chosen one stays. */
static void choose_run(struct view *view, const struct model *model)
{
    if (view->run != 0 && model_run_find(model, view->run) != NULL) {
        return;
    }
    const struct model_run *run = NULL;
    if (view->wanted_run != NULL) {
        run = model_run_meant(model, view->wanted_run);
        view->has_lost_run = run == NULL && model->has_runs;
    } else if (model->runs->n > 0) {
        run = &model->runs->at[0];
    }
    view->run = run != NULL ? run->run : 0;
    view->thing = 0;
}

/* No run is seen beside itself, or when it is gone. */
static void choose_other(struct view *view, const struct model *model)
{
    bool is_gone = model->has_runs && model_run_find(model, view->other_run) == NULL;
    if (view->other_run == view->run || is_gone) {
        view->other_run = 0;
    }
}

/* NAME or NAME:ROLE, as a person writes it. */
static const struct model_thing *find_wanted(const struct model *model, const char *wanted)
{
    const char *colon = strrchr(wanted, ':');
    const struct model_thing *thing = model_tensor_find(model, wanted, 0);
    if (thing == NULL && colon != NULL) {
        baro_autofree char *name = baro_xstrdup(wanted);
        name[colon - wanted] = '\0';
        enum baro_role role = baro_role_parse(colon + 1);
        thing = role != 0 ? model_tensor_find(model, name, role) : NULL;
    }
    return thing;
}

/* How much there is to see of a tensor: units, in something that is learnt or computed. */
static int interest(const struct model_thing *thing)
{
    return thing->role != BARO_INPUT && thing->n_units > 1 ? 1 : 0;
}

/* A tensor for the tensor page: the wanted one, else the first with an alert, else the first
 * with a NaN or an infinity, else the first with several units, else the first of all. */
static void choose_thing(struct view *view, const struct model *model)
{
    const struct model_thing *chosen = model_thing_find(model, view->thing);
    if (chosen != NULL && chosen->is_tensor) {
        return;
    }
    const struct model_thing *thing = NULL;
    if (view->wanted_tensor != NULL) {
        thing = find_wanted(model, view->wanted_tensor);
    } else if (model->has_alerts) {
        for (size_t i = 0; i < model->alerts->n && thing == NULL; i++) {
            const struct model_alert *alert = &model->alerts->at[i];
            const struct model_thing *at = model_thing_find(model, alert->thing);
            thing = at != NULL && at->is_tensor ? at : NULL;
        }
        for (size_t i = 0; i < model->things->n; i++) {
            const struct model_thing *at = &model->things->at[i];
            bool is_worse = thing == NULL ||
                            (thing->n_nonfinite == 0 &&
                                (at->n_nonfinite > 0 || interest(at) > interest(thing)));
            bool is_alarmed = thing != NULL && thing->worst_level >= BARO_WATCH;
            if (at->is_tensor && is_worse && !is_alarmed) {
                thing = at;
            }
        }
    }
    view->thing = thing != NULL ? thing->thing : 0;
}

static bool is_going_on(const struct model_run *run)
{
    return run->status == BARO__RUN_STATUS__RUN_RUNNING ||
           run->status == BARO__RUN_STATUS__RUN_STALLED;
}

/* The smallest round number that is at least a span: the axis of a live run grows in steps. */
static double round_up(double span)
{
    static const double steps[] = {1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10};
    double decade = 1;
    while (decade * 10 < span) {
        decade *= 10;
    }
    for (size_t i = 0; i < BARO_LEN(steps); i++) {
        if (steps[i] * decade >= span) {
            return steps[i] * decade;
        }
    }
    return span;
}

/* The x range: all of the run, or a window that follows its newest step, or as it was left. */
static void choose_range(
    struct view *view, const struct model_run *run, const struct model_run *other)
{
    if (run == NULL || run->n_steps == 0) {
        if (view->is_fit) {
            view->lo = 0;
            view->hi = 1;
        }
        return;
    }
    double first = (double)run->first_step;
    double last = (double)run->last_step;
    bool goes_on = is_going_on(run);
    if (other != NULL && other->n_steps > 0) { /* both are seen whole */
        first = fmin(first, (double)other->first_step);
        goes_on = goes_on || (is_going_on(other) && (double)other->last_step >= last);
        last = fmax(last, (double)other->last_step);
    }
    if (view->is_fit) {
        double span = fmax(last - first, 1);
        view->lo = first;
        view->hi = goes_on && view->is_live ? first + round_up(span * 1.02)
                                            : last + fmax(span * 0.01, 0.5);
    } else if (view->is_live && is_going_on(run)) {
        double span = view->hi - view->lo;
        view->hi = last + span * 0.04;
        view->lo = view->hi - span;
    }
}

static void update_tree(struct view *view, const struct model *model)
{
    if (view->tree_of != model->things || view->tree == NULL) {
        part_unref(view->tree);
        part_unref(view->tree_of);
        view->tree = tree_create(model->things);
        view->tree_of = part_ref(model->things);
    }
}

/* Alerts and events as marks for the charts. */
static void gather_events(struct frame *f)
{
    const struct model *model = f->model;
    size_t n = model->alerts->n + model->events->n + model->notes->n;
    f->events = draw_scratch(f->list, (n + 1) * sizeof *f->events);
    if (f->events == NULL) {
        return;
    }
    for (size_t i = 0; i < model->events->n; i++) {
        const struct model_event *event = &model->events->at[i];
        f->events[f->n_events++] = (struct chart_event){(double)event->step,
            event->level >= BARO_WATCH ? frame_health(event->level) : THEME_NO_DATA, false};
    }
    for (size_t i = 0; i < model->alerts->n; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        f->events[f->n_events++] =
            (struct chart_event){(double)alert->step, frame_health(alert->level), true};
    }
    for (size_t i = 0; i < model->notes->n; i++) {
        f->events[f->n_events++] = (struct chart_event){
            (double)model->notes->at[i].step, THEME_NO_DATA, .is_note = true};
    }
}

/* Where the x axis has them. */
static void map_events(struct frame *f)
{
    if (f->view->x.shown == XAXIS_STEP || f->n_events == 0) {
        return;
    }
    f->mapped_events = draw_scratch(f->list, f->n_events * sizeof *f->mapped_events);
    for (size_t i = 0; f->mapped_events != NULL && i < f->n_events; i++) {
        f->mapped_events[i] = f->events[i];
        f->mapped_events[i].x = xaxis_of(&f->view->x.map, f->events[i].x);
    }
}

static void begin_wish(struct view *view, float w, float scale)
{
    struct model_wish *wish = &view->wish;
    const double far = 4e18; /* an int64 holds it */
    float plot_px = fmaxf((w - VIEW_SIDE_W) * scale, 64);
    memset(wish, 0, offsetof(struct model_wish, refs));
    wish->run = view->run;
    wish->from_step = (int64_t)fmin(fmax(floor(view->lo), -far), far);
    wish->to_step = (int64_t)fmin(fmax(ceil(view->hi), -far), far);
    wish->columns = plot_px > 4096 ? 4096 : (uint32_t)plot_px;
    wish->coarse_columns = 256;
}

/* ---- the frame ---- */

static void draw_page(struct frame *f, struct draw_rect rect)
{
    struct draw_rect header = {rect.x, rect.y, rect.w, VIEW_HEADER_H};
    struct draw_rect page = {
        rect.x, rect.y + VIEW_HEADER_H, rect.w, rect.h - VIEW_HEADER_H};
    header_draw(f, header);
    if (states_draw(f, page)) {
        return;
    }
    draw_clip(f->list, page);
    f->within = page;
    switch (f->view->page) {
    case VIEW_OVERVIEW:
    case VIEW_PAGE_COUNT: overview_draw(f, page); break;
    case VIEW_TENSOR: tensor_draw(f, page); break;
    case VIEW_NETWORK: network_draw(f, page); break;
    case VIEW_ALERTS: alerts_draw(f, page); break;
    case VIEW_WHY: why_draw(f, page); break;
    case VIEW_LAYERS: layers_draw(f, page); break;
    case VIEW_COMPARE: compare_draw(f, page); break;
    }
    draw_unclip(f->list);
    f->within = (struct draw_rect){0};
}

/* Less room than any page needs: say so rather than draw a heap. */
static void draw_too_small(struct frame *f, float w, float h)
{
    struct draw_style style = {.size = THEME_SIZE_TEXT,
        .color = f->theme->secondary,
        .align = DRAW_CENTER,
        .max_w = w - 8};
    char text[96];
    (void)snprintf(text, sizeof text, "The window is too small: it needs %d × %d.",
        (int)VIEW_MIN_W, (int)VIEW_MIN_H);
    (void)draw_string(f->list, w / 2, h / 2 + 4, &style, text);
}

void view_draw(
    struct view *view, struct draw_list *list, const struct model *model, float w, float h)
{
    struct frame f = {.view = view, .list = list, .theme = view->theme, .model = model};
    choose_run(view, model);
    choose_other(view, model);
    bool is_of_run = model->run == view->run && view->run != 0;
    f.run = model_run_find(model, view->run);
    if (is_of_run && model->has_things) {
        choose_thing(view, model);
    }
    update_tree(view, model);
    choose_range(view, f.run,
        view->x.wanted == XAXIS_STEP ? model_run_find(model, view->other_run) : NULL);
    view->frame++;
    curves_sweep(view->curves, view->frame);
    view->is_dirty = false;
    view->n_zones = 0;
    view->units_slot = -1;
    view->tip.n = 0;
    view->under.has = false;
    draw_begin(list, w, h, view->theme->background);
    begin_wish(view, w, draw_scale(list));
    if (is_of_run) {
        gather_events(&f);
        f.origin = frame_origin(model);
    }
    xaxis_update(&f);
    map_events(&f);
    if (w < VIEW_MIN_W || h < VIEW_MIN_H) {
        draw_too_small(&f, w, h);
        return;
    }
    float side_w = fminf(VIEW_SIDE_W, w * 0.3F);
    draw_page(&f, (struct draw_rect){side_w, 0, w - side_w, h - VIEW_AXIS_H});
    side_draw(&f, (struct draw_rect){0, 0, side_w, h - VIEW_AXIS_H});
    timeline_draw(&f, (struct draw_rect){0, h - VIEW_AXIS_H, w, VIEW_AXIS_H});
    tip_draw(&f, (struct draw_rect){0, 0, w, h});
    overlay_draw(&f, (struct draw_rect){0, 0, w, h});
    view->is_dirty |=
        input_point(view); /* what lies under a still pointer may have moved */
}
