/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/incident.h"
#include "lib/analysis/judge.h"
#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"

/*
 * What to ask for. First what every story needs: loss, learning rate, norms, inputs of the model.
 * Then the things that the alerts name, in causal order, with all that belongs to the first
 * one's module; then what feeds that module, by the graph where a probe is there, else by the order
 * in which things are computed. A window of single readings before the trouble, and behind it as
 * far as the incident goes, but no more than half a window.
 */

enum {
    MAX_SCALARS = 16,
    MAX_UPSTREAM = 12,
    MAX_OF_MODULE = 8,
    MAX_MEMBERS = 32,
    NEAR_STEPS = 64 /* an incident that ended so shortly before may have led to this one */
};

static const double READINGS = 256; /* a window has at least so many, as rare as they are */

/* ---- names ---- */

void why_say(char *text, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    baro_text_vadd(text, size, format, args);
    va_end(args);
}

char *why_step(int64_t step, char out[32])
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRId64, step);
    char *to = out;
    for (int i = 0; i < n; i++) {
        bool is_first = i == 0 || digits[i - 1] == '-';
        if (!is_first && (n - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

static bool is_of_module(uint32_t role)
{
    return role == BARO_ACT || role == BARO_ACT_GRAD || role == BARO_INPUT;
}

char *why_module_of(const struct why_thing *thing, char out[WHY_NAME_BYTES])
{
    size_t n = baro_utf8_prefix(thing->name, strlen(thing->name), WHY_NAME_BYTES - 1);
    memcpy(out, thing->name, n);
    out[n] = '\0';
    char *end = strchr(out, '#');
    if (thing->role != 0 && is_of_module(thing->role) && end != NULL) {
        *end = '\0'; /* the second call of a module */
    }
    char *dot = strrchr(out, '.');
    if (thing->role != 0 && !is_of_module(thing->role)) {
        *(dot != NULL ? dot : out) = '\0';
    }
    return out;
}

char *why_place(const char *module, char out[WHY_NAME_BYTES])
{
    const bool is_number = module[0] >= '0' && module[0] <= '9';
    (void)snprintf(out, WHY_NAME_BYTES, "%s%s", is_number ? "module " : "",
        module[0] != '\0' ? module : "the loss function");
    return out;
}

bool why_is_module(const char *a, const char *b)
{
    const char *longer = strlen(a) >= strlen(b) ? a : b;
    const char *shorter = longer == a ? b : a;
    size_t n = strlen(longer);
    size_t m = strlen(shorter);
    return m > 0 && strcmp(longer + n - m, shorter) == 0 &&
           (n == m || longer[n - m - 1] == '.');
}

const struct why_thing *why_thing(const struct why_facts *facts, uint32_t id)
{
    size_t low = 0;
    size_t high = facts->n_things;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (facts->things[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_there = low < facts->n_things && facts->things[low].id == id;
    return is_there ? &facts->things[low] : NULL;
}

bool why_is_loss(const struct why_thing *thing)
{
    const struct judge_thing judged = {.name = thing->name,
        .meaning = judge_meaning_of(thing->name),
        .is_eval = judge_is_eval_name(thing->name)};
    return thing->role == 0 && !thing->is_own && judge_is_main_loss(&judged);
}

bool why_is_loss_alert(const struct why_alert *alert)
{
    static const char *const kinds[] = {"nonfinite", "loss_spike", "divergence"};
    for (size_t i = 0; alert->role == 0 && alert->thing != 0 && i < BARO_LEN(kinds); i++) {
        if (strcmp(alert->kind, kinds[i]) == 0) {
            return true;
        }
    }
    return false;
}

char *why_label(const struct why_thing *thing, int64_t unit, char out[WHY_NAME_BYTES])
{
    out[0] = '\0';
    switch ((enum baro_role)thing->role) {
    case BARO_GRAD: why_say(out, WHY_NAME_BYTES, "the gradient of "); break;
    case BARO_ACT: why_say(out, WHY_NAME_BYTES, "the output of "); break;
    case BARO_ACT_GRAD:
        why_say(out, WHY_NAME_BYTES, "the gradient of the output of ");
        break;
    case BARO_UPDATE: why_say(out, WHY_NAME_BYTES, "the updates of "); break;
    case BARO_INPUT: why_say(out, WHY_NAME_BYTES, "the data in "); break;
    case BARO_OPT: why_say(out, WHY_NAME_BYTES, "the optimiser's state of "); break;
    case BARO_WEIGHT:
    case BARO_ROLE_END:
    default: break;
    }
    why_say(out, WHY_NAME_BYTES, "%s", thing->name);
    if (unit >= 0) {
        why_say(out, WHY_NAME_BYTES, "[%" PRId64 "]", unit);
    }
    return out;
}

/* ---- wants ---- */

/* Planning: which thing is wanted for what. */
struct planning {
    const struct why_facts *facts;
    struct why_plan *plan;
    uint32_t rank;
};

static void want(struct planning *planning, const struct why_want *wanted)
{
    struct why_plan *plan = planning->plan;
    for (size_t i = 0; i < plan->n_wants; i++) {
        const struct why_want *other = &plan->wants[i];
        if (other->thing == wanted->thing && other->kind == wanted->kind &&
            other->stat == wanted->stat && other->unit == wanted->unit) {
            return;
        }
    }
    if (plan->n_wants < WHY_MAX_WANTS) {
        plan->wants[plan->n_wants++] = *wanted;
    }
}

/* What tells most of a thing: sizes. Of data also where they lie. */
static void want_thing(struct planning *planning, const struct why_thing *thing)
{
    struct why_want wanted = {thing->id, READING_SCALAR, 0, -1};
    if (thing->role != 0) {
        wanted.kind = READING_SUMMARY;
        wanted.stat = thing->role == BARO_ACT || thing->role == BARO_INPUT ? SUMMARY_ABS_MAX
                                                                           : SUMMARY_L2;
    }
    want(planning, &wanted);
    if (thing->role == BARO_INPUT || thing->role == BARO_ACT) {
        wanted.stat = SUMMARY_VAR;
        want(planning, &wanted);
    }
}

static void want_unit(
    struct planning *planning, const struct why_thing *thing, int64_t unit)
{
    if (unit >= 0 && unit < (int64_t)thing->n_units) {
        const struct why_want wanted = {thing->id, READING_UNITS, UNIT_ABS_MAX, unit};
        want(planning, &wanted);
    }
}

static bool is_wanted_rank(const struct planning *planning, const struct why_thing *thing)
{
    return thing->rank == planning->rank && !thing->is_own && thing->n_points > 0;
}

static void want_scalars(struct planning *planning)
{
    size_t n = 0;
    for (int is_known = 1; is_known >= 0; is_known--) {
        for (size_t i = 0; i < planning->facts->n_things && n < MAX_SCALARS; i++) {
            const struct why_thing *thing = &planning->facts->things[i];
            enum judge_meaning meaning = judge_meaning_of(thing->name);
            if (thing->role == 0 && is_wanted_rank(planning, thing) &&
                (meaning != JUDGE_PLAIN) == (is_known != 0)) {
                want_thing(planning, thing);
                n++;
            }
        }
    }
}

static void want_role(struct planning *planning, enum baro_role role, size_t most)
{
    for (size_t i = 0; i < planning->facts->n_things && most > 0; i++) {
        const struct why_thing *thing = &planning->facts->things[i];
        if (thing->role == role && is_wanted_rank(planning, thing)) {
            want_thing(planning, thing);
            most--;
        }
    }
}

/* All that belongs to a module. Returns the place of its output among the things, or n_things. */
static size_t want_module(struct planning *planning, const char *module, int64_t unit)
{
    size_t at = planning->facts->n_things;
    size_t n = 0;
    for (size_t i = 0; i < planning->facts->n_things && n < MAX_OF_MODULE; i++) {
        const struct why_thing *thing = &planning->facts->things[i];
        char own[WHY_NAME_BYTES];
        if (thing->role == 0 || !is_wanted_rank(planning, thing) ||
            !why_is_module(why_module_of(thing, own), module)) {
            continue;
        }
        want_thing(planning, thing);
        n++;
        if (thing->role == BARO_ACT) {
            want_unit(planning, thing, unit);
            at = i;
        }
    }
    return at;
}

/* Outputs that are computed before the thing at a place, the nearest first. */
static void want_upstream(struct planning *planning, size_t at)
{
    size_t n = 0;
    while (at-- > 0 && n < MAX_UPSTREAM) {
        const struct why_thing *thing = &planning->facts->things[at];
        if (thing->role == BARO_ACT && is_wanted_rank(planning, thing)) {
            want_thing(planning, thing);
            n++;
        }
    }
}

/* Modules on the way to the operand that broke, with the units that are bad. */
static void want_probe(struct planning *planning)
{
    const struct probe *probe = planning->facts->failure;
    if (probe == NULL || !probe->has_origin) {
        return;
    }
    const struct probe_origin *origin = &probe->origin;
    int64_t unit = origin->n_units > 0 ? origin->units[0] : -1;
    int32_t operand = why_operand_value(probe);
    const char *feeder = why_value_module(probe, operand);
    const char *module = origin->op != PROBE_NONE ? probe->ops[origin->op].module : "";
    size_t at = planning->facts->n_things;
    if (feeder[0] != '\0') {
        at = want_module(planning, feeder, unit);
    }
    if (module[0] != '\0' && strcmp(module, feeder) != 0) {
        size_t here = want_module(planning, module, unit);
        at = at < planning->facts->n_things ? at : here;
    }
    if (at < planning->facts->n_things) {
        want_upstream(planning, at);
    }
}

static void want_members(struct planning *planning)
{
    const struct why_facts *facts = planning->facts;
    for (size_t i = 0; i < facts->n_alerts && i < MAX_MEMBERS; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        const struct why_thing *thing = why_thing(facts, alert->thing);
        if (thing == NULL) {
            continue;
        }
        want_thing(planning, thing);
        want_unit(planning, thing, alert->unit);
    }
    bool is_first = true;
    for (size_t i = 0; i < facts->n_alerts && is_first; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        if (alert->module[0] != '\0' && alert->role != BARO_INPUT) {
            size_t at = want_module(planning, alert->module, alert->unit);
            if (at < facts->n_things) {
                want_upstream(planning, at);
            }
            is_first = false;
        }
    }
}

/* ---- the window ---- */

/* The step at which the trouble shows. */
static int64_t trouble_step(const struct why_facts *facts)
{
    if (facts->failure != NULL && facts->failure->has_origin) {
        return facts->failure->step;
    }
    for (size_t i = 0; i < facts->n_alerts; i++) {
        if (strcmp(facts->alerts[i].kind, "nonfinite") == 0) {
            return facts->alerts[i].step;
        }
    }
    for (size_t i = 0; i < facts->n_alerts; i++) {
        if (!facts->alerts[i].is_before) {
            return facts->alerts[i].step;
        }
    }
    if (facts->incident != NULL) {
        return facts->incident->first_step;
    }
    return facts->has_step ? facts->step : facts->run.last_step;
}

static void plan_window(const struct why_facts *facts, struct why_plan *plan)
{
    double spacing = 1;
    for (size_t i = 0; i < facts->n_things; i++) {
        if (facts->things[i].role != 0 && !facts->things[i].is_own) {
            spacing = fmax(spacing, facts->things[i].spacing);
        }
    }
    double span = fmax((double)WHY_WINDOW, fmin(READINGS * spacing, 64.0 * WHY_WINDOW));
    int64_t window = (int64_t)span;
    int64_t last = facts->incident != NULL ? facts->incident->last_step : plan->step;
    plan->from = plan->step > INT64_MIN / 2 + window ? plan->step - window : plan->step;
    plan->from = plan->from > facts->run.first_step ? plan->from : facts->run.first_step;
    plan->to = last > plan->step ? last : plan->step;
    plan->to = plan->to - plan->step > window / 2 ? plan->step + window / 2 : plan->to;
    plan->to += window / 16;
    plan->to = plan->to < facts->run.last_step ? plan->to : facts->run.last_step;
    plan->wants_past = plan->from > facts->run.first_step;
    plan->wants_batches = facts->incident != NULL || facts->failure != NULL;
}

void why_plan(const struct why_facts *facts, struct why_plan *out)
{
    *out = (struct why_plan){.step = trouble_step(facts)};
    struct planning planning = {.facts = facts, .plan = out};
    for (size_t i = facts->n_alerts; i-- > 0;) {
        planning.rank = facts->alerts[i].thing != 0 ? facts->alerts[i].rank : planning.rank;
    }
    plan_window(facts, out);
    want_scalars(&planning);
    want_role(&planning, BARO_INPUT, 4);
    want_probe(&planning);
    want_members(&planning);
    if (out->n_wants == 0 || facts->incident == NULL) {
        want_role(&planning, BARO_ACT, 8);
    }
}

bool why_is_size(const struct why_want *want)
{
    return (want->kind == READING_SUMMARY && want->stat == SUMMARY_ABS_MAX) ||
           (want->kind == READING_UNITS && want->stat == UNIT_ABS_MAX);
}

static double distance_of(const struct why_choice *choice, int64_t step)
{
    return step < choice->first_step  ? (double)choice->first_step - (double)step
           : step > choice->last_step ? (double)step - (double)choice->last_step
                                      : 0;
}

size_t why_choose(const struct why_choice *choices, size_t n, bool has_step, int64_t step)
{
    size_t best = n;
    double best_distance = (double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        double distance = has_step ? distance_of(&choices[i], step) : 0;
        bool is_graver =
            best < n && (choices[i].level > choices[best].level ||
                            (choices[i].level == choices[best].level &&
                                choices[i].is_nonfinite && !choices[best].is_nonfinite));
        if (best == n || distance < best_distance ||
            (distance <= best_distance && is_graver)) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}

bool why_may_have_led(const struct why_choice *other, const struct why_choice *chosen)
{
    return other->level >= BARO_WATCH && other->first_step <= chosen->last_step &&
           other->last_step + NEAR_STEPS >= chosen->first_step;
}

static int compare_alerts(const void *a, const void *b)
{
    const struct why_alert *x = a;
    const struct why_alert *y = b;
    if (x->step != y->step) {
        return x->step > y->step ? 1 : -1;
    }
    enum incident_stage of_x = incident_stage_of(x->kind, x->name, x->role);
    enum incident_stage of_y = incident_stage_of(y->kind, y->name, y->role);
    return of_x != of_y ? (of_x > of_y ? 1 : -1)
                        : (x->thing > y->thing) - (x->thing < y->thing);
}

void why_sort_alerts(struct why_alert *alerts, size_t n)
{
    qsort(alerts, n, sizeof *alerts, compare_alerts);
}
