/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/prune.h"

#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Groups as pruning sees them: which of a run's are there, which rows of them may go, and what
 * that frees. Bytes are counted in LMDB's pages, so that a dry run says what the file will have.
 */

enum {
    MIN_GROUP_BYTES = 8192, /* of chunks: fewer are not worth a summary */
    MARGIN_BYTES = 1 << 20,
    PAGE_BYTES = 4096,
    PAGE_HEAD_BYTES = 16,
    NODE_BYTES = 8 + KEY_CHUNK_BYTES + 2,
    MAX_NODE_BYTES = 2038 /* larger values have pages of their own */
};

uint64_t prune_value_bytes(size_t n_bytes)
{
    if (n_bytes + NODE_BYTES > MAX_NODE_BYTES) {
        uint64_t pages = (n_bytes + PAGE_HEAD_BYTES + PAGE_BYTES - 1) / PAGE_BYTES;
        return pages * PAGE_BYTES + NODE_BYTES + sizeof(uint64_t);
    }
    return (n_bytes + NODE_BYTES) * 4 / 3; /* shared pages are three quarters full */
}

uint64_t prune_limit(struct store *store)
{
    MDB_envinfo info;
    uint64_t file = store->env != NULL && mdb_env_info(store->env, &info) == 0
                        ? (uint64_t)(info.me_last_pgno + 1) * PAGE_BYTES
                        : 0;
    return file + MARGIN_BYTES > store->quota_limit && file > store->quota_limit
               ? file + MARGIN_BYTES
               : store->quota_limit;
}

/* ---- groups ---- */

