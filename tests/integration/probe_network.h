/* SPDX-License-Identifier: Apache-2.0 */
/* A probe of a small network, for tests of what reads probes: loss = mean(relu(x W' + b)). */
#ifndef BARO_PROBE_NETWORK_H
#define BARO_PROBE_NETWORK_H

#include "lib/push/baro.h"

/**
 * Push it: 4 samples of 3 inputs, of which samples 0 and 2 and all weights are kept. With reason 3
 * an exp() comes before the mean, which overflows for unit 1 of sample 2.
 *
 * scale    of the inputs
 * returns  what baro_probe_end() gave
 */
int push_network(struct baro_run *run, int64_t step, int reason, double scale);

#endif
