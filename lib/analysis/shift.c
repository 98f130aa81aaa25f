/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/robust.h"
#include "lib/base/mem.h"

/*
 * The question: readings y(t) end at a value that made trouble. Since when did they go there?
 *
 * Method: the series is told by one of five courses (shift.h), fitted by least squares at every
 * place k at which it could change, in O(1) a place from suffix sums. The course with the smallest
 *
 *     n ln(SSE / n + floor^2) + 3 p ln n        p: its numbers, the place counted as one
 *
 * is taken (BIC with a threefold penalty: the noise of training is not independent from step to
 * step, and the place is chosen among n). If that is a straight line, nothing changed. The part
 * behind the place is then looked at again: a later change is preferred when at least half of the
 * way from the level before to the end was made after it, so that the quick changes of a training's
 * beginning do not hide a late drift, and a curved drift is not told by its last bend.
 *
 * Robust: single readings far from the median of their five neighbours are pulled to three spreads
 * from it first; the spread is 1.4826 MAD of successive differences over sqrt 2, so that
 * a drift does not count as noise. A last reading (or the last two) beyond 8 spreads from the 64
 * before is a leap, told before all else, as the filter would hide it. Positive series that span a
 * factor of 8 are looked at on a log scale: what grows by a factor a step is a straight line there.
 *
 * Rejected: CUSUM alone (finds the middle of a ramp, not its beginning); PELT with many changes
 * (more of them than a person can use); Bayesian online detection (its prior for the noise does not
 * fit series that are constant for a thousand steps, like a learning rate).
 *
 * Known to fail: a ramp that begins within the first readings is STEADY; two drifts of the same size
 * give the later one.
 *
 * Worked: 0 0 0 0 0 0 0 0 1 2 3 4 is a hinge with SSE 0, its place 8, its slope 1.
 */

enum { MAX_LOOKS = 4, USUAL_READINGS = 64, LEAST_SIDE = 3 };

static const double LEAP_SCORE = 8;
static const double LEAST_SCORE = 4;
static const double LOG_SPAN = 8;
static const double CLIP = 3;
static const double PENALTY = 3;

/* Sums of what lies at and behind a place. */
struct sums {
    double n, t, tt, y, ty, yy;
};

/* ---- fitting ---- */

static struct sums add(struct sums s, double t, double y)
{
    return (struct sums){
        s.n + 1, s.t + t, s.tt + t * t, s.y + y, s.ty + t * y, s.yy + y * y};
}

static double flat_sse(const struct sums *s)
{
    double sse = s->n > 0 ? s->yy - s->y * s->y / s->n : 0;
    return sse > 0 ? sse : 0;
}

/* Solve for up to 3 unknowns, least squares by normal equations (symmetric, well scaled: t and y
 * are centred). Returns false when they are not independent. */
static bool solve(double a[3][4], int n)
{
    for (int i = 0; i < n; i++) {
        int best = i;
        for (int r = i + 1; r < n; r++) {
            best = fabs(a[r][i]) > fabs(a[best][i]) ? r : best;
        }
        for (int c = 0; c <= n; c++) {
            double kept = a[i][c];
            a[i][c] = a[best][c];
            a[best][c] = kept;
        }
        if (fabs(a[i][i]) < 1e-12) {
            return false;
        }
        for (int r = 0; r < n; r++) {
            double by = r != i ? a[r][i] / a[i][i] : 0;
            for (int c = i; r != i && c <= n; c++) {
                a[r][c] -= by * a[i][c];
            }
        }
    }
    for (int i = 0; i < n; i++) {
        a[i][n] /= a[i][i];
    }
    return true;
}

static void line_fit(const struct sums *s, struct shift_course *out)
{
    double det = s->n * s->tt - s->t * s->t;
    double b = det > 1e-12 ? (s->n * s->ty - s->t * s->y) / det : 0;
    double a = (s->y - b * s->t) / s->n;
    double sse = s->yy - a * s->y - b * s->ty;
    *out = (struct shift_course){.sse = sse > 0 ? sse : 0,
        .slope_before = b,
        .slope_after = b,
        .level_before = a,
        .level_after = a};
}

