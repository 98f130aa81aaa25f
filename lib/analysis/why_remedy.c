/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/judge.h"
#include "lib/analysis/robust.h"
#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * What to change, with numbers. First what follows from the operation that broke, then what follows
 * from a changed setting and from the samples, then what the alerts' rules advise. At most three: more
 * is a list, not an answer.
 */

static char *add(struct why_work *work)
{
    static char nowhere[WHY_TEXT_BYTES];
    struct why_story *story = work->story;
    nowhere[0] = '\0';
    return story->n_remedies < WHY_MAX_REMEDIES ? story->remedies[story->n_remedies++]
                                                : nowhere;
}

/* A round number at or below x: 1, 2 or 5 times a power of ten. */
static double round_down(double x)
{
    if (!(x > 0) || !isfinite(x)) {
        return x;
    }
    double power = pow(10, floor(log10(x)));
    double digit = x / power;
    return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

static const char *operand_name(const struct why_origin *origin)
{
    return origin->tensor[0] != '\0'   ? origin->tensor
           : origin->module[0] != '\0' ? origin->module
                                       : "its operand";
}

static void advise_exp(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    double limit = isfinite(origin->limit) ? origin->limit : 88.7;
    double bound = fmin(20, round_down(limit));
    if (isfinite(origin->usual) && origin->usual > bound / 2) {
        bound = fmin(limit * 0.9, 2 * origin->usual);
    }
    char step[32];
    char *text = add(work);
    why_say(text, WHY_TEXT_BYTES, "Clamp %s to [-30, %.3g] before %s", operand_name(origin),
        bound, origin->breaks);
    if (isfinite(origin->operand)) {
        why_say(text, WHY_TEXT_BYTES, ": at step %s it was %.4g",
            why_step(work->story->step, step), origin->operand);
    }
    if (isfinite(origin->usual)) {
        why_say(text, WHY_TEXT_BYTES, ", at step %s at most %.4g",
            why_step(origin->calm_step, step), origin->usual);
    }
    why_say(text, WHY_TEXT_BYTES, "; %s of more than %.4g does not fit %s.", origin->breaks,
        limit, origin->dtype);
}

/* Whether the operand is a softmax, so that a fused logarithm is to be had. */
static bool is_after_softmax(const struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    int32_t op =
        work->found.value != PROBE_NONE ? probe->values[work->found.value].op : PROBE_NONE;
    return op != PROBE_NONE && strstr(probe->ops[op].name, "softmax") != NULL;
}

static void advise_log(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    if (is_after_softmax(work)) {
        why_say(add(work), WHY_TEXT_BYTES,
            "Take log_softmax (or cross_entropy) of the logits instead of log of softmax: a "
            "chance that rounds to 0 has no logarithm, its log_softmax has.");
    }
    const bool is_1p = strstr(origin->breaks, "log1p") != NULL;
    if (strstr(origin->breaks, "logit") != NULL) {
        why_say(add(work), WHY_TEXT_BYTES,
            "Keep %s between 0 and 1: %s(x, eps=1e-6); at this step it was %.4g.",
            operand_name(origin), origin->breaks, origin->operand);
        return;
    }
    why_say(add(work), WHY_TEXT_BYTES,
        "Keep %s away from %s: %s(x.clamp_min(%s)); at this step its least was %.4g.",
        operand_name(origin), is_1p ? "-1" : "0", origin->breaks,
        is_1p ? "-1 + 1e-6" : "1e-7", origin->operand);
}

static void advise_root(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    bool is_norm = work->found.op == WHY_OP_NORM;
    char *text = add(work);
    if (origin->is_gradient) {
        why_say(text, WHY_TEXT_BYTES,
            "Give the root a floor: %s has an infinite gradient at 0. ",
            is_norm ? "the length of a vector" : origin->breaks);
        why_say(text, WHY_TEXT_BYTES,
            "Write (%s + 1e-8).sqrt() instead, or leave such samples "
            "out (torch.where before the root, not behind it).",
            is_norm ? "x.pow(2).sum(-1)" : "x");
    } else {
        why_say(text, WHY_TEXT_BYTES,
            "Keep %s at or above 0: clamp_min(0) before %s; its least was %.4g.",
            operand_name(origin), origin->breaks, origin->operand);
    }
}

static void advise_range(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    bool is_half = strcmp(origin->dtype, "f16") == 0;
    char place[WHY_NAME_BYTES];
    char *text = add(work);
    why_say(text, WHY_TEXT_BYTES, "Compute %s in %s: %s holds at most %s",
        origin->module[0] != '\0' ? why_place(origin->module, place) : "this operation",
        is_half ? "bf16 or f32" : "f32", origin->dtype, is_half ? "65504" : "3.4e+38");
    if (isfinite(origin->operand)) {
        why_say(
            text, WHY_TEXT_BYTES, ", and its operand had come to %.4g", origin->operand);
    }
    why_say(text, WHY_TEXT_BYTES, ".");
}

/* Of a narrow type: compute it in a wider one. */
static void advise_narrow(struct why_work *work)
{
    const char *dtype = work->story->origin.dtype;
    if (strcmp(dtype, "f16") == 0 || strcmp(dtype, "bf16") == 0) {
        advise_range(work);
    }
}

static void advise_operation(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    char place[WHY_NAME_BYTES];
    switch (work->found.op) {
    case WHY_OP_EXP: advise_exp(work); break;
    case WHY_OP_LOG: advise_log(work); break;
    case WHY_OP_ROOT:
    case WHY_OP_NORM: advise_root(work); break;
    case WHY_OP_DIVIDE:
        why_say(add(work), WHY_TEXT_BYTES,
            "Add 1e-8 to %s before it divides, or bound it (clamp_min(1e-8)): at this step its "
            "least size was %.4g.",
            operand_name(origin), origin->operand);
        break;
    case WHY_OP_NORMALISE:
        why_say(add(work), WHY_TEXT_BYTES,
            "Raise eps of %s (1e-5 or more), and look why what it normalises is all the same: a "
            "dead layer, a batch of one, a constant sample.",
            why_place(origin->module, place));
        break;
    case WHY_OP_POWER:
        why_say(add(work), WHY_TEXT_BYTES,
            "Bound the base of %s (it was %.4g), or keep it above 0 where the exponent is below 1.",
            origin->breaks, origin->operand);
        break;
    case WHY_OP_ARC:
        why_say(add(work), WHY_TEXT_BYTES, "Clamp what goes into %s to %s: it was %.7g.",
            origin->breaks,
            strcmp(origin->breaks, "acosh") == 0           ? "1 + 1e-6 and more"
            : strcmp(origin->breaks, "special_ndtri") == 0 ? "(1e-6, 1 - 1e-6)"
                                                           : "(-1 + 1e-6, 1 - 1e-6)",
            origin->operand);
        break;
    case WHY_OP_SOFTMAX:
        if (strstr(origin->cause, "masked") != NULL) {
            why_say(add(work), WHY_TEXT_BYTES,
                "Leave one place of each row unmasked, or leave such rows out (samples that are "
                "padding throughout), before %s.",
                origin->breaks);
            break;
        }
        advise_narrow(work);
        break;
    case WHY_OP_CAST:
    case WHY_OP_SUM:
    case WHY_OP_OTHER:
    default: advise_narrow(work); break;
    }
}

/* What a series was at a step, or last before it; NaN: it had not begun. */
static double number_at(const struct why_series *series, int64_t step)
{
    double number = (double)NAN;
    for (size_t i = 0; i < series->n && series->steps[i] <= step; i++) {
        number = series->values[i];
    }
    return number;
}

/* A setting that went one way, bit by bit: there is no step to go back to. */
static void advise_schedule(struct why_work *work, const struct why_drift *drift)
{
    const struct why_story *story = work->story;
    const int64_t shown = story->loss_step != INT64_MIN ? story->loss_step : story->step;
    const double then = number_at(drift->series, shown - 1);
    char step[32];
    char *text = add(work);
    why_say(text, WHY_TEXT_BYTES, "Do not let %s go on from %.4g to %.4g",
        drift->thing->name, drift->shift.before, drift->shift.after);
    if (isfinite(then)) {
        why_say(text, WHY_TEXT_BYTES,
            ": before step %s, when it showed, it had come to %.4g", why_step(shown, step),
            then);
    }
    why_say(text, WHY_TEXT_BYTES,
        ". Give the schedule an end well before that, and look whether it is stepped as "
        "often as was meant.");
}

/* Returns whether the setting is what to change. */
static bool advise_setting(struct why_work *work)
{
    const struct why_drift *drift = why_setting_drift(work);
    bool is_optimiser = work->story->verdict.cause == WHY_OPTIMISER;
    bool is_changed =
        drift != NULL && is_optimiser && drift->shift.before > 0 &&
        fabs(drift->shift.after - drift->shift.before) > 0.5 * drift->shift.before;
    bool is_schedule = drift != NULL && drift->shift.kind != SHIFT_LEVEL &&
                       drift->shift.kind != SHIFT_LEAP;
    if (is_changed && is_schedule) {
        advise_schedule(work, drift);
    } else if (is_changed) {
        char step[32];
        why_say(add(work), WHY_TEXT_BYTES,
            "Go back to %s %.4g, as it was until step %s; from then on it was %.4g. Look at what "
            "set it: a restart, a scheduler stepped twice, a parameter group of its own.",
            drift->thing->name, drift->shift.before, why_step(drift->shift.step, step),
            drift->shift.after);
    }
    return is_changed;
}

/* A parameter on the way that grew out of its range. */
static void advise_growth(struct why_work *work)
{
    const struct why_found *found = &work->found;
    if (work->story->verdict.cause == WHY_OPTIMISER && found->weight_gain > 3 &&
        !(found->gain < 3)) {
        why_say(add(work), WHY_TEXT_BYTES,
            "Look at what moves %s, which came to %.3g times its size in calm: lower its "
            "learning rate, clip its gradient, or bound it.",
            found->weight, found->weight_gain);
    }
}

/* The gradient's norm before the trouble: where to clip it. */
static void advise_clipping(struct why_work *work)
{
    bool is_about = work->story->verdict.cause == WHY_OPTIMISER;
    for (size_t i = 0; is_about && i < work->n_drifts; i++) {
        const struct why_drift *drift = &work->drifts[i];
        if (drift->thing == NULL || drift->thing->role != 0 ||
            judge_meaning_of(drift->thing->name) != JUDGE_GRAD_NORM ||
            drift->shift.kind == SHIFT_NONE ||
            drift->shift.after < 3 * drift->shift.before) {
            continue;
        }
        why_say(add(work), WHY_TEXT_BYTES,
            "Clip the gradient's norm at %.3g: %s was %.4g in calm and came to %.4g.",
            round_down(4 * drift->shift.before), drift->thing->name, drift->shift.before,
            drift->shift.after);
        return;
    }
}

static void advise_samples(struct why_work *work)
{
    const struct why_story *story = work->story;
    if (story->n_samples == 0 || !story->samples[0].is_certain ||
        story->samples[0].sample < 0) {
        return;
    }
    char *text = add(work);
    bool is_data = story->verdict.cause == WHY_DATA;
    why_say(text, WHY_TEXT_BYTES, "%s sample%s", is_data ? "Mend or leave out" : "Look at",
        story->n_samples > 1 ? "s" : "");
    size_t n = story->n_samples < 4 ? story->n_samples : 4;
    for (size_t i = 0; i < n; i++) {
        why_say(text, WHY_TEXT_BYTES, "%s %" PRId64, i > 0 ? "," : "",
            story->samples[i].sample);
    }
    why_say(text, WHY_TEXT_BYTES, "%s of the data set", n < story->n_samples ? " ..." : "");
    if (work->found.is_blank) {
        why_say(text, WHY_TEXT_BYTES, ": all its inputs are %.4g", work->found.blank);
    } else if (work->found.odd_input > 5) {
        char spreads[32];
        why_say(text, WHY_TEXT_BYTES, ": the inputs lie %s spreads from the others'",
            why_step((int64_t)fmin(work->found.odd_input, 1e15), spreads));
    }
    why_say(text, WHY_TEXT_BYTES, ".");
}

static void advise_weights(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    if (origin->is_outside && strcmp(origin->module, "input") != 0) {
        char step[32];
        why_say(add(work), WHY_TEXT_BYTES,
            "Go back to a checkpoint from before step %s: %s was spoilt by an update before it, and "
            "all that came after is lost. Skip steps whose gradient is not finite.",
            why_step(work->story->step, step), origin->tensor);
    }
}

/* Without a probe: a tensor of a small type that overflowed, with what it held. */
static void advise_type(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        const struct why_thing *thing = why_thing(facts, alert->thing);
        bool is_half = thing != NULL && thing->dtype == BARO_F16;
        if (is_half && strcmp(alert->kind, "overflow") == 0) {
            char step[32];
            why_say(add(work), WHY_TEXT_BYTES,
                "Compute %s in bf16 or f32: at step %s it held %.4g, and f16 ends at 65504.",
                alert->module, why_step(alert->step, step), alert->value);
            return;
        }
    }
}

