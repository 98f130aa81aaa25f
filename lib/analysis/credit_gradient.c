/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

/*
 * Gradient mode goes two ways. First from the loss to the target: gradients by vector-Jacobian
 * products, only of values that the target went into. Then the target's gradient g is known, and
 * with the direction s = g / |g| the way back: t_v = sum_u J_vu t_u, the derivative of each later
 * element along s, by Jacobian-vector products. By the chain rule sum t_v d_v over any cut between
 * target and loss is |g|: so t_v d_v / |g| is the share of v. One operation's part of its input's
 * gradient, J^T d, times the input's tangent is the share that goes there.
 *
 * Worked number (tests/unit/test_credit.c repeats it). Loss = 3 u^2 + 4 u at u = 2: the gradient is
 * 12 + 4 = 16, of which the square has 12/16 and the product with 4 has 4/16.
 */

enum { MOST_OUTPUTS = 64 }; /* of an operation without forward(): one gradient() for each */

int credit_gradient_begin(struct credit *credit, struct baro_err *err)
{
    const struct probe *probe = credit->now.probe;
    const int32_t target = credit->target.value;
    char name[200];
    if (probe->loss == PROBE_NONE) {
        return baro_err_set(
            err, BARO_ENOENT, "the probe does not say which value is the loss");
    }
    credit->value_bits[target] |= CREDIT_IS_BETWEEN;
    memset(credit->n_left, 0, (size_t)probe->n_values * sizeof *credit->n_left);
    credit->n_way = 0;
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        const struct probe_op *op = &probe->ops[i];
        bool is_between = false;
        for (uint32_t k = 0; k < op->n_inputs && credit->on_way[i]; k++) {
            const int32_t in = op->inputs[k];
            if (in != PROBE_NONE && (credit->value_bits[in] & CREDIT_IS_BETWEEN) != 0) {
                is_between = true;
                credit->n_left[in]++;
            }
        }
        credit->on_way[i] = is_between;
        credit->n_way += is_between ? 2 : 0;
        for (uint32_t k = 0; k < op->n_outputs && is_between; k++) {
            if (op->outputs[k] != PROBE_NONE) {
                credit->value_bits[op->outputs[k]] |= CREDIT_IS_BETWEEN;
            }
        }
    }
    for (uint32_t i = 0; i < probe->n_values; i++) {
        credit->value_bits[i] |= credit->n_left[i] == 1 ? CREDIT_IS_ONCE : 0;
    }
    if ((credit->value_bits[probe->loss] & CREDIT_IS_BETWEEN) == 0) {
        return baro_err_set(err, BARO_ENOENT, "the loss was not made from %s",
            credit_value_text(probe, target, name, sizeof name));
    }
    struct credit_array loss;
    credit_array_shape(&credit->now, &probe->values[probe->loss], &loss);
    credit->of[probe->loss] = baro_xcalloc((size_t)loss.n, sizeof *credit->of[probe->loss]);
    for (int64_t i = 0; i < loss.n; i++) {
        credit->of[probe->loss][i] = 1;
    }
    credit->cursor = probe->values[probe->loss].op;
    credit->pending = 1;
    return 0;
}

static bool is_between(const struct credit *credit, int32_t value)
{
    return value != PROBE_NONE && (credit->value_bits[value] & CREDIT_IS_BETWEEN) != 0;
}

/* Compute what an operation's inputs between target and loss get; 0 or what the rule says. */
static int pull(struct credit *credit, const struct credit_rule *rule)
{
    struct credit_desk *desk = &credit->desk;
    bool has_any = false;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        const int32_t value = desk->io.op->outputs[k];
        desk->of_out[k] = value != PROBE_NONE ? credit->of[value] : NULL;
        has_any = has_any || desk->of_out[k] != NULL;
    }
    for (uint32_t k = 0; k < desk->io.n_in && has_any; k++) {
        if (is_between(credit, desk->io.op->inputs[k])) {
            desk->of_in[k] = credit_desk_zeros(desk, desk->in[k].n);
        }
    }
    if (!has_any) {
        return 0;
    }
    return rule != NULL && rule->gradient != NULL ? rule->gradient(&desk->io)
                                                  : BARO_EUNSUPPORTED;
}

static int64_t count_elements(const struct credit_desk *desk)
{
    int64_t n = 1;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        n += desk->in[k].n;
    }
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        n += desk->out[k].n;
    }
    return n;
}

