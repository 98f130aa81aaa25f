/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Has Adam's memory lost touch with the gradient? The watcher tells rho = mean(g^2) / mean(v) of
 * each weight (scalar NAME/rho): 1 when gradients are as they were over the last 1 / (1 - beta2)
 * steps, which is what v is the mean of. When gradients grow faster than v follows, the step is too
 * long for them, by sqrt(rho): StableAdamW (arXiv 2304.13013) saw sqrt(rho) of 2.3 or more 1 to 8
 * steps before spikes of the loss, and clips there.
 *
 * A single batch may do that and mean nothing, so rho is compared with the weight's own past, too:
 *
 *   u = log rho;  told when u > 2 log 2.3 = 1.67, u exceeds the largest u remembered by log 2
 *   (memory fades to the mean with a half-life of 500 readings), and u is more than 6 usual
 *   deviations above its mean; in 2 of 3 readings in a row, after 16 of warm-up; or once, when
 *   rho is above 100: v is then 100 times too small.
 *
 * Worked number: rho has been between 0.8 and 1.25 (u within 0.223); then 6, 7: u = 1.79 and 1.95,
 * above 1.67 and above 0.223 + 0.693. Told at the second.
 *
 * Cost: one log a reading; they are rare (every fourth step at most). Known limits: what is below 1
 * (gradients that fade) does no harm and is not told; rows of embeddings that are seldom looked up
 * have a high rho of their own, which is their past.
 */

enum { MIN_RMS, MIN_SCORE, SURE_RHO };
enum { WARM_UP = 16, CALM = 16 };

static const double weight_of_new = 0.05;
static const double least_deviation = 0.1;
static const double peak_fade = 0.99861466; /* 0.5 ^ (1 / 500) */

static const struct rule_param params[] = {
    {"min_rms", 2.3, 1, 1e6, "root of rho from which steps are too long (StableAdamW)"},
    {"min_score", 6, 0, 1000, "usual deviations of log rho above its mean"},
    {"sure_rho", 100, 1, 1e12, "rho that is told at its first reading"},
};

struct moment {
    uint32_t n;
    double mean; /* of log rho */
    double deviation;
    double peak; /* largest excess over the mean, fading */
    uint8_t bad; /* of the last readings, a bit each */
    int64_t since;
    struct rule_latch latch;
};

static bool applies(const struct judge_thing *thing)
{
    size_t n = strlen(thing->name);
    return !thing->is_tensor && thing->id != 0 && n > 4 &&
           strcmp(thing->name + n - 4, "/rho") == 0;
}

static void learn(struct moment *moment, double u)
{
    double limit = 3 * (moment->deviation + least_deviation);
    double delta = u - moment->mean;
    double weight = moment->n < WARM_UP ? 1.0 / (moment->n + 1) : weight_of_new;
    moment->peak *= peak_fade;
    if (delta > moment->peak) {
        bool is_bounded = moment->n >= WARM_UP && delta > moment->peak + log(2);
        moment->peak = is_bounded ? moment->peak + log(2) : delta;
    }
    delta = moment->n >= WARM_UP ? fmax(-limit, fmin(limit, delta)) : delta;
    moment->mean += weight * delta;
    moment->deviation += weight * (fabs(delta) - moment->deviation);
    moment->n++;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct moment *moment = state;
    double rho = reading->f64[0];
    if (!isfinite(rho) || rho <= 0) {
        return;
    }
    const double *p = context->params;
    double u = log(rho);
    double excess = u - moment->mean;
    double score = excess / (moment->deviation + least_deviation);
    bool is_bad = moment->n >= WARM_UP && u > 2 * log(p[MIN_RMS]) && score > p[MIN_SCORE] &&
                  excess > moment->peak + log(2);
    if (is_bad && (moment->bad & 7U) == 0) {
        moment->since = context->step;
    }
    moment->bad = (uint8_t)(moment->bad << 1 | (is_bad ? 1 : 0));
    bool is_twice = __builtin_popcount(moment->bad & 7U) >= 2;
    bool is_sure = is_bad && rho > p[SURE_RHO];
    if (rule_latch(&moment->latch, is_twice || is_sure, 1, CALM)) {
        rule_note_since(context, 0, moment->since, rho, exp(moment->mean), score);
    }
    learn(moment, u);
}

/* Of all weights that are told of in one step, the one that is furthest out. */
static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    (void)run_state;
    size_t worst = 0;
    for (size_t i = 1; i < n_facts; i++) {
        worst = facts[i].value > facts[worst].value ? i : worst;
    }
    struct rule_fact told = facts[worst];
    told.n_units = (uint32_t)(n_facts - 1);
    rule_report(context, &told);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    size_t n = strlen(context->thing->name) - 4;
    finding->step = rule_since(fact);
    rule_say(finding,
        "Gradients of %.*s have outgrown the optimiser's memory: their squares are %.3g times "
        "its second moment since step %lld (%.2g is usual), so steps are %.1f times too long.",
        (int)n, context->thing->name, fact->value, (long long)finding->step, fact->usual,
        sqrt(fact->value));
    finding->n_units = 0;
    if (fact->n_units > 0) {
        rule_say_more(finding, " So are those of %u other weight%s.", fact->n_units,
            fact->n_units > 1 ? "s" : "");
    }
    finding->advice =
        "Lower beta2 (0.95 instead of 0.999), clip the update by its root mean "
        "square as StableAdamW does, or lower the learning rate; the loss may "
        "spike within a few steps.";
    rule_blame(finding, JUDGE_CAUSE_OPTIMISER);
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, finding->step - 128,
        "mean square of the gradient over the second moment");
}

const struct rule rule_second_moment = {
    .name = "second_moment",
    .sentence = "Gradients outgrow what the optimiser remembers of their size (Adam).",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_UNFREEZE | JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct moment),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
