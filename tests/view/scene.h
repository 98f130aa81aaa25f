/* SPDX-License-Identifier: Apache-2.0 */
/* A chart drawn for a test, and where it has ink. */
#ifndef BARO_TEST_SCENE_H
#define BARO_TEST_SCENE_H

#include "tests/testing.h"

#include <math.h>

#include "client/draw/chart.h"
#include "client/draw/draw_raster.h"

enum { SCENE_MARGIN = 12 };

#define GROUND 0xFF000000U
#define INK    0xFF5DC0FBU

/* One chart on a surface of its own. */
struct scene {
    struct font *font;
    struct draw_list *list;
    struct raster *raster;
    struct chart_layout layout;
    int x_px, n_px;
};

static inline struct scene draw_scene(const struct chart *chart, int w, int h, float scale)
{
    struct scene s = {.font = font_open_fixed(scale)};
    s.list = draw_create(s.font, 0);
    s.raster = raster_create((int)lroundf((float)(w + 2 * SCENE_MARGIN) * scale),
        (int)lroundf((float)(h + 2 * SCENE_MARGIN) * scale));
    draw_begin(
        s.list, (float)(w + 2 * SCENE_MARGIN), (float)(h + 2 * SCENE_MARGIN), GROUND);
    const struct draw_rect rect = {SCENE_MARGIN, SCENE_MARGIN, (float)w, (float)h};
    chart_draw(s.list, &theme_dark, rect, chart, NULL, &s.layout);
    (void)raster_draw(s.raster, s.list, NULL, 0);
    s.x_px = (int)lroundf(s.layout.plot.x * scale);
    s.n_px = (int)lroundf(s.layout.plot.w * scale);
    assert_int_equal(draw_dropped(s.list), 0);
    return s;
}

static inline void free_scene(struct scene *s)
{
    raster_destroy(s->raster);
    draw_destroy(s->list);
    font_close(s->font);
}

/* How far a pixel is from the ground, 0 to 255. */
static inline int ink_at(const struct scene *s, int x, int y)
{
    if (x < 0 || y < 0 || x >= raster_w(s->raster) || y >= raster_h(s->raster)) {
        return 0;
    }
    uint32_t pixel = raster_pixels(s->raster)[y * raster_w(s->raster) + x];
    int most = 0;
    for (unsigned shift = 0; shift < 24; shift += 8) {
        int part = (int)(pixel >> shift & 0xFFU);
        most = part > most ? part : most;
    }
    return most;
}

static inline int column_of(const struct scene *s, double x)
{
    const struct axis *axis = &s->layout.x;
    int column = (int)((x - axis->lo) / (axis->hi - axis->lo) * (s->n_px - 1) + 0.5);
    column = column < 0 ? 0 : column >= s->n_px ? s->n_px - 1 : column;
    return s->x_px + column;
}

/* Ink in a column at a logical row, give or take a device pixel for rounding. */
static inline int ink_near(const struct scene *s, int x, float row)
{
    int y = (int)floorf(row * draw_scale(s->list)), most = 0;
    for (int dy = -1; dy <= 1; dy++) {
        int ink = ink_at(s, x, y + dy);
        most = ink > most ? ink : most;
    }
    return most;
}

/* The mark of a reading that has no place in the plot. */
static inline void check_edge(const struct scene *s, int x, double y)
{
    const struct draw_rect plot = s->layout.plot;
    float row = isnan(y) ? plot.y + plot.h + 2.5F
                : y > 0  ? plot.y + 1
                         : plot.y + plot.h - 1;
    if (ink_near(s, x, row) < 100) {
        fail_msg("no mark for %g in column %d", y, x);
    }
}

static inline bool ink_between(const struct scene *s, int from, int to, double y)
{
    for (int x = from; x <= to; x++) {
        if (ink_near(s, x, chart_px_of_y(&s->layout, y)) >= 40) {
            return true;
        }
    }
    return false;
}

#endif
