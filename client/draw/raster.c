/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/raster_inside.h"
#include "lib/base/mem.h"

/*
 * Blending is done on sRGB values as they are, with integers. The opacities of the visual
 * language ("neighbours at 18 %") are meant as seen, and sRGB is nearly even to the eye. For
 * edges that is too dark when light ink lies on a dark ground: a half covered pixel looks
 * less than half lit, and thin slanted lines look like ropes. So coverage c (not opacity) goes
 * through c + k c (1 - c), k = 0 for dark ink up to 0.35 for white ink.
 *
 * Everything else is single additions, multiplications, divisions and square roots of floats,
 * which IEEE 754 rounds alike everywhere (contraction is off in the build), and no call into
 * libm that may differ. So the same list gives the same bytes.
 */

enum {
    CURVE_STRENGTH = 90, /* k for white ink, in 256ths */
    LUMA_RED = 54,       /* parts of 256, Rec. 709 */
    LUMA_GREEN = 183,
    LUMA_BLUE = 19,
};

struct raster *raster_create(int w, int h)
{
    struct raster *raster = baro_xcalloc(1, sizeof *raster);
    raster_resize(raster, w, h);
    return raster;
}

static void free_planes(struct raster *raster)
{
    free(raster->pixels);
    free(raster->mask);
    free(raster->touched);
    for (size_t i = 0; i < RASTER_MAX_DENSITIES; i++) {
        free(raster->densities[i].cells);
    }
    free(raster->cells);
    free(raster->cells_before);
    free(raster->placed);
}

void raster_destroy(struct raster *raster)
{
    if (raster != NULL) {
        free_planes(raster);
        free(raster);
    }
}

void raster_resize(struct raster *raster, int w, int h)
{
    int new_w = w < 1 ? 1 : w > RASTER_MAX_SIDE ? RASTER_MAX_SIDE : w;
    int new_h = h < 1 ? 1 : h > RASTER_MAX_SIDE ? RASTER_MAX_SIDE : h;
    free_planes(raster);
    size_t n = (size_t)new_w * (size_t)new_h;
    *raster = (struct raster){.w = new_w, .h = new_h, .clip = {0, 0, new_w, new_h}};
    raster->pixels = baro_xcalloc(n, sizeof *raster->pixels);
    raster->mask = baro_xcalloc(n, sizeof *raster->mask);
    raster->touched = baro_xcalloc((size_t)new_w, sizeof *raster->touched);
    for (int x = 0; x < new_w; x++) {
        raster->touched[x] = (struct rows){new_h, -1};
    }
    for (size_t i = 0; i < n; i++) {
        raster->pixels[i] = 0xFF000000U;
    }
    raster->cells_w = (new_w + RASTER_CELL - 1) / RASTER_CELL;
    raster->cells_h = (new_h + RASTER_CELL - 1) / RASTER_CELL;
    size_t n_cells = (size_t)raster->cells_w * (size_t)raster->cells_h;
    raster->cells = baro_xcalloc(n_cells, sizeof *raster->cells);
    raster->cells_before = baro_xcalloc(n_cells, sizeof *raster->cells_before);
}

const uint32_t *raster_pixels(const struct raster *raster)
{
    return raster->pixels;
}

int raster_w(const struct raster *raster)
{
    return raster->w;
}

int raster_h(const struct raster *raster)
{
    return raster->h;
}

struct raster_box raster_box_cut(struct raster_box a, struct raster_box b)
{
    return (struct raster_box){
        a.x0 > b.x0 ? a.x0 : b.x0,
        a.y0 > b.y0 ? a.y0 : b.y0,
        a.x1 < b.x1 ? a.x1 : b.x1,
        a.y1 < b.y1 ? a.y1 : b.y1,
    };
}

void raster_set_clip(struct raster *raster, struct raster_box box)
{
    raster->clip = raster_box_cut(box, (struct raster_box){0, 0, raster->w, raster->h});
}

