/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/parts.h"

#include <stdlib.h>

#include "daemon/store/strand.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Rows of a wide group come in with all columns side by side, and chunks of few rows keep them so:
 * good for all units at one time, and costly for one series over time, which would have to open
 * every chunk. So older rows are rewritten as parts: strands of P columns and R rows to a chunk,
 * R * P about 32768, which makes 64 KiB at two bytes each. One copy is kept: what is in parts leaves part 0.
 *
 *   columns:       0 .. P-1   P .. 2P-1   ...          rows
 *   parts:         part 1     part 2      ...          [0, parted_rows)
 *   part 0:        all columns                         [parted_rows, n_rows)
 *   tail:          all columns                         [n_rows, ...)
 *
 * A group of 327,680 columns and 16 rows is 21 MB, too much for one step. So parts are written
 * some at a time, each step a transaction of its own, and parted_rows moves only when the last
 * of them is done; with that the chunks of part 0 go. Until then rows from parted_rows on are in
 * both places, which readers do not mind: they look in part 0. How far a part has come is told
 * by its own strand; so work that a kill cut short is taken up where it was, or lies there
 * until it is.
 *
 * A quarter of R rows or more stays behind in part 0 while more come, since the newest are what
 * is looked at most; when a run is quiet, little stays.
 *
 * Damaged chunks of part 0 cannot be rewritten and are not deleted: rows before one are brought
 * over as they are, parted_rows moves behind it, and reads tell of the gap.
 */

/* What is done to one group. */
struct parting {
    struct store *store;
    struct tail_group *group;
    struct strand_writer *writer;
    struct group_record record; /* what it will be */
    struct chunk_codec *codec;
    uint64_t target;    /* rows before this one are to be in parts */
    uint64_t *old_rows; /* first rows of the chunks of part 0 that go then */
    size_t n_old;
    size_t old_room;
    uint64_t old_bytes;
};

enum { GATHER_STEPS = 4 }; /* steps whose columns are gathered at a time */

static uint64_t clamp(uint64_t n, uint64_t least, uint64_t most)
{
    return n < least ? least : n > most ? most : n;
}

static uint32_t n_columns(const struct group_record *record)
{
    return record->n_f64 + record->n_f32;
}

/* How many rows make a chunk of a part. */
static uint64_t part_rows(const struct store *store, const struct group_record *record)
{
    uint64_t row_bytes = 8 * (uint64_t)record->n_f64 + 4 * (uint64_t)record->n_f32;
    return clamp(store->parting.bytes / (row_bytes > 0 ? row_bytes : 1),
        store->parting.min_rows, store->parting.max_rows);
}

/* Whether a group has enough rows in part 0; of one that gets no more, some are enough. */
static bool is_due(const struct store *store, const struct tail_group *group)
{
    const struct group_record *record = &group->record;
    if (n_columns(record) <= store->parting.wide_columns) {
        return false;
    }
    uint64_t n = part_rows(store, record);
    uint64_t enough = group->is_quiet ? n / 8 : n + n / 4;
    enough = enough > store->parting.min_rows ? enough : store->parting.min_rows;
    return record->n_rows - record->parted_rows >= enough;
}

uint32_t parts_columns(const struct store *store, const struct group_record *record)
{
    return record->part_columns > 0
               ? record->part_columns
               : (uint32_t)clamp(
                     store->parting.values / part_rows(store, record), 1, UINT32_MAX);
}

void parts_note(struct store *store, struct tail_group *group, bool is_last)
{
    group->is_quiet = is_last;
    if (group->is_parting || !is_due(store, group)) {
        return;
    }
    struct tail_group **last = &store->parting.first;
    while (*last != NULL) {
        last = &(*last)->next_parting;
    }
    *last = group;
    group->next_parting = NULL;
    group->is_parting = true;
}

/* Take the first group off the list. */
static void forget(struct store *store)
{
    struct tail_group *group = store->parting.first;
    store->parting.first = group->next_parting;
    group->is_parting = false;
    group->n_parted = 0;
}

/* The rows' memory goes when their group is divided, or is not going to be. */
static void release(struct store *store)
{
    columns_finish(&store->parting.columns);
    store->parting.of = NULL;
}

void parts_forget_run(struct store *store, uint32_t run)
{
    struct tail_group **at = &store->parting.first;
    while (*at != NULL) {
        struct tail_group *group = *at;
        if (group->run->run == run) {
            if (store->parting.of == group) {
                release(store);
            }
            *at = group->next_parting;
            group->is_parting = false;
        } else {
            at = &group->next_parting;
        }
    }
}

static struct strand_id id_of(const struct tail_group *group, uint32_t part)
{
    return (struct strand_id){
        group->run->run, group->thing, group->kind, 0, (uint16_t)part};
}

static void add_old(struct parting *parting, const struct strand_chunk *found)
{
    if (parting->n_old == parting->old_room) {
        parting->old_room = parting->old_room * 2 + 64;
        parting->old_rows =
            baro_xrealloc(parting->old_rows, parting->old_room, sizeof(uint64_t));
    }
    parting->old_rows[parting->n_old++] = found->first_row;
    parting->old_bytes += found->value.mv_size;
}

