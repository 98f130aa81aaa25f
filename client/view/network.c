/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/heat_row.h"
#include "client/view/network.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The network: a box for each module, in the direction in which data flow, left to right and then
 * on in the next line like words. In each box the norm of what was chosen (output, gradient, weight,
 * ...) over the visible steps, its history as a heat strip, and its value at the cursor, which also
 * tints the box: moved along the steps, or played, one sees a gradient die layer by layer. Modules
 * are folded and unfolded by themselves and their edges with them; a box's operations are a list at
 * the side. Instead of the norm another statistic can be chosen, and another form; the tint may tell
 * health or the value among all boxes.
 */

enum { STRIP_CELLS = 160 };

static const float HEAD_H = 64;
static const float OPS_W = 380;

/* ---- one box ---- */

static void draw_curve_of(
    struct frame *f, struct draw_rect rect, const struct model_series *series)
{
    struct chart_line line = frame_line(f, series, 0, f->theme->secondary);
    if (line.n_columns == 0) {
        return;
    }
    struct chart chart = {
        .x = {.lo = f->view->lo, .hi = f->view->hi},
        .lines = &line,
        .n_lines = 1,
        .cursor = f->view->cursor,
        .sparkline = true,
        .y_kind = frame_is_steep(&line, 1) ? AXIS_LOG : AXIS_LINEAR,
    };
    if (chart.y_kind == AXIS_LOG) {
        frame_fit_log(&chart);
    }
    chart_draw(f->list, f->theme, rect, &chart, NULL, NULL);
}

/* The newest reading up to the cursor, else the newest that is visible; NULL: none. */
static const struct wire_column *reading_at(
    const struct view *view, const struct model_series *series)
{
    double to = isnan(view->cursor) ? view->hi : view->cursor;
    const struct wire_column *found = NULL;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        if ((double)model_column(series, i)->first_step > to) {
            break;
        }
        found = model_column(series, i);
    }
    return found;
}

/* How far a value is from usual: -1 a sixteenth, 1 sixteen times; NaN: not known. */
static float deviation(double value, double usual)
{
    if (!(value > 0) || !(usual > 0)) {
        return (float)NAN;
    }
    return (float)fmin(fmax(log2(value / usual) / 4, -1), 1);
}

/* The value, and against its usual; NaN and infinities in alarm colour. */
static void draw_value(
    struct frame *f, struct draw_rect row, double shown, double usual, bool is_bad)
{
    char value[FORMAT_MAX];
    char change[FORMAT_MAX + 8] = "";
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = is_bad ? f->theme->alarm : f->theme->text};
    const char *text = is_bad         ? "NaN, Inf"
                       : isnan(shown) ? "–"
                                      : format_value(value, shown);
    (void)draw_string(f->list, row.x, row.y + 11, &style, text);
    if (!is_bad && shown > 0 && usual > 0) {
        double times = shown / usual;
        char number[FORMAT_MAX];
        (void)snprintf(change, sizeof change, "%s%s", times < 1 ? "÷" : "×",
            format_value(number, times < 1 ? 1 / times : times));
        style.color = f->theme->secondary;
        style.align = DRAW_RIGHT;
        (void)draw_string(f->list, row.x + row.w, row.y + 11, &style, change);
    }
}

/* Whether the reading at the cursor, else the newest, holds a NaN or an infinity. */
static bool is_bad_now(
    struct frame *f, const struct model_thing *thing, const struct wire_column *now)
{
    if (!thing->is_tensor) {
        return now != NULL && !isfinite(now->last);
    }
    static const enum summary_stat stats[] = {
        SUMMARY_N_NAN, SUMMARY_N_POS_INF, SUMMARY_N_NEG_INF};
    bool is_bad = false;
    for (size_t i = 0; thing->n_nonfinite > 0 && i < BARO_LEN(stats); i++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)stats[i], 0};
        const struct wire_column *reading =
            reading_at(f->view, frame_series(f, ref, false));
        is_bad = is_bad || (reading != NULL && reading->last > 0);
    }
    return is_bad;
}

