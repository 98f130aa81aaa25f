/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/strand.h"

#include <string.h>
#include <sys/mman.h>

#include "lib/base/err.h"

/* Finding chunks of a strand by the numbers of rows. */

enum { PAGE_BYTES = 4096 };

static bool is_of(const MDB_val *key, const uint8_t *chunk_key)
{
    return key->mv_size == KEY_CHUNK_BYTES &&
           memcmp(key->mv_data, chunk_key, KEY_STRAND_BYTES) == 0;
}

/* Whether a chunk ends at or before a row; one that is damaged does not say. */
static bool ends_before(const struct strand_chunk *found, uint64_t row)
{
    struct chunk chunk;
    return chunk_open(&chunk, found->value.mv_data, found->value.mv_size, NULL) == 0 &&
           found->first_row + chunk.covers <= row;
}

void strand_fetch(const MDB_val *value)
{
    uintptr_t from = (uintptr_t)value->mv_data / PAGE_BYTES * PAGE_BYTES;
    uintptr_t end = (uintptr_t)value->mv_data + value->mv_size;
    if (value->mv_size > PAGE_BYTES) {
        (void)madvise((void *)from, end - from, MADV_WILLNEED);
    }
}

int strand_find(struct store *store, MDB_txn *txn, const struct strand_id *id, uint64_t row,
    struct strand_chunk *out, struct baro_err *err)
{
    uint8_t bytes[KEY_CHUNK_BYTES];
    key_chunk(bytes, id, row);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn, store->chunk_table, &cursor);
    if (rc != 0) {
        return store_lmdb_error(store, rc, "read", err);
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    bool has_next = rc == 0 && is_of(&key, bytes);
    struct strand_chunk next = {0};
    if (has_next) {
        next = (struct strand_chunk){.first_row = strand_row_of(&key), .value = value};
    }
    int found = has_next ? 1 : 0;
    *out = next;
    if ((rc == 0 || rc == MDB_NOTFOUND) && !(has_next && next.first_row == row)) {
        rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
        if (rc == 0 && is_of(&key, bytes)) {
            struct strand_chunk before = {.first_row = strand_row_of(&key), .value = value};
            strand_fetch(&value);
            if (!ends_before(&before, row)) {
                *out = before;
                found = 1;
            }
        }
    }
    mdb_cursor_close(cursor);
    if (found == 1 && out->value.mv_data == next.value.mv_data) {
        strand_fetch(&out->value);
    }
    return rc == 0 || rc == MDB_NOTFOUND ? found : store_lmdb_error(store, rc, "read", err);
}

bool strand_last_before(MDB_cursor *cursor, const struct strand_id *id, uint64_t row,
    MDB_val *key, MDB_val *value, int *out_rc)
{
    uint8_t bytes[KEY_CHUNK_BYTES];
    key_chunk(bytes, id, row);
    *key = (MDB_val){.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    rc = mdb_cursor_get(cursor, key, value, rc == 0 ? MDB_PREV : MDB_LAST);
    *out_rc = rc == MDB_NOTFOUND ? 0 : rc;
    return rc == 0 && is_of(key, bytes);
}

int strand_end(struct store *store, MDB_txn *txn, const struct strand_id *id,
    uint64_t *out_end, struct baro_err *err)
{
    MDB_val key;
    MDB_val value;
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn, store->chunk_table, &cursor);
    if (rc != 0) {
        return store_lmdb_error(store, rc, "read", err);
    }
    bool is_found = strand_last_before(cursor, id, UINT64_MAX, &key, &value, &rc);
    mdb_cursor_close(cursor);
    if (!is_found) {
        return rc == 0 ? 0 : store_lmdb_error(store, rc, "read", err);
    }
    struct chunk chunk;
    rc = chunk_open(&chunk, value.mv_data, value.mv_size, err);
    if (rc == 0) {
        *out_end = strand_row_of(&key) + chunk.covers;
    }
    return rc == 0 ? 1 : rc;
}

int strand_next(struct store *store, MDB_txn *txn, const struct strand_id *id, uint64_t row,
    uint64_t *out_row, struct baro_err *err)
{
    uint8_t bytes[KEY_CHUNK_BYTES];
    key_chunk(bytes, id, row);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn, store->chunk_table, &cursor);
    if (rc != 0) {
        return store_lmdb_error(store, rc, "read", err);
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    mdb_cursor_close(cursor);
    if (rc == 0 && is_of(&key, bytes)) {
        *out_row = strand_row_of(&key);
        return 1;
    }
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}
