/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time for calls that are shorter than a look at the system's clock: the CPU's counter, put on
 * the scale of the system's clocks every 10 ms. Where the counter cannot be trusted (other CPUs,
 * a kernel that does not use it itself) these functions are the system's clocks.
 *
 * ticks_now_ns() runs with baro_now_ns() to within some microseconds, and never goes back but
 * when more than that is wrong. ticks_wall_ns() goes back only when somebody sets the clock.
 */
#ifndef BARO_TICKS_H
#define BARO_TICKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The scale between two looks at the system's clocks. Zeroed: none yet. */
struct ticks_scale {
    uint64_t at;     /* counter when the clocks were read */
    uint64_t ns;     /* monotonic time then */
    uint64_t rate;   /* nanoseconds a tick, times 2^32 */
    uint64_t holds;  /* ticks from `at` on that the scale is good for; 0: none */
    int64_t wall_ns; /* wall time less monotonic time */
    /* Not needed to read: the rate as measured, 0: not yet, and from where on. */
    uint64_t true_rate;
    uint64_t base_at;
    uint64_t base_ns;
};

/**
 * Put the scale on a new reading of the clocks. Pure: for ticks.c and its test.
 *
 * at, ns    the counter and monotonic time, taken at one moment
 * wall_ns   wall time less monotonic time, now
 */
void ticks_rescale(struct ticks_scale *scale, uint64_t at, uint64_t ns, int64_t wall_ns);

/** Read a scale; 0 when it does not reach so far and the clocks must be looked at. Pure. */
static inline uint64_t ticks_read(const struct ticks_scale *scale, uint64_t at)
{
    const uint64_t since = at - scale->at;
    return since < scale->holds ? scale->ns + (since * scale->rate >> 32) : 0;
}

/** Monotonic time in nanoseconds; never 0. Any thread, also in a signal handler. */
uint64_t ticks_now_ns(void);

/** Wall time of a moment that ticks_now_ns() gave just now. Any thread. */
int64_t ticks_wall_ns(uint64_t now_ns);

#endif
