/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back to what was shown before: page, run, tensor, unit, range of steps. The program notes the
 * view after every input; what changed is kept, up to 64 places.
 */
#ifndef CLIENT_VIEW_UNDO_H
#define CLIENT_VIEW_UNDO_H

#include "client/view/view.h"

enum { UNDO_MAX = 64 };

/* What is gone back to. */
struct undo_place {
    enum view_page page;
    uint32_t run, thing;
    int64_t unit;
    enum unit_stat stat;
    bool is_alone, is_fit, is_live;
    double lo, hi; /* of a range that stands still; else 0 */
};

/* Zero at first. */
struct undo {
    struct undo_place now;
    bool has_now;
    bool is_flowing; /* the last change was such a movement */
    size_t n;
    struct undo_place past[UNDO_MAX]; /* oldest first */
};

/**
 * Note what is shown after an input.
 *
 * is_flowing  one of many small movements (a wheel): they are gone back over together
 */
void undo_note(struct undo *undo, const struct view *view, bool is_flowing);

/** Go back to the place before; false when there is none. */
bool undo_back(struct undo *undo, struct view *view);

#endif
