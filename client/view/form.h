/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms in which a tensor's history is drawn small: a line, boxes, percentile bands, a
 * horizon. The layers page has one in each row, the network page one in each box.
 */
#ifndef CLIENT_VIEW_FORM_H
#define CLIENT_VIEW_FORM_H

#include "client/view/inside.h"

/* What there is to draw of one tensor. */
struct form_data {
    const struct model_thing *thing;   /* that it is read from: of a ratio the update */
    const struct model_series *series; /* NULL: none, or nothing yet */
    const struct model_spread *spread; /* of its units; NULL: none, or nothing yet */
    bool has_units;                    /* it could have a spread */
    bool is_single; /* each unit is one number: it has no direction to change */
    double usual;   /* median of the line; NaN: unknown */
};

/** Name a form ("line", "box", "bands", "horizon"). */
const char *form_name(enum form form);

/** Name a statistic ("l2 norm", ..., "update ratio", "change"). */
const char *form_stat_name(enum form_stat stat);

/** Whether a statistic is read from updates, whatever role is shown. */
bool form_is_of_updates(enum form_stat stat);

/** Wish for what a form of a tensor needs and give what is there. */
struct form_data form_get(
    struct frame *f, const struct model_thing *thing, enum form_stat stat, enum form form);

/**
 * Find a y axis for some tensors: whole steps of 1-2-5, or of half decades where few readings
 * dwarf the others, around all that is visible.
 *
 * returns  false: nothing finite is visible
 */
bool form_fit(struct frame *f, const struct form_data *data, size_t n, enum form_stat stat,
    enum form form, struct axis *out);

/** Draw a form into a rectangle. faint: beside others, in the colour of neighbours. */
void form_draw(struct frame *f, struct draw_rect rect, const struct form_data *data,
    enum form_stat stat, enum form form, const struct axis *y, bool faint);

/** The reading of the line, else of the median, at a step; NaN: none. *out_step: when it was. */
double form_value(
    const struct frame *f, const struct form_data *data, double step, double *out_step);

/** Add to the tip what a form shows at a step. */
void form_tip(struct frame *f, const struct form_data *data, enum form_stat stat,
    enum form form, double step);

#endif
