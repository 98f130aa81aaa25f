/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * A transaction collects puts and rows in memory. Commit checks the rows' layouts, packs the
 * rows of each run into pieces of tail (one piece per run and commit unless it is over 128 KiB),
 * and applies everything to LMDB at once with full synchronisation. Only then do the rows
 * become visible in memory, all under one lock: a reader sees committed rows and no others, and
 * a commit that failed has changed nothing.
 */

/* Before each row's payload in the transaction's memory. */
struct txn_row {
    struct tail_group *group; /* found at commit */
    uint32_t run;
    uint32_t bytes;   /* of this header, the payload and the padding */
    uint64_t ordinal; /* of its piece of tail; found at commit */
    struct tail_record record;
};

static void fail(struct store_txn *txn, int code, const char *sentence)
{
    if (txn->rc == 0) {
        txn->rc = baro_err_set(&txn->err, code, "%s", sentence);
    }
}

struct store_txn *store_begin(struct store *store)
{
    struct store_txn *txn = &store->txn;
    store_batch_clear(&txn->batch);
    txn->store = store;
    txn->rc = txn->is_open ? BARO_EINVAL : 0;
    if (txn->rc != 0) {
        (void)baro_err_set(
            &txn->err, BARO_EINVAL, "a transaction was begun inside another");
    }
    txn->rows_bytes = 0;
    txn->number++;
    txn->is_open = true;
    return txn;
}

void store_put(struct store_txn *txn, enum store_table table, uint32_t run, uint64_t id,
    const void *value, size_t n_bytes)
{
    if (txn->rc != 0) {
        return;
    }
    if ((unsigned)table >= STORE_TABLE_COUNT || n_bytes > STORE_MAX_VALUE_BYTES) {
        fail(txn, BARO_EINVAL, "a value is over 1 MiB, or its table does not exist");
        return;
    }
    uint8_t key[KEY_VALUE_BYTES];
    key_value(key, run, id);
    store_batch_put(
        &txn->batch, txn->store->tables[table], key, sizeof key, value, n_bytes);
}

void store_append(struct store_txn *txn, const struct store_row *row)
{
    if (txn->rc != 0) {
        return;
    }
    size_t n = tail_payload_bytes(row->n_f64, row->n_f32, row->extra_bytes);
    if (row->n_f64 > CHUNK_MAX_COLUMNS || row->n_f32 > CHUNK_MAX_COLUMNS ||
        n > TAIL_MAX_PAYLOAD_BYTES) {
        fail(txn, BARO_EINVAL, "a row is over 8 MiB or has over 1048576 columns");
        return;
    }
    struct txn_row head = {
        .run = row->run,
        .bytes = (uint32_t)(sizeof head + tail_pad(n)),
        .record =
            {
                .thing = row->thing,
                .kind = row->kind,
                .n_f64 = row->n_f64,
                .n_f32 = row->n_f32,
                .extra_bytes = row->extra_bytes,
                .step = row->step,
                .time_ns = row->time_ns,
            },
    };
    if (head.bytes > txn->rows_room - txn->rows_bytes) {
        txn->rows_room = (txn->rows_bytes + head.bytes) * 2;
        txn->rows = baro_xrealloc(txn->rows, txn->rows_room, 1);
    }
    memcpy(txn->rows + txn->rows_bytes, &head, sizeof head);
    if (n > 0) {
        memcpy(txn->rows + txn->rows_bytes + sizeof head, row->payload, n);
    }
    txn->rows_bytes += head.bytes;
}

/* The row at an offset; every row begins 8-byte aligned. */
static struct txn_row *row_at(struct store_txn *txn, size_t at)
{
    return (struct txn_row *)(void *)(txn->rows + at);
}

