/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about units share: units.c, units_lines.c, units_whole.c, units_hand.c, unit_panel.c. */
#ifndef CLIENT_VIEW_UNITS_H
#define CLIENT_VIEW_UNITS_H

#include "client/view/inside.h"

enum {
    UNITS_MAX_SHEET = 4096, /* more units than that never come as a sheet */
    UNITS_MAX_LINES = 64,
    UNITS_MAX_FLOCKS = 8
};

/* What there is of the units on this page. */
struct units {
    const struct model_thing *thing;
    enum unit_stat stat;
    const struct model_sample *sample; /* NULL: none yet */
    const struct model_units *sheet;   /* NULL: none, or not yet */
    const struct marks *marks;         /* NULL: none */
};

/* A chart of units, in scratch memory. */
struct units_picture {
    struct chart_backdrop backdrop;
    size_t n_flocks, n_lines;
    struct chart_flock flocks[UNITS_MAX_FLOCKS];
    struct chart_line lines[UNITS_MAX_LINES];
    uint32_t units[UNITS_MAX_LINES];   /* of lines */
    bool has_first, has_odd, has_ends; /* colours that are on show */
};

/** What a statistic of units is called. */
const char *units_stat_words(enum unit_stat stat);

/** Gather what there is of the units of a tensor, and wish for what there should be. */
struct units units_get(struct frame *f, const struct model_thing *thing);

/** Why the unit at a place of the sample is shown, in a word: "NaN", "outlier", "highest". */
const char *units_why(const struct units *units, uint32_t place);

/** The same in a sentence. */
const char *units_why_sentence(const struct units *units, uint32_t place);

/** Whether the unit at a place is odd and so far from all other lines that the eye sees it. */
bool units_is_far(const struct model_sample *sample, uint32_t place);

/** The colour of a reason. */
draw_color units_color(const struct frame *f, enum sample_reason reason);

/** The place of the unit that stands for one, itself if it is shown; n_shown: nobody does. */
uint32_t units_stands_for(const struct model_sample *sample, uint32_t unit);

/** The column of rows of units that is nearest to a step. */
size_t units_column(const struct model_units *rows, double step);

/** A row of units as a chart's line. */
struct chart_line units_line(
    struct frame *f, const struct model_units *rows, size_t row, double gap);

/** The series of one unit as a chart's line; wishes for it. */
struct chart_line units_series_line(struct frame *f, const struct model_thing *thing,
    enum unit_stat stat, uint32_t unit, draw_color color);

/** Distance of steps beyond which readings of units are not joined. */
double units_gap(const struct model_thing *thing, int64_t width);

/** Give the picture of the whole, if there is one. */
void units_whole(struct frame *f, const struct units *units, struct units_picture *out);

/** Draw the whole of the units behind, the shown ones, and the marked ones over them. */
void units_picture(struct frame *f, const struct units *units, struct units_picture *out);

/** Mark what a rectangle, dragged out in the chart, touches. */
void units_brush(struct view *view, const struct units *units);

/** The shown unit whose line is nearest to the pointer, -1: none is near; says it in the tip. */
int64_t units_hover(
    struct frame *f, const struct units *units, const struct chart_layout *layout);

/** At the right: the shown units, odd ones first; or the chosen one and those like it. */
void unit_panel_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/** Below: the chosen and the marked units in every role of the layer; false: there are none. */
bool unit_roles_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/** Free the remembered picture of the whole; NULL is fine. */
void density_cache_destroy(struct density_cache *cache);

#endif
