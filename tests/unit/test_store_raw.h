/* SPDX-License-Identifier: Apache-2.0 */
/* A closed store, changed behind its back. */
#ifndef BARO_TEST_STORE_RAW_H
#define BARO_TEST_STORE_RAW_H

#include "tests/unit/test_store_rig.h"

#include <lmdb.h>

#include "daemon/store/key.h"

struct raw {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
};

static inline void raw_open(struct raw *raw, const struct rig *rig, const char *table)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/store.mdb", rig->dir);
    assert_int_equal(mdb_env_create(&raw->env), 0);
    assert_int_equal(mdb_env_set_maxdbs(raw->env, 16), 0);
    assert_int_equal(mdb_env_set_mapsize(raw->env, (size_t)256 << 20), 0);
    assert_int_equal(mdb_env_open(raw->env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(raw->env, NULL, 0, &raw->txn), 0);
    assert_int_equal(mdb_dbi_open(raw->txn, table, 0, &raw->table), 0);
}

static inline void raw_close(struct raw *raw)
{
    assert_int_equal(mdb_txn_commit(raw->txn), 0);
    mdb_env_close(raw->env);
}

/* Find the nth chunk of a level of a thing; its key, and its bytes to be freed. */
static inline uint8_t *raw_chunk(struct raw *raw, uint32_t thing, uint16_t kind,
    uint8_t level, uint16_t part, int n, uint8_t key_out[KEY_CHUNK_BYTES], size_t *out_n)
{
    const struct strand_id id = {1, thing, kind, level, part};
    key_chunk(key_out, &id, 0);
    MDB_val key = {.mv_size = KEY_CHUNK_BYTES, .mv_data = key_out};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    assert_int_equal(mdb_cursor_open(raw->txn, raw->table, &cursor), 0);
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (int i = 0; rc == 0 && i < n; i++) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    assert_int_equal(rc, 0);
    assert_memory_equal(key.mv_data, key_out, KEY_STRAND_BYTES);
    memcpy(key_out, key.mv_data, KEY_CHUNK_BYTES);
    uint8_t *bytes = baro_xcalloc(value.mv_size, 1);
    memcpy(bytes, value.mv_data, value.mv_size);
    *out_n = value.mv_size;
    mdb_cursor_close(cursor);
    return bytes;
}

static inline void raw_put(
    struct raw *raw, const uint8_t *key_bytes, size_t n_key, const void *bytes, size_t n)
{
    MDB_val key = {.mv_size = n_key, .mv_data = (void *)(uintptr_t)key_bytes};
    MDB_val value = {.mv_size = n, .mv_data = (void *)(uintptr_t)bytes};
    assert_int_equal(mdb_put(raw->txn, raw->table, &key, &value, 0), 0);
}

static inline void raw_delete(struct raw *raw, const uint8_t *key_bytes, size_t n_key)
{
    MDB_val key = {.mv_size = n_key, .mv_data = (void *)(uintptr_t)key_bytes};
    assert_int_equal(mdb_del(raw->txn, raw->table, &key, NULL), 0);
}

#endif
