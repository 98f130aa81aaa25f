/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows come one by one, arrays are written one column after the other: a spool holds rows of any
 * number meanwhile. Some hundreds at a time lie in memory, lane beside lane; full blocks go to a
 * nameless file, from which each lane is then read by itself.
 */
#ifndef BARO_TOOLS_SPOOL_H
#define BARO_TOOLS_SPOOL_H

#include "tools/out_file.h"

enum { SPOOL_MAX_LANES = 24 };

struct spool {
    struct out_file
        *out; /* beside which the nameless file lies; failures are noted there */
    size_t lanes[SPOOL_MAX_LANES];   /* bytes of a row in each */
    size_t offsets[SPOOL_MAX_LANES]; /* where a lane begins within a block */
    size_t n_lanes;
    size_t block_rows;
    size_t block_bytes;
    uint8_t *block;
    size_t room; /* of block */
    size_t n_in; /* rows in it */
    uint64_t n;  /* rows in all */
    int fd;      /* -1: not needed yet */
};

/** Begin; out is borrowed. */
void spool_init(struct spool *spool, struct out_file *out);

/**
 * Forget all rows and take others.
 *
 * lanes    bytes of a row in each of n_lanes lanes, none 0
 */
void spool_reset(struct spool *spool, const size_t *lanes, size_t n_lanes);

/** Give the place of the next row in a lane: lanes[lane] bytes. */
void *spool_place(struct spool *spool, size_t lane);

/** Keep what was put in the places of all lanes as one row. */
void spool_add(struct spool *spool);

typedef void (*spool_fn)(const void *bytes, size_t n_bytes, void *payload);

/** Give a lane of all rows, in order. */
void spool_each(struct spool *spool, size_t lane, spool_fn fn, void *payload);

/** Release. */
void spool_finish(struct spool *spool);

#endif
