/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_cell.h"

#include "lib/analysis/credit_parts.h"

/*
 * Cells unit by unit, with a gate's input p = input gate + hidden gate:
 *
 *   LSTM (i, f, g, o)   c' = s(p_f) c + s(p_i) tanh(p_g)      h' = s(p_o) tanh(c')
 *   GRU (r, z, n)       v = tanh(i_n + s(p_r) h_n)            h' = v + s(p_z) (h - v)
 *   tanh, ReLU          h' = f(p)
 *
 * Shares: the rules of the same operations one by one: sums by the eps rule, products half and half,
 * activations pass on. Slopes: sums and products by the mean of both sides, activations by their
 * secants; exact, and the gradient where both sides are equal.
 */

enum { GATE_I = 0, GATE_F, GATE_G, GATE_O };
enum { GATE_R = 0, GATE_Z, GATE_N };

/* One unit of one sample. */
struct unit {
    double in[CELL_MOST_GATES];
    double hid[CELL_MOST_GATES];
    double state;
};

/* What is known of a unit: of the results, or of what went in. */
struct known {
    double in[CELL_MOST_GATES];
    double hid[CELL_MOST_GATES];
    double state;
};

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double middle(double a, double b)
{
    return 0.5 * (a + b);
}

int credit_cell_gates(enum cell_kind kind)
{
    return kind == CELL_LSTM ? 4 : kind == CELL_GRU ? 3 : 1;
}

static struct unit take(
    enum cell_kind kind, const struct cell_point *point, int64_t width, int64_t e)
{
    struct unit unit = {.state = point->state != NULL ? (double)point->state[e] : 0};
    const int n_gates = credit_cell_gates(kind);
    const int64_t at = e / width * n_gates * width + e % width;
    for (int g = 0; g < n_gates; g++) {
        unit.in[g] =
            point->input_gates != NULL ? (double)point->input_gates[at + g * width] : 0;
        unit.hid[g] =
            point->hidden_gates != NULL ? (double)point->hidden_gates[at + g * width] : 0;
    }
    return unit;
}

static void put(enum cell_kind kind, const struct known *known, int64_t width, int64_t e,
    const struct cell_of *out)
{
    const int n_gates = credit_cell_gates(kind);
    const int64_t at = e / width * n_gates * width + e % width;
    for (int g = 0; g < n_gates; g++) {
        out->input_gates[at + g * width] = (float)known->in[g];
        out->hidden_gates[at + g * width] = (float)known->hid[g];
    }
    if (out->state != NULL) {
        out->state[e] = (float)known->state;
    }
}

static void run_unit(
    enum cell_kind kind, const struct unit *u, double *out_hidden, double *out_state)
{
    *out_state = 0;
    if (kind == CELL_LSTM) {
        *out_state =
            sigmoid(u->in[GATE_F] + u->hid[GATE_F]) * u->state +
            sigmoid(u->in[GATE_I] + u->hid[GATE_I]) * tanh(u->in[GATE_G] + u->hid[GATE_G]);
        *out_hidden = sigmoid(u->in[GATE_O] + u->hid[GATE_O]) * tanh(*out_state);
    } else if (kind == CELL_GRU) {
        const double v =
            tanh(u->in[GATE_N] + sigmoid(u->in[GATE_R] + u->hid[GATE_R]) * u->hid[GATE_N]);
        *out_hidden = v + sigmoid(u->in[GATE_Z] + u->hid[GATE_Z]) * (u->state - v);
    } else {
        const double p = u->in[0] + u->hid[0];
        *out_hidden = kind == CELL_TANH ? tanh(p) : p > 0 ? p : 0;
    }
}

void credit_cell_run(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_result *out)
{
    for (int64_t e = 0; e < n * width; e++) {
        const struct unit unit = take(kind, point, width, e);
        double hidden = 0;
        double state = 0;
        run_unit(kind, &unit, &hidden, &state);
        out->hidden[e] = (float)hidden;
        if (out->state != NULL) {
            out->state[e] = (float)state;
        }
    }
}

