/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "tests/testing.h"

#include "lib/analysis/sample.h"
#include "lib/base/mem.h"

/* From frame to frame: what is shown changes little at once, and is right in the end. */

enum { N = TEST_SPARSE > 1 ? 700 : 1200, BEGIN = 100, HEIGHT = 400 };

static const struct axis even = {.kind = AXIS_LINEAR, .lo = -2, .hi = 2, .linear_to = 1};

static double noise(uint32_t unit, uint32_t step)
{
    uint64_t z = ((uint64_t)unit << 32) + step + 1;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) / (double)(UINT64_C(1) << 52) - 1;
}

/* Noisy lines on levels of their own, which cross in the long run. */
static float value_of(uint32_t unit, uint32_t step)
{
    const double level = sin(unit * 0.37) * cos(step / 90.0 + unit * 0.01);
    return (float)(level + 0.1 * noise(unit, step) + 0.1 * noise(unit + N, step));
}

static void fill(float *out, uint32_t step)
{
    for (uint32_t i = 0; i < N; i++) {
        out[i] = value_of(i, step);
    }
}

static struct sampler *begin(float **out_values)
{
    float *values = baro_xcalloc((size_t)N * BEGIN, sizeof *values);
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t t = 0; t < BEGIN; t++) {
            values[(size_t)i * BEGIN + t] = value_of(i, t);
        }
    }
    const struct polylines lines = {.n_lines = N, .n_steps = BEGIN, .values = values};
    struct sampler *sampler = sampler_create(&lines, &even, HEIGHT, NULL);
    while (sampler_step(sampler, 1000)) {
    }
    *out_values = values;
    return sampler;
}

struct seen {
    uint8_t reason[N];
    size_t n;
};

/* Share of lines with the frame before; out_n_must: those that came and had to. */
static double share(struct seen *before, const struct sample *sample, size_t *out_n_must)
{
    struct seen now = {.n = sample->n_shown};
    size_t n_both = 0;
    *out_n_must = 0;
    for (size_t i = 0; i < sample->n_shown; i++) {
        const uint32_t line = sample->shown[i];
        assert_int_equal(now.reason[line], 0); /* shown once */
        now.reason[line] = sample->reasons[i];
        n_both += before->reason[line] != 0;
        *out_n_must += before->reason[line] == 0 && sample->reasons[i] >= SAMPLE_ENVELOPE;
    }
    const double shared = (double)n_both / (double)(before->n + now.n - n_both);
    *before = now;
    return shared;
}

static void frames_share_their_lines_even_when_all_is_chosen_anew(void **test)
{
    enum { MORE = 400 };
    float *values = NULL;
    baro_autofree float *row = baro_xcalloc(N, sizeof *row);
    struct sampler *sampler = begin(&values);
    struct seen before = {{0}, 0};
    struct sample sample;
    size_t n_must = 0;
    size_t n_redone = 0;
    size_t n_calm = 0;
    double sum = 0;
    (void)sampler_end_frame(sampler);
    sampler_get(sampler, &sample);
    (void)share(&before, &sample, &n_must);
    for (uint32_t t = 0; t < MORE; t++) {
        fill(row, BEGIN + t);
        sampler_append(sampler, row, NULL);
        n_redone += sampler_step(sampler, 1);
        while (sampler_step(sampler, 1000)) {
        }
        (void)sampler_end_frame(sampler);
        sampler_get(sampler, &sample);
        const double shared = share(&before, &sample, &n_must);
        assert_true(n_must > 0 || shared >= 0.95);
        n_calm += n_must == 0;
        sum += shared;
    }
    assert_in_range(n_redone, 2, 40);
    assert_true(n_calm > MORE / 4);
    assert_true(sum / MORE >= 0.95);
    sampler_destroy(sampler);
    free(values);
}

static void what_was_chosen_is_shown_in_the_end(void **test)
{
    float *values = NULL;
    baro_autofree float *row = baro_xcalloc(N, sizeof *row);
    struct sampler *sampler = begin(&values);
    struct sample sample;
    (void)sampler_end_frame(sampler);
    bool is_more = false;
    for (uint32_t t = 0; !is_more && t < 200; t++) {
        fill(row, BEGIN + t);
        sampler_append(sampler, row, NULL);
        while (sampler_step(sampler, 1000)) {
        }
        is_more = sampler_end_frame(sampler);
    }
    assert_true(is_more);
    struct seen before = {{0}, 0};
    size_t n_must = 0;
    size_t n_frames = 0;
    sampler_get(sampler, &sample);
    (void)share(&before, &sample, &n_must);
    for (; is_more; n_frames++) {
        assert_true(n_frames < 60);
        is_more = sampler_end_frame(sampler);
        sampler_get(sampler, &sample);
        assert_true(sample.is_assigned);
        const double shared = share(&before, &sample, &n_must);
        assert_true(shared >= 0.95 && shared < 1);
        size_t n_members = 0;
        for (size_t i = 0; i < sample.n_shown; i++) {
            n_members += sample.n_members[i];
            assert_int_equal(sample.nearest[sample.shown[i]], i);
        }
        assert_int_equal(n_members, N);
    }
    assert_true(n_frames > 0);
    assert_false(sampler_end_frame(sampler));
    sampler_destroy(sampler);
    free(values);
}

static void steps_that_come_together_take_their_time_and_hide_no_spike(void **test)
{
    enum { A_LUMP = 4, LUMPS = 60, SPIKED = 77 };
    float *values = NULL;
    baro_autofree float *row = baro_xcalloc(N, sizeof *row);
    baro_autofree float *low = baro_xcalloc(N, sizeof *low);
    baro_autofree float *high = baro_xcalloc(N, sizeof *high);
    struct sampler *one_by_one = begin(&values);
    free(values);
    struct sampler *in_lumps = begin(&values);
    for (uint32_t t = 0; t < LUMPS * A_LUMP; t++) {
        fill(row, BEGIN + t);
        sampler_append(one_by_one, row, NULL);
        while (sampler_step(one_by_one, 1000)) {
        }
        for (uint32_t i = 0; i < N; i++) {
            low[i] = t % A_LUMP == 0 ? row[i] : fminf(low[i], row[i]);
            high[i] = t % A_LUMP == 0 ? row[i] : fmaxf(high[i], row[i]);
        }
        if (t % A_LUMP == A_LUMP - 1) {
            high[SPIKED] = t > 20 * A_LUMP ? 6 : high[SPIKED]; /* it is back in the end */
            const struct sample_news news = {
                .values = row, .low = low, .high = high, .n_readings = A_LUMP};
            sampler_append_news(in_lumps, &news);
            while (sampler_step(in_lumps, 1000)) {
            }
        }
    }
    assert_int_equal(
        sampler_readings_a_column(in_lumps), sampler_readings_a_column(one_by_one));
    struct sample sample;
    sampler_get(in_lumps, &sample);
    uint8_t reason = SAMPLE_NOT_SHOWN;
    for (size_t i = 0; i < sample.n_shown; i++) {
        reason = sample.shown[i] == SPIKED ? sample.reasons[i] : reason;
    }
    assert_int_equal(reason, SAMPLE_LEAP);
    sampler_destroy(one_by_one);
    sampler_destroy(in_lumps);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_share_their_lines_even_when_all_is_chosen_anew),
        cmocka_unit_test(what_was_chosen_is_shown_in_the_end),
        cmocka_unit_test(steps_that_come_together_take_their_time_and_hide_no_spike),
    };
    TEST_THREADS_ONLY("steps_*"); /* one thread */
    return cmocka_run_group_tests_name("sample_turn", tests, NULL, NULL);
}
