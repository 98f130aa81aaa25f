/* SPDX-License-Identifier: Apache-2.0 */
/* The words of alerts: what happened in one plain sentence, and what to try next. */
#ifndef BAROD_ALERT_TEXT_H
#define BAROD_ALERT_TEXT_H

#include "lib/analysis/detect.h"
#include "lib/analysis/detect_ranks.h"
#include "proto/barograph.pb-c.h"

/**
 * Give the module path of a thing: the name itself for what a module puts out or takes in, the
 * name without its last part for parameters, "" for scalars. The caller frees it.
 */
char *alert_module(const Baro__Declare *declare);

/** Tell whether all values of a tensor are bad: then its first unit and row mean nothing. */
bool alert_is_whole(const struct nonfinite_reading *reading);

/** Write text and advice of a non-finite value; replaces what was there. */
void alert_write_nonfinite(Baro__Alert *alert, const struct nonfinite_finding *finding,
    const Baro__Declare *declare);

/** Write text and advice of a loss spike. */
void alert_write_spike(Baro__Alert *alert, const struct spike_finding *finding);

/** Write text and advice of ranks that differ. */
void alert_write_ranks(Baro__Alert *alert, const struct ranks_finding *finding);

#endif
