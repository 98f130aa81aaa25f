/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_point.h"

#include <math.h>
#include <string.h>

/*
 * Each function with its derivatives, as torch defines them at corners: relu'(0) = 0, |0|' = 0,
 * both get half where two are equally large. All in f64: differences of two steps are small.
 */

#define NEAR         1e-6 /* of an argument to where the function is not defined */
#define STEEP        60.0 /* an exp of this is 1e26; f32 ends at 88.7 */
#define SQRT_2_PI    0.79788456080286535588
#define INV_SQRT_2   0.70710678118654752440
#define INV_SQRT_2PI 0.39894228040143267794
#define GELU_C       0.044715

/* One argument: the value and the derivative as expressions of x[0] and numbers x[1]... */
#define UNARY(name, value, slope)                                                          \
    static double f_##name(const double *x)                                                \
    {                                                                                      \
        return value;                                                                      \
    }                                                                                      \
    static void d_##name(const double *x, double *out)                                     \
    {                                                                                      \
        out[0] = slope;                                                                    \
    }

static double logistic(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double log1p_exp(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sign(double x)
{
    return (x > 0) - (x < 0);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * INV_SQRT_2);
}

/* The derivative of lgamma: by its recursion to where the series is good, mirrored below 0. */
static double digamma(double x)
{
    if (x <= 0) {
        return digamma(1 - x) - M_PI / tan(M_PI * x);
    }
    double sum = 0;
    while (x < 10) {
        sum -= 1 / x;
        x += 1;
    }
    const double r = 1 / (x * x);
    return sum + log(x) - 0.5 / x - r * (1.0 / 12 - r * (1.0 / 120 - r / 252));
}

UNARY(neg, -x[0], -1)
UNARY(exp, exp(x[0]), exp(x[0]))
UNARY(exp2, exp2(x[0]), exp2(x[0]) * M_LN2)
UNARY(expm1, expm1(x[0]), exp(x[0]))
UNARY(log, log(x[0]), 1 / x[0])
UNARY(log2, log2(x[0]), 1 / (x[0] * M_LN2))
UNARY(log10, log10(x[0]), 1 / (x[0] * M_LN10))
UNARY(log1p, log1p(x[0]), 1 / (1 + x[0]))
UNARY(sqrt, sqrt(x[0]), 0.5 / sqrt(x[0]))
UNARY(rsqrt, 1 / sqrt(x[0]), -0.5 / (x[0] * sqrt(x[0])))
UNARY(reciprocal, 1 / x[0], -1 / (x[0] * x[0]))
UNARY(square, x[0] * x[0], 2 * x[0])
UNARY(abs, fabs(x[0]), sign(x[0]))
UNARY(sign, sign(x[0]), 0)
UNARY(floor, floor(x[0]), 0)
UNARY(ceil, ceil(x[0]), 0)
UNARY(round, nearbyint(x[0]), 0)
UNARY(trunc, trunc(x[0]), 0)
UNARY(frac, x[0] - trunc(x[0]), 1)
UNARY(relu, x[0] > 0 ? x[0] : 0 * (x[0] != x[0] ? x[0] : 0), x[0] > 0 ? 1 : 0)
UNARY(relu6, fmin(fmax(x[0], 0), 6), x[0] > 0 && x[0] < 6 ? 1 : 0)
UNARY(leaky, x[0] > 0 ? x[0] : x[1] * x[0], x[0] > 0 ? 1 : x[1])
UNARY(elu, x[0] > 0 ? x[2] * x[0] : x[2] * x[1] * expm1(x[3] * x[0]),
    x[0] > 0 ? x[2] : x[2] * x[1] * x[3] * exp(x[3] * x[0]))
UNARY(gelu, x[0] * normal_cdf(x[0]),
    normal_cdf(x[0]) + x[0] * INV_SQRT_2PI * exp(-0.5 * x[0] * x[0]))
UNARY(silu, x[0] * logistic(x[0]), logistic(x[0]) * (1 + x[0] * (1 - logistic(x[0]))))
UNARY(sigmoid, logistic(x[0]), logistic(x[0]) * (1 - logistic(x[0])))
UNARY(log_sigmoid, -log1p_exp(-x[0]), logistic(-x[0]))
UNARY(tanh, tanh(x[0]), 1 - tanh(x[0]) * tanh(x[0]))
UNARY(softplus, x[0] * x[1] > x[2] ? x[0] : log1p_exp(x[0] * x[1]) / x[1],
    x[0] * x[1] > x[2] ? 1 : logistic(x[0] * x[1]))
UNARY(mish, x[0] * tanh(log1p_exp(x[0])),
    tanh(log1p_exp(x[0])) +
        x[0] * logistic(x[0]) * (1 - tanh(log1p_exp(x[0])) * tanh(log1p_exp(x[0]))))
UNARY(hardtanh, fmin(fmax(x[0], x[1]), x[2]), x[0] > x[1] && x[0] < x[2] ? 1 : 0)
UNARY(hardsigmoid, fmin(fmax(x[0] / 6 + 0.5, 0), 1), fabs(x[0]) < 3 ? 1.0 / 6 : 0)
UNARY(hardswish, x[0] * fmin(fmax(x[0] / 6 + 0.5, 0), 1),
    x[0] <= -3  ? 0
    : x[0] >= 3 ? 1
                : x[0] / 3 + 0.5)
UNARY(softsign, x[0] / (1 + fabs(x[0])), 1 / ((1 + fabs(x[0])) * (1 + fabs(x[0]))))
UNARY(logit, log(x[0] / (1 - x[0])), 1 / (x[0] * (1 - x[0])))
UNARY(erf, erf(x[0]), 2 * INV_SQRT_2 * SQRT_2_PI * exp(-x[0] * x[0]))
UNARY(erfc, erfc(x[0]), -2 * INV_SQRT_2 * SQRT_2_PI * exp(-x[0] * x[0]))
UNARY(sin, sin(x[0]), cos(x[0]))
UNARY(cos, cos(x[0]), -sin(x[0]))
UNARY(tan, tan(x[0]), 1 / (cos(x[0]) * cos(x[0])))
UNARY(asin, asin(x[0]), 1 / sqrt(1 - x[0] * x[0]))
UNARY(acos, acos(x[0]), -1 / sqrt(1 - x[0] * x[0]))
UNARY(atan, atan(x[0]), 1 / (1 + x[0] * x[0]))
UNARY(sinh, sinh(x[0]), cosh(x[0]))
UNARY(cosh, cosh(x[0]), sinh(x[0]))
UNARY(asinh, asinh(x[0]), 1 / sqrt(1 + x[0] * x[0]))
UNARY(acosh, acosh(x[0]), 1 / sqrt(x[0] * x[0] - 1))
UNARY(atanh, atanh(x[0]), 1 / (1 - x[0] * x[0]))
UNARY(lgamma, lgamma(x[0]), digamma(x[0]))
UNARY(threshold, x[0] > x[1] ? x[0] : x[2], x[0] > x[1] ? 1 : 0)
UNARY(softshrink,
    x[0] > x[1]    ? x[0] - x[1]
    : x[0] < -x[1] ? x[0] + x[1]
                   : 0,
    fabs(x[0]) > x[1] ? 1 : 0)
UNARY(hardshrink, fabs(x[0]) > x[1] ? x[0] : 0, fabs(x[0]) > x[1] ? 1 : 0)
UNARY(not, x[0] == 0, 0)
UNARY(isnan, x[0] != x[0], 0)
UNARY(isinf, isinf(x[0]) ? 1 : 0, 0)
UNARY(isfinite, isfinite(x[0]) ? 1 : 0, 0)

/* The tanh form of gelu: torch's approximate='tanh'. */
static double f_gelu_tanh(const double *x)
{
    return 0.5 * x[0] * (1 + tanh(SQRT_2_PI * (x[0] + GELU_C * x[0] * x[0] * x[0])));
}

static void d_gelu_tanh(const double *x, double *out)
{
    const double t = tanh(SQRT_2_PI * (x[0] + GELU_C * x[0] * x[0] * x[0]));
    const double inner = SQRT_2_PI * (1 + 3 * GELU_C * x[0] * x[0]);
    out[0] = 0.5 * (1 + t) + 0.5 * x[0] * (1 - t * t) * inner;
}

static double f_nan_to_num(const double *x)
{
    if (x[0] != x[0]) {
        return x[1];
    }
    return isinf(x[0]) ? (x[0] > 0 ? x[2] : x[3]) : x[0];
}

static void d_nan_to_num(const double *x, double *out)
{
    out[0] = isfinite(x[0]) ? 1 : 0;
}

/* Two and more arguments: the value as an expression, derivatives as a block. */
#define BINARY(name, value, by_first, by_second)                                           \
    static double f_##name(const double *x)                                                \
    {                                                                                      \
        return value;                                                                      \
    }                                                                                      \
    static void d_##name(const double *x, double *out)                                     \
    {                                                                                      \
        out[0] = by_first;                                                                 \
        out[1] = by_second;                                                                \
    }

static double half_where_equal(double a, double b)
{
    return a > b ? 1 : a < b ? 0 : 0.5;
}

static double power_slope(double base, double exponent)
{
    return exponent == 0 ? 0 : exponent * pow(base, exponent - 1);
}

static double power_by_exponent(double base, double exponent)
{
    return base == 0 && exponent >= 0 ? 0 : pow(base, exponent) * log(base);
}

static double modulo(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

BINARY(add, x[0] + x[2] * x[1], 1, x[2])
BINARY(sub, x[0] - x[2] * x[1], 1, -x[2])
BINARY(rsub, x[1] - x[2] * x[0], -x[2], 1)
BINARY(mul, x[0] * x[1], x[1], x[0])
BINARY(div, x[0] / x[1], 1 / x[1], -x[0] / (x[1] * x[1]))
BINARY(floor_divide, floor(x[0] / x[1]), 0, 0)
BINARY(pow, pow(x[0], x[1]), power_slope(x[0], x[1]), power_by_exponent(x[0], x[1]))
BINARY(maximum, x[0] != x[0] || x[1] != x[1] ? (double)NAN : fmax(x[0], x[1]),
    half_where_equal(x[0], x[1]), half_where_equal(x[1], x[0]))
BINARY(minimum, x[0] != x[0] || x[1] != x[1] ? (double)NAN : fmin(x[0], x[1]),
    half_where_equal(x[1], x[0]), half_where_equal(x[0], x[1]))
BINARY(atan2, atan2(x[0], x[1]), x[1] / (x[0] * x[0] + x[1] * x[1]),
    -x[0] / (x[0] * x[0] + x[1] * x[1]))
BINARY(hypot, hypot(x[0], x[1]), x[0] / hypot(x[0], x[1]), x[1] / hypot(x[0], x[1]))
BINARY(fmod, fmod(x[0], x[1]), 1, -trunc(x[0] / x[1]))
BINARY(remainder, modulo(x[0], x[1]), 1, -floor(x[0] / x[1]))
BINARY(xlogy, x[0] == 0 && x[1] == x[1] ? 0 : x[0] * log(x[1]),
    x[0] == 0 && x[1] <= 0 ? 0 : log(x[1]), x[0] / x[1])
BINARY(prelu, x[0] > 0 ? x[0] : x[1] * x[0], x[0] > 0 ? 1 : x[1], x[0] > 0 ? 0 : x[0])
BINARY(logaddexp, fmax(x[0], x[1]) + log1p(exp(-fabs(x[0] - x[1]))), logistic(x[0] - x[1]),
    logistic(x[1] - x[0]))
BINARY(eq, x[0] == x[1], 0, 0)
BINARY(ne, x[0] != x[1], 0, 0)
BINARY(lt, x[0] < x[1], 0, 0)
BINARY(le, x[0] <= x[1], 0, 0)
BINARY(gt, x[0] > x[1], 0, 0)
BINARY(ge, x[0] >= x[1], 0, 0)
BINARY(and, x[0] != 0 && x[1] != 0, 0, 0)
BINARY(or, x[0] != 0 || x[1] != 0, 0, 0)
BINARY(xor, (x[0] != 0) != (x[1] != 0), 0, 0)
BINARY(threshold_backward, x[1] > x[2] ? x[0] : 0, x[1] > x[2] ? 1 : 0, 0)
BINARY(tanh_backward, x[0] * (1 - x[1] * x[1]), 1 - x[1] * x[1], -2 * x[0] * x[1])
BINARY(sigmoid_backward, x[0] * x[1] * (1 - x[1]), x[1] * (1 - x[1]), x[0] * (1 - 2 * x[1]))

#define TERNARY(name, value, by_first, by_second, by_third)                                \
    static double f_##name(const double *x)                                                \
    {                                                                                      \
        return value;                                                                      \
    }                                                                                      \
    static void d_##name(const double *x, double *out)                                     \
    {                                                                                      \
        out[0] = by_first;                                                                 \
        out[1] = by_second;                                                                \
        out[2] = by_third;                                                                 \
    }

TERNARY(clamp, x[0] != x[0] ? x[0] : fmin(fmax(x[0], x[1]), x[2]),
    x[0] >= x[1] && x[0] <= x[2] ? 1 : 0,
    x[0]<x[1] && x[1]<x[2] ? 1 : 0, x[0]> x[2] || x[1]> x[2] ? 1 : 0)
TERNARY(where, x[0] != 0 ? x[1] : x[2], 0, x[0] != 0 ? 1 : 0, x[0] != 0 ? 0 : 1)
TERNARY(masked_fill, x[1] != 0 ? x[2] : x[0], x[1] != 0 ? 0 : 1, 0, x[1] != 0 ? 1 : 0)
TERNARY(lerp, x[0] + x[2] * (x[1] - x[0]), 1 - x[2], x[2], x[1] - x[0])
TERNARY(addcmul, x[0] + x[3] * x[1] * x[2], 1, x[3] * x[2], x[3] * x[1])
TERNARY(addcdiv, x[0] + x[3] * x[1] / x[2], 1, x[3] / x[2], -x[3] * x[1] / (x[2] * x[2]))

/* Terms of sums, and choices. */
#define PARTS(name, first, second)                                                         \
    static void p_##name(const double *x, double *out)                                     \
    {                                                                                      \
        out[0] = first;                                                                    \
        out[1] = second;                                                                   \
    }

PARTS(add, x[0], x[2] * x[1])
PARTS(sub, x[0], -x[2] * x[1])
PARTS(rsub, -x[2] * x[0], x[1])
PARTS(lerp, (1 - x[2]) * x[0], x[2] * x[1])
PARTS(addcmul, x[0], x[3] * x[1] * x[2])
PARTS(addcdiv, x[0], x[3] * x[1] / x[2])
PARTS(maximum, x[0] >= x[1] || x[0] != x[0], !(x[0] >= x[1] || x[0] != x[0]))
PARTS(minimum, x[0] <= x[1] || x[0] != x[0], !(x[0] <= x[1] || x[0] != x[0]))
PARTS(threshold, x[0] > x[1] || x[0] != x[0], !(x[0] > x[1] || x[0] != x[0]))
PARTS(nan_to_num, isfinite(x[0]) ? 1 : 0, isfinite(x[0]) ? 0 : 1)
PARTS(where, x[0] != 0, x[0] == 0)
PARTS(masked_fill, x[1] == 0, x[1] != 0)

static void p_clamp(const double *x, double *out)
{
    out[0] = !(x[0] < x[1]) && !(x[0] > x[2]) ? 1 : 0;
    out[1] = x[0] < x[1] && x[1] < x[2] ? 1 : 0;
    out[2] = out[0] == 0 && out[1] == 0 ? 1 : 0;
}

static bool near_zero(const double *x)
{
    return fabs(x[0]) < NEAR;
}

static bool near_below(const double *x)
{
    return x[0] < NEAR;
}

static bool near_minus_one(const double *x)
{
    return x[0] < -1 + NEAR;
}

static bool near_one(const double *x)
{
    return fabs(x[0]) > 1 - NEAR;
}

static bool near_ends(const double *x)
{
    return x[0] < NEAR || x[0] > 1 - NEAR;
}

static bool is_steep(const double *x)
{
    return x[0] > STEEP;
}

static bool near_zero_second(const double *x)
{
    return fabs(x[1]) < NEAR;
}

static bool near_zero_third(const double *x)
{
    return fabs(x[2]) < NEAR;
}

static bool is_steep_power(const double *x)
{
    return (x[1] < 1 && fabs(x[0]) < NEAR) || fabs(x[1] * log(fabs(x[0]))) > STEEP ||
           (x[0] < 0 && x[1] != nearbyint(x[1]));
}

/* Names, arguments, what stands for arguments that are not given, groups, kind, functions. */
#define POINTS(X)                                                                          \
    X("neg negative", "self", (0), (0), ONE, f_neg, d_neg, NULL, NULL)                     \
    X("exp", "self", (0), (0), ONE, f_exp, d_exp, NULL, is_steep)                          \
    X("exp2", "self", (0), (0), ONE, f_exp2, d_exp2, NULL, is_steep)                       \
    X("expm1", "self", (0), (0), ONE, f_expm1, d_expm1, NULL, is_steep)                    \
    X("log", "self", (0), (0), ONE, f_log, d_log, NULL, near_below)                        \
    X("log2", "self", (0), (0), ONE, f_log2, d_log2, NULL, near_below)                     \
    X("log10", "self", (0), (0), ONE, f_log10, d_log10, NULL, near_below)                  \
    X("log1p", "self", (0), (0), ONE, f_log1p, d_log1p, NULL, near_minus_one)              \
    X("sqrt", "self", (0), (0), ONE, f_sqrt, d_sqrt, NULL, near_below)                     \
    X("rsqrt", "self", (0), (0), ONE, f_rsqrt, d_rsqrt, NULL, near_below)                  \
    X("reciprocal", "self", (0), (0), ONE, f_reciprocal, d_reciprocal, NULL, near_zero)    \
    X("square", "self", (0), (0), ONE, f_square, d_square, NULL, NULL)                     \
    X("abs absolute", "self", (0), (0), ONE, f_abs, d_abs, NULL, NULL)                     \
    X("sign sgn", "self", (0), (0), ONE, f_sign, d_sign, NULL, NULL)                       \
    X("floor", "self", (0), (0), ONE, f_floor, d_floor, NULL, NULL)                        \
    X("ceil", "self", (0), (0), ONE, f_ceil, d_ceil, NULL, NULL)                           \
    X("round", "self", (0), (0), ONE, f_round, d_round, NULL, NULL)                        \
    X("trunc fix", "self", (0), (0), ONE, f_trunc, d_trunc, NULL, NULL)                    \
    X("frac", "self", (0), (0), ONE, f_frac, d_frac, NULL, NULL)                           \
    X("relu", "self", (0), (0), ONE, f_relu, d_relu, NULL, NULL)                           \
    X("relu6", "self", (0), (0), ONE, f_relu6, d_relu6, NULL, NULL)                        \
    X("leaky_relu", "self * negative_slope", (0, 0.01), (0, -1), ONE, f_leaky, d_leaky,    \
        NULL, NULL)                                                                        \
    X("elu selu celu", "self * alpha scale input_scale", (0, 1, 1, 1), (0, -1, -1, -1),    \
        ONE, f_elu, d_elu, NULL, NULL)                                                     \
    X("gelu", "self", (0), (0), ONE, f_gelu, d_gelu, NULL, NULL)                           \
    X("gelu'tanh'", "self", (0), (0), ONE, f_gelu_tanh, d_gelu_tanh, NULL, NULL)           \
    X("silu swish", "self", (0), (0), ONE, f_silu, d_silu, NULL, NULL)                     \
    X("sigmoid", "self", (0), (0), ONE, f_sigmoid, d_sigmoid, NULL, NULL)                  \
    X("log_sigmoid log_sigmoid_forward", "self", (0), (0), ONE, f_log_sigmoid,             \
        d_log_sigmoid, NULL, NULL)                                                         \
    X("tanh", "self", (0), (0), ONE, f_tanh, d_tanh, NULL, NULL)                           \
    X("softplus", "self * beta threshold", (0, 1, 20), (0, -1, -1), ONE, f_softplus,       \
        d_softplus, NULL, NULL)                                                            \
    X("mish", "self", (0), (0), ONE, f_mish, d_mish, NULL, NULL)                           \
    X("hardtanh", "self * min_val max_val", (0, -1, 1), (0, -1, -1), ONE, f_hardtanh,      \
        d_hardtanh, NULL, NULL)                                                            \
    X("hardsigmoid", "self", (0), (0), ONE, f_hardsigmoid, d_hardsigmoid, NULL, NULL)      \
    X("hardswish", "self", (0), (0), ONE, f_hardswish, d_hardswish, NULL, NULL)            \
    X("softsign", "self", (0), (0), ONE, f_softsign, d_softsign, NULL, NULL)               \
    X("logit", "self", (0), (0), ONE, f_logit, d_logit, NULL, near_ends)                   \
    X("erf", "self", (0), (0), ONE, f_erf, d_erf, NULL, NULL)                              \
    X("erfc", "self", (0), (0), ONE, f_erfc, d_erfc, NULL, NULL)                           \
    X("sin", "self", (0), (0), ONE, f_sin, d_sin, NULL, NULL)                              \
    X("cos", "self", (0), (0), ONE, f_cos, d_cos, NULL, NULL)                              \
    X("tan", "self", (0), (0), ONE, f_tan, d_tan, NULL, NULL)                              \
    X("asin arcsin", "self", (0), (0), ONE, f_asin, d_asin, NULL, near_one)                \
    X("acos arccos", "self", (0), (0), ONE, f_acos, d_acos, NULL, near_one)                \
    X("atan arctan", "self", (0), (0), ONE, f_atan, d_atan, NULL, NULL)                    \
    X("sinh", "self", (0), (0), ONE, f_sinh, d_sinh, NULL, is_steep)                       \
    X("cosh", "self", (0), (0), ONE, f_cosh, d_cosh, NULL, is_steep)                       \
    X("asinh", "self", (0), (0), ONE, f_asinh, d_asinh, NULL, NULL)                        \
    X("acosh", "self", (0), (0), ONE, f_acosh, d_acosh, NULL, NULL)                        \
    X("atanh", "self", (0), (0), ONE, f_atanh, d_atanh, NULL, near_one)                    \
    X("lgamma", "self", (0), (0), ONE, f_lgamma, d_lgamma, NULL, near_below)               \
    X("threshold", "self * threshold value", (0, 0, 0), (0, -1, 1), PICK, f_threshold,     \
        d_threshold, p_threshold, NULL)                                                    \
    X("nan_to_num", "self * nan posinf neginf", (0, 0, 3.4028234e38, -3.4028234e38),       \
        (0, 1, -1, -1), PICK, f_nan_to_num, d_nan_to_num, p_nan_to_num, NULL)              \
    X("softshrink", "self * lambd", (0, 0.5), (0, -1), ONE, f_softshrink, d_softshrink,    \
        NULL, NULL)                                                                        \
    X("hardshrink", "self * lambd", (0, 0.5), (0, -1), ONE, f_hardshrink, d_hardshrink,    \
        NULL, NULL)                                                                        \
    X("logical_not bitwise_not", "self", (0), (0), ONE, f_not, d_not, NULL, NULL)          \
    X("isnan", "self", (0), (0), ONE, f_isnan, d_isnan, NULL, NULL)                        \
    X("isinf", "self", (0), (0), ONE, f_isinf, d_isinf, NULL, NULL)                        \
    X("isfinite", "self", (0), (0), ONE, f_isfinite, d_isfinite, NULL, NULL)               \
    X("add", "self other * alpha", (0, 0, 1), (0, 1, -1), SUM, f_add, d_add, p_add, NULL)  \
    X("sub subtract", "self other * alpha", (0, 0, 1), (0, 1, -1), SUM, f_sub, d_sub,      \
        p_sub, NULL)                                                                       \
    X("rsub", "self other * alpha", (0, 0, 1), (0, 1, -1), SUM, f_rsub, d_rsub, p_rsub,    \
        NULL)                                                                              \
    X("mul multiply", "self other", (0, 1), (0, 0), ONE, f_mul, d_mul, NULL, NULL)         \
    X("div divide true_divide", "self other", (0, 1), (0, 0), ONE, f_div, d_div, NULL,     \
        near_zero_second)                                                                  \
    X("floor_divide", "self other", (0, 1), (0, 0), ONE, f_floor_divide, d_floor_divide,   \
        NULL, near_zero_second)                                                            \
    X("pow", "self exponent", (0, 1), (0, 0), ONE, f_pow, d_pow, NULL, is_steep_power)     \
    X("maximum fmax", "self other", (0, 0), (0, 1), PICK, f_maximum, d_maximum, p_maximum, \
        NULL)                                                                              \
    X("minimum fmin", "self other", (0, 0), (0, 1), PICK, f_minimum, d_minimum, p_minimum, \
        NULL)                                                                              \
    X("atan2 arctan2", "self other", (0, 0), (0, 0), ONE, f_atan2, d_atan2, NULL, NULL)    \
    X("hypot", "self other", (0, 0), (0, 0), ONE, f_hypot, d_hypot, NULL, NULL)            \
    X("fmod", "self other", (0, 1), (0, 0), ONE, f_fmod, d_fmod, NULL, near_zero_second)   \
    X("remainder", "self other", (0, 1), (0, 0), ONE, f_remainder, d_remainder, NULL,      \
        near_zero_second)                                                                  \
    X("xlogy", "self other", (0, 1), (0, 0), ONE, f_xlogy, d_xlogy, NULL,                  \
        near_zero_second)                                                                  \
    X("prelu _prelu_kernel", "self weight", (0, 0), (0, -1), ONE, f_prelu, d_prelu, NULL,  \
        NULL)                                                                              \
    X("logaddexp", "self other", (0, 0), (0, 0), ONE, f_logaddexp, d_logaddexp, NULL,      \
        NULL)                                                                              \
    X("eq", "self other", (0, 0), (0, 0), ONE, f_eq, d_eq, NULL, NULL)                     \
    X("ne not_equal", "self other", (0, 0), (0, 0), ONE, f_ne, d_ne, NULL, NULL)           \
    X("lt less", "self other", (0, 0), (0, 0), ONE, f_lt, d_lt, NULL, NULL)                \
    X("le less_equal", "self other", (0, 0), (0, 0), ONE, f_le, d_le, NULL, NULL)          \
    X("gt greater", "self other", (0, 0), (0, 0), ONE, f_gt, d_gt, NULL, NULL)             \
    X("ge greater_equal", "self other", (0, 0), (0, 0), ONE, f_ge, d_ge, NULL, NULL)       \
    X("logical_and bitwise_and __and__", "self other", (0, 0), (0, 0), ONE, f_and, d_and,  \
        NULL, NULL)                                                                        \
    X("logical_or bitwise_or __or__", "self other", (0, 0), (0, 0), ONE, f_or, d_or, NULL, \
        NULL)                                                                              \
    X("logical_xor bitwise_xor __xor__", "self other", (0, 0), (0, 0), ONE, f_xor, d_xor,  \
        NULL, NULL)                                                                        \
    X("threshold_backward", "grad_output self * threshold", (0, 0, 0), (0, -1, -1), ONE,   \
        f_threshold_backward, d_threshold_backward, NULL, NULL)                            \
    X("tanh_backward", "grad_output output", (0, 0), (0, -1), ONE, f_tanh_backward,        \
        d_tanh_backward, NULL, NULL)                                                       \
    X("sigmoid_backward", "grad_output output", (0, 0), (0, -1), ONE, f_sigmoid_backward,  \
        d_sigmoid_backward, NULL, NULL)                                                    \
    X("clamp clip", "self min max", (0, -HUGE_VAL, HUGE_VAL), (0, 1, 2), PICK, f_clamp,    \
        d_clamp, p_clamp, NULL)                                                            \
    X("clamp_min", "self min max", (0, -HUGE_VAL, HUGE_VAL), (0, 1, 2), PICK, f_clamp,     \
        d_clamp, p_clamp, NULL)                                                            \
    X("clamp_max", "self max min", (0, HUGE_VAL, -HUGE_VAL), (0, 1, 2), PICK, f_clamp_max, \
        d_clamp_max, p_clamp_max, NULL)                                                    \
    X("where _s_where", "condition self other", (0, 0, 0), (-1, 0, 1), PICK, f_where,      \
        d_where, p_where, NULL)                                                            \
    X("masked_fill", "self mask value", (0, 0, 0), (0, -1, 1), PICK, f_masked_fill,        \
        d_masked_fill, p_masked_fill, NULL)                                                \
    X("lerp", "self end weight", (0, 0, 0), (0, 1, -1), SUM, f_lerp, d_lerp, p_lerp, NULL) \
    X("addcmul", "self tensor1 tensor2 * value", (0, 0, 0, 1), (0, 1, 1, -1), SUM,         \
        f_addcmul, d_addcmul, p_addcmul, NULL)                                             \
    X("addcdiv", "self tensor1 tensor2 * value", (0, 0, 1, 1), (0, 1, 1, -1), SUM,         \
        f_addcdiv, d_addcdiv, p_addcdiv, near_zero_third)

/* clamp_max has its only bound first. */
static double f_clamp_max(const double *x)
{
    return f_clamp((const double[]){x[0], x[2], x[1]});
}

static void d_clamp_max(const double *x, double *out)
{
    double turned[3];
    d_clamp((const double[]){x[0], x[2], x[1]}, turned);
    out[0] = turned[0];
    out[1] = turned[2];
    out[2] = turned[1];
}

static void p_clamp_max(const double *x, double *out)
{
    double turned[3];
    p_clamp((const double[]){x[0], x[2], x[1]}, turned);
    out[0] = turned[0];
    out[1] = turned[2];
    out[2] = turned[1];
}

#define LIST(...) __VA_ARGS__
#define ROW(names_, args_, otherwise_, group_, kind_, f_, df_, parts_, near_)              \
    {.names = (names_),                                                                    \
        .args = (args_),                                                                   \
        .otherwise = {LIST otherwise_},                                                    \
        .group = {LIST group_},                                                            \
        .kind = CREDIT_POINT_##kind_,                                                      \
        .f = (f_),                                                                         \
        .df = (df_),                                                                       \
        .parts = (parts_),                                                                 \
        .is_near = (near_)},
#define NAMES(names_, ...) names_ " "

static const struct credit_point points[] = {POINTS(ROW)};

const char credit_point_names[] = POINTS(NAMES);

const struct credit_point *credit_point_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const char *at = points[i].names;
        while (*at != '\0') {
            const size_t length = strcspn(at, " ");
            if (length == n && memcmp(at, name, n) == 0) {
                return &points[i];
            }
            at += length;
            at += strspn(at, " ");
        }
    }
    return NULL;
}
