/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about series as arrays of steps and values, for baro, the viewer and tests. */
#ifndef BARO_WIRE_READINGS_H
#define BARO_WIRE_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Take every reading of an answer, but for those whose step is not after the one before.
 *
 * bytes                  a frame of a RangeReply that was asked for without columns
 * out_steps, out_values  new, the caller frees both
 * returns                how many there are
 */
size_t wire_take_points(
    const void *bytes, size_t n_bytes, int64_t **out_steps, double **out_values);

/**
 * Take one number for each column that has readings: its largest, or its mean.
 *
 * bytes    a frame of a RangeReply that was asked for with columns
 * is_size  take the largest
 * returns  as wire_take_points()
 */
size_t wire_take_columns(const void *bytes, size_t n_bytes, bool is_size,
    int64_t **out_steps, double **out_values);

#endif
