/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors that go to a real barod whole: it must give what summarising here would have given. */
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/reading_raw.h"
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

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

static unsigned n_said;
static char said[512];

static void hear(const char *text, void *payload)
{
    if (strstr(text, "summarised here") != NULL) {
        n_said++;
        (void)snprintf(said, sizeof said, "%s", text);
    }
}

static struct baro_run *open_run(
    const char *run_id, enum baro_summarise summarise, uint64_t ring_bytes, bool is_offline)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "test";
    options.run_id = run_id;
    options.endpoint = rig.endpoint;
    options.mode = is_offline ? "offline" : "online";
    options.ring_dir = rig.dir;
    options.ring_bytes = ring_bytes;
    options.summarise = summarise;
    options.on_message = hear;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    return run;
}

/* All rows of a kind of a tensor, in order of arrival; release *out. */
static void ask_rows(
    const char *run_id, const char *name, enum reading_kind kind, struct link_message *out)
{
    struct link_message message = {0};
    Baro__RunInfo *info = rig_run_info(&rig, run_id, &message);
    assert_non_null(info);
    Baro__RowsRequest rows;
    baro__rows_request__init(&rows);
    rows.run = info->run;
    link_message_release(&message);
    rows.thing = rig_thing(&rig, rows.run, name);
    rows.kind = kind;
    rows.from_step = INT64_MIN;
    rows.to_step = INT64_MAX;
    rows.limit = 10000;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &rows;
    rig_ask(&rig, &request, out);
    assert_int_equal(out->n_frames, 1);
}

/* ---- the same bits ---- */

/* One tensor of the comparison. */
struct sample {
    const char *name;
    enum baro_role role;
    enum baro_dtype dtype;
    int n_dims;
    int64_t shape[4];
    int unit_axis;
    unsigned bad_every; /* every so manieth element is NaN or infinite; 0: none */
};

static const struct sample samples[] = {
    {"dense.weight", BARO_WEIGHT, BARO_F32, 2, {100, 300}, 0, 0},
    {"dense.grad", BARO_GRAD, BARO_F32, 2, {64, 33}, 0, 97},
    {"dense.act", BARO_ACT, BARO_F32, 3, {8, 5, 40}, 2, 41},
    {"conv.act", BARO_ACT, BARO_F32, 4, {4, 16, 9, 7}, 1, 0},
    {"wide", BARO_WEIGHT, BARO_F32, 2, {512, 600}, 0, 100001},
    {"twice", BARO_WEIGHT, BARO_F64, 2, {31, 17}, 0, 50},
    {"half", BARO_GRAD, BARO_F16, 2, {40, 41}, 0, 0}, /* random bits: NaN among them */
    {"brain", BARO_ACT_GRAD, BARO_BF16, 2, {12, 130}, 1, 0},
    {"ids", BARO_INPUT, BARO_I64, 2, {16, 9}, BARO_NO_UNITS, 0},
    {"bytes", BARO_INPUT, BARO_U8, 3, {2, 28, 28}, BARO_NO_UNITS, 0},
    {"mask", BARO_ACT, BARO_BOOL, 2, {16, 8}, 1, 0},
    {"step", BARO_OPT, BARO_F32, 0, {0}, BARO_NO_UNITS, 0},
    {"nothing", BARO_ACT, BARO_F32, 2, {0, 4}, 1, 0},
    {"lost", BARO_WEIGHT, BARO_F32, 2, {6, 6}, 0, 1},
    {"change", BARO_UPDATE, BARO_F32, 2, {10, 10}, 0, 0},
};
enum { N_SAMPLES = sizeof samples / sizeof samples[0], N_STEPS = 3 };

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ (x >> 29);
}

static size_t count_of(const struct sample *sample)
{
    size_t n = 1;
    for (int d = 0; d < sample->n_dims; d++) {
        n *= (size_t)sample->shape[d];
    }
    return n;
}

