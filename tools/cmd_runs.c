/* SPDX-License-Identifier: Apache-2.0 */
/* baro runs: all runs of the daemon, newest first, each above what it branched from. */
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

static void print_json(
    const struct cli *cli, const struct run_list *runs, const Baro__RunInfo *run)
{
    const Baro__RunInfo *parent = runs_by_number(runs, run->parent);
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
    json_t *branch = json_pack("{s:o, s:o, s:b, s:b, s:I}", "parent",
        parent != NULL ? json_text(parent->description->run_id) : json_null(),
        "branch_step",
        run->parent != 0 ? json_integer((json_int_t)run->branch_step) : json_null(),
        "is_overwritten", run->is_overwritten, "is_pruned", run->is_pruned, "branches",
        (json_int_t)run->n_branches);
    (void)json_object_set_new(branch, "damaged", json_integer((json_int_t)run->n_damaged));
    (void)json_object_update_missing(object, branch);
    json_decref(branch);
    json_print(&cli->out, object);
}

/* The runs as they are listed. */
struct listing {
    const struct run_list *runs;
    const Baro__RunInfo **shown;
    bool *is_under; /* another: a branch of the same run */
    size_t n_shown;
    int id_width;
    bool has_branches;
    bool has_reasons;
};

/* Where the "~1" of a run begins that gave its id to a branch. */
static int plain_length(const char *id, bool is_under)
{
    const char *mark = is_under ? strrchr(id, '~') : NULL;
    return (int)(mark != NULL ? (size_t)(mark - id) : strlen(id));
}

/* The length of id prefixes that tells all runs apart; whole ids when the output is no terminal. */
static int id_columns(const struct cli *cli, const struct listing *listing)
{
    int columns = RUNS_MIN_ID;
    if (!cli->out.is_tty) {
        return 128;
    }
    for (size_t i = 0; i < listing->n_shown; i++) {
        for (size_t j = 0; j < i && !listing->is_under[i]; j++) {
            const char *a = listing->shown[i]->description->run_id;
            const char *b = listing->shown[j]->description->run_id;
            int same = 0;
            while (a[same] != '\0' && a[same] == b[same]) {
                same++;
            }
            columns = same >= columns && !listing->is_under[j] ? same + 1 : columns;
        }
    }
    return columns;
}

/* "  ~1 of" what stands above it on a terminal, else the whole id. */
static void add_id(
    const struct cli *cli, struct table *table, const struct listing *listing, size_t at)
{
    const char *id = listing->shown[at]->description->run_id;
    bool is_under = listing->is_under[at];
    int n = plain_length(id, is_under);
    int width = n < listing->id_width ? n : listing->id_width;
    table_cell(table, TERM_ACCENT, "%s%.*s%s", is_under && cli->out.is_tty ? "  " : "",
        width, id, id + n);
}

/* Where a run came from: "at 500 of k3j9~1", "overwritten". */
static void add_branch(
    struct table *table, const struct listing *listing, const Baro__RunInfo *run)
{
    const Baro__RunInfo *parent = runs_by_number(listing->runs, run->parent);
    const char *mark = parent != NULL ? strrchr(parent->description->run_id, '~') : NULL;
    const char *end = run->is_overwritten ? ", overwritten" : "";
    if (parent != NULL) {
        table_cell(table, TERM_DIM, "%s at %lld%s",
            mark != NULL ? mark : parent->description->run_id, (long long)run->branch_step,
            end);
    } else {
        table_cell(table, TERM_DIM, "%s", end[0] != '\0' ? end + 2 : "");
    }
}

static void add_row(
    const struct cli *cli, struct table *table, const struct listing *listing, size_t at)
{
    const Baro__RunInfo *run = listing->shown[at];
    char age[32];
    char reason[1024];
    int64_t age_ns = baro_wall_ns() - run->description->created_ns;
    add_id(cli, table, listing, at);
    table_cell(table, TERM_PLAIN, "%s", run->description->project);
    table_cell(table, TERM_BOLD, "%s", run->description->name);
    bool is_stopped = run_is_interrupted(run);
    table_cell(table, is_stopped ? TERM_PLAIN : run_status_paint(run->status), "%s",
        is_stopped ? "stopped" : run_status_name(run->status));
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
    if (listing->has_branches) {
        add_branch(table, listing, run);
    }
    if (listing->has_reasons) {
        table_cell(
            table, TERM_DIM, "%s", run_reason(&cli->out, run, reason, sizeof reason));
    }
}

