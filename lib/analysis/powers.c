/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/powers.h"

#include <math.h>

/*
 * Question: of each tensor and step there is a histogram by powers of two. Where are its
 * percentiles, for bands and ridges over time, and how sure is that?
 *
 * Method: the cumulated share is found exactly at the edges of bins; within one the elements are
 * taken as even in the space of the bins (log2 of the magnitude). The place returned can be wrong
 * by less than one bin, a factor of two in value, and never lies in a wrong bin: cumulated shares
 * decide that. What is drawn from it is drawn in the space of the bins with their edges as the grid.
 *
 * Worked: shares 0.25, 0.5, 0.25 of three bins: the median is reached half way through the second,
 * place 1.5; q = 0.25 at place 1, the edge; q = 0.9 at 2 + 0.15 / 0.25 = 2.6.
 */

static double share_at(const float *shares, size_t i)
{
    return shares[i] > 0 ? (double)shares[i] : 0;
}

double powers_place(const float *shares, size_t n_bins, double q)
{
    double total = 0;
    for (size_t i = 0; i < n_bins; i++) {
        total += share_at(shares, i);
    }
    if (!(total > 0)) {
        return (double)NAN;
    }
    double wanted = fmin(fmax(q, 0), 1) * total;
    double below = 0;
    double end = 0; /* upper edge of the last bin that holds any */
    for (size_t i = 0; i < n_bins; i++) {
        double share = share_at(shares, i);
        if (share > 0 && below + share >= wanted) {
            return (double)i + fmin(fmax((wanted - below) / share, 0), 1);
        }
        below += share;
        end = share > 0 ? (double)i + 1 : end;
    }
    return end; /* rounding */
}

void powers_bounds(
    int first_exp, size_t n_exps, double place, double *out_lo, double *out_hi)
{
    double last = 2 * (double)n_exps;
    long bin = lround(floor(fmin(fmax(place, 0), last)));
    long zero = (long)n_exps;
    *out_lo = *out_hi = 0;
    if (bin == zero) {
        return;
    }
    long at =
        bin < zero ? zero - 1 - bin : bin - zero - 1; /* from the smallest magnitude */
    double least = at == 0 ? 0 : ldexp(1, first_exp + (int)at);
    double most = ldexp(1, first_exp + (int)at + 1);
    *out_lo = bin < zero ? -most : least;
    *out_hi = bin < zero ? -least : most;
}
