/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>

#include "lib/base/half.h"
#include "lib/simd/summarise.h"
#include "tests/unit/spans.h"
#ifdef __SSE2__
#    include <xmmintrin.h>
#endif

/* The same statistics, element by element in long double. */
static struct baro_summary brute_force(const struct baro_span *span)
{
    struct baro_summary s = {.first_bad = -1, .min = (double)INFINITY};
    const int64_t count = baro_span_count(span);
    long double sum = 0;
    long double l1 = 0;
    long double sq = 0;
    long double m2 = 0;
    int64_t n = 0;
    s.max = -s.min;
    s.count = (uint64_t)count;
    for (int64_t i = 0; i < count; i++) {
        const double x = baro_span_value(span, i);
        s.n_nan += isnan(x);
        s.n_pos_inf += isinf(x) && x > 0;
        s.n_neg_inf += isinf(x) && x < 0;
        s.n_zero += x == 0;
        if (!isfinite(x)) {
            s.first_bad = s.first_bad < 0 ? i : s.first_bad;
            continue;
        }
        n++;
        sum += (long double)x;
        l1 += fabsl((long double)x);
        sq += (long double)x * (long double)x;
        s.min = fmin(s.min, x);
        s.max = fmax(s.max, x);
    }
    const long double mean = sum / n;
    for (int64_t i = 0; i < count; i++) {
        const long double x = (long double)baro_span_value(span, i);
        m2 += isfinite(x) ? (x - mean) * (x - mean) : 0;
    }
    const double none = (double)NAN;
    s.mean = n == 0 ? none : (double)mean;
    s.var = n == 0 ? none : (double)(m2 / n);
    s.l1 = n == 0 ? none : (double)l1;
    s.l2 = n == 0 ? none : (double)sqrtl(sq);
    s.min = n == 0 ? none : s.min;
    s.max = n == 0 ? none : s.max;
    s.abs_max = n == 0 ? none : fmax(fabs(s.min), fabs(s.max));
    return s;
}

static void check_near(
    double got, double want, double tolerance, const char *what, int seed)
{
    const bool same = got == want || (isnan(got) && isnan(want));
    if (!same && !(fabs(got - want) <= tolerance)) {
        fail_msg("case %d: %s is %.17g and should be %.17g +- %g", seed, what, got, want,
            tolerance);
    }
}

static void check_summary(
    const struct baro_summary *got, const struct baro_summary *want, int seed)
{
    check_near((double)got->count, (double)want->count, 0, "count", seed);
    check_near((double)got->n_nan, (double)want->n_nan, 0, "n_nan", seed);
    check_near((double)got->n_pos_inf, (double)want->n_pos_inf, 0, "n_pos_inf", seed);
    check_near((double)got->n_neg_inf, (double)want->n_neg_inf, 0, "n_neg_inf", seed);
    check_near((double)got->n_zero, (double)want->n_zero, 0, "n_zero", seed);
    check_near((double)got->first_bad, (double)want->first_bad, 0, "first_bad", seed);
    check_near(got->min, want->min, 0, "min", seed);
    check_near(got->max, want->max, 0, "max", seed);
    check_near(got->abs_max, want->abs_max, 0, "abs_max", seed);
    const double sd = sqrt(want->var);
    check_near(got->mean, want->mean, 1e-6 * sd + 1e-15 * fabs(want->mean), "mean", seed);
    check_near(
        got->var, want->var, 2e-6 * want->var + 1e-30 * want->l2 * want->l2, "var", seed);
    check_near(got->l1, want->l1, 2e-6 * want->l1, "l1", seed);
    check_near(got->l2, want->l2, 1e-6 * want->l2, "l2", seed);
}