/* From the loss to the target: one operation. */
static int64_t pull_back(struct credit *credit, int32_t at)
{
    struct credit_desk *desk = &credit->desk;
    const struct probe_op *op = &credit->now.probe->ops[at];
    const struct credit_rule *rule = credit_rule_of(credit, op);
    credit_desk_set(credit, at, rule);
    const bool is_known = pull(credit, rule) == 0;
    for (uint32_t k = 0; k < op->n_inputs && is_known; k++) {
        float *x = desk->of_in[k];
        const int32_t value = op->inputs[k];
        if (x == NULL) {
            continue;
        }
        desk->is_bad = credit_clean(x, desk->in[k].n) || desk->is_bad;
        if (credit->of[value] == NULL) {
            credit_desk_take(desk, x);
            credit->of[value] = x;
            continue;
        }
        for (int64_t i = 0; i < desk->in[k].n; i++) {
            credit->of[value][i] += x[i];
        }
    }
    credit->gap += desk->gap;
    if (!is_known || desk->is_bad || desk->singular) {
        struct credit_node *node = credit_node_at(credit, at);
        node->is_unknown = !is_known;
        node->is_singular = desk->is_bad || desk->singular;
        credit->is_cut_off = credit->is_cut_off || !is_known || desk->is_bad;
    }
    const int64_t touched = count_elements(desk);
    credit_desk_clear(desk);
    return touched;
}

/* Between the two ways: the target's gradient, and the direction along it. */
static void turn(struct credit *credit)
{
    const struct probe *probe = credit->now.probe;
    const int32_t target = credit->target.value;
    struct credit_array array;
    credit_array_shape(&credit->now, &probe->values[target], &array);
    float *along = baro_xcalloc((size_t)array.n, sizeof *along);
    baro_autofree bool *mask = baro_xcalloc((size_t)array.n, sizeof *mask);
    credit->n_elements = credit_mask(credit, &array, mask);
    credit->target_has_rows = credit_has_rows(&credit->now, array.value);
    const float *gradient = credit->of[target];
    double squares = 0;
    for (int64_t i = 0; i < array.n && gradient != NULL; i++) {
        along[i] = mask[i] ? gradient[i] : 0;
        squares += (double)along[i] * (double)along[i];
    }
    const double norm = sqrt(squares);
    double total = norm;
    for (int64_t i = 0; i < array.n && norm > 0; i++) {
        if (credit->n_elements == 1 && along[i] != 0) {
            total = (double)along[i];
            along[i] = 1;
        } else {
            along[i] = (float)((double)along[i] / norm);
        }
    }
    credit->total = total;
    credit->finding.total = total;
    credit->finding.n_elements = credit->n_elements;
    credit->scale = norm > 0 ? 1 / total : 0;
    credit->is_forward = true;
    credit->pending = credit->is_cut_off ? 1 : 0;
    credit->tangent[target] = along;
    if (norm == 0 || gradient == NULL) {
        credit->leaf_share = credit->is_cut_off ? 0 : 1; /* there is nothing to explain */
        credit->is_done = true;
        return;
    }
    baro_autofree float *parts = baro_xcalloc((size_t)array.n, sizeof *parts);
    for (int64_t i = 0; i < array.n; i++) {
        parts[i] = along[i] * gradient[i];
    }
    credit_note_parts(credit, target, &array, parts);
    credit_note_ready(credit, target);
    credit->pending += 1;
    credit->cursor = 0;
}

/* Tangents of the outputs where there is no rule for them: one gradient for each output element. */
static int push_by_gradient(struct credit *credit, const struct credit_rule *rule)
{
    struct credit_desk *desk = &credit->desk;
    int64_t n = 0;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        n += desk->tangent_out[k] != NULL ? desk->out[k].n : 0;
        desk->of_out[k] = NULL;
    }
    if (n > MOST_OUTPUTS) {
        return BARO_EUNSUPPORTED;
    }
    int rc = 0;
    for (uint32_t out = 0; out < desk->io.n_out; out++) {
        for (int64_t i = 0; desk->tangent_out[out] != NULL && i < desk->out[out].n; i++) {
            float *one = credit_desk_zeros(desk, desk->out[out].n);
            one[i] = 1;
            desk->of_out[out] = one;
            for (uint32_t k = 0; k < desk->io.n_in; k++) {
                if (desk->of_in[k] != NULL) {
                    memset(desk->of_in[k], 0, (size_t)desk->in[k].n * sizeof(float));
                }
            }
            rc = rc != 0 ? rc : rule->gradient(&desk->io);
            double sum = 0;
            for (uint32_t k = 0; k < desk->io.n_in; k++) {
                for (int64_t j = 0; desk->tangent_in[k] != NULL && j < desk->in[k].n; j++) {
                    sum += (double)desk->of_in[k][j] * (double)desk->tangent_in[k][j];
                }
            }
            desk->tangent_out[out][i] = (float)sum;
            desk->of_out[out] = NULL;
        }
    }
    return rc;
}

