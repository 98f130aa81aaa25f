/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Reductions to sums and products. Value mode: sums and means by the eps rule; a variance, a
 * deviation or a p-norm by what each element has of its sum, (x - mu)^2 or |x|^p; a product evenly.
 *
 * Change mode, exact, with N elements in a group and the bar for the mean of both sides:
 *
 *   sum, mean       dx, dx / N
 *   variance        2 bar(x - mu) dx / (N - correction), as bar(x - mu) sums to 0
 *   deviation       the same by (sd0 + sd1)
 *   norm            secant of |x|^p by the one of norm^p; for p = 2 (x0 + x1) / (norm0 + norm1)
 *   product         the telescope prod(x1 before j) dx_j prod(x0 after j), the mean of both ways
 *                   round
 *   running sum     each element goes into all sums from it on
 *
 * and with both sides equal these are the gradients. N counts the samples that were not kept, too;
 * what those did is left over.
 *
 * Worked: product of (2, 3) to (4, 5): 14 = 2 bar(3, 5) + 2 bar(2, 4) = 8 + 6.
 */

struct reduce {
    struct credit_sides input, output;
    struct credit_groups groups;
};

static const double least_root = 1e-6; /* under it the slope of a root is called singular */

static int begin(const struct credit_io *io, struct reduce *reduce)
{
    *reduce = (struct reduce){0};
    bool is_reduced[BARO_MAX_DIMS];
    int rc = credit_input(io, 0, &reduce->input);
    rc = rc == 0 ? credit_output(io, 0, &reduce->output) : rc;
    if (rc == 0 && (reduce->input.now == NULL || reduce->output.array == NULL)) {
        rc = io->n_out > 0 && io->out[0].value == NULL ? 0 : BARO_ENOENT;
    }
    rc = rc == 0 ? credit_reduced_axes(io, "dim", reduce->input.array, is_reduced) : rc;
    rc =
        rc == 0 ? credit_groups_init(&reduce->groups, reduce->input.array, is_reduced) : rc;
    return rc;
}

/* Likewise, of an operation with one result for each group. */
static int begin_single(const struct credit_io *io, struct reduce *reduce)
{
    int rc = begin(io, reduce);
    if (rc == 0 && reduce->output.array != NULL &&
        reduce->output.n != reduce->groups.n_groups) {
        credit_groups_finish(&reduce->groups);
        rc = BARO_EUNSUPPORTED;
    }
    return rc;
}

static bool is_mean(const struct credit_io *io)
{
    return strncmp(io->op->name, "mean", 4) == 0;
}

static int sum_value(const struct credit_io *io)
{
    struct reduce r;
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    rc = has_work && r.output.now == NULL ? BARO_ENOENT : 0;
    const double factor = is_mean(io) ? 1 / r.groups.n_full : 1;
    const double eps =
        rc == 0 && has_work ? credit_eps(r.output.now, r.output.from, r.output.n) : 0;
    for (int64_t g = 0; rc == 0 && has_work && g < r.groups.n_groups; g++) {
        const double ratio =
            credit_ratio((double)r.output.from[g], (double)r.output.now[g], eps);
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            if (ratio != 0 && isfinite(r.input.now[e])) {
                r.input.to[e] += (float)(factor * ratio * (double)r.input.now[e]);
            }
        }
    }
    credit_groups_finish(&r.groups);
    return rc;
}

static int sum_slopes(const struct credit_io *io)
{
    struct reduce r;
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    const double factor = is_mean(io) ? 1 / r.groups.n_full : 1;
    for (int64_t g = 0; has_work && g < r.groups.n_groups; g++) {
        const float slope = (float)(factor * (double)r.output.from[g]);
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            r.input.to[r.groups.bases[g] + r.groups.offsets[j]] += slope;
        }
    }
    credit_groups_finish(&r.groups);
    return 0;
}

static int sum_forward(const struct credit_io *io)
{
    struct reduce r;
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    const double factor = is_mean(io) ? 1 / r.groups.n_full : 1;
    for (int64_t g = 0; has_work && g < r.groups.n_groups; g++) {
        double sum = 0;
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            sum += (double)io->tangent_in[0][r.groups.bases[g] + r.groups.offsets[j]];
        }
        io->tangent_out[0][g] += (float)(factor * sum);
    }
    credit_groups_finish(&r.groups);
    return 0;
}

