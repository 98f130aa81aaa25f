/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Does the loss scale collapse? A scaler of mixed precision halves its scale when gradients overflow
 * and doubles it after some thousand good steps. At the start it searches from above (65536), so a
 * fall within the first readings means nothing. Later, one halving is normal; one after the other
 * means that gradients overflow whatever the scale is: something else has broken. Told when the
 * scale
 *
 *   has lost `max_halvings` factors of 2 within the last 64 readings, after the first 128, or one
 *   less in as many readings in a row; or
 *   is below `min_scale`: then gradients are made smaller, not larger.
 *
 * Worked: 65536 for 200 readings, then 32768, 16384, 8192, 4096, 2048 in a row: 5 halvings at the
 * fifth; but four in a row are told already.
 */

enum { MAX_HALVINGS, MIN_SCALE };

static const struct rule_param params[] = {
    {"max_halvings", 5, 1, 60, "factors of 2 lost within 64 readings that are told"},
    {"min_scale", 1, 0, 1e9, "a scale below this is told"},
};

enum { COLLAPSE = 1, TOO_LOW };
enum { WINDOW = 64, N_LOW = 3 };

struct memory {
    double ring[WINDOW]; /* log2 of the scale */
    uint64_t n;
    uint32_t n_falls; /* in a row */
    struct rule_latch fall;
    struct rule_latch low;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->meaning == JUDGE_LOSS_SCALE;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    double value = reading->f64[0];
    if (!isfinite(value) || value <= 0) {
        return;
    }
    double y = log2(value);
    double highest = y;
    size_t n = memory->n < WINDOW ? (size_t)memory->n : WINDOW;
    for (size_t i = 0; i < n; i++) {
        highest = fmax(highest, memory->ring[i]);
    }
    double most = context->params[MAX_HALVINGS];
    memory->n_falls = memory->n > 0 && y < memory->ring[(memory->n - 1) % WINDOW]
                          ? memory->n_falls + 1
                          : 0;
    bool is_in_a_row = most > 1 && memory->n_falls > most - 1.01;
    bool falls =
        memory->n >= 2 * (uint64_t)WINDOW && (highest - y > most - 0.01 || is_in_a_row);
    if (rule_latch(&memory->fall, falls, 1, WINDOW)) {
        rule_note_value(
            context, COLLAPSE, value, exp2(highest), log2(exp2(highest) / value));
    }
    if (rule_latch(&memory->low, value < context->params[MIN_SCALE], N_LOW, N_LOW)) {
        double least = context->params[MIN_SCALE];
        rule_note_value(context, TOO_LOW, value, least, log2(least / value));
    }
    memory->ring[memory->n % WINDOW] = y;
    memory->n++;
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if (fact->code == COLLAPSE) {
        rule_say(finding, "%s collapses: %.6g at step %lld, %.6g shortly before.",
            context->thing->name, fact->value, (long long)fact->step, fact->usual);
    } else {
        rule_say(finding,
            "%s is %.3g at step %lld: it makes gradients smaller, not larger.",
            context->thing->name, fact->value, (long long)fact->step);
    }
    finding->advice =
        "Gradients overflow again and again, so steps are skipped: look for activations that grow, "
        "lower the learning rate, clip gradients, or train in bf16, which needs no scale.";
    rule_blame(finding, JUDGE_CAUSE_TYPE_RANGE);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_show(finding, fact->thing, READING_SCALAR, 0, -1, fact->step - WINDOW,
        "the loss scale falling");
}

const struct rule rule_loss_scale = {
    .name = "loss_scale_collapse",
    .sentence = "The loss scale of mixed precision falls again and again.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_SCALAR),
    .excuses = JUDGE_CHANGE_RESTART,
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
