/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of recurrent layers that torch keeps as one operation. */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <assert.h>
#include <math.h>

enum { STEPS = 3, SAMPLES = 2, IN = 3, WIDTH = 2 };

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One LSTM step of a unit: gates are those of all four, a width apart. */
static void step_lstm(const double *gates, double *h, double *c)
{
    *c = sigmoid(gates[WIDTH]) * *c + sigmoid(gates[0]) * tanh(gates[2 * WIDTH]);
    *h = sigmoid(gates[3 * WIDTH]) * tanh(*c);
}

static double row_times(const double *w, const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

/* Input, w, u, b, b, h, c. */
static void run_layer(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_reversed = strstr(rig->attrs, "reverse=True") != NULL;
    for (int64_t n = 0; n < SAMPLES; n++) {
        double h[WIDTH];
        double c[WIDTH];
        memcpy(h, in[5] + n * WIDTH, sizeof h);
        memcpy(c, in[6] + n * WIDTH, sizeof c);
        for (int64_t t = 0; t < STEPS; t++) {
            const int64_t place = is_reversed ? STEPS - 1 - t : t;
            double gates[4 * WIDTH];
            for (int64_t g = 0; g < 4 * WIDTH; g++) {
                gates[g] =
                    row_times(in[1] + g * IN, in[0] + (place * SAMPLES + n) * IN, IN) +
                    row_times(in[2] + g * WIDTH, h, WIDTH) + in[3][g] + in[4][g];
            }
            for (int64_t u = 0; u < WIDTH; u++) {
                step_lstm(gates + u, &h[u], &c[u]);
                out[0][(place * SAMPLES + n) * WIDTH + u] = h[u];
            }
        }
        memcpy(out[1] + n * WIDTH, h, sizeof h);
        memcpy(out[2] + n * WIDTH, c, sizeof c);
    }
}

static void a_layer_goes_back_through_time_in_either_direction(void **state)
{
    (void)state;
    static const char *const all[] = {
        "reverse=False batch_sizes=[] mode=2 hidden_size=2 num_layers=1 has_biases=True "
        "bidirectional=False batch_first=True train=True",
        "reverse=True batch_sizes=[] mode=2 hidden_size=2 num_layers=1 has_biases=True"};
    for (int i = 0; i < 2; i++) {
        rule_rig_check(&(struct rule_rig){.name = "mkldnn_rnn_layer",
            .attrs = all[i],
            .rules = credit_rules_rnn,
            .n_in = 7,
            .n_out = 3,
            .in = {{.n_dims = 3, .shape = {STEPS, SAMPLES, IN}, .low = -1, .high = 2},
                {.n_dims = 2, .shape = {4 * WIDTH, IN}, .low = -1, .high = 1},
                {.n_dims = 2, .shape = {4 * WIDTH, WIDTH}, .low = -1, .high = 1},
                {.n_dims = 1, .shape = {4 * WIDTH}, .low = -1, .high = 1},
                {.n_dims = 1, .shape = {4 * WIDTH}, .low = -1, .high = 1},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}, .low = -1, .high = 1},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}, .low = -1, .high = 1}},
            .out = {{.n_dims = 3, .shape = {STEPS, SAMPLES, WIDTH}},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}}},
            .run = run_layer});
    }
}

/* Two bidirectional layers of plain tanh cells, batch first: input, 8 weights, buffer, h. */
static void run_stack(const struct rule_rig *rig, double *const *in, double *const *out)
{
    double below[STEPS][SAMPLES][2 * WIDTH];
    double above[STEPS][SAMPLES][2 * WIDTH];
    (void)rig;
    for (int64_t run = 0; run < 4; run++) {
        const int64_t width = run < 2 ? IN : 2 * WIDTH;
        for (int64_t e = 0; e < STEPS * SAMPLES; e++) {
            const int64_t n = e % SAMPLES;
            const int64_t t = run % 2 == 0 ? e / SAMPLES : STEPS - 1 - e / SAMPLES;
            const double *x = run < 2 ? in[0] + (n * STEPS + t) * IN : below[t][n];
            double *h = out[1] + (run * SAMPLES + n) * WIDTH;
            double next[WIDTH];
            if (e < SAMPLES) {
                memcpy(h, in[10] + (run * SAMPLES + n) * WIDTH, sizeof next);
            }
            for (int64_t u = 0; u < WIDTH; u++) {
                next[u] = tanh(row_times(in[1 + 2 * run] + u * width, x, width) +
                               row_times(in[2 + 2 * run] + u * WIDTH, h, WIDTH));
                above[t][n][run % 2 * WIDTH + u] = next[u];
            }
            memcpy(h, next, sizeof next);
        }
        if (run == 1) {
            memcpy(below, above, sizeof below);
        }
    }
    for (int64_t e = 0; e < STEPS * SAMPLES * 2 * WIDTH; e++) {
        out[0][e] =
            above[e / (2 * WIDTH) % STEPS][e / (2 * WIDTH * STEPS)][e % (2 * WIDTH)];
    }
}

