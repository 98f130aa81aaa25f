/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of the frame that is shown: where the pointer does what. */
#ifndef CLIENT_VIEW_ZONE_H
#define CLIENT_VIEW_ZONE_H

#include "client/view/view.h"

/** The topmost zone at a point; chart: the topmost that is a chart or the time axis; NULL: none. */
const struct view_zone *zone_at(const struct view *view, float x, float y, bool chart);

/** Where a chart or the time axis has its steps; NULL: the zone is neither. */
const struct chart_layout *zone_layout(
    const struct view *view, const struct view_zone *zone);

#endif
