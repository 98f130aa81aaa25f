/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * The user's own rules: one test over one statistic of whatever fits a glob. With m and s the
 * exponential mean and deviation of the readings so far (weight 2 / (window + 1), each reading
 * clipped to m +- 3 s before it is learnt, so that an outlier cannot hide the next):
 *
 *   above, below   x > limit, x < limit
 *   jump, drop     (x - m) / s > limit, < -limit
 *   rise, fall     at the end of every `window` readings: their mean over the mean of the window
 *                  before > limit, < limit
 *   stuck          window readings in a row within limit * |x| of the first of them
 *
 * A finding needs the test to hold n_times in a row, after warm_up readings; then the rule is
 * silent until it has not held for as many. Of unit statistics the worst unit is told, and how many
 * there are; they are kept rounded to 12 bits, so a limit that lies within 1 part in 4096 of a value
 * may be judged otherwise in replay.
 *
 * Worked: jump with limit 5, readings 1, 2, 1, 2, ... (32 of them), then 9: m is near 1.5, s near
 * 0.5, the score near 15.
 */

enum { USUAL_WINDOW = 32, USUAL_WARM_UP = 32 };

static const double clip_score = 3.0;

/* What is kept of each series. */
struct memory {
    double mean;
    double var;
    double block_sum;
    double block_before; /* mean of the window before; valid if has_before */
    double anchor;       /* first of those that are alike */
    uint32_t n;
    uint32_t n_alike;
    struct rule_latch latch;
    bool has_before;
};

/* One reading judged. */
struct verdict {
    bool is_bad;
    double usual;
    double score;
};

static uint32_t window_of(const struct rule_custom *custom)
{
    return custom->window > 0 ? custom->window : USUAL_WINDOW;
}

static uint32_t warm_up_of(const struct rule_custom *custom)
{
    bool has_history = custom->test == RULE_JUMP || custom->test == RULE_DROP;
    return custom->warm_up > 0 ? custom->warm_up : has_history ? USUAL_WARM_UP : 0;
}

/* The mean of this window over that of the one before, when this one is full; else NaN. */
static double ratio_of_blocks(struct memory *memory, uint32_t window, double value)
{
    memory->block_sum += value;
    if ((memory->n + 1) % window != 0) {
        return (double)NAN;
    }
    double mean = memory->block_sum / window;
    double before = memory->block_before;
    double ratio = memory->has_before ? mean / before : (double)NAN;
    memory->block_before = mean;
    memory->has_before = true;
    memory->block_sum = 0;
    return ratio;
}

static void learn(struct memory *memory, uint32_t window, double value)
{
    double s = sqrt(memory->var);
    double clipped = value;
    if (memory->n >= window) {
        clipped = fmin(fmax(value, memory->mean - clip_score * s - 1e-12 * fabs(value)),
            memory->mean + clip_score * s + 1e-12 * fabs(value));
    }
    double weight = memory->n < window ? 1.0 / (memory->n + 1.0) : 2.0 / (window + 1.0);
    double delta = clipped - memory->mean;
    memory->mean += weight * delta;
    memory->var = (1 - weight) * (memory->var + weight * delta * delta);
}

static struct verdict judge_value(
    struct memory *memory, const struct rule_custom *custom, double value)
{
    struct verdict verdict = {.usual = memory->mean};
    uint32_t window = window_of(custom);
    double least = 1e-6 * fabs(memory->mean) + 1e-300;
    double score = (value - memory->mean) / (sqrt(memory->var) + least);
    double ratio = ratio_of_blocks(memory, window, value);
    bool is_alike = fabs(value - memory->anchor) <= custom->limit * fabs(memory->anchor);
    memory->n_alike = memory->n > 0 && is_alike ? memory->n_alike + 1 : 1;
    memory->anchor = memory->n_alike == 1 ? value : memory->anchor;
    verdict.score = score;
    switch (custom->test) {
    case RULE_ABOVE: verdict.is_bad = value > custom->limit; break;
    case RULE_BELOW: verdict.is_bad = value < custom->limit; break;
    case RULE_JUMP: verdict.is_bad = score > custom->limit; break;
    case RULE_DROP: verdict.is_bad = score < -custom->limit; break;
    case RULE_RISE: verdict.is_bad = ratio > custom->limit; break;
    case RULE_FALL: verdict.is_bad = ratio < custom->limit; break;
    case RULE_STUCK: verdict.is_bad = memory->n_alike >= window; break;
    case RULE_TEST_COUNT:
    default: break;
    }
    if (custom->test == RULE_ABOVE || custom->test == RULE_BELOW) {
        verdict.usual = custom->limit;
    }
    if (custom->test == RULE_RISE || custom->test == RULE_FALL) {
        verdict.score = ratio;
    }
    return verdict;
}

