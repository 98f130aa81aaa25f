/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/strand.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Small chunks are merged by fours: when the last three chunks of a strand are about as large as
 * what is appended will make, they are encoded again together with it, and so on with the three
 * before those. Two more rules leave nearly all chunks full, and cost less than one more
 * encoding of each row: old chunks that are not full are taken when they and the new rows make
 * more than a full one; and one that is at most half as large as what comes behind it is always
 * taken. Each row is thus encoded about log4(65520 / bytes of one append) + 1 times more, and
 * a strand has at most a handful of small chunks. Sizes aim at CHUNK_TARGET_BYTES, which fills
 * LMDB's pages: a value of n bytes takes (n + 16) / 4096 pages, rounded up, unless it is so small
 * that it shares one. The rows of one chunk tell how many fit into the next. Where nothing will
 * follow soon, what would fill less than half of a last page becomes a chunk of its own, which
 * shares one.
 *
 * A chunk that is damaged, or that does not end where the new rows begin, is left as it is.
 * Where the new rows stand for several rows of the group each, it is not known what each row of
 * an old chunk stands for, only what they do together: then an old chunk is never cut in two.
 */

enum {
    MAX_RAW_BYTES = CHUNK_MAX_ROWS * 24, /* of a chunk with more than one row, decoded */
    SLACK_BYTES = 512, /* small chunks this far apart are about as large as each other */
    HEAD_BYTES = 112,  /* what a chunk takes before its first row */
    FAN_IN = 4,        /* chunks that become one: what is appended and three old ones */
    MAX_MERGED = 32,   /* old chunks merged in one append */
    PAGE_BYTES = 4096,
    PAGE_HEAD_BYTES = 16,
    CHUNK_WORK_BYTES = 1024, /* that a chunk costs beside its rows, in work */
    MAX_TRIES = 4,           /* encodings of one chunk until its pages are full */
    FULL_BYTES = CHUNK_TARGET_BYTES - CHUNK_TARGET_BYTES / 16, /* as full as need be */
    MAX_REST_BYTES = 1700 /* on a last page: what shares one, with a head of its own */
};

/* One chunk of the strand that the new rows take with them. */
struct old_chunk {
    size_t at; /* in writer->old */
    size_t n_bytes;
    uint64_t first_row;
    uint64_t covers;
    uint32_t n_rows;
    uint32_t extra_bytes;
};

struct strand_writer {
    struct store *store;
    struct store_batch *batch;
    struct chunk_codec *codec;
    bool is_packing;
    size_t work_bytes;
    struct columns columns;              /* old and new rows together */
    struct old_chunk chunks[MAX_MERGED]; /* to merge, latest first */
    uint32_t n_chunks;
    size_t guess; /* rows that will fill a chunk; 0: nothing is known */
    uint8_t *old; /* their bytes */
    size_t old_bytes;
    size_t old_room;
};

/* What one append does. */
struct append {
    const struct strand_id *id;
    uint64_t first_row;         /* that the first of rows stands for */
    const struct columns *rows; /* old ones and then new ones */
    size_t n_old;               /* of rows */
    uint64_t old_covers;
    const uint32_t *covers; /* of the new rows; NULL: one each */
    enum chunk_precision precision;
};

/* ---- the writer ---- */

struct strand_writer *strand_writer_create(struct store *store, struct store_batch *batch)
{
    struct strand_writer *writer = baro_xcalloc(1, sizeof *writer);
    writer->store = store;
    writer->batch = batch;
    writer->codec = store_codec_take(store);
    return writer;
}

void strand_writer_destroy(struct strand_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    store_codec_give(writer->store, writer->codec);
    columns_finish(&writer->columns);
    free(writer->old);
    free(writer);
}

void strand_writer_pack(struct strand_writer *writer)
{
    writer->is_packing = true;
}

size_t strand_writer_work(const struct strand_writer *writer)
{
    return writer->work_bytes;
}

/* ---- choosing what to merge ---- */

static size_t row_raw_bytes(const struct columns *rows)
{
    return 16 + 8 * (size_t)rows->n_f64 + 4 * (size_t)rows->n_f32;
}

/* What is known of a strand's end while chunks are chosen. */
struct choice {
    MDB_cursor *cursor;
    uint64_t end;     /* where the chunk that is looked at must end */
    size_t max_bytes; /* that it may have */
    size_t bytes;     /* that old and new rows will take, about */
    uint64_t raw;     /* the same, decoded */
    size_t last;      /* bytes of the chunk that was taken last */
};

