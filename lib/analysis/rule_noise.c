/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_agree.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Is the gradient nothing but noise? Cockpit (Schneider et al. 2021) compares gradients of single
 * samples with their mean; nobody measures those. But gradients of successive steps are there: the
 * mean gradient of each unit, a vector u_t of each tensor. As long as there is something to learn they
 * agree, for the signal is in all of them and the noise of each batch is its own. So
 *
 *   s_t = u_t . u_before / (|u_t| |u_before|)
 *
 * is about the part of signal in |u|^2 (Cockpit's inner product test over steps instead of
 * samples); its mean over blocks of 32 readings is a tensor's signal a, and the median a over tensors
 * the run's. Noise alone gives |a| < 2 / sqrt(32 d) or so, of d units: 0.1.
 *
 * Converged trainings are noise, too, and so are good ones that bounce (a < 0). It is a fault, and
 * told, only where the loss says so:
 *
 *   never   in `first_blocks` blocks from the start a is below `max_signal` (0.08), in the very first,
 *           which learns how often each target comes, below 2.5 times that, and the loss has not
 *           fallen (by 2 %, or since the second block by 4 of its errors): inputs and targets have nothing to do with each other
 *   lost    a was above 3 times that in a block once; in 2 blocks in a row it is below, and the loss
 *           stands higher than its best block of 32 by half of all that had been learnt, 6 of its
 *           deviations / sqrt(32)
 *
 * Worked: 9 tensors, signals 0.02 -0.05 0.01 0.07 -0.02 0.03 0 0.04 -0.06: median 0.01 < 0.08.
 *
 * Cost: three multiplications a unit. Known limits: tensors with less than 4 units do not count, nor
 * do gradients that are exactly zero; the measure needs the gradients' units (roles of watch()).
 */

enum { MAX_SIGNAL, FIRST_BLOCKS, MIN_LOST };

static const struct rule_param params[] = {
    {"max_signal", 0.08, 0, 1, "agreement of successive gradients that is still noise"},
    {"first_blocks", 3, 1, 100, "blocks of 32 readings from the start that are only noise"},
    {"min_lost", 0.5, 0.01, 10, "part of what was learnt that the loss has lost again"},
};

static const double first_slack = 2.5;

enum { CODE_NEVER = 1, CODE_LOST };
enum { FACT_BLOCK = 1, FACT_LOSS };
enum { BLOCK = 32, FIRST_STEPS = 64, MIN_TENSORS = 2 };

/* Of the gradient of a tensor; floats behind it: u before. */
struct tensor {
    uint32_t n; /* products in the block */
    bool has_before;
    double sum;
    double before_norm;
};

/* What is known of each tensor's last block. */
struct place {
    int64_t step;
    double signal;
    uint64_t n; /* blocks */
};

struct memory {
    struct rule_slots tensors; /* struct place, by thing */
    double *signals;           /* room for a median */
    size_t signals_size;
    uint64_t n_blocks; /* of the first tensor: the run's */
    uint32_t first_tensor;
    uint32_t n_noise; /* blocks in a row that are noise */
    bool had_signal;
    bool is_told;
    double begin; /* of the loss, by blocks */
    double best;
    double last;
    double error;  /* standard error of the last */
    double second; /* of the second block: the first learns how often each target comes */
    double second_error;
    uint64_t n_losses;
    int64_t first_step;
    int64_t noise_step; /* at which the noise began */
};

static bool applies(const struct judge_thing *thing)
{
    return rule_agree_applies(thing) || judge_is_main_loss(thing);
}

static void on_loss(
    struct rule_context *context, struct rule_block *block, const struct reading *reading)
{
    double value = reading->f64[0];
    if (isfinite(value) && rule_block_add(block, value, BLOCK)) {
        rule_note_value(
            context, FACT_LOSS, rule_block_mean(block), rule_block_error(block), 0);
        *block = (struct rule_block){0};
    }
}

