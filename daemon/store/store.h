/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: every reading of every run, in LMDB. New rows go to an append-only tail; a run's
 * tail is sealed into columnar compressed chunks when it has grown enough. What is committed
 * survives kill -9 and power loss. One writer thread; any number of reading threads.
 *
 * A row group is (run, thing, kind): all rows of one group have the same number of doubles and
 * floats (its layout), fixed by its first row, and may carry extra bytes of any length.
 */
#ifndef BARO_STORE_H
#define BARO_STORE_H

#include <stdbool.h>

#include "lib/analysis/columns.h"
#include "lib/base/baro_types.h"

struct store;
struct store_txn;

/* Zero is the default of each. */
struct store_options {
    uint64_t map_bytes;       /* first size of the map; grows by itself; 0: 64 MiB */
    uint64_t quota_bytes;     /* the file never grows past it; 0: no limit but the disk */
    uint64_t seal_tail_bytes; /* seal a run's tail when it is larger; 0: 4 MiB */
    bool is_exact;            /* keep all bits of floats and times: see lib/codec/chunk.h */
    uint64_t rounded_kinds; /* bit k: floats of kind k keep 12 bits behind the point only */
};

/* Small values by (run, id): descriptions, positions of streams, alerts. */
enum store_table {
    STORE_RUNS = 0,  /* (run, 0): the run's description and state */
    STORE_THINGS,    /* (run, thing): its declaration */
    STORE_STREAMS,   /* (run, n): stream identity and last committed sequence */
    STORE_ALERTS,    /* (run, n) */
    STORE_INCIDENTS, /* (run, n) */
    STORE_NOTES,     /* (run, n) */
    STORE_TABLE_COUNT
};

/* One row to append; all borrowed for the call. */
struct store_row {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    uint32_t n_f64; /* layout: doubles, then floats, then extra bytes in payload */
    uint32_t n_f32;
    uint32_t extra_bytes;
    int64_t step;
    int64_t time_ns;
    const uint8_t *payload; /* 8 * n_f64 + 4 * n_f32 + extra_bytes bytes */
};

/* Rows of one group, as columns; valid during the callback only. */
struct store_block {
    uint64_t
        next_row; /* number of the row behind the last: store_query.first_row goes on */
    uint32_t first_column; /* of those below: wide groups come in several passes */
    size_t n_rows;
    const int64_t *steps;
    bool is_line; /* steps has only the first two: the others go on in a straight line */
    const int64_t *times_ns; /* NULL when the query is without them */
    size_t n_columns;
    const double *f64; /* column-major [n_columns][n_rows], or NULL for float columns */
    const float *f32;  /* likewise */
    const uint32_t
        *extra_ends; /* n_rows: end of each row's extra bytes in extra, or NULL */
    const uint8_t *extra;
};

/* Return 0 to go on, anything else to stop. */
typedef int (*store_block_fn)(const struct store_block *block, void *payload);
typedef int (*store_value_fn)(
    uint32_t run, uint64_t id, const void *value, size_t n_bytes, void *payload);

/* What is known of a group without reading it. */
struct store_group_info {
    uint32_t thing;
    uint16_t kind;
    uint32_t n_f64;
    uint32_t n_f32;
    uint64_t n_rows;
    int64_t first_step; /* smallest and largest step */
    int64_t last_step;
    uint64_t bytes;    /* in chunks, plus the raw size of what is in the tail */
    uint64_t n_pruned; /* the first so many rows are known by their summaries only */
};

/* Which rows of which columns to read. */
struct store_query {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    uint32_t first_column; /* 0 .. n_f64-1 are the doubles, n_f64 .. the floats */
    uint32_t n_columns;    /* all within the doubles or all within the floats; 0: none */
    bool with_extra;
    bool without_times; /* saves decoding them */
    bool may_be_line;   /* blocks may tell two steps only: see is_line there */
    int64_t from_step;  /* inclusive */
    int64_t to_step;
    uint64_t first_row; /* rows with smaller numbers are passed over */
};

/**
 * Open or create the store in a folder.
 *
 * dir      exists; refused when on a network file system
 * returns  0; BARO_EBUSY when another daemon has it open (text names its pid); BARO_EVERSION when
 *          another format wrote it; BARO_ECORRUPT when it is cut off or damaged (nothing is
 *          changed); BARO_EUNSUPPORTED when the file is not a store; BARO_EIO, BARO_EFULL,
 *          BARO_EACCES
 */
