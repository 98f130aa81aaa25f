/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_dot.h"
#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_walk.h"
#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/*
 * Products of matrices: y = beta bias + alpha a b, for one pair or a batch of pairs.
 *
 *  gradient  d_a = alpha d_y b^T          d_b = alpha a^T d_y          d_bias = beta d_y
 *  change    the same with the mean of both sides of a and b: a1 b1 - a0 b0 is exactly
 *            (a1 - a0) (b0 + b1) / 2 + (a0 + a1) / 2 (b1 - b0)
 *  value     s = R / (y + eps sign y);  R_a = a * (s b^T) alpha. Where a weight is the other
 *            operand it only weighs; where both are signals (attention) each gets half.
 *
 * Worked number (tests/unit/test_credit_rules.c repeats it): a = (1, 2), b = (3, -1)^T, bias 4:
 * y = 3 - 2 + 4 = 5. Shares of 1 at y: a_0 0.6, a_1 -0.4, bias 0.8.
 *
 * Where y is not finite: the share goes to the products that are not, evenly, or, when all are
 * finite and only their sum is not, by their sizes.
 *
 * Only rows with a share are computed: of one sample one row. Where fewer than one element in 8 has
 * one (one unit is asked for) the rows of b are added one by one.
 */

enum { SPARSE = 8, ROWS = 4 /* that matmul_add takes at once */ };

/* A matrix of each pair: of `rows` by `columns`, where it is and where its share goes. */
struct side {
    const struct credit_array *array;
    const struct credit_array *before;
    uint32_t at;            /* input */
    int64_t rows, columns;  /* as it takes part in the product */
    int64_t step;           /* from pair to pair; 0: one for all */
    struct matmul_matrix x; /* of the first pair; now, or the mean of both sides */
    bool is_turned;         /* `columns` is the first of its two last axes in memory */
    float *to;
    float *owned;
};

struct product {
    const struct credit_io *io;
    struct side a, b;
    const struct credit_array *bias;
    uint32_t bias_at;
    double alpha, beta;
    int64_t m, k, n, n_pairs;
};

static bool is_named(const struct credit_io *io, const char *name)
{
    return credit_is_named(io, name);
}

static bool has_input(const struct credit_io *io, uint32_t k)
{
    return k < io->n_in && io->in[k].value != NULL;
}

/* Which operands take part, and how. */
static int find_sides(const struct credit_io *io, struct product *p)
{
    uint32_t first = 0;
    p->alpha = 1;
    p->beta = 1;
    if (is_named(io, "addmm") || is_named(io, "baddbmm") || is_named(io, "addmv") ||
        is_named(io, "addbmm")) {
        first = 1;
        p->bias = has_input(io, 0) ? &io->in[0] : NULL;
        p->alpha = credit_attr(io, "alpha", 0, 1);
        p->beta = credit_attr(io, "beta", 0, 1);
    } else if (is_named(io, "linear") && has_input(io, 2)) {
        p->bias = &io->in[2];
        p->bias_at = 2;
    }
    if (!has_input(io, first) || !has_input(io, first + 1)) {
        return BARO_EUNSUPPORTED;
    }
    p->a.at = first;
    p->b.at = first + 1;
    p->b.is_turned = is_named(io, "linear");
    return 0;
}

