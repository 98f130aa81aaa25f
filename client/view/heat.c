/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/heat_row.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Layers at a glance: one row a tensor, one column a stretch of steps, below the chart of the
 * loss and on its x axis. The colour says how large the tensor's l2 norm is against the median
 * of what is visible of it: neutral as usual, orange up to 16 times more, blue up to 16 times
 * less. A stretch with a NaN or an infinity has the alarm colour, muted where it only came from
 * elsewhere, and nothing else has it. At the right each row's name, norm and deviation at the
 * cursor, else now. Rows shrink so that all are seen, and scroll when they would be too thin.
 */

enum { MAX_ROWS = 2048, MAX_LABELS = 128 };

static const float MIN_ROW = 6;
static const float GOOD_ROW = 20;
static const float MAX_ROW = 36;
static const float LABEL_ROW = 14; /* rows closer than that: not each has a label */
static const float HEAD_H = 34;
static const float FOOT_H = 28;

/* What the strip shows. */
struct heat {
    const struct model_thing **rows; /* n */
    size_t n, n_cells;
    const struct model_alert *origin; /* NULL: none */
    struct draw_rect plot;            /* cells */
    struct draw_rect table;           /* names and figures */
    float row_h, scroll;
};

/* ---- which rows ---- */

/* How many tensors there are of each role, up to as many as are shown. */
static void count_rows(const struct frame *f, size_t counts[BARO_ROLE_END])
{
    const struct tree *tree = f->view->tree;
    memset(counts, 0, BARO_ROLE_END * sizeof counts[0]);
    for (size_t i = 0; i < tree->n; i++) {
        for (int role = 1; role < BARO_ROLE_END; role++) {
            bool is_more = tree->nodes[i].roles[role] != 0 && counts[role] < MAX_ROWS;
            counts[role] += is_more ? 1 : 0;
        }
    }
}

/* What the colours are of, where there is room for all of it. */
static void draw_note(struct frame *f, float x, float y, float room)
{
    static const char note[] = "norm against its own usual";
    if (font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_AXIS, note, sizeof note - 1) <=
        room) {
        (void)frame_text(
            f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, x, y, room, note);
    }
}

/* The tensors of a role, in the order of the tree. */
static void gather_rows(struct frame *f, enum baro_role role, struct heat *heat)
{
    const struct tree *tree = f->view->tree;
    size_t counts[BARO_ROLE_END];
    count_rows(f, counts);
    heat->rows = draw_scratch(f->list, (counts[role] + 1) * sizeof *heat->rows);
    for (size_t i = 0; heat->rows != NULL && i < tree->n && heat->n < MAX_ROWS; i++) {
        uint32_t id = tree->nodes[i].roles[role];
        const struct model_thing *thing = id != 0 ? model_thing_find(f->model, id) : NULL;
        if (thing != NULL) {
            heat->rows[heat->n++] = thing;
        }
    }
}

