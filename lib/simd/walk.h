/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the elements of a strided tensor in the order of memory, in runs that kernels
 * can take: dimensions sorted by stride and folded, short or strided runs gathered in a
 * buffer.
 */
#ifndef BARO_WALK_H
#define BARO_WALK_H

#include "lib/base/tensor.h"

enum {
    BARO_WALK_BUFFER = 1024, /* elements gathered at a time */
    BARO_WALK_DIRECT = 256   /* runs from this length are read where they lie */
};

/* One dimension as the walk sees it. */
struct baro_walk_dim {
    int64_t extent; /* > 1 */
    int64_t stride; /* in elements, >= 0 */
    int64_t
        step; /* of the row-major index; negative where the dimension is walked backwards */
};

/* The layout of a walk; constant after baro_walk_init. */
struct baro_walk {
    const char *base; /* lowest address */
    size_t item;      /* bytes of one element */
    int64_t count;    /* elements walked; repeats not counted */
    int64_t
        repeat; /* how often each stands in the tensor: the product of stride-0 extents */
    int64_t first; /* row-major index of the element at base */
    bool in_order; /* row-major indices rise along the walk */
    int n_sorted;
    struct baro_walk_dim sorted[BARO_MAX_DIMS]; /* largest stride first, not folded */
    int n_dims;
    struct baro_walk_dim
        dims[BARO_MAX_DIMS]; /* the same, neighbours in memory folded; no step */
};

/* A place on a walk. */
struct baro_walk_at {
    int64_t position;             /* elements passed */
    int64_t coord[BARO_MAX_DIMS]; /* in dims */
    int64_t offset;               /* of that element from base, in elements */
};

/**
 * Lay out a walk over a tensor; every element once, stride-0 dimensions counted in repeat.
 */
void baro_walk_init(struct baro_walk *walk, const struct baro_span *span);

/**
 * Take the next elements as one contiguous run.
 *
 * max      at most this many, > 0
 * buffer   room for BARO_WALK_BUFFER elements, aligned for them; used when gathering
 * out_run  where they lie: in the tensor or in buffer
 * returns  how many; 0 at the end
 */
size_t baro_walk_next(const struct baro_walk *walk, struct baro_walk_at *at, size_t max,
    void *buffer, const void **out_run);

/** Give the row-major index of an element by its position on the walk. */
int64_t baro_walk_index(const struct baro_walk *walk, int64_t position);

/**
 * Copy elements that lie a fixed stride apart.
 *
 * item  bytes of one: 1, 2, 4 or 8
 */
void baro_walk_copy(void *out, const void *from, int64_t stride, size_t n, size_t item);

#endif
