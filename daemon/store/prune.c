/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/prune.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/tiers.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Making room. What goes first is what is missed least: the rows themselves, of which summaries
 * stay; then all summaries but the coarsest; then rows that have no summaries. Within a level
 * the runs go in the order that the caller gives, and of each run the oldest rows of all groups.
 *
 * A run is gone through in sweeps. A sweep takes the same share of the rows of each group that
 * are still there, as large as the room that is wanted makes it, at least 1/16; a chunk goes when
 * all its rows are before the share's end. When a sweep took nothing since all chunks reach over
 * that end, the next one takes twice the share. Before rows go, summaries are built of them if
 * there are none yet. One transaction takes some groups; where a sweep stopped is remembered, so
 * that the next call goes on and all groups of a run lose about as much.
 */

enum {
    MIN_SHARE = PRUNE_WHOLE / 16,
    MAX_DELETES = 1024,   /* of a transaction */
    MAX_BYTES = 16 << 20, /* that a transaction frees */
    SHARE_OF_QUOTA = 8    /* or so much of the quota, if that is less */
};

/* One transaction in the making. */
struct step {
    struct store *store;
    const struct store_prune *what;
    enum store_prune_level level;
    uint64_t max_bytes;
    uint64_t n_deletes;
    uint64_t bytes;
    uint64_t n_rows;
    bool is_full;                /* some summaries found no room */
    struct prune_group *changed; /* records as they will be */
    size_t n_changed;
    size_t room;
};

/* ---- one transaction ---- */

/* Summaries may take the room that is kept for pruning: more than they take goes then. */
static int cover_group(
    struct store *store, struct tail_group *group, uint64_t row, struct baro_err *err)
{
    uint64_t limit = store->commit_limit;
    store->commit_limit = prune_limit(store);
    int rc = tiers_cover(store, group, row, err);
    store->commit_limit = limit;
    store_fit_map(store);
    return rc;
}

/* Build summaries of the rows before one that have none; rows without numbers need none. Gives
 * the row before which all may go. */
static int cover(struct step *step, struct prune_group *group, uint64_t row,
    uint64_t *out_row, struct baro_err *err)
{
    *out_row = row;
    if (group->record.n_f64 + group->record.n_f32 == 0) {
        return 0;
    }
    if (group->record.n_levels == 0 || group->record.covered[0] < row) {
        struct tail_group *known = NULL;
        int rc = store_group_load(
            step->store, group->run, group->thing, group->kind, &known, err);
        rc = rc == 0 ? cover_group(step->store, known, row, err) : rc;
        step->is_full |= rc == BARO_EFULL;
        if (rc != 0 && rc != BARO_ECORRUPT && rc != BARO_EFULL) {
            return rc; /* rows behind damage stay, and those without room for summaries */
        }
        group->record = known->record;
        if (rc == BARO_ECORRUPT && step->level == STORE_PRUNE_REST) {
            return 0; /* all else has gone */
        }
    }
    uint64_t covered = group->record.n_levels > 0 ? group->record.covered[0] : 0;
    *out_row = covered < row ? covered : row;
    return 0;
}

static void keep_changed(struct step *step, const struct prune_group *group)
{
    if (step->n_changed == step->room) {
        step->room = step->room * 2 + 64;
        step->changed = baro_xrealloc(step->changed, step->room, sizeof *step->changed);
    }
    step->changed[step->n_changed++] = *group;
    struct tail_run run = {.run = group->run};
    struct tail_group key = {.run = &run, .thing = group->thing, .kind = group->kind};
    store_group_put(step->store, &step->store->pruning, &key, &group->record);
}

/* Add to the transaction what a share of one group comes to. */
static int take_group(
    struct step *step, struct prune_group *group, uint32_t share, struct baro_err *err)
{
    uint32_t first = 0;
    uint32_t last = 0;
    if (!prune_levels(step->what, step->level, group, &first, &last)) {
        return 0;
    }
    bool is_changed = false;
    for (uint32_t level = first; level <= last; level++) {
        uint64_t row = prune_end(group, level, share);
        struct prune_drop drop = {0};
        int rc = row > group->record.pruned[level]
                     ? prune_drop(step->store, group, level, row, NULL, &drop, err)
                     : 0;
        if (rc == 0 && drop.n_chunks > 0 && level == 0) {
            rc = cover(step, group, row, &row, err);
        }
        if (rc == 0 && drop.n_chunks > 0) {
            rc = prune_drop(
                step->store, group, level, row, &step->store->pruning, &drop, err);
        }
        if (rc != 0) {
            return rc;
        }
        if (drop.n_chunks == 0) {
            continue;
        }
        struct group_record *record = &group->record;
        step->n_deletes += drop.n_chunks;
        step->bytes += drop.bytes;
        step->n_rows += level == 0 && drop.first_row > record->pruned[0]
                            ? drop.first_row - record->pruned[0]
                            : 0;
        if (drop.first_row > record->pruned[level]) {
            record->pruned[level] = drop.first_row;
        }
        if (level == 0 && drop.first_row > record->parted_rows) {
            record->parted_rows = drop.first_row; /* what comes to parts begins there */
        }
        record->bytes -= drop.raw_bytes < record->bytes ? drop.raw_bytes : record->bytes;
        is_changed = true;
    }
    if (is_changed) {
        keep_changed(step, group);
    }
    return 0;
}

