/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Will a tensor overflow soon? Here physics sets the limits:
 *
 *   the type's largest number: 65504 in f16; 3.4e38 in bf16 and f32, whose squares overflow from
 *   1.8e19 on already (norms and variances square their input), so that is taken as the limit
 *   88.7 for what goes into exp() in f32 or bf16, 11.09 in f16 (which modules that is, only their
 *   names tell: "fc_logvar", "log_sigma")
 *
 * Of the last 8 readings of abs_max (for exp: of max) a line is laid through their logarithms (for
 * exp: through the values themselves) over the steps. When it rises, fits well (r > 0.9), has
 * gained at least 1 in those 8 readings (a factor of e; for exp: 5 % of the limit) and meets the limit
 * within `horizon` times the steps that it was laid through, a reading too far is imminent; two
 * readings in a row must say so. The last reading must already be within the last `near` of the
 * way, on the line's own scale. A single reading above half of the limit (for exp: above all of it) is
 * told at once.
 *
 * Worked: f16, abs_max 500, 800, 1280, ... by 1.6 at each step: ln(65504) = 11.09 is met where the
 * value has grown 131-fold, at step 10.4. The first 8 readings (steps 0 to 7) say so, those up to step
 * 8 (21475) say it again: told there, 2.4 steps ahead.
 */

enum { HORIZON, NEAR };

static const struct rule_param params[] = {
    {"horizon", 2, 0.1, 100,
        "how far the line is trusted, in lengths of what it was laid through"},
    {"near", 0.5, 0, 1, "part of the way to the limit that must be done, on a log scale"},
};

enum { TREND = 1, THERE };
enum { LINE = 8, CALM_READINGS = 16 };

static const double least_fit = 0.9;

/* What a tensor must not exceed. */
struct limit {
    double value; /* 0: not asked for yet */
    bool is_exp;  /* of what goes into exp() */
};

struct memory {
    struct limit limit;
    double steps[LINE];
    double ys[LINE];
    uint32_t n;
    struct rule_latch latch;
};

