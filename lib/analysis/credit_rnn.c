/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_cell.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/*
 * Recurrent networks in one operation: oneDNN's LSTM layer (torch 2 on a CPU) and cuDNN's whole
 * stack of LSTM, GRU or plain layers. What happened inside was not kept, so it is computed again
 * from input, weights and first state; then credit goes back through the layers and through time, a
 * step as in credit_cell.c, and between steps as in any linear operation:
 *
 *   input gates  gi = W x + b        hidden gates  gh = U h + b
 *
 * value mode by the eps rule (biases are CREDIT_OWN_BIAS), change mode by the mean of both sides.
 *
 * Dropout between layers leaves no trace of what was dropped, packed sequences and projections are
 * laid out otherwise: not covered.
 */

enum { MOST_RUNS = 64, WEIGHTS = 4 };

enum { W_INPUT = 0, W_HIDDEN, B_INPUT, B_HIDDEN };

/* A whole operation; a run is a layer in one direction. */
struct rnn {
    enum cell_kind kind;
    int64_t steps;
    int64_t n; /* samples */
    int64_t width;
    int64_t in_width; /* of the first layer */
    int n_gates;
    int layers;
    int directions;
    int each;            /* weights of a run */
    uint32_t state_at;   /* which input the first hidden state is; c comes after it */
    bool is_reversed;    /* the only direction is from the end */
    bool is_batch_first; /* input and output are [samples][steps][..] */
    struct credit_sides input, hidden, state;
    struct credit_sides weight[MOST_RUNS][WEIGHTS];
    struct credit_sides out, last_hidden, last_state;
};

/* What was computed again of one run and side, or tangents of it; [steps][samples][..]. */
struct trace {
    float *x;
    float *input_gates;
    float *hidden_gates;
    float *hidden; /* steps + 1 of them, in order of time passed: the first is given */
    float *state;
};

static float *zeros(int64_t n)
{
    return baro_xcalloc((size_t)n, sizeof(float));
}

static int64_t in_width_of(const struct rnn *rnn, int run)
{
    return run < rnn->directions ? rnn->in_width : rnn->directions * rnn->width;
}

static int64_t gates_row(const struct rnn *rnn)
{
    return rnn->n_gates * rnn->width;
}

static void start_trace(const struct rnn *rnn, int run, struct trace *trace)
{
    const int64_t cells = rnn->n * rnn->width;
    trace->x = zeros(rnn->steps * rnn->n * in_width_of(rnn, run));
    trace->input_gates = zeros(rnn->steps * rnn->n * gates_row(rnn));
    trace->hidden_gates = zeros(rnn->steps * rnn->n * gates_row(rnn));
    trace->hidden = zeros((rnn->steps + 1) * cells);
    trace->state = zeros((rnn->steps + 1) * cells);
}

static void finish_trace(const struct trace *trace)
{
    free(trace->x);
    free(trace->input_gates);
    free(trace->hidden_gates);
    free(trace->hidden);
    free(trace->state);
}

/* Whether a run goes from the last step to the first. */
static bool goes_back(const struct rnn *rnn, int run)
{
    return rnn->is_reversed || run % rnn->directions == 1;
}

/* The place in time of a run's t-th step. */
static int64_t time_of(const struct rnn *rnn, int run, int64_t t)
{
    return goes_back(rnn, run) ? rnn->steps - 1 - t : t;
}

/* out[rows][to] += x[rows][from] w[to][from]^T */
static void apply_weight(
    const float *x, int64_t rows, int64_t from, const float *w, int64_t to, float *out)
{
    baro_autofree float *turned = zeros(from * to);
    matmul_transpose(w, to, from, turned);
    matmul_add(rows, to, from, (struct matmul_matrix){x, from, 1},
        (struct matmul_matrix){turned, to, 1}, out, to);
}

static void add_rows(const float *row, int64_t rows, int64_t width, float *out)
{
    for (int64_t e = 0; row != NULL && e < rows * width; e++) {
        out[e] += row[e % width];
    }
}

static const float *side_of(const struct credit_sides *sides, bool is_now)
{
    return is_now ? sides->now : sides->before;
}

