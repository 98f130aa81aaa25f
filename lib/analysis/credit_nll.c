/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_parts.h"

/*
 * Negative log likelihood, the second half of cross entropy: -sum a x with factors a = w / sum w
 * where the class is the target's (sum w is 1 unless a mean is taken).
 *
 * Value mode: a share of the loss goes to the log-probabilities of the right classes by their part
 * of it (eps rule); the target gets none, as the network did not make it. Change mode, exact, the
 * bar being the mean of both sides: bar(a) dx + bar(x) da. The second part is what another class
 * does, so it is the target's, by its change. With both sides equal it is the gradient.
 *
 * Worked: one sample, class 0 before and 1 now, log-probabilities (-1, -2) before and (-3, -1) now:
 * the loss stays 1. x_0 gives -1/2 (-2) = 1, x_1 gives -1/2 (1), the target 1.5 - 2 = -0.5: 0 in
 * all.
 */

enum reduction { REDUCE_NONE = 0, REDUCE_MEAN = 1, REDUCE_SUM = 2 };

/* Negative log likelihood: classes along axis 1, or the only one. */
struct likelihood {
    struct credit_sides input, target, weight, output;
    enum reduction reduction;
    int64_t ignored;
    int64_t classes;
    int64_t inner;
    int64_t n;       /* terms */
    double total[2]; /* sum of weights before and now, or 1 */
};

static int64_t class_of(const struct likelihood *nll, const float *target, int64_t i)
{
    const int64_t k = (int64_t)target[i];
    return k == nll->ignored || k < 0 || k >= nll->classes ? -1 : k;
}

static double weight_of(const float *weight, int64_t k)
{
    return weight != NULL ? (double)weight[k] : 1;
}

/* The sum of weights, as the operation recorded it, else of what was kept. */
static double find_total(
    const struct likelihood *nll, const struct credit_sides *recorded, bool is_now)
{
    const float *kept = is_now ? recorded->now : recorded->before;
    if (kept != NULL && recorded->n == 1) {
        return (double)kept[0];
    }
    double total = 0;
    for (int64_t i = 0; i < nll->n; i++) {
        const int64_t k = class_of(nll, is_now ? nll->target.now : nll->target.before, i);
        const float *weight = is_now ? nll->weight.now : nll->weight.before;
        total += k >= 0 ? weight_of(weight, k) : 0;
    }
    return total * (double)credit_full_count(nll->target.array) / (double)nll->n;
}

static int begin_likelihood(const struct credit_io *io, struct likelihood *nll)
{
    *nll = (struct likelihood){
        .reduction = (enum reduction)credit_attr_int(io, "reduction", 0, REDUCE_MEAN),
        .ignored = credit_attr_int(io, "ignore_index", 0, -100),
        .inner = 1,
        .total = {1, 1}};
    struct credit_sides recorded;
    int rc = credit_input(io, 0, &nll->input);
    rc = rc == 0 ? credit_input(io, 1, &nll->target) : rc;
    rc = rc == 0 ? credit_input(io, 2, &nll->weight) : rc;
    rc = rc == 0 ? credit_output(io, 0, &nll->output) : rc;
    rc = rc == 0 ? credit_output(io, 1, &recorded) : rc;
    const struct credit_array *x = nll->input.array;
    if (rc != 0 || x == NULL || nll->target.now == NULL || nll->output.array == NULL) {
        return rc != 0 ? rc : BARO_ENOENT;
    }
    const int axis = x->n_dims > 1 ? 1 : 0;
    nll->n = nll->target.n;
    nll->classes = x->n_dims > 0 ? x->shape[axis] : 0;
    for (int i = axis + 1; i < x->n_dims; i++) {
        nll->inner *= x->shape[i];
    }
    const bool is_each = nll->reduction == REDUCE_NONE;
    if (nll->n == 0 || x->n != nll->n * nll->classes ||
        nll->output.n != (is_each ? nll->n : 1) ||
        (nll->weight.now != NULL && nll->weight.n != nll->classes)) {
        return BARO_EUNSUPPORTED;
    }
    if (nll->reduction == REDUCE_MEAN) {
        nll->total[0] = find_total(nll, &recorded, false);
        nll->total[1] = find_total(nll, &recorded, true);
    }
    return 0;
}

