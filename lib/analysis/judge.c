/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/judge_inside.h"
#include "lib/analysis/rule_parts.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * Which rule sees which reading. When a thing is declared, each rule of the book that is on and
 * applies to it gets a duty per kind of readings that it takes: its parameters, with the user's
 * overrides, and its memory. A reading then walks the duties of its kind. judge_step.c says when a
 * step is complete and turns what was noted into findings.
 */

static const unsigned all_kinds = (1U << READING_KIND_END) - 2;

static void *take_memory(struct judge *judge, size_t n, size_t bytes)
{
    judge->n_bytes += n * bytes;
    return baro_xcalloc(n, bytes);
}

/* ---- duties ---- */

/* What globs are matched with: "name" of scalars, "name:role" of tensors. */
static char *key_of(const struct judge_thing *thing)
{
    const char *role = thing->is_tensor ? baro_role_name(thing->role) : "";
    size_t n = strlen(thing->name) + strlen(role) + 2;
    char *key = baro_xcalloc(n, 1);
    strcat(strcpy(key, thing->name), thing->is_tensor ? ":" : "");
    return strcat(key, role);
}

static bool is_on(const struct rule_book *book, uint16_t place, const char *key)
{
    bool on = book->is_on[place];
    for (size_t i = 0; i < book->n_overrides; i++) {
        const struct rule_override *override = &book->overrides[i];
        if (override->rule == place && override->param < 0 &&
            baro_glob(override->glob, key)) {
            on = override->is_on;
        }
    }
    return on;
}

/* The book's parameters, or a copy with what is overridden for this thing. */
static const double *params_of(
    struct judge *judge, uint16_t place, const char *key, bool *out_is_own)
{
    const struct rule_book *book = judge->book;
    double *own = NULL;
    for (size_t i = 0; i < book->n_overrides; i++) {
        const struct rule_override *override = &book->overrides[i];
        if (override->rule != place || override->param < 0 ||
            !baro_glob(override->glob, key)) {
            continue;
        }
        if (own == NULL) {
            own = take_memory(judge, RULE_MAX_PARAMS, sizeof *own);
            memcpy(own, book->params[place], RULE_MAX_PARAMS * sizeof *own);
        }
        own[override->param] = override->value;
    }
    *out_is_own = own != NULL;
    return own != NULL ? own : book->params[place];
}

/* Which kinds of readings a thing has. */
static unsigned kinds_of(const struct judge_thing *thing)
{
    if (thing->id == 0) {
        return all_kinds & ~(RULE_KIND(READING_SCALAR) | RULE_KIND(READING_SUMMARY) |
                               RULE_KIND(READING_UNITS));
    }
    if (!thing->is_tensor) {
        return RULE_KIND(READING_SCALAR);
    }
    return RULE_KIND(READING_SUMMARY) | (thing->n_units > 0 ? RULE_KIND(READING_UNITS) : 0);
}

static void *make_state(struct judge *judge, const struct rule *rule, uint32_t n_units)
{
    size_t bytes = rule->state_bytes;
    if (rule->unit_bytes > 0) {
        bytes = ((bytes + 15) & ~(size_t)15) + rule->unit_bytes * n_units;
    }
    return bytes > 0 ? take_memory(judge, 1, bytes) : NULL;
}

/* The duties under way for one thing. */
struct duty_list {
    struct duty *duties;
    size_t n;
    size_t size;
};

static void add_duty(struct judge *judge, struct duty_list *list,
    const struct judge_thing *thing, uint16_t place, const struct rule_custom *custom)
{
    if (list->n == UINT8_MAX) {
        return; /* first[] counts in bytes; far more than the table holds */
    }
    if (list->n == list->size) {
        list->size = list->size == 0 ? 16 : 2 * list->size;
        list->duties = baro_xrealloc(list->duties, list->size, sizeof *list->duties);
    }
    char *key = key_of(thing);
    struct duty *duty = &list->duties[list->n++];
    *duty = (struct duty){.rule = rule_table[place], .custom = custom, .rule_place = place};
    duty->params = params_of(judge, place, key, &duty->owns_params);
    duty->state = make_state(judge, duty->rule, thing->n_units);
    free(key);
}

