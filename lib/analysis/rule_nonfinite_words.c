/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/rule_nonfinite.h"

#include <math.h>
#include <string.h>

#include "lib/analysis/detect.h"
#include "lib/base/tensor.h"

/* What is said of a value that is not finite: where, whose, since when, and what to do. */

static bool has_part(const char *name, const char *part)
{
    return strcasestr(name, part) != NULL;
}

static const char *advice_for_act(const char *name, bool is_nan)
{
    if (has_part(name, "var") || has_part(name, "exp") || has_part(name, "sigma")) {
        return "An exponential overflowed: clamp the log-variance (say to -10 .. 10) before "
               "exp, lower the learning rate, and look at the sample named here.";
    }
    if (has_part(name, "norm")) {
        return "A normalisation divided by almost nothing: raise its epsilon, and look for a "
               "constant input.";
    }
    if (has_part(name, "attn") || has_part(name, "attention") ||
        has_part(name, "softmax")) {
        return "Attention overflowed: look at the size of its logits, normalise queries and "
               "keys, or compute the softmax in f32.";
    }
    return is_nan
               ? "The module turned finite inputs into NaN: look for 0/0, log or sqrt of a "
                 "negative number, or Inf - Inf in it, and at the sample named here."
               : "The module's output overflowed, or its input was infinite already: look at the "
                 "sample named here, at the growth of the module's weights over the steps "
                 "before, and lower the learning rate.";
}

static const char *advice_for(const struct judge_thing *thing, const struct rule_fact *fact)
{
    uint32_t news = fact->code & (uint32_t)TOLD_NEWS;
    if ((fact->code & TOLD_IN_LOSS) != 0) {
        return news == NONFINITE_LOSS
                   ? "It began here: every activation measured in this step was finite. Look at "
                     "the loss function for log(0), 0/0 and overflow, and at the targets."
                   : "Activations measured in this step were finite, its loss was not, and gradients "
                     "come after the loss: see the alert of the loss.";
    }
    if (news == NONFINITE_LOSS) {
        return "The loss is lost from here on; stop the run, and see the first alert of this "
               "incident for its origin.";
    }
    if (news == NONFINITE_WEIGHT) {
        return "The model itself is spoilt: go back to a checkpoint from before this step.";
    }
    if (!thing->is_tensor) {
        return thing->is_loss
                   ? "No tensor that was measured in this step was non-finite before the loss: "
                     "measure each step (watch(every=1)), watch activations, too, or look at "
                     "the loss function for log(0) and 0/0."
                   : "Look at how this number is computed: 0/0, log(0) or an overflow.";
    }
    switch (thing->role) {
    case BARO_ACT: return advice_for_act(thing->name, fact->value > 0);
    case BARO_INPUT:
        return "The data themselves hold a value that is not finite, before any layer: look at "
               "the sample named here and at its preprocessing.";
    case BARO_GRAD:
    case BARO_ACT_GRAD:
        return "Clip gradients, lower the learning rate, or skip such steps; with mixed "
               "precision a rare overflow is normal as long as the loss scaler skips it.";
    case BARO_WEIGHT:
    case BARO_UPDATE:
        return "Go back to a checkpoint from before this step; then lower the learning rate "
               "or clip gradients.";
    case BARO_OPT:
        return "The optimiser's state overflowed: raise its epsilon or clip gradients.";
    case BARO_ROLE_END:
    default: return "Look at what this tensor is computed from.";
    }
}

static void blame(const struct judge_thing *thing, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if ((fact->code & TOLD_IN_LOSS) != 0 || thing->is_loss) {
        rule_blame(finding, JUDGE_CAUSE_LOSS_FUNCTION);
        rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
        return;
    }
    if (thing->is_tensor && thing->role == BARO_INPUT) {
        rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
        return;
    }
    if (thing->is_tensor && has_part(thing->name, "norm")) {
        rule_blame(finding, JUDGE_CAUSE_NORMALISATION);
    }
    if (thing->is_backward) {
        rule_blame(finding, JUDGE_CAUSE_NO_CLIPPING);
        rule_blame(finding, JUDGE_CAUSE_LOSS_SCALE);
    }
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_blame(finding, JUDGE_CAUSE_TYPE_RANGE);
}

/* How many elements a row of a tensor has, by its declared shape; 0: it has no rows. */
static uint64_t per_row(const struct judge_thing *thing)
{
    uint64_t n = thing->n_dims > 0 ? 1 : 0;
    for (uint32_t d = 1; d < thing->n_dims; d++) {
        if (__builtin_mul_overflow(n, (uint64_t)thing->shape[d], &n)) {
            return 0;
        }
    }
    return n;
}

/*
 * Tell whether the row of a tensor is the row of the batch: its first axis is the whole batch,
 * not a part of it (gradient accumulation) nor batch and time in one.
 */
