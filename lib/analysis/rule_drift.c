/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Does the size of an activation, a weight, or an attention logit run away? Sizes grow in every
 * training, fast at first, then ever more slowly: like log t, like sqrt t, at worst like t. What
 * runs away grows by a factor in equal times: its logarithm goes straight up. That is seen long
 * before the loss knows of it.
 *
 * x is the log of the root mean square of an activation or weight (of an attention layer's
 * largest logit). Means of x over blocks of readings are kept, the last 9 of them, so that there are
 * 8 steps from block to block; three times: blocks of 4 for what runs (a window of 32 readings), of
 * 10 (80), and of 25 for what walks (200). It runs away when
 *
 *   1. all 8 steps go up (a trend by chance: 1 in 40,000),
 *   2. x has risen by log 2 in them: it has doubled; of activations by log 4, for what a layer gives
 *      may grow by a twentieth a step while it learns, though no weight does,
 *   3. the second half of the rise is at least 0.85 of the first: it does not slow down. Growth
 *      like t^k that doubles over the window has at most 0.71 (k = 1), 0.84 (k = 2),
 *   4. it is above all that was seen before the window, by as much, too; and the first 100
 *      readings are over (200 for blocks of 10, 300 for those of 25), in which networks find their
 *      scale,
 *   5. it left its siblings: the median rise of all that is followed in the same role is less than
 *      half of its own; or all run away together, and the rise is twice that factor,
 *   6. of activations: the loss does not fall by 20 % meanwhile (mean of the last 8 readings and of
 *      those a window before). A network that leaves a plateau grows by a factor a step, too, and
 *      is right;
 *   7. nothing was changed on purpose since the window began (learning rate, layers unfrozen).
 *
 * For what creeps, a CUSUM beside it: blocks of 25 are compared with the mean and the deviation of
 * the 8 blocks after the first 300 readings, z = (x - mean) / deviation, where the deviation is at
 * least 0.05; S = max(0, S + z - 0.5) is told when it is above 8, the size has doubled, 1. and 3.
 * hold over the last 8 blocks, and x rises at least as fast as it has on average since that mean:
 * growth like t does not.
 *
 * logit    the largest attention logit is above 500 in 8 readings in a row: exp of the difference
 *          to the others is 0 in f32 from 104 on, so a softmax passes nothing any more.
 *
 * Worked number: a weight that grows by 3 % a step has risen by 32 * log 1.03 = 0.946 over a short
 * window, in two equal halves: told 36 readings after it began, having doubled after 24.
 *
 * Cost: one log a reading, 600 bytes a tensor. Known limit: an exponential rise that takes more
 * than 200 readings to double is left to the CUSUM, one that takes thousands is missed.
 */

enum { MIN_FACTOR, MIN_STEADY, WARM_UP, LONG_WARM_UP, MAX_LOGIT, ACT_FACTOR };
enum { CODE_RISE, CODE_CREEP, CODE_LOGIT, CODE_BLOCK, CODE_LOSS };
enum {
    N_BLOCKS = 9,
    N_SCALES = 3,
    LOGIT_READINGS = 8,
    CALM = 64,
    MIN_OTHERS = 3,
    LOSS_READINGS = 208,
    LONG = 200,
    LOSS_MEAN = 8
};

static const double cusum_slack = 0.5;
static const double cusum_limit = 8;
static const double creep_slower = 0.95;
static const double least_deviation = 0.05;
static const double loss_falls = 0.8;
static const double together_factor = 2; /* times MIN_FACTOR, when all rise */

static const struct rule_param params[] = {
    {"min_factor", 2, 1.05, 1e9,
        "by which a size must have grown in 32, 80 or 200 readings"},
    {"min_steady", 0.85, 0, 2, "second half of the growth, as a part of the first"},
    {"warm_up", 100, 0, 1e9, "readings in which networks find their scale, of blocks of 4"},
    {"long_warm_up", 300, 0, 1e9, "likewise, of blocks of 25"},
    {"max_logit", 500, 1, 1e30, "attention logit above which softmax is a switch"},
    {"act_factor", 2, 1, 1e9, "times min_factor, for activations"},
};

