/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_rig.h"

#include <math.h>

/* A network of two layers: y = relu(x w1^T + b1) w2^T + b2, loss = sum y^2 / (3 batch). */
enum { BATCH = 6, INPUTS = 4, HIDDEN = 5, OUTPUTS = 3 };

struct net {
    float x[BATCH * INPUTS], w1[HIDDEN * INPUTS], b1[HIDDEN], w2[OUTPUTS * HIDDEN],
        b2[OUTPUTS];
};

struct passed {
    float z1[BATCH * HIDDEN], h[BATCH * HIDDEN], z2[BATCH * OUTPUTS], y2[BATCH * OUTPUTS],
        loss;
};

/* Values of the probe of a net, in their order. */
enum { X, W1, B1, W2, B2, W1T, Z1, H, W2T, Z2, SQUARES, LOSS, N_VALUES };

static uint32_t random_state = 1;

static float random_number(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 24) * 2 - 1;
}

static void fill(float *x, int n)
{
    for (int i = 0; i < n; i++) {
        x[i] = random_number();
    }
}

static void make_net(struct net *net, uint32_t seed)
{
    random_state = seed;
    fill(net->x, BATCH * INPUTS);
    fill(net->w1, HIDDEN * INPUTS);
    fill(net->b1, HIDDEN);
    fill(net->w2, OUTPUTS * HIDDEN);
    fill(net->b2, OUTPUTS);
}

static void multiply(
    const float *x, const float *w, const float *b, int inputs, int outputs, float *z)
{
    for (int r = 0; r < BATCH; r++) {
        for (int o = 0; o < outputs; o++) {
            double sum = (double)b[o];
            for (int i = 0; i < inputs; i++) {
                sum += (double)x[r * inputs + i] * (double)w[o * inputs + i];
            }
            z[r * outputs + o] = (float)sum;
        }
    }
}

static double pass_on(const struct net *net, struct passed *out)
{
    multiply(net->x, net->w1, net->b1, INPUTS, HIDDEN, out->z1);
    for (int i = 0; i < BATCH * HIDDEN; i++) {
        out->h[i] = out->z1[i] > 0 ? out->z1[i] : 0;
    }
    multiply(out->h, net->w2, net->b2, HIDDEN, OUTPUTS, out->z2);
    double loss = 0;
    for (int i = 0; i < BATCH * OUTPUTS; i++) {
        out->y2[i] = out->z2[i] * out->z2[i];
        loss += (double)out->y2[i];
    }
    out->loss = (float)(loss / (BATCH * OUTPUTS));
    return loss / (BATCH * OUTPUTS);
}

static const struct probe *probe_net(
    struct rig *rig, const struct net *net, uint32_t n_rows, const int64_t *rows)
{
    struct passed passed;
    (void)pass_on(net, &passed);
    rig_begin(rig, BATCH, n_rows, rows);
    const enum probe_kept kept = PROBE_KEPT_ROWS;
    const struct rig_value values[N_VALUES] = {
        [X] = {PROBE_INPUT, "input 0", {BATCH, INPUTS}, 2, 1, 2, kept, net->x},
        [W1] = {PROBE_PARAMETER, "fc1.weight", {HIDDEN, INPUTS}, 2, 0, 1, PROBE_KEPT_ALL,
            net->w1},
        [B1] = {PROBE_PARAMETER, "fc1.bias", {HIDDEN}, 1, 0, 1, PROBE_KEPT_ALL, net->b1},
        [W2] = {PROBE_PARAMETER, "fc2.weight", {OUTPUTS, HIDDEN}, 2, 0, 1, PROBE_KEPT_ALL,
            net->w2},
        [B2] = {PROBE_PARAMETER, "fc2.bias", {OUTPUTS}, 1, 0, 1, PROBE_KEPT_ALL, net->b2},
        [W1T] = {PROBE_RESULT, "", {INPUTS, HIDDEN}, 2, 0, 0, PROBE_KEPT_NONE, NULL},
        [Z1] = {PROBE_RESULT, "", {BATCH, HIDDEN}, 2, 1, 2, kept, passed.z1},
        [H] = {PROBE_RESULT, "", {BATCH, HIDDEN}, 2, 1, 2, kept, passed.h},
        [W2T] = {PROBE_RESULT, "", {HIDDEN, OUTPUTS}, 2, 0, 0, PROBE_KEPT_NONE, NULL},
        [Z2] = {PROBE_RESULT, "", {BATCH, OUTPUTS}, 2, 1, 2, kept, passed.z2},
        [SQUARES] = {PROBE_RESULT, "", {BATCH, OUTPUTS}, 2, 1, 2, kept, passed.y2},
        [LOSS] = {PROBE_RESULT, "", {0}, 0, 0, 0, PROBE_KEPT_ALL, &passed.loss},
    };
    for (int i = 0; i < N_VALUES; i++) {
        assert_int_equal(rig_value(rig, values[i]), i);
    }
    rig_op(rig, (struct rig_op){"t", "fc1", "", {W1}, 1, {W1T}, 1});
    rig_op(rig, (struct rig_op){"addmm", "fc1", "", {B1, X, W1T}, 3, {Z1}, 1});
    rig_op(rig, (struct rig_op){"relu", "act", "", {Z1}, 1, {H}, 1});
    rig_op(rig, (struct rig_op){"t", "fc2", "", {W2}, 1, {W2T}, 1});
    rig_op(rig, (struct rig_op){"addmm", "fc2", "", {B2, H, W2T}, 3, {Z2}, 1});
    rig_op(rig, (struct rig_op){"pow", "", "exponent=2", {Z2}, 1, {SQUARES}, 1});
    rig_op(rig, (struct rig_op){"mean", "", "", {SQUARES}, 1, {LOSS}, 1});
    return rig_end(rig, LOSS);
}

