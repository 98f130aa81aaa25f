/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

/*
 * The question: a number of this training step is odd. Of what was it made? The step is known as a
 * graph of operations with the arrays that went through them (a probe). Begun at the target, each
 * operation's rule shares out what came to its outputs among its inputs, operations in reverse
 * order, so that all that comes to one has come before it is explained. Three quantities flow:
 *
 *  value     R, relevance. For a sum z_v = sum_u z_uv:   R_u += z_uv / (z_v + eps sign z_v) R_v
 *  gradient  d, the loss's derivative:                   d_u += J_vu d_v    from loss to target
 *            and t, derivatives along the target's gradient, back to the loss; share = t_v d_v
 *  change    m, multipliers with m_v dz_v = sum_u m_uv da_u exactly: secant slopes, for products
 *            the mean of both orders of replacing their operands (Shapley)
 *
 * Worked number (tests/unit/test_credit.c repeats it). y = 3 a + 2 b + 1 with a = 2, b = 0.5:
 * value mode gives a 6/8, b 1/8 and the bias 1/8 of 8. A step before y was 2.5 a + 2 b + 1 with
 * a = 1, b = 0.5, that is 4.5. Of the change of 3.5, a's part is (3 + 2.5)/2 (2 - 1) = 2.75, its
 * weight's (2 + 1)/2 (3 - 2.5) = 0.75; shares 0.786 and 0.214.
 *
 * Cost: one pass over the operations that the target was made from, each about what its backward
 * costs; memory: arrays between what is explained and what is not. Where elements cancel (a sum
 * near 0 of large terms) shares of value mode are large with both signs: that is the question's
 * fault, and `size` says it. Rejected: integrated gradients (needs the model, many passes) and
 * sampling of coalitions (likewise).
 */

static int check(const struct credit *credit, struct baro_err *err)
{
    const struct probe *probe = credit->now.probe;
    const struct credit_target *target = &credit->target;
    if (credit->mode < CREDIT_VALUE || credit->mode >= CREDIT_MODE_END) {
        return baro_err_set(err, BARO_EINVAL, "mode %d does not exist", (int)credit->mode);
    }
    if (credit->mode == CREDIT_CHANGE && credit->before.probe == NULL) {
        return baro_err_set(err, BARO_EINVAL, "a change needs a probe of a step before");
    }
    if (target->value < 0 || (uint32_t)target->value >= probe->n_values) {
        return baro_err_set(err, BARO_EINVAL,
            "value #%" PRId32 " is not there: the probe has %" PRIu32, target->value,
            probe->n_values);
    }
    const struct probe_value *value = &probe->values[target->value];
    if (target->unit >= 0 &&
        (value->unit_axis < 0 || target->unit >= value->shape[value->unit_axis])) {
        return baro_err_set(err, BARO_EINVAL,
            "unit %" PRId64 " is not there: the value has %" PRId64, target->unit,
            value->unit_axis < 0 ? 0 : value->shape[value->unit_axis]);
    }
    return 0;
}

static int find_row(struct credit *credit, struct baro_err *err)
{
    const struct probe *probe = credit->now.probe;
    credit->target_row = -1;
    if (credit->target.row < 0) {
        return 0;
    }
    const struct probe_value *value = &probe->values[credit->target.value];
    if (!credit_has_rows(&credit->now, value)) {
        return baro_err_set(err, BARO_EINVAL, "the value has no samples");
    }
    for (int64_t i = 0; i < credit->now.n_rows; i++) {
        if (probe->rows[i] == credit->target.row) {
            credit->target_row = i;
            return 0;
        }
    }
    return baro_err_set(err, BARO_ENOENT,
        "sample %" PRId64 " of the batch was not kept (%" PRIu32 " of %" PRId64 " were)",
        credit->target.row, probe->n_rows, probe->n_batch);
}

