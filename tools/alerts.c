/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/alerts.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/tensor.h"
#include "tools/ask.h"
#include "tools/json.h"

/* ---- for programs ---- */

static json_t *samples_of(const Baro__Alert *alert)
{
    json_t *samples = json_array();
    for (size_t i = 0; i < alert->n_samples; i++) {
        (void)json_array_append_new(samples, json_integer((json_int_t)alert->samples[i]));
    }
    return samples;
}

static json_t *index_or_null(int64_t index)
{
    return index >= 0 ? json_integer((json_int_t)index) : json_null();
}

static json_t *texts_of(char *const *texts, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_text(texts[i]));
    }
    return list;
}

json_t *alert_to_json(const Baro__Alert *alert)
{
    json_t *object = json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step",
        (json_int_t)alert->step, "kind", json_text(alert->kind), "severity",
        baro_level_name((enum baro_level)alert->level), "tensor",
        json_text_or_null(alert->tensor), "module", json_text_or_null(alert->module),
        "role", json_text_or_null(alert->role), "unit", index_or_null(alert->unit),
        "samples", samples_of(alert), "text", json_text(alert->text), "incident",
        alert->incident > 0 ? json_integer((json_int_t)alert->incident) : json_null());
    json_t *more = json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:b, s:I}", "advice",
        json_text_or_null(alert->advice), "id", (json_int_t)alert->id, "time_ns",
        (json_int_t)alert->time_ns, "rank", (json_int_t)alert->rank, "row",
        index_or_null(alert->row), "value", json_number(alert->value), "is_sample_known",
        alert->has_sample, "batch_size", (json_int_t)alert->batch_size);
    json_t *rest =
        json_pack("{s:I, s:o, s:o, s:I, s:o}", "noticed", (json_int_t)alert->noticed_step,
            "usual", json_number(alert->usual), "score", json_number(alert->score), "units",
            (json_int_t)alert->n_units, "causes", texts_of(alert->causes, alert->n_causes));
    (void)json_object_update_missing(object, more);
    (void)json_object_update_missing(object, rest);
    json_decref(more);
    json_decref(rest);
    return object;
}

static json_t *evidence_of(const Baro__Incident *incident)
{
    json_t *list = json_array();
    for (size_t i = 0; i < incident->n_evidence; i++) {
        const Baro__Evidence *evidence = incident->evidence[i];
        if (evidence->series == NULL) {
            continue;
        }
        (void)json_array_append_new(
            list, json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "thing",
                      (json_int_t)evidence->series->thing, "kind",
                      (json_int_t)evidence->series->kind, "stat",
                      (json_int_t)evidence->series->stat, "unit",
                      index_or_null(evidence->series->unit), "from_step",
                      (json_int_t)evidence->from_step, "to_step",
                      (json_int_t)evidence->to_step, "text", json_text(evidence->text)));
    }
    return list;
}

json_t *incident_to_json(const Baro__Incident *incident)
{
    json_t *alerts = json_array();
    for (size_t i = 0; i < incident->n_alerts; i++) {
        (void)json_array_append_new(alerts, json_integer((json_int_t)incident->alerts[i]));
    }
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:s, s:b, s:o, s:o}", "type", "incident", "id",
            (json_int_t)incident->id, "step", (json_int_t)incident->first_step, "last_step",
            (json_int_t)incident->last_step, "kind", json_text(incident->kind), "severity",
            baro_level_name((enum baro_level)incident->level), "is_open", incident->is_open,
            "headline", json_text(incident->headline), "alerts", alerts);
    json_t *more = json_pack("{s:I, s:I, s:o, s:o, s:o}", "more",
        (json_int_t)incident->n_more, "time_ns", (json_int_t)incident->time_ns, "causes",
        texts_of(incident->causes, incident->n_causes), "advice",
        texts_of(incident->advice, incident->n_advice), "evidence", evidence_of(incident));
    (void)json_object_update_missing(object, more);
    json_decref(more);
    return object;
}

/* ---- for people ---- */

static enum term_paint paint_of(uint32_t level)
{
    return level >= BARO_ALARM ? TERM_BAD : level >= BARO_WATCH ? TERM_WARN : TERM_ACCENT;
}

static void print_level(const struct term *term, uint32_t level)
{
    (void)printf("%s%s %s%s", term_paint(term, paint_of(level)), term_mark(term, "▲", "!"),
        baro_level_name((enum baro_level)level), term_paint(term, TERM_PLAIN));
}

static void print_wrapped(const struct term *term, const char *lead, const char *text)
{
    char safe[2048];
    char line[2100];
    (void)snprintf(
        line, sizeof line, "%s%s", lead, term_safe(term, text, safe, sizeof safe));
    term_wrap(term, stdout, 4, line);
}

