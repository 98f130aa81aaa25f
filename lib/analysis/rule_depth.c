/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"

/*
 * Does the gradient die, or blow up, on its way back through the layers? Of each gradient
 * (of two dimensions or more) take its size per element, g = |grad| / sqrt(count), and go through
 * the layers in the order of the data flow: once through the weights, once through the activations.
 * In a network that trains g stays within one or two powers of ten, whatever the loss scale. What is
 * looked at is
 *
 *   s = median of log10 g over the first third of the layers - median over the last third
 *
 * and whether g goes steadily: m, the share of pairs of layers (i before j) in which g_i < g_j.
 *
 *   vanishing   s < -3 and m > 0.8: the first layers get less than a 1000th of the last ones'
 *               gradient, and it is lost on the way, not at one odd layer.
 *   exploding   s > 2.5 and m < 0.2.
 *   cut         the first third's gradients are exactly zero, the last ones' are not.
 *
 * In 3 steps in a row, of 4 layers or more. From the first step on: it is a fault of the
 * initialisation, so there is no calm past to compare with.
 *
 * Worked number: eight layers whose g shrinks by a factor of 4 each towards the first, as through
 * sigmoids, whose derivative is 1/4 at most: thirds are of 2 layers (8 / 3 = 2), their medians
 * differ by 6 layers: s = -6 * 0.602 = -3.61, m = 1. Told.
 *
 * Of several watched models each is looked at by itself. Where few weights are measured in a step,
 * the last reading of each within 64 steps counts.
 *
 * Measured in the first 300 steps of 24 healthy trainings (perceptrons, convolutions, transformer,
 * LSTM, VAE, GAN): s from -2.6 to 1.5; three sigmoids in a row lose 2.3.
 *
 * Rejected: ratio of the first to the last layer alone (AUTOTRAINER: 1e-3, 70): an embedding is
 * sparse and a head is large in healthy models. Limits on g itself (1e-7): they mean nothing under
 * loss scaling. Known limit: branches are walked in the order in which they were measured first.
 */

enum { VANISHING, EXPLODING, STEADY };
enum { CODE_VANISHING, CODE_EXPLODING, CODE_CUT, N_CODES };
enum { MIN_LAYERS = 4, MAX_PAIRED = 64, IN_A_ROW = 3, CALM = 50, FRESH_STEPS = 64 };

static const struct rule_param params[] = {
    {"vanishing", 3, 0.5, 40,
        "powers of ten that the gradient may lose towards the first layers"},
    {"exploding", 2.5, 0.5, 40, "powers of ten that it may gain"},
    {"steady", 0.8, 0.5, 1,
        "share of pairs of layers between which it must go the same way"},
};

/* One gradient. */
struct layer {
    double size; /* log10 of its size per element; -INFINITY: exactly zero */
    int64_t step;
    uint64_t model; /* hash of its name; bit 1: of activations; bit 0: set */
    bool is_known;
};

/* What was told of a model; few models are watched at once. */
enum { MAX_MODELS = 16 };
struct model {
    uint64_t hash; /* 0: a free place */
    struct rule_latch latches[N_CODES];
    int64_t since[N_CODES];
};

/* Names up to their first dot, and which model they mean: things are many, these are few. */
enum { MAX_TOPS = 64 };
struct top {
    uint64_t hash; /* 0: a free place */
    uint64_t model;
};

struct chains {
    int64_t told_step; /* of the last finding, and of which model */
    uint64_t told_model;
    struct rule_slots slots; /* struct layer */
    struct model models[MAX_MODELS];
    struct top tops[MAX_TOPS];
    double *sizes; /* of one model's layers, in order */
    double *sorted;
    uint32_t *things;
    size_t n_room;
};

static bool applies(const struct judge_thing *thing)
{
    bool is_gradient = thing->role == BARO_GRAD || thing->role == BARO_ACT_GRAD;
    return is_gradient && thing->n_dims >= 2 && !thing->is_eval;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    (void)state;
    const double *stats = reading->f64;
    if (stats[SUMMARY_COUNT] > 0 && isfinite(stats[SUMMARY_L2])) {
        double size = stats[SUMMARY_L2] / sqrt(stats[SUMMARY_COUNT]);
        rule_note_value(context, 0, size > 0 ? log10(size) : (double)-INFINITY, 0, 0);
    }
}

