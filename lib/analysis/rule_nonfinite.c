/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/detect.h"
#include "lib/analysis/rule_nonfinite.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * NaN and infinities: where they began, that they reached the loss, that they reached a weight.
 * detect_nonfinite.c says how one incident of them is told apart from the next. Each thing notes its
 * bad readings, and the first good one after them; the detector sees those of a complete step in
 * the order of the data flow, with the batch of the step.
 *
 * With mixed precision, gradients overflow now and then by design: the loss scaler skips that step
 * and lowers the scale. Where a loss scale is logged, or a module computes in f16, steps of which only
 * gradients are bad are told when they come more than max_skipped in a row; at the start the
 * scale is searched from above, which takes about 16 steps.
 *
 * A client that computes a failed step again says so before it begins, as events of its own, and after
 * it has ended. If the readings end in between, nothing else may tell that the loss was lost.
 */

enum { MAX_SKIPPED };

static const struct rule_param params[] = {
    {"max_skipped", 20, 0, 10000,
        "steps in a row whose gradients alone may overflow, with mixed precision"},
};

/* Codes of facts that on_reading notes; of those that are told: rule_nonfinite.h. */
enum { FACT_CALM = 1, FACT_BAD = 2, FACT_WHOLE = 4, FACT_BEGUN = 8, FACT_ENDED = 16 };

/* What begins the client's words about a step that it computes again; the number is of a fact. */
static const struct words {
    const char *text;
    struct rule_fact fact;
} capture_words[] = {
    {"the loss became NaN:", {.code = FACT_BEGUN, .value = 1, .unit = -1, .row = -1}},
    {"the loss became infinite:", {.code = FACT_BEGUN, .usual = 1, .unit = -1, .row = -1}},
    {"gradients became NaN or infinite:",
        {.code = FACT_BEGUN, .value = 1, .score = 1, .unit = -1, .row = -1}},
    {"first not finite:", {.code = FACT_ENDED, .unit = -1, .row = -1}},
    {"not found what first was not finite", {.code = FACT_ENDED, .unit = -1, .row = -1}},
};

enum { N_STAGES = 6 };

struct memory {
    bool was_bad;
};

struct run_memory {
    struct nonfinite_detector *detector; /* NULL until the first fact */
    uint32_t n_skipped;
    int64_t last_skipped;
};

/* A count that came as a double from a client. */
static uint64_t to_count(double value)
{
    return value >= 1 ? (value < 1e18 ? (uint64_t)value : (uint64_t)1e18) : 0;
}

/* An index that came as a double; -1 when it is none. */
static int64_t to_index(double value)
{
    return value >= 0 && value < 1e15 ? (int64_t)value : -1;
}

static struct rule_fact look_at(const struct reading *reading)
{
    const double *f64 = reading->f64;
    struct rule_fact fact = {.unit = -1, .row = -1};
    if (reading->header.kind == READING_SCALAR) {
        fact.value = isnan(f64[0]) ? 1 : 0;
        fact.usual = isinf(f64[0]) && f64[0] > 0 ? 1 : 0;
        fact.score = isinf(f64[0]) && f64[0] < 0 ? 1 : 0;
        return fact;
    }
    fact.value = f64[SUMMARY_N_NAN] > 0 ? f64[SUMMARY_N_NAN] : 0;
    fact.usual = f64[SUMMARY_N_POS_INF] > 0 ? f64[SUMMARY_N_POS_INF] : 0;
    fact.score = f64[SUMMARY_N_NEG_INF] > 0 ? f64[SUMMARY_N_NEG_INF] : 0;
    fact.unit = to_index(f64[SUMMARY_FIRST_BAD_UNIT]);
    fact.row = to_index(f64[SUMMARY_FIRST_BAD_ROW]);
    fact.from_step = (int64_t)to_count(f64[SUMMARY_COUNT]); /* elements: see is_batch_row */
    double n_bad = fact.value + fact.usual + fact.score;
    if (f64[SUMMARY_COUNT] > 1 && n_bad >= f64[SUMMARY_COUNT]) {
        fact.code = FACT_WHOLE;
    }
    return fact;
}

