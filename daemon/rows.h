/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two ways of reading whole records share: the newest of a range (rows.c), and all of
 * them page by page in order of arrival (row_pages.c).
 */
#ifndef BAROD_ROWS_H
#define BAROD_ROWS_H

#include "daemon/registry.h"
#include "daemon/store/store.h"

/* Which records are wanted, and where they lie. */
struct row_source {
    struct lineage_part parts[REGISTRY_MAX_LINEAGE]; /* oldest first */
    size_t n_parts;
    uint32_t thing; /* as records name it: the asked run's id */
    uint16_t kind;
    uint32_t first_column;
    uint32_t n_f64; /* numbers of each record: doubles or floats */
    uint32_t n_f32;
    bool with_extra;
    int64_t from_step;
    int64_t to_step;
};

/* Records of one page. Zeroed before rows_page; the caller frees bytes. */
struct row_page {
    uint8_t *bytes;
    size_t n_bytes;
    uint32_t n_records;
    uint64_t cursor;        /* where to go on; 0: that was all */
    uint64_t n_pruned;      /* told with the first page */
    struct baro_err damage; /* code 0: all could be read */
};

/** Make the store's question for one part. */
struct store_query row_query(const struct row_source *source, size_t part);

/** Tell the bytes of the numbers of a record. */
size_t row_fixed_bytes(const struct row_source *source);

/**
 * Write the header of a record whose payload is in place, with its checksum.
 *
 * record   8-byte aligned, with record_bytes(payload_bytes) bytes, padding zeroed
 */
void row_seal(const struct row_source *source, uint8_t *record, size_t payload_bytes,
    int64_t step, int64_t time_ns);

/** Tell the extra bytes of a row of a block: where they begin in block->extra, and how many. */
size_t row_extra(const struct store_block *block, size_t row, size_t *out_begin);

/**
 * Read the records behind a cursor in order of arrival, as many as a raw frame takes.
 *
 * cursor   0, or what an earlier page gave
 * limit    most records; 0: no limit but the frame's
 * returns  0, also when some could not be read: then page->damage says which; negative code
 * thread   any
 */
int rows_page(const struct row_source *source, struct store *store, uint64_t cursor,
    uint32_t limit, struct row_page *page, struct baro_err *err);

#endif
