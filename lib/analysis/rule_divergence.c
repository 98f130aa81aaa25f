/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/robust.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Does the loss go up for good? Three tests over the training loss, each for its own time scale; only
 * the loss that the optimiser minimises is looked at ("loss", "train/loss", ...), for parts of it
 * may rise for good reasons, and so may the losses of adversaries.
 *
 *   early   within the first 64 readings: 3 in a row above 2.5 `early_factor` times the level of
 *           the beginning (median of the first 5 readings, in magnitude), none below the one before;
 *           or 16 in a row above `early_factor` times that level. (A term of the loss that is 0
 *           at first, as the codes of a VQ autoencoder are, lifts it for a few steps)
 *   lost    8 readings in a row above the level of the beginning by 3 of their deviations, or two
 *           blocks in a row by a tenth of all progress and their standard error, after
 *           the loss had fallen below it: all that was learnt is lost
 *   rising  blocks of 16 readings with mean m and standard error e: 3 blocks in a row, each above
 *           the one before, and the last above the best block by 6 standard errors and by 30 % of
 *           all progress made; and the rise is more than 4 sqrt(n) times what the means of blocks
 *           usually change by (1.4826 * median |m - m before|), so that a loss that wanders is quiet
 *
 * The standard error is doubled, because readings next to each other are alike (an autocorrelation
 * of 0.6 does that). A learning rate that jumps explains a rise for 200 steps.
 *
 * Worked (rising): beginning 2.3, best block 1.0; blocks of 1.2, 1.35, 1.5 with e = 0.02: the
 * last is 0.5 above the best, more than 0.3 * 1.3 = 0.39 and more than 6 * sqrt(2) * 0.02 = 0.17.
 */

enum { EARLY_FACTOR, MIN_LOST, MIN_ERRORS, N_BLOCKS };

static const struct rule_param params[] = {
    {"early_factor", 4, 1.5, 1e6, "times the level of the beginning, within 64 readings"},
    {"min_lost", 0.3, 0.01, 10, "part of the progress that is lost again"},
    {"min_errors", 6, 1, 1000, "standard errors between the best block and the last"},
    {"n_blocks", 3, 2, 100, "blocks of 16 readings in a row that rise"},
};

enum { EARLY = 1, LOST, RISING };
enum {
    N_FIRST = 5,
    N_EARLY = 64,
    N_HIGH = 3,
    N_ABOVE = 16,
    LOST_BLOCKS = 2,
    N_LOST = 8,
    BLOCK = 16,
    KNOWN_BLOCKS = 6,
    EXCUSE_STEPS = 200
};

static const double sure_factor = 2.5;

struct memory {
    double recent[ROBUST_WINDOW]; /* a ring; sorted only where it is looked at */
    double begin;                 /* valid from N_FIRST readings on */
    double last;
    struct rule_block block;
    double best; /* mean of the best block */
    double best_error;
    double before;         /* mean of the block before */
    double rise_base;      /* mean of the block before the rise */
    struct robust changes; /* |mean - mean before| of blocks */
    int64_t best_step;
    int64_t rise_step; /* where the rise began */
    int64_t block_step;
    uint32_t n;
    uint32_t n_high;
    uint32_t n_above;       /* as n_high, of the lower limit, falling or not */
    uint32_t n_lost_blocks; /* in a row */
    uint32_t n_lost;
    uint32_t n_rising;
    uint32_t n_blocks;
};

static bool applies(const struct judge_thing *thing)
{
    return judge_is_main_loss(thing);
}

static void look_early(struct rule_context *context, struct memory *memory, double value)
{
    double level = fabs(memory->begin);
    double limit = context->params[EARLY_FACTOR] * level;
    bool is_above = value > memory->begin && value > limit && level > 0;
    bool is_high = is_above && value > sure_factor * limit;
    bool falls = memory->n_high > 0 && value < memory->last;
    memory->n_above = is_above ? memory->n_above + 1 : 0;
    memory->n_high = is_high ? (falls ? 1 : memory->n_high + 1) : 0;
    if (memory->n_high == N_HIGH || memory->n_above == N_ABOVE) {
        rule_note_value(context, EARLY, value, memory->begin, value / level);
    }
}

/* The last readings, sorted. */
static void sort_recent(const struct memory *memory, struct robust *out)
{
    uint32_t n = memory->n < ROBUST_WINDOW ? memory->n : ROBUST_WINDOW;
    out->n = 0;
    out->next = 0;
    for (uint32_t i = 0; i < n; i++) {
        robust_push(out, memory->recent[(memory->n - n + i) % ROBUST_WINDOW]);
    }
}

static bool had_learnt(const struct memory *memory)
{
    return memory->n_blocks > 0 && memory->best + 10 * memory->best_error < memory->begin;
}

/* Has all that was learnt been lost? */
static void look_lost(struct rule_context *context, struct memory *memory, double value)
{
    if (!had_learnt(memory) || !(value > memory->begin)) { /* far from it, mostly */
        memory->n_lost = 0;
        return;
    }
    struct robust window;
    sort_recent(memory, &window);
    double median = robust_median(&window);
    double deviation = ROBUST_MAD_TO_SIGMA * robust_mad(&window, median);
    double margin = fmax(3 * deviation, 0.1 * (memory->begin - memory->best));
    bool is_lost = value > memory->begin + margin;
    memory->n_lost = is_lost ? memory->n_lost + 1 : 0;
    if (memory->n_lost == N_LOST) {
        rule_note_since(context, LOST, memory->best_step, value, memory->best,
            (value - memory->best) / (memory->begin - memory->best));
    }
}

