/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/sample_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_near.h"
#include "lib/base/mem.h"

/*
 * A choice of lines can be judged without knowing how it was made. Does it light where all would
 * (coverage), without painting the same pixels over and over (overdraw)? Do its lines keep apart
 * in every interval, and is what is beyond that distance as even as chance (pairs)? Are the lines that a
 * density-based test calls outliers in it (local outlier factor)?
 *
 * Worked number: three points on a line at 0, 1 and 3 with k = 1. Reachability distances:
 * 0 from 1: max(k-distance of 1 = 1, 1) = 1; 1 from 0: 1; 3 from 1: max(1, 2) = 2. Local
 * densities 1, 1 and 1/2; factors 1, 1 and 2.
 */

void sample_canvas_init(struct sample_canvas *canvas, size_t width, size_t height)
{
    *canvas = (struct sample_canvas){width, height, baro_xcalloc(width * height, 4)};
}

void sample_canvas_finish(struct sample_canvas *canvas)
{
    free(canvas->n_draws);
    *canvas = (struct sample_canvas){0};
}

static void draw_span(struct sample_canvas *canvas, size_t column, float top, float bottom)
{
    const float height = (float)canvas->height;
    if (!(bottom >= 0 && top < height)) {
        return;
    }
    size_t from = top > 0 ? (size_t)top : 0;
    size_t to = bottom < height ? (size_t)bottom : canvas->height - 1;
    for (size_t y = from; y <= to && y < canvas->height; y++) {
        canvas->n_draws[column * canvas->height + y]++;
    }
}

/* Where a step lies, in columns. */
static double column_of(
    const struct sample_canvas *canvas, const struct polylines *lines, size_t step)
{
    double last = (double)(lines->n_steps - 1);
    double at = lines->x == NULL ? (double)step / last
                                 : (lines->x[step] - lines->x[0]) /
                                       (lines->x[lines->n_steps - 1] - lines->x[0]);
    return at * (double)(canvas->width - 1);
}

void sample_canvas_draw(struct sample_canvas *canvas, const struct polyline_screen *screen,
    const struct polylines *lines, size_t line)
{
    const float *values = lines->values + line * lines->n_steps;
    const size_t n = lines->n_steps;
    if (n == 1) {
        float y = polyline_height(screen, values[0]);
        draw_span(canvas, 0, y, y);
        return;
    }
    float before = polyline_height(screen, values[0]);
    double from = column_of(canvas, lines, 0);
    size_t column = 0;
    float top = before, bottom = before;
    for (size_t i = 1; i < n; i++) {
        float y = isfinite(values[i]) ? polyline_height(screen, values[i]) : NAN;
        double to = column_of(canvas, lines, i);
        /* Columns that end between the two readings: up to the edge, then on from it. */
        while ((double)column + 1 <= to && column + 1 < canvas->width) {
            double part = to > from ? ((double)column + 1 - from) / (to - from) : 1;
            float edge = before + (y - before) * (float)part;
            top = fminf(top, edge);
            bottom = fmaxf(bottom, edge);
            draw_span(canvas, column, top, bottom);
            column++;
            top = bottom = edge;
        }
        top = fminf(top, y);
        bottom = fmaxf(bottom, y);
        before = y;
        from = to;
    }
    draw_span(canvas, column, top, bottom);
}

/* One byte a pixel: whether one within reach above or below is lit. */
static uint8_t *spread_down(const struct sample_canvas *canvas)
{
    const size_t h = canvas->height;
    uint8_t *near = baro_xcalloc(canvas->width * h, 1);
    for (size_t x = 0; x < canvas->width; x++) {
        for (size_t y = 0; y < h; y++) {
            if (canvas->n_draws[x * h + y] == 0) {
                continue;
            }
            size_t from = y > SAMPLE_REACH_PX ? y - SAMPLE_REACH_PX : 0;
            size_t to = y + SAMPLE_REACH_PX < h ? y + SAMPLE_REACH_PX : h - 1;
            memset(near + x * h + from, 1, to - from + 1);
        }
    }
    return near;
}

double sample_coverage(const struct sample_canvas *all, const struct sample_canvas *some)
{
    const size_t h = all->height;
    baro_autofree uint8_t *near = spread_down(some);
    uint64_t n_lit = 0, n_near = 0;
    for (size_t x = 0; x < all->width; x++) {
        size_t from = x > SAMPLE_REACH_PX ? x - SAMPLE_REACH_PX : 0;
        size_t to = x + SAMPLE_REACH_PX < all->width ? x + SAMPLE_REACH_PX : all->width - 1;
        for (size_t y = 0; y < h; y++) {
            if (all->n_draws[x * h + y] == 0) {
                continue;
            }
            n_lit++;
            uint8_t is_near = 0;
            for (size_t u = from; u <= to; u++) {
                is_near |= near[u * h + y];
            }
            n_near += is_near;
        }
    }
    return n_lit > 0 ? (double)n_near / (double)n_lit : 1;
}

