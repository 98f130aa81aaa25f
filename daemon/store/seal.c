/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/seal.h"

#include <stdlib.h>

#include "daemon/store/parts.h"
#include "daemon/store/strand.h"
#include "daemon/store/tiers.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Sealing turns the tail of a run into chunks, a bounded number of rows at a time: of some
 * groups, or of part of one. One transaction writes their chunks and records; a record says from
 * which row of which piece of tail on the group's rows are not in chunks (tail_from, tail_skip),
 * so that a start between two such transactions brings no row into memory that is in a chunk.
 * When all rows that were in the tail at first are through, their pieces go too: one sweep.
 *
 * Rows of a group are numbered from 0 in order of arrival; a chunk's key ends with the number of
 * its first row, and what is sealed is always a prefix. So a reader that took the tail's rows
 * before the transaction, and looks for chunks after it, knows by their numbers which rows it
 * has already: each row is seen once, with no lock held while anything is encoded or written.
 * The tail in memory is dropped only after the transaction is on disk.
 *
 * A step ends when it has encoded about store->step_bytes, so that a commit that comes meanwhile
 * waits for some 20 ms at most.
 */

enum {
    TOTAL_TAILS = 8,        /* times seal_tail_bytes: what all tails together may take */
    MIN_FULL_BYTES = 4096,  /* worth sealing when there is no room */
    GROUP_TAIL_BYTES = 256, /* more that a run's tail may take for each of its groups */
    QUIET_TICKS = 3,        /* store_tick calls without a row: the run is idle or ended */
    FORGET_SWEEPS = 4       /* without a row: the group leaves memory */
};

/* One group of the step at hand and what its record will be. */
struct sealed {
    struct tail_group *group;
    struct group_record record;
    uint32_t n_segments; /* of its tail that are in chunks then */
};

struct sealing {
    struct store *store;
    struct strand_writer *writer;
    struct columns columns;
    struct sealed *sealed;
    size_t n_sealed;
    size_t sealed_room;
};

/* How large a run's tail may grow: rows of many groups are better sealed some at a time. */
static uint64_t run_limit(const struct store *store, const struct tail_run *run)
{
    uint64_t more = run->n_groups * (uint64_t)GROUP_TAIL_BYTES;
    uint64_t most = store->seal_tail_bytes * TOTAL_TAILS;
    return store->seal_tail_bytes + (more < most ? more : most);
}

/* How large all tails together may grow. */
static uint64_t total_limit(const struct store *store)
{
    return store->seal_tail_bytes * TOTAL_TAILS * 2;
}

struct tail_run *seal_pick(const struct store *store, bool *out_is_last)
{
    struct tail_run *largest = NULL;
    struct tail_run *quiet = NULL;
    for (uint32_t i = 0; i < store->tail.n_runs; i++) {
        struct tail_run *run = store->tail.runs[i];
        bool is_quiet = run->n_quiet >= QUIET_TICKS;
        if (run->sweep_end > 0) { /* what was begun is ended first: then its pieces go */
            *out_is_last = is_quiet;
            return run;
        }
        if (largest == NULL || run->tail_bytes > largest->tail_bytes) {
            largest = run;
        }
        if (is_quiet && run->tail_bytes > 0) {
            quiet = run;
        }
    }
    bool is_due =
        largest != NULL && (largest->tail_bytes > run_limit(store, largest) ||
                               store->tail.bytes > total_limit(store) ||
                               (store->is_full && largest->tail_bytes >= MIN_FULL_BYTES));
    *out_is_last = !is_due;
    return is_due ? largest : quiet;
}

bool seal_is_behind(const struct store *store)
{
    if (store->is_seal_full) {
        return false; /* it waits for room, not for its turn */
    }
    for (uint32_t i = 0; i < store->tail.n_runs; i++) {
        const struct tail_run *run = store->tail.runs[i];
        if (run->tail_bytes > 2 * run_limit(store, run)) {
            return true;
        }
    }
    return store->tail.bytes > total_limit(store) + total_limit(store) / 4;
}

/* How much of a group's tail goes into one step: whole segments, at least one. */
struct share {
    uint32_t n_segments;
    size_t n_rows;
    size_t bytes;
    const struct tail_segment *rest; /* the first that stays; NULL: none */
};

static struct share share_of(const struct store *store, const struct tail_group *group)
{
    struct share share = {.rest = group->segments};
    while (share.rest != NULL &&
           (share.n_segments == 0 || share.bytes + share.rest->used <= store->step_bytes)) {
        share.n_segments++;
        share.n_rows += share.rest->n_rows;
        share.bytes += share.rest->used;
        share.rest = share.rest->next;
    }
    return share;
}

