/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { OUT_BUFFER_BYTES = 1 << 20 };

static const char PART_SUFFIX[] = ".part";

static int code_of(int system_code)
{
    switch (system_code) {
    case EACCES:
    case EPERM:
    case EROFS: return BARO_EACCES;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return BARO_EFULL;
    case ENOENT:
    case ENOTDIR: return BARO_ENOENT;
    default: return BARO_EIO;
    }
}

static const char *name_of(const struct out_file *out)
{
    return out->path != NULL ? out->path : "standard output";
}

void out_fail(struct out_file *out, const char *doing, int code)
{
    if (out->err.code == 0) {
        (void)baro_err_set(
            &out->err, code_of(code), "%s '%s': %s", doing, name_of(out), strerror(code));
    }
}

/* ---- beginning ---- */

static int check_path(const char *path, bool may_replace, struct baro_err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return 0;
    }
    if (S_ISDIR(info.st_mode)) {
        return baro_err_set(err, BARO_EEXIST, "'%s' is a folder: name a file", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return baro_err_set(
            err, BARO_EEXIST, "'%s' is no plain file; -o - is standard output", path);
    }
    return may_replace ? 0
                       : baro_err_set(err, BARO_EEXIST,
                             "'%s' is there already; --force replaces it", path);
}

/* Open FILE.part; one that a killed process left behind is written over. */
static int open_part(struct out_file *out, struct baro_err *err)
{
    int fd = open(out->part_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
        return baro_err_set(
            err, code_of(errno), "cannot write '%s': %s", out->part_path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        (void)close(fd);
        return baro_err_set(
            err, BARO_EBUSY, "another process is writing '%s'", out->part_path);
    }
    if (ftruncate(fd, 0) != 0) {
        int code = errno;
        (void)close(fd);
        return baro_err_set(
            err, code_of(code), "cannot write '%s': %s", out->part_path, strerror(code));
    }
    out->fd = fd;
    return 0;
}

int out_open(const char *path, bool may_replace, struct out_file *out, struct baro_err *err)
{
    *out = (struct out_file){.fd = STDOUT_FILENO, .may_replace = may_replace};
    if (strcmp(path, "-") != 0) {
        int rc = check_path(path, may_replace, err);
        if (rc != 0) {
            return rc;
        }
        char *real = realpath(path, NULL); /* a link stays, what it leads to is replaced */
        out->path = real != NULL ? real : baro_xstrdup(path);
        size_t n_bytes = strlen(out->path) + sizeof PART_SUFFIX;
        out->part_path = baro_xcalloc(n_bytes, 1);
        (void)snprintf(out->part_path, n_bytes, "%s%s", out->path, PART_SUFFIX);
        rc = open_part(out, err);
        if (rc != 0) {
            free(out->part_path);
            free(out->path);
            *out = (struct out_file){0};
            return rc;
        }
    }
    out->buffer = baro_xcalloc(OUT_BUFFER_BYTES, 1);
    return 0;
}

int out_scratch(struct out_file *out)
{
    char folder[4096];
    const char *slash = strrchr(out->path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s",
        slash == NULL ? 1 : (int)(slash - out->path) + 1, slash == NULL ? "." : out->path);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* not every file system has nameless files */
        char name[4200];
        (void)snprintf(name, sizeof name, "%s.baro-XXXXXX", folder);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0) {
            (void)unlink(name);
        }
    }
    if (fd < 0) {
        out_fail(out, "write beside", errno);
    }
    return fd;
}

/* ---- writing ---- */

static void write_at(struct out_file *out, const uint8_t *bytes, size_t n_bytes)
{
    while (n_bytes > 0 && out->err.code == 0) {
        ssize_t n = write(out->fd, bytes, n_bytes);
        if (n < 0 && errno != EINTR) {
            out_fail(out, "write", errno);
        }
        if (n > 0) {
            bytes += n;
            n_bytes -= (size_t)n;
        }
    }
}

static void flush(struct out_file *out)
{
    write_at(out, out->buffer, out->n_buffered);
    out->n_buffered = 0;
}

void out_write(struct out_file *out, const void *bytes, size_t n_bytes)
{
    if (out->n_buffered + n_bytes > OUT_BUFFER_BYTES) {
        flush(out);
    }
    if (n_bytes > OUT_BUFFER_BYTES) {
        write_at(out, bytes, n_bytes);
    } else if (n_bytes > 0) {
        memcpy(out->buffer + out->n_buffered, bytes, n_bytes);
        out->n_buffered += n_bytes;
    }
    out->n_bytes += n_bytes;
}

uint8_t *out_reserve(struct out_file *out, size_t n_bytes)
{
    if (out->n_buffered + n_bytes > OUT_BUFFER_BYTES) {
        flush(out);
    }
    return out->buffer + out->n_buffered;
}

void out_advance(struct out_file *out, size_t n_bytes)
{
    out->n_buffered += n_bytes;
    out->n_bytes += n_bytes;
}

void out_patch(struct out_file *out, uint64_t offset, const void *bytes, size_t n_bytes)
{
    uint64_t n_flushed = out->n_bytes - out->n_buffered;
    if (offset >= n_flushed) {
        memcpy(out->buffer + (offset - n_flushed), bytes, n_bytes);
        return;
    }
    flush(out);
    if (out->err.code == 0 &&
        pwrite(out->fd, bytes, n_bytes, (off_t)offset) != (ssize_t)n_bytes) {
        out_fail(out, "write", errno);
    }
}

/* ---- ending ---- */

/* Give the file its name; a file that came there meanwhile is not replaced unasked. */
static void give_name(struct out_file *out)
{
    int rc = renameat2(AT_FDCWD, out->part_path, AT_FDCWD, out->path,
        out->may_replace ? 0 : RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS) && !out->may_replace) {
        rc = access(out->path, F_OK) == 0 ? (errno = EEXIST, -1)
                                          : rename(out->part_path, out->path);
    }
    if (rc != 0) {
        out_fail(out, "name", errno);
        return;
    }
    free(out->part_path);
    out->part_path = NULL;
}

int out_finish(struct out_file *out, struct baro_err *err)
{
    flush(out);
    if (out->part_path != NULL) {
        if (out->err.code == 0 && fsync(out->fd) != 0) {
            out_fail(out, "write", errno);
        }
        if (out->err.code == 0) {
            give_name(out);
        }
    }
    int code = out->err.code;
    if (code != 0) {
        (void)baro_err_set(err, code, "%s", out->err.text);
    }
    out_drop(out);
    return code;
}

void out_drop(struct out_file *out)
{
    if (out->part_path != NULL) {
        (void)unlink(out->part_path);
    }
    if (out->path != NULL) {
        (void)close(out->fd);
    }
    free(out->part_path);
    free(out->path);
    free(out->buffer);
    *out = (struct out_file){0};
}
