/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percentiles of a histogram whose bins are signed powers of two: as exact as the bins are, and
 * saying so.
 */
#ifndef BARO_POWERS_H
#define BARO_POWERS_H

#include <stddef.h>

/**
 * Find where a quantile lies in a histogram.
 *
 * shares   n_bins, from the smallest value to the largest; NaN and negative ones count as none
 * q        0 to 1
 * returns  0 to n_bins: bin and, behind the point, how far into it the quantile would lie if the
 *          elements of a bin were even in it; NaN of nothing. What is true whatever the bin
 *          holds: the quantile lies in the bin of that number (or ends at its lower edge).
 */
double powers_place(const float *shares, size_t n_bins, double q);

/**
 * Tell the values that a place may stand for.
 *
 * n_exps     exponents shown: bins are n_exps negative ones, zero, n_exps positive ones
 * first_exp  the smallest of them; its bins hold all smaller magnitudes, too
 * out        lo <= value < hi; both 0 for the bin of zeros
 */
void powers_bounds(
    int first_exp, size_t n_exps, double place, double *out_lo, double *out_hi);

#endif
