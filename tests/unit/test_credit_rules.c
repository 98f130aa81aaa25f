/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "tests/unit/credit_trial.h"

/* Rules of operations on elements and of products, against the operations. */

/* One argument. */

#define UNARY(name, expression)                                                            \
    static void c_##name(double *const *in, double *out, const double *p)                  \
    {                                                                                      \
        for (int i = 0; i < 6; i++) {                                                      \
            const double x = in[0][i];                                                     \
            (void)p;                                                                       \
            out[i] = expression;                                                           \
        }                                                                                  \
    }

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

UNARY(neg, -x)
UNARY(exp, exp(x))
UNARY(exp2, pow(2, x))
UNARY(expm1, exp(x) - 1)
UNARY(log, log(x))
UNARY(log2, log(x) / log(2))
UNARY(log10, log(x) / log(10))
UNARY(log1p, log(1 + x))
UNARY(sqrt, pow(x, 0.5))
UNARY(rsqrt, pow(x, -0.5))
UNARY(reciprocal, 1 / x)
UNARY(square, x *x)
UNARY(abs, x < 0 ? -x : x)
UNARY(relu, x < 0 ? 0 : x)
UNARY(relu6, x<0 ? 0 : x> 6 ? 6 : x)
UNARY(leaky, x < 0 ? p[0] * x : x)
UNARY(elu, x < 0 ? p[0] * (exp(x) - 1) : x)
UNARY(selu, p[1] * (x < 0 ? p[0] * (exp(x) - 1) : x))
UNARY(gelu, x * 0.5 * (1 + erf(x / sqrt(2))))
UNARY(gelu_tanh, 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))))
UNARY(silu, x *logistic(x))
UNARY(sigmoid, logistic(x))
UNARY(log_sigmoid, log(logistic(x)))
UNARY(tanh, (exp(2 * x) - 1) / (exp(2 * x) + 1))
UNARY(softplus, log(1 + exp(p[0] * x)) / p[0])
UNARY(mish, x *tanh(log(1 + exp(x))))
UNARY(hardtanh, x<p[0] ? p[0] : x> p[1] ? p[1] : x)
UNARY(hardsigmoid, x<-3 ? 0 : x> 3 ? 1 : x / 6 + 0.5)
UNARY(hardswish, x *(x<-3 ? 0 : x> 3 ? 1 : x / 6 + 0.5))
UNARY(softsign, x / (1 + fabs(x)))
UNARY(logit, log(x / (1 - x)))
UNARY(erf, erf(x))
UNARY(erfc, 1 - erf(x))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(tan, sin(x) / cos(x))
UNARY(asin, asin(x))
UNARY(acos, acos(x))
UNARY(atan, atan(x))
UNARY(sinh, (exp(x) - exp(-x)) / 2)
UNARY(cosh, (exp(x) + exp(-x)) / 2)
UNARY(asinh, log(x + sqrt(x * x + 1)))
UNARY(acosh, log(x + sqrt(x * x - 1)))
UNARY(atanh, 0.5 * log((1 + x) / (1 - x)))
UNARY(threshold, x > p[0] ? x : p[1])
UNARY(add_number, x + p[1] * p[0])
UNARY(rsub_number, p[0] - x)
UNARY(mul_number, x *p[0])
UNARY(div_number, x / p[0])
UNARY(pow_number, pow(x, p[0]))
UNARY(number_pow, pow(p[0], x))
UNARY(clamp, x<p[0] ? p[0] : x> p[1] ? p[1] : x)
UNARY(clamp_max, x > p[0] ? p[0] : x)
UNARY(floor, floor(x))
UNARY(gt, x > p[0])

