/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of losses, reductions and choices. */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <math.h>

enum { ROWS = 4, COLUMNS = 5, N = ROWS * COLUMNS };

static bool is_named(const struct rule_rig *rig, const char *name)
{
    return strcmp(rig->name, name) == 0;
}

static double term(const struct rule_rig *rig, double x, double t, double p)
{
    const double d = x - t;
    if (is_named(rig, "huber_loss")) {
        return fabs(d) <= 0.5 ? 0.5 * d * d : 0.5 * (fabs(d) - 0.25);
    }
    if (is_named(rig, "smooth_l1_loss")) {
        return fabs(d) < 0.7 ? 0.5 * d * d / 0.7 : fabs(d) - 0.35;
    }
    if (is_named(rig, "binary_cross_entropy")) {
        return -t * log(x) - (1 - t) * log(1 - x);
    }
    if (is_named(rig, "binary_cross_entropy_with_logits")) {
        return (1 - t) * x + (1 + (p - 1) * t) * log1p(exp(-x));
    }
    return is_named(rig, "soft_margin_loss") ? log1p(exp(-t * x)) : d * d;
}

/* Prediction, target, weight of the columns, pos_weight of the columns. */
static void run_terms(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_each = strstr(rig->attrs, "reduction=0") != NULL;
    double sum = 0;
    for (int64_t e = 0; e < N; e++) {
        const double w = rig->n_in > 2 ? in[2][e % COLUMNS] : 1;
        const double one =
            w * term(rig, in[0][e], in[1][e], rig->n_in > 3 ? in[3][e % COLUMNS] : 1);
        sum += one;
        if (is_each) {
            out[0][e] = one;
        }
    }
    if (!is_each) {
        out[0][0] = strstr(rig->attrs, "reduction=2") != NULL ? sum : sum / N;
    }
}

static void losses_are_sums_of_their_terms(void **state)
{
    (void)state;
    static const struct {
        const char *name, *attrs;
        int n_in;
        double low, high; /* of the prediction */
    } all[] = {
        {"mse_loss", "reduction=%d", 2, -1, 2},
        {"huber_loss", "reduction=%d delta=0.5", 2, -1, 2},
        {"smooth_l1_loss", "reduction=%d beta=0.7", 2, -1, 2},
        {"soft_margin_loss", "reduction=%d", 2, -1, 2},
        {"binary_cross_entropy", "reduction=%d", 3, 0.1, 0.9},
        {"binary_cross_entropy_with_logits", "reduction=%d", 4, -3, 3},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0] * 3; i++) {
        const int reduction = (int)(i % 3);
        char attrs[64];
        (void)snprintf(attrs, sizeof attrs, "reduction=%d%s", reduction,
            all[i / 3].attrs + strlen("reduction=%d"));
        rule_rig_check(&(struct rule_rig){.name = all[i / 3].name,
            .attrs = attrs,
            .rules = credit_rules_loss,
            .n_in = all[i / 3].n_in,
            .n_out = 1,
            .in = {{.n_dims = 2,
                       .shape = {ROWS, COLUMNS},
                       .low = all[i / 3].low,
                       .high = all[i / 3].high},
                {.n_dims = 2, .shape = {ROWS, COLUMNS}, .low = 0.05, .high = 0.95},
                {.n_dims = 1, .shape = {COLUMNS}, .low = 0.5, .high = 2},
                {.n_dims = 1, .shape = {COLUMNS}, .low = 0.5, .high = 2}},
            .out = {{.n_dims = reduction == 0 ? 2 : 0, .shape = {ROWS, COLUMNS}}},
            .run = run_terms});
    }
}

/* The number of credit_loss.c. */
static void a_squared_error_changes_by_a_product(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "mse_loss",
        .attrs = "reduction=2",
        .rules = credit_rules_loss,
        .n_in = 2,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {1}}, {.n_dims = 1, .shape = {1}}},
        .out = {{.n_dims = 0}}};
    float of_x[1];
    float of_t[1];
    struct rule_rig_call call = {.in0 = {(float[]){3}, (float[]){1}},
        .in = {(float[]){5}, (float[]){2}},
        .out0 = {(float[]){4}},
        .out = {(float[]){9}},
        .of_out = {(float[]){1}},
        .of_in = {of_x, of_t}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[0] - 5) < 1e-5 && fabs((double)of_t[0] + 5) < 1e-5);
}

static void run_nll(const struct rule_rig *rig, double *const *in, double *const *out)
{
    double sum = 0;
    double total = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        const int64_t k = (int64_t)in[1][i];
        if (k != 2) { /* ignored */
            sum -= in[2][k] * in[0][i * COLUMNS + k];
            total += in[2][k];
        }
    }
    out[0][0] = strstr(rig->attrs, "reduction=1") != NULL && total > 0 ? sum / total : sum;
    out[1][0] = total;
}

