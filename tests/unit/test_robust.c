/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "tests/testing.h"

#include "lib/analysis/robust.h"
#include "lib/base/mem.h"

/* Streaming median, MAD and quantile against sorting, on all sorts of series. */

static uint64_t noise = 88172645463325252U;

static double uniform(void)
{
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return ((double)(noise >> 11) + 0.5) / 9007199254740992.0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_by_sorting(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 == 1 ? values[n / 2] : 0.5 * values[n / 2 - 1] + 0.5 * values[n / 2];
}

static bool is_same(double a, double b)
{
    return !(a < b) && !(a > b);
}

static double next_value(int shape, int i)
{
    switch (shape) {
    case 0: return uniform();
    case 1: return floor(uniform() * 4); /* many equal ones */
    case 2: return (double)i;
    case 3: return -(double)i;
    case 4: return 1;
    case 5: return i % 50 == 0 ? 1e12 * uniform() : uniform();
    default: return ldexp(uniform() - 0.5, (int)(uniform() * 60) - 30);
    }
}

static void median_and_mad_agree_with_sorting(void **state)
{
    (void)state;
    for (int shape = 0; shape < 7; shape++) {
        struct robust robust = {.n = 0};
        double all[600];
        for (int i = 0; i < (int)BARO_LEN(all); i++) {
            all[i] = next_value(shape, i);
            robust_push(&robust, all[i]);
            size_t n = i + 1 < ROBUST_WINDOW ? (size_t)i + 1 : ROBUST_WINDOW;
            double window[ROBUST_WINDOW];
            memcpy(window, all + i + 1 - n, n * sizeof *window);
            double median = median_by_sorting(window, n);
            assert_true(is_same(robust_median(&robust), median));
            for (size_t k = 0; k < n; k++) {
                window[k] = fabs(window[k] - median);
            }
            double mad = median_by_sorting(window, n);
            assert_true(fabs(robust_mad(&robust, median) - mad) <= 1e-12 * fabs(mad));
        }
    }
}

static void the_worked_number_of_the_essay_is_right(void **state)
{
    (void)state;
    struct robust robust = {.n = 0};
    const double values[] = {100, 1, 3, 2, 4};
    for (size_t i = 0; i < BARO_LEN(values); i++) {
        robust_push(&robust, values[i]);
    }
    assert_true(is_same(robust_median(&robust), 3));
    assert_true(is_same(robust_mad(&robust, 3), 1));
}

static void nothing_has_no_median(void **state)
{
    (void)state;
    struct robust robust = {.n = 0};
    assert_true(isnan(robust_median(&robust)));
    assert_true(isnan(robust_mad(&robust, 0)));
}

static void an_exponential_mean_is_plain_at_first_and_shrugs_off_outliers(void **state)
{
    (void)state;
    struct smooth smooth = {.n = 0};
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < 20; i++) {
        double x = uniform();
        sum += x;
        squares += x * x;
        smooth_push(&smooth, x, 0.05);
        double mean = sum / (i + 1);
        assert_true(fabs(smooth.mean - mean) < 1e-12);
        assert_true(fabs(smooth.var - (squares / (i + 1) - mean * mean)) < 1e-12);
    }
    double before = smooth.mean;
    double deviation = sqrt(smooth.var);
    smooth_push(&smooth, 1e9, 0.05);
    assert_true(smooth.mean - before <= 0.05 * 3 * deviation * 1.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_and_mad_agree_with_sorting),
        cmocka_unit_test(the_worked_number_of_the_essay_is_right),
        cmocka_unit_test(nothing_has_no_median),
        cmocka_unit_test(an_exponential_mean_is_plain_at_first_and_shrugs_off_outliers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
