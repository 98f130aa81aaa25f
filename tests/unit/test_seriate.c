/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/analysis/seriate.h"
#include "lib/base/mem.h"

/* Orders against the shortest of all orders, planted groups and slopes, and odd inputs. */

static uint64_t state = 1;

static float next_random(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(state >> 40) / (float)(1 << 24);
}

static void assert_is_order(const uint32_t *order, size_t n)
{
    baro_autofree uint8_t *seen = baro_xcalloc(n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(order[i] < n);
        assert_int_equal(seen[order[i]]++, 0);
    }
}

static double length_of(const float *cells, size_t n, size_t c, const uint32_t *order)
{
    double sum = 0;
    for (size_t i = 1; i < n; i++) {
        sum += (double)seriate_distance(&cells[order[i - 1] * c], &cells[order[i] * c], c);
    }
    return sum;
}

/* The next order in the order of a dictionary; false after the last. */
static bool next_order(uint32_t *order, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && order[i - 1] > order[i]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    size_t j = n - 1;
    while (order[j] < order[i - 1]) {
        j--;
    }
    uint32_t keep = order[i - 1];
    order[i - 1] = order[j];
    order[j] = keep;
    for (j = n - 1; i < j; i++, j--) {
        keep = order[i];
        order[i] = order[j];
        order[j] = keep;
    }
    return true;
}

static void the_worked_example_comes_out(void **unused)
{
    (void)unused;
    const float cells[] = {0.9F, 0.1F, 0.5F, 0.2F};
    const uint32_t up[] = {1, 3, 2, 0};
    const uint32_t down[] = {0, 2, 3, 1};
    uint32_t order[4];
    seriate(cells, 4, 1, order);
    assert_true(memcmp(order, up, sizeof up) == 0 || memcmp(order, down, sizeof down) == 0);
    assert_true(fabs(length_of(cells, 4, 1, order) - 0.8) < 1e-6);
}

static void few_rows_are_near_the_shortest_of_all_orders(void **unused)
{
    (void)unused;
    double sum = 0;
    int n_trials = 60;
    for (int trial = 0; trial < n_trials; trial++) {
        size_t n = 2 + (size_t)trial % 6;
        size_t c = 1 + (size_t)trial % 4;
        float cells[8 * 4];
        for (size_t i = 0; i < n * c; i++) {
            cells[i] = next_random();
        }
        uint32_t order[8];
        uint32_t any[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        double least = (double)INFINITY;
        do {
            least = fmin(least, length_of(cells, n, c, any));
        } while (next_order(any, n));
        seriate(cells, n, c, order);
        assert_is_order(order, n);
        double length = length_of(cells, n, c, order);
        assert_true(length <= least * 1.25 + 1e-6);
        sum += length / least;
    }
    assert_true(sum / n_trials < 1.03);
}

static void planted_groups_stay_together(void **unused)
{
    (void)unused;
    enum { N = 600, C = 16, GROUPS = 7 };
    static float cells[N * C];
    static uint32_t order[N];
    float centres[GROUPS][C];
    int groups[N];
    for (int g = 0; g < GROUPS; g++) {
        for (int c = 0; c < C; c++) {
            centres[g][c] = next_random();
        }
    }
    for (int i = 0; i < N; i++) {
        groups[i] = (int)(next_random() * GROUPS) % GROUPS;
        for (int c = 0; c < C; c++) {
            cells[i * C + c] = centres[groups[i]][c] + 0.04F * (next_random() - 0.5F);
        }
    }
    seriate(cells, N, C, order);
    assert_is_order(order, N);
    int n_changes = 0;
    for (int i = 1; i < N; i++) {
        n_changes += groups[order[i]] != groups[order[i - 1]] ? 1 : 0;
    }
    assert_true(n_changes >= GROUPS - 1);
    assert_true(n_changes <= 2 * GROUPS); /* by index it would be some 500 */
}

static void a_slope_is_found_whatever_the_rows_stand_in(void **unused)
{
    (void)unused;
    enum { N = 1000, C = 8 };
    static float cells[N * C];
    static uint32_t order[N];
    for (int i = 0; i < N; i++) {
        float at = (float)(i * 617 % N) / N; /* each once, in disorder */
        for (int c = 0; c < C; c++) {
            cells[i * C + c] = c % 2 == 0 ? at : 1 - at;
        }
    }
    seriate(cells, N, C, order);
    assert_is_order(order, N);
    double length = length_of(cells, N, C, order);
    assert_true(length < 1.001 * (N - 1) / N);
}

static void nan_rows_stand_together_and_equal_rows_are_left_as_they_are(void **unused)
{
    (void)unused;
    enum { N = 64, C = 4 };
    float cells[N * C];
    uint32_t order[N];
    for (int i = 0; i < N; i++) {
        for (int c = 0; c < C; c++) {
            cells[i * C + c] = i % 5 == 0 ? NAN : 0.3F * next_random();
        }
    }
    seriate(cells, N, C, order);
    assert_is_order(order, N);
    int n_changes = 0;
    for (int i = 1; i < N; i++) {
        n_changes += (order[i] % 5 == 0) != (order[i - 1] % 5 == 0) ? 1 : 0;
    }
    assert_int_equal(n_changes, 1);
    for (int i = 0; i < N * C; i++) {
        cells[i] = 0.5F;
    }
    seriate(cells, N, C, order);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(order[i], i);
    }
    seriate(cells, 1, C, order);
    assert_int_equal(order[0], 0);
    seriate(cells, 0, C, order);
}

