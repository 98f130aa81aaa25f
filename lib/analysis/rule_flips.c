/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Do samples that were recognised get lost, many at once? The results of single samples
 * (READING_SAMPLES) are looked at with the left and the right rule of DeepTracker (Liu et al. 2018):
 *
 *   left    a sample that was right at its last k visits or more is wrong now: it is lost
 *   right   and has stayed wrong for as many visits since: it is lost for good
 *
 * Of each sample its value, the length of the run of equal results, and that of the run before
 * are kept, for 65,536 samples at most: those that come first; others are not looked at.
 *
 * Now and then one is lost in every training. Let p be the usual part of stable samples (k visits) that
 * are lost, of the run's own past, and q = max(5 p, 0.15) that of a fault. With x lost of n stable ones
 * in a reading the sum
 *
 *   S = max(0, S + x ln(q / p) + (n - x) ln((1 - q) / (1 - p)))
 *
 * drifts down while all is well and passes `min_sum` (12) soon after it is not (CUSUM of the
 * likelihood ratio: at most one false alarm in e^12 visits or so). It is kept for all samples and for
 * each class (label), where the samples' own class is given; a class needs `class_sum` (14). A class
 * is named where most of what is lost is its.
 *
 * Lost for good is told as information: `for_good` samples that were right k2 = 5 visits in a row and
 * have been wrong at 5 since.
 *
 * Worked: p = 0.02, q = 0.15: a lost sample adds 2.01, a kept one takes 0.14. Of 30 stable samples 9
 * are lost: S = 9 * 2.01 - 21 * 0.14 = 15.1 > 12: told at once. Of 30 one is lost: S stays 0.
 *
 * Excused by what was meant: a jump of the learning rate, an event, a restart. Cost: one look into a
 * hash table a sample. Known limits: the first k visits of each sample (epochs) tell nothing; a class
 * is one of 1024 at most.
 */

enum { MIN_VISITS, MIN_SUM, CLASS_SUM, FOR_GOOD };

static const struct rule_param params[] = {
    {"min_visits", 3, 1, 100, "visits in a row at which a sample was right: it is stable"},
    {"min_sum", 12, 1, 1000, "log of the likelihood ratio over all samples"},
    {"class_sum", 14, 1, 1000, "likewise over those of one class"},
    {"for_good", 8, 1, 65536, "samples that are lost for good, to be told of"},
};

enum { CODE_ALL = 1, CODE_CLASS, CODE_FOR_GOOD };
enum {
    MAX_TRACKED = 65536,
    FIRST_SIZE = 1024,
    MAX_CLASSES = 1024,
    MAX_RUN = 200,
    WARM_UP = 100,   /* stable visits */
    LONG_VISITS = 5, /* right rule, on both sides */
    MIN_LOST = 4,
    HOLD = 32 /* readings without judgement after a finding */
};

static const double least_usual = 0.01;
static const double least_fault = 0.15;
static const double memory_visits = 2000; /* of the usual part */

struct tracked {
    int64_t index;
    uint8_t is_there;
    uint8_t is_right;
    uint8_t run;    /* visits with this result */
    uint8_t before; /* and with the other one, before */
};

struct sum {
    double lost; /* fading counts */
    double stable;
    double sum;        /* S */
    uint32_t n_recent; /* lost since S was 0 */
};

struct memory {
    struct tracked *table; /* open addressing, at most half full */
    size_t size;
    size_t n;
    struct sum all;
    struct sum *classes; /* MAX_CLASSES */
    uint32_t hold;
    uint32_t n_for_good;
    bool is_for_good_told;
    int64_t since;
    int64_t recent[JUDGE_MAX_SAMPLES]; /* samples lost while S rose */
    size_t n_recent;
    int64_t good[JUDGE_MAX_SAMPLES]; /* lost for good */
    int64_t told[JUDGE_MAX_SAMPLES]; /* of the finding under way */
    size_t n_told;
};

/* What a reading held. */
struct tally {
    uint32_t n_stable;
    uint32_t n_lost;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->id == 0;
}

static size_t place_of(const struct tracked *table, size_t size, int64_t index)
{
    uint64_t x = (uint64_t)index * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(x ^ x >> 32) & (size - 1);
    while (table[at].is_there != 0 && table[at].index != index) {
        at = (at + 1) & (size - 1);
    }
    return at;
}

