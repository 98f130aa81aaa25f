/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/draw_vector.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * A PDF from scratch: catalog, pages, three of the standard fonts, one content stream a page, one
 * graphics state for each opacity in steps of 1/16. Uncompressed: a report is some tens of
 * kilobytes. A logical pixel is 3/4 of a point, so that 96 make an inch.
 *
 * Texts were measured with the viewer's fonts; each is pressed into its measured width by horizontal
 * scaling (Tz), from the widths of Helvetica below (Adobe's font metrics; Courier: 600 each).
 */

enum { N_OPACITIES = 16, FIRST_CHAR = 32, LAST_CHAR = 126, MAX_PAGES = 64 };

static const float POINTS = 0.75F;

/* Widths of Helvetica from ' ' to '~', in thousandths of the size. */
static const short helvetica[LAST_CHAR - FIRST_CHAR + 1] = {278, 278, 355, 556, 556, 889,
    667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778,
    722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222,
    222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500,
    334, 260, 334, 584};

/* Those of Helvetica-Bold. */
static const short bold[LAST_CHAR - FIRST_CHAR + 1] = {278, 333, 474, 556, 556, 889, 722,
    238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722,
    278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667,
    611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278,
    556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389,
    280, 389, 584};

/* A document while it is printed. */
struct pdf {
    FILE *out;
    long *offsets; /* of each object, from 1 */
    size_t n_objects;
    const struct draw_list *list;
    float h; /* of the page, logical pixels */
    int opacity;
    char *text; /* the content stream at hand */
    size_t n_bytes;
    size_t capacity;
};

/* ---- the content stream ---- */

__attribute__((format(printf, 2, 3))) static void put(
    struct pdf *pdf, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    n = n < (int)sizeof line ? n : (int)sizeof line - 1;
    if (pdf->n_bytes + (size_t)n + 1 > pdf->capacity) {
        pdf->capacity = 2 * (pdf->n_bytes + (size_t)n) + 4096;
        pdf->text = baro_xrealloc(pdf->text, pdf->capacity, 1);
    }
    memcpy(pdf->text + pdf->n_bytes, line, (size_t)n + 1);
    pdf->n_bytes += (size_t)n;
}

static double px(float x)
{
    return (double)(x * POINTS);
}

static double py(const struct pdf *pdf, float y)
{
    return (double)((pdf->h - y) * POINTS);
}

static void put_paint(struct pdf *pdf, bool is_stroke, draw_color color)
{
    int opacity = (int)lroundf((float)(color >> 24) / 255.0F * N_OPACITIES);
    opacity = opacity < 1 ? 1 : opacity;
    if (opacity != pdf->opacity) {
        put(pdf, "/A%d gs\n", opacity);
        pdf->opacity = opacity;
    }
    put(pdf, "%.3f %.3f %.3f %s\n", (double)(color >> 16 & 255) / 255,
        (double)(color >> 8 & 255) / 255, (double)(color & 255) / 255,
        is_stroke ? "RG" : "rg");
}

static void pdf_rect(void *payload, struct draw_rect rect, float radius, draw_color color)
{
    struct pdf *pdf = payload;
    (void)radius; /* 2 px at most: no one sees it on paper */
    put_paint(pdf, false, color);
    put(pdf, "%.2f %.2f %.2f %.2f re f\n", px(rect.x), py(pdf, rect.y + rect.h), px(rect.w),
        px(rect.h));
}

static void put_path(struct pdf *pdf, const struct draw_point *points, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(pdf, "%.2f %.2f %c\n", px(points[i].x), py(pdf, points[i].y),
            i == 0 ? 'm' : 'l');
    }
}

static void pdf_polygon(
    void *payload, const struct draw_point *points, size_t n, draw_color color)
{
    struct pdf *pdf = payload;
    put_paint(pdf, false, color);
    put_path(pdf, points, n);
    put(pdf, "f\n");
}

static void pdf_stroke(void *payload, const struct draw_point *points, size_t n,
    float width, float dash, draw_color color)
{
    struct pdf *pdf = payload;
    put_paint(pdf, true, color);
    if (dash > 0) {
        put(pdf, "[%.2f] 0 d 0 J\n", px(dash));
    }
    put(pdf, "%.2f w\n", px(width));
    put_path(pdf, points, n);
    if (n == 1) { /* a single reading is a dot */
        put(pdf, "%.2f %.2f l\n", px(points[0].x), py(pdf, points[0].y));
    }
    put(pdf, "S\n");
    if (dash > 0) {
        put(pdf, "[] 0 d 1 J\n");
    }
}

