/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Losses that are a sum or mean of terms, one for each element: squared error and its kin, binary
 * cross entropy.
 *
 * Value mode: a share of the loss goes to its terms by their part of it (eps rule), and all of a
 * term's to the prediction: what the target is was not made by the network. Change mode, exact: a
 * term w k(x, t) changes by bar(w) dk + bar(k) dw, the bar being the mean of both sides, and
 *
 *   squared error, d = x - t    dk = (d0 + d1) dd
 *   Huber, smooth L1            dk = secant(d0, d1) dd
 *   binary cross entropy        k = -t log x - (1 - t) log(1 - x): products, with secants of log
 *   the same with logits        k = (1 - t) x + (1 + (p - 1) t) log(1 + e^-x): likewise
 *   soft margin                 k = log(1 + e^-tx)
 *
 * With both sides equal all of these are gradients.
 *
 * Worked: (x - t)^2 from 3 - 1 to 5 - 2: 9 - 4 = 5 = (2 + 3) (2 - 1).
 */

enum reduction { REDUCE_NONE = 0, REDUCE_MEAN = 1, REDUCE_SUM = 2 };

enum term_kind { TERM_SQUARE, TERM_HUBER, TERM_SMOOTH, TERM_MARGIN, TERM_BCE, TERM_LOGITS };

enum {
    OPERANDS = 4,
    X = 0,
    T = 1,
    W = 2,
    P = 3
}; /* prediction, target, weight, pos_weight */

static const double near = 1e-6;
static const double least_log = -100; /* torch's bound of the logarithms in BCE */
static const double least_probability = 1e-12;

struct terms {
    enum term_kind kind;
    double knee; /* where Huber and smooth L1 turn */
    struct credit_sides operand[OPERANDS];
    int64_t
        *at[OPERANDS]; /* which of the operand's elements is each term's; NULL: the same */
    struct credit_sides output;
    enum reduction reduction;
    double n_full;
};

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double square_like(const struct terms *terms, double d)
{
    const double knee = terms->knee;
    const double size = fabs(d);
    if (terms->kind == TERM_SQUARE) {
        return d * d;
    }
    if (terms->kind == TERM_HUBER) {
        return size <= knee ? 0.5 * d * d : knee * (size - 0.5 * knee);
    }
    return size < knee ? 0.5 * d * d / knee : size - 0.5 * knee;
}

static double square_slope(const struct terms *terms, double d)
{
    const double knee = terms->knee;
    const double sign = (d > 0) - (d < 0);
    if (terms->kind == TERM_SQUARE) {
        return 2 * d;
    }
    if (terms->kind == TERM_HUBER) {
        return fabs(d) <= knee ? d : knee * sign;
    }
    return fabs(d) < knee ? d / knee : sign;
}

static double bounded_log(double x)
{
    const double y = log(x);
    return y > least_log ? y : least_log;
}

/* A term without its weight. */
static double term_of(const struct terms *terms, const double o[OPERANDS])
{
    switch (terms->kind) {
    case TERM_SQUARE:
    case TERM_HUBER:
    case TERM_SMOOTH: return square_like(terms, o[X] - o[T]);
    case TERM_MARGIN: return softplus(-o[T] * o[X]);
    case TERM_BCE: return -o[T] * bounded_log(o[X]) - (1 - o[T]) * bounded_log(1 - o[X]);
    case TERM_LOGITS: return (1 - o[T]) * o[X] + (1 + (o[P] - 1) * o[T]) * softplus(-o[X]);
    }
    return 0;
}

/* Secant slope of the bounded logarithm. */
static double log_slope(double a, double b)
{
    if (fabs(b - a) <= near * a) {
        const double middle = 0.5 * (a + b);
        return 1 / (middle > least_probability ? middle : least_probability);
    }
    return (bounded_log(b) - bounded_log(a)) / (b - a);
}

