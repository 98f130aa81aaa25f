/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/xaxis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/view/inside.h"
#include "lib/base/mem.h"

/*
 * Wall time. Each column of READING_STEP says when its last step ended, and how long its steps
 * took; so its steps began that long before. Where that is later than the end of the column
 * before, nothing ran in between: the axis has a gap there, at its true length, though it is known
 * to a column only in which step it fell. A step that was made twice (a run that went on from an
 * older checkpoint) counts when it was last made; so that the axis never turns back, no step lies
 * behind a later one.
 *
 * Epochs. A scalar that counts them is read where it first shows a value; between those the
 * epoch's steps lie evenly, so that whole numbers do not heap all steps of an epoch on one place.
 */

static const char *const NAMES[] = {"step", "time since start", "wall time", "epoch"};
_Static_assert(BARO_LEN(NAMES) == XAXIS_KIND_COUNT, "each kind has a name");

static const struct model_ref SECONDS = {0, READING_STEP, STEP_SECONDS, 0};
static const struct model_ref TIMES = {0, READING_STEP, STEP_TIME, 0};

enum axis_unit xaxis_unit(enum xaxis_kind kind)
{
    static const enum axis_unit units[] = {
        AXIS_STEP, AXIS_ELAPSED, AXIS_CLOCK, AXIS_NUMBER};
    _Static_assert(BARO_LEN(units) == XAXIS_KIND_COUNT, "each kind has a unit");
    return units[kind];
}

const char *xaxis_name(enum xaxis_kind kind)
{
    return kind < XAXIS_KIND_COUNT ? NAMES[kind] : "?";
}

/* ---- the map ---- */

double xaxis_of(const struct xmap *map, double step)
{
    size_t n = map->n;
    if (n == 0) {
        return step;
    }
    if (step <= map->steps[0]) {
        return map->at[0] + (step - map->steps[0]) * map->rate;
    }
    if (step >= map->steps[n - 1]) {
        return map->at[n - 1] + (step - map->steps[n - 1]) * map->rate;
    }
    size_t lo = 0; /* steps[lo] < step <= steps[hi] */
    size_t hi = n - 1;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (map->steps[mid] < step) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    double span = map->steps[hi] - map->steps[lo];
    double t = span > 0 ? (step - map->steps[lo]) / span : 1;
    return map->at[lo] + (map->at[hi] - map->at[lo]) * t;
}

double xaxis_step(const struct xmap *map, double x)
{
    size_t n = map->n;
    if (n == 0) {
        return x;
    }
    if (x <= map->at[0]) {
        return map->steps[0] + (x - map->at[0]) / map->rate;
    }
    if (x >= map->at[n - 1]) {
        return map->steps[n - 1] + (x - map->at[n - 1]) / map->rate;
    }
    size_t lo = 0; /* at[lo] < x <= at[hi] */
    size_t hi = n - 1;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (map->at[mid] < x) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    double span = map->at[hi] - map->at[lo];
    double t = span > 0 ? (x - map->at[lo]) / span : 1;
    return map->steps[lo] + (map->steps[hi] - map->steps[lo]) * t;
}

/* What was idle up to a step: that of the first anchor there. */
static double idle_to(const struct xmap *map, double step)
{
    size_t lo = 0;
    size_t hi = map->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (map->steps[mid] < step) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return map->idle[lo < map->n ? lo : map->n - 1];
}

bool xaxis_is_idle(const struct xmap *map, double from_step, double to_step)
{
    const double rounding_s = 0.1; /* times are kept to some 17 ms, or to two steps */
    if (map->n == 0) {
        return false;
    }
    double idle = idle_to(map, to_step) - idle_to(map, from_step);
    double took = xaxis_of(map, to_step) - xaxis_of(map, from_step);
    return idle > 6 * map->rate + rounding_s && idle > took / 2; /* not many short ones */
}

static void begin_map(struct xmap *map, size_t n)
{
    if (n > map->capacity) {
        map->capacity = n + n / 2;
        map->steps = baro_xrealloc(map->steps, map->capacity, sizeof *map->steps);
        map->at = baro_xrealloc(map->at, map->capacity, sizeof *map->at);
        map->idle = baro_xrealloc(map->idle, map->capacity, sizeof *map->idle);
    }
    map->n = 0;
    map->rate = 1;
}

