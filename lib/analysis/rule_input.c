/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/analysis/unit_stats.h"
#include "lib/base/mem.h"

/*
 * Is what enters the model what it should be? Networks are initialised for inputs of mean 0 and
 * deviation 1 or so. Looked at are inputs of floats with two dimensions or more (what is 1-D is a
 * time or a condition; whole numbers are tokens).
 *
 *   scale     root mean square above 10 in the first 3 readings: bytes as they came from the
 *             picture (0..255), a year, a price.
 *   offset    |mean| above 10 deviations: numbers that hardly differ among themselves, like
 *             temperatures in kelvin.
 *             Neither is told when the model normalises by itself: one of the first three
 *             activations has mean 0 and deviation 1, within 10 %, or is 20 times smaller.
 *   zero      all of it is exactly zero, in 3 readings in a row.
 *   moved     mean or root mean square leave their own past: by 8 of their usual deviations and
 *             by half of the data's deviation (for the size: by a factor of 2), in 3 readings in a
 *             row, or by a factor of 30 once, after 32: the preparation of data has changed, or the data.
 *   column    a column that used to vary (in 32 readings) has been constant in 6, and 8 times as
 *             long as ever before: a sensor that is dead, a field that is not filled in any more.
 *             Columns that are seldom anything but 0 are constant for long, too; those
 *             that never varied (borders of images) are as they are.
 *
 * Worked number: digits with pixels 0..255 have mean 78 and deviation 96: root mean square 123.8.
 * With pixels 0..1 it is 0.485, mean 0.305: nothing is said of that.
 *
 * Cost: constant a reading, 12 bytes a column. Known limit: one column among many that is not
 * normalised shows only if it is large enough to move the size of all.
 */

enum { MAX_SIZE, MAX_OFFSET, MIN_SCORE, COLUMN_READINGS };
enum {
    CODE_SCALE,
    CODE_OFFSET,
    CODE_ZERO,
    CODE_MOVED,
    CODE_RESIZED,
    CODE_COLUMN,
    CODE_ACT
};
enum {
    FIRST = 3,
    IN_A_ROW = 3,
    WARM_UP = 32,
    MIN_VARIED = 32,
    CALM = 32,
    N_ACT_READINGS = 3,
    N_ACTS = 3,
    LONGER = 8
};

static const double weight_of_new = 0.03;
static const double own_tolerance = 0.1;
static const double own_factor = 20;
static const double sure_factor = 30;

static const struct rule_param params[] = {
    {"max_size", 10, 1, 1e30, "root mean square of an input"},
    {"max_offset", 10, 1, 1e30, "|mean| of an input, in its own deviations"},
    {"min_score", 8, 1, 1000, "usual deviations by which its mean or size must move"},
    {"column_readings", 6, 4, 60000, "for which a column that varied must be constant"},
};

/* Follows a number: mean and mean distance, and whether it has left them. */
struct follower {
    double mean;
    double deviation;
    int64_t since;
    struct rule_latch latch;
};

struct input {
    uint32_t n_readings;
    uint32_t n_scale;
    uint32_t n_offset;
    struct follower mean;
    struct follower size; /* log of the root mean square */
    int64_t zero_since;
    struct rule_latch zero;
    bool is_column_told;
};

struct column {
    float last; /* mean */
    uint16_t n_constant;
    uint16_t longest; /* of such runs that ended */
    uint16_t n_varied;
};

static bool is_float(enum baro_dtype dtype)
{
    return dtype == BARO_F32 || dtype == BARO_F64 || dtype == BARO_F16 ||
           dtype == BARO_BF16;
}

static bool applies(const struct judge_thing *thing)
{
    bool is_training = !thing->is_eval && !thing->is_no_grad;
    return is_training && is_float(thing->dtype) &&
           ((thing->role == BARO_INPUT && thing->n_dims >= 2) || thing->role == BARO_ACT);
}

/* Feed a follower; true when the number has just left its past. least: that it must move; sure: if
 * it moves so far, once is enough. */
static bool follow(struct rule_context *context, struct follower *follower, double value,
    double least, double sure, uint32_t n_readings)
{
    double floor = 1e-3 * least + 1e-300;
    double off = fabs(value - follower->mean);
    bool is_out = n_readings >= WARM_UP && off > least &&
                  off > context->params[MIN_SCORE] * (1.25 * follower->deviation + floor);
    if (is_out && follower->latch.n_bad == 0) {
        follower->since = context->step;
    }
    double limit = 3 * (follower->deviation + floor);
    double delta = value - follower->mean;
    delta = n_readings >= WARM_UP ? fmax(-limit, fmin(limit, delta)) : delta;
    double weight = n_readings < WARM_UP ? 1.0 / (n_readings + 1) : weight_of_new;
    if (n_readings == 0) {
        follower->mean = value;
    } else {
        follower->mean += weight * delta;
        follower->deviation += weight * (fabs(delta) - follower->deviation);
    }
    return rule_latch(&follower->latch, is_out, off > sure ? 1 : IN_A_ROW, CALM);
}