/* A run's gates of hidden state at step t; h is before it. */
static void hidden_gates(
    const struct rnn *rnn, int run, bool is_now, const float *h, float *out)
{
    const struct credit_sides *w = rnn->weight[run];
    memset(out, 0, (size_t)(rnn->n * gates_row(rnn)) * sizeof *out);
    apply_weight(h, rnn->n, rnn->width, side_of(&w[W_HIDDEN], is_now), gates_row(rnn), out);
    add_rows(side_of(&w[B_HIDDEN], is_now), rnn->n, gates_row(rnn), out);
}

static struct cell_point point_at(
    const struct rnn *rnn, int run, const struct trace *trace, int64_t t)
{
    const int64_t place = time_of(rnn, run, t);
    const int64_t cells = rnn->n * rnn->width;
    const int64_t gates = rnn->n * gates_row(rnn);
    return (struct cell_point){trace->input_gates + place * gates,
        trace->hidden_gates + place * gates,
        (rnn->kind == CELL_LSTM ? trace->state : trace->hidden) + t * cells};
}

/* Compute a run again from its x. */
static void compute_run(const struct rnn *rnn, int run, bool is_now, struct trace *trace)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t gates = rnn->n * gates_row(rnn);
    const struct credit_sides *w = rnn->weight[run];
    const float *h = side_of(&rnn->hidden, is_now);
    const float *c = side_of(&rnn->state, is_now);
    const int64_t rows = rnn->steps * rnn->n;
    apply_weight(trace->x, rows, in_width_of(rnn, run), side_of(&w[W_INPUT], is_now),
        gates_row(rnn), trace->input_gates);
    add_rows(side_of(&w[B_INPUT], is_now), rows, gates_row(rnn), trace->input_gates);
    if (h != NULL) {
        memcpy(trace->hidden, h + run * cells, (size_t)cells * sizeof *h);
    }
    if (c != NULL) {
        memcpy(trace->state, c + run * cells, (size_t)cells * sizeof *c);
    }
    for (int64_t t = 0; t < rnn->steps; t++) {
        hidden_gates(rnn, run, is_now, trace->hidden + t * cells,
            trace->hidden_gates + time_of(rnn, run, t) * gates);
        const struct cell_point point = point_at(rnn, run, trace, t);
        const struct cell_result result = {trace->hidden + (t + 1) * cells,
            rnn->kind == CELL_LSTM ? trace->state + (t + 1) * cells : NULL};
        credit_cell_run(rnn->kind, rnn->n, rnn->width, &point, &result);
    }
}

/* Copy a run's hidden states into its columns of the layer's output. */
static void put_hidden(const struct rnn *rnn, int run, const float *hidden, float *layer)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t across = rnn->directions * rnn->width;
    const int64_t column = run % rnn->directions * rnn->width;
    for (int64_t t = 0; t < rnn->steps; t++) {
        float *at = layer + time_of(rnn, run, t) * rnn->n * across + column;
        for (int64_t e = 0; e < cells; e++) {
            at[e / rnn->width * across + e % rnn->width] = hidden[(t + 1) * cells + e];
        }
    }
}

/* Copy between [steps][samples] and the order of input and output. */
static void reorder(
    const struct rnn *rnn, const float *from, int64_t width, bool is_in, float *to)
{
    for (int64_t t = 0; t < rnn->steps; t++) {
        for (int64_t b = 0; b < rnn->n; b++) {
            const int64_t inside = (t * rnn->n + b) * width;
            const int64_t outside =
                rnn->is_batch_first ? (b * rnn->steps + t) * width : inside;
            const float *source = from + (is_in ? outside : inside);
            memcpy(to + (is_in ? inside : outside), source, (size_t)width * sizeof *to);
        }
    }
}

/* Compute all runs of a side. */
static void compute_all(const struct rnn *rnn, bool is_now, struct trace *traces)
{
    for (int run = 0; run < rnn->layers * rnn->directions; run++) {
        start_trace(rnn, run, &traces[run]);
        if (run < rnn->directions) {
            reorder(rnn, side_of(&rnn->input, is_now), rnn->in_width, true, traces[run].x);
        }
        for (int d = 0; run >= rnn->directions && d < rnn->directions; d++) {
            const int below = (run / rnn->directions - 1) * rnn->directions + d;
            put_hidden(rnn, below, traces[below].hidden, traces[run].x);
        }
        compute_run(rnn, run, is_now, &traces[run]);
    }
}

