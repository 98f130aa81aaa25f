/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Operations over the last 1 to 3 axes in which each output sees a window of the input: average
 * pooling, upsampling, reflecting and replicating pads (weighted sums), and max pooling (a choice).
 *
 * A weighted sum of these is one on each axis in turn: for every output place of an axis a list of
 * input places with weights (`taps`), and the weight of an input element is the product of three.
 * Averages, with all their ways to count the border, are such products as well. So one routine has
 * them all, and only the lists differ. Value mode: eps rule, z_u = w_u a_u. Gradient: w_u. Change:
 * the same, as it is linear.
 *
 * Max pooling: the winner takes all. Change mode: where the winner changed, the two share it
 * (credit_choice). The winner is found again from the input, the first of equals as torch has it,
 * because the indices are often thrown away.
 */

enum { AXES = 3, CUBIC_TAPS = 4 };

/* Weighted places of one axis: those of output o are [first[o], first[o + 1]). */
struct taps {
    int64_t n_in;
    int64_t n_out;
    int64_t *first;
    int64_t *place;
    float *weight;
};

struct pool {
    struct credit_sides input, output;
    int n_axes;
    int64_t planes; /* product of the axes in front */
    int64_t n_in;   /* elements of a plane */
    int64_t n_out;
    struct taps taps[AXES];
};

static void finish(struct pool *pool)
{
    for (int i = 0; i < AXES; i++) {
        free(pool->taps[i].first);
        free(pool->taps[i].place);
        free(pool->taps[i].weight);
    }
}

static void start_taps(struct taps *taps, int64_t most_each)
{
    taps->first = baro_xcalloc((size_t)taps->n_out + 1, sizeof *taps->first);
    taps->place = baro_xcalloc((size_t)(taps->n_out * most_each), sizeof *taps->place);
    taps->weight = baro_xcalloc((size_t)(taps->n_out * most_each), sizeof *taps->weight);
}

static void add_tap(struct taps *taps, int64_t o, int64_t place, double weight)
{
    const int64_t at = taps->first[o + 1]++;
    taps->place[at] = place;
    taps->weight[at] = (float)weight;
}

/* Places of an axis are filled in order: the next begins where this one ends. */
static void open_output(struct taps *taps, int64_t o)
{
    taps->first[o + 1] = taps->first[o];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Windows of equal length; a kernel_size of the input or more stands for one with a list of it. */
static void window_taps(const struct credit_io *io, struct taps *taps, int axis)
{
    const int64_t size = credit_attr_int(io, "kernel_size", axis, 1);
    const int64_t stride = credit_attr_int(io, "stride", axis, size);
    const int64_t padding = credit_attr_int(io, "padding", axis, 0);
    const int64_t dilation = credit_attr_int(io, "dilation", axis, 1);
    const bool counts_padding = credit_attr_int(io, "count_include_pad", 0, 1) != 0;
    const int64_t divisor = credit_attr_int(io, "divisor_override", 0, 0);
    start_taps(taps, least(size > 0 ? size : 1, taps->n_in));
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const int64_t begin = o * stride - padding;
        int64_t count = least(begin + size, taps->n_in + padding) - begin;
        const int64_t end = least(begin + size, taps->n_in);
        if (!counts_padding) {
            count = end - (begin > 0 ? begin : 0);
        }
        double weight = divisor == 0 ? 1.0 / (double)count : 1;
        weight = divisor != 0 && axis == 0 ? 1.0 / (double)divisor : weight;
        for (int64_t k = 0; k < size; k++) {
            const int64_t place = begin + k * dilation;
            if (place >= 0 && place < taps->n_in) {
                add_tap(taps, o, place, weight);
            }
        }
    }
}

static void adaptive_taps(const struct credit_io *io, struct taps *taps, int axis)
{
    (void)io;
    (void)axis;
    start_taps(taps, taps->n_in / taps->n_out + 2);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const int64_t begin = o * taps->n_in / taps->n_out;
        const int64_t end = ((o + 1) * taps->n_in + taps->n_out - 1) / taps->n_out;
        for (int64_t place = begin; place < end; place++) {
            add_tap(taps, o, place, 1.0 / (double)(end - begin));
        }
    }
}

