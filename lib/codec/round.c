/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/round.h"

#include <stdbool.h>
#include <string.h>

/*
 * Floats: statistics of single units are looked at as colours and curves, and the largest and the
 * smallest of them as numbers. Of the 23 bits behind the point 12 are kept, rounded to the
 * nearest, a tie to the even one. With a value in [2^e, 2^(e+1)) the grid has a distance of
 * 2^(e-12), so the error is at most 2^(e-13): relatively at most 2^-13, 0.012 %. Denormals are
 * kept, as the same grid would cost them more than that.
 *
 * The extremes of a column stay exact. Then another value may be rounded beyond one of them; it is
 * set to the extreme, which lies between the value and what it was rounded to, so the bound holds.
 *
 * Worked number: 0.1f is 3dcccccd (hexadecimal). Its last 11 bits, 100 1100 1101 = 1229, are more
 * than half of 2048, so it is rounded up to 3dccd000 = 0.1000061, an error of 2^-14.0 of it.
 *
 * Times: of rows that come every 3 ms, when to the nanosecond is noise, and noise is what costs
 * room. They are rounded down to a multiple of 2^q ns, the largest that is at most half of the
 * median distance. Rounding down keeps the order, and multiples of a larger power of two are
 * multiples of the smaller, so chunks can be merged and rounded again: the error of all rounds
 * together is below the largest 2^q of them. On recorded trainings a time then costs 0.3 bytes; an
 * eighth of the distance would cost 0.53, all bits 3.0.
 *
 * Rounded times have a slightly different median, which could make the next q one larger, and
 * the next one larger again. So times that are all multiples of 2^(q-1) already are left alone.
 *
 * Worked number: rows at 10000, 10040, 10090, 10110, 10160 ns have the distances 40, 50, 20, 50;
 * the median (the third of 20, 40, 50, 50) is 50, half of it 25, so 2^q is 16 ns: 10000, 10032,
 * 10080, 10096, 10160.
 */

enum { DROPPED_BITS = 23 - ROUND_FLOAT_BITS };

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_finite(uint32_t bits)
{
    return (bits & 0x7f800000U) != 0x7f800000U;
}

/* Round a finite, normal float; may become infinite. */
static uint32_t round_bits(uint32_t bits)
{
    uint32_t half = (UINT32_C(1) << (DROPPED_BITS - 1)) - 1;
    bits += half + ((bits >> DROPPED_BITS) & 1);
    return bits & ~((UINT32_C(1) << DROPPED_BITS) - 1);
}

void round_floats(const float *values, size_t n, float *out)
{
    float least = 0;
    float most = 0;
    bool has_any = false;
    for (size_t i = 0; i < n; i++) {
        if (is_finite(bits_of(values[i]))) {
            least = !has_any || values[i] < least ? values[i] : least;
            most = !has_any || values[i] > most ? values[i] : most;
            has_any = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(values[i]);
        float value = values[i];
        bool is_normal = is_finite(bits) && (bits & 0x7f800000U) != 0;
        if (is_normal && value > least && value < most) {
            bits = round_bits(bits);
            memcpy(&value, &bits, sizeof value);
            value = value > most ? most : value;
            value = value < least ? least : value;
        }
        memcpy(&out[i], &value, sizeof value);
    }
}

/* Tell the bits of the median of the distances between neighbours; 0 when it is 0. */
static unsigned median_bits(const int64_t *times_ns, size_t n)
{
    size_t counts[65] = {0};
    for (size_t i = 1; i < n; i++) {
        uint64_t distance = (uint64_t)times_ns[i] - (uint64_t)times_ns[i - 1];
        distance = times_ns[i] < times_ns[i - 1] ? 0 - distance : distance;
        counts[distance == 0 ? 0 : 64 - __builtin_clzll(distance)]++;
    }
    size_t n_below = 0; /* distances of fewer bits */
    unsigned bits = 0;
    while (bits < 64 && n_below + counts[bits] <= (n - 1) / 2) {
        n_below += counts[bits++];
    }
    return bits;
}

void round_times(const int64_t *times_ns, size_t n, int64_t *out)
{
    /* A median of b bits is at least 2^(b-1); half of that is 2^(b-2). */
    unsigned bits = n > 1 ? median_bits(times_ns, n) : 0;
    unsigned shift = bits > 1 + ROUND_TIME_BITS ? bits - 1 - ROUND_TIME_BITS : 0;
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all |= (uint64_t)times_ns[i];
    }
    bool is_done = shift == 0 || (all & ((UINT64_C(1) << (shift - 1)) - 1)) == 0;
    uint64_t mask = is_done ? UINT64_MAX : ~((UINT64_C(1) << shift) - 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = (int64_t)((uint64_t)times_ns[i] & mask);
    }
}
