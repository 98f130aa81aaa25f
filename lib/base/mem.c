/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, LARGE_BYTES = 8 << 20 };

void baro_cleanup_free(void *pointer)
{
    void *held;
    memcpy(&held, pointer, sizeof held);
    free(held);
}

void baro_cleanup_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

void baro_cleanup_fclose(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

bool baro_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static void *checked(void *memory, size_t n, size_t bytes)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "barograph: out of memory for %zu x %zu bytes\n", n, bytes);
        _exit(1);
    }
    return memory;
}

void *baro_xcalloc(size_t n, size_t bytes)
{
    return checked(calloc(n > 0 ? n : 1, bytes > 0 ? bytes : 1), n, bytes);
}

void *baro_xcalloc_whole(size_t n, size_t bytes)
{
    char *memory = baro_xcalloc(n, bytes);
    size_t total = 0;
    if (baro_mul(n, bytes, &total) && total >= LARGE_BYTES) {
        const uintptr_t begin =
            ((uintptr_t)memory + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        const uintptr_t end = ((uintptr_t)memory + total) / PAGE_BYTES * PAGE_BYTES;
        (void)madvise(memory + (begin - (uintptr_t)memory), end - begin, MADV_HUGEPAGE);
    }
    return memory;
}

void *baro_xrealloc(void *pointer, size_t n, size_t bytes)
{
    size_t total = 0;
    if (!baro_mul(n, bytes, &total)) {
        return checked(NULL, n, bytes);
    }
    return checked(realloc(pointer, total > 0 ? total : 1), n, bytes);
}

char *baro_xstrdup(const char *text)
{
    return checked(strdup(text), strlen(text), 1);
}