static void an_order_is_turned_to_fit_the_one_before(void **unused)
{
    (void)unused;
    const uint32_t before[] = {0, 1, 2, 3, 4};
    uint32_t order[] = {4, 3, 1, 2, 0};
    const uint32_t turned[] = {0, 2, 1, 3, 4};
    seriate_orient(before, 5, order);
    assert_memory_equal(order, turned, sizeof turned);
    seriate_orient(before, 5, order);
    assert_memory_equal(order, turned, sizeof turned);
}

static void the_nearest_are_those_of_all_distances_sorted(void **unused)
{
    (void)unused;
    enum { N = 50, C = 3, MOST = 7 };
    float cells[N * C];
    struct seriate_near near[MOST];
    for (int i = 0; i < N * C; i++) {
        cells[i] = floorf(next_random() * 4) / 4; /* with equals among them */
    }
    for (uint32_t row = 0; row < N; row++) {
        assert_int_equal(seriate_nearest(cells, N, C, row, MOST, near), MOST);
        for (uint32_t other = 0; other < N; other++) {
            float distance = seriate_distance(&cells[row * C], &cells[other * C], C);
            bool is_in = false;
            for (int k = 0; k < MOST; k++) {
                is_in = is_in || near[k].row == other;
                assert_true(k == 0 || near[k].distance >= near[k - 1].distance);
            }
            assert_true(is_in || other == row || distance >= near[MOST - 1].distance);
            assert_false(is_in && other == row);
        }
    }
    assert_int_equal(seriate_nearest(cells, 3, C, 1, MOST, near), 2);
}

static void the_odd_row_is_the_oddest(void **unused)
{
    (void)unused;
    enum { N = 40, C = 5 };
    float cells[N * C];
    float odd[N];
    for (int i = 0; i < N * C; i++) {
        cells[i] = 0.4F + 0.1F * next_random();
    }
    cells[17 * C + 2] = 1;
    cells[23 * C + 1] = NAN;
    seriate_oddness(cells, N, C, odd);
    for (int i = 0; i < N; i++) {
        assert_true(i == 23 || odd[i] < odd[23]);
        assert_true(i == 23 || i == 17 || odd[i] < odd[17]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_comes_out),
        cmocka_unit_test(few_rows_are_near_the_shortest_of_all_orders),
        cmocka_unit_test(planted_groups_stay_together),
        cmocka_unit_test(a_slope_is_found_whatever_the_rows_stand_in),
        cmocka_unit_test(nan_rows_stand_together_and_equal_rows_are_left_as_they_are),
        cmocka_unit_test(an_order_is_turned_to_fit_the_one_before),
        cmocka_unit_test(the_nearest_are_those_of_all_distances_sorted),
        cmocka_unit_test(the_odd_row_is_the_oddest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
