/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler of lines: who is always shown, how far apart the others lie, and what stays. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/base/mem.h"

enum { HEIGHT = 400, MANY = TEST_SPARSE > 1 ? 4800 : 6000, STEPS = 150 };

static uint64_t state = 1;

/* Even in [0, 1). */
static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

static const struct axis even = {.kind = AXIS_LINEAR, .lo = -1, .hi = 1, .linear_to = 1};

/* A flock: slow waves around a common course, most of them close to it. */
static float *make_flock(size_t n_lines, size_t n_steps)
{
    float *values = baro_xcalloc(n_lines * n_steps, sizeof *values);
    for (size_t i = 0; i < n_lines; i++) {
        double level = (draw() + draw() + draw() - 1.5) * 0.3;
        double phase = draw() * 6;
        for (size_t t = 0; t < n_steps; t++) {
            double x = (double)t / (double)n_steps;
            values[i * n_steps + t] = (float)(level + 0.1 * sin(3 * x + phase));
        }
    }
    return values;
}

static struct sampler *run(const struct polylines *lines, const struct axis *axis,
    const struct sample_options *options, struct sample *out)
{
    struct sampler *sampler = sampler_create(lines, axis, HEIGHT, options);
    while (sampler_step(sampler, 500)) {
    }
    sampler_get(sampler, out);
    assert_true(out->is_done);
    return sampler;
}

static enum sample_reason reason_of(const struct sample *sample, uint32_t line)
{
    for (size_t i = 0; i < sample->n_shown; i++) {
        if (sample->shown[i] == line) {
            return (enum sample_reason)sample->reasons[i];
        }
    }
    return SAMPLE_NOT_SHOWN;
}

static void every_line_with_a_nonfinite_value_a_leap_or_on_the_envelope_is_shown(
    void **test)
{
    enum { T = POLYLINE_MAX_COLUMNS }; /* each step has a key column of its own */
    baro_autofree float *values = make_flock(MANY, T);
    for (size_t k = 0; k < 12; k++) {
        values[(100 + 400 * k) * T + 7 * k] = k % 2 == 0 ? NAN : INFINITY;
        values[(300 + 400 * k) * T + 7 * k] += 0.35F; /* for one step, within the flock */
    }
    struct polylines lines = {.n_lines = MANY, .n_steps = T, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, NULL, &sample);
    assert_int_equal(sample.n_nonfinite, 12);
    for (uint32_t k = 0; k < 12; k++) {
        assert_int_equal(reason_of(&sample, 100 + 400 * k), SAMPLE_NONFINITE);
        assert_int_equal(reason_of(&sample, 300 + 400 * k), SAMPLE_LEAP);
    }
    for (size_t t = 0; t < T; t++) {
        uint32_t highest = 0, lowest = 0;
        for (uint32_t i = 0; i < MANY; i++) {
            float value = values[i * T + t];
            highest = isfinite(value) && value > values[highest * T + t] ? i : highest;
            lowest = value < values[lowest * T + t] ? i : lowest;
        }
        assert_int_not_equal(reason_of(&sample, highest), SAMPLE_NOT_SHOWN);
        assert_int_not_equal(reason_of(&sample, lowest), SAMPLE_NOT_SHOWN);
    }
    sampler_destroy(sampler);
}

static void shown_lines_keep_their_distance_in_every_interval(void **test)
{
    baro_autofree float *values = make_flock(MANY, STEPS);
    struct polylines lines = {.n_lines = MANY, .n_steps = STEPS, .values = values};
    struct sample_options options = {.target = 60};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, &options, &sample);
    size_t n_near = 0, n_pairs = 0;
    for (size_t a = 0; a < sample.n_shown; a++) {
        for (size_t b = 0; b < a; b++) {
            for (size_t t = 0; t + 1 < STEPS; t++) {
                const float *x = values + sample.shown[a] * STEPS + t;
                const float *y = values + sample.shown[b] * STEPS + t;
                float from = (x[0] - y[0]) * HEIGHT / 2, to = (x[1] - y[1]) * HEIGHT / 2;
                float squared = (from * from + from * to + to * to) / 3;
                n_near += squared < sample.radius_px * sample.radius_px;
                n_pairs++;
            }
        }
    }
    assert_true(sample.radius_px > 1);
    assert_true(sample.n_shown >= 45 && sample.n_shown <= 120);
    /* Few pairs, where an even draw of as many lines has over a tenth within the radius. */
    assert_true((double)n_near < 0.02 * (double)n_pairs);
    sampler_destroy(sampler);
}

