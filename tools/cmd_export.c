/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro export: a run's readings as a file for other programs, every bit of them. Readings come
 * page by page and are written as they come, so that a run of any length needs little memory.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/alerts.h"
#include "tools/daemon.h"
#include "tools/export.h"
#include "tools/progress.h"
#include "tools/runs.h"

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void catch_signals(void (*handler)(int))
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = handler};
    for (size_t i = 0; i < BARO_LEN(signals); i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

/* ---- options ---- */

static int find_format(const struct cli *cli, enum export_format *out_format)
{
    static const char *const names[] = {"csv", "jsonl", "npz"};
    _Static_assert(BARO_LEN(names) == EXPORT_FORMAT_COUNT, "a name for each form");
    const char *path = cli->values.output;
    const char *dot = strrchr(path, '.');
    bool is_stdout = strcmp(path, "-") == 0;
    const char *name = cli->values.format != NULL                ? cli->values.format
                       : dot != NULL && strchr(dot, '/') == NULL ? dot + 1
                                                                 : "";
    for (size_t i = 0; i < EXPORT_FORMAT_COUNT; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            *out_format = (enum export_format)i;
            return is_stdout && i == EXPORT_NPZ
                       ? cli_misuse("-o -: a .npz cannot be written to standard output")
                       : CLI_OK;
        }
    }
    if (strcasecmp(name, "parquet") == 0 || strcasecmp(name, "arrow") == 0 ||
        strcasecmp(name, "feather") == 0) {
        return cli_misuse(
            "Parquet and Arrow are not written: no C library for them comes with "
            "the system; write .npz, .csv or .jsonl");
    }
    if (cli->values.format != NULL) {
        return cli_misuse("--format: no format '%s'; there are csv, jsonl and npz", name);
    }
    return is_stdout
               ? cli_misuse("-o - needs --format csv or --format jsonl")
               : cli_misuse("'%s' does not end with .csv, .jsonl or .npz; --format names "
                            "the format",
                     path);
}

static int read_options(struct exporting *export)
{
    struct cli *cli = export->cli;
    if (cli->values.output == NULL || cli->values.output[0] == '\0') {
        return cli_misuse("where to? give -o FILE.csv, FILE.jsonl or FILE.npz");
    }
    if (cli->values.from > cli->values.to) {
        return cli_misuse("--from %lld is behind --to %lld", (long long)cli->values.from,
            (long long)cli->values.to);
    }
    int rc = find_format(cli, &export->format);
    if (rc == CLI_OK) {
        rc = export_kinds_parse(cli->values.kinds, export->format, &export->plan.kinds);
    }
    export->plan.is_kinds_given = cli->values.kinds != NULL;
    export->plan.glob = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
    export->plan.from = cli->values.from;
    export->plan.to = cli->values.to;
    return rc;
}

/* ---- what a reader must know ---- */

__attribute__((format(printf, 2, 3))) static void note(
    struct exporting *export, const char *format, ...)
{
    if (export->n_notes < EXPORT_MAX_NOTES) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(export->notes[export->n_notes++], EXPORT_NOTE_BYTES, format, args);
        va_end(args);
    }
}

/* Whether the run has any of batches, or of results of samples. */
static bool has_rows(struct exporting *export, enum reading_kind kind)
{
    const struct rows_wanted wanted = {
        .run = export->run->run,
        .kind = kind,
        .from = export->plan.from,
        .to = export->plan.to,
    };
    bool has_any = false;
    return rows_any(export->cli, &wanted, &has_any) == CLI_OK && has_any;
}

static void add_word(char *list, size_t list_bytes, const char *word)
{
    size_t used = strlen(list);
    (void)snprintf(list + used, list_bytes - used, "%s%s", used > 0 ? ", " : "", word);
}

/* What was not asked for by name and is not in the file: one sentence. */
static void note_left_out(struct exporting *export)
{
    const struct export_plan *plan = &export->plan;
    bool is_csv = export->format == EXPORT_CSV;
    char list[200] = "";
    if (plan->is_kinds_given) {
        return;
    }
    if (plan->n_unit_points > 0) {
        add_word(list, sizeof list, "statistics of units");
    }
    if (plan->has_histograms_out) {
        add_word(list, sizeof list, "histograms");
    }
    if (plan->glob == NULL && has_rows(export, READING_BATCH)) {
        add_word(list, sizeof list, "batches");
    }
    if (plan->glob == NULL && has_rows(export, READING_SAMPLES)) {
        add_word(list, sizeof list, "results of samples");
    }
    if (plan->glob == NULL && is_csv) {
        add_word(list, sizeof list, "events, alerts, notes and the run's config");
    }
    if (list[0] != '\0') {
        note(export, "left out: %s%s", list,
            is_csv
                ? "; CSV takes numbers only (units with --kind), .jsonl and .npz take all"
                : "; --kind all takes all");
    }
}

static void note_all(struct exporting *export)
{
    note_left_out(export);
    if (export->plan.n_pruned > 0) {
        note(export,
            "%" PRIu64 " of the oldest readings were pruned: of them the daemon has only "
            "summaries, which are not in the file",
            export->plan.n_pruned);
    }
    if (!export->is_exact && export_has(&export->plan, EXPORT_UNITS)) {
        note(export,
            "statistics of units are rounded to 12 bits behind the point (a relative "
            "error of at most 2^-13), unless barod keeps them --exact");
    }
}