/* Compares with brute force, and every instruction set with the scalar one, bit by bit. */
static void check_span(const struct baro_span *span, int seed)
{
    const struct baro_summary want = brute_force(span);
    struct baro_summary scalar = {0};
    static struct baro_hist scalar_hist;
    static struct baro_hist hist;
    for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
        if (!baro_simd_use((enum baro_simd)simd)) {
            continue;
        }
        struct baro_summary got = {0};
        baro_summarise(span, &got, &hist);
        check_summary(&got, &want, seed);
        if (simd == BARO_SIMD_SCALAR) {
            scalar = got;
            scalar_hist = hist;
        }
        assert_memory_equal(&got, &scalar, sizeof(got));
        assert_memory_equal(&hist, &scalar_hist, sizeof(hist));
    }
    baro_simd_use(baro_simd_best());
}

static void check_type(enum baro_dtype dtype)
{
    for (int seed = 0; seed < 80; seed++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            struct rng rng = {(uint64_t)(seed * 1000 + fill) << 8 | (uint64_t)dtype};
            const int64_t max_count = seed % 8 == 0 ? 20000 : 1500;
            struct test_span t = spans_random(&rng, dtype, (enum fill)fill, max_count);
            check_span(&t.span, seed * 1000 + fill);
            spans_free(&t);
        }
    }
}

static void any_f32_tensor_agrees_with_brute_force(void **state)
{
    check_type(BARO_F32);
}

static void any_f64_tensor_agrees_with_brute_force(void **state)
{
    check_type(BARO_F64);
}

static void any_f16_tensor_agrees_with_brute_force(void **state)
{
    check_type(BARO_F16);
}

static void any_bf16_tensor_agrees_with_brute_force(void **state)
{
    check_type(BARO_BF16);
}

static void integers_and_bools_agree_with_brute_force(void **state)
{
    for (int dtype = BARO_I8; dtype < BARO_DTYPE_END; dtype++) {
        for (int seed = 0; seed < 60; seed++) {
            struct rng rng = {(uint64_t)seed << 8 | (uint64_t)dtype};
            const enum fill fill = (enum fill)(seed % FILL_SOME_BAD);
            struct test_span t = spans_random(&rng, (enum baro_dtype)dtype, fill, 3000);
            check_span(&t.span, seed);
            spans_free(&t);
        }
    }
}

static void every_length_up_to_some_blocks_is_right(void **state)
{
    for (int64_t n = 0; n < 600; n++) {
        struct rng rng = {(uint64_t)n};
        struct test_span t = spans_contiguous(&rng, BARO_F32, FILL_NEAR_ONE, 1, &n);
        check_span(&t.span, (int)n);
        spans_free(&t);
    }
    for (int64_t n = 4090; n < 4115; n++) {
        struct rng rng = {(uint64_t)n};
        struct test_span t = spans_contiguous(&rng, BARO_BF16, FILL_SOME_BAD, 1, &n);
        check_span(&t.span, (int)n);
        spans_free(&t);
    }
}

/* The worked number of the essay in summarise.c. */
static void the_worked_variance_survives_a_mean_a_thousand_times_larger(void **state)
{
    float x[4096];
    for (int i = 0; i < 4096; i++) {
        x[i] = i % 2 ? 1.001f : 0.999f;
    }
    const int64_t shape[1] = {4096};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 1, shape, NULL, NULL), 0);
    baro_summarise(&span, &s, NULL);
    const double half_gap = ((double)1.001f - (double)0.999f) / 2;
    check_near(half_gap * half_gap, 1.0000339e-6, 1e-13, "exact variance", 0);
    check_near(s.var, 1.0000336e-6, 1e-13, "var", 0);
    check_near(s.mean, ((double)1.001f + (double)0.999f) / 2, 1e-15, "mean", 0);
    float sum = 0;
    float sq = 0;
    for (int i = 0; i < 4096; i++) {
        sum += x[i];
        sq += x[i] * x[i];
    }
    const double mean = (double)sum / 4096;
    const double naive = (double)sq / 4096 - mean * mean;
    assert_true(naive < 0.5e-6);
}

static void a_scalar_without_dimensions_is_one_element(void **state)
{
    const float x = -2.5f;
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F32, &x, 0, NULL, NULL, NULL), 0);
    baro_summarise(&span, &s, NULL);
    assert_int_equal(s.count, 1);
    check_near(s.mean, -2.5, 0, "mean", 0);
    check_near(s.var, 0, 0, "var", 0);
    check_near(s.l2, 2.5, 0, "l2", 0);
    check_near(s.l1, 2.5, 0, "l1", 0);
}