/* The hash of the model that a tensor belongs to. */
static uint64_t model_of_name(
    struct rule_context *context, struct chains *chains, const char *name)
{
    size_t length = strcspn(name, ".");
    uint64_t hash = name[length] == '.' ? rule_hash(name, length) | 1 : 1;
    for (size_t i = 0; i < MAX_TOPS; i++) {
        struct top *top = &chains->tops[i];
        if (top->hash == 0) {
            top->hash = hash;
            top->model = rule_hash(name, rule_model_length(context, name));
        }
        if (top->hash == hash) {
            return top->model;
        }
    }
    return rule_hash(name, rule_model_length(context, name));
}

static void learn(
    struct rule_context *context, struct chains *chains, const struct rule_fact *fact)
{
    struct layer *layer = rule_slot(&chains->slots, fact->thing, sizeof *layer);
    if (!layer->is_known) {
        const struct judge_thing *thing = rule_thing(context, fact->thing);
        uint64_t model = model_of_name(context, chains, thing->name);
        layer->model = model << 2 | (thing->role == BARO_ACT_GRAD ? 2 : 0) | 1;
        layer->is_known = true;
    }
    layer->size = fact->value;
    layer->step = fact->step;
}

static size_t gather(struct chains *chains, uint64_t model, int64_t step)
{
    if (chains->n_room < chains->slots.n) {
        size_t n = chains->slots.n;
        chains->sizes = baro_xrealloc(chains->sizes, n, sizeof *chains->sizes);
        chains->sorted = baro_xrealloc(chains->sorted, n, sizeof *chains->sorted);
        chains->things = baro_xrealloc(chains->things, n, sizeof *chains->things);
        chains->n_room = n;
    }
    size_t n = 0;
    for (size_t k = 0; k < chains->slots.n; k++) {
        /* Gradients of activations were measured on the way back: the last one is first. */
        size_t i = (model & 2) != 0 ? chains->slots.n - 1 - k : k;
        const struct layer *layer = &((const struct layer *)chains->slots.items)[i];
        if (layer->is_known && layer->model == model && step - layer->step <= FRESH_STEPS) {
            chains->things[n] = (uint32_t)i;
            chains->sizes[n++] = layer->size;
        }
    }
    return n;
}

/* The median of those that have a gradient; -INFINITY: none has. An expert to which no sample of
 * the batch went has none, and says nothing about the others. */
static double median_of(struct chains *chains, size_t from, size_t n)
{
    size_t n_there = 0;
    for (size_t i = from; i < from + n; i++) {
        if (isfinite(chains->sizes[i])) {
            chains->sorted[n_there++] = chains->sizes[i];
        }
    }
    return n_there > 0 ? rule_median(chains->sorted, n_there) : (double)-INFINITY;
}

/* The share of pairs in which the size grows towards the last layer. */
static double share_rising(const double *sizes, size_t n)
{
    size_t stride = n / MAX_PAIRED + 1;
    size_t n_pairs = 0;
    size_t n_rising = 0;
    for (size_t i = 0; i < n; i += stride) {
        for (size_t j = i + stride; j < n; j += stride) {
            n_pairs++;
            n_rising += sizes[i] < sizes[j] ? 1 : 0;
        }
    }
    return n_pairs > 0 ? (double)n_rising / (double)n_pairs : 0.5;
}

static struct model *model_of(struct chains *chains, uint64_t hash)
{
    for (size_t i = 0; i < MAX_MODELS; i++) {
        if (chains->models[i].hash == hash || chains->models[i].hash == 0) {
            chains->models[i].hash = hash;
            return &chains->models[i];
        }
    }
    return NULL;
}

/* What is wrong with a chain; N_CODES: nothing. */
static unsigned diagnose(
    struct rule_context *context, struct chains *chains, size_t n, double *out_lost)
{
    const double *p = context->params;
    size_t third = n / 3 > 0 ? n / 3 : 1;
    double first = median_of(chains, 0, third);
    double last = median_of(chains, n - third, third);
    *out_lost = last - first;
    if (!isfinite(last)) {
        return N_CODES; /* nothing comes in at all */
    }
    if (!isfinite(first)) {
        return CODE_CUT;
    }
    if (*out_lost > p[VANISHING] && share_rising(chains->sizes, n) > p[STEADY]) {
        return CODE_VANISHING;
    }
    if (-*out_lost > p[EXPLODING] && share_rising(chains->sizes, n) < 1 - p[STEADY]) {
        return CODE_EXPLODING;
    }
    return N_CODES;
}