/* Slopes of a term without its weight, by x, t and p, between points a and b. */
static void slopes_of(const struct terms *terms, const double a[OPERANDS],
    const double b[OPERANDS], double out[OPERANDS])
{
    double mean[OPERANDS];
    for (int i = 0; i < OPERANDS; i++) {
        mean[i] = 0.5 * (a[i] + b[i]);
        out[i] = 0;
    }
    const double d0 = a[X] - a[T];
    const double d1 = b[X] - b[T];
    if (terms->kind == TERM_MARGIN) {
        const double s = credit_secant_softplus(-a[X] * a[T], -b[X] * b[T]);
        out[X] = -s * mean[T];
        out[T] = -s * mean[X];
    } else if (terms->kind == TERM_BCE) {
        const double logs = 0.5 * (bounded_log(a[X]) + bounded_log(b[X]));
        const double others = 0.5 * (bounded_log(1 - a[X]) + bounded_log(1 - b[X]));
        out[X] = -mean[T] * log_slope(a[X], b[X]) +
                 (1 - mean[T]) * log_slope(1 - a[X], 1 - b[X]);
        out[T] = others - logs;
    } else if (terms->kind == TERM_LOGITS) {
        const double plus = 0.5 * (softplus(-a[X]) + softplus(-b[X]));
        const double factor = 0.5 * (2 + (a[P] - 1) * a[T] + (b[P] - 1) * b[T]);
        out[X] = 1 - mean[T] - factor * credit_secant_softplus(-a[X], -b[X]);
        out[T] = -mean[X] + plus * (mean[P] - 1);
        out[P] = plus * mean[T];
    } else {
        out[X] = fabs(d1 - d0) <= near * (fabs(d0) + fabs(d1))
                     ? square_slope(terms, 0.5 * (d0 + d1))
                     : (square_like(terms, d1) - square_like(terms, d0)) / (d1 - d0);
        out[T] = -out[X];
    }
}

/* Which element of a smaller operand stands beside each element of x, as torch broadcasts. */
static int64_t *broadcast(const struct credit_array *x, const struct credit_array *operand)
{
    int64_t step[BARO_MAX_DIMS];
    int64_t n = 1;
    const int shift = x->n_dims - operand->n_dims;
    for (int i = x->n_dims - 1; i >= 0; i--) {
        const int64_t length = i >= shift ? operand->shape[i - shift] : 1;
        if (length != 1 && length != x->shape[i]) {
            return NULL;
        }
        step[i] = length == 1 ? 0 : n;
        n *= length;
    }
    int64_t *at = baro_xcalloc((size_t)x->n, sizeof *at);
    for (int64_t e = 0; e < x->n; e++) {
        int64_t rest = e;
        for (int i = x->n_dims - 1; i >= 0; i--) {
            at[e] += rest % x->shape[i] * step[i];
            rest /= x->shape[i];
        }
    }
    return at;
}

static void finish(struct terms *terms)
{
    for (int i = 0; i < OPERANDS; i++) {
        free(terms->at[i]);
    }
}

static enum term_kind kind_of(const struct credit_io *io)
{
    return strstr(io->op->name, "logits") != NULL          ? TERM_LOGITS
           : strstr(io->op->name, "cross_entropy") != NULL ? TERM_BCE
           : strstr(io->op->name, "margin") != NULL        ? TERM_MARGIN
           : strstr(io->op->name, "huber") != NULL         ? TERM_HUBER
           : strstr(io->op->name, "smooth") != NULL        ? TERM_SMOOTH
                                                           : TERM_SQUARE;
}

static int begin(const struct credit_io *io, struct terms *terms)
{
    *terms = (struct terms){.kind = kind_of(io)};
    terms->knee = credit_attr(io, terms->kind == TERM_HUBER ? "delta" : "beta", 0, 1);
    terms->reduction = (enum reduction)credit_attr_int(io, "reduction", 0, REDUCE_MEAN);
    int rc = credit_output(io, 0, &terms->output);
    for (uint32_t i = 0; rc == 0 && i < OPERANDS; i++) {
        rc = credit_input(io, i, &terms->operand[i]);
    }
    const struct credit_array *x = terms->operand[X].array;
    if (rc != 0 || x == NULL || terms->operand[T].now == NULL ||
        terms->output.array == NULL) {
        return rc != 0 ? rc : BARO_ENOENT;
    }
    for (int i = 1; i < OPERANDS; i++) {
        const struct credit_sides *operand = &terms->operand[i];
        if (operand->now == NULL || operand->n == x->n) {
            continue;
        }
        terms->at[i] =
            operand->array->n_dims <= x->n_dims ? broadcast(x, operand->array) : NULL;
        if (terms->at[i] == NULL) {
            return BARO_EUNSUPPORTED;
        }
    }
    const bool is_each = terms->reduction == REDUCE_NONE;
    if (x->n == 0 || terms->output.n != (is_each ? x->n : 1)) {
        return BARO_EUNSUPPORTED;
    }
    terms->n_full = terms->reduction == REDUCE_MEAN ? (double)credit_full_count(x) : 1;
    return 0;
}

