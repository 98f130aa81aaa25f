/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/predict.h"

#include <assert.h>
#include <string.h>

/*
 * The question: floats that follow one another share sign, exponent and some leading bits, but
 * where a curve crosses a power of two, or a bit carries, none of the bits agree. How can the
 * numbers before say as much as possible about the next one, at about a nanosecond each, without
 * losing a bit?
 *
 * Floats as whole numbers. The bits of a positive float, read as a whole number, count the floats
 * from 0 upwards; so a difference of two of them is their distance in units of the last place,
 * right across powers of two (and relative rather than absolute, which suits losses and norms).
 * Negative floats count downwards: the number is minus the magnitude. That leaves -0 without a
 * number of its own, and the smallest whole number without a float: they are given to each other.
 * A float that ends in zero bits becomes a number that ends in as many.
 *
 * Three ways to predict, after which the sign of the error is folded into the lowest bit:
 * - not at all: noise around zero;
 * - differences of order k, the errors of the polynomial of degree k - 1 through the last k
 *   numbers (as FLAC and Shorten do): steps (order 2: all 0), weight norms (2), learning rates
 *   of cosine schedules, which are smooth down to the rounding of doubles (4 to 6);
 * - a mean that follows slowly, m += (x - m) / 2^slow: series that are noise around a level that
 *   drifts, such as losses. Predicting x by the one before would count the noise twice: that
 *   costs up to half a bit a number more.
 *
 * Worked number: the floats 1.0, 1.5, 2.0, 2.5 are the numbers 3f800000, 3fc00000, 40000000,
 * 40200000 (hexadecimal). First differences: 3f800000, 400000, 400000, 200000, folded 7f000000,
 * 800000, 800000, 400000. Second: 3f800000, 400000, 0, -200000, folded 7f000000, 800000, 0,
 * 3fffff.
 *
 * Cost: order k takes k additions a number each way; a slow mean about six dependent
 * instructions. Measured on recorded trainings (docs/STORAGE.md): the slow mean saves 2 % over
 * differences on losses; XOR with the number before, as Gorilla does, is 5 to 25 % larger.
 * Rejected: fitted coefficients (LPC of order 2 to 16): 1 % smaller on weight norms.
 *
 * The mean has 8 bits behind the point and is kept in 64 bits; numbers are narrow (32 bits), so
 * nothing can overflow. Differences wrap around.
 */

enum { MEAN_BITS = 8 };

static void difference(const int64_t *numbers, size_t n, uint8_t order, uint64_t *out)
{
    for (size_t i = 1; i < n; i++) {
        out[i] = (uint64_t)numbers[i] - (uint64_t)numbers[i - 1];
    }
    for (size_t round = 1; round < order; round++) {
        for (size_t i = n - 1; i > round && i < n; i--) {
            out[i] -= out[i - 1];
        }
    }
}

static void follow(const int64_t *numbers, size_t n, uint8_t slow, uint64_t *out)
{
    int64_t mean = numbers[0] * (1 << MEAN_BITS);
    for (size_t i = 1; i < n; i++) {
        out[i] = (uint64_t)(numbers[i] - (mean >> MEAN_BITS));
        mean += (numbers[i] * (1 << MEAN_BITS) - mean) >> slow;
    }
}

static void fold_all(uint64_t *io, size_t n, bool is_narrow)
{
    for (size_t i = 0; i < n; i++) {
        io[i] =
            predict_fold(is_narrow ? (uint64_t)(int64_t)(int32_t)(uint32_t)io[i] : io[i]);
    }
}

const struct predict predict_narrow_ways[PREDICT_WAYS] = {
    {.order = 1}, {.order = 2}, {.order = 3}, {.slow = 2}, {.slow = 3}, {.slow = 4}};
const struct predict predict_wide_ways[PREDICT_WAYS] = {
    {.order = 1}, {.order = 2}, {.order = 3}, {.order = 4}, {.order = 5}, {.order = 6}};

static unsigned bits_left(uint64_t residual)
{
    uint64_t magnitude = residual ^ (0 - (residual >> 63));
    return 64U - (unsigned)__builtin_clzll(magnitude << 1 | 1);
}

/*
 * Take one number in and add the bits of its differences. The first numbers of a column only have
 * differences of lower orders, as many as there are numbers before them.
 */
