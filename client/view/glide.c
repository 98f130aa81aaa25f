/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/glide.h"

#include <math.h>
#include <stdio.h>

/*
 * The speed falls to 1/e every SLOWS_S seconds, so that what is let go of at v runs v * SLOWS_S
 * further. It is judged over the last AGO_S of the drag: who holds still before letting go sends
 * nothing off.
 */

static const double SLOWS_S = 0.18;
static const double SCROLLS_S = 0.05;
static const double AGO_S = 0.08;
static const double LEAST_PX_PER_S = 60;
static const float LEAST_PX = 0.5F;

/* Steps in a pixel of the chart that is dragged. */
static double steps_per_px(const struct view *view)
{
    double w = (double)view->drag_layout.plot.w;
    return w > 0 ? (view->hi - view->lo) / w : 0;
}

void glide_drag(struct view *view, float x)
{
    struct view_glide *glide = &view->glide;
    double since_s = view->now_s - glide->moved_s;
    if (view->now_s <= 0 || since_s <= 0) {
        return;
    }
    double px_per_s = (double)(glide->moved_x - x) / fmax(since_s, 0.004);
    double share = since_s > AGO_S ? 1 : fmin(since_s / AGO_S * 2, 1);
    double speed = px_per_s * steps_per_px(view);
    glide->speed += (speed - glide->speed) * share;
    glide->moved_s = view->now_s;
    glide->moved_x = x;
}

void glide_let_go(struct view *view)
{
    struct view_glide *glide = &view->glide;
    double least = LEAST_PX_PER_S * steps_per_px(view);
    bool is_late = view->now_s - glide->moved_s > AGO_S;
    if (view->is_still || is_late || fabs(glide->speed) < least) {
        glide->speed = 0;
    }
}

void glide_scroll(struct view *view, enum view_scroll which, float by)
{
    if (view->is_still || view->now_s <= 0) {
        view->scroll[which] += by;
    } else {
        view->glide.scroll[which] += by;
    }
}

bool glide_command(struct view *view, char key)
{
    if (key != 'M') {
        return false;
    }
    view->is_still = !view->is_still;
    view->has_chosen_motion = true;
    (void)snprintf(view->notice, sizeof view->notice, "%s",
        view->is_still ? "Reduced motion: nothing glides on by itself" : "Full motion");
    return true;
}

void glide_stop(struct view *view)
{
    view->glide = (struct view_glide){0};
}

bool glide_is_moving(const struct view *view)
{
    bool is_moving = view->drag == DRAG_NONE && fabs(view->glide.speed) > 0;
    for (int i = 0; i < VIEW_SCROLL_COUNT; i++) {
        is_moving = is_moving || fabsf(view->glide.scroll[i]) > 0;
    }
    return is_moving;
}

static void move_range(struct view *view, double seconds)
{
    struct view_glide *glide = &view->glide;
    double rest = exp(-seconds / SLOWS_S);
    double by = glide->speed * SLOWS_S * (1 - rest);
    view_set_range(view, view->lo + by, view->hi + by);
    glide->speed *= rest;
    double span = view->hi - view->lo;
    if (fabs(glide->speed) < span * 0.002) {
        glide->speed = 0;
    }
}

void glide_tick(struct view *view, double seconds)
{
    struct view_glide *glide = &view->glide;
    seconds = fmin(fmax(seconds, 0), 0.25);
    if (view->drag == DRAG_NONE && fabs(glide->speed) > 0) {
        move_range(view, seconds);
    }
    float share = (float)(1 - exp(-seconds / SCROLLS_S));
    for (int i = 0; i < VIEW_SCROLL_COUNT; i++) {
        bool is_last = fabsf(glide->scroll[i]) < LEAST_PX;
        float by = is_last ? glide->scroll[i] : glide->scroll[i] * share;
        view->scroll[i] += by;
        glide->scroll[i] = is_last ? 0 : glide->scroll[i] - by;
    }
}
