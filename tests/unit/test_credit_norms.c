/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of normalisations, softmax and attention. */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <math.h>

#include "lib/analysis/credit_parts.h"

static const double eps = 1e-5;

/* Normalise the elements whose group is g: of(e) says which group and scale an element has. */
static void normalise(int64_t n, int64_t n_groups, const int64_t *group,
    const int64_t *scale_of, double *const *in, double *const *out)
{
    for (int64_t g = 0; g < n_groups; g++) {
        double sum = 0;
        double squares = 0;
        double count = 0;
        for (int64_t e = 0; e < n; e++) {
            sum += group[e] == g ? in[0][e] : 0;
            count += group[e] == g;
        }
        for (int64_t e = 0; e < n; e++) {
            squares += group[e] == g ? pow(in[0][e] - sum / count, 2) : 0;
        }
        const double r = 1 / sqrt(squares / count + eps);
        for (int64_t e = 0; e < n; e++) {
            if (group[e] == g) {
                out[0][e] =
                    in[1][scale_of[e]] * r * (in[0][e] - sum / count) + in[2][scale_of[e]];
            }
        }
        out[1][g] = sum / count;
        out[2][g] = r;
    }
}

enum { N = 48 }; /* elements of [4, 3, 4] */

static void run_batch_norm(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    int64_t channel[N];
    (void)rig;
    for (int64_t e = 0; e < N; e++) {
        channel[e] = e / 4 % 3;
    }
    normalise(N, 3, channel, channel, in, out);
}

static void run_layer_norm(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    int64_t sample[N];
    int64_t place[N];
    (void)rig;
    for (int64_t e = 0; e < N; e++) {
        sample[e] = e / 4;
        place[e] = e % 4;
    }
    normalise(N, 12, sample, place, in, out);
}

static void run_group_norm(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    int64_t group[N];
    int64_t channel[N];
    (void)rig;
    for (int64_t e = 0; e < N; e++) {
        group[e] = e / 8; /* 2 of 4 channels of [3, 4, 4] */
        channel[e] = e / 4 % 4;
    }
    normalise(N, 6, group, channel, in, out);
}

static void statistics_of_a_batch_are_ways_to_its_elements(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "native_batch_norm",
        .attrs = "training=True momentum=0.1 eps=1e-05",
        .rules = credit_rules_norm,
        .n_in = 3,
        .n_out = 3,
        .in = {{.n_dims = 3, .shape = {4, 3, 4}, .low = -1, .high = 2},
            {.n_dims = 1, .shape = {3}, .low = 0.5, .high = 2},
            {.n_dims = 1, .shape = {3}, .low = 1, .high = 3}},
        .out = {{.n_dims = 3, .shape = {4, 3, 4}},
            {.n_dims = 1, .shape = {3}, .is_statistic = true},
            {.n_dims = 1, .shape = {3}, .is_statistic = true}},
        .run = run_batch_norm});
}

static void layer_and_group_norms_are_of_samples(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "native_layer_norm",
        .attrs = "normalized_shape=[4] eps=1e-05",
        .rules = credit_rules_norm,
        .n_in = 3,
        .n_out = 3,
        .in = {{.n_dims = 3, .shape = {4, 3, 4}, .low = -1, .high = 2},
            {.n_dims = 1, .shape = {4}, .low = 0.5, .high = 2},
            {.n_dims = 1, .shape = {4}, .low = 3, .high = 5}},
        .out = {{.n_dims = 3, .shape = {4, 3, 4}},
            {.n_dims = 3, .shape = {4, 3, 1}, .is_statistic = true},
            {.n_dims = 3, .shape = {4, 3, 1}, .is_statistic = true}},
        .run = run_layer_norm});
    rule_rig_check(&(struct rule_rig){.name = "native_group_norm",
        .attrs = "N=3 C=4 HxW=4 group=2 eps=1e-05",
        .rules = credit_rules_norm,
        .n_in = 3,
        .n_out = 3,
        .in = {{.n_dims = 3, .shape = {3, 4, 4}, .low = -1, .high = 2},
            {.n_dims = 1, .shape = {4}, .low = 0.5, .high = 2},
            {.n_dims = 1, .shape = {4}, .low = 3, .high = 5}},
        .out = {{.n_dims = 3, .shape = {3, 4, 4}},
            {.n_dims = 2, .shape = {3, 2}, .is_statistic = true},
            {.n_dims = 2, .shape = {3, 2}, .is_statistic = true}},
        .run = run_group_norm});
}

static void run_evaluating(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < N; e++) {
        const int64_t c = e / 4 % 3;
        out[0][e] = in[1][c] * (in[0][e] - in[3][c]) / sqrt(in[4][c] + eps) + in[2][c];
    }
}

