/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "lib/simd/update.h"
#include "tests/unit/spans.h"

enum { MAX_UNITS = 5000, MAX_COUNT = 1 << 17, N_STATS = 6 };

/* Where the values before come from. */
enum before {
    BEFORE_OTHER,
    BEFORE_NEAR,
    BEFORE_SAME,
    BEFORE_ZERO,
    BEFORE_SCALED,
    BEFORE_COUNT
};

static float got[BARO_SIMD_COUNT][N_STATS][MAX_UNITS];
static float want_units[5][MAX_UNITS];
static double differences[MAX_COUNT];
static const char *const names[N_STATS] = {
    "mean", "l2", "abs_max", "frac_zero", "n_nonfinite", "change"};

static void check(const char *name, double value, double want, double tolerance, int seed)
{
    const bool same =
        value == want || (isnan(value) && isnan(want)) || (float)value == (float)want;
    if (!same && !(fabs(value - want) <= tolerance)) {
        fail_msg("case %d: %s is %.17g and should be %.17g +- %g", seed, name, value, want,
            tolerance);
    }
}

static struct baro_span unit_span(const struct baro_span *span, int axis, int64_t unit)
{
    struct baro_span part = *span;
    part.shape[axis] = 1;
    part.data = (const char *)span->data +
                unit * span->strides[axis] * (int64_t)baro_dtype_bytes(span->dtype);
    return part;
}

/*
 * 1 - cos in long double by another way than the code's: half the squared distance of the two
 * unit vectors, which does not cancel.
 */
static long double brute_change(
    const struct baro_span *before, const struct baro_span *after)
{
    const int64_t n = baro_span_count(after);
    long double bb = 0;
    long double aa = 0;
    long double apart = 0;
    int64_t n_finite = 0;
    bool is_same = true;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            const long double b = (long double)baro_span_value(before, i);
            const long double a = (long double)baro_span_value(after, i);
            if (!isfinite(b) || !isfinite(a)) {
                continue;
            }
            if (pass == 0) {
                n_finite++;
                bb += b * b;
                aa += a * a;
                is_same = is_same && a == b;
            } else {
                const long double x = a / sqrtl(aa) - b / sqrtl(bb);
                apart += x * x;
            }
        }
        if (n_finite == 0) {
            return (long double)NAN;
        }
        if (is_same) {
            return 0;
        }
        if (bb == 0 || aa == 0) {
            return 1;
        }
    }
    return apart / 2;
}

static double brute_ratio(const struct baro_span *before, const struct baro_span *after)
{
    const int64_t n = baro_span_count(after);
    long double bb = 0;
    long double dd = 0;
    int64_t n_finite = 0;
    for (int64_t i = 0; i < n; i++) {
        const long double b = (long double)baro_span_value(before, i);
        const long double a = (long double)baro_span_value(after, i);
        if (isfinite(b) && isfinite(a)) {
            n_finite++;
            bb += b * b;
            dd += (a - b) * (a - b);
        }
    }
    return n_finite == 0 ? (double)NAN : dd == 0 ? 0 : (double)sqrtl(dd / bb);
}

static void check_whole(const struct baro_span *before, const struct baro_span *after,
    const struct baro_update_summary *s, const struct baro_hist *hist, int seed)
{
    struct baro_summary want;
    struct baro_hist want_hist;
    const struct baro_span all = {.data = differences,
        .dtype = BARO_F64,
        .n_dims = 1,
        .shape = {baro_span_count(after)},
        .strides = {1}};
    baro_summarise(&all, &want, &want_hist);
    const struct baro_summary *d = &s->delta;
    assert_true(
        d->count == want.count && d->n_nan == want.n_nan && d->n_zero == want.n_zero);
    assert_true(d->n_pos_inf == want.n_pos_inf && d->n_neg_inf == want.n_neg_inf);
    const double size = isfinite(want.l2) ? want.l2 : 0;
    const double near = 1e-6 * size;
    check("min", d->min, want.min, 1e-7 * fabs(want.min), seed);
    check("max", d->max, want.max, 1e-7 * fabs(want.max), seed);
    check("abs_max", d->abs_max, want.abs_max, 1e-7 * want.abs_max, seed);
    check("mean", d->mean, want.mean, near / sqrt((double)want.count), seed);
    if (size < 1e150) {
        check("var", d->var, want.var, 1e-6 * fmax(want.var, size * size * 1e-6), seed);
    }
    check("l1", d->l1, want.l1, 1e-6 * want.l1, seed);
    check("l2", d->l2, want.l2, near, seed);
    const double ratio = brute_ratio(before, after);
    check("ratio", s->ratio, ratio, 1e-6 * ratio, seed);
    assert_true(d->first_bad == want.first_bad);
    /* An f32 difference that rounds up to a power of two is one bin higher. */
    int64_t apart = 0;
    for (int i = 0; i < BARO_HIST_BINS && hist->sample_every == 1; i++) {
        apart += llabs((long long)hist->pos[i] - (long long)want_hist.pos[i]);
        apart += llabs((long long)hist->neg[i] - (long long)want_hist.neg[i]);
    }
    assert_true(apart <= (after->dtype == BARO_F64 ? 0 : 4));
}

