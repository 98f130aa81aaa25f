/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_point.h"
#include "lib/analysis/credit_walk.h"
#include "lib/base/mem.h"

/*
 * Operations that work element by element, with operands spread over each other (broadcast), by
 * functions of a table (credit_point.c).
 *
 *  gradient  d_x = d_y df/dx
 *  change    f(x1, y1, ..) - f(x0, y0, ..) is split among the arguments that changed by Shapley's
 *            rule: the mean, over all orders of replacing them one by one, of what each does. It
 *            adds up exactly; for one argument it is the secant slope, for a product the mean of
 *            both sides of the other factor. Numbers that are arguments (a factor that is annealed)
 *            are arguments like others, their part is CREDIT_OWN_BIAS.
 *  value     one signal: passed through. Sums: by the eps rule. Several signals in a product:
 *            evenly. Choices (max, clamp, where): to the chosen. What numbers, parameters and
 *            constants add or set is CREDIT_OWN_BIAS.
 *
 * Worked number (tests/unit/test_credit_rules.c repeats it): x y from 2 * 3 to 4 * 5 changes by 14:
 * x has (3 + 5)/2 * 2 = 8, y (2 + 4)/2 * 2 = 6.
 */

enum { ARGS = CREDIT_POINT_ARGS, PROBES = 1 << ARGS };

/* Below this change of an argument its slope is the derivative. */
static const double TINY = 1e-30;

/* One argument: an operand, or a number. */
struct arg {
    int input; /* PROBE_NONE: a number */
    double number, number0;
    int64_t stride_place; /* of its offset in the walk */
};

struct work {
    const struct credit_io *io;
    const struct credit_point *point;
    struct arg args[ARGS];
    int n_args;
    int n_tensors; /* arguments that may be operands come first */
    struct credit_walk walk;
    bool has_signal;
    struct credit_array slopes; /* of prelu: one for each channel, spread along axis 1 */
};

static const struct credit_point *find(const struct credit_io *io)
{
    const char *name = io->op->name;
    if (strncmp(name, "aten", 4) == 0) {
        name += 4 + strspn(name + 4, ".:");
    }
    size_t n = strcspn(name, ".");
    if (strncmp(name, "gelu", n) == 0 && n >= 4 &&
        (strstr(io->op->attrs, "approximate='tanh'") != NULL ||
            strstr(io->op->attrs, "approximate=tanh") != NULL)) {
        return credit_point_find("gelu'tanh'", 10);
    }
    const struct credit_point *point = credit_point_find(name, n);
    return point == NULL && n > 1 && name[n - 1] == '_' ? credit_point_find(name, n - 1)
                                                        : point;
}

static double number_of(const struct probe_op *op, const char *name, double otherwise)
{
    double number = otherwise;
    (void)probe_attr(op, name, 0, &number);
    return number;
}

/* Find out which arguments are operands and which are numbers. */
static int set_args(struct work *work)
{
    const struct credit_io *io = work->io;
    const char *at = work->point->args;
    bool is_number = false;
    uint32_t next = 0;
    while (*at != '\0' && work->n_args < ARGS) {
        char name[32];
        const size_t length = strcspn(at, " ");
        memcpy(name, at, length);
        name[length] = '\0';
        at += length;
        at += strspn(at, " ");
        if (strcmp(name, "*") == 0) {
            is_number = true;
            continue;
        }
        struct arg *arg = &work->args[work->n_args];
        const double otherwise = work->point->otherwise[work->n_args++];
        double number = 0;
        *arg = (struct arg){.input = PROBE_NONE, .number = otherwise, .number0 = otherwise};
        if (is_number || probe_attr(io->op, name, 0, &number) || next >= io->n_in) {
            if (!is_number && next < io->n_in && io->in[next].value == NULL) {
                next++; /* a number in a tensor's place */
            }
            arg->number = number_of(io->op, name, otherwise);
            arg->number0 =
                io->op0 != NULL ? number_of(io->op0, name, otherwise) : arg->number;
        } else {
            const uint32_t input = next++;
            arg->input = io->in[input].value != NULL ? (int)input : PROBE_NONE;
        }
        work->n_tensors += is_number ? 0 : 1;
    }
    while (next < io->n_in && io->in[next].value == NULL) {
        next++;
    }
    return next >= 1 && next >= io->n_in ? 0 : BARO_EUNSUPPORTED;
}

