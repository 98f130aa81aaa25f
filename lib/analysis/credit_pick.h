/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of operations that choose elements by indices: embedding, gather, index and their like. */
#ifndef BARO_CREDIT_PICK_H
#define BARO_CREDIT_PICK_H

#include "lib/analysis/credit_op.h"

/** Value mode: shares go to the chosen elements; those of an embedding to its indices. */
int credit_pick_value(const struct credit_io *io);

/** Gradient mode: vector-Jacobian product. */
int credit_pick_gradient(const struct credit_io *io);

/** Change mode: what the chosen elements did, and what other indices did. */
int credit_pick_change(const struct credit_io *io);

/** Gradient mode: Jacobian-vector product. */
int credit_pick_forward(const struct credit_io *io);

/** Writing at indices (index_put, scatter): all modes but change, and the way forward. */
int credit_put_back(const struct credit_io *io);

/** Likewise, of changes; indices must be the same in both steps. */
int credit_put_change(const struct credit_io *io);

/** Likewise, from target to loss. */
int credit_put_forward(const struct credit_io *io);

#endif
