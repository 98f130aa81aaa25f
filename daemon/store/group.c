/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <xxhash.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"

/*
 * Records of groups. All that a record says can be had from the group's chunks too; so a
 * damaged one is made again from them, and costs nothing but the time. When the last chunk is
 * damaged as well nobody knows how many rows it had: then the most that it can have are counted,
 * so that no later row gets a number of its own, and reads tell of the gap.
 */

static bool decode(const MDB_val *value, struct group_record *out)
{
    if (value->mv_size != sizeof *out) {
        return false;
    }
    memcpy(out, value->mv_data, sizeof *out);
    const size_t skip = sizeof out->check;
    return out->check ==
               XXH3_64bits((const uint8_t *)value->mv_data + skip, sizeof *out - skip) &&
           out->n_f64 <= CHUNK_MAX_COLUMNS && out->n_f32 <= CHUNK_MAX_COLUMNS;
}

/* Take what one chunk says into a record. */
static void add_chunk(
    struct group_record *record, bool *is_first, uint64_t first_row, const MDB_val *value)
{
    struct chunk chunk;
    record->bytes += value->mv_size;
    record->n_rows = first_row + CHUNK_MAX_ROWS;
    if (chunk_open(&chunk, value->mv_data, value->mv_size, NULL) != 0) {
        return;
    }
    record->n_rows = first_row + chunk.n_rows;
    record->n_f64 = chunk.n_f64;
    record->n_f32 = chunk.n_f32;
    if (*is_first || chunk.first_step < record->first_step) {
        record->first_step = chunk.first_step;
    }
    if (*is_first || chunk.last_step > record->last_step) {
        record->last_step = chunk.last_step;
    }
    *is_first = false;
}

/* Make a record from the group's chunks; false when not one of them is whole. */
static bool rebuild(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    struct group_record *out)
{
    MDB_cursor *cursor = NULL;
    uint8_t bytes[KEY_CHUNK_BYTES] = {0};
    memcpy(bytes, group_key, KEY_GROUP_BYTES);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    bool is_first = true;
    *out = (struct group_record){0};
    if (mdb_cursor_open(txn, store->chunk_table, &cursor) != 0) {
        return false;
    }
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && key.mv_size == sizeof bytes &&
           memcmp(key.mv_data, group_key, KEY_GROUP_BYTES) == 0) {
        add_chunk(out, &is_first,
            key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8), &value);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return !is_first;
}

bool store_group_decode(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    const MDB_val *value, struct group_record *out)
{
    return decode(value, out) || rebuild(store, txn, group_key, out);
}

int store_group_get(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct group_record *out, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    uint8_t bytes[KEY_GROUP_BYTES];
    key_group(bytes, run, thing, kind);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    rc = mdb_get(txn, store->group_table, &key, &value);
    if (rc == MDB_NOTFOUND) {
        rc = 0;
    } else if (rc != 0) {
        rc = store_lmdb_error(store, rc, "read", err);
    } else if (!store_group_decode(store, txn, bytes, &value, out)) {
        rc = baro_err_set(err, BARO_ECORRUPT,
            "run %u thing %u kind %u: its record in the index is damaged", run, thing,
            kind);
    } else {
        rc = 1;
    }
    store_reading_end(store, txn);
    return rc;
}

int store_group_load(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct tail_group **out_group, struct baro_err *err)
{
    *out_group = tail_find(&store->tail, run, thing, kind);
    if (*out_group != NULL) {
        return 0;
    }
    struct group_record record = {0};
    int rc = store_group_get(store, run, thing, kind, &record, err);
    if (rc < 0) {
        return rc;
    }
    (void)pthread_mutex_lock(&store->memory_lock);
    struct tail_group *group = tail_add(&store->tail, run, thing, kind);
    group->n_f64 = record.n_f64;
    group->n_f32 = record.n_f32;
    group->sealed_rows = record.n_rows;
    group->sealed_bytes = record.bytes;
    group->first_step = record.first_step;
    group->last_step = record.last_step;
    (void)pthread_mutex_unlock(&store->memory_lock);
    *out_group = group;
    return 0;
}
