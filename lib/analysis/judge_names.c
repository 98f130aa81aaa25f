/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/analysis/judge_inside.h"
#include "lib/base/mem.h"

/*
 * What names tell: which scalar is the loss or the learning rate, what was measured in evaluation,
 * which tensors are siblings, which belong to one module.
 */

static const char *const cause_texts[] = {
    [JUDGE_CAUSE_NONE] = "not known",
    [JUDGE_CAUSE_LR_HIGH] = "the learning rate is too high",
    [JUDGE_CAUSE_LR_LOW] = "the learning rate is too low",
    [JUDGE_CAUSE_LR_BUG] = "the schedule or a restart gave a wrong learning rate",
    [JUDGE_CAUSE_BAD_BATCH] = "the samples of that step are bad, or harmful just now",
    [JUDGE_CAUSE_BAD_INPUT] = "the data hold values that they must not hold",
    [JUDGE_CAUSE_INPUT_SCALE] = "the inputs are not normalised",
    [JUDGE_CAUSE_DATA_ORDER] = "samples repeat, or are not shuffled",
    [JUDGE_CAUSE_LABELS] = "the labels are wrong or do not fit the output",
    [JUDGE_CAUSE_TYPE_RANGE] = "numbers leave the range of their type",
    [JUDGE_CAUSE_LOSS_SCALE] = "the loss scale does not fit the gradients",
    [JUDGE_CAUSE_LOSS_FUNCTION] = "the loss function meets log(0), 0/0 or a large exponent",
    [JUDGE_CAUSE_NO_CLIPPING] = "gradients are not clipped",
    [JUDGE_CAUSE_NORMALISATION] =
        "a normalisation is missing, or divides by almost nothing",
    [JUDGE_CAUSE_INIT] = "the initial weights are too large, too small or all alike",
    [JUDGE_CAUSE_DEPTH] =
        "the network is too deep for its initial weights and has no shortcuts",
    [JUDGE_CAUSE_ACTIVATION] = "the activation function dies or saturates",
    [JUDGE_CAUSE_NOT_TRAINED] =
        "parameters were not given to the optimiser, or require no gradient",
    [JUDGE_CAUSE_DETACHED] = "the module is cut off from the loss",
    [JUDGE_CAUSE_EVAL_MODE] = "the model is in the wrong mode (training or evaluation)",
    [JUDGE_CAUSE_WEIGHT_DECAY] = "the weight decay is too strong, or missing",
    [JUDGE_CAUSE_OPTIMISER] = "the optimiser's epsilon, betas or stale state",
    [JUDGE_CAUSE_BATCH_SIZE] = "the batch is too small: its gradient is mostly noise",
    [JUDGE_CAUSE_OVERFITTING] = "the model learns its training data by heart",
    [JUDGE_CAUSE_ADVERSARY] = "one of the adversaries has won",
    [JUDGE_CAUSE_NOT_SYNCED] = "the ranks do not share what they must share",
    [JUDGE_CAUSE_HARDWARE] = "a device or its memory is faulty",
    [JUDGE_CAUSE_INPUT_PIPELINE] = "loading the data is slow or stuck",
    [JUDGE_CAUSE_CONTENTION] = "something else takes the machine's time",
    [JUDGE_CAUSE_DEADLOCK] = "the process waits for something that never comes",
    [JUDGE_CAUSE_OUT_OF_MEMORY] = "memory ran out",
    [JUDGE_CAUSE_KILLED] = "something or somebody ended the process",
    [JUDGE_CAUSE_NOT_ZEROED] = "gradients are not zeroed before each backward pass",
    [JUDGE_CAUSE_SIGN] = "the loss is climbed: its sign is wrong",
};
_Static_assert(BARO_LEN(cause_texts) == JUDGE_CAUSE_COUNT, "every cause has words");

const char *judge_cause_text(enum judge_cause cause)
{
    return (unsigned)cause < JUDGE_CAUSE_COUNT ? cause_texts[cause] : "not known";
}

/* ---- scalars ---- */

static bool is_word_char(char c)
{
    return isalpha((unsigned char)c) != 0;
}

/* Whether a word stands in a name by itself: "lr" in "train/lr.2", not in "slrp". */
static bool has_word(const char *name, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = strcasestr(name, word); at != NULL;
         at = strcasestr(at + 1, word)) {
        if ((at == name || !is_word_char(at[-1])) && !is_word_char(at[n])) {
            return true;
        }
    }
    return false;
}

static bool has_any(const char *name, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (has_word(name, *words)) {
            return true;
        }
    }
    return false;
}

static bool is_loss(const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(name, "loss/", 5) == 0 ||
           (n >= 4 && strcasecmp(name + n - 4, "loss") == 0);
}