static void a_stack_has_layers_and_directions(void **state)
{
    (void)state;
    struct rule_rig rig = {.name = "_cudnn_rnn",
        .attrs =
            "weight_stride0=2 mode=1 hidden_size=2 proj_size=0 num_layers=2 "
            "batch_first=True dropout=0.0 train=True bidirectional=True batch_sizes=[]",
        .rules = credit_rules_rnn,
        .n_in = 11,
        .n_out = 2,
        .run = run_stack};
    static_assert(RULE_RIG_MOST >= 11, "operands of a stack");
    rig.in[0] = (struct rule_rig_array){
        .n_dims = 3, .shape = {SAMPLES, STEPS, IN}, .low = -1, .high = 2};
    for (int run = 0; run < 4; run++) {
        rig.in[1 + 2 * run] = (struct rule_rig_array){
            .n_dims = 2, .shape = {WIDTH, run < 2 ? IN : 2 * WIDTH}, .low = -1, .high = 1};
        rig.in[2 + 2 * run] = (struct rule_rig_array){
            .n_dims = 2, .shape = {WIDTH, WIDTH}, .low = -1, .high = 1};
    }
    rig.in[9] = (struct rule_rig_array){.n_dims = 1, .shape = {1}, .is_frozen = true};
    rig.in[10] = (struct rule_rig_array){
        .n_dims = 3, .shape = {4, SAMPLES, WIDTH}, .low = -1, .high = 1};
    rig.out[0] = (struct rule_rig_array){.n_dims = 3, .shape = {SAMPLES, STEPS, 2 * WIDTH}};
    rig.out[1] = (struct rule_rig_array){.n_dims = 3, .shape = {4, SAMPLES, WIDTH}};
    rule_rig_check(&rig);
}

/* Input gates, hidden gates, h, and biases of both. */
static void run_gru(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < SAMPLES * WIDTH; e++) {
        double a[3];
        double b[3];
        for (int64_t g = 0; g < 3; g++) {
            const int64_t column = g * WIDTH + e % WIDTH;
            a[g] = in[0][e / WIDTH * 3 * WIDTH + column] + in[3][column];
            b[g] = in[1][e / WIDTH * 3 * WIDTH + column] + in[4][column];
        }
        const double fresh = tanh(a[2] + sigmoid(a[0] + b[0]) * b[2]);
        out[0][e] = fresh + sigmoid(a[1] + b[1]) * (in[2][e] - fresh);
    }
}

static void run_lstm(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < SAMPLES * WIDTH; e++) {
        double gates[4 * WIDTH];
        for (int64_t g = 0; g < 4; g++) {
            const int64_t column = g * WIDTH + e % WIDTH;
            gates[g * WIDTH] = in[0][e / WIDTH * 4 * WIDTH + column] + in[3][column] +
                               in[1][e / WIDTH * 4 * WIDTH + column] + in[4][column];
        }
        out[1][e] = in[2][e];
        step_lstm(gates, &out[0][e], &out[1][e]);
    }
}

static void single_steps_have_their_biases_inside(void **state)
{
    (void)state;
    for (int64_t gates = 3; gates <= 4; gates++) {
        rule_rig_check(&(struct rule_rig){
            .name = gates == 3 ? "_thnn_fused_gru_cell" : "_thnn_fused_lstm_cell",
            .attrs = "",
            .rules = credit_rules_cell,
            .n_in = 5,
            .n_out = gates == 3 ? 1 : 2,
            .in = {{.n_dims = 2, .shape = {SAMPLES, gates * WIDTH}, .low = -1, .high = 2},
                {.n_dims = 2, .shape = {SAMPLES, gates * WIDTH}, .low = -1, .high = 2},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}, .low = -1, .high = 1},
                {.n_dims = 1, .shape = {gates * WIDTH}, .low = -1, .high = 1},
                {.n_dims = 1, .shape = {gates * WIDTH}, .low = -1, .high = 1}},
            .out = {{.n_dims = 2, .shape = {SAMPLES, WIDTH}},
                {.n_dims = 2, .shape = {SAMPLES, WIDTH}}},
            .run = gates == 3 ? run_gru : run_lstm});
    }
}

static void what_left_no_trace_is_not_guessed(void **state)
{
    (void)state;
    float x[STEPS * SAMPLES * IN] = {0};
    const struct rule_rig rig = {.name = "_cudnn_rnn",
        .attrs =
            "weight_stride0=4 mode=2 hidden_size=2 num_layers=2 dropout=0.5 train=True",
        .rules = credit_rules_rnn,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 3, .shape = {STEPS, SAMPLES, IN}}},
        .out = {{.n_dims = 3, .shape = {STEPS, SAMPLES, WIDTH}}}};
    struct rule_rig_call call = {.in = {x}, .out = {x}, .of_out = {x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), BARO_EUNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_goes_back_through_time_in_either_direction),
        cmocka_unit_test(a_stack_has_layers_and_directions),
        cmocka_unit_test(single_steps_have_their_biases_inside),
        cmocka_unit_test(what_left_no_trace_is_not_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