static void an_empty_tensor_counts_nothing_and_claims_nothing(void **state)
{
    const int64_t shape[2] = {3, 0};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F64, NULL, 2, shape, NULL, NULL), 0);
    baro_summarise(&span, &s, NULL);
    assert_int_equal(s.count, 0);
    assert_int_equal(s.first_bad, -1);
    assert_true(isnan(s.mean) && isnan(s.min) && isnan(s.l2));
}

static void one_value_seen_through_stride_zero_counts_as_often_as_it_shows(void **state)
{
    const float x[2] = {3, NAN};
    const int64_t shape[2] = {1000000, 2};
    const int64_t strides[2] = {0, 1};
    struct baro_span span;
    struct baro_summary s;
    static struct baro_hist hist;
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 2, shape, strides, NULL), 0);
    baro_summarise(&span, &s, &hist);
    assert_int_equal(s.count, 2000000);
    assert_int_equal(s.n_nan, 1000000);
    assert_int_equal(s.first_bad, 1);
    check_near(s.l2, 3000, 1e-9, "l2", 0);
    assert_int_equal(hist.pos[1 - BARO_HIST_MIN_EXP], 1000000);
    assert_int_equal(hist.sample_every, 1);
}

static void f32_squares_beyond_f32_are_right(void **state)
{
    float x[100];
    for (int i = 0; i < 100; i++) {
        x[i] = i % 2 ? 1e30f : -1e30f;
    }
    const int64_t shape[1] = {100};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 1, shape, NULL, NULL), 0);
    baro_summarise(&span, &s, NULL);
    check_near(s.l2, 1e31, 1e24, "l2", 0);
    check_near(s.var, 1e60, 1e53, "var", 0);
}

static void f64_at_the_end_of_its_range_stays_finite(void **state)
{
    const double x[4] = {1e308, 1e308, -1e308, 1.0};
    const int64_t shape[1] = {4};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F64, x, 1, shape, NULL, NULL), 0);
    baro_summarise(&span, &s, NULL);
    check_near(s.mean, 2.5e307, 1e293, "mean", 0);
    check_near(s.l2, sqrt(3.0) * 1e308, 1e294, "l2", 0);
    assert_true(isinf(s.var)); /* 7e615 has no double */
    assert_true(isinf(s.l1));  /* neither has 3e308 */
    assert_int_equal(s.first_bad, -1);
}

#ifdef __SSE2__
static void flushed_subnormals_and_traps_of_the_caller_do_not_matter(void **state)
{
    const float x[20] = {1e-40f, -1e-41f, 0, -0.0f, NAN, 1};
    const int64_t shape[1] = {20};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 1, shape, NULL, NULL), 0);
    const unsigned before = _mm_getcsr();
    const unsigned odd = 0x8040u | 0x6000u; /* flush both ways, round to zero, trap all */
    for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
        if (baro_simd_use((enum baro_simd)simd)) {
            _mm_setcsr(odd);
            baro_summarise(&span, &s, NULL);
            const unsigned after = _mm_getcsr();
            _mm_setcsr(before);
            assert_int_equal(after, odd);
            assert_int_equal(s.n_zero, 16);
            assert_int_equal(s.n_nan, 1);
            check_near(s.min, (double)-1e-41f, 0, "min", 0);
        }
    }
    baro_simd_use(baro_simd_best());
}
#endif

static void the_first_bad_element_of_a_transposed_tensor_is_row_major(void **state)
{
    enum { N = 300 };
    static float x[N * N];
    const int64_t shape[2] = {N, N};
    const int64_t strides[2] = {1, N};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F32, x, 2, shape, strides, NULL), 0);
    /* index [r, c] lies at c N + r: [7, 200] comes after [250, 3] in memory */
    x[200 * N + 7] = NAN;
    x[3 * N + 250] = INFINITY;
    baro_summarise(&span, &s, NULL);
    assert_int_equal(s.first_bad, 7 * N + 200);
    /* and so it is when there are too many to look at each */
    for (int i = 150 * N; i < N * N; i++) {
        x[i] = NAN;
    }
    baro_summarise(&span, &s, NULL);
    assert_int_equal(s.first_bad, 150);
}

