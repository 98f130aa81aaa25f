/* SPDX-License-Identifier: Apache-2.0 */
/* What the order of units and the strip that shows it share. */
#ifndef CLIENT_VIEW_UNIT_STRIP_H
#define CLIENT_VIEW_UNIT_STRIP_H

#include "client/view/unit_order.h"

/* The order that was worked out last, and the picture made of it. */
struct unit_order_cache {
    const struct model_units *rows; /* a part, or a member of sample; NULL: nothing yet */
    const struct model_sample *sample; /* a part; NULL: rows are all units */
    uint32_t thing;
    enum unit_stat stat;
    double lo, hi; /* visible steps */
    int64_t width;
    size_t n_visible;
    struct order order;
    uint64_t stamp;
    draw_color *colors; /* [n_rows][n_x] */
    size_t n_x, n_rows;
    uint64_t colors_stamp, x_stamp;
    const struct theme *theme;
};

/** The cache of a view, made at first. Never NULL. */
struct unit_order_cache *unit_order_cache(struct view *view);

#endif