/* a, then a + b u with u = t - knot behind the place. */
static bool hinge_fit(const struct sums *all, const struct sums *behind, double knot,
    struct shift_course *out)
{
    double u = behind->t - knot * behind->n;
    double uu = behind->tt - 2 * knot * behind->t + knot * knot * behind->n;
    double uy = behind->ty - knot * behind->y;
    double a[3][4] = {{all->n, u, all->y}, {u, uu, uy}};
    if (!solve(a, 2)) {
        return false;
    }
    double level = a[0][2];
    double slope = a[1][2];
    double sse = all->yy - level * all->y - slope * uy;
    *out = (struct shift_course){.sse = sse > 0 ? sse : 0,
        .slope_after = slope,
        .level_before = level,
        .level_after = level};
    return true;
}

/* a + b t, then a + b t + c u. */
static bool bend_fit(const struct sums *all, const struct sums *behind, double knot,
    struct shift_course *out)
{
    double u = behind->t - knot * behind->n;
    double uu = behind->tt - 2 * knot * behind->t + knot * knot * behind->n;
    double tu = behind->tt - knot * behind->t;
    double uy = behind->ty - knot * behind->y;
    double a[3][4] = {
        {all->n, all->t, u, all->y}, {all->t, all->tt, tu, all->ty}, {u, tu, uu, uy}};
    if (!solve(a, 3)) {
        return false;
    }
    double sse = all->yy - a[0][3] * all->y - a[1][3] * all->ty - a[2][3] * uy;
    double level = a[0][3] + a[1][3] * knot;
    *out = (struct shift_course){.sse = sse > 0 ? sse : 0,
        .slope_before = a[1][3],
        .slope_after = a[1][3] + a[2][3],
        .level_before = level,
        .level_after = level};
    return true;
}

static bool two_fit(
    const struct sums *all, const struct sums *behind, struct shift_course *out)
{
    struct sums before = {all->n - behind->n, all->t - behind->t, all->tt - behind->tt,
        all->y - behind->y, all->ty - behind->ty, all->yy - behind->yy};
    *out = (struct shift_course){.sse = flat_sse(&before) + flat_sse(behind),
        .level_before = before.y / before.n,
        .level_after = behind->y / behind->n};
    return true;
}

static bool fit_at(enum shift_model model, const struct sums *all,
    const struct sums *behind, double knot, struct shift_course *out)
{
    return model == SHIFT_MODEL_TWO     ? two_fit(all, behind, out)
           : model == SHIFT_MODEL_HINGE ? hinge_fit(all, behind, knot, out)
                                        : bend_fit(all, behind, knot, out);
}

/* Place k means: reading k is the first of the new course. A hinge has its knot at reading k - 1, the
 * last of the old one. */
void shift_fit(enum shift_model model, const double *t, const double *y, size_t n,
    struct shift_course *out)
{
    /* Centred and scaled, so that sums of squares lose nothing. */
    double t0 = n > 0 ? t[0] : 0;
    double span = n > 1 ? t[n - 1] - t0 : 1;
    double mean = 0;
    for (size_t i = 0; i < n; i++) {
        mean += y[i] / (double)n;
    }
    struct sums all = {0};
    for (size_t i = 0; i < n; i++) {
        all = add(all, (t[i] - t0) / span - 0.5, y[i] - mean);
    }
    struct shift_course best = {.sse = flat_sse(&all)};
    if (model == SHIFT_MODEL_LINE) {
        line_fit(&all, &best);
    }
    bool has_place = model != SHIFT_MODEL_FLAT && model != SHIFT_MODEL_LINE;
    best.sse = has_place ? (double)INFINITY : best.sse;
    struct sums behind = {0};
    for (size_t k = n; has_place && k-- > LEAST_SIDE;) {
        struct shift_course course = {0};
        double knot = (t[k - 1] - t0) / span - 0.5;
        behind = add(behind, (t[k] - t0) / span - 0.5, y[k] - mean);
        if (n - k >= LEAST_SIDE && fit_at(model, &all, &behind, knot, &course) &&
            course.sse < best.sse) {
            best = course;
            best.place = k;
        }
    }
    best.level_before += mean;
    best.level_after += mean;
    best.slope_before /= span;
    best.slope_after /= span;
    *out = best;
}

