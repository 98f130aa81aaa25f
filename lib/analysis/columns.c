/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/columns.h"

#include <math.h>
#include <stdbool.h>

/*
 * The even cut. With o = step - from_step, the column wanted is the largest c with
 * floor(c * span / n) <= o. That is c * span < (o + 1) * n, hence c = ((o + 1) * n - 1) / span
 * in integer division: no rounding, no step in two columns, none in between.
 * Worked number: 10 steps in 4 columns begin at 0, 2, 5, 7; step 4 gives (5 * 4 - 1) / 10 = 1.
 *
 * Moved edges. All steps of an aligned interval of 2^s steps go where the even cut has the
 * interval's middle. The middle of interval k, k * 2^s + 2^(s-1), is at or behind an even edge e
 * if and only if k >= ceil((e - 2^(s-1)) / 2^s): so the edge moves to that multiple of 2^s, by at
 * most 2^(s-1) steps, which is at most a quarter of a column. Columns are at least 2^(s+1) steps
 * wide, so no column becomes empty and no edge leaves the range.
 * Worked number: 0 to 39 in 4 columns are cut evenly at 10, 20, 30; s is 2 (2^3 * 4 <= 40), so
 * the edges move to 8, 20, 28: 10 - 2 = 8 is a multiple of 4, and 30 - 2 = 28 is one too.
 *
 * A step near the ends of the numbers: everything that can leave 64 bits is done in 128.
 *
 * The mean is updated as mean + (value - mean) / n with the products taken apart, so that
 * readings near the largest double do not overflow on the way; two means are weighed as a sum of
 * shares for the same reason, held between the extremes, so that a constant's mean is the constant.
 */

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

enum { MAX_SHIFT = 63 };

static u128 whole_span(const struct column_cut *cut)
{
    return cut->span != 0 ? cut->span : (u128)1 << 64;
}

struct column_cut columns_cut(int64_t from_step, int64_t to_step, uint32_t n_columns)
{
    struct column_cut cut = {
        .from_step = from_step,
        .to_step = to_step,
        .last_step = to_step,
        .span = (uint64_t)to_step - (uint64_t)from_step + 1,
        .n_columns = n_columns,
    };
    while (cut.edge_shift < MAX_SHIFT &&
           (u128)n_columns << (cut.edge_shift + 2) <= whole_span(&cut)) {
        cut.edge_shift++;
    }
    return cut;
}

uint32_t columns_find(const struct column_cut *cut, int64_t step)
{
    if (step < cut->from_step || step > cut->last_step) {
        return cut->n_columns;
    }
    if (cut->edge_shift > 0) {
        uint64_t low = (UINT64_C(1) << cut->edge_shift) - 1;
        step = (int64_t)(((uint64_t)step & ~low) + (low >> 1) + 1);
        step = step < cut->from_step ? cut->from_step : step;
        step = step > cut->to_step ? cut->to_step : step;
    }
    uint64_t offset = (uint64_t)step - (uint64_t)cut->from_step;
    if (cut->span != 0 && cut->span < UINT64_C(1) << 31) {
        return (uint32_t)(((offset + 1) * cut->n_columns - 1) / cut->span);
    }
    return (uint32_t)((((u128)offset + 1) * cut->n_columns - 1) / whole_span(cut));
}

int64_t columns_edge(const struct column_cut *cut, uint32_t c)
{
    if (cut->edges != NULL) {
        return cut->edges[c < cut->n_columns ? c : cut->n_columns];
    }
    if (c == 0) {
        return cut->from_step;
    }
    if (c >= cut->n_columns) {
        return cut->to_step < INT64_MAX ? cut->to_step + 1 : INT64_MAX;
    }
    i128 edge = cut->from_step;
    if (cut->span != 0 && cut->span < UINT64_C(1) << 31) {
        edge += (uint64_t)c * cut->span / cut->n_columns;
    } else {
        edge += (i128)(c * whole_span(cut) / cut->n_columns);
    }
    if (cut->edge_shift > 0) {
        i128 interval = (i128)1 << cut->edge_shift;
        i128 shifted = edge - interval / 2 + interval - 1;
        edge = shifted & -interval;
    }
    return edge > cut->from_step ? (int64_t)edge : cut->from_step;
}

