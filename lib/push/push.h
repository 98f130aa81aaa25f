/* SPDX-License-Identifier: Apache-2.0 */
/* What the push calls share: finding the tensor's thing, room for unit statistics, the ring. */
#ifndef BARO_PUSH_H
#define BARO_PUSH_H

#include "lib/base/ticks.h"
#include "lib/push/run.h"

/** End a push call: its time is the client's own. Returns rc. */
static inline int push_end(struct baro_run *run, uint64_t began_ns, int rc)
{
    atomic_fetch_add_explicit(
        &run->own_ns, ticks_now_ns() - began_ns, memory_order_relaxed);
    return rc;
}

/** What a record at the current step begins with. */
static inline struct record_header push_header(
    struct baro_run *run, uint64_t now_ns, enum reading_kind kind, uint32_t thing)
{
    return (struct record_header){
        .kind = (uint16_t)kind,
        .thing = thing,
        .step = atomic_load_explicit(&run->step, memory_order_relaxed),
        .time_ns = ticks_wall_ns(now_ns),
    };
}

/** Put a reading that is one number, as push_put() does. */
static inline int push_put_number(struct baro_run *run, uint64_t now_ns,
    enum reading_kind kind, uint32_t thing, double value)
{
    const struct record_header header = push_header(run, now_ns, kind, thing);
    return ringfile_put_number(run->ring, &header, value);
}

/**
 * Find or declare a thing; says once when no more fit.
 *
 * returns  codes of things_find
 */
int push_find(struct baro_run *run, const struct thing_wanted *wanted,
    const struct thing **out_thing);

/**
 * Put one reading at the current step.
 *
 * now_ns   when the call began
 * returns  codes of ringfile_put
 */
int push_put(struct baro_run *run, uint64_t now_ns, enum reading_kind kind, uint32_t thing,
    const struct ringfile_part *parts, int n_parts);

/** Say something about this run once: to the program, and in the record for who reads it later. */
void push_tell_once(struct baro_run *run, _Atomic bool *has_said, const char *text);

/** Check everything about a tensor but its data: 0; BARO_EUNSUPPORTED; BARO_EINVAL. */
int push_check_tensor(const struct baro_tensor *t);

/**
 * Find or declare the thing of a tensor; says once when no more fit. A single number and a tensor
 * of too many units have no units of their own.
 *
 * returns  0; BARO_EINVAL for an id that is none; codes of things_find
 */
int push_find_tensor(
    struct baro_run *run, const struct baro_tensor *t, const struct thing **out_thing);

/**
 * Take one of the places to summarise units in: RUN_SCRATCH_FLOATS floats.
 *
 * out_slot  for push_leave_scratch
 * returns   NULL when all stay busy
 */
float *push_take_scratch(struct baro_run *run, int *out_slot);

/** Give a place back. */
void push_leave_scratch(struct baro_run *run, int slot);

/** Tell whether a tensor has the units that its thing was declared with; if not, says so once. */
bool push_has_units(struct baro_run *run, const struct thing *thing,
    const struct baro_span *span, const struct baro_tensor *t);

#endif
