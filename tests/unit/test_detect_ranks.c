/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "tests/testing.h"

#include "lib/analysis/detect_ranks.h"

/* Ranks that must agree: which readings are compared, and what is told once. */

static struct ranks_finding found;

static bool add(
    struct ranks_detector *d, const char *name, uint32_t rank, int64_t step, double value)
{
    return ranks_add(d, name, rank, step, value, &found);
}

static void equal_numbers_of_one_step_are_no_finding(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    for (int64_t step = 0; step < 1000; step++) {
        for (uint32_t rank = 0; rank < 3; rank++) {
            assert_false(add(d, "replicated/w", rank, step, (double)step));
            assert_false(add(d, "replicated/b", rank, step, (double)-step));
        }
    }
    assert_false(add(d, "replicated/w", 0, 1000, (double)NAN));
    assert_false(add(d, "replicated/w", 1, 1000, (double)NAN));
    ranks_destroy(d);
}

static void the_first_difference_is_told_once_with_both_ranks(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    assert_false(add(d, "replicated/w", 1, 16, 17));
    assert_false(add(d, "replicated/b", 0, 16, 3));
    assert_true(add(d, "replicated/w", 0, 16, 18));
    assert_int_equal(found.step, 16);
    assert_int_equal(found.rank_a, 1);
    assert_int_equal(found.rank_b, 0);
    assert_true(found.value_a == 17 && found.value_b == 18);
    assert_false(add(d, "replicated/b", 1, 16, 4));
    assert_false(add(d, "replicated/w", 2, 16, 19));
    ranks_destroy(d);
}

static void a_rank_may_be_ahead_and_steps_are_not_mixed(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    for (int64_t step = 0; step < RANKS_STEPS; step++) {
        assert_false(add(d, "replicated/w", 0, step, (double)(step * step)));
    }
    for (int64_t step = 0; step < RANKS_STEPS - 1; step++) {
        assert_false(add(d, "replicated/w", 1, step, (double)(step * step)));
    }
    assert_true(add(d, "replicated/w", 1, RANKS_STEPS - 1, 0.5));
    ranks_destroy(d);
}

static void one_rank_alone_is_never_at_odds_with_itself(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    assert_false(add(d, "replicated/w", 0, 5, 1));
    assert_false(add(d, "replicated/w", 0, 5, 2));
    assert_false(add(d, "replicated/w", 1, 5, 2));
    ranks_destroy(d);
}

static void it_is_told_again_after_a_time_of_agreement(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    int n_told = 0;
    for (int64_t step = 0; step < 1000; step++) {
        bool differs = (step >= 100 && step < 200) || (step >= 500 && step < 510) ||
                       (step >= 520 && step < 530);
        (void)add(d, "replicated/w", 0, step, 1);
        n_told += add(d, "replicated/w", 1, step, differs ? 2 : 1);
    }
    assert_int_equal(n_told, 2);
    ranks_destroy(d);
}

static void names_beyond_the_limit_are_left_out(void **state)
{
    (void)state;
    struct ranks_detector *d = ranks_create();
    char name[64];
    for (int i = 0; i < RANKS_MAX_NAMES + 10; i++) {
        (void)snprintf(name, sizeof name, "replicated/%d", i);
        assert_false(add(d, name, 0, 1, 1));
    }
    assert_false(add(d, name, 1, 1, 2));
    assert_true(add(d, "replicated/0", 1, 1, 2));
    ranks_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_numbers_of_one_step_are_no_finding),
        cmocka_unit_test(the_first_difference_is_told_once_with_both_ranks),
        cmocka_unit_test(a_rank_may_be_ahead_and_steps_are_not_mixed),
        cmocka_unit_test(one_rank_alone_is_never_at_odds_with_itself),
        cmocka_unit_test(it_is_told_again_after_a_time_of_agreement),
        cmocka_unit_test(names_beyond_the_limit_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
