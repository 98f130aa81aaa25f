/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/detect_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Do all ranks hold the same weights? Each rank sums up the bits of the same elements at the same
 * step; the sums are whole numbers below 2^52, so equal weights give equal doubles, on any machine
 * and in any order of addition, and one flipped bit gives unlike ones. What the first rank says
 * for a step is kept until the others have spoken, RANKS_STEPS readings of a name at most.
 *
 * Weights that have parted stay apart, in all tensors: that is told once. It is told again when
 * RANKS_CALM readings in a row have agreed in between (a checkpoint was loaded).
 *
 * Worked: rank 0 says 17 for `replicated/w` at step 16; rank 1 says 17 (nothing) or 18 (a finding:
 * step 16, ranks 0 and 1, 17 against 18).
 *
 * Known failures: changes of several elements may cancel in the sum, but not at every look; a rank
 * that does not log is not compared.
 */

enum { N_BUCKETS = 256 };

struct said {
    int64_t step;
    double value;
    uint32_t rank;
    bool is_there;
};

struct name {
    struct name *next;
    char *text;
    uint32_t at; /* where the next reading goes */
    struct said said[RANKS_STEPS];
};

struct ranks_detector {
    struct name *buckets[N_BUCKETS];
    uint32_t n_names;
    uint32_t n_to_calm; /* readings that must agree before the next finding; 0: none */
};

struct ranks_detector *ranks_create(void)
{
    return baro_xcalloc(1, sizeof(struct ranks_detector));
}

void ranks_destroy(struct ranks_detector *detector)
{
    if (detector == NULL) {
        return;
    }
    for (int i = 0; i < N_BUCKETS; i++) {
        while (detector->buckets[i] != NULL) {
            struct name *name = detector->buckets[i];
            detector->buckets[i] = name->next;
            free(name->text);
            free(name);
        }
    }
    free(detector);
}

/* FNV-1a, folded to a bucket. */
static uint32_t bucket_of(const char *text)
{
    uint32_t hash = 2166136261U;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619U;
    }
    return (hash ^ (hash >> 16)) % N_BUCKETS;
}

/* Find a name or take it in; NULL when there are too many. */
static struct name *find(struct ranks_detector *detector, const char *text)
{
    struct name **bucket = &detector->buckets[bucket_of(text)];
    for (struct name *name = *bucket; name != NULL; name = name->next) {
        if (strcmp(name->text, text) == 0) {
            return name;
        }
    }
    if (detector->n_names >= RANKS_MAX_NAMES) {
        return NULL;
    }
    struct name *fresh = baro_xcalloc(1, sizeof *fresh);
    fresh->text = baro_xstrdup(text);
    fresh->next = *bucket;
    *bucket = fresh;
    detector->n_names++;
    return fresh;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool compare(struct ranks_detector *detector, const struct said *first,
    const struct said *second, struct ranks_finding *out)
{
    /* Bits, not values: NaN from both is agreement. */
    if (bits_of(first->value) == bits_of(second->value)) {
        detector->n_to_calm -= detector->n_to_calm > 0;
        return false;
    }
    bool is_news = detector->n_to_calm == 0;
    detector->n_to_calm = RANKS_CALM;
    *out = (struct ranks_finding){
        .step = first->step,
        .rank_a = first->rank,
        .rank_b = second->rank,
        .value_a = first->value,
        .value_b = second->value,
    };
    return is_news;
}

bool ranks_add(struct ranks_detector *detector, const char *name, uint32_t rank,
    int64_t step, double value, struct ranks_finding *out_finding)
{
    struct name *known = find(detector, name);
    if (known == NULL) {
        return false;
    }
    const struct said fresh = {
        .step = step, .value = value, .rank = rank, .is_there = true};
    for (uint32_t i = 0; i < RANKS_STEPS; i++) {
        struct said *said = &known->said[i];
        if (!said->is_there || said->step != step) {
            continue;
        }
        if (said->rank == rank) {
            said->value = value; /* the step has come again */
            return false;
        }
        return compare(detector, said, &fresh, out_finding);
    }
    known->said[known->at] = fresh;
    known->at = (known->at + 1) % RANKS_STEPS;
    return false;
}
