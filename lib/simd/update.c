/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/update.h"

#include <math.h>
#include <string.h>

#include "lib/simd/element.h"
#include "lib/simd/fpstate.h"
#include "lib/simd/hist.h"
#include "lib/simd/moments.h"
#include "lib/simd/pairs.h"
#include "lib/simd/unit_sums.h"
#include "lib/simd/update_kernel.h"
#include "lib/simd/update_sums.h"
#include "lib/simd/walk.h"

/*
 * The question: a step of an optimiser turned the weights b into a = b + d. How large is d, how
 * large beside b, and by what angle did each unit turn?
 *
 *   ratio  = |d| / |b|
 *   change = 1 - cos(b, a) = sin^2 / (1 + cos)
 *          = (|d|^2 - (d.b)^2 / |b|^2) / (|a|^2 (1 + cos)),   |a|^2 = |b|^2 + 2 d.b + |d|^2
 *
 * The numerator is the square of the part of d across b. The form matters: at usual learning
 * rates the angle is 1e-4 to 1e-8, its 1 - cos 1e-8 to 1e-16, and 1 - (a.b) / (|a| |b|) is then
 * nothing but rounding. Here only the part of d along b cancels, which leaves an error of about
 * 1e-16 ratio^2. Worked number: b = (1, 0), a = (1, 1e-9): |d|^2 = 1e-18, d.b = 0, change =
 * 5e-19; in doubles 1 - cos gives 0. tests/unit/test_update.c repeats it.
 *
 * The method: runs of up to 2,048 pairs are read once. A kernel writes their differences, as f32
 * for elements of f32 and less, to a buffer that stays in the first-level cache, and adds up
 * |d|^2, |b|^2 and d.b in f64; the buffer is then summarised by the kernels that summarise any
 * tensor and its units. As everywhere, how memory is read depends on the units:
 *
 *   rows     short and contiguous (a weight's output rows): as many as fit a block at a time;
 *   columns  the units are neighbours in memory (a bias; a weight kept transposed): strips;
 *   runs     everything else: unit by unit, gathered where the elements do not touch.
 *
 * Non-finite elements are left out of all sums. A difference of f32 that does not fit f32 is
 * finite all the same: a block with an infinity is done again with f64 differences. Sums of f64
 * that run over or under are done again in long double, unit by unit. So are units whose length
 * shrank sixteenfold or grew a thousandfold: there |a|^2, or the part across b, cancels.
 *
 * Cost: one read of each array. Rejected: f32 sums (a step along b would look like a turn of
 * 1e-7 ratio^2); normalising b and a first (two more reads).
 * Known limits: of layouts that are not row-major the first bad element is only looked for among
 * the first million. Differences of f32 and less are rounded to f32 first, which matters where a
 * is beyond b / 2 to 2 b: blocks whose |d| is above |b| / 4 are done again with f64 differences;
 * below, it is worth 4e-15 ratio^2 of change.
 */

enum {
    BLOCK = BARO_PAIRS_MOST,
    ROWS = BARO_TILE_ROWS, /* units of which the sums are at hand at a time */
    SEARCH = 1 << 20       /* elements among which the first bad one is looked for */
};

struct task {
    const struct baro_kernels *kernels;
    const struct baro_update_kernels *pairs;
    const struct baro_update_units *out; /* NULL: none wanted */
    enum baro_dtype dtype;
    enum baro_lane lane;
    struct baro_pairs p;
    struct baro_walk walk;        /* over the differences, as if they stood in one row */
    struct baro_moments moments;  /* of finite differences of f32 */
    struct baro_update_tally all; /* of all others */
    long double dd;               /* |d|^2 and |before|^2 of all */
    long double bb;
    struct baro_hist_work hist;
    int64_t position;     /* pairs taken so far */
    enum baro_dtype made; /* type of the differences in the buffer */
    double delta[BLOCK];  /* f32 or f64 */
};

/* ---- blocks ---- */

/* Ends a unit: its share of the sums, and its change. */
static void put_change(
    struct task *t, int64_t unit, const struct baro_update_sums *s, bool has_finite)
{
    double change;
    bool is_told = baro_update_change(s, t->lane, &change);
    /* a pruned one: its sums are as good as any */
    if (!is_told && t->lane != BARO_LANE_F64 && s->dd == s->bb &&
        baro_update_is_gone(&t->p, t->dtype, unit)) {
        change = 1;
        is_told = true;
    }
    if (is_told) {
        t->dd += (long double)s->dd;
        t->bb += (long double)s->bb;
    } else {
        const struct baro_update_exact exact = baro_update_exactly(&t->p, t->dtype, unit);
        change = exact.change;
        t->dd += exact.dd;
        t->bb += exact.bb;
    }
    if (t->out != NULL) {
        t->out->change[unit] = has_finite ? (float)change : NAN;
    }
}

