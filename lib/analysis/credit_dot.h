/* SPDX-License-Identifier: Apache-2.0 */
/* Products of a matrix with another that lies transposed, as weights do. */
#ifndef BARO_CREDIT_DOT_H
#define BARO_CREDIT_DOT_H

#include <stdint.h>

/**
 * Add a b^T to c.
 *
 * m, n, k  a is m by k, a_row elements from row to row; b is n by k, c is m by n, both row-major
 * cost     m n k multiplications, 8 at a time where the processor can; reads b once for 4 rows of a
 */
void credit_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
    const float *b, float *c);

#endif
