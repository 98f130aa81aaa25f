/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/analysis/unit_stats.h"
#include "lib/base/mem.h"

/*
 * Is a layer dying? A rectifier passes nothing of a unit whose input is negative for every sample;
 * no gradient comes back through it, so it stays so. What is looked at is the share of exact zeros
 * of each unit of an activation: 1 means that not one sample of the batch made it speak.
 *
 *   layer    all units are zero. One that used to speak is dead after 3 readings, or three times
 *            longer than it was ever silent before: a branch that is dropped at random is silent
 *            now and then. One that never spoke is dead after 8: what is initialised to nothing
 *            (the last layer of a residual branch, an adapter) speaks after its first update.
 *   many     the share z of units that are zero throughout a batch rises above everything that was
 *            seen of it by a quarter of all units (a half, within the first 16 readings), in 3
 *            readings in a row, and is at least 0.4.
 *   slowly   half of all units (0.5) spoke once and have not in their last 64 readings.
 *   linear   the opposite: no unit is ever zero, in 64 readings of a layer that used to have zeros
 *            in half of its units. Then it is a straight line; worth knowing, no fault.
 *
 * All of it is relative to the layer's own past, so that layers whose units speak seldom (sparse
 * codes, small batches, the black border of images) are as quiet as any.
 *
 * A dead layer makes those behind it dead or constant, and there is often more than one name for
 * the same zeros (dropout, pooling). Of what shows in one step the first in data flow is told.
 *
 * Worked number: of 128 units at most 19 were zero at once (z = 0.148); then 96 are (z = 0.75).
 * 0.75 > 0.148 + 0.25: told at the third such reading, for the step of the first.
 *
 * Cost: one byte-sized decision and 4 bytes of memory per unit. Known limit: leaky rectifiers,
 * GELU and SiLU have no exact zeros; their units cannot die and are not seen to be weak.
 */

enum { MIN_SHARE, MIN_RISE, SLOW_SHARE, SLOW_READINGS, START_READINGS };
enum { CODE_LAYER, CODE_NEVER, CODE_MANY, CODE_SLOWLY, CODE_LINEAR };
enum {
    WARM_UP = 16,
    IN_A_ROW = 3,
    CALM = 16,
    LINEAR_READINGS = 64,
    MIN_UNITS = 4,
    N_CODES = 5
};

static const double early_rise = 0.5;

static const struct rule_param params[] = {
    {"min_share", 0.4, 0.01, 1, "of all units that are silent at once, before it is told"},
    {"min_rise", 0.25, 0, 1, "of that share above all that was seen of it before"},
    {"slow_share", 0.5, 0.01, 1, "of units that spoke once and do no more"},
    {"slow_readings", 64, 8, 60000, "for how many readings they must have been silent"},
    {"start_readings", 8, 2, 60000, "that a layer which never spoke may take to begin"},
};

struct layer {
    uint32_t n_readings;
    uint32_t n_silent;       /* readings in a row in which all units are zero */
    uint32_t longest_silent; /* of such runs that ended */
    int64_t silent_since;    /* step */
    int64_t many_since;
    float peak_share; /* largest share of silent units while all was well */
    bool has_spoken;
    bool told_slowly;
    uint32_t n_mixed;  /* readings in which half of the units or more had zeros */
    uint32_t n_linear; /* in a row in which at most a tenth has */
    int64_t linear_since;
    bool told_linear;
    struct rule_latch silent;
    struct rule_latch many;
};

struct unit {
    uint16_t n_silent; /* readings in a row */
    bool has_spoken;
};

struct tally {
    uint32_t n_units;
    uint32_t n_silent;  /* zero for the whole batch */
    uint32_t n_gone;    /* spoke once, silent for long */
    uint32_t n_nonzero; /* not one zero in the batch */
};

static bool applies(const struct judge_thing *thing)
{
    return thing->role == BARO_ACT && !thing->is_eval && !thing->is_no_grad &&
           thing->n_units > 0;
}

