/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is there whole or not at all: written as FILE.part, renamed when it is complete,
 * removed when anything goes wrong. Or standard output.
 */
#ifndef BARO_TOOLS_OUT_FILE_H
#define BARO_TOOLS_OUT_FILE_H

#include <stdbool.h>

#include "lib/base/baro_types.h"

/* A file in the making. After the first failure calls do nothing; out_finish tells. */
struct out_file {
    int fd;
    char *path;      /* NULL: standard output */
    char *part_path; /* NULL likewise, and once nothing is left to be removed */
    bool may_replace;
    uint8_t *buffer;
    size_t n_buffered;
    uint64_t n_bytes; /* written so far, the buffer's included */
    struct baro_err err;
};

/**
 * Begin a file.
 *
 * path         "-": standard output
 * may_replace  a file of that name may be there and is replaced
 * returns  0; BARO_EEXIST; BARO_EACCES, BARO_EIO; BARO_EBUSY when another is writing it; each
 *          with a sentence in err
 */
int out_open(
    const char *path, bool may_replace, struct out_file *out, struct baro_err *err);

/** Append bytes. */
void out_write(struct out_file *out, const void *bytes, size_t n_bytes);

/**
 * Give room for so many bytes at the end, to be filled before the next call.
 *
 * n_bytes  at most OUT_MAX_RESERVE
 * returns  never NULL; call out_advance with what was used
 */
uint8_t *out_reserve(struct out_file *out, size_t n_bytes);

/** Keep the first n_bytes of what out_reserve gave. */
void out_advance(struct out_file *out, size_t n_bytes);

enum { OUT_MAX_RESERVE = 1 << 16 };

/** Write over bytes that have been written before; not for standard output. */
void out_patch(struct out_file *out, uint64_t offset, const void *bytes, size_t n_bytes);

/**
 * Open a nameless file beside it, for what must be kept meanwhile.
 *
 * returns  a descriptor that the caller closes, or -1 after noting why
 */
int out_scratch(struct out_file *out);

/** Note a failure of something that belongs to the file: "doing: strerror(code)". */
void out_fail(struct out_file *out, const char *doing, int code);

/** Write all, give it its name; then releases as out_drop does. 0 or the first failure. */
int out_finish(struct out_file *out, struct baro_err *err);

/** Remove what was written and release; accepts a zeroed or finished file. */
void out_drop(struct out_file *out);

#endif
