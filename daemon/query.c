/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/query.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { MAX_WAITING = 256, MAX_WORKERS = 4 };

struct queue {
    struct job *first;
    struct job **last;
};

struct query_pool {
    struct store *store;
    int event_fd;
    pthread_t threads[MAX_WORKERS];
    unsigned n_threads;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    struct queue waiting;
    struct queue done;
    unsigned n_waiting;
    bool is_stopping;
};

static void push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
}

static struct job *pop(struct queue *queue)
{
    struct job *job = queue->first;
    if (job != NULL) {
        queue->first = job->next;
        if (queue->first == NULL) {
            queue->last = &queue->first;
        }
    }
    return job;
}

static void *run(void *payload)
{
    struct query_pool *pool = payload;
    pthread_mutex_lock(&pool->lock);
    while (!pool->is_stopping) {
        struct job *job = pop(&pool->waiting);
        if (job == NULL) {
            pthread_cond_wait(&pool->wake, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        job->work(job, pool->store);
        pthread_mutex_lock(&pool->lock);
        push(&pool->done, job);
        pool->n_waiting--;
        (void)eventfd_write(pool->event_fd, 1);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct query_pool *query_start(
    struct store *store, unsigned n_workers, struct baro_err *err)
{
    struct query_pool *pool = baro_xcalloc(1, sizeof *pool);
    pool->store = store;
    pool->waiting.last = &pool->waiting.first;
    pool->done.last = &pool->done.first;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool is_good = pool->event_fd >= 0;
    for (unsigned i = 0; is_good && i < n_workers && i < MAX_WORKERS; i++) {
        is_good = pthread_create(&pool->threads[i], NULL, run, pool) == 0;
        pool->n_threads += is_good ? 1 : 0;
    }
    if (!is_good) {
        (void)baro_err_set(err, BARO_EIO, "cannot start the threads that answer questions");
        query_stop(pool);
        return NULL;
    }
    return pool;
}

int query_fd(const struct query_pool *pool)
{
    return pool->event_fd;
}

int query_submit(struct query_pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool has_room = pool->n_waiting < MAX_WAITING;
    if (has_room) {
        push(&pool->waiting, job);
        pool->n_waiting++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return has_room ? 0 : BARO_EBUSY;
}

void query_post(struct query_pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    push(&pool->done, job);
    (void)eventfd_write(pool->event_fd, 1);
    pthread_mutex_unlock(&pool->lock);
}

struct job *query_take(struct query_pool *pool)
{
    eventfd_t ignored;
    (void)eventfd_read(pool->event_fd, &ignored);
    pthread_mutex_lock(&pool->lock);
    struct job *job = pop(&pool->done);
    if (pool->done.first != NULL) {
        (void)eventfd_write(pool->event_fd, 1); /* the next one keeps it readable */
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

void query_end(struct job *job)
{
    free(job->packed);
    for (size_t i = 0; i < job->n_frames; i++) {
        outbox_drop(&job->frames[i]);
    }
    free(job->frames);
    job->destroy(job);
}

void query_reply(struct job *job, Baro__Envelope *envelope)
{
    envelope->request = job->request;
    if (wire_pack(envelope, &job->packed, &job->n_packed) != 0) {
        (void)baro_err_set(&job->err, BARO_ENOMEM, "no memory for the reply");
    } else if (job->n_packed > WIRE_MAX_REPLY_BYTES) {
        free(job->packed);
        job->packed = NULL;
        (void)baro_err_set(&job->err, BARO_ELIMIT,
            "the reply would have %zu bytes, over the limit of 64 MiB: ask for less",
            job->n_packed);
    }
}

void query_stop(struct query_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    struct job *job;
    while ((job = pop(&pool->waiting)) != NULL || (job = pop(&pool->done)) != NULL) {
        query_end(job);
    }
    if (pool->event_fd >= 0) {
        (void)close(pool->event_fd);
    }
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}
