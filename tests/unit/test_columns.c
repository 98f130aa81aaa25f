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

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

/* The even cut, word by word, in exact arithmetic. */
static uint32_t even_find(int64_t from, int64_t to, uint32_t n, int64_t step)
{
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

/* The largest power of two that is at most half of span / n, as its exponent. */
static uint32_t slow_shift(int64_t from, int64_t to, uint32_t n)
{
    u128 span = (u128)((uint64_t)to - (uint64_t)from) + 1;
    uint32_t shift = 0;
    while (((u128)1 << (shift + 1)) * 2 * n <= span) {
        shift++;
    }
    return shift;
}

/* The definition in columns.h: the even cut's column of the middle of the aligned interval. */
static uint32_t slow_find(int64_t from, int64_t to, uint32_t n, int64_t step)
{
    if (step < from || step > to) {
        return n;
    }
    uint32_t shift = slow_shift(from, to, n);
    if (shift == 0) {
        return even_find(from, to, n, step);
    }
    i128 interval = (i128)1 << shift;
    i128 below = step % interval;
    i128 middle = step - (below < 0 ? below + interval : below) + interval / 2;
    middle = middle < from ? from : middle > to ? to : middle;
    return even_find(from, to, n, (int64_t)middle);
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

static void the_worked_numbers_of_the_essay_are_right(void **unused)
{
    (void)unused;
    struct column_cut cut = columns_cut(0, 9, 4);
    const uint32_t columns[] = {0, 0, 1, 1, 1, 2, 2, 3, 3, 3};
    for (int64_t step = 0; step < 10; step++) {
        assert_int_equal(columns_find(&cut, step), columns[step]);
    }
    cut = columns_cut(0, 39, 4);
    const int64_t edges[] = {0, 8, 20, 28, 40};
    assert_int_equal(cut.edge_shift, 2);
    for (uint32_t c = 0; c <= 4; c++) {
        assert_int_equal(columns_edge(&cut, c), edges[c]);
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

/* A step of any size, often near an end of the numbers or near a power of two. */
static int64_t random_step(void)
{
    uint64_t r = (next_random() << 40) ^ (next_random() << 20) ^ next_random();
    r = r >> (next_random() % 64);
    switch (next_random() % 4) {
    case 0: return (int64_t)((uint64_t)INT64_MIN + r);
    case 1: return (int64_t)((uint64_t)INT64_MAX - r);
    case 2: return (int64_t)(0 - r);
    default: return (int64_t)r;
    }
}

/* One cut: every edge, the steps around it, and some more. */
static void check_cut(int64_t from, int64_t to, uint32_t n)
{
    struct column_cut cut = columns_cut(from, to, n);
    u128 span = (u128)((uint64_t)to - (uint64_t)from) + 1;
    assert_int_equal(cut.edge_shift, slow_shift(from, to, n));
    assert_int_equal(columns_edge(&cut, 0), from);
    assert_int_equal(columns_edge(&cut, n), to < INT64_MAX ? to + 1 : to);
    assert_int_equal(columns_find(&cut, to), n - 1);
    for (uint32_t c = 1; c < n; c++) {
        int64_t edge = columns_edge(&cut, c);
        i128 even = from + (i128)(c * span / n);
        i128 moved = edge > even ? edge - even : even - edge;
        assert_true(edge >= from && edge <= to && edge >= columns_edge(&cut, c - 1));
        assert_true(moved * 4 * n <= (i128)span); /* at most a quarter of a column */
        assert_int_equal(edge & ((INT64_C(1) << cut.edge_shift) - 1), 0);
        if (edge > from) {
            assert_true(columns_find(&cut, edge) >= c);
            assert_true(columns_find(&cut, edge - 1) < c);
        }
        assert_int_equal(columns_find(&cut, edge), slow_find(from, to, n, edge));
    }
    for (int k = 0; k < 20; k++) {
        int64_t step = (int64_t)((uint64_t)from + (uint64_t)(next_random() * span >> 47));
        step = k % 5 == 0 ? random_step() : step;
        assert_int_equal(columns_find(&cut, step), slow_find(from, to, n, step));
    }
}

static void moved_edges_are_aligned_and_agree_with_the_definition(void **unused)
{
    (void)unused;
    for (int round = 0; round < 4000; round++) {
        int64_t a = random_step();
        int64_t b = round % 3 == 0 ? random_step()
                                   : (int64_t)((uint64_t)a + next_random() % 100000);
        uint32_t n = 1 + (uint32_t)(next_random() % (round % 5 == 0 ? 600 : 40));
        check_cut(a < b ? a : b, a < b ? b : a, n);
    }
    check_cut(INT64_MIN, INT64_MAX, 1);
    check_cut(INT64_MIN, INT64_MAX, 2);
    check_cut(INT64_MIN, -1, 1);
    check_cut(INT64_MAX, INT64_MAX, 7);
}

static void an_aligned_interval_is_in_one_column(void **unused)
{
    (void)unused;
    for (int round = 0; round < 2000; round++) {
        int64_t from = (int64_t)(next_random() % 20000) - 10000;
        int64_t to = from + (int64_t)(next_random() % 20000);
        struct column_cut cut = columns_cut(from, to, 1 + (uint32_t)(next_random() % 500));
        int64_t low = (INT64_C(1) << cut.edge_shift) - 1;
        int64_t step = from + (int64_t)(next_random() % (uint64_t)(to - from + 1));
        int64_t first = (step & ~low) < from ? from : step & ~low;
        int64_t last = (step | low) > to ? to : step | low;
        assert_int_equal(columns_find(&cut, first), columns_find(&cut, step));
        assert_int_equal(columns_find(&cut, last), columns_find(&cut, step));
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

static bool same_value(double a, double b)
{
    return isnan(a) ? isnan(b) : !isnan(b) && !(a < b) && !(a > b);
}

static void merging_parts_gives_what_adding_all_gives(void **unused)
{
    (void)unused;
    for (int round = 0; round < 3000; round++) {
        struct column all = {0};
        struct column merged = {0};
        for (uint64_t parts = next_random() % 5; parts > 0; parts--) {
            struct column part = {0};
            for (uint64_t n = next_random() % 6; n > 0; n--) {
                int64_t step = (int64_t)(next_random() % 8);
                double value = random_value();
                column_add(&all, step, value);
                column_add(&part, step, value);
            }
            column_merge(&merged, &part);
        }
        column_finish(&all);
        column_finish(&merged);
        assert_int_equal(merged.count, all.count);
        assert_int_equal(merged.n_nan, all.n_nan);
        assert_int_equal(merged.n_pos_inf, all.n_pos_inf);
        assert_int_equal(merged.n_neg_inf, all.n_neg_inf);
        assert_true(same_value(merged.min, all.min) && same_value(merged.max, all.max));
        assert_true(same_value(merged.mean, all.mean) ||
                    fabs(merged.mean - all.mean) <= 1e-12 * fmax(fabs(all.min), all.max));
        if (all.count > 0) {
            assert_int_equal(merged.first_step, all.first_step);
            assert_int_equal(merged.last_step, all.last_step);
            assert_true(same_value(merged.first, all.first));
            assert_true(same_value(merged.last, all.last));
        }
    }
}

static void an_empty_column_has_no_extremes(void **unused)
{
    (void)unused;
    struct column column = {0};
    column_finish(&column);
    assert_int_equal(column.count, 0);
    assert_true(isnan(column.min) && isnan(column.max) && isnan(column.mean));
}

static void steps_behind_the_last_belong_to_no_column_and_the_others_stay_where_they_are(
    void **unused)
{
    (void)unused;
    for (int64_t to = 0; to < 90; to += 7) {
        struct column_cut whole = columns_cut(-40, to, 5);
        struct column_cut cut = whole;
        int64_t steps[200];
        struct column_span spans[BARO_LEN(steps)];
        for (int64_t i = 0; i < (int64_t)BARO_LEN(steps); i++) {
            steps[i] = i - 60;
        }
        for (cut.last_step = -41; cut.last_step <= to; cut.last_step++) {
            for (int64_t step = -60; step < 140; step++) {
                uint32_t expected =
                    step <= cut.last_step ? columns_find(&whole, step) : cut.n_columns;
                assert_int_equal(columns_find(&cut, step), expected);
            }
            size_t n_spans = columns_spans(&cut, steps, BARO_LEN(steps), spans);
            int64_t n = 0;
            for (size_t i = 0; i < n_spans; i++) {
                n += spans[i].n;
            }
            assert_int_equal(n, cut.last_step + 41);
        }
    }
}

static void check_line(
    const struct column_cut *cut, int64_t first, uint64_t stride, size_t n)
{
    enum { MAX = 300 };
    int64_t steps[MAX];
    struct column_span expected[MAX];
    struct column_span got[MAX];
    assert_in_range(n, 0, MAX);
    for (size_t i = 0; i < n; i++) {
        steps[i] = (int64_t)((uint64_t)first + i * stride);
    }
    size_t n_expected = columns_spans(cut, steps, n, expected);
    size_t n_got = columns_spans_line(cut, first, stride, n, got);
    assert_int_equal(n_got, n_expected);
    for (size_t i = 0; i < n_got; i++) {
        assert_int_equal(got[i].column, expected[i].column);
        assert_int_equal(got[i].from, expected[i].from);
        assert_int_equal(got[i].n, expected[i].n);
        assert_int_equal(got[i].first_at, expected[i].first_at);
        assert_int_equal(got[i].last_at, expected[i].last_at);
        assert_int_equal(got[i].first_step, expected[i].first_step);
        assert_int_equal(got[i].last_step, expected[i].last_step);
        assert_true(got[i].first_step >= cut->from_step);
        assert_true(got[i].last_step <= cut->last_step);
    }
}

static void spans_of_a_line_are_those_of_its_steps(void **unused)
{
    (void)unused;
    static const uint64_t strides[] = {1, 2, 3, 7, 64, 1000};
    for (uint32_t n_columns = 1; n_columns < 40; n_columns += 3) {
        for (size_t k = 0; k < BARO_LEN(strides); k++) {
            for (int64_t first = -130; first < 130; first += 9) {
                struct column_cut cut = columns_cut(-50, 100 + 10 * (int64_t)k, n_columns);
                check_line(&cut, first, strides[k], 300);
                cut.last_step = 33;
                check_line(&cut, first, strides[k], 300);
            }
        }
    }
    struct column_cut cut = columns_cut(INT64_MIN, INT64_MAX, 17);
    check_line(&cut, INT64_MIN, UINT64_MAX / 299, 300);
    check_line(&cut, INT64_MAX - 200, 1, 201);
    check_line(&cut, INT64_MAX, 5, 1);
    cut = columns_cut(INT64_MAX - 9, INT64_MAX, 3);
    check_line(&cut, INT64_MIN, UINT64_MAX / 299, 300);
    check_line(&cut, INT64_MAX - 299, 1, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_of_a_line_are_those_of_its_steps),
        cmocka_unit_test(every_step_is_in_exactly_one_column),
        cmocka_unit_test(the_worked_numbers_of_the_essay_are_right),
        cmocka_unit_test(ranges_to_the_ends_of_the_numbers_are_cut_right),
        cmocka_unit_test(moved_edges_are_aligned_and_agree_with_the_definition),
        cmocka_unit_test(an_aligned_interval_is_in_one_column),
        cmocka_unit_test(columns_agree_with_brute_force),
        cmocka_unit_test(first_and_last_go_by_step_and_then_by_arrival),
        cmocka_unit_test(merging_parts_gives_what_adding_all_gives),
        cmocka_unit_test(an_empty_column_has_no_extremes),
        cmocka_unit_test(
            steps_behind_the_last_belong_to_no_column_and_the_others_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
