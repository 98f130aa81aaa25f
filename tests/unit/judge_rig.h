/* SPDX-License-Identifier: Apache-2.0 */
/* A judge to be fed by hand: things by name, steps, values; what it found is kept. */
#ifndef BARO_TEST_JUDGE_RIG_H
#define BARO_TEST_JUDGE_RIG_H

#include "lib/analysis/judge.h"
#include "lib/analysis/rule.h"

enum { RIG_MAX_FINDINGS = 4096 };

struct judge_rig {
    struct rule_book *book;
    struct judge *judge;
    uint32_t n_things;
    int64_t step; /* of all that is fed */
    struct judge_finding *found;
    size_t n_found;
    uint64_t noise; /* state of the noise */
};

/** Make a judge with the default book; only: the one rule that is on, or NULL for all. */
void rig_open(struct judge_rig *rig, const char *only);

/** Make the judge anew with the book as it is now; nothing was fed before. */
void rig_reopen(struct judge_rig *rig);

/** Release it. */
void rig_close(struct judge_rig *rig);

/** Declare a scalar; its id. */
uint32_t rig_scalar(struct judge_rig *rig, const char *name);

/** Declare an f32 tensor n_units x per_unit with units along axis 0 (0: none); its id. */
uint32_t rig_tensor(struct judge_rig *rig, const char *name, enum baro_role role,
    uint32_t n_units, uint32_t per_unit);

/** Begin a step: READING_STEP with that many seconds (NaN: of none). */
void rig_step(struct judge_rig *rig, int64_t step, double seconds);

/** Feed a value of a scalar. */
void rig_value(struct judge_rig *rig, uint32_t thing, double value);

/**
 * Give statistics of a tensor as if it were normal noise around 0 with that deviation; change what
 * is to be planted and feed it with rig_summary.
 *
 * stats    SUMMARY_STAT_COUNT
 */
void rig_stats(double *stats, uint64_t count, double deviation);

/** Feed a READING_SUMMARY without a histogram. */
void rig_summary(struct judge_rig *rig, uint32_t thing, const double *stats);

/** Feed a READING_UNITS. values: statistic-major, n_stats * n_units. */
void rig_units(
    struct judge_rig *rig, uint32_t thing, const float *values, uint32_t n_values);

/** Feed the batch of the step. */
void rig_batch(struct judge_rig *rig, const int64_t *samples, size_t n_samples);

/** Feed what samples gave. */
void rig_samples(
    struct judge_rig *rig, const struct reading_sample *samples, size_t n_samples);

/** Feed an event. */
void rig_event(struct judge_rig *rig, enum baro_level level, const char *text);

/** End and gather what is left. */
void rig_end(struct judge_rig *rig, enum judge_end why);

/** Count the findings of a kind; NULL: of all. */
size_t rig_count(const struct judge_rig *rig, const char *kind);

/** Give the first finding of a kind, or NULL. */
const struct judge_finding *rig_first(const struct judge_rig *rig, const char *kind);

/** Assert that there is one finding, with advice, and give it. */
const struct judge_finding *rig_only(const struct judge_rig *rig);

/** Assert that nothing was found. */
void rig_assert_quiet(const struct judge_rig *rig);

/** Draw from 0 .. 1. */
double rig_uniform(struct judge_rig *rig);

/** Draw from a normal distribution. */
double rig_normal(struct judge_rig *rig);

#endif