/* Slopes of h' and c', weighed by what is known of them. */
static struct known slopes_lstm(
    const struct unit *a, const struct unit *b, double of_hidden, double of_state)
{
    double p[2][CELL_MOST_GATES];
    double s[2][CELL_MOST_GATES];
    double c[2];
    for (int side = 0; side < 2; side++) {
        const struct unit *u = side == 0 ? a : b;
        double hidden = 0;
        for (int g = 0; g < CELL_MOST_GATES; g++) {
            p[side][g] = u->in[g] + u->hid[g];
            s[side][g] = g == GATE_G ? tanh(p[side][g]) : sigmoid(p[side][g]);
        }
        run_unit(CELL_LSTM, u, &hidden, &c[side]);
    }
    const double of_c = of_state + of_hidden * middle(s[0][GATE_O], s[1][GATE_O]) *
                                       credit_secant_tanh(c[0], c[1]);
    const double of_gate[CELL_MOST_GATES] = {of_c * middle(s[0][GATE_G], s[1][GATE_G]),
        of_c * middle(a->state, b->state), of_c * middle(s[0][GATE_I], s[1][GATE_I]),
        of_hidden * middle(tanh(c[0]), tanh(c[1]))};
    struct known out = {.state = of_c * middle(s[0][GATE_F], s[1][GATE_F])};
    for (int g = 0; g < CELL_MOST_GATES; g++) {
        const double secant = g == GATE_G ? credit_secant_tanh(p[0][g], p[1][g])
                                          : credit_secant_sigmoid(p[0][g], p[1][g]);
        out.in[g] = out.hid[g] = of_gate[g] * secant;
    }
    return out;
}

static struct known slopes_gru(const struct unit *a, const struct unit *b, double of_hidden)
{
    const double r0 = a->in[GATE_R] + a->hid[GATE_R];
    const double r1 = b->in[GATE_R] + b->hid[GATE_R];
    const double z0 = a->in[GATE_Z] + a->hid[GATE_Z];
    const double z1 = b->in[GATE_Z] + b->hid[GATE_Z];
    const double n0 = a->in[GATE_N] + sigmoid(r0) * a->hid[GATE_N];
    const double n1 = b->in[GATE_N] + sigmoid(r1) * b->hid[GATE_N];
    const double z = middle(sigmoid(z0), sigmoid(z1));
    const double difference = middle(a->state - tanh(n0), b->state - tanh(n1));
    const double of_n = of_hidden * (1 - z) * credit_secant_tanh(n0, n1);
    const double of_r =
        of_n * middle(a->hid[GATE_N], b->hid[GATE_N]) * credit_secant_sigmoid(r0, r1);
    const double of_z = of_hidden * difference * credit_secant_sigmoid(z0, z1);
    return (struct known){.in = {of_r, of_z, of_n},
        .hid = {of_r, of_z, of_n * middle(sigmoid(r0), sigmoid(r1))},
        .state = of_hidden * z};
}

static struct known slopes_plain(
    enum cell_kind kind, const struct unit *a, const struct unit *b, double of_hidden)
{
    const double p0 = a->in[0] + a->hid[0];
    const double p1 = b->in[0] + b->hid[0];
    double slope = credit_secant_tanh(p0, p1);
    if (kind == CELL_RELU) { /* (x + |x|) / 2, with 0 at 0 */
        slope = p0 > 0 || p1 > 0 ? 0.5 + 0.5 * credit_secant_abs(p0, p1) : 0;
    }
    return (struct known){.in = {of_hidden * slope}, .hid = {of_hidden * slope}};
}

static struct known slopes_unit(enum cell_kind kind, const struct unit *a,
    const struct unit *b, double of_hidden, double of_state)
{
    return kind == CELL_LSTM  ? slopes_lstm(a, b, of_hidden, of_state)
           : kind == CELL_GRU ? slopes_gru(a, b, of_hidden)
                              : slopes_plain(kind, a, b, of_hidden);
}

void credit_cell_slopes(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point points[2], const struct cell_result *known,
    const struct cell_of *out)
{
    for (int64_t e = 0; e < n * width; e++) {
        const struct unit a = take(kind, &points[0], width, e);
        const struct unit b = take(kind, &points[1], width, e);
        const struct known slopes = slopes_unit(kind, &a, &b, (double)known->hidden[e],
            known->state != NULL ? (double)known->state[e] : 0);
        put(kind, &slopes, width, e, out);
    }
}

