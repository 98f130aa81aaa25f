/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room in the store: what the store thread does so that the quota holds and ingest goes on. The
 * ingest thread says which runs may give way; what went is told back, so that it can be logged,
 * counted and marked on the runs.
 */
#ifndef BAROD_ROOM_H
#define BAROD_ROOM_H

#include "daemon/store/store.h"

struct room;

/* Something that was pruned. */
struct room_note {
    struct store_prune_item item;
    bool is_asked; /* by a person; else the quota wanted it */
};

/* Rows that no summary can stand for: which samples were in a batch, what was said and when. */
extern const uint64_t room_last_kinds; /* bit k: kind k */

/** Create; never NULL. store: borrowed; quota_bytes: 0 for none. */
struct room *room_create(struct store *store, uint64_t quota_bytes);

/** Release; accepts NULL. */
void room_destroy(struct room *room);

/**
 * Say which runs may give way, the first at first: those that ended by their last activity, then
 * those that did not.
 *
 * runs     malloc'd, taken over
 * thread   any
 */
void room_plan(struct room *room, uint32_t *runs, size_t n_ended, size_t n_runs);

/** Keep what pruning says of one thing that went, for room_take. Store thread. */
void room_note(struct room *room, const struct store_prune_item *item, bool is_asked);

/** Take what went since the last call; *out_notes is the caller's to free. Any thread. */
size_t room_take(struct room *room, struct room_note **out_notes);

/** Bring a store that is larger than its quota down to it; store thread, at its start. */
void room_begin(struct room *room);

/** Tell whether the quota is so near that it is time for room_make. Store thread. */
bool room_is_short(struct room *room);

/**
 * Let some of the oldest readings go, as room_plan says.
 *
 * is_stuck  a commit found no room, whatever the figures say
 * returns   1 when there is more room now; 0 when nothing may go, with a sentence in err, or when
 *           the quota is not what keeps the store from growing; a negative code
 * thread    the store thread, with no transaction open
 */
int room_make(struct room *room, bool is_stuck, struct baro_err *err);

/**
 * Write the store anew when much of its file is free.
 *
 * max_bytes  not when more than this is in use: it would take too long
 * returns    1 when it did; 0 when it is not worth it; a negative code
 * thread     the store thread
 */
int room_compact(struct room *room, uint64_t max_bytes, struct baro_err *err);

#endif
