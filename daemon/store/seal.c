/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "daemon/store/columns.h"
#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Sealing turns the tail of one run into chunks, in one transaction that writes the chunks and
 * the index and deletes the pieces of tail. Rows of a group are numbered from 0 in order of
 * arrival; a chunk's key ends with the number of its first row, and what is sealed is always a
 * prefix. So a reader that took the tail's rows before the transaction, and looks for chunks
 * after it, knows by their numbers which rows it has already: each row is seen once, with no
 * lock held while anything is encoded or written. The tail in memory is dropped only after the
 * transaction is on disk.
 *
 * Small chunks are merged by fours: when the last three chunks of a group are about as large as
 * what the tail will make, they are encoded again together with it, and so on with the three
 * before those. Each row is thus encoded about log4(65520 / bytes of one seal) times more, and a
 * group has at most a handful of small chunks. All groups of a run tend to be due at once; a
 * budget per seal, handed out in turn, keeps that from holding commits up. Sizes aim at
 * CHUNK_TARGET_BYTES, which fills LMDB's pages.
 */

enum {
    MAX_RAW_BYTES = 1 << 20, /* of a chunk with more than one row, decoded */
    SLACK_BYTES = 512,    /* small chunks this far apart are about as large as each other */
    FAN_IN = 4,           /* chunks that become one: the tail and three old ones */
    TOTAL_TAILS = 8,      /* times seal_tail_bytes: what all tails together may take */
    MAX_MERGED = 32,      /* chunks merged with one tail */
    MIN_FULL_BYTES = 4096 /* worth sealing when there is no room */
};

/* One sealed chunk that new rows take with them. */
struct old_chunk {
    size_t at; /* in sealing->old */
    size_t n_bytes;
    uint64_t first_row;
    uint32_t n_rows;
    uint32_t extra_bytes;
};

/* What the seal of one group after the other works with. */
struct sealing {
    struct store *store;
    struct chunk_codec *codec;
    struct columns columns;
    struct old_chunk chunks[MAX_MERGED]; /* to merge, latest first */
    uint32_t n_chunks;
    uint8_t *old; /* their bytes */
    size_t old_bytes;
    size_t old_room;
    size_t budget; /* bytes of old chunks that may still be encoded again */
};

static struct tail_run *pick_run(const struct store *store)
{
    struct tail_run *largest = NULL;
    for (uint32_t i = 0; i < store->tail.n_runs; i++) {
        struct tail_run *run = store->tail.runs[i];
        if (largest == NULL || run->tail_bytes > largest->tail_bytes) {
            largest = run;
        }
    }
    if (largest == NULL) {
        return NULL;
    }
    bool is_due = largest->tail_bytes > store->seal_tail_bytes ||
                  store->tail.bytes > TOTAL_TAILS * store->seal_tail_bytes ||
                  (store->is_full && largest->tail_bytes >= MIN_FULL_BYTES);
    return is_due ? largest : NULL;
}

static size_t row_raw_bytes(const struct tail_group *group)
{
    return 16 + 8 * (size_t)group->n_f64 + 4 * (size_t)group->n_f32;
}

/* Copy a chunk that ends at row end behind the others; false when it is not a whole one that
 * belongs there: then it stays as it is. */
static bool copy_chunk(struct sealing *sealing, const struct tail_group *group,
    const MDB_val *value, uint64_t first_row, uint64_t end)
{
    size_t n = value->mv_size;
    if (sealing->old_bytes + n > sealing->old_room) {
        sealing->old_room = (sealing->old_bytes + n) * 2;
        sealing->old = baro_xrealloc(sealing->old, sealing->old_room, 1);
    }
    memcpy(sealing->old + sealing->old_bytes, value->mv_data, n);
    struct chunk chunk;
    if (chunk_open(&chunk, sealing->old + sealing->old_bytes, n, NULL) != 0 ||
        chunk.n_f64 != group->n_f64 || chunk.n_f32 != group->n_f32 ||
        first_row + chunk.n_rows != end) {
        return false;
    }
    sealing->chunks[sealing->n_chunks++] = (struct old_chunk){
        .at = sealing->old_bytes,
        .n_bytes = n,
        .first_row = first_row,
        .n_rows = chunk.n_rows,
        .extra_bytes = chunk.extra_bytes,
    };
    sealing->old_bytes += n;
    return true;
}

