/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/room.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"

#define LOG_MODULE "store"

/*
 * The file can never pass the quota: the map that LMDB has is no larger. So that commits do not
 * meet that wall, room is made before: when less than 1/32 of the quota is left for commits,
 * readings go until twice as much is. They go from the run that was active longest ago; runs that
 * have not ended are last, and lose their oldest readings. Free pages can lie so scattered that a
 * commit finds no place for a chunk although there are enough of them; then more goes, and when
 * nothing may, the file is written anew, which brings the free pages together.
 *
 * Pruning stops after each transaction when it is asked to, so that a commit waits for one of
 * them at most.
 */

static const uint64_t min_low_bytes = UINT64_C(64) << 10;
static const uint64_t max_low_bytes = UINT64_C(64) << 20;
static const uint64_t min_free_bytes = UINT64_C(64) << 10; /* worth a compaction */

const uint64_t room_last_kinds =
    UINT64_C(1) << READING_BATCH | UINT64_C(1) << READING_EVENT |
    UINT64_C(1) << READING_STATUS | UINT64_C(1) << READING_DROPS |
    UINT64_C(1) << READING_SAMPLES | UINT64_C(1) << READING_FAILURE |
    UINT64_C(1) << READING_RANK;

struct room {
    struct store *store;
    uint64_t quota_bytes;
    uint64_t low_bytes; /* room that commits shall have at least */
    bool is_spent;      /* store thread: nothing may go, as of the plan's number */
    uint64_t spent_number;
    pthread_mutex_t lock; /* guards all below */
    uint32_t *runs;
    size_t n_ended;
    size_t n_runs;
    uint64_t plan_number;
    struct room_note *notes;
    size_t n_notes;
};

struct room *room_create(struct store *store, uint64_t quota_bytes)
{
    struct room *room = baro_xcalloc(1, sizeof *room);
    room->store = store;
    room->quota_bytes = quota_bytes;
    uint64_t low = quota_bytes / 32;
    low = low > max_low_bytes ? max_low_bytes : low;
    room->low_bytes = low < min_low_bytes ? min_low_bytes : low;
    (void)pthread_mutex_init(&room->lock, NULL);
    return room;
}

void room_destroy(struct room *room)
{
    if (room != NULL) {
        (void)pthread_mutex_destroy(&room->lock);
        free(room->runs);
        free(room->notes);
        free(room);
    }
}

void room_plan(struct room *room, uint32_t *runs, size_t n_ended, size_t n_runs)
{
    (void)pthread_mutex_lock(&room->lock);
    free(room->runs);
    room->runs = runs;
    room->n_ended = n_ended;
    room->n_runs = n_runs;
    room->plan_number++;
    (void)pthread_mutex_unlock(&room->lock);
}

void room_note(struct room *room, const struct store_prune_item *item, bool is_asked)
{
    (void)pthread_mutex_lock(&room->lock);
    struct room_note *last = room->n_notes > 0 ? &room->notes[room->n_notes - 1] : NULL;
    if (last != NULL && last->item.run == item->run && last->item.level == item->level &&
        last->is_asked == is_asked) {
        last->item.n_rows += item->n_rows;
        last->item.bytes += item->bytes;
    } else {
        room->notes = baro_xrealloc(room->notes, room->n_notes + 1, sizeof *room->notes);
        room->notes[room->n_notes++] = (struct room_note){*item, is_asked};
    }
    (void)pthread_mutex_unlock(&room->lock);
}

size_t room_take(struct room *room, struct room_note **out_notes)
{
    (void)pthread_mutex_lock(&room->lock);
    *out_notes = BARO_TAKE(room->notes);
    size_t n = room->n_notes;
    room->n_notes = 0;
    (void)pthread_mutex_unlock(&room->lock);
    return n;
}

static uint64_t bytes_left(struct room *room)
{
    uint64_t limit = store_limit_bytes(room->store);
    uint64_t used = store_used_bytes(room->store);
    return used < limit ? limit - used : 0;
}

bool room_is_short(struct room *room)
{
    if (room->quota_bytes == 0) {
        return false;
    }
    (void)pthread_mutex_lock(&room->lock);
    bool is_known = room->is_spent && room->spent_number == room->plan_number;
    (void)pthread_mutex_unlock(&room->lock);
    return !is_known && bytes_left(room) < room->low_bytes;
}

/* What one pass of pruning works with. */
struct pass {
    struct room *room;
    bool is_some; /* something went */
};

static int on_item(const struct store_prune_item *item, void *payload)
{
    struct pass *pass = payload;
    pass->is_some = true;
    room_note(pass->room, item, false);
    return 1; /* one transaction is enough for now */
}

