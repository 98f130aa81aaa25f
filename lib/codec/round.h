/* SPDX-License-Identifier: Apache-2.0 */
/* What a chunk may leave out: bits of times and of floats that nobody could tell apart. */
#ifndef BARO_ROUND_H
#define BARO_ROUND_H

#include <stddef.h>
#include <stdint.h>

enum {
    ROUND_FLOAT_BITS = 12, /* kept behind the point */
    ROUND_TIME_BITS = 1 /* times keep half of the median distance between rows, or better */
};

/**
 * Round times down to a multiple of a power of two of nanoseconds, at most half of the median
 * distance from row to row; their order stays. What has been rounded before is left as it is.
 *
 * times_ns  n
 * out       n; may be times_ns
 */
void round_times(const int64_t *times_ns, size_t n, int64_t *out);

/**
 * Round floats to the nearest with 12 bits behind the point, relative error at most 2^-13.
 *
 * The smallest and the largest finite one, zeros, denormals, NaN and infinities stay as they are,
 * and nothing leaves the range of the finite ones. Rounding again changes nothing.
 *
 * values  n
 * out     n; may be values
 */
void round_floats(const float *values, size_t n, float *out);

#endif