/* A linear map of rows: to = weight from + bias. */
struct linear {
    const struct credit_sides *weight;
    const struct credit_sides *bias;
    int64_t rows;
    int64_t from;
    int64_t to;
};

/* Carry slopes back: to d_x, and to weight and bias. */
static void linear_slopes(
    const struct linear *map, const float *d_rows, const float *mean_x, float *d_x)
{
    baro_autofree float *memory = NULL;
    const float *mean = credit_mean(map->weight, &memory);
    matmul_add(map->rows, map->from, map->to, (struct matmul_matrix){d_rows, map->to, 1},
        (struct matmul_matrix){mean, map->from, 1}, d_x, map->from);
    if (map->weight->to != NULL) {
        matmul_add(map->to, map->from, map->rows,
            (struct matmul_matrix){d_rows, 1, map->to},
            (struct matmul_matrix){mean_x, map->from, 1}, map->weight->to, map->from);
    }
    for (int64_t e = 0; map->bias->to != NULL && e < map->rows * map->to; e++) {
        map->bias->to[e % map->to] += d_rows[e];
    }
}

/* Carry shares of z back by the eps rule, added to of_x; overwrites the shares. */
static void linear_shares(const struct credit_io *io, const struct linear *map,
    float *shares, const float *z, const float *x, float *of_x)
{
    credit_divide(io, z, shares, map->rows * map->to, shares);
    const float *bias = map->bias->now;
    for (int64_t e = 0; bias != NULL && e < map->rows * map->to; e++) {
        io->own[CREDIT_OWN_BIAS] += (double)shares[e] * (double)bias[e % map->to];
    }
    baro_autofree float *back = zeros(map->rows * map->from);
    matmul_add(map->rows, map->from, map->to, (struct matmul_matrix){shares, map->to, 1},
        (struct matmul_matrix){map->weight->now, map->from, 1}, back, map->from);
    for (int64_t e = 0; e < map->rows * map->from; e++) {
        of_x[e] += back[e] * x[e];
    }
}

/* The mean of two arrays, as an array of its own. */
static float *mean_of(const float *a, const float *b, int64_t n)
{
    float *mean = zeros(n);
    for (int64_t e = 0; e < n; e++) {
        mean[e] = 0.5F * a[e] + 0.5F * b[e];
    }
    return mean;
}

/* A run at work: traces before [0] and now [1], and what is known as it goes back. */
struct back {
    const struct trace *traces[2];
    float *mean_hidden; /* of both sides */
    float *of_hidden;   /* of the step's results */
    float *of_state;
    float *of_input_gates;  /* of all steps */
    float *of_hidden_gates; /* of one */
    float *of_before;       /* state of the step before */
};

static void start_back(const struct rnn *rnn, struct back *back)
{
    const int64_t cells = rnn->n * rnn->width;
    back->mean_hidden =
        mean_of(back->traces[0]->hidden, back->traces[1]->hidden, (rnn->steps + 1) * cells);
    back->of_hidden = zeros(cells);
    back->of_state = zeros(cells);
    back->of_before = zeros(cells);
    back->of_input_gates = zeros(rnn->steps * rnn->n * gates_row(rnn));
    back->of_hidden_gates = zeros(rnn->n * gates_row(rnn));
}

static void finish_back(const struct back *back)
{
    free(back->mean_hidden);
    free(back->of_hidden);
    free(back->of_state);
    free(back->of_before);
    free(back->of_input_gates);
    free(back->of_hidden_gates);
}

