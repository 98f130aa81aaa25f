/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/update.h"

#include <math.h>
#include <string.h>

#include "lib/simd/element.h"
#include "lib/simd/fpstate.h"
#include "lib/simd/hist.h"
#include "lib/simd/pairs.h"
#include "lib/simd/update_kernel.h"

/*
 * The question: a step of an optimiser turned the weights b into a = b + d. How large is d, how
 * large beside b, and by what angle did each unit turn?
 *
 *   ratio  = |d| / |b|
 *   change = 1 - cos(b, a) = (|d|^2 - (|a| - |b|)^2) / (2 |a| |b|)
 *
 * The second form is the first by the law of cosines. It matters: at usual learning rates the
 * angle is 1e-4 to 1e-8, its 1 - cos 1e-8 to 1e-16, and 1 - (a.b) / (|a| |b|) is then nothing but
 * rounding. In the second form only the part of d along b cancels, and that exactly as far as the
 * angle asks for it. For the same reason |a| - |b| is taken as sum d (a + b) / (|a| + |b|).
 * Worked number: b = (1, 0), a = (1, 1e-9): |d|^2 = 1e-18, sum d (a + b) = 1e-18, |a| - |b| =
 * 5e-19, change = 5e-19; in doubles 1 - cos gives 0. tests/unit/test_update.c repeats it.
 *
 * The method: runs of up to 2,048 pairs are read once. A kernel writes their differences, as f32
 * for elements of f32 and less, to a buffer that stays in the first-level cache, and adds up
 * |d|^2, |b|^2, |a|^2 and sum d (a + b) in f64; the buffer is then summarised as any tensor is.
 * Blocks are merged as in summarise.c. As everywhere, how memory is read depends on the units:
 *
 *   rows     short and contiguous (a weight's output rows): as many as fit a block at a time;
 *   columns  the units are neighbours in memory (a bias; a weight kept transposed): strips;
 *   runs     everything else: unit by unit, gathered where the elements do not touch.
 *
 * Non-finite elements are left out of all sums. A difference of f32 that does not fit f32 is
 * finite all the same: a block with an infinity is done again with f64 differences. Sums of f64
 * that run over or under are done again in long double, unit by unit. So are units whose length
 * changed a thousandfold or more, by the first form: there the second one cancels.
 *
 * Cost: one read of each array. Rejected: dot products of b and a (above); normalising b and a
 * first (two more reads).
 * Known limits: of layouts that are not row-major the first bad element is only looked for among
 * the first million.
 */

enum {
    BLOCK = BARO_PAIRS_MOST,
    ROWS = 256,      /* units of which the sums are at hand at a time */
    SEARCH = 1 << 20 /* elements among which the first bad one is looked for */
};

/* Sums of f64 squares between these neither ran over nor lost digits to underflow. */
#define LEAST_SOUND 0x1p-900
#define MOST_SOUND  0x1p+1000

/* |a|^2 / |b|^2 from which the second form of the change loses to the first. */
#define LOPSIDED 0x1p+20L

/* What is known of some differences; merged from summaries. */
struct tally {
    uint64_t count;
    uint64_t n_nan;
    uint64_t n_pos_inf;
    uint64_t n_neg_inf;
    uint64_t n_zero;
    uint64_t n; /* finite ones */
    double mean;
    double m2;
    double l1;
    double l2;
    double min;
    double max;
    int64_t first_bad;
};

struct task {
    const struct baro_update_kernels *kernels;
    const struct baro_update_units *out; /* NULL: none wanted */
    enum baro_dtype dtype;
    enum baro_lane lane;
    struct baro_pairs p;
    struct tally all;
    long double dd; /* |d|^2 and |before|^2 of all */
    long double bb;
    struct baro_hist_work hist;
    int64_t position;     /* pairs taken so far */
    enum baro_dtype made; /* type of the differences in the buffer */
    double delta[BLOCK];  /* f32 or f64 */
};

/* ---- sums ---- */

static double change_of(long double dd, long double bb, long double aa, long double ds)
{
    if (dd == 0) {
        return 0;
    }
    if (bb == 0 || aa == 0) {
        return 1;
    }
    const long double before = sqrtl(bb);
    const long double after = sqrtl(aa);
    const long double longer = ds / (after + before);
    const double change = (double)((dd - longer * longer) / (2 * after * before));
    return change > 0 ? (change < 2 ? change : 2) : 0;
}

