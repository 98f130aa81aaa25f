/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a corpus through a fuzz target without libFuzzer, in every build: each file as it is,
 * cut short at several places, and with single bytes changed. One TAP line per file.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT_BYTES = 1 << 20, MUTATIONS = 64 };

/* Exact-size heap copies, so that a sanitizer sees a read one byte past the end. */
static void feed(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = baro_xcalloc(n, 1);
    memcpy(exact, bytes, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static void feed_variants(uint8_t *bytes, size_t n)
{
    feed(bytes, n);
    uint32_t random = 2463534242U;
    for (int i = 0; n > 0 && i < MUTATIONS; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        feed(bytes, random % n);
        uint8_t *byte = &bytes[(random >> 8) % n];
        uint8_t before = *byte;
        *byte = (uint8_t)(random >> 24);
        feed(bytes, n);
        *byte = before;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    struct dirent **entries = NULL;
    int n_entries = scandir(argv[1], &entries, NULL, alphasort);
    int n_cases = 0;
    uint8_t *bytes = baro_xcalloc(MAX_INPUT_BYTES, 1);
    for (int i = 0; i < n_entries; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        FILE *file = entries[i]->d_name[0] != '.' ? fopen(path, "rb") : NULL;
        if (file != NULL) {
            size_t n = fread(bytes, 1, MAX_INPUT_BYTES, file);
            (void)fclose(file);
            feed_variants(bytes, n);
            (void)printf("ok %d - survives %s\n", ++n_cases, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    free(bytes);
    if (n_cases == 0) {
        (void)printf("not ok 1 - a corpus in %s\n", argv[1]);
    }
    (void)printf("1..%d\n", n_cases > 0 ? n_cases : 1);
    return n_cases > 0 ? 0 : 1;
}
