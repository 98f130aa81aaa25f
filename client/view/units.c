/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * A line for each unit of a tensor: all of them faint, so that the flock is seen as it is, and
 * over it those that matter: units that first held a NaN or an infinity, the largest and the
 * smallest, the chosen one and the one under the pointer. Up to UNITS_MAX_DRAWN units are all
 * drawn; of more, the first UNITS_MAX_DRAWN and those that matter, and the page says so.
 */

enum { UNITS_MAX_DRAWN = 4096, MAX_ALARMED = 6, MAX_LINES = MAX_ALARMED + 4 };

static const float STATS_W = 480; /* of the words of all that every role has */
static const float CHANGE_W = 60; /* of the one that updates have, too */

static const char *const STAT_WORDS[] = {
    "mean", "l2 norm", "largest magnitude", "share of zeros", "non-finite", "change"};
_Static_assert(BARO_LEN(STAT_WORDS) == UNIT_STAT_MOST, "each statistic has its words");

/* The units drawn over the flock. */
struct chosen {
    size_t n;
    size_t unit[MAX_LINES];
    enum { AS_ALARMED, AS_LARGEST, AS_SMALLEST, AS_PICKED, AS_HOVERED } as[MAX_LINES];
    size_t n_alarmed; /* in all, drawn over or not */
};

static void choose(struct chosen *chosen, size_t unit, int as)
{
    for (size_t i = 0; i < chosen->n; i++) {
        if (chosen->unit[i] == unit) {
            if (as > (int)AS_SMALLEST) {
                chosen->as[i] = as;
            }
            return;
        }
    }
    if (chosen->n < MAX_LINES) {
        chosen->unit[chosen->n] = unit;
        chosen->as[chosen->n++] = as;
    }
}

/* The newest finite mean of a unit; NaN when there is none. */
static float last_of(const struct model_units *units, size_t unit)
{
    for (size_t i = units->n; i > 0; i--) {
        float value = units->mean[unit * units->n + i - 1];
        if (isfinite(value)) {
            return value;
        }
    }
    return NAN;
}

/* The column in which a unit first held a NaN or an infinity; units->n: never. */
static size_t first_bad(const struct model_units *units, size_t unit)
{
    size_t column = 0;
    while (column < units->n && units->flags[unit * units->n + column] == 0) {
        column++;
    }
    return column;
}

/* Those that were hit first; when many were at once, none of them stands for the others. */
static void choose_alarmed(const struct model_units *units, struct chosen *chosen)
{
    size_t earliest = units->n;
    size_t n_earliest = 0;
    for (size_t unit = 0; unit < units->n_units; unit++) {
        if (units->any[unit] == 0) {
            continue;
        }
        size_t column = first_bad(units, unit);
        chosen->n_alarmed++;
        n_earliest = column < earliest ? 1 : n_earliest + (column == earliest);
        earliest = column < earliest ? column : earliest;
    }
    for (size_t unit = 0; unit < units->n_units && n_earliest <= MAX_ALARMED; unit++) {
        if (units->any[unit] != 0 && first_bad(units, unit) == earliest) {
            choose(chosen, unit, AS_ALARMED);
        }
    }
}

static void choose_units(
    const struct view *view, const struct model_units *units, struct chosen *chosen)
{
    size_t low = 0;
    size_t high = 0;
    float lo = INFINITY;
    float hi = -INFINITY;
    for (size_t unit = 0; unit < units->n_units; unit++) {
        float last = last_of(units, unit);
        if (last < lo) {
            lo = last;
            low = unit;
        }
        if (last > hi) {
            hi = last;
            high = unit;
        }
    }
    choose_alarmed(units, chosen);
    if (hi > lo) {
        choose(chosen, high, AS_LARGEST);
        choose(chosen, low, AS_SMALLEST);
    }
    if (view->unit >= 0 && view->unit < (int64_t)units->n_units) {
        choose(chosen, (size_t)view->unit, AS_PICKED);
    }
    if (view->unit_hover >= 0 && view->unit_hover < (int64_t)units->n_units) {
        choose(chosen, (size_t)view->unit_hover, AS_HOVERED);
    }
}