static void tip_of_box(struct frame *f, const struct network_box *box)
{
    char words[WORDS_MAX];
    frame_tip(f, box->rect.x + box->rect.w, box->rect.y);
    frame_tip_line(f, "%.*s", (int)box->path_n, box->path);
    if (box->is_loss) {
        return;
    }
    if (box->thing == NULL) {
        frame_tip_line(f, "no readings of this kind");
        return;
    }
    frame_tip_line(f, "%s", words_shape(words, box->thing));
    form_tip(f, &box->data, f->view->network.stat, f->view->network.form, f->view->cursor);
    if (box->is_folded) {
        frame_tip_line(f, "folded: %u tensors", f->view->tree->nodes[box->node].n_tensors);
    }
}

/* "12 ops", which lists them; gives the room that it takes. */
static float draw_ops_word(
    struct frame *f, const struct network_box *box, float right, float y)
{
    char text[32];
    if (box->n_ops == 0) {
        return 0;
    }
    (void)snprintf(text, sizeof text, "%u op%s", box->n_ops, box->n_ops == 1 ? "" : "s");
    struct draw_style style = {.size = THEME_SIZE_AXIS, .align = DRAW_RIGHT};
    struct draw_rect at = draw_string_box(f->list, right, y, &style, text);
    struct draw_rect zone = {at.x - 6, y - 12, at.w + 12, 16};
    bool is_open = f->view->ops_of == view_hash(&f->view->tree->nodes[box->node]);
    style.color =
        is_open || frame_is_over(f, zone) ? f->theme->accent : f->theme->secondary;
    (void)draw_string(f->list, right, y, &style, text);
    return at.w + 10;
}

/* The gravest level of what a box stands for. */
static enum baro_level level_of(const struct frame *f, const struct network_box *box)
{
    return !box->is_loss        ? f->view->tree->nodes[box->node].level
           : box->thing != NULL ? box->thing->worst_level
                                : 0;
}

static void draw_head(struct frame *f, const struct network_box *box)
{
    const struct draw_rect r = box->rect;
    enum baro_level level = level_of(f, box);
    char name[WORDS_MAX];
    char shape[WORDS_MAX] = "";
    float x = r.x + 10;
    frame_mark(f, frame_health(level), x + 3, r.y + 13);
    float right = r.x + r.w - 8;
    if (box->has_children) {
        draw_mark(f->list, box->is_folded ? DRAW_MARK_CHEVRON : DRAW_MARK_CHEVRON_DN,
            right - 4, r.y + 13, THEME_MARK, f->theme->secondary);
        right -= 18;
    }
    uint32_t rank = box->is_loss ? 0 : f->view->tree->nodes[box->node].rank;
    (void)snprintf(name, sizeof name, rank > 0 ? "%.*s @%u" : "%.*s",
        (int)(box->path_n < 256 ? box->path_n : 256), box->path, rank);
    (void)frame_name(f, THEME_SIZE_TEXT, box->has_origin ? f->theme->alarm : f->theme->text,
        x + 13, r.y + 17.5F, right - x - 13, name);
    if (box->has_origin) {
        (void)snprintf(
            shape, sizeof shape, "began here, step %lld", (long long)f->origin->step);
    } else if (box->is_loss) {
        (void)snprintf(shape, sizeof shape, "%s",
            box->thing != NULL ? "where gradients begin" : "not logged as a scalar");
    } else if (box->thing != NULL) {
        (void)words_shape(shape, box->thing);
    }
    float ops_w = draw_ops_word(f, box, r.x + r.w - 8, r.y + 32);
    (void)frame_fit_parts(f, FONT_TEXT, THEME_SIZE_AXIS, r.w - 32 - ops_w, shape);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS,
        box->has_origin ? f->theme->alarm : f->theme->secondary, x + 13, r.y + 32,
        r.w - 32 - ops_w, shape);
}