/* A circle as four curves. */
static void put_circle(struct pdf *pdf, struct draw_point at, float r)
{
    static const float control = 0.5523F;
    static const float corner[5][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 0}};
    put(pdf, "%.2f %.2f m\n", px(at.x + r), py(pdf, at.y));
    for (int i = 0; i < 4; i++) {
        const float *a = corner[i];
        const float *b = corner[i + 1];
        put(pdf, "%.2f %.2f %.2f %.2f %.2f %.2f c\n",
            px(at.x + r * (a[0] + control * b[0])),
            py(pdf, at.y + r * (a[1] + control * b[1])),
            px(at.x + r * (b[0] + control * a[0])),
            py(pdf, at.y + r * (b[1] + control * a[1])), px(at.x + r * b[0]),
            py(pdf, at.y + r * b[1]));
    }
}

static void pdf_ring(
    void *payload, struct draw_point at, float outer, float inner, draw_color color)
{
    struct pdf *pdf = payload;
    put_paint(pdf, false, color);
    put_circle(pdf, at, outer);
    if (inner > 0) {
        put_circle(pdf, at, inner);
    }
    put(pdf, inner > 0 ? "f*\n" : "f\n");
}

/* ---- texts ---- */

/* Characters that the fonts lack, as near ones. */
static char near_char(uint32_t c)
{
    switch (c) {
    case 0x2190: return '<';
    case 0x2192: return '>';
    case 0x2013:
    case 0x2014:
    case 0x2212: return '-';
    case 0x2018:
    case 0x2019: return '\'';
    case 0x201C:
    case 0x201D: return '"';
    case 0x00D7: return 'x';
    case 0x03BC:
    case 0x00B5: return 'u';
    case 0x00A0: return ' ';
    default: return '?';
    }
}

/* The text in the font's own letters; an ellipsis takes three. Returns its length. */
static size_t to_latin(const char *text, size_t n, char *out, size_t size)
{
    size_t m = 0;
    for (size_t at = 0; at < n && m + 3 < size;) {
        uint32_t c = font_next_char(text, n, &at);
        if (c == 0x2026) {
            memcpy(out + m, "...", 3);
            m += 3;
        } else {
            out[m++] = c >= FIRST_CHAR && c <= LAST_CHAR ? (char)c : near_char(c);
        }
    }
    out[m] = '\0';
    return m;
}

static void pdf_text(void *payload, const struct draw_cmd *cmd)
{
    struct pdf *pdf = payload;
    char text[512];
    char line[1100];
    size_t n = to_latin(cmd->u.string.text, cmd->u.string.n, text, sizeof text);
    bool is_mono = cmd->u.string.role == FONT_MONO;
    const short *widths = cmd->u.string.role == FONT_STRONG ? bold : helvetica;
    double natural = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        natural += is_mono ? 600 : widths[text[i] - FIRST_CHAR];
        if (text[i] == '(' || text[i] == ')' || text[i] == '\\') {
            line[m++] = '\\';
        }
        line[m++] = text[i];
    }
    line[m] = '\0';
    natural *= (double)cmd->u.string.size / 1000;
    double wanted = (double)font_width(draw_font(pdf->list), cmd->u.string.role,
        cmd->u.string.size, cmd->u.string.text, cmd->u.string.n);
    double stretch = natural > 0 && wanted > 0 ? 100 * wanted / natural : 100;
    put_paint(pdf, false, cmd->color);
    put(pdf, "BT /F%d %.2f Tf %.1f Tz %.2f %.2f Td\n", (int)cmd->u.string.role,
        px(cmd->u.string.size), stretch, px(cmd->u.string.x), py(pdf, cmd->u.string.y));
    for (size_t at = 0; at < m;) { /* put() takes short lines */
        size_t part = m - at < 200 ? m - at : 200;
        part -= part > 1 && line[at + part - 1] == '\\' ? 1 : 0;
        put(pdf, "(%.*s) Tj\n", (int)part, line + at);
        at += part;
    }
    put(pdf, "ET\n");
}

static void pdf_clip(void *payload, struct draw_rect rect)
{
    struct pdf *pdf = payload;
    put(pdf, "q %.2f %.2f %.2f %.2f re W n\n", px(rect.x), py(pdf, rect.y + rect.h),
        px(rect.w), px(rect.h));
}

static void pdf_unclip(void *payload)
{
    struct pdf *pdf = payload;
    put(pdf, "Q\n");
    pdf->opacity = 0; /* what it was is not known */
}

/* ---- the document ---- */

/* Begin an object; returns its number. */
static size_t begin_object(struct pdf *pdf)
{
    pdf->offsets[++pdf->n_objects] = ftell(pdf->out);
    (void)fprintf(pdf->out, "%zu 0 obj\n", pdf->n_objects);
    return pdf->n_objects;
}

