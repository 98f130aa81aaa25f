/* SPDX-License-Identifier: Apache-2.0 */
/* The two 16-bit float formats of deep learning as f32, in plain C: exact, no table. */
#ifndef BARO_HALF_H
#define BARO_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/** Read the bits of an f32 as the number. */
static inline float baro_f32_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/** Give the bits of an f32. */
static inline uint32_t baro_f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/** Widen an IEEE binary16 number, subnormals, infinities and NaN included. */
static inline float baro_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 31u;
    const uint32_t mantissa = half & 1023u;
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f;
        return baro_f32_from_bits(sign | baro_f32_bits(magnitude));
    }
    const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
    return baro_f32_from_bits(sign | wide << 23 | mantissa << 13);
}

/** Widen a bfloat16 number: the upper half of an f32. */
static inline float baro_bf16_to_f32(uint16_t half)
{
    return baro_f32_from_bits((uint32_t)half << 16);
}

#endif
