/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"

/*
 * Multi-class margin loss: of each row 1/C times the sum over the other classes j of
 * w_y max(0, margin - x_y + x_j)^p.
 *
 * Value mode: a share of the loss goes to the terms by their part of it (eps rule), half to either
 * number of a term; the margin has none. Change mode, exact: of each term the secant of
 * max(0, d)^p. Of a row whose class is another one than before all is the class's.
 *
 * Worked: x = (1, 0.5), class 0, margin 1: 0.5 / 2 = 0.25; to x_0 = 3: 0, a change of -0.25 by
 * x_0's change of 2: multiplier -0.125.
 */

struct margin {
    struct credit_sides x, labels, weight, output;
    int64_t n_rows, n_classes;
    double margin, p, scale; /* scale: of a row's terms in the loss */
    bool is_each;            /* a loss for each row */
};

static int begin(const struct credit_io *io, struct margin *m)
{
    *m = (struct margin){.margin = credit_attr(io, "margin", 0, 1),
        .p = credit_attr(io, "p", 0, 1),
        .scale = 1};
    int rc = credit_input(io, 0, &m->x);
    rc = rc == 0 ? credit_input(io, 1, &m->labels) : rc;
    rc = rc == 0 ? credit_input(io, 2, &m->weight) : rc;
    rc = rc == 0 ? credit_output(io, 0, &m->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (m->x.now == NULL || m->labels.now == NULL || m->output.array == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *x = m->x.array;
    if (x->n_dims != 2 || m->labels.n != x->shape[0] || x->shape[1] == 0 || m->p < 1) {
        return BARO_EUNSUPPORTED;
    }
    m->n_rows = x->shape[0];
    m->n_classes = x->shape[1];
    const int64_t reduction = credit_attr_int(io, "reduction", 0, 1);
    m->is_each = reduction == 0;
    m->scale = 1 / (double)m->n_classes;
    m->scale /= reduction == 1 ? (double)x->value->shape[0] : 1;
    return m->output.n == (m->is_each ? m->n_rows : 1) ? 0 : BARO_EUNSUPPORTED;
}

static int64_t class_of(const struct margin *m, int64_t row, bool is_now)
{
    const double label = (double)(is_now ? m->labels.now : m->labels.before)[row];
    return label >= 0 && label < (double)m->n_classes ? (int64_t)label : -1;
}

static double weight_of(const struct margin *m, int64_t label, bool is_now)
{
    const float *weight = is_now ? m->weight.now : m->weight.before;
    return weight != NULL ? (double)weight[label] : 1;
}

/* How far a class is inside the margin. */
static double inside(
    const struct margin *m, const float *x, int64_t row, int64_t label, int64_t j)
{
    const float *at = x + row * m->n_classes;
    const double d = m->margin - (double)at[label] + (double)at[j];
    return d > 0 ? d : 0;
}

static double row_loss(const struct margin *m, int64_t row, bool is_now)
{
    const int64_t label = class_of(m, row, is_now);
    double sum = 0;
    for (int64_t j = 0; label >= 0 && j < m->n_classes; j++) {
        sum += j != label
                   ? pow(inside(m, is_now ? m->x.now : m->x.before, row, label, j), m->p)
                   : 0;
    }
    return label >= 0 ? sum * m->scale * weight_of(m, label, is_now) : 0;
}

/* Secant slope of max(0, d)^p by d. */
static double secant(const struct margin *m, int64_t row, int64_t label, int64_t j)
{
    const float *x[2] = {m->x.before + row * m->n_classes, m->x.now + row * m->n_classes};
    double d[2];
    double f[2];
    for (int side = 0; side < 2; side++) {
        d[side] = m->margin - (double)x[side][label] + (double)x[side][j];
        f[side] = d[side] > 0 ? pow(d[side], m->p) : 0;
    }
    if (fabs(d[1] - d[0]) > 1e-9) {
        return (f[1] - f[0]) / (d[1] - d[0]);
    }
    return d[1] > 0 ? m->p * pow(d[1], m->p - 1) : 0;
}

static double known(const struct margin *m, int64_t row)
{
    return (double)m->output.from[m->is_each ? row : 0];
}

static void slopes_of(const struct credit_io *io, const struct margin *m, int64_t row)
{
    const int64_t label = class_of(m, row, true);
    const int64_t then = class_of(m, row, false);
    if (label != then) {
        const double change = (double)m->labels.now[row] - (double)m->labels.before[row];
        const double effect =
            known(m, row) * (row_loss(m, row, true) - row_loss(m, row, false));
        if (m->labels.to != NULL && change != 0) {
            m->labels.to[row] += (float)(effect / change);
        } else {
            io->own[CREDIT_OWN_UNKNOWN] += effect;
        }
        return;
    }
    const double w[2] = {label >= 0 ? weight_of(m, label, false) : 0,
        label >= 0 ? weight_of(m, label, true) : 0};
    for (int64_t j = 0; label >= 0 && m->x.to != NULL && j < m->n_classes; j++) {
        if (j != label) {
            const double slope =
                known(m, row) * m->scale * 0.5 * (w[0] + w[1]) * secant(m, row, label, j);
            m->x.to[row * m->n_classes + j] += (float)slope;
            m->x.to[row * m->n_classes + label] -= (float)slope;
        }
    }
}

static int margin_slopes(const struct credit_io *io)
{
    struct margin m;
    const int rc = begin(io, &m);
    for (int64_t row = 0; rc == 0 && m.output.from != NULL && row < m.n_rows; row++) {
        slopes_of(io, &m, row);
    }
    return rc;
}

static int margin_value(const struct credit_io *io)
{
    struct margin m;
    const int rc = begin(io, &m);
    if (rc != 0 || m.output.from == NULL || m.x.to == NULL) {
        return rc;
    }
    if (m.output.now == NULL) {
        return BARO_ENOENT;
    }
    const double eps = credit_eps(m.output.now, NULL, m.output.n);
    for (int64_t row = 0; row < m.n_rows; row++) {
        const int64_t label = class_of(&m, row, true);
        const double ratio =
            credit_ratio(known(&m, row), (double)m.output.now[m.is_each ? row : 0], eps);
        for (int64_t j = 0; label >= 0 && j < m.n_classes; j++) {
            const double term = pow(inside(&m, m.x.now, row, label, j), m.p) * m.scale *
                                weight_of(&m, label, true);
            if (j != label) {
                m.x.to[row * m.n_classes + j] += (float)(0.5 * ratio * term);
                m.x.to[row * m.n_classes + label] += (float)(0.5 * ratio * term);
            }
        }
    }
    return 0;
}

static int margin_forward(const struct credit_io *io)
{
    struct margin m;
    const int rc = begin(io, &m);
    const float *in = io->tangent_in[0];
    float *out = io->tangent_out[0];
    for (int64_t row = 0; rc == 0 && in != NULL && out != NULL && row < m.n_rows; row++) {
        const int64_t label = class_of(&m, row, true);
        const float *at = in + row * m.n_classes;
        for (int64_t j = 0; label >= 0 && j < m.n_classes; j++) {
            const double by = (double)at[j] - (double)at[label];
            out[m.is_each ? row : 0] += (float)(m.scale * weight_of(&m, label, true) *
                                                secant(&m, row, label, j) * by);
        }
    }
    return rc;
}

const struct credit_rule credit_rules_margin[] = {
    {"multi_margin_loss", margin_value, margin_slopes, margin_slopes, margin_forward},
    {0},
};
