/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_agree.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Do gradients pile up? Gradients of successive steps agree little once the first steep part of a
 * training is over: each batch has its own noise, and steps go back and forth. Where a gradient
 * contains the one before it, because zero_grad() is missing, or where the loss is climbed (a wrong
 * sign), each is the one before and more. With u_t the mean gradient of each unit of a tensor, a
 * reading piles up when
 *
 *   |u_t| > |u_before|,  u_t . u_before >= |u_before|^2 / 2,  and their cosine is above 0.6
 *
 * Told when half of all gradients, 2 at least, have done so in `in_a_row` (4) readings in a row, as
 * they never did before by 2 readings; after 32 readings. By chance one reading in 6 or less grows, and
 * one in 100 agrees so well where there are 8 units or more: four in a row in half of all tensors
 * is no chance.
 *
 * Where the loss is climbed gently gradients are not longer in each step, but they agree all the time,
 * and the loss rises where it should fall:
 *
 *   climb  in half of all gradients the exponential mean of the cosine (1 / 8) is above 0.4 and 0.15 above
 *          its usual (1 / 128), while the mean of a block of 16 losses is 4 standard errors above
 *          that of the block before, and its second half above its first
 *
 * Worked: g of length 1, new and at right angles in each step, summed up: |u| = 1, 1.41, 1.73, 2;
 * u_t . u_before = |u_before|^2; cosines 0.71, 0.82, 0.87, 0.89: told at the fourth sum.
 *
 * Cost: three multiplications a unit. Known limits: gradients that are accumulated from the first step on
 * have this as their past; the measure needs gradients' units (roles of watch()).
 */

enum { IN_A_ROW };

static const struct rule_param params[] = {
    {"in_a_row", 4, 2, 1000, "readings in a row in which gradients pile up"},
};

enum { WARM_UP = 32, MIN_TENSORS = 2, CALM = 64 };

static const double min_cosine = 0.6;
static const double past_fade = 0.99; /* of the longest row, a reading */

static const double min_agreement = 0.4;
static const double over_usual = 0.15;
static const double min_errors = 4;

enum { CODE_PILE = 1, CODE_CLIMB, FACT_AGREE, FACT_LOSS };
enum { BLOCK = 16, EXCUSE = 50 };

/* Of the loss: a block under way. */
struct climb {
    struct rule_block block;
    uint32_t n_blocks;
    double first_half;
    double before; /* mean of the block before, */
    double before_error;
};

/* Of the gradient of a tensor; floats behind it: u before. */
struct pile {
    uint32_t n;
    uint32_t n_rising; /* readings in a row that pile up */
    double past;       /* longest row of before, fading */
    double norm;       /* |u before|^2 */
    double first_norm; /* of the row */
    double agreement;  /* exponential mean of the cosine */
    double usual;
    int64_t since;
};

struct run {
    bool is_told;
    int64_t told_step;
    struct rule_slots
        agreed; /* int64_t by thing: step + 1 at which it last agreed; 0: never */
};

static bool applies(const struct judge_thing *thing)
{
    return rule_agree_applies(thing) || judge_is_main_loss(thing);
}

static void end_row(struct pile *pile)
{
    pile->past = fmax(pile->past * past_fade, pile->n_rising);
    pile->n_rising = 0;
}

/* A block of losses is over: did they rise? */
static void on_loss(
    struct rule_context *context, struct climb *climb, const struct reading *reading)
{
    double value = reading->f64[0];
    if (!isfinite(value)) {
        return;
    }
    climb->first_half += climb->block.n < BLOCK / 2 ? value : 0;
    if (!rule_block_add(&climb->block, value, BLOCK)) {
        return;
    }
    double mean = rule_block_mean(&climb->block);
    double error = rule_block_error(&climb->block);
    double both = sqrt(error * error + climb->before_error * climb->before_error);
    bool goes_on = climb->block.sum > 2 * climb->first_half;
    if (climb->n_blocks > WARM_UP / BLOCK && goes_on &&
        mean > climb->before + min_errors * both) {
        rule_note_value(
            context, FACT_LOSS, mean, climb->before, (mean - climb->before) / both);
    }
    *climb = (struct climb){
        .n_blocks = climb->n_blocks + 1, .before = mean, .before_error = error};
}

static void look_at_agreement(
    struct rule_context *context, struct pile *pile, double product, double norm)
{
    double cosine = product / sqrt(norm * pile->norm);
    if (!isfinite(cosine)) {
        return;
    }
    pile->agreement += (cosine - pile->agreement) / 8;
    pile->usual += (cosine - pile->usual) / (pile->n < 128 ? pile->n + 1 : 128);
    if (pile->n > WARM_UP && pile->agreement > min_agreement &&
        pile->agreement > pile->usual + over_usual) {
        rule_note_value(context, FACT_AGREE, pile->agreement, pile->usual, 0);
    }
}

