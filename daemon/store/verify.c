/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/prune.h"
#include "daemon/store/tail.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * The check goes through the tables one after the other, some keys a step, and says where it
 * stopped by the last key it looked at. What is compared with each other (a chunk with the one
 * before it, a strand with its group's record) is looked up in one reading transaction, so that
 * sealing and pruning meanwhile cannot make it look damaged; the bytes of chunks are copied and
 * decoded after the transaction.
 *
 *   part 0 .. 3   small values: their keys, and that their run is known
 *   part 4        pieces of tail: checksums, rows
 *   part 5        groups: checksum, sense, and that each strand is there from where it must
 *                 begin to where it must end
 *   part 6        chunks: no gap and no overlap within a strand; each whole and decodable
 */

enum {
    PART_TAIL = STORE_TABLE_COUNT,
    PART_GROUPS,
    PART_CHUNKS,
    PART_COUNT,
    MAX_KEYS = 4096,     /* of a step */
    MAX_BYTES = 4 << 20, /* of chunks copied in a step */
    MAX_STEP_CHUNKS = 256
};

/* ---- going on from a key ---- */

/* What keys of the part at hand begin with when one group is checked; returns its length. */
static size_t prefix_of(const struct store_verify *at, uint8_t out[KEY_CHUNK_BYTES])
{
    const struct strand_id id = {.run = at->run, .thing = at->thing, .kind = at->kind};
    key_chunk(out, &id, 0);
    return !at->is_group             ? 0
           : at->part == PART_TAIL   ? 4 /* all of the run's */
           : at->part == PART_GROUPS ? KEY_GROUP_BYTES
                                     : KEY_GROUP_BYTES + 1; /* level 0 */
}

/* MDB_NOTFOUND instead of rc once a key is behind those of the one group that is checked. */
static int stay_within(const struct verifier *verifier, int rc, const MDB_val *key)
{
    uint8_t prefix[KEY_CHUNK_BYTES];
    size_t n = rc == 0 ? prefix_of(verifier->at, prefix) : 0;
    bool is_within = n == 0 || (key->mv_size >= n && memcmp(key->mv_data, prefix, n) == 0);
    return is_within ? rc : MDB_NOTFOUND;
}

/* Go to the first key behind the last one looked at; an LMDB code. */
static int go_on(
    const struct verifier *verifier, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
    struct store_verify *at = verifier->at;
    uint8_t prefix[KEY_CHUNK_BYTES];
    if (at->key_bytes == 0) {
        *key = (MDB_val){.mv_size = prefix_of(at, prefix), .mv_data = prefix};
        return mdb_cursor_get(
            cursor, key, value, key->mv_size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    }
    *key = (MDB_val){.mv_size = at->key_bytes, .mv_data = at->key};
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    bool is_same = rc == 0 && key->mv_size == at->key_bytes &&
                   memcmp(key->mv_data, at->key, at->key_bytes) == 0;
    return is_same ? mdb_cursor_get(cursor, key, value, MDB_NEXT) : rc;
}

static void remember(struct verifier *verifier, const MDB_val *key)
{
    struct store_verify *at = verifier->at;
    at->key_bytes =
        (uint32_t)(key->mv_size < sizeof at->key ? key->mv_size : sizeof at->key);
    memcpy(at->key, key->mv_data, at->key_bytes);
}

/* Looks at one value; false when the step has had enough after it. */
typedef bool (*look_fn)(
    struct verifier *verifier, MDB_txn *txn, const MDB_val *key, const MDB_val *value);

/* Look at some values of a table; the next part follows when there are no more. */
static int walk(
    struct verifier *verifier, MDB_dbi table, look_fn look, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    int rc = store_reading_begin(verifier->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    verifier->removing = store_removing(verifier->store, txn);
    rc = mdb_cursor_open(txn, table, &cursor);
    rc = rc == 0 ? go_on(verifier, cursor, &key, &value) : rc;
    bool goes_on = true;
    rc = stay_within(verifier, rc, &key);
    for (int n = 0; rc == 0 && goes_on && n < MAX_KEYS; n++) {
        goes_on = look(verifier, txn, &key, &value);
        remember(verifier, &key);
        rc = goes_on ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : 0;
        rc = goes_on ? stay_within(verifier, rc, &key) : rc;
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(verifier->store, txn);
    if (rc == MDB_NOTFOUND) {
        verifier->at->part++;
        verifier->at->key_bytes = 0;
        rc = 0;
    }
    return rc == 0 ? 0 : store_lmdb_error(verifier->store, rc, "read", err);
}

/* ---- small values, tails ---- */

static bool is_run_known(struct verifier *verifier, MDB_txn *txn, uint32_t run)
{
    uint8_t bytes[KEY_VALUE_BYTES];
    key_value(bytes, run, 0);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    return mdb_get(txn, verifier->store->tables[STORE_RUNS], &key, &value) == 0 ||
           verifier->removing == run;
}

static bool look_at_value(
    struct verifier *verifier, MDB_txn *txn, const MDB_val *key, const MDB_val *value)
{
    static const char *const names[STORE_TABLE_COUNT] = {
        "description", "declaration", "stream", "alert", "incident", "note"};
    struct strand_id id = {0};
    const char *name = names[verifier->at->part];
    verifier->at->n_bytes += value->mv_size;
    if (key->mv_size != KEY_VALUE_BYTES) {
        verify_tell(
            verifier, &id, "a stored %s has a key of %zu bytes", name, key->mv_size);
        return true;
    }
    id.run = (uint32_t)key_get(key->mv_data, 4);
    uint64_t number = key_get((const uint8_t *)key->mv_data + 4, 8);
    if (verifier->at->part == STORE_RUNS ? number != 0
                                         : !is_run_known(verifier, txn, id.run)) {
        verify_tell(verifier, &id, "a stored %s (number %" PRIu64 ") belongs to no run",
            name, number);
    }
    return true;
}

static bool look_at_tail(
    struct verifier *verifier, MDB_txn *txn, const MDB_val *key, const MDB_val *value)
{
    (void)txn;
    struct strand_id id = {0};
    verifier->at->n_bytes += value->mv_size;
    if (key->mv_size != KEY_VALUE_BYTES) {
        verify_tell(verifier, &id, "a piece of tail has a key of %zu bytes", key->mv_size);
        return true;
    }
    id.run = (uint32_t)key_get(key->mv_data, 4);
    uint64_t ordinal = key_get((const uint8_t *)key->mv_data + 4, 8);
    struct frame_codec *codec = frame_codec_create();
    struct piece piece;
    int got =
        piece_open(&piece, value->mv_data, value->mv_size, codec) == 0 ? 1 : BARO_ECORRUPT;
    while (got == 1) {
        struct tail_record record;
        const uint8_t *payload = NULL;
        got = piece_next(&piece, &record, &payload);
    }
    frame_codec_destroy(codec);
    if (got != 0) {
        verify_tell(verifier, &id,
            "records that came together (commit %" PRIu64 ", %zu bytes) cannot be read",
            ordinal, value->mv_size);
    }
    return true;
}

/* ---- groups ---- */

/* Check that a strand reaches from one row to another, whatever lies between. */
static void check_reach(struct verifier *verifier, MDB_txn *txn, const struct strand_id *id,
    uint64_t from, uint64_t to)
{
    struct strand_chunk first;
    uint64_t end = 0;
    if (from >= to) {
        return;
    }
    int rc = strand_find(verifier->store, txn, id, from, &first, NULL);
    if (rc == 0 || (rc > 0 && first.first_row > from)) {
        verify_tell_rows(verifier, id, from,
            rc == 0 || first.first_row > to ? to : first.first_row, 0, "are missing");
    }
    if (rc == 1 && strand_end(verifier->store, txn, id, &end, NULL) == 1 && end < to) {
        verify_tell_rows(verifier, id, end, to, 0, "are missing");
    }
}

static bool is_sensible(const struct group_record *record)
{
    bool is_good = record->parted_rows <= record->n_rows &&
                   record->pruned[0] <= record->n_rows &&
                   (record->n_rows == 0 || record->first_step <= record->last_step);
    for (uint32_t i = 0; i < record->n_levels; i++) {
        uint64_t below = i == 0 ? record->n_rows : record->covered[i - 1];
        is_good = is_good && record->covered[i] <= below &&
                  record->pruned[i + 1] <= record->covered[i];
    }
    return is_good;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool look_at_group(
    struct verifier *verifier, MDB_txn *txn, const MDB_val *key, const MDB_val *value)
{
    struct strand_id id = {0};
    verifier->at->n_bytes += value->mv_size;
    if (key->mv_size != KEY_GROUP_BYTES) {
        verify_tell(
            verifier, &id, "a record of the index has a key of %zu bytes", key->mv_size);
        return true;
    }
    const uint8_t *at = key->mv_data;
    struct group_record record;
    id.run = (uint32_t)key_get(at, 4);
    id.thing = (uint32_t)key_get(at + 4, 4);
    id.kind = (uint16_t)key_get(at + 8, 2);
    if (id.run == verifier->removing && id.run != 0) {
        return true;
    }
    if (!store_group_is_whole(value)) {
        verify_tell(verifier, &id,
            "its record in the index is damaged; it is made again from what is there");
        return true;
    }
    if (!store_group_decode(verifier->store, txn, at, value, &record) ||
        !is_sensible(&record)) {
        verify_tell(verifier, &id, "its record in the index makes no sense");
        return true;
    }
    check_reach(
        verifier, txn, &id, larger(record.parted_rows, record.pruned[0]), record.n_rows);
    uint32_t n_columns = record.n_f64 + record.n_f32;
    for (uint32_t c = 0; record.part_columns > 0 && c < n_columns;
         c += record.part_columns) {
        id.part++;
        check_reach(verifier, txn, &id, record.pruned[0], record.parted_rows);
    }
    return true;
}

/* ---- chunks ---- */

/* The chunks of one step. */
struct batch {
    struct verifier *verifier;
    struct verify_chunk chunks[MAX_STEP_CHUNKS];
    size_t n;
    uint8_t *bytes;
    size_t n_bytes;
    size_t room;
    uint64_t next; /* row that the strand at hand goes on with; 0 also when not known */
    bool has_next;
};

static struct strand_id id_of(const MDB_val *key)
{
    const uint8_t *at = key->mv_data;
    return (struct strand_id){
        .run = (uint32_t)key_get(at, 4),
        .thing = (uint32_t)key_get(at + 4, 4),
        .kind = (uint16_t)key_get(at + 8, 2),
        .level = at[KEY_GROUP_BYTES],
        .part = (uint16_t)key_get(at + KEY_GROUP_BYTES + 1, 2),
    };
}

static bool is_same_strand(const MDB_val *a, const MDB_val *b)
{
    return a->mv_size == KEY_CHUNK_BYTES && b->mv_size == KEY_CHUNK_BYTES &&
           memcmp(a->mv_data, b->mv_data, KEY_STRAND_BYTES) == 0;
}

/* Where the strand goes on behind a chunk, if that can be told. */
static void set_next(struct batch *batch, uint64_t first_row, const MDB_val *value)
{
    struct chunk chunk;
    batch->has_next = chunk_open(&chunk, value->mv_data, value->mv_size, NULL) == 0;
    batch->next = batch->has_next ? first_row + chunk.covers : 0;
}

static void check_place(struct batch *batch, const struct verify_chunk *chunk)
{
    if (!batch->has_next || chunk->first_row == batch->next) {
        return;
    }
    bool is_gap = chunk->first_row > batch->next;
    verify_tell_rows(batch->verifier, &chunk->id, is_gap ? batch->next : chunk->first_row,
        is_gap ? chunk->first_row : batch->next, 0, "are %s",
        is_gap ? "missing" : "there twice");
}

/* Copy one chunk; what is around it is checked by the way. */
static void take_chunk(
    struct batch *batch, MDB_txn *txn, const MDB_val *key, const MDB_val *value)
{
    struct store *store = batch->verifier->store;
    struct verify_chunk *chunk = &batch->chunks[batch->n++];
    *chunk = (struct verify_chunk){
        .id = id_of(key),
        .first_row = key_get((const uint8_t *)key->mv_data + KEY_STRAND_BYTES, 8),
        .follow = UINT64_MAX,
        .at = batch->n_bytes,
        .n_bytes = value->mv_size,
    };
    MDB_val group_key = {.mv_size = KEY_GROUP_BYTES, .mv_data = key->mv_data};
    MDB_val group;
    chunk->has_record =
        mdb_get(txn, store->group_table, &group_key, &group) == 0 &&
        store_group_decode(store, txn, key->mv_data, &group, &chunk->record);
    if (!chunk->has_record) {
        verify_tell(batch->verifier, &chunk->id,
            "a chunk of %zu bytes belongs to no series of the index", value->mv_size);
    }
    check_place(batch, chunk);
    set_next(batch, chunk->first_row, value);
    if (batch->n_bytes + value->mv_size > batch->room) {
        batch->room = (batch->n_bytes + value->mv_size) * 2;
        batch->bytes = baro_xrealloc(batch->bytes, batch->room, 1);
    }
    memcpy(batch->bytes + batch->n_bytes, value->mv_data, value->mv_size);
    batch->n_bytes += value->mv_size;
}

/* Copy the chunks of one step, in order; an LMDB code. */
static int take_chunks(struct batch *batch, MDB_txn *txn, MDB_cursor *cursor)
{
    struct verifier *verifier = batch->verifier;
    uint8_t last_bytes[KEY_CHUNK_BYTES];
    MDB_val last = {.mv_size = 0, .mv_data = last_bytes};
    MDB_val key;
    MDB_val value;
    int rc = stay_within(verifier, go_on(verifier, cursor, &key, &value), &key);
    if (rc != 0) {
        return rc;
    }
    MDB_val before_key;
    MDB_val before;
    if (mdb_cursor_get(cursor, &before_key, &before, MDB_PREV) == 0) {
        if (is_same_strand(&before_key, &key)) {
            set_next(batch,
                key_get((const uint8_t *)before_key.mv_data + KEY_STRAND_BYTES, 8),
                &before);
            memcpy(last_bytes, before_key.mv_data, sizeof last_bytes);
            last.mv_size = sizeof last_bytes;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    } else {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    }
    while (rc == 0 && batch->n < MAX_STEP_CHUNKS && batch->n_bytes < MAX_BYTES) {
        if (key.mv_size != KEY_CHUNK_BYTES) {
            verify_tell(verifier, &(struct strand_id){0}, "a chunk has a key of %zu bytes",
                key.mv_size);
        } else if (verifier->removing == 0 || id_of(&key).run != verifier->removing) {
            batch->has_next = batch->has_next && is_same_strand(&last, &key);
            if (batch->n > 0 && is_same_strand(&last, &key)) {
                batch->chunks[batch->n - 1].follow =
                    key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
            }
            take_chunk(batch, txn, &key, &value);
            memcpy(last_bytes, key.mv_data, sizeof last_bytes);
            last.mv_size = sizeof last_bytes;
        }
        remember(verifier, &key);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        rc = stay_within(verifier, rc, &key);
    }
    if (rc == 0 && batch->n > 0 && is_same_strand(&last, &key)) {
        batch->chunks[batch->n - 1].follow =
            key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
    }
    return rc;
}

static int check_chunks(struct verifier *verifier, struct baro_err *err)
{
    struct batch *batch = baro_xcalloc(1, sizeof *batch);
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    batch->verifier = verifier;
    int rc = store_reading_begin(verifier->store, &txn, err);
    if (rc != 0) {
        free(batch);
        return rc;
    }
    verifier->removing = store_removing(verifier->store, txn);
    rc = mdb_cursor_open(txn, verifier->store->chunk_table, &cursor);
    if (rc == 0) {
        rc = take_chunks(batch, txn, cursor);
        mdb_cursor_close(cursor);
    }
    store_reading_end(verifier->store, txn);
    for (size_t i = 0; i < batch->n; i++) {
        const struct verify_chunk *chunk = &batch->chunks[i];
        verify_chunk_bytes(verifier, chunk, batch->bytes + chunk->at);
    }
    verifier->at->n_chunks += batch->n;
    verifier->at->n_bytes += batch->n_bytes;
    free(batch->bytes);
    free(batch);
    if (rc == MDB_NOTFOUND) {
        verifier->at->part++;
        verifier->at->key_bytes = 0;
        rc = 0;
    }
    return rc == 0 ? 0 : store_lmdb_error(verifier->store, rc, "read", err);
}

int store_verify_step(struct store *store, struct store_verify *verify, store_damage_fn fn,
    void *payload, struct baro_err *err)
{
    struct verifier verifier = {.store = store, .at = verify, .fn = fn, .payload = payload};
    int rc = 0;
    verify->n_chunks = 0;
    verify->n_bytes = 0;
    if (verify->key_bytes > sizeof verify->key) {
        return baro_err_set(err, BARO_EINVAL, "there is no such place in the store");
    }
    if (verify->is_group && verify->part < PART_TAIL) {
        verify->part = PART_TAIL;
    }
    if (verify->part < PART_TAIL) {
        rc = walk(&verifier, store->tables[verify->part], look_at_value, err);
    } else if (verify->part == PART_TAIL) {
        rc = walk(&verifier, store->tail_table, look_at_tail, err);
    } else if (verify->part == PART_GROUPS) {
        rc = walk(&verifier, store->group_table, look_at_group, err);
    } else if (verify->part == PART_CHUNKS) {
        rc = check_chunks(&verifier, err);
    }
    verify_give_findings(&verifier);
    verify->is_done = verify->part >= PART_COUNT;
    chunk_codec_destroy(verifier.codec);
    columns_finish(&verifier.columns);
    return rc;
}
