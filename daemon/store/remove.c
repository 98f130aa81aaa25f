/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/store/parts.h"
#include "daemon/store/prune.h"
#include "daemon/store/tiers.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Removing a run whole. The first transaction deletes its description and writes its number under
 * "removing" in the table meta; those that follow delete the rest, table by table, a bounded
 * number of values each, and the last one deletes the number. A store that was closed in between
 * goes on when it is opened, before anything looks at the run: so a run is there whole or it is
 * not there.
 */

enum { MAX_DELETES = 1024, MAX_BYTES = 16 << 20, SHARE = 8 };
static const char removing[] = "removing"; /* key in meta; value: the run's number (4) */

/* The tables that hold values of runs, in the order in which they are emptied; the description
 * is the first to go. */
static size_t list_tables(const struct store *store, MDB_dbi out[STORE_TABLE_COUNT + 3])
{
    size_t n = 0;
    out[n++] = store->tables[STORE_RUNS];
    out[n++] = store->tail_table;
    out[n++] = store->chunk_table;
    out[n++] = store->group_table;
    for (int i = 0; i < STORE_TABLE_COUNT; i++) {
        if (i != STORE_RUNS) {
            out[n++] = store->tables[i];
        }
    }
    return n;
}

/* What one look through a run's values found. */
struct found {
    struct store_batch *batch; /* deletes go here; NULL: only count */
    uint64_t max_bytes;
    uint64_t n_values;
    uint64_t bytes;
    uint64_t n_rows;
    bool is_all; /* there are no more */
};

static uint64_t rows_of(
    const struct store *store, MDB_txn *txn, const MDB_val *key, const MDB_val *value)
{
    struct group_record record;
    return key->mv_size == KEY_GROUP_BYTES &&
                   store_group_decode(store, txn, key->mv_data, value, &record)
               ? record.n_rows
               : 0;
}

/* Look through one table. */
static int scan_table(
    struct store *store, MDB_txn *txn, MDB_dbi table, uint32_t run, struct found *found)
{
    uint8_t prefix[4];
    MDB_cursor *cursor = NULL;
    key_put(prefix, run, sizeof prefix);
    MDB_val key = {.mv_size = sizeof prefix, .mv_data = prefix};
    MDB_val value;
    int rc = mdb_cursor_open(txn, table, &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && key.mv_size >= sizeof prefix && key.mv_size <= KEY_MAX_BYTES &&
           memcmp(key.mv_data, prefix, sizeof prefix) == 0) {
        if (found->batch != NULL &&
            (found->n_values >= MAX_DELETES || found->bytes >= found->max_bytes)) {
            found->is_all = false;
            break;
        }
        found->n_values++;
        found->bytes += prune_value_bytes(value.mv_size);
        if (table == store->group_table) {
            found->n_rows += rows_of(store, txn, &key, &value);
        }
        if (found->batch != NULL) {
            store_batch_delete(found->batch, table, key.mv_data, key.mv_size);
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Look through a run's values, as many as fit into one transaction. */
static int scan(
    struct store *store, uint32_t run, struct found *found, struct baro_err *err)
{
    MDB_dbi tables[STORE_TABLE_COUNT + 3];
    size_t n = list_tables(store, tables);
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    found->is_all = true;
    for (size_t i = 0; rc == 0 && i < n && found->is_all; i++) {
        rc = scan_table(store, txn, tables[i], run, found);
    }
    store_reading_end(store, txn);
    return rc == 0 ? 0 : store_lmdb_error(store, rc, "read", err);
}

/* Note the run whose removal is under way, or, for 0, that none is. */
static void put_mark(struct store *store, uint32_t run)
{
    const uint8_t *key = (const uint8_t *)removing;
    if (run == 0) {
        store_batch_delete(&store->pruning, store->meta_table, key, sizeof removing - 1);
    } else {
        store_batch_put(
            &store->pruning, store->meta_table, key, sizeof removing - 1, &run, sizeof run);
    }
}

uint32_t store_removing(const struct store *store, MDB_txn *txn)
{
    char name[sizeof removing];
    memcpy(name, removing, sizeof removing);
    MDB_val key = {.mv_size = sizeof removing - 1, .mv_data = name};
    MDB_val value;
    uint32_t run = 0;
    if (mdb_get(txn, store->meta_table, &key, &value) == 0 && value.mv_size == sizeof run) {
        memcpy(&run, value.mv_data, sizeof run);
    }
    return run;
}

static int get_mark(struct store *store, uint32_t *out_run, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc == 0) {
        *out_run = store_removing(store, txn);
        store_reading_end(store, txn);
    }
    return rc;
}

static int remove_step(struct store *store, uint32_t run, bool is_begun,
    struct store_prune_item *out_item, struct baro_err *err)
{
    uint64_t share = store->quota_limit / SHARE;
    struct found found = {
        .batch = &store->pruning, .max_bytes = share < MAX_BYTES ? share : MAX_BYTES};
    store_batch_clear(&store->pruning);
    int rc = scan(store, run, &found, err);
    if (rc != 0 || (found.n_values == 0 && !is_begun)) {
        return rc;
    }
    put_mark(store, found.is_all ? 0 : run);
    rc = store_apply(store, &store->pruning, prune_limit(store), err);
    if (rc != 0) {
        return rc;
    }
    tiers_forget_run(store, run);
    parts_forget_run(store, run);
    (void)pthread_mutex_lock(&store->memory_lock);
    tail_remove_run(&store->tail, run);
    (void)pthread_mutex_unlock(&store->memory_lock);
    out_item->n_rows = found.n_rows;
    out_item->bytes = found.bytes;
    return found.n_values > 0 ? 1 : 0;
}

int store_remove_step(struct store *store, uint32_t run, struct store_prune_item *out_item,
    struct baro_err *err)
{
    *out_item = (struct store_prune_item){.run = run, .level = STORE_PRUNE_RUN};
    uint32_t marked = 0;
    int rc = get_mark(store, &marked, err);
    if (rc == 0 && marked != 0 && marked != run) { /* two at a time would lose a mark */
        rc = store_remove_resume(store, err);
    }
    return rc == 0 ? remove_step(store, run, marked == run, out_item, err) : rc;
}

int store_remove_estimate(struct store *store, uint32_t run,
    struct store_prune_item *out_item, struct baro_err *err)
{
    struct found found = {0};
    *out_item = (struct store_prune_item){.run = run, .level = STORE_PRUNE_RUN};
    int rc = scan(store, run, &found, err);
    out_item->n_rows = found.n_rows;
    out_item->bytes = found.bytes;
    return rc < 0 ? rc : found.n_values > 0 ? 1 : 0;
}

int store_remove_resume(struct store *store, struct baro_err *err)
{
    uint32_t run = 0;
    int rc = get_mark(store, &run, err);
    struct store_prune_item item;
    while (rc == 0 && run != 0) {
        rc = remove_step(store, run, true, &item, err);
        rc = rc < 0 ? rc : get_mark(store, &run, err);
    }
    return rc;
}
