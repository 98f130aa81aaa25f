/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/summarise.h"

#include <math.h>
#include <string.h>

#include "lib/simd/element.h"
#include "lib/simd/fpstate.h"
#include "lib/simd/hist.h"
#include "lib/simd/kernel.h"
#include "lib/simd/moments.h"
#include "lib/simd/walk.h"

/*
 * The question: count, NaN, infinities, zeros, min, max, mean, variance, L1, L2 of millions
 * of numbers at the speed at which memory delivers them, on the training thread, exact
 * enough that a variance is never wrong because the mean is large, and never poisoned by
 * one NaN.
 *
 * The method, per block of 4096 elements:
 *   d = x - c          c is 0 while the mean so far is smaller than the spread, as of most
 *                      weights, gradients and activations; else that mean. A first block that
 *                      turns out to need a shift is summed once more
 *   sum, sq = Σd, Σd²  in 16 f32 lanes; every 256 elements the lanes are added to a second
 *                      set of lanes (two levels keep the rounding of equal numbers near
 *                      1e-7), and at the end of the block to f64
 *   mean_b = c + sum / n,  m2_b = sq - sum² / n
 * and the blocks are merged after Chan, Golub and LeVeque (Updating formulae and a pairwise
 * algorithm for computing sample variances, 1979):
 *   delta = mean_b - mean,  mean += delta n_b / n,  m2 += m2_b + delta² n_a n_b / n
 * Finally var = m2 / n, l2 = sqrt(m2 + n mean²), abs_max = max(|min|, |max|).
 *
 * Why the shift: squares of unshifted f32 lose everything below mean² 6e-8. Worked number:
 * x alternates between 0.999 and 1.001, 4096 times; the variance of these two f32 numbers
 * is 1.0000339e-6. With c = 1: d = -0.001 and 0.001, sq = 0.0040961, var = 1.0000336e-6,
 * right to 3e-7. Without the shift one f32 sum gives 0, and even sixteen lanes give
 * 0.39e-6. tests/unit/test_summarise.c repeats the numbers.
 *
 * What makes the fast kernel safe, although it neither looks at its elements nor leaves
 * f32:
 *   - NaN or infinity, or an overflow of the squares (|d| above 2^58 or so): l1 or sq is
 *     not finite, and the block is done again by the wide kernel, in f64 and with masks;
 *   - an underflow of the squares: the largest |d| is below 2^-57, and the same happens;
 *   - a shift that fits badly (the mean is far from 0, the data drift): more than 3/4 of sq
 *     is sum² / n; once more with c = mean_b.
 * Numbers of one byte are added up as whole numbers. f64 data are summed the same way as f32, in
 * eight f64 lanes. If even f64 squares overflow or underflow (|d| above 1e152 or below 1e-147),
 * all of the tensor is done in long double, scalar.
 *
 * Cost: one read of memory; a block with NaN is read twice from the first-level cache.
 * Rejected: Welford (a division per element: 50 times slower), plain sums of squares
 * (above), leaving it to the compiler's vectoriser (gcc 12 does not do it).
 * Known limits: f32 lanes give mean and variance of f32 data to about 1e-7 relative to the
 * spread; where long double is double (not on x86-64), l2 of f64 beyond 1e154 is infinite.
 */

/* As BARO_FAST_LEAST for f64, with room. */
#define F64_LEAST 0x1p-490

/* Bad elements of a tensor walked out of order whose index is worked out one by one. */
enum { INDEX_BUDGET = 4096 };

static bool fast_is_sound(
    const struct baro_moments *s, const struct baro_block *b, double shift)
{
    const bool f64 = s->lane == BARO_LANE_F64;
    const double least = f64 ? F64_LEAST : (double)BARO_FAST_LEAST;
    const double deviation = baro_larger(b->max - shift, shift - b->min);
    return isfinite(b->l1) && isfinite(b->sq) && (deviation == 0 || deviation >= least);
}