static void running_statistics_are_operands(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "native_batch_norm",
        .attrs = "training=False momentum=0.1 eps=1e-05",
        .rules = credit_rules_norm,
        .n_in = 5,
        .n_out = 1,
        .in = {{.n_dims = 3, .shape = {4, 3, 4}, .low = -1, .high = 2},
            {.n_dims = 1, .shape = {3}, .low = 0.5, .high = 2},
            {.n_dims = 1, .shape = {3}, .low = 1, .high = 3},
            {.n_dims = 1, .shape = {3}, .low = -1, .high = 1},
            {.n_dims = 1, .shape = {3}, .low = 0.5, .high = 3}},
        .out = {{.n_dims = 3, .shape = {4, 3, 4}}},
        .run = run_evaluating});
}

/* Of 4 samples 2 were kept; the others count in mean and deviation, as they were recorded. */
static void samples_that_were_not_kept_count_in_the_statistics(void **state)
{
    (void)state;
    const double x[4] = {1, 3, -2, 6};
    double y[4];
    double mean[1];
    double r[1];
    double *const in[3] = {(double[]){1, 3, -2, 6}, (double[]){2}, (double[]){0}};
    double *const out[3] = {y, mean, r};
    const int64_t zeros[4] = {0};
    normalise(4, 1, zeros, zeros, in, out);
    const struct rule_rig rig = {.name = "native_batch_norm",
        .attrs = "training=True eps=1e-05",
        .rules = credit_rules_norm,
        .n_in = 2,
        .n_out = 3,
        .in = {{.n_dims = 2, .shape = {2, 1}}, {.n_dims = 1, .shape = {1}}},
        .out = {{.n_dims = 2, .shape = {2, 1}}, {.n_dims = 1, .shape = {1}},
            {.n_dims = 1, .shape = {1}}}};
    float of_x[2];
    struct rule_rig_call call = {.in = {(float[]){(float)x[0], (float)x[1]}, (float[]){2}},
        .out = {(float[]){(float)y[0], (float)y[1]}, (float[]){(float)mean[0]},
            (float[]){(float)r[0]}},
        .of_out = {(float[]){1, 0}},
        .of_in = {of_x},
        .full = {(int64_t[]){4, 1}}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    /* u = (2, 0), c = (-1, 1), var 8.5: two more like them may add up to sqrt(6) by either way, to
     * squares of 4 that were given. */
    const double by_var = 1 / (8.5 * 8.5);
    assert_true(fabs(call.gap - sqrt((2 * 6.0 / 16) * (1 + by_var) / 4)) < 1e-4);
    for (int64_t e = 0; e < 2; e++) {
        double sides[2];
        for (int side = 0; side < 2; side++) {
            double *const moved[3] = {(double[]){1, 3, -2, 6}, in[1], in[2]};
            moved[0][e] += side == 1 ? 1e-5 : -1e-5;
            normalise(4, 1, zeros, zeros, moved, out);
            sides[side] = y[0];
        }
        assert_true(fabs((sides[1] - sides[0]) / 2e-5 - (double)of_x[e]) < 1e-4);
    }
    call.out[1] = NULL; /* not recorded: nothing is made up */
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), BARO_ENOENT);
}

/* The number of credit_norm.c: two elements always become -1 and 1. */
static void two_elements_that_are_normalised_cannot_change(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "native_layer_norm",
        .attrs = "normalized_shape=[2] eps=0.0",
        .rules = credit_rules_norm,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {2}}},
        .out = {{.n_dims = 1, .shape = {2}}}};
    float of_x[2];
    struct rule_rig_call call = {.in = {(float[]){1, 3}},
        .out = {(float[]){-1, 1}},
        .of_out = {(float[]){1, 0}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_true(fabs((double)of_x[0]) < 1e-6 && fabs((double)of_x[1]) < 1e-6);
    call.in[0] = (float[]){2, 2};
    assert_false(call.is_singular);
    assert_int_equal(rule_rig_run(&rig, CREDIT_VALUE, &call), 0);
    assert_true(call.is_singular);
}

/* Over the last axis of [4, 3, 4]. */
static void run_softmax(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_sum = strcmp(rig->name, "logsumexp") == 0;
    const bool is_log = strcmp(rig->name, "_log_softmax") == 0;
    for (int64_t g = 0; g < N / 4; g++) {
        double sum = 0;
        for (int64_t j = 0; j < 4; j++) {
            sum += exp(in[0][g * 4 + j]);
        }
        for (int64_t j = 0; j < 4 && !is_sum; j++) {
            const double y = in[0][g * 4 + j] - log(sum);
            out[0][g * 4 + j] = is_log ? y : exp(y);
        }
        if (is_sum) {
            out[0][g] = log(sum);
        }
    }
}

static void softmax_and_its_logarithms_are_exact(void **state)
{
    (void)state;
    static const char *const names[] = {"_softmax", "_log_softmax", "logsumexp"};
    for (int i = 0; i < 3; i++) {
        rule_rig_check(&(struct rule_rig){.name = names[i],
            .attrs = "dim=-1 half_to_float=False",
            .rules = credit_rules_softmax,
            .n_in = 1,
            .n_out = 1,
            .in = {{.n_dims = 3, .shape = {4, 3, 4}, .low = -2, .high = 4}},
            .out = {{.n_dims = i == 2 ? 2 : 3, .shape = {4, 3, 4}}},
            .run = run_softmax});
    }
}

/* The number of credit_softmax.c, and one that would overflow without logarithms. */
static void a_logsumexp_that_rises_is_what_its_parts_are(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "logsumexp",
        .attrs = "dim=[0]",
        .rules = credit_rules_softmax,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {2}}},
        .out = {{.n_dims = 0}}};
    float of_x[2];
    struct rule_rig_call call = {.in0 = {(float[]){0, 0}},
        .in = {(float[]){(float)log(4), 0}},
        .out0 = {(float[]){(float)log(2)}},
        .out = {(float[]){(float)log(5)}},
        .of_out = {(float[]){1}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[0] - 0.660964) < 1e-5);
    call.in[0] = (float[]){3000, 0};
    call.out[0] = (float[]){3000};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[0] * 3000 - (3000 - log(2))) < 1e-2);
    assert_true(fabs(credit_log_secant_exp(0, log(4)) - 0.771978) < 1e-6);
}