/* Learn one reading; true when it is to be told. */
static bool feed(struct memory *memory, const struct rule_custom *custom, double value,
    struct verdict *out_verdict)
{
    if (!isfinite(value)) {
        return false;
    }
    struct verdict verdict = judge_value(memory, custom, value);
    bool is_bad = verdict.is_bad && memory->n >= warm_up_of(custom);
    unsigned n_times = custom->n_times > 0 ? custom->n_times : 1;
    learn(memory, window_of(custom), value);
    memory->n += memory->n < UINT32_MAX ? 1 : 0;
    *out_verdict = verdict;
    return rule_latch(&memory->latch, is_bad, n_times, n_times);
}

/* A statistic of a whole tensor or a scalar. */
static void feed_one(struct rule_context *context, void *state, double value)
{
    struct verdict verdict;
    if (feed(state, context->custom, value, &verdict)) {
        rule_note_value(context, 0, value, verdict.usual, verdict.score);
    }
}

static void feed_units(
    struct rule_context *context, struct memory *units, const float *values, uint32_t n)
{
    struct rule_fact fact = {.unit = -1, .row = -1};
    for (uint32_t unit = 0; unit < n; unit++) {
        struct verdict verdict;
        if (!feed(&units[unit], context->custom, (double)values[unit], &verdict)) {
            continue;
        }
        fact.n_units++;
        if (fact.unit < 0 || fabs(verdict.score) > fabs(fact.score)) {
            fact.unit = unit;
            fact.value = (double)values[unit];
            fact.usual = verdict.usual;
            fact.score = verdict.score;
        }
    }
    if (fact.n_units > 0) {
        rule_note(context, &fact);
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    const char *stat = context->custom->stat;
    if (reading->header.kind == READING_SCALAR) {
        feed_one(context, state, reading->f64[0]);
    } else if (reading->header.kind == READING_SUMMARY) {
        feed_one(context, state, reading->f64[reading_stat_parse(READING_SUMMARY, stat)]);
    } else {
        uint32_t n = context->thing->n_units;
        int at = reading_stat_parse(READING_UNITS, stat + 5);
        feed_units(context, rule_units(context, state), reading->f32 + (size_t)at * n, n);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    static const char *const words[RULE_TEST_COUNT] = {[RULE_ABOVE] = "is above",
        [RULE_BELOW] = "is below",
        [RULE_JUMP] = "jumped above its usual",
        [RULE_DROP] = "fell below its usual",
        [RULE_RISE] = "has risen from around",
        [RULE_FALL] = "has fallen from around",
        [RULE_STUCK] = "is stuck around"};
    const struct rule_custom *custom = context->custom;
    rule_say(finding, "%s%s%s", context->thing->name, custom->stat[0] != '\0' ? " " : "",
        custom->stat);
    if (fact->unit >= 0) {
        rule_say_more(finding, " of unit %lld", (long long)fact->unit);
    }
    rule_say_more(finding, " %s %.4g at step %lld: %.4g", words[custom->test], fact->usual,
        (long long)fact->step, fact->value);
    if (fact->n_units > 1) {
        rule_say_more(finding, " (%u units)", fact->n_units);
    }
    rule_say_more(finding, ".%s%s", custom->text[0] != '\0' ? " " : "", custom->text);
    finding->advice = "This is a rule of your own.";
    finding->level = custom->level > 0 ? (enum baro_level)custom->level : BARO_WATCH;
    bool is_unit = fact->unit >= 0;
    enum reading_kind kind = !context->thing->is_tensor ? READING_SCALAR
                             : is_unit                  ? READING_UNITS
                                                        : READING_SUMMARY;
    int stat = kind == READING_SCALAR
                   ? 0
                   : reading_stat_parse(kind, custom->stat + (is_unit ? 5 : 0));
    rule_show(finding, fact->thing, kind, stat, fact->unit,
        fact->step - (int64_t)window_of(custom), NULL);
}

const struct rule rule_custom = {
    .name = "custom",
    .sentence = "A rule that the user added.",
    .level = BARO_WATCH,
    .state_bytes = sizeof(struct memory),
    .unit_bytes = sizeof(struct memory),
    .on_reading = on_reading,
    .tell = tell,
};