/* How many rows count: in change mode those that both have. */
static int count_rows(struct credit *credit, struct baro_err *err)
{
    const struct probe *now = credit->now.probe;
    const struct probe *before = credit->before.probe;
    credit->now.n_rows = now->n_batch > 0 ? (int64_t)now->n_rows : 0;
    if (credit->mode != CREDIT_CHANGE) {
        return 0;
    }
    int64_t n = before->n_batch > 0 ? (int64_t)before->n_rows : 0;
    if (n > credit->now.n_rows) {
        n = credit->now.n_rows;
    }
    if (n == 0 && (now->n_rows > 0 || before->n_rows > 0)) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "no samples were kept at step %" PRId64 ", so they cannot be compared",
            before->n_rows == 0 ? before->step : now->step);
    }
    credit->now.n_rows = n;
    credit->before.n_rows = n;
    return 0;
}

static void mark_fixed(struct credit *credit)
{
    const struct probe *probe = credit->now.probe;
    for (uint32_t i = 0; i < probe->n_values; i++) {
        const struct probe_value *value = &probe->values[i];
        if (value->op != PROBE_NONE) {
            continue;
        }
        if (value->kind == PROBE_PARAMETER) {
            credit->value_bits[i] = CREDIT_IS_FIXED | CREDIT_FROM_PARAMETER;
        } else if (value->kind != PROBE_INPUT && value->kind != PROBE_RESULT) {
            credit->value_bits[i] = CREDIT_IS_FIXED;
        }
    }
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        const struct probe_op *op = &probe->ops[i];
        uint8_t all = CREDIT_IS_FIXED;
        uint8_t any = 0;
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            if (op->inputs[k] != PROBE_NONE) {
                all &= credit->value_bits[op->inputs[k]];
                any |= credit->value_bits[op->inputs[k]];
            }
        }
        for (uint32_t k = 0; k < op->n_outputs; k++) {
            if (op->outputs[k] != PROBE_NONE) {
                credit->value_bits[op->outputs[k]] =
                    (uint8_t)(all | (any & CREDIT_FROM_PARAMETER));
            }
        }
    }
}

/* Mark the operations that a value was made from, and count what takes each value there. */
static void mark_way(struct credit *credit, int32_t value)
{
    const struct probe *probe = credit->now.probe;
    const int32_t last = probe->values[value].op;
    if (last == PROBE_NONE) {
        return;
    }
    credit->on_way[last] = true;
    for (int32_t i = last; i >= 0; i--) {
        if (!credit->on_way[i]) {
            continue;
        }
        credit->n_way++;
        const struct probe_op *op = &probe->ops[i];
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            const int32_t in = op->inputs[k];
            if (in != PROBE_NONE) {
                credit->n_left[in]++;
                if (probe->values[in].op != PROBE_NONE) {
                    credit->on_way[probe->values[in].op] = true;
                }
            }
        }
    }
}

static int begin_backward(struct credit *credit, struct baro_err *err)
{
    mark_way(credit, credit->target.value);
    int rc = credit->mode == CREDIT_CHANGE ? credit_match(credit, err) : 0;
    if (rc != 0 || (rc = credit_seed(credit, err)) != 0) {
        return rc;
    }
    credit_note_ready(credit, credit->target.value);
    credit->cursor = credit->now.probe->values[credit->target.value].op;
    if (credit->mode == CREDIT_CHANGE && credit->total == 0) {
        credit->leaf_share = 1; /* nothing changed: nothing is left to explain */
        credit->cursor = PROBE_NONE;
    }
    credit->is_done = credit->cursor == PROBE_NONE;
    return 0;
}

