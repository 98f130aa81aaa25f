/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

const struct credit_rule *credit_rule_of(struct credit *credit, const struct probe_op *op)
{
    /* Names of one probe are shared: the place of the text says which it is, mostly. */
    const size_t slot = ((uintptr_t)op->name >> 3) % CREDIT_RULE_SLOTS;
    if (credit->slot_name[slot] != op->name) {
        credit->slot_name[slot] = op->name;
        credit->slot_rule[slot] = credit_rule_find(op->name);
    }
    return credit->slot_rule[slot];
}

static void *grow(void *pointer, size_t n, size_t bytes)
{
    return baro_xrealloc(pointer, n, bytes);
}

static void make_room(struct credit_desk *desk, uint32_t n_in, uint32_t n_out)
{
    if (n_in > desk->room_in || desk->room_in == 0) {
        desk->room_in = n_in > 16 ? n_in : 16;
        desk->in = grow(desk->in, desk->room_in, sizeof *desk->in);
        desk->in0 = grow(desk->in0, desk->room_in, sizeof *desk->in0);
        desk->of_in = grow(desk->of_in, desk->room_in, sizeof *desk->of_in);
        desk->tangent_in = grow(desk->tangent_in, desk->room_in, sizeof *desk->tangent_in);
    }
    if (n_out > desk->room_out || desk->room_out == 0) {
        desk->room_out = n_out > 16 ? n_out : 16;
        desk->out = grow(desk->out, desk->room_out, sizeof *desk->out);
        desk->out0 = grow(desk->out0, desk->room_out, sizeof *desk->out0);
        desk->of_out = grow(desk->of_out, desk->room_out, sizeof *desk->of_out);
        desk->tangent_out =
            grow(desk->tangent_out, desk->room_out, sizeof *desk->tangent_out);
    }
}

static void own_memory(struct credit_desk *desk, float *memory)
{
    if (memory == NULL) {
        return;
    }
    if (desk->n_owned == desk->room_owned) {
        desk->room_owned = desk->room_owned * 2 + 16;
        desk->owned = grow(desk->owned, desk->room_owned, sizeof *desk->owned);
    }
    desk->owned[desk->n_owned++] = memory;
}

static void load(struct credit *credit, const struct credit_view *view, int32_t value,
    const struct credit_rule *rule, struct credit_array *out)
{
    *out = (struct credit_array){0};
    if (value == PROBE_NONE) {
        return;
    }
    const float *xt = NULL;
    if (rule != NULL && rule->takes_transposed &&
        (xt = credit_array_transposed(view, value)) != NULL) {
        credit_array_shape(view, &view->probe->values[value], out);
    } else {
        float *owned = NULL;
        (void)credit_array_load(view, value, out, &owned);
        own_memory(&credit->desk, owned);
    }
    out->xt = xt;
}

/* The operation of the probe before that is this one's like. */
static const struct probe_op *like_of(
    const struct credit *credit, const struct probe_op *op)
{
    for (uint32_t k = 0; k < op->n_outputs; k++) {
        if (op->outputs[k] != PROBE_NONE &&
            credit->before_of[op->outputs[k]] != PROBE_NONE) {
            const struct probe *before = credit->before.probe;
            int32_t at = before->values[credit->before_of[op->outputs[k]]].op;
            return at != PROBE_NONE ? &before->ops[at] : NULL;
        }
    }
    return NULL;
}

static void set_before(
    struct credit *credit, const struct probe_op *op, const struct credit_rule *rule)
{
    struct credit_desk *desk = &credit->desk;
    const struct probe_op *like = like_of(credit, op);
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        desk->in0[k] = (struct credit_array){0};
        if (like != NULL && k < like->n_inputs) {
            load(credit, &credit->before, like->inputs[k], rule, &desk->in0[k]);
        }
    }
    for (uint32_t k = 0; k < op->n_outputs; k++) {
        desk->out0[k] = (struct credit_array){0};
        if (like != NULL && k < like->n_outputs) {
            load(credit, &credit->before, like->outputs[k], NULL, &desk->out0[k]);
        }
    }
    desk->io.op0 = like;
    desk->io.probe0 = credit->before.probe;
}

void credit_desk_set(struct credit *credit, int32_t op_at, const struct credit_rule *rule)
{
    const struct probe *probe = credit->now.probe;
    const struct probe_op *op = &probe->ops[op_at];
    struct credit_desk *desk = &credit->desk;
    make_room(desk, op->n_inputs, op->n_outputs);
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        load(credit, &credit->now, op->inputs[k], rule, &desk->in[k]);
        desk->of_in[k] = NULL;
        desk->tangent_in[k] = NULL;
        if (op->inputs[k] != PROBE_NONE) {
            desk->in[k].is_fixed =
                (credit->value_bits[op->inputs[k]] & CREDIT_IS_FIXED) != 0;
        }
    }
    for (uint32_t k = 0; k < op->n_outputs; k++) {
        load(credit, &credit->now, op->outputs[k], NULL, &desk->out[k]);
        desk->of_out[k] = NULL;
        desk->tangent_out[k] = NULL;
    }
    memset(desk->own, 0, sizeof desk->own);
    desk->gain = 1;
    desk->singular = false;
    desk->gap = 0;
    desk->is_bad = false;
    desk->io = (struct credit_io){.probe = probe,
        .op = op,
        .n_in = op->n_inputs,
        .n_out = op->n_outputs,
        .in = desk->in,
        .out = desk->out,
        .of_out = desk->of_out,
        .of_in = desk->of_in,
        .own = desk->own,
        .gain = &desk->gain,
        .singular = &desk->singular,
        .gap = &desk->gap,
        .mode = credit->mode,
        .tangent_in = desk->tangent_in,
        .tangent_out = desk->tangent_out};
    if (credit->mode == CREDIT_CHANGE) {
        set_before(credit, op, rule);
        desk->io.in0 = desk->in0;
        desk->io.out0 = desk->out0;
    }
}

float *credit_desk_zeros(struct credit_desk *desk, int64_t n)
{
    float *x = baro_xcalloc_whole((size_t)n, sizeof *x);
    own_memory(desk, x);
    return x;
}

void credit_desk_take(struct credit_desk *desk, const float *memory)
{
    for (size_t i = 0; i < desk->n_owned; i++) {
        if (desk->owned[i] == memory) {
            desk->owned[i] = desk->owned[--desk->n_owned];
            return;
        }
    }
}

void credit_desk_clear(struct credit_desk *desk)
{
    for (size_t i = 0; i < desk->n_owned; i++) {
        free(desk->owned[i]);
    }
    desk->n_owned = 0;
}

void credit_desk_finish(struct credit_desk *desk)
{
    credit_desk_clear(desk);
    free(desk->in);
    free(desk->in0);
    free(desk->of_in);
    free(desk->tangent_in);
    free(desk->out);
    free(desk->out0);
    free(desk->of_out);
    free(desk->tangent_out);
    free(desk->owned);
    *desk = (struct credit_desk){0};
}

bool credit_clean(float *x, int64_t n)
{
    enum { LANES = 16 };
    float sums[LANES] = {0}; /* of zeros, unless something is not finite */
    int64_t at = 0;
    for (; at + LANES <= n; at += LANES) {
        for (int j = 0; j < LANES; j++) {
            sums[j] += x[at + j] * 0.0f;
        }
    }
    for (; at < n; at++) {
        sums[0] += x[at] * 0.0f;
    }
    for (int j = 1; j < LANES; j++) {
        sums[0] += sums[j];
    }
    if (sums[0] == 0.0f) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = isfinite(x[i]) ? x[i] : 0.0f;
    }
    return true;
}