static void add_anchor(struct xmap *map, double step, double at, double idle)
{
    map->idle[map->n] = (map->n > 0 ? map->idle[map->n - 1] : 0) + idle;
    map->steps[map->n] = step;
    map->at[map->n++] = at;
}

/* No step lies behind a later one. */
static void straighten(struct xmap *map)
{
    for (size_t i = map->n; i-- > 1;) {
        map->at[i - 1] = fmin(map->at[i - 1], map->at[i]);
    }
}

/* Seconds that the steps of a column took together; NaN: not known. */
static double taken_by(const struct model_series *seconds, size_t *at, int64_t first_step,
    int64_t last_step, double n_ranks)
{
    while (*at < seconds->n && model_column(seconds, *at)->last_step < first_step) {
        (*at)++;
    }
    if (*at == seconds->n || model_column(seconds, *at)->first_step > last_step) {
        return (double)NAN;
    }
    const struct wire_column *column = model_column(seconds, *at);
    double n = (double)column->count - (double)column->n_nan;
    return column->mean * n / n_ranks;
}

/* Times of steps, less those of the beginning; false: too few are known. */
static bool map_times(struct xmap *map, const struct model_series *times,
    const struct model_series *seconds, const struct model_run *run, double from)
{
    double n_ranks = run->n_ranks > 1 ? (double)run->n_ranks : 1;
    double sum = 0;
    double n_steps = 0;
    size_t at = 0;
    begin_map(map, 2 * times->n + 2);
    for (size_t i = 0; i < times->n; i++) {
        const struct wire_column *column = model_column(times, i);
        double end = column->last - from;
        double first = (double)column->first_step - 1;
        double last = (double)column->last_step;
        double taken =
            taken_by(seconds, &at, column->first_step, column->last_step, n_ranks);
        if (!isfinite(end)) {
            continue;
        }
        if (!(taken >= 0)) {
            taken = fmax(column->last - column->first, 0);
        }
        double begin = end - taken;
        double idle = 0;
        if (map->n > 0) {
            begin = fmin(fmax(begin, map->at[map->n - 1]), end);
            first = fmax(first, map->steps[map->n - 1] + 0.5); /* idle time has a width */
            idle = fmax(begin - map->at[map->n - 1], 0);
        }
        add_anchor(map, first, begin, idle);
        add_anchor(map, last, end, 0);
        sum += taken;
        n_steps += last - first;
    }
    straighten(map);
    map->rate = n_steps > 0 && sum > 0 ? sum / n_steps : 1;
    return map->n > 0;
}

/* Where each value of a counter is first seen; false: it does not count. */
static bool map_epochs(struct xmap *map, const struct model_series *series)
{
    begin_map(map, 2 * series->n + 2);
    for (size_t i = 0; i < series->n; i++) {
        const struct wire_column *column = model_column(series, i);
        double first = column->first;
        double last = column->last;
        if (isfinite(first) && (map->n == 0 || first > map->at[map->n - 1])) {
            add_anchor(map, (double)column->first_step, first, 0);
        }
        if (isfinite(last) && map->n > 0 && last > map->at[map->n - 1]) {
            add_anchor(map, (double)column->last_step, last, 0);
        }
    }
    if (map->n < 2) {
        map->n = 0;
        return false;
    }
    map->rate = (map->at[map->n - 1] - map->at[0]) /
                fmax(map->steps[map->n - 1] - map->steps[0], 1);
    return true;
}

/* ---- of the runs ---- */

static const struct model_thing *epochs_of(const struct model *model)
{
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        const char *name = thing->name;
        const char *slash = strrchr(name, '/');
        if (!thing->is_tensor &&
            strcasecmp(slash != NULL ? slash + 1 : name, "epoch") == 0) {
            return thing;
        }
    }
    return NULL;
}

bool xaxis_has_epochs(const struct model *model)
{
    return epochs_of(model) != NULL;
}

/* Wish for a series of one of the two runs and give what is there. */
static const struct model_series *series_of(
    struct frame *f, const struct model *model, struct model_ref ref)
{
    if (model == f->model) {
        return frame_series(f, ref, false);
    }
    (void)model_wish_add_other(&f->view->wish, ref, false);
    return model_find(model, ref, false);
}