static const struct {
    const char *name, *attrs;
    trial_compute_fn compute;
    double low, high;
    double numbers[4];
    bool has_no_slope;
} of_one[] = {
    {"neg", "", c_neg, -2, 2},
    {"exp", "", c_exp, -2, 2},
    {"exp_", "", c_exp, -2, 2},
    {"exp2", "", c_exp2, -2, 2},
    {"expm1", "", c_expm1, -2, 2},
    {"log", "", c_log, 0.2, 2},
    {"aten.log.default", "", c_log, 0.2, 2},
    {"log2", "", c_log2, 0.2, 2},
    {"log10", "", c_log10, 0.2, 2},
    {"log1p", "", c_log1p, -0.5, 2},
    {"sqrt", "", c_sqrt, 0.2, 2},
    {"rsqrt", "", c_rsqrt, 0.2, 2},
    {"reciprocal", "", c_reciprocal, 0.5, 2},
    {"square", "", c_square, -2, 2},
    {"abs", "", c_abs, 0.1, 2},
    {"relu", "", c_relu, 0.1, 2},
    {"relu", "", c_relu, -2, -0.1},
    {"relu6", "", c_relu6, 0.1, 5},
    {"leaky_relu", "negative_slope=0.2", c_leaky, -2, -0.1, {0.2}},
    {"leaky_relu", "", c_leaky, -2, -0.1, {0.01}},
    {"elu", "alpha=1.5 scale=1 input_scale=1", c_elu, -2, -0.1, {1.5}},
    {"elu", "alpha=1.67 scale=1.05 input_scale=1", c_selu, -2, 2, {1.67, 1.05}},
    {"gelu", "approximate='none'", c_gelu, -2, 2},
    {"gelu", "approximate='tanh'", c_gelu_tanh, -2, 2},
    {"silu", "", c_silu, -2, 2},
    {"sigmoid", "", c_sigmoid, -2, 2},
    {"log_sigmoid_forward", "", c_log_sigmoid, -2, 2},
    {"tanh", "", c_tanh, -2, 2},
    {"softplus", "beta=2 threshold=20", c_softplus, -2, 2, {2}},
    {"mish", "", c_mish, -2, 2},
    {"hardtanh", "min_val=-1 max_val=1", c_hardtanh, -0.9, 0.9, {-1, 1}},
    {"hardsigmoid", "", c_hardsigmoid, -2, 2},
    {"hardswish", "", c_hardswish, -2, 2},
    {"softsign", "", c_softsign, 0.1, 2},
    {"logit", "", c_logit, 0.1, 0.9},
    {"erf", "", c_erf, -2, 2},
    {"erfc", "", c_erfc, -2, 2},
    {"sin", "", c_sin, -2, 2},
    {"cos", "", c_cos, -2, 2},
    {"tan", "", c_tan, -1, 1},
    {"asin", "", c_asin, -0.9, 0.9},
    {"acos", "", c_acos, -0.9, 0.9},
    {"atan", "", c_atan, -2, 2},
    {"sinh", "", c_sinh, -2, 2},
    {"cosh", "", c_cosh, -2, 2},
    {"asinh", "", c_asinh, -2, 2},
    {"acosh", "", c_acosh, 1.2, 2},
    {"atanh", "", c_atanh, -0.8, 0.8},
    {"threshold", "threshold=0.5 value=7", c_threshold, -2, 0.4, {0.5, 7}},
    {"threshold", "threshold=0.5 value=7", c_threshold, 0.6, 2, {0.5, 7}},
    {"add", "other=3 alpha=2", c_add_number, 1, 2, {3, 2}},
    {"add.Scalar", "other=3", c_add_number, 1, 2, {3, 1}},
    {"rsub", "other=1 alpha=1", c_rsub_number, 2, 3, {1}},
    {"mul_", "other=-2.5", c_mul_number, 1, 2, {-2.5}},
    {"div", "other=4", c_div_number, 1, 2, {4}},
    {"pow", "exponent=3", c_pow_number, -2, 2, {3}},
    {"pow", "exponent=-0.5", c_pow_number, 0.5, 2, {-0.5}},
    {"pow", "self=2", c_number_pow, -2, 2, {2}},
    {"clamp", "min=-0.5 max=0.5", c_clamp, -0.4, 0.4, {-0.5, 0.5}},
    {"clamp", "min=-0.5 max=0.5", c_clamp, 0.6, 2, {-0.5, 0.5}},
    {"clamp", "min=None max=0.5", c_clamp_max, 0.6, 2, {0.5}},
    {"clamp_max", "max=0.5", c_clamp_max, 0.6, 2, {0.5}},
    {"floor", "", c_floor, -5, 5, {0}, true},
    {"gt", "other=0.1", c_gt, -1, 1, {0.1}, true},
};

static void functions_of_one_argument(void **state)
{
    for (size_t i = 0; i < sizeof of_one / sizeof of_one[0]; i++) {
        struct trial trial = {.name = of_one[i].name,
            .attrs = of_one[i].attrs,
            .compute = of_one[i].compute,
            .in = {{{2, 3}, 2, of_one[i].low, of_one[i].high}},
            .n_in = 1,
            .out_shape = {2, 3},
            .out_dims = 2,
            .has_no_slope = of_one[i].has_no_slope};
        memcpy(trial.numbers, of_one[i].numbers, sizeof trial.numbers);
        trial_check(&trial);
    }
}

/* Two and three arguments; the second is spread over the first, [2, 3] by [3], the third [2, 1]. */

#define SPREAD(name, expression)                                                           \
    static void c_##name(double *const *in, double *out, const double *p)                  \
    {                                                                                      \
        for (int i = 0; i < 6; i++) {                                                      \
            const double x = in[0][i];                                                     \
            const double y = in[1][i % 3];                                                 \
            const double z = in[2] != NULL ? in[2][i / 3] : 0;                             \
            (void)p;                                                                       \
            (void)z;                                                                       \
            out[i] = expression;                                                           \
        }                                                                                  \
    }

