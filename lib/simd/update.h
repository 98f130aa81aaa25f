/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one step of an optimiser did to a weight: the statistics of after - before, how large
 * that is beside the weight, and by what angle each unit turned. Used by libbaro on the training
 * thread: no allocation, no lock, no system call.
 */
#ifndef BARO_UPDATE_H
#define BARO_UPDATE_H

#include "lib/simd/summarise.h"

/* What one pass over both arrays tells. */
struct baro_update_summary {
    struct baro_summary
        delta;    /* of after - before, as its elements come out in their type */
    double ratio; /* |after - before| / |before|; see baro_summarise_update */
};

/* Statistics of each unit, as columns of n_units floats; none may be NULL. */
struct baro_update_units {
    struct baro_unit_stats delta;
    float *change; /* 1 - cos(before, after), 0 to 2 */
};

/**
 * Summarise the difference of two tensors in one pass.
 *
 * Ratio and change are of the elements that are finite in both, and NaN where there is none.
 * The ratio is 0 when nothing changed (0/0 included) and infinite when something came out of
 * nothing. The change is 0 when nothing changed, and 1 when a unit came out of nothing or went to
 * nothing: a zero has no direction, and the new one shares nothing with it.
 *
 * before, after  same type and shape; strides may differ
 * axis      of the units; BARO_NO_UNITS for none, then out_units is not touched
 * out_hist  of the differences; exact to 65,536 elements, an even sample of 1 in 16 above
 * returns   0; BARO_EUNSUPPORTED for anything but f32, f64, f16 and bf16; BARO_EINVAL when type or
 *           shape differ or the axis is out of range
 * cost      one read of each; no allocation; under 160 KiB of stack
 * thread    any
 */
int baro_summarise_update(const struct baro_span *before, const struct baro_span *after,
    int axis, struct baro_update_summary *out_summary, struct baro_hist *out_hist,
    const struct baro_update_units *out_units);

#endif
