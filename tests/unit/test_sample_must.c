/* SPDX-License-Identifier: Apache-2.0 */
/* What is always shown, against brute force: non-finite readings, leaps, the envelope; whatever lines. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

enum {
    HEIGHT = 500,
    ROUNDS = TEST_SPARSE > 1 ? 40 : 120,
    MOST_STEPS = 200,
    LIVE_STEPS = 40
};

static uint64_t state = 7;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

static size_t draw_size(size_t n)
{
    return (size_t)(draw() * (double)n);
}

/* Lines of any kind, with a step for each reading, and how they lie on the screen. */
struct flock {
    size_t n, n_steps, room; /* steps that there are, and that there will be */
    float *values;           /* n x room */
    uint8_t *marks;
    float *packed; /* n x n_steps, as struct polylines has them */
    uint8_t *packed_marks;
    struct axis axis;
    struct polylines lines;
    struct polyline_screen screen;
};

static float draw_reading(const struct axis *axis, double level, double width)
{
    const double place = level + width * (draw() - 0.5);
    return (float)axis_value(axis, place);
}

static void draw_axis(struct axis *axis)
{
    static const struct axis axes[] = {
        {.kind = AXIS_LINEAR, .lo = -1, .hi = 1, .linear_to = 1},
        {.kind = AXIS_LOG, .lo = 1e-37, .hi = 1e38, .linear_to = 1},
        {.kind = AXIS_SYMLOG, .lo = -1e3, .hi = 1e3, .linear_to = 0.1},
        {.kind = AXIS_LINEAR, .lo = 0, .hi = 1e38, .linear_to = 1}};
    *axis = axes[draw_size(BARO_LEN(axes))];
}

static void make_flock(struct flock *flock)
{
    static const size_t sizes[] = {1, 2, 5, 90, 130, 700, 1900};
    static const size_t steps[] = {1, 2, 30, 96, 97, MOST_STEPS};
    *flock = (struct flock){.n = sizes[draw_size(BARO_LEN(sizes))],
        .n_steps = steps[draw_size(BARO_LEN(steps))]};
    flock->room = flock->n_steps + LIVE_STEPS;
    flock->values = baro_xcalloc(flock->n * flock->room, sizeof *flock->values);
    flock->marks = baro_xcalloc(flock->n * flock->room, 1);
    draw_axis(&flock->axis);
    const double width = draw() < 0.2 ? 0 : 0.1 * draw();
    for (size_t i = 0; i < flock->n; i++) {
        const double level = 0.3 + 0.4 * (draw() + draw()) / 2;
        const size_t begins = draw() < 0.05 ? draw_size(flock->room) : 0;
        for (size_t t = 0; t < flock->room; t++) {
            const size_t at = i * flock->room + t;
            flock->values[at] = draw_reading(&flock->axis, level, width);
            flock->marks[at] = t < begins || draw() < 0.01 ? POLYLINE_GAP : POLYLINE_FINITE;
        }
    }
    for (size_t k = draw_size(12); k > 0; k--) { /* spikes and what is not finite */
        static const float odd[] = {NAN, INFINITY, -INFINITY};
        const size_t at = draw_size(flock->n * flock->room);
        flock->marks[at] = POLYLINE_FINITE;
        flock->values[at] = k % 2 == 0
                                ? odd[draw_size(BARO_LEN(odd))]
                                : (float)axis_value(&flock->axis, k % 4 == 1 ? 0.02 : 0.97);
    }
}

/* The first n_steps as the sampler takes them. */
static void pack(struct flock *flock)
{
    flock->packed = baro_xcalloc(flock->n * flock->n_steps, sizeof *flock->packed);
    flock->packed_marks = baro_xcalloc(flock->n * flock->n_steps, 1);
    for (size_t i = 0; i < flock->n; i++) {
        memcpy(flock->packed + i * flock->n_steps, flock->values + i * flock->room,
            flock->n_steps * sizeof *flock->packed);
        memcpy(flock->packed_marks + i * flock->n_steps, flock->marks + i * flock->room,
            flock->n_steps);
    }
    flock->lines = (struct polylines){.n_lines = flock->n,
        .n_steps = flock->n_steps,
        .values = flock->packed,
        .marks = flock->packed_marks};
    polyline_screen_init(
        &flock->screen, &flock->lines, &flock->axis, HEIGHT, POLYLINE_MAX_COLUMNS);
}

