/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tasks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/access.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Whose turn it is. Of each asker only the newest task that has something to do counts: what a
 * person asked last is what that person looks at. Among askers it goes round: who was chosen
 * longest ago is next. A turn is as many steps as fit into SLICE_NS.
 *
 * The lock is held for the list only, never while a task works. A task that is to end while it
 * works is marked, and destroyed by the thread behind its step.
 *
 * An asker that does not read is told nothing more until what it was told has left this process
 * (outbox_flow): then comes what is known by then, so that nothing piles up for it. One that says
 * what it has taken is told nothing more until then: nothing piles up on a slow line, either.
 */

static const uint64_t SLICE_NS = 10000000;
static const uint64_t LOST_NS = 250000000; /* until what was lost is told again */
static const uint64_t FULL_NS = 20000000;  /* between looks whether an asker reads again */
static const uint64_t PROBE_NS = 3000000000; /* without a word to an asker */

struct tasks {
    struct store *store;
    struct query_pool *pool;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards all below, and what is tasks.c's in a task */
    pthread_cond_t wake;
    struct task *first; /* the oldest */
    uint64_t last_id;
    uint64_t last_turn;
    uint64_t n_ended;
    struct task *at_work; /* whose step is under way */
    bool is_stopping;
};

static bool is_same_peer(const struct peer *a, const struct peer *b)
{
    return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

/* ---- the thread ---- */

/* When a task has something to do; UINT64_MAX: nothing is known of. */
static uint64_t due_ns(const struct task *task)
{
    uint64_t due = UINT64_MAX;
    if (task->is_ending || task->state == TASK_OVER) {
        return due;
    }
    if (task->state == TASK_BUSY) {
        return 0;
    }
    if (task->wake_ns > 0) {
        due = task->wake_ns;
    }
    if (task->has_news && task->not_before_ns < due) {
        due = task->not_before_ns;
    }
    return due;
}

/* Whether another task of the same asker goes first. */
static bool is_behind(const struct task *task, uint64_t now_ns)
{
    for (const struct task *other = task->next; other != NULL; other = other->next) {
        if (due_ns(other) <= now_ns && is_same_peer(&other->peer, &task->peer)) {
            return true;
        }
    }
    return false;
}

/* Choose who is next; NULL and when to look again. */
static struct task *choose(struct tasks *tasks, uint64_t now_ns, uint64_t *out_due_ns)
{
    struct task *best = NULL;
    *out_due_ns = UINT64_MAX;
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        uint64_t due = due_ns(task);
        *out_due_ns = due < *out_due_ns ? due : *out_due_ns;
        if (due <= now_ns && !is_behind(task, now_ns) &&
            (best == NULL || task->turn < best->turn)) {
            best = task;
        }
    }
    return best;
}