/* Note what goes from the inputs into an operation; gives the sum. */
static struct credit_flow enter(struct credit *credit, int32_t at)
{
    struct credit_desk *desk = &credit->desk;
    const struct probe *probe = credit->now.probe;
    struct credit_flow all = {0};
    const size_t first_edge = credit->n_edges;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        const int32_t value = desk->io.op->inputs[k];
        if (desk->tangent_in[k] == NULL || desk->of_in[k] == NULL) {
            continue;
        }
        float *parts = desk->of_in[k]; /* is not needed for anything else */
        (void)credit_clean(parts, desk->in[k].n);
        for (int64_t i = 0; i < desk->in[k].n; i++) {
            parts[i] *= desk->tangent_in[k][i];
        }
        const struct credit_flow flow = credit_sum(parts, desk->in[k].n, credit->scale);
        all.share += flow.share;
        all.size += flow.size;
        if (flow.size > 0) {
            const int32_t from =
                value == credit->target.value ? PROBE_NONE : probe->values[value].op;
            credit_note_edge(credit, first_edge, from, at, value, flow);
        }
    }
    return all;
}

/* Note what goes out of an operation: by units and samples; gives the sum. */
static double leave(struct credit *credit, bool is_crossing)
{
    struct credit_desk *desk = &credit->desk;
    double left = 0;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        const int32_t value = desk->io.op->outputs[k];
        float *tangent = desk->tangent_out[k];
        if (tangent == NULL) {
            continue;
        }
        desk->is_bad = credit_clean(tangent, desk->out[k].n) || desk->is_bad;
        float *parts = credit_desk_zeros(desk, desk->out[k].n);
        for (int64_t i = 0; i < desk->out[k].n; i++) {
            parts[i] = tangent[i] * credit->of[value][i];
        }
        left += credit_sum(parts, desk->out[k].n, credit->scale).share;
        credit_note_parts(credit, value, &desk->out[k], parts);
        if (is_crossing) {
            credit_note_crossing(credit, &desk->out[k], parts);
        }
        credit_note_ready(credit, value);
        credit_desk_take(desk, tangent);
        credit->tangent[value] = tangent;
    }
    return left;
}

/* Set tangents up; whether any input with samples has one, and whether there is any at all. */
static bool set_tangents(struct credit *credit, bool *out_has_rows)
{
    struct credit_desk *desk = &credit->desk;
    bool has_any = false;
    *out_has_rows = false;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        const int32_t value = desk->io.op->inputs[k];
        if (value == PROBE_NONE || credit->tangent[value] == NULL) {
            continue;
        }
        desk->tangent_in[k] = credit->tangent[value];
        has_any = true;
        *out_has_rows = *out_has_rows || credit_has_rows(&credit->now, desk->in[k].value);
    }
    for (uint32_t k = 0; k < desk->io.n_out && has_any; k++) {
        const int32_t value = desk->io.op->outputs[k];
        if (value != PROBE_NONE && credit->of[value] != NULL) {
            desk->tangent_out[k] = credit_desk_zeros(desk, desk->out[k].n);
        }
    }
    return has_any;
}

static void close_node(
    struct credit *credit, int32_t at, struct credit_flow came, double left, bool is_known)
{
    struct credit_desk *desk = &credit->desk;
    double own[CREDIT_OWN_COUNT] = {0};
    own[is_known && !desk->is_bad ? CREDIT_OWN_ROUND : CREDIT_OWN_UNKNOWN] =
        came.share - left;
    credit_note_own(credit, at, own, 1);
    struct credit_node *node = credit_node_at(credit, at);
    node->share = came.share;
    node->size = came.size;
    node->gain = isfinite(desk->gain) ? desk->gain : HUGE_VAL;
    node->is_unknown = node->is_unknown || !is_known;
    node->is_singular = node->is_singular || desk->singular || desk->is_bad;
}