/*
 * Walk the chunks of part 0 from parted_rows on until they hold enough rows, or until one that
 * cannot be read. When that is the first, parted_rows moves behind it.
 */
static int find_target(struct parting *parting, MDB_txn *txn, struct baro_err *err)
{
    struct store *store = parting->store;
    struct group_record *record = &parting->record;
    const struct strand_id id = id_of(parting->group, 0);
    uint64_t enough = record->parted_rows + part_rows(store, record);
    uint64_t next = record->parted_rows;
    while (next < enough && next < record->n_rows) {
        struct strand_chunk found;
        struct chunk chunk;
        int rc = strand_find(store, txn, &id, next, &found, err);
        if (rc < 0) {
            return rc;
        }
        bool is_whole =
            rc > 0 && found.first_row == next &&
            chunk_open(&chunk, found.value.mv_data, found.value.mv_size, NULL) == 0 &&
            chunk.n_f64 == record->n_f64 && chunk.n_f32 == record->n_f32;
        if (is_whole) {
            add_old(parting, &found);
            next += chunk.covers;
        } else if (next > record->parted_rows) {
            break;
        } else { /* the first row that comes behind the gap or the damage */
            uint64_t behind = next + 1;
            rc = strand_next(store, txn, &id, behind, &behind, err);
            if (rc < 0) {
                return rc;
            }
            next = rc > 0 ? behind : record->n_rows;
            record->parted_rows = next;
        }
    }
    parting->target = next;
    return 0;
}

/* Tell up to where a part has come. */
static int find_end(struct parting *parting, MDB_txn *txn, uint32_t part, uint64_t *out_end,
    struct baro_err *err)
{
    const struct strand_id id = id_of(parting->group, part);
    uint64_t end = 0;
    int rc = strand_end(parting->store, txn, &id, &end, err);
    if (rc == BARO_ECORRUPT) { /* what it had is lost, and what comes is behind it */
        rc = 0;
    }
    *out_end = end > parting->record.parted_rows ? end : parting->record.parted_rows;
    return rc < 0 ? rc : 0;
}

