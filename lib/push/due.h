/* SPDX-License-Identifier: Apache-2.0 */
/* A run's governor as the push calls see it: what they cost is booked, and told as series. */
#ifndef BARO_DUE_H
#define BARO_DUE_H

#include "lib/push/governor.h"
#include "lib/push/run.h"

/**
 * Choose the budget of a run and make its governor.
 *
 * returns  0; BARO_EINVAL for a budget that is no share, with a sentence; BARO_ENOMEM
 */
int due_open(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err);

/** A step has begun: a new turn, and once a second the client's own figures. */
void due_on_step(struct baro_run *run, uint64_t now_ns);

/**
 * The daemon has seen something: have things measured at each step for a while.
 *
 * everything_steps  for so many steps everything; 0: no
 * thread            any
 */
void due_on_attention(struct baro_run *run, const uint32_t *ids, size_t n, uint32_t n_steps,
    uint32_t everything_steps);

/**
 * Tell whether a tensor's measurement should hold unit statistics: yes, unless its caller asked
 * baro_due() and they are too dear for every time.
 *
 * id       as the caller gave it: that is what is asked for
 */
static inline bool due_wants_units(const struct baro_run *run, uint32_t id)
{
    return governor_wants_units(run->governor, id);
}

/**
 * Book what a push call spent on one tensor; the time counts in run->own_ns all the same.
 *
 * has_units  whether unit statistics were computed
 */
static inline void due_book(struct baro_run *run, uint32_t id, uint64_t ns, bool has_units)
{
    governor_book(
        run->governor, id, ns, GOVERNOR_MEASURED | (has_units ? GOVERNOR_UNITS : 0U));
}

#endif
