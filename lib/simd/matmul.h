/* SPDX-License-Identifier: Apache-2.0 */
/* Product of two matrices of f32, for the rules of credit assignment that are one inside. */
#ifndef BARO_MATMUL_H
#define BARO_MATMUL_H

#include <stdint.h>

/* Before a loop of few turns whose sums are to stay in registers: gcc keeps them in memory else. */
#if defined(__GNUC__) && !defined(__clang__)
#    define UNROLL _Pragma("GCC unroll 8")
#else
#    define UNROLL
#endif

/* Where the elements of a matrix lie: element (i, j) at x[i * row + j * column]. */
struct matmul_matrix {
    const float *x;
    int64_t row;
    int64_t column;
};

/**
 * Add a product: c += a b.
 *
 * m, n, k  a is m by k, b is k by n, c is m by n
 * a        any strides
 * b        its column stride must be 1
 * c        row-major, c_row elements from one row to the next; does not overlap a or b
 * cost     m n k multiplications, 8 at a time where the processor can
 */
void matmul_add(int64_t m, int64_t n, int64_t k, struct matmul_matrix a,
    struct matmul_matrix b, float *c, int64_t c_row);

/** Write the transpose of a row-major matrix of rows by columns. */
void matmul_transpose(const float *x, int64_t rows, int64_t columns, float *out);

#endif
