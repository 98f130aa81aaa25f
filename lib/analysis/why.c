/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/why.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/why_inside.h"
#include "lib/analysis/why_probe.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * The story in the order in which it is found: the operation (why_probe.c) or else the first alert,
 * the courses of series (why_drift.c), shares of the way (why_credit.c), samples (why_samples.c),
 * what is to blame (why_verdict.c), what to do (why_remedy.c), and last what it is called and what
 * would have told more.
 */

enum { MEANT_STEPS = 8 /* with a finite loss, since: then a NaN did no harm */ };

/* The first alert stands for the origin where nothing was captured. */
static void tell_first_alert(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    struct why_origin *origin = &work->story->origin;
    for (size_t i = 0; i < facts->n_alerts && !work->story->has_origin; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        bool is_place = alert->thing != 0 || i + 1 == facts->n_alerts;
        if (!is_place) {
            continue;
        }
        work->story->has_origin = true;
        *origin = (struct why_origin){.role = alert->role,
            .operand = alert->value,
            .limit = (double)NAN,
            .usual = alert->usual,
            .is_exact = true,
            .n_units = alert->unit >= 0 ? 1 : 0,
            .n_units_all = alert->unit >= 0 ? 1 : 0};
        origin->units[0] = alert->unit;
        (void)snprintf(origin->module, sizeof origin->module, "%s", alert->module);
        (void)snprintf(origin->tensor, sizeof origin->tensor, "%s", alert->name);
        (void)snprintf(origin->cause, sizeof origin->cause, "%s", alert->text);
    }
}

static bool is_nonfinite_trouble(const struct why_work *work)
{
    for (size_t i = 0; i < work->facts->n_alerts; i++) {
        if (strcmp(work->facts->alerts[i].kind, "nonfinite") == 0) {
            return true;
        }
    }
    return work->found.is_there;
}

/* Whether nothing came of it: only outputs or data were not finite, and the loss of later steps was. */
static bool is_harmless(const struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    size_t n_after = 0;
    if (!work->is_nonfinite || work->found.is_there || work->loss == NULL ||
        work->story->loss_step != INT64_MIN) {
        return false;
    }
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        const bool is_passed = alert->is_before || strcmp(alert->kind, "nonfinite") != 0;
        if (!is_passed && alert->role != BARO_ACT && alert->role != BARO_INPUT) {
            return false;
        }
    }
    for (size_t i = 0; i < work->loss->n; i++) {
        n_after += work->loss->steps[i] >= work->story->step;
    }
    return n_after >= MEANT_STEPS;
}

/* ---- headlines ---- */

static void name_place(const struct why_story *story, char *text)
{
    const struct why_origin *origin = &story->origin;
    char place[WHY_NAME_BYTES];
    why_say(text, WHY_TEXT_BYTES, " (%s",
        origin->is_outside ? origin->tensor : why_place(origin->module, place));
    if (origin->n_units_all > 0 && origin->n_units > 0) {
        why_say(text, WHY_TEXT_BYTES, ", unit %" PRId64, origin->units[0]);
        if (origin->n_units_all > 1) {
            why_say(text, WHY_TEXT_BYTES, " and %zu more", origin->n_units_all - 1);
        }
    }
    if (story->n_samples > 0 && story->samples[0].is_certain &&
        story->samples[0].sample >= 0) {
        why_say(text, WHY_TEXT_BYTES, ", sample %" PRId64, story->samples[0].sample);
        if (story->n_samples > 1) {
            why_say(text, WHY_TEXT_BYTES, " and %zu more", story->n_samples - 1);
        }
    }
    if (origin->source[0] != '\0') {
        why_say(text, WHY_TEXT_BYTES, ", %s", origin->source);
    }
    why_say(text, WHY_TEXT_BYTES, ")");
}

/* What was logged of the loss at a step; NaN when nothing was. */
static double logged_loss(const struct why_work *work, int64_t step)
{
    for (size_t i = 0; work->loss != NULL && i < work->loss->n; i++) {
        if (work->loss->steps[i] == step) {
            return work->loss->values[i];
        }
    }
    return (double)NAN;
}