static bool goes_into_exp(const struct judge_thing *thing)
{
    static const char *const parts[] = {
        "logvar", "log_var", "logsigma", "log_sigma", "logstd", "log_std", "log_scale"};
    if (strcasestr(thing->name, "exp") != NULL) {
        return false; /* "exp_logvar" is what came out of it */
    }
    for (size_t i = 0; thing->role == BARO_ACT && i < BARO_LEN(parts); i++) {
        if (strcasestr(thing->name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static struct limit limit_of(const struct judge_thing *thing)
{
    bool is_half = thing->dtype == BARO_F16;
    if (goes_into_exp(thing)) {
        return (struct limit){is_half ? 11.09 : 88.7, true};
    }
    return (struct limit){is_half ? 65504 : 1.8e19, false};
}

static bool applies(const struct judge_thing *thing)
{
    bool is_known =
        thing->dtype == BARO_F16 || thing->dtype == BARO_BF16 || thing->dtype == BARO_F32;
    return thing->is_tensor && is_known && thing->role != BARO_OPT;
}

/* The line through the last readings: its slope per step, 0 when it does not fit. */
static double slope_of(const struct memory *memory)
{
    double sx = 0;
    double sy = 0;
    for (int i = 0; i < LINE; i++) {
        sx += memory->steps[i] - memory->steps[0];
        sy += memory->ys[i];
    }
    double sxx = 0;
    double sxy = 0;
    double syy = 0;
    for (int i = 0; i < LINE; i++) {
        double x = memory->steps[i] - memory->steps[0] - sx / LINE;
        double y = memory->ys[i] - sy / LINE;
        sxx += x * x;
        sxy += x * y;
        syy += y * y;
    }
    bool fits = sxx > 0 && syy > 0 && sxy > least_fit * sqrt(sxx * syy);
    return fits ? sxy / sxx : 0;
}

/* Whether the line meets the limit soon; ys and goal are on the line's scale. */
static bool is_imminent(const struct memory *memory, const double *p, double least_gain,
    double goal, double *out_steps)
{
    double span = memory->steps[LINE - 1] - memory->steps[0];
    double now = memory->ys[LINE - 1];
    if (now < p[NEAR] * goal || now - memory->ys[0] < least_gain) {
        return false;
    }
    double slope = slope_of(memory);
    if (!(slope > 0)) {
        return false;
    }
    *out_steps = fmax((goal - now) / slope, 0);
    return *out_steps < p[HORIZON] * span;
}

static void learn(struct memory *memory, double step, double y)
{
    if (memory->n == LINE) {
        for (int i = 1; i < LINE; i++) {
            memory->steps[i - 1] = memory->steps[i];
            memory->ys[i - 1] = memory->ys[i];
        }
        memory->n--;
    }
    if (memory->n > 0 && step <= memory->steps[memory->n - 1]) {
        memory->n = 0; /* steps went back: no line goes through both sides */
    }
    memory->steps[memory->n] = step;
    memory->ys[memory->n] = y;
    memory->n++;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    if (context->thing->is_backward && context->thing->dtype == BARO_F16 &&
        rule_is_scaled(context)) {
        return; /* a loss scaler makes them as large as they may be, and skips what overflows */
    }
    if (memory->limit.value <= 0) {
        memory->limit = limit_of(context->thing);
    }
    struct limit limit = memory->limit;
    double value = reading->f64[limit.is_exp ? SUMMARY_MAX : SUMMARY_ABS_MAX];
    if (!isfinite(value)) {
        return;
    }
    double least = limit.is_exp ? 1 : 1e-3;
    double y = value > least ? value : least; /* below, it is far from any limit */
    learn(memory, (double)context->step, limit.is_exp ? y : log(y));
    bool is_there = value > (limit.is_exp ? limit.value : 0.5 * limit.value);
    double ahead = 0;
    double goal = limit.is_exp ? limit.value : log(limit.value);
    double least_gain = limit.is_exp ? 0.05 * limit.value : 1;
    bool is_soon =
        memory->n == LINE && is_imminent(memory, context->params, least_gain, goal, &ahead);
    bool is_on =
        rule_latch(&memory->latch, is_there || is_soon, is_there ? 1 : 2, CALM_READINGS);
    if (is_on) {
        rule_note_since(context, is_there ? THERE : TREND, (int64_t)memory->steps[0], value,
            limit.value, ahead);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct judge_thing *thing = context->thing;
    bool is_exp = limit_of(thing).is_exp;
    const char *type = baro_dtype_name(thing->dtype);
    rule_say(finding, "%s (%s) holds %.3g at step %lld", thing->name,
        baro_role_name(thing->role), fact->value, (long long)fact->step);
    if (fact->code == TREND) {
        rule_say_more(finding, " and grows: in about %.0f steps", ceil(fact->score));
    }
    if (is_exp) {
        rule_say_more(finding, "%s exp() of it overflows %s (at %.4g).",
            fact->code == TREND ? "" : ", and", type, fact->usual);
        finding->advice =
            "Clamp it before exp(), say to -10 .. 10, or compute it another way "
            "(softplus); lower the learning rate.";
    } else if (thing->dtype == BARO_F16) {
        rule_say_more(
            finding, "%s f16 overflows (at 65504).", fact->code == TREND ? "" : ", and");
        finding->advice =
            "Compute this module in bf16 or f32, normalise what goes into it, or "
            "lower the learning rate.";
    } else {
        rule_say_more(finding, "%s squares of it overflow %s (at 1.8e19).",
            fact->code == TREND ? "" : ", and", type);
        finding->advice =
            "Nothing sound is that large: lower the learning rate, clip gradients, "
            "and normalise what goes into this module.";
    }
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_TYPE_RANGE);
    rule_blame(finding, JUDGE_CAUSE_NORMALISATION);
    rule_show(finding, fact->thing, READING_SUMMARY, is_exp ? SUMMARY_MAX : SUMMARY_ABS_MAX,
        -1, rule_since(fact), "its largest value, growing");
}

const struct rule rule_overflow = {
    .name = "overflow",
    .sentence = "A tensor's largest value heads for the limit of its type.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_SUMMARY),
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
