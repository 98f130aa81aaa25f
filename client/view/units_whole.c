/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "client/view/units.h"
#include "lib/base/mem.h"

/* All units behind the shown ones: five shades of how many run through a pixel. */

enum { N_SHADES = 5 };

/* A picture of the whole, remembered: its part is immutable. */
struct density_cache {
    const struct model_density *of; /* a reference */
    const struct theme *theme;
    bool is_dim;
    draw_color *colors; /* rows from the top */
};

void density_cache_destroy(struct density_cache *cache)
{
    if (cache != NULL) {
        part_unref(cache->of);
        free(cache->colors);
        free(cache);
    }
}

/* Columns of the picture in which no unit has a reading: a gap is a gap. */
static void find_gaps(
    const struct density_cache *cache, const struct units *units, bool *is_gap)
{
    const struct model_units *rows = &units->sample->lines;
    const struct model_density *of = cache->of;
    double gap = units_gap(units->thing, rows->width);
    double span = (double)(of->to_step - of->from_step);
    for (size_t i = 0; i + 1 < rows->n && gap > 0 && span > 0; i++) {
        double before = i > 0 ? rows->x[i] - rows->x_to[i - 1] : 0;
        if (!chart_is_hole(gap, before, rows->x[i + 1] - rows->x_to[i])) {
            continue;
        }
        double scale = (double)of->width / span;
        double from = (rows->x_to[i] - (double)of->from_step) * scale + 1;
        double to = (rows->x[i + 1] - (double)of->from_step) * scale - 1;
        for (double x = fmax(from, 0); x < to && x < (double)of->width; x++) {
            is_gap[(size_t)x] = true;
        }
    }
}

static void fill_colors(struct density_cache *cache, const bool *is_gap)
{
    static const float opacity[N_SHADES] = {0.07F, 0.13F, 0.20F, 0.28F, 0.38F};
    const struct model_density *of = cache->of;
    draw_color steps[256] = {0};
    for (size_t i = 1; i < BARO_LEN(steps); i++) {
        steps[i] = draw_fade(cache->theme->accent,
            opacity[i * N_SHADES / BARO_LEN(steps)] * (cache->is_dim ? 0.6F : 1));
    }
    for (size_t y = 0; y < of->height; y++) {
        for (size_t x = 0; x < of->width; x++) {
            uint8_t shade = is_gap[x] ? 0 : of->shades[x * of->height + y];
            cache->colors[y * of->width + x] = steps[shade];
        }
    }
}

void units_whole(struct frame *f, const struct units *units, struct units_picture *out)
{
    struct view *view = f->view;
    const struct model_density *of = units->sample->density;
    if (view->density_cache == NULL) {
        view->density_cache = baro_xcalloc(1, sizeof *view->density_cache);
    }
    struct density_cache *cache = view->density_cache;
    bool is_dim = units->marks != NULL;
    if (of == NULL) {
        return;
    }
    if (cache->of != of || cache->theme != f->theme || cache->is_dim != is_dim) {
        part_unref(cache->of);
        free(cache->colors);
        cache->of = part_ref(of);
        cache->theme = f->theme;
        cache->is_dim = is_dim;
        cache->colors =
            baro_xcalloc((size_t)of->width * of->height + 1, sizeof *cache->colors);
        baro_autofree bool *is_gap = baro_xcalloc((size_t)of->width + 1, sizeof *is_gap);
        find_gaps(cache, units, is_gap);
        fill_colors(cache, is_gap);
    }
    out->backdrop = (struct chart_backdrop){.colors = cache->colors,
        .n_columns = of->width,
        .n_rows = of->height,
        .x_from = (double)of->from_step,
        .x_to = (double)of->to_step,
        .y_lo = of->y.lo,
        .y_hi = of->y.hi};
}
