/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store thread: the only writer of the store. It commits one bundle after the other, makes
 * room at the quota, tries again by itself while the disk is full, and between commits does the
 * store's background work and jobs that only the writer may do.
 */
#ifndef BAROD_COMMITTER_H
#define BAROD_COMMITTER_H

#include "daemon/bundle.h"
#include "daemon/query.h"

struct committer;
struct room;

/* How the last bundle went. */
struct committer_result {
    struct bundle *bundle; /* given back to the ingest thread */
    int code;              /* 0; else the store refused it for good, or it was given up */
    uint64_t ns;           /* time the commit took */
};

/**
 * Start the thread.
 *
 * store, room  borrowed until committer_stop
 * returns      NULL and err when no thread can be had
 */
struct committer *committer_start(
    struct store *store, struct room *room, struct baro_err *err);

/** Give a descriptor that becomes readable when a bundle is done. */
int committer_fd(const struct committer *committer);

/** Tell whether no bundle is under way, so that one may be given. Ingest thread. */
bool committer_is_idle(const struct committer *committer);

/** Hand a bundle over; the committer must be idle. Ingest thread. */
void committer_give(struct committer *committer, struct bundle *bundle);

/** Take the bundle that is done; false when none is. Ingest thread. */
bool committer_take(struct committer *committer, struct committer_result *out_result);

/**
 * Hand a job over that only the writer may do; it is done after what was given before. Its work
 * is called again, with commits in between, for as long as it sets job->goes_on.
 *
 * job      taken over
 */
void committer_submit(struct committer *committer, struct job *job);

/** Take a job that is done; NULL when there is none. End it with query_end. Ingest thread. */
struct job *committer_take_job(struct committer *committer);

/** Copy what keeps the store from committing; "" when nothing does. Any thread. */
void committer_trouble(struct committer *committer, char *out, size_t out_bytes);

/** Tell whether a commit is being tried again and again; jobs are done meanwhile. */
bool committer_is_in_trouble(struct committer *committer);

/**
 * End the thread: what is under way is committed, or given up when the store cannot take it.
 *
 * Frees the committer; accepts NULL.
 */
void committer_stop(struct committer *committer);

#endif
