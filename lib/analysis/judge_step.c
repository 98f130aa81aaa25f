/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/judge_inside.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * When a step is complete, and what is made of what was noted in it.
 *
 *   steps begun      ... 7   8   9            a reading of step 9 comes
 *   complete         ... 7                    8 may still get readings: those of 9 overtake them
 *
 * Facts of complete steps are sorted by step, rule, thing and the order of noting within a thing,
 * so that nothing depends on how the readings of different things were interleaved. The judge's
 * own facts, the context, go first. Then each rule sees its facts of the step, and what it
 * reports is sorted by thing, then rule.
 *
 * A fact that comes late, of a step that is complete, is looked at with the next complete step,
 * alone.
 */

enum { MAX_DOUBLINGS = 6, FORGIVE = 20, MIN_FROZEN = 8, MIN_CALM_STEPS = 20 };

static const double lr_jump = 1.25;

/* ---- noting ---- */

void judge_note(struct judge *judge, const struct rule_fact *fact)
{
    if (judge->n_facts == JUDGE_MAX_FACTS) {
        return;
    }
    if (judge->n_facts == judge->facts_size) {
        judge->facts_size = judge->facts_size == 0 ? 64 : 2 * judge->facts_size;
        judge->facts = baro_xrealloc(judge->facts, judge->facts_size, sizeof *judge->facts);
    }
    struct rule_fact *kept = &judge->facts[judge->n_facts++];
    *kept = *fact;
    kept->serial = judge->serial++;
}

void rule_note(struct rule_context *context, const struct rule_fact *fact)
{
    const struct slot *slot = judge_slot(context->judge, context->thing->id);
    struct rule_fact full = *fact;
    full.step = context->step;
    full.time_ns = context->time_ns;
    full.thing = context->thing->id;
    full.from_step = fact->from_step != 0 ? fact->from_step : full.step;
    full.duty = context->duty;
    full.rule = (uint16_t)(slot->duties[context->duty].rule_place + 1);
    judge_note(context->judge, &full);
}

/* ---- context ---- */

static int change_place(unsigned change)
{
    return __builtin_ctz(change);
}

static void set_change(struct judge *judge, unsigned change, int64_t step)
{
    judge->changes[change_place(change)] = step;
    judge->has_change[change_place(change)] = true;
}

int64_t rule_change(const struct rule_context *context, unsigned changes)
{
    int64_t last = INT64_MIN;
    for (int i = 0; i < JUDGE_N_CHANGES; i++) {
        bool is_meant = (changes & (1U << i)) != 0 && context->judge->has_change[i];
        if (is_meant && context->judge->changes[i] > last) {
            last = context->judge->changes[i];
        }
    }
    return last;
}

static void learn_lr(struct judge *judge, const struct rule_fact *fact)
{
    if (fact->thing != judge->lr_thing || !isfinite(fact->value)) {
        return;
    }
    double old = fabs(judge->lr);
    double now = fabs(fact->value);
    if (now > lr_jump * old || now < old / lr_jump) {
        set_change(judge, JUDGE_CHANGE_LR, fact->step);
    }
    judge->lr = fact->value;
}

static void learn_context(struct judge *judge, const struct rule_fact *facts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct rule_fact *fact = &facts[i];
        if (fact->code == JUDGE_FACT_LR) {
            learn_lr(judge, fact);
            continue;
        }
        /* All gradients begin to move at some time; only a late one is an unfrozen layer. */
        bool is_thaw = fact->code == JUDGE_CHANGE_UNFREEZE;
        if (!is_thaw || fact->value >= MIN_FROZEN ||
            judge->n_begun > MIN_CALM_STEPS * JUDGE_N_BATCHES) {
            set_change(judge, fact->code, fact->step);
        }
    }
}

