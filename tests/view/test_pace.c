/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines the viewer takes for slow, in what order whatever its answers come. */
#include "tests/testing.h"

#include "client/model/pace.h"

enum { SMALL = 300, LARGE = 40000 };

static const double LINE = 125000; /* bytes a second */
static const double TURN_S = 0.05;

/* Answers over a line that carries so much and turns so fast; the last pace. */
static double over(
    struct pace *pace, int n, size_t n_bytes, double turn_s, double bytes_per_s)
{
    double told = 0;
    for (int i = 0; i < n; i++) {
        double s = turn_s + (double)n_bytes / bytes_per_s;
        told = pace_note(pace, n_bytes, s, s);
    }
    return told;
}

static void a_socket_of_this_machine_is_never_slow(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "ipc:///run/user/1000/barograph/barod.sock");
    assert_true(over(&pace, 10, SMALL, 0.4, LINE) <= 0);
    assert_true(over(&pace, 40, LARGE, 0.4, LINE) <= 0);
}

static void a_far_line_is_slow_after_one_large_answer(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://127.0.0.1:7000");
    assert_true(over(&pace, 2, SMALL, TURN_S, LINE) <= 0);
    double told = over(&pace, 1, LARGE, TURN_S, LINE);
    assert_true(told > LINE / 2 && told <= LINE);
}

static void a_narrow_line_with_a_short_turn_is_slow_after_some_answers(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://10.0.0.7:7000");
    (void)over(&pace, 3, SMALL, 0.001, 1e6);
    assert_true(over(&pace, 3, LARGE, 0.001, LINE) <= 0);
    double told = over(&pace, 1, LARGE, 0.001, LINE);
    assert_true(told > 0.9 * LINE && told <= LINE);
}

static void answers_that_are_late_now_and_then_make_no_slow_line(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://127.0.0.1:7000");
    for (int i = 0; i < 200;
         i++) { /* one small answer of three is quick, two large ones of five */
        (void)over(&pace, 1, SMALL, i % 3 == 0 ? 0.0004 : 0.2, 1e8);
        assert_true(over(&pace, 1, LARGE, i % 5 < 2 ? 0.001 : 0.3, 1e8) <= 0);
    }
}

static void a_long_turn_alone_makes_no_slow_line(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://far.example:7000");
    (void)over(&pace, 5, SMALL, 0.15, 1e8);
    assert_true(over(&pace, 50, 400000, 0.15, 1e8) <= 0);
}

static void a_slow_line_stays_one_when_answers_are_taken_in_a_bunch(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://127.0.0.1:7000");
    (void)over(&pace, 2, SMALL, TURN_S, LINE);
    (void)over(&pace, 1, LARGE, TURN_S, LINE);
    for (int i = 0; i < 100; i++) { /* two of five wait for the thread behind another */
        double came_s = i % 5 > 2 ? 0.00002 : TURN_S + LARGE / LINE;
        double told = pace_note(&pace, LARGE, 1, came_s);
        assert_true(told > 0 && told < 2 * LINE);
    }
    (void)over(&pace, 1, LARGE, TURN_S, LINE);
    assert_true(over(&pace, 3, LARGE, 0.001, 1e8) > 0);
    assert_true(over(&pace, 1, LARGE, 0.001, 1e8) <= 0); /* and is quick again in the end */
}

static void a_new_connection_begins_anew(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_begin(&pace, "tcp://127.0.0.1:7000");
    (void)over(&pace, 2, SMALL, TURN_S, LINE);
    assert_true(over(&pace, 1, LARGE, TURN_S, LINE) > 0);
    pace_begin(&pace, "tcp://127.0.0.1:7000");
    assert_true(over(&pace, 3, LARGE, TURN_S, LINE) <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_of_this_machine_is_never_slow),
        cmocka_unit_test(a_far_line_is_slow_after_one_large_answer),
        cmocka_unit_test(a_narrow_line_with_a_short_turn_is_slow_after_some_answers),
        cmocka_unit_test(answers_that_are_late_now_and_then_make_no_slow_line),
        cmocka_unit_test(a_long_turn_alone_makes_no_slow_line),
        cmocka_unit_test(a_slow_line_stays_one_when_answers_are_taken_in_a_bunch),
        cmocka_unit_test(a_new_connection_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