static int begin(const struct credit_io *io, struct work *work)
{
    *work = (struct work){.io = io, .point = find(io)};
    if (work->point == NULL || io->n_out == 0 || io->out[0].value == NULL) {
        return BARO_EUNSUPPORTED;
    }
    int rc = set_args(work);
    if (rc != 0) {
        return rc;
    }
    const struct credit_array *operands[ARGS] = {0};
    int n = 0;
    for (int k = 0; k < work->n_args; k++) {
        if (work->args[k].input == PROBE_NONE) {
            continue;
        }
        const struct credit_array *array = &io->in[work->args[k].input];
        if (array->x == NULL || n == CREDIT_WALK_OPERANDS) {
            return BARO_ENOENT;
        }
        if (io->in0 != NULL && (io->in0[work->args[k].input].x == NULL ||
                                   io->in0[work->args[k].input].n != array->n)) {
            return BARO_ENOENT;
        }
        work->has_signal = work->has_signal || !array->is_fixed;
        work->args[k].stride_place = n;
        operands[n++] = array;
        if (k == 1 && array->n_dims == 1 && io->out[0].n_dims > 2 &&
            credit_is_named(io, "prelu")) {
            work->slopes = *array;
            work->slopes.n_dims = io->out[0].n_dims - 1;
            for (int d = 1; d < work->slopes.n_dims; d++) {
                work->slopes.shape[d] = 1;
            }
            operands[n - 1] = &work->slopes;
        }
    }
    return credit_walk_begin(&work->walk, &io->out[0], operands, n);
}

static int64_t place(const struct work *work, int k)
{
    return work->walk.offset[work->args[k].stride_place];
}

/* The arguments where the walk is. */
static void read_args(const struct work *work, const struct credit_array *in, double *out)
{
    for (int k = 0; k < work->n_args; k++) {
        const struct arg *arg = &work->args[k];
        if (arg->input != PROBE_NONE) {
            out[k] = (double)in[arg->input].x[place(work, k)];
        } else {
            out[k] = in == work->io->in ? arg->number : arg->number0;
        }
    }
}

static void see_near(const struct work *work, const double *x)
{
    if (work->point->is_near != NULL && work->point->is_near(x)) {
        credit_mark_singular(work->io);
    }
}

static int gradient(const struct credit_io *io)
{
    struct work work;
    const int rc = begin(io, &work);
    const float *d = io->of_out[0];
    if (rc != 0 || d == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < io->out[0].n; i++, credit_walk_next(&work.walk)) {
        if (d[i] == 0) {
            continue;
        }
        double x[ARGS] = {0};
        double slope[ARGS] = {0};
        read_args(&work, io->in, x);
        work.point->df(x, slope);
        see_near(&work, x);
        for (int k = 0; k < work.n_tensors; k++) {
            const int input = work.args[k].input;
            if (input != PROBE_NONE && io->of_in[input] != NULL && slope[k] != 0) {
                io->of_in[input][place(&work, k)] += (float)((double)d[i] * slope[k]);
            }
        }
    }
    return 0;
}

static int forward(const struct credit_io *io)
{
    struct work work;
    const int rc = begin(io, &work);
    float *out = io->tangent_out[0];
    if (rc != 0 || out == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < io->out[0].n; i++, credit_walk_next(&work.walk)) {
        double x[ARGS] = {0};
        double slope[ARGS] = {0};
        read_args(&work, io->in, x);
        work.point->df(x, slope);
        double sum = 0;
        for (int k = 0; k < work.n_tensors; k++) {
            const int input = work.args[k].input;
            if (input != PROBE_NONE && io->tangent_in[input] != NULL) {
                const double t = (double)io->tangent_in[input][place(&work, k)];
                sum += t != 0 ? slope[k] * t : 0;
            }
        }
        out[i] += (float)sum;
    }
    return 0;
}

