/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_dot.h"

#include "lib/simd/matmul.h"

/*
 * Four rows of a with two of b: eight sums of eight lanes stay in registers while k runs, so that
 * each element of b, which is the large one, is read once for four rows. Compiled twice, for AVX2
 * and for what every processor has.
 */

enum { LANES = 8, A_ROWS = 4, B_ROWS = 2 };

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

struct job {
    int64_t m, n, k, a_row;
    const float *a, *b;
    float *c;
};

static inline __attribute__((always_inline)) float sum_of(const lanes *sum)
{
    const float *x = (const float *)sum;
    return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
}

/* Rows i to i + a_rows with rows j to j + b_rows. */
static inline __attribute__((always_inline)) void tile(
    const struct job *job, int64_t i, int64_t j, int a_rows, int b_rows)
{
    lanes sum[A_ROWS][B_ROWS] = {0};
    const float *a = job->a + i * job->a_row;
    const float *b = job->b + j * job->k;
    int64_t p = 0;
    for (; p + LANES <= job->k; p += LANES) {
        UNROLL
        for (int s = 0; s < b_rows; s++) {
            const lanes right = *(const lanes *)(b + s * job->k + p);
            UNROLL
            for (int r = 0; r < a_rows; r++) {
                sum[r][s] += *(const lanes *)(a + r * job->a_row + p) * right;
            }
        }
    }
    UNROLL
    for (int r = 0; r < a_rows; r++) {
        UNROLL
        for (int s = 0; s < b_rows; s++) {
            float rest = sum_of(&sum[r][s]);
            for (int64_t q = p; q < job->k; q++) {
                rest += a[r * job->a_row + q] * b[s * job->k + q];
            }
            job->c[(i + r) * job->n + j + s] += rest;
        }
    }
}

static inline __attribute__((always_inline)) void multiply(const struct job *job)
{
    int64_t j = 0;
    for (; j + B_ROWS <= job->n; j += B_ROWS) {
        int64_t i = 0;
        for (; i + A_ROWS <= job->m; i += A_ROWS) {
            tile(job, i, j, A_ROWS, B_ROWS);
        }
        for (; i < job->m; i++) {
            tile(job, i, j, 1, B_ROWS);
        }
    }
    for (int64_t i = 0; j < job->n && i < job->m; i++) {
        tile(job, i, j, 1, 1);
    }
}

static void multiply_plain(const struct job *job)
{
    multiply(job);
}

#ifdef __x86_64__
static __attribute__((target("avx2"))) void multiply_avx2(const struct job *job)
{
    multiply(job);
}
#endif

void credit_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
    const float *b, float *c)
{
    const struct job job = {m, n, k, a_row, a, b, c};
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        multiply_avx2(&job);
        return;
    }
#endif
    multiply_plain(&job);
}