static void print_title(FILE *out, const char *title)
{
    char text[256];
    size_t n = to_latin(title, strlen(title), text, sizeof text);
    (void)fputc('(', out);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '(' || text[i] == ')' || text[i] == '\\') {
            (void)fputc('\\', out);
        }
        (void)fputc(text[i], out);
    }
    (void)fputc(')', out);
}

/* Objects 1 to 3: catalog, resources, info; pages follow at 4. */
static void print_head(struct pdf *pdf, size_t n_pages, const char *title)
{
    static const char *const fonts[FONT_ROLE_COUNT] = {[FONT_TEXT] = "Helvetica",
        [FONT_STRONG] = "Helvetica-Bold",
        [FONT_MONO] = "Courier"};
    FILE *out = pdf->out;
    (void)fputs("%PDF-1.4\n%\xE2\xE3\xCF\xD3\n", out);
    (void)begin_object(pdf);
    (void)fputs("<< /Type /Catalog /Pages 4 0 R >>\nendobj\n", out);
    (void)begin_object(pdf);
    (void)fputs("<< /Font <<", out);
    for (int i = 0; i < FONT_ROLE_COUNT; i++) {
        (void)fprintf(
            out, " /F%d << /Type /Font /Subtype /Type1 /BaseFont /%s >>", i, fonts[i]);
    }
    (void)fputs(" >> /ExtGState <<", out);
    for (int i = 1; i <= N_OPACITIES; i++) {
        double opacity = (double)i / N_OPACITIES;
        (void)fprintf(out, " /A%d << /ca %.4f /CA %.4f >>", i, opacity, opacity);
    }
    (void)fputs(" >> >>\nendobj\n", out);
    (void)begin_object(pdf);
    (void)fputs("<< /Producer (Barograph " BAROGRAPH_VERSION ") /Title ", out);
    print_title(out, title);
    (void)fputs(" >>\nendobj\n", out);
    (void)begin_object(pdf);
    (void)fputs("<< /Type /Pages /Kids [", out);
    for (size_t i = 0; i < n_pages; i++) {
        (void)fprintf(out, " %zu 0 R", 5 + 2 * i);
    }
    (void)fprintf(out, " ] /Count %zu >>\nendobj\n", n_pages);
}

static void print_page(struct pdf *pdf, const struct draw_list *list)
{
    const struct draw_pen pen = {.payload = pdf,
        .rect = pdf_rect,
        .polygon = pdf_polygon,
        .stroke = pdf_stroke,
        .ring = pdf_ring,
        .text = pdf_text,
        .clip = pdf_clip,
        .unclip = pdf_unclip};
    struct draw_rect frame = draw_frame(list);
    pdf->list = list;
    pdf->h = frame.h;
    pdf->opacity = 0;
    pdf->n_bytes = 0;
    put(pdf, "1 J 1 j\n");
    draw_vector_play(list, &pen);
    size_t page = begin_object(pdf);
    (void)fprintf(pdf->out,
        "<< /Type /Page /Parent 4 0 R /Resources 2 0 R /MediaBox [0 0 %.2f %.2f] /Contents "
        "%zu 0 R >>\nendobj\n",
        px(frame.w), px(frame.h), page + 1);
    (void)begin_object(pdf);
    (void)fprintf(pdf->out, "<< /Length %zu >>\nstream\n", pdf->n_bytes);
    (void)fwrite(pdf->text, 1, pdf->n_bytes, pdf->out);
    (void)fputs("\nendstream\nendobj\n", pdf->out);
}

int draw_pdf_print(
    const struct draw_list *const *lists, size_t n_lists, const char *title, FILE *out)
{
    size_t n = n_lists < MAX_PAGES ? n_lists : MAX_PAGES;
    struct pdf pdf = {.out = out, .offsets = baro_xcalloc(2 * n + 6, sizeof(long))};
    print_head(&pdf, n, title);
    for (size_t i = 0; i < n; i++) {
        print_page(&pdf, lists[i]);
    }
    long table = ftell(out);
    (void)fprintf(out, "xref\n0 %zu\n0000000000 65535 f \n", pdf.n_objects + 1);
    for (size_t i = 1; i <= pdf.n_objects; i++) {
        (void)fprintf(out, "%010ld 00000 n \n", pdf.offsets[i]);
    }
    (void)fprintf(out,
        "trailer\n<< /Size %zu /Root 1 0 R /Info 3 0 R >>\nstartxref\n%ld\n%%%%EOF\n",
        pdf.n_objects + 1, table);
    free(pdf.offsets);
    free(pdf.text);
    return ferror(out) != 0 ? BARO_EIO : 0;
}
