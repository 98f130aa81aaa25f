/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Is the model in the right mode? Dropout and batch norm do one thing in training and another in
 * evaluation; a forgotten model.train() or model.eval() raises no error.
 *
 *   left     the model is trained in evaluation mode. The watcher sees that and says so, in an
 *            event of its own ("the model is trained while it is in evaluation mode ...",
 *            lib/python/barograph/_watch/optimizers.py). It is told when the run has trained in
 *            training mode for 8 steps or more: a model that is fine-tuned in evaluation mode from
 *            the start, to keep its batch norm, is meant so.
 *   dropped  without such a word (C, another framework): dropout can be told by its zeros. A layer
 *            that gave more zeros than the activation before it, in each of 16 readings, gives
 *            exactly as many as that in 4 readings in a row: it lets everything pass. Its first
 *            zeros are told as its usual share.
 *   never    the other way round: evaluation is measured without gradients in training mode
 *            (no_grad/NAME): dropout is on in it, and a score of evaluation
 *            ("val_loss") is logged. What is asked of a model in training for other reasons
 *            (teachers, replay, samples of a generator) logs no such score. Only if no series of
 *            evaluation (eval/NAME) exists.
 *
 * A dropout layer is known by what it does, not by its name: of n elements that are not zero before
 * it, a share p becomes zero, and all others are multiplied by 1 / (1 - p). So it has more zeros
 * than what came before it, and a larger maximum: a rectifier has more zeros, too, but never a
 * larger maximum. With p = 0.3 and 8,192 elements the standard deviation of the share is 0.005, so
 * 16 readings that are all above 0.02 are no accident.
 *
 * Worked number: the rectifier before gives 4,096 zeros of 8,192, the dropout 5,325; after the first
 * evaluation both give 4,096: told at the fourth such step.
 *
 * Known limits: batch norm's mode shows only by the watcher's word; a dropout whose input is not
 * measured just before it (ids that do not follow each other) is not known.
 */

enum { MIN_READINGS, IN_A_ROW };
enum { CODE_LEFT, CODE_DROPPED, CODE_NEVER, CODE_ZEROS, CODE_SCORE, CODE_EVAL };
enum { CALM = 8, MIN_TRAINED = 8, MIN_COUNT = 64 };

static const double min_dropped = 0.02;
static const char left_words[] = "the model is trained while it is in evaluation mode";

static const struct rule_param params[] = {
    {"min_readings", 16, 2, 100000,
        "of a layer that drops, before it is known as a dropout"},
    {"in_a_row", 4, 1, 100000, "readings in which it drops nothing"},
};

/* What was seen of a layer's zeros, across steps. */
struct layer {
    uint32_t n_dropping; /* readings in a row with more zeros than before it */
    bool is_dropout;
    double share; /* that it dropped, of what came in */
    int64_t since;
    struct rule_latch latch;
};

struct modes {
    struct rule_slots slots; /* struct layer */
    bool has_score;
    bool has_eval;
    bool has_told_never;
    bool has_told_left;
};

static bool applies(const struct judge_thing *thing)
{
    if (thing->id == 0) {
        return true;
    }
    return thing->is_tensor ? thing->role == BARO_ACT
                            : thing->is_eval && (thing->meaning == JUDGE_LOSS ||
                                                    thing->meaning == JUDGE_ACCURACY);
}