/* Make the transaction, and then memory follow. */
static int apply(struct step *step, struct baro_err *err)
{
    struct store *store = step->store;
    int rc = store_apply(store, &store->pruning, prune_limit(store), err);
    for (size_t i = 0; rc == 0 && i < step->n_changed; i++) {
        const struct prune_group *group = &step->changed[i];
        struct tail_group *known =
            tail_find(&store->tail, group->run, group->thing, group->kind);
        if (known != NULL) {
            store_group_publish(store, known, &group->record);
        }
    }
    return rc;
}

/* ---- sweeps ---- */

/* About how many bytes a level of a run may give: of chunks, by what the index says. */
static int sum_run(struct store *store, const struct store_prune *what, uint32_t run,
    enum store_prune_level level, uint64_t *out_bytes, struct baro_err *err)
{
    struct prune_group group = {.run = run};
    uint32_t first = 0;
    uint32_t last = 0;
    int rc = 0;
    *out_bytes = 0;
    for (bool has_begun = false; (rc = prune_next_group(store, &group, has_begun, err)) > 0;
         has_begun = true) {
        if (prune_levels(what, level, &group, &first, &last)) {
            *out_bytes += group.record.bytes;
        }
    }
    return rc;
}

/* The share that makes so much room, not less than MIN_SHARE; nearly all is all. */
static uint32_t share_for(uint64_t bytes, uint64_t of)
{
    if (bytes >= of / 2) {
        return PRUNE_WHOLE;
    }
    uint32_t share = (uint32_t)((double)bytes / (double)of * PRUNE_WHOLE) + 1;
    return share < MIN_SHARE ? MIN_SHARE : share;
}

/* Begin a sweep through a run, unless one is under way. */
static int begin_sweep(struct store *store, const struct store_prune *what, uint32_t run,
    enum store_prune_level level, uint64_t need, struct baro_err *err)
{
    struct prune_sweep *sweep = &store->sweep;
    if (sweep->is_open && sweep->run == run && sweep->level == level) {
        if (need == UINT64_MAX) {
            sweep->share = PRUNE_WHOLE;
        }
        return 0;
    }
    uint64_t bytes = 0;
    int rc = sum_run(store, what, run, level, &bytes, err);
    *sweep = (struct prune_sweep){
        .is_open = true,
        .run = run,
        .level = level,
        .share = share_for(need, bytes),
    };
    return rc;
}

