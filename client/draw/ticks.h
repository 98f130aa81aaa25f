/* SPDX-License-Identifier: Apache-2.0 */
/* Axes: transforms (linear, log, symlog), and ticks in 1-2-5 steps with their labels. */
#ifndef CLIENT_DRAW_TICKS_H
#define CLIENT_DRAW_TICKS_H

#include <stdbool.h>

#include "client/draw/format.h"

enum { TICKS_MAX = 10, TICKS_MINOR_MAX = 64 };

/* How values become positions. */
enum axis_kind {
    AXIS_LINEAR,
    AXIS_LOG,    /* values <= 0 have no place: drawn as clipped below */
    AXIS_SYMLOG, /* linear around 0, log by decade outside */
};

/* What the numbers of an axis mean: decides tick steps and labels. */
enum axis_unit {
    AXIS_NUMBER,
    AXIS_STEP,    /* whole training steps, with thousands separators */
    AXIS_CLOCK,   /* wall time in seconds since 1970, shown as local time of day */
    AXIS_ELAPSED, /* seconds since the start, shown as +2 h 10 */
};

/* An axis: lo < hi. Open struct, a value. */
struct axis {
    enum axis_kind kind;
    enum axis_unit unit;
    double lo, hi;
    double linear_to; /* symlog: |v| up to which it is near linear; > 0 */
};

/* Ticks inside [lo, hi], rising. */
struct ticks {
    int n, n_minor;
    double at[TICKS_MAX];
    char label[TICKS_MAX][FORMAT_MAX];
    double minor[TICKS_MINOR_MAX]; /* faint lines without labels: log axes */
    char base[FORMAT_MAX];         /* not "": labels are differences to this value */
};

/** Log base 10 of a positive finite number: the same bits on every machine. */
double axis_log10(double value);

/** A value in the space in which the axis is even; -Inf for values a log cannot show. */
double axis_transform(const struct axis *axis, double value);

/** Position of a value: 0 at lo, 1 at hi, beyond outside; -Inf for values a log cannot show. */
double axis_place(const struct axis *axis, double value);

/** The value at a position: inverse of axis_place. */
double axis_value(const struct axis *axis, double place);

/**
 * Choose ticks: 3 to max_n of them (max_n 2 to 7) in 1-2-5 steps, decades on log axes.
 *
 * axis     lo < hi, both finite; log axes with lo > 0
 */
void ticks_choose(const struct axis *axis, int max_n, struct ticks *out);

#endif
