/* SPDX-License-Identifier: Apache-2.0 */
/* libbaro against daemons that are late, deaf, slow, forgetful, restarted or absent. */
#include "tests/testing.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/push/baro.h"
#include "lib/push/sender.h"
#include "tests/integration/fake_daemon.h"

static char dir[64];
static struct fake_daemon *fake;
static char said[8][256];
static atomic_int n_said;

static void hear(const char *text, void *payload)
{
    int i = atomic_load(&n_said);
    if (i < 8) {
        (void)snprintf(said[i], sizeof said[i], "%s", text);
    }
    atomic_store(&n_said, i + 1); /* only the sender thread speaks */
}

static int set_up(void **state)
{
    (void)snprintf(dir, sizeof dir, "/tmp/baro-push-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    atomic_store(&n_said, 0);
    memset(said, 0, sizeof said);
    fake = fake_create(dir);
    return 0;
}

static int clean(void **state)
{
    char command[128];
    fake_destroy(fake);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static struct baro_run *open_run(uint64_t ring_bytes, const char *mode)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "test";
    options.run_id = "run-1";
    options.endpoint = fake->endpoint;
    options.ring_dir = dir;
    options.ring_bytes = ring_bytes;
    options.mode = mode;
    options.on_message = hear;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    (void)baro_step(run, 0); /* the first one leaves no record: all that are counted do */
    return run;
}

/* Push steps with a scalar each. */
static void push_steps(struct baro_run *run, int64_t from, int64_t to)
{
    for (int64_t step = from; step < to; step++) {
        assert_int_equal(baro_step(run, step), 0);
        assert_int_equal(baro_scalar(run, "loss", (double)step), 0);
    }
}

static uint64_t n_acked(struct baro_run *run)
{
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    return stats.n_acked;
}

static void wait_acked(struct baro_run *run, uint64_t seq)
{
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    while (n_acked(run) < seq) {
        assert_true(baro_now_ns() < deadline);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

static void wait_said(const char *word)
{
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    while (atomic_load(&n_said) == 0) {
        assert_true(baro_now_ns() < deadline);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    if (strstr(said[0], word) == NULL) {
        fail_msg("'%s' does not say '%s'", said[0], word);
    }
}

static void all_that_is_pushed_arrives_once_and_the_ring_goes(void **state)
{
    fake_start(fake, FAKE_ACK);
    struct baro_run *run = open_run(0, NULL);
    char path[512];
    (void)snprintf(path, sizeof path, "%s", baro_ring_path(run));
    assert_int_equal(access(path, F_OK), 0);
    float values[12] = {1, 2, 3};
    int64_t shape[2] = {4, 3};
    const struct baro_tensor tensor = {.name = "net.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = values};
    push_steps(run, 0, 2000);
    assert_int_equal(baro_tensor(run, &tensor), 0);
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(fake->n_bad, 0);
    assert_int_equal(fake->n_records, 4003);
    assert_int_equal(fake_missing(fake, 4003), 0);
    assert_int_equal(fake->n_by_kind[READING_STEP], 2000);
    assert_int_equal(fake->n_by_kind[READING_SCALAR], 2000);
    assert_int_equal(fake->n_by_kind[READING_SUMMARY], 1);
    assert_int_equal(fake->n_by_kind[READING_UNITS], 1);
    assert_int_equal(fake->n_by_kind[READING_STATUS], 1);
    assert_true(fake->status == READING_END_FINISHED);
    assert_int_equal(fake->n_declared, 2);
    assert_string_equal(fake->first_name, "loss");
    assert_string_equal(fake->run_id, "run-1");
    assert_int_equal(fake->n_repeats, 0);
}

static void a_daemon_that_comes_late_gets_all_of_it(void **state)
{
    struct baro_run *run = open_run(0, NULL);
    push_steps(run, 0, 500);
    fake_start(fake, FAKE_ACK);
    push_steps(run, 500, 600);
    assert_int_equal(baro_fail(run, "loss is NaN"), 0);
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
    assert_int_equal(fake_missing(fake, 1201), 0);
    assert_int_equal(fake->n_bad, 0);
    assert_true(fake->status == READING_END_FAILED);
    assert_string_equal(fake->status_text, "loss is NaN");
}

static void a_restarted_daemon_gets_what_it_missed(void **state)
{
    struct baro_run *run = open_run(0, NULL);
    fake_start(fake, FAKE_ACK);
    for (int64_t round = 0; round < 4; round++) {
        push_steps(run, round * 1000, round * 1000 + 500);
        fake_wait(fake, &fake->n_records, (uint64_t)round * 2000 + 100);
        fake_stop(fake);
        push_steps(run, round * 1000 + 500, round * 1000 + 1000);
        fake_start(fake, FAKE_ACK);
    }
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
    assert_int_equal(fake_missing(fake, 8001), 0);
    assert_int_equal(fake->n_records, 8001);
    assert_int_equal(fake->n_bad, 0);
    assert_true(fake->n_hellos >= 4);
}

static void what_was_not_acknowledged_is_sent_again(void **state)
{
    struct baro_run *run = open_run(0, NULL);
    fake_start(fake, FAKE_FORGET);
    push_steps(run, 0, 1000);
    fake_wait(fake, &fake->n_hellos, 2); /* the sender's patience ends */
    assert_int_equal(fake_get(fake, &fake->n_records), 0);
    assert_int_equal(n_acked(run), 0);
    atomic_store(&fake->manner, FAKE_ACK);
    assert_int_equal(baro_close(run, 15000), 0);
    fake_stop(fake);
    assert_int_equal(fake_missing(fake, 2001), 0);
    assert_int_equal(fake->n_bad, 0);
}

static void what_was_committed_is_not_sent_again_after_a_welcome(void **state)
{
    struct baro_run *run = open_run(0, NULL);
    fake_start(fake, FAKE_WITHHOLD);
    push_steps(run, 0, 1000);
    fake_wait(fake, &fake->n_records, 2000);
    assert_int_equal(n_acked(run), 0);
    fake_stop(fake);
    fake_start(fake, FAKE_ACK);
    wait_acked(run, 2000);
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
    assert_int_equal(fake->n_repeats, 0);
    assert_int_equal(fake->n_records, 2001);
}

static uint64_t close_ms(struct baro_run *run, int timeout_ms, int expected)
{
    uint64_t start_ns = baro_now_ns();
    assert_int_equal(baro_close(run, timeout_ms), expected);
    return (baro_now_ns() - start_ns) / 1000000;
}

static void close_is_bounded_and_recovery_brings_the_rest(void **state)
{
    const enum fake_manner manners[] = {FAKE_ACK, FAKE_DEAF, FAKE_FORGET};
    for (int i = 0; i < 3; i++) {
        char path[512];
        struct sender_recovery recovery;
        struct baro_err err = {0};
        if (i > 0) {
            fake_start(fake, manners[i]);
        }
        struct baro_run *run = open_run(0, NULL);
        (void)snprintf(path, sizeof path, "%s", baro_ring_path(run));
        push_steps(run, 0, 300);
        assert_int_equal(
            sender_recover(path, fake->endpoint, 100, &recovery, &err), BARO_EBUSY);
        assert_in_range(close_ms(run, 300, BARO_ETIMEOUT), 290, 2500);
        fake_stop(fake);
        assert_int_equal(
            sender_recover(path, fake->endpoint, 100, &recovery, &err), BARO_ETIMEOUT);
        assert_non_null(strstr(err.text, "no daemon answers"));
        assert_int_equal(recovery.n_left, 601);
        fake_start(fake, FAKE_ACK);
        int rc = sender_recover(path, fake->endpoint, 5000, &recovery, &err);
        if (rc != 0) {
            fail_msg("%s", err.text);
        }
        fake_stop(fake);
        assert_string_equal(recovery.run_id, "run-1");
        assert_int_equal(recovery.n_acked, 601);
        assert_int_equal(recovery.n_left, 0);
        assert_int_equal(fake->n_records, 601);
        assert_int_equal(fake_missing(fake, 601), 0);
        assert_true(fake->n_recovery_hellos >= 1);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(fake->n_bad, 0);
        fake_destroy(fake);
        fake = fake_create(dir);
    }
}

static void drops_of_an_overflow_are_told_to_the_record(void **state)
{
    struct baro_run *run = open_run(RINGFILE_MIN_BYTES, NULL);
    push_steps(run, 0, 50000);
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_true(stats.n_dropped > 70000);
    assert_true(
        stats.n_pushed >= 100000); /* and what the client tells of itself each second */
    fake_start(fake, FAKE_ACK);
    assert_int_equal(baro_close(run, 15000), 0);
    fake_stop(fake);
    assert_int_equal(fake->n_bad, 0);
    assert_true(fake->last_scalar == 49999);
    assert_true(fake->told_drops >= stats.n_dropped);
    assert_int_equal(fake->told_drops, fake_missing(fake, fake->last_seq));
}

static void a_slow_daemon_is_told_exactly_what_it_missed(void **state)
{
    fake_start(fake, FAKE_SLOW);
    struct baro_run *run = open_run(RINGFILE_MIN_BYTES, NULL);
    for (int64_t step = 0; step < 100000; step += 1000) {
        push_steps(run, step, step + 1000);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    atomic_store(&fake->manner, FAKE_ACK);
    assert_int_equal(baro_close(run, 20000), 0);
    fake_stop(fake);
    assert_int_equal(fake->n_bad, 0);
    assert_true(fake->last_scalar == 99999);
    assert_int_equal(fake->told_drops, fake_missing(fake, fake->last_seq));
}

static void a_refusal_is_said_and_recording_goes_on(void **state)
{
    fake_start(fake, FAKE_REFUSE);
    struct baro_run *run = open_run(0, NULL);
    push_steps(run, 0, 100);
    wait_said("no room on the disk");
    push_steps(run, 100, 200);
    atomic_store(&fake->manner, FAKE_ACK);
    assert_int_equal(baro_close(run, 15000), 0);
    fake_stop(fake);
    assert_int_equal(fake_missing(fake, 401), 0);
    assert_int_equal(atomic_load(&n_said), 1);
}

static void a_daemon_of_another_version_is_named(void **state)
{
    fake_start(fake, FAKE_OTHER);
    struct baro_run *run = open_run(0, NULL);
    push_steps(run, 0, 10);
    wait_said("protocol 99");
    assert_int_equal(baro_close(run, 10), BARO_ETIMEOUT);
}

static void a_killed_process_loses_nothing_it_pushed(void **state)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct baro_run *run = open_run(0, "offline");
        const char *path = baro_ring_path(run);
        push_steps(run, 0, 5000);
        if (write(pipe_fds[1], path, strlen(path) + 1) < 0) {
            _exit(1);
        }
        for (int64_t step = 5000;; step++) {
            push_steps(run, step, step + 1);
            (void)usleep(10);
        }
    }
    char path[512] = "";
    struct sender_recovery recovery;
    struct baro_err err = {0};
    assert_true(read(pipe_fds[0], path, sizeof path) > 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    fake_start(fake, FAKE_ACK);
    assert_int_equal(sender_recover(path, fake->endpoint, 5000, &recovery, &err), 0);
    fake_stop(fake);
    assert_true(fake->n_records >= 10000);
    assert_int_equal(fake_missing(fake, fake->last_seq), 0);
    assert_int_equal(fake->n_by_kind[READING_STATUS], 0);
    assert_int_equal(fake->n_bad, 0);
    assert_int_equal(recovery.n_damaged_bytes, 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

static void drops_of_a_dead_process_are_told_by_its_recovery(void **state)
{
    struct baro_run *run = open_run(RINGFILE_MIN_BYTES, "offline");
    char path[512];
    struct sender_recovery recovery;
    struct baro_err err = {0};
    (void)snprintf(path, sizeof path, "%s", baro_ring_path(run));
    push_steps(run, 0, 20000);
    assert_int_equal(baro_close(run, 0), BARO_ETIMEOUT);
    fake_start(fake, FAKE_ACK);
    assert_int_equal(sender_recover(path, fake->endpoint, 5000, &recovery, &err), 0);
    fake_stop(fake);
    assert_int_equal(fake->n_bad, 0);
    assert_true(fake->told_drops > 0);
    assert_int_equal(fake->told_drops, fake_missing(fake, fake->last_seq));
    assert_int_equal(recovery.n_lost, fake->told_drops);
}

static void a_forked_child_does_nothing_and_does_not_hang(void **state)
{
    fake_start(fake, FAKE_ACK);
    struct baro_run *run = open_run(0, NULL);
    push_steps(run, 0, 100);
    pid_t child = fork();
    if (child == 0) {
        int64_t shape = 1;
        float one = 1;
        const struct baro_tensor tensor = {.name = "t",
            .role = BARO_ACT,
            .dtype = BARO_F32,
            .n_dims = 1,
            .shape = &shape,
            .data = &one};
        struct baro_stats stats;
        int rc = baro_step(run, 7) | baro_scalar(run, "child", 1) |
                 baro_tensor(run, &tensor) | baro_event(run, BARO_INFO, "x") |
                 baro_batch(run, &shape, 1) | baro_fail(run, "x") |
                 baro_stats(run, &stats) | (int)baro_declare_scalar(run, "y") |
                 baro_close(run, 5000);
        _exit(rc == 0 && stats.n_pushed == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    push_steps(run, 100, 200);
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
    assert_int_equal(fake->n_records, 401);
    assert_int_equal(fake->n_declared, 1);
}

static void a_child_that_outlives_its_parent_does_not_own_the_ring(void **state)
{
    int fds[2];
    int hold[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) {
        struct baro_run *run = open_run(0, "offline");
        const char *path = baro_ring_path(run);
        push_steps(run, 0, 10);
        if (fork() == 0) { /* a worker that lives on */
            char byte;
            (void)close(hold[1]);
            _exit(read(hold[0], &byte, 1) < 0);
        }
        _exit(write(fds[1], path, strlen(path) + 1) < 0);
    }
    char path[512] = "";
    assert_true(read(fds[0], path, sizeof path) > 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    uint64_t deadline = baro_now_ns() + UINT64_C(10000000000);
    while (ringfile_is_owned(path)) { /* until the worker has run its fork handler */
        assert_true(baro_now_ns() < deadline);
    }
    (void)close(hold[1]);
    (void)close(hold[0]);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void without_descriptors_it_stays_offline_instead_of_aborting(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit low = {40, 4096};
        (void)setrlimit(RLIMIT_NOFILE, &low);
        struct baro_run *run = open_run(0, NULL);
        push_steps(run, 0, 10);
        wait_said("file descriptors");
        _exit(baro_close(run, 100) == BARO_ETIMEOUT ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void the_daemon_hears_that_the_run_is_alive(void **state)
{
    fake_start(fake, FAKE_ACK);
    struct baro_run *run = open_run(0, NULL);
    push_steps(run, 0, 10);
    fake_wait(fake, &fake->n_beats, 2);
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_int_equal(stats.is_connected, 1);
    assert_int_equal(baro_close(run, 10000), 0);
    fake_stop(fake);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_that_is_pushed_arrives_once_and_the_ring_goes),
        CASE(a_daemon_that_comes_late_gets_all_of_it),
        CASE(a_restarted_daemon_gets_what_it_missed),
        CASE(what_was_not_acknowledged_is_sent_again),
        CASE(what_was_committed_is_not_sent_again_after_a_welcome),
        CASE(close_is_bounded_and_recovery_brings_the_rest),
        CASE(drops_of_an_overflow_are_told_to_the_record),
        CASE(a_slow_daemon_is_told_exactly_what_it_missed),
        CASE(a_refusal_is_said_and_recording_goes_on),
        CASE(a_daemon_of_another_version_is_named),
        CASE(a_killed_process_loses_nothing_it_pushed),
        CASE(drops_of_a_dead_process_are_told_by_its_recovery),
        CASE(a_forked_child_does_nothing_and_does_not_hang),
        CASE(a_child_that_outlives_its_parent_does_not_own_the_ring),
        CASE(without_descriptors_it_stays_offline_instead_of_aborting),
        CASE(the_daemon_hears_that_the_run_is_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
