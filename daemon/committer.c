/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/committer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/room.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "store"

enum {
    RETRY_MS = 1000,
    TELL_AGAIN_MS = 60000, /* of a trouble that lasts */
    TICK_MS = 10000,
    SETTLE_MS = 1000,
    SETTLE_TICKS = 3,
    SETTLE_MAX_BYTES = 1 << 30 /* in use: writing that anew takes a second or two */
};

struct committer {
    struct store *store;
    struct room *room;
    int event_fd;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    struct bundle *given; /* under way or waiting; NULL: idle */
    bool is_done;         /* given is done and waits to be taken */
    bool is_stopping;
    int code;
    uint64_t ns;
    char trouble[256];
    struct job *jobs; /* waiting, the first at first; that at work is still there */
    struct job *done; /* the last at first */
};

static void set_trouble(struct committer *committer, const char *text)
{
    pthread_mutex_lock(&committer->lock);
    (void)snprintf(committer->trouble, sizeof committer->trouble, "%s", text);
    pthread_mutex_unlock(&committer->lock);
}

static void notify(struct committer *committer)
{
    (void)eventfd_write(committer->event_fd, 1);
}

/* Wait a while before the next try, or until there is a job; true when the thread is to stop. */
static bool wait_or_stop(struct committer *committer)
{
    struct timespec until;
    (void)clock_gettime(
        CLOCK_MONOTONIC, &until); /* a wall clock may be set back by hours */
    until.tv_sec += RETRY_MS / 1000;
    pthread_mutex_lock(&committer->lock);
    int rc = 0;
    while (!committer->is_stopping && committer->jobs == NULL && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&committer->wake, &committer->lock, &until);
    }
    bool is_stopping = committer->is_stopping;
    pthread_mutex_unlock(&committer->lock);
    return is_stopping;
}

/* Make room after a commit that found none: pack rows, else let the oldest go. True when it is
 * worth another try at once. */
static bool make_room(struct committer *committer, struct baro_err *err)
{
    struct baro_err cause = {0};
    int rc = store_work_step(committer->store, &cause);
    if (rc <= 0) {
        rc = room_make(committer->room, true, &cause);
    }
    if (rc <= 0 && cause.code != 0) {
        (void)baro_err_set(err, BARO_EFULL, "%s", cause.text);
    }
    notify(committer); /* there may be notes to take */
    return rc > 0;
}

/* Go on with the first job; when it is done it moves to the other list. */
static void work(struct committer *committer, struct job *job)
{
    job->goes_on = false;
    job->work(job, committer->store);
    if (job->goes_on) {
        return;
    }
    pthread_mutex_lock(&committer->lock);
    committer->jobs = job->next;
    job->next = committer->done;
    committer->done = job;
    pthread_mutex_unlock(&committer->lock);
    notify(committer);
}

/* Do all jobs that wait: what makes room may be among them. */
static void work_off(struct committer *committer)
{
    for (;;) {
        pthread_mutex_lock(&committer->lock);
        struct job *job = committer->is_stopping ? NULL : committer->jobs;
        pthread_mutex_unlock(&committer->lock);
        if (job == NULL) {
            return;
        }
        work(committer, job);
    }
}

/* Say why nothing can be committed: at once, when the cause changes, and every minute. */
static void tell_trouble(
    struct committer *committer, const char *text, uint64_t *io_told_ns)
{
    uint64_t now_ns = baro_now_ns();
    bool is_new = strncmp(committer->trouble, text, sizeof committer->trouble - 1) != 0;
    set_trouble(committer, text);
    if (is_new || now_ns - *io_told_ns >= TELL_AGAIN_MS * UINT64_C(1000000)) {
        *io_told_ns = now_ns;
        log_error("cannot commit, nothing is acknowledged until it can: %s", text);
    }
}

