/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The draw list: what views write and back ends read. A view never touches pixels; it emits
 * commands in logical pixels (origin top left, y down), one list a frame:
 *
 *     struct font *font = font_open(scale, &err);            once; again when the scale changes
 *     struct draw_list *list = draw_create(font, 0);         once
 *     struct raster *raster = raster_create(w_px, h_px);     once; raster_resize afterwards
 *     every frame:
 *         draw_begin(list, w, h, theme->background);         logical size of the window
 *         draw_fill(list, (struct draw_rect){0, 0, 240, h}, theme->panel);
 *         draw_string(list, 12, 24, &(struct draw_style){.role = FONT_TEXT, .size = 13,
 *             .color = theme->text, .max_w = 200}, "encoder.conv1");
 *         chart_draw(list, theme, rect, &chart, &state, &layout);          chart.h
 *         n = raster_draw(raster, list, dirty, RASTER_MAX_DIRTY);     draw_raster.h: repaints
 *                              only what differs from the last frame and says where
 *
 * Other back ends: draw_text.h prints the list for tests. Colours are 0xAARRGGBB, straight
 * alpha; theme.h has them. The list has a maximum: what does not fit is dropped and counted.
 * Everything is copied in: arguments are borrowed for the call only. One thread.
 */
#ifndef CLIENT_DRAW_DRAW_H
#define CLIENT_DRAW_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/draw/font.h"

/* 0xAARRGGBB, straight (not premultiplied) alpha. */
typedef uint32_t draw_color;

enum { DRAW_MAX_CLIP_DEPTH = 16 };

/* Logical pixels. */
struct draw_rect {
    float x, y, w, h;
};

/* Logical pixels. */
struct draw_point {
    float x, y;
};

/* The same for one line of a flock, in eighths of a device pixel below the flock's top edge. */
struct draw_fine {
    uint16_t top, bottom;
};

/* The rows that one device column of a band covers, logical pixels; top > bottom: nothing. */
struct draw_span {
    float top, bottom;
};

enum draw_align {
    DRAW_LEFT = 0, /* x is the left end of the text */
    DRAW_CENTER,
    DRAW_RIGHT
};

/* How a string looks; zero means left, no limit. */
struct draw_style {
    enum font_role role;
    float size; /* logical pixels; one of THEME_SIZE_... */
    draw_color color;
    enum draw_align align;
    float max_w; /* 0 = no limit; beyond it the text ends in an ellipsis */
};

/* Marks have one meaning each, everywhere (LOOK: health, NaN, infinities, branches). */
enum draw_mark_kind {
    DRAW_MARK_DOT,        /* calm; also a reading under the cursor */
    DRAW_MARK_TRIANGLE,   /* watch */
    DRAW_MARK_SQUARE,     /* alarm: square with a notch */
    DRAW_MARK_RING,       /* no data */
    DRAW_MARK_NOTCH,      /* NaN: wedge below an axis, its tip at the point */
    DRAW_MARK_UP,         /* +Inf, or clipped above: arrow head, its tip at the point */
    DRAW_MARK_DOWN,       /* -Inf, or clipped below: arrow head, its tip at the point */
    DRAW_MARK_FORK,       /* a branch starts here */
    DRAW_MARK_CHEVRON,    /* folded tree node: points right */
    DRAW_MARK_CHEVRON_DN, /* unfolded tree node */
    DRAW_MARK_CROSS,      /* close, dismiss */
    DRAW_MARK_COUNT
};

enum draw_op {
    DRAW_FILL,
    DRAW_HAIR,
    DRAW_POLYLINE,
    DRAW_BAND,
    DRAW_FLOCK,
    DRAW_STRING,
    DRAW_MARK,
    DRAW_CELLS,
    DRAW_CLIP,
    DRAW_UNCLIP,
    DRAW_OP_COUNT
};

