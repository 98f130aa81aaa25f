/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/robust.h"
#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"

/*
 * Which samples. The failure probe knows the bad rows of the batch, and the batch of that step which
 * samples they are; without a probe an alert may know the very sample. Then the batches before say
 * whether the same samples did no harm there: if so it is not the data alone.
 */

/* A sample's own loss so far from the others' stands out: in spreads, and times theirs. */
static const double OUT_SPREADS = 8;
static const double OUT_RATIO = 3;

/* A step's loss that far above those around, in parts of these, is no chance of its batch. */
static const double SLIGHT = 0.05;

enum { NEAR_LOSSES = 32 /* steps before and after it */ };

/* A tensor so many times as large with a sample as without it follows the sample. */
static const double FAR = 3;

static const struct why_batch *batch_at(const struct why_facts *facts, int64_t step)
{
    for (size_t i = facts->n_batches; i-- > 0;) {
        if (facts->batches[i].step == step) {
            return &facts->batches[i];
        }
    }
    return NULL;
}

static double loss_at(const struct why_work *work, int64_t step)
{
    for (size_t i = 0; work->loss != NULL && i < work->loss->n; i++) {
        if (work->loss->steps[i] == step) {
            return work->loss->values[i];
        }
    }
    return (double)NAN;
}

static void add_sample(struct why_work *work, int64_t sample, int64_t row, bool is_certain)
{
    struct why_story *story = work->story;
    for (size_t i = 0; i < story->n_samples; i++) {
        if (sample >= 0 && story->samples[i].sample == sample) {
            return;
        }
    }
    if (story->n_samples < WHY_MAX_SAMPLES) {
        story->samples[story->n_samples++] = (struct why_sample){.sample = sample,
            .row = row,
            .is_certain = is_certain,
            .last_loss = (double)NAN,
            .share = (double)NAN};
    }
}

/*
 * How many samples of the step come before those of the batch that failed: a step may take several
 * batches before its optimiser moves, and its list holds them all, in their order.
 */
static int64_t first_row_of(const struct probe *probe, const struct why_batch *batch)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < probe->n_values; i++) {
        const struct probe_value *value = &probe->values[i];
        if (value->kind == PROBE_CONSTANT && value->dtype == BARO_I64 &&
            value->kept == PROBE_KEPT_ALL && value->bytes == sizeof first &&
            strcmp(value->name, "first row") == 0) {
            memcpy(&first, value->data, sizeof first);
        }
    }
    const bool fits = batch != NULL && first > 0 && (uint64_t)first < batch->n &&
                      probe->n_batch <= (int64_t)batch->n - first;
    return fits ? first : 0;
}

static void take_from_probe(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    if (!work->found.is_there) {
        return;
    }
    const struct why_batch *batch = batch_at(work->facts, probe->step);
    const struct probe_origin *origin = &probe->origin;
    const int64_t first = first_row_of(probe, batch);
    bool is_all = probe->n_batch > 1 && (int64_t)origin->n_rows >= probe->n_batch;
    for (uint32_t i = 0; !is_all && i < origin->n_rows; i++) {
        int64_t row = origin->rows[i];
        bool is_known = batch != NULL && row >= 0 && (size_t)(first + row) < batch->n;
        add_sample(work, is_known ? batch->samples[first + row] : -1, row, true);
    }
}

/* Losses of all samples of a step, without those that have none; the caller frees. */
static struct robust *losses_of(const struct why_facts *facts, int64_t step)
{
    struct robust *losses = baro_xcalloc(1, sizeof *losses);
    for (size_t r = 0; r < facts->n_results; r++) {
        const struct why_results *results = &facts->results[r];
        for (size_t i = 0; results->step == step && i < results->n; i++) {
            if (isfinite(results->samples[i].loss)) {
                robust_push(losses, (double)results->samples[i].loss);
            }
        }
    }
    return losses;
}

/* In standard deviations of a bell. */
static double spread_of(const struct robust *losses)
{
    return ROBUST_MAD_TO_SIGMA * robust_mad(losses, robust_median(losses));
}

/* Samples whose own loss was not finite in the step while others' was; where all are, those far above
 * the others. */
static void take_from_results(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    struct robust *losses = losses_of(facts, work->story->step);
    const double usual = robust_median(losses);
    const double spread = spread_of(losses);
    free(losses);
    for (int pass = 0; pass < 2 && work->story->n_samples == 0; pass++) {
        for (size_t r = 0; r < facts->n_results; r++) {
            const struct why_results *results = &facts->results[r];
            for (size_t i = 0; results->step == work->story->step && i < results->n; i++) {
                const double loss = (double)results->samples[i].loss;
                const bool is_out = pass == 0 ? !isfinite(loss) && !isnan(usual)
                                              : loss > usual + OUT_SPREADS * spread &&
                                                    loss > OUT_RATIO * fabs(usual);
                if (is_out) {
                    add_sample(work, results->samples[i].index, -1, true);
                }
            }
        }
    }
}

