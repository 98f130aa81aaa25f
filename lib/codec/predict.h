/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From numbers to what is left of them when the numbers before have been used to predict them:
 * small residuals, where a series is smooth. All of it can be undone exactly.
 */
#ifndef BARO_PREDICT_H
#define BARO_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PREDICT_MAX_ORDER = 6, PREDICT_MAX_SLOW = 6 };

/* How numbers are predicted; zero: not at all. */
struct predict {
    uint8_t
        order; /* differences of this order; 0 with slow > 0: a mean that follows slowly */
    uint8_t slow; /* the mean moves by 1 / 2^slow of each error; narrow numbers only */
};

/** Map a float's bits to a whole number of the same order, zeros at the end kept as they are. */
static inline int64_t predict_from_f32(uint32_t bits)
{
    uint32_t number = bits > 0x80000000U ? 0x80000000U - bits : bits;
    return (int32_t)number;
}

/** Undo predict_from_f32; looks at the low 32 bits only. */
static inline uint32_t predict_to_f32(int64_t number)
{
    uint32_t bits = (uint32_t)number;
    return bits > 0x80000000U ? 0x80000000U - bits : bits;
}

/** Map a double's bits to a whole number of the same order. */
static inline int64_t predict_from_f64(uint64_t bits)
{
    return (int64_t)(bits > UINT64_C(1) << 63 ? (UINT64_C(1) << 63) - bits : bits);
}

/** Undo predict_from_f64. */
static inline uint64_t predict_to_f64(int64_t number)
{
    uint64_t bits = (uint64_t)number;
    return bits > UINT64_C(1) << 63 ? (UINT64_C(1) << 63) - bits : bits;
}

/** Fold a sign in: 0, -1, 1, -2 become 0, 1, 2, 3. */
static inline uint64_t predict_fold(uint64_t number)
{
    return (number << 1) ^ (0 - (number >> 63));
}

/** Undo predict_fold. */
static inline uint64_t predict_unfold(uint64_t folded)
{
    return (folded >> 1) ^ (0 - (folded & 1));
}

/* The ways worth trying, in the order of the sums that predict_measure adds to. */
enum { PREDICT_WAYS = 6 };
extern const struct predict predict_narrow_ways[PREDICT_WAYS];
extern const struct predict predict_wide_ways[PREDICT_WAYS];

/**
 * Measure what each way leaves, all in one pass.
 *
 * io_bits  PREDICT_WAYS sums, to which the bits of the residuals are added
 */
void predict_measure(
    const int64_t *numbers, size_t n, int64_t before, bool is_narrow, uint64_t *io_bits);

/**
 * Replace numbers by folded residuals.
 *
 * numbers    n > 0; narrow ones lie in the range of int32_t
 * before     predicts the first one
 * is_narrow  residuals wrap around at 32 bits instead of 64
 * out        n
 */
void predict_apply(struct predict how, const int64_t *numbers, size_t n, int64_t before,
    bool is_narrow, uint64_t *out);

/**
 * Undo predict_apply in place. Of narrow numbers only the low 32 bits are right.
 *
 * io  n residuals, already unfolded; becomes the numbers
 */
void predict_undo(struct predict how, int64_t *io, size_t n, int64_t before);

#endif