enum { OP_T1, OP_FC1, OP_RELU, OP_T2, OP_FC2, OP_POW, OP_MEAN };

/* The derivative of the loss by one number of the net, by differences. */
static double slope(struct net *net, float *number)
{
    struct passed passed;
    const float held = *number;
    const float step = 1e-2f;
    *number = held + step;
    const double above = pass_on(net, &passed);
    const double up = (double)*number;
    *number = held - step;
    const double below = pass_on(net, &passed);
    const double by = up - (double)*number;
    *number = held;
    return (above - below) / by;
}

static const struct credit_target loss_target = {LOSS, -1, -1};

static void the_example_of_the_essay_is_right(void **state)
{
    const float a[2] = {2, 0.5f};
    const float a0[2] = {1, 0.5f};
    const float w[2] = {3, 2};
    const float w0[2] = {2.5f, 2};
    const float b = 1;
    const float y = 8;
    const float y0 = 5.5f - 1; /* 2.5 + 1 + 1 */
    struct rig rigs[2];
    const struct probe *probes[2];
    for (int i = 0; i < 2; i++) {
        rig_begin(&rigs[i], 0, 0, NULL);
        rig_value(&rigs[i], (struct rig_value){PROBE_INPUT, "a", {1, 2}, 2, 0, 2,
                                PROBE_KEPT_ALL, i == 0 ? a : a0});
        rig_value(&rigs[i], (struct rig_value){PROBE_PARAMETER, "w", {2, 1}, 2, 0, 1,
                                PROBE_KEPT_ALL, i == 0 ? w : w0});
        rig_value(&rigs[i],
            (struct rig_value){PROBE_PARAMETER, "b", {1}, 1, 0, 0, PROBE_KEPT_ALL, &b});
        rig_value(&rigs[i], (struct rig_value){PROBE_RESULT, "", {1, 1}, 2, 0, 0,
                                PROBE_KEPT_ALL, i == 0 ? &y : &y0});
        rig_op(&rigs[i], (struct rig_op){"addmm", "fc", "", {2, 0, 1}, 3, {3}, 1});
        probes[i] = rig_end(&rigs[i], 3);
    }
    struct credit *credit = NULL;
    const struct credit_target target = {3, -1, -1};
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probes[0], NULL, target);
    rig_near(finding->total, 8, 1, 1e-6);
    rig_near(rig_source(finding, 0, 0, -1), 0.75, 1, 1e-5);
    rig_near(rig_source(finding, 0, 1, -1), 0.125, 1, 1e-5);
    rig_near(rig_own(finding, CREDIT_OWN_BIAS), 0.125, 1, 1e-5);
    rig_near(finding->explained, 1, 1, 1e-5);
    credit_free(credit);
    finding = rig_explain(&credit, CREDIT_CHANGE, probes[0], probes[1], target);
    rig_near(finding->total, 3.5, 1, 1e-6);
    rig_near(rig_share_of(finding, 0), 2.75 / 3.5, 1, 1e-6);
    rig_near(rig_own(finding, CREDIT_OWN_WEIGHT), 0.75 / 3.5, 1, 1e-6);
    rig_near(rig_source(finding, 1, 0, -1), 0.75 / 3.5, 1, 1e-6);
    rig_near(finding->explained, 1, 1, 1e-6);
    credit_free(credit);
    rig_free(&rigs[0]);
    rig_free(&rigs[1]);
}