/* Go back one step of a run: from its results to what went in. */
static void back_step(const struct credit_io *io, const struct rnn *rnn, int run,
    struct back *back, int64_t t)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t gates = rnn->n * gates_row(rnn);
    const int64_t place = time_of(rnn, run, t);
    const struct cell_point points[2] = {
        point_at(rnn, run, back->traces[0], t), point_at(rnn, run, back->traces[1], t)};
    const struct cell_result known = {
        back->of_hidden, rnn->kind == CELL_LSTM ? back->of_state : NULL};
    const struct cell_of out = {
        back->of_input_gates + place * gates, back->of_hidden_gates, back->of_before};
    const struct linear map = {&rnn->weight[run][W_HIDDEN], &rnn->weight[run][B_HIDDEN],
        rnn->n, rnn->width, gates_row(rnn)};
    if (io->mode == CREDIT_VALUE) {
        const double eps = credit_eps(points[1].input_gates, NULL, gates);
        credit_cell_shares(rnn->kind, rnn->n, rnn->width, &points[1], &known, eps, &out);
        memset(back->of_hidden, 0, (size_t)cells * sizeof(float));
        linear_shares(io, &map, back->of_hidden_gates, points[1].hidden_gates,
            back->traces[1]->hidden + t * cells, back->of_hidden);
    } else {
        credit_cell_slopes(rnn->kind, rnn->n, rnn->width, points, &known, &out);
        memset(back->of_hidden, 0, (size_t)cells * sizeof(float));
        linear_slopes(
            &map, back->of_hidden_gates, back->mean_hidden + t * cells, back->of_hidden);
    }
    for (int64_t e = 0; e < cells; e++) {
        if (rnn->kind == CELL_LSTM) {
            back->of_state[e] = back->of_before[e];
        } else if (rnn->kind == CELL_GRU) {
            back->of_hidden[e] += back->of_before[e];
        }
    }
}

static void add_cells(const float *from, int64_t n, float *to)
{
    for (int64_t e = 0; from != NULL && to != NULL && e < n; e++) {
        to[e] += from[e];
    }
}

/* Go back through a run: of_layer has what is known of its layer's output, of_x is added to. */
static void back_run(const struct credit_io *io, const struct rnn *rnn, int run,
    struct back *back, const float *of_layer, float *of_x)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t across = rnn->directions * rnn->width;
    const int64_t column = run % rnn->directions * rnn->width;
    start_back(rnn, back);
    add_cells(rnn->last_hidden.from != NULL ? rnn->last_hidden.from + run * cells : NULL,
        cells, back->of_hidden);
    add_cells(rnn->last_state.from != NULL ? rnn->last_state.from + run * cells : NULL,
        cells, back->of_state);
    for (int64_t t = rnn->steps - 1; t >= 0; t--) {
        const float *at = of_layer + time_of(rnn, run, t) * rnn->n * across + column;
        for (int64_t e = 0; e < cells; e++) {
            back->of_hidden[e] += at[e / rnn->width * across + e % rnn->width];
        }
        back_step(io, rnn, run, back, t);
    }
    const struct linear map = {&rnn->weight[run][W_INPUT], &rnn->weight[run][B_INPUT],
        rnn->steps * rnn->n, in_width_of(rnn, run), gates_row(rnn)};
    const struct trace *now = back->traces[1];
    if (io->mode == CREDIT_VALUE) {
        linear_shares(io, &map, back->of_input_gates, now->input_gates, now->x, of_x);
    } else {
        baro_autofree float *mean =
            mean_of(back->traces[0]->x, now->x, map.rows * map.from);
        linear_slopes(&map, back->of_input_gates, mean, of_x);
    }
    add_cells(back->of_hidden, cells,
        rnn->hidden.to != NULL ? rnn->hidden.to + run * cells : NULL);
    add_cells(
        back->of_state, cells, rnn->state.to != NULL ? rnn->state.to + run * cells : NULL);
    finish_back(back);
}

/* Go back through all layers. */
static void back_all(const struct credit_io *io, const struct rnn *rnn,
    const struct trace *before, const struct trace *now)
{
    const int64_t across = rnn->directions * rnn->width;
    float *of_layer = zeros(rnn->steps * rnn->n * across);
    if (rnn->out.from != NULL) {
        reorder(rnn, rnn->out.from, across, true, of_layer);
    }
    for (int layer = rnn->layers - 1; layer >= 0; layer--) {
        const int first = layer * rnn->directions;
        float *of_x = zeros(rnn->steps * rnn->n * in_width_of(rnn, first));
        for (int run = first; run < first + rnn->directions; run++) {
            struct back back = {.traces = {&before[run], &now[run]}};
            back_run(io, rnn, run, &back, of_layer, of_x);
        }
        free(of_layer);
        of_layer = of_x;
    }
    if (rnn->input.to != NULL) {
        baro_autofree float *ordered = zeros(rnn->input.n);
        reorder(rnn, of_layer, rnn->in_width, false, ordered);
        add_cells(ordered, rnn->input.n, rnn->input.to);
    }
    free(of_layer);
}