static void grow(struct memory *memory)
{
    size_t size = memory->size == 0 ? FIRST_SIZE : 2 * memory->size;
    struct tracked *table = baro_xcalloc(size, sizeof *table);
    for (size_t i = 0; i < memory->size; i++) {
        if (memory->table[i].is_there != 0) {
            table[place_of(table, size, memory->table[i].index)] = memory->table[i];
        }
    }
    free(memory->table);
    memory->table = table;
    memory->size = size;
}

/* The sample's place; NULL when there is none left. */
static struct tracked *track(struct memory *memory, int64_t index)
{
    if (2 * memory->n >= memory->size && memory->size < 2 * (size_t)MAX_TRACKED) {
        grow(memory);
    }
    struct tracked *tracked = &memory->table[place_of(memory->table, memory->size, index)];
    if (tracked->is_there == 0) {
        if (memory->n == MAX_TRACKED) {
            return NULL;
        }
        memory->n++;
        *tracked = (struct tracked){.index = index, .is_there = 1};
    }
    return tracked;
}

static double usual_of(const struct sum *all, const struct sum *own)
{
    double usual = fmax(least_usual, (all->lost + 1) / (all->stable + 50));
    return own == NULL ? usual
                       : fmax(least_usual, (own->lost + 20 * usual) / (own->stable + 20));
}

/* Add one stable sample to a sum. */
static void add_to_sum(struct sum *sum, double usual, bool is_lost)
{
    double fault = fmin(0.9, fmax(5 * usual, least_fault));
    sum->sum += is_lost ? log(fault / usual) : log((1 - fault) / (1 - usual));
    sum->n_recent += is_lost ? 1 : 0;
    if (sum->sum <= 0) {
        sum->sum = 0;
        sum->n_recent = 0;
    }
    double keep = 1 - 1 / memory_visits;
    /* while it looks like a fault nothing is learnt of it */
    double told = is_lost && sum->sum > 4 ? usual : is_lost ? 1 : 0;
    sum->lost = sum->lost * keep + told;
    sum->stable = sum->stable * keep + 1;
}

static void note_lost(struct memory *memory, int64_t index, int64_t step)
{
    if (memory->all.n_recent <= 1) {
        memory->n_recent = 0;
        memory->since = step;
    }
    if (memory->n_recent < JUDGE_MAX_SAMPLES) {
        memory->recent[memory->n_recent++] = index;
    }
}

/* One visit of a sample. */
static void visit(struct rule_context *context, struct memory *memory,
    const struct reading_sample *sample, struct tally *tally)
{
    struct tracked *tracked = track(memory, sample->index);
    if (tracked == NULL) {
        return;
    }
    bool is_right = sample->correct > 0;
    bool was_stable = tracked->is_right != 0 && tracked->run >= context->params[MIN_VISITS];
    if (was_stable) {
        bool is_lost = !is_right;
        tally->n_stable++;
        tally->n_lost += is_lost ? 1 : 0;
        add_to_sum(&memory->all, usual_of(&memory->all, NULL), is_lost);
        if (is_lost) {
            note_lost(memory, sample->index, context->step);
        }
        if (sample->label >= 0 && sample->label < MAX_CLASSES) {
            struct sum *own = &memory->classes[sample->label];
            add_to_sum(own, usual_of(&memory->all, own), is_lost);
        }
    }
    if (tracked->run > 0 && is_right == (tracked->is_right != 0)) {
        tracked->run += tracked->run < MAX_RUN ? 1 : 0;
    } else {
        tracked->before = tracked->run;
        tracked->run = 1;
        tracked->is_right = is_right ? 1 : 0;
    }
    if (!is_right && tracked->run == LONG_VISITS && tracked->before >= LONG_VISITS) {
        memory->good[memory->n_for_good % JUDGE_MAX_SAMPLES] = sample->index;
        memory->n_for_good++;
    }
}

/* The class whose sum is the largest, -1: none. */
static int worst_class(const struct memory *memory)
{
    int worst = -1;
    for (int i = 0; i < MAX_CLASSES; i++) {
        double sum = memory->classes[i].sum;
        worst = sum > (worst < 0 ? 0 : memory->classes[worst].sum) ? i : worst;
    }
    return worst;
}

static void note(struct rule_context *context, struct memory *memory, uint32_t code,
    const struct rule_fact *fact)
{
    const int64_t *from = code == CODE_FOR_GOOD ? memory->good : memory->recent;
    size_t n = code == CODE_FOR_GOOD ? memory->n_for_good : memory->n_recent;
    memory->n_told = n < JUDGE_MAX_SAMPLES ? n : JUDGE_MAX_SAMPLES;
    memcpy(memory->told, from, memory->n_told * sizeof *from);
    memory->hold = HOLD;
    struct rule_fact full = *fact;
    full.code = code;
    full.from_step = rule_from(memory->since);
    full.row = -1;
    rule_note(context, &full);
}

