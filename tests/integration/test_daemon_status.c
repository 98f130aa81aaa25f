/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/testing.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/push/baro.h"
#include "tests/integration/daemon_rig.h"

/* Runs end in many ways: politely, by failing, by SIGKILL. With the real libbaro in a child. */

static int set_up(void **state)
{
    static struct rig rig;
    rig_start(&rig);
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_finish(*state);
    return 0;
}

enum child_end { CLOSES, KILLED_AT_ONCE, KILLED_LATER };

static void ring_dir(const struct rig *rig, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/rings", rig->dir);
}

static void file_path(const char *dir, const char *name, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/%s", dir, name);
}

static void make_file(const char *dir, const char *name)
{
    char path[256];
    file_path(dir, name, path, sizeof path);
    baro_autofclose FILE *file = fopen(path, "we");
    (void)file;
}

static void wait_for_file(const char *dir, const char *name)
{
    char path[256];
    file_path(dir, name, path, sizeof path);
    for (int i = 0; i < 4000 && access(path, F_OK) != 0; i++) {
        (void)usleep(5000);
    }
}

/* The arguments of a training process: this program again, so that it begins afresh. */
enum { ARG_TRAIN = 1, ARG_DIR, ARG_ENDPOINT, ARG_RUN, ARG_STEPS, ARG_END, N_ARGS };

/* Push n steps, then end as told. KILLED_LATER: wait for the file "go", push as many again, make
 * the file "done" and wait to be killed. */
static int train_here(char **argv)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int64_t n_steps = strtoll(argv[ARG_STEPS], NULL, 10);
    enum child_end end = (enum child_end)strtol(argv[ARG_END], NULL, 10);
    char rings[256];
    file_path(argv[ARG_DIR], "rings", rings, sizeof rings);
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.run_id = argv[ARG_RUN];
    options.endpoint = argv[ARG_ENDPOINT];
    options.ring_dir = rings;
    options.ring_bytes = 8 << 20;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        return 3;
    }
    for (int64_t step = 0; step < n_steps; step++) {
        (void)baro_step(run, step);
        (void)baro_scalar(run, "loss", (double)step);
        struct baro_stats stats = {0};
        while (step == n_steps / 2 && stats.n_acked == 0) {
            (void)baro_stats(run, &stats); /* until the daemon has met us */
            (void)usleep(1000);
        }
    }
    if (end == CLOSES) {
        return baro_close(run, 10000) == 0 ? 0 : 4;
    }
    if (end == KILLED_LATER) {
        wait_for_file(argv[ARG_DIR], "go");
        for (int64_t step = n_steps; step < 2 * n_steps; step++) {
            (void)baro_step(run, step);
            (void)baro_scalar(run, "loss", (double)step);
        }
        make_file(argv[ARG_DIR], "done");
        (void)pause();
    }
    (void)raise(SIGKILL);
    return 5;
}