/* Running sums: outputs lie as the inputs do. */
static int begin_running(const struct credit_io *io, struct reduce *reduce)
{
    int rc = begin(io, reduce);
    if (rc == 0 && (reduce->output.n != reduce->input.n || reduce->groups.is_partial)) {
        credit_groups_finish(&reduce->groups);
        rc = BARO_EUNSUPPORTED;
    }
    return rc;
}

/* Both modes: from the last to the first, the sum of what is known of all outputs from here on. */
static int running_any(const struct credit_io *io)
{
    struct reduce r;
    int rc = begin_running(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool is_value = io->mode == CREDIT_VALUE;
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    rc = has_work && is_value && r.output.now == NULL ? BARO_ENOENT : 0;
    const double eps = rc == 0 && has_work && is_value
                           ? credit_eps(r.output.now, r.output.from, r.output.n)
                           : 0;
    for (int64_t g = 0; rc == 0 && has_work && g < r.groups.n_groups; g++) {
        double sum = 0;
        for (int64_t j = r.groups.n_each - 1; j >= 0; j--) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            const double from = (double)r.output.from[e];
            sum += is_value ? credit_ratio(from, (double)r.output.now[e], eps) : from;
            r.input.to[e] += (float)(is_value ? sum * (double)r.input.now[e] : sum);
        }
    }
    credit_groups_finish(&r.groups);
    return rc;
}

static int running_forward(const struct credit_io *io)
{
    struct reduce r;
    int rc = begin_running(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    for (int64_t g = 0; has_work && g < r.groups.n_groups; g++) {
        double sum = 0;
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            sum += (double)io->tangent_in[0][e];
            io->tangent_out[0][e] += (float)sum;
        }
    }
    credit_groups_finish(&r.groups);
    return 0;
}

/* Variance or deviation, perhaps with the mean as second output. */
struct spread {
    struct reduce r;
    struct credit_sides mean;
    bool is_root;
    double divisor;
};

static int begin_spread(const struct credit_io *io, struct spread *spread)
{
    int rc = begin_single(io, &spread->r);
    if (rc != 0) {
        return rc;
    }
    rc = strstr(io->op->name, "_mean") != NULL ? credit_output(io, 1, &spread->mean) : 0;
    spread->is_root = strncmp(io->op->name, "std", 3) == 0;
    const double correction =
        credit_attr(io, "correction", 0, credit_attr(io, "unbiased", 0, 1));
    spread->divisor = spread->r.groups.n_full - correction;
    if (rc == 0 && !(spread->divisor > 0)) {
        rc = BARO_EUNSUPPORTED;
    }
    if (rc != 0) {
        credit_groups_finish(&spread->r.groups);
    }
    return rc;
}

/* The mean of a group: of its elements, or as it was recorded where some are missing. */
static double group_mean(
    const struct spread *spread, int64_t g, bool is_now, const struct credit_io *io)
{
    const struct reduce *r = &spread->r;
    const float *mean = is_now ? spread->mean.now : spread->mean.before;
    const struct credit_array *array = is_now || io->in0 == NULL ? io->in : io->in0;
    if (r->groups.is_partial && mean != NULL) {
        return (double)mean[g];
    }
    if (r->groups.is_partial) { /* known only of the whole array */
        return r->groups.n_groups == 1 ? array[0].value->mean : (double)NAN;
    }
    const float *x = is_now ? r->input.now : r->input.before;
    double sum = 0;
    for (int64_t j = 0; j < r->groups.n_each; j++) {
        sum += (double)x[r->groups.bases[g] + r->groups.offsets[j]];
    }
    return sum / r->groups.n_full;
}

/* The root of the variance of a group, in f64 where all elements are there. */
static double group_deviation(
    const struct spread *spread, int64_t g, bool is_now, double mean)
{
    const struct reduce *r = &spread->r;
    const float *x = is_now ? r->input.now : r->input.before;
    const float *recorded = is_now ? r->output.now : r->output.before;
    if (r->groups.is_partial && recorded != NULL) {
        return spread->is_root ? (double)recorded[g] : sqrt((double)recorded[g]);
    }
    double sum = 0;
    for (int64_t j = 0; j < r->groups.n_each; j++) {
        const double c = (double)x[r->groups.bases[g] + r->groups.offsets[j]] - mean;
        sum += c * c;
    }
    return sqrt(sum / spread->divisor);
}

