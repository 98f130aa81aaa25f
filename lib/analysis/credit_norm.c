/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"

/*
 * Normalisations: y = scale * h + shift with h = r (x - mu), r = 1 / sqrt(var + eps). Elements are
 * normalised in groups: a channel over the batch (batch norm), a sample (layer norm), some channels
 * of a sample (group norm). RMS norm has mu = 0. Where scale and shift lie differs, nothing else.
 *
 * Value mode, statistics frozen. Batch norm: the input gets scale r x / y of a share, "shift -
 * scale r mu" is CREDIT_OWN_SHIFT (eps rule). The others: identity rule (AttnLRP), so the input
 * element gets all but what the added shift has, which is CREDIT_OWN_SHIFT.
 *
 * Change mode, exact. With the mean of both sides written with a bar, c = x - mu, M elements in a
 * group, m what is known of an output and u = m bar(scale):
 *
 *   dy      = bar(scale) dh + bar(h) dscale + dshift
 *   dh      = bar(r) (dx - dmu) + bar(c) dr
 *   dr      = s dvar,   s = -(r0 r1)^2 / (r0 + r1), the secant slope of 1 / sqrt
 *   dvar    = 1/M sum 2 bar(c) dx,   since bar(c) sums to 0
 *   so x_e gets  bar(r) (u_e - 1/M sum u) + 2 s bar(c_e) / M sum u bar(c)
 *
 * and with both sides equal that is the gradient. Where samples of a group were not kept, mu and r
 * are those that the operation recorded, and what the missing samples did through them is left over
 * (the core makes it CREDIT_OWN_REST; of a gradient it is not known, but how large it is where they are
 * like those that were kept: io->gap). With running statistics (batch norm while evaluating) mu and
 * r are operands of their own.
 *
 * Worked: x = (1, 3), eps 0: mu 2, r 1, y = (-1, 1). A gradient of (1, 0) at y gives
 * x: 1 (1 - 1/2) + 2 (-1/2) (-1) / 2 (-1) = 0 and 0 as well: two elements always become -1 and 1.
 */

enum norm_kind { NORM_BATCH, NORM_LAYER, NORM_GROUP, NORM_RMS };

static const double least_sd = 1e-4; /* under it a normalisation is called singular */

/* Mean and 1 / deviation of a group, before [0] and now [1]. */
struct moments {
    double mean[2];
    double r[2];
};

struct norm {
    enum norm_kind kind;
    struct credit_sides input, scale, shift, output;
    struct credit_sides mean, r;           /* recorded; now == NULL: not there */
    struct credit_sides run_mean, run_var; /* batch norm's running statistics */
    bool is_running;                       /* it uses them */
    bool is_partial;                       /* samples of a group are missing */
    double eps;
    double n_full; /* elements of a group as it was */
    int64_t n_groups;
    int64_t n_runs; /* elements of a group: n_runs runs of n_run, run_step apart */
    int64_t n_run;
    int64_t run_step;
    int64_t group_step;
    int64_t scales;    /* how many scales there are */
    int64_t scale_run; /* elements that lie side by side and have one scale */
    /* Of an instance norm, whose channels are those of all samples: the samples that were kept and
     * how many channels each has. NULL: scales lie as the channels do. */
    const int64_t *rows;
    int64_t each;
};

/* Where in scale and shift an element's are: a channel for batch and group, a place for layer. */
static int64_t scale_of(const struct norm *norm, int64_t element)
{
    const int64_t run = norm->scale_run == 1 ? element : element / norm->scale_run;
    const int64_t k = run % norm->scales;
    return norm->rows != NULL ? norm->rows[k / norm->each] * norm->each + k % norm->each
                              : k;
}

static double number_or(const float *x, int64_t i, double otherwise)
{
    return x != NULL ? (double)x[i] : otherwise;
}