static void the_gradient_example_is_right(void **state)
{
    const float u = 2;
    const float square = 4;
    const float numbers[2] = {12, 8};
    const float loss = 20;
    struct rig rig;
    rig_begin(&rig, 0, 0, NULL);
    const float *x[] = {&u, &square, &numbers[0], &numbers[1], &loss};
    for (int i = 0; i < 5; i++) {
        rig_value(&rig, (struct rig_value){i == 0 ? PROBE_INPUT : PROBE_RESULT, "", {0}, 0,
                            0, 0, PROBE_KEPT_ALL, x[i]});
    }
    rig_op(&rig, (struct rig_op){"pow", "", "exponent=2", {0}, 1, {1}, 1});
    rig_op(&rig, (struct rig_op){"mul", "", "other=3", {1}, 1, {2}, 1});
    rig_op(&rig, (struct rig_op){"mul", "", "other=4.0", {0}, 1, {3}, 1});
    rig_op(&rig, (struct rig_op){"add", "", "alpha=1", {2, 3}, 2, {4}, 1});
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(&credit, CREDIT_GRADIENT,
        rig_end(&rig, 4), NULL, (struct credit_target){0, -1, -1});
    rig_near(finding->total, 16, 1, 1e-6);
    rig_near(rig_node(finding, 0)->share, 0.75, 1, 1e-6);
    rig_near(rig_node(finding, 2)->share, 0.25, 1, 1e-6);
    rig_near(rig_node(finding, 3)->share, 1, 1, 1e-6);
    rig_near(finding->explained, 1, 1, 1e-6);
    rig_near(finding->error_bound, 0, 1, 1e-9);
    credit_free(credit);
    rig_free(&rig);
}

/* Value mode by the definition, element by element in f64. */
static void share_layer(const float *x, const float *w, const float *b, const float *z,
    int inputs, int outputs, const double *came, double *out, double *bias)
{
    double most = 0;
    for (int i = 0; i < BATCH * outputs; i++) {
        most = fmax(most, fabs((double)z[i]));
    }
    for (int i = 0; i < BATCH * outputs; i++) {
        const double by = (double)z[i] + (z[i] < 0 ? -1e-6 : 1e-6) * most;
        for (int u = 0; u < inputs; u++) {
            const double part =
                (double)x[i / outputs * inputs + u] * (double)w[i % outputs * inputs + u];
            out[i / outputs * inputs + u] += part / by * came[i];
        }
        *bias += (double)b[i % outputs] / by * came[i];
    }
}

static void value_mode_is_its_definition(void **state)
{
    struct net net;
    make_net(&net, 7);
    struct passed passed;
    (void)pass_on(&net, &passed);
    struct rig rig;
    const struct probe *probe = probe_net(&rig, &net, BATCH, NULL);
    struct credit *credit = NULL;
    const struct credit_target target = {Z2, 1, -1};
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, target);
    double total = 0;
    double r2[BATCH * OUTPUTS] = {0};
    for (int i = 0; i < BATCH; i++) {
        total += (double)passed.z2[i * OUTPUTS + 1];
    }
    for (int i = 0; i < BATCH; i++) {
        r2[i * OUTPUTS + 1] = (double)passed.z2[i * OUTPUTS + 1] / total;
    }
    double r1[BATCH * HIDDEN] = {0};
    double r0[BATCH * INPUTS] = {0};
    double bias[2] = {0};
    share_layer(passed.h, net.w2, net.b2, passed.z2, HIDDEN, OUTPUTS, r2, r1, &bias[1]);
    share_layer(net.x, net.w1, net.b1, passed.z1, INPUTS, HIDDEN, r1, r0, &bias[0]);
    rig_near(finding->total, total, fabs(total), 1e-5);
    rig_near(rig_node(finding, OP_FC1)->own[CREDIT_OWN_BIAS], bias[0], fabs(bias[0]), 1e-4);
    rig_near(rig_node(finding, OP_FC2)->own[CREDIT_OWN_BIAS], bias[1], fabs(bias[1]), 1e-4);
    for (int u = 0; u < INPUTS; u++) {
        double sum = 0;
        for (int r = 0; r < BATCH; r++) {
            sum += r0[r * INPUTS + u];
        }
        rig_near(rig_source(finding, X, u, -1), sum, 1, 1e-4);
    }
    for (int r = 0; r < BATCH; r++) {
        double sum = 0;
        for (int u = 0; u < INPUTS; u++) {
            sum += r0[r * INPUTS + u];
        }
        rig_near(rig_source(finding, X, -1, r), sum, 1, 1e-4);
    }
    rig_near(finding->explained, 1, 1, 1e-3);
    rig_near(rig_node(finding, OP_RELU)->share, rig_share_of(finding, H), 1, 1e-6);
    credit_free(credit);
    rig_free(&rig);
}

