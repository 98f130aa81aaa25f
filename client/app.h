/* SPDX-License-Identifier: Apache-2.0 */
/* The window: SDL events in, pixels out. The only place of the program that includes SDL. */
#ifndef CLIENT_APP_H
#define CLIENT_APP_H

#include "client/options.h"

/** Open the window and stay until it is closed. Returns the exit status. */
int app_run(const struct options *options);

#endif