/* The series in blocks of one size. */
struct window {
    uint32_t n_in_block;
    uint32_t n_blocks;
    double sum; /* of the block under way */
    double blocks[N_BLOCKS];
    int64_t began[N_BLOCKS]; /* their first steps */
    double highest;          /* block before those kept */
};

struct drift {
    uint32_t n_readings;
    uint32_t n_calm; /* blocks of the reference */
    double mean;
    double square; /* sum of squared distances */
    double cusum;
    struct rule_latch logit;
    struct window windows[N_SCALES];
};

static const uint32_t block_sizes[N_SCALES] = {4, 10, 25};

/* The latest rise of a series over a window. */
struct rise {
    double last; /* 0: none yet */
    bool is_told;
};

/* Of all that is followed. */
struct rises {
    struct rule_slots slots; /* struct rise */
    double *sorted;
    size_t room;
    uint32_t loss; /* thing: the first loss of training */
    uint32_t n_losses;
    double losses[LOSS_READINGS]; /* the last ones, in a ring */
};

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

static bool applies(const struct judge_thing *thing)
{
    if (thing->is_eval || thing->is_no_grad) {
        return false;
    }
    if (!thing->is_tensor) {
        return ends_in(thing->name, "/attn_logit_max") || thing->meaning == JUDGE_LOSS;
    }
    return thing->role == BARO_ACT || (thing->role == BARO_WEIGHT && thing->n_dims >= 2);
}

static void note(struct rule_context *context, unsigned code, int64_t since, double value,
    double usual, double score, uint32_t n_back)
{
    rule_note(context, &(struct rule_fact){.code = code,
                           .from_step = rule_from(since),
                           .value = value,
                           .usual = usual,
                           .score = score,
                           .unit = n_back, /* readings in the window */
                           .row = -1});
}

static double factor_of(const struct judge_thing *thing, const double *p)
{
    return thing->is_tensor && thing->role == BARO_ACT ? p[ACT_FACTOR] : 1;
}

/* Whether all steps of the kept blocks go up, and do not slow down. */
static bool is_steady(const struct window *window, double min_steady)
{
    const double *x = window->blocks;
    for (int i = 1; i < N_BLOCKS; i++) {
        if (x[i] <= x[i - 1]) {
            return false;
        }
    }
    double first = x[N_BLOCKS / 2] - x[0];
    double second = x[N_BLOCKS - 1] - x[N_BLOCKS / 2];
    return second >= min_steady * first;
}

static void add_cusum(struct drift *drift, double x)
{
    if (drift->n_calm < N_BLOCKS - 1) {
        double delta = x - drift->mean;
        drift->n_calm++;
        drift->mean += delta / drift->n_calm;
        drift->square += delta * (x - drift->mean);
        return;
    }
    double deviation = sqrt(drift->square / (N_BLOCKS - 2));
    deviation = deviation > least_deviation ? deviation : least_deviation;
    double sum = drift->cusum + (x - drift->mean) / deviation - cusum_slack;
    drift->cusum = sum > 0 ? sum : 0;
}

static void judge_block(
    struct rule_context *context, struct drift *drift, const struct window *window)
{
    const double *p = context->params;
    const double *x = window->blocks;
    bool is_long = window == &drift->windows[N_SCALES - 1];
    double last = x[N_BLOCKS - 1];
    uint32_t n_back = block_sizes[window - drift->windows] * (N_BLOCKS - 1);
    double least = log(p[MIN_FACTOR] * factor_of(context->thing, p));
    double rise = last - x[0];
    bool is_steady_rise = is_steady(window, p[MIN_STEADY]);
    bool is_rise = is_steady_rise && rise > least && last > window->highest + least;
    double n_since = (double)drift->n_readings - p[LONG_WARM_UP] - LONG / 2.0;
    bool is_no_slower = rise * n_since > creep_slower * (last - drift->mean) * LONG;
    bool is_creep = is_long && is_steady_rise && is_no_slower &&
                    drift->cusum > cusum_limit && last > drift->mean + least &&
                    last > window->highest;
    if (is_rise || is_creep) {
        note(context, is_rise ? CODE_RISE : CODE_CREEP, window->began[0], exp(last),
            is_rise ? exp(x[0]) : exp(drift->mean), rise, n_back);
        return;
    }
    if (is_long || is_steady_rise) {
        note(context, CODE_BLOCK, context->step, is_long ? 1 : 0, 0, rise, n_back);
    }
}

