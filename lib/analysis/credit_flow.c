/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/*
 * Value and change mode: one operation at a time, last ones first, so that all that comes to an
 * operation has come when it is explained. Its rule shares what came to its outputs out among its
 * inputs; here the shares are summed, noted, and added to those that other operations sent there.
 *
 * What does not come out again is not lost but booked (credit_op.h): for each operation
 *     in = edges + owns
 * holds to the last bit, so that what a finding does not explain can be seen.
 */

/* More than this part of a share is not lost by rounding. */
static const double MUCH = 1e-3;

static bool is_given(const struct credit_array *array)
{
    return array->value != NULL;
}

static bool has_signal(const struct credit_io *io)
{
    for (uint32_t k = 0; k < io->n_in; k++) {
        if (is_given(&io->in[k]) && !io->in[k].is_fixed) {
            return true;
        }
    }
    return false;
}

static void ask(struct credit *credit, const struct credit_rule *rule)
{
    struct credit_desk *desk = &credit->desk;
    const bool weights_only = credit->mode == CREDIT_VALUE && rule != NULL &&
                              rule->only_weighs && has_signal(&desk->io);
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        if (is_given(&desk->in[k]) && !(weights_only && desk->in[k].is_fixed)) {
            desk->of_in[k] = credit_desk_zeros(desk, desk->in[k].n);
        }
    }
}

/* Which sample an element is of; -1: of none. */
static int64_t row_of(
    const struct credit *credit, const struct credit_array *array, int64_t i)
{
    if (!credit_has_rows(&credit->now, array->value)) {
        return -1;
    }
    const int axis = array->value->batch_axis;
    int64_t inner = array->shape[axis] / credit->now.n_rows;
    const int64_t each = inner;
    for (int d = axis + 1; d < array->n_dims; d++) {
        inner *= array->shape[d];
    }
    return each > 0 ? i / inner % credit->now.n_rows : -1;
}

/* How much an input's element counts for outputs that are not finite. */
static double badness(const struct credit_array *in, int64_t i, bool has_bad)
{
    if (in->x == NULL || !isfinite(in->x[i])) {
        return in->x == NULL ? 0 : 1;
    }
    return has_bad ? 0 : fabs((double)in->x[i]);
}

/* Share outputs of one sample (-1: all) that are not finite out among the inputs. */
static void share_bad_row(const struct credit *credit, int64_t row, double share)
{
    const struct credit_desk *desk = &credit->desk;
    for (int has_bad = 1; has_bad >= 0; has_bad--) {
        double sum = 0;
        for (int is_second = 0; is_second <= 1; is_second++) {
            for (uint32_t k = 0; k < desk->io.n_in; k++) {
                const struct credit_array *in = &desk->in[k];
                const bool may = desk->of_in[k] != NULL && in->value->dtype <= BARO_BF16;
                for (int64_t i = 0; may && i < in->n; i++) {
                    const int64_t of = row < 0 ? -1 : row_of(credit, in, i);
                    if (of != row && of != -1) {
                        continue;
                    }
                    const double part = badness(in, i, has_bad != 0);
                    if (is_second) {
                        desk->of_in[k][i] += (float)(share * part / sum);
                    } else {
                        sum += part;
                    }
                }
            }
            if (sum == 0) {
                break;
            }
        }
        if (sum > 0) {
            return;
        }
    }
}

/*
 * Outputs that are not finite have no terms to share by: their shares go to the elements of the
 * inputs that are not finite, of the same sample; if there are none (it began here), by size. Takes
 * these shares away from what the rule is given.
 */
static void share_bad(struct credit *credit, const double *bad, int64_t n_rows)
{
    for (int64_t row = -1; row < n_rows; row++) {
        if (bad[row + 1] != 0) {
            share_bad_row(credit, row, bad[row + 1]);
        }
    }
}

/* Take out what the rule cannot share; out_bad: by samples, those of none first. */
static bool take_bad(struct credit *credit, double *out_bad)
{
    struct credit_desk *desk = &credit->desk;
    bool has_any = false;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        const struct credit_array *out = &desk->out[k];
        const float *of = desk->of_out[k];
        float *left = NULL;
        for (int64_t i = 0; of != NULL && out->x != NULL && i < out->n; i++) {
            if (of[i] == 0 || isfinite(out->x[i])) {
                continue;
            }
            if (left == NULL) {
                left = credit_desk_zeros(desk, out->n);
                memcpy(left, of, (size_t)out->n * sizeof *left);
                desk->of_out[k] = left;
                has_any = true;
            }
            out_bad[row_of(credit, out, i) + 1] += (double)of[i];
            left[i] = 0;
        }
    }
    desk->singular = desk->singular || has_any;
    return has_any;
}