static void judge_first(struct rule_context *context, struct input *input, double mean,
    double deviation, double size)
{
    input->n_scale += size > context->params[MAX_SIZE] ? 1 : 0;
    input->n_offset += fabs(mean) > context->params[MAX_OFFSET] * deviation ? 1 : 0;
    if (input->n_readings != FIRST - 1) {
        return;
    }
    if (input->n_scale == FIRST) {
        rule_note_value(context, CODE_SCALE, size, mean, deviation);
    } else if (input->n_offset == FIRST && size > 1 && deviation > 0) {
        rule_note_value(context, CODE_OFFSET, mean, deviation, deviation);
    }
}

static void on_input(struct rule_context *context, struct input *input, const double *stats)
{
    if (!(stats[SUMMARY_COUNT] > 0) || !isfinite(stats[SUMMARY_L2]) ||
        !isfinite(stats[SUMMARY_VAR])) {
        return;
    }
    bool is_zero = stats[SUMMARY_N_ZERO] >= stats[SUMMARY_COUNT];
    if (is_zero && input->zero.n_bad == 0) {
        input->zero_since = context->step;
    }
    if (rule_latch(&input->zero, is_zero, IN_A_ROW, CALM)) {
        rule_note_since(context, CODE_ZERO, input->zero_since, 0, 0, 0);
    }
    if (is_zero) {
        return;
    }
    double mean = stats[SUMMARY_MEAN];
    double deviation = sqrt(stats[SUMMARY_VAR]);
    double size = stats[SUMMARY_L2] / sqrt(stats[SUMMARY_COUNT]);
    judge_first(context, input, mean, deviation, size);
    double usual_mean = input->mean.mean;
    double usual_size = exp(input->size.mean);
    double least = 0.5 * (deviation < usual_size ? deviation : usual_size);
    bool has_moved =
        follow(context, &input->mean, mean, least, (double)INFINITY, input->n_readings);
    bool is_resized = follow(
        context, &input->size, log(size), log(2), log(sure_factor), input->n_readings);
    if (is_resized) {
        rule_note_since(context, CODE_RESIZED, input->size.since, size, usual_size, 0);
    } else if (has_moved) {
        rule_note_since(
            context, CODE_MOVED, input->mean.since, mean, usual_mean, deviation);
    }
    input->n_readings++;
}

static void on_columns(
    struct rule_context *context, struct input *input, const struct reading *reading)
{
    uint32_t n_units = context->thing->n_units;
    if (!unit_fits(reading, n_units) || input->is_column_told) {
        return;
    }
    const float *means = unit_column(reading, n_units, UNIT_MEAN);
    struct column *columns = rule_units(context, input);
    uint32_t n_dead = 0;
    int64_t first = -1;
    for (uint32_t u = 0; u < n_units; u++) {
        float mean = unit_rounded(means[u]);
        struct column *column = &columns[u];
        bool is_constant = !(mean < column->last) && !(mean > column->last);
        column->last = mean;
        column->n_varied =
            (uint16_t)(column->n_varied + (!is_constant && column->n_varied < MIN_VARIED));
        if (!is_constant && column->n_constant > column->longest) {
            column->longest = column->n_constant;
        }
        column->n_constant =
            is_constant ? (uint16_t)(column->n_constant + (column->n_constant < UINT16_MAX))
                        : 0;
        bool is_dead = column->n_varied >= MIN_VARIED &&
                       column->n_constant >= context->params[COLUMN_READINGS] &&
                       column->n_constant >= LONGER * column->longest;
        first = is_dead && n_dead == 0 ? (int64_t)u : first;
        n_dead += is_dead ? 1 : 0;
    }
    /* All of them: the same batch again and again, which is another rule's. */
    if (n_dead > 0 && n_dead < n_units) {
        input->is_column_told = true;
        rule_note(context, &(struct rule_fact){.code = CODE_COLUMN,
                               .from_step = rule_from(context->step),
                               .value = (double)columns[first].last,
                               .usual = columns[first].n_constant + 1.0,
                               .score = n_units,
                               .n_units = n_dead,
                               .unit = first,
                               .row = -1});
    }
}

