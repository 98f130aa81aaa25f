/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store thread: the only writer of the store. It commits one bundle after the other, tries
 * again by itself while the disk is full, and seals tails when there is nothing to commit.
 */
#ifndef BAROD_COMMITTER_H
#define BAROD_COMMITTER_H

#include "daemon/bundle.h"

struct committer;

/* How the last bundle went. */
struct committer_result {
    struct bundle *bundle; /* given back to the ingest thread */
    int code;              /* 0; else the store refused it for good, or it was given up */
    uint64_t ns;           /* time the commit took */
};

/**
 * Start the thread.
 *
 * store    borrowed until committer_stop
 * returns  NULL and err when no thread can be had
 */
struct committer *committer_start(struct store *store, struct baro_err *err);

/** Give a descriptor that becomes readable when a bundle is done. */
int committer_fd(const struct committer *committer);

/** Tell whether no bundle is under way, so that one may be given. Ingest thread. */
bool committer_is_idle(const struct committer *committer);

/** Hand a bundle over; the committer must be idle. Ingest thread. */
void committer_give(struct committer *committer, struct bundle *bundle);

/** Take the bundle that is done; false when none is. Ingest thread. */
bool committer_take(struct committer *committer, struct committer_result *out_result);

/** Copy what keeps the store from committing; "" when nothing does. Any thread. */
void committer_trouble(struct committer *committer, char *out, size_t out_bytes);

/**
 * End the thread: what is under way is committed, or given up when the store cannot take it.
 *
 * Frees the committer; accepts NULL.
 */
void committer_stop(struct committer *committer);

#endif
