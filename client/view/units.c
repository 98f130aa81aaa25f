/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The units of a tensor, however many there are. The daemon chooses few lines so that the picture
 * stays true, for the very chart that is on show: its steps, its axis, its pixels; whoever zooms
 * has others chosen. What it chose comes with how many units each line stands for and with a
 * picture of all of them. A sheet of every unit is asked for only where that is affordable: it
 * makes ranks and brushes exact.
 */

static const float STATS_W = 480; /* of the words of all that every role has */
static const float CHANGE_W = 60; /* of the one that updates have, too */
static const float LEGEND_H = 20;

static const char *const STAT_WORDS[] = {
    "mean", "l2 norm", "largest magnitude", "share of zeros", "non-finite", "change"};
_Static_assert(BARO_LEN(STAT_WORDS) == UNIT_STAT_MOST, "each statistic has its words");

const char *units_stat_words(enum unit_stat stat)
{
    return STAT_WORDS[stat];
}

/* ---- why a unit is shown ---- */

draw_color units_color(const struct frame *f, enum sample_reason reason)
{
    switch ((int)reason) {
    case SAMPLE_NONFINITE: return f->theme->alarm;
    case SAMPLE_LEAP:
    case SAMPLE_OUTLIER: return theme_series(f->theme, 1);
    case SAMPLE_ENVELOPE: return theme_series(f->theme, 2);
    default: return theme_series(f->theme, 0);
    }
}

const char *units_why(const struct units *units, uint32_t place)
{
    const struct model_sample *sample = units->sample;
    switch ((int)sample->reasons[place]) {
    case SAMPLE_NONFINITE: {
        uint8_t any = sample->lines.any[place];
        return (any & SHEET_NAN) != 0                         ? "NaN"
               : (any & (SHEET_POS_INF | SHEET_NEG_INF)) != 0 ? "Inf"
                                                              : "non-finite";
    }
    default: return sample_reason_name((enum sample_reason)sample->reasons[place]);
    }
}

const char *units_why_sentence(const struct units *units, uint32_t place)
{
    switch ((int)units->sample->reasons[place]) {
    case SAMPLE_NONFINITE: return "non-finite: held NaN or Inf";
    case SAMPLE_LEAP: return "leap: goes further at once than others";
    case SAMPLE_OUTLIER:
        return units_is_far(units->sample, place) ? "outlier: lies far from all others"
                                                  : "outlier: goes unlike those around it";
    case SAMPLE_ENVELOPE: return "envelope: highest or lowest for a while";
    case SAMPLE_BLUE_NOISE: return "blue noise: typical of its place";
    default: return "shown because it was asked for";
    }
}

/* ---- what there is and what should be ---- */

static bool is_going_on(const struct frame *f)
{
    return f->run != NULL && (f->run->status == BARO__RUN_STATUS__RUN_RUNNING ||
                                 f->run->status == BARO__RUN_STATUS__RUN_STALLED);
}

/* As many columns as 28 MiB of answer hold, at most one a pixel. */
static uint32_t columns_for(const struct frame *f, uint32_t n_units)
{
    size_t most = ((size_t)28 << 20) / (sizeof(struct wire_column) * n_units);
    uint32_t columns = f->view->wish.columns;
    return most < columns ? (most < 16 ? 16 : (uint32_t)most) : columns;
}

struct units units_get(struct frame *f, const struct model_thing *thing)
{
    struct view *view = f->view;
    const struct model *model = f->model;
    struct units units = {.thing = thing, .stat = view_unit_stat(view, thing)};
    bool is_of_run = model->run == view->run;
    if (thing->n_units <= UNITS_MAX_SHEET) {
        view->wish.units_thing = thing->thing;
        view->wish.units_stat = units.stat;
        view->wish.units_columns = columns_for(f, thing->n_units);
        bool is_right = model->units != NULL && model->units->thing == thing->thing &&
                        model->units->stat == units.stat &&
                        model->units->n_units == thing->n_units;
        units.sheet = is_of_run && is_right ? model->units : NULL;
    }
    bool is_right = model->sample != NULL && model->sample->of.thing == thing->thing &&
                    model->sample->of.stat == units.stat && model->sample->n_shown > 0;
    units.sample = is_of_run && is_right ? model->sample : NULL;
    units.marks = marks_of(&view->marks, model, thing);
    return units;
}

