/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/summarise.h"

#include <string.h>

#include "lib/base/err.h"
#include "lib/simd/element.h"
#include "lib/simd/fpstate.h"
#include "lib/simd/hist.h"
#include "lib/simd/kernel.h"
#include "lib/simd/moments.h"
#include "lib/simd/unit_sums.h"
#include "lib/simd/walk.h"

/*
 * The statistics of a tensor and of its units in one look at memory. A contiguous tensor is seen
 * as [outer, units, inner]:
 *
 *   rows     inner > 1: every run of `inner` elements belongs to one unit. Long runs go through
 *            the kernel of the whole tensor at shift 0, whose sums are the unit's too; short
 *            ones many at a time through a kernel of their own. With outer > 1 (N, C, H, W) a
 *            unit has many runs, whose sums are kept in between.
 *   columns  inner = 1: tiles of 64 rows and 512 columns.
 *
 * Unit statistics take sums about 0, as in units.c. The tensor's take them too as long as its
 * mean is small beside its spread; where it is not, or where a number is not finite, the piece
 * is looked at once more, in the cache, as baro_summarise() does it. So the bits of the whole may
 * differ from baro_summarise()'s in the last places, and are as exact.
 *
 * Integers, f64, strided tensors and units of more runs than are kept take two passes.
 */

enum { TILE_ROWS = 64, TILE_ROWS_AGAIN = 16, MOST_KEPT = 512 };

/* The task. */
struct both {
    const struct baro_kernels *kernels;
    const struct baro_unit_stats *out;
    enum baro_dtype dtype;
    enum baro_lane lane;
    const char *data;
    size_t item;
    int64_t outer;
    int64_t n_units;
    int64_t inner;
    struct baro_moments *moments;
    struct baro_hist_work *hist; /* NULL: none */
};

static const void *element(const struct both *t, int64_t index)
{
    return t->data + (size_t)index * t->item;
}

static void count_hist(const struct both *t, int64_t from, int64_t n)
{
    if (t->hist != NULL) {
        baro_hist_add(t->hist, t->dtype, element(t, from), (size_t)n, from);
    }
}

/* Add a run to the whole block by block: for sums that are not exact enough. */
static void add_again(const struct both *t, int64_t from, int64_t n)
{
    for (int64_t i = 0; i < n; i += BARO_BLOCK) {
        const int64_t left = n - i;
        baro_moments_add(t->moments, element(t, from + i),
            (size_t)(left < BARO_BLOCK ? left : BARO_BLOCK), from + i);
    }
}

/* ---- rows ---- */

/* Sums of neighbouring runs that the whole has yet to take. */
struct group {
    struct baro_block sums;
    int64_t from;
    int64_t n;
    bool is_sound;
};

static void group_begin(struct group *g, int64_t from)
{
    *g = (struct group){.from = from, .is_sound = true};
    g->sums.min = (double)INFINITY;
    g->sums.max = (double)-INFINITY;
}

static void group_end(const struct both *t, struct group *g)
{
    g->sums.n_finite = (uint64_t)g->n;
    if (!g->is_sound || !baro_moments_merge(t->moments, &g->sums)) {
        add_again(t, g->from, g->n);
    }
    count_hist(t, g->from, g->n);
    group_begin(g, g->from + g->n);
}

static void group_add(struct group *g, const struct baro_block *b)
{
    g->sums.sum += b->sum;
    g->sums.sq += b->sq;
    g->sums.l1 += b->l1;
    g->sums.min = baro_smaller(g->sums.min, b->min);
    g->sums.max = baro_larger(g->sums.max, b->max);
    g->sums.n_zero += b->n_zero;
}

/* One long run: to its unit, and by and by to the whole. */
static void add_run(
    const struct both *t, int64_t from, struct baro_unit_sums *unit, struct group *g)
{
    for (int64_t i = 0; i < t->inner; i += BARO_BLOCK) {
        const int64_t left = t->inner - i;
        const size_t n = (size_t)(left < BARO_BLOCK ? left : BARO_BLOCK);
        const void *run = element(t, from + i);
        struct baro_block b;
        t->kernels->fast[t->lane](run, n, 0, &b);
        const double abs_max = baro_larger(b.max, -b.min);
        const bool is_sound = isfinite(b.sq) && isfinite(b.l1) &&
                              (abs_max == 0 || abs_max >= (double)BARO_FAST_LEAST);
        if (is_sound) {
            unit->sum += b.sum;
            unit->sq += b.sq;
            unit->abs_max = baro_larger(unit->abs_max, abs_max);
            unit->n_finite += n;
            unit->n_zero += b.n_zero;
            group_add(g, &b);
        } else {
            baro_unit_add(t->kernels, t->lane, run, n, unit);
            g->is_sound = false;
        }
        g->n += (int64_t)n;
        if (g->n >= BARO_BLOCK) {
            group_end(t, g);
        }
    }
}