/* ---- robustness ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median; the array is sorted by it. */
static double median_of(double *values, size_t n)
{
    if (n == 0) {
        return (double)NAN;
    }
    qsort(values, n, sizeof *values, compare);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Deviation of a reading from its course, by the differences of neighbours. */
static double spread_of(const double *y, size_t n, double *scratch)
{
    size_t n_all = 0;
    for (size_t i = 1; i < n; i++) {
        scratch[n_all++] = fabs(y[i] - y[i - 1]);
    }
    double spread = median_of(scratch, n_all) * ROBUST_MAD_TO_SIGMA / sqrt(2.0);
    double size = 0;
    for (size_t i = 0; i < n; i++) {
        size = fmax(size, fabs(y[i]));
    }
    double least =
        1e-7 * size + 1e-30; /* a series that does not move has rounding at least */
    return spread > least ? spread : least;
}

/* Pull readings that stand alone towards the median of their five neighbours. */
static void clip_alone(const double *y, size_t n, double spread, double *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t from = i >= 2 ? i - 2 : 0;
        size_t to = i + 3 <= n ? i + 3 : n;
        double near[5];
        memcpy(near, y + from, (to - from) * sizeof *near);
        double middle = median_of(near, to - from);
        out[i] = fmax(middle - CLIP * spread, fmin(middle + CLIP * spread, y[i]));
    }
}

static double median_at(const double *y, size_t from, size_t to, double *scratch)
{
    memcpy(scratch, y + from, (to - from) * sizeof *y);
    return median_of(scratch, to - from);
}

/* Deviation about the median of the readings from..to. */
static double mad_at(
    const double *y, size_t from, size_t to, double median, double *scratch)
{
    for (size_t i = from; i < to; i++) {
        scratch[i - from] = fabs(y[i] - median);
    }
    return ROBUST_MAD_TO_SIGMA * median_of(scratch, to - from);
}

/* ---- choosing ---- */

/* The first reading, of the last two, that is far off all that came before; n: there is none. */
static size_t leap_of(const double *y, size_t n, double spread, double *scratch)
{
    for (size_t place = n - 2; place < n; place++) {
        size_t from = place > USUAL_READINGS ? place - USUAL_READINGS : 0;
        double usual = median_at(y, from, place, scratch);
        double wide = fmax(spread, mad_at(y, from, place, usual, scratch));
        bool is_far = true;
        double furthest = 0;
        for (size_t i = from; i < place; i++) {
            furthest = fmax(furthest, fabs(y[i] - usual));
        }
        for (size_t i = place; i < n; i++) {
            is_far = is_far && fabs(y[i] - usual) > LEAP_SCORE * wide &&
                     fabs(y[i] - usual) > 2 * furthest;
        }
        if (is_far) {
            return place;
        }
    }
    return n;
}

static enum shift_model best_course(
    const double *t, const double *y, size_t n, double spread, struct shift_course *out)
{
    static const int n_numbers[SHIFT_MODEL_COUNT] = {1, 2, 3, 3, 4};
    enum shift_model best = SHIFT_MODEL_FLAT;
    double lowest = (double)INFINITY;
    for (int m = 0; m < SHIFT_MODEL_COUNT; m++) {
        struct shift_course course = {0};
        shift_fit((enum shift_model)m, t, y, n, &course);
        double floor = 0.1 * spread;
        double score = (double)n * log(course.sse / (double)n + floor * floor) +
                       PENALTY * n_numbers[m] * log((double)n);
        if (score < lowest) {
            lowest = score;
            best = (enum shift_model)m;
            *out = course;
        }
    }
    return best;
}

/* Look for the last change that made half of the way or more. Returns its place, 0: none. */
static size_t last_change(const double *t, const double *y, size_t n, double spread,
    double *scratch, enum shift_model *out_model)
{
    size_t begin = 0;
    size_t found = 0;
    double base = (double)NAN;
    double end = median_at(y, n - 3, n, scratch);
    for (int look = 0; look < MAX_LOOKS && n - begin >= SHIFT_LEAST_READINGS; look++) {
        struct shift_course course = {0};
        enum shift_model model =
            best_course(t + begin, y + begin, n - begin, spread, &course);
        bool has_place = model != SHIFT_MODEL_FLAT && model != SHIFT_MODEL_LINE;
        bool is_more =
            found == 0 || fabs(end - course.level_before) >= 0.5 * fabs(end - base);
        if (look == 0) {
            *out_model = model;
        }
        if (!has_place || !is_more ||
            fabs(end - course.level_before) < LEAST_SCORE * spread) {
            break;
        }
        *out_model = model;
        base = course.level_before;
        begin += course.place;
        found = begin;
    }
    return found;
}

/* ---- the whole ---- */

