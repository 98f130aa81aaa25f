/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"

#define LOG_MODULE "access"

/*
 * CURVE proves that the other side owns a key; whether that key is admitted, ZeroMQ asks over an
 * inproc socket of its own (ZAP, RFC 27). Our answer names the key as the connection's "User-Id",
 * which then comes with every message.
 *
 * A connection cannot be ended from here. So each message is checked against the list as it is
 * now, subscriptions of keys that are gone end when the list is read, and a new handshake fails.
 *
 * A list that cannot be read admits nobody; a line that cannot be understood admits nobody.
 */

enum {
    MAX_ANSWERS = 16, /* a turn */
    ZAP_PARTS = 7,    /* version, request, domain, address, identity, mechanism, key */
    ZAP_PART_BYTES = 256
};
static const char zap_endpoint[] = "inproc://zeromq.zap.01";
static const char zap_domain[] = "barod";

struct access {
    void *socket; /* answers ZeroMQ; NULL: there are no keys to check */
    struct keys_pair pair;
    char path[BARO_PATH_BYTES];
    struct allowed allowed;
    struct stat seen; /* of the list as read; all zero: it was not there */
    bool is_changed;  /* since access_refresh last said so */
};

/* ---- the list ---- */

static void look(const struct access *access, struct stat *out)
{
    if (stat(access->path, out) != 0) {
        *out = (struct stat){0};
    }
}

static void reread(struct access *access)
{
    struct stat now;
    look(access, &now);
    const struct stat *seen = &access->seen;
    if (now.st_ino == seen->st_ino && now.st_size == seen->st_size &&
        now.st_mode == seen->st_mode && now.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == seen->st_mtim.tv_nsec) {
        return;
    }
    struct baro_err err = {0};
    access->seen = now;
    allowed_finish(&access->allowed);
    if (allowed_read(access->path, &access->allowed, &err) != 0) {
        log_error("the list of keys: %s", err.text);
    }
    log_info("the list of keys was changed: %zu are admitted now", access->allowed.n_keys);
    access->is_changed = true;
}

bool access_refresh(struct access *access)
{
    if (access->socket != NULL) {
        reread(access);
    }
    bool is_changed = access->is_changed;
    access->is_changed = false;
    return is_changed;
}

/* ---- ZeroMQ's questions ---- */

struct zap {
    char parts[ZAP_PARTS][ZAP_PART_BYTES];
    size_t n_bytes[ZAP_PARTS];
    int n_parts;
};

/* Take one question; false when there is none. What is too long is left out. */
static bool receive_question(void *socket, struct zap *zap)
{
    *zap = (struct zap){0};
    int is_more = 1;
    while (is_more != 0) {
        char part[ZAP_PART_BYTES];
        int n = zmq_recv(socket, part, sizeof part, ZMQ_DONTWAIT);
        if (n < 0) {
            return false;
        }
        if (zap->n_parts < ZAP_PARTS) {
            size_t n_kept = (size_t)n < sizeof part ? (size_t)n : sizeof part - 1;
            memcpy(zap->parts[zap->n_parts], part, n_kept);
            zap->n_bytes[zap->n_parts] = n_kept;
        }
        zap->n_parts++;
        size_t size = sizeof is_more;
        (void)zmq_getsockopt(socket, ZMQ_RCVMORE, &is_more, &size);
    }
    return true;
}

static void send_answer(
    void *socket, const struct zap *zap, const char *status, const char *user)
{
    const char *const parts[] = {"1.0", zap->parts[1], status, "", user, ""};
    for (size_t i = 0; i < BARO_LEN(parts); i++) {
        size_t n_bytes = i == 1 ? zap->n_bytes[1] : strlen(parts[i]);
        bool is_last = i + 1 == BARO_LEN(parts);
        (void)zmq_send(
            socket, parts[i], n_bytes, ZMQ_DONTWAIT | (is_last ? 0 : ZMQ_SNDMORE));
    }
}

/* Answer one question; true when the key is admitted. */
static bool answer_one(struct access *access, const struct zap *zap)
{
    char hex[KEYS_HEX_BYTES] = "";
    bool is_right = zap->n_parts == ZAP_PARTS && zap->n_bytes[6] == KEYS_BYTES &&
                    strcmp(zap->parts[5], "CURVE") == 0;
    const struct allowed_key *key = NULL;
    if (is_right) {
        (void)keys_format((const uint8_t *)zap->parts[6], hex);
        key = allowed_find(&access->allowed, (const uint8_t *)zap->parts[6]);
    }
    if (key == NULL) {
        log_warn_every_second(
            "turned away a client from %s: its key is not on the list: %s", zap->parts[3],
            hex);
    } else {
        log_debug("admitted '%s' from %s", key->name, zap->parts[3]);
    }
    send_answer(access->socket, zap, key != NULL ? "200" : "400", key != NULL ? hex : "");
    return key != NULL;
}

