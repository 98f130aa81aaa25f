/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/raw_ingest.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lmdb.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"

/*
 * Messages of a quarter of a MiB, a commit with full synchronisation every 100 ms or 4 MiB, as in
 * the product. Nothing is checked, decoded, compressed or analysed, and more may be under way
 * unacknowledged, so that the socket never waits for a commit: it is a limit.
 */

enum {
    RAW_MESSAGE_BYTES = 256 << 10,
    RAW_WINDOW_BYTES = 16 << 20,
    RAW_HASTY_BYTES = 4 << 20,
    RAW_COMMIT_MS = 100,
    RAW_TIMEOUT_MS = 60000,
    RAW_POLL_MS = 5,
    RAW_VALUE_BYTES = 16 * 4096 - 16, /* fills its pages to the last byte */
    RAW_MAX_OPEN = 8
};

struct raw {
    char folder[BARO_PATH_BYTES];
    char endpoint[BARO_PATH_BYTES + 16];
    uint64_t n_bytes;
    void *context;
    void *socket; /* of the receiver */
    MDB_env *env; /* NULL: what arrives is thrown away */
    MDB_dbi dbi;
    uint8_t sender[256]; /* ZeroMQ's name for the sending side */
    size_t sender_bytes;
    uint64_t n_messages;
    int rc; /* of the receiver; LMDB's or -1 */
};

/* ---- the receiver ---- */

/* Take one message into the transaction. Returns its bytes, 0 when none waits, or -1. */
static int64_t put_message(struct raw *raw, MDB_txn *txn)
{
    int n = zmq_recv(raw->socket, raw->sender, sizeof raw->sender, ZMQ_DONTWAIT);
    if (n < 0) {
        return 0;
    }
    raw->sender_bytes = (size_t)n;
    zmq_msg_t message;
    (void)zmq_msg_init(&message);
    int64_t n_bytes = zmq_msg_recv(&message, raw->socket, 0);
    raw->n_messages++;
    MDB_val key = {sizeof raw->n_messages, &raw->n_messages};
    MDB_val value = {zmq_msg_size(&message), zmq_msg_data(&message)};
    raw->rc = n_bytes < 0   ? -1
              : txn != NULL ? mdb_put(txn, raw->dbi, &key, &value, MDB_APPEND)
                            : 0;
    (void)zmq_msg_close(&message);
    return raw->rc == 0 ? n_bytes : -1;
}

/* Gather messages for one commit. */
static uint64_t fill_txn(struct raw *raw, MDB_txn *txn, uint64_t left)
{
    uint64_t n_bytes = 0;
    uint64_t deadline_ns = baro_now_ns() + RAW_COMMIT_MS * UINT64_C(1000000);
    uint64_t enough = left < RAW_HASTY_BYTES ? left : RAW_HASTY_BYTES;
    while (raw->rc == 0 && n_bytes < enough && baro_now_ns() < deadline_ns) {
        int64_t n = put_message(raw, txn);
        n_bytes += n > 0 ? (uint64_t)n : 0;
        if (n == 0) {
            zmq_pollitem_t item = {.socket = raw->socket, .events = ZMQ_POLLIN};
            (void)zmq_poll(&item, 1, RAW_POLL_MS);
        }
    }
    return n_bytes;
}

static void *receive(void *payload)
{
    struct raw *raw = payload;
    uint64_t n_done = 0;
    uint64_t deadline_ns = baro_now_ns() + RAW_TIMEOUT_MS * UINT64_C(1000000);
    while (raw->rc == 0 && n_done < raw->n_bytes && baro_now_ns() < deadline_ns) {
        MDB_txn *txn = NULL;
        raw->rc = raw->env != NULL ? mdb_txn_begin(raw->env, NULL, 0, &txn) : 0;
        if (raw->rc != 0) {
            break;
        }
        n_done += fill_txn(raw, txn, raw->n_bytes - n_done);
        if (raw->rc != 0) {
            if (txn != NULL) {
                mdb_txn_abort(txn);
            }
            break;
        }
        raw->rc = txn != NULL ? mdb_txn_commit(txn) : 0;
        if (raw->rc == 0 && raw->sender_bytes > 0) {
            (void)zmq_send(raw->socket, raw->sender, raw->sender_bytes, ZMQ_SNDMORE);
            (void)zmq_send(raw->socket, &n_done, sizeof n_done, 0);
        }
    }
    return NULL;
}

/* ---- the sender ---- */

static int send_all(struct raw *raw, struct baro_err *err)
{
    void *socket = zmq_socket(raw->context, ZMQ_DEALER);
    baro_autofree uint8_t *bytes = baro_xcalloc(RAW_MESSAGE_BYTES, 1);
    int timeout_ms = RAW_TIMEOUT_MS;
    int linger_ms = 0;
    (void)zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    for (size_t i = 0; i < RAW_MESSAGE_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    int rc = zmq_connect(socket, raw->endpoint) == 0 ? 0 : BARO_EIO;
    uint64_t n_sent = 0;
    uint64_t n_acked = 0;
    while (rc == 0 && n_acked < raw->n_bytes) {
        uint64_t left = raw->n_bytes - n_sent;
        uint64_t n = left < RAW_MESSAGE_BYTES ? left : RAW_MESSAGE_BYTES;
        if (n > 0 && n_sent + n - n_acked <= RAW_WINDOW_BYTES) {
            rc = zmq_send(socket, bytes, n, 0) < 0 ? BARO_EIO : 0;
            n_sent += n;
        } else if (zmq_recv(socket, &n_acked, sizeof n_acked, 0) != sizeof n_acked) {
            rc = BARO_EIO;
        }
    }
    (void)zmq_close(socket);
    return rc == 0 ? 0
                   : baro_err_set(err, rc, "sending stopped after %llu bytes: %s",
                         (unsigned long long)n_sent, zmq_strerror(zmq_errno()));
}

/* ---- the whole ---- */

static int open_database(struct raw *raw, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_env_create(&raw->env);
    rc = rc != 0 ? rc : mdb_env_set_mapsize(raw->env, 2 * raw->n_bytes + (64U << 20));
    rc = rc != 0 ? rc : mdb_env_open(raw->env, raw->folder, 0, 0600);
    rc = rc != 0 ? rc : mdb_txn_begin(raw->env, NULL, 0, &txn);
    rc = rc != 0 ? rc : mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &raw->dbi);
    rc = rc != 0 ? rc : mdb_txn_commit(txn);
    return rc == 0 ? 0 : baro_err_set(err, BARO_EIO, "open LMDB: %s", mdb_strerror(rc));
}

