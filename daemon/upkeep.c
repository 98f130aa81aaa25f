/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/upkeep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/query.h"
#include "daemon/room.h"
#include "daemon/turns.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LOG_MODULE "upkeep"

/*
 * A run that is removed is forgotten by the registry at once, so that nothing more of it gets into
 * a bundle; what is in a bundle already must be in the store before the store removes the run, so
 * the job waits until that is committed. Whoever still holds its number gets
 * "there is no run N here"; its number is not given again before the daemon ends.
 *
 * When a commit finds no room, no bundle is handed over until something gave way, so then jobs do
 * not wait. A run of which a bundle holds something is not removed meanwhile.
 */

struct upkeep {
    struct job *waiting; /* for the open bundle */
};

struct upkeep *upkeep_create(void)
{
    return baro_xcalloc(1, sizeof(struct upkeep));
}

void upkeep_destroy(struct upkeep *upkeep)
{
    if (upkeep == NULL) {
        return;
    }
    while (upkeep->waiting != NULL) {
        struct job *next = upkeep->waiting->next;
        query_end(upkeep->waiting);
        upkeep->waiting = next;
    }
    free(upkeep);
}

/* ---- who gives way first ---- */

static uint32_t *numbers_of(struct run *const *runs, size_t n)
{
    uint32_t *numbers = baro_xcalloc(n + 1, sizeof *numbers);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = runs[i]->number;
    }
    return numbers;
}

void upkeep_plan(struct barod *barod)
{
    size_t n = barod->registry.n_runs;
    if (barod->options->quota_bytes == 0) {
        return;
    }
    baro_autofree struct run **runs = baro_xcalloc(n + 1, sizeof(struct run *));
    if (n > 0) {
        memcpy(runs, barod->registry.runs, n * sizeof(struct run *));
    }
    size_t n_ended = turns_sort(&barod->registry, runs, n);
    room_plan(barod->room, numbers_of(runs, n), n_ended, n);
}

/* ---- what went ---- */

static const char *what_went(enum store_prune_level level)
{
    switch (level) {
    case STORE_PRUNE_READINGS: return "readings";
    case STORE_PRUNE_FINE: return "fine summaries";
    case STORE_PRUNE_REST: return "other records";
    case STORE_PRUNE_RUN: return "run";
    default: return "?";
    }
}

static void log_note(
    const struct barod *barod, const struct room_note *note, const struct run *run)
{
    char size[32];
    char quota[32];
    char why[64] = "as asked";
    const struct store_prune_item *item = &note->item;
    if (!note->is_asked) {
        (void)snprintf(why, sizeof why, "to keep within the quota of %s",
            baro_format_bytes(barod->options->quota_bytes, quota, sizeof quota));
    }
    (void)baro_format_bytes(item->bytes, size, sizeof size);
    log_info("run %" PRIu32 " '%s/%s' gave up its oldest %s, %s: %" PRIu64
             " record%s, %s%s",
        item->run, run != NULL ? run->description->project : "",
        run != NULL ? run->description->name : "", what_went(item->level), why,
        item->n_rows, item->n_rows == 1 ? "" : "s", size,
        item->level == STORE_PRUNE_READINGS ? "; their summaries stay" : "");
}

void upkeep_take_notes(struct barod *barod)
{
    baro_autofree struct room_note *notes = NULL;
    size_t n = room_take(barod->room, &notes);
    for (size_t i = 0; i < n; i++) {
        const struct store_prune_item *item = &notes[i].item;
        struct run *run = registry_run(&barod->registry, item->run);
        count(&barod->counters, COUNT_PRUNED_BYTES, item->bytes);
        if (item->level == STORE_PRUNE_RUN) {
            continue;
        }
        log_note(barod, &notes[i], run);
        count(&barod->counters, COUNT_PRUNED, item->n_rows);
        if (run != NULL && !run->is_pruned) {
            run->is_pruned = true;
            registry_touch_run(run);
            barod_open_bundle(barod);
        }
    }
}

/* ---- asked to prune ---- */

struct prune {
    struct job job;
    struct room *room;
    struct store_prune what;
    uint32_t *runs;
    size_t n_runs;
    size_t n_ended; /* the first so many of runs */
    char **whys;    /* of each of runs */
    bool is_named;  /* the request named runs */
    size_t n_packed;
    bool has_begun;
    bool is_past_ended;
    struct store_prune_item *items;
    size_t n_items;
    uint64_t bytes_before;
};

