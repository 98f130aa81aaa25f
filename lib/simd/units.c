/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/summarise.h"

#include <math.h>
#include <string.h>

#include "lib/simd/element.h"
#include "lib/simd/fpstate.h"
#include "lib/simd/kernel.h"
#include "lib/simd/unit_sums.h"
#include "lib/simd/walk.h"

/*
 * Statistics of each index along one axis. How memory is read depends on where the axis
 * lies:
 *
 *   rows     the unit's elements form long runs (a weight's output rows, the channels of an
 *            N,C,H,W activation): unit by unit, run by run, the three-sum kernel;
 *   columns  the axis is the innermost in memory (features of a batch, channels last):
 *            strips of 512 columns, in tiles of 256 rows, in bands of 8: two kilobytes are
 *            read at a time (strips of 64 columns took twice as long in wide matrices).
 *            Units of a few neighbouring elements (2 x 2 feature maps) are columns too,
 *            added up in groups;
 *   else     each unit is gathered through a buffer.
 *
 * There is no variance here, so no shift: the mean is exact to about 1e-7 of the mean
 * magnitude. A block or a tile whose f32 sum of squares is not finite, or whose magnitudes
 * are so small that squares underflow, is done again in f64 with masks, as in summarise.c.
 */

/* Units of up to as many neighbours are taken as columns. */
enum { MOST_GROUPED = 32 };

/* The task, as both ways read it. */
struct task {
    const struct baro_kernels *kernels;
    const struct baro_unit_stats *out;
    enum baro_dtype dtype;
    enum baro_lane lane;
    bool is_float;
    int64_t n_units;
    int64_t axis_stride;   /* of the axis, in elements, may be negative */
    struct baro_walk walk; /* over all other axes, from unit 0 */
};

void baro_unit_put(const struct baro_unit_stats *out, int64_t unit,
    const struct baro_unit_sums *s, double count, double repeat)
{
    const double n = (double)s->n_finite;
    const bool none = s->n_finite == 0;
    if (out->mean != NULL) {
        out->mean[unit] = none ? NAN : (float)(s->sum / n);
    }
    if (out->l2 != NULL) {
        out->l2[unit] = none ? NAN : (float)sqrt(s->sq * repeat);
    }
    if (out->abs_max != NULL) {
        out->abs_max[unit] = none ? NAN : (float)s->abs_max;
    }
    if (out->frac_zero != NULL) {
        out->frac_zero[unit] = count == 0 ? NAN : (float)((double)s->n_zero / count);
    }
    if (out->n_nonfinite != NULL) {
        out->n_nonfinite[unit] = (float)((count - n) * repeat);
    }
}

static void put(const struct task *t, int64_t unit, const struct baro_unit_sums *s)
{
    baro_unit_put(t->out, unit, s, (double)t->walk.count, (double)t->walk.repeat);
}

void baro_unit_add(const struct baro_kernels *kernels, enum baro_lane lane, const void *run,
    size_t n, struct baro_unit_sums *s)
{
    struct baro_block b;
    kernels->wide[lane](run, n, 0, &b);
    s->sum += b.sum;
    s->sq += b.sq;
    s->abs_max = baro_larger(s->abs_max, b.n_finite > 0 ? baro_larger(b.max, -b.min) : 0);
    s->n_finite += b.n_finite;
    s->n_zero += b.n_zero;
}

static bool fast_is_sound(double sq, double abs_max)
{
    return isfinite(sq) && (abs_max == 0 || abs_max >= (double)BARO_FAST_LEAST);
}

static void add_run(
    const struct task *t, const void *run, size_t n, struct baro_unit_sums *s)
{
    struct baro_block b;
    if (t->kernels->row[t->lane] == NULL) {
        baro_unit_add(t->kernels, t->lane, run, n, s);
        return;
    }
    t->kernels->row[t->lane](run, n, 0, &b);
    if (!fast_is_sound(b.sq, b.max)) {
        baro_unit_add(t->kernels, t->lane, run, n, s);
        return;
    }
    s->sum += b.sum;
    s->sq += b.sq;
    s->abs_max = baro_larger(s->abs_max, b.max);
    s->n_finite += n;
    s->n_zero += b.n_zero;
}

