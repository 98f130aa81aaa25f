/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/store/strand.h"
#include "lib/base/err.h"

/*
 * Bringing rows together again that lie in the parts of a wide group, or not in parts yet: for
 * whoever makes something new of them. One reading transaction for all of it, chunks decoded
 * where LMDB has them; meant for a bounded number of rows, and for the writing thread.
 */

/* What is gathered from one strand. */
struct gather {
    struct store *store;
    MDB_txn *txn;
    struct chunk_codec *codec;
    struct columns scratch;
    struct columns *out;
    uint64_t first_row;  /* of out */
    struct strand_id id; /* the strand at hand ... */
    uint32_t n_f64;      /* ... and the columns of its chunks */
    uint32_t n_f32;
    struct columns_span from; /* which of them are wanted */
    uint32_t to_f64;          /* where in out they begin */
    uint32_t to_f32;
    bool with_extra;
};

/* Copy rows [skip, skip + n) of what was decoded to row at of out. */
static void place(struct gather *gather, size_t skip, size_t at, size_t n)
{
    const struct columns *from = &gather->scratch;
    struct columns *out = gather->out;
    memcpy(out->steps + at, from->steps + skip, n * sizeof *out->steps);
    memcpy(out->times_ns + at, from->times_ns + skip, n * sizeof *out->times_ns);
    for (uint32_t c = 0; c < from->n_f64; c++) {
        memcpy(out->f64 + (gather->to_f64 + c) * out->room + at,
            from->f64 + c * from->room + skip, n * sizeof *out->f64);
    }
    for (uint32_t c = 0; c < from->n_f32; c++) {
        memcpy(out->f32 + (gather->to_f32 + c) * out->room + at,
            from->f32 + c * from->room + skip, n * sizeof *out->f32);
    }
}

/* Append the extra bytes of rows [skip, skip + n); rows come in order. */
static void place_extra(struct gather *gather, size_t skip, size_t at, size_t n)
{
    const struct columns *from = &gather->scratch;
    struct columns *out = gather->out;
    uint32_t start = skip > 0 ? from->extra_ends[skip - 1] : 0;
    uint32_t n_bytes = from->extra_ends[skip + n - 1] - start;
    if (n_bytes > 0) {
        columns_grow_extra(out, n_bytes);
        memcpy(out->extra + out->extra_bytes, from->extra + start, n_bytes);
    }
    for (size_t i = 0; i < n; i++) {
        out->extra_ends[at + i] =
            (uint32_t)out->extra_bytes + from->extra_ends[skip + i] - start;
    }
    out->extra_bytes += n_bytes;
}

/* Decode the chunk that holds row next; returns the row behind it, or negative. */
static int take_chunk(
    struct gather *gather, uint64_t next, uint64_t *out_begin, struct baro_err *err)
{
    struct strand_chunk found;
    struct chunk chunk;
    const struct strand_id *id = &gather->id;
    int rc = strand_find(gather->store, gather->txn, id, next, &found, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0 || found.first_row > next) {
        return baro_err_set(err, BARO_ECORRUPT,
            "run %u thing %u kind %u: chunks are missing", id->run, id->thing, id->kind);
    }
    rc = chunk_open(&chunk, found.value.mv_data, found.value.mv_size, err);
    if (rc == 0 && (chunk.n_f64 != gather->n_f64 || chunk.n_f32 != gather->n_f32 ||
                       chunk.covers != chunk.n_rows)) {
        rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
    }
    *out_begin = found.first_row;
    return rc == 0 ? columns_take_chunk(&gather->scratch, gather->codec, &chunk,
                         &gather->from, gather->with_extra, err)
                   : rc;
}

