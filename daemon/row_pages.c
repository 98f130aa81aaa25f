/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/rows.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/record.h"
#include "proto/wire.h"

/*
 * A page is as many records as a raw frame takes. Rows of a wide group come in stretches: some of
 * the columns of some rows first, then the others of the same rows. The first ones choose the
 * rows of the page and make their records, the others are filled in. Rows are the same, and in
 * the same order, each time; only where something is damaged is one missing, and then its record
 * is left out.
 *
 * A cursor says where to go on, so that each row is given exactly once although rows arrive, and
 * chunks are merged, between two pages:
 *
 *     bits 58-63  part of the lineage
 *     bits 24-57  row: those with smaller numbers have been given, or lie out of range
 *     bits 0-23   rows within the range, from that one on, that have been given, too
 *
 * The last is needed because a page ends anywhere within a block, and of a block of which some
 * rows lie out of range the others' numbers are not known.
 */
enum { CURSOR_SKIP_BITS = 24, CURSOR_PART_SHIFT = 58, STOP = 1 };

static const uint64_t CURSOR_MAX_SKIP = (UINT64_C(1) << CURSOR_SKIP_BITS) - 1;
static const uint64_t CURSOR_MAX_ROW =
    (UINT64_C(1) << (CURSOR_PART_SHIFT - CURSOR_SKIP_BITS)) - 1;

/* Where in a part reading goes on. */
struct place {
    uint64_t row;
    uint64_t skip;
};

/* One record of the page, while its numbers are gathered. */
struct gathered {
    size_t at; /* in the page's bytes */
    size_t payload_bytes;
    int64_t step;
    int64_t time_ns;
    uint32_t n_filled; /* columns */
};

/* A page in the making. */
struct paging {
    const struct row_source *source;
    struct row_page *page;
    size_t size; /* of page->bytes */
    struct gathered *rows;
    size_t n_rows;
    size_t rows_size;
    uint32_t limit;
    struct place place; /* where the next page would go on */
    uint64_t n_to_skip; /* rows still to pass over */
    bool is_full;
    bool is_whole;      /* the last block had all columns */
    uint32_t column;    /* the last block's first */
    size_t stretch;     /* the first row whose other columns are still to come ... */
    uint64_t n_skipped; /* ... and how many rows before it were passed over */
    size_t next;        /* other columns: the row that comes next ... */
    uint64_t n_to_pass; /* ... when so many have been passed over */
};

static uint32_t n_columns_of(const struct row_source *source)
{
    return source->n_f64 + source->n_f32;
}

/* Copy a row's numbers to where they belong in its record. */
static void copy_columns(const struct paging *paging, const struct store_block *block,
    size_t row, uint8_t *payload)
{
    size_t first = block->first_column - paging->source->first_column;
    for (size_t c = 0; c < block->n_columns; c++) {
        size_t at = c * block->n_rows + row;
        if (block->f64 != NULL) {
            memcpy(payload + 8 * (first + c), &block->f64[at], 8);
        } else {
            memcpy(payload + 4 * (first + c), &block->f32[at], 4);
        }
    }
}

/* Make a record with the columns that the block has. False when the page is full. */
static bool add_row(struct paging *paging, const struct store_block *block, size_t row)
{
    struct row_page *page = paging->page;
    size_t extra_begin = 0;
    size_t n_extra = row_extra(block, row, &extra_begin);
    size_t n_payload = row_fixed_bytes(paging->source) + n_extra;
    size_t n_bytes = record_bytes((uint32_t)n_payload);
    if (paging->n_rows > 0 && (page->n_bytes + n_bytes > WIRE_MAX_FRAME_BYTES ||
                                  paging->n_rows >= paging->limit)) {
        return false;
    }
    if (paging->n_rows == paging->rows_size) {
        paging->rows_size = 2 * paging->rows_size + 256;
        paging->rows = baro_xrealloc(paging->rows, paging->rows_size, sizeof *paging->rows);
    }
    if (page->n_bytes + n_bytes > paging->size) {
        paging->size = 2 * paging->size + n_bytes;
        page->bytes = baro_xrealloc(page->bytes, paging->size, 1);
    }
    uint8_t *record = page->bytes + page->n_bytes;
    memset(record, 0, n_bytes);
    copy_columns(paging, block, row, record + RECORD_HEADER_BYTES);
    if (n_extra > 0) {
        memcpy(record + RECORD_HEADER_BYTES + n_payload - n_extra,
            block->extra + extra_begin, n_extra);
    }
    paging->rows[paging->n_rows++] = (struct gathered){page->n_bytes, n_payload,
        block->steps[row], block->times_ns[row], block->n_columns};
    page->n_bytes += n_bytes;
    return true;
}