void alert_print(const struct term *term, const Baro__Alert *alert)
{
    char text[2048];
    print_level(term, alert->level);
    (void)printf("  step %lld  %s%s%s", (long long)alert->step, term_paint(term, TERM_BOLD),
        term_safe(term, alert->kind, text, sizeof text), term_paint(term, TERM_PLAIN));
    if (alert->tensor[0] != '\0') {
        (void)printf("  %s", term_safe(term, alert->tensor, text, sizeof text));
    }
    if (alert->role[0] != '\0') {
        (void)printf(":%s", term_safe(term, alert->role, text, sizeof text));
    }
    if (alert->unit >= 0) {
        (void)printf("  unit %lld", (long long)alert->unit);
    }
    if (alert->has_sample && alert->n_samples > 0) {
        (void)printf("  sample %lld", (long long)alert->samples[0]);
    }
    (void)fputc('\n', stdout);
    print_wrapped(term, "", alert->text);
    if (alert->advice[0] != '\0') {
        print_wrapped(term, "try: ", alert->advice);
    }
}

void incident_print(const struct term *term, const Baro__Incident *incident)
{
    print_level(term, incident->level);
    (void)printf("  incident %llu  since step %lld", (unsigned long long)incident->id,
        (long long)incident->first_step);
    if (incident->last_step != incident->first_step) {
        (void)printf(", last at %lld", (long long)incident->last_step);
    }
    uint64_t n = incident->n_alerts + incident->n_more;
    (void)printf("%s  %llu alert%s\n", incident->is_open ? ", going on" : "",
        (unsigned long long)n, n == 1 ? "" : "s");
    (void)fputs(term_paint(term, TERM_BOLD), stdout);
    print_wrapped(term, "", incident->headline);
    (void)fputs(term_paint(term, TERM_PLAIN), stdout);
    for (size_t i = 0; i < incident->n_causes; i++) {
        print_wrapped(term, i == 0 ? "likely: " : "or: ", incident->causes[i]);
    }
    for (size_t i = 0; i < incident->n_advice; i++) {
        print_wrapped(term, "try: ", incident->advice[i]);
    }
}

void incident_print_line(const struct term *term, const Baro__Incident *incident)
{
    char head[96];
    char text[2048];
    print_level(term, incident->level);
    (void)snprintf(head, sizeof head, "  step %lld  incident %llu%s",
        (long long)incident->first_step, (unsigned long long)incident->id,
        incident->is_open ? "" : " is over");
    (void)term_safe(term, incident->headline, text, sizeof text);
    const int level_columns = 8;
    if (level_columns + term_width(head) + 2 + term_width(text) <= term->columns) {
        (void)printf("%s  %s\n", head, text);
    } else {
        (void)printf("%s\n", head);
        term_wrap(term, stdout, 4, text);
    }
}

/* ---- all of them ---- */

static const Baro__Alert *find_alert(Baro__Alert *const *alerts, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (alerts[i]->id == id) {
            return alerts[i];
        }
    }
    return NULL;
}

static bool is_in_any(
    const Baro__Alert *alert, Baro__Incident *const *incidents, size_t n_incidents)
{
    for (size_t i = 0; i < n_incidents; i++) {
        if (incidents[i]->id == alert->incident) {
            return true;
        }
    }
    return false;
}

static void print_object(const struct cli *cli, const Baro__Alert *alert)
{
    json_t *object = alert_to_json(alert);
    (void)json_object_set_new(object, "type", json_string("alert"));
    json_print(&cli->out, object);
}

void alerts_print_all(const struct cli *cli, Baro__Incident *const *incidents,
    size_t n_incidents, Baro__Alert *const *alerts, size_t n_alerts, bool is_all)
{
    for (size_t i = 0; i < n_incidents; i++) {
        if (cli->values.is_json) {
            json_print(&cli->out, incident_to_json(incidents[i]));
            continue;
        }
        incident_print(&cli->out, incidents[i]);
        for (size_t k = 0; is_all && k < incidents[i]->n_alerts; k++) {
            const Baro__Alert *alert =
                find_alert(alerts, n_alerts, incidents[i]->alerts[k]);
            if (alert != NULL) {
                alert_print(&cli->out, alert);
            }
        }
    }
    for (size_t i = 0; i < n_alerts; i++) {
        if (cli->values.is_json) {
            print_object(cli, alerts[i]);
        } else if (!is_in_any(alerts[i], incidents, n_incidents)) {
            alert_print(&cli->out, alerts[i]);
        }
    }
}

const Baro__AlertsReply *alerts_ask(
    struct cli *cli, uint32_t run, struct link_message *out_reply)
{
    Baro__AlertsRequest body = BARO__ALERTS_REQUEST__INIT;
    body.run = run;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &body;
    const struct ask ask = {
        .request = &request, .wanted = BARO__ENVELOPE__BODY_ALERTS_REPLY, .what = "alerts"};
    return ask_for(cli, &ask, out_reply) == CLI_OK ? out_reply->wire.envelope->alerts_reply
                                                   : NULL;
}
