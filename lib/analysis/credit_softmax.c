/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Softmax, log-softmax and logsumexp. With L = log sum e^x: log-softmax is x - L, softmax its
 * exponential s.
 *
 * Value mode, Taylor at the point itself (AttnLRP): softmax: x_u (R_u - s_u sum R). L is
 * sum s x + H with the entropy H, so log-softmax y_u = x_u - sum s_j x_j - H, and the eps rule gives
 * each of these terms its part of a share of y_u; logsumexp likewise. What is in no x, H and
 * softmax's own constant, is CREDIT_OWN_BIAS. Logits of -inf (masked) get nothing.
 *
 * Change mode, exact: the secant slope of L by x_j is that of exp at x_j times that of log at the
 * sum. The first is the logarithmic mean of e^x before and now, the second one by the logarithmic
 * mean of the sums; their quotient q_j is taken in logarithms, so nothing overflows:
 *
 *   q_j = LM(e^x0_j, e^x1_j) / LM(e^L0, e^L1),   sum over j of q_j dx_j = dL
 *   log-softmax: dy_u = dx_u - dL;   softmax: ds_u = LM(s0_u, s1_u) dy_u
 *
 * With both sides equal q is s, and all of it is the gradient.
 *
 * Worked: x from (0, 0) to (ln 4, 0). L rises from ln 2 to ln 5, by 0.916291; q_0 is
 * (4 - 1) / ln 4 / (5 - 2) * ln(5 / 2) = 0.660964, and 0.660964 ln 4 = 0.916291.
 */

enum softmax_kind { SOFTMAX, LOG_SOFTMAX, LOGSUMEXP };

struct softmax {
    enum softmax_kind kind;
    struct credit_sides input, output;
    struct credit_groups groups;
};

/* log sum e^x of a group. */
static double log_sum(const struct softmax *softmax, const float *x, int64_t group)
{
    const struct credit_groups *g = &softmax->groups;
    const float *at = x + g->bases[group];
    double largest = -(double)INFINITY;
    for (int64_t j = 0; j < g->n_each; j++) {
        const double e = (double)at[g->offsets[j]];
        largest = e > largest || isnan(e) ? e : largest;
    }
    if (!isfinite(largest)) {
        return largest;
    }
    double sum = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        sum += exp((double)at[g->offsets[j]] - largest);
    }
    return largest + log(sum);
}

static int begin(const struct credit_io *io, struct softmax *softmax)
{
    *softmax =
        (struct softmax){.kind = strstr(io->op->name, "logsumexp") != NULL ? LOGSUMEXP
                                 : strstr(io->op->name, "log") != NULL     ? LOG_SOFTMAX
                                                                           : SOFTMAX};
    int rc = credit_input(io, 0, &softmax->input);
    rc = rc == 0 ? credit_output(io, 0, &softmax->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (softmax->input.now == NULL || softmax->output.array == NULL) {
        return BARO_ENOENT;
    }
    bool is_reduced[BARO_MAX_DIMS];
    rc = credit_reduced_axes(io, "dim", softmax->input.array, is_reduced);
    rc = rc == 0 ? credit_groups_init(&softmax->groups, softmax->input.array, is_reduced)
                 : rc;
    if (rc != 0) {
        return rc;
    }
    const int64_t n_out =
        softmax->kind == LOGSUMEXP ? softmax->groups.n_groups : softmax->input.n;
    if (softmax->groups.is_partial || softmax->output.n != n_out) {
        credit_groups_finish(&softmax->groups);
        return BARO_EUNSUPPORTED;
    }
    return 0;
}

/* What is known of the output that element j of a group stands for; of logsumexp there is one. */
static double known(
    const struct softmax *softmax, const float *from, int64_t group, int64_t j)
{
    const struct credit_groups *g = &softmax->groups;
    return (double)(softmax->kind == LOGSUMEXP ? from[group]
                                               : from[g->bases[group] + g->offsets[j]]);
}

/* Softmax's Taylor rule on one group. */
static void value_softmax(
    const struct credit_io *io, const struct softmax *softmax, int64_t group, double l)
{
    const struct credit_groups *g = &softmax->groups;
    const float *x = softmax->input.now + g->bases[group];
    double all = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        all += known(softmax, softmax->output.from, group, j);
    }
    double given = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const double s = exp((double)x[g->offsets[j]] - l);
        const double share = known(softmax, softmax->output.from, group, j);
        const double e = (double)x[g->offsets[j]];
        const double part = isfinite(e) ? e * (share - s * all) : 0;
        given += part;
        if (share != 0 && isfinite(e)) {
            credit_raise(io, fabs(e) * (1 - s));
        }
        if (softmax->input.to != NULL) {
            softmax->input.to[g->bases[group] + g->offsets[j]] += (float)part;
        }
    }
    io->own[CREDIT_OWN_BIAS] += all - given;
}