static void check_units(const struct baro_span *before, const struct baro_span *after,
    int axis, int simd, int seed)
{
    struct baro_span all = *after;
    all.data = differences;
    all.dtype = BARO_F64;
    int64_t step = 1;
    for (int d = after->n_dims - 1; d >= 0; d--) {
        all.strides[d] = step;
        step *= after->shape[d];
    }
    const struct baro_unit_stats out = {
        want_units[0], want_units[1], want_units[2], want_units[3], want_units[4]};
    assert_int_equal(baro_summarise_units(&all, axis, &out), 0);
    for (int64_t u = 0; u < after->shape[axis]; u++) {
        const struct baro_span b = unit_span(before, axis, u);
        const struct baro_span a = unit_span(after, axis, u);
        const double size = isfinite(out.l2[u]) ? (double)out.l2[u] : 0;
        const double least = 0x1p-149;
        for (int k = 0; k < 5; k++) {
            check(names[k], (double)got[simd][k][u], (double)want_units[k][u],
                k < 3 ? 1e-6 * size + least : 1e-7, seed);
        }
        const double change = (double)brute_change(&b, &a);
        const double ratio = brute_ratio(&b, &a);
        /* What cancels is no more than the step's own length. */
        const double rest = isfinite(ratio) ? 1e-12 * ratio * ratio : 0;
        check(
            "change", (double)got[simd][5][u], change, 1e-6 * change + rest + least, seed);
    }
}

/* Compares with brute force, and every instruction set with the scalar one, bit by bit. */
static void check_pair(
    const struct baro_span *before, const struct baro_span *after, int axis, int seed)
{
    const int64_t n = baro_span_count(after);
    const int64_t n_units = axis >= 0 ? after->shape[axis] : 0;
    assert_true(n <= MAX_COUNT && n_units <= MAX_UNITS);
    for (int64_t i = 0; i < n; i++) {
        differences[i] = baro_span_value(after, i) - baro_span_value(before, i);
    }
    struct baro_update_summary first = {0};
    for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
        if (!baro_simd_use((enum baro_simd)simd)) {
            continue;
        }
        const struct baro_update_units out = {
            {got[simd][0], got[simd][1], got[simd][2], got[simd][3], got[simd][4]},
            got[simd][5]};
        struct baro_update_summary summary;
        struct baro_hist hist;
        memset(&summary, 0, sizeof summary);
        memset(got[simd], 0x55, sizeof got[simd]);
        assert_int_equal(
            baro_summarise_update(before, after, axis, &summary, &hist, &out), 0);
        if (simd == 0) {
            check_whole(before, after, &summary, &hist, seed);
            first = summary;
            if (axis >= 0) {
                check_units(before, after, axis, simd, seed);
            }
        }
        assert_memory_equal(&summary, &first, sizeof first);
        for (int stat = 0; stat < N_STATS; stat++) {
            assert_memory_equal(
                got[simd][stat], got[0][stat], (size_t)n_units * sizeof(float));
        }
        /* and nothing was written past the end */
        assert_true(n_units == MAX_UNITS || got[simd][0][n_units] > 1e13f);
    }
    baro_simd_use(baro_simd_best());
}

static double earlier(struct rng *rng, enum before how, double value)
{
    switch (how) {
    case BEFORE_NEAR: return value * (1 + 1e-3 * rng_normal(rng));
    case BEFORE_SAME: return value;
    case BEFORE_SCALED: return value * 1.25;
    case BEFORE_ZERO: return 0;
    case BEFORE_OTHER:
    case BEFORE_COUNT: break;
    }
    return rng_normal(rng);
}

/* A contiguous tensor of the values before. */
static struct test_span make_before(
    struct rng *rng, const struct baro_span *after, enum before how)
{
    struct test_span t =
        spans_contiguous(rng, after->dtype, FILL_CONSTANT, after->n_dims, after->shape);
    const int64_t n = baro_span_count(after);
    for (int64_t i = 0; i < n; i++) {
        spans_put(after->dtype, t.memory, (size_t)i,
            earlier(rng, how, baro_span_value(after, i)));
    }
    return t;
}