/* One command, for back ends. Arrays belong to the list until the next draw_begin. */
struct draw_cmd {
    enum draw_op op;
    draw_color color;
    struct draw_rect box; /* what it can touch, logical pixels, not clipped */
    union {
        struct {
            float radius; /* of the corners */
        } fill;
        struct {
            bool vertical;
            float dash; /* length of dash and gap in logical pixels; 0 = solid */
        } hair;
        struct {
            const struct draw_point *points;
            size_t n;
            float width;    /* logical pixels */
            bool is_rising; /* in x, all points finite */
        } polyline;
        struct {
            const struct draw_span *spans; /* one a device column */
            size_t n;
            int x_px;    /* device column of the first */
            float width; /* logical pixels, added half above and half below; 0 = area */
        } band;
        struct {
            const struct draw_fine *spans; /* n_lines rows of n */
            size_t n, n_lines;
            int x_px, y_px, h_px; /* device pixels: first column, first row, rows */
            float width;          /* logical pixels */
            uint64_t key;         /* stands for the spans when it is not 0 */
        } flock;
        struct {
            const char *text; /* NUL-terminated UTF-8, already shortened */
            size_t n;
            float x, y; /* left end and baseline */
            enum font_role role;
            float size;
        } string;
        struct {
            enum draw_mark_kind kind;
            float x, y, size;
        } mark;
        struct {
            const draw_color *colors; /* n_rows rows of n_columns */
            uint32_t n_columns, n_rows;
        } cells;
    } u;
};

struct draw_list;

/**
 * Create an empty list.
 *
 * font       measures text; borrowed, must outlive the list or be replaced by draw_set_font
 * max_bytes  of commands and their arrays; 0 = 64 MiB
 * returns    never NULL; draw_destroy frees it
 */
struct draw_list *draw_create(struct font *font, size_t max_bytes);

/** Free a list; NULL is fine. */
void draw_destroy(struct draw_list *list);

/** Use another font (its scale is the list's scale) from the next draw_begin on. */
void draw_set_font(struct draw_list *list, struct font *font);

/** Forget all commands, keep the memory, and start a frame of w x h logical pixels. */
void draw_begin(struct draw_list *list, float w, float h, draw_color background);

/** The font that measures for this list. */
struct font *draw_font(const struct draw_list *list);

/** Device pixels in a logical one (1 to 3), that of the font. */
float draw_scale(const struct draw_list *list);

/** Size of the frame. */
struct draw_rect draw_frame(const struct draw_list *list);

/** Ground of the frame. */
draw_color draw_background(const struct draw_list *list);

/** The commands in order, *out_n of them; valid until the next draw call. */
const struct draw_cmd *draw_cmds(const struct draw_list *list, size_t *out_n);

/** Commands that did not fit since draw_begin. 0 in a healthy frame. */
size_t draw_dropped(const struct draw_list *list);

/** A colour with its opacity multiplied by alpha (0 to 1). */
draw_color draw_fade(draw_color color, float alpha);

/** A colour t (0 to 1) of the way from a to b; opaque results for opaque inputs. */
draw_color draw_mix(draw_color a, draw_color b, float t);

/** Shrink a rectangle by dx on the left and right and dy above and below; never negative. */
struct draw_rect draw_inset(struct draw_rect rect, float dx, float dy);

/** Whether a point is in a rectangle (right and bottom edges are outside). */
bool draw_inside(struct draw_rect rect, float x, float y);

/** Fill a rectangle; edges between device pixels are anti-aliased. */
void draw_fill(struct draw_list *list, struct draw_rect rect, draw_color color);

/** Fill a rectangle with rounded corners (radius at most 8). */
void draw_fill_round(
    struct draw_list *list, struct draw_rect rect, float radius, draw_color color);

/** Outline a rectangle with hairlines inside its edges. */
void draw_outline(struct draw_list *list, struct draw_rect rect, draw_color color);

/**
 * Draw a line of exactly one device pixel (two from scale 2 on), snapped to the pixel grid.
 *
 * x, y     its left or upper end
 * length   to the right, or down
 * dash     length of dash and gap; 0 = solid
 */
void draw_hair_h(
    struct draw_list *list, float x, float y, float length, float dash, draw_color color);