static void add_table_duties(struct judge *judge, struct duty_list *list,
    const struct judge_thing *thing, enum reading_kind kind)
{
    char *key = key_of(thing);
    for (uint16_t place = 0; place < rule_table_n; place++) {
        const struct rule *rule = rule_table[place];
        if ((rule->kinds & RULE_KIND(kind)) != 0 && is_on(judge->book, place, key) &&
            (rule->applies == NULL || rule->applies(thing))) {
            add_duty(judge, list, thing, place, NULL);
        }
    }
    free(key);
}

/* The kind and number of a user's statistic; false when the thing has none such. */
static bool has_stat(
    const struct judge_thing *thing, const char *stat, enum reading_kind kind)
{
    bool is_unit = strncmp(stat, "unit.", 5) == 0;
    if (!thing->is_tensor || thing->id == 0) {
        return kind == READING_SCALAR && (stat[0] == '\0' || strcmp(stat, "value") == 0);
    }
    if (is_unit) {
        int found = reading_stat_parse(READING_UNITS, stat + 5);
        return kind == READING_UNITS && found >= 0 &&
               found < reading_unit_stats(thing->role);
    }
    return kind == READING_SUMMARY && reading_stat_parse(READING_SUMMARY, stat) >= 0;
}

static void add_custom_duties(struct judge *judge, struct duty_list *list,
    const struct judge_thing *thing, enum reading_kind kind)
{
    int place = rule_find("custom");
    char *key = key_of(thing);
    for (size_t i = 0; place >= 0 && i < judge->book->n_customs; i++) {
        const struct rule_custom *custom = &judge->book->customs[i];
        if (has_stat(thing, custom->stat, kind) && baro_glob(custom->glob, key)) {
            add_duty(judge, list, thing, (uint16_t)place, custom);
        }
    }
    free(key);
}

static void give_duties(struct judge *judge, struct slot *slot)
{
    struct duty_list list = {0};
    unsigned kinds = kinds_of(&slot->thing);
    for (int kind = 0; kind < READING_KIND_END; kind++) {
        slot->first[kind] = (uint8_t)list.n;
        if ((kinds & RULE_KIND(kind)) != 0) {
            add_table_duties(judge, &list, &slot->thing, (enum reading_kind)kind);
            add_custom_duties(judge, &list, &slot->thing, (enum reading_kind)kind);
        }
    }
    slot->first[READING_KIND_END] = (uint8_t)list.n;
    slot->duties = list.duties;
    judge->n_bytes += list.size * sizeof *list.duties;
}

static void drop_duties(struct slot *slot)
{
    for (size_t i = 0; i < slot->first[READING_KIND_END]; i++) {
        struct duty *duty = &slot->duties[i];
        free(duty->state);
        if (duty->owns_params) {
            free((void *)(uintptr_t)duty->params);
        }
    }
    free(slot->duties);
    free(slot->name);
}

/* ---- life ---- */

struct judge *judge_create(const struct rule_book *book, uint32_t rank)
{
    struct judge *judge = baro_xcalloc(1, sizeof *judge);
    judge->n_bytes = sizeof *judge;
    judge->book = book;
    judge->rank = rank;
    judge->lr = (double)NAN;
    judge->run.name = baro_xstrdup("");
    judge->run.thing.name = judge->run.name;
    give_duties(judge, &judge->run);
    judge->run_states = take_memory(judge, rule_table_n, sizeof *judge->run_states);
    for (size_t i = 0; i < rule_table_n; i++) {
        size_t bytes = rule_table[i]->run_bytes;
        judge->run_states[i] = bytes > 0 ? take_memory(judge, 1, bytes) : NULL;
    }
    return judge;
}

