/* SPDX-License-Identifier: Apache-2.0 */
/* What baro top draws: one screen of text from what is known of a run. No terminal, no daemon. */
#ifndef BARO_TOOLS_TOP_VIEW_H
#define BARO_TOOLS_TOP_VIEW_H

#include "tools/cli.h"
#include "tools/spark.h"

/* A series with its line. */
struct top_series {
    uint32_t thing; /* 0: step times */
    const char *label;
    struct spark spark;
};

/* The tensors of a module. */
struct top_layer {
    char *path;
    uint32_t level; /* enum baro_level of the gravest alert; 0: none */
};

/* Something that happened; text is the screen's own. */
struct top_news {
    uint64_t id;
    uint32_t level;
    int64_t step;
    bool is_open;
    char *text;
};

/* All that a screen shows. */
struct top_screen {
    const char *name, *status, *reason; /* of the run; reason: why it failed, or "" */
    enum term_paint status_paint;
    int64_t last_step;        /* -1: none yet */
    double steps_per_s, cost; /* NaN: not known; cost is a share of the training's time */
    const char *away;         /* why nothing comes, or "" */
    struct top_series *series;
    size_t n_series;
    struct top_layer *layers;
    size_t n_layers;
    struct top_news *news; /* incidents, else alerts, in the order of their numbers */
    size_t n_news;
    uint64_t n_notes;
};

/**
 * Write a screen: height lines, none wider than width, each ended by a line feed.
 *
 * is_live   the line at the bottom says how to leave
 * returns   malloc'd text with the escapes of term_paint
 */
char *top_view_draw(const struct top_screen *screen, const struct term *term, int width,
    int height, bool is_live);

#endif
