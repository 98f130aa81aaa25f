/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/rivals.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "lib/base/mem.h"

/*
 * zstd alone; zstd behind byte planes (what Blosc and Parquet's BYTE_STREAM_SPLIT do), also of
 * the XOR with the word before, and of first and second differences; Gorilla (Pelkonen et al.,
 * VLDB 2015) with its five-bit leading and six-bit length fields.
 */

enum { SLACK = 64 };

struct rival_scratch {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    uint8_t *words; /* predicted */
    uint8_t *planes;
};

struct rival_scratch *rival_scratch_create(size_t n)
{
    struct rival_scratch *scratch = baro_xcalloc(1, sizeof *scratch);
    scratch->compress = ZSTD_createCCtx();
    scratch->decompress = ZSTD_createDCtx();
    scratch->words = baro_xcalloc(n + SLACK, 8);
    scratch->planes = baro_xcalloc(n + SLACK, 8);
    return scratch;
}

void rival_scratch_destroy(struct rival_scratch *scratch)
{
    if (scratch == NULL) {
        return;
    }
    (void)ZSTD_freeCCtx(scratch->compress);
    (void)ZSTD_freeDCtx(scratch->decompress);
    free(scratch->words);
    free(scratch->planes);
    free(scratch);
}

size_t rival_room(const struct rival_words *words)
{
    return words->n * words->size * 2 + 1024;
}

static size_t zstd_level(struct rival_scratch *scratch, const uint8_t *in, size_t n_in,
    uint8_t *out, size_t room, int level)
{
    size_t n = ZSTD_compressCCtx(scratch->compress, out, room, in, n_in, level);
    return ZSTD_isError(n) ? 0 : n;
}

static int unzstd(struct rival_scratch *scratch, const uint8_t *in, size_t n_in,
    uint8_t *out, size_t n_out)
{
    return ZSTD_decompressDCtx(scratch->decompress, out, n_out, in, n_in) == n_out ? 0 : -1;
}

static size_t zstd1(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    return zstd_level(scratch, in, words->n * words->size, out, room, 1);
}

static size_t zstd3(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    return zstd_level(scratch, in, words->n * words->size, out, room, 3);
}

static int zstd_back(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, size_t n_in, uint8_t *out)
{
    return unzstd(scratch, in, n_in, out, words->n * words->size);
}

/* ---- byte planes ---- */

static void to_planes(const uint8_t *in, size_t n, size_t size, uint8_t *out)
{
    for (size_t plane = 0; plane < size; plane++) {
        for (size_t i = 0; i < n; i++) {
            out[plane * n + i] = in[i * size + plane];
        }
    }
}

static void from_planes(const uint8_t *in, size_t n, size_t size, uint8_t *out)
{
    for (size_t plane = 0; plane < size; plane++) {
        for (size_t i = 0; i < n; i++) {
            out[i * size + plane] = in[plane * n + i];
        }
    }
}

static size_t planes(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    to_planes(in, words->n, words->size, scratch->planes);
    return zstd1(scratch, words, scratch->planes, out, room);
}

static int planes_back(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, size_t n_in, uint8_t *out)
{
    if (unzstd(scratch, in, n_in, scratch->planes, words->n * words->size) < 0) {
        return -1;
    }
    from_planes(scratch->planes, words->n, words->size, out);
    return 0;
}