int store_open(const char *dir, const struct store_options *options,
    struct store **out_store, struct baro_err *err);

/** Close; accepts NULL. Nothing is lost: what was committed is in the tail. */
void store_close(struct store *store);

/**
 * Begin the write transaction. Errors of puts and appends stick and are told by commit.
 *
 * thread   the store's one writing thread
 * returns  never NULL
 */
struct store_txn *store_begin(struct store *store);

/** Put a small value (replaces an older one). At most 1 MiB. */
void store_put(struct store_txn *txn, enum store_table table, uint32_t run, uint64_t id,
    const void *value, size_t n_bytes);

/** Append a row to its group. A layout other than the group's is BARO_EINVAL at commit. */
void store_append(struct store_txn *txn, const struct store_row *row);

/**
 * Commit with full synchronisation; ends the transaction in any case.
 *
 * returns  0; BARO_EFULL when disk or quota is full: nothing of the transaction is in the store,
 *          and the same can be tried again later; BARO_EIO; BARO_EINVAL
 */
int store_commit(struct store_txn *txn, struct baro_err *err);

/**
 * Do one bounded piece of background work, the most urgent first: seal the tail of a run that
 * has grown past seal_tail_bytes, or the largest when all together are past eight times that, or
 * when a commit found no room; bring chunks into the other order (parts.c); build summaries
 * (tiers.c). Making room at the quota is store_prune's, when the daemon says so.
 *
 * thread   the writing thread, with no transaction open
 * returns  1 when it did something, 0 when there was nothing to do, negative code
 */
int store_work_step(struct store *store, struct baro_err *err);

/** Seal a run's tail now, however small: it has ended or is idle. Thread, result: as above. */
int store_seal_run(struct store *store, uint32_t run, struct baro_err *err);

/**
 * Tell that n times ten seconds or so have passed: nothing here asks a clock. A run that had no
 * rows for three of them is sealed by store_work_step, however small its tail. Writing thread.
 */
void store_tick(struct store *store, uint32_t n);

/** Tell whether store_work_step should go before the next commit, to bound memory. As above. */
bool store_is_behind(struct store *store);

/** Read one small value; returns its size, copied to out_value (caller frees), or negative. */
int64_t store_get(struct store *store, enum store_table table, uint32_t run, uint64_t id,
    void **out_value, struct baro_err *err);

/** Call fn for each value of a table, of one run or of all (run 0), by rising (run, id). */
int store_each(struct store *store, enum store_table table, uint32_t run, store_value_fn fn,
    void *payload, struct baro_err *err);

/**
 * Read rows of a group in order of arrival, in blocks; a row is given if its step is in range.
 *
 * returns  0, also when there are none; what fn returned if not 0; BARO_EINVAL for columns out
 *          of the layout; BARO_ECORRUPT for a damaged chunk: the rest has been given. When fn
 *          stopped with a positive number err tells of damage that was met before
 * thread   any; a consistent view of what was committed when it was called
 */
int store_read(struct store *store, const struct store_query *query, store_block_fn fn,
    void *payload, struct baro_err *err);

/**
 * Reduce rows of a group to pixel columns, from summaries wherever they are fine enough.
 *
 * query    its steps are the cut's, up to cut->last_step; first_row, with_extra are not heeded
 * out      query->n_columns * cut->n_columns, zeroed by the caller, series by series; the caller
 *          calls column_finish
 * out_n_rows    readings within the range
 * out_n_coarse  of them those whose details were pruned: each lies in the column of the middle of
 *          its summary
 * returns  as store_read
 * cost     grows with the number of columns, not with the number of rows
 */
int store_read_columns(struct store *store, const struct store_query *query,
    const struct column_cut *cut, struct column *out, uint64_t *out_n_rows,
    uint64_t *out_n_coarse, struct baro_err *err);

/**
 * Have what store_read_columns will look at brought in from the disk, as far as it can be guessed;
 * does not wait. For series that come next, when the last ones were not in memory.
 */
void store_expect_columns(
    struct store *store, const struct store_query *query, const struct column_cut *cut);

/** Describe one group: 1; 0 when it has no rows; negative code. Any thread. */
int store_group(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct store_group_info *out, struct baro_err *err);

/** Describe all groups of a run; *out_infos is the caller's to free. Any thread. */
int store_groups(struct store *store, uint32_t run, struct store_group_info **out_infos,
    size_t *out_n, struct baro_err *err);

/** Tell the bytes that the store takes on disk. Any thread. */
uint64_t store_bytes(struct store *store);

