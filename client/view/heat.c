/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Layers at a glance: one row a tensor, one column a stretch of steps. The colour says how
 * large the tensor's l2 norm is against the median of what is visible of it: neutral as usual,
 * orange up to 16 times more, blue up to 16 times less. A stretch with a NaN or an infinity has
 * the alarm colour and nothing else has it.
 */

enum { MAX_ROWS = 512 };

static const float LABEL_W = 190;
static const float MIN_ROW = 3;
static const float MAX_ROW = 18;
static const float LABEL_ROW = 13; /* rows closer than that: not each has a label */
static const float HEAD_H = 34;
static const float FOOT_H = 26;
static const float OCTAVES = 4; /* of the colour scale, either way */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of log2 of the positive means; NaN when there is none. */
static double usual_of(struct frame *f, const struct model_series *series)
{
    double *logs = draw_scratch(f->list, (series->n + 1) * sizeof *logs);
    size_t n = 0;
    for (size_t i = 0; logs != NULL && i < series->n; i++) {
        if (series->columns[i].mean > 0) {
            logs[n++] = log2(series->columns[i].mean);
        }
    }
    if (n == 0) {
        return (double)NAN;
    }
    qsort(logs, n, sizeof *logs, compare_doubles);
    return logs[n / 2];
}

/* Column of the picture that a step falls into. */
static size_t cell_of(const struct frame *f, double step, size_t n_cells)
{
    double place = (step - f->view->lo) / (f->view->hi - f->view->lo);
    if (!(place > 0)) {
        return 0;
    }
    size_t cell = (size_t)(place * (double)n_cells);
    return cell < n_cells ? cell : n_cells - 1;
}

/* The n_nan, n_pos_inf and n_neg_inf of a tensor that has any: their columns in alarm. */
static void mark_nonfinite(struct frame *f, const struct model_thing *thing, double lasts,
    draw_color *row, size_t n_cells)
{
    static const enum summary_stat stats[] = {
        SUMMARY_N_NAN, SUMMARY_N_POS_INF, SUMMARY_N_NEG_INF};
    for (size_t k = 0; k < BARO_LEN(stats); k++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)stats[k]};
        const struct model_series *series = frame_series(f, ref, true);
        for (size_t i = 0; series != NULL && i < series->n; i++) {
            const struct wire_column *column = &series->columns[i];
            if (!(column->max > 0) || (double)column->last_step < f->view->lo ||
                (double)column->first_step > f->view->hi) {
                continue;
            }
            size_t from = cell_of(f, (double)column->first_step, n_cells);
            double end =
                fmax((double)column->first_step + lasts / 2, (double)column->last_step);
            if (i + 1 < series->n) {
                end = fmin(end, (double)series->columns[i + 1].first_step);
            }
            size_t to = cell_of(f, end, n_cells);
            for (size_t cell = from; cell <= to; cell++) {
                row[cell] = f->theme->alarm;
            }
        }
    }
}

/* Colours of one row. A reading lasts until the next one, but no longer than usual. */
static void fill_row(struct frame *f, const struct model_thing *thing,
    const struct model_series *series, draw_color *row, size_t n_cells)
{
    double usual = usual_of(f, series);
    double lasts = fmax(thing->cadence, (double)series->width) * 2;
    for (size_t i = 0; i < series->n; i++) {
        const struct wire_column *column = &series->columns[i];
        double from = (double)column->first_step;
        double to = from + lasts;
        if (i + 1 < series->n) {
            to = fmin(to, (double)series->columns[i + 1].first_step);
        } else {
            to = from + lasts / 2;
        }
        if (to < f->view->lo || from > f->view->hi || !(column->mean >= 0)) {
            continue;
        }
        float t =
            (float)((column->mean > 0 ? log2(column->mean) - usual : (double)-OCTAVES) /
                    (double)OCTAVES);
        t = isnan(t) ? 0 : fminf(fmaxf(t, -1), 1);
        size_t last = cell_of(f, to, n_cells);
        for (size_t cell = cell_of(f, from, n_cells); cell <= last; cell++) {
            row[cell] = theme_diff(f->theme, t);
        }
    }
    if (thing->n_nonfinite > 0) {
        mark_nonfinite(f, thing, lasts, row, n_cells);
    }
}

