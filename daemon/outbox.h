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

/* One raw frame to send. */
struct frame {
    void *bytes; /* borrowed, or malloc'd and taken over */
    size_t n_bytes;
    bool is_taken; /* the outbox frees bytes, also on failure */
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

/** Send a Refusal: the one sentence that says why something was not done. */
int outbox_refuse(
    void *socket, const struct peer *peer, uint64_t request, int code, const char *text);

#endif
