/* SPDX-License-Identifier: Apache-2.0 */
/* What encoding and decoding of chunks share; private to lib/codec. */
#ifndef BARO_CHUNK_LAYOUT_H
#define BARO_CHUNK_LAYOUT_H

#include <stdbool.h>
#include <string.h>

#include <zstd.h>

#include "lib/codec/chunk.h"

enum {
    CHUNK_VERSION = 2,
    CHUNK_HEADER_BYTES = 64,
    CHUNK_ENTRY_BYTES = 8, /* of the section table */
    CHUNK_CHECK_BYTES = 8
};
enum section {
    SECTION_STEPS = 0,
    SECTION_TIMES,
    SECTION_ENDS,
    SECTION_EXTRA,
    SECTION_BLOCKS
};

static const uint8_t chunk_magic[4] = {'B', 'A', 'R', 'C'};

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

static inline uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline int64_t get64(const uint8_t *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

/** Count the blocks that hold n_columns; per_block > 0. */
static inline uint32_t chunk_blocks(uint32_t n_columns, uint32_t per_block)
{
    return n_columns == 0 ? 0 : (n_columns - 1) / per_block + 1;
}

/** Give the codec's buffer for one raw section of n bytes. */
uint8_t *chunk_need_raw(struct chunk_codec *codec, size_t n);

/** Give the codec's buffer for n whole numbers. */
int64_t *chunk_need_numbers(struct chunk_codec *codec, size_t n);

/** Tell whether counts are within the limits, so that no sum of sizes can overflow 64 bits. */
bool chunk_within_limits(uint32_t n_rows, uint32_t n_f64, uint32_t n_f32, uint64_t extra);

#endif
