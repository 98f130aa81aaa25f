/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/view/oracle_inside.h"

/* What the oracle finds when it is asked for a choice of units. */

/* A finding's frames, made by hand: each so many units, the others belong to the one before. */
struct hand_made {
    uint32_t shown[ORACLE_UNITS], members[ORACLE_UNITS];
    uint8_t reasons[ORACLE_UNITS];
    uint16_t nearest[ORACLE_UNITS];
    struct wire_column *columns;
    uint8_t *density;
};

static void make_lines(const struct oracle *oracle, Baro__SampleFinding *finding,
    const struct column_cut *range, struct hand_made *out)
{
    uint32_t every = oracle->every > 0 ? oracle->every : 1;
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.thing = oracle->asked.thing;
    ref.kind = READING_UNITS;
    ref.stat = oracle->asked.stat;
    out->columns =
        baro_xcalloc((size_t)ORACLE_UNITS * range->n_columns, sizeof *out->columns);
    for (uint32_t unit = 0; unit < ORACLE_UNITS; unit++) {
        if (unit % every == 0) {
            uint32_t place = (uint32_t)finding->n_shown++;
            struct wire_column *columns = oracle_cut(oracle, &ref, (int)unit, range);
            memcpy(out->columns + (size_t)place * range->n_columns, columns,
                range->n_columns * sizeof *columns);
            bool has_nan = false;
            for (uint32_t i = 0; i < range->n_columns; i++) {
                has_nan = has_nan || columns[i].n_nan > 0;
            }
            free(columns);
            finding->n_nonfinite += has_nan ? 1 : 0;
            out->shown[place] = unit;
            out->reasons[place] = has_nan      ? SAMPLE_NONFINITE
                                  : unit == 5  ? SAMPLE_OUTLIER
                                  : unit == 15 ? SAMPLE_ENVELOPE
                                               : SAMPLE_BLUE_NOISE;
        }
        out->nearest[unit] = (uint16_t)(finding->n_shown - 1);
        out->members[finding->n_shown - 1]++;
    }
}

/* One unit, one pixel: where its mean is in each column. */
static void make_density(Baro__SampleFinding *finding, struct hand_made *made)
{
    uint32_t w = finding->density_width;
    uint32_t h = finding->density_height;
    made->density = baro_xcalloc((size_t)w * h, 1);
    for (uint32_t line = 0; line < finding->n_shown; line++) {
        for (uint32_t i = 0; i < finding->n_columns; i++) {
            const struct wire_column *column =
                &made->columns[line * finding->n_columns + i];
            double place = (finding->hi - column->mean) / (finding->hi - finding->lo);
            if (column->count > column->n_nan && place >= 0 && place < 1) {
                uint32_t x = i * w / finding->n_columns;
                made->density[x * h + (uint32_t)(place * h)] = 128;
            }
        }
    }
}

void oracle_find(struct oracle *oracle, struct keeper *keeper, bool is_done)
{
    Baro__SampleFinding finding;
    Baro__Envelope envelope;
    struct hand_made made = {0};
    baro__sample_finding__init(&finding);
    baro__envelope__init(&envelope);
    int64_t last = oracle->n_steps - 1;
    finding.from_step = oracle->asked.from_step > 0 ? oracle->asked.from_step : 0;
    finding.to_step = oracle->asked.to_step < last ? oracle->asked.to_step : last;
    struct column_cut range =
        columns_cut(finding.from_step, finding.to_step, oracle->asked.columns);
    finding.n_lines = ORACLE_UNITS;
    finding.n_columns = range.n_columns;
    finding.is_done = is_done;
    finding.fraction = is_done ? 1 : oracle->fraction;
    finding.is_assigned = true;
    finding.axis = oracle->asked.axis;
    finding.lo = oracle->asked.has_limits ? oracle->asked.lo : 0.8;
    finding.hi = oracle->asked.has_limits ? oracle->asked.hi : 4.4;
    finding.linear_to = 1;
    finding.jaccard = 1;
    finding.n_coarse = oracle->n_coarse;
    finding.has_density = true;
    finding.density_width = 64;
    finding.density_height = 32;
    finding.serial = 1;
    make_lines(oracle, &finding, &range, &made);
    make_density(&finding, &made);
    struct keeper_frame frames[6] = {
        {(const uint8_t *)made.shown, finding.n_shown * sizeof made.shown[0]},
        {made.reasons, finding.n_shown},
        {(const uint8_t *)made.members, finding.n_shown * sizeof made.members[0]},
        {(const uint8_t *)made.nearest, sizeof made.nearest},
        {(const uint8_t *)made.columns,
            (size_t)finding.n_shown * finding.n_columns * sizeof *made.columns},
        {made.density, (size_t)64 * 32},
    };
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_FINDING;
    envelope.sample_finding = &finding;
    oracle_send(keeper, &envelope, oracle->sample_request, frames, 6);
    free(made.columns);
    free(made.density);
}

void oracle_answer_sample(
    struct oracle *oracle, struct keeper *keeper, const Baro__SampleRequest *request)
{
    oracle->n_samples++;
    oracle->sample_request = oracle->request;
    oracle->asked = (struct oracle_asked){.thing = request->thing,
        .stat = request->stat,
        .columns = request->columns,
        .height = request->height,
        .axis = request->axis,
        .n_keep = (uint32_t)request->n_keep,
        .n_always = (uint32_t)request->n_always,
        .has_limits = request->has_limits,
        .is_live = request->is_live,
        .lo = request->lo,
        .hi = request->hi,
        .from_step = request->from_step,
        .to_step = request->to_step};
    if (oracle->refuses_samples) {
        Baro__Refusal refusal;
        Baro__Envelope envelope;
        baro__refusal__init(&refusal);
        baro__envelope__init(&envelope);
        refusal.text = (char *)(uintptr_t) "this daemon does not choose units";
        envelope.body_case = BARO__ENVELOPE__BODY_REFUSAL;
        envelope.refusal = &refusal;
        oracle_send(keeper, &envelope, oracle->request, NULL, 0);
        return;
    }
    oracle_find(oracle, keeper, !(oracle->fraction > 0));
}
