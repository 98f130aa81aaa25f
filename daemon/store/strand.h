/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strand: chunks one behind the other that cover the rows of a group without a gap, in order of
 * arrival. A group has one strand for its rows as they were sealed, all columns side by side (part
 * 0, "all units at one time"); a wide group has one more for each part of its columns, to which
 * older rows move ("one series over time"); and one for each level of summaries (tiers.c), again
 * with parts when the group is wide. Rows of a summary strand are summaries; chunks are keyed by
 * the number of the first *row of the group* that they stand for, on every level, and
 * chunk.covers tells how many, so that one can go from level to level by row numbers.
 *
 * Private to daemon/store.
 */
#ifndef BARO_STORE_STRAND_H
#define BARO_STORE_STRAND_H

#include "daemon/store/columns.h"
#include "daemon/store/internal.h"

/* A chunk of a strand; value is LMDB's and ends with the reading transaction. */
struct strand_chunk {
    uint64_t first_row;
    MDB_val value;
};

/** Have a value that will be read whole brought in at once, not page by page as it is touched. */
void strand_fetch(const MDB_val *value);

/**
 * Find the chunk that holds a row, or the first one behind it; it is being brought in.
 *
 * returns  1; 0 when there is none; negative code
 */
int strand_find(struct store *store, MDB_txn *txn, const struct strand_id *id, uint64_t row,
    struct strand_chunk *out, struct baro_err *err);

/** Give the first row of a chunk by its key. */
static inline uint64_t strand_row_of(const MDB_val *key)
{
    return key_get((const uint8_t *)key->mv_data + KEY_STRAND_BYTES, 8);
}

/**
 * Go to the last chunk of a strand that begins before a row.
 *
 * returns  false when there is none, and *out_rc then 0 or LMDB's code
 */
bool strand_last_before(MDB_cursor *cursor, const struct strand_id *id, uint64_t row,
    MDB_val *key, MDB_val *value, int *out_rc);

/**
 * Tell the row behind the last that a strand covers.
 *
 * returns  1; 0 when it has no chunks; BARO_ECORRUPT when the last one is damaged; BARO_EIO
 */
int strand_end(struct store *store, MDB_txn *txn, const struct strand_id *id,
    uint64_t *out_end, struct baro_err *err);

/**
 * Find the first chunk of a strand that begins at a row or behind it.
 *
 * returns  1; 0 when there is none; negative code
 */
int strand_next(struct store *store, MDB_txn *txn, const struct strand_id *id, uint64_t row,
    uint64_t *out_row, struct baro_err *err);

/* Encoder and scratch memory of whoever writes strands; the writing thread's. */
struct strand_writer;

/** Create a writer that adds to a batch; never NULL. */
struct strand_writer *strand_writer_create(struct store *store, struct store_batch *batch);

/** Release a writer; accepts NULL. */
void strand_writer_destroy(struct strand_writer *writer);

/** Merge all small chunks at a strand's end from now on: nothing will come behind them soon. */
void strand_writer_pack(struct strand_writer *writer);

/** Tell how many bytes, decoded, the writer has encoded so far: what its work costs. */
size_t strand_writer_work(const struct strand_writer *writer);

/**
 * Append rows behind the last chunk of a strand: as chunks of CHUNK_TARGET_BYTES, small old ones
 * at the end merged with them by fours (strand.c). Puts and deletes go to the writer's batch,
 * which must be applied before the same strand is appended to again. Doubles and floats of
 * summaries keep all bits; of rows those that the store's options say.
 *
 * first_row   of the group: what the first of the rows stands for begins here
 * rows        all columns of the strand
 * covers      rows of the group that each of rows stands for; NULL: one each
 * budget      bytes of old chunks that may still be encoded again; reduced
 * io_bytes    bytes of the group's chunks; changed by what is added and taken
 */
int strand_append(struct strand_writer *writer, const struct strand_id *id,
    uint64_t first_row, const struct columns *rows, const uint32_t *covers, size_t *budget,
    uint64_t *io_bytes, struct baro_err *err);

/* Some columns of rows [from, to) that are in chunks but not in parts. */
struct strand_slice {
    uint64_t from;
    uint64_t to; /* more than from */
    uint32_t first_column;
    uint32_t n_columns;
    bool with_extra;
};

/**
 * Decode a slice, from whatever strand of level 0 has it.
 *
 * out      rows, of these columns only
 * returns  0; BARO_ECORRUPT when some are damaged or gone: out has none then
 */
int strand_gather(struct store *store, const struct tail_group *group,
    const struct strand_slice *slice, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err);

#endif
