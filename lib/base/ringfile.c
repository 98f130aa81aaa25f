/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/ringfile.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ringfile_impl.h"
#include "lib/base/text.h"

/*
 * Birth and opening. A new ring gets its name only when it is whole, reserved and owned: it is
 * made as NAME.ring.new and renamed, so nobody ever lists half a ring.
 */

enum {
    PAGE = 4096,
    NAME_BYTES = 96,
    LOCK_TRIES = 20,
    MIN_STICKY = 1 << 20,
    MAX_STICKY = 8 << 20,
    MAX_STICKY_READ = 64 << 20,
    MAX_STATES_READ = 64 << 20,
    MAX_STATES = 3 << 20 /* of random numbers: a thousand steps of torch's, with a GPU's */
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* Say why a folder does not take a ring: one sentence with folder, need and what to do. */
static int refuse_dir(struct baro_err *err, const char *dir, uint64_t need, int number)
{
    char text[32];
    (void)baro_format_bytes(need, text, sizeof text);
    switch (number) {
    case ENOSPC:
    case EDQUOT: {
        struct statvfs fs;
        char room[32] = "not enough";
        if (statvfs(dir, &fs) == 0) {
            (void)baro_format_bytes((uint64_t)fs.f_bavail * fs.f_frsize, room, sizeof room);
        }
        return baro_err_set(err, BARO_EFULL,
            "ring folder '%s': %s needed, %s free: set BARO_RING_BYTES lower or "
            "BARO_RING_DIR to another folder",
            dir, text, room);
    }
    case EFBIG:
        return baro_err_set(err, BARO_EFULL,
            "ring folder '%s': %s needed, over the limit on file sizes (ulimit -f): set "
            "BARO_RING_BYTES lower",
            dir, text);
    case EROFS:
    case EACCES:
    case EPERM:
        return baro_err_set(err, BARO_EACCES,
            "ring folder '%s' cannot be written (%s), %s needed: set BARO_RING_DIR to another "
            "folder",
            dir, strerror(number), text);
    case ENOENT:
    case ENOTDIR:
        return baro_err_set(err, BARO_ENOENT,
            "ring folder '%s' does not exist (%s needed): make it or set BARO_RING_DIR",
            dir, text);
    default:
        return baro_err_set(err, BARO_EIO,
            "ring folder '%s', %s needed: %s; set BARO_RING_DIR to another folder", dir,
            text, strerror(number));
    }
}

/* Would reserving so much fail, or worse (SIGXFSZ)? An errno, or 0. */
static int check_room(const char *dir, uint64_t need)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        need > limit.rlim_cur) {
        return EFBIG;
    }
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0) {
        return errno;
    }
    if (fs.f_blocks > 0 && (uint64_t)fs.f_bavail * fs.f_frsize < need) {
        return ENOSPC;
    }
    return 0;
}