SPREAD(add2, x + p[0] * y)
SPREAD(sub2, x - p[0] * y)
SPREAD(mul2, x *y)
SPREAD(div2, x / y)
SPREAD(pow2, pow(x, y))
SPREAD(maximum, x > y ? x : y)
SPREAD(minimum, x < y ? x : y)
SPREAD(atan2, atan2(x, y))
SPREAD(remainder, x - y * floor(x / y))
SPREAD(xlogy, x *log(y))
SPREAD(prelu, x > 0 ? x : y * x)
SPREAD(logaddexp, log(exp(x) + exp(y)))
SPREAD(lerp, x + z * (y - x))
SPREAD(addcmul, x + p[0] * y * z)
SPREAD(addcdiv, x + p[0] * y / z)
SPREAD(where, x != 0 ? y : z)
SPREAD(masked_fill, y != 0 ? z : x)
SPREAD(clamp3, fmin(fmax(x, y), z))

static const double mask6[] = {1, 0, 0, 1, 1, 0};
static const double mask3[] = {1, 0, 1};

static void functions_of_several_arguments(void **state)
{
    const struct trial_operand any = {{2, 3}, 2, 1.2, 2};
    const struct trial_operand row = {{3}, 1, 0.5, 1};
    const struct trial_operand column = {{2, 1}, 2, 2.5, 3};
    const struct trial_operand mask = {{2, 3}, 2, 0, 1, true, mask6};
    const struct trial_operand row_mask = {{3}, 1, 0, 1, true, mask3};
    const struct trial cases[] = {
        {"add", "alpha=2", {2}, c_add2, {any, row}, 2},
        {"add.Tensor", "", {1}, c_add2, {any, row}, 2},
        {"sub", "alpha=0.5", {0.5}, c_sub2, {any, row}, 2},
        {"mul", "", {0}, c_mul2, {any, row}, 2},
        {"div", "", {0}, c_div2, {any, row}, 2},
        {"pow", "", {0}, c_pow2, {any, row}, 2},
        {"maximum", "", {0}, c_maximum, {any, row}, 2},
        {"minimum", "", {0}, c_minimum, {any, row}, 2},
        {"atan2", "", {0}, c_atan2, {any, row}, 2},
        {"remainder", "", {0}, c_remainder, {{{2, 3}, 2, 1.1, 1.4}, {{3}, 1, 0.9, 1}}, 2},
        {"xlogy", "", {0}, c_xlogy, {any, row}, 2},
        {"_prelu_kernel", "", {0}, c_prelu, {{{2, 3}, 2, -2, -1}, row}, 2},
        {"logaddexp", "", {0}, c_logaddexp, {any, row}, 2},
        {"lerp", "", {0}, c_lerp, {any, row, column}, 3},
        {"addcmul", "value=0.5", {0.5}, c_addcmul, {any, row, column}, 3},
        {"addcdiv", "value=-2", {-2}, c_addcdiv, {any, row, column}, 3},
        {"where", "", {0}, c_where, {mask, row, column}, 3},
        {"masked_fill", "", {0}, c_masked_fill, {any, row_mask, column}, 3},
        {"clamp", "", {0}, c_clamp3, {any, row, column}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = cases[i];
        trial.out_shape[0] = 2;
        trial.out_shape[1] = 3;
        trial.out_dims = 2;
        trial_check(&trial);
    }
}

/* Products. */

static void product(const double *a, const double *b, double *out, int m, int k, int n)
{
    for (int i = 0; i < m * n; i++) {
        for (int u = 0; u < k; u++) {
            out[i] += a[i / n * k + u] * b[u * n + i % n];
        }
    }
}

static void c_mm(double *const *in, double *out, const double *p)
{
    product(in[0], in[1], out, 3, 5, 2);
}

static void c_addmm(double *const *in, double *out, const double *p)
{
    product(in[1], in[2], out, 3, 5, 2);
    for (int i = 0; i < 6; i++) {
        out[i] = p[0] * out[i] + p[1] * in[0][i % 2];
    }
}

static void c_bmm(double *const *in, double *out, const double *p)
{
    for (int pair = 0; pair < 4; pair++) {
        product(in[0] + pair * 15, in[1] + pair * 10, out + pair * 6, 3, 5, 2);
    }
}

static void c_baddbmm(double *const *in, double *out, const double *p)
{
    c_bmm(in + 1, out, p);
    for (int i = 0; i < 24; i++) {
        out[i] = p[0] * out[i] + p[1] * in[0][i];
    }
}

static void c_linear(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 4 * 3 * 2; i++) {
        out[i] = in[2] != NULL ? in[2][i % 2] : 0;
        for (int u = 0; u < 5; u++) {
            out[i] += in[0][i / 2 * 5 + u] * in[1][i % 2 * 5 + u];
        }
    }
}

