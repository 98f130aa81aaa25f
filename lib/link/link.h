/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side of the protocol: one DEALER socket to a daemon, used by baro, baro-view and
 * tests. Not thread safe: one thread owns a link.
 */
#ifndef BARO_LINK_H
#define BARO_LINK_H

#include <stdbool.h>

#include "proto/wire.h"

struct link;

enum { LINK_MAX_FRAMES = 512 };

/* One message from the daemon; release with link_message_release. */
struct link_message {
    struct wire_message wire; /* wire.envelope->body_case says what */
    size_t n_bytes;           /* of raw frames as they came over the wire */
    size_t n_packed;          /* of the envelope */
    size_t n_frames; /* raw frames behind the envelope; columns are unpacked, those of a
                               * RangeReply and of a SampleFinding */
    struct link_frame {
        const uint8_t *bytes; /* 8-byte aligned, owned by the message */
        size_t n_bytes;
        void *holder; /* link.c's own: what the bytes lie in; NULL: memory of their own */
    } * frames;
    void *columns; /* link.c's own: what unpacked frames lie in */
};

/**
 * Connect (lazily: a daemon need not be there yet).
 *
 * endpoint  NULL: BARO_ENDPOINT, else the endpoint of the data folder; for tcp:// the keys are
 *           those of the file that BARO_KEY names, unless BARO_INSECURE is 1
 * returns   NULL with the reason
 */
struct link *link_open(const char *endpoint, struct baro_err *err);

/** Close at once, unsent requests are dropped; accepts NULL. */
void link_close(struct link *link);

/** Tell the endpoint in use. */
const char *link_endpoint(const struct link *link);

/**
 * Ask and wait for the reply.
 *
 * request  its request number is set here
 * returns  0; BARO_ETIMEOUT (no daemon answers, or one listens but does not answer); the code of a
 *          Refusal with its text; BARO_EACCES when the keys do not fit; BARO_EVERSION
 * Live messages that arrive meanwhile are kept for link_next.
 */
int link_ask(struct link *link, Baro__Envelope *request, int timeout_ms,
    struct link_message *out_reply, struct baro_err *err);

/** Send without waiting; the reply comes through link_next. Returns the request number or < 0. */
int64_t link_send(struct link *link, Baro__Envelope *request, struct baro_err *err);

/**
 * Wait for the next reply to a request that link_send sent: a SampleRequest has many.
 *
 * request  as link_send gave it
 * returns  as link_ask; after BARO_ETIMEOUT the request goes on, and may be waited for again
 * Whatever else arrives meanwhile is kept for link_next.
 */
int link_await(struct link *link, int64_t request, int timeout_ms,
    struct link_message *out_reply, struct baro_err *err);

/**
 * End a request that is answered by many: sends a CancelRequest, and throws away what still comes.
 *
 * request  as link_send gave it; numbers below 1 are ignored
 */
void link_cancel(struct link *link, int64_t request);

/**
 * Take the next message, live or reply.
 *
 * timeout_ms  0: only what is there
 * returns  1 with a message, 0 when none came, negative code
 */
int link_next(struct link *link, int timeout_ms, struct link_message *out_message,
    struct baro_err *err);

/**
 * Tell how often the connection has been made: 0 before the first time. A rise after 1 means that
 * the daemon was away: whoever subscribed has to subscribe again. Kept up by link_next and link_ask.
 */
unsigned link_n_connects(const struct link *link);

/** Tell whether the connection stands, as far as link_next and link_ask have seen. */
bool link_is_connected(const struct link *link);

/**
 * Tell in a sentence why the last try to connect failed: keys that do not fit, a line that ends
 * at once. "" when there is a connection or nothing is known.
 */
const char *link_trouble(const struct link *link);

/**
 * Tell at once whether somebody listens at the endpoint, without waiting for an answer.
 *
 * returns  false when a Unix socket is not there or has no listener; true when there is one, and
 *          for every other kind of endpoint, where only asking tells
 */
bool link_is_served(const struct link *link);

/** Release a message; accepts a zeroed one. */
void link_message_release(struct link_message *message);

/** Give a descriptor that becomes readable when link_next may have something (edge-triggered). */
int link_fd(const struct link *link);

#endif
