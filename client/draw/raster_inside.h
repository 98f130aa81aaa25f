/* SPDX-License-Identifier: Apache-2.0 */
/* The surface from inside: shared by raster.c, raster_line.c and draw_raster.c alone. */
#ifndef CLIENT_DRAW_RASTER_INSIDE_H
#define CLIENT_DRAW_RASTER_INSIDE_H

#include "client/draw/raster.h"

enum { RASTER_CELL = 32, RASTER_MAX_SIDE = 16384 };

/* First and last row touched in a column; last < first: none. */
struct rows {
    int first, last;
};

enum { RASTER_MAX_DENSITIES = 8 };

/* How many lines of a flock lie over each pixel of its area, by rows. */
struct raster_density {
    uint64_t key;  /* of the flock; 0: none, or only what was repainted is there */
    uint64_t used; /* n_flocks when it was drawn last */
    struct raster_box box;
    size_t capacity;
    uint16_t *cells;
};

enum { RASTER_INKS = 64 };

/* Opacities of one colour. */
struct raster_ink {
    bool is_there;
    draw_color color;
    uint8_t alpha_of[256]; /* at a coverage */
};

/* Where a command draws: its clip, and what of it the command can touch; nothing for clips. */
struct raster_placed {
    struct raster_box clip, box;
};

struct raster {
    int w, h;
    uint32_t *pixels;
    struct raster_box clip;
    uint8_t *mask;        /* coverage of the line being stroked, column by column of h */
    struct rows *touched; /* w: what of the mask is not zero */
    struct raster_density densities[RASTER_MAX_DENSITIES]; /* of the flocks drawn last */
    uint64_t n_flocks;                                     /* ever drawn */
    draw_color ink;                                        /* chosen */
    const uint8_t *alpha_of;             /* [256] opacity of ink at a coverage */
    struct raster_ink inks[RASTER_INKS]; /* used lately */
    size_t n_placed, placed_capacity;
    struct raster_placed *placed; /* of the commands of the frame */
    int cells_w, cells_h;
    uint64_t *cells, *cells_before; /* hash of the commands that touch a cell */
    bool has_before;
};

/** Make alpha_of fit a colour. */
void raster_choose_ink(struct raster *raster, draw_color color);

/** Lay a colour with an opacity (0 to 255) over an opaque pixel. */
static inline uint32_t raster_blend(uint32_t under, draw_color over, uint32_t alpha)
{
    uint32_t a = alpha + (alpha >> 7); /* 0 to 256 */
    uint32_t red_blue = under & 0xFF00FFU;
    uint32_t green = under & 0x00FF00U;
    red_blue += (((over & 0xFF00FFU) - red_blue) * a + 0x800080U) >> 8;
    green += (((over & 0x00FF00U) - green) * a + 0x008000U) >> 8;
    return 0xFF000000U | (red_blue & 0xFF00FFU) | (green & 0x00FF00U);
}

/** Lay the chosen ink over a pixel at a coverage (0 to 255). */
static inline uint32_t raster_ink(
    const struct raster *raster, uint32_t under, uint32_t cover)
{
    return raster_blend(under, raster->ink, raster->alpha_of[cover]);
}

/** A float as a row or column that is safe to add to. */
static inline int raster_floor(float value)
{
    if (!(value > -1e6F)) {
        return -1000000;
    }
    if (value > 1e6F) {
        return 1000000;
    }
    int whole = (int)value;
    return (float)whole > value ? whole - 1 : whole;
}

/** The whole pixels that a rectangle touches. */
static inline struct raster_box raster_box_around(float x0, float y0, float x1, float y1)
{
    return (struct raster_box){
        raster_floor(x0), raster_floor(y0), -raster_floor(-x1), -raster_floor(-y1)};
}

#endif