static bool is_batch_row(const struct judge_thing *thing, const struct rule_fact *fact,
    const struct judge_finding *finding)
{
    const uint64_t row_elements = per_row(thing);
    if (!thing->is_tensor || !baro_role_has_batch(thing->role) || fact->row < 0 ||
        row_elements == 0 || finding->batch_size == 0) {
        return false;
    }
    bool is_whole = (fact->code & TOLD_WHOLE) != 0;
    uint64_t count = (uint64_t)fact->from_step;
    bool is_counted = count % row_elements == 0;
    bool has_all_rows = is_counted && count / row_elements == finding->batch_size;
    return (!is_whole || finding->batch_size == 1) &&
           (has_all_rows || (uint64_t)thing->shape[0] == finding->batch_size);
}

/* Leave the one sample that is to blame, if it is known which. */
static void find_sample(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const int64_t *samples = NULL;
    size_t n_samples = 0;
    uint64_t size = 0;
    if ((fact->code & (TOLD_WHOLE | TOLD_IN_LOSS)) != 0) {
        finding->unit = -1;
        finding->row = -1;
    }
    if ((fact->code & TOLD_IN_LOSS) != 0 || !is_batch_row(context->thing, fact, finding) ||
        !rule_batch(context, fact->step, &size, &samples, &n_samples) ||
        (uint64_t)fact->row >= n_samples) {
        return;
    }
    finding->has_sample = true;
    finding->row = fact->row;
    finding->samples[0] = samples[fact->row];
    finding->n_samples = 1;
}

static void say_samples(const struct judge_thing *thing, const struct judge_finding *from,
    struct judge_finding *to)
{
    if (from->has_sample) {
        rule_say_more(to, ": sample %lld, row %lld of the batch of %llu.",
            (long long)from->samples[0], (long long)from->row,
            (unsigned long long)from->batch_size);
        return;
    }
    if (from->n_samples == 0) {
        rule_say_more(to, ".");
        return;
    }
    bool is_part =
        from->row >= 0 && thing->n_dims > 0 && (uint64_t)thing->shape[0] < from->batch_size;
    if (is_part) {
        rule_say_more(
            to, ", row %lld of a part of the batch; the whole", (long long)from->row);
    } else {
        rule_say_more(to, "; the batch");
    }
    rule_say_more(to, " held %llu samples:", (unsigned long long)from->batch_size);
    size_t n_named = from->n_samples < 5 ? from->n_samples : 5;
    for (size_t i = 0; i < n_named; i++) {
        rule_say_more(to, "%s %lld", i > 0 ? "," : "", (long long)from->samples[i]);
    }
    rule_say_more(to, "%s.", from->batch_size > n_named ? " and more" : "");
}

/* The step was being computed again, and nothing came after that. */
static void tell_cut(const struct rule_fact *fact, struct judge_finding *finding)
{
    const bool is_gradient = fact->score > 0;
    finding->value = fact->value > 0 ? (double)NAN : (double)INFINITY;
    finding->usual = (double)NAN;
    finding->score = 0;
    finding->n_samples = 0;
    rule_say(finding,
        "%s at step %lld; the readings end while that step is computed again to find out why.",
        is_gradient       ? "Gradients became NaN or infinite"
        : fact->value > 0 ? "The loss became NaN"
                          : "The loss became infinite",
        (long long)fact->step);
    finding->advice =
        "Which operation it was is not known. Go on from the checkpoint before this step: if it "
        "comes again, it is captured again, given time and memory for one more such step.";
    rule_blame(finding, JUDGE_CAUSE_LOSS_FUNCTION);
    rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
}

void rule_nonfinite_tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if (fact->code == TOLD_CUT) {
        tell_cut(fact, finding);
        return;
    }
    const struct judge_thing *thing = context->thing;
    find_sample(context, fact, finding);
    bool is_nan = fact->value > 0;
    bool is_positive = fact->usual > 0;
    finding->value = is_nan        ? (double)NAN
                     : is_positive ? (double)INFINITY
                                   : -(double)INFINITY;
    finding->usual = (double)NAN;
    finding->score = 0;
    finding->goes_on = (fact->code & TOLD_GOES_ON) != 0;
    rule_say(finding, "%s", thing->name);
    const char *role = thing->is_tensor ? baro_role_name(thing->role) : thing->name;
    if (strcmp(role, thing->name) != 0) {
        rule_say_more(finding, " (%s)", role);
    }
    rule_say_more(finding, " became %s", is_nan ? "NaN" : is_positive ? "+Inf" : "-Inf");
    if ((fact->code & TOLD_WHOLE) != 0) {
        rule_say_more(finding, " in all of its values");
    } else if (finding->unit >= 0) {
        rule_say_more(finding, " in unit %lld", (long long)finding->unit);
    }
    rule_say_more(finding, " at step %lld", (long long)fact->step);
    uint32_t news = fact->code & (uint32_t)TOLD_NEWS;
    if ((fact->code & TOLD_IN_LOSS) != 0 && news == NONFINITE_ORIGIN) {
        rule_say_more(finding, ", in a step whose loss was not finite");
    }
    say_samples(thing, finding, finding);
    finding->advice = advice_for(thing, fact);
    blame(thing, fact, finding);
    bool is_scalar = !thing->is_tensor;
    rule_show(finding, fact->thing, is_scalar ? READING_SCALAR : READING_SUMMARY,
        is_scalar ? 0 : SUMMARY_ABS_MAX, -1, fact->step - 100, "the steps before it");
}