static int begin(struct credit *credit, struct baro_err *err)
{
    const struct probe *probe = credit->now.probe;
    int rc = check(credit, err);
    if (rc != 0 || (rc = count_rows(credit, err)) != 0 ||
        (rc = find_row(credit, err)) != 0) {
        return rc;
    }
    const size_t n_values = probe->n_values;
    credit->value_bits = baro_xcalloc(n_values, sizeof *credit->value_bits);
    credit->n_left = baro_xcalloc(n_values, sizeof *credit->n_left);
    credit->of = baro_xcalloc(n_values, sizeof *credit->of);
    credit->flow_of = baro_xcalloc(n_values, sizeof *credit->flow_of);
    credit->sums = baro_xcalloc(n_values, sizeof *credit->sums);
    credit->on_way = baro_xcalloc(probe->n_ops, sizeof *credit->on_way);
    credit->node_of = baro_xcalloc(probe->n_ops, sizeof *credit->node_of);
    memset(credit->node_of, 0xff, (size_t)probe->n_ops * sizeof *credit->node_of);
    credit->scale = 1;
    mark_fixed(credit);
    if (credit->mode == CREDIT_GRADIENT) {
        credit->tangent = baro_xcalloc(n_values, sizeof *credit->tangent);
        mark_way(credit, probe->loss != PROBE_NONE ? probe->loss : credit->target.value);
        rc = credit_gradient_begin(credit, err);
    } else {
        credit->before_of = baro_xcalloc(n_values, sizeof *credit->before_of);
        rc = begin_backward(credit, err);
    }
    credit->finding.total = credit->total;
    credit->finding.n_elements = credit->n_elements;
    credit->finding.n_bad = credit->n_bad;
    return rc;
}

int credit_begin(struct credit **out_credit, enum credit_mode mode, const struct probe *now,
    const struct probe *before, const struct credit_target *target, struct baro_err *err)
{
    struct credit *credit = baro_xcalloc(1, sizeof *credit);
    credit->mode = mode;
    credit->now.probe = now;
    credit->before.probe = before;
    credit->target = *target;
    const int rc = begin(credit, err);
    if (rc != 0) {
        credit_free(credit);
        return rc;
    }
    *out_credit = credit;
    return 0;
}

static void free_all(float **arrays, uint32_t n)
{
    for (uint32_t i = 0; arrays != NULL && i < n; i++) {
        free(arrays[i]);
    }
    free(arrays);
}

void credit_free(struct credit *credit)
{
    if (credit == NULL) {
        return;
    }
    const uint32_t n = credit->now.probe->n_values;
    free_all(credit->of, n);
    free_all(credit->tangent, n);
    for (uint32_t i = 0; credit->sums != NULL && i < n; i++) {
        free(credit->sums[i].unit);
        free(credit->sums[i].row);
    }
    credit_desk_finish(&credit->desk);
    free(credit->before_of);
    free(credit->value_bits);
    free(credit->n_left);
    free(credit->on_way);
    free(credit->node_of);
    free(credit->flow_of);
    free(credit->sums);
    free(credit->cross_rows);
    free(credit->nodes);
    free(credit->edges);
    free(credit->sorted_nodes);
    free(credit->sorted_edges);
    free(credit->sorted_sources);
    free(credit->sorted_samples);
    free(credit);
}

/* Whether anything came to an operation. */
static bool is_reached(const struct credit *credit, int32_t at)
{
    const struct probe_op *op = &credit->now.probe->ops[at];
    for (uint32_t k = 0; k < op->n_outputs; k++) {
        if (op->outputs[k] != PROBE_NONE && credit->of[op->outputs[k]] != NULL) {
            return true;
        }
    }
    return false;
}

/* Go to the operation before; explains it when anything came there. Returns elements touched. */
static int64_t step_back(struct credit *credit)
{
    const int32_t at = credit->cursor--;
    int64_t touched = 0;
    if (credit->on_way[at]) {
        touched = 1;
        if (is_reached(credit, at)) {
            touched = credit_explain(credit, at);
        }
        credit_pass_inputs(credit, at);
        credit->n_passed++;
    }
    credit->is_done = credit->cursor < 0 || credit->n_passed == credit->n_way;
    return touched;
}

bool credit_work(struct credit *credit, int64_t n_elements)
{
    while (!credit->is_done) {
        n_elements -= credit->mode == CREDIT_GRADIENT ? credit_gradient_step(credit)
                                                      : step_back(credit);
        if (credit->is_done) {
            credit_note_end(credit);
        }
        if (n_elements <= 0) {
            break;
        }
    }
    return !credit->is_done;
}

const char *credit_own_name(enum credit_own own)
{
    static const char *const names[] = {
        "bias", "shift", "scale", "noise", "weight", "rest", "unknown", "round"};
    static_assert(BARO_LEN(names) == CREDIT_OWN_COUNT, "each own share has a name");
    return (int)own >= 0 && own < CREDIT_OWN_COUNT ? names[own] : "?";
}
