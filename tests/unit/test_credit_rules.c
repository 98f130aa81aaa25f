/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "lib/analysis/credit_op.h"

#include <math.h>

/* Rules of single operations against what the operation itself, written plainly in f64, does. */

enum { MOST = 4, ELEMENTS = 256 };

/* Computes an operation: out from in, all row-major; numbers are those of its arguments. */
typedef void (*compute_fn)(double *const *in, double *out, const double *numbers);

struct operand {
    int64_t shape[BARO_MAX_DIMS];
    int n_dims;
    double low, high;    /* of its random elements */
    bool is_index;       /* whole numbers */
    const double *given; /* elements; NULL: random */
    bool is_fixed;
};

struct trial {
    const char *name;
    const char *attrs;
    double numbers[4];
    compute_fn compute;
    struct operand in[MOST];
    int n_in;
    int64_t out_shape[BARO_MAX_DIMS];
    int out_dims;
    bool is_choice;    /* value mode: no sum is compared */
    bool has_no_slope; /* gradients are 0 */
};

/* Everything that a rule sees, with its memory. */
struct bench {
    struct probe probe;
    struct probe_op op;
    struct probe_value values[MOST + 1];
    struct credit_array in[MOST], in0[MOST], out[1], out0[1];
    float x[MOST][ELEMENTS], x0[MOST][ELEMENTS], y[ELEMENTS], y0[ELEMENTS];
    float d[ELEMENTS], back[MOST][ELEMENTS], t[MOST][ELEMENTS], along[ELEMENTS];
    const float *of_out[1], *tangents[MOST];
    float *of_in[MOST], *tangent_out[1];
    double own[CREDIT_OWN_COUNT], gain;
    bool singular;
    struct credit_io io;
};

static uint32_t random_state = 1;

static double random_between(double low, double high)
{
    random_state = random_state * 1664525u + 1013904223u;
    return low + (high - low) * (double)(random_state >> 8) / (1 << 24);
}

static int64_t count(const int64_t *shape, int n_dims)
{
    int64_t n = 1;
    for (int d = 0; d < n_dims; d++) {
        n *= shape[d];
    }
    return n;
}

static void set_array(struct credit_array *array, struct probe_value *value,
    const int64_t *shape, int n_dims, const float *x)
{
    *value = (struct probe_value){.name = "",
        .dtype = BARO_F32,
        .n_dims = n_dims,
        .batch_axis = PROBE_NONE,
        .unit_axis = PROBE_NONE,
        .op = PROBE_NONE};
    memcpy(value->shape, shape, sizeof value->shape);
    *array = (struct credit_array){
        .n_dims = n_dims, .n = count(shape, n_dims), .x = x, .value = value};
    memcpy(array->shape, shape, sizeof array->shape);
    assert_true(array->n <= ELEMENTS);
}

static void compute(const struct trial *trial, float (*x)[ELEMENTS], float *y)
{
    static double wide[MOST][ELEMENTS];
    static double out[ELEMENTS];
    double *in[MOST] = {0};
    for (int k = 0; k < trial->n_in; k++) {
        in[k] = wide[k];
        for (int i = 0; i < ELEMENTS; i++) {
            wide[k][i] = (double)x[k][i];
        }
    }
    memset(out, 0, sizeof out);
    trial->compute(in, out, trial->numbers);
    for (int64_t i = 0; i < count(trial->out_shape, trial->out_dims); i++) {
        y[i] = (float)out[i];
    }
}

