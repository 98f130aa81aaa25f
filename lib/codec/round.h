/* SPDX-License-Identifier: Apache-2.0 */
/* What a chunk may leave out: bits of times and of floats that nobody could tell apart. */
#ifndef BARO_ROUND_H
#define BARO_ROUND_H

#include <stddef.h>
#include <stdint.h>

enum {
    ROUND_FLOAT_BITS = 12 /* kept behind the point */
};

/**
 * Lay times on few straight lines, none further from the truth than twice the median distance
 * from row to row, or 17 ms if that is more; rising times stay in order, and the last is not later than it was.
 *
 * To be done once: rows that have been through it must not come again (chunk_columns.n_settled).
 *
 * times_ns  n
 * out       n; not times_ns
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
