/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/mem.h"

/*
 * The functions at the end have the names of libc's, so that libraries call them instead. Calls
 * on files outside of the folder pass through. A synchronisation does nothing real: what it
 * means is in the record, and the tests run at the speed of memory.
 *
 * A synchronisation that fails takes what was not safe yet with it, as a kernel may: the pages
 * count as clean afterwards, and come back from the disk as they were before.
 */

#define EXPORT __attribute__((visibility("default")))

enum { MAX_ENTRIES = 400000, META_BYTES = 4096, SECTOR_BYTES = 512, NAME_BYTES = 64 };

enum entry_kind { ENTRY_WRITE, ENTRY_TRUNCATE, ENTRY_SYNC, ENTRY_RENAME, ENTRY_FOLDER };

/* One thing that happened. */
struct entry {
    enum entry_kind kind;
    bool is_synchronous; /* a write that is safe when it returns */
    bool is_doubtful; /* told to have failed: never safe, whatever is synchronised later */
    ino_t file;
    char name[NAME_BYTES]; /* of the file then; ENTRY_RENAME: its new one */
    uint64_t at;
    size_t n_bytes;
    uint8_t *bytes;
    uint8_t *old; /* what stood there before */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct {
    bool is_on;
    bool is_recording;
    char dir[PATH_MAX];
    struct disk_fault fault;
    uint64_t n_calls[DISK_CALL_COUNT];
    uint64_t n_failures;
    struct entry *entries;
    size_t n_entries;
    size_t room;
    size_t first_unsafe;
} disk;

/* ---- the record ---- */

static void forget(void)
{
    for (size_t i = 0; i < disk.n_entries; i++) {
        free(disk.entries[i].bytes);
        free(disk.entries[i].old);
    }
    free(disk.entries);
    disk.entries = NULL;
    disk.n_entries = disk.room = disk.first_unsafe = 0;
}

static struct entry *add_entry(enum entry_kind kind, ino_t file, const char *name)
{
    if (disk.n_entries == disk.room) {
        disk.room = disk.room * 2 + 256;
        disk.entries = baro_xrealloc(disk.entries, disk.room, sizeof *disk.entries);
    }
    struct entry *entry = &disk.entries[disk.n_entries++];
    *entry = (struct entry){.kind = kind, .file = file};
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    return entry;
}

/* The name of a file of the folder that a descriptor is open on; false for any other. */
static bool is_ours(int fd, char *out_name, ino_t *out_file)
{
    char link[64];
    char path[PATH_MAX];
    struct stat info;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    size_t n_dir = strlen(disk.dir);
    if (n <= 0 || fstat(fd, &info) != 0) {
        return false;
    }
    path[n] = '\0';
    if (strncmp(path, disk.dir, n_dir) != 0 || strstr(path, "lock") != NULL) {
        return false;
    }
    *out_file = info.st_ino;
    (void)snprintf(out_name, NAME_BYTES, "%s", path[n_dir] == '/' ? path + n_dir + 1 : "");
    return true;
}

/* Whether this call is one that is to fail. */
static bool strikes(enum disk_call call)
{
    uint64_t n = ++disk.n_calls[call];
    const struct disk_fault *fault = &disk.fault;
    bool is_hit = fault->n_times > 0 && call == fault->call && n >= fault->nth &&
                  n - fault->nth < fault->n_times;
    disk.n_failures += is_hit ? 1 : 0;
    return is_hit;
}

static void note_write(
    int fd, const struct entry *like, const struct iovec *parts, int n_parts)
{
    size_t n_bytes = like->n_bytes;
    struct entry *entry = add_entry(ENTRY_WRITE, like->file, like->name);
    *entry = *like; /* ENTRY_WRITE is 0 */
    entry->bytes = baro_xcalloc(n_bytes + 1, 1);
    entry->old = baro_xcalloc(n_bytes + 1, 1);
    size_t done = 0;
    for (int i = 0; i < n_parts && done < n_bytes; i++) {
        size_t n = parts[i].iov_len < n_bytes - done ? parts[i].iov_len : n_bytes - done;
        memcpy(entry->bytes + done, parts[i].iov_base, n);
        done += n;
    }
    (void)pread(fd, entry->old, n_bytes, (off_t)like->at);
}

/* What was not safe is as it was before. */
static void lose_unsafe(int fd, ino_t file)
{
    for (size_t i = disk.n_entries; i > disk.first_unsafe; i--) {
        struct entry *entry = &disk.entries[i - 1];
        if (entry->kind == ENTRY_WRITE && entry->file == file && !entry->is_synchronous) {
            entry->is_doubtful = true;
            (void)syscall(SYS_pwrite64, fd, entry->old, entry->n_bytes, entry->at);
        }
    }
}

/* ---- control ---- */

void disk_begin(const char *dir, const struct disk_fault *fault, bool is_recording)
{
    (void)pthread_mutex_lock(&lock);
    forget();
    memset(disk.n_calls, 0, sizeof disk.n_calls);
    disk.n_failures = 0;
    disk.fault = fault != NULL ? *fault : (struct disk_fault){0};
    disk.is_recording = is_recording;
    disk.is_on = true;
    if (realpath(dir, disk.dir) == NULL) {
        abort();
    }
    (void)pthread_mutex_unlock(&lock);
}

void disk_end(void)
{
    (void)pthread_mutex_lock(&lock);
    forget();
    disk.is_on = false;
    (void)pthread_mutex_unlock(&lock);
}

uint64_t disk_calls(enum disk_call call)
{
    return disk.n_calls[call];
}

uint64_t disk_failures(void)
{
    return disk.n_failures;
}

size_t disk_recorded(void)
{
    return disk.n_entries;
}

/* ---- after the power went ---- */

static uint64_t draw(uint64_t *chance)
{
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance >> 11;
}

/* The first entry of a file that is not safe when n entries are over. */
static size_t unsafe_from(ino_t file, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        const struct entry *entry = &disk.entries[i - 1];
        if (entry->kind == ENTRY_SYNC && entry->file == file) {
            return i;
        }
    }
    return 0;
}

