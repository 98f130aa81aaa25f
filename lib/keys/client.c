/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/keys/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * What goes wrong in a handshake, as the connecting side sees it:
 *
 *   the daemon does not list our key          FAILED_AUTH, status 400
 *   our key file names another daemon's key   the daemon ends the line: FAILED_NO_DETAIL
 *   one side has keys, the other has not      FAILED_PROTOCOL, mechanism mismatch
 *   something else listens there              FAILED_PROTOCOL or FAILED_NO_DETAIL
 *
 * A line that is dead without a word (a laptop that sleeps, a router that forgot) is noticed by
 * TCP's own probes; ZeroMQ's heartbeats would end a slow line that only has much to carry.
 */

enum { TCP_IDLE_S = 20, TCP_PROBE_S = 10, TCP_N_PROBES = 3, TCP_UNANSWERED_MS = 60000 };

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && strcmp(value, "1") == 0;
}

int keys_choose(const char *endpoint, const char *key_file, struct keys_client *out_client,
    struct baro_err *err)
{
    *out_client = (struct keys_client){.is_tcp = strncmp(endpoint, "tcp://", 6) == 0,
        .is_ipv6 = strchr(endpoint, '[') != NULL};
    if (!out_client->is_tcp) {
        return 0;
    }
    if (key_file == NULL || key_file[0] == '\0') {
        key_file = getenv("BARO_KEY");
    }
    if (key_file == NULL || key_file[0] == '\0') {
        return is_set("BARO_INSECURE")
                   ? 0
                   : baro_err_set(err, BARO_EACCES,
                         "%.60s needs a key: make one with 'baro key new' and name its file with "
                         "BARO_KEY or --key; BARO_INSECURE=1 goes without",
                         endpoint);
    }
    int rc = keys_read(key_file, &out_client->pair, err);
    if (rc != 0) {
        return rc;
    }
    if (!out_client->pair.has_server) {
        keys_forget(&out_client->pair);
        return baro_err_set(err, BARO_EINVAL,
            "the key file '%.60s' has no 'server = KEY' line: 'baro key server' prints it on "
            "the daemon's machine",
            key_file);
    }
    out_client->is_curve = true;
    (void)snprintf(out_client->path, sizeof out_client->path, "%s", key_file);
    return 0;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

int keys_prepare(const struct keys_client *client, void *socket)
{
    if (!client->is_tcp) {
        return 0;
    }
    int rc = set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    rc |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, TCP_IDLE_S);
    rc |= set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, TCP_PROBE_S);
    rc |= set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, TCP_N_PROBES);
    (void)set_int(socket, ZMQ_TCP_MAXRT, TCP_UNANSWERED_MS); /* not everywhere */
    rc |= client->is_ipv6 ? set_int(socket, ZMQ_IPV6, 1) : 0;
    if (client->is_curve) {
        const struct keys_pair *pair = &client->pair;
        rc |= zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, pair->server_key, KEYS_BYTES);
        rc |= zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, pair->public_key, KEYS_BYTES);
        rc |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair->secret_key, KEYS_BYTES);
    }
    return rc == 0 ? 0 : BARO_EIO;
}

int keys_events(void)
{
    return ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
           ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
}

/* Both sides speak ZeroMQ, but only one of them has keys, or nobody understands the other. */
static void explain_protocol(const struct keys_client *client, uint32_t value,
    const char *endpoint, char *text, size_t text_bytes)
{
    if (value != ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
        (void)snprintf(text, text_bytes,
            "what listens at %.80s is no Barograph daemon, or its key is another one than in "
            "'%.80s'",
            endpoint, client->is_curve ? client->path : "(no key)");
    } else if (client->is_curve) {
        (void)snprintf(text, text_bytes,
            "the daemon at %.80s takes no keys: it was started with --insecure; go without "
            "--key and BARO_KEY, and with BARO_INSECURE=1, if that is meant",
            endpoint);
    } else {
        (void)snprintf(text, text_bytes,
            "the daemon at %.80s admits only listed keys: name your key file with BARO_KEY or "
            "--key, and leave out --insecure",
            endpoint);
    }
}

int keys_explain(const struct keys_client *client, unsigned event, uint32_t value,
    const char *endpoint, char *text, size_t text_bytes)
{
    char hex[KEYS_HEX_BYTES];
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        (void)snprintf(text, text_bytes,
            "the daemon at %.60s does not admit this key; on its machine: baro key allow %s "
            "--role ROLE --name NAME",
            endpoint, keys_format(client->pair.public_key, hex));
        return BARO_EACCES;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        explain_protocol(client, value, endpoint, text, text_bytes);
        return BARO_EACCES;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        if (client->is_curve) {
            (void)snprintf(text, text_bytes,
                "whoever answers at %.80s ended the handshake: nothing listens behind it, or "
                "the server key in '%.80s' is not its key ('baro key server' prints that there)",
                endpoint, client->path);
        } else {
            (void)snprintf(text, text_bytes,
                "whoever answers at %.80s ended the connection at once: nothing listens behind it, or "
                "it admits only keys (BARO_KEY or --key names yours)",
                endpoint);
        }
        return BARO_EIO;
    default: return 0;
    }
}