/* Spread what came to one group: value mode by squares, else by slopes. */
static void spread_group(const struct credit_io *io, const struct spread *spread, int64_t g)
{
    const struct reduce *r = &spread->r;
    const bool is_value = io->mode == CREDIT_VALUE;
    const double mean1 = group_mean(spread, g, true, io);
    const double mean0 = group_mean(spread, g, false, io);
    const double sd1 = group_deviation(spread, g, true, mean1);
    const double sd0 = group_deviation(spread, g, false, mean0);
    const double from = r->output.from != NULL ? (double)r->output.from[g] : 0;
    const double from_mean = spread->mean.from != NULL ? (double)spread->mean.from[g] : 0;
    const double root = spread->is_root ? sd0 + sd1 : 1;
    if (!(sd1 > least_root)) {
        credit_mark_singular(io);
    }
    for (int64_t j = 0; j < r->groups.n_each; j++) {
        const int64_t e = r->groups.bases[g] + r->groups.offsets[j];
        const double x1 = (double)r->input.now[e];
        const double c = 0.5 * (x1 - mean1 + (double)r->input.before[e] - mean0);
        double part = 0;
        if (is_value) {
            part = credit_ratio(from * c * c, sd1 * sd1 * spread->divisor, 0) +
                   credit_ratio(from_mean * x1, mean1 * r->groups.n_full, 0);
        } else {
            part = credit_ratio(from * 2 * c, root * spread->divisor, 0) +
                   from_mean / r->groups.n_full;
        }
        r->input.to[e] += (float)part;
    }
}

static int spread_any(const struct credit_io *io)
{
    struct spread spread = {0};
    int rc = begin_spread(io, &spread);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = (spread.r.output.from != NULL || spread.mean.from != NULL) &&
                          spread.r.input.to != NULL;
    if (has_work && isnan(group_mean(&spread, 0, true, io)) && spread.r.groups.is_partial) {
        rc = BARO_ENOENT;
    }
    for (int64_t g = 0; rc == 0 && has_work && g < spread.r.groups.n_groups; g++) {
        spread_group(io, &spread, g);
    }
    credit_groups_finish(&spread.r.groups);
    return rc;
}

static int spread_forward(const struct credit_io *io)
{
    struct spread spread = {0};
    int rc = begin_spread(io, &spread);
    if (rc != 0) {
        return rc;
    }
    const struct credit_groups *groups = &spread.r.groups;
    const float *in = io->tangent_in[0];
    for (int64_t g = 0; in != NULL && g < groups->n_groups; g++) {
        const double mean = group_mean(&spread, g, true, io);
        const double sd = group_deviation(&spread, g, true, mean);
        double sum = 0;
        double sum_c = 0;
        for (int64_t j = 0; j < groups->n_each; j++) {
            const int64_t e = groups->bases[g] + groups->offsets[j];
            sum += (double)in[e];
            sum_c += (double)in[e] * ((double)spread.r.input.now[e] - mean);
        }
        if (io->tangent_out[0] != NULL) {
            io->tangent_out[0][g] += (float)credit_ratio(
                2 * sum_c, spread.divisor * (spread.is_root ? 2 * sd : 1), 0);
        }
        if (spread.mean.array != NULL && io->tangent_out[1] != NULL) {
            io->tangent_out[1][g] += (float)(sum / groups->n_full);
        }
    }
    credit_groups_finish(&spread.r.groups);
    return 0;
}

/* The order of a norm: 2 unless it says otherwise. */
static double order_of(const struct credit_io *io)
{
    return credit_attr(io, "ord", 0, credit_attr(io, "p", 0, 2));
}

/* The norm of a group, in f64 where all elements are there. */
static double group_norm(const struct reduce *r, int64_t g, bool is_now, double p)
{
    const float *x = is_now ? r->input.now : r->input.before;
    const float *recorded = is_now ? r->output.now : r->output.before;
    if (recorded != NULL && (r->groups.is_partial || isinf(p))) {
        return (double)recorded[g];
    }
    double sum = 0;
    for (int64_t j = 0; j < r->groups.n_each; j++) {
        sum += pow(fabs((double)x[r->groups.bases[g] + r->groups.offsets[j]]), p);
    }
    return pow(sum, 1 / p);
}

/* The slope by one element: secants of |x|, its power and the root. */
static double norm_slope(double x0, double x1, double norm0, double norm1, double p)
{
    if (p == 2) {
        return credit_ratio(x0 + x1, norm0 + norm1, 0);
    }
    if (p == 1) {
        return credit_secant_abs(x0, x1);
    }
    return credit_ratio(
        credit_secant_pow(fabs(x0), fabs(x1), p) * credit_secant_abs(x0, x1),
        credit_secant_pow(norm0, norm1, p), 0);
}