/* The tensors of a role, in the order of the tree; 0: all. */
static size_t gather_rows(
    const struct frame *f, enum baro_role role, const struct model_thing **out, size_t max)
{
    size_t n = 0;
    const struct tree *tree = f->view->tree;
    for (size_t i = 0; i < tree->n && n < max; i++) {
        uint32_t id = role < BARO_ROLE_END ? tree->nodes[i].roles[role] : 0;
        const struct model_thing *thing = id != 0 ? model_thing_find(f->model, id) : NULL;
        if (thing != NULL) {
            out[n++] = thing;
        }
    }
    return n;
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
    const struct model_thing *rows[MAX_ROWS];
    size_t counts[BARO_ROLE_END] = {0};
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        counts[role] = gather_rows(f, (enum baro_role)role, rows, MAX_ROWS);
        if (counts[role] > 0) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
        }
    }
    enum baro_role role = choose_role(f, counts);
    float y = row.y + 20;
    float left = frame_switch(
        f, row.x + row.w - 12, y, words, values, n, (int64_t)role, VIEW_PICK_HEAT, true);
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text,
        row.x + 8, y, 200, "layers at a glance");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, box.x + box.w + 12,
        y, left - box.x - box.w - 40, "norm against its own usual");
    return role;
}

/* What the colours mean: a bar with its ends said. */
static void draw_legend(struct frame *f, float right, float y)
{
    enum { N = 33 };
    draw_color colors[N];
    for (int i = 0; i < N; i++) {
        colors[i] = theme_diff(f->theme, (float)i / (N - 1) * 2 - 1);
    }
    const float bar_w = 96;
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    struct draw_rect box = draw_string(f->list, right, y, &style, "NaN, Inf");
    draw_fill(f->list, (struct draw_rect){box.x - 14, y - 8, 9, 9}, f->theme->alarm);
    box = draw_string(f->list, box.x - 30, y, &style, "×16");
    draw_cells(
        f->list, (struct draw_rect){box.x - 8 - bar_w, y - 8, bar_w, 9}, colors, N, 1);
    (void)draw_string(f->list, box.x - 16 - bar_w, y, &style, "÷16");
}

static void tip_of_row(struct frame *f, const struct model_thing *thing,
    const struct model_series *series, struct draw_rect plot)
{
    double step = f->view->lo +
                  (double)((f->view->mx - plot.x) / plot.w) * (f->view->hi - f->view->lo);
    const struct wire_column *nearest = NULL;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        if (nearest != NULL && (double)series->columns[i].first_step > step) {
            break;
        }
        nearest = &series->columns[i];
    }
    char value[FORMAT_MAX];
    char at[FORMAT_MAX];
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "%s · %s", thing->name, baro_role_name(thing->role));
    if (nearest != NULL) {
        frame_tip_line(f, "l2 %s at step %s", format_value(value, nearest->mean),
            format_count(at, nearest->first_step));
    }
    if (thing->n_nonfinite > 0) {
        frame_tip_line(f, "%s readings hold NaN or Inf",
            format_count(value, (int64_t)thing->n_nonfinite));
    }
}

static void draw_label(
    struct frame *f, struct draw_rect row, const struct model_thing *thing)
{
    enum baro_level level = model_thing_level(thing);
    frame_mark(f, frame_health(level), row.x + 10, row.y + row.h / 2);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS,
        level >= BARO_WATCH ? f->theme->text : f->theme->secondary, row.x + 20,
        frame_middle(f, row, FONT_TEXT, THEME_SIZE_AXIS), row.w - 22, thing->name);
}

static void draw_cursor(struct frame *f, struct draw_rect plot)
{
    double place = (f->view->cursor - f->view->lo) / (f->view->hi - f->view->lo);
    if (place >= 0 && place <= 1) {
        draw_hair_v(
            f->list, plot.x + plot.w * (float)place, plot.y, plot.h, 0, f->theme->accent);
    }
}