static void zones_of_box(struct frame *f, const struct network_box *box)
{
    const struct draw_rect r = box->rect;
    int64_t node = (int64_t)box->node;
    if (box->is_loss) {
        frame_zone(f, r, VIEW_PICK_PAGE, VIEW_OVERVIEW, 0);
        return;
    }
    if (box->thing != NULL) {
        frame_zone(f, r, VIEW_PICK_THING, box->thing->thing, 0);
    } else if (box->has_children) {
        frame_zone(f, r, VIEW_FOLD_BOX, 0, node);
    }
    if (box->has_children) {
        frame_zone(
            f, (struct draw_rect){r.x + r.w - 26, r.y, 26, 20}, VIEW_FOLD_BOX, 0, node);
    }
    if (box->n_ops > 0) {
        frame_zone(f, (struct draw_rect){r.x + r.w - 64, r.y + 20, 64, 16}, VIEW_PICK_OPS,
            0, node);
    }
}

/* Tint the box by what was chosen; NaN and infinities before all. */
static void draw_tint(
    struct frame *f, const struct network *net, const struct network_box *box, bool is_bad)
{
    const struct draw_rect r = box->rect;
    enum network_color by = f->view->network.color;
    enum baro_level level = level_of(f, box);
    float far = deviation(box->value, box->data.usual);
    if (is_bad) {
        draw_fill(f->list, r, draw_fade(f->theme->alarm, 0.16F));
    } else if (by == NETWORK_BY_HEALTH) {
        draw_fill(f->list, r,
            draw_fade(theme_health_color(f->theme, frame_health(level)),
                level >= BARO_WATCH ? 0.24F : 0.1F));
    } else if (by == NETWORK_BY_VALUE && net->has_values && !box->is_loss &&
               isfinite(box->value)) {
        float place = (float)fmin(fmax(axis_place(&net->values, box->value), 0), 1);
        draw_fill(f->list, r, draw_fade(theme_heat(f->theme, place), 0.42F));
    } else if (by == NETWORK_BY_USUAL && !isnan(far) && fabsf(far) > 0.1F) {
        draw_fill(f->list, r, draw_fade(theme_diff(f->theme, far), 0.3F * fabsf(far)));
    }
}

/* The history of the loss, or in the chosen form that of a statistic. */
static void draw_history(struct frame *f, const struct network_box *box)
{
    const struct draw_rect r = box->rect;
    struct draw_rect plot = {r.x + 10, r.y + 38, r.w - 20, r.h - 72};
    const struct view_network *chosen = &f->view->network;
    struct axis y;
    if (box->is_loss) {
        struct model_ref loss = {box->thing->thing, READING_SCALAR, 0, 0};
        draw_curve_of(f, plot, frame_series(f, loss, false));
    } else if (form_fit(f, &box->data, 1, chosen->stat, chosen->form, &y)) {
        draw_clip(f->list, plot);
        form_draw(f, plot, &box->data, chosen->stat, chosen->form, &y, false);
        draw_unclip(f->list);
        plot_cursor(f, plot, draw_fade(f->theme->accent, 0.75F));
    }
}

static void draw_box(
    struct frame *f, const struct network *net, const struct network_box *box)
{
    const struct draw_rect r = box->rect;
    bool is_over = frame_is_over(f, r);
    draw_fill(f->list, r, is_over ? f->theme->raised : f->theme->panel);
    if (box->thing != NULL) {
        bool is_soft = f->origin != NULL && box->thing->worst_level < BARO_ALARM;
        struct model_ref norm = {box->thing->thing,
            box->is_loss ? READING_SCALAR : READING_SUMMARY, box->is_loss ? 0 : SUMMARY_L2,
            0};
        bool is_bad =
            is_bad_now(f, box->thing, reading_at(f->view, frame_series(f, norm, false)));
        draw_tint(f, net, box, is_bad);
        draw_history(f, box);
        draw_value(f, (struct draw_rect){r.x + 10, r.y + r.h - 26, r.w - 20, 14},
            box->value, box->data.usual, is_bad);
        if (!box->is_loss) {
            struct heat_row row = heat_row_get(f, box->thing, is_soft, STRIP_CELLS);
            draw_cells(f->list, (struct draw_rect){r.x, r.y + r.h - 7, r.w, 7}, row.cells,
                STRIP_CELLS, 1);
        }
    }
    draw_outline(f->list, r, box->has_origin ? f->theme->alarm : f->theme->hairline);
    draw_head(f, box);
    zones_of_box(f, box);
    if (is_over) {
        f->view->ops_hover = box->n_ops > 0 ? (int64_t)box->node : -1;
        tip_of_box(f, box);
    }
}

