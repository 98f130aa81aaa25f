/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/units.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The tensor page: one tensor in one role. Large: a line for each unit of the chosen
 * statistic; at its right the units by oddness and the distribution; below, on the same steps,
 * all units as a strip, the distribution or the change over time; then statistics of the whole
 * tensor.
 */

static const float SIDE_W = 250;
static const float MIN_ROOM = 480; /* for three rows of panels */
static const float MIN_HIST_H = 84;
static const float MIN_SMALLS = 300;  /* room, for the small charts below */
static const float MIN_SMALL_W = 172; /* for a small chart with its labels */

/* A whole-tensor statistic shown small. */
struct small {
    enum summary_stat stat;
    const char *title;
};

/* Where the statistics of a tensor hold readings from non-finite elements. */
struct holes {
    size_t n;
    struct hole {
        double from, to;
        uint32_t flags;
    } at[256];
};

static void gather_holes(
    struct frame *f, const struct model_thing *thing, struct holes *holes)
{
    static const struct {
        enum summary_stat stat;
        uint32_t flag;
    } kinds[] = {{SUMMARY_N_NAN, CHART_NAN}, {SUMMARY_N_POS_INF, CHART_POS_INF},
        {SUMMARY_N_NEG_INF, CHART_NEG_INF}};
    for (size_t k = 0; k < BARO_LEN(kinds) && thing->n_nonfinite > 0; k++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)kinds[k].stat, 0};
        const struct model_series *series = frame_series(f, ref, false);
        for (size_t i = 0; series != NULL && i < series->n; i++) {
            const struct wire_column *column = model_column(series, i);
            if (column->max > 0 && holes->n < BARO_LEN(holes->at)) {
                holes->at[holes->n++] = (struct hole){
                    (double)column->first_step, (double)column->last_step, kinds[k].flag};
            }
        }
    }
}

/* The statistics leave non-finite elements out; the line has to say that there were some. */
static void mark_holes(struct frame *f, struct chart_line *line, const struct holes *holes)
{
    struct chart_column *columns = holes->n > 0 ? frame_own_columns(f, line) : NULL;
    for (size_t h = 0; h < holes->n; h++) {
        for (size_t i = 0; i < line->n_columns; i++) {
            if (columns[i].to >= holes->at[h].from && columns[i].from <= holes->at[h].to) {
                columns[i].flags |= holes->at[h].flags;
            }
        }
    }
}

static void draw_small(struct frame *f, struct draw_rect rect,
    const struct model_thing *thing, const struct small *small, const struct holes *holes)
{
    struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)small->stat, 0};
    const struct model_series *series = frame_series(f, ref, false);
    struct chart_line line =
        frame_line(f, series, thing->cadence, theme_series(f->theme, 0));
    mark_holes(f, &line, holes);
    char note[WORDS_MAX] = "";
    (void)words_add_coarse(note, series != NULL ? series->n_coarse : 0);
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, READING_SUMMARY, (uint32_t)small->stat),
        .chart = {.title = small->title,
            .note = note[0] != '\0' ? note : NULL,
            .lines = &line,
            .n_lines = 1,
            .empty = series == NULL || !series->is_ready ? frame_waiting(f, false) : NULL},
        .may_log = small->stat != SUMMARY_MEAN,
    };
    draw_fill(f->list, rect, f->theme->panel);
    (void)frame_chart(f, draw_inset(rect, 8, 6), &chart);
}

/* How many elements were not finite, by kind: three lines of one chart. */
static void draw_counts(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    static const struct {
        enum summary_stat stat;
        const char *name;
    } kinds[] = {
        {SUMMARY_N_NAN, "NaN"}, {SUMMARY_N_POS_INF, "+Inf"}, {SUMMARY_N_NEG_INF, "-Inf"}};
    struct chart_line lines[BARO_LEN(kinds)] = {0};
    bool is_ready = true;
    for (size_t i = 0; i < BARO_LEN(kinds); i++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)kinds[i].stat, 0};
        const struct model_series *series = frame_series(f, ref, false);
        is_ready = is_ready && series != NULL && series->is_ready;
        draw_color color = i == 0 && thing->n_nonfinite > 0
                               ? f->theme->alarm
                               : theme_series(f->theme, i == 1 ? 1 : 6);
        lines[i] = frame_line(f, series, thing->cadence, color);
        lines[i].name = kinds[i].name;
    }
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, READING_SUMMARY, SUMMARY_STAT_COUNT),
        .chart = {.title = "NaN and Inf",
            .lines = lines,
            .n_lines = BARO_LEN(lines),
            .zero_in_view = true,
            .y_fixed = thing->n_nonfinite == 0,
            .y_lo = 0,
            .y_hi = 2,
            .y_whole = thing->n_nonfinite == 0,
            .empty = is_ready ? NULL : frame_waiting(f, false)},
    };
    draw_fill(f->list, rect, f->theme->panel);
    (void)frame_chart(f, draw_inset(rect, 8, 6), &chart);
}

