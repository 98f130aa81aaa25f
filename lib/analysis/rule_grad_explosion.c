/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "lib/analysis/robust.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Do gradients explode? The norm of the gradient leads the loss by some steps: of BLOOM-176B's
 * spike of 2022-04-12 it was 0.242, 0.947, 2.39, 15.9, 145, 960 at iterations 31214 to 31219, while the
 * loss was 2.2 to 2.6 until 31218. All is judged on y = ln(norm), because norms grow by factors:
 *
 *   e = y - median(y of the last 128 readings), their deviation s = 1.4826 * MAD, at least 0.05
 *   high       e > ln(min_factor) and e > min_score * s, and y has risen by ln(min_factor) within
 *              the last 8 readings, too: what took longer is drift
 *   found      two high readings in a row, the second above the first and above min_second, and
 *              above 1.2 times the largest e of the past (which fades, half-life 8000 readings);
 *              or one reading above ln(min_single) and 1.5 times that largest
 *
 * The norm of a single tensor's gradient is noisier than the norm of all: there the factors are
 * multiplied with tensor_factor. But where at least half of all gradients measured in a step (3 or
 * more) are high at once, they bear each other out: the median of their e is judged by the same two
 * tests as the norm of all, which need not be logged. When the norm of all explodes, or the tensors'
 * median, the tensor that is furthest out in that step is told, with its own factor. At the start,
 * before 32 readings are known, only a norm that passed 100 times the largest of the first 5 and rises
 * on three readings in a row is told.
 *
 * Worked: after 128 readings around 0.25 (s = 0.05), 0.947 is 3.8 times the median: high, not yet
 * told. 2.39 is 9.6 times it, and the second: told, at 31216, two steps before the loss jumps.
 *
 * Rejected: z-scores of the norm itself (its distribution is skewed: false alarms); 10 times the
 * maximum of the past (fires at 31217 at the earliest). Known failures: gradients that grow by less
 * than a factor of 3 in 8 readings are drift's business; a norm that is logged after clipping is
 * bounded and shows nothing.
 */

enum { MIN_FACTOR, MIN_SECOND, MIN_SINGLE, MIN_SCORE, TENSOR_FACTOR, WARM_UP };

static const struct rule_param params[] = {
    {"min_factor", 3, 1.1, 1000,
        "times the median that each of two readings in a row exceeds"},
    {"min_second", 5, 1.1, 1e6, "times the median that the second of them exceeds"},
    {"min_single", 30, 1.1, 1e9, "times the median that one reading alone exceeds"},
    {"min_score", 6, 0, 1000, "robust deviations of ln(norm) above its median"},
    {"tensor_factor", 3, 1, 1000, "what these factors are multiplied with for one tensor"},
    {"warm_up", 32, 8, 128, "readings that are only learnt from"},
};

enum { PLAIN = 1, CANDIDATE, FOUND, EARLY, TOGETHER };
enum { MIN_TOGETHER = 3 };
enum { N_FIRST = 5, N_BACK = 8, N_RISING = 3, CALM_READINGS = 8 };

static const double least_deviation = 0.05;
static const double peak_fade = 0.99991336; /* 0.5 ^ (1 / 8000) */
static const double over_peak_twice = 1.2;
static const double over_peak_once = 1.5;
static const double early_factor = 100;
static const double calm_score = 3;

struct memory {
    struct robust window; /* of ln(norm) */
    double last;
    double first_max;
    double peak; /* largest excess of the past, fading */
    uint32_t n;
    uint32_t n_high;
    uint32_t n_rising;
    uint32_t n_to_calm; /* calm readings wanted before the next finding; 0: none */
};

/* What the tensors say together. */
struct run_memory {
    double last; /* median excess of the step before, when it was high */
    double peak; /* largest of the past, fading */
    uint32_t n_high;
    uint32_t n_to_calm;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->is_tensor ? thing->role == BARO_GRAD && !thing->is_eval
                            : thing->meaning == JUDGE_GRAD_NORM;
}

