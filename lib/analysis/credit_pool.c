/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_taps.h"
#include "lib/base/mem.h"

/*
 * Operations over the last 1 to 3 axes in which each output sees a window of the input: average
 * pooling, upsampling, reflecting and replicating pads (weighted sums), and max pooling (a choice).
 *
 * A weighted sum of these is one on each axis in turn: for every output place of an axis a list of
 * input places with weights (credit_taps.h), and the weight of an input element is the product of three.
 * Averages, with all their ways to count the border, are such products as well. So one routine has
 * them all, and only the lists differ. Value mode: eps rule, z_u = w_u a_u. Gradient: w_u. Change:
 * the same, as it is linear.
 *
 * Max pooling: the winner takes all. Change mode: where the winner changed, the two share it
 * (credit_choice). The winner is found again from the input, the first of equals as torch has it,
 * because the indices are often thrown away.
 */

enum { AXES = 3 };

/* The input lines that an output line sees, with their weights. */
struct lines {
    int64_t at; /* the output line, of a plane; -1: none yet */
    int64_t n;
    int64_t *begin; /* place of each in its plane */
    float *weight;
};

struct pool {
    struct credit_sides input, output;
    int n_axes;
    int64_t planes; /* product of the axes in front */
    int64_t n_in;   /* elements of a plane */
    int64_t n_out;
    struct credit_taps taps[AXES];
    struct lines lines; /* of the output line under way */
};

static void finish(struct pool *pool)
{
    for (int i = 0; i < AXES; i++) {
        credit_taps_free(&pool->taps[i]);
    }
    free(pool->lines.begin);
    free(pool->lines.weight);
}

/* How many axes at the end the operation works on: its name says it, "..2d". */
static int count_axes(const struct credit_io *io)
{
    for (const char *at = io->op->name; *at != '\0'; at++) {
        if (*at >= '1' && *at <= '3' && at[1] == 'd') {
            return *at - '0';
        }
    }
    return 0;
}

static int64_t most_taps(const struct credit_taps *taps)
{
    int64_t most = 1;
    for (int64_t o = 0; o < taps->n_out; o++) {
        const int64_t n = taps->first[o + 1] - taps->first[o];
        most = n > most ? n : most;
    }
    return most;
}

static void start_lines(struct pool *pool)
{
    const int64_t most = most_taps(&pool->taps[0]) * most_taps(&pool->taps[1]);
    pool->lines.at = -1;
    pool->lines.begin = baro_xcalloc((size_t)most, sizeof *pool->lines.begin);
    pool->lines.weight = baro_xcalloc((size_t)most, sizeof *pool->lines.weight);
}

/* Find the input lines of an output line of a plane, unless they are at hand. */
static const struct lines *find_lines(struct pool *pool, int64_t at)
{
    struct lines *lines = &pool->lines;
    const struct credit_taps *d = &pool->taps[0];
    const struct credit_taps *h = &pool->taps[1];
    if (lines->at == at) {
        return lines;
    }
    const int64_t od = at / h->n_out;
    const int64_t oh = at % h->n_out;
    lines->at = at;
    lines->n = 0;
    for (int64_t i = d->first[od]; i < d->first[od + 1]; i++) {
        for (int64_t j = h->first[oh]; j < h->first[oh + 1]; j++) {
            lines->begin[lines->n] =
                (d->place[i] * h->n_in + h->place[j]) * pool->taps[2].n_in;
            lines->weight[lines->n++] = d->weight[i] * h->weight[j];
        }
    }
    return lines;
}

