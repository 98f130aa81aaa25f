/* SPDX-License-Identifier: Apache-2.0 */
/* baro up, baro down: the user's own daemon, started in the background and stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/link/link.h"
#include "tools/barod_process.h"
#include "tools/cli.h"
#include "tools/daemon.h"
#include "tools/json.h"

enum { UP_TIMEOUT_MS = 15000, UP_PROBE_MS = 2000, DOWN_TIMEOUT_MS = 30000 };

/* ---- asking for the state ---- */

int daemon_ask(
    struct link *link, int timeout_ms, struct link_message *out_reply, struct baro_err *err)
{
    Baro__StatusRequest body = BARO__STATUS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    request.status_request = &body;
    int rc = link_ask(link, &request, timeout_ms, out_reply, err);
    if (rc == 0 &&
        out_reply->wire.envelope->body_case != BARO__ENVELOPE__BODY_STATUS_REPLY) {
        link_message_release(out_reply);
        return baro_err_set(
            err, BARO_ECORRUPT, "the daemon gave another answer than its state");
    }
    return rc;
}

/* A daemon that listens and is silent: stopped, hung, or busy beyond reason. */
static int fail_silent(const char *endpoint)
{
    pid_t pid = barod_listener(endpoint);
    if (pid > 0) {
        return cli_fail("process %d listens at %s but does not answer; is it stopped?",
            (int)pid, endpoint);
    }
    return cli_fail("something listens at %s but does not answer", endpoint);
}

/* ---- up ---- */

static void print_up(const struct cli *cli, const char *state, pid_t pid, const char *dir,
    const char *endpoint)
{
    if (cli->values.is_json) {
        json_print(
            &cli->out, json_pack("{s:s, s:i, s:o, s:o}", "state", state, "pid", (int)pid,
                           "dir", json_text(dir), "endpoint", json_text(endpoint)));
        return;
    }
    char safe[BARO_PATH_BYTES];
    (void)printf("%sbarod%s %s: pid %d\n", term_paint(&cli->out, TERM_GOOD),
        term_paint(&cli->out, TERM_PLAIN), state, (int)pid);
    (void)printf("  folder    %s\n", term_safe(&cli->out, dir, safe, sizeof safe));
    (void)printf("  endpoint  %s\n", term_safe(&cli->out, endpoint, safe, sizeof safe));
}

/* The daemon answers already. */
static int say_already_up(
    const struct cli *cli, const struct link_message *reply, struct link *link)
{
    const Baro__StatusReply *status = reply->wire.envelope->status_reply;
    print_up(cli, "already up", (pid_t)status->pid, status->dir, link_endpoint(link));
    return CLI_OK;
}

static int fail_to_start(const char *log_path, const struct baro_err *err)
{
    char line[1024];
    barod_last_line(log_path, line, sizeof line);
    if (line[0] != '\0') {
        return cli_fail("%s; its log %s ends: %s", err->text, log_path, line);
    }
    return cli_fail("%s; see its log %s", err->text, log_path);
}