void raster_choose_ink(struct raster *raster, draw_color color)
{
    uint32_t place = (color * 0x9E3779B1U) >> 26; /* of RASTER_INKS */
    struct raster_ink *ink = &raster->inks[place];
    raster->ink = color;
    raster->alpha_of = ink->alpha_of;
    if (ink->is_there && ink->color == color) {
        return;
    }
    uint32_t red = color >> 16 & 0xFFU;
    uint32_t green = color >> 8 & 0xFFU;
    uint32_t blue = color & 0xFFU;
    uint32_t luma = (LUMA_RED * red + LUMA_GREEN * green + LUMA_BLUE * blue) / 256;
    uint32_t k = luma * CURVE_STRENGTH / 255;
    uint32_t alpha = color >> 24;
    for (uint32_t c = 0; c < 256; c++) {
        uint32_t curved = c + k * c * (255 - c) / (256 * 255);
        ink->alpha_of[c] = (uint8_t)((curved * alpha + 127) / 255);
    }
    ink->color = color;
    ink->is_there = true;
}

void raster_fill(struct raster *raster, struct raster_box box, draw_color color)
{
    struct raster_box cut = raster_box_cut(box, raster->clip);
    uint32_t alpha = color >> 24;
    for (int y = cut.y0; y < cut.y1; y++) {
        uint32_t *row = raster->pixels + (size_t)y * (size_t)raster->w;
        if (alpha == 255) {
            for (int x = cut.x0; x < cut.x1; x++) {
                row[x] = color;
            }
        } else {
            for (int x = cut.x0; x < cut.x1; x++) {
                row[x] = raster_blend(row[x], color, alpha);
            }
        }
    }
}

/* How much of the pixel from at to at + 1 lies in [from, to]. */
static float overlap(float at, float from, float to)
{
    float a = from > at ? from : at;
    float b = to < at + 1 ? to : at + 1;
    return b > a ? b - a : 0;
}

/* Coverage of a pixel centre by the corner discs of a rounded rectangle; 1 off the corners. */
static float corner_cover(
    float x, float y, float x0, float y0, float x1, float y1, float radius)
{
    float dx = x < x0 + radius ? x0 + radius - x : x > x1 - radius ? x - (x1 - radius) : 0;
    float dy = y < y0 + radius ? y0 + radius - y : y > y1 - radius ? y - (y1 - radius) : 0;
    if (!(dx > 0 && dy > 0)) {
        return 1;
    }
    float cover = radius + 0.5F - sqrtf(dx * dx + dy * dy);
    return cover < 0 ? 0 : cover > 1 ? 1 : cover;
}

/* Lay a colour over n whole pixels of a row. */
static void fill_run(uint32_t *pixels, int n, draw_color color, uint32_t alpha)
{
    for (int x = 0; x < n; x++) {
        pixels[x] =
            alpha == 255 ? 0xFF000000U | color : raster_blend(pixels[x], color, alpha);
    }
}

void raster_fill_soft(struct raster *raster, float x0, float y0, float x1, float y1,
    float radius, draw_color color)
{
    struct raster_box box = raster_box_around(x0, y0, x1, y1);
    struct raster_box cut = raster_box_cut(box, raster->clip);
    /* Whole pixels inside, by columns and rows; what is round has none to speak of. */
    int in_x0 = -raster_floor(-x0) > cut.x0 ? -raster_floor(-x0) : cut.x0;
    int in_x1 = raster_floor(x1) < cut.x1 ? raster_floor(x1) : cut.x1;
    bool has_inside = radius <= 0 && in_x0 < in_x1;
    raster_choose_ink(raster, color);
    uint32_t full = raster->alpha_of[255];
    for (int y = cut.y0; y < cut.y1; y++) {
        uint32_t *row = raster->pixels + (size_t)y * (size_t)raster->w;
        float down = overlap((float)y, y0, y1);
        bool is_inside = has_inside && (float)y >= y0 && (float)(y + 1) <= y1;
        for (int x = cut.x0; x < cut.x1; x++) {
            if (is_inside && x == in_x0) {
                fill_run(row + x, in_x1 - x, color, full);
                x = in_x1 - 1;
                continue;
            }
            float cover = down * overlap((float)x, x0, x1);
            if (radius > 0) {
                cover *=
                    corner_cover((float)x + 0.5F, (float)y + 0.5F, x0, y0, x1, y1, radius);
            }
            row[x] = raster_ink(raster, row[x], (uint32_t)(cover * 255.0F + 0.5F));
        }
    }
}

