/* SPDX-License-Identifier: Apache-2.0 */
/* SIGHUP: rules and notify.conf are read again, while the daemon goes on. */
#ifndef BAROD_RELOAD_H
#define BAROD_RELOAD_H

#include "daemon/barod.h"

/**
 * Read rules and notify.conf again and go by them from now on; where something is wrong, one
 * sentence is logged and all stays as it was.
 *
 * options  those of barod->options
 */
void reload_options(struct barod *barod, struct options *options);

#endif