static bool square_is_sound(double square)
{
    return square >= LEAST_SOUND && square <= MOST_SOUND;
}

/* One of them is so small beside the other that d is nothing but that. */
static bool is_lopsided(long double bb, long double aa)
{
    return (aa > LOPSIDED * bb && bb > 0) || (bb > LOPSIDED * aa && aa > 0);
}

static bool is_sound(const struct task *t, const struct baro_update_sums *s)
{
    if (is_lopsided((long double)s->bb, (long double)s->aa)) {
        return false;
    }
    return t->lane != BARO_LANE_F64 || (square_is_sound(s->dd) && square_is_sound(s->bb) &&
                                           square_is_sound(s->aa) && isfinite(s->ds));
}

static void merge(struct tally *to, const struct baro_summary *s, int64_t position)
{
    const uint64_t n_bad = s->n_nan + s->n_pos_inf + s->n_neg_inf;
    const uint64_t n_new = s->count - n_bad;
    if (s->first_bad >= 0 && to->first_bad < 0) {
        to->first_bad = position + s->first_bad;
    }
    to->count += s->count;
    to->n_nan += s->n_nan;
    to->n_pos_inf += s->n_pos_inf;
    to->n_neg_inf += s->n_neg_inf;
    to->n_zero += s->n_zero;
    if (n_new == 0) {
        return;
    }
    const double n_b = (double)n_new;
    const double n_a = (double)to->n;
    const double n = n_a + n_b;
    const double apart = s->mean - to->mean;
    to->mean = to->n == 0 ? s->mean : to->mean + apart * (n_b / n);
    to->m2 += s->var * n_b + (n_a > 0 ? apart * apart * (n_a / n) * n_b : 0);
    to->n += n_new;
    to->l1 += s->l1;
    to->l2 = hypot(to->l2, s->l2); /* squares may not fit */
    to->min = baro_smaller(to->min, s->min);
    to->max = baro_larger(to->max, s->max);
}

static struct tally empty_tally(void)
{
    return (struct tally){
        .min = (double)INFINITY, .max = (double)-INFINITY, .first_bad = -1};
}

/* Ends a unit with sums in long double: of f64 whose squares do not fit f64. */
static void sum_exactly(struct task *t, int64_t unit, double *out_change)
{
    struct baro_pairs_buffer buffer;
    struct baro_pairs_at at = {.left = t->p.unit_count};
    long double dd = 0;
    long double bb = 0;
    long double aa = 0;
    long double ds = 0;
    long double ab = 0;
    const void *run_b = NULL;
    const void *run_a = NULL;
    size_t n;
    while ((n = baro_pairs_next(&t->p, unit, &at, &buffer, &run_b, &run_a)) > 0) {
        for (size_t i = 0; i < n; i++) {
            const long double b = (long double)baro_element_get(t->dtype, run_b, i);
            const long double a = (long double)baro_element_get(t->dtype, run_a, i);
            if (isfinite(b) && isfinite(a)) {
                dd += (a - b) * (a - b);
                bb += b * b;
                aa += a * a;
                ds += (a - b) * (a + b);
                ab += a * b;
            }
        }
    }
    *out_change = is_lopsided(bb, aa) ? (double)(1 - ab / (sqrtl(aa) * sqrtl(bb)))
                                      : change_of(dd, bb, aa, ds);
    t->dd += dd;
    t->bb += bb;
}

/* Ends a unit: its share of the sums, and its change. */
static void put_change(
    struct task *t, int64_t unit, const struct baro_update_sums *s, bool has_finite)
{
    double change;
    if (is_sound(t, s)) {
        change = change_of(
            (long double)s->dd, (long double)s->bb, (long double)s->aa, (long double)s->ds);
        t->dd += (long double)s->dd;
        t->bb += (long double)s->bb;
    } else {
        sum_exactly(t, unit, &change);
    }
    if (t->out != NULL) {
        t->out->change[unit] = has_finite ? (float)change : NAN;
    }
}

/* ---- blocks ---- */

static struct baro_span delta_span(const struct task *t, size_t n_rows, size_t n_cols)
{
    return (struct baro_span){.data = t->delta,
        .dtype = t->made,
        .n_dims = 2,
        .shape = {(int64_t)n_rows, (int64_t)n_cols},
        .strides = {(int64_t)n_cols, 1}};
}