/* ---- evaluating ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_facts(const void *left, const void *right)
{
    const struct rule_fact *a = left;
    const struct rule_fact *b = right;
    int order = (a->step > b->step) - (a->step < b->step);
    order = order != 0 ? order : compare_numbers(a->rule, b->rule);
    order = order != 0 ? order : compare_numbers(a->thing, b->thing);
    order = order != 0 ? order : compare_numbers(a->duty, b->duty);
    return order != 0 ? order : compare_numbers(a->serial, b->serial);
}

static struct rule_context context_of(
    struct judge *judge, uint16_t place, const struct rule_fact *fact)
{
    return (struct rule_context){
        .judge = judge,
        .rule = rule_table[place],
        .params = judge->book->params[place],
        .step = fact->step,
        .time_ns = fact->time_ns,
    };
}

static void judge_rule(
    struct judge *judge, uint16_t place, const struct rule_fact *facts, size_t n)
{
    struct rule_context context = context_of(judge, place, facts);
    if (context.rule->on_step != NULL) {
        context.rule->on_step(&context, judge->run_states[place], facts, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        rule_report(&context, &facts[i]);
    }
}

static int compare_findings(const void *left, const void *right)
{
    const struct judge_finding *a = left;
    const struct judge_finding *b = right;
    int order = (a->step > b->step) - (a->step < b->step);
    order = order != 0 ? order : compare_numbers(a->thing, b->thing);
    order = order != 0 ? order : strcmp(a->kind, b->kind);
    order = order != 0 ? order : compare_numbers((uint64_t)a->unit, (uint64_t)b->unit);
    return order != 0 ? order : compare_numbers(a->code, b->code);
}

/* Take the facts up to a step into judge->taken, sorted; the others keep their order. */
static size_t take_facts(struct judge *judge, int64_t step)
{
    if (judge->taken_size < judge->n_facts) {
        judge->taken_size = judge->facts_size;
        judge->taken = baro_xrealloc(judge->taken, judge->taken_size, sizeof *judge->taken);
    }
    struct rule_fact *taken = judge->taken;
    size_t n_taken = 0;
    size_t n_left = 0;
    bool is_sorted = true;
    for (size_t i = 0; i < judge->n_facts; i++) {
        if (judge->facts[i].step <= step) {
            taken[n_taken++] = judge->facts[i];
            is_sorted = is_sorted && (n_taken < 2 || compare_facts(&taken[n_taken - 2],
                                                         &taken[n_taken - 1]) < 0);
        } else {
            judge->facts[n_left++] = judge->facts[i];
        }
    }
    judge->n_facts = n_left;
    if (!is_sorted) {
        qsort(taken, n_taken, sizeof *taken, compare_facts);
    }
    return n_taken;
}

/* Complete all steps up to one. */
static void complete(struct judge *judge, int64_t step)
{
    size_t n_facts = take_facts(judge, step);
    const struct rule_fact *facts = judge->taken; /* rules note nothing while they look */
    size_t first_finding = judge->n_findings;
    for (size_t from = 0; from < n_facts;) {
        size_t to = from;
        while (to < n_facts && facts[to].step == facts[from].step &&
               facts[to].rule == facts[from].rule) {
            to++;
        }
        if (facts[from].rule == JUDGE_CONTEXT) {
            learn_context(judge, facts + from, to - from);
        } else {
            judge_rule(judge, (uint16_t)(facts[from].rule - 1), facts + from, to - from);
        }
        from = to;
    }
    if (judge->n_findings - first_finding > 1) {
        qsort(judge->findings + first_finding, judge->n_findings - first_finding,
            sizeof *judge->findings, compare_findings);
    }
}

/* ---- the clock ---- */

void judge_begin_step(struct judge *judge, int64_t step, bool is_clock)
{
    bool goes_back = judge->has_newest && is_clock &&
                     (step < judge->newest || (step == judge->newest && judge->is_clocked));
    if (judge->has_newest && step == judge->newest && !goes_back) {
        judge->is_clocked = true; /* a reading of the client's own came before its step */
        return;
    }
    if (!judge->has_newest || goes_back) {
        if (goes_back) {
            complete(judge, INT64_MAX);
        }
        set_change(judge, goes_back ? JUDGE_CHANGE_RESTART : JUDGE_CHANGE_START, step);
        judge->has_before = false;
    } else {
        if (judge->has_before) {
            complete(judge, judge->before);
        }
        judge->before = judge->newest;
        judge->has_before = true;
    }
    judge->newest = step;
    judge->has_newest = true;
    judge->is_clocked = is_clock;
    judge->n_begun++;
}