/* What the inputs got from this operation: known where nothing else gave them any; else anew. */
static int pull_again(struct credit *credit, const struct credit_rule *rule)
{
    struct credit_desk *desk = &credit->desk;
    bool is_known = rule != NULL && rule->gradient != NULL;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        const int32_t value = desk->io.op->inputs[k];
        is_known = is_known && (desk->tangent_in[k] == NULL ||
                                   ((credit->value_bits[value] & CREDIT_IS_ONCE) != 0 &&
                                       credit->of[value] != NULL));
    }
    if (!is_known) {
        return pull(credit, rule);
    }
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        if (desk->tangent_in[k] != NULL) {
            desk->of_in[k] = credit_desk_zeros(desk, desk->in[k].n);
            memcpy(desk->of_in[k], credit->of[desk->io.op->inputs[k]],
                (size_t)desk->in[k].n * sizeof(float));
        }
    }
    return 0;
}

/* From the target to the loss: one operation. */
static int64_t push_on(struct credit *credit, int32_t at)
{
    struct credit_desk *desk = &credit->desk;
    const struct probe *probe = credit->now.probe;
    const struct probe_op *op = &probe->ops[at];
    const struct credit_rule *rule = credit_rule_of(credit, op);
    credit_desk_set(credit, at, rule);
    bool has_rows = false;
    if (!set_tangents(credit, &has_rows)) {
        credit_desk_clear(desk);
        return 1;
    }
    bool is_known = pull_again(credit, rule) == 0;
    const struct credit_flow came = enter(credit, at);
    double left = 0;
    if (is_known && came.size > 0) {
        int rc = rule->forward != NULL ? rule->forward(&desk->io)
                                       : push_by_gradient(credit, rule);
        is_known = rc == 0;
        left = is_known ? leave(credit, !has_rows) : 0;
    }
    close_node(credit, at, came, left, is_known);
    const int64_t touched = count_elements(desk);
    credit_desk_clear(desk);
    return touched;
}

static void drop(struct credit *credit, int32_t value)
{
    free(credit->tangent[value]);
    credit->tangent[value] = NULL;
    free(credit->of[value]);
    credit->of[value] = NULL;
}

/* The inputs of an operation are used once less; what nobody needs any more is freed. */
static void pass(struct credit *credit, int32_t at)
{
    const struct probe_op *op = &credit->now.probe->ops[at];
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        const int32_t value = op->inputs[k];
        if (is_between(credit, value) && --credit->n_left[value] == 0) {
            drop(credit, value);
        }
    }
}

/* The loss itself is where all ways end. */
static void finish(struct credit *credit)
{
    const struct probe *probe = credit->now.probe;
    const int32_t loss = probe->loss;
    struct credit_array array;
    credit_array_shape(&credit->now, &probe->values[loss], &array);
    const float *tangent = credit->tangent[loss];
    if (tangent != NULL) {
        const struct credit_flow flow = credit_sum(tangent, array.n, credit->scale);
        const int32_t from =
            loss == credit->target.value ? PROBE_NONE : probe->values[loss].op;
        credit_note_edge(credit, credit->n_edges, from, PROBE_NONE, loss, flow);
        credit->leaf_share = flow.share;
    }
    credit->pending = credit->is_cut_off ? 1 : 0;
    credit->is_done = true;
}

int64_t credit_gradient_step(struct credit *credit)
{
    const struct probe *probe = credit->now.probe;
    const int32_t last = probe->values[probe->loss].op;
    if (!credit->is_forward) {
        if (credit->cursor < 0) {
            turn(credit);
            return 1;
        }
        const int32_t at = credit->cursor--;
        if (!credit->on_way[at]) {
            return 0;
        }
        credit->n_passed++;
        return pull_back(credit, at);
    }
    if (credit->cursor > last) {
        finish(credit);
        return 1;
    }
    const int32_t at = credit->cursor++;
    if (!credit->on_way[at]) {
        return 0;
    }
    credit->n_passed++;
    const int64_t touched = push_on(credit, at);
    pass(credit, at);
    return touched;
}