static void on_gradient(
    struct rule_context *context, struct pile *pile, const struct reading *reading)
{
    uint32_t n_units = context->thing->n_units;
    if (!unit_fits(reading, n_units)) {
        return;
    }
    struct rule_agreement found = rule_agree(reading, n_units, rule_units(context, pile));
    double product = found.product;
    double norm = found.norm;
    bool piles_up = isfinite(norm) && norm > pile->norm && pile->norm > 0 &&
                    product >= 0.5 * pile->norm &&
                    product * product > min_cosine * min_cosine * norm * pile->norm;
    if (!piles_up) {
        end_row(pile);
    } else {
        pile->first_norm = pile->n_rising == 0 ? pile->norm : pile->first_norm;
        pile->since = pile->n_rising == 0 ? context->step : pile->since;
        pile->n_rising++;
    }
    look_at_agreement(context, pile, product, norm);
    pile->norm = norm;
    pile->n += pile->n < UINT32_MAX ? 1 : 0;
    if (pile->n > WARM_UP && pile->n_rising >= context->params[IN_A_ROW] &&
        pile->n_rising > pile->past + 1) {
        rule_note_since(context, CODE_PILE, pile->since, sqrt(norm / pile->first_norm), 0,
            pile->n_rising);
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

static size_t count_gradients(const struct rule_context *context)
{
    size_t n = 0;
    unsigned n_missing = 0;
    for (uint32_t id = 1; n_missing < RULE_MAX_GAP; id++) {
        const struct judge_thing *thing = rule_thing(context, id);
        n_missing = thing == NULL ? n_missing + 1 : 0;
        n += thing != NULL && rule_agree_applies(thing) ? 1 : 0;
    }
    return n;
}

/* How many gradients agreed within the last block of losses. */
static size_t count_agreed(const struct run *run, int64_t step)
{
    const int64_t *agreed = (const int64_t *)(void *)run->agreed.items;
    size_t n = 0;
    for (size_t i = 0; i < run->agreed.n; i++) {
        n += agreed[i] > 0 && step - (agreed[i] - 1) < BLOCK / 2 ? 1 : 0;
    }
    return n;
}

static bool is_meant(const struct rule_context *context)
{
    int64_t since = rule_change(context, JUDGE_CHANGE_LR);
    return since != INT64_MIN && since <= context->step && context->step - since < EXCUSE;
}

static void report(struct rule_context *context, struct run *run,
    const struct rule_fact *fact, uint32_t code, size_t n)
{
    bool is_recent = run->is_told && context->step >= run->told_step &&
                     context->step - run->told_step < CALM;
    if (is_recent || n < MIN_TENSORS || 2 * n < count_gradients(context)) {
        return;
    }
    struct rule_fact told = *fact;
    told.code = code;
    told.n_units = (uint32_t)n;
    run->is_told = true;
    run->told_step = context->step;
    rule_report(context, &told);
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct run *run = run_state;
    const struct rule_fact *worst = NULL;
    const struct rule_fact *loss = NULL;
    size_t n_piles = 0;
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        if (fact->code == FACT_AGREE && fact->step >= 0) {
            int64_t *agreed = rule_slot(&run->agreed, fact->thing, sizeof *agreed);
            *agreed = fact->step + 1;
        } else if (fact->code == FACT_LOSS) {
            loss = fact;
        } else if (fact->code == CODE_PILE) {
            n_piles++;
            worst = worst == NULL || fact->value > worst->value ? fact : worst;
        }
    }
    if (worst != NULL) {
        report(context, run, worst, CODE_PILE, n_piles);
    }
    if (loss != NULL && !is_meant(context)) {
        report(context, run, loss, CODE_CLIMB, count_agreed(run, context->step));
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    finding->n_units = 0;
    if (fact->code == CODE_CLIMB) {
        rule_say(finding,
            "The loss is climbed: gradients of successive steps agree in %u tensors, so it should "
            "fall, but %s rose from %.4g to %.4g until step %lld.",
            fact->n_units, context->thing->name, fact->usual, fact->value,
            (long long)fact->step);
        finding->advice =
            "Look at the sign of the loss and of the step, at what is maximised, and "
            "at a learning rate that is too high.";
        rule_blame(finding, JUDGE_CAUSE_SIGN);
        rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
        rule_blame(finding, JUDGE_CAUSE_NOT_ZEROED);
        rule_show(finding, fact->thing, READING_SCALAR, 0, -1, fact->step - 64,
            "the loss, which rises");
        return;
    }
    finding->step = rule_since(fact);
    rule_say(finding,
        "Gradients pile up since step %lld: in %u tensors each is the one before and more, that of "
        "%s has grown %.3g-fold in %.0f readings.",
        (long long)finding->step, fact->n_units, context->thing->name, fact->value,
        fact->score);
    finding->advice =
        "Look whether gradients are zeroed before each backward pass, and whether the "
        "loss has the right sign: steps lead up where each gradient repeats the last.";
    rule_blame(finding, JUDGE_CAUSE_NOT_ZEROED);
    rule_blame(finding, JUDGE_CAUSE_SIGN);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_L2, -1, finding->step - 64,
        "a gradient that piles up");
}

static void release(void *run_state)
{
    struct run *run = run_state;
    free(run->agreed.items);
}

const struct rule rule_runaway = {
    .name = "gradient_pile_up",
    .sentence =
        "Each gradient is the one before and more: not zeroed, or the loss is climbed.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_UNITS) | RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_UNFREEZE | JUDGE_CHANGE_RESTART | JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct pile) > sizeof(struct climb) ? sizeof(struct pile)
                                                              : sizeof(struct climb),
    .unit_bytes = sizeof(float),
    .run_bytes = sizeof(struct run),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
