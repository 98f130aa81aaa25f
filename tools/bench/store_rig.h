/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benches of the store share: filling, asking, forgetting what is cached, looking at
 * the daemon's process, and the limit of an answer, a socket that only moves its bytes.
 */
#ifndef BARO_STORE_RIG_H
#define BARO_STORE_RIG_H

#include "lib/link/link.h"
#include "tools/bench/bench.h"
#include "tools/bench/feed.h"

enum { RIG_STEP_NS = 10000000 }; /* a made-up training's step takes so long */

/* Numbers that look like a noisy loss; the same on every machine. */
struct rig_noise {
    uint64_t state;
};

/** Give the value at a step: a slow fall with noise, a float as trainings report them. */
float rig_noise_value(struct rig_noise *noise, int64_t step);

/** Give a uniform number in [0, 1). */
double rig_noise_uniform(struct rig_noise *noise);

/** Give the wall time of a step with two percent of jitter. */
int64_t rig_time_ns(struct rig_noise *noise, int64_t step);

/** Tell the bytes of the store's file; 0 when there is none. */
uint64_t rig_file_bytes(const struct bench_daemon *daemon);

/**
 * Make the system forget what it has cached of the store's file; the daemon must not run, for
 * what a process has mapped stays.
 *
 * returns  the share of the file that is cached still, or -1 when the system cannot tell
 */
double rig_drop_cache(const struct bench_daemon *daemon);

/** Wait until the daemon has nothing left to do: it takes no processor time. At most two minutes. */
void rig_await_idle(const struct bench_daemon *daemon);

/* Memory of a process: its own, and pages of files that it has mapped. */
struct rig_memory {
    uint64_t own_bytes;
    uint64_t file_bytes;
};

/** Look at a process' memory; zeros when it is gone. */
struct rig_memory rig_memory(pid_t pid);

/** Read one of the daemon's counters; 0 when it does not answer. */
uint64_t rig_counter(struct link *link, const char *name);

/* Which series to ask for: one column of each of n_things things, the first of them first. */
struct rig_query {
    uint32_t run;
    uint32_t first_thing;
    uint32_t n_things;
    uint32_t kind;
    uint32_t stat;
    int32_t unit;
    int64_t from_step;
    int64_t to_step;
    uint32_t columns;
    size_t series_bytes; /* for rig_raw_answer: what the answer takes for each series */
};

/* What came. */
struct rig_answer {
    double seconds;
    uint64_t n_bytes;
    uint64_t n_readings;
};

/**
 * Ask and wait for all of the answer; more series than a request may have are asked in several
 * requests at a time.
 */
int rig_ask(struct link *link, const struct rig_query *query, struct rig_answer *out,
    struct baro_err *err);

/**
 * Measure how long a socket of the same kind takes for an answer of the same size.
 *
 * dir      for the socket
 * samples  n_turns seconds
 */
int rig_raw_answer(const char *dir, const struct rig_query *query, double *samples,
    size_t n_turns, struct baro_err *err);

#endif
