/* SPDX-License-Identifier: Apache-2.0 */
/* How far lines lie from each other on a chart: which of them can be told apart by the eye. */
#ifndef CLIENT_MODEL_APART_H
#define CLIENT_MODEL_APART_H

#include "client/model/model.h"

/**
 * Measure the distance of each line to the nearest other one, on average over its steps.
 *
 * rows     lines
 * y        axis of the chart
 * height   of its plot in pixels
 * out      rows->n_units, pixels; 0 where a line has no reading, the height where it is alone
 * cost     n_units^2 x 48
 */
void apart_measure(
    const struct model_units *rows, const struct axis *y, float height, float *out);

#endif
