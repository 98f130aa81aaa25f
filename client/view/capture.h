/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chart taken out of the picture: its readings as CSV, or itself as SVG. The program asks for one
 * (struct view, capture), draws a frame, and finds the text.
 */
#ifndef CLIENT_VIEW_CAPTURE_H
#define CLIENT_VIEW_CAPTURE_H

#include "client/view/view.h"

/**
 * Ask for the chart under the pointer, else the first of the page.
 *
 * returns  false when the page has no chart
 */
bool capture_ask(struct view *view, enum view_capture_kind kind);

/** Whether it is this slot's chart that has been asked for. */
bool capture_wants(const struct view *view, const struct view_slot *slot);

/** Write a chart as it is drawn now; rect gives its size. Called by frame_chart. */
void capture_chart(struct view *view, struct font *font, struct draw_rect rect,
    const struct chart *chart, const struct view_slot *slot);

/** Forget what was asked for and what was written. */
void capture_clear(struct view *view);

#endif
