/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/zone.h"

static bool is_chart_like(enum view_act act)
{
    return act == VIEW_CHART || act == VIEW_TIMELINE;
}

const struct view_zone *zone_at(const struct view *view, float x, float y, bool chart)
{
    for (size_t i = view->n_zones; i > 0; i--) {
        const struct view_zone *zone = &view->zones[i - 1];
        if (draw_inside(zone->rect, x, y) && (!chart || is_chart_like(zone->act))) {
            return zone;
        }
    }
    return NULL;
}

const struct chart_layout *zone_layout(
    const struct view *view, const struct view_zone *zone)
{
    if (zone == NULL || !is_chart_like(zone->act) || zone->a < 0 ||
        zone->a >= VIEW_MAX_SLOTS || !view->slots[zone->a].has_layout) {
        return NULL;
    }
    return &view->slots[zone->a].layout;
}