/* Keep clear of descriptors 0 to 2: a program that closed them may print into ours. */
static int above_std(int fd)
{
    if (fd < 0 || fd > 2) {
        return fd;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int number = errno;
    (void)close(fd);
    errno = number;
    return moved;
}

/* Take the ownership; a lister may hold the lock for a moment. */
static bool take_ownership(int fd)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* Make, own and reserve the file; an errno, or 0. */
static int make_file(struct ringfile *ring, const char *path, uint64_t bytes)
{
    ring->fd =
        above_std(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (ring->fd < 0) {
        return errno;
    }
    if (!take_ownership(ring->fd)) {
        return EBUSY;
    }
    int rc;
    do {
        rc = posix_fallocate(ring->fd, 0, (off_t)bytes);
    } while (rc == EINTR);
    if (rc != 0) {
        return rc;
    }
    void *map =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, 0);
    if (map == MAP_FAILED) {
        return errno;
    }
    (void)madvise(map, bytes, MADV_DONTFORK); /* a child must not keep it alive */
    ring->map = map;
    ring->map_bytes = bytes;
    ring->page = map;
    ring->sticky = (_Atomic uint64_t *)((char *)map + RINGFILE_HEADER_BYTES);
    ring->data =
        (_Atomic uint64_t *)((char *)map + RINGFILE_HEADER_BYTES + ring->sticky_bytes);
    return 0;
}

static void fill_page(struct ringfile *ring, const uint8_t *stream, uint32_t rank)
{
    struct ringfile_page *page = ring->page;
    assert(page != NULL);
    memcpy(page->magic, RINGFILE_MAGIC, sizeof page->magic);
    page->version = RINGFILE_VERSION;
    page->header_bytes = RINGFILE_HEADER_BYTES;
    page->sticky_bytes = ring->sticky_bytes;
    page->data_bytes = ring->data_bytes;
    page->state_bytes = ring->state_bytes;
    memcpy(page->stream, stream, RINGFILE_STREAM_BYTES);
    page->rank = rank;
    page->pid = (uint32_t)getpid();
    page->process_start = baro_process_start(getpid());
    page->created_ns = baro_wall_ns();
    baro_boot_id(page->boot_id);
}

static int format_path(char *out, const char *dir, const uint8_t *stream)
{
    int n = snprintf(out, BARO_PATH_BYTES, "%s/baro-%ld-", dir, (long)getpid());
    if (n < 0 || n > BARO_PATH_BYTES - NAME_BYTES) {
        return BARO_ELIMIT;
    }
    for (int i = 0; i < RINGFILE_STREAM_BYTES; i++) {
        n += snprintf(out + n, BARO_PATH_BYTES - (size_t)n, "%02x", stream[i]);
    }
    (void)snprintf(out + n, BARO_PATH_BYTES - (size_t)n, RINGFILE_SUFFIX ".new");
    return 0;
}

static int choose_sizes(
    struct ringfile *ring, const struct ringfile_options *options, struct baro_err *err)
{
    uint64_t data = options->data_bytes > 0 ? options->data_bytes : RINGFILE_DEFAULT_BYTES;
    if (data < RINGFILE_MIN_BYTES || data > RINGFILE_MAX_BYTES ||
        options->sticky_bytes > MAX_STICKY_READ) {
        return baro_err_set(err, BARO_EINVAL,
            "a ring of %llu bytes: it takes 1 MiB to 1 TiB; see BARO_RING_BYTES",
            (unsigned long long)data);
    }
    uint64_t sticky = options->sticky_bytes;
    if (sticky == 0) {
        sticky = data / 16 < MIN_STICKY ? MIN_STICKY : data / 16;
        sticky = sticky > MAX_STICKY ? MAX_STICKY : sticky;
    }
    ring->data_bytes = round_up(data);
    ring->sticky_bytes = round_up(sticky);
    uint64_t states = ring->data_bytes / 16;
    ring->state_bytes = round_up(states > MAX_STATES ? MAX_STATES : states);
    return 0;
}

static int create(
    struct ringfile *ring, const struct ringfile_options *options, struct baro_err *err)
{
    int rc = choose_sizes(ring, options, err);
    if (rc != 0 || (rc = baro_check_local_fs(options->dir, err)) != 0) {
        return rc;
    }
    uint64_t bytes =
        RINGFILE_HEADER_BYTES + ring->sticky_bytes + ring->data_bytes + ring->state_bytes;
    int number = check_room(options->dir, bytes);
    if (number != 0) {
        return refuse_dir(err, options->dir, bytes, number);
    }
    uint8_t stream[RINGFILE_STREAM_BYTES];
    if (getrandom(stream, sizeof stream, GRND_NONBLOCK) != (ssize_t)sizeof stream) {
        return baro_err_set(err, BARO_EIO, "no random numbers: %s", strerror(errno));
    }
    char path[BARO_PATH_BYTES];
    if (format_path(path, options->dir, stream) != 0) {
        return baro_err_set(err, BARO_ELIMIT,
            "ring folder '%.100s...': the path is too long", options->dir);
    }
    ring->path = strdup(path);
    ring->states = ringfile_states_create();
    if (ring->path == NULL || ring->states == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a ring");
    }
    number = make_file(ring, path, bytes);
    if (number == 0) {
        fill_page(ring, stream, options->rank);
        ring->path[strlen(path) - strlen(".new")] = '\0';
        number = rename(path, ring->path) == 0 ? 0 : errno;
    }
    if (number != 0) {
        if (ring->fd >= 0) {
            (void)unlink(path);
        }
        return refuse_dir(err, options->dir, bytes, number);
    }
    return 0;
}

int ringfile_create(struct ringfile **out_ring, const struct ringfile_options *options,
    struct baro_err *err)
{
    struct ringfile *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a ring");
    }
    ring->fd = -1;
    int rc = create(ring, options, err);
    if (rc != 0) {
        ringfile_close(ring);
        return rc;
    }
    *out_ring = ring;
    return 0;
}

static int refuse_open(struct baro_err *err, const char *path, int number)
{
    int code = BARO_EIO;
    if (number == ENOENT) {
        code = BARO_ENOENT;
    } else if (number == EACCES || number == EPERM || number == ELOOP || number == EROFS) {
        code = BARO_EACCES;
    }
    return baro_err_set(err, code, "ring '%.140s': %s", path, strerror(number));
}