static void fill(const struct sample *sample, uint64_t seed, void *out)
{
    static const float bad[3] = {NAN, INFINITY, -INFINITY};
    uint64_t state = seed;
    for (size_t i = 0; i < count_of(sample); i++) {
        uint64_t random = next_random(&state);
        bool is_bad = sample->bad_every > 0 && i % sample->bad_every == 0;
        float value = (float)((double)(random >> 11) * 0x1p-53 - 0.5);
        value = random % 7 == 0 ? 0 : value;
        value = is_bad ? bad[random % 3] : value;
        double wide = is_bad ? (double)bad[random % 3] : (double)value * 1e-9 + 1;
        uint8_t truth = random % 2;
        const void *from = sample->dtype == BARO_F32    ? (const void *)&value
                           : sample->dtype == BARO_F64  ? (const void *)&wide
                           : sample->dtype == BARO_BOOL ? (const void *)&truth
                                                        : (const void *)&random;
        size_t n = baro_dtype_bytes(sample->dtype);
        memcpy((uint8_t *)out + i * n, from, n);
    }
}

static void push_samples(struct baro_run *run)
{
    uint64_t *data = calloc(512 * 600, sizeof *data);
    assert_non_null(data);
    for (int64_t step = 0; step < N_STEPS; step++) {
        assert_int_equal(baro_step(run, step), 0);
        for (size_t i = 0; i < N_SAMPLES; i++) {
            const struct sample *sample = &samples[i];
            fill(sample, (uint64_t)step * 1000 + i, data);
            const struct baro_tensor tensor = {.name = sample->name,
                .role = sample->role,
                .dtype = sample->dtype,
                .n_dims = sample->n_dims,
                .shape = sample->shape,
                .data = data,
                .unit_axis = sample->unit_axis};
            assert_int_equal(baro_tensor(run, &tensor), 0);
        }
    }
    free(data);
}

/* Both runs have the same rows of a tensor to the bit; gives how many. */
static unsigned compare_rows(const char *name, enum reading_kind kind)
{
    struct link_message here = {0};
    struct link_message there = {0};
    ask_rows("here", name, kind, &here);
    ask_rows("there", name, kind, &there);
    const uint8_t *at[2] = {here.frames[0].bytes, there.frames[0].bytes};
    const uint8_t *end[2] = {
        at[0] + here.frames[0].n_bytes, at[1] + there.frames[0].n_bytes};
    unsigned n = 0;
    for (;; n++) {
        struct record_header header[2];
        const uint8_t *payload[2];
        int rc = record_next(&at[0], end[0], &header[0], &payload[0]);
        assert_int_equal(record_next(&at[1], end[1], &header[1], &payload[1]), rc);
        if (rc != 1) {
            break;
        }
        assert_int_equal(header[0].step, header[1].step);
        assert_int_equal(header[0].payload_bytes, header[1].payload_bytes);
        assert_memory_equal(payload[0], payload[1], header[0].payload_bytes);
    }
    link_message_release(&here);
    link_message_release(&there);
    return n;
}

static void the_daemon_gives_the_bits_of_a_tensor_summarised_here(void **state)
{
    struct baro_stats stats;
    struct baro_run *here = open_run("here", BARO_SUMMARISE_HERE, 32 << 20, false);
    push_samples(here);
    assert_int_equal(baro_close(here, 20000), 0);
    struct baro_run *there = open_run("there", BARO_SUMMARISE_DAEMON, 32 << 20, false);
    push_samples(there);
    assert_int_equal(baro_stats(there, &stats), 0);
    assert_int_equal(stats.n_pushed, N_STEPS * (1 + N_SAMPLES) - 1); /* one record each */
    assert_true(stats.n_bytes > 3 * 512 * 600 * 4);
    assert_int_equal(baro_close(there, 20000), 0);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const struct sample *sample = &samples[i];
        bool has_units = sample->unit_axis != BARO_NO_UNITS && sample->n_dims > 0;
        assert_int_equal(compare_rows(sample->name, READING_SUMMARY), N_STEPS);
        if (has_units) {
            assert_int_equal(compare_rows(sample->name, READING_UNITS), N_STEPS);
        }
    }
}

/* ---- what does not fit ---- */

enum { N_FLOATS = 25000 };

