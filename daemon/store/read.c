/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/strand.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Reading takes the group's tail first (references to its segments, under the memory lock) and
 * then the chunks before it, in short LMDB transactions, found by the number of the next row
 * that is wanted. Chunks may be merged, added, divided into parts or pruned meanwhile: the
 * numbers say what has been given already, and where a row is not where it was expected the
 * group's record, read in the same transaction, says where it went. No lock and no transaction
 * is held while the caller's function runs.
 *
 * Of a wide group the rows of the first part that is wanted say up to where a stretch goes; the
 * other parts give the same rows, then comes the next stretch. So what lies outside the range of
 * steps costs one part only, and a caller that stops has all columns up to there.
 */

enum { SKIPS_IN_ONE = 64 }; /* chunks out of range that are passed in one transaction */

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
    uint64_t pruned;      /* rows before this one are gone */
    uint64_t parted_rows; /* rows before this one are in parts of so many columns */
    uint32_t part_columns;
    struct held_segment *segments;
    uint32_t n_segments;
    bool is_damaged; /* something could not be read */
    struct baro_err damage;
    struct chunk_codec *codec;
    struct columns columns;
    uint8_t *bytes; /* the chunk at hand */
    size_t n_bytes;
    size_t room;
    struct chunk chunk; /* it, opened, if it is whole */
    uint64_t first_row; /* of the chunk at hand */
};

/* Which columns a strand gives, and which of them are wanted. */
struct source {
    struct strand_id id;
    uint32_t n_f64; /* that its chunks have */
    uint32_t n_f32;
    uint32_t first_column; /* of the group: the first that is wanted */
    uint32_t n_columns;
    struct columns_span span; /* the same, counted within the chunks */
    bool with_extra;
    uint64_t end; /* rows from here on are not in this strand */
};

static void note_damage(struct reader *reader, const char *what)
{
    if (!reader->is_damaged) {
        const struct store_query *query = reader->query;
        reader->is_damaged = true;
        store_note_damage(reader->store, query->run, query->thing, query->kind, what);
        (void)baro_err_set(&reader->damage, BARO_ECORRUPT,
            "run %u thing %u kind %u: %s; the rest was read", query->run, query->thing,
            query->kind, what);
    }
}

static bool in_range(const struct store_query *query, int64_t step)
{
    return step >= query->from_step && step <= query->to_step;
}