enum judge_meaning judge_meaning_of(const char *name)
{
    static const char *const rates[] = {"lr", "learning_rate", "learning rate", NULL};
    static const char *const norms[] = {
        "grad_norm", "gradient_norm", "gnorm", "grad-norm", NULL};
    static const char *const scales[] = {"loss_scale", "grad_scale", "amp_scale", NULL};
    static const char *const goods[] = {"accuracy", "acc", "f1", "auc", "top1", NULL};
    static const char *const speeds[] = {"tokens_per_s", "tokens_per_sec", "samples_per_s",
        "samples_per_sec", "steps_per_s", "it/s", "throughput", "tokens_per_second", NULL};
    return has_any(name, scales)   ? JUDGE_LOSS_SCALE
           : has_any(name, norms)  ? JUDGE_GRAD_NORM
           : is_loss(name)         ? JUDGE_LOSS
           : has_any(name, rates)  ? JUDGE_LR
           : has_any(name, goods)  ? JUDGE_ACCURACY
           : has_any(name, speeds) ? JUDGE_THROUGHPUT
                                   : JUDGE_PLAIN;
}

bool judge_is_eval_name(const char *name)
{
    static const char *const words[] = {
        "eval", "val", "valid", "validation", "test", "evaluation", "dev", "holdout", NULL};
    return has_any(name, words);
}

bool judge_is_main_loss(const struct judge_thing *thing)
{
    static const char *const words[] = {"loss", "train", "training", "total", "step",
        "batch", "iter", "ce", "nll", "mse", "lm", "xent", "cross", "entropy", "elbo",
        "running", "avg", "mean", NULL};
    if (thing->meaning != JUDGE_LOSS || thing->is_eval) {
        return false;
    }
    for (const char *at = thing->name; *at != '\0';) {
        size_t n = 0;
        while (is_word_char(at[n])) {
            n++;
        }
        bool is_known = n == 0;
        for (size_t i = 0; words[i] != NULL && !is_known; i++) {
            is_known = strlen(words[i]) == n && strncasecmp(words[i], at, n) == 0;
        }
        if (!is_known) {
            return false;
        }
        at += n > 0 ? n : 1;
    }
    return true;
}

/* ---- symbols, families, modules ---- */

/* Give the number of a text, the same for the same text. */
static uint32_t symbol_of(struct judge *judge, const char *text)
{
    uint32_t hash = 2166136261U;
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    }
    struct symbol **bucket = &judge->symbols[hash % BARO_LEN(judge->symbols)];
    for (struct symbol *symbol = *bucket; symbol != NULL; symbol = symbol->next) {
        if (strcmp(symbol->text, text) == 0) {
            return symbol->number;
        }
    }
    size_t n = strlen(text) + 1;
    struct symbol *symbol = baro_xcalloc(1, sizeof *symbol + n);
    memcpy(symbol->text, text, n);
    symbol->number = ++judge->n_symbols;
    symbol->next = *bucket;
    *bucket = symbol;
    judge->n_bytes += sizeof *symbol + n;
    return symbol->number;
}

/* The name with its numbers as '#', behind what else siblings have in common. */
static uint32_t family_of(struct judge *judge, const struct judge_thing *thing)
{
    char text[READING_MAX_NAME_BYTES + 32];
    size_t n = (size_t)snprintf(text, 32, "family %d %u %d:", (int)thing->role,
        thing->n_dims, thing->is_tensor ? 1 : 0);
    for (const char *c = thing->name; *c != '\0' && n + 2 < sizeof text; c++) {
        bool is_digit = isdigit((unsigned char)*c) != 0;
        if (is_digit && text[n - 1] == '#') {
            continue;
        }
        text[n++] = is_digit ? '#' : *c;
    }
    text[n] = '\0';
    return symbol_of(judge, text);
}

/* Parameters are named module.parameter, what a module gives is named after it. */
static uint32_t module_of(struct judge *judge, const struct judge_thing *thing)
{
    if (!thing->is_tensor) {
        return 0;
    }
    char text[READING_MAX_NAME_BYTES + 32];
    const char *name = thing->name;
    const char *const phases[] = {"eval/", "no_grad/"};
    for (size_t i = 0; i < BARO_LEN(phases); i++) {
        size_t n = strlen(phases[i]);
        name += strncmp(name, phases[i], n) == 0 ? n : 0;
    }
    snprintf(text, sizeof text, "module %.*s", READING_MAX_NAME_BYTES, name);
    bool is_of_module = thing->role == BARO_ACT || thing->role == BARO_ACT_GRAD ||
                        thing->role == BARO_INPUT;
    char *dot = strrchr(text, '.');
    if (!is_of_module && dot != NULL) {
        *dot = '\0';
    }
    return symbol_of(judge, text);
}

void judge_describe(struct judge *judge, struct judge_thing *thing)
{
    const char *name = thing->name;
    thing->meaning = thing->is_tensor ? JUDGE_PLAIN : judge_meaning_of(name);
    if (!thing->is_tensor && thing->is_loss) {
        thing->meaning = JUDGE_LOSS;
    }
    thing->is_loss = thing->meaning == JUDGE_LOSS;
    thing->is_no_grad = strncmp(name, "no_grad/", 8) == 0;
    thing->is_eval =
        thing->is_tensor ? strncmp(name, "eval/", 5) == 0 : judge_is_eval_name(name);
    thing->is_backward =
        thing->is_tensor && (thing->role == BARO_GRAD || thing->role == BARO_ACT_GRAD);
    thing->family = family_of(judge, thing);
    thing->module = module_of(judge, thing);
}
