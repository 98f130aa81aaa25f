/* SPDX-License-Identifier: Apache-2.0 */
/* What several rules share: a place in memory for each thing, medians, a step within a fact. */
#ifndef BARO_RULE_PARTS_H
#define BARO_RULE_PARTS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/rule.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

enum {
    RULE_MAX_GAP = 4096 /* ids in a row that no thing has, where all are gone through */
};

/* Zeroed at first; the owner frees `items`. */
struct rule_slots {
    unsigned char *items;
    size_t n; /* places: ids from 0 to n - 1 */
};

/** Give the place of a thing, zeroed at first; valid until the next call with a larger id. */
static inline void *rule_slot(struct rule_slots *slots, uint32_t thing, size_t item_bytes)
{
    if (thing >= slots->n) {
        size_t n = slots->n < 32 ? 32 : slots->n;
        while (n <= thing) {
            n *= 2;
        }
        slots->items = baro_xrealloc(slots->items, n, item_bytes);
        memset(slots->items + slots->n * item_bytes, 0, (n - slots->n) * item_bytes);
        slots->n = n;
    }
    return slots->items + thing * item_bytes;
}

/** Sort numbers and give their median; n >= 1, none is NaN. */
static inline double rule_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, baro_by_double);
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/* Readings in a row that are judged as one. */
struct rule_block {
    uint32_t n;
    double sum;
    double squares;
};

/** Add a finite value; true when the block is full: then take mean and error, and zero it. */
static inline bool rule_block_add(struct rule_block *block, double value, uint32_t size)
{
    block->n++;
    block->sum += value;
    block->squares += value * value;
    return block->n == size;
}

/** Give the mean of a full block. */
static inline double rule_block_mean(const struct rule_block *block)
{
    return block->sum / block->n;
}

/** Give the standard error of its mean, as if its readings were independent. */
static inline double rule_block_error(const struct rule_block *block)
{
    double mean = rule_block_mean(block);
    return sqrt(fmax(block->squares / block->n - mean * mean, 0) / block->n);
}

/** Put a step into rule_fact.from_step, in which 0 stands for its step: rule_since() gives it back. */
static inline int64_t rule_from(int64_t step)
{
    return step > 0 ? step : step - 1;
}

/** Note a fact of the reading that is about one number and no unit, with evidence since a step. */
static inline void rule_note_since(struct rule_context *context, uint32_t code,
    int64_t since, double value, double usual, double score)
{
    rule_note(context, &(struct rule_fact){.code = code,
                           .from_step = rule_from(since),
                           .value = value,
                           .usual = usual,
                           .score = score,
                           .unit = -1,
                           .row = -1});
}

/** As rule_note_since(), of this step alone. */
static inline void rule_note_value(
    struct rule_context *context, uint32_t code, double value, double usual, double score)
{
    rule_note_since(context, code, context->step, value, usual, score);
}

/** Give the step that rule_from() put there. */
static inline int64_t rule_since(const struct rule_fact *fact)
{
    return fact->from_step > 0 ? fact->from_step : fact->from_step + 1;
}

/**
 * Give the words of an event that the client wrote by itself, after its "barograph: "; NULL when
 * the event is the user's own. They are not terminated.
 */
static inline const char *rule_own_words(const struct reading *reading, size_t *out_n)
{
    static const char author[] = "barograph: ";
    size_t n = sizeof author - 1;
    if (reading->extra_bytes < n || memcmp(reading->extra, author, n) != 0) {
        return NULL;
    }
    *out_n = reading->extra_bytes - n;
    return (const char *)reading->extra + n;
}

/**
 * Tell which of several watched models a tensor belongs to: the length of the model's name, with
 * which the tensor's begins ("gen" of "gen.0.weight"); 0: the only one, or the one without a name.
 *
 * A model that has a name has an input of that name. cost: all things are gone through; to be
 * kept, or asked rarely.
 */
size_t rule_model_length(const struct rule_context *context, const char *name);

/** Tell whether two tensors belong to the same model. */
bool rule_is_same_model(const struct rule_context *context, const char *a, const char *b);

/** Give a 64-bit hash of a name. */
uint64_t rule_hash(const char *name, size_t length);

#endif
