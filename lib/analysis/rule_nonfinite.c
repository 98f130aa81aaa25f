/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "lib/analysis/detect.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

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

/* Codes of facts that on_reading notes, */
enum { FACT_CALM = 1, FACT_BAD = 2, FACT_WHOLE = 4, FACT_BEGUN = 8, FACT_ENDED = 16 };
/* and bits of those that are told. */
enum {
    TOLD_NEWS = 7, /* enum nonfinite_news */
    TOLD_WHOLE = 8,
    TOLD_IN_LOSS = 16,
    TOLD_GOES_ON = 32,
    TOLD_CUT = 64
};

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

/* ---- words ---- */

static bool has_part(const char *name, const char *part)
{
    return strcasestr(name, part) != NULL;
}

static const char *advice_for_act(const char *name, bool is_nan)
{
    if (has_part(name, "var") || has_part(name, "exp") || has_part(name, "sigma")) {
        return "An exponential overflowed: clamp the log-variance (say to -10 .. 10) before "
               "exp, lower the learning rate, and look at the sample named here.";
    }
    if (has_part(name, "norm")) {
        return "A normalisation divided by almost nothing: raise its epsilon, and look for a "
               "constant input.";
    }
    if (has_part(name, "attn") || has_part(name, "attention") ||
        has_part(name, "softmax")) {
        return "Attention overflowed: look at the size of its logits, normalise queries and "
               "keys, or compute the softmax in f32.";
    }
    return is_nan
               ? "The module turned finite inputs into NaN: look for 0/0, log or sqrt of a "
                 "negative number, or Inf - Inf in it, and at the sample named here."
               : "The module's output overflowed, or its input was infinite already: look at the "
                 "sample named here, at the growth of the module's weights over the steps "
                 "before, and lower the learning rate.";
}

static const char *advice_for(const struct judge_thing *thing, const struct rule_fact *fact)
{
    uint32_t news = fact->code & (uint32_t)TOLD_NEWS;
    if ((fact->code & TOLD_IN_LOSS) != 0) {
        return news == NONFINITE_LOSS
                   ? "It began here: every activation measured in this step was finite. Look at "
                     "the loss function for log(0), 0/0 and overflow, and at the targets."
                   : "Activations measured in this step were finite, its loss was not, and gradients "
                     "come after the loss: see the alert of the loss.";
    }
    if (news == NONFINITE_LOSS) {
        return "The loss is lost from here on; stop the run, and see the first alert of this "
               "incident for its origin.";
    }
    if (news == NONFINITE_WEIGHT) {
        return "The model itself is spoilt: go back to a checkpoint from before this step.";
    }
    if (!thing->is_tensor) {
        return thing->is_loss
                   ? "No tensor that was measured in this step was non-finite before the loss: "
                     "measure each step (watch(every=1)), watch activations, too, or look at "
                     "the loss function for log(0) and 0/0."
                   : "Look at how this number is computed: 0/0, log(0) or an overflow.";
    }
    switch (thing->role) {
    case BARO_ACT: return advice_for_act(thing->name, fact->value > 0);
    case BARO_INPUT:
        return "The data themselves hold a value that is not finite, before any layer: look at "
               "the sample named here and at its preprocessing.";
    case BARO_GRAD:
    case BARO_ACT_GRAD:
        return "Clip gradients, lower the learning rate, or skip such steps; with mixed "
               "precision a rare overflow is normal as long as the loss scaler skips it.";
    case BARO_WEIGHT:
    case BARO_UPDATE:
        return "Go back to a checkpoint from before this step; then lower the learning rate "
               "or clip gradients.";
    case BARO_OPT:
        return "The optimiser's state overflowed: raise its epsilon or clip gradients.";
    case BARO_ROLE_END:
    default: return "Look at what this tensor is computed from.";
    }
}

static void blame(const struct judge_thing *thing, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if ((fact->code & TOLD_IN_LOSS) != 0 || thing->is_loss) {
        rule_blame(finding, JUDGE_CAUSE_LOSS_FUNCTION);
        rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
        return;
    }
    if (thing->is_tensor && thing->role == BARO_INPUT) {
        rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
        return;
    }
    if (thing->is_tensor && has_part(thing->name, "norm")) {
        rule_blame(finding, JUDGE_CAUSE_NORMALISATION);
    }
    if (thing->is_backward) {
        rule_blame(finding, JUDGE_CAUSE_NO_CLIPPING);
        rule_blame(finding, JUDGE_CAUSE_LOSS_SCALE);
    }
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
    rule_blame(finding, JUDGE_CAUSE_BAD_BATCH);
    rule_blame(finding, JUDGE_CAUSE_TYPE_RANGE);
}

/* How many elements a row of a tensor has, by its declared shape; 0: it has no rows. */
static uint64_t per_row(const struct judge_thing *thing)
{
    uint64_t n = thing->n_dims > 0 ? 1 : 0;
    for (uint32_t d = 1; d < thing->n_dims; d++) {
        if (__builtin_mul_overflow(n, (uint64_t)thing->shape[d], &n)) {
            return 0;
        }
    }
    return n;
}

/*
 * Tell whether the row of a tensor is the row of the batch: its first axis is the whole batch,
 * not a part of it (gradient accumulation) nor batch and time in one.
 */
