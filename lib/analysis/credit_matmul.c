/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_matmul.h"

#include <string.h>

/*
 * A tile of c, 4 rows by 16 columns, stays in registers while k runs; k is cut so that the rows of
 * b in use stay in the cache. Written once with the compiler's vectors and compiled twice, for
 * AVX2 and for what every processor has; which one runs is asked of the processor. What is left
 * over at the right and at the bottom goes the plain way.
 */

enum { TILE_ROWS = 4, LANES = 8, TILE_COLUMNS = 2 * LANES, K_BLOCK = 256 };

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* One product's arguments, cut to a stretch of k. */
struct job {
    int64_t m, n, k;
    struct credit_matrix a, b;
    float *c;
    int64_t c_row;
};

/* The elements of c from (i, j), rows by 16. */
static inline __attribute__((always_inline)) void tile(
    const struct job *job, int64_t i, int64_t j, const int rows)
{
    lanes sum[TILE_ROWS][2];
    float *c = job->c + i * job->c_row + j;
    for (int r = 0; r < rows; r++) {
        sum[r][0] = *(const lanes *)(c + r * job->c_row);
        sum[r][1] = *(const lanes *)(c + r * job->c_row + LANES);
    }
    const float *a = job->a.x + i * job->a.row;
    const float *b = job->b.x + j;
    for (int64_t p = 0; p < job->k; p++) {
        lanes b0 = *(const lanes *)(b + p * job->b.row);
        lanes b1 = *(const lanes *)(b + p * job->b.row + LANES);
        for (int r = 0; r < rows; r++) {
            float factor = a[r * job->a.row + p * job->a.column];
            sum[r][0] += factor * b0;
            sum[r][1] += factor * b1;
        }
    }
    for (int r = 0; r < rows; r++) {
        *(lanes *)(c + r * job->c_row) = sum[r][0];
        *(lanes *)(c + r * job->c_row + LANES) = sum[r][1];
    }
}

/* The columns at the right that fill no tile. */
static inline __attribute__((always_inline)) void edge(const struct job *job, int64_t begin)
{
    for (int64_t i = 0; i < job->m; i++) {
        const float *a = job->a.x + i * job->a.row;
        for (int64_t j = begin; j < job->n; j++) {
            float sum = job->c[i * job->c_row + j];
            for (int64_t p = 0; p < job->k; p++) {
                sum += a[p * job->a.column] * job->b.x[p * job->b.row + j];
            }
            job->c[i * job->c_row + j] = sum;
        }
    }
}

static inline __attribute__((always_inline)) void multiply(const struct job *job)
{
    int64_t m_tiles = job->m - job->m % TILE_ROWS;
    int64_t n_tiles = job->n - job->n % TILE_COLUMNS;
    for (int64_t j = 0; j < n_tiles; j += TILE_COLUMNS) {
        for (int64_t i = 0; i < m_tiles; i += TILE_ROWS) {
            tile(job, i, j, TILE_ROWS);
        }
        for (int64_t i = m_tiles; i < job->m; i++) {
            tile(job, i, j, 1);
        }
    }
    edge(job, n_tiles);
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

static void run(const struct job *job)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        multiply_avx2(job);
        return;
    }
#endif
    multiply_plain(job);
}

void credit_matmul(int64_t m, int64_t n, int64_t k, struct credit_matrix a,
    struct credit_matrix b, float *c, int64_t c_row)
{
    for (int64_t p = 0; p < k; p += K_BLOCK) {
        struct job job = {.m = m,
            .n = n,
            .k = k - p < K_BLOCK ? k - p : K_BLOCK,
            .a = {a.x + p * a.column, a.row, a.column},
            .b = {b.x + p * b.row, b.row, 1},
            .c = c,
            .c_row = c_row};
        run(&job);
    }
}

void credit_transpose(const float *x, int64_t rows, int64_t columns, float *out)
{
    enum { BLOCK = 16 };
    for (int64_t i0 = 0; i0 < rows; i0 += BLOCK) {
        int64_t i_end = i0 + BLOCK < rows ? i0 + BLOCK : rows;
        for (int64_t j = 0; j < columns; j++) {
            for (int64_t i = i0; i < i_end; i++) {
                out[j * rows + i] = x[i * columns + j];
            }
        }
    }
}