/* What the rules advise, as far as there is room; each once. */
static void advise_rules(struct why_work *work, bool has_setting)
{
    const struct why_facts *facts = work->facts;
    struct why_story *story = work->story;
    for (size_t i = 0; i < facts->n_alerts && story->n_remedies < WHY_MAX_REMEDIES; i++) {
        const char *advice = facts->alerts[i].advice;
        bool is_said = advice[0] == '\0' || facts->alerts[i].level < BARO_WATCH ||
                       (has_setting && strcmp(facts->alerts[i].kind, "lr_jump") == 0);
        for (size_t k = 0; k < story->n_remedies; k++) {
            is_said = is_said || strcmp(story->remedies[k], advice) == 0;
        }
        if (!is_said && (story->n_remedies == 0 || i < 3)) {
            why_say(add(work), WHY_TEXT_BYTES, "%s", advice);
        }
    }
}

/* What is left out must be left out before it is computed with. */
static void advise_mask(struct why_work *work)
{
    why_say(add(work), WHY_TEXT_BYTES,
        "Leave out before, not behind, %s: index with the mask first, or put in a number that "
        "does no harm (torch.where(mask, y, 0)) and mask the result as well.",
        work->story->origin.breaks);
}

/* A NaN that did no harm: it may be meant. */
static void advise_meant(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    why_say(add(work), WHY_TEXT_BYTES,
        "If %s is meant to hold NaN (what is masked is left out further on), nothing need be "
        "done; fill it (nan_to_num, masked_fill) and it will not be told again.",
        origin->tensor[0] != '\0' ? origin->tensor : "it");
}

void why_advise(struct why_work *work)
{
    if (work->story->is_harmless) {
        advise_meant(work);
    }
    if (work->is_masked) {
        advise_mask(work);
    } else if (work->found.is_there) {
        advise_operation(work);
        advise_weights(work);
    } else if (work->story->verdict.cause == WHY_PRECISION) {
        advise_type(work);
    }
    const bool has_setting = advise_setting(work);
    if (!has_setting) {
        advise_growth(work);
    }
    advise_samples(work);
    advise_clipping(work);
    if (!work->found.is_there || work->story->n_remedies == 0) {
        advise_rules(work, has_setting);
    }
}
