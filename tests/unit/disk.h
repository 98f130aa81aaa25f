/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that can be told to fail: stands between the store and the system's calls that write,
 * in the test's own process. It can also write down what reaches the disk and when it was told
 * to be safe there, and make the files of any moment at which the power may have gone.
 */
#ifndef BARO_TEST_DISK_H
#define BARO_TEST_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

/* What LMDB does to its file. */
enum disk_call {
    DISK_WRITE = 0, /* pages */
    DISK_META,      /* the page that makes a transaction count, synchronous by itself */
    DISK_SYNC,
    DISK_CALL_COUNT
};

/* A fault to come. Zero: none. */
struct disk_fault {
    enum disk_call call;
    uint64_t nth;     /* from this call on, counted from 1 since disk_begin ... */
    uint64_t n_times; /* ... so many fail */
    int error;        /* errno; 0: only half is written */
};

/** Begin to count, to fail and, if asked, to write down what happens to files of a folder. */
void disk_begin(const char *dir, const struct disk_fault *fault, bool is_recording);

/** End all of it and forget what was written down. */
void disk_end(void);

/** Tell how many calls of a sort there were since disk_begin. */
uint64_t disk_calls(enum disk_call call);

/** Tell how many of them failed. */
uint64_t disk_failures(void);

/** Tell how many entries have been written down. */
size_t disk_recorded(void);

/**
 * Make a folder's files as they may be after the power went behind the first n entries: all that
 * was told to be safe, and of the rest whatever chance takes.
 *
 * chance   seed
 */
void disk_crash(const char *to_dir, size_t n, uint64_t *chance);

#endif
