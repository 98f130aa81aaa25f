/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows turned into columns: a growing set of column buffers that sealing fills from old chunks
 * and from the tail, and reading fills for its caller. Private to daemon/store.
 */
#ifndef BARO_STORE_COLUMNS_H
#define BARO_STORE_COLUMNS_H

#include "daemon/store/tail.h"
#include "lib/codec/chunk.h"

/* Some columns of some rows; zero is empty. Column c starts at f64 + c * room (or f32). */
struct columns {
    size_t n_rows;
    size_t room; /* rows that fit: the distance from column to column */
    uint32_t n_f64;
    uint32_t n_f32;
    int64_t *steps;
    int64_t *times_ns;
    double *f64;
    float *f32;
    uint32_t *extra_ends;
    uint8_t *extra;
    size_t extra_bytes;
    size_t steps_room; /* what is allocated, in elements */
    size_t f64_room;
    size_t f32_room;
    size_t extra_room;
    bool without_times; /* set by the owner: times of chunks are left out */
    bool may_be_line;   /* set by the owner: columns_take_chunk may leave steps out */
    bool is_line;       /* it did: the first two tell the others, in a straight line */
};

/* How some columns of a group, counted doubles first, fall into doubles and floats. */
struct columns_span {
    uint32_t first_f64;
    uint32_t n_f64;
    uint32_t first_f32; /* counted from the first float */
    uint32_t n_f32;
};

/** Divide columns [first, first + n) of a group that has n_f64 doubles. */
static inline struct columns_span columns_span(uint32_t first, uint32_t n, uint32_t n_f64)
{
    struct columns_span span = {0};
    uint32_t end = first + n;
    if (first < n_f64) {
        span.first_f64 = first;
        span.n_f64 = (end < n_f64 ? end : n_f64) - first;
    }
    span.first_f32 = first > n_f64 ? first - n_f64 : 0;
    span.n_f32 = end > n_f64 ? end - n_f64 - span.first_f32 : 0;
    return span;
}

/** Make room for n_rows rows of so many columns and extra bytes; what was there is forgotten. */
void columns_reset(struct columns *columns, size_t n_rows, uint32_t n_f64, uint32_t n_f32,
    size_t extra_bytes);

/** Release the buffers. */
void columns_finish(struct columns *columns);

/**
 * Append all rows and columns of a chunk with the same layout; there must be room.
 *
 * returns  0; BARO_ECORRUPT, then nothing is appended
 */
int columns_add_chunk(struct columns *columns, struct chunk_codec *codec,
    const struct chunk *chunk, struct baro_err *err);

/**
 * Put some columns of a chunk in the place of all that is there.
 *
 * span     which columns, counted from the chunk's first double and float
 * returns  0; BARO_ECORRUPT
 */
int columns_take_chunk(struct columns *columns, struct chunk_codec *codec,
    const struct chunk *chunk, const struct columns_span *span, bool with_extra,
    struct baro_err *err);

/** Put steps in their places that were left out. */
void columns_expand_line(struct columns *columns);

/** Append all rows and columns of others with the same layout; there must be room. */
void columns_add_rows(struct columns *columns, const struct columns *rows);

/** Make room for more extra bytes behind those that are there. */
void columns_grow_extra(struct columns *columns, size_t n_bytes);

/**
 * Append one row; there must be room.
 *
 * first_f64, first_f32  where in the row's doubles and floats the wanted columns begin
 * row_f64, row_f32      how many the row has
 * with_extra            whether its extra bytes come along
 */
void columns_add_row(struct columns *columns, const struct tail_row *row, uint32_t row_f64,
    uint32_t row_f32, uint32_t first_f64, uint32_t first_f32, bool with_extra);

#endif
