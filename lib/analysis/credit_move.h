/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that only move elements: which input element an output element is. */
#ifndef BARO_CREDIT_MOVE_H
#define BARO_CREDIT_MOVE_H

#include "lib/analysis/credit_op.h"

/**
 * Add elements where they come from or go to.
 *
 * is_forward  tangent_in is added to tangent_out; else of_out to of_in
 * returns     0; BARO_EUNSUPPORTED
 */
int credit_move(const struct credit_io *io, bool is_forward);

#endif
