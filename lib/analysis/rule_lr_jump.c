/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Did the learning rate do what no schedule does? Schedules rise gently (warm-up), fall as they like
 * (steps, cosine, to zero at the end), and jump back at most to what they had before (warm
 * restarts, cycles). So only four things are told:
 *
 *   up    in one step by more than `min_factor`, to more than `min_factor` times all before it,
 *         after at least 3 readings; a warm-up may double from its first step to its second
 *   ramp  step by step, to more than `min_ramp` times all before it, after 64 readings or more in
 *         which it never was higher than before: a schedule rises at its beginning only
 *   zero  exactly 0, or negative, from more than 1 % of its largest in one step, and the run goes
 *         on for 2 more readings without another value
 *   spent  below 1 / `max_fall` of its largest for as many readings as it was not, and 64 (16 of
 *         exactly 0): a
 *         schedule comes to its end when the training does; this one was made for a shorter run, or its
 *         epochs were counted in steps
 *
 * Worked: 1e-3 for 100 steps, then 1e-1: 100 times its largest: told at that step. A warm-up 1e-5,
 * 2e-5, 3e-5 and a cosine restart from 1e-6 to 1e-3, where 1e-3 had been before: quiet.
 */

enum { MIN_FACTOR, MIN_RAMP, MAX_FALL };

static const struct rule_param params[] = {
    {"min_factor", 2.5, 1.1, 1e6, "times the largest before and the last, in one step"},
    {"min_ramp", 1.5, 1.1, 1e6, "times the largest of a schedule that had ceased to rise"},
    {"max_fall", 1e4, 10, 1e30, "times below the largest, at which nothing is learnt"},
};

enum { UP = 1, ZERO, RAMP, SPENT };
enum { MIN_READINGS = 3, ZERO_READINGS = 3, SPENT_READINGS = 16, SETTLED = 64 };

struct memory {
    double largest;
    double last;
    double before_zero;
    double settled;    /* largest of a schedule that had ceased to rise; 0: none */
    uint32_t n_below;  /* readings since it was higher than ever */
    int64_t ramp_step; /* where it began to rise again */
    uint32_t n;
    uint32_t n_zero;
    uint32_t n_spent; /* readings in a row below 1 / max_fall of the largest */
    int64_t spent_step;
    bool is_watching;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->meaning == JUDGE_LR && !thing->is_eval;
}

/* A rise beyond all before it, after the schedule had ceased to rise. */
static void look_at_ramp(struct rule_context *context, struct memory *memory, double value)
{
    if (value <= memory->largest) {
        memory->n_below += memory->n_below < UINT32_MAX ? 1 : 0;
        return;
    }
    if (memory->n_below >= SETTLED) {
        memory->settled = memory->largest;
        memory->ramp_step = context->step;
    }
    memory->n_below = 0;
    bool is_leap = value > context->params[MIN_FACTOR] * memory->last;
    if (memory->settled > 0 && value > context->params[MIN_RAMP] * memory->settled) {
        if (!is_leap) {
            rule_note_since(context, RAMP, memory->ramp_step, value, memory->settled,
                value / memory->settled);
        }
        memory->settled = 0;
    }
}

/* A schedule that is over while the training goes on. */
static void look_at_end(struct rule_context *context, struct memory *memory, double value)
{
    if (!(value * context->params[MAX_FALL] < memory->largest * (1 - 1e-6))) {
        memory->n_spent = 0;
        return;
    }
    if (memory->n_spent++ == 0) {
        memory->spent_step = context->step;
    }
    uint32_t n_before = memory->n + 1 - memory->n_spent;
    uint32_t limit = n_before > SETTLED ? n_before : SETTLED;
    if (memory->n_spent == (value > 0 ? limit : SPENT_READINGS)) {
        rule_note_since(context, SPENT, memory->spent_step, value, memory->largest,
            value / memory->largest);
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    double value = reading->f64[0];
    if (!isfinite(value)) {
        return;
    }
    double factor = context->params[MIN_FACTOR];
    bool is_up = memory->largest > 0 && value > factor * memory->largest &&
                 value > factor * memory->last;
    if (is_up && memory->n >= MIN_READINGS) {
        double usual = memory->last > 0 ? memory->last : memory->largest;
        rule_note_value(context, UP, value, usual, value / usual);
    }
    if (value <= 0 && memory->n > 0 && memory->last > 0.01 * memory->largest &&
        memory->last > 0) {
        memory->is_watching = true;
        memory->n_zero = 0;
        memory->before_zero = memory->last;
    }
    memory->n_zero = value <= 0 ? memory->n_zero + 1 : 0;
    memory->is_watching &= value <= 0;
    if (memory->is_watching && memory->n_zero == ZERO_READINGS) {
        rule_note_value(
            context, ZERO, value, memory->before_zero, value / memory->before_zero);
    }
    look_at_ramp(context, memory, value);
    look_at_end(context, memory, value);
    memory->largest = fmax(memory->largest, value);
    memory->last = value;
    memory->n += memory->n < UINT32_MAX ? 1 : 0;
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if (fact->code == UP) {
        rule_say(finding,
            "%s jumped from %.3g to %.3g at step %lld, more than ever before.",
            context->thing->name, fact->usual, fact->value, (long long)fact->step);
        finding->advice =
            "No schedule does that by itself: look at what set it (a restart, a scheduler that "
            "was stepped twice or made anew, a parameter group with its own rate).";
    } else if (fact->code == RAMP) {
        finding->step = rule_since(fact);
        rule_say(finding,
            "%s rises again since step %lld: to %.3g at step %lld, where %.3g had been the most.",
            context->thing->name, (long long)finding->step, fact->value,
            (long long)fact->step, fact->usual);
        finding->advice =
            "Schedules rise at their beginning only: look at the scheduler's sign and "
            "at what else sets the rate.";
    } else if (fact->code == SPENT) {
        finding->step = rule_since(fact);
        rule_say(finding,
            "%s has been next to nothing since step %lld: %.3g at step %lld, where %.3g had been "
            "the most.",
            context->thing->name, (long long)finding->step, fact->value,
            (long long)fact->step, fact->usual);
        finding->advice =
            "The schedule is over and the training goes on: look whether it is stepped once per "
            "epoch or once per batch, and at its length.";
    } else {
        rule_say(finding, "%s fell from %.3g to %.3g and stays there at step %lld.",
            context->thing->name, fact->usual, fact->value, (long long)fact->step);
        finding->advice =
            "Nothing is learnt at that rate: look at the schedule's length and at "
            "what set it.";
    }
    rule_blame(finding, JUDGE_CAUSE_LR_BUG);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, fact->step - 100,
        "the learning rate before and after");
}

const struct rule rule_lr_jump = {
    .name = "lr_jump",
    .sentence = "The learning rate does what no schedule does.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
