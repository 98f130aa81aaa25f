/* SPDX-License-Identifier: Apache-2.0 */
/* Axes: how values become positions on a chart (linear, log, symlog). */
#ifndef BARO_AXIS_H
#define BARO_AXIS_H

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

/** Log base 10 of a positive finite number: the same bits on every machine. */
double axis_log10(double value);

/** A value in the space in which the axis is even; -Inf for values a log cannot show. */
double axis_transform(const struct axis *axis, double value);

/** Position of a value: 0 at lo, 1 at hi, beyond outside; -Inf for values a log cannot show. */
double axis_place(const struct axis *axis, double value);

/** The value at a position: inverse of axis_place. */
double axis_value(const struct axis *axis, double place);

#endif