/* Take weights from input `at` on, those of one run after the other. */
static int take_weights(const struct credit_io *io, struct rnn *rnn, uint32_t at, int each)
{
    rnn->each = each;
    for (int run = 0; run < rnn->layers * rnn->directions; run++) {
        for (int k = 0; k < each; k++) {
            struct credit_sides *w = &rnn->weight[run][k];
            int rc = credit_input(io, at + (uint32_t)(run * each + k), w);
            const int64_t from = k == W_INPUT ? in_width_of(rnn, run) : rnn->width;
            const int64_t n = gates_row(rnn) * (k < B_INPUT ? from : 1);
            if (rc != 0 || w->now == NULL || w->n != n) {
                return rc != 0 ? rc : w->now == NULL ? BARO_ENOENT : BARO_EUNSUPPORTED;
            }
        }
    }
    return 0;
}

/* First states: of all runs. All zeros need no credit, however they lie. */
static int take_state(
    const struct credit_io *io, struct rnn *rnn, uint32_t at, struct credit_sides *state)
{
    int rc = credit_input(io, at, state);
    if (state->array == NULL ||
        state->n == rnn->layers * rnn->directions * rnn->n * rnn->width) {
        return rc;
    }
    const struct probe_value *value = state->array->value;
    const bool is_zero = value->count > 0 && value->l2 < 1e-30;
    *state = (struct credit_sides){0};
    return is_zero ? 0 : BARO_EUNSUPPORTED;
}

/* oneDNN: input, four weights, first hidden state, first c. */
static int begin_layer(const struct credit_io *io, struct rnn *rnn)
{
    rnn->kind = CELL_LSTM;
    rnn->layers = rnn->directions = 1;
    rnn->is_reversed = credit_attr_int(io, "reverse", 0, 0) != 0;
    if (credit_attr_int(io, "mode", 0, CELL_LSTM) != CELL_LSTM ||
        probe_attr_count(io->op, "batch_sizes") > 0) {
        return BARO_EUNSUPPORTED;
    }
    const bool has_biases = credit_attr_int(io, "has_biases", 0, 1) != 0;
    rnn->n_gates = credit_cell_gates(rnn->kind);
    int rc = take_weights(io, rnn, 1, has_biases ? 4 : 2);
    rnn->state_at = 1 + WEIGHTS;
    rc = rc == 0 ? take_state(io, rnn, rnn->state_at, &rnn->hidden) : rc;
    return rc == 0 ? take_state(io, rnn, rnn->state_at + 1, &rnn->state) : rc;
}

/* cuDNN: input, all weights, their buffer, first hidden state, first c, dropout's state. */
static int begin_stack(const struct credit_io *io, struct rnn *rnn)
{
    const int64_t mode = credit_attr_int(io, "mode", 0, -1);
    const int64_t layers = credit_attr_int(io, "num_layers", 0, 0);
    const int each = (int)credit_attr_int(io, "weight_stride0", 0, 0);
    rnn->directions = credit_attr_int(io, "bidirectional", 0, 0) != 0 ? 2 : 1;
    const bool drops = credit_attr(io, "dropout", 0, 0) > 0 && layers > 1 &&
                       credit_attr_int(io, "train", 0, 1) != 0;
    if (mode < 0 || mode >= CELL_KIND_COUNT || layers < 1 ||
        layers * rnn->directions > MOST_RUNS || (each != 2 && each != WEIGHTS) || drops ||
        credit_attr_int(io, "proj_size", 0, 0) != 0 ||
        probe_attr_count(io->op, "batch_sizes") > 0) {
        return BARO_EUNSUPPORTED;
    }
    rnn->kind = (enum cell_kind)mode;
    rnn->layers = (int)layers;
    rnn->n_gates = credit_cell_gates(rnn->kind);
    int rc = take_weights(io, rnn, 1, each);
    const uint32_t at = 2 + (uint32_t)(layers * rnn->directions * each);
    rnn->state_at = at;
    rc = rc == 0 ? take_state(io, rnn, at, &rnn->hidden) : rc;
    return rc == 0 && rnn->kind == CELL_LSTM ? take_state(io, rnn, at + 1, &rnn->state)
                                             : rc;
}

