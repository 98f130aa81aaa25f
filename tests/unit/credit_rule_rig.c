/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <math.h>

static const double step = 1e-5;
static const double tolerance = 1e-4;

/* Two points of an operation and what comes to it, all in f64 that f32 holds. */
struct points {
    double *in[2][RULE_RIG_MOST];
    double *out[2][3];
    double *from[3];
};

int64_t rule_rig_count(const struct rule_rig_array *array)
{
    int64_t n = 1;
    for (int i = 0; i < array->n_dims; i++) {
        n *= array->shape[i];
    }
    return n;
}

static double draw(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 40) / (double)(1 << 24);
}

static double *numbers(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static void start(const struct rule_rig *rig, struct points *p)
{
    for (int i = 0; i < rig->n_in; i++) {
        const struct rule_rig_array *array = &rig->in[i];
        const int64_t n = rule_rig_count(array);
        for (int side = 0; side < 2; side++) {
            p->in[side][i] = numbers(n);
            for (int64_t e = 0; e < n; e++) {
                double x = array->low + (array->high - array->low) * draw();
                x = array->is_whole ? floor(x) : x;
                p->in[side][i][e] =
                    array->is_frozen && side == 1 ? p->in[0][i][e] : (double)(float)x;
            }
        }
    }
    for (int i = 0; i < rig->n_out; i++) {
        const int64_t n = rule_rig_count(&rig->out[i]);
        p->from[i] = numbers(n);
        for (int64_t e = 0; e < n && !rig->out[i].is_statistic; e++) {
            p->from[i][e] = (double)(float)(draw() - 0.3);
        }
        p->out[0][i] = numbers(n);
        p->out[1][i] = numbers(n);
    }
    rig->run(rig, p->in[0], p->out[0]);
    rig->run(rig, p->in[1], p->out[1]);
}

static void finish(const struct rule_rig *rig, struct points *p)
{
    for (int i = 0; i < rig->n_in; i++) {
        free(p->in[0][i]);
        free(p->in[1][i]);
    }
    for (int i = 0; i < rig->n_out; i++) {
        free(p->out[0][i]);
        free(p->out[1][i]);
        free(p->from[i]);
    }
}

static float *narrow(const double *x, int64_t n)
{
    float *narrowed = calloc((size_t)n + 1, sizeof *narrowed);
    for (int64_t e = 0; e < n; e++) {
        narrowed[e] = (float)x[e];
    }
    return narrowed;
}

static struct credit_array array_of(
    const struct rule_rig_array *array, const float *x, struct probe_value *value)
{
    struct credit_array made = {
        .n_dims = array->n_dims, .n = rule_rig_count(array), .x = x, .value = value};
    *value = (struct probe_value){.n_dims = array->n_dims,
        .dtype = array->is_whole ? BARO_I64 : BARO_F32,
        .batch_axis = PROBE_NONE,
        .unit_axis = PROBE_NONE,
        .mean = (double)NAN};
    for (int i = 0; i < array->n_dims; i++) {
        made.shape[i] = value->shape[i] = array->shape[i];
    }
    return made;
}

/* Everything that a struct credit_io points at. */
struct desk {
    struct probe_op op;
    struct probe_value in_value[RULE_RIG_MOST], out_value[3];
    struct credit_array in[RULE_RIG_MOST], in0[RULE_RIG_MOST], out[3], out0[3];
    double gain;
};

static struct credit_io io_of(
    const struct rule_rig *rig, struct desk *desk, struct rule_rig_call *call)
{
    *desk = (struct desk){.gain = 1};
    desk->op = (struct probe_op){.name = rig->name,
        .attrs = rig->attrs,
        .n_inputs = (uint32_t)rig->n_in,
        .n_outputs = (uint32_t)rig->n_out};
    for (int i = 0; i < rig->n_in; i++) {
        desk->in[i] = array_of(&rig->in[i], call->in[i], &desk->in_value[i]);
        desk->in0[i] = array_of(&rig->in[i], call->in0[i], &desk->in_value[i]);
        for (int d = 0; call->full[i] != NULL && d < rig->in[i].n_dims; d++) {
            desk->in_value[i].shape[d] = call->full[i][d];
        }
    }
    for (int i = 0; i < rig->n_out; i++) {
        desk->out[i] = array_of(&rig->out[i], call->out[i], &desk->out_value[i]);
        desk->out0[i] = array_of(&rig->out[i], call->out0[i], &desk->out_value[i]);
    }
    memset(call->own, 0, sizeof call->own);
    call->gap = 0;
    return (struct credit_io){.op = &desk->op,
        .n_in = (uint32_t)rig->n_in,
        .n_out = (uint32_t)rig->n_out,
        .in = desk->in,
        .out = desk->out,
        .of_out = call->of_out,
        .of_in = call->of_in,
        .own = call->own,
        .gain = &desk->gain,
        .singular = &call->is_singular,
        .gap = &call->gap};
}

static const struct credit_rule *rule_of(const struct rule_rig *rig)
{
    const size_t n = strlen(rig->name);
    for (const struct credit_rule *rule = rig->rules; rule->names != NULL; rule++) {
        for (const char *at = strstr(rule->names, rig->name); at != NULL;
             at = strstr(at + 1, rig->name)) {
            if ((at == rule->names || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
                return rule;
            }
        }
    }
    fail_msg("no rule of %s", rig->name);
    return NULL;
}

int rule_rig_run(
    const struct rule_rig *rig, enum credit_mode mode, struct rule_rig_call *call)
{
    struct desk desk;
    struct credit_io io = io_of(rig, &desk, call);
    const struct credit_rule *rule = rule_of(rig);
    io.mode = mode;
    for (int i = 0; i < rig->n_in; i++) {
        if (call->of_in[i] != NULL) {
            memset(call->of_in[i], 0, (size_t)rule_rig_count(&rig->in[i]) * sizeof(float));
        }
    }
    if (mode == CREDIT_CHANGE) {
        io.in0 = desk.in0;
        io.out0 = desk.out0;
        return rule->change != NULL ? rule->change(&io) : rule->gradient(&io);
    }
    return mode == CREDIT_VALUE ? rule->value(&io) : rule->gradient(&io);
}

/* Narrow both points into a call. */
static void fill(
    const struct rule_rig *rig, const struct points *p, struct rule_rig_call *call)
{
    *call = (struct rule_rig_call){0};
    for (int i = 0; i < rig->n_in; i++) {
        const int64_t n = rule_rig_count(&rig->in[i]);
        call->in0[i] = narrow(p->in[0][i], n);
        call->in[i] = narrow(p->in[1][i], n);
        call->of_in[i] = calloc((size_t)n + 1, sizeof(float));
    }
    for (int i = 0; i < rig->n_out; i++) {
        const int64_t n = rule_rig_count(&rig->out[i]);
        call->out0[i] = narrow(p->out[0][i], n);
        call->out[i] = narrow(p->out[1][i], n);
        call->of_out[i] = rig->out[i].is_statistic ? NULL : narrow(p->from[i], n);
    }
}

static void drain(const struct rule_rig *rig, struct rule_rig_call *call)
{
    for (int i = 0; i < rig->n_in; i++) {
        free((void *)(uintptr_t)call->in[i]);
        free((void *)(uintptr_t)call->in0[i]);
        free(call->of_in[i]);
    }
    for (int i = 0; i < rig->n_out; i++) {
        free((void *)(uintptr_t)call->out[i]);
        free((void *)(uintptr_t)call->out0[i]);
        free((void *)(uintptr_t)call->of_out[i]);
    }
}

/* What came to the outputs, times them, at the point now. */
static double known_sum(const struct rule_rig *rig, struct points *p)
{
    double *out[3] = {NULL};
    double sum = 0;
    for (int i = 0; i < rig->n_out; i++) {
        out[i] = numbers(rule_rig_count(&rig->out[i]));
    }
    rig->run(rig, p->in[1], out);
    for (int i = 0; i < rig->n_out; i++) {
        for (int64_t e = 0; e < rule_rig_count(&rig->out[i]); e++) {
            sum += p->from[i][e] * out[i][e];
        }
        free(out[i]);
    }
    return sum;
}

static bool has_slopes(const struct rule_rig_array *array)
{
    return !array->is_whole && !array->is_frozen;
}

static void check_gradient(
    const struct rule_rig *rig, struct points *p, struct rule_rig_call *call)
{
    assert_int_equal(rule_rig_run(rig, CREDIT_GRADIENT, call), 0);
    for (int i = 0; i < rig->n_in; i++) {
        double largest = 0;
        double worst = 0;
        for (int64_t e = 0; has_slopes(&rig->in[i]) && e < rule_rig_count(&rig->in[i]);
             e++) {
            double *x = &p->in[1][i][e];
            const double was = *x;
            *x = was + step;
            const double above = known_sum(rig, p);
            *x = was - step;
            const double below = known_sum(rig, p);
            *x = was;
            const double slope = (above - below) / (2 * step);
            largest = fmax(largest, fabs(slope));
            worst = fmax(worst, fabs(slope - (double)call->of_in[i][e]));
        }
        if (!(worst <= tolerance * largest + 1e-7)) {
            fail_msg("%s %s: gradient of input %d is off by %g of %g", rig->name,
                rig->attrs, i, worst, largest);
        }
    }
}

/* The way forward is the transpose of the way back: <known, J t> is <J^T known, t>. */
static void check_forward(const struct rule_rig *rig, struct rule_rig_call *call)
{
    struct desk desk;
    float *tangents[RULE_RIG_MOST] = {NULL};
    float *results[3] = {NULL};
    double back = 0;
    double forth = 0;
    assert_int_equal(rule_rig_run(rig, CREDIT_GRADIENT, call), 0);
    for (int i = 0; i < rig->n_in; i++) {
        const int64_t n = has_slopes(&rig->in[i]) ? rule_rig_count(&rig->in[i]) : 0;
        tangents[i] = n > 0 ? calloc((size_t)n, sizeof(float)) : NULL;
        for (int64_t e = 0; e < n; e++) {
            tangents[i][e] = (float)(draw() - 0.5);
            back += (double)tangents[i][e] * (double)call->of_in[i][e];
        }
    }
    struct credit_io io = io_of(rig, &desk, call);
    for (int i = 0; i < rig->n_out; i++) {
        results[i] = calloc((size_t)rule_rig_count(&rig->out[i]) + 1, sizeof(float));
    }
    io.mode = CREDIT_GRADIENT;
    io.of_out = NULL;
    io.of_in = NULL;
    io.tangent_in = (const float *const *)tangents;
    io.tangent_out = results;
    assert_int_equal(rule_of(rig)->forward(&io), 0);
    double size = 0;
    for (int i = 0; i < rig->n_out; i++) {
        for (int64_t e = 0; call->of_out[i] != NULL && e < rule_rig_count(&rig->out[i]);
             e++) {
            const double part = (double)results[i][e] * (double)call->of_out[i][e];
            forth += part;
            size += fabs(part);
        }
        free(results[i]);
    }
    for (int i = 0; i < rig->n_in; i++) {
        free(tangents[i]);
    }
    if (!(fabs(forth - back) <= tolerance * (size + fabs(back)))) {
        fail_msg("%s %s: forward %g, back %g", rig->name, rig->attrs, forth, back);
    }
}

static void check_change(
    const struct rule_rig *rig, const struct points *p, struct rule_rig_call *call)
{
    assert_int_equal(rule_rig_run(rig, CREDIT_CHANGE, call), 0);
    double wanted = 0;
    double found = 0;
    double size = 0;
    for (int i = 0; i < rig->n_out; i++) {
        for (int64_t e = 0; e < rule_rig_count(&rig->out[i]); e++) {
            wanted += p->from[i][e] * (p->out[1][i][e] - p->out[0][i][e]);
        }
    }
    for (int i = 0; i < rig->n_in; i++) {
        for (int64_t e = 0; e < rule_rig_count(&rig->in[i]); e++) {
            const double part =
                (double)call->of_in[i][e] * (p->in[1][i][e] - p->in[0][i][e]);
            found += part;
            size += fabs(part);
        }
    }
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        found += call->own[k];
    }
    if (!(fabs(found - wanted) <= tolerance * (fabs(wanted) + 0.1 * size) + 1e-7)) {
        fail_msg("%s %s: parts of the change are %g of %g", rig->name, rig->attrs, found,
            wanted);
    }
}

static void check_value(
    const struct rule_rig *rig, const struct points *p, struct rule_rig_call *call)
{
    assert_int_equal(rule_rig_run(rig, CREDIT_VALUE, call), 0);
    double came = 0;
    double went = 0;
    double size = 0;
    for (int i = 0; i < rig->n_out; i++) {
        for (int64_t e = 0; e < rule_rig_count(&rig->out[i]); e++) {
            came += p->from[i][e];
            size += fabs(p->from[i][e]);
        }
    }
    for (int i = 0; i < rig->n_in; i++) {
        for (int64_t e = 0; e < rule_rig_count(&rig->in[i]); e++) {
            went += (double)call->of_in[i][e];
            size += fabs((double)call->of_in[i][e]);
        }
    }
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        went += call->own[k];
        size += fabs(call->own[k]);
    }
    if (!rig->is_lossy && !(fabs(went - came) <= 1e-3 * size)) {
        fail_msg("%s %s: %g came and %g went", rig->name, rig->attrs, came, went);
    }
    assert_true(isfinite(went));
}

void rule_rig_check(const struct rule_rig *rig)
{
    for (int round = 0; round < 2; round++) {
        struct points p = {0};
        struct rule_rig_call call;
        start(rig, &p);
        fill(rig, &p, &call);
        check_gradient(rig, &p, &call);
        check_forward(rig, &call);
        check_change(rig, &p, &call);
        check_value(rig, &p, &call);
        drain(rig, &call);
        finish(rig, &p);
    }
}
