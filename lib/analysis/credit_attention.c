/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/*
 * Fused attention: O = A V, A = softmax(Z), Z = scale Q K^T + mask, for each sample and head. Only
 * Q, K, V and O were kept, so Z and A are computed again, head by head.
 *
 * Value mode, as for the same operations one by one (AttnLRP): a share of O is divided by O (eps
 * rule) and goes half to A and half to V; A's goes to Z by softmax's Taylor rule; Z's by the eps
 * rule half to Q, half to K, and to the mask what is its own. What softmax has for itself is
 * CREDIT_OWN_BIAS.
 *
 * Change mode, exact, mean of both sides with a bar and LM the logarithmic mean (credit_softmax.c
 * has the softmax):
 *
 *   m_A = m_O bar(V)^T          m_V = bar(A)^T m_O
 *   u = m_A LM(A0, A1)          m_Z = u - q sum u,   q = LM(e^Z0, e^Z1) / LM(e^L0, e^L1)
 *   m_Q = scale m_Z bar(K)      m_K = scale m_Z^T bar(Q)      m_mask = m_Z
 *
 * With fewer heads of K and V than of Q, those are shared in turn. Dropout inside (dropout_p > 0)
 * leaves no trace of what was dropped and is not covered.
 */

enum { QUERY, KEY, VALUE, MASK, OPERANDS };

struct attention {
    struct credit_sides operand[OPERANDS];
    struct credit_sides output;
    int64_t heads;    /* of all samples, of the queries */
    int64_t n_head;   /* heads of a sample */
    int64_t n_shared; /* heads of queries that share one of the keys */
    int64_t queries;
    int64_t keys;
    int64_t depth; /* elements of a query and key */
    int64_t width; /* elements of a value */
    double scale;
    bool is_causal;
    bool is_bool;         /* the mask says who may be seen */
    int64_t mask_step[4]; /* in the mask, along sample, head, query and key */
};

/* What one head needs: matrices of queries by keys. */
struct head {
    int64_t at;
    int64_t at_shared; /* among those of the keys */
    int was;           /* which of the two is before: 0, or 1 where nothing is compared */
    float *a[2];       /* probabilities before and now */
    float *z[2];       /* logits */
    double *l[2];      /* log sum e^z of each query */
    float *of_a;       /* what is known of A, then of Z */
    float *turned;     /* room for a transpose of any operand */
    float *back;       /* room for what comes to any operand */
};

static int mask_steps(struct attention *t)
{
    const struct credit_array *mask = t->operand[MASK].array;
    const int64_t full[4] = {t->heads / t->n_head, t->n_head, t->queries, t->keys};
    if (mask == NULL) {
        return 0;
    }
    int64_t n = 1;
    const int shift = 4 - mask->n_dims;
    for (int i = 3; i >= 0; i--) {
        const int64_t length = i >= shift ? mask->shape[i - shift] : 1;
        t->mask_step[i] = length == 1 ? 0 : n;
        n *= length;
        if (length != 1 && length != full[i]) {
            return BARO_EUNSUPPORTED;
        }
    }
    t->is_bool = mask->value->dtype == BARO_BOOL;
    return shift >= 0 && t->operand[MASK].now != NULL ? 0 : BARO_EUNSUPPORTED;
}

/* Shapes of [.., heads, places, elements]. */
static int take_shapes(struct attention *t)
{
    const struct credit_array *q = t->operand[QUERY].array;
    const struct credit_array *k = t->operand[KEY].array;
    const struct credit_array *v = t->operand[VALUE].array;
    const int n = q->n_dims;
    if (n < 3 || n > 4 || k->n_dims != n || v->n_dims != n || q->n == 0 || k->n == 0 ||
        v->n == 0 || t->output.array == NULL) {
        return BARO_EUNSUPPORTED;
    }
    t->queries = q->shape[n - 2];
    t->keys = k->shape[n - 2];
    t->depth = q->shape[n - 1];
    t->width = v->shape[n - 1];
    t->n_head = q->shape[n - 3];
    t->heads = q->n / (t->queries * t->depth);
    t->n_shared = t->n_head / k->shape[n - 3];
    const bool is_well = k->shape[n - 1] == t->depth && v->shape[n - 2] == t->keys &&
                         k->shape[n - 3] == v->shape[n - 3] && t->n_shared > 0 &&
                         t->n_head % k->shape[n - 3] == 0 &&
                         k->n * t->n_shared == t->heads * t->keys * t->depth &&
                         t->output.n == t->heads * t->queries * t->width;
    return is_well ? mask_steps(t) : BARO_EUNSUPPORTED;
}