static double along(enum cell_kind kind, const struct known *slopes, const struct unit *d)
{
    double sum = slopes->state * d->state;
    for (int g = 0; g < credit_cell_gates(kind); g++) {
        sum += slopes->in[g] * d->in[g] + slopes->hid[g] * d->hid[g];
    }
    return sum;
}

void credit_cell_tangents(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_point *tangents,
    const struct cell_result *out)
{
    for (int64_t e = 0; e < n * width; e++) {
        const struct unit unit = take(kind, point, width, e);
        const struct unit d = take(kind, tangents, width, e);
        const struct known of_hidden = slopes_unit(kind, &unit, &unit, 1, 0);
        out->hidden[e] = (float)along(kind, &of_hidden, &d);
        if (out->state != NULL) {
            const struct known of_state = slopes_unit(kind, &unit, &unit, 0, 1);
            out->state[e] = (float)along(kind, &of_state, &d);
        }
    }
}

/* Share what came to a sum of two. */
static void split(
    double share, double a, double b, double eps, double *out_a, double *out_b)
{
    const double ratio = credit_ratio(share, a + b, eps);
    *out_a = ratio * a;
    *out_b = ratio * b;
}

static struct known shares_lstm(
    const struct unit *u, double of_hidden, double of_state, double eps)
{
    struct known out = {0};
    const double forget = sigmoid(u->in[GATE_F] + u->hid[GATE_F]);
    const double input = sigmoid(u->in[GATE_I] + u->hid[GATE_I]);
    const double fresh = tanh(u->in[GATE_G] + u->hid[GATE_G]);
    double kept = 0;
    double added = 0;
    split(of_state + 0.5 * of_hidden, forget * u->state, input * fresh, eps, &kept, &added);
    const double of_gate[CELL_MOST_GATES] = {
        0.5 * added, 0.5 * kept, 0.5 * added, 0.5 * of_hidden};
    for (int g = 0; g < CELL_MOST_GATES; g++) {
        split(of_gate[g], u->in[g], u->hid[g], eps, &out.in[g], &out.hid[g]);
    }
    out.state = 0.5 * kept;
    return out;
}

static struct known shares_gru(const struct unit *u, double of_hidden, double eps)
{
    struct known out = {0};
    const double r = sigmoid(u->in[GATE_R] + u->hid[GATE_R]);
    const double z = sigmoid(u->in[GATE_Z] + u->hid[GATE_Z]);
    const double v = tanh(u->in[GATE_N] + r * u->hid[GATE_N]);
    double of_v = 0;
    double of_product = 0;
    double of_minus = 0;
    double of_rest = 0;
    split(of_hidden, v, z * (u->state - v), eps, &of_v, &of_product);
    split(0.5 * of_product, u->state, -v, eps, &out.state, &of_minus);
    split(
        of_v + of_minus, u->in[GATE_N], r * u->hid[GATE_N], eps, &out.in[GATE_N], &of_rest);
    out.hid[GATE_N] = 0.5 * of_rest;
    split(0.5 * of_rest, u->in[GATE_R], u->hid[GATE_R], eps, &out.in[GATE_R],
        &out.hid[GATE_R]);
    split(0.5 * of_product, u->in[GATE_Z], u->hid[GATE_Z], eps, &out.in[GATE_Z],
        &out.hid[GATE_Z]);
    return out;
}

void credit_cell_shares(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_result *known, double eps,
    const struct cell_of *out)
{
    for (int64_t e = 0; e < n * width; e++) {
        const struct unit unit = take(kind, point, width, e);
        const double of_hidden = (double)known->hidden[e];
        struct known shares = {0};
        if (kind == CELL_LSTM) {
            const double of_state = known->state != NULL ? (double)known->state[e] : 0;
            shares = shares_lstm(&unit, of_hidden, of_state, eps);
        } else if (kind == CELL_GRU) {
            shares = shares_gru(&unit, of_hidden, eps);
        } else {
            split(of_hidden, unit.in[0], unit.hid[0], eps, &shares.in[0], &shares.hid[0]);
        }
        put(kind, &shares, width, e, out);
    }
}
