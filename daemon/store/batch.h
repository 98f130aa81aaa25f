/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one LMDB transaction will do, kept in memory until it does it: so that it can be done
 * again after the map has grown, and the write lock is held no longer than the puts take.
 * Private to daemon/store.
 */
#ifndef BARO_STORE_BATCH_H
#define BARO_STORE_BATCH_H

#include <stdbool.h>

#include <lmdb.h>

#include "daemon/store/key.h"

struct store_batch_op {
    MDB_dbi table;
    uint8_t key[KEY_MAX_BYTES];
    uint8_t key_bytes;
    bool is_delete;
    size_t at; /* where the value begins in bytes */
    size_t n_bytes;
};

/* Zero is an empty batch; the writing thread's alone. */
struct store_batch {
    struct store_batch_op *ops;
    size_t n_ops;
    size_t ops_room;
    uint8_t *bytes; /* all values, one after the other */
    size_t n_bytes;
    size_t bytes_room;
};

/** Forget what is in a batch; its memory is kept for the next. */
void store_batch_clear(struct store_batch *batch);

/** Release a batch's memory. */
void store_batch_finish(struct store_batch *batch);

/**
 * Add a put.
 *
 * value    copied
 */
void store_batch_put(struct store_batch *batch, MDB_dbi table, const uint8_t *key,
    size_t key_bytes, const void *value, size_t n_bytes);

/** Add a deletion; deleting what is not there is no error. */
void store_batch_delete(
    struct store_batch *batch, MDB_dbi table, const uint8_t *key, size_t key_bytes);

/**
 * Do it all inside an open write transaction.
 *
 * returns  0 or the LMDB code of the first operation that failed
 */
int store_batch_apply(const struct store_batch *batch, MDB_txn *txn);

#endif
