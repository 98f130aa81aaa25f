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

enum { MAX_NOTES = 8, NOTE_BYTES = 320, TELL_EVERY = 4096 };

/* One call of it. */
struct export
{
    struct cli *cli;
    const Baro__RunInfo *run;
    enum export_format format;
    struct export_plan plan;
    struct out_file out;
    struct export_sink *sink;
    struct progress progress;
    const struct export_item *item; /* at hand */
    uint64_t n_done;                /* values, for the progress bar */
    uint64_t n_told;
    uint64_t n_readings; /* rows and objects */
    uint64_t n_series;   /* with a reading in range */
    uint64_t n_pruned;
    bool is_exact;
    char notes[MAX_NOTES][NOTE_BYTES]; /* what a reader of the file must know */
    size_t n_notes;
    char damage[NOTE_BYTES];
};

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

static int read_options(struct export *export)
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

static bool has_kind(const struct export *export, enum export_kind kind)
{
    return (export->plan.kinds & 1U << kind) != 0;
}

__attribute__((format(printf, 2, 3))) static void note(
    struct export *export, const char *format, ...)
{
    if (export->n_notes < MAX_NOTES) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(export->notes[export->n_notes++], NOTE_BYTES, format, args);
        va_end(args);
    }
}

/* What was not asked for by name and is not in the file: one sentence. */
static void note_left_out(struct export *export)
{
    const struct export_plan *plan = &export->plan;
    char list[200] = "";
    size_t used = 0;
    if (plan->is_kinds_given) {
        return;
    }
    if (plan->n_unit_points > 0) {
        used += (size_t)snprintf(list, sizeof list, "statistics of units");
    }
    if (plan->has_histograms_out) {
        used += (size_t)snprintf(
            list + used, sizeof list - used, "%shistograms", used > 0 ? ", " : "");
    }
    if (plan->glob == NULL) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%sbatches%s",
            used > 0 ? ", " : "",
            export->format == EXPORT_CSV ? ", events, alerts and the run's config" : "");
    }
    if (used > 0) {
        note(export, "left out: %s%s", list,
            export->format == EXPORT_CSV
                ? "; CSV takes numbers only (units with --kind), .jsonl and .npz take all"
                : "; --kind all takes them, too");
    }
}

static void note_all(struct export *export)
{
    note_left_out(export);
    if (export->plan.n_pruned > 0) {
        note(export,
            "%" PRIu64 " of the oldest readings were pruned: of them the daemon has only "
            "summaries, which are not in the file",
            export->plan.n_pruned);
    }
    if (!export->is_exact && has_kind(export, EXPORT_UNITS)) {
        note(export,
            "statistics of units are rounded to 12 bits behind the point (a relative "
            "error of at most 2^-13), unless barod keeps them --exact");
    }
}

/* ---- the run ---- */

static json_t *kinds_of(const struct export *export)
{
    json_t *kinds = json_array();
    for (int i = 0; i < EXPORT_KIND_COUNT; i++) {
        if (has_kind(export, (enum export_kind)i)) {
            (void)json_array_append_new(
                kinds, json_string(export_kind_name((enum export_kind)i)));
        }
    }
    return kinds;
}

static json_t *step_or_null(int64_t step, int64_t none)
{
    return step == none ? json_null() : json_integer((json_int_t)step);
}

static json_t *describe_run(const struct export *export)
{
    const Baro__RunInfo *run = export->run;
    const Baro__RunDescription *description = run->description;
    json_t *object = json_pack("{s:s, s:i, s:o, s:o, s:o, s:s, s:o}", "kind", "run",
        "format", 1, "id", json_text(description->run_id), "project",
        json_text(description->project), "name", json_text(description->name), "status",
        run_status_name(run->status), "reason", json_text_or_null(run->status_text));
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b}", "first_step",
        (json_int_t)run->first_step, "last_step", (json_int_t)run->last_step,
        "first_time_ns", (json_int_t)run->first_time_ns, "last_time_ns",
        (json_int_t)run->last_time_ns, "ranks", (json_int_t)description->n_ranks, "host",
        json_text_or_null(description->host), "client",
        json_text_or_null(description->client), "is_exact", export->is_exact);
    json_t *asked = json_pack("{s:o, s:o, s:o, s:o}", "from",
        step_or_null(export->plan.from, INT64_MIN), "to",
        step_or_null(export->plan.to, INT64_MAX), "glob",
        json_text_or_null(export->plan.glob), "kinds", kinds_of(export));
    json_t *notes = json_array();
    for (size_t i = 0; i < export->n_notes; i++) {
        (void)json_array_append_new(notes, json_text(export->notes[i]));
    }
    (void)json_object_set_new(asked, "notes", notes);
    (void)json_object_update_missing(object, more);
    (void)json_object_update_missing(object, asked);
    json_decref(more);
    json_decref(asked);
    return object;
}

