/* SPDX-License-Identifier: Apache-2.0 */
/* The box in which a person asks something of the training (key c). */
#ifndef CLIENT_VIEW_CONTROL_H
#define CLIENT_VIEW_CONTROL_H

#include "client/view/input.h"

/** Open the box; where nothing can be asked, say why in the notice instead. */
void control_open(struct view *view, const struct model *model);

/** A letter chooses what is to be asked. Always true. */
bool control_char(struct view *view, const char *text);

/** Enter asks what was chosen: view->control.has_request; any other key closes. Always true. */
bool control_key(struct view *view, enum input_key key);

#endif
