/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_move.h"
#include "lib/analysis/credit_op.h"
#include "lib/analysis/credit_pick.h"
#include "lib/base/mem.h"

/*
 * Rules of operations that move, choose, write or make elements. Moves are their own rule in all
 * modes; what is made from nothing keeps its share.
 */

static int back(const struct credit_io *io)
{
    return credit_move(io, false);
}

static int forward(const struct credit_io *io)
{
    return credit_move(io, true);
}

/* What a constant adds to the inputs' elements (padding) is booked by the core as ROUND: name it. */
static int back_pad(const struct credit_io *io)
{
    const int rc = back(io);
    if (rc != 0 || io->of_out[0] == NULL || io->of_in[0] == NULL ||
        io->mode != CREDIT_VALUE) {
        return rc;
    }
    double left = 0;
    for (int64_t i = 0; i < io->out[0].n; i++) {
        left += (double)io->of_out[0][i];
    }
    for (int64_t i = 0; i < io->in[0].n; i++) {
        left -= (double)io->of_in[0][i];
    }
    io->own[CREDIT_OWN_BIAS] += left;
    return rc;
}

static bool is_float(const struct credit_array *array)
{
    return array->value != NULL && array->value->dtype <= BARO_BF16;
}

/* A change of the element type stops a gradient when one side has no fractions. */
static int gradient_same(const struct credit_io *io)
{
    return io->n_in > 0 && is_float(&io->in[0]) && is_float(&io->out[0]) ? back(io) : 0;
}

static int gradient_none(const struct credit_io *io)
{
    return 0;
}

static int forward_none(const struct credit_io *io)
{
    return 0;
}

/* Made from nothing: the share ends here. */
static int end_here(const struct credit_io *io, enum credit_own own)
{
    for (uint32_t k = 0; k < io->n_out; k++) {
        for (int64_t i = 0; io->of_out[k] != NULL && i < io->out[k].n; i++) {
            double part = (double)io->of_out[k][i];
            if (io->mode == CREDIT_CHANGE) {
                if (io->out[k].x == NULL || io->out0[k].x == NULL) {
                    return BARO_ENOENT;
                }
                part *= (double)io->out[k].x[i] - (double)io->out0[k].x[i];
            }
            io->own[own] += part;
        }
    }
    return 0;
}

static int end_constant(const struct credit_io *io)
{
    return end_here(io, CREDIT_OWN_BIAS);
}

static int end_noise(const struct credit_io *io)
{
    return end_here(io, CREDIT_OWN_NOISE);
}

/*
 * slice_scatter, select_scatter, ...: y is `self`, but what the view of that name shows of it is
 * `src` (how a trace writes down that a view was written into). The view's own moves are used, with
 * y as its input and src as its output.
 */
struct scatter {
    struct credit_io io;
    struct probe_op op;
    char name[48];
    const float *from[1];
    float *to[1];
    float *covered; /* of y: by how many elements of src */
    float *ones;
};

static void finish_scatter(struct scatter *s)
{
    free(s->covered);
    free(s->ones);
}

static int begin_scatter(const struct credit_io *io, struct scatter *s)
{
    static const char suffix[] = "_scatter";
    *s = (struct scatter){.io = *io, .op = *io->op};
    const char *end = strstr(io->op->name, suffix);
    if (end == NULL || io->n_in < 2 || io->in[0].value == NULL || io->in[1].value == NULL ||
        io->out[0].value == NULL || io->in[0].n != io->out[0].n) {
        return BARO_EUNSUPPORTED;
    }
    (void)snprintf(
        s->name, sizeof s->name, "%.*s", (int)(end - io->op->name), io->op->name);
    s->op.name = s->name;
    s->io.op = &s->op;
    s->io.n_in = 1;
    s->io.n_out = 1;
    s->io.in = &io->out[0];
    s->io.out = &io->in[1];
    s->covered = baro_xcalloc((size_t)io->out[0].n, sizeof *s->covered);
    s->ones = baro_xcalloc((size_t)io->in[1].n, sizeof *s->ones);
    for (int64_t i = 0; i < io->in[1].n; i++) {
        s->ones[i] = 1;
    }
    s->from[0] = s->ones;
    s->to[0] = s->covered;
    s->io.of_out = s->from;
    s->io.of_in = s->to;
    const int rc = credit_move(&s->io, false);
    if (rc != 0) {
        finish_scatter(s);
    }
    return rc;
}