/* Start the user's daemon in the background and wait until it answers. */
static int daemon_up(struct cli *cli, const char *endpoint, pid_t *out_pid)
{
    char dir[BARO_PATH_BYTES];
    char log_path[BARO_PATH_BYTES + 16];
    struct baro_err err = {0};
    if (baro_data_dir(dir, &err) != 0) {
        return cli_fail_err(&err);
    }
    (void)snprintf(log_path, sizeof log_path, "%s/barod.log", dir);
    const char *given =
        cli->values.endpoint != NULL ? cli->values.endpoint : getenv("BARO_ENDPOINT");
    struct barod_options options = {
        .dir = dir,
        .endpoint = given != NULL && given[0] != '\0' ? given : NULL,
        .log_path = log_path,
    };
    pid_t pid = 0;
    if (barod_start(&options, &pid, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (barod_await(endpoint, pid, UP_TIMEOUT_MS, out_pid, &err) != 0) {
        return fail_to_start(log_path, &err);
    }
    return CLI_OK;
}

int daemon_ensure(struct cli *cli)
{
    struct baro_err err = {0};
    cli->link = link_open(cli->values.endpoint, &err);
    if (cli->link == NULL) {
        return cli_fail_err(&err);
    }
    const char *endpoint = link_endpoint(cli->link);
    if (link_is_served(cli->link)) {
        return CLI_OK;
    }
    if (cli->values.is_no_start) {
        return cli_fail("no daemon answers at %s; start one with 'baro up'", endpoint);
    }
    pid_t pid = 0;
    int rc = daemon_up(cli, endpoint, &pid);
    if (rc == CLI_OK && !cli->values.is_json) {
        (void)printf("started barod, pid %d; 'baro down' ends it\n", (int)pid);
    }
    return rc;
}

int cmd_up(struct cli *cli)
{
    struct baro_err err = {0};
    cli->link = link_open(cli->values.endpoint, &err);
    if (cli->link == NULL) {
        return cli_fail_err(&err);
    }
    const char *endpoint = link_endpoint(cli->link);
    if (link_is_served(cli->link)) {
        struct link_message reply;
        int rc = daemon_ask(cli->link, UP_PROBE_MS, &reply, &err);
        if (rc == 0) {
            rc = say_already_up(cli, &reply, cli->link);
            link_message_release(&reply);
            return rc;
        }
        if (rc != BARO_ETIMEOUT) {
            return cli_fail_err(&err);
        }
        if (barod_listener(endpoint) > 0) {
            return fail_silent(endpoint);
        }
    }
    pid_t pid = 0;
    int rc = daemon_up(cli, endpoint, &pid);
    if (rc == CLI_OK) {
        char dir[BARO_PATH_BYTES];
        (void)baro_data_dir(dir, NULL);
        print_up(cli, "up", pid, dir, endpoint);
    }
    return rc;
}

/* ---- down ---- */

static int ask_shutdown(struct link *link, struct baro_err *err)
{
    Baro__ShutdownRequest body = BARO__SHUTDOWN_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_SHUTDOWN_REQUEST;
    request.shutdown_request = &body;
    struct link_message reply;
    int rc = link_ask(link, &request, CLI_TIMEOUT_MS, &reply, err);
    link_message_release(&reply);
    return rc;
}

static int print_down(const struct cli *cli, const char *state, int pid)
{
    if (cli->values.is_json) {
        json_print(&cli->out, json_pack("{s:s, s:o}", "state", state, "pid",
                                  pid > 0 ? json_integer(pid) : json_null()));
    } else if (pid > 0) {
        (void)printf("barod %s: pid %d is gone\n", state, pid);
    } else {
        (void)printf(
            "barod %s: no daemon listens at %s\n", state, link_endpoint(cli->link));
    }
    return CLI_OK;
}

int cmd_down(struct cli *cli)
{
    struct baro_err err = {0};
    cli->link = link_open(cli->values.endpoint, &err);
    if (cli->link == NULL) {
        return cli_fail_err(&err);
    }
    if (!link_is_served(cli->link)) {
        return print_down(cli, "already down", 0);
    }
    struct link_message reply;
    int rc = daemon_ask(cli->link, CLI_TIMEOUT_MS, &reply, &err);
    bool is_far = strncmp(link_endpoint(cli->link), "tcp://", 6) == 0;
    if (rc == BARO_ETIMEOUT && !is_far) {
        return fail_silent(link_endpoint(cli->link));
    }
    if (rc != 0) {
        return cli_fail_err(&err);
    }
    pid_t pid = (pid_t)reply.wire.envelope->status_reply->pid;
    link_message_release(&reply);
    if (ask_shutdown(cli->link, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (!is_far && !barod_await_end(pid, DOWN_TIMEOUT_MS)) {
        return cli_fail("barod (pid %d) has been told to end, but still runs after %d s",
            (int)pid, DOWN_TIMEOUT_MS / 1000);
    }
    return print_down(cli, "down", (int)pid);
}
