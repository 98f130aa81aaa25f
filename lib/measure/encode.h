/* SPDX-License-Identifier: Apache-2.0 */
/* From a summary to the payload of a READING_SUMMARY. */
#ifndef BARO_ENCODE_H
#define BARO_ENCODE_H

#include "lib/base/reading.h"
#include "lib/simd/summarise.h"

enum { ENCODE_MAX_BINS = 2 * BARO_HIST_BINS };

/* Where the first bad element lies; -1 where it cannot be said. */
struct encode_place {
    int64_t unit;
    int64_t row;
};

/**
 * Tell unit and row of a row-major index.
 *
 * index      -1: none
 * unit_axis  BARO_NO_UNITS for none
 * has_rows   axis 0 counts the rows of a batch, unless it is the unit axis
 */
struct encode_place encode_place(
    const struct baro_span *span, int64_t index, int unit_axis, bool has_rows);

/**
 * Write the doubles of a summary in the order of enum summary_stat.
 *
 * Mean, variance and norms of elements with 24 significant bits or fewer keep 24 themselves: what
 * lies behind is the rounding of their sum.
 *
 * out    SUMMARY_STAT_COUNT
 * dtype  of the elements
 */
void encode_summary(double *out, const struct baro_summary *summary,
    const struct baro_hist *hist, const struct encode_place *place, enum baro_dtype dtype);

/**
 * Write the filled bins by rising exponent, negative before positive.
 *
 * out      ENCODE_MAX_BINS
 * returns  how many
 */
size_t encode_bins(struct reading_bin *out, const struct baro_hist *hist);

#endif