/* Commit a bundle, again and again while there is no room. */
static int commit(struct committer *committer, const struct bundle *bundle)
{
    bool was_in_trouble = false;
    uint64_t told_ns = 0;
    for (;;) {
        struct baro_err err = {0};
        struct store_txn *txn = store_begin(committer->store);
        bundle_replay(bundle, txn);
        int rc = store_commit(txn, &err);
        if (rc == 0) {
            if (was_in_trouble) {
                set_trouble(committer, "");
                log_info("the store takes data again");
            }
            return 0;
        }
        if (rc != BARO_EFULL && rc != BARO_EIO && rc != BARO_ENOMEM && rc != BARO_EBUSY) {
            log_error("the store refused %llu record%s: %s",
                (unsigned long long)bundle->n_rows, bundle->n_rows == 1 ? "" : "s",
                err.text);
            return rc;
        }
        if (rc == BARO_EFULL && make_room(committer, &err)) {
            continue;
        }
        was_in_trouble = true;
        tell_trouble(committer, err.text, &told_ns);
        if (wait_or_stop(committer)) {
            return rc;
        }
        work_off(committer);
    }
}

/* Background work while there is nothing to commit: room first, then packing. */
static void tend(struct committer *committer, bool *has_work)
{
    struct baro_err err = {0};
    int rc = room_is_short(committer->room) ? room_make(committer->room, false, &err) : 0;
    if (rc > 0) {
        notify(committer); /* there are notes to take */
    } else if (rc == 0) {
        rc = store_work_step(committer->store, &err);
        if (rc == BARO_EFULL && room_make(committer->room, true, &err) > 0) {
            rc = 1;
            notify(committer);
        }
    }
    *has_work = rc > 0;
    if (rc < 0) {
        log_warn_every_second("cannot look after older records for now: %s", err.text);
    }
}

/* Wait until there is something to do, or for the next tick. */
static void wait_for_tick(struct committer *committer, uint64_t tick_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(tick_ns / UINT64_C(1000000000)),
        .tv_nsec = (long)(tick_ns % UINT64_C(1000000000))};
    (void)pthread_cond_timedwait(&committer->wake, &committer->lock, &until);
}

/* Tell the store that time passes, when it does; true when that was due. */
static bool tick(struct committer *committer, uint64_t *io_tick_ns)
{
    uint64_t now_ns = baro_now_ns();
    if (now_ns < *io_tick_ns) {
        return false;
    }
    *io_tick_ns = now_ns + TICK_MS * UINT64_C(1000000);
    store_tick(committer->store, 1);
    return true;
}

/* At the end: nothing will come soon, so all tails are packed and free pages given back, in the
 * time that there is. A kill meanwhile leaves a store that is whole. */
static void settle(struct committer *committer)
{
    uint64_t deadline_ns = baro_now_ns() + SETTLE_MS * UINT64_C(1000000);
    bool has_work = true;
    store_tick(committer->store, SETTLE_TICKS);
    while (has_work && baro_now_ns() < deadline_ns) {
        tend(committer, &has_work);
    }
    struct baro_err err = {0};
    if (room_compact(committer->room, SETTLE_MAX_BYTES, &err) < 0) {
        log_warn("the store's file keeps its size: %s", err.text);
    }
}

static void *run(void *payload)
{
    struct committer *committer = payload;
    bool has_work = true; /* what the last daemon left */
    bool was_job = false;
    uint64_t tick_ns = baro_now_ns() + TICK_MS * UINT64_C(1000000);
    room_begin(committer->room);
    notify(committer);
    pthread_mutex_lock(&committer->lock);
    for (;;) {
        has_work |= tick(committer, &tick_ns);
        struct bundle *bundle = committer->is_done ? NULL : committer->given;
        struct job *job = bundle == NULL ? committer->jobs : NULL;
        if (bundle == NULL && committer->is_stopping) {
            break;
        }
        if (bundle == NULL && job == NULL && !has_work) {
            wait_for_tick(committer, tick_ns);
            continue;
        }
        if (bundle != NULL && has_work && store_is_behind(committer->store)) {
            bundle = NULL; /* or memory would grow without end */
        }
        pthread_mutex_unlock(&committer->lock);
        uint64_t begin_ns = baro_now_ns();
        int code = 0;
        if (bundle != NULL) {
            code = commit(committer, bundle);
            has_work = true;
        } else if (job != NULL && !(has_work && was_job)) {
            work(committer, job);
            was_job = true;
        } else {
            tend(committer, &has_work);
            was_job = false;
        }
        pthread_mutex_lock(&committer->lock);
        if (bundle != NULL) {
            committer->code = code;
            committer->ns = baro_now_ns() - begin_ns;
            committer->is_done = true;
            notify(committer);
        }
    }
    pthread_mutex_unlock(&committer->lock);
    settle(committer);
    return NULL;
}