unsigned access_answer(struct access *access)
{
    unsigned n_refused = 0;
    struct zap zap;
    if (access->socket == NULL) {
        return 0;
    }
    reread(access);
    for (int i = 0; i < MAX_ANSWERS && receive_question(access->socket, &zap); i++) {
        n_refused += answer_one(access, &zap) ? 0 : 1;
    }
    return n_refused;
}

void *access_socket(const struct access *access)
{
    return access->socket;
}

/* ---- who sent it, and what it may do ---- */

void access_identify(const struct access *access, void *part, struct peer *peer)
{
    const char *user = zmq_msg_gets(part, "User-Id");
    if (user != NULL) {
        peer->origin = keys_parse(user, peer->key) ? PEER_KEYED : PEER_UNKNOWN;
        return;
    }
    peer->origin = PEER_LOCAL;
    if (access->socket !=
        NULL) { /* a Unix socket names its peer's process in the address */
        const char *address = zmq_msg_gets(part, "Peer-Address");
        bool is_unix = address == NULL || strchr(address, '.') == NULL;
        peer->origin = is_unix ? PEER_LOCAL : PEER_UNKNOWN;
    }
}

char *access_name(
    const struct access *access, const struct peer *peer, char *out, size_t out_bytes)
{
    const struct allowed_key *key =
        peer->origin == PEER_KEYED ? allowed_find(&access->allowed, peer->key) : NULL;
    if (key != NULL) {
        (void)snprintf(out, out_bytes, "the key '%s'", key->name);
    } else {
        (void)snprintf(out, out_bytes, "%s",
            peer->origin == PEER_LOCAL ? "the daemon's owner" : "somebody");
    }
    return out;
}

int access_check(const struct access *access, const struct peer *peer, unsigned roles,
    const char *doing, struct baro_err *err)
{
    if (peer->origin == PEER_LOCAL) {
        return 0;
    }
    const struct allowed_key *key =
        peer->origin == PEER_KEYED ? allowed_find(&access->allowed, peer->key) : NULL;
    char had[ALLOWED_ROLES_BYTES];
    char needed[ALLOWED_ROLES_BYTES];
    if (key == NULL) {
        return baro_err_set(err, BARO_EACCES,
            "this key is not on the daemon's list (any more): see 'baro key allow'");
    }
    if ((key->roles & (roles | KEYS_ADMIN)) != 0) {
        return 0;
    }
    return baro_err_set(err, BARO_EACCES,
        "%s needs a key with the role '%s'; '%s' has '%s': see 'baro key allow'", doing,
        allowed_format_roles(roles != 0 ? roles : KEYS_ADMIN, needed), key->name,
        allowed_format_roles(key->roles, had));
}

/* ---- begin and end ---- */

int access_guard(const struct access *access, void *socket)
{
    if (access->socket == NULL) {
        return 0;
    }
    int is_server = 1;
    int rc = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server);
    rc |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, access->pair.secret_key, KEYS_BYTES);
    rc |= zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, zap_domain, sizeof zap_domain - 1);
    return rc == 0 ? 0 : BARO_EIO;
}

static int open_keys(struct access *access, void *context, const struct options *options,
    struct baro_err *err)
{
    int rc = allowed_path(options->dir, access->path, err);
    look(access, &access->seen);
    rc = rc != 0 ? rc : allowed_read(access->path, &access->allowed, err);
    rc = rc != 0 ? rc : keys_read_server(options->dir, true, &access->pair, err);
    if (rc != 0) {
        return rc;
    }
    int linger = 0;
    access->socket = zmq_socket(context, ZMQ_REP);
    if (access->socket == NULL ||
        zmq_setsockopt(access->socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(access->socket, zap_endpoint) != 0) {
        return baro_err_set(err, BARO_EIO, "cannot check keys: %s", zmq_strerror(errno));
    }
    return 0;
}

int access_open(struct access **out_access, void *context, const struct options *options,
    struct baro_err *err)
{
    struct access *access = baro_xcalloc(1, sizeof *access);
    for (unsigned i = 0; options->is_insecure && i < options->n_endpoints; i++) {
        if (options_is_tcp(options->endpoints[i])) {
            log_warn("'%s' is served without keys: whoever reaches it may do everything",
                options->endpoints[i]);
        }
    }
    int rc = options_has_keys(options) ? open_keys(access, context, options, err) : 0;
    if (rc != 0) {
        access_close(access);
        return rc;
    }
    *out_access = access;
    return 0;
}

void access_close(struct access *access)
{
    if (access == NULL) {
        return;
    }
    if (access->socket != NULL) {
        (void)zmq_close(access->socket);
    }
    allowed_finish(&access->allowed);
    keys_forget(&access->pair);
    free(access);
}