/* The i-th element of a group. */
static int64_t element_of(const struct norm *norm, int64_t group, int64_t i)
{
    const int64_t begin = group * norm->group_step;
    return norm->n_runs == 1 ? begin + i
                             : begin + i / norm->n_run * norm->run_step + i % norm->n_run;
}

/* The mean of both sides of an element's scale. */
static double scale_between(const struct norm *norm, int64_t element)
{
    const int64_t k = scale_of(norm, element);
    return 0.5 * number_or(norm->scale.now, k, 1) +
           0.5 * number_or(norm->scale.before, k, 1);
}

static enum norm_kind kind_of(const struct credit_io *io)
{
    const char *name = io->op->name;
    return strstr(name, "batch") != NULL   ? NORM_BATCH
           : strstr(name, "group") != NULL ? NORM_GROUP
           : strstr(name, "rms") != NULL   ? NORM_RMS
                                           : NORM_LAYER;
}

/* Groups of batch norm are channels: runs of places, a sample apart. */
static int shape_batch(struct norm *norm)
{
    const struct credit_array *x = norm->input.array;
    if (x->n_dims < 2) {
        return BARO_EUNSUPPORTED;
    }
    norm->n_groups = x->shape[1];
    norm->n_runs = x->shape[0];
    norm->n_run = x->n / (x->shape[0] * x->shape[1]);
    norm->run_step = norm->n_groups * norm->n_run;
    norm->group_step = norm->n_run;
    norm->scales = norm->n_groups;
    norm->scale_run = norm->n_run;
    norm->n_full = (double)credit_full_count(x) / (double)x->value->shape[1];
    return 0;
}

/* The others have groups that lie in one piece. */
static int shape_pieces(const struct credit_io *io, struct norm *norm)
{
    const struct credit_array *x = norm->input.array;
    if (norm->kind == NORM_GROUP) {
        const int64_t groups = credit_attr_int(io, "group", 0, 0);
        if (x->n_dims < 2 || groups <= 0 || x->shape[1] % groups != 0) {
            return BARO_EUNSUPPORTED;
        }
        norm->scales = x->shape[1];
        norm->scale_run = x->n / (x->shape[0] * x->shape[1]);
        norm->n_run = x->shape[1] / groups * norm->scale_run;
    } else {
        const int n_axes = probe_attr_count(io->op, "normalized_shape");
        norm->n_run = 1;
        for (int i = 0; i < n_axes && i < x->n_dims; i++) {
            norm->n_run *= x->shape[x->n_dims - 1 - i];
        }
        norm->scales = norm->n_run;
        norm->scale_run = 1;
    }
    norm->n_runs = 1;
    norm->n_groups = x->n / norm->n_run;
    norm->group_step = norm->n_run;
    norm->n_full = (double)norm->n_run;
    return 0;
}

/* Take a batch norm's running statistics, which are inputs 3 and 4 where it has them. */
static int take_running(const struct credit_io *io, struct norm *norm)
{
    const bool trains = strstr(io->op->name, "no_training") == NULL &&
                        credit_attr_int(io, "training", 0, 1) != 0;
    norm->is_running = !trains;
    int rc = trains ? 0 : credit_input(io, 3, &norm->run_mean);
    rc = trains || rc != 0 ? rc : credit_input(io, 4, &norm->run_var);
    const bool is_there = norm->run_mean.now != NULL && norm->run_var.now != NULL;
    return rc == 0 && !trains && !is_there ? BARO_ENOENT : rc;
}

/* Recorded statistics count only where there is one for each group. */
static int take_recorded(const struct credit_io *io, struct norm *norm)
{
    int rc = credit_output(io, norm->kind == NORM_RMS ? 1 : 2, &norm->r);
    rc = rc == 0 && norm->kind != NORM_RMS ? credit_output(io, 1, &norm->mean) : rc;
    if (norm->r.n != norm->n_groups) {
        norm->r.now = NULL;
    }
    if (norm->mean.n != norm->n_groups) {
        norm->mean.now = NULL;
    }
    return rc;
}