static void set_up(struct bench *b, const struct trial *trial)
{
    *b = (struct bench){0};
    b->op = (struct probe_op){.name = trial->name, .module = "", .attrs = trial->attrs};
    for (int k = 0; k < trial->n_in; k++) {
        const struct operand *operand = &trial->in[k];
        set_array(&b->in[k], &b->values[k], operand->shape, operand->n_dims, b->x[k]);
        b->in[k].is_fixed = operand->is_fixed;
        b->values[k].dtype = operand->is_index ? BARO_I64 : BARO_F32;
        for (int64_t i = 0; i < b->in[k].n; i++) {
            b->x[k][i] = (float)random_between(operand->low, operand->high);
            b->x0[k][i] = (float)random_between(operand->low, operand->high);
            if (operand->given != NULL) {
                b->x[k][i] = (float)operand->given[i];
                b->x0[k][i] = b->x[k][i];
            } else if (operand->is_index) {
                b->x[k][i] = floorf(b->x[k][i]);
                b->x0[k][i] = floorf(b->x0[k][i]);
            }
            b->t[k][i] = operand->is_index ? 0 : (float)random_between(-1, 1);
        }
        b->in0[k] = b->in[k];
        b->in0[k].x = b->x0[k];
        b->of_in[k] = b->back[k];
        b->tangents[k] = b->t[k];
    }
    set_array(b->out, &b->values[MOST], trial->out_shape, trial->out_dims, b->y);
    b->out0[0] = b->out[0];
    b->out0[0].x = b->y0;
    compute(trial, b->x, b->y);
    compute(trial, b->x0, b->y0);
    for (int64_t i = 0; i < b->out[0].n; i++) {
        b->d[i] = (float)random_between(-1, 1);
    }
    b->of_out[0] = b->d;
    b->tangent_out[0] = b->along;
    b->io = (struct credit_io){.probe = &b->probe,
        .probe0 = &b->probe,
        .op = &b->op,
        .n_in = (uint32_t)trial->n_in,
        .n_out = 1,
        .in = b->in,
        .out = b->out,
        .of_out = b->of_out,
        .of_in = b->of_in,
        .own = b->own,
        .gain = &b->gain,
        .singular = &b->singular,
        .tangent_in = b->tangents,
        .tangent_out = b->tangent_out};
}

static void start(struct bench *b, enum credit_mode mode)
{
    memset(b->back, 0, sizeof b->back);
    memset(b->along, 0, sizeof b->along);
    memset(b->own, 0, sizeof b->own);
    b->io.mode = mode;
    b->io.in0 = mode == CREDIT_CHANGE ? b->in0 : NULL;
    b->io.out0 = mode == CREDIT_CHANGE ? b->out0 : NULL;
    b->io.op0 = mode == CREDIT_CHANGE ? &b->op : NULL;
}

static void compare(const struct trial *trial, const char *what, double is, double wanted,
    double scale, double tolerance)
{
    if (!(fabs(is - wanted) <= tolerance * (scale + 1e-6))) {
        fail_msg("%s, %s: %.9g instead of %.9g", trial->name, what, is, wanted);
    }
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static const struct credit_rule *rule_of(const struct trial *trial)
{
    const struct credit_rule *rule = credit_rule_find(trial->name);
    if (rule == NULL) {
        fail_msg("%s has no rule", trial->name);
    }
    return rule;
}

/* Each derivative against differences of the operation. */
static void check_gradient(struct bench *b, const struct trial *trial)
{
    start(b, CREDIT_GRADIENT);
    assert_int_equal(rule_of(trial)->gradient(&b->io), 0);
    for (int k = 0; k < trial->n_in; k++) {
        for (int64_t i = 0; i < b->in[k].n && !trial->in[k].is_index; i++) {
            const float held = b->x[k][i];
            const float step = 1e-3f * fmaxf(1, fabsf(held));
            static float above[ELEMENTS];
            static float below[ELEMENTS];
            b->x[k][i] = held + step;
            const double up = (double)b->x[k][i];
            compute(trial, b->x, above);
            b->x[k][i] = held - step;
            compute(trial, b->x, below);
            const double by = up - (double)b->x[k][i];
            b->x[k][i] = held;
            double wanted = 0;
            double scale = 1;
            for (int64_t o = 0; o < b->out[0].n; o++) {
                const double one = ((double)above[o] - (double)below[o]) / by;
                wanted += (double)b->d[o] * one;
                scale += fabs((double)above[o]) + fabs(one);
            }
            compare(trial, "gradient", (double)b->back[k][i],
                trial->has_no_slope ? 0 : wanted, scale, 2e-3);
        }
    }
}

/* d . J t is t . J^T d. */
static void check_forward(struct bench *b, const struct trial *trial)
{
    start(b, CREDIT_GRADIENT);
    assert_int_equal(rule_of(trial)->gradient(&b->io), 0);
    assert_int_equal(rule_of(trial)->forward(&b->io), 0);
    double wanted = 0;
    double scale = 1;
    for (int k = 0; k < trial->n_in; k++) {
        wanted += trial->in[k].is_index ? 0 : dot(b->back[k], b->t[k], b->in[k].n);
        scale += fabs(wanted);
    }
    compare(trial, "forward", dot(b->along, b->d, b->out[0].n), wanted, scale, 1e-5);
}

static void check_change(struct bench *b, const struct trial *trial)
{
    const struct credit_rule *rule = rule_of(trial);
    start(b, CREDIT_CHANGE);
    assert_int_equal((rule->change != NULL ? rule->change : rule->gradient)(&b->io), 0);
    double is = 0;
    double wanted = 0;
    double scale = 0;
    for (int k = 0; k < trial->n_in; k++) {
        for (int64_t i = 0; i < b->in[k].n; i++) {
            const double part =
                (double)b->back[k][i] * ((double)b->x[k][i] - (double)b->x0[k][i]);
            is += part;
            scale += fabs(part);
        }
    }
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        is += b->own[k];
    }
    for (int64_t i = 0; i < b->out[0].n; i++) {
        wanted += (double)b->d[i] * ((double)b->y[i] - (double)b->y0[i]);
        scale += fabs((double)b->d[i] * (double)b->y[i]);
    }
    compare(trial, "change", is, wanted, scale, 1e-5);
}

