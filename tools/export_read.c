/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into an exported file, read page by page and written as it comes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "tools/alerts.h"
#include "tools/export.h"
#include "tools/notes.h"

enum { TELL_EVERY = 4096 };

/* ---- the run ---- */

static json_t *kinds_of(const struct exporting *export)
{
    json_t *kinds = json_array();
    for (int i = 0; i < EXPORT_KIND_COUNT; i++) {
        if (export_has(&export->plan, (enum export_kind)i)) {
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

static json_t *describe_run(const struct exporting *export)
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
    const Baro__RunInfo *parent = runs_by_number(export->runs, run->parent);
    json_t *branch = json_pack("{s:o, s:o}", "parent",
        parent != NULL ? json_text(parent->description->run_id) : json_null(),
        "branch_step",
        run->parent != 0 ? json_integer((json_int_t)run->branch_step) : json_null());
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
    (void)json_object_update_missing(object, branch);
    (void)json_object_update_missing(object, asked);
    json_decref(more);
    json_decref(branch);
    json_decref(asked);
    return object;
}

/* Write the run with its config, which stays as the client wrote it but for line breaks. */
static void write_header(struct exporting *export)
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

static int check_stop(const struct exporting *export)
{
    return *export->stop_signal != 0 || export->out.err.code != 0 ? CLI_FAILED : CLI_OK;
}

static int on_page(void *payload)
{
    struct exporting *export = payload;
    progress_tell(&export->progress, export->n_done, export->out.n_bytes);
    return check_stop(export);
}

static int on_row(const struct row *row, void *payload)
{
    struct exporting *export = payload;
    export->sink->row(export->sink, export->item, row);
    export->n_readings++;
    export->n_done += export_item_values(export->item);
    if (export->n_done - export->n_told >= TELL_EVERY) {
        export->n_told = export->n_done;
        return on_page(payload);
    }
    return check_stop(export);
}

/* Find out which steps of readings are damaged, of which the daemon said that some are. */
static int ask_damage(struct exporting *export, const struct rows_wanted *wanted,
    const Baro__ThingInfo *thing, const char *said)
{
    const struct damage_of of = {
        .run = export->run,
        .thing = thing,
        .kind = wanted->kind,
        .from = wanted->from,
        .to = wanted->to,
        .said = said,
    };
    return damage_ask(export->cli, &of, &export->damage);
}

static int read_rows(struct exporting *export, const struct rows_wanted *wanted,
    const Baro__ThingInfo *thing, row_fn fn)
{
    struct rows_told told = {0};
    int rc = rows_each(export->cli, wanted, fn, on_page, export, &told);
    export->n_pruned += told.n_pruned;
    export->n_series += told.n_rows > 0 ? 1 : 0;
    return rc == CLI_OK && told.damage[0] != '\0'
               ? ask_damage(export, wanted, thing, told.damage)
               : rc;
}

static struct rows_wanted wanted_of(
    const struct exporting *export, uint32_t thing, enum reading_kind kind)
{
    return (struct rows_wanted){
        .run = export->run->run,
        .thing = thing,
        .kind = kind,
        .from = export->plan.from,
        .to = export->plan.to,
    };
}

static int write_item(struct exporting *export, const struct export_item *item)
{
    struct rows_wanted wanted =
        wanted_of(export, item->thing != NULL ? item->thing->thing : 0, item->kind);
    uint32_t n_all = SUMMARY_STAT_COUNT;
    if (item->kind == READING_UNITS) {
        assert(item->thing != NULL);
        n_all = thing_unit_stats(item->thing);
        wanted.n_units = item->thing->declare->n_units;
        wanted.n_unit_stats = n_all;
    }
    /* Histograms come with whole records only; else what is between the statistics wanted. */
    if (item->stats != 0 && !item->with_histogram &&
        (item->n_stats < n_all || item->kind == READING_SUMMARY)) {
        uint32_t width = wanted.n_units > 0 ? wanted.n_units : 1;
        wanted.first_column = item->first_stat * width;
        wanted.n_columns = item->n_stats * width;
    }
    export->item = item;
    export->sink->begin_item(export->sink, item);
    int rc = read_rows(export, &wanted, item->thing, on_row);
    if (rc == CLI_OK) {
        export->sink->end_item(export->sink, item);
    }
    return rc;
}

/* ---- events and alerts ---- */

static void write_object(struct exporting *export, json_t *object)
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

static int write_events(struct exporting *export)
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
        rc = read_rows(export, &wanted, NULL, lists[i].fn);
    }
    export->n_series = n_series;
    export->sink->end_list(export->sink);
    return rc;
}

static int write_alerts(struct exporting *export)
{
    struct link_message message;
    const Baro__AlertsReply *reply = alerts_ask(export->cli, export->run->run, &message);
    if (reply == NULL) {
        return CLI_FAILED;
    }
    export->sink->begin_list(export->sink, "alerts");
    for (size_t i = 0; i < reply->n_alerts; i++) {
        const Baro__Alert *alert = reply->alerts[i];
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
    link_message_release(&message);
    return CLI_OK;
}

static void write_notes(struct exporting *export, const Baro__NotesReply *reply)
{
    for (size_t i = 0; i < reply->n_notes; i++) {
        const Baro__Note *note = reply->notes[i];
        if (note->step >= export->plan.from && note->step <= export->plan.to) {
            json_t *object = json_pack("{s:s}", "kind", "note");
            json_t *facts = note_to_json(note);
            (void)json_object_update_missing(object, facts);
            json_decref(facts);
            write_object(export, object);
        }
    }
}

/* Notes of people, and what has to be said of the file itself. */
static int write_remarks(struct exporting *export)
{
    struct link_message message = {0};
    const Baro__NotesReply *reply = NULL;
    if (export_has(&export->plan, EXPORT_NOTES)) {
        reply = notes_ask(export->cli, export->run->run, NULL, 0, &message);
        if (reply == NULL) {
            return CLI_FAILED;
        }
    }
    if ((reply != NULL && reply->n_notes > 0) || export->damage.n > 0) {
        export->sink->begin_list(export->sink, "notes");
        if (reply != NULL) {
            write_notes(export, reply);
        }
        uint64_t n_readings = export->n_readings;
        for (size_t i = 0; i < export->damage.n; i++) {
            write_object(export, json_pack("{s:s, s:o}", "kind", "damage", "text",
                                     json_text(export->damage.sentences[i])));
        }
        export->n_readings = n_readings;
        export->sink->end_list(export->sink);
    }
    link_message_release(&message);
    return CLI_OK;
}

/* ---- all of it ---- */

int export_write(struct exporting *export)
{
    int rc = CLI_OK;
    write_header(export);
    for (size_t i = 0; rc == CLI_OK && i < export->plan.n_items; i++) {
        rc = write_item(export, &export->plan.items[i]);
    }
    if (rc == CLI_OK && export_has(&export->plan, EXPORT_EVENTS)) {
        rc = write_events(export);
    }
    if (rc == CLI_OK && export_has(&export->plan, EXPORT_ALERTS)) {
        rc = write_alerts(export);
    }
    return rc == CLI_OK ? write_remarks(export) : rc;
}
