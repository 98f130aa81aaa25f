/* SPDX-License-Identifier: Apache-2.0 */
/* baro prune: make room in the store, or only say what would go. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"

enum { PRUNE_TIMEOUT_MS = 30 * 60 * 1000, PRUNE_ID_COLUMNS = 8 };

/* What one call of prune knows. */
struct prune {
    struct cli *cli;
    struct run_list runs;
    uint32_t *numbers; /* of the runs named */
    size_t n_numbers;
    uint64_t to_bytes;
};

static const Baro__RunInfo *run_of(const struct prune *prune, uint32_t number)
{
    for (size_t i = 0; i < prune->runs.n_runs; i++) {
        if (prune->runs.runs[i]->run == number) {
            return prune->runs.runs[i];
        }
    }
    return NULL;
}

/* ---- telling ---- */

static void print_json(const struct prune *prune, const Baro__PruneReply *reply)
{
    const struct cli *cli = prune->cli;
    for (size_t i = 0; i < reply->n_items; i++) {
        const Baro__PruneItem *item = reply->items[i];
        const Baro__RunInfo *run = run_of(prune, item->run);
        const Baro__RunDescription *description = run != NULL ? run->description : NULL;
        json_print(&cli->out,
            json_pack("{s:o, s:o, s:o, s:s, s:I, s:I, s:o}", "id",
                json_text_or_null(description != NULL ? description->run_id : NULL),
                "project",
                json_text_or_null(description != NULL ? description->project : NULL),
                "name", json_text_or_null(description != NULL ? description->name : NULL),
                "what", item->what, "records", (json_int_t)item->n_rows, "bytes",
                (json_int_t)item->bytes, "reason", json_text(item->reason)));
    }
    json_print(&cli->out,
        json_pack("{s:b, s:b, s:I, s:I, s:I}", "dry_run", (int)cli->values.is_dry_run,
            "is_short", (int)reply->is_short, "bytes_before",
            (json_int_t)reply->bytes_before, "bytes_after", (json_int_t)reply->bytes_after,
            "file_bytes", (json_int_t)reply->file_bytes));
}

static void print_items(const struct prune *prune, const Baro__PruneReply *reply)
{
    static const struct table_column columns[] = {{"ID", false, TABLE_WHOLE},
        {"RUN", false, TABLE_CUT_MIDDLE}, {"WHAT", false, TABLE_WHOLE},
        {"RECORDS", true, TABLE_WHOLE}, {"SIZE", true, TABLE_WHOLE},
        {"WHY", false, TABLE_CUT_END}};
    struct table *table = table_create(&prune->cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < reply->n_items; i++) {
        const Baro__PruneItem *item = reply->items[i];
        const Baro__RunInfo *run = run_of(prune, item->run);
        char size[32];
        if (run != NULL) {
            table_cell(table, TERM_ACCENT, "%.*s",
                prune->cli->out.is_tty ? PRUNE_ID_COLUMNS : 64, run->description->run_id);
            table_cell(table, TERM_BOLD, "%s/%s", run->description->project,
                run->description->name);
        } else {
            table_cell(table, TERM_ACCENT, "%" PRIu32, item->run);
            table_cell(table, TERM_DIM, "-");
        }
        table_cell(table, TERM_PLAIN, "%s", item->what);
        table_cell(table, TERM_PLAIN, "%" PRIu64, item->n_rows);
        table_cell(
            table, TERM_PLAIN, "%s", baro_format_bytes(item->bytes, size, sizeof size));
        table_cell(table, TERM_DIM, "%s", item->reason);
    }
    table_print(table, stdout);
    table_destroy(table);
}

/* How many runs lose nothing. */
static size_t count_untouched(const struct prune *prune, const Baro__PruneReply *reply)
{
    size_t n = 0;
    for (size_t i = 0; i < prune->runs.n_runs; i++) {
        bool is_touched = false;
        for (size_t k = 0; k < reply->n_items; k++) {
            is_touched = is_touched || reply->items[k]->run == prune->runs.runs[i]->run;
        }
        n += is_touched ? 0 : 1;
    }
    return n;
}

