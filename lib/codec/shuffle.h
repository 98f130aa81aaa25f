/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte planes: all first bytes of a row of numbers, then all second bytes, and so on. Exponents
 * then lie beside exponents, and a byte compressor finds what floating point hides from it.
 */
#ifndef BARO_SHUFFLE_H
#define BARO_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

/**
 * Spread numbers over the planes of a block.
 *
 * numbers  n numbers of size 4 or 8 bytes; need not be aligned
 * planes   the block: size planes of total bytes each
 * at       where the first number goes in each plane; at + n <= total
 */
void shuffle_put(
    const void *numbers, size_t n, size_t size, uint8_t *planes, size_t total, size_t at);

/** Gather n numbers from position at on out of the planes of a block; shuffle_put's inverse. */
void shuffle_take(const uint8_t *planes, size_t total, size_t at, size_t n, size_t size,
    void *out_numbers);

#endif