static void write_headline(struct why_work *work)
{
    struct why_story *story = work->story;
    const struct why_facts *facts = work->facts;
    char step[32];
    (void)why_step(story->step, step);
    if (work->found.is_there) {
        const struct probe *probe = facts->failure;
        const struct probe_value *loss =
            probe->loss != PROBE_NONE ? &probe->values[probe->loss] : NULL;
        const bool is_told = loss != NULL && loss->n_inf + loss->n_nan > 0;
        const bool is_inf =
            is_told ? loss->n_nan == 0 : isinf(logged_loss(work, probe->step));
        why_say(story->headline, WHY_TEXT_BYTES, "%s at step %s: %s",
            story->origin.is_gradient ? "Gradients became NaN or infinite"
            : is_inf                  ? "The loss became infinite"
                                      : "The loss became NaN",
            step, story->origin.cause);
        size_t n = strlen(story->headline);
        if (n > 0 && story->headline[n - 1] == '.') {
            story->headline[n - 1] = '\0';
        }
        name_place(story, story->headline);
        why_say(story->headline, WHY_TEXT_BYTES, ".");
    } else {
        why_say(story->headline, WHY_TEXT_BYTES, "%s", facts->incident->headline);
        if (story->is_harmless) {
            why_say(story->headline, WHY_TEXT_BYTES,
                " It has not reached the loss, which has been finite ever since.");
        }
    }
}

/* Failures that were captured, too. */
static void write_others(struct why_work *work)
{
    const struct why_others *others = &work->facts->others;
    char *text = work->story->looked;
    char step[32];
    if (others->n == 0) {
        return;
    }
    why_say(text, WHY_TEXT_BYTES, " (%zu more %s captured, at step%s", others->n,
        others->n == 1 ? "was" : "were", others->n == 1 ? "" : "s");
    for (size_t i = 0; i < others->n && i < WHY_MAX_OTHERS; i++) {
        why_say(text, WHY_TEXT_BYTES, "%s %s", i > 0 ? ";" : "",
            why_step(others->steps[i], step));
    }
    why_say(text, WHY_TEXT_BYTES, "%s)", others->n > WHY_MAX_OTHERS ? " ..." : "");
}

void why_add_state(struct why_facts *facts, int64_t step)
{
    if (facts->n_states == 0) {
        facts->first_state = step;
    }
    if (facts->n_states == 0 || step > facts->last_state) {
        facts->last_state = step;
        facts->n_states++;
    }
}

/* The random numbers of some steps can be drawn again. */
static void write_states(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    char from[32];
    char to[32];
    if (facts->n_states > 0) {
        why_say(work->story->looked, WHY_TEXT_BYTES,
            "; the random state of steps %s to %s is kept",
            why_step(facts->first_state, from), why_step(facts->last_state, to));
        if ((int64_t)facts->n_states <= facts->last_state - facts->first_state) {
            why_say(
                work->story->looked, WHY_TEXT_BYTES, ", for %zu of them", facts->n_states);
        }
    }
}

/* A sentence about what was looked at. */
static void write_looked(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    size_t n_scalars = 0;
    size_t n_tensors = 0;
    uint64_t n_readings = 0;
    for (size_t i = 0; i < facts->n_things; i++) {
        const struct why_thing *thing = &facts->things[i];
        n_scalars += thing->role == 0 && !thing->is_own;
        n_tensors += thing->role != 0;
        n_readings += thing->is_own ? 0 : thing->n_points;
    }
    char from[32];
    char to[32];
    why_say(work->story->looked, WHY_TEXT_BYTES,
        "steps %s to %s, %zu scalar%s and %zu tensor%s (%" PRIu64 " readings), %u alert%s",
        why_step(facts->run.first_step, from), why_step(facts->run.last_step, to),
        n_scalars, n_scalars == 1 ? "" : "s", n_tensors, n_tensors == 1 ? "" : "s",
        n_readings, facts->run.n_alerts, facts->run.n_alerts == 1 ? "" : "s");
    size_t n_fine = 0;
    for (size_t i = 0; i < facts->n_series; i++) {
        n_fine += !facts->series[i].is_coarse;
    }
    why_say(work->story->looked, WHY_TEXT_BYTES,
        "; closely: %zu series from step %s to %s, %zu batch%s, %s", n_fine,
        why_step(work->plan.from, from), why_step(work->plan.to, to), facts->n_batches,
        facts->n_batches == 1 ? "" : "es",
        facts->failure != NULL ? "the captured operation" : "no captured operation");
    write_others(work);
    write_states(work);
}

/* Whether the failure was being captured, and nothing came after that: only the alert of it has no
 * thing of its own. */