/* A shift as the fast kernel will use it. */
static double shift_of(const struct baro_moments *s, double shift)
{
    return s->lane == BARO_LANE_F64 ? shift : (double)(float)shift;
}

/*
 * Tells whether so much of sq is the shift's own distance that f32 lost digits of the rest.
 */
static bool shift_is_bad(const struct baro_block *b)
{
    const double n = (double)b->n_finite;
    return b->sq - b->sum * b->sum / n < b->sq * (1.0 / 4);
}

static void merge(struct baro_moments *s, const struct baro_block *b, double shift)
{
    const double n_b = (double)b->n_finite;
    const double mean_b = shift + b->sum / n_b;
    const double m2_b = baro_larger(b->sq - b->sum * b->sum / n_b, 0);
    const double n_a = (double)s->n;
    const double n = n_a + n_b;
    const double delta = mean_b - s->mean;
    s->n += b->n_finite;
    s->mean = s->n == b->n_finite ? mean_b : s->mean + delta * (n_b / n);
    s->m2 += m2_b + (n_a > 0 ? delta * delta * (n_a / n) * n_b : 0);
    s->l1 += b->l1;
    s->min = baro_smaller(s->min, b->min);
    s->max = baro_larger(s->max, b->max);
}

static void note_bad_index(struct baro_moments *s, int64_t position)
{
    if (s->walk->in_order ? s->first_bad >= 0 : s->first_bad == 0 || s->index_unknown) {
        return;
    }
    if (s->n_indexed++ == INDEX_BUDGET) {
        s->index_unknown = true;
        return;
    }
    const int64_t index = baro_walk_index(s->walk, position);
    if (s->first_bad < 0 || index < s->first_bad) {
        s->first_bad = index;
    }
}

static void count_bad(struct baro_moments *s, const void *run, size_t n, int64_t position)
{
    for (size_t i = 0; i < n; i++) {
        const double x = baro_element_get(s->dtype, run, i);
        if (!isfinite(x)) {
            s->n_nan += isnan(x);
            s->n_pos_inf += x > 0;
            s->n_neg_inf += x < 0;
            note_bad_index(s, position + (int64_t)i);
        }
    }
}

/* Sums one block into b and returns the shift that it is about. */
static double sum_block(
    struct baro_moments *s, const void *run, size_t n, struct baro_block *b)
{
    /* Most tensors lie around 0: then no shift is as good as any, and faster. */
    double shift = (double)s->n * s->mean * s->mean <= s->m2 ? 0 : s->mean;
    shift = shift_of(s, shift);
    s->kernels->fast[s->lane](run, n, shift, b);
    if (fast_is_sound(s, b, shift) && shift_is_bad(b)) {
        shift = shift_of(s, shift + b->sum / (double)n);
        s->kernels->fast[s->lane](run, n, shift, b);
    }
    if (fast_is_sound(s, b, shift)) {
        return shift;
    }
    s->kernels->wide[s->lane](run, n, shift, b);
    if (b->n_finite > 0 && isfinite(b->sq) && shift_is_bad(b)) {
        shift += b->sum / (double)b->n_finite;
        s->kernels->wide[s->lane](run, n, shift, b);
    }
    return shift;
}

void baro_moments_add(struct baro_moments *s, const void *run, size_t n, int64_t position)
{
    struct baro_block b;
    const double shift = sum_block(s, run, n, &b);
    s->n_zero += b.n_zero;
    if (b.n_finite < n) {
        count_bad(s, run, n, position);
    }
    if (b.n_finite == 0) {
        return;
    }
    const double deviation = baro_larger(b.max - shift, shift - b.min);
    if (!isfinite(b.sq) || !isfinite(b.l1) || (deviation > 0 && deviation < F64_LEAST)) {
        s->extreme = true;
    }
    merge(s, &b, shift);
}

