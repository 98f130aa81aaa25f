/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/why_probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/tensor.h"

/*
 * What the failure probe says: the operation, which operand broke it with which number, how far that
 * is from what it was in calm, and where on the way upstream numbers left what they are in calm.
 *
 * The way upstream goes from the operand to the value that it was made of and that is largest
 * beside its own calm self (else largest at all), operation by operation, until nothing of the
 * graph is left. The same operation is found in the calm probe by its place if name and module agree
 * there, else as the n-th of that name in that module.
 */

enum { MAX_WAY = 4096 };

/* Numbers beyond so many times those in calm have left their course. */
static const double GAIN = 3;

const char *why_value_module(const struct probe *probe, int32_t value)
{
    if (value == PROBE_NONE || probe->values[value].op == PROBE_NONE) {
        return "";
    }
    return probe->ops[probe->values[value].op].module;
}

/* ---- calm ---- */

static bool is_same_op(const struct probe_op *a, const struct probe_op *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->module, b->module) == 0 &&
           a->phase == b->phase;
}

/* The same operation in the calm probe; PROBE_NONE: it is not there. */
static int32_t calm_op(const struct probe *probe, const struct probe *calm, int32_t op)
{
    const struct probe_op *wanted = &probe->ops[op];
    if ((uint32_t)op < calm->n_ops && is_same_op(wanted, &calm->ops[op])) {
        return op;
    }
    int32_t nth = 0;
    for (int32_t i = 0; i < op; i++) {
        nth += is_same_op(wanted, &probe->ops[i]);
    }
    for (uint32_t i = 0; i < calm->n_ops; i++) {
        if (is_same_op(wanted, &calm->ops[i]) && nth-- == 0) {
            return (int32_t)i;
        }
    }
    return PROBE_NONE;
}

/* The same value in the calm probe; NULL: it is not there. */
static const struct probe_value *calm_value(
    const struct probe *probe, const struct probe *calm, int32_t value)
{
    if (calm == NULL || value == PROBE_NONE) {
        return NULL;
    }
    const struct probe_value *wanted = &probe->values[value];
    if (wanted->op != PROBE_NONE) {
        int32_t op = calm_op(probe, calm, wanted->op);
        const struct probe_op *here = &probe->ops[wanted->op];
        for (uint32_t i = 0; op != PROBE_NONE && i < here->n_outputs; i++) {
            if (here->outputs[i] == value && i < calm->ops[op].n_outputs &&
                calm->ops[op].outputs[i] != PROBE_NONE) {
                return &calm->values[calm->ops[op].outputs[i]];
            }
        }
        return NULL;
    }
    for (uint32_t i = 0; i < calm->n_values; i++) {
        const struct probe_value *other = &calm->values[i];
        if (other->kind == wanted->kind && wanted->name[0] != '\0' &&
            strcmp(other->name, wanted->name) == 0) {
            return other;
        }
    }
    return NULL;
}

/* How many times its calm size a value has; NaN: not known. */
static double gain_of(const struct probe *probe, const struct probe *calm, int32_t value)
{
    const struct probe_value *before = calm_value(probe, calm, value);
    double now = value != PROBE_NONE ? why_size_of(&probe->values[value]) : (double)NAN;
    if (before == NULL || !isfinite(now) || !(why_size_of(before) > 0)) {
        return (double)NAN;
    }
    return now / why_size_of(before);
}

/* ---- the way upstream ---- */

/* The input that an operation's result was mostly made of; parameters are noted, not followed. */
static int32_t main_input(struct why_work *work, const struct probe_op *op)
{
    const struct probe *probe = work->facts->failure;
    int32_t best = PROBE_NONE;
    double most = -1;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        int32_t at = op->inputs[i];
        if (at == PROBE_NONE) {
            continue;
        }
        const struct probe_value *value = &probe->values[at];
        double gain = gain_of(probe, work->facts->calm, at);
        if (value->kind == PROBE_PARAMETER) {
            if (gain > work->found.weight_gain || isnan(work->found.weight_gain)) {
                work->found.weight_gain = gain;
                (void)snprintf(
                    work->found.weight, sizeof work->found.weight, "%s", value->name);
            }
            continue;
        }
        bool is_signal = value->kind == PROBE_RESULT || value->kind == PROBE_INPUT;
        double size = why_size_of(value);
        double weight = !is_signal       ? 0
                        : isfinite(gain) ? 1e3 + gain
                        : isfinite(size) ? size / (1 + size) + 1
                                         : 1;
        if (weight > most) {
            best = at;
            most = weight;
        }
    }
    return best;
}

