/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a generator of random numbers, packed: what the flight recorder keeps of each step
 * and a READING_RNG carries. Half of what torch gives for its Mersenne Twister is zeros, and from
 * one step to the next often nothing but the place in it changes.
 *
 *   offset size     meaning
 *   0      ceil(n/8) a bit for each of the n 4-byte words of the state: 1, it is not zero
 *   ...    4 each   those words, in order, little-endian; the last word is filled up with zeros
 */
#ifndef BARO_RNG_STATE_H
#define BARO_RNG_STATE_H

#include <stddef.h>
#include <stdint.h>

enum {
    RNG_STATE_MAX_BYTES = 16 << 10,
    RNG_STATE_NUMBERS = 3, /* f64 of a READING_RNG: device (-1: the CPU), bytes, rank */
    RNG_PACKED_MAX_BYTES = RNG_STATE_MAX_BYTES + RNG_STATE_MAX_BYTES / 32
};

/**
 * Pack a state, or its difference (exclusive or) from another one of the same length.
 *
 * n_bytes    at most RNG_STATE_MAX_BYTES
 * base       NULL: the state itself
 * out        max_bytes
 * returns    bytes of it; 0 when they would be more than max_bytes
 */
size_t rng_state_pack(const uint8_t *state, size_t n_bytes, const uint8_t *base,
    uint8_t *out, size_t max_bytes);

/**
 * Unpack untrusted bytes.
 *
 * base     that it was packed with
 * out      n_bytes
 * returns  0; BARO_ECORRUPT when packed is not of n_bytes
 */
int rng_state_unpack(const uint8_t *packed, size_t packed_bytes, const uint8_t *base,
    uint8_t *out, size_t n_bytes);

/**
 * Check the numbers and the bytes of a READING_RNG.
 *
 * returns  bytes of the state; 0 when they cannot be
 */
size_t rng_state_check(
    const double numbers[RNG_STATE_NUMBERS], const uint8_t *packed, size_t packed_bytes);

#endif