static size_t take_finite(const int64_t *steps, const double *values, size_t n, double *t,
    double *y, size_t *places)
{
    size_t n_taken = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i]) && (n_taken == 0 || (double)steps[i] > t[n_taken - 1])) {
            t[n_taken] = (double)steps[i];
            y[n_taken] = values[i];
            places[n_taken++] = i;
        }
    }
    return n_taken;
}

static bool wants_log(const double *y, size_t n)
{
    double least = (double)INFINITY;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, y[i]);
        most = fmax(most, y[i]);
    }
    return least > 0 && most / least >= LOG_SPAN;
}

static void tell(const int64_t *steps, const double *raw, const double *y, size_t n,
    const size_t *places, size_t place, double spread, double *scratch, struct shift *out)
{
    bool is_last = out->kind == SHIFT_LEAP;
    bool has_before = out->kind != SHIFT_STEADY;
    size_t from = place > USUAL_READINGS ? place - USUAL_READINGS : 0;
    size_t to = has_before ? place : (n < 3 ? n : 3);
    out->place = places[place];
    out->step = steps[places[place]];
    out->before = median_at(raw, from, to, scratch);
    double base = median_at(y, from, to, scratch);
    double end = is_last ? y[n - 1] : median_at(y, n - 3, n, scratch);
    out->after = is_last ? raw[n - 1] : median_at(raw, n - 3, n, scratch);
    size_t third = place + 2 * (n - place) / 3;
    size_t third_to = third + 3 < n ? third + 3 : n;
    double then = median_at(y, third, third_to, scratch);
    out->late = is_last || fabs(end - base) <= 0 ? 1 : (end - then) / (end - base);
    double wide = fmax(spread, has_before ? mad_at(y, from, to, base, scratch) : 0);
    out->score = fabs(end - base) / wide;
    out->spread = out->is_log ? fabs(out->before) * expm1(wide) : wide;
}

/* Choose kind and place for y; raw are the same readings as they came. */
static void find(const int64_t *steps, const double *raw, double *t, double *y, size_t n,
    const size_t *places, double *scratch, struct shift *out)
{
    double spread = spread_of(y, n, scratch);
    size_t place = leap_of(y, n, spread, scratch);
    if (place < n) {
        out->kind = SHIFT_LEAP;
        tell(steps, raw, y, n, places, place, spread, scratch, out);
        return;
    }
    double *clipped = scratch + n;
    enum shift_model model = SHIFT_MODEL_FLAT;
    clip_alone(y, n, spread, clipped);
    place = last_change(t, clipped, n, spread, scratch, &model);
    if (place > 0) {
        out->kind = model == SHIFT_MODEL_TWO ? SHIFT_LEVEL : SHIFT_RAMP;
    } else if (model == SHIFT_MODEL_LINE) {
        out->kind = SHIFT_STEADY;
    } else {
        return;
    }
    tell(steps, raw, y, n, places, place, spread, scratch, out);
    if (out->score < LEAST_SCORE) {
        *out = (struct shift){.before = out->before, .after = out->after};
    }
}

bool shift_find(const int64_t *steps, const double *values, size_t n, struct shift *out)
{
    *out = (struct shift){.before = (double)NAN, .after = (double)NAN};
    size_t skipped = n > SHIFT_MAX_READINGS ? n - SHIFT_MAX_READINGS : 0;
    n -= skipped;
    baro_autofree double *numbers = baro_xcalloc(6 * n + 1, sizeof *numbers);
    baro_autofree size_t *places = baro_xcalloc(n + 1, sizeof *places);
    double *t = numbers;
    double *raw = t + n;
    double *y = raw + n;
    size_t n_finite = take_finite(steps + skipped, values + skipped, n, t, raw, places);
    if (n_finite < SHIFT_LEAST_READINGS) {
        return false;
    }
    out->is_log = wants_log(raw, n_finite);
    for (size_t i = 0; i < n_finite; i++) {
        y[i] = out->is_log ? log(raw[i]) : raw[i];
    }
    find(steps + skipped, raw, t, y, n_finite, places, y + n, out);
    out->place += out->kind != SHIFT_NONE ? skipped : 0;
    return true;
}

const char *shift_kind_name(enum shift_kind kind)
{
    static const char *const names[SHIFT_KIND_END] = {
        "none", "steady", "level", "ramp", "leap"};
    return (unsigned)kind < SHIFT_KIND_END ? names[kind] : "?";
}