static void put_part(int fd, const struct entry *entry, uint64_t *chance, bool is_safe)
{
    if (is_safe || draw(chance) % 3 == 0) {
        (void)syscall(SYS_pwrite64, fd, entry->bytes, entry->n_bytes, entry->at);
        return;
    }
    for (size_t at = 0; at < entry->n_bytes; at += SECTOR_BYTES) {
        size_t n = entry->n_bytes - at < SECTOR_BYTES ? entry->n_bytes - at : SECTOR_BYTES;
        if (draw(chance) % 2 == 0) {
            (void)syscall(SYS_pwrite64, fd, entry->bytes + at, n, entry->at + at);
        }
    }
}

static const struct entry *first_write(ino_t file, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (disk.entries[i].file == file && disk.entries[i].kind == ENTRY_WRITE) {
            return &disk.entries[i];
        }
    }
    return NULL;
}

/* The entry that gave a file the name that it has in the end; NULL: no such file. */
static const struct entry *naming_of(ino_t file, size_t n, size_t n_names)
{
    const struct entry *naming = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct entry *entry = &disk.entries[i];
        bool is_first_write = naming == NULL && entry->kind == ENTRY_WRITE;
        bool is_renamed = entry->kind == ENTRY_RENAME && i < n_names;
        if (entry->file == file && (is_first_write || is_renamed)) {
            naming = entry;
        }
    }
    return naming;
}

/* Whether no file took the name over later. */
static bool is_last_of_name(const struct entry *naming, size_t n, size_t n_names)
{
    for (size_t i = (size_t)(naming - disk.entries) + 1; i < n; i++) {
        const struct entry *later = &disk.entries[i];
        if (later->file != naming->file && strcmp(later->name, naming->name) == 0 &&
            later == naming_of(later->file, n, n_names)) {
            return false;
        }
    }
    return true;
}

static void make_file(
    const char *to_dir, ino_t file, const char *name, size_t n, uint64_t *chance)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", to_dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        abort();
    }
    size_t unsafe = unsafe_from(file, n);
    for (size_t i = 0; i < n; i++) {
        const struct entry *entry = &disk.entries[i];
        if (entry->file != file) {
            continue;
        }
        if (entry->kind == ENTRY_TRUNCATE) {
            (void)syscall(SYS_ftruncate, fd, entry->at);
        } else if (entry->kind == ENTRY_WRITE) {
            bool is_safe = i < unsafe || entry->is_synchronous;
            put_part(fd, entry, chance, is_safe && !entry->is_doubtful);
        }
    }
    (void)close(fd);
}

void disk_crash(const char *to_dir, size_t n, uint64_t *chance)
{
    size_t n_names = 0; /* renames among these have surely happened */
    for (size_t i = 0; i < n; i++) {
        n_names = disk.entries[i].kind == ENTRY_FOLDER ? i + 1 : n_names;
    }
    if (draw(chance) % 2 == 0) {
        n_names = n;
    }
    for (size_t i = 0; i < n; i++) {
        const struct entry *entry = &disk.entries[i];
        if (entry->kind == ENTRY_WRITE && entry == first_write(entry->file, n)) {
            const struct entry *naming = naming_of(entry->file, n, n_names);
            if (is_last_of_name(naming, n, n_names)) {
                make_file(to_dir, entry->file, naming->name, n, chance);
            }
        }
    }
}

/* ---- the calls ---- */

