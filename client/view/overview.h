/* SPDX-License-Identifier: Apache-2.0 */
/* What the overview remembers: which scalars come first and which are shown at all. */
#ifndef CLIENT_VIEW_OVERVIEW_H
#define CLIENT_VIEW_OVERVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chart_line;
struct frame;
struct model;
struct model_things;
struct view;

enum { OVERVIEW_MAX_PINS = 64, OVERVIEW_GLOB_BYTES = 96 };

/* Name of the chart of step times, which is no scalar of the run. */
#define OVERVIEW_STEP_TIME "step time, s"

/* Height of the row of choices. */
#define OVERVIEW_TOOLS_H 24.0F

struct view_overview {
    char *pins
        [OVERVIEW_MAX_PINS]; /* names of scalars, in this order before all others; owned */
    size_t n_pins;
    char glob[OVERVIEW_GLOB_BYTES]; /* which scalars are shown; "": all */
    size_t time_unit;               /* of the chart of step times: s, ms, µs */
    float tools_y;                  /* of the row of choices, as last drawn */
    size_t n_all, n_shown; /* scalars of the run, and those that fit; as last drawn */
    struct overview_twins *twins; /* scalars of the second run; NULL: none found yet */
};

/** Pin a scalar, or no longer; says so in the view's notice. */
void overview_pin(struct view *view, const char *name);

/** Pin scalars again; names, each ended by a line feed. */
void overview_pin_all(struct view *view, const char *names);

/** Pin the scalar whose chart is under the pointer, or no longer; false: there is none. */
bool overview_pin_hovered(struct view *view, const struct model *model);

/** Whether a scalar is pinned: its place among the pins, else -1. */
int overview_pin_place(const struct view *view, const char *name);

/**
 * Tell step times in the unit in which a person says them, s, ms or µs, which stays while it is not
 * clearly another: the line then counts it. Gives the chart's title.
 *
 * may_choose  this line says which
 */
const char *overview_time_unit(struct frame *f, struct chart_line *line, bool may_choose);

/** Whether a name passes what was typed: a glob, or a part of the name. */
bool overview_passes(const char *glob, const char *name);

/** Free what is remembered. */
void overview_finish(struct view *view);

#endif
