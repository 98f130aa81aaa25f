/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/draw/draw_vector.h"
#include "lib/base/err.h"

/* A picture while it is printed. */
struct svg {
    FILE *out;
    const char *id;
    const struct draw_list *list;
    unsigned n_clips;
};

/* Two digits behind the point, without trailing zeros. */
static void print_number(FILE *out, float value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.2f", (double)value);
    char *end = text + strlen(text);
    while (end[-1] == '0') {
        *--end = '\0';
    }
    if (end[-1] == '.') {
        *--end = '\0';
    }
    (void)fputs(strcmp(text, "-0") == 0 ? "0" : text, out);
}

static void print_attribute(FILE *out, const char *name, float value)
{
    (void)fprintf(out, " %s=\"", name);
    print_number(out, value);
    (void)fputc('"', out);
}

static void print_paint(FILE *out, const char *what, draw_color color)
{
    (void)fprintf(out, " %s=\"#%06x\"", what, (unsigned)color & 0xFFFFFFU);
    if (color >> 24 < 255) {
        char name[24];
        (void)snprintf(name, sizeof name, "%s-opacity", what);
        print_attribute(out, name, (float)(color >> 24) / 255.0F);
    }
}

static void print_points(FILE *out, const struct draw_point *points, size_t n)
{
    (void)fputs(" points=\"", out);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(i > 0 ? " " : "", out);
        print_number(out, points[i].x);
        (void)fputc(',', out);
        print_number(out, points[i].y);
    }
    (void)fputc('"', out);
}

static void print_rect(FILE *out, struct draw_rect rect)
{
    print_attribute(out, "x", rect.x);
    print_attribute(out, "y", rect.y);
    print_attribute(out, "width", rect.w);
    print_attribute(out, "height", rect.h);
}

static void svg_rect(void *payload, struct draw_rect rect, float radius, draw_color color)
{
    struct svg *svg = payload;
    (void)fputs("<rect", svg->out);
    print_rect(svg->out, rect);
    if (radius > 0) {
        print_attribute(svg->out, "rx", radius);
    }
    print_paint(svg->out, "fill", color);
    (void)fputs("/>\n", svg->out);
}

static void svg_polygon(
    void *payload, const struct draw_point *points, size_t n, draw_color color)
{
    struct svg *svg = payload;
    (void)fputs("<polygon", svg->out);
    print_points(svg->out, points, n);
    print_paint(svg->out, "fill", color);
    (void)fputs("/>\n", svg->out);
}

static void svg_stroke(void *payload, const struct draw_point *points, size_t n,
    float width, float dash, draw_color color)
{
    struct svg *svg = payload;
    (void)fputs("<polyline fill=\"none\" stroke-linejoin=\"round\"", svg->out);
    (void)fputs(dash > 0 ? "" : " stroke-linecap=\"round\"", svg->out);
    print_points(svg->out, points, n);
    print_attribute(svg->out, "stroke-width", width);
    if (dash > 0) {
        print_attribute(svg->out, "stroke-dasharray", dash);
    }
    print_paint(svg->out, "stroke", color);
    (void)fputs("/>\n", svg->out);
}

static void svg_ring(
    void *payload, struct draw_point at, float outer, float inner, draw_color color)
{
    struct svg *svg = payload;
    (void)fputs("<circle", svg->out);
    print_attribute(svg->out, "cx", at.x);
    print_attribute(svg->out, "cy", at.y);
    print_attribute(svg->out, "r", inner > 0 ? (outer + inner) / 2 : outer);
    if (inner > 0) {
        (void)fputs(" fill=\"none\"", svg->out);
        print_attribute(svg->out, "stroke-width", outer - inner);
    }
    print_paint(svg->out, inner > 0 ? "stroke" : "fill", color);
    (void)fputs("/>\n", svg->out);
}

/* What XML cannot hold is escaped, or left out. */
static void print_text(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        switch (c) {
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '&': (void)fputs("&amp;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        default: (void)fputc(c < ' ' ? ' ' : c, out); break;
        }
    }
}

static void svg_text(void *payload, const struct draw_cmd *cmd)
{
    struct svg *svg = payload;
    float width = font_width(draw_font(svg->list), cmd->u.string.role, cmd->u.string.size,
        cmd->u.string.text, cmd->u.string.n);
    bool is_mono = cmd->u.string.role == FONT_MONO;
    (void)fputs("<text", svg->out);
    print_attribute(svg->out, "x", cmd->u.string.x);
    print_attribute(svg->out, "y", cmd->u.string.y);
    print_attribute(svg->out, "font-size", cmd->u.string.size);
    (void)fprintf(svg->out, " font-family=\"%s\"",
        is_mono ? "'JetBrains Mono',ui-monospace,monospace"
                : "Inter,system-ui,'DejaVu Sans',sans-serif");
    (void)fputs(cmd->u.string.role == FONT_STRONG ? " font-weight=\"600\"" : "", svg->out);
    if (cmd->u.string.n > 1 && width > 0) {
        print_attribute(svg->out, "textLength", width);
        (void)fputs(" lengthAdjust=\"spacingAndGlyphs\"", svg->out);
    }
    print_paint(svg->out, "fill", cmd->color);
    (void)fputs(" xml:space=\"preserve\">", svg->out);
    print_text(svg->out, cmd->u.string.text, cmd->u.string.n);
    (void)fputs("</text>\n", svg->out);
}

static void svg_clip(void *payload, struct draw_rect rect)
{
    struct svg *svg = payload;
    unsigned n = svg->n_clips++;
    (void)fprintf(svg->out, "<clipPath id=\"%s-%u\"><rect", svg->id, n);
    print_rect(svg->out, rect);
    (void)fprintf(svg->out, "/></clipPath>\n<g clip-path=\"url(#%s-%u)\">\n", svg->id, n);
}

static void svg_unclip(void *payload)
{
    struct svg *svg = payload;
    (void)fputs("</g>\n", svg->out);
}

int draw_svg_print(const struct draw_list *list, const char *id, FILE *out)
{
    struct svg svg = {.out = out, .id = id, .list = list};
    const struct draw_pen pen = {.payload = &svg,
        .rect = svg_rect,
        .polygon = svg_polygon,
        .stroke = svg_stroke,
        .ring = svg_ring,
        .text = svg_text,
        .clip = svg_clip,
        .unclip = svg_unclip};
    struct draw_rect frame = draw_frame(list);
    (void)fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"%s\"", id);
    print_attribute(out, "width", frame.w);
    print_attribute(out, "height", frame.h);
    (void)fputs(" viewBox=\"0 0 ", out);
    print_number(out, frame.w);
    (void)fputc(' ', out);
    print_number(out, frame.h);
    (void)fputs("\">\n", out);
    draw_vector_play(list, &pen);
    (void)fputs("</svg>\n", out);
    return ferror(out) != 0 ? BARO_EIO : 0;
}
