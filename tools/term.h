/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the terminal can show, and tables that fit it. Colour only on a terminal with TERM set
 * and NO_COLOR unset; without a UTF-8 locale every mark is ASCII and other characters become '?'.
 */
#ifndef BARO_TOOLS_TERM_H
#define BARO_TOOLS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct term {
    bool is_tty;
    bool has_colour;
    bool has_utf8;
    int columns; /* width of the terminal; a large number when the output is no terminal */
};

enum term_paint {
    TERM_PLAIN = 0,
    TERM_BOLD,
    TERM_DIM,
    TERM_GOOD,
    TERM_WARN,
    TERM_BAD,
    TERM_ACCENT,
    TERM_PAINT_COUNT
};

/** Find out what a stream's terminal can do. Reads the environment and the locale (LC_CTYPE). */
void term_init(struct term *term, FILE *stream);

/** Give the escape sequence that begins a paint, or "" without colour. TERM_PLAIN ends one. */
const char *term_paint(const struct term *term, enum term_paint paint);

/** Choose between a mark and its ASCII stand-in. */
const char *term_mark(const struct term *term, const char *utf8, const char *ascii);

/**
 * Make text safe to print here: no control characters, no bytes the locale cannot show.
 *
 * out      out_bytes > 0; always NUL-terminated
 * returns  out
 */
char *term_safe(const struct term *term, const char *text, char *out, size_t out_bytes);

/** Print text in lines no longer than the terminal, each begun with so many spaces. */
void term_wrap(const struct term *term, FILE *stream, int indent, const char *text);

/** Likewise, going on in a line of which so many columns are printed. */
void term_wrap_after(
    const struct term *term, FILE *stream, int used, int indent, const char *text);

/** Tell how many columns a text takes. */
int term_width(const char *text);

/* Where a cell may be cut: names in their middle, sentences at their end. */
enum table_cut { TABLE_WHOLE = 0, TABLE_CUT_MIDDLE, TABLE_CUT_END };

/* One column of a table. */
struct table_column {
    const char *title;
    bool is_right;      /* align to the right */
    enum table_cut cut; /* how it may be cut to fit the terminal */
};

struct table;

/** Make a table; columns is borrowed until table_destroy. */
struct table *table_create(
    const struct term *term, const struct table_column *columns, size_t n_columns);

/** Add the next cell, row by row; the text is made safe. */
void table_cell(struct table *table, enum term_paint paint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Print the titles and all rows. */
void table_print(const struct table *table, FILE *stream);

/** Free; accepts NULL. */
void table_destroy(struct table *table);

#endif