/* The element of the input that is class k of term i. */
static int64_t element_of(const struct likelihood *nll, int64_t i, int64_t k)
{
    return (i / nll->inner * nll->classes + k) * nll->inner + i % nll->inner;
}

static int nll_value(const struct credit_io *io)
{
    struct likelihood nll;
    int rc = begin_likelihood(io, &nll);
    if (rc != 0 || nll.output.from == NULL || nll.input.to == NULL) {
        return rc;
    }
    const bool is_each = nll.reduction == REDUCE_NONE;
    if (!is_each && nll.output.now == NULL) {
        return BARO_ENOENT;
    }
    const double eps = is_each ? 0 : credit_eps(nll.output.now, NULL, 1);
    for (int64_t i = 0; i < nll.n; i++) {
        const int64_t k = class_of(&nll, nll.target.now, i);
        if (k < 0) {
            continue;
        }
        const int64_t e = element_of(&nll, i, k);
        double share = (double)nll.output.from[is_each ? i : 0];
        if (!is_each) {
            share = -credit_ratio(share, (double)nll.output.now[0], eps) *
                    weight_of(nll.weight.now, k) * (double)nll.input.now[e] / nll.total[1];
        }
        nll.input.to[e] += (float)share;
    }
    return 0;
}

/* The two classes of a term, before and now (-1: ignored), and their factors. */
struct choice {
    int64_t k[2];
    double factor[2];
};

static struct choice choice_of(const struct likelihood *nll, int64_t i)
{
    struct choice choice = {
        {class_of(nll, nll->target.before, i), class_of(nll, nll->target.now, i)}, {0, 0}};
    for (int side = 0; side < 2; side++) {
        const float *weight = side == 1 ? nll->weight.now : nll->weight.before;
        choice.factor[side] =
            choice.k[side] >= 0 ? -weight_of(weight, choice.k[side]) / nll->total[side] : 0;
    }
    return choice;
}

static double mean_log(const struct likelihood *nll, int64_t e)
{
    return 0.5 * ((double)nll->input.now[e] + (double)nll->input.before[e]);
}

static int nll_slopes(const struct credit_io *io)
{
    struct likelihood nll;
    int rc = begin_likelihood(io, &nll);
    if (rc != 0 || nll.output.from == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < nll.n; i++) {
        const double from = (double)nll.output.from[nll.reduction == REDUCE_NONE ? i : 0];
        const struct choice choice = choice_of(&nll, i);
        double of_target = 0;
        for (int side = 0; side < 2; side++) {
            if (choice.k[side] < 0) {
                continue;
            }
            const int64_t e = element_of(&nll, i, choice.k[side]);
            if (nll.input.to != NULL) {
                nll.input.to[e] += (float)(from * 0.5 * choice.factor[side]);
            }
            of_target += (side == 1 ? 1 : -1) * choice.factor[side] * mean_log(&nll, e);
        }
        const double change = (double)nll.target.now[i] - (double)nll.target.before[i];
        if (nll.target.to != NULL && change != 0) {
            nll.target.to[i] += (float)(from * of_target / change);
        }
    }
    return 0;
}

static int nll_forward(const struct credit_io *io)
{
    struct likelihood nll;
    int rc = begin_likelihood(io, &nll);
    if (rc != 0 || io->tangent_in[0] == NULL || io->tangent_out[0] == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < nll.n; i++) {
        const struct choice choice = choice_of(&nll, i);
        if (choice.k[1] >= 0) {
            io->tangent_out[0][nll.reduction == REDUCE_NONE ? i : 0] +=
                (float)choice.factor[1] *
                io->tangent_in[0][element_of(&nll, i, choice.k[1])];
        }
    }
    return 0;
}

const struct credit_rule credit_rules_nll[] = {
    {"nll_loss_forward nll_loss2d_forward nll_loss nll_loss2d nll_loss_nd", nll_value,
        nll_slopes, nll_slopes, nll_forward},
    {0},
};