/* Whether a range does not do for a chart any more: it differs by more than a fifth of the chart
 * at either end, or, when it may only grow, does not reach so far. What is chosen changes the
 * chart's own range a little: one that may shrink again could swing for ever. */
static bool is_elsewhere(const struct axis *chart, double lo, double hi, bool may_shrink)
{
    double below = axis_place(chart, lo);
    double above = axis_place(chart, hi) - 1;
    return !(below < 0.2 && above > -0.2) || (may_shrink && !(below > -0.2 && above < 0.2));
}

/* The y axis to choose for: that of the chart, once there is one, moved only when it must be. */
static void update_limits(
    const struct view *view, struct view_slot *slot, const struct model_sample *sample)
{
    const struct axis *y = &slot->layout.y;
    struct view_limits *limits = &slot->limits;
    struct view_limits own = {true, y->kind, y->lo, y->hi, y->linear_to,
        view->wish.from_step, view->wish.to_step};
    if (slot->has_y) {
        *limits = own;
        return;
    }
    if (sample == NULL) {
        *limits = (struct view_limits){.kind = y->kind};
        return;
    }
    bool is_answer =
        limits->kind == sample->of.axis && limits->has == sample->of.has_limits &&
        (!limits->has ||
            (!(limits->lo < sample->of.lo) && !(limits->lo > sample->of.lo) &&
                !(limits->hi < sample->of.hi) && !(limits->hi > sample->of.hi)));
    bool is_other_kind = limits->kind != y->kind;
    bool is_bent = y->kind == AXIS_SYMLOG && (sample->y.linear_to > 3 * y->linear_to ||
                                                 sample->y.linear_to * 3 < y->linear_to);
    bool has_moved = limits->from_step != own.from_step || limits->to_step != own.to_step;
    bool is_settled = is_answer && sample->is_done;
    if (is_other_kind ||
        (is_settled && (is_bent || is_elsewhere(y, sample->y.lo, sample->y.hi,
                                       !limits->has || has_moved)))) {
        *limits = own;
    }
}

/* The steps to choose for: what is visible; of a whole run that goes on all that will come. A window that follows the run moves all the time; it
 * is asked for in stretches, so that the same question is good for a while. */
static void set_steps(const struct frame *f, struct model_sample_wish *wish)
{
    const struct view *view = f->view;
    wish->from_step = view->wish.from_step;
    wish->to_step = view->wish.to_step;
    bool ends_open =
        f->run != NULL && f->run->n_steps > 0 && view->hi >= (double)f->run->last_step;
    wish->is_live = is_going_on(f) && ends_open;
    if (view->is_fit && wish->is_live) { /* all of it, however long it becomes */
        wish->from_step = INT64_MIN;
        wish->to_step = INT64_MAX;
        return;
    }
    if (view->is_fit || !view->is_live || !is_going_on(f)) {
        return;
    }
    int64_t stretch = 1;
    while (stretch * 8 < wish->to_step - wish->from_step) {
        stretch *= 2;
    }
    wish->from_step = wish->from_step / stretch * stretch;
    wish->to_step = (wish->to_step / stretch + 2) * stretch;
}

static uint32_t rounded(float size, uint32_t by, uint32_t least, uint32_t most)
{
    uint32_t n = size > 0 ? (uint32_t)size / by * by : 0;
    return n < least ? least : n > most ? most : n;
}

