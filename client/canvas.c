/* SPDX-License-Identifier: Apache-2.0 */
#include "client/canvas.h"

#include <stdlib.h>

#include "client/draw/draw.h"
#include "lib/base/mem.h"

/* Hover and layout settle in one or two more passes; more would be a fault of a page. */
enum { MAX_PASSES = 4 };

struct canvas {
    struct font *font;
    struct draw_list *list;
    struct raster *raster;
};

struct canvas *canvas_create(int w_px, int h_px, float scale, struct baro_err *err)
{
    struct canvas *canvas = baro_xcalloc(1, sizeof *canvas);
    canvas->font = font_open(scale, err);
    if (canvas->font == NULL) {
        canvas_destroy(canvas);
        return NULL;
    }
    canvas->list = draw_create(canvas->font, 0);
    canvas->raster = raster_create(w_px, h_px);
    return canvas;
}

void canvas_destroy(struct canvas *canvas)
{
    if (canvas != NULL) {
        raster_destroy(canvas->raster);
        draw_destroy(canvas->list);
        font_close(canvas->font);
        free(canvas);
    }
}

int canvas_resize(
    struct canvas *canvas, int w_px, int h_px, float scale, struct baro_err *err)
{
    if (font_scale(canvas->font) < scale || font_scale(canvas->font) > scale) {
        struct font *font = font_open(scale, err);
        if (font == NULL) {
            return BARO_ENOENT;
        }
        draw_set_font(canvas->list, font);
        font_close(canvas->font);
        canvas->font = font;
    }
    raster_resize(canvas->raster, w_px, h_px);
    return 0;
}

size_t canvas_draw(struct canvas *canvas, struct view *view, const struct model *model,
    struct raster_box *out_dirty)
{
    float scale = font_scale(canvas->font);
    float w = (float)raster_w(canvas->raster) / scale;
    float h = (float)raster_h(canvas->raster) / scale;
    for (int pass = 0; pass < MAX_PASSES; pass++) {
        view_draw(view, canvas->list, model, w, h);
        if (!view->is_dirty) {
            break;
        }
    }
    return raster_draw(canvas->raster, canvas->list, out_dirty, RASTER_MAX_DIRTY);
}

const uint32_t *canvas_pixels(const struct canvas *canvas)
{
    return raster_pixels(canvas->raster);
}

int canvas_w(const struct canvas *canvas)
{
    return raster_w(canvas->raster);
}

int canvas_h(const struct canvas *canvas)
{
    return raster_h(canvas->raster);
}
