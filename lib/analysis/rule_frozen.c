/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Does a parameter stand still that should move? Exact zero and exact equality are physics, no
 * matter of thresholds:
 *
 *   update    it has a gradient, the optimiser has stepped it, and the step added exactly nothing,
 *             3 times in a row, with 3 gradients meanwhile: its group has a learning rate of 0, or steps so small that they
 *             vanish in the rounding of its type.
 *   still     it has a gradient, no update of it was ever measured, and all statistics of its
 *             values have stayed the same, bit for bit, in 8 readings: nobody steps it.
 *   astray    the watcher said so: it needs a gradient but is in no optimiser.
 *   detached  the watcher said so: an optimiser holds it, and it has never had a gradient.
 *   few       the watcher said so: at most a tenth of the parameters are frozen. Who fine-tunes
 *             freezes most; of a few it may be an oversight, as with OPT-175B's position embeddings.
 *             Worth knowing, no more: fixed encodings are frozen on purpose.
 *
 * Only when others move meanwhile: a learning rate of 0 for all, a step that a loss scaler skips or
 * gradients that are only gathered move nobody. Parameters that require no gradient have none, so
 * fine-tuning with frozen layers is quiet. So are gradients that are nothing but rounding: those of a
 * bias before a batch norm cancel out, and at the end of a schedule such a step vanishes in the
 * bias's own rounding; a gradient a thousand times smaller than the median parameter's (root mean
 * square) is none. Parameters of one element do not count: the gradient of
 * such a bias is a sum that may be exactly 0 in every batch (a critic with a hinge loss: as many
 * samples pull up as down).
 *
 * The watcher's word comes as an event of its own ("2 parameters that are not frozen are in no
 * optimiser: 'pos'"; lib/python/barograph/_watch/parameters.py), because only it knows what was
 * given to the optimiser. The sentence is taken by its words, the first name in quotes is the thing.
 *
 * Worked number: updates of 0, 0, 0 at steps 5, 6, 7 while the gradient's norm is 0.3 and another
 * weight moves: told at step 7 for step 5.
 *
 * Cost: a reading notes a fact when it stands still or is a gradient, or, to show that others move,
 * once in 8 readings.
 */

enum { UPDATES_IN_A_ROW, READINGS_IN_A_ROW };
enum {
    CODE_UPDATE,
    CODE_STILL,
    CODE_ASTRAY,
    CODE_DETACHED,
    CODE_FEW,
    CODE_MOVED,
    CODE_GRADIENT,
    CODE_SEEN,
    N_CODES
};
enum { EVERY = 8, ALWAYS_UNTIL = 16, N_KEPT = 5, FEW_OF = 10, MIN_ELEMENTS = 2 };

static const double least_gradient = 1000; /* times smaller than the median */

static const char astray_words[] = "parameters that are not frozen are in no optimiser: ";
static const char detached_words[] = "parameters have got no gradient in ";
static const char frozen_words[] = " parameters are frozen: ";

static const struct rule_param params[] = {
    {"updates_in_a_row", 3, 1, 100000,
        "updates of exactly nothing, of a weight with a gradient"},
    {"readings_in_a_row", 8, 2, 100000,
        "readings of a weight that never changes, where updates are not measured"},
};

/* Of one tensor. */
struct tensor {
    uint32_t n_readings;
    uint32_t n_still;      /* in a row */
    int64_t since;         /* step of the first of them */
    uint64_t kept[N_KEPT]; /* bits of the statistics of a weight's last reading */
};

/* What is known of a parameter, by its name, across its weight, gradient and update. */
struct parameter {
    uint64_t hash;  /* 0: an empty place */
    uint32_t thing; /* any of them, the weight preferred */
    bool is_weight; /* thing is the weight */
    bool has_update;
    bool has_gradient;
    bool is_told;
    int64_t gradient_step;       /* newest with a gradient that is not 0 */
    uint64_t n_gradients;        /* such readings */
    uint64_t n_gradients_before; /* as many when it began to stand still */
    double gradient;             /* its root mean square */
};

