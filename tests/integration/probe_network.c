/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/probe_network.h"

#include <math.h>
#include <stddef.h>

enum { N = 4, IN = 3, OUT = 2 };

static const float weight[OUT][IN] = {{1, 2, -1}, {0.5F, 3, 1}};
static const float bias[OUT] = {0.5F, 1};
static const float inputs[N][IN] = {{1, 0, 0}, {0, 1, 0}, {1, 1, 1}, {0, 0, 1}};

/* Add an array of floats of one or two dimensions, or a number; its number. */
static int32_t add(struct baro_probe *probe, const char *name, int kind, const float *data,
    int64_t n0, int64_t n1)
{
    const int64_t shape[2] = {n0, n1};
    const int n_dims = n1 > 0 ? 2 : n0 > 0 ? 1 : 0;
    const int is_batch = n0 == N;
    const struct baro_probe_value value = {
        .name = name,
        .kind = kind,
        .dtype = BARO_F32,
        .n_dims = n_dims,
        .shape = shape,
        .data = data,
        .batch_axis = is_batch ? 0 : -1,
        .unit_axis = is_batch     ? 1
                     : n_dims > 0 ? 0
                                  : -1,
        .keep = is_batch ? 1 : 2,
    };
    return (int32_t)baro_probe_value(probe, &value);
}

static int32_t apply(struct baro_probe *probe, const char *name, const char *module,
    const char *source, size_t n_inputs, const int32_t *taken, int32_t given)
{
    const struct baro_probe_op op = {
        .name = name,
        .module = module,
        .source = source,
        .n_inputs = n_inputs,
        .n_outputs = 1,
        .inputs = taken,
        .outputs = &given,
    };
    return (int32_t)baro_probe_op(probe, &op);
}

int push_network(struct baro_run *run, int64_t step, int reason, double scale)
{
    static const int64_t rows[2] = {0, 2};
    const struct baro_probe_options options = {
        .step = step, .reason = reason, .n_batch = N, .n_rows = 2, .rows = rows};
    struct baro_probe *probe = baro_probe_begin(run, &options);
    float x[N][IN];
    float hidden[N][OUT];
    float active[N][OUT];
    float powers[N][OUT];
    float loss = 0;
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < IN; k++) {
            x[i][k] = inputs[i][k] * (float)scale;
        }
        for (int unit = 0; unit < OUT; unit++) {
            hidden[i][unit] = bias[unit];
            for (int k = 0; k < IN; k++) {
                hidden[i][unit] += weight[unit][k] * x[i][k];
            }
            active[i][unit] = hidden[i][unit] > 0 ? hidden[i][unit] : 0;
            powers[i][unit] = expf(active[i][unit]);
            loss += (reason == 3 ? powers : active)[i][unit] / (N * OUT);
        }
    }
    const int32_t v_x = add(probe, "input", 1, &x[0][0], N, IN);
    const int32_t v_w = add(probe, "fc.weight", 2, &weight[0][0], OUT, IN);
    const int32_t v_b = add(probe, "fc.bias", 2, bias, OUT, 0);
    const int32_t v_t = add(probe, NULL, 0, NULL, IN, OUT);
    (void)apply(probe, "t", "fc", "net.py:9", 1, &v_w, v_t);
    const int32_t v_h = add(probe, NULL, 0, &hidden[0][0], N, OUT);
    const int32_t operands[3] = {v_b, v_x, v_t};
    (void)apply(probe, "addmm", "fc", "net.py:9", 3, operands, v_h);
    int32_t last = add(probe, NULL, 0, &active[0][0], N, OUT);
    (void)apply(probe, "relu", "act", "net.py:10", 1, &v_h, last);
    if (reason == 3) {
        const int64_t unit = 1;
        const int64_t row = 2;
        const int32_t before = last;
        last = add(probe, NULL, 0, &powers[0][0], N, OUT);
        const struct baro_probe_origin origin = {
            .op = apply(probe, "exp", "", "train.py:57", 1, &before, last),
            .value = last,
            .is_replayed = 1,
            .is_exact = 1,
            .n_units = 1,
            .n_rows = 1,
            .units = &unit,
            .rows = &row,
            .cause = "exp of 136 is more than 3.4e+38, the most an f32 holds",
        };
        (void)baro_probe_origin(probe, &origin);
    }
    const int32_t v_loss = add(probe, "loss", 0, &loss, 0, 0);
    (void)apply(probe, "mean", "", "train.py:58", 1, &last, v_loss);
    (void)baro_probe_loss(probe, v_loss);
    return baro_probe_end(probe, 0);
}
