/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hand sets going: a range that was dragged and let go of goes on and comes to rest, and a
 * list runs to where the wheel sends it. Whatever the person does next stops it; for who wants
 * nothing to move by itself nothing does.
 */
#ifndef CLIENT_VIEW_GLIDE_H
#define CLIENT_VIEW_GLIDE_H

#include "client/view/view.h"

/** The pointer drags the range along: remember how fast. */
void glide_drag(struct view *view, float x);

/** It was let go of: the range goes on if it was moved quickly. */
void glide_let_go(struct view *view);

/** Scroll a list by so many pixels. */
void glide_scroll(struct view *view, enum view_scroll which, float by);

/** Do what a key does, if it is one of motion: M, full or reduced. */
bool glide_command(struct view *view, char key);

/** Stop all of it. */
void glide_stop(struct view *view);

/** Whether anything glides. */
bool glide_is_moving(const struct view *view);

/** Move what glides for a time. */
void glide_tick(struct view *view, double seconds);

#endif
