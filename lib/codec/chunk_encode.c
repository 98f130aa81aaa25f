/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/chunk.h"

#include <assert.h>
#include <xxhash.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/chunk_layout.h"
#include "lib/codec/round.h"

/* Writing chunks; the layout is described in chunk.c. */

enum { ZSTD_LEVEL = 1 };

static uint32_t columns_per_block(uint32_t n_rows)
{
    assert(n_rows > 0);
    uint32_t fit = CHUNK_BLOCK_NUMBERS / n_rows;
    return fit > 0 ? fit : 1;
}

/* Enter that a section ends here. */
static void end_section(struct chunk_codec *codec, uint32_t section, size_t data_at)
{
    uint8_t *entry =
        codec->blocks.out + CHUNK_HEADER_BYTES + (size_t)section * CHUNK_ENTRY_BYTES;
    put32(entry, (uint32_t)(codec->blocks.n_out - data_at));
}

static int add_numbers(struct chunk_codec *codec, uint32_t section, const int64_t *numbers,
    uint32_t n, size_t data_at, struct baro_err *err)
{
    struct block_columns block = {
        .type = BLOCK_I64, .n_rows = n, .n_columns = 1, .base = numbers};
    int rc = block_encode(&codec->blocks, &block, err);
    end_section(codec, section, data_at);
    return rc;
}

static int add_times(struct chunk_codec *codec, const struct chunk_columns *columns,
    size_t data_at, struct baro_err *err)
{
    const int64_t *times_ns = columns->times_ns;
    if (columns->precision != CHUNK_EXACT) {
        int64_t *rounded = chunk_need_numbers(codec, columns->n_rows);
        memcpy(rounded, times_ns, columns->n_settled * sizeof *rounded);
        round_times(times_ns + columns->n_settled, columns->n_rows - columns->n_settled,
            rounded + columns->n_settled);
        times_ns = rounded;
    }
    return add_numbers(codec, SECTION_TIMES, times_ns, columns->n_rows, data_at, err);
}

/* Append the ends of extra bytes and these; both sections stay empty when there are none. */
static int add_extra(struct chunk_codec *codec, const struct chunk_columns *columns,
    uint32_t extra_bytes, size_t data_at, struct baro_err *err)
{
    struct block_scratch *scratch = &codec->blocks;
    if (extra_bytes == 0) {
        end_section(codec, SECTION_ENDS, data_at);
        end_section(codec, SECTION_EXTRA, data_at);
        return 0;
    }
    int64_t *ends = chunk_need_numbers(codec, columns->n_rows);
    for (uint32_t i = 0; i < columns->n_rows; i++) {
        ends[i] = (int64_t)columns->extra_ends[i] - columns->extra_start;
    }
    int rc = add_numbers(codec, SECTION_ENDS, ends, columns->n_rows, data_at, err);
    if (rc != 0) {
        return rc;
    }
    size_t bound = ZSTD_compressBound(extra_bytes);
    const uint8_t *from = columns->extra + columns->extra_start;
    uint8_t *to = block_need_out(scratch, bound);
    size_t stored =
        ZSTD_compressCCtx(scratch->compress, to, bound, from, extra_bytes, ZSTD_LEVEL);
    if (ZSTD_isError(stored)) {
        return baro_err_set(err, BARO_EIO, "compress: %s", ZSTD_getErrorName(stored));
    }
    if (stored >= extra_bytes) {
        memcpy(to, from, extra_bytes);
        stored = extra_bytes;
    }
    scratch->n_out += stored;
    end_section(codec, SECTION_EXTRA, data_at);
    return 0;
}

/* Give the columns of a block of floats, rounded when wanted. */
static void round_block(struct chunk_codec *codec, struct block_columns *block)
{
    size_t n = (size_t)block->n_rows * block->n_columns;
    if (n > codec->floats_room) {
        codec->floats = baro_xrealloc(codec->floats, n, sizeof *codec->floats);
        codec->floats_room = n;
    }
    for (size_t c = 0; c < block->n_columns; c++) {
        const void *from = (const uint8_t *)block->base + c * block->stride;
        round_floats(from, block->n_rows, codec->floats + c * block->n_rows);
    }
    block->base = codec->floats;
    block->stride = block->n_rows * sizeof *codec->floats;
}

/* Append the blocks of all columns of one type; section is the first of them. */
static int add_blocks(struct chunk_codec *codec, uint32_t section,
    const struct chunk_columns *columns, enum block_type type, size_t data_at,
    struct baro_err *err)
{
    bool is_f64 = type == BLOCK_F64;
    uint32_t n_columns = is_f64 ? columns->n_f64 : columns->n_f32;
    size_t stride = columns->stride * (is_f64 ? 8 : 4);
    const uint8_t *base =
        is_f64 ? (const uint8_t *)columns->f64 : (const uint8_t *)columns->f32;
    uint32_t per_block = columns_per_block(columns->n_rows);
    for (uint32_t from = 0; from < n_columns; from += per_block) {
        struct block_columns block = {
            .type = type,
            .n_rows = columns->n_rows,
            .n_columns = n_columns - from < per_block ? n_columns - from : per_block,
            .base = base + from * stride,
            .stride = stride,
        };
        if (!is_f64 && columns->precision == CHUNK_ROUND_ALL) {
            round_block(codec, &block);
        }
        int rc = block_encode(&codec->blocks, &block, err);
        if (rc != 0) {
            return rc;
        }
        end_section(codec, section++, data_at);
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
    put32(at + 24, columns_per_block(columns->n_rows));
    put32(at + 28, columns_per_block(columns->n_rows));
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
    uint32_t per_block = columns_per_block(n_rows);
    uint32_t n_f64_blocks = chunk_blocks(columns->n_f64, per_block);
    uint32_t n_sections =
        SECTION_BLOCKS + n_f64_blocks + chunk_blocks(columns->n_f32, per_block);
    size_t head = CHUNK_HEADER_BYTES + (size_t)n_sections * CHUNK_ENTRY_BYTES;
    struct block_scratch *scratch = &codec->blocks;
    scratch->n_out = 0;
    memset(block_need_out(scratch, head), 0, head);
    put_header(scratch->out, columns, extra_bytes);
    scratch->n_out = head;
    int rc = 0;
    if ((rc = add_numbers(codec, SECTION_STEPS, columns->steps, n_rows, head, err)) < 0 ||
        (rc = add_times(codec, columns, head, err)) < 0 ||
        (rc = add_extra(codec, columns, extra_bytes, head, err)) < 0 ||
        (rc = add_blocks(codec, SECTION_BLOCKS, columns, BLOCK_F64, head, err)) < 0 ||
        (rc = add_blocks(
             codec, SECTION_BLOCKS + n_f64_blocks, columns, BLOCK_F32, head, err)) < 0) {
        return rc;
    }
    uint8_t *end = block_need_out(scratch, CHUNK_CHECK_BYTES);
    put32(scratch->out + 8, (uint32_t)(scratch->n_out + CHUNK_CHECK_BYTES));
    uint64_t check = XXH3_64bits(scratch->out, scratch->n_out);
    memcpy(end, &check, sizeof check);
    scratch->n_out += CHUNK_CHECK_BYTES;
    *out_bytes = scratch->out;
    *out_n_bytes = scratch->n_out;
    return 0;
}
