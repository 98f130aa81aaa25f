/* SPDX-License-Identifier: Apache-2.0 */
/* A page as a PNG, without a window or a display, by the same code that fills the window. */
#ifndef CLIENT_SCREENSHOT_H
#define CLIENT_SCREENSHOT_H

#include "client/feed.h"
#include "client/options.h"

/**
 * Write the page that the options ask for.
 *
 * returns  exit status: 0; 1 after one sentence on standard error when there is no daemon, no
 *          such run or tensor, or the file cannot be written
 */
int screenshot_run(const struct options *options);

#endif
