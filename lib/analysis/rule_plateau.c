/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Does the loss not fall, or no longer? Nothing here is urgent, and much that stands still is simply
 * done, so both tests are slow and cautious.
 *
 *   never    after 96 readings, and if it has not fallen till then again after 192: the
 *            regression line through all of them falls by less than `max_t` of its standard errors
 *            (a random walk in place has |t| < 2 mostly; losses that learn have t of -10 and less)
 *            and by less than `min_fall` of the loss's magnitude; nor does the line through the
 *            last third fall by 4 of its errors (a loss that rose first and comes down now)
 *   stopped  the best block of 64 readings lies `stop_factor` times as far back as it took to reach
 *            it, and 64 blocks at least; told as information, once
 *
 * With x = 0 .. n - 1 and sums Sxy, Sxx, Syy about the means: slope b = Sxy / Sxx, its error
 * s_b = sqrt((Syy - b Sxy) / (n - 2) / Sxx), t = b / s_b.
 *
 * Worked: readings 2.1, 2, 2.1, 2, ... of which there are 96: Sxy = -2.4, Sxx = 73720, so the line
 * falls by 0.0031 from the first to the last, t = -0.17: it does not fall.
 *
 * A run that goes on from a checkpoint (first step over 64) is not judged as never falling.
 */

enum { MAX_T, MIN_FALL, STOP_FACTOR };

static const struct rule_param params[] = {
    {"max_t", 1, 0, 100, "standard errors that the line through the loss falls at most"},
    {"min_fall", 0.02, 0, 1, "part of its magnitude that it falls at least when it learns"},
    {"stop_factor", 3, 0.1, 1e6, "how long without progress, over how long there was some"},
};

enum { NEVER = 1, STOPPED };
enum { FIRST_LOOK = 96, SECOND_LOOK = 192, BLOCK = 64, MIN_BLOCKS = 64, FIRST_STEPS = 64 };

static const double falls_now = -4; /* standard errors */

/* Sums of which a regression line is made; x counts readings. */
struct line {
    uint64_t n;
    double sum;
    double squares;
    double products; /* with x */
};

struct memory {
    double shift;     /* the first reading: sums are of differences to it */
    struct line line; /* through all readings */
    struct line now;  /* through the last third of them */
    struct rule_block block;
    double best;
    int64_t best_step;
    int64_t first_step;
    uint64_t n;
    uint64_t n_blocks;
    uint64_t best_block;
    int64_t last_step;
    bool is_told;
    bool has_fallen; /* at the first look */
};

static bool applies(const struct judge_thing *thing)
{
    return judge_is_main_loss(thing);
}

static void add_to_line(struct line *line, double y)
{
    line->sum += y;
    line->squares += y * y;
    line->products += y * (double)line->n;
    line->n++;
}

/* The slope of the regression line, and how many of its standard errors that is. */
static double fit_line(const struct line *line, double *out_t)
{
    double n = (double)line->n;
    double sxx = n * (n * n - 1) / 12;
    double sxy = line->products - (n - 1) / 2 * line->sum;
    double syy = line->squares - line->sum * line->sum / n;
    double slope = sxy / sxx;
    double error = sqrt(fmax(syy - slope * sxy, 0) / (n - 2) / sxx);
    *out_t = slope / (error + 1e-300);
    return slope;
}

static void look_at_line(struct rule_context *context, struct memory *memory)
{
    double t = 0;
    double t_now = 0;
    double slope = fit_line(&memory->line, &t);
    (void)fit_line(&memory->now, &t_now);
    double half = (double)(memory->n - 1) / 2;
    double mean = memory->shift + memory->line.sum / (double)memory->n;
    bool is_flat = t > -context->params[MAX_T] &&
                   -slope * 2 * half < context->params[MIN_FALL] * fabs(mean);
    memory->has_fallen = !is_flat;
    if (is_flat && t_now > falls_now) {
        rule_note_since(context, NEVER, memory->first_step, mean + slope * half,
            mean - slope * half, t);
    }
}

/* A block counts as progress only when it is better by more than its own noise explains. */
static void look_at_block(struct rule_context *context, struct memory *memory)
{
    double mean = memory->shift + rule_block_mean(&memory->block);
    double error = rule_block_error(&memory->block);
    uint64_t block = memory->n_blocks++;
    if (block == 0 || mean < memory->best - 0.5 * error) {
        memory->best = mean;
        memory->best_block = block;
        memory->best_step = context->step;
        return;
    }
    uint64_t since = block - memory->best_block;
    double wanted = context->params[STOP_FACTOR] * (double)(memory->best_block + 1);
    if (!memory->is_told && since >= MIN_BLOCKS && (double)since >= wanted) {
        memory->is_told = true;
        rule_note_since(context, STOPPED, memory->best_step, mean, memory->best,
            (double)since / (double)(memory->best_block + 1));
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
    if (memory->n > 0 && context->step < memory->last_step) {
        *memory = (struct memory){0}; /* steps went back: what was best lies ahead now */
    }
    memory->last_step = context->step;
    if (memory->n == 0) {
        memory->first_step = context->step;
        memory->shift = value;
    }
    double y = value - memory->shift;
    if (memory->n < SECOND_LOOK) {
        if (memory->n == FIRST_LOOK / 3 * 2 || memory->n == SECOND_LOOK / 3 * 2) {
            memory->now = (struct line){0};
        }
        add_to_line(&memory->line, y);
        add_to_line(&memory->now, y);
    }
    memory->n++;
    bool is_block = rule_block_add(&memory->block, y, BLOCK);
    bool is_look = memory->n == FIRST_LOOK || memory->n == SECOND_LOOK;
    if (is_look && !memory->has_fallen && memory->first_step < FIRST_STEPS) {
        look_at_line(context, memory);
    }
    if (is_block) {
        look_at_block(context, memory);
        memory->block = (struct rule_block){0};
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    int64_t since = rule_since(fact);
    if (fact->code == NEVER) {
        rule_say(finding,
            "%s does not fall: it was around %.4g at the beginning and is around %.4g at step %lld.",
            name, fact->usual, fact->value, (long long)fact->step);
        finding->advice =
            "Look whether the optimiser was given all parameters and a learning rate above zero, "
            "whether the loss is connected to them, and whether labels fit their inputs.";
        rule_blame(finding, JUDGE_CAUSE_LR_LOW);
        rule_blame(finding, JUDGE_CAUSE_NOT_TRAINED);
        rule_blame(finding, JUDGE_CAUSE_DETACHED);
        rule_blame(finding, JUDGE_CAUSE_LABELS);
    } else {
        finding->level = BARO_INFO;
        rule_say(finding,
            "%s has made no progress since step %lld: %.4g then, %.4g at step %lld.", name,
            (long long)since, fact->usual, fact->value, (long long)fact->step);
        finding->advice = "Lower the learning rate, or end the run.";
        rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    }
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, since,
        "the loss while nothing was gained");
}

const struct rule rule_plateau = {
    .name = "plateau",
    .sentence = "The training loss does not fall, or no longer.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SCALAR),
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