static bool is_batch_row(const struct judge_thing *thing, const struct rule_fact *fact,
    const struct judge_finding *finding)
{
    const uint64_t row_elements = per_row(thing);
    if (!thing->is_tensor || !baro_role_has_batch(thing->role) || fact->row < 0 ||
        row_elements == 0 || finding->batch_size == 0) {
        return false;
    }
    bool is_whole = (fact->code & TOLD_WHOLE) != 0;
    uint64_t count = (uint64_t)fact->from_step;
    bool is_counted = count % row_elements == 0;
    bool has_all_rows = is_counted && count / row_elements == finding->batch_size;
    return (!is_whole || finding->batch_size == 1) &&
           (has_all_rows || (uint64_t)thing->shape[0] == finding->batch_size);
}

/* Leave the one sample that is to blame, if it is known which. */
static void find_sample(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const int64_t *samples = NULL;
    size_t n_samples = 0;
    uint64_t size = 0;
    if ((fact->code & (TOLD_WHOLE | TOLD_IN_LOSS)) != 0) {
        finding->unit = -1;
        finding->row = -1;
    }
    if ((fact->code & TOLD_IN_LOSS) != 0 || !is_batch_row(context->thing, fact, finding) ||
        !rule_batch(context, fact->step, &size, &samples, &n_samples) ||
        (uint64_t)fact->row >= n_samples) {
        return;
    }
    finding->has_sample = true;
    finding->row = fact->row;
    finding->samples[0] = samples[fact->row];
    finding->n_samples = 1;
}

static void say_samples(const struct judge_thing *thing, const struct judge_finding *from,
    struct judge_finding *to)
{
    if (from->has_sample) {
        rule_say_more(to, ": sample %lld, row %lld of the batch of %llu.",
            (long long)from->samples[0], (long long)from->row,
            (unsigned long long)from->batch_size);
        return;
    }
    if (from->n_samples == 0) {
        rule_say_more(to, ".");
        return;
    }
    bool is_part =
        from->row >= 0 && thing->n_dims > 0 && (uint64_t)thing->shape[0] < from->batch_size;
    if (is_part) {
        rule_say_more(
            to, ", row %lld of a part of the batch; the whole", (long long)from->row);
    } else {
        rule_say_more(to, "; the batch");
    }
    rule_say_more(to, " held %llu samples:", (unsigned long long)from->batch_size);
    size_t n_named = from->n_samples < 5 ? from->n_samples : 5;
    for (size_t i = 0; i < n_named; i++) {
        rule_say_more(to, "%s %lld", i > 0 ? "," : "", (long long)from->samples[i]);
    }
    rule_say_more(to, "%s.", from->batch_size > n_named ? " and more" : "");
}

/* The step was being computed again, and nothing came after that. */
static void tell_cut(const struct rule_fact *fact, struct judge_finding *finding)
{
    const bool is_gradient = fact->score > 0;
    finding->value = fact->value > 0 ? (double)NAN : (double)INFINITY;
    finding->usual = (double)NAN;
    finding->score = 0;
    finding->n_samples = 0;
    rule_say(finding,
        "%s at step %lld; the readings end while that step is computed again to find out why.",
        is_gradient       ? "Gradients became NaN or infinite"
        : fact->value > 0 ? "The loss became NaN"
                          : "The loss became infinite",
        (long long)fact->step);
    finding->advice =
        "Which operation it was is not known. Go on from the checkpoint before this step: if it "
        "comes again, it is captured again, given time and memory for one more such step.";
    rule_blame(finding, JUDGE_CAUSE_LOSS_FUNCTION);
    rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    if (fact->code == TOLD_CUT) {
        tell_cut(fact, finding);
        return;
    }
    const struct judge_thing *thing = context->thing;
    find_sample(context, fact, finding);
    bool is_nan = fact->value > 0;
    bool is_positive = fact->usual > 0;
    finding->value = is_nan        ? (double)NAN
                     : is_positive ? (double)INFINITY
                                   : -(double)INFINITY;
    finding->usual = (double)NAN;
    finding->score = 0;
    finding->goes_on = (fact->code & TOLD_GOES_ON) != 0;
    rule_say(finding, "%s", thing->name);
    const char *role = thing->is_tensor ? baro_role_name(thing->role) : thing->name;
    if (strcmp(role, thing->name) != 0) {
        rule_say_more(finding, " (%s)", role);
    }
    rule_say_more(finding, " became %s", is_nan ? "NaN" : is_positive ? "+Inf" : "-Inf");
    if ((fact->code & TOLD_WHOLE) != 0) {
        rule_say_more(finding, " in all of its values");
    } else if (finding->unit >= 0) {
        rule_say_more(finding, " in unit %lld", (long long)finding->unit);
    }
    rule_say_more(finding, " at step %lld", (long long)fact->step);
    uint32_t news = fact->code & (uint32_t)TOLD_NEWS;
    if ((fact->code & TOLD_IN_LOSS) != 0 && news == NONFINITE_ORIGIN) {
        rule_say_more(finding, ", in a step whose loss was not finite");
    }
    say_samples(thing, finding, finding);
    finding->advice = advice_for(thing, fact);
    blame(thing, fact, finding);
    bool is_scalar = !thing->is_tensor;
    rule_show(finding, fact->thing, is_scalar ? READING_SCALAR : READING_SUMMARY,
        is_scalar ? 0 : SUMMARY_ABS_MAX, -1, fact->step - 100, "the steps before it");
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
    .tell = tell,
    .release = release,
};