static void every_line_belongs_to_the_nearest_shown_one(void **test)
{
    baro_autofree float *values = make_flock(MANY, STEPS);
    struct polylines lines = {.n_lines = MANY, .n_steps = STEPS, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, NULL, &sample);
    assert_true(sample.is_assigned);
    size_t n_members = 0;
    for (size_t i = 0; i < sample.n_shown; i++) {
        n_members += sample.n_members[i];
        assert_int_equal(sample.nearest[sample.shown[i]], i);
    }
    assert_int_equal(n_members, MANY);
    for (uint32_t line = 0; line < MANY; line += 997) {
        double best = HUGE_VAL, mine = 0;
        for (size_t k = 0; k < sample.n_shown; k++) {
            double sum = 0;
            for (size_t t = 0; t < STEPS; t++) {
                double d = ((double)values[line * STEPS + t] -
                               (double)values[sample.shown[k] * STEPS + t]) *
                           HEIGHT / 2;
                sum += d * d;
            }
            double distance = sqrt(sum / STEPS);
            best = distance < best ? distance : best;
            mine = k == sample.nearest[line] ? distance : mine;
        }
        assert_true(mine <= best + 1); /* a pixel: means along time are compared */
        assert_true(mine <= (double)sample.spread_px + 1);
    }
    sampler_destroy(sampler);
}

static void the_same_readings_and_seed_give_the_same_lines_however_the_work_is_cut(
    void **test)
{
    baro_autofree float *values = make_flock(MANY, STEPS);
    struct polylines lines = {.n_lines = MANY, .n_steps = STEPS, .values = values};
    struct sample_options options = {.seed = 7};
    struct sampler *a = sampler_create(&lines, &even, HEIGHT, &options);
    struct sampler *b = sampler_create(&lines, &even, HEIGHT, &options);
    struct sample x, y;
    while (sampler_step(a, 1)) {
    }
    while (sampler_step(b, 100000)) {
    }
    sampler_get(a, &x);
    sampler_get(b, &y);
    assert_int_equal(x.n_shown, y.n_shown);
    assert_memory_equal(x.shown, y.shown, x.n_shown * sizeof *x.shown);
    assert_memory_equal(x.reasons, y.reasons, x.n_shown);
    sampler_destroy(a);
    sampler_destroy(b);
}

static void what_is_there_after_any_step_is_a_sample_of_different_lines(void **test)
{
    baro_autofree float *values = make_flock(MANY, STEPS);
    baro_autofree uint8_t *seen = baro_xcalloc(MANY, 1);
    struct polylines lines = {.n_lines = MANY, .n_steps = STEPS, .values = values};
    struct sampler *sampler = sampler_create(&lines, &even, HEIGHT, NULL);
    struct sample sample;
    double before = 0;
    size_t n_first = 0;
    bool goes_on = true;
    while (goes_on) {
        goes_on = sampler_step(sampler, 300);
        sampler_get(sampler, &sample);
        memset(seen, 0, MANY);
        for (size_t i = 0; i < sample.n_shown; i++) {
            assert_true(sample.shown[i] < MANY);
            assert_int_equal(seen[sample.shown[i]]++, 0);
            assert_in_range(sample.reasons[i], 1, SAMPLE_REASON_COUNT - 1);
        }
        assert_true(sample.fraction >= before && sample.fraction <= 1);
        before = sample.fraction;
        if (n_first == 0 && sample.n_read > 2048) {
            n_first = sample.n_shown; /* a first picture before all was read */
            assert_true(n_first > 24);
        }
    }
    assert_true(n_first > 0);
    sampler_destroy(sampler);
}

