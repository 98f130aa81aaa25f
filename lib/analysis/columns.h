/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduce a series to pixel columns without hiding anything: each reading falls into exactly one
 * column, and a column keeps its extremes, its ends and its non-finite readings. Pure; used by
 * the daemon's range queries.
 */
#ifndef BARO_COLUMNS_H
#define BARO_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

/* What is known of the readings in one column. Zeroed: none yet. */
struct column {
    int64_t first_step; /* smallest and largest step read; valid if count > 0 */
    int64_t last_step;
    double min; /* of the finite readings; NaN after column_finish when there is none */
    double max;
    double mean;
    double first; /* value at first_step (its earliest reading), whatever it is */
    double last;  /* value at last_step (its latest reading) */
    uint32_t count;
    uint32_t n_nan;
    uint32_t n_pos_inf;
    uint32_t n_neg_inf;
};

/* How steps are cut into columns; made by columns_cut. */
struct column_cut {
    int64_t from_step;
    int64_t to_step;
    int64_t last_step; /* to_step, or before: steps behind it belong to no column */
    uint64_t span;     /* steps covered, 0 stands for 2^64 */
    uint32_t n_columns;
    uint32_t
        edge_shift; /* all steps of an aligned interval of 2^edge_shift share a column */
    const int64_t *edges; /* columns_edges, or NULL: they are worked out each time */
};

/**
 * Cut an inclusive range of steps into columns.
 *
 * With span = to_step - from_step + 1, the even cut gives column c the steps from
 * from_step + floor(c * span / n_columns) up to, not including,
 * from_step + floor((c + 1) * span / n_columns). The edges are then moved to multiples of
 * 2^edge_shift, the largest power of two that is at most half of span / n_columns (1 when columns
 * are narrower than two steps): a step belongs to the column in which the even cut has the
 * middle, floor(step / 2^s) * 2^s + 2^(s-1), of its aligned interval, held within the range. So
 * no edge moves by more than a quarter of a column, and summaries of aligned intervals, which the
 * store keeps, fall into one column each.
 *
 * to_step    >= from_step
 * n_columns  >= 1
 */
struct column_cut columns_cut(int64_t from_step, int64_t to_step, uint32_t n_columns);

/**
 * Find the column of a step by exact integer arithmetic.
 *
 * returns  0 .. n_columns-1, or n_columns when the step is outside the range
 */
uint32_t columns_find(const struct column_cut *cut, int64_t step);

/** Tell the first step of column c; for c = n_columns the step behind the last, held in range. */
int64_t columns_edge(const struct column_cut *cut, uint32_t c);

/**
 * Work out all edges once, for a cut that is used for many series: set cut->edges to them.
 *
 * out  n_columns + 1
 */
void columns_edges(const struct column_cut *cut, int64_t *out);

/* Readings one behind the other that fall into one column; from and so on are positions among
 * the steps that were given. */
struct column_span {
    uint32_t column;
    uint32_t from;
    uint32_t n;
    uint32_t first_at; /* the earliest of those with the smallest step */
    uint32_t last_at;  /* the latest of those with the largest */
    int64_t first_step;
    int64_t last_step;
};

/**
 * Find which readings fall together into one column; those outside the range are left out.
 *
 * out      room for n
 * returns  how many spans there are
 */
size_t columns_spans(
    const struct column_cut *cut, const int64_t *steps, size_t n, struct column_span *out);

/**
 * The same for steps that are evenly spaced and rise: first, first + stride and so on.
 *
 * stride  at least 1, so that all n steps are within 64 bits
 * out     room for n
 * cost    grows with the number of spans
 */
size_t columns_spans_line(const struct column_cut *cut, int64_t first, uint64_t stride,
    size_t n, struct column_span *out);

/** Add the readings of spans to the columns of one series; values: of all steps. */
void columns_add_f64(struct column *columns, const struct column_span *spans,
    size_t n_spans, const double *values);

/** Add the readings of spans to the columns of one series; values: of all steps. */
void columns_add_f32(struct column *columns, const struct column_span *spans,
    size_t n_spans, const float *values);

/** Add one reading to its column. The order of arrival does not matter but for equal steps. */
void column_add(struct column *column, int64_t step, double value);

/**
 * Add all that is known of some readings to a column; later in arrival than what is there.
 *
 * part     as column_add left it, before column_finish
 */
void column_merge(struct column *column, const struct column *part);

/** End a column: without a finite reading min, max and mean become NaN. */
void column_finish(struct column *column);

#endif