/* Put the shapes in: vectors are matrices of one row or column. */
static int find_shapes(struct product *p)
{
    const struct credit_io *io = p->io;
    const struct credit_array *a = p->a.array = &io->in[p->a.at];
    const struct credit_array *b = p->b.array = &io->in[p->b.at];
    if (a->n_dims == 0 || b->n_dims == 0) {
        return BARO_EUNSUPPORTED;
    }
    p->k = a->shape[a->n_dims - 1];
    p->m = a->n_dims > 1 ? a->shape[a->n_dims - 2] : 1;
    int64_t b_rows = b->n_dims > 1 ? b->shape[b->n_dims - 2] : b->shape[0];
    int64_t b_columns = b->n_dims > 1 ? b->shape[b->n_dims - 1] : 1;
    if (p->b.is_turned) {
        const int64_t held = b_rows;
        b_rows = b->n_dims > 1 ? b_columns : held;
        b_columns = b->n_dims > 1 ? held : 1;
    }
    p->n = b_columns;
    if (b_rows != p->k || p->k == 0 || p->m == 0 || p->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t n_a = a->n / (p->m * p->k);
    const int64_t n_b = b->n / (p->k * p->n);
    if (n_a == n_b) {
        p->n_pairs = n_a;
    } else if (n_b == 1) { /* one matrix for all: a's pairs are more of its rows */
        p->m *= n_a;
        p->n_pairs = 1;
    } else if (n_a == 1) {
        p->n_pairs = n_b;
    } else {
        return BARO_EUNSUPPORTED;
    }
    p->a.rows = p->m;
    p->a.columns = p->k;
    p->b.rows = p->k;
    p->b.columns = p->n;
    p->a.step = n_a == 1 ? 0 : p->m * p->k;
    p->b.step = n_b == 1 ? 0 : p->k * p->n;
    return io->out[0].n == p->n_pairs * p->m * p->n && !is_named(io, "addbmm")
               ? 0
               : BARO_EUNSUPPORTED;
}

/* Where its elements are; in change mode the mean of both sides. */
static int set_numbers(struct product *p, struct side *side)
{
    const struct credit_io *io = p->io;
    const struct credit_array *now = side->array;
    const struct credit_array *before = io->in0 != NULL ? &io->in0[side->at] : NULL;
    const bool turned = now->xt != NULL && (before == NULL || before->xt != NULL);
    const float *x = turned ? now->xt : now->x;
    side->to = io->of_in != NULL ? io->of_in[side->at] : NULL;
    if (x == NULL) {
        return BARO_ENOENT;
    }
    if (before != NULL) {
        const float *x0 = turned ? before->xt : before->x;
        if (x0 == NULL || before->n != now->n) {
            return BARO_ENOENT;
        }
        float *mean = side->owned = baro_xcalloc_whole((size_t)now->n, sizeof *mean);
        for (int64_t i = 0; i < now->n; i++) {
            mean[i] = 0.5f * x[i] + 0.5f * x0[i];
        }
        x = mean;
    }
    const bool is_columns_first = side->is_turned != turned;
    side->x = (struct matmul_matrix){.x = x,
        .row = is_columns_first ? 1 : side->columns,
        .column = is_columns_first ? side->rows : 1};
    return 0;
}

static int begin(const struct credit_io *io, struct product *p)
{
    *p = (struct product){.io = io};
    int rc = find_sides(io, p);
    if (rc != 0 || (rc = find_shapes(p)) != 0 || (rc = set_numbers(p, &p->a)) != 0 ||
        (rc = set_numbers(p, &p->b)) != 0) {
        free(p->a.owned);
        p->a.owned = NULL;
    }
    return rc;
}

static void finish(struct product *p)
{
    free(p->a.owned);
    free(p->b.owned);
}

static struct matmul_matrix of_pair(const struct side *side, int64_t pair)
{
    struct matmul_matrix x = side->x;
    x.x += pair * side->step;
    return x;
}

static struct matmul_matrix turn(struct matmul_matrix x)
{
    return (struct matmul_matrix){x.x, x.column, x.row};
}

/* A matrix as matmul_add wants its second one: *out_owned is to be freed. */
static struct matmul_matrix straighten(
    struct matmul_matrix x, int64_t rows, int64_t columns, float **out_owned)
{
    *out_owned = NULL;
    if (x.column == 1) {
        return x;
    }
    float *copy = baro_xcalloc_whole((size_t)(rows * columns), sizeof *copy);
    if (x.row == 1 && x.column == rows) {
        matmul_transpose(x.x, columns, rows, copy);
    } else {
        for (int64_t i = 0; i < rows * columns; i++) {
            copy[i] = x.x[i / columns * x.row + i % columns * x.column];
        }
    }
    *out_owned = copy;
    return (struct matmul_matrix){copy, columns, 1};
}

static void add_scaled(float *to, int64_t step, const float *x, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; i++) {
        to[i * step] += factor * x[i];
    }
}