/* How many input places one output place is, as torch takes it: a scale that was given counts. */
static double step_of(
    const struct credit_io *io, const struct taps *taps, int axis, int n_axes)
{
    static const char *const scales[] = {"scales_d", "scales_h", "scales_w"};
    double scale = credit_attr(io, "scale_factors", axis, 0);
    scale =
        credit_attr(io, n_axes == 1 ? "scales" : scales[AXES - n_axes + axis], 0, scale);
    return scale > 0 ? 1 / scale : (double)taps->n_in / (double)taps->n_out;
}

static int64_t clamp_place(int64_t place, int64_t n)
{
    return place < 0 ? 0 : least(place, n - 1);
}

static void nearest_taps(
    const struct credit_io *io, struct taps *taps, double step, double offset)
{
    (void)io;
    start_taps(taps, 1);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        /* in f32, as torch does, so that borders fall alike */
        const float at = floorf(((float)o + (float)offset) * (float)step);
        add_tap(taps, o, clamp_place((int64_t)at, taps->n_in), 1);
    }
}

/* Where an output place lies in the input, of the interpolating ones. */
static double source_place(
    const struct credit_io *io, const struct taps *taps, double step, int64_t o)
{
    if (credit_attr_int(io, "align_corners", 0, 0) != 0) {
        return taps->n_out > 1
                   ? (double)o * (double)(taps->n_in - 1) / (double)(taps->n_out - 1)
                   : 0;
    }
    return ((double)o + 0.5) * step - 0.5;
}

static void linear_taps(const struct credit_io *io, struct taps *taps, double step)
{
    start_taps(taps, 2);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        double at = source_place(io, taps, step, o);
        at = at > 0 ? at : 0;
        const int64_t left = clamp_place((int64_t)at, taps->n_in);
        const double fraction = at - (double)left;
        add_tap(taps, o, left, 1 - fraction);
        add_tap(taps, o, clamp_place(left + 1, taps->n_in), fraction);
    }
}

/* Keys' cubic with a = -0.75. */
static double cubic(double distance)
{
    const double a = -0.75;
    const double d = fabs(distance);
    return d <= 1  ? ((a + 2) * d - (a + 3)) * d * d + 1
           : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
                   : 0;
}

static void cubic_taps(const struct credit_io *io, struct taps *taps, double step)
{
    start_taps(taps, CUBIC_TAPS);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const double at = source_place(io, taps, step, o);
        const int64_t left = (int64_t)floor(at);
        for (int64_t k = left - 1; k <= left + 2; k++) {
            add_tap(taps, o, clamp_place(k, taps->n_in), cubic(at - (double)k));
        }
    }
}

static void pad_taps(const struct credit_io *io, struct taps *taps, int axis, int n_axes)
{
    const bool is_reflected = strstr(io->op->name, "reflection") != NULL;
    const int64_t front = credit_attr_int(io, "padding", 2 * (n_axes - 1 - axis), 0);
    start_taps(taps, 1);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        int64_t place = o - front;
        if (is_reflected) {
            place = place < 0 ? -place : place;
            place = place >= taps->n_in ? 2 * (taps->n_in - 1) - place : place;
        }
        add_tap(taps, o, clamp_place(place, taps->n_in), 1);
    }
}

static bool has_word(const struct credit_io *io, const char *word)
{
    return strstr(io->op->name, word) != NULL;
}

