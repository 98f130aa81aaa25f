/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/analysis/unit_stats.h"
#include "lib/base/mem.h"

/*
 * Is a tanh or a sigmoid stuck at its ends? What comes back through y = tanh(x) is multiplied by
 * 1 - y^2, through a sigmoid by y (1 - y). The mean of that over all of an activation follows from
 * its mean m and variance v, which are measured anyway:
 *
 *   tanh      d = 1 - (v + m^2)              at most 1
 *   sigmoid   d = m - (v + m^2), times 4     at most 1
 *
 * so d says how much of the gradient passes: it is no rule of thumb but the derivative itself.
 * Told when d is below 0.1 in 8 readings in a row, of a hidden layer.
 *
 * What is a tanh, what is a sigmoid? Names do not say. An activation that was always within
 * [-1, 1], and came within 0.1 of both ends in half of its readings, is taken for a tanh. One that
 * was always within [0, 1], came within 0.1 of 1, has practically no exact zero (a rectifier has,
 * a mask has) and whose units do not add up to 1 (a softmax) is taken for a sigmoid. A sigmoid that
 * is far beyond its end does give exact zeros, but then tiny numbers, too: where one of a hundred
 * lies below 2^-24, zeros prove nothing.
 *
 * The last layer of a model is left alone: a classifier that is sure, or a generator whose images
 * have a black border, is right to sit at the ends.
 *
 * units    beside that, when half of the units of a tanh have had |mean| > 0.98 for 16 readings:
 *          they have become constants, whatever the others do. Told once.
 *
 * Worked number: half of the values 0.99, half -0.98: m = 0.005, v = 0.970225, d = 0.02975. Told.
 * A layer of standard normal inputs has d = 0.606.
 *
 * Rejected: limits on the inputs of the function, as others have them: they are other tensors, and
 * which is which is not known here. Known limits: gates (sigmoids within LSTM) are not activations
 * of a module; ends other than 0 and 1 (ReLU6, scaled tanh) are not known.
 */

enum { MIN_PASS, IN_A_ROW, UNIT_SHARE, UNIT_READINGS };
enum { CODE_TANH, CODE_SIGMOID, CODE_UNITS };
enum { CALM = 32, MIN_UNITS = 4, TINY_BIN = -24, TINY_OF = 100 };

static const double near_end = 0.9;
static const float unit_at_end = 0.98F;

static const struct rule_param params[] = {
    {"min_pass", 0.1, 0, 1, "share of the gradient that passes, below which it is told"},
    {"in_a_row", 8, 1, 10000, "readings in a row that must be below"},
    {"unit_share", 0.5, 0.01, 1, "of units that have become constant"},
    {"unit_readings", 16, 2, 60000, "for how many readings they must have been"},
};

/* Of the SUMMARY. */
struct layer {
    uint32_t n_readings;
    uint32_t n_both_ends; /* readings that came near both ends of a tanh */
    uint32_t n_top;       /* near 1 */
    uint32_t n_softmax;   /* whose units add up to 1 */
    bool is_outside;      /* of [-1, 1], once */
    bool is_negative;     /* once */
    bool has_zeros;       /* more than one in a thousand, once */
    int64_t since;
    struct rule_latch latch;
};

/* Of the UNITS; bytes behind it: readings in a row at an end. */
struct layer_units {
    bool is_outside;
    bool is_told;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->role == BARO_ACT && !thing->is_eval && !thing->is_no_grad;
}

/* Whether there are numbers so small that only an exponential gives them. */
static bool has_tail(const struct reading *reading)
{
    const struct reading_bin *bins = (const struct reading_bin *)reading->extra;
    size_t n_bins = reading->extra_bytes / sizeof *bins;
    uint64_t n_tiny = 0;
    uint64_t n = 0;
    for (size_t i = 0; i < n_bins; i++) {
        n += bins[i].count;
        n_tiny += bins[i].bin < TINY_BIN ? bins[i].count : 0;
    }
    return n_tiny > 0 && TINY_OF * n_tiny >= n;
}

static void learn(struct layer *layer, const struct reading *reading, uint32_t n_units)
{
    const double *stats = reading->f64;
    double sum = stats[SUMMARY_MEAN] * n_units;
    layer->n_readings++;
    layer->is_outside |= stats[SUMMARY_ABS_MAX] > 1;
    layer->is_negative |= stats[SUMMARY_MIN] < 0;
    layer->has_zeros |=
        stats[SUMMARY_N_ZERO] > 0.001 * stats[SUMMARY_COUNT] && !has_tail(reading);
    layer->n_both_ends +=
        stats[SUMMARY_MIN] < -near_end && stats[SUMMARY_MAX] > near_end ? 1 : 0;
    layer->n_top += stats[SUMMARY_MAX] > near_end ? 1 : 0;
    layer->n_softmax += fabs(sum - 1) < 0.001 ? 1 : 0;
}

static bool is_tanh(const struct layer *layer)
{
    return !layer->is_outside && 2 * layer->n_both_ends >= layer->n_readings;
}

