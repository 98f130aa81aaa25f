/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of daemon/store share; nobody else includes it. */
#ifndef BARO_STORE_INTERNAL_H
#define BARO_STORE_INTERNAL_H

#include <pthread.h>

#include <lmdb.h>

#include "daemon/store/batch.h"
#include "daemon/store/store.h"
#include "daemon/store/tail.h"
#include "lib/codec/chunk.h"

#define STORE_FILE      "store.mdb"
#define STORE_LOCK_FILE "store.lock"

enum {
    STORE_FORMAT = 2,     /* version of the layout on disk: docs/STORAGE.md */
    STORE_MAX_LEVELS = 8, /* of summaries */
    STORE_MAX_VALUE_BYTES = 1 << 20
};

/* One transaction in the making: puts as a batch, rows as they came. */
struct store_txn {
    struct store *store;
    int rc;              /* the first failure; after it nothing is taken */
    struct baro_err err; /* its sentence */
    struct store_batch batch;
    uint8_t *rows; /* struct txn_row, payload, padding, and so on (txn.c) */
    size_t rows_bytes;
    size_t rows_room;
    uint64_t number; /* counts transactions from 1 */
    bool is_open;
};

struct store {
    char *path; /* of the LMDB file */
    int lock_fd;
    uint64_t map_bytes; /* first size of the map */
    MDB_env *env;       /* NULL when it could not be opened again after store_compact */
    MDB_dbi tables[STORE_TABLE_COUNT];
    MDB_dbi tail_table;
    MDB_dbi chunk_table;
    MDB_dbi group_table;
    MDB_dbi meta_table;
    uint64_t seal_tail_bytes;
    uint64_t commit_limit; /* bytes that the map may have for commits ... */
    uint64_t seal_limit;   /* ... and for sealing, which frees what it took */
    uint64_t quota_limit;  /* ... and for pruning, which frees more than it takes */
    bool is_full;          /* writer: a commit found no room since the last seal */
    bool is_seal_full;     /* writer: so did sealing; no more of it before a commit does */

    /* Held shared by readers while they have an LMDB transaction, and alone to move the map. */
    pthread_rwlock_t map_lock;

    /* Guards tail. Never held during input or output. */
    pthread_mutex_t memory_lock;
    struct tail tail;

    struct store_txn txn;       /* writer */
    struct store_batch sealing; /* writer */
};

/* What the index says of a group; little-endian on disk, where the last fields may be cut off
 * behind the n_levels-th number of each list. */
struct group_record {
    uint64_t check; /* XXH3-64 of the rest */
    uint32_t n_f64;
    uint32_t n_f32;
    uint64_t n_rows; /* in chunks, those pruned included */
    int64_t first_step;
    int64_t last_step;
    uint64_t bytes;        /* of chunks of all strands */
    uint64_t parted_rows;  /* rows before this one are in parts, not in part 0 */
    uint32_t part_columns; /* columns of a part; 0: no parts */
    uint32_t n_levels;     /* of summaries that exist: levels 1 .. n_levels */
    uint64_t covered[STORE_MAX_LEVELS]; /* level k + 1 covers the rows before this one */
    uint64_t
        pruned[STORE_MAX_LEVELS + 1]; /* level k: what covered the rows before is gone */
};

/** Turn an LMDB or system code into one of ours with a sentence. Returns the code. */
int store_lmdb_error(
    const struct store *store, int lmdb_rc, const char *doing, struct baro_err *err);

/**
 * Begin a short reading transaction; end it with store_reading_end in the same function.
 *
 * returns  0, and the map stays where it is until the end; BARO_EIO
 */
int store_reading_begin(struct store *store, MDB_txn **out_txn, struct baro_err *err);

/** End a reading transaction; nothing that it gave may be used afterwards. */
void store_reading_end(struct store *store, MDB_txn *txn);

/**
 * Apply a batch as one synchronous transaction, growing the map up to limit when it is needed.
 *
 * returns  0; BARO_EFULL; BARO_EIO; BARO_ECORRUPT; then nothing is changed on disk
 */
int store_apply(struct store *store, const struct store_batch *batch, uint64_t limit,
    struct baro_err *err);

/**
 * Read a group's record.
 *
 * returns  1; 0 when there is none; BARO_ECORRUPT, BARO_EIO
 */
int store_group_get(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct group_record *out, struct baro_err *err);

/**
 * Check and copy a group's record out of a value; a damaged one is made again from its chunks.
 *
 * group_key  KEY_GROUP_BYTES
 * returns    false when that cannot be done
 */
bool store_group_decode(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    const MDB_val *value, struct group_record *out);

/**
 * Find a group in memory or bring it there.
 *
 * thread   the writing thread
 * returns  0; BARO_ECORRUPT, BARO_EIO
 */
int store_group_load(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct tail_group **out_group, struct baro_err *err);

/**
 * Open the LMDB file that store->path names, and its tables; store->env is NULL before, and after
 * a failure.
 *
 * thread   nobody else may look at store->env meanwhile
 */
int store_env_open(struct store *store, struct baro_err *err);

/** Make the last change of names in the store's folder durable; 0 or -1 with errno. */
int store_sync_folder(const struct store *store);

/** Read all tails from LMDB into memory; at open. */
int store_replay(struct store *store, struct baro_err *err);

#endif
