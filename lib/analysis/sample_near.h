/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows of numbers, laid out so that one row is compared with all of them quickly. */
#ifndef BARO_SAMPLE_NEAR_H
#define BARO_SAMPLE_NEAR_H

#include <stddef.h>
#include <stdint.h>

enum { SAMPLE_BLOCK = 32 };

/* Rows, in blocks of SAMPLE_BLOCK, within a block number by number. */
struct sample_near {
    size_t n_numbers; /* of each row */
    size_t n, room;   /* rows; room is a multiple of SAMPLE_BLOCK */
    float *blocks;
};

/** Make room for rows; ends the process without memory. */
void sample_near_init(struct sample_near *near, size_t n_numbers, size_t n_rows);

/** Free what it holds. */
void sample_near_finish(struct sample_near *near);

/** Append a row; require: n < n_rows. */
void sample_near_add(struct sample_near *near, const float *row);

/**
 * Give the squared distance (sum over the numbers) of a row to each: the same bits on every
 * processor.
 *
 * out_sums   room; those behind the last row are not valid
 */
void sample_near_measure(const struct sample_near *near, const float *row, float *out_sums);

/** End appending, before sample_near_best: what is left of the last block is near nobody. */
void sample_near_end(struct sample_near *near);

/**
 * Find the row that is nearest to one, the first of several; the same on every processor.
 *
 * out_squared  sum over the numbers; infinite without any row
 */
size_t sample_near_best(
    const struct sample_near *near, const float *row, float *out_squared);

/* The nearest rows of one, by rising distance. */
struct sample_nearest {
    float *squared; /* k */
    uint32_t *who;  /* k */
};

/** Find the k smallest of n numbers, leaving out number `but`; n - 1 >= k >= 1. */
void sample_find_nearest(
    const float *sums, size_t n, size_t but, size_t k, struct sample_nearest *out);

#endif
