/* SPDX-License-Identifier: Apache-2.0 */
/* One row of the layers at a glance: colours of a tensor over the visible steps, remembered. */
#ifndef CLIENT_VIEW_HEAT_ROW_H
#define CLIENT_VIEW_HEAT_ROW_H

#include "client/view/inside.h"

/* Colours of a row and what they stand for. Borrowed until the next row or the end of the frame. */
struct heat_row {
    const draw_color *cells;           /* n_cells */
    double usual;                      /* log2 of the tensor's usual norm; NaN: unknown */
    const struct model_series *series; /* of its norm; NULL: nothing yet */
};

/**
 * Give the row of a tensor, made anew only when something of it has changed.
 *
 * is_soft  its NaN and infinities came from elsewhere: they are drawn in the muted alarm colour
 * cost     about 10 us when made anew, else a comparison
 */
struct heat_row heat_row_get(
    struct frame *f, const struct model_thing *thing, bool is_soft, size_t n_cells);

/** The colour of a NaN or an infinity that came from elsewhere. */
draw_color heat_soft_alarm(const struct theme *theme);

/** Free what was remembered; NULL is fine. */
void heat_cache_destroy(struct heat_cache *cache);

#endif