static void check_value(struct bench *b, const struct trial *trial)
{
    start(b, CREDIT_VALUE);
    for (int k = 0; k < trial->n_in; k++) {
        b->of_in[k] =
            rule_of(trial)->only_weighs && trial->in[k].is_fixed ? NULL : b->back[k];
    }
    assert_int_equal(rule_of(trial)->value(&b->io), 0);
    double is = 0;
    double wanted = 0;
    double scale = 1;
    for (int k = 0; k < trial->n_in; k++) {
        for (int64_t i = 0; i < b->in[k].n; i++) {
            is += (double)b->back[k][i];
            scale += fabs((double)b->back[k][i]);
        }
    }
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        is += b->own[k];
    }
    for (int64_t i = 0; i < b->out[0].n; i++) {
        wanted += (double)b->d[i];
    }
    if (!trial->is_choice) {
        compare(trial, "value", is, wanted, scale, 1e-4);
    }
}

static void check(const struct trial *trial)
{
    static struct bench bench;
    for (int round = 0; round < 3; round++) {
        set_up(&bench, trial);
        check_gradient(&bench, trial);
        check_forward(&bench, trial);
        check_change(&bench, trial);
        check_value(&bench, trial);
    }
}

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

static void functions_of_one_argument(void **state)
{
    static const struct {
        const char *name, *attrs;
        compute_fn compute;
        double low, high;
        double numbers[4];
        bool has_no_slope;
    } cases[] = {
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
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = {.name = cases[i].name,
            .attrs = cases[i].attrs,
            .compute = cases[i].compute,
            .in = {{{2, 3}, 2, cases[i].low, cases[i].high}},
            .n_in = 1,
            .out_shape = {2, 3},
            .out_dims = 2,
            .has_no_slope = cases[i].has_no_slope};
        memcpy(trial.numbers, cases[i].numbers, sizeof trial.numbers);
        check(&trial);
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
    const struct operand any = {{2, 3}, 2, 1.2, 2};
    const struct operand row = {{3}, 1, 0.5, 1};
    const struct operand column = {{2, 1}, 2, 2.5, 3};
    const struct operand mask = {{2, 3}, 2, 0, 1, true, mask6};
    const struct operand row_mask = {{3}, 1, 0, 1, true, mask3};
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
        check(&trial);
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
    const struct operand a = {{3, 5}, 2, 0.5, 1.5};
    const struct operand b = {{5, 2}, 2, 0.2, 1};
    const struct operand weight = {{5, 2}, 2, 0.2, 1, .is_fixed = true};
    const struct operand a4 = {{4, 3, 5}, 3, 0.5, 1.5};
    const struct operand b4 = {{4, 5, 2}, 3, 0.2, 1};
    const struct operand bias = {{2}, 1, 0.5, 1, .is_fixed = true};
    const struct operand lw = {{2, 5}, 2, 0.2, 1, .is_fixed = true};
    const struct operand v = {{5}, 1, 0.2, 1};
    const struct operand c4 = {{4, 3, 2}, 3, 0.2, 1};
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
        check(&cases[i]);
    }
}

