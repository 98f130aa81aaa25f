/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reading of ring files that somebody else may have written or damaged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/ringfile.h"
#include "lib/base/rng_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_READS = 64, OUT_BYTES = 1 << 16, DATA_AT = 8192, MAX_FILE_BYTES = 4 << 20 };

/*
 * The input is the header page's first 512 bytes, then the data area: the file is laid out with
 * one page of sticky area, so that small inputs reach every part of the reader.
 */
static int write_ring(char *path, const uint8_t *data, size_t size)
{
    int fd = mkstemps(path, 5);
    if (fd < 0) {
        return -1;
    }
    size_t n_header = size < 512 ? size : 512;
    ssize_t n = pwrite(fd, data, n_header, 0);
    n += size > 512 ? pwrite(fd, data + 512, size - 512, DATA_AT) : 0;
    uint64_t areas[2] = {0};
    if (size >= 32) {
        memcpy(areas, data + 16, sizeof areas); /* the sizes that the header claims */
    }
    uint64_t states = 0;
    if (size >= 120 && data[8] > 1) {
        memcpy(&states, data + 112, sizeof states);
    }
    uint64_t claimed = 4096 + areas[0] + areas[1] + states;
    int rc = claimed < MAX_FILE_BYTES ? ftruncate(fd, (off_t)claimed) : 0;
    (void)close(fd);
    return n == (ssize_t)size && rc == 0 ? 0 : -1;
}

static int look(const struct ringfile_state *state, void *payload)
{
    if (state->n_bytes == 0 || state->n_bytes > RNG_STATE_MAX_BYTES) {
        abort();
    }
    return 0;
}

static void read_all(struct ringfile *ring)
{
    struct ringfile_info info;
    if (ringfile_read_info(ring, &info) != 0) {
        return;
    }
    if (info.sticky_used > 0 && info.sticky_used <= OUT_BYTES) {
        baro_autofree uint8_t *sticky = baro_xcalloc(info.sticky_used, 1);
        (void)ringfile_copy_sticky(ring, 0, info.sticky_used, sticky);
    }
    baro_autofree uint8_t *out = baro_xcalloc(OUT_BYTES, 1);
    struct ringfile_cursor cursor = {0};
    for (int i = 0; i < MAX_READS; i++) {
        size_t n_bytes = 0;
        size_t n_records = 0;
        if (ringfile_read(ring, &cursor, out, OUT_BYTES, 0, &n_bytes, &n_records) != 0 ||
            n_records == 0) {
            return;
        }
        const uint8_t *at = out;
        struct record_header header;
        const uint8_t *payload = NULL;
        while (record_next(&at, out + n_bytes, &header, &payload) == 1) {
        }
        if (at != out + n_bytes) {
            abort(); /* ringfile_read promises whole records */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/barograph-fuzz-XXXXXX.ring";
    if (size > 0 && write_ring(path, data, size) == 0) {
        struct ringfile *ring = NULL;
        struct baro_err err = {0};
        if (ringfile_open(&ring, path, RINGFILE_RECOVER, &err) == 0) {
            uint64_t n_poured = 0;
            (void)ringfile_each_state(ring, look, NULL);
            read_all(ring);
            (void)ringfile_pour_states(ring, 0, &n_poured);
            read_all(ring);
            ringfile_close(ring);
        } else if (err.text[0] == '\0') {
            abort(); /* a refusal always has a sentence */
        }
        (void)unlink(path);
    }
    return 0;
}
