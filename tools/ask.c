/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/ask.h"

#include "lib/base/err.h"

int ask_for(struct cli *cli, const struct ask *ask, struct link_message *out_reply)
{
    *out_reply = (struct link_message){0};
    struct link *link = cli_link(cli);
    if (link == NULL) {
        return CLI_FAILED;
    }
    struct baro_err err = {0};
    const int timeout_ms = ask->timeout_ms > 0 ? ask->timeout_ms : CLI_TIMEOUT_MS;
    if (link_ask(link, ask->request, timeout_ms, out_reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (out_reply->wire.envelope->body_case != ask->wanted ||
        (ask->n_frames > 0 && out_reply->n_frames != ask->n_frames)) {
        link_message_release(out_reply);
        return cli_fail("the daemon gave another answer than %s", ask->what);
    }
    return CLI_OK;
}
