/* SPDX-License-Identifier: Apache-2.0 */
/* Probes from a training through barod and back: whole, after SIGKILL, without a daemon, in parts. */
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/link/probes.h"
#include "lib/push/baro.h"
#include "lib/push/sender.h"
#include "tests/integration/daemon_rig.h"
#include "tests/probe_walk.h"

enum { N = 300, N_WEIGHTS = N * 1000, RING_BYTES = 16 << 20 };

static struct rig rig;
static float weights[N_WEIGHTS];

static int set_up(void **state)
{
    for (int i = 0; i < N_WEIGHTS; i++) {
        weights[i] =
            (float)((i * 2654435761U) >> 8) * 0x1p-24f; /* no codec makes it small */
    }
    rig_start(&rig);
    return 0;
}

static int clean(void **state)
{
    rig_finish(&rig);
    return 0;
}

static struct baro_run *open_run(const char *run_id, const char *mode)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "test";
    options.run_id = run_id;
    options.endpoint = rig.endpoint;
    options.mode = mode;
    options.ring_dir = rig.dir;
    options.ring_bytes = RING_BYTES;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    return run;
}

/* Push a probe of 1.2 MB: five pieces. */
static int push_probe(struct baro_run *run, int64_t step, int reason)
{
    static const int64_t shape[2] = {N, N_WEIGHTS / N};
    static const int64_t rows[1] = {2};
    const struct baro_probe_options options = {
        .step = step, .reason = reason, .n_batch = 4, .n_rows = 1, .rows = rows};
    struct baro_probe *probe = baro_probe_begin(run, &options);
    assert_non_null(probe);
    const struct baro_probe_value weight = {.name = "fc.weight",
        .kind = 2,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = weights,
        .batch_axis = -1,
        .unit_axis = 0,
        .keep = 2};
    assert_int_equal(baro_probe_value(probe, &weight), 0);
    const float bad[4] = {1, 2, INFINITY, 4};
    const int64_t batch[1] = {4};
    const struct baro_probe_value out = {.dtype = BARO_F32,
        .n_dims = 1,
        .shape = batch,
        .data = bad,
        .batch_axis = 0,
        .unit_axis = -1,
        .keep = 1};
    assert_int_equal(baro_probe_value(probe, &out), 1);
    const int32_t input = 0;
    const int32_t output = 1;
    const struct baro_probe_op op = {.name = "exp",
        .module = "fc",
        .n_inputs = 1,
        .n_outputs = 1,
        .inputs = &input,
        .outputs = &output};
    assert_int_equal(baro_probe_op(probe, &op), 0);
    assert_int_equal(baro_probe_loss(probe, 1), 0);
    if (reason == 3) {
        const int64_t row = 2;
        const struct baro_probe_origin origin = {
            .op = 0, .value = 1, .n_rows = 1, .rows = &row, .cause = "exp of 91.2"};
        assert_int_equal(baro_probe_origin(probe, &origin), 0);
    }
    return baro_probe_end(probe, 0);
}

static uint32_t run_number(const char *run_id)
{
    struct link_message message = {0};
    Baro__RunInfo *info = rig_run_info(&rig, run_id, &message);
    assert_non_null(info);
    const uint32_t run = info->run;
    link_message_release(&message);
    return run;
}