/* One scale for each channel or place, or, of an instance norm, for those of all samples. */
static int check_scales(const struct credit_io *io, struct norm *norm)
{
    const struct credit_sides *both[] = {&norm->scale, &norm->shift};
    const int64_t *full = norm->input.array->value->shape;
    for (int i = 0; i < 2; i++) {
        if (both[i]->now == NULL || both[i]->n == norm->scales) {
            continue;
        }
        const int64_t n_rows = io->probe != NULL ? (int64_t)io->probe->n_rows : 0;
        const int64_t n_batch = io->probe != NULL ? io->probe->n_batch : 0;
        if (norm->kind != NORM_BATCH || both[i]->n != full[1] || n_batch <= 0 ||
            full[1] % n_batch != 0 || norm->scales % (full[1] / n_batch) != 0 ||
            norm->scales / (full[1] / n_batch) > n_rows) {
            return BARO_EUNSUPPORTED;
        }
        norm->rows = io->probe->rows;
        norm->each = full[1] / n_batch;
    }
    return 0;
}

static int begin(const struct credit_io *io, struct norm *norm)
{
    *norm = (struct norm){.kind = kind_of(io)};
    int rc = credit_input(io, 0, &norm->input);
    rc = rc == 0 ? credit_input(io, 1, &norm->scale) : rc;
    rc = rc == 0 && norm->kind != NORM_RMS ? credit_input(io, 2, &norm->shift) : rc;
    rc = rc == 0 ? credit_output(io, 0, &norm->output) : rc;
    if (rc == 0 && (norm->input.now == NULL || norm->output.array == NULL)) {
        rc = BARO_ENOENT;
    }
    if (rc == 0 && (norm->input.n == 0 || norm->output.n != norm->input.n)) {
        rc = BARO_EUNSUPPORTED;
    }
    if (rc == 0) {
        rc = norm->kind == NORM_BATCH ? shape_batch(norm) : shape_pieces(io, norm);
    }
    if (rc == 0 && norm->kind == NORM_BATCH) {
        rc = take_running(io, norm);
    }
    if (rc == 0) {
        rc = take_recorded(io, norm);
    }
    if (rc != 0) {
        return rc;
    }
    norm->is_partial = norm->n_full != (double)(norm->n_runs * norm->n_run);
    const double usual = norm->kind == NORM_RMS ? (double)FLT_EPSILON : 1e-5;
    norm->eps = credit_attr(io, "eps", 0, credit_attr(io, "epsilon", 0, usual));
    return check_scales(io, norm);
}

/* Mean and deviation from the elements themselves, in f64. */
static void compute_moments(
    const struct norm *norm, const float *x, int64_t group, double *mean, double *r)
{
    const float *at = x + group * norm->group_step;
    double sum = 0;
    for (int64_t i = 0; i < norm->n_runs && norm->kind != NORM_RMS; i++) {
        for (int64_t j = 0; j < norm->n_run; j++) {
            sum += (double)at[i * norm->run_step + j];
        }
    }
    *mean = sum / norm->n_full;
    double squares = 0;
    for (int64_t i = 0; i < norm->n_runs; i++) {
        for (int64_t j = 0; j < norm->n_run; j++) {
            const double c = (double)at[i * norm->run_step + j] - *mean;
            squares += c * c;
        }
    }
    *r = 1 / sqrt(squares / norm->n_full + norm->eps);
}

static int find_moments(const struct norm *norm, int64_t group, struct moments *out)
{
    for (int side = 0; side < 2; side++) {
        const bool is_now = side == 1;
        if (norm->is_running) {
            const float *mean = is_now ? norm->run_mean.now : norm->run_mean.before;
            const float *var = is_now ? norm->run_var.now : norm->run_var.before;
            out->mean[side] = (double)mean[group];
            out->r[side] = 1 / sqrt((double)var[group] + norm->eps);
        } else if (!norm->is_partial) {
            compute_moments(norm, is_now ? norm->input.now : norm->input.before, group,
                &out->mean[side], &out->r[side]);
        } else if (norm->r.now != NULL && norm->mean.now != NULL) {
            out->mean[side] = (double)(is_now ? norm->mean.now : norm->mean.before)[group];
            out->r[side] = (double)(is_now ? norm->r.now : norm->r.before)[group];
        } else {
            return BARO_ENOENT;
        }
    }
    return 0;
}

