/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what over tcp://. ZeroMQ asks here whether a key is admitted (ZAP, RFC 27); every
 * message is looked at again, so that a key that was taken off the list is out at once. What
 * comes through a Unix socket is its owner's and may do everything. Ingest thread only.
 */
#ifndef BAROD_ACCESS_H
#define BAROD_ACCESS_H

#include "daemon/options.h"
#include "daemon/outbox.h"
#include "lib/keys/allowed.h"

struct access;

/**
 * Read the list of keys and answer ZeroMQ's questions from now on.
 *
 * out_access  the caller's; access_close it
 * returns     0; codes of allowed_read and keys_read; BARO_EIO
 */
int access_open(struct access **out_access, void *context, const struct options *options,
    struct baro_err *err);

/** Stop answering and free; accepts NULL. */
void access_close(struct access *access);

/** Tell a socket to take only admitted keys from the next zmq_bind on: 0 or BARO_EIO. */
int access_guard(const struct access *access, void *socket);

/** Give the socket on which ZeroMQ asks, for the loop to wait on. */
void *access_socket(const struct access *access);

/** Answer what ZeroMQ asks; bounded. Returns how many keys were refused. */
unsigned access_answer(struct access *access);

/** Read the list again if it was changed; true when it was. */
bool access_refresh(struct access *access);

/** Fill in a peer's origin and key from a part of a message (zmq_msg_t) as received. */
void access_identify(const struct access *access, void *part, struct peer *peer);

/** Name a peer for people: "the daemon's owner", "the key 'laptop'". Returns out. */
char *access_name(
    const struct access *access, const struct peer *peer, char *out, size_t out_bytes);

/**
 * Check that a peer may do something.
 *
 * roles    what is needed, any of these; KEYS_ADMIN always will do
 * doing    "reading runs": begins the sentence of a refusal
 * returns  0 or BARO_EACCES with the sentence
 */
int access_check(const struct access *access, const struct peer *peer, unsigned roles,
    const char *doing, struct baro_err *err);

#endif
