/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "client/draw/format.h"
#include "client/draw/ticks.h"

static uint64_t seed = 0x2545F4914F6CDD1DU;

static double random_unit(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

/* Rising, inside the range, labels all different and none empty. */
static void check_ticks(const struct axis *axis, const struct ticks *ticks)
{
    double grace = 1e-6 * (axis->hi - axis->lo);
    for (int i = 0; i < ticks->n; i++) {
        assert_true(ticks->at[i] >= axis->lo - grace && ticks->at[i] <= axis->hi + grace);
        assert_true(ticks->label[i][0] != '\0');
        assert_true(i == 0 || ticks->at[i] > ticks->at[i - 1]);
        for (int k = 0; k < i; k++) {
            if (strcmp(ticks->label[i], ticks->label[k]) == 0) {
                fail_msg("%g and %g of [%.17g, %.17g] are both '%s'", ticks->at[k],
                    ticks->at[i], axis->lo, axis->hi, ticks->label[i]);
            }
        }
    }
}

static void linear_axes_have_three_to_seven_distinct_ticks(void **state)
{
    for (int i = 0; i < 20000; i++) {
        double span = pow(10, 24 * random_unit() - 12);
        double lo = (random_unit() - 0.5) * span * pow(10, 4 * random_unit());
        struct axis axis = {.lo = lo, .hi = lo + span};
        struct ticks ticks;
        ticks_choose(&axis, 7, &ticks);
        if (ticks.n < 3 || ticks.n > 7) {
            fail_msg("%d ticks for [%.17g, %.17g]", ticks.n, axis.lo, axis.hi);
        }
        check_ticks(&axis, &ticks);
    }
}

static void fewer_ticks_are_given_when_fewer_fit(void **state)
{
    for (int i = 0; i < 5000; i++) {
        double lo = random_unit() * 1000;
        struct axis axis = {.lo = lo, .hi = lo + 1 + random_unit() * 1000};
        int most = 2 + i % 6;
        struct ticks ticks;
        ticks_choose(&axis, most, &ticks);
        assert_true(ticks.n >= 1 && ticks.n <= most);
        check_ticks(&axis, &ticks);
    }
}

static void log_axes_have_distinct_ticks_on_any_number_of_decades(void **state)
{
    for (int i = 0; i < 10000; i++) {
        double from = 40 * random_unit() - 25;
        double decades = 0.02 + 18 * random_unit() * random_unit();
        struct axis axis = {
            .kind = AXIS_LOG, .lo = pow(10, from), .hi = pow(10, from + decades)};
        struct ticks ticks;
        ticks_choose(&axis, 7, &ticks);
        assert_in_range(ticks.n, 3, 7);
        check_ticks(&axis, &ticks);
    }
}

static void symlog_axes_have_distinct_ticks_and_zero(void **state)
{
    for (int i = 0; i < 5000; i++) {
        double size = pow(10, 12 * random_unit() - 6);
        struct axis axis = {.kind = AXIS_SYMLOG,
            .lo = -size * random_unit(),
            .hi = size,
            .linear_to = size * pow(10, -5 * random_unit() - 0.5)};
        struct ticks ticks;
        ticks_choose(&axis, 7, &ticks);
        assert_in_range(ticks.n, 2, 7);
        check_ticks(&axis, &ticks);
    }
}

static void time_axes_fall_on_round_times(void **state)
{
    struct axis axis = {.unit = AXIS_ELAPSED, .lo = 0, .hi = 3 * 3600.0};
    struct ticks ticks;
    ticks_choose(&axis, 7, &ticks);
    check_ticks(&axis, &ticks);
    assert_string_equal(ticks.label[0], "0");
    assert_string_equal(ticks.label[1], "+30 min");
    assert_string_equal(ticks.label[5], "+2 h 30");
    for (int i = 0; i < 2000; i++) {
        axis.unit = i % 2 ? AXIS_CLOCK : AXIS_ELAPSED;
        axis.lo = i % 2 ? 1.7e9 + 1e6 * random_unit() : 0;
        axis.hi = axis.lo + pow(10, 0.5 + 4 * random_unit());
        ticks_choose(&axis, 7, &ticks);
        assert_in_range(ticks.n, 1, 7);
        check_ticks(&axis, &ticks);
    }
}

static void own_logarithm_agrees_with_libm(void **state)
{
    for (int i = 0; i < 20000; i++) {
        double value = pow(10, 600 * random_unit() - 300);
        assert_true(fabs(axis_log10(value) - log10(value)) < 2e-13);
    }
    assert_true(axis_log10(1) == 0);
    assert_true(fabs(axis_log10(5e-324) - log10(5e-324)) < 2e-13);
}

static void place_and_value_are_inverse(void **state)
{
    const enum axis_kind kinds[] = {AXIS_LINEAR, AXIS_LOG, AXIS_SYMLOG};
    for (int i = 0; i < 9000; i++) {
        struct axis axis = {.kind = kinds[i % 3], .lo = 0.01, .hi = 100, .linear_to = 0.1};
        axis.lo = axis.kind == AXIS_LOG ? 0.01 : -50;
        double place = random_unit();
        assert_true(fabs(axis_place(&axis, axis_value(&axis, place)) - place) < 1e-9);
    }
}

static void numbers_read_as_a_person_writes_them(void **state)
{
    char out[FORMAT_MAX];
    assert_string_equal(format_value(out, 0.0123), "0.0123");
    assert_string_equal(format_value(out, 1234), "1.234 k");
    assert_string_equal(format_value(out, 999.96), "1 k");
    assert_string_equal(format_value(out, 3.4e6), "3.4 M");
    assert_string_equal(format_value(out, 1e-7), "1e-7");
    assert_string_equal(format_value(out, -2.5e-12), "-2.5e-12");
    assert_string_equal(format_value(out, 0), "0");
    assert_string_equal(format_value(out, (double)NAN), "NaN");
    assert_string_equal(format_value(out, (double)-INFINITY), "-Inf");
    assert_string_equal(format_exact(out, (double)0.1F), "0.1");
    assert_string_equal(format_count(out, 24397), "24,397");
    assert_string_equal(format_count(out, -1234567), "-1,234,567");
    assert_string_equal(format_count(out, INT64_MIN), "-9,223,372,036,854,775,808");
    assert_string_equal(format_bytes(out, 64 << 20), "64 MiB");
    assert_string_equal(format_bytes(out, 1536), "1.5 KiB");
    assert_string_equal(format_duration(out, 130000000000), "2 min 10 s");
    assert_string_equal(format_duration(out, 4200000000), "4.2 s");
    assert_string_equal(format_duration(out, 12000000), "12 ms");
    assert_string_equal(format_tick(out, 1500, 500), "1.5 k");
    assert_string_equal(format_tick(out, 1e-7, 0), "1e-7");
    assert_string_equal(format_tick(out, 1e-4, 0), "1e-4");
    assert_string_equal(format_tick(out, 0.5, 0.25), "0.50");
}

static void exact_numbers_read_back_to_the_same_float(void **state)
{
    for (int i = 0; i < 20000; i++) {
        char out[FORMAT_MAX];
        float value = (float)((random_unit() - 0.5) * pow(10, 60 * random_unit() - 30));
        assert_true(strtof(format_exact(out, (double)value), NULL) == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_axes_have_three_to_seven_distinct_ticks),
        cmocka_unit_test(fewer_ticks_are_given_when_fewer_fit),
        cmocka_unit_test(log_axes_have_distinct_ticks_on_any_number_of_decades),
        cmocka_unit_test(symlog_axes_have_distinct_ticks_and_zero),
        cmocka_unit_test(time_axes_fall_on_round_times),
        cmocka_unit_test(own_logarithm_agrees_with_libm),
        cmocka_unit_test(place_and_value_are_inverse),
        cmocka_unit_test(numbers_read_as_a_person_writes_them),
        cmocka_unit_test(exact_numbers_read_back_to_the_same_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
