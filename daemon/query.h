/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that need the store are answered by a few worker threads, so that ingest never waits
 * for a disk. A job carries all it needs; the ingest thread sends what comes back. What is
 * answered bit by bit is a task (daemon/tasks.h): its findings come back as jobs, too.
 */
#ifndef BAROD_QUERY_H
#define BAROD_QUERY_H

#include "daemon/outbox.h"
#include "daemon/store/store.h"

struct query_pool;
struct job;

/* Do a job: fill its reply or its error. Worker thread. */
typedef void (*job_work_fn)(struct job *job, struct store *store);

/* One question and its answer. Begins a larger struct that holds the inputs. */
struct job {
    job_work_fn work;
    void (*destroy)(struct job *job); /* frees the inputs and the job itself */
    struct peer peer;
    uint64_t request;
    uint8_t *packed; /* the reply's envelope, malloc'd; NULL: refused */
    size_t n_packed;
    struct frame *frames; /* malloc'd; their bytes, too */
    size_t n_frames;
    struct baro_err err; /* why it was refused */
    bool goes_on;        /* store thread: call work again */
    uint64_t task;       /* the task that it is a finding of; 0: none */
    struct job *next;    /* in a queue */
};

/** Start the workers; NULL and err when no thread can be had. store: borrowed. */
struct query_pool *query_start(
    struct store *store, unsigned n_workers, struct baro_err *err);

/** Give a descriptor that becomes readable when a job is done. */
int query_fd(const struct query_pool *pool);

/**
 * Hand a job over.
 *
 * job      taken over on success
 * returns  0; BARO_EBUSY when too many wait
 */
int query_submit(struct query_pool *pool, struct job *job);

/** Hand over a job that is done already: it is taken as if a worker had done it. Any thread. */
void query_post(struct query_pool *pool, struct job *job);

/** Take a job that is done; NULL when there is none. End it with query_end. */
struct job *query_take(struct query_pool *pool);

/** Free a job with what is left of its reply. */
void query_end(struct job *job);

/** Put a reply into a job: packs the envelope. Worker thread. */
void query_reply(struct job *job, Baro__Envelope *envelope);

/** End the workers, dropping what waits; frees the pool. Accepts NULL. */
void query_stop(struct query_pool *pool);

#endif
