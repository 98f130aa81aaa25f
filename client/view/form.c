/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/form.h"

#include <math.h>
#include <stdlib.h>

#include "client/view/marks.h"
#include "client/view/words.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * What a form is drawn from: the series of a whole-tensor statistic, or how the statistic lies
 * over the units. What each draws is in form_draw.c.
 */

/* A statistic as a series of the tensor and as one of its units. */
static const struct {
    const char *name;
    int summary; /* enum summary_stat; -1: none */
    int unit;    /* enum unit_stat; -1: none */
} STATS[] = {
    [FORM_L2] = {"l2 norm", SUMMARY_L2, UNIT_L2},
    [FORM_MEAN] = {"mean", SUMMARY_MEAN, UNIT_MEAN},
    [FORM_ABS_MAX] = {"largest", SUMMARY_ABS_MAX, UNIT_ABS_MAX},
    [FORM_RATIO] = {"update ratio", SUMMARY_UPDATE_RATIO, -1},
    [FORM_CHANGE] = {"change", -1, UNIT_CHANGE},
};
_Static_assert(BARO_LEN(STATS) == FORM_STAT_COUNT, "each statistic is described");

static const char *const NAMES[] = {"line", "box", "bands", "horizon"};
_Static_assert(BARO_LEN(NAMES) == FORM_COUNT, "each form has a name");

const char *form_name(enum form form)
{
    return NAMES[form];
}

const char *form_stat_name(enum form_stat stat)
{
    return STATS[stat].name;
}

bool form_is_of_updates(enum form_stat stat)
{
    return stat == FORM_RATIO || stat == FORM_CHANGE;
}

/* ---- data ---- */

/* Median of what is visible of the line; NaN: nothing. */
static double usual_of(struct frame *f, const struct form_data *data)
{
    size_t most = data->series != NULL   ? data->series->n
                  : data->spread != NULL ? data->spread->n
                                         : 0;
    double *values = draw_scratch(f->list, (most + 1) * sizeof *values);
    size_t n = 0;
    for (size_t i = 0; values != NULL && i < most; i++) {
        double value = data->series != NULL
                           ? model_column(data->series, i)->mean
                           : (double)data->spread->columns[i].rows[SPREAD_50];
        double step = data->series != NULL
                          ? (double)model_column(data->series, i)->first_step
                          : (double)data->spread->columns[i].first_step;
        if (isfinite(value) && step >= f->view->lo && step <= f->view->hi) {
            values[n++] = value;
        }
    }
    if (n == 0) {
        return (double)NAN;
    }
    qsort(values, n, sizeof *values, baro_by_double);
    return values[n / 2];
}

/* Whether each unit is a single number, which has no direction to change. */
static bool is_single(const struct model_thing *thing)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < thing->n_dims && i < MODEL_MAX_DIMS; i++) {
        n *= thing->shape[i] > 0 ? thing->shape[i] : 1;
    }
    return n <= (int64_t)thing->n_units;
}

struct form_data form_get(
    struct frame *f, const struct model_thing *thing, enum form_stat stat, enum form form)
{
    struct form_data data = {.thing = thing, .usual = (double)NAN};
    if (form_is_of_updates(stat) && thing->role != BARO_UPDATE) {
        thing = layer_find(f->model, thing, BARO_UPDATE);
        data.thing = thing != NULL ? thing : data.thing;
    }
    if (thing == NULL) {
        return data;
    }
    data.is_single = stat == FORM_CHANGE && is_single(thing);
    data.has_units = thing->n_units > 0 && STATS[stat].unit >= 0 && !data.is_single &&
                     STATS[stat].unit < reading_unit_stats(thing->role);
    if (STATS[stat].summary >= 0) {
        struct model_ref ref = {
            thing->thing, READING_SUMMARY, (uint16_t)STATS[stat].summary, 0};
        data.series = frame_series(f, ref, false);
    }
    bool wants_spread = form == FORM_BOX || form == FORM_BANDS || STATS[stat].summary < 0;
    if (data.has_units && wants_spread) {
        struct model_spread_ref ref = {thing->thing, (enum unit_stat)STATS[stat].unit};
        (void)model_wish_spread(&f->view->wish, ref);
        data.spread =
            f->model->run == f->view->run ? model_spread_find(f->model, ref) : NULL;
    }
    data.usual = usual_of(f, &data);
    return data;
}

/* The column of a spread at a step, else the last one before it; NULL: none. */
static const struct model_spread_column *column_at(
    const struct model_spread *spread, double step)
{
    const struct model_spread_column *found = NULL;
    for (size_t i = 0; spread != NULL && i < spread->n; i++) {
        if ((double)spread->columns[i].first_step > step) {
            break;
        }
        found = &spread->columns[i];
    }
    return found;
}

double form_value(
    const struct frame *f, const struct form_data *data, double step, double *out_step)
{
    const struct model_series *series = data->series;
    double value = (double)NAN;
    double to = isnan(step) ? f->view->hi : step;
    if (series == NULL) {
        const struct model_spread_column *column = column_at(data->spread, to);
        if (column != NULL && out_step != NULL) {
            *out_step = (double)column->last_step;
        }
        return column != NULL ? (double)column->rows[SPREAD_50] : value;
    }
    for (size_t i = 0; i < series->n && (double)model_column(series, i)->first_step <= to;
         i++) {
        value = model_column(series, i)->last;
        if (out_step != NULL) {
            *out_step = (double)model_column(series, i)->last_step;
        }
    }
    return value;
}

/* ---- the y axis ---- */

/* What has to be within. */
struct reach {
    double lo, hi; /* of all */
    double least;  /* smallest that is positive */
    double sum_of_logs;
    size_t n_positive, n;
};

