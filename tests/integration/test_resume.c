/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when a run is opened that exists already and goes on: append, epochs, limits. */
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/push/baro.h"
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

/* ---- append ---- */

static void repeated_steps_are_kept_counted_and_told(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "a"}, 0, 100, 1);
    struct pusher second =
        resume_open(&rig, 2, &(struct resume_opening){.run_id = "a", .at_s = 60});
    resume_push(&second, 80, 120, 2);
    const struct resume_points points = resume_points(&rig, "a", "loss");
    assert_int_equal(points.n, 140);
    assert_int_equal(
        resume_expect(&points, resume_expect(&points, 0, 0, 100, 1), 80, 120, 2), 140);
    assert_int_equal(resume_repeats(&rig, "a", "loss"), 20);
    resume_wait_event(
        &rig, "a", "resumed at step 80 (append): 20 steps will be seen twice, up to 99");
    assert_true(rig_log_has(&rig, "20 steps will be seen twice"));
    restart(); /* the count is kept */
    assert_int_equal(resume_repeats(&rig, "a", "loss"), 20);
    pusher_finish(&second);
}

static void a_resume_behind_the_last_step_is_told_and_repeats_nothing(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "b"}, 0, 10, 1);
    resume_train(&rig, 2, &(struct resume_opening){.run_id = "b", .at_s = 60}, 10, 20, 2);
    resume_wait_event(&rig, "b", "resumed at step 10 (append), after step 9");
    assert_int_equal(resume_repeats(&rig, "b", "loss"), 0);
    assert_int_equal(resume_info(&rig, "b").n_steps, 20);
    assert_int_equal(resume_info(&rig, "b").parent, 0);
}

static pthread_mutex_t hearing = PTHREAD_MUTEX_INITIALIZER;
static char heard[512]; /* under hearing, as long as a run is open */

static void hear(const char *text, void *payload)
{
    (void)pthread_mutex_lock(&hearing);
    (void)snprintf(heard, sizeof heard, "%s", text);
    (void)pthread_mutex_unlock(&hearing);
}

static bool has_heard(const char *part)
{
    (void)pthread_mutex_lock(&hearing);
    bool found = strstr(heard, part) != NULL;
    (void)pthread_mutex_unlock(&hearing);
    return found;
}

static void the_client_hears_how_its_run_was_resumed(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        struct baro_options options = BARO_OPTIONS_INIT;
        options.run_id = "w";
        options.endpoint = rig.endpoint;
        options.ring_dir = rig.dir;
        options.ring_bytes = 2 << 20;
        options.on_message = hear;
        struct baro_run *run = baro_open(&options, NULL);
        assert_non_null(run);
        uint64_t until = baro_now_ns() + UINT64_C(20000000000);
        do {
            (void)baro_step(run, 3);
            (void)baro_scalar(run, "loss", 1);
            const struct timespec pause = {.tv_nsec = 5000000};
            (void)nanosleep(&pause, NULL);
        } while (turn == 1 && !has_heard("will be seen twice") && baro_now_ns() < until);
        assert_int_equal(baro_close(run, 20000), 0);
    }
    assert_string_equal(
        heard, "resumed at step 3 (append): 1 step will be seen twice, up to 3");
}

/* ---- who belongs together ---- */

static void a_ring_that_comes_late_joins_the_run_it_was_recorded_for(void **state)
{
    resume_train(&rig, 1, &(struct resume_opening){.run_id = "p"}, 0, 10, 1);
    const struct resume_opening branch = {
        .run_id = "p", .resume = BARO_RESUME_BRANCH, .resume_step = 5, .at_s = 600};
    resume_train(&rig, 2, &branch, 5, 8, 2);
    const struct resume_opening late = {.run_id = "p", .at_s = 300, .is_recovery = true};
    resume_train(&rig, 3, &late, 10, 12, 3);
    const struct resume_points kept = resume_points(&rig, "p~1", "loss");
    assert_int_equal(
        resume_expect(&kept, resume_expect(&kept, 0, 0, 10, 1), 10, 12, 3), kept.n);
    assert_int_equal(resume_points(&rig, "p", "loss").n, 8);
    /* A branch that was recorded before does not take the name of the one that is current. */
    const struct resume_opening old_branch = {.run_id = "p",
        .resume = BARO_RESUME_BRANCH,
        .resume_step = 3,
        .at_s = 400,
        .n_ranks = 2,
        .is_recovery = true};
    resume_train(&rig, 4, &old_branch, 3, 6, 4);
    assert_int_equal(resume_points(&rig, "p", "loss").n, 8);
    assert_int_equal(resume_info(&rig, "p~2").parent, resume_info(&rig, "p~1").run);
    const struct resume_points other = resume_points(&rig, "p~2", "loss");
    assert_int_equal(
        resume_expect(&other, resume_expect(&other, 0, 0, 3, 1), 3, 6, 4), other.n);
}

static void two_living_processes_of_one_rank_are_told(void **state)
{
    struct pusher first = resume_open(&rig, 1, &(struct resume_opening){.run_id = "q"});
    resume_push(&first, 0, 10, 1);
    struct pusher second =
        resume_open(&rig, 2, &(struct resume_opening){.run_id = "q", .at_s = 1});
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    for (int64_t step = 10; !resume_has_event(&rig, "q", "two processes push as rank 0");
         step++) {
        assert_true(baro_now_ns() < until);
        resume_push(&first, step, step + 1, 1);
        resume_push(&second, step, step + 1, 2);
        const struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
    }
    pusher_finish(&first);
    pusher_finish(&second);
}

