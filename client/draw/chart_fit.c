/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "client/draw/chart_inside.h"

/*
 * The y range. Wanted is the central 99.5 % of the visible readings, what lies at most 0.4 of
 * their extent beyond it, and all of alarmed lines. Widened by 6 %, it
 * is rounded outwards to round numbers, so that it moves in steps. The range of the frame
 * before stays as long as it holds what is wanted and is not more than 1.8 times too tall.
 * Everything happens in the space where the axis is even, so log axes behave alike.
 */

enum { MAX_SAMPLES = 4096 };

#define TAIL_FRAC    0.0025 /* left out at either end */
#define TAIL_ROOM    0.4
#define ROOM         0.06
#define TOO_TALL     1.8
#define GROWING_ROOM 0.2   /* on a side that has just been outgrown: more will come */
#define LARGEST      1e305 /* an axis ends there */
#define HUGE_READING 1e300
#define TINY_READING 1e-290
#define LOG_DECADES  12.0 /* shown at most below the largest reading */

struct samples {
    double *values;
    size_t n;
    double least, most;             /* of all finite readings looked at */
    double alarm_least, alarm_most; /* of alarmed lines */
    double positive_least;          /* smallest above 0 */
};

/* Room is needed around the largest and the smallest numbers that there are. */
static double tame(double value)
{
    value = value > HUGE_READING ? HUGE_READING : value;
    value = value < -HUGE_READING ? -HUGE_READING : value;
    return fabs(value) < TINY_READING ? 0 : value;
}

/* Look at one reading; keep it for the central part when it belongs to the even sample. */
static void take(struct samples *s, double value, bool alarmed, bool keep)
{
    if (!isfinite(value)) {
        return;
    }
    value = tame(value);
    s->least = value < s->least ? value : s->least;
    s->most = value > s->most ? value : s->most;
    if (value > 0 && value < s->positive_least) {
        s->positive_least = value;
    }
    if (alarmed) {
        s->alarm_least = value < s->alarm_least ? value : s->alarm_least;
        s->alarm_most = value > s->alarm_most ? value : s->alarm_most;
    }
    if (keep && s->n < MAX_SAMPLES) {
        s->values[s->n++] = value;
    }
}

static void extend_by(struct chart_fitted *to, double value)
{
    if (!isfinite(value)) {
        return;
    }
    value = tame(value);
    to->least = value < to->least ? value : to->least;
    to->most = value > to->most ? value : to->most;
    if (value > 0 && value < to->positive_least) {
        to->positive_least = value;
    }
}

static void extend(struct chart_fitted *to, const struct chart_column *column)
{
    if (column->count > column->n_nonfinite) {
        extend_by(to, column->min);
        extend_by(to, column->max);
    }
}

/* Look at the visible columns of a line with a memo: those that it does not know. */
static void take_known(
    struct samples *s, const struct chart_line *line, size_t begin, size_t end)
{
    struct chart_fitted *known = chart_memo_fitted(line->memo);
    size_t fixed = line->n_fixed < begin ? begin
                   : line->n_fixed < end ? line->n_fixed
                                         : end;
    if (!known->has || known->begin != line->memo_first + begin ||
        known->end > line->memo_first + fixed) {
        *known = (struct chart_fitted){.has = true,
            .begin = line->memo_first + begin,
            .end = line->memo_first + begin,
            .least = (double)INFINITY,
            .most = (double)-INFINITY,
            .positive_least = (double)INFINITY};
    }
    for (; known->end < line->memo_first + fixed; known->end++) {
        extend(known, &line->columns[known->end - line->memo_first]);
    }
    struct chart_fitted all = *known;
    for (size_t i = fixed; i < end; i++) {
        extend(&all, &line->columns[i]);
    }
    s->least = fmin(s->least, all.least);
    s->most = fmax(s->most, all.most);
    s->positive_least = fmin(s->positive_least, all.positive_least);
    if (line->alarmed) {
        s->alarm_least = fmin(s->alarm_least, all.least);
        s->alarm_most = fmax(s->alarm_most, all.most);
    }
}

