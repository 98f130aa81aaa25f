/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The governor: which tensors a step may measure, so that measuring takes no more than its share
 * of the time. Pure: it reads no clock and does no I/O; see governor.c for how it decides.
 */
#ifndef BARO_GOVERNOR_H
#define BARO_GOVERNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct governor;

/* What a measurement held, for governor_book(). */
enum governor_marks { GOVERNOR_MEASURED = 1, GOVERNOR_UNITS = 2 };

/* How the account stands, for tests and for those who wonder; times in nanoseconds. */
struct governor_state {
    double credit_ns;  /* may be spent now */
    double loan_ns;    /* spent on purpose or by surprise, to be paid back */
    double arrears_ns; /* spent by those who did not ask, to be paid back */
    double income_ns;  /* of a turn, on average */
    double whole_ns;   /* what all that is asked for would cost in this turn */
    uint32_t n_governed;
    uint32_t n_due; /* in this turn */
    uint32_t turn;
};

/**
 * Make a governor.
 *
 * max_id   largest id that it can know; memory is touched only for ids in use
 * share    of the time, above 0 and at most 1
 * returns  NULL without memory
 */
struct governor *governor_create(uint32_t max_id, double share, uint64_t now_ns);

/** Free; accepts NULL. */
void governor_destroy(struct governor *governor);

/** Begin a turn, which is a step of the training: what is due may be another set now. Any thread. */
void governor_begin_turn(struct governor *governor);

/** Tell the number of the turn, from 1. Any thread. */
uint32_t governor_turn(const struct governor *governor);

/**
 * Book what measuring a thing took; several times a turn add up.
 *
 * marks    of enum governor_marks; 0: something that belongs to it, like a copy
 * thread   any; no lock
 */
void governor_book(struct governor *governor, uint32_t id, uint64_t ns, unsigned marks);

/**
 * Choose what is due in this turn; a second question in one turn gets the same answer.
 *
 * now_ns      monotonic
 * own_ns      all time spent so far, booked for a thing or not; never falls
 * out_is_due  n bytes; ids that cannot be are never due
 * returns     how many are due; BARO_EBUSY, with none due, when other threads asked for long
 * thread      any
 * cost        O(n), some nanoseconds each where something may be due, one where nothing can be;
 *             at most O(things that are asked for) once a turn
 */
int64_t governor_due(struct governor *governor, uint64_t now_ns, uint64_t own_ns,
    const uint32_t *ids, size_t n, uint8_t *out_is_due);

/** Tell whether a measurement of this turn should hold unit statistics, too. Any thread. */
bool governor_wants_units(const struct governor *governor, uint32_t id);

/** Have everything due in at least the next n_turns turns; 0: no longer. Any thread. */
void governor_trouble(struct governor *governor, uint32_t n_turns);

/** Have one thing due in each of the next n_turns turns. Any thread. */
void governor_attend(struct governor *governor, uint32_t id, uint32_t n_turns);

/**
 * Tell whether those who do not ask may go on: their arrears were small at the last question.
 * Any thread; no lock.
 */
bool governor_has_spare(const struct governor *governor);

/** Read how the account stands as of the last question. */
void governor_read(struct governor *governor, struct governor_state *out_state);

#endif
