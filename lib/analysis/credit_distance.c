/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"

/*
 * Distances of all rows of one matrix to all rows of another (cdist), in a batch of pairs of them:
 * y_ij = (sum over k of |a_ik - b_jk|^p)^(1/p).
 *
 * As of a norm (credit_reduce.c): with d = a - b, change mode has the secant of |d|^p by that of
 * y^p; for p = 2 that is (d0 + d1) dd / (y0 + y1), exact. Both rows have their own part of dd = da -
 * db. Without a change in between it is the gradient; the distance 0 has none, as torch has it.
 * Value mode: by |d|^p, half to either row.
 *
 * Worked: (3, 4) from (0, 0) is 5; (0, 4) is 4: the first coordinate did -3 * 3 / 9 = -1, all of it.
 */

struct distances {
    struct credit_sides a, b, output;
    int64_t pairs, n_a, n_b, width;
    double p;
};

static int begin(const struct credit_io *io, struct distances *d)
{
    *d = (struct distances){.p = credit_attr(io, "p", 0, 2), .pairs = 1};
    int rc = credit_input(io, 0, &d->a);
    rc = rc == 0 ? credit_input(io, 1, &d->b) : rc;
    rc = rc == 0 ? credit_output(io, 0, &d->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (d->a.now == NULL || d->b.now == NULL || d->output.array == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *a = d->a.array;
    const struct credit_array *b = d->b.array;
    if (a->n_dims < 2 || a->n_dims != b->n_dims || !(d->p > 0) || !isfinite(d->p)) {
        return BARO_EUNSUPPORTED;
    }
    for (int i = 0; i < a->n_dims - 2; i++) {
        d->pairs *= a->shape[i];
        if (a->shape[i] != b->shape[i]) {
            return BARO_EUNSUPPORTED;
        }
    }
    d->n_a = a->shape[a->n_dims - 2];
    d->n_b = b->shape[b->n_dims - 2];
    d->width = a->shape[a->n_dims - 1];
    return b->shape[b->n_dims - 1] == d->width && d->output.n == d->pairs * d->n_a * d->n_b
               ? 0
               : BARO_EUNSUPPORTED;
}

/* Where the rows of an output begin. */
static int64_t row_a(const struct distances *d, int64_t out)
{
    return out / d->n_b * d->width;
}

static int64_t row_b(const struct distances *d, int64_t out)
{
    return (out / (d->n_a * d->n_b) * d->n_b + out % d->n_b) * d->width;
}

static double length_of(
    const struct distances *d, const float *a, const float *b, int64_t out)
{
    double sum = 0;
    for (int64_t k = 0; k < d->width; k++) {
        sum += pow(fabs((double)a[row_a(d, out) + k] - (double)b[row_b(d, out) + k]), d->p);
    }
    return pow(sum, 1 / d->p);
}

/* Secant of |x|^p between two numbers of any sign. */
static double secant_of_power(double x0, double x1, double p)
{
    return credit_secant_abs(x0, x1) * credit_secant_pow(fabs(x0), fabs(x1), p);
}

static void slopes_of(const struct distances *d, int64_t out)
{
    const double from = (double)d->output.from[out];
    const double y[2] = {
        length_of(d, d->a.before, d->b.before, out), length_of(d, d->a.now, d->b.now, out)};
    const double by = credit_secant_pow(y[0], y[1], d->p);
    for (int64_t k = 0; by > 0 && k < d->width; k++) {
        const int64_t i = row_a(d, out) + k;
        const int64_t j = row_b(d, out) + k;
        const double x[2] = {(double)d->a.before[i] - (double)d->b.before[j],
            (double)d->a.now[i] - (double)d->b.now[j]};
        const double slope = from * secant_of_power(x[0], x[1], d->p) / by;
        if (d->a.to != NULL) {
            d->a.to[i] += (float)slope;
        }
        if (d->b.to != NULL) {
            d->b.to[j] -= (float)slope;
        }
    }
}

static void shares_of(const struct distances *d, int64_t out)
{
    const double whole = pow(length_of(d, d->a.now, d->b.now, out), d->p);
    const double from = (double)d->output.from[out];
    const int n_to = (d->a.to != NULL) + (d->b.to != NULL);
    for (int64_t k = 0; n_to > 0 && k < d->width; k++) {
        const int64_t i = row_a(d, out) + k;
        const int64_t j = row_b(d, out) + k;
        const double x = fabs((double)d->a.now[i] - (double)d->b.now[j]);
        const double part = whole > 0 ? pow(x, d->p) / whole : 1 / (double)d->width;
        if (d->a.to != NULL) {
            d->a.to[i] += (float)(from * part / n_to);
        }
        if (d->b.to != NULL) {
            d->b.to[j] += (float)(from * part / n_to);
        }
    }
}

/* All modes. */
static int distances_any(const struct credit_io *io)
{
    struct distances d;
    const int rc = begin(io, &d);
    for (int64_t out = 0; rc == 0 && d.output.from != NULL && out < d.output.n; out++) {
        if (d.output.from[out] == 0) {
            continue;
        }
        if (io->mode == CREDIT_VALUE) {
            shares_of(&d, out);
        } else {
            slopes_of(&d, out);
        }
    }
    return rc;
}

static int distances_forward(const struct credit_io *io)
{
    struct distances d;
    const int rc = begin(io, &d);
    float *tangent = io->tangent_out[0];
    for (int64_t out = 0; rc == 0 && tangent != NULL && out < d.output.n; out++) {
        const double y = length_of(&d, d.a.now, d.b.now, out);
        const double by = credit_secant_pow(y, y, d.p);
        double sum = 0;
        for (int64_t k = 0; by > 0 && k < d.width; k++) {
            const int64_t i = row_a(&d, out) + k;
            const int64_t j = row_b(&d, out) + k;
            const double x = (double)d.a.now[i] - (double)d.b.now[j];
            const double of_a =
                io->tangent_in[0] != NULL ? (double)io->tangent_in[0][i] : 0;
            const double of_b =
                io->tangent_in[1] != NULL ? (double)io->tangent_in[1][j] : 0;
            sum += secant_of_power(x, x, d.p) / by * (of_a - of_b);
        }
        tangent[out] += (float)sum;
    }
    return rc;
}

const struct credit_rule credit_rules_distance[] = {
    {"_cdist_forward cdist _euclidean_dist", distances_any, distances_any, distances_any,
        distances_forward},
    {0},
};