/* The first columns of some rows: make their records. */
static int add_rows(struct paging *paging, const struct store_block *block)
{
    if (paging->is_full) {
        return STOP; /* the stretch before is complete */
    }
    if (paging->is_whole || paging->column != block->first_column) {
        paging->stretch = paging->n_rows;
        paging->n_skipped = 0;
    }
    paging->is_whole = block->n_columns == n_columns_of(paging->source);
    paging->column = block->first_column;
    for (size_t i = 0; i < block->n_rows; i++) {
        if (paging->n_to_skip > 0) {
            paging->n_to_skip--;
            paging->n_skipped++;
        } else if (!add_row(paging, block, i)) {
            paging->is_full = true;
            paging->place.skip = i; /* of this block; place.row is where it began */
            return paging->is_whole ? STOP : 0;
        }
    }
    paging->place = (struct place){block->next_row, paging->n_to_skip};
    return 0;
}

/* Other columns of the same rows. */
static int fill_rows(struct paging *paging, const struct store_block *block)
{
    if (paging->column != block->first_column) {
        paging->column = block->first_column;
        paging->next = paging->stretch;
        paging->n_to_pass = paging->n_skipped;
    }
    paging->is_whole = false;
    for (size_t i = 0; i < block->n_rows; i++) {
        if (paging->n_to_pass > 0) {
            paging->n_to_pass--;
            continue;
        }
        size_t at = paging->next;
        while (at < paging->n_rows && paging->rows[at].step != block->steps[i]) {
            at++;
        }
        if (at == paging->n_rows) {
            continue; /* its first columns could not be read, or it is the next page's */
        }
        struct gathered *row = &paging->rows[at];
        copy_columns(paging, block, i, paging->page->bytes + row->at + RECORD_HEADER_BYTES);
        row->n_filled += block->n_columns;
        paging->next = at + 1;
    }
    const struct row_source *source = paging->source;
    uint32_t end = source->first_column + n_columns_of(source);
    bool is_last = block->first_column + block->n_columns == end;
    return paging->is_full && is_last && paging->next == paging->n_rows ? STOP : 0;
}

static int on_block(const struct store_block *block, void *payload)
{
    struct paging *paging = payload;
    return block->first_column == paging->source->first_column ? add_rows(paging, block)
                                                               : fill_rows(paging, block);
}

/* Add rows of one part of the lineage from a place on; what is damaged is passed over. */
static int read_part(struct paging *paging, struct store *store, size_t part,
    struct place from, struct baro_err *err)
{
    struct store_query query = row_query(paging->source, part);
    struct baro_err cause = {0};
    query.first_row = from.row;
    paging->place = from;
    paging->n_to_skip = from.skip;
    paging->is_whole = true; /* what comes begins a stretch */
    int rc = store_read(store, &query, on_block, paging, &cause);
    if (cause.code == BARO_ECORRUPT && (rc == BARO_ECORRUPT || rc == STOP)) {
        paging->page->damage = cause;
    } else if (rc < 0) {
        return baro_err_set(
            err, rc, "%s", cause.code != 0 ? cause.text : "the records cannot be read");
    }
    return 0;
}

/* Finish the records, closing up over those that miss something. */
static void seal_rows(struct paging *paging)
{
    struct row_page *page = paging->page;
    size_t to = 0;
    for (size_t i = 0; i < paging->n_rows; i++) {
        const struct gathered *row = &paging->rows[i];
        if (row->n_filled != n_columns_of(paging->source)) {
            continue;
        }
        size_t n_bytes = record_bytes((uint32_t)row->payload_bytes);
        uint8_t *record = page->bytes + to;
        if (to != row->at) {
            memmove(record, page->bytes + row->at, n_bytes);
        }
        row_seal(paging->source, record, row->payload_bytes, row->step, row->time_ns);
        page->n_records++;
        to += n_bytes;
    }
    page->n_bytes = to;
}

