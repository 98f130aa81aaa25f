/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's memory while it takes in a hundred thousand series, as fast as it can, for as long
 * as --seconds says. What grows with the number of series is allowed, what grows with time is
 * not: the figure to look at is the growth from the middle third of the run to the last. Pages
 * of the store's file that are mapped are the system's to take back and are told apart.
 */
#include "tools/bench/bench_store.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/bench/store_rig.h"

enum {
    N_SERIES = 100000,
    QUICK_SERIES = 2000,
    DEFAULT_SECONDS = 20,
    QUICK_SECONDS = 1,
    MAX_SAMPLES = 400,
    /* The stated bound: a fixed part for tails, bundles and buffers, and a part per series. */
    BOUND_FIXED_BYTES = 256 << 20,
    BOUND_SERIES_BYTES = 4096
};

/* What was seen; when there are too many samples every other one is let go. */
struct samples {
    double own[MAX_SAMPLES];
    size_t n;
    uint64_t gap_ns;
    uint64_t next_ns;
    uint64_t peak;
    uint64_t peak_file;
};

static void look(struct samples *samples, pid_t pid)
{
    uint64_t now = baro_now_ns();
    if (now < samples->next_ns) {
        return;
    }
    struct rig_memory memory = rig_memory(pid);
    samples->peak = memory.own_bytes > samples->peak ? memory.own_bytes : samples->peak;
    samples->peak_file =
        memory.file_bytes > samples->peak_file ? memory.file_bytes : samples->peak_file;
    if (samples->n == MAX_SAMPLES) {
        for (size_t i = 0; i < MAX_SAMPLES / 2; i++) {
            samples->own[i] = samples->own[2 * i];
        }
        samples->n = MAX_SAMPLES / 2;
        samples->gap_ns *= 2;
    }
    samples->own[samples->n++] = (double)memory.own_bytes;
    samples->next_ns = now + samples->gap_ns;
}

static void push(struct feed *feed, uint32_t n_series, uint64_t deadline_ns, pid_t pid,
    struct samples *samples)
{
    struct rig_noise noise = {0};
    for (uint32_t i = 0; i < n_series; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "layers.%u.block.series_%u", i / 1000, i);
        (void)feed_declare(feed, name, 0);
    }
    for (int64_t step = 0; baro_now_ns() < deadline_ns; step++) {
        int64_t time_ns = rig_time_ns(&noise, step);
        for (uint32_t i = 0; i < n_series; i++) {
            feed_scalar(
                feed, i + 1, step, time_ns + i, (double)rig_noise_value(&noise, step));
            if (i % 1024 == 0) {
                look(samples, pid);
            }
        }
    }
}

static void report(struct bench *bench, struct samples *samples, uint32_t n_series)
{
    double bound = BOUND_FIXED_BYTES + (double)BOUND_SERIES_BYTES * n_series;
    size_t third = samples->n / 3;
    bench_report(bench, "store memory", "most memory of its own",
        (double)samples->peak / 1e6, "MB", bound / 1e6, "the stated bound");
    if (third > 0) {
        double middle = bench_median(samples->own + third, third);
        double last = bench_median(samples->own + samples->n - third, third);
        bench_report(bench, "store memory", "last third of the run", last / 1e6, "MB",
            middle / 1e6, "the third before it");
    }
}

int bench_store_memory(struct bench *bench)
{
    bool is_quick = bench_is_quick(bench);
    uint32_t n_series = is_quick ? QUICK_SERIES : N_SERIES;
    int64_t seconds = bench_seconds(bench, is_quick ? QUICK_SECONDS : DEFAULT_SECONDS);
    struct samples samples = {.gap_ns = 50000000};
    struct baro_err err = {0};
    struct bench_daemon daemon;
    if (bench_daemon_start(bench, &daemon) != 0) {
        return -1;
    }
    struct feed *feed = feed_open(daemon.endpoint, "very many series", &err);
    if (feed == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    uint64_t start_ns = baro_now_ns();
    push(feed, n_series, start_ns + (uint64_t)seconds * 1000000000, daemon.pid, &samples);
    uint64_t n_points = feed_n_records(feed);
    int rc = feed_close(feed, &err);
    double took = (double)(baro_now_ns() - start_ns) * 1e-9;
    bench_daemon_stop(&daemon, false);
    if (rc != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    report(bench, &samples, n_series);
    bench_note(bench,
        "%u series, %.3g points in %.0f s; beside its own memory at most %.0f MB of the "
        "store's file (%.0f MB at the end) were mapped.",
        n_series, (double)n_points, took, (double)samples.peak_file / 1e6,
        (double)rig_file_bytes(&daemon) / 1e6);
    return 0;
}