static int begin(const struct credit_io *io, struct pool *pool)
{
    *pool = (struct pool){.n_axes = count_axes(io), .planes = 1, .n_in = 1, .n_out = 1};
    int rc = credit_input(io, 0, &pool->input); /* sums do not need it */
    rc = rc == 0 || rc == BARO_ENOENT ? credit_output(io, 0, &pool->output) : rc;
    if (rc != 0) {
        return rc;
    }
    const struct credit_array *in = pool->input.array;
    const struct credit_array *out = pool->output.array;
    if (in == NULL || out == NULL) {
        return BARO_ENOENT;
    }
    const int front = in->n_dims - pool->n_axes;
    if (pool->n_axes == 0 || front < 0 || out->n_dims != in->n_dims || in->n == 0 ||
        out->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    for (int i = 0; i < front; i++) {
        pool->planes *= in->shape[i];
        if (in->shape[i] != out->shape[i]) {
            return BARO_EUNSUPPORTED;
        }
    }
    for (int i = 0; i < AXES; i++) {
        struct credit_taps *taps = &pool->taps[i];
        const int axis = i - (AXES - pool->n_axes);
        taps->n_in = axis >= 0 ? in->shape[front + axis] : 1;
        taps->n_out = axis >= 0 ? out->shape[front + axis] : 1;
        pool->n_in *= taps->n_in;
        pool->n_out *= taps->n_out;
        if (axis >= 0) {
            credit_taps_fill(io, axis, pool->n_axes, taps);
        } else {
            credit_taps_single(taps);
        }
    }
    start_lines(pool);
    return 0;
}

/* Carry numbers of outputs back through the weights, added to `to`. */
static void carry_plane(struct pool *pool, const float *from, float *to)
{
    const struct credit_taps *w = &pool->taps[2];
    for (int64_t o = 0; o < pool->n_out; o++) {
        if (from[o] == 0) {
            continue;
        }
        const struct lines *lines = find_lines(pool, o / w->n_out);
        const int64_t ow = o % w->n_out;
        for (int64_t i = 0; i < lines->n; i++) {
            const float part = from[o] * lines->weight[i];
            for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
                to[lines->begin[i] + w->place[k]] += part * w->weight[k];
            }
        }
    }
}

static int sum_slopes(const struct credit_io *io)
{
    struct pool pool;
    int rc = begin(io, &pool);
    for (int64_t i = 0;
         rc == 0 && pool.output.from != NULL && pool.input.to != NULL && i < pool.planes;
         i++) {
        carry_plane(
            &pool, pool.output.from + i * pool.n_out, pool.input.to + i * pool.n_in);
    }
    finish(&pool);
    return rc;
}

static int sum_value(const struct credit_io *io)
{
    struct pool pool;
    int rc = begin(io, &pool);
    if (rc == 0 && pool.output.from != NULL) {
        rc = pool.output.now == NULL || pool.input.now == NULL ? BARO_ENOENT : 0;
    }
    if (rc == 0 && pool.output.from != NULL && pool.input.to != NULL) {
        baro_autofree float *ratio = baro_xcalloc((size_t)pool.output.n, sizeof *ratio);
        baro_autofree float *back = baro_xcalloc((size_t)pool.n_in, sizeof *back);
        credit_divide(io, pool.output.now, pool.output.from, pool.output.n, ratio);
        for (int64_t i = 0; i < pool.planes; i++) {
            memset(back, 0, (size_t)pool.n_in * sizeof *back);
            carry_plane(&pool, ratio + i * pool.n_out, back);
            for (int64_t j = 0; j < pool.n_in; j++) {
                pool.input.to[i * pool.n_in + j] +=
                    back[j] * pool.input.now[i * pool.n_in + j];
            }
        }
    }
    finish(&pool);
    return rc;
}

/* An output of a plane: the weighted sum of its window. */
static float sum_window(struct pool *pool, const float *plane, int64_t o)
{
    const struct credit_taps *w = &pool->taps[2];
    const struct lines *lines = find_lines(pool, o / w->n_out);
    const int64_t ow = o % w->n_out;
    float sum = 0;
    for (int64_t i = 0; i < lines->n; i++) {
        for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
            sum += lines->weight[i] * w->weight[k] * plane[lines->begin[i] + w->place[k]];
        }
    }
    return sum;
}

