/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the store's tables: numbers most significant byte first, so that LMDB's byte order is
 * their numeric order. Private to daemon/store.
 */
#ifndef BARO_STORE_KEY_H
#define BARO_STORE_KEY_H

#include <stddef.h>
#include <stdint.h>

enum {
    KEY_VALUE_BYTES = 12,  /* run, id: small values; run, ordinal: tail */
    KEY_GROUP_BYTES = 10,  /* run, thing, kind */
    KEY_STRAND_BYTES = 13, /* run, thing, kind, level, part */
    KEY_CHUNK_BYTES = 21,  /* strand, number of its first row in the group */
    KEY_MAX_BYTES = KEY_CHUNK_BYTES
};

/* Which chunks belong one behind the other. */
struct strand_id {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    uint8_t level; /* 0: the rows themselves; 1 ..: summaries, each level coarser */
    uint16_t part; /* 0: all columns; k: columns (k - 1) * P to k * P - 1 of a wide group */
};

/** Write n bytes of a number, most significant first. */
static inline void key_put(uint8_t *out, uint64_t number, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(number >> (8 * (n - 1 - i)));
    }
}

/** Read a number of n bytes, most significant first. */
static inline uint64_t key_get(const uint8_t *at, size_t n)
{
    uint64_t number = 0;
    for (size_t i = 0; i < n; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

/** Write the key of a small value or of a piece of a tail; out: KEY_VALUE_BYTES. */
static inline void key_value(uint8_t *out, uint32_t run, uint64_t id)
{
    key_put(out, run, 4);
    key_put(out + 4, id, 8);
}

/** Write the key of a group; out: KEY_GROUP_BYTES. */
static inline void key_group(uint8_t *out, uint32_t run, uint32_t thing, uint16_t kind)
{
    key_put(out, run, 4);
    key_put(out + 4, thing, 4);
    key_put(out + 8, kind, 2);
}

/** Write the key of a strand (strand.h); out: KEY_STRAND_BYTES. */
static inline void key_strand(uint8_t *out, const struct strand_id *id)
{
    key_group(out, id->run, id->thing, id->kind);
    key_put(out + KEY_GROUP_BYTES, id->level, 1);
    key_put(out + KEY_GROUP_BYTES + 1, id->part, 2);
}

/** Write the key of a chunk; out: KEY_CHUNK_BYTES. */
static inline void key_chunk(uint8_t *out, const struct strand_id *id, uint64_t first_row)
{
    key_strand(out, id);
    key_put(out + KEY_STRAND_BYTES, first_row, 8);
}

#endif