static int64_t count_used(const float *x, int64_t n)
{
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        used += x[i] != 0;
    }
    return used;
}

/*
 * Add x y to out: x is m by n row-major, y n by k of any strides, out m by k row-major. Rows of
 * x without anything are left out.
 */
static void multiply_rows(
    const float *x, int64_t m, int64_t n, struct matmul_matrix y, int64_t k, float *out)
{
    baro_autofree int64_t *rows = baro_xcalloc((size_t)m, sizeof *rows);
    int64_t n_rows = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < m; i++) {
        const int64_t in_row = count_used(x + i * n, n);
        used += in_row;
        if (in_row > 0) {
            rows[n_rows++] = i;
        }
    }
    if (used * SPARSE < n_rows * n) {
        for (int64_t r = 0; r < n_rows; r++) {
            for (int64_t j = 0; j < n; j++) {
                const float factor = x[rows[r] * n + j];
                for (int64_t i = 0; i < k && factor != 0; i++) {
                    out[rows[r] * k + i] += factor * y.x[j * y.row + i * y.column];
                }
            }
        }
        return;
    }
    if (y.column != 1 && y.row == 1 && y.column == n && n_rows == m) {
        credit_dot_rows(m, k, n, x, n, y.x, out);
        return;
    }
    float *owned = NULL;
    const struct matmul_matrix straight = straighten(y, n, k, &owned);
    const int64_t room = (n_rows + ROWS - 1) / ROWS * ROWS;
    if (n_rows == m && room == m) {
        matmul_add(m, k, n, (struct matmul_matrix){x, n, 1}, straight, out, k);
        free(owned);
        return;
    }
    baro_autofree float *packed = baro_xcalloc((size_t)(room * n), sizeof *packed);
    baro_autofree float *product = baro_xcalloc((size_t)(room * k), sizeof *product);
    for (int64_t r = 0; r < n_rows; r++) {
        memcpy(packed + r * n, x + rows[r] * n, (size_t)n * sizeof *packed);
    }
    matmul_add(room, k, n, (struct matmul_matrix){packed, n, 1}, straight, product, k);
    for (int64_t r = 0; r < n_rows; r++) {
        add_scaled(out + rows[r] * k, 1, product + r * k, k, 1);
    }
    free(owned);
}

/* alpha s b^T of one pair, m by k. */
static void carry_to_a(
    const struct product *p, int64_t pair, const float *s, float factor, float *out)
{
    const int64_t n = p->m * p->k;
    multiply_rows(s, p->m, p->n, turn(of_pair(&p->b, pair)), p->k, out);
    for (int64_t i = 0; i < n && factor != 1; i++) {
        out[i] *= factor;
    }
}

/* alpha a^T s of one pair, k by n. */
static void carry_to_b(
    const struct product *p, int64_t pair, const float *s, float factor, float *out)
{
    matmul_add(p->k, p->n, p->m, turn(of_pair(&p->a, pair)),
        (struct matmul_matrix){s, p->n, 1}, out, p->n);
    for (int64_t i = 0; i < p->k * p->n && factor != 1; i++) {
        out[i] *= factor;
    }
}

/* Add what one pair gives to an operand where its elements are; times them when with is given. */
static void add_to(const struct side *side, int64_t pair, const float *x, bool is_times)
{
    const struct matmul_matrix with = of_pair(side, pair);
    float *to = side->to + pair * side->step;
    const bool is_straight = !side->is_turned && (with.column == 1 || !is_times);
    if (is_straight) {
        const int64_t n = side->rows * side->columns;
        for (int64_t i = 0; i < n; i++) {
            to[i] += is_times && x[i] != 0 ? x[i] * with.x[i] : x[i];
        }
        return;
    }
    for (int64_t i = 0; i < side->rows; i++) {
        for (int64_t j = 0; j < side->columns; j++, x++) {
            const float factor =
                is_times && *x != 0 ? with.x[i * with.row + j * with.column] : 1.0f;
            to[side->is_turned ? j * side->rows + i : i * side->columns + j] += *x * factor;
        }
    }
}