/* The role to show unless the person chose one: where the first alert is, else gradients. */
static enum baro_role choose_role(const struct frame *f, const size_t *counts)
{
    if (f->view->heat_role != 0 && counts[f->view->heat_role] > 0) {
        return f->view->heat_role;
    }
    for (size_t i = 0; i < f->model->alerts->n; i++) {
        enum baro_role role = baro_role_parse(f->model->alerts->at[i].role);
        if (role != 0 && counts[role] > 0) {
            return role;
        }
    }
    static const enum baro_role order[] = {BARO_GRAD, BARO_ACT, BARO_WEIGHT};
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        if (counts[order[i]] > 0) {
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

static enum baro_role draw_title(struct frame *f, struct draw_rect row)
{
    size_t counts[BARO_ROLE_END] = {0};
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    count_rows(f, counts);
    for (int role = 1; role < BARO_ROLE_END; role++) {
        if (counts[role] > 0) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
        }
    }
    enum baro_role role = choose_role(f, counts);
    float y = row.y + 20;
    float left = frame_switch(
        f, row.x + row.w - 20, y, words, values, n, (int64_t)role, VIEW_PICK_HEAT, true);
    static const char *const titles[] = {"layers at a glance", "layers"};
    const float room = left - 20 - (row.x + 20);
    for (size_t i = 0; i < BARO_LEN(titles); i++) {
        float w = font_width(
            draw_font(f->list), FONT_STRONG, THEME_SIZE_TEXT, titles[i], strlen(titles[i]));
        if (w <= room) {
            (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, row.x + 20, y,
                room, titles[i]);
            draw_note(f, row.x + 28 + w, y, room - w - 8);
            break;
        }
    }
    return role;
}

/* ---- words about the rows ---- */

/* What the colours mean: a bar with its ends said; the alarm only where there is any. */
static void draw_legend(struct frame *f, const struct heat *heat, float x, float y)
{
    enum { N = 33 };
    draw_color colors[N];
    bool has_nonfinite = false;
    for (size_t i = 0; i < heat->n; i++) {
        has_nonfinite = has_nonfinite || heat->rows[i]->n_nonfinite > 0;
    }
    for (int i = 0; i < N; i++) {
        colors[i] = theme_diff(f->theme, (float)i / (N - 1) * 2 - 1);
    }
    const float bar_w = 96;
    struct draw_style style = {
        .role = FONT_MONO, .size = THEME_SIZE_AXIS, .color = f->theme->secondary};
    struct draw_rect box = draw_string(f->list, x, y, &style, "÷16");
    x = box.x + box.w + 8;
    draw_cells(f->list, (struct draw_rect){x, y - 8, bar_w, 9}, colors, N, 1);
    box = draw_string(f->list, x + bar_w + 8, y, &style, "×16");
    x = box.x + box.w + 24;
    if (!has_nonfinite) {
        return;
    }
    style.role = FONT_TEXT;
    draw_fill(f->list, (struct draw_rect){x, y - 8, 9, 9}, f->theme->alarm);
    box = draw_string(f->list, x + 15, y, &style, "NaN, Inf");
    if (heat->origin != NULL) {
        x = box.x + box.w + 20;
        draw_fill(f->list, (struct draw_rect){x, y - 8, 9, 9}, heat_soft_alarm(f->theme));
        (void)draw_string(f->list, x + 15, y, &style, "came from elsewhere");
    }
}

/* The reading at the cursor, else the newest visible one; NULL: none. */
static const struct wire_column *reading_of(
    const struct view *view, const struct model_series *series, double step)
{
    const struct wire_column *nearest = NULL;
    double to = isnan(step) ? view->hi : step;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        if (nearest != NULL && (double)model_column(series, i)->first_step > to) {
            break;
        }
        nearest = model_column(series, i);
    }
    return nearest;
}

/* Whether the row has a NaN or an infinity at a step; NaN: at the end of what is drawn. */
static bool is_hit_at(const struct frame *f, const struct heat *heat,
    const struct model_thing *thing, const draw_color *cells, double step)
{
    if (thing->n_nonfinite == 0) {
        return false;
    }
    const struct view *view = f->view;
    size_t cell = heat->n_cells - 1;
    if (!isnan(step)) {
        double place = xaxis_place(view, step) * (double)heat->n_cells;
        cell = place <= 0                      ? 0
               : place < (double)heat->n_cells ? (size_t)place
                                               : heat->n_cells - 1;
    }
    while (isnan(step) && cell > 0 && cells[cell] == f->theme->panel) {
        cell--;
    }
    return cells[cell] == f->theme->alarm || cells[cell] == heat_soft_alarm(f->theme);
}