bool baro_moments_merge(struct baro_moments *s, const struct baro_block *b)
{
    if (!fast_is_sound(s, b, 0) || shift_is_bad(b)) {
        return false;
    }
    s->n_zero += b->n_zero;
    merge(s, b, 0);
    return true;
}

static bool is_byte(enum baro_dtype dtype)
{
    return dtype == BARO_U8 || dtype == BARO_I8 || dtype == BARO_BOOL;
}

/*
 * Sum a block of numbers of one byte each. Whole numbers: exact, and made for the compiler's
 * vectoriser. Those with a sign are 128 too large on the way, so that one loop does for all.
 */
static void sum_bytes(
    enum baro_dtype dtype, const uint8_t *run, size_t n, struct baro_block *out)
{
    const uint8_t flip = dtype == BARO_I8 ? 0x80 : 0;
    const uint8_t most = dtype == BARO_BOOL ? 1 : UINT8_MAX;
    const int32_t by = flip;
    uint32_t sum = 0;
    uint32_t sq = 0;
    uint32_t l1 = 0;
    uint32_t n_zero = 0;
    uint8_t min = UINT8_MAX;
    uint8_t max = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t at = run[i] ^ flip;
        const uint8_t x = at < most ? at : most;
        const uint8_t size = x > flip ? x - flip : flip - x;
        sum += x;
        l1 += size;
        sq += (uint32_t)((uint16_t)size * (uint16_t)size);
        n_zero += size == 0;
        min = x < min ? x : min;
        max = x > max ? x : max;
    }
    *out = (struct baro_block){
        .sum = (double)sum - (double)by * (double)n,
        .sq = (double)sq,
        .l1 = (double)l1,
        .min = (double)((int32_t)min - by),
        .max = (double)((int32_t)max - by),
        .n_finite = n,
        .n_zero = n_zero,
    };
}

/* Add a run of whole numbers. */
static void add_whole(struct baro_moments *s, const void *run, size_t n, int64_t position)
{
    struct baro_block block;
    double widened[BARO_WALK_BUFFER];
    if (is_byte(s->dtype)) {
        sum_bytes(s->dtype, run, n, &block);
        s->n_zero += block.n_zero;
        merge(s, &block, 0);
    } else {
        baro_element_widen(s->dtype, run, n, widened);
        baro_moments_add(s, widened, n, position);
    }
}

/* Walks the tensor; integers of more than a byte are widened to doubles on the way. */
static void add_all(struct baro_moments *s, struct baro_hist_work *hist)
{
    const struct baro_walk *walk = s->walk;
    const bool is_float = baro_element_is_float(s->dtype);
    const size_t max = is_float ? BARO_BLOCK : BARO_WALK_BUFFER;
    double gathered[BARO_WALK_BUFFER];
    struct baro_walk_at at = {0};
    for (;;) {
        const int64_t position = at.position;
        const void *run = NULL;
        const size_t n = baro_walk_next(walk, &at, max, gathered, &run);
        if (n == 0) {
            return;
        }
        if (is_float) {
            baro_moments_add(s, run, n, position);
        } else {
            add_whole(s, run, n, position);
        }
        if (hist != NULL) {
            baro_hist_add(hist, s->dtype, run, n, position);
        }
    }
}

/* Finds the first bad element in row-major order. There is one, and mostly it is near. */
static int64_t find_bad(const struct baro_span *span)
{
    const int64_t count = baro_span_count(span);
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(baro_span_value(span, i))) {
            return i;
        }
    }
    return -1;
}

