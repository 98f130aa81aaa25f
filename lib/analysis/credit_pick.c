/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_pick.h"

#include <stdlib.h>

#include "lib/analysis/credit_parts.h"
#include "lib/analysis/credit_places.h"
#include "lib/base/mem.h"

/*
 * Each output element is the source's element at a place that indices say. First the places are
 * worked out, then all modes are loops over them.
 *
 *  value     the share goes to the element; of an embedding to the index, for it is the data
 *  gradient  likewise to the element; equal indices add up
 *  change    with places p now and q before the change is x1[p] - x0[q]. By Shapley's rule the
 *            source has (x1[p] - x0[p] + x1[q] - x0[q]) / 2, so half of the multiplier at either
 *            place; the indices have the rest, evenly if there are several that changed.
 *
 * Worked number (tests/unit/test_credit_rules.c repeats it): rows of a table were (1, 2), are
 * (1.5, 2); index 0 before, 1 now: 2 - 1 = 1, of it the table 0.25, the index 0.75.
 */

static int find_by_name(const struct credit_side *side, struct credit_places *places)
{
    const struct credit_io *io = side->io;
    const struct credit_array *source = &side->in[0];
    if (credit_is_named(io, "embedding")) {
        return source->n_dims == 2 ? credit_find_along(side, 0, 0, 1, false, places)
                                   : BARO_EUNSUPPORTED;
    }
    if (credit_is_named(io, "index_select")) {
        return credit_find_along(
            side, 0, credit_axis_argument(io, source), 1, false, places);
    }
    if (credit_is_named(io, "gather") || credit_is_named(io, "take_along_dim")) {
        return credit_find_along(
            side, 0, credit_axis_argument(io, source), 1, true, places);
    }
    if (credit_is_named(io, "masked_select")) {
        return credit_find_masked(side, 1, 0, places);
    }
    if (!credit_is_named(io, "index")) {
        return BARO_EUNSUPPORTED;
    }
    uint32_t mask_at = 0;
    int n_given = 0;
    for (uint32_t k = 1; k < io->n_in; k++) {
        if (credit_side_has(side, k)) {
            n_given++;
            mask_at = credit_is_mask(&side->in[k]) ? k : mask_at;
        }
    }
    if (mask_at > 0) {
        return n_given == 1 ? credit_find_masked(side, mask_at, (int)mask_at - 1, places)
                            : BARO_EUNSUPPORTED;
    }
    return credit_find_indexed(side, 1, io->n_in, side->out, places);
}

static int find(const struct credit_io *io, bool is_before, struct credit_places *places)
{
    const struct credit_side side = {.io = io,
        .probe = is_before ? io->probe0 : io->probe,
        .in = is_before ? io->in0 : io->in,
        .out = is_before ? io->out0 : io->out};
    *places = (struct credit_places){0};
    if (!credit_side_has(&side, 0) || !credit_side_has(&side, 1) ||
        side.out[0].value == NULL) {
        if (!credit_side_has(&side, 0) || io->n_in < 2 || side.out[0].value == NULL) {
            return BARO_EUNSUPPORTED;
        }
    }
    places->n = side.out[0].n;
    places->source = baro_xcalloc((size_t)places->n, sizeof *places->source);
    const int rc = find_by_name(&side, places);
    if (rc != 0) {
        credit_places_finish(places);
    }
    return rc;
}

/* Add what came to each output element to its source. */
static void add_back(
    const struct credit_places *places, const float *from, float *to, float factor)
{
    for (int64_t i = 0; i < places->n && to != NULL; i++) {
        if (places->source[i] != CREDIT_NOWHERE) {
            to[places->source[i]] += factor * from[i];
        }
    }
}

int credit_pick_value(const struct credit_io *io)
{
    struct credit_places places;
    const int rc = find(io, false, &places);
    if (rc != 0 || io->of_out[0] == NULL) {
        if (rc == 0) {
            credit_places_finish(&places);
        }
        return rc;
    }
    float *to_index = places.n_indices == 1 ? io->of_in[places.index_at[0]] : NULL;
    if (credit_is_named(io, "embedding") && to_index != NULL && !io->in[1].is_fixed) {
        for (int64_t i = 0; i < places.n; i++) {
            to_index[places.index[0][i]] += io->of_out[0][i];
        }
    } else {
        add_back(&places, io->of_out[0], io->of_in[0], 1);
    }
    credit_places_finish(&places);
    return 0;
}

