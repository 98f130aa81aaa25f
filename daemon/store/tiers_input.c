/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/tiers_input.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/summary.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/* Chunks are decoded where LMDB has them, in one short reading transaction. */

/* Rows of one strand on their way into out. */
struct input {
    struct store *store;
    MDB_txn *txn;
    struct chunk_codec *codec;
    struct columns scratch; /* the wanted columns of one chunk */
    struct columns *out;
    uint64_t first_row; /* of out */
    struct strand_id id;
    struct columns_span has;  /* all columns of the strand */
    struct columns_span from; /* those that are wanted, counted in the strand */
    uint32_t to_f64;          /* where in out they begin */
    uint32_t to_f32;
};

static int missing(const struct strand_id *id, struct baro_err *err)
{
    return baro_err_set(err, BARO_ECORRUPT,
        "run %u thing %u kind %u level %u: chunks are missing", id->run, id->thing,
        id->kind, id->level);
}

/* Find and open the chunk that holds a row. */
static int open_chunk(struct store *store, MDB_txn *txn, const struct strand_id *id,
    uint64_t row, struct chunk *out_chunk, uint64_t *out_first_row, struct baro_err *err)
{
    struct strand_chunk found;
    int rc = strand_find(store, txn, id, row, &found, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0 || found.first_row > row) {
        return missing(id, err);
    }
    *out_first_row = found.first_row;
    rc = chunk_open(out_chunk, found.value.mv_data, found.value.mv_size, err);
    return rc == 0 && found.first_row + out_chunk->covers <= row ? missing(id, err) : rc;
}

/* Copy rows [skip, skip + n) of what was decoded to row at of out. */
static void place(struct input *input, size_t skip, size_t at, size_t n)
{
    const struct columns *from = &input->scratch;
    struct columns *out = input->out;
    memcpy(out->steps + at, from->steps + skip, n * sizeof *out->steps);
    memcpy(out->times_ns + at, from->times_ns + skip, n * sizeof *out->times_ns);
    for (uint32_t c = 0; c < from->n_f64; c++) {
        memcpy(out->f64 + (input->to_f64 + c) * out->room + at,
            from->f64 + c * from->room + skip, n * sizeof *out->f64);
    }
    for (uint32_t c = 0; c < from->n_f32; c++) {
        memcpy(out->f32 + (input->to_f32 + c) * out->room + at,
            from->f32 + c * from->room + skip, n * sizeof *out->f32);
    }
}

/* Take rows [from, to) of the strand at hand. */
static int take_strand(
    struct input *input, uint64_t from, uint64_t to, struct baro_err *err)
{
    for (uint64_t next = from; next < to;) {
        struct chunk chunk = {0};
        uint64_t begin = 0;
        int rc =
            open_chunk(input->store, input->txn, &input->id, next, &chunk, &begin, err);
        if (rc == 0 &&
            (chunk.n_f64 != input->has.n_f64 || chunk.n_f32 != input->has.n_f32 ||
                chunk.covers != chunk.n_rows)) {
            rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
        }
        if (rc == 0) {
            rc = columns_take_chunk(
                &input->scratch, input->codec, &chunk, &input->from, false, err);
        }
        if (rc != 0) {
            return rc;
        }
        uint64_t end = begin + chunk.n_rows < to ? begin + chunk.n_rows : to;
        place(input, next - begin, next - input->first_row, end - next);
        next = end;
    }
    return 0;
}

/* Take columns [first, first + n) of rows [from, to) out of the parts of a group. */
static int take_parts(struct input *input, const struct group_record *record,
    uint32_t first, uint32_t n, uint64_t from, uint64_t to, struct baro_err *err)
{
    uint32_t all = record->n_f64 + record->n_f32;
    uint32_t width = record->part_columns;
    struct columns_span outer = columns_span(first, n, record->n_f64);
    int rc = 0;
    for (uint32_t c = first; rc == 0 && width > 0 && from < to && c < first + n;
         c += width) {
        struct columns_span span =
            columns_span(c, all - c < width ? all - c : width, record->n_f64);
        input->id.part = (uint16_t)(c / width + 1);
        input->has = span;
        input->from = (struct columns_span){0, span.n_f64, 0, span.n_f32};
        input->to_f64 = span.n_f64 > 0 ? span.first_f64 - outer.first_f64 : 0;
        input->to_f32 = span.n_f32 > 0 ? span.first_f32 - outer.first_f32 : 0;
        rc = take_strand(input, from, to, err);
    }
    return rc;
}