/* A tensor whose elements are all the same number. */
static int push_flat(struct baro_run *run, int64_t step, size_t n)
{
    static float data[4 * N_FLOATS];
    for (size_t i = 0; i < n; i++) {
        data[i] = (float)step;
    }
    const int64_t shape[1] = {(int64_t)n};
    const struct baro_tensor tensor = {.name = n == N_FLOATS ? "flat" : "large",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = data,
        .unit_axis = BARO_NO_UNITS};
    int rc = baro_step(run, step);
    return rc != 0 ? rc : baro_tensor(run, &tensor);
}

/* Each step from 0 on must be there once, with the mean that it was pushed with; how many. */
static int64_t check_means(const char *run_id, const char *name)
{
    struct link_message message = {0};
    ask_rows(run_id, name, READING_SUMMARY, &message);
    const uint8_t *cursor = message.frames[0].bytes;
    const uint8_t *end = cursor + message.frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    int64_t n = 0;
    for (; record_next(&cursor, end, &header, &payload) == 1; n++) {
        double stats[SUMMARY_STAT_COUNT];
        memcpy(stats, payload, sizeof stats);
        assert_int_equal(header.step, n);
        assert_true(stats[SUMMARY_MEAN] == (double)n);
    }
    link_message_release(&message);
    return n;
}

static void a_small_ring_has_tensors_summarised_here_and_says_so_once(void **state)
{
    n_said = 0;
    struct baro_run *run = open_run("small", BARO_SUMMARISE_DAEMON, 1 << 20, true);
    char ring[512];
    struct baro_stats stats;
    (void)snprintf(ring, sizeof ring, "%s", baro_ring_path(run));
    for (int64_t step = 0; step < 20; step++) {
        assert_int_equal(push_flat(run, step, N_FLOATS), 0);
    }
    assert_int_equal(n_said, 1);
    assert_non_null(strstr(said, "half of the ring"));
    for (int64_t step = 0; step < 20; step++) { /* over an eighth of it */
        assert_int_equal(push_flat(run, step, (size_t)2 * N_FLOATS), 0);
    }
    assert_int_equal(n_said, 1);
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_int_equal(stats.n_dropped, 0);
    assert_in_range(stats.n_bytes, 512 << 10, 800 << 10); /* whole tensors among them */
    (void)baro_close(run, 0);
    assert_int_equal(n_said, 2);
    assert_non_null(strstr(said, "tensors in all"));
    assert_true(strtoul(said, NULL, 10) >= 30);
    struct sender_recovery recovery;
    struct baro_err err = {0};
    assert_int_equal(sender_recover(ring, rig.endpoint, 10000, &recovery, &err), 0);
    assert_int_equal(recovery.n_left, 0);
    assert_int_equal(check_means("small", "flat"), 20);
    assert_int_equal(check_means("small", "large"), 20);
}

static void who_summarises_is_one_of_two(void **state)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.endpoint = rig.endpoint;
    options.ring_dir = rig.dir;
    assert_int_equal(setenv("BARO_SUMMARISE", "there", 1), 0);
    assert_null(baro_open(&options, &err));
    assert_non_null(strstr(err.text, "BARO_SUMMARISE: 'there'"));
    assert_int_equal(unsetenv("BARO_SUMMARISE"), 0);
    options.summarise = 7;
    assert_null(baro_open(&options, &err));
    assert_non_null(strstr(err.text, "summarise 7"));
}

/* ---- kills ---- */

/* What the trainer tells the test. */
struct shared {
    _Atomic uint64_t n_pushed; /* tensors */
    _Atomic uint64_t n_acked;  /* records */
};

static void train(struct shared *shared)
{
    struct baro_run *run = open_run("killed", BARO_SUMMARISE_DAEMON, 64 << 20, false);
    for (int64_t step = 0; step < 100000; step++) {
        struct baro_stats stats;
        if (push_flat(run, step, N_FLOATS) != 0 || baro_stats(run, &stats) != 0) {
            _exit(1);
        }
        atomic_store(&shared->n_pushed, (uint64_t)step + 1);
        atomic_store(&shared->n_acked, stats.n_acked);
        pause_ms(2);
    }
    _exit(1);
}

