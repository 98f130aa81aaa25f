/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/why_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/link/probes.h"
#include "tools/alerts.h"
#include "tools/ask.h"

/*
 * Costs are bounded whatever the run has: one window of single readings and 512 columns of the rest
 * for at most WHY_MAX_WANTS series, at most MAX_BATCHES batches, one or two probes.
 */

enum {
    PAST_COLUMNS = 512,
    MAX_BATCHES = 2000,
    MAX_BATCH_NUMBERS = 1 << 20, /* sample numbers in all */
    TIMEOUT_MS = 60000,
    NEAR_STEPS = 64, /* an incident that ended so shortly before may have led to this one */
    POINT_BYTES = 24,
    MAX_PROBE_BYTES = 256 << 20
};

/* ---- incidents and alerts ---- */

static const Baro__Alert *find_alert(const Baro__AlertsReply *reply, uint64_t id)
{
    for (size_t i = 0; i < reply->n_alerts; i++) {
        if (reply->alerts[i]->id == id) {
            return reply->alerts[i];
        }
    }
    return NULL;
}

static bool has_nonfinite(const Baro__AlertsReply *reply, const Baro__Incident *incident)
{
    for (size_t k = 0; k < incident->n_alerts; k++) {
        const Baro__Alert *alert = find_alert(reply, incident->alerts[k]);
        if (alert != NULL && strcmp(alert->kind, "nonfinite") == 0) {
            return true;
        }
    }
    return false;
}

static void choose_incident(struct why_reading *reading, int64_t step)
{
    const Baro__AlertsReply *reply = reading->alerts;
    size_t n = reply->n_incidents;
    baro_autofree struct why_choice *choices = baro_xcalloc(n + 1, sizeof *choices);
    for (size_t i = 0; i < n; i++) {
        const Baro__Incident *incident = reply->incidents[i];
        choices[i] = (struct why_choice){incident->level, has_nonfinite(reply, incident),
            incident->first_step, incident->last_step};
    }
    reading->chosen = why_choose(choices, n, step != INT64_MIN, step);
    if (reading->chosen < n) {
        const Baro__Incident *incident = reply->incidents[reading->chosen];
        reading->incident = (struct why_incident){incident->id, incident->headline,
            incident->level, incident->first_step, incident->last_step, incident->is_open};
        reading->facts.incident = &reading->incident;
    }
}

static struct why_alert alert_of(const Baro__Alert *alert, bool is_before)
{
    return (struct why_alert){.kind = alert->kind,
        .name = alert->tensor,
        .module = alert->module,
        .text = alert->text,
        .advice = alert->advice,
        .level = alert->level,
        .thing = alert->thing,
        .role = (uint32_t)baro_role_parse(alert->role),
        .rank = alert->rank,
        .step = alert->step,
        .unit = alert->unit,
        .value = alert->value,
        .usual = alert->usual,
        .is_before = is_before,
        .has_sample = alert->has_sample,
        .n_samples = alert->n_samples,
        .samples = alert->samples,
        .n_causes = alert->n_causes,
        .causes = alert->causes};
}

static void list_alerts(struct why_reading *reading)
{
    const Baro__AlertsReply *reply = reading->alerts;
    if (reading->chosen >= reply->n_incidents) {
        return;
    }
    const Baro__Incident *chosen = reply->incidents[reading->chosen];
    const struct why_choice to = {.level = chosen->level,
        .first_step = chosen->first_step,
        .last_step = chosen->last_step};
    struct why_alert *list = baro_xcalloc(reply->n_alerts + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < reply->n_incidents; i++) {
        const Baro__Incident *incident = reply->incidents[i];
        bool is_before = incident != chosen &&
                         why_may_have_led(&(struct why_choice){.level = incident->level,
                                              .first_step = incident->first_step,
                                              .last_step = incident->last_step},
                             &to);
        for (size_t k = 0; (is_before || incident == chosen) && k < incident->n_alerts;
             k++) {
            const Baro__Alert *alert = find_alert(reply, incident->alerts[k]);
            /* One that was noticed only afterwards may be dated back too far. */
            bool is_late =
                is_before && alert != NULL && alert->noticed_step > chosen->first_step;
            if (alert != NULL && !is_late && n < reply->n_alerts) {
                list[n++] = alert_of(alert, is_before);
            }
        }
    }
    why_sort_alerts(list, n);
    reading->alert_list = list;
    reading->facts.alerts = list;
    reading->facts.n_alerts = n;
}

/* ---- probes ---- */