static void a_likelihood_is_linear_in_its_logarithms_and_classes_may_change(void **state)
{
    (void)state;
    static const char *const all[] = {
        "reduction=1 ignore_index=2", "reduction=2 ignore_index=2"};
    for (int i = 0; i < 2; i++) {
        rule_rig_check(&(struct rule_rig){.name = "nll_loss_forward",
            .attrs = all[i],
            .rules = credit_rules_nll,
            .n_in = 3,
            .n_out = 2,
            .in = {{.n_dims = 2, .shape = {ROWS, COLUMNS}, .low = -3, .high = -0.1},
                /* where not even the classes change, their weights' sum does not either */
                {.n_dims = 1,
                    .shape = {ROWS},
                    .high = COLUMNS,
                    .is_whole = true,
                    .is_frozen = i == 0},
                {.n_dims = 1,
                    .shape = {COLUMNS},
                    .low = 0.5,
                    .high = 2,
                    .is_frozen = true}},
            .out = {{.n_dims = 0}, {.n_dims = 0, .is_statistic = true}},
            .run = run_nll});
    }
}

/* The number of credit_nll.c. */
static void a_class_that_changed_has_a_part_of_its_own(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "nll_loss_forward",
        .attrs = "reduction=1 ignore_index=-100",
        .rules = credit_rules_nll,
        .n_in = 2,
        .n_out = 1,
        .in = {{.n_dims = 2, .shape = {1, 2}},
            {.n_dims = 1, .shape = {1}, .is_whole = true}},
        .out = {{.n_dims = 0}}};
    float of_x[2];
    float of_t[1];
    struct rule_rig_call call = {.in0 = {(float[]){-1, -2}, (float[]){0}},
        .in = {(float[]){-3, -1}, (float[]){1}},
        .out0 = {(float[]){1}},
        .out = {(float[]){1}},
        .of_out = {(float[]){1}},
        .of_in = {of_x, of_t}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[0] * -2 - 1) < 1e-6);
    assert_true(fabs((double)of_x[1] * 1 + 0.5) < 1e-6);
    assert_true(fabs((double)of_t[0] * 1 + 0.5) < 1e-6);
}

/* Reductions of [4, 5] to its rows. */
static void run_reduce(const struct rule_rig *rig, double *const *in, double *const *out)
{
    for (int64_t g = 0; g < ROWS; g++) {
        const double *x = in[0] + g * COLUMNS;
        double sum = 0;
        double product = 1;
        double powers = 0;
        double squares = 0;
        double largest = x[0];
        for (int64_t j = 0; j < COLUMNS; j++) {
            sum += x[j];
            product *= x[j];
            powers += pow(fabs(x[j]), strstr(rig->attrs, "ord=3") != NULL ? 3 : 2);
            largest = fmax(largest, x[j]);
            if (is_named(rig, "cumsum")) {
                out[0][g * COLUMNS + j] = sum;
            }
        }
        for (int64_t j = 0; j < COLUMNS; j++) {
            squares += pow(x[j] - sum / COLUMNS, 2);
        }
        const double var = squares / (COLUMNS - 1);
        if (is_named(rig, "cumsum")) {
            continue;
        }
        out[0][g] = is_named(rig, "sum")                  ? sum
                    : is_named(rig, "mean")               ? sum / COLUMNS
                    : is_named(rig, "prod")               ? product
                    : is_named(rig, "var")                ? var
                    : is_named(rig, "std")                ? sqrt(var)
                    : strstr(rig->attrs, "ord=3") != NULL ? cbrt(powers)
                    : is_named(rig, "linalg_vector_norm") ? sqrt(powers)
                                                          : largest;
    }
}

static void reductions_share_among_what_they_reduce(void **state)
{
    (void)state;
    static const struct {
        const char *name, *attrs;
    } all[] = {{"sum", "dim=[1] keepdim=False dtype=None"},
        {"mean", "dim=[-1] keepdim=True"}, {"prod", "dim=1"},
        {"var", "dim=[1] correction=1"}, {"std", "dim=[1] unbiased=True"},
        {"linalg_vector_norm", "ord=2 dim=[1]"}, {"linalg_vector_norm", "ord=3 dim=[1]"},
        {"cumsum", "dim=1"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const bool is_running = strcmp(all[i].name, "cumsum") == 0;
        rule_rig_check(&(struct rule_rig){.name = all[i].name,
            .attrs = all[i].attrs,
            .rules = credit_rules_reduce,
            .n_in = 1,
            .n_out = 1,
            .in = {{.n_dims = 2, .shape = {ROWS, COLUMNS}, .low = 0.3, .high = 2}},
            .out = {{.n_dims = is_running ? 2 : 1, .shape = {ROWS, COLUMNS}}},
            .run = run_reduce});
    }
    rule_rig_check(&(struct rule_rig){.name = "amax",
        .attrs = "dim=[1]",
        .rules = credit_rules_choice,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 2, .shape = {ROWS, COLUMNS}, .low = -1, .high = 2}},
        .out = {{.n_dims = 1, .shape = {ROWS}}},
        .run = run_reduce});
}

