/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample_grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Two straight pieces over one interval, whose ends differ by a and b, lie apart by
 * d^2 = (a^2 + a b + b^2) / 3 in the mean square. With the difference of their middles dm =
 * (a + b) / 2 and of their rises ds = b - a that is dm^2 + ds^2 / 12: a piece is a point
 * (middle, rise / sqrt(12)), and d the plain distance of points. So crossing lines are told from
 * those that run beside each other, and a list per row of pixels finds who is near.
 *
 * Worked number: a = 3, b = -3 (they cross): d^2 = (9 - 9 + 9) / 3 = 3; dm = 0, ds = -6, 36 / 12 = 3.
 */

#define SQRT_12 3.46410161513775458705F

enum {
    STRIDE = 37, /* so that the intervals looked at first lie apart */
    LANES = 4
};

void sample_grid_init(
    struct sample_grid *grid, size_t n_columns, size_t n_slots, float height_px)
{
    size_t n = n_columns > 1 ? n_columns - 1 : 1;
    *grid = (struct sample_grid){.n_intervals = n,
        .n_columns = n_columns,
        .n_slots = n_slots,
        .height_px = height_px,
        .head = baro_xcalloc(n * SAMPLE_GRID_CELLS, sizeof(uint16_t)),
        .pieces = baro_xcalloc(n_slots * n, sizeof(struct sample_piece))};
    sample_grid_clear(grid);
}

void sample_grid_finish(struct sample_grid *grid)
{
    free(grid->head);
    free(grid->pieces);
    *grid = (struct sample_grid){0};
}

void sample_grid_clear(struct sample_grid *grid)
{
    memset(grid->head, 0xff, grid->n_intervals * SAMPLE_GRID_CELLS * sizeof(uint16_t));
    for (size_t t = 0; t < grid->n_intervals; t++) {
        float least = grid->height_px / SAMPLE_GRID_CELLS;
        float cell = grid->radius[t] > least ? grid->radius[t] : least;
        grid->cell[t] = cell;
        /* A little larger, so that rounding never puts near ones two cells apart. */
        grid->cells_a_px[t] = 0.999F / cell;
    }
}

static int cell_of(const struct sample_grid *grid, size_t t, float middle)
{
    float at = middle * grid->cells_a_px[t];
    return at < 0 ? 0 : at >= SAMPLE_GRID_CELLS ? SAMPLE_GRID_CELLS - 1 : (int)at;
}

/* A line's piece over one interval; false where an end is missing. */
static bool piece_of(const struct sample_grid *grid, const float *y, size_t t,
    float *out_middle, float *out_rise)
{
    float from = y[t];
    float to = grid->n_columns > 1 ? y[t + 1] : from;
    *out_middle = (from + to) / 2;
    *out_rise = (to - from) / SQRT_12;
    return !isnan(*out_middle);
}

static void put(struct sample_grid *grid, size_t slot, size_t t, const float *y)
{
    struct sample_piece *piece = &grid->pieces[t * grid->n_slots + slot];
    float middle, rise;
    bool has = piece_of(grid, y, t, &middle, &rise);
    *piece = (struct sample_piece){has ? middle : NAN, rise, SAMPLE_NOBODY};
    if (has) {
        uint16_t *head =
            &grid->head[t * SAMPLE_GRID_CELLS + (size_t)cell_of(grid, t, middle)];
        piece->next = *head;
        *head = (uint16_t)slot;
    }
}

void sample_grid_add(struct sample_grid *grid, size_t slot, const float *y)
{
    for (size_t t = 0; t < grid->n_intervals; t++) {
        put(grid, slot, t, y);
    }
}

void sample_grid_move(
    struct sample_grid *grid, size_t slot, size_t interval, const float *y)
{
    struct sample_piece *pieces = grid->pieces + interval * grid->n_slots;
    float middle = pieces[slot].middle;
    if (!isnan(middle)) {
        uint16_t *at = &grid->head[interval * SAMPLE_GRID_CELLS +
                                   (size_t)cell_of(grid, interval, middle)];
        while (*at != slot) {
            at = &pieces[*at].next;
        }
        *at = pieces[slot].next;
    }
    put(grid, slot, interval, y);
}

static bool is_near(const struct sample_grid *grid, size_t t, float middle, float rise)
{
    const struct sample_piece *pieces = grid->pieces + t * grid->n_slots;
    const float least = grid->radius[t] * grid->radius[t];
    int cell = cell_of(grid, t, middle);
    int from = cell > 0 ? cell - 1 : 0;
    int to = cell < SAMPLE_GRID_CELLS - 1 ? cell + 1 : cell;
    for (int c = from; c <= to; c++) {
        uint16_t slot = grid->head[t * SAMPLE_GRID_CELLS + (size_t)c];
        while (slot != SAMPLE_NOBODY) {
            float dm = pieces[slot].middle - middle;
            float ds = pieces[slot].rise - rise;
            if (dm * dm + ds * ds < least) {
                return true;
            }
            slot = pieces[slot].next;
        }
    }
    return false;
}

/* Weight of the intervals in which a line has a piece. */
static float weight_of(const struct sample_grid *grid, const float *y, const float *weights)
{
    float all[LANES] = {0};
    if (grid->n_columns == 1) {
        return isnan(y[0]) ? 0 : weights[0];
    }
    size_t t = 0;
    for (; t + LANES <= grid->n_intervals; t += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float sum = y[t + l] + y[t + l + 1];
            all[l] += sum == sum ? weights[t + l] : 0;
        }
    }
    for (; t < grid->n_intervals; t++) {
        float sum = y[t] + y[t + 1];
        all[0] += sum == sum ? weights[t] : 0;
    }
    return (all[0] + all[1]) + (all[2] + all[3]);
}

float sample_grid_conflict(const struct sample_grid *grid, const float *y,
    const float *weights, size_t first, float most, struct sample_mask *out_mask)
{
    const size_t n = grid->n_intervals;
    const float all = weight_of(grid, y, weights);
    float bad = 0;
    memset(out_mask, 0, sizeof *out_mask);
    if (!(all > 0)) {
        return 2;
    }
    size_t stride = n % STRIDE != 0 ? STRIDE : 1;
    size_t t = first;
    for (size_t i = 0; i < n; i++) {
        float middle, rise;
        if (piece_of(grid, y, t, &middle, &rise)) {
            if (!is_near(grid, t, middle, rise)) {
                out_mask->bits[t / 64] |= UINT64_C(1) << (t % 64);
            } else {
                bad += weights[t];
                if (bad > most * all) {
                    break;
                }
            }
        }
        t += stride;
        t = t >= n ? t % n : t;
    }
    return bad / all;
}
