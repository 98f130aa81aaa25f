/* SPDX-License-Identifier: Apache-2.0 */
/* Windows along one axis: which input places an output place sees, and with what weight. */
#ifndef BARO_CREDIT_TAPS_H
#define BARO_CREDIT_TAPS_H

#include "lib/analysis/credit_op.h"

/* Weighted places of one axis: those of output o are [first[o], first[o + 1]). */
struct credit_taps {
    int64_t n_in;
    int64_t n_out;
    int64_t *first;
    int64_t *place;
    float *weight;
};

/**
 * Fill in the lists of one of an operation's axes, from its name and arguments.
 *
 * axis     of the n_axes at the end that it works on
 * taps     n_in and n_out are given
 */
void credit_taps_fill(
    const struct credit_io *io, int axis, int n_axes, struct credit_taps *taps);

/** Fill in those of an axis that is not there: one place sees one. */
void credit_taps_single(struct credit_taps *taps);

/** Free the lists. */
void credit_taps_free(struct credit_taps *taps);

#endif