/* What comes to the bias: d_y summed over what it is spread over. */
static int carry_to_bias(const struct product *p, const float *d, float *to)
{
    struct credit_walk walk;
    const int rc = credit_walk_begin(&walk, &p->io->out[0], &p->bias, 1);
    for (int64_t i = 0; i < p->io->out[0].n && rc == 0; i++, credit_walk_next(&walk)) {
        to[walk.offset[0]] += (float)p->beta * d[i];
    }
    return rc;
}

/* Gradient, and multipliers: the operands are then the mean of both sides. */
static int gradient(const struct credit_io *io)
{
    struct product p;
    int rc = begin(io, &p);
    if (rc != 0 || io->of_out[0] == NULL) {
        finish(&p);
        return rc;
    }
    const float *d = io->of_out[0];
    if (p.bias != NULL && io->of_in[p.bias_at] != NULL) {
        rc = carry_to_bias(&p, d, io->of_in[p.bias_at]);
    }
    const bool is_direct_b = !p.b.is_turned && p.alpha == 1;
    baro_autofree float *to_a =
        baro_xcalloc(p.a.to != NULL ? (size_t)(p.m * p.k) : 1, sizeof *to_a);
    baro_autofree float *to_b = baro_xcalloc_whole(
        p.b.to != NULL && !is_direct_b ? (size_t)(p.k * p.n) : 1, sizeof *to_b);
    for (int64_t pair = 0; pair < p.n_pairs && rc == 0; pair++, d += p.m * p.n) {
        if (p.a.to != NULL) {
            memset(to_a, 0, (size_t)(p.m * p.k) * sizeof *to_a);
            carry_to_a(&p, pair, d, (float)p.alpha, to_a);
            add_to(&p.a, pair, to_a, false);
        }
        if (p.b.to != NULL && is_direct_b) {
            carry_to_b(&p, pair, d, 1, p.b.to + pair * p.b.step);
        } else if (p.b.to != NULL) {
            memset(to_b, 0, (size_t)(p.k * p.n) * sizeof *to_b);
            carry_to_b(&p, pair, d, (float)p.alpha, to_b);
            add_to(&p.b, pair, to_b, false);
        }
    }
    finish(&p);
    return rc;
}

/* Add alpha x y of one pair, operands or tangents, to an output. */
static void multiply_pair(
    const struct product *p, struct matmul_matrix x, struct matmul_matrix y, float *out)
{
    baro_autofree float *product = baro_xcalloc((size_t)(p->m * p->n), sizeof *product);
    if (x.column == 1 && y.row == 1 && y.column == p->k) {
        credit_dot_rows(p->m, p->n, p->k, x.x, x.row, y.x, product);
    } else {
        float *owned = NULL;
        const struct matmul_matrix straight = straighten(y, p->k, p->n, &owned);
        matmul_add(p->m, p->n, p->k, x, straight, product, p->n);
        free(owned);
    }
    add_scaled(out, 1, product, p->m * p->n, (float)p->alpha);
}

static int add_bias(const struct product *p, const float *bias, float *out)
{
    struct credit_walk walk;
    const int rc = credit_walk_begin(&walk, &p->io->out[0], &p->bias, 1);
    for (int64_t i = 0; i < p->io->out[0].n && rc == 0; i++, credit_walk_next(&walk)) {
        out[i] += (float)p->beta * bias[walk.offset[0]];
    }
    return rc;
}

/* A side's tangent in the layout of the side itself in memory. */
static struct matmul_matrix tangent_of(
    const struct side *side, const float *tangent, int64_t pair)
{
    return (struct matmul_matrix){.x = tangent + pair * side->step,
        .row = side->is_turned ? 1 : side->columns,
        .column = side->is_turned ? side->rows : 1};
}

