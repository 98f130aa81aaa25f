/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Residuals as a symbol of one byte, which is worth compressing, and some bits behind it, which
 * are not. A table tells for each symbol where its range of numbers begins and how many bits say
 * which one it is; so one loop decodes all codings.
 */
#ifndef BARO_SYMBOLS_H
#define BARO_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SYMBOLS_MAX = 256,
    SYMBOLS_HAS_LOW = 0x80, /* in a symbol: low bits follow; only where low_bits > 0 */
    SYMBOLS_BAD = 255,      /* n_bits of a symbol that means nothing */
    SYMBOLS_MANTISSA = 2,
    SYMBOLS_FINE_BITS =
        20, /* wide residuals of more bits have no mantissa in their symbol */
    SYMBOLS_FINE = (SYMBOLS_FINE_BITS - SYMBOLS_MANTISSA + 1) << SYMBOLS_MANTISSA
};

enum symbols_coding {
    SYMBOLS_CLASS, /* by magnitude: an exponent and a bit or two of mantissa */
    SYMBOLS_SPLIT, /* an even cut of the range: the top bits above the smallest */
    SYMBOLS_DICT,  /* the place in a sorted list of all that occur */
    SYMBOLS_CODING_COUNT
};

struct symbols_table {
    uint64_t base[SYMBOLS_MAX];
    uint8_t n_bits[SYMBOLS_MAX];
};

/* An even cut: symbol = (residual - base) >> n_bits. */
struct symbols_split {
    uint64_t base;
    uint8_t n_bits;
};

/**
 * Give the place of the i-th of n_samples among n > n_samples numbers: spread evenly, each one
 * moved a little, since even steps through numbers that count would see but some of them.
 */
static inline size_t symbols_sample_at(size_t i, size_t n_samples, size_t n)
{
    uint64_t moved = (i * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    return i * n / n_samples + moved % (n / n_samples);
}

/**
 * Give the symbol of a residual by magnitude: with two bits of mantissa below 2^20 and in narrow
 * residuals (below 2^32), with none above.
 */
static inline uint8_t symbols_class(uint64_t residual, bool is_narrow, unsigned *out_n_bits)
{
    unsigned top = 63U - (unsigned)__builtin_clzll(residual | 1);
    if (top >= SYMBOLS_FINE_BITS && !is_narrow) {
        *out_n_bits = top;
        return (uint8_t)(SYMBOLS_FINE + top - SYMBOLS_FINE_BITS);
    }
    unsigned n_bits = top > SYMBOLS_MANTISSA ? top - SYMBOLS_MANTISSA : 0;
    *out_n_bits = n_bits;
    return (uint8_t)((n_bits << SYMBOLS_MANTISSA) + (residual >> n_bits));
}

/** Fill the table of magnitudes. */
void symbols_class_table(bool is_narrow, struct symbols_table *out_table);

/** Choose the cut of residuals into n_symbols (a power of two) ranges. */
struct symbols_split symbols_split_choose(
    const uint64_t *residuals, size_t n, unsigned n_symbols);

/** Fill the table of a cut into n_symbols; false unless it fits into 64 bits. */
bool symbols_split_table(
    struct symbols_split split, unsigned n_symbols, struct symbols_table *out_table);

/** Tell whether a few residuals out of all repeat each other, so that a list is worth making. */
bool symbols_repeat(const uint64_t *residuals, size_t n);

/**
 * List what occurs among residuals.
 *
 * max      at most SYMBOLS_MAX
 * out      max, rising
 * returns  how many; 0 when they are more than max
 */
size_t symbols_dict_choose(const uint64_t *residuals, size_t n, size_t max, uint64_t *out);

/** Find a residual that is in the list. */
uint8_t symbols_dict_find(const uint64_t *dict, size_t n_dict, uint64_t residual);

/** Estimate the bits of residuals by magnitude. */
double symbols_class_cost(const uint64_t *residuals, size_t n, bool is_narrow);

/** Estimate the bits of residuals under a cut. */
double symbols_split_cost(const uint64_t *residuals, size_t n, struct symbols_split split);

/** Estimate the bits of residuals by place in a list, without the list. */
double symbols_dict_cost(
    const uint64_t *residuals, size_t n, const uint64_t *dict, size_t n_dict);

#endif