static void c_mv(double *const *in, double *out, const double *p)
{
    product(in[0], in[1], out, 3, 5, 1);
}

static void c_dot(double *const *in, double *out, const double *p)
{
    product(in[0], in[1], out, 1, 5, 1);
}

static void c_matmul_wide(double *const *in, double *out, const double *p)
{
    product(in[0], in[1], out, 12, 5, 2);
}

static void products_of_matrices(void **state)
{
    const struct trial_operand a = {{3, 5}, 2, 0.5, 1.5};
    const struct trial_operand b = {{5, 2}, 2, 0.2, 1};
    const struct trial_operand weight = {{5, 2}, 2, 0.2, 1, .is_fixed = true};
    const struct trial_operand a4 = {{4, 3, 5}, 3, 0.5, 1.5};
    const struct trial_operand b4 = {{4, 5, 2}, 3, 0.2, 1};
    const struct trial_operand bias = {{2}, 1, 0.5, 1, .is_fixed = true};
    const struct trial_operand lw = {{2, 5}, 2, 0.2, 1, .is_fixed = true};
    const struct trial_operand v = {{5}, 1, 0.2, 1};
    const struct trial_operand c4 = {{4, 3, 2}, 3, 0.2, 1};
    const struct trial cases[] = {
        {"mm", "", {0}, c_mm, {a, b}, 2, {3, 2}, 2},
        {"mm", "", {0}, c_mm, {a, weight}, 2, {3, 2}, 2},
        {"addmm", "", {1, 1}, c_addmm, {bias, a, weight}, 3, {3, 2}, 2},
        {"addmm", "beta=0.5 alpha=2", {2, 0.5}, c_addmm, {bias, a, b}, 3, {3, 2}, 2},
        {"bmm", "", {0}, c_bmm, {a4, b4}, 2, {4, 3, 2}, 3},
        {"baddbmm", "beta=2 alpha=0.5", {0.5, 2}, c_baddbmm, {c4, a4, b4}, 3, {4, 3, 2}, 3},
        {"linear", "", {0}, c_linear, {a4, lw, bias}, 3, {4, 3, 2}, 3},
        {"matmul", "", {0}, c_matmul_wide, {a4, b}, 2, {4, 3, 2}, 3},
        {"mv", "", {0}, c_mv, {a, v}, 2, {3}, 1},
        {"dot", "", {0}, c_dot, {v, v}, 2, {0}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial_check(&cases[i]);
    }
}

static void the_examples_of_the_essays_are_right(void **state)
{
    static struct trial_bench b;
    const struct trial mul = {
        "mul", "", {0}, c_mul2, {{{2, 3}, 2, 0, 1}, {{3}, 1, 0, 1}}, 2, {2, 3}, 2};
    trial_set_up(&b, &mul);
    for (int i = 0; i < 6; i++) {
        b.x[0][i] = 4;
        b.x0[0][i] = 2;
        b.x[1][i % 3] = 5;
        b.x0[1][i % 3] = 3;
        b.d[i] = i == 0;
    }
    trial_start(&b, CREDIT_CHANGE);
    assert_int_equal(trial_rule(&mul)->change(&b.io), 0);
    trial_compare(&mul, "x", (double)b.back[0][0] * 2, 8, 1, 1e-6);
    trial_compare(&mul, "y", (double)b.back[1][0] * 2, 6, 1, 1e-6);

    const struct trial_operand bias = {{2}, 1, 4, 4, .is_fixed = true};
    static const double a[] = {1, 2};
    static const double w[] = {3, 0, -1, 0};
    const struct trial addmm = {"addmm", "", {1, 1}, c_addmm,
        {bias, {{1, 2}, 2, 0, 1, false, a}, {{2, 2}, 2, 0, 1, false, w, true}}, 3, {1, 2},
        2};
    trial_set_up(&b, &addmm);
    b.x[0][0] = b.x[0][1] = 4;
    b.y[0] = 5;
    b.y[1] = 4;
    b.d[0] = 1;
    b.d[1] = 0;
    trial_start(&b, CREDIT_VALUE);
    b.of_in[0] = b.of_in[2] = NULL;
    assert_int_equal(trial_rule(&addmm)->value(&b.io), 0);
    trial_compare(&addmm, "a 0", (double)b.back[1][0], 0.6, 1, 1e-5);
    trial_compare(&addmm, "a 1", (double)b.back[1][1], -0.4, 1, 1e-5);
    trial_compare(&addmm, "bias", b.own[CREDIT_OWN_BIAS], 0.8, 1, 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_one_argument),
        cmocka_unit_test(functions_of_several_arguments),
        cmocka_unit_test(products_of_matrices),
        cmocka_unit_test(the_examples_of_the_essays_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
