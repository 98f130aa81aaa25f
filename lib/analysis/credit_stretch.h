/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations whose outputs are stretches of their inputs along one axis, or the other way round. All
 * return 0 or BARO_EUNSUPPORTED.
 */
#ifndef BARO_CREDIT_STRETCH_H
#define BARO_CREDIT_STRETCH_H

#include "lib/analysis/credit_loops.h"

/** slice, narrow: places from, from + step, ... of one axis. */
int credit_stretch_slice(const struct credit_mover *mover);

/** select: one place of an axis, which goes. */
int credit_stretch_select(const struct credit_mover *mover);

/** unbind: each place of an axis is an output. */
int credit_stretch_unbind(const struct credit_mover *mover);

/** split, chunk: outputs that nobody has still take their place. */
int credit_stretch_split(const struct credit_mover *mover);

/** cat: inputs one after another along an axis. */
int credit_stretch_cat(const struct credit_mover *mover);

/** stack: each input is a place of a new axis. */
int credit_stretch_stack(const struct credit_mover *mover);

/** roll: what is pushed out at one end of an axis comes in at the other. */
int credit_stretch_roll(const struct credit_mover *mover);

#endif