void columns_edges(const struct column_cut *cut, int64_t *out)
{
    struct column_cut bare = *cut;
    bare.edges = NULL;
    for (uint32_t c = 0; c <= cut->n_columns; c++) {
        out[c] = columns_edge(&bare, c);
    }
}

static uint32_t n_finite(const struct column *column)
{
    return column->count - column->n_nan - column->n_pos_inf - column->n_neg_inf;
}

void column_add(struct column *column, int64_t step, double value)
{
    if (column->count == 0 || step < column->first_step) {
        column->first_step = step;
        column->first = value;
    }
    if (column->count == 0 || step >= column->last_step) {
        column->last_step = step;
        column->last = value;
    }
    column->count++;
    if (isnan(value)) {
        column->n_nan++;
        return;
    }
    if (isinf(value)) {
        *(value > 0 ? &column->n_pos_inf : &column->n_neg_inf) += 1;
        return;
    }
    uint32_t n = n_finite(column);
    if (n == 1) {
        column->min = column->max = column->mean = value;
        return;
    }
    column->min = value < column->min ? value : column->min;
    column->max = value > column->max ? value : column->max;
    double share = 1.0 / (double)n;
    column->mean += value * share - column->mean * share;
}

void column_merge(struct column *column, const struct column *part)
{
    if (part->count == 0) {
        return;
    }
    if (column->count == 0) {
        *column = *part;
        return;
    }
    if (part->first_step < column->first_step) {
        column->first_step = part->first_step;
        column->first = part->first;
    }
    if (part->last_step >= column->last_step) {
        column->last_step = part->last_step;
        column->last = part->last;
    }
    uint32_t here = n_finite(column);
    uint32_t there = n_finite(part);
    if (here == 0) {
        column->min = part->min;
        column->max = part->max;
        column->mean = part->mean;
    } else if (there > 0) {
        double share = (double)there / ((double)here + (double)there);
        column->min = part->min < column->min ? part->min : column->min;
        column->max = part->max > column->max ? part->max : column->max;
        double mean = column->mean * (1 - share) + part->mean * share;
        column->mean = mean < column->min ? column->min : fmin(mean, column->max);
    }
    column->count += part->count;
    column->n_nan += part->n_nan;
    column->n_pos_inf += part->n_pos_inf;
    column->n_neg_inf += part->n_neg_inf;
}

void column_finish(struct column *column)
{
    if (n_finite(column) == 0) {
        column->min = column->max = column->mean = (double)NAN;
    }
}

/* Widen a span by the reading at i. */
static void widen(struct column_span *span, int64_t step, uint32_t i)
{
    if (step < span->first_step) {
        span->first_step = step;
        span->first_at = i;
    }
    if (step >= span->last_step) {
        span->last_step = step;
        span->last_at = i;
    }
    span->n++;
}

/* The steps low .. high that are in a column; none: low > high. */
struct bounds {
    uint32_t column;
    int64_t low;
    int64_t high;
};

/* Find the column of a step: usually the one behind the last. */
static struct bounds find_bounds(
    const struct column_cut *cut, int64_t step, const struct bounds *last)
{
    struct bounds out = {.column = last->column + 1};
    bool is_rising = last->low <= last->high && step > last->high &&
                     step <= cut->last_step && out.column + 1 < cut->n_columns;
    if (is_rising) {
        out.low = last->high + 1;
        out.high = columns_edge(cut, out.column + 1) - 1;
    }
    if (!is_rising || step > out.high) {
        out.column = columns_find(cut, step);
        if (out.column == cut->n_columns) {
            return (struct bounds){out.column, 1, INT64_MIN};
        }
        out.low = columns_edge(cut, out.column);
        out.high = out.column + 1 < cut->n_columns ? columns_edge(cut, out.column + 1) - 1
                                                   : cut->to_step;
    }
    out.high = out.high < cut->last_step ? out.high : cut->last_step;
    return out;
}

