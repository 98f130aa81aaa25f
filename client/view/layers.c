/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/draw/ticks.h"
#include "client/view/form.h"
#include "client/view/layers_panel.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The layers page: small multiples along the module tree. A row for each tensor of the chosen
 * role, in the order and with the folds of the tree at the left; all rows have the same steps and
 * one cursor. A folded module is a row that has all of its tensors' lines in it. Only the rows
 * that are seen, and some beyond, are asked for, so a network of hundreds of layers costs what a
 * page costs. At the right: which units changed most at the cursor, and at all picked steps.
 */

enum { MAX_FOLDED = 24, HOLES = 3 };

static const float HEAD_H = 60;
static const float MODULE_ROW = 24;
static const float ROWS[LAYERS_N_SIZES] = {52, 84, 140, 32};
static const float NAME_W = 190;
static const float GUTTER = 50;
static const float VALUE_W = 74;
static const float PANEL_W = 268;
static const float STEPS_H = 24; /* of the axis below all rows */

/* One row. */
struct layer_row {
    size_t node;
    const struct model_thing *thing; /* NULL: a module whose rows follow, or a folded one */
    bool is_folded;                  /* with several tensors in it */
    float y, h;                      /* from the top of the list */
};

struct layers {
    enum baro_role role;
    enum form_stat stat;
    enum form form;
    struct layer_row *rows;
    size_t n, n_tensors;
    float content_h;
    struct draw_rect list; /* all rows */
    struct draw_rect plot; /* their plots */
    struct axis shared;
    bool has_shared;
};

/* ---- which rows ---- */

static uint32_t thing_of(const struct tree_node *node, enum baro_role role)
{
    return node->roles[role];
}

/* How many nodes before each have a tensor in a role: n + 1 of them; NULL: no memory. */
static uint32_t *count_before(struct frame *f, enum baro_role role)
{
    const struct tree *tree = f->view->tree;
    uint32_t *before = draw_scratch(f->list, (tree->n + 1) * sizeof *before);
    uint32_t n = 0;
    for (size_t i = 0; before != NULL && i <= tree->n; i++) {
        before[i] = n;
        n += i < tree->n && thing_of(&tree->nodes[i], role) != 0 ? 1 : 0;
    }
    return before;
}

static void gather_rows(struct frame *f, struct layers *layers)
{
    const struct tree *tree = f->view->tree;
    const uint32_t *before = count_before(f, layers->role);
    float row_h = ROWS[f->view->layers.size % LAYERS_N_SIZES];
    layers->rows = draw_scratch(f->list, (tree->n + 1) * sizeof *layers->rows);
    if (before == NULL || layers->rows == NULL) {
        return;
    }
    layers->n_tensors = before[tree->n];
    for (size_t i = 0; i < tree->n;) {
        const struct tree_node *node = &tree->nodes[i];
        uint32_t n_in = before[node->end] - before[i];
        bool is_folded = node->end > i + 1 && view_is_folded(f->view, node);
        uint32_t id = thing_of(node, layers->role);
        if (n_in > 0) {
            bool is_group = is_folded && n_in > (id != 0 ? 1U : 0U);
            const struct model_thing *thing =
                id != 0 && !is_group ? model_thing_find(f->model, id) : NULL;
            float h = thing != NULL || is_folded ? row_h : MODULE_ROW;
            layers->rows[layers->n++] =
                (struct layer_row){i, thing, is_group, layers->content_h, h};
            layers->content_h += h;
        }
        i = is_folded || n_in == 0 ? node->end : i + 1;
    }
}

/* ---- the head ---- */

static size_t count_role(const struct frame *f, enum baro_role role)
{
    size_t n = 0;
    const struct tree *tree = f->view->tree;
    for (size_t i = 0; i < tree->n; i++) {
        n += thing_of(&tree->nodes[i], role) != 0 ? 1 : 0;
    }
    return n;
}

/* As chosen, else where the trouble began, else gradients, outputs, weights. */
static enum baro_role choose_role(const struct frame *f, const size_t *counts)
{
    const struct model_thing *origin =
        f->origin != NULL ? model_thing_find(f->model, f->origin->thing) : NULL;
    enum baro_role order[] = {f->view->heat_role,
        origin != NULL && origin->is_tensor ? origin->role : 0, BARO_GRAD, BARO_WEIGHT,
        BARO_ACT};
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        if (order[i] != 0 && counts[order[i]] > 0) {
            return order[i];
        }
    }
    for (int role = 1; role < BARO_ROLE_END; role++) {
        if (counts[role] > 0) {
            return (enum baro_role)role;
        }
    }
    return BARO_GRAD;
}

