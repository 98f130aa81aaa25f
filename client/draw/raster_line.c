/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/raster.h"
#include "client/draw/raster_inside.h"
#include "client/draw/ticks.h"
#include "lib/base/mem.h"

/*
 * Lines. A stroke is the union of capsules, one a segment: coverage of a pixel is
 * half + 1/2 - distance of its centre to the segment, cut to [0, 1]; for a level line that is
 * the exact area. Segments are joined by the *maximum* of their coverages in a mask, which is
 * laid onto the pixels once at the end: joints have no beads, also in translucent colours.
 * The mask is stored by columns, because charts are: every column knows its touched rows.
 *
 * Bands are columns of rows with soft ends: exact where many readings share a column.
 *
 * A flock adds up the coverage of thousands of bands in 64ths, then lays the ink on once with
 * an opacity that depends on their number alone, so order does not matter.
 */

enum {
    COVER_ONE = 64,      /* density of one line that covers a pixel */
    DENSITY_MAX = 65535, /* 1,023 lines over each other and more look the same */
    DENSITY_TOP = 150,   /* of 255: opacity of any number of lines */
    DENSITY_LEVELS = DENSITY_MAX / COVER_ONE + 2,
};

/* One segment in device pixels, with what its pixels need. */
struct segment {
    float x, y;   /* first end */
    float ux, uy; /* direction, length 1 (0 for a dot) */
    float length;
    float reach; /* half a pen + 1/2 */
    float peak;  /* coverage at its middle: below 1 for pens thinner than a pixel */
};

static uint32_t cover_at(const struct segment *s, float x, float y)
{
    float dx = x - s->x, dy = y - s->y;
    float along = dx * s->ux + dy * s->uy;
    float distance;
    if (along >= 0 && along <= s->length) {
        distance = fabsf(dx * s->uy - dy * s->ux);
    } else {
        float over = along < 0 ? along : along - s->length;
        float across = dx * s->uy - dy * s->ux;
        distance = sqrtf(over * over + across * across);
    }
    float cover = s->reach - distance;
    cover = cover > s->peak ? s->peak : cover;
    return cover > 0 ? (uint32_t)(cover * 255.0F + 0.5F) : 0;
}

/* The rows of column x (its centre) that a segment can touch. */
static void segment_rows(
    const struct segment *s, float x, float *out_top, float *out_bottom)
{
    float ya = s->y, yb = s->y + s->uy * s->length;
    if (s->ux != 0) {
        float slope = s->uy / s->ux;
        float from = ya + (x - s->reach - s->x) * slope;
        float to = ya + (x + s->reach - s->x) * slope;
        float low = ya < yb ? ya : yb, high = ya < yb ? yb : ya;
        float top = from < to ? from : to, bottom = from < to ? to : from;
        top = top < low ? low : top > high ? high : top;
        bottom = bottom > high ? high : bottom < low ? low : bottom;
        *out_top = top - s->reach;
        *out_bottom = bottom + s->reach;
    } else {
        *out_top = (ya < yb ? ya : yb) - s->reach;
        *out_bottom = (ya < yb ? yb : ya) + s->reach;
    }
}

/* Whether a segment lies wholly left or right of what is painted. */
static bool is_beside(
    struct draw_point a, struct draw_point b, float half, const struct raster_box *clip)
{
    float reach = half + 2;
    return (a.x > b.x ? a.x : b.x) + reach < (float)clip->x0 ||
           (a.x < b.x ? a.x : b.x) - reach > (float)clip->x1;
}

static void mask_segment(struct raster *raster, const struct segment *s)
{
    float xa = s->x, xb = s->x + s->ux * s->length;
    int x0 = raster_floor((xa < xb ? xa : xb) - s->reach);
    int x1 = raster_floor((xa < xb ? xb : xa) + s->reach);
    x0 = x0 < raster->clip.x0 ? raster->clip.x0 : x0;
    x1 = x1 >= raster->clip.x1 ? raster->clip.x1 - 1 : x1;
    for (int x = x0; x <= x1; x++) {
        float top, bottom;
        segment_rows(s, (float)x + 0.5F, &top, &bottom);
        int y0 = raster_floor(top), y1 = raster_floor(bottom);
        y0 = y0 < raster->clip.y0 ? raster->clip.y0 : y0;
        y1 = y1 >= raster->clip.y1 ? raster->clip.y1 - 1 : y1;
        if (y0 > y1) {
            continue;
        }
        uint8_t *column = raster->mask + (size_t)x * (size_t)raster->h;
        for (int y = y0; y <= y1; y++) {
            uint32_t cover = cover_at(s, (float)x + 0.5F, (float)y + 0.5F);
            if (cover > column[y]) {
                column[y] = (uint8_t)cover;
            }
        }
        struct rows *rows = &raster->touched[x];
        rows->first = y0 < rows->first ? y0 : rows->first;
        rows->last = y1 > rows->last ? y1 : rows->last;
    }
}

