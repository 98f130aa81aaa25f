/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/hist.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* Exponents as the histogram has them; others are counted at the ends. */
enum { MIN_EXP = -64, MAX_EXP = 63, N_EXPS = MAX_EXP - MIN_EXP + 1 };

/* One step: shares of all elements. */
struct hist_row {
    int64_t step;
    float zero;
    float pos[N_EXPS], neg[N_EXPS];
};

int64_t hist_every(int64_t from_step, int64_t to_step)
{
    int64_t every = 1;
    while ((to_step - from_step) / every >= HIST_MAX_ROWS - 1) {
        every *= 2;
    }
    return every;
}

void hist_finish(struct hist *hist)
{
    free(hist->rows);
    *hist = (struct hist){0};
}

static void fill_row(struct hist_row *row, const struct reading *summary)
{
    *row = (struct hist_row){.step = summary->header.step};
    double n_elements = summary->f64[SUMMARY_COUNT];
    if (!(n_elements > 0)) {
        return;
    }
    double every = summary->f64[SUMMARY_HIST_EVERY];
    double unit = (every > 0 ? every : 1) / n_elements;
    row->zero = (float)(summary->f64[SUMMARY_N_ZERO] / n_elements);
    size_t n = summary->extra_bytes / sizeof(struct reading_bin);
    for (size_t i = 0; i < n; i++) {
        struct reading_bin bin;
        memcpy(&bin, summary->extra + i * sizeof bin, sizeof bin);
        int exp = bin.bin < MIN_EXP ? MIN_EXP : bin.bin > MAX_EXP ? MAX_EXP : bin.bin;
        float *side = bin.sign < 0 ? row->neg : row->pos;
        side[exp - MIN_EXP] += (float)(bin.count * unit);
    }
}

/* Whether the last row before a place is of the same turn as a step. */
static bool is_same_turn(const struct hist *hist, size_t at, int64_t step)
{
    int64_t every = hist->every > 1 ? hist->every : 1;
    return at > 0 && hist->rows[at - 1].step / every == step / every;
}

/* Keep rows of twice as many steps each. */
static void thin(struct hist *hist)
{
    size_t n = 0;
    hist->every = 2 * (hist->every > 1 ? hist->every : 1);
    for (size_t i = 0; i < hist->n; i++) {
        n = is_same_turn(hist, n, hist->rows[i].step) ? n - 1 : n;
        if (n != i) {
            hist->rows[n] = hist->rows[i];
        }
        n++;
    }
    hist->n = n;
}

void hist_add(struct hist *hist, const struct reading *summary)
{
    if (hist->rows == NULL) {
        hist->rows = baro_xcalloc(HIST_MAX_ROWS + 1, sizeof *hist->rows);
    }
    size_t at = hist->n;
    while (at > 0 && hist->rows[at - 1].step > summary->header.step) {
        at--;
    }
    if (is_same_turn(hist, at, summary->header.step)) {
        fill_row(&hist->rows[at - 1], summary);
        return;
    }
    memmove(&hist->rows[at + 1], &hist->rows[at], (hist->n - at) * sizeof *hist->rows);
    fill_row(&hist->rows[at], summary);
    hist->n++;
    while (hist->n > HIST_MAX_ROWS) {
        thin(hist);
    }
}

/*
 * The exponents worth showing: the largest that occurs, and downwards until all but a
 * thousandth of what is not zero lies above; the rest is counted with the smallest shown.
 */
static void find_exps(const struct hist *hist, int *out_first, int *out_n)
{
    double sums[N_EXPS] = {0};
    double total = 0;
    for (size_t i = 0; i < hist->n; i++) {
        for (int exp = 0; exp < N_EXPS; exp++) {
            double share = (double)hist->rows[i].pos[exp] + (double)hist->rows[i].neg[exp];
            sums[exp] += share;
            total += share;
        }
    }
    int last = N_EXPS - 1;
    while (last >= 0 && !(sums[last] > 0)) {
        last--;
    }
    int first = 0;
    double below = 0;
    while (first < last && below + sums[first] <= total / 1000) {
        below += sums[first++];
    }
    *out_first = last < 0 ? 0 : first + MIN_EXP;
    *out_n = last < 0 ? 0 : last - first + 1;
}

struct model_hist *hist_publish(const struct hist *hist, uint32_t thing)
{
    int first = 0;
    int n_exps = 0;
    find_exps(hist, &first, &n_exps);
    size_t n_bins = 2 * (size_t)n_exps + 1;
    struct model_hist *part = part_create(
        sizeof *part + hist->n * sizeof(int64_t) + hist->n * n_bins * sizeof(float), NULL);
    int64_t *steps = (int64_t *)(part + 1);
    float *shares = (float *)(steps + hist->n);
    part->thing = thing;
    part->first_exp = first;
    part->n_exps = n_exps;
    part->n = hist->n;
    part->every = hist->every > 1 ? hist->every : 1;
    part->steps = steps;
    part->shares = shares;
    for (size_t i = 0; i < hist->n; i++) {
        const struct hist_row *row = &hist->rows[i];
        float *out = &shares[i * n_bins];
        steps[i] = row->step;
        out[n_exps] = row->zero;
        for (int e = 0; e < N_EXPS && n_exps > 0; e++) {
            int at = e - (first - MIN_EXP);
            at = at < 0 ? 0 : at < n_exps ? at : n_exps - 1;
            out[n_exps - 1 - at] += row->neg[e];
            out[n_exps + 1 + at] += row->pos[e];
        }
    }
    return part;
}