static uint64_t get(const uint8_t *at, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

static size_t xor_planes(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    size_t size = words->size;
    for (size_t i = 0; i < words->n; i++) {
        uint64_t before = i % words->n_rows > 0 ? get(in + (i - 1) * size, size) : 0;
        uint64_t word = get(in + i * size, size) ^ before;
        memcpy(scratch->words + i * size, &word, size);
    }
    return planes(scratch, words, scratch->words, out, room);
}

static int xor_back(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, size_t n_in, uint8_t *out)
{
    size_t size = words->size;
    if (planes_back(scratch, words, in, n_in, out) < 0) {
        return -1;
    }
    for (size_t i = 0; i < words->n; i++) {
        if (i % words->n_rows > 0) {
            uint64_t word = get(out + i * size, size) ^ get(out + (i - 1) * size, size);
            memcpy(out + i * size, &word, size);
        }
    }
    return 0;
}

static size_t second_planes(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    size_t size = words->size;
    for (size_t i = 0; i < words->n; i++) {
        size_t row = i % words->n_rows;
        uint64_t one = row > 0 ? get(in + (i - 1) * size, size) : 0;
        uint64_t two = row > 1 ? get(in + (i - 2) * size, size) : one;
        uint64_t change = get(in + i * size, size) - one - (one - two);
        uint64_t sign = change >> (8 * size - 1) & 1;
        change = (change << 1) ^ (0 - sign);
        memcpy(scratch->words + i * size, &change, size);
    }
    return planes(scratch, words, scratch->words, out, room);
}

static int second_back(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, size_t n_in, uint8_t *out)
{
    size_t size = words->size;
    if (planes_back(scratch, words, in, n_in, out) < 0) {
        return -1;
    }
    for (size_t i = 0; i < words->n; i++) {
        size_t row = i % words->n_rows;
        uint64_t one = row > 0 ? get(out + (i - 1) * size, size) : 0;
        uint64_t two = row > 1 ? get(out + (i - 2) * size, size) : one;
        uint64_t folded = get(out + i * size, size);
        uint64_t word = (folded >> 1 ^ (0 - (folded & 1))) + one + (one - two);
        memcpy(out + i * size, &word, size);
    }
    return 0;
}

/* ---- Gorilla ---- */

struct bit_stream {
    uint8_t *bytes;
    size_t at;
};

static void put(struct bit_stream *stream, uint64_t value, unsigned n)
{
    while (n > 0) {
        unsigned used = stream->at % 8;
        unsigned fit = n < 8 - used ? n : 8 - used;
        uint8_t *byte = &stream->bytes[stream->at / 8];
        *byte = (uint8_t)((used == 0 ? 0U : *byte) | (unsigned)(value & ((1U << fit) - 1))
                                                         << used);
        value >>= fit;
        stream->at += fit;
        n -= fit;
    }
}

static uint64_t take(struct bit_stream *stream, unsigned n)
{
    uint64_t value = 0;
    for (unsigned done = 0; done < n;) {
        unsigned used = stream->at % 8;
        unsigned fit = n - done < 8 - used ? n - done : 8 - used;
        uint64_t part = stream->bytes[stream->at / 8] >> used & ((1U << fit) - 1);
        value |= part << done;
        stream->at += fit;
        done += fit;
    }
    return value;
}

static size_t gorilla(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, uint8_t *out, size_t room)
{
    (void)scratch;
    (void)room;
    unsigned width = (unsigned)words->size * 8;
    struct bit_stream stream = {.bytes = out};
    unsigned lead = 64;
    unsigned trail = 0;
    for (size_t i = 0; i < words->n; i++) {
        uint64_t word = get(in + i * words->size, words->size);
        if (i % words->n_rows == 0) {
            put(&stream, word, width);
            lead = 64;
            continue;
        }
        uint64_t change = word ^ get(in + (i - 1) * words->size, words->size);
        put(&stream, change != 0, 1);
        if (change == 0) {
            continue;
        }
        unsigned zeros = (unsigned)__builtin_clzll(change) - (64 - width);
        unsigned low = (unsigned)__builtin_ctzll(change);
        zeros = zeros > 31 ? 31 : zeros;
        bool is_new = lead == 64 || zeros < lead || low < trail;
        put(&stream, is_new, 1);
        if (is_new) {
            lead = zeros;
            trail = low;
            put(&stream, lead, 5);
            put(&stream, width - lead - trail - 1, 6);
        }
        put(&stream, change >> trail, width - lead - trail);
    }
    return (stream.at + 7) / 8;
}

static int gorilla_back(struct rival_scratch *scratch, const struct rival_words *words,
    const uint8_t *in, size_t n_in, uint8_t *out)
{
    (void)scratch;
    unsigned width = (unsigned)words->size * 8;
    struct bit_stream stream = {.bytes = (uint8_t *)(uintptr_t)in};
    unsigned n_bits = 0;
    unsigned trail = 0;
    uint64_t word = 0;
    for (size_t i = 0; i < words->n; i++) {
        if (i % words->n_rows == 0) {
            word = take(&stream, width);
        } else if (take(&stream, 1) != 0) {
            if (take(&stream, 1) != 0) {
                unsigned lead = (unsigned)take(&stream, 5);
                n_bits = (unsigned)take(&stream, 6) + 1;
                trail = width - lead - n_bits;
            }
            word ^= take(&stream, n_bits) << trail;
        }
        memcpy(out + i * words->size, &word, words->size);
    }
    return (stream.at + 7) / 8 == n_in ? 0 : -1;
}

const struct rival rivals[RIVALS_COUNT] = {
    {"zstd 1", zstd1, zstd_back},
    {"zstd 3", zstd3, zstd_back},
    {"planes + zstd 1", planes, planes_back},
    {"xor + planes + zstd 1", xor_planes, xor_back},
    {"2nd diff + planes + zstd 1", second_planes, second_back},
    {"Gorilla", gorilla, gorilla_back},
};
