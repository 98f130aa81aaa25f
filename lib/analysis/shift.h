/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Since when is a series no longer what it was? The place where it left its usual course before it
 * came to where it is at its end: at once, from one level to another, or by drifting. For
 * `baro why`, over stored readings; pure.
 */
#ifndef BARO_SHIFT_H
#define BARO_SHIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHIFT_MAX_READINGS = 1 << 16, SHIFT_LEAST_READINGS = 8 };

enum shift_kind {
    SHIFT_NONE = 0, /* it is what it was */
    SHIFT_STEADY,   /* it has gone the same way since its first reading */
    SHIFT_LEVEL,    /* from one level to another */
    SHIFT_RAMP,     /* it began to drift, or to drift faster */
    SHIFT_LEAP,     /* its last reading is out of the way, those before are not */
    SHIFT_KIND_END
};

/* What became of a series. */
struct shift {
    enum shift_kind kind;
    size_t place; /* of the first reading after the change; 0 of NONE and STEADY */
    int64_t step; /* of that reading */
    double
        before; /* median of the readings, at most 64, before place; of STEADY the first */
    double after; /* median of the last 3; of a LEAP the last one */
    double
        spread; /* deviation of a reading from its neighbours', robust; in units of the series */
    double score; /* |after - before| in spreads, on the scale on which it was looked at */
    double
        late; /* share of the way made in the last third of the time since; 1 of a LEAP */
    bool is_log; /* it was looked at on a logarithmic scale */
};

/**
 * Find what became of a series; of several changes the last one that made at least half of the way.
 *
 * steps    rising
 * values   those that are not finite are passed over
 * n        at most SHIFT_MAX_READINGS; the newest are looked at when there are more
 * returns  whether there were SHIFT_LEAST_READINGS finite ones; else *out says NONE
 * cost     O(n log n) time, 80 bytes a reading
 */
bool shift_find(const int64_t *steps, const double *values, size_t n, struct shift *out);

/** Name a kind: "none", "steady", "level", "ramp", "leap"; "?" otherwise. */
const char *shift_kind_name(enum shift_kind kind);

/* One way to tell a series in a few numbers, as shift_fit() finds it. */
struct shift_course {
    size_t place; /* where it changes */
    double sse;   /* sum of squared distances from it */
    double slope_before, slope_after;
    double level_before, level_after; /* right before and right at place */
};

/* Which courses there are. */
enum shift_model {
    SHIFT_MODEL_FLAT = 0, /* a */
    SHIFT_MODEL_LINE,     /* a + b t */
    SHIFT_MODEL_TWO,      /* a1, then a2 */
    SHIFT_MODEL_HINGE,    /* a, then a + b (t - t0) */
    SHIFT_MODEL_BEND,     /* a + b t, then a + b t + c (t - t0) */
    SHIFT_MODEL_COUNT
};

/**
 * Fit a course by least squares, at its best place; a part of shift_find(), for tests.
 *
 * t, y     n numbers, t rising
 * cost     O(n): each place takes constant time, from sums of what lies behind it
 */
void shift_fit(enum shift_model model, const double *t, const double *y, size_t n,
    struct shift_course *out);

#endif