static float draw_stats(struct frame *f, float x, float y, bool has_updates)
{
    const char *words[FORM_STAT_COUNT];
    int64_t values[FORM_STAT_COUNT];
    size_t n = 0;
    for (int stat = 0; stat < FORM_STAT_COUNT; stat++) {
        if (has_updates || !form_is_of_updates((enum form_stat)stat)) {
            words[n] = form_stat_name((enum form_stat)stat);
            values[n++] = stat;
        }
    }
    return frame_switch(
        f, x, y, words, values, n, (int64_t)f->view->layers.stat, VIEW_LAYERS_STAT, false);
}

static void draw_forms(struct frame *f, float right, float y)
{
    static const char *const scales[] = {"own scale", "one scale"};
    static const int64_t both[] = {0, 1};
    const char *words[FORM_COUNT];
    int64_t values[FORM_COUNT];
    for (int form = 0; form < FORM_COUNT; form++) {
        words[form] = form_name((enum form)form);
        values[form] = form;
    }
    float left = right;
    if (f->view->layers.form != FORM_HORIZON) {
        left = frame_switch(f, right, y, scales, both, 2, f->view->layers.is_shared,
            VIEW_LAYERS_SCALE, true);
    }
    (void)frame_switch(f, left - 34, y, words, values, FORM_COUNT,
        (int64_t)f->view->layers.form, VIEW_LAYERS_FORM, true);
}

/* Title and roles in one line, statistics and forms in the next. */
static void draw_head(struct frame *f, struct draw_rect row, struct layers *layers)
{
    size_t counts[BARO_ROLE_END] = {0};
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        counts[role] = count_role(f, (enum baro_role)role);
        if (counts[role] > 0) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
        }
    }
    bool has_updates = counts[BARO_UPDATE] > 0;
    struct view_layers *chosen = &f->view->layers;
    if (!has_updates && form_is_of_updates(chosen->stat)) {
        chosen->stat = FORM_L2;
    }
    layers->stat = chosen->stat;
    layers->form = chosen->form;
    layers->role = form_is_of_updates(chosen->stat) ? BARO_UPDATE : choose_role(f, counts);
    gather_rows(f, layers);
    float y = row.y + 20;
    float left = frame_switch(
        f, row.x + row.w, y, words, values, n, (int64_t)layers->role, VIEW_PICK_HEAT, true);
    struct draw_rect box = frame_text(
        f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, row.x, y, 200, "layers");
    char text[WORDS_MAX];
    char at[FORMAT_MAX];
    char count[FORMAT_MAX];
    (void)snprintf(text, sizeof text, "%s tensor%s of role %s · %s%s",
        format_count(count, (int64_t)layers->n_tensors), layers->n_tensors == 1 ? "" : "s",
        baro_role_name(layers->role), isnan(f->view->cursor) ? "now" : "at step ",
        isnan(f->view->cursor) ? "" : format_count(at, (int64_t)f->view->cursor));
    float room = left - box.x - box.w - 40;
    (void)frame_fit_parts(f, FONT_TEXT, THEME_SIZE_TEXT, room, text);
    if (room >= 70) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary,
            box.x + box.w + 12, y, room, text);
    }
    (void)draw_stats(f, row.x, y + 26, has_updates);
    const float both_w = 760; /* else key v is left for the form, and y for the scale */
    if (row.w >= both_w) {
        draw_forms(f, row.x + row.w, y + 26);
    }
}

/* ---- one row ---- */

