/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back end: a draw list becomes pixels. Compares the list with that of the frame before, in
 * cells of 64 device pixels, and repaints only cells whose commands changed; the result is the
 * same, byte for byte, as a full repaint.
 */
#ifndef CLIENT_DRAW_DRAW_RASTER_H
#define CLIENT_DRAW_DRAW_RASTER_H

#include "client/draw/raster.h"

enum { RASTER_MAX_DIRTY = 192 };

/**
 * Bring the surface up to date with a list.
 *
 * out_dirty  NULL or room for max_dirty boxes: what was repainted, to be uploaded
 * max_dirty  at least 1 with out_dirty; more boxes than that become one that holds all
 * returns    the number of boxes; 0 when the frame equals the one before
 */
size_t raster_draw(struct raster *raster, const struct draw_list *list,
    struct raster_box *out_dirty, size_t max_dirty);

/** Forget the frame before: the next raster_draw repaints everything. */
void raster_invalidate(struct raster *raster);

#endif
