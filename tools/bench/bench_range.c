/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a chart waits. One series of ten million points is asked for at random zooms, all of
 * it and any part down to a few thousand steps, as 2,000 columns; and a thousand series as 1,000
 * columns each. Warm: the file is in memory. Cold: before each question the daemon is killed,
 * the system is made to forget the file (fsync, POSIX_FADV_DONTNEED), and a new daemon is
 * started that has answered nothing yet; its start is not in the figure. The limit is a socket of
 * the same kind that moves as many bytes and reads nothing.
 */
#include "tools/bench/bench_store.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/bench/store_rig.h"

enum {
    LONG_POINTS = 10000000,
    LONG_QUICK_POINTS = 20000,
    LONG_COLUMNS = 2000,
    MANY_SERIES = 1000,
    MANY_POINTS = 10000000,
    MANY_QUICK_POINTS = 100000,
    MANY_COLUMNS = 1000,
    WARM_TURNS = 200,
    COLD_TURNS = 60,
    MANY_TURNS = 9,
    MANY_COLD_TURNS = 3,
    QUICK_TURNS = 3
};

static const char limit_name[] = "raw ZeroMQ, answers of the same size";

/* ---- filling ---- */

static int fill(struct bench *bench, const struct bench_daemon *daemon, const char *name,
    uint32_t n_series, int64_t n_steps)
{
    struct baro_err err = {0};
    struct feed *feed = feed_open(daemon->endpoint, name, &err);
    if (feed == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    for (uint32_t i = 0; i < n_series; i++) {
        char series[32];
        (void)snprintf(series, sizeof series, "series %04u", i);
        (void)feed_declare(feed, series, 0);
    }
    struct rig_noise noise = {0};
    for (int64_t step = 0; step < n_steps; step++) {
        int64_t time_ns = rig_time_ns(&noise, step);
        for (uint32_t i = 0; i < n_series; i++) {
            feed_scalar(feed, i + 1, step, time_ns + i * 1000,
                (double)rig_noise_value(&noise, step));
        }
    }
    return feed_close(feed, &err) == 0 ? 0 : bench_fail(bench, "%s", err.text);
}

/* ---- asking ---- */

/* A part of the series: all of it now and then, else any width down to a few points a column. */
static struct rig_query zoom(struct rig_noise *noise, int64_t n_points)
{
    struct rig_query query = {.run = 1,
        .first_thing = 1,
        .n_things = 1,
        .kind = READING_SCALAR,
        .to_step = n_points - 1,
        .columns = LONG_COLUMNS};
    if (rig_noise_uniform(noise) >= 0.25) {
        double widest = log((double)n_points);
        double narrowest = log((double)LONG_COLUMNS);
        double width = exp(narrowest + rig_noise_uniform(noise) * (widest - narrowest));
        query.from_step = (int64_t)(rig_noise_uniform(noise) * ((double)n_points - width));
        query.to_step = query.from_step + (int64_t)width - 1;
    }
    return query;
}

static struct rig_query many(int64_t n_steps)
{
    return (struct rig_query){.run = 2,
        .first_thing = 1,
        .n_things = MANY_SERIES,
        .kind = READING_SCALAR,
        .to_step = n_steps - 1,
        .columns = MANY_COLUMNS};
}

/* Ask once and check that the answer speaks of as many readings as there are. */
static int ask(
    struct bench *bench, struct link *link, struct rig_query *query, double *out_seconds)
{
    struct baro_err err = {0};
    struct rig_answer answer;
    if (rig_ask(link, query, &answer, &err) != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    uint64_t n_wanted = (uint64_t)(query->to_step - query->from_step + 1) * query->n_things;
    if (answer.n_readings != n_wanted) {
        return bench_fail(bench, "a range of %llu readings was answered with %llu",
            (unsigned long long)n_wanted, (unsigned long long)answer.n_readings);
    }
    *out_seconds = answer.seconds;
    query->series_bytes = answer.n_bytes / query->n_things;
    return 0;
}

/* A new process that knows nothing, over a file that is not cached. */
static int restart_cold(
    struct bench *bench, struct bench_daemon *daemon, double *out_cached)
{
    bench_daemon_stop(daemon, true);
    *out_cached = rig_drop_cache(daemon);
    return bench_daemon_restart(bench, daemon);
}

static int ask_cold(struct bench *bench, struct bench_daemon *daemon,
    struct rig_query *query, double *out_seconds, double *io_cached)
{
    double cached = 0;
    struct baro_err err = {0};
    if (restart_cold(bench, daemon, &cached) != 0) {
        return -1;
    }
    *io_cached = cached > *io_cached ? cached : *io_cached;
    struct link *link = link_open(daemon->endpoint, &err);
    (void)rig_counter(link, "messages"); /* the connection stands before the clock runs */
    int rc = ask(bench, link, query, out_seconds);
    link_close(link);
    return rc;
}

/* ---- reporting ---- */

static void report_quantiles(struct bench *bench, const char *what, double *samples,
    size_t n, double *limits, size_t n_limits)
{
    static const double quantiles[] = {0.5, 0.99};
    for (size_t i = 0; i < BARO_LEN(quantiles); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s, p%.0f", what, 100 * quantiles[i]);
        bench_report(bench, "store range", name,
            1e3 * bench_quantile(samples, n, quantiles[i]), "ms",
            1e3 * bench_quantile(limits, n_limits, quantiles[i]), limit_name);
    }
}

static int measure_long(struct bench *bench, struct bench_daemon *daemon, int64_t n_points)
{
    bool is_quick = bench_is_quick(bench);
    size_t n_warm = is_quick ? QUICK_TURNS : WARM_TURNS;
    size_t n_cold = is_quick ? QUICK_TURNS : COLD_TURNS;
    double warm[WARM_TURNS];
    double cold[COLD_TURNS];
    double limits[WARM_TURNS];
    double cached = 0;
    struct baro_err err = {0};
    struct rig_noise noise = {0};
    struct link *link = link_open(daemon->endpoint, &err);
    struct rig_query query = {0};
    int rc = link != NULL ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < n_warm; i++) {
        query = zoom(&noise, n_points);
        rc = ask(bench, link, &query, &warm[i]);
    }
    link_close(link);
    for (size_t i = 0; rc == 0 && i < n_cold; i++) {
        query = zoom(&noise, n_points);
        rc = ask_cold(bench, daemon, &query, &cold[i], &cached);
    }
    if (rc == 0 && rig_raw_answer(bench_dir(bench), &query, limits, n_warm, &err) != 0) {
        rc = bench_fail(bench, "%s", err.text);
    }
    if (rc != 0) {
        return rc;
    }
    report_quantiles(bench, "2,000 columns, warm", warm, n_warm, limits, n_warm);
    report_quantiles(bench, "2,000 columns, cold", cold, n_cold, limits, n_warm);
    bench_note(bench,
        "A series of %lld points, random zooms. Cold: a new daemon for each question, at most "
        "%.1f %% of the file cached.",
        (long long)n_points, 100 * cached);
    return 0;
}

static int measure_many(struct bench *bench, struct bench_daemon *daemon, int64_t n_steps)
{
    bool is_quick = bench_is_quick(bench);
    size_t n_warm = is_quick ? QUICK_TURNS : MANY_TURNS;
    double warm[MANY_TURNS] = {0};
    double cold[MANY_COLD_TURNS] = {0};
    double limits[MANY_TURNS] = {0};
    double cached = 0;
    struct baro_err err = {0};
    struct rig_query query = many(n_steps);
    struct link *link = link_open(daemon->endpoint, &err);
    int rc = link != NULL ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < n_warm; i++) {
        rc = ask(bench, link, &query, &warm[i]);
    }
    link_close(link);
    for (size_t i = 0; rc == 0 && i < MANY_COLD_TURNS; i++) {
        rc = ask_cold(bench, daemon, &query, &cold[i], &cached);
    }
    if (rc == 0 && rig_raw_answer(bench_dir(bench), &query, limits, n_warm, &err) != 0) {
        rc = bench_fail(bench, "%s", err.text);
    }
    if (rc != 0) {
        return rc;
    }
    double limit = 1e3 * bench_median(limits, n_warm);
    for (size_t i = 0; i < n_warm; i++) {
        warm[i] *= 1e3;
    }
    for (size_t i = 0; i < MANY_COLD_TURNS; i++) {
        cold[i] *= 1e3;
    }
    bench_report_samples(bench, "store range", "1,000 series x 1,000 columns, warm", warm,
        n_warm, "ms", limit, limit_name);
    bench_report_samples(bench, "store range", "1,000 series x 1,000 columns, cold", cold,
        MANY_COLD_TURNS, "ms", limit, limit_name);
    bench_note(bench,
        "Each series of %lld points; four requests at a time, %.0f MB over the socket for 72 MB "
        "of columns.",
        (long long)n_steps, 1e-6 * (double)query.series_bytes * MANY_SERIES);
    return 0;
}

int bench_store_range(struct bench *bench)
{
    bool is_quick = bench_is_quick(bench);
    int64_t n_long = is_quick ? LONG_QUICK_POINTS : LONG_POINTS;
    int64_t n_many = bench_points(bench, is_quick ? MANY_QUICK_POINTS : MANY_POINTS);
    int64_t n_steps = n_many / MANY_SERIES > 0 ? n_many / MANY_SERIES : 1;
    struct bench_daemon daemon;
    int rc = bench_daemon_start(bench, &daemon);
    rc = rc != 0 ? rc : fill(bench, &daemon, "one long series", 1, n_long);
    rc = rc != 0 ? rc : fill(bench, &daemon, "a thousand series", MANY_SERIES, n_steps);
    if (rc == 0) {
        rig_await_idle(&daemon);
        bench_daemon_stop(&daemon, false);
        rc = bench_daemon_restart(bench, &daemon);
    }
    if (rc == 0) {
        rig_await_idle(&daemon);
        rc = measure_long(bench, &daemon, n_long);
    }
    rc = rc != 0 ? rc : measure_many(bench, &daemon, n_steps);
    bench_daemon_stop(&daemon, false);
    return rc;
}