struct known {
    struct parameter *parameters; /* open addressing */
    size_t size;                  /* a power of two */
    size_t n;
    struct rule_slots hashes; /* of things: uint64_t */
    bool has_moved;
    int64_t moved_step;  /* newest at which something moved */
    uint64_t moved_hash; /* what it was */
};

static bool applies(const struct judge_thing *thing)
{
    return thing->id == 0 || thing->role == BARO_UPDATE || thing->role == BARO_WEIGHT ||
           thing->role == BARO_GRAD;
}

/* ---- readings ---- */

static bool is_same(struct tensor *tensor, const double *stats)
{
    static const enum summary_stat looked_at[N_KEPT] = {
        SUMMARY_MEAN, SUMMARY_L2, SUMMARY_L1, SUMMARY_MIN, SUMMARY_MAX};
    bool is_same = tensor->n_readings > 0;
    for (int i = 0; i < N_KEPT; i++) {
        uint64_t bits;
        memcpy(&bits, &stats[looked_at[i]], sizeof bits);
        is_same &= bits == tensor->kept[i];
        tensor->kept[i] = bits;
    }
    return is_same;
}

/* Something that stands still, or does not. */
static void follow(
    struct rule_context *context, struct tensor *tensor, bool is_still, unsigned code)
{
    uint32_t n = tensor->n_readings++;
    if (!is_still) {
        tensor->n_still = 0;
        if (n < ALWAYS_UNTIL || n % EVERY == 0) {
            bool is_first = code == CODE_STILL && n == 0;
            rule_note_value(context, is_first ? CODE_SEEN : CODE_MOVED, 0, 0, 0);
        }
        return;
    }
    if (tensor->n_still++ == 0) {
        tensor->since = context->step;
    }
    rule_note_since(context, code, tensor->since, tensor->n_still, 0, 0);
}

static void on_summary(
    struct rule_context *context, struct tensor *tensor, const struct reading *reading)
{
    const double *stats = reading->f64;
    if (stats[SUMMARY_COUNT] < MIN_ELEMENTS) {
        return;
    }
    if (context->thing->role == BARO_UPDATE) {
        follow(context, tensor, stats[SUMMARY_L2] <= 0, CODE_UPDATE);
    } else if (context->thing->role == BARO_WEIGHT) {
        follow(context, tensor, is_same(tensor, stats), CODE_STILL);
    } else if (stats[SUMMARY_L2] > 0) {
        rule_note_value(
            context, CODE_GRADIENT, stats[SUMMARY_L2] / sqrt(stats[SUMMARY_COUNT]), 0, 0);
    }
}

/* The watcher's word: how many, and the name of the first. */
static void on_event(struct rule_context *context, const struct reading *reading)
{
    char text[READING_MAX_TEXT_BYTES + 1];
    size_t length = 0;
    const char *own = rule_own_words(reading, &length);
    if (own == NULL || length == 0 || length > READING_MAX_TEXT_BYTES || own[0] < '1' ||
        own[0] > '9') {
        return;
    }
    memcpy(text, own, length);
    text[length] = '\0';
    char *words = NULL;
    unsigned long n = strtoul(text, &words, 10);
    const char *name = strchr(words, '\'');
    if (*words != ' ' || name == NULL) {
        return;
    }
    unsigned code = N_CODES;
    unsigned long n_all = n;
    if (strncmp(words + 1, astray_words, sizeof astray_words - 1) == 0) {
        code = CODE_ASTRAY;
    } else if (strncmp(words + 1, detached_words, sizeof detached_words - 1) == 0) {
        code = CODE_DETACHED;
    } else if (strncmp(words, " of ", 4) == 0) {
        n_all = strtoul(words + 4, &words, 10);
        bool is_frozen = strncmp(words, frozen_words, sizeof frozen_words - 1) == 0;
        code = is_frozen && n_all / FEW_OF >= n ? CODE_FEW : N_CODES;
    }
    if (code == N_CODES) {
        return;
    }
    name++;
    rule_note(context, &(struct rule_fact){.code = code,
                           .value = (double)n,
                           .score = (double)n_all,
                           .unit = -1,
                           .row = (int64_t)rule_hash(name, strcspn(name, "'"))});
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    if (reading->header.kind == READING_EVENT) {
        on_event(context, reading);
    } else {
        on_summary(context, state, reading);
    }
}