/* Moves: `from` says which input element an output element is. */

#define MOVE(name, n, from)                                                                \
    static void c_##name(double *const *in, double *out, const double *p)                  \
    {                                                                                      \
        (void)p;                                                                           \
        for (int i = 0; i < (n); i++) {                                                    \
            out[i] = from;                                                                 \
        }                                                                                  \
    }

/* of [2, 3, 4] */
MOVE(same, 24, in[0][i])
MOVE(permute, 24, in[0][i / 6 + i % 6 / 3 * 12 + i % 3 * 4]) /* [4, 2, 3] */
MOVE(transpose, 24, in[0][i / 12 * 12 + i % 12 / 3 + i % 3 * 4])
MOVE(slice, 12, in[0][i / 6 * 12 + i % 6 / 2 * 4 + 1 + i % 2 * 2]) /* ::, 1::2 */
MOVE(select, 8, in[0][i / 4 * 12 + 8 + i % 4])
MOVE(flip, 24, in[0][(1 - i / 12) * 12 + i % 12 / 4 * 4 + 3 - i % 4])
MOVE(roll, 24, in[0][i / 4 * 4 + (i + 1) % 4])
MOVE(repeat, 96, in[0][i / 8 % 6 * 4 + i % 4]) /* [2, 2, 3, 8] */
MOVE(tril, 24, i % 12 / 4 >= i % 4 ? in[0][i] : 0)
MOVE(triu, 24, i % 4 >= i % 12 / 4 + 1 ? in[0][i] : 0)
MOVE(cat, 30, i % 5 < 4 ? in[0][i / 5 * 4 + i % 5] : in[1][i / 5])
MOVE(stack, 12, in[i % 2][i / 2]) /* [2, 3] twice, dim 2 */
MOVE(expand, 12, in[0][i / 6 * 3 + i % 3])
MOVE(pad, 48, i % 8 >= 1 && i % 8 < 5 ? in[0][i / 8 * 4 + i % 8 - 1] : 2.5)

MOVE(slice_put, 24, i % 4 == 1 || i % 4 == 3 ? in[1][i / 4 * 2 + i % 4 / 2] : in[0][i])
MOVE(select_put, 24, i % 12 / 4 == 2 ? in[1][i / 12 * 4 + i % 4] : in[0][i])
MOVE(strided, 4, in[0][1 + i / 2 * 12 + i % 2 * 2])

static void c_windows(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 2 * 3 * 2 * 2; i++) { /* windows of 2 at 0 and 2 */
        out[i] = in[0][i / 4 * 4 + i / 2 % 2 * 2 + i % 2];
    }
}

static void elements_that_move(void **state)
{
    const struct operand x = {{2, 3, 4}, 3, 0.5, 1};
    const struct operand one = {{2, 3, 1}, 3, 0.5, 1};
    const struct operand flat = {{2, 3}, 2, 0.5, 1};
    const struct operand thin = {{2, 1, 3}, 3, 0.5, 1};
    const struct trial cases[] = {
        {"view", "size=[6, 4]", {0}, c_same, {x}, 1, {6, 4}, 2},
        {"clone", "", {0}, c_same, {x}, 1, {2, 3, 4}, 3},
        {"permute", "dims=[2, 0, 1]", {0}, c_permute, {x}, 1, {4, 2, 3}, 3},
        {"transpose", "dim0=1 dim1=-1", {0}, c_transpose, {x}, 1, {2, 4, 3}, 3},
        {"slice", "dim=2 start=1 end=9223372036854775807 step=2", {0}, c_slice, {x}, 1,
            {2, 3, 2}, 3},
        {"select", "dim=1 index=-1", {0}, c_select, {x}, 1, {2, 4}, 2},
        {"flip", "dims=[0, 2]", {0}, c_flip, {x}, 1, {2, 3, 4}, 3},
        {"roll", "shifts=[-1] dims=[2]", {0}, c_roll, {x}, 1, {2, 3, 4}, 3},
        {"unfold", "dimension=2 size=2 step=2", {0}, c_windows, {x}, 1, {2, 3, 2, 2}, 4},
        {"repeat", "repeats=[2, 1, 1, 2]", {0}, c_repeat, {x}, 1, {2, 2, 3, 8}, 4},
        {"tril", "diagonal=0", {0}, c_tril, {x}, 1, {2, 3, 4}, 3, true},
        {"triu", "diagonal=1", {0}, c_triu, {x}, 1, {2, 3, 4}, 3, true},
        {"cat", "dim=-1", {0}, c_cat, {x, one}, 2, {2, 3, 5}, 3},
        {"stack", "dim=2", {0}, c_stack, {flat, flat}, 2, {2, 3, 2}, 3},
        {"expand", "size=[2, 2, 3]", {0}, c_expand, {thin}, 1, {2, 2, 3}, 3},
        {"as_strided", "size=[2,2] stride=[12,2] storage_offset=1", {0}, c_strided, {x}, 1,
            {2, 2}, 2, true},
        {"slice_scatter", "dim=2 start=1 end=9223372036854775807 step=2", {0}, c_slice_put,
            {x, {{2, 3, 2}, 3, 0.5, 1}}, 2, {2, 3, 4}, 3},
        {"select_scatter", "dim=1 index=2", {0}, c_select_put, {x, {{2, 4}, 2, 0.5, 1}}, 2,
            {2, 3, 4}, 3},
        {"constant_pad_nd", "pad=[1, 3] value=2.5", {0}, c_pad, {x}, 1, {2, 3, 8}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&cases[i]);
    }
}