static void new_steps_leave_the_picture_as_it_is_in_a_calm_run(void **test)
{
    enum { N = TEST_SPARSE > 1 ? 1000 : 3000, MORE = 120 };
    baro_autofree float *values = make_flock(N, STEPS + MORE);
    baro_autofree float *begin = baro_xcalloc(N * STEPS, sizeof *begin);
    baro_autofree float *step = baro_xcalloc(N, sizeof *step);
    for (size_t i = 0; i < N; i++) {
        memcpy(begin + i * STEPS, values + i * (STEPS + MORE), STEPS * sizeof *begin);
    }
    struct polylines lines = {.n_lines = N, .n_steps = STEPS, .values = begin};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, NULL, &sample);
    baro_autofree uint8_t *was = baro_xcalloc(N, 1);
    size_t n_was = 0, n_redone = 0;
    for (size_t t = 0; t < MORE; t++) {
        for (size_t i = 0; i < N; i++) {
            step[i] = values[i * (STEPS + MORE) + STEPS + t];
        }
        sampler_append(sampler, step, NULL);
        bool is_redone = false;
        while (sampler_step(sampler, 1000)) {
            is_redone = true;
        }
        n_redone += is_redone;
        sampler_get(sampler, &sample);
        size_t n_both = 0;
        for (size_t i = 0; i < sample.n_shown; i++) {
            n_both += was[sample.shown[i]];
        }
        double jaccard = (double)n_both / (double)(n_was + sample.n_shown - n_both);
        assert_true(t == 0 || jaccard > (is_redone ? 0.75 : 0.95));
        memset(was, 0, N);
        for (size_t i = 0; i < sample.n_shown; i++) {
            was[sample.shown[i]] = 1;
        }
        n_was = sample.n_shown;
    }
    assert_in_range(n_redone, 1, MORE / 8);
    sampler_destroy(sampler);
}

static void a_line_that_becomes_nonfinite_or_leaps_is_shown_at_once(void **test)
{
    enum { N = TEST_SPARSE > 1 ? 1000 : 3000 };
    baro_autofree float *values = make_flock(N, STEPS);
    baro_autofree float *step = baro_xcalloc(N, sizeof *step);
    struct polylines lines = {.n_lines = N, .n_steps = STEPS, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, NULL, &sample);
    uint32_t hidden[2] = {0, 0};
    for (uint32_t i = 0, k = 0; k < 2; i++) {
        if (reason_of(&sample, i) == SAMPLE_NOT_SHOWN) {
            hidden[k++] = i;
        }
        step[i] = values[i * STEPS + STEPS - 1];
    }
    for (size_t i = 0; i < N; i++) {
        step[i] = values[i * STEPS + STEPS - 1];
    }
    step[hidden[0]] = NAN;
    step[hidden[1]] += 0.4F;
    sampler_append(sampler, step, NULL);
    sampler_get(sampler, &sample);
    assert_int_equal(reason_of(&sample, hidden[0]), SAMPLE_NONFINITE);
    assert_int_equal(reason_of(&sample, hidden[1]), SAMPLE_LEAP);
    sampler_destroy(sampler);
}

static void odd_inputs_give_what_there_is(void **test)
{
    static const float values[] = {0.1F, 0.2F, 0.3F, 0.1F, 0.2F, 0.3F, NAN, NAN, NAN};
    struct polylines lines = {.n_lines = 1, .n_steps = 3, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, NULL, &sample);
    assert_int_equal(sample.n_shown, 1);
    sampler_destroy(sampler);
    lines.n_lines = 3; /* fewer than wanted: all, twins and the empty one too */
    sampler = run(&lines, &even, NULL, &sample);
    assert_int_equal(sample.n_shown, 3);
    assert_int_equal(reason_of(&sample, 2), SAMPLE_NONFINITE);
    for (size_t i = 0; i < 3; i++) { /* a twin stands for itself, too */
        assert_int_equal(sample.nearest[sample.shown[i]], i);
        assert_int_equal(sample.n_members[i], 1);
    }
    sampler_destroy(sampler);
    lines = (struct polylines){.n_lines = 9, .n_steps = 1, .values = values};
    sampler = run(&lines, &even, NULL, &sample);
    assert_int_equal(sample.n_shown, 9);
    sampler_destroy(sampler);
    lines = (struct polylines){0};
    sampler = run(&lines, &even, NULL, &sample);
    assert_int_equal(sample.n_shown, 0);
    sampler_destroy(sampler);
}

