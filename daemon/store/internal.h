/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of daemon/store share; nobody else includes it. */
#ifndef BARO_STORE_INTERNAL_H
#define BARO_STORE_INTERNAL_H

#include <pthread.h>

#include <lmdb.h>

#include "daemon/store/batch.h"
#include "daemon/store/columns.h"
#include "daemon/store/piece.h"
#include "daemon/store/store.h"
#include "daemon/store/tail.h"
#include "lib/codec/chunk.h"

#define STORE_FILE      "store.mdb"
#define STORE_LOCK_FILE "store.lock"

enum {
    STORE_FORMAT = 2,      /* version of the layout on disk: docs/STORAGE.md */
    STORE_IDLE_CODECS = 4, /* kept for the next reading */
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

struct tiers;

/* Where pruning a level of a run has come to (prune.c). */
struct prune_sweep {
    bool is_open;
    uint32_t run;
    enum store_prune_level level;
    uint32_t share; /* of the rows of each group that goes, in 1/PRUNE_WHOLE */
    bool has_begun; /* the group of this thing and kind is the last that was looked at */
    uint32_t thing;
    uint16_t kind;
    bool took; /* something went */
};

struct store {
    char *path; /* of the LMDB file */
    int lock_fd;
    uint64_t map_bytes;  /* first size of the map */
    MDB_env *env;        /* NULL when it could not be opened again after store_compact */
    bool is_map_full;    /* writer: what it wrote last did not fit into the quota */
    uint64_t failed_txn; /* writer: LMDB's number of the commit that failed last; 0: none */
    MDB_dbi tables[STORE_TABLE_COUNT];
    MDB_dbi tail_table;
    MDB_dbi chunk_table;
    MDB_dbi group_table;
    MDB_dbi meta_table;
    uint64_t seal_tail_bytes;
    uint64_t step_bytes; /* decoded, about, that one step of background work encodes */
    bool is_exact;
    uint64_t rounded_kinds; /* bit k: floats of kind k may be rounded */
    uint64_t commit_limit;  /* bytes that the map may have for commits ... */
    uint64_t seal_limit;    /* ... and for sealing, which frees what it took */
    uint64_t quota_limit;   /* ... and for pruning, which frees more than it takes */
    bool is_full;           /* writer: a commit found no room since the last seal */
    bool is_seal_full;      /* writer: so did sealing; no more of it before a commit does */
    uint32_t full_commits;  /* writer: commits before other work is tried again */

    /* Held shared by readers while they have an LMDB transaction, and alone to move the map. */
    pthread_rwlock_t map_lock;

    /* Guards what follows. Never held during input or output. */
    pthread_mutex_t memory_lock;
    struct tail tail;
    struct chunk_codec *codecs[STORE_IDLE_CODECS]; /* of readings that are over */
    uint32_t n_codecs;

    /* Writer: when and how wide groups are divided (parts.c), and which wait for it. */
    struct {
        uint64_t bytes; /* of rows that are divided at a time, and how many that may be */
        uint32_t min_rows;
        uint32_t max_rows;
        uint32_t values;       /* numbers in a chunk of a part */
        uint32_t wide_columns; /* groups with more columns are wide */
        struct tail_group *first;
        struct columns columns; /* of some parts, rows [from, to) of a group; NULL: none */
        const struct tail_group *of;
        uint64_t from;
        uint64_t to;
        uint32_t first_part;
        uint32_t n_parts;
    } parting;

    /* Groups of which something could not be read (damage.c). */
    struct {
        pthread_mutex_t lock; /* guards what follows; held for memory only */
        struct store_damaged_group *groups;
        size_t n;
        size_t room;
        size_t n_told;
        _Atomic size_t n_untold;
    } damaged;

    struct tiers *tiers; /* writer, tiers.c; NULL: nothing to do yet */

    struct frame_codec *frames; /* writer: of pieces of tail */
    struct store_txn txn;       /* writer */
    struct store_batch sealing; /* writer */
    struct store_batch pruning; /* writer */
    struct prune_sweep sweep;   /* writer */
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

/** Take a codec for one reading, a used one if there is one; never NULL. Any thread. */
struct chunk_codec *store_codec_take(struct store *store);

/** Give a codec back; accepts NULL. Any thread. */
void store_codec_give(struct store *store, struct chunk_codec *codec);

/**
 * Apply a batch as one synchronous transaction, growing the map up to limit when it is needed.
 *
 * returns  0; BARO_EFULL; BARO_EIO; BARO_ECORRUPT; then nothing is changed on disk
 */
int store_apply(struct store *store, const struct store_batch *batch, uint64_t limit,
    struct baro_err *err);

/** Remember that something of a group could not be read, and why; once each. Any thread. */
void store_note_damage(
    struct store *store, uint32_t run, uint32_t thing, uint16_t kind, const char *cause);

/** Release what store_note_damage keeps. */
void store_forget_damage(struct store *store);

/** Bring the map back to what commits may have, if it is larger. The writing thread. */
void store_fit_map(struct store *store);

/**
 * Read a group's record.
 *
 * returns  1; 0 when there is none; BARO_ECORRUPT, BARO_EIO
 */
int store_group_get(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct group_record *out, struct baro_err *err);

/** Read a group's record within a transaction; the part of the id counts for nothing. As above. */
int store_group_read(struct store *store, MDB_txn *txn, const struct strand_id *id,
    struct group_record *out, struct baro_err *err);

/**
 * Check and copy a group's record out of a value; a damaged one is made again from its chunks.
 *
 * group_key  KEY_GROUP_BYTES
 * returns    false when that cannot be done
 */
bool store_group_decode(const struct store *store, MDB_txn *txn, const uint8_t *group_key,
    const MDB_val *value, struct group_record *out);

/** Tell whether a group's record is as it was written. */
bool store_group_is_whole(const MDB_val *value);

/**
 * Find a group in memory or bring it there.
 *
 * thread   the writing thread; good until the next store_work_step, store_seal_run or prune
 * returns  0; BARO_ECORRUPT, BARO_EIO
 */
int store_group_load(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct tail_group **out_group, struct baro_err *err);

/**
 * Add the put of a group's record to a batch: a changed copy of group->record. Once the batch
 * is applied, store_group_publish makes it what memory says.
 */
void store_group_put(const struct store *store, struct store_batch *batch,
    const struct tail_group *group, const struct group_record *record);

/** Make a record that is on disk now what memory says of its group. The writing thread. */
void store_group_publish(
    struct store *store, struct tail_group *group, const struct group_record *record);

/**
 * Open the LMDB file that store->path names, and its tables; store->env is NULL before, and after
 * a failure.
 *
 * thread   nobody else may look at store->env meanwhile
 */
int store_env_open(struct store *store, struct baro_err *err);

/**
 * Open LMDB again after a commit that failed so badly that it takes no more, or after it could
 * not be opened: the failed commit is surely undone then.
 *
 * thread   the writing thread, with no transaction open
 * returns  0; BARO_EIO, BARO_EFULL, BARO_EACCES: not yet; store->env may be NULL
 */
int store_mend(struct store *store, struct baro_err *err);

/** Make the last change of names in the store's folder durable; 0 or -1 with errno. */
int store_sync_folder(const struct store *store);

/** Read all tails from LMDB into memory; at open. */
int store_replay(struct store *store, struct baro_err *err);

#endif
