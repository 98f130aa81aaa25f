/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"

/*
 * Operations whose results are elements of their input: largest and smallest, median, k-th value,
 * sorted and the k strongest. All goes to the element that was chosen; of equal ones, to all of
 * them evenly where the operation has no index (as torch's gradient does), else to the one at the
 * index. Change mode: where another was chosen than before, both share the change (credit_choice).
 *
 * The chosen element is found by the index where that was kept, else by its value.
 */

enum { MOST_TRIES = 1 << 26 }; /* comparisons, where the value has to be searched for */

struct choice {
    struct credit_sides input;
    struct credit_sides output;
    struct credit_sides index;
    struct credit_groups groups;  /* of the input */
    struct credit_groups results; /* of the output; only where a group has several */
    int64_t n_each;               /* results of a group */
    bool is_even;                 /* equal ones share */
};

/* One way to take elements out: several results of a group, or one, with or without index. */
static bool has_many(const struct credit_io *io)
{
    return credit_is_named(io, "sort") || credit_is_named(io, "topk");
}

static void finish(struct choice *choice)
{
    credit_groups_finish(&choice->groups);
    credit_groups_finish(&choice->results);
}

/* Which axes: given, or the last one where the operation takes that by itself. */
static int chosen_axes(const struct credit_io *io, const struct credit_array *input,
    bool is_reduced[BARO_MAX_DIMS])
{
    int rc = credit_reduced_axes(io, "dim", input, is_reduced);
    const bool is_last = probe_attr_count(io->op, "dim") == 0 &&
                         (has_many(io) || credit_is_named(io, "kthvalue"));
    for (int i = 0; is_last && i < input->n_dims; i++) {
        is_reduced[i] = i == input->n_dims - 1;
    }
    return rc;
}

static int begin(const struct credit_io *io, uint32_t which, struct choice *choice)
{
    *choice = (struct choice){.n_each = 1};
    const bool is_pair = credit_is_named(io, "aminmax");
    int rc = credit_input(io, 0, &choice->input);
    rc = rc == 0 ? credit_output(io, which, &choice->output) : rc;
    rc = rc == 0 && !is_pair ? credit_output(io, 1, &choice->index) : rc;
    if (rc != 0) {
        return rc;
    }
    if (choice->input.now == NULL || choice->output.now == NULL ||
        (io->n_in > 1 && io->in[1].value != NULL)) {
        return choice->input.now == NULL || choice->output.now == NULL ? BARO_ENOENT
                                                                       : BARO_EUNSUPPORTED;
    }
    bool is_reduced[BARO_MAX_DIMS];
    rc = chosen_axes(io, choice->input.array, is_reduced);
    rc =
        rc == 0 ? credit_groups_init(&choice->groups, choice->input.array, is_reduced) : rc;
    if (rc == 0 && has_many(io)) {
        rc = credit_groups_init(&choice->results, choice->output.array, is_reduced);
        choice->n_each = rc == 0 ? choice->results.n_each : 1;
    }
    choice->is_even = choice->index.array == NULL && !has_many(io);
    if (choice->index.now != NULL && choice->index.n != choice->output.n) {
        choice->index.now = NULL;
    }
    const double tries = (double)choice->output.n * (double)choice->groups.n_each;
    if (rc == 0 && (choice->output.n != choice->groups.n_groups * choice->n_each ||
                       (choice->index.now == NULL && tries > MOST_TRIES))) {
        rc = BARO_EUNSUPPORTED;
    }
    if (rc != 0) {
        finish(choice);
    }
    return rc;
}

static int64_t result_at(const struct choice *choice, int64_t group, int64_t k)
{
    return choice->results.bases != NULL
               ? choice->results.bases[group] + choice->results.offsets[k]
               : group;
}

static bool is_equal(float a, float b)
{
    return (a >= b && a <= b) || (isnan(a) && isnan(b));
}

