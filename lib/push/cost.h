/* SPDX-License-Identifier: Apache-2.0 */
/* What measuring one thing is expected to cost, learnt from what it has cost. */
#ifndef BARO_COST_H
#define BARO_COST_H

#include <stdbool.h>
#include <stdint.h>

enum { COST_MAX_TURNS = 16 };

/* Zeroed: nothing is known. Times in nanoseconds. */
struct cost {
    float whole_ns;  /* without unit statistics; 0: not known */
    float both_ns;   /* with them; 0: not known */
    float eagerness; /* 1 / cbrt(the mean of a measurement) */
    uint8_t turns;   /* units are to ride along in every so manieth measurement */
    bool has_leapt;  /* the last measurement was much dearer than expected */
};

/** Take in what a measurement took. */
void cost_learn(struct cost *cost, uint64_t ns, bool has_units);

/** Tell whether nothing is known. */
static inline bool cost_is_unknown(const struct cost *cost)
{
    return cost->turns == 0;
}

/** Give what a measurement without unit statistics costs. */
static inline float cost_bare(const struct cost *cost)
{
    return cost->whole_ns > 0 ? cost->whole_ns : cost->both_ns / 2;
}

/** Give what a measurement with all that there is costs. */
static inline float cost_full(const struct cost *cost)
{
    return cost->both_ns > cost->whole_ns ? cost->both_ns : cost->whole_ns;
}

#endif