/* Look at all visible readings of one line; keep an even sample of about share of them. */
static void take_line(
    struct samples *s, const struct chart_line *line, double from, double to, size_t share)
{
    const bool has_points = line->points != NULL;
    const double past = nextafter(to, (double)INFINITY);
    size_t begin =
        has_points ? chart_first_point(line, from) : chart_first_column(line, from);
    size_t end =
        has_points ? chart_first_point(line, past) : chart_first_column(line, past);
    end += !has_points && end < line->n_columns && line->columns[end].from <= to;
    size_t n = (end - begin) * (has_points ? 1 : 2);
    size_t step = n <= share ? 1 : (n + share - 1) / share;
    size_t wait = 0; /* until the next one of the even sample */
    bool is_known = !has_points && line->memo != NULL;
    if (is_known) {
        take_known(s, line, begin, end);
    }
    for (size_t i = begin; i < end; i += is_known ? step : 1) {
        if (is_known) { /* few of many: each would be waited for */
            size_t ahead = i + 8 * step < end ? i + 8 * step : i;
            __builtin_prefetch(&line->columns[ahead]);
        }
        bool keep = is_known || wait == 0;
        wait = keep ? step - 1 : wait - 1;
        if (has_points) {
            take(s, line->points[i].y, line->alarmed, keep);
        } else if (line->columns[i].count > line->columns[i].n_nonfinite) {
            take(s, line->columns[i].min, line->alarmed, keep);
            take(s, line->columns[i].max, line->alarmed, keep);
        }
    }
}

static void take_flock(
    struct samples *s, const struct chart_flock *flock, double from, double to, size_t step)
{
    size_t n = flock->n * flock->n_lines;
    step += step > 1 && flock->n % step == 0; /* do not walk down one column */
    for (size_t i = 0; i < n; i += step) {
        double x = flock->x[i % flock->n];
        if (x >= from && x <= to) {
            take(s, (double)flock->lo[i], false, true);
            if (flock->hi != NULL) {
                take(s, (double)flock->hi[i], false, true);
            }
        }
    }
}

/* Put the value that would be k-th (from 0) if they were sorted in its place; returns it. */
static double select_value(double *values, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        double pivot = values[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            double held = values[i];
            values[i++] = values[j];
            values[j--] = held;
        }
        /* All before i are at most, all behind j at least, the pivot. */
        if (k <= j) {
            hi = j;
        } else {
            lo = j + 1;
        }
    }
    return values[k];
}

/* The central part of the samples, with the tails as far as they are short. */
static void central(struct samples *s, double *out_lo, double *out_hi)
{
    size_t cut = (size_t)(TAIL_FRAC * (double)s->n);
    double lo = select_value(s->values, s->n, cut);
    double hi = select_value(s->values, s->n, s->n - 1 - cut);
    double more = (hi - lo) * TAIL_ROOM;
    lo = fmax(s->least, lo - more);
    hi = fmin(s->most, hi + more);
    *out_lo = fmin(lo, s->alarm_least);
    *out_hi = fmax(hi, s->alarm_most);
}

/* Largest power of ten that is at most a positive value. */
static double decade_below(double value)
{
    double decade = 1;
    int n = 0;
    while (decade > value && n++ < 340) {
        decade /= 10;
    }
    while (decade * 10 <= value && n++ < 340) {
        decade *= 10;
    }
    return decade > 0 ? decade : value;
}

/* A scale of "small" for a symlog axis: a round hundredth of the typical magnitude. */
static double choose_linear_to(struct samples *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->values[i] = fabs(s->values[i]);
    }
    double typical = s->n > 0 ? select_value(s->values, s->n, s->n / 2) : 0;
    if (!(typical > 0) && s->n > 0) {
        typical = select_value(s->values, s->n, s->n - 1);
    }
    return typical > 0 ? decade_below(typical) / 10 : 1;
}

