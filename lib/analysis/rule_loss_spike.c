/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/detect.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Did the loss just jump out of its own recent history? detect_spike.c says how that is judged;
 * here it becomes a rule for every scalar that is a loss of training. A loss of evaluation has a
 * few readings only, and is overfitting's business.
 */

enum { MIN_SCORE, MIN_RECENT, MIN_OVER_PEAK, MIN_RELATIVE, WARM_UP };

static const struct rule_param params[] = {
    {"min_score", 6, 1, 1000,
        "robust standard deviations above the median of the last 128 readings"},
    {"min_recent", 4, 0, 1000, "standard deviations above the exponential mean"},
    {"min_over_peak", 2, 0, 100, "times the largest excess of the past, which fades"},
    {"min_relative", 0.05, 0, 100, "excess over the median, as a fraction of it"},
    {"warm_up", 32, 2, 128, "readings that are only learnt from"},
};

static bool applies(const struct judge_thing *thing)
{
    return thing->meaning == JUDGE_LOSS && !thing->is_eval;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    const double *p = context->params;
    struct spike_limits limits = {
        p[MIN_SCORE], p[MIN_RECENT], p[MIN_OVER_PEAK], p[MIN_RELATIVE], p[WARM_UP]};
    struct spike_finding found;
    if (spike_feed(state, &limits, reading->f64[0], &found)) {
        rule_note_value(context, 0, found.value, found.usual, found.score);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    rule_say(finding, "%s jumped to %.4g at step %lld, where %.4g was usual",
        context->thing->name, fact->value, (long long)fact->step, fact->usual);
    if (fact->score < 1000) {
        rule_say_more(finding, " (%.0f times its usual spread above)", fact->score);
    }
    rule_say_more(finding, ".");
    finding->advice =
        "If it comes back by itself, look at the batch of that step; if not, lower the "
        "learning rate, clip gradients, or go back to an earlier checkpoint and skip it.";
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_NO_CLIPPING);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, fact->step - 128,
        "the loss before it and at the jump");
}

const struct rule rule_loss_spike = {
    .name = "loss_spike",
    .sentence = "A training loss jumps out of its own recent history.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct spike_detector),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