/* Where the kernels put difference i: the buffer holds f64 or f32. */
static void *delta_at(struct task *t, size_t i)
{
    return t->lane == BARO_LANE_F64 ? (void *)(t->delta + i)
                                    : (void *)((float *)(void *)t->delta + i);
}

/*
 * Summarises the buffer, of n_rows lines of pairs a stride apart, into all and into to (NULL:
 * none).
 */
static void take_block(struct task *t, const void *b, const void *a, int64_t stride_b,
    int64_t stride_a, size_t n_rows, size_t n_cols, struct tally *to)
{
    struct baro_summary s;
    t->made = t->lane == BARO_LANE_F64 ? BARO_F64 : BARO_F32;
    struct baro_span span = delta_span(t, n_rows, n_cols);
    baro_summarise(&span, &s, NULL);
    if (t->made == BARO_F32 && s.n_pos_inf + s.n_neg_inf > 0) {
        /* They may be of finite elements. */
        for (size_t r = 0; r < n_rows; r++) {
            const char *row_b =
                (const char *)b + (int64_t)r * stride_b * (int64_t)t->p.item;
            const char *row_a =
                (const char *)a + (int64_t)r * stride_a * (int64_t)t->p.item;
            for (size_t i = 0; i < n_cols; i++) {
                t->delta[r * n_cols + i] = baro_element_get(t->dtype, row_a, i) -
                                           baro_element_get(t->dtype, row_b, i);
            }
        }
        t->made = BARO_F64;
        span.dtype = t->made;
        baro_summarise(&span, &s, NULL);
    }
    baro_hist_add(&t->hist, t->made, t->delta, n_rows * n_cols, t->position);
    merge(&t->all, &s, t->position);
    if (to != NULL) {
        merge(to, &s, 0);
    }
    t->position += (int64_t)(n_rows * n_cols);
}

/* ---- runs ---- */

static void put_unit(const struct task *t, int64_t unit, const struct tally *s)
{
    const struct baro_unit_stats *out = &t->out->delta;
    const bool none = s->n == 0;
    out->mean[unit] = none ? NAN : (float)s->mean;
    out->l2[unit] = none ? NAN : (float)s->l2;
    out->abs_max[unit] = none ? NAN : (float)baro_larger(fabs(s->min), fabs(s->max));
    out->frac_zero[unit] =
        s->count == 0 ? NAN : (float)((double)s->n_zero / (double)s->count);
    out->n_nonfinite[unit] = (float)(s->count - s->n);
}

/* Each unit by itself, in runs as long as memory has them. */
static void by_runs(struct task *t)
{
    struct baro_pairs_buffer buffer;
    for (int64_t u = 0; u < t->p.n_units; u++) {
        struct baro_pairs_at at = {.left = t->p.unit_count};
        struct baro_update_sums sums = {0};
        struct tally tally = empty_tally();
        const void *b = NULL;
        const void *a = NULL;
        size_t n;
        while ((n = baro_pairs_next(&t->p, u, &at, &buffer, &b, &a)) > 0) {
            t->kernels->run[t->lane](b, a, n, t->delta, &sums);
            take_block(t, b, a, 0, 0, 1, n, t->out != NULL ? &tally : NULL);
        }
        put_change(t, u, &sums, tally.n > 0);
        if (t->out != NULL) {
            put_unit(t, u, &tally);
        }
    }
}

/* ---- rows ---- */

/* Units that are contiguous, short, and neighbours: some at a time. */
static void by_rows(struct task *t)
{
    const size_t length = (size_t)t->p.unit_count;
    const int64_t most = BLOCK / length < ROWS ? (int64_t)(BLOCK / length) : ROWS;
    for (int64_t u = 0; u < t->p.n_units; u += most) {
        const int64_t left = t->p.n_units - u;
        const size_t n = (size_t)(left < most ? left : most);
        const char *b = baro_pairs_before(&t->p, u);
        const char *a = baro_pairs_after(&t->p, u);
        struct baro_update_sums sums[ROWS];
        memset(sums, 0, n * sizeof sums[0]);
        for (size_t r = 0; r < n; r++) {
            const size_t at = r * length * t->p.item;
            t->kernels->run[t->lane](
                b + at, a + at, length, delta_at(t, r * length), &sums[r]);
        }
        take_block(t, b, a, (int64_t)length, (int64_t)length, n, length, NULL);
        const struct baro_span span = delta_span(t, n, length);
        const struct baro_unit_stats *of = &t->out->delta;
        const struct baro_unit_stats out = {of->mean + u, of->l2 + u, of->abs_max + u,
            of->frac_zero + u, of->n_nonfinite + u};
        (void)baro_summarise_units(&span, 0, &out);
        for (size_t r = 0; r < n; r++) {
            put_change(t, u + (int64_t)r, &sums[r], out.n_nonfinite[r] < (float)length);
        }
    }
}