static int begin(const struct credit_io *io, struct rnn *rnn)
{
    const bool is_stack = strstr(io->op->name, "cudnn") != NULL;
    *rnn = (struct rnn){
        .is_batch_first = is_stack && credit_attr_int(io, "batch_first", 0, 0) != 0};
    int rc = credit_input(io, 0, &rnn->input);
    rc = rc == 0 ? credit_output(io, 0, &rnn->out) : rc;
    rc = rc == 0 ? credit_output(io, 1, &rnn->last_hidden) : rc;
    rc = rc == 0 ? credit_output(io, 2, &rnn->last_state) : rc;
    const struct credit_array *x = rnn->input.array;
    if (rc != 0 || rnn->input.now == NULL || x->n_dims != 3 || x->n == 0) {
        return rc != 0 ? rc : BARO_ENOENT;
    }
    rnn->steps = x->shape[rnn->is_batch_first ? 1 : 0];
    rnn->n = x->shape[rnn->is_batch_first ? 0 : 1];
    rnn->in_width = x->shape[2];
    rnn->width = credit_attr_int(io, "hidden_size", 0, 0);
    if (rnn->width <= 0 || rnn->width > INT32_MAX / 8) {
        return BARO_EUNSUPPORTED;
    }
    rc = is_stack ? begin_stack(io, rnn) : begin_layer(io, rnn);
    const int64_t cells = rnn->layers * rnn->directions * rnn->n * rnn->width;
    const bool is_well =
        (rnn->out.array == NULL ||
            rnn->out.n == rnn->steps * rnn->n * rnn->directions * rnn->width) &&
        (rnn->last_hidden.from == NULL || rnn->last_hidden.n == cells) &&
        (rnn->last_state.from == NULL || rnn->last_state.n == cells);
    return rc != 0 ? rc : is_well ? 0 : BARO_EUNSUPPORTED;
}

/* All modes. */
static int rnn_any(const struct credit_io *io)
{
    baro_autofree struct rnn *rnn = baro_xcalloc(1, sizeof *rnn);
    int rc = begin(io, rnn);
    if (rc != 0 || !credit_has_work(io)) {
        return rc;
    }
    const int n_runs = rnn->layers * rnn->directions;
    baro_autofree struct trace *now = baro_xcalloc((size_t)n_runs, sizeof *now);
    baro_autofree struct trace *before = baro_xcalloc((size_t)n_runs, sizeof *before);
    compute_all(rnn, true, now);
    if (io->in0 != NULL) {
        compute_all(rnn, false, before);
    }
    back_all(io, rnn, io->in0 != NULL ? before : now, now);
    for (int run = 0; run < n_runs; run++) {
        finish_trace(&now[run]);
        finish_trace(&before[run]); /* of NULLs where nothing is compared */
    }
    return 0;
}

/* Tangents of a weight or bias of a run: input `at` on, as take_weights has them. */
static const float *weight_tangent(
    const struct credit_io *io, const struct rnn *rnn, int run, int k)
{
    return rnn->weight[run][k].now != NULL ? io->tangent_in[1 + run * rnn->each + k] : NULL;
}

/* d_out[rows][to] += d_x w^T + x d_w^T + d_b. */
static void linear_tangents(const struct linear *map, const float *x, const float *d_x,
    const float *const d_weight_bias[2], float *d_out)
{
    if (d_x != NULL) {
        apply_weight(d_x, map->rows, map->from, map->weight->now, map->to, d_out);
    }
    if (d_weight_bias[0] != NULL) {
        apply_weight(x, map->rows, map->from, d_weight_bias[0], map->to, d_out);
    }
    add_rows(d_weight_bias[1], map->rows, map->to, d_out);
}

