/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/baro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/base/text.h"
#include "lib/base/ticks.h"
#include "lib/push/due.h"
#include "lib/push/raw.h"
#include "lib/push/run.h"
#include "proto/wire.h"

/*
 * Opening and closing a run. What the caller says wins over the environment, that over defaults.
 *
 * fork(): a child must not write into its parent's ring, keep its ownership, or wait for a
 * thread that it does not have. The flag that every call looks at lies in a page which the
 * kernel wipes in a child, however that was made; a pthread_atfork handler also closes the
 * child's descriptors of rings. The child's copies of runs stay as they are, unreachable.
 *
 * Threads that still push while the run is closed (a program ends, its daemonic threads do not
 * know it yet) must not meet memory that is gone. The flag is shut first; then those inside are
 * waited for; and the little that run_enter() looks at is kept for some runs longer, for threads
 * that come after that.
 */

enum { MODE_ONLINE = 0, MODE_OFFLINE, MODE_OFF, MODE_COUNT };
static const char *const mode_names[MODE_COUNT] = {"online", "offline", "off"};

enum {
    RUN_ID_DIGITS = 10,
    SMALLEST_DEFAULT_RING = 4 << 20,
    SHM_SHARE = 4, /* of the free room in tmpfs at most a fourth by default */
    CLOSE_TURN_NS = 500000,
    CALLS_WAIT_MIN_MS = 100, /* for calls that are under way */
    CALLS_WAIT_MAX_MS = 1000,
    BURIED = 16
};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t runs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct baro_run *open_runs; /* guarded by runs_lock */

/* ---- fork ---- */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&runs_lock);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&runs_lock);
}

static void after_fork_in_child(void)
{
    for (struct baro_run *run = open_runs; run != NULL; run = run->next) {
        atomic_store_explicit(run->is_alive, 0, memory_order_relaxed);
        ringfile_disown(run->ring);
    }
    (void)pthread_mutex_unlock(&runs_lock);
}

static void install_fork_handlers(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void enlist(struct baro_run *run)
{
    (void)pthread_once(&fork_once, install_fork_handlers);
    (void)pthread_mutex_lock(&runs_lock);
    run->next = open_runs;
    open_runs = run;
    (void)pthread_mutex_unlock(&runs_lock);
}

static void delist(const struct baro_run *run)
{
    (void)pthread_mutex_lock(&runs_lock);
    struct baro_run **link = &open_runs;
    while (*link != NULL && *link != run) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = run->next;
    }
    (void)pthread_mutex_unlock(&runs_lock);
}

/* ---- options ---- */

const char *run_choose(
    const char *explicit_value, const char *variable, const char *otherwise)
{
    if (explicit_value != NULL && explicit_value[0] != '\0') {
        return explicit_value;
    }
    const char *value = variable != NULL ? getenv(variable) : NULL;
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

static int choose_mode(const struct baro_options *options, struct baro_err *err)
{
    const char *name = run_choose(options->mode, "BARO_MODE", "online");
    for (int i = 0; i < MODE_COUNT; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            return i;
        }
    }
    const char *nearest = baro_nearest(name, mode_names, MODE_COUNT);
    return baro_err_set(err, BARO_EINVAL,
        "mode '%.40s' is none of online, offline, off%s%s%s", name,
        nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
        nearest != NULL ? "'?" : "");
}

static int choose_bytes(
    const struct baro_options *options, uint64_t *out_bytes, struct baro_err *err)
{
    const char *text = getenv("BARO_RING_BYTES");
    *out_bytes = options->ring_bytes;
    if (*out_bytes == 0 && text != NULL && text[0] != '\0' &&
        !baro_parse_size(text, out_bytes)) {
        return baro_err_set(err, BARO_EINVAL,
            "BARO_RING_BYTES: '%.40s' is not a size; use a number with K, M, G or T", text);
    }
    return 0;
}

static int choose_endpoint(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err)
{
    const char *endpoint = run_choose(options->endpoint, "BARO_ENDPOINT", NULL);
    if (endpoint != NULL) {
        int n = snprintf(run->endpoint, sizeof run->endpoint, "%s", endpoint);
        if (n < 0 || (size_t)n >= sizeof run->endpoint) {
            return baro_err_set(err, BARO_EINVAL, "the endpoint is too long");
        }
        return keys_choose(run->endpoint, options->key_file, &run->keys, err);
    }
    char dir[BARO_PATH_BYTES];
    int rc = baro_data_dir(dir, err);
    return rc != 0 ? rc : wire_endpoint(dir, run->endpoint, sizeof run->endpoint, err);
}