/* ---- columns ---- */

/* Units that lie side by side, and what is known of them. */
struct strip {
    struct baro_update_columns sums;
    double sum[BARO_UPDATE_COLS];
    double l2[BARO_UPDATE_COLS];
    double abs_max[BARO_UPDATE_COLS];
    double n_zero[BARO_UPDATE_COLS];
    double n_finite[BARO_UPDATE_COLS];
    float of_tile[5][BARO_UPDATE_COLS];
};

/* Adds the statistics of a tile's columns, which are NaN where none is finite. */
static void add_tile(const struct task *t, struct strip *s, size_t n_rows, size_t n_cols)
{
    const struct baro_span span = delta_span(t, n_rows, n_cols);
    const struct baro_unit_stats out = {
        s->of_tile[0], s->of_tile[1], s->of_tile[2], s->of_tile[3], s->of_tile[4]};
    (void)baro_summarise_units(&span, 1, &out);
    const double rows = (double)n_rows;
    for (size_t c = 0; c < n_cols; c++) {
        const double n_finite = rows - (double)out.n_nonfinite[c];
        s->n_zero[c] += rint((double)out.frac_zero[c] * rows);
        if (n_finite > 0) {
            s->n_finite[c] += n_finite;
            s->sum[c] += (double)out.mean[c] * n_finite;
            s->l2[c] = hypot(s->l2[c], (double)out.l2[c]);
            s->abs_max[c] = baro_larger(s->abs_max[c], (double)out.abs_max[c]);
        }
    }
}

static void put_strip(struct task *t, const struct strip *s, int64_t from, size_t n_cols)
{
    const struct baro_unit_stats *out = &t->out->delta;
    const double rows = (double)t->p.unit_count;
    for (size_t c = 0; c < n_cols; c++) {
        const int64_t unit = from + (int64_t)c;
        const double n = s->n_finite[c];
        const struct baro_update_sums sums = {
            s->sums.dd[c], s->sums.bb[c], s->sums.aa[c], s->sums.ds[c]};
        out->mean[unit] = n == 0 ? NAN : (float)(s->sum[c] / n);
        out->l2[unit] = n == 0 ? NAN : (float)s->l2[c];
        out->abs_max[unit] = n == 0 ? NAN : (float)s->abs_max[c];
        out->frac_zero[unit] = (float)(s->n_zero[c] / rows);
        out->n_nonfinite[unit] = (float)(rows - n);
        put_change(t, unit, &sums, n > 0);
    }
}

static void by_columns(struct task *t)
{
    t->p.in_order = t->p.in_order && t->p.n_dims == 0;
    for (int64_t from = 0; from < t->p.n_units; from += BARO_UPDATE_COLS) {
        const int64_t left = t->p.n_units - from;
        const size_t n_cols = (size_t)(left < BARO_UPDATE_COLS ? left : BARO_UPDATE_COLS);
        const int inner = t->p.n_dims - 1;
        struct baro_pairs_at at = {.left = t->p.unit_count};
        struct strip strip = {0};
        while (at.left > 0) {
            const int64_t item = (int64_t)t->p.item;
            const int64_t run = baro_pairs_run(&t->p, &at);
            const size_t most = BLOCK / n_cols;
            const size_t n_rows = (size_t)run < most ? (size_t)run : most;
            const int64_t row_b = inner >= 0 ? t->p.dims[inner].b : 0;
            const int64_t row_a = inner >= 0 ? t->p.dims[inner].a : 0;
            const char *b = t->p.b + (from + at.b) * item;
            const char *a = t->p.a + (from + at.a) * item;
            for (size_t r = 0; r < n_rows; r++) {
                t->kernels->cols[t->lane](b + (int64_t)r * row_b * item,
                    a + (int64_t)r * row_a * item, n_cols, delta_at(t, r * n_cols),
                    &strip.sums);
            }
            take_block(t, b, a, row_b, row_a, n_rows, n_cols, NULL);
            add_tile(t, &strip, n_rows, n_cols);
            baro_pairs_step(&t->p, &at, (int64_t)n_rows);
        }
        put_strip(t, &strip, from, n_cols);
    }
}

