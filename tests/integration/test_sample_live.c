/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/testing.h"

#include "lib/analysis/sample.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/integration/sample_rig.h"

/* Samples that go on with a training, seen through the socket of a real daemon. */

enum { UNITS = 1024, BEGIN = 100 };

/* Noise without memory, evenly from -1 to 1: the same for a unit and step in each run. */
static double noise(uint32_t unit, int64_t step)
{
    uint64_t z = ((uint64_t)unit << 32) + (uint64_t)step + 1;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) / (double)(UINT64_C(1) << 52) - 1;
}

/* A calm training: each unit on its own level, all falling slowly, with noise on top. */
static float value_of(uint32_t unit, int64_t step)
{
    const double level = 1 + 0.5 * sin(unit * 0.37) + 0.2 * sin(unit * 1.7);
    const double fall = 1 / (1 + (double)step / 400);
    const double jitter = noise(unit, step) + noise(unit + UNITS, step);
    return (float)(level * (0.7 + 0.3 * fall) + 0.05 * jitter);
}

static void push_steps(struct pusher *pusher, int64_t from, int64_t to)
{
    baro_autofree float *row = baro_xcalloc((size_t)UNITS * UNIT_STAT_COUNT, sizeof *row);
    for (int64_t step = from; step < to; step++) {
        for (uint32_t unit = 0; unit < UNITS; unit++) {
            row[UNITS + unit] = value_of(unit, step);
        }
        pusher_record(pusher, READING_UNITS, 1, step, row,
            (size_t)UNITS * UNIT_STAT_COUNT * sizeof *row);
        if (step % 16 == 15) {
            pusher_flush(pusher);
        }
    }
    pusher_flush(pusher);
}

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

static void begin_run(struct pusher *pusher, struct rig *rig, const char *run_id, int seed)
{
    pusher_init(pusher, rig, run_id, seed);
    pusher_declare_tensor(pusher, 1, "w", BARO_WEIGHT, 4, UNITS);
    assert_int_equal(pusher_hello(pusher), 0);
}

/* ---- frames ---- */

/* Who was shown, and for what, in the frame before. */
struct frame_before {
    bool is_there;
    uint8_t reason[UNITS]; /* 0: not shown */
    size_t n;
    double lo, hi;
};

/* Frames of a run, one against the next. */
struct frames {
    size_t n, n_calm, n_axes;
    double sum, worst; /* of Jaccard similarities */
    double worst_calm; /* of frames in which nothing came that must be shown */
};

static bool is_must(uint8_t reason)
{
    return reason == SAMPLE_NONFINITE || reason == SAMPLE_LEAP || reason == SAMPLE_ENVELOPE;
}

static void compare_frames(
    struct frames *frames, struct frame_before *before, const struct finding *finding)
{
    uint8_t reason[UNITS] = {0};
    size_t n_both = 0;
    size_t n_must = 0;
    for (uint32_t i = 0; i < finding->head->n_shown; i++) {
        const uint32_t unit = finding->shown[i];
        reason[unit] = finding->reasons[i];
        n_both += before->reason[unit] != 0;
        n_must += before->reason[unit] == 0 && is_must(finding->reasons[i]);
    }
    const size_t n = finding->head->n_shown;
    if (before->is_there) {
        const double shared = (double)n_both / (double)(before->n + n - n_both);
        assert_true(fabs(shared - finding->head->jaccard) < 1e-9);
        frames->n++;
        frames->sum += shared;
        frames->worst = fmin(frames->worst, shared);
        if (n_must == 0) {
            frames->n_calm++;
            frames->worst_calm = fmin(frames->worst_calm, shared);
        }
        frames->n_axes += before->lo < finding->head->lo ||
                          before->lo > finding->head->lo ||
                          before->hi < finding->head->hi || before->hi > finding->head->hi;
    }
    memcpy(before->reason, reason, sizeof reason);
    before->n = n;
    before->lo = finding->head->lo;
    before->hi = finding->head->hi;
    before->is_there = true;
}

/* Take all findings up to one that holds a step. */
static void follow(struct link *link, int64_t number, int64_t to_step,
    struct frames *frames, struct frame_before *before)
{
    for (int64_t at = INT64_MIN; at < to_step;) {
        struct link_message message = {0};
        struct finding finding = sample_rig_done(link, number, 0, &message);
        at = finding.head->to_step;
        compare_frames(frames, before, &finding);
        link_message_release(&message);
    }
}

