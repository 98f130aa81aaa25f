/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "daemon/notify_ways.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "notify"

/*
 * A notification that a way may not tell now, because it has told so many within the hour or
 * because its queue is full, is held back: the gravest of them is kept, the others are counted.
 * "and 7 more" goes with the next that is told; where none comes, the one that was kept is told as
 * soon as the period allows it.
 *
 * A server that does not answer is tried again after 1, 2, 4, ... seconds, TRIES times in all. What
 * comes meanwhile waits behind it.
 */

enum {
    QUEUE = 32,
    TRIES = 7,
    FIRST_PAUSE_MS = 1000,
    STOP_MS = 700,   /* for what waits */
    GIVE_UP_MS = 250 /* for what is under way then */
};

struct way {
    struct notify *notify;
    struct notify_target target; /* its own: the thread may outlive everything */
    struct notify_try try;
    char name[208];
    pthread_t thread;
    bool has_thread;
    pthread_cond_t wake; /* something came, or all ends */
    /* Guarded by notify->lock. */
    struct notice *queue[QUEUE]; /* a ring */
    size_t first;
    size_t n;
    struct notice *held; /* the gravest of those held back since the last was told */
    uint64_t n_held;     /* itself among them */
    struct notice *test; /* to be tried now */
    uint64_t *told_ns; /* when the last were told, a ring of as many as a period may have */
    uint64_t n_told;
};

struct notify {
    uint32_t level;
    uint32_t rate;
    uint64_t period_ns; /* in which so many may be told */
    struct way ways[NOTIFY_MAX_TARGETS];
    size_t n_ways;
    int event_fd;
    bool has_curl;
    pthread_mutex_t lock;
    pthread_cond_t ended; /* a thread has */
    size_t n_running;
    bool is_stopping;
    _Atomic bool is_over; /* nobody waits any more */
    struct notify_result results[NOTIFY_MAX_TARGETS];
    size_t n_testing; /* ways whose test is not done */
    bool has_results;
    struct notify_figures figures;
};

/* ---- under the lock ---- */