static int norm_any(const struct credit_io *io)
{
    struct reduce r;
    const double p = order_of(io);
    if (!(p > 0) || isinf(p)) {
        return BARO_EUNSUPPORTED;
    }
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    for (int64_t g = 0; has_work && g < r.groups.n_groups; g++) {
        const double norm1 = group_norm(&r, g, true, p);
        const double norm0 = group_norm(&r, g, false, p);
        const double from = (double)r.output.from[g];
        if (!(norm1 > least_root)) {
            credit_mark_singular(io);
        }
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            const double x1 = (double)r.input.now[e];
            const double x0 = (double)r.input.before[e];
            const double part = io->mode == CREDIT_VALUE
                                    ? credit_ratio(pow(fabs(x1), p), pow(norm1, p), 0)
                                    : norm_slope(x0, x1, norm0, norm1, p);
            r.input.to[e] += (float)(from * part);
        }
    }
    credit_groups_finish(&r.groups);
    return 0;
}

static int norm_forward(const struct credit_io *io)
{
    struct reduce r;
    const double p = order_of(io);
    if (!(p > 0) || isinf(p)) {
        return BARO_EUNSUPPORTED;
    }
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    for (int64_t g = 0; has_work && g < r.groups.n_groups; g++) {
        const double norm = group_norm(&r, g, true, p);
        double sum = 0;
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            const double x = (double)r.input.now[e];
            sum += norm_slope(x, x, norm, norm, p) * (double)io->tangent_in[0][e];
        }
        io->tangent_out[0][g] += (float)sum;
    }
    credit_groups_finish(&r.groups);
    return 0;
}

/* Slopes of a product by each of its elements: the mean of both telescopes. */
static void product_slopes(const struct reduce *r, int64_t g, double *slopes)
{
    const int64_t base = r->groups.bases[g];
    double after0 = 1;
    double after1 = 1;
    double *suffix0 = slopes;
    double *suffix1 = slopes + r->groups.n_each;
    for (int64_t j = r->groups.n_each - 1; j >= 0; j--) {
        const int64_t e = base + r->groups.offsets[j];
        suffix0[j] = after0;
        suffix1[j] = after1;
        after0 *= (double)r->input.before[e];
        after1 *= (double)r->input.now[e];
    }
    double before0 = 1;
    double before1 = 1;
    for (int64_t j = 0; j < r->groups.n_each; j++) {
        const int64_t e = base + r->groups.offsets[j];
        slopes[j] = 0.5 * (before1 * suffix0[j] + before0 * suffix1[j]);
        before0 *= (double)r->input.before[e];
        before1 *= (double)r->input.now[e];
    }
}

/* All modes; with tangents the way forward. */
static int product_any(const struct credit_io *io, const float *in, float *out)
{
    struct reduce r;
    int rc = begin_single(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool is_value = io->mode == CREDIT_VALUE && out == NULL;
    if (r.groups.is_partial && !is_value) {
        credit_groups_finish(&r.groups);
        return BARO_ENOENT;
    }
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    baro_autofree double *slopes =
        baro_xcalloc(2 * (size_t)r.groups.n_each, sizeof *slopes);
    for (int64_t g = 0; (has_work || out != NULL) && g < r.groups.n_groups; g++) {
        product_slopes(&r, g, slopes);
        for (int64_t j = 0; j < r.groups.n_each; j++) {
            const int64_t e = r.groups.bases[g] + r.groups.offsets[j];
            if (out != NULL) {
                out[g] += (float)(slopes[j] * (double)in[e]);
            } else {
                r.input.to[e] += (float)((double)r.output.from[g] *
                                         (is_value ? 1 / r.groups.n_full : slopes[j]));
            }
        }
    }
    credit_groups_finish(&r.groups);
    return 0;
}

static int product_back(const struct credit_io *io)
{
    return product_any(io, NULL, NULL);
}

static int product_forward(const struct credit_io *io)
{
    const bool has_work = io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    return has_work ? product_any(io, io->tangent_in[0], io->tangent_out[0]) : 0;
}

const struct credit_rule credit_rules_reduce[] = {
    {"sum mean nansum", sum_value, sum_slopes, sum_slopes, sum_forward},
    {"cumsum", running_any, running_any, running_any, running_forward},
    {"var std var_mean std_mean", spread_any, spread_any, spread_any, spread_forward},
    {"norm linalg_vector_norm", norm_any, norm_any, norm_any, norm_forward},
    {"prod", product_back, product_back, product_back, product_forward},
    {0},
};
