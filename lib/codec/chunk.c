/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/chunk.h"

#include <stdlib.h>

#include <xxhash.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/chunk_layout.h"
#include "lib/codec/delta.h"
#include "lib/codec/shuffle.h"

/*
 * Layout, all numbers little-endian:
 *
 *   offset size  meaning
 *   0      4     magic "BARC"
 *   4      2     version, 2
 *   6      2     precision: which bits were kept, enum chunk_precision
 *   8      4     bytes of the whole chunk, checksum included
 *   12     4     n_rows
 *   16     4     n_f64
 *   20     4     n_f32
 *   24     4     columns of doubles per block
 *   28     4     columns of floats per block
 *   32     8     smallest step
 *   40     8     largest step
 *   48     4     bytes of extra data of all rows
 *   52     4     0
 *   56     8     rows of the series that the chunk stands for
 *   64     8*k   section table: stored bytes (4), raw bytes (4) of each of k sections
 *   ...          sections: steps, times, ends of extra data, extra data, blocks of doubles,
 *                blocks of floats
 *   end-8  8     XXH3-64 over everything before
 *
 * A section whose stored and raw sizes are equal is stored as it is, any other is one zstd
 * frame. Steps, times and ends are second differences (delta.c), blocks are byte planes over
 * all numbers of the block, column after column (shuffle.c). A block holds as many whole
 * columns as make about 32 KiB, so that one column of a wide group can be had without decoding
 * the others. Chunks with one row and 10^5 columns are as normal as 10^4 rows of one column.
 *
 * Rejected: casting doubles to floats (not lossless), Gorilla (2.3 to 3.9 bytes a point against
 * 0.6 to 3.3 for planes and zstd), higher zstd levels (no smaller on floats, slower).
 */

uint8_t *chunk_need_raw(struct chunk_codec *codec, size_t n)
{
    if (n > codec->raw_room) {
        codec->raw = baro_xrealloc(codec->raw, n, 1);
        codec->raw_room = n;
    }
    return codec->raw;
}

int64_t *chunk_need_numbers(struct chunk_codec *codec, size_t n)
{
    if (n > codec->numbers_room) {
        codec->numbers = baro_xrealloc(codec->numbers, n, sizeof *codec->numbers);
        codec->numbers_room = n;
    }
    return codec->numbers;
}

struct chunk_codec *chunk_codec_create(void)
{
    return baro_xcalloc(1, sizeof(struct chunk_codec));
}

void chunk_codec_destroy(struct chunk_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    (void)ZSTD_freeCCtx(codec->compress);
    (void)ZSTD_freeDCtx(codec->decompress);
    free(codec->raw);
    free(codec->numbers);
    free(codec->out);
    free(codec);
}

bool chunk_within_limits(uint32_t n_rows, uint32_t n_f64, uint32_t n_f32, uint64_t extra)
{
    if (n_rows < 1 || n_rows > CHUNK_MAX_ROWS || n_f64 > CHUNK_MAX_COLUMNS ||
        n_f32 > CHUNK_MAX_COLUMNS) {
        return false;
    }
    uint64_t row = 16 + 8 * (uint64_t)n_f64 + 4 * (uint64_t)n_f32;
    return n_rows * row + extra <= CHUNK_MAX_RAW_BYTES;
}

static int corrupt(struct baro_err *err, const char *what)
{
    return baro_err_set(err, BARO_ECORRUPT, "damaged chunk: %s", what);
}

/* What the raw size of a section may be: exactly, or at most for variable-length numbers. */
static bool raw_size_ok(const struct chunk *chunk, uint32_t section, uint32_t raw)
{
    uint64_t rows = chunk->n_rows;
    if (section <= SECTION_TIMES) {
        return raw >= rows && raw <= rows * DELTA_MAX_BYTES;
    }
    if (section == SECTION_ENDS) {
        return chunk->extra_bytes == 0 ? raw == 0
                                       : raw >= rows && raw <= rows * DELTA_MAX_BYTES;
    }
    if (section == SECTION_EXTRA) {
        return raw == chunk->extra_bytes;
    }
    uint32_t block = section - SECTION_BLOCKS;
    uint32_t n_f64_blocks = chunk_blocks(chunk->n_f64, chunk->f64_per_block);
    bool is_f64 = block < n_f64_blocks;
    uint32_t per_block = is_f64 ? chunk->f64_per_block : chunk->f32_per_block;
    uint64_t n_columns = is_f64 ? chunk->n_f64 : chunk->n_f32;
    uint64_t from = (uint64_t)(is_f64 ? block : block - n_f64_blocks) * per_block;
    uint64_t n = n_columns - from < per_block ? n_columns - from : per_block;
    return raw == n * rows * (is_f64 ? 8 : 4);
}

