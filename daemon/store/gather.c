/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/store/strand.h"
#include "lib/base/err.h"

/*
 * Bringing rows of a wide group together again that are not in parts yet: for whoever makes
 * something new of them. One reading transaction for all of it, chunks decoded where LMDB has
 * them; meant for a bounded number of rows, and for the writing thread.
 */

struct gather {
    struct store *store;
    MDB_txn *txn;
    struct chunk_codec *codec;
    struct columns scratch;
    struct columns *out;
    struct strand_id id;
    const struct group_record *record; /* has the columns of the strand's chunks */
    struct columns_span span;          /* which of them are wanted */
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
        memcpy(out->f64 + c * out->room + at, from->f64 + c * from->room + skip,
            n * sizeof *out->f64);
    }
    for (uint32_t c = 0; c < from->n_f32; c++) {
        memcpy(out->f32 + c * out->room + at, from->f32 + c * from->room + skip,
            n * sizeof *out->f32);
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
    if (rc == 0 &&
        (chunk.n_f64 != gather->record->n_f64 || chunk.n_f32 != gather->record->n_f32 ||
            chunk.covers != chunk.n_rows)) {
        rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
    }
    *out_begin = found.first_row;
    return rc == 0 ? columns_take_chunk(&gather->scratch, gather->codec, &chunk,
                         &gather->span, gather->with_extra, err)
                   : rc;
}

/* Take rows [from, to). */
static int gather_rows(
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
        place(gather, next - begin, next - from, end - next);
        if (gather->with_extra) {
            place_extra(gather, next - begin, next - from, end - next);
        }
        next = end;
    }
    return 0;
}

int strand_gather(struct store *store, const struct tail_group *group,
    const struct strand_slice *slice, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err)
{
    size_t n = slice->to - slice->from;
    struct gather gather = {.store = store,
        .codec = codec,
        .out = out,
        .id = {group->run->run, group->thing, group->kind, 0, 0},
        .record = &group->record,
        .span = columns_span(slice->first_column, slice->n_columns, group->record.n_f64),
        .with_extra = slice->with_extra};
    columns_reset(out, n, gather.span.n_f64, gather.span.n_f32, 0);
    int rc = store_reading_begin(store, &gather.txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = gather_rows(&gather, slice->from, slice->to, err);
    store_reading_end(store, gather.txn);
    columns_finish(&gather.scratch);
    out->n_rows = rc == 0 ? n : 0;
    if (!slice->with_extra) {
        memset(out->extra_ends, 0, n * sizeof *out->extra_ends);
    }
    return rc;
}