static int begin(const struct credit_io *io, struct attention *t)
{
    *t = (struct attention){.is_causal = credit_attr_int(io, "is_causal", 0, 0) != 0};
    int rc = credit_output(io, 0, &t->output);
    for (uint32_t i = 0; rc == 0 && i < OPERANDS; i++) {
        rc = credit_input(io, i, &t->operand[i]);
        if (rc == 0 && i != MASK && t->operand[i].now == NULL) {
            rc = BARO_ENOENT;
        }
    }
    if (rc == 0 && credit_attr(io, "dropout_p", 0, 0) > 0) {
        rc = BARO_EUNSUPPORTED;
    }
    rc = rc == 0 ? take_shapes(t) : rc;
    t->scale = rc == 0 ? credit_attr(io, "scale", 0, 1 / sqrt((double)t->depth)) : 0;
    return rc;
}

static int64_t mask_at(const struct attention *t, int64_t head, int64_t i, int64_t j)
{
    return head / t->n_head * t->mask_step[0] + head % t->n_head * t->mask_step[1] +
           i * t->mask_step[2] + j * t->mask_step[3];
}

/* Compute logits and probabilities of one head and side. */
static void compute_side(const struct attention *t, struct head *head, bool is_now)
{
    const float *q = is_now ? t->operand[QUERY].now : t->operand[QUERY].before;
    const float *k = is_now ? t->operand[KEY].now : t->operand[KEY].before;
    const float *mask = is_now ? t->operand[MASK].now : t->operand[MASK].before;
    float *z = head->z[is_now];
    float *a = head->a[is_now];
    matmul_transpose(
        k + head->at_shared * t->keys * t->depth, t->keys, t->depth, head->turned);
    memset(z, 0, (size_t)(t->queries * t->keys) * sizeof *z);
    matmul_add(t->queries, t->keys, t->depth,
        (struct matmul_matrix){q + head->at * t->queries * t->depth, t->depth, 1},
        (struct matmul_matrix){head->turned, t->keys, 1}, z, t->keys);
    for (int64_t i = 0; i < t->queries; i++) {
        double largest = -(double)INFINITY;
        for (int64_t j = 0; j < t->keys; j++) {
            float *at = &z[i * t->keys + j];
            const float m = mask != NULL ? mask[mask_at(t, head->at, i, j)] : 0;
            const bool is_seen =
                !(t->is_causal && j > i) && !(mask != NULL && t->is_bool && m == 0);
            *at = is_seen ? (float)((double)*at * t->scale) + (t->is_bool ? 0 : m)
                          : -INFINITY;
            largest = (double)*at > largest ? (double)*at : largest;
        }
        double sum = 0;
        for (int64_t j = 0; j < t->keys; j++) {
            a[i * t->keys + j] =
                isfinite(largest) ? (float)exp((double)z[i * t->keys + j] - largest) : 0;
            sum += (double)a[i * t->keys + j];
        }
        head->l[is_now][i] = largest + log(sum);
        for (int64_t j = 0; j < t->keys && sum > 0; j++) {
            a[i * t->keys + j] = (float)((double)a[i * t->keys + j] / sum);
        }
    }
}

static void compute(const struct attention *t, struct head *head, int64_t at)
{
    head->at = at;
    head->at_shared =
        at / t->n_head * (t->n_head / t->n_shared) + at % t->n_head / t->n_shared;
    compute_side(t, head, true);
    if (head->was == 0) {
        compute_side(t, head, false);
    }
}

static bool is_compared(const struct attention *t)
{
    bool is_it = false;
    for (int i = 0; i < OPERANDS; i++) {
        is_it |= t->operand[i].now != t->operand[i].before;
    }
    return is_it;
}