/* Indices that an operation gives beside its values (a maximum's place) are made by no rule. */
static double stop_indices(struct credit *credit)
{
    struct credit_desk *desk = &credit->desk;
    double stopped = 0;
    for (uint32_t k = 1; k < desk->io.n_out; k++) {
        const int32_t value = desk->io.op->outputs[k];
        if (desk->of_out[k] != NULL && desk->out[k].value->dtype > BARO_BF16 &&
            desk->out[k].value->dtype != BARO_BOOL && credit->scale != 0) {
            stopped += credit->flow_of[value].share / credit->scale;
            desk->of_out[k] = NULL;
        }
    }
    return stopped;
}

/* Take back what a rule wrote that could not go on. */
static void forget(struct credit_desk *desk)
{
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        if (desk->of_in[k] != NULL) {
            memset(desk->of_in[k], 0, (size_t)desk->in[k].n * sizeof(float));
        }
    }
    memset(desk->own, 0, sizeof desk->own);
}

/* Whether an unknown operation may have made an output element by element from an input. */
static bool may_pass(const struct credit_io *io, uint32_t in, uint32_t out, bool is_any)
{
    const struct credit_array *from = &io->in[in];
    return io->of_in[in] != NULL && is_given(from) && from->n == io->out[out].n &&
           (is_any || !from->is_fixed) && from->value->dtype <= BARO_BF16;
}

/* How much an operand of an unknown operation counts: by its size, or by how it changed. */
static double weight_of(const struct credit_io *io, uint32_t k, int64_t i)
{
    if (io->in[k].x == NULL) {
        return 1;
    }
    if (io->mode != CREDIT_CHANGE) {
        return isfinite(io->in[k].x[i]) ? fabs((double)io->in[k].x[i]) : HUGE_VAL;
    }
    return io->in0[k].x == NULL ? 1
                                : fabs((double)io->in[k].x[i] - (double)io->in0[k].x[i]);
}

/* Pass one element on evenly; false: no operand may have made it. */
static bool pass_element(const struct credit_io *io, uint32_t out, int64_t i, bool is_any)
{
    double sum = 0;
    int n = 0;
    for (uint32_t k = 0; k < io->n_in; k++) {
        if (may_pass(io, k, out, is_any)) {
            sum += weight_of(io, k, i);
            n++;
        }
    }
    if (n == 0) {
        return false;
    }
    const double came = (double)io->of_out[out][i];
    for (uint32_t k = 0; k < io->n_in; k++) {
        if (!may_pass(io, k, out, is_any)) {
            continue;
        }
        const double part = sum > 0 && isfinite(sum) ? weight_of(io, k, i) / sum : 1.0 / n;
        if (io->mode != CREDIT_CHANGE) {
            io->of_in[k][i] += (float)(came * part);
        } else if (io->out[out].x != NULL && io->out0[out].x != NULL &&
                   io->in[k].x != NULL && io->in0[k].x != NULL) {
            const double changed = (double)io->out[out].x[i] - (double)io->out0[out].x[i];
            const double by = (double)io->in[k].x[i] - (double)io->in0[k].x[i];
            io->of_in[k][i] += by != 0 ? (float)(came * part * changed / by) : 0;
        }
    }
    return true;
}

/* An operation without a rule: passed on evenly, or stopped (what is left is booked). */
static void pass_on(const struct credit_io *io)
{
    const bool is_any = !has_signal(io);
    for (uint32_t out = 0; out < io->n_out; out++) {
        for (int64_t i = 0; io->of_out[out] != NULL && i < io->out[out].n; i++) {
            if (io->of_out[out][i] != 0 && !pass_element(io, out, i, is_any)) {
                break;
            }
        }
    }
}

/* Contributions of an array's elements; in the layout of xt where only that is at hand. */
struct parts {
    float *x; /* NULL: cannot be told */
    bool is_turned;
};

