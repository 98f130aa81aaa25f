/* SPDX-License-Identifier: Apache-2.0 */
/* A second run in the model, beside the first. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/view/oracle.h"

static struct model_wish wish; /* large: not on the stack */

static const struct model_ref LOSS = {ORACLE_LOSS, READING_SCALAR, 0, 0};
static const struct model_ref ITS_LOSS = {
    ORACLE_LOSS + ORACLE_SECOND_BY, READING_SCALAR, 0, 0};

static void make_wish(uint32_t run, uint32_t other, int64_t to)
{
    memset(&wish, 0, sizeof wish);
    wish.run = run;
    wish.to_step = wish.other_to_step = to;
    wish.columns = 4096;
    wish.coarse_columns = 64;
    wish.other_run = other;
}

static void tell(struct oracle *oracle, struct keeper *keeper)
{
    static uint64_t serial;
    keeper_set_wish(keeper, &wish, ++serial);
    oracle_answer(oracle, keeper);
}

/* A connected keeper with both runs and the loss of each. */
static struct keeper *begin(struct oracle *oracle)
{
    struct keeper *keeper = keeper_create("ipc:///nowhere");
    oracle->has_second = true;
    oracle_connect(keeper);
    make_wish(ORACLE_RUN, ORACLE_SECOND, oracle->n_steps - 1);
    assert_true(model_wish_add(&wish, LOSS, false));
    assert_true(model_wish_add_other(&wish, ITS_LOSS, false));
    assert_true(model_wish_add_other(&wish, ITS_LOSS, false)); /* once */
    tell(oracle, keeper);
    return keeper;
}

/* All steps of a loss are there, more than those of the formula by so much. */
static void assert_loss(
    const struct oracle *oracle, const struct model *model, struct model_ref ref, double by)
{
    const struct model_series *series = model_find(model, ref, false);
    assert_non_null(series);
    assert_true(series->is_ready);
    assert_int_equal(series->n, oracle->n_steps);
    for (size_t i = 0; i < series->n; i++) {
        double should =
            by + oracle_value(oracle, ORACLE_LOSS, READING_SCALAR, 0, -1, (int64_t)i);
        assert_true(fabs(model_column(series, i)->mean - should) < 1e-12);
    }
}

static void both_runs_have_their_own_lists_and_series(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    struct model *model = keeper_publish(keeper);
    assert_true(model->is_complete);
    assert_int_equal(model->run, ORACLE_RUN);
    assert_non_null(model->other);
    assert_int_equal(model->other->run, ORACLE_SECOND);
    assert_true(model->other->has_things && model->other->is_complete);
    assert_loss(&oracle, model, LOSS, 0);
    assert_loss(&oracle, model->other, ITS_LOSS, ORACLE_SECOND_MORE);
    assert_null(model_find(model, ITS_LOSS, false));
    assert_int_equal(wish.n_other_refs, 1);
    part_unref(model);
    keeper_destroy(keeper);
}

static void things_of_two_runs_are_matched_by_name_and_role(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 40, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    struct model *model = keeper_publish(keeper);
    for (uint32_t id = 1; id <= ORACLE_N_THINGS; id++) {
        const struct model_thing *thing = model_thing_find(model, id);
        const struct model_thing *like = model_thing_like(model->other, thing);
        assert_non_null(like);
        assert_int_equal(like->thing, id + ORACLE_SECOND_BY);
    }
    struct model_thing another = *model_thing_find(model, ORACLE_GRAD);
    another.rank = 3;
    assert_null(model_thing_like(model->other, &another));
    part_unref(model);
    keeper_destroy(keeper);
}

static void live_readings_go_to_the_run_that_they_are_of(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 100, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    uint64_t n_ranges = oracle.n_ranges;
    for (int64_t step = 100; step < 105; step++) {
        oracle_live_of(&oracle, keeper, ORACLE_SECOND, step);
    }
    assert_true(keeper_is_changed(keeper));
    struct model *model = keeper_publish(keeper);
    assert_loss(&oracle, model, LOSS, 0); /* still 100 */
    oracle.n_steps = 105;
    assert_loss(&oracle, model->other, ITS_LOSS, ORACLE_SECOND_MORE);
    assert_int_equal(oracle.n_ranges, n_ranges);
    part_unref(model);
    keeper_destroy(keeper);
}

static void when_the_two_change_places_both_stay_subscribed(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 100, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    make_wish(ORACLE_SECOND, ORACLE_RUN, 99);
    assert_true(model_wish_add(&wish, ITS_LOSS, false));
    assert_true(model_wish_add_other(&wish, LOSS, false));
    tell(&oracle, keeper);
    assert_int_equal(oracle.n_unsubscribed[0] + oracle.n_unsubscribed[1], 0);
    struct model *model = keeper_publish(keeper);
    assert_true(model->is_complete);
    assert_loss(&oracle, model, ITS_LOSS, ORACLE_SECOND_MORE);
    assert_loss(&oracle, model->other, LOSS, 0);
    part_unref(model);
    make_wish(ORACLE_SECOND, 0, 99); /* the second is given up */
    tell(&oracle, keeper);
    assert_int_equal(oracle.n_unsubscribed[0], 1);
    assert_int_equal(oracle.n_unsubscribed[1], 0);
    model = keeper_publish(keeper);
    assert_null(model->other);
    assert_true(model->is_complete);
    part_unref(model);
    keeper_destroy(keeper);
}

static void after_a_reconnect_the_second_run_is_asked_for_again(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 100, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    keeper_set_state(keeper, MODEL_AWAY, "gone", 5);
    struct model *model = keeper_publish(keeper);
    assert_loss(&oracle, model->other, ITS_LOSS, ORACLE_SECOND_MORE); /* stays on show */
    part_unref(model);
    oracle.n_steps = 120;
    oracle_connect(keeper);
    make_wish(ORACLE_RUN, ORACLE_SECOND, 119);
    assert_true(model_wish_add_other(&wish, ITS_LOSS, false));
    tell(&oracle, keeper);
    model = keeper_publish(keeper);
    assert_true(model->is_complete);
    assert_loss(&oracle, model->other, ITS_LOSS, ORACLE_SECOND_MORE);
    assert_int_equal(oracle.n_subscribed[1], 2);
    part_unref(model);
    keeper_destroy(keeper);
}

static void times_of_steps_come_as_a_series_and_go_on_live(void **state)
{
    (void)state;
    const struct model_ref times = {0, READING_STEP, STEP_TIME, 0};
    struct oracle oracle = {.n_steps = 100, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    make_wish(ORACLE_RUN, 0, 200);
    assert_true(model_wish_add(&wish, times, false));
    tell(&oracle, keeper);
    oracle_live(&oracle, keeper, 100);
    struct model *model = keeper_publish(keeper);
    const struct model_series *series = model_find(model, times, false);
    assert_non_null(series);
    assert_int_equal(series->n, 101);
    for (size_t i = 0; i < series->n; i++) {
        double should = oracle_time(&oracle, (int64_t)i);
        assert_true(fabs(model_column(series, i)->last - should) < 1e-3);
    }
    part_unref(model);
    keeper_destroy(keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_runs_have_their_own_lists_and_series),
        cmocka_unit_test(things_of_two_runs_are_matched_by_name_and_role),
        cmocka_unit_test(live_readings_go_to_the_run_that_they_are_of),
        cmocka_unit_test(when_the_two_change_places_both_stay_subscribed),
        cmocka_unit_test(after_a_reconnect_the_second_run_is_asked_for_again),
        cmocka_unit_test(times_of_steps_come_as_a_series_and_go_on_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