/* Mean, variance and norms of f64 data whose squares do not fit f64. */
static void finish_extreme(const struct baro_moments *s, struct baro_summary *out)
{
    const long double n = (long double)s->n;
    double gathered[BARO_WALK_BUFFER];
    long double mean = 0;
    long double m2 = 0;
    long double l1 = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct baro_walk_at at = {0};
        const void *run = NULL;
        size_t n_run;
        while ((n_run = baro_walk_next(s->walk, &at, BARO_BLOCK, gathered, &run)) > 0) {
            for (size_t i = 0; i < n_run; i++) {
                const long double x = (long double)((const double *)run)[i];
                if (!isfinite(x)) {
                    continue;
                }
                if (pass == 0) {
                    mean += x / n;
                    l1 += fabsl(x);
                } else {
                    m2 += (x - mean) * (x - mean);
                }
            }
        }
    }
    const long double repeat = (long double)s->walk->repeat;
    out->mean = (double)mean;
    out->var = (double)(m2 / n);
    out->l1 = (double)(l1 * repeat);
    out->l2 = (double)sqrtl((m2 + n * mean * mean) * repeat);
}

static void finish(const struct baro_moments *s, struct baro_summary *out)
{
    const uint64_t repeat = (uint64_t)s->walk->repeat;
    out->count = (uint64_t)s->walk->count * repeat;
    out->n_nan = s->n_nan * repeat;
    out->n_pos_inf = s->n_pos_inf * repeat;
    out->n_neg_inf = s->n_neg_inf * repeat;
    out->n_zero = s->n_zero * repeat;
    out->first_bad = s->first_bad;
    if (s->n == 0) {
        out->min = out->max = out->mean = out->var = (double)NAN;
        out->l1 = out->l2 = out->abs_max = (double)NAN;
        return;
    }
    const double n = (double)s->n;
    const double of_mean = n * s->mean * s->mean;
    out->min = s->min + 0.0; /* -0 becomes 0 */
    out->max = s->max + 0.0;
    out->abs_max = baro_larger(fabs(out->min), fabs(out->max));
    /* The smallest and largest squares that are exact enough to be added as they are. */
    const bool is_ordinary = s->mean == 0 || (of_mean > 0x1p-900 && of_mean < 0x1p+900);
    const bool fits = !s->extreme && isfinite(s->m2) && is_ordinary;
    if (s->dtype == BARO_F64 && !fits) {
        finish_extreme(s, out);
        return;
    }
    out->mean = s->mean;
    out->var = s->m2 / n;
    out->l1 = s->l1 * (double)repeat;
    out->l2 = sqrt((s->m2 + of_mean) * (double)repeat);
}

void baro_moments_begin(
    struct baro_moments *s, const struct baro_walk *walk, const struct baro_span *span)
{
    *s = (struct baro_moments){
        .kernels = baro_kernels_get(),
        .walk = walk,
        .dtype = span->dtype,
        .lane = baro_element_lane(span->dtype),
        .min = (double)INFINITY,
        .max = (double)-INFINITY,
        .first_bad = -1,
    };
}

void baro_moments_end(
    struct baro_moments *s, const struct baro_span *span, struct baro_summary *out)
{
    if (s->index_unknown) {
        s->first_bad = find_bad(span);
    }
    finish(s, out);
}

void baro_summarise(const struct baro_span *span, struct baro_summary *out_summary,
    struct baro_hist *out_hist)
{
    const struct baro_fpstate fpstate = baro_fpstate_enter();
    struct baro_walk walk;
    struct baro_hist_work hist;
    struct baro_moments s;
    baro_walk_init(&walk, span);
    baro_moments_begin(&s, &walk, span);
    if (out_hist != NULL) {
        baro_hist_begin(&hist, walk.count);
    }
    add_all(&s, out_hist != NULL ? &hist : NULL);
    baro_moments_end(&s, span, out_summary);
    if (out_hist != NULL) {
        baro_hist_end(&hist, walk.repeat, out_hist);
    }
    baro_fpstate_leave(fpstate);
}

double baro_span_value(const struct baro_span *span, int64_t index)
{
    int64_t offset = 0;
    for (int d = span->n_dims - 1; d >= 0; d--) {
        offset += index % span->shape[d] * span->strides[d];
        index /= span->shape[d];
    }
    const char *at =
        (const char *)span->data + offset * (int64_t)baro_dtype_bytes(span->dtype);
    return baro_element_get(span->dtype, at, 0);
}