static int back_scatter(const struct credit_io *io)
{
    struct scatter s;
    int rc = begin_scatter(io, &s);
    if (rc != 0) {
        return rc;
    }
    const float *came = io->of_out[0];
    for (int64_t i = 0; came != NULL && io->of_in[0] != NULL && i < io->out[0].n; i++) {
        io->of_in[0][i] += s.covered[i] == 0 ? came[i] : 0;
    }
    s.from[0] = came;
    s.to[0] = io->of_in[1];
    s.io.tangent_in = s.from;
    s.io.tangent_out = s.to;
    rc = credit_move(&s.io, true);
    finish_scatter(&s);
    return rc;
}

static int forward_scatter(const struct credit_io *io)
{
    struct scatter s;
    int rc = begin_scatter(io, &s);
    if (rc != 0) {
        return rc;
    }
    const float *kept = io->tangent_in[0];
    float *to = io->tangent_out[0];
    for (int64_t i = 0; kept != NULL && to != NULL && i < io->out[0].n; i++) {
        to[i] += s.covered[i] == 0 ? kept[i] : 0;
    }
    s.from[0] = io->tangent_in[1];
    s.to[0] = to;
    rc = credit_move(&s.io, false);
    finish_scatter(&s);
    return rc;
}

const struct credit_rule credit_rules_shape[] = {
    {.names =
            "view reshape _unsafe_view view_as reshape_as flatten unflatten ravel squeeze "
            "unsqueeze clone contiguous alias lift lift_fresh lift_fresh_copy _reshape_alias "
            "view_copy _to_copy to type_as float double half",
        .value = back,
        .gradient = gradient_same,
        .change = back,
        .forward = forward,
        .sees_bad = true,
        .is_route = true},
    {.names =
            "t transpose permute swapaxes swapdims numpy_T mT expand expand_as broadcast_to "
            "slice narrow select unbind split split_with_sizes unsafe_split "
            "unsafe_split_with_sizes chunk unsafe_chunk cat concat concatenate stack flip roll "
            "repeat tile unfold tril triu as_strided diagonal pixel_shuffle",
        .value = back,
        .gradient = back,
        .forward = forward,
        .sees_bad = true,
        .is_route = true},
    {.names = "copy",
        .value = back,
        .gradient = back,
        .forward = forward,
        .sees_bad = true},
    {.names = "constant_pad_nd",
        .value = back_pad,
        .gradient = back,
        .forward = forward,
        .sees_bad = true},
    {.names =
            "slice_scatter select_scatter as_strided_scatter diagonal_scatter view_scatter "
            "t_scatter transpose_scatter permute_scatter expand_scatter unbind_scatter "
            "squeeze_scatter unsqueeze_scatter narrow_scatter alias_scatter detach_scatter "
            "split_scatter unfold_scatter _unsafe_view_scatter reshape_scatter",
        .value = back_scatter,
        .gradient = back_scatter,
        .forward = forward_scatter,
        .sees_bad = true},
    {.names = "detach",
        .value = back,
        .gradient = gradient_none,
        .change = back,
        .forward = forward,
        .sees_bad = true,
        .is_route = true},
    {.names = "embedding gather index index_select masked_select take take_along_dim",
        .value = credit_pick_value,
        .gradient = credit_pick_gradient,
        .change = credit_pick_change,
        .forward = credit_pick_forward,
        .sees_bad = true},
    {.names = "index_put _unsafe_index_put _index_put_impl scatter scatter_add index_copy "
              "index_add index_fill",
        .value = credit_put_back,
        .gradient = credit_put_back,
        .change = credit_put_change,
        .forward = credit_put_forward,
        .sees_bad = true},
    {.names =
            "zeros ones empty full zeros_like ones_like empty_like full_like new_zeros new_ones "
            "new_empty new_full fill zero scalar_tensor arange linspace eye empty_strided "
            "new_empty_strided",
        .value = end_constant,
        .gradient = gradient_none,
        .change = end_constant,
        .forward = forward_none,
        .sees_bad = true},
    {.names =
            "rand randn rand_like randn_like normal bernoulli uniform randint randint_like "
            "randperm multinomial poisson exponential cauchy log_normal geometric random",
        .value = end_noise,
        .gradient = gradient_none,
        .change = end_noise,
        .forward = forward_none,
        .sees_bad = true},
    {0},
};
