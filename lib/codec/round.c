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
 * room. They are laid on a chain of straight lines, each as long as it can be with no row further
 * from its time than a bound h: the smallest power of two above the median distance between rows,
 * at least 2^24 ns = 17 ms, which is one frame of a screen. A line begins where the one before it
 * ends (the first at the first time rounded up to a multiple of h/256, so as not to come before
 * the last row of the chunk before). The slopes left are at first all from 0 up, so that the
 * order of rows stays; each row i behind narrows them to those that pass between t[i] - h and
 * t[i] + h and not above the last time of all. When no multiple of h/256 is left the line ends with
 * the row before, and of its slopes one is taken that brings it within h/8 of that row's time: the
 * one that ends in the most zeros, because zeros cost nothing; if there is none, the nearest. On
 * a chain all second differences are zero but one at each bend: only those cost bytes. On recorded
 * trainings, whose steps take now 4 and now 40 ms, a time then costs 0.075 bytes; all its bits 3.0.
 * Lines that need not touch each other take 0.14: such a line may not rise above where the next
 * one could begin, so that only half of the band around the times is its own.
 *
 * Worked number, with h/256 as the unit: the median distance is 175, so h is 256. Rows at 0, 175,
 * 275, 425 and 1250. The line begins at 0. Row 1: slopes up to 431. Row 2: up to 531 / 2 = 265,
 * from 19 / 2 up to a whole number = 10 up. Row 3: up to 681 / 3 = 227, from 169 / 3 = 57 up.
 * Row 4, the last: at most 1250 / 4 = 312, but from 994 / 4 = 249 up, so the line ends with row 3, at
 * 425 if it had the slope 141; within 32 / 3 = 10 of that the number with the most zeros is 144:
 * 0, 144, 288, 432. From there row 4 takes the slopes from 562 to 818, the nearest to 818 within
 * 32 that has the most zeros is 800: 1232.
 *
 * A clock that is set back by more than the bound begins a new chain. Where that happens at
 * every eighth row, times are rounded down to a multiple of h/4.
 */

enum { MIN_BOUND_BITS = 24 }; /* 17 ms */
enum {
    DROPPED_BITS = 23 - ROUND_FLOAT_BITS,
    MIN_ROWS_OF_CHAIN = 8,
    GRAINS = 256, /* of slopes in a bound */
    NEAR = 8      /* parts of a bound: how near to a row a line may end as it likes */
};

static const int64_t TIME_SPAN = INT64_C(1) << 61; /* 73 years; from 1970 to 2116 */

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

/* The slopes that a line may have. */
struct slopes {
    int64_t least;
    int64_t most;
};

/* Choose a slope that has many zeros and brings a line near to where its last row should be. */
static int64_t choose_slope(
    struct slopes slopes, int64_t rise, int64_t count, int64_t bound)
{
    int64_t grain = bound / GRAINS;
    int64_t wanted = rise / count;
    int64_t width = bound / NEAR / count;
    wanted = wanted < slopes.least ? slopes.least : wanted;
    wanted = wanted > slopes.most ? slopes.most : wanted;
    int64_t least = wanted - width > slopes.least ? wanted - width : slopes.least;
    int64_t most = wanted + width < slopes.most ? wanted + width : slopes.most;
    if (floor_to(most, grain) >= least) {
        return roundest(least, most, grain);
    }
    int64_t below = floor_to(wanted, grain);
    int64_t above = below + grain;
    bool is_below =
        above > slopes.most || (below >= slopes.least && wanted - below < above - wanted);
    return is_below ? below : above;
}

/* Lay a line from a row on, which is placed at base, through as many rows as it can hold. */
static struct line longest_line(
    const int64_t *times_ns, size_t from, size_t n, int64_t bound, int64_t base)
{
    int64_t grain = bound / GRAINS;
    struct line line = {.n = 1, .base = base};
    struct slopes slopes = {0, INT64_MAX};
    for (size_t i = from + 1; i < n; i++) {
        int64_t count = (int64_t)(i - from);
        int64_t top = times_ns[i] + bound;
        top =
            top > times_ns[n - 1] && times_ns[i] <= times_ns[n - 1] ? times_ns[n - 1] : top;
        int64_t least = -floor_div(base - times_ns[i] + bound, count);
        int64_t most = floor_div(top - base, count);
        least = least > slopes.least ? least : slopes.least;
        most = most < slopes.most ? most : slopes.most;
        if (least > most || floor_to(most, grain) < least) {
            break;
        }
        slopes = (struct slopes){least, most};
        line.n++;
    }
    if (line.n > 1) {
        line.slope = choose_slope(
            slopes, times_ns[from + line.n - 1] - base, (int64_t)line.n - 1, bound);
    }
    return line;
}

/* Where a chain that begins with a row places it: not behind the last time of all. */
static int64_t beginning(const int64_t *times_ns, size_t at, size_t n, int64_t bound)
{
    int64_t grain = bound / GRAINS;
    int64_t base = floor_to(times_ns[at] + grain - 1, grain);
    return base <= times_ns[n - 1] ? base : times_ns[at];
}

/* Lay chains through all rows; tells how many, at most one more than max_chains. */
static size_t lay_chains(
    const int64_t *times_ns, size_t n, int64_t bound, size_t max_chains, int64_t *out)
{
    size_t n_chains = 1;
    out[0] = beginning(times_ns, 0, n, bound);
    for (size_t at = 0; at + 1 < n && n_chains <= max_chains;) {
        struct line line = longest_line(times_ns, at, n, bound, out[at]);
        for (size_t i = 1; i < line.n; i++) {
            out[at + i] = line.base + line.slope * (int64_t)i;
        }
        if (line.n == 1) {
            out[at + 1] = beginning(times_ns, at + 1, n, bound);
            n_chains++;
        }
        at += line.n > 1 ? line.n - 1 : 1;
    }
    return n_chains;
}

/* Tell whether sums of times cannot overflow. */
static bool are_close(const int64_t *times_ns, size_t n)
{
    int64_t least = times_ns[0];
    int64_t most = times_ns[0];
    for (size_t i = 1; i < n; i++) {
        least = times_ns[i] < least ? times_ns[i] : least;
        most = times_ns[i] > most ? times_ns[i] : most;
    }
    return least >= -2 * TIME_SPAN && most <= 2 * TIME_SPAN && most - least <= TIME_SPAN;
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
    size_t max_chains = n / MIN_ROWS_OF_CHAIN + 1;
    if (are_close(times_ns, n) &&
        lay_chains(times_ns, n, bound, max_chains, out) <= max_chains) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = floor_to(times_ns[i], bound / 4);
    }
}
