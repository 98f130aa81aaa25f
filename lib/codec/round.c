/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/round.h"

#include <stdbool.h>
#include <string.h>

/*
 * Floats: statistics of single units are looked at as colours and curves, and the largest and the
 * smallest of them as numbers. Of the 23 bits behind the point 12 are kept, rounded to the
 * nearest, a tie to the even one. With a value in [2^e, 2^(e+1)) the grid has a distance of
 * 2^(e-12), so the error is at most 2^(e-13): relatively at most 2^-13, 0.012 %. Denormals are
 * kept, as the same grid would cost them more than that.
 *
 * The extremes of a column stay exact. Then another value may be rounded beyond one of them; it is
 * set to the extreme, which lies between the value and what it was rounded to, so the bound holds.
 *
 * Worked number: 0.1f is 3dcccccd (hexadecimal). Its last 11 bits, 100 1100 1101 = 1229, are more
 * than half of 2048, so it is rounded up to 3dccd000 = 0.1000061, an error of 2^-14.0 of it.
 *
 * Times: of rows that come every 3 ms, when to the microsecond is noise, and noise is what costs
 * room. They are laid on straight lines, each as long as it can be with no row further from its
 * time than a bound h: the smallest power of two above the median distance between rows, at least
 * 2^24 ns = 17 ms, which is one frame of a screen. A line begins at its first row's time rounded
 * down to a multiple of h/4 (the first line of all at the first time rounded up to one of h/1024,
 * so as not to come before the last row of the chunk before). Each row i behind narrows the slopes
 * that are left to those that pass between t[i] - h and t[i] + h, and not above where a line from
 * row i + 1 would begin, so that the order of rows stays; when no multiple of h/1024 is left a
 * new line begins. Of the slopes left the one that ends in the most zeros is taken, because zeros
 * cost nothing. On a line all second differences are zero: only its ends cost bytes. On recorded
 * trainings, whose steps take now 4 and now 40 ms, a time then costs 0.13 bytes; all its bits 3.0.
 *
 * Worked number, with h/1024 as the unit: the median distance is 600, so h is 1024. Rows at 0, 700,
 * 1100, 1700 and 5000. The line begins at 0. Row 1 could be as late as a line from row 2 would
 * begin, at 1100 down to a multiple of 256 = 1024: slopes up to 1024, and from (700 - 1024) / 1.
 * Row 2: up to 1536 / 2 = 768. Row 3: up to 2724 / 3 = 908, from 676 / 3 = 226 up. Row 4 is
 * the last: 5000 / 4 = 1250, but from 3976 / 4 = 994 up, more than 768: a new line begins there, at
 * 5000 down to 4864. Of 226 to 768 the number with the most zeros is 512: 0, 512, 1024, 1536, 4864.
 *
 * Where clocks jump about, lines are short and cost more than they save: then times are rounded
 * down to a multiple of h/4.
 */

enum { MIN_BOUND_BITS = 24 }; /* 17 ms */
enum { DROPPED_BITS = 23 - ROUND_FLOAT_BITS, MIN_ROWS_OF_LINE = 8, GRAINS = 1024 };

static const int64_t TIME_LIMIT = INT64_C(1) << 61;

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_finite(uint32_t bits)
{
    return (bits & 0x7f800000U) != 0x7f800000U;
}

/* Round a finite, normal float; may become infinite. */
static uint32_t round_bits(uint32_t bits)
{
    uint32_t half = (UINT32_C(1) << (DROPPED_BITS - 1)) - 1;
    bits += half + ((bits >> DROPPED_BITS) & 1);
    return bits & ~((UINT32_C(1) << DROPPED_BITS) - 1);
}