/* ---- epochs ---- */

static void another_width_is_another_epoch_and_is_told(void **state)
{
    struct link_message message = {0};
    struct pusher pusher = resume_open(&rig, 1, &(struct resume_opening){.run_id = "r"});
    pusher_declare_tensor(&pusher, 2, "fc1", BARO_WEIGHT, 64, 8);
    pusher_declare_tensor(&pusher, 3, "fc1", BARO_WEIGHT, 128, 8);
    pusher_declare_tensor(&pusher, 4, "fc1", BARO_ACT, 64, 8);
    pusher_declare_tensor(&pusher, 5, "fc1", BARO_ACT, 20, 8);
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int64_t step = 0; step < 10; step++) {
        pusher_summary(&pusher, step < 5 ? 2 : 3, step, 1.0, 0, 0, -1, -1);
        pusher_summary(&pusher, step % 2 == 0 ? 4 : 5, step, 1.0, 0, 0, -1, -1);
    }
    pusher_summary(&pusher, 2, 10, 1.0, 0, 0, -1, -1); /* as it was before: epoch 1 again */
    pusher_flush(&pusher);
    for (int i = 0; i < 2; i++) {
        uint32_t run = resume_info(&rig, "r").run;
        const Baro__ThingInfo *thing = resume_thing(&rig, run, "fc1", 2, &message);
        assert_non_null(thing);
        assert_int_equal(thing->declare->role, BARO_WEIGHT);
        assert_int_equal(thing->declare->shape[0], 128);
        assert_int_equal(thing->n_points, 5);
        assert_int_equal(thing->first_step, 5);
        link_message_release(&message);
        assert_null(resume_thing(&rig, run, "fc1", 3, &message));
        link_message_release(&message);
        restart(); /* epochs are kept */
    }
    resume_wait_event(
        &rig, "r", "'fc1:weight' is another from here on: [64, 8] f32 became [128, 8] f32");
    assert_false(resume_has_event(&rig, "r", "fc1:act'")); /* the batch alone was another */
    pusher_finish(&pusher);
}

/* ---- limits ---- */

static void the_largest_step_works_in_every_way_of_resuming(void **state)
{
    struct pusher first = resume_open(&rig, 1, &(struct resume_opening){.run_id = "s"});
    pusher_scalar(&first, 1, 0, 1);
    pusher_scalar(&first, 1, INT64_MAX - 1, 1);
    pusher_scalar(&first, 1, INT64_MAX, 1);
    pusher_flush(&first);
    pusher_finish(&first);
    assert_int_equal(resume_info(&rig, "s").last_step, INT64_MAX);
    assert_int_equal(resume_info(&rig, "s").n_steps, INT64_MAX);
    resume_train(&rig, 2, &(struct resume_opening){.run_id = "s", .at_s = 60}, 5, 6, 1);
    resume_wait_event(&rig, "s", "9223372036854775803 steps will be seen twice");
    struct pusher third = resume_open(&rig, 3,
        &(struct resume_opening){
            .run_id = "s", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 120});
    pusher_scalar(&third, 1, INT64_MAX, 2);
    pusher_flush(&third);
    pusher_finish(&third);
    const struct resume_points points = resume_points(&rig, "s", "loss");
    assert_int_equal(points.n, 4);
    assert_int_equal(points.steps[3], INT64_MAX);
    assert_true(points.values[3] == 2);
}

static void a_way_of_resuming_that_is_none_is_refused(void **state)
{
    struct pusher pusher;
    Baro__RunDescription description;
    baro__run_description__init(&description);
    char id[] = "t";
    description.run_id = id;
    description.resume = 3;
    pusher_init_described(&pusher, &rig, 1, &description);
    assert_int_equal(pusher_hello(&pusher), -1);
    assert_int_equal(pusher.refusal, BARO_EINVAL);
    assert_int_equal(resume_info(&rig, "t").run, 0);
    pusher_finish(&pusher);
}

static void names_beyond_the_limit_are_refused_with_a_sentence(void **state)
{
    struct pusher pusher = resume_open(&rig, 1, &(struct resume_opening){.run_id = "u"});
    pusher_declare_scalar(&pusher, 1 << 17, "one too many");
    assert_int_equal(pusher_hello(&pusher), 0);
    resume_push(&pusher, 0, 10, 1); /* those of accepted names go on */
    assert_int_equal(resume_points(&rig, "u", "loss").n, 10);
    resume_wait_event(&rig, "u", "a process declares at most 131071 names");
    assert_true(rig_log_has(&rig, "a process declares at most 131071 names"));
    pusher_finish(&pusher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(repeated_steps_are_kept_counted_and_told),
        CASE(a_resume_behind_the_last_step_is_told_and_repeats_nothing),
        CASE(the_client_hears_how_its_run_was_resumed),
        CASE(a_ring_that_comes_late_joins_the_run_it_was_recorded_for),
        CASE(two_living_processes_of_one_rank_are_told),
        CASE(another_width_is_another_epoch_and_is_told),
        CASE(the_largest_step_works_in_every_way_of_resuming),
        CASE(a_way_of_resuming_that_is_none_is_refused),
        CASE(names_beyond_the_limit_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
