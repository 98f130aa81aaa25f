/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "lib/simd/summarise.h"
#include "tests/unit/spans.h"

enum { MAX_UNITS = 40000, N_STATS = 5 };

/* The five columns, in the order of struct baro_unit_stats. */
static float got[BARO_SIMD_COUNT][N_STATS][MAX_UNITS];
static const char *const names[N_STATS] = {
    "mean", "l2", "abs_max", "frac_zero", "n_nonfinite"};

static struct baro_unit_stats columns(int simd)
{
    return (struct baro_unit_stats){
        got[simd][0], got[simd][1], got[simd][2], got[simd][3], got[simd][4]};
}

static void check(
    float value, double want, double tolerance, int stat, int64_t unit, int seed)
{
    const double diff = fabs((double)value - want);
    const bool same =
        (double)value == want || (float)want == value || (isnan(value) && isnan(want));
    if (!same && !(diff <= tolerance)) {
        fail_msg("case %d, unit %lld: %s is %.9g and should be %.9g +- %g", seed,
            (long long)unit, names[stat], (double)value, want, tolerance);
    }
}

/* The unit as a span of its own, summed up one by one. */
static void check_unit(
    const struct baro_span *span, int axis, int64_t unit, int simd, int seed)
{
    struct baro_span part = *span;
    part.shape[axis] = 1;
    part.data = (const char *)span->data +
                unit * span->strides[axis] * (int64_t)baro_dtype_bytes(span->dtype);
    const int64_t count = baro_span_count(&part);
    long double sum = 0;
    long double l1 = 0;
    long double sq = 0;
    double abs_max = 0;
    int64_t n = 0;
    int64_t n_zero = 0;
    for (int64_t i = 0; i < count; i++) {
        const double x = baro_span_value(&part, i);
        n_zero += x == 0;
        if (isfinite(x)) {
            n++;
            sum += (long double)x;
            l1 += fabsl((long double)x);
            sq += (long double)x * (long double)x;
            abs_max = fmax(abs_max, fabs(x));
        }
    }
    const double none = (double)NAN;
    const double l2 = (double)sqrtl(sq);
    const double frac = (double)n_zero / (double)count;
    const double bad = (double)(count - n);
    /* a float cannot be nearer than this, subnormal or not */
    const double least = 0x1p-149;
    check(got[simd][0][unit], n ? (double)(sum / n) : none,
        n ? (double)l1 / (double)n * 1e-6 + least : 0, 0, unit, seed);
    check(got[simd][1][unit], n ? l2 : none, l2 * 1e-6 + least, 1, unit, seed);
    check(got[simd][2][unit], n ? abs_max : none, abs_max * 1e-7 + least, 2, unit, seed);
    check(got[simd][3][unit], count ? frac : none, frac * 1e-7, 3, unit, seed);
    check(got[simd][4][unit], bad, bad * 1e-7, 4, unit, seed);
}

/* Compares with brute force, and every instruction set with the scalar one, bit by bit. */
static void check_axis(const struct baro_span *span, int axis, int seed)
{
    const int64_t n_units = span->shape[axis];
    assert_true(n_units <= MAX_UNITS);
    for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
        if (!baro_simd_use((enum baro_simd)simd)) {
            continue;
        }
        const struct baro_unit_stats out = columns(simd);
        memset(got[simd], 0x55, sizeof(got[simd]));
        assert_int_equal(baro_summarise_units(span, axis, &out), 0);
        for (int64_t u = 0; u < n_units; u++) {
            check_unit(span, axis, u, simd, seed);
        }
        for (int stat = 0; stat < N_STATS && simd > 0; stat++) {
            const size_t bytes = (size_t)n_units * sizeof(float);
            assert_memory_equal(got[simd][stat], got[0][stat], bytes);
        }
        /* and nothing was written past the end */
        assert_true(n_units == MAX_UNITS || got[simd][0][n_units] > 1e13f);
    }
    baro_simd_use(baro_simd_best());
}

static void check_type(enum baro_dtype dtype, int n_seeds)
{
    for (int seed = 0; seed < n_seeds; seed++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            struct rng rng = {(uint64_t)(seed * 1000 + fill) << 8 | (uint64_t)dtype};
            struct test_span t = spans_random(&rng, dtype, (enum fill)fill, 1200);
            for (int axis = 0; axis < t.span.n_dims; axis++) {
                check_axis(&t.span, axis, seed * 1000 + fill);
            }
            spans_free(&t);
        }
    }
}

static void units_of_any_f32_tensor_agree_with_brute_force(void **state)
{
    check_type(BARO_F32, 24);
}

static void units_of_any_f64_tensor_agree_with_brute_force(void **state)
{
    check_type(BARO_F64, 12);
}

