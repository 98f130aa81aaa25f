/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/cost.h"

#include <math.h>

/* One slow measurement (the process was not running, a page was not there) must not pass for a new
 * normal; two in a row do. */
static float follow(struct cost *cost, float expected, float found)
{
    bool is_leap = expected > 0 && found > 4 * expected;
    bool was_leap = cost->has_leapt;
    cost->has_leapt = is_leap;
    if (expected <= 0 || (is_leap && was_leap)) {
        return found;
    }
    return is_leap ? 4 * expected : expected + 0.5F * (found - expected);
}

void cost_learn(struct cost *cost, uint64_t ns, bool has_units)
{
    float *expected = has_units ? &cost->both_ns : &cost->whole_ns;
    *expected = follow(cost, *expected, ns > 0 ? (float)ns : 1.0F);
    float whole = cost_bare(cost);
    float units = cost_full(cost) - whole;
    unsigned turns = 1;
    while (turns < COST_MAX_TURNS && 2 * units > (float)(turns * turns) * whole) {
        turns *= 2;
    }
    cost->turns = (uint8_t)turns;
    cost->eagerness = 1 / cbrtf(whole + units / (float)turns);
}
