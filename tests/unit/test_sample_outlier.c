/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that are alone: found by local sparsity, on samples, and shown before others. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_measure.h"
#include "lib/analysis/sample_near.h"
#include "lib/base/mem.h"

enum { HEIGHT = 600, STEPS = 48 };

static uint64_t state = 1;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

static const struct axis even = {.kind = AXIS_LINEAR, .lo = -1, .hi = 1, .linear_to = 1};

static struct sampler *run(
    const struct polylines *lines, const struct sample_options *options, struct sample *out)
{
    struct sampler *sampler = sampler_create(lines, &even, HEIGHT, options);
    while (sampler_step(sampler, 300)) {
    }
    sampler_get(sampler, out);
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

/* Two dense bundles of waves, one rising and one falling, which cross. */
static float *make_bundles(size_t n_lines)
{
    float *values = baro_xcalloc(n_lines * STEPS, sizeof *values);
    for (size_t i = 0; i < n_lines; i++) {
        double level = (draw() + draw() + draw() - 1.5) * 0.25;
        double slope = i % 2 == 0 ? 0.5 : -0.5;
        for (size_t t = 0; t < STEPS; t++) {
            double x = (double)t / STEPS - 0.5;
            values[i * STEPS + t] = (float)(level + slope * x + 0.01 * (draw() - 0.5));
        }
    }
    return values;
}

/* It begins with one bundle and ends with the other: in each column it is in the midst of all. */
static void a_line_between_two_bundles_is_an_outlier_though_each_reading_is_usual(
    void **test)
{
    static const size_t sizes[] = {3000, 9000}; /* without the sketch and with it */
    for (size_t k = 0; k < BARO_LEN(sizes); k++) {
        const size_t n = sizes[k];
        baro_autofree float *values = make_bundles(n);
        for (size_t t = 0; t < STEPS; t++) {
            double x = (double)t / STEPS - 0.5;
            values[777 * STEPS + t] = (float)(0.4 - 2 * fabs(x) * 0.25);
            values[1234 * STEPS + t] = (float)(-0.4 + 2 * fabs(x) * 0.25);
        }
        struct polylines lines = {.n_lines = n, .n_steps = STEPS, .values = values};
        struct sample_options options = {.target = 120};
        struct sample sample;
        struct sampler *sampler = run(&lines, &options, &sample);
        assert_int_equal(sample.n_leaping, 0);
        assert_int_not_equal(reason_of(&sample, 777), SAMPLE_NOT_SHOWN);
        assert_int_not_equal(reason_of(&sample, 1234), SAMPLE_NOT_SHOWN);
        sampler_destroy(sampler);
    }
}

/* The exact factors, by the measure that benches use, say who they are. */
static void the_hundredth_with_the_largest_factors_is_shown(void **test)
{
    enum { N = 5000 };
    baro_autofree float *values = make_bundles(N);
    baro_autofree float *heights = baro_xcalloc((size_t)N * STEPS, sizeof *heights);
    baro_autofree uint32_t *order = baro_xcalloc(N, sizeof *order);
    baro_autofree double *factors = baro_xcalloc(N, sizeof *factors);
    baro_autofree uint8_t *is_taken = baro_xcalloc(N, 1);
    for (size_t i = 40; i < N; i += 100) {
        double size = 0.1 + 0.2 * draw(), from = draw();
        for (size_t t = 0; t < STEPS; t++) {
            values[i * STEPS + t] += (float)(size * sin(6 * ((double)t / STEPS - from)));
        }
    }
    for (uint32_t i = 0; i < N; i++) {
        order[i] = i;
        for (size_t t = 0; t < STEPS; t++) {
            heights[i * STEPS + t] = (1 - values[i * STEPS + t]) * HEIGHT / 2;
        }
    }
    sample_lof(heights, N, STEPS, order, N, 50, sqrt(STEPS), factors);
    struct polylines lines = {.n_lines = N, .n_steps = STEPS, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, NULL, &sample);
    size_t n_shown = 0, n_outliers = 0;
    for (size_t rank = 0; rank < N / 100; rank++) {
        size_t who = 0;
        for (size_t i = 0; i < N; i++) {
            who = !is_taken[i] && (is_taken[who] || factors[i] > factors[who]) ? i : who;
        }
        is_taken[who] = 1;
        n_shown += reason_of(&sample, (uint32_t)who) != SAMPLE_NOT_SHOWN;
    }
    for (size_t i = 0; i < sample.n_shown; i++) {
        n_outliers += sample.reasons[i] == SAMPLE_OUTLIER;
    }
    assert_true(n_shown >= N / 100 - 1);
    assert_true(n_outliers >= 20);
    assert_true(sample.n_shown < 600); /* so that 50 at random would have 6 of them */
    sampler_destroy(sampler);
}

/* A heap of equal lines makes what is less than a pixel beside it no outlier. */
static void lines_less_than_a_pixel_from_a_heap_are_not_alone(void **test)
{
    enum { N = 3000 };
    baro_autofree float *values = baro_xcalloc((size_t)N * STEPS, sizeof *values);
    for (size_t i = 0; i < N; i++) {
        for (size_t t = 0; t < STEPS; t++) {
            values[i * STEPS + t] = i % 3 == 0 ? (float)(1e-4 * draw()) : 0;
        }
    }
    struct polylines lines = {.n_lines = N, .n_steps = STEPS, .values = values};
    struct sample sample;
    struct sampler *sampler = run(&lines, NULL, &sample);
    for (size_t i = 0; i < sample.n_shown; i++) {
        assert_int_not_equal(sample.reasons[i], SAMPLE_OUTLIER);
    }
    sampler_destroy(sampler);
}

/* Units that appear later, units that end, and holes: all have a place. */
static void lines_with_gaps_and_late_beginnings_are_chosen_among(void **test)
{
    enum { N = 6000 };
    baro_autofree float *values = make_bundles(N);
    baro_autofree uint8_t *marks = baro_xcalloc((size_t)N * STEPS, 1);
    for (size_t i = 0; i < N; i++) {
        for (size_t t = 0; t < STEPS; t++) {
            bool is_gap = (i % 4 == 1 && t < 20) || (i % 4 == 2 && t > 30) ||
                          (i % 4 == 3 && (t + i) % 5 == 0) || i == 2000;
            marks[i * STEPS + t] = is_gap ? POLYLINE_GAP : POLYLINE_FINITE;
            values[i * STEPS + t] = is_gap ? 1e30F : values[i * STEPS + t];
        }
    }
    for (size_t t = 20; t < STEPS; t++) {
        values[401 * STEPS + t] = 0.9F; /* late, and far from all */
    }
    struct polylines lines = {
        .n_lines = N, .n_steps = STEPS, .values = values, .marks = marks};
    struct sample_options options = {.target = 100};
    struct sample sample;
    struct sampler *sampler = run(&lines, &options, &sample);
    size_t n_kind[4] = {0};
    for (size_t i = 0; i < sample.n_shown; i++) {
        n_kind[sample.shown[i] % 4]++;
    }
    assert_int_equal(sample.n_nonfinite, 0);
    assert_true(n_kind[0] > 0 && n_kind[1] > 0 && n_kind[2] > 0 && n_kind[3] > 0);
    assert_int_not_equal(reason_of(&sample, 401), SAMPLE_NOT_SHOWN);
    assert_int_equal(reason_of(&sample, 2000), SAMPLE_NOT_SHOWN);
    sampler_destroy(sampler);
}

static void the_nearest_rows_are_those_of_brute_force(void **test)
{
    enum { N = 75, NUMBERS = 13, K = 6 };
    struct sample_near near;
    float rows[N][NUMBERS], sums[128], squared[K];
    uint32_t who[K];
    sample_near_init(&near, NUMBERS, N);
    assert_true(near.room >= N && near.room <= 128);
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < NUMBERS; j++) {
            rows[i][j] = (float)draw();
        }
        sample_near_add(&near, rows[i]);
    }
    sample_near_measure(&near, rows[33], sums);
    struct sample_nearest nearest = {squared, who};
    sample_find_nearest(sums, N, 33, K, &nearest);
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (size_t j = 0; j < NUMBERS; j++) {
            double d = (double)rows[i][j] - (double)rows[33][j];
            sum += d * d;
        }
        assert_true(fabs((double)sums[i] - sum) < 1e-4);
        bool is_there = false;
        for (size_t k = 0; k < K; k++) {
            is_there |= who[k] == i;
        }
        assert_true(i == 33 || is_there == (sums[i] <= squared[K - 1]));
    }
    for (size_t k = 1; k < K; k++) {
        assert_true(squared[k] >= squared[k - 1]);
    }
    /* The best of all, also of its own: it is the first of those that are equally near. */
    sample_near_end(&near);
    for (size_t at = 0; at < N; at += 7) {
        float row[NUMBERS], best = 0;
        for (size_t j = 0; j < NUMBERS; j++) {
            row[j] =
                at % 2 == 0 ? rows[at][j] : rows[at][j] + (float)(0.3 * (draw() - 0.5));
        }
        sample_near_measure(&near, row, sums);
        size_t first = 0;
        for (size_t i = 1; i < N; i++) {
            first = sums[i] < sums[first] ? i : first;
        }
        assert_int_equal(sample_near_best(&near, row, &best), first);
        assert_true(!(best < sums[first]) && !(best > sums[first]));
    }
    sample_near_finish(&near);
}