static void masked_logits_get_nothing(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "_softmax",
        .attrs = "dim=0 half_to_float=False",
        .rules = credit_rules_softmax,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {3}}},
        .out = {{.n_dims = 1, .shape = {3}}}};
    float of_x[3];
    struct rule_rig_call call = {.in = {(float[]){1, -INFINITY, 1}},
        .out = {(float[]){0.5F, 0, 0.5F}},
        .of_out = {(float[]){1, 0, 0}},
        .of_in = {of_x}};
    for (int mode = CREDIT_VALUE; mode <= CREDIT_GRADIENT; mode++) {
        assert_int_equal(rule_rig_run(&rig, (enum credit_mode)mode, &call), 0);
        assert_true(fabs((double)of_x[1]) <= 0);
        assert_true(isfinite(of_x[0]) && isfinite(of_x[2]));
    }
}

enum { HEADS = 4, QUERIES = 3, KEYS = 3, DEPTH = 2 };

static void run_attention(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_causal = strstr(rig->attrs, "is_causal=True") != NULL;
    for (int64_t row = 0; row < HEADS * QUERIES; row++) {
        const int64_t h = row / QUERIES;
        double z[KEYS];
        double sum = 0;
        for (int64_t j = 0; j < KEYS; j++) {
            z[j] = is_causal && j > row % QUERIES ? -1e9 : 0;
            for (int64_t d = 0; d < DEPTH; d++) {
                z[j] += in[0][row * DEPTH + d] * in[1][(h * KEYS + j) * DEPTH + d] /
                        sqrt(DEPTH);
            }
            z[j] += rig->n_in > 3 ? in[3][row % QUERIES * KEYS + j] : 0;
            sum += exp(z[j]);
        }
        for (int64_t d = 0; d < DEPTH; d++) {
            out[0][row * DEPTH + d] = 0;
            for (int64_t j = 0; j < KEYS; j++) {
                out[0][row * DEPTH + d] +=
                    exp(z[j]) / sum * in[2][(h * KEYS + j) * DEPTH + d];
            }
        }
    }
}

static void fused_attention_is_taken_apart(void **state)
{
    (void)state;
    struct rule_rig rig = {.name = "_scaled_dot_product_flash_attention_for_cpu",
        .attrs = "dropout_p=0.0 is_causal=True",
        .rules = credit_rules_attention,
        .n_in = 3,
        .n_out = 1,
        .in = {{.n_dims = 4, .shape = {2, 2, QUERIES, DEPTH}, .low = -1, .high = 2},
            {.n_dims = 4, .shape = {2, 2, KEYS, DEPTH}, .low = -1, .high = 2},
            {.n_dims = 4, .shape = {2, 2, KEYS, DEPTH}, .low = 0.5, .high = 2},
            {.n_dims = 2, .shape = {QUERIES, KEYS}, .low = -1, .high = 1}},
        .out = {{.n_dims = 4, .shape = {2, 2, QUERIES, DEPTH}}},
        .run = run_attention};
    rule_rig_check(&rig);
    rig.n_in = 4;
    rig.attrs = "dropout_p=0.0 is_causal=False";
    rule_rig_check(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_of_a_batch_are_ways_to_its_elements),
        cmocka_unit_test(layer_and_group_norms_are_of_samples),
        cmocka_unit_test(running_statistics_are_operands),
        cmocka_unit_test(samples_that_were_not_kept_count_in_the_statistics),
        cmocka_unit_test(two_elements_that_are_normalised_cannot_change),
        cmocka_unit_test(softmax_and_its_logarithms_are_exact),
        cmocka_unit_test(a_logsumexp_that_rises_is_what_its_parts_are),
        cmocka_unit_test(masked_logits_get_nothing),
        cmocka_unit_test(fused_attention_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