static void put_unit(const struct both *t, int64_t unit, const struct baro_unit_sums *s)
{
    baro_unit_put(t->out, unit, s, (double)(t->outer * t->inner), 1);
}

static void by_long_rows(const struct both *t, struct baro_unit_sums *kept)
{
    struct group g;
    group_begin(&g, 0);
    for (int64_t row = 0; row < t->outer * t->n_units; row++) {
        struct baro_unit_sums one = {0};
        struct baro_unit_sums *unit = t->outer > 1 ? &kept[row % t->n_units] : &one;
        add_run(t, row * t->inner, unit, &g);
        if (t->outer == 1) {
            put_unit(t, row, unit);
        }
    }
    if (g.n > 0) {
        group_end(t, &g);
    }
}

/* Write what is known of units of one short run each. Column by column: divisions overlap then. */
static void put_rows(
    const struct both *t, int64_t from, int64_t n, const struct baro_rows *rows)
{
    const struct baro_unit_stats *out = t->out;
    const double count = (double)t->inner;
    for (int64_t r = 0; out->mean != NULL && r < n; r++) {
        out->mean[from + r] = (float)(rows->sum[r] / count);
    }
    for (int64_t r = 0; out->l2 != NULL && r < n; r++) {
        out->l2[from + r] = (float)sqrt(rows->sq[r]);
    }
    for (int64_t r = 0; out->abs_max != NULL && r < n; r++) {
        out->abs_max[from + r] = (float)rows->abs_max[r];
    }
    for (int64_t r = 0; out->frac_zero != NULL && r < n; r++) {
        out->frac_zero[from + r] = (float)(rows->n_zero[r] / count);
    }
    for (int64_t r = 0; out->n_nonfinite != NULL && r < n; r++) {
        out->n_nonfinite[from + r] = 0;
    }
}

/* Add short runs to their units one by one. */
static void add_rows(const struct both *t, int64_t from, int64_t n,
    const struct baro_rows *rows, bool is_sound, struct baro_unit_sums *kept)
{
    for (int64_t r = 0; r < n; r++) {
        struct baro_unit_sums one = {0};
        struct baro_unit_sums *unit = t->outer > 1 ? &kept[(from + r) % t->n_units] : &one;
        if (is_sound) {
            unit->sum += rows->sum[r];
            unit->sq += rows->sq[r];
            unit->abs_max = baro_larger(unit->abs_max, rows->abs_max[r]);
            unit->n_finite += (uint64_t)t->inner;
            unit->n_zero += (uint64_t)rows->n_zero[r];
        } else {
            baro_unit_add(t->kernels, t->lane, element(t, (from + r) * t->inner),
                (size_t)t->inner, unit);
        }
        if (t->outer == 1) {
            put_unit(t, from + r, unit);
        }
    }
}

/* Short runs, as many at a time as make up a block. */
static void by_short_rows(const struct both *t, struct baro_unit_sums *kept)
{
    const int64_t n_rows = t->outer * t->n_units;
    const int64_t fit = BARO_BLOCK / t->inner;
    const int64_t most = fit < BARO_TILE_ROWS ? fit : BARO_TILE_ROWS;
    struct baro_rows rows;
    for (int64_t from = 0; from < n_rows; from += most) {
        const int64_t left = n_rows - from;
        const int64_t n = left < most ? left : most;
        struct baro_block b;
        const bool is_sound = t->kernels->rows[t->lane](
            element(t, from * t->inner), (size_t)n, (size_t)t->inner, &rows, &b);
        if (!is_sound || !baro_moments_merge(t->moments, &b)) {
            add_again(t, from * t->inner, n * t->inner);
        }
        count_hist(t, from * t->inner, n * t->inner);
        if (is_sound && t->outer == 1) {
            put_rows(t, from, n, &rows);
        } else {
            add_rows(t, from, n, &rows, is_sound, kept);
        }
    }
}

static void by_rows(const struct both *t)
{
    struct baro_unit_sums kept[MOST_KEPT];
    if (t->outer > 1) {
        memset(kept, 0, (size_t)t->n_units * sizeof kept[0]);
    }
    if (t->inner <= BARO_NARROW) {
        by_short_rows(t, kept);
    } else {
        by_long_rows(t, kept);
    }
    for (int64_t u = 0; t->outer > 1 && u < t->n_units; u++) {
        put_unit(t, u, &kept[u]);
    }
}

/* ---- columns ---- */

