/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "client/view/inside.h"
#include "lib/base/mem.h"

/* The tip: what is under the pointer, drawn last and beside it. */

void frame_tip(struct frame *f, float x, float y)
{
    f->view->tip = (struct view_tip){.x = x, .y = y};
}

void frame_tip_line(struct frame *f, const char *format, ...)
{
    struct view_tip *tip = &f->view->tip;
    if (tip->n < (int)BARO_LEN(tip->text)) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(tip->text[tip->n++], sizeof tip->text[0], format, args);
        va_end(args);
    }
}

void tip_draw(struct frame *f, struct draw_rect within)
{
    const struct view_tip *tip = &f->view->tip;
    if (tip->n == 0) {
        return;
    }
    const float line_h = 18;
    float w = 0;
    for (int i = 0; i < tip->n; i++) {
        struct draw_style style = {.role = i == 0 ? FONT_TEXT : FONT_MONO,
            .size = i == 0 ? THEME_SIZE_TEXT : THEME_SIZE_AXIS,
            .max_w = 420};
        w = fmaxf(w, draw_string_box(f->list, 0, 0, &style, tip->text[i]).w);
    }
    struct draw_rect box = {tip->x + 14, tip->y + 14, w + 20, line_h * (float)tip->n + 10};
    if (box.x + box.w > within.x + within.w - 4) {
        box.x = tip->x - 14 - box.w;
    }
    if (box.y + box.h > within.y + within.h - 4) {
        box.y = tip->y - 14 - box.h;
    }
    box.x = fmaxf(box.x, within.x + 4);
    draw_fill_round(f->list, box, 2, f->theme->raised);
    draw_outline(f->list, box, f->theme->hairline);
    for (int i = 0; i < tip->n; i++) {
        struct draw_style style = {.role = i == 0 ? FONT_TEXT : FONT_MONO,
            .size = i == 0 ? THEME_SIZE_TEXT : THEME_SIZE_AXIS,
            .color = i == 0 ? f->theme->text : f->theme->secondary,
            .max_w = 420};
        (void)draw_string(
            f->list, box.x + 10, box.y + 18 + line_h * (float)i, &style, tip->text[i]);
    }
}
