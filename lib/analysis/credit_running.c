/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Running products and running logarithms of sums along an axis: element j goes into all results k
 * from it on, each with a weight that one pass from the end to the front adds up.
 *
 *  cumprod        y_k = x_0 ... x_k. Change, exact: the mean of both ways round of the telescope,
 *                 m_j = (P1_j S0_j + P0_j S1_j) / 2, where P_j is the product in front of j and
 *                 S_j = g_j + x_(j+1) S_(j+1). Without a change in between that is the gradient, and
 *                 nothing is divided, so zeros do no harm. Value: each result evenly, 1 / (k + 1).
 *  logcumsumexp   y_k = log sum of e^x. Change as of logsumexp (credit_softmax.c): logarithmic means
 *                 of e^x_j by those of e^y_k, m_j = sum over k of g_k LM(e^x_j) / LM(e^y_k); as y
 *                 rises with k, T_j = g_j + e^(l_j - l_(j+1)) T_(j+1) never overflows. Value: each
 *                 result by its terms s x, its entropy is own (bias).
 *
 * Worked: cumprod of (2, 3, 4) is (2, 6, 24); the slope of the last one by the second is 2 * 4 = 8.
 */

struct running {
    struct credit_sides input, output;
    struct credit_groups groups;
    bool is_product;
};

static int begin(const struct credit_io *io, struct running *r)
{
    *r = (struct running){.is_product = credit_is_named(io, "cumprod")};
    int rc = credit_input(io, 0, &r->input);
    rc = rc == 0 ? credit_output(io, 0, &r->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (r->input.now == NULL || r->output.array == NULL) {
        return BARO_ENOENT;
    }
    bool is_reduced[BARO_MAX_DIMS];
    if (r->output.n != r->input.n || probe_attr_count(io->op, "dim") != 1) {
        return BARO_EUNSUPPORTED;
    }
    rc = credit_reduced_axes(io, "dim", r->input.array, is_reduced);
    rc = rc == 0 ? credit_groups_init(&r->groups, r->input.array, is_reduced) : rc;
    if (rc == 0 && r->groups.is_partial) {
        credit_groups_finish(&r->groups);
        rc = BARO_EUNSUPPORTED;
    }
    return rc;
}

/* Products of all that is in front of each element. */
static void products_before(
    const float *x, const struct credit_groups *g, int64_t group, double *out)
{
    double product = 1;
    for (int64_t j = 0; j < g->n_each; j++) {
        out[j] = product;
        product *= (double)x[g->bases[group] + g->offsets[j]];
    }
}

/* Multipliers of a running product; room has 2 numbers for each element of a group. */
static void product_slopes(const struct running *r, int64_t group, double *room)
{
    const struct credit_groups *g = &r->groups;
    const int64_t base = g->bases[group];
    double *before_now = room;
    double *before_then = room + g->n_each;
    double now = 0;
    double then = 0;
    products_before(r->input.now, g, group, before_now);
    products_before(r->input.before, g, group, before_then);
    for (int64_t j = g->n_each - 1; j >= 0; j--) {
        const int64_t e = base + g->offsets[j];
        if (j + 1 < g->n_each) {
            const int64_t next = base + g->offsets[j + 1];
            now *= (double)r->input.now[next];
            then *= (double)r->input.before[next];
        }
        now += (double)r->output.from[e];
        then += (double)r->output.from[e];
        r->input.to[e] += (float)(0.5 * (before_now[j] * then + before_then[j] * now));
    }
}

static void product_shares(const struct running *r, int64_t group)
{
    const struct credit_groups *g = &r->groups;
    double sum = 0;
    for (int64_t j = g->n_each - 1; j >= 0; j--) {
        const int64_t e = g->bases[group] + g->offsets[j];
        sum += (double)r->output.from[e] / (double)(j + 1);
        r->input.to[e] += (float)sum;
    }
}

/* log of the running sums of e^x. */
static void running_logs(
    const float *x, const struct credit_groups *g, int64_t group, double *out)
{
    double log_sum = -HUGE_VAL;
    for (int64_t j = 0; j < g->n_each; j++) {
        const double e = (double)x[g->bases[group] + g->offsets[j]];
        const double larger = e > log_sum ? e : log_sum;
        const double gap = fabs(e - log_sum);
        log_sum = isfinite(larger) ? larger + log1p(isfinite(gap) ? exp(-gap) : 0) : larger;
        out[j] = log_sum;
    }
}

/* Multipliers of the logarithms for known numbers of the results; room: 2 for each element. */
static void log_slopes(
    const struct running *r, int64_t group, const double *known, double *room, double *out)
{
    const struct credit_groups *g = &r->groups;
    double *now = room;
    double *then = room + g->n_each;
    running_logs(r->input.now, g, group, now);
    running_logs(r->input.before, g, group, then);
    double tail = 0;
    double next = 0;
    for (int64_t j = g->n_each - 1; j >= 0; j--) {
        const int64_t e = g->bases[group] + g->offsets[j];
        const double mean = credit_log_secant_exp(then[j], now[j]);
        const double own =
            credit_log_secant_exp((double)r->input.before[e], (double)r->input.now[e]);
        tail =
            known[j] + (j + 1 < g->n_each && isfinite(mean) ? exp(mean - next) : 0) * tail;
        out[j] = isfinite(mean) ? exp(own - mean) * tail : 0;
        next = mean;
    }
}

static void log_group(
    const struct credit_io *io, const struct running *r, int64_t group, double *room)
{
    const struct credit_groups *g = &r->groups;
    double *known = room + 2 * g->n_each;
    double *slope = room + 3 * g->n_each;
    const bool is_value = io->mode == CREDIT_VALUE;
    const double eps =
        is_value ? credit_eps(r->output.now, r->output.from, r->output.n) : 0;
    double came = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        known[j] = (double)r->output.from[e];
        came += known[j];
        if (is_value) {
            known[j] = credit_ratio(known[j], (double)r->output.now[e], eps);
        }
    }
    log_slopes(r, group, known, room, slope);
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        const double part = is_value ? slope[j] * (double)r->input.now[e] : slope[j];
        if (isfinite(part)) {
            r->input.to[e] += (float)part;
            came -= part;
        }
    }
    if (is_value) {
        io->own[CREDIT_OWN_BIAS] += came;
    }
}