static void random_id(char *out)
{
    static const char digits[33] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[RUN_ID_DIGITS];
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        uint64_t mix = (uint64_t)baro_wall_ns() * 0x9E3779B97F4A7C15U ^ (uint64_t)getpid();
        memcpy(random, &mix, sizeof mix);
        random[8] = (uint8_t)(mix >> 5);
        random[9] = (uint8_t)(mix >> 13);
    }
    for (int i = 0; i < RUN_ID_DIGITS; i++) {
        out[i] = digits[random[i] % 32];
    }
    out[RUN_ID_DIGITS] = '\0';
}

static int choose_run_id(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err)
{
    const char *id = run_choose(options->run_id, "BARO_RUN_ID", NULL);
    if (id == NULL) {
        random_id(run->run_id);
        return 0;
    }
    if (strlen(id) >= sizeof run->run_id || !baro_utf8_valid(id, strlen(id))) {
        return baro_err_set(err, BARO_EINVAL, "run id '%.40s': at most %d bytes of UTF-8",
            id, RUN_ID_BYTES - 1);
    }
    (void)snprintf(run->run_id, sizeof run->run_id, "%s", id);
    return 0;
}

/* ---- the ring ---- */

/* How large a ring may be here unless the user says so; 0: look elsewhere. */
static uint64_t default_bytes(const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0 || fs.f_blocks == 0) {
        return RINGFILE_DEFAULT_BYTES;
    }
    uint64_t share = (uint64_t)fs.f_bavail * fs.f_frsize / SHM_SHARE;
    uint64_t bytes = RINGFILE_DEFAULT_BYTES;
    while (bytes > share && bytes > SMALLEST_DEFAULT_RING) {
        bytes /= 2;
    }
    return bytes <= share ? bytes : 0;
}

static int create_ring(
    struct baro_run *run, const char *dir, uint64_t bytes, int rank, struct baro_err *err)
{
    int rc = baro_make_dir(dir, err);
    if (rc != 0) {
        return rc;
    }
    baro_autofree char *real =
        realpath(dir, NULL); /* the daemon is told where the ring lies */
    const struct ringfile_options options = {
        .dir = real != NULL ? real : dir,
        .data_bytes = bytes,
        .rank = (uint32_t)rank,
    };
    return ringfile_create(&run->ring, &options, err);
}

/* The folders to try when the user names none: tmpfs first, or the data folder when offline. */
static int create_default_ring(
    struct baro_run *run, bool is_offline, uint64_t bytes, int rank, struct baro_err *err)
{
    char dirs[2][BARO_PATH_BYTES];
    int shm = is_offline ? 1 : 0;
    int rc = baro_ring_dir(dirs[shm], err);
    char data[BARO_PATH_BYTES - 16];
    char whole[BARO_PATH_BYTES];
    if (rc == 0 && (rc = baro_data_dir(whole, err)) == 0) {
        size_t n = strnlen(whole, sizeof data - 1);
        memcpy(data, whole, n);
        data[n] = '\0';
        (void)snprintf(dirs[1 - shm], sizeof dirs[0], "%s/rings", data);
    }
    if (rc != 0) {
        return rc;
    }
    for (int i = 0; i < 2; i++) {
        rc = baro_make_dir(dirs[i], err);
        uint64_t fit = rc == 0 && bytes == 0 ? default_bytes(dirs[i]) : bytes;
        if (rc == 0 && fit == 0 && i == 0) {
            rc = BARO_EFULL;
            continue; /* a crowded tmpfs: leave it to those who need it */
        }
        if (rc == 0) {
            rc =
                create_ring(run, dirs[i], fit > 0 ? fit : SMALLEST_DEFAULT_RING, rank, err);
        }
        if (rc == 0) {
            break;
        }
    }
    return rc;
}

