/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/detect.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/* The loss spike rule: quiet on noise, also heavy-tailed; not deaf to what is planted in it. */

static uint64_t state;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double gaussian(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* Student's t with three degrees of freedom: variance 3, no fourth moment. */
static double student3(void)
{
    double a = gaussian();
    double b = gaussian();
    double c = gaussian();
    return gaussian() / sqrt((a * a + b * b + c * c) / 3);
}

typedef double (*noise_fn)(int64_t i);

static double gaussian_noise(int64_t i)
{
    (void)i;
    return 1 + 0.1 * gaussian();
}

static double student_noise(int64_t i)
{
    (void)i;
    return 1 + 0.1 * student3();
}

static double lognormal_noise(int64_t i)
{
    (void)i;
    return exp(0.5 * gaussian());
}

static double falling_loss(int64_t i)
{
    return (0.3 + 2 / sqrt(1 + (double)i / 50)) * (1 + 0.08 * gaussian());
}

static double correlated_noise(int64_t i)
{
    static double x;
    x = i == 0 ? 0 : 0.9 * x + 0.1 * gaussian();
    return 2 + x;
}

static double around_zero(int64_t i)
{
    (void)i;
    return 0.1 * gaussian();
}

static int count_fired(noise_fn noise, int64_t n, uint64_t seed)
{
    state = seed;
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    int n_fired = 0;
    for (int64_t i = 0; i < n; i++) {
        n_fired += spike_feed(detector, &spike_usual_limits, noise(i), &finding) ? 1 : 0;
    }
    free(detector);
    return n_fired;
}

/* Measured with these seeds, per 1e5 readings: log-normal 3.4, Student's t3 15.3, the others 0. */
static void stationary_noise_fires_rarely(void **unused)
{
    (void)unused;
    const struct {
        const char *name;
        noise_fn noise;
        double most_per_1e5;
    } rows[] = {
        {"gaussian", gaussian_noise, 0.2},
        {"log-normal", lognormal_noise, 8},
        {"student t3", student_noise, 30},
        {"falling", falling_loss, 0.2},
        {"correlated", correlated_noise, 0.2},
        {"around zero", around_zero, 0.2},
    };
    enum { SEEDS = TEST_ROUNDS(10) };
    for (size_t i = 0; i < BARO_LEN(rows); i++) {
        int n_fired = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            n_fired +=
                count_fired(rows[i].noise, 100000, seed * UINT64_C(88172645463325252));
        }
        print_message(
            "# %s: %.1f per 1e5 readings\n", rows[i].name, (double)n_fired / SEEDS);
        assert_true((double)n_fired / SEEDS <= rows[i].most_per_1e5);
    }
}

static void a_planted_spike_fires_at_its_step(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        state = seed * UINT64_C(2685821657736338717);
        struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
        struct spike_finding finding;
        int64_t at = 40 + (int64_t)(seed * 37 % 3000);
        for (int64_t i = 0; i < at; i++) {
            assert_false(
                spike_feed(detector, &spike_usual_limits, 1 + 0.1 * gaussian(), &finding));
        }
        assert_true(spike_feed(detector, &spike_usual_limits, 1 + 0.1 * 10, &finding));
        assert_true(finding.value == 2);
        assert_true(fabs(finding.usual - 1) < 0.1);
        assert_true(finding.score > 6);
        free(detector);
    }
}

static void a_later_spike_is_heard_after_an_enormous_one(void **unused)
{
    (void)unused;
    state = 12345;
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    for (int i = 0; i < 500; i++) {
        assert_false(
            spike_feed(detector, &spike_usual_limits, 1 + 0.1 * gaussian(), &finding));
    }
    assert_true(spike_feed(detector, &spike_usual_limits, 1e9, &finding));
    for (int i = 0; i < 500; i++) {
        assert_false(
            spike_feed(detector, &spike_usual_limits, 1 + 0.1 * gaussian(), &finding));
    }
    assert_true(spike_feed(detector, &spike_usual_limits, 3, &finding));
    free(detector);
}

static void a_plateau_after_a_jump_is_told_once(void **unused)
{
    (void)unused;
    state = 99;
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    int n_fired = 0;
    for (int i = 0; i < 2000; i++) {
        double level = i < 500 ? 1 : 5;
        n_fired +=
            spike_feed(detector, &spike_usual_limits, level + 0.1 * gaussian(), &finding)
                ? 1
                : 0;
    }
    assert_int_equal(n_fired, 1);
    free(detector);
}

static void the_worked_number_of_the_essay_is_right(void **unused)
{
    (void)unused;
    const double cycle[] = {1.0, 1.1, 1.0, 0.9};
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    for (int i = 0; i < 64; i++) {
        assert_false(spike_feed(detector, &spike_usual_limits, cycle[i % 4], &finding));
    }
    assert_true(spike_feed(detector, &spike_usual_limits, 1.7, &finding));
    assert_true(fabs(finding.usual - 0.9917) < 1e-4);
    assert_true(fabs(finding.score - 6.39) < 0.01);
    free(detector);
}