/* Give a copy with the last two axes exchanged, as xt has it. */
static float *turn(
    struct credit_desk *desk, const struct credit_array *array, const float *x)
{
    float *out = credit_desk_zeros(desk, array->n);
    const int64_t rows = array->shape[array->n_dims - 2];
    const int64_t columns = array->shape[array->n_dims - 1];
    for (int64_t at = 0; rows * columns > 0 && at < array->n; at += rows * columns) {
        matmul_transpose(x + at, rows, columns, out + at);
    }
    return out;
}

/* Shares themselves, or multipliers times changes. */
static struct parts contributions(struct credit_desk *desk, float *of,
    const struct credit_array *now, const struct credit_array *before)
{
    if (desk->io.mode != CREDIT_CHANGE) {
        return (struct parts){.x = of};
    }
    const bool is_turned = now->xt != NULL && before->xt != NULL;
    const float *x1 = is_turned ? now->xt : now->x;
    const float *x0 = is_turned ? before->xt : before->x;
    if (x1 == NULL || x0 == NULL || now->n != before->n) {
        return (struct parts){0};
    }
    float *parts = is_turned ? turn(desk, now, of) : credit_desk_zeros(desk, now->n);
    const float *by = is_turned ? parts : of;
    for (int64_t i = 0; i < now->n; i++) {
        parts[i] = by[i] * (x1[i] - x0[i]);
    }
    desk->is_bad = credit_clean(parts, now->n) || desk->is_bad;
    return (struct parts){parts, is_turned};
}

/* The parameter whose elements a value's are in the same order; else the value itself. */
static int32_t root_of(const struct probe *probe, int32_t value)
{
    static const char *const same[] = {
        "detach", "alias", "view", "_unsafe_view", "clone", "contiguous", "_to_copy", "to"};
    int32_t at = value;
    for (int steps = 0; steps < 8 && probe->values[at].op != PROBE_NONE; steps++) {
        const struct probe_op *op = &probe->ops[probe->values[at].op];
        bool is_same = false;
        for (size_t i = 0; i < BARO_LEN(same); i++) {
            is_same = is_same || strcmp(op->name, same[i]) == 0;
        }
        if (!is_same || op->n_inputs == 0 || op->inputs[0] == PROBE_NONE) {
            return value;
        }
        at = op->inputs[0];
    }
    const struct probe_value *root = &probe->values[at];
    const struct probe_value *seen = &probe->values[value];
    return root->n_dims == seen->n_dims &&
                   memcmp(root->shape, seen->shape,
                       (size_t)root->n_dims * sizeof root->shape[0]) == 0
               ? at
               : value;
}

/* Note what a weight that the optimiser changed did; under the parameter's own name if it can be. */
static void note_weight(struct credit *credit, uint32_t k, struct parts parts)
{
    const struct probe *probe = credit->now.probe;
    const int32_t value = credit->desk.io.op->inputs[k];
    struct credit_array array = credit->desk.in[k];
    if (parts.is_turned) {
        const int32_t root = probe->ops[probe->values[value].op].inputs[0];
        credit_array_shape(&credit->now, &probe->values[root], &array);
        credit_note_parts(credit, root, &array, parts.x);
        return;
    }
    const int32_t root = root_of(probe, value);
    array.value = &probe->values[root];
    credit_note_parts(credit, root, &array, parts.x);
}

/* Add what one operation sends to a value to what others sent there. */
static void accumulate(struct credit *credit, int32_t value, float *x, int64_t n)
{
    if (credit->of[value] == NULL) {
        credit_desk_take(&credit->desk, x);
        credit->of[value] = x;
        return;
    }
    float *sum = credit->of[value];
    for (int64_t i = 0; i < n; i++) {
        sum[i] += x[i];
    }
}

/* The way from one operation to one of its inputs. */
struct way {
    int32_t op;
    size_t first_edge;
    bool is_crossing; /* outputs have no samples */
    bool keeps_weights;
    double sent;
};

static void send(struct credit *credit, struct way *way, uint32_t k, const float *parts,
    struct credit_flow flow)
{
    struct credit_desk *desk = &credit->desk;
    const int32_t value = desk->io.op->inputs[k];
    const struct probe_value *to = &credit->now.probe->values[value];
    if (parts != NULL) {
        credit_note_parts(credit, value, &desk->in[k], parts);
        if (way->is_crossing) {
            credit_note_crossing(credit, &desk->in[k], parts);
        }
    }
    way->sent += flow.share;
    credit_note_edge(credit, way->first_edge, way->op, to->op, value, flow);
    credit->flow_of[value].share += flow.share;
    credit->flow_of[value].size += flow.size;
    if (to->op == PROBE_NONE) {
        credit->leaf_share += flow.share;
        return;
    }
    credit->pending += flow.size;
    accumulate(credit, value, desk->of_in[k], desk->in[k].n);
}