static void frames_of_a_calm_noisy_run_share_their_lines(void **state)
{
    enum { MORE = 200 };
    struct rig *rig = *state;
    struct pusher pusher;
    begin_run(&pusher, rig, "calm", 1);
    push_steps(&pusher, 0, BEGIN);
    Baro__SampleRequest request = sample_rig_request(rig, "calm");
    request.is_live = true;
    const int64_t number = sample_rig_send(rig->link, &request);
    struct frames frames = {.worst = 1, .worst_calm = 1};
    static struct frame_before before;
    follow(rig->link, number, BEGIN - 1, &frames, &before);
    /* Few steps at a time and, as behind a slow asker, many. */
    static const int64_t lumps[] = {3, 25, 40};
    int64_t step = BEGIN;
    for (size_t i = 0; step < BEGIN + MORE; i++) {
        const int64_t end = step + lumps[i % BARO_LEN(lumps)];
        push_steps(&pusher, step, end);
        follow(rig->link, number, end - 1, &frames, &before);
        step = end;
    }
    print_message("%zu frames, %zu without lines that must come: mean %.3f worst %.3f, "
                  "calm worst %.3f; %zu axes, %zu shown\n",
        frames.n, frames.n_calm, frames.sum / (double)frames.n, frames.worst,
        frames.worst_calm, frames.n_axes, before.n);
    assert_true(frames.n >= 8);
    assert_true(frames.n_calm > 0);
    assert_true(frames.worst_calm >= 0.95);
    assert_true(frames.sum / (double)frames.n >= 0.95);
    assert_in_range(frames.n_axes, 0, 2);
    link_cancel(rig->link, number);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void all_live_samples_of_one_asker_go_on(void **state)
{
    enum { JOBS = 8, STEPS = 40 };
    struct rig *rig = *state;
    struct pusher pusher;
    begin_run(&pusher, rig, "many", 2);
    push_steps(&pusher, 0, STEPS);
    Baro__SampleRequest request = sample_rig_request(rig, "many");
    request.is_live = true;
    int64_t numbers[JOBS];
    for (int i = 0; i < JOBS; i++) {
        request.seed = (uint64_t)i;
        numbers[i] = sample_rig_send(rig->link, &request);
    }
    struct link_message message = {0};
    for (int i = 0; i < JOBS; i++) { /* the oldest, which the others go before, too */
        (void)sample_rig_done(rig->link, numbers[i], STEPS - 1, &message);
        link_message_release(&message);
    }
    push_steps(&pusher, STEPS, STEPS + 2);
    for (int i = 0; i < JOBS; i++) {
        (void)sample_rig_done(rig->link, numbers[i], STEPS + 1, &message);
        link_message_release(&message);
        link_cancel(rig->link, numbers[i]);
    }
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

/* ---- an asker that stops reading, and one that is killed ---- */

/* A process that asks for a live sample, stops, and when it goes on reads up to a step; then it
 * stays until it is killed. It writes one byte when it has asked, and how much it read. */
static pid_t start_asker(
    struct rig *rig, Baro__SampleRequest *request, int64_t to_step, int *out_told)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        (void)close(ends[1]);
        *out_told = ends[0];
        return pid;
    }
    struct link *link = link_open(rig->endpoint, NULL);
    struct link_message message = {0};
    const int64_t number = sample_rig_send(link, request);
    (void)sample_rig_done(link, number, 0, &message);
    link_message_release(&message);
    uint8_t n_read = 0;
    (void)write(ends[1], &n_read, 1);
    (void)raise(SIGSTOP);
    for (int64_t at = 0; at < to_step; n_read++) {
        struct finding finding = sample_rig_next(link, number, &message);
        at = finding.head->to_step;
        link_message_release(&message);
    }
    (void)write(ends[1], &n_read, 1);
    for (;;) {
        (void)pause();
    }
}

static void an_asker_that_stops_reading_or_is_killed_harms_nobody(void **state)
{
    enum { STEPS = 20, MORE = 40, MOST_FINDINGS = 32 };
    struct rig *rig = *state;
    struct pusher pusher;
    begin_run(&pusher, rig, "slow", 3);
    push_steps(&pusher, 0, STEPS);
    Baro__SampleRequest request = sample_rig_request(rig, "slow");
    request.is_live = true;
    int told = -1;
    uint8_t n_read = 0;
    const pid_t asker = start_asker(rig, &request, STEPS + MORE - 1, &told);
    assert_int_equal(read(told, &n_read, 1), 1);
    const int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    for (int64_t step = STEPS; step < STEPS + MORE; step += MORE / 2) {
        push_steps(&pusher, step, step + MORE / 2);
        (void)sample_rig_done(rig->link, number, step + MORE / 2 - 1, &message);
        link_message_release(&message);
    }
    assert_int_equal(kill(asker, SIGCONT), 0);
    assert_int_equal(
        read(told, &n_read, 1), 1); /* it catches up, not through all there was */
    assert_in_range(n_read, 1, MOST_FINDINGS);
    link_cancel(rig->link, number);
    assert_int_equal(kill(asker, SIGKILL), 0);
    assert_int_equal(waitpid(asker, NULL, 0), asker);
    sample_rig_wait_ended(rig);
    (void)close(told);
    pusher_finish(&pusher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_a_calm_noisy_run_share_their_lines),
        cmocka_unit_test(all_live_samples_of_one_asker_go_on),
        cmocka_unit_test(an_asker_that_stops_reading_or_is_killed_harms_nobody),
    };
    TEST_THREADS_ONLY("*_of_*"); /* it does not follow threads of a forked process */
    return cmocka_run_group_tests_name("sample_live", tests, set_up, tear_down);
}
