/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingest and queries at the same time. One process pushes scalars as fast as they are
 * acknowledged, while this one asks for 2,000 columns of a long series, at random zooms, one
 * question after the other. The limit of each is its own speed without the other, in the same
 * run; the three ways take turns.
 */
#include "tools/bench/bench_store.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/bench/store_rig.h"

enum {
    LONG_POINTS = 2000000,
    LONG_QUICK_POINTS = 20000,
    COLUMNS = 2000,
    N_SCALARS = 16,
    TURNS = 5,
    TURN_MS = 2000,
    QUICK_TURN_MS = 200
};

/* The pushing side. */
struct pusher {
    const char *endpoint;
    uint64_t deadline_ns;
    _Atomic bool is_over;
    uint64_t n_points;
    double seconds;
    int rc;
    struct baro_err err;
};

static void push(struct pusher *pusher, struct feed *feed)
{
    struct rig_noise noise = {0};
    uint64_t start_ns = baro_now_ns();
    for (uint32_t i = 0; i < N_SCALARS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "scalar %u", i);
        (void)feed_declare(feed, name, 0);
    }
    for (int64_t step = 0; baro_now_ns() < pusher->deadline_ns; step++) {
        int64_t time_ns = rig_time_ns(&noise, step);
        for (uint32_t i = 0; i < N_SCALARS; i++) {
            feed_scalar(feed, i + 1, step, time_ns, (double)rig_noise_value(&noise, step));
        }
    }
    pusher->n_points = feed_n_records(feed);
    pusher->rc = feed_wait(feed, &pusher->err);
    pusher->seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
}

static void *push_thread(void *payload)
{
    struct pusher *pusher = payload;
    struct feed *feed = feed_open(pusher->endpoint, "pushed meanwhile", &pusher->err);
    pusher->rc = feed == NULL ? pusher->err.code : 0;
    if (feed != NULL) {
        push(pusher, feed);
        atomic_store(&pusher->is_over, true);
        int rc = feed_close(feed, &pusher->err);
        pusher->rc = pusher->rc != 0 ? pusher->rc : rc;
    }
    atomic_store(&pusher->is_over, true);
    return NULL;
}

/* Ask until the time is up, or until the pushing is over. Gives answers a second. */
static int ask(struct bench *bench, struct link *link, int64_t n_points,
    const struct pusher *pusher, uint64_t deadline_ns, double *out_rate)
{
    struct rig_noise noise = {0};
    struct baro_err err = {0};
    uint64_t start_ns = baro_now_ns();
    double n = 0;
    while (pusher != NULL ? !atomic_load(&pusher->is_over) : baro_now_ns() < deadline_ns) {
        double width =
            exp(log(1e3) + rig_noise_uniform(&noise) * (log((double)n_points) - log(1e3)));
        struct rig_query query = {.run = 1,
            .first_thing = 1,
            .n_things = 1,
            .kind = READING_SCALAR,
            .columns = COLUMNS};
        query.from_step = (int64_t)(rig_noise_uniform(&noise) * ((double)n_points - width));
        query.to_step = query.from_step + (int64_t)width;
        struct rig_answer answer;
        if (rig_ask(link, &query, &answer, &err) != 0) {
            return bench_fail(bench, "%s", err.text);
        }
        n++;
    }
    *out_rate = n / ((double)(baro_now_ns() - start_ns) * 1e-9);
    return 0;
}

/* One turn with the pushing and perhaps the asking. */
static int turn(struct bench *bench, const struct bench_daemon *daemon, struct link *link,
    int64_t n_points, double *out_ingest, double *out_answers)
{
    int turn_ms = bench_is_quick(bench) ? QUICK_TURN_MS : TURN_MS;
    struct pusher pusher = {.endpoint = daemon->endpoint,
        .deadline_ns = baro_now_ns() + (uint64_t)turn_ms * 1000000};
    pthread_t thread;
    if (pthread_create(&thread, NULL, push_thread, &pusher) != 0) {
        return bench_fail(bench, "no thread can be had");
    }
    int rc = link == NULL ? 0 : ask(bench, link, n_points, &pusher, 0, out_answers);
    (void)pthread_join(thread, NULL);
    if (rc == 0 && pusher.rc != 0) {
        rc = bench_fail(bench, "pushing: %s", pusher.err.text);
    }
    *out_ingest = (double)pusher.n_points / pusher.seconds;
    return rc;
}

static int fill(struct bench *bench, const struct bench_daemon *daemon, int64_t n_points)
{
    struct baro_err err = {0};
    struct rig_noise noise = {0};
    struct feed *feed = feed_open(daemon->endpoint, "one long series", &err);
    if (feed == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    uint32_t thing = feed_declare(feed, "series", 0);
    for (int64_t step = 0; step < n_points; step++) {
        feed_scalar(feed, thing, step, rig_time_ns(&noise, step),
            (double)rig_noise_value(&noise, step));
    }
    return feed_close(feed, &err) == 0 ? 0 : bench_fail(bench, "%s", err.text);
}

static int measure(struct bench *bench, const struct bench_daemon *daemon, int64_t n_points)
{
    double ingest[2][TURNS];
    double answers[2][TURNS];
    size_t n_turns = bench_is_quick(bench) ? 1 : TURNS;
    uint64_t turn_ns =
        (uint64_t)(bench_is_quick(bench) ? QUICK_TURN_MS : TURN_MS) * 1000000;
    struct baro_err err = {0};
    struct link *link = link_open(daemon->endpoint, &err);
    int rc = link != NULL ? 0 : bench_fail(bench, "%s", err.text);
    for (size_t i = 0; rc == 0 && i < n_turns; i++) {
        rig_await_idle(daemon);
        rc = ask(bench, link, n_points, NULL, baro_now_ns() + turn_ns, &answers[0][i]);
        rc = rc != 0 ? rc : turn(bench, daemon, NULL, n_points, &ingest[0][i], NULL);
        rig_await_idle(daemon);
        rc = rc != 0 ? rc
                     : turn(bench, daemon, link, n_points, &ingest[1][i], &answers[1][i]);
    }
    link_close(link);
    if (rc != 0) {
        return rc;
    }
    bench_report_samples(bench, "store mixed", "scalars while it is asked", ingest[1],
        n_turns, "points/s", bench_median(ingest[0], n_turns),
        "the same without the other");
    bench_report_samples(bench, "store mixed", "answers of 2,000 columns during ingest",
        answers[1], n_turns, "answers/s", bench_median(answers[0], n_turns),
        "the same without the other");
    return 0;
}

int bench_store_mixed(struct bench *bench)
{
    int64_t n_points = bench_is_quick(bench) ? LONG_QUICK_POINTS : LONG_POINTS;
    struct bench_daemon daemon;
    int rc = bench_daemon_start(bench, &daemon);
    rc = rc != 0 ? rc : fill(bench, &daemon, n_points);
    rc = rc != 0 ? rc : measure(bench, &daemon, n_points);
    bench_daemon_stop(&daemon, false);
    return rc;
}
