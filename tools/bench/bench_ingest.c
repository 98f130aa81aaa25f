/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points per second from the push call to the commit: everything on the way is in it, from the
 * ring through socket, checks, live state, rules and store to the acknowledgement. There are two
 * limits. One is what the two libraries under it can move at all: the same number of bytes, in
 * messages of the sender's size, over the same kind of socket, put into LMDB as they are and
 * committed with the same rhythm, acknowledged after the commit. The two take turns. The other
 * is the writing alone: as many bytes as the points take in the store's file in the end, put
 * into LMDB by one thread in as many commits, with no socket, no records and nothing to compress.
 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/push/baro.h"
#include "tools/bench/raw_ingest.h"
#include "tools/bench/store_rig.h"

enum {
    MAX_TURNS = 5,
    RING_BYTES = 64 << 20,
    RING_HIGH_BYTES =
        24 << 20,      /* beyond it the pushing waits, so that nothing is dropped */
    CHECK_EVERY = 512, /* pushes between two looks at the ring */
    CLOSE_TIMEOUT_MS = 120000,
    N_UNITS = 1024,
    RAW_UNITS = 512, /* squared: elements of a whole tensor */
    RAW_CHECK_EVERY = 4,
    UNIT_STATS = 5,
    SUMMARY_STATS = 16
};

/* One kind of load: what is pushed, and how many points that makes. */
struct load {
    const char *case_name;
    const char *raw_case_name;
    const char *packed_case_name;
    size_t n_calls;
    size_t n_quick_calls;
    size_t points_a_call;
    void (*push)(struct baro_run *run, int64_t ids[], size_t i);
    enum baro_summarise summarise;
};

enum { N_SCALARS = 16 };

static float units[N_UNITS * 8];

/* A step of sixteen scalars: the smallest records there are. */
static void push_scalars(struct baro_run *run, int64_t ids[], size_t i)
{
    if (i % N_SCALARS == 0) {
        (void)baro_step(run, (int64_t)(i / N_SCALARS));
    }
    (void)baro_scalar_id(run, ids[i % N_SCALARS], sin((double)i * 1e-3));
}

