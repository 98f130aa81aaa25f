/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and cleanup: automatic release at the end of a scope, checked size arithmetic, and
 * allocation that ends the process (for the daemon and the programs; never in libbaro).
 */
#ifndef BARO_MEM_H
#define BARO_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Release a local when its scope ends. Hand it over with BARO_TAKE(local). */
#define baro_autofree   __attribute__((cleanup(baro_cleanup_free)))
#define baro_autoclose  __attribute__((cleanup(baro_cleanup_close)))
#define baro_autofclose __attribute__((cleanup(baro_cleanup_fclose)))

/* Give a pointer away: its old value, and the variable is NULL afterwards. */
#define BARO_TAKE(pointer)                                                                 \
    __extension__({                                                                        \
        __typeof__(pointer) taken_ = (pointer);                                            \
        (pointer) = NULL;                                                                  \
        taken_;                                                                            \
    })

#define BARO_LEN(array) (sizeof(array) / sizeof((array)[0]))

/** Free *pointer; for baro_autofree. */
void baro_cleanup_free(void *pointer);
/** Close *fd unless it is negative; for baro_autoclose. */
void baro_cleanup_close(int *fd);
/** Close *file unless it is NULL; for baro_autofclose. */
void baro_cleanup_fclose(FILE **file);

/**
 * Multiply two sizes.
 *
 * returns  true and the product in *out, false when it does not fit
 */
bool baro_mul(size_t a, size_t b, size_t *out);

/**
 * Allocate zeroed memory or end the process with a sentence on standard error.
 *
 * n        elements; n * bytes is checked
 * returns  never NULL; the caller frees
 */
void *baro_xcalloc(size_t n, size_t bytes) __attribute__((returns_nonnull));

/**
 * The same for what will be written to as a whole: much of it lies on large pages where the system
 * has them, which are there sooner and easier to find. It may take up to 2 MiB more at either end.
 */
void *baro_xcalloc_whole(size_t n, size_t bytes) __attribute__((returns_nonnull));

/**
 * Resize memory or end the process with a sentence on standard error.
 *
 * pointer  NULL or what an earlier call gave
 * returns  never NULL; the caller frees
 */
void *baro_xrealloc(void *pointer, size_t n, size_t bytes) __attribute__((returns_nonnull));

/** Copy a string or end the process; the caller frees. */
char *baro_xstrdup(const char *text) __attribute__((returns_nonnull));

#endif