/* One unit as a chart's line. */
static struct chart_line line_of(
    struct frame *f, const struct model_units *units, size_t unit, int as, double gap)
{
    struct chart_column *columns = draw_scratch(f->list, (units->n + 1) * sizeof *columns);
    char *name = draw_scratch(f->list, FORMAT_MAX + 8);
    struct chart_line line = {0};
    if (columns == NULL || name == NULL) {
        return line;
    }
    for (size_t i = 0; i < units->n; i++) {
        size_t at = unit * units->n + i;
        uint32_t flags = 0;
        flags |= (units->flags[at] & SHEET_NAN) != 0 ? CHART_NAN : 0;
        flags |= (units->flags[at] & SHEET_POS_INF) != 0 ? CHART_POS_INF : 0;
        flags |= (units->flags[at] & SHEET_NEG_INF) != 0 ? CHART_NEG_INF : 0;
        bool is_hole = isnan(units->mean[at]);
        columns[i] = (struct chart_column){
            .from = units->x[i],
            .to = units->x_to[i],
            .min = (double)units->lo[at],
            .max = (double)units->hi[at],
            .mean = (double)units->mean[at],
            .first = (double)units->mean[at],
            .last = (double)units->mean[at],
            .count = (uint32_t)units->count[i],
            .n_nonfinite = is_hole      ? (uint32_t)units->count[i]
                           : flags != 0 ? 1
                                        : 0,
            .flags = flags,
        };
        if (flags != 0 && !is_hole && columns[i].count == 1) {
            columns[i].count = 2; /* finite as it is: some of the unit's elements are not */
        }
    }
    (void)snprintf(name, FORMAT_MAX + 8, "unit %zu", unit);
    line = (struct chart_line){
        .name = name,
        .columns = columns,
        .n_columns = units->n,
        .gap = gap,
        .color = as == AS_ALARMED ? f->theme->alarm
                 : as == AS_PICKED || as == AS_HOVERED
                     ? f->theme->accent
                     : theme_series(f->theme, as == AS_LARGEST ? 1 : 2),
        .weight = as == AS_PICKED || as == AS_HOVERED ? CHART_SELECTED : CHART_NORMAL,
        .alarmed = as == AS_ALARMED || as == AS_LARGEST || as == AS_SMALLEST,
        .envelope = units->n > 0 && units->count[0] > 2,
    };
    return line;
}

/* The unit whose line is nearest to the pointer, within 20 pixels; -1: none. */
static int64_t unit_at(const struct frame *f, const struct model_units *units,
    const struct chart_layout *layout)
{
    double x = chart_x_at(layout, f->view->mx);
    size_t column = 0;
    for (size_t i = 0; i < units->n; i++) {
        if (fabs(units->x[i] - x) < fabs(units->x[column] - x)) {
            column = i;
        }
    }
    int64_t best = -1;
    float best_distance = 20;
    for (size_t unit = 0; unit < units->n_units && units->n > 0; unit++) {
        float value = units->mean[unit * units->n + column];
        if (isnan(value)) {
            continue;
        }
        float distance = fabsf(chart_px_of_y(layout, (double)value) - f->view->my);
        if (distance < best_distance) {
            best_distance = distance;
            best = (int64_t)unit;
        }
    }
    return best;
}

/* Position of a unit among all by its value at a column, 1 is the largest. */
static size_t rank_of(const struct model_units *units, size_t unit, size_t column)
{
    size_t rank = 1;
    float value = units->mean[unit * units->n + column];
    for (size_t other = 0; other < units->n_units; other++) {
        rank += units->mean[other * units->n + column] > value ? 1 : 0;
    }
    return rank;
}

static void tip_of_unit(
    struct frame *f, const struct model_units *units, const struct chart_layout *layout)
{
    char value[FORMAT_MAX];
    char step[FORMAT_MAX];
    size_t unit = (size_t)f->view->unit_hover;
    double x = chart_x_at(layout, f->view->mx);
    size_t column = 0;
    for (size_t i = 0; i < units->n; i++) {
        if (fabs(units->x[i] - x) < fabs(units->x[column] - x)) {
            column = i;
        }
    }
    float mean = units->mean[unit * units->n + column];
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "unit %zu", unit);
    frame_tip_line(f, "%s at step %s", format_exact(value, (double)mean),
        format_count(step, (int64_t)units->x[column]));
    frame_tip_line(f, "%s of %u by value",
        format_count(value, (int64_t)rank_of(units, unit, column)), units->n_units);
}

static const struct model_units *units_of(
    const struct frame *f, const struct model_thing *thing)
{
    const struct model_units *units = f->model->units;
    bool is_right = units != NULL && f->model->run == f->view->run &&
                    units->thing == thing->thing &&
                    units->stat == view_unit_stat(f->view, thing);
    return is_right ? units : NULL;
}

