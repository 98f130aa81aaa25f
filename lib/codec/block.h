/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block: some whole columns of a chunk, coded together and readable without any other bytes.
 * Private to lib/codec; block.c describes the layout.
 */
#ifndef BARO_BLOCK_H
#define BARO_BLOCK_H

#include <zstd.h>

#include "lib/base/err.h"
#include "lib/codec/predict.h"
#include "lib/codec/symbols.h"

enum block_type { BLOCK_I64, BLOCK_F64, BLOCK_F32, BLOCK_TYPE_COUNT };

/* Memory and compression state of whoever codes blocks. Zero is empty. */
struct block_scratch {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    int64_t *numbers;    /* of some columns, as whole numbers */
    int64_t *high;       /* the same without their low bits */
    uint64_t *residuals; /* of the coding being tried */
    uint8_t *symbols;
    uint8_t *bits;
    size_t room;                          /* numbers that fit into each of the above */
    struct symbols_table class_tables[2]; /* of wide and of narrow numbers */
    struct symbols_table table;           /* of the run being decoded */
    uint8_t *out;                         /* the chunk being encoded */
    size_t n_out;
    size_t out_room;
};

/* Columns to encode; column c starts at byte c * stride of base, numbers lie side by side. */
struct block_columns {
    enum block_type type;
    uint32_t n_rows;
    uint32_t n_columns;
    const void *base;
    size_t stride; /* bytes */
};

/** Make room for n numbers. */
void block_need(struct block_scratch *scratch, size_t n);

/** Give room for n more bytes at the end of out. */
uint8_t *block_need_out(struct block_scratch *scratch, size_t n);

/** Release what scratch holds. */
void block_finish(struct block_scratch *scratch);

/** Append a block to out. 0 or BARO_EIO. */
int block_encode(struct block_scratch *scratch, const struct block_columns *columns,
    struct baro_err *err);

/**
 * Decode columns [first, first + n) of a block out of untrusted bytes.
 *
 * bytes       n_bytes, followed by 8 readable ones
 * n_columns   of the block
 * out         n columns of n_rows numbers of the type, stride bytes apart
 * returns     0 or BARO_ECORRUPT
 */
int block_decode(struct block_scratch *scratch, const struct block_columns *shape,
    const uint8_t *bytes, size_t n_bytes, uint32_t first, uint32_t n, void *out,
    size_t stride, struct baro_err *err);

/**
 * Decode a block of one column of whole numbers, or only as much of it as is needed.
 *
 * out      n_rows numbers; only the first two are there when the others go on in a straight line
 * returns  1 when they do (n_rows is 3 or more then); 0; BARO_ECORRUPT
 */
int block_line(struct block_scratch *scratch, const struct block_columns *shape,
    const uint8_t *bytes, size_t n_bytes, int64_t *out, struct baro_err *err);

#endif