/* The rows of a matrix: nothing to walk, one kernel call a unit. */
static void units_by_rows(const struct task *t)
{
    const size_t n = (size_t)t->walk.count;
    for (int64_t u = 0; u < t->n_units; u++) {
        struct baro_unit_sums s = {0};
        add_run(t, t->walk.base + u * t->axis_stride * (int64_t)t->walk.item, n, &s);
        put(t, u, &s);
    }
}

/* Each unit by itself, in runs as long as memory has them. */
static void units_by_runs(struct task *t)
{
    const char *base = t->walk.base;
    const size_t max = t->is_float ? BARO_BLOCK : BARO_WALK_BUFFER;
    double gathered[BARO_WALK_BUFFER];
    double widened[BARO_WALK_BUFFER];
    for (int64_t u = 0; u < t->n_units; u++) {
        struct baro_walk_at at = {0};
        struct baro_unit_sums s = {0};
        const void *run = NULL;
        size_t n;
        if (t->walk.count > 0) {
            t->walk.base = base + u * t->axis_stride * (int64_t)t->walk.item;
        }
        while ((n = baro_walk_next(&t->walk, &at, max, gathered, &run)) > 0) {
            if (!t->is_float) {
                baro_element_widen(t->dtype, run, n, widened);
                run = widened;
            }
            add_run(t, run, n, &s);
        }
        put(t, u, &s);
    }
}

static void add_tile(const struct task *t, const void *tile, int64_t stride, size_t n_rows,
    size_t n_cols, struct baro_columns *to)
{
    const baro_tile_fn fast = t->kernels->cols[t->lane];
    if (fast == NULL || !fast(tile, stride, n_rows, n_cols, to)) {
        t->kernels->wide_cols[t->lane](tile, stride, n_rows, n_cols, to);
    }
}

/* Integers, and columns that do not touch: tiles are brought together in a buffer first. */
static void add_tile_gathered(const struct task *t, const char *tile, int64_t stride,
    int64_t col_stride, size_t n_rows, size_t n_cols, struct baro_columns *to)
{
    double gathered[BARO_WALK_BUFFER];
    double widened[BARO_WALK_BUFFER];
    const size_t room = BARO_WALK_BUFFER / n_cols;
    const size_t most = room < BARO_TILE_ROWS ? room : BARO_TILE_ROWS;
    for (size_t r = 0; r < n_rows; r += most) {
        const size_t n = n_rows - r < most ? n_rows - r : most;
        for (size_t i = 0; i < n; i++) {
            baro_walk_copy((char *)gathered + i * n_cols * t->walk.item,
                tile + (int64_t)(r + i) * stride * (int64_t)t->walk.item, col_stride,
                n_cols, t->walk.item);
        }
        const void *data = gathered;
        if (!t->is_float) {
            baro_element_widen(t->dtype, gathered, n * n_cols, widened);
            data = widened;
        }
        add_tile(t, data, (int64_t)n_cols, n, n_cols, to);
    }
}

/*
 * All rows of one strip of columns: dims are those of the walk, the last one gives the
 * rows.
 */
static void add_strip(const struct task *t, const char *strip, const struct baro_walk *rows,
    int64_t col_stride, size_t n_cols, struct baro_columns *to)
{
    const int inner = rows->n_dims - 1;
    const int64_t extent = inner >= 0 ? rows->dims[inner].extent : 1;
    const int64_t stride = inner >= 0 ? rows->dims[inner].stride : 0;
    int64_t coord[BARO_MAX_DIMS] = {0};
    int64_t offset = 0;
    int d;
    do {
        for (int64_t r = 0; r < extent; r += BARO_TILE_ROWS) {
            const int64_t left = extent - r;
            const size_t n = left < BARO_TILE_ROWS ? (size_t)left : BARO_TILE_ROWS;
            const char *tile = strip + (offset + r * stride) * (int64_t)rows->item;
            if (t->is_float && col_stride == 1) {
                add_tile(t, tile, stride, n, n_cols, to);
            } else {
                add_tile_gathered(t, tile, stride, col_stride, n, n_cols, to);
            }
        }
        for (d = inner - 1; d >= 0; d--) {
            offset += rows->dims[d].stride;
            if (++coord[d] < rows->dims[d].extent) {
                break;
            }
            offset -= coord[d] * rows->dims[d].stride;
            coord[d] = 0;
        }
    } while (d >= 0);
}