/* ---- the page ---- */

/* What to show: as chosen, else where the trouble began, else outputs, gradients, weights. */
static enum baro_role choose_role(
    struct frame *f, struct network *net, struct draw_rect row)
{
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    enum baro_role wanted = f->view->heat_role;
    const struct model_thing *origin =
        f->origin != NULL ? model_thing_find(f->model, f->origin->thing) : NULL;
    if (wanted == 0 && origin != NULL && origin->is_tensor) {
        wanted = origin->role;
    }
    enum baro_role found = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        bool has_any = false;
        for (size_t i = 0; i < net->n && !has_any; i++) {
            has_any = !net->boxes[i].is_loss &&
                      network_thing(f, &net->boxes[i], (enum baro_role)role) != NULL;
        }
        if (has_any) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
            bool is_better = found == 0 || (role == BARO_ACT && found != wanted);
            found = role == (int)wanted || is_better ? (enum baro_role)role : found;
        }
    }
    net->switch_x = frame_switch(f, row.x + row.w - 4, row.y + 20, words, values, n,
        (int64_t)found, VIEW_PICK_HEAT, true);
    return found;
}

/* How the boxes come to stand as they do. */
static const char *order_words(const struct frame *f, const struct network *net)
{
    const struct model_graph *graph =
        f->model->run == f->view->run ? f->model->graph : NULL;
    if (net->has_graph) {
        return "";
    }
    return graph == NULL               ? " · reading how they are connected"
           : graph->trouble[0] != '\0' ? " · in the order in which they ran"
                                       : " · in the order in which they ran: no step's "
                                         "operations are recorded yet";
}

static void draw_head_line(struct frame *f, struct network *net, struct draw_rect row)
{
    char text[WORDS_MAX];
    char at[FORMAT_MAX];
    char step[FORMAT_MAX];
    char of[96] = "";
    const struct probe *probe = network_probe(f);
    net->role = choose_role(f, net, row);
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text,
        row.x, row.y + 20, 300, "network");
    if (net->has_graph && probe != NULL) {
        (void)snprintf(of, sizeof of, " · operations of step %s%s",
            format_count(step, probe->step), probe->is_cut ? ", not all" : "");
    }
    size_t n_modules = net->n - (net->has_graph && net->boxes[net->n - 1].is_loss ? 1 : 0);
    (void)snprintf(text, sizeof text, "%zu module%s%s%s · %s%s%s%s", n_modules,
        n_modules == 1 ? "" : "s", order_words(f, net), of,
        isnan(f->view->cursor) ? "now" : "at step ",
        isnan(f->view->cursor) ? "" : format_count(at, (int64_t)f->view->cursor),
        f->view->is_playing ? ", playing" : "",
        net->n_cut > 0 ? " · more are folded away: too many boxes" : "");
    float room = net->switch_x - box.x - box.w - 30;
    (void)frame_fit_parts(f, FONT_TEXT, THEME_SIZE_TEXT, room, text);
    if (room >= 70) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary,
            box.x + box.w + 12, row.y + 20, room, text);
    }
}

