/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: what the person does becomes a change of the view. Knows no window system; the
 * program translates its events into these. Each returns true when the picture has to be drawn
 * again.
 */
#ifndef CLIENT_VIEW_INPUT_H
#define CLIENT_VIEW_INPUT_H

#include "client/view/view.h"

/* Keys that are not characters. */
enum input_key {
    INPUT_NONE,
    INPUT_LEFT,
    INPUT_RIGHT,
    INPUT_UP,
    INPUT_DOWN,
    INPUT_ENTER,
    INPUT_ESCAPE,
    INPUT_BACKSPACE,
    INPUT_HOME,
    INPUT_DELETE,
};

enum input_button { INPUT_MAIN, INPUT_SECOND };

/** A character was typed: a command, or a letter of what is to be found. */
bool input_char(struct view *view, const struct model *model, const char *text);

/** A key that is not a character. */
bool input_key(
    struct view *view, const struct model *model, enum input_key key, bool has_shift);

/** The pointer is at a point. */
bool input_move(struct view *view, float x, float y);

/** Put the cursor on the step under the pointer, unless it is kept elsewhere; true: it moved. */
bool input_point(struct view *view);

/** The pointer has left the window. */
bool input_leave(struct view *view);

/** A button went down. n_clicks: 2 for a double click. */
bool input_down(
    struct view *view, float x, float y, enum input_button button, int n_clicks);
/** A button went up: a click or the end of a drag. */
bool input_up(struct view *view, const struct model *model, float x, float y,
    enum input_button button);

/** The wheel turned; dy > 0: away from the person. */
bool input_wheel(struct view *view, const struct model *model, float dx, float dy);

/** A key while scalars are chosen: enter keeps what was typed, escape shows all again. */
bool overview_glob_key(struct view *view, enum input_key key);

#endif
