/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when a run is opened that exists already and another goes on from it: branch, overwrite. */
#include "tests/testing.h"

#include <math.h>

#include "tests/integration/resume_rig.h"

static struct rig rig;

static int set_up(void **state)
{
    rig_start(&rig);
    return 0;
}

static int clean(void **state)
{
    rig_finish(&rig);
    return 0;
}

static void restart(void)
{
    rig_kill(&rig);
    rig_restart(&rig);
}

/* ---- branch ---- */

static void a_branch_has_its_parents_steps_and_then_its_own(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "c"}, 0, 100, 1);
    uint32_t old = resume_info(&rig, "c").run;
    const struct resume_opening branch = {
        .run_id = "c", .resume = BARO_RESUME_BRANCH, .resume_step = 60, .at_s = 60};
    resume_train(&rig, 2, &branch, 60, 90, 2);
    const Baro__RunInfo now = resume_info(&rig, "c");
    const Baro__RunInfo former = resume_info(&rig, "c~1");
    assert_int_equal(former.run, old);
    assert_int_equal(former.n_branches, 1);
    assert_false(former.is_overwritten);
    assert_int_equal(now.parent, old);
    assert_int_equal(now.branch_step, 60);
    assert_int_equal(now.first_step, 0);
    assert_int_equal(now.last_step, 89);
    assert_int_equal(now.n_steps, 90);
    const struct resume_points points = resume_points(&rig, "c", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 60, 1), 60, 90, 2), points.n);
    const struct resume_points kept = resume_points(&rig, "c~1", "loss");
    assert_int_equal(resume_expect(&kept, 0, 0, 100, 1), kept.n);
    resume_wait_event(
        &rig, "c", "branches off 'c~1' at step 60 (branch): its steps 60 to 99 are kept");
    assert_int_equal(resume_repeats(&rig, "c", "loss"), 0);
}

static void charts_of_a_branch_are_drawn_over_both(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "x"}, 0, 100, 1);
    const struct resume_opening branch = {
        .run_id = "x", .resume = BARO_RESUME_BRANCH, .resume_step = 60, .at_s = 60};
    resume_train(&rig, 2, &branch, 60, 90, 2);
    double *values = NULL;
    int64_t *steps = NULL;
    uint32_t run = resume_info(&rig, "x").run;
    size_t n = rig_points(&rig, run, rig_thing(&rig, run, "loss"), &values, &steps);
    assert_int_equal(n, 90);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(steps[i], i);
        assert_true(values[i] == (i < 60 ? 1 : 2));
    }
    free(values);
    free(steps);
}

static void what_a_branch_inherits_outlives_a_restart(void **state)
{
    struct link_message message = {0};
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "d"}, 0, 50, 1);
    const struct resume_opening branch = {
        .run_id = "d", .resume = BARO_RESUME_BRANCH, .resume_step = 40, .at_s = 60};
    resume_train(&rig, 2, &branch, 40, 60, 2);
    restart();
    const struct resume_points points = resume_points(&rig, "d", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 40, 1), 40, 60, 2), points.n);
    const Baro__RunInfo now = resume_info(&rig, "d");
    assert_int_equal(now.parent, resume_info(&rig, "d~1").run);
    assert_int_equal(now.n_steps, 60);
    const Baro__ThingInfo *thing = resume_thing(&rig, now.run, "loss", 1, &message);
    assert_int_equal(thing->n_points, 20);
    assert_int_equal(thing->n_inherited, 40);
    assert_int_equal(thing->first_step, 0);
    assert_int_equal(thing->last_step, 59);
    link_message_release(&message);
}

static void a_branch_without_a_step_begins_with_its_first_reading(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "e"}, 0, 100, 1);
    struct pusher second = resume_open(&rig, 2,
        &(struct resume_opening){
            .run_id = "e", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 60});
    assert_true(resume_info(&rig, "e")
                    .is_branch_open); /* meanwhile it has all that its parent has */
    assert_int_equal(resume_info(&rig, "e").last_step, 99);
    resume_push(&second, 30, 40, 2);
    assert_false(resume_info(&rig, "e").is_branch_open);
    assert_int_equal(resume_info(&rig, "e").branch_step, 30);
    const struct resume_points points = resume_points(&rig, "e", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 30, 1), 30, 40, 2), points.n);
    pusher_finish(&second);
}