/* Take the chunk that ends at row end if it is no larger than max_bytes. */
static bool take_last_chunk(struct sealing *sealing, MDB_cursor *cursor,
    const struct tail_group *group, uint64_t end, size_t max_bytes)
{
    uint8_t bytes[KEY_CHUNK_BYTES];
    key_chunk(
        bytes, &(struct strand_id){group->run->run, group->thing, group->kind, 0, 0}, end);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    if (rc != 0 || key.mv_size != sizeof bytes ||
        memcmp(key.mv_data, bytes, KEY_STRAND_BYTES) != 0 || value.mv_size > max_bytes) {
        return false;
    }
    uint64_t first_row = key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
    return copy_chunk(sealing, group, &value, first_row, end);
}

/* Take chunks level by level; those of a level that is not full yet are left again. */
static void take_levels(
    struct sealing *sealing, MDB_cursor *cursor, const struct tail_group *group)
{
    double bytes_per_row = (double)group->sealed_bytes / (double)group->sealed_rows;
    size_t bytes = (size_t)(bytes_per_row * (double)group->tail_rows);
    uint64_t raw = group->tail_bytes;
    uint64_t end = group->sealed_rows;
    uint32_t n_sure = 0;
    size_t sure_bytes = 0;
    size_t level = bytes + bytes / 2 + SLACK_BYTES;
    while (sealing->n_chunks < MAX_MERGED && end > 0 &&
           take_last_chunk(sealing, cursor, group, end, level)) {
        const struct old_chunk *chunk = &sealing->chunks[sealing->n_chunks - 1];
        raw += chunk->n_rows * row_raw_bytes(group) + chunk->extra_bytes;
        bytes += chunk->n_bytes;
        end = chunk->first_row;
        if (raw > MAX_RAW_BYTES || bytes > CHUNK_TARGET_BYTES ||
            sealing->old_bytes > sealing->budget) {
            break;
        }
        if (sealing->n_chunks - n_sure == FAN_IN - 1) {
            n_sure = sealing->n_chunks;
            sure_bytes = sealing->old_bytes;
            level = bytes + bytes / 2;
        }
    }
    sealing->n_chunks = n_sure;
    sealing->old_bytes = sure_bytes;
    sealing->budget -= sure_bytes;
}

