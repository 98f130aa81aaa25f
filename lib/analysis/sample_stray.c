/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"

/*
 * Who leaves the flock for a while? A line that runs with all others and then departs is not far
 * from its neighbours as a whole, nor is it sparse around it (sample_outlier.c), nor need it leap
 * or reach the envelope; but where it ends nobody else is. How empty a place is tells a histogram
 * of each key column: a line's rarity there is log2(N / lines within 6 px) + log2(N / lines
 * within 34 px), the second so that those count more that are far from everything. A line's score
 * is the largest mean of that over a sixth of the columns behind each other: what is rare at one
 * column only is a leap, or the envelope.
 *
 * The lines with the largest scores are shown, as many as a quarter of the places (more of very many lines), but for those
 * that were shown for a graver reason and those that run beside one of them, nearer than shown
 * lines are apart. They need at least LEAST_SCORE: where a hundredth of the lines is about, nobody strays.
 *
 * Rejected, by measurement on recorded weights with slow departures planted (rank of the planted
 * ones among 10^4 lines): the local outlier factor of the whole line (2 to 12 %); one
 * scale only (0.2 to 1.2 %; with two 0.2 to 0.7 %).
 *
 * Worked number: of 1,024 lines one is alone within 6 px and has 7 others within 34 px: 10 + 7.
 */

enum {
    BIN_PX = 4,
    NEAR_BINS = 1, /* on either side */
    FAR_BINS = 8,
    WINDOW = 6,          /* one in so many columns */
    PLACES = 4,          /* one in so many is for them; or ... */
    ALL_TO_STRAYS = 400, /* ... one line in so many, but ... */
    MOST_OF_3 = 2        /* ... at most so many thirds of the places */
};

static const float least_score = 13; /* one line in 90 is as rare, at either scale */
static const float kept_bonus = 1;

struct sample_strays {
    size_t n_bins; /* of a column; the first and the last are beyond the chart */
    uint32_t *
        counts; /* n_columns x n_bins: lines; behind sampler_strays_rank: in all bins before */
    float *rarity; /* n_columns x n_bins */
};

struct sample_strays *sampler_strays_create(const struct sampler *s)
{
    struct sample_strays *strays = baro_xcalloc(1, sizeof *strays);
    strays->n_bins = (size_t)(s->screen.height_px / BIN_PX) + 3;
    strays->counts = baro_xcalloc(s->n_columns * strays->n_bins, sizeof *strays->counts);
    strays->rarity = baro_xcalloc(s->n_columns * strays->n_bins, sizeof *strays->rarity);
    return strays;
}

void sampler_strays_destroy(struct sample_strays *strays)
{
    if (strays != NULL) {
        free(strays->counts);
        free(strays->rarity);
        free(strays);
    }
}

static size_t bin_of(const struct sample_strays *strays, float y)
{
    const float at = y * (1.0F / BIN_PX);
    return at < 0                              ? 0
           : at >= (float)(strays->n_bins - 2) ? strays->n_bins - 1
                                               : (size_t)at + 1;
}

void sampler_strays_count(
    struct sample_strays *strays, const struct sampler *s, size_t line)
{
    const float *y = sampler_y(s, line);
    for (size_t c = 0; c < s->n_columns; c++) {
        if (!isnan(y[c])) {
            strays->counts[c * strays->n_bins + bin_of(strays, y[c])]++;
        }
    }
}

/* log2(lines in the column / those within so many bins of one). */
static float rarity_at(const uint32_t *before, size_t n_bins, size_t bin, size_t reach)
{
    const size_t from = bin > reach ? bin - reach : 0;
    const size_t to = bin + reach < n_bins ? bin + reach : n_bins - 1;
    const uint32_t n = before[to] - (from > 0 ? before[from - 1] : 0);
    return n > 0 ? log2f((float)before[n_bins - 1] / (float)n) : 0;
}

void sampler_strays_rank(struct sample_strays *strays, const struct sampler *s)
{
    const size_t n_bins = strays->n_bins;
    for (size_t c = 0; c < s->n_columns; c++) {
        uint32_t *before = strays->counts + c * n_bins;
        float *rarity = strays->rarity + c * n_bins;
        for (size_t b = 1; b < n_bins; b++) {
            before[b] += before[b - 1];
        }
        for (size_t b = 0; b < n_bins; b++) {
            rarity[b] = rarity_at(before, n_bins, b, NEAR_BINS) +
                        rarity_at(before, n_bins, b, FAR_BINS);
        }
    }
}

float sampler_strays_score(
    const struct sample_strays *strays, const struct sampler *s, size_t line)
{
    float rarity[POLYLINE_MAX_COLUMNS];
    const float *y = sampler_y(s, line);
    const size_t n = s->n_columns;
    const size_t window = n > WINDOW ? n / WINDOW : 1;
    float sum = 0;
    float most = 0;
    for (size_t c = 0; c < n; c++) {
        rarity[c] =
            isnan(y[c]) ? 0 : strays->rarity[c * strays->n_bins + bin_of(strays, y[c])];
        sum += rarity[c] - (c >= window ? rarity[c - window] : 0);
        most = c + 1 >= window && sum > most ? sum : most;
    }
    const float score =
        most / (float)window + (s->reason[line] == SAMPLE_OUTLIER ? kept_bonus : 0);
    return score > least_score ? score : 0;
}

size_t sampler_strays_most(const struct sampler *s)
{
    const size_t by_lines = s->n_lines / ALL_TO_STRAYS;
    const size_t least = s->target / PLACES, most = MOST_OF_3 * s->target / 3;
    return by_lines < least ? least : by_lines < most ? by_lines : most;
}