/* The vector that stands for padding is not trained. */
static void skip_padding(const struct credit_io *io, struct credit_places *places)
{
    const int64_t padding = credit_attr_int(io, "padding_idx", 0, -1);
    if (!credit_is_named(io, "embedding") || padding < 0 || io->in[1].x == NULL) {
        return;
    }
    for (int64_t i = 0; i < places->n; i++) {
        const double index = (double)io->in[1].x[places->index[0][i]];
        places->source[i] = index >= (double)padding && index <= (double)padding
                                ? CREDIT_NOWHERE
                                : places->source[i];
    }
}

int credit_pick_gradient(const struct credit_io *io)
{
    struct credit_places places;
    const int rc = find(io, false, &places);
    if (rc != 0) {
        return rc;
    }
    if (io->of_out[0] != NULL) {
        skip_padding(io, &places);
        add_back(&places, io->of_out[0], io->of_in[0], 1);
    }
    credit_places_finish(&places);
    return 0;
}

int credit_pick_forward(const struct credit_io *io)
{
    struct credit_places places;
    const int rc = find(io, false, &places);
    if (rc != 0) {
        return rc;
    }
    const float *from = io->tangent_in[0];
    float *to = io->tangent_out[0];
    for (int64_t i = 0; i < places.n && from != NULL && to != NULL; i++) {
        to[i] += places.source[i] != CREDIT_NOWHERE ? from[places.source[i]] : 0;
    }
    credit_places_finish(&places);
    return 0;
}

/* What other indices did to one element goes to those that are other. */
static void change_indices(const struct credit_io *io, const struct credit_places *now,
    const struct credit_places *before, int64_t i, double effect)
{
    double changed[CREDIT_INDICES] = {0};
    int n = 0;
    for (int k = 0; k < now->n_indices; k++) {
        const uint32_t at = now->index_at[k];
        changed[k] = (double)io->in[at].x[now->index[k][i]] -
                     (double)io->in0[at].x[before->index[k][i]];
        const bool is_same = now->index[k][i] == before->index[k][i];
        changed[k] = is_same && io->of_in[at] != NULL ? changed[k] : 0;
        n += changed[k] != 0;
    }
    for (int k = 0; k < now->n_indices; k++) {
        if (changed[k] != 0) {
            io->of_in[now->index_at[k]][now->index[k][i]] +=
                (float)(effect / changed[k] / n);
        }
    }
    if (n == 0) {
        io->own[CREDIT_OWN_UNKNOWN] += effect;
    }
}

static int change(const struct credit_io *io, const struct credit_places *now,
    const struct credit_places *before)
{
    const float *x1 = io->in[0].x;
    const float *x0 = io->in0[0].x;
    if (x1 == NULL || x0 == NULL || now->n != before->n) {
        return BARO_ENOENT;
    }
    add_back(now, io->of_out[0], io->of_in[0], 0.5f);
    add_back(before, io->of_out[0], io->of_in[0], 0.5f);
    for (int64_t i = 0; i < now->n; i++) {
        const int64_t p = now->source[i];
        const int64_t q = before->source[i];
        if (p == q || p == CREDIT_NOWHERE || q == CREDIT_NOWHERE || io->of_out[0][i] == 0) {
            continue;
        }
        const double effect =
            0.5 * ((double)x1[p] - (double)x1[q] + (double)x0[p] - (double)x0[q]);
        change_indices(io, now, before, i, (double)io->of_out[0][i] * effect);
    }
    return 0;
}

int credit_pick_change(const struct credit_io *io)
{
    struct credit_places now;
    struct credit_places before;
    int rc = find(io, false, &now);
    if (rc != 0) {
        return rc;
    }
    rc = find(io, true, &before);
    if (rc == 0 && io->of_out[0] != NULL) {
        rc = change(io, &now, &before);
    }
    credit_places_finish(&before);
    credit_places_finish(&now);
    return rc;
}
