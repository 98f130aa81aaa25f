/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/analysis/shift.h"
#include "lib/base/mem.h"

/* Where a series leaves its course: fits against brute force, planted changes in noise. */

enum { MOST = 400 };

static uint64_t noise = 88172645463325252U;

static double uniform(void)
{
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return ((double)(noise >> 11) + 0.5) / 9007199254740992.0;
}

static double gauss(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* ---- brute force: each place by its own normal equations, residuals summed one by one ---- */

static int columns_of(
    enum shift_model model, const double *t, size_t k, size_t i, double x[3])
{
    bool is_behind = i >= k;
    double u = is_behind ? t[i] - t[k - 1] : 0;
    switch (model) {
    case SHIFT_MODEL_FLAT: x[0] = 1; return 1;
    case SHIFT_MODEL_LINE: x[0] = 1, x[1] = t[i] - t[0]; return 2;
    case SHIFT_MODEL_TWO: x[0] = !is_behind, x[1] = is_behind; return 2;
    case SHIFT_MODEL_HINGE: x[0] = 1, x[1] = u; return 2;
    case SHIFT_MODEL_BEND: x[0] = 1, x[1] = t[i] - t[0], x[2] = u; return 3;
    case SHIFT_MODEL_COUNT: break;
    }
    return 0;
}

/* Gram-Schmidt on the columns, then what is left of y. */
static double brute_sse(
    enum shift_model model, const double *t, const double *y, size_t n, size_t k)
{
    double q[3][MOST];
    double left[MOST];
    double row[3];
    int n_columns = 0;
    for (size_t i = 0; i < n; i++) {
        n_columns = columns_of(model, t, k, i, row);
        for (int c = 0; c < n_columns; c++) {
            q[c][i] = row[c];
        }
        left[i] = y[i];
    }
    for (int c = 0; c < n_columns; c++) {
        for (int before = 0; before <= c; before++) {
            double dot = 0;
            double norm = 0;
            for (size_t i = 0; i < n; i++) {
                dot += q[before][i] * (before < c ? q[c][i] : left[i]);
                norm += q[before][i] * q[before][i];
            }
            for (size_t i = 0; i < n; i++) {
                double *at = before < c ? &q[c][i] : &left[i];
                *at -= dot / norm * q[before][i];
            }
        }
    }
    double sse = 0;
    for (size_t i = 0; i < n; i++) {
        sse += left[i] * left[i];
    }
    return sse;
}

static void each_course_is_fitted_as_brute_force_fits_it(void **state)
{
    (void)state;
    double t[MOST];
    double y[MOST];
    for (int round = 0; round < 60; round++) {
        size_t n = 9 + (size_t)(uniform() * 60);
        double step = 1000 * uniform();
        for (size_t i = 0; i < n; i++) {
            step += 1 + floor(uniform() * (round % 3 == 0 ? 1 : 40));
            t[i] = step;
            y[i] = 1e3 * (round % 4) + gauss() + (i > n / 2 ? 0.1 * (double)i : 0);
        }
        for (int m = 0; m < SHIFT_MODEL_COUNT; m++) {
            struct shift_course course;
            shift_fit((enum shift_model)m, t, y, n, &course);
            double least = (double)INFINITY;
            bool has_place = m != SHIFT_MODEL_FLAT && m != SHIFT_MODEL_LINE;
            for (size_t k = 3; k + 3 <= n; k++) {
                least = fmin(least, brute_sse((enum shift_model)m, t, y, n, k));
                if (!has_place) {
                    break;
                }
            }
            assert_true(fabs(course.sse - least) <= 1e-6 * least + 1e-7);
            double there =
                brute_sse((enum shift_model)m, t, y, n, has_place ? course.place : 3);
            assert_true(fabs(there - least) <= 1e-6 * least + 1e-7);
        }
    }
}

static void the_worked_example_is_a_hinge_at_its_ninth_reading(void **state)
{
    (void)state;
    const double t[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const double y[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4};
    struct shift_course course;
    shift_fit(SHIFT_MODEL_HINGE, t, y, BARO_LEN(t), &course);
    assert_int_equal(course.place, 8);
    assert_true(fabs(course.slope_after - 1) < 1e-9);
    assert_true(course.sse < 1e-12);
}

/* ---- planted ---- */

struct planted {
    enum shift_kind kind;
    size_t place;
    double noise;
    double size; /* of the step, or of a whole ramp */
    bool has_spikes;
    bool has_beginning; /* falls from 20 in its first readings */
    bool is_power;      /* a power of 10 of it */
};

static void plant(const struct planted *what, size_t n, int64_t *steps, double *values)
{
    for (size_t i = 0; i < n; i++) {
        double y = what->noise * gauss();
        bool is_behind = i >= what->place;
        if (what->kind == SHIFT_LEVEL && is_behind) {
            y += what->size;
        } else if (what->kind == SHIFT_RAMP && is_behind) {
            y += what->size * (double)(i - what->place + 1) / (double)(n - what->place);
        } else if (what->kind == SHIFT_LEAP && is_behind) {
            y += what->size;
        } else if (what->kind == SHIFT_STEADY) {
            y += what->size * (double)i / (double)n;
        }
        if (what->has_spikes && i % 37 == 20) {
            y += 30 * (what->noise + 0.1);
        }
        if (what->has_beginning) {
            y += 20 * exp(-(double)i / 6);
        }
        steps[i] = 500 + 3 * (int64_t)i;
        values[i] = what->is_power ? pow(10, y) : y;
    }
}

static void planted_changes_are_found_where_they_are(void **state)
{
    (void)state;
    static const struct planted cases[] = {
        {SHIFT_LEVEL, 150, 1, 10, false, false, false},
        {SHIFT_LEVEL, 150, 1, 10, true, false, false},
        {SHIFT_LEVEL, 240, 0.1, 3, false, true, false},
        {SHIFT_RAMP, 200, 0.5, 20, false, false, false},
        {SHIFT_RAMP, 200, 0.5, 20, true, true, false},
        {SHIFT_RAMP, 250, 0.05, 3, false, false, true},
        {SHIFT_LEAP, 299, 1, 40, false, false, false},
        {SHIFT_LEAP, 298, 0.1, -40, false, false, false},
        {SHIFT_NONE, 0, 1, 0, false, false, false},
        {SHIFT_NONE, 0, 1, 0, true, false, false},
        {SHIFT_STEADY, 0, 0.2, 15, false, false, false},
    };
    int64_t steps[300];
    double values[300];
    for (size_t c = 0; c < BARO_LEN(cases); c++) {
        const struct planted *planted = &cases[c];
        int n_near = 0;
        for (int round = 0; round < 20; round++) {
            struct shift found;
            plant(planted, BARO_LEN(steps), steps, values);
            assert_true(shift_find(steps, values, BARO_LEN(steps), &found));
            size_t slack = planted->kind == SHIFT_RAMP    ? 20
                           : planted->kind == SHIFT_LEVEL ? 2
                                                          : 0;
            bool is_near =
                found.kind == planted->kind && found.place + slack >= planted->place &&
                found.place <= planted->place + slack &&
                (found.kind == SHIFT_NONE || found.step == 500 + 3 * (int64_t)found.place);
            if (!is_near) {
                print_message("case %zu: %s at %zu, %g to %g, score %g\n", c,
                    shift_kind_name(found.kind), found.place, found.before, found.after,
                    found.score);
            }
            n_near += is_near;
        }
        assert_true(n_near >= 19);
    }
}

static void sizes_are_in_the_units_of_the_series(void **state)
{
    (void)state;
    int64_t steps[100];
    double values[100];
    for (int i = 0; i < 100; i++) {
        steps[i] = i;
        values[i] = i < 60 ? 0.05 : 5.0;
    }
    struct shift found;
    assert_true(shift_find(steps, values, 100, &found));
    assert_int_equal(found.kind, SHIFT_LEVEL);
    assert_int_equal(found.step, 60);
    assert_true(fabs(found.before - 0.05) < 1e-12 && fabs(found.after - 5) < 1e-12);
    assert_true(found.score > 100);
}

static void a_ramp_that_has_come_to_rest_is_told_from_one_that_goes_on(void **state)
{
    (void)state;
    int64_t steps[200];
    double values[200];
    struct shift found;
    for (int i = 0; i < 200; i++) {
        steps[i] = i;
        values[i] = 0.01 * gauss() + (i < 50 ? 0 : 0.1 * (i - 50));
    }
    assert_true(shift_find(steps, values, 200, &found));
    assert_int_equal(found.kind, SHIFT_RAMP);
    assert_true(fabs(found.late - 1.0 / 3) < 0.05);
    for (int i = 0; i < 200; i++) {
        values[i] = 0.01 * gauss() + 5 * (1 - exp(-fmax(0, i - 50) / 15.0));
    }
    assert_true(shift_find(steps, values, 200, &found));
    assert_true(found.kind == SHIFT_LEVEL || found.kind == SHIFT_RAMP);
    assert_true(fabs(found.late) < 0.05);
}

static void odd_series_are_told_as_unchanged(void **state)
{
    (void)state;
    struct shift found;
    int64_t steps[40];
    double values[40];
    for (int i = 0; i < 40; i++) {
        steps[i] = i;
        values[i] = (double)NAN;
    }
    assert_false(shift_find(steps, values, 0, &found));
    assert_int_equal(found.kind, SHIFT_NONE);
    assert_false(shift_find(steps, values, 40, &found));
    for (int i = 0; i < 40; i++) {
        values[i] = 3;
    }
    assert_true(shift_find(steps, values, 40, &found));
    assert_int_equal(found.kind, SHIFT_NONE);
    values[39] = (double)INFINITY; /* passed over */
    assert_true(shift_find(steps, values, 40, &found));
    assert_int_equal(found.kind, SHIFT_NONE);
    values[38] = 4; /* any change of what never changed is one */
    assert_true(shift_find(steps, values, 40, &found));
    assert_int_equal(found.kind, SHIFT_LEAP);
    assert_int_equal(found.step, 38);
    assert_false(shift_find(steps, values, 7, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_course_is_fitted_as_brute_force_fits_it),
        cmocka_unit_test(the_worked_example_is_a_hinge_at_its_ninth_reading),
        cmocka_unit_test(planted_changes_are_found_where_they_are),
        cmocka_unit_test(sizes_are_in_the_units_of_the_series),
        cmocka_unit_test(a_ramp_that_has_come_to_rest_is_told_from_one_that_goes_on),
        cmocka_unit_test(odd_series_are_told_as_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
