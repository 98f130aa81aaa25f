/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summaries: what is kept of some consecutive rows of a group, so that a range of any length can
 * be drawn without reading them. Pure functions from rows to summaries, from summaries to
 * coarser ones, and from summaries to pixel columns. Private to daemon/store; tiers.c writes
 * them, read_columns.c reads them.
 *
 * A summary is a row of a strand of level 1 or above, laid out as
 *
 *   step      smallest step of its rows
 *   time      largest step of its rows
 *   double 0  how many rows it stands for
 *   then five numbers for each column of the group, of the column's own type: smallest, largest,
 *             mean, first, last (enum summary_figure)
 *   extra     which columns have readings that are not finite, and how many (summary.c)
 */
#ifndef BARO_STORE_SUMMARY_H
#define BARO_STORE_SUMMARY_H

#include "daemon/store/columns.h"
#include "lib/analysis/columns.h"

enum summary_figure {
    SUMMARY_MIN = 0, /* of the finite readings; 0 when there are none */
    SUMMARY_MAX,
    SUMMARY_MEAN,
    SUMMARY_FIRST, /* the earliest reading at the smallest step */
    SUMMARY_LAST,  /* the latest reading at the largest step */
    SUMMARY_FIGURES
};

/* Readings of one column that one summary has and that are not finite. */
struct summary_odd {
    uint32_t n_nan;
    uint32_t n_pos_inf;
    uint32_t n_neg_inf;
};

/* Some figures of decoded summaries, column after column, for one column of the group. */
struct summary_view {
    size_t n; /* summaries: the distance from figure to figure */
    const double *f64;
    const float *f32;              /* one of the two is NULL */
    const uint64_t *row_at;        /* n + 1: number of the first row of each, and the end */
    const struct summary_odd *odd; /* n; NULL when all readings are finite */
};

/** Tell how many doubles a summary has if the columns that it is of are so many doubles. */
static inline uint32_t summary_f64(uint32_t n_f64)
{
    return 1 + SUMMARY_FIGURES * n_f64;
}

/** Tell how many floats a summary has if the columns that it is of are so many floats. */
static inline uint32_t summary_f32(uint32_t n_f32)
{
    return SUMMARY_FIGURES * n_f32;
}

/**
 * Cut consecutive rows, or summaries, into groups: each has only steps of one aligned interval
 * of 2^a steps, with the smallest a that leaves about per_group of them in a group.
 *
 * first, last  smallest and largest step of each; the same array for rows
 * n            at least 1
 * out_ends     room for n; where each group ends
 * returns      how many groups there are
 */
size_t summary_cut(const int64_t *first, const int64_t *last, size_t n, uint32_t per_group,
    uint32_t *out_ends);

/**
 * Summarise rows.
 *
 * ends      of each group, rising, the last being rows->n_rows
 * is_exact  keep all bits of first and last
 * out       reset and filled: the rows of a strand of level 1
 */
void summary_of_rows(const struct columns *rows, const uint32_t *ends, size_t n_groups,
    bool is_exact, struct columns *out);

/**
 * Summarise summaries.
 *
 * returns  0; BARO_ECORRUPT when they are none
 */
int summary_of_summaries(const struct columns *fine, const uint32_t *ends, size_t n_groups,
    bool is_exact, struct columns *out);

/**
 * Give the numbers of the rows that summaries begin with.
 *
 * n_rows_of  double 0 of each of n summaries
 * out        n + 1 numbers
 * returns    false when the numbers of rows are not what they can be
 */
bool summary_rows_at(
    const double *n_rows_of, size_t n, uint64_t first_row, uint64_t *out_row_at);

/**
 * Read what the extra bytes of summaries say of some columns.
 *
 * row_at   as summary_rows_at gave it
 * out_odd  [n_columns][n], zeroed by the caller
 * returns  0; BARO_ECORRUPT
 */
int summary_odd_decode(const uint8_t *extra, const uint32_t *ends, size_t n,
    const uint64_t *row_at, uint32_t first_column, uint32_t n_columns,
    struct summary_odd *out_odd);

/** Add summaries of spans to the pixel columns of one series; later than what is there. */
void summary_add(struct column *columns, const struct column_span *spans, size_t n_spans,
    const struct summary_view *view);

#endif
