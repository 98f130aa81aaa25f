/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole numbers as differences of differences in variable-length bytes: what steps and times
 * become inside a chunk. A series that counts evenly costs one zero byte per number, which the
 * compressor then makes vanish.
 */
#ifndef BARO_DELTA_H
#define BARO_DELTA_H

#include <stddef.h>
#include <stdint.h>

enum { DELTA_MAX_BYTES = 10 }; /* of one number */

/**
 * Encode numbers.
 *
 * out      room for DELTA_MAX_BYTES * n
 * returns  the bytes written
 */
size_t delta_encode(const int64_t *numbers, size_t n, uint8_t *out);

/**
 * Decode n numbers out of untrusted bytes.
 *
 * returns  0; BARO_ECORRUPT unless the bytes hold exactly n numbers
 */
int delta_decode(const uint8_t *bytes, size_t n_bytes, int64_t *out_numbers, size_t n);

#endif