static void check_type(enum baro_dtype dtype, int n_seeds)
{
    for (int seed = 0; seed < n_seeds; seed++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            for (int how = 0; how < BEFORE_COUNT; how++) {
                const int number = (seed * 100 + fill) * 10 + how;
                struct rng rng = {(uint64_t)number << 8 | (uint64_t)dtype};
                struct test_span after = spans_random(&rng, dtype, (enum fill)fill, 600);
                struct test_span before = make_before(&rng, &after.span, (enum before)how);
                const int n_dims = after.span.n_dims;
                for (int axis = -1; axis < n_dims; axis++) {
                    check_pair(&before.span, &after.span, axis, number);
                }
                check_pair(&after.span, &before.span, n_dims - 1, -number);
                spans_free(&before);
                spans_free(&after);
            }
        }
    }
}

static void updates_of_any_f32_tensor_agree_with_brute_force(void **state)
{
    check_type(BARO_F32, 8);
}

static void updates_of_any_f64_tensor_agree_with_brute_force(void **state)
{
    check_type(BARO_F64, 6);
}

static void updates_of_half_precision_tensors_agree_with_brute_force(void **state)
{
    check_type(BARO_F16, 3);
    check_type(BARO_BF16, 3);
}

static void check_shape(enum fill fill, int n_dims, const int64_t *shape)
{
    struct rng rng = {(uint64_t)shape[0] + (uint64_t)fill};
    for (int how = 0; how < BEFORE_COUNT; how++) {
        struct test_span after = spans_contiguous(&rng, BARO_F32, fill, n_dims, shape);
        struct test_span before = make_before(&rng, &after.span, (enum before)how);
        for (int axis = -1; axis < n_dims; axis++) {
            check_pair(&before.span, &after.span, axis, axis);
        }
        spans_free(&before);
        spans_free(&after);
    }
}

static void updates_of_usual_shapes_are_right(void **state)
{
    check_shape(FILL_NORMAL, 2, (const int64_t[]){300, 70});
    check_shape(FILL_SPARSE, 2, (const int64_t[]){7, 5000});
    check_shape(FILL_SOME_BAD, 2, (const int64_t[]){300, 129});
    check_shape(FILL_NORMAL, 4, (const int64_t[]){16, 8, 3, 3});
    check_shape(FILL_SOME_BAD, 3, (const int64_t[]){5, 40, 33});
    check_shape(FILL_NORMAL, 1, (const int64_t[]){5000});
    check_shape(FILL_SPARSE, 2, (const int64_t[]){20, 4000});
}

static struct baro_span span_of(void *data, enum baro_dtype dtype, int64_t n)
{
    struct baro_span span;
    const int64_t shape[2] = {1, n};
    assert_int_equal(baro_span_make(&span, dtype, data, 2, shape, NULL, NULL), 0);
    return span;
}

/* One unit of n elements. */
static struct baro_update_summary one(
    void *before, void *after, enum baro_dtype dtype, int64_t n, float *out_change)
{
    float column[5];
    struct baro_hist hist;
    struct baro_update_summary summary;
    const struct baro_update_units out = {
        {&column[0], &column[1], &column[2], &column[3], &column[4]}, out_change};
    const struct baro_span b = span_of(before, dtype, n);
    const struct baro_span a = span_of(after, dtype, n);
    assert_int_equal(baro_summarise_update(&b, &a, 0, &summary, &hist, &out), 0);
    return summary;
}

static void a_tiny_angle_is_not_rounding(void **state)
{
    double b[2] = {1, 0};
    double a[2] = {1, 1e-9};
    float change = NAN;
    const struct baro_update_summary s = one(b, a, BARO_F64, 2, &change);
    assert_true(fabs((double)change - 5e-19) < 1e-25);
    assert_true(fabs(s.ratio - 1e-9) < 1e-15);
    /* the same weights in f32, a step at the last bit of one of a million */
    static float fb[1 << 20];
    static float fa[1 << 20];
    for (int i = 0; i < 1 << 20; i++) {
        fb[i] = fa[i] = i % 2 == 0 ? 1 : -1;
    }
    fa[77] = nextafterf(fa[77], 10);
    (void)one(fb, fa, BARO_F32, 1 << 20, &change);
    const double d = 0x1p-24; /* below 1 in magnitude */
    const double want = d * d / 2 / (1 << 20);
    assert_true(fabs((double)change - want) < 1e-4 * want);
}