void judge_destroy(struct judge *judge)
{
    if (judge == NULL) {
        return;
    }
    for (size_t i = 0; i < rule_table_n; i++) {
        if (rule_table[i]->release != NULL) {
            rule_table[i]->release(judge->run_states[i]);
        }
        free(judge->run_states[i]);
    }
    free(judge->run_states);
    for (uint32_t i = 0; i < judge->slots_size; i++) {
        if (judge->slots[i] != NULL) {
            drop_duties(judge->slots[i]);
            free(judge->slots[i]);
        }
    }
    drop_duties(&judge->run);
    free(judge->slots);
    free(judge->facts);
    free(judge->taken);
    free(judge->findings);
    for (int i = 0; i < JUDGE_N_BATCHES; i++) {
        free(judge->batches[i].samples);
    }
    for (size_t i = 0; i < BARO_LEN(judge->symbols); i++) {
        while (judge->symbols[i] != NULL) {
            struct symbol *symbol = judge->symbols[i];
            judge->symbols[i] = symbol->next;
            free(symbol);
        }
    }
    free(judge);
}

static void grow_slots(struct judge *judge, uint32_t id)
{
    if (id < judge->slots_size) {
        return;
    }
    uint32_t size = judge->slots_size == 0 ? 64 : judge->slots_size;
    while (size <= id) {
        size *= 2;
    }
    judge->slots = baro_xrealloc(judge->slots, size, sizeof *judge->slots);
    memset(judge->slots + judge->slots_size, 0,
        (size - judge->slots_size) * sizeof(struct slot *));
    judge->n_bytes += (size - judge->slots_size) * sizeof(struct slot *);
    judge->slots_size = size;
}

void judge_declare(struct judge *judge, const struct judge_thing *thing)
{
    if (thing->id == 0 || thing->id > JUDGE_MAX_THING ||
        judge_slot(judge, thing->id) != NULL) {
        return;
    }
    grow_slots(judge, thing->id);
    struct slot *slot = take_memory(judge, 1, sizeof *slot);
    slot->thing = *thing;
    slot->name = baro_xstrdup(thing->name);
    slot->thing.name = slot->name;
    judge_describe(judge, &slot->thing);
    if (slot->thing.meaning == JUDGE_LR &&
        (judge->lr_thing == 0 || thing->id < judge->lr_thing)) {
        judge->lr_thing = thing->id;
    }
    bool is_first_loss = slot->thing.meaning == JUDGE_LOSS && !slot->thing.is_eval &&
                         !slot->thing.is_tensor &&
                         (judge->first_loss == 0 || thing->id < judge->first_loss);
    judge->first_loss = is_first_loss ? thing->id : judge->first_loss;
    judge->is_scaled |= slot->thing.meaning == JUDGE_LOSS_SCALE;
    judge->is_mixed |= slot->thing.meaning == JUDGE_LOSS_SCALE ||
                       (thing->is_tensor && thing->dtype == BARO_F16);
    judge->slots[thing->id] = slot;
    give_duties(judge, slot);
}

const struct judge_thing *judge_thing(const struct judge *judge, uint32_t id)
{
    const struct slot *slot = judge_slot(judge, id);
    return slot != NULL ? &slot->thing : NULL;
}

size_t judge_memory(const struct judge *judge)
{
    return judge->n_bytes + (judge->facts_size + judge->taken_size) * sizeof *judge->facts +
           judge->findings_size * sizeof *judge->findings;
}

/* ---- readings ---- */

static void note_for_judge(struct judge *judge, const struct reading *reading,
    uint32_t thing, uint32_t code, double value)
{
    judge_note(judge, &(struct rule_fact){.step = reading->header.step,
                          .time_ns = reading->header.time_ns,
                          .thing = thing,
                          .code = code,
                          .value = value,
                          .rule = JUDGE_CONTEXT});
}

/* A gradient that moves for the first time after it was zero, or not there, for long. */
static void watch_thaw(
    struct judge *judge, struct slot *slot, const struct reading *reading)
{
    if (reading->f64[SUMMARY_L2] == 0) {
        slot->n_zero++;
        return;
    }
    slot->has_moved = true;
    note_for_judge(
        judge, reading, slot->thing.id, JUDGE_CHANGE_UNFREEZE, (double)slot->n_zero);
}