/* Round a range outwards in the axis's even space and come back to values. */
static void round_outwards(struct axis *axis, double lo, double hi, double floor_at)
{
    double step = decade_below(hi - lo) / 10;
    step = (hi - lo) / step > 40 ? step * 5 : step;
    double a = floor(lo / step) * step, b = ceil(hi / step) * step;
    a = a < floor_at ? floor_at : a;
    if (axis->kind == AXIS_LINEAR) {
        axis->lo = a;
        axis->hi = b;
        return;
    }
    struct axis unit = *axis;
    unit.lo = axis->kind == AXIS_LOG ? 1 : 0;
    unit.hi = axis->kind == AXIS_LOG ? 10 : axis->linear_to;
    double span = axis_transform(&unit, unit.hi) - axis_transform(&unit, unit.lo);
    double bottom = axis_value(&unit, (a - axis_transform(&unit, unit.lo)) / span);
    double top = axis_value(&unit, (b - axis_transform(&unit, unit.lo)) / span);
    double least = axis->kind == AXIS_LOG ? 1 / LARGEST : -LARGEST;
    axis->lo = bottom > least ? bottom : least;
    axis->hi = top < LARGEST ? top : LARGEST;
}

/* Whether the range of the frame before still does for [lo, hi] (even space). */
static bool still_fits(
    const struct chart_state *state, const struct axis *axis, double lo, double hi)
{
    if (state == NULL || !state->has_range || state->kind != axis->kind) {
        return false;
    }
    double had_lo = axis_transform(axis, state->lo);
    double had_hi = axis_transform(axis, state->hi);
    return had_lo <= lo && had_hi >= hi &&
           had_hi - had_lo <= TOO_TALL * (hi - lo) * (1 + 2 * ROOM);
}

static void choose_kind(struct axis *axis, const struct chart *chart, struct samples *s,
    const struct chart_state *state)
{
    axis->kind = chart->y_kind;
    if (axis->kind == AXIS_LOG && !(s->positive_least < (double)INFINITY)) {
        axis->kind = AXIS_LINEAR; /* nothing positive to show */
    }
    if (axis->kind == AXIS_SYMLOG) {
        double wanted = choose_linear_to(s);
        bool keep = state != NULL && state->has_range && state->linear_to > 0 &&
                    wanted < 20 * state->linear_to && state->linear_to < 20 * wanted;
        axis->linear_to = keep ? state->linear_to : wanted;
    }
}

/* The axis for what was sampled. */
static struct axis fit(
    struct samples *s, const struct chart *chart, const struct chart_state *state)
{
    struct axis axis = {.unit = AXIS_NUMBER};
    double lo = 0, hi = 0;
    central(s, &lo, &hi);
    bool never_negative = s->least >= 0;
    bool never_positive = s->most <= 0;
    if (chart->zero_in_view) {
        lo = fmin(lo, 0);
        hi = fmax(hi, 0);
    }
    choose_kind(&axis, chart, s, state);
    if (axis.kind == AXIS_LOG) {
        lo = lo > 0 ? lo : fmax(s->positive_least, hi * 1e-12);
        lo = hi > 0 && lo < hi * pow(10, -LOG_DECADES) ? hi * pow(10, -LOG_DECADES) : lo;
        hi = hi > lo ? hi : lo;
    }
    lo = axis_transform(&axis, lo);
    hi = axis_transform(&axis, hi);
    if (!(hi - lo > 1e-12 * fmax(fabs(lo), fabs(hi))) || !(hi - lo > 1e-300)) {
        double pad = axis.kind != AXIS_LINEAR ? 0.5 : lo != 0 ? fabs(lo) * 0.05 : 1;
        lo -= pad;
        hi += pad;
        never_negative = never_negative && lo >= 0;
        never_positive = never_positive && hi <= 0;
    }
    if (still_fits(state, &axis, lo, hi)) {
        axis.lo = state->lo;
        axis.hi = state->hi;
        return axis;
    }
    bool floored = axis.kind != AXIS_LOG && never_negative;
    bool capped = axis.kind != AXIS_LOG && never_positive;
    bool follows = state != NULL && state->has_range && state->kind == axis.kind;
    double low_room = ROOM, high_room = ROOM;
    if (follows && lo < axis_transform(&axis, state->lo)) {
        low_room = GROWING_ROOM;
    }
    if (follows && hi > axis_transform(&axis, state->hi)) {
        high_room = GROWING_ROOM;
    }
    double top = hi + (hi - lo) * high_room;
    round_outwards(&axis, lo - (hi - lo) * low_room, capped ? fmin(top, 0) : top,
        floored ? 0 : (double)-INFINITY);
    return axis;
}