static void end_block(
    struct rule_context *context, struct drift *drift, struct window *window, uint32_t size)
{
    double x = window->sum / size;
    bool is_long = window == &drift->windows[N_SCALES - 1];
    window->sum = 0;
    window->n_in_block = 0;
    if (window->n_blocks == N_BLOCKS) {
        double oldest = window->blocks[0];
        window->highest = oldest > window->highest ? oldest : window->highest;
        memmove(
            window->blocks, window->blocks + 1, (N_BLOCKS - 1) * sizeof *window->blocks);
        memmove(window->began, window->began + 1, (N_BLOCKS - 1) * sizeof *window->began);
        window->n_blocks--;
    } else if (window->n_blocks == 0) {
        window->highest = (double)-INFINITY;
    }
    window->blocks[window->n_blocks++] = x;
    const double *p = context->params;
    double warm_up = is_long                    ? p[LONG_WARM_UP]
                     : window == drift->windows ? p[WARM_UP]
                                                : 0.5 * (p[WARM_UP] + p[LONG_WARM_UP]);
    if (drift->n_readings < warm_up) {
        return;
    }
    if (is_long) {
        add_cusum(drift, x);
    }
    if (window->n_blocks == N_BLOCKS) {
        judge_block(context, drift, window);
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct drift *drift = state;
    bool is_scalar = reading->header.kind == READING_SCALAR;
    const double *f64 = reading->f64;
    double size = is_scalar ? f64[0] : f64[SUMMARY_L2] / sqrt(f64[SUMMARY_COUNT]);
    if (is_scalar && context->thing->meaning == JUDGE_LOSS) {
        if (rule_is_first_loss(context)) {
            note(context, CODE_LOSS, context->step, size, 0, 0, 0);
        }
        return;
    }
    if (!isfinite(size) || size <= 0) {
        return;
    }
    if (is_scalar && rule_latch(&drift->logit, size > context->params[MAX_LOGIT],
                         LOGIT_READINGS, CALM)) {
        note(context, CODE_LOGIT, context->step, size, context->params[MAX_LOGIT], 0, 0);
    }
    drift->n_readings++;
    double x = log(size);
    for (int i = 0; i < N_SCALES; i++) {
        struct window *window = &drift->windows[i];
        if (window->n_in_block == 0) {
            uint32_t at = window->n_blocks < N_BLOCKS ? window->n_blocks : N_BLOCKS - 1;
            window->began[at] = context->step;
        }
        window->sum += x;
        if (++window->n_in_block == block_sizes[i]) {
            end_block(context, drift, window, block_sizes[i]);
        }
    }
}

/* The median rise of the others in role; NaN when there are too few. */
static double rise_of_others(
    struct rule_context *context, struct rises *rises, const struct rule_fact *fact)
{
    if (rises->room < rises->slots.n) {
        rises->room = rises->slots.n;
        rises->sorted = baro_xrealloc(rises->sorted, rises->room, sizeof *rises->sorted);
    }
    const struct judge_thing *thing = rule_thing(context, fact->thing);
    size_t n = 0;
    for (uint32_t id = 1; id < rises->slots.n; id++) {
        const struct rise *rise = rule_slot(&rises->slots, id, sizeof *rise);
        const struct judge_thing *other =
            fabs(rise->last) > 0 && id != fact->thing ? rule_thing(context, id) : NULL;
        if (other != NULL && other->role == thing->role &&
            other->is_tensor == thing->is_tensor) {
            rises->sorted[n++] = rise->last;
        }
    }
    return n >= MIN_OTHERS ? rule_median(rises->sorted, n) : (double)NAN;
}

static void learn_loss(struct rises *rises, const struct rule_fact *fact)
{
    rises->loss = rises->loss == 0 ? fact->thing : rises->loss;
    if (rises->loss == fact->thing && isfinite(fact->value)) {
        rises->losses[rises->n_losses++ % LOSS_READINGS] = fact->value;
    }
}

/* Whether the loss is falling fast: then the network is finding what it was looking for.
 * n_back: readings to compare with, from the last one. */
static bool is_learning(const struct rises *rises, uint32_t n_back)
{
    if (rises->n_losses < n_back + LOSS_MEAN) {
        return false;
    }
    double old = 0;
    double now = 0;
    uint32_t last = rises->n_losses - 1;
    for (uint32_t i = 0; i < LOSS_MEAN; i++) {
        now += rises->losses[(last - i) % LOSS_READINGS];
        old += rises->losses[(last - n_back - i) % LOSS_READINGS];
    }
    return old > 0 && now < loss_falls * old;
}

static void judge_rise(
    struct rule_context *context, struct rises *rises, const struct rule_fact *fact)
{
    struct rise *rise = rule_slot(&rises->slots, fact->thing, sizeof *rise);
    const struct judge_thing *thing = rule_thing(context, fact->thing);
    double others = rise_of_others(context, rises, fact);
    const double *p = rule_params_of(context, fact->thing);
    double factor = p[MIN_FACTOR] * factor_of(thing, p);
    bool is_alone = !(others >= 0.5 * fact->score);
    bool is_excused =
        (thing->role == BARO_ACT && is_learning(rises, (uint32_t)fact->unit)) ||
        rule_change(context, context->rule->excuses) >= rule_since(fact);
    if (!rise->is_told && !is_excused &&
        (is_alone || fact->score > log(together_factor * factor))) {
        struct rule_fact told = *fact;
        told.unit = -1;
        rise->is_told = rule_report(context, &told);
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct rises *rises = run_state;
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].code == CODE_LOSS) {
            learn_loss(rises, &facts[i]);
        } else if (facts[i].code != CODE_LOGIT) {
            struct rise *rise = rule_slot(&rises->slots, facts[i].thing, sizeof *rise);
            rise->last = fabs(facts[i].score) > 0 ? facts[i].score : 1e-300;
            bool is_over =
                facts[i].code == CODE_BLOCK && facts[i].value > 0 && rise->last <= 0;
            rise->is_told &= !is_over;
        }
    }
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].code == CODE_LOGIT) {
            rule_report(context, &facts[i]);
        } else if (facts[i].code == CODE_RISE || facts[i].code == CODE_CREEP) {
            judge_rise(context, rises, &facts[i]);
        }
    }
}