static void wish_sample(
    struct frame *f, const struct units *units, const struct view_slot *slot)
{
    enum { MAX_COLUMNS = 1024, MAX_HEIGHT = 2048 };
    struct model_sample_wish *wish = &f->view->wish.sample;
    const struct draw_rect *plot = &slot->layout.plot;
    *wish = (struct model_sample_wish){.thing = units->thing->thing,
        .stat = units->stat,
        .columns = rounded(plot->w * draw_scale(f->list), 64, 64, MAX_COLUMNS),
        .height = rounded(plot->h, 32, 32, MAX_HEIGHT),
        .axis = slot->limits.kind,
        .has_limits = slot->limits.has};
    if (wish->has_limits) {
        wish->lo = slot->limits.lo;
        wish->hi = slot->limits.hi;
        wish->linear_to = slot->limits.linear_to;
    }
    set_steps(f, wish);
    if (units->marks != NULL && units->thing->n_units > UNITS_MAX_SHEET) {
        wish->n_always = (uint32_t)marks_pick(units->marks, wish->always, MODEL_MAX_ALWAYS);
    }
}

/* ---- words around the chart ---- */

static const char *no_units_because(const struct model_thing *thing)
{
    _Static_assert(READING_MAX_UNITS == 65536, "as it is said");
    for (uint32_t i = 0; i < thing->n_dims; i++) {
        if (thing->shape[i] > READING_MAX_UNITS) {
            return "of more than 65,536 units the tensor is kept as a whole only";
        }
    }
    return "this tensor has no units";
}

static void draw_no_units(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    struct model_ref ref = {thing->thing, READING_SUMMARY, SUMMARY_L2, 0};
    const struct model_series *series = frame_series(f, ref, false);
    struct chart_line line =
        frame_line(f, series, thing->cadence, theme_series(f->theme, 0));
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, READING_UNITS, UNIT_STAT_MOST),
        .chart = {.title = "l2 norm",
            .note = no_units_because(thing),
            .lines = &line,
            .n_lines = 1},
    };
    (void)frame_chart(f, draw_inset(rect, 8, 6), &chart);
}

static void draw_stats(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    int64_t values[UNIT_STAT_MOST];
    const char *words[UNIT_STAT_MOST];
    enum unit_stat stat = view_unit_stat(f->view, thing);
    int n = reading_unit_stats(thing->role);
    for (int i = 0; i < n; i++) {
        values[i] = i;
        words[i] = STAT_WORDS[i];
    }
    float x = rect.x + 8 + CHART_GUTTER;
    if (rect.w <
        STATS_W +
            (n > UNIT_STAT_COUNT
                    ? CHANGE_W
                    : 0)) { /* no room for all: the chosen one, and how to get at the others */
        struct draw_rect box = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, x,
            rect.y + 20, rect.w - CHART_GUTTER - 16, words[stat]);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary,
            box.x + box.w + 8, rect.y + 20, fmaxf(rect.x + rect.w - box.x - box.w - 16, 8),
            "s: the next");
        return;
    }
    (void)frame_switch(
        f, x, rect.y + 20, words, values, (size_t)n, (int64_t)stat, VIEW_PICK_STAT, false);
}

/* "64 of 4,096 units · refining 40 % · 2 with NaN or Inf · 12 marked" */
static const char *note_of(struct frame *f, const struct units *units)
{
    const struct model_sample *sample = units->sample;
    char *note = draw_scratch(f->list, WORDS_MAX);
    char n[FORMAT_MAX];
    char shown[FORMAT_MAX];
    if (note == NULL) {
        return NULL;
    }
    int at = snprintf(note, WORDS_MAX, "%s of %s units",
        format_count(shown, (int64_t)sample->n_shown), format_count(n, sample->n_units));
    if (!sample->is_done) {
        at += snprintf(note + at, (size_t)(WORDS_MAX - at), " · refining %.0f %%",
            fmin(fmax(sample->fraction, 0), 1) * 100);
    }
    if (sample->n_nonfinite > 0) {
        at += snprintf(note + at, (size_t)(WORDS_MAX - at), " · %s with NaN or Inf",
            format_count(n, sample->n_nonfinite));
    }
    if (sample->n_left_out > 0) {
        at += snprintf(note + at, (size_t)(WORDS_MAX - at), " · %s odd ones have no room",
            format_count(n, sample->n_left_out));
    }
    if (units->marks != NULL) {
        (void)snprintf(note + at, (size_t)(WORDS_MAX - at), " · %s marked",
            format_count(n, (int64_t)units->marks->n));
    }
    return words_add_coarse(note, sample->n_coarse);
}