/*
 * A flock of waves; DRIFTERS of it leave it slowly in the last third, each into a place of its own.
 * On the whole they are no further from their neighbours than the MANY others that have odd courses
 * all along, which fill the places for lines that are alone or far: only where they end tells them.
 */
static float *make_drift(size_t n, size_t many, size_t every)
{
    float *values = baro_xcalloc(n * STEPS, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const double level = (draw() + draw() + draw() - 1.5) * 0.2;
        const double odd = i < many ? 0.05 + 0.2 * draw() : 0;
        const double phase = 6 * draw();
        const double beats = 0.5 + draw();
        const bool drifts = i >= many && i % every == 0;
        const double way = i / every % 2 == 0 ? 1 : -1;
        const double far = 0.45 + 0.05 * (double)(i / every / 2);
        for (size_t t = 0; t < STEPS; t++) {
            const double x = (double)t / STEPS;
            const double late = x > 0.6 ? (x - 0.6) / 0.4 : 0;
            values[i * STEPS + t] =
                (float)(level + odd * sin(beats * 6 * x + phase) + 0.05 * sin(4 * x) +
                        (drifts ? way * (far - way * level) * late : 0));
        }
    }
    return values;
}

static void lines_that_leave_the_flock_slowly_are_shown(void **test)
{
    enum { N = 6000, MANY = 600, EVERY = 500 };
    baro_autofree float *values = make_drift(N, MANY, EVERY);
    struct polylines lines = {.n_lines = N, .n_steps = STEPS, .values = values};
    struct sample_options options = {.target = 100};
    struct sample sample;
    struct sampler *sampler = run(&lines, &options, &sample);
    size_t n_missing = 0;
    for (uint32_t i = EVERY; i < N; i += EVERY) {
        n_missing += i >= MANY && reason_of(&sample, i) == SAMPLE_NOT_SHOWN;
    }
    assert_int_equal(n_missing, 0);
    assert_true(sample.n_shown < 250);
    sampler_destroy(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_line_between_two_bundles_is_an_outlier_though_each_reading_is_usual),
        cmocka_unit_test(the_hundredth_with_the_largest_factors_is_shown),
        cmocka_unit_test(lines_less_than_a_pixel_from_a_heap_are_not_alone),
        cmocka_unit_test(lines_with_gaps_and_late_beginnings_are_chosen_among),
        cmocka_unit_test(lines_that_leave_the_flock_slowly_are_shown),
        cmocka_unit_test(the_nearest_rows_are_those_of_brute_force),
    };
    return cmocka_run_group_tests_name("sample_outlier", tests, NULL, NULL);
}
