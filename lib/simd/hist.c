/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/hist.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/half.h"
#include "lib/simd/element.h"

/*
 * The bin of an f32 is its exponent field, so the upper 9 bits of the number are the index
 * of a counter; clamping and the split by sign happen once, at the end. f16, f64 and
 * integers are brought to that index first. Four tables take turns: neighbours mostly share
 * a bin, and one counter could be raised only every five cycles.
 *
 * An exact histogram costs three times what all other statistics cost together, so above
 * 65,536 elements 16 consecutive ones (a cache line of f32) of every 256 are counted. Which
 * sixteenth of the 256 it is rotates with the digits of the position: were it always the
 * first, a matrix of 256, 512 or 1024 columns would show the same columns of each row only,
 * and a unit that runs away in another column would never be seen. Over 16 consecutive rows
 * of such a matrix every column is counted once.
 *
 * Rejected: SIMD byte-compares (64 bins: slower than the tables; 32 bins: too few).
 */

enum { SIGN = 1 << (BARO_HIST_BITS - 1), BIAS = 127, GROUP = 16, STRETCH = 256 };

void baro_hist_begin(struct baro_hist_work *work, int64_t count)
{
    work->every = count > BARO_HIST_EXACT ? BARO_HIST_EVERY : 1;
    work->n_tables = count > BARO_HIST_SMALL ? BARO_HIST_TABLES : 1;
    work->zeros[0] = 0;
    work->zeros[1] = 0;
    memset(work->table, 0, work->n_tables * sizeof(work->table[0]));
}

typedef uint32_t word4 __attribute__((vector_size(16)));

/* Zeros share their bin with subnormals; they are counted here and taken out at the end. */
static void count_zeros(struct baro_hist_work *work, const uint32_t *bits, size_t n)
{
    word4 plus = {0};
    word4 minus = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        word4 x;
        memcpy(&x, bits + i, sizeof(x));
        plus -= (word4)(x == 0);
        minus -= (word4)(x == 0x80000000u);
    }
    for (; i < n; i++) {
        plus[0] += bits[i] == 0;
        minus[0] += bits[i] == 0x80000000u;
    }
    work->zeros[0] += plus[0] + plus[1] + plus[2] + plus[3];
    work->zeros[1] += minus[0] + minus[1] + minus[2] + minus[3];
}

/* What the bins of zeros and subnormals hold by now. */
static uint32_t count_least(const struct baro_hist_work *work)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < work->n_tables; t++) {
        n += work->table[t][0] + work->table[t][SIGN];
    }
    return n;
}

static void count_f32(struct baro_hist_work *work, const uint32_t *bits, size_t n)
{
    const uint32_t n_least = count_least(work);
    const bool is_many = work->n_tables == BARO_HIST_TABLES;
    uint32_t *const table1 = work->table[is_many ? 1 : 0];
    uint32_t *const table2 = work->table[is_many ? 2 : 0];
    uint32_t *const table3 = work->table[is_many ? 3 : 0];
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint64_t pair[2];
        memcpy(pair, bits + i, sizeof(pair));
        work->table[0][pair[0] << 32 >> 55]++;
        table1[pair[0] >> 55]++;
        table2[pair[1] << 32 >> 55]++;
        table3[pair[1] >> 55]++;
    }
    for (; i < n; i++) {
        work->table[0][bits[i] >> 23]++;
    }
    if (count_least(work) != n_least) {
        count_zeros(work, bits, n);
    }
}

static void count_bf16(struct baro_hist_work *work, const uint16_t *halves, size_t n)
{
    uint32_t bits[GROUP];
    for (size_t at = 0; at < n; at += GROUP) {
        const size_t m = n - at < GROUP ? n - at : GROUP;
        for (size_t i = 0; i < m; i++) {
            bits[i] = (uint32_t)halves[at + i] << 16;
        }
        count_f32(work, bits, m);
    }
}

static void count_f16(struct baro_hist_work *work, const uint16_t *halves, size_t n)
{
    uint32_t bits[GROUP];
    for (size_t at = 0; at < n; at += GROUP) {
        const size_t m = n - at < GROUP ? n - at : GROUP;
        for (size_t i = 0; i < m; i++) {
            bits[i] = baro_f32_bits(baro_f16_to_f32(halves[at + i]));
        }
        count_f32(work, bits, m);
    }
}