/* Bring a share of a group's tail into columns. */
static void gather(
    struct sealing *sealing, const struct tail_group *group, const struct share *share)
{
    const struct group_record *record = &group->record;
    struct columns *columns = &sealing->columns;
    columns_reset(columns, share->n_rows, record->n_f64, record->n_f32, share->bytes);
    for (const struct tail_segment *segment = group->segments; segment != share->rest;
         segment = segment->next) {
        for (size_t at = 0; at < segment->used;) {
            const struct tail_row *row = (const void *)(segment->rows + at);
            columns_add_row(columns, row, record->n_f64, record->n_f32, 0, 0, true);
            at += row->bytes;
        }
    }
}

/* Seal what fits into a step; *out_is_through when nothing is left of what the sweep is about. */
static int seal_group(struct sealing *sealing, struct tail_group *group,
    bool *out_is_through, struct baro_err *err)
{
    const struct tail_run *run = group->run;
    const struct strand_id id = {run->run, group->thing, group->kind, 0, 0};
    struct group_record record = group->record;
    struct share share = share_of(sealing->store, group);
    size_t budget = SIZE_MAX;
    gather(sealing, group, &share);
    int rc = strand_append(sealing->writer, &id, record.n_rows, &sealing->columns, NULL,
        &budget, &record.bytes, err);
    if (rc != 0) {
        return rc;
    }
    record.n_rows += share.n_rows;
    record.tail_from = share.rest != NULL ? share.rest->ordinal : run->next_ordinal;
    record.tail_skip = share.rest != NULL ? share.rest->n_before : 0;
    *out_is_through = record.tail_from >= run->sweep_end;
    store_group_put(sealing->store, &sealing->store->sealing, group, &record);
    if (sealing->n_sealed == sealing->sealed_room) {
        sealing->sealed_room = sealing->sealed_room * 2 + 64;
        sealing->sealed =
            baro_xrealloc(sealing->sealed, sealing->sealed_room, sizeof *sealing->sealed);
    }
    sealing->sealed[sealing->n_sealed++] = (struct sealed){group, record, share.n_segments};
    return 0;
}

/* Delete the pieces of tail whose rows are all in chunks; damaged ones stay. */
static void delete_pieces(struct store *store, const struct tail_run *run)
{
    for (uint64_t ordinal = run->first_ordinal; ordinal < run->sweep_end; ordinal++) {
        bool is_damaged = false;
        for (uint32_t i = 0; i < run->n_damaged && !is_damaged; i++) {
            is_damaged = run->damaged[i] == ordinal;
        }
        if (!is_damaged) {
            uint8_t key[KEY_VALUE_BYTES];
            key_value(key, run->run, ordinal);
            store_batch_delete(&store->sealing, store->tail_table, key, sizeof key);
        }
    }
}

/* What was written is on disk: drop it from the tails, and go on behind it next time. */
static void publish(
    struct sealing *sealing, struct tail_run *run, struct tail_group *next, bool is_last)
{
    struct store *store = sealing->store;
    (void)pthread_mutex_lock(&store->memory_lock);
    for (size_t i = 0; i < sealing->n_sealed; i++) {
        struct tail_group *group = sealing->sealed[i].group;
        tail_drop(&store->tail, group, sealing->sealed[i].n_segments);
        group->record = sealing->sealed[i].record;
        parts_note(store, group, is_last);
        tiers_note(store, group);
    }
    run->sweep_next = next;
    if (next == NULL) {
        run->first_ordinal = run->sweep_end;
        run->sweep_end = 0;
        for (struct tail_group *group = run->groups; group != NULL; group = group->in_run) {
            group->n_quiet++;
        }
        tail_forget(&store->tail, run, is_last ? 1 : FORGET_SWEEPS);
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
}

int seal_step(struct store *store, struct tail_run *run, bool is_last, struct baro_err *err)
{
    struct sealing sealing = {.store = store};
    store_batch_clear(&store->sealing);
    sealing.writer = strand_writer_create(store, &store->sealing);
    if (is_last) {
        strand_writer_pack(sealing.writer);
    }
    if (run->sweep_end == 0) {
        run->sweep_end = run->next_ordinal;
        run->sweep_next = run->groups;
    }
    struct tail_group *group = run->sweep_next;
    int rc = 0;
    while (rc == 0 && group != NULL &&
           strand_writer_work(sealing.writer) < store->step_bytes) {
        bool is_through = true;
        rc = group->tail_rows > 0 ? seal_group(&sealing, group, &is_through, err) : 0;
        if (!is_through) {
            break;
        }
        group = group->in_run;
    }
    if (rc == 0 && group == NULL) {
        delete_pieces(store, run);
    }
    rc = rc == 0 ? store_apply(store, &store->sealing, store->seal_limit, err) : rc;
    if (rc == 0) {
        publish(&sealing, run, group, is_last);
    }
    strand_writer_destroy(sealing.writer);
    columns_finish(&sealing.columns);
    free(sealing.sealed);
    return rc == 0 ? 0 : baro_err_prefix(err, rc, "seal run %u", run->run);
}