static void value_mode_of_one_sample_stays_with_it(void **state)
{
    struct net net;
    make_net(&net, 3);
    struct rig rig;
    const int64_t rows[] = {1, 4, 5};
    const struct probe *probe = probe_net(&rig, &net, 3, rows);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){Z2, 2, 4});
    struct passed passed;
    (void)pass_on(&net, &passed);
    rig_near(finding->total, (double)passed.z2[4 * OUTPUTS + 2], 1, 1e-6);
    assert_int_equal(finding->n_elements, 1);
    assert_true(fabs(rig_source(finding, X, -1, 4)) > 0);
    rig_near(rig_source(finding, X, -1, 1), 0, 1, 0);
    rig_near(finding->explained, 1, 1, 1e-4);
    struct credit *other = NULL;
    struct baro_err err;
    const struct credit_target not_kept = {Z2, 2, 3};
    assert_int_equal(
        credit_begin(&other, CREDIT_VALUE, probe, NULL, &not_kept, &err), BARO_ENOENT);
    credit_free(credit);
    rig_free(&rig);
}

static void samples_that_were_not_kept_are_rest(void **state)
{
    struct net net;
    make_net(&net, 5);
    struct rig rig;
    struct passed passed;
    (void)pass_on(&net, &passed);
    const struct probe *probe = probe_net(&rig, &net, 2, NULL);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, loss_target);
    double kept = 0;
    for (int i = 0; i < 2 * OUTPUTS; i++) {
        kept += (double)passed.y2[i];
    }
    kept /= (double)passed.loss * BATCH * OUTPUTS;
    rig_near(rig_own(finding, CREDIT_OWN_REST), 1 - kept, 1, 1e-4);
    rig_near(finding->explained, 1, 1, 1e-3);
    assert_true(finding->error_bound >= 1 - kept - 1e-3);
    double row0 = 0;
    for (int i = 0; i < OUTPUTS; i++) {
        row0 += (double)passed.y2[i] / ((double)passed.loss * BATCH * OUTPUTS);
    }
    rig_near(rig_source(finding, LOSS, -1, 0), row0, 1, 1e-4);
    credit_free(credit);
    rig_free(&rig);
}

static void gradients_are_those_of_differences(void **state)
{
    struct net net;
    make_net(&net, 11);
    struct rig rig;
    const struct probe *probe = probe_net(&rig, &net, BATCH, NULL);
    for (int u = 0; u < INPUTS; u++) {
        double squares = 0;
        for (int r = 0; r < BATCH; r++) {
            const double g = slope(&net, &net.x[r * INPUTS + u]);
            squares += g * g;
        }
        struct credit *credit = NULL;
        const struct credit_finding *finding = rig_explain(
            &credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){X, u, -1});
        rig_near(finding->total, sqrt(squares), sqrt(squares), 1e-3);
        rig_near(finding->explained, 1, 1, 1e-4);
        for (int op = OP_FC1; op <= OP_MEAN; op += op == OP_RELU ? 2 : 1) {
            rig_near(rig_node(finding, op)->share, 1, 1, 1e-4);
        }
        for (int r = 0; r < BATCH; r++) {
            const double g = slope(&net, &net.x[r * INPUTS + u]);
            rig_near(rig_source(finding, X, -1, r), g * g / squares, 1, 1e-3);
            rig_near(rig_source(finding, Z1, -1, r), g * g / squares, 1, 1e-3);
        }
        credit_free(credit);
    }
    rig_free(&rig);
}