/** Add a vertical hairline; as draw_hair_h, with y and length downwards. */
void draw_hair_v(
    struct draw_list *list, float x, float y, float length, float dash, draw_color color);

/**
 * Draw one anti-aliased line through points: round joins and ends, even opacity over itself.
 *
 * points   any direction; a NaN coordinate breaks the line
 * width    0.5 to 8 logical pixels
 */
void draw_polyline(struct draw_list *list, const struct draw_point *points, size_t n,
    float width, draw_color color);

/** Draw an S-shaped connection with horizontal ends, as a polyline (graph edges). */
void draw_curve(struct draw_list *list, struct draw_point from, struct draw_point to,
    float width, draw_color color);

/**
 * Draw min/max columns: rows top to bottom of consecutive *device* columns, with soft ends.
 *
 * x_px     device column of spans[0] (logical x times draw_scale)
 * width    pen width: spans grow by half of it at either end; 0 = exactly the spans (areas)
 */
void draw_band(struct draw_list *list, int x_px, const struct draw_span *spans, size_t n,
    float width, draw_color color);

/**
 * Draw very many lines of one faint colour; the result does not depend on their order.
 *
 * x_px, y_px  upper left device pixel of the area
 * h_px        rows of the area, at most 8,000
 * n           device columns of the area
 * color       with the opacity of one line; any number over each other stays below 60 %
 * returns     n_lines rows of n spans, undefined, to be filled before the next call; NULL if
 *             they do not fit (counted as dropped)
 */
struct draw_fine *draw_flock(struct draw_list *list, int x_px, int y_px, int h_px, size_t n,
    size_t n_lines, float width, draw_color color);

/* Where a flock lies, as for draw_flock, and its key. */
struct draw_flock_at {
    int x_px, y_px, h_px;
    size_t n;
    float width;
    uint64_t
        key; /* not 0; the same key means the same rows, so it is a hash of all behind them */
};

/**
 * Draw very many lines whose rows outlive the frame: they are found again by their key.
 *
 * n_extra       bytes for the caller beside them, at *out_extra, zero at first
 * out_is_known  true: rows and extra are as they were left, and need not be written
 * returns       as draw_flock
 */
struct draw_fine *draw_flock_kept(struct draw_list *list, const struct draw_flock_at *at,
    size_t n_lines, draw_color color, size_t n_extra, void **out_extra, bool *out_is_known);

/** Hash bytes; not against an adversary. */
uint64_t draw_hash(uint64_t seed, const void *bytes, size_t n);

/**
 * Draw a string.
 *
 * x        left end, middle or right end, as style->align says
 * y        baseline
 * returns  the box of what is drawn (after shortening); w is 0 for an empty string
 */
struct draw_rect draw_string(struct draw_list *list, float x, float y,
    const struct draw_style *style, const char *text);

/** Draw a string in the middle of a row, shortened to its width; align within rect. */
struct draw_rect draw_string_in(struct draw_list *list, struct draw_rect rect,
    const struct draw_style *style, const char *text);

/** The box that draw_string would return, without drawing. */
struct draw_rect draw_string_box(struct draw_list *list, float x, float y,
    const struct draw_style *style, const char *text);

/** Draw a mark; size is its width in logical pixels (7 beside 13 px text). */
void draw_mark(struct draw_list *list, enum draw_mark_kind kind, float x, float y,
    float size, draw_color color);

/** Draw a grid of colours into a rectangle (heat strips, thumbnails); cells meet seamlessly. */
void draw_cells(struct draw_list *list, struct draw_rect rect, const draw_color *colors,
    uint32_t n_columns, uint32_t n_rows);

/** Restrict what follows to the intersection of rect and the current clip. */
void draw_clip(struct draw_list *list, struct draw_rect rect);

/** End the last draw_clip. */
void draw_unclip(struct draw_list *list);

/**
 * Borrow memory that lives until the next draw_begin: scratch for views.
 *
 * returns  bytes undefined, 16-byte aligned; NULL when the list is full
 */
void *draw_scratch(struct draw_list *list, size_t bytes);

#endif