/* Lay the mask onto the pixels and clear it. */
static void flush_mask(struct raster *raster, int x0, int x1)
{
    for (int x = x0; x < x1; x++) {
        struct rows rows = raster->touched[x];
        uint8_t *column = raster->mask + (size_t)x * (size_t)raster->h;
        uint32_t *pixel =
            raster->pixels + (size_t)rows.first * (size_t)raster->w + (size_t)x;
        for (int y = rows.first; y <= rows.last; y++, pixel += raster->w) {
            if (column[y] != 0) {
                *pixel = raster_ink(raster, *pixel, column[y]);
                column[y] = 0;
            }
        }
        raster->touched[x] = (struct rows){raster->h, -1};
    }
}

/* A segment between two points; both may be the same. Far points are pulled near. */
static struct segment make_segment(struct draw_point a, struct draw_point b, float half)
{
    float dx = b.x - a.x, dy = b.y - a.y;
    float length = sqrtf(dx * dx + dy * dy);
    struct segment s = {.x = a.x, .y = a.y, .length = length};
    if (length > 0) {
        s.ux = dx / length;
        s.uy = dy / length;
    }
    s.reach = half + 0.5F;
    s.peak = half < 0.5F ? 2 * half : 1;
    return s;
}

static bool is_drawable(struct draw_point point)
{
    return point.x > -1e6F && point.x < 1e6F && point.y > -1e6F && point.y < 1e6F;
}

void raster_stroke(struct raster *raster, const struct draw_point *points, size_t n,
    float scale, float width, draw_color color)
{
    float half = width * scale / 2;
    bool has_before = false;
    struct draw_point before = {0, 0};
    raster_choose_ink(raster, color);
    for (size_t i = 0; i < n; i++) {
        struct draw_point at = {points[i].x * scale, points[i].y * scale};
        if (!is_drawable(at)) {
            has_before = false;
            continue;
        }
        bool has_after =
            i + 1 < n && is_drawable((struct draw_point){
                             points[i + 1].x * scale, points[i + 1].y * scale});
        struct draw_point from = has_before ? before : at;
        if ((has_before || !has_after) && !is_beside(from, at, half, &raster->clip)) {
            struct segment s = make_segment(from, at, half);
            mask_segment(raster, &s);
        }
        before = at;
        has_before = true;
    }
    flush_mask(raster, raster->clip.x0, raster->clip.x1);
}

/* How much of the row from y to y + 1 lies in [top, bottom], as 0 to 255. */
static uint32_t row_cover(int y, float top, float bottom)
{
    float from = top > (float)y ? top : (float)y;
    float to = bottom < (float)(y + 1) ? bottom : (float)(y + 1);
    return to > from ? (uint32_t)((to - from) * 255.0F + 0.5F) : 0;
}

void raster_band(struct raster *raster, int x, const struct draw_span *spans, size_t n,
    float scale, float half, draw_color color)
{
    const struct raster_box clip = raster->clip;
    raster_choose_ink(raster, color);
    uint32_t full = raster->alpha_of[255];
    size_t from = x < clip.x0 ? (size_t)(clip.x0 - x) : 0;
    for (size_t i = from; i < n && x + (int)i < clip.x1; i++) {
        if (!(spans[i].top <= spans[i].bottom)) {
            continue;
        }
        float top = spans[i].top * scale - half;
        float bottom = spans[i].bottom * scale + half;
        int y0 = raster_floor(top), y1 = raster_floor(bottom);
        int in0 = y0 + 1 > clip.y0 ? y0 + 1 : clip.y0;
        int in1 = y1 < clip.y1 ? y1 : clip.y1;
        uint32_t *column = raster->pixels + x + i;
        if (y0 >= clip.y0 && y0 < clip.y1) {
            uint32_t *pixel = column + (size_t)y0 * (size_t)raster->w;
            *pixel = raster_ink(raster, *pixel, row_cover(y0, top, bottom));
        }
        for (int y = in0; y < in1; y++) {
            uint32_t *pixel = column + (size_t)y * (size_t)raster->w;
            *pixel = full == 255 ? (raster->ink | 0xFF000000U)
                                 : raster_blend(*pixel, raster->ink, full);
        }
        if (y1 > y0 && y1 >= clip.y0 && y1 < clip.y1) {
            uint32_t *pixel = column + (size_t)y1 * (size_t)raster->w;
            *pixel = raster_ink(raster, *pixel, row_cover(y1, top, bottom));
        }
    }
}

