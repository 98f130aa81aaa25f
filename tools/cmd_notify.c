/* SPDX-License-Identifier: Apache-2.0 */
/* baro notify --test: whether people would be told of an incident. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/link/link.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/json.h"

enum { NOTIFY_WAIT_MS = 120000 }; /* a try may take ten minutes, but rarely does */

static void print_one(const struct cli *cli, const Baro__NotifyResult *result)
{
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:o, s:b, s:o, s:I}", "way", json_text(result->way), "is_good",
                (int)result->is_good, "text", json_text_or_null(result->text), "took_ms",
                (json_int_t)result->took_ms));
        return;
    }
    char way[256];
    char text[256];
    (void)printf("%s%s%s %s", term_paint(&cli->out, result->is_good ? TERM_GOOD : TERM_BAD),
        result->is_good ? "told  " : "failed", term_paint(&cli->out, TERM_PLAIN),
        term_safe(&cli->out, result->way, way, sizeof way));
    if (result->is_good) {
        (void)printf(", in %" PRIu32 " ms\n", result->took_ms);
    } else {
        (void)printf(": %s\n", term_safe(&cli->out, result->text, text, sizeof text));
    }
}

int cmd_notify(struct cli *cli)
{
    if (!cli->values.is_test) {
        return cli_misuse("notify whom of what? 'baro notify --test' sends a test in each "
                          "way that barod was given");
    }
    struct link_message reply;
    Baro__NotifyRequest body = BARO__NOTIFY_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_NOTIFY_REQUEST;
    request.notify_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_NOTIFY_REPLY,
        .what = "what came of the test",
        .timeout_ms = NOTIFY_WAIT_MS};
    if (ask_for(cli, &ask, &reply) != CLI_OK) {
        return CLI_FAILED;
    }
    const Baro__NotifyReply *results = reply.wire.envelope->notify_reply;
    bool is_good = true;
    for (size_t i = 0; i < results->n_results; i++) {
        print_one(cli, results->results[i]);
        is_good = is_good && results->results[i]->is_good;
    }
    link_message_release(&reply);
    return is_good ? CLI_OK : CLI_FAILED;
}