/* Find each row's group and refuse rows whose layout is not the group's. */
static int find_groups(struct store_txn *txn, struct baro_err *err)
{
    for (size_t at = 0; at < txn->rows_bytes; at += row_at(txn, at)->bytes) {
        struct txn_row *row = row_at(txn, at);
        const struct tail_record *record = &row->record;
        int rc = store_group_load(
            txn->store, row->run, record->thing, record->kind, &row->group, err);
        if (rc != 0) {
            return rc;
        }
        struct tail_group *group = row->group;
        bool is_empty = group->record.n_rows + group->tail_rows == 0;
        if (is_empty && group->txn_number != txn->number) {
            (void)pthread_mutex_lock(&txn->store->memory_lock);
            group->record.n_f64 = record->n_f64;
            group->record.n_f32 = record->n_f32;
            (void)pthread_mutex_unlock(&txn->store->memory_lock);
            group->txn_number = txn->number;
        }
        if (group->record.n_f64 != record->n_f64 || group->record.n_f32 != record->n_f32) {
            return baro_err_set(err, BARO_EINVAL,
                "run %u thing %u kind %u: a row of %u doubles and %u floats does not fit a "
                "group of %u and %u",
                row->run, record->thing, record->kind, record->n_f64, record->n_f32,
                group->record.n_f64, group->record.n_f32);
        }
    }
    return 0;
}

/* Hand a run's piece in progress to the batch. */
static void flush_piece(struct store_txn *txn, struct tail_run *run)
{
    if (run->piece_bytes == 0) {
        return;
    }
    uint8_t key[KEY_VALUE_BYTES];
    const uint8_t *bytes = NULL;
    key_value(key, run->run, run->next_ordinal + run->n_new_pieces);
    size_t n = piece_finish(run, txn->store->frames, &bytes);
    store_batch_put(&txn->batch, txn->store->tail_table, key, sizeof key, bytes, n);
    run->n_new_pieces++;
}

static void pack_rows(struct store_txn *txn)
{
    struct tail *tail = &txn->store->tail;
    for (size_t at = 0; at < txn->rows_bytes; at += row_at(txn, at)->bytes) {
        struct txn_row *row = row_at(txn, at);
        struct tail_run *run = row->group->run;
        size_t more = row->bytes - sizeof *row + sizeof row->record;
        if (run->piece_bytes > 0 && run->piece_bytes + more > PIECE_BYTES) {
            flush_piece(txn, run);
        }
        row->ordinal = run->next_ordinal + run->n_new_pieces;
        piece_add(run, &row->record, (const uint8_t *)(row + 1));
    }
    for (uint32_t i = 0; i < tail->n_runs; i++) {
        flush_piece(txn, tail->runs[i]);
    }
}

/* After LMDB has decided: make the rows visible, or forget the pieces' numbers. */
static void publish(struct store_txn *txn, bool is_committed)
{
    struct store *store = txn->store;
    (void)pthread_mutex_lock(&store->memory_lock);
    for (size_t at = 0; is_committed && at < txn->rows_bytes;
         at += row_at(txn, at)->bytes) {
        struct txn_row *row = row_at(txn, at);
        tail_push(&store->tail, row->group, row->ordinal, &row->record,
            (const uint8_t *)(row + 1));
    }
    for (uint32_t i = 0; i < store->tail.n_runs; i++) {
        struct tail_run *run = store->tail.runs[i];
        run->next_ordinal += is_committed ? run->n_new_pieces : 0;
        run->n_new_pieces = 0;
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
}

int store_commit(struct store_txn *txn, struct baro_err *err)
{
    txn->is_open = false;
    if (txn->rc != 0) {
        return baro_err_set(err, txn->rc, "%s", txn->err.text);
    }
    int rc = find_groups(txn, err);
    if (rc != 0) {
        return rc;
    }
    pack_rows(txn);
    if (txn->batch.n_ops > 0) {
        rc = store_apply(txn->store, &txn->batch, txn->store->commit_limit, err);
        txn->store->is_full = rc == BARO_EFULL;
        txn->store->is_seal_full &= rc != 0;
        txn->store->full_commits -= rc == 0 && txn->store->full_commits > 0 ? 1 : 0;
    }
    publish(txn, rc == 0);
    return rc;
}
