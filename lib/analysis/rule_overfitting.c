/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/robust.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Does the model learn its training data by heart? A loss of evaluation that rises while the loss of
 * training still falls. With v the readings of one loss of evaluation, v* the best of them, and T the
 * smooth training loss (exponential mean, weight 1/32) as of each:
 *
 *   v > v* + max(`min_rise` * |v*|, 3 * noise)   at `patience` evaluations in a row,
 *   none of them below the one before by more than noise, and
 *   T < T* - `min_fall` * |T*|                   training has gained since the best evaluation
 *
 * noise is the deviation of the steps between evaluations, by their median: 1.4826 / sqrt(2) times
 * the median of |v(i) - v(i-1)|, over those before the best and a few after. It is told once, until
 * a better evaluation comes.
 *
 * Worked: v = 1.0, 0.8, 0.7, 0.76, 0.80, 0.85 and T falling from 1 to 0.3: the best is 0.7, its 5 % are
 * 0.035, noise is about 0.06 (median of 0.2, 0.1, 0.06 is 0.1, times 1.05), so the third above 0.7 +
 * 0.315 would be needed; with 20 quiet evaluations before, 0.7 + 0.035 is enough.
 *
 * Needs readings of both; a run that evaluates three times is never told.
 */

enum { MIN_RISE, PATIENCE, MIN_FALL };

static const struct rule_param params[] = {
    {"min_rise", 0.05, 0, 100, "rise over the best evaluation, as a part of it"},
    {"patience", 3, 1, 1000, "evaluations in a row that are worse"},
    {"min_fall", 0.02, 0, 1, "fall of the training loss since then, as a part of it"},
};

enum { MAX_EVALS = 16, TRAIN = 1, EVAL };

static const double train_weight = 1.0 / 32;

/* What is kept of a training loss, by its own readings. */
struct memory {
    struct smooth smooth;
    uint32_t n;
};

/* One loss of evaluation. */
struct eval {
    uint32_t thing; /* 0: free */
    uint32_t n;
    uint32_t n_worse;
    double last;
    double best;
    double train_at_best;
    int64_t best_step;
    struct robust moves; /* |v(i) - v(i-1)| */
    bool is_told;
};

struct run_memory {
    uint32_t train_thing; /* the first training loss */
    double train;         /* its smooth value; valid if has_train */
    bool has_train;
    struct eval evals[MAX_EVALS];
};

static bool applies(const struct judge_thing *thing)
{
    return thing->meaning == JUDGE_LOSS && (thing->is_eval || judge_is_main_loss(thing));
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    double value = reading->f64[0];
    if (!isfinite(value)) {
        return;
    }
    struct rule_fact fact = {.unit = -1, .row = -1, .code = EVAL, .value = value};
    if (!context->thing->is_eval) {
        smooth_push(&memory->smooth, value, train_weight);
        memory->n++;
        if (memory->n % 8 != 0) {
            return; /* an exponential mean of 32 readings says nothing new at each */
        }
        fact.code = TRAIN;
        fact.value = memory->smooth.mean;
    }
    rule_note(context, &fact);
}

static struct eval *eval_of(struct run_memory *run, uint32_t thing)
{
    for (int i = 0; i < MAX_EVALS; i++) {
        if (run->evals[i].thing == thing || run->evals[i].thing == 0) {
            run->evals[i].thing = thing;
            return &run->evals[i];
        }
    }
    return NULL;
}

/* Learn one evaluation; true when it is one too many that is worse. */
static bool is_overfitted(struct eval *eval, const double *p, double value, double train)
{
    double noise = ROBUST_MAD_TO_SIGMA / sqrt(2.0) * robust_median(&eval->moves);
    bool is_first = eval->n == 0;
    if (!is_first) {
        robust_push(&eval->moves, fabs(value - eval->last));
    }
    double last = eval->last;
    eval->last = value;
    eval->n++;
    if (is_first || value < eval->best) {
        eval->best = value;
        eval->train_at_best = train;
        eval->n_worse = 0;
        eval->is_told = false;
        return false;
    }
    double margin = fmax(p[MIN_RISE] * fabs(eval->best), isnan(noise) ? 0 : 3 * noise);
    bool is_worse = value > eval->best + margin && !(value < last - fmax(noise, 0));
    eval->n_worse = is_worse ? eval->n_worse + 1 : 0;
    double gained = eval->train_at_best - train;
    return eval->n_worse >= p[PATIENCE] && !eval->is_told &&
           gained > p[MIN_FALL] * fabs(eval->train_at_best);
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct run_memory *run = run_state;
    for (size_t i = 0; i < n_facts; i++) {
        bool is_first = run->train_thing == 0 || facts[i].thing <= run->train_thing;
        if (facts[i].code == TRAIN && is_first) {
            run->train_thing = facts[i].thing;
            run->train = facts[i].value;
            run->has_train = true;
        }
    }
    for (size_t i = 0; i < n_facts && run->has_train; i++) {
        struct eval *eval = facts[i].code == EVAL ? eval_of(run, facts[i].thing) : NULL;
        if (eval == NULL) {
            continue;
        }
        bool is_best = eval->n == 0 || facts[i].value < eval->best;
        eval->best_step = is_best ? facts[i].step : eval->best_step;
        const double *p = rule_params_of(context, facts[i].thing);
        if (is_overfitted(eval, p, facts[i].value, run->train)) {
            struct rule_fact fact = facts[i];
            fact.usual = eval->best;
            fact.from_step = eval->best_step;
            fact.score = fact.value / fact.usual;
            eval->is_told = rule_report(context, &fact);
        }
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct run_memory *run = rule_run_state(context);
    rule_say(finding,
        "%s rises while the training loss falls: %.4g at step %lld, its best was %.4g at step %lld.",
        context->thing->name, fact->value, (long long)fact->step, fact->usual,
        (long long)fact->from_step);
    finding->advice =
        "Keep the checkpoint of the best evaluation; more data, augmentation, dropout, weight decay "
        "or a smaller model help.";
    rule_blame(finding, JUDGE_CAUSE_OVERFITTING);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, fact->from_step,
        "the loss of evaluation from its best on");
    rule_show(finding, run->train_thing, READING_SCALAR, 0, -1, fact->from_step,
        "the training loss meanwhile");
}

const struct rule rule_overfitting = {
    .name = "overfitting",
    .sentence = "A loss of evaluation rises while the training loss falls.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct memory),
    .run_bytes = sizeof(struct run_memory),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