/* Operands of a term; weights that are not there are 1. */
static void point(const struct terms *terms, int64_t e, bool is_now, double out[OPERANDS])
{
    for (int i = 0; i < OPERANDS; i++) {
        const struct credit_sides *operand = &terms->operand[i];
        const float *x = is_now ? operand->now : operand->before;
        out[i] = x != NULL ? (double)x[terms->at[i] != NULL ? terms->at[i][e] : e] : 1;
    }
}

static int term_value(const struct credit_io *io)
{
    struct terms terms;
    int rc = begin(io, &terms);
    const bool is_each = terms.reduction == REDUCE_NONE;
    if (rc == 0 && !is_each && terms.output.now == NULL) {
        rc = BARO_ENOENT;
    }
    const bool has_work = rc == 0 && terms.output.from != NULL;
    const double eps = has_work && !is_each ? credit_eps(terms.output.now, NULL, 1) : 0;
    for (int64_t e = 0; has_work && e < terms.operand[X].n; e++) {
        double o[OPERANDS];
        point(&terms, e, true, o);
        double share = (double)terms.output.from[is_each ? e : 0];
        if (!is_each) {
            share = credit_ratio(share, (double)terms.output.now[0], eps) * o[W] *
                    term_of(&terms, o) / terms.n_full;
        }
        if (terms.operand[X].to != NULL) {
            terms.operand[X].to[e] += (float)share;
        }
        if (terms.kind == TERM_BCE && (o[X] < near || o[X] > 1 - near)) {
            credit_mark_singular(io);
        }
    }
    finish(&terms);
    return rc;
}

/* Slopes of a whole term, reduction included, by all operands. */
static void whole_slopes(const struct terms *terms, int64_t e, double out[OPERANDS])
{
    double a[OPERANDS];
    double b[OPERANDS];
    point(terms, e, false, a);
    point(terms, e, true, b);
    slopes_of(terms, a, b, out);
    for (int i = 0; i < OPERANDS; i++) {
        out[i] *= 0.5 * (a[W] + b[W]) / terms->n_full;
    }
    out[W] = 0.5 * (term_of(terms, a) + term_of(terms, b)) / terms->n_full;
}

static int term_slopes(const struct credit_io *io)
{
    struct terms terms;
    int rc = begin(io, &terms);
    const bool has_work = rc == 0 && terms.output.from != NULL;
    for (int64_t e = 0; has_work && e < terms.operand[X].n; e++) {
        double slopes[OPERANDS];
        whole_slopes(&terms, e, slopes);
        const double from =
            (double)terms.output.from[terms.reduction == REDUCE_NONE ? e : 0];
        for (int i = 0; i < OPERANDS; i++) {
            if (terms.operand[i].to != NULL) {
                terms.operand[i].to[terms.at[i] != NULL ? terms.at[i][e] : e] +=
                    (float)(from * slopes[i]);
            }
        }
    }
    finish(&terms);
    return rc;
}

static int term_forward(const struct credit_io *io)
{
    struct terms terms;
    int rc = begin(io, &terms);
    const bool is_each = terms.reduction == REDUCE_NONE;
    double sum = 0;
    for (int64_t e = 0; rc == 0 && io->tangent_out[0] != NULL && e < terms.operand[X].n;
         e++) {
        double slopes[OPERANDS];
        whole_slopes(&terms, e, slopes);
        sum = is_each ? 0 : sum;
        for (uint32_t i = 0; i < OPERANDS && i < io->n_in; i++) {
            const int64_t at = terms.at[i] != NULL ? terms.at[i][e] : e;
            sum +=
                io->tangent_in[i] != NULL ? slopes[i] * (double)io->tangent_in[i][at] : 0;
        }
        io->tangent_out[0][is_each ? e : 0] = (float)sum;
    }
    finish(&terms);
    return rc;
}

const struct credit_rule credit_rules_loss[] = {
    {"mse_loss smooth_l1_loss huber_loss soft_margin_loss binary_cross_entropy "
     "binary_cross_entropy_with_logits",
        term_value, term_slopes, term_slopes, term_forward},
    {0},
};
