/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/apart.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum { MAX_STEPS = 48 };

/* Rows of all lines at a few steps, step by step; NaN where there is none. */
static float *find_rows(
    const struct model_units *rows, const struct axis *y, float height, size_t n_steps)
{
    float *at = baro_xcalloc(n_steps * rows->n_units + 1, sizeof *at);
    for (size_t step = 0; step < n_steps; step++) {
        size_t column = (2 * step + 1) * rows->n / (2 * n_steps);
        for (size_t line = 0; line < rows->n_units; line++) {
            float mean = rows->mean[line * rows->n + column];
            double place = isnan(mean) ? (double)NAN : axis_place(y, (double)mean);
            /* What lies beyond the chart lies at its edge, near enough. */
            place = place < -4 ? -4 : place > 5 ? 5 : place;
            at[step * rows->n_units + line] = (float)place * height;
        }
    }
    return at;
}

void apart_measure(
    const struct model_units *rows, const struct axis *y, float height, float *out)
{
    size_t n_steps = rows->n < MAX_STEPS ? rows->n : MAX_STEPS;
    size_t n = rows->n_units;
    baro_autofree float *at = find_rows(rows, y, height, n_steps);
    for (size_t line = 0; line < n; line++) {
        float sum = 0;
        size_t n_summed = 0;
        for (size_t step = 0; step < n_steps; step++) {
            const float *row = &at[step * n];
            float nearest = height;
            for (size_t other = 0; other < n; other++) {
                float distance = fabsf(row[other] - row[line]);
                nearest = other != line && distance < nearest ? distance : nearest;
            }
            if (!isnan(row[line])) {
                sum += nearest;
                n_summed++;
            }
        }
        out[line] = n_summed > 0 ? sum / (float)n_summed : 0;
    }
}
