/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the compare page: pairs of series in the order of their difference. */
#ifndef CLIENT_VIEW_COMPARE_ROWS_H
#define CLIENT_VIEW_COMPARE_ROWS_H

#include "client/model/parting.h"
#include "client/view/compare.h"
#include "client/view/inside.h"

enum { COMPARE_MAX_PARTED = 768 }; /* rows of which it is found out where they part */

struct compare_row {
    const struct model_compared *pair;
    const struct model_thing *thing; /* of the first side */
    double weight;                   /* compare_weight of the two */
    bool has_parting;
    struct compare_parting parting;
};

struct compare_rows {
    size_t n; /* shown */
    const struct compare_row *const *at;
    size_t n_tensors, n_scalars; /* of all roles; with a reading on both sides */
    size_t n_scalars_shown;
    const struct compare_row *const *scalars;
    const struct compare_row *first; /* that parted first of all; NULL: none has */
    size_t n_equal;                  /* to the last bit wherever both have readings */
    size_t n_parted_known;           /* rows of which it is known */
    size_t n_roles[BARO_ROLE_END];   /* tensors of each */
};

/** Give the rows of what is compared now; wishes for what tells where they part. */
struct compare_rows compare_rows_get(struct frame *f, const struct model_compare *compare);

/** Settings, scalars and the units of the chosen tensor, at the right. */
void compare_panels(struct frame *f, struct draw_rect rect,
    const struct model_compare *compare, const struct compare_rows *rows,
    const struct compare_row *chosen, const struct model_run *other);

/** Say how to choose what is compared, and list the runs that may be. */
void compare_how_draw(struct frame *f, struct draw_rect rect);

/** Say how many times b is a: "×1.25", "÷3", "equal", "NaN, Inf". */
void compare_say_ratio(char out[FORMAT_MAX], double a, double b);

/** Where the difference of a unit lies on the scale of colours, -1 to 1; NaN: not finite. */
float compare_unit_color(float a, float b);

/** The units of a tensor, by its id on the first side; NULL: not there yet. */
const struct model_compared_units *compare_units_of(
    const struct model_compare *compare, uint32_t thing);

#endif
