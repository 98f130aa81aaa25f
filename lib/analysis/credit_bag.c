/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"

/*
 * Bags of embeddings: y_b = sum (or mean) of f_i E[n_i] over the places i of bag b, with or without
 * factors f of the samples.
 *
 * Value mode: the eps rule; what a vector gave is its index's, as of an embedding. Gradient: f to
 * the vector, the vector to f. Change mode: half at either index, by the mean of the factors; what
 * another index did is the index's; the factors by the mean vector. Bags must be as large as before.
 *
 * Worked: the mean of vectors 1 and 5 is 3: shares 1/6 and 5/6.
 */

enum { BAG_SUM = 0, BAG_MEAN = 1, WEIGHT = 0, INDEX = 1, OFFSET = 2, FACTOR = 3 };

struct bags {
    struct credit_sides table, index, factor, output;
    const struct credit_array *offsets;
    int64_t n_bags, width, each; /* each: places of a bag, of equal ones; 0: offsets say */
    int64_t padding;
    bool is_mean;
};

/* Bags of the rows that were kept: whole rows of the same length lie side by side. */
static int measure(struct bags *b)
{
    const struct credit_array *out = b->output.array;
    const struct credit_array *index = b->index.array;
    if (!credit_is_part(out, 0)) {
        return b->offsets->x != NULL && b->offsets->n >= b->n_bags ? 0 : BARO_ENOENT;
    }
    const int64_t n_full = out->value->shape[0];
    b->each = index->value->shape[0] / n_full;
    return index->n_dims == 1 && index->value->shape[0] == b->each * n_full &&
                   b->each > 0 && index->n == b->each * b->n_bags
               ? 0
               : BARO_EUNSUPPORTED;
}

