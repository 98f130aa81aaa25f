/* SPDX-License-Identifier: Apache-2.0 */
/* The cheap clock: against the system's, and its scale against made-up counters. */
#include "tests/testing.h"

#include <pthread.h>
#include <stdbool.h>

#include "lib/base/clock.h"
#include "lib/base/ticks.h"

#define MS UINT64_C(1000000)

static const int64_t WALL = INT64_C(1700000000000000000);

/* A counter of 2.5 GHz that began at 1000 when the clock showed 1 s. */
static uint64_t counter(uint64_t ns)
{
    return 1000 + (ns - 1000 * MS) / 2 * 5;
}

/* A scale that has been renewed every 10 ms from 1 s up to a time. */
static struct ticks_scale scale_until(uint64_t ns)
{
    struct ticks_scale scale = {0};
    for (uint64_t t = 1000 * MS; t <= ns; t += 10 * MS) {
        ticks_rescale(&scale, counter(t), t, WALL);
    }
    return scale;
}

static void a_scale_tells_nothing_before_its_rate_is_known(void **state)
{
    struct ticks_scale scale = {0};
    assert_int_equal(ticks_read(&scale, 12345), 0);
    ticks_rescale(&scale, counter(1000 * MS), 1000 * MS, WALL);
    assert_int_equal(ticks_read(&scale, counter(1001 * MS)), 0);
    ticks_rescale(&scale, counter(1005 * MS), 1005 * MS, WALL);
    assert_int_equal(ticks_read(&scale, counter(1006 * MS)), 0);
    ticks_rescale(&scale, counter(1012 * MS), 1012 * MS, WALL);
    assert_in_range(ticks_read(&scale, counter(1013 * MS)), 1013 * MS - 1, 1013 * MS + 1);
}

static void a_scale_agrees_with_the_clock_for_ten_milliseconds(void **state)
{
    const struct ticks_scale scale = scale_until(3000 * MS);
    for (uint64_t ns = 3000 * MS; ns < 3009 * MS; ns += 12345) {
        assert_in_range(ticks_read(&scale, counter(ns)), ns - 2, ns + 2);
    }
    assert_int_equal(ticks_read(&scale, counter(3011 * MS)), 0);
    assert_int_equal(scale.wall_ns, WALL);
}

static void a_counter_that_went_back_is_not_believed(void **state)
{
    struct ticks_scale scale = scale_until(3000 * MS);
    assert_int_equal(ticks_read(&scale, counter(3000 * MS) - 1), 0);
    assert_int_equal(ticks_read(&scale, 77), 0);
    /* Suspended: the counter begins anew, the monotonic clock goes on, wall time has jumped. */
    ticks_rescale(&scale, 500, 3005 * MS, WALL + 3600 * (int64_t)(1000 * MS));
    assert_int_equal(scale.wall_ns, WALL + 3600 * (int64_t)(1000 * MS));
    assert_int_equal(ticks_read(&scale, 600), 0);
    ticks_rescale(&scale, 500 + 50 * MS, 3025 * MS, WALL);
    assert_in_range(
        ticks_read(&scale, 500 + 50 * MS + 2500), 3025 * MS + 999, 3025 * MS + 1001);
}

static void a_counter_that_ran_on_while_the_clock_stood_is_not_believed(void **state)
{
    struct ticks_scale scale = scale_until(3000 * MS);
    const uint64_t at = counter(3000 * MS) + counter(100000 * MS); /* an hour of sleep */
    assert_int_equal(ticks_read(&scale, at), 0);
    ticks_rescale(&scale, at, 3001 * MS, WALL);
    ticks_rescale(&scale, at + 30 * MS, 3013 * MS, WALL);
    const uint64_t shown = ticks_read(&scale, at + 30 * MS + 2500);
    assert_true(shown == 0 || (shown >= 3013 * MS + 990 && shown <= 3013 * MS + 1010));
}

static void a_clock_that_lags_behind_does_not_turn_it_back(void **state)
{
    struct ticks_scale scale = scale_until(3000 * MS);
    uint64_t last = 0;
    for (uint64_t ns = 3000 * MS; ns < 3500 * MS; ns += MS / 4) {
        if (ns % (9 * MS) == 0) { /* the clock is slewed, and was read a little early */
            ticks_rescale(&scale, counter(ns), ns - (ns / MS % 7) * 100, WALL);
        }
        const uint64_t shown = ticks_read(&scale, counter(ns));
        assert_true(shown >= last);
        assert_in_range(shown, ns - 200000, ns + 200000);
        last = shown;
    }
}

static void wall_time_follows_only_a_clock_that_was_set(void **state)
{
    struct ticks_scale scale = scale_until(3000 * MS);
    ticks_rescale(&scale, counter(3010 * MS), 3010 * MS, WALL + 900);
    assert_int_equal(scale.wall_ns, WALL);
    ticks_rescale(&scale, counter(3020 * MS), 3020 * MS, WALL - 5000000);
    assert_int_equal(scale.wall_ns, WALL - 5000000);
}

/* ---- the real one ---- */

static void *watch_time(void *payload)
{
    bool *is_back = payload;
    const uint64_t start = baro_now_ns();
    uint64_t last = 0;
    int64_t last_wall = 0;
    while (baro_now_ns() - start < 60 * MS) {
        const uint64_t now = ticks_now_ns();
        const int64_t wall = ticks_wall_ns(now);
        /* Two threads may renew the scale against each other by less than a microsecond. */
        *is_back |= now + 1000 < last || wall + 1000 < last_wall;
        last = now;
        last_wall = wall;
    }
    return NULL;
}

static void it_never_goes_back_with_several_threads(void **state)
{
    enum { N = 3 };
    pthread_t threads[N];
    bool is_back[N] = {false};
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, watch_time, &is_back[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(is_back[i]);
    }
}

static void it_runs_with_the_system_clocks(void **state)
{
    const uint64_t start = baro_now_ns();
    while (baro_now_ns() - start < 60 * MS) {
        const uint64_t before = baro_now_ns();
        const uint64_t now = ticks_now_ns();
        const uint64_t after = baro_now_ns();
        assert_true(now + 20000 > before && now < after + 20000);
        const int64_t wall_before = baro_wall_ns();
        const int64_t wall = ticks_wall_ns(ticks_now_ns());
        assert_true(wall + 50000 > wall_before && wall < baro_wall_ns() + 50000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scale_tells_nothing_before_its_rate_is_known),
        cmocka_unit_test(a_scale_agrees_with_the_clock_for_ten_milliseconds),
        cmocka_unit_test(a_counter_that_went_back_is_not_believed),
        cmocka_unit_test(a_counter_that_ran_on_while_the_clock_stood_is_not_believed),
        cmocka_unit_test(a_clock_that_lags_behind_does_not_turn_it_back),
        cmocka_unit_test(wall_time_follows_only_a_clock_that_was_set),
        cmocka_unit_test(it_never_goes_back_with_several_threads),
        cmocka_unit_test(it_runs_with_the_system_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