/* Widen a span by readings from i on as long as their steps do not fall; returns their end. */
static size_t widen_rising(
    struct column_span *span, const int64_t *steps, size_t i, size_t n, int64_t high)
{
    size_t end = i + 1;
    while (end < n && steps[end] >= steps[end - 1] && steps[end] <= high) {
        end++;
    }
    span->n += (uint32_t)(end - i);
    span->last_step = steps[end - 1];
    span->last_at = (uint32_t)(end - 1);
    return end;
}

size_t columns_spans(
    const struct column_cut *cut, const int64_t *steps, size_t n, struct column_span *out)
{
    size_t n_spans = 0;
    struct column_span span = {0};
    struct bounds bounds = {.low = 1, .high = 0}; /* of span's column */
    for (size_t i = 0; i < n;) {
        int64_t step = steps[i];
        if (step >= bounds.low && step <= bounds.high) {
            if (step >= span.last_step) {
                i = widen_rising(&span, steps, i, n, bounds.high);
            } else {
                widen(&span, step, (uint32_t)i++);
            }
            continue;
        }
        if (span.n > 0) {
            out[n_spans++] = span;
            span.n = 0;
        }
        bounds = find_bounds(cut, step, &bounds);
        if (bounds.column < cut->n_columns) {
            uint32_t at = (uint32_t)i;
            span = (struct column_span){bounds.column, at, 1, at, at, step, step};
        }
        i++;
    }
    if (span.n > 0) {
        out[n_spans++] = span;
    }
    return n_spans;
}

/* How many strides it takes at least to go so far. */
static uint64_t strides(uint64_t distance, uint64_t stride)
{
    return stride == 1 ? distance : distance / stride + (distance % stride > 0);
}

size_t columns_spans_line(const struct column_cut *cut, int64_t first, uint64_t stride,
    size_t n, struct column_span *out)
{
    size_t n_spans = 0;
    struct bounds bounds = {.low = 1, .high = 0};
    uint64_t i = 0;
    if (first < cut->from_step) {
        i = strides((uint64_t)cut->from_step - (uint64_t)first, stride);
    }
    while (i < n) {
        uint64_t step = (uint64_t)first + i * stride;
        bounds = find_bounds(cut, (int64_t)step, &bounds);
        if (bounds.column == cut->n_columns) {
            break;
        }
        uint64_t left = (uint64_t)bounds.high - step;
        uint64_t more = stride == 1 ? left : left / stride;
        uint64_t end = more < n - i ? i + more + 1 : n;
        out[n_spans++] = (struct column_span){
            .column = bounds.column,
            .from = (uint32_t)i,
            .n = (uint32_t)(end - i),
            .first_at = (uint32_t)i,
            .last_at = (uint32_t)(end - 1),
            .first_step = (int64_t)step,
            .last_step = (int64_t)((uint64_t)first + (end - 1) * stride),
        };
        i = end;
    }
    return n_spans;
}

/* What a pass over some readings finds. */
struct tally {
    double min; /* of the finite ones, if any */
    double max;
    double sum;
    uint32_t n_nan;
    uint32_t n_pos_inf;
    uint32_t n_neg_inf;
};

static void tally_one(struct tally *tally, double value)
{
    if (isnan(value)) {
        tally->n_nan++;
    } else if (isinf(value)) {
        *(value > 0 ? &tally->n_pos_inf : &tally->n_neg_inf) += 1;
    } else {
        tally->min = value < tally->min ? value : tally->min;
        tally->max = value > tally->max ? value : tally->max;
        tally->sum += value;
    }
}

/* Add what n readings of a span gave, as a part that comes later. */
static void merge_tally(struct column *column, const struct column_span *span,
    const struct tally *tally, double first, double last)
{
    struct column part = {
        .first_step = span->first_step,
        .last_step = span->last_step,
        .first = first,
        .last = last,
        .count = span->n,
        .n_nan = tally->n_nan,
        .n_pos_inf = tally->n_pos_inf,
        .n_neg_inf = tally->n_neg_inf,
    };
    uint32_t n = n_finite(&part);
    if (n > 0) {
        double mean = tally->sum / n;
        part.min = tally->min;
        part.max = tally->max;
        mean = mean < part.min ? part.min : mean;
        part.mean = mean > part.max ? part.max : mean;
    }
    if (column->count == 0) {
        *column = part;
    } else {
        column_merge(column, &part);
    }
}