/* Heed what a group's record says of where its rows are. */
static void take_places(struct reader *reader, const struct group_record *record)
{
    reader->pruned = record->pruned[0];
    reader->parted_rows = record->parted_rows;
    reader->part_columns = record->part_columns;
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
        take_places(reader, &group->record);
        reader->n_f64 = group->record.n_f64;
        reader->n_f32 = group->record.n_f32;
        reader->sealed_rows = group->record.n_rows;
        reader->segments = baro_xcalloc(group->n_segments, sizeof *reader->segments);
        for (struct tail_segment *segment = group->segments; segment != NULL;
             segment = segment->next) {
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
    store_codec_give(reader->store, reader->codec);
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

static int give(struct reader *reader, uint64_t next_row, uint32_t first_column,
    uint32_t n_columns, bool with_extra)
{
    const struct columns *columns = &reader->columns;
    if (columns->n_rows == 0) {
        return 0;
    }
    struct store_block block = {
        .next_row = next_row,
        .first_column = first_column,
        .n_rows = columns->n_rows,
        .steps = columns->steps,
        .is_line = columns->is_line,
        .times_ns = columns->without_times ? NULL : columns->times_ns,
        .n_columns = n_columns,
        .f64 = columns->n_f64 > 0 ? columns->f64 : NULL,
        .f32 = columns->n_f32 > 0 ? columns->f32 : NULL,
        .extra_ends = with_extra ? columns->extra_ends : NULL,
        .extra = with_extra ? columns->extra : NULL,
    };
    return reader->fn(&block, reader->payload);
}

/* Tell whether all steps of a straight line are in range. */
static bool is_line_in(const struct reader *reader)
{
    const struct columns *columns = &reader->columns;
    int64_t stride = 0;
    int64_t way = 0;
    int64_t last = 0;
    return !__builtin_sub_overflow(columns->steps[1], columns->steps[0], &stride) &&
           stride > 0 &&
           !__builtin_mul_overflow(stride, (int64_t)columns->n_rows - 1, &way) &&
           !__builtin_add_overflow(columns->steps[0], way, &last) &&
           in_range(reader->query, columns->steps[0]) && in_range(reader->query, last);
}

/* Keep rows [from, to) whose step is in range and close the gaps between columns. */
static void select_rows(struct reader *reader, bool with_extra, size_t from, size_t to)
{
    struct columns *columns = &reader->columns;
    size_t kept = 0;
    size_t n_in = 0;
    if (columns->is_line && from == 0 && to == columns->n_rows && is_line_in(reader)) {
        return;
    }
    columns_expand_line(columns);
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
        if (with_extra) {
            uint32_t start = i > 0 ? columns->extra_ends[i - 1] : 0;
            uint32_t n = columns->extra_ends[i] - start;
            if (n > 0) {
                memmove(columns->extra + extra, columns->extra + start, n);
            }
            extra += n;
            columns->extra_ends[kept] = extra; /* kept <= i, so later starts are unharmed */
        }
        columns->steps[kept] = columns->steps[i];
        if (!columns->without_times) {
            columns->times_ns[kept] = columns->times_ns[i];
        }
        kept++;
    }
    columns->n_rows = kept;
}

/* Whether a row is in parts, as far as the reader knows. */
static bool is_in_parts(const struct reader *reader, uint64_t row)
{
    return reader->part_columns > 0 && row < reader->parted_rows;
}

/* Describe what part 0, or the part that has a column, gives of n columns from that one on. */
static struct source source_of(
    const struct reader *reader, bool is_parted, uint32_t column, uint32_t n, uint64_t end)
{
    const struct store_query *query = reader->query;
    uint32_t all = reader->n_f64 + reader->n_f32;
    uint32_t width = is_parted ? reader->part_columns : all;
    uint32_t first = is_parted ? column / width * width : 0; /* of the strand */
    width = width < all - first ? width : all - first;
    struct columns_span has = columns_span(first, width, reader->n_f64);
    struct source source = {
        .id = {query->run, query->thing, query->kind, 0, 0},
        .n_f64 = has.n_f64,
        .n_f32 = has.n_f32,
        .first_column = column,
        .n_columns = n < first + width - column ? n : first + width - column,
        .with_extra = query->with_extra && first == 0, /* part 1 has them */
        .end = is_parted && end > reader->parted_rows ? reader->parted_rows : end,
    };
    source.id.part = (uint16_t)(is_parted ? column / reader->part_columns + 1 : 0);
    source.span = columns_span(column - first, source.n_columns, has.n_f64);
    return source;
}

/* Check what was found and, when steps of it may be in range, keep a copy. */
static int look_at(struct reader *reader, const struct source *source,
    const struct strand_chunk *found, bool *out_is_wanted, struct baro_err *err)
{
    struct chunk *chunk = &reader->chunk;
    int rc = chunk_open(chunk, found->value.mv_data, found->value.mv_size, err);
    if (rc == 0 && (chunk->n_f64 != source->n_f64 || chunk->n_f32 != source->n_f32 ||
                       chunk->covers != chunk->n_rows)) {
        rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
    }
    *out_is_wanted = rc == 0 && chunk->last_step >= reader->query->from_step &&
                     chunk->first_step <= reader->query->to_step;
    if (!*out_is_wanted) {
        return rc;
    }
    reader->n_bytes = found->value.mv_size;
    reader->first_row = found->first_row;
    if (reader->bytes == NULL || reader->n_bytes > reader->room) {
        reader->room = reader->n_bytes * 2;
        reader->bytes = baro_xrealloc(reader->bytes, reader->room, 1);
    }
    memcpy(reader->bytes, found->value.mv_data, reader->n_bytes);
    chunk_move(chunk, found->value.mv_data, reader->bytes);
    return 0;
}

/* What a look for a row's chunk came to. */
enum found {
    FOUND_CHUNK,   /* it is at hand, and some of its steps may be in range */
    FOUND_SKIPPED, /* rows up to *next were passed: out of range, pruned, or damaged */
    FOUND_MOVED    /* the row is in another strand now */
};

/* Row next is not in its strand, or its chunk is damaged: see whether that is as it should be,
 * and where rows go on. */
static int look_again(struct reader *reader, MDB_txn *txn, const struct source *source,
    const char *damage, uint64_t *next, struct baro_err *err)
{
    struct group_record record;
    int rc = store_group_read(reader->store, txn, &source->id, &record, err);
    if (rc > 0) {
        take_places(reader, &record);
    } else if (rc == 0) { /* all of the run went meanwhile */
        reader->pruned = reader->sealed_rows;
    } else if (rc != BARO_ECORRUPT) {
        return rc;
    }
    if (reader->pruned > *next) {
        *next = reader->pruned < source->end ? reader->pruned : source->end;
        return FOUND_SKIPPED;
    }
    if (is_in_parts(reader, *next) != (source->id.part > 0)) {
        return FOUND_MOVED;
    }
    uint64_t behind = source->end;
    rc = strand_next(reader->store, txn, &source->id, *next + 1, &behind, err);
    if (rc < 0) {
        return rc;
    }
    note_damage(reader, damage);
    *next = behind < source->end ? behind : source->end;
    return FOUND_SKIPPED;
}

/* Find the chunk of a strand that has row *next and copy it; enum found or negative. */
static int fetch(struct reader *reader, const struct source *source, uint64_t *next,
    struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(reader->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = FOUND_SKIPPED;
    for (int i = 0; i < SKIPS_IN_ONE && rc == FOUND_SKIPPED && *next < source->end; i++) {
        struct strand_chunk found;
        struct baro_err cause = {0};
        bool is_wanted = false;
        rc = strand_find(reader->store, txn, &source->id, *next, &found, err);
        if (rc == 0 || (rc > 0 && found.first_row > *next)) {
            rc = look_again(reader, txn, source, "chunks are missing", next, err);
        } else if (rc > 0 && look_at(reader, source, &found, &is_wanted, &cause) != 0) {
            rc = look_again(reader, txn, source, cause.text, next, err);
        } else if (rc > 0 && !is_wanted) {
            uint64_t end = found.first_row + reader->chunk.n_rows;
            *next = end < source->end ? end : source->end;
            rc = FOUND_SKIPPED;
        } else if (rc > 0) {
            rc = FOUND_CHUNK;
        }
    }
    store_reading_end(reader->store, txn);
    return rc;
}

/* Give rows [from, to) of the chunk at hand. */
static int give_chunk(
    struct reader *reader, const struct source *source, uint64_t from, uint64_t to)
{
    struct baro_err cause = {0};
    if (columns_take_chunk(&reader->columns, reader->codec, &reader->chunk, &source->span,
            source->with_extra, &cause) != 0) {
        note_damage(reader, cause.text);
        return 0;
    }
    select_rows(
        reader, source->with_extra, from - reader->first_row, to - reader->first_row);
    uint32_t column =
        source->n_columns > 0 ? source->first_column : reader->query->first_column;
    return give(reader, to, column, source->n_columns, source->with_extra);
}

/* Give rows [from, to) of one more part. */
static int give_part(struct reader *reader, const struct source *source, uint64_t from,
    uint64_t to, struct baro_err *err)
{
    int rc = 0;
    for (uint64_t next = from; rc == 0 && next < to;) {
        rc = fetch(reader, source, &next, err);
        if (rc == FOUND_CHUNK) {
            uint64_t end = reader->first_row + reader->chunk.n_rows;
            end = end < to ? end : to;
            rc = give_chunk(reader, source, next, end);
            next = end;
        } else if (rc == FOUND_SKIPPED) {
            rc = 0;
        } else if (rc == FOUND_MOVED) { /* cannot be: rows never leave parts */
            note_damage(reader, "its record in the index is damaged");
            return 0;
        }
    }
    return rc;
}

/* Give the next rows of the chunks; *next becomes the row behind them. */
static int give_stretch(struct reader *reader, uint64_t *next, struct baro_err *err)
{
    const struct store_query *query = reader->query;
    bool is_parted = is_in_parts(reader, *next);
    uint32_t column = query->first_column;
    uint32_t left = query->n_columns;
    bool
        is_bare = /* the first part has the extra bytes: they come in a block of their own */
        is_parted && (left == 0 || (query->with_extra && column >= reader->part_columns));
    struct source source = source_of(
        reader, is_parted, is_bare ? 0 : column, is_bare ? 0 : left, reader->sealed_rows);
    int rc = fetch(reader, &source, next, err);
    if (rc != FOUND_CHUNK) {
        return rc < 0 ? rc : 0;
    }
    uint64_t from = *next;
    uint64_t to = reader->first_row + reader->chunk.n_rows;
    to = to < source.end ? to : source.end;
    *next = to;
    rc = give_chunk(reader, &source, from, to);
    column += source.n_columns;
    left -= source.n_columns;
    while (rc == 0 && left > 0) {
        source = source_of(reader, is_parted, column, left, to);
        rc = give_part(reader, &source, from, to, err);
        column += source.n_columns;
        left -= source.n_columns;
    }
    return rc;
}

/* Begin with the first row that is wanted and is still there. */
static int read_chunks(struct reader *reader, struct baro_err *err)
{
    uint64_t next = reader->query->first_row;
    int rc = 0;
    while (rc == 0 && next < reader->sealed_rows) {
        next = next > reader->pruned ? next : reader->pruned;
        rc = next < reader->sealed_rows ? give_stretch(reader, &next, err) : 0;
    }
    return rc;
}

/* Give the rows of one segment that are in range; its first has the number first_row. */
static int give_segment(
    struct reader *reader, const struct held_segment *held, uint64_t first_row)
{
    const struct store_query *query = reader->query;
    const uint8_t *rows = held->segment->rows;
    size_t n = 0;
    size_t extra = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < held->n_rows; i++) {
        const struct tail_row *row = (const void *)(rows + at);
        if (first_row + i >= query->first_row && in_range(query, row->step)) {
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
        if (first_row + i >= query->first_row && in_range(query, row->step)) {
            columns_add_row(columns, row, reader->n_f64, reader->n_f32,
                reader->wants_f64 ? query->first_column : 0,
                reader->wants_f32 ? query->first_column - reader->n_f64 : 0,
                query->with_extra);
        }
        at += row->bytes;
    }
    return give(reader, first_row + held->n_rows, query->first_column, query->n_columns,
        query->with_extra);
}

static int read_all(struct reader *reader, struct baro_err *err)
{
    int rc = check_columns(reader, err);
    if (rc == 0) {
        rc = read_chunks(reader, err);
    }
    uint64_t row = reader->sealed_rows;
    for (uint32_t i = 0; rc == 0 && i < reader->n_segments; i++) {
        rc = give_segment(reader, &reader->segments[i], row);
        row += reader->segments[i].n_rows;
    }
    if (rc >= 0 && reader->is_damaged) { /* a caller that stopped hears of it, too */
        int code = baro_err_set(err, BARO_ECORRUPT, "%s", reader->damage.text);
        rc = rc == 0 ? code : rc;
    }
    return rc;
}

/* Take what the index knows of a group that is not in memory; 1, 0 when there is none. */
static int take_index(struct reader *reader, struct baro_err *err)
{
    const struct store_query *query = reader->query;
    struct group_record record = {0};
    int rc =
        store_group_get(reader->store, query->run, query->thing, query->kind, &record, err);
    if (rc > 0) {
        take_places(reader, &record);
        reader->n_f64 = record.n_f64;
        reader->n_f32 = record.n_f32;
        reader->sealed_rows = record.n_rows;
    }
    return rc;
}

int store_read(struct store *store, const struct store_query *query, store_block_fn fn,
    void *payload, struct baro_err *err)
{
    struct reader reader = {.store = store, .query = query, .fn = fn, .payload = payload};
    int rc = hold_tail(&reader) ? 1 : take_index(&reader, err);
    if (rc > 0 && reader.sealed_rows + reader.n_segments > 0) {
        reader.codec = store_codec_take(store);
        reader.columns.without_times = query->without_times;
        reader.columns.may_be_line = query->may_be_line;
        rc = read_all(&reader, err);
    } else if (rc >= 0) {
        rc = reader.is_damaged ? baro_err_set(err, BARO_ECORRUPT, "%s", reader.damage.text)
                               : 0;
    }
    release(&reader);
    return rc;
}