/* Say what the new rows will take: about as much as the last ones did. */
static void estimate(struct strand_writer *writer, const struct append *append,
    const struct chunk *last, size_t n_bytes, struct choice *choice)
{
    size_t data = n_bytes > 2 * HEAD_BYTES ? n_bytes - HEAD_BYTES : HEAD_BYTES;
    choice->bytes = data * append->rows->n_rows / last->n_rows + HEAD_BYTES;
    choice->max_bytes = writer->is_packing
                            ? CHUNK_TARGET_BYTES
                            : choice->bytes + choice->bytes / 2 + SLACK_BYTES;
    size_t fit = CHUNK_TARGET_BYTES * (size_t)last->n_rows / data;
    writer->guess = fit > 0 ? fit : 1;
}

/* Whether a chunk has nearly as many bytes or rows as one may have. */
static bool is_full(const struct chunk *chunk, size_t n_bytes, size_t row_bytes)
{
    return n_bytes >= FULL_BYTES ||
           n_bytes + n_bytes / chunk->n_rows > CHUNK_TARGET_BYTES ||
           chunk->n_rows * row_bytes >= MAX_RAW_BYTES - MAX_RAW_BYTES / 4;
}

/* Whether a strand's chunks are brought to full size: rows of groups that are not wide. */
static bool is_filled(const struct strand_writer *writer, const struct append *append)
{
    const struct columns *rows = append->rows;
    return append->covers == NULL && append->id->part == 0 &&
           rows->n_f64 + rows->n_f32 <= writer->store->parting.wide_columns;
}

/* Take the chunk that ends where the last one taken began, if it is small and whole; any other
 * stays as it is. */
static bool take_last_chunk(
    struct strand_writer *writer, const struct append *append, struct choice *choice)
{
    const struct columns *rows = append->rows;
    MDB_val key;
    MDB_val value;
    int rc = 0;
    struct chunk chunk;
    if (!strand_last_before(choice->cursor, append->id, choice->end, &key, &value, &rc) ||
        chunk_open(&chunk, value.mv_data, value.mv_size, NULL) != 0 ||
        chunk.n_f64 != rows->n_f64 || chunk.n_f32 != rows->n_f32 ||
        strand_row_of(&key) + chunk.covers != choice->end) {
        return false;
    }
    size_t n = value.mv_size;
    if (writer->n_chunks == 0) {
        estimate(writer, append, &chunk, n, choice);
    }
    if (n > choice->max_bytes || is_full(&chunk, n, row_raw_bytes(rows))) {
        return false;
    }
    if (writer->old_bytes + n > writer->old_room) {
        writer->old_room = (writer->old_bytes + n) * 2;
        writer->old = baro_xrealloc(writer->old, writer->old_room, 1);
    }
    memcpy(writer->old + writer->old_bytes, value.mv_data, n);
    writer->chunks[writer->n_chunks++] = (struct old_chunk){
        .at = writer->old_bytes,
        .n_bytes = n,
        .first_row = strand_row_of(&key),
        .covers = chunk.covers,
        .n_rows = chunk.n_rows,
        .extra_bytes = chunk.extra_bytes,
    };
    writer->old_bytes += n;
    choice->raw += chunk.n_rows * row_raw_bytes(rows) + chunk.extra_bytes;
    choice->bytes += n;
    choice->last = n;
    choice->end = strand_row_of(&key);
    return true;
}

/* Take chunks level by level; those of a level that is not full yet are left again. */
static void take_levels(struct strand_writer *writer, MDB_cursor *cursor,
    const struct append *append, size_t budget)
{
    const struct columns *rows = append->rows;
    struct choice choice = {
        .cursor = cursor,
        .end = append->first_row,
        .raw = rows->n_rows * row_raw_bytes(rows) + rows->extra_bytes,
    };
    bool fills = is_filled(writer, append);
    uint32_t n_sure = 0;
    size_t sure_bytes = 0;
    while (writer->n_chunks < MAX_MERGED && choice.end > 0 &&
           take_last_chunk(writer, append, &choice)) {
        bool is_more = /* than one chunk holds */
            choice.bytes > CHUNK_TARGET_BYTES || choice.raw > MAX_RAW_BYTES;
        if (writer->old_bytes > budget || (is_more && !fills)) {
            break;
        }
        if (writer->is_packing || is_more || (fills && choice.last <= choice.bytes / 3) ||
            writer->n_chunks - n_sure == FAN_IN - 1) {
            n_sure = writer->n_chunks;
            sure_bytes = writer->old_bytes;
            choice.max_bytes =
                writer->is_packing ? CHUNK_TARGET_BYTES : choice.bytes + choice.bytes / 2;
        }
        if (is_more) {
            break;
        }
    }
    writer->n_chunks = n_sure;
    writer->old_bytes = sure_bytes;
}

