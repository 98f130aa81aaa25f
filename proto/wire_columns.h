/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns as they go over the wire when the asking side takes them packed: without what is the
 * same in all of them, floats where floats are enough. Nothing is lost, not a bit.
 */
#ifndef BARO_WIRE_COLUMNS_H
#define BARO_WIRE_COLUMNS_H

#include "proto/wire.h"

/** Tell how many bytes n columns of one series take at most. */
size_t wire_columns_bound(size_t n);

/**
 * Pack the columns of one series; of empty ones only that they are empty is kept, with the min, max
 * and mean that column_finish gives them.
 *
 * out      room for wire_columns_bound(n)
 * returns  how many bytes it took
 */
size_t wire_columns_pack(const struct wire_column *columns, size_t n, uint8_t *out);

/**
 * Unpack the columns of one series.
 *
 * n_bytes  that are left; there may be more than the series takes
 * out      n columns
 * returns  how many bytes it took; BARO_ECORRUPT
 */
int64_t wire_columns_unpack(
    const uint8_t *bytes, size_t n_bytes, size_t n, struct wire_column *out);

#endif