/* The same one by one, where the sum leaves the range of double. */
static void add_each(
    struct column *columns, const struct column_span *span, const double *values)
{
    struct column part = {0};
    for (uint32_t i = 0; i < span->n; i++) {
        column_add(&part, span->first_step, values[span->from + i]);
    }
    part.last_step = span->last_step;
    part.first = values[span->first_at];
    part.last = values[span->last_at];
    column_merge(&columns[span->column], &part);
}

/*
 * The same of n > 0 readings that are all finite, which are nearly all: two at a time, and without
 * a question for each, since one that is not finite shows in the sum.
 */
static struct tally tally_finite(const double *values, size_t n)
{
    double min[2] = {values[0], values[n - 1]};
    double max[2] = {min[0], min[1]};
    double sum[2] = {n % 2 == 1 ? values[n - 1] : 0, 0};
    for (size_t i = 0; i + 1 < n; i += 2) {
        for (size_t k = 0; k < 2; k++) {
            double value = values[i + k];
            min[k] = value < min[k] ? value : min[k];
            max[k] = value > max[k] ? value : max[k];
            sum[k] += value;
        }
    }
    return (struct tally){
        .min = min[0] < min[1] ? min[0] : min[1],
        .max = max[0] > max[1] ? max[0] : max[1],
        .sum = sum[0] + sum[1],
    };
}

static const struct tally no_tally = {.min = (double)INFINITY, .max = -(double)INFINITY};

/* Add n > 0 readings to a tally. */
static void add_to_tally(struct tally *tally, const double *values, size_t n)
{
    struct tally part = tally_finite(values, n);
    if (isfinite(part.sum)) {
        tally->min = part.min < tally->min ? part.min : tally->min;
        tally->max = part.max > tally->max ? part.max : tally->max;
        tally->sum += part.sum;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        tally_one(tally, values[i]);
    }
}

/* The first readings of a column, all finite, which is what nearly all spans are; else false. */
static bool begin_finite(
    struct column *column, const struct column_span *span, const double *values)
{
    if (column->count > 0) {
        return false;
    }
    struct tally tally = tally_finite(values + span->from, span->n);
    double mean = tally.sum / span->n;
    if (!isfinite(tally.sum)) {
        return false;
    }
    mean = mean < tally.min ? tally.min : mean;
    column->first_step = span->first_step;
    column->last_step = span->last_step;
    column->min = tally.min;
    column->max = tally.max;
    column->mean = mean > tally.max ? tally.max : mean;
    column->first = values[span->first_at];
    column->last = values[span->last_at];
    column->count = span->n;
    return true;
}

void columns_add_f64(struct column *columns, const struct column_span *spans,
    size_t n_spans, const double *values)
{
    for (size_t s = 0; s < n_spans; s++) {
        const struct column_span *span = &spans[s];
        if (begin_finite(&columns[span->column], span, values)) {
            continue;
        }
        struct tally tally = no_tally;
        add_to_tally(&tally, values + span->from, span->n);
        if (isfinite(tally.sum)) {
            merge_tally(&columns[span->column], span, &tally, values[span->first_at],
                values[span->last_at]);
        } else {
            add_each(columns, span, values);
        }
    }
}

void columns_add_f32(struct column *columns, const struct column_span *spans,
    size_t n_spans, const float *values)
{
    enum { WIDE = 256 }; /* numbers that are made doubles at a time */
    double wide[WIDE];
    for (size_t s = 0; s < n_spans; s++) {
        struct column_span span = spans[s];
        struct tally tally = no_tally; /* floats never leave the range of double */
        for (uint32_t at = 0; at < span.n; at += WIDE) {
            uint32_t n = span.n - at < WIDE ? span.n - at : WIDE;
            for (uint32_t i = 0; i < n; i++) {
                wide[i] = (double)values[span.from + at + i];
            }
            add_to_tally(&tally, wide, n);
        }
        merge_tally(&columns[span.column], &span, &tally, (double)values[span.first_at],
            (double)values[span.last_at]);
    }
}