/* "0.432" and "×1.3", right-aligned; gives the left end. */
static float draw_figures(struct frame *f, const struct heat *heat, struct draw_rect row,
    const struct model_thing *thing, const struct heat_row *of)
{
    const float norm_w = 64;
    const float change_w = 68;
    char norm[FORMAT_MAX];
    char change[FORMAT_MAX] = "";
    float right = row.x + row.w;
    if (row.w < 240) {
        return right;
    }
    float left = right - norm_w - change_w;
    const struct wire_column *reading = reading_of(f->view, of->series, f->view->cursor);
    bool is_hit = is_hit_at(f, heat, thing, of->cells, f->view->cursor);
    if (reading == NULL) {
        return left;
    }
    float y = frame_middle(f, row, FONT_MONO, THEME_SIZE_AXIS);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = is_hit ? f->theme->alarm : f->theme->secondary,
        .align = DRAW_RIGHT};
    double octaves = log2(reading->mean) - of->usual;
    if (is_hit) {
        (void)snprintf(change, sizeof change, "NaN, Inf");
    } else if (isfinite(octaves) && fabs(octaves) >= 0.0704) {
        double times = exp2(fabs(octaves));
        (void)snprintf(change, sizeof change, times < 100 ? "%s%.1f" : "%s%.0f",
            octaves > 0 ? "×" : "÷", fmin(times, 9999));
    } else if (isfinite(octaves)) {
        (void)snprintf(change, sizeof change, "usual");
    }
    (void)draw_string(f->list, right, y, &style, change);
    if (isfinite(reading->mean)) {
        style.color = f->theme->secondary;
        (void)draw_string(
            f->list, right - change_w, y, &style, format_value(norm, reading->mean));
    }
    return left;
}

static bool is_origin(const struct heat *heat, const struct model_thing *thing)
{
    return heat->origin != NULL && heat->origin->thing == thing->thing;
}

/* How many units of a row's layer are marked; 0: none. */
static size_t n_marked(const struct frame *f, const struct model_thing *thing)
{
    const struct marks *marks = marks_of(&f->view->marks, f->model, thing);
    return marks != NULL ? marks->n : 0;
}

static void draw_label(struct frame *f, const struct heat *heat, float y,
    const struct model_thing *thing, const struct heat_row *of)
{
    enum baro_level level = model_thing_level(thing);
    struct draw_rect row = {heat->table.x, y - LABEL_ROW / 2, heat->table.w, LABEL_ROW};
    float left = draw_figures(f, heat, row, thing, of);
    float baseline = frame_middle(f, row, FONT_TEXT, THEME_SIZE_AXIS);
    char name[WORDS_MAX];
    float room = left - row.x - 20;
    frame_mark(f, frame_health(level), row.x + 6, y);
    (void)words_thing(name, thing);
    if (!is_origin(heat, thing)) {
        struct draw_rect box = frame_name(f, THEME_SIZE_AXIS,
            level >= BARO_WATCH ? f->theme->text : f->theme->secondary, row.x + 16,
            baseline, room, name);
        if (n_marked(f, thing) > 0 && room - box.w > 70) {
            char n[FORMAT_MAX];
            char marked[48];
            (void)snprintf(marked, sizeof marked, "%s units marked",
                format_count(n, (int64_t)n_marked(f, thing)));
            (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->accent,
                box.x + box.w + 10, baseline, room - box.w - 10, marked);
        }
        return;
    }
    char step[FORMAT_MAX];
    char began[64];
    (void)snprintf(
        began, sizeof began, "began here, step %s", format_count(step, heat->origin->step));
    struct draw_rect box =
        frame_name(f, THEME_SIZE_AXIS, f->theme->alarm, row.x + 16, baseline, room, name);
    if (room - box.w > 60) {
        (void)frame_text(f, FONT_STRONG, THEME_SIZE_AXIS, f->theme->alarm,
            box.x + box.w + 10, baseline, room - box.w - 10, began);
    }
}