static void reach_to(struct reach *reach, double value)
{
    if (!isfinite(value)) {
        return;
    }
    reach->lo = reach->n == 0 ? value : fmin(reach->lo, value);
    reach->hi = reach->n == 0 ? value : fmax(reach->hi, value);
    reach->n++;
    if (value > 0) {
        reach->least = reach->n_positive == 0 ? value : fmin(reach->least, value);
        reach->sum_of_logs += log(value);
        reach->n_positive++;
    }
}

static void reach_data(const struct view *view, const struct form_data *data,
    enum form form, struct reach *out)
{
    bool is_spread = data->spread != NULL && (form == FORM_BOX || form == FORM_BANDS);
    for (size_t i = 0; !is_spread && data->series != NULL && i < data->series->n; i++) {
        const struct wire_column *column = model_column(data->series, i);
        if ((double)column->last_step >= view->lo &&
            (double)column->first_step <= view->hi) {
            reach_to(out, column->min);
            reach_to(out, column->max);
        }
    }
    bool is_line = !is_spread && data->series == NULL;
    for (size_t i = 0;
         (is_spread || is_line) && data->spread != NULL && i < data->spread->n; i++) {
        const struct model_spread_column *column = &data->spread->columns[i];
        if ((double)column->last_step >= view->lo &&
            (double)column->first_step <= view->hi) {
            reach_to(out, (double)column->rows[is_spread ? SPREAD_LEAST : SPREAD_50]);
            reach_to(out, (double)column->rows[is_spread ? SPREAD_MOST : SPREAD_50]);
        }
    }
}

/* The largest of 1, 2, 5 times a power of ten that is at most a positive number. */
static double step_below(double span)
{
    double decade = pow(10, floor(axis_log10(span)));
    return span >= 5 * decade ? 5 * decade : span >= 2 * decade ? 2 * decade : decade;
}

/* Half decades: 1, 3, 10, 30. */
static double half_decade(double value, bool is_up)
{
    double place = 2 * axis_log10(value);
    double at = is_up ? ceil(place - 1e-9) : floor(place + 1e-9);
    double decade = pow(10, floor(at / 2));
    return fmod(at, 2) > 0.5 || fmod(at, 2) < -0.5 ? 3 * decade : decade;
}

bool form_fit(struct frame *f, const struct form_data *data, size_t n, enum form_stat stat,
    enum form form, struct axis *out)
{
    struct reach reach = {0};
    for (size_t i = 0; i < n; i++) {
        reach_data(f->view, &data[i], form, &reach);
    }
    if (reach.n == 0) {
        return false;
    }
    double usual =
        reach.n_positive > 0 ? exp(reach.sum_of_logs / (double)reach.n_positive) : 0;
    bool is_positive = stat != FORM_MEAN && reach.n_positive > 0;
    bool is_log = is_positive && (form_is_of_updates(stat) || reach.hi > 100 * usual ||
                                     reach.least * 100 < usual);
    if (is_log) {
        /* of a spike many decades high what was usual before stays in sight */
        double least = fmax(reach.least, fmin(reach.hi * 1e-8, usual * 1e-12));
        double lo = half_decade(least, false);
        double hi = half_decade(reach.hi, true);
        *out = (struct axis){.kind = AXIS_LOG, .lo = lo, .hi = hi > lo ? hi : lo * 10};
        return true;
    }
    double span = reach.hi - reach.lo;
    double size = fmax(fabs(reach.hi), fabs(reach.lo));
    span = span > size * 1e-6 ? span : fmax(size * 0.1, 1e-30);
    double step = step_below(span) / 2;
    *out = (struct axis){.kind = AXIS_LINEAR,
        .lo = floor(reach.lo / step) * step,
        .hi = ceil(reach.hi / step) * step};
    if (!(out->hi > out->lo)) {
        out->hi = out->lo + step;
    }
    return true;
}

/* ---- words ---- */

void form_tip(struct frame *f, const struct form_data *data, enum form_stat stat,
    enum form form, double step)
{
    char value[FORMAT_MAX];
    char low[FORMAT_MAX];
    char high[FORMAT_MAX];
    char at[FORMAT_MAX];
    double when = step;
    double reading = form_value(f, data, step, &when);
    frame_tip_line(f, "%s (%s)", data->thing->name, baro_role_name(data->thing->role));
    if (!isnan(reading)) {
        frame_tip_line(f, "%s%s %s at step %s", data->series == NULL ? "median " : "",
            form_stat_name(stat), format_exact(value, reading),
            format_count(at, (int64_t)when));
    }
    if (!isnan(data->usual)) {
        frame_tip_line(f, "usually %s", format_value(value, data->usual));
    }
    const struct model_spread_column *column =
        data->spread != NULL ? column_at(data->spread, isnan(step) ? f->view->hi : step)
                             : NULL;
    if (column != NULL) {
        frame_tip_line(f, "units: %s to %s, half of them %s to %s",
            format_value(low, (double)column->rows[SPREAD_LEAST]),
            format_value(high, (double)column->rows[SPREAD_MOST]),
            format_value(value, (double)column->rows[SPREAD_25]),
            format_value(at, (double)column->rows[SPREAD_75]));
    }
    if (column != NULL && column->n_nonfinite > 0) {
        frame_tip_line(
            f, "%u of %u units hold NaN or Inf", column->n_nonfinite, column->n_units);
    }
    bool is_missing = (form == FORM_BOX || form == FORM_BANDS) && !data->has_units;
    if (is_missing) {
        frame_tip_line(f, "no units have this: drawn as a line");
    }
}