static int forward(const struct credit_io *io)
{
    struct product p;
    int rc = begin(io, &p);
    float *out = io->tangent_out[0];
    if (rc != 0 || out == NULL) {
        finish(&p);
        return rc;
    }
    const float *a = io->tangent_in[p.a.at];
    const float *b = io->tangent_in[p.b.at];
    const float *bias = p.bias != NULL ? io->tangent_in[p.bias_at] : NULL;
    for (int64_t pair = 0; pair < p.n_pairs; pair++) {
        float *to = out + pair * p.m * p.n;
        if (a != NULL) {
            multiply_pair(&p, tangent_of(&p.a, a, pair), of_pair(&p.b, pair), to);
        }
        if (b != NULL) {
            multiply_pair(&p, of_pair(&p.a, pair), tangent_of(&p.b, b, pair), to);
        }
    }
    if (bias != NULL) {
        rc = add_bias(&p, bias, out);
    }
    finish(&p);
    return rc;
}

/* The outputs: as they were kept, or computed again. */
static const float *outputs(const struct product *p, float **out_owned)
{
    *out_owned = NULL;
    const struct credit_io *io = p->io;
    if (io->out[0].x != NULL) {
        return io->out[0].x;
    }
    float *y = *out_owned = baro_xcalloc((size_t)io->out[0].n, sizeof *y);
    for (int64_t pair = 0; pair < p->n_pairs; pair++) {
        multiply_pair(
            p, of_pair(&p->a, pair), of_pair(&p->b, pair), y + pair * p->m * p->n);
    }
    if (p->bias != NULL && (p->bias->x == NULL || add_bias(p, p->bias->x, y) != 0)) {
        free(y);
        *out_owned = NULL;
        return NULL;
    }
    return y;
}

/* Share one output that is not finite out among its products; a_part and b_part: of each. */
static void share_bad(const struct product *p, int64_t pair, int64_t i, int64_t j,
    double share, double a_part, double b_part)
{
    const struct matmul_matrix a = of_pair(&p->a, pair);
    const struct matmul_matrix b = of_pair(&p->b, pair);
    double n_bad = 0;
    double sum = 0;
    for (int64_t u = 0; u < p->k; u++) {
        const double z =
            (double)a.x[i * a.row + u * a.column] * (double)b.x[u * b.row + j * b.column];
        n_bad += isfinite(z) ? 0 : 1;
        sum += isfinite(z) ? fabs(z) : 0;
    }
    for (int64_t u = 0; u < p->k; u++) {
        const double z =
            (double)a.x[i * a.row + u * a.column] * (double)b.x[u * b.row + j * b.column];
        const double part = n_bad > 0 ? (isfinite(z) ? 0 : 1 / n_bad)
                            : sum > 0 ? fabs(z) / sum
                                      : 0;
        if (part != 0 && p->a.to != NULL) {
            p->a.to[pair * p->a.step + i * p->k + u] += (float)(share * part * a_part);
        }
        if (part != 0 && p->b.to != NULL) {
            p->b.to[pair * p->b.step + (p->b.is_turned ? j * p->k + u : u * p->n + j)] +=
                (float)(share * part * b_part);
        }
    }
}

/* Divide shares by outputs; those of outputs that are not finite are shared out here. */
static void divide(const struct product *p, const float *y, double eps, double a_part,
    double b_part, float *out_s)
{
    const float *share = p->io->of_out[0];
    const int64_t each = p->m * p->n;
    for (int64_t i = 0; i < p->io->out[0].n; i++) {
        if (share[i] == 0) {
            continue;
        }
        if (isfinite(y[i])) {
            out_s[i] = (float)credit_ratio((double)share[i], (double)y[i], eps);
        } else {
            share_bad(
                p, i / each, i % each / p->n, i % p->n, (double)share[i], a_part, b_part);
            credit_mark_singular(p->io);
        }
    }
}

