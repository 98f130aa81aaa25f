/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/robust.h"

#include <stdbool.h>
#include <string.h>

/*
 * Median and MAD of a sliding window, kept sorted: a new reading is put into its place by binary
 * search and one memmove, the oldest is taken out likewise, at most 1 KiB moves. The MAD needs no
 * second sort: the n / 2 smallest distances lie around the median.
 *
 * Worked: of 1, 2, 3, 4, 100 the median is 3 and the MAD 1 (distances 2, 1, 0, 1, 97).
 */

static const double clip_score = 3.0;

/* First place in the sorted window whose value is not below. */
static size_t lower_bound(const double *sorted, size_t n, double value)
{
    size_t low = 0;
    while (n > 0) {
        size_t half = n / 2;
        bool is_below = sorted[low + half] < value;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low;
}

/* Put a value where another leaves: only what lies between the two moves. */
static void replace(double *sorted, double old, double value)
{
    size_t from = lower_bound(sorted, ROBUST_WINDOW, old);
    size_t to = lower_bound(sorted, ROBUST_WINDOW, value);
    if (to > from) {
        to--;
        memmove(sorted + from, sorted + from + 1, (to - from) * sizeof *sorted);
    } else {
        memmove(sorted + to + 1, sorted + to, (from - to) * sizeof *sorted);
    }
    sorted[to] = value;
}

void robust_push(struct robust *robust, double value)
{
    double *sorted = robust->sorted;
    if (robust->n == ROBUST_WINDOW) {
        replace(sorted, robust->ring[robust->next], value);
    } else {
        size_t at = lower_bound(sorted, robust->n, value);
        memmove(sorted + at + 1, sorted + at, (robust->n - at) * sizeof *sorted);
        sorted[at] = value;
        robust->n++;
    }
    robust->ring[robust->next] = value;
    robust->next = (robust->next + 1) % ROBUST_WINDOW;
}

double robust_median(const struct robust *robust)
{
    size_t n = robust->n;
    const double *sorted = robust->sorted;
    if (n == 0) {
        return (double)NAN;
    }
    return n % 2 == 1 ? sorted[n / 2] : 0.5 * sorted[n / 2 - 1] + 0.5 * sorted[n / 2];
}

/*
 * With k values on the left of a cut and the rest on the right, distances from the median rise
 * away from it on both sides: the (n / 2)-th smallest is found by bisection over how many of them
 * are taken from the left.
 */
static double nth_distance(const struct robust *robust, double median, size_t nth)
{
    const double *sorted = robust->sorted;
    size_t n = robust->n;
    size_t middle = n / 2; /* values before it are <= median, from it on >= median */
    size_t n_right = n - middle;
    size_t low = nth + 1 > n_right ? nth + 1 - n_right : 0;
    size_t high = nth + 1 < middle ? nth + 1 : middle;
    while (low < high) { /* how many of the nth + 1 nearest lie on the left */
        size_t left = (low + high) / 2;
        size_t right = nth + 1 - left;
        double next_left = median - sorted[middle - 1 - left];
        double last_right = sorted[middle + right - 1] - median;
        if (next_left < last_right) {
            low = left + 1;
        } else {
            high = left;
        }
    }
    size_t right = nth + 1 - low;
    double a = low > 0 ? median - sorted[middle - low] : 0;
    double b = right > 0 ? sorted[middle + right - 1] - median : 0;
    return a > b ? a : b;
}

double robust_mad(const struct robust *robust, double median)
{
    size_t n = robust->n;
    if (n == 0) {
        return (double)NAN;
    }
    double upper = nth_distance(robust, median, n / 2);
    return n % 2 == 1 ? upper : 0.5 * (nth_distance(robust, median, n / 2 - 1) + upper);
}

void smooth_push(struct smooth *smooth, double value, double weight)
{
    double w = 1.0 / ((double)smooth->n + 1);
    bool is_known = w <= weight;
    w = is_known ? weight : w;
    double delta = value - smooth->mean;
    if (is_known) {
        double limit = clip_score * sqrt(smooth->var) + 1e-9 * fabs(smooth->mean);
        delta = delta > limit ? limit : delta < -limit ? -limit : delta;
    }
    smooth->mean += w * delta;
    smooth->var = (1 - w) * (smooth->var + w * delta * delta);
    smooth->n += is_known ? 0 : 1;
}
