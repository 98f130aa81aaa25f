/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fonts: Inter for words, JetBrains Mono for numbers (DejaVu where they are missing). Measures
 * and shortens text for views, hands glyph bitmaps to the rasteriser from lazily filled
 * atlases. Sizes are logical pixels; the scale is fixed when a font is opened. One thread.
 */
#ifndef CLIENT_DRAW_FONT_H
#define CLIENT_DRAW_FONT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum font_role {
    FONT_TEXT,   /* Inter */
    FONT_STRONG, /* Inter, heavier: titles */
    FONT_MONO,   /* JetBrains Mono: every number */
    FONT_ROLE_COUNT
};

/* Glyphs sit on quarter pixels: a quarter of a pixel is one phase. */
enum { FONT_PHASES = 4 };

struct font;

/* One glyph at one phase: coverage bytes, row-major, w a row. */
struct font_glyph {
    const uint8_t *coverage; /* NULL when it has no ink; valid while the font is open */
    int w, h;                /* device pixels */
    int left;                /* from the pen's whole pixel to the first column */
    int top;                 /* from the baseline up to the first row */
};

/**
 * Open the three faces.
 *
 * scale    device pixels in a logical one, 0.5 to 4
 * returns  NULL with a sentence in err when no usable font file is found
 */
struct font *font_open(float scale, struct baro_err *err);

/**
 * Open a font without files or glyphs: fixed widths, for tests whose output must not depend on
 * what is installed. Words count 0.55 of the size a character, numbers 0.6.
 */
struct font *font_open_fixed(float scale);

/** Close a font; NULL is fine. */
void font_close(struct font *font);

/** Device pixels in a logical one. */
float font_scale(const struct font *font);

/** Width of n bytes of UTF-8 in logical pixels, kerning included. Never fails. */
float font_width(
    struct font *font, enum font_role role, float size, const char *text, size_t n);

/** Height of a capital letter in logical pixels: what to centre on. */
float font_cap_height(struct font *font, enum font_role role, float size);

/** Furthest ink above the baseline in logical pixels, positive. */
float font_ascent(struct font *font, enum font_role role, float size);

/** Furthest ink below the baseline in logical pixels, positive. */
float font_descent(struct font *font, enum font_role role, float size);

/**
 * Shorten a text to a width, ending in an ellipsis where it does not fit.
 *
 * out      at least n + 4 bytes; NUL-terminated
 * returns  its length; 0 when not even the ellipsis fits
 */
size_t font_ellipsize(struct font *font, enum font_role role, float size, const char *text,
    size_t n, float max_w, char *out);

/**
 * Decode one character; a damaged byte counts as U+FFFD of one byte, a control one as a space.
 *
 * at       advanced; must be below n
 */
uint32_t font_next_char(const char *text, size_t n, size_t *at);

/**
 * Find the glyph of a character; missing ones get the replacement glyph.
 *
 * size     logical pixels
 * phase    0 to FONT_PHASES - 1
 * returns  owned by the font, until it is closed
 */
const struct font_glyph *font_glyph(
    struct font *font, enum font_role role, float size, uint32_t character, int phase);

/** Advance of a character after another (0 = none), in quarter device pixels. */
int font_advance(struct font *font, enum font_role role, float size, uint32_t before,
    uint32_t character);

/** The files in use, for `baro-view --version`: "Inter-Regular.otf, ..."; "fixed" for tests. */
const char *font_names(const struct font *font);

#endif
