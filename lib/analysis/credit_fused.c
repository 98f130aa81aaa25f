/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_cell.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * One step of an LSTM or GRU as one operation (torch on CUDA without cuDNN): input gates, hidden
 * gates and state go in, biases are added to the gates first. See credit_cell.c for the step.
 */

enum { INPUT_GATES = 0, HIDDEN_GATES, STATE, INPUT_BIAS, HIDDEN_BIAS, OPERANDS };

struct fused {
    enum cell_kind kind;
    struct credit_sides operand[OPERANDS];
    struct credit_sides hidden, state; /* results */
    int64_t n;
    int64_t width;
    int64_t row;        /* gates of a sample */
    float *gates[2][2]; /* input and hidden gates with their biases, before and now */
    float *of[2];       /* what is known of those */
    float *of_state;
};

static void finish(struct fused *fused)
{
    for (int k = 0; k < 2; k++) {
        free(fused->gates[k][0]);
        free(fused->gates[k][1]);
        free(fused->of[k]);
    }
    free(fused->of_state);
}

/* Gates k of a side with their bias. */
static float *with_bias(const struct fused *fused, int k, bool is_now)
{
    const struct credit_sides *gates = &fused->operand[INPUT_GATES + k];
    const struct credit_sides *bias = &fused->operand[INPUT_BIAS + k];
    const float *from = is_now ? gates->now : gates->before;
    const float *add = is_now ? bias->now : bias->before;
    float *out = baro_xcalloc((size_t)gates->n, sizeof *out);
    for (int64_t e = 0; e < gates->n; e++) {
        out[e] = from[e] + (add != NULL ? add[e % fused->row] : 0);
    }
    return out;
}