static int sum_forward(const struct credit_io *io)
{
    struct pool pool;
    int rc = begin(io, &pool);
    const bool has_work =
        rc == 0 && io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    for (int64_t i = 0; has_work && i < pool.output.n; i++) {
        io->tangent_out[0][i] += sum_window(
            &pool, io->tangent_in[0] + i / pool.n_out * pool.n_in, i % pool.n_out);
    }
    finish(&pool);
    return rc;
}

/* The place of the largest element of an output's window; a NaN counts as the largest. */
static int64_t find_winner(struct pool *pool, const float *plane, int64_t o)
{
    const struct credit_taps *w = &pool->taps[2];
    const struct lines *lines = find_lines(pool, o / w->n_out);
    const int64_t ow = o % w->n_out;
    int64_t best = -1;
    for (int64_t i = 0; i < lines->n; i++) {
        for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
            const int64_t at = lines->begin[i] + w->place[k];
            if (best < 0 || !(plane[at] <= plane[best])) {
                best = best >= 0 && isnan(plane[best]) ? best : at;
            }
        }
    }
    return best;
}

/* Max pooling in all modes: the slope of the winner is 1. */
static int max_any(const struct credit_io *io)
{
    struct pool pool;
    int rc = begin(io, &pool);
    if (rc == 0 && pool.input.now == NULL) {
        rc = BARO_ENOENT;
    }
    const bool has_work = rc == 0 && pool.output.from != NULL && pool.input.to != NULL;
    for (int64_t i = 0; has_work && i < pool.output.n; i++) {
        const int64_t plane = i / pool.n_out * pool.n_in;
        const double from = (double)pool.output.from[i];
        if (from == 0) {
            continue;
        }
        const float *now = pool.input.now + plane;
        const float *before = pool.input.before + plane;
        const int64_t winner = find_winner(&pool, now, i % pool.n_out);
        const int64_t other =
            now == before ? winner : find_winner(&pool, before, i % pool.n_out);
        if (winner < 0 || other < 0) {
            continue;
        }
        double slopes[2] = {1, 0};
        if (winner != other) {
            credit_choice((double[]){(double)before[winner], (double)now[winner]},
                (double[]){(double)before[other], (double)now[other]}, slopes);
        }
        pool.input.to[plane + winner] += (float)(from * slopes[0]);
        pool.input.to[plane + other] += (float)(from * slopes[1]);
    }
    finish(&pool);
    return rc;
}

static int max_forward(const struct credit_io *io)
{
    struct pool pool;
    int rc = begin(io, &pool);
    if (rc == 0 && pool.input.now == NULL) {
        rc = BARO_ENOENT;
    }
    const bool has_work =
        rc == 0 && io->tangent_in[0] != NULL && io->tangent_out[0] != NULL;
    for (int64_t i = 0; has_work && i < pool.output.n; i++) {
        const int64_t plane = i / pool.n_out * pool.n_in;
        const int64_t winner = find_winner(&pool, pool.input.now + plane, i % pool.n_out);
        if (winner >= 0) {
            io->tangent_out[0][i] += io->tangent_in[0][plane + winner];
        }
    }
    finish(&pool);
    return rc;
}

const struct credit_rule credit_rules_pool[] = {
    {"avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d mkldnn_adaptive_avg_pool2d "
     "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d "
     "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
     "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
     "upsample_trilinear3d upsample_bicubic2d reflection_pad1d reflection_pad2d "
     "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d",
        sum_value, sum_slopes, sum_slopes, sum_forward},
    {"max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices "
     "max_pool1d_with_indices mkldnn_max_pool2d mkldnn_max_pool3d adaptive_max_pool1d "
     "adaptive_max_pool2d adaptive_max_pool3d",
        max_any, max_any, max_any, max_forward},
    {0},
};