static struct tally count_units(
    struct unit *units, const float *zeros, uint32_t n_units, uint32_t slow_readings)
{
    struct tally tally = {.n_units = n_units};
    for (uint32_t u = 0; u < n_units; u++) {
        struct unit *unit = &units[u];
        bool is_silent = zeros[u] >= 1;
        unit->has_spoken |= !is_silent;
        unit->n_silent =
            is_silent ? (uint16_t)(unit->n_silent + (unit->n_silent < UINT16_MAX)) : 0;
        tally.n_silent += is_silent ? 1 : 0;
        tally.n_gone += unit->has_spoken && unit->n_silent >= slow_readings ? 1 : 0;
        tally.n_nonzero += zeros[u] > 0 ? 0 : 1;
    }
    return tally;
}

static void note(struct rule_context *context, unsigned code, int64_t since, double value,
    double usual, const struct tally *tally)
{
    rule_note(context, &(struct rule_fact){.code = code,
                           .from_step = rule_from(since),
                           .value = value,
                           .usual = usual,
                           .n_units = tally->n_silent,
                           .score = (double)tally->n_units,
                           .unit = -1,
                           .row = -1});
}

/* All units zero: for too long? */
static void judge_layer(
    struct rule_context *context, struct layer *layer, const struct tally *tally)
{
    bool is_silent = tally->n_silent == tally->n_units;
    if (is_silent && layer->n_silent++ == 0) {
        layer->silent_since = context->step;
    }
    if (!is_silent) {
        /* A death that was told, and healed, is no habit. */
        bool is_habit = layer->has_spoken && !layer->silent.is_on;
        if (is_habit && layer->n_silent > layer->longest_silent) {
            layer->longest_silent = layer->n_silent;
        }
        layer->n_silent = 0;
        layer->has_spoken = true;
    }
    double limit = layer->has_spoken ? IN_A_ROW + 3.0 * layer->longest_silent
                                     : context->params[START_READINGS];
    if (rule_latch(&layer->silent, is_silent && layer->n_silent >= limit, 1, CALM)) {
        note(context, layer->has_spoken ? CODE_LAYER : CODE_NEVER, layer->silent_since, 1,
            0, tally);
    }
}

static void judge_many(
    struct rule_context *context, struct layer *layer, const struct tally *tally)
{
    double share = (double)tally->n_silent / tally->n_units;
    double rise = layer->n_readings < WARM_UP && context->params[MIN_RISE] < early_rise
                      ? early_rise
                      : context->params[MIN_RISE];
    bool is_bad = layer->n_readings > 0 && tally->n_units >= MIN_UNITS &&
                  share > (double)layer->peak_share + rise &&
                  share >= context->params[MIN_SHARE];
    if (is_bad && layer->many.n_bad == 0) {
        layer->many_since = context->step;
    }
    bool is_told = rule_latch(&layer->many, is_bad, IN_A_ROW, CALM);
    /* A layer that is silent altogether, or always was, is the other case's. */
    if (is_told && tally->n_silent < tally->n_units && layer->has_spoken) {
        note(
            context, CODE_MANY, layer->many_since, share, (double)layer->peak_share, tally);
    }
    if (!is_bad && share < 1 && share > (double)layer->peak_share) {
        layer->peak_share = (float)share;
    }
}

static void judge_slowly(
    struct rule_context *context, struct layer *layer, const struct tally *tally)
{
    double gone = (double)tally->n_gone / tally->n_units;
    if (layer->told_slowly || tally->n_units < MIN_UNITS ||
        gone < context->params[SLOW_SHARE] || layer->silent.is_on || layer->many.is_on) {
        return;
    }
    layer->told_slowly = true;
    struct tally told = *tally;
    told.n_silent = tally->n_gone;
    note(context, CODE_SLOWLY, context->step, gone, 0, &told);
}

