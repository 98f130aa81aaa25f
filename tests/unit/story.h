/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories made by hand, for "why": x (4 samples of 3) -> addmm in "logvar" -> exp in "exp_logvar" ->
 * mean, in which the data, the weights or something else went wrong, and the run around it.
 */
#ifndef TESTS_UNIT_STORY_H
#define TESTS_UNIT_STORY_H

#include "lib/analysis/why.h"

enum {
    STORY_BATCH = 4,
    STORY_IN = 3,
    STORY_OUT = 2,
    STORY_STEP = 150,
    STORY_BAD_ROW = 2,
    STORY_STEPS = 200
};

/* One of the network's probes, with the bytes that it lies in. */
struct story_probe {
    struct probe *probe;
    void *bytes;
};

/* What goes into the network of one step. */
struct story_network {
    float x[STORY_BATCH * STORY_IN];
    float w[STORY_IN * STORY_OUT];
    float b[STORY_OUT];
    const char *last; /* operation at the end: exp, log, sqrt */
};

/* A run of 200 steps with what can be known of it. */
struct story {
    struct why_facts facts;
    struct why_thing things[8];
    struct why_series series[8];
    int64_t steps[STORY_STEPS];
    double values[8][STORY_STEPS];
    struct why_alert alerts[4];
    struct why_incident incident;
    struct why_batch batches[4];
    int64_t samples[4][STORY_BATCH];
    struct why_story story;
};

/* All rows of the batch, and where a failing step came from: exp of unit 1, row STORY_BAD_ROW. */
extern const int64_t story_rows[STORY_BATCH];
extern const struct probe_origin story_origin;

/** Fill a network in which nothing is wrong. */
void story_network_init(struct story_network *network);

/** Make the probe of a step; origin: of a failure, or NULL. */
struct story_probe story_probe_make(
    const struct story_network *network, int64_t step, const struct probe_origin *origin);

/** Free a probe. */
void story_probe_finish(struct story_probe *made);

/** Make a run: loss, learning rate and logvar, all calm; the caller frees it. */
struct story *story_create(void);

/** Add the batches of four steps; that of STORY_STEP, and of all with a past, holds samples 10 to 13. */
void story_add_batches(struct story *stage, bool has_past);

/** Add an alert, and the incident around all of them. */
struct why_alert *story_add_alert(
    struct story *stage, const char *kind, uint32_t thing, int64_t step);

#endif