static void overwriting_marks_the_former_run_and_keeps_it(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "f"}, 0, 20, 1);
    const struct resume_opening overwrite = {
        .run_id = "f", .resume = BARO_RESUME_OVERWRITE, .resume_step = 10, .at_s = 60};
    resume_train(&rig, 2, &overwrite, 10, 15, 2);
    assert_true(resume_info(&rig, "f~1").is_overwritten);
    assert_false(resume_info(&rig, "f").is_overwritten);
    const struct resume_points points = resume_points(&rig, "f", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 10, 1), 10, 15, 2), points.n);
    const struct resume_points kept = resume_points(&rig, "f~1", "loss");
    assert_int_equal(kept.n, 20);
    resume_wait_event(&rig, "f", "its steps 10 to 19 are kept there, overwritten here");
}

static void branches_of_branches_reach_back_to_the_first(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "g"}, 0, 30, 1);
    for (int i = 1; i <= 3; i++) {
        const struct resume_opening branch = {.run_id = "g",
            .resume = BARO_RESUME_BRANCH,
            .resume_step = 10 * i,
            .at_s = INT64_C(3600) * i};
        resume_train(&rig, 1 + i, &branch, 10 * i, 10 * i + 20, 1 + i);
    }
    const struct resume_points points = resume_points(&rig, "g", "loss");
    size_t at = resume_expect(&points, 0, 0, 10, 1);
    at = resume_expect(&points, at, 10, 20, 2);
    at = resume_expect(&points, at, 20, 30, 3);
    assert_int_equal(resume_expect(&points, at, 30, 50, 4), points.n);
    assert_int_equal(resume_info(&rig, "g~3").parent, resume_info(&rig, "g~2").run);
    assert_int_equal(resume_info(&rig, "g~2").parent, resume_info(&rig, "g~1").run);
    assert_int_equal(resume_points(&rig, "g~2", "loss").n, 30);
}

static void a_branch_before_the_parents_first_step_inherits_nothing(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "h"}, 50, 60, 1);
    const struct resume_opening branch = {
        .run_id = "h", .resume = BARO_RESUME_BRANCH, .resume_step = 20, .at_s = 60};
    resume_train(&rig, 2, &branch, 20, 30, 2);
    const struct resume_points points = resume_points(&rig, "h", "loss");
    assert_int_equal(resume_expect(&points, 0, 20, 30, 2), points.n);
    assert_int_equal(resume_info(&rig, "h").first_step, 20);
    resume_wait_event(&rig, "h", "nothing of it lies before that");
}

static void a_branch_beyond_the_parents_last_step_leaves_a_gap(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "i"}, 0, 10, 1);
    const struct resume_opening branch = {
        .run_id = "i", .resume = BARO_RESUME_BRANCH, .resume_step = 100, .at_s = 60};
    resume_train(&rig, 2, &branch, 100, 110, 2);
    const struct resume_points points = resume_points(&rig, "i", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 10, 1), 100, 110, 2), points.n);
    resume_wait_event(&rig, "i", "from 10 to 99 there is a gap");
}

static void a_branch_of_a_run_that_is_not_there_is_a_new_run(void **state)
{
    const struct resume_opening branch = {
        .run_id = "j", .resume = BARO_RESUME_BRANCH, .resume_step = 100};
    resume_train(&rig, 1, &branch, 100, 110, 2);
    assert_int_equal(resume_info(&rig, "j").parent, 0);
    assert_int_equal(resume_info(&rig, "j~1").run, 0);
    resume_wait_event(&rig, "j", "a new run: there was none to resume (branch)");
}