/* What the tints mean, right-aligned; gives where it begins. */
static float draw_legend(struct frame *f, const struct network *net, float right, float y)
{
    enum { N = 32 };
    draw_color colors[N];
    char low[FORMAT_MAX] = "÷16";
    char high[FORMAT_MAX] = "×16";
    enum network_color by = f->view->network.color;
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    if (by == NETWORK_BY_HEALTH) {
        for (int health = THEME_ALARM; health >= THEME_CALM; health--) {
            struct draw_rect box = draw_string(
                f->list, right, y, &style, theme_health_word((enum theme_health)health));
            frame_mark(f, (enum theme_health)health, box.x - 9, y - 4);
            right = box.x - 26;
        }
        return right;
    }
    for (int i = 0; i < N; i++) {
        float t = (float)i / (N - 1);
        colors[i] = by == NETWORK_BY_VALUE ? theme_heat(f->theme, t)
                                           : theme_diff(f->theme, 2 * t - 1);
    }
    if (by == NETWORK_BY_VALUE && !net->has_values) {
        return right;
    }
    if (by == NETWORK_BY_VALUE) {
        (void)format_value(low, net->values.lo);
        (void)format_value(high, net->values.hi);
    }
    style.role = FONT_MONO;
    struct draw_rect box = draw_string(f->list, right, y, &style, high);
    struct draw_rect bar = {box.x - 70, y - 8, 64, 8};
    draw_cells(f->list, bar, colors, N, 1);
    return draw_string(f->list, bar.x - 6, y, &style, low).x;
}

/* Which statistic in which form, and what tints the boxes. */
static void draw_choices(struct frame *f, struct draw_rect row, const struct network *net)
{
    static const char *const colors[] = {"by its usual", "by health", "by value"};
    _Static_assert(BARO_LEN(colors) == NETWORK_COLOR_COUNT, "each has its words");
    const char *words[FORM_STAT_COUNT];
    const char *forms[FORM_COUNT];
    int64_t values[FORM_STAT_COUNT];
    const struct view_network *chosen = &f->view->network;
    float y = row.y + 46;
    for (int stat = 0; stat < FORM_STAT_COUNT; stat++) {
        words[stat] = form_stat_name((enum form_stat)stat);
        values[stat] = stat;
    }
    for (int form = 0; form < FORM_COUNT; form++) {
        forms[form] = form_name((enum form)form);
    }
    (void)frame_switch(f, row.x, y, words, values, FORM_STAT_COUNT, (int64_t)chosen->stat,
        VIEW_NETWORK_STAT, false);
    if (row.w < 900) {
        return; /* v, and the command list, have the others */
    }
    float left = draw_legend(f, net, row.x + row.w - 4, y);
    left = frame_switch(f, left - 18, y, colors, values, NETWORK_COLOR_COUNT,
        (int64_t)chosen->color, VIEW_NETWORK_COLOR, true);
    (void)frame_switch(f, left - 34, y, forms, values, FORM_COUNT, (int64_t)chosen->form,
        VIEW_NETWORK_FORM, true);
}

/* The box whose operations are listed; NULL: none is chosen, or it is folded away. */
static const struct network_box *opened(const struct frame *f, const struct network *net)
{
    for (size_t i = 0; f->view->ops_of != 0 && net->has_graph && i < net->n; i++) {
        const struct network_box *box = &net->boxes[i];
        if (!box->is_loss &&
            view_hash(&f->view->tree->nodes[box->node]) == f->view->ops_of) {
            return box;
        }
    }
    return NULL;
}

/* Read what a box shows; how units lie only where it is seen. */
static void read_box(struct frame *f, struct network_box *box, struct draw_rect seen)
{
    const struct view_network *chosen = &f->view->network;
    bool is_seen = box->rect.y < seen.y + seen.h && box->rect.y + box->rect.h > seen.y;
    box->value = (double)NAN;
    box->data = (struct form_data){.usual = (double)NAN};
    if (box->thing == NULL) {
        return;
    }
    if (box->is_loss) {
        struct model_ref loss = {box->thing->thing, READING_SCALAR, 0, 0};
        const struct wire_column *reading =
            reading_at(f->view, frame_series(f, loss, false));
        box->value = reading != NULL ? reading->last : box->value;
        return;
    }
    box->data = form_get(f, box->thing, chosen->stat, is_seen ? chosen->form : FORM_LINE);
    box->value = form_value(f, &box->data, f->view->cursor, NULL);
}

