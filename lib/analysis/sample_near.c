/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample_near.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/mem.h"

/*
 * Comparing each of 10^5 lines with some hundred others is most of what choosing costs beside
 * reading them. Within a block of 32 rows the first numbers of all lie side by side, then the
 * second ones: 32 sums grow in registers while one walk goes through the block. Each sum adds its
 * terms in the order of the numbers and products are rounded before they are added, so wider
 * registers give the same bits.
 */

/* Eight floats that a processor may take at once, or in halves. */
typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));

enum { LANES = 8, PARTS = SAMPLE_BLOCK / LANES };

void sample_near_init(struct sample_near *near, size_t n_numbers, size_t n_rows)
{
    size_t n_blocks = (n_rows + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK;
    *near = (struct sample_near){.n_numbers = n_numbers, .room = n_blocks * SAMPLE_BLOCK};
    near->blocks = baro_xcalloc(near->room * n_numbers, sizeof *near->blocks);
}

void sample_near_finish(struct sample_near *near)
{
    free(near->blocks);
    *near = (struct sample_near){0};
}

void sample_near_add(struct sample_near *near, const float *row)
{
    const size_t at = near->n++;
    float *block = near->blocks + at / SAMPLE_BLOCK * SAMPLE_BLOCK * near->n_numbers;
    for (size_t i = 0; i < near->n_numbers; i++) {
        block[i * SAMPLE_BLOCK + at % SAMPLE_BLOCK] = row[i];
    }
}

static inline __attribute__((always_inline)) void measure(
    const struct sample_near *near, const float *row, float *out_sums)
{
    const size_t n_numbers = near->n_numbers;
    for (size_t first = 0; first < near->n; first += SAMPLE_BLOCK) {
        const lanes *theirs = (const lanes *)(near->blocks + first * n_numbers);
        lanes a = {0}, b = {0}, c = {0}, d = {0};
        for (size_t i = 0; i < n_numbers; i++, theirs += PARTS) {
            lanes ea = theirs[0] - row[i], eb = theirs[1] - row[i];
            lanes ec = theirs[2] - row[i], ed = theirs[3] - row[i];
            a += ea * ea;
            b += eb * eb;
            c += ec * ec;
            d += ed * ed;
        }
        lanes *sums = (lanes *)(out_sums + first);
        sums[0] = a;
        sums[1] = b;
        sums[2] = c;
        sums[3] = d;
    }
}

/* Who is nearest so far, lane by lane: the first of those that are equally near. */
typedef int32_t places __attribute__((vector_size(32), aligned(4), may_alias));

struct best {
    lanes squared;
    places who;
};

static inline __attribute__((always_inline)) void note(
    struct best *best, const lanes *new, int32_t first)
{
    const lanes squared = *new;
    const places own = {0, 1, 2, 3, 4, 5, 6, 7};
    const places is_less = squared < best->squared;
    best->squared =
        (lanes)(((places)squared & is_less) | ((places)best->squared & ~is_less));
    best->who = ((own + first) & is_less) | (best->who & ~is_less);
}

static inline __attribute__((always_inline)) size_t find_best(
    const struct sample_near *near, const float *row, float *out_squared)
{
    const size_t n_numbers = near->n_numbers;
    struct best best = {(lanes){0} + INFINITY, {0}};
    for (size_t first = 0; first < near->n; first += SAMPLE_BLOCK) {
        const lanes *theirs = (const lanes *)(near->blocks + first * n_numbers);
        lanes a = {0}, b = {0}, c = {0}, d = {0};
        for (size_t i = 0; i < n_numbers; i++, theirs += PARTS) {
            lanes ea = theirs[0] - row[i], eb = theirs[1] - row[i];
            lanes ec = theirs[2] - row[i], ed = theirs[3] - row[i];
            a += ea * ea;
            b += eb * eb;
            c += ec * ec;
            d += ed * ed;
        }
        note(&best, &a, (int32_t)first);
        note(&best, &b, (int32_t)first + LANES);
        note(&best, &c, (int32_t)first + 2 * LANES);
        note(&best, &d, (int32_t)first + 3 * LANES);
    }
    size_t lane = 0;
    for (size_t l = 1; l < LANES; l++) {
        const bool is_first = best.who[l] < best.who[lane];
        if (best.squared[l] < best.squared[lane] ||
            (!(best.squared[l] > best.squared[lane]) && is_first)) {
            lane = l;
        }
    }
    *out_squared = best.squared[lane];
    return (size_t)best.who[lane];
}

/* Whether any of eight is less than a bar. */
static inline __attribute__((always_inline)) bool has_less(const float *sums, float bar)
{
    typedef int64_t halves __attribute__((vector_size(32)));
    const halves is_less = (halves)(*(const lanes *)sums < bar);
    return (is_less[0] | is_less[1] | is_less[2] | is_less[3]) != 0;
}

static inline __attribute__((always_inline)) void find_nearest(
    const float *sums, size_t n, size_t but, size_t k, struct sample_nearest *out)
{
    size_t have = 0;
    for (size_t i = 0; i < n; i++) {
        while (have == k && i % LANES == 0 && i + LANES <= n &&
               !has_less(sums + i, out->squared[k - 1])) {
            i += LANES;
        }
        if (i == n) {
            return;
        }
        const float sum = sums[i];
        if ((have == k && !(sum < out->squared[k - 1])) || i == but) {
            continue;
        }
        size_t at = have < k ? have++ : k - 1;
        for (; at > 0 && out->squared[at - 1] > sum; at--) {
            out->squared[at] = out->squared[at - 1];
            out->who[at] = out->who[at - 1];
        }
        out->squared[at] = sum;
        out->who[at] = (uint32_t)i;
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void measure_avx2(
    const struct sample_near *near, const float *row, float *out_sums)
{
    measure(near, row, out_sums);
}

__attribute__((target("avx2"))) static size_t find_best_avx2(
    const struct sample_near *near, const float *row, float *out_squared)
{
    return find_best(near, row, out_squared);
}

__attribute__((target("avx2"))) static void find_nearest_avx2(
    const float *sums, size_t n, size_t but, size_t k, struct sample_nearest *out)
{
    find_nearest(sums, n, but, k, out);
}
#endif

void sample_near_measure(const struct sample_near *near, const float *row, float *out_sums)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        measure_avx2(near, row, out_sums);
        return;
    }
#endif
    measure(near, row, out_sums);
}

size_t sample_near_best(
    const struct sample_near *near, const float *row, float *out_squared)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        return find_best_avx2(near, row, out_squared);
    }
#endif
    return find_best(near, row, out_squared);
}

void sample_near_end(struct sample_near *near)
{
    for (size_t at = near->n; at % SAMPLE_BLOCK != 0; at++) {
        float *block = near->blocks + at / SAMPLE_BLOCK * SAMPLE_BLOCK * near->n_numbers;
        for (size_t i = 0; i < near->n_numbers; i++) {
            block[i * SAMPLE_BLOCK + at % SAMPLE_BLOCK] = INFINITY;
        }
    }
}

void sample_find_nearest(
    const float *sums, size_t n, size_t but, size_t k, struct sample_nearest *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        find_nearest_avx2(sums, n, but, k, out);
        return;
    }
#endif
    find_nearest(sums, n, but, k, out);
}