/* Adds up the columns of one unit. */
static struct baro_unit_sums sum_columns(
    const struct task *t, const struct baro_columns *cols, int64_t from, int64_t group)
{
    struct baro_unit_sums s = {0};
    double n_bad = 0;
    double n_zero = 0;
    for (int64_t c = from; c < from + group; c++) {
        s.sum += cols->sum[c];
        s.sq += cols->sq[c];
        s.abs_max = baro_larger(s.abs_max, cols->abs_max[c]);
        n_bad += cols->n_bad[c];
        n_zero += cols->n_zero[c];
    }
    s.n_finite = (uint64_t)t->walk.count - (uint64_t)n_bad;
    s.n_zero = (uint64_t)n_zero;
    return s;
}

void baro_columns_clear(struct baro_columns *cols, size_t n_cols)
{
    const size_t n_bytes =
        (n_cols + BARO_LANES - 1) / BARO_LANES * BARO_LANES * sizeof(double);
    memset(cols->sum, 0, n_bytes);
    memset(cols->sq, 0, n_bytes);
    memset(cols->abs_max, 0, n_bytes);
    memset(cols->n_zero, 0, n_bytes);
    memset(cols->n_bad, 0, n_bytes);
}

/*
 * Units of `group` neighbouring columns each, in strips; rows: the walk without the group.
 */
static void units_by_columns(
    const struct task *t, const struct baro_walk *rows, int64_t group)
{
    const int64_t sign = t->axis_stride < 0 ? -1 : 1;
    const int64_t col_stride = group > 1 ? 1 : t->axis_stride * sign;
    const int64_t per_strip = BARO_COLS / group;
    for (int64_t from = 0; from < t->n_units; from += per_strip) {
        const int64_t left = t->n_units - from;
        const int64_t n = left < per_strip ? left : per_strip;
        /* A negative axis is read from its far end. */
        const int64_t low = sign > 0 ? from : from + n - 1;
        const char *strip = rows->base + low * t->axis_stride * (int64_t)rows->item;
        struct baro_columns cols;
        baro_columns_clear(&cols, (size_t)(n * group));
        add_strip(t, strip, rows, col_stride, (size_t)(n * group), &cols);
        for (int64_t u = 0; u < n; u++) {
            const struct baro_unit_sums s = sum_columns(t, &cols, u * group, group);
            put(t, sign > 0 ? from + u : from + n - 1 - u, &s);
        }
    }
}

static void choose_way(struct task *t)
{
    const struct baro_walk *walk = &t->walk;
    const int64_t apart = t->axis_stride < 0 ? -t->axis_stride : t->axis_stride;
    const struct baro_walk_dim *inner =
        walk->n_dims > 0 ? &walk->dims[walk->n_dims - 1] : NULL;
    if (walk->count > 0 && apart > 0 && t->n_units > 1) {
        if (inner == NULL || apart < inner->stride) {
            units_by_columns(t, walk, 1);
            return;
        }
        if (inner->stride == 1 && inner->extent <= MOST_GROUPED && apart == inner->extent) {
            struct baro_walk rows = *walk;
            rows.n_dims--;
            units_by_columns(t, &rows, inner->extent);
            return;
        }
    }
    const bool is_row =
        walk->n_dims == 1 && inner->stride == 1 && walk->count <= BARO_BLOCK;
    if (t->is_float && is_row) {
        units_by_rows(t);
    } else {
        units_by_runs(t);
    }
}

int baro_summarise_units(
    const struct baro_span *span, int axis, const struct baro_unit_stats *out_stats)
{
    if (axis < 0 || axis >= span->n_dims) {
        return BARO_EINVAL;
    }
    const struct baro_fpstate fpstate = baro_fpstate_enter();
    struct baro_span unit = *span;
    unit.shape[axis] = 1;
    struct task t = {
        .kernels = baro_kernels_get(),
        .out = out_stats,
        .dtype = span->dtype,
        .lane = baro_element_lane(span->dtype),
        .is_float = baro_element_is_float(span->dtype),
        .n_units = span->shape[axis],
        .axis_stride = span->strides[axis],
    };
    baro_walk_init(&t.walk, &unit);
    choose_way(&t);
    baro_fpstate_leave(fpstate);
    return 0;
}
