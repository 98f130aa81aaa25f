/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/columns.h"
#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Reading takes the group's tail first (references to its segments, under the memory lock) and
 * then the chunks before it, one short LMDB transaction each, found by the number of the next
 * row that is wanted. Chunks may be merged or added meanwhile: the numbers say what has been
 * given already. No lock and no transaction is held while the caller's function runs.
 */

/* Rows of a segment that were there when the read began. */
struct held_segment {
    struct tail_segment *segment;
    uint32_t n_rows;
};

struct reader {
    struct store *store;
    const struct store_query *query;
    store_block_fn fn;
    void *payload;
    uint32_t n_f64; /* the group's layout */
    uint32_t n_f32;
    bool wants_f64;
    bool wants_f32;
    uint64_t sealed_rows; /* those before the tail */
    struct held_segment *segments;
    uint32_t n_segments;
    bool is_damaged; /* something could not be read */
    struct baro_err damage;
    struct chunk_codec *codec;
    struct columns columns;
    uint8_t *bytes; /* the chunk at hand */
    size_t n_bytes;
    size_t room;
    uint64_t first_row; /* of the chunk at hand */
    uint64_t follow;    /* where the chunk after it begins */
};

static void note_damage(struct reader *reader, const char *what)
{
    if (!reader->is_damaged) {
        const struct store_query *query = reader->query;
        reader->is_damaged = true;
        (void)baro_err_set(&reader->damage, BARO_ECORRUPT,
            "run %u thing %u kind %u: %s; the rest was read", query->run, query->thing,
            query->kind, what);
    }
}

static bool in_range(const struct store_query *query, int64_t step)
{
    return step >= query->from_step && step <= query->to_step;
}