static void take_from_alerts(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        if (alert->has_sample && alert->n_samples > 0) {
            add_sample(work, alert->samples[0], -1, true);
        }
    }
}

/* The worst of what is left: a batch whose samples nobody can tell apart. */
static void take_whole_batch(struct why_work *work)
{
    const struct why_batch *batch = batch_at(work->facts, work->story->step);
    for (size_t i = 0; batch != NULL && i < batch->n && i < WHY_MAX_SAMPLES; i++) {
        add_sample(work, batch->samples[i], (int64_t)i, false);
    }
}

/* Whether the first alert is of the kind that one bad batch makes. */
static bool is_about_a_batch(const struct why_work *work)
{
    static const char *const kinds[] = {
        "nonfinite", "loss_spike", "grad_explosion", "input_data"};
    const struct why_facts *facts = work->facts;
    for (size_t i = 0; i < facts->n_alerts && !work->found.is_there; i++) {
        for (size_t k = 0; !facts->alerts[i].is_before && k < BARO_LEN(kinds); k++) {
            if (strcmp(facts->alerts[i].kind, kinds[k]) == 0) {
                return true;
            }
        }
        if (!facts->alerts[i].is_before) {
            return false;
        }
    }
    return false;
}

static void look_back(const struct why_work *work, struct why_sample *sample)
{
    const struct why_facts *facts = work->facts;
    for (size_t b = 0; b < facts->n_batches && sample->sample >= 0; b++) {
        const struct why_batch *batch = &facts->batches[b];
        for (size_t i = 0; batch->step < work->story->step && i < batch->n; i++) {
            if (batch->samples[i] == sample->sample) {
                sample->n_before++;
                sample->last_step = batch->step;
                sample->last_loss = loss_at(work, batch->step);
                break;
            }
        }
    }
}

/* Its own loss, the last time it was there. */
static void look_at_own(const struct why_work *work, struct why_sample *sample)
{
    const struct why_facts *facts = work->facts;
    for (size_t r = facts->n_results; r-- > 0 && !sample->has_own;) {
        const struct why_results *results = &facts->results[r];
        for (size_t i = 0; results->step < work->story->step && i < results->n; i++) {
            if (results->samples[i].index == sample->sample &&
                !isnan(results->samples[i].loss)) {
                sample->has_own = true;
                sample->own_step = results->step;
                sample->own_loss = (double)results->samples[i].loss;
            }
        }
    }
    sample->own_usual = (double)NAN;
    if (sample->has_own) {
        struct robust *losses = losses_of(facts, sample->own_step);
        sample->own_usual = robust_median(losses);
        sample->is_own_out =
            !(sample->own_loss <= fmax(OUT_RATIO * fabs(sample->own_usual),
                                      sample->own_usual + OUT_SPREADS * spread_of(losses)));
        free(losses);
    }
}

/* Whether the loss of the last batch that held it stood out from those of the steps around. */
static void look_at_loss(const struct why_work *work, struct why_sample *sample)
{
    struct robust *losses = baro_xcalloc(1, sizeof *losses);
    for (size_t i = 0; work->loss != NULL && i < work->loss->n; i++) {
        const int64_t away = work->loss->steps[i] - sample->last_step;
        const bool is_near = away != 0 && away >= -NEAR_LOSSES && away <= NEAR_LOSSES;
        if (is_near && work->loss->steps[i] < work->story->step &&
            isfinite(work->loss->values[i])) {
            robust_push(losses, work->loss->values[i]);
        }
    }
    sample->usual_loss = robust_median(losses);
    sample->is_loss_out =
        isfinite(sample->last_loss) &&
        sample->last_loss > sample->usual_loss + OUT_SPREADS * spread_of(losses) &&
        sample->last_loss > sample->usual_loss + SLIGHT * fabs(sample->usual_loss);
    free(losses);
}

static bool holds(const struct why_batch *batch, int64_t sample)
{
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->samples[i] == sample) {
            return true;
        }
    }
    return false;
}

