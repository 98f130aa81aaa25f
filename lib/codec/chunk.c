/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/chunk.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <zstd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/delta.h"
#include "lib/codec/shuffle.h"

/*
 * Layout, all numbers little-endian:
 *
 *   offset size  meaning
 *   0      4     magic "BARC"
 *   4      2     version, 1
 *   6      2     0
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
 *   56     8*k   section table: stored bytes (4), raw bytes (4) of each of k sections
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

enum {
    VERSION = 1,
    HEADER_BYTES = 56,
    ENTRY_BYTES = 8,
    CHECK_BYTES = 8,
    BLOCK_RAW_BYTES = 32768,
    ZSTD_LEVEL = 1
};
enum section {
    SECTION_STEPS = 0,
    SECTION_TIMES,
    SECTION_ENDS,
    SECTION_EXTRA,
    SECTION_BLOCKS
};

static const uint8_t magic[4] = {'B', 'A', 'R', 'C'};

struct chunk_codec {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    uint8_t *raw; /* one section before compression or after decompression */
    size_t raw_room;
    int64_t *numbers; /* the ends of extra data as int64_t */
    size_t numbers_room;
    uint8_t *out; /* the chunk that chunk_encode makes */
    size_t out_n;
    size_t out_room;
};

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int64_t get64(const uint8_t *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint8_t *need_raw(struct chunk_codec *codec, size_t n)
{
    if (n > codec->raw_room) {
        codec->raw = baro_xrealloc(codec->raw, n, 1);
        codec->raw_room = n;
    }
    return codec->raw;
}

static int64_t *need_numbers(struct chunk_codec *codec, size_t n)
{
    if (n > codec->numbers_room) {
        codec->numbers = baro_xrealloc(codec->numbers, n, sizeof *codec->numbers);
        codec->numbers_room = n;
    }
    return codec->numbers;
}

static uint8_t *need_out(struct chunk_codec *codec, size_t more)
{
    if (codec->out_n + more > codec->out_room) {
        codec->out_room = (codec->out_n + more) * 2;
        codec->out = baro_xrealloc(codec->out, codec->out_room, 1);
    }
    return codec->out + codec->out_n;
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

static uint32_t blocks_of(uint32_t n_columns, uint32_t per_block)
{
    return n_columns == 0 ? 0 : (n_columns - 1) / per_block + 1;
}

static uint32_t columns_per_block(uint32_t n_rows, uint32_t size)
{
    uint32_t fit = BLOCK_RAW_BYTES / (n_rows * size);
    return fit > 0 ? fit : 1;
}

/* Whether counts are within the limits, so that sums below cannot overflow 64 bits. */
static bool within_limits(uint32_t n_rows, uint32_t n_f64, uint32_t n_f32, uint64_t extra)
{
    if (n_rows < 1 || n_rows > CHUNK_MAX_ROWS || n_f64 > CHUNK_MAX_COLUMNS ||
        n_f32 > CHUNK_MAX_COLUMNS) {
        return false;
    }
    uint64_t row = 16 + 8 * (uint64_t)n_f64 + 4 * (uint64_t)n_f32;
    return n_rows * row + extra <= CHUNK_MAX_RAW_BYTES;
}

/* Append a section to the chunk in the making; raw may lie in the codec's raw buffer. */
static int add_section(struct chunk_codec *codec, uint32_t section, const uint8_t *raw,
    size_t n, struct baro_err *err)
{
    size_t bound = ZSTD_compressBound(n);
    uint8_t *to = need_out(codec, bound);
    size_t stored = n;
    if (n > 0) {
        stored = ZSTD_compressCCtx(codec->compress, to, bound, raw, n, ZSTD_LEVEL);
        if (ZSTD_isError(stored)) {
            return baro_err_set(err, BARO_EIO, "compress: %s", ZSTD_getErrorName(stored));
        }
        if (stored >= n) {
            memcpy(to, raw, n);
            stored = n;
        }
    }
    codec->out_n += stored;
    uint8_t *entry = codec->out + HEADER_BYTES + (size_t)section * ENTRY_BYTES;
    put32(entry, (uint32_t)stored);
    put32(entry + 4, (uint32_t)n);
    return 0;
}

static int add_numbers(struct chunk_codec *codec, uint32_t section, const int64_t *numbers,
    uint32_t n, struct baro_err *err)
{
    uint8_t *raw = need_raw(codec, (size_t)n * DELTA_MAX_BYTES);
    return add_section(codec, section, raw, delta_encode(numbers, n, raw), err);
}

static int add_extra(struct chunk_codec *codec, const struct chunk_columns *columns,
    uint32_t extra_bytes, struct baro_err *err)
{
    if (extra_bytes == 0) {
        return 0; /* both sections stay empty */
    }
    int64_t *ends = need_numbers(codec, columns->n_rows);
    for (uint32_t i = 0; i < columns->n_rows; i++) {
        ends[i] = (int64_t)columns->extra_ends[i] - columns->extra_start;
    }
    int rc = add_numbers(codec, SECTION_ENDS, ends, columns->n_rows, err);
    if (rc == 0) {
        rc = add_section(
            codec, SECTION_EXTRA, columns->extra + columns->extra_start, extra_bytes, err);
    }
    return rc;
}

/* Append the blocks of n_columns columns of numbers of one size. */
static int add_blocks(struct chunk_codec *codec, uint32_t section,
    const struct chunk_columns *columns, const uint8_t *numbers, uint32_t n_columns,
    uint32_t size, struct baro_err *err)
{
    size_t n_rows = columns->n_rows;
    uint32_t per_block = columns_per_block(columns->n_rows, size);
    for (uint32_t from = 0; from < n_columns; from += per_block) {
        uint32_t n = n_columns - from < per_block ? n_columns - from : per_block;
        size_t total = n * n_rows;
        uint8_t *raw = need_raw(codec, total * size);
        for (uint32_t c = 0; c < n; c++) {
            shuffle_put(numbers + (from + c) * columns->stride * size, n_rows, size, raw,
                total, c * n_rows);
        }
        int rc = add_section(codec, section++, raw, total * size, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void put_header(
    uint8_t *at, const struct chunk_columns *columns, uint32_t extra_bytes)
{
    int64_t first = columns->steps[0];
    int64_t last = columns->steps[0];
    for (uint32_t i = 1; i < columns->n_rows; i++) {
        first = columns->steps[i] < first ? columns->steps[i] : first;
        last = columns->steps[i] > last ? columns->steps[i] : last;
    }
    memcpy(at, magic, sizeof magic);
    put32(at + 4, VERSION);
    put32(at + 12, columns->n_rows);
    put32(at + 16, columns->n_f64);
    put32(at + 20, columns->n_f32);
    put32(at + 24, columns_per_block(columns->n_rows, 8));
    put32(at + 28, columns_per_block(columns->n_rows, 4));
    memcpy(at + 32, &first, 8);
    memcpy(at + 40, &last, 8);
    put32(at + 48, extra_bytes);
    put32(at + 52, 0);
}

int chunk_encode(struct chunk_codec *codec, const struct chunk_columns *columns,
    const uint8_t **out_bytes, size_t *out_n_bytes, struct baro_err *err)
{
    uint32_t n_rows = columns->n_rows;
    uint32_t extra_bytes = 0;
    if (n_rows > 0 && columns->extra_ends != NULL) {
        extra_bytes = columns->extra_ends[n_rows - 1] - columns->extra_start;
    }
    if (!within_limits(n_rows, columns->n_f64, columns->n_f32, extra_bytes)) {
        return baro_err_set(err, BARO_ELIMIT,
            "%u rows of %u doubles and %u floats with %u more "
            "bytes do not fit into one chunk",
            n_rows, columns->n_f64, columns->n_f32, extra_bytes);
    }
    if (codec->compress == NULL && (codec->compress = ZSTD_createCCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no compression context");
    }
    uint32_t n_f64_blocks = blocks_of(columns->n_f64, columns_per_block(n_rows, 8));
    uint32_t n_sections = SECTION_BLOCKS + n_f64_blocks +
                          blocks_of(columns->n_f32, columns_per_block(n_rows, 4));
    size_t head = HEADER_BYTES + (size_t)n_sections * ENTRY_BYTES;
    codec->out_n = 0;
    memset(need_out(codec, head), 0, head);
    put_header(codec->out, columns, extra_bytes);
    codec->out_n = head;
    int rc = 0;
    if ((rc = add_numbers(codec, SECTION_STEPS, columns->steps, n_rows, err)) < 0 ||
        (rc = add_numbers(codec, SECTION_TIMES, columns->times_ns, n_rows, err)) < 0 ||
        (rc = add_extra(codec, columns, extra_bytes, err)) < 0 ||
        (rc = add_blocks(codec, SECTION_BLOCKS, columns, (const uint8_t *)columns->f64,
             columns->n_f64, 8, err)) < 0 ||
        (rc = add_blocks(codec, SECTION_BLOCKS + n_f64_blocks, columns,
             (const uint8_t *)columns->f32, columns->n_f32, 4, err)) < 0) {
        return rc;
    }
    uint8_t *end = need_out(codec, CHECK_BYTES);
    put32(codec->out + 8, (uint32_t)(codec->out_n + CHECK_BYTES));
    uint64_t check = XXH3_64bits(codec->out, codec->out_n);
    memcpy(end, &check, sizeof check);
    codec->out_n += CHECK_BYTES;
    *out_bytes = codec->out;
    *out_n_bytes = codec->out_n;
    return 0;
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
    uint32_t n_f64_blocks = blocks_of(chunk->n_f64, chunk->f64_per_block);
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
    if (n_bytes < HEADER_BYTES + SECTION_BLOCKS * ENTRY_BYTES + CHECK_BYTES ||
        memcmp(bytes, magic, sizeof magic) != 0) {
        return corrupt(err, "it does not begin like one");
    }
    if (get32(bytes + 8) != n_bytes) {
        return corrupt(err, "it is not as long as it says");
    }
    uint64_t check = (uint64_t)get64(bytes + n_bytes - CHECK_BYTES);
    if (XXH3_64bits(bytes, n_bytes - CHECK_BYTES) != check) {
        return corrupt(err, "the checksum does not match");
    }
    if (get32(bytes + 4) != VERSION) {
        return baro_err_set(err, BARO_EVERSION,
            "chunk of version %u; this program knows %d", get32(bytes + 4), VERSION);
    }
    struct chunk chunk = {
        .n_rows = get32(bytes + 12),
        .n_f64 = get32(bytes + 16),
        .n_f32 = get32(bytes + 20),
        .extra_bytes = get32(bytes + 48),
        .first_step = get64(bytes + 32),
        .last_step = get64(bytes + 40),
        .f64_per_block = get32(bytes + 24),
        .f32_per_block = get32(bytes + 28),
        .table = bytes + HEADER_BYTES,
    };
    if (!within_limits(chunk.n_rows, chunk.n_f64, chunk.n_f32, chunk.extra_bytes) ||
        chunk.f64_per_block == 0 || chunk.f32_per_block == 0) {
        return corrupt(err, "its counts are out of bounds");
    }
    chunk.n_sections = SECTION_BLOCKS + blocks_of(chunk.n_f64, chunk.f64_per_block) +
                       blocks_of(chunk.n_f32, chunk.f32_per_block);
    uint64_t at = HEADER_BYTES + (uint64_t)chunk.n_sections * ENTRY_BYTES;
    if (at + CHECK_BYTES > n_bytes) {
        return corrupt(err, "the section table does not fit");
    }
    chunk.data = bytes + at;
    for (uint32_t i = 0; i < chunk.n_sections; i++) {
        uint32_t stored = get32(chunk.table + (size_t)i * ENTRY_BYTES);
        uint32_t raw = get32(chunk.table + (size_t)i * ENTRY_BYTES + 4);
        if (stored > raw || !raw_size_ok(&chunk, i, raw)) {
            return corrupt(err, "a section has an impossible size");
        }
        at += stored;
    }
    if (at + CHECK_BYTES != n_bytes) {
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
        from += get32(chunk->table + (size_t)i * ENTRY_BYTES);
    }
    size_t stored = get32(chunk->table + (size_t)section * ENTRY_BYTES);
    size_t raw = get32(chunk->table + (size_t)section * ENTRY_BYTES + 4);
    *out_n = raw;
    if (stored == raw) {
        *out_raw = from;
        return 0;
    }
    if (codec->decompress == NULL && (codec->decompress = ZSTD_createDCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no decompression context");
    }
    uint8_t *to = need_raw(codec, raw);
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
    uint32_t section = SECTION_BLOCKS + blocks_of(chunk->n_f64, chunk->f64_per_block);
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
    int64_t *ends = need_numbers(codec, chunk->n_rows);
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
    if (rc == 0) {
        memcpy(out, raw, n);
    }
    return rc;
}