static struct baro_span delta_span(const struct task *t, size_t n_rows, size_t n_cols)
{
    return (struct baro_span){.data = t->delta,
        .dtype = t->made,
        .n_dims = 2,
        .shape = {(int64_t)n_rows, (int64_t)n_cols},
        .strides = {(int64_t)n_cols, 1}};
}

/* Ends a block: its elements are counted, and the next one begins. */
static void pass_block(struct task *t, size_t n)
{
    baro_hist_add(&t->hist, t->made, t->delta, n, t->position);
    t->position += (int64_t)n;
    t->made = t->lane == BARO_LANE_F64 ? BARO_F64 : BARO_F32;
}

/* Summarises a block of finite differences of f32, of which the sums about 0 are known. */
static void take_finite(struct task *t, const struct baro_block *b, size_t n)
{
    if (b == NULL || !baro_moments_merge(&t->moments, b)) {
        baro_moments_add(&t->moments, t->delta, n, t->position);
    }
    pass_block(t, n);
}

/* Infinite differences of f32 may be of finite elements: makes them f64 if there are any. */
static void widen(
    struct task *t, const struct baro_update_tile *tile, struct baro_summary *s)
{
    for (size_t r = 0; r < tile->n_rows; r++) {
        const int64_t item = (int64_t)t->p.item;
        const char *row_b = (const char *)tile->before + (int64_t)r * tile->stride_b * item;
        const char *row_a = (const char *)tile->after + (int64_t)r * tile->stride_a * item;
        for (size_t i = 0; i < tile->n_cols; i++) {
            t->delta[r * tile->n_cols + i] =
                baro_element_get(t->dtype, row_a, i) - baro_element_get(t->dtype, row_b, i);
        }
    }
    t->made = BARO_F64;
    const struct baro_span span = delta_span(t, tile->n_rows, tile->n_cols);
    baro_summarise(&span, s, NULL);
}

/* Summarises any block; pass_block() is the caller's. */
static struct baro_summary take_any(struct task *t, const struct baro_update_tile *tile)
{
    struct baro_summary s;
    const struct baro_span span = delta_span(t, tile->n_rows, tile->n_cols);
    baro_summarise(&span, &s, NULL);
    if (t->made == BARO_F32 && s.n_pos_inf + s.n_neg_inf > 0) {
        widen(t, tile, &s);
    }
    baro_update_tally_merge(&t->all, &s, t->position);
    return s;
}

/* ---- runs ---- */

static void put_unit(const struct task *t, int64_t unit, const struct baro_update_tally *s)
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

/* One run of a unit. */
static void add_run(struct task *t, const struct baro_update_tile *run,
    struct baro_update_sums *sums, struct baro_update_tally *tally)
{
    struct baro_update_sums s;
    t->pairs->rows[t->lane](run, t->delta, &s);
    const double dd = s.dd;
    if (!baro_update_is_good(&s)) {
        t->pairs->careful_rows[t->lane](run, t->delta, &s);
    }
    if (t->made == BARO_F32 && isfinite(dd)) {
        struct baro_block b;
        t->kernels->fast[BARO_LANE_F32](t->delta, run->n_cols, 0, &b);
        baro_update_tally_add(tally, &b, s.dd);
        take_finite(t, &b, run->n_cols);
    } else {
        const struct baro_summary summary = take_any(t, run);
        baro_update_tally_merge(tally, &summary, 0);
        pass_block(t, run->n_cols);
    }
    sums->dd += s.dd;
    sums->bb += s.bb;
    sums->db += s.db;
}

/* Each unit by itself, in runs as long as memory has them. */
static void by_runs(struct task *t)
{
    struct baro_pairs_buffer buffer;
    for (int64_t u = 0; u < t->p.n_units; u++) {
        struct baro_pairs_at at = {.left = t->p.unit_count};
        struct baro_update_sums sums = {0};
        struct baro_update_tally tally = baro_update_tally_empty();
        struct baro_update_tile run = {.n_rows = 1};
        while ((run.n_cols = baro_pairs_next(
                    &t->p, u, &at, &buffer, &run.before, &run.after)) > 0) {
            add_run(t, &run, &sums, &tally);
        }
        put_change(t, u, &sums, tally.n > 0);
        if (t->out != NULL) {
            put_unit(t, u, &tally);
        }
    }
}

/* ---- rows ---- */

/* Writes what is known of neighbouring units of finite differences. */
static void put_rows(const struct baro_unit_stats *out, const struct baro_update_sums *sums,
    const struct baro_rows *rows, size_t n_rows, size_t n_cols)
{
    const double count = (double)n_cols;
    for (size_t r = 0; r < n_rows; r++) {
        out->mean[r] = (float)(rows->sum[r] / count);
        out->l2[r] = (float)sqrt(sums[r].dd);
        out->abs_max[r] = (float)rows->abs_max[r];
        out->frac_zero[r] = (float)(rows->n_zero[r] / count);
        out->n_nonfinite[r] = 0;
    }
}

