/* SPDX-License-Identifier: Apache-2.0 */
/* baro control: ask a training that looks at it to stop, pause, save, or change its pace. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/link/link.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"

static const char *const words[] = {
    [BARO__CONTROL_KIND__CONTROL_STOP] = "stop",
    [BARO__CONTROL_KIND__CONTROL_DUMP] = "dump",
    [BARO__CONTROL_KIND__CONTROL_PAUSE] = "pause",
    [BARO__CONTROL_KIND__CONTROL_RESUME] = "resume",
    [BARO__CONTROL_KIND__CONTROL_LR_SCALE] = "lr-scale",
};

static int parse_kind(const char *text, Baro__ControlKind *out_kind)
{
    for (size_t i = 1; i < BARO_LEN(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out_kind = (Baro__ControlKind)i;
            return CLI_OK;
        }
    }
    const char *near = baro_nearest(text, words + 1, BARO_LEN(words) - 1);
    return cli_misuse("'%.40s' is none of stop, dump, pause, resume, lr-scale%s%s%s", text,
        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "");
}

static int parse(const struct cli *cli, Baro__Control *control)
{
    int rc = parse_kind(cli->arguments[1], &control->kind);
    if (rc != CLI_OK) {
        return rc;
    }
    bool is_scale = control->kind == BARO__CONTROL_KIND__CONTROL_LR_SCALE;
    if (!is_scale && cli->n_arguments > 2) {
        return cli_misuse(
            "'%s' is too much: only lr-scale takes a factor", cli->arguments[2]);
    }
    if (is_scale) {
        char *end = NULL;
        const char *text = cli->n_arguments > 2 ? cli->arguments[2] : "";
        control->value = strtod(text, &end);
        if (end == text || *end != '\0' || !(control->value > 0)) {
            return cli_misuse("lr-scale takes the factor of the learning rate, like 0.5");
        }
    }
    if (cli->values.reason != NULL) {
        control->reason = (char *)(uintptr_t)cli->values.reason;
        if (!baro_utf8_valid(control->reason, strlen(control->reason))) {
            return cli_misuse("--reason is not UTF-8");
        }
    }
    return CLI_OK;
}

static void print(const struct cli *cli, const Baro__ControlReply *reply)
{
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:I, s:s, s:I}", "control", (json_int_t)reply->id, "what",
                cli->arguments[1], "processes", (json_int_t)reply->n_streams));
        return;
    }
    (void)printf("asked: %s (control %" PRIu64 ", %" PRIu32
                 " process%s); the run has an event when it is taken\n",
        cli->arguments[1], reply->id, reply->n_streams, reply->n_streams == 1 ? "" : "es");
}

static int ask(struct cli *cli, uint32_t run, Baro__Control *control)
{
    struct link_message reply;
    Baro__ControlRequest body = BARO__CONTROL_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    body.run = run;
    body.control = control;
    request.body_case = BARO__ENVELOPE__BODY_CONTROL_REQUEST;
    request.control_request = &body;
    const struct ask question = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_CONTROL_REPLY,
        .what = "to the request"};
    const int rc = ask_for(cli, &question, &reply);
    if (rc == CLI_OK) {
        print(cli, reply.wire.envelope->control_reply);
    }
    link_message_release(&reply);
    return rc;
}

int cmd_control(struct cli *cli)
{
    struct run_list runs = {0};
    Baro__Control control;
    baro__control__init(&control);
    int rc = parse(cli, &control);
    rc = rc == CLI_OK ? runs_ask(cli, &runs) : rc;
    if (rc == CLI_OK) {
        const Baro__RunInfo *run = runs_find(&runs, cli->arguments[0]);
        rc = run != NULL ? ask(cli, run->run, &control) : CLI_FAILED;
    }
    runs_release(&runs);
    return rc;
}