/* Its size; of an operand that was too small that says nothing, there its number. */
static void say_hop(
    const struct why_work *work, struct why_hop *hop, const struct probe_value *of)
{
    const struct why_origin *origin = &work->story->origin;
    const enum why_extreme extreme = why_extreme_of(work->found.op);
    const bool is_small = hop->value == work->found.value && isfinite(origin->operand) &&
                          (extreme == WHY_SMALLEST || extreme == WHY_NEAREST_ZERO);
    const double usual = is_small ? origin->usual : hop->usual;
    const bool is_made = hop->op_name[0] != '\0';
    char place[WHY_NAME_BYTES];
    char op[WHY_NAME_BYTES];
    why_say(hop->text, sizeof hop->text, "%s%s%s: %s %.4g",
        of->op == PROBE_NONE && hop->module[0] == '\0' ? "outside"
                                                       : why_place(hop->module, place),
        is_made ? ", " : "", why_plain_name(hop->op_name, op),
        is_small ? "down to" : "up to", is_small ? origin->operand : hop->number);
    if (isfinite(usual)) {
        why_say(hop->text, sizeof hop->text, " (%.4g in calm)", usual);
    }
}

static void tell_hop(struct why_work *work, int32_t value)
{
    const struct probe *probe = work->facts->failure;
    struct why_story *story = work->story;
    const struct probe_value *of = &probe->values[value];
    const struct probe_value *before = calm_value(probe, work->facts->calm, value);
    struct why_hop *hop = &story->hops[story->n_hops];
    *hop = (struct why_hop){.value = value,
        .op = of->op,
        .number = why_size_of(of),
        .usual = before != NULL ? why_size_of(before) : (double)NAN,
        .share = (double)NAN,
        .unit = -1};
    const char *module = why_value_module(probe, value);
    (void)snprintf(hop->module, sizeof hop->module, "%s",
        of->op != PROBE_NONE  ? module
        : of->name[0] != '\0' ? of->name
                              : probe_value_kind_name(of->kind));
    (void)snprintf(hop->op_name, sizeof hop->op_name, "%s",
        of->op != PROBE_NONE ? probe->ops[of->op].name : "");
    say_hop(work, hop, of);
    if (hop->usual > 0 && hop->number > GAIN * hop->usual) {
        work->found.jump = (int)story->n_hops;
    }
    story->n_hops++;
}

/* Values worth a line: the first, the last of each module, and what comes from outside. */
static bool is_worth_a_hop(const struct probe *probe, int32_t value, const char *module)
{
    const struct probe_value *of = &probe->values[value];
    return of->op == PROBE_NONE || strcmp(probe->ops[of->op].module, module) != 0;
}

static void walk(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    int32_t at = work->found.value;
    const char *module = NULL;
    for (int n = 0; n < MAX_WAY && at != PROBE_NONE; n++) {
        const struct probe_value *value = &probe->values[at];
        if (work->story->n_hops < WHY_MAX_HOPS &&
            (module == NULL || is_worth_a_hop(probe, at, module))) {
            tell_hop(work, at);
            module = why_value_module(probe, at);
        }
        if (value->op == PROBE_NONE) {
            if (value->kind == PROBE_INPUT) {
                work->found.input_gain = gain_of(probe, work->facts->calm, at);
            }
            return;
        }
        at = main_input(work, &probe->ops[value->op]);
    }
}

/* ---- the origin ---- */

/* What broke the operation, with its number now and in calm. */
static void tell_operand(struct why_work *work, const struct probe_op *op)
{
    const struct probe *probe = work->facts->failure;
    const struct probe *calm = work->facts->calm;
    const struct probe_origin *from = &probe->origin;
    struct why_origin *origin = &work->story->origin;
    enum why_extreme extreme = why_extreme_of(work->found.op);
    const struct probe_value *operand = &probe->values[work->found.value];
    origin->operand = why_extreme_where_bad(probe, operand, from, extreme);
    if (isnan(origin->operand) && operand->n_nan == 0) {
        origin->operand = why_extreme_of_stats(operand, extreme);
    }
    const struct probe_value *before = calm_value(probe, calm, work->found.value);
    if (before != NULL) {
        origin->usual = why_extreme_of_stats(before, extreme);
        origin->calm_step = calm->step;
    }
    origin->n_nan = operand->n_nan;
    work->found.gain = gain_of(probe, calm, work->found.value);
    const char *feeder = why_value_module(probe, work->found.value);
    if (operand->name[0] == '\0' && operand->op != PROBE_NONE &&
        strcmp(feeder, op->module) == 0) { /* its own module says nothing */
        char name[WHY_NAME_BYTES];
        char place[WHY_NAME_BYTES];
        why_say(origin->tensor, sizeof origin->tensor, "the result of %s in %s",
            why_plain_name(probe->ops[operand->op].name, name), why_place(feeder, place));
    } else {
        (void)snprintf(origin->tensor, sizeof origin->tensor, "%s",
            operand->name[0] != '\0' ? operand->name : feeder);
    }
}