static void prune_destroy(struct job *job)
{
    struct prune *prune = (struct prune *)job;
    for (size_t i = 0; i < prune->n_runs; i++) {
        free(prune->whys[i]);
    }
    free(prune->whys);
    free(prune->runs);
    free(prune->items);
    free(prune);
}

/* Add what went to what went already. */
static void add_item(struct prune *prune, const struct store_prune_item *item)
{
    for (size_t i = 0; i < prune->n_items; i++) {
        struct store_prune_item *known = &prune->items[i];
        if (known->run == item->run && known->level == item->level) {
            known->n_rows += item->n_rows;
            known->bytes += item->bytes;
            return;
        }
    }
    prune->items = baro_xrealloc(prune->items, prune->n_items + 1, sizeof *prune->items);
    prune->items[prune->n_items++] = *item;
}

static int on_dry_item(const struct store_prune_item *item, void *payload)
{
    add_item(payload, item);
    return 0;
}

static int on_item(const struct store_prune_item *item, void *payload)
{
    struct prune *prune = payload;
    add_item(prune, item);
    room_note(prune->room, item, true);
    prune->job.goes_on = true;
    return 1;
}

static void reply_pruned(struct prune *prune, struct store *store, bool is_short)
{
    size_t n = prune->n_items;
    baro_autofree Baro__PruneItem *items = baro_xcalloc(n + 1, sizeof *items);
    baro_autofree Baro__PruneItem **pointers =
        baro_xcalloc(n + 1, sizeof(Baro__PruneItem *));
    baro_autofree char(*reasons)[320] = baro_xcalloc(n + 1, sizeof *reasons);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const struct store_prune_item *item = &prune->items[i];
        const char *why = "";
        for (size_t k = 0; k < prune->n_runs; k++) {
            why = prune->runs[k] == item->run ? prune->whys[k] : why;
        }
        static const char *const stays[] = {
            [STORE_PRUNE_READINGS] = "summaries of them stay",
            [STORE_PRUNE_FINE] = "the coarsest summaries stay",
            [STORE_PRUNE_REST] = "alerts and what describes the run stay",
            [STORE_PRUNE_RUN] = "nothing of its own stays",
        };
        (void)snprintf(reasons[i], sizeof reasons[i], "%s; %s", why, stays[item->level]);
        baro__prune_item__init(&items[i]);
        items[i].run = item->run;
        items[i].what = (char *)(uintptr_t)what_went(item->level);
        items[i].n_rows = item->n_rows;
        items[i].bytes = item->bytes;
        items[i].reason = reasons[i];
        pointers[i] = &items[i];
        bytes += item->bytes;
    }
    Baro__PruneReply reply;
    baro__prune_reply__init(&reply);
    reply.n_items = n;
    reply.items = pointers;
    reply.bytes_before = prune->bytes_before;
    reply.bytes_after =
        prune->what.is_dry_run
            ? prune->bytes_before - (bytes < prune->bytes_before ? bytes : 0)
            : store_used_bytes(store);
    reply.file_bytes = store_bytes(store);
    reply.is_short = is_short;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_PRUNE_REPLY;
    envelope.prune_reply = &reply;
    query_reply(&prune->job, &envelope);
}

/* Prune runs that ended, then, if that is not enough, those that did not. */
static int prune_both(struct prune *prune, struct store *store, store_prune_fn fn)
{
    int rc = 1;
    if (!prune->is_past_ended) {
        prune->what.runs = prune->runs;
        prune->what.n_runs = prune->n_ended;
        rc = prune->n_ended > 0 || prune->what.level == STORE_PRUNE_RUN
                 ? store_prune(store, &prune->what, fn, prune, &prune->job.err)
                 : 1;
        if (rc < 0 || prune->job.goes_on) {
            return rc;
        }
    }
    bool is_by_size = prune->what.to_bytes != UINT64_MAX;
    if ((is_by_size && rc == 0) || prune->n_ended == prune->n_runs) {
        return is_by_size ? rc : 0;
    }
    prune->is_past_ended = true;
    struct store_prune what = prune->what;
    what.runs = prune->runs + prune->n_ended;
    what.n_runs = prune->n_runs - prune->n_ended;
    if (what.is_dry_run && is_by_size) { /* what the others would give is gone then */
        uint64_t bytes = 0;
        for (size_t i = 0; i < prune->n_items; i++) {
            bytes += prune->items[i].bytes;
        }
        what.to_bytes += bytes;
    }
    rc = store_prune(store, &what, fn, prune, &prune->job.err);
    return is_by_size || rc < 0 ? rc : 0;
}