/* Its name, at its depth, with a chevron where it can be folded; and what it is. */
static void draw_name(
    struct frame *f, const struct layers *layers, const struct layer_row *row, float y)
{
    const struct tree_node *node = &f->view->tree->nodes[row->node];
    float depth = (float)(node->depth < 6 ? node->depth : 6);
    float x = layers->list.x + 10 + 10 * depth;
    float right = layers->list.x + NAME_W;
    bool is_chart = row->thing != NULL || row->is_folded;
    bool is_tall = is_chart && row->h >= 44;
    float line = is_tall ? y + row->h / 2 - 3 : y + row->h / 2 + 4.5F;
    enum baro_level level =
        row->thing != NULL ? model_thing_level(row->thing) : node->level;
    frame_mark(f, frame_health(level), layers->list.x + 4, line - 4);
    struct draw_rect at = {layers->list.x, y, NAME_W, row->h};
    if (frame_is_over(f, at)) {
        draw_fill(f->list, at, draw_fade(f->theme->raised, 0.6F));
    }
    if (row->thing != NULL) {
        frame_zone(f, at, VIEW_PICK_THING, row->thing->thing, 0);
    } else {
        frame_zone(f, at, VIEW_FOLD_NODE, 0, (int64_t)row->node);
    }
    if (node->end > row->node + 1) {
        draw_mark(f->list,
            view_is_folded(f->view, node) ? DRAW_MARK_CHEVRON : DRAW_MARK_CHEVRON_DN, x + 6,
            line - 4, THEME_MARK, f->theme->secondary);
        frame_zone(f, (struct draw_rect){x - 4, y, 22, row->h}, VIEW_FOLD_NODE, 0,
            (int64_t)row->node);
    }
    char label[WORDS_MAX];
    const char *text = is_chart ? node->label : node->path; /* of a module all of it */
    size_t text_n = is_chart ? node->label_n : node->path_n;
    (void)snprintf(label, sizeof label, node->rank > 0 ? "%.*s @%u" : "%.*s",
        (int)(text_n < 200 ? text_n : 200), text, node->rank);
    bool is_origin =
        f->origin != NULL && row->thing != NULL && f->origin->thing == row->thing->thing;
    (void)frame_name(f, THEME_SIZE_TEXT,
        is_origin  ? f->theme->alarm
        : is_chart ? f->theme->text
                   : f->theme->secondary,
        x + 16, line, fmaxf(right - x - 20, 10), label);
    if (is_tall) {
        char words[WORDS_MAX] = "";
        if (is_origin) {
            (void)snprintf(
                words, sizeof words, "began here, step %lld", (long long)f->origin->step);
        } else if (row->thing != NULL) {
            (void)frame_fit_parts(f, FONT_TEXT, THEME_SIZE_AXIS, fmaxf(right - x - 20, 10),
                words_shape(words, row->thing));
        } else {
            (void)snprintf(words, sizeof words, "folded: its tensors' lines");
        }
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS,
            is_origin ? f->theme->alarm : f->theme->secondary, x + 16, line + 15,
            fmaxf(right - x - 20, 10), words);
    }
}

/* The ends of the y axis at the left of the plot. */
static void draw_ends(struct frame *f, struct draw_rect plot, const struct axis *y)
{
    char text[FORMAT_MAX];
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT,
        .max_w = GUTTER - 8};
    (void)draw_string(f->list, plot.x - 6, plot.y + 8, &style, format_value(text, y->hi));
    if (plot.h >= 26) {
        (void)draw_string(
            f->list, plot.x - 6, plot.y + plot.h, &style, format_value(text, y->lo));
    }
}

/* Where a ratio or a change is small or large: DeepTracker's thresholds. */
static void draw_thresholds(struct frame *f, struct draw_rect plot, const struct axis *y)
{
    for (double at = 1e-4; at < 0.2; at *= 10) {
        double place = axis_place(y, at);
        if (place > 0.02 && place < 0.98) {
            draw_hair_h(f->list, plot.x, plot.y + plot.h * (1 - (float)place), plot.w, 3,
                f->theme->hairline);
        }
    }
}

/* Where the tensor held NaN or infinities: marks along the lower edge. */
static void draw_holes(
    struct frame *f, struct draw_rect plot, const struct model_thing *thing)
{
    static const enum summary_stat stats[HOLES] = {
        SUMMARY_N_NAN, SUMMARY_N_POS_INF, SUMMARY_N_NEG_INF};
    float last = -100;
    for (int k = 0; k < HOLES && thing->n_nonfinite > 0; k++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)stats[k], 0};
        const struct model_series *series = frame_series(f, ref, false);
        for (size_t i = 0; series != NULL && i < series->n; i++) {
            double place =
                xaxis_place(f->view, (double)model_column(series, i)->first_step);
            float x = plot.x + plot.w * (float)place;
            if (model_column(series, i)->max > 0 && place >= 0 && place <= 1 &&
                fabsf(x - last) >= 2) {
                draw_fill(f->list, (struct draw_rect){x - 1, plot.y + plot.h - 5, 2, 5},
                    f->theme->alarm);
                last = x;
            }
        }
    }
}

