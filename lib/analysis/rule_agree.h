/* SPDX-License-Identifier: Apache-2.0 */
/* How far the gradients of two successive readings agree; for rule_noise.c and rule_runaway.c. */
#ifndef BARO_RULE_AGREE_H
#define BARO_RULE_AGREE_H

#include "lib/analysis/rule.h"
#include "lib/analysis/unit_stats.h"

/* Of the mean gradients of each unit, u now and before. */
struct rule_agreement {
    double product; /* u . u before */
    double norm;    /* |u|^2 */
};

enum { RULE_AGREE_MIN_UNITS = 4 };

/** Tell whether a thing is a gradient with so many units that it tells. */
static inline bool rule_agree_applies(const struct judge_thing *thing)
{
    return thing->is_tensor && thing->role == BARO_GRAD &&
           thing->n_units >= RULE_AGREE_MIN_UNITS && !thing->is_eval;
}

/**
 * Compare a reading with the one before, and keep it.
 *
 * before   n_units floats, zeroed at first
 * cost     three multiplications a unit
 */
static inline struct rule_agreement rule_agree(
    const struct reading *reading, uint32_t n_units, float *before)
{
    struct rule_agreement found = {0};
    const float *means = unit_column(reading, n_units, UNIT_MEAN);
    for (uint32_t u = 0; u < n_units; u++) {
        float mean = unit_rounded(means[u]);
        found.product += (double)mean * (double)before[u];
        found.norm += (double)mean * (double)mean;
        before[u] = mean;
    }
    return found;
}

#endif
