/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * Which of N lines to draw when only m are readable? Drawn all, thousands of lines are a black
 * carpet; m at random show the flock m times and hide the one that left it.
 *
 * The method follows DGMTracker (Liu, Shi, Cao, Zhu, Liu 2018): a polyline is a sequence of
 * segments, the segments of one interval of time are a class of multi-class blue noise (Wei 2010), a
 * line is accepted or rejected as a whole by how many of its segments find room
 * (sample_throw.c, sample_grid.c). Blue noise spends lines per area of the chart, not per line of
 * data: where the flock is dense few stand for many, where it is sparse nearly all are kept. What
 * must never be hidden, non-finite readings, leaps and the envelope, is shown in any case, and
 * places are left for the lines that are furthest from all others (sample_cover.c).
 *
 * All geometry is in pixels after the axis transform (polyline.c): what is clutter is what
 * clutters the screen, and zooming chooses anew.
 *
 * In order: the first 2,048 lines of a random permutation are read and a sample of them is made,
 * a first picture within some milliseconds; the others are read; all are thrown, the lines of
 * the first picture first, so that they stay; each line is given to the nearest shown one; those
 * far from all are added. After any step what is shown is a valid sample of the lines read.
 *
 * Differences from the literature, by measurement (docs/ANALYSES.md): radii found by search for a
 * saturated sample, not halved until enough lines are in; outliers by furthest-first, not
 * by acceptance probabilities; no removal of accepted lines in favour of others, which changed
 * nothing that was measured once samples were saturated.
 *
 * Cost: reading N x T values; a throw a few hundred nanoseconds to some microseconds, N of them a
 * pass, 3 to 10 passes; assigning N x m x 16 multiplications.
 *
 * Where it fails: lines that are white noise have no shape to stand for; then the sample
 * is even in every interval, but no line is near another as a whole, and spread_px says so.
 *
 * Worked number: 100 px high, 101 level lines one pixel apart, target 24: 18 places of blue noise,
 * so lines about 5 px apart; the levels 0 and 100 are the envelope.
 */

enum {
    LEAST_TARGET = 24,
    MOST_TARGET = 400,
    ONE_IN = 5,      /* lines at most, or ... */
    FEW_LINES = 128, /* ... so many: more of them stand for hardly any other */
    SLOTS_A_TARGET = 4,
    SPARE_SLOTS = 64,
    FIRST_SHARE = 4,    /* of the places, the least that the first picture fills */
    MEASURE_WORK = 400, /* lines of work that measuring the radius is */
    MANY_VALUES = 20000000
};

static void shuffle(struct sampler *s)
{
    for (size_t i = 0; i < s->n_lines; i++) {
        s->order[i] = (uint32_t)i;
    }
    for (size_t i = s->n_lines; i > 1; i--) {
        size_t j = (size_t)(sampler_random(s) % i);
        uint32_t swap = s->order[i - 1];
        s->order[i - 1] = s->order[j];
        s->order[j] = swap;
    }
}

static size_t choose_columns(size_t n_lines)
{
    size_t n = n_lines > 0 ? MANY_VALUES / n_lines : POLYLINE_MAX_COLUMNS;
    return n > POLYLINE_MAX_COLUMNS ? POLYLINE_MAX_COLUMNS
           : n < SAMPLE_FEATURES    ? SAMPLE_FEATURES
                                    : n;
}

static size_t choose_target(
    const struct sample_options *options, float height_px, size_t n_lines)
{
    if (options->target > 0) {
        return options->target < LEAST_TARGET / 4 ? LEAST_TARGET / 4 : options->target;
    }
    float line = options->line_px > 0 ? options->line_px : 1;
    float n = 2 * height_px / (line + 2);
    const size_t share = n_lines / ONE_IN;
    const size_t most = share > FEW_LINES ? share : FEW_LINES;
    n = n > (float)most ? (float)most : n;
    return n < LEAST_TARGET ? LEAST_TARGET : n > MOST_TARGET ? MOST_TARGET : (size_t)n;
}

static void reset_envelope(struct sampler *s)
{
    for (size_t c = 0; c < POLYLINE_MAX_COLUMNS; c++) {
        s->top_y[c] = INFINITY;
        s->bottom_y[c] = -INFINITY;
    }
}