/* Find the next parts to write, all from the same row on; *out_n 0: all are done. */
static int find_parts(struct parting *parting, uint32_t *out_first, uint32_t *out_n,
    uint64_t *out_from, struct baro_err *err)
{
    const struct group_record *record = &parting->record;
    uint32_t width = record->part_columns;
    uint32_t all = (n_columns(record) - 1) / width + 1;
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(parting->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = find_target(parting, txn, err);
    uint64_t most = 1;
    uint32_t done =
        parting->group->parting_to == parting->target ? parting->group->n_parted : 0;
    *out_n = 0;
    for (uint32_t part = done + 1; rc == 0 && part <= all; part++) {
        uint64_t end = 0;
        rc = find_end(parting, txn, part, &end, err);
        if (rc != 0 || (*out_n > 0 && (end != *out_from || *out_n >= most))) {
            break;
        }
        if (end < parting->target && *out_n == 0) {
            *out_first = part;
            *out_from = end;
            most = parting->store->step_bytes /
                       (4 * (uint64_t)width * (parting->target - end)) +
                   1;
        }
        *out_n += end < parting->target ? 1 : 0;
    }
    store_reading_end(parting->store, txn);
    return rc;
}

/* Whether the columns of a part are gathered, of the rows of this round. */
static bool is_gathered(const struct parting *parting, uint32_t part)
{
    const struct store *store = parting->store;
    return store->parting.of == parting->group &&
           store->parting.from == parting->record.parted_rows &&
           store->parting.to == parting->target && part >= store->parting.first_part &&
           part - store->parting.first_part < store->parting.n_parts;
}

/* Bring together the rows' columns of a part and of some that follow it: to decode them for each
 * step alone would decode the same blocks again and again. */
static int gather(struct parting *parting, uint32_t part, struct baro_err *err)
{
    struct store *store = parting->store;
    const struct group_record *record = &parting->record;
    uint64_t n_rows = parting->target - record->parted_rows;
    uint32_t width = record->part_columns;
    uint32_t first = (part - 1) * width;
    uint32_t left = n_columns(record) - first;
    uint64_t n = GATHER_STEPS * store->step_bytes / (4 * n_rows * width) + 1;
    struct strand_slice slice = {.from = record->parted_rows,
        .to = parting->target,
        .first_column = first,
        .n_columns = n * width < left ? (uint32_t)n * width : left,
        .with_extra = part == 1};
    store->parting.of = NULL;
    int rc = strand_gather(
        store, parting->group, &slice, parting->codec, &store->parting.columns, err);
    if (rc == 0) {
        store->parting.of = parting->group;
        store->parting.from = slice.from;
        store->parting.to = slice.to;
        store->parting.first_part = part;
        store->parting.n_parts = (slice.n_columns - 1) / width + 1;
    }
    return rc;
}

/* Append what one part has of the rows from one on. */
static int write_part(
    struct parting *parting, uint32_t part, uint64_t from, struct baro_err *err)
{
    const struct group_record *record = &parting->record;
    const struct columns *all = &parting->store->parting.columns;
    size_t skip = from - parting->store->parting.from;
    uint32_t column = (part - 1) * record->part_columns;
    uint32_t left = n_columns(record) - column;
    uint32_t n = left < record->part_columns ? left : record->part_columns;
    struct columns_span span = columns_span(column, n, record->n_f64);
    uint32_t first = (parting->store->parting.first_part - 1) * record->part_columns;
    struct columns_span outer =
        columns_span(first, n_columns(record) - first, record->n_f64);
    size_t f64_at = (span.first_f64 - outer.first_f64) * all->room + skip;
    size_t f32_at = (span.first_f32 - outer.first_f32) * all->room + skip;
    struct columns rows = {
        .n_rows = all->n_rows - skip,
        .room = all->room,
        .n_f64 = span.n_f64,
        .n_f32 = span.n_f32,
        .steps = all->steps + skip,
        .times_ns = all->times_ns + skip,
        .f64 = span.n_f64 > 0 ? all->f64 + f64_at : NULL,
        .f32 = span.n_f32 > 0 ? all->f32 + f32_at : NULL,
        .extra_ends = baro_xcalloc(all->n_rows - skip, sizeof *rows.extra_ends),
    };
    if (part == 1) { /* extra bytes go with the first part */
        uint32_t start = skip > 0 ? all->extra_ends[skip - 1] : 0;
        for (size_t i = 0; i < rows.n_rows; i++) {
            rows.extra_ends[i] = all->extra_ends[skip + i] - start;
        }
        rows.extra = all->extra_bytes > 0 ? all->extra + start : NULL;
        rows.extra_bytes = all->extra_bytes - start;
    }
    const struct strand_id id = id_of(parting->group, part);
    size_t budget = SIZE_MAX;
    int rc = strand_append(
        parting->writer, &id, from, &rows, NULL, &budget, &parting->record.bytes, err);
    free(rows.extra_ends);
    return rc;
}

/* All parts have the rows: they leave part 0. */
static void finish(struct parting *parting)
{
    struct store *store = parting->store;
    struct group_record *record = &parting->record;
    const struct strand_id id = id_of(parting->group, 0);
    for (size_t i = 0; i < parting->n_old; i++) {
        uint8_t key[KEY_CHUNK_BYTES];
        key_chunk(key, &id, parting->old_rows[i]);
        store_batch_delete(&store->sealing, store->chunk_table, key, sizeof key);
    }
    record->bytes -=
        parting->old_bytes < record->bytes ? parting->old_bytes : record->bytes;
    record->parted_rows = parting->target;
}

/* Write parts [part, part + n), all from one row on, and finish when those were the last. */
static int write_parts(struct parting *parting, uint32_t part, uint32_t n, uint64_t from,
    bool is_done, struct baro_err *err)
{
    struct store *store = parting->store;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = write_part(parting, part + i, from, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (is_done) {
        finish(parting);
    }
    store_group_put(store, &store->sealing, parting->group, &parting->record);
    return store_apply(store, &store->sealing, store->commit_limit, err);
}

/* Do one step; *out_is_done when parted_rows moved. */
static int step(struct parting *parting, bool *out_is_done, struct baro_err *err)
{
    struct tail_group *group = parting->group;
    uint32_t all = (n_columns(&parting->record) - 1) / parting->record.part_columns + 1;
    uint32_t part = 0;
    uint32_t n = 0;
    uint64_t from = 0;
    int rc = find_parts(parting, &part, &n, &from, err);
    if (rc != 0 || (n > 0 && !is_gathered(parting, part))) {
        return rc != 0 ? rc : gather(parting, part, err); /* which is a step of its own */
    }
    while (n > 0 && !is_gathered(parting, part + n - 1)) {
        n--;
    }
    bool is_done = n == 0 || part + n > all;
    rc = write_parts(parting, part, n, from, is_done, err);
    if (rc != 0) {
        return rc;
    }
    store_group_publish(parting->store, group, &parting->record);
    group->n_parted = is_done ? 0 : part + n - 1;
    group->parting_to = parting->target;
    *out_is_done = is_done;
    return 0;
}

int parts_step(struct store *store, struct baro_err *err)
{
    struct tail_group *group = store->parting.first;
    if (group == NULL) {
        return 0;
    }
    struct parting parting = {.store = store, .group = group, .record = group->record};
    parting.record.part_columns = parts_columns(store, &group->record);
    store_batch_clear(&store->sealing);
    parting.writer = strand_writer_create(store, &store->sealing);
    parting.codec = store_codec_take(store);
    bool is_done = false;
    int rc = step(&parting, &is_done, err);
    if (rc != 0 || is_done) {
        release(store);
    }
    if ((rc == 0 && is_done && !is_due(store, group)) || rc == BARO_ECORRUPT) {
        forget(store);
    }
    strand_writer_destroy(parting.writer);
    store_codec_give(store, parting.codec);
    free(parting.old_rows);
    return rc == 0 ? 1 : baro_err_prefix(err, rc, "divide run %u", group->run->run);
}
