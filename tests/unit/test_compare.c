/* SPDX-License-Identifier: Apache-2.0 */
/* What two runs are compared by: sizes of differences, and where two series part. */
#include "tests/testing.h"

#include <math.h>

#include "lib/analysis/compare.h"
#include "lib/base/mem.h"

enum { N = 200 };

/* A column for each step. */
static void fill(struct column *out, size_t i, int64_t step, double value)
{
    out[i] = (struct column){.first_step = step,
        .last_step = step,
        .min = value,
        .max = value,
        .mean = value,
        .first = value,
        .last = value,
        .count = 1};
}

/* From 0 to 1, the same on every machine. */
static double noise(uint64_t a)
{
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    return (double)((x ^ (x >> 31)) >> 11) / (double)(UINT64_C(1) << 53);
}

static void norms_are_weighed_by_octaves_and_scalars_by_shares(void **state)
{
    (void)state;
    assert_true(fabs(compare_weight(1, 4, true) - 2) < 1e-12);
    assert_true(fabs(compare_weight(4, 1, true) - 2) < 1e-12);
    assert_true(fabs(compare_weight(1, 4, false) - 0.75) < 1e-12);
    assert_true(compare_weight(0, 0, true) <= 0);
    assert_true(isinf(compare_weight(0, 1, true)));
    assert_true(isinf(compare_weight((double)NAN, 1, false)));
    assert_true(compare_weight((double)NAN, (double)NAN, false) <= 0);
    assert_true(compare_weight((double)INFINITY, (double)INFINITY, true) <= 0);
    assert_true(isinf(compare_weight((double)INFINITY, -(double)INFINITY, true)));
}

static void the_worked_number_of_the_noise(void **state)
{
    (void)state;
    struct column a[6], b[6];
    struct compare_parting parting;
    for (size_t i = 0; i < 6; i++) {
        fill(a, i, (int64_t)i, (double)(i % 2));
        fill(b, i, (int64_t)i, 5);
    }
    compare_part(a, 6, b, 6, &parting);
    assert_true(fabs(parting.noise - 1.2105) < 1e-3); /* b has none */
}

static void equal_series_are_said_to_be_equal_to_the_last_bit(void **state)
{
    (void)state;
    struct column a[N], b[N];
    struct compare_parting parting;
    for (size_t i = 0; i < N; i++) {
        fill(a, i, (int64_t)i, noise(i));
        fill(b, i, (int64_t)i, noise(i));
    }
    fill(a, 7, 7, (double)NAN);
    fill(b, 7, 7, (double)NAN);
    compare_part(a, N, b, N, &parting);
    assert_true(parting.has_common && parting.is_equal && !parting.has_parted);
    assert_int_equal(parting.equal_to, N - 1);
    b[120].mean = b[120].last = nextafter(b[120].mean, 2);
    compare_part(a, N, b, N, &parting);
    assert_true(!parting.is_equal && !parting.has_parted);
    assert_int_equal(parting.equal_to, 119);
}

/* Two runs of one recipe with other noise do not part; one that drifts off does, near where it
 * begins, whatever trend both have. */
static void they_part_where_one_leaves_the_noise_and_not_before(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct column a[N], b[N];
        struct compare_parting parting;
        for (size_t i = 0; i < N; i++) {
            double trend = 3 / (1 + (double)i / 20);
            fill(a, i, (int64_t)i, trend + 0.1 * noise(seed * 1000 + i));
            fill(b, i, (int64_t)i, trend + 0.1 * noise(seed * 7777 + i + 500));
        }
        compare_part(a, N, b, N, &parting);
        assert_false(parting.has_parted);
        for (size_t i = 120; i < N; i++) {
            b[i].mean += 0.02 * (double)(i - 119);
        }
        compare_part(a, N, b, N, &parting);
        assert_true(parting.has_parted);
        assert_in_range(parting.step, 120, 145);
    }
}

static void one_spike_is_no_parting_but_nan_that_stays_is(void **state)
{
    (void)state;
    struct column a[N], b[N];
    struct compare_parting parting;
    for (size_t i = 0; i < N; i++) {
        fill(a, i, (int64_t)i, 0.1 * noise(i));
        fill(b, i, (int64_t)i, 0.1 * noise(i + 1000));
    }
    b[50].mean = 9;
    compare_part(a, N, b, N, &parting);
    assert_false(parting.has_parted);
    for (size_t i = 150; i < N; i++) {
        b[i].mean = (double)NAN;
    }
    compare_part(a, N, b, N, &parting);
    assert_true(parting.has_parted);
    assert_int_equal(parting.step, 150);
}

static void only_steps_that_both_have_count(void **state)
{
    (void)state;
    struct column a[N], b[N];
    struct compare_parting parting;
    for (size_t i = 0; i < N; i++) {
        fill(a, i, (int64_t)i, 1);
        fill(b, i, (int64_t)(i + 1000), 2);
    }
    compare_part(a, N, b, N, &parting);
    assert_false(parting.has_common || parting.has_parted || parting.is_equal);
    compare_part(a, 0, b, N, &parting);
    assert_false(parting.has_common);
    for (size_t i = 0; i < N; i++) { /* wide columns against narrow ones */
        fill(b, i, (int64_t)i * 4, 1);
        b[i].last_step = (int64_t)i * 4 + 3;
    }
    compare_part(a, N, b, N, &parting);
    assert_true(parting.has_common && parting.is_equal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_weighed_by_octaves_and_scalars_by_shares),
        cmocka_unit_test(the_worked_number_of_the_noise),
        cmocka_unit_test(equal_series_are_said_to_be_equal_to_the_last_bit),
        cmocka_unit_test(they_part_where_one_leaves_the_noise_and_not_before),
        cmocka_unit_test(one_spike_is_no_parting_but_nan_that_stays_is),
        cmocka_unit_test(only_steps_that_both_have_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