static void judge(struct rule_context *context, struct memory *memory)
{
    const double *p = context->params;
    if (memory->all.stable < WARM_UP) {
        memory->all.sum = 0;
        memory->all.n_recent = 0;
        return;
    }
    int worst = worst_class(memory);
    const struct sum *own = worst >= 0 ? &memory->classes[worst] : NULL;
    bool is_all = memory->all.sum > p[MIN_SUM] && memory->all.n_recent >= MIN_LOST;
    bool is_class = own != NULL && own->sum > p[CLASS_SUM] && own->n_recent >= MIN_LOST;
    if (is_all || is_class) {
        bool is_its = own != NULL && 2 * own->n_recent > memory->all.n_recent;
        const struct sum *sum = is_its || !is_all ? own : &memory->all;
        note(context, memory, sum == own ? CODE_CLASS : CODE_ALL,
            &(struct rule_fact){.value = sum->n_recent,
                .usual = usual_of(&memory->all, NULL),
                .score = sum->sum,
                .unit = sum == own ? worst : -1});
        memory->all.sum = 0;
        memory->all.n_recent = 0;
        memory->n_recent = 0;
        for (int i = 0; i < MAX_CLASSES; i++) {
            memory->classes[i].sum = 0;
            memory->classes[i].n_recent = 0;
        }
        memory->is_for_good_told = true; /* follows from it */
    } else if (!memory->is_for_good_told && memory->n_for_good >= p[FOR_GOOD]) {
        memory->is_for_good_told = true;
        memory->since = context->step;
        note(context, memory, CODE_FOR_GOOD,
            &(struct rule_fact){.value = memory->n_for_good, .usual = 0, .unit = -1});
    }
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = rule_run_state(context);
    struct tally tally = {0};
    (void)state;
    if (memory->classes == NULL) {
        memory->classes = baro_xcalloc(MAX_CLASSES, sizeof *memory->classes);
        grow(memory);
    }
    for (size_t at = 0; at + sizeof(struct reading_sample) <= reading->extra_bytes;
         at += sizeof(struct reading_sample)) {
        struct reading_sample sample;
        memcpy(&sample, reading->extra + at, sizeof sample);
        if (sample.correct >= 0) {
            visit(context, memory, &sample, &tally);
        }
    }
    if (memory->hold > 0) {
        memory->hold--;
        return;
    }
    judge(context, memory);
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct memory *memory = rule_run_state(context);
    finding->step = rule_since(fact) <= fact->step ? rule_since(fact) : fact->step;
    finding->n_samples = memory->n_told;
    finding->has_sample = memory->n_told > 0;
    finding->unit = -1;
    memcpy(finding->samples, memory->told, memory->n_told * sizeof memory->told[0]);
    if (fact->code == CODE_FOR_GOOD) {
        finding->level = BARO_INFO;
        rule_say(finding,
            "%.0f samples that were recognised at 5 visits or more have not been at the 5 since",
            fact->value);
        finding->advice =
            "Look at them: they may be labelled wrong, or be at odds with others.";
    } else {
        if (fact->code == CODE_CLASS) {
            rule_say(finding, "Samples of class %lld are lost: ", (long long)fact->unit);
        } else {
            rule_say(finding, "Samples are lost: ");
        }
        rule_say_more(finding,
            "%.0f that had been recognised time and again are not since step %lld (usual are "
            "%.2g %% of them)",
            fact->value, (long long)finding->step, 100 * fact->usual);
        finding->advice =
            "Look at these samples and their labels: whether labels or their order changed, "
            "whether something else is put in front of the model; if a few are mislabelled, whether "
            "the learning rate lets them pull away all others.";
    }
    if (finding->n_samples > 0) {
        rule_say_more(finding, ": samples %lld%s.", (long long)finding->samples[0],
            finding->n_samples > 1 ? " and more" : "");
    }
    rule_blame(finding, JUDGE_CAUSE_LABELS);
    rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
    rule_blame(finding, JUDGE_CAUSE_LR_HIGH);
}

static void release(void *run_state)
{
    struct memory *memory = run_state;
    free(memory->table);
    free(memory->classes);
}

const struct rule rule_flips = {
    .name = "flips",
    .sentence = "Samples that were recognised are lost, many at once, or a class.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_SAMPLES),
    .excuses = JUDGE_CHANGE_EVENT | JUDGE_CHANGE_LR | JUDGE_CHANGE_RESTART,
    .run_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
    .release = release,
};