/* The smallest of the last readings, some back. */
static double lately(const struct robust *window)
{
    double least = window->ring[(window->next + ROBUST_WINDOW - 1) % ROBUST_WINDOW];
    for (uint32_t i = 1; i < N_BACK && i < window->n; i++) {
        uint32_t at = (window->next + ROBUST_WINDOW - 1 - i) % ROBUST_WINDOW;
        least = fmin(least, window->ring[at]);
    }
    return least;
}

/* How far out a reading is, and whether it is to be told. */
static uint32_t look(struct memory *memory, const double *p, double scale, double y,
    double *out_excess, double *out_score)
{
    double median = robust_median(&memory->window);
    double excess = y - median;
    double factor = log(p[MIN_FACTOR] * scale);
    double score = 0;
    if (excess > log(p[MIN_FACTOR]) ||
        memory->n_to_calm > 0) { /* else not worth its walk */
        double deviation = ROBUST_MAD_TO_SIGMA * robust_mad(&memory->window, median);
        score = excess / fmax(deviation, least_deviation);
    }
    double rise = excess > log(p[MIN_FACTOR]) ? y - lately(&memory->window) : 0;
    bool is_high = excess > factor && score > p[MIN_SCORE] && rise > factor;
    memory->n_high = !is_high                                 ? 0
                     : memory->n_high > 0 && y > memory->last ? memory->n_high + 1
                                                              : 1;
    bool is_found = memory->n_high >= 2 && excess > log(p[MIN_SECOND] * scale) &&
                    excess > over_peak_twice * memory->peak;
    is_found |= is_high && excess > log(p[MIN_SINGLE] * scale) &&
                excess > over_peak_once * memory->peak;
    bool is_told = is_found && memory->n_to_calm == 0;
    if (is_found) {
        memory->n_to_calm = CALM_READINGS;
    } else if (memory->n_to_calm > 0) {
        memory->n_to_calm = score < calm_score ? memory->n_to_calm - 1 : CALM_READINGS;
    }
    *out_excess = excess;
    *out_score = score;
    memory->peak = fmax(memory->peak * peak_fade, excess);
    bool is_candidate = score > p[MIN_SCORE] && rise > log(p[MIN_FACTOR]);
    return is_told ? FOUND : is_candidate ? CANDIDATE : PLAIN;
}

/* Before enough is known: only what is beyond all doubt. */
static uint32_t look_early(struct memory *memory, double y)
{
    if (memory->n < N_FIRST) {
        memory->first_max = memory->n == 0 ? y : fmax(memory->first_max, y);
        return 0;
    }
    bool is_rising = y > memory->first_max + log(early_factor) && y > memory->last;
    memory->n_rising = is_rising ? memory->n_rising + 1 : 0;
    return memory->n_rising == N_RISING ? EARLY : 0;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    bool is_tensor = reading->header.kind == READING_SUMMARY;
    double norm = is_tensor ? reading->f64[SUMMARY_L2] : reading->f64[0];
    if (!isfinite(norm) || norm <= 0) {
        return;
    }
    double y = log(norm);
    double excess = y - memory->first_max;
    double score = 0;
    const double *p = context->params;
    uint32_t code =
        memory->n < p[WARM_UP]
            ? look_early(memory, y)
            : look(memory, p, is_tensor ? p[TENSOR_FACTOR] : 1, y, &excess, &score);
    memory->last = y;
    memory->n += memory->n < UINT32_MAX ? 1 : 0;
    robust_push(&memory->window, y);
    if (code == 0 || (code <= CANDIDATE && !is_tensor)) {
        return;
    }
    rule_note_value(context, code, norm, exp(y - excess), score);
}

static double excess_of(const struct rule_fact *fact)
{
    return log(fact->value / fact->usual);
}

/* The median excess of all tensors of a step, of which n_high are high, the larger half or more. */
static double median_excess(const struct rule_fact *facts, size_t n_facts, size_t n_tensors)
{
    double *excesses = baro_xcalloc(n_facts, sizeof *excesses);
    size_t n = 0;
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].code == CANDIDATE || facts[i].code == FOUND) {
            excesses[n++] = excess_of(&facts[i]);
        }
    }
    qsort(excesses, n, sizeof *excesses, baro_by_double);
    size_t below = n_tensors - n; /* those that are not high */
    double median = excesses[n_tensors / 2 > below ? n_tensors / 2 - below : 0];
    free(excesses);
    return median;
}