static void units_of_half_precision_tensors_agree_with_brute_force(void **state)
{
    check_type(BARO_F16, 8);
    check_type(BARO_BF16, 8);
}

static void units_of_integers_and_bools_agree_with_brute_force(void **state)
{
    for (int dtype = BARO_I8; dtype < BARO_DTYPE_END; dtype++) {
        check_type((enum baro_dtype)dtype, 2);
    }
}

static void check_shape(enum fill fill, int n_dims, const int64_t *shape)
{
    struct rng rng = {(uint64_t)shape[0] + (uint64_t)fill};
    struct test_span t = spans_contiguous(&rng, BARO_F32, fill, n_dims, shape);
    for (int axis = 0; axis < n_dims; axis++) {
        check_axis(&t.span, axis, axis);
    }
    spans_free(&t);
}

static void rows_columns_and_channels_of_usual_shapes_are_right(void **state)
{
    check_shape(FILL_NORMAL, 2, (const int64_t[]){1000, 70});
    check_shape(FILL_SPARSE, 2, (const int64_t[]){70, 1000});
    check_shape(FILL_SOME_BAD, 2, (const int64_t[]){300, 129});
    check_shape(FILL_NORMAL, 4, (const int64_t[]){8, 16, 7, 7});
    check_shape(FILL_SOME_BAD, 4, (const int64_t[]){8, 33, 2, 2});
    check_shape(FILL_SPARSE, 4, (const int64_t[]){4, 8, 28, 28});
    check_shape(FILL_NORMAL, 3, (const int64_t[]){5, 40, 33});
    check_shape(FILL_NORMAL, 1, (const int64_t[]){5000});
}

static void a_bad_column_does_not_touch_its_neighbours(void **state)
{
    enum { ROWS = 1000, COLS = 100 };
    static float x[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = i % COLS == 42 ? NAN : 2;
    }
    struct baro_span span;
    const int64_t shape[2] = {ROWS, COLS};
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 2, shape, NULL, NULL), 0);
    const struct baro_unit_stats out = columns(0);
    assert_int_equal(baro_summarise_units(&span, 1, &out), 0);
    for (int c = 0; c < COLS; c++) {
        const bool bad = c == 42;
        assert_true(bad ? isnan(out.mean[c]) : out.mean[c] == 2);
        assert_true(out.n_nonfinite[c] == (bad ? ROWS : 0));
    }
}

static void any_statistic_may_be_left_out(void **state)
{
    const float x[6] = {1, -2, 3, 0, 0, -6};
    const int64_t shape[2] = {2, 3};
    struct baro_span span;
    float abs_max[2];
    const struct baro_unit_stats out = {.abs_max = abs_max};
    const struct baro_unit_stats none = {0};
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 2, shape, NULL, NULL), 0);
    assert_int_equal(baro_summarise_units(&span, 0, &out), 0);
    assert_true(abs_max[0] == 3 && abs_max[1] == 6);
    assert_int_equal(baro_summarise_units(&span, 1, &none), 0);
}

static void an_axis_that_is_not_there_is_refused(void **state)
{
    const float x = 1;
    struct baro_span span;
    const struct baro_unit_stats none = {0};
    assert_int_equal(baro_span_make(&span, BARO_F32, &x, 0, NULL, NULL, NULL), 0);
    assert_int_equal(baro_summarise_units(&span, 0, &none), BARO_EINVAL);
    assert_int_equal(baro_summarise_units(&span, -1, &none), BARO_EINVAL);
}

static void units_without_elements_say_so(void **state)
{
    const int64_t shape[2] = {3, 0};
    struct baro_span span;
    const struct baro_unit_stats out = columns(0);
    assert_int_equal(baro_span_make(&span, BARO_F32, NULL, 2, shape, NULL, NULL), 0);
    assert_int_equal(baro_summarise_units(&span, 0, &out), 0);
    assert_true(isnan(out.mean[2]) && isnan(out.frac_zero[2]));
    assert_true(out.n_nonfinite[2] == 0);
    assert_int_equal(baro_summarise_units(&span, 1, &out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_any_f32_tensor_agree_with_brute_force),
        cmocka_unit_test(units_of_any_f64_tensor_agree_with_brute_force),
        cmocka_unit_test(units_of_half_precision_tensors_agree_with_brute_force),
        cmocka_unit_test(units_of_integers_and_bools_agree_with_brute_force),
        cmocka_unit_test(rows_columns_and_channels_of_usual_shapes_are_right),
        cmocka_unit_test(a_bad_column_does_not_touch_its_neighbours),
        cmocka_unit_test(any_statistic_may_be_left_out),
        cmocka_unit_test(an_axis_that_is_not_there_is_refused),
        cmocka_unit_test(units_without_elements_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