static void print_people(const struct prune *prune, const Baro__PruneReply *reply)
{
    bool is_dry = prune->cli->values.is_dry_run;
    char before[32];
    char after[32];
    char file[32];
    (void)baro_format_bytes(reply->bytes_before, before, sizeof before);
    (void)baro_format_bytes(reply->bytes_after, after, sizeof after);
    (void)baro_format_bytes(reply->file_bytes, file, sizeof file);
    if (reply->n_items == 0) {
        (void)printf("nothing %s: %s are in use, in a file of %s\n",
            is_dry ? "would go" : "went", before, file);
        return;
    }
    (void)printf(is_dry ? "would go, in this order:\n" : "went:\n");
    print_items(prune, reply);
    size_t n = count_untouched(prune, reply);
    char others[64] = "";
    bool is_whole = prune->cli->values.is_all;
    if (n > 0) {
        (void)snprintf(others, sizeof others, "all of %zu other run%s%s", n,
            n == 1 ? "" : "s", is_whole ? "" : "; ");
    }
    if (n > 0 || !is_whole) {
        (void)printf("%s: %s%s\n", is_dry ? "would stay" : "stays", others,
            is_whole ? ""
                     : "of the runs above the summaries for charts, alerts, and what "
                       "describes them");
    }
    if (is_dry) {
        (void)printf("in use: %s, about %s then\n", before, after);
    } else {
        (void)printf("in use: %s, %s before; the file has %s\n", after, before, file);
    }
}

/* ---- asking ---- */

static int ask(struct prune *prune, struct link_message *out_reply)
{
    struct cli *cli = prune->cli;
    Baro__PruneRequest body = BARO__PRUNE_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    body.is_dry_run = cli->values.is_dry_run;
    body.to_bytes = prune->to_bytes;
    body.n_runs = prune->n_numbers;
    body.runs = prune->numbers;
    body.is_all = cli->values.is_all;
    request.body_case = BARO__ENVELOPE__BODY_PRUNE_REQUEST;
    request.prune_request = &body;
    const struct ask question = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_PRUNE_REPLY,
        .what = "what it pruned",
        .timeout_ms = PRUNE_TIMEOUT_MS};
    return ask_for(cli, &question, out_reply);
}

static int check_usage(const struct cli *cli, uint64_t *out_to_bytes)
{
    if (cli->n_arguments == 0 && (cli->values.is_all || cli->values.size == NULL)) {
        return cli_misuse(
            "prune what? name runs, or a size with --to; with --dry-run it only "
            "says what would go");
    }
    if (cli->values.is_all && cli->values.size != NULL) {
        return cli_misuse(
            "--all removes runs whole, whatever size is left: leave --to away");
    }
    if (cli->values.size != NULL &&
        (!baro_parse_size(cli->values.size, out_to_bytes) || *out_to_bytes == 0)) {
        return cli_misuse("--to: '%.40s' is not a size; use a number with K, M, G or T",
            cli->values.size);
    }
    return CLI_OK;
}

static int find_runs(struct prune *prune)
{
    int rc = runs_ask(prune->cli, &prune->runs);
    prune->numbers = baro_xcalloc((size_t)prune->cli->n_arguments + 1, sizeof(uint32_t));
    for (int i = 0; rc == CLI_OK && i < prune->cli->n_arguments; i++) {
        const Baro__RunInfo *run = runs_find(&prune->runs, prune->cli->arguments[i]);
        rc = run != NULL ? CLI_OK : CLI_FAILED;
        if (run != NULL) {
            prune->numbers[prune->n_numbers++] = run->run;
        }
    }
    return rc;
}

int cmd_prune(struct cli *cli)
{
    struct prune prune = {.cli = cli};
    struct link_message reply;
    int rc = check_usage(cli, &prune.to_bytes);
    if (rc != CLI_OK) {
        return rc;
    }
    rc = find_runs(&prune);
    rc = rc == CLI_OK ? ask(&prune, &reply) : rc;
    if (rc == CLI_OK) {
        const Baro__PruneReply *pruned = reply.wire.envelope->prune_reply;
        if (cli->values.is_json) {
            print_json(&prune, pruned);
        } else {
            print_people(&prune, pruned);
        }
        if (pruned->is_short) {
            rc = cli_fail(
                "no more than that may go; 'baro prune RUN --all' removes runs whole");
        }
        link_message_release(&reply);
    }
    runs_release(&prune.runs);
    free(prune.numbers);
    return rc;
}
