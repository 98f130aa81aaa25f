/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks are untrusted bytes: whatever they hold, opening and decoding neither crashes nor takes
 * more memory than the limits say. The checksum is set right first, or nothing would get past
 * it; the first byte of the input chooses which columns are read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/codec/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger ones are let through by chunk_open, and are only slow to fuzz. */
enum { MAX_NUMBERS = 1 << 20, CHECK_BYTES = 8 };

static void decode(struct chunk_codec *codec, const struct chunk *chunk, uint8_t choice)
{
    size_t rows = chunk->n_rows;
    uint32_t first_f64 = chunk->n_f64 > 0 ? choice % chunk->n_f64 : 0;
    uint32_t first_f32 = chunk->n_f32 > 0 ? choice % chunk->n_f32 : 0;
    uint32_t n_f64 = chunk->n_f64 - first_f64;
    uint32_t n_f32 = chunk->n_f32 - first_f32;
    if (rows * ((size_t)n_f64 + n_f32) > MAX_NUMBERS) {
        return;
    }
    baro_autofree int64_t *numbers = baro_xcalloc(rows, sizeof *numbers);
    baro_autofree double *f64 = baro_xcalloc(rows * n_f64, sizeof *f64);
    baro_autofree float *f32 = baro_xcalloc(rows * n_f32, sizeof *f32);
    baro_autofree uint32_t *ends = baro_xcalloc(rows, sizeof *ends);
    baro_autofree uint8_t *extra = baro_xcalloc(chunk->extra_bytes, 1);
    baro_autofree int64_t *line = baro_xcalloc(rows, sizeof *line);
    int rc = chunk_steps(codec, chunk, numbers, NULL);
    int is_line = chunk_steps_line(codec, chunk, line, NULL);
    size_t n_told = is_line == 1 ? 2 : rows;
    if ((rc < 0) != (is_line < 0) ||
        (rc == 0 && memcmp(line, numbers, n_told * sizeof *line) != 0)) {
        abort();
    }
    (void)chunk_times(codec, chunk, numbers, NULL);
    (void)chunk_f64(codec, chunk, first_f64, n_f64, f64, rows, NULL);
    (void)chunk_f32(codec, chunk, first_f32, n_f32, f32, rows, NULL);
    (void)chunk_extra(codec, chunk, ends, extra, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + CHECK_BYTES) {
        return 0;
    }
    size_t n = size - 1;
    baro_autofree uint8_t *bytes = baro_xcalloc(n, 1);
    memcpy(bytes, data + 1, n);
    struct chunk chunk;
    uint64_t check = XXH3_64bits(bytes, n - CHECK_BYTES);
    memcpy(bytes + n - CHECK_BYTES, &check, CHECK_BYTES);
    if (chunk_open(&chunk, bytes, n, NULL) == 0) {
        struct chunk_codec *codec = chunk_codec_create();
        decode(codec, &chunk, data[0]);
        chunk_codec_destroy(codec);
    }
    return 0;
}
