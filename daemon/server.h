/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's life: open everything, turn the loop, flush and close. */
#ifndef BAROD_SERVER_H
#define BAROD_SERVER_H

#include "daemon/options.h"

/**
 * Run the daemon until it is told to stop.
 *
 * options  its rules and ways of notification are exchanged at SIGHUP
 * returns  0 after an orderly end; a negative code when it could not start
 * thread   the main thread; blocks SIGTERM, SIGINT and SIGHUP for the process
 */
int server_run(struct options *options, struct baro_err *err);

#endif
