/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter: what the window costs and how late it is, for `baro bench view`. The window shows
 * it every frame; after some seconds it has seen enough, prints one line of JSON and the program
 * ends.
 */
#ifndef CLIENT_METER_H
#define CLIENT_METER_H

#include "client/view/view.h"

struct meter;

/** Create a meter that looks for some seconds from the first useful frame on. */
struct meter *meter_create(int seconds);

/** Free a meter; NULL is fine. */
void meter_destroy(struct meter *meter);

/**
 * Note a frame that is on the screen now.
 *
 * begin_ns  when the program began with it
 * is_new    pixels have changed
 * is_whole  the model answers all of what the view wishes for
 */
void meter_frame(struct meter *meter, const struct view *view, const struct model *model,
    uint64_t begin_ns, bool is_new, bool is_whole);

/** Whether it has seen enough. */
bool meter_is_over(const struct meter *meter);

/**
 * Measure the raw drawing limit and print all figures.
 *
 * w, h     device pixels of the window
 * returns  the exit status: 1 when there was no useful frame
 */
int meter_print(struct meter *meter, const struct view *view, int w, int h);

#endif