/* As many columns as 28 MiB of answer hold, at most one a pixel. */
static uint32_t columns_for(const struct frame *f, uint32_t n_units)
{
    size_t most = ((size_t)28 << 20) / (sizeof(struct wire_column) * n_units);
    uint32_t columns = f->view->wish.columns;
    return most < columns ? (most < 16 ? 16 : (uint32_t)most) : columns;
}

static void draw_no_units(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    struct model_ref ref = {thing->thing, READING_SUMMARY, SUMMARY_L2};
    const struct model_series *series = frame_series(f, ref, false);
    struct chart_line line =
        frame_line(f, series, thing->cadence, theme_series(f->theme, 0));
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, READING_UNITS, UNIT_STAT_MOST),
        .chart = {.title = "l2 norm",
            .note = "this tensor has no units",
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

/* "64 units, all drawn; 2 held NaN or Inf" */
static const char *note_of(
    struct frame *f, const struct model_units *units, const struct chosen *chosen)
{
    char *note = draw_scratch(f->list, WORDS_MAX);
    char n[FORMAT_MAX];
    char drawn[FORMAT_MAX];
    if (note == NULL) {
        return NULL;
    }
    size_t n_drawn = units->n_units < UNITS_MAX_DRAWN ? units->n_units : UNITS_MAX_DRAWN;
    int at = snprintf(note, WORDS_MAX, "%s of %s units",
        format_count(drawn, (int64_t)n_drawn), format_count(n, units->n_units));
    if (chosen->n_alarmed > 0) {
        (void)snprintf(note + at, (size_t)(WORDS_MAX - at), " · %s with NaN or Inf",
            format_count(n, (int64_t)chosen->n_alarmed));
    }
    return words_add_coarse(note, units->n_coarse);
}

/* Distance of x positions beyond which neighbours are not joined. */
static double gap_of(const struct model_thing *thing, const struct model_units *units)
{
    return thing->unit_cadence > 0 ? 4 * thing->unit_cadence + 2 * (double)units->width : 0;
}

static size_t n_digits(uint32_t n)
{
    size_t digits = 1;
    while (n >= 10) {
        n /= 10;
        digits++;
    }
    return digits;
}

void units_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    struct view *view = f->view;
    draw_fill(f->list, rect, f->theme->panel);
    if (thing->n_units == 0) {
        draw_no_units(f, rect, thing);
        return;
    }
    view->wish.units_thing = thing->thing;
    enum unit_stat stat = view_unit_stat(view, thing);
    view->wish.units_stat = stat;
    view->wish.units_columns = columns_for(f, thing->n_units);
    const struct model_units *units = units_of(f, thing);
    struct chosen chosen = {0};
    struct chart_line lines[MAX_LINES];
    struct chart_flock flock = {0};
    char widest[] = "unit 8888888888";
    widest[strlen("unit ") + n_digits(thing->n_units)] = '\0';
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, READING_UNITS, (uint32_t)stat),
        .chart = {.title = STAT_WORDS[stat],
            .widest = widest,
            .empty = units == NULL || !units->is_ready ? "reading" : NULL},
        .may_log = stat == UNIT_L2 || stat == UNIT_ABS_MAX || stat == UNIT_CHANGE,
    };
    if (units != NULL && units->n > 0) {
        choose_units(view, units, &chosen);
        for (size_t i = 0; i < chosen.n; i++) {
            lines[i] =
                line_of(f, units, chosen.unit[i], chosen.as[i], gap_of(thing, units));
        }
        flock = (struct chart_flock){.x = units->x,
            .n = units->n,
            .lo = units->lo,
            .hi = units->hi,
            .n_lines = units->n_units < UNITS_MAX_DRAWN ? units->n_units : UNITS_MAX_DRAWN,
            .color = theme_series(f->theme, 0)};
        chart.chart.flock = &flock;
        chart.chart.lines = lines;
        chart.chart.n_lines = chosen.n;
        chart.chart.note = note_of(f, units, &chosen);
    }
    draw_stats(f, rect, thing);
    struct draw_rect area = {rect.x + 8, rect.y + 34, rect.w - 16, rect.h - 40};
    struct view_slot *slot = frame_chart(f, area, &chart);
    int64_t hover = -1;
    if (units != NULL && frame_is_over(f, slot->layout.plot)) {
        hover = unit_at(f, units, &slot->layout);
    }
    view->is_dirty |= hover != view->unit_hover;
    view->unit_hover = hover;
    if (hover >= 0) {
        tip_of_unit(f, units, &slot->layout);
        frame_zone(f, slot->layout.plot, VIEW_PICK_UNIT, hover, 0);
    }
}