static void start_head(const struct attention *t, struct head *head)
{
    const size_t n = (size_t)(t->queries * t->keys);
    const size_t deepest = (size_t)(t->depth > t->width ? t->depth : t->width);
    const size_t longest = (size_t)(t->queries > t->keys ? t->queries : t->keys);
    *head = (struct head){.was = is_compared(t) ? 0 : 1,
        .of_a = baro_xcalloc(n, sizeof(float)),
        .turned = baro_xcalloc(deepest * longest, sizeof(float)),
        .back = baro_xcalloc(deepest * longest, sizeof(float))};
    for (int side = 0; side < 2; side++) {
        head->a[side] = baro_xcalloc(n, sizeof(float));
        head->z[side] = baro_xcalloc(n, sizeof(float));
        head->l[side] = baro_xcalloc((size_t)t->queries, sizeof(double));
    }
}

static void finish_head(const struct head *head)
{
    for (int side = 0; side < 2; side++) {
        free(head->a[side]);
        free(head->z[side]);
        free(head->l[side]);
    }
    free(head->of_a);
    free(head->turned);
    free(head->back);
}

/* Where a head's part of an operand, or of the output, begins. */
static int64_t begin_of(const struct attention *t, const struct head *head, int operand)
{
    return operand == QUERY ? head->at * t->queries * t->depth
           : operand == KEY ? head->at_shared * t->keys * t->depth
                            : head->at_shared * t->keys * t->width;
}

/* out[queries][keys] += factor x y^T, of rows of a width. */
static void outer_product(const struct attention *t, struct head *head, const float *x,
    const float *y, int64_t width, float *out)
{
    matmul_transpose(y, t->keys, width, head->turned);
    matmul_add(t->queries, t->keys, width, (struct matmul_matrix){x, width, 1},
        (struct matmul_matrix){head->turned, t->keys, 1}, out, t->keys);
}

/* What an operand gets from a matrix of queries by keys: its rows (Q) or columns (K, V) times the
 * other side's rows x; the result is in head->back. Returns how many elements. */
static int64_t carry(const struct attention *t, struct head *head, int operand,
    const float *matrix, const float *x)
{
    const int64_t width = operand == VALUE ? t->width : t->depth;
    const bool is_rows = operand == QUERY;
    const int64_t n = is_rows ? t->queries : t->keys;
    memset(head->back, 0, (size_t)(n * width) * sizeof *head->back);
    matmul_add(n, width, is_rows ? t->keys : t->queries,
        (struct matmul_matrix){matrix, is_rows ? t->keys : 1, is_rows ? 1 : t->keys},
        (struct matmul_matrix){x, width, 1}, head->back, width);
    return n * width;
}

/* Softmax's Taylor rule, then the eps rule of logits: of_a becomes what Q K^T gets, over it. */
static void value_logits(
    const struct credit_io *io, const struct attention *t, struct head *head)
{
    const int64_t n = t->queries * t->keys;
    const float *mask = t->is_bool ? NULL : t->operand[MASK].now;
    float *const to_mask = t->operand[MASK].to;
    double bias = 0;
    for (int64_t i = 0; i < t->queries; i++) {
        double all = 0;
        for (int64_t j = 0; j < t->keys; j++) {
            all += (double)head->of_a[i * t->keys + j];
        }
        bias += all;
        for (int64_t j = 0; j < t->keys; j++) {
            const int64_t e = i * t->keys + j;
            const double z = isfinite(head->z[1][e]) ? (double)head->z[1][e] : 0;
            const double share = z * ((double)head->of_a[e] - (double)head->a[1][e] * all);
            bias -= share;
            head->of_a[e] = (float)share;
        }
    }
    const double eps = credit_eps(head->z[1], head->of_a, n);
    for (int64_t e = 0; e < n; e++) {
        const double z = (double)head->z[1][e];
        const double ratio = isfinite(z) ? credit_ratio((double)head->of_a[e], z, eps) : 0;
        head->of_a[e] = (float)ratio;
        if (mask != NULL && ratio != 0) {
            const int64_t at = mask_at(t, head->at, e / t->keys, e % t->keys);
            const double own = ratio * (double)mask[at];
            if (to_mask != NULL) {
                to_mask[at] += (float)own;
            } else {
                bias += own;
            }
        }
    }
    io->own[CREDIT_OWN_BIAS] += bias;
}