/* Check the untrusted first page of an opened file. */
static int check_page(struct ringfile *ring, uint64_t file_bytes, struct baro_err *err)
{
    struct ringfile_page page;
    if (pread(ring->fd, &page, sizeof page, 0) != (ssize_t)sizeof page ||
        memcmp(page.magic, RINGFILE_MAGIC, sizeof page.magic) != 0) {
        return baro_err_set(err, BARO_ECORRUPT, "'%.140s' is not a ring", ring->path);
    }
    if (page.version < 1 || page.version > RINGFILE_VERSION) {
        return baro_err_set(err, BARO_EVERSION,
            "ring '%.120s' has format %u, this version reads 1 to %d: use the baro that made it",
            ring->path, page.version, RINGFILE_VERSION);
    }
    uint64_t states = page.version > 1 ? page.state_bytes : 0;
    if (page.header_bytes != RINGFILE_HEADER_BYTES || page.sticky_bytes % PAGE != 0 ||
        page.sticky_bytes > MAX_STICKY_READ || page.data_bytes % PAGE != 0 ||
        page.data_bytes < PAGE || page.data_bytes > RINGFILE_MAX_BYTES ||
        states % PAGE != 0 || states > MAX_STATES_READ ||
        RINGFILE_HEADER_BYTES + page.sticky_bytes + page.data_bytes + states !=
            file_bytes) {
        return baro_err_set(err, BARO_ECORRUPT,
            "ring '%.140s' is damaged: its sizes do not fit its %llu bytes", ring->path,
            (unsigned long long)file_bytes);
    }
    ring->sticky_bytes = page.sticky_bytes;
    ring->data_bytes = page.data_bytes;
    ring->state_bytes = states;
    uint64_t head;
    uint64_t tail;
    int rc = RINGFILE_LOAD(ring, head, &head);
    if (rc == 0) {
        rc = RINGFILE_LOAD(ring, tail, &tail);
    }
    if (rc != 0 || head % 8 != 0 || tail % 8 != 0 || tail > head + page.data_bytes ||
        head > UINT64_MAX / 2) {
        return baro_err_set(err, BARO_ECORRUPT,
            "ring '%.140s' is damaged: its ends make no sense", ring->path);
    }
    return 0;
}

static int open_existing(
    struct ringfile *ring, const char *path, enum ringfile_use use, struct baro_err *err)
{
    ring->path = strdup(path);
    if (ring->path == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a ring");
    }
    int flags = use == RINGFILE_RECOVER ? O_RDWR : O_RDONLY;
    ring->fd = above_std(open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat st;
    if (ring->fd < 0 || fstat(ring->fd, &st) != 0) {
        return refuse_open(err, path, errno);
    }
    if (!S_ISREG(st.st_mode)) {
        return baro_err_set(err, BARO_ECORRUPT, "'%.140s' is not a ring", path);
    }
    if (st.st_uid != geteuid()) {
        return baro_err_set(
            err, BARO_EACCES, "ring '%.140s' belongs to somebody else", path);
    }
    if (use == RINGFILE_RECOVER && !take_ownership(ring->fd)) {
        return baro_err_set(err, BARO_EBUSY,
            "ring '%.140s' is in use: its process is alive, or another one recovers it",
            path);
    }
    return check_page(ring, (uint64_t)st.st_size, err);
}

int ringfile_open(struct ringfile **out_ring, const char *path, enum ringfile_use use,
    struct baro_err *err)
{
    struct ringfile *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a ring");
    }
    ring->fd = -1;
    int rc = open_existing(ring, path, use, err);
    if (rc != 0) {
        ringfile_close(ring);
        return rc;
    }
    *out_ring = ring;
    return 0;
}

void ringfile_close(struct ringfile *ring)
{
    if (ring == NULL) {
        return;
    }
    if (ring->map != NULL) {
        (void)munmap(ring->map, ring->map_bytes);
    }
    if (ring->fd >= 0) {
        (void)close(ring->fd);
    }
    free(ring->states);
    free(ring->path);
    free(ring);
}

int ringfile_unlink(struct ringfile *ring)
{
    struct stat ours;
    struct stat named;
    if (fstat(ring->fd, &ours) != 0 || lstat(ring->path, &named) != 0 ||
        ours.st_ino != named.st_ino || ours.st_dev != named.st_dev) {
        return BARO_ENOENT;
    }
    return unlink(ring->path) == 0 ? 0 : BARO_EACCES;
}

const char *ringfile_path(const struct ringfile *ring)
{
    return ring->path;
}

void ringfile_disown(struct ringfile *ring)
{
    if (ring->fd >= 0) {
        (void)close(ring->fd);
        ring->fd = -1;
    }
}

