/* SPDX-License-Identifier: Apache-2.0 */
/* Turning tails into chunks, a step at a time. Private to daemon/store; used by work.c. */
#ifndef BARO_STORE_SEAL_H
#define BARO_STORE_SEAL_H

#include "daemon/store/internal.h"

/**
 * Find the run whose tail is to be sealed next: it is large, or there is no room, or the run is
 * quiet. NULL: none.
 *
 * out_is_last  as seal_step wants it
 */
struct tail_run *seal_pick(const struct store *store, bool *out_is_last);

/** Tell whether tails are so large that sealing should go before commits. */
bool seal_is_behind(const struct store *store);

/**
 * Seal the next groups of a run, in one transaction; run->sweep_end is 0 when that was the last.
 *
 * is_last  nothing will come behind these rows soon: small chunks are merged with them
 * returns  0; BARO_EFULL, BARO_EIO: nothing is changed
 */
int seal_step(
    struct store *store, struct tail_run *run, bool is_last, struct baro_err *err);

#endif
