/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/matmul.h"

#ifdef __x86_64__
#    include <immintrin.h>
#endif
#include <stdbool.h>
#include <string.h>

/*
 * A tile of c, some rows by 16 columns, stays in registers while k runs; k is cut so that the 16
 * columns of b in use fit the nearest cache, and where more than one tile needs them they are copied
 * there side by side first: in b itself each row of them is on a page of its own. So is each row of c,
 * of which a block of rows is done at a time. Written twice, for
 * processors with AVX2 and fused multiplication and for what every processor has; which one runs is
 * asked of the processor. What is left over at the right goes the plain way.
 */

enum {
    LANES = 8,
    TILE_COLUMNS = 2 * LANES,
    PLAIN_ROWS = 4,
    FUSED_ROWS = 6,
    K_BLOCK = 256,
    M_BLOCK = 96
};

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* One product's arguments, cut to a stretch of k. */
struct job {
    int64_t m, n, k;
    struct matmul_matrix a, b;
    float *c;
    int64_t c_row;
};

/* 16 columns of b, and how far it is from one row of them to the next. */
struct panel {
    const float *x;
    int64_t row;
};

/* The elements of c from (i, j), rows by 16. */
static inline __attribute__((always_inline)) void plain_tile(
    const struct job *job, struct panel b, int64_t i, int64_t j, const int rows)
{
    lanes sum[PLAIN_ROWS][2];
    float *c = job->c + i * job->c_row + j;
    UNROLL
    for (int r = 0; r < rows; r++) {
        sum[r][0] = *(const lanes *)(c + r * job->c_row);
        sum[r][1] = *(const lanes *)(c + r * job->c_row + LANES);
    }
    const float *a = job->a.x + i * job->a.row;
    for (int64_t p = 0; p < job->k; p++) {
        lanes b0 = *(const lanes *)(b.x + p * b.row);
        lanes b1 = *(const lanes *)(b.x + p * b.row + LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float factor = a[r * job->a.row + p * job->a.column];
            sum[r][0] += factor * b0;
            sum[r][1] += factor * b1;
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        *(lanes *)(c + r * job->c_row) = sum[r][0];
        *(lanes *)(c + r * job->c_row + LANES) = sum[r][1];
    }
}

static void plain_column(const struct job *job, struct panel b, int64_t j)
{
    int64_t i = 0;
    for (; i + PLAIN_ROWS <= job->m; i += PLAIN_ROWS) {
        plain_tile(job, b, i, j, PLAIN_ROWS);
    }
    for (; i < job->m; i++) {
        plain_tile(job, b, i, j, 1);
    }
}

#ifdef __x86_64__
#    define FUSED __attribute__((target("avx2,fma")))

static inline __attribute__((always_inline)) FUSED void fused_tile(
    const struct job *job, struct panel b, int64_t i, int64_t j, const int rows)
{
    __m256 sum[FUSED_ROWS][2];
    float *c = job->c + i * job->c_row + j;
    UNROLL
    for (int r = 0; r < rows; r++) {
        sum[r][0] = _mm256_loadu_ps(c + r * job->c_row);
        sum[r][1] = _mm256_loadu_ps(c + r * job->c_row + LANES);
    }
    const float *a = job->a.x + i * job->a.row;
    for (int64_t p = 0; p < job->k; p++) {
        const __m256 b0 = _mm256_loadu_ps(b.x + p * b.row);
        const __m256 b1 = _mm256_loadu_ps(b.x + p * b.row + LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const __m256 factor =
                _mm256_broadcast_ss(a + r * job->a.row + p * job->a.column);
            sum[r][0] = _mm256_fmadd_ps(factor, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(factor, b1, sum[r][1]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        _mm256_storeu_ps(c + r * job->c_row, sum[r][0]);
        _mm256_storeu_ps(c + r * job->c_row + LANES, sum[r][1]);
    }
}

static FUSED void fused_column(const struct job *job, struct panel b, int64_t j)
{
    int64_t i = 0;
    for (; i + FUSED_ROWS <= job->m; i += FUSED_ROWS) {
        fused_tile(job, b, i, j, FUSED_ROWS);
    }
    switch (job->m - i) {
    case 5: fused_tile(job, b, i, j, 5); break;
    case 4: fused_tile(job, b, i, j, 4); break;
    case 3: fused_tile(job, b, i, j, 3); break;
    case 2: fused_tile(job, b, i, j, 2); break;
    case 1: fused_tile(job, b, i, j, 1); break;
    default: break;
    }
}
#endif

/* The columns at the right that fill no tile. */
static void edge(const struct job *job, int64_t begin)
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

static bool has_fused(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

static void multiply(const struct job *job, bool is_fused)
{
    float near[K_BLOCK * TILE_COLUMNS];
    const int64_t n_tiles = job->n - job->n % TILE_COLUMNS;
    for (int64_t j = 0; j < n_tiles; j += TILE_COLUMNS) {
        struct panel b = {job->b.x + j, job->b.row};
        if (job->m > FUSED_ROWS) {
            for (int64_t p = 0; p < job->k; p++) {
                memcpy(
                    near + p * TILE_COLUMNS, b.x + p * b.row, TILE_COLUMNS * sizeof *near);
            }
            b = (struct panel){near, TILE_COLUMNS};
        }
#ifdef __x86_64__
        if (is_fused) {
            fused_column(job, b, j);
            continue;
        }
#endif
        plain_column(job, b, j);
    }
    (void)is_fused;
    edge(job, n_tiles);
}

void matmul_add(int64_t m, int64_t n, int64_t k, struct matmul_matrix a,
    struct matmul_matrix b, float *c, int64_t c_row)
{
    const bool is_fused = has_fused();
    for (int64_t p = 0; p < k; p += K_BLOCK) {
        for (int64_t i = 0; i < m; i += M_BLOCK) {
            const struct job job = {.m = m - i < M_BLOCK ? m - i : M_BLOCK,
                .n = n,
                .k = k - p < K_BLOCK ? k - p : K_BLOCK,
                .a = {a.x + i * a.row + p * a.column, a.row, a.column},
                .b = {b.x + p * b.row, b.row, 1},
                .c = c + i * c_row,
                .c_row = c_row};
            multiply(&job, is_fused);
        }
    }
}

void matmul_transpose(const float *x, int64_t rows, int64_t columns, float *out)
{
    enum { BLOCK = 16, PAGES = 64 };
    for (int64_t j0 = 0; j0 < columns; j0 += PAGES) {
        const int64_t j_end = j0 + PAGES < columns ? j0 + PAGES : columns;
        for (int64_t i0 = 0; i0 < rows; i0 += BLOCK) {
            const int64_t i_end = i0 + BLOCK < rows ? i0 + BLOCK : rows;
            for (int64_t j = j0; j < j_end; j++) {
                for (int64_t i = i0; i < i_end; i++) {
                    out[j * rows + i] = x[i * columns + j];
                }
            }
        }
    }
}