static void a_weights_gradient_is_shared_by_the_samples(void **state)
{
    struct net net;
    make_net(&net, 13);
    struct rig rig;
    const struct probe *probe = probe_net(&rig, &net, BATCH, NULL);
    double squares = 0;
    double gradient[HIDDEN * INPUTS];
    for (int i = 0; i < HIDDEN * INPUTS; i++) {
        gradient[i] = slope(&net, &net.w1[i]);
        squares += gradient[i] * gradient[i];
    }
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(
        &credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){W1, -1, -1});
    rig_near(finding->total, sqrt(squares), sqrt(squares), 1e-3);
    rig_near(finding->explained, 1, 1, 1e-4);
    double all = 0;
    for (int r = 0; r < BATCH; r++) { /* what is left when the sample weighs nothing */
        struct net alone = net;
        double along = 0;
        for (int i = 0; i < HIDDEN * INPUTS; i++) {
            double of_row = 0;
            const float held = alone.w1[i];
            for (int side = -1; side <= 1; side += 2) {
                struct passed passed;
                alone.w1[i] = held + (float)side * 1e-2f;
                (void)pass_on(&alone, &passed);
                for (int o = 0; o < OUTPUTS; o++) {
                    of_row += side * (double)passed.y2[r * OUTPUTS + o];
                }
            }
            alone.w1[i] = held;
            along += of_row / 2e-2 / (BATCH * OUTPUTS) * gradient[i];
        }
        rig_near(rig_source(finding, W1, -1, r), along / squares, 1, 2e-3);
        all += rig_source(finding, W1, -1, r);
    }
    rig_near(all, 1, 1, 1e-4);
    credit_free(credit);
    rig_free(&rig);
}

static void a_change_is_the_sum_of_its_parts(void **state)
{
    for (uint32_t seed = 1; seed < 20; seed++) {
        struct net net;
        make_net(&net, seed);
        struct net before = net;
        for (int i = 0; i < HIDDEN * INPUTS; i++) {
            before.w1[i] += 0.1f * random_number();
        }
        for (int i = 0; i < BATCH * INPUTS; i++) {
            before.x[i] += 0.5f * random_number();
        }
        for (int i = 0; i < OUTPUTS; i++) {
            before.b2[i] += 0.1f * random_number();
        }
        struct passed passed[2];
        (void)pass_on(&net, &passed[0]);
        (void)pass_on(&before, &passed[1]);
        struct rig rigs[2];
        const struct probe *now = probe_net(&rigs[0], &net, BATCH, NULL);
        const struct probe *then = probe_net(&rigs[1], &before, BATCH, NULL);
        struct credit *credit = NULL;
        const struct credit_finding *finding =
            rig_explain(&credit, CREDIT_CHANGE, now, then, loss_target);
        const double change = (double)passed[0].loss - (double)passed[1].loss;
        rig_near(finding->total, change, fabs(change), 1e-6);
        rig_near(finding->explained, 1, 1, 1e-3);
        const double data = rig_share_of(finding, X);
        const double own = rig_own(finding, CREDIT_OWN_WEIGHT);
        rig_near(data + own, 1, 1, 1e-3);
        rig_near(rig_node(finding, OP_FC1)->own[CREDIT_OWN_WEIGHT] +
                     rig_node(finding, OP_FC2)->own[CREDIT_OWN_WEIGHT],
            own, 1, 1e-9);
        double units = 0;
        for (int i = 0; i < HIDDEN; i++) {
            units += rig_source(finding, W1, i, -1);
        }
        rig_near(units, rig_node(finding, OP_FC1)->own[CREDIT_OWN_WEIGHT], 1, 1e-5);
        credit_free(credit);
        rig_free(&rigs[0]);
        rig_free(&rigs[1]);
    }
}