/* A probe that cannot be had is no reason to tell nothing: it is told as missing. */
static struct probe *read_probe(
    struct why_reading *reading, const struct probe_entry *entry, void **out_bytes)
{
    struct baro_err err = {0};
    struct probe *probe = NULL;
    size_t n = 0;
    *out_bytes = NULL;
    if (entry == NULL || entry->n_here < entry->n_pieces ||
        entry->bytes > MAX_PROBE_BYTES ||
        link_probe_get(reading->cli->link, reading->run->run, entry, out_bytes, &n, &err) !=
            0 ||
        probe_parse(&probe, *out_bytes, n, &err) != 0) {
        return NULL;
    }
    return probe;
}

static bool is_whole(const struct probe_entry *entry)
{
    return entry->n_here >= entry->n_pieces;
}

/* The failure that belongs to the incident: the first one in it or, where it lasts, just before. */
static const struct probe_entry *find_failure(
    const struct why_reading *reading, const struct probe_list *list, int64_t step)
{
    const struct probe_entry *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        bool is_in = reading->facts.incident == NULL ||
                     (entry->step + NEAR_STEPS >= reading->incident.first_step &&
                         entry->step <= reading->incident.last_step);
        is_in = step != INT64_MIN ? entry->step == step || is_in : is_in;
        if (entry->reason == PROBE_FAILURE && is_in &&
            (best == NULL || (!is_whole(best) && is_whole(entry)))) {
            best = entry;
        }
    }
    return best;
}

static const struct probe_entry *find_calm(const struct probe_list *list, int64_t before)
{
    const struct probe_entry *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        if (entry->reason != PROBE_FAILURE && entry->step < before && is_whole(entry) &&
            (best == NULL || entry->step > best->step)) {
            best = entry;
        }
    }
    return best;
}

static void read_probes(struct why_reading *reading, int64_t step)
{
    struct probe_list list = {0};
    struct baro_err err = {0};
    if (link_probes(reading->cli->link, reading->run->run, INT64_MIN, INT64_MAX, &list,
            &err) == 0) {
        const struct probe_entry *failure = find_failure(reading, &list, step);
        reading->failure = read_probe(reading, failure, &reading->failure_bytes);
        if (failure != NULL) {
            reading->calm =
                read_probe(reading, find_calm(&list, failure->step), &reading->calm_bytes);
        }
    }
    probe_list_finish(&list);
    reading->facts.failure = reading->failure;
    reading->facts.calm = reading->calm;
}

/* ---- the first round ---- */

static void describe_run(struct why_reading *reading)
{
    const Baro__RunInfo *run = reading->run;
    const struct term *term = &reading->cli->out;
    char both[512];
    (void)snprintf(both, sizeof both, "%s/%s", run->description->project,
        run->description->name[0] != '\0' ? run->description->name
                                          : run->description->run_id);
    (void)term_safe(term, both, reading->name, sizeof reading->name);
    (void)run_reason(term, run, reading->reason, sizeof reading->reason);
    reading->facts.run = (struct why_run){.name = reading->name,
        .status = run_status_name(run->status),
        .reason = reading->reason,
        .first_step = run->first_step,
        .last_step = run->last_step,
        .n_steps = run->n_steps,
        .n_alerts = run->n_alerts};
}

int why_read_begin(struct cli *cli, const char *name, int64_t step, struct why_reading *out)
{
    *out = (struct why_reading){.cli = cli};
    if (runs_ask(cli, &out->runs) != CLI_OK) {
        return CLI_FAILED;
    }
    out->run = runs_find(&out->runs, name);
    if (out->run == NULL) {
        return CLI_FAILED;
    }
    if (step != INT64_MIN && out->run->n_steps > 0 &&
        (step < out->run->first_step || step > out->run->last_step)) {
        return cli_fail("the run has no step %lld: it has steps %lld to %lld",
            (long long)step, (long long)out->run->first_step,
            (long long)out->run->last_step);
    }
    describe_run(out);
    out->alerts = alerts_ask(cli, out->run->run, &out->alerts_message);
    if (out->alerts == NULL) {
        return CLI_FAILED;
    }
    out->facts.has_step = step != INT64_MIN;
    out->facts.step = step;
    choose_incident(out, step);
    list_alerts(out);
    read_probes(out, step);
    return CLI_OK;
}

/* ---- things ---- */