/* Write the run with its config, which stays as the client wrote it but for line breaks. */
static void write_header(struct export *export)
{
    const char *config = export->run->description->config;
    json_t *parsed = config[0] != '\0' ? json_loads(config, 0, NULL) : NULL;
    baro_autofree char *line = json_line(describe_run(export), 0);
    size_t n_bytes = strlen(line) + strlen(config) + 64;
    baro_autofree char *whole = baro_xcalloc(n_bytes, 1);
    baro_autofree char *plain = baro_xstrdup(parsed != NULL ? config : "null");
    for (char *at = plain; (at = strpbrk(at, "\r\n")) != NULL;) {
        *at = ' ';
    }
    line[strlen(line) - 1] = '\0'; /* the last brace */
    (void)snprintf(whole, n_bytes, "%s, \"config\": %s}", line, plain);
    json_decref(parsed);
    export->sink->header(export->sink, whole);
}

/* ---- readings ---- */

static int check_stop(const struct export *export)
{
    return stop_signal != 0 || export->out.err.code != 0 ? CLI_FAILED : CLI_OK;
}

static int on_page(void *payload)
{
    struct export *export = payload;
    progress_tell(&export->progress, export->n_done, export->out.n_bytes);
    return check_stop(export);
}

static int on_row(const struct row *row, void *payload)
{
    struct export *export = payload;
    export->sink->row(export->sink, export->item, row);
    export->n_readings++;
    export->n_done += export_item_values(export->item);
    if (export->n_done - export->n_told >= TELL_EVERY) {
        export->n_told = export->n_done;
        return on_page(payload);
    }
    return check_stop(export);
}

static int read_rows(struct export *export, const struct rows_wanted *wanted, row_fn fn)
{
    struct rows_told told = {0};
    int rc = rows_each(export->cli, wanted, fn, on_page, export, &told);
    export->n_pruned += told.n_pruned;
    export->n_series += told.n_rows > 0 ? 1 : 0;
    if (told.damage[0] != '\0') {
        (void)snprintf(export->damage, sizeof export->damage, "%s", told.damage);
    }
    return rc;
}

static struct rows_wanted wanted_of(
    const struct export *export, uint32_t thing, enum reading_kind kind)
{
    return (struct rows_wanted){
        .run = export->run->run,
        .thing = thing,
        .kind = kind,
        .from = export->plan.from,
        .to = export->plan.to,
    };
}

static int write_item(struct export *export, const struct export_item *item)
{
    struct rows_wanted wanted =
        wanted_of(export, item->thing != NULL ? item->thing->thing : 0, item->kind);
    uint32_t n_all = item->kind == READING_UNITS ? UNIT_STAT_COUNT : SUMMARY_STAT_COUNT;
    wanted.n_units = item->kind == READING_UNITS ? item->thing->declare->n_units : 0;
    /* Histograms come with whole records only; else what is between the statistics wanted. */
    if (item->stats != 0 && !item->with_histogram &&
        (item->n_stats < n_all || item->kind == READING_SUMMARY)) {
        uint32_t width = wanted.n_units > 0 ? wanted.n_units : 1;
        wanted.first_column = item->first_stat * width;
        wanted.n_columns = item->n_stats * width;
    }
    export->item = item;
    export->sink->begin_item(export->sink, item);
    int rc = read_rows(export, &wanted, on_row);
    if (rc == CLI_OK) {
        export->sink->end_item(export->sink, item);
    }
    return rc;
}

/* ---- events and alerts ---- */

static void write_object(struct export *export, json_t *object)
{
    baro_autofree char *line = json_line(object, 0);
    export->sink->object(export->sink, line);
    export->n_readings++;
}

static json_t *text_of(const struct row *row)
{
    baro_autofree char *text = baro_xcalloc(row->extra_bytes + 1, 1);
    memcpy(text, row->extra, row->extra_bytes);
    return json_text_or_null(text);
}

static json_t *moment_object(const char *kind, const struct row *row)
{
    return json_pack("{s:s, s:I, s:I}", "kind", kind, "step", (json_int_t)row->step,
        "time_ns", (json_int_t)row->time_ns);
}

static int on_event(const struct row *row, void *payload)
{
    json_t *object = moment_object("event", row);
    (void)json_object_set_new(
        object, "level", json_string(baro_level_name((enum baro_level)row->f64[0])));
    (void)json_object_set_new(object, "text", text_of(row));
    write_object(payload, object);
    return check_stop(payload);
}

static int on_status(const struct row *row, void *payload)
{
    bool is_failed = (int)row->f64[0] == READING_END_FAILED;
    json_t *object = moment_object("end", row);
    (void)json_object_set_new(
        object, "status", json_string(is_failed ? "failed" : "finished"));
    (void)json_object_set_new(object, "reason", text_of(row));
    write_object(payload, object);
    return check_stop(payload);
}

