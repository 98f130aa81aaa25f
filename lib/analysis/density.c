/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/density.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Where do the thousands of lines run of which only some hundred are drawn? Counting how often each
 * pixel is drawn misleads: a line that jumps lights a whole column and so counts hundreds of
 * times. After DenseLines (Moritz, Fisher 2018, arXiv 1808.06019) each line is rasterised on its own,
 * each of its pixel columns divided by the number of pixels lit in it, and the results added: a
 * line weighs 1 in every column, level or steep.
 *
 * The pixels that one line lights in one column are one span (a gap narrower than a column is
 * bridged). So a line adds 1/n at the top of the span and takes it away below: two sums a
 * column, and not as many as there are pixels. Sums are whole numbers of 2^-32 lines: exact, so
 * the same lines give the same picture in any order and any slices. 2^31 lines fit.
 *
 * Shades: g(c) = c up to one line, 1 + ln c above; shade = 255 g(c) / g(densest).
 *
 * Worked number: in a column of 20 pixels a level line at row 5 and a line that falls from row 4 to row
 * 7: row 4: 1/4, row 5: 1 + 1/4, rows 6 and 7: 1/4; the sum is 2. Of 100 lines in the densest
 * pixel g = 1 + ln 100 = 5.6, so one line has shade 255 / 5.6 = 45.
 */

#define ONE_LINE ((int64_t)1 << 32)

void density_init(struct density *density, size_t width, size_t height)
{
    *density = (struct density){.width = width, .height = height};
    density->edges = baro_xcalloc(width * (height + 1), sizeof *density->edges);
}

void density_finish(struct density *density)
{
    free(density->edges);
    *density = (struct density){0};
}

void density_clear(struct density *density)
{
    memset(
        density->edges, 0, density->width * (density->height + 1) * sizeof *density->edges);
    density->n_added = 0;
}

/* Heights that a line takes within one pixel column; NaN: none yet. */
struct span {
    float top, bottom;
};

static void add_span(struct density *density, size_t column, struct span span)
{
    const float height = (float)density->height;
    /* A reading at the foot of the axis lies on the lower edge of the lowest pixel: in it. */
    if (!(span.bottom >= 0 && span.top <= height)) {
        return;
    }
    size_t from = span.top > 0 ? (size_t)span.top : 0;
    from = from < density->height ? from : density->height - 1;
    size_t last = span.bottom < height ? (size_t)span.bottom : density->height - 1;
    int64_t share = ONE_LINE / (int64_t)(last - from + 1);
    int64_t *edges = density->edges + column * (density->height + 1);
    edges[from] += share;
    edges[last + 1] -= share;
}

/* fminf and fmaxf of a number that may be missing in the span, in what a compiler makes quick. */
static void widen(struct span *span, float y)
{
    span->top = !(span->top <= y) ? y : span->top;
    span->bottom = !(span->bottom >= y) ? y : span->bottom;
}

/* What is drawn at one step: its reading, and the extremes of those that it stands for. */
struct place {
    float y; /* NaN: a break */
    float top, bottom;
};

static struct place place_of(
    const struct polyline_screen *screen, const struct polylines *lines, size_t at)
{
    float value = lines->values[at];
    if ((lines->marks != NULL && lines->marks[at] == POLYLINE_GAP) || !isfinite(value)) {
        return (struct place){NAN, NAN, NAN};
    }
    float y = polyline_height(screen, value);
    struct place place = {y, y, y};
    if (lines->high != NULL && isfinite(lines->high[at])) {
        float top = polyline_height(screen, lines->high[at]);
        place.top = top < y ? top : y;
    }
    if (lines->low != NULL && isfinite(lines->low[at])) {
        float bottom = polyline_height(screen, lines->low[at]);
        place.bottom = bottom > y ? bottom : y;
    }
    return place;
}

static void enter(struct span *span, const struct place *place)
{
    if (!isnan(place->y)) {
        widen(span, place->top);
        widen(span, place->bottom);
    }
}

/* The columns that the piece between two readings leaves behind it; both at most the last one. */
static void pass(struct density *density, struct span *span, size_t *column, double from,
    double to, float y_from, float y_to)
{
    if (!((double)*column + 1 <= to)) {
        return;
    }
    const bool is_drawn = !isnan(y_from) && !isnan(y_to);
    const double slope = to > from ? ((double)y_to - (double)y_from) / (to - from) : 0;
    while ((double)*column + 1 <= to && *column + 1 < density->width) {
        double edge = (double)*column + 1;
        float y = is_drawn ? (float)((double)y_from + slope * (edge - from)) : NAN;
        if (is_drawn) {
            widen(span, y);
        }
        add_span(density, *column, *span);
        *span = (struct span){y, y};
        ++*column;
    }
}

void density_add(struct density *density, const struct polyline_screen *screen,
    const struct polylines *lines, size_t line)
{
    const size_t n = lines->n_steps;
    const size_t begin = line * n;
    density->n_added++;
    if (n == 0) {
        return;
    }
    const double first = lines->x != NULL ? lines->x[0] : 0;
    const double length = lines->x != NULL ? lines->x[n - 1] - first : (double)(n - 1);
    const double by = length > 0 ? (double)(density->width - 1) / length : 0;
    struct place before = place_of(screen, lines, begin);
    struct span span = {NAN, NAN};
    double from = 0;
    size_t column = 0;
    enter(&span, &before);
    for (size_t i = 1; i < n; i++) {
        struct place now = place_of(screen, lines, begin + i);
        double to = (lines->x != NULL ? lines->x[i] - first : (double)i) * by;
        pass(density, &span, &column, from, to, before.y, now.y);
        enter(&span, &now);
        before = now;
        from = to;
    }
    add_span(density, column, span);
}

void density_get(const struct density *density, float *out_cells)
{
    for (size_t x = 0; x < density->width; x++) {
        const int64_t *edges = density->edges + x * (density->height + 1);
        int64_t sum = 0;
        for (size_t y = 0; y < density->height; y++) {
            sum += edges[y];
            out_cells[y * density->width + x] = (float)((double)sum / (double)ONE_LINE);
        }
    }
}

static double shade_curve(double lines)
{
    return lines <= 1 ? lines : 1 + log(lines);
}

float density_shade(const float *cells, size_t n_cells, uint8_t *out_shades)
{
    float most = 0;
    for (size_t i = 0; i < n_cells; i++) {
        most = cells[i] > most ? cells[i] : most;
    }
    const double by = most > 0 ? 255 / shade_curve((double)most) : 0;
    for (size_t i = 0; i < n_cells; i++) {
        double shade = shade_curve((double)cells[i]) * by + 0.5;
        out_shades[i] = cells[i] > 0 ? (uint8_t)(shade < 1 ? 1 : shade) : 0;
    }
    return most;
}