/* Whether nothing came from above to a backward operation whose operand was NaN, or had no slope:
 * the loss leaves it out, but behind the operation, where 0 times NaN is still NaN. */
static bool is_masked(const struct probe *probe, int32_t operand)
{
    const struct probe_origin *origin = &probe->origin;
    const struct probe_value *loss =
        probe->loss != PROBE_NONE ? &probe->values[probe->loss] : NULL;
    return origin->is_gradient && operand != PROBE_NONE &&
           probe->values[operand].n_nan > 0 &&
           (loss == NULL || loss->n_nan + loss->n_inf == 0);
}

static void tell_place(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    const struct probe_origin *from = &probe->origin;
    struct why_origin *origin = &work->story->origin;
    const struct probe_value *value = &probe->values[from->value];
    origin->is_outside = from->op == PROBE_NONE;
    origin->is_gradient = from->is_gradient;
    origin->is_exact = from->is_exact || !from->is_replayed;
    origin->n_units_all = from->n_units;
    origin->n_units = from->n_units < WHY_MAX_UNITS ? from->n_units : WHY_MAX_UNITS;
    for (size_t i = 0; i < origin->n_units; i++) {
        origin->units[i] = from->units[i];
    }
    (void)snprintf(origin->cause, sizeof origin->cause, "%s", from->cause);
    (void)snprintf(
        origin->dtype, sizeof origin->dtype, "%s", baro_dtype_name(value->dtype));
    if (origin->is_outside) {
        (void)snprintf(origin->tensor, sizeof origin->tensor, "%s",
            value->name[0] != '\0' ? value->name : probe_value_kind_name(value->kind));
        const char *dot = strrchr(value->name, '.');
        int n = value->kind == PROBE_INPUT ? -1
                : dot != NULL              ? (int)(dot - value->name)
                                           : 0;
        (void)snprintf(origin->module, sizeof origin->module, "%.*s", n < 0 ? 5 : n,
            n < 0 ? "input" : value->name);
        return;
    }
    const struct probe_op *op = &probe->ops[from->op];
    (void)snprintf(origin->op, sizeof origin->op, "%s", op->name);
    (void)snprintf(origin->module, sizeof origin->module, "%s", op->module);
    (void)snprintf(origin->source, sizeof origin->source, "%s", op->source);
}

void why_read_probe(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    struct why_found *found = &work->found;
    *found = (struct why_found){.value = PROBE_NONE,
        .gain = (double)NAN,
        .jump = -1,
        .input_gain = (double)NAN,
        .weight_gain = (double)NAN,
        .odd_input = (double)NAN};
    if (probe == NULL || !probe->has_origin || probe->origin.value == PROBE_NONE) {
        return;
    }
    found->is_there = true;
    work->story->has_origin = true;
    work->story->origin = (struct why_origin){
        .operand = (double)NAN, .limit = (double)NAN, .usual = (double)NAN};
    tell_place(work);
    why_look_at_inputs(work);
    if (probe->origin.op == PROBE_NONE) {
        return;
    }
    const struct probe_op *op = NULL;
    int32_t result = PROBE_NONE;
    found->value = why_operand_and_op(probe, &op, &result);
    found->op = why_family_of(op->name);
    (void)why_plain_name(op->name, work->story->origin.breaks);
    if (found->value != PROBE_NONE) {
        tell_operand(work, op);
    }
    work->story->origin.limit = why_limit_of(
        op, &probe->values[result], work->story->origin.operand, probe->origin.is_gradient);
    if (found->value != PROBE_NONE) {
        work->is_masked = is_masked(probe, found->value);
        if (work->is_masked) {
            (void)why_plain_name(work->story->origin.op, work->story->origin.breaks);
        }
        walk(work);
    }
}
