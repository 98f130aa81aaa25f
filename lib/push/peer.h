/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of a sender: one DEALER that is connected to a daemon, with word of its loss. All
 * of ZeroMQ that libbaro uses is behind this. One thread only.
 */
#ifndef BARO_PEER_H
#define BARO_PEER_H

#include <stdbool.h>

#include "lib/keys/client.h"
#include "proto/wire.h"

struct peer;

/* A raw frame to send; copied. */
struct peer_frame {
    const void *data;
    size_t bytes;
};

/** Make a peer; nothing is opened yet. NULL without memory. */
struct peer *peer_create(void);

/** Close everything; accepts NULL. Bounded: nothing lingers. */
void peer_destroy(struct peer *peer);

/**
 * Begin to connect; goes on in the background for as long as it takes.
 *
 * keys     for the endpoint; borrowed until peer_disconnect
 * returns  0; BARO_ELIMIT when the process has too few file descriptors left for ZeroMQ, which
 *          would abort without them; BARO_EINVAL for a bad endpoint; BARO_EIO
 */
int peer_connect(struct peer *peer, const char *endpoint, const struct keys_client *keys,
    struct baro_err *err);

/** Drop the connection; peer_connect may be called again. */
void peer_disconnect(struct peer *peer);

/** Tell whether a message can be sent now: there is a connection and it has room. */
bool peer_can_send(struct peer *peer);

/**
 * Send an envelope and raw frames as one message, or nothing at all.
 *
 * returns  0; BARO_EBUSY when it cannot be sent now; BARO_EIO when the connection broke
 */
int peer_send(struct peer *peer, Baro__Envelope *envelope, const struct peer_frame *frames,
    int n_frames);

/** Wait until something happens, at most so long; without a connection just waits. */
void peer_wait(struct peer *peer, int wait_ms);

/** Tell whether a connection has ended, or its handshake failed, since peer_connect. */
bool peer_is_lost(struct peer *peer);

/**
 * Tell why a connection was lost or could not be made.
 *
 * returns  code 0: no more is known than peer_is_lost tells; BARO_EACCES: the keys do not fit;
 *          BARO_EIO: ended during the handshake. Valid until the next peer_connect.
 */
const struct baro_err *peer_trouble(const struct peer *peer);

/**
 * Take the next message of the daemon; its raw frames, if any, are passed over.
 *
 * out_message  wire_release it when 1 is returned
 * returns  1; 0 when there is none; a code of wire_unpack for a message that is no good
 */
int peer_receive(struct peer *peer, struct wire_message *out_message, struct baro_err *err);

#endif