/* Add half of factor x back to an operand. */
static void give_half(const struct attention *t, const struct head *head, int operand,
    int64_t n, double factor)
{
    const struct credit_sides *sides = &t->operand[operand];
    const int64_t begins = begin_of(t, head, operand);
    for (int64_t e = 0; sides->to != NULL && e < n; e++) {
        sides->to[begins + e] +=
            (float)(0.5 * factor * (double)head->back[e] * (double)sides->now[begins + e]);
    }
}

static int attention_value(const struct credit_io *io)
{
    struct attention t;
    int rc = begin(io, &t);
    if (rc != 0 || t.output.from == NULL) {
        return rc;
    }
    if (t.output.now == NULL) {
        return BARO_ENOENT;
    }
    baro_autofree float *ratio = baro_xcalloc((size_t)t.output.n, sizeof *ratio);
    credit_divide(io, t.output.now, t.output.from, t.output.n, ratio);
    struct head head;
    start_head(&t, &head);
    for (int64_t at = 0; at < t.heads; at++) {
        const float *from = ratio + at * t.queries * t.width;
        compute(&t, &head, at);
        give_half(&t, &head, VALUE, carry(&t, &head, VALUE, head.a[1], from), 1);
        memset(head.of_a, 0, (size_t)(t.queries * t.keys) * sizeof *head.of_a);
        outer_product(&t, &head, from, t.operand[VALUE].now + begin_of(&t, &head, VALUE),
            t.width, head.of_a);
        for (int64_t e = 0; e < t.queries * t.keys; e++) {
            head.of_a[e] *= 0.5F * head.a[1][e];
        }
        value_logits(io, &t, &head);
        const float *q = t.operand[QUERY].now + begin_of(&t, &head, QUERY);
        const float *k = t.operand[KEY].now + begin_of(&t, &head, KEY);
        give_half(&t, &head, QUERY, carry(&t, &head, QUERY, head.of_a, k), t.scale);
        give_half(&t, &head, KEY, carry(&t, &head, KEY, head.of_a, q), t.scale);
    }
    finish_head(&head);
    return 0;
}

/* Through softmax: of_a from what is known of A to what is known of Z. */
static void slopes_logits(const struct attention *t, struct head *head)
{
    for (int64_t i = 0; i < t->queries; i++) {
        const double l0 = head->l[head->was][i];
        const double l1 = head->l[1][i];
        const double log_secant = credit_log_secant_exp(l0, l1);
        const float *z0 = head->z[head->was] + i * t->keys;
        const float *z1 = head->z[1] + i * t->keys;
        float *row = head->of_a + i * t->keys;
        double all = 0;
        for (int64_t j = 0; j < t->keys; j++) {
            const double log_u =
                credit_log_secant_exp((double)z0[j] - l0, (double)z1[j] - l1);
            const double u = isfinite(log_u) ? (double)row[j] * exp(log_u) : 0;
            row[j] = (float)u;
            all += u;
        }
        for (int64_t j = 0; j < t->keys; j++) {
            const double log_q = credit_log_secant_exp((double)z0[j], (double)z1[j]);
            const double q = log_q - log_secant;
            row[j] -= isfinite(q) ? (float)(exp(q) * all) : 0;
        }
    }
}

static void give(const struct attention *t, const struct head *head, int operand, int64_t n,
    double factor)
{
    float *to = t->operand[operand].to;
    const int64_t begins = begin_of(t, head, operand);
    for (int64_t e = 0; to != NULL && e < n; e++) {
        to[begins + e] += (float)(factor * (double)head->back[e]);
    }
}

/* The slopes of one head; mean has the mean of both sides of Q, K and V. */
static void slopes_head(const struct attention *t, struct head *head,
    const float *const mean[OPERANDS], float *mean_a)
{
    const int64_t n = t->queries * t->keys;
    const float *from = t->output.from + head->at * t->queries * t->width;
    for (int64_t e = 0; e < n; e++) {
        mean_a[e] = 0.5F * (head->a[0 + head->was][e] + head->a[1][e]);
    }
    give(t, head, VALUE, carry(t, head, VALUE, mean_a, from), 1);
    memset(head->of_a, 0, (size_t)n * sizeof *head->of_a);
    outer_product(
        t, head, from, mean[VALUE] + begin_of(t, head, VALUE), t->width, head->of_a);
    slopes_logits(t, head);
    const float *q = mean[QUERY] + begin_of(t, head, QUERY);
    const float *k = mean[KEY] + begin_of(t, head, KEY);
    give(t, head, QUERY, carry(t, head, QUERY, head->of_a, k), t->scale);
    give(t, head, KEY, carry(t, head, KEY, head->of_a, q), t->scale);
    for (int64_t e = 0; t->operand[MASK].to != NULL && !t->is_bool && e < n; e++) {
        t->operand[MASK].to[mask_at(t, head->at, e / t->keys, e % t->keys)] +=
            head->of_a[e];
    }
}