static void tip_of_row(struct frame *f, const struct heat *heat,
    const struct model_thing *thing, const struct heat_row *of)
{
    double step =
        xaxis_step_of_place(f->view, (double)((f->view->mx - heat->plot.x) / heat->plot.w));
    const struct wire_column *reading = reading_of(f->view, of->series, step);
    char value[FORMAT_MAX];
    char at[FORMAT_MAX];
    char name[WORDS_MAX];
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "%s · %s", words_thing(name, thing), baro_role_name(thing->role));
    if (reading != NULL) {
        frame_tip_line(f, "l2 %s at step %s", format_value(value, reading->mean),
            format_count(at, reading->first_step));
    }
    if (n_marked(f, thing) > 0) {
        frame_tip_line(f, "%s of %s units marked",
            format_count(value, (int64_t)n_marked(f, thing)),
            format_count(at, thing->n_units));
    }
    if (is_origin(heat, thing)) {
        frame_tip_line(
            f, "NaN or Inf began here, at step %s", format_count(at, heat->origin->step));
    } else if (thing->n_nonfinite > 0) {
        frame_tip_line(f, "%s readings hold NaN or Inf",
            format_count(value, (int64_t)thing->n_nonfinite));
    }
}

/* ---- the rows ---- */

/* Rows that are labelled: the origin first, then alarms, then what they hit, then all; each
 * keeps its distance from those before it. */
static size_t choose_labels(const struct heat *heat, size_t first, size_t end, size_t *out)
{
    size_t n = 0;
    for (int turn = 0; turn < 4; turn++) {
        for (size_t i = first; i < end && n < MAX_LABELS; i++) {
            const struct model_thing *thing = heat->rows[i];
            enum baro_level level = model_thing_level(thing);
            float y = heat->row_h * ((float)i + 0.5F) - heat->scroll;
            bool is_in = y >= 3 && y <= heat->plot.h - 3;
            bool is_mine = turn == 0   ? is_origin(heat, thing)
                           : turn == 1 ? level >= BARO_ALARM
                           : turn == 2 ? level >= BARO_WATCH
                                       : true;
            for (size_t k = 0; k < n && is_mine && is_in; k++) {
                float apart = fabsf((float)i - (float)out[k]) * heat->row_h;
                is_mine = apart >= LABEL_ROW - 0.01F;
            }
            if (is_mine && is_in) {
                out[n++] = i;
            }
        }
    }
    return n;
}

static void draw_rows(struct frame *f, const struct heat *heat)
{
    size_t labels[MAX_LABELS];
    bool is_soft_allowed = heat->origin != NULL;
    float h = heat->row_h;
    size_t first = (size_t)(heat->scroll / h);
    size_t end = (size_t)ceilf((heat->scroll + heat->plot.h) / h);
    end = end < heat->n ? end : heat->n;
    draw_clip(f->list, heat->plot);
    for (size_t i = first; i < end; i++) {
        const struct model_thing *thing = heat->rows[i];
        bool is_soft = is_soft_allowed && thing->worst_level < BARO_ALARM;
        struct heat_row row = heat_row_get(f, thing, is_soft, heat->n_cells);
        float y = heat->plot.y + h * (float)i - heat->scroll;
        struct draw_rect cells = {
            heat->plot.x, y, heat->plot.w, fmaxf(h - (h > 6.5F ? 1 : 0), 1)};
        draw_cells(f->list, cells, row.cells, (uint32_t)heat->n_cells, 1);
        struct draw_rect zone = {cells.x, y, heat->table.x + heat->table.w - cells.x, h};
        frame_zone(f, zone, VIEW_PICK_THING, thing->thing, 0);
        if (frame_is_over(f, (struct draw_rect){cells.x, y, cells.w, h})) {
            tip_of_row(f, heat, thing, &row);
        }
    }
    draw_unclip(f->list);
    size_t n = choose_labels(heat, first, end, labels);
    for (size_t k = 0; k < n; k++) {
        const struct model_thing *thing = heat->rows[labels[k]];
        bool is_soft = is_soft_allowed && thing->worst_level < BARO_ALARM;
        struct heat_row row = heat_row_get(f, thing, is_soft, heat->n_cells);
        float y = heat->plot.y + h * ((float)labels[k] + 0.5F) - heat->scroll;
        draw_label(f, heat, y, thing, &row);
        if (is_origin(heat, thing)) {
            struct draw_rect at = {heat->plot.x - 7, y - h / 2, 3, fmaxf(h - 1, 2)};
            draw_fill(f->list, at, f->theme->alarm);
            draw_outline(f->list,
                (struct draw_rect){heat->plot.x, at.y, heat->plot.w, at.h},
                f->theme->alarm);
        }
    }
}

