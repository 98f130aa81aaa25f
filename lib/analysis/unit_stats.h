/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics of units as rules see them. The store may keep them rounded to 12 bits behind the
 * point (lib/codec/round.h), all but the extremes of a range that depends on how they were stored.
 * So rules round them likewise before they look: then what was stored and what was not are the
 * same numbers, bit for bit, and live and replay agree.
 */
#ifndef BARO_UNIT_STATS_H
#define BARO_UNIT_STATS_H

#include <stdint.h>
#include <string.h>

#include "lib/base/reading.h"

enum { UNIT_DROPPED_BITS = 11 }; /* of the 23 behind the point */

/** Round a float to the nearest with 12 bits behind the point, ties to even. */
static inline float unit_rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t exponent = bits & 0x7f800000U;
    if (exponent == 0 || exponent == 0x7f800000U) {
        return value; /* zero, denormal, infinite, NaN */
    }
    uint32_t half = (UINT32_C(1) << (UNIT_DROPPED_BITS - 1)) - 1;
    bits += half + ((bits >> UNIT_DROPPED_BITS) & 1);
    bits &= ~((UINT32_C(1) << UNIT_DROPPED_BITS) - 1);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/** Give one statistic of all units of a READING_UNITS of that many units: n_units floats. */
static inline const float *unit_column(
    const struct reading *reading, uint32_t n_units, enum unit_stat stat)
{
    return reading->f32 + (size_t)stat * n_units;
}

/** Tell whether a reading has that many units, with the statistics that all units have. */
static inline int unit_fits(const struct reading *reading, uint32_t n_units)
{
    return n_units > 0 && reading->n_f32 >= (uint64_t)UNIT_STAT_COUNT * n_units;
}

#endif
