/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_trial.h"

#include <math.h>

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
    assert_true(array->n <= TRIAL_ELEMENTS);
}

static void compute(const struct trial *trial, float (*x)[TRIAL_ELEMENTS], float *y)
{
    static double wide[TRIAL_MOST][TRIAL_ELEMENTS];
    static double out[TRIAL_ELEMENTS];
    double *in[TRIAL_MOST] = {0};
    for (int k = 0; k < trial->n_in; k++) {
        in[k] = wide[k];
        for (int i = 0; i < TRIAL_ELEMENTS; i++) {
            wide[k][i] = (double)x[k][i];
        }
    }
    memset(out, 0, sizeof out);
    trial->compute(in, out, trial->numbers);
    for (int64_t i = 0; i < count(trial->out_shape, trial->out_dims); i++) {
        y[i] = (float)out[i];
    }
}

void trial_set_up(struct trial_bench *b, const struct trial *trial)
{
    *b = (struct trial_bench){0};
    b->op = (struct probe_op){.name = trial->name, .module = "", .attrs = trial->attrs};
    for (int k = 0; k < trial->n_in; k++) {
        const struct trial_operand *operand = &trial->in[k];
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
    set_array(b->out, &b->values[TRIAL_MOST], trial->out_shape, trial->out_dims, b->y);
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
        .gap = &b->gap,
        .tangent_in = b->tangents,
        .tangent_out = b->tangent_out};
}

void trial_start(struct trial_bench *b, enum credit_mode mode)
{
    memset(b->back, 0, sizeof b->back);
    memset(b->along, 0, sizeof b->along);
    memset(b->own, 0, sizeof b->own);
    b->io.mode = mode;
    b->io.in0 = mode == CREDIT_CHANGE ? b->in0 : NULL;
    b->io.out0 = mode == CREDIT_CHANGE ? b->out0 : NULL;
    b->io.op0 = mode == CREDIT_CHANGE ? &b->op : NULL;
}

void trial_compare(const struct trial *trial, const char *what, double is, double wanted,
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

const struct credit_rule *trial_rule(const struct trial *trial)
{
    const struct credit_rule *rule = credit_rule_find(trial->name);
    if (rule == NULL) {
        fail_msg("%s has no rule", trial->name);
    }
    return rule;
}

/* Each derivative against differences of the operation. */
static void check_gradient(struct trial_bench *b, const struct trial *trial)
{
    trial_start(b, CREDIT_GRADIENT);
    assert_int_equal(trial_rule(trial)->gradient(&b->io), 0);
    for (int k = 0; k < trial->n_in; k++) {
        for (int64_t i = 0; i < b->in[k].n && !trial->in[k].is_index; i++) {
            const float held = b->x[k][i];
            const float step = 1e-3f * fmaxf(1, fabsf(held));
            static float above[TRIAL_ELEMENTS];
            static float below[TRIAL_ELEMENTS];
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
            trial_compare(trial, "gradient", (double)b->back[k][i],
                trial->has_no_slope ? 0 : wanted, scale, 2e-3);
        }
    }
}

/* d . J t is t . J^T d. */
static void check_forward(struct trial_bench *b, const struct trial *trial)
{
    trial_start(b, CREDIT_GRADIENT);
    assert_int_equal(trial_rule(trial)->gradient(&b->io), 0);
    assert_int_equal(trial_rule(trial)->forward(&b->io), 0);
    double wanted = 0;
    double scale = 1;
    for (int k = 0; k < trial->n_in; k++) {
        wanted += trial->in[k].is_index ? 0 : dot(b->back[k], b->t[k], b->in[k].n);
        scale += fabs(wanted);
    }
    trial_compare(trial, "forward", dot(b->along, b->d, b->out[0].n), wanted, scale, 1e-5);
}

static void check_change(struct trial_bench *b, const struct trial *trial)
{
    const struct credit_rule *rule = trial_rule(trial);
    trial_start(b, CREDIT_CHANGE);
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
    trial_compare(trial, "change", is, wanted, scale, 1e-5);
}

static void check_value(struct trial_bench *b, const struct trial *trial)
{
    trial_start(b, CREDIT_VALUE);
    for (int k = 0; k < trial->n_in; k++) {
        b->of_in[k] =
            trial_rule(trial)->only_weighs && trial->in[k].is_fixed ? NULL : b->back[k];
    }
    assert_int_equal(trial_rule(trial)->value(&b->io), 0);
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
        trial_compare(trial, "value", is, wanted, scale, 1e-4);
    }
}

void trial_check(const struct trial *trial)
{
    static struct trial_bench bench;
    for (int round = 0; round < 3; round++) {
        trial_set_up(&bench, trial);
        check_gradient(&bench, trial);
        check_forward(&bench, trial);
        check_change(&bench, trial);
        check_value(&bench, trial);
    }
}