struct sampler *sampler_create(const struct polylines *lines, const struct axis *axis,
    float height_px, const struct sample_options *options)
{
    static const struct sample_options defaults;
    options = options != NULL ? options : &defaults;
    struct sampler *s = baro_xcalloc(1, sizeof *s);
    const size_t n = lines->n_lines;
    s->lines = *lines;
    s->n_lines = n;
    s->capacity_columns = choose_columns(n);
    polyline_screen_init(&s->screen, lines, axis, height_px, s->capacity_columns);
    s->n_columns = s->screen.n_columns;
    s->target = choose_target(options, height_px, n);
    s->target = s->target > SAMPLE_NOBODY / (2 * SLOTS_A_TARGET)
                    ? SAMPLE_NOBODY / (2 * SLOTS_A_TARGET)
                    : s->target;
    s->line_px = options->line_px > 0 ? options->line_px : 1;
    s->random = options->seed;
    s->leap_most = NAN;
    s->scale = 1;
    s->n_slots = SLOTS_A_TARGET * s->target + SPARE_SLOTS;
    s->y = baro_xcalloc(n * s->capacity_columns, sizeof *s->y);
    s->leap = baro_xcalloc(n, sizeof *s->leap);
    s->bad_from = baro_xcalloc(n, sizeof *s->bad_from);
    s->order = baro_xcalloc(n, sizeof *s->order);
    s->reason = baro_xcalloc(n, 1);
    s->features = baro_xcalloc(n * SAMPLE_FEATURES, sizeof *s->features);
    s->distance = baro_xcalloc(n, sizeof *s->distance);
    s->nearest = baro_xcalloc(n, sizeof *s->nearest);
    s->shown = baro_xcalloc(s->n_slots, sizeof *s->shown);
    s->reasons = baro_xcalloc(s->n_slots, 1);
    s->members = baro_xcalloc(s->n_slots, sizeof *s->members);
    sample_near_init(&s->shown_near, SAMPLE_FEATURES, s->n_slots);
    s->told = baro_xcalloc(s->n_slots, sizeof *s->told);
    s->told_reasons = baro_xcalloc(s->n_slots, 1);
    s->keep = baro_xcalloc(options->n_keep + 1, sizeof *s->keep);
    for (size_t i = 0; i < options->n_keep; i++) {
        if (options->keep[i] < n) {
            s->keep[s->n_keep++] = options->keep[i];
        }
    }
    if (options->is_next_frame) {
        s->is_steady = true;
        s->n_base = s->n_keep;
        s->base = baro_xcalloc(s->n_keep + 1, sizeof *s->base);
        memcpy(s->base, s->keep, s->n_keep * sizeof *s->base);
    }
    for (size_t i = 0; i < n; i++) {
        s->leap[i] = -1;
    }
    sample_grid_init(&s->grid, s->n_columns, s->n_slots, height_px);
    reset_envelope(s);
    shuffle(s);
    s->phase = SAMPLE_DONE;
    if (n > 0 && s->n_columns > 0) {
        const uint32_t *first = s->screen.first_step;
        const size_t each = options->readings_a_step > 0 ? options->readings_a_step : 1;
        s->steps_a_column = each * ((lines->n_steps + s->n_columns - 1) / s->n_columns);
        s->steps_in_last = each * (first[s->n_columns] - first[s->n_columns - 1]);
        s->phase = SAMPLE_READ_FIRST;
    }
    return s;
}

void sampler_destroy(struct sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    sample_grid_finish(&sampler->grid);
    free(sampler->y);
    free(sampler->leap);
    free(sampler->bad_from);
    free(sampler->order);
    free(sampler->reason);
    free(sampler->features);
    free(sampler->distance);
    free(sampler->nearest);
    free(sampler->shown);
    free(sampler->reasons);
    free(sampler->members);
    sample_near_finish(&sampler->shown_near);
    sampler_scores_drop(sampler);
    free(sampler->outliers);
    free(sampler->told);
    free(sampler->told_reasons);
    free(sampler->keep);
    free(sampler->keep_outliers);
    free(sampler->base);
    free(sampler->wanted);
    free(sampler->unwanted);
    free(sampler);
}