/* The tangents of a run, from those of its x. */
static void forward_run(const struct credit_io *io, const struct rnn *rnn, int run,
    const struct trace *now, struct trace *d)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t gates = rnn->n * gates_row(rnn);
    const struct linear in = {&rnn->weight[run][W_INPUT], &rnn->weight[run][B_INPUT],
        rnn->steps * rnn->n, in_width_of(rnn, run), gates_row(rnn)};
    const struct linear hid = {&rnn->weight[run][W_HIDDEN], &rnn->weight[run][B_HIDDEN],
        rnn->n, rnn->width, gates_row(rnn)};
    const float *const of_in[2] = {
        weight_tangent(io, rnn, run, W_INPUT), weight_tangent(io, rnn, run, B_INPUT)};
    const float *const of_hid[2] = {
        weight_tangent(io, rnn, run, W_HIDDEN), weight_tangent(io, rnn, run, B_HIDDEN)};
    linear_tangents(&in, now->x, d->x, of_in, d->input_gates);
    const float *h = rnn->hidden.now != NULL ? io->tangent_in[rnn->state_at] : NULL;
    const float *c = rnn->state.now != NULL ? io->tangent_in[rnn->state_at + 1] : NULL;
    add_cells(h != NULL ? h + run * cells : NULL, cells, d->hidden);
    add_cells(c != NULL ? c + run * cells : NULL, cells, d->state);
    for (int64_t t = 0; t < rnn->steps; t++) {
        linear_tangents(&hid, now->hidden + t * cells, d->hidden + t * cells, of_hid,
            d->hidden_gates + time_of(rnn, run, t) * gates);
        const struct cell_point point = point_at(rnn, run, now, t);
        const struct cell_point tangents = point_at(rnn, run, d, t);
        const struct cell_result result = {d->hidden + (t + 1) * cells,
            rnn->kind == CELL_LSTM ? d->state + (t + 1) * cells : NULL};
        credit_cell_tangents(rnn->kind, rnn->n, rnn->width, &point, &tangents, &result);
    }
}

/* Write the tangents of the results. */
static void give_tangents(
    const struct credit_io *io, const struct rnn *rnn, const struct trace *d)
{
    const int64_t cells = rnn->n * rnn->width;
    const int64_t across = rnn->directions * rnn->width;
    const int top = (rnn->layers - 1) * rnn->directions;
    if (rnn->out.array != NULL && io->tangent_out[0] != NULL) {
        baro_autofree float *layer = zeros(rnn->steps * rnn->n * across);
        baro_autofree float *ordered = zeros(rnn->out.n);
        for (int run = top; run < top + rnn->directions; run++) {
            put_hidden(rnn, run, d[run].hidden, layer);
        }
        reorder(rnn, layer, across, false, ordered);
        add_cells(ordered, rnn->out.n, io->tangent_out[0]);
    }
    for (int run = 0; run < rnn->layers * rnn->directions; run++) {
        if (rnn->last_hidden.array != NULL && io->tangent_out[1] != NULL) {
            add_cells(d[run].hidden + rnn->steps * cells, cells,
                io->tangent_out[1] + run * cells);
        }
        if (rnn->kind == CELL_LSTM && rnn->last_state.array != NULL &&
            io->tangent_out[2] != NULL) {
            add_cells(
                d[run].state + rnn->steps * cells, cells, io->tangent_out[2] + run * cells);
        }
    }
}

static int rnn_forward(const struct credit_io *io)
{
    baro_autofree struct rnn *rnn = baro_xcalloc(1, sizeof *rnn);
    int rc = begin(io, rnn);
    if (rc != 0) {
        return rc;
    }
    const int n_runs = rnn->layers * rnn->directions;
    baro_autofree struct trace *now = baro_xcalloc((size_t)n_runs, sizeof *now);
    baro_autofree struct trace *d = baro_xcalloc((size_t)n_runs, sizeof *d);
    compute_all(rnn, true, now);
    for (int run = 0; run < n_runs; run++) {
        start_trace(rnn, run, &d[run]);
        if (run < rnn->directions && io->tangent_in[0] != NULL) {
            reorder(rnn, io->tangent_in[0], rnn->in_width, true, d[run].x);
        }
        for (int k = 0; run >= rnn->directions && k < rnn->directions; k++) {
            const int below = (run / rnn->directions - 1) * rnn->directions + k;
            put_hidden(rnn, below, d[below].hidden, d[run].x);
        }
        forward_run(io, rnn, run, &now[run], &d[run]);
    }
    give_tangents(io, rnn, d);
    for (int run = 0; run < n_runs; run++) {
        finish_trace(&now[run]);
        finish_trace(&d[run]);
    }
    return 0;
}

const struct credit_rule credit_rules_rnn[] = {
    {"mkldnn_rnn_layer _cudnn_rnn", rnn_any, rnn_any, rnn_any, rnn_forward,
        .only_weighs = true},
    {0},
};
