/* SPDX-License-Identifier: Apache-2.0 */
/* The tensor that baro sample is asked of. */
#ifndef BARO_SAMPLE_FIND_H
#define BARO_SAMPLE_FIND_H

#include "tools/series.h"

/**
 * Find the tensor that a text names: NAME:ROLE, with #2 behind it for its second epoch, @1 for
 * rank 1; without an epoch the newest.
 *
 * out_is_epoch  whether the text names an epoch
 * returns       NULL after saying what is wrong, also when it has no units
 */
const Baro__ThingInfo *sample_find_tensor(
    const struct thing_list *things, const char *text, bool *out_is_epoch);

/** Find the statistic of a tensor's units; negative after saying which there are. */
int sample_find_stat(const Baro__ThingInfo *thing, const char *name);

/** Give the newest epoch of a tensor: itself, if there is none behind it. */
const Baro__ThingInfo *sample_newest(
    const struct thing_list *things, const Baro__ThingInfo *thing);

#endif
