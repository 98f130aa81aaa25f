/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "tests/testing.h"

#include "lib/analysis/columns.h"
#include "lib/analysis/moved.h"
#include "lib/analysis/powers.h"
#include "lib/analysis/spread.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/* Percentiles of units and of histograms, and what moved most, against brute force. */

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 33;
}

/* ---- spread ---- */

static void the_percentiles_are_those_of_the_sorted_values(void **unused)
{
    (void)unused;
    const double quantiles[SPREAD_COUNT] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    for (int trial = 0; trial < 400; trial++) {
        size_t n = 1 + (size_t)trial % 90;
        float values[90];
        float sorted[90];
        size_t n_finite = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t r = next_random();
            values[i] = (float)(r % (trial % 3 == 0 ? 4 : 1000)); /* with equals */
            values[i] = r % 17 == 0 && trial % 2 == 0 ? NAN : values[i];
            if (!isnan(values[i])) {
                sorted[n_finite++] = values[i];
            }
        }
        qsort(sorted, n_finite, sizeof *sorted, baro_by_float);
        double out[SPREAD_COUNT];
        assert_int_equal(spread_of(values, n, out), n_finite);
        for (int row = 0; row < SPREAD_COUNT; row++) {
            size_t rank = (size_t)ceil(quantiles[row] * (double)n_finite - 1e-9);
            if (n_finite == 0) {
                assert_true(isnan(out[row]));
            } else {
                assert_float_equal(out[row], sorted[rank > 0 ? rank - 1 : 0], 0);
            }
        }
    }
}

static void the_worked_spread_comes_out(void **unused)
{
    (void)unused;
    float values[20];
    double out[SPREAD_COUNT];
    const double expected[] = {1, 1, 5, 10, 15, 19, 20};
    for (int i = 0; i < 20; i++) {
        values[i] = (float)(20 - i);
    }
    assert_int_equal(spread_of(values, 20, out), 20);
    for (int row = 0; row < SPREAD_COUNT; row++) {
        assert_float_equal(out[row], expected[row], 0);
    }
}

static void units_added_in_parts_keep_their_extremes_and_their_nan(void **unused)
{
    (void)unused;
    enum { UNITS = 30, COLUMNS = 3 };
    struct column columns[UNITS][COLUMNS] = {0};
    for (int unit = 0; unit < UNITS; unit++) {
        column_add(&columns[unit][0], 0, unit == 7 ? (double)NAN : unit);
        column_add(&columns[unit][0], 5, unit == 7 ? (double)NAN : unit + 2);
        if (unit < 2) {
            column_add(&columns[unit][2], 40, (double)INFINITY);
        }
    }
    struct spread *spread = spread_create(UNITS, COLUMNS);
    spread_add(spread, columns[0], 11);
    spread_add(spread, columns[11], UNITS - 11);
    struct column out[SPREAD_COUNT][COLUMNS] = {0};
    spread_columns(spread, out[0]);
    spread_destroy(spread);
    assert_int_equal(out[SPREAD_50][0].count, UNITS);
    assert_int_equal(out[SPREAD_50][0].n_nan, 1);
    assert_int_equal(out[SPREAD_50][0].first_step, 0);
    assert_int_equal(out[SPREAD_50][0].last_step, 5);
    assert_float_equal(out[SPREAD_LEAST][0].min, 0, 0); /* a reading */
    assert_float_equal(out[SPREAD_MOST][0].max, 31, 0); /* likewise */
    assert_float_equal(
        out[SPREAD_50][0].mean, 16, 0); /* 15th of 29 means: 1, 2, ..., not 8 */
    assert_int_equal(out[SPREAD_5][1].count, 0);
    assert_int_equal(out[SPREAD_5][2].count, 2);
    assert_int_equal(out[SPREAD_5][2].n_pos_inf, 2);
    assert_true(isnan(out[SPREAD_5][2].mean));
    assert_true(isnan(out[SPREAD_MOST][2].mean));
}

/* ---- powers ---- */

static void the_worked_places_come_out(void **unused)
{
    (void)unused;
    const float shares[] = {0.25F, 0.5F, 0.25F};
    assert_float_equal(powers_place(shares, 3, 0.5), 1.5, 1e-9);
    assert_float_equal(powers_place(shares, 3, 0.25), 1, 1e-9);
    assert_float_equal(powers_place(shares, 3, 0.9), 2.6, 1e-6);
    assert_float_equal(powers_place(shares, 3, 1), 3, 1e-9);
    const float none[] = {0, NAN, 0};
    assert_true(isnan(powers_place(none, 3, 0.5)));
    assert_true(isnan(powers_place(NULL, 0, 0.5)));
}