static void constant_and_all_bad_layers_stay_bounded(void **test)
{
    enum { N = 5000, T = 20 };
    baro_autofree float *values = baro_xcalloc((size_t)N * T, sizeof *values);
    struct polylines lines = {.n_lines = N, .n_steps = T, .values = values};
    struct sample_options options = {.target = 50};
    struct sample sample;
    struct sampler *sampler = run(&lines, &even, &options, &sample);
    assert_in_range(sample.n_shown, 1, 4); /* one line on the screen, and its envelope */
    assert_int_equal(
        sample.n_members[0] + (sample.n_shown > 1 ? sample.n_members[1] : 0), N);
    sampler_destroy(sampler);
    for (size_t i = 0; i < (size_t)N * T; i++) {
        values[i] = NAN;
    }
    sampler = run(&lines, &even, &options, &sample);
    assert_int_equal(sample.n_nonfinite, N);
    assert_true(sample.n_shown <= 4 * 50);
    assert_int_equal(sample.n_mandatory_left_out, N - sample.n_shown);
    sampler_destroy(sampler);
}

static void zooming_the_axis_chooses_anew_and_huge_ranges_have_a_place(void **test)
{
    enum { N = 4000, T = 30 };
    baro_autofree float *values = baro_xcalloc((size_t)N * T, sizeof *values);
    for (size_t i = 0; i < N; i++) {
        double magnitude = -38 + 76 * draw();
        for (size_t t = 0; t < T; t++) {
            values[i * T + t] = (float)pow(10, magnitude);
        }
    }
    struct polylines lines = {.n_lines = N, .n_steps = T, .values = values};
    struct axis log_axis = {.kind = AXIS_LOG, .lo = 1e-38, .hi = 1e38, .linear_to = 1};
    struct axis linear = {.kind = AXIS_LINEAR, .lo = 0, .hi = 1e38, .linear_to = 1};
    struct sample wide, narrow;
    struct sampler *a = run(&lines, &log_axis, NULL, &wide);
    struct sampler *b = run(&lines, &linear, NULL, &narrow);
    size_t n_small = 0, n_small_linear = 0;
    for (size_t i = 0; i < wide.n_shown; i++) {
        n_small += values[wide.shown[i] * T] < 1;
    }
    for (size_t i = 0; i < narrow.n_shown; i++) {
        n_small_linear += values[narrow.shown[i] * T] < 1;
    }
    /* Half of the log axis lies below 1; on the linear one all of that is the same pixel. */
    assert_true(n_small * 3 > wide.n_shown);
    assert_true(n_small_linear <= 8);
    sampler_destroy(a);
    sampler_destroy(b);
}

static void a_height_on_a_log_axis_is_the_worked_number(void **test)
{
    struct axis axis = {.kind = AXIS_LOG, .lo = 0.01, .hi = 100, .linear_to = 1};
    struct polylines lines = {.n_lines = 0, .n_steps = 1};
    struct polyline_screen screen;
    polyline_screen_init(&screen, &lines, &axis, HEIGHT, 1);
    assert_true(fabsf(polyline_height(&screen, 1) - 200) < 0.01F);
    assert_true(fabsf(polyline_height(&screen, 10) - 100) < 0.01F);
    assert_true(polyline_height(&screen, -1) > HEIGHT);
    assert_true(isnan(polyline_height(&screen, NAN)));
    axis = (struct axis){.kind = AXIS_SYMLOG, .lo = -10, .hi = 10, .linear_to = 0.1};
    polyline_screen_init(&screen, &lines, &axis, HEIGHT, 1);
    for (float v = -9; v < 10; v += 0.5F) {
        float wanted = (float)HEIGHT * (1 - (float)axis_place(&axis, (double)v));
        assert_true(fabsf(polyline_height(&screen, v) - wanted) < 0.01F);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            every_line_with_a_nonfinite_value_a_leap_or_on_the_envelope_is_shown),
        cmocka_unit_test(shown_lines_keep_their_distance_in_every_interval),
        cmocka_unit_test(every_line_belongs_to_the_nearest_shown_one),
        cmocka_unit_test(
            the_same_readings_and_seed_give_the_same_lines_however_the_work_is_cut),
        cmocka_unit_test(what_is_there_after_any_step_is_a_sample_of_different_lines),
        cmocka_unit_test(new_steps_leave_the_picture_as_it_is_in_a_calm_run),
        cmocka_unit_test(a_line_that_becomes_nonfinite_or_leaps_is_shown_at_once),
        cmocka_unit_test(odd_inputs_give_what_there_is),
        cmocka_unit_test(constant_and_all_bad_layers_stay_bounded),
        cmocka_unit_test(zooming_the_axis_chooses_anew_and_huge_ranges_have_a_place),
        cmocka_unit_test(a_height_on_a_log_axis_is_the_worked_number),
    };
    TEST_THREADS_ONLY("odd_*"); /* one thread */
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
