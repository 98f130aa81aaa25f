/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has chunks brought in before they are looked at, so that a reader waits for the disk once and
 * not once for each. Private to daemon/store.
 */
#ifndef BARO_STORE_READ_AHEAD_H
#define BARO_STORE_READ_AHEAD_H

#include "daemon/store/strand.h"

enum { READ_AHEAD_RANGES = 64 };

/* Rows of a group that will be looked at: some stretches, rising. Zero is empty. */
struct read_ahead {
    size_t n;
    struct {
        uint64_t from;
        uint64_t end;
    } ranges[READ_AHEAD_RANGES];
};

/** Add rows [from, end), behind those that are there; what is too much is left out. */
void read_ahead_add(struct read_ahead *ahead, uint64_t from, uint64_t end);

/**
 * Have the chunks of a strand that stand for these rows brought in, some MiB of them at most. It
 * does not wait, and tells no failure: whoever looks at them does both.
 *
 * is_next  they are looked at right now: a chunk that is alone is not worth a call
 */
void read_ahead_start(struct store *store, const struct strand_id *id,
    const struct read_ahead *ahead, bool is_next);

#endif