static bool was_under_way(const struct why_facts *facts)
{
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        if (alert->thing == 0 && strcmp(alert->kind, "nonfinite") == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what is missing ---- */

static char *miss(struct why_work *work)
{
    static char nowhere[WHY_TEXT_BYTES];
    struct why_story *story = work->story;
    nowhere[0] = '\0';
    return story->n_missing < WHY_MAX_MISSING ? story->missing[story->n_missing++]
                                              : nowhere;
}

static void write_missing(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    size_t n_tensors = 0;
    for (size_t i = 0; i < facts->n_things; i++) {
        n_tensors += facts->things[i].role != 0;
    }
    if (n_tensors == 0) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "No tensors were recorded, so no layer can be named: call run.watch(model, optimizer) "
            "before the first step. Weights without a module are followed where they are changed in "
            "place (with torch.no_grad(): w -= lr * w.grad); those that are made anew in each step "
            "cannot be.");
    }
    const struct why_others *others = &facts->others;
    const bool is_cut = facts->failure == NULL && others->pieces > 0;
    if (is_cut) {
        char step[32];
        why_say(miss(work), WHY_TEXT_BYTES,
            "The failure of step %s was being captured when the process ended: %u of %u pieces came, "
            "and none can be read without the others. If its ring is still there, 'baro recover' "
            "brings the rest.",
            why_step(others->cut_step, step), others->pieces_here, others->pieces);
    }
    const bool is_huge =
        facts->failure == NULL && !is_cut && facts->calm != NULL && facts->calm->is_cut;
    if (work->is_nonfinite && is_huge) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "A step of this run has more operations than a probe holds (%" PRIu32
            " were kept): the one that failed was not found among them.",
            facts->calm->n_ops);
    } else if (work->is_nonfinite && !work->found.is_there && was_under_way(facts)) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "The process was killed (or is still busy) while the step was computed again, so the "
            "operation, the units and the samples of the failure are not known%s.",
            facts->calm != NULL
                ? "; 'baro credit' tells of the last calm step which operations there are"
                : "");
    } else if (work->is_nonfinite && !work->found.is_there && !is_cut &&
               !work->story->is_harmless) {
        why_say(miss(work), WHY_TEXT_BYTES, "%s",
            facts->failure != NULL
                ? "The step was captured, but not which operation failed: it was none of the "
                  "model, and what the loss was computed from could not be had again. Compute it "
                  "in a module, or in one function of the model's output and the targets."
                : "The operation that failed was not captured: with run.watch(model, optimizer) "
                  "the moment of failure is kept by itself, even if the process is killed (then "
                  "run 'baro recover' first).");
    } else if (work->found.is_there && facts->calm == NULL) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "No probe of a calm step is there to compare with: they are taken at the second step and "
            "rarely afterwards, as the budget allows.");
    }
    if (facts->n_batches == 0 && facts->incident != NULL) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "The samples of the batches are not known: give them to run.log(..., batch=indices).");
    }
    if (work->loss == NULL && facts->incident != NULL) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "No loss was recorded: log it as \"loss\", then it can be said how long before it the "
            "trouble began.");
    }
    if (facts->failure != NULL && facts->failure->is_cut) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "The captured step was too large to keep whole; what is said of it may be incomplete.");
    }
}

/* ---- a run in which nothing is wrong ---- */

static void tell_nothing(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    struct why_story *story = work->story;
    char step[32];
    bool has_ended_badly = strcmp(facts->run.status, "failed") == 0 ||
                           strcmp(facts->run.status, "killed") == 0;
    if (facts->run.n_steps == 0 || facts->n_things == 0) {
        why_say(story->headline, WHY_TEXT_BYTES, "Nothing is known of %s yet: no readings.",
            facts->run.name);
    } else if (has_ended_badly) {
        why_say(story->headline, WHY_TEXT_BYTES,
            "The numbers of %s were fine to the end; the run %s at step %s%s%s.",
            facts->run.name, facts->run.status[0] == 'f' ? "failed" : "was killed",
            why_step(facts->run.last_step, step), facts->run.reason[0] != '\0' ? ": " : "",
            facts->run.reason);
    } else {
        why_say(story->headline, WHY_TEXT_BYTES,
            "Nothing is wrong with %s, as far as it tells.", facts->run.name);
    }
    if (facts->run.n_steps > 0 && facts->run.n_steps < 2) {
        why_say(miss(work), WHY_TEXT_BYTES,
            "One step is too little to tell what is usual for this run.");
    }
}