static void judge_model(struct rule_context *context, struct chains *chains, uint64_t hash,
    const struct rule_fact *fact)
{
    struct model *model = model_of(chains, hash);
    size_t n = gather(chains, hash, fact->step);
    if (model == NULL || n < MIN_LAYERS) {
        return;
    }
    double lost = 0;
    unsigned found = diagnose(context, chains, n, &lost);
    for (unsigned code = 0; code < N_CODES; code++) {
        struct rule_latch *latch = &model->latches[code];
        if (found == code && latch->n_bad == 0) {
            model->since[code] = fact->step;
        }
        bool is_news = rule_latch(latch, found == code, IN_A_ROW, CALM);
        bool is_told = chains->told_model == hash >> 2 && chains->told_step == fact->step;
        if (is_news && !is_told) {
            chains->told_model = hash >> 2;
            chains->told_step = fact->step;
            struct rule_fact told = *fact;
            told.row = chains->things[0];
            told.code = code;
            told.from_step = rule_from(model->since[code]);
            told.value = code == CODE_CUT ? 0 : pow(10, -lost);
            told.usual = 1;
            told.score = code == CODE_CUT ? 0 : fabs(lost);
            told.n_units = (uint32_t)n;
            rule_report(context, &told);
        }
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct chains *chains = run_state;
    for (size_t i = 0; i < n_facts; i++) {
        learn(context, chains, &facts[i]);
    }
    /* Each model of the step once: its facts come together, or nearly so. */
    uint64_t done[MAX_MODELS];
    size_t n_done = 0;
    for (size_t i = 0; i < n_facts && n_done < MAX_MODELS; i++) {
        struct layer *layer = rule_slot(&chains->slots, facts[i].thing, sizeof *layer);
        bool is_done = false;
        for (size_t k = n_done; k-- > 0 && !is_done;) {
            is_done = done[k] == layer->model;
        }
        if (!is_done) {
            done[n_done++] = layer->model;
            judge_model(context, chains, layer->model, &facts[i]);
        }
    }
}

static void release(void *run_state)
{
    struct chains *chains = run_state;
    free(chains->slots.items);
    free(chains->sizes);
    free(chains->sorted);
    free(chains->things);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    finding->step = rule_since(fact);
    finding->thing = (uint32_t)fact->row; /* the first layer */
    finding->row = -1;
    const char *name = rule_thing(context, finding->thing)->name;
    rule_show(finding, finding->thing, READING_SUMMARY, SUMMARY_L2, -1, finding->step,
        "the gradient there");
    if (fact->code == CODE_EXPLODING) {
        finding->level = BARO_ALARM;
        rule_say(finding,
            "The gradient explodes on its way back: in the first layers (%s) it is %.0e times "
            "that of the last ones, over %u layers.",
            name, fact->value, fact->n_units);
        finding->advice =
            "Scale initial weights down (Kaiming, Xavier), clip the gradient, add "
            "normalisation or skip connections.";
    } else if (fact->code == CODE_VANISHING) {
        rule_say(finding,
            "The gradient vanishes on its way back: the first layers (%s) get a %.0e part of "
            "that of the last ones, over %u layers.",
            name, fact->value, fact->n_units);
        finding->advice =
            "Use rectifiers instead of sigmoids, normalisation, skip connections, "
            "or initial weights of the right size (Kaiming, Xavier).";
    } else {
        finding->level = BARO_ALARM;
        rule_say(finding,
            "No gradient at all reaches the first layers (%s and others) since step %lld, "
            "while the last ones have one.",
            name, (long long)finding->step);
        finding->advice =
            "Look for a layer between them whose output is all zero, saturated or "
            "detached, or for gradients that underflow in f16.";
        rule_blame(finding, JUDGE_CAUSE_DETACHED);
    }
    rule_blame(finding, JUDGE_CAUSE_ACTIVATION);
    rule_blame(finding, JUDGE_CAUSE_INIT);
    rule_blame(finding, JUDGE_CAUSE_DEPTH);
}

const struct rule rule_gradient_depth = {
    .name = "gradient_depth",
    .sentence = "The gradient vanishes or explodes on its way back through the layers.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SUMMARY),
    .excuses = 0,
    .run_bytes = sizeof(struct chains),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
    .release = release,
};
