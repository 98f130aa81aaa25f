/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back ends that keep lines as lines: a draw list as SVG, and as a page of PDF. Both see the list
 * through a pen with few movements, so that every command is translated in one place.
 */
#ifndef CLIENT_DRAW_DRAW_VECTOR_H
#define CLIENT_DRAW_DRAW_VECTOR_H

#include <stdio.h>

#include "client/draw/draw.h"

/* What a format must be able to do; logical pixels, y down. Each borrows for the call. */
struct draw_pen {
    void *payload;
    void (*rect)(void *payload, struct draw_rect rect, float radius, draw_color color);
    void (*polygon)(
        void *payload, const struct draw_point *points, size_t n, draw_color color);
    void (*stroke)(void *payload, const struct draw_point *points, size_t n, float width,
        float dash, draw_color color);
    void (*ring)(
        void *payload, struct draw_point at, float outer, float inner, draw_color color);
    void (*text)(void *payload, const struct draw_cmd *cmd);
    void (*clip)(void *payload, struct draw_rect rect);
    void (*unclip)(void *payload);
};

/** Play a list with a pen, its ground first. */
void draw_vector_play(const struct draw_list *list, const struct draw_pen *pen);

/**
 * Print a list as an SVG element that needs nothing from outside: texts are real text, pressed into
 * the widths that they were measured with, whatever font the reader has.
 *
 * id       of the element; also keeps its clips apart from those of other pictures on the page
 * returns  0; BARO_EIO when out refused bytes
 */
int draw_svg_print(const struct draw_list *list, const char *id, FILE *out);

/**
 * Print lists as the pages of a PDF, one each, in its own size. Texts are real text in the 14 fonts
 * that every reader has; characters beyond Latin-1 are written as near ones or '?'.
 *
 * title    of the document, UTF-8
 * returns  0; BARO_EIO when out refused bytes
 */
int draw_pdf_print(
    const struct draw_list *const *lists, size_t n_lists, const char *title, FILE *out);

#endif