/* Choose the last chunks of a strand that new rows take with them. */
static int choose_chunks(struct strand_writer *writer, const struct append *append,
    size_t budget, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    writer->n_chunks = 0;
    writer->old_bytes = 0;
    writer->guess = 0;
    if (append->first_row == 0) {
        return 0;
    }
    int rc = store_reading_begin(writer->store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_open(txn, writer->store->chunk_table, &cursor);
    if (rc == 0) {
        take_levels(writer, cursor, append, budget);
        mdb_cursor_close(cursor);
    }
    store_reading_end(writer->store, txn);
    return rc == 0 ? 0 : store_lmdb_error(writer->store, rc, "read", err);
}

/* Bring the chosen chunks and the new rows together. Chunks that turn out damaged inside stay
 * as they are, with those before them. */
static void gather_old(struct strand_writer *writer, struct append *append)
{
    const struct columns *new_rows = append->rows;
    size_t n_rows = new_rows->n_rows;
    size_t extra = new_rows->extra_bytes;
    for (uint32_t i = 0; i < writer->n_chunks; i++) {
        n_rows += writer->chunks[i].n_rows;
        extra += writer->chunks[i].extra_bytes;
    }
    struct columns *columns = &writer->columns;
    columns_reset(columns, n_rows, new_rows->n_f64, new_rows->n_f32, extra);
    append->old_covers = 0;
    for (uint32_t left = writer->n_chunks; left > 0; left--) {
        const struct old_chunk *old = &writer->chunks[left - 1];
        struct chunk chunk;
        append->old_covers += old->covers;
        if (chunk_open(&chunk, writer->old + old->at, old->n_bytes, NULL) != 0 ||
            columns_add_chunk(columns, writer->codec, &chunk, NULL) != 0) {
            columns->n_rows = 0;
            columns->extra_bytes = 0;
            append->old_covers = 0;
            writer->n_chunks = left - 1;
        }
    }
    append->n_old = columns->n_rows;
    append->first_row -= append->old_covers;
    columns_add_rows(columns, new_rows);
    append->rows = columns;
}

/* ---- encoding ---- */

/* Rows of the group that rows [from, from + n) stand for; 0 when that would cut an old chunk. */
static uint64_t covers_of(const struct append *append, size_t from, size_t n)
{
    if (append->covers == NULL) {
        return n;
    }
    uint64_t covers = 0;
    size_t first_new = from;
    if (from < append->n_old) {
        if (from > 0 || n < append->n_old) {
            return 0;
        }
        covers = append->old_covers;
        first_new = append->n_old;
    }
    for (size_t i = first_new; i < from + n; i++) {
        covers += append->covers[i - append->n_old];
    }
    return covers;
}

static int encode(struct strand_writer *writer, const struct append *append, size_t from,
    size_t n, const uint8_t **out_bytes, size_t *out_n, struct baro_err *err)
{
    const struct columns *rows = append->rows;
    size_t n_old =
        append->id->part > 0 ? rows->n_rows : append->n_old; /* read from chunks */
    n_old = n_old > from ? n_old - from : 0;
    struct chunk_columns part = {
        .n_rows = (uint32_t)n,
        .n_f64 = rows->n_f64,
        .n_f32 = rows->n_f32,
        .stride = rows->room,
        .steps = rows->steps + from,
        .times_ns = rows->times_ns + from,
        .n_settled = (uint32_t)(n_old < n ? n_old : n),
        .f64 = rows->n_f64 > 0 ? rows->f64 + from : NULL,
        .f32 = rows->n_f32 > 0 ? rows->f32 + from : NULL,
        .extra_ends = rows->extra_ends + from,
        .extra_start = from > 0 ? rows->extra_ends[from - 1] : 0,
        .extra = rows->extra,
        .covers = covers_of(append, from, n),
        .precision = append->precision,
    };
    writer->work_bytes += n * row_raw_bytes(rows) + CHUNK_WORK_BYTES;
    return chunk_encode(writer->codec, &part, out_bytes, out_n, err);
}

/* How many rows from one on make at most about MAX_RAW_BYTES, at least 1. */
static size_t rows_in_raw_limit(const struct columns *rows, size_t from)
{
    size_t raw = 0;
    size_t n = 0;
    size_t start = from > 0 ? rows->extra_ends[from - 1] : 0;
    while (from + n < rows->n_rows && n < CHUNK_MAX_ROWS) {
        raw += row_raw_bytes(rows);
        if (n > 0 && raw + rows->extra_ends[from + n] - start > MAX_RAW_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

/* Whether a chunk of n rows is good as it is: not too large, and its last page is nearly full or
 * no more rows would fit. */
static bool is_good_size(size_t n_bytes, size_t n, size_t n_most)
{
    size_t pages = (n_bytes + PAGE_HEAD_BYTES + PAGE_BYTES - 1) / PAGE_BYTES;
    size_t waste = pages * PAGE_BYTES - PAGE_HEAD_BYTES - n_bytes;
    return n_bytes <= CHUNK_TARGET_BYTES && (n == n_most || waste * 64 <= n_bytes ||
                                                n_bytes + n_bytes / n > CHUNK_TARGET_BYTES);
}

/* Encode as many rows from one on as fill a chunk: *io_guess, or as many as fit. */
static int encode_full(struct strand_writer *writer, const struct append *append,
    size_t from, size_t *io_guess, const uint8_t **out_bytes, size_t *out_n_bytes,
    size_t *out_n, struct baro_err *err)
{
    size_t most = rows_in_raw_limit(append->rows, from);
    size_t n = most < *io_guess ? most : *io_guess;
    size_t best = 0; /* rows that are known to fit */
    for (int tries = 1;; tries++) {
        int rc = encode(writer, append, from, n, out_bytes, out_n_bytes, err);
        if (rc != 0) {
            return rc;
        }
        bool fits = *out_n_bytes <= CHUNK_TARGET_BYTES;
        best = fits && n > best ? n : best;
        if (n == 1 || (fits && tries >= MAX_TRIES) || is_good_size(*out_n_bytes, n, most)) {
            break;
        }
        size_t next = n * CHUNK_TARGET_BYTES / *out_n_bytes;
        next -= next / (fits ? 256 : 64);
        if (tries >= MAX_TRIES && best > 0) {
            next = best; /* known to fit: encode that again and be done */
        }
        next = next < 1 ? 1 : next > most ? most : next;
        if (next == n) {
            if (fits) {
                break;
            }
            next = n - 1;
        }
        n = next;
    }
    *out_n = n;
    *io_guess = n < most || n > *io_guess ? n : *io_guess;
    return 0;
}

/*
 * Cut what does not fill a chunk's last page off its n rows: give the fewer rows that fill whole
 * pages, encoded, or leave all as it is and encoded. What is cut off the last rows of all must be
 * so little that it shares a page; of a chunk that has no more since it has so many rows, a
 * quarter may go to the next.
 */
static int cut_to_pages(struct strand_writer *writer, const struct append *append,
    size_t from, const uint8_t **out_bytes, size_t *io_n_bytes, size_t *io_n,
    struct baro_err *err)
{
    bool is_last = from + *io_n == append->rows->n_rows;
    size_t whole = (*io_n_bytes + PAGE_HEAD_BYTES) / PAGE_BYTES * PAGE_BYTES;
    size_t rest = *io_n_bytes + PAGE_HEAD_BYTES - whole;
    size_t most = is_last ? MAX_REST_BYTES : *io_n_bytes / 4;
    if (!is_filled(writer, append) || whole == 0 || rest == 0 || rest > most ||
        (is_last ? !writer->is_packing : *io_n_bytes >= FULL_BYTES)) {
        return 0;
    }
    size_t room = whole - PAGE_HEAD_BYTES;
    size_t n = *io_n;
    size_t n_bytes = *io_n_bytes;
    for (int tries = 1; tries < MAX_TRIES && n > 1; tries++) {
        size_t next = n * room / n_bytes;
        n = next < n ? next : n - 1;
        int rc = encode(writer, append, from, n, out_bytes, &n_bytes, err);
        if (rc != 0) {
            return rc;
        }
        if (n_bytes <= room) {
            *io_n = n;
            *io_n_bytes = n_bytes;
            return 0;
        }
    }
    return encode(writer, append, from, *io_n, out_bytes, io_n_bytes, err);
}

/* How many rows to try in the first chunk of a strand, if three bytes are left of eight. */
static size_t first_guess(const struct columns *rows)
{
    size_t n = (size_t)CHUNK_TARGET_BYTES * 8 / 3 / row_raw_bytes(rows);
    return n > 0 ? n : 1;
}

/* Add the chunks of all rows to the batch; BARO_ELIMIT when that would cut an old chunk. */
static int put_chunks(struct strand_writer *writer, const struct append *append,
    uint64_t *out_bytes, struct baro_err *err)
{
    size_t guess = writer->guess > 0 ? writer->guess : first_guess(append->rows);
    uint64_t first_row = append->first_row;
    *out_bytes = 0;
    for (size_t from = 0; from < append->rows->n_rows;) {
        const uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        size_t n = 0;
        int rc = encode_full(writer, append, from, &guess, &bytes, &n_bytes, &n, err);
        rc = rc == 0 ? cut_to_pages(writer, append, from, &bytes, &n_bytes, &n, err) : rc;
        if (rc != 0) {
            return rc;
        }
        uint64_t covers = covers_of(append, from, n);
        if (covers == 0) {
            return BARO_ELIMIT;
        }
        uint8_t key[KEY_CHUNK_BYTES];
        key_chunk(key, append->id, first_row);
        store_batch_put(
            writer->batch, writer->store->chunk_table, key, sizeof key, bytes, n_bytes);
        *out_bytes += n_bytes;
        first_row += covers;
        from += n;
    }
    return 0;
}

/* Delete the old chunks and put the merged ones; returns as put_chunks. */
static int put_merged(struct strand_writer *writer, struct append *append,
    uint64_t *io_bytes, struct baro_err *err)
{
    struct store_batch before = *writer->batch;
    uint64_t old_bytes = 0;
    uint64_t new_bytes = 0;
    gather_old(writer, append);
    for (uint32_t i = 0; i < writer->n_chunks; i++) {
        uint8_t key[KEY_CHUNK_BYTES];
        key_chunk(key, append->id, writer->chunks[i].first_row);
        store_batch_delete(writer->batch, writer->store->chunk_table, key, sizeof key);
        old_bytes += writer->chunks[i].n_bytes;
    }
    int rc = put_chunks(writer, append, &new_bytes, err);
    if (rc != 0) {
        writer->batch->n_ops = before.n_ops;
        writer->batch->n_bytes = before.n_bytes;
        return rc;
    }
    *io_bytes += new_bytes;
    *io_bytes -= old_bytes < *io_bytes ? old_bytes : *io_bytes;
    return 0;
}

static enum chunk_precision precision_of(
    const struct store *store, const struct strand_id *id)
{
    if (store->is_exact || id->level > 0) {
        return CHUNK_EXACT;
    }
    bool is_rounded = id->kind < 64 && (store->rounded_kinds >> id->kind & 1) != 0;
    return is_rounded ? CHUNK_ROUND_ALL : CHUNK_ROUND_TIMES;
}

int strand_append(struct strand_writer *writer, const struct strand_id *id,
    uint64_t first_row, const struct columns *rows, const uint32_t *covers, size_t *budget,
    uint64_t *io_bytes, struct baro_err *err)
{
    struct append append = {
        .id = id,
        .first_row = first_row,
        .rows = rows,
        .covers = covers,
        .precision = precision_of(writer->store, id),
    };
    if (rows->n_rows == 0) {
        return 0;
    }
    int rc = choose_chunks(writer, &append, *budget, err);
    if (rc != 0) {
        return rc;
    }
    if (writer->n_chunks > 0) {
        *budget -= writer->old_bytes;
        struct append merged = append;
        rc = put_merged(writer, &merged, io_bytes, err);
        if (rc != BARO_ELIMIT || covers == NULL) {
            return rc;
        }
    }
    uint64_t bytes = 0;
    rc = put_chunks(writer, &append, &bytes, err);
    *io_bytes += rc == 0 ? bytes : 0;
    return rc;
}
