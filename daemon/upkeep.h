/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upkeep of the store, the ingest thread's side: requests to prune and to verify, what the
 * store thread pruned by itself at the quota (room.h), and damage that was met: both are logged
 * and marked on the runs here.
 */
#ifndef BAROD_UPKEEP_H
#define BAROD_UPKEEP_H

#include "daemon/barod.h"

struct upkeep;
struct job;

/** Create; never NULL. */
struct upkeep *upkeep_create(void);

/** Release; accepts NULL. */
void upkeep_destroy(struct upkeep *upkeep);

/** Tell the store thread anew which runs may give way; at the start and now and then. */
void upkeep_plan(struct barod *barod);

/** Log, count and mark what was pruned since the last call. */
void upkeep_take_notes(struct barod *barod);

/**
 * Take a request to prune: check it, and forget the runs that it removes.
 *
 * returns  a job for the store thread; NULL and err when it is refused
 */
struct job *upkeep_prune_job(
    struct barod *barod, const Baro__PruneRequest *request, struct baro_err *err);

/**
 * Hand a prune job to the store thread, behind all that was taken before it.
 *
 * job      taken over
 */
void upkeep_submit(struct barod *barod, struct job *job);

/** Tell whether a job waits for the open bundle to be handed over, which is then due at once. */
bool upkeep_is_waiting(const struct barod *barod);

/** Hand over the jobs that waited, once the open bundle is empty. */
void upkeep_release(struct barod *barod);

/**
 * Make a job that checks one part of the store, or of one series with all that its run inherited;
 * upkeep_verify.c.
 *
 * returns  NULL and err when the cursor is none of ours, or there is no such series
 */
struct job *upkeep_verify_job(
    const struct barod *barod, const Baro__VerifyRequest *request, struct baro_err *err);

/** Log damage that was met since the last call, and mark its runs. */
void upkeep_take_damage(struct barod *barod);

#endif
