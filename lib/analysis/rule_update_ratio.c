/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Are the steps of the right size? r = |dw| / |w|, how far one step of the optimiser moves a weight,
 * in terms of the weight: about 10^-3 in most trainings that go well (DL4J's rule of thumb is
 * log10 r between -4 and -2). Only weights of two dimensions or more: biases begin at zero.
 *
 *   high    the median of log10 r over all weights is above that of 0.2 in 3 steps in a row: every
 *           step replaces a fifth of what was learnt. Above 1 once is enough, and an alarm: nothing
 *           is left of the weights.
 *   leap    that median is 4 times its usual, 6 usual deviations above it and more than 0.01, in 2 steps
 *           in a row, and no learning rate was changed: something scales steps, or adds to them
 *   low     that median is below 10^-5 in 64 steps from the start, and has not risen since half as
 *           many (a warm-up doubles): nothing will come of this.
 *   odd     one weight leaves the others: d = log10 r - median was within its own past so far,
 *           and is now a factor of 10 and 6 of its usual deviations away from it, in 3 readings in
 *           a row. What happens to all weights (a schedule) moves the median along and is no
 *           oddity.
 *   fast    one weight moves by more than 0.1 and by 30 times as much as the median weight, in
 *           16 readings in a row, after 50 readings: its own learning rate is wrong.
 *
 * Worked number: four weights with r = 0.001, 0.002, 0.001, 0.004: median of log10 r is
 * (-3 - 2.699) / 2 = -2.849. When the last one's r goes to 0.08 its d goes from 0.451 to 1.75:
 * by 1.3, a factor of 20.
 *
 * Measured in 24 healthy trainings: the median weight's r is at most 0.042 in the first step (0.14
 * for a small perceptron with Adam at 0.01), 0.035 after 5 steps.
 *
 * Cost: a fact a reading; sorting those of a step. Known limit: where few weights are measured in
 * a step (a small budget) the median is over those whose last reading is at most 64 steps old.
 */

enum { MAX_RATIO, MIN_RATIO, MIN_FACTOR, MIN_SCORE, FAST_RATIO, FAST_FACTOR };
enum { CODE_HIGH, CODE_LOW, CODE_ODD, CODE_FAST, CODE_LEAP };
enum {
    LEAP_STEPS = 2,
    LEAP_EXCUSE = 50,
    HIGH_STEPS = 3,
    LOW_STEPS = 64,
    ODD_READINGS = 3,
    FAST_READINGS = 16,
    CALM = 16
};
enum { WARM_UP = 32, FAST_WARM_UP = 50, FRESH_STEPS = 64, MIN_OTHERS = 3, FEW = 3 };

static const double weight_of_new = 0.03;
static const double idle_ratio =
    -8; /* log10: below what rounding leaves of a step in f32 */
static const double least_deviation = 0.05;
static const double leap_factor = 0.60206; /* log10 of 4 */
static const double leap_ratio = -2;       /* log10 of 0.01 */
static const double min_rise =
    0.15; /* of log10, in twice as many steps: of a warm-up 0.3 */

static const struct rule_param params[] = {
    {"max_ratio", 0.2, 1e-6, 1e6, "median of |dw|/|w| above which steps are too large"},
    {"min_ratio", 1e-5, 0, 1, "median of |dw|/|w| below which nothing is learnt"},
    {"min_factor", 10, 1, 1e9, "by which one weight must leave the others"},
    {"min_score", 6, 0, 1000, "of its usual deviations from them, likewise"},
    {"fast_ratio", 0.1, 0, 1e6, "|dw|/|w| of one weight that is too much"},
    {"fast_factor", 30, 1, 1e9, "if it is so many times the median of the others"},
};

/* One weight against the others. */
struct pace {
    double last; /* log10 of its ratio */
    int64_t step;
    uint32_t n;  /* readings */
    double mean; /* of its distance from the median */
    double deviation;
    int64_t odd_since;
    struct rule_latch odd;
    struct rule_latch fast;
};

struct paces {
    struct rule_slots slots; /* struct pace */
    uint32_t n_steps;        /* with a median */
    uint32_t n_low; /* in a row, from the first on; UINT32_MAX: no longer looked at */
    double lowest;  /* median, when it was half as many steps */
    double usual;   /* of the median */
    double deviation;
    int64_t leap_since;
    struct rule_latch leap;
    int64_t high_since;
    struct rule_latch high;
    double *sorted;
    size_t sorted_size;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->role == BARO_UPDATE && thing->n_dims >= 2;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    (void)state;
    double ratio = reading->f64[SUMMARY_UPDATE_RATIO];
    if (isfinite(ratio) && ratio > 0) {
        rule_note_value(context, 0, log10(ratio), 0, 0);
    }
}

static double *room(struct paces *paces, size_t n)
{
    if (n > paces->sorted_size) {
        paces->sorted_size = 2 * n;
        paces->sorted =
            baro_xrealloc(paces->sorted, paces->sorted_size, sizeof *paces->sorted);
    }
    return paces->sorted;
}

