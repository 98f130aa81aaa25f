/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/narrow.h"

#include <string.h>

#include "lib/codec/bits.h"

/*
 * What charts wait for is mostly this: floats, or doubles kept as floats, predicted in one of a few
 * ways. Symbol, bits, prediction and the way back to floats are one loop, so that the chain of
 * additions that a prediction is, four cycles a number for a mean, runs beside the rest. The loop
 * is made once for each prediction and type; bits are counted only now and then, as long as there
 * are enough for some numbers of any length.
 */

enum {
    MEAN_BITS = 8, /* as in predict.c */
    MOST_BITS = 64,
    BATCH = 512 /* numbers that become floats at a time */
};

enum way { WAY_ALONE, WAY_FIRST, WAY_SECOND, WAY_MEAN };

/* What predicts the next number. */
struct state {
    uint64_t number; /* the last one; its low 32 bits are right */
    uint64_t change; /* of the last one */
    int64_t mean;
};

__attribute__((always_inline)) static inline void advance(
    struct state *state, enum way way, unsigned slow, uint64_t residual)
{
    const int64_t one = 1 << MEAN_BITS;
    switch (way) {
    case WAY_ALONE: state->number = residual; return;
    case WAY_FIRST: state->number += residual; return;
    case WAY_SECOND:
        state->change += residual;
        state->number += state->change;
        return;
    case WAY_MEAN: break;
    }
    int32_t error = (int32_t)(uint32_t)residual;
    int32_t level = (int32_t)(state->mean >> MEAN_BITS);
    int32_t number = 0;
    if (__builtin_expect(!__builtin_add_overflow(error, level, &number), 1)) {
        state->mean +=
            (error * one - (state->mean & (one - 1))) >> slow; /* see predict.c */
    } else {
        state->mean += (number * one - state->mean) >> slow;
    }
    state->number = (uint32_t)number;
}

/* Numbers back to floats, and to doubles if is_wide; without a branch, so that many go at once. */
__attribute__((always_inline)) static inline void put_all(
    const uint32_t *numbers, size_t n, bool is_wide, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t number = numbers[i];
        uint32_t is_below = 0 - (uint32_t)(number > 0x80000000U);
        uint32_t bits = (number ^ is_below) - is_below + (is_below & 0x80000000U);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (is_wide) {
            double wide = (double)value;
            memcpy(out + 8 * i, &wide, sizeof wide);
        } else {
            memcpy(out + 4 * i, &bits, sizeof bits);
        }
    }
}

/* A column being decoded. */
struct progress {
    struct state state;
    size_t bit;
};

/* Tell whether all symbols mean something: those that do are the first ones of a table. */
__attribute__((always_inline)) static inline bool are_known(
    const struct narrow_column *column)
{
    uint8_t most = 0;
    for (size_t i = 0; i < column->n_rows; i++) {
        most = column->symbols[i] > most ? column->symbols[i] : most;
    }
    return column->table->n_bits[most] < MOST_BITS;
}

/* Take numbers from to to, of which all bits are there. */
__attribute__((always_inline)) static inline void take_sure(
    const struct narrow_column *column, size_t from, size_t to, enum way way, unsigned slow,
    struct progress *io, uint32_t *out)
{
    const uint8_t *n_bits_of = column->table->n_bits;
    const uint64_t *base_of = column->table->base;
    const uint8_t *bits = column->bits;
    struct progress at = *io;
    for (size_t i = from; i < to; i++) {
        size_t symbol = column->symbols[i];
        unsigned n_bits = n_bits_of[symbol];
        uint64_t more = bits_take_short(bits, at.bit, n_bits);
        at.bit += n_bits;
        advance(&at.state, way, slow, predict_unfold(base_of[symbol] + more));
        *out++ = (uint32_t)at.state.number;
    }
    *io = at;
}

/* Take numbers from to to; which bits are there is asked for each. */
__attribute__((always_inline)) static inline void take_careful(
    const struct narrow_column *column, size_t from, size_t to, enum way way, unsigned slow,
    struct progress *io, uint32_t *out)
{
    for (size_t i = from; i < to; i++) {
        unsigned n_bits = column->table->n_bits[column->symbols[i]];
        uint64_t more = 0;
        if (io->bit + n_bits <= column->n_bits) {
            more = bits_take_short(column->bits, io->bit, n_bits);
        }
        io->bit += n_bits;
        uint64_t folded = column->table->base[column->symbols[i]] + more;
        advance(&io->state, way, slow, predict_unfold(folded));
        *out++ = (uint32_t)io->state.number;
    }
}

/* Take the first number, which only the column before predicts. */
__attribute__((always_inline)) static inline uint32_t take_first(
    const struct narrow_column *column, enum way way, int64_t *io_before,
    struct progress *io)
{
    uint32_t number = 0;
    io->state.number = way == WAY_ALONE ? 0 : (uint64_t)*io_before;
    take_careful(column, 0, 1, way == WAY_ALONE ? WAY_ALONE : WAY_FIRST, 0, io, &number);
    *io_before = (int32_t)number;
    io->state.mean = *io_before * (1 << MEAN_BITS);
    return number;
}

__attribute__((always_inline)) static inline size_t take(const struct narrow_column *column,
    enum way way, unsigned slow, bool is_wide, int64_t *io_before, uint8_t *out)
{
    uint32_t numbers[BATCH];
    size_t n = column->n_rows;
    struct progress at = {.bit = column->bit};
    numbers[0] = take_first(column, way, io_before, &at);
    for (size_t from = 0; from < n;) {
        size_t first = from > 0 ? 0 : 1;
        size_t end = n - from < BATCH ? n : from + BATCH;
        size_t i = from + first;
        uint32_t *to = numbers + first;
        size_t left = at.bit < column->n_bits ? (column->n_bits - at.bit) / MOST_BITS : 0;
        size_t sure = left < end - i ? i + left : end;
        take_sure(column, i, sure, way, slow, &at, to);
        take_careful(column, sure, end, way, slow, &at, to + (sure - i));
        put_all(numbers, end - from, is_wide, out + from * (is_wide ? 8 : 4));
        from = end;
    }
    return at.bit - column->bit;
}

/* The same with the type known. */
__attribute__((always_inline)) static inline size_t take_as(
    const struct narrow_column *column, enum way way, unsigned slow, int64_t *io_before,
    uint8_t *out)
{
    return column->is_wide ? take(column, way, slow, true, io_before, out)
                           : take(column, way, slow, false, io_before, out);
}

__attribute__((always_inline)) static inline size_t take_any(
    const struct narrow_column *column, int64_t *io_before, uint8_t *out)
{
    if (!are_known(column)) {
        return SIZE_MAX;
    }
    switch (column->predict.order) {
    case 1: return take_as(column, WAY_FIRST, 0, io_before, out);
    case 2: return take_as(column, WAY_SECOND, 0, io_before, out);
    default: break;
    }
    return column->predict.slow > 0
               ? take_as(column, WAY_MEAN, column->predict.slow, io_before, out)
               : take_as(column, WAY_ALONE, 0, io_before, out);
}

#if defined(__x86_64__)
/* Shifts by any count are one instruction each, and four floats become doubles at once. */
__attribute__((target("avx2,bmi2"))) static size_t take_avx2(
    const struct narrow_column *column, int64_t *io_before, uint8_t *out)
{
    return take_any(column, io_before, out);
}
#endif

bool narrow_can(struct predict predict)
{
    return predict.order <= 2;
}

size_t narrow_take(const struct narrow_column *column, int64_t *io_before, uint8_t *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        return take_avx2(column, io_before, out);
    }
#endif
    return take_any(column, io_before, out);
}
