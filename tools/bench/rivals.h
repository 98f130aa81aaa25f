/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codecs that the store's own is compared with by `baro bench codec`: what one would reach for
 * first. All work on whole words (floats, doubles, whole numbers), column after column.
 */
#ifndef BARO_RIVALS_H
#define BARO_RIVALS_H

#include <stddef.h>
#include <stdint.h>

/* Words of one block. */
struct rival_words {
    size_t size;   /* bytes of a word, 4 or 8 */
    size_t n;      /* words in all */
    size_t n_rows; /* words of a column */
};

struct rival_scratch;

/** Encode words into out; returns the bytes, 0 on failure. room: see rival_room. */
typedef size_t (*rival_encode_fn)(struct rival_scratch *scratch,
    const struct rival_words *words, const uint8_t *in, uint8_t *out, size_t room);

/** Decode what the encoder of the same rival made; 0 or -1. */
typedef int (*rival_decode_fn)(struct rival_scratch *scratch,
    const struct rival_words *words, const uint8_t *in, size_t n_in, uint8_t *out);

struct rival {
    const char *name;
    rival_encode_fn encode;
    rival_decode_fn decode;
};

enum { RIVALS_COUNT = 6 };

/* All of them. */
extern const struct rival rivals[RIVALS_COUNT];

/** Give room that any rival's encoding of so many words fits into. */
size_t rival_room(const struct rival_words *words);

/** Create scratch memory for blocks of up to n words; never NULL. */
struct rival_scratch *rival_scratch_create(size_t n);

/** Release it; accepts NULL. */
void rival_scratch_destroy(struct rival_scratch *scratch);

#endif
