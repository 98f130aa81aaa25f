/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/chunk.h"

#include <stdlib.h>

#include <xxhash.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/chunk_layout.h"

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
 *   64     4*k   section table: where each of k sections ends, counted from the first one's start
 *   ...          sections: steps, times, ends of extra data, extra data, blocks of doubles,
 *                blocks of floats
 *   end-8  8     XXH3-64 over everything before
 *
 * Extra data is a zstd frame, or as it is when its section is as long; without extra data its two
 * sections are empty. All other sections are blocks (block.c): steps, times and ends of one
 * column, the rest of as many whole columns as make about 8,192 numbers, so that one column of a
 * wide group can be had without decoding the others. Chunks with one row and 10^5 columns are as
 * normal as 10^4 rows of one column.
 *
 * Which coding is used for what was measured on recorded trainings; docs/STORAGE.md has the
 * figures, and predict.c, symbols.c and round.c say how each works.
 */

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
    block_finish(&codec->blocks);
    free(codec->numbers);
    free(codec->floats);
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

/* Tell whether the table's ends rise and the last one is the end of the data. */
static bool table_ok(const struct chunk *chunk, uint64_t n_data)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < chunk->n_sections; i++) {
        uint64_t end = get32(chunk->table + (size_t)i * CHUNK_ENTRY_BYTES);
        bool is_extra = i == SECTION_ENDS || i == SECTION_EXTRA;
        if (end < last || end > n_data ||
            (end == last) != (is_extra && chunk->extra_bytes == 0)) {
            return false;
        }
        last = end;
    }
    return last == n_data;
}

static bool per_block_ok(const struct chunk *chunk, uint32_t per_block)
{
    return per_block == 1 || (per_block > 1 && (uint64_t)per_block * chunk->n_rows <=
                                                   CHUNK_MAX_BLOCK_NUMBERS);
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
        !per_block_ok(&chunk, chunk.f64_per_block) ||
        !per_block_ok(&chunk, chunk.f32_per_block) || precision > CHUNK_ROUND_ALL) {
        return corrupt(err, "its counts are out of bounds");
    }
    chunk.n_sections = SECTION_BLOCKS + chunk_blocks(chunk.n_f64, chunk.f64_per_block) +
                       chunk_blocks(chunk.n_f32, chunk.f32_per_block);
    uint64_t at = CHUNK_HEADER_BYTES + (uint64_t)chunk.n_sections * CHUNK_ENTRY_BYTES;
    if (at + CHUNK_CHECK_BYTES > n_bytes) {
        return corrupt(err, "the section table does not fit");
    }
    chunk.data = bytes + at;
    if (!table_ok(&chunk, n_bytes - CHUNK_CHECK_BYTES - at)) {
        return corrupt(err, "the section table makes no sense");
    }
    *out_chunk = chunk;
    return 0;
}

uint64_t chunk_claim(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes < CHUNK_HEADER_BYTES ||
        memcmp(bytes, chunk_magic, sizeof chunk_magic) != 0 ||
        get32(bytes + 8) != n_bytes) {
        return 0;
    }
    uint32_t n_rows = get32(bytes + 12);
    uint64_t covers = (uint64_t)get64(bytes + 56);
    return n_rows >= 1 && n_rows <= CHUNK_MAX_ROWS && covers >= n_rows ? covers : 0;
}

/* Give a section's bytes. */
static const uint8_t *section_at(
    const struct chunk *chunk, uint32_t section, size_t *out_n_bytes)
{
    const uint8_t *entry = chunk->table + (size_t)section * CHUNK_ENTRY_BYTES;
    uint32_t from = section > 0 ? get32(entry - CHUNK_ENTRY_BYTES) : 0;
    *out_n_bytes = get32(entry) - from;
    return chunk->data + from;
}

static int section_numbers(struct chunk_codec *codec, const struct chunk *chunk,
    uint32_t section, int64_t *out, struct baro_err *err)
{
    struct block_columns shape = {
        .type = BLOCK_I64, .n_rows = chunk->n_rows, .n_columns = 1};
    size_t n = 0;
    const uint8_t *bytes = section_at(chunk, section, &n);
    return block_decode(&codec->blocks, &shape, bytes, n, 0, 1, out, 0, err);
}