static void judge_linear(
    struct rule_context *context, struct layer *layer, const struct tally *tally)
{
    double speaking = (double)tally->n_nonzero / tally->n_units;
    layer->n_mixed += speaking <= 0.5 ? 1 : 0;
    if (speaking < 0.9 || tally->n_units < MIN_UNITS) {
        layer->n_linear = 0;
        return;
    }
    if (layer->n_linear++ == 0) {
        layer->linear_since = context->step;
    }
    if (layer->n_linear >= LINEAR_READINGS && layer->n_mixed >= LINEAR_READINGS / 2 &&
        !layer->told_linear) {
        layer->told_linear = true;
        struct tally told = *tally;
        told.n_silent = tally->n_nonzero;
        note(context, CODE_LINEAR, layer->linear_since, speaking, 0.5, &told);
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct layer *layer = state;
    uint32_t n_units = context->thing->n_units;
    if (!unit_fits(reading, n_units)) {
        return;
    }
    struct tally tally = count_units(rule_units(context, state),
        unit_column(reading, n_units, UNIT_FRAC_ZERO), n_units,
        (uint32_t)context->params[SLOW_READINGS]);
    judge_layer(context, layer, &tally);
    judge_many(context, layer, &tally);
    judge_slowly(context, layer, &tally);
    judge_linear(context, layer, &tally);
    layer->n_readings++;
}

/* Of each case the first in data flow. */
static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    (void)run_state;
    bool is_told[N_CODES] = {false};
    for (size_t i = 0; i < n_facts; i++) {
        unsigned code = facts[i].code;
        if (!is_told[code]) {
            is_told[code] = rule_report(context, &facts[i]);
        }
    }
}

static void tell_dead(struct judge_finding *finding)
{
    finding->advice =
        "Lower the learning rate, check the biases before this layer, or use a "
        "leaky rectifier (LeakyReLU, GELU); a dead unit seldom comes back.";
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_INIT);
    rule_blame(finding, JUDGE_CAUSE_ACTIVATION);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    unsigned n_units = (unsigned)fact->score;
    int64_t since = rule_since(fact);
    finding->step = since;
    tell_dead(finding);
    switch (fact->code) {
    case CODE_LAYER:
    case CODE_NEVER:
        finding->level = BARO_ALARM;
        rule_say(finding, "Layer %s is dead: %s %u units %s nothing but zero %s step %lld.",
            name, n_units == 1 ? "its" : "all", n_units, n_units == 1 ? "gives" : "give",
            fact->code == CODE_LAYER ? "since" : "from its first reading at",
            (long long)since);
        break;
    case CODE_MANY:
        rule_say(finding,
            "%u of the %u units of %s give nothing but zero since step %lld; never more than "
            "%.0f%% did before.",
            fact->n_units, n_units, name, (long long)since, 100 * fact->usual);
        break;
    case CODE_SLOWLY:
        rule_say(finding,
            "%u of the %u units of %s have died: zero for %.0f readings or more.",
            fact->n_units, n_units, name, context->params[SLOW_READINGS]);
        break;
    default:
        finding->level = BARO_INFO;
        rule_say(finding,
            "%u of the %u units of %s are never zero since step %lld, though they used to be: "
            "the layer no longer bends what goes through it.",
            fact->n_units, n_units, name, (long long)since);
        finding->advice =
            "Nothing has to be done; if accuracy stops rising, look at the biases "
            "before this layer.";
        finding->causes[0] = JUDGE_CAUSE_NONE;
        break;
    }
    rule_show(finding, fact->thing, READING_UNITS, UNIT_FRAC_ZERO, -1, since - 32,
        "share of zeros of its units");
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_N_ZERO, -1, since - 32, NULL);
}

const struct rule rule_dead_units = {
    .name = "dead_units",
    .sentence = "Units of an activation, or all of a layer, give nothing but zero.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_UNITS),
    .excuses = 0,
    .state_bytes = sizeof(struct layer),
    .unit_bytes = sizeof(struct unit),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
