/* SPDX-License-Identifier: Apache-2.0 */
/* libbaro and the example in C with a real barod: killed, stopped, or not there at all. */
#include "tests/testing.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/ringfile.h"
#include "lib/push/baro.h"
#include "lib/push/sender.h"
#include "tests/integration/daemon_rig.h"

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

static struct baro_run *open_run(const char *run_id)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "test";
    options.run_id = run_id;
    options.endpoint = rig.endpoint;
    options.ring_dir = rig.dir;
    options.ring_bytes = 8 << 20;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    return run;
}

static void push_steps(struct baro_run *run, int64_t from, int64_t to)
{
    for (int64_t step = from; step < to; step++) {
        assert_int_equal(baro_step(run, step), 0);
        assert_int_equal(baro_scalar(run, "loss", (double)step), 0);
    }
}

static void wait_acked(struct baro_run *run, uint64_t seq)
{
    struct baro_stats stats = {0};
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    while (stats.n_acked < seq) {
        assert_true(baro_now_ns() < deadline);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
        assert_int_equal(baro_stats(run, &stats), 0);
    }
}

/* Every step's loss must be there once, in order. */
static void check_points(const char *run_id, size_t n_steps)
{
    struct link_message message;
    Baro__RunInfo *info = rig_run_info(&rig, run_id, &message);
    assert_non_null(info);
    uint32_t number = info->run;
    link_message_release(&message);
    double *values = NULL;
    int64_t *steps = NULL;
    size_t n = rig_points(&rig, number, rig_thing(&rig, number, "loss"), &values, &steps);
    assert_int_equal(n, n_steps);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(steps[i], i);
        assert_true(values[i] == (double)i);
    }
    free(values);
    free(steps);
}

static void a_daemon_killed_twice_in_mid_run_has_every_step_once(void **state)
{
    struct baro_run *run = open_run("killed-daemon");
    char ring[512];
    (void)snprintf(ring, sizeof ring, "%s", baro_ring_path(run));
    for (int64_t round = 0; round < 2; round++) {
        push_steps(run, round * 3000, round * 3000 + 1000);
        wait_acked(run, (uint64_t)round * 6000 + 1000);
        push_steps(run, round * 3000 + 1000, round * 3000 + 2000);
        rig_kill(&rig);
        push_steps(run, round * 3000 + 2000, round * 3000 + 3000);
        rig_restart(&rig);
    }
    assert_int_equal(baro_close(run, 20000), 0);
    assert_int_not_equal(access(ring, F_OK), 0);
    check_points("killed-daemon", 6000);
    rig_wait_status(&rig, "killed-daemon", BARO__RUN_STATUS__RUN_FINISHED);
}

static void a_stopped_daemon_stalls_nothing_and_is_caught_up_with(void **state)
{
    struct baro_run *run = open_run("stopped-daemon");
    push_steps(run, 0, 500);
    wait_acked(run, 999); /* the first step leaves no record */
    assert_int_equal(kill(rig.pid, SIGSTOP), 0);
    uint64_t start_ns = baro_now_ns();
    push_steps(run, 500, 20500);
    uint64_t push_ms = (baro_now_ns() - start_ns) / 1000000;
    assert_in_range(push_ms, 0, 5000); /* 40,000 calls: a stall would show */
    char ring[512];
    (void)snprintf(ring, sizeof ring, "%s", baro_ring_path(run));
    start_ns = baro_now_ns();
    assert_int_equal(baro_close(run, 200), BARO_ETIMEOUT);
    assert_in_range((baro_now_ns() - start_ns) / 1000000, 190, 3000);
    assert_int_equal(kill(rig.pid, SIGCONT), 0);
    struct sender_recovery recovery;
    struct baro_err err = {0};
    int rc = sender_recover(ring, rig.endpoint, 10000, &recovery, &err);
    if (rc == BARO_EBUSY || rc == BARO_ENOENT) { /* barod was faster */
        rig_wait_records(&rig, "stopped-daemon", 41000);
    } else if (rc != 0) {
        fail_msg("%s", err.text);
    }
    check_points("stopped-daemon", 20500);
}

/* ---- the example ---- */

/* Run a command and keep what it prints; gives its exit status. */
static int run_command(const char *command, char *out, size_t out_bytes)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, out_bytes - 1, pipe);
    out[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *line_of(const char *text, const char *start)
{
    static char lines[4][128];
    static int turn;
    char *line = lines[turn++ % 4];
    const char *at = strstr(text, start);
    if (at == NULL) {
        fail_msg("no '%s' in '%s'", start, text);
    }
    (void)snprintf(line, sizeof lines[0], "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static void the_example_in_c_learns_and_its_losses_do_not_change(void **state)
{
    const char *build = getenv("BARO_BUILD_DIR");
    const char *source = getenv("BARO_SOURCE_DIR");
    const char *python = getenv("PYTHON");
    char command[4096];
    char without[4096];
    char with[4096];
    (void)snprintf(command, sizeof command,
        "'%s' '%s/tools/examples/export_digits.py' '%s/digits.bin' 2>&1",
        python != NULL ? python : "/usr/bin/python3", source != NULL ? source : ".",
        rig.dir);
    if (run_command(command, without, sizeof without) != 0) {
        print_message("# skipped: %s\n", without);
        skip();
    }
    (void)snprintf(command, sizeof command,
        "BARO_DIR='%s' '%s/tools/examples/mlp_digits' --steps 300 --no-baro '%s/digits.bin'",
        rig.dir, build != NULL ? build : ".", rig.dir);
    assert_int_equal(run_command(command, without, sizeof without), 0);
    assert_null(strstr(without, "run "));
    (void)snprintf(command, sizeof command,
        "BARO_DIR='%s' BARO_RING_DIR='%s' BARO_RUN_ID=digits-1 BARO_ENDPOINT='%s' "
        "'%s/tools/examples/mlp_digits' --steps 300 '%s/digits.bin' 2>&1",
        rig.dir, rig.dir, rig.endpoint, build != NULL ? build : ".", rig.dir);
    assert_int_equal(run_command(command, with, sizeof with), 0);
    assert_string_equal(line_of(with, "loss checksum"), line_of(without, "loss checksum"));
    assert_string_equal(line_of(with, "test accuracy"), line_of(without, "test accuracy"));
    assert_true(
        strtod(line_of(with, "test accuracy") + strlen("test accuracy"), NULL) > 0.9);
    assert_null(strstr(with, "barograph:"));
    /* 300 x (step, 3 scalars, batch, 12 tensors x 2) but the first step, accuracy, status */
    rig_wait_records(&rig, "digits-1", 300 * (1 + 3 + 1 + 24) - 1 + 2);
    rig_wait_status(&rig, "digits-1", BARO__RUN_STATUS__RUN_FINISHED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_daemon_killed_twice_in_mid_run_has_every_step_once),
        CASE(a_stopped_daemon_stalls_nothing_and_is_caught_up_with),
        CASE(the_example_in_c_learns_and_its_losses_do_not_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
