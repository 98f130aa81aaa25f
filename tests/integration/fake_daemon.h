/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon for tests of the push client: speaks the real protocol on a real socket, keeps what
 * it gets in memory, and misbehaves on request. Its memory outlives a restart.
 */
#ifndef BARO_FAKE_DAEMON_H
#define BARO_FAKE_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/testing.h"

#include "lib/base/reading.h"

enum { FAKE_MAX_SEQ = 1 << 20, FAKE_STICKY_BYTES = 1 << 20 };

/* How it behaves; may be changed at any time. */
enum fake_manner {
    FAKE_ACK,      /* as it should */
    FAKE_WITHHOLD, /* takes batches in, but acknowledges nothing */
    FAKE_FORGET,   /* neither keeps nor acknowledges batches, until the next Hello */
    FAKE_DEAF,     /* has a socket, reads nothing */
    FAKE_SLOW,     /* reads one message every 2 ms */
    FAKE_REFUSE,   /* answers Hello with a refusal */
    FAKE_OTHER     /* answers Hello in another version of the protocol */
};

struct fake_daemon {
    char endpoint[160];
    pthread_t thread;
    bool is_running;
    atomic_int manner;
    atomic_bool is_stopping;
    atomic_bool is_bound;

    pthread_mutex_t lock; /* guards all below */
    uint64_t last_seq;    /* committed */
    uint64_t n_records;   /* different ones */
    uint64_t n_repeats;   /* came again after they were committed */
    uint64_t n_by_kind[READING_KIND_END];
    uint64_t n_bad; /* messages and records that break the protocol */
    uint64_t n_hellos;
    uint64_t n_recovery_hellos;
    uint64_t n_beats;
    uint64_t n_stale; /* batches from connections before the last Hello */
    bool is_forgetting;
    uint8_t peer[256]; /* who sent the last Hello */
    size_t peer_bytes;
    uint64_t told_drops;
    double last_scalar;
    double status;
    char status_text[256];
    uint32_t n_declared; /* declarations seen, in order from 1 */
    char run_id[128];
    char first_name[600]; /* of thing 1 */
    uint8_t seen[FAKE_MAX_SEQ];
};

/** Give a daemon that is not running yet; endpoint is an ipc path in dir. */
struct fake_daemon *fake_create(const char *dir);

/** Start it and wait until its socket is there. */
void fake_start(struct fake_daemon *fake, enum fake_manner manner);

/** Stop it; its socket is gone afterwards. */
void fake_stop(struct fake_daemon *fake);

/** Stop and free. */
void fake_destroy(struct fake_daemon *fake);

/** Wait until a counter of it (under the lock) reaches a value; fails after 20 s. */
void fake_wait(struct fake_daemon *fake, const uint64_t *counter, uint64_t value);

/** Read a counter of it under the lock. */
uint64_t fake_get(struct fake_daemon *fake, const uint64_t *counter);

/** Count the sequence numbers from 1 to last that never came. */
uint64_t fake_missing(struct fake_daemon *fake, uint64_t last);

#endif