/* The median over the step's readings, or, where they are few, over all recent ones. */
static size_t find_median(
    struct paces *paces, const struct rule_fact *facts, size_t n_facts, double *out_median)
{
    double *sorted = room(paces, n_facts > paces->slots.n ? n_facts : paces->slots.n);
    size_t n = 0;
    for (size_t i = 0; i < n_facts; i++) {
        sorted[n++] = facts[i].value;
    }
    if (n_facts < FEW) {
        n = 0;
        for (size_t i = 0; i < paces->slots.n; i++) {
            const struct pace *pace = &((const struct pace *)paces->slots.items)[i];
            if (pace->n > 0 && facts[0].step - pace->step <= FRESH_STEPS) {
                sorted[n++] = pace->last;
            }
        }
    }
    *out_median = rule_median(sorted, n);
    return n;
}

static bool is_meant(const struct rule_context *context)
{
    int64_t since = rule_change(context, JUDGE_CHANGE_LR | JUDGE_CHANGE_EVENT);
    return since != INT64_MIN && since <= context->step &&
           context->step - since < LEAP_EXCUSE;
}

/* All weights at once against their own past. */
static void judge_leap(struct rule_context *context, struct paces *paces, double median,
    struct rule_fact *fact)
{
    double off = median - paces->usual;
    double deviation = paces->deviation + least_deviation;
    bool is_leap = paces->n_steps > WARM_UP && off > leap_factor && median > leap_ratio &&
                   off > context->params[MIN_SCORE] * deviation;
    if (is_leap && paces->leap.n_bad == 0) {
        paces->leap_since = context->step;
    }
    if (rule_latch(&paces->leap, is_leap, LEAP_STEPS, CALM) && !is_meant(context)) {
        fact->code = CODE_LEAP;
        fact->usual = pow(10, paces->usual);
        fact->score = off / deviation;
        fact->from_step = rule_from(paces->leap_since);
        rule_report(context, fact);
    }
    double weight = paces->n_steps < WARM_UP ? 1.0 / paces->n_steps : weight_of_new;
    double limit = 3 * deviation;
    off = paces->n_steps > WARM_UP ? fmax(-limit, fmin(limit, off)) : off;
    paces->usual += weight * off;
    paces->deviation += weight * (fabs(off) - paces->deviation);
}

static void judge_all(struct rule_context *context, struct paces *paces, double median,
    size_t n_weights, const struct rule_fact *first)
{
    const double *p = context->params;
    bool is_high = median > log10(p[MAX_RATIO]);
    if (is_high && paces->high.n_bad == 0) {
        paces->high_since = context->step;
    }
    struct rule_fact fact = {.step = first->step,
        .time_ns = first->time_ns,
        .thing = first->thing,
        .value = pow(10, median),
        .n_units = (uint32_t)n_weights,
        .unit = -1,
        .row = -1,
        .duty = first->duty,
        .rule = first->rule};
    judge_leap(context, paces, median, &fact);
    unsigned n_to_on = median >= 0 ? 1 : HIGH_STEPS;
    if (rule_latch(&paces->high, is_high, n_to_on, CALM)) {
        fact.code = CODE_HIGH;
        fact.usual = p[MAX_RATIO];
        fact.from_step = rule_from(paces->high_since);
        rule_report(context, &fact);
    }
    bool is_low = p[MIN_RATIO] > 0 && median < log10(p[MIN_RATIO]);
    if (!is_low) {
        paces->n_low = UINT32_MAX;
    } else if (paces->n_low != UINT32_MAX) {
        uint32_t n = ++paces->n_low;
        bool is_look = n >= LOW_STEPS / 2 && (n & (n - 1)) == 0;
        if (is_look) {
            bool is_rising = n < LOW_STEPS || median > paces->lowest + min_rise;
            paces->lowest = median;
            if (!is_rising) {
                paces->n_low = UINT32_MAX;
                fact.code = CODE_LOW;
                fact.usual = p[MIN_RATIO];
                fact.from_step = rule_from(context->step);
                rule_report(context, &fact);
            }
        }
    }
}

