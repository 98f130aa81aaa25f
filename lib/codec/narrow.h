/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of the commonest columns, floats without low bits, in one pass; private to lib/codec. */
#ifndef BARO_NARROW_H
#define BARO_NARROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/codec/predict.h"
#include "lib/codec/symbols.h"

/* A column to decode. */
struct narrow_column {
    const struct symbols_table *table;
    const uint8_t *symbols; /* n_rows > 0 */
    const uint8_t *bits;
    size_t bit;    /* its first */
    size_t n_bits; /* of all columns; BITS_SLACK bytes can be read behind them */
    size_t n_rows;
    struct predict predict;
    bool is_wide; /* doubles come out, else floats */
};

/** Tell whether narrow_take knows a prediction. */
bool narrow_can(struct predict predict);

/**
 * Decode a column of narrow numbers.
 *
 * io_before  predicts the first number; becomes it
 * out        n_rows doubles or floats
 * returns    the bits of the column, SIZE_MAX when a symbol means nothing. When there are fewer
 *            bits the numbers are wrong, but nothing was read behind them
 */
size_t narrow_take(const struct narrow_column *column, int64_t *io_before, uint8_t *out);

#endif
