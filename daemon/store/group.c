/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <xxhash.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"

/*
 * Records of groups. All that a record says can be had from the group's chunks too, but for the
 * pieces of tail that it is done with; so a damaged one is made again from them, and costs
 * nothing but the time. (Killed half way through a seal *and* damaged, the rows of one tail may
 * come twice.) When the last chunk is damaged as well its head still says how many rows it had;
 * if that is not credible either, the most that it can have are counted. Later rows get numbers
 * behind it, and reads tell of the gap.
 */

static size_t record_bytes(uint32_t n_levels)
{
    return RECORD_FIXED_BYTES + 8 * (2 * (size_t)n_levels + 1);
}

/* Write a record as it is on disk; returns its size. */
static size_t encode(const struct group_record *record, uint8_t *out)
{
    size_t list = 8 * (size_t)record->n_levels;
    size_t n = record_bytes(record->n_levels);
    memcpy(out, record, RECORD_FIXED_BYTES);
    memcpy(out + RECORD_FIXED_BYTES, record->covered, list);
    memcpy(out + RECORD_FIXED_BYTES + list, record->pruned, list + 8);
    uint64_t check = XXH3_64bits(out + sizeof check, n - sizeof check);
    memcpy(out, &check, sizeof check);
    return n;
}

static bool decode(const MDB_val *value, struct group_record *out)
{
    *out = (struct group_record){0};
    if (value->mv_size < record_bytes(0) || value->mv_size > RECORD_MAX_BYTES) {
        return false;
    }
    const uint8_t *at = value->mv_data;
    memcpy(out, at, RECORD_FIXED_BYTES);
    if (out->n_levels > STORE_MAX_LEVELS || value->mv_size != record_bytes(out->n_levels) ||
        out->n_f64 > CHUNK_MAX_COLUMNS || out->n_f32 > CHUNK_MAX_COLUMNS ||
        out->check !=
            XXH3_64bits(at + sizeof out->check, value->mv_size - sizeof out->check)) {
        return false;
    }
    size_t list = 8 * (size_t)out->n_levels;
    memcpy(out->covered, at + RECORD_FIXED_BYTES, list);
    memcpy(out->pruned, at + RECORD_FIXED_BYTES + list, list + 8);
    return true;
}

/* What has been seen of a group's chunks while its record is made again. */
struct rebuild {
    struct group_record *record;
    bool has_steps;
    bool has_level[STORE_MAX_LEVELS + 1]; /* a chunk of it was seen */
    bool has_unparted;                    /* a whole chunk of part 0 was seen */
    uint64_t unparted_from;               /* its first row */
    uint64_t parted_end;                  /* behind the last row of part 1 */
    uint64_t unparted_end;
    uint16_t last_part;
    uint32_t parts_f64; /* columns of all parts seen */
    uint32_t parts_f32;
};

/* Take what a whole chunk of rows says. */
static void add_rows(
    struct rebuild *rebuild, const struct chunk *chunk, uint16_t part, uint64_t first_row)
{
    struct group_record *record = rebuild->record;
    if (!rebuild->has_steps || chunk->first_step < record->first_step) {
        record->first_step = chunk->first_step;
    }
    if (!rebuild->has_steps || chunk->last_step > record->last_step) {
        record->last_step = chunk->last_step;
    }
    rebuild->has_steps = true;
    if (part == 0) {
        record->n_f64 = chunk->n_f64;
        record->n_f32 = chunk->n_f32;
        rebuild->unparted_from = rebuild->has_unparted ? rebuild->unparted_from : first_row;
        rebuild->has_unparted = true;
    } else if (part != rebuild->last_part) {
        rebuild->last_part = part;
        rebuild->parts_f64 += chunk->n_f64;
        rebuild->parts_f32 += chunk->n_f32;
        record->part_columns =
            part == 1 ? chunk->n_f64 + chunk->n_f32 : record->part_columns;
    }
}

/* Take what one chunk says into a record; keys come in order. */
static void add_chunk(struct rebuild *rebuild, const uint8_t *key, const MDB_val *value)
{
    struct group_record *record = rebuild->record;
    uint8_t level = key[KEY_GROUP_BYTES];
    uint16_t part = (uint16_t)key_get(key + KEY_GROUP_BYTES + 1, 2);
    uint64_t first_row = key_get(key + KEY_STRAND_BYTES, 8);
    struct chunk chunk;
    record->bytes += value->mv_size;
    if (level > STORE_MAX_LEVELS) {
        return;
    }
    uint64_t claim = chunk_claim(value->mv_data, value->mv_size);
    claim = claim > 0 && claim <= CHUNK_MAX_ROWS ? claim : CHUNK_MAX_ROWS;
    uint64_t end = first_row + (level == 0 ? claim : 0);
    if (chunk_open(&chunk, value->mv_data, value->mv_size, NULL) == 0) {
        end = first_row + chunk.covers;
        if (level == 0) {
            add_rows(rebuild, &chunk, part, first_row);
        }
    }
    if (!rebuild->has_level[level] || first_row < record->pruned[level]) {
        record->pruned[level] = first_row;
    }
    rebuild->has_level[level] = true;
    if (level > 0) {
        record->n_levels = level > record->n_levels ? level : record->n_levels;
        record->covered[level - 1] =
            end > record->covered[level - 1] ? end : record->covered[level - 1];
    } else if (part == 0) {
        rebuild->unparted_end = end;
    } else if (part == 1) {
        rebuild->parted_end = end;
    }
}

