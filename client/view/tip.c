/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "client/view/inside.h"
#include "lib/base/mem.h"

/* The tip: what is under the pointer, drawn last and beside it. */

enum { MAX_LINES = 3 }; /* that one of its texts takes */

static const float MAX_W = 420;
static const float LINE_H = 18;

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

/* The first line is what it is about. */
static struct draw_style style_of(const struct frame *f, int line)
{
    return (struct draw_style){.role = line == 0 ? FONT_TEXT : FONT_MONO,
        .size = line == 0 ? THEME_SIZE_TEXT : THEME_SIZE_AXIS,
        .color = line == 0 ? f->theme->text : f->theme->secondary,
        .max_w = MAX_W};
}

void tip_draw(struct frame *f, struct draw_rect within)
{
    const struct view_tip *tip = &f->view->tip;
    if (tip->n == 0) {
        return;
    }
    struct frame_words lines[BARO_LEN(tip->text)][MAX_LINES];
    size_t n_lines[BARO_LEN(tip->text)];
    size_t n_all = 0;
    float w = 0;
    for (int i = 0; i < tip->n; i++) {
        struct draw_style style = style_of(f, i);
        n_lines[i] =
            frame_wrap(f, style.role, style.size, tip->text[i], MAX_W, lines[i], MAX_LINES);
        n_all += n_lines[i];
        for (size_t k = 0; k < n_lines[i]; k++) {
            w = fmaxf(w, font_width(draw_font(f->list), style.role, style.size,
                             lines[i][k].at, lines[i][k].n));
        }
    }
    w = fminf(w + 1, MAX_W);
    struct draw_rect box = {tip->x + 14, tip->y + 14, w + 20, LINE_H * (float)n_all + 10};
    if (box.x + box.w > within.x + within.w - 4) {
        box.x = tip->x - 14 - box.w;
    }
    if (box.y + box.h > within.y + within.h - 4) {
        box.y = tip->y - 14 - box.h;
    }
    box.x = fmaxf(box.x, within.x + 4);
    box.y = fmaxf(box.y, within.y + 4);
    draw_fill_round(f->list, box, 2, f->theme->raised);
    draw_outline(f->list, box, f->theme->hairline);
    float y = box.y + 18;
    for (int i = 0; i < tip->n; i++) {
        struct draw_style style = style_of(f, i);
        for (size_t k = 0; k < n_lines[i]; k++, y += LINE_H) {
            char text[sizeof tip->text[0]];
            (void)snprintf(text, sizeof text, "%.*s", (int)lines[i][k].n, lines[i][k].at);
            (void)draw_string(f->list, box.x + 10, y, &style, text);
        }
    }
}