/* What each of n arguments does when all go from x0 to x1, over all orders; the mean. */
static void shapley(const struct credit_point *point, const double *x0, const double *x1,
    int n_args, double *out)
{
    static const double factorial[] = {1, 1, 2, 6, 24, 120};
    int who[ARGS];
    int n = 0;
    for (int k = 0; k < n_args; k++) {
        out[k] = 0;
        if (x0[k] != x1[k]) {
            who[n++] = k;
        }
    }
    double f[PROBES];
    for (int set = 0; set < 1 << n; set++) {
        double x[ARGS];
        memcpy(x, x0, sizeof x);
        for (int j = 0; j < n; j++) {
            if ((set >> j & 1) != 0) {
                x[who[j]] = x1[who[j]];
            }
        }
        f[set] = point->f(x);
    }
    for (int j = 0; j < n; j++) {
        for (int set = 0; set < 1 << n; set++) {
            if ((set >> j & 1) == 0) {
                const int size = __builtin_popcount((unsigned)set);
                out[who[j]] += factorial[size] * factorial[n - 1 - size] / factorial[n] *
                               (f[set | 1 << j] - f[set]);
            }
        }
    }
    const double whole = f[(1 << n) - 1] - f[0];
    bool is_finite = true;
    for (int j = 0; j < n; j++) {
        is_finite = is_finite && isfinite(out[who[j]]);
    }
    for (int j = 0; j < n && !is_finite; j++) {
        out[who[j]] = whole / n; /* a mixture of both sides is not defined */
    }
}

static void change_element(const struct work *work, double m)
{
    const struct credit_io *io = work->io;
    double now[ARGS] = {0};
    double before[ARGS] = {0};
    double effect[ARGS] = {0};
    double slope[ARGS] = {0};
    double middle[ARGS] = {0};
    read_args(work, io->in, now);
    read_args(work, io->in0, before);
    see_near(work, now);
    shapley(work->point, before, now, work->n_args, effect);
    for (int k = 0; k < work->n_args; k++) {
        middle[k] = 0.5 * (now[k] + before[k]);
    }
    work->point->df(middle, slope);
    for (int k = 0; k < work->n_args; k++) {
        const double changed = now[k] - before[k];
        const int input = work->args[k].input;
        if (input == PROBE_NONE) {
            io->own[CREDIT_OWN_BIAS] += m * effect[k];
        } else if (io->of_in[input] != NULL) {
            const double by = fabs(changed) > TINY  ? effect[k] / changed
                              : k < work->n_tensors ? slope[k]
                                                    : 0;
            if (by != 0) {
                io->of_in[input][place(work, k)] += (float)(m * by);
            }
        }
    }
}

static int change(const struct credit_io *io)
{
    struct work work;
    const int rc = begin(io, &work);
    const float *m = io->of_out[0];
    if (rc != 0 || m == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < io->out[0].n; i++, credit_walk_next(&work.walk)) {
        if (m[i] != 0) {
            change_element(&work, (double)m[i]);
        }
    }
    return 0;
}

/* What part each group has of one element; groups beyond what the operation has are 0. */
static void share_groups(
    const struct work *work, const double *x, double y, double eps, double *out)
{
    memset(out, 0, ARGS * sizeof *out);
    if (work->point->kind == CREDIT_POINT_ONE) {
        out[0] = 1;
        return;
    }
    double parts[ARGS] = {0};
    work->point->parts(x, parts);
    if (work->point->kind == CREDIT_POINT_PICK) {
        memcpy(out, parts, sizeof parts);
        return;
    }
    double n_bad = 0;
    double size = 0;
    for (int g = 0; g < ARGS; g++) {
        n_bad += isfinite(parts[g]) ? 0 : 1;
        size += isfinite(parts[g]) ? fabs(parts[g]) : 0;
    }
    for (int g = 0; g < ARGS; g++) {
        if (n_bad > 0) {
            out[g] = isfinite(parts[g]) ? 0 : 1 / n_bad;
        } else if (!isfinite(y)) {
            out[g] = size > 0 ? fabs(parts[g]) / size : 0;
        } else {
            out[g] = credit_ratio(parts[g], y, eps);
        }
    }
}

