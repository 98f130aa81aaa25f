/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/undo.h"

#include <string.h>

#include "client/view/marks.h"

/* A range that follows the run or fits all of it moves by itself: that is no change of place. */
static struct undo_place place_of(const struct view *view)
{
    bool stands = !view->is_fit && !view->is_live;
    return (struct undo_place){.page = view->page,
        .run = view->run,
        .thing = view->thing,
        .unit = view->unit,
        .stat = view->stat,
        .is_alone = view->is_alone,
        .is_fit = view->is_fit,
        .is_live = view->is_live,
        .lo = stands ? view->lo : 0,
        .hi = stands ? view->hi : 0};
}

static bool is_same_range(const struct undo_place *a, const struct undo_place *b)
{
    return a->is_fit == b->is_fit && a->is_live == b->is_live && !(a->lo < b->lo) &&
           !(a->lo > b->lo) && !(a->hi < b->hi) && !(a->hi > b->hi);
}

/* A thing of 0 is one that the view has yet to choose: that it does is no change. */
static bool is_same_thing(const struct undo_place *a, const struct undo_place *b)
{
    return a->page == b->page && a->run == b->run && a->unit == b->unit &&
           a->stat == b->stat && a->is_alone == b->is_alone &&
           (a->thing == b->thing || a->thing == 0);
}

void undo_note(struct undo *undo, const struct view *view, bool is_flowing)
{
    const struct undo_place place = place_of(view);
    bool is_same_view = is_same_thing(&undo->now, &place);
    if (view->run == 0) {
        return;
    }
    bool is_first = !undo->has_now || undo->now.run == 0;
    bool is_joined = undo->n > 0 && is_flowing && is_same_view && undo->is_flowing;
    if (!is_first && !is_joined && !(is_same_view && is_same_range(&undo->now, &place))) {
        if (undo->n == UNDO_MAX) {
            memmove(undo->past, undo->past + 1, (UNDO_MAX - 1) * sizeof undo->past[0]);
            undo->n--;
        }
        undo->past[undo->n++] = undo->now;
        undo->is_flowing = is_flowing;
    } else if (!is_flowing) {
        undo->is_flowing = false;
    }
    undo->now = place;
    undo->has_now = true;
}

bool undo_back(struct undo *undo, struct view *view)
{
    if (undo->n == 0) {
        return false;
    }
    const struct undo_place *place = &undo->past[--undo->n];
    if (place->run != view->run) {
        marks_clear(&view->marks);
        view->alert = 0;
    }
    view->page = place->page;
    view->run = place->run;
    view->thing = place->thing;
    view->unit = place->unit;
    view->stat = place->stat;
    view->is_alone = place->is_alone;
    if (!place->is_fit && !place->is_live) {
        view_set_range(view, place->lo, place->hi);
    }
    view->is_fit = place->is_fit;
    view->is_live = place->is_live;
    view->scroll[VIEW_SCROLL_PAGE] = 0;
    undo->now = place_of(view);
    undo->is_flowing = false;
    return true;
}