static void on_event(struct rule_context *context, const struct reading *reading)
{
    size_t n_own = 0;
    const char *own = rule_own_words(reading, &n_own);
    for (size_t i = 0; own != NULL && i < BARO_LEN(capture_words); i++) {
        const size_t n = strlen(capture_words[i].text);
        if (n_own >= n && memcmp(own, capture_words[i].text, n) == 0) {
            rule_note(context, &capture_words[i].fact);
        }
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    if (reading->header.kind == READING_EVENT) {
        on_event(context, reading);
        return;
    }
    struct memory *memory = state;
    const double *f64 = reading->f64;
    bool is_bad = reading->header.kind == READING_SCALAR
                      ? !isfinite(f64[0])
                      : f64[SUMMARY_N_NAN] > 0 || f64[SUMMARY_N_POS_INF] > 0 ||
                            f64[SUMMARY_N_NEG_INF] > 0;
    if (is_bad) {
        struct rule_fact fact = look_at(reading);
        fact.code |= FACT_BAD;
        rule_note(context, &fact);
    } else if (memory->was_bad) {
        rule_note(context, &(struct rule_fact){.code = FACT_CALM, .unit = -1, .row = -1});
    }
    memory->was_bad = is_bad;
}

static struct nonfinite_reading to_nonfinite(
    const struct rule_context *context, const struct rule_fact *fact)
{
    const struct judge_thing *thing = rule_thing(context, fact->thing);
    return (struct nonfinite_reading){
        .thing = fact->thing,
        .step = fact->step,
        .is_bad = (fact->code & FACT_BAD) != 0,
        .is_loss = thing->is_loss,
        .is_weight = thing->is_tensor && thing->role == BARO_WEIGHT,
        .is_backward = thing->is_backward,
    };
}

/* Whether a loss scaler may have skipped this step: only gradients of a mixed precision are bad. */
static bool is_skipped(const struct rule_context *context, struct run_memory *run,
    const struct rule_fact *facts, size_t n_facts)
{
    bool is_bad = false;
    for (size_t i = 0; i < n_facts; i++) {
        const struct judge_thing *thing = rule_thing(context, facts[i].thing);
        if ((facts[i].code & FACT_BAD) == 0) {
            continue;
        }
        is_bad = true;
        if (!thing->is_backward && thing->meaning != JUDGE_GRAD_NORM) {
            return false;
        }
    }
    if (!is_bad || !rule_is_mixed(context)) {
        return false;
    }
    bool is_next = run->n_skipped > 0 && context->step - run->last_skipped <= 1;
    run->n_skipped = is_next ? run->n_skipped + 1 : 1;
    run->last_skipped = context->step;
    return run->n_skipped <= context->params[MAX_SKIPPED];
}

/* Find the fact that a finding is about. */
static const struct rule_fact *fact_of(
    const struct rule_fact *facts, size_t n_facts, uint32_t thing)
{
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].thing == thing && (facts[i].code & FACT_BAD) != 0) {
            return &facts[i];
        }
    }
    return NULL;
}

/* The last word about a step that was computed again, if it is that this has begun; else NULL. */
static const struct rule_fact *cut_of(const struct rule_fact *facts, size_t n_facts)
{
    const struct rule_fact *cut = NULL;
    for (size_t i = 0; i < n_facts; i++) {
        if ((facts[i].code & FACT_BAD) != 0) {
            return NULL; /* that tells more */
        }
        cut = (facts[i].code & FACT_BEGUN) != 0   ? &facts[i]
              : (facts[i].code & FACT_ENDED) != 0 ? NULL
                                                  : cut;
    }
    return cut;
}

/*
 * Where in a step a thing is told, for the detector: programs may declare their things in any
 * order, and gradients come before the loss that they come from.
 */
static int stage_of(const struct judge_thing *thing)
{
    if (!thing->is_tensor) {
        return 3;
    }
    switch (thing->role) {
    case BARO_INPUT: return 0;
    case BARO_ACT: return 1;
    case BARO_GRAD:
    case BARO_ACT_GRAD: return 2;
    case BARO_OPT:
    case BARO_UPDATE: return 4;
    case BARO_WEIGHT: return 5;
    case BARO_ROLE_END:
    default: return 3;
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct run_memory *run = run_state;
    const struct rule_fact *cut = cut_of(facts, n_facts);
    if (cut != NULL) {
        struct rule_fact told = *cut;
        told.code = (uint32_t)TOLD_CUT;
        rule_report(context, &told);
    }
    if (is_skipped(context, run, facts, n_facts)) {
        return;
    }
    if (run->detector == NULL) {
        run->detector = nonfinite_create();
    }
    struct nonfinite_finding found;
    bool is_new = false;
    for (int stage = 0; stage < N_STAGES; stage++) {
        for (size_t i = 0; i < n_facts; i++) {
            const bool is_event = (facts[i].code & (FACT_BEGUN | FACT_ENDED)) != 0;
            if (!is_event && stage_of(rule_thing(context, facts[i].thing)) == stage) {
                struct nonfinite_reading reading = to_nonfinite(context, &facts[i]);
                bool is_news = nonfinite_add(run->detector, &reading, &found);
                is_new |= is_news && found.is_new_incident;
            }
        }
    }
    while (nonfinite_take(run->detector, &found)) {
        const struct rule_fact *fact = fact_of(facts, n_facts, found.thing);
        if (fact == NULL) {
            continue;
        }
        struct rule_fact told = *fact;
        told.code = (uint32_t)found.news |
                    ((fact->code & FACT_WHOLE) != 0 ? (uint32_t)TOLD_WHOLE : 0) |
                    (found.began_in_loss ? (uint32_t)TOLD_IN_LOSS : 0) |
                    (is_new ? 0 : (uint32_t)TOLD_GOES_ON);
        rule_report(context, &told);
    }
}

static void release(void *run_state)
{
    nonfinite_destroy(((struct run_memory *)run_state)->detector);
}

const struct rule rule_nonfinite = {
    .name = "nonfinite",
    .sentence = "A value is NaN or infinite.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_ALARM,
    .quiet_steps = NONFINITE_CALM_STEPS, /* what comes after a calm is another incident */
    .kinds =
        RULE_KIND(READING_SCALAR) | RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_EVENT),
    .state_bytes = sizeof(struct memory),
    .run_bytes = sizeof(struct run_memory),
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = rule_nonfinite_tell,
    .release = release,
};