static int remove_one(
    const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    (void)remove(path);
    return 0;
}

static int move_bytes(struct raw *raw, double *out_seconds, struct baro_err *err)
{
    pthread_t receiver;
    int linger_ms = 0;
    raw->context = zmq_ctx_new();
    raw->socket = zmq_socket(raw->context, ZMQ_ROUTER);
    (void)zmq_setsockopt(raw->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    int rc = zmq_bind(raw->socket, raw->endpoint) == 0
                 ? 0
                 : baro_err_set(err, BARO_EIO, "bind: %s", zmq_strerror(zmq_errno()));
    uint64_t start_ns = baro_now_ns();
    if (rc == 0 && pthread_create(&receiver, NULL, receive, raw) == 0) {
        rc = send_all(raw, err);
        (void)pthread_join(receiver, NULL);
        if (raw->rc != 0) {
            rc = baro_err_set(err, BARO_EIO, "LMDB: %s", mdb_strerror(raw->rc));
        }
    }
    *out_seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    (void)zmq_close(raw->socket);
    (void)zmq_ctx_term(raw->context);
    return rc;
}

int raw_ingest(const char *dir, uint64_t n_bytes, double *out_seconds, struct baro_err *err)
{
    struct raw raw = {.n_bytes = n_bytes};
    (void)snprintf(raw.folder, sizeof raw.folder, "%s/raw", dir);
    (void)snprintf(raw.endpoint, sizeof raw.endpoint, "ipc://%s/raw.sock", dir);
    if (mkdir(raw.folder, 0700) != 0) {
        return baro_err_set(err, BARO_EIO, "cannot make '%s'", raw.folder);
    }
    int rc = open_database(&raw, err);
    if (rc == 0) {
        rc = move_bytes(&raw, out_seconds, err);
    }
    if (raw.env != NULL) {
        mdb_env_close(raw.env);
    }
    (void)nftw(raw.folder, remove_one, RAW_MAX_OPEN, FTW_DEPTH | FTW_PHYS);
    return rc;
}

int raw_socket(const char *dir, uint64_t n_bytes, double *out_seconds, struct baro_err *err)
{
    struct raw raw = {.n_bytes = n_bytes};
    (void)snprintf(raw.endpoint, sizeof raw.endpoint, "ipc://%s/raw.sock", dir);
    return move_bytes(&raw, out_seconds, err);
}

/* ---- LMDB alone ---- */

/* One commit of so many bytes. */
static int commit_bytes(struct raw *raw, uint8_t *bytes, uint64_t n_bytes)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(raw->env, NULL, 0, &txn);
    for (uint64_t left = n_bytes; rc == 0 && left > 0;) {
        uint64_t n = left < RAW_VALUE_BYTES ? left : RAW_VALUE_BYTES;
        raw->n_messages++;
        memcpy(bytes, &raw->n_messages, sizeof raw->n_messages);
        MDB_val key = {sizeof raw->n_messages, &raw->n_messages};
        MDB_val value = {n, bytes};
        rc = mdb_put(txn, raw->dbi, &key, &value, MDB_APPEND);
        left -= n;
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

int raw_lmdb(const char *dir, uint64_t n_bytes, uint64_t n_commits, double *out_seconds,
    struct baro_err *err)
{
    struct raw raw = {.n_bytes = n_bytes};
    (void)snprintf(raw.folder, sizeof raw.folder, "%s/raw-lmdb", dir);
    if (mkdir(raw.folder, 0700) != 0) {
        return baro_err_set(err, BARO_EIO, "cannot make '%s'", raw.folder);
    }
    baro_autofree uint8_t *bytes = baro_xcalloc(RAW_VALUE_BYTES, 1);
    for (size_t i = 0; i < RAW_VALUE_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    int rc = open_database(&raw, err);
    n_commits = n_commits > 0 ? n_commits : 1;
    uint64_t start_ns = baro_now_ns();
    for (uint64_t i = 0; rc == 0 && i < n_commits; i++) {
        uint64_t end = n_bytes * (i + 1) / n_commits;
        int lmdb_rc = commit_bytes(&raw, bytes, end - n_bytes * i / n_commits);
        rc = lmdb_rc == 0 ? 0 : baro_err_set(err, BARO_EIO, "%s", mdb_strerror(lmdb_rc));
    }
    *out_seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    if (raw.env != NULL) {
        mdb_env_close(raw.env);
    }
    (void)nftw(raw.folder, remove_one, RAW_MAX_OPEN, FTW_DEPTH | FTW_PHYS);
    return rc;
}