static int make_ring(struct baro_run *run, const struct baro_options *options,
    bool is_offline, struct baro_err *err)
{
    uint64_t bytes = 0;
    int rc = choose_bytes(options, &bytes, err);
    if (rc != 0) {
        return rc;
    }
    if (options->rank < 0 || options->n_ranks < 0 ||
        options->rank >= (options->n_ranks > 0 ? options->n_ranks : 1)) {
        return baro_err_set(err, BARO_EINVAL, "rank %d of %d ranks: 0 to n_ranks - 1 exist",
            options->rank, options->n_ranks);
    }
    run->rank = (uint32_t)options->rank;
    const char *dir = run_choose(options->ring_dir, "BARO_RING_DIR", NULL);
    if (dir != NULL) {
        return create_ring(run, dir, bytes, options->rank, err);
    }
    return create_default_ring(run, is_offline, bytes, options->rank, err);
}

/* ---- opening ---- */

static int allocate(struct baro_run *run, struct baro_err *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *flag =
        mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    run->is_alive = flag != MAP_FAILED ? flag : NULL;
    run->things = things_create();
    void *scratch = mmap(NULL, RUN_SCRATCHES * RUN_SCRATCH_FLOATS * sizeof(float),
        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    run->scratch = scratch != MAP_FAILED ? scratch : NULL;
    if (run->is_alive == NULL || run->things == NULL || run->scratch == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a run");
    }
    (void)madvise(flag, page, MADV_WIPEONFORK);
    atomic_store_explicit(run->is_alive, 1, memory_order_relaxed);
    return 0;
}

/* Free everything but what run_enter() looks at. */
static void release(struct baro_run *run)
{
    ringfile_close(run->ring);
    keys_forget(&run->keys.pair);
    things_destroy(run->things);
    governor_destroy(run->governor);
    if (run->scratch != NULL) {
        (void)munmap(run->scratch, RUN_SCRATCHES * RUN_SCRATCH_FLOATS * sizeof(float));
    }
}

static void free_run(struct baro_run *run)
{
    if (run->is_alive != NULL) {
        (void)munmap((void *)(uintptr_t)run->is_alive, (size_t)sysconf(_SC_PAGESIZE));
    }
    free(run);
}

/* Keep what is left of a released run until so many others have ended. */
static void bury(struct baro_run *run)
{
    static struct baro_run *buried[BURIED]; /* guarded by runs_lock */
    static unsigned n_buried;
    (void)pthread_mutex_lock(&runs_lock);
    struct baro_run *oldest = buried[n_buried % BURIED];
    buried[n_buried++ % BURIED] = run;
    (void)pthread_mutex_unlock(&runs_lock);
    if (oldest != NULL) {
        free_run(oldest);
    }
}

/* Leave a run to a thread that may still use it, until the process ends. In a list, so that
 * whoever looks for leaks sees that it is not forgotten. */
static void abandon(struct baro_run *run)
{
    static struct baro_run *volatile abandoned; /* guarded by runs_lock */
    (void)pthread_mutex_lock(&runs_lock);
    run->next = abandoned;
    abandoned = run;
    (void)pthread_mutex_unlock(&runs_lock);
}

static int open_run(struct baro_run *run, const struct baro_options *options,
    bool is_offline, struct baro_err *err)
{
    run->on_message = options->on_message;
    run->payload = options->payload;
    (void)ticks_wall_ns(ticks_now_ns()); /* the first look opens a file: not in a step */
    int rc = allocate(run, err);
    if (rc != 0 || (rc = due_open(run, options, err)) != 0 ||
        (rc = raw_choose(run, options, err)) != 0 ||
        (rc = steer_open(&run->steer, options, err)) != 0 ||
        (rc = choose_run_id(run, options, err)) != 0 ||
        (!is_offline && (rc = choose_endpoint(run, options, err)) != 0) ||
        (rc = make_ring(run, options, is_offline, err)) != 0) {
        return rc;
    }
    rc = run_describe(run, options, err);
    if (rc != 0) {
        (void)ringfile_unlink(run->ring);
        return rc;
    }
    enlist(run);
    struct baro_err thread_err = {0};
    if (!is_offline && run_start_sender(run, &thread_err) != 0) {
        run_say(run, thread_err.text);
    }
    return 0;
}

struct baro_run *baro_open(const struct baro_options *options, struct baro_err *err)
{
    const struct baro_options defaults = BARO_OPTIONS_INIT;
    options = options != NULL ? options : &defaults;
    int mode = choose_mode(options, err);
    if (mode < 0) {
        return NULL;
    }
    if (mode == MODE_OFF) {
        if (err != NULL) {
            *err = (struct baro_err){0};
        }
        return NULL;
    }
    struct baro_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        (void)baro_err_set(err, BARO_ENOMEM, "out of memory for a run");
        return NULL;
    }
    if (open_run(run, options, mode == MODE_OFFLINE, err) != 0) {
        release(run);
        free_run(run);
        return NULL;
    }
    return run;
}