/* The number of credit_reduce.c. */
static void a_product_is_shared_by_both_ways_round(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "prod",
        .attrs = "",
        .rules = credit_rules_reduce,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {2}}},
        .out = {{.n_dims = 0}}};
    float of_x[2];
    struct rule_rig_call call = {.in0 = {(float[]){2, 3}},
        .in = {(float[]){4, 5}},
        .out0 = {(float[]){6}},
        .out = {(float[]){20}},
        .of_out = {(float[]){1}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(
        fabs((double)of_x[0] * 2 - 8) < 1e-5 && fabs((double)of_x[1] * 2 - 6) < 1e-5);
}

static void a_mean_over_a_batch_counts_the_samples_that_were_not_kept(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "mean",
        .attrs = "dtype=None",
        .rules = credit_rules_reduce,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {2}}},
        .out = {{.n_dims = 0}}};
    float of_x[2];
    struct rule_rig_call call = {.in = {(float[]){1, 3}},
        .out = {(float[]){4}},
        .of_out = {(float[]){1}},
        .of_in = {of_x},
        .full = {(int64_t[]){8}}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_true(fabs((double)of_x[0] - 0.125) < 1e-7);
    assert_int_equal(rule_rig_run(&rig, CREDIT_VALUE, &call), 0);
    assert_true(fabs((double)of_x[1] - 3.0 / 32) < 1e-6); /* of a sum of 32 */
}

/* Sorted and the two largest: results go back to where they were taken from, ties one by one. */
static void what_was_chosen_gets_all(void **state)
{
    (void)state;
    struct rule_rig rig = {.name = "sort",
        .attrs = "dim=0 descending=True",
        .rules = credit_rules_choice,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 1, .shape = {4}}},
        .out = {{.n_dims = 1, .shape = {4}}}};
    float of_x[4];
    struct rule_rig_call call = {.in = {(float[]){2, 7, 2, 5}},
        .out = {(float[]){7, 5, 2, 2}},
        .of_out = {(float[]){1, 2, 3, 4}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_memory_equal(of_x, ((float[]){3, 1, 4, 2}), sizeof of_x);
    rig.name = "amax";
    rig.attrs = "dim=[0]";
    rig.out[0].n_dims = 0;
    call.in[0] = (float[]){2, 7, 7, 5};
    call.out[0] = (float[]){7};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_memory_equal(of_x, ((float[]){0, 0.5F, 0.5F, 0}), sizeof of_x);
    rig.name = "median"; /* from the second to the third, with the rest between them */
    rig.in[0].shape[0] = 3;
    call.in0[0] = (float[]){1, 2, 3};
    call.in[0] = (float[]){1, 9, 4};
    call.out0[0] = (float[]){2};
    call.out[0] = (float[]){4};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[1] * 7 + (double)of_x[2] * 1 - 2) < 1e-5);
}

static void extremes_do_not_break(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const struct credit_rule *rules;
    } all[] = {{"var", credit_rules_reduce}, {"std", credit_rules_reduce},
        {"linalg_vector_norm", credit_rules_reduce}, {"sum", credit_rules_reduce}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const struct rule_rig rig = {.name = all[i].name,
            .attrs = "",
            .rules = all[i].rules,
            .n_in = 1,
            .n_out = 1,
            .in = {{.n_dims = 1, .shape = {3}}},
            .out = {{.n_dims = 0}}};
        float of_x[3];
        struct rule_rig_call call = {.in = {(float[]){0, 0, 0}},
            .out = {(float[]){0}},
            .of_out = {(float[]){1}},
            .of_in = {of_x}};
        for (int mode = CREDIT_VALUE; mode <= CREDIT_GRADIENT; mode++) {
            assert_int_equal(rule_rig_run(&rig, (enum credit_mode)mode, &call), 0);
            assert_true(isfinite(of_x[0]));
        }
        assert_true(call.is_singular || strcmp(all[i].name, "sum") == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_sums_of_their_terms),
        cmocka_unit_test(a_squared_error_changes_by_a_product),
        cmocka_unit_test(a_likelihood_is_linear_in_its_logarithms_and_classes_may_change),
        cmocka_unit_test(a_class_that_changed_has_a_part_of_its_own),
        cmocka_unit_test(reductions_share_among_what_they_reduce),
        cmocka_unit_test(a_product_is_shared_by_both_ways_round),
        cmocka_unit_test(a_mean_over_a_batch_counts_the_samples_that_were_not_kept),
        cmocka_unit_test(what_was_chosen_gets_all),
        cmocka_unit_test(extremes_do_not_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
