/* SPDX-License-Identifier: Apache-2.0 */
/* What the oracle's parts share: its things, their records and columns. */
#ifndef TESTS_VIEW_ORACLE_INSIDE_H
#define TESTS_VIEW_ORACLE_INSIDE_H

#include "lib/analysis/columns.h"
#include "tests/view/oracle.h"

/* What a name, a role and a cadence are for each thing. */
struct oracle_entry {
    const char *name;
    enum baro_role role;
    uint32_t n_units;
    int64_t every;
};
extern const struct oracle_entry ORACLE_THINGS[ORACLE_N_THINGS + 1];

/* Records one behind the other; the owner frees `at`. */
struct oracle_bytes {
    uint8_t *at;
    size_t n, capacity;
};

/** The id of a thing in the run at hand. */
uint32_t oracle_id(const struct oracle *oracle, uint32_t thing);

/** Add a record. */
void oracle_add_record(struct oracle_bytes *out, int64_t step, uint32_t thing, int kind,
    const void *payload, size_t n_payload);

/** Add the summary of a tensor. */
void oracle_add_summary(
    const struct oracle *oracle, struct oracle_bytes *out, uint32_t thing, int64_t step);

/** Add all that a step has. */
void oracle_add_step(const struct oracle *oracle, struct oracle_bytes *out, int64_t step);

/** Columns of a series as the daemon cuts them; the caller frees. */
struct wire_column *oracle_cut(const struct oracle *oracle, const Baro__SeriesRef *ref,
    int unit, const struct column_cut *cut);

/** Give a keeper an answer. */
void oracle_send(struct keeper *keeper, Baro__Envelope *envelope, uint64_t request,
    const struct keeper_frame *frames, size_t n);

/** Answer a question for a choice of units. */
void oracle_answer_sample(
    struct oracle *oracle, struct keeper *keeper, const Baro__SampleRequest *request);

#endif