static int on_drops(const struct row *row, void *payload)
{
    json_t *object = moment_object("drops", row);
    (void)json_object_set_new(object, "records", json_integer((json_int_t)row->f64[0]));
    (void)json_object_set_new(object, "bytes", json_integer((json_int_t)row->f64[1]));
    write_object(payload, object);
    return check_stop(payload);
}

static int write_events(struct export *export)
{
    static const struct {
        enum reading_kind kind;
        row_fn fn;
    } lists[] = {
        {READING_EVENT, on_event}, {READING_STATUS, on_status}, {READING_DROPS, on_drops}};
    uint64_t n_series = export->n_series;
    int rc = CLI_OK;
    export->sink->begin_list(export->sink, "events");
    for (size_t i = 0; rc == CLI_OK && i < BARO_LEN(lists); i++) {
        struct rows_wanted wanted = wanted_of(export, 0, lists[i].kind);
        rc = read_rows(export, &wanted, lists[i].fn);
    }
    export->n_series = n_series;
    export->sink->end_list(export->sink);
    return rc;
}

static int write_alerts(struct export *export)
{
    struct baro_err err = {0};
    struct link_message reply;
    Baro__AlertsRequest body = BARO__ALERTS_REQUEST__INIT;
    body.run = export->run->run;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &body;
    if (link_ask(export->cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    const Baro__Envelope *envelope = reply.wire.envelope;
    if (envelope->body_case != BARO__ENVELOPE__BODY_ALERTS_REPLY) {
        link_message_release(&reply);
        return cli_fail("the daemon gave another answer than alerts");
    }
    export->sink->begin_list(export->sink, "alerts");
    for (size_t i = 0; i < envelope->alerts_reply->n_alerts; i++) {
        const Baro__Alert *alert = envelope->alerts_reply->alerts[i];
        if (alert->step >= export->plan.from && alert->step <= export->plan.to) {
            json_t *object = json_pack("{s:s}", "kind", "alert");
            json_t *facts = alert_to_json(alert);
            (void)json_object_set_new(
                object, "rule", json_incref(json_object_get(facts, "kind")));
            (void)json_object_update_missing(object, facts);
            json_decref(facts);
            write_object(export, object);
        }
    }
    export->sink->end_list(export->sink);
    link_message_release(&reply);
    return CLI_OK;
}

/* ---- all of it ---- */

static int write_all(struct export *export)
{
    int rc = CLI_OK;
    write_header(export);
    for (size_t i = 0; rc == CLI_OK && i < export->plan.n_items; i++) {
        rc = write_item(export, &export->plan.items[i]);
    }
    if (rc == CLI_OK && has_kind(export, EXPORT_EVENTS)) {
        rc = write_events(export);
    }
    if (rc == CLI_OK && has_kind(export, EXPORT_ALERTS)) {
        rc = write_alerts(export);
    }
    if (rc == CLI_OK && export->damage[0] != '\0') {
        export->sink->begin_list(export->sink, "notes");
        uint64_t n_readings = export->n_readings;
        write_object(export,
            json_pack("{s:s, s:o}", "kind", "damage", "text", json_text(export->damage)));
        export->n_readings = n_readings;
        export->sink->end_list(export->sink);
    }
    return rc;
}

/* Nothing lies in the range: say what there is. */
static int fail_empty(const struct export *export)
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
    return cli_fail("run '%s' has no such readings in that range; its steps are %" PRId64
                    " to %" PRId64 ": nothing was written",
        name, run->first_step, run->last_step);
}

static void say_notes(const struct export *export)
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

static void say_done(const struct export *export, uint64_t n_bytes)
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
static int end_file(struct export *export, int rc)
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
    return export->damage[0] != '\0'
               ? cli_fail("%s; all else is in the file", export->damage)
               : CLI_OK;
}

static int write_file(struct export *export)
{
    struct baro_err err = {0};
    bool is_stdout = strcmp(export->cli->values.output, "-") == 0;
    if (out_open(export->cli->values.output, export->cli->values.is_forced, &export->out,
            &err) != 0) {
        return cli_fail_err(&err);
    }
    if (!is_stdout) {
        catch_signals(on_signal);
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
    int rc = end_file(export, write_all(export));
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

static int export_run(struct export *export)
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
    struct export export = {.cli = cli};
    struct run_list runs;
    int rc = read_options(&export);
    if (rc == CLI_OK) {
        rc = runs_ask(cli, &runs);
    }
    if (rc != CLI_OK) {
        return rc;
    }
    export.run = runs_find(&runs, cli->arguments[0]);
    rc = export.run == NULL ? CLI_FAILED : export_run(&export);
    runs_release(&runs);
    return rc;
}
