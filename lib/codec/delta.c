/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/delta.h"

#include "lib/base/baro_types.h"

/*
 * The first number is written as it is, the second as its difference to the first, each later
 * one as the change of that difference. Signs are folded in (0, -1, 1, -2 become 0, 1, 2, 3)
 * and the result is written seven bits a byte, low bits first, with the top bit set on all
 * bytes but the last. Differences wrap, so that every int64_t goes through unharmed.
 *
 * Worked number: 100 101 102 104 has the differences 1 1 2 and their changes 1 0 1;
 * folded 200, 2, 0, 2; bytes c8 01 02 00 02.
 */

static uint64_t fold(uint64_t change)
{
    return (change << 1) ^ (0 - (change >> 63));
}

static uint64_t unfold(uint64_t folded)
{
    return (folded >> 1) ^ (0 - (folded & 1));
}

size_t delta_encode(const int64_t *numbers, size_t n, uint8_t *out)
{
    uint64_t last = 0;
    uint64_t last_delta = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t delta = (uint64_t)numbers[i] - last;
        uint64_t folded = fold(delta - last_delta);
        for (; folded >= 0x80; folded >>= 7) {
            out[at++] = (uint8_t)(folded | 0x80);
        }
        out[at++] = (uint8_t)folded;
        last = (uint64_t)numbers[i];
        last_delta = i == 0 ? 0 : delta;
    }
    return at;
}

/* One variable-length number; returns its bytes, 0 when it is cut off or too long. */
static size_t take(const uint8_t *bytes, size_t n_bytes, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes && i < DELTA_MAX_BYTES; i++) {
        if (i == DELTA_MAX_BYTES - 1 && bytes[i] > 1) {
            return 0;
        }
        value |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0) {
            *out = value;
            return i + 1;
        }
    }
    return 0;
}

int delta_decode(const uint8_t *bytes, size_t n_bytes, int64_t *out_numbers, size_t n)
{
    uint64_t last = 0;
    uint64_t last_delta = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t folded = 0;
        size_t used = take(bytes + at, n_bytes - at, &folded);
        if (used == 0) {
            return BARO_ECORRUPT;
        }
        at += used;
        uint64_t delta = last_delta + unfold(folded);
        last += delta;
        last_delta = i == 0 ? 0 : delta;
        out_numbers[i] = (int64_t)last;
    }
    return at == n_bytes ? 0 : BARO_ECORRUPT;
}