/* Choices by indices. */

static void c_embedding(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 24; i++) {
        out[i] = in[0][(int)in[1][i / 4] * 4 + i % 4];
    }
}

static void c_gather(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 4; i++) { /* [2, 2] of [2, 5], along 1 */
        out[i] = in[0][i / 2 * 5 + (int)in[1][i]];
    }
}

static void c_index_select(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 2 * 3 * 4; i++) { /* [2, 5, 4], along 1 */
        out[i] = in[0][i / 12 * 20 + (int)in[1][i / 4 % 3] * 4 + i % 4];
    }
}

static void c_index(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 3 * 4; i++) { /* x[a, b] of [2, 5, 4] */
        out[i] = in[0][(int)in[1][i / 4] * 20 + (int)in[2][i / 4] * 4 + i % 4];
    }
}

static void c_masked(double *const *in, double *out, const double *p)
{
    int n = 0;
    for (int i = 0; i < 6; i++) {
        if (in[1][i] != 0) {
            out[n++] = in[0][i];
        }
    }
}

static void c_put(double *const *in, double *out, const double *p)
{
    memcpy(out, in[0], 10 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        const int at = (int)in[1][i];
        out[at] = p[0] != 0 ? out[at] + in[2][i] : in[2][i];
    }
}

static void c_put_one(double *const *in, double *out, const double *p)
{
    memcpy(out, in[0], 10 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        out[(int)in[1][i]] = in[2][0];
    }
}

static const double twice3[] = {4, 4, 7};
static const double rows6[] = {0, 3, 3, 1, 6, 2};
static const double some3[] = {4, 0, 7};

static void elements_that_indices_choose(void **state)
{
    const struct operand table = {{7, 4}, 2, 0.5, 1, .is_fixed = true};
    const struct operand words = {{2, 3}, 2, 0, 6.99, true};
    const struct operand x = {{2, 5, 4}, 3, 0.5, 1};
    const struct operand flat = {{2, 5}, 2, 0.5, 1};
    const struct operand five = {{3}, 1, 0, 4.99, true};
    const struct operand two = {{3}, 1, 0, 1.99, true};
    const struct operand pair = {{2, 2}, 2, 0, 4.99, true};
    const struct operand six = {{2, 3}, 2, 0.5, 1};
    const struct operand mask = {{2, 3}, 2, 0, 1, true, mask6};
    const struct operand ten = {{10}, 1, 0.5, 1};
    const struct operand at = {{3}, 1, 0, 1, true, some3};
    const struct operand what = {{3}, 1, 0.5, 1};
    const struct trial cases[] = {
        {"embedding", "", {0}, c_embedding, {table, {{2, 3}, 2, 0, 1, true, rows6}}, 2,
            {2, 3, 4}, 3},
        {"embedding", "", {0}, c_embedding, {table, words}, 2, {2, 3, 4}, 3},
        {"gather", "dim=1", {0}, c_gather, {flat, pair}, 2, {2, 2}, 2},
        {"index_select", "dim=1", {0}, c_index_select, {x, five}, 2, {2, 3, 4}, 3},
        {"index", "", {0}, c_index, {x, two, five}, 3, {3, 4}, 2},
        {"masked_select", "", {0}, c_masked, {six, mask}, 2, {3}, 1},
        {"index_put", "accumulate=0", {0}, c_put, {ten, at, what}, 3, {10}, 1},
        {"index_put", "accumulate=0", {0}, c_put_one, {ten, at, {{1}, 1, 0.5, 1}}, 3, {10},
            1},
        {"index_put", "accumulate=1", {1}, c_put, {ten, at, what}, 3, {10}, 1},
        {"scatter", "dim=0", {0}, c_put, {ten, {{3}, 1, 0, 1, true, twice3}, what}, 3, {10},
            1},
        {"scatter_add", "dim=0", {1}, c_put, {ten, {{3}, 1, 0, 1, true, twice3}, what}, 3,
            {10}, 1},
        {"scatter", "dim=0", {0}, c_put, {ten, at, what}, 3, {10}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&cases[i]);
    }
}