/* Add one line's rows, in eighths of a pixel of the surface, to the densities of a column. */
static void flock_span(const struct raster_density *to, int x, int top, int bottom)
{
    const int y0 = top >> 3, y1 = (bottom - 1) >> 3;
    const size_t w = (size_t)(to->box.x1 - to->box.x0);
    uint16_t *density =
        to->cells + (size_t)(y0 - to->box.y0) * w + (size_t)(x - to->box.x0);
    for (int y = y0; y <= y1; y++, density += w) {
        int from = top > y * 8 ? top : y * 8;
        int end = bottom < y * 8 + 8 ? bottom : y * 8 + 8;
        uint32_t sum = *density + (uint32_t)(end - from) * (COVER_ONE / 8);
        *density = (uint16_t)(sum > DENSITY_MAX ? DENSITY_MAX : sum);
    }
}

/*
 * Opacity of k lines over each other, 0 to 255: from that of one line up to DENSITY_TOP where a
 * quarter of all lines meet, even in log k, so that both a lone line and the shape of the
 * thickest part can be seen.
 */
static void density_opacity(uint32_t alpha, size_t n_lines, uint8_t out[DENSITY_LEVELS])
{
    const double crowd = n_lines > 32 ? (double)n_lines / 4 : 8;
    const double one = alpha;
    const double rise = alpha < DENSITY_TOP ? DENSITY_TOP - one : 0;
    out[0] = 0;
    for (int k = 1; k < DENSITY_LEVELS; k++) {
        double t = axis_log10(k) / axis_log10(crowd);
        out[k] = (uint8_t)(one + rise * (t > 1 ? 1 : t) + 0.5);
    }
}

static void blend_density(const struct raster *raster, const struct raster_density *of,
    struct raster_box box, draw_color color, const uint8_t *opacity)
{
    const size_t w = (size_t)(of->box.x1 - of->box.x0);
    for (int y = box.y0; y < box.y1; y++) {
        uint32_t *pixels = raster->pixels + (size_t)y * (size_t)raster->w;
        const uint16_t *density = of->cells + (size_t)(y - of->box.y0) * w;
        for (int x = box.x0; x < box.x1; x++) {
            uint32_t lines = density[x - of->box.x0];
            if (lines != 0) {
                uint32_t whole = lines / COVER_ONE, part = lines % COVER_ONE;
                uint32_t a = opacity[whole], b = opacity[whole + 1];
                pixels[x] = raster_blend(pixels[x], color, a + (b - a) * part / COVER_ONE);
            }
        }
    }
}

/* Count the lines over each pixel of a box. */
static void find_density(const struct raster_density *to,
    const struct raster_flock_lines *flock, struct raster_box cut)
{
    const int half = raster_floor(flock->half * 8 + 0.5F);
    const int least = cut.y0 * 8, most = cut.y1 * 8, zero = flock->area.y0 * 8;
    for (size_t line = 0; line < flock->n_lines && cut.y0 < cut.y1; line++) {
        const struct draw_fine *row = flock->spans + line * flock->n;
        for (int x = cut.x0; x < cut.x1; x++) {
            const struct draw_fine span = row[x - flock->area.x0];
            int top = zero + span.top - half, bottom = zero + span.bottom + half;
            top = top < least ? least : top;
            bottom = bottom > most ? most : bottom;
            if (span.top <= span.bottom && top < bottom) {
                flock_span(to, x, top, bottom);
            }
        }
    }
}

/* The density of a flock if it has been counted, else the place of the one unused longest. */
static struct raster_density *place_of(struct raster *raster, uint64_t key)
{
    struct raster_density *oldest = &raster->densities[0];
    for (size_t i = 0; i < RASTER_MAX_DENSITIES; i++) {
        struct raster_density *density = &raster->densities[i];
        if (key != 0 && density->key == key) {
            return density;
        }
        oldest = density->used < oldest->used ? density : oldest;
    }
    oldest->key = 0;
    return oldest;
}

/* A flock with a key is counted once, over all of its area, and then only laid down again. */
void raster_flock(struct raster *raster, const struct raster_flock_lines *flock)
{
    const struct raster_box all = {0, 0, raster->w, raster->h};
    const struct raster_box box = raster_box_cut(flock->area, all);
    const struct raster_box cut = raster_box_cut(flock->area, raster->clip);
    struct raster_density *density = place_of(raster, flock->key);
    density->used = ++raster->n_flocks;
    if (box.x0 >= box.x1 || box.y0 >= box.y1) {
        return;
    }
    if (density->key == 0) {
        const size_t n = (size_t)(box.x1 - box.x0) * (size_t)(box.y1 - box.y0);
        if (n > density->capacity) {
            free(density->cells);
            density->cells = baro_xcalloc(n, sizeof *density->cells);
            density->capacity = n;
        }
        memset(density->cells, 0, n * sizeof *density->cells);
        density->box = box;
        density->key = flock->key;
        find_density(density, flock, flock->key != 0 ? box : cut);
    }
    uint8_t opacity[DENSITY_LEVELS];
    density_opacity(flock->color >> 24, flock->n_lines, opacity);
    blend_density(raster, density, cut, flock->color, opacity);
}