static void read_line(struct sampler *s, uint32_t line)
{
    struct polyline_traits traits;
    polyline_reduce(&s->screen, &s->lines, line, sampler_y(s, line), &traits);
    s->leap[line] = traits.leap_px;
    s->bad_from[line] = traits.has_nonfinite ? (uint16_t)(traits.bad_column + 1) : 0;
    s->n_nonfinite += traits.has_nonfinite;
    s->n_read++;
    for (size_t c = 0; c < s->n_columns; c++) {
        if (traits.top[c] < s->top_y[c]) {
            s->top_y[c] = traits.top[c];
            s->top[c] = line;
        }
        if (traits.bottom[c] > s->bottom_y[c]) {
            s->bottom_y[c] = traits.bottom[c];
            s->bottom[c] = line;
        }
    }
}

/* Read lines up to, not including, place `end` of the order; true when there. */
static bool read_lines(struct sampler *s, size_t end, size_t *n_work)
{
    for (; s->at<end && * n_work> 0; (*n_work)--) {
        read_line(s, s->order[s->at++]);
    }
    return s->at == end;
}

void sampler_tell(struct sampler *s)
{
    memcpy(s->told, s->shown, s->n_shown * sizeof *s->told);
    memcpy(s->told_reasons, s->reasons, s->n_shown);
    s->n_told = s->n_shown;
}

/* Few enough to show them all. */
static void show_all(struct sampler *s)
{
    sampler_show_mandatory(s);
    for (size_t i = 0; i < s->n_lines; i++) {
        (void)sampler_show(s, s->order[i], SAMPLE_BLUE_NOISE);
    }
}

/* The first picture has few lines where nearly all lie in a heap and leave it now and then
 * (gradients, mostly): those that leave it furthest are added. */
static void fill_first(struct sampler *s, size_t n_first)
{
    while (s->n_shown < s->target / FIRST_SHARE) {
        uint32_t furthest = s->order[0];
        float most = -1;
        for (size_t i = 0; i < n_first; i++) {
            const uint32_t line = s->order[i];
            if (s->reason[line] == SAMPLE_NOT_SHOWN && s->leap[line] > most) {
                most = s->leap[line];
                furthest = line;
            }
        }
        if (!(most > s->line_px) || !sampler_show(s, furthest, SAMPLE_BLUE_NOISE)) {
            return;
        }
    }
}

static void enter(struct sampler *s, enum sample_phase phase)
{
    s->phase = phase;
    s->at = 0;
}

static void begin_throw_all(struct sampler *s)
{
    if (s->n_lines <= s->target) {
        memcpy(s->grid.radius, s->base_radius, sizeof s->base_radius);
        sample_grid_clear(&s->grid);
        show_all(s);
        enter(s, SAMPLE_ASSIGN);
        return;
    }
    sampler_throw_begin(s, false);
    s->phase = SAMPLE_THROW_ALL;
}

/* Where a frame was told before, what is under way may differ from it too much. */
static void tell_on_the_way(struct sampler *s)
{
    if (s->n_base == 0) {
        sampler_tell(s);
    }
}

static void finish_choice(struct sampler *s)
{
    enter(s, SAMPLE_DONE);
    s->n_appended_columns = 0;
    s->n_full = s->n_shown;
    sampler_tell(s);
}