/* The sizes of the tensor that feeds the operation, or that was first in trouble. */
static const struct why_series *fed_series(const struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    const char *module = work->found.is_there
                             ? why_value_module(facts->failure, work->found.value)
                             : work->story->origin.module;
    for (size_t i = 0; i < facts->n_series && module[0] != '\0'; i++) {
        const struct why_series *series = &facts->series[i];
        const struct why_thing *thing = why_thing(facts, series->thing);
        char own[WHY_NAME_BYTES];
        if (!series->is_coarse && series->kind == READING_SUMMARY &&
            series->stat == SUMMARY_ABS_MAX && thing != NULL && thing->role == BARO_ACT &&
            why_is_module(why_module_of(thing, own), module)) {
            return series;
        }
    }
    return NULL;
}

/* How the tensor behaved whenever the sample was there, and when it was not. */
static void follow(const struct why_work *work, struct why_sample *sample)
{
    const struct why_series *series = fed_series(work);
    const struct why_facts *facts = work->facts;
    struct robust *without = baro_xcalloc(1, sizeof *without);
    size_t n_with = 0;
    size_t b = 0;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        while (b < facts->n_batches && facts->batches[b].step < series->steps[i]) {
            b++;
        }
        bool is_known = b < facts->n_batches &&
                        facts->batches[b].step == series->steps[i] &&
                        series->steps[i] < work->story->step && isfinite(series->values[i]);
        if (is_known && holds(&facts->batches[b], sample->sample)) {
            sample->first_step = n_with == 0 ? series->steps[i] : sample->first_step;
            sample->first = n_with == 0 ? series->values[i] : sample->first;
            sample->last = series->values[i];
            n_with++;
        } else if (is_known) {
            robust_push(without, series->values[i]);
        }
    }
    sample->without = robust_median(without);
    sample->has_course = n_with >= 2 && sample->without > 0 &&
                         fmin(sample->first, sample->last) > FAR * sample->without;
    sample->thing = series != NULL ? series->thing : 0;
    free(without);
}

static void say_sample(const struct why_work *work, struct why_sample *sample)
{
    char step[32];
    char *text = sample->text;
    if (sample->sample >= 0) {
        why_say(text, WHY_TEXT_BYTES, "sample %" PRId64, sample->sample);
    } else {
        why_say(text, WHY_TEXT_BYTES, "row %" PRId64 " of the batch", sample->row);
    }
    if (sample->sample >= 0 && sample->row >= 0) {
        why_say(text, WHY_TEXT_BYTES, " (row %" PRId64 " of the batch)", sample->row);
    }
    if (sample->n_before > 0) {
        why_say(text, WHY_TEXT_BYTES, ": in %zu earlier batch%s, last at step %s",
            sample->n_before, sample->n_before == 1 ? "" : "es",
            why_step(sample->last_step, step));
        if (!sample->has_own && isfinite(sample->last_loss)) {
            why_say(text, WHY_TEXT_BYTES, ", where the loss was %.4g", sample->last_loss);
            if (sample->is_loss_out) {
                why_say(text, WHY_TEXT_BYTES, ": above the %.4g around it, too",
                    sample->usual_loss);
            } else {
                why_say(text, WHY_TEXT_BYTES, ": harmless then");
            }
        }
    } else if (sample->sample >= 0 && work->facts->n_batches > 1) {
        why_say(text, WHY_TEXT_BYTES, ": in none of the %zu batches before that are known",
            work->facts->n_batches - 1);
    }
    if (sample->has_own) {
        why_say(text, WHY_TEXT_BYTES,
            "; at step %s its own loss was %.4g, where %.4g was usual: %s",
            why_step(sample->own_step, step), sample->own_loss, sample->own_usual,
            sample->is_own_out ? "it stood out already" : "harmless then");
    }
    if (isfinite(sample->share)) {
        why_say(
            text, WHY_TEXT_BYTES, "; it made %.0f %% of the operand", 100 * sample->share);
    }
}

void why_tell_samples(struct why_work *work)
{
    take_from_probe(work);
    if (work->story->n_samples == 0) {
        take_from_alerts(work);
    }
    if (work->story->n_samples == 0 && (work->is_nonfinite || is_about_a_batch(work))) {
        take_from_results(work);
    }
    bool is_spike = is_about_a_batch(work) && why_setting_drift(work) == NULL;
    if (work->story->n_samples == 0 && is_spike) {
        take_whole_batch(work);
    }
    for (size_t i = 0; i < work->story->n_samples; i++) {
        look_back(work, &work->story->samples[i]);
        look_at_own(work, &work->story->samples[i]);
        look_at_loss(work, &work->story->samples[i]);
        if (work->story->samples[i].is_certain && work->story->samples[i].n_before > 1) {
            follow(work, &work->story->samples[i]);
        }
        say_sample(work, &work->story->samples[i]);
    }
}