/* ---- steps ---- */

static struct parameter *place_of(struct known *known, uint64_t hash)
{
    size_t at = hash & (known->size - 1);
    while (known->parameters[at].hash != 0 && known->parameters[at].hash != hash) {
        at = (at + 1) & (known->size - 1);
    }
    return &known->parameters[at];
}

static void grow(struct known *known)
{
    struct parameter *old = known->parameters;
    size_t n_old = known->size;
    known->size = n_old == 0 ? 64 : 2 * n_old;
    known->parameters = baro_xcalloc(known->size, sizeof *known->parameters);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].hash != 0) {
            *place_of(known, old[i].hash) = old[i];
        }
    }
    free(old);
}

/* The parameter that a fact is about, entered when it is new. */
static struct parameter *parameter_of(
    struct rule_context *context, struct known *known, uint32_t id)
{
    uint64_t *hash = rule_slot(&known->hashes, id, sizeof *hash);
    const struct judge_thing *thing = rule_thing(context, id);
    bool is_new = *hash == 0;
    if (is_new) {
        *hash = rule_hash(thing->name, strlen(thing->name)) | 1;
        if (2 * (known->n + 1) > known->size) {
            grow(known);
        }
    }
    struct parameter *parameter = place_of(known, *hash);
    if (parameter->hash == 0) {
        parameter->hash = *hash;
        parameter->thing = id;
        known->n++;
    }
    if (is_new) {
        bool is_weight = thing->role == BARO_WEIGHT;
        parameter->thing = is_weight && !parameter->is_weight ? id : parameter->thing;
        parameter->is_weight |= is_weight;
        parameter->has_update |= thing->role == BARO_UPDATE;
    }
    return parameter;
}

static void learn(
    struct rule_context *context, struct known *known, const struct rule_fact *fact)
{
    struct parameter *parameter = parameter_of(context, known, fact->thing);
    if (fact->code == CODE_GRADIENT) {
        parameter->has_gradient = true;
        parameter->gradient_step = fact->step;
        parameter->n_gradients++;
        parameter->gradient = fact->value;
    } else if (fact->code == CODE_MOVED) {
        parameter->is_told = false;
        known->has_moved = true;
        known->moved_step = fact->step;
        known->moved_hash = parameter->hash;
    }
}

/* Whether a gradient is more than rounding, beside those of the other parameters. */
static bool is_gradient(const struct known *known, const struct parameter *parameter)
{
    double *all = baro_xcalloc(known->n + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < known->size; i++) {
        if (known->parameters[i].hash != 0 && known->parameters[i].has_gradient) {
            all[n++] = known->parameters[i].gradient;
        }
    }
    double median = n > 0 ? rule_median(all, n) : 0;
    free(all);
    return parameter->gradient * least_gradient >= median;
}

static void report(
    struct rule_context *context, const struct rule_fact *fact, struct parameter *parameter)
{
    struct rule_fact told = *fact;
    told.row = parameter->hash != 0 ? (int64_t)parameter->thing : 0;
    parameter->is_told |= rule_report(context, &told);
}

static void judge_still(
    struct rule_context *context, struct known *known, const struct rule_fact *fact)
{
    struct parameter *parameter = parameter_of(context, known, fact->thing);
    bool is_update = fact->code == CODE_UPDATE;
    double limit = context->params[is_update ? UPDATES_IN_A_ROW : READINGS_IN_A_ROW];
    int64_t since = rule_since(fact);
    if (fact->value <= 1) {
        bool has_now = parameter->gradient_step == fact->step && parameter->n_gradients > 0;
        parameter->n_gradients_before = parameter->n_gradients - (has_now ? 1 : 0);
    }
    /* An expert to which no sample went stands still, too, in steps in which it has no gradient. */
    bool has_gradient = parameter->n_gradients - parameter->n_gradients_before >=
                        context->params[UPDATES_IN_A_ROW];
    bool others_move = known->has_moved && known->moved_step >= since &&
                       known->moved_hash != parameter->hash;
    if (fact->value >= limit && has_gradient && others_move && !parameter->is_told &&
        (is_update || !parameter->has_update) && is_gradient(known, parameter)) {
        report(context, fact, parameter);
    }
}