struct axis chart_fit_y(
    struct draw_list *list, const struct chart *chart, struct chart_state *state)
{
    struct samples s = {.least = (double)INFINITY,
        .most = (double)-INFINITY,
        .alarm_least = (double)INFINITY,
        .alarm_most = (double)-INFINITY,
        .positive_least = (double)INFINITY};
    struct axis axis = {.kind = chart->y_kind, .lo = 0, .hi = 1, .linear_to = 1};
    s.values = draw_scratch(list, MAX_SAMPLES * sizeof *s.values);
    if (s.values == NULL) {
        return axis;
    }
    size_t share = MAX_SAMPLES / (2 * (chart->n_lines > 0 ? chart->n_lines : 1));
    for (size_t i = 0; i < chart->n_lines; i++) {
        if (chart->lines[i].is_aside) {
            continue;
        }
        take_line(&s, &chart->lines[i], chart->x.lo, chart->x.hi, share > 16 ? share : 16);
    }
    size_t n_values = 0;
    for (size_t i = 0; i < chart_n_flocks(chart); i++) {
        n_values += chart->flock[i].n * chart->flock[i].n_lines;
    }
    for (size_t i = 0; i < chart_n_flocks(chart); i++) {
        take_flock(&s, &chart->flock[i], chart->x.lo, chart->x.hi,
            n_values / (MAX_SAMPLES / 2) + 1);
    }
    if (chart->y_fixed && chart->y_lo < chart->y_hi) {
        bool bad_log = chart->y_kind == AXIS_LOG && !(chart->y_lo > 0);
        axis.kind = bad_log ? AXIS_LINEAR : chart->y_kind;
        axis.linear_to = axis.kind == AXIS_SYMLOG ? choose_linear_to(&s) : 1;
        axis.lo = chart->y_lo;
        axis.hi = chart->y_hi;
        return axis;
    }
    if (s.n > 0) {
        axis = fit(&s, chart, state);
    } else if (state != NULL && state->has_range) {
        axis.kind = state->kind;
        axis.lo = state->lo;
        axis.hi = state->hi;
        axis.linear_to = state->linear_to > 0 ? state->linear_to : 1;
        return axis;
    } else if (axis.kind == AXIS_LOG) {
        axis.lo = 0.1;
    }
    if (state != NULL && s.n > 0) {
        *state = (struct chart_state){true, axis.kind, axis.lo, axis.hi, axis.linear_to};
    }
    return axis;
}

static void weigh(struct chart_weight_of *to, const struct chart_column *column)
{
    if (column->count > column->n_nonfinite && column->mean > 0) {
        to->logs += log(column->mean);
        to->largest = column->max > to->largest ? column->max : to->largest;
        to->n++;
    }
}

void chart_weigh(const struct chart_line *line, struct chart_weight_of *to)
{
    struct chart_weight_of all = {0};
    size_t from = 0;
    if (line->memo != NULL) {
        struct chart_weighed *known = chart_memo_weighed(line->memo);
        size_t fixed = line->n_fixed < line->n_columns ? line->n_fixed : line->n_columns;
        if (!known->has || known->begin != line->memo_first ||
            known->end > line->memo_first + fixed) {
            *known = (struct chart_weighed){
                .has = true, .begin = line->memo_first, .end = line->memo_first};
        }
        for (; known->end < line->memo_first + fixed; known->end++) {
            weigh(&known->weight, &line->columns[known->end - line->memo_first]);
        }
        all = known->weight;
        from = fixed;
    }
    for (size_t i = from; i < line->n_columns; i++) {
        weigh(&all, &line->columns[i]);
    }
    to->logs += all.logs;
    to->largest = all.largest > to->largest ? all.largest : to->largest;
    to->n += all.n;
}

void chart_refit(struct chart_state *state)
{
    *state = (struct chart_state){0};
}
