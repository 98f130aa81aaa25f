/* SPDX-License-Identifier: Apache-2.0 */
/* Copying elements out of a strided array: all of it, or some samples along an axis. */
#ifndef BARO_PROBE_ROWS_H
#define BARO_PROBE_ROWS_H

#include "lib/base/tensor.h"

/** Copy all elements, row-major. out: as many bytes as they take. */
void probe_copy_all(const struct baro_span *span, void *out);

/**
 * Copy those of some samples, row-major: of the axis, whose extent is a multiple k of n_batch, k
 * entries in a row for each of rows, in their order.
 *
 * out      shape with n_rows * k at the axis
 */
void probe_copy_rows(const struct baro_span *span, int axis, int64_t n_batch,
    const int64_t *rows, size_t n_rows, void *out);

#endif