/* All modes. */
static int running_any(const struct credit_io *io)
{
    struct running r;
    int rc = begin(io, &r);
    if (rc != 0) {
        return rc;
    }
    const bool has_work = r.output.from != NULL && r.input.to != NULL;
    rc = has_work && io->mode == CREDIT_VALUE && r.output.now == NULL ? BARO_ENOENT : 0;
    baro_autofree double *room = baro_xcalloc(4 * (size_t)r.groups.n_each, sizeof *room);
    for (int64_t group = 0; rc == 0 && has_work && group < r.groups.n_groups; group++) {
        if (!r.is_product) {
            log_group(io, &r, group, room);
        } else if (io->mode == CREDIT_VALUE) {
            product_shares(&r, group);
        } else {
            product_slopes(&r, group, room);
        }
    }
    credit_groups_finish(&r.groups);
    return rc;
}

static int running_forward(const struct credit_io *io)
{
    struct running r;
    const int rc = begin(io, &r);
    if (rc != 0) {
        return rc;
    }
    const float *in = io->tangent_in[0];
    float *out = io->tangent_out[0];
    const struct credit_groups *g = &r.groups;
    for (int64_t group = 0; in != NULL && out != NULL && group < g->n_groups; group++) {
        double y = r.is_product ? 1 : -HUGE_VAL;
        double tangent = 0;
        for (int64_t j = 0; j < g->n_each; j++) {
            const int64_t e = g->bases[group] + g->offsets[j];
            const double x = (double)r.input.now[e];
            if (r.is_product) {
                tangent = tangent * x + y * (double)in[e];
                y *= x;
            } else {
                const double larger = x > y ? x : y;
                const double sum = larger + log(exp(x - larger) + exp(y - larger));
                tangent = tangent * exp(y - sum) + exp(x - sum) * (double)in[e];
                y = sum;
            }
            out[e] += (float)tangent;
        }
    }
    credit_groups_finish(&r.groups);
    return 0;
}

const struct credit_rule credit_rules_running[] = {
    {"cumprod logcumsumexp _logcumsumexp", running_any, running_any, running_any,
        running_forward},
    {0},
};
