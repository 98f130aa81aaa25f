/* SPDX-License-Identifier: Apache-2.0 */
/* The sums of one unit, and what becomes of them: shared by units.c and both.c. */
#ifndef BARO_UNIT_SUMS_H
#define BARO_UNIT_SUMS_H

#include "lib/simd/kernel.h"

struct baro_unit_sums {
    double sum;
    double sq;
    double abs_max;
    uint64_t n_finite;
    uint64_t n_zero;
};

/** Add elements by the wide kernel: for those that f32 does not do for. */
void baro_unit_add(const struct baro_kernels *kernels, enum baro_lane lane, const void *run,
    size_t n, struct baro_unit_sums *s);

/**
 * Write what is known of a unit.
 *
 * count   elements of a unit, repeats not counted
 * repeat  how often each stands in the tensor
 */
void baro_unit_put(const struct baro_unit_stats *out, int64_t unit,
    const struct baro_unit_sums *s, double count, double repeat);

/** Clear as many columns as kernels go by: twenty kilobytes are much for a bias of 64 units. */
void baro_columns_clear(struct baro_columns *cols, size_t n_cols);

#endif
