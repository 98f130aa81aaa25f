/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What whoever connects to a daemon does about keys: choose them for the endpoint, tell the
 * socket, and put a failed handshake into words. Used by libbaro's peer and by lib/link.
 */
#ifndef BARO_KEYS_CLIENT_H
#define BARO_KEYS_CLIENT_H

#include "lib/keys/keys.h"

enum { KEYS_PATH_SHOWN = 96 };

/* How to connect to one endpoint. Zeroed: without keys. */
struct keys_client {
    bool is_tcp;
    bool is_ipv6;
    bool is_curve; /* pair is set */
    struct keys_pair pair;
    char path[KEYS_PATH_SHOWN]; /* of the key file, perhaps cut, to be told */
};

/**
 * Choose the keys for an endpoint: none for ipc://; for tcp:// those of the key file.
 *
 * key_file  NULL: BARO_KEY
 * returns   0; BARO_EACCES for tcp:// without a key, unless BARO_INSECURE is 1; codes of keys_read
 */
int keys_choose(const char *endpoint, const char *key_file, struct keys_client *out_client,
    struct baro_err *err);

/** Tell a socket, before it connects, about keys and how to notice a dead line: 0 or BARO_EIO. */
int keys_prepare(const struct keys_client *client, void *socket);

/** The events of a socket's monitor that keys_explain puts into words. */
int keys_events(void);

/**
 * Say what an event of a socket's monitor means for the one who waits for the connection.
 *
 * event    ZeroMQ's event and its value
 * text     the sentence; untouched when 0 is returned
 * returns  0: no failed handshake; BARO_EACCES: refused, trying again is of no use until somebody
 *          does something; BARO_EIO: the line ended, perhaps because the keys do not fit
 */
int keys_explain(const struct keys_client *client, unsigned event, uint32_t value,
    const char *endpoint, char *text, size_t text_bytes);

#endif
