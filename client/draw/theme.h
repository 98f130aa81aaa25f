/* SPDX-License-Identifier: Apache-2.0 */
/* Colours, sizes and spacing, dark and light. Nothing else in the client names a colour. */
#ifndef CLIENT_DRAW_THEME_H
#define CLIENT_DRAW_THEME_H

#include "client/draw/draw.h"

enum { THEME_N_SERIES = 8 };

/* Health of a run, module, series; one colour and one mark each. */
enum theme_health {
    THEME_NO_DATA,
    THEME_CALM,
    THEME_WATCH,
    THEME_ALARM,
    THEME_HEALTH_COUNT
};

/* Text sizes in logical pixels. */
#define THEME_SIZE_AXIS     11.0F
#define THEME_SIZE_TEXT     13.0F
#define THEME_SIZE_TITLE    15.0F
#define THEME_SIZE_HEADLINE 22.0F

/* Space and lines in logical pixels. */
#define THEME_GRID          4.0F
#define THEME_GAP           12.0F /* between panels */
#define THEME_ROW           22.0F /* a row of a tree or table */
#define THEME_LINE          1.25F /* data */
#define THEME_LINE_SELECTED 2.0F
#define THEME_MARK          7.0F
#define THEME_FAINT_ALPHA   0.18F /* unsampled neighbours */

struct theme {
    const char *name; /* "dark" or "light" */
    bool dark;
    draw_color background, panel, raised;
    draw_color hairline, grid;
    draw_color text, secondary, faint;
    draw_color accent; /* selection, cursor, live */
    draw_color calm, watch, alarm;
    draw_color series[THEME_N_SERIES];
};

extern const struct theme theme_dark;
extern const struct theme theme_light;

/** Find a theme by name; NULL if there is none. */
const struct theme *theme_find(const char *name);

/** Colour of a health; faint for no data. */
draw_color theme_health_color(const struct theme *theme, enum theme_health health);

/** Mark of a health: dot, triangle, notched square, ring. */
enum draw_mark_kind theme_health_mark(enum theme_health health);

/** Word of a health: "calm", "watch", "alarm", "no data". */
const char *theme_health_word(enum theme_health health);

/** Colour of line i: the series colours in turn. */
draw_color theme_series(const struct theme *theme, size_t i);

/** Heat: 0 dark blue to 1 yellow, even in lightness; NaN gives the alarm colour. */
draw_color theme_heat(const struct theme *theme, float t);

/** Difference: -1 blue, 0 neutral, 1 orange; NaN gives the alarm colour. */
draw_color theme_diff(const struct theme *theme, float t);

#endif