/* How many results before this one of its group are equal to it. */
static int64_t count_before(
    const struct choice *choice, const float *out, int64_t group, int64_t k)
{
    int64_t n = 0;
    for (int64_t i = 0; i < k; i++) {
        n += is_equal(out[result_at(choice, group, i)], out[result_at(choice, group, k)]);
    }
    return n;
}

/* The input element that result k of a group is, before or now; -1: not kept. */
static int64_t find(const struct choice *choice, int64_t group, int64_t k, bool is_now)
{
    const struct credit_groups *g = &choice->groups;
    const float *index = is_now ? choice->index.now : choice->index.before;
    const int64_t at = result_at(choice, group, k);
    if (index != NULL) {
        const int64_t j =
            index[at] >= 0 && index[at] < (float)g->n_each ? (int64_t)index[at] : -1;
        return j >= 0 && !g->is_partial ? g->bases[group] + g->offsets[j] : -1;
    }
    const float *x = is_now ? choice->input.now : choice->input.before;
    const float *out = is_now ? choice->output.now : choice->output.before;
    int64_t skip = count_before(choice, out, group, k);
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        if (is_equal(x[e], out[at]) && skip-- == 0) {
            return e;
        }
    }
    return -1;
}

/* How many elements of a group are equal to its result, and one of them. */
static int64_t count_equal(const struct choice *choice, int64_t group)
{
    const struct credit_groups *g = &choice->groups;
    int64_t n = 0;
    for (int64_t j = 0; choice->is_even && j < g->n_each; j++) {
        n += is_equal(
            choice->input.now[g->bases[group] + g->offsets[j]], choice->output.now[group]);
    }
    return n;
}

/* Give an amount to all elements that are equal to the result of their group. */
static void give_evenly(const struct choice *choice, int64_t group, double amount)
{
    const struct credit_groups *g = &choice->groups;
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        if (is_equal(choice->input.now[e], choice->output.now[group])) {
            choice->input.to[e] += (float)amount;
        }
    }
}

static void give(const struct choice *choice, int64_t group, int64_t k, double from)
{
    const bool is_compared = choice->input.now != choice->input.before;
    const int64_t n_equal = is_compared ? 0 : count_equal(choice, group);
    if (n_equal > 1) {
        give_evenly(choice, group, from / (double)n_equal);
        return;
    }
    const int64_t now = find(choice, group, k, true);
    const int64_t before = is_compared ? find(choice, group, k, false) : now;
    if (now < 0 || before < 0) {
        return;
    }
    double slopes[2] = {1, 0};
    if (now != before) {
        const float *x0 = choice->input.before;
        const float *x1 = choice->input.now;
        credit_choice((double[]){(double)x0[now], (double)x1[now]},
            (double[]){(double)x0[before], (double)x1[before]}, slopes);
    }
    choice->input.to[now] += (float)(from * slopes[0]);
    choice->input.to[before] += (float)(from * slopes[1]);
}

/* All modes: the slope of what was chosen is 1. */
static int choice_any(const struct credit_io *io)
{
    const uint32_t n_results = credit_is_named(io, "aminmax") ? 2 : 1;
    for (uint32_t which = 0; which < n_results; which++) {
        if (which >= io->n_out || io->of_out[which] == NULL) {
            continue;
        }
        struct choice choice;
        int rc = begin(io, which, &choice);
        if (rc != 0) {
            return rc;
        }
        for (int64_t i = 0; choice.input.to != NULL && i < choice.output.n; i++) {
            const int64_t group = i / choice.n_each;
            const int64_t k = i % choice.n_each;
            const double from = (double)choice.output.from[result_at(&choice, group, k)];
            if (from != 0) {
                give(&choice, group, k, from);
            }
        }
        finish(&choice);
    }
    return 0;
}