struct job {
    struct baro_span span;
    struct baro_summary got;
};

static void *summarise_often(void *arg)
{
    struct job *job = arg;
    for (int i = 0; i < 200; i++) {
        baro_summarise(&job->span, &job->got, NULL);
    }
    return NULL;
}

static void many_threads_may_summarise_at_once(void **state)
{
    enum { N = 4 };
    pthread_t threads[N];
    struct job jobs[N];
    struct rng rng = {7};
    const int64_t shape[1] = {50000};
    struct test_span t = spans_contiguous(&rng, BARO_F32, FILL_SOME_BAD, 1, shape);
    const struct baro_summary want = brute_force(&t.span);
    for (int i = 0; i < N; i++) {
        jobs[i].span = t.span;
        assert_int_equal(pthread_create(&threads[i], NULL, summarise_often, &jobs[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        check_summary(&jobs[i].got, &want, i);
        assert_memory_equal(&jobs[i].got, &jobs[0].got, sizeof(want));
    }
    spans_free(&t);
}

static void every_f16_number_is_read_exactly(void **state)
{
    for (int h = 0; h < 65536; h++) {
        const int e = h >> 10 & 31;
        const int m = h & 1023;
        const double magnitude = e == 0 ? m * 0x1p-24 : ldexp(1024 + m, e - 25);
        const double want = h & 0x8000 ? -magnitude : magnitude;
        const float got = baro_f16_to_f32((uint16_t)h);
        if (e == 31) {
            assert_true(m != 0 ? isnan(got) : isinf(got));
        } else {
            check_near((double)got, want, 0, "f16", h);
        }
    }
}

static void sets_have_names_and_the_best_one_runs(void **state)
{
    assert_string_equal(baro_simd_name(BARO_SIMD_SCALAR), "scalar");
    assert_string_equal(baro_simd_name(BARO_SIMD_AVX512), "avx512");
    assert_string_equal(baro_simd_name(BARO_SIMD_COUNT), "?");
    assert_true(baro_simd_use(baro_simd_best()));
    assert_true(baro_simd_use(BARO_SIMD_SCALAR));
    assert_false(baro_simd_use(BARO_SIMD_COUNT));
    assert_true(baro_simd_use(baro_simd_best()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_f32_tensor_agrees_with_brute_force),
        cmocka_unit_test(any_f64_tensor_agrees_with_brute_force),
        cmocka_unit_test(any_f16_tensor_agrees_with_brute_force),
        cmocka_unit_test(any_bf16_tensor_agrees_with_brute_force),
        cmocka_unit_test(integers_and_bools_agree_with_brute_force),
        cmocka_unit_test(every_length_up_to_some_blocks_is_right),
        cmocka_unit_test(the_worked_variance_survives_a_mean_a_thousand_times_larger),
        cmocka_unit_test(a_scalar_without_dimensions_is_one_element),
        cmocka_unit_test(an_empty_tensor_counts_nothing_and_claims_nothing),
        cmocka_unit_test(one_value_seen_through_stride_zero_counts_as_often_as_it_shows),
        cmocka_unit_test(f32_squares_beyond_f32_are_right),
        cmocka_unit_test(f64_at_the_end_of_its_range_stays_finite),
#ifdef __SSE2__
        cmocka_unit_test(flushed_subnormals_and_traps_of_the_caller_do_not_matter),
#endif
        cmocka_unit_test(the_first_bad_element_of_a_transposed_tensor_is_row_major),
        cmocka_unit_test(many_threads_may_summarise_at_once),
        cmocka_unit_test(every_f16_number_is_read_exactly),
        cmocka_unit_test(sets_have_names_and_the_best_one_runs),
    };
    TEST_THREADS_ONLY("*threads*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
