/* SPDX-License-Identifier: Apache-2.0 */
/* Beside the layers: which units changed most. */
#ifndef CLIENT_VIEW_LAYERS_PANEL_H
#define CLIENT_VIEW_LAYERS_PANEL_H

#include "client/view/inside.h"

/** Draw what changed most at the cursor, and at all picked steps. role: of the page. */
void layers_panel_draw(struct frame *f, struct draw_rect rect, enum baro_role role);

#endif