/* A swatch and its words, if there is room for them; gives where the next one begins. */
static float add_legend(struct frame *f, float x, float right, float y, draw_color color,
    float h, const char *text)
{
    struct draw_style style = {.size = THEME_SIZE_AXIS, .color = f->theme->secondary};
    float w = draw_string_box(f->list, 0, 0, &style, text).w;
    if (x + 20 + w > right) {
        return x;
    }
    draw_fill(f->list, (struct draw_rect){x, y - 4 - h / 2, 14, h}, color);
    (void)draw_string(f->list, x + 20, y, &style, text);
    return x + 20 + w + 18;
}

/* What the colours and widths mean, as far as they are on show. */
static void draw_legend(struct frame *f, struct draw_rect row, const struct units *units,
    const struct units_picture *picture)
{
    const struct model_sample *sample = units->sample;
    const struct theme *theme = f->theme;
    if (sample == NULL) {
        return;
    }
    float x = row.x + CHART_GUTTER;
    float right = row.x + row.w;
    float y = row.y + 14;
    if (units->marks != NULL) {
        x = add_legend(f, x, right, y, theme->accent, 2.5F, "marked");
    }
    if (picture->has_first) {
        x = add_legend(f, x, right, y, theme->alarm, 2, "NaN or Inf began here");
    }
    if (picture->has_odd) {
        x = add_legend(
            f, x, right, y, units_color(f, SAMPLE_OUTLIER), 2, "outlier or leap");
    }
    if (picture->has_ends) {
        x = add_legend(f, x, right, y, units_color(f, SAMPLE_ENVELOPE), 2,
            "envelope: highest, lowest now");
    }
    bool has_blue = memchr(sample->reasons, SAMPLE_BLUE_NOISE, sample->n_shown) != NULL;
    if (sample->n_shown < sample->n_units && sample->is_assigned && has_blue) {
        x = add_legend(f, x, right, y, units_color(f, SAMPLE_BLUE_NOISE), 2,
            "blue noise; wider: stands for more units");
    }
    if (sample->density != NULL) {
        (void)add_legend(f, x, right, y, draw_fade(theme->accent, 0.28F), 9,
            "shade: where all units run");
    }
}

/* ---- the chart ---- */

static size_t n_digits(uint32_t n)
{
    size_t digits = 1;
    while (n >= 10) {
        n /= 10;
        digits++;
    }
    return digits;
}

/* What is said in the middle while there is nothing. */
static const char *empty_of(struct frame *f, const struct units *units)
{
    const struct model_sample *sample = f->model->sample;
    bool is_refused = sample != NULL && sample->of.thing == units->thing->thing &&
                      sample->of.stat == units->stat && sample->trouble[0] != '\0';
    return is_refused                                         ? sample->trouble
           : units->sample == NULL || !units->sample->is_done ? frame_waiting(f, false)
                                                              : NULL;
}

/* The chosen unit's line alone, and faintly a few of those like it. */
static void draw_alone(
    struct frame *f, const struct units *units, struct units_picture *out)
{
    enum { MOST = 8 };
    struct view *view = f->view;
    uint32_t unit = (uint32_t)view->unit;
    const struct model_sample *sample = units->sample;
    *out = (struct units_picture){.n_lines = 1};
    out->units[0] = unit;
    out->lines[0] = units_series_line(f, units->thing, units->stat, unit, f->theme->accent);
    out->lines[0].weight = CHART_SELECTED;
    out->lines[0].alarmed = true;
    out->lines[0].envelope = true;
    uint32_t place = sample != NULL ? units_stands_for(sample, unit) : 0;
    for (uint32_t other = 0; sample != NULL && other < units->thing->n_units; other++) {
        bool is_like = sample->is_assigned && sample->nearest[other] == place &&
                       place < sample->n_shown && other != unit;
        if (is_like && out->n_lines <= MOST) {
            out->units[out->n_lines] = other;
            out->lines[out->n_lines] = units_series_line(
                f, units->thing, units->stat, other, units_color(f, SAMPLE_BLUE_NOISE));
            out->lines[out->n_lines++].weight = CHART_FAINT;
        }
    }
}