static void finish_flock(struct flock *flock)
{
    free(flock->values);
    free(flock->marks);
    free(flock->packed);
    free(flock->packed_marks);
}

/* ---- brute force ---- */

static bool is_there(const struct flock *flock, size_t line, size_t t)
{
    return flock->marks[line * flock->room + t] != POLYLINE_GAP;
}

static float value_at(const struct flock *flock, size_t line, size_t t)
{
    return flock->values[line * flock->room + t];
}

static float height_at(const struct flock *flock, size_t line, size_t t)
{
    const float value = value_at(flock, line, t);
    return is_there(flock, line, t) && isfinite(value)
               ? polyline_height(&flock->screen, value)
               : NAN;
}

static bool is_bad(const struct flock *flock, size_t line, size_t n_steps)
{
    for (size_t t = 0; t < n_steps; t++) {
        if (is_there(flock, line, t) && !isfinite(value_at(flock, line, t))) {
            return true;
        }
    }
    return false;
}

/* The largest rise: within a key column, or from the last reading of one to that of the next. */
static float leap_of(const struct flock *flock, size_t line)
{
    float leap = 0, before = NAN;
    for (size_t c = 0; c < flock->screen.n_columns; c++) {
        float last = NAN, top = INFINITY, bottom = -INFINITY;
        for (size_t t = flock->screen.first_step[c]; t < flock->screen.first_step[c + 1];
             t++) {
            const float y = height_at(flock, line, t);
            last = isnan(y) ? last : y;
            top = fminf(top, y);
            bottom = fmaxf(bottom, y);
        }
        leap = fmaxf(leap, bottom > top ? bottom - top : 0);
        leap = fmaxf(leap, fabsf(last - before)); /* NaN: no rise */
        before = last;
    }
    return leap;
}

/* The rise above which a line leaps, as docs/ANALYSES.md says; out: of each line. */
static float leap_bar(const struct flock *flock, float *out)
{
    baro_autofree float *sorted = baro_xcalloc(flock->n, sizeof *sorted);
    const size_t n = flock->n;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = out[i] = leap_of(flock, i);
    }
    qsort(sorted, n, sizeof *sorted, baro_by_float);
    const float median = sorted[n / 2], rare = sorted[n - 1 - n / 50];
    for (size_t i = 0; i < n; i++) {
        sorted[i] = fabsf(sorted[i] - median);
    }
    qsort(sorted, n, sizeof *sorted, baro_by_float);
    return fmaxf(median + fmaxf(3, 8 * 1.4826F * sorted[n / 2]), rare);
}

/* ---- what is checked ---- */

static enum sample_reason reason_of(const struct sample *sample, size_t line)
{
    for (size_t i = 0; i < sample->n_shown; i++) {
        if (sample->shown[i] == line) {
            return (enum sample_reason)sample->reasons[i];
        }
    }
    return SAMPLE_NOT_SHOWN;
}

static bool is_shown(const struct sample *sample, size_t line)
{
    return reason_of(sample, line) != SAMPLE_NOT_SHOWN;
}

/* Of the highest and of the lowest lines from one step to before another one is shown. */
static void check_envelope(
    const struct flock *flock, const struct sample *sample, size_t from, size_t to)
{
    float top = INFINITY, bottom = -INFINITY;
    bool has_top = false, has_bottom = false;
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < flock->n; i++) {
            const bool is_seen = turn == 1 && is_shown(sample, i);
            for (size_t t = from; t < to; t++) {
                const float y = height_at(flock, i, t);
                has_top |= is_seen && y <= top;
                has_bottom |= is_seen && y >= bottom;
                top = fminf(top, y);
                bottom = fmaxf(bottom, y);
            }
        }
    }
    assert_true(isinf(top) || (has_top && has_bottom));
}