static void judge_one(struct rule_context *context, struct pace *pace, double median,
    const struct rule_fact *fact)
{
    const double *p = rule_params_of(context, fact->thing);
    double distance = fact->value - median;
    double off = fabs(distance - pace->mean);
    bool is_odd = pace->n >= WARM_UP && fact->value > idle_ratio &&
                  off > log10(p[MIN_FACTOR]) &&
                  off > p[MIN_SCORE] * (pace->deviation + least_deviation);
    if (is_odd && pace->odd.n_bad == 0) {
        pace->odd_since = fact->step;
    }
    struct rule_fact told = *fact;
    told.value = pow(10, fact->value);
    if (rule_latch(&pace->odd, is_odd, ODD_READINGS, CALM)) {
        told.code = CODE_ODD;
        told.usual = pow(10, median + pace->mean);
        told.score = off / (pace->deviation + least_deviation);
        told.from_step = rule_from(pace->odd_since);
        rule_report(context, &told);
    }
    bool is_fast = pace->n >= FAST_WARM_UP && fact->value > log10(p[FAST_RATIO]) &&
                   distance > log10(p[FAST_FACTOR]);
    if (rule_latch(&pace->fast, is_fast, FAST_READINGS, CALM) && !pace->odd.is_on) {
        told.code = CODE_FAST;
        told.usual = pow(10, median);
        told.from_step = rule_from(fact->step);
        rule_report(context, &told);
    }
    double weight = pace->n < WARM_UP ? 1.0 / (pace->n + 1) : weight_of_new;
    double limit = 3 * (pace->deviation + least_deviation);
    double delta = distance - pace->mean;
    delta = pace->n >= WARM_UP ? fmax(-limit, fmin(limit, delta)) : delta;
    pace->mean += weight * delta;
    pace->deviation += weight * (fabs(delta) - pace->deviation);
    pace->n++;
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct paces *paces = run_state;
    for (size_t i = 0; i < n_facts; i++) {
        struct pace *pace = rule_slot(&paces->slots, facts[i].thing, sizeof *pace);
        pace->last = facts[i].value;
        pace->step = facts[i].step;
        pace->n += pace->n == 0 ? 1 : 0;
    }
    double median = 0;
    size_t n = find_median(paces, facts, n_facts, &median);
    paces->n_steps++;
    judge_all(context, paces, median, n, &facts[0]);
    for (size_t i = 0; i < n_facts && n > MIN_OTHERS && !paces->high.is_on; i++) {
        struct pace *pace = rule_slot(&paces->slots, facts[i].thing, sizeof *pace);
        judge_one(context, pace, median, &facts[i]);
    }
}

static void release(void *run_state)
{
    struct paces *paces = run_state;
    free(paces->slots.items);
    free(paces->sorted);
}

static void tell_all(const struct rule_fact *fact, struct judge_finding *finding)
{
    bool is_high = fact->code == CODE_HIGH;
    finding->thing = 0;
    if (fact->code == CODE_LEAP) {
        rule_say(finding,
            "Each step changes the weights by %.3g of their size since step %lld (median of "
            "%u weights; %.2g was usual), though the learning rate is the same.",
            fact->value, (long long)finding->step, fact->n_units, fact->usual);
        finding->advice =
            "Look at what is added to the steps: weight decay, gradients that are "
            "not zeroed or not averaged, a loss that is scaled.";
        rule_blame(finding, JUDGE_CAUSE_WEIGHT_DECAY);
        rule_blame(finding, JUDGE_CAUSE_OPTIMISER);
        rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    } else if (is_high) {
        finding->level = fact->value >= 1 ? BARO_ALARM : BARO_WATCH;
        rule_say(finding,
            "Each step changes the weights by %.3g of their size since step %lld (median of "
            "%u weights; 0.001 is usual): what was learnt is overwritten.",
            fact->value, (long long)finding->step, fact->n_units);
        finding->advice = "Lower the learning rate, by 10 times at first.";
        rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
        rule_blame(finding, JUDGE_CAUSE_NO_CLIPPING);
    } else {
        rule_say(finding,
            "Each step changes the weights by %.1e of their size only (median of %u weights; "
            "0.001 is usual): hardly anything will be learnt.",
            fact->value, fact->n_units);
        finding->advice = "Raise the learning rate, or look at what scales gradients down.";
        rule_blame(finding, JUDGE_CAUSE_LR_LOW);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    finding->step = rule_since(fact);
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_UPDATE_RATIO, -1,
        finding->step - 64, "|dw|/|w|, the size of its steps");
    if (fact->code == CODE_HIGH || fact->code == CODE_LOW || fact->code == CODE_LEAP) {
        tell_all(fact, finding);
        return;
    }
    if (fact->code == CODE_ODD) {
        rule_say(finding,
            "Steps of %s are %.3g of its size since step %lld; beside the other weights %.2g "
            "was usual.",
            name, fact->value, (long long)finding->step, fact->usual);
        finding->advice =
            "Look at the gradient of this weight around that step, and at what "
            "feeds it.";
    } else {
        rule_say(finding,
            "%s changes by %.3g of its size in each step, %.0f times as much as the other "
            "weights.",
            name, fact->value, fact->value / fact->usual);
        finding->advice = "Give it a smaller learning rate or larger initial values.";
    }
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_OPTIMISER);
    rule_blame(finding, JUDGE_CAUSE_INIT);
}

const struct rule rule_update_size = {
    .name = "update_size",
    .sentence = "Steps of the optimiser are too large or too small for the weights.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY),
    .excuses = JUDGE_CHANGE_UNFREEZE | JUDGE_CHANGE_RESTART,
    .run_bytes = sizeof(struct paces),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
