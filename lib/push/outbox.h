/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a ring goes out over a connection: batches of records in order, what of them is under
 * way, how much that may be, and how far the daemon's acknowledgements go. Used by one sender's
 * thread; only outbox_read_progress is for any thread.
 */
#ifndef BARO_OUTBOX_H
#define BARO_OUTBOX_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/ringfile.h"
#include "lib/push/peer.h"
#include "lib/push/sender.h"

enum { OUTBOX_FLIGHTS = 64 };

/* A batch that is not acknowledged yet. */
struct outbox_flight {
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t n_missing; /* records before it that had given way */
    size_t bytes;
    uint64_t sent_ns;
};

/* Fields are the outbox's own. */
struct outbox {
    struct ringfile *ring; /* borrowed, like the peer */
    struct peer *peer;
    bool is_recovery;
    bool is_far;               /* over tcp:// */
    uint8_t *buffer;           /* RECORD_MAX_BYTES */
    uint8_t *sticky;           /* as large as the sticky area */
    struct ringfile_info info; /* as it was at the start */

    bool was_full;     /* the last batch was filled by its bytes: more of the kind waits */
    uint64_t batch_ns; /* when the last batch went out */
    struct ringfile_cursor cursor;
    uint64_t next_seq; /* the next batch begins here, or behind what gave way */
    uint64_t sticky_sent;
    struct outbox_flight
        flights[OUTBOX_FLIGHTS]; /* a ring: n_flights from first_flight on */
    unsigned first_flight;
    unsigned n_flights;
    size_t flying_bytes;
    size_t window_bytes; /* flying_bytes may come to */
    uint64_t
        told_seq; /* recovery: number of the record that tells the drops; 0: none sent */
    uint64_t told[2];

    _Atomic uint64_t n_sent;
    _Atomic uint64_t acked_seq;
    _Atomic uint64_t n_missing; /* records up to acked_seq that never came to the daemon */
    _Atomic uint64_t
        drained_seq; /* nothing was left to send up to here: damage is passed over */
    _Atomic uint64_t n_damaged_bytes;
    _Atomic bool is_waiting; /* something is under way */
};

/**
 * Begin with a ring.
 *
 * peer     to send to; borrowed, like the ring
 * is_far   it is reached over tcp://
 * returns  0; BARO_ENOMEM; outbox_free it in either case
 */
int outbox_init(struct outbox *outbox, struct ringfile *ring, struct peer *peer,
    bool is_recovery, bool is_far);

/** Free what it holds; accepts one that is all zero. */
void outbox_free(struct outbox *outbox);

/**
 * Copy the ring's sticky area, to go out with a greeting.
 *
 * out_frame  valid until the next call with this outbox
 * returns    0, or codes of ringfile_copy_sticky
 */
int outbox_read_sticky(struct outbox *outbox, struct peer_frame *out_frame);

/** The daemon's commits go up to this record: sending begins behind it, of a new connection. */
void outbox_begin(struct outbox *outbox, uint64_t last_seq);

/** The connection is gone, and with it what was under way. */
void outbox_interrupt(struct outbox *outbox);

/**
 * Send batches as long as some are due and the window has room.
 *
 * is_urgent     send also what is not worth a batch yet
 * out_has_sent  set to whether anything went out
 * returns       0; BARO_EIO: the connection broke; other codes: the ring could not be read
 */
int outbox_fill(struct outbox *outbox, uint64_t now, bool is_urgent, bool *out_has_sent);

/**
 * Everything up to this record is committed.
 *
 * returns  true when that is more than before
 */
bool outbox_on_ack(struct outbox *outbox, uint64_t now, uint64_t last_seq);

/** Tell whether anything is under way. */
bool outbox_is_waiting(const struct outbox *outbox);

/** Tell whether nothing is under way nor left in the ring. */
bool outbox_is_empty(const struct outbox *outbox);

/** Fill in what a sender's progress has of the records: all but its connection. */
void outbox_read_progress(
    const struct outbox *outbox, struct sender_progress *out_progress);

#endif