static void a_quantile_of_elements_lies_in_the_bin_that_is_told(void **unused)
{
    (void)unused;
    enum { N = 999, EXPS = 12, BINS = 2 * EXPS + 1 };
    const int first = -8;
    static float elements[N];
    for (int trial = 0; trial < 50; trial++) {
        float shares[BINS] = {0};
        for (int i = 0; i < N; i++) {
            int exp = first + (int)(next_random() % EXPS);
            float in_bin = 1 + 0.99F * (float)(next_random() % 1000) / 1000;
            uint64_t r = next_random() % 11;
            elements[i] = r == 0 ? 0 : ldexpf(in_bin, exp) * (r % 2 == 0 ? 1.0F : -1.0F);
            int bin = r == 0       ? EXPS
                      : r % 2 == 0 ? EXPS + 1 + exp - first
                                   : EXPS - 1 - exp + first;
            shares[bin] += 1.0F / N;
        }
        qsort(elements, N, sizeof *elements, baro_by_float);
        for (int q = 1; q < 20; q++) {
            double place = powers_place(shares, BINS, (q + 0.01) / 20.0);
            float element = elements[(int)(N * ((q + 0.01) / 20.0))];
            double lo = 0;
            double hi = 0;
            powers_bounds(first, EXPS, place, &lo, &hi);
            assert_true((double)element >= lo && (double)element <= hi);
        }
    }
}

/* ---- moved ---- */

static void the_largest_are_kept_in_order(void **unused)
{
    (void)unused;
    enum { N = 3000 };
    struct moved_list *list = baro_xcalloc(1, sizeof *list);
    static float values[N];
    static float sorted[N];
    for (uint32_t i = 0; i < N; i++) {
        values[i] = sorted[i] = (float)(next_random() % 500);
        moved_add(list, 1 + i % 7, i, values[i]);
    }
    moved_add(list, 1, N, NAN);
    qsort(sorted, N, sizeof *sorted, baro_by_float);
    assert_int_equal(list->n, MOVED_MOST);
    assert_int_equal(list->n_seen, N);
    assert_int_equal(list->n_without, 1);
    for (size_t i = 0; i < list->n; i++) {
        assert_float_equal(list->at[i].value, sorted[N - 1 - i], 0);
        assert_float_equal(values[list->at[i].unit], list->at[i].value, 0);
        const struct moved_unit *before = i > 0 ? &list->at[i - 1] : NULL;
        assert_true(before == NULL || before->value > list->at[i].value ||
                    before->thing < list->at[i].thing || before->unit < list->at[i].unit);
    }
    free(list);
}

static void what_is_in_common_is_in_the_first_of_all(void **unused)
{
    (void)unused;
    enum { LISTS = 3, N = 400 };
    struct moved_list *lists = baro_xcalloc(LISTS, sizeof *lists);
    struct moved_unit common[MOVED_MOST];
    for (int trial = 0; trial < 30; trial++) {
        size_t k = 1 + next_random() % 200;
        for (int l = 0; l < LISTS; l++) {
            lists[l] = (struct moved_list){0};
            for (uint32_t i = 0; i < N; i++) {
                moved_add(&lists[l], 1 + i % 3, i, (float)(next_random() % 1000));
            }
        }
        size_t n = moved_common(lists, LISTS, k, common);
        size_t n_brute = 0;
        for (uint32_t i = 0; i < N; i++) {
            int n_in = 0;
            for (int l = 0; l < LISTS; l++) {
                for (size_t at = 0; at < k && at < lists[l].n; at++) {
                    n_in += lists[l].at[at].unit == i ? 1 : 0;
                }
            }
            n_brute += n_in == LISTS ? 1 : 0;
            for (size_t at = 0; at < n && n_in < LISTS; at++) {
                assert_int_not_equal(common[at].unit, i);
            }
        }
        assert_int_equal(n, n_brute);
    }
    free(lists);
}

static void the_worked_units_are_in_common(void **unused)
{
    (void)unused;
    struct moved_list *lists = baro_xcalloc(2, sizeof *lists);
    struct moved_unit common[3];
    const uint32_t a[] = {7, 3, 9};
    const uint32_t b[] = {3, 8, 7};
    for (uint32_t i = 0; i < 3; i++) {
        moved_add(&lists[0], 1, a[i], (float)(9 - i));
        moved_add(&lists[1], 1, b[i], (float)(5 - i));
    }
    assert_int_equal(moved_common(lists, 2, 2, common), 1);
    assert_int_equal(common[0].unit, 3);
    assert_float_equal(common[0].value, 5, 0);
    assert_int_equal(moved_common(lists, 2, 3, common), 2);
    assert_int_equal(common[0].unit, 3);
    assert_int_equal(common[1].unit, 7);
    assert_int_equal(moved_common(lists, 0, 3, common), 0);
    free(lists);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_percentiles_are_those_of_the_sorted_values),
        cmocka_unit_test(the_worked_spread_comes_out),
        cmocka_unit_test(units_added_in_parts_keep_their_extremes_and_their_nan),
        cmocka_unit_test(the_worked_places_come_out),
        cmocka_unit_test(a_quantile_of_elements_lies_in_the_bin_that_is_told),
        cmocka_unit_test(the_largest_are_kept_in_order),
        cmocka_unit_test(what_is_in_common_is_in_the_first_of_all),
        cmocka_unit_test(the_worked_units_are_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