static double slow_median(const double *values, size_t n)
{
    double sorted[128];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, baro_by_double);
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Score and usual value must be what median and MAD of the last 128 surprises give. */
static void scores_agree_with_brute_force(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        state = seed * UINT64_C(2685821657736338717);
        struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
        struct spike_finding finding;
        double surprises[400];
        double fast = 0;
        size_t n = 33 + seed;
        for (size_t i = 0; i < n; i++) {
            double value = 10 + floor(5 * uniform());
            fast = i == 0 ? value : fast;
            surprises[i] = value - fast;
            fast += fmax(0.1, 1.0 / (double)(i + 1)) * surprises[i];
            (void)spike_feed(detector, &spike_usual_limits, value, &finding);
        }
        size_t window = n < 128 ? n : 128;
        const double *recent = surprises + n - window;
        double median = slow_median(recent, window);
        double distances[128];
        for (size_t i = 0; i < window; i++) {
            distances[i] = fabs(recent[i] - median);
        }
        double sigma = 1.4826 * slow_median(distances, window);
        assert_true(spike_feed(detector, &spike_usual_limits, 1000, &finding));
        assert_true(fabs(finding.usual - fast - median) < 1e-9);
        assert_true(fabs(finding.score - (1000 - fast - median) / sigma) < 1e-6);
        free(detector);
    }
}

/* A loss that falls fast, as layer_reset's: half of what was learnt is lost in one step. */
static void a_jump_within_a_falling_loss_is_told_at_once(void **unused)
{
    (void)unused;
    int n_told = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        state = seed * UINT64_C(2685821657736338717);
        struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
        struct spike_finding finding;
        for (int i = 0; i < 220; i++) {
            double level = 0.7 + 1.6 * exp(-i / 100.0);
            bool is_told = spike_feed(
                detector, &spike_usual_limits, level + 0.12 * gaussian(), &finding);
            assert_false(is_told);
        }
        n_told += spike_feed(detector, &spike_usual_limits, 2.338, &finding) ? 1 : 0;
        free(detector);
    }
    assert_int_equal(n_told, 100);
}

/* norm_of_two: noise that shrank with the loss; what was usual at the beginning is a spike now. */
static void noise_of_long_ago_does_not_hide_a_spike(void **unused)
{
    (void)unused;
    int n_told = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        state = seed * UINT64_C(2685821657736338717);
        struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
        struct spike_finding finding;
        for (int i = 0; i < 200; i++) {
            double level = 0.06 + 2.2 * exp(-i / 30.0);
            double value = level * (1 + 0.2 * gaussian());
            assert_false(spike_feed(detector, &spike_usual_limits, value, &finding));
        }
        n_told += spike_feed(detector, &spike_usual_limits, 0.6, &finding) ? 1 : 0;
        free(detector);
    }
    assert_in_range(n_told, 70, 100); /* none before */
}

static void nan_is_not_a_spike_and_leaves_no_trace(void **unused)
{
    (void)unused;
    state = 5;
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    for (int i = 0; i < 300; i++) {
        assert_false(
            spike_feed(detector, &spike_usual_limits, 1 + 0.1 * gaussian(), &finding));
        assert_false(spike_feed(detector, &spike_usual_limits, (double)NAN, &finding));
        assert_false(spike_feed(detector, &spike_usual_limits, (double)INFINITY, &finding));
    }
    assert_true(spike_feed(detector, &spike_usual_limits, 2.5, &finding));
    free(detector);
}

static void a_constant_loss_that_moves_a_little_is_no_spike(void **unused)
{
    (void)unused;
    struct spike_detector *detector = baro_xcalloc(1, sizeof *detector);
    struct spike_finding finding;
    for (int i = 0; i < 200; i++) {
        assert_false(spike_feed(detector, &spike_usual_limits, 2.302585, &finding));
    }
    assert_false(spike_feed(detector, &spike_usual_limits, 2.31, &finding));
    for (int i = 0; i < 20; i++) {
        assert_false(spike_feed(detector, &spike_usual_limits, 2.302585, &finding));
    }
    assert_true(spike_feed(detector, &spike_usual_limits, 4, &finding));
    free(detector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stationary_noise_fires_rarely),
        cmocka_unit_test(a_planted_spike_fires_at_its_step),
        cmocka_unit_test(a_later_spike_is_heard_after_an_enormous_one),
        cmocka_unit_test(a_plateau_after_a_jump_is_told_once),
        cmocka_unit_test(the_worked_number_of_the_essay_is_right),
        cmocka_unit_test(scores_agree_with_brute_force),
        cmocka_unit_test(a_jump_within_a_falling_loss_is_told_at_once),
        cmocka_unit_test(noise_of_long_ago_does_not_hide_a_spike),
        cmocka_unit_test(nan_is_not_a_spike_and_leaves_no_trace),
        cmocka_unit_test(a_constant_loss_that_moves_a_little_is_no_spike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
