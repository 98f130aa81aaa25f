/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one push costs the training thread, call by call: the daemon alive, absent, stopped in its
 * tracks (SIGSTOP) and killed, which must make no difference. The limit is what no push client can
 * avoid: a look at the clock and a copy of the same record into a plain ring in memory. Each
 * call is timed alone, limit and clients in turns; calls come in bursts with pauses between, as
 * in a training loop. The timer's own cost (one look at the clock) is in all figures alike.
 */
#include "tools/bench/bench_push.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/push/baro.h"

enum {
    TURNS = 9,
    QUICK_TURNS = 2,
    CALLS = 20000,
    BURST = 64,
    PAUSE_NS = 100000,
    RING_BYTES = 16 << 20,
    RECORD_BYTES = 56, /* header and one double */
    CLOSE_MS = 200,
    N_STATES = 4,
    N_FORMS = 2,
    N_CASES = N_STATES * N_FORMS
};

static const char *const state_names[N_STATES] = {
    "daemon alive", "daemon absent", "daemon stopped", "daemon killed"};
static const char *const form_names[N_FORMS] = {"scalar", "scalar by id"};

struct figures {
    double p50[TURNS];
    double p99[TURNS];
};

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

void push_to_plain(struct push_plain *ring, double value)
{
    uint8_t record[RECORD_BYTES] = {0};
    ring->stamp = baro_now_ns();
    memcpy(record + 24, &ring->stamp, sizeof ring->stamp);
    memcpy(record + 48, &value, sizeof value);
    memcpy(ring->bytes + ring->at, record, sizeof record);
    __asm__ volatile("" ::: "memory"); /* the copy must not be left out */
    ring->at = ring->at + 2 * RECORD_BYTES > RING_BYTES ? 0 : ring->at + RECORD_BYTES;
}

/* Time calls one by one; client NULL: the plain ring. */
static void measure(struct push_plain *ring, const struct push_client *client,
    bool is_by_id, double *samples, double *out_p50, double *out_p99)
{
    for (int i = 0; i < CALLS; i++) {
        if (i % BURST == 0) {
            pause_a_little();
            if (client != NULL) { /* the first call after a pause pays for waking up */
                (void)baro_step(client->run, i / BURST);
            } else {
                push_to_plain(ring, 0.0);
            }
        }
        double value = (double)i;
        uint64_t start_ns = baro_now_ns();
        if (client == NULL) {
            push_to_plain(ring, value);
        } else if (is_by_id) {
            (void)baro_scalar_id(client->run, client->id, value);
        } else {
            (void)baro_scalar(client->run, "train/loss", value);
        }
        samples[i] = (double)(baro_now_ns() - start_ns);
    }
    *out_p50 = bench_quantile(samples, CALLS, 0.50);
    *out_p99 = bench_quantile(samples, CALLS, 0.99);
}

static int open_client(
    struct bench *bench, struct push_client *client, const char *endpoint)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "bench";
    options.mode = "online";
    options.endpoint = endpoint;
    options.ring_bytes = RING_BYTES;
    client->run = baro_open(&options, &err);
    if (client->run == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    client->id = baro_declare_scalar(client->run, "train/loss");
    return 0;
}

/* Wait until a client has met its daemon, at most a second. */
static void wait_connected(const struct push_client *client)
{
    struct baro_stats stats = {0};
    for (int i = 0; i < 1000 && !stats.is_connected; i++) {
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
        (void)baro_stats(client->run, &stats);
    }
}

/* End a client and its ring file, whether or not its daemon has it all. */
static void close_client(struct push_client *client)
{
    char path[4096];
    if (client->run != NULL) {
        (void)snprintf(path, sizeof path, "%s", baro_ring_path(client->run));
        (void)baro_close(client->run, CLOSE_MS);
        (void)remove(path);
    }
}

static void run_turns(struct bench *bench, struct push_client *clients,
    struct push_plain *ring, double *samples)
{
    static struct figures figures[N_CASES];
    struct figures limit;
    size_t n_turns = bench_is_quick(bench) ? QUICK_TURNS : TURNS;
    for (size_t turn = 0; turn < n_turns; turn++) {
        measure(ring, NULL, false, samples, &limit.p50[turn], &limit.p99[turn]);
        for (int c = 0; c < N_CASES; c++) {
            measure(ring, &clients[c % N_STATES], c >= N_STATES, samples,
                &figures[c].p50[turn], &figures[c].p99[turn]);
        }
    }
    double limit_p50 = bench_median(limit.p50, n_turns);
    double limit_p99 = bench_median(limit.p99, n_turns);
    for (int c = 0; c < N_CASES; c++) {
        char name[96];
        const char *form = form_names[c / N_STATES];
        const char *state = state_names[c % N_STATES];
        (void)snprintf(name, sizeof name, "%s p50, %s", form, state);
        bench_report_samples(bench, "push", name, figures[c].p50, n_turns, "ns", limit_p50,
            "memcpy of the same record and one clock");
        (void)snprintf(name, sizeof name, "%s p99, %s", form, state);
        bench_report_samples(bench, "push", name, figures[c].p99, n_turns, "ns", limit_p99,
            "memcpy of the same record and one clock");
    }
}

int bench_push(struct bench *bench)
{
    struct bench_daemon alive = {0};
    struct bench_daemon stopped = {0};
    struct bench_daemon killed = {0};
    struct push_client clients[N_STATES] = {0};
    char nowhere[512];
    (void)snprintf(nowhere, sizeof nowhere, "ipc://%s/no.sock", bench_dir(bench));
    struct push_plain ring = {.bytes = baro_xcalloc(1, RING_BYTES)};
    double *samples = baro_xcalloc(CALLS, sizeof *samples);
    int rc = bench_daemon_start(bench, &alive);
    if (rc == 0 && (rc = bench_daemon_start(bench, &stopped)) == 0 &&
        (rc = bench_daemon_start(bench, &killed)) == 0 &&
        (rc = open_client(bench, &clients[0], alive.endpoint)) == 0 &&
        (rc = open_client(bench, &clients[1], nowhere)) == 0 &&
        (rc = open_client(bench, &clients[2], stopped.endpoint)) == 0 &&
        (rc = open_client(bench, &clients[3], killed.endpoint)) == 0) {
        wait_connected(&clients[2]);
        wait_connected(&clients[3]);
        bench_daemon_pause(&stopped, true);
        bench_daemon_stop(&killed, true);
        memset(
            ring.bytes, 1, RING_BYTES); /* after the forks, which made it copy-on-write */
        run_turns(bench, clients, &ring, samples);
        bench_stall(bench, &ring, clients, state_names, N_STATES);
        bench_python(bench);
        struct baro_stats stats;
        (void)baro_stats(clients[0].run, &stats);
        bench_note(bench, "alive: %llu records pushed, %llu dropped",
            (unsigned long long)stats.n_pushed, (unsigned long long)stats.n_dropped);
    }
    for (int c = 0; c < N_STATES; c++) {
        close_client(&clients[c]);
    }
    bench_daemon_pause(&stopped, false);
    bench_daemon_stop(&stopped, true);
    bench_daemon_stop(&killed, true);
    bench_daemon_stop(&alive, false);
    free(samples);
    free(ring.bytes);
    return rc;
}