static void on_event(struct rule_context *context, const struct reading *reading)
{
    size_t n = sizeof left_words - 1;
    size_t n_words = 0;
    const char *words = rule_own_words(reading, &n_words);
    if (words != NULL && n_words >= n && memcmp(words, left_words, n) == 0) {
        rule_note(context, &(struct rule_fact){.code = CODE_LEFT, .unit = -1, .row = -1});
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    uint32_t *n_readings = state;
    if (reading->header.kind == READING_EVENT) {
        on_event(context, reading);
        return;
    }
    if (reading->header.kind == READING_SCALAR || context->thing->is_eval) {
        if ((*n_readings)++ == 0) {
            rule_note(
                context, &(struct rule_fact){
                             .code = context->thing->is_tensor ? CODE_EVAL : CODE_SCORE,
                             .unit = -1,
                             .row = -1});
        }
        return;
    }
    const double *stats = reading->f64;
    if (stats[SUMMARY_COUNT] >= MIN_COUNT) {
        rule_note_value(context, CODE_ZEROS, stats[SUMMARY_N_ZERO], stats[SUMMARY_ABS_MAX],
            stats[SUMMARY_COUNT]);
    }
}

/* What a layer drops of what comes in, by the zeros of it and of the activation before it; NaN
 * when it cannot be one that drops. */
static double dropped(const struct rule_fact *before, const struct rule_fact *fact)
{
    double left = before->score - before->value;
    double share = (fact->value - before->value) / left;
    bool is_alike =
        fabs(before->score - fact->score) < 0.5 && fact->thing == before->thing + 1;
    bool is_dropout = fabs(share) <= 0 || fact->usual > before->usual * (1 + 0.5 * share);
    return is_alike && left >= MIN_COUNT / 2.0 && is_dropout ? share : (double)NAN;
}

static void judge_never(struct rule_context *context, struct modes *modes, double share,
    const struct rule_fact *fact)
{
    bool is_dropping = share > min_dropped && share < 1 - min_dropped;
    if (is_dropping && modes->has_score && !modes->has_eval && !modes->has_told_never) {
        modes->has_told_never = true;
        struct rule_fact told = *fact;
        told.code = CODE_NEVER;
        told.value = share;
        told.usual = 0;
        told.score = 0;
        rule_report(context, &told);
    }
}

static void judge_dropped(struct rule_context *context, struct modes *modes,
    struct layer *layer, double share, const struct rule_fact *fact)
{
    const double *p = rule_params_of(context, fact->thing);
    bool is_passing = fabs(share) <= 0;
    if (is_passing && layer->latch.n_bad == 0) {
        layer->since = fact->step;
    }
    bool is_new = rule_latch(
        &layer->latch, layer->is_dropout && is_passing, (unsigned)p[IN_A_ROW], CALM);
    if (is_new && !modes->has_told_left) {
        modes->has_told_left = true;
        struct rule_fact told = *fact;
        told.code = CODE_DROPPED;
        told.from_step = rule_from(layer->since);
        told.value = 0;
        told.usual = layer->share;
        told.score = 0;
        rule_report(context, &told);
    }
    if (share > min_dropped && share < 1 - min_dropped) {
        layer->share = layer->n_dropping == 0 ? share : 0.9 * layer->share + 0.1 * share;
        layer->n_dropping++;
        layer->is_dropout |= layer->n_dropping >= p[MIN_READINGS];
    } else if (!layer->is_dropout) {
        layer->n_dropping = 0;
    }
}

static void judge_layer(struct rule_context *context, struct modes *modes,
    const struct rule_fact *before, const struct rule_fact *fact)
{
    double share = dropped(before, fact);
    if (!isfinite(share)) {
        return;
    }
    struct layer *layer = rule_slot(&modes->slots, fact->thing, sizeof *layer);
    if (rule_thing(context, fact->thing)->is_no_grad) {
        judge_never(context, modes, share, fact);
    } else {
        judge_dropped(context, modes, layer, share, fact);
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct modes *modes = run_state;
    for (size_t i = 0; i < n_facts; i++) {
        modes->has_score |= facts[i].code == CODE_SCORE;
        modes->has_eval |= facts[i].code == CODE_EVAL;
    }
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        if (fact->code == CODE_LEFT) {
            if (rule_n_steps(context) >= MIN_TRAINED && !modes->has_told_left) {
                modes->has_told_left = rule_report(context, fact);
            }
        } else if (fact->code == CODE_ZEROS && i > 0 && facts[i - 1].code == CODE_ZEROS) {
            judge_layer(context, modes, &facts[i - 1], fact);
        }
    }
}

static void release(void *run_state)
{
    free(((struct modes *)run_state)->slots.items);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    rule_blame(finding, JUDGE_CAUSE_EVAL_MODE);
    if (fact->code == CODE_NEVER) {
        rule_say(finding,
            "Evaluation runs in training mode: %s drops %.0f%% of its inputs, so its scores "
            "are worse than the model is.",
            name, 100 * fact->value);
        finding->advice =
            "Call model.eval() before evaluation, and model.train() after it.";
    } else if (fact->code == CODE_LEFT) {
        finding->level = BARO_ALARM;
        rule_say(finding,
            "The model is trained in evaluation mode since step %lld: dropout is off and batch "
            "norm does not learn.",
            (long long)fact->step);
        finding->advice = "Call model.train() after each evaluation.";
        return;
    } else {
        finding->step = rule_since(fact);
        finding->level = BARO_ALARM;
        rule_say(finding,
            "%s drops nothing any more since step %lld (%.0f%% was usual): the model is trained "
            "in evaluation mode.",
            name, (long long)finding->step, 100 * fact->usual);
        finding->advice =
            "Call model.train() after each evaluation; if dropout was switched off "
            "on purpose, all is well.";
    }
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_N_ZERO, -1, finding->step - 32,
        "zeros that it gives");
}

const struct rule rule_eval_mode = {
    .name = "eval_mode",
    .sentence = "The model is trained in evaluation mode, or evaluated in training mode.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds =
        RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_SCALAR) | RULE_KIND(READING_EVENT),
    .excuses = 0,
    .state_bytes = sizeof(uint32_t),
    .run_bytes = sizeof(struct modes),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
