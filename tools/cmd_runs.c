/* SPDX-License-Identifier: Apache-2.0 */
/* baro runs: all runs of the daemon, newest first. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"

enum { RUNS_MIN_ID = 8 };

static void print_json(const struct cli *cli, const Baro__RunInfo *run)
{
    const Baro__RunDescription *description = run->description;
    json_t *object = json_pack("{s:o, s:o, s:o, s:s, s:I, s:o, s:I, s:o}", "id",
        json_text(description->run_id), "project", json_text(description->project), "name",
        json_text(description->name), "status", run_status_name(run->status), "steps",
        (json_int_t)run->n_steps, "last_loss",
        run->has_loss ? json_number(run->last_loss) : json_null(), "alerts",
        (json_int_t)run->n_alerts, "worst_severity",
        run->worst_level > 0 ? json_text(baro_level_name((enum baro_level)run->worst_level))
                             : json_null());
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}",
        "first_step", (json_int_t)run->first_step, "last_step", (json_int_t)run->last_step,
        "first_time_ns", (json_int_t)run->first_time_ns, "last_time_ns",
        (json_int_t)run->last_time_ns, "ranks", (json_int_t)description->n_ranks, "streams",
        (json_int_t)run->n_streams, "records", (json_int_t)run->n_records, "dropped",
        (json_int_t)run->n_dropped, "host", json_text_or_null(description->host), "config",
        json_text_or_null(description->config), "status_text",
        json_text_or_null(run->status_text));
    (void)json_object_update_missing(object, more);
    json_decref(more);
    json_print(&cli->out, object);
}

/* The length of id prefixes that tells all runs apart; whole ids when the output is no terminal. */
static int id_columns(const struct cli *cli, const struct run_list *runs)
{
    int columns = RUNS_MIN_ID;
    if (!cli->out.is_tty) {
        return 64;
    }
    for (size_t i = 0; i < runs->n_runs; i++) {
        for (size_t j = 0; j < i; j++) {
            const char *a = runs->runs[i]->description->run_id;
            const char *b = runs->runs[j]->description->run_id;
            int same = 0;
            while (a[same] != '\0' && a[same] == b[same]) {
                same++;
            }
            columns = same >= columns ? same + 1 : columns;
        }
    }
    return columns;
}

static void add_row(const struct cli *cli, struct table *table, const Baro__RunInfo *run,
    int id_width, bool has_reasons)
{
    char age[32];
    char reason[1024];
    int64_t age_ns = baro_wall_ns() - run->description->created_ns;
    table_cell(table, TERM_ACCENT, "%.*s", id_width, run->description->run_id);
    table_cell(table, TERM_PLAIN, "%s", run->description->project);
    table_cell(table, TERM_BOLD, "%s", run->description->name);
    table_cell(table, run_status_paint(run->status), "%s", run_status_name(run->status));
    table_cell(table, TERM_PLAIN, "%lld", (long long)run->n_steps);
    if (run->has_loss) {
        table_cell(table, isfinite(run->last_loss) ? TERM_PLAIN : TERM_BAD, "%.5g",
            cli_number(run->last_loss));
    } else {
        table_cell(table, TERM_DIM, "-");
    }
    enum term_paint paint = run->worst_level >= BARO_ALARM   ? TERM_BAD
                            : run->worst_level >= BARO_WATCH ? TERM_WARN
                                                             : TERM_PLAIN;
    table_cell(table, run->n_alerts > 0 ? paint : TERM_DIM, "%u", run->n_alerts);
    table_cell(table, TERM_DIM, "%s",
        baro_format_duration((uint64_t)(age_ns > 0 ? age_ns : 0), age, sizeof age));
    if (has_reasons) {
        table_cell(
            table, TERM_DIM, "%s", run_reason(&cli->out, run, reason, sizeof reason));
    }
}

static void print_table(const struct cli *cli, const struct run_list *runs)
{
    static const struct table_column columns[] = {{"ID", false, TABLE_WHOLE},
        {"PROJECT", false, TABLE_CUT_MIDDLE}, {"NAME", false, TABLE_CUT_MIDDLE},
        {"STATUS", false, TABLE_WHOLE}, {"STEPS", true, TABLE_WHOLE},
        {"LOSS", true, TABLE_WHOLE}, {"ALERTS", true, TABLE_WHOLE},
        {"AGE", true, TABLE_WHOLE}, {"REASON", false, TABLE_CUT_MIDDLE}};
    bool has_reasons = false;
    for (size_t i = 0; i < runs->n_runs; i++) {
        const Baro__RunInfo *run = runs->runs[i];
        has_reasons = has_reasons || (run->status == BARO__RUN_STATUS__RUN_FAILED &&
                                         run->status_text[0] != '\0');
    }
    struct table *table =
        table_create(&cli->out, columns, BARO_LEN(columns) - (has_reasons ? 0 : 1));
    int id_width = id_columns(cli, runs);
    uint64_t n_dropped = 0;
    for (size_t i = 0; i < runs->n_runs; i++) {
        add_row(cli, table, runs->runs[i], id_width, has_reasons);
        n_dropped += runs->runs[i]->n_dropped;
    }
    table_print(table, stdout);
    table_destroy(table);
    for (size_t i = 0; n_dropped > 0 && i < runs->n_runs; i++) {
        const Baro__RunInfo *run = runs->runs[i];
        if (run->n_dropped > 0) {
            (void)printf("%s%.*s dropped %llu records: its ring had no room for them%s\n",
                term_paint(&cli->out, TERM_WARN), id_width, run->description->run_id,
                (unsigned long long)run->n_dropped, term_paint(&cli->out, TERM_PLAIN));
        }
    }
}

/* Runs that the daemon has never heard of: recorded offline, or killed before they met it. */
static void print_waiting(const struct run_list *runs)
{
    size_t n = rings_waiting(runs);
    if (n > 0) {
        (void)printf(
            "%zu ring%s of ended processes wait%s to be brought in: 'baro recover'\n", n,
            n == 1 ? "" : "s", n == 1 ? "s" : "");
    }
}

int cmd_runs(struct cli *cli)
{
    struct run_list runs;
    int rc = runs_ask(cli, &runs);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; cli->values.is_json && i < runs.n_runs; i++) {
        print_json(cli, runs.runs[i]);
    }
    if (!cli->values.is_json && runs.n_runs == 0) {
        (void)printf(
            "no runs yet; a training that calls barograph.init() or baro_open() shows up here\n");
    } else if (!cli->values.is_json) {
        print_table(cli, &runs);
    }
    if (!cli->values.is_json) {
        print_waiting(&runs);
    }
    runs_release(&runs);
    return CLI_OK;
}