static void release(void *run_state)
{
    struct rises *rises = run_state;
    free(rises->slots.items);
    free(rises->sorted);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct judge_thing *thing = context->thing;
    finding->step = fact->code == CODE_LOGIT ? fact->step : rule_since(fact);
    rule_show(finding, fact->thing, thing->is_tensor ? READING_SUMMARY : READING_SCALAR,
        thing->is_tensor ? SUMMARY_L2 : 0, -1, finding->step - 200, "its size");
    if (fact->code == CODE_LOGIT) {
        finding->level = BARO_ALARM;
        rule_say(finding,
            "%s is %.0f: its softmax has become a switch, and no gradient passes it.",
            thing->name, fact->value);
    } else if (!thing->is_tensor) {
        rule_say(finding,
            "%s runs away: from %.3g to %.3g since step %lld, without slowing down.",
            thing->name, fact->usual, fact->value, (long long)finding->step);
    } else {
        rule_say(finding,
            "The size of %s (%s) runs away: from %.3g to %.3g (root mean square) since step "
            "%lld, without slowing down.",
            thing->name, thing->role == BARO_ACT ? "its output" : "the weight", fact->usual,
            fact->value, (long long)finding->step);
    }
    if (!thing->is_tensor) {
        finding->advice =
            "Normalise queries and keys (QK norm), lower the learning rate, or use "
            "weight decay on them.";
        rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
        rule_blame(finding, JUDGE_CAUSE_NORMALISATION);
        return;
    }
    finding->advice =
        "Lower the learning rate, add weight decay or normalisation before it; look "
        "at the first layer that grows.";
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_WEIGHT_DECAY);
    rule_blame(finding, JUDGE_CAUSE_NORMALISATION);
}

const struct rule rule_norm_drift = {
    .name = "norm_drift",
    .sentence = "The size of an activation, a weight or an attention logit runs away.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_LR | JUDGE_CHANGE_UNFREEZE | JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct drift),
    .run_bytes = sizeof(struct rises),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