int chunk_steps(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err)
{
    return section_numbers(codec, chunk, SECTION_STEPS, out, err);
}

int chunk_steps_line(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err)
{
    struct block_columns shape = {
        .type = BLOCK_I64, .n_rows = chunk->n_rows, .n_columns = 1};
    size_t n = 0;
    const uint8_t *bytes = section_at(chunk, SECTION_STEPS, &n);
    return block_line(&codec->blocks, &shape, bytes, n, out, err);
}

int chunk_times(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err)
{
    return section_numbers(codec, chunk, SECTION_TIMES, out, err);
}

/* Columns of one type and the sections they are in. */
struct columns_place {
    enum block_type type;
    uint32_t n_columns;
    uint32_t per_block;
    uint32_t section; /* their first block */
};

static struct columns_place place_of(const struct chunk *chunk, enum block_type type)
{
    struct columns_place place = {type, chunk->n_f64, chunk->f64_per_block, SECTION_BLOCKS};
    if (type == BLOCK_F32) {
        place.section += chunk_blocks(chunk->n_f64, chunk->f64_per_block);
        place.n_columns = chunk->n_f32;
        place.per_block = chunk->f32_per_block;
    }
    return place;
}

/* Give the shape of the block that holds a column, and its first column. */
static struct block_columns block_of(const struct chunk *chunk,
    const struct columns_place *place, uint32_t column, uint32_t *out_first)
{
    *out_first = column - column % place->per_block;
    uint32_t rest = place->n_columns - *out_first;
    return (struct block_columns){
        .type = place->type,
        .n_rows = chunk->n_rows,
        .n_columns = rest < place->per_block ? rest : place->per_block,
    };
}

static int take_columns(struct chunk_codec *codec, const struct chunk *chunk,
    enum block_type type, uint32_t first, uint32_t n, uint8_t *out, size_t stride,
    struct baro_err *err)
{
    struct columns_place place = place_of(chunk, type);
    if (n > place.n_columns || first > place.n_columns - n) {
        return baro_err_set(err, BARO_EINVAL, "no such columns");
    }
    uint32_t end = first + n;
    for (uint32_t column = first; column < end;) {
        uint32_t from;
        size_t n_bytes;
        struct block_columns shape = block_of(chunk, &place, column, &from);
        uint32_t to = end - from < shape.n_columns ? end : from + shape.n_columns;
        const uint8_t *bytes =
            section_at(chunk, place.section + column / place.per_block, &n_bytes);
        int rc = block_decode(&codec->blocks, &shape, bytes, n_bytes, column - from,
            to - column, out + (size_t)(column - first) * stride, stride, err);
        if (rc != 0) {
            return rc;
        }
        column = to;
    }
    return 0;
}

int chunk_f64(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, double *out, size_t stride, struct baro_err *err)
{
    return take_columns(
        codec, chunk, BLOCK_F64, first, n, (uint8_t *)out, stride * sizeof *out, err);
}

int chunk_f32(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, float *out, size_t stride, struct baro_err *err)
{
    return take_columns(
        codec, chunk, BLOCK_F32, first, n, (uint8_t *)out, stride * sizeof *out, err);
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
    size_t n = 0;
    const uint8_t *bytes = section_at(chunk, SECTION_EXTRA, &n);
    if (n == chunk->extra_bytes) {
        memcpy(out, bytes, n);
        return 0;
    }
    struct block_scratch *scratch = &codec->blocks;
    if (scratch->decompress == NULL && (scratch->decompress = ZSTD_createDCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no decompression context");
    }
    size_t got =
        ZSTD_decompressDCtx(scratch->decompress, out, chunk->extra_bytes, bytes, n);
    if (ZSTD_isError(got) || got != chunk->extra_bytes) {
        return corrupt(err, "extra data cannot be decompressed");
    }
    return 0;
}