/* ---- the whole ---- */

/* Row-major index of the first difference that is not finite; -1 when it is not near. */
static int64_t find_bad(const struct baro_span *before, const struct baro_span *after)
{
    const int64_t count = baro_span_count(after);
    for (int64_t i = 0; i < count && i < SEARCH; i++) {
        if (!isfinite(baro_span_value(after, i)) || !isfinite(baro_span_value(before, i))) {
            return i;
        }
    }
    return -1;
}

static void finish(struct task *t, struct baro_update_summary *out,
    const struct baro_span *before, const struct baro_span *after)
{
    const struct tally *s = &t->all;
    struct baro_summary *delta = &out->delta;
    const bool none = s->n == 0;
    const double nan = (double)NAN;
    *delta = (struct baro_summary){
        .count = s->count,
        .n_nan = s->n_nan,
        .n_pos_inf = s->n_pos_inf,
        .n_neg_inf = s->n_neg_inf,
        .n_zero = s->n_zero,
        .min = none ? nan : s->min,
        .max = none ? nan : s->max,
        .mean = none ? nan : s->mean,
        .var = none ? nan : s->m2 / (double)s->n,
        .l1 = none ? nan : s->l1,
        .l2 = none ? nan : s->l2,
        .abs_max = none ? nan : baro_larger(fabs(s->min), fabs(s->max)),
        .first_bad = s->first_bad,
    };
    if (s->first_bad >= 0 && !t->p.in_order) {
        delta->first_bad = find_bad(before, after);
    }
    if (none) {
        out->ratio = nan;
    } else if (t->dd == 0) {
        out->ratio = 0;
    } else {
        out->ratio = (double)sqrtl(t->dd / t->bb); /* x / 0: infinite */
    }
}

static bool are_alike(const struct baro_span *before, const struct baro_span *after)
{
    bool alike = before->dtype == after->dtype && before->n_dims == after->n_dims;
    for (int d = 0; alike && d < after->n_dims; d++) {
        alike = before->shape[d] == after->shape[d];
    }
    return alike;
}

static const struct baro_update_kernels *kernels_now(void)
{
#ifdef BARO_HAVE_X86_KERNELS
    if (baro_kernels_get() != &baro_kernels_scalar) {
        return &baro_update_kernels_avx2; /* wider registers would wait for memory, too */
    }
#endif
    return &baro_update_kernels_scalar;
}

int baro_summarise_update(const struct baro_span *before, const struct baro_span *after,
    int axis, struct baro_update_summary *out_summary, struct baro_hist *out_hist,
    const struct baro_update_units *out_units)
{
    if (!baro_element_is_float(after->dtype)) {
        return BARO_EUNSUPPORTED;
    }
    if (!are_alike(before, after) ||
        (axis != BARO_NO_UNITS && (axis < 0 || axis >= after->n_dims))) {
        return BARO_EINVAL;
    }
    const struct baro_fpstate fpstate = baro_fpstate_enter();
    struct task t;
    memset(&t, 0, offsetof(struct task, delta));
    t.kernels = kernels_now();
    t.out = axis >= 0 ? out_units : NULL;
    t.dtype = after->dtype;
    t.lane = baro_element_lane(after->dtype);
    t.all = empty_tally();
    baro_pairs_init(&t.p, before, after, axis);
    baro_hist_begin(&t.hist, t.p.unit_count * t.p.n_units);
    const bool is_row = t.p.unit_a == t.p.unit_count && t.p.unit_b == t.p.unit_count &&
                        t.p.n_dims <= 1 && baro_pairs_touch(&t.p);
    /* Tiles of columns are merged as floats, which f64 may not fit. */
    const bool may_tile = t.lane != BARO_LANE_F64 || t.p.unit_count == 1;
    if (t.p.n_units > 1 && t.p.unit_a == 1 && t.p.unit_b == 1 && may_tile) {
        by_columns(&t);
    } else if (t.p.n_units > 1 && is_row && t.p.unit_count > 0 &&
               t.p.unit_count <= BLOCK / 2) {
        by_rows(&t);
    } else {
        by_runs(&t);
    }
    finish(&t, out_summary, before, after);
    baro_hist_end(&t.hist, 1, out_hist);
    baro_fpstate_leave(fpstate);
    return 0;
}
