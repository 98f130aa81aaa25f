/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiers: levels of summaries (summary.h) of a group's rows, each about eight times coarser than
 * the one below, built in the background from rows that are in chunks. Private to daemon/store.
 */
#ifndef BARO_STORE_TIERS_H
#define BARO_STORE_TIERS_H

#include "daemon/store/internal.h"

/* How much a summary stands for, and when it is made. The store on disk does not depend on it. */
struct tiers_sizes {
    uint32_t narrow_rows;  /* of one summary of level 1, about */
    uint32_t narrow_first; /* rows that are worth summarising, ... */
    uint32_t narrow_next;  /* ... and summaries */
    uint32_t wide_rows;    /* likewise of groups that have parts; ... */
    uint32_t wide_first;   /* ... but counted in summaries of level 1 */
    uint32_t wide_next;
    uint32_t fan_out; /* summaries that one of the next level stands for, about */
};

/** Tell how much summaries stand for; what is changed counts from the next step on. */
struct tiers_sizes *tiers_sizes(struct store *store);

/**
 * Build summaries that are due, of some groups, in one transaction.
 *
 * thread   the writing thread, with no transaction open
 * returns  1 when it did something, 0 when none are due; BARO_EFULL, BARO_EIO: nothing is changed
 * cost     decodes some megabytes at most, but for one group's first few very long rows
 */
int tiers_step(struct store *store, struct baro_err *err);

/** Forget which groups may be due, at close. */
void tiers_finish(struct store *store);

/** Forget the groups of a run, which is about to go from memory. The writing thread. */
void tiers_forget_run(struct store *store, uint32_t run);

/** Tell that a group has more rows in chunks now: summaries may be due. The writing thread. */
void tiers_note(struct store *store, struct tail_group *group);

/**
 * Summarise all rows of a group that are in chunks before a row, however few.
 *
 * thread   the writing thread, with no transaction open
 * returns  0; BARO_ECORRUPT when some cannot be read; BARO_EFULL, BARO_EIO
 */
int tiers_cover(
    struct store *store, struct tail_group *group, uint64_t row, struct baro_err *err);

#endif