/* The same, by blocks: where single readings are too noisy. */
static void look_lost_blocks(
    struct rule_context *context, struct memory *memory, double mean, double error)
{
    bool is_lost = had_learnt(memory) &&
                   mean > memory->begin + 0.1 * (memory->begin - memory->best) + error;
    memory->n_lost_blocks = is_lost ? memory->n_lost_blocks + 1 : 0;
    if (memory->n_lost_blocks == LOST_BLOCKS) {
        rule_note_since(context, LOST, memory->best_step, mean, memory->best,
            (mean - memory->best) / (memory->begin - memory->best));
    }
}

/* The test at the end of a block. */
static void look_at_block(
    struct rule_context *context, struct memory *memory, double mean, double error)
{
    const double *p = context->params;
    look_lost_blocks(context, memory, mean, error);
    if (memory->n_blocks == 0 || mean < memory->best) {
        memory->best = mean;
        memory->best_error = error;
        memory->best_step = context->step;
    }
    bool is_rising = memory->n_blocks > 0 && mean > memory->before;
    memory->rise_step =
        is_rising && memory->n_rising == 0 ? memory->block_step : memory->rise_step;
    memory->rise_base =
        is_rising && memory->n_rising == 0 ? memory->before : memory->rise_base;
    memory->n_rising = is_rising ? memory->n_rising + 1 : 0;
    double usual = ROBUST_MAD_TO_SIGMA * robust_median(&memory->changes);
    bool wanders = memory->changes.n >= KNOWN_BLOCKS &&
                   mean - memory->rise_base < 4 * sqrt(memory->n_rising) * usual;
    double lost = mean - memory->best;
    double errors = lost / (sqrt(error * error + memory->best_error * memory->best_error) +
                               1e-12 * fabs(mean) + 1e-300);
    double progress = memory->begin - memory->best;
    if (memory->n_rising >= p[N_BLOCKS] && errors > p[MIN_ERRORS] && progress > 0 &&
        lost > p[MIN_LOST] * progress && !wanders && lost > 0.05 * fabs(memory->best)) {
        rule_note_since(
            context, RISING, memory->rise_step, mean, memory->best, lost / progress);
        memory->n_rising = 0;
        memory->best = mean; /* told again only when it gets worse by as much */
        memory->best_error = error;
    }
    if (memory->n_blocks > 0) {
        robust_push(&memory->changes, fabs(mean - memory->before));
    }
    memory->before = mean;
    memory->n_blocks++;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    double value = reading->f64[0];
    if (!isfinite(value)) {
        return;
    }
    if (memory->n == N_FIRST) {
        struct robust window;
        sort_recent(memory, &window);
        memory->begin = robust_median(&window);
    }
    if (memory->n >= N_FIRST && memory->n < N_EARLY) {
        look_early(context, memory, value);
    } else if (memory->n >= N_EARLY) {
        look_lost(context, memory, value);
    }
    if (memory->block.n == 0) {
        memory->block_step = context->step;
    }
    memory->last = value;
    memory->recent[memory->n % ROBUST_WINDOW] = value;
    memory->n++;
    if (rule_block_add(&memory->block, value, BLOCK)) {
        look_at_block(context, memory, rule_block_mean(&memory->block),
            2 * rule_block_error(&memory->block));
        memory->block = (struct rule_block){0};
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    (void)run_state;
    int64_t jump = rule_change(context, JUDGE_CHANGE_LR);
    bool is_excused = jump != INT64_MIN && context->step >= jump &&
                      (uint64_t)context->step - (uint64_t)jump < EXCUSE_STEPS;
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].code != RISING || !is_excused) {
            rule_report(context, &facts[i]);
        }
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    long long step = (long long)fact->step;
    if (fact->code == EARLY) {
        rule_say(finding,
            "%s grows instead of falling: %.4g at step %lld, where it began with %.4g.",
            name, fact->value, step, fact->usual);
    } else if (fact->code == LOST) {
        rule_say(finding,
            "%s is back above where it began: %.4g at step %lld, after it had been %.4g.",
            name, fact->value, step, fact->usual);
    } else {
        rule_say(finding,
            "%s has been rising since step %lld: %.4g at step %lld, where its best was %.4g.",
            name, (long long)rule_since(fact), fact->value, step, fact->usual);
    }
    finding->level = fact->code == RISING ? BARO_WATCH : BARO_ALARM;
    finding->advice =
        "Go back to a checkpoint from before the rise and lower the learning rate; look at what "
        "gradients and weights did in the steps before.";
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    if (fact->code == EARLY) {
        rule_blame(finding, JUDGE_CAUSE_INIT);
        rule_blame(finding, JUDGE_CAUSE_INPUT_SCALE);
    }
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, rule_since(fact),
        "the loss from its best on");
    finding->step = fact->code == RISING ? rule_since(fact) : fact->step;
}

const struct rule rule_divergence = {
    .name = "divergence",
    .sentence = "The training loss rises for good.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_RESTART | JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
