/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes: what people write beside a run, and marks without words. The view says what is to be
 * written or removed; the program asks the daemon, which tells everybody who watches.
 */
#ifndef CLIENT_VIEW_NOTES_H
#define CLIENT_VIEW_NOTES_H

#include "client/view/input.h"

struct frame;

/** Do what a key does, if it is one of notes: n, m, { and }. */
bool notes_command(struct view *view, const struct model *model, char key);

/** A character of the note. */
bool notes_char(struct view *view, const char *text);

/** A key while the box is open: enter keeps the note, esc does not. */
bool notes_key(struct view *view, enum input_key key);

/** Go to a note: its step gets the cursor, and comes into view. */
void notes_go(struct view *view, const struct model *model, uint64_t id);

/** Remove the note gone to last; asked twice. */
void notes_remove(struct view *view, const struct model *model);

/** Draw the box. */
void notes_draw(struct frame *f, struct draw_rect rect);

/** Draw the flags of all notes on the time axis, with what they say under the pointer. */
void notes_draw_flags(struct frame *f, const struct chart_layout *layout, float y);

/** Say in the tip what the note at a chart's pointer says; true when there is one. */
bool notes_tip(struct frame *f, const struct chart_layout *layout);

#endif