int chunk_open(
    struct chunk *out_chunk, const uint8_t *bytes, size_t n_bytes, struct baro_err *err)
{
    if (n_bytes <
            CHUNK_HEADER_BYTES + SECTION_BLOCKS * CHUNK_ENTRY_BYTES + CHUNK_CHECK_BYTES ||
        memcmp(bytes, chunk_magic, sizeof chunk_magic) != 0) {
        return corrupt(err, "it does not begin like one");
    }
    if (get32(bytes + 8) != n_bytes) {
        return corrupt(err, "it is not as long as it says");
    }
    uint64_t check = (uint64_t)get64(bytes + n_bytes - CHUNK_CHECK_BYTES);
    if (XXH3_64bits(bytes, n_bytes - CHUNK_CHECK_BYTES) != check) {
        return corrupt(err, "the checksum does not match");
    }
    uint32_t version = get32(bytes + 4) & 0xffff;
    if (version != CHUNK_VERSION) {
        return baro_err_set(err, BARO_EVERSION,
            "chunk of version %u; this program knows %d", version, CHUNK_VERSION);
    }
    uint32_t precision = get32(bytes + 4) >> 16;
    struct chunk chunk = {
        .n_rows = get32(bytes + 12),
        .n_f64 = get32(bytes + 16),
        .n_f32 = get32(bytes + 20),
        .extra_bytes = get32(bytes + 48),
        .covers = (uint64_t)get64(bytes + 56),
        .precision = (enum chunk_precision)precision,
        .first_step = get64(bytes + 32),
        .last_step = get64(bytes + 40),
        .f64_per_block = get32(bytes + 24),
        .f32_per_block = get32(bytes + 28),
        .table = bytes + CHUNK_HEADER_BYTES,
    };
    if (!chunk_within_limits(chunk.n_rows, chunk.n_f64, chunk.n_f32, chunk.extra_bytes) ||
        chunk.f64_per_block == 0 || chunk.f32_per_block == 0 ||
        precision > CHUNK_ROUND_ALL) {
        return corrupt(err, "its counts are out of bounds");
    }
    chunk.n_sections = SECTION_BLOCKS + chunk_blocks(chunk.n_f64, chunk.f64_per_block) +
                       chunk_blocks(chunk.n_f32, chunk.f32_per_block);
    uint64_t at = CHUNK_HEADER_BYTES + (uint64_t)chunk.n_sections * CHUNK_ENTRY_BYTES;
    if (at + CHUNK_CHECK_BYTES > n_bytes) {
        return corrupt(err, "the section table does not fit");
    }
    chunk.data = bytes + at;
    for (uint32_t i = 0; i < chunk.n_sections; i++) {
        uint32_t stored = get32(chunk.table + (size_t)i * CHUNK_ENTRY_BYTES);
        uint32_t raw = get32(chunk.table + (size_t)i * CHUNK_ENTRY_BYTES + 4);
        if (stored > raw || !raw_size_ok(&chunk, i, raw)) {
            return corrupt(err, "a section has an impossible size");
        }
        at += stored;
    }
    if (at + CHUNK_CHECK_BYTES != n_bytes) {
        return corrupt(err, "the sections do not fill it");
    }
    *out_chunk = chunk;
    return 0;
}