static void draw_rows(
    struct frame *f, struct draw_rect plot, const struct model_thing **rows, size_t n)
{
    size_t n_cells = (size_t)fmaxf(plot.w * draw_scale(f->list) / 3, 8);
    float row_h = plot.h / (float)n;
    size_t label_every = (size_t)ceilf(LABEL_ROW / row_h);
    for (size_t i = 0; i < n; i++) {
        struct model_ref ref = {rows[i]->thing, READING_SUMMARY, SUMMARY_L2};
        const struct model_series *series = frame_series(f, ref, true);
        draw_color *cells = draw_scratch(f->list, n_cells * sizeof *cells);
        struct draw_rect row = {plot.x, plot.y + row_h * (float)i, plot.w, row_h};
        struct draw_rect label = {plot.x + plot.w, row.y, LABEL_W, row_h};
        if (cells == NULL) {
            return;
        }
        for (size_t c = 0; c < n_cells; c++) {
            cells[c] = f->theme->panel; /* nothing was recorded: a gap is a gap */
        }
        if (series != NULL) {
            fill_row(f, rows[i], series, cells, n_cells);
        }
        struct draw_rect cells_at = {row.x, row.y, row.w, fmaxf(row.h - (row_h > 6), 1)};
        draw_cells(f->list, cells_at, cells, (uint32_t)n_cells, 1);
        if (i % label_every == 0) {
            label.h = fmaxf(label.h, LABEL_ROW);
            label.y += (row_h - label.h) / 2;
            draw_label(f, label, rows[i]);
        }
        struct draw_rect zone = {row.x, row.y, row.w + LABEL_W, row.h};
        frame_zone(f, zone, VIEW_PICK_THING, rows[i]->thing, 0);
        if (frame_is_over(f, row)) {
            tip_of_row(f, rows[i], series, plot);
        }
    }
}

float heat_height(const struct frame *f)
{
    const struct model_thing *rows[MAX_ROWS];
    size_t most = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        size_t n = gather_rows(f, (enum baro_role)role, rows, MAX_ROWS);
        most = n > most ? n : most;
    }
    return HEAD_H + FOOT_H + MAX_ROW * (float)most;
}

void heat_draw(struct frame *f, struct draw_rect rect)
{
    const struct model_thing *rows[MAX_ROWS];
    draw_fill(f->list, rect, f->theme->panel);
    enum baro_role role = draw_title(f, (struct draw_rect){rect.x, rect.y, rect.w, 28});
    float plot_h = rect.h - HEAD_H - FOOT_H;
    size_t max = (size_t)fmaxf(plot_h / MIN_ROW, 1);
    size_t n = gather_rows(f, role, rows, MAX_ROWS);
    size_t n_shown = n < max ? n : max;
    if (n_shown == 0) {
        return;
    }
    struct draw_rect plot = {rect.x + 8 + CHART_GUTTER, rect.y + HEAD_H,
        rect.w - 16 - CHART_GUTTER - LABEL_W, plot_h};
    plot.h = fminf(plot.h, MAX_ROW * (float)n_shown);
    struct view_slot *slot = frame_slot(f, frame_id(VIEW_OVERVIEW, 0, 0xFF, 0));
    slot->layout = (struct chart_layout){
        .rect = plot, .plot = plot, .x = {.lo = f->view->lo, .hi = f->view->hi}};
    slot->has_layout = true;
    frame_zone(f, plot, VIEW_CHART, slot - f->view->slots, 0);
    draw_rows(f, plot, rows, n_shown);
    draw_cursor(f, plot);
    float y = rect.y + rect.h - 9;
    draw_legend(f, rect.x + rect.w - 12, y);
    char text[WORDS_MAX];
    if (n_shown < n) {
        (void)snprintf(
            text, sizeof text, "%zu of %zu tensors: find others with /", n_shown, n);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, plot.x, y,
            plot.w * 0.6F, text);
    }
}