static enum baro_update_found look(const struct baro_update_sums *sums, size_t n)
{
    double over = 0;
    bool is_good = true;
    for (size_t r = 0; r < n; r++) {
        over += sums[r].dd - sums[r].dd;
        is_good = is_good && baro_update_is_good(&sums[r]);
    }
    return over != 0 ? BARO_UPDATE_NOT_FINITE
           : is_good ? BARO_UPDATE_DONE
                     : BARO_UPDATE_LARGE;
}

/* Some units from one on, their sums filled in. */
static void add_rows(struct task *t, const struct baro_update_tile *tile, int64_t unit,
    struct baro_update_sums *sums)
{
    const size_t n = tile->n_rows * tile->n_cols;
    const struct baro_unit_stats *of = &t->out->delta;
    const struct baro_unit_stats out = {of->mean + unit, of->l2 + unit, of->abs_max + unit,
        of->frac_zero + unit, of->n_nonfinite + unit};
    struct baro_rows rows;
    struct baro_block b;
    t->pairs->rows[t->lane](tile, t->delta, sums);
    const enum baro_update_found found = look(sums, tile->n_rows);
    if (found != BARO_UPDATE_DONE) {
        t->pairs->careful_rows[t->lane](tile, t->delta, sums);
    }
    if (t->made == BARO_F32 && found != BARO_UPDATE_NOT_FINITE &&
        t->kernels->rows[BARO_LANE_F32](t->delta, tile->n_rows, tile->n_cols, &rows, &b)) {
        put_rows(&out, sums, &rows, tile->n_rows, tile->n_cols);
        take_finite(t, &b, n);
    } else {
        (void)take_any(t, tile);
        const struct baro_span span = delta_span(t, tile->n_rows, tile->n_cols);
        (void)baro_summarise_units(&span, 0, &out);
        pass_block(t, n);
    }
}

/* Units that are contiguous, short, and neighbours: some at a time. */
static void by_rows(struct task *t)
{
    const int64_t length = t->p.unit_count;
    const int64_t most = BLOCK / length < ROWS ? BLOCK / length : ROWS;
    for (int64_t u = 0; u < t->p.n_units; u += most) {
        const int64_t left = t->p.n_units - u;
        const struct baro_update_tile tile = {.before = baro_pairs_before(&t->p, u),
            .after = baro_pairs_after(&t->p, u),
            .stride_b = length,
            .stride_a = length,
            .n_rows = (size_t)(left < most ? left : most),
            .n_cols = (size_t)length};
        struct baro_update_sums sums[ROWS];
        add_rows(t, &tile, u, sums);
        const float *n_bad = t->out->delta.n_nonfinite + u;
        for (size_t r = 0; r < tile.n_rows; r++) {
            put_change(t, u + (int64_t)r, &sums[r], n_bad[r] < (float)length);
        }
    }
}

/* ---- columns ---- */

/* Units that lie side by side, and what is known of them. */
struct strip {
    struct baro_update_columns sums;
    struct baro_columns delta;
};

static void put_strip(struct task *t, const struct strip *s, int64_t from, size_t n_cols)
{
    const struct baro_unit_stats *out = &t->out->delta;
    const double rows = (double)t->p.unit_count;
    for (size_t c = 0; c < n_cols; c++) {
        const int64_t unit = from + (int64_t)c;
        const double n = rows - s->delta.n_bad[c];
        const struct baro_update_sums sums = {s->sums.dd[c], s->sums.bb[c], s->sums.db[c]};
        /* f64 is here with one row only */
        const double l2 =
            t->lane == BARO_LANE_F64 ? s->delta.abs_max[c] : sqrt(s->sums.dd[c]);
        out->mean[unit] = n == 0 ? NAN : (float)(s->delta.sum[c] / n);
        out->l2[unit] = n == 0 ? NAN : (float)l2;
        out->abs_max[unit] = n == 0 ? NAN : (float)s->delta.abs_max[c];
        out->frac_zero[unit] = (float)(s->delta.n_zero[c] / rows);
        out->n_nonfinite[unit] = (float)(rows - n);
        put_change(t, unit, &sums, n > 0);
    }
}