struct committer *committer_start(
    struct store *store, struct room *room, struct baro_err *err)
{
    struct committer *committer = baro_xcalloc(1, sizeof *committer);
    committer->store = store;
    committer->room = room;
    (void)pthread_mutex_init(&committer->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&committer->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    committer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (committer->event_fd < 0 ||
        pthread_create(&committer->thread, NULL, run, committer) != 0) {
        (void)baro_err_set(err, BARO_EIO, "cannot start the store thread");
        committer_stop(committer);
        return NULL;
    }
    committer->has_thread = true;
    return committer;
}

int committer_fd(const struct committer *committer)
{
    return committer->event_fd;
}

/* Only the ingest thread sets or clears given, so it may read it without the lock. */
bool committer_is_idle(const struct committer *committer)
{
    return committer->given == NULL;
}

void committer_give(struct committer *committer, struct bundle *bundle)
{
    pthread_mutex_lock(&committer->lock);
    committer->given = bundle;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
}

bool committer_take(struct committer *committer, struct committer_result *out_result)
{
    eventfd_t ignored;
    (void)eventfd_read(committer->event_fd, &ignored);
    pthread_mutex_lock(&committer->lock);
    bool is_done = committer->is_done;
    if (is_done) {
        *out_result =
            (struct committer_result){committer->given, committer->code, committer->ns};
        committer->given = NULL;
        committer->is_done = false;
    }
    pthread_mutex_unlock(&committer->lock);
    return is_done;
}

void committer_submit(struct committer *committer, struct job *job)
{
    pthread_mutex_lock(&committer->lock);
    struct job **last = &committer->jobs;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = job;
    job->next = NULL;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
}

struct job *committer_take_job(struct committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    struct job *job = committer->done;
    if (job != NULL) {
        committer->done = job->next;
    }
    pthread_mutex_unlock(&committer->lock);
    return job;
}

static void end_jobs(struct job *job)
{
    while (job != NULL) {
        struct job *next = job->next;
        query_end(job);
        job = next;
    }
}

void committer_trouble(struct committer *committer, char *out, size_t out_bytes)
{
    pthread_mutex_lock(&committer->lock);
    (void)snprintf(out, out_bytes, "%s", committer->trouble);
    pthread_mutex_unlock(&committer->lock);
}

bool committer_is_in_trouble(struct committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    bool is_in_trouble = committer->trouble[0] != '\0';
    pthread_mutex_unlock(&committer->lock);
    return is_in_trouble;
}

void committer_stop(struct committer *committer)
{
    if (committer == NULL) {
        return;
    }
    if (committer->has_thread) {
        pthread_mutex_lock(&committer->lock);
        committer->is_stopping = true;
        pthread_cond_signal(&committer->wake);
        pthread_mutex_unlock(&committer->lock);
        (void)pthread_join(committer->thread, NULL);
    }
    end_jobs(committer->jobs);
    end_jobs(committer->done);
    if (committer->event_fd >= 0) {
        (void)close(committer->event_fd);
    }
    (void)pthread_cond_destroy(&committer->wake);
    (void)pthread_mutex_destroy(&committer->lock);
    free(committer);
}