/* Put together what all chunks said: where parts end, and what is gone. */
static void conclude(struct rebuild *rebuild)
{
    struct group_record *record = rebuild->record;
    if (!rebuild->has_unparted) {
        record->n_f64 = rebuild->parts_f64;
        record->n_f32 = rebuild->parts_f32;
    }
    if (rebuild->parted_end > 0) {
        record->parted_rows =
            rebuild->has_unparted ? rebuild->unparted_from : rebuild->parted_end;
    }
    record->n_rows = rebuild->unparted_end > record->parted_rows ? rebuild->unparted_end
                                                                 : record->parted_rows;
    for (uint32_t level = record->n_levels; level > 0; level--) {
        uint64_t covered = record->covered[level - 1];
        if (level > 1 && record->covered[level - 2] < covered) {
            record->covered[level - 2] = covered;
        }
        if (!rebuild->has_level[level]) {
            record->pruned[level] = covered;
        }
        record->n_rows = covered > record->n_rows ? covered : record->n_rows;
    }
    if (!rebuild->has_level[0]) {
        record->pruned[0] = record->n_rows;
    }
}

/* Make a record from the group's chunks; false when not one that has rows is whole. */
static bool rebuild(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    struct group_record *out)
{
    MDB_cursor *cursor = NULL;
    uint8_t bytes[KEY_CHUNK_BYTES] = {0};
    memcpy(bytes, group_key, KEY_GROUP_BYTES);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    struct rebuild seen = {.record = out};
    *out = (struct group_record){0};
    if (mdb_cursor_open(txn, store->chunk_table, &cursor) != 0) {
        return false;
    }
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && key.mv_size == sizeof bytes &&
           memcmp(key.mv_data, group_key, KEY_GROUP_BYTES) == 0) {
        add_chunk(&seen, key.mv_data, &value);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    conclude(&seen);
    return seen.has_steps;
}

bool store_group_is_whole(const MDB_val *value)
{
    struct group_record ignored;
    return decode(value, &ignored);
}

bool store_group_decode(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    const MDB_val *value, struct group_record *out)
{
    return decode(value, out) || rebuild(store, txn, group_key, out);
}

int store_group_read(struct store *store, MDB_txn *txn, const struct strand_id *id,
    struct group_record *out, struct baro_err *err)
{
    uint8_t bytes[KEY_GROUP_BYTES];
    key_group(bytes, id->run, id->thing, id->kind);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    int rc = mdb_get(txn, store->group_table, &key, &value);
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc != 0) {
        return store_lmdb_error(store, rc, "read", err);
    }
    return store_group_decode(store, txn, bytes, &value, out)
               ? 1
               : baro_err_set(err, BARO_ECORRUPT,
                     "run %u thing %u kind %u: its record in the index is damaged", id->run,
                     id->thing, id->kind);
}

int store_group_get(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct group_record *out, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    const struct strand_id id = {run, thing, kind, 0, 0};
    rc = store_group_read(store, txn, &id, out, err);
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
    group->record = record;
    struct tail_run *in = group->run;
    if (in->next_ordinal < record.tail_from) { /* of pieces that are long gone */
        in->first_ordinal =
            in->first_ordinal < in->next_ordinal ? in->first_ordinal : record.tail_from;
        in->next_ordinal = record.tail_from;
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    *out_group = group;
    return 0;
}

void store_group_put(const struct store *store, struct store_batch *batch,
    const struct tail_group *group, const struct group_record *record)
{
    uint8_t key[KEY_GROUP_BYTES];
    uint8_t value[RECORD_MAX_BYTES];
    key_group(key, group->run->run, group->thing, group->kind);
    size_t n = encode(record, value);
    store_batch_put(batch, store->group_table, key, sizeof key, value, n);
}

void store_group_publish(
    struct store *store, struct tail_group *group, const struct group_record *record)
{
    (void)pthread_mutex_lock(&store->memory_lock);
    group->record = *record;
    (void)pthread_mutex_unlock(&store->memory_lock);
}
