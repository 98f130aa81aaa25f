/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/inside.h"

/* What a page that draws its own picture over steps needs to behave as a chart does. */

struct view_slot *plot_slot(struct frame *f, uint64_t id, struct draw_rect plot)
{
    struct view_slot *slot = frame_slot(f, id);
    slot->layout = (struct chart_layout){.rect = plot,
        .plot = plot,
        .x = {.lo = xaxis_of(&f->view->x.map, f->view->lo),
            .hi = xaxis_of(&f->view->x.map, f->view->hi)}};
    slot->has_layout = true;
    return slot;
}

void plot_cursor(struct frame *f, struct draw_rect plot, draw_color color)
{
    double place = xaxis_place(f->view, f->view->cursor);
    if (place >= 0 && place <= 1) {
        draw_hair_v(f->list, plot.x + plot.w * (float)place, plot.y, plot.h, 0, color);
    }
}