/* ---- closing ---- */

static void put_status(struct baro_run *run)
{
    bool has_failed = atomic_load_explicit(&run->has_failed, memory_order_acquire);
    bool has_taken_back = atomic_load_explicit(&run->has_taken_back, memory_order_relaxed);
    double end = has_failed       ? READING_END_FAILED
                 : has_taken_back ? READING_END_TAKEN_BACK
                                  : READING_END_FINISHED;
    const struct ringfile_part parts[2] = {
        {&end, sizeof end}, {run->failure, has_failed ? strlen(run->failure) : 0}};
    const struct record_header header = {.kind = READING_STATUS,
        .step = atomic_load_explicit(&run->step, memory_order_relaxed),
        .time_ns = baro_wall_ns()};
    struct record_header drops = header;
    drops.kind = READING_DROPS;
    (void)ringfile_put_drops(run->ring, &drops);
    (void)ringfile_put(run->ring, &header, parts, 2);
}

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = CLOSE_TURN_NS};
    (void)nanosleep(&pause, NULL);
}

/* Wait until no thread is within a call; false when one stays too long. */
static bool wait_for_calls(const struct baro_run *run, int timeout_ms)
{
    int wait_ms = timeout_ms < CALLS_WAIT_MIN_MS   ? CALLS_WAIT_MIN_MS
                  : timeout_ms > CALLS_WAIT_MAX_MS ? CALLS_WAIT_MAX_MS
                                                   : timeout_ms;
    uint64_t end_ns = baro_now_ns() + (uint64_t)wait_ms * 1000000;
    while (atomic_load_explicit(&run->n_inside, memory_order_seq_cst) != 0) {
        if (baro_now_ns() >= end_ns) {
            return false;
        }
        pause_shortly();
    }
    return true;
}

/* Wait until the sender has nothing left, at most so long; whether it has. */
static bool wait_for_sender(struct baro_run *run, uint64_t end_ns)
{
    struct sender_progress progress;
    atomic_store_explicit(&run->is_closing, true, memory_order_release);
    sender_read_progress(run->sender, &progress);
    while (!progress.is_done && baro_now_ns() < end_ns) {
        pause_shortly();
        sender_read_progress(run->sender, &progress);
    }
    return progress.is_done;
}

int baro_close(struct baro_run *run, int timeout_ms)
{
    uint32_t alive = 1;
    if (!run_is_usable(run) || !atomic_compare_exchange_strong(run->is_alive, &alive, 0)) {
        return 0;
    }
    uint64_t end_ns = baro_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    bool is_left = wait_for_calls(run, timeout_ms);
    raw_close(run);
    if (atomic_load_explicit(&run->has_failed, memory_order_acquire)) {
        run_send_states(run);
    }
    put_status(run);
    bool is_done = run->sender != NULL && wait_for_sender(run, end_ns);
    delist(run);
    run_read_stats(run, &run->last);
    run->last.is_connected = 0;
    atomic_store_explicit(&run->has_last, true, memory_order_release);
    int rc = run_stop_sender(run);
    if (rc == BARO_ETIMEOUT ||
        (!is_left && atomic_load_explicit(&run->n_inside, memory_order_seq_cst) != 0)) {
        abandon(run);
        return BARO_ETIMEOUT;
    }
    ringfile_mark_closed(run->ring);
    if (is_done) {
        (void)ringfile_unlink(run->ring);
    }
    release(run);
    if (rc == 0) {
        bury(run);
    } else {
        abandon(run);
    }
    return is_done ? 0 : BARO_ETIMEOUT;
}