/* The operation's lists for one of its axes. */
static void fill_taps(const struct credit_io *io, struct taps *taps, int axis, int n_axes)
{
    const double step = step_of(io, taps, axis, n_axes);
    if (has_word(io, "adaptive")) {
        adaptive_taps(io, taps, axis);
    } else if (has_word(io, "pool")) {
        window_taps(io, taps, axis);
    } else if (has_word(io, "nearest")) {
        nearest_taps(io, taps, step, has_word(io, "exact") ? 0.5 : 0);
    } else if (has_word(io, "cubic")) {
        cubic_taps(io, taps, step);
    } else if (has_word(io, "linear")) {
        linear_taps(io, taps, step);
    } else {
        pad_taps(io, taps, axis, n_axes);
    }
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
        struct taps *taps = &pool->taps[i];
        const int axis = i - (AXES - pool->n_axes);
        taps->n_in = axis >= 0 ? in->shape[front + axis] : 1;
        taps->n_out = axis >= 0 ? out->shape[front + axis] : 1;
        pool->n_in *= taps->n_in;
        pool->n_out *= taps->n_out;
        if (axis >= 0) {
            fill_taps(io, taps, axis, pool->n_axes);
        } else {
            start_taps(taps, 1);
            add_tap(taps, 0, 0, 1);
        }
    }
    return 0;
}

/* Carry numbers of outputs back through the weights, added to `to`. */
static void carry_plane(const struct pool *pool, const float *from, float *to)
{
    const struct taps *d = &pool->taps[0];
    const struct taps *h = &pool->taps[1];
    const struct taps *w = &pool->taps[2];
    for (int64_t o = 0; o < pool->n_out; o++) {
        const int64_t ow = o % w->n_out;
        const int64_t oh = o / w->n_out % h->n_out;
        const int64_t od = o / (w->n_out * h->n_out);
        const int64_t n_h = h->first[oh + 1] - h->first[oh];
        const int64_t n_rows = n_h * (d->first[od + 1] - d->first[od]);
        for (int64_t row = 0; row < n_rows; row++) {
            const int64_t i = d->first[od] + row / n_h;
            const int64_t j = h->first[oh] + row % n_h;
            const float part = from[o] * d->weight[i] * h->weight[j];
            float *line = to + (d->place[i] * h->n_in + h->place[j]) * w->n_in;
            for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
                line[w->place[k]] += part * w->weight[k];
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
static float sum_window(const struct pool *pool, const float *plane, int64_t o)
{
    const struct taps *d = &pool->taps[0];
    const struct taps *h = &pool->taps[1];
    const struct taps *w = &pool->taps[2];
    const int64_t ow = o % w->n_out;
    const int64_t oh = o / w->n_out % h->n_out;
    const int64_t od = o / (w->n_out * h->n_out);
    const int64_t n_h = h->first[oh + 1] - h->first[oh];
    const int64_t n_rows = n_h * (d->first[od + 1] - d->first[od]);
    float sum = 0;
    for (int64_t row = 0; row < n_rows; row++) {
        const int64_t i = d->first[od] + row / n_h;
        const int64_t j = h->first[oh] + row % n_h;
        const float *line = plane + (d->place[i] * h->n_in + h->place[j]) * w->n_in;
        for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
            sum += d->weight[i] * h->weight[j] * w->weight[k] * line[w->place[k]];
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
static int64_t find_winner(const struct pool *pool, const float *plane, int64_t o)
{
    const struct taps *d = &pool->taps[0];
    const struct taps *h = &pool->taps[1];
    const struct taps *w = &pool->taps[2];
    const int64_t ow = o % w->n_out;
    const int64_t oh = o / w->n_out % h->n_out;
    const int64_t od = o / (w->n_out * h->n_out);
    const int64_t n_h = h->first[oh + 1] - h->first[oh];
    const int64_t n_rows = n_h * (d->first[od + 1] - d->first[od]);
    int64_t best = -1;
    for (int64_t row = 0; row < n_rows; row++) {
        const int64_t line = (d->place[d->first[od] + row / n_h] * h->n_in +
                                 h->place[h->first[oh] + row % n_h]) *
                             w->n_in;
        for (int64_t k = w->first[ow]; k < w->first[ow + 1]; k++) {
            const int64_t at = line + w->place[k];
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
        const double from = (double)pool.output.from[i];
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