static void list(const char *run_id, struct probe_list *out)
{
    struct baro_err err = {0};
    *out = (struct probe_list){0};
    if (link_probes(rig.link, run_number(run_id), 0, INT64_MAX, out, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* Fetch a probe and compare it with what push_probe() put in. */
static void check(const char *run_id, const struct probe_entry *entry)
{
    struct baro_err err = {0};
    void *bytes = NULL;
    size_t n = 0;
    struct probe *probe = NULL;
    assert_int_equal(entry->n_here, entry->n_pieces);
    if (link_probe_get(rig.link, run_number(run_id), entry, &bytes, &n, &err) != 0 ||
        probe_parse(&probe, bytes, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(probe->step, entry->step);
    assert_int_equal(probe->n_values, 2);
    assert_int_equal(probe->values[0].bytes, sizeof weights);
    assert_memory_equal(probe->values[0].data, weights, sizeof weights);
    assert_int_equal(probe->values[1].n_inf, 1);
    assert_int_equal(probe->values[1].bytes, sizeof(float));
    assert_int_equal(probe->has_origin, entry->reason == PROBE_FAILURE);
    (void)probe_walk(probe);
    probe_free(probe);
    free(bytes);
}

static void a_probe_comes_back_as_it_was(void **state)
{
    struct probe_list found;
    struct baro_run *run = open_run("whole", "online");
    assert_int_equal(baro_step(run, 5), 0);
    assert_int_equal(push_probe(run, -1, 1), 0);
    assert_int_equal(baro_step(run, 9), 0);
    assert_int_equal(push_probe(run, 7, 3), 0); /* of a step that is over */
    assert_int_equal(push_probe(run, -1, 2), 0);
    assert_int_equal(baro_close(run, 20000), 0);
    list("whole", &found);
    assert_int_equal(found.n, 3);
    assert_int_equal(found.entries[0].step, 5);
    assert_int_equal(found.entries[0].reason, PROBE_REGULAR);
    assert_int_equal(found.entries[1].step, 7);
    assert_int_equal(found.entries[1].reason, PROBE_FAILURE);
    assert_int_equal(found.entries[2].reason, PROBE_ASKED);
    assert_true(found.entries[0].n_pieces >= 4);
    for (size_t i = 0; i < found.n; i++) {
        check("whole", &found.entries[i]);
    }
    probe_list_finish(&found);
}

static void it_outlives_a_kill_of_the_daemon(void **state)
{
    struct probe_list found;
    rig_kill(&rig);
    rig_restart(&rig);
    list("whole", &found);
    assert_int_equal(found.n, 3);
    check("whole", &found.entries[1]);
    probe_list_finish(&found);
}

/* A training of its own that is killed at once after its last probe; its ring's path. */
static void killed_training(const char *run_id, const char *mode, char ring[256])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct baro_run *run = open_run(run_id, mode);
        char path[256] = "";
        (void)snprintf(path, sizeof path, "%s", baro_ring_path(run));
        (void)baro_step(run, 11);
        (void)push_probe(run, -1, 3);
        (void)!write(ends[1], path, sizeof path);
        (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_true(child > 0);
    assert_int_equal(read(ends[0], ring, 256), 256);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Wait until a run has a whole probe. */
static void await_probe(const char *run_id, struct probe_list *out)
{
    const uint64_t end_ns = baro_now_ns() + 20 * UINT64_C(1000000000);
    bool is_whole = false;
    while (!is_whole) {
        struct link_message message = {0};
        const Baro__RunInfo *info = rig_run_info(&rig, run_id, &message);
        if (info != NULL) {
            list(run_id, out);
            is_whole = out->n > 0 && out->entries[0].n_here == out->entries[0].n_pieces;
        }
        link_message_release(&message);
        if (!is_whole) {
            const struct timespec pause = {.tv_nsec = 20000000};
            assert_true(baro_now_ns() < end_ns);
            probe_list_finish(out);
            (void)nanosleep(&pause, NULL);
        }
    }
}

static void a_training_killed_right_after_it_loses_nothing(void **state)
{
    struct probe_list found = {0};
    struct baro_err err = {0};
    char ring[256];
    killed_training("killed", "online", ring);
    struct sender_recovery recovery = {0};
    const int rc = sender_recover(ring, rig.endpoint, 20000, &recovery, &err);
    if (rc != 0 && rc != BARO_EBUSY && rc != BARO_ENOENT) { /* barod may be at it already */
        fail_msg("%s", err.text);
    }
    await_probe("killed", &found);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.entries[0].step, 11);
    check("killed", &found.entries[0]);
    probe_list_finish(&found);
}

static void without_a_daemon_the_ring_brings_it_later(void **state)
{
    struct probe_list found = {0};
    struct sender_recovery recovery = {0};
    char ring[256];
    rig_kill(&rig);
    killed_training("alone", "offline", ring);
    rig_restart(&rig);
    assert_int_equal(sender_recover(ring, rig.endpoint, 20000, &recovery, NULL), 0);
    await_probe("alone", &found);
    check("alone", &found.entries[0]);
    probe_list_finish(&found);
}

/* What a training leaves that is killed while the pieces go into the ring. */
static void missing_pieces_are_told(void **state)
{
    enum { N_PIECES = 3 };
    struct pusher pusher;
    struct probe_list found = {0};
    struct baro_err err = {0};
    static double payload[PROBE_PIECE_NUMBERS + PROBE_PIECE_BYTES / sizeof(double)];
    pusher_init(&pusher, &rig, "partly", 3);
    assert_int_equal(pusher_hello(&pusher), 0);
    for (uint32_t i = 0; i < N_PIECES; i += 2) {
        const struct probe_piece piece = {.serial = 5,
            .piece = i,
            .n_pieces = N_PIECES,
            .reason = PROBE_REGULAR,
            .probe_bytes = 2 * PROBE_PIECE_BYTES + 8};
        probe_piece_numbers(&piece, payload);
        pusher_record(&pusher, READING_PROBE, 0, 4, payload,
            PROBE_PIECE_NUMBERS * sizeof(double) + probe_piece_bytes(&piece));
    }
    pusher_record(&pusher, READING_PROBE, 0, 4, payload, 48); /* no piece: left out */
    pusher_record(&pusher, READING_PROBE, 7, 4, payload, 48); /* of a series: likewise */
    pusher_flush(&pusher);
    list("partly", &found);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.entries[0].n_here, 2);
    void *bytes = NULL;
    size_t n = 0;
    assert_int_equal(
        link_probe_get(rig.link, run_number("partly"), &found.entries[0], &bytes, &n, &err),
        BARO_ENOENT);
    assert_non_null(strstr(err.text, "step 4 is not whole: 1 of its 3 pieces"));
    assert_null(bytes);
    probe_list_finish(&found);
    pusher_finish(&pusher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_comes_back_as_it_was),
        cmocka_unit_test(it_outlives_a_kill_of_the_daemon),
        cmocka_unit_test(a_training_killed_right_after_it_loses_nothing),
        cmocka_unit_test(without_a_daemon_the_ring_brings_it_later),
        cmocka_unit_test(missing_pieces_are_told),
    };
    TEST_THREADS_ONLY("a_probe_comes_back*"); /* the others fork with threads */
    return cmocka_run_group_tests(tests, set_up, clean);
}
