/* SPDX-License-Identifier: Apache-2.0 */
/* Units of the tensor page in an order in which neighbours are alike, remembered. */
#ifndef CLIENT_VIEW_UNIT_ORDER_H
#define CLIENT_VIEW_UNIT_ORDER_H

#include "client/model/order.h"
#include "client/view/tensor.h"
#include "client/view/units.h"

/* Rows of units as colours are chosen by: 0 to 1. Borrowed until the next frame. */
struct unit_order {
    const struct model_units *rows; /* all units, or those of the sample */
    const uint32_t *units;          /* of rows; NULL: row and unit are the same */
    uint32_t n;                     /* rows */
    const uint32_t *order;          /* [n] rows from top to bottom */
    struct axis scale;              /* of colours */
    uint64_t stamp;                 /* another one: rows, order or scale have changed */
};

/**
 * Give the units that are there in an order; worked out when the data are others, or have grown
 * by an eighth: a live run keeps its order meanwhile.
 *
 * returns  false: there is nothing to order
 * cost     10 ms for 4,096 units when worked out
 */
bool unit_order_get(
    struct frame *f, const struct units *units, enum order_by by, struct unit_order *out);

/**
 * Find the units nearest to one by what is visible of them.
 *
 * returns  how many, at most most; 0 where not all units are there
 */
size_t unit_order_nearest(struct frame *f, const struct units *units, uint32_t unit,
    size_t most, struct seriate_near *out);

/** Draw the strip of units over steps into a panel. */
void unit_strip_draw(struct frame *f, struct draw_rect rect, const struct units *units);

/** Free what is remembered; NULL is fine. */
void unit_order_destroy(struct unit_order_cache *cache);

#endif
