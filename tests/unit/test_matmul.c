/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <stdbool.h>

#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/* Against the plain sums, with sizes on both sides of every block of lib/simd/matmul.c. */

static uint32_t state_of_numbers = 1;

static float draw(void)
{
    state_of_numbers = state_of_numbers * 1664525 + 1013904223;
    return (float)(int32_t)state_of_numbers * 0x1p-31F;
}

static float *fill(int64_t n)
{
    float *x = baro_xcalloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = draw();
    }
    return x;
}

/* is_turned: a lies column by column */
static void check(int64_t m, int64_t n, int64_t k, bool is_turned)
{
    const int64_t c_row = n + 3;
    baro_autofree float *a = fill(m * k);
    baro_autofree float *b = fill(k * n);
    baro_autofree float *c = fill(m * c_row);
    baro_autofree float *was = baro_xcalloc((size_t)(m * c_row), sizeof *was);
    memcpy(was, c, (size_t)(m * c_row) * sizeof *was);
    const struct matmul_matrix left = {a, is_turned ? 1 : k, is_turned ? m : 1};
    matmul_add(m, n, k, left, (struct matmul_matrix){b, n, 1}, c, c_row);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < c_row; j++) {
            double sum = (double)was[i * c_row + j];
            for (int64_t p = 0; j < n && p < k; p++) {
                sum += (double)a[i * left.row + p * left.column] * (double)b[p * n + j];
            }
            if (fabs((double)c[i * c_row + j] - sum) > 1e-4) {
                fail_msg("%lld x %lld x %lld at (%lld, %lld): %g, not %g", (long long)m,
                    (long long)n, (long long)k, (long long)i, (long long)j,
                    (double)c[i * c_row + j], sum);
            }
        }
    }
}

static void a_product_is_right_on_both_sides_of_every_block(void **state)
{
    static const int64_t rows[] = {1, 5, 6, 7, 95, 96, 97, 200};
    static const int64_t columns[] = {1, 15, 16, 17, 40};
    static const int64_t inner[] = {1, 8, 255, 256, 257};
    for (size_t r = 0; r < BARO_LEN(rows); r++) {
        for (size_t c = 0; c < BARO_LEN(columns); c++) {
            for (size_t i = 0; i < BARO_LEN(inner); i++) {
                check(rows[r], columns[c], inner[i], (r + c + i) % 2 == 0);
            }
        }
    }
}

static void a_transpose_has_every_element_in_its_place(void **state)
{
    static const int64_t sizes[] = {1, 3, 15, 16, 17, 63, 64, 65, 130};
    for (size_t r = 0; r < BARO_LEN(sizes); r++) {
        for (size_t c = 0; c < BARO_LEN(sizes); c++) {
            const int64_t n = sizes[r] * sizes[c];
            baro_autofree float *x = fill(n);
            baro_autofree float *out = baro_xcalloc((size_t)n, sizeof *out);
            matmul_transpose(x, sizes[r], sizes[c], out);
            for (int64_t i = 0; i < n; i++) {
                const float there = out[i % sizes[c] * sizes[r] + i / sizes[c]];
                assert_true(x[i] == there);
            }
        }
    }
}

static void memory_to_be_written_as_a_whole_begins_as_zeros(void **state)
{
    enum { N = (9 << 20) + 12345 };
    baro_autofree unsigned char *bytes = baro_xcalloc_whole(N, 1);
    size_t n_other = 0;
    for (size_t i = 0; i < N; i++) {
        n_other += bytes[i] != 0;
        bytes[i] = 1;
    }
    assert_int_equal(n_other, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_right_on_both_sides_of_every_block),
        cmocka_unit_test(a_transpose_has_every_element_in_its_place),
        cmocka_unit_test(memory_to_be_written_as_a_whole_begins_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