static void series_that_a_branch_never_pushed_are_there_by_inheritance(void **state)
{
    struct link_message message = {0};
    struct pusher first = resume_open(&rig, 1, &(struct resume_opening){.run_id = "k"});
    pusher_declare_scalar(&first, 2, "val");
    assert_int_equal(pusher_hello(&first), 0);
    pusher_scalar(&first, 2, 5, 7.0);
    resume_push(&first, 0, 10, 1);
    const struct resume_opening branch = {
        .run_id = "k", .resume = BARO_RESUME_BRANCH, .resume_step = 8, .at_s = 60};
    resume_train(&rig, 2, &branch, 8, 12, 2);
    const struct resume_points points = resume_points(&rig, "k", "val");
    assert_int_equal(points.n, 1);
    assert_int_equal(points.steps[0], 5);
    /* What its parent names later it has, too. */
    pusher_declare_scalar(&first, 3, "late");
    assert_int_equal(pusher_hello(&first), 11);
    pusher_scalar(&first, 3, 6, 8.0);
    pusher_flush(&first);
    assert_int_equal(resume_points(&rig, "k", "late").n, 1);
    assert_non_null(resume_thing(&rig, resume_info(&rig, "k").run, "late", 1, &message));
    link_message_release(&message);
    pusher_finish(&first);
}

static uint32_t count_alerts(const char *run_id, int64_t before)
{
    struct link_message message = {0};
    Baro__AlertsRequest alerts;
    baro__alerts_request__init(&alerts);
    alerts.run = resume_info(&rig, run_id).run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &alerts;
    rig_ask(&rig, &request, &message);
    const Baro__AlertsReply *reply = message.wire.envelope->alerts_reply;
    uint32_t n = 0;
    for (size_t i = 0; i < reply->n_alerts; i++) {
        assert_int_equal(reply->alerts[i]->run, alerts.run);
        assert_true(reply->alerts[i]->step < before);
        assert_int_equal(reply->alerts[i]->thing, rig_thing(&rig, alerts.run, "loss"));
        n += strcmp(reply->alerts[i]->kind, "nonfinite") == 0;
    }
    link_message_release(&message);
    return n;
}

static void alerts_before_the_branch_belong_to_it_too(void **state)
{
    struct pusher first = resume_open(&rig, 1, &(struct resume_opening){.run_id = "l"});
    resume_push(&first, 0, 20, 1);
    pusher_scalar(&first, 1, 20, (double)NAN);
    resume_push(&first, 21, 200, 1);
    pusher_scalar(&first, 1, 200, (double)NAN);
    resume_push(
        &first, 201, 204, 1); /* a step is judged when the second one after it has begun */
    pusher_flush(&first);
    pusher_finish(&first);
    assert_int_equal(count_alerts("l", 201), 2);
    const struct resume_opening branch = {
        .run_id = "l", .resume = BARO_RESUME_BRANCH, .resume_step = 100, .at_s = 60};
    resume_train(&rig, 2, &branch, 100, 110, 2);
    assert_int_equal(count_alerts("l", 100), 1);
    assert_true(resume_info(&rig, "l").n_alerts < resume_info(&rig, "l~1").n_alerts);
    assert_int_equal(count_alerts("l~1", 201), 2);
    restart();
    assert_int_equal(count_alerts("l", 100), 1);
}

/* ---- who belongs together ---- */

static void ranks_of_one_start_land_in_one_branch(void **state)
{
    for (uint32_t rank = 0; rank < 3; rank++) {
        resume_train(&rig, 1 + (int)rank,
            &(struct resume_opening){
                .run_id = "m", .rank = rank, .n_ranks = 3, .at_s = rank},
            0, 10, 1);
    }
    /* They come in any order, seconds apart, the clock of one a little behind. */
    static const uint32_t order[3] = {2, 0, 1};
    static const int64_t at_s[3] = {100, 117, 95};
    for (int i = 0; i < 3; i++) {
        resume_train(&rig, 11 + i,
            &(struct resume_opening){.run_id = "m",
                .resume = BARO_RESUME_BRANCH,
                .resume_step = -1,
                .rank = order[i],
                .n_ranks = 3,
                .at_s = at_s[i]},
            i == 1 ? 4 : 5, 8, 2);
    }
    assert_int_equal(resume_info(&rig, "m~2").run, 0);
    assert_int_equal(resume_info(&rig, "m").n_streams, 3);
    assert_int_equal(resume_info(&rig, "m~1").n_branches, 1);
    assert_int_equal(resume_info(&rig, "m").branch_step, 4); /* the earliest of the ranks */
    /* The same again later is another start. */
    for (int i = 0; i < 2; i++) {
        resume_train(&rig, 21 + i,
            &(struct resume_opening){.run_id = "m",
                .resume = BARO_RESUME_BRANCH,
                .resume_step = -1,
                .rank = order[i],
                .n_ranks = 3,
                .at_s = 200 + at_s[i]},
            6, 9, 3);
    }
    assert_int_equal(resume_info(&rig, "m~3").run, 0);
    assert_int_equal(resume_info(&rig, "m~2").n_branches, 1);
    assert_int_equal(resume_info(&rig, "m").n_streams, 2);
}