/* Go on with the sweep until a transaction is full or the run is through; *out_is_over says so. */
static int sweep_on(
    struct store *store, struct step *step, bool *out_is_over, struct baro_err *err)
{
    struct prune_sweep *sweep = &store->sweep;
    *out_is_over = false;
    while (step->n_deletes < MAX_DELETES && step->bytes < step->max_bytes) {
        struct prune_group group = {
            .run = sweep->run, .thing = sweep->thing, .kind = sweep->kind};
        int rc = prune_next_group(store, &group, sweep->has_begun, err);
        if (rc <= 0) {
            *out_is_over = rc == 0;
            return rc;
        }
        sweep->has_begun = true;
        sweep->thing = group.thing;
        sweep->kind = group.kind;
        rc = take_group(step, &group, sweep->share, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* One transaction of a level of a run; 1 when something went, 0 when nothing may. */
static int take_some(struct store *store, const struct store_prune *what, uint32_t run,
    enum store_prune_level level, uint64_t need, struct store_prune_item *out,
    struct baro_err *err)
{
    uint64_t share_bytes = store->quota_limit / SHARE_OF_QUOTA;
    struct step step = {
        .store = store,
        .what = what,
        .level = level,
        .max_bytes = share_bytes < MAX_BYTES ? share_bytes : MAX_BYTES,
    };
    struct prune_sweep *sweep = &store->sweep;
    int rc = begin_sweep(store, what, run, level, need, err);
    while (rc == 0 && step.n_deletes == 0 && sweep->is_open) {
        bool is_over = false;
        store_batch_clear(&store->pruning);
        rc = sweep_on(store, &step, &is_over, err);
        sweep->took |= step.n_deletes > 0;
        if (rc == 0 && is_over) {
            bool is_in_vain = !sweep->took && sweep->share < PRUNE_WHOLE;
            uint32_t twice =
                sweep->share * 2 < PRUNE_WHOLE ? sweep->share * 2 : PRUNE_WHOLE;
            *sweep = (struct prune_sweep){
                .is_open = is_in_vain, .run = run, .level = level, .share = twice};
        }
    }
    if (rc == 0 && step.n_deletes > 0) {
        rc = apply(&step, err);
    }
    free(step.changed);
    if (rc != 0) {
        sweep->is_open = false;
        return rc;
    }
    if (step.n_deletes == 0 && step.is_full) {
        sweep->is_open = false;
        return baro_err_set(err, BARO_EFULL,
            "there is no room for the summaries of what goes; free some on the disk, or raise "
            "the quota");
    }
    *out = (struct store_prune_item){run, level, step.n_rows, step.bytes};
    return step.n_deletes > 0 ? 1 : 0;
}

/* ---- all of it ---- */

static uint64_t need_of(struct store *store, const struct store_prune *what)
{
    if (what->to_bytes == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t used = store_used_bytes(store);
    return used > what->to_bytes ? used - what->to_bytes : 0;
}

/* Take a level of a run until the need is met or nothing is left of it. */
static int prune_run(struct store *store, const struct store_prune *what, uint32_t run,
    enum store_prune_level level, store_prune_fn fn, void *payload, struct baro_err *err)
{
    for (;;) {
        uint64_t need = need_of(store, what);
        struct store_prune_item item;
        int rc = 0;
        if (level == STORE_PRUNE_RUN) {
            rc = store_remove_step(store, run, &item, err);
        } else if (need > 0) {
            rc = take_some(store, what, run, level, need, &item, err);
        }
        if (rc <= 0) {
            return rc;
        }
        rc = fn != NULL ? fn(&item, payload) : 0;
        if (rc != 0) {
            return rc;
        }
    }
}

/* In a dry run nothing goes: make a group look as the levels before would have left it. False
 * when they leave nothing of it for this level. */
static bool as_if_pruned(
    const struct store_prune *what, enum store_prune_level level, struct prune_group *group)
{
    uint32_t first = 0;
    uint32_t last = 0;
    if (level == STORE_PRUNE_READINGS ||
        !prune_levels(what, STORE_PRUNE_READINGS, group, &first, &last)) {
        return true;
    }
    group->record.pruned[0] = group->record.n_rows;
    return level == STORE_PRUNE_FINE;
}

/* What a whole level of a run would give, and how much of it is wanted. */
static int estimate_run(struct store *store, const struct store_prune *what, uint32_t run,
    enum store_prune_level level, uint64_t need, struct store_prune_item *out,
    struct baro_err *err)
{
    *out = (struct store_prune_item){.run = run, .level = level};
    if (level == STORE_PRUNE_RUN) {
        return store_remove_estimate(store, run, out, err);
    }
    struct prune_group group = {.run = run};
    int rc = 0;
    for (bool has_begun = false; (rc = prune_next_group(store, &group, has_begun, err)) > 0;
         has_begun = true) {
        uint32_t first = 0;
        uint32_t last = 0;
        if (!as_if_pruned(what, level, &group) ||
            !prune_levels(what, level, &group, &first, &last)) {
            continue;
        }
        for (uint32_t k = first; k <= last; k++) {
            struct prune_drop drop = {0};
            uint64_t row = prune_end(&group, k, PRUNE_WHOLE);
            rc = row > group.record.pruned[k]
                     ? prune_drop(store, &group, k, row, NULL, &drop, err)
                     : 0;
            if (rc != 0) {
                return rc;
            }
            out->bytes += drop.bytes;
            out->n_rows +=
                k == 0 && drop.n_chunks > 0 ? drop.first_row - group.record.pruned[0] : 0;
        }
    }
    if (rc == 0 && need < out->bytes) {
        out->n_rows = (uint64_t)((double)out->n_rows * (double)need / (double)out->bytes);
        out->bytes = need;
    }
    return rc < 0 ? rc : out->bytes > 0 ? 1 : 0;
}

static int estimate_all(struct store *store, const struct store_prune *what,
    enum store_prune_level from, store_prune_fn fn, void *payload, struct baro_err *err)
{
    uint64_t need = need_of(store, what);
    for (enum store_prune_level level = from; level <= what->level && need > 0; level++) {
        for (size_t i = 0; i < what->n_runs && need > 0; i++) {
            struct store_prune_item item;
            int rc = estimate_run(store, what, what->runs[i], level, need, &item, err);
            if (rc > 0) {
                if (need != UINT64_MAX) {
                    need -= item.bytes < need ? item.bytes : need;
                }
                rc = fn(&item, payload);
            }
            if (rc != 0) {
                return rc;
            }
        }
    }
    return what->to_bytes != UINT64_MAX && need > 0 ? 1 : 0;
}

int store_prune(struct store *store, const struct store_prune *what, store_prune_fn fn,
    void *payload, struct baro_err *err)
{
    bool is_whole = what->level == STORE_PRUNE_RUN;
    enum store_prune_level from = is_whole ? STORE_PRUNE_RUN : STORE_PRUNE_READINGS;
    if (what->is_dry_run) {
        return estimate_all(store, what, from, fn, payload, err);
    }
    if (store->txn.is_open) {
        return baro_err_set(err, BARO_EINVAL, "pruning inside a transaction");
    }
    for (enum store_prune_level level = from; level <= what->level; level++) {
        for (size_t i = 0; i < what->n_runs; i++) {
            int rc = prune_run(store, what, what->runs[i], level, fn, payload, err);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return what->to_bytes != UINT64_MAX && need_of(store, what) > 0 ? 1 : 0;
}