/* The scale of the values of all boxes. */
static void fit_values(struct frame *f, struct network *net)
{
    double lo = (double)INFINITY;
    double hi = -(double)INFINITY;
    for (size_t i = 0; i < net->n; i++) {
        const struct network_box *box = &net->boxes[i];
        if (!box->is_loss && isfinite(box->value)) {
            lo = fmin(lo, box->value);
            hi = fmax(hi, box->value);
        }
    }
    net->has_values = lo <= hi;
    bool is_log = lo > 0 && hi > 20 * lo;
    net->values = (struct axis){.kind = is_log ? AXIS_LOG : AXIS_LINEAR,
        .lo = lo,
        .hi = hi > lo ? hi : lo + fmax(fabs(lo), 1e-30)};
    f->view->wish.spread_columns = 128;
}

/* Boxes and edges in a part of the page. */
static void draw_graph(struct frame *f, struct draw_rect rect, struct network *net)
{
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    struct draw_rect area = {
        inner.x + 4, inner.y + HEAD_H, inner.w - 12, inner.h - HEAD_H - VIEW_PAD};
    float content_h = network_place(net, area);
    float scroll = frame_scroll(f, VIEW_SCROLL_PAGE, content_h + HEAD_H, rect.h);
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    struct draw_rect head = {inner.x, inner.y - scroll, inner.w, HEAD_H};
    draw_head_line(f, net, head);
    for (size_t i = 0; i < net->n; i++) {
        struct network_box *box = &net->boxes[i];
        box->rect.y -= scroll;
        box->thing = network_thing(f, box, net->role);
        if (box->thing == NULL && net->role == BARO_ACT) {
            box->thing = network_thing(f, box, BARO_INPUT); /* what goes into the model */
        }
        read_box(f, box, rect);
    }
    fit_values(f, net);
    draw_choices(f, head, net);
    if (net->aside_y > 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, area.x,
            net->aside_y - scroll, area.w,
            "not among the operations recorded of that step");
    }
    for (size_t i = 0; i < net->n_edges; i++) {
        const struct network_box *from = &net->boxes[net->edges[i].from];
        const struct network_box *to = &net->boxes[net->edges[i].to];
        bool is_near = frame_is_over(f, from->rect) || frame_is_over(f, to->rect);
        network_draw_edge(f, from, to, is_near);
    }
    for (size_t i = 0; i < net->n; i++) {
        const struct draw_rect *r = &net->boxes[i].rect;
        bool is_seen = r->y < rect.y + rect.h && r->y + r->h > rect.y;
        if (is_seen) {
            draw_box(f, net, &net->boxes[i]);
        }
    }
    frame_scroll_bar(f, rect, content_h + HEAD_H, scroll);
}

void network_draw(struct frame *f, struct draw_rect rect)
{
    struct network *net = draw_scratch(f->list, sizeof *net);
    f->view->wish.wants_graph = true;
    f->view->ops_hover = -1;
    if (net == NULL) {
        return;
    }
    *net = (struct network){0};
    network_gather(f, net);
    if (net->n == 0) {
        struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + 20, inner.w,
            f->model->has_things
                ? "No module is watched: run.watch(model) records its tensors."
                : frame_waiting(f, true));
        return;
    }
    network_connect(f, net);
    const struct network_box *box = opened(f, net);
    struct draw_rect graph = rect;
    if (box != NULL) {
        struct draw_rect side = {rect.x + rect.w - OPS_W, rect.y, OPS_W, rect.h};
        graph.w -= OPS_W;
        network_ops_draw(f, side, box);
        draw_clip(f->list, graph);
        draw_graph(f, graph, net);
        draw_unclip(f->list);
    } else {
        draw_graph(f, graph, net);
    }
}
