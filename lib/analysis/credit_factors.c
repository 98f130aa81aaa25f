/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Products of several factors that are one operation.
 *
 *  glu          y = a sigma(b), a and b the halves of an axis
 *  weight norm  w = g v / |v|, the norm over all axes but one
 *  bilinear     y_o = sum of x1_i w_oij x2_j (_trilinear, as the layer calls it)
 *
 * Value mode: two signals have half each (the bilinear one by the eps rule); a gate's half goes
 * through its logistic function as it is. Change mode, exact: a product of two by the mean of both
 * sides of the other one, one of three by all orders of replacing factors,
 *
 *   d(abc) = da (2 b0 c0 + b1 c0 + b0 c1 + 2 b1 c1) / 6 + ...
 *
 * sigma and the norm by their secants: d|v| = (v0 + v1) dv / (|v0| + |v1|), d(1/n) = -dn / (n0 n1).
 * With both sides equal all of it is the gradient.
 *
 * Worked: 1 2 3 to 2 3 4: of 24 - 6 = 18 the first factor has (2 6 + 9 + 8 + 2 12) / 6 = 8.8333.
 */

/* What a factor's slope is, of three: b and c are the other two, [0] before and [1] now. */
static double of_three(const double b[2], const double c[2])
{
    return (2 * b[0] * c[0] + b[1] * c[0] + b[0] * c[1] + 2 * b[1] * c[1]) / 6;
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* ---- glu ---- */

struct halves {
    struct credit_sides input, output;
    int64_t inner; /* elements of a half, of one place of the axes in front */
};

static int begin_glu(const struct credit_io *io, struct halves *h)
{
    int rc = credit_input(io, 0, &h->input);
    rc = rc == 0 ? credit_output(io, 0, &h->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (h->input.now == NULL || h->output.array == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *x = h->input.array;
    const int axis = credit_attr_axis(io, "dim", 0, x->n_dims, -1);
    if (axis < 0 || x->shape[axis] % 2 != 0 || h->output.n * 2 != x->n ||
        credit_is_part(x, axis)) {
        return BARO_EUNSUPPORTED;
    }
    h->inner = x->shape[axis] / 2;
    for (int d = axis + 1; d < x->n_dims; d++) {
        h->inner *= x->shape[d];
    }
    return h->inner > 0 ? 0 : BARO_EUNSUPPORTED;
}

/* Where the signal of an output is; its gate is one half further on. */
static int64_t signal_of(const struct halves *h, int64_t out)
{
    return out / h->inner * 2 * h->inner + out % h->inner;
}

static int glu_any(const struct credit_io *io)
{
    struct halves h;
    const int rc = begin_glu(io, &h);
    const bool has_work = rc == 0 && h.output.from != NULL && h.input.to != NULL;
    for (int64_t i = 0; has_work && i < h.output.n; i++) {
        const int64_t a = signal_of(&h, i);
        const int64_t b = a + h.inner;
        const double from = (double)h.output.from[i];
        if (io->mode == CREDIT_VALUE) {
            h.input.to[a] += (float)(0.5 * from);
            h.input.to[b] += (float)(0.5 * from);
            continue;
        }
        const double gate[2] = {(double)h.input.before[b], (double)h.input.now[b]};
        const double open = 0.5 * (sigmoid(gate[0]) + sigmoid(gate[1]));
        const double signal = 0.5 * ((double)h.input.before[a] + (double)h.input.now[a]);
        h.input.to[a] += (float)(from * open);
        h.input.to[b] += (float)(from * signal * credit_secant_sigmoid(gate[0], gate[1]));
    }
    return rc;
}

static int glu_forward(const struct credit_io *io)
{
    struct halves h;
    const int rc = begin_glu(io, &h);
    const float *in = io->tangent_in[0];
    float *out = io->tangent_out[0];
    for (int64_t i = 0; rc == 0 && in != NULL && out != NULL && i < h.output.n; i++) {
        const int64_t a = signal_of(&h, i);
        const int64_t b = a + h.inner;
        const double s = sigmoid((double)h.input.now[b]);
        out[i] += (float)((double)in[a] * s +
                          (double)h.input.now[a] * s * (1 - s) * (double)in[b]);
    }
    return rc;
}

/* ---- weight norm ---- */

struct normed {
    struct credit_sides v, g, output;
    struct credit_groups groups;
};

static int begin_normed(const struct credit_io *io, struct normed *w)
{
    *w = (struct normed){0};
    int rc = credit_input(io, 0, &w->v);
    rc = rc == 0 ? credit_input(io, 1, &w->g) : rc;
    rc = rc == 0 ? credit_output(io, 0, &w->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (w->v.now == NULL || w->g.now == NULL || w->output.array == NULL) {
        return BARO_ENOENT;
    }
    bool is_reduced[BARO_MAX_DIMS];
    const int64_t kept = credit_attr_int(io, "dim", 0, 0);
    for (int d = 0; d < BARO_MAX_DIMS; d++) {
        is_reduced[d] = d != kept;
    }
    rc = credit_groups_init(&w->groups, w->v.array, is_reduced);
    if (rc == 0 && (w->groups.n_groups != w->g.n || w->output.n != w->v.n)) {
        credit_groups_finish(&w->groups);
        rc = BARO_EUNSUPPORTED;
    }
    return rc;
}

static double norm_of(const float *x, const struct credit_groups *g, int64_t group)
{
    double sum = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const double e = (double)x[g->bases[group] + g->offsets[j]];
        sum += e * e;
    }
    return sqrt(sum);
}

/* Gradient and change. */
static void normed_slopes(const struct normed *w, int64_t group)
{
    const struct credit_groups *g = &w->groups;
    const double n[2] = {norm_of(w->v.before, g, group), norm_of(w->v.now, g, group)};
    const double r[2] = {1 / n[0], 1 / n[1]};
    const double gain[2] = {(double)w->g.before[group], (double)w->g.now[group]};
    double to_gain = 0;
    double to_r = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        const double v[2] = {(double)w->v.before[e], (double)w->v.now[e]};
        const double from = (double)w->output.from[e];
        to_gain += from * of_three(v, r);
        to_r += from * of_three(v, gain);
    }
    const double to_norm = -to_r * r[0] * r[1];
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        const double sum = (double)w->v.before[e] + (double)w->v.now[e];
        if (w->v.to != NULL) {
            w->v.to[e] += (float)((double)w->output.from[e] * of_three(gain, r) +
                                  to_norm * sum / (n[0] + n[1]));
        }
    }
    if (w->g.to != NULL) {
        w->g.to[group] += (float)to_gain;
    }
}

/* All modes; in value mode to v, which has the direction, as a gain only weighs. */
static int normed_any(const struct credit_io *io)
{
    struct normed w;
    const int rc = begin_normed(io, &w);
    if (rc != 0) {
        return rc;
    }
    for (int64_t i = 0; io->mode == CREDIT_VALUE && w.output.from != NULL && i < w.v.n;
         i++) {
        if (w.v.to != NULL) {
            w.v.to[i] += w.output.from[i];
        }
    }
    const bool has_work = io->mode != CREDIT_VALUE && w.output.from != NULL;
    for (int64_t group = 0; has_work && group < w.groups.n_groups; group++) {
        normed_slopes(&w, group);
    }
    credit_groups_finish(&w.groups);
    return 0;
}

static int normed_forward(const struct credit_io *io)
{
    struct normed w;
    const int rc = begin_normed(io, &w);
    if (rc != 0) {
        return rc;
    }
    const float *of_v = io->tangent_in[0];
    const float *of_g = io->tangent_in[1];
    float *out = io->tangent_out[0];
    const struct credit_groups *g = &w.groups;
    for (int64_t group = 0; out != NULL && group < g->n_groups; group++) {
        const double n = norm_of(w.v.now, g, group);
        const double gain = (double)w.g.now[group];
        double of_norm = 0;
        for (int64_t j = 0; of_v != NULL && j < g->n_each; j++) {
            const int64_t e = g->bases[group] + g->offsets[j];
            of_norm += (double)w.v.now[e] * (double)of_v[e] / n;
        }
        for (int64_t j = 0; j < g->n_each; j++) {
            const int64_t e = g->bases[group] + g->offsets[j];
            const double v = (double)w.v.now[e];
            const double dv = of_v != NULL ? (double)of_v[e] : 0;
            const double dg = of_g != NULL ? (double)of_g[group] : 0;
            out[e] += (float)((dg * v + gain * dv) / n - gain * v * of_norm / (n * n));
        }
    }
    credit_groups_finish(&w.groups);
    return 0;
}

/* ---- bilinear ---- */

struct bilinear {
    struct credit_sides x, w, z, output;
    int64_t rows, outs, n_x, n_z;
};

static bool is_list(
    const struct credit_io *io, const char *name, int n, int first, int second)
{
    return probe_attr_count(io->op, name) == n &&
           credit_attr_int(io, name, 0, -1) == first &&
           (n < 2 || credit_attr_int(io, name, 1, -1) == second);
}

static int begin_bilinear(const struct credit_io *io, struct bilinear *b)
{
    int rc = credit_input(io, 0, &b->x);
    rc = rc == 0 ? credit_input(io, 1, &b->w) : rc;
    rc = rc == 0 ? credit_input(io, 2, &b->z) : rc;
    rc = rc == 0 ? credit_output(io, 0, &b->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (b->x.now == NULL || b->w.now == NULL || b->z.now == NULL ||
        b->output.array == NULL) {
        return BARO_ENOENT;
    }
    if (b->x.array->n_dims != 2 || b->z.array->n_dims != 2 || b->w.array->n_dims != 3 ||
        !is_list(io, "expand1", 2, 1, 3) || !is_list(io, "expand2", 1, 0, 0) ||
        !is_list(io, "expand3", 2, 1, 2) || !is_list(io, "sumdim", 2, 2, 3)) {
        return BARO_EUNSUPPORTED;
    }
    b->rows = b->x.array->shape[0];
    b->outs = b->w.array->shape[0];
    b->n_x = b->w.array->shape[1];
    b->n_z = b->w.array->shape[2];
    return b->x.n == b->rows * b->n_x && b->z.n == b->rows * b->n_z &&
                   b->output.n == b->rows * b->outs
               ? 0
               : BARO_EUNSUPPORTED;
}

/* One output of all modes; from: its ratio, or slope. */
static void bilinear_one(
    const struct credit_io *io, const struct bilinear *b, int64_t at, double from)
{
    const int64_t x_base = at / b->outs * b->n_x;
    const int64_t z_base = at / b->outs * b->n_z;
    const int64_t w_base = at % b->outs * b->n_x * b->n_z;
    const int n_signals = (b->x.array->is_fixed ? 0 : 1) + (b->z.array->is_fixed ? 0 : 1);
    for (int64_t k = 0; k < b->n_x * b->n_z; k++) {
        const int64_t i = x_base + k / b->n_z;
        const int64_t j = z_base + k % b->n_z;
        const double x[2] = {(double)b->x.before[i], (double)b->x.now[i]};
        const double z[2] = {(double)b->z.before[j], (double)b->z.now[j]};
        const double w[2] = {(double)b->w.before[w_base + k], (double)b->w.now[w_base + k]};
        if (io->mode == CREDIT_VALUE) {
            const double term = from * x[1] * w[1] * z[1] / (n_signals > 0 ? n_signals : 1);
            if (b->x.to != NULL && (!b->x.array->is_fixed || n_signals == 0)) {
                b->x.to[i] += (float)term;
            }
            if (b->z.to != NULL && !b->z.array->is_fixed) {
                b->z.to[j] += (float)term;
            }
            continue;
        }
        if (b->x.to != NULL) {
            b->x.to[i] += (float)(from * of_three(w, z));
        }
        if (b->z.to != NULL) {
            b->z.to[j] += (float)(from * of_three(w, x));
        }
        if (b->w.to != NULL) {
            b->w.to[w_base + k] += (float)(from * of_three(x, z));
        }
    }
}

static int bilinear_any(const struct credit_io *io)
{
    struct bilinear b;
    const int rc = begin_bilinear(io, &b);
    if (rc != 0 || b.output.from == NULL) {
        return rc;
    }
    const float *from = b.output.from;
    baro_autofree float *ratio = baro_xcalloc((size_t)b.output.n, sizeof *ratio);
    if (io->mode == CREDIT_VALUE) {
        if (b.output.now == NULL) {
            return BARO_ENOENT;
        }
        credit_divide(io, b.output.now, from, b.output.n, ratio);
        from = ratio;
    }
    for (int64_t at = 0; at < b.output.n; at++) {
        if (from[at] != 0) {
            bilinear_one(io, &b, at, (double)from[at]);
        }
    }
    return 0;
}

static int bilinear_forward(const struct credit_io *io)
{
    struct bilinear b;
    const int rc = begin_bilinear(io, &b);
    float *out = io->tangent_out[0];
    for (int64_t at = 0; rc == 0 && out != NULL && at < b.output.n; at++) {
        const int64_t x_base = at / b.outs * b.n_x;
        const int64_t z_base = at / b.outs * b.n_z;
        const int64_t w_base = at % b.outs * b.n_x * b.n_z;
        double sum = 0;
        for (int64_t k = 0; k < b.n_x * b.n_z; k++) {
            const int64_t place[3] = {x_base + k / b.n_z, w_base + k, z_base + k % b.n_z};
            const double factor[3] = {(double)b.x.now[place[0]], (double)b.w.now[place[1]],
                (double)b.z.now[place[2]]};
            for (int f = 0; f < 3; f++) {
                sum += io->tangent_in[f] != NULL
                           ? (double)io->tangent_in[f][place[f]] * factor[(f + 1) % 3] *
                                 factor[(f + 2) % 3]
                           : 0;
            }
        }
        out[at] += (float)sum;
    }
    return rc;
}

const struct credit_rule credit_rules_factors[] = {
    {"glu", glu_any, glu_any, glu_any, glu_forward},
    {"_weight_norm_interface _weight_norm", normed_any, normed_any, normed_any,
        normed_forward},
    {"_trilinear", bilinear_any, bilinear_any, bilinear_any, bilinear_forward},
    {0},
};
