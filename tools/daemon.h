/* SPDX-License-Identifier: Apache-2.0 */
/* What several commands do with the user's daemon. */
#ifndef BARO_TOOLS_DAEMON_H
#define BARO_TOOLS_DAEMON_H

#include "lib/link/link.h"
#include "tools/cli.h"

/**
 * Ask a daemon for its state; the reply is then a StatusReply.
 *
 * returns  0 or the code of link_ask
 */
int daemon_ask(struct link *link, int timeout_ms, struct link_message *out_reply,
    struct baro_err *err);

/**
 * Connect to the user's daemon, and start one first when none answers, unless --no-start was
 * given.
 *
 * returns  CLI_OK, or CLI_FAILED after saying why
 */
int daemon_ensure(struct cli *cli);

#endif
