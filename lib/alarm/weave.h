/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored readings come series by series; a judge wants them step by step. A weave takes them in any
 * order of series and gives them back in the order in which a process would have told them.
 *
 * Rows of the run itself (steps, batches, events) do not say whose they are. In a run of several
 * ranks the daemon keeps a READING_RANK beside each of them since it does so; a weave that is
 * given those finds each row's rank. Rows from before have WEAVE_ANY_RANK.
 */
#ifndef BARO_WEAVE_H
#define BARO_WEAVE_H

#include "lib/base/reading.h"

struct weave;

enum { WEAVE_ANY_RANK = -1 };

/** Make an empty weave. */
struct weave *weave_create(void);

/** Free it; accepts NULL. */
void weave_destroy(struct weave *weave);

/** Forget all readings; its memory is kept. */
void weave_clear(struct weave *weave);

/**
 * Add a reading; copied.
 *
 * reading  of one thing and kind in order of arrival; its header has step, time and kind
 * thing    its id in the run
 * rank     whose it is; WEAVE_ANY_RANK: what READING_RANK says
 */
void weave_add(
    struct weave *weave, const struct reading *reading, uint32_t thing, int64_t rank);

/** Tell the bytes that it holds. */
size_t weave_bytes(const struct weave *weave);

/** Tell how many readings it holds. */
size_t weave_count(const struct weave *weave);

/* Take one reading of a rank, or of WEAVE_ANY_RANK; return 0 to go on. */
typedef int (*weave_fn)(
    const struct reading *reading, uint32_t thing, int64_t rank, void *payload);

/**
 * Give all readings: by step, where steps go back in the order of time; in a step first that it
 * began, then batch and events, then things by rising id, at last that the run ended. What
 * READING_RANK says is used, not given.
 *
 * returns  0, or what fn returned first that is not 0
 */
int weave_each(struct weave *weave, weave_fn fn, void *payload);

#endif