/* One tensor of a thousand units: its statistics and those of every unit. */
static void push_tensor(struct baro_run *run, int64_t ids[], size_t i)
{
    (void)ids;
    static const int64_t shape[2] = {N_UNITS, 8};
    struct baro_tensor tensor = {.name = "layer.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = units};
    units[i % BARO_LEN(units)] += 1e-3F;
    (void)baro_step(run, (int64_t)i);
    (void)baro_tensor(run, &tensor);
}

/* A step of sixteen small tensors without units: whole summaries, histograms included. */
static void push_summary(struct baro_run *run, int64_t ids[], size_t i)
{
    (void)ids;
    static const char *const names[N_SCALARS] = {
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"};
    static const int64_t shape[1] = {64};
    size_t n = i % N_SCALARS;
    struct baro_tensor tensor = {.name = names[n],
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = units + 64 * n,
        .unit_axis = BARO_NO_UNITS};
    if (n == 0) {
        (void)baro_step(run, (int64_t)(i / N_SCALARS));
    }
    units[64 * n + i / N_SCALARS % 64] += 1e-3F;
    (void)baro_tensor(run, &tensor);
}

/* A tensor of 1 MiB that the daemon summarises. */
static void push_whole(struct baro_run *run, int64_t ids[], size_t i)
{
    (void)ids;
    static float data[RAW_UNITS * RAW_UNITS];
    static const int64_t shape[2] = {RAW_UNITS, RAW_UNITS};
    struct baro_tensor tensor = {.name = "layer.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data};
    data[i % BARO_LEN(data)] = (float)i;
    (void)baro_step(run, (int64_t)i);
    (void)baro_tensor(run, &tensor);
}

/* Wait until the sender has caught up, so that the ring never has to drop. */
static void hold_back(struct baro_run *run)
{
    struct baro_stats stats;
    struct timespec pause = {.tv_nsec = 200000};
    while (baro_stats(run, &stats) == 0 && stats.ring_used_bytes > RING_HIGH_BYTES) {
        (void)nanosleep(&pause, NULL);
    }
}

/* Push a load through a daemon; the time runs until all is acknowledged. */
static int push_load(struct bench *bench, const struct bench_daemon *daemon,
    const struct load *load, size_t n_calls, double *out_seconds,
    struct baro_stats *out_stats)
{
    struct baro_err err = {0};
    struct baro_options options = {.project = "bench",
        .name = load->case_name,
        .endpoint = daemon->endpoint,
        .mode = "online",
        .ring_dir = daemon->dir,
        .ring_bytes = RING_BYTES,
        .summarise = load->summarise};
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    int64_t ids[N_SCALARS];
    for (size_t i = 0; i < N_SCALARS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "scalar %zu", i);
        ids[i] = baro_declare_scalar(run, name);
    }
    uint64_t start_ns = baro_now_ns();
    for (size_t i = 0; i < n_calls; i++) {
        load->push(run, ids, i);
        if (i % (load->summarise == BARO_SUMMARISE_DAEMON ? RAW_CHECK_EVERY
                                                          : CHECK_EVERY) ==
            0) {
            hold_back(run);
        }
    }
    (void)baro_stats(run, out_stats);
    int rc = baro_close(run, CLOSE_TIMEOUT_MS);
    *out_seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    if (rc != 0 || out_stats->n_dropped > 0) {
        return bench_fail(bench, "%s: %s, %llu records dropped", load->case_name,
            rc != 0 ? baro_strerror(rc) : "all sent",
            (unsigned long long)out_stats->n_dropped);
    }
    return 0;
}

/* What a load's turns came to. */
struct figures {
    double ours[MAX_TURNS]; /* points a second */
    double raw[MAX_TURNS];
    double megabytes[MAX_TURNS];
    double packed[MAX_TURNS];
    uint64_t n_commits; /* of all turns */
    size_t n_turns;
    double n_points; /* of a turn */
};

static int run_load(struct bench *bench, const struct bench_daemon *daemon,
    const struct load *load, struct figures *figures)
{
    size_t n_calls = bench_is_quick(bench) ? load->n_quick_calls : load->n_calls;
    figures->n_turns = bench_is_quick(bench) ? 1 : MAX_TURNS;
    figures->n_points = (double)n_calls * (double)load->points_a_call;
    for (size_t turn = 0; turn < figures->n_turns; turn++) {
        double seconds = 0;
        double raw_seconds = 0;
        struct baro_stats stats = {0};
        struct baro_err err = {0};
        if (push_load(bench, daemon, load, n_calls, &seconds, &stats) != 0) {
            return -1;
        }
        if (raw_ingest(bench_dir(bench), stats.n_bytes, &raw_seconds, &err) != 0) {
            return bench_fail(bench, "raw ZeroMQ and LMDB: %s", err.text);
        }
        figures->ours[turn] = figures->n_points / seconds;
        figures->raw[turn] = figures->n_points / raw_seconds;
        figures->megabytes[turn] = (double)stats.n_bytes / seconds / 1e6;
    }
    struct link *link = link_open(daemon->endpoint, NULL);
    figures->n_commits = rig_counter(link, "commits");
    link_close(link);
    return 0;
}

/* Write as many bytes as a turn's points took in the file, in as many commits. */
static int run_packed(
    struct bench *bench, const struct bench_daemon *daemon, struct figures *figures)
{
    uint64_t n_bytes = rig_file_bytes(daemon) / figures->n_turns;
    for (size_t turn = 0; turn < figures->n_turns; turn++) {
        double seconds = 0;
        struct baro_err err = {0};
        if (raw_lmdb(bench_dir(bench), n_bytes, figures->n_commits / figures->n_turns,
                &seconds, &err) != 0) {
            return bench_fail(bench, "raw LMDB: %s", err.text);
        }
        figures->packed[turn] = figures->n_points / seconds;
    }
    return 0;
}

static void report(struct bench *bench, const struct load *load, struct figures *figures)
{
    static const char raw_name[] = "raw ZeroMQ and raw LMDB, same bytes, same commits";
    size_t n = figures->n_turns;
    double limit = bench_median(figures->raw, n);
    double raw_megabytes =
        limit / bench_median(figures->ours, n) * bench_median(figures->megabytes, n);
    bench_report_samples(
        bench, "ingest", load->case_name, figures->ours, n, "points/s", limit, raw_name);
    bench_report_samples(bench, "ingest", load->raw_case_name, figures->megabytes, n,
        "MB/s", raw_megabytes, raw_name);
    bench_report_samples(bench, "ingest", load->packed_case_name, figures->ours, n,
        "points/s", bench_median(figures->packed, n),
        "raw LMDB alone, the bytes in the file, same commits");
}

/* Whole tensors, which the daemon reads: beside what ZeroMQ moves of the same bytes. */
static int run_whole(struct bench *bench)
{
    static const struct load load = {.case_name = "raw tensors",
        .n_calls = 1000,
        .n_quick_calls = 20,
        .push = push_whole,
        .summarise = BARO_SUMMARISE_DAEMON};
    struct figures figures = {.n_turns = bench_is_quick(bench) ? 1 : MAX_TURNS};
    size_t n_calls = bench_is_quick(bench) ? load.n_quick_calls : load.n_calls;
    struct bench_daemon daemon;
    int rc = bench_daemon_start(bench, &daemon);
    if (rc != 0) {
        return rc;
    }
    for (size_t turn = 0; rc == 0 && turn < figures.n_turns; turn++) {
        double seconds = 0;
        double raw_seconds = 0;
        struct baro_stats stats = {0};
        struct baro_err err = {0};
        rc = push_load(bench, &daemon, &load, n_calls, &seconds, &stats);
        if (rc == 0 &&
            raw_socket(bench_dir(bench), stats.n_bytes, &raw_seconds, &err) != 0) {
            rc = bench_fail(bench, "raw ZeroMQ: %s", err.text);
        }
        figures.ours[turn] = (double)stats.n_bytes / seconds / 1e9;
        figures.raw[turn] = (double)stats.n_bytes / raw_seconds / 1e9;
    }
    bench_daemon_stop(&daemon, false);
    if (rc == 0) {
        bench_report_samples(bench, "ingest", load.case_name, figures.ours, figures.n_turns,
            "GB/s", bench_median(figures.raw, figures.n_turns),
            "raw ZeroMQ, same bytes, thrown away");
    }
    return rc;
}

int bench_ingest(struct bench *bench)
{
    static const struct load loads[] = {
        {"scalars", "scalars, bytes of records", "scalars, packed", 2000000, 20000, 1,
            push_scalars},
        {"summaries", "summaries, bytes of records", "summaries, packed", 400000, 5000,
            SUMMARY_STATS, push_summary},
        {"tensors of 1024 units", "tensors, bytes of records", "tensors, packed", 12000,
            200, N_UNITS * UNIT_STATS + SUMMARY_STATS, push_tensor},
    };
    for (size_t i = 0; i < BARO_LEN(loads); i++) {
        struct bench_daemon daemon;
        struct figures figures = {0};
        if (bench_daemon_start(bench, &daemon) != 0) {
            return -1;
        }
        int rc = run_load(bench, &daemon, &loads[i], &figures);
        rig_await_idle(&daemon);
        bench_daemon_stop(&daemon, false);
        rc = rc != 0 ? rc : run_packed(bench, &daemon, &figures);
        if (rc != 0) {
            return rc;
        }
        report(bench, &loads[i], &figures);
    }
    return run_whole(bench);
}