/* Wait at most so long; 0: until woken. */
static void wait_on(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t wait_ns)
{
    if (wait_ns == 0) {
        (void)pthread_cond_wait(condition, lock);
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + wait_ns;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_cond_timedwait(condition, lock, &until);
}

static void hold_back(struct way *way, struct notice *notice)
{
    way->n_held++;
    way->notify->figures.n_held_back++;
    if (way->held == NULL || notice->incident->level >= way->held->incident->level) {
        struct notice *before = way->held;
        way->held = notice;
        notice = before;
    }
    notice_release(notice);
}

static void enqueue(struct way *way, struct notice *notice)
{
    if (way->n == QUEUE) {
        hold_back(way, notice);
        return;
    }
    way->queue[(way->first + way->n++) % QUEUE] = notice;
    (void)pthread_cond_signal(&way->wake);
}

/* When the period allows a notification; 0: now. */
static uint64_t allowed_ns(const struct way *way)
{
    uint32_t rate = way->notify->rate;
    if (way->n_told < rate) {
        return 0;
    }
    uint64_t free_ns = way->told_ns[way->n_told % rate] + way->notify->period_ns;
    uint64_t now_ns = baro_now_ns();
    return free_ns > now_ns ? free_ns - now_ns : 0;
}

/* Take what is to be told next; NULL: nothing now, for *out_wait_ns (0: until woken). */
static struct notice *next_notice(
    struct way *way, uint64_t *out_n_more, uint64_t *out_wait_ns)
{
    *out_wait_ns = allowed_ns(way);
    while (way->n > 0) {
        struct notice *notice = way->queue[way->first];
        way->first = (way->first + 1) % QUEUE;
        way->n--;
        if (*out_wait_ns == 0) {
            *out_n_more = way->n_held;
            way->n_held = 0;
            notice_release(BARO_TAKE(way->held));
            return notice;
        }
        if (way->n_held == 0) {
            log_warn("%s: %" PRIu32 " notification%s within %" PRIu64
                     " s: others are held back",
                way->name, way->notify->rate, way->notify->rate == 1 ? "" : "s",
                way->notify->period_ns / 1000000000);
        }
        hold_back(way, notice);
    }
    if (way->held == NULL) {
        *out_wait_ns = 0;
        return NULL;
    }
    if (*out_wait_ns > 0) {
        return NULL;
    }
    *out_n_more = way->n_held - 1;
    way->n_held = 0;
    return BARO_TAKE(way->held);
}

/* ---- a way's thread ---- */

/* Try a way once, as somebody asked to see what comes of it. Called with the lock. */
static void run_test(struct way *way)
{
    struct notify *notify = way->notify;
    struct notice *notice = BARO_TAKE(way->test);
    pthread_mutex_unlock(&notify->lock);
    struct baro_err err = {0};
    uint64_t began_ns = baro_now_ns();
    int rc = notify_tell(&way->try, notice, 0, &err);
    uint64_t took_ns = baro_now_ns() - began_ns;
    notice_release(notice);
    pthread_mutex_lock(&notify->lock);
    struct notify_result *result = &notify->results[way - notify->ways];
    *result = (struct notify_result){
        .is_good = rc == 0, .took_ms = (uint32_t)(took_ns / 1000000)};
    memcpy(result->way, way->name, sizeof result->way);
    memcpy(result->text, err.text, sizeof result->text);
    if (--notify->n_testing == 0) {
        notify->has_results = true;
        (void)eventfd_write(notify->event_fd, 1);
    }
}

/* Pause before the next try; false when all ends. Called with the lock. */
static bool pause_before(struct way *way, uint64_t pause_ns)
{
    uint64_t until_ns = baro_now_ns() + pause_ns;
    while (!way->notify->is_stopping) {
        uint64_t now_ns = baro_now_ns();
        if (now_ns >= until_ns) {
            return true;
        }
        wait_on(&way->wake, &way->notify->lock, until_ns - now_ns);
        if (way->test != NULL) {
            run_test(way);
        }
    }
    return false;
}

/* Tell one, with further tries where they may help. Called with the lock. */
static void tell(struct way *way, struct notice *notice, uint64_t n_more)
{
    struct notify *notify = way->notify;
    uint64_t pause_ns = FIRST_PAUSE_MS * UINT64_C(1000000);
    struct baro_err err = {0};
    int rc = 0;
    for (int i = 1; i <= TRIES; i++) {
        pthread_mutex_unlock(&notify->lock);
        rc = notify_tell(&way->try, notice, n_more, &err);
        pthread_mutex_lock(&notify->lock);
        if (rc != BARO_EBUSY || i == TRIES) {
            break;
        }
        log_warn("%s: %s; trying again", way->name, err.text);
        if (!pause_before(way, pause_ns)) {
            break;
        }
        pause_ns *= 2;
    }
    const char *run = notice->run_id;
    uint64_t id = notice->incident->id;
    way->told_ns[way->n_told++ % notify->rate] = baro_now_ns();
    if (rc == 0) {
        notify->figures.n_sent++;
        log_info("%s: told incident %" PRIu64 " of run '%.64s'", way->name, id, run);
    } else {
        notify->figures.n_failed++;
        log_error("%s: incident %" PRIu64 " of run '%.64s' was not told: %s", way->name, id,
            run, err.text);
    }
    notice_release(notice);
}

static void *work(void *payload)
{
    struct way *way = payload;
    struct notify *notify = way->notify;
    pthread_mutex_lock(&notify->lock);
    for (;;) {
        if (way->test != NULL) {
            run_test(way);
            continue;
        }
        uint64_t n_more = 0;
        uint64_t wait_ns = 0;
        struct notice *notice =
            atomic_load(&notify->is_over) ? NULL : next_notice(way, &n_more, &wait_ns);
        if (notice != NULL) {
            tell(way, notice, n_more);
        } else if (notify->is_stopping) {
            break;
        } else {
            wait_on(&way->wake, &notify->lock, wait_ns);
        }
    }
    notify->n_running--;
    (void)pthread_cond_signal(&notify->ended);
    pthread_mutex_unlock(&notify->lock);
    return NULL;
}

/* ---- handing over ---- */

void notify_on_incident(struct notify *notify, const Baro__RunDescription *description,
    const Baro__Incident *before, const Baro__Incident *now)
{
    uint32_t known = before != NULL ? before->level : 0;
    bool is_told = known >= notify->level;
    bool is_rise = is_told && known < BARO_ALARM && now->level >= BARO_ALARM;
    if (notify->n_ways == 0 || now->level < notify->level || (is_told && !is_rise)) {
        return;
    }
    struct notice *notice = notice_create(description, now);
    if (notice->incident == NULL) {
        notice_release(notice);
        return;
    }
    notice->is_rise = is_rise;
    pthread_mutex_lock(&notify->lock);
    for (size_t i = 0; i < notify->n_ways; i++) {
        enqueue(&notify->ways[i], notice_keep(notice));
    }
    pthread_mutex_unlock(&notify->lock);
    notice_release(notice);
}

int notify_test(struct notify *notify, struct baro_err *err)
{
    if (notify->n_ways == 0) {
        return baro_err_set(err, BARO_ENOENT,
            "no way of notification is set up: see NOTIFICATION in barod(1)");
    }
    pthread_mutex_lock(&notify->lock);
    bool is_busy = notify->n_testing > 0 || notify->has_results;
    if (!is_busy) {
        struct notice *notice = notice_create_test();
        notify->n_testing = notify->n_ways;
        for (size_t i = 0; i < notify->n_ways; i++) {
            notify->ways[i].test = notice_keep(notice);
            (void)pthread_cond_signal(&notify->ways[i].wake);
        }
        notice_release(notice);
    }
    pthread_mutex_unlock(&notify->lock);
    return is_busy ? baro_err_set(err, BARO_EBUSY, "a test is under way already") : 0;
}

int notify_fd(const struct notify *notify)
{
    return notify->event_fd;
}

size_t notify_take_test(struct notify *notify, struct notify_result *out)
{
    eventfd_t ignored;
    size_t n = 0;
    (void)eventfd_read(notify->event_fd, &ignored);
    pthread_mutex_lock(&notify->lock);
    if (notify->has_results) {
        notify->has_results = false;
        n = notify->n_ways;
        memcpy(out, notify->results, n * sizeof *out);
    }
    pthread_mutex_unlock(&notify->lock);
    return n;
}

void notify_read(struct notify *notify, struct notify_figures *out_figures)
{
    pthread_mutex_lock(&notify->lock);
    *out_figures = notify->figures;
    pthread_mutex_unlock(&notify->lock);
}

/* ---- begin and end ---- */

/* Say at the start what will not work. */
static void check(const struct way *way)
{
    const struct notify_target *target = way->try.target;
    const char *program = target->kind == NOTIFY_COMMAND   ? target->words[0]
                          : target->kind == NOTIFY_DESKTOP ? "notify-send"
                                                           : NULL;
    bool has_mail = notify_has_program("sendmail") ||
                    notify_has_program("/usr/sbin/sendmail") ||
                    notify_has_program("/usr/lib/sendmail");
    if (program != NULL && !notify_has_program(program)) {
        log_warn("%s: there is no program '%.150s': nobody will be told this way",
            way->name, program);
    } else if (target->kind == NOTIFY_MAIL && !has_mail) {
        log_warn(
            "%s: there is no program 'sendmail': nobody will be told this way", way->name);
    } else {
        log_info("incidents are told by %s", way->name);
    }
}

static int open_way(struct notify *notify, const struct notify_options *options, size_t i,
    struct baro_err *err)
{
    struct way *way = &notify->ways[i];
    pthread_condattr_t monotonic;
    way->notify = notify;
    way->target = notify_target_copy(&options->targets[i]);
    way->try = (struct notify_try){
        .target = &way->target,
        .timeout_s = options->timeout_s != 0 ? options->timeout_s : NOTIFY_TIMEOUT_S,
        .is_over = &notify->is_over,
    };
    (void)notify_describe(way->try.target, way->name, sizeof way->name);
    way->told_ns = baro_xcalloc(notify->rate, sizeof *way->told_ns);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&way->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    notify->n_ways = i + 1;
    if (way->try.target->kind == NOTIFY_URL) {
        if (!notify->has_curl) {
            notify->has_curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
        }
        way->try.curl = notify->has_curl ? curl_multi_init() : NULL;
        if (way->try.curl == NULL) {
            return baro_err_set(err, BARO_EIO, "libcurl cannot be used");
        }
    }
    check(way);
    pthread_mutex_lock(&notify->lock);
    int number = pthread_create(&way->thread, NULL, work, way);
    way->has_thread = number == 0;
    notify->n_running += number == 0 ? 1 : 0;
    pthread_mutex_unlock(&notify->lock);
    return number == 0 ? 0
                       : baro_err_set(err, BARO_EIO, "no thread for notifications: %s",
                             strerror(number));
}

struct notify *notify_start(const struct notify_options *options, struct baro_err *err)
{
    struct notify *notify = baro_xcalloc(1, sizeof *notify);
    pthread_condattr_t monotonic;
    notify->level = options->level != 0 ? options->level : BARO_WATCH;
    notify->rate = options->rate != 0 ? options->rate : NOTIFY_RATE;
    notify->period_ns = UINT64_C(1000000000) *
                        (options->period_s != 0 ? options->period_s : NOTIFY_PERIOD_S);
    (void)pthread_mutex_init(&notify->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&notify->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    notify->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = notify->event_fd >= 0
                 ? 0
                 : baro_err_set(err, BARO_EIO, "no descriptor for notifications");
    for (size_t i = 0; rc == 0 && i < options->n_targets; i++) {
        rc = open_way(notify, options, i, err);
    }
    if (rc != 0) {
        notify_stop(notify);
        return NULL;
    }
    return notify;
}

/* Wait until all threads have ended, at most so long. Called with the lock. */
static void await_end(struct notify *notify, uint64_t wait_ms)
{
    uint64_t until_ns = baro_now_ns() + wait_ms * 1000000;
    for (;;) {
        uint64_t now_ns = baro_now_ns();
        if (notify->n_running == 0 || now_ns >= until_ns) {
            return;
        }
        wait_on(&notify->ended, &notify->lock, until_ns - now_ns);
    }
}

/* Say what will never be told. Called with the lock. */
static void drop_waiting(struct way *way)
{
    uint64_t n = way->n + way->n_held;
    for (; way->n > 0; way->n--) {
        notice_release(way->queue[way->first]);
        way->first = (way->first + 1) % QUEUE;
    }
    notice_release(BARO_TAKE(way->held));
    notice_release(BARO_TAKE(way->test));
    if (n > 0) {
        log_warn("%s: %" PRIu64 " notification%s not told: the daemon ends", way->name, n,
            n == 1 ? " was" : "s were");
    }
}

void notify_stop(struct notify *notify)
{
    if (notify == NULL) {
        return;
    }
    pthread_mutex_lock(&notify->lock);
    notify->is_stopping = true;
    for (size_t i = 0; i < notify->n_ways; i++) {
        (void)pthread_cond_signal(&notify->ways[i].wake);
    }
    await_end(notify, STOP_MS);
    atomic_store(&notify->is_over, true);
    await_end(notify, GIVE_UP_MS);
    bool is_stuck = notify->n_running > 0;
    for (size_t i = 0; i < notify->n_ways; i++) {
        drop_waiting(&notify->ways[i]);
    }
    pthread_mutex_unlock(&notify->lock);
    if (is_stuck) {
        return; /* a name that is looked up for ever: the process ends without it */
    }
    for (size_t i = 0; i < notify->n_ways; i++) {
        struct way *way = &notify->ways[i];
        if (way->has_thread) {
            (void)pthread_join(way->thread, NULL);
        }
        if (way->try.curl != NULL) {
            (void)curl_multi_cleanup(way->try.curl);
        }
        notify_target_finish(&way->target);
        free(way->told_ns);
        (void)pthread_cond_destroy(&way->wake);
    }
    if (notify->has_curl) {
        curl_global_cleanup();
    }
    baro_cleanup_close(&notify->event_fd);
    (void)pthread_cond_destroy(&notify->ended);
    (void)pthread_mutex_destroy(&notify->lock);
    free(notify);
}
