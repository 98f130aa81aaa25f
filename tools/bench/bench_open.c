/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a daemon takes from its start to the first answer, a chart of one unit over all steps,
 * over a store of very many points that is not cached: after a clean stop, and after a SIGKILL
 * in the midst of ingest, when a tail has to be read again. The points are statistics of units,
 * 64 tensors of 1,024 units each. The limit is the same program over an empty store.
 */
#include "tools/bench/bench_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/bench/store_rig.h"

enum {
    N_TENSORS = 64,
    N_UNITS = 1024,
    ROW_POINTS = N_UNITS * UNIT_STAT_COUNT,
    STEP_POINTS = N_TENSORS * ROW_POINTS,
    DEFAULT_POINTS = 100000000,
    QUICK_POINTS = 1000000,
    COLUMNS = 1000,
    TURNS = 5,
    POLL_NS = 500000,
    TIMEOUT_MS = 30000
};

static const char limit_name[] = "the same program over an empty store";

/* Statistics that drift from step to step, each unit in its own way. */
static void drift(float *row, struct rig_noise *noise)
{
    for (size_t i = 0; i < N_UNITS; i++) {
        double pull = 1e-3 * (rig_noise_uniform(noise) - 0.5);
        row[UNIT_MEAN * N_UNITS + i] += (float)pull;
        row[UNIT_L2 * N_UNITS + i] += (float)(pull * 3);
        row[UNIT_ABS_MAX * N_UNITS + i] += (float)(pull * 2);
    }
}

static void begin_rows(float *rows, struct rig_noise *noise)
{
    for (size_t t = 0; t < N_TENSORS; t++) {
        for (size_t i = 0; i < N_UNITS; i++) {
            float *row = rows + t * ROW_POINTS;
            row[UNIT_MEAN * N_UNITS + i] = (float)(0.1 * rig_noise_uniform(noise));
            row[UNIT_L2 * N_UNITS + i] = (float)(1.0 + rig_noise_uniform(noise));
            row[UNIT_ABS_MAX * N_UNITS + i] = (float)(0.5 + rig_noise_uniform(noise));
        }
    }
}

/* Push so many steps; the run ends with them when is_ended, else it is left in the midst. */
static int fill(
    struct bench *bench, const struct bench_daemon *daemon, int64_t n_steps, bool is_ended)
{
    struct baro_err err = {0};
    struct feed *feed = feed_open(daemon->endpoint, "units", &err);
    if (feed == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    struct rig_noise noise = {0};
    baro_autofree float *rows = baro_xcalloc(STEP_POINTS, sizeof *rows);
    begin_rows(rows, &noise);
    for (uint32_t t = 0; t < N_TENSORS; t++) {
        char name[32];
        (void)snprintf(name, sizeof name, "layer %02u", t);
        (void)feed_declare(feed, name, N_UNITS);
    }
    for (int64_t step = 0; step < n_steps; step++) {
        int64_t time_ns = rig_time_ns(&noise, step);
        for (uint32_t t = 0; t < N_TENSORS; t++) {
            float *row = rows + (size_t)t * ROW_POINTS;
            drift(row, &noise);
            feed_put(feed, READING_UNITS, t + 1, step, time_ns + t * 1000, row,
                ROW_POINTS * sizeof *row);
        }
    }
    if (!is_ended) {
        int rc = feed_wait(feed, &err);
        bench_daemon_stop((struct bench_daemon *)(uintptr_t)daemon, true);
        feed_abandon(feed);
        return rc == 0 ? 0 : bench_fail(bench, "%s", err.text);
    }
    return feed_close(feed, &err) == 0 ? 0 : bench_fail(bench, "%s", err.text);
}

/* Wait for the first answer of a daemon that was just started. */
static int await_answer(
    const struct bench_daemon *daemon, const struct rig_query *query, struct baro_err *err)
{
    uint64_t deadline_ns = baro_now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    struct timespec pause = {.tv_nsec = POLL_NS};
    struct link *link = link_open(daemon->endpoint, err);
    struct rig_answer answer;
    while (!link_is_served(link) && baro_now_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
    }
    link_close(link); /* a new one connects at once */
    link = link_open(daemon->endpoint, err);
    int rc = 0;
    if (query->columns > 0) {
        rc = rig_ask(link, query, &answer, err);
    } else {
        (void)rig_counter(link, "messages");
    }
    link_close(link);
    return rc;
}

static int measure(struct bench *bench, struct bench_daemon *daemon,
    const struct rig_query *query, double *out_seconds)
{
    struct baro_err err = {0};
    (void)rig_drop_cache(daemon);
    uint64_t start_ns = baro_now_ns();
    if (bench_daemon_spawn(bench, daemon) != 0) {
        return -1;
    }
    if (await_answer(daemon, query, &err) != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    *out_seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    bench_daemon_stop(daemon, true);
    return 0;
}

static int measure_turns(struct bench *bench, struct bench_daemon *daemon,
    const struct rig_query *query, double *out_ms)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < TURNS; i++) {
        double seconds = 0;
        rc = measure(bench, daemon, query, &seconds);
        out_ms[i] = 1e3 * seconds;
    }
    return rc;
}

