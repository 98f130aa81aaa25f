/* SPDX-License-Identifier: Apache-2.0 */
/* What the index says of a group. Private to daemon/store. */
#ifndef BARO_STORE_RECORD_H
#define BARO_STORE_RECORD_H

#include <stdint.h>

enum {
    STORE_MAX_LEVELS = 8,    /* of summaries */
    RECORD_FIXED_BYTES = 80, /* on disk, before the two lists */
    RECORD_MAX_BYTES = RECORD_FIXED_BYTES + 8 * (2 * STORE_MAX_LEVELS + 1)
};

/* Little-endian on disk, where the lists have only n_levels and n_levels + 1 numbers. In memory
 * (tail_group.record) it is what is on disk, but for the two steps: those are of all rows. */
struct group_record {
    uint64_t check; /* XXH3-64 of the rest, on disk only */
    uint32_t n_f64;
    uint32_t n_f32;
    uint64_t n_rows; /* in chunks, those pruned included */
    int64_t first_step;
    int64_t last_step;
    uint64_t bytes;       /* of chunks of all strands */
    uint64_t parted_rows; /* rows before this one are in parts, not in part 0 */
    uint64_t
        tail_from; /* pieces of tail with smaller ordinals have no rows of it left ... */
    uint64_t tail_skip; /* ... and what that one has, but for its first so many, is left */
    uint32_t part_columns;              /* columns of a part; 0: no parts */
    uint32_t n_levels;                  /* of summaries that exist: levels 1 .. n_levels */
    uint64_t covered[STORE_MAX_LEVELS]; /* level k + 1 covers the rows before this one */
    uint64_t
        pruned[STORE_MAX_LEVELS + 1]; /* level k: what covered the rows before is gone */
};

#endif