static void check_bad(
    const struct flock *flock, const struct sample *sample, size_t n_steps)
{
    size_t n_bad = 0;
    for (size_t i = 0; i < flock->n; i++) {
        const bool bad = is_bad(flock, i, n_steps);
        n_bad += bad;
        assert_true(!bad || reason_of(sample, i) == SAMPLE_NONFINITE);
    }
    assert_int_equal(sample->n_nonfinite, n_bad);
}

static void check_leaps(const struct flock *flock, const struct sample *sample)
{
    baro_autofree float *leaps = baro_xcalloc(flock->n, sizeof *leaps);
    const float bar = leap_bar(flock, leaps);
    size_t n = 0;
    for (size_t i = 0; i < flock->n; i++) {
        const bool leaps_far = leaps[i] > bar;
        n += leaps_far;
        assert_true(!leaps_far || reason_of(sample, i) >= SAMPLE_LEAP);
    }
    assert_int_equal(sample->n_leaping, n);
}

static void finish(struct sampler *sampler, struct sample *out)
{
    while (sampler_step(sampler, 1 + draw_size(900))) {
    }
    sampler_get(sampler, out);
    assert_true(out->is_done && out->is_assigned);
}

static void check_members(const struct flock *flock, const struct sample *sample)
{
    size_t n = 0;
    for (size_t i = 0; i < sample->n_shown; i++) {
        n += sample->n_members[i];
    }
    assert_int_equal(n, flock->n);
    for (size_t i = 0; i < flock->n; i++) {
        assert_true(sample->nearest[i] < sample->n_shown);
    }
}

static struct sampler *choose(
    const struct flock *flock, struct sample_options *options, struct sample *out)
{
    *options = (struct sample_options){
        .target = draw() < 0.5 ? 0 : 24 + draw_size(100), .seed = draw_size(1000)};
    struct sampler *sampler = sampler_create(&flock->lines, &flock->axis, HEIGHT, options);
    finish(sampler, out);
    return sampler;
}

static void whatever_the_lines_what_must_be_shown_is(void **test)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct flock flock;
        struct sample_options options;
        struct sample sample;
        make_flock(&flock);
        pack(&flock);
        struct sampler *sampler = choose(&flock, &options, &sample);
        assert_int_equal(sample.n_mandatory_left_out, 0);
        check_bad(&flock, &sample, flock.n_steps);
        check_leaps(&flock, &sample);
        for (size_t c = 0; c < flock.screen.n_columns; c++) {
            check_envelope(&flock, &sample, flock.screen.first_step[c],
                flock.screen.first_step[c + 1]);
        }
        check_members(&flock, &sample);
        sampler_destroy(sampler);
        finish_flock(&flock);
    }
}

/* New steps come; choices are put off or made, frames end or do not. */
static void live_too_what_is_bad_or_furthest_out_is_shown_after_each_step(void **test)
{
    for (int round = 0; round < ROUNDS / 3; round++) {
        struct flock flock;
        struct sample_options options;
        struct sample sample;
        make_flock(&flock);
        pack(&flock);
        struct sampler *sampler = choose(&flock, &options, &sample);
        baro_autofree float *values = baro_xcalloc(flock.n, sizeof *values);
        baro_autofree uint8_t *marks = baro_xcalloc(flock.n, 1);
        for (size_t t = flock.n_steps; t < flock.room; t++) {
            for (size_t i = 0; i < flock.n; i++) {
                values[i] = value_at(&flock, i, t);
                marks[i] = flock.marks[i * flock.room + t];
            }
            sampler_append(sampler, values, marks);
            if (draw() < 0.5) {
                (void)sampler_put_off(sampler);
            }
            finish(sampler, &sample);
            if (draw() < 0.5) {
                (void)sampler_end_frame(sampler);
                sampler_get(sampler, &sample);
            }
            check_bad(&flock, &sample, t + 1);
            check_envelope(&flock, &sample, 0, t + 1); /* highest and lowest of all */
            check_members(&flock, &sample);
        }
        sampler_destroy(sampler);
        finish_flock(&flock);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_lines_what_must_be_shown_is),
        cmocka_unit_test(live_too_what_is_bad_or_furthest_out_is_shown_after_each_step),
    };
    return cmocka_run_group_tests_name("sample_must", tests, NULL, NULL);
}
