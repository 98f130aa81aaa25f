/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk: some rows of one group as compressed columns. The store writes chunks when it seals
 * a tail and reads single columns out of them; nobody else knows the format. Bytes are
 * untrusted when read. What comes out is bit for bit what went in, NaN payloads included.
 */
#ifndef BARO_CHUNK_H
#define BARO_CHUNK_H

#include "lib/base/baro_types.h"

enum {
    CHUNK_MAX_ROWS = 65536,
    CHUNK_MAX_COLUMNS = 1 << 20,        /* of each type */
    CHUNK_MAX_RAW_BYTES = 64 << 20,     /* of all columns and the extra bytes, decoded */
    CHUNK_TARGET_BYTES = 16 * 4096 - 16 /* fills sixteen pages of LMDB to the last byte */
};

/* Which bits are kept. Doubles always keep all of theirs. */
enum chunk_precision {
    CHUNK_EXACT = 0,
    CHUNK_ROUND_TIMES, /* times to 17 ms or two usual distances, see round.c */
    CHUNK_ROUND_ALL /* floats too, to 12 bits behind the point (relative error up to 2^-13); the
                       smallest and the largest of a column, zeros, NaN, infinities stay exact */
};

/* Rows to encode, as columns; all borrowed. Column c of the doubles starts at f64 + c * stride. */
struct chunk_columns {
    uint32_t n_rows; /* 1 .. CHUNK_MAX_ROWS */
    uint32_t n_f64;
    uint32_t n_f32;
    size_t stride; /* numbers from one column to the next, at least n_rows */
    const int64_t *steps;
    const int64_t *times_ns;
    uint32_t n_settled; /* the first so many times were rounded before: they stay */
    const double *f64;
    const float *f32;
    const uint32_t
        *extra_ends;      /* n_rows: end of each row's extra bytes, counted from extra */
    uint32_t extra_start; /* where the first row's extra bytes begin */
    const uint8_t *extra; /* may be NULL when there are none */
    uint64_t
        covers; /* rows of the series that this chunk stands for: the writer's own figure */
    enum chunk_precision precision;
};

/* An opened chunk; borrows its bytes. Read n_rows to last_step; the rest is private. */
struct chunk {
    uint32_t n_rows;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t extra_bytes; /* of all rows */
    uint64_t covers;      /* as the writer gave it */
    enum chunk_precision precision;
    int64_t first_step; /* smallest and largest */
    int64_t last_step;
    const uint8_t *table; /* where each section ends */
    const uint8_t *data;  /* the first section */
    uint32_t n_sections;
    uint32_t f64_per_block; /* columns */
    uint32_t f32_per_block;
};

/* Compression state and scratch memory; one per thread at a time. */
struct chunk_codec;

/** Create a codec; never NULL. */
struct chunk_codec *chunk_codec_create(void);

/** Release a codec; accepts NULL. */
void chunk_codec_destroy(struct chunk_codec *codec);

/**
 * Encode rows as a chunk.
 *
 * out_bytes  the codec's, valid until its next call
 * returns    0; BARO_ELIMIT when over a maximum above; BARO_EIO when compression fails
 */
int chunk_encode(struct chunk_codec *codec, const struct chunk_columns *columns,
    const uint8_t **out_bytes, size_t *out_n_bytes, struct baro_err *err);

/**
 * Check untrusted bytes and open them as a chunk: checksum, limits, bounds of every section.
 *
 * returns  0; BARO_ECORRUPT; BARO_EVERSION when a newer version wrote it
 * cost     one pass over the bytes for the checksum; nothing is decompressed or allocated
 */
int chunk_open(
    struct chunk *out_chunk, const uint8_t *bytes, size_t n_bytes, struct baro_err *err);

/**
 * Tell how many rows of the series a chunk whose checksum does not match says it stands for.
 *
 * returns  0 when its head is not credible either
 */
uint64_t chunk_claim(const uint8_t *bytes, size_t n_bytes);

/** Decode all steps; out: n_rows. 0 or BARO_ECORRUPT. */
int chunk_steps(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err);

/**
 * Decode all steps, or only two of them.
 *
 * out      n_rows; only the first two are there when the others go on in a straight line
 * returns  1 when they do; 0: all are there; BARO_ECORRUPT
 */
int chunk_steps_line(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err);

/** Let a chunk borrow a copy of its bytes from here on. */
static inline void chunk_move(struct chunk *chunk, const uint8_t *from, const uint8_t *to)
{
    chunk->table = to + (chunk->table - from);
    chunk->data = to + (chunk->data - from);
}

/** Decode all times; out: n_rows. 0 or BARO_ECORRUPT. */
int chunk_times(struct chunk_codec *codec, const struct chunk *chunk, int64_t *out,
    struct baro_err *err);

/**
 * Decode some columns of doubles.
 *
 * first, n  columns; first + n <= n_f64
 * out       n * n_rows numbers, column after column, stride numbers apart
 * returns   0 or BARO_ECORRUPT
 * cost      only the blocks that hold these columns are decoded (about 8,192 numbers each)
 */
int chunk_f64(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, double *out, size_t stride, struct baro_err *err);

/** Decode some columns of floats; as chunk_f64. */
int chunk_f32(struct chunk_codec *codec, const struct chunk *chunk, uint32_t first,
    uint32_t n, float *out, size_t stride, struct baro_err *err);

/** Decode the extra bytes; out_ends: n_rows, out: extra_bytes. 0 or BARO_ECORRUPT. */
int chunk_extra(struct chunk_codec *codec, const struct chunk *chunk, uint32_t *out_ends,
    uint8_t *out, struct baro_err *err);

#endif