/* Make the map of a run; false: what it is made from is not there yet. */
static bool make_map(struct frame *f, const struct model *model,
    const struct model_run *run, enum xaxis_kind kind, struct xmap *map)
{
    if (kind == XAXIS_EPOCH) {
        const struct model_thing *thing = epochs_of(model);
        if (thing == NULL) {
            return false;
        }
        const struct model_series *series =
            series_of(f, model, (struct model_ref){thing->thing, READING_SCALAR, 0, 0});
        return series != NULL && series->is_ready && map_epochs(map, series);
    }
    const struct model_series *times = series_of(f, model, TIMES);
    const struct model_series *seconds = series_of(f, model, SECONDS);
    if (times == NULL || seconds == NULL || !times->is_ready || !seconds->is_ready) {
        return false;
    }
    double from = kind == XAXIS_ELAPSED ? (double)run->first_time_ns / 1e9 : 0;
    return map_times(map, times, seconds, run, from);
}

/* The steps of the second run that lie where those of the first do. */
static void wish_range(struct frame *f, const struct model_run *other, bool is_mapped)
{
    struct view *view = f->view;
    struct model_wish *wish = &view->wish;
    const double far = 4e18;
    double lo = (double)wish->from_step;
    double hi = (double)wish->to_step;
    if (is_mapped) {
        lo = floor(xaxis_step(&view->x.other_map, xaxis_of(&view->x.map, view->lo)));
        hi = ceil(xaxis_step(&view->x.other_map, xaxis_of(&view->x.map, view->hi)));
    } else if (view->x.wanted != XAXIS_STEP) {
        lo = (double)other->first_step;
        hi = (double)other->last_step;
    }
    if (view->x.wanted != XAXIS_STEP) { /* a map is no use beyond its run */
        lo = fmin(fmax(lo, (double)other->first_step), (double)other->last_step);
        hi = fmin(fmax(hi, (double)other->first_step), (double)other->last_step);
    }
    wish->other_run = other->run;
    wish->other_from_step = (int64_t)fmin(fmax(lo, -far), far);
    wish->other_to_step = (int64_t)fmin(fmax(hi, -far), far);
}

static void update_other(struct frame *f, bool is_mapped)
{
    struct view *view = f->view;
    const struct model_run *other = model_run_find(f->model, view->other_run);
    if (other == NULL) {
        view->x.other_map.n = 0;
        return;
    }
    const struct model *model = frame_other(f);
    if (view->x.other != other->run) {
        view->x.other_map.n = 0;
        view->x.other = other->run;
    }
    bool is_there = view->x.other_map.n > 0;
    if (view->x.wanted != XAXIS_STEP && model != NULL) {
        (void)make_map(f, model, other, view->x.wanted, &view->x.other_map);
    }
    if (view->x.shown == XAXIS_STEP) {
        view->x.other_map.n = 0;
    }
    wish_range(f, other, is_mapped && is_there && view->x.other_map.n > 0);
}

void xaxis_update(struct frame *f)
{
    struct view *view = f->view;
    struct xaxis *axis = &view->x;
    if (axis->run != view->run) {
        axis->map.n = 0;
        axis->shown = XAXIS_STEP;
        axis->run = view->run;
    }
    if (axis->wanted == XAXIS_STEP || f->run == NULL || f->model->run != view->run) {
        axis->map.n = 0;
        axis->shown = XAXIS_STEP;
    } else if (make_map(f, f->model, f->run, axis->wanted, &axis->map)) {
        axis->shown = axis->wanted;
    } else if (axis->shown != axis->wanted || axis->map.n == 0) {
        axis->map.n = 0;
        axis->shown = XAXIS_STEP;
    }
    axis->stamp = draw_hash(axis->map.n, axis->map.at, axis->map.n * sizeof(double));
    update_other(f, axis->shown != XAXIS_STEP);
}

void xaxis_finish(struct xaxis *axis)
{
    free(axis->map.steps);
    free(axis->map.at);
    free(axis->map.idle);
    free(axis->other_map.steps);
    free(axis->other_map.at);
    free(axis->other_map.idle);
    *axis = (struct xaxis){0};
}