static int read_counters(struct ringfile *ring, struct ringfile_info *info)
{
    uint64_t head = 0;
    uint64_t tail = 0;
    uint64_t acked_pos = 0;
    uint64_t is_closed = 0;
    uint64_t doubt_records = 0;
    uint64_t doubt_bytes = 0;
    int rc = 0;
    rc |= RINGFILE_LOAD(ring, is_closed, &is_closed);
    rc |= RINGFILE_LOAD(ring, head, &head);
    rc |= RINGFILE_LOAD(ring, head_seq, &info->head_seq);
    rc |= RINGFILE_LOAD(ring, tail, &tail);
    rc |= RINGFILE_LOAD(ring, acked_seq, &info->acked_seq);
    rc |= RINGFILE_LOAD(ring, acked_pos, &acked_pos);
    rc |= RINGFILE_LOAD(ring, dropped_records, &info->dropped_records);
    rc |= RINGFILE_LOAD(ring, dropped_bytes, &info->dropped_bytes);
    rc |= RINGFILE_LOAD(ring, told_records, &info->told_records);
    rc |= RINGFILE_LOAD(ring, told_bytes, &info->told_bytes);
    rc |= RINGFILE_LOAD(ring, doubt_records, &doubt_records);
    rc |= RINGFILE_LOAD(ring, doubt_bytes, &doubt_bytes);
    if (ring->map == NULL) { /* nobody is left who could still learn that they arrived */
        info->dropped_records += doubt_records;
        info->dropped_bytes += doubt_bytes;
    }
    uint64_t from = acked_pos > tail ? acked_pos : tail;
    info->unacked_bytes = head > from ? head - from : 0;
    info->head_bytes = head;
    info->is_closed = is_closed != 0;
    return rc != 0 ? BARO_EIO : 0;
}

int ringfile_read_info(struct ringfile *ring, struct ringfile_info *out_info)
{
    struct ringfile_page copy;
    const struct ringfile_page *page = ring->page;
    if (page == NULL) {
        if (pread(ring->fd, &copy, sizeof copy, 0) != (ssize_t)sizeof copy) {
            return BARO_EIO;
        }
        page = &copy;
    }
    struct ringfile_info info = {
        .rank = page->rank,
        .pid = page->pid,
        .process_start = page->process_start,
        .created_ns = page->created_ns,
        .sticky_bytes = ring->sticky_bytes,
        .data_bytes = ring->data_bytes,
        .state_bytes = ring->state_bytes,
        .sticky_used = ringfile_sticky_used(ring),
    };
    memcpy(info.stream, page->stream, sizeof info.stream);
    memcpy(info.boot_id, page->boot_id, sizeof info.boot_id - 1);
    int rc = read_counters(ring, &info);
    if (rc == 0) {
        *out_info = info;
    }
    return rc;
}

void ringfile_mark_closed(struct ringfile *ring)
{
    if (ring->map != NULL && ringfile_lock(ring)) {
        uint64_t acked = 0;
        (void)RINGFILE_LOAD(ring, acked_seq, &acked);
        ringfile_settle(ring, acked, true);
        ringfile_unlock(ring);
    }
    (void)RINGFILE_STORE(ring, is_closed, 1);
}

static bool is_fd_owned(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK;
    }
    (void)flock(fd, LOCK_UN);
    return false;
}

bool ringfile_is_owned(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    bool is_owned = is_fd_owned(fd);
    (void)close(fd);
    return is_owned;
}

static bool has_suffix(const char *name)
{
    size_t n = strlen(name);
    size_t m = strlen(RINGFILE_SUFFIX);
    return n > m && strcmp(name + n - m, RINGFILE_SUFFIX) == 0;
}

static void read_entry(struct ringfile_entry *entry)
{
    struct ringfile *ring = NULL;
    struct stat st;
    entry->file_bytes = lstat(entry->path, &st) == 0 ? (uint64_t)st.st_size : 0;
    entry->code = ringfile_open(&ring, entry->path, RINGFILE_PEEK, &entry->err);
    if (entry->code == 0 && ring != NULL) {
        entry->is_owned = is_fd_owned(ring->fd);
        entry->code = ringfile_read_info(ring, &entry->info);
    }
    ringfile_close(ring);
}

int ringfile_list(
    const char *dir, ringfile_visit_fn visit, void *payload, struct baro_err *err)
{
    DIR *folder = opendir(dir);
    if (folder == NULL) {
        return errno == ENOENT ? 0 : refuse_open(err, dir, errno);
    }
    struct ringfile_entry *entry = calloc(1, sizeof *entry);
    int rc = 0;
    const struct dirent *item;
    while (rc == 0 && entry != NULL && (item = readdir(folder)) != NULL) {
        if (!has_suffix(item->d_name)) {
            continue;
        }
        memset(entry, 0, sizeof *entry);
        int n = snprintf(entry->path, sizeof entry->path, "%s/%s", dir, item->d_name);
        if (n > 0 && (size_t)n < sizeof entry->path) {
            read_entry(entry);
            rc = visit(entry, payload);
        }
    }
    if (entry == NULL) {
        rc = baro_err_set(err, BARO_ENOMEM, "out of memory to list rings");
    }
    free(entry);
    (void)closedir(folder);
    return rc;
}
