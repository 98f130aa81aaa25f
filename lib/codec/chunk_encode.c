/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/chunk.h"

#include <assert.h>
#include <xxhash.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/chunk_layout.h"
#include "lib/codec/delta.h"
#include "lib/codec/shuffle.h"

/* Writing chunks; the layout is described in chunk.c. */

enum { BLOCK_RAW_BYTES = 32768, ZSTD_LEVEL = 1 };

static uint8_t *need_out(struct chunk_codec *codec, size_t more)
{
    if (codec->out_n + more > codec->out_room) {
        codec->out_room = (codec->out_n + more) * 2;
        codec->out = baro_xrealloc(codec->out, codec->out_room, 1);
    }
    return codec->out + codec->out_n;
}

static uint32_t columns_per_block(uint32_t n_rows, uint32_t size)
{
    assert(n_rows > 0 && size > 0);
    uint32_t fit = BLOCK_RAW_BYTES / (n_rows * size);
    return fit > 0 ? fit : 1;
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
    uint8_t *entry = codec->out + CHUNK_HEADER_BYTES + (size_t)section * CHUNK_ENTRY_BYTES;
    put32(entry, (uint32_t)stored);
    put32(entry + 4, (uint32_t)n);
    return 0;
}

static int add_numbers(struct chunk_codec *codec, uint32_t section, const int64_t *numbers,
    uint32_t n, struct baro_err *err)
{
    uint8_t *raw = chunk_need_raw(codec, (size_t)n * DELTA_MAX_BYTES);
    return add_section(codec, section, raw, delta_encode(numbers, n, raw), err);
}

static int add_extra(struct chunk_codec *codec, const struct chunk_columns *columns,
    uint32_t extra_bytes, struct baro_err *err)
{
    if (extra_bytes == 0) {
        return 0; /* both sections stay empty */
    }
    int64_t *ends = chunk_need_numbers(codec, columns->n_rows);
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
        uint8_t *raw = chunk_need_raw(codec, total * size);
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
    memcpy(at, chunk_magic, sizeof chunk_magic);
    put32(at + 4, CHUNK_VERSION | (uint32_t)columns->precision << 16);
    put32(at + 12, columns->n_rows);
    put32(at + 16, columns->n_f64);
    put32(at + 20, columns->n_f32);
    put32(at + 24, columns_per_block(columns->n_rows, 8));
    put32(at + 28, columns_per_block(columns->n_rows, 4));
    memcpy(at + 32, &first, 8);
    memcpy(at + 40, &last, 8);
    put32(at + 48, extra_bytes);
    put32(at + 52, 0);
    memcpy(at + 56, &columns->covers, 8);
}

int chunk_encode(struct chunk_codec *codec, const struct chunk_columns *columns,
    const uint8_t **out_bytes, size_t *out_n_bytes, struct baro_err *err)
{
    uint32_t n_rows = columns->n_rows;
    uint32_t extra_bytes = 0;
    if (n_rows > 0 && columns->extra_ends != NULL) {
        extra_bytes = columns->extra_ends[n_rows - 1] - columns->extra_start;
    }
    if (!chunk_within_limits(n_rows, columns->n_f64, columns->n_f32, extra_bytes)) {
        return baro_err_set(err, BARO_ELIMIT,
            "%u rows of %u doubles and %u floats with %u more "
            "bytes do not fit into one chunk",
            n_rows, columns->n_f64, columns->n_f32, extra_bytes);
    }
    if (codec->compress == NULL && (codec->compress = ZSTD_createCCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no compression context");
    }
    uint32_t n_f64_blocks = chunk_blocks(columns->n_f64, columns_per_block(n_rows, 8));
    uint32_t n_sections = SECTION_BLOCKS + n_f64_blocks +
                          chunk_blocks(columns->n_f32, columns_per_block(n_rows, 4));
    size_t head = CHUNK_HEADER_BYTES + (size_t)n_sections * CHUNK_ENTRY_BYTES;
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
    uint8_t *end = need_out(codec, CHUNK_CHECK_BYTES);
    put32(codec->out + 8, (uint32_t)(codec->out_n + CHUNK_CHECK_BYTES));
    uint64_t check = XXH3_64bits(codec->out, codec->out_n);
    memcpy(end, &check, sizeof check);
    codec->out_n += CHUNK_CHECK_BYTES;
    *out_bytes = codec->out;
    *out_n_bytes = codec->out_n;
    return 0;
}
