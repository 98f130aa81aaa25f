/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/columns.h"
#include "lib/base/mem.h"

/* Columns against brute force: each reading in exactly one, no extreme and no NaN lost. */

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 17;
}

/* The definition, word by word, in exact arithmetic. */
static uint32_t slow_find(int64_t from, int64_t to, uint32_t n, int64_t step)
{
    __extension__ typedef unsigned __int128 u128;
    if (step < from || step > to) {
        return n;
    }
    u128 span = (u128)((uint64_t)to - (uint64_t)from) + 1;
    u128 offset = (uint64_t)step - (uint64_t)from;
    uint32_t found = n;
    for (uint32_t c = 0; c < n; c++) {
        if (offset >= c * span / n && offset < (c + 1) * span / n) {
            assert_int_equal(found, n); /* in one only */
            found = c;
        }
    }
    assert_int_not_equal(found, n);
    return found;
}

static void every_step_is_in_exactly_one_column(void **unused)
{
    (void)unused;
    for (uint32_t n = 1; n <= 40; n++) {
        for (int64_t span = 1; span <= 60; span++) {
            int64_t from = -7;
            struct column_cut cut = columns_cut(from, from + span - 1, n);
            for (int64_t step = from - 2; step <= from + span + 1; step++) {
                assert_int_equal(
                    columns_find(&cut, step), slow_find(from, from + span - 1, n, step));
            }
        }
    }
}

static void the_worked_number_of_the_essay_is_right(void **unused)
{
    (void)unused;
    struct column_cut cut = columns_cut(0, 9, 4);
    const uint32_t columns[] = {0, 0, 1, 1, 1, 2, 2, 3, 3, 3};
    for (int64_t step = 0; step < 10; step++) {
        assert_int_equal(columns_find(&cut, step), columns[step]);
    }
}

static void ranges_to_the_ends_of_the_numbers_are_cut_right(void **unused)
{
    (void)unused;
    const int64_t ends[][2] = {{INT64_MIN, INT64_MAX}, {INT64_MIN, 0}, {0, INT64_MAX},
        {INT64_MAX, INT64_MAX}, {INT64_MIN, INT64_MIN}, {-1, (int64_t)1 << 40}};
    for (size_t i = 0; i < BARO_LEN(ends); i++) {
        struct column_cut cut = columns_cut(ends[i][0], ends[i][1], 97);
        for (int k = 0; k < 2000; k++) {
            int64_t step = (int64_t)(next_random() << (next_random() % 18));
            step = k == 0 ? ends[i][0] : k == 1 ? ends[i][1] : step;
            assert_int_equal(
                columns_find(&cut, step), slow_find(ends[i][0], ends[i][1], 97, step));
        }
    }
}

static double random_value(void)
{
    uint64_t r = next_random();
    switch (r % 11) {
    case 0: return (double)NAN;
    case 1: return (double)INFINITY;
    case 2: return -(double)INFINITY;
    case 3: return 1.7e308;
    case 4: return -1.7e308;
    default: return (double)(int64_t)(r % 2001) - 1000;
    }
}

/* What a column should hold, found by looking at all readings again and again. */
static void check_column(const struct column *column, const struct column_cut *cut,
    uint32_t c, const int64_t *steps, const double *values, size_t n)
{
    uint32_t count = 0;
    uint32_t n_nan = 0;
    uint32_t n_pos = 0;
    uint32_t n_neg = 0;
    double min = (double)NAN;
    double max = (double)NAN;
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (columns_find(cut, steps[i]) != c) {
            continue;
        }
        count++;
        n_nan += isnan(values[i]) ? 1 : 0;
        n_pos += isinf(values[i]) && values[i] > 0 ? 1 : 0;
        n_neg += isinf(values[i]) && values[i] < 0 ? 1 : 0;
        if (isfinite(values[i])) {
            min = isnan(min) || values[i] < min ? values[i] : min;
            max = isnan(max) || values[i] > max ? values[i] : max;
            sum += (long double)values[i];
        }
    }
    assert_int_equal(column->count, count);
    assert_int_equal(column->n_nan, n_nan);
    assert_int_equal(column->n_pos_inf, n_pos);
    assert_int_equal(column->n_neg_inf, n_neg);
    assert_int_equal(isnan(column->min), isnan(min));
    assert_true(isnan(min) || (column->min == min && column->max == max));
    uint32_t n_finite = count - n_nan - n_pos - n_neg;
    if (n_finite > 0) {
        double mean = (double)(sum / n_finite);
        double scale = fmax(fabs(min), fabs(max));
        assert_true(fabs(column->mean - mean) <= 1e-12 * (scale + 1));
    }
}

static void columns_agree_with_brute_force(void **unused)
{
    (void)unused;
    enum { N = 400 };
    int64_t steps[N];
    double values[N];
    for (int round = 0; round < 60; round++) {
        uint32_t n_columns = 1 + (uint32_t)(next_random() % 30);
        struct column_cut cut =
            columns_cut(10, 10 + (int64_t)(next_random() % 200), n_columns);
        struct column columns[30] = {{0}};
        uint64_t n_inside = 0;
        for (size_t i = 0; i < N; i++) {
            steps[i] = (int64_t)(next_random() % 260) - 20;
            values[i] = random_value();
            uint32_t c = columns_find(&cut, steps[i]);
            if (c < n_columns) {
                column_add(&columns[c], steps[i], values[i]);
                n_inside++;
            }
        }
        uint64_t n_counted = 0;
        for (uint32_t c = 0; c < n_columns; c++) {
            column_finish(&columns[c]);
            check_column(&columns[c], &cut, c, steps, values, N);
            n_counted += columns[c].count;
        }
        assert_int_equal(n_counted, n_inside);
    }
}

static void first_and_last_go_by_step_and_then_by_arrival(void **unused)
{
    (void)unused;
    struct column column = {0};
    column_add(&column, 5, 50);
    column_add(&column, 3, 30);
    column_add(&column, 3, 31);
    column_add(&column, 9, 90);
    column_add(&column, 9, (double)NAN);
    column_add(&column, 4, 40);
    column_finish(&column);
    assert_int_equal(column.first_step, 3);
    assert_int_equal(column.last_step, 9);
    assert_true(column.first == 30);
    assert_true(isnan(column.last));
}

static void an_empty_column_has_no_extremes(void **unused)
{
    (void)unused;
    struct column column = {0};
    column_finish(&column);
    assert_int_equal(column.count, 0);
    assert_true(isnan(column.min) && isnan(column.max) && isnan(column.mean));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_in_exactly_one_column),
        cmocka_unit_test(the_worked_number_of_the_essay_is_right),
        cmocka_unit_test(ranges_to_the_ends_of_the_numbers_are_cut_right),
        cmocka_unit_test(columns_agree_with_brute_force),
        cmocka_unit_test(first_and_last_go_by_step_and_then_by_arrival),
        cmocka_unit_test(an_empty_column_has_no_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