static struct table *make_table(const struct cli *cli, const struct listing *listing)
{
    static const struct table_column all[] = {{"ID", false, TABLE_WHOLE},
        {"PROJECT", false, TABLE_CUT_MIDDLE}, {"NAME", false, TABLE_CUT_MIDDLE},
        {"STATUS", false, TABLE_WHOLE}, {"STEPS", true, TABLE_WHOLE},
        {"LOSS", true, TABLE_WHOLE}, {"ALERTS", true, TABLE_WHOLE},
        {"AGE", true, TABLE_WHOLE}};
    static struct table_column columns[BARO_LEN(all) + 2]; /* the table borrows them */
    size_t n = BARO_LEN(all);
    memcpy(columns, all, sizeof all);
    if (listing->has_branches) {
        columns[n++] = (struct table_column){"BRANCH", false, TABLE_CUT_MIDDLE};
    }
    if (listing->has_reasons) {
        columns[n++] = (struct table_column){"REASON", false, TABLE_CUT_MIDDLE};
    }
    return table_create(&cli->out, columns, n);
}

/* Tell that only summaries are left of the oldest readings of some runs. */
static void print_pruned(const struct listing *listing)
{
    const Baro__RunInfo *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < listing->n_shown; i++) {
        if (listing->shown[i]->is_pruned) {
            first = first == NULL ? listing->shown[i] : first;
            n++;
        }
    }
    if (n == 1) {
        (void)printf(
            "the oldest readings of %.*s", listing->id_width, first->description->run_id);
    } else if (n > 1) {
        (void)printf("the oldest readings of %.*s and %zu more", listing->id_width,
            first->description->run_id, n - 1);
    }
    if (n > 0) {
        (void)printf(" were pruned, their summaries are kept: see 'baro series RUN'\n");
    }
}

static void print_table(const struct cli *cli, struct listing *listing)
{
    for (size_t i = 0; i < listing->n_shown; i++) {
        const Baro__RunInfo *run = listing->shown[i];
        listing->has_branches |= run->parent != 0 || run->is_overwritten;
        listing->has_reasons |=
            run->status == BARO__RUN_STATUS__RUN_FAILED && run->status_text[0] != '\0';
    }
    listing->id_width = id_columns(cli, listing);
    struct table *table = make_table(cli, listing);
    for (size_t i = 0; i < listing->n_shown; i++) {
        add_row(cli, table, listing, i);
    }
    table_print(table, stdout);
    table_destroy(table);
    for (size_t i = 0; i < listing->n_shown; i++) {
        const Baro__RunInfo *run = listing->shown[i];
        if (run->n_dropped > 0) {
            (void)printf("%s%.*s dropped %llu record%s: its ring had no room for "
                         "%s%s\n",
                term_paint(&cli->out, TERM_WARN), listing->id_width,
                run->description->run_id, (unsigned long long)run->n_dropped,
                run->n_dropped == 1 ? "" : "s", run->n_dropped == 1 ? "it" : "them",
                term_paint(&cli->out, TERM_PLAIN));
        }
    }
    for (size_t i = 0; i < listing->n_shown; i++) {
        const Baro__RunInfo *run = listing->shown[i];
        if (run->n_damaged > 0) {
            (void)printf("%s%s %.*s has readings that cannot be read any more (%u list%s): "
                         "'baro verify' names them%s\n",
                term_paint(&cli->out, TERM_BAD), term_mark(&cli->out, "▲", "!"),
                listing->id_width, run->description->run_id, run->n_damaged,
                run->n_damaged == 1 ? "" : "s", term_paint(&cli->out, TERM_PLAIN));
        }
    }
    print_pruned(listing);
    size_t n_hidden = listing->runs->n_runs - listing->n_shown;
    if (n_hidden > 0) {
        (void)printf("%zu overwritten run%s not shown; 'baro runs --all' shows %s\n",
            n_hidden, n_hidden == 1 ? " is" : "s are", n_hidden == 1 ? "it" : "them");
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
    baro_autofree const Baro__RunInfo **shown =
        baro_xcalloc(runs.n_runs + 1, sizeof(Baro__RunInfo *));
    baro_autofree bool *is_under = baro_xcalloc(runs.n_runs + 1, sizeof *is_under);
    struct listing listing = {.runs = &runs, .shown = shown, .is_under = is_under};
    listing.n_shown = runs_arrange(&runs, cli->values.is_all, shown, is_under);
    for (size_t i = 0; cli->values.is_json && i < listing.n_shown; i++) {
        print_json(cli, &runs, shown[i]);
    }
    if (!cli->values.is_json && runs.n_runs == 0) {
        (void)printf(
            "no runs yet; a training that calls barograph.init() or baro_open() shows up here\n");
    } else if (!cli->values.is_json) {
        print_table(cli, &listing);
    }
    if (!cli->values.is_json) {
        print_waiting(&runs);
    }
    runs_release(&runs);
    return CLI_OK;
}