/* Let one transaction's worth go, of runs that ended if there is any; 1, 0 or a code. */
static int prune_some(struct room *room, uint64_t to_bytes, struct baro_err *err)
{
    (void)pthread_mutex_lock(&room->lock);
    size_t n_ended = room->n_ended;
    size_t n_runs = room->n_runs;
    uint64_t number = room->plan_number;
    baro_autofree uint32_t *runs = baro_xcalloc(n_runs + 1, sizeof *runs);
    if (n_runs > 0) {
        memcpy(runs, room->runs, n_runs * sizeof *runs);
    }
    (void)pthread_mutex_unlock(&room->lock);
    struct pass pass = {.room = room};
    struct store_prune what = {
        .to_bytes = to_bytes,
        .runs = runs,
        .n_runs = n_ended,
        .level = STORE_PRUNE_REST,
        .last_kinds = room_last_kinds,
    };
    int rc = store_prune(room->store, &what, on_item, &pass, err);
    if (rc >= 0 && !pass.is_some) {
        what.runs = runs + n_ended;
        what.n_runs = n_runs - n_ended;
        rc = store_prune(room->store, &what, on_item, &pass, err);
    }
    room->is_spent = rc >= 0 && !pass.is_some;
    room->spent_number = number;
    return rc < 0 ? rc : pass.is_some ? 1 : 0;
}

/* Whether it is the quota that keeps the store from growing, not the disk. */
static bool is_at_quota(struct room *room)
{
    uint64_t limit = store_limit_bytes(room->store);
    return room->quota_bytes > 0 &&
           (store_is_map_full(room->store) ||
               store_bytes(room->store) + limit / 8 + min_free_bytes >= limit);
}

int room_make(struct room *room, bool is_stuck, struct baro_err *err)
{
    if (!is_at_quota(room)) {
        return 0;
    }
    uint64_t limit = store_limit_bytes(room->store);
    uint64_t used = store_used_bytes(room->store);
    uint64_t goal = limit > 2 * room->low_bytes ? limit - 2 * room->low_bytes : 0;
    if (is_stuck && used <= goal) {
        goal = used > room->low_bytes ? used - room->low_bytes : 0;
    }
    int rc = prune_some(room, goal, err);
    if (rc == BARO_EFULL && store_is_map_full(room->store)) {
        rc = 0; /* not even the little that pruning writes has room */
    }
    if (rc == 0 && is_stuck && store_free_bytes(room->store) > limit / 16) {
        rc = store_compact(room->store, err);
        return rc == 0 ? 1 : rc;
    }
    if (rc == 0) {
        char quota[32];
        (void)baro_err_set(err, BARO_EFULL,
            "the quota of %s is reached and nothing may give way any more; raise --quota, or "
            "remove runs with 'baro prune RUN --all', and it goes on by itself",
            baro_format_bytes(room->quota_bytes, quota, sizeof quota));
    }
    return rc;
}

void room_begin(struct room *room)
{
    uint64_t before = store_bytes(room->store);
    if (room->quota_bytes == 0 || before <= room->quota_bytes) {
        return;
    }
    struct baro_err err = {0};
    int rc = 1;
    uint64_t limit = store_limit_bytes(room->store);
    while (rc > 0 && store_used_bytes(room->store) + room->low_bytes > limit) {
        rc = prune_some(
            room, limit > 2 * room->low_bytes ? limit - 2 * room->low_bytes : 0, &err);
    }
    rc = rc < 0 ? rc : store_compact(room->store, &err);
    uint64_t after = store_bytes(room->store);
    if (rc < 0 || after > room->quota_bytes) {
        log_error("the store has %" PRIu64 " bytes, more than the quota of %" PRIu64
                  "%s%s; it takes no readings until there is room",
            after, room->quota_bytes, rc < 0 ? ": " : "", rc < 0 ? err.text : "");
        return;
    }
    log_info("the store was larger than its quota: %" PRIu64 " bytes became %" PRIu64,
        before, after);
}

int room_compact(struct room *room, uint64_t max_bytes, struct baro_err *err)
{
    uint64_t file = store_bytes(room->store);
    uint64_t free_bytes = store_free_bytes(room->store);
    if (free_bytes < min_free_bytes || free_bytes < file / 8 ||
        store_used_bytes(room->store) > max_bytes) {
        return 0;
    }
    int rc = store_compact(room->store, err);
    if (rc != 0) {
        return rc;
    }
    log_info("the store's file was written anew: %" PRIu64 " bytes became %" PRIu64, file,
        store_bytes(room->store));
    return 1;
}
