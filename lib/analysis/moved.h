/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which units of all layers moved most at a step, and which did so at each of several steps:
 * DeepTracker's "top kernels" and their intersection.
 */
#ifndef BARO_MOVED_H
#define BARO_MOVED_H

#include <stddef.h>
#include <stdint.h>

enum { MOVED_MOST = 256 };

struct moved_unit {
    uint32_t thing, unit;
    float value; /* how far it moved */
};

/* The MOVED_MOST units with the largest values, largest first; of equals the lower thing and unit
 * first. Zero is empty. */
struct moved_list {
    size_t n;
    uint64_t n_seen;    /* units that had a value */
    uint64_t n_without; /* that had none: NaN */
    struct moved_unit at[MOVED_MOST];
};

/** Add a unit. NaN is counted only; an infinity comes first. cost: most units one comparison */
void moved_add(struct moved_list *list, uint32_t thing, uint32_t unit, float value);

/**
 * Find the units that are among the first k of every list.
 *
 * out      room for k; in the order of the sum of their places, value: the smallest of theirs
 * returns  how many
 */
size_t moved_common(
    const struct moved_list *lists, size_t n_lists, size_t k, struct moved_unit *out);

#endif
