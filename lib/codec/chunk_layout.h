/* SPDX-License-Identifier: Apache-2.0 */
/* What encoding and decoding of chunks share; private to lib/codec. */
#ifndef BARO_CHUNK_LAYOUT_H
#define BARO_CHUNK_LAYOUT_H

#include <stdbool.h>
#include <string.h>

#include "lib/codec/block.h"
#include "lib/codec/chunk.h"

enum {
    CHUNK_VERSION = 2,
    CHUNK_HEADER_BYTES = 64,
    CHUNK_ENTRY_BYTES = 4, /* of the section table */
    CHUNK_CHECK_BYTES = 8, /* also what may be read behind the last section, see bits.h */
    CHUNK_BLOCK_NUMBERS = 8192,     /* columns are put together up to this many */
    CHUNK_MAX_BLOCK_NUMBERS = 65536 /* of more than one column, when reading */
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
    struct block_scratch blocks;
    int64_t *numbers; /* rounded times, ends of extra bytes */
    size_t numbers_room;
    float *floats; /* rounded columns of one block */
    size_t floats_room;
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

/** Give the codec's buffer for n whole numbers. */
int64_t *chunk_need_numbers(struct chunk_codec *codec, size_t n);

/** Tell whether counts are within the limits, so that no sum of sizes can overflow 64 bits. */
bool chunk_within_limits(uint32_t n_rows, uint32_t n_f64, uint32_t n_f32, uint64_t extra);

#endif