static int begin(const struct credit_io *io, struct fused *fused)
{
    *fused =
        (struct fused){.kind = strstr(io->op->name, "lstm") != NULL ? CELL_LSTM : CELL_GRU};
    int rc = credit_output(io, 0, &fused->hidden);
    rc = rc == 0 && fused->kind == CELL_LSTM ? credit_output(io, 1, &fused->state) : rc;
    for (uint32_t i = 0; rc == 0 && i < OPERANDS; i++) {
        rc = credit_input(io, i, &fused->operand[i]);
        rc = rc == 0 && i <= STATE && fused->operand[i].now == NULL ? BARO_ENOENT : rc;
    }
    if (rc != 0) {
        return rc;
    }
    const struct credit_array *state = fused->operand[STATE].array;
    if (state->n_dims != 2 || state->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    fused->n = state->shape[0];
    fused->width = state->shape[1];
    fused->row = fused->width * credit_cell_gates(fused->kind);
    for (int k = 0; k < 2; k++) {
        if (fused->operand[INPUT_GATES + k].n != fused->n * fused->row ||
            (fused->operand[INPUT_BIAS + k].now != NULL &&
                fused->operand[INPUT_BIAS + k].n != fused->row)) {
            return BARO_EUNSUPPORTED;
        }
    }
    return 0;
}

static void start(struct fused *fused)
{
    for (int k = 0; k < 2; k++) {
        for (int side = 0; side < 2; side++) {
            fused->gates[k][side] = with_bias(fused, k, side == 1);
        }
        fused->of[k] = baro_xcalloc((size_t)(fused->n * fused->row), sizeof(float));
    }
    fused->of_state = baro_xcalloc((size_t)(fused->n * fused->width), sizeof(float));
}

static void add(const float *from, int64_t n, float *to, int64_t row)
{
    for (int64_t e = 0; to != NULL && e < n; e++) {
        to[e % row] += from[e];
    }
}

/* Share what came to gates between them and their bias. */
static void share_bias(const struct credit_io *io, struct fused *fused, int k)
{
    const struct credit_sides *gates = &fused->operand[INPUT_GATES + k];
    const struct credit_sides *bias = &fused->operand[INPUT_BIAS + k];
    credit_divide(io, fused->gates[k][1], fused->of[k], gates->n, fused->of[k]);
    for (int64_t e = 0; e < gates->n; e++) {
        if (bias->now != NULL) {
            io->own[CREDIT_OWN_BIAS] +=
                (double)fused->of[k][e] * (double)bias->now[e % fused->row];
        }
        fused->of[k][e] *= gates->now[e];
    }
}

/* All modes. */
static int fused_any(const struct credit_io *io)
{
    struct fused fused;
    int rc = begin(io, &fused);
    if (rc != 0 || !credit_has_work(io)) {
        return rc;
    }
    start(&fused);
    const int64_t cells = fused.n * fused.width;
    baro_autofree float *of_hidden = baro_xcalloc((size_t)cells, sizeof *of_hidden);
    baro_autofree float *of_new = baro_xcalloc((size_t)cells, sizeof *of_new);
    const bool is_value = io->mode == CREDIT_VALUE;
    for (int64_t e = 0; e < cells; e++) {
        of_hidden[e] = fused.hidden.from != NULL ? fused.hidden.from[e] : 0;
        of_new[e] = fused.state.from != NULL ? fused.state.from[e] : 0;
    }
    const struct cell_point points[2] = {
        {fused.gates[0][0], fused.gates[1][0], fused.operand[STATE].before},
        {fused.gates[0][1], fused.gates[1][1], fused.operand[STATE].now}};
    const struct cell_result known = {of_hidden, fused.kind == CELL_LSTM ? of_new : NULL};
    const struct cell_of out = {fused.of[0], fused.of[1], fused.of_state};
    if (is_value) {
        const double eps = credit_eps(fused.gates[0][1], NULL, fused.n * fused.row);
        credit_cell_shares(fused.kind, fused.n, fused.width, &points[1], &known, eps, &out);
    } else {
        credit_cell_slopes(fused.kind, fused.n, fused.width, points, &known, &out);
    }
    for (int k = 0; k < 2; k++) {
        if (is_value) {
            share_bias(io, &fused, k);
        } else {
            add(fused.of[k], fused.n * fused.row, fused.operand[INPUT_BIAS + k].to,
                fused.row);
        }
        add(fused.of[k], fused.n * fused.row, fused.operand[INPUT_GATES + k].to, INT64_MAX);
    }
    add(fused.of_state, cells, fused.operand[STATE].to, INT64_MAX);
    finish(&fused);
    return 0;
}

/* Tangents of gates with those of their bias. */
static float *gate_tangents(const struct credit_io *io, const struct fused *fused, int k)
{
    const int64_t n = fused->n * fused->row;
    const float *gates = io->tangent_in[INPUT_GATES + k];
    const bool has_bias = fused->operand[INPUT_BIAS + k].now != NULL;
    const float *bias = has_bias ? io->tangent_in[INPUT_BIAS + k] : NULL;
    float *out = baro_xcalloc((size_t)n, sizeof *out);
    for (int64_t e = 0; e < n; e++) {
        out[e] = (gates != NULL ? gates[e] : 0) + (bias != NULL ? bias[e % fused->row] : 0);
    }
    return out;
}

static int fused_forward(const struct credit_io *io)
{
    struct fused fused;
    int rc = begin(io, &fused);
    if (rc != 0) {
        return rc;
    }
    start(&fused);
    const int64_t cells = fused.n * fused.width;
    baro_autofree float *hidden = baro_xcalloc((size_t)cells, sizeof *hidden);
    baro_autofree float *state = baro_xcalloc((size_t)cells, sizeof *state);
    baro_autofree float *d_input = gate_tangents(io, &fused, 0);
    baro_autofree float *d_hidden = gate_tangents(io, &fused, 1);
    const struct cell_point point = {
        fused.gates[0][1], fused.gates[1][1], fused.operand[STATE].now};
    const struct cell_point tangents = {d_input, d_hidden, io->tangent_in[STATE]};
    const struct cell_result out = {hidden, fused.kind == CELL_LSTM ? state : NULL};
    credit_cell_tangents(fused.kind, fused.n, fused.width, &point, &tangents, &out);
    add(hidden, cells, io->tangent_out[0], INT64_MAX);
    if (fused.kind == CELL_LSTM && io->n_out > 1) {
        add(state, cells, io->tangent_out[1], INT64_MAX);
    }
    finish(&fused);
    return 0;
}

const struct credit_rule credit_rules_cell[] = {
    {"_thnn_fused_lstm_cell _thnn_fused_gru_cell", fused_any, fused_any, fused_any,
        fused_forward, .only_weighs = true},
    {0},
};
