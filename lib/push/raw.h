/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors that go to the daemon whole, which summarises them: for thin clients. */
#ifndef BARO_RAW_H
#define BARO_RAW_H

#include "lib/push/run.h"

/**
 * Choose who summarises the tensors of a run: options, BARO_SUMMARISE, or this process.
 *
 * returns  0; BARO_EINVAL for a choice that does not exist, with a sentence
 */
int raw_choose(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err);

/**
 * Tell whether a tensor may go into the ring whole. If not, it is to be summarised here, which
 * is counted and said once: whole tensors give way before anything else does.
 */
bool raw_fits(
    struct baro_run *run, const struct thing *thing, const struct baro_span *span);

/**
 * Put a tensor that fits into the ring, at the current step.
 *
 * has_units  the daemon is to summarise its units, too
 * returns    codes of ringfile_put
 * cost       one copy
 */
int raw_put(struct baro_run *run, uint64_t now_ns, const struct thing *thing,
    const struct baro_span *span, bool has_units);

/** Say at the end of a run how many tensors were summarised here. */
void raw_close(struct baro_run *run);

#endif
