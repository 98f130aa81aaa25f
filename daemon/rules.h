/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges new readings (lib/alarm) and keeps and tells what comes of it: alerts and incidents,
 * committed beside the reading that completed their step.
 */
#ifndef BAROD_RULES_H
#define BAROD_RULES_H

#include "daemon/barod.h"
#include "lib/analysis/judge.h"
#include "lib/base/reading.h"

/** Tell whether a run has several ranks, as far as is known. */
bool rules_has_ranks(const struct run *run);

/** Tell whether a scalar or summary is or holds a non-finite value. */
bool rules_is_nonfinite(const struct reading *reading);

/** Introduce a thing that a stream declared. */
void rules_on_declare(struct stream *stream, const struct thing *thing);

/** Feed one new reading; alerts go into the open bundle, beside their cause. */
void rules_on_reading(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading);

/** Tell the rules that a process is gone, stalls or is silent. */
void rules_on_trouble(struct barod *barod, struct stream *stream, enum judge_end why);

/**
 * Judge by another book from now on: what is known of each run is told, then its judges are made
 * anew, from the store, when its next reading comes.
 */
void rules_change(struct barod *barod, const struct rule_book *book);

/** Judge what has waited long enough for its step to end, and let judges go; once a second. */
void rules_tick(struct barod *barod);

/**
 * Feed a judge with what is stored of the last steps of its stream; rules_warm.c. What it finds in
 * it is passed over.
 *
 * cost     reads at most some 200,000 readings
 */
void rules_warm(struct barod *barod, struct stream *stream);

#endif
