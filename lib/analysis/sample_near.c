/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample_near.h"

#include <stdlib.h>
#include <string.h>

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

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void measure_avx2(
    const struct sample_near *near, const float *row, float *out_sums)
{
    measure(near, row, out_sums);
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

void sample_find_nearest(
    const float *sums, size_t n, size_t but, size_t k, struct sample_nearest *out)
{
    size_t have = 0;
    for (size_t i = 0; i < n; i++) {
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
