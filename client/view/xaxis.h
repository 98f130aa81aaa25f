/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the x axis counts: steps, seconds since the run began, wall time, or epochs. The view's
 * range, cursor and marks are steps whatever it counts; a map from steps to what is counted, made
 * anew each frame from the run's own readings, says where they lie in a chart.
 */
#ifndef CLIENT_VIEW_XAXIS_H
#define CLIENT_VIEW_XAXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chart_layout;
struct chart_line;
struct frame;
struct model;
struct view;

enum xaxis_kind { XAXIS_STEP, XAXIS_ELAPSED, XAXIS_CLOCK, XAXIS_EPOCH, XAXIS_KIND_COUNT };

/* Steps and where they lie on the axis, both rising; between them it is straight, beyond them it
 * goes on at rate. n 0: it counts steps. */
struct xmap {
    size_t n, capacity;
    double *steps, *at;
    double *idle; /* of what lies before, so much passed while nothing ran */
    double rate;  /* of the axis for each step; > 0 */
};

struct xaxis {
    enum xaxis_kind wanted;
    enum xaxis_kind shown; /* XAXIS_STEP until what is wanted is known */
    uint32_t run, other;   /* that the maps are of */
    struct xmap map, other_map;
    uint64_t stamp; /* another one: the map has changed */
};

/** Wish for what the maps need, and make them; the range of the second run goes into the wish. */
void xaxis_update(struct frame *f);

/** Free what the maps hold. */
void xaxis_finish(struct xaxis *axis);

/** Go on to the next kind that this run has; says which in the view's notice. */
void xaxis_next(struct view *view, const struct model *model);

/** Choose a kind. */
void xaxis_choose(struct view *view, enum xaxis_kind kind);

/** Whether a run has epochs, as far as is known: a scalar that counts them. */
bool xaxis_has_epochs(const struct model *model);

/** The unit of an axis that counts a kind. */
enum axis_unit xaxis_unit(enum xaxis_kind kind);

/** Name a kind: "step", "time since start", "wall time", "epoch". */
const char *xaxis_name(enum xaxis_kind kind);

/** Where a step lies on the axis. */
double xaxis_of(const struct xmap *map, double step);

/** The step that lies at a place of the axis. */
double xaxis_step(const struct xmap *map, double x);

/** Whether nothing ran for a while between two steps: a run that was taken up again. */
bool xaxis_is_idle(const struct xmap *map, double from_step, double to_step);

/** The step under a pixel column of a chart, whatever its axis counts. */
double xaxis_step_at(const struct view *view, const struct chart_layout *layout, float px);

/** Pixel column of a step in a chart. */
float xaxis_px(const struct view *view, const struct chart_layout *layout, double step);

/** Where a step lies in what is visible: 0 at its left end, 1 at its right one. */
double xaxis_place(const struct view *view, double step);

/** The step at such a place. */
double xaxis_step_of_place(const struct view *view, double place);

/** Put the readings of a line, which count steps, where the map says; in scratch memory. */
void xaxis_map_line(struct frame *f, const struct xmap *map, struct chart_line *line);

/**
 * Say a step, with the time where the axis counts that: "step 1,234 · 14:05:09".
 *
 * map      of the run that it is a step of
 * returns  out
 */
char *xaxis_words(char *out, size_t out_bytes, const struct view *view,
    const struct xmap *map, double step);

#endif