/* Pack what the runs have left in their tails, which nothing may go from; true when there is more
 * to do, after commits that wait. */
static bool pack_tails(struct prune *prune, struct store *store)
{
    size_t n = prune->is_named ? prune->n_runs : prune->n_ended;
    while (prune->n_packed < n) {
        if (store_seal_run(store, prune->runs[prune->n_packed], NULL) > 0) {
            prune->job.goes_on = true;
            return true;
        }
        prune->n_packed++;
    }
    return false;
}

static void prune_work(struct job *job, struct store *store)
{
    struct prune *prune = (struct prune *)job;
    if (!prune->has_begun && pack_tails(prune, store)) {
        return;
    }
    if (!prune->has_begun) {
        prune->has_begun = true;
        prune->bytes_before = store_used_bytes(store);
    }
    int rc = prune_both(prune, store, prune->what.is_dry_run ? on_dry_item : on_item);
    if (job->goes_on) {
        return;
    }
    if (rc >= 0 && !prune->what.is_dry_run && prune->n_items > 0) {
        struct baro_err err = {0};
        if (room_compact(prune->room, UINT64_MAX, &err) < 0) {
            log_warn("the store's file keeps its size for now: %s", err.text);
        }
    }
    if (rc >= 0) {
        reply_pruned(prune, store, rc > 0);
    }
}

/* Find the runs that a request names; all when it names none. Returns how many, or a code. */
static int find_runs(const struct barod *barod, const Baro__PruneRequest *request,
    struct run **out_runs, struct baro_err *err)
{
    const struct registry *registry = &barod->registry;
    if (request->n_runs == 0) {
        if (registry->n_runs > 0) {
            memcpy(out_runs, registry->runs, registry->n_runs * sizeof(struct run *));
        }
        return (int)registry->n_runs;
    }
    int n = 0;
    for (size_t i = 0; i < request->n_runs; i++) {
        struct run *run = registry_run(registry, request->runs[i]);
        bool is_known = false;
        for (int k = 0; k < n; k++) {
            is_known = is_known || out_runs[k] == run;
        }
        if (run == NULL) {
            return baro_err_set(
                err, BARO_ENOENT, "there is no run %" PRIu32 " here", request->runs[i]);
        }
        if (!is_known) {
            out_runs[n++] = run;
        }
    }
    return n;
}

/* A run that branched from one and is not among some; NULL when there is none. */
static const struct run *other_branch(
    const struct barod *barod, const struct run *parent, struct run *const *runs, int n)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        const struct run *run = barod->registry.runs[i];
        bool is_named = false;
        for (int k = 0; k < n; k++) {
            is_named = is_named || runs[k] == run;
        }
        if (run->parent == parent && !is_named) {
            return run;
        }
    }
    return NULL;
}

static bool is_in_bundle(const struct barod *barod, uint32_t run)
{
    return bundle_has_run(&barod->bundles[0], run) ||
           bundle_has_run(&barod->bundles[1], run);
}

/* Whether runs may be removed whole. */
static int check_removal(
    const struct barod *barod, struct run *const *runs, int n, struct baro_err *err)
{
    for (int i = 0; i < n; i++) {
        const struct run *run = runs[i];
        bool is_read = false;
        for (uint32_t k = 0; k < run->n_streams; k++) {
            is_read = is_read || run->streams[k]->reader != NULL;
        }
        if (!turns_has_ended(run) || is_read) {
            return baro_err_set(err, BARO_EBUSY,
                "run '%s' has not ended; only a run that has can be removed whole",
                run->description->run_id);
        }
        if (committer_is_in_trouble(barod->committer) && is_in_bundle(barod, run->number)) {
            return baro_err_set(err, BARO_EBUSY,
                "run '%s' has records that wait for room; remove another run first",
                run->description->run_id);
        }
        const struct run *branch = other_branch(barod, run, runs, n);
        if (branch != NULL) {
            return baro_err_set(err, BARO_EBUSY,
                "run '%s' branched from '%s' and shows its first steps; remove both or "
                "neither",
                branch->description->run_id, run->description->run_id);
        }
    }
    return 0;
}