/* Keep what explains other readings: learning rate, evaluation, first gradients. */
static void watch_context(
    struct judge *judge, struct slot *slot, const struct reading *reading)
{
    const struct judge_thing *thing = &slot->thing;
    if (thing->meaning == JUDGE_LR && reading->header.kind == READING_SCALAR) {
        double value = reading->f64[0];
        bool is_same =
            slot->has_value && !(value < slot->last_value) && !(value > slot->last_value);
        if (!is_same) {
            note_for_judge(judge, reading, thing->id, JUDGE_FACT_LR, value);
        }
        slot->last_value = value;
        slot->has_value = true;
    }
    if (thing->is_eval && !(slot->has_eval && slot->eval_step == reading->header.step)) {
        slot->has_eval = true;
        slot->eval_step = reading->header.step;
        note_for_judge(judge, reading, thing->id, JUDGE_CHANGE_EVAL, 0);
    }
    if (!slot->has_moved && thing->role == BARO_GRAD && thing->is_tensor &&
        reading->header.kind == READING_SUMMARY) {
        watch_thaw(judge, slot, reading);
    }
}

static void keep_batch(struct judge *judge, const struct reading *reading)
{
    struct batch *batch = NULL;
    for (int i = 0; i < JUDGE_N_BATCHES; i++) {
        struct batch *other = &judge->batches[i];
        batch = other->is_there && other->step == reading->header.step ? other : batch;
    }
    if (batch == NULL) {
        batch = &judge->batches[judge->next_batch];
        judge->next_batch = (judge->next_batch + 1) % JUDGE_N_BATCHES;
    }
    if (batch->samples == NULL) {
        batch->samples = take_memory(judge, READING_MAX_SAMPLES, sizeof *batch->samples);
    }
    double size = reading->f64[0];
    batch->is_there = true;
    batch->step = reading->header.step;
    batch->batch_size = size >= 1 ? (size < 1e18 ? (uint64_t)size : (uint64_t)1e18) : 0;
    batch->n_samples = reading->extra_bytes / sizeof(int64_t);
    if (batch->n_samples > READING_MAX_SAMPLES) {
        batch->n_samples = READING_MAX_SAMPLES;
    }
    if (batch->n_samples > 0) {
        memcpy(batch->samples, reading->extra, batch->n_samples * sizeof *batch->samples);
    }
}

void judge_reading(struct judge *judge, const struct reading *reading, uint32_t thing)
{
    struct slot *slot = judge_slot(judge, thing);
    enum reading_kind kind = (enum reading_kind)reading->header.kind;
    if (slot == NULL || kind >= READING_KIND_END || kind == READING_DROPS) {
        return;
    }
    int64_t step = reading->header.step;
    if (step > JUDGE_MAX_STEP || step < -JUDGE_MAX_STEP) {
        return;
    }
    size_t n_words = 0;
    bool is_clock = kind == READING_STEP;
    if (!judge->has_newest || is_clock || step > judge->newest) {
        judge_begin_step(judge, step, is_clock);
    }
    judge->last_time_ns = reading->header.time_ns;
    if (kind == READING_BATCH) {
        keep_batch(judge, reading);
    } else if (kind == READING_EVENT && reading->n_f64 > 0 &&
               !(reading->f64[0] > BARO_INFO) &&
               rule_own_words(reading, &n_words) == NULL) {
        note_for_judge(judge, reading, 0, JUDGE_CHANGE_EVENT, 0);
    } else if (thing != 0) {
        watch_context(judge, slot, reading);
    }
    struct rule_context context = {
        .judge = judge,
        .thing = &slot->thing,
        .step = step,
        .time_ns = reading->header.time_ns,
    };
    for (unsigned i = slot->first[kind]; i < slot->first[kind + 1]; i++) {
        const struct duty *duty = &slot->duties[i];
        context.rule = duty->rule;
        context.params = duty->params;
        context.custom = duty->custom;
        context.duty = (uint16_t)i;
        duty->rule->on_reading(&context, duty->state, reading);
    }
}