/* Nothing lies in the range: say what there is. */
static int fail_empty(const struct exporting *export)
{
    const Baro__RunInfo *run = export->run;
    const char *name = run->description->run_id;
    if (run->n_steps == 0) {
        return cli_fail("run '%s' has no readings yet: nothing was written", name);
    }
    if (export->plan.n_pruned > 0 || export->n_pruned > 0) {
        return cli_fail(
            "the readings asked for were pruned: of them only summaries are left, "
            "see 'baro get --columns'; nothing was written");
    }
    bool has_range = export->plan.from != INT64_MIN || export->plan.to != INT64_MAX;
    return cli_fail("run '%s' has no such readings%s; its steps are %" PRId64 " to %" PRId64
                    ": nothing was written",
        name, has_range ? " in that range" : " yet", run->first_step, run->last_step);
}

static void say_notes(const struct exporting *export)
{
    for (size_t i = 0; i < export->n_notes; i++) {
        (void)cli_fail("%s", export->notes[i]);
    }
    if (export->n_pruned > 0 && export->plan.n_pruned == 0) {
        (void)cli_fail("%" PRIu64
                       " of the oldest readings were pruned and are not in the file",
            export->n_pruned);
    }
}

static void say_done(const struct exporting *export, uint64_t n_bytes)
{
    char size[32];
    char safe[4096];
    if (strcmp(export->cli->values.output, "-") != 0) {
        (void)printf("%s: %" PRIu64 " readings of %" PRIu64 " series, %s\n",
            term_safe(&export->cli->out, export->cli->values.output, safe, sizeof safe),
            export->n_readings, export->n_series,
            baro_format_bytes(n_bytes, size, sizeof size));
    }
}

/* End the file, or give it up, and say how it went. */
static int end_file(struct exporting *export, int rc)
{
    struct baro_err err = export->out.err;
    bool is_empty = rc == CLI_OK && export->n_readings == 0;
    export->sink->finish(export->sink, rc != CLI_OK || is_empty);
    uint64_t n_bytes = export->out.n_bytes;
    progress_end(&export->progress);
    if (rc != CLI_OK || is_empty) {
        out_drop(&export->out);
    } else if (out_finish(&export->out, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (is_empty) {
        return fail_empty(export);
    }
    if (rc != CLI_OK) {
        return stop_signal != 0 ? cli_fail("stopped: nothing was written to '%s'",
                                      export->cli->values.output)
               : err.code != 0  ? cli_fail_err(&err)
                                : rc;
    }
    say_notes(export);
    say_done(export, n_bytes);
    if (export->damage.n == 0) {
        return CLI_OK;
    }
    damage_print(&export->damage);
    return cli_fail("this is not in the file; all else is");
}

static int write_file(struct exporting *export)
{
    struct baro_err err = {0};
    bool is_stdout = strcmp(export->cli->values.output, "-") == 0;
    if (!is_stdout) {
        catch_signals(on_signal);
    }
    if (out_open(export->cli->values.output, export->cli->values.is_forced, &export->out,
            &err) != 0) {
        return cli_fail_err(&err);
    }
    export->sink = export->format == EXPORT_NPZ
                       ? export_npz_create(&export->out)
                       : export_text_create(&export->out, export->format);
    if (export->sink == NULL) {
        err = export->out.err;
        out_drop(&export->out);
        return cli_fail_err(&err);
    }
    progress_begin(&export->progress, "values", export->plan.n_values,
        is_stdout && export->cli->out.is_tty);
    int rc = end_file(export, export_write(export));
    if (stop_signal != 0 && rc != CLI_OK) {
        int number = stop_signal;
        catch_signals(SIG_DFL);
        (void)raise(number); /* so that a shell's loop ends, too */
    }
    return rc;
}

static bool ask_is_exact(struct cli *cli)
{
    struct link_message reply = {0};
    struct baro_err err = {0};
    bool is_exact = daemon_ask(cli->link, CLI_TIMEOUT_MS, &reply, &err) == 0 &&
                    reply.wire.envelope->status_reply->is_exact;
    link_message_release(&reply);
    return is_exact;
}

static int export_run(struct exporting *export)
{
    struct thing_list things;
    int rc = things_ask(export->cli, export->run->run, NULL, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    rc = export_plan_make(&export->plan, &things, export->run);
    if (rc == CLI_OK) {
        export->is_exact = ask_is_exact(export->cli);
        note_all(export);
        rc = write_file(export);
    }
    export_plan_finish(&export->plan);
    things_release(&things);
    return rc;
}

int cmd_export(struct cli *cli)
{
    struct exporting export = {.cli = cli, .stop_signal = &stop_signal};
    struct run_list runs;
    int rc = read_options(&export);
    if (rc == CLI_OK) {
        rc = runs_ask(cli, &runs);
    }
    if (rc != CLI_OK) {
        return rc;
    }
    export.runs = &runs;
    export.run = runs_find(&runs, cli->arguments[0]);
    rc = export.run == NULL ? CLI_FAILED : export_run(&export);
    damage_finish(&export.damage);
    runs_release(&runs);
    return rc;
}
