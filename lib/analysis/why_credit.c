/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/credit.h"
#include "lib/analysis/why_inside.h"

/*
 * What made the operand, by credit assignment (credit.h): in value mode the shares of the way
 * upstream and of the samples; in change mode, where a calm probe is there, how much of what became
 * of it since came in with the data, and how much was made by changed weights. A probe that
 * cannot be explained (another graph, values that were not kept) leaves the shares unknown; the
 * story then says less, not something else.
 */

enum { SLICE_ELEMENTS = 1 << 22, MAX_SLICES = 512 };

/* Shares beyond it are of parts that cancel each other: they say nothing to a person. */
static const double MOST_SHARE = 1.5;

static bool has_row(const struct probe *probe, int64_t row)
{
    for (uint32_t i = 0; i < probe->n_rows; i++) {
        if (probe->rows[i] == row) {
            return true;
        }
    }
    return false;
}

const char *why_no_gradient(const struct probe *probe)
{
    const struct probe_value *loss =
        probe->loss != PROBE_NONE ? &probe->values[probe->loss] : NULL;
    return loss == NULL || loss->n_nan + loss->n_inf == 0
               ? ""
               : "The loss is no finite number in that step: it has no gradient to share out.";
}

struct credit_target why_credit_target(const struct probe *probe, int32_t value)
{
    const struct probe_origin *origin = &probe->origin;
    const struct probe_value *operand = &probe->values[value];
    const struct probe_value *result = &probe->values[origin->value];
    const bool is_same =
        origin->n_units > 0 && operand->unit_axis >= 0 && result->unit_axis >= 0 &&
        operand->shape[operand->unit_axis] == result->shape[result->unit_axis];
    const bool is_kept = origin->n_rows > 0 && has_row(probe, origin->rows[0]);
    return (struct credit_target){.value = value,
        .unit = is_same ? origin->units[0] : -1,
        .row = is_kept ? origin->rows[0] : -1};
}

/* Explain as far as the bound on work allows; NULL when it cannot be explained. */
static struct credit *explain(enum credit_mode mode, const struct probe *now,
    const struct probe *before, const struct credit_target *target)
{
    struct credit *credit = NULL;
    if (credit_begin(&credit, mode, now, before, target, NULL) != 0) {
        return NULL;
    }
    for (int i = 0; i < MAX_SLICES && credit_work(credit, SLICE_ELEMENTS); i++) {
    }
    return credit;
}

/* ---- value mode ---- */

/* Several hops of one value, or of none, are not told apart: the first takes it. */
static void take_shares(struct why_work *work, const struct credit_finding *finding)
{
    struct why_story *story = work->story;
    for (size_t h = 0; h < story->n_hops; h++) {
        struct why_hop *hop = &story->hops[h];
        double share = 0;
        bool is_met = false;
        for (size_t i = 0; i < finding->n_edges; i++) {
            if (finding->edges[i].value == hop->value) {
                share += finding->edges[i].share;
                is_met = true;
            }
        }
        bool is_telling = is_met && fabs(share) <= MOST_SHARE;
        hop->share = is_telling ? share : (double)NAN;
    }
    if (story->n_hops > 0 && isnan(story->hops[0].share)) {
        story->hops[0].share = 1; /* the operand itself */
    }
}

static void take_units(struct why_work *work, const struct credit_finding *finding)
{
    const struct probe *probe = work->facts->failure;
    struct why_story *story = work->story;
    for (size_t h = 0; h < story->n_hops; h++) {
        struct why_hop *hop = &story->hops[h];
        for (size_t i = 0; i < finding->n_units; i++) {
            const struct credit_source *source = &finding->units[i];
            if (source->value == hop->value && source->unit >= 0 &&
                probe->values[hop->value].unit_axis >= 0 && fabs(source->share) > 0.1 &&
                fabs(source->share) <= MOST_SHARE) {
                hop->unit = source->unit;
                hop->unit_share = source->share;
                break;
            }
        }
    }
}

static void read_value(struct why_work *work, const struct credit_target *target)
{
    struct credit *credit = explain(CREDIT_VALUE, work->facts->failure, NULL, target);
    if (credit == NULL) {
        return;
    }
    const struct credit_finding *finding = credit_look(credit);
    take_shares(work, finding);
    take_units(work, finding);
    credit_free(credit);
}

/* ---- change mode ---- */

static void read_change(struct why_work *work, const struct credit_target *target)
{
    const struct why_facts *facts = work->facts;
    struct credit *credit = explain(CREDIT_CHANGE, facts->failure, facts->calm, target);
    if (credit == NULL) {
        return;
    }
    const struct credit_finding *finding = credit_look(credit);
    double here = 0;
    double came = 0;
    for (size_t i = 0; i < finding->n_nodes; i++) {
        here += finding->nodes[i].own[CREDIT_OWN_WEIGHT];
    }
    for (size_t i = 0; i < finding->n_edges; i++) {
        const struct credit_edge *edge = &finding->edges[i];
        bool is_data = edge->to == PROBE_NONE && edge->value != PROBE_NONE &&
                       facts->failure->values[edge->value].kind == PROBE_INPUT;
        came += is_data ? edge->share : 0;
    }
    bool is_whole = isfinite(here) && isfinite(came) && fabs(finding->explained - 1) < 0.1;
    if (is_whole) {
        work->here = here;
        work->came = came;
    }
    credit_free(credit);
}

void why_read_credit(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    const struct probe *calm = work->facts->calm;
    if (!work->found.is_there || work->found.value == PROBE_NONE ||
        probe->origin.op == PROBE_NONE) {
        return;
    }
    struct credit_target target = why_credit_target(probe, work->found.value);
    read_value(work, &target);
    if (calm != NULL) {
        target.row = target.row >= 0 && has_row(calm, target.row) ? target.row : -1;
        read_change(work, &target);
    }
}