static void the_examples_of_the_essays_are_right(void **state)
{
    static struct bench b;
    const struct trial mul = {
        "mul", "", {0}, c_mul2, {{{2, 3}, 2, 0, 1}, {{3}, 1, 0, 1}}, 2, {2, 3}, 2};
    set_up(&b, &mul);
    for (int i = 0; i < 6; i++) {
        b.x[0][i] = 4;
        b.x0[0][i] = 2;
        b.x[1][i % 3] = 5;
        b.x0[1][i % 3] = 3;
        b.d[i] = i == 0;
    }
    start(&b, CREDIT_CHANGE);
    assert_int_equal(rule_of(&mul)->change(&b.io), 0);
    compare(&mul, "x", (double)b.back[0][0] * 2, 8, 1, 1e-6);
    compare(&mul, "y", (double)b.back[1][0] * 2, 6, 1, 1e-6);

    const struct operand bias = {{2}, 1, 4, 4, .is_fixed = true};
    static const double a[] = {1, 2};
    static const double w[] = {3, 0, -1, 0};
    const struct trial addmm = {"addmm", "", {1, 1}, c_addmm,
        {bias, {{1, 2}, 2, 0, 1, false, a}, {{2, 2}, 2, 0, 1, false, w, true}}, 3, {1, 2},
        2};
    set_up(&b, &addmm);
    b.x[0][0] = b.x[0][1] = 4;
    b.y[0] = 5;
    b.y[1] = 4;
    b.d[0] = 1;
    b.d[1] = 0;
    start(&b, CREDIT_VALUE);
    b.of_in[0] = b.of_in[2] = NULL;
    assert_int_equal(rule_of(&addmm)->value(&b.io), 0);
    compare(&addmm, "a 0", (double)b.back[1][0], 0.6, 1, 1e-5);
    compare(&addmm, "a 1", (double)b.back[1][1], -0.4, 1, 1e-5);
    compare(&addmm, "bias", b.own[CREDIT_OWN_BIAS], 0.8, 1, 1e-5);

    static const double index[] = {1, 0};
    const struct trial pick = {"index_select", "dim=0", {0}, c_masked,
        {{{2}, 1, 0, 1}, {{1}, 1, 0, 1, true, index}}, 2, {1}, 1};
    set_up(&b, &pick);
    b.x[0][0] = 1.5f;
    b.x[0][1] = b.x0[0][1] = 2;
    b.x0[0][0] = 1;
    b.x0[1][0] = 0;
    b.d[0] = 1;
    start(&b, CREDIT_CHANGE);
    assert_int_equal(rule_of(&pick)->change(&b.io), 0);
    compare(&pick, "table", (double)b.back[0][0] * 0.5, 0.25, 1, 1e-6);
    compare(&pick, "index", (double)b.back[1][0], 0.75, 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_one_argument),
        cmocka_unit_test(functions_of_several_arguments),
        cmocka_unit_test(products_of_matrices),
        cmocka_unit_test(elements_that_move),
        cmocka_unit_test(elements_that_indices_choose),
        cmocka_unit_test(the_examples_of_the_essays_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