static void wait_for(const _Atomic uint64_t *number, uint64_t n)
{
    uint64_t deadline = baro_now_ns() + UINT64_C(30000000000);
    while (atomic_load(number) < n) {
        assert_true(baro_now_ns() < deadline);
        pause_ms(5);
    }
}

static void kills_of_daemon_and_trainer_lose_no_tensor(void **state)
{
    struct shared *shared = mmap(
        NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        train(shared);
    }
    wait_for(&shared->n_acked, 20);
    rig_kill(&rig);
    uint64_t n_pushed = atomic_load(&shared->n_pushed);
    wait_for(&shared->n_pushed, n_pushed + 10);
    rig_restart(&rig);
    wait_for(&shared->n_acked, 2 * n_pushed + 10);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    /* The daemon reads what is left out of the ring. */
    uint64_t deadline = baro_now_ns() + UINT64_C(30000000000);
    while (check_means("killed", "flat") < (int64_t)atomic_load(&shared->n_pushed)) {
        assert_true(baro_now_ns() < deadline);
        pause_ms(50);
    }
    (void)munmap(shared, sizeof *shared);
}

/* ---- damage ---- */

struct record {
    struct reading_raw_head head;
    float data[12];
};

static void damaged_tensors_are_left_out_and_the_good_one_is_kept(void **state)
{
    struct pusher pusher;
    pusher_init(&pusher, &rig, "damaged", 1);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 3, 4);
    pusher_declare_scalar(&pusher, 2, "loss");
    assert_int_equal(pusher_hello(&pusher), 0);
    const struct record good = {
        .head = {.dtype = BARO_F32, .n_dims = 2, .shape = {3, 4}}, .data = {1, 2, 3}};
    struct record bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = good;
    }
    bad[0].head.dtype = BARO_I32;
    bad[1].head.dtype = 0;
    bad[2].head.n_dims = 9;
    bad[3].head.shape[0] = 5;
    bad[4].head.shape[0] = -4;
    bad[5].head.shape[0] = bad[5].head.shape[1] = INT64_C(1) << 33;
    bad[6].head.shape[2] = 1;
    bad[7].head.has_units = 2;
    bad[8].head.shape[0] = 12; /* with has_units: not the units that were declared */
    bad[8].head.shape[1] = 1;
    bad[8].head.has_units = 1;
    for (size_t i = 0; i < 9; i++) {
        pusher_record(&pusher, READING_RAW, 1, (int64_t)i, &bad[i], sizeof bad[i]);
    }
    pusher_record(&pusher, READING_RAW, 1, 9, &good, sizeof good - 1);
    pusher_record(&pusher, READING_RAW, 1, 10, &good, sizeof good.head - 8);
    pusher_record(&pusher, READING_RAW, 1, 11, &good, 0);
    pusher_record(&pusher, READING_RAW, 2, 12, &good, sizeof good); /* a scalar */
    pusher_record(&pusher, READING_RAW, 9, 13, &good, sizeof good); /* not declared */
    pusher_record(&pusher, READING_RAW, 1, 14, &good, sizeof good);
    pusher_flush(&pusher);
    struct link_message message = {0};
    ask_rows("damaged", "w", READING_SUMMARY, &message);
    const uint8_t *cursor = message.frames[0].bytes;
    const uint8_t *end = cursor + message.frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    assert_int_equal(record_next(&cursor, end, &header, &payload), 1);
    assert_int_equal(header.step, 14);
    assert_int_equal(record_next(&cursor, end, &header, &payload), 0);
    link_message_release(&message);
    assert_true(rig_log_has(&rig, "a raw record"));
    pusher_finish(&pusher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_daemon_gives_the_bits_of_a_tensor_summarised_here),
        CASE(a_small_ring_has_tensors_summarised_here_and_says_so_once),
        CASE(who_summarises_is_one_of_two),
        CASE(kills_of_daemon_and_trainer_lose_no_tensor),
        CASE(damaged_tensors_are_left_out_and_the_good_one_is_kept),
    };
    TEST_THREADS_ONLY("the_daemon_gives*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
