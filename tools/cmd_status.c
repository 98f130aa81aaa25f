/* SPDX-License-Identifier: Apache-2.0 */
/* baro status: the daemon, its troubles, the runs that are going on, and its counters. */
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/barod_process.h"
#include "tools/cli.h"
#include "tools/daemon.h"
#include "tools/json.h"
#include "tools/runs.h"

static json_t *counters_object(const Baro__StatusReply *status)
{
    json_t *counters = json_object();
    for (size_t i = 0; i < status->n_counters; i++) {
        const Baro__Counter *counter = status->counters[i];
        (void)json_object_set_new(
            counters, counter->name, json_integer((json_int_t)counter->value));
    }
    return counters;
}

static void print_json(const struct cli *cli, const Baro__StatusReply *status)
{
    json_t *endpoints = json_array();
    for (size_t i = 0; i < status->n_endpoints; i++) {
        (void)json_array_append_new(endpoints, json_text(status->endpoints[i]));
    }
    json_print(&cli->out,
        json_pack(
            "{s:b, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:b, s:o, s:I, s:o}",
            "running", 1, "version", json_text(status->daemon_version), "pid",
            (json_int_t)status->pid, "dir", json_text(status->dir), "endpoints", endpoints,
            "started_ns", (json_int_t)status->started_ns, "n_runs",
            (json_int_t)status->n_runs, "n_running", (json_int_t)status->n_running,
            "store_bytes", (json_int_t)status->store_bytes, "quota_bytes",
            status->quota_bytes > 0 ? json_integer((json_int_t)status->quota_bytes)
                                    : json_null(),
            "free_bytes", (json_int_t)status->free_bytes, "is_exact", (int)status->is_exact,
            "trouble", json_text_or_null(status->trouble), "damaged",
            (json_int_t)status->n_damaged, "counters", counters_object(status)));
}

static void print_running(const struct cli *cli, const struct run_list *runs)
{
    for (size_t i = 0; i < runs->n_runs; i++) {
        const Baro__RunInfo *run = runs->runs[i];
        if (run_has_ended(run->status) || run->status == BARO__RUN_STATUS__RUN_UNKNOWN) {
            continue;
        }
        char name[1024];
        char safe[1024];
        (void)snprintf(
            name, sizeof name, "%s/%s", run->description->project, run->description->name);
        (void)printf("  %s%s%s  %s  step %lld",
            term_paint(&cli->out, run_status_paint(run->status)),
            run_status_name(run->status), term_paint(&cli->out, TERM_PLAIN),
            term_safe(&cli->out, name, safe, sizeof safe), (long long)run->last_step);
        if (run->has_loss) {
            (void)printf("  loss %.6g", cli_number(run->last_loss));
        }
        if (run->n_alerts > 0) {
            (void)printf("  %s%u alert%s%s", term_paint(&cli->out, TERM_BAD), run->n_alerts,
                run->n_alerts == 1 ? "" : "s", term_paint(&cli->out, TERM_PLAIN));
        }
        (void)printf("\n");
    }
}

static void print_counters(const struct cli *cli, const Baro__StatusReply *status)
{
    static const struct table_column columns[] = {{"COUNTER", false, TABLE_WHOLE},
        {"VALUE", true, TABLE_WHOLE}, {"MEANING", false, TABLE_CUT_END}};
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < status->n_counters; i++) {
        const Baro__Counter *counter = status->counters[i];
        if (counter->value == 0) {
            continue;
        }
        table_cell(table, TERM_PLAIN, "%s", counter->name);
        table_cell(table, TERM_PLAIN, "%llu", (unsigned long long)counter->value);
        table_cell(table, TERM_DIM, "%s", counter->sentence);
    }
    if (status->n_counters > 0) {
        (void)printf("\n");
        table_print(table, stdout);
    }
    table_destroy(table);
}