/* Give a section's raw bytes: in place when stored as they are, else in the codec's buffer. */
static int section_raw(struct chunk_codec *codec, const struct chunk *chunk,
    uint32_t section, const uint8_t **out_raw, size_t *out_n, struct baro_err *err)
{
    const uint8_t *from = chunk->data;
    for (uint32_t i = 0; i < section; i++) {
        from += get32(chunk->table + (size_t)i * CHUNK_ENTRY_BYTES);
    }
    size_t stored = get32(chunk->table + (size_t)section * CHUNK_ENTRY_BYTES);
    size_t raw = get32(chunk->table + (size_t)section * CHUNK_ENTRY_BYTES + 4);
    *out_n = raw;
    if (stored == raw) {
        *out_raw = from;
        return 0;
    }
    if (codec->decompress == NULL && (codec->decompress = ZSTD_createDCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no decompression context");
    }
    uint8_t *to = chunk_need_raw(codec, raw);
    size_t got = ZSTD_decompressDCtx(codec->decompress, to, raw, from, stored);
    if (ZSTD_isError(got) || got != raw) {
        return corrupt(err, "a section cannot be decompressed");
    }
    *out_raw = to;
    return 0;
}

static int section_numbers(struct chunk_codec *codec, const struct chunk *chunk,
    uint32_t section, int64_t *out, struct baro_err *err)
{
    const uint8_t *raw = NULL;
    size_t n = 0;
    int rc = section_raw(codec, chunk, section, &raw, &n, err);
    if (rc == 0 && (rc = delta_decode(raw, n, out, chunk->n_rows)) < 0) {
        return corrupt(err, "a column of whole numbers does not decode");
    }
    return rc;
}

int chunk_steps(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err)
{
    return section_numbers(codec, chunk, SECTION_STEPS, out, err);
}

int chunk_times(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err)
{
    return section_numbers(codec, chunk, SECTION_TIMES, out, err);
}

/* Decode columns [first, first + n) of numbers of one size; section is their first block. */
static int take_columns(struct chunk_codec *codec, const struct chunk *chunk,
    uint32_t section, uint32_t per_block, size_t size, uint32_t first, uint32_t n,
    uint8_t *out, size_t stride, struct baro_err *err)
{
    size_t n_rows = chunk->n_rows;
    for (uint32_t column = first; column < first + n;) {
        const uint8_t *raw = NULL;
        size_t n_raw = 0;
        int rc = section_raw(codec, chunk, section + column / per_block, &raw, &n_raw, err);
        if (rc != 0) {
            return rc;
        }
        size_t total = n_raw / size;
        for (size_t at = column % per_block * n_rows; at < total && column < first + n;
             at += n_rows, column++) {
            shuffle_take(raw, total, at, n_rows, size,
                out + (size_t)(column - first) * stride * size);
        }
    }
    return 0;
}

int chunk_f64(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, double *out, size_t stride, struct baro_err *err)
{
    if (n > chunk->n_f64 || first > chunk->n_f64 - n) {
        return baro_err_set(err, BARO_EINVAL, "no such columns");
    }
    return take_columns(codec, chunk, SECTION_BLOCKS, chunk->f64_per_block, sizeof *out,
        first, n, (uint8_t *)out, stride, err);
}

int chunk_f32(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, float *out, size_t stride, struct baro_err *err)
{
    if (n > chunk->n_f32 || first > chunk->n_f32 - n) {
        return baro_err_set(err, BARO_EINVAL, "no such columns");
    }
    uint32_t section = SECTION_BLOCKS + chunk_blocks(chunk->n_f64, chunk->f64_per_block);
    return take_columns(codec, chunk, section, chunk->f32_per_block, sizeof *out, first, n,
        (uint8_t *)out, stride, err);
}

int chunk_extra(struct chunk_codec *codec, const struct chunk *chunk, uint32_t *out_ends,
    uint8_t *out, struct baro_err *err)
{
    if (chunk->extra_bytes == 0) {
        memset(out_ends, 0, chunk->n_rows * sizeof *out_ends);
        return 0;
    }
    int64_t *ends = chunk_need_numbers(codec, chunk->n_rows);
    int rc = section_numbers(codec, chunk, SECTION_ENDS, ends, err);
    if (rc != 0) {
        return rc;
    }
    int64_t last = 0;
    for (uint32_t i = 0; i < chunk->n_rows; i++) {
        if (ends[i] < last || ends[i] > (int64_t)chunk->extra_bytes) {
            return corrupt(err, "extra data ends out of order");
        }
        last = ends[i];
        out_ends[i] = (uint32_t)ends[i];
    }
    if (last != (int64_t)chunk->extra_bytes) {
        return corrupt(err, "extra data is longer than its rows");
    }
    const uint8_t *raw = NULL;
    size_t n = 0;
    rc = section_raw(codec, chunk, SECTION_EXTRA, &raw, &n, err);
    if (rc == 0 && raw != NULL) {
        memcpy(out, raw, n);
    }
    return rc;
}
