/* SPDX-License-Identifier: Apache-2.0 */
/* What a click, a key or a choice in a list does to the view. */
#ifndef CLIENT_VIEW_ACT_H
#define CLIENT_VIEW_ACT_H

#include "client/view/view.h"

/** Do what a zone or an entry of the search is for. */
void act_do(
    struct view *view, const struct model *model, enum view_act what, int64_t a, int64_t b);

/** Show all steps, and follow. */
void act_fit(struct view *view);

/** Turn to a page. */
void act_show_page(struct view *view, enum view_page page);

/** Go to the alert after (by 1) or before (-1) the one at the cursor. */
void act_step_alert(struct view *view, const struct model *model, int by);

/** Type which scalars are shown, or show all again. */
void act_open_glob(struct view *view, bool is_all);

/** List the operations of a module of the tree; those that are listed: no longer. */
void act_pick_ops(struct view *view, int64_t node);

/** Move the cursor over the visible steps by itself, or stop; from the end: from the beginning. */
void act_toggle_play(struct view *view);

#endif
