/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of a few bits one behind the other, low bits first. Inline: both directions sit in the
 * innermost loops of the codec.
 */
#ifndef BARO_BITS_H
#define BARO_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    BITS_SLACK =
        8, /* readable bytes that must follow a stream, writable ones for its room */
    BITS_MAX_SHORT = 56 /* bits that bits_take_short can give at once */
};

/* A stream being written; there must be room for all bits and BITS_SLACK bytes. */
struct bits_out {
    uint8_t *to;
    uint64_t held; /* not written yet, n_held of them */
    unsigned n_held;
};

/** Append n <= 56 low bits of value; its other bits are zero. */
static inline void bits_put_short(struct bits_out *out, uint64_t value, unsigned n)
{
    out->held |= value << out->n_held;
    out->n_held += n;
    memcpy(out->to, &out->held, sizeof out->held);
    unsigned n_whole = out->n_held >> 3;
    out->to += n_whole;
    out->held = n_whole == 8 ? 0 : out->held >> (n_whole * 8);
    out->n_held &= 7;
}

/** Append n <= 64 low bits of value; its other bits are zero. */
static inline void bits_put(struct bits_out *out, uint64_t value, unsigned n)
{
    if (n > 32) {
        bits_put_short(out, value & UINT32_MAX, 32);
        value >>= 32;
        n -= 32;
    }
    bits_put_short(out, value, n);
}

/** Finish a stream; returns its end. */
static inline uint8_t *bits_end(struct bits_out *out)
{
    return out->to + (out->n_held > 0);
}

/** Give n <= 56 bits from bit position at on. */
static inline uint64_t bits_take_short(const uint8_t *bytes, size_t at, unsigned n)
{
    uint64_t word;
    memcpy(&word, bytes + (at >> 3), sizeof word);
    return (word >> (at & 7)) & ((UINT64_C(1) << n) - 1);
}

/** Give n <= 64 bits from bit position at on. */
static inline uint64_t bits_take(const uint8_t *bytes, size_t at, unsigned n)
{
    if (n <= BITS_MAX_SHORT) {
        return bits_take_short(bytes, at, n);
    }
    return bits_take_short(bytes, at, 32) | bits_take_short(bytes, at + 32, n - 32) << 32;
}

#endif
