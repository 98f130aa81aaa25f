/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge over the ranks of one run: what only shows when processes are compared. It takes the
 * same readings as the judge of each process (judge.h), of which it looks at READING_STEP and at
 * scalars named "replicated/...", and gives the same findings. Used by the alarm, live and in replay.
 *
 * A step is looked at when all ranks that have spoken and not left have begun the second step after
 * it; then everything is compared in the order of things and ranks, so that nothing depends on how the
 * processes' readings were interleaved. A rank that joins later is compared with what the others said
 * up to RANKS_STEPS readings before.
 *
 * Its rules are in the table, with rows that do no more than name them: ranks_differ, straggler.
 */
#ifndef BARO_JUDGE_RUN_H
#define BARO_JUDGE_RUN_H

#include "lib/analysis/judge.h"

struct judge_run;

enum {
    JUDGE_RUN_MAX_RANKS = 4096,     /* others are not compared */
    JUDGE_RUN_MAX_WAIT = 1 << 14,   /* readings that wait for a rank that has not spoken */
    JUDGE_RUN_MAX_PENDING = 1 << 18 /* readings that wait for other ranks */
};

/** Make one for a run. book: borrowed until judge_run_destroy, not to be changed meanwhile. */
struct judge_run *judge_run_create(const struct rule_book *book);

/** Free it; accepts NULL. */
void judge_run_destroy(struct judge_run *run);

/**
 * Say how many ranks are to come, before the first reading: nothing is compared until they have all
 * spoken, so that it does not matter which comes first; unless one is missing after
 * JUDGE_RUN_MAX_WAIT readings of the others.
 */
void judge_run_expect(struct judge_run *run, uint32_t n_ranks);

/**
 * Introduce a thing of a rank, before its first reading. Only scalars named "replicated/..." are
 * kept; all others may be left out.
 *
 * id       in the run
 * name     copied
 */
void judge_run_declare(struct judge_run *run, uint32_t rank, uint32_t id, const char *name);

/**
 * Feed one reading of a rank, in the order of its process. What is not looked at may be left out.
 *
 * number   of the rank
 * thing    its id in the run, 0 for READING_STEP
 */
void judge_run_reading(
    struct judge_run *run, uint32_t number, const struct reading *reading, uint32_t thing);

/** Say that a rank's process has ended: the others are waited for no longer on its account. */
void judge_run_leave(struct judge_run *run, uint32_t number);

/**
 * Take the next finding.
 *
 * out_rank  the rank that it is about: the slow one, or the second of two that differ
 * returns   false when there is none; then the outputs are untouched
 */
bool judge_run_take(
    struct judge_run *run, struct judge_finding *out_finding, uint32_t *out_rank);

/** Tell the memory that it holds, in bytes. */
size_t judge_run_memory(const struct judge_run *run);

#endif