static pid_t train(
    const struct rig *rig, const char *run_id, int64_t n_steps, enum child_end end)
{
    char rings[256];
    char steps[32];
    char ending[32];
    ring_dir(rig, rings, sizeof rings);
    (void)mkdir(rings, 0700);
    (void)snprintf(steps, sizeof steps, "%lld", (long long)n_steps);
    (void)snprintf(ending, sizeof ending, "%d", (int)end);
    const char *argv[N_ARGS + 1] = {
        "train", "train", rig->dir, rig->endpoint, run_id, steps, ending, NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static size_t count_rings(const struct rig *rig)
{
    char rings[256];
    ring_dir(rig, rings, sizeof rings);
    DIR *folder = opendir(rings);
    assert_non_null(folder);
    size_t n = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        n += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(folder);
    return n;
}

static void expect_losses(struct rig *rig, const char *run_id, int64_t n_steps)
{
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, run_id, &reply);
    uint32_t run = info->run;
    assert_int_equal(info->last_step, n_steps - 1);
    assert_true(info->last_loss == (double)(n_steps - 1));
    link_message_release(&reply);
    baro_autofree double *values = NULL;
    baro_autofree int64_t *steps = NULL;
    assert_int_equal(
        rig_points(rig, run, rig_thing(rig, run, "loss"), &values, &steps), n_steps);
    for (int64_t i = 0; i < n_steps; i++) {
        assert_int_equal(steps[i], i);
        assert_true(values[i] == (double)i);
    }
}

static void a_run_that_closes_is_finished(void **state)
{
    struct rig *rig = *state;
    pid_t pid = train(rig, "polite", 500, CLOSES);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rig_wait_status(rig, "polite", BARO__RUN_STATUS__RUN_FINISHED);
    expect_losses(rig, "polite", 500);
}

static void the_last_steps_before_sigkill_appear_by_themselves(void **state)
{
    struct rig *rig = *state;
    enum { STEPS = 20000 };
    pid_t pid = train(rig, "killed", STEPS, KILLED_AT_ONCE);
    /* not waited for: the process stays listed as a zombie, and must not look alive */
    rig_wait_status(rig, "killed", BARO__RUN_STATUS__RUN_KILLED);
    expect_losses(rig, "killed", STEPS);
    assert_int_equal(count_rings(rig), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_trainer_killed_while_the_daemon_is_dead_is_read_at_its_start(void **state)
{
    struct rig *rig = *state;
    pid_t pid = train(rig, "both", 3000, KILLED_LATER);
    rig_wait_records(rig, "both", 1);
    rig_kill(rig);
    make_file(rig->dir, "go");
    wait_for_file(rig->dir, "done");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rig_restart(rig);
    rig_wait_status(rig, "both", BARO__RUN_STATUS__RUN_KILLED);
    expect_losses(rig, "both", 6000);
    assert_int_equal(count_rings(rig), 0);
}

static void a_trainer_goes_on_through_a_restart_of_the_daemon(void **state)
{
    struct rig *rig = *state;
    pid_t pid = train(rig, "steady", 3000, KILLED_LATER);
    rig_wait_records(rig, "steady", 1);
    rig_kill(rig);
    rig_restart(rig);
    make_file(rig->dir, "go");
    rig_wait_status(rig, "steady", BARO__RUN_STATUS__RUN_RUNNING);
    rig_wait_records(rig, "steady", 11999); /* a step and a loss each, but the first step */
    expect_losses(rig, "steady", 6000);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rig_wait_status(rig, "steady", BARO__RUN_STATUS__RUN_KILLED);
}

static void a_stopped_trainer_is_stalled_until_it_goes_on(void **state)
{
    struct rig *rig = *state;
    pid_t pid = train(rig, "stopped", 100, KILLED_LATER);
    rig_wait_status(rig, "stopped", BARO__RUN_STATUS__RUN_RUNNING);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    rig_wait_status(rig, "stopped", BARO__RUN_STATUS__RUN_STALLED);
    assert_int_equal(kill(pid, SIGCONT), 0);
    rig_wait_status(rig, "stopped", BARO__RUN_STATUS__RUN_RUNNING);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_gravest_rank_speaks_for_the_run(void **state)
{
    struct rig *rig = *state;
    struct pusher ranks[2];
    for (int i = 0; i < 2; i++) {
        pusher_init(&ranks[i], rig, "ranks", 1 + i);
        ranks[i].rank = (uint32_t)i;
        pusher_declare_scalar(&ranks[i], 1, "loss");
        assert_int_equal(pusher_hello(&ranks[i]), 0);
        pusher_scalar(&ranks[i], 1, 0, i);
        pusher_flush(&ranks[i]);
    }
    double end = READING_END_FINISHED;
    pusher_record(&ranks[0], READING_STATUS, 0, 1, &end, sizeof end);
    pusher_flush(&ranks[0]);
    rig_wait_status(rig, "ranks", BARO__RUN_STATUS__RUN_RUNNING); /* rank 1 goes on */
    end = READING_END_FAILED;
    pusher_record(&ranks[1], READING_STATUS, 0, 1, &end, sizeof end);
    pusher_flush(&ranks[1]);
    rig_wait_status(rig, "ranks", BARO__RUN_STATUS__RUN_FAILED);
    /* Rank 1 is started again and finishes: its newest process speaks for it. */
    struct pusher again;
    pusher_init(&again, rig, "ranks", 3);
    again.rank = 1;
    pusher_declare_scalar(&again, 1, "loss");
    assert_int_equal(pusher_hello(&again), 0);
    rig_wait_status(rig, "ranks", BARO__RUN_STATUS__RUN_RUNNING);
    end = READING_END_FINISHED;
    pusher_record(&again, READING_STATUS, 0, 2, &end, sizeof end);
    pusher_flush(&again);
    rig_wait_status(rig, "ranks", BARO__RUN_STATUS__RUN_FINISHED);
    pusher_finish(&ranks[0]);
    pusher_finish(&ranks[1]);
    pusher_finish(&again);
}

static void the_loss_of_the_lowest_rank_is_the_runs(void **state)
{
    struct rig *rig = *state;
    for (int rank = 1; rank >= 0; rank--) {
        struct pusher pusher;
        pusher_init(&pusher, rig, "order", 1 + rank);
        pusher.rank = (uint32_t)rank;
        pusher_declare_scalar(&pusher, 1, "train/loss");
        assert_int_equal(pusher_hello(&pusher), 0);
        pusher_scalar(&pusher, 1, 0, 10 + rank);
        pusher_flush(&pusher);
        pusher_finish(&pusher);
    }
    struct link_message reply = {0};
    assert_true(rig_run_info(rig, "order", &reply)->last_loss == 10);
    link_message_release(&reply);
}

static void a_step_that_had_only_begun_at_the_end_does_not_count(void **state)
{
    struct rig *rig = *state;
    const double end = READING_END_TAKEN_BACK;
    const int64_t n_steps[] = {4, 3}; /* rank 0 has ended, rank 1 has not; it has, too */
    struct pusher ranks[2];
    for (int i = 0; i < 2; i++) {
        pusher_init(&ranks[i], rig, "begun", 1 + i);
        ranks[i].rank = (uint32_t)i;
        pusher_declare_scalar(&ranks[i], 1, "loss");
        assert_int_equal(pusher_hello(&ranks[i]), 0);
        for (int64_t step = 0; step < 4; step++) {
            pusher_scalar(&ranks[i], 1, step, 1);
        }
        pusher_flush(&ranks[i]);
    }
    for (int i = 0; i < 2; i++) {
        pusher_record(&ranks[i], READING_STATUS, 0, 2, &end, sizeof end);
        pusher_flush(&ranks[i]);
        struct link_message reply = {0};
        assert_int_equal(rig_run_info(rig, "begun", &reply)->n_steps, n_steps[i]);
        link_message_release(&reply);
    }
    rig_wait_status(rig, "begun", BARO__RUN_STATUS__RUN_FINISHED);
    pusher_finish(&ranks[0]);
    pusher_finish(&ranks[1]);
}

static void what_comes_late_from_an_earlier_process_does_not_speak_for_the_run(void **state)
{
    struct rig *rig = *state;
    struct pusher newer;
    struct pusher older;
    pusher_init_at(&newer, rig, "resumed", 1, 2000);
    pusher_declare_scalar(&newer, 1, "loss");
    assert_int_equal(pusher_hello(&newer), 0);
    for (int64_t step = 60; step < 160; step++) {
        pusher_scalar(&newer, 1, step,
            0.9 - 0.004 * (double)(step - 60) + 0.001 * (double)(step % 7));
    }
    double end = READING_END_FINISHED;
    pusher_record(&newer, READING_STATUS, 0, 159, &end, sizeof end);
    pusher_flush(&newer);
    pusher_init_at(&older, rig, "resumed", 2, 1000);
    pusher_declare_scalar(&older, 1, "loss");
    assert_int_equal(pusher_hello(&older), 0);
    pusher_scalar(&older, 1, 0, 100); /* far above what is usual at the end */
    pusher_scalar(&older, 1, 1, 90);
    pusher_flush(&older);
    for (int i = 0; i < 2; i++) {
        struct link_message reply = {0};
        const Baro__RunInfo *info = rig_run_info(rig, "resumed", &reply);
        assert_int_equal(info->status, BARO__RUN_STATUS__RUN_FINISHED);
        assert_true(info->last_loss < 1);
        assert_int_equal(info->first_step, 0);
        assert_int_equal(info->last_step, 159);
        assert_int_equal(info->n_alerts, 0);
        link_message_release(&reply);
        if (i == 0) {
            rig_kill(rig);
            rig_restart(rig);
        }
    }
    pusher_finish(&newer);
    pusher_finish(&older);
}

static void a_ring_left_behind_after_the_goodbye_is_cleared_away_at_the_next_start(
    void **state)
{
    struct rig *rig = *state;
    char rings[256];
    char copy[1024];
    ring_dir(rig, rings, sizeof rings);
    pid_t pid = train(rig, "left", 3000, KILLED_LATER);
    rig_wait_records(rig, "left", 1);
    rig_kill(rig);
    make_file(rig->dir, "go");
    wait_for_file(rig->dir, "done");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    /* Keep a copy of the ring, let the daemon read and delete it, and put the copy back. */
    (void)snprintf(copy, sizeof copy, "cp -a %s %s.copy", rings, rings);
    assert_int_equal(system(copy), 0);
    rig_restart(rig);
    rig_wait_status(rig, "left", BARO__RUN_STATUS__RUN_KILLED);
    expect_losses(rig, "left", 6000);
    rig_kill(rig);
    (void)snprintf(copy, sizeof copy, "rm -r %s && mv %s.copy %s", rings, rings, rings);
    assert_int_equal(system(copy), 0);
    assert_int_equal(count_rings(rig), 1);
    assert_int_equal(setenv("BARO_RING_DIR", rings, 1), 0);
    rig_restart(rig);
    assert_int_equal(unsetenv("BARO_RING_DIR"), 0);
    for (int i = 0; i < 2000 && count_rings(rig) > 0; i++) {
        (void)usleep(5000);
    }
    assert_int_equal(count_rings(rig), 0);
    expect_losses(rig, "left", 6000);
}

static void a_run_that_says_it_failed_is_failed_with_its_reason(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "bad", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    rig_wait_status(rig, "bad", BARO__RUN_STATUS__RUN_RUNNING);
    uint8_t payload[8 + 11];
    double end = READING_END_FAILED;
    memcpy(payload, &end, 8);
    memcpy(payload + 8, "ValueError!", 11);
    pusher_record(&pusher, READING_STATUS, 0, 3, payload, sizeof payload);
    pusher_flush(&pusher);
    rig_wait_status(rig, "bad", BARO__RUN_STATUS__RUN_FAILED);
    rig_kill(rig);
    rig_restart(rig);
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, "bad", &reply);
    assert_int_equal(info->status, BARO__RUN_STATUS__RUN_FAILED);
    assert_string_equal(info->status_text, "ValueError!");
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_ring_path_that_is_not_the_streams_ring_is_left_alone(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "liar", 1);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/precious.ring", rig->dir);
    baro_autofclose FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("do not touch\n", file) >= 0);
    (void)fflush(file);
    (void)snprintf(pusher.ring_path, sizeof pusher.ring_path, "%s", path);
    baro_boot_id(pusher.boot_id);
    pusher.pid = 0x7ffffff0; /* no such process */
    pusher.process_start = 1;
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    rig_wait_status(rig, "liar", BARO__RUN_STATUS__RUN_KILLED);
    assert_int_equal(access(path, F_OK), 0);
    /* It speaks: whatever its process id means here, it is alive. */
    pusher_scalar(&pusher, 1, 0, 1);
    pusher_flush(&pusher);
    rig_wait_status(rig, "liar", BARO__RUN_STATUS__RUN_RUNNING);
    pusher_finish(&pusher);
}

static void a_shutdown_request_is_answered_after_everything_is_safe(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int i = 0; i < 100; i++) {
        pusher_scalar(&pusher, 1, i, i);
    }
    pusher_send(&pusher);
    rig_wait_status(rig, "a", BARO__RUN_STATUS__RUN_RUNNING);
    Baro__ShutdownRequest shutdown_request;
    baro__shutdown_request__init(&shutdown_request);
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SHUTDOWN_REQUEST;
    request.shutdown_request = &shutdown_request;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    assert_int_equal(reply.wire.envelope->body_case, BARO__ENVELOPE__BODY_SHUTDOWN_REPLY);
    link_message_release(&reply);
    int status = -1;
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    assert_int_equal(status, 0);
    rig_restart(rig);
    rig_wait_records(rig, "a", 0);
    pusher_reconnect(&pusher, rig);
    int64_t last = pusher_hello(&pusher);
    assert_true(last == 0 || last == 100); /* all of the batch, or it was not taken yet */
    pusher_flush(&pusher);
    rig_wait_records(rig, "a", 100);
    pusher_finish(&pusher);
}

int main(int argc, char **argv)
{
    if (argc == N_ARGS && strcmp(argv[ARG_TRAIN], "train") == 0) {
        return train_here(argv);
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_run_that_closes_is_finished),
        CASE(the_last_steps_before_sigkill_appear_by_themselves),
        CASE(a_trainer_killed_while_the_daemon_is_dead_is_read_at_its_start),
        CASE(a_trainer_goes_on_through_a_restart_of_the_daemon),
        CASE(a_stopped_trainer_is_stalled_until_it_goes_on),
        CASE(the_gravest_rank_speaks_for_the_run),
        CASE(the_loss_of_the_lowest_rank_is_the_runs),
        CASE(a_step_that_had_only_begun_at_the_end_does_not_count),
        CASE(what_comes_late_from_an_earlier_process_does_not_speak_for_the_run),
        CASE(a_ring_left_behind_after_the_goodbye_is_cleared_away_at_the_next_start),
        CASE(a_run_that_says_it_failed_is_failed_with_its_reason),
        CASE(a_ring_path_that_is_not_the_streams_ring_is_left_alone),
        CASE(a_shutdown_request_is_answered_after_everything_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