static int attention_slopes(const struct credit_io *io)
{
    struct attention t;
    int rc = begin(io, &t);
    if (rc != 0 || t.output.from == NULL) {
        return rc;
    }
    float *memory[OPERANDS] = {NULL};
    const float *mean[OPERANDS] = {NULL};
    for (int i = QUERY; i <= VALUE; i++) {
        mean[i] = credit_mean(&t.operand[i], &memory[i]);
    }
    baro_autofree float *mean_a =
        baro_xcalloc((size_t)(t.queries * t.keys), sizeof *mean_a);
    struct head head;
    start_head(&t, &head);
    for (int64_t at = 0; at < t.heads; at++) {
        compute(&t, &head, at);
        slopes_head(&t, &head, mean, mean_a);
    }
    finish_head(&head);
    for (int i = QUERY; i <= VALUE; i++) {
        free(memory[i]);
    }
    return 0;
}

/* Tangents of the logits of a head, in of_a, then those of the probabilities. */
static void forward_logits(
    const struct attention *t, struct head *head, const struct credit_io *io)
{
    const int64_t n = t->queries * t->keys;
    const int64_t q = begin_of(t, head, QUERY);
    const int64_t k = begin_of(t, head, KEY);
    memset(head->of_a, 0, (size_t)n * sizeof *head->of_a);
    if (io->tangent_in[QUERY] != NULL) {
        outer_product(t, head, io->tangent_in[QUERY] + q, t->operand[KEY].now + k, t->depth,
            head->of_a);
    }
    if (io->tangent_in[KEY] != NULL) {
        outer_product(t, head, t->operand[QUERY].now + q, io->tangent_in[KEY] + k, t->depth,
            head->of_a);
    }
    const float *mask =
        t->operand[MASK].now != NULL && !t->is_bool ? io->tangent_in[MASK] : NULL;
    for (int64_t i = 0; i < t->queries; i++) {
        const float *a = head->a[1] + i * t->keys;
        float *row = head->of_a + i * t->keys;
        double mean = 0;
        for (int64_t j = 0; j < t->keys; j++) {
            row[j] = (float)((double)row[j] * t->scale);
            row[j] += mask != NULL ? mask[mask_at(t, head->at, i, j)] : 0;
            mean += (double)a[j] * (double)row[j];
        }
        for (int64_t j = 0; j < t->keys; j++) {
            row[j] = (float)((double)a[j] * ((double)row[j] - mean));
        }
    }
}

static int attention_forward(const struct credit_io *io)
{
    struct attention t;
    int rc = begin(io, &t);
    if (rc != 0 || io->tangent_out[0] == NULL) {
        return rc;
    }
    struct head head;
    start_head(&t, &head);
    for (int64_t at = 0; at < t.heads; at++) {
        compute(&t, &head, at);
        forward_logits(&t, &head, io);
        const int64_t v = begin_of(&t, &head, VALUE);
        float *out = io->tangent_out[0] + at * t.queries * t.width;
        matmul_add(t.queries, t.width, t.keys, (struct matmul_matrix){head.of_a, t.keys, 1},
            (struct matmul_matrix){t.operand[VALUE].now + v, t.width, 1}, out, t.width);
        if (io->tangent_in[VALUE] != NULL) {
            matmul_add(t.queries, t.width, t.keys,
                (struct matmul_matrix){head.a[1], t.keys, 1},
                (struct matmul_matrix){io->tangent_in[VALUE] + v, t.width, 1}, out,
                t.width);
        }
    }
    finish_head(&head);
    return 0;
}

const struct credit_rule credit_rules_attention[] = {
    {"_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
     "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
     "_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math "
     "scaled_dot_product_attention",
        attention_value, attention_slopes, attention_slopes, attention_forward},
    {0},
};