void judge_end(struct judge *judge, enum judge_end why, const char *reason, int64_t time_ns)
{
    for (uint16_t place = 0; place < rule_table_n && why != JUDGE_END_PAUSED; place++) {
        const struct rule *rule = rule_table[place];
        uint16_t duty = 0;
        const struct slot *run = &judge->run;
        while (duty < run->first[READING_KIND_END] && run->duties[duty].rule != rule) {
            duty++;
        }
        if (rule->on_end == NULL || duty == run->first[READING_KIND_END]) {
            continue;
        }
        struct rule_context context = {
            .judge = judge,
            .rule = rule,
            .thing = &run->thing,
            .params = run->duties[duty].params,
            .step = judge->newest,
            .time_ns = time_ns,
            .duty = duty,
        };
        rule->on_end(&context, judge->run_states[place], why, reason);
    }
    complete(judge, INT64_MAX);
}

bool judge_take(struct judge *judge, struct judge_finding *out_finding)
{
    if (judge->next_finding == judge->n_findings) {
        judge->next_finding = 0;
        judge->n_findings = 0;
        return false;
    }
    *out_finding = judge->findings[judge->next_finding++];
    return true;
}

/* ---- reporting ---- */

/* Refractory: silent for quiet_steps, twice as long after each finding that follows soon. */
static bool is_told(struct judge *judge, struct duty *duty, int64_t step)
{
    if (duty->n_told == 0) {
        return false;
    }
    uint64_t passed = step >= duty->told_step ? (uint64_t)step - (uint64_t)duty->told_step
                                              : (uint64_t)duty->told_step - (uint64_t)step;
    unsigned doublings =
        duty->n_told - 1U < MAX_DOUBLINGS ? duty->n_told - 1U : MAX_DOUBLINGS;
    uint64_t usual = judge->book->quiet_steps;
    uint64_t own = duty->rule->quiet_steps;
    uint64_t quiet = (own > 0 && own < usual ? own : usual) << doublings;
    if (passed >= FORGIVE * quiet) {
        duty->n_told = 0;
    }
    return passed < quiet;
}

static bool is_excused(const struct rule_context *context, int64_t step)
{
    int64_t since = rule_change(context, context->rule->excuses);
    if (since == INT64_MIN || step < since) {
        return false;
    }
    return (uint64_t)step - (uint64_t)since < context->judge->book->excuse_steps;
}

static struct judge_finding *add_finding(struct judge *judge)
{
    if (judge->n_findings == judge->findings_size) {
        judge->findings_size = judge->findings_size == 0 ? 8 : 2 * judge->findings_size;
        judge->findings =
            baro_xrealloc(judge->findings, judge->findings_size, sizeof *judge->findings);
    }
    struct judge_finding *finding = &judge->findings[judge->n_findings++];
    memset(finding, 0, sizeof *finding);
    return finding;
}

static void fill_batch(struct rule_context *context, struct judge_finding *finding)
{
    const int64_t *samples = NULL;
    size_t n = 0;
    if (!rule_batch(context, finding->step, &finding->batch_size, &samples, &n)) {
        return;
    }
    finding->n_samples = n < JUDGE_MAX_SAMPLES ? n : JUDGE_MAX_SAMPLES;
    if (n > 0) {
        memcpy(finding->samples, samples, finding->n_samples * sizeof *samples);
    }
}

