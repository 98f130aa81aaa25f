/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/units.h"

/* The hand on the units: what is under the pointer, and what a rectangle touches. */

static const float NEAR_PX = 20;

size_t units_column(const struct model_units *rows, double step)
{
    size_t column = 0;
    for (size_t i = 0; i < rows->n; i++) {
        if (fabs(rows->x[i] - step) < fabs(rows->x[column] - step)) {
            column = i;
        }
    }
    return column;
}

uint32_t units_stands_for(const struct model_sample *sample, uint32_t unit)
{
    if (sample->is_assigned && unit < sample->n_units) {
        return sample->nearest[unit];
    }
    return model_sample_place(sample, unit);
}

/* ---- hover ---- */

/* Position of a unit among all of some rows by its value at a column, 1 is the largest. */
static size_t rank_of(const struct model_units *rows, size_t row, size_t column)
{
    size_t rank = 1;
    float value = rows->mean[row * rows->n + column];
    for (size_t other = 0; other < rows->n_units; other++) {
        rank += rows->mean[other * rows->n + column] > value ? 1 : 0;
    }
    return rank;
}

static void say_rank(
    struct frame *f, const struct units *units, uint32_t place, double step)
{
    char rank[FORMAT_MAX];
    char n[FORMAT_MAX];
    const struct model_units *rows = &units->sample->lines;
    size_t row = place;
    bool has_all = units->sheet != NULL && units->sheet->n > 0;
    if (has_all) {
        rows = units->sheet;
        row = units->sample->shown[place];
    }
    size_t at = rank_of(rows, row, units_column(rows, step));
    frame_tip_line(f, has_all ? "%s of %s by value" : "%s of the %s shown by value",
        format_count(rank, (int64_t)at), format_count(n, rows->n_units));
}

static void say_unit(
    struct frame *f, const struct units *units, uint32_t place, double step)
{
    char value[FORMAT_MAX];
    char at[FORMAT_MAX];
    const struct model_sample *sample = units->sample;
    const struct model_units *rows = &sample->lines;
    size_t column = units_column(rows, step);
    size_t cell = (size_t)place * rows->n + column;
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "unit %u", sample->shown[place]);
    frame_tip_line(f, "%s at step %s", format_exact(value, (double)rows->mean[cell]),
        format_count(at, (int64_t)rows->x[column]));
    say_rank(f, units, place, step);
    frame_tip_line(f, "%s", units_why_sentence(units, place));
    if (sample->is_assigned && sample->n_members[place] > 1) {
        frame_tip_line(f,
            sample->n_members[place] == 2 ? "stands for %s unit like it; click: which"
                                          : "stands for %s units like it; click: which",
            format_count(value, (int64_t)sample->n_members[place] - 1));
    }
}

/* Row of a line under the pointer, between the readings around it; NaN where it has none. */
static float row_at(const struct model_units *rows, size_t row,
    const struct chart_layout *layout, double step)
{
    size_t at = units_column(rows, step);
    const float *mean = &rows->mean[row * rows->n];
    size_t other = rows->x[at] < step && at + 1 < rows->n ? at + 1
                   : rows->x[at] > step && at > 0         ? at - 1
                                                          : at;
    float a = chart_px_of_y(layout, (double)mean[at]);
    double span = rows->x[other] - rows->x[at];
    if (isnan(mean[at]) || isnan(mean[other]) || other == at) {
        return isnan(mean[at]) ? NAN : a;
    }
    float b = chart_px_of_y(layout, (double)mean[other]);
    return a + (b - a) * (float)((step - rows->x[at]) / span);
}

int64_t units_hover(
    struct frame *f, const struct units *units, const struct chart_layout *layout)
{
    const struct model_sample *sample = units->sample;
    double step = chart_x_at(layout, f->view->mx);
    uint32_t best = 0;
    float best_distance = NEAR_PX;
    if (sample == NULL || sample->lines.n == 0) {
        return -1;
    }
    const struct model_units *rows = &sample->lines;
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        float distance = fabsf(row_at(rows, i, layout, step) - f->view->my);
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    if (!(best_distance < NEAR_PX)) {
        return -1;
    }
    say_unit(f, units, best, step);
    return (int64_t)sample->shown[best];
}

/* ---- brush ---- */