/* Send what the rule gave to one input; false: how much it is cannot be told from its elements. */
static bool send_input(struct credit *credit, struct way *way, uint32_t k)
{
    struct credit_desk *desk = &credit->desk;
    const struct credit_array *in = &desk->in[k];
    desk->is_bad = credit_clean(desk->of_in[k], in->n) || desk->is_bad;
    const struct parts parts = contributions(desk, desk->of_in[k], in, &desk->in0[k]);
    if (parts.x == NULL) {
        return credit_sum(desk->of_in[k], in->n, 1).size == 0;
    }
    const struct credit_flow flow = credit_sum(parts.x, in->n, credit->scale);
    if (flow.size == 0) {
        return true;
    }
    const int32_t value = desk->io.op->inputs[k];
    const uint8_t bits = credit->value_bits[value];
    if (in->value->op == PROBE_NONE && in->value->kind == PROBE_NOISE) {
        desk->own[CREDIT_OWN_NOISE] += flow.share / credit->scale;
        credit_note_parts(credit, value, in, parts.x);
        return true;
    }
    if (way->keeps_weights && (bits & CREDIT_FROM_PARAMETER) != 0 &&
        (bits & CREDIT_IS_FIXED) != 0) {
        desk->own[CREDIT_OWN_WEIGHT] += flow.share / credit->scale;
        note_weight(credit, k, parts);
        return true;
    }
    if ((bits & CREDIT_FROM_PARAMETER) != 0 && credit->mode == CREDIT_CHANGE &&
        in->value->kind == PROBE_PARAMETER) {
        desk->own[CREDIT_OWN_WEIGHT] += flow.share / credit->scale;
        note_weight(credit, k, parts);
        return true;
    }
    send(credit, way, k, parts.is_turned ? NULL : parts.x, flow);
    return true;
}

/* What of an operation's share is not sent nor owned has a reason, too. */
static void book_rest(
    struct credit *credit, const struct way *way, struct credit_flow came, bool is_known)
{
    struct credit_desk *desk = &credit->desk;
    double owned = 0;
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        if (!isfinite(desk->own[k])) {
            desk->own[k] = 0;
            desk->is_bad = true;
        }
        owned += desk->own[k] * credit->scale;
    }
    bool has_rows = false;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        has_rows = has_rows || (is_given(&desk->in[k]) &&
                                   credit_has_rows(&credit->now, desk->in[k].value));
    }
    /* Samples that were not kept went in: summed up, or what is more than rounding (a batch's
     * mean and deviation are in all of its outputs). */
    const double rest = came.share - way->sent - owned;
    const bool is_part =
        has_rows && credit->now.n_rows < credit->now.probe->n_batch &&
        (way->is_crossing || fabs(rest) > MUCH * (came.size + fabs(way->sent)));
    const enum credit_own kind = desk->is_bad || !is_known ? CREDIT_OWN_UNKNOWN
                                 : is_part                 ? CREDIT_OWN_REST
                                                           : CREDIT_OWN_ROUND;
    double left[CREDIT_OWN_COUNT] = {0};
    left[kind] = rest;
    credit_note_own(credit, way->op, desk->own, credit->scale);
    credit_note_own(credit, way->op, left, 1);
}

/* Inputs whose elements were not kept share what is left: their multipliers go on. */
static void send_blind(struct credit *credit, struct way *way, double came,
    uint32_t n_blind, const bool *is_blind)
{
    struct credit_desk *desk = &credit->desk;
    double owned = 0;
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        owned += isfinite(desk->own[k]) ? desk->own[k] * credit->scale : 0;
    }
    const double each = (came - way->sent - owned) / n_blind;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        if (is_blind[k]) {
            send(credit, way, k, NULL, (struct credit_flow){each, fabs(each)});
        }
    }
}

static void send_all(
    struct credit *credit, struct way *way, struct credit_flow came, bool is_known)
{
    struct credit_desk *desk = &credit->desk;
    baro_autofree bool *is_blind = baro_xcalloc(desk->io.n_in, sizeof *is_blind);
    uint32_t n_blind = 0;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        if (desk->of_in[k] != NULL && !send_input(credit, way, k)) {
            is_blind[k] = true;
            n_blind++;
        }
    }
    if (n_blind > 0) {
        send_blind(credit, way, came.share, n_blind, is_blind);
    }
    book_rest(credit, way, came, is_known);
}