static void draw_value(struct frame *f, const struct layers *layers,
    const struct form_data *data, float y, float h)
{
    char text[FORMAT_MAX];
    double value = form_value(f, data, f->view->cursor, NULL);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = isfinite(value) || isnan(value) ? f->theme->text : f->theme->alarm,
        .align = DRAW_RIGHT,
        .max_w = VALUE_W - 8};
    float right = layers->plot.x + layers->plot.w + VALUE_W - 12;
    float middle = y + h / 2;
    bool has_change = h >= 30 && isfinite(value) && value > 0 && data->usual > 0 &&
                      layers->stat != FORM_MEAN;
    bool is_bad = isnan(value) && data->series != NULL && data->series->n > 0 &&
                  data->thing->n_nonfinite > 0;
    style.color = is_bad ? f->theme->alarm : style.color;
    (void)draw_string(f->list, right, has_change ? middle - 2 : middle + 4, &style,
        isnan(value) && !is_bad ? "–" : format_value(text, value));
    if (has_change) {
        char change[FORMAT_MAX + 8];
        double times = value / data->usual;
        (void)snprintf(change, sizeof change, "%s%s", times < 1 ? "÷" : "×",
            format_value(text, times < 1 ? 1 / times : times));
        style.color = f->theme->secondary;
        (void)draw_string(f->list, right, middle + 12, &style, change);
    }
}

/* Everything of a row but its name. data: n; the first is what a tensor has, else all below. */
static void draw_plot(struct frame *f, const struct layers *layers,
    const struct layer_row *row, float y, const struct form_data *data, size_t n)
{
    struct draw_rect plot = {layers->plot.x, y + 6, layers->plot.w, row->h - 13};
    struct axis axis = layers->shared;
    enum form form = row->is_folded ? FORM_LINE : layers->form;
    bool is_ready = false;
    for (size_t i = 0; i < n; i++) {
        is_ready = is_ready || (data[i].series != NULL && data[i].series->is_ready) ||
                   (data[i].spread != NULL && data[i].spread->is_ready);
    }
    bool has_axis = layers->has_shared || form_fit(f, data, n, layers->stat, form, &axis);
    draw_hair_h(f->list, plot.x, y + row->h - 1, plot.w, 0, f->theme->grid);
    if (!has_axis) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->faint, plot.x + 8,
            y + row->h / 2 + 4, plot.w - 16,
            is_ready            ? "no data in these steps"
            : data[0].is_single ? "one number a unit: it has no direction to change"
                                : frame_waiting(f, false));
        return;
    }
    if (form != FORM_HORIZON) {
        draw_ends(f, plot, &axis);
        if (form_is_of_updates(layers->stat) && axis.kind == AXIS_LOG) {
            draw_thresholds(f, plot, &axis);
        }
    }
    draw_clip(f->list, (struct draw_rect){plot.x, y, plot.w, row->h});
    for (size_t i = 0; i < n; i++) {
        form_draw(f, plot, &data[i], layers->stat, form, &axis, row->is_folded);
    }
    if (row->thing != NULL) {
        draw_holes(f, plot, row->thing);
    }
    draw_unclip(f->list);
    if (row->thing != NULL) {
        draw_value(f, layers, &data[0], y, row->h);
    }
}

/* What a row is drawn from: its tensor, or up to MAX_FOLDED below it, the gravest first. */
static size_t gather_data(struct frame *f, const struct layers *layers,
    const struct layer_row *row, struct form_data *out)
{
    if (row->thing != NULL) {
        out[0] = form_get(f, row->thing, layers->stat, layers->form);
        return 1;
    }
    const struct tree *tree = f->view->tree;
    size_t n = 0;
    for (int turn = 0; turn < 2 && row->is_folded; turn++) {
        for (size_t i = row->node; i < tree->nodes[row->node].end && n < MAX_FOLDED; i++) {
            uint32_t id = thing_of(&tree->nodes[i], layers->role);
            const struct model_thing *thing =
                id != 0 ? model_thing_find(f->model, id) : NULL;
            if (thing != NULL && (model_thing_level(thing) >= BARO_WATCH) == (turn == 0)) {
                out[n++] = form_get(f, thing, layers->stat, FORM_LINE);
            }
        }
    }
    return n;
}

static void tip_of_row(struct frame *f, const struct layers *layers,
    const struct layer_row *row, const struct form_data *data, size_t n)
{
    frame_tip(f, f->view->mx, f->view->my);
    if (row->thing != NULL) {
        form_tip(f, &data[0], layers->stat, layers->form, f->view->cursor);
        return;
    }
    const struct tree_node *node = &f->view->tree->nodes[row->node];
    frame_tip_line(f, "%.*s", (int)(node->path_n < 200 ? node->path_n : 200), node->path);
    frame_tip_line(f, "lines of %zu of its tensors; unfold it to tell them apart", n);
}