/* Choose the last chunks of a group that its tail takes with it. */
static int choose_chunks(
    struct sealing *sealing, const struct tail_group *group, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    sealing->n_chunks = 0;
    sealing->old_bytes = 0;
    if (group->sealed_rows == 0) {
        return 0;
    }
    int rc = store_reading_begin(sealing->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_open(txn, sealing->store->chunk_table, &cursor);
    if (rc == 0) {
        take_levels(sealing, cursor, group);
        mdb_cursor_close(cursor);
    }
    store_reading_end(sealing->store, txn);
    return rc == 0 ? 0 : store_lmdb_error(sealing->store, rc, "read", err);
}

/* Bring the chosen chunks and the tail together as columns. Chunks that turn out damaged inside
 * stay as they are, with those before them. */
static void gather(struct sealing *sealing, const struct tail_group *group)
{
    size_t n_rows = group->tail_rows;
    size_t extra = group->tail_bytes;
    for (uint32_t i = 0; i < sealing->n_chunks; i++) {
        n_rows += sealing->chunks[i].n_rows;
        extra += sealing->chunks[i].extra_bytes;
    }
    struct columns *columns = &sealing->columns;
    columns_reset(columns, n_rows, group->n_f64, group->n_f32, extra);
    for (uint32_t left = sealing->n_chunks; left > 0; left--) {
        const struct old_chunk *old = &sealing->chunks[left - 1];
        struct chunk chunk;
        if (chunk_open(&chunk, sealing->old + old->at, old->n_bytes, NULL) != 0 ||
            columns_add_chunk(columns, sealing->codec, &chunk, NULL) != 0) {
            columns->n_rows = 0;
            columns->extra_bytes = 0;
            sealing->n_chunks = left - 1;
        }
    }
    for (uint32_t s = 0; s < group->n_segments; s++) {
        const struct tail_segment *segment = group->segments[s];
        for (size_t at = 0; at < segment->used;) {
            const struct tail_row *row = (const void *)(segment->rows + at);
            columns_add_row(columns, row, group->n_f64, group->n_f32, 0, 0, true);
            at += row->bytes;
        }
    }
}

/* Encode rows [from, from + n) of what was gathered. */
static int encode(struct sealing *sealing, size_t from, size_t n, const uint8_t **out_bytes,
    size_t *out_n, struct baro_err *err)
{
    const struct columns *columns = &sealing->columns;
    struct chunk_columns part = {
        .n_rows = (uint32_t)n,
        .n_f64 = columns->n_f64,
        .n_f32 = columns->n_f32,
        .stride = columns->room,
        .steps = columns->steps + from,
        .times_ns = columns->times_ns + from,
        .f64 = columns->n_f64 > 0 ? columns->f64 + from : NULL,
        .f32 = columns->n_f32 > 0 ? columns->f32 + from : NULL,
        .extra_ends = columns->extra_ends + from,
        .extra_start = from > 0 ? columns->extra_ends[from - 1] : 0,
        .extra = columns->extra,
    };
    return chunk_encode(sealing->codec, &part, out_bytes, out_n, err);
}

/* How many rows from one on make at most about MAX_RAW_BYTES, at least 1. */
static size_t rows_in_raw_limit(const struct sealing *sealing, size_t from)
{
    const struct columns *columns = &sealing->columns;
    size_t raw = 0;
    size_t n = 0;
    size_t start = from > 0 ? columns->extra_ends[from - 1] : 0;
    while (from + n < columns->n_rows && n < CHUNK_MAX_ROWS) {
        raw += 16 + 8 * (size_t)columns->n_f64 + 4 * (size_t)columns->n_f32;
        if (n > 0 && raw + columns->extra_ends[from + n] - start > MAX_RAW_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

/* Add the chunks of what was gathered to the batch; the first row's number is first_row. */
static int put_chunks(struct sealing *sealing, const struct tail_group *group,
    uint64_t first_row, uint64_t *out_bytes, struct baro_err *err)
{
    size_t guess = CHUNK_MAX_ROWS;
    *out_bytes = 0;
    for (size_t from = 0; from < sealing->columns.n_rows;) {
        size_t n = rows_in_raw_limit(sealing, from);
        n = n < guess ? n : guess;
        const uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        int rc = encode(sealing, from, n, &bytes, &n_bytes, err);
        while (rc == 0 && n > 1 && n_bytes > CHUNK_TARGET_BYTES) {
            size_t fewer = n * CHUNK_TARGET_BYTES / n_bytes * 31 / 32;
            n = fewer < 1 ? 1 : fewer < n ? fewer : n - 1;
            guess = n;
            rc = encode(sealing, from, n, &bytes, &n_bytes, err);
        }
        if (rc != 0) {
            return rc;
        }
        uint8_t key[KEY_CHUNK_BYTES];
        key_chunk(key,
            &(struct strand_id){group->run->run, group->thing, group->kind, 0, 0},
            first_row + from);
        store_batch_put(&sealing->store->sealing, sealing->store->chunk_table, key,
            sizeof key, bytes, n_bytes);
        *out_bytes += n_bytes;
        from += n;
    }
    return 0;
}

static void put_record(struct store *store, const struct tail_group *group)
{
    struct group_record record = {
        .n_f64 = group->n_f64,
        .n_f32 = group->n_f32,
        .n_rows = group->sealed_rows + group->tail_rows,
        .first_step = group->first_step,
        .last_step = group->last_step,
        .bytes = group->sealing_bytes,
    };
    const size_t skip = sizeof record.check;
    record.check = XXH3_64bits((const uint8_t *)&record + skip, sizeof record - skip);
    uint8_t key[KEY_GROUP_BYTES];
    key_group(key, group->run->run, group->thing, group->kind);
    store_batch_put(
        &store->sealing, store->group_table, key, sizeof key, &record, sizeof record);
}

static int seal_group(
    struct sealing *sealing, struct tail_group *group, struct baro_err *err)
{
    int rc = choose_chunks(sealing, group, err);
    if (rc != 0) {
        return rc;
    }
    gather(sealing, group);
    uint64_t first_row = group->sealed_rows;
    uint64_t bytes = group->sealed_bytes;
    for (uint32_t i = 0; i < sealing->n_chunks; i++) {
        uint8_t key[KEY_CHUNK_BYTES];
        first_row = sealing->chunks[i].first_row;
        bytes -= sealing->chunks[i].n_bytes;
        key_chunk(key,
            &(struct strand_id){group->run->run, group->thing, group->kind, 0, 0},
            first_row);
        store_batch_delete(
            &sealing->store->sealing, sealing->store->chunk_table, key, sizeof key);
    }
    uint64_t new_bytes = 0;
    rc = put_chunks(sealing, group, first_row, &new_bytes, err);
    group->sealing_bytes = bytes + new_bytes;
    if (rc == 0) {
        put_record(sealing->store, group);
    }
    return rc;
}

/* Delete the pieces of tail whose rows are in the batch's chunks; damaged ones stay. */
static void delete_pieces(struct store *store, const struct tail_run *run)
{
    for (uint64_t ordinal = run->first_ordinal; ordinal < run->next_ordinal; ordinal++) {
        bool is_damaged = false;
        for (uint32_t i = 0; i < run->n_damaged && !is_damaged; i++) {
            is_damaged = run->damaged[i] == ordinal;
        }
        if (!is_damaged) {
            uint8_t key[KEY_VALUE_BYTES];
            key_value(key, run->run, ordinal);
            store_batch_delete(&store->sealing, store->tail_table, key, sizeof key);
        }
    }
}

static int seal_run(struct store *store, struct tail_run *run, struct baro_err *err)
{
    struct sealing sealing = {.store = store,
        .codec = chunk_codec_create(),
        .budget = store->seal_tail_bytes + CHUNK_TARGET_BYTES};
    store_batch_clear(&store->sealing);
    struct tail_group *first = run->merge_first != NULL ? run->merge_first : run->groups;
    struct tail_group *group = first;
    int rc = 0;
    do {
        rc = group->tail_rows > 0 ? seal_group(&sealing, group, err) : 0;
        if (sealing.budget >= CHUNK_TARGET_BYTES) {
            run->merge_first = group->in_run; /* who comes later is first next time */
        }
        group = group->in_run != NULL ? group->in_run : run->groups;
    } while (rc == 0 && group != first);
    chunk_codec_destroy(sealing.codec);
    columns_finish(&sealing.columns);
    free(sealing.old);
    if (rc != 0) {
        return rc;
    }
    delete_pieces(store, run);
    rc = store_apply(store, &store->sealing, store->seal_limit, err);
    if (rc != 0) {
        return rc;
    }
    (void)pthread_mutex_lock(&store->memory_lock);
    for (group = run->groups; group != NULL; group = group->in_run) {
        if (group->tail_rows > 0) {
            group->sealed_bytes = group->sealing_bytes;
            tail_drop(&store->tail, group);
        }
    }
    run->first_ordinal = run->next_ordinal;
    (void)pthread_mutex_unlock(&store->memory_lock);
    return 0;
}

int store_work_step(struct store *store, struct baro_err *err)
{
    if (store->txn.is_open) {
        return baro_err_set(err, BARO_EINVAL, "sealing inside a transaction");
    }
    struct tail_run *run = store->is_seal_full ? NULL : pick_run(store);
    if (run == NULL) {
        return 0;
    }
    int rc = seal_run(store, run, err);
    store->is_seal_full = rc == BARO_EFULL;
    return rc == 0 ? 1 : baro_err_prefix(err, rc, "seal run %u", run->run);
}
