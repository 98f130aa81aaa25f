/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random tensors of every type and layout, for the tests of the summaries. */
#ifndef TEST_SPANS_H
#define TEST_SPANS_H

#include "lib/simd/summarise.h"

/* A small generator (splitmix64); the same numbers everywhere. */
struct rng {
    uint64_t state;
};

/** Give the next 64 random bits. */
uint64_t rng_next(struct rng *rng);

/** Give a number from 0 to n - 1. */
int64_t rng_below(struct rng *rng, int64_t n);

/** Give a number from a normal distribution (nearly: a sum of twelve uniform ones). */
double rng_normal(struct rng *rng);

/* What the numbers of a tensor are like. */
enum fill {
    FILL_NORMAL,
    FILL_NEAR_ONE,     /* mean 1, sd 1e-3 */
    FILL_NEAR_HUNDRED, /* mean 100, sd 1e-3 */
    FILL_DRIFT,        /* zeros first, then far away */
    FILL_CONSTANT,
    FILL_SPARSE, /* mostly +0 and -0 */
    FILL_TINY,   /* squares underflow f32 */
    FILL_DENORMAL,
    FILL_HUGE, /* squares overflow f32 */
    FILL_LOG,  /* magnitudes over many powers of two */
    FILL_SOME_BAD,
    FILL_MANY_BAD,
    FILL_ALL_BAD,
    FILL_COUNT
};

/* A tensor with the memory it lies in. */
struct test_span {
    struct baro_span span;
    void *memory; /* owned */
};

/**
 * Write x as the element at index i of a contiguous array. f16 and bf16 are cut, not
 * rounded.
 */
void spans_put(enum baro_dtype dtype, void *array, size_t i, double x);

/** Make a contiguous tensor. */
struct test_span spans_contiguous(struct rng *rng, enum baro_dtype dtype, enum fill fill,
    int n_dims, const int64_t *shape);

/** Make a tensor of random shape and layout: permuted, flipped, strided, repeated. */
struct test_span spans_random(
    struct rng *rng, enum baro_dtype dtype, enum fill fill, int64_t max_count);

/** Free its memory. */
void spans_free(struct test_span *test);

#endif
