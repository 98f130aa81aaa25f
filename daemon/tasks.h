/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that are answered bit by bit: a task works in short steps, tells findings as it goes,
 * and may go on as long as its asker listens. One thread of its own does the steps, so that plain
 * questions (daemon/query.h) never wait behind them. Memory is bounded by the numbers below.
 */
#ifndef BAROD_TASKS_H
#define BAROD_TASKS_H

#include "daemon/query.h"

struct access;
struct tasks;
struct task;

enum {
    TASKS_MOST = 32,       /* at a time, of all askers */
    TASKS_MOST_A_PEER = 8, /* of one asker */
    TASKS_MOST_MIB = 1024  /* of memory that all of them say they may take */
};

/* What a step came to. */
enum task_state {
    TASK_BUSY,  /* there is more to do at once */
    TASK_WAITS, /* until news or wake_ns */
    TASK_OVER   /* it ends */
};

/* What a step may know of the world. Findings depend on none of it, only when they are told. */
struct task_call {
    struct store *store;
    uint64_t now_ns;
    bool has_news;  /* rows were committed since the last step that was given this */
    bool may_tell;  /* its asker has taken what was told before */
    bool must_tell; /* what was told last did not reach it: tell again, and all of it */
};

/* Do some milliseconds of work at most. */
typedef enum task_state (*task_step_fn)(struct task *task, const struct task_call *call);

/* One question and what is known of it. Begins a larger struct, which belongs to the thread of
 * the tasks once submitted. */
struct task {
    task_step_fn step;
    void (*destroy)(struct task *task);
    struct peer peer;
    uint64_t request;
    size_t n_bytes;         /* of memory that it may take at most */
    uint64_t wake_ns;       /* TASK_WAITS: step at the latest then; 0: with news only */
    uint64_t not_before_ns; /* TASK_WAITS: with news, but not before then */
    uint64_t cpu_ns;        /* that its steps took */
    bool is_paced;          /* its asker says what it has taken: tasks_on_taken */

    /* tasks.c's own. */
    struct tasks *tasks;
    uint64_t id; /* rises from 1: the order in which they were asked */
    struct outbox_flow *flow;
    enum task_state state;
    uint64_t turn;      /* when it was last chosen; 0: never */
    uint64_t sent_ns;   /* when its asker was last heard to be there */
    uint32_t n_posted;  /* findings that the ingest thread has not taken yet */
    uint32_t n_untaken; /* is_paced: findings that have not come */
    bool has_news;
    bool is_lost;   /* a finding was */
    bool is_last;   /* what was told last is the end */
    bool is_ending; /* to be destroyed */
    struct task *next;
};

/**
 * Start the thread.
 *
 * store, pool  borrowed; findings come out of pool as jobs
 * returns      NULL and err when no thread can be had
 */
struct tasks *tasks_start(
    struct store *store, struct query_pool *pool, struct baro_err *err);

/**
 * Hand a task over.
 *
 * task     taken over on success
 * returns  0; BARO_EBUSY with a sentence when there are too many
 * thread   ingest; as all below, but for task_tell
 */
int tasks_submit(struct tasks *tasks, struct task *task, struct baro_err *err);

/** End the task that answers a request of a peer, if there is one. */
void tasks_cancel(struct tasks *tasks, const struct peer *peer, uint64_t request);

/** Note that a finding has come to the peer that asked for it. */
void tasks_on_taken(struct tasks *tasks, const struct peer *peer, uint64_t request);

/** Tell all tasks that rows were committed. */
void tasks_on_commit(struct tasks *tasks);

/** Note how sending a finding went; rc: the outbox's. A peer that is gone loses its tasks. */
void tasks_on_sent(struct tasks *tasks, const struct job *finding, int rc);

/**
 * Find out which askers that nothing was sent to for some seconds are still there, by an
 * envelope without a body, and end the tasks of the others.
 */
void tasks_probe(struct tasks *tasks, void *socket, uint64_t now_ns);

/** End the tasks of peers that may not view any more. */
void tasks_review(struct tasks *tasks, const struct access *access);

/** Tell how many tasks have ended since the start. */
uint64_t tasks_n_ended(const struct tasks *tasks);

/** End the thread and all tasks. Accepts NULL. */
void tasks_stop(struct tasks *tasks);

/**
 * Tell a finding, from within a step that may_tell.
 *
 * envelope  packed here
 * frames    malloc'd, their bytes, too; both taken over
 * is_last   the task is over once this has been sent; until then it waits
 */
void task_tell(struct task *task, Baro__Envelope *envelope, struct frame *frames,
    size_t n_frames, bool is_last);

/** Refuse: the last word of a task, from within a step that then gives TASK_OVER. */
void task_refuse(struct task *task, const struct baro_err *err);

#endif