/* The course of the loss, for a run in which nothing is wrong: one beat. */
static void tell_course(struct why_work *work)
{
    struct why_story *story = work->story;
    const struct why_series *loss = work->loss;
    for (size_t i = 0; i < work->n_drifts && loss != NULL; i++) {
        if (work->drifts[i].series == loss && loss->n > 1) {
            struct why_beat *beat = &story->beats[story->n_beats++];
            *beat = (struct why_beat){.kind = WHY_BEAT_LOSS,
                .step = loss->steps[loss->n - 1],
                .lead = INT64_MIN,
                .series = {loss->thing, READING_SCALAR, 0, -1},
                .shift = work->drifts[i].shift};
            (void)snprintf(beat->title, sizeof beat->title, "loss");
            why_say(beat->text, sizeof beat->text,
                "The loss came to %.4g; %.4g %" PRId64 " steps before.",
                loss->values[loss->n - 1], loss->values[0],
                loss->steps[loss->n - 1] - loss->steps[0]);
            return;
        }
    }
}

void why_tell(const struct why_facts *facts, struct why_story *out)
{
    memset(out, 0, sizeof *out);
    baro_autofree struct why_work *work = baro_xcalloc(1, sizeof *work);
    work->facts = facts;
    work->story = out;
    work->here = work->came = (double)NAN;
    why_plan(facts, &work->plan);
    out->step = work->plan.step;
    out->loss_step = INT64_MIN;
    why_read_probe(work);
    work->is_nonfinite = is_nonfinite_trouble(work);
    why_read_series(work);
    bool is_trouble = facts->incident != NULL || work->found.is_there;
    if (!is_trouble) {
        tell_nothing(work);
        tell_course(work);
        write_missing(work);
        write_looked(work);
        return;
    }
    out->answer = work->found.is_there ? WHY_FROM_PROBE : WHY_FROM_READINGS;
    if (!work->found.is_there) {
        tell_first_alert(work);
    }
    out->is_harmless = is_harmless(work);
    why_read_credit(work);
    why_tell_samples(work);
    why_tell_beats(work);
    why_rank_suspects(work);
    why_weigh(work);
    why_advise(work);
    write_headline(work);
    write_missing(work);
    write_looked(work);
}

void why_hop_words(const struct why_hop *hop, char *out, size_t size)
{
    out[0] = '\0';
    if (isfinite(hop->share)) {
        why_say(out, size, "%.0f %%", 100 * hop->share);
    }
    if (hop->unit >= 0) {
        why_say(out, size, "%sunit %" PRId64 " alone %.0f %%", out[0] != '\0' ? ", " : "",
            hop->unit, 100 * hop->unit_share);
    }
}

void why_origin_words(const struct why_story *story, char *out, size_t size)
{
    const struct why_origin *origin = &story->origin;
    char step[32];
    out[0] = '\0';
    if (origin->is_outside) {
        why_say(out, size, "%s was not finite before any operation", origin->tensor);
        return;
    }
    if (strcmp(origin->op, "arithmetic") ==
        0) { /* between two places, which is all that is known */
        why_say(
            out, size, "something that the program did before the model, to finite data");
        return;
    }
    char place[WHY_NAME_BYTES];
    why_say(out, size, "%s of %s", origin->breaks[0] != '\0' ? origin->breaks : origin->op,
        origin->tensor[0] != '\0' ? why_place(origin->tensor, place) : "its operand");
    if (isfinite(origin->operand)) {
        why_say(out, size, " = %.5g", origin->operand);
    }
    if (origin->n_nan > 0) {
        why_say(out, size, ", of which %" PRIu64 " %s NaN", origin->n_nan,
            origin->n_nan == 1 ? "is" : "are");
    }
    if (isfinite(origin->limit)) {
        const bool has_domain = why_has_domain(origin->breaks);
        why_say(out, size, "; %s breaks %s %.5g", has_domain ? "it" : origin->dtype,
            origin->limit > 0 ? "beyond" : "at", origin->limit);
    }
    if (isfinite(origin->usual)) {
        why_say(out, size, "; %.4g in calm (step %s)", origin->usual,
            why_step(origin->calm_step, step));
    }
    if (!origin->is_exact) {
        why_say(out, size,
            "; computed again afterwards, not bit for bit the same: the place is "
            "likely, not certain");
    }
}

const char *why_beat_name(enum why_beat_kind kind)
{
    static const char *const names[] = {"?", "setting", "drift", "alert", "origin", "loss"};
    return (unsigned)kind < BARO_LEN(names) ? names[kind] : "?";
}
