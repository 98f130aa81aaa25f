/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_push.c and bench_stall.c share: clients in several states, and a plain ring. */
#ifndef BARO_BENCH_PUSH_H
#define BARO_BENCH_PUSH_H

#include "tools/bench/bench.h"

enum { PUSH_MOST_CLIENTS = 4 };

/* One client, in the state that its daemon is in. */
struct push_client {
    struct baro_run *run;
    int64_t id;
};

/* What a call is timed against. */
struct push_plain {
    uint8_t *bytes;
    size_t at;
    uint64_t stamp;
};

/** Look at the clock and copy a record of one number into the plain ring. */
void push_to_plain(struct push_plain *ring, double value);

/**
 * Report the worst of many calls for each client.
 *
 * clients  n_clients <= PUSH_MOST_CLIENTS; the first one's daemon is alive
 * names    of their states
 */
void bench_stall(struct bench *bench, struct push_plain *ring,
    const struct push_client *clients, const char *const *names, int n_clients);

/** Report what log() costs from Python; notes when there is no Python or no library. */
void bench_python(struct bench *bench);

#endif