/* Whether a fact is the watcher's word. */
static bool is_word(unsigned code)
{
    return code == CODE_ASTRAY || code == CODE_DETACHED || code == CODE_FEW;
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct known *known = run_state;
    if (known->size == 0) {
        grow(known);
    }
    for (size_t i = 0; i < n_facts; i++) {
        if (facts[i].thing != 0) {
            learn(context, known, &facts[i]);
        }
    }
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        if (fact->code == CODE_UPDATE || fact->code == CODE_STILL) {
            judge_still(context, known, fact);
        } else if (is_word(fact->code)) {
            struct parameter *parameter = place_of(known, (uint64_t)fact->row | 1);
            if (!parameter->is_told) {
                struct parameter none = {0};
                report(context, fact, parameter->hash != 0 ? parameter : &none);
            }
        }
    }
}

static void release(void *run_state)
{
    struct known *known = run_state;
    free(known->parameters);
    free(known->hashes.items);
}

/* ---- words: row is the thing to name ---- */

static void tell_word(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct judge_thing *thing = rule_thing(context, finding->thing);
    if (thing != NULL && fact->value > 1) {
        rule_say(finding, "%s and %.0f more parameter%s", thing->name, fact->value - 1,
            fact->value > 2 ? "s" : "");
    } else if (thing != NULL) {
        rule_say(finding, "%s", thing->name);
    } else {
        rule_say(finding, "%.0f parameter%s", fact->value, fact->value > 1 ? "s" : "");
    }
    if (fact->code == CODE_ASTRAY) {
        rule_say_more(finding,
            " should be trained, but %s in no optimiser and will never move.",
            fact->value > 1 ? "are" : "is");
        finding->advice =
            "Give all of model.parameters() to the optimiser, after the last layer "
            "was added; call requires_grad_(False) on what is meant to stay.";
        rule_blame(finding, JUDGE_CAUSE_NOT_TRAINED);
    } else if (fact->code == CODE_FEW) {
        finding->level = BARO_INFO;
        rule_say_more(finding, " %s frozen, of %.0f parameters in all.",
            fact->value > 1 ? "are" : "is", fact->score);
        finding->advice =
            "If that is meant, all is well; if not, call requires_grad_(True) and "
            "give it to the optimiser.";
        rule_blame(finding, JUDGE_CAUSE_NOT_TRAINED);
    } else {
        rule_say_more(finding, " %s given to the optimiser, but never got a gradient.",
            fact->value > 1 ? "are" : "is");
        finding->advice =
            "Look for .detach(), .item(), torch.no_grad() or an output that is not "
            "used between this parameter and the loss.";
        rule_blame(finding, JUDGE_CAUSE_DETACHED);
        rule_blame(finding, JUDGE_CAUSE_NOT_TRAINED);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    finding->thing = fact->row > 0 ? (uint32_t)fact->row : 0;
    finding->row = -1;
    if (is_word(fact->code)) {
        tell_word(context, fact, finding);
        return;
    }
    finding->step = rule_since(fact);
    rule_say(finding,
        "%s has a gradient but has not moved at all since step %lld, while other weights do.",
        context->thing->name, (long long)finding->step);
    finding->advice =
        "See that the optimiser holds it and that its learning rate is not 0; in "
        "bf16 or f16 small updates vanish: keep a master copy in f32.";
    rule_blame(finding, JUDGE_CAUSE_NOT_TRAINED);
    rule_blame(finding, JUDGE_CAUSE_LR_LOW);
    rule_blame(finding, JUDGE_CAUSE_TYPE_RANGE);
    rule_show(finding, finding->thing, READING_SUMMARY, SUMMARY_L2, -1, finding->step,
        "its norm: a straight line");
}

const struct rule rule_frozen_weights = {
    .name = "frozen_weights",
    .sentence =
        "A parameter with a gradient does not move, or is left out of the training.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY) | RULE_KIND(READING_EVENT),
    .excuses = 0,
    .state_bytes = sizeof(struct tensor),
    .run_bytes = sizeof(struct known),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