/* The terms of log-softmax and logsumexp on one group. */
static void value_log(const struct credit_io *io, const struct softmax *softmax,
    int64_t group, double l, double eps)
{
    const struct credit_groups *g = &softmax->groups;
    const bool is_sum = softmax->kind == LOGSUMEXP;
    const float *x = softmax->input.now + g->bases[group];
    double all = 0; /* of the quotients */
    for (int64_t j = 0; j < (is_sum ? 1 : g->n_each); j++) {
        const double y = is_sum ? l : (double)x[g->offsets[j]] - l;
        all += credit_ratio(known(softmax, softmax->output.from, group, j), y, eps);
    }
    double entropy = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const double e = (double)x[g->offsets[j]];
        const double s = exp(e - l);
        const double own =
            is_sum
                ? 0
                : credit_ratio(known(softmax, softmax->output.from, group, j), e - l, eps);
        if (!isfinite(e)) {
            continue; /* masked */
        }
        entropy -= s * (e - l);
        if (softmax->input.to != NULL) {
            softmax->input.to[g->bases[group] + g->offsets[j]] +=
                (float)(e * (is_sum ? s * all : own - s * all));
        }
    }
    io->own[CREDIT_OWN_BIAS] += (is_sum ? entropy : -entropy) * all;
}

static int softmax_value(const struct credit_io *io)
{
    struct softmax softmax;
    int rc = begin(io, &softmax);
    if (rc != 0) {
        return rc;
    }
    const double eps =
        softmax.output.now != NULL && softmax.output.from != NULL
            ? credit_eps(softmax.output.now, softmax.output.from, softmax.output.n)
            : 0;
    const int64_t n = softmax.output.from != NULL ? softmax.groups.n_groups : 0;
    for (int64_t group = 0; group < n; group++) {
        const double l = log_sum(&softmax, softmax.input.now, group);
        if (!isfinite(l)) {
            continue; /* wholly masked, or broken: the core has it */
        }
        if (softmax.kind == SOFTMAX) {
            value_softmax(io, &softmax, group, l);
        } else {
            value_log(io, &softmax, group, l, eps);
        }
    }
    credit_groups_finish(&softmax.groups);
    return 0;
}

/* Slopes of one group; room has two numbers for each of its elements. */
static void slopes_group(
    const struct softmax *softmax, int64_t group, const double l[2], double *room)
{
    const struct credit_groups *g = &softmax->groups;
    const bool is_compared = softmax->input.now != softmax->input.before;
    const double log_secant = credit_log_secant_exp(l[0], l[1]);
    double *own = room;
    double *q = room + g->n_each;
    double all = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        const double x[2] = {
            (double)softmax->input.before[e], (double)softmax->input.now[e]};
        q[j] = exp(credit_log_secant_exp(x[0], x[1]) - log_secant);
        own[j] = known(softmax, softmax->output.from, group, j);
        if (softmax->kind == SOFTMAX && own[j] != 0) { /* through the exponential */
            own[j] *=
                is_compared ? exp(credit_log_secant_exp(x[0] - l[0], x[1] - l[1])) : q[j];
        }
        all += own[j];
    }
    if (softmax->kind == LOGSUMEXP) {
        all = -known(softmax, softmax->output.from, group, 0);
        memset(own, 0, (size_t)g->n_each * sizeof *own);
    }
    for (int64_t j = 0; j < g->n_each; j++) {
        softmax->input.to[g->bases[group] + g->offsets[j]] +=
            (float)(own[j] - (q[j] > 0 ? q[j] * all : 0));
    }
}

static int softmax_slopes(const struct credit_io *io)
{
    struct softmax softmax;
    int rc = begin(io, &softmax);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = softmax.output.from != NULL && softmax.input.to != NULL;
    baro_autofree double *room =
        baro_xcalloc(2 * (size_t)softmax.groups.n_each, sizeof *room);
    for (int64_t group = 0; has_work && group < softmax.groups.n_groups; group++) {
        const double now = log_sum(&softmax, softmax.input.now, group);
        const double l[2] = {softmax.input.now == softmax.input.before
                                 ? now
                                 : log_sum(&softmax, softmax.input.before, group),
            now};
        if (isfinite(l[0]) && isfinite(l[1])) {
            slopes_group(&softmax, group, l, room);
        }
    }
    credit_groups_finish(&softmax.groups);
    return 0;
}

static int softmax_forward(const struct credit_io *io)
{
    struct softmax softmax;
    int rc = begin(io, &softmax);
    if (rc != 0) {
        return rc;
    }
    const float *in = io->tangent_in[0];
    float *out = io->tangent_out[0];
    const struct credit_groups *g = &softmax.groups;
    for (int64_t group = 0; in != NULL && out != NULL && group < g->n_groups; group++) {
        const double l = log_sum(&softmax, softmax.input.now, group);
        double mean = 0;
        for (int64_t j = 0; j < g->n_each; j++) {
            const int64_t e = g->bases[group] + g->offsets[j];
            mean += exp((double)softmax.input.now[e] - l) * (double)in[e];
        }
        if (softmax.kind == LOGSUMEXP) {
            out[group] += (float)mean;
            continue;
        }
        for (int64_t j = 0; j < g->n_each; j++) {
            const int64_t e = g->bases[group] + g->offsets[j];
            const double s =
                softmax.kind == SOFTMAX ? exp((double)softmax.input.now[e] - l) : 1;
            out[e] += (float)(s * ((double)in[e] - mean));
        }
    }
    credit_groups_finish(&softmax.groups);
    return 0;
}

const struct credit_rule credit_rules_softmax[] = {
    {"_softmax softmax _safe_softmax _log_softmax log_softmax logsumexp", softmax_value,
        softmax_slopes, softmax_slopes, softmax_forward},
    {0},
};