void round_floats(const float *values, size_t n, float *out)
{
    float least = 0;
    float most = 0;
    bool has_any = false;
    for (size_t i = 0; i < n; i++) {
        if (is_finite(bits_of(values[i]))) {
            least = !has_any || values[i] < least ? values[i] : least;
            most = !has_any || values[i] > most ? values[i] : most;
            has_any = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(values[i]);
        float value = values[i];
        bool is_normal = is_finite(bits) && (bits & 0x7f800000U) != 0;
        if (is_normal && value > least && value < most) {
            bits = round_bits(bits);
            memcpy(&value, &bits, sizeof value);
            value = value > most ? most : value;
            value = value < least ? least : value;
        }
        memcpy(&out[i], &value, sizeof value);
    }
}

/* Tell the bits of the median of the distances between neighbours; 0 when it is 0. */
static unsigned median_bits(const int64_t *times_ns, size_t n)
{
    size_t counts[65] = {0};
    for (size_t i = 1; i < n; i++) {
        uint64_t distance = (uint64_t)times_ns[i] - (uint64_t)times_ns[i - 1];
        distance = times_ns[i] < times_ns[i - 1] ? 0 - distance : distance;
        counts[distance == 0 ? 0 : 64 - __builtin_clzll(distance)]++;
    }
    size_t n_below = 0; /* distances of fewer bits */
    unsigned bits = 0;
    while (bits < 64 && n_below + counts[bits] <= (n - 1) / 2) {
        n_below += counts[bits++];
    }
    return bits;
}

/* A line through rows from one on. */
struct line {
    size_t n; /* rows */
    int64_t base;
    int64_t slope;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient - (a % b < 0 ? 1 : 0);
}

static int64_t floor_to(int64_t time_ns, int64_t grain)
{
    return (int64_t)((uint64_t)time_ns & ~((uint64_t)grain - 1));
}

/* Of the multiples of the grain from least to most the one that ends in the most zeros. */
static int64_t roundest(int64_t least, int64_t most, int64_t grain)
{
    int64_t best = floor_to(most, grain);
    for (int64_t coarse = grain; coarse > 0 && floor_to(most, coarse) >= least;
         coarse *= 2) {
        best = floor_to(most, coarse);
        if (coarse >= INT64_C(1) << 60) {
            break;
        }
    }
    return best;
}

/* Where a line from a row on begins: not before the row before, which lies at last. */
static int64_t beginning(
    const int64_t *times_ns, size_t from, size_t n, int64_t bound, int64_t last)
{
    int64_t grain = bound / GRAINS;
    int64_t base = floor_to(times_ns[from], bound / 4);
    if (from > 0) {
        return base < last && last <= times_ns[from] ? last : base;
    }
    base = floor_to(times_ns[0] + grain - 1, grain);
    return n == 1 || base <= floor_to(times_ns[1], bound / 4) ? base : times_ns[0];
}

/* Lay a line through as many rows from one on as it can hold, at least that one. */
static struct line longest_line(
    const int64_t *times_ns, size_t from, size_t n, int64_t bound, int64_t last)
{
    int64_t grain = bound / GRAINS;
    struct line line = {.n = 1, .base = beginning(times_ns, from, n, bound, last)};
    int64_t least = INT64_MIN;
    int64_t most = INT64_MAX;
    for (size_t i = from + 1; i < n; i++) {
        int64_t count = (int64_t)(i - from);
        int64_t low = times_ns[i] - bound - line.base;
        int64_t next = i + 1 < n ? floor_to(times_ns[i + 1], bound / 4) : times_ns[i];
        next = next < line.base && line.base <= times_ns[i] ? line.base : next;
        int64_t high = times_ns[i] + bound < next ? times_ns[i] + bound : next;
        int64_t new_least = -floor_div(-low, count);
        int64_t new_most = floor_div(high - line.base, count);
        new_least = new_least > least ? new_least : least;
        new_most = new_most < most ? new_most : most;
        if (new_least > new_most || floor_to(new_most, grain) < new_least) {
            break;
        }
        least = new_least;
        most = new_most;
        line.n++;
    }
    line.slope = line.n > 1 ? roundest(least, most, grain) : 0;
    return line;
}

/* Tell whether lines would be few enough to pay, and the times such that sums cannot overflow. */
static bool are_lines_worth_it(const int64_t *times_ns, size_t n, int64_t bound)
{
    size_t n_lines = 0;
    for (size_t i = 0; i < n; i++) {
        if (times_ns[i] > TIME_LIMIT || times_ns[i] < -TIME_LIMIT) {
            return false;
        }
    }
    int64_t last = 0;
    for (size_t at = 0; at < n && n_lines <= n / MIN_ROWS_OF_LINE; n_lines++) {
        struct line line = longest_line(times_ns, at, n, bound, last);
        last = line.base + line.slope * (int64_t)(line.n - 1);
        at += line.n;
    }
    return n_lines <= n / MIN_ROWS_OF_LINE + 1;
}

void round_times(const int64_t *times_ns, size_t n, int64_t *out)
{
    unsigned bits =
        n > 1 ? median_bits(times_ns, n) : 0; /* the median is at least 2^(bits-1) */
    if (bits < 2 || bits > 60) {
        memmove(out, times_ns, n * sizeof *out);
        return;
    }
    int64_t bound = INT64_C(1) << (bits > MIN_BOUND_BITS ? bits : MIN_BOUND_BITS);
    if (!are_lines_worth_it(times_ns, n, bound)) {
        for (size_t i = 0; i < n; i++) {
            out[i] = floor_to(times_ns[i], bound / 4);
        }
        return;
    }
    for (size_t at = 0; at < n;) {
        struct line line = longest_line(times_ns, at, n, bound, at > 0 ? out[at - 1] : 0);
        for (size_t i = 0; i < line.n; i++) {
            out[at + i] = line.base + line.slope * (int64_t)i;
        }
        at += line.n;
    }
}