void xaxis_choose(struct view *view, enum xaxis_kind kind)
{
    view->x.wanted = kind;
    view->x.map.n = view->x.other_map.n = 0;
    view->x.shown = XAXIS_STEP;
    (void)snprintf(view->notice, sizeof view->notice, "The x axis counts: %s",
        kind == XAXIS_STEP ? "steps" : xaxis_name(kind));
}

void xaxis_next(struct view *view, const struct model *model)
{
    int next = (int)view->x.wanted + 1;
    if (next == XAXIS_EPOCH && !xaxis_has_epochs(model)) {
        next++;
    }
    xaxis_choose(view, next < XAXIS_KIND_COUNT ? (enum xaxis_kind)next : XAXIS_STEP);
}

/* ---- in charts ---- */

/* Whether a chart's axis counts what the map gives. */
static bool is_mapped(const struct view *view, const struct chart_layout *layout)
{
    return view->x.shown != XAXIS_STEP && layout->x.unit != AXIS_STEP;
}

double xaxis_step_at(const struct view *view, const struct chart_layout *layout, float px)
{
    double x = chart_x_at(layout, px);
    return is_mapped(view, layout) ? xaxis_step(&view->x.map, x) : x;
}

float xaxis_px(const struct view *view, const struct chart_layout *layout, double step)
{
    return chart_px_of_x(
        layout, is_mapped(view, layout) ? xaxis_of(&view->x.map, step) : step);
}

double xaxis_place(const struct view *view, double step)
{
    double lo = xaxis_of(&view->x.map, view->lo);
    double hi = xaxis_of(&view->x.map, view->hi);
    return (xaxis_of(&view->x.map, step) - lo) / (hi - lo);
}

double xaxis_step_of_place(const struct view *view, double place)
{
    double lo = xaxis_of(&view->x.map, view->lo);
    double hi = xaxis_of(&view->x.map, view->hi);
    return xaxis_step(&view->x.map, lo + (hi - lo) * place);
}

void xaxis_map_line(struct frame *f, const struct xmap *map, struct chart_line *line)
{
    if (map->n == 0 || line->points != NULL || line->n_columns == 0) {
        return;
    }
    struct chart_column *columns = draw_scratch(f->list, line->n_columns * sizeof *columns);
    if (columns == NULL) {
        line->n_columns = 0;
        return;
    }
    double distance = 0; /* in steps, of the two columns before */
    for (size_t i = 0; i < line->n_columns; i++) {
        const struct chart_column *column = &line->columns[i];
        const struct chart_column *before = i > 0 ? &line->columns[i - 1] : NULL;
        columns[i] = *column;
        columns[i].from = xaxis_of(map, column->from);
        columns[i].to = fmax(xaxis_of(map, column->to), columns[i].from);
        double apart = before != NULL ? column->from - before->to : 0;
        bool is_gap = before != NULL && (chart_is_hole(line->gap, distance, apart) ||
                                            xaxis_is_idle(map, before->to, column->from));
        columns[i].flags |= is_gap ? CHART_GAP : 0;
        distance = apart;
    }
    line->gap = 0; /* the holes are marked */
    line->columns = columns;
    line->memo = NULL;
}

char *xaxis_words(char *out, size_t out_bytes, const struct view *view,
    const struct xmap *map, double step)
{
    char count[FORMAT_MAX];
    char at[FORMAT_MAX] = "";
    double x = xaxis_of(map, step);
    switch (view->x.shown) {
    case XAXIS_CLOCK: (void)format_clock(at, (int64_t)(x * 1e9), 1); break;
    case XAXIS_ELAPSED: (void)format_duration(at, (int64_t)(fmax(x, 0) * 1e9)); break;
    case XAXIS_EPOCH: (void)format_value(at, x); break;
    case XAXIS_STEP:
    case XAXIS_KIND_COUNT: break;
    }
    (void)format_count(count, (int64_t)llround(step));
    if (at[0] == '\0') {
        (void)snprintf(out, out_bytes, "step %s", count);
    } else {
        (void)snprintf(out, out_bytes, "step %s · %s%s", count,
            view->x.shown == XAXIS_EPOCH ? "epoch " : "", at);
    }
    return out;
}