/* Whether an argument takes part of its group's share. */
static bool may_take(const struct work *work, int k, bool is_sum)
{
    const int input = work->args[k].input;
    if (input == PROBE_NONE || work->io->of_in[input] == NULL) {
        return false;
    }
    const struct credit_array *array = &work->io->in[input];
    if (!array->is_fixed || !work->has_signal) {
        return true;
    }
    return is_sum && array->value->op != PROBE_NONE;
}

/* Give a group its share: evenly to its members that may take it; nobody: it is a bias. */
static void give(
    const struct work *work, int group, double share, const double *x, double y)
{
    const bool is_one = work->point->kind == CREDIT_POINT_ONE;
    const struct credit_io *io = work->io;
    int takers[ARGS];
    int n = 0;
    int n_bad = 0;
    for (int k = 0; k < work->n_args; k++) {
        if (work->point->group[k] == group && may_take(work, k, !is_one)) {
            takers[n++] = k;
            n_bad += isfinite(x[k]) ? 0 : 1;
        }
    }
    const bool only_bad = !isfinite(y) && n_bad > 0;
    for (int j = 0; j < n; j++) {
        const int k = takers[j];
        if (!only_bad || !isfinite(x[k])) {
            io->of_in[work->args[k].input][place(work, k)] +=
                (float)(share / (only_bad ? n_bad : n));
        }
    }
    if (n == 0) {
        bool is_noise = false;
        for (int k = 0; k < work->n_args; k++) {
            const int input = work->args[k].input;
            is_noise = is_noise || (work->point->group[k] == group && input != PROBE_NONE &&
                                       io->in[input].value->kind == PROBE_NOISE);
        }
        io->own[is_noise ? CREDIT_OWN_NOISE : CREDIT_OWN_BIAS] += share;
    }
}

static void raise_gain(const struct work *work, const double *x, double y)
{
    double slope[ARGS] = {0};
    work->point->df(x, slope);
    for (int k = 0; k < work->n_tensors; k++) {
        if (work->args[k].input != PROBE_NONE && work->point->group[k] == 0) {
            credit_raise(work->io, fabs(x[k] * slope[k] / y));
        }
    }
}

/* Whether all of each element's share is the one of the only operand at the same place. */
static bool is_passed_on(const struct work *work)
{
    const struct credit_io *io = work->io;
    return work->point->kind == CREDIT_POINT_ONE && work->n_tensors == 1 &&
           work->args[0].input == 0 && may_take(work, 0, false) && io->in[0].x != NULL &&
           io->out[0].x != NULL && io->in[0].n == io->out[0].n;
}

/* The same as below, of activations: without looking for groups at each element. */
static void pass_on(struct work *work, const float *share)
{
    const struct credit_io *io = work->io;
    float *to = io->of_in[0];
    double x[ARGS] = {0};
    double gain = 0;
    read_args(work, io->in, x); /* the numbers among the arguments */
    for (int64_t i = 0; i < io->out[0].n; i++) {
        if (share[i] == 0) {
            continue;
        }
        double slope[ARGS] = {0};
        x[0] = (double)io->in[0].x[i];
        see_near(work, x);
        work->point->df(x, slope);
        const double raised = fabs(x[0] * slope[0] / (double)io->out[0].x[i]);
        gain = raised > gain ? raised : gain;
        to[i] += share[i];
    }
    credit_raise(io, gain);
}

static int value(const struct credit_io *io)
{
    struct work work;
    const int rc = begin(io, &work);
    const float *share = io->of_out[0];
    if (rc != 0 || share == NULL) {
        return rc;
    }
    if (is_passed_on(&work)) {
        pass_on(&work, share);
        return 0;
    }
    const float *y = io->out[0].x;
    double eps = y != NULL ? credit_eps(y, share, io->out[0].n) : 0;
    for (int64_t i = 0; i < io->out[0].n; i++, credit_walk_next(&work.walk)) {
        if (share[i] == 0) {
            continue;
        }
        double x[ARGS] = {0};
        double groups[ARGS];
        read_args(&work, io->in, x);
        see_near(&work, x);
        const double out = y != NULL ? (double)y[i] : work.point->f(x);
        if (work.point->kind == CREDIT_POINT_ONE) {
            raise_gain(&work, x, out);
        }
        share_groups(&work, x, out, eps, groups);
        for (int g = 0; g < ARGS; g++) {
            if (groups[g] != 0) {
                give(&work, g, (double)share[i] * groups[g], x, out);
            }
        }
    }
    return 0;
}