/* Take references to the tail; false when the group is not in memory. */
static bool hold_tail(struct reader *reader)
{
    struct store *store = reader->store;
    const struct store_query *query = reader->query;
    (void)pthread_mutex_lock(&store->memory_lock);
    const struct tail_run *run = tail_find_run(&store->tail, query->run);
    if (run != NULL && run->n_damaged > 0) {
        note_damage(reader, "a piece of its run's tail is damaged");
    }
    struct tail_group *group =
        tail_find(&store->tail, query->run, query->thing, query->kind);
    if (group != NULL) {
        reader->n_f64 = group->record.n_f64;
        reader->n_f32 = group->record.n_f32;
        reader->sealed_rows = group->record.n_rows;
        reader->segments = baro_xcalloc(group->n_segments, sizeof *reader->segments);
        for (uint32_t i = 0; i < group->n_segments; i++) {
            struct tail_segment *segment = group->segments[i];
            segment->n_refs++;
            reader->segments[reader->n_segments++] =
                (struct held_segment){.segment = segment, .n_rows = segment->n_rows};
        }
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    return group != NULL;
}

static void release(struct reader *reader)
{
    (void)pthread_mutex_lock(&reader->store->memory_lock);
    for (uint32_t i = 0; i < reader->n_segments; i++) {
        tail_unref(reader->segments[i].segment);
    }
    (void)pthread_mutex_unlock(&reader->store->memory_lock);
    free(reader->segments);
    free(reader->bytes);
    columns_finish(&reader->columns);
    chunk_codec_destroy(reader->codec);
}

/* Check the columns asked for against the layout. */
static int check_columns(struct reader *reader, struct baro_err *err)
{
    const struct store_query *query = reader->query;
    uint64_t end = (uint64_t)query->first_column + query->n_columns;
    if (query->n_columns == 0) {
        return 0;
    }
    reader->wants_f64 = end <= reader->n_f64;
    reader->wants_f32 = query->first_column >= reader->n_f64 &&
                        end <= (uint64_t)reader->n_f64 + reader->n_f32;
    if (reader->wants_f64 || reader->wants_f32) {
        return 0;
    }
    return baro_err_set(err, BARO_EINVAL,
        "run %u thing %u kind %u has %u doubles and %u floats; columns %u to %llu are not all "
        "within one of them",
        query->run, query->thing, query->kind, reader->n_f64, reader->n_f32,
        query->first_column, (unsigned long long)end - 1);
}

static int give(struct reader *reader)
{
    const struct columns *columns = &reader->columns;
    if (columns->n_rows == 0) {
        return 0;
    }
    struct store_block block = {
        .n_rows = columns->n_rows,
        .steps = columns->steps,
        .times_ns = columns->times_ns,
        .n_columns = reader->query->n_columns,
        .f64 = reader->wants_f64 ? columns->f64 : NULL,
        .f32 = reader->wants_f32 ? columns->f32 : NULL,
        .extra_ends = reader->query->with_extra ? columns->extra_ends : NULL,
        .extra = reader->query->with_extra ? columns->extra : NULL,
    };
    return reader->fn(&block, reader->payload);
}

/* Keep rows [from, to) whose step is in range and close the gaps between columns. */
static void select_rows(struct reader *reader, size_t from, size_t to)
{
    struct columns *columns = &reader->columns;
    size_t kept = 0;
    size_t n_in = 0;
    for (size_t i = from; i < to; i++) {
        n_in += in_range(reader->query, columns->steps[i]);
    }
    if (n_in == columns->room) {
        columns->n_rows = n_in;
        return;
    }
    for (uint32_t c = 0; c < columns->n_f64 + columns->n_f32; c++) {
        size_t to_at = (c < columns->n_f64 ? c : c - columns->n_f64) * n_in;
        size_t at = (c < columns->n_f64 ? c : c - columns->n_f64) * columns->room;
        for (size_t i = from; i < to; i++) {
            if (!in_range(reader->query, columns->steps[i])) {
                continue;
            }
            if (c < columns->n_f64) {
                columns->f64[to_at++] = columns->f64[at + i];
            } else {
                columns->f32[to_at++] = columns->f32[at + i];
            }
        }
    }
    uint32_t extra = 0;
    for (size_t i = from; i < to; i++) {
        if (!in_range(reader->query, columns->steps[i])) {
            continue;
        }
        if (reader->query->with_extra) {
            uint32_t start = i > 0 ? columns->extra_ends[i - 1] : 0;
            uint32_t n = columns->extra_ends[i] - start;
            if (n > 0) {
                memmove(columns->extra + extra, columns->extra + start, n);
            }
            extra += n;
            columns->extra_ends[kept] = extra; /* kept <= i, so later starts are unharmed */
        }
        columns->steps[kept] = columns->steps[i];
        columns->times_ns[kept++] = columns->times_ns[i];
    }
    columns->n_rows = kept;
}

/*
 * Copy the chunk that row next is in, or the first one after it, and tell where the one behind
 * begins (sealed_rows when there is none).
 *
 * returns  1; 0 when there is none at all; BARO_EIO
 */
static int fetch_chunk(struct reader *reader, uint64_t next, struct baro_err *err)
{
    const struct store_query *query = reader->query;
    uint8_t wanted[KEY_CHUNK_BYTES];
    key_chunk(
        wanted, &(struct strand_id){query->run, query->thing, query->kind, 0, 0}, next + 1);
    MDB_val key = {.mv_size = sizeof wanted, .mv_data = wanted};
    MDB_val value;
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = store_reading_begin(reader->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    int found = 0;
    rc = mdb_cursor_open(txn, reader->store->chunk_table, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    }
    bool is_ours = rc == 0 && key.mv_size == sizeof wanted &&
                   memcmp(key.mv_data, wanted, KEY_STRAND_BYTES) == 0;
    if (rc == 0 && !is_ours) { /* rows are missing: go on with what comes after them */
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        is_ours = rc == 0 && key.mv_size == sizeof wanted &&
                  memcmp(key.mv_data, wanted, KEY_STRAND_BYTES) == 0;
    }
    if (is_ours) {
        found = 1;
        reader->first_row = key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
        reader->n_bytes = value.mv_size;
        if (reader->bytes == NULL || value.mv_size > reader->room) {
            reader->room = value.mv_size * 2;
            reader->bytes = baro_xrealloc(reader->bytes, reader->room, 1);
        }
        memcpy(reader->bytes, value.mv_data, value.mv_size);
        reader->follow = reader->sealed_rows;
        if (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0 &&
            key.mv_size == sizeof wanted &&
            memcmp(key.mv_data, wanted, KEY_STRAND_BYTES) == 0) {
            uint64_t row = key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
            reader->follow = row < reader->follow ? row : reader->follow;
        }
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(reader->store, txn);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return store_lmdb_error(reader->store, rc, "read", err);
    }
    return found;
}

/* Decode what is wanted of an opened chunk. */
static int decode_chunk(
    struct reader *reader, const struct chunk *chunk, struct baro_err *err)
{
    const struct store_query *query = reader->query;
    struct columns *columns = &reader->columns;
    uint32_t n = query->n_columns;
    columns_reset(columns, chunk->n_rows, reader->wants_f64 ? n : 0,
        reader->wants_f32 ? n : 0, query->with_extra ? chunk->extra_bytes : 0);
    int rc = chunk_steps(reader->codec, chunk, columns->steps, err);
    if (rc == 0) {
        rc = chunk_times(reader->codec, chunk, columns->times_ns, err);
    }
    if (rc == 0 && reader->wants_f64) {
        rc = chunk_f64(
            reader->codec, chunk, query->first_column, n, columns->f64, columns->room, err);
    }
    if (rc == 0 && reader->wants_f32) {
        rc = chunk_f32(reader->codec, chunk, query->first_column - reader->n_f64, n,
            columns->f32, columns->room, err);
    }
    if (rc == 0 && query->with_extra) {
        rc = chunk_extra(reader->codec, chunk, columns->extra_ends, columns->extra, err);
    }
    return rc;
}

/* Give the rows of the chunk at hand from row next on; *next becomes the row behind them. */
static int give_chunk(struct reader *reader, uint64_t *next)
{
    const struct store_query *query = reader->query;
    struct chunk chunk;
    struct baro_err cause = {0};
    int rc = chunk_open(&chunk, reader->bytes, reader->n_bytes, &cause);
    if (rc == 0 && (chunk.n_f64 != reader->n_f64 || chunk.n_f32 != reader->n_f32)) {
        rc = baro_err_set(&cause, BARO_ECORRUPT, "a chunk has another layout");
    }
    uint64_t end = rc == 0 ? reader->first_row + chunk.n_rows : 0;
    if (rc == 0 && (end <= *next || reader->first_row > *next)) {
        note_damage(reader, "rows are missing between two chunks");
        *next = end <= *next ? reader->follow : reader->first_row;
        return 0;
    }
    bool is_wanted = rc == 0 && chunk.last_step >= query->from_step &&
                     chunk.first_step <= query->to_step;
    if (is_wanted) {
        rc = decode_chunk(reader, &chunk, &cause);
    }
    if (rc != 0) {
        note_damage(reader, cause.text);
        *next = reader->follow > *next ? reader->follow : *next + 1;
        return 0;
    }
    end = end < reader->sealed_rows ? end : reader->sealed_rows;
    if (is_wanted) {
        select_rows(reader, *next - reader->first_row, end - reader->first_row);
        rc = give(reader);
    }
    *next = end;
    return rc;
}

static int read_chunks(struct reader *reader, struct baro_err *err)
{
    for (uint64_t next = 0; next < reader->sealed_rows;) {
        int rc = fetch_chunk(reader, next, err);
        if (rc == 0) {
            note_damage(reader, "chunks are missing");
            return 0;
        }
        rc = rc > 0 ? give_chunk(reader, &next) : rc;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Give the rows of one segment that are in range. */
static int give_segment(struct reader *reader, const struct held_segment *held)
{
    const struct store_query *query = reader->query;
    const uint8_t *rows = held->segment->rows;
    size_t n = 0;
    size_t extra = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < held->n_rows; i++) {
        const struct tail_row *row = (const void *)(rows + at);
        if (in_range(query, row->step)) {
            n++;
            extra += row->extra_bytes;
        }
        at += row->bytes;
    }
    struct columns *columns = &reader->columns;
    columns_reset(columns, n, reader->wants_f64 ? query->n_columns : 0,
        reader->wants_f32 ? query->n_columns : 0, query->with_extra ? extra : 0);
    at = 0;
    for (uint32_t i = 0; i < held->n_rows; i++) {
        const struct tail_row *row = (const void *)(rows + at);
        if (in_range(query, row->step)) {
            columns_add_row(columns, row, reader->n_f64, reader->n_f32,
                reader->wants_f64 ? query->first_column : 0,
                reader->wants_f32 ? query->first_column - reader->n_f64 : 0,
                query->with_extra);
        }
        at += row->bytes;
    }
    return give(reader);
}

static int read_all(struct reader *reader, struct baro_err *err)
{
    int rc = check_columns(reader, err);
    if (rc == 0) {
        rc = read_chunks(reader, err);
    }
    for (uint32_t i = 0; rc == 0 && i < reader->n_segments; i++) {
        rc = give_segment(reader, &reader->segments[i]);
    }
    if (rc == 0 && reader->is_damaged) {
        rc = baro_err_set(err, BARO_ECORRUPT, "%s", reader->damage.text);
    }
    return rc;
}

int store_read(struct store *store, const struct store_query *query, store_block_fn fn,
    void *payload, struct baro_err *err)
{
    struct reader reader = {.store = store, .query = query, .fn = fn, .payload = payload};
    struct group_record record = {0};
    int found = 1;
    if (!hold_tail(&reader)) {
        found = store_group_get(store, query->run, query->thing, query->kind, &record, err);
        reader.n_f64 = record.n_f64;
        reader.n_f32 = record.n_f32;
        reader.sealed_rows = record.n_rows;
    }
    int rc = found;
    if (found > 0 && reader.sealed_rows + reader.n_segments > 0) {
        reader.codec = chunk_codec_create();
        rc = read_all(&reader, err);
    } else if (found >= 0) {
        rc = reader.is_damaged ? baro_err_set(err, BARO_ECORRUPT, "%s", reader.damage.text)
                               : 0;
    }
    release(&reader);
    return rc;
}