/* Destroy what is to end. The lock is let go of meanwhile: it may take some milliseconds. */
static void reap(struct tasks *tasks)
{
    for (struct task **at = &tasks->first; *at != NULL;) {
        struct task *task = *at;
        if (!task->is_ending) {
            at = &task->next;
            continue;
        }
        *at = task->next;
        tasks->n_ended++;
        pthread_mutex_unlock(&tasks->lock);
        outbox_flow_release(task->flow);
        task->destroy(task);
        pthread_mutex_lock(&tasks->lock);
        at = &tasks->first; /* the list may be another one now */
    }
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One step of a task; the lock is held before and after. */
static void step_once(struct tasks *tasks, struct task *task)
{
    struct task_call call = {
        .store = tasks->store,
        .now_ns = baro_now_ns(),
        .has_news = task->has_news && baro_now_ns() >= task->not_before_ns,
        .may_tell = task->n_posted == 0 && task->n_untaken == 0 &&
                    outbox_flow_held(task->flow) == 0,
        .must_tell = task->is_lost,
    };
    task->has_news = task->has_news && !call.has_news;
    task->is_lost = false;
    pthread_mutex_unlock(&tasks->lock);
    uint64_t began_ns = thread_cpu_ns();
    task->wake_ns = task->not_before_ns = 0;
    enum task_state state = task->step(task, &call);
    task->cpu_ns += thread_cpu_ns() - began_ns;
    pthread_mutex_lock(&tasks->lock);
    task->state = state;
    if (state == TASK_WAITS && !call.may_tell && task->wake_ns == 0) {
        task->wake_ns = call.now_ns + FULL_NS;
    }
    if (task->is_lost && (task->wake_ns == 0 || task->wake_ns > call.now_ns + LOST_NS)) {
        task->wake_ns = call.now_ns + LOST_NS;
    }
    task->is_ending = task->is_ending || state == TASK_OVER;
}

static void sleep_until(struct tasks *tasks, uint64_t due)
{
    if (due == UINT64_MAX) {
        pthread_cond_wait(&tasks->wake, &tasks->lock);
        return;
    }
    struct timespec at = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
    (void)pthread_cond_timedwait(&tasks->wake, &tasks->lock, &at);
}

static void *run(void *payload)
{
    struct tasks *tasks = payload;
    pthread_mutex_lock(&tasks->lock);
    while (!tasks->is_stopping) {
        uint64_t due = 0;
        reap(tasks);
        uint64_t began_ns = baro_now_ns();
        struct task *task = tasks->is_stopping ? NULL : choose(tasks, began_ns, &due);
        if (task == NULL) {
            if (!tasks->is_stopping) {
                sleep_until(tasks, due);
            }
            continue;
        }
        task->turn = ++tasks->last_turn;
        tasks->at_work = task;
        do {
            step_once(tasks, task);
        } while (task->state == TASK_BUSY && !task->is_ending && !tasks->is_stopping &&
                 baro_now_ns() - began_ns < SLICE_NS);
        tasks->at_work = NULL;
    }
    pthread_mutex_unlock(&tasks->lock);
    return NULL;
}

/* ---- from within a step ---- */

static void post(struct task *task, struct job *job)
{
    struct tasks *tasks = task->tasks;
    job->peer = task->peer;
    job->request = task->request;
    job->task = task->id;
    pthread_mutex_lock(&tasks->lock);
    task->n_posted++;
    pthread_mutex_unlock(&tasks->lock);
    query_post(tasks->pool, job);
}

static void destroy_finding(struct job *job)
{
    free(job);
}

void task_tell(struct task *task, Baro__Envelope *envelope, struct frame *frames,
    size_t n_frames, bool is_last)
{
    struct job *job = baro_xcalloc(1, sizeof *job);
    job->destroy = destroy_finding;
    job->request = task->request;
    job->frames = frames;
    job->n_frames = n_frames;
    for (size_t i = 0; i < n_frames; i++) {
        if (frames[i].n_bytes > 0) {
            outbox_flow_hold(task->flow, &frames[i]);
        }
    }
    query_reply(job, envelope);
    task->is_last = is_last;
    post(task, job);
}

void task_refuse(struct task *task, const struct baro_err *err)
{
    struct job *job = baro_xcalloc(1, sizeof *job);
    job->destroy = destroy_finding;
    job->err = *err;
    post(task, job);
}

/* ---- from outside ---- */

struct tasks *tasks_start(
    struct store *store, struct query_pool *pool, struct baro_err *err)
{
    struct tasks *tasks = baro_xcalloc(1, sizeof *tasks);
    tasks->store = store;
    tasks->pool = pool;
    (void)pthread_mutex_init(&tasks->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&tasks->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    tasks->has_thread = pthread_create(&tasks->thread, NULL, run, tasks) == 0;
    if (!tasks->has_thread) {
        (void)baro_err_set(err, BARO_EIO, "cannot start the thread that samples");
        tasks_stop(tasks);
        return NULL;
    }
    return tasks;
}

/* Why there is no room for another task; 0: there is. */
static int check_room(struct tasks *tasks, const struct task *task, struct baro_err *err)
{
    size_t n = 0;
    size_t n_own = 0;
    size_t n_bytes = task->n_bytes;
    for (const struct task *other = tasks->first; other != NULL; other = other->next) {
        if (!other->is_ending) {
            n++;
            n_own += is_same_peer(&other->peer, &task->peer) ? 1 : 0;
            n_bytes += other->n_bytes;
        }
    }
    if (n_own >= TASKS_MOST_A_PEER) {
        return baro_err_set(err, BARO_EBUSY,
            "%d samples are being made for you already: cancel one of them first",
            TASKS_MOST_A_PEER);
    }
    if (n >= TASKS_MOST) {
        return baro_err_set(err, BARO_EBUSY,
            "the daemon makes %d samples already, for all who ask: ask again later",
            TASKS_MOST);
    }
    return n_bytes >> 20 < TASKS_MOST_MIB
               ? 0
               : baro_err_set(err, BARO_EBUSY,
                     "the samples being made would take more than %d MiB with this one: "
                     "ask again later",
                     TASKS_MOST_MIB);
}

int tasks_submit(struct tasks *tasks, struct task *task, struct baro_err *err)
{
    pthread_mutex_lock(&tasks->lock);
    int rc = check_room(tasks, task, err);
    if (rc == 0) {
        task->tasks = tasks;
        task->id = ++tasks->last_id;
        task->flow = outbox_flow_create();
        task->sent_ns = baro_now_ns();
        task->state = TASK_BUSY;
        struct task **at = &tasks->first;
        while (*at != NULL) {
            at = &(*at)->next;
        }
        *at = task;
        pthread_cond_signal(&tasks->wake);
    }
    pthread_mutex_unlock(&tasks->lock);
    return rc;
}

/* The lock is held. */
static void end_those_of(struct tasks *tasks, const struct peer *peer)
{
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        task->is_ending = task->is_ending || is_same_peer(&task->peer, peer);
    }
    pthread_cond_signal(&tasks->wake);
}

void tasks_cancel(struct tasks *tasks, const struct peer *peer, uint64_t request)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        bool is_meant = task->request == request && is_same_peer(&task->peer, peer);
        task->is_ending = task->is_ending || is_meant;
    }
    pthread_cond_signal(&tasks->wake);
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_on_taken(struct tasks *tasks, const struct peer *peer, uint64_t request)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        bool is_meant = task->request == request && is_same_peer(&task->peer, peer);
        task->n_untaken -= is_meant && task->n_untaken > 0 ? 1 : 0;
    }
    pthread_cond_signal(&tasks->wake);
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_on_commit(struct tasks *tasks)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        task->has_news = true;
    }
    if (tasks->first != NULL) {
        pthread_cond_signal(&tasks->wake);
    }
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_on_sent(struct tasks *tasks, const struct job *finding, int rc)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->id != finding->task) {
            continue;
        }
        task->n_posted--;
        if (rc == 0) {
            task->sent_ns = baro_now_ns();
            task->n_untaken += task->is_paced ? 1 : 0;
            task->is_ending = task->is_ending || (task->is_last && task->n_posted == 0);
        } else if (rc == BARO_ENOENT) {
            end_those_of(tasks, &task->peer);
        } else {
            uint64_t again_ns = baro_now_ns() + LOST_NS;
            bool is_sooner = task->wake_ns > 0 && task->wake_ns < again_ns;
            task->is_lost = true;
            if (tasks->at_work != task) { /* else step_once sees to it */
                task->wake_ns = is_sooner ? task->wake_ns : again_ns;
            }
        }
        pthread_cond_signal(&tasks->wake);
        break;
    }
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_probe(struct tasks *tasks, void *socket, uint64_t now_ns)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->is_ending || now_ns < task->sent_ns + PROBE_NS) {
            continue;
        }
        Baro__Envelope nothing;
        baro__envelope__init(&nothing);
        nothing.request = task->request;
        if (outbox_send(socket, &task->peer, &nothing, NULL, 0) == BARO_ENOENT) {
            end_those_of(tasks, &task->peer);
        }
        task->sent_ns = now_ns;
    }
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_review(struct tasks *tasks, const struct access *access)
{
    pthread_mutex_lock(&tasks->lock);
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (access_check(access, &task->peer, KEYS_VIEW, "", NULL) != 0) {
            task->is_ending = true;
        }
    }
    pthread_cond_signal(&tasks->wake);
    pthread_mutex_unlock(&tasks->lock);
}

uint64_t tasks_n_ended(const struct tasks *tasks)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&tasks->lock;
    pthread_mutex_lock(lock);
    uint64_t n = tasks->n_ended;
    pthread_mutex_unlock(lock);
    return n;
}

void tasks_stop(struct tasks *tasks)
{
    if (tasks == NULL) {
        return;
    }
    pthread_mutex_lock(&tasks->lock);
    tasks->is_stopping = true;
    pthread_cond_signal(&tasks->wake);
    pthread_mutex_unlock(&tasks->lock);
    if (tasks->has_thread) {
        (void)pthread_join(tasks->thread, NULL);
    }
    while (tasks->first != NULL) {
        struct task *task = tasks->first;
        tasks->first = task->next;
        outbox_flow_release(task->flow);
        task->destroy(task);
    }
    (void)pthread_cond_destroy(&tasks->wake);
    (void)pthread_mutex_destroy(&tasks->lock);
    free(tasks);
}
