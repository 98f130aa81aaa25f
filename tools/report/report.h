/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report: the story of an investigation with its charts, to keep or send. One sheet is laid out
 * as draw lists, for PNG and PDF; the HTML page has the same charts as inline SVG, and real text.
 */
#ifndef BARO_TOOLS_REPORT_H
#define BARO_TOOLS_REPORT_H

#include <stdio.h>

#include "client/draw/draw.h"
#include "client/draw/theme.h"
#include "tools/why_read.h"

enum { REPORT_MAX_CHARTS = 8, REPORT_MAX_PAGES = 32 };

/* What a report is made of; borrowed. */
struct report {
    const struct why_reading *reading;
    const struct why_story *story;
    struct font *font;
    const struct theme *theme;
};

/** Tell whether a beat has a series to draw; only the first beat of each series has. */
bool report_has_chart(const struct report *report, size_t beat);

/** Draw the series of a beat into a rectangle, with its change and the trouble marked. */
void report_chart(const struct report *report, size_t beat, struct draw_list *list,
    struct draw_rect rect);

/**
 * Lay out all of it.
 *
 * w, h     of a page, logical pixels; h 0: one page, as high as it has to be
 * lists    REPORT_MAX_PAGES; draw_destroy() each
 * returns  how many pages there are
 */
size_t report_lay_out(
    const struct report *report, float w, float h, struct draw_list **lists);

/** Print the HTML page. Returns 0; BARO_EIO. */
int report_print_html(const struct report *report, FILE *out);

#endif
