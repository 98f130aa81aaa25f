/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/spin.h"
#include "lib/push/due.h"

/*
 * The sender thread. It looks at the ring's head every 1 to 20 ms, sooner after there was
 * something to do, so that pushing never has to wake anybody by a system call.
 *
 * It frees the sender by itself, because ZeroMQ waits for its own threads then, and those may
 * hang in the look-up of a host name. Whoever closes the run does not wait for that.
 */

enum { WAIT_MIN_MS = 1, WAIT_MAX_MS = 20, END_WAIT_MS = 1000, GONE_WAIT_MS = 200 };

void run_say(struct baro_run *run, const char *text)
{
    if (baro_spin_lock(&run->news.lock)) {
        (void)snprintf(run->news.text, sizeof run->news.text, "%s", text);
        run->news.is_new = true;
        baro_spin_unlock(&run->news.lock);
    }
    if (run->on_message != NULL) {
        run->on_message(text, run->payload);
    }
}

int baro_news(struct baro_run *run, char *out_text, size_t text_bytes)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL || text_bytes == 0 || !baro_spin_lock(&run->news.lock)) {
        return 0;
    }
    int is_new = run->news.is_new ? 1 : 0;
    if (is_new != 0) {
        (void)snprintf(out_text, text_bytes, "%s", run->news.text);
        run->news.is_new = false;
    }
    baro_spin_unlock(&run->news.lock);
    return is_new;
}

static void say(const char *text, void *payload)
{
    run_say(payload, text);
}

static void read_pulse(struct sender_pulse *out_pulse, void *payload)
{
    const struct baro_run *run = payload;
    out_pulse->step = atomic_load_explicit(&run->step, memory_order_relaxed);
    out_pulse->own_ns = atomic_load_explicit(&run->own_ns, memory_order_relaxed);
    out_pulse->last_control = atomic_load_explicit(&run->steer.last, memory_order_relaxed);
}

static void attend(const uint32_t *ids, size_t n, uint32_t n_steps,
    uint32_t everything_steps, void *payload)
{
    due_on_attention(payload, ids, n, n_steps, everything_steps);
}

static void steer(uint64_t id, int kind, double value, void *payload)
{
    struct baro_run *run = payload;
    steer_on_control(&run->steer, id, kind, value);
}

static void *feed(void *payload)
{
    struct baro_run *run = payload;
    struct sender *sender = run->sender;
    int wait_ms = WAIT_MIN_MS;
    while (!atomic_load_explicit(&run->is_stopping, memory_order_acquire)) {
        bool is_closing = atomic_load_explicit(&run->is_closing, memory_order_acquire);
        if (sender_step(sender, wait_ms, is_closing) || is_closing) {
            wait_ms = WAIT_MIN_MS;
        } else {
            wait_ms = wait_ms * 2 > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms * 2;
        }
    }
    atomic_store_explicit(&run->is_idle, true, memory_order_release);
    (void)sem_post(&run->has_ended);
    sender_destroy(sender);
    (void)sem_post(&run->has_gone);
    return NULL;
}

static int start_thread(struct baro_run *run)
{
    pthread_attr_t attributes;
    sigset_t all;
    if (pthread_attr_init(&attributes) != 0) {
        return BARO_ENOMEM;
    }
    (void)sigfillset(&all);
    (void)sem_init(&run->has_ended, 0, 0);
    (void)sem_init(&run->has_gone, 0, 0);
    int number = pthread_attr_setsigmask_np(&attributes, &all);
    if (number == 0) {
        number = pthread_create(&run->thread, &attributes, feed, run);
    }
    (void)pthread_attr_destroy(&attributes);
    if (number != 0) {
        return BARO_EIO;
    }
    run->has_thread = true;
    (void)pthread_setname_np(run->thread, "baro-sender");
    return 0;
}

int run_start_sender(struct baro_run *run, struct baro_err *err)
{
    const struct sender_options options = {
        .ring = run->ring,
        .endpoint = run->endpoint,
        .keys = &run->keys,
        .on_message = say,
        .read_pulse = read_pulse,
        .on_attention = attend,
        .on_control = run->steer.is_on ? steer : NULL,
        .payload = run,
    };
    int rc = sender_create(&run->sender, &options, err);
    if (rc != 0) {
        return rc;
    }
    if (start_thread(run) != 0) {
        sender_destroy(run->sender);
        run->sender = NULL;
        return baro_err_set(err, BARO_EIO,
            "no thread for the sender: recording into '%.120s' only; see `baro recover`",
            ringfile_path(run->ring));
    }
    return 0;
}

/* Wait for a semaphore at most so long; whether it was posted. */
static bool wait_for(sem_t *semaphore, int wait_ms)
{
    struct timespec deadline;
    int rc = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline); /* the wall clock may be set back */
    deadline.tv_sec += wait_ms / 1000;
    deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    while ((rc = sem_clockwait(semaphore, CLOCK_MONOTONIC, &deadline)) != 0 &&
           errno == EINTR) {
    }
    return rc == 0;
}

int run_stop_sender(struct baro_run *run)
{
    if (!run->has_thread) {
        return 0;
    }
    atomic_store_explicit(&run->is_stopping, true, memory_order_release);
    /* The flag says what the semaphore says, to checkers that do not know sem_clockwait(). */
    if (!wait_for(&run->has_ended, END_WAIT_MS) ||
        !atomic_load_explicit(&run->is_idle, memory_order_acquire)) {
        (void)pthread_detach(run->thread);
        return BARO_ETIMEOUT;
    }
    run->sender = NULL;
    run->has_thread = false;
    if (!wait_for(&run->has_gone, GONE_WAIT_MS)) {
        (void)pthread_detach(run->thread);
        return BARO_EBUSY;
    }
    (void)pthread_join(run->thread, NULL); /* at once: it has nothing left to do */
    return 0;
}