void raster_polygon(
    struct raster *raster, const struct draw_point *corners, size_t n, draw_color color)
{
    enum { MAX_CORNERS = 8 };
    float nx[MAX_CORNERS], ny[MAX_CORNERS], nd[MAX_CORNERS];
    float x0 = corners[0].x, x1 = x0, y0 = corners[0].y, y1 = y0, area = 0;
    if (n < 3 || n > MAX_CORNERS) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct draw_point a = corners[i], b = corners[(i + 1) % n];
        area += a.x * b.y - b.x * a.y;
        x0 = a.x < x0 ? a.x : x0;
        x1 = a.x > x1 ? a.x : x1;
        y0 = a.y < y0 ? a.y : y0;
        y1 = a.y > y1 ? a.y : y1;
    }
    float turn = area < 0 ? -1.0F : 1.0F;
    for (size_t i = 0; i < n; i++) {
        struct draw_point a = corners[i], b = corners[(i + 1) % n];
        float dx = b.x - a.x, dy = b.y - a.y;
        float length = sqrtf(dx * dx + dy * dy);
        float unit = length > 0 ? turn / length : 0;
        nx[i] = -dy * unit;
        ny[i] = dx * unit;
        nd[i] = -(nx[i] * a.x + ny[i] * a.y) + (length > 0 ? 0 : 1);
    }
    struct raster_box cut =
        raster_box_cut(raster_box_around(x0 - 1, y0 - 1, x1 + 1, y1 + 1), raster->clip);
    raster_choose_ink(raster, color);
    for (int y = cut.y0; y < cut.y1; y++) {
        uint32_t *row = raster->pixels + (size_t)y * (size_t)raster->w;
        for (int x = cut.x0; x < cut.x1; x++) {
            float cover = 1;
            for (size_t i = 0; i < n; i++) {
                float inside =
                    nx[i] * ((float)x + 0.5F) + ny[i] * ((float)y + 0.5F) + nd[i] + 0.5F;
                cover = inside < cover ? inside : cover;
            }
            if (cover > 0) {
                row[x] = raster_ink(raster, row[x], (uint32_t)(cover * 255.0F + 0.5F));
            }
        }
    }
}

void raster_ring(
    struct raster *raster, float x, float y, float outer, float inner, draw_color color)
{
    struct raster_box cut = raster_box_cut(
        raster_box_around(x - outer - 1, y - outer - 1, x + outer + 1, y + outer + 1),
        raster->clip);
    raster_choose_ink(raster, color);
    for (int py = cut.y0; py < cut.y1; py++) {
        uint32_t *row = raster->pixels + (size_t)py * (size_t)raster->w;
        for (int px = cut.x0; px < cut.x1; px++) {
            float dx = (float)px + 0.5F - x, dy = (float)py + 0.5F - y;
            float distance = sqrtf(dx * dx + dy * dy);
            float cover = outer + 0.5F - distance;
            float hole = distance - inner + 0.5F;
            cover = inner > 0 && hole < cover ? hole : cover;
            cover = cover > 1 ? 1 : cover;
            if (cover > 0) {
                row[px] = raster_ink(raster, row[px], (uint32_t)(cover * 255.0F + 0.5F));
            }
        }
    }
}

void raster_coverage(struct raster *raster, int x, int y, const uint8_t *coverage, int w,
    int h, draw_color color)
{
    struct raster_box box = {x, y, x + w, y + h};
    struct raster_box cut = raster_box_cut(box, raster->clip);
    raster_choose_ink(raster, color);
    for (int py = cut.y0; py < cut.y1; py++) {
        uint32_t *row = raster->pixels + (size_t)py * (size_t)raster->w;
        const uint8_t *from = coverage + (ptrdiff_t)(py - y) * w - x;
        for (int px = cut.x0; px < cut.x1; px++) {
            if (from[px] != 0) {
                row[px] = raster_ink(raster, row[px], from[px]);
            }
        }
    }
}