static void shrinking_alone_is_no_change(void **state)
{
    static float b[10000];
    static float a[10000];
    struct rng rng = {7};
    for (int i = 0; i < 10000; i++) {
        b[i] = (float)rng_normal(&rng);
        a[i] = 0.5f * b[i];
    }
    float change = NAN;
    const struct baro_update_summary s = one(b, a, BARO_F32, 10000, &change);
    assert_true(change >= 0 && change < 1e-12f);
    assert_true(s.ratio == 0.5);
    for (int i = 0; i < 10000; i++) {
        a[i] = -b[i];
    }
    assert_true(one(b, a, BARO_F32, 10000, &change).ratio == 2);
    assert_true(change == 2);
}

static void zeros_and_non_finite_weights_are_defined(void **state)
{
    float zero[3] = {0, -0.0f, 0};
    float some[3] = {3, 0, 4};
    float bad[3] = {3, NAN, INFINITY};
    float none[3] = {NAN, -INFINITY, NAN};
    float change = -1;
    assert_true(one(zero, zero, BARO_F32, 3, &change).ratio == 0 && change == 0);
    assert_true(one(some, some, BARO_F32, 3, &change).ratio == 0 && change == 0);
    assert_true(isinf(one(zero, some, BARO_F32, 3, &change).ratio) && change == 1);
    assert_true(one(some, zero, BARO_F32, 3, &change).ratio == 1 && change == 1);
    const struct baro_update_summary s = one(some, bad, BARO_F32, 3, &change);
    assert_true(s.ratio == 0 && change == 0 && s.delta.first_bad == 1);
    assert_true(s.delta.n_nan == 1 && s.delta.n_pos_inf == 1 && s.delta.n_zero == 1);
    assert_true(isnan(one(some, none, BARO_F32, 3, &change).ratio) && isnan(change));
    assert_true(isnan(one(none, some, BARO_F32, 3, &change).ratio) && isnan(change));
}

static void what_does_not_fit_its_type_is_finite_all_the_same(void **state)
{
    float b[2] = {3e38f, 1};
    float a[2] = {-3e38f, 1};
    float change = NAN;
    const struct baro_update_summary s = one(b, a, BARO_F32, 2, &change);
    assert_true(s.delta.n_neg_inf == 0 && fabs(s.delta.min + 6e38) < 1e32);
    assert_true(fabs(s.ratio - 2) < 1e-7 && fabsf(change - 2) < 1e-6f);
    double hb[2] = {1e200, 1e200};
    double ha[2] = {1e200, 1.5e200};
    const double ratio = one(hb, ha, BARO_F64, 2, &change).ratio;
    assert_true(fabs(ratio - 0.5 / sqrt(2)) < 1e-12);
    assert_true(fabs((double)change - (1 - 2.5 / sqrt(2 * 3.25))) < 1e-8);
}

static void arrays_that_differ_are_refused(void **state)
{
    float x[6] = {0};
    const int64_t shapes[2][2] = {{2, 3}, {3, 2}};
    struct baro_span b;
    struct baro_span a;
    struct baro_update_summary s;
    struct baro_hist hist;
    const struct baro_update_units none = {0};
    assert_int_equal(baro_span_make(&b, BARO_F32, x, 2, shapes[0], NULL, NULL), 0);
    assert_int_equal(baro_span_make(&a, BARO_F32, x, 2, shapes[1], NULL, NULL), 0);
    assert_int_equal(baro_summarise_update(&b, &a, -1, &s, &hist, &none), BARO_EINVAL);
    assert_int_equal(baro_summarise_update(&a, &a, 2, &s, &hist, &none), BARO_EINVAL);
    b = a;
    b.dtype = BARO_F16;
    assert_int_equal(baro_summarise_update(&b, &a, -1, &s, &hist, &none), BARO_EINVAL);
    b.dtype = a.dtype = BARO_I32;
    assert_int_equal(
        baro_summarise_update(&b, &a, -1, &s, &hist, &none), BARO_EUNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_of_any_f32_tensor_agree_with_brute_force),
        cmocka_unit_test(updates_of_any_f64_tensor_agree_with_brute_force),
        cmocka_unit_test(updates_of_half_precision_tensors_agree_with_brute_force),
        cmocka_unit_test(updates_of_usual_shapes_are_right),
        cmocka_unit_test(a_tiny_angle_is_not_rounding),
        cmocka_unit_test(shrinking_alone_is_no_change),
        cmocka_unit_test(zeros_and_non_finite_weights_are_defined),
        cmocka_unit_test(what_does_not_fit_its_type_is_finite_all_the_same),
        cmocka_unit_test(arrays_that_differ_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