bool rule_report(struct rule_context *context, const struct rule_fact *fact)
{
    struct judge *judge = context->judge;
    struct slot *slot = judge_slot(judge, fact->thing);
    struct duty *duty = &slot->duties[fact->duty];
    if (is_excused(context, fact->step) ||
        (!duty->rule->speaks_always && is_told(judge, duty, fact->step))) {
        return false;
    }
    duty->told_step = fact->step;
    duty->n_told = (uint16_t)(duty->n_told + (duty->n_told < UINT16_MAX));
    struct judge_finding *finding = add_finding(judge);
    finding->rule = duty->rule;
    finding->kind = duty->custom != NULL ? duty->custom->name : duty->rule->name;
    finding->level = duty->rule->level;
    finding->thing = fact->thing;
    finding->step = fact->step;
    finding->noticed_step = fact->step;
    finding->time_ns = fact->time_ns;
    finding->unit = fact->unit;
    finding->row = fact->row;
    finding->n_units = fact->n_units;
    finding->code = fact->code;
    finding->value = fact->value;
    finding->usual = fact->usual;
    finding->score = fact->score;
    finding->advice = "";
    fill_batch(context, finding);
    struct rule_context inner = *context;
    inner.thing = &slot->thing;
    inner.params = duty->params;
    inner.custom = duty->custom;
    inner.step = fact->step;
    duty->rule->tell(&inner, fact, finding);
    return true;
}

/* ---- what rules ask ---- */

const struct judge_thing *rule_thing(const struct rule_context *context, uint32_t id)
{
    return judge_thing(context->judge, id);
}

void *rule_run_state(const struct rule_context *context)
{
    int place = rule_find(context->rule->name);
    return place >= 0 ? context->judge->run_states[place] : NULL;
}

const double *rule_params_of(const struct rule_context *context, uint32_t thing)
{
    const struct slot *slot = judge_slot(context->judge, thing);
    for (size_t i = 0; slot != NULL && i < slot->first[READING_KIND_END]; i++) {
        if (slot->duties[i].rule == context->rule) {
            return slot->duties[i].params;
        }
    }
    return context->params;
}

uint64_t rule_n_steps(const struct rule_context *context)
{
    return context->judge->n_begun;
}

bool rule_is_first_loss(const struct rule_context *context)
{
    return context->thing->id == context->judge->first_loss;
}

bool rule_is_mixed(const struct rule_context *context)
{
    return context->judge->is_mixed;
}

bool rule_is_scaled(const struct rule_context *context)
{
    return context->judge->is_scaled;
}

bool rule_batch(const struct rule_context *context, int64_t step, uint64_t *out_batch_size,
    const int64_t **out_samples, size_t *out_n_samples)
{
    for (int i = 0; i < JUDGE_N_BATCHES; i++) {
        const struct batch *batch = &context->judge->batches[i];
        if (batch->is_there && batch->step == step) {
            *out_batch_size = batch->batch_size;
            *out_samples = batch->samples;
            *out_n_samples = batch->n_samples;
            return true;
        }
    }
    return false;
}

/* ---- writing findings ---- */

void rule_say(struct judge_finding *finding, const char *format, ...)
{
    va_list args;
    finding->text[0] = '\0';
    va_start(args, format);
    baro_text_vadd(finding->text, JUDGE_TEXT_BYTES, format, args);
    va_end(args);
}

void rule_say_more(struct judge_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    baro_text_vadd(finding->text, JUDGE_TEXT_BYTES, format, args);
    va_end(args);
}

void rule_show(struct judge_finding *finding, uint32_t thing, enum reading_kind kind,
    int stat, int64_t unit, int64_t from_step, const char *text)
{
    if (finding->n_evidence < JUDGE_MAX_EVIDENCE) {
        finding->evidence[finding->n_evidence++] = (struct judge_evidence){.thing = thing,
            .kind = kind,
            .stat = stat,
            .unit = unit,
            .from_step = from_step,
            .to_step = finding->step,
            .text = text};
    }
}

void rule_blame(struct judge_finding *finding, enum judge_cause cause)
{
    for (int i = 0; i < JUDGE_MAX_CAUSES; i++) {
        if (finding->causes[i] == cause) {
            return;
        }
        if (finding->causes[i] == JUDGE_CAUSE_NONE) {
            finding->causes[i] = cause;
            return;
        }
    }
}
