/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over two tensors of one shape and type at the same time, unit by unit, in the order in
 * which the second one lies in memory. Their strides may differ.
 */
#ifndef BARO_PAIRS_H
#define BARO_PAIRS_H

#include "lib/base/tensor.h"

enum {
    BARO_PAIRS_MOST = 2048,  /* pairs of a run at most */
    BARO_PAIRS_GATHER = 512, /* likewise when they are brought together first */
    BARO_PAIRS_DIRECT = 64   /* runs from this length are read where they lie */
};

struct baro_pairs_dim {
    int64_t extent; /* > 1, or 0 */
    int64_t b;      /* strides in elements: of the first tensor, any */
    int64_t a;      /* of the second one, >= 0 */
};

/* The layout; constant after baro_pairs_init. */
struct baro_pairs {
    size_t item;     /* bytes of one element */
    const char *b;   /* element 0 of unit 0 on the walk: of the first tensor */
    const char *a;   /* of the second one */
    int64_t n_units; /* 1 without an axis */
    int64_t unit_b;  /* strides of the axis, in elements */
    int64_t unit_a;
    int64_t unit_count; /* elements of a unit */
    int n_dims;
    struct baro_pairs_dim dims[BARO_MAX_DIMS]; /* of a unit, largest stride first, folded */
    bool in_order;                             /* all units' walks are row-major together */
};

/* A place within a unit. Begin with {.left = unit_count}. */
struct baro_pairs_at {
    int64_t coord[BARO_MAX_DIMS];
    int64_t b; /* offsets from the unit's element 0, in elements */
    int64_t a;
    int64_t left; /* elements of the unit that are still to come */
};

/* Where pairs are brought together. */
struct baro_pairs_buffer {
    double b[BARO_PAIRS_GATHER];
    double a[BARO_PAIRS_GATHER];
};

/** Lay out a walk over two tensors of one shape and type. axis: of the units; < 0: none */
void baro_pairs_init(struct baro_pairs *p, const struct baro_span *before,
    const struct baro_span *after, int axis);

/**
 * Take the next pairs of a unit as two contiguous runs, which lie in the tensors or in buffer.
 *
 * returns  how many; 0 at the unit's end
 */
size_t baro_pairs_next(const struct baro_pairs *p, int64_t unit, struct baro_pairs_at *at,
    struct baro_pairs_buffer *buffer, const void **out_b, const void **out_a);

/** Pass n pairs, which end at the latest where the innermost dimension does. */
void baro_pairs_step(const struct baro_pairs *p, struct baro_pairs_at *at, int64_t n);

/** Tell how many pairs are left along the innermost dimension. */
int64_t baro_pairs_run(const struct baro_pairs *p, const struct baro_pairs_at *at);

/** Tell whether neighbours along the innermost dimension are neighbours in both tensors. */
bool baro_pairs_touch(const struct baro_pairs *p);

/** Give the first tensor's element 0 of a unit. */
const char *baro_pairs_before(const struct baro_pairs *p, int64_t unit);

/** Give the second tensor's. */
const char *baro_pairs_after(const struct baro_pairs *p, int64_t unit);

#endif