static int begin(const struct credit_io *io, struct bags *b)
{
    *b = (struct bags){.is_mean = credit_attr_int(io, "mode", 0, 0) == BAG_MEAN,
        .padding = credit_attr_int(io, "padding_idx", 0, -1)};
    int rc = credit_input(io, WEIGHT, &b->table);
    rc = rc == 0 ? credit_input(io, INDEX, &b->index) : rc;
    rc = rc == 0 ? credit_input(io, FACTOR, &b->factor) : rc;
    rc = rc == 0 ? credit_output(io, 0, &b->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (b->table.now == NULL || b->index.now == NULL || b->output.array == NULL ||
        !credit_has_in(io, OFFSET)) {
        return BARO_ENOENT;
    }
    if (b->table.array->n_dims != 2 || b->output.array->n_dims != 2 ||
        credit_attr_int(io, "mode", 0, 0) > BAG_MEAN) {
        return BARO_EUNSUPPORTED;
    }
    b->offsets = &io->in[OFFSET];
    b->n_bags = b->output.array->shape[0];
    b->width = b->table.array->shape[1];
    return measure(b);
}

/* The places of a bag: [first, end). */
static void find_bag(
    const struct bags *b, int64_t bag, int64_t *out_first, int64_t *out_end)
{
    const float *at = b->offsets->x;
    *out_first = b->each > 0 ? bag * b->each : (int64_t)at[bag];
    *out_end = b->each > 0               ? *out_first + b->each
               : bag + 1 < b->offsets->n ? (int64_t)at[bag + 1]
                                         : b->index.n;
    *out_first = *out_first < 0 ? 0 : *out_first;
    *out_end = *out_end > b->index.n ? b->index.n : *out_end;
}

/* Where the vector of a place begins; -1: it counts for nothing. */
static int64_t vector_of(const struct bags *b, int64_t place, bool is_now)
{
    const double n = (double)(is_now ? b->index.now : b->index.before)[place];
    const bool is_there = n >= 0 && n < (double)b->table.array->shape[0] &&
                          (b->padding < 0 || (int64_t)n != b->padding);
    return is_there ? (int64_t)n * b->width : -1;
}

static double weight_of(const struct bags *b, int64_t first, int64_t end, bool is_now)
{
    int64_t n = 0;
    for (int64_t i = first; i < end; i++) {
        n += vector_of(b, i, is_now) >= 0;
    }
    return b->is_mean && n > 0 ? 1 / (double)n : 1;
}

static double factor_of(const struct bags *b, int64_t place, bool is_now)
{
    const float *factor = is_now ? b->factor.now : b->factor.before;
    return factor != NULL ? (double)factor[place] : 1;
}

static void share_bag(const struct credit_io *io, const struct bags *b, int64_t bag,
    double eps, bool is_to_index)
{
    int64_t first;
    int64_t end;
    find_bag(b, bag, &first, &end);
    const double weight = weight_of(b, first, end, true);
    for (int64_t j = 0; j < b->width; j++) {
        const int64_t out = bag * b->width + j;
        const double came = (double)b->output.from[out];
        const double ratio = credit_ratio(came, (double)b->output.now[out], eps);
        double left = came;
        for (int64_t i = first; ratio != 0 && i < end; i++) {
            const int64_t at = vector_of(b, i, true);
            if (at < 0) {
                continue;
            }
            const double part =
                ratio * weight * factor_of(b, i, true) * (double)b->table.now[at + j];
            float *to = is_to_index ? b->index.to + i : b->table.to + at + j;
            if (is_to_index || b->table.to != NULL) {
                *to += (float)part;
                left -= part;
            }
        }
        io->own[CREDIT_OWN_ROUND] += ratio != 0 ? left : 0;
    }
}

static int bag_value(const struct credit_io *io)
{
    struct bags b;
    const int rc = begin(io, &b);
    if (rc != 0 || b.output.from == NULL) {
        return rc;
    }
    if (b.output.now == NULL) {
        return BARO_ENOENT;
    }
    const double eps = credit_eps(b.output.now, b.output.from, b.output.n);
    const bool is_to_index = b.index.to != NULL && !b.index.array->is_fixed;
    for (int64_t bag = 0; bag < b.n_bags; bag++) {
        share_bag(io, &b, bag, eps, is_to_index);
    }
    return 0;
}

static void add_index(
    const struct credit_io *io, const struct bags *b, int64_t i, double effect)
{
    const double change = (double)b->index.now[i] - (double)b->index.before[i];
    if (change != 0 && b->index.to != NULL) {
        b->index.to[i] += (float)(effect / change);
    } else {
        io->own[CREDIT_OWN_UNKNOWN] += effect;
    }
}

/* Gradient and change of one bag. */
static void slopes_of(const struct credit_io *io, const struct bags *b, int64_t bag)
{
    int64_t first;
    int64_t end;
    find_bag(b, bag, &first, &end);
    const double weight = weight_of(b, first, end, true);
    const float *from = b->output.from + bag * b->width;
    for (int64_t i = first; i < end; i++) {
        const int64_t now = vector_of(b, i, true);
        const int64_t then = vector_of(b, i, false);
        const double factor = 0.5 * (factor_of(b, i, true) + factor_of(b, i, false));
        double to_factor = 0;
        double moved = 0;
        for (int64_t j = 0; now >= 0 && then >= 0 && j < b->width; j++) {
            const double slope = weight * (double)from[j];
            const float *x1 = b->table.now;
            const float *x0 = b->table.before;
            if (b->table.to != NULL) {
                b->table.to[now + j] += (float)(0.5 * factor * slope);
                b->table.to[then + j] += (float)(0.5 * factor * slope);
            }
            to_factor += slope * 0.5 * ((double)x1[now + j] + (double)x0[then + j]);
            moved += slope * factor * 0.5 *
                     ((double)x1[now + j] - (double)x1[then + j] + (double)x0[now + j] -
                         (double)x0[then + j]);
        }
        if (now != then && now >= 0 && then >= 0) {
            add_index(io, b, i, moved);
        }
        if (b->factor.to != NULL) {
            b->factor.to[i] += (float)to_factor;
        }
    }
}

/* Bags must hold as many vectors, at the same places. */
static bool is_same_bags(const struct credit_io *io, const struct bags *b)
{
    for (int64_t i = 0; i < b->index.n; i++) {
        if ((vector_of(b, i, true) < 0) != (vector_of(b, i, false) < 0)) {
            return false;
        }
    }
    const struct credit_array *before = io->in0 != NULL ? &io->in0[OFFSET] : b->offsets;
    for (int64_t i = 0; b->each == 0 && i < b->offsets->n; i++) {
        if (before->x == NULL || before->n != b->offsets->n ||
            fabsf(before->x[i] - b->offsets->x[i]) > 0) {
            return false;
        }
    }
    return true;
}

static int bag_slopes(const struct credit_io *io)
{
    struct bags b;
    const int rc = begin(io, &b);
    if (rc != 0 || b.output.from == NULL) {
        return rc;
    }
    if (!is_same_bags(io, &b)) {
        return BARO_EUNSUPPORTED;
    }
    for (int64_t bag = 0; bag < b.n_bags; bag++) {
        slopes_of(io, &b, bag);
    }
    return 0;
}

static int bag_forward(const struct credit_io *io)
{
    struct bags b;
    const int rc = begin(io, &b);
    float *out = io->tangent_out[0];
    const float *of_table = io->tangent_in[WEIGHT];
    const float *of_factor = io->n_in > FACTOR ? io->tangent_in[FACTOR] : NULL;
    for (int64_t bag = 0; rc == 0 && out != NULL && bag < b.n_bags; bag++) {
        int64_t first;
        int64_t end;
        find_bag(&b, bag, &first, &end);
        const double weight = weight_of(&b, first, end, true);
        for (int64_t i = first; i < end; i++) {
            const int64_t at = vector_of(&b, i, true);
            for (int64_t j = 0; at >= 0 && j < b.width; j++) {
                const double of = of_table != NULL ? (double)of_table[at + j] : 0;
                const double by = of_factor != NULL ? (double)of_factor[i] : 0;
                out[bag * b.width + j] +=
                    (float)(weight * (factor_of(&b, i, true) * of +
                                         by * (double)b.table.now[at + j]));
            }
        }
    }
    return rc;
}

const struct credit_rule credit_rules_bag[] = {
    {"_embedding_bag _embedding_bag_forward_only embedding_bag", bag_value, bag_slopes,
        bag_slopes, bag_forward},
    {0},
};