/* What memory knows of a group is newer than what the index says. */
static void overlay_memory(struct store *store, struct prune_group *group)
{
    (void)pthread_mutex_lock(&store->memory_lock);
    const struct tail_group *known =
        tail_find(&store->tail, group->run, group->thing, group->kind);
    if (known != NULL) {
        group->record = known->record;
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
}

int prune_next_group(
    struct store *store, struct prune_group *io, bool has_begun, struct baro_err *err)
{
    uint8_t from[KEY_GROUP_BYTES + 1] = {0};
    key_group(from, io->run, io->thing, io->kind);
    MDB_val key = {.mv_size = has_begun ? sizeof from : KEY_GROUP_BYTES, .mv_data = from};
    MDB_val value;
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    bool is_found = false;
    rc = mdb_cursor_open(txn, store->group_table, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (rc == 0 && !is_found && key.mv_size == KEY_GROUP_BYTES &&
           key_get(key.mv_data, 4) == io->run) {
        const uint8_t *at = key.mv_data;
        io->thing = (uint32_t)key_get(at + 4, 4);
        io->kind = (uint16_t)key_get(at + 8, 2);
        is_found = store_group_decode(store, txn, at, &value, &io->record);
        rc = is_found ? 0 : mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(store, txn);
    if (is_found) {
        overlay_memory(store, io);
        return 1;
    }
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}

/* ---- what of a group may go ---- */

static bool is_last_kind(const struct store_prune *what, uint16_t kind)
{
    return kind < 64 && (what->last_kinds >> kind & 1) != 0;
}

bool prune_levels(const struct store_prune *what, enum store_prune_level level,
    const struct prune_group *group, uint32_t *out_first, uint32_t *out_last)
{
    const struct group_record *record = &group->record;
    bool is_last = is_last_kind(what, group->kind);
    *out_first = *out_last = 0;
    switch (level) {
    case STORE_PRUNE_READINGS: return !is_last && record->bytes >= MIN_GROUP_BYTES;
    case STORE_PRUNE_FINE:
        *out_first = 1;
        *out_last = record->n_levels > 1 ? record->n_levels - 1 : 0;
        return record->n_levels > 1;
    case STORE_PRUNE_REST: return true;
    case STORE_PRUNE_RUN:
    default: return false;
    }
}

uint64_t prune_end(const struct prune_group *group, uint32_t level, uint32_t share)
{
    const struct group_record *record = &group->record;
    uint64_t from = record->pruned[level];
    uint64_t to = record->n_rows;
    if (level > 0) { /* what a coarser level stands for, and no row needs */
        to = record->covered[record->n_levels - 1];
        to = record->pruned[0] < to ? record->pruned[0] : to;
    }
    if (from >= to) {
        return from;
    }
    uint64_t left = to - from;
    return share >= PRUNE_WHOLE ? to
                                : from + left / PRUNE_WHOLE * share +
                                      left % PRUNE_WHOLE * share / PRUNE_WHOLE;
}

/* Find the first strand of a level from a part on; 0 when there is none. */
static int find_strand(
    struct store *store, MDB_txn *txn, struct strand_id *io, struct baro_err *err)
{
    uint8_t from[KEY_CHUNK_BYTES];
    MDB_val key = {.mv_size = sizeof from, .mv_data = from};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    key_chunk(from, io, 0);
    int rc = mdb_cursor_open(txn, store->chunk_table, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        mdb_cursor_close(cursor);
    }
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
    }
    if (key.mv_size != KEY_CHUNK_BYTES ||
        memcmp(key.mv_data, from, KEY_GROUP_BYTES + 1) != 0) {
        return 0;
    }
    io->part = (uint16_t)key_get((const uint8_t *)key.mv_data + KEY_GROUP_BYTES + 1, 2);
    return 1;
}

/* The row behind the last that a chunk stands for; one that is damaged never ends. */
static uint64_t end_of_chunk(uint64_t first_row, const MDB_val *value)
{
    struct chunk chunk;
    return chunk_open(&chunk, value->mv_data, value->mv_size, NULL) == 0
               ? first_row + chunk.covers
               : UINT64_MAX;
}

/* Add up the chunks of a strand that end at or before a row and, with a batch, delete them. The
 * last chunk of a strand ends where it says, any other where the next one begins: so only the
 * last is looked into, and a damaged one is in nobody's way. */
static int drop_strand(struct store *store, MDB_txn *txn, const struct strand_id *id,
    uint64_t row, struct store_batch *batch, struct prune_drop *out, struct baro_err *err)
{
    uint8_t from[KEY_CHUNK_BYTES];
    key_chunk(from, id, 0);
    MDB_val key = {.mv_size = sizeof from, .mv_data = from};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    *out = (struct prune_drop){.first_row = row};
    int rc = mdb_cursor_open(txn, store->chunk_table, &cursor);
    if (rc != 0) {
        return store_lmdb_error(store, rc, "read", err);
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && key.mv_size == sizeof from &&
           memcmp(key.mv_data, from, KEY_STRAND_BYTES) == 0) {
        uint64_t first = key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
        MDB_val here = value;
        uint8_t gone[KEY_CHUNK_BYTES];
        memcpy(gone, key.mv_data, sizeof gone);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        bool is_last = rc != 0 || key.mv_size != sizeof from ||
                       memcmp(key.mv_data, from, KEY_STRAND_BYTES) != 0;
        uint64_t end = is_last
                           ? end_of_chunk(first, &here)
                           : key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
        if (first >= row || end > row) {
            out->first_row = first < row ? first : row;
            break;
        }
        out->n_chunks++;
        out->bytes += prune_value_bytes(here.mv_size);
        out->raw_bytes += here.mv_size;
        if (batch != NULL) {
            store_batch_delete(batch, store->chunk_table, gone, sizeof gone);
        }
    }
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}

int prune_drop(struct store *store, const struct prune_group *group, uint32_t level,
    uint64_t row, struct store_batch *batch, struct prune_drop *out, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    struct strand_id id = {group->run, group->thing, group->kind, (uint8_t)level, 0};
    *out = (struct prune_drop){0};
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    bool is_any = false;
    while ((rc = find_strand(store, txn, &id, err)) > 0) {
        struct prune_drop one;
        rc = drop_strand(store, txn, &id, row, batch, &one, err);
        if (rc != 0) {
            break;
        }
        out->n_chunks += one.n_chunks;
        out->bytes += one.bytes;
        out->raw_bytes += one.raw_bytes;
        bool counts = level > 0 || (row <= group->record.parted_rows) == (id.part > 0);
        if (counts) { /* it has the rows around the end, not those before or behind */
            out->first_row =
                one.first_row > out->first_row ? one.first_row : out->first_row;
            is_any = true;
        }
        if (id.part == UINT16_MAX) {
            break;
        }
        id.part++;
    }
    store_reading_end(store, txn);
    out->first_row = is_any ? out->first_row : row;
    return rc < 0 ? rc : 0;
}
