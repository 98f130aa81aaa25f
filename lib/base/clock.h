/* SPDX-License-Identifier: Apache-2.0 */
/* Time: monotonic for intervals, wall time only for display and for readings' stamps. */
#ifndef BARO_CLOCK_H
#define BARO_CLOCK_H

#include <stdint.h>

/** Monotonic time in nanoseconds; never 0, never goes back. Any thread. */
uint64_t baro_now_ns(void);

/** Wall time in nanoseconds since 1970-01-01 UTC. Any thread. */
int64_t baro_wall_ns(void);

#endif