/* Forget a run. */
static void remove_run(struct barod *barod, struct run *run)
{
    log_info("run %" PRIu32 " '%s/%s' (%s) is removed, as asked", run->number,
        run->description->project, run->description->name, run->description->run_id);
    if (run->parent != NULL) {
        barod_open_bundle(barod); /* it is as it was before */
    }
    registry_remove_run(&barod->registry, run);
    count(&barod->counters, COUNT_REMOVED_RUNS, 1);
}

static int check_prune(const Baro__PruneRequest *request, struct baro_err *err)
{
    if (request->n_runs == 0 && (request->is_all || request->to_bytes == 0)) {
        return baro_err_set(
            err, BARO_EINVAL, "nothing to prune: name runs, or a size to prune to");
    }
    if (request->is_all && request->to_bytes > 0) {
        return baro_err_set(
            err, BARO_EINVAL, "runs that go whole go whatever size is left");
    }
    return 0;
}

struct job *upkeep_prune_job(
    struct barod *barod, const Baro__PruneRequest *request, struct baro_err *err)
{
    if (check_prune(request, err) != 0) {
        return NULL;
    }
    size_t room = barod->registry.n_runs;
    room = request->n_runs > room ? request->n_runs : room;
    baro_autofree struct run **runs = baro_xcalloc(room + 1, sizeof(struct run *));
    int n = find_runs(barod, request, runs, err);
    if (n < 0 || (request->is_all && check_removal(barod, runs, n, err) != 0)) {
        return NULL;
    }
    struct prune *prune = baro_xcalloc(1, sizeof *prune);
    prune->job = (struct job){.work = prune_work, .destroy = prune_destroy};
    prune->room = barod->room;
    prune->is_named = request->n_runs > 0;
    prune->n_ended = turns_sort(&barod->registry, runs, (size_t)n);
    prune->n_runs = (size_t)n;
    prune->runs = numbers_of(runs, (size_t)n);
    prune->whys = baro_xcalloc((size_t)n + 1, sizeof(char *));
    for (int i = 0; i < n; i++) {
        prune->whys[i] =
            turns_reason(&barod->registry, runs[i], request->n_runs > 0, request->is_all);
    }
    prune->what = (struct store_prune){
        .is_dry_run = request->is_dry_run,
        .to_bytes = request->to_bytes > 0 ? request->to_bytes : UINT64_MAX,
        .level = request->is_all         ? STORE_PRUNE_RUN
                 : request->to_bytes > 0 ? STORE_PRUNE_REST
                                         : STORE_PRUNE_READINGS,
        .last_kinds = room_last_kinds,
    };
    for (int i = 0; request->is_all && !request->is_dry_run && i < n; i++) {
        remove_run(barod, runs[i]);
    }
    return &prune->job;
}

void upkeep_submit(struct barod *barod, struct job *job)
{
    struct job **last = &barod->upkeep->waiting;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = job;
    job->next = NULL;
    upkeep_release(barod);
}

bool upkeep_is_waiting(const struct barod *barod)
{
    return barod->upkeep->waiting != NULL;
}

/* Whether the store thread may do a job before what is not committed yet. */
static bool may_begin(const struct barod *barod, const struct job *job)
{
    const struct prune *prune = (const struct prune *)job;
    if (prune->what.level != STORE_PRUNE_RUN) {
        return barod->open_since_ns == 0 || committer_is_in_trouble(barod->committer);
    }
    bool is_held = false;
    for (size_t i = 0; i < prune->n_runs && !is_held; i++) {
        is_held = is_in_bundle(barod, prune->runs[i]);
    }
    return !is_held;
}

void upkeep_release(struct barod *barod)
{
    while (barod->upkeep->waiting != NULL && may_begin(barod, barod->upkeep->waiting)) {
        struct job *job = barod->upkeep->waiting;
        barod->upkeep->waiting = job->next;
        committer_submit(barod->committer, job);
    }
}
