/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/shuffle.h"

#include <string.h>

_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "planes are counted from the low byte");

void shuffle_put(
    const void *numbers, size_t n, size_t size, uint8_t *planes, size_t total, size_t at)
{
    const uint8_t *from = numbers;
    for (size_t plane = 0; plane < size; plane++) {
        uint8_t *to = planes + plane * total + at;
        for (size_t i = 0; i < n; i++) {
            to[i] = from[i * size + plane];
        }
    }
}

static void take4(const uint8_t *from, size_t total, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word = (uint32_t)from[i] | (uint32_t)from[i + total] << 8 |
                        (uint32_t)from[i + 2 * total] << 16 |
                        (uint32_t)from[i + 3 * total] << 24;
        memcpy(out + 4 * i, &word, 4);
    }
}

static void take8(const uint8_t *from, size_t total, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t word = 0;
        for (size_t plane = 0; plane < 8; plane++) {
            word |= (uint64_t)from[i + plane * total] << (8 * plane);
        }
        memcpy(out + 8 * i, &word, 8);
    }
}

void shuffle_take(const uint8_t *planes, size_t total, size_t at, size_t n, size_t size,
    void *out_numbers)
{
    if (size == 4) {
        take4(planes + at, total, n, out_numbers);
    } else {
        take8(planes + at, total, n, out_numbers);
    }
}