/* Whether a row passes a rectangle: a column in it, or the line between two across it. */
static bool passes(
    const struct model_units *rows, size_t row, const struct view_brush *brush, double gap)
{
    const float *lo = &rows->lo[row * rows->n];
    const float *hi = &rows->hi[row * rows->n];
    const float *mean = &rows->mean[row * rows->n];
    for (size_t i = 0; i < rows->n; i++) {
        bool is_in_x = rows->x_to[i] >= brush->from && rows->x[i] <= brush->to;
        if (is_in_x && (double)hi[i] >= brush->lo && (double)lo[i] <= brush->hi) {
            return true;
        }
        bool is_joined = i + 1 < rows->n && isfinite(mean[i]) && isfinite(mean[i + 1]) &&
                         !chart_is_hole(gap, i > 0 ? rows->x[i] - rows->x[i - 1] : 0,
                             rows->x[i + 1] - rows->x[i]);
        if (!is_joined || rows->x[i + 1] < brush->from || rows->x[i] > brush->to) {
            continue;
        }
        double span = rows->x[i + 1] - rows->x[i];
        double from = (fmax(brush->from, rows->x[i]) - rows->x[i]) / span;
        double to = (fmin(brush->to, rows->x[i + 1]) - rows->x[i]) / span;
        double rise = (double)mean[i + 1] - (double)mean[i];
        double a = (double)mean[i] + rise * from;
        double b = (double)mean[i] + rise * to;
        if (fmax(a, b) >= brush->lo && fmin(a, b) <= brush->hi) {
            return true;
        }
    }
    return false;
}

/* All units: their own columns are there. */
static void brush_sheet(struct view *view, const struct units *units)
{
    double gap = units_gap(units->thing, units->sheet->width);
    for (uint32_t unit = 0; unit < units->sheet->n_units; unit++) {
        if (passes(units->sheet, unit, &view->brush, gap)) {
            marks_add(&view->marks, unit);
        }
    }
}

/* The shown units, and with them those that they stand for. */
static void brush_sample(struct view *view, const struct units *units)
{
    const struct model_sample *sample = units->sample;
    double gap = units_gap(units->thing, sample->lines.width);
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        if (passes(&sample->lines, i, &view->brush, gap)) {
            marks_add(&view->marks, sample->shown[i]);
        }
    }
    size_t n_own = view->marks.n;
    for (uint32_t unit = 0; sample->is_assigned && unit < sample->n_units; unit++) {
        uint32_t place = sample->nearest[unit];
        if (place < sample->n_shown && marks_has(&view->marks, sample->shown[place])) {
            marks_add(&view->marks, unit);
        }
    }
    view->marks.is_guess = view->marks.n > n_own;
}

void units_brush(struct view *view, const struct units *units)
{
    if (!view->brush.is_new) {
        return;
    }
    marks_begin(&view->marks, units->thing);
    /* Where every unit is shown its line is finer than the sheet's. */
    bool has_all =
        units->sample != NULL && units->sample->n_shown == units->sample->n_units;
    if (units->sheet != NULL && units->sheet->n > 0 && !has_all) {
        brush_sheet(view, units);
    }
    if (units->sample != NULL &&
        (units->sheet == NULL || units->sheet->n == 0 || has_all)) {
        brush_sample(view, units);
    } else if (units->sample != NULL) { /* what is seen to be touched is marked */
        for (uint32_t i = 0; i < units->sample->n_shown; i++) {
            if (passes(&units->sample->lines, i, &view->brush,
                    units_gap(units->thing, units->sample->lines.width))) {
                marks_add(&view->marks, units->sample->shown[i]);
            }
        }
    }
    view->brush.is_new = false;
    char n[FORMAT_MAX];
    (void)snprintf(view->notice, sizeof view->notice,
        view->marks.n == 0 ? "No unit passes there%s%s"
        : view->marks.n == 1
            ? "%s unit marked%s in every chart of its layer; esc: no marks"
            : "%s units marked%s in every chart of their layer; esc: no marks",
        view->marks.n > 0 ? format_count(n, (int64_t)view->marks.n) : "",
        view->marks.is_guess ? " with those like them" : "");
    if (view->marks.n == 0) {
        marks_clear(&view->marks);
    }
}
