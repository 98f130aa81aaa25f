/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/store/strand.h"
#include "lib/base/err.h"

/*
 * Bringing rows together again that lie in the parts of a wide group, or not in parts yet: for
 * whoever makes something new of them. One reading transaction for all of it, chunks decoded
 * where LMDB has them; meant for a bounded number of rows, and for the writing thread.
 */

/* Which columns of out come from a strand, and which rows. */
struct gather {
    struct store *store;
    MDB_txn *txn;
    struct chunk_codec *codec;
    struct columns *out;
    uint64_t from; /* the row that out begins with */
    uint64_t to;
    uint32_t first_column; /* of the group, as in a query */
    uint32_t n_columns;
};

/* How a span of a group's columns, doubles first, falls into doubles and floats. */
struct span {
    uint32_t first_f64;
    uint32_t n_f64;
    uint32_t first_f32;
    uint32_t n_f32;
};

static struct span span_of(uint32_t first, uint32_t n, uint32_t n_f64)
{
    uint32_t end = first + n;
    uint32_t f64_end = end < n_f64 ? end : n_f64;
    struct span span = {0};
    if (first < f64_end) {
        span.first_f64 = first;
        span.n_f64 = f64_end - first;
    }
    if (end > n_f64) {
        span.first_f32 = first > n_f64 ? first - n_f64 : 0;
        span.n_f32 = end - n_f64 - span.first_f32;
    }
    return span;
}

/* Copy rows [skip, skip + n) of a decoded chunk to their place in out. */
static void place(
    struct gather *gather, const struct columns *from, size_t skip, size_t at, size_t n)
{
    struct columns *out = gather->out;
    struct span span = span_of(gather->first_column, gather->n_columns, out->n_f64);
    memcpy(out->steps + at, from->steps + skip, n * sizeof *out->steps);
    memcpy(out->times_ns + at, from->times_ns + skip, n * sizeof *out->times_ns);
    for (uint32_t c = 0; c < span.n_f64; c++) {
        memcpy(out->f64 + (span.first_f64 + c) * out->room + at,
            from->f64 + c * from->room + skip, n * sizeof *out->f64);
    }
    for (uint32_t c = 0; c < span.n_f32; c++) {
        memcpy(out->f32 + (span.first_f32 + c) * out->room + at,
            from->f32 + c * from->room + skip, n * sizeof *out->f32);
    }
}

/* Decode the wanted rows of a strand [from, to) into their columns of out. */
static int gather_strand(struct gather *gather, const struct strand_id *id, uint64_t from,
    uint64_t to, struct baro_err *err)
{
    struct span span = span_of(gather->first_column, gather->n_columns, gather->out->n_f64);
    struct columns scratch = {0};
    int rc = 0;
    for (uint64_t next = from; rc == 0 && next < to;) {
        struct strand_chunk found;
        struct chunk chunk;
        rc = strand_find(gather->store, gather->txn, id, next, &found, err);
        if (rc < 0) {
            break;
        }
        if (rc == 0 || found.first_row > next) {
            rc = baro_err_set(err, BARO_ECORRUPT,
                "run %u thing %u kind %u: chunks are missing", id->run, id->thing,
                id->kind);
            break;
        }
        rc = chunk_open(&chunk, found.value.mv_data, found.value.mv_size, err);
        if (rc == 0 && (chunk.n_f64 != span.n_f64 || chunk.n_f32 != span.n_f32 ||
                           chunk.covers != chunk.n_rows)) {
            rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
        }
        if (rc == 0) {
            columns_reset(
                &scratch, chunk.n_rows, span.n_f64, span.n_f32, chunk.extra_bytes);
            rc = columns_add_chunk(&scratch, gather->codec, &chunk, err);
        }
        if (rc == 0) {
            uint64_t end = found.first_row + chunk.n_rows;
            end = end < to ? end : to;
            place(
                gather, &scratch, next - found.first_row, next - gather->from, end - next);
            next = end;
        }
    }
    columns_finish(&scratch);
    return rc;
}

static int gather_all(
    struct gather *gather, const struct tail_group *group, struct baro_err *err)
{
    const struct group_record *record = &group->record;
    struct strand_id id = {group->run->run, group->thing, group->kind, 0, 0};
    uint32_t all = record->n_f64 + record->n_f32;
    uint64_t parted = record->parted_rows < gather->to ? record->parted_rows : gather->to;
    uint32_t width = record->part_columns;
    int rc = 0;
    for (uint32_t c = 0; rc == 0 && width > 0 && gather->from < parted && c < all;
         c += width) {
        id.part++;
        gather->first_column = c;
        gather->n_columns = all - c < width ? all - c : width;
        rc = gather_strand(gather, &id, gather->from, parted, err);
    }
    id.part = 0;
    gather->first_column = 0;
    gather->n_columns = all;
    uint64_t from = gather->from > record->parted_rows ? gather->from : record->parted_rows;
    return rc == 0 && from < gather->to ? gather_strand(gather, &id, from, gather->to, err)
                                        : rc;
}

int strand_gather(struct store *store, const struct tail_group *group, uint64_t from,
    uint64_t to, struct chunk_codec *codec, struct columns *out, struct baro_err *err)
{
    const struct group_record *record = &group->record;
    columns_reset(out, to > from ? to - from : 0, record->n_f64, record->n_f32, 0);
    if (to <= from) {
        return 0;
    }
    struct gather gather = {
        .store = store, .codec = codec, .out = out, .from = from, .to = to};
    int rc = store_reading_begin(store, &gather.txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = gather_all(&gather, group, err);
    store_reading_end(store, gather.txn);
    if (rc == 0) {
        out->n_rows = to - from;
        memset(out->extra_ends, 0, out->n_rows * sizeof *out->extra_ends);
    }
    return rc;
}
