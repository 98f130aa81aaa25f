/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that make room share. Private to daemon/store. */
#ifndef BARO_STORE_PRUNE_H
#define BARO_STORE_PRUNE_H

#include "daemon/store/internal.h"

/* A group at hand; in memory or not. */
struct prune_group {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    struct group_record record;
};

/**
 * Go to the next group of a run, by rising (thing, kind).
 *
 * io       run set; thing 0 and kind 0 at first, for which has_begun is false
 * returns  1; 0 when there is none; a negative code
 * thread   any
 */
int prune_next_group(
    struct store *store, struct prune_group *io, bool has_begun, struct baro_err *err);

enum { PRUNE_WHOLE = 1 << 16 }; /* a share of all */

/* What dropping chunks comes to. */
struct prune_drop {
    uint64_t n_chunks;
    uint64_t bytes;     /* of pages */
    uint64_t raw_bytes; /* of the chunks */
    uint64_t first_row; /* of what stays, in all strands; at most the row asked for */
};

/** Tell the finest and the coarsest level that a level of pruning takes of a group, if any. */
bool prune_levels(const struct store_prune *what, enum store_prune_level level,
    const struct prune_group *group, uint32_t *out_first, uint32_t *out_last);

/** Tell the row up to which a share of what is left of a level may go. */
uint64_t prune_end(const struct prune_group *group, uint32_t level, uint32_t share);

/**
 * Add up the chunks of a level that end at or before a row and, with a batch, delete them.
 *
 * batch    NULL: only add up
 * returns  0; BARO_EIO
 */
int prune_drop(struct store *store, const struct prune_group *group, uint32_t level,
    uint64_t row, struct store_batch *batch, struct prune_drop *out, struct baro_err *err);

/** Tell how large the file may become while room is made. The writing thread. */
uint64_t prune_limit(struct store *store);

/** Tell how many bytes of pages a value of a size takes, its key included, on average. */
uint64_t prune_value_bytes(size_t n_bytes);

/**
 * Remove the next part of all that is known of a run, as one transaction.
 *
 * out_item  what went
 * returns   1 when something went; 0 when nothing is left; BARO_EIO, BARO_EFULL
 * thread    the writing thread, with no transaction open
 */
int store_remove_step(struct store *store, uint32_t run, struct store_prune_item *out_item,
    struct baro_err *err);

/** Tell what store_remove_step would take in all. Any thread. */
int store_remove_estimate(struct store *store, uint32_t run,
    struct store_prune_item *out_item, struct baro_err *err);

/** Tell the run whose removal is under way; 0 when none is. */
uint32_t store_removing(const struct store *store, MDB_txn *txn);

/** Go on with the removal of a run in whose midst the store was closed; at open. */
int store_remove_resume(struct store *store, struct baro_err *err);

#endif