/* What a share's part is, for the input and for the shift, of an output y. */
static void value_parts(const struct norm *norm, const struct moments *m, int64_t e,
    double *out_input, double *out_shift)
{
    const int64_t k = scale_of(norm, e);
    const double scale = number_or(norm->scale.now, k, 1) * m->r[1];
    const double shift = number_or(norm->shift.now, k, 0);
    const double x = (double)norm->input.now[e];
    const bool is_batch = norm->kind == NORM_BATCH;
    *out_input = scale * (is_batch ? x : x - m->mean[1]);
    *out_shift = is_batch ? shift - scale * m->mean[1] : shift;
}

/* Sums of sizes, for the elasticity of a group. */
struct sizes {
    double input;
    double output;
};

static void value_element(const struct credit_io *io, const struct norm *norm,
    const struct moments *m, int64_t e, double eps, struct sizes *sizes)
{
    double input = 0;
    double shift = 0;
    value_parts(norm, m, e, &input, &shift);
    const double share = (double)norm->output.from[e];
    const double y = input + shift;
    const double ratio = credit_ratio(share, y, eps);
    if (norm->input.to != NULL) {
        norm->input.to[e] += (float)(ratio * input);
    }
    io->own[CREDIT_OWN_SHIFT] += ratio * shift;
    io->own[isfinite(y) ? CREDIT_OWN_ROUND : CREDIT_OWN_UNKNOWN] +=
        isfinite(y) ? share - ratio * y : share;
    sizes->input += fabs(input);
    sizes->output += fabs(y);
}

static int norm_value(const struct credit_io *io)
{
    struct norm norm;
    int rc = begin(io, &norm);
    if (rc != 0 || norm.output.from == NULL) {
        return rc;
    }
    if (norm.output.now == NULL) {
        return BARO_ENOENT;
    }
    const double eps = credit_eps(norm.output.now, norm.output.from, norm.output.n);
    for (int64_t group = 0; group < norm.n_groups; group++) {
        struct moments m;
        struct sizes sizes = {0};
        rc = find_moments(&norm, group, &m);
        if (rc != 0) {
            return rc;
        }
        for (int64_t i = 0; i < norm.n_runs * norm.n_run; i++) {
            const int64_t e =
                group * norm.group_step + i / norm.n_run * norm.run_step + i % norm.n_run;
            value_element(io, &norm, &m, e, eps, &sizes);
        }
        if (!(m.r[1] * least_sd < 1)) {
            credit_mark_singular(io);
        }
        if (sizes.output > 0) {
            credit_raise(io, sizes.input / sizes.output);
        }
    }
    return 0;
}

/* Sums over a group of u = m bar(scale), alone and with bar(c), and of their squares. */
struct sums {
    double u;
    double u_c;
    double u_2;
    double u_c_2;
    double c_2;
};

/* Sum up, and give scale and shift what is theirs. */
static struct sums sum_group(
    const struct norm *norm, const struct moments *m, int64_t group)
{
    struct sums sums = {0};
    for (int64_t i = 0; i < norm->n_runs * norm->n_run; i++) {
        const int64_t e = element_of(norm, group, i);
        const int64_t k = scale_of(norm, e);
        const double from = (double)norm->output.from[e];
        const double c1 = (double)norm->input.now[e] - m->mean[1];
        const double c0 = (double)norm->input.before[e] - m->mean[0];
        const double u =
            from * 0.5 *
            (number_or(norm->scale.now, k, 1) + number_or(norm->scale.before, k, 1));
        sums.u += u;
        const double c = 0.5 * (c0 + c1);
        sums.u_c += u * c;
        sums.u_2 += u * u;
        sums.u_c_2 += u * c * u * c;
        sums.c_2 += c * c;
        if (norm->scale.to != NULL) {
            norm->scale.to[k] += (float)(from * 0.5 * (m->r[0] * c0 + m->r[1] * c1));
        }
        if (norm->shift.to != NULL) {
            norm->shift.to[k] += (float)from;
        }
    }
    return sums;
}