/*
 * Dropout: y = x mask scale. The mask is an output of its own; where it was not kept, scale is read
 * off y and x. The share is the signal's; in change mode the mask's part is noise.
 */
static double mask_at(const struct credit_io *io, const struct credit_array *in,
    const struct credit_array *out, int64_t i)
{
    const double p = credit_attr(io, "p", 0, 0.5);
    if (io->n_out > 1 && out[1].x != NULL && out[1].n == out[0].n) {
        return out[1].x[i] != 0 && p < 1 ? 1 / (1 - p) : 0;
    }
    const double x = (double)in[0].x[i];
    return x != 0 ? (double)out[0].x[i] / x : 0;
}

static int check_dropout(const struct credit_io *io)
{
    if (io->n_in < 1 || io->in[0].value == NULL || io->in[0].n != io->out[0].n) {
        return BARO_EUNSUPPORTED;
    }
    const bool has_mask = io->n_out > 1 && io->out[1].x != NULL;
    if (!has_mask && (io->in[0].x == NULL || io->out[0].x == NULL)) {
        return BARO_ENOENT;
    }
    return 0;
}

static int dropout_value(const struct credit_io *io)
{
    if (io->n_in < 1 || io->in[0].value == NULL || io->in[0].n != io->out[0].n) {
        return BARO_EUNSUPPORTED;
    }
    for (int64_t i = 0; io->of_out[0] != NULL && io->of_in[0] != NULL && i < io->out[0].n;
         i++) {
        io->of_in[0][i] += io->of_out[0][i];
    }
    return 0;
}

static int dropout_gradient(const struct credit_io *io)
{
    const int rc = check_dropout(io);
    if (rc != 0 || io->of_out[0] == NULL || io->of_in[0] == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < io->out[0].n; i++) {
        io->of_in[0][i] +=
            (float)((double)io->of_out[0][i] * mask_at(io, io->in, io->out, i));
    }
    return 0;
}

static int dropout_forward(const struct credit_io *io)
{
    const int rc = check_dropout(io);
    if (rc != 0 || io->tangent_out[0] == NULL || io->tangent_in[0] == NULL) {
        return rc;
    }
    for (int64_t i = 0; i < io->out[0].n; i++) {
        io->tangent_out[0][i] +=
            (float)((double)io->tangent_in[0][i] * mask_at(io, io->in, io->out, i));
    }
    return 0;
}

static int dropout_change(const struct credit_io *io)
{
    const int rc = check_dropout(io);
    if (rc != 0 || io->of_out[0] == NULL) {
        return rc;
    }
    if (io->in[0].x == NULL || io->in0[0].x == NULL || io->in0[0].n != io->in[0].n ||
        ((io->n_out < 2 || io->out0[1].x == NULL) && io->out0[0].x == NULL)) {
        return BARO_ENOENT;
    }
    for (int64_t i = 0; i < io->out[0].n; i++) {
        const double m = (double)io->of_out[0][i];
        const double now = mask_at(io, io->in, io->out, i);
        const double before = mask_at(io, io->in0, io->out0, i);
        if (io->of_in[0] != NULL) {
            io->of_in[0][i] += (float)(m * 0.5 * (now + before));
        }
        io->own[CREDIT_OWN_NOISE] +=
            m * 0.5 * ((double)io->in[0].x[i] + (double)io->in0[0].x[i]) * (now - before);
    }
    return 0;
}

const struct credit_rule credit_rules_pointwise[] = {
    {.names = credit_point_names,
        .value = value,
        .gradient = gradient,
        .change = change,
        .forward = forward,
        .sees_bad = true},
    {.names = "native_dropout _fused_dropout dropout feature_dropout",
        .value = dropout_value,
        .gradient = dropout_gradient,
        .change = dropout_change,
        .forward = dropout_forward,
        .sees_bad = true},
    {0},
};