/* Where the list of rows stands; a new list begins where the trouble began. */
static float scroll_of(struct frame *f, const struct heat *heat, enum baro_role role)
{
    struct view *view = f->view;
    uint64_t shown = ((uint64_t)view->run << 40) ^ ((uint64_t)role << 32) ^
                     (heat->origin != NULL ? heat->origin->thing : 0) ^ (uint64_t)1 << 63;
    float content = heat->row_h * (float)heat->n;
    for (size_t i = 0; shown != view->heat_shown && i < heat->n; i++) {
        if (i == 0 || is_origin(heat, heat->rows[i])) {
            view->scroll[VIEW_SCROLL_HEAT] =
                heat->row_h * ((float)i + 0.5F) - heat->plot.h / 2;
        }
    }
    view->heat_shown = shown;
    return frame_scroll(f, VIEW_SCROLL_HEAT, content, heat->plot.h);
}

float heat_height(const struct frame *f)
{
    size_t counts[BARO_ROLE_END];
    size_t most = 0;
    count_rows(f, counts);
    for (int role = 1; role < BARO_ROLE_END; role++) {
        most = counts[role] > most ? counts[role] : most;
    }
    return HEAD_H + FOOT_H + GOOD_ROW * (float)most;
}

void heat_draw(struct frame *f, struct draw_rect rect, float plot_x, float plot_w)
{
    struct heat heat = {.origin = f->origin};
    draw_fill(f->list, rect, f->theme->panel);
    enum baro_role role = draw_title(f, (struct draw_rect){rect.x, rect.y, rect.w, 28});
    gather_rows(f, role, &heat);
    if (heat.n == 0) {
        return;
    }
    float room = fmaxf(rect.h - HEAD_H - FOOT_H, MIN_ROW);
    heat.row_h = fminf(fmaxf(room / (float)heat.n, MIN_ROW), MAX_ROW);
    heat.plot = (struct draw_rect){
        plot_x, rect.y + HEAD_H, plot_w, fminf(room, heat.row_h * (float)heat.n)};
    float table_x = plot_x + plot_w + 10;
    heat.table = (struct draw_rect){
        table_x, heat.plot.y, rect.x + rect.w - 20 - table_x, heat.plot.h};
    heat.n_cells = (size_t)fmaxf(plot_w * draw_scale(f->list) / 2, 8);
    heat.scroll = scroll_of(f, &heat, role);
    struct view_slot *slot = plot_slot(f, frame_id(VIEW_OVERVIEW, 0, 0xFF, 0), heat.plot);
    struct draw_rect rows = {rect.x, heat.plot.y, rect.w, heat.plot.h};
    struct draw_rect within = f->within;
    draw_clip(f->list, (struct draw_rect){rows.x, rows.y - 4, rows.w, rows.h + 8});
    if (heat.plot.h < heat.row_h * (float)heat.n) {
        frame_zone(f, rows, VIEW_SCROLL, VIEW_SCROLL_HEAT, 0);
    }
    frame_zone(f, heat.plot, VIEW_CHART, slot - f->view->slots, 0);
    f->within = frame_within(f, rows);
    draw_rows(f, &heat);
    f->within = within;
    plot_cursor(f, heat.plot, draw_fade(f->theme->accent, 0.75F));
    draw_unclip(f->list);
    frame_scroll_bar(f, rows, heat.row_h * (float)heat.n, heat.scroll);
    draw_legend(f, &heat, plot_x, rect.y + rect.h - 10);
}