static void add_tile(struct task *t, const struct baro_update_tile *tile, struct strip *s)
{
    const size_t n = tile->n_rows * tile->n_cols;
    const int64_t stride = (int64_t)tile->n_cols;
    const enum baro_update_found found = t->pairs->cols[t->lane](tile, t->delta, &s->sums);
    if (found != BARO_UPDATE_DONE) {
        (void)t->pairs->careful_cols[t->lane](tile, t->delta, &s->sums);
    }
    if (t->made == BARO_F32 && found != BARO_UPDATE_NOT_FINITE) {
        struct baro_block b;
        const bool is_sound = t->kernels->grid[BARO_LANE_F32](
            t->delta, stride, tile->n_rows, tile->n_cols, &s->delta, &b);
        if (!is_sound) {
            t->kernels->wide_cols[BARO_LANE_F32](
                t->delta, stride, tile->n_rows, tile->n_cols, &s->delta);
        }
        take_finite(t, is_sound ? &b : NULL, n);
    } else {
        (void)take_any(t, tile);
        t->kernels->wide_cols[baro_element_lane(t->made)](
            t->delta, stride, tile->n_rows, tile->n_cols, &s->delta);
        pass_block(t, n);
    }
}

static void by_columns(struct task *t)
{
    t->p.in_order = t->p.in_order && t->p.n_dims == 0;
    for (int64_t from = 0; from < t->p.n_units; from += BARO_UPDATE_COLS) {
        const int64_t left = t->p.n_units - from;
        const size_t n_cols = (size_t)(left < BARO_UPDATE_COLS ? left : BARO_UPDATE_COLS);
        const int inner = t->p.n_dims - 1;
        const int64_t fit = BLOCK / (int64_t)n_cols;
        const int64_t most = fit < BARO_TILE_ROWS ? fit : BARO_TILE_ROWS;
        struct baro_pairs_at at = {.left = t->p.unit_count};
        struct strip strip;
        memset(&strip.sums, 0, sizeof strip.sums);
        baro_columns_clear(&strip.delta, n_cols);
        while (at.left > 0) {
            const int64_t item = (int64_t)t->p.item;
            const int64_t run = baro_pairs_run(&t->p, &at);
            const int64_t n_rows = run < most ? run : most;
            const struct baro_update_tile tile = {.before = t->p.b + (from + at.b) * item,
                .after = t->p.a + (from + at.a) * item,
                .stride_b = inner >= 0 ? t->p.dims[inner].b : 0,
                .stride_a = inner >= 0 ? t->p.dims[inner].a : 0,
                .n_rows = (size_t)n_rows,
                .n_cols = n_cols};
            add_tile(t, &tile, &strip);
            baro_pairs_step(&t->p, &at, n_rows);
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

/* The moments know no count of their own: all that they took is finite. */
static void finish_moments(struct task *t)
{
    const struct baro_span none = {.dtype = BARO_F32};
    struct baro_summary s;
    baro_moments_end(&t->moments, &none, &s);
    s.count = t->moments.n;
    baro_update_tally_merge(&t->all, &s, 0);
}

static void finish(struct task *t, struct baro_update_summary *out,
    const struct baro_span *before, const struct baro_span *after)
{
    const struct baro_update_tally *s = &t->all;
    struct baro_summary *delta = &out->delta;
    if (t->moments.n > 0) {
        finish_moments(t);
    }
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

static void begin_moments(struct task *t)
{
    const struct baro_span row = {.dtype = BARO_F32,
        .data = t->delta,
        .n_dims = 1,
        .shape = {t->p.unit_count * t->p.n_units},
        .strides = {1}};
    baro_walk_init(&t->walk, &row);
    baro_moments_begin(&t->moments, &t->walk, &row);
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
    t.kernels = baro_kernels_get();
    t.pairs = kernels_now();
    t.out = axis >= 0 ? out_units : NULL;
    t.dtype = after->dtype;
    t.lane = baro_element_lane(after->dtype);
    t.made = t.lane == BARO_LANE_F64 ? BARO_F64 : BARO_F32;
    t.all = baro_update_tally_empty();
    baro_pairs_init(&t.p, before, after, axis);
    begin_moments(&t);
    baro_hist_begin(&t.hist, t.p.unit_count * t.p.n_units);
    const bool is_row = t.p.unit_a == t.p.unit_count && t.p.unit_b == t.p.unit_count &&
                        t.p.n_dims <= 1 && baro_pairs_touch(&t.p);
    /* Tiles of columns are merged as floats, which f64 may not fit. */
    const bool may_tile = t.lane != BARO_LANE_F64 || t.p.unit_count == 1;
    if (t.p.n_units > 1 && t.p.unit_a == 1 && t.p.unit_b == 1 && may_tile) {
        by_columns(&t);
    } else if (t.p.n_units > 1 && is_row && t.p.unit_count > 0 &&
               t.p.unit_count <= BARO_NARROW) {
        by_rows(&t);
    } else {
        by_runs(&t);
    }
    finish(&t, out_summary, before, after);
    baro_hist_end(&t.hist, 1, out_hist);
    baro_fpstate_leave(fpstate);
    return 0;
}