/* ---- the list ---- */

/* One y axis for all rows that are seen. */
static void fit_shared(
    struct frame *f, struct layers *layers, struct form_data *all, size_t n)
{
    layers->has_shared = f->view->layers.is_shared && layers->form != FORM_HORIZON &&
                         form_fit(f, all, n, layers->stat, layers->form, &layers->shared);
}

static void draw_marks(struct frame *f, const struct layers *layers)
{
    enum { MAX_CELLS = 512 };
    const float apart = 12;
    const struct draw_rect plot = layers->plot;
    bool is_taken[MAX_CELLS + 2] = {false};
    for (int level = THEME_ALARM; level >= THEME_CALM; level--) { /* the gravest stay */
        for (size_t i = 0; i < f->n_events; i++) {
            double place = xaxis_place(f->view, f->events[i].x);
            if (!f->events[i].is_major || (int)f->events[i].level != level ||
                !(place >= 0 && place <= 1)) {
                continue;
            }
            size_t cell = (size_t)fminf(plot.w * (float)place / apart, MAX_CELLS - 1) + 1;
            if (is_taken[cell - 1] || is_taken[cell] || is_taken[cell + 1]) {
                continue; /* a line for many */
            }
            is_taken[cell] = true;
            draw_hair_v(f->list, plot.x + plot.w * (float)place, plot.y, plot.h, 0,
                draw_fade(theme_health_color(f->theme, f->events[i].level), 0.35F));
        }
    }
    for (size_t i = 0; i < f->view->layers.n_steps; i++) {
        double place = xaxis_place(f->view, (double)f->view->layers.steps[i]);
        if (place >= 0 && place <= 1) {
            draw_hair_v(
                f->list, plot.x + plot.w * (float)place, plot.y, plot.h, 4, f->theme->text);
        }
    }
    plot_cursor(f, plot, draw_fade(f->theme->accent, 0.75F));
}

/* The steps, or what else is counted, below all rows: they share it. */
static void draw_steps(struct frame *f, const struct layers *layers, const struct axis *x)
{
    const struct draw_rect plot = layers->plot;
    float y = layers->list.y + layers->list.h;
    struct ticks ticks;
    ticks_choose(x, plot.w >= 420 ? 7 : 4, &ticks);
    draw_hair_h(f->list, plot.x, y, plot.w, 0, f->theme->hairline);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_CENTER};
    for (int i = 0; i < ticks.n; i++) {
        float at = plot.x + plot.w * (float)axis_place(x, ticks.at[i]);
        draw_hair_v(f->list, at, y, 4, 0, f->theme->hairline);
        (void)draw_string(f->list, at, y + 16, &style, ticks.label[i]);
    }
    style.role = FONT_TEXT;
    style.align = DRAW_RIGHT;
    (void)draw_string(f->list, plot.x - 12, y + 16, &style, xaxis_name(f->view->x.shown));
}

/* What is being dragged out. */
static void draw_selection(struct frame *f, const struct layers *layers)
{
    const struct view *view = f->view;
    const struct draw_rect plot = layers->plot;
    if (view->drag != DRAG_ZOOM) {
        return;
    }
    float a = fmaxf(fminf(view->drag_x0, view->mx), plot.x);
    float b = fminf(fmaxf(view->drag_x0, view->mx), plot.x + plot.w);
    if (b > a) {
        draw_fill(f->list, (struct draw_rect){a, plot.y, b - a, plot.h},
            draw_fade(f->theme->accent, 0.15F));
    }
}