/* An f64 of the same sign and a clamped exponent, as the bits of an f32 of one bin. */
static uint32_t bits_of_f64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = (uint32_t)(bits >> 63) << 31;
    const int exponent = (int)(bits >> 52 & 2047) - 1023;
    if (bits << 1 == 0) {
        return sign;
    }
    if (exponent == 1024) {
        return sign | 255u << 23;
    }
    const int low = exponent < BARO_HIST_MIN_EXP ? BARO_HIST_MIN_EXP : exponent;
    const int bin = low > BARO_HIST_MAX_EXP ? BARO_HIST_MAX_EXP : low;
    return sign | (uint32_t)(bin + BIAS) << 23;
}

static void count_other(
    struct baro_hist_work *work, enum baro_dtype dtype, const void *run, size_t n)
{
    uint32_t bits[GROUP];
    for (size_t at = 0; at < n; at += GROUP) {
        const size_t m = n - at < GROUP ? n - at : GROUP;
        for (size_t i = 0; i < m; i++) {
            bits[i] = bits_of_f64(baro_element_get(dtype, run, at + i));
        }
        count_f32(work, bits, m);
    }
}

static void count_run(
    struct baro_hist_work *work, enum baro_dtype dtype, const void *run, size_t n)
{
    switch ((int)dtype) {
    case BARO_F32: count_f32(work, run, n); break;
    case BARO_BF16: count_bf16(work, run, n); break;
    case BARO_F16: count_f16(work, run, n); break;
    default: count_other(work, dtype, run, n); break;
    }
}

/* Which group of 16 of a stretch of 256 is counted: the stretch's hex digits, xored. */
static size_t group_of(uint64_t stretch)
{
    stretch ^= stretch >> 32;
    stretch ^= stretch >> 16;
    stretch ^= stretch >> 8;
    stretch ^= stretch >> 4;
    return (size_t)(stretch & 15);
}

void baro_hist_add(struct baro_hist_work *work, enum baro_dtype dtype, const void *run,
    size_t n, int64_t position)
{
    if (work->every == 1) {
        count_run(work, dtype, run, n);
        return;
    }
    const size_t item = baro_dtype_bytes(dtype);
    const uint64_t end = (uint64_t)position + n;
    for (uint64_t s = (uint64_t)position / STRETCH; s * STRETCH < end; s++) {
        uint64_t from = s * STRETCH + group_of(s) * GROUP;
        uint64_t to = from + GROUP;
        from = from < (uint64_t)position ? (uint64_t)position : from;
        to = to > end ? end : to;
        if (from < to) {
            const char *at = (const char *)run + (from - (uint64_t)position) * item;
            count_run(work, dtype, at, to - from);
        }
    }
}

static uint32_t times(uint64_t n, int64_t repeat)
{
    uint64_t product;
    if (__builtin_mul_overflow(n, (uint64_t)repeat, &product) || product > UINT32_MAX) {
        return UINT32_MAX;
    }
    return (uint32_t)product;
}

/* A sum that stays at the largest number when it runs over. */
static uint32_t plus(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* Eight counters of all tables side by side; false when there is nothing in them. */
static bool add_tables(const struct baro_hist_work *work, int from, uint32_t *out)
{
    word4 low = {0};
    word4 high = {0};
    for (uint32_t t = 0; t < work->n_tables; t++) {
        word4 x[2];
        memcpy(x, &work->table[t][from], sizeof(x));
        low += x[0];
        high += x[1];
    }
    memcpy(out, &low, sizeof(low));
    memcpy(out + 4, &high, sizeof(high));
    const word4 any = low | high;
    return (any[0] | any[1] | any[2] | any[3]) != 0;
}

void baro_hist_end(const struct baro_hist_work *work, int64_t repeat, struct baro_hist *out)
{
    memset(out, 0, sizeof(*out));
    out->sample_every = work->every;
    for (int from = 0; from < 2 * SIGN; from += 8) {
        uint32_t counts[8];
        if (!add_tables(work, from, counts)) {
            continue; /* mostly: a tensor fills some twenty of 512 */
        }
        const int negative = from >= SIGN;
        uint32_t *side = negative ? out->neg : out->pos;
        counts[0] -= from % SIGN == 0 ? work->zeros[negative] : 0;
        for (int i = 0; i < 8; i++) {
            const int e = from % SIGN + i - BIAS;
            const int low = e < BARO_HIST_MIN_EXP ? BARO_HIST_MIN_EXP : e;
            const int bin = low > BARO_HIST_MAX_EXP ? BARO_HIST_MAX_EXP : low;
            if (e <= BIAS) { /* above: NaN and infinities */
                side[bin - BARO_HIST_MIN_EXP] =
                    plus(side[bin - BARO_HIST_MIN_EXP], times(counts[i], repeat));
            }
        }
    }
}