static int compare_things(const void *a, const void *b)
{
    const struct why_thing *x = a;
    const struct why_thing *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int read_things(struct why_reading *reading)
{
    if (things_ask(reading->cli, reading->run->run, NULL, &reading->things) != CLI_OK) {
        return CLI_FAILED;
    }
    struct why_thing *list = baro_xcalloc(reading->things.n_things + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < reading->things.n_things; i++) {
        const Baro__ThingInfo *info = reading->things.things[i];
        if (thing_is_run(info) || info->declare == NULL) {
            continue;
        }
        list[n++] = (struct why_thing){.id = info->thing,
            .name = info->declare->name,
            .role = info->declare->role,
            .dtype = info->declare->dtype,
            .n_units = info->declare->n_units,
            .rank = info->rank,
            .n_points = info->n_points + info->n_inherited,
            .first_step = info->first_step,
            .last_step = info->last_step,
            .spacing = info->spacing > 0 ? info->spacing : info->cadence,
            .is_own = thing_is_own(info)};
    }
    qsort(list, n, sizeof *list, compare_things);
    reading->thing_list = list;
    reading->facts.things = list;
    reading->facts.n_things = n;
    return CLI_OK;
}

/* ---- series ---- */

/* Take over n steps and values as a series. */
static void add_series(struct why_reading *reading, const struct why_want *want,
    bool is_coarse, int64_t *steps, double *values, size_t n)
{
    struct why_facts *facts = &reading->facts;
    reading->series_list = baro_xrealloc(
        reading->series_list, facts->n_series + 1, sizeof *reading->series_list);
    reading->series_list[facts->n_series++] = (struct why_series){.thing = want->thing,
        .kind = want->kind,
        .stat = want->stat,
        .unit = want->unit,
        .is_coarse = is_coarse,
        .n = n,
        .steps = steps,
        .values = values};
    facts->series = reading->series_list;
}

/* Every reading, but for those whose step is not after the one before. */
static void take_points(struct why_reading *reading, const struct why_want *want,
    const struct link_frame *frame)
{
    size_t n_points = frame->n_bytes / POINT_BYTES;
    int64_t *steps = baro_xcalloc(n_points + 1, sizeof *steps);
    double *values = baro_xcalloc(n_points + 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < n_points; i++) {
        const uint8_t *at = frame->bytes + i * POINT_BYTES;
        int64_t step;
        memcpy(&step, at, sizeof step);
        if (n == 0 || step > steps[n - 1]) {
            steps[n] = step;
            memcpy(&values[n++], at + 16, sizeof *values);
        }
    }
    add_series(reading, want, false, steps, values, n);
}

static void take_columns(struct why_reading *reading, const struct why_want *want,
    const struct link_frame *frame)
{
    size_t n_columns = frame->n_bytes / sizeof(struct wire_column);
    bool is_size = (want->kind == READING_SUMMARY && want->stat == SUMMARY_ABS_MAX) ||
                   (want->kind == READING_UNITS && want->stat == UNIT_ABS_MAX);
    int64_t *steps = baro_xcalloc(n_columns + 1, sizeof *steps);
    double *values = baro_xcalloc(n_columns + 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < n_columns; i++) {
        struct wire_column column;
        memcpy(&column, frame->bytes + i * sizeof column, sizeof column);
        if (column.count > 0) {
            steps[n] = column.last_step;
            values[n++] = is_size ? column.max : column.mean;
        }
    }
    add_series(reading, want, true, steps, values, n);
}

static int ask_range(struct why_reading *reading, int64_t from, int64_t to,
    uint32_t n_columns, struct link_message *out_reply)
{
    const struct why_plan *plan = &reading->plan;
    Baro__SeriesRef references[WHY_MAX_WANTS];
    Baro__SeriesRef *pointers[WHY_MAX_WANTS];
    for (size_t i = 0; i < plan->n_wants; i++) {
        references[i] = (Baro__SeriesRef)BARO__SERIES_REF__INIT;
        references[i].thing = plan->wants[i].thing;
        references[i].kind = plan->wants[i].kind;
        references[i].stat = (uint32_t)plan->wants[i].stat;
        references[i].unit = (int32_t)(plan->wants[i].unit >= 0 ? plan->wants[i].unit : 0);
        pointers[i] = &references[i];
    }
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = reading->run->run;
    body.n_series = plan->n_wants;
    body.series = pointers;
    body.from_step = from;
    body.to_step = to;
    body.columns = n_columns;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_RANGE_REPLY,
        .what = "a range",
        .n_frames = plan->n_wants,
        .timeout_ms = TIMEOUT_MS};
    return ask_for(reading->cli, &ask, out_reply);
}