/* Write parts at a place or, if at < 0, where the file stands. */
static ssize_t write_parts(int fd, const struct iovec *parts, int n_parts, off_t at)
{
    char name[NAME_BYTES];
    ino_t file = 0;
    (void)pthread_mutex_lock(&lock);
    bool is_mine = disk.is_on && is_ours(fd, name, &file);
    size_t n_bytes = 0;
    for (int i = 0; i < n_parts; i++) {
        n_bytes += parts[i].iov_len;
    }
    off_t begin = at >= 0 ? at : lseek(fd, 0, SEEK_CUR);
    bool is_dsync = is_mine && (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    bool is_meta = is_mine && n_bytes < META_BYTES && begin < 2 * META_BYTES;
    bool is_hit = is_mine && strikes(is_meta ? DISK_META : DISK_WRITE);
    size_t n = n_bytes;
    if (is_hit) {
        n = disk.fault.error == 0 ? n_bytes / 2 : is_dsync ? n_bytes : 0;
    }
    if (is_mine && n > 0 && (disk.is_recording || disk.fault.call == DISK_SYNC)) {
        struct entry like = {
            .is_synchronous = is_dsync && !is_hit,
            .is_doubtful = is_hit,
            .file = file,
            .at = (uint64_t)begin,
            .n_bytes = n,
        };
        memcpy(like.name, name, sizeof like.name);
        note_write(fd, &like, parts, n_parts);
    }
    int error = disk.fault.error;
    (void)pthread_mutex_unlock(&lock);
    size_t done = 0;
    ssize_t rc = 0;
    for (int i = 0; i < n_parts && done < n && rc >= 0; i++) {
        size_t part = parts[i].iov_len < n - done ? parts[i].iov_len : n - done;
        rc = at >= 0 ? syscall(SYS_pwrite64, fd, parts[i].iov_base, part, at + (off_t)done)
                     : syscall(SYS_write, fd, parts[i].iov_base, part);
        done += rc > 0 ? (size_t)rc : 0;
        n = rc >= 0 && (size_t)rc < part ? done : n;
    }
    if (is_hit && error != 0) {
        errno = error;
        return -1;
    }
    return rc < 0 && done == 0 ? -1 : (ssize_t)done;
}

/* Libraries call these by the plain name, our own code by that of the 64-bit forms. */
EXPORT ssize_t disk_pwrite(int fd, const void *bytes, size_t n_bytes, off_t at) __asm__(
    "pwrite");
EXPORT ssize_t disk_pwrite64(int fd, const void *bytes, size_t n_bytes, off_t at) __asm__(
    "pwrite64");
EXPORT int disk_ftruncate(int fd, off_t n_bytes) __asm__("ftruncate");
EXPORT int disk_ftruncate64(int fd, off_t n_bytes) __asm__("ftruncate64");

ssize_t disk_pwrite(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    struct iovec part = {(void *)(uintptr_t)bytes, n_bytes};
    return write_parts(fd, &part, 1, at);
}

ssize_t disk_pwrite64(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    return disk_pwrite(fd, bytes, n_bytes, at);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t n_bytes)
{
    if (!disk.is_on) {
        return syscall(SYS_write, fd, bytes, n_bytes);
    }
    struct iovec part = {(void *)(uintptr_t)bytes, n_bytes};
    return write_parts(fd, &part, 1, -1);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    if (!disk.is_on) {
        return syscall(SYS_writev, fd, parts, n_parts);
    }
    return write_parts(fd, parts, n_parts, -1);
}

static int synchronise(int fd, long call)
{
    char name[NAME_BYTES];
    ino_t file = 0;
    (void)pthread_mutex_lock(&lock);
    if (!disk.is_on || !is_ours(fd, name, &file)) {
        (void)pthread_mutex_unlock(&lock);
        return (int)syscall(call, fd);
    }
    int error = 0;
    if (name[0] == '\0') {
        (void)add_entry(ENTRY_FOLDER, file, name);
    } else if (strikes(DISK_SYNC)) {
        lose_unsafe(fd, file);
        error = disk.fault.error;
    } else if (disk.is_recording) {
        (void)add_entry(ENTRY_SYNC, file, name);
    }
    disk.first_unsafe = disk.n_entries;
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return error == 0 ? 0 : -1;
}

EXPORT int fdatasync(int fd)
{
    return synchronise(fd, SYS_fdatasync);
}

EXPORT int fsync(int fd)
{
    return synchronise(fd, SYS_fsync);
}

int disk_ftruncate(int fd, off_t n_bytes)
{
    char name[NAME_BYTES];
    ino_t file = 0;
    (void)pthread_mutex_lock(&lock);
    if (disk.is_on && disk.is_recording && is_ours(fd, name, &file)) {
        add_entry(ENTRY_TRUNCATE, file, name)->at = (uint64_t)n_bytes;
    }
    (void)pthread_mutex_unlock(&lock);
    return (int)syscall(SYS_ftruncate, fd, n_bytes);
}

int disk_ftruncate64(int fd, off_t n_bytes)
{
    return disk_ftruncate(fd, n_bytes);
}

EXPORT int rename(const char *from, const char *to)
{
    struct stat info;
    (void)pthread_mutex_lock(&lock);
    if (disk.is_on && disk.is_recording && stat(from, &info) == 0) {
        const char *name = strrchr(to, '/');
        (void)add_entry(ENTRY_RENAME, info.st_ino, name != NULL ? name + 1 : to);
    }
    (void)pthread_mutex_unlock(&lock);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