static void another_job_of_the_launcher_is_another_branch(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "n"}, 0, 10, 1);
    struct resume_opening branch = {.run_id = "n",
        .resume = BARO_RESUME_BRANCH,
        .resume_step = 5,
        .n_ranks = 2,
        .at_s = 10,
        .job = "job 1"};
    resume_train(&rig, 2, &branch, 5, 7, 2); /* its rank 1 never got here */
    branch.job = "job 2";
    branch.at_s = 20;
    branch.rank = 1;
    resume_train(&rig, 3, &branch, 5, 7, 3);
    assert_int_equal(resume_info(&rig, "n~2").n_branches, 1);
    assert_int_equal(resume_info(&rig, "n").n_streams, 1);
}

static void a_start_that_failed_leaves_its_branch_to_the_next(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "v"}, 0, 10, 1);
    for (int i = 0; i < 3; i++) { /* each says how it ended before its first reading */
        struct pusher failed = resume_open(&rig, 2 + i,
            &(struct resume_opening){.run_id = "v",
                .resume = BARO_RESUME_BRANCH,
                .resume_step = -1,
                .at_s = INT64_C(3600) * (i + 1)});
        const double end = READING_END_FAILED;
        pusher_record(&failed, READING_STATUS, 0, 0, &end, sizeof end);
        pusher_flush(&failed);
        pusher_finish(&failed);
    }
    resume_train(&rig, 5,
        &(struct resume_opening){
            .run_id = "v", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 20000},
        5, 7, 2);
    assert_int_equal(resume_info(&rig, "v~2").run, 0);
    assert_int_equal(resume_info(&rig, "v").n_streams, 4);
    assert_int_equal(resume_info(&rig, "v").branch_step, 5);
}

static void a_client_that_comes_again_does_not_branch_again(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "o"}, 0, 10, 1);
    struct pusher second = resume_open(&rig, 2,
        &(struct resume_opening){
            .run_id = "o", .resume = BARO_RESUME_BRANCH, .resume_step = 5, .at_s = 60});
    resume_push(&second, 5, 8, 2);
    restart();
    pusher_reconnect(&second, &rig);
    assert_int_equal(pusher_hello(&second), 3);
    resume_push(&second, 8, 10, 2);
    second.is_recovery = true; /* and its ring is read after its end */
    pusher_reconnect(&second, &rig);
    assert_int_equal(pusher_hello(&second), 5);
    assert_int_equal(resume_info(&rig, "o~2").run, 0);
    const struct resume_points points = resume_points(&rig, "o", "loss");
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 5, 1), 5, 10, 2), points.n);
    pusher_finish(&second);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_branch_has_its_parents_steps_and_then_its_own),
        CASE(charts_of_a_branch_are_drawn_over_both),
        CASE(what_a_branch_inherits_outlives_a_restart),
        CASE(a_branch_without_a_step_begins_with_its_first_reading),
        CASE(overwriting_marks_the_former_run_and_keeps_it),
        CASE(branches_of_branches_reach_back_to_the_first),
        CASE(a_branch_before_the_parents_first_step_inherits_nothing),
        CASE(a_branch_beyond_the_parents_last_step_leaves_a_gap),
        CASE(a_branch_of_a_run_that_is_not_there_is_a_new_run),
        CASE(series_that_a_branch_never_pushed_are_there_by_inheritance),
        CASE(alerts_before_the_branch_belong_to_it_too),
        CASE(ranks_of_one_start_land_in_one_branch),
        CASE(another_job_of_the_launcher_is_another_branch),
        CASE(a_start_that_failed_leaves_its_branch_to_the_next),
        CASE(a_client_that_comes_again_does_not_branch_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