static void draw_smalls(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    static const struct small smalls[] = {{SUMMARY_L2, "l2 norm"},
        {SUMMARY_ABS_MAX, "largest magnitude"}, {SUMMARY_MEAN, "mean"}};
    static const struct small ratio = {SUMMARY_UPDATE_RATIO, "ratio to the weights"};
    struct holes holes = {0};
    gather_holes(f, thing, &holes);
    size_t n = (size_t)fmaxf((rect.w + THEME_GAP) / (MIN_SMALL_W + THEME_GAP), 1);
    n = n < BARO_LEN(smalls) + 1 ? n : BARO_LEN(smalls) + 1;
    float w = (rect.w - THEME_GAP * (float)(n - 1)) / (float)n;
    for (size_t i = 0; i < n && i < BARO_LEN(smalls); i++) {
        struct draw_rect cell = {rect.x + (w + THEME_GAP) * (float)i, rect.y, w, rect.h};
        bool is_ratio = thing->role == BARO_UPDATE && smalls[i].stat == SUMMARY_MEAN;
        draw_small(f, cell, thing, is_ratio ? &ratio : &smalls[i], &holes);
    }
    if (n > BARO_LEN(smalls)) {
        struct draw_rect last = {
            rect.x + (w + THEME_GAP) * (float)BARO_LEN(smalls), rect.y, w, rect.h};
        draw_counts(f, last, thing);
    }
}

static bool is_same_tensor(const struct model_thing *a, const struct model_thing *b)
{
    return a->is_tensor && a->role == b->role && strcmp(a->name, b->name) == 0;
}

/* At the left of the roles: the ranks that have this tensor and its epochs, where there are
 * several: "@1", "#2", and "@1 #2" where there are several of both. */
static float draw_ranks(
    struct frame *f, float right, float y, const struct model_thing *thing)
{
    enum { MAX_RANKS = 8 };
    char texts[MAX_RANKS][32];
    const char *words[MAX_RANKS];
    int64_t things[MAX_RANKS];
    size_t n = 0;
    bool has_ranks = false;
    bool has_epochs = false;
    const struct model_things *all = f->model->things;
    for (size_t i = 0; i < all->n; i++) {
        if (is_same_tensor(&all->at[i], thing)) {
            has_ranks |= all->at[i].rank != thing->rank;
            has_epochs |= all->at[i].epoch != thing->epoch;
        }
    }
    for (size_t i = 0; i < all->n && n < MAX_RANKS; i++) {
        const struct model_thing *at = &all->at[i];
        if (is_same_tensor(at, thing)) {
            uint32_t epoch = at->epoch > 0 ? at->epoch : 1;
            if (has_ranks && has_epochs) {
                (void)snprintf(texts[n], sizeof texts[n], "@%u #%u", at->rank, epoch);
            } else {
                (void)snprintf(texts[n], sizeof texts[n], has_epochs ? "#%u" : "@%u",
                    has_epochs ? epoch : at->rank);
            }
            words[n] = texts[n];
            things[n++] = at->thing;
        }
    }
    if (n < 2) {
        return right;
    }
    return frame_switch(
        f, right - 40, y, words, things, n, (int64_t)thing->thing, VIEW_PICK_THING, true);
}