int tiers_rows(struct store *store, const struct tail_group *group, uint64_t from,
    uint64_t to, uint32_t first, uint32_t n, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err)
{
    const struct group_record *record = &group->record;
    struct input input = {.store = store,
        .codec = codec,
        .out = out,
        .first_row = from,
        .id = {group->run->run, group->thing, group->kind, 0, 0}};
    struct columns_span span = columns_span(first, n, record->n_f64);
    columns_reset(out, to - from, span.n_f64, span.n_f32, 0);
    int rc = store_reading_begin(store, &input.txn, err);
    if (rc != 0) {
        return rc;
    }
    uint64_t parted = record->parted_rows < to ? record->parted_rows : to;
    rc = take_parts(&input, record, first, n, from, parted, err);
    if (rc == 0) {
        input.id.part = 0;
        input.has = (struct columns_span){0, record->n_f64, 0, record->n_f32};
        input.from = span;
        input.to_f64 = 0;
        input.to_f32 = 0;
        rc = take_strand(&input, from > parted ? from : parted, to, err);
    }
    store_reading_end(store, input.txn);
    columns_finish(&input.scratch);
    if (rc == 0) {
        out->n_rows = to - from;
        memset(out->extra_ends, 0, out->n_rows * sizeof *out->extra_ends);
    }
    return rc;
}

/* Let go of summaries before row from, and of those from *io_to or the max-th on. */
static int trim(
    struct columns *out, uint64_t first_row, uint64_t from, uint64_t *io_to, size_t max)
{
    size_t n = out->n_rows;
    baro_autofree uint64_t *row_at = baro_xcalloc(n + 1, sizeof *row_at);
    if (n == 0 || !summary_rows_at(out->f64, n, first_row, row_at)) {
        return BARO_ECORRUPT;
    }
    size_t skip = 0;
    while (skip < n && row_at[skip] < from) {
        skip++;
    }
    size_t end = skip;
    while (end < n && end - skip < max && row_at[end + 1] <= *io_to) {
        end++;
    }
    if (row_at[skip] != from || end == skip) {
        return BARO_ECORRUPT;
    }
    size_t kept = end - skip;
    uint32_t extra = skip > 0 ? out->extra_ends[skip - 1] : 0;
    for (size_t i = 0; i < kept; i++) {
        out->steps[i] = out->steps[skip + i];
        out->times_ns[i] = out->times_ns[skip + i];
        out->extra_ends[i] = out->extra_ends[skip + i] - extra;
    }
    for (uint32_t c = 0; c < out->n_f64; c++) {
        memmove(out->f64 + c * out->room, out->f64 + c * out->room + skip,
            kept * sizeof *out->f64);
    }
    for (uint32_t c = 0; c < out->n_f32; c++) {
        memmove(out->f32 + c * out->room, out->f32 + c * out->room + skip,
            kept * sizeof *out->f32);
    }
    out->n_rows = kept;
    out->extra_bytes = out->extra_ends[kept - 1];
    if (extra > 0 && out->extra_bytes > 0) {
        memmove(out->extra, out->extra + extra, out->extra_bytes);
    }
    *io_to = row_at[end];
    return 0;
}

/* Walk the chunks of rows [from, to) until they have enough summaries: add up how many there
 * are, or with out decode them all. */
static int walk(struct store *store, MDB_txn *txn, const struct strand_id *id,
    uint64_t from, uint64_t to, size_t max, struct chunk_codec *codec, struct columns *out,
    struct chunk *sum, uint64_t *out_first_row, struct baro_err *err)
{
    size_t n = 0;
    for (uint64_t next = from; next < to && n <= max;) {
        struct chunk chunk = {0};
        uint64_t begin = 0;
        int rc = open_chunk(store, txn, id, next, &chunk, &begin, err);
        if (rc == 0 && next > from &&
            (chunk.n_f64 != sum->n_f64 || chunk.n_f32 != sum->n_f32 || begin != next)) {
            rc = baro_err_set(err, BARO_ECORRUPT, "a chunk has another layout");
        }
        if (rc == 0 && out != NULL) {
            rc = columns_add_chunk(out, codec, &chunk, err);
        }
        if (rc != 0) {
            return rc;
        }
        uint64_t skip = next - begin; /* at most so many are before from */
        n += chunk.n_rows > skip ? chunk.n_rows - (size_t)skip : 0;
        sum->n_f64 = chunk.n_f64;
        sum->n_f32 = chunk.n_f32;
        sum->n_rows += out == NULL ? chunk.n_rows : 0;
        sum->extra_bytes += out == NULL ? chunk.extra_bytes : 0;
        *out_first_row = next == from ? begin : *out_first_row;
        next = begin + chunk.covers;
    }
    return 0;
}

int tiers_summaries(struct store *store, const struct strand_id *id, uint64_t from,
    uint64_t *io_to, size_t max, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err)
{
    MDB_txn *txn = NULL;
    struct chunk sum = {0};
    uint64_t first_row = from;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = walk(store, txn, id, from, *io_to, max, codec, NULL, &sum, &first_row, err);
    if (rc == 0) {
        columns_reset(out, sum.n_rows, sum.n_f64, sum.n_f32, sum.extra_bytes);
        rc = walk(store, txn, id, from, *io_to, max, codec, out, &sum, &first_row, err);
    }
    store_reading_end(store, txn);
    if (rc == 0 && trim(out, first_row, from, io_to, max) != 0) {
        rc = missing(id, err);
    }
    return rc;
}