/* Through which slopes mean and variance of a group reach its elements. */
struct paths {
    double direct; /* bar(r) */
    double mean;   /* the same for all elements */
    double var;    /* times bar(c) */
};

static struct paths find_paths(
    const struct norm *norm, const struct moments *m, const struct sums *sums)
{
    const double r = m->r[0] * m->r[1];
    const double secant = -r * r / (m->r[0] + m->r[1]);
    struct paths paths = {.direct = 0.5 * (m->r[0] + m->r[1])};
    if (!norm->is_running) {
        paths.var = 2 * secant * sums->u_c / norm->n_full;
        paths.mean = norm->kind == NORM_RMS ? 0 : -paths.direct * sums->u / norm->n_full;
    }
    return paths;
}

/* Give each element its slope. */
static void spread_group(const struct norm *norm, const struct moments *m,
    const struct paths *paths, int64_t group)
{
    for (int64_t i = 0; norm->input.to != NULL && i < norm->n_runs * norm->n_run; i++) {
        const int64_t e = element_of(norm, group, i);
        const double c = 0.5 * ((double)norm->input.now[e] - m->mean[1] +
                                   (double)norm->input.before[e] - m->mean[0]);
        const double u = (double)norm->output.from[e] * scale_between(norm, e);
        norm->input.to[e] += (float)(paths->direct * u + paths->mean + paths->var * c);
    }
}

/* How large a sum over n_rest more elements may be that are like n others of which the sum and the
 * sum of squares are known. */
static double size_of_rest(double sum, double squares, double n, double n_rest)
{
    const double mean = sum / n;
    const double spread = fmax(squares / n - mean * mean, 0);
    return sqrt(n_rest * spread + n_rest * n_rest * mean * mean);
}

/* What the samples that were not kept would have sent through mean and variance of a group, and all
 * that was given to it: squares, added up over the groups. */
struct gap {
    double missed;
    double given;
};

static void add_gap(const struct norm *norm, const struct moments *m,
    const struct sums *sums, const struct paths *paths, struct gap *gap)
{
    const double n = (double)(norm->n_runs * norm->n_run);
    const double n_rest = norm->n_full - n;
    const double by_mean =
        norm->kind == NORM_RMS
            ? 0
            : paths->direct * size_of_rest(sums->u, sums->u_2, n, n_rest) / norm->n_full;
    const double by_var = m->r[1] * m->r[1] * m->r[1] *
                          size_of_rest(sums->u_c, sums->u_c_2, n, n_rest) / norm->n_full;
    gap->missed += n * by_mean * by_mean + by_var * by_var * sums->c_2;
    gap->given += paths->direct * paths->direct * sums->u_2;
}

/* Running statistics as operands: what they did goes to them, or is seen here. */
static void give_running(const struct credit_io *io, const struct norm *norm,
    const struct moments *m, const struct sums *sums, int64_t group)
{
    const double r = m->r[0] * m->r[1];
    const double of_mean = -0.5 * (m->r[0] + m->r[1]) * sums->u;
    const double of_var = -r * r / (m->r[0] + m->r[1]) * sums->u_c;
    if (norm->run_mean.to != NULL) {
        norm->run_mean.to[group] += (float)of_mean;
    } else {
        io->own[CREDIT_OWN_SHIFT] += of_mean * (m->mean[1] - m->mean[0]);
    }
    if (norm->run_var.to != NULL) {
        norm->run_var.to[group] += (float)of_var;
    } else {
        io->own[CREDIT_OWN_SCALE] += sums->u_c * (m->r[1] - m->r[0]);
    }
}