/** Tell how many of them are in pages that hold nothing and will be used again. Any thread. */
uint64_t store_free_bytes(struct store *store);

/** Tell how many of them hold something: what pruning counts with. Any thread. */
uint64_t store_used_bytes(struct store *store);

/** Tell how many bytes commits may bring into use: the quota less what upkeep needs. Any thread. */
uint64_t store_limit_bytes(const struct store *store);

/** Tell whether what was written last did not fit into the quota. The writing thread. */
bool store_is_map_full(const struct store *store);

/* What prune may take, in the order in which it goes. */
enum store_prune_level {
    STORE_PRUNE_READINGS = 0, /* the rows themselves; their summaries stay */
    STORE_PRUNE_FINE,         /* all summaries but the coarsest */
    STORE_PRUNE_REST,         /* rows that have no summaries, and those of last_kinds */
    STORE_PRUNE_RUN           /* everything that is known of a run */
};

/* One thing that went or would go. */
struct store_prune_item {
    uint32_t run;
    enum store_prune_level level;
    uint64_t n_rows;
    uint64_t bytes;
};

/* Tells what to prune. */
struct store_prune {
    bool is_dry_run;
    uint64_t to_bytes;    /* of pages in use; UINT64_MAX: whatever n_runs and level say */
    const uint32_t *runs; /* which may give way, in this order: the oldest first */
    size_t n_runs;
    enum store_prune_level level; /* the last that may be used */
    uint64_t last_kinds; /* bit k: rows of kind k stay longest, until STORE_PRUNE_REST */
};

typedef int (*store_prune_fn)(const struct store_prune_item *item, void *payload);

/**
 * Make room: take level by level from run after run until to_bytes is reached, of each run the
 * oldest rows first. Each step is a transaction of its own, so that a kill leaves a store that is
 * whole. STORE_PRUNE_RUN removes runs in any case, and takes no other level.
 *
 * fn       NULL, or called for each transaction with what went in it; not 0 stops there, and the same
 *          call again goes on. In a dry run once per run and level, with an estimate of the bytes
 * thread   the writing thread, with no transaction open; a dry run: any
 * returns  0; 1 when to_bytes cannot be reached; what fn returned; BARO_EIO, BARO_EFULL
 */
int store_prune(struct store *store, const struct store_prune *what, store_prune_fn fn,
    void *payload, struct baro_err *err);

/**
 * Give free pages back to the file system: write the store anew without them and put the new
 * file in the old one's place. Readers wait meanwhile.
 *
 * thread   the writing thread, with no transaction open
 * returns  0; BARO_EFULL when the disk has no room for the copy: the old file stays; BARO_EIO
 */
int store_compact(struct store *store, struct baro_err *err);

/* Where a check goes on; zero is the beginning. With is_group only one group is checked, and the
 * pieces of tail of its run: of its rows, not of their summaries. */
struct store_verify {
    bool is_group;
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    uint8_t key[32];
    uint32_t key_bytes;
    uint32_t part;
    bool is_done;
    uint64_t n_chunks; /* checked by the last step */
    uint64_t n_bytes;
};

/* One piece of damage; borrowed for the call. */
struct store_damage {
    uint32_t run;
    uint32_t thing; /* 0: of the run as a whole */
    uint16_t kind;
    const char *sentence; /* what is wrong, with its steps if they are known */
    bool has_steps;
    int64_t from_step; /* has_steps: about; what lies between the readings around it */
    int64_t to_step;
};

/* Tell one piece of damage. */
typedef void (*store_damage_fn)(const struct store_damage *damage, void *payload);

/**
 * Check the next bounded part of the store: every chunk's checksum and contents, the index
 * against the chunks, summaries against the rows, pieces of tail, small values' keys.
 *
 * verify   zeroed before the first step, but for what names one group
 * thread   any; each step sees what is committed then
 * returns  0, also when damage was told; BARO_EIO
 */
int store_verify_step(struct store *store, struct store_verify *verify, store_damage_fn fn,
    void *payload, struct baro_err *err);

/* A group of which something could not be read, as it was met first. */
struct store_damaged_group {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    char cause[120];
};

/**
 * Take the groups whose damage was met since the last call, by a read or a check; each is told
 * once.
 *
 * out      room for max of them
 * returns  how many were given; call again while it is max
 * thread   any
 * cost     an atomic load when there are none
 */
size_t store_take_damaged(struct store *store, struct store_damaged_group *out, size_t max);

#endif