static int read_series(struct why_reading *reading)
{
    const struct why_plan *plan = &reading->plan;
    struct link_message reply;
    if (plan->n_wants == 0) {
        return CLI_OK;
    }
    int rc = ask_range(reading, plan->from, plan->to, 0, &reply);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; i < plan->n_wants; i++) {
        take_points(reading, &plan->wants[i], &reply.frames[i]);
    }
    link_message_release(&reply);
    if (!plan->wants_past) {
        return CLI_OK;
    }
    rc = ask_range(reading, reading->run->first_step, plan->to, PAST_COLUMNS, &reply);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; i < plan->n_wants; i++) {
        take_columns(reading, &plan->wants[i], &reply.frames[i]);
    }
    link_message_release(&reply);
    return CLI_OK;
}

/* ---- batches ---- */

static int compare_batches(const void *a, const void *b)
{
    const struct why_batch *x = a;
    const struct why_batch *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

/* Note the batches of a frame of records; their samples stay where they lie. */
static void take_batches(struct why_reading *reading, const struct link_frame *frame)
{
    const uint8_t *at = frame->bytes;
    const uint8_t *end = at + frame->n_bytes;
    struct record_header header;
    const uint8_t *payload = NULL;
    size_t n = 0;
    while (record_next(&at, end, &header, &payload) > 0) {
        if (header.kind != READING_BATCH || header.payload_bytes < sizeof(double)) {
            continue;
        }
        reading->batch_list =
            baro_xrealloc(reading->batch_list, n + 1, sizeof *reading->batch_list);
        reading->batch_list[n++] = (struct why_batch){.step = header.step,
            .n = (header.payload_bytes - sizeof(double)) / sizeof(int64_t),
            .samples = (const int64_t *)(const void *)(payload + sizeof(double))};
    }
    if (n > 0) {
        qsort(reading->batch_list, n, sizeof *reading->batch_list, compare_batches);
    }
    reading->facts.batches = reading->batch_list;
    reading->facts.n_batches = n;
}

static int ask_batches(struct why_reading *reading, int64_t from, int64_t to,
    uint32_t limit, struct link_message *out_reply)
{
    Baro__RowsRequest body = BARO__ROWS_REQUEST__INIT;
    body.run = reading->run->run;
    body.kind = READING_BATCH;
    body.from_step = from;
    body.to_step = to;
    body.limit = limit;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_ROWS_REPLY,
        .what = "rows",
        .n_frames = 1,
        .timeout_ms = TIMEOUT_MS};
    return ask_for(reading->cli, &ask, out_reply);
}

/* The batch of the step tells how large they are, and so how many of those before are cheap. Only so
 * many steps are asked for: to find the newest of a million the daemon would read them all. */
static int read_batches(struct why_reading *reading)
{
    int64_t step = reading->plan.step;
    int64_t first_step = reading->run->first_step;
    struct link_message first;
    if (!reading->plan.wants_batches) {
        return CLI_OK;
    }
    int64_t from = step - first_step > NEAR_STEPS ? step - NEAR_STEPS : first_step;
    if (ask_batches(reading, from, step, 1, &first) != CLI_OK) {
        return CLI_FAILED;
    }
    size_t n_numbers = first.frames[0].n_bytes / sizeof(int64_t) + 1;
    link_message_release(&first);
    size_t n = MAX_BATCH_NUMBERS / n_numbers;
    n = n < 1 ? 1 : n > MAX_BATCHES ? MAX_BATCHES : n;
    from = step - first_step > (int64_t)n ? step - (int64_t)n : first_step;
    int rc = ask_batches(reading, from, step, (uint32_t)n, &reading->batches_message);
    if (rc == CLI_OK) {
        take_batches(reading, &reading->batches_message.frames[0]);
    }
    return rc;
}

/* ---- the second round ---- */

int why_read_rest(struct why_reading *reading)
{
    int rc = read_things(reading);
    if (rc != CLI_OK) {
        return rc;
    }
    why_plan(&reading->facts, &reading->plan);
    rc = read_series(reading);
    return rc == CLI_OK ? read_batches(reading) : rc;
}

void why_read_finish(struct why_reading *reading)
{
    for (size_t i = 0; i < reading->facts.n_series; i++) {
        free((void *)(uintptr_t)reading->series_list[i].steps);
        free((void *)(uintptr_t)reading->series_list[i].values);
    }
    free(reading->series_list);
    free(reading->batch_list);
    free(reading->thing_list);
    free(reading->alert_list);
    probe_free(reading->failure);
    probe_free(reading->calm);
    free(reading->failure_bytes);
    free(reading->calm_bytes);
    things_release(&reading->things);
    link_message_release(&reading->batches_message);
    link_message_release(&reading->alerts_message);
    runs_release(&reading->runs);
    *reading = (struct why_reading){0};
}
