/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * At open, every piece of tail is read back into memory, in the order of its commits. A damaged
 * piece is left where it is and remembered: what can be read is served, and every read of that
 * run says that something is missing, now and after the next start.
 */

static void remember_damage(struct tail_run *run, uint64_t ordinal)
{
    run->damaged = baro_xrealloc(run->damaged, run->n_damaged + 1, sizeof *run->damaged);
    run->damaged[run->n_damaged++] = ordinal;
}

/* Whether each row of a piece can go to its group. */
static bool check_rows(struct store *store, uint32_t run, struct piece piece)
{
    struct tail_record record;
    const uint8_t *payload = NULL;
    int got = 0;
    while ((got = piece_next(&piece, &record, &payload)) == 1) {
        struct tail_group *group = NULL;
        if (store_group_load(store, run, record.thing, record.kind, &group, NULL) != 0) {
            return false;
        }
        bool is_empty = group->record.n_rows + group->tail_rows == 0;
        if (!is_empty &&
            (group->record.n_f64 != record.n_f64 || group->record.n_f32 != record.n_f32)) {
            return false;
        }
    }
    return got == 0;
}

/* Whether the next row of a group in a piece is in a chunk already. */
static bool is_sealed(const struct tail_group *group, uint64_t ordinal)
{
    uint32_t n_before = group->last_ordinal == ordinal ? group->n_in_piece : 0;
    return ordinal < group->record.tail_from ||
           (ordinal == group->record.tail_from && n_before < group->record.tail_skip);
}

/* Bring the rows of a piece into memory that are not in chunks; false, and none of them, when it
 * is damaged. */
static bool replay_piece(
    struct store *store, uint32_t run, uint64_t ordinal, const MDB_val *value)
{
    struct piece piece;
    if (piece_open(&piece, value->mv_data, value->mv_size, store->frames) != 0 ||
        !check_rows(store, run, piece)) {
        return false;
    }
    struct tail_record record;
    const uint8_t *payload = NULL;
    while (piece_next(&piece, &record, &payload) == 1) {
        struct tail_group *group = tail_find(&store->tail, run, record.thing, record.kind);
        if (!is_sealed(group, ordinal)) {
            tail_push(&store->tail, group, ordinal, &record, payload);
        } else {
            tail_pass(group, ordinal);
        }
    }
    return true;
}

int store_replay(struct store *store, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    int lmdb_rc = mdb_cursor_open(txn, store->tail_table, &cursor);
    MDB_val key;
    MDB_val piece;
    while (
        lmdb_rc == 0 && (lmdb_rc = mdb_cursor_get(cursor, &key, &piece, MDB_NEXT)) == 0) {
        if (key.mv_size != KEY_VALUE_BYTES) {
            continue;
        }
        uint32_t number = (uint32_t)key_get(key.mv_data, 4);
        uint64_t ordinal = key_get((const uint8_t *)key.mv_data + 4, 8);
        struct tail_run *run = tail_find_run(&store->tail, number);
        if (run == NULL) {
            run = tail_add_run(&store->tail, number);
            run->first_ordinal = ordinal;
        }
        if (run->next_ordinal <= ordinal) {
            run->next_ordinal = ordinal + 1;
        }
        if (!replay_piece(store, number, ordinal, &piece)) {
            remember_damage(run, ordinal);
        }
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(store, txn);
    if (rc == 0 && lmdb_rc != MDB_NOTFOUND) {
        rc = store_lmdb_error(store, lmdb_rc, "read", err);
    }
    return rc;
}