/* One tile; tells whether the whole could take its sums. */
static bool add_tile(const struct both *t, int64_t row, int64_t n_rows, int64_t col,
    int64_t n_cols, struct baro_columns *cols)
{
    const int64_t width = t->n_units;
    const int64_t from = row * width + col;
    struct baro_block b;
    const bool is_sound = t->kernels->grid[t->lane](
        element(t, from), width, (size_t)n_rows, (size_t)n_cols, cols, &b);
    if (!is_sound) {
        t->kernels->wide_cols[t->lane](
            element(t, from), width, (size_t)n_rows, (size_t)n_cols, cols);
    }
    const bool is_taken = is_sound && baro_moments_merge(t->moments, &b);
    if (n_cols == width) { /* the rows of the tile touch */
        if (!is_taken) {
            add_again(t, from, n_rows * n_cols);
        }
        count_hist(t, from, n_rows * n_cols);
        return is_taken;
    }
    for (int64_t r = 0; r < n_rows; r++) {
        if (!is_taken) {
            add_again(t, from + r * width, n_cols);
        }
        count_hist(t, from + r * width, n_cols);
    }
    return is_taken;
}

static void by_columns(const struct both *t)
{
    struct baro_columns cols;
    int64_t tile_rows = TILE_ROWS;
    for (int64_t col = 0; col < t->n_units; col += BARO_COLS) {
        const int64_t left = t->n_units - col;
        const int64_t n_cols = left < BARO_COLS ? left : BARO_COLS;
        baro_columns_clear(&cols, (size_t)n_cols);
        int64_t n_rows;
        for (int64_t row = 0; row < t->outer; row += n_rows) {
            const int64_t rows_left = t->outer - row;
            n_rows = rows_left < tile_rows ? rows_left : tile_rows;
            if (!add_tile(t, row, n_rows, col, n_cols, &cols)) {
                tile_rows = TILE_ROWS_AGAIN; /* what is looked at twice stays near */
            }
        }
        for (int64_t c = 0; c < n_cols; c++) {
            const struct baro_unit_sums s = {.sum = cols.sum[c],
                .sq = cols.sq[c],
                .abs_max = cols.abs_max[c],
                .n_finite = (uint64_t)t->outer - (uint64_t)cols.n_bad[c],
                .n_zero = (uint64_t)cols.n_zero[c]};
            put_unit(t, col + c, &s);
        }
    }
}

/* ---- the choice ---- */

/* See a tensor as [outer, units, inner]; false when its elements do not lie in that order. */
static bool see(struct both *t, const struct baro_span *span, int axis)
{
    int64_t step = 1;
    t->outer = 1;
    t->inner = 1;
    t->n_units = span->shape[axis];
    for (int d = span->n_dims - 1; d >= 0; d--) {
        if (span->shape[d] != 1 && span->strides[d] != step) {
            return false;
        }
        step *= span->shape[d];
        t->outer *= d < axis ? span->shape[d] : 1;
        t->inner *= d > axis ? span->shape[d] : 1;
    }
    if (step == 0 || t->kernels->grid[t->lane] == NULL ||
        !baro_element_is_float(t->dtype)) {
        return false;
    }
    return t->inner == 1 ? t->n_units > 1 : t->outer == 1 || t->n_units <= MOST_KEPT;
}

int baro_summarise_both(const struct baro_span *span, int axis,
    const struct baro_unit_stats *out_stats, struct baro_summary *out_summary,
    struct baro_hist *out_hist)
{
    if (axis < 0 || axis >= span->n_dims) {
        return BARO_EINVAL;
    }
    struct both t = {
        .kernels = baro_kernels_get(),
        .out = out_stats,
        .dtype = span->dtype,
        .lane = baro_element_lane(span->dtype),
        .data = span->data,
        .item = baro_dtype_bytes(span->dtype),
    };
    if (!see(&t, span, axis)) {
        baro_summarise(span, out_summary, out_hist);
        return baro_summarise_units(span, axis, out_stats);
    }
    const struct baro_fpstate fpstate = baro_fpstate_enter();
    struct baro_walk walk;
    struct baro_moments moments;
    struct baro_hist_work hist;
    baro_walk_init(&walk, span);
    walk.in_order = walk.in_order && (t.inner > 1 || t.n_units <= BARO_COLS);
    baro_moments_begin(&moments, &walk, span);
    t.moments = &moments;
    if (out_hist != NULL) {
        baro_hist_begin(&hist, walk.count);
        t.hist = &hist;
    }
    if (t.inner == 1) {
        by_columns(&t);
    } else {
        by_rows(&t);
    }
    baro_moments_end(&moments, span, out_summary);
    if (out_hist != NULL) {
        baro_hist_end(&hist, walk.repeat, out_hist);
    }
    baro_fpstate_leave(fpstate);
    return 0;
}