static int note_first(const struct store_block *block, void *payload)
{
    uint64_t *first_row = payload;
    *first_row = block->next_row > block->n_rows ? block->next_row - block->n_rows : 0;
    return STOP;
}

/* Ask the index of groups how many rows of one were pruned. */
static uint64_t find_pruned(struct store *store, const struct store_query *query)
{
    baro_autofree struct store_group_info *groups = NULL;
    size_t n_groups = 0;
    if (store_groups(store, query->run, &groups, &n_groups, NULL) != 0) {
        return 0;
    }
    for (size_t i = 0; i < n_groups; i++) {
        if (groups[i].thing == query->thing && groups[i].kind == query->kind) {
            return groups[i].n_pruned;
        }
    }
    return 0;
}

/*
 * Count rows of which only summaries are left. The index of all groups of a run is long: it is
 * asked only where the rows that are there do not begin with the first.
 */
static void count_pruned(
    const struct row_source *source, struct store *store, struct row_page *page)
{
    for (size_t part = 0; part < source->n_parts; part++) {
        struct store_query query = row_query(source, part);
        uint64_t first_row = UINT64_MAX;
        query.n_columns = 0;
        query.with_extra = false;
        query.from_step = INT64_MIN;
        query.to_step = INT64_MAX;
        (void)store_read(store, &query, note_first, &first_row, NULL);
        page->n_pruned += first_row > 0 ? find_pruned(store, &query) : 0;
    }
}

struct store_query row_query(const struct row_source *source, size_t part)
{
    const struct lineage_part *lies = &source->parts[part];
    return (struct store_query){
        .run = lies->run,
        .thing = lies->thing,
        .kind = source->kind,
        .first_column = source->first_column,
        .n_columns = source->n_f64 + source->n_f32,
        .with_extra = source->with_extra,
        .from_step = source->from_step,
        .to_step = source->to_step < lies->to_step ? source->to_step : lies->to_step,
    };
}

size_t row_fixed_bytes(const struct row_source *source)
{
    return 8 * (size_t)source->n_f64 + 4 * (size_t)source->n_f32;
}

size_t row_extra(const struct store_block *block, size_t row, size_t *out_begin)
{
    if (block->extra_ends == NULL) {
        *out_begin = 0;
        return 0;
    }
    *out_begin = row > 0 ? block->extra_ends[row - 1] : 0;
    return block->extra_ends[row] - *out_begin;
}

void row_seal(const struct row_source *source, uint8_t *record, size_t payload_bytes,
    int64_t step, int64_t time_ns)
{
    struct record_header header = {
        .bytes = record_bytes((uint32_t)payload_bytes),
        .step = step,
        .time_ns = time_ns,
        .thing = source->thing,
        .kind = source->kind,
        .payload_bytes = (uint32_t)payload_bytes,
    };
    memcpy(record, &header, sizeof header);
    header.check = record_check(record);
    memcpy(record, &header, sizeof header);
}

int rows_page(const struct row_source *source, struct store *store, uint64_t cursor,
    uint32_t limit, struct row_page *page, struct baro_err *err)
{
    struct paging paging = {
        .source = source, .page = page, .limit = limit > 0 ? limit : UINT32_MAX};
    size_t part = cursor >> CURSOR_PART_SHIFT;
    struct place from = {
        cursor >> CURSOR_SKIP_BITS & CURSOR_MAX_ROW, cursor & CURSOR_MAX_SKIP};
    int rc = 0;
    if (cursor == 0) {
        count_pruned(source, store, page);
    }
    for (; rc == 0 && part < source->n_parts && !paging.is_full; part++) {
        rc = read_part(&paging, store, part, from, err);
        from = (struct place){0, 0};
    }
    if (rc == 0 && paging.is_full) { /* go on within the part that was read last */
        const struct place *place = &paging.place;
        if (place->row > CURSOR_MAX_ROW || place->skip > CURSOR_MAX_SKIP) {
            rc = baro_err_set(err, BARO_ELIMIT,
                "row %" PRIu64 " is beyond what a page tells", place->row);
        }
        page->cursor = (uint64_t)(part - 1) << CURSOR_PART_SHIFT |
                       place->row << CURSOR_SKIP_BITS | place->skip;
    }
    seal_rows(&paging);
    free(paging.rows);
    return rc;
}