/* Name, shape and, at the right, roles of the same name and statistics of its units. */
static void draw_title(
    struct frame *f, struct draw_rect row, const struct model_thing *thing)
{
    const char *roles[BARO_ROLE_END];
    int64_t things[BARO_ROLE_END];
    size_t n_roles = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        const struct model_thing *same =
            (int)thing->role == role ? thing
                                     : layer_find(f->model, thing, (enum baro_role)role);
        if (same != NULL) {
            roles[n_roles] = baro_role_name((enum baro_role)role);
            things[n_roles++] = same->thing;
        }
    }
    float y = frame_middle(f, row, FONT_STRONG, THEME_SIZE_TITLE);
    float left = frame_switch(f, row.x + row.w, y, roles, things, n_roles,
        (int64_t)thing->thing, VIEW_PICK_THING, true);
    char shape[WORDS_MAX];
    char name[WORDS_MAX];
    left = draw_ranks(f, left, y, thing);
    frame_mark(f, frame_health(model_thing_level(thing)), row.x + 4, row.y + row.h / 2);
    (void)words_add_cadence(words_shape(shape, thing), thing);
    float shape_w =
        font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, shape, strlen(shape));
    float room = fmaxf(left - row.x - shape_w - 60, (left - row.x) * 0.55F);
    char said[WORDS_MAX];
    (void)frame_fit_name(
        f, FONT_STRONG, THEME_SIZE_TITLE, room, words_thing(name, thing), said);
    struct draw_rect box = frame_text(
        f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, row.x + 16, y, room, said);
    if (strcmp(said, name) != 0 &&
        frame_is_over(f, (struct draw_rect){box.x, row.y, box.w, row.h})) {
        frame_tip(f, box.x, row.y + 8);
        frame_tip_line(f, "%s", name);
    }
    float x = box.x + box.w + 14;
    float rest = fmaxf(left - 24 - x, 10);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y, rest,
        frame_fit_parts(f, FONT_TEXT, THEME_SIZE_TEXT, rest, shape));
}

/* The list of units over the distribution now; the latter alone where there are no units. */
static void draw_side(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    if (thing->n_units == 0) {
        hist_draw(f, rect, thing);
        return;
    }
    float list_h = floorf((rect.h - THEME_GAP) * 0.62F);
    if (rect.h - list_h - THEME_GAP < MIN_HIST_H) {
        unit_panel_draw(f, rect, thing);
        return;
    }
    unit_panel_draw(f, (struct draw_rect){rect.x, rect.y, rect.w, list_h}, thing);
    hist_draw(f,
        (struct draw_rect){
            rect.x, rect.y + list_h + THEME_GAP, rect.w, rect.h - list_h - THEME_GAP},
        thing);
}

void tensor_draw(struct frame *f, struct draw_rect rect)
{
    const struct model_thing *thing = model_thing_find(f->model, f->view->thing);
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    if (thing == NULL || f->model->run != f->view->run) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + 24, inner.w, frame_waiting(f, true));
        return;
    }
    draw_title(f, (struct draw_rect){inner.x, inner.y, inner.w, 28}, thing);
    float top = inner.y + 36;
    float room = inner.h - 36 - THEME_GAP;
    bool has_time = room >= MIN_ROOM; /* for the panel over time, too */
    bool has_below = room >= MIN_SMALLS || f->view->unit >= 0;
    float small_h = fmaxf(fminf(room * (has_time ? 0.22F : 0.26F), 220), 110);
    float upper_h = has_below ? room - small_h - THEME_GAP : room; /* all above them */
    float time_h = has_time ? floorf((upper_h - THEME_GAP) * 0.42F) : 0;
    float main_h = upper_h - (has_time ? time_h + THEME_GAP : 0);
    float side_w = fminf(SIDE_W, inner.w * 0.28F);
    struct draw_rect main = {inner.x, top, inner.w - side_w - THEME_GAP, main_h};
    struct draw_rect side = {main.x + main.w + THEME_GAP, top, side_w, upper_h};
    units_draw(f, main, thing);
    if (has_time) {
        struct draw_rect time = {main.x, top + main_h + THEME_GAP, main.w, time_h};
        tensor_time_draw(f, time, thing);
    }
    draw_side(f, side, thing);
    struct draw_rect below = {inner.x, top + upper_h + THEME_GAP, inner.w, small_h};
    if (has_below && !unit_roles_draw(f, below, thing)) {
        draw_smalls(f, below, thing);
    }
}