static bool is_sigmoid(const struct layer *layer)
{
    return !layer->is_outside && !layer->is_negative && !layer->has_zeros &&
           2 * layer->n_top >= layer->n_readings &&
           2 * layer->n_softmax < layer->n_readings;
}

static void on_summary(
    struct rule_context *context, struct layer *layer, const struct reading *reading)
{
    const double *stats = reading->f64;
    if (layer->is_outside || stats[SUMMARY_COUNT] < 2 || !isfinite(stats[SUMMARY_VAR])) {
        return;
    }
    learn(layer, reading, context->thing->n_units);
    double mean = stats[SUMMARY_MEAN];
    double square = stats[SUMMARY_VAR] + mean * mean;
    bool is_known = is_tanh(layer) || is_sigmoid(layer);
    double pass = is_tanh(layer) ? 1 - square : 4 * (mean - square);
    bool is_bad = is_known && pass < context->params[MIN_PASS];
    if (is_bad && layer->latch.n_bad == 0) {
        layer->since = context->step;
    }
    if (rule_latch(&layer->latch, is_bad, (unsigned)context->params[IN_A_ROW], CALM)) {
        rule_note_since(context, is_tanh(layer) ? CODE_TANH : CODE_SIGMOID, layer->since,
            pass > 0 ? pass : 0, context->params[MIN_PASS], 0);
    }
}

static void on_units(
    struct rule_context *context, struct layer_units *layer, const struct reading *reading)
{
    uint32_t n_units = context->thing->n_units;
    if (layer->is_outside || layer->is_told || !unit_fits(reading, n_units) ||
        n_units < MIN_UNITS) {
        return;
    }
    const float *means = unit_column(reading, n_units, UNIT_MEAN);
    const float *largest = unit_column(reading, n_units, UNIT_ABS_MAX);
    uint16_t *n_at_end = rule_units(context, layer);
    uint32_t n_stuck = 0;
    for (uint32_t u = 0; u < n_units; u++) {
        layer->is_outside |= largest[u] > 1;
        bool is_at_end = unit_rounded(fabsf(means[u])) > unit_at_end;
        n_at_end[u] = is_at_end ? (uint16_t)(n_at_end[u] + (n_at_end[u] < UINT16_MAX)) : 0;
        n_stuck += n_at_end[u] >= context->params[UNIT_READINGS] ? 1 : 0;
    }
    double share = (double)n_stuck / n_units;
    if (!layer->is_outside && share >= context->params[UNIT_SHARE]) {
        layer->is_told = true;
        rule_note(context, &(struct rule_fact){.code = CODE_UNITS,
                               .value = share,
                               .usual = context->params[UNIT_SHARE],
                               .n_units = n_stuck,
                               .score = n_units,
                               .unit = -1,
                               .row = -1});
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    if (reading->header.kind == READING_UNITS) {
        on_units(context, state, reading);
    } else {
        on_summary(context, state, reading);
    }
}

/* Whether an activation is followed by another one of the same model. */
static bool is_hidden(struct rule_context *context, uint32_t id)
{
    const char *name = rule_thing(context, id)->name;
    unsigned n_missing = 0;
    for (id++; n_missing < RULE_MAX_GAP; id++) {
        const struct judge_thing *thing = rule_thing(context, id);
        n_missing = thing == NULL ? n_missing + 1 : 0;
        if (thing != NULL && applies(thing) &&
            rule_is_same_model(context, name, thing->name)) {
            return true;
        }
    }
    return false;
}

/* The first in data flow: those behind it are fed by it. */
static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    (void)run_state;
    for (size_t i = 0; i < n_facts; i++) {
        if (is_hidden(context, facts[i].thing) && rule_report(context, &facts[i])) {
            return;
        }
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    if (fact->code == CODE_UNITS) {
        rule_say(finding,
            "%u of the %.0f units of %s sit at the end of their range and have become "
            "constants.",
            fact->n_units, fact->score, name);
        rule_show(finding, fact->thing, READING_UNITS, UNIT_MEAN, -1, fact->step - 32,
            "means of its units");
    } else {
        finding->step = rule_since(fact);
        rule_say(finding,
            "Layer %s is saturated since step %lld: its values sit at the ends of the %s, so "
            "that only %.1f%% of the gradient passes.",
            name, (long long)finding->step, fact->code == CODE_TANH ? "tanh" : "sigmoid",
            100 * fact->value);
        rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_VAR, -1,
            finding->step - 32, "its variance comes close to the largest there can be");
    }
    finding->advice = "Make the initial weights of the layer before it smaller, lower the "
                      "learning rate, normalise its input, or use a rectifier.";
    rule_blame(finding, JUDGE_CAUSE_INIT);
    rule_blame(finding, JUDGE_CAUSE_ACTIVATION);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_INPUT_SCALE);
}

const struct rule rule_saturated = {
    .name = "saturated",
    .sentence =
        "A hidden tanh or sigmoid sits at the ends of its range and passes no gradient.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_UNITS),
    .excuses = 0,
    .state_bytes = sizeof(struct layer) > sizeof(struct layer_units)
                       ? sizeof(struct layer)
                       : sizeof(struct layer_units),
    .unit_bytes = sizeof(uint16_t),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