/* The first readings of activations tell whether a model normalises its input itself. */
static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct input *input = state;
    if (context->thing->role == BARO_INPUT) {
        if (reading->header.kind == READING_UNITS) {
            on_columns(context, input, reading);
        } else {
            on_input(context, input, reading->f64);
        }
    } else if (reading->header.kind == READING_SUMMARY &&
               input->n_readings < N_ACT_READINGS) {
        input->n_readings++;
        const double *stats = reading->f64;
        double variance = stats[SUMMARY_VAR];
        bool is_normal = fabs(stats[SUMMARY_MEAN]) < own_tolerance &&
                         fabs(sqrt(variance) - 1) < own_tolerance;
        double size = stats[SUMMARY_L2] / sqrt(stats[SUMMARY_COUNT]);
        rule_note_value(context, CODE_ACT, is_normal ? 1 : 0, size, 0);
    }
}

/* Whether one of the first activations behind an input, in the same step, is normalised, or much
 * smaller: the model divides by itself. */
static bool is_normalised(
    const struct rule_fact *facts, size_t n_facts, const struct rule_fact *fact)
{
    unsigned n_acts = 0;
    for (size_t i = 0; i < n_facts && n_acts < N_ACTS; i++) {
        if (facts[i].code == CODE_ACT && facts[i].thing > fact->thing) {
            n_acts++;
            if (facts[i].value > 0 || facts[i].usual * own_factor < fabs(fact->value)) {
                return true;
            }
        }
    }
    return false;
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    (void)run_state;
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        bool is_first = fact->code == CODE_SCALE || fact->code == CODE_OFFSET;
        if (fact->code != CODE_ACT && !(is_first && is_normalised(facts, n_facts, fact))) {
            rule_report(context, fact);
        }
    }
}

static void tell_first(
    const char *name, const struct rule_fact *fact, struct judge_finding *finding)
{
    if (fact->code == CODE_SCALE) {
        rule_say(finding,
            "%s is not normalised: mean %.3g, deviation %.3g, where models expect about 0 "
            "and 1.",
            name, fact->usual, fact->score);
        finding->usual = 1;
    } else {
        rule_say(finding,
            "%s is not normalised: its mean of %.4g is %.0f times its deviation of %.3g.",
            name, fact->value, fabs(fact->value) / fact->usual, fact->usual);
        finding->usual = 0;
    }
    finding->step = 0 < fact->step - FIRST + 1 ? fact->step - FIRST + 1 : 0;
    finding->advice =
        "Subtract the mean of the training data and divide by its deviation (pixels: "
        "divide by 255), or begin with a normalisation layer.";
    rule_blame(finding, JUDGE_CAUSE_INPUT_SCALE);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    long long since = (long long)rule_since(fact);
    finding->step = rule_since(fact);
    finding->advice = "Look at what loads and prepares the data around that step.";
    if (fact->code == CODE_SCALE || fact->code == CODE_OFFSET) {
        tell_first(name, fact, finding);
    } else if (fact->code == CODE_ZERO) {
        finding->level = BARO_ALARM;
        rule_say(finding, "%s is zero, all of it, since step %lld.", name, since);
    } else if (fact->code == CODE_MOVED) {
        rule_say(finding,
            "The mean of %s went from %.3g to %.3g at step %lld (its deviation is %.3g).",
            name, fact->usual, fact->value, since, fact->score);
    } else if (fact->code == CODE_RESIZED) {
        rule_say(finding,
            "The size of %s went from %.3g to %.3g (root mean square) at step %lld.", name,
            fact->usual, fact->value, since);
    } else {
        rule_say(finding,
            "Column %lld of %s has been %.3g for %.0f readings, though it used to vary",
            (long long)fact->unit, name, fact->value, fact->usual);
        if (fact->n_units > 1) {
            rule_say_more(
                finding, ", and so have %u others of %.0f", fact->n_units - 1, fact->score);
        }
        rule_say_more(finding, ".");
        rule_show(finding, fact->thing, READING_UNITS, UNIT_MEAN, fact->unit,
            finding->step - 128, "its mean");
    }
    rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_MEAN, -1, finding->step - 64,
        "mean of the input");
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_VAR, -1, finding->step - 64,
        "variance of the input");
}

const struct rule rule_input_data = {
    .name = "input_data",
    .sentence = "What enters the model is not normalised, is empty, or has changed.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_UNITS),
    .excuses = 0,
    .state_bytes = sizeof(struct input),
    .unit_bytes = sizeof(struct column),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
