/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/rng_state.h"

#include <string.h>

#include "lib/base/baro_types.h"

enum { WORD = 4, MAX_DEVICE = 4095 };

static size_t words_of(size_t n_bytes)
{
    return (n_bytes + WORD - 1) / WORD;
}

static size_t mask_bytes(size_t n_bytes)
{
    return (words_of(n_bytes) + 7) / 8;
}

/* A word of a state; its end is filled up with zeros. */
static uint32_t word_at(const uint8_t *state, size_t n_bytes, size_t word)
{
    uint32_t value = 0;
    size_t left = n_bytes - word * WORD;
    memcpy(&value, state + word * WORD, left < WORD ? left : WORD);
    return value;
}

/* Pack eight whole words; out has room for all of them. Without a branch: half of them are zero. */
static size_t pack_eight(
    const uint8_t *state, const uint8_t *base, uint8_t *out, uint8_t *out_mask)
{
    size_t used = 0;
    unsigned mask = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t value;
        uint32_t before = 0;
        memcpy(&value, state + (size_t)i * WORD, WORD);
        if (base != NULL) {
            memcpy(&before, base + (size_t)i * WORD, WORD);
        }
        value ^= before;
        memcpy(out + used, &value, WORD);
        used += value != 0 ? WORD : 0;
        mask |= (value != 0 ? 1U : 0U) << i;
    }
    *out_mask = (uint8_t)mask;
    return used;
}

size_t rng_state_pack(const uint8_t *state, size_t n_bytes, const uint8_t *base,
    uint8_t *out, size_t max_bytes)
{
    const size_t n_words = words_of(n_bytes);
    size_t used = mask_bytes(n_bytes);
    if (used > max_bytes) {
        return 0;
    }
    memset(out, 0, used);
    size_t i = 0;
    while (i < n_words) {
        const size_t at = i * WORD;
        if (i % 8 == 0 && n_bytes - at >= 8 * WORD && max_bytes - used >= 8 * WORD) {
            used += pack_eight(
                state + at, base != NULL ? base + at : NULL, out + used, &out[i / 8]);
            i += 8;
            continue;
        }
        uint32_t value = word_at(state, n_bytes, i);
        value ^= base != NULL ? word_at(base, n_bytes, i) : 0;
        if (value != 0) {
            if (max_bytes - used < WORD) {
                return 0;
            }
            out[i / 8] |= (uint8_t)(1U << i % 8);
            memcpy(out + used, &value, WORD);
            used += WORD;
        }
        i++;
    }
    return used;
}

/* How long a packed state is by its mask; 0 when the mask cannot be. */
static size_t told_bytes(const uint8_t *packed, size_t packed_bytes, size_t n_bytes)
{
    const size_t n_mask = mask_bytes(n_bytes);
    if (packed_bytes < n_mask || n_bytes == 0 || n_bytes > RNG_STATE_MAX_BYTES) {
        return 0;
    }
    size_t used = n_mask;
    for (size_t i = 0; i < n_mask; i++) {
        used += (size_t)__builtin_popcount(packed[i]) * WORD;
    }
    const unsigned last = (unsigned)(words_of(n_bytes) % 8);
    return last != 0 && packed[n_mask - 1] >> last != 0 ? 0 : used;
}

int rng_state_unpack(const uint8_t *packed, size_t packed_bytes, const uint8_t *base,
    uint8_t *out, size_t n_bytes)
{
    if (packed_bytes == 0 || told_bytes(packed, packed_bytes, n_bytes) != packed_bytes) {
        return BARO_ECORRUPT;
    }
    const size_t n_words = words_of(n_bytes);
    size_t at = mask_bytes(n_bytes);
    for (size_t i = 0; i < n_words; i++) {
        uint32_t value = base != NULL ? word_at(base, n_bytes, i) : 0;
        if ((packed[i / 8] >> i % 8 & 1U) != 0) {
            uint32_t kept;
            memcpy(&kept, packed + at, WORD);
            at += WORD;
            value ^= kept;
        }
        const size_t left = n_bytes - i * WORD;
        memcpy(out + i * WORD, &value, left < WORD ? left : WORD);
    }
    return 0;
}

size_t rng_state_check(
    const double numbers[RNG_STATE_NUMBERS], const uint8_t *packed, size_t packed_bytes)
{
    if (!(numbers[0] >= -1 && numbers[0] <= MAX_DEVICE) ||
        !(numbers[1] >= 1 && numbers[1] <= RNG_STATE_MAX_BYTES) ||
        !(numbers[2] >= 0 && numbers[2] <= UINT32_MAX)) {
        return 0;
    }
    const size_t n_bytes = (size_t)numbers[1];
    return packed_bytes > 0 && told_bytes(packed, packed_bytes, n_bytes) == packed_bytes
               ? n_bytes
               : 0;
}