/* One unit of one tensor over all steps. */
static struct rig_query chart(uint32_t run, int64_t n_steps)
{
    return (struct rig_query){.run = run,
        .first_thing = N_TENSORS / 2,
        .n_things = 1,
        .kind = READING_UNITS,
        .stat = UNIT_L2,
        .unit = N_UNITS / 3,
        .to_step = n_steps - 1,
        .columns = COLUMNS};
}

int bench_store_open(struct bench *bench)
{
    int64_t n_points =
        bench_points(bench, bench_is_quick(bench) ? QUICK_POINTS : DEFAULT_POINTS);
    int64_t n_steps = n_points / STEP_POINTS > 1 ? n_points / STEP_POINTS : 2;
    int64_t n_more = n_steps < 20 ? n_steps : 20;
    struct rig_query nothing = {0};
    struct rig_query query = chart(1, n_steps);
    struct bench_daemon empty;
    struct bench_daemon daemon = {0};
    double limits[TURNS];
    double clean[TURNS];
    double killed[TURNS];
    int rc = bench_daemon_start(bench, &empty);
    bench_daemon_stop(&empty, false);
    rc = rc != 0 ? rc : measure_turns(bench, &empty, &nothing, limits);
    rc = rc != 0 ? rc : bench_daemon_start(bench, &daemon);
    uint64_t start_ns = baro_now_ns();
    rc = rc != 0 ? rc : fill(bench, &daemon, n_steps, true);
    double seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    if (rc == 0) {
        rig_await_idle(&daemon);
    }
    bench_daemon_stop(&daemon, false);
    uint64_t n_bytes = rig_file_bytes(&daemon);
    rc = rc != 0 ? rc : measure_turns(bench, &daemon, &query, clean);
    rc = rc != 0 ? rc : bench_daemon_restart(bench, &daemon);
    rc = rc != 0 ? rc : fill(bench, &daemon, n_more, false);
    rc = rc != 0 ? rc : measure_turns(bench, &daemon, &query, killed);
    bench_daemon_stop(&daemon, true);
    if (rc != 0) {
        return rc;
    }
    double limit = bench_median(limits, TURNS);
    bench_report_samples(bench, "store open", "first answer after a clean stop", clean,
        TURNS, "ms", limit, limit_name);
    bench_report_samples(bench, "store open", "first answer after a SIGKILL", killed, TURNS,
        "ms", limit, limit_name);
    bench_note(bench,
        "%.3g points (%lld steps of %d units' statistics) in %.0f MB, not cached; they came in "
        "in %.1f s.",
        (double)n_steps * STEP_POINTS, (long long)n_steps, N_TENSORS * N_UNITS,
        (double)n_bytes / 1e6, seconds);
    return 0;
}