bool sampler_step(struct sampler *s, size_t n_work)
{
    const size_t n_first = s->n_lines < SAMPLE_FIRST ? s->n_lines : SAMPLE_FIRST;
    switch (s->phase) {
    case SAMPLE_READ_FIRST:
        if (read_lines(s, n_first, &n_work)) {
            sampler_measure_radius(s, n_first);
            if (s->n_lines <= s->target) {
                enter(s, SAMPLE_SCORE);
            } else {
                sampler_throw_begin(s, true);
                s->phase = SAMPLE_THROW_FIRST;
            }
        }
        break;
    case SAMPLE_THROW_FIRST:
        if (!sampler_throw(s, n_work)) {
            fill_first(s, n_first);
            sampler_tell(s);
            s->phase = SAMPLE_READ_REST;
            s->at = n_first;
        }
        break;
    case SAMPLE_READ_REST:
        if (read_lines(s, s->n_lines, &n_work)) {
            enter(s, SAMPLE_SCORE);
        }
        break;
    case SAMPLE_DUE:
        s->leap_most = NAN;
        sampler_measure_radius(s, n_first);
        enter(s, SAMPLE_SCORE);
        break;
    case SAMPLE_SCORE:
        if (!sampler_score(s, n_work)) {
            begin_throw_all(s);
        }
        break;
    case SAMPLE_THROW_ALL:
        if (!sampler_throw(s, n_work)) {
            tell_on_the_way(s);
            enter(s, SAMPLE_ASSIGN);
        }
        break;
    case SAMPLE_ASSIGN:
        if (!sampler_assign(s, n_work / SAMPLE_ASSIGN_WORK + 1)) {
            enter(s, SAMPLE_COVER);
            s->n_before_cover = s->n_shown;
        }
        break;
    case SAMPLE_COVER:
        if (sampler_cover(s, n_work)) {
            tell_on_the_way(s);
        } else if (sampler_turn_back(s)) {
            enter(s, SAMPLE_TURN);
        } else {
            finish_choice(s);
        }
        break;
    case SAMPLE_TURN:
        if (!sampler_assign(s, n_work / SAMPLE_ASSIGN_WORK + 1)) {
            sampler_count_members(s);
            finish_choice(s);
        }
        break;
    case SAMPLE_DONE: break;
    }
    return s->phase != SAMPLE_DONE;
}

float sampler_median_radius(const struct sampler *s)
{
    float sorted[SAMPLE_MAX_INTERVALS];
    memcpy(sorted, s->grid.radius, sizeof sorted);
    qsort(sorted, s->grid.n_intervals, sizeof *sorted, baro_by_float);
    return sorted[s->grid.n_intervals / 2];
}

static double find_fraction(const struct sampler *s)
{
    /* Shares of the whole by phase, for 10^5 lines of 10^3 steps; within a phase by its place. */
    static const double before[] = {0, 0.02, 0.04, 0.3, 0.3, 0.5, 0.75, 0.9, 1, 1};
    double n = (double)s->n_lines;
    double within = 0;
    switch (s->phase) {
    case SAMPLE_READ_REST: within = (double)s->at / n; break;
    case SAMPLE_THROW_ALL: within = 1 - 1 / (1 + 0.5 * s->n_passes); break;
    case SAMPLE_ASSIGN: within = (double)s->at / n; break;
    case SAMPLE_READ_FIRST:
    case SAMPLE_THROW_FIRST:
    case SAMPLE_DUE:
    case SAMPLE_SCORE:
    case SAMPLE_COVER:
    case SAMPLE_TURN:
    case SAMPLE_DONE: break;
    }
    double next = s->phase < SAMPLE_DONE ? before[s->phase + 1] : 1;
    return before[s->phase] + within * (next - before[s->phase]);
}

void sampler_get(const struct sampler *s, struct sample *out)
{
    *out = (struct sample){.n_shown = s->n_told > 0 ? s->n_told : s->n_shown,
        .shown = s->n_told > 0 ? s->told : s->shown,
        .reasons = s->n_told > 0 ? s->told_reasons : s->reasons,
        .n_members = s->members,
        .nearest = s->nearest,
        .is_assigned = s->is_assigned,
        .is_done = s->phase == SAMPLE_DONE,
        .fraction = find_fraction(s),
        .radius_px = s->n_columns > 0 ? sampler_median_radius(s) : 0,
        .n_nonfinite = s->n_nonfinite,
        .n_leaping = s->n_leaping,
        .n_read = s->n_read,
        .n_mandatory_left_out = s->n_left_out};
    if (s->is_assigned) {
        float most = 0;
        for (size_t i = 0; i < s->n_lines; i++) {
            bool is_far = s->distance[i] > most && s->nearest[i] != SAMPLE_NOBODY;
            most = is_far && isfinite(s->distance[i]) ? s->distance[i] : most;
        }
        out->spread_px = sqrtf(most);
    }
}

const char *sample_reason_name(enum sample_reason reason)
{
    static const char *const names[] = {
        "not shown", "blue noise", "outlier", "envelope", "leap", "non-finite"};
    static_assert(BARO_LEN(names) == SAMPLE_REASON_COUNT, "one name a reason");
    return (unsigned)reason < SAMPLE_REASON_COUNT ? names[reason] : "?";
}