static void print_store(const Baro__StatusReply *status)
{
    char size[32];
    char free_size[32];
    char quota[32];
    (void)printf(
        "  store     %s", baro_format_bytes(status->store_bytes, size, sizeof size));
    if (status->quota_bytes > 0) {
        (void)printf(
            " of at most %s", baro_format_bytes(status->quota_bytes, quota, sizeof quota));
    }
    if (status->free_bytes > 0) {
        (void)printf(", %s of it free",
            baro_format_bytes(status->free_bytes, free_size, sizeof free_size));
    }
    (void)printf("%s\n", status->is_exact ? ", every bit kept" : "");
}

static void print_people(
    const struct cli *cli, const Baro__StatusReply *status, const struct run_list *runs)
{
    char text[BARO_PATH_BYTES];
    char number[32];
    int64_t up_ns = baro_wall_ns() - status->started_ns;
    (void)printf("%sbarod %s%s is up: pid %u, for %s\n", term_paint(&cli->out, TERM_GOOD),
        status->daemon_version, term_paint(&cli->out, TERM_PLAIN), status->pid,
        baro_format_duration((uint64_t)(up_ns > 0 ? up_ns : 0), number, sizeof number));
    (void)printf("  folder    %s\n", term_safe(&cli->out, status->dir, text, sizeof text));
    for (size_t i = 0; i < status->n_endpoints; i++) {
        (void)printf("  %s  %s\n", i == 0 ? "endpoint" : "        ",
            term_safe(&cli->out, status->endpoints[i], text, sizeof text));
    }
    print_store(status);
    (void)printf(
        "  runs      %u, of which %u running\n", status->n_runs, status->n_running);
    if (status->trouble != NULL && status->trouble[0] != '\0') {
        (void)printf("%s%s trouble: %s%s\n", term_paint(&cli->out, TERM_BAD),
            term_mark(&cli->out, "▲", "!"),
            term_safe(&cli->out, status->trouble, text, sizeof text),
            term_paint(&cli->out, TERM_PLAIN));
    }
    if (status->n_damaged > 0) {
        (void)printf("%s%s damage: %u list%s of readings cannot be read in full: 'baro "
                     "verify' names them%s\n",
            term_paint(&cli->out, TERM_BAD), term_mark(&cli->out, "▲", "!"),
            status->n_damaged, status->n_damaged == 1 ? "" : "s",
            term_paint(&cli->out, TERM_PLAIN));
    }
    print_running(cli, runs);
    print_counters(cli, status);
}

/* No daemon: one sentence; a listed --json consumer gets an object all the same. */
static int fail_down(struct cli *cli, const char *endpoint)
{
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:b, s:o}", "running", 0, "endpoint", json_text(endpoint)));
        return CLI_FAILED;
    }
    pid_t pid = barod_listener(endpoint);
    if (pid > 0) {
        return cli_fail("process %d listens at %s but does not answer; is it stopped?",
            (int)pid, endpoint);
    }
    return cli_fail("no daemon answers at %s; start one with 'baro up'", endpoint);
}

int cmd_status(struct cli *cli)
{
    struct baro_err err = {0};
    cli->link = link_open(cli->values.endpoint, &err);
    if (cli->link == NULL) {
        return cli_fail_err(&err);
    }
    if (!link_is_served(cli->link)) {
        return fail_down(cli, link_endpoint(cli->link));
    }
    struct link_message reply;
    int rc = daemon_ask(cli->link, CLI_TIMEOUT_MS, &reply, &err);
    bool is_far = strncmp(link_endpoint(cli->link), "tcp://", 6) == 0;
    if (rc == BARO_ETIMEOUT && (cli->values.is_json || !is_far)) {
        return fail_down(cli, link_endpoint(cli->link));
    }
    if (rc != 0) {
        return cli_fail_err(&err);
    }
    if (cli->values.is_json) {
        print_json(cli, reply.wire.envelope->status_reply);
    } else {
        struct run_list runs;
        rc = runs_ask(cli, &runs);
        if (rc == CLI_OK) {
            print_people(cli, reply.wire.envelope->status_reply, &runs);
        }
        runs_release(&runs);
    }
    link_message_release(&reply);
    return rc;
}
