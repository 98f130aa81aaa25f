/* SPDX-License-Identifier: Apache-2.0 */
/* What tiers are built from. Private to daemon/store; used by tiers.c on the writing thread. */
#ifndef BARO_STORE_TIERS_INPUT_H
#define BARO_STORE_TIERS_INPUT_H

#include "daemon/store/strand.h"

/**
 * Decode some columns of rows [from, to) of a group, whatever strands have them.
 *
 * first, n  columns, doubles first; whole parts where rows are in parts
 * out       reset; without extra bytes
 * returns   0; BARO_ECORRUPT when some are damaged or gone; BARO_EIO
 */
int tiers_rows(struct store *store, const struct tail_group *group, uint64_t from,
    uint64_t to, uint32_t first, uint32_t n, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err);

/**
 * Decode summaries of rows [from, to) out of a strand.
 *
 * io_to     the end wanted; less when there are more than max of them before
 * out       reset
 * returns   0; BARO_ECORRUPT when some are damaged or gone; BARO_EIO
 */
int tiers_summaries(struct store *store, const struct strand_id *id, uint64_t from,
    uint64_t *io_to, size_t max, struct chunk_codec *codec, struct columns *out,
    struct baro_err *err);

#endif