static void on_gradient(
    struct rule_context *context, struct tensor *tensor, const struct reading *reading)
{
    uint32_t n_units = context->thing->n_units;
    if (!unit_fits(reading, n_units)) {
        return;
    }
    struct rule_agreement found = rule_agree(reading, n_units, rule_units(context, tensor));
    double product = found.product;
    double norm = found.norm;
    bool is_there = isfinite(norm) && norm > 0;
    if (is_there && tensor->has_before && isfinite(product)) {
        tensor->sum += product / sqrt(norm * tensor->before_norm);
        tensor->n++;
    }
    tensor->has_before = is_there;
    tensor->before_norm = norm;
    if (tensor->n == BLOCK) {
        rule_note_value(context, FACT_BLOCK, tensor->sum / BLOCK, 0, 0);
        tensor->n = 0;
        tensor->sum = 0;
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    if (reading->header.kind == READING_SCALAR) {
        on_loss(context, state, reading);
    } else {
        on_gradient(context, state, reading);
    }
}

/* The median signal over all tensors; NaN when there are too few. */
static double signal_of(struct memory *memory)
{
    const struct place *places = (const struct place *)(void *)memory->tensors.items;
    size_t n = 0;
    if (memory->signals_size < memory->tensors.n) {
        memory->signals_size = memory->tensors.n;
        memory->signals =
            baro_xrealloc(memory->signals, memory->signals_size, sizeof *memory->signals);
    }
    for (size_t i = 0; i < memory->tensors.n; i++) {
        if (places[i].n > 0) {
            memory->signals[n++] = places[i].signal;
        }
    }
    return n >= MIN_TENSORS ? rule_median(memory->signals, n) : (double)NAN;
}

static bool has_fallen(const struct memory *memory)
{
    double fall = memory->begin - fmin(memory->best, memory->last);
    double error =
        sqrt(memory->second_error * memory->second_error + memory->error * memory->error);
    bool falls_now = memory->n_losses > 2 && memory->second - memory->last > 4 * error;
    return memory->n_losses < 2 || fall > 0.02 * fabs(memory->begin) || falls_now;
}

static bool is_lost(const struct memory *memory, const double *p)
{
    double learnt = memory->begin - memory->best;
    double rise = memory->last - memory->best;
    return memory->n_losses > 2 && learnt > 0 && rise > p[MIN_LOST] * learnt &&
           rise > 6 * memory->error;
}

/* A block of the run is over. */
static void look(struct rule_context *context, struct memory *memory, struct rule_fact fact)
{
    const double *p = context->params;
    double signal = signal_of(memory);
    if (isnan(signal)) {
        return;
    }
    double most = memory->n_blocks == 1 ? first_slack * p[MAX_SIGNAL] : p[MAX_SIGNAL];
    bool is_noise = fabs(signal) < most;
    if (is_noise && memory->n_noise == 0) {
        memory->noise_step = memory->n_blocks == 1 ? memory->first_step : fact.step;
    }
    memory->n_noise = is_noise ? memory->n_noise + 1 : 0;
    memory->had_signal |= signal > 3 * p[MAX_SIGNAL];
    bool is_never = memory->n_noise == memory->n_blocks &&
                    (double)memory->n_blocks >= p[FIRST_BLOCKS] &&
                    memory->first_step < FIRST_STEPS && !has_fallen(memory);
    bool is_lost_now = memory->n_noise >= 2 && memory->had_signal && is_lost(memory, p);
    if (memory->is_told || !(is_never || is_lost_now)) {
        memory->is_told &= is_noise;
        return;
    }
    memory->is_told = true;
    fact.code = is_never ? CODE_NEVER : CODE_LOST;
    fact.value = signal;
    fact.usual = p[MAX_SIGNAL];
    fact.score = memory->last;
    fact.from_step = rule_from(memory->noise_step);
    rule_report(context, &fact);
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct memory *memory = run_state;
    const struct rule_fact *first = NULL;
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].code == FACT_LOSS) {
            memory->begin = memory->n_losses == 0 ? facts[i].value : memory->begin;
            memory->best = memory->n_losses == 0 || facts[i].value < memory->best
                               ? facts[i].value
                               : memory->best;
            memory->last = facts[i].value;
            memory->error = facts[i].usual;
            memory->n_losses++;
            if (memory->n_losses == 2) {
                memory->second = memory->last;
                memory->second_error = memory->error;
            }
            continue;
        }
        struct place *place = rule_slot(&memory->tensors, facts[i].thing, sizeof *place);
        *place = (struct place){
            .step = facts[i].step, .signal = facts[i].value, .n = place->n + 1};
        if (memory->first_tensor == 0) {
            memory->first_tensor = facts[i].thing;
            memory->first_step = facts[i].step - BLOCK;
        }
        first = facts[i].thing == memory->first_tensor ? &facts[i] : first;
    }
    if (first != NULL) {
        memory->n_blocks++;
        look(context, memory, *first);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    finding->step = rule_since(fact) > 0 ? rule_since(fact) : 0;
    if (fact->code == CODE_NEVER) {
        finding->step = fact->step;
        rule_say(finding,
            "Gradients are only noise: those of successive steps agree by %.2g (below %.2g), from "
            "the start to step %lld, and the loss does not fall.",
            fact->value, fact->usual, (long long)fact->step);
        finding->advice =
            "There seems to be nothing to learn: look whether inputs and targets belong together "
            "(shuffled apart, wrong files), whether the batch is too small or the learning rate "
            "too low to see the signal.";
        rule_blame(finding, JUDGE_CAUSE_LABELS);
        rule_blame(finding, JUDGE_CAUSE_BATCH_SIZE);
        rule_blame(finding, JUDGE_CAUSE_LR_LOW);
    } else {
        rule_say(finding,
            "Gradients are only noise since step %lld: those of successive steps agree by %.2g "
            "(below %.2g), and the loss, %.4g, has lost much of what had been learnt.",
            (long long)finding->step, fact->value, fact->usual, fact->score);
        finding->advice =
            "Targets may have become random, or the learning rate too high to get "
            "anywhere: look at what changed at that step.";
        rule_blame(finding, JUDGE_CAUSE_LABELS);
        rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
        rule_blame(finding, JUDGE_CAUSE_BATCH_SIZE);
    }
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_L2, -1,
        finding->step > 128 ? finding->step - 128 : 0, "a gradient that is only noise");
}

static void release(void *run_state)
{
    struct memory *memory = run_state;
    free(memory->tensors.items);
    free(memory->signals);
}

const struct rule rule_noise = {
    .name = "noise_gradient",
    .sentence = "Gradients of successive steps do not agree: they are only noise.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_UNITS) | RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_EVENT | JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct tensor) > sizeof(struct rule_block)
                       ? sizeof(struct tensor)
                       : sizeof(struct rule_block),
    .unit_bytes = sizeof(float),
    .run_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
