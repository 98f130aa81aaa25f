/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/chart.h"
#include "lib/base/mem.h"
#include "tools/report/report.h"

/* ---- which series ---- */

static const struct why_series *series_of(
    const struct report *report, const struct why_want *want)
{
    const struct why_facts *facts = &report->reading->facts;
    for (size_t i = 0; want->thing != 0 && i < facts->n_series; i++) {
        const struct why_series *series = &facts->series[i];
        if (!series->is_coarse && series->thing == want->thing &&
            series->kind == want->kind && series->stat == want->stat &&
            series->unit == want->unit) {
            return series->n > 1 ? series : NULL;
        }
    }
    return NULL;
}

bool report_has_chart(const struct report *report, size_t beat)
{
    const struct why_story *story = report->story;
    const struct why_series *series = series_of(report, &story->beats[beat].series);
    for (size_t i = 0; i < beat && series != NULL; i++) {
        if (series_of(report, &story->beats[i].series) == series) {
            return false;
        }
    }
    return series != NULL;
}

/* ---- the chart ---- */

/* Steps that are drawn: the trouble in the right part, the change well inside. */
static void choose_range(const struct report *report, const struct why_beat *beat,
    const struct why_series *series, struct axis *x)
{
    const struct why_plan *plan = &report->reading->plan;
    double from = (double)plan->from;
    double to = (double)plan->to;
    double trouble = (double)report->story->step;
    if (beat->shift.kind != SHIFT_NONE && (double)beat->shift.step > from) {
        double before = fmax(3 * (trouble - (double)beat->shift.step), 64);
        from = fmax(from, (double)beat->shift.step - before);
    }
    bool is_lost = series->n > 0 && !isfinite(series->values[series->n - 1]);
    if (report->story->answer == WHY_FROM_PROBE || is_lost) {
        to = fmin(to, trouble + fmax((trouble - from) / 16, 4));
    }
    *x = (struct axis){.kind = AXIS_LINEAR,
        .unit = AXIS_STEP,
        .lo = from,
        .hi = to > from ? to : from + 1};
}

static size_t add_event(
    struct chart_event *events, size_t n, int64_t step, enum theme_health level)
{
    if (step == INT64_MIN) {
        return n;
    }
    events[n] = (struct chart_event){.x = (double)step, .level = level, .is_major = true};
    return n + 1;
}

void report_chart(
    const struct report *report, size_t beat, struct draw_list *list, struct draw_rect rect)
{
    const struct why_story *story = report->story;
    const struct why_beat *about = &story->beats[beat];
    const struct why_series *series = series_of(report, &about->series);
    if (series == NULL) {
        return;
    }
    struct axis x;
    choose_range(report, about, series, &x);
    double lo = (double)INFINITY;
    double hi = -(double)INFINITY;
    struct chart_point *points = baro_xcalloc(series->n, sizeof *points);
    size_t n = 0;
    for (size_t i = 0; i < series->n; i++) {
        double step = (double)series->steps[i];
        if (step >= x.lo && step <= x.hi) {
            points[n++] = (struct chart_point){step, series->values[i]};
            lo = isfinite(series->values[i]) ? fmin(lo, series->values[i]) : lo;
            hi = isfinite(series->values[i]) ? fmax(hi, series->values[i]) : hi;
        }
    }
    struct chart_event events[3];
    size_t n_events = 0;
    if (about->shift.kind != SHIFT_NONE) {
        n_events = add_event(events, n_events, about->shift.step, THEME_WATCH);
    }
    n_events = add_event(events, n_events, story->step,
        story->answer == WHY_NOTHING ? THEME_NO_DATA : THEME_ALARM);
    const struct chart_line line = {.points = points,
        .n_points = n,
        .color = theme_series(report->theme, 0),
        .alarmed = true};
    bool is_log = about->shift.is_log && lo > 0 && hi > lo;
    const struct chart chart = {.title = about->title,
        .note = series->kind == READING_SUMMARY ? summary_stat_name(series->stat)
                : series->kind == READING_UNITS ? unit_stat_name(series->stat)
                                                : NULL,
        .x = x,
        .y_kind = is_log ? AXIS_LOG : AXIS_LINEAR,
        .y_fixed = is_log, /* all of it: that is what it is about */
        .y_lo = is_log ? lo / 1.5 : 0,
        .y_hi = is_log ? hi * 1.5 : 0,
        .lines = &line,
        .n_lines = 1,
        .events = events,
        .n_events = n_events,
        .cursor = (double)NAN};
    struct chart_state state = {0};
    chart_draw(list, report->theme, rect, &chart, &state, NULL);
    free(points);
}
