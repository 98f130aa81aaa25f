/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded before libc into barod, or a training, by the tests of faults (LD_PRELOAD): makes calls
 * on the store's files fail, kills the process at a chosen one, and shifts the wall clock. What
 * it does is told by a small mapped file, whose path is in FAULT_CONTROL and which faults.py
 * writes at any time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { META_BYTES = 4096 };

/* How a kill meets the call at which it comes. */
enum kill_mode { KILL_BEFORE = 0, KILL_AFTER, KILL_HALF };

/* The mapped file; numbers of 8 bytes, in this order in faults.py. */
struct control {
    _Atomic int64_t write_errno; /* pages cannot be written; 0: they can */
    _Atomic int64_t sync_errno;
    _Atomic int64_t meta_errno; /* the page that makes a transaction count */
    _Atomic int64_t kill_in;    /* kill at the so-many-th call from now; 0: never */
    _Atomic int64_t kill_mode;  /* enum kill_mode */
    _Atomic int64_t clock_ns;   /* added to the wall clock */
    _Atomic int64_t n_calls;
    _Atomic int64_t n_failed;
};

static struct control nothing;
static struct control *control = &nothing;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("FAULT_CONTROL");
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map != MAP_FAILED) {
        control = map;
    }
}

static int is_store(int fd)
{
    char link[64];
    char path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) {
        return 0;
    }
    path[n] = '\0';
    const char *name = strrchr(path, '/');
    return name != NULL && strncmp(name, "/store.mdb", 10) == 0 &&
           strstr(name, "lock") == NULL;
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;) {
        (void)pause();
    }
}

/* Count a call; true when the process is to end with it. */
static int is_last(void)
{
    (void)atomic_fetch_add(&control->n_calls, 1);
    return atomic_load(&control->kill_in) > 0 &&
           atomic_fetch_sub(&control->kill_in, 1) == 1;
}

static int fails(int64_t error)
{
    if (error == 0) {
        return 0;
    }
    (void)atomic_fetch_add(&control->n_failed, 1);
    errno = (int)error;
    return 1;
}

/* Write parts at a place, or where the file stands if at < 0. */
static ssize_t put(int fd, const struct iovec *parts, int n_parts, off_t at)
{
    return at >= 0 ? syscall(SYS_pwritev, fd, parts, n_parts, at, 0L)
                   : syscall(SYS_writev, fd, parts, n_parts);
}

static ssize_t write_parts(int fd, const struct iovec *parts, int n_parts, off_t at)
{
    if (control == &nothing || !is_store(fd)) {
        return put(fd, parts, n_parts, at);
    }
    size_t n_bytes = 0;
    for (int i = 0; i < n_parts; i++) {
        n_bytes += parts[i].iov_len;
    }
    off_t begin = at >= 0 ? at : lseek(fd, 0, SEEK_CUR);
    int is_meta = n_bytes < META_BYTES && begin < 2 * META_BYTES;
    if (is_last()) {
        int64_t mode = atomic_load(&control->kill_mode);
        struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
        if (mode == KILL_AFTER) {
            (void)!put(fd, parts, n_parts, at);
        } else if (mode == KILL_HALF && !is_meta) {
            (void)!put(fd, &half, 1, at);
        }
        die();
    }
    if (is_meta && atomic_load(&control->meta_errno) != 0) {
        if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0) { /* in the page cache it is */
            (void)!put(fd, parts, n_parts, at);
        }
        (void)fails(atomic_load(&control->meta_errno));
        return -1;
    }
    if (!is_meta && fails(atomic_load(&control->write_errno))) {
        return -1;
    }
    return put(fd, parts, n_parts, at);
}

static int synchronise(int fd, long call)
{
    if (control != &nothing && is_store(fd)) {
        if (is_last()) {
            if (atomic_load(&control->kill_mode) == KILL_AFTER) {
                (void)syscall(call, fd);
            }
            die();
        }
        if (fails(atomic_load(&control->sync_errno))) {
            return -1;
        }
    }
    return (int)syscall(call, fd);
}

/* Libraries use the plain names, our own code those of the 64-bit forms. */
EXPORT ssize_t shim_pwrite(int fd, const void *bytes, size_t n, off_t at) __asm__("pwrite");
EXPORT ssize_t shim_pwrite64(int fd, const void *bytes, size_t n, off_t at) __asm__(
    "pwrite64");

ssize_t shim_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    struct iovec part = {(void *)(uintptr_t)bytes, n};
    return write_parts(fd, &part, 1, at);
}

ssize_t shim_pwrite64(int fd, const void *bytes, size_t n, off_t at)
{
    return shim_pwrite(fd, bytes, n, at);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t n)
{
    struct iovec part = {(void *)(uintptr_t)bytes, n};
    return write_parts(fd, &part, 1, -1);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    return write_parts(fd, parts, n_parts, -1);
}

EXPORT int fdatasync(int fd)
{
    return synchronise(fd, SYS_fdatasync);
}

EXPORT int fsync(int fd)
{
    return synchronise(fd, SYS_fsync);
}

EXPORT int rename(const char *from, const char *to)
{
    int is_ours = control != &nothing && strstr(to, "/store.mdb") != NULL;
    int ends = is_ours && is_last();
    if (ends && atomic_load(&control->kill_mode) == KILL_BEFORE) {
        die();
    }
    int rc = (int)syscall(SYS_rename, from, to);
    if (ends) {
        die();
    }
    return rc;
}

/* ---- the wall clock ---- */

EXPORT int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = real_clock != NULL ? real_clock(clock, out)
                                : (int)syscall(SYS_clock_gettime, clock, out);
    int64_t shift = atomic_load(&control->clock_ns);
    if (rc == 0 && shift != 0 &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + shift;
        out->tv_sec = ns / 1000000000;
        out->tv_nsec = ns % 1000000000;
    }
    return rc;
}

EXPORT time_t time(time_t *out)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}