static int norm_slopes(const struct credit_io *io)
{
    struct norm norm;
    int rc = begin(io, &norm);
    if (rc != 0 || norm.output.from == NULL) {
        return rc;
    }
    struct gap gap = {0};
    for (int64_t group = 0; group < norm.n_groups; group++) {
        struct moments m;
        rc = find_moments(&norm, group, &m);
        if (rc != 0) {
            return rc;
        }
        const struct sums sums = sum_group(&norm, &m, group);
        const struct paths paths = find_paths(&norm, &m, &sums);
        if (norm.is_partial && !norm.is_running) {
            add_gap(&norm, &m, &sums, &paths, &gap);
        }
        spread_group(&norm, &m, &paths, group);
        if (norm.is_running) {
            give_running(io, &norm, &m, &sums, group);
        }
        if (!(m.r[1] * least_sd < 1)) {
            credit_mark_singular(io);
        }
    }
    if (io->mode == CREDIT_GRADIENT && gap.given > 0) {
        *io->gap = fmax(*io->gap, sqrt(gap.missed / gap.given));
    }
    return 0;
}

/* Tangents of mean and 1 / deviation of a group. */
static void forward_moments(const struct norm *norm, const struct moments *m,
    const struct credit_io *io, int64_t group, double *out_mean, double *out_r)
{
    const double cube = m->r[1] * m->r[1] * m->r[1];
    const float *x = io->tangent_in[0];
    *out_mean = 0;
    *out_r = 0;
    if (norm->is_running) {
        *out_mean = number_or(io->tangent_in[3], group, 0);
        *out_r = -0.5 * cube * number_or(io->tangent_in[4], group, 0);
        return;
    }
    for (int64_t i = 0; x != NULL && i < norm->n_runs * norm->n_run; i++) {
        const int64_t e = element_of(norm, group, i);
        *out_mean += norm->kind == NORM_RMS ? 0 : (double)x[e] / norm->n_full;
        *out_r -=
            cube * ((double)norm->input.now[e] - m->mean[1]) * (double)x[e] / norm->n_full;
    }
}

static int norm_forward(const struct credit_io *io)
{
    struct norm norm;
    int rc = begin(io, &norm);
    for (int64_t group = 0; rc == 0 && io->tangent_out[0] != NULL && group < norm.n_groups;
         group++) {
        struct moments m;
        rc = find_moments(&norm, group, &m);
        if (rc != 0) {
            break;
        }
        double d_mean = 0;
        double d_r = 0;
        forward_moments(&norm, &m, io, group, &d_mean, &d_r);
        for (int64_t i = 0; i < norm.n_runs * norm.n_run; i++) {
            const int64_t e = element_of(&norm, group, i);
            const int64_t k = scale_of(&norm, e);
            const double c = (double)norm.input.now[e] - m.mean[1];
            const double d_x = number_or(io->tangent_in[0], e, 0);
            const double d_h = m.r[1] * (d_x - d_mean) + c * d_r;
            double d_y = scale_between(&norm, e) * d_h;
            d_y += norm.scale.now != NULL ? m.r[1] * c * number_or(io->tangent_in[1], k, 0)
                                          : 0;
            d_y += norm.shift.now != NULL ? number_or(io->tangent_in[2], k, 0) : 0;
            io->tangent_out[0][e] += (float)d_y;
        }
    }
    return rc;
}

const struct credit_rule credit_rules_norm[] = {
    {"native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit "
     "_native_batch_norm_legit_functional _native_batch_norm_legit_no_training "
     "_batch_norm_with_update _batch_norm_with_update_functional native_layer_norm "
     "native_group_norm _fused_rms_norm",
        norm_value, norm_slopes, norm_slopes, norm_forward, .only_weighs = true},
    {0},
};
