/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a run, shared by open.c, baro.c and feeder.c. */
#ifndef BARO_RUN_H
#define BARO_RUN_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "lib/base/reading.h"
#include "lib/base/ringfile.h"
#include "lib/push/baro.h"
#include "lib/push/sender.h"
#include "lib/push/steer.h"
#include "lib/push/things.h"

enum {
    RUN_SCRATCHES = 4, /* threads that summarise units at once; more wait a little */
    RUN_SCRATCH_FLOATS = UNIT_STAT_MOST * READING_MAX_UNITS,
    RUN_ID_BYTES = 128,
    RUN_ENDPOINT_BYTES = BARO_PATH_BYTES + 16
};

struct governor;

struct baro_run {
    _Atomic uint32_t *is_alive; /* 1; in a page of its own that fork() wipes in the child */
    _Atomic uint32_t n_inside;  /* calls under way; see run_enter() */
    struct ringfile *ring;
    struct things *things;
    char run_id[RUN_ID_BYTES];
    char endpoint[RUN_ENDPOINT_BYTES];
    struct keys_client keys; /* for the endpoint */
    void (*on_message)(const char *text, void *payload);
    void *payload;
    struct {
        _Atomic uint32_t lock;
        bool is_new;
        char text[240];
    } news; /* what was said last; guarded by its lock */

    _Atomic int64_t step;           /* the current one */
    _Atomic uint64_t step_began_ns; /* monotonic; 0: no step yet */
    _Atomic uint64_t own_ns;
    _Atomic bool has_failed;
    _Atomic bool has_taken_back; /* the step under way: see baro_take_back() */
    _Atomic bool has_said_full;
    _Atomic bool has_said_units;
    uint32_t rank;
    _Atomic bool has_sent_states; /* at the first failure */
    bool is_raw;                  /* tensors go to the daemon whole */
    _Atomic bool has_said_here;
    _Atomic bool has_said_probe;
    _Atomic uint64_t probe_serial; /* of the last probe; 0: none yet */
    _Atomic uint64_t n_here;       /* but for so many, summarised here all the same */
    char failure[READING_MAX_TEXT_BYTES + 1]; /* written once, before has_failed */

    float
        *scratch; /* RUN_SCRATCHES x RUN_SCRATCH_FLOATS; pages are touched only when used */
    _Atomic uint32_t scratch_locks[RUN_SCRATCHES];

    struct governor *governor;    /* what baro_due() asks */
    struct {                      /* how the client's own figures were last told */
        _Atomic uint64_t time_ns; /* 0: not yet */
        _Atomic uint64_t own_ns;
        _Atomic uint32_t turn;
        _Atomic uint64_t window_ns; /* of the last seconds, the older the less */
        _Atomic uint64_t window_own_ns;
        _Atomic uint64_t window_steps; /* times 1,024 */
        _Atomic bool has_begun;        /* the first second is over */
        _Atomic int64_t ids[3];        /* of their scalars; 0: not declared */
        _Atomic bool is_off;           /* no more names fit */
    } report;

    struct steer steer; /* what a person asks of the training */

    struct sender *sender;  /* NULL when offline; the thread's own but for its progress */
    struct baro_stats last; /* written once, before has_last */
    _Atomic bool has_last;
    pthread_t thread;
    sem_t has_ended;      /* posted by the thread when it needs ring and run no more, */
    sem_t has_gone;       /* and when the sender is freed, too */
    _Atomic bool is_idle; /* has_ended was posted */
    bool has_thread;
    _Atomic bool is_stopping;
    _Atomic bool is_closing; /* everything that is left goes out at once */

    struct baro_run *next; /* in a list of open.c, guarded by its lock */
};

/** Tell whether calls on a run may do anything: it exists and belongs to this process. */
static inline bool run_is_usable(const struct baro_run *run)
{
    return run != NULL && atomic_load_explicit(run->is_alive, memory_order_relaxed) == 1;
}

/**
 * Begin a call on a run; every public call but those that read only its texts does so, by
 *
 *     run_autoleave struct baro_run *inside = run_enter(run);
 *
 * baro_close() shuts the door first (is_alive becomes 0), then waits for those inside. What is
 * looked at here outlives the close, see open.c, so that a thread which comes late is turned away.
 *
 * returns  run; NULL when calls may do nothing
 */
static inline struct baro_run *run_enter(struct baro_run *run)
{
    if (!run_is_usable(run)) {
        return NULL;
    }
    /* In this order, and the other way around in baro_close(): one of both sees the other. */
    atomic_fetch_add_explicit(&run->n_inside, 1, memory_order_seq_cst);
    if (atomic_load_explicit(run->is_alive, memory_order_seq_cst) != 1) {
        atomic_fetch_sub_explicit(&run->n_inside, 1, memory_order_release);
        return NULL;
    }
    return run;
}

/** End a call; for run_autoleave. */
static inline void run_leave(struct baro_run **inside)
{
    if (*inside != NULL) {
        atomic_fetch_sub_explicit(&(*inside)->n_inside, 1, memory_order_release);
    }
}

#define run_autoleave __attribute__((cleanup(run_leave)))

/** Hand a sentence to the run's message callback, and keep it for baro_news. Any thread. */
void run_say(struct baro_run *run, const char *text);

/** Read the figures of a run that cannot go meanwhile. */
void run_read_stats(struct baro_run *run, struct baro_stats *out_stats);

/**
 * Give an option's value: the caller's, the environment's, or the default; empty counts as unset.
 *
 * variable  NULL: none
 */
const char *run_choose(
    const char *explicit_value, const char *variable, const char *otherwise);

/**
 * Put the ring's first record: which run this is, and how it goes on when it exists already.
 *
 * returns  0; BARO_EINVAL for an option that cannot be; BARO_ENOMEM; BARO_EFULL
 */
int run_describe(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err);

/** Put the states of random numbers that are kept into the ring as records, if it has room. */
void run_send_states(struct baro_run *run);

/**
 * Start the sender thread, with all signals blocked in it.
 *
 * returns  0; BARO_EIO when no thread can be had; BARO_ENOMEM
 */
int run_start_sender(struct baro_run *run, struct baro_err *err);

/**
 * Stop the sender thread, which frees the sender.
 *
 * returns  0; BARO_EBUSY when the thread needs ring and run no more, but still closes its
 *          connection (a look-up of a host name that hangs): run itself must stay, the rest may
 *          go; BARO_ETIMEOUT when it did not end in time: nothing may be freed
 */
int run_stop_sender(struct baro_run *run);

#endif
