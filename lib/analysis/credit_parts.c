/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Secant slopes (f(b) - f(a)) / (b - a) between near points lose their digits; each is written so
 * that it does not, and so that a == b gives the derivative. exp: the logarithmic mean of e^a and
 * e^b, which is e^max (1 - e^-d) / d with d = |b - a|. log1p and expm1 do the rest.
 *
 * Worked: exp from 0 to ln 4: (4 - 1) / 1.386294 = 2.164043; its logarithm 0.771978.
 */

static const double eps_share = 1e-6;
static const double near =
    1e-5; /* under it a slope is taken at the middle: error near^2 / 24 */

static bool is_same_shape(const struct credit_array *a, const struct credit_array *b)
{
    return a->n_dims == b->n_dims && a->n == b->n &&
           memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof a->shape[0]) == 0;
}

/* Fill in the arrays of an operand. Not kept: both are NULL. */
static int take_sides(const struct credit_array *array, const struct credit_array *before,
    struct credit_sides *out_sides)
{
    *out_sides = (struct credit_sides){.array = array, .n = array->n};
    if (array->x == NULL || (before != NULL && before->x == NULL)) {
        return BARO_ENOENT;
    }
    if (before != NULL && !is_same_shape(array, before)) {
        return BARO_EUNSUPPORTED;
    }
    out_sides->now = array->x;
    out_sides->before = before != NULL ? before->x : array->x;
    return 0;
}

int credit_input(const struct credit_io *io, uint32_t i, struct credit_sides *out_sides)
{
    *out_sides = (struct credit_sides){0};
    if (i >= io->n_in || io->in[i].value == NULL) {
        return 0;
    }
    int rc = take_sides(&io->in[i], io->in0 != NULL ? &io->in0[i] : NULL, out_sides);
    out_sides->to = io->of_in != NULL ? io->of_in[i] : NULL;
    return rc;
}

int credit_output(const struct credit_io *io, uint32_t i, struct credit_sides *out_sides)
{
    *out_sides = (struct credit_sides){0};
    if (i >= io->n_out || io->out[i].value == NULL) {
        return 0;
    }
    int rc = take_sides(&io->out[i], io->out0 != NULL ? &io->out0[i] : NULL, out_sides);
    out_sides->from = io->of_out != NULL ? io->of_out[i] : NULL;
    return rc == BARO_ENOENT ? 0 : rc;
}

bool credit_has_work(const struct credit_io *io)
{
    for (uint32_t i = 0; io->of_out != NULL && i < io->n_out; i++) {
        if (io->of_out[i] != NULL) {
            return true;
        }
    }
    return false;
}

double credit_attr(
    const struct credit_io *io, const char *name, int place, double otherwise)
{
    double number = otherwise;
    if (!probe_attr(io->op, name, place, &number) && probe_attr_count(io->op, name) == 1) {
        probe_attr(io->op, name, 0, &number);
    }
    return number;
}

int64_t credit_attr_int(
    const struct credit_io *io, const char *name, int place, int64_t otherwise)
{
    double number = credit_attr(io, name, place, (double)otherwise);
    return fabs(number) <= (double)INT32_MAX ? (int64_t)number : otherwise;
}

bool credit_is_named(const struct credit_io *io, const char *name)
{
    size_t n = strlen(name);
    return strncmp(io->op->name, name, n) == 0 &&
           (io->op->name[n] == '\0' || strcmp(io->op->name + n, "_") == 0);
}

int64_t credit_full_count(const struct credit_array *array)
{
    int64_t n = 1;
    for (int i = 0; i < array->value->n_dims; i++) {
        n *= array->value->shape[i];
    }
    return n;
}

double credit_eps(const float *z, const float *share, int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double size = fabs((double)z[i]);
        const bool counts = share == NULL || share[i] != 0;
        largest = size > largest && isfinite(size) && counts ? size : largest;
    }
    return eps_share * largest;
}

void credit_divide(
    const struct credit_io *io, const float *z, const float *share, int64_t n, float *out)
{
    double eps = credit_eps(z, share, n);
    double round = 0;
    double unknown = 0;
    for (int64_t i = 0; i < n; i++) {
        const double whole = (double)share[i];
        const double ratio = credit_ratio(whole, (double)z[i], eps);
        out[i] = (float)ratio;
        if (isfinite(z[i])) {
            round += whole - ratio * (double)z[i];
        } else {
            unknown += whole;
        }
    }
    io->own[CREDIT_OWN_ROUND] += round;
    io->own[CREDIT_OWN_UNKNOWN] += unknown;
}

const float *credit_mean(const struct credit_sides *sides, float **out_memory)
{
    *out_memory = NULL;
    if (sides->now == sides->before) {
        return sides->now;
    }
    float *mean = baro_xcalloc((size_t)sides->n, sizeof *mean);
    for (int64_t i = 0; i < sides->n; i++) {
        mean[i] = 0.5F * sides->now[i] + 0.5F * sides->before[i];
    }
    *out_memory = mean;
    return mean;
}

void credit_raise(const struct credit_io *io, double gain)
{
    if (io->gain != NULL && gain > *io->gain) {
        *io->gain = gain;
    }
}

