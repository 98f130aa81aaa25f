/* SPDX-License-Identifier: Apache-2.0 */
/* The canvas: from a view and a model to pixels, the same for windows and screenshots. */
#ifndef CLIENT_CANVAS_H
#define CLIENT_CANVAS_H

#include "client/draw/draw_raster.h"
#include "client/view/view.h"
#include "lib/base/err.h"

struct canvas;

/**
 * Create a canvas.
 *
 * w_px, h_px  device pixels
 * scale       device pixels in a logical one, 0.5 to 4
 * returns     NULL with a sentence in err when no font is found
 */
struct canvas *canvas_create(int w_px, int h_px, float scale, struct baro_err *err);

/** Free a canvas; NULL is fine. */
void canvas_destroy(struct canvas *canvas);

/** Change size or scale; everything is drawn anew. Returns 0, or the font's failure. */
int canvas_resize(
    struct canvas *canvas, int w_px, int h_px, float scale, struct baro_err *err);

/**
 * Draw a view of a model.
 *
 * out_dirty  room for RASTER_MAX_DIRTY boxes: what has changed
 * returns    number of boxes; 0 when the picture is as it was
 */
size_t canvas_draw(struct canvas *canvas, struct view *view, const struct model *model,
    struct raster_box *out_dirty);

/** The pixels, ARGB8888 rows of canvas_w. */
const uint32_t *canvas_pixels(const struct canvas *canvas);
/** Width in device pixels. */
int canvas_w(const struct canvas *canvas);
/** Height in device pixels. */
int canvas_h(const struct canvas *canvas);

#endif