static inline void measure_orders(
    uint64_t number, size_t n_known, size_t n_orders, uint64_t *io_last, uint64_t *io_bits)
{
    unsigned bits = 0;
    for (size_t order = 0; order < n_orders; order++) {
        if (order < n_known) {
            uint64_t change = number - io_last[order];
            io_last[order] = number;
            number = change;
            bits = bits_left(change);
        } else if (order == n_known) {
            io_last[order] = number;
        }
        io_bits[order] += bits;
    }
}

static void measure_narrow(const int64_t *numbers, size_t n, uint64_t *io_bits)
{
    enum { ORDERS = 3 };
    uint64_t last[ORDERS] = {0};
    uint64_t bits[PREDICT_WAYS] = {0};
    int64_t start = numbers[0] * (1 << MEAN_BITS);
    int64_t means[PREDICT_WAYS - ORDERS] = {start, start, start};
    for (size_t i = 0; i < n; i++) {
        if (i < ORDERS) {
            measure_orders((uint64_t)numbers[i], i, ORDERS, last, bits);
        } else {
            measure_orders((uint64_t)numbers[i], ORDERS, ORDERS, last, bits);
        }
        int64_t number = numbers[i] * (1 << MEAN_BITS);
        for (size_t k = 0; k < PREDICT_WAYS - ORDERS; k++) {
            bits[ORDERS + k] += bits_left((uint64_t)(numbers[i] - (means[k] >> MEAN_BITS)));
            means[k] += (number - means[k]) >> predict_narrow_ways[ORDERS + k].slow;
        }
    }
    for (size_t way = 0; way < PREDICT_WAYS; way++) {
        io_bits[way] += bits[way];
    }
}

static void measure_wide(const int64_t *numbers, size_t n, uint64_t *io_bits)
{
    uint64_t last[PREDICT_WAYS] = {0};
    uint64_t bits[PREDICT_WAYS] = {0};
    for (size_t i = 0; i < n; i++) {
        if (i < PREDICT_WAYS) {
            measure_orders((uint64_t)numbers[i], i, PREDICT_WAYS, last, bits);
        } else {
            measure_orders((uint64_t)numbers[i], PREDICT_WAYS, PREDICT_WAYS, last, bits);
        }
    }
    for (size_t way = 0; way < PREDICT_WAYS; way++) {
        io_bits[way] += bits[way];
    }
}

void predict_measure(
    const int64_t *numbers, size_t n, int64_t before, bool is_narrow, uint64_t *io_bits)
{
    unsigned first = bits_left((uint64_t)numbers[0] - (uint64_t)before);
    for (size_t way = 0; way < PREDICT_WAYS; way++) {
        io_bits[way] += first;
    }
    if (is_narrow) {
        measure_narrow(numbers, n, io_bits);
    } else {
        measure_wide(numbers, n, io_bits);
    }
}

void predict_apply(struct predict how, const int64_t *numbers, size_t n, int64_t before,
    bool is_narrow, uint64_t *out)
{
    assert(n > 0 && how.order <= PREDICT_MAX_ORDER && how.slow <= PREDICT_MAX_SLOW);
    if (how.order == 0 && how.slow == 0) {
        memcpy(out, numbers, n * sizeof *out);
    } else {
        if (how.order > 0) {
            difference(numbers, n, how.order, out);
        } else {
            follow(numbers, n, how.slow, out);
        }
        out[0] = (uint64_t)numbers[0] - (uint64_t)before;
    }
    fold_all(out, n, is_narrow);
}

static void unfollow(int64_t *io, size_t n, uint8_t slow)
{
    const int64_t one = 1 << MEAN_BITS;
    int64_t mean = (int64_t)(int32_t)(uint32_t)io[0] * one;
    for (size_t i = 1; i < n; i++) {
        uint64_t sum = (uint64_t)io[i] + (uint64_t)(mean >> MEAN_BITS);
        int64_t number = (int32_t)(uint32_t)sum;
        if ((int64_t)sum == number) {
            /* As below, but the next mean need not wait for the number: that is a third faster. */
            mean += (io[i] * one - (mean & (one - 1))) >> slow;
        } else {
            mean += (number * one - mean) >> slow;
        }
        io[i] = number;
    }
}

void predict_undo(struct predict how, int64_t *io, size_t n, int64_t before)
{
    if (how.order == 0 && how.slow == 0) {
        return;
    }
    uint64_t *numbers = (uint64_t *)io;
    numbers[0] += (uint64_t)before;
    if (how.order == 0) {
        unfollow(io, n, how.slow);
        return;
    }
    for (size_t round = how.order; round-- > 0;) {
        for (size_t i = round + 1; i < n; i++) {
            numbers[i] += numbers[i - 1];
        }
    }
}
