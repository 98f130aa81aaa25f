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

/* All sets give the same bits, and nothing was written past the end. */
static void check_sets(int simd, int64_t n_units)
{
    for (int stat = 0; stat < N_STATS && simd > 0; stat++) {
        const size_t bytes = (size_t)n_units * sizeof(float);
        assert_memory_equal(got[simd][stat], got[0][stat], bytes);
    }
    assert_true(n_units == MAX_UNITS || got[simd][0][n_units] > 1e13f);
}

static void check_near(double value, double expected, double error, int seed)
{
    if (isnan(expected) ? !isnan(value) : !(fabs(value - expected) <= error)) {
        if (value != expected) {
            fail_msg("seed %d: %.17g, not %.17g", seed, value, expected);
        }
    }
}

/* The summary that comes with the units is as good as the one by itself. */
static void check_both(const struct baro_span *span, int axis, int simd, int seed)
{
    static struct baro_summary summaries[BARO_SIMD_COUNT];
    struct baro_summary alone;
    struct baro_hist hist;
    struct baro_hist hist_alone;
    const struct baro_unit_stats out = columns(simd);
    struct baro_summary *whole = &summaries[simd];
    memset(whole, 0, sizeof(*whole));
    memset(got[simd], 0x55, sizeof(got[simd]));
    assert_int_equal(baro_summarise_both(span, axis, &out, whole, &hist), 0);
    for (int64_t u = 0; u < span->shape[axis]; u++) {
        check_unit(span, axis, u, simd, seed);
    }
    baro_summarise(span, &alone, &hist_alone);
    assert_memory_equal(&hist, &hist_alone, sizeof(hist));
    assert_int_equal(whole->count, alone.count);
    assert_int_equal(whole->n_nan, alone.n_nan);
    assert_int_equal(whole->n_pos_inf, alone.n_pos_inf);
    assert_int_equal(whole->n_neg_inf, alone.n_neg_inf);
    assert_int_equal(whole->n_zero, alone.n_zero);
    assert_int_equal(whole->first_bad, alone.first_bad);
    check_near(whole->min, alone.min, 0, seed);
    check_near(whole->max, alone.max, 0, seed);
    check_near(whole->abs_max, alone.abs_max, 0, seed);
    check_near(
        whole->mean, alone.mean, 2e-7 * (sqrt(alone.var) + fabs(alone.mean) * 1e-6), seed);
    check_near(whole->var, alone.var, 4e-7 * alone.var, seed);
    check_near(whole->l1, alone.l1, 2e-7 * alone.l1, seed);
    check_near(whole->l2, alone.l2, 2e-7 * alone.l2, seed);
    if (simd > 0) {
        assert_memory_equal(whole, &summaries[0], sizeof(*whole));
    }
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
        check_sets(simd, n_units);
    }
    for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
        if (baro_simd_use((enum baro_simd)simd)) {
            check_both(span, axis, simd, seed);
            check_sets(simd, n_units);
        }
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

static void check_shape_of(
    enum baro_dtype dtype, enum fill fill, int n_dims, const int64_t *shape)
{
    struct rng rng = {(uint64_t)shape[0] + (uint64_t)fill};
    struct test_span t = spans_contiguous(&rng, dtype, fill, n_dims, shape);
    for (int axis = 0; axis < n_dims; axis++) {
        check_axis(&t.span, axis, axis);
    }
    spans_free(&t);
}

static void check_shape(enum fill fill, int n_dims, const int64_t *shape)
{
    check_shape_of(BARO_F32, fill, n_dims, shape);
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

static void strips_tiles_and_long_rows_are_right_in_every_type(void **state)
{
    static const enum fill fills[4] = {
        FILL_NORMAL, FILL_NEAR_HUNDRED, FILL_SOME_BAD, FILL_DRIFT};
    static const enum baro_dtype dtypes[3] = {BARO_F32, BARO_F16, BARO_BF16};
    for (int i = 0; i < 4; i++) {
        check_shape(fills[i], 2, (const int64_t[]){100, 1100});
        check_shape(fills[i], 2, (const int64_t[]){9, 9000});
        check_shape(fills[i], 3, (const int64_t[]){3, 50, 300});
        check_shape_of(dtypes[i % 3], fills[i], 2, (const int64_t[]){70, 520});
    }
    check_shape_of(BARO_F16, FILL_NORMAL, 2, (const int64_t[]){260, 40});
    check_shape_of(BARO_BF16, FILL_SPARSE, 2, (const int64_t[]){5, 6000});
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
        cmocka_unit_test(strips_tiles_and_long_rows_are_right_in_every_type),
        cmocka_unit_test(a_bad_column_does_not_touch_its_neighbours),
        cmocka_unit_test(any_statistic_may_be_left_out),
        cmocka_unit_test(an_axis_that_is_not_there_is_refused),
        cmocka_unit_test(units_without_elements_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