void credit_mark_singular(const struct credit_io *io)
{
    if (io->singular != NULL) {
        *io->singular = true;
    }
}

double credit_log_secant_exp(double a, double b)
{
    double larger = a > b ? a : b;
    double d = fabs(b - a);
    if (!(d > near)) {
        return 0.5 * a + 0.5 * b; /* also when they are equal and infinite */
    }
    return larger + log(-expm1(-d) / d);
}

/* log(1 + e^x) without overflow */
static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double credit_secant_softplus(double a, double b)
{
    return fabs(b - a) < near ? sigmoid(0.5 * a + 0.5 * b)
                              : (softplus(b) - softplus(a)) / (b - a);
}

double credit_secant_sigmoid(double a, double b)
{
    if (fabs(b - a) < near) {
        double s = sigmoid(0.5 * a + 0.5 * b);
        return s * (1 - s);
    }
    return (sigmoid(b) - sigmoid(a)) / (b - a);
}

double credit_secant_tanh(double a, double b)
{
    if (fabs(b - a) < near) {
        double t = tanh(0.5 * a + 0.5 * b);
        return 1 - t * t;
    }
    return (tanh(b) - tanh(a)) / (b - a);
}

double credit_secant_abs(double a, double b)
{
    if (a == b) {
        return (a > 0) - (a < 0);
    }
    return (a >= 0) == (b >= 0) ? (a + b >= 0 ? 1 : -1) : (fabs(b) - fabs(a)) / (b - a);
}

double credit_secant_pow(double a, double b, double p)
{
    double middle = 0.5 * a + 0.5 * b;
    if (!(fabs(b - a) > near * middle)) {
        double slope = p * pow(middle, p - 1);
        return isfinite(slope) ? slope : 0;
    }
    return (pow(b, p) - pow(a, p)) / (b - a);
}

void credit_choice(const double x_i[2], const double x_j[2], double out[2])
{
    const double before = x_i[0] - x_j[0];
    const double now = x_i[1] - x_j[1];
    const double tilt = now != before ? (now + before) / (now - before) : 2;
    if (fabs(tilt) <= 1) {
        out[0] = 0.5 + 0.5 * tilt;
        out[1] = 0.5 - 0.5 * tilt;
        return;
    }
    const double change_i = x_i[1] - x_i[0];
    const double change_j = x_j[1] - x_j[0];
    const double squares = change_i * change_i + change_j * change_j;
    const double each = squares > 0 ? (x_i[1] - x_j[0]) / squares : 0;
    out[0] = each * change_i;
    out[1] = each * change_j;
}

int credit_groups_init(struct credit_groups *groups, const struct credit_array *array,
    const bool is_reduced[BARO_MAX_DIMS])
{
    *groups = (struct credit_groups){.n_groups = 1, .n_each = 1, .n_full = 1};
    if (array->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    int64_t stride[BARO_MAX_DIMS];
    int64_t step = 1;
    for (int i = array->n_dims - 1; i >= 0; i--) {
        stride[i] = step;
        step *= array->shape[i];
        *(is_reduced[i] ? &groups->n_each : &groups->n_groups) *= array->shape[i];
        groups->n_full *= is_reduced[i] ? (double)array->value->shape[i] : 1;
        groups->is_partial |= is_reduced[i] && array->value->shape[i] != array->shape[i];
    }
    groups->bases = baro_xcalloc((size_t)groups->n_groups, sizeof *groups->bases);
    groups->offsets = baro_xcalloc((size_t)groups->n_each, sizeof *groups->offsets);
    int64_t n_bases = 1;
    int64_t n_offsets = 1;
    for (int i = 0; i < array->n_dims; i++) { /* each axis multiplies what is there */
        int64_t *list = is_reduced[i] ? groups->offsets : groups->bases;
        int64_t *n = is_reduced[i] ? &n_offsets : &n_bases;
        for (int64_t k = *n - 1; k >= 0; k--) {
            for (int64_t j = array->shape[i] - 1; j >= 0; j--) {
                list[k * array->shape[i] + j] = list[k] + j * stride[i];
            }
        }
        *n *= array->shape[i];
    }
    return 0;
}

void credit_groups_finish(struct credit_groups *groups)
{
    free(groups->bases);
    free(groups->offsets);
    *groups = (struct credit_groups){0};
}

int credit_reduced_axes(const struct credit_io *io, const char *name,
    const struct credit_array *array, bool out_is_reduced[BARO_MAX_DIMS])
{
    int n = probe_attr_count(io->op, name);
    for (int i = 0; i < BARO_MAX_DIMS; i++) {
        out_is_reduced[i] = n == 0;
    }
    for (int i = 0; i < n; i++) {
        int64_t axis = credit_attr_int(io, name, i, INT32_MAX);
        axis += axis < 0 ? array->n_dims : 0;
        if (array->n_dims == 0 && (axis == 0 || axis == -1)) {
            continue;
        }
        if (axis < 0 || axis >= array->n_dims) {
            return BARO_EUNSUPPORTED;
        }
        out_is_reduced[axis] = true;
    }
    return 0;
}