static void what_did_not_change_has_no_part_in_the_change(void **state)
{
    struct net net;
    make_net(&net, 21);
    struct net before = net;
    for (int i = 0; i < HIDDEN; i++) {
        before.w2[i] += 0.5f; /* of the first output */
    }
    struct rig rigs[2];
    const struct probe *now = probe_net(&rigs[0], &net, BATCH, NULL);
    const struct probe *then = probe_net(&rigs[1], &before, BATCH, NULL);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_CHANGE, now, then, loss_target);
    rig_near(rig_node(finding, OP_FC2)->own[CREDIT_OWN_WEIGHT], 1, 1, 1e-4);
    rig_near(rig_source(finding, W2, 0, -1), 1, 1, 1e-4);
    rig_near(rig_share_of(finding, X), 0, 1, 0);
    credit_free(credit);
    finding = rig_explain(&credit, CREDIT_CHANGE, now, now, loss_target);
    rig_near(finding->total, 0, 1, 0);
    assert_true(finding->is_done);
    credit_free(credit);
    rig_free(&rigs[0]);
    rig_free(&rigs[1]);
}

static void any_slice_of_the_work_is_valid(void **state)
{
    struct net net;
    make_net(&net, 9);
    struct rig rig;
    const struct probe *probe = probe_net(&rig, &net, BATCH, NULL);
    struct credit *credit = NULL;
    assert_int_equal(
        credit_begin(&credit, CREDIT_VALUE, probe, NULL, &loss_target, NULL), 0);
    const struct credit_finding *finding = credit_look(credit);
    assert_false(finding->is_done);
    rig_near(finding->explained, 0, 1, 0);
    rig_near(finding->error_bound, 1, 1, 1e-6);
    assert_true(credit_work(credit, 1));
    finding = credit_look(credit);
    assert_int_equal(finding->n_nodes, 1);
    assert_true(finding->fraction > 0 && finding->fraction < 1);
    assert_false(credit_work(credit, 1 << 30));
    finding = credit_look(credit);
    rig_near(finding->fraction, 1, 1, 0);
    rig_near(finding->error_bound, 0, 1, 1e-6);
    for (size_t i = 1; i < finding->n_edges; i++) {
        assert_true(finding->edges[i - 1].size >= finding->edges[i].size);
    }
    credit_free(credit);
    rig_free(&rig);
}

static void targets_are_found_by_words(void **state)
{
    struct net net;
    make_net(&net, 2);
    struct rig rig;
    const struct probe *probe = probe_net(&rig, &net, BATCH, NULL);
    static const struct {
        const char *words;
        struct credit_target wanted;
    } cases[] = {
        {"loss", {LOSS, -1, -1}},
        {"fc1", {Z1, -1, -1}},
        {"fc2[2]", {Z2, 2, -1}},
        {"fc2[2]@3", {Z2, 2, 3}},
        {"fc1.weight", {W1, -1, -1}},
        {"fc1.weight[4]", {W1, 4, -1}},
        {"input 0@1", {X, -1, 1}},
        {"#7", {H, -1, -1}},
    };
    struct baro_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct credit_target target;
        assert_int_equal(credit_find_target(probe, cases[i].words, &target, &err), 0);
        assert_int_equal(target.value, cases[i].wanted.value);
        assert_int_equal(target.unit, cases[i].wanted.unit);
        assert_int_equal(target.row, cases[i].wanted.row);
    }
    static const char *const wrong[] = {"fc3", "fc1.weightt", "fc2[3]", "fc2[x]", "#12",
        "#-1", "", "[1]", "loss[0]", "fc2[99999999999999999999]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct credit_target target;
        err = (struct baro_err){0};
        assert_int_equal(credit_find_target(probe, wrong[i], &target, &err), BARO_ENOENT);
        assert_true(strlen(err.text) > 10);
    }
    (void)credit_find_target(probe, "fc1.weightt", &(struct credit_target){0}, &err);
    assert_non_null(strstr(err.text, "fc1.weight"));
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_essay_is_right),
        cmocka_unit_test(the_gradient_example_is_right),
        cmocka_unit_test(value_mode_is_its_definition),
        cmocka_unit_test(value_mode_of_one_sample_stays_with_it),
        cmocka_unit_test(samples_that_were_not_kept_are_rest),
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(a_weights_gradient_is_shared_by_the_samples),
        cmocka_unit_test(a_change_is_the_sum_of_its_parts),
        cmocka_unit_test(what_did_not_change_has_no_part_in_the_change),
        cmocka_unit_test(any_slice_of_the_work_is_valid),
        cmocka_unit_test(targets_are_found_by_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
