/* SPDX-License-Identifier: Apache-2.0 */
/* Sending on the ROUTER socket without ever waiting for a peer. Ingest thread only. */
#ifndef BAROD_OUTBOX_H
#define BAROD_OUTBOX_H

#include <stdbool.h>

#include "proto/wire.h"

enum { PEER_MAX_BYTES = 255 };

/* Where a connection comes from, as far as trust goes. */
enum peer_origin {
    PEER_LOCAL = 0, /* a Unix socket, or tcp:// with --insecure: may do everything */
    PEER_KEYED,     /* tcp:// with an admitted key */
    PEER_UNKNOWN    /* neither: may do nothing */
};

/* Who is at the other end: ZeroMQ's routing id of one connection, and its key. */
struct peer {
    uint8_t n_bytes;
    uint8_t bytes[PEER_MAX_BYTES];
    uint8_t origin;  /* enum peer_origin */
    uint8_t key[32]; /* PEER_KEYED: the public key that it has proved to own */
};

/* Counts frames that were sent, or are to be, and lie in this process still: what tells whether
 * a peer keeps up with what it did not ask for piece by piece. */
struct outbox_flow;

/* One raw frame to send. */
struct frame {
    void *bytes; /* borrowed, or malloc'd and taken over */
    size_t n_bytes;
    bool is_taken;            /* the outbox frees bytes, also on failure */
    struct outbox_flow *flow; /* of a taken frame: it is counted there; or NULL */
};

/**
 * Send an envelope and raw frames to a peer.
 *
 * envelope  packed here; its version is set
 * returns   0; BARO_ENOENT when the peer is gone; BARO_EFULL when it does not read; BARO_EIO
 */
int outbox_send(void *socket, const struct peer *peer, Baro__Envelope *envelope,
    struct frame *frames, size_t n_frames);

/** Send an envelope that is packed already; packed is taken over, also on failure. */
int outbox_send_packed(void *socket, const struct peer *peer, uint8_t *packed,
    size_t n_packed, struct frame *frames, size_t n_frames);

/** Make a counter of frames. */
struct outbox_flow *outbox_flow_create(void);

/** Let go of it; it ends with the last frame that it counts. Accepts NULL. */
void outbox_flow_release(struct outbox_flow *flow);

/** Tell how many frames that it counts have not left yet. Any thread. */
size_t outbox_flow_held(const struct outbox_flow *flow);

/** Count a taken frame until it has left or is dropped. Any thread. */
void outbox_flow_hold(struct outbox_flow *flow, struct frame *frame);

/** Free the bytes of a taken frame that was not sent. */
void outbox_drop(struct frame *frame);

/** Send a Refusal: the one sentence that says why something was not done. */
int outbox_refuse(
    void *socket, const struct peer *peer, uint64_t request, int code, const char *text);

#endif