/* Take what came to the outputs; gives its sums. */
static struct credit_flow take_outputs(struct credit *credit, struct way *way)
{
    struct credit_desk *desk = &credit->desk;
    struct credit_flow came = {0};
    way->is_crossing = true;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        const int32_t value = desk->io.op->outputs[k];
        if (value == PROBE_NONE || credit->of[value] == NULL) {
            continue;
        }
        float *of = credit->of[value];
        desk->of_out[k] = of;
        const float *parts = contributions(desk, of, &desk->out[k], &desk->out0[k]).x;
        came.share += credit->flow_of[value].share;
        came.size += parts != NULL ? credit_sum(parts, desk->out[k].n, credit->scale).size
                                   : credit->flow_of[value].size;
        credit->pending -= credit->flow_of[value].size;
        if (credit_has_rows(&credit->now, desk->out[k].value)) {
            way->is_crossing = false;
        }
    }
    desk->is_bad = false;
    return came;
}

static int apply(const struct credit *credit, const struct credit_rule *rule)
{
    if (rule == NULL) {
        return BARO_EUNSUPPORTED;
    }
    int (*function)(const struct credit_io *) = rule->value;
    if (credit->mode == CREDIT_CHANGE) {
        function = rule->change != NULL ? rule->change : rule->gradient;
        const struct credit_io *io = &credit->desk.io;
        if (io->op0 == NULL) {
            return BARO_EUNSUPPORTED;
        }
    }
    return function != NULL ? function(&credit->desk.io) : BARO_EUNSUPPORTED;
}

int64_t credit_explain(struct credit *credit, int32_t op)
{
    const struct credit_rule *rule = credit_rule_of(credit, &credit->now.probe->ops[op]);
    struct credit_desk *desk = &credit->desk;
    credit_desk_set(credit, op, rule);
    struct way way = {.op = op, .first_edge = credit->n_edges};
    const struct credit_flow came = take_outputs(credit, &way);
    way.keeps_weights = credit->mode == CREDIT_CHANGE && has_signal(&desk->io);
    ask(credit, rule);
    const int64_t n_rows = credit->now.n_rows;
    baro_autofree double *bad = baro_xcalloc((size_t)n_rows + 1, sizeof *bad);
    const bool has_bad = credit->mode == CREDIT_VALUE && rule != NULL && !rule->sees_bad &&
                         take_bad(credit, bad);
    const double stopped = stop_indices(credit);
    const bool is_known = apply(credit, rule) == 0;
    if (!is_known) {
        forget(desk);
        pass_on(&desk->io);
    }
    if (has_bad) { /* nothing times what is not finite is not nothing */
        for (uint32_t k = 0; k < desk->io.n_in; k++) {
            if (desk->of_in[k] != NULL) {
                (void)credit_clean(desk->of_in[k], desk->in[k].n);
            }
        }
        for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
            desk->own[k] = isfinite(desk->own[k]) ? desk->own[k] : 0;
        }
        share_bad(credit, bad, n_rows);
    }
    desk->own[CREDIT_OWN_UNKNOWN] += stopped;
    int64_t touched = 1;
    for (uint32_t k = 0; k < desk->io.n_in; k++) {
        touched += desk->in[k].n;
    }
    send_all(credit, &way, came, is_known);
    struct credit_node *node = credit_node_at(credit, op);
    node->share = came.share;
    node->size = came.size;
    node->gain = isfinite(desk->gain) ? desk->gain : HUGE_VAL;
    node->is_unknown = !is_known;
    node->is_singular = desk->singular || desk->is_bad;
    for (uint32_t k = 0; k < desk->io.n_out; k++) {
        const int32_t value = desk->io.op->outputs[k];
        touched += desk->out[k].n;
        if (value != PROBE_NONE && credit->of[value] != NULL) {
            free(credit->of[value]);
            credit->of[value] = NULL;
        }
    }
    credit_desk_clear(desk);
    return touched;
}

void credit_pass_inputs(struct credit *credit, int32_t at)
{
    const struct probe_op *op = &credit->now.probe->ops[at];
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        const int32_t value = op->inputs[k];
        if (value != PROBE_NONE && --credit->n_left[value] == 0) {
            credit_note_ready(credit, value);
        }
    }
}