static bool is_alone(const struct view *view, const struct model_thing *thing)
{
    return view->is_alone && view->unit >= 0 && view->unit < (int64_t)thing->n_units;
}

/* The drill-down: one unit large. */
static void draw_alone_chart(
    struct frame *f, struct draw_rect area, const struct units *units)
{
    struct units_picture picture;
    char title[96];
    draw_alone(f, units, &picture);
    (void)snprintf(title, sizeof title, "unit %u alone · %s", picture.units[0],
        STAT_WORDS[units->stat]);
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, units->thing->thing, 0xFD, (uint32_t)units->stat),
        .chart = {.title = title,
            .note = picture.n_lines > 1 ? "a few units like it behind · d: all units"
                                        : "d: all units",
            .lines = picture.lines,
            .n_lines = picture.n_lines},
        .may_log = units->stat == UNIT_L2 || units->stat == UNIT_ABS_MAX ||
                   units->stat == UNIT_CHANGE,
    };
    (void)frame_chart(f, area, &chart);
}

static void draw_chart(struct frame *f, struct draw_rect area, const struct units *units)
{
    struct view *view = f->view;
    struct units_picture picture;
    char widest[48] = "unit 8888888888";
    (void)snprintf(widest + strlen("unit ") + n_digits(units->thing->n_units),
        sizeof widest - strlen("unit ") - n_digits(units->thing->n_units), " · outlier");
    units_picture(f, units, &picture);
    struct frame_chart chart = {
        .id = frame_id(
            VIEW_TENSOR, units->thing->thing, READING_UNITS, (uint32_t)units->stat),
        .chart = {.title = STAT_WORDS[units->stat],
            .note = units->sample != NULL ? note_of(f, units) : NULL,
            .lines = picture.lines,
            .n_lines = picture.n_lines,
            .flock = picture.flocks,
            .n_flocks = picture.n_flocks,
            .backdrop = picture.backdrop.n_columns > 0 ? &picture.backdrop : NULL,
            .widest = widest,
            .no_value = true,
            .empty = empty_of(f, units)},
        .may_log = units->stat == UNIT_L2 || units->stat == UNIT_ABS_MAX ||
                   units->stat == UNIT_CHANGE,
        .no_tip = true,
    };
    if (picture.n_flocks == 0) {
        chart.chart.flock = NULL;
    }
    struct view_slot *slot = frame_chart(f, area, &chart);
    draw_legend(
        f, (struct draw_rect){area.x, area.y + area.h, area.w, LEGEND_H}, units, &picture);
    view->units_slot = slot - view->slots;
    update_limits(view, slot, units->sample);
    wish_sample(f, units, slot);
    int64_t hover = -1;
    if (frame_is_over(f, slot->layout.plot)) {
        hover = units_hover(f, units, &slot->layout);
    }
    view->is_dirty |= hover != view->unit_hover;
    view->unit_hover = hover;
    if (hover >= 0) {
        frame_zone(f, slot->layout.plot, VIEW_PICK_UNIT, hover, 0);
    }
}

void units_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    draw_fill(f->list, rect, f->theme->panel);
    if (thing->n_units == 0) {
        draw_no_units(f, rect, thing);
        return;
    }
    struct units units = units_get(f, thing);
    units_brush(f->view, &units);
    units.marks = marks_of(&f->view->marks, f->model, thing);
    draw_stats(f, rect, thing);
    struct draw_rect area = {rect.x + 8, rect.y + 34, rect.w - 16, rect.h - 40 - LEGEND_H};
    if (is_alone(f->view, thing)) {
        draw_alone_chart(f, area, &units);
        const struct view_slot *slot = frame_slot(
            f, frame_id(VIEW_TENSOR, thing->thing, READING_UNITS, (uint32_t)units.stat));
        if (slot->has_layout) { /* who is like it stays known */
            wish_sample(f, &units, slot);
        }
        return;
    }
    draw_chart(f, area, &units);
}
