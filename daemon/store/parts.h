/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing the older rows of wide groups into the other order. Private to daemon/store. */
#ifndef BARO_STORE_PARTS_H
#define BARO_STORE_PARTS_H

#include "daemon/store/internal.h"

/** Tell how many columns a part of a wide group has, or will have. */
uint32_t parts_columns(const struct store *store, const struct group_record *record);

/**
 * Note that a group has more rows in chunks than before. The writing thread.
 *
 * is_last  nothing will come behind them soon
 */
void parts_note(struct store *store, struct tail_group *group, bool is_last);

/** Forget the groups of a run, which is about to go from memory. The writing thread. */
void parts_forget_run(struct store *store, uint32_t run);

/**
 * Rewrite the next columns of the next rows of a wide group that has enough of them.
 *
 * thread   the writing thread, with no transaction open
 * returns  1 when it did something; 0 when there was nothing to do; BARO_EFULL, BARO_EIO:
 *          nothing is changed
 */
int parts_step(struct store *store, struct baro_err *err);

#endif