/* Draw the rows that are seen; those within a page of them are wished for, too. */
static void draw_rows(struct frame *f, struct layers *layers, float scroll, int64_t slot)
{
    const struct draw_rect list = layers->list;
    struct form_data *all =
        draw_scratch(f->list, (MAX_FOLDED + 1) * sizeof *all * (size_t)(list.h / 24 + 4));
    struct form_data *data = draw_scratch(f->list, (MAX_FOLDED + 1) * sizeof *data);
    size_t n_all = 0;
    if (all == NULL || data == NULL) {
        return;
    }
    for (size_t i = 0; f->view->layers.is_shared && i < layers->n; i++) {
        const struct layer_row *row = &layers->rows[i];
        float y = row->y - scroll;
        if (y + row->h > 0 && y < list.h) {
            n_all += gather_data(f, layers, row, all + n_all);
        }
    }
    fit_shared(f, layers, all, n_all);
    for (size_t i = 0; i < layers->n; i++) {
        const struct layer_row *row = &layers->rows[i];
        float y = row->y - scroll;
        if (y + row->h < -list.h / 2 || y > list.h * 1.5F) {
            continue;
        }
        size_t n = gather_data(f, layers, row, data);
        if (y + row->h <= 0 || y >= list.h) {
            continue;
        }
        draw_name(f, layers, row, list.y + y);
        struct draw_rect plot = {layers->plot.x, list.y + y, layers->plot.w, row->h};
        if (n > 0) {
            frame_zone(f, plot, VIEW_CHART, slot,
                row->thing != NULL ? (int64_t)row->thing->thing : 0);
            draw_plot(f, layers, row, list.y + y, data, n);
        }
        if (n > 0 && frame_is_over(f, plot)) {
            draw_fill(f->list, (struct draw_rect){list.x, list.y + y, 2, row->h},
                f->theme->accent);
            tip_of_row(f, layers, row, data, n);
        }
    }
}

/* A new list begins where the trouble began. */
static float scroll_of(struct frame *f, const struct layers *layers)
{
    struct view *view = f->view;
    uint64_t shown = ((uint64_t)view->run << 40) ^ ((uint64_t)layers->role << 32) ^
                     (f->origin != NULL ? f->origin->thing : 0) ^ (uint64_t)1 << 62;
    for (size_t i = 0; shown != view->layers.shown && i < layers->n; i++) {
        const struct layer_row *row = &layers->rows[i];
        bool is_origin = f->origin != NULL && row->thing != NULL &&
                         row->thing->thing == f->origin->thing;
        if (i == 0 || is_origin) {
            view->scroll[VIEW_SCROLL_LAYERS] = row->y + row->h / 2 - layers->list.h / 2;
        }
    }
    view->layers.shown = shown;
    return frame_scroll(f, VIEW_SCROLL_LAYERS, layers->content_h, layers->list.h);
}

static void draw_list(struct frame *f, struct layers *layers)
{
    const struct draw_rect list = layers->list;
    float scroll = scroll_of(f, layers);
    struct view_slot *slot = plot_slot(f, frame_id(VIEW_LAYERS, 0, 0xFF, 0), layers->plot);
    struct draw_rect within = f->within;
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_LAYERS, 0);
    f->within = frame_within(f, list);
    frame_zone(f, layers->plot, VIEW_CHART, slot - f->view->slots, 0);
    draw_clip(f->list, list);
    draw_rows(f, layers, scroll, slot - f->view->slots);
    draw_marks(f, layers);
    draw_selection(f, layers);
    draw_unclip(f->list);
    f->within = within;
    frame_scroll_bar(f, list, layers->content_h, scroll);
    struct axis x = slot->layout.x;
    x.unit = xaxis_unit(f->view->x.shown);
    draw_steps(f, layers, &x);
}

void layers_draw(struct frame *f, struct draw_rect rect)
{
    struct layers layers = {0};
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    f->view->wish.spread_columns = 128;
    if (f->model->run != f->view->run || !f->model->has_things) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + 24, inner.w, frame_waiting(f, true));
        return;
    }
    draw_head(f, (struct draw_rect){inner.x, inner.y, inner.w, HEAD_H}, &layers);
    if (layers.n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + HEAD_H + 24, inner.w,
            "This run has no tensors: run.watch(model, optimizer) records them.");
        return;
    }
    float panel_w = inner.w >= 760 ? fminf(PANEL_W, inner.w * 0.27F) : 0;
    float list_w = inner.w - (panel_w > 0 ? panel_w + THEME_GAP : 0);
    layers.list =
        (struct draw_rect){inner.x, inner.y + HEAD_H, list_w, inner.h - HEAD_H - 12};
    draw_fill(f->list, layers.list, f->theme->panel);
    layers.list.h -= STEPS_H;
    layers.plot = (struct draw_rect){inner.x + NAME_W + GUTTER, layers.list.y,
        list_w - NAME_W - GUTTER - VALUE_W, fminf(layers.list.h, layers.content_h)};
    draw_list(f, &layers);
    if (panel_w > 0) {
        layers_panel_draw(f,
            (struct draw_rect){inner.x + list_w + THEME_GAP, layers.list.y, panel_w,
                layers.list.h + STEPS_H},
            layers.role);
    }
}