/* Judge all tensors of a step together, as the norm of all is judged. */
static bool look_together(struct rule_context *context, struct run_memory *run,
    const struct rule_fact *facts, size_t n_facts, size_t n_tensors)
{
    const double *p = context->params;
    size_t n_high = 0;
    for (size_t i = 0; i < n_facts; i++) {
        bool is_tensor = rule_thing(context, facts[i].thing)->is_tensor;
        n_high += is_tensor && (facts[i].code == CANDIDATE || facts[i].code == FOUND);
    }
    run->peak *= peak_fade;
    if (n_tensors < MIN_TOGETHER || 2 * n_high < n_tensors) {
        run->n_high = 0;
        run->n_to_calm -= run->n_to_calm > 0 ? 1 : 0;
        return false;
    }
    double excess = median_excess(facts, n_facts, n_tensors);
    run->n_high = run->n_high > 0 && excess > run->last ? run->n_high + 1 : 1;
    bool is_found = run->n_high >= 2 && excess > log(p[MIN_SECOND]) &&
                    excess > over_peak_twice * run->peak;
    is_found |= excess > log(p[MIN_SINGLE]) && excess > over_peak_once * run->peak;
    bool is_told = is_found && run->n_to_calm == 0;
    run->n_to_calm = is_found || run->n_to_calm > 0 ? CALM_READINGS : 0;
    run->last = excess;
    run->peak = fmax(run->peak, excess);
    return is_told;
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    const struct rule_fact *worst = NULL; /* of the tensors */
    bool is_found = false;
    size_t n_tensors = 0;
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        bool is_tensor = rule_thing(context, fact->thing)->is_tensor;
        n_tensors += is_tensor ? 1 : 0;
        is_found |= fact->code == FOUND || fact->code == EARLY;
        if (is_tensor && fact->code != PLAIN &&
            (worst == NULL || fact->value * worst->usual > worst->value * fact->usual)) {
            worst = fact;
        }
    }
    bool is_together = look_together(context, run_state, facts, n_facts, n_tensors);
    if (!is_found && !is_together) {
        return;
    }
    for (size_t i = 0; i < n_facts; i++) {
        if (!rule_thing(context, facts[i].thing)->is_tensor) {
            rule_report(context, &facts[i]);
        }
    }
    if (worst != NULL) {
        struct rule_fact told = *worst;
        told.code = is_together ? (uint32_t)TOGETHER : worst->code;
        told.n_units = 0;
        rule_report(context, &told);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    bool is_tensor = context->thing->is_tensor;
    rule_say(finding, "%s%s exploded to %.3g at step %lld, %.3g times %s (%.3g).",
        is_tensor ? "The gradient of " : "", context->thing->name, fact->value,
        (long long)fact->step, fact->value / fact->usual,
        fact->code == EARLY ? "its largest at the start" : "its usual", fact->usual);
    if (fact->code == TOGETHER) {
        rule_say_more(finding, " So did at least half of all gradients.");
    }
    finding->advice =
        "The loss often follows within a few steps. Clip the gradient's norm, lower the "
        "learning rate, or go back to a checkpoint from before this step and skip its batches.";
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_NO_CLIPPING);
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_blame(finding, JUDGE_CAUSE_INIT);
    rule_show(finding, fact->thing, is_tensor ? READING_SUMMARY : READING_SCALAR,
        is_tensor ? SUMMARY_L2 : 0, -1, fact->step - 128,
        "the norm of the gradient before it and now");
}

const struct rule rule_grad_explosion = {
    .name = "grad_explosion",
    .sentence = "The norm of a gradient grows by large factors within a few readings.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_SCALAR) | RULE_KIND(READING_SUMMARY),
    .excuses = JUDGE_CHANGE_RESTART | JUDGE_CHANGE_UNFREEZE | JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct memory),
    .run_bytes = sizeof(struct run_memory),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
