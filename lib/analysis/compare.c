/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * Two runs of the same program differ everywhere by chance, so a difference says nothing by itself:
 * it has to be held against how much each of the two series jumps from reading to reading. Second
 * differences leave a falling loss out; their median leaves single spikes out. Of white noise of
 * standard deviation s a second difference has s * sqrt(6), and the median of the magnitudes of a
 * normal variable is 0.6745 of its deviation.
 *
 * Worked number, repeated by the test: the series 0 1 0 1 0 1 has second differences of magnitude
 * 2, so its noise is 2 / (0.6745 * 2.4495) = 1.2105.
 *
 * Known failures: a series that holds few distinct values (a learning rate) has no noise, and any
 * difference of it counts, which is what one wants of a learning rate. A difference that is there
 * from the beginning, of two seeds, parts at the first step: that is true, and said so.
 */

enum { IN_A_ROW = 3 };

static const double N_SIGMA = 5;
static const double ROUNDING = 1e-9; /* of the larger magnitude: never a difference */

double compare_weight(double a, double b, bool is_norm)
{
    if (!isfinite(a) || !isfinite(b)) {
        bool is_same = (isnan(a) && isnan(b)) || (isinf(a) && isinf(b) && a * b > 0);
        return is_same ? 0 : (double)INFINITY;
    }
    double most = fmax(fabs(a), fabs(b));
    if (!(most > 0)) {
        return 0;
    }
    return is_norm ? fabs(log2(fabs(b) / fabs(a))) : fabs(b - a) / most;
}

/* Standard deviation of the noise of a series; 0: too few readings. */
static double noise_of(const struct column *columns, size_t n, double *scratch)
{
    size_t n_found = 0;
    for (size_t i = 1; i + 1 < n; i++) {
        double bend = columns[i - 1].mean - 2 * columns[i].mean + columns[i + 1].mean;
        if (isfinite(bend)) {
            scratch[n_found++] = fabs(bend);
        }
    }
    if (n_found == 0) {
        return 0;
    }
    qsort(scratch, n_found, sizeof *scratch, baro_by_double);
    return scratch[n_found / 2] / (0.6745 * sqrt(6));
}

/* What two columns at the same steps say. */
struct meeting {
    int64_t step;
    double a, b;
};

static bool is_bit_equal(const struct column *a, const struct column *b)
{
    uint64_t bits[4];
    memcpy(&bits[0], &a->mean, sizeof bits[0]);
    memcpy(&bits[1], &b->mean, sizeof bits[1]);
    memcpy(&bits[2], &a->last, sizeof bits[2]);
    memcpy(&bits[3], &b->last, sizeof bits[3]);
    bool is_same_mean = bits[0] == bits[1] || (isnan(a->mean) && isnan(b->mean));
    bool is_same_last = bits[2] == bits[3] || (isnan(a->last) && isnan(b->last));
    return is_same_mean && is_same_last;
}

/* Columns that share steps; those of equal ones from the beginning are only counted. */
static size_t meet(const struct column *a, size_t n_a, const struct column *b, size_t n_b,
    struct meeting *out, struct compare_parting *parting)
{
    size_t n = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < n_a && j < n_b) {
        bool is_apart =
            a[i].last_step < b[j].first_step || b[j].last_step < a[i].first_step;
        if (a[i].count > 0 && b[j].count > 0 && !is_apart) {
            int64_t step =
                a[i].first_step > b[j].first_step ? a[i].first_step : b[j].first_step;
            int64_t last =
                a[i].last_step < b[j].last_step ? a[i].last_step : b[j].last_step;
            if (parting->is_equal && is_bit_equal(&a[i], &b[j])) {
                parting->equal_to = last;
            } else {
                parting->is_equal = false;
            }
            out[n++] = (struct meeting){step, a[i].mean, b[j].mean};
        }
        if (a[i].last_step <= b[j].last_step) {
            i++;
        } else {
            j++;
        }
    }
    return n;
}

static bool is_far(const struct meeting *at, double noise)
{
    if (!isfinite(at->a) || !isfinite(at->b)) {
        return compare_weight(at->a, at->b, false) > 0;
    }
    double by = fabs(at->b - at->a);
    return by > fmax(N_SIGMA * noise, ROUNDING * fmax(fabs(at->a), fabs(at->b)));
}

void compare_part(const struct column *a, size_t n_a, const struct column *b, size_t n_b,
    struct compare_parting *out)
{
    baro_autofree struct meeting *met = baro_xcalloc(n_a + n_b + 1, sizeof *met);
    baro_autofree double *scratch = baro_xcalloc(n_a + n_b + 1, sizeof *scratch);
    *out = (struct compare_parting){.is_equal = true, .equal_to = INT64_MIN};
    size_t n = meet(a, n_a, b, n_b, met, out);
    double noise_a = noise_of(a, n_a, scratch);
    double noise_b = noise_of(b, n_b, scratch);
    out->noise = sqrt(noise_a * noise_a + noise_b * noise_b);
    out->has_common = n > 0;
    out->is_equal = out->is_equal && n > 0;
    size_t in_a_row = 0;
    for (size_t i = 0; i < n && !out->has_parted; i++) {
        in_a_row = is_far(&met[i], out->noise) ? in_a_row + 1 : 0;
        bool is_left = i + 1 == n && in_a_row > 0;
        if (in_a_row == IN_A_ROW || is_left) {
            out->has_parted = true;
            out->step = met[i + 1 - in_a_row].step;
        }
    }
}