/* A weight that is not finite spoils whole rows although only one output has it: say s b^T anew. */
static void repair_a(const struct product *p, int64_t pair, const float *s, float *x)
{
    const struct matmul_matrix a = of_pair(&p->a, pair);
    const struct matmul_matrix b = of_pair(&p->b, pair);
    for (int64_t i = 0; i < p->m * p->k; i++) {
        if (isfinite(x[i]) && isfinite(a.x[i / p->k * a.row + i % p->k * a.column])) {
            continue;
        }
        x[i] = 0;
        for (int64_t j = 0; j < p->n; j++) {
            const float factor = s[i / p->k * p->n + j];
            const float weight = b.x[i % p->k * b.row + j * b.column];
            x[i] += factor != 0 && isfinite(weight) ? factor * weight : 0;
        }
    }
}

static int share_bias(const struct product *p, const float *s)
{
    if (p->bias == NULL) {
        return 0;
    }
    if (p->bias->x == NULL) {
        return BARO_ENOENT;
    }
    float *to = p->io->of_in[p->bias_at];
    struct credit_walk walk;
    const int rc = credit_walk_begin(&walk, &p->io->out[0], &p->bias, 1);
    double sum = 0;
    for (int64_t i = 0; i < p->io->out[0].n && rc == 0; i++, credit_walk_next(&walk)) {
        if (s[i] == 0) {
            continue;
        }
        const double part = p->beta * (double)s[i] * (double)p->bias->x[walk.offset[0]];
        if (to != NULL) {
            to[walk.offset[0]] += (float)part;
        } else {
            sum += part;
        }
    }
    p->io->own[CREDIT_OWN_BIAS] += sum;
    return rc;
}

static void share_pairs(
    const struct product *p, const float *s, double a_part, double b_part)
{
    baro_autofree float *to_a =
        baro_xcalloc(p->a.to != NULL ? (size_t)(p->m * p->k) : 1, sizeof *to_a);
    baro_autofree float *to_b =
        baro_xcalloc_whole(p->b.to != NULL ? (size_t)(p->k * p->n) : 1, sizeof *to_b);
    for (int64_t pair = 0; pair < p->n_pairs; pair++, s += p->m * p->n) {
        if (p->a.to != NULL) {
            memset(to_a, 0, (size_t)(p->m * p->k) * sizeof *to_a);
            carry_to_a(p, pair, s, (float)(p->alpha * a_part), to_a);
            float sum = 0;
            for (int64_t i = 0; i < p->m * p->k; i++) {
                sum += to_a[i] * 0.0f;
            }
            if (sum != 0.0f) {
                repair_a(p, pair, s, to_a);
            }
            add_to(&p->a, pair, to_a, true);
        }
        if (p->b.to != NULL) {
            memset(to_b, 0, (size_t)(p->k * p->n) * sizeof *to_b);
            carry_to_b(p, pair, s, (float)(p->alpha * b_part), to_b);
            add_to(&p->b, pair, to_b, true);
        }
    }
}

static int value(const struct credit_io *io)
{
    struct product p;
    int rc = begin(io, &p);
    if (rc != 0 || io->of_out[0] == NULL) {
        finish(&p);
        return rc;
    }
    float *owned = NULL;
    const float *y = outputs(&p, &owned);
    if (y == NULL) {
        finish(&p);
        return BARO_ENOENT;
    }
    const bool is_both = p.a.to != NULL && p.b.to != NULL;
    const double a_part = is_both ? 0.5 : p.a.to != NULL ? 1 : 0;
    const double b_part = is_both ? 0.5 : p.b.to != NULL ? 1 : 0;
    baro_autofree float *s = baro_xcalloc((size_t)io->out[0].n, sizeof *s);
    divide(&p, y, credit_eps(y, io->of_out[0], io->out[0].n), a_part, b_part, s);
    rc = share_bias(&p, s);
    if (rc == 0) {
        share_pairs(&p, s, a_part, b_part);
    }
    free(owned);
    finish(&p);
    return rc;
}

const struct credit_rule credit_rules_linear[] = {
    {.names = "mm addmm bmm baddbmm matmul linear mv addmv dot vdot inner",
        .value = value,
        .gradient = gradient,
        .change = gradient,
        .forward = forward,
        .only_weighs = true,
        .takes_transposed = true,
        .sees_bad = true},
    {0},
};