double sample_overdraw(const struct sample_canvas *canvas)
{
    uint64_t n_lit = 0, n_draws = 0;
    for (size_t i = 0; i < canvas->width * canvas->height; i++) {
        n_lit += canvas->n_draws[i] > 0;
        n_draws += canvas->n_draws[i];
    }
    return n_lit > 0 ? (double)n_draws / (double)n_lit : 0;
}

void sample_measure_pairs(const float *y, size_t n_shown, size_t n_columns,
    const float *radius, struct sample_pairs *out)
{
    double found[SAMPLE_PAIR_BINS] = {0}, even[SAMPLE_PAIR_BINS] = {0};
    double n_near = 0, n_pairs = 0;
    for (size_t t = 0; t + 1 < n_columns; t++) {
        double low = HUGE_VAL, high = -HUGE_VAL, n_here = 0;
        for (size_t a = 0; a < n_shown; a++) {
            const float *p = y + a * n_columns + t;
            double middle = ((double)p[0] + (double)p[1]) / 2;
            low = middle < low ? middle : low;
            high = middle > high ? middle : high;
            for (size_t b = 0; b < a; b++) {
                const float *q = y + b * n_columns + t;
                float from = p[0] - q[0], to = p[1] - q[1];
                float d = sqrtf((from * from + from * to + to * to) / 3);
                if (isnan(d)) {
                    continue;
                }
                double at = 2 * (double)d / (double)radius[t];
                found[at < SAMPLE_PAIR_BINS - 1 ? (size_t)at : SAMPLE_PAIR_BINS - 1]++;
                n_near += d < radius[t];
                n_here++;
            }
        }
        /* Of pairs even on a stretch of length L, 2 w / L (1 - d / L) are w around distance d. */
        double length = high - low, width = (double)radius[t] / 2;
        for (int i = 0; i < SAMPLE_PAIR_BINS - 1 && length > 0; i++) {
            double d = (i + 0.5) * width;
            even[i] += d < length ? n_here * 2 * width / length * (1 - d / length) : 0;
        }
        n_pairs += n_here;
    }
    out->near_share = n_pairs > 0 ? n_near / n_pairs : 0;
    for (int i = 0; i < SAMPLE_PAIR_BINS; i++) {
        out->density[i] = even[i] > 0 ? found[i] / even[i] : (double)NAN;
    }
}

/* 1 / mean reachability distance of a line from its neighbours. */
static double density_of(
    const struct sample_nearest *its, size_t k, const float *k_distance, double least)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        float reach = k_distance[its->who[i]] > its->squared[i] ? k_distance[its->who[i]]
                                                                : its->squared[i];
        double distance = sqrt((double)reach);
        sum += distance > least ? distance : least;
    }
    return sum > 0 ? (double)k / sum : 1e12; /* doubles of a line: as dense as can be */
}

void sample_lof(const float *features, size_t n, size_t n_features, const uint32_t *order,
    size_t n_references, size_t k, double least, double *out_scores)
{
    baro_autofree float *squared = baro_xcalloc(n_references * k, sizeof *squared);
    baro_autofree uint32_t *who = baro_xcalloc(n_references * k, sizeof *who);
    baro_autofree float *k_distance = baro_xcalloc(n_references, sizeof *k_distance);
    baro_autofree double *density = baro_xcalloc(n_references, sizeof *density);
    baro_autofree size_t *place = baro_xcalloc(n, sizeof *place);
    struct sample_near near;
    sample_near_init(&near, n_features, n_references);
    baro_autofree float *sums = baro_xcalloc(near.room + k, sizeof *sums);
    for (size_t r = 0; r < n_references; r++) {
        sample_near_add(&near, features + (size_t)order[r] * n_features);
        place[order[r]] = r + 1;
    }
    for (size_t r = 0; r < n_references; r++) {
        struct sample_nearest its = {squared + r * k, who + r * k};
        sample_near_measure(&near, features + (size_t)order[r] * n_features, sums);
        sample_find_nearest(sums, n_references, r, k, &its);
        k_distance[r] = its.squared[k - 1];
    }
    for (size_t r = 0; r < n_references; r++) {
        struct sample_nearest its = {squared + r * k, who + r * k};
        density[r] = density_of(&its, k, k_distance, least);
    }
    baro_autofree float *mine_squared = baro_xcalloc(k, sizeof *mine_squared);
    baro_autofree uint32_t *mine_who = baro_xcalloc(k, sizeof *mine_who);
    for (size_t i = 0; i < n; i++) {
        struct sample_nearest its = {mine_squared, mine_who};
        sample_near_measure(&near, features + i * n_features, sums);
        sample_find_nearest(
            sums, n_references, place[i] > 0 ? place[i] - 1 : SIZE_MAX, k, &its);
        double mine = density_of(&its, k, k_distance, least);
        double sum = 0;
        for (size_t j = 0; j < k; j++) {
            sum += density[its.who[j]] / mine;
        }
        out_scores[i] = sum / (double)k;
    }
    sample_near_finish(&near);
}