/* The mean tangent of the elements that a result is. */
static double tangent_of(
    const struct choice *choice, const float *in, int64_t group, int64_t k)
{
    const struct credit_groups *g = &choice->groups;
    const int64_t n_equal = count_equal(choice, group);
    if (n_equal < 2) {
        const int64_t e = find(choice, group, k, true);
        return e >= 0 ? (double)in[e] : 0;
    }
    double sum = 0;
    for (int64_t j = 0; j < g->n_each; j++) {
        const int64_t e = g->bases[group] + g->offsets[j];
        sum +=
            is_equal(choice->input.now[e], choice->output.now[group]) ? (double)in[e] : 0;
    }
    return sum / (double)n_equal;
}

static int choice_forward(const struct credit_io *io)
{
    const uint32_t n_results = credit_is_named(io, "aminmax") ? 2 : 1;
    for (uint32_t which = 0; which < n_results && which < io->n_out; which++) {
        if (io->tangent_in[0] == NULL || io->tangent_out[which] == NULL) {
            continue;
        }
        struct choice choice;
        int rc = begin(io, which, &choice);
        if (rc != 0) {
            return rc;
        }
        for (int64_t i = 0; i < choice.output.n; i++) {
            const int64_t group = i / choice.n_each;
            const int64_t k = i % choice.n_each;
            io->tangent_out[which][result_at(&choice, group, k)] +=
                (float)tangent_of(&choice, io->tangent_in[0], group, k);
        }
        finish(&choice);
    }
    return 0;
}

/*
 * The place of the largest or smallest element has no slope. Value mode: its share is the chosen
 * element's. Change mode: the place went from j to i because x_i - x_j changed its sign, so both have
 * it by their part of that change.
 */
static int place_any(const struct credit_io *io)
{
    struct credit_sides input;
    struct credit_sides output;
    struct credit_groups g;
    bool is_reduced[BARO_MAX_DIMS];
    int rc = credit_input(io, 0, &input);
    rc = rc == 0 ? credit_output(io, 0, &output) : rc;
    if (rc != 0 || input.to == NULL || output.from == NULL || io->mode == CREDIT_GRADIENT) {
        return rc;
    }
    if (input.now == NULL || output.now == NULL) {
        return BARO_ENOENT;
    }
    rc = credit_reduced_axes(io, "dim", input.array, is_reduced);
    rc = rc == 0 ? credit_groups_init(&g, input.array, is_reduced) : rc;
    if (rc != 0) {
        return rc;
    }
    rc = g.is_partial || output.n != g.n_groups ? BARO_EUNSUPPORTED : 0;
    for (int64_t group = 0; rc == 0 && group < g.n_groups; group++) {
        const float place[2] = {output.before[group], output.now[group]};
        const double from = (double)output.from[group];
        if (!(place[0] >= 0 && place[1] >= 0 && place[0] < (float)g.n_each &&
                place[1] < (float)g.n_each)) {
            continue;
        }
        const int64_t j = g.bases[group] + g.offsets[(int64_t)place[0]];
        const int64_t i = g.bases[group] + g.offsets[(int64_t)place[1]];
        if (io->mode == CREDIT_VALUE) {
            input.to[i] += (float)from;
            continue;
        }
        const double turned = (double)input.now[i] - (double)input.now[j] -
                              (double)input.before[i] + (double)input.before[j];
        const double slope =
            turned != 0 ? from * (double)(place[1] - place[0]) / turned : 0;
        input.to[i] += (float)slope;
        input.to[j] -= (float)slope;
    }
    credit_groups_finish(&g);
    return rc;
}

static int place_forward(const struct credit_io *io)
{
    (void)io; /* a place does not move with its element */
    return 0;
}

const struct credit_rule credit_rules_choice[] = {
    {"amax amin max min aminmax median nanmedian kthvalue mode sort topk", choice_any,
        choice_any, choice_any, choice_forward},
    {"argmax argmin", place_any, place_any, place_any, place_forward},
    {0},
};
