/* SPDX-License-Identifier: Apache-2.0 */
/* The runs of columns that a block begins with; shared by its encoder and decoder. */
#ifndef BARO_BLOCK_RUNS_H
#define BARO_BLOCK_RUNS_H

#include <stdint.h>

#include "lib/codec/predict.h"
#include "lib/codec/symbols.h"

enum {
    BLOCK_MAGIC_BYTES = 4, /* that zstd's frames begin with; blocks leave them out */
    RUN_MAX_BYTES = 24,    /* without a list */
    RUN_KIND_MASK = 3,     /* enum symbols_coding, or: */
    RUN_CONSTANT = 3,
    RUN_NARROW = 4, /* doubles kept as floats */
    RUN_ORDER_SHIFT = 3,
    RUN_HAS_SLOW = 64, /* the order is that of the slow mean */
    RUN_HAS_LOW = 128, /* a byte follows: low_bits */
    RUN_MAX_LOW = 63
};

/* Columns one after the other that are coded alike. */
struct block_run {
    uint32_t n_columns;
    bool is_constant;
    bool is_narrow; /* numbers are 32 bits wide: floats, or doubles kept as such */
    enum symbols_coding coding;
    struct predict predict;
    uint8_t low_bits;           /* that most numbers have zero */
    uint64_t constant;          /* bits of the number that repeats */
    struct symbols_split split; /* SYMBOLS_SPLIT */
    const uint8_t *dict;        /* SYMBOLS_DICT: where n_dict differences begin */
    uint32_t n_dict;
};

/* Untrusted bytes being read one after the other. */
struct block_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/** Write a number seven bits a byte, low bits first, at most 10 bytes; returns its end. */
uint8_t *block_put_varint(uint8_t *to, uint64_t number);

/** Read what block_put_varint wrote; false when it is cut off or too long. */
bool block_take_varint(struct block_cursor *cursor, uint64_t *out_number);

/** Write a run, without its list; returns its end. is_f64: of a block of doubles. */
uint8_t *block_put_run(uint8_t *to, const struct block_run *run, bool is_f64);

/** Read a run and step over its list. type: 0 i64, 1 f64, 2 f32. false when it is damaged. */
bool block_take_run(struct block_cursor *cursor, int type, struct block_run *out_run);

#endif