/* Take rows [from, to) of the strand at hand. */
static int gather_strand(
    struct gather *gather, uint64_t from, uint64_t to, struct baro_err *err)
{
    for (uint64_t next = from; next < to;) {
        uint64_t begin = 0;
        int rc = take_chunk(gather, next, &begin, err);
        if (rc != 0) {
            return rc;
        }
        uint64_t end = begin + gather->scratch.n_rows;
        end = end < to ? end : to;
        place(gather, next - begin, next - gather->first_row, end - next);
        if (gather->with_extra) {
            place_extra(gather, next - begin, next - gather->first_row, end - next);
        }
        next = end;
    }
    return 0;
}

/* Take rows [from, to) out of the parts of a group. */
static int gather_parts(struct gather *gather, const struct group_record *record,
    uint64_t from, uint64_t to, struct baro_err *err)
{
    uint32_t all = record->n_f64 + record->n_f32;
    uint32_t width = record->part_columns;
    int rc = 0;
    for (uint32_t c = 0; rc == 0 && from < to && width > 0 && c < all; c += width) {
        struct columns_span span =
            columns_span(c, all - c < width ? all - c : width, record->n_f64);
        gather->id.part++;
        gather->n_f64 = span.n_f64;
        gather->n_f32 = span.n_f32;
        gather->from = (struct columns_span){0, span.n_f64, 0, span.n_f32};
        gather->to_f64 = span.first_f64;
        gather->to_f32 = span.first_f32;
        rc = gather_strand(gather, from, to, err);
    }
    return rc;
}

/* Take some columns of rows [from, to) that are not in parts. */
static int gather_unparted(struct gather *gather, const struct group_record *record,
    const struct columns_span *span, uint64_t from, uint64_t to, struct baro_err *err)
{
    gather->id.part = 0;
    gather->n_f64 = record->n_f64;
    gather->n_f32 = record->n_f32;
    gather->from = *span;
    gather->to_f64 = 0;
    gather->to_f32 = 0;
    return from < to ? gather_strand(gather, from, to, err) : 0;
}

int strand_gather(struct store *store, const struct tail_group *group, uint64_t from,
    uint64_t to, struct chunk_codec *codec, struct columns *out, struct baro_err *err)
{
    const struct group_record *record = &group->record;
    columns_reset(out, to > from ? to - from : 0, record->n_f64, record->n_f32, 0);
    if (to <= from) {
        return 0;
    }
    struct gather gather = {.store = store,
        .codec = codec,
        .out = out,
        .first_row = from,
        .id = {group->run->run, group->thing, group->kind, 0, 0}};
    int rc = store_reading_begin(store, &gather.txn, err);
    if (rc != 0) {
        return rc;
    }
    uint64_t parted = record->parted_rows < to ? record->parted_rows : to;
    struct columns_span all = {0, record->n_f64, 0, record->n_f32};
    rc = gather_parts(&gather, record, from, parted, err);
    if (rc == 0) {
        rc = gather_unparted(&gather, record, &all, from > parted ? from : parted, to, err);
    }
    store_reading_end(store, gather.txn);
    columns_finish(&gather.scratch);
    if (rc == 0) {
        out->n_rows = to - from;
        memset(out->extra_ends, 0, out->n_rows * sizeof *out->extra_ends);
    }
    return rc;
}

int strand_gather_slice(struct store *store, const struct tail_group *group,
    const struct strand_slice *slice, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err)
{
    const struct group_record *record = &group->record;
    struct columns_span span =
        columns_span(slice->first_column, slice->n_columns, record->n_f64);
    size_t n = slice->to - slice->from;
    struct gather gather = {.store = store,
        .codec = codec,
        .out = out,
        .first_row = slice->from,
        .id = {group->run->run, group->thing, group->kind, 0, 0},
        .with_extra = slice->with_extra};
    columns_reset(out, n, span.n_f64, span.n_f32, 0);
    int rc = store_reading_begin(store, &gather.txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = gather_unparted(&gather, record, &span, slice->from, slice->to, err);
    store_reading_end(store, gather.txn);
    columns_finish(&gather.scratch);
    out->n_rows = rc == 0 ? n : 0;
    if (!slice->with_extra) {
        memset(out->extra_ends, 0, n * sizeof *out->extra_ends);
    }
    return rc;
}
