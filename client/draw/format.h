/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, steps, times and sizes as short text that a person reads at a glance. */
#ifndef CLIENT_DRAW_FORMAT_H
#define CLIENT_DRAW_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { FORMAT_MAX = 40 }; /* room that every function here needs at most */

/* All write at most FORMAT_MAX bytes into out, NUL-terminated, and return out. */

/** Four significant digits: 0.0123, 1.234 k, 3.4 M, 1.2e-7, NaN, +Inf, -Inf. */
char *format_value(char out[FORMAT_MAX], double value);

/** All digits that tell a float32 from its neighbours: 0.012345678, 1e-7. */
char *format_exact(char out[FORMAT_MAX], double value);

/** A whole number with separators: 24,397. */
char *format_count(char out[FORMAT_MAX], int64_t n);

/** Bytes: 812 B, 64 MiB. */
char *format_bytes(char out[FORMAT_MAX], uint64_t bytes);

/** A span of time: 340 us, 12 ms, 4.2 s, 2 min 10 s, 3 h 05 min, 4 d 2 h. */
char *format_duration(char out[FORMAT_MAX], int64_t ns);

/** Local time of day: 14:05, with seconds 14:05:09. */
char *format_clock(char out[FORMAT_MAX], int64_t wall_ns, int with_seconds);

/**
 * A tick label: as few digits as tell the ticks apart.
 *
 * step     distance to the next tick (0 = unknown)
 */
char *format_tick(char out[FORMAT_MAX], double value, double step);

#endif
