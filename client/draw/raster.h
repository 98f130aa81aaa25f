/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rasteriser: pixels by our own hand, in device coordinates, the same bytes on every
 * machine and under every video driver. Used by draw_raster.c; views emit commands instead.
 */
#ifndef CLIENT_DRAW_RASTER_H
#define CLIENT_DRAW_RASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/draw/draw.h"

/* Whole device pixels; x1 and y1 are outside. */
struct raster_box {
    int x0, y0, x1, y1;
};

struct raster;

/**
 * Create a surface of w x h device pixels, black and opaque.
 *
 * w, h     1 to 16384
 * returns  never NULL; raster_destroy frees it
 */
struct raster *raster_create(int w, int h);

/** Free a surface; NULL is fine. */
void raster_destroy(struct raster *raster);

/** Change the size; the content is lost, the next raster_draw repaints everything. */
void raster_resize(struct raster *raster, int w, int h);

/** Pixels as ARGB8888 (0xAARRGGBB in native order, alpha always 255), rows of raster_w. */
const uint32_t *raster_pixels(const struct raster *raster);

/** Width in device pixels. */
int raster_w(const struct raster *raster);

/** Height in device pixels. */
int raster_h(const struct raster *raster);

/** Restrict drawing; the box is cut to the surface. */
void raster_set_clip(struct raster *raster, struct raster_box box);

/** Intersection of two boxes; empty (x0 >= x1) when they do not meet. */
struct raster_box raster_box_cut(struct raster_box a, struct raster_box b);

/** Fill whole pixels, blending when the colour is not opaque. */
void raster_fill(struct raster *raster, struct raster_box box, draw_color color);

/** Fill a rectangle with fractional edges (coverage of the area) and corner radius. */
void raster_fill_soft(struct raster *raster, float x0, float y0, float x1, float y1,
    float radius, draw_color color);

/** Stroke points (device coordinates, pixel centres at .5); one even coverage for all. */
void raster_stroke(struct raster *raster, const struct draw_point *points, size_t n,
    float scale, float width, draw_color color);

/** Min/max columns from device column x; rows scaled by scale; half = half a pen, device px. */
void raster_band(struct raster *raster, int x, const struct draw_span *spans, size_t n,
    float scale, float half, draw_color color);

/* The many lines of one flock; see draw_flock. */
struct raster_flock_lines {
    const struct draw_fine *spans;
    size_t n, n_lines;
    struct raster_box area; /* x1 - x0 = n columns; spans count from y0 */
    float half;             /* half a pen, device pixels */
    draw_color color;       /* of one line */
    uint64_t key;           /* not 0: stands for spans, area and half */
};

/** Many bands of one faint colour, order-free; nothing is drawn outside their area. */
void raster_flock(struct raster *raster, const struct raster_flock_lines *flock);

/** A convex polygon with anti-aliased edges, at most 8 corners, device coordinates. */
void raster_polygon(
    struct raster *raster, const struct draw_point *corners, size_t n, draw_color color);

/** A ring (or a disc when inner <= 0), device coordinates. */
void raster_ring(
    struct raster *raster, float x, float y, float outer, float inner, draw_color color);

/** Coverage bytes (a glyph) with their first pixel at x, y. */
void raster_coverage(struct raster *raster, int x, int y, const uint8_t *coverage, int w,
    int h, draw_color color);

#endif
