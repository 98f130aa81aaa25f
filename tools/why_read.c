/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/why_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/link/probes.h"
#include "proto/wire_readings.h"
#include "tools/alerts.h"
#include "tools/ask.h"
#include "tools/rows.h"

/*
 * Costs are bounded whatever the run has: one window of single readings and 512 columns of the rest
 * for at most WHY_MAX_WANTS series, at most MAX_BATCHES batches, one or two probes.
 */

enum {
    PAST_COLUMNS = 512,
    MAX_BATCHES = 2000,
    MAX_BATCH_NUMBERS = 1 << 20, /* sample numbers in all */
    TIMEOUT_MS = 60000,
    NEAR_STEPS = 64, /* among so many the batch of the step is looked for */
    MAX_PROBE_BYTES = 256 << 20
};

/* ---- incidents and alerts ---- */

static struct why_alert alert_of(const Baro__Alert *alert)
{
    return (struct why_alert){.id = alert->id,
        .kind = alert->kind,
        .name = alert->tensor,
        .module = alert->module,
        .text = alert->text,
        .advice = alert->advice,
        .level = alert->level,
        .thing = alert->thing,
        .role = (uint32_t)baro_role_parse(alert->role),
        .rank = alert->rank,
        .step = alert->step,
        .noticed_step = alert->noticed_step,
        .unit = alert->unit,
        .value = alert->value,
        .usual = alert->usual,
        .has_sample = alert->has_sample,
        .n_samples = alert->n_samples,
        .samples = alert->samples,
        .n_causes = alert->n_causes,
        .causes = alert->causes};
}

/* Choose the incident, and list its alerts. */
static void choose_incident(
    struct why_reading *reading, const struct probe_list *probes, int64_t step)
{
    const Baro__AlertsReply *reply = reading->alerts;
    const size_t n = reply->n_incidents;
    baro_autofree struct why_listed *listed = baro_xcalloc(n + 1, sizeof *listed);
    baro_autofree struct why_alert *all = baro_xcalloc(reply->n_alerts + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        const Baro__Incident *from = reply->incidents[i];
        listed[i] = (struct why_listed){
            from->level, from->first_step, from->last_step, from->n_alerts, from->alerts};
    }
    for (size_t i = 0; i < reply->n_alerts; i++) {
        all[i] = alert_of(reply->alerts[i]);
    }
    const struct why_lists lists = {listed, n, all, reply->n_alerts};
    reading->chosen = why_choose_listed(&lists, probes, reading->run->last_step, step);
    if (reading->chosen < n) {
        const Baro__Incident *incident = reply->incidents[reading->chosen];
        reading->incident = (struct why_incident){incident->id, incident->headline,
            incident->level, incident->first_step, incident->last_step, incident->is_open};
        reading->facts.incident = &reading->incident;
        reading->alert_list =
            baro_xcalloc(reply->n_alerts + 1, sizeof *reading->alert_list);
        reading->facts.alerts = reading->alert_list;
        reading->facts.n_alerts =
            why_gather_alerts(&lists, reading->chosen, reading->alert_list);
    }
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

/* Whether the incident has something that was not finite; without a failure the calm probe then tells
 * why there is none. */
static bool has_nonfinite(const struct why_reading *reading)
{
    for (size_t i = 0; i < reading->facts.n_alerts; i++) {
        if (strcmp(reading->facts.alerts[i].kind, "nonfinite") == 0) {
            return true;
        }
    }
    return false;
}

static void read_probes(
    struct why_reading *reading, const struct probe_list *list, int64_t step)
{
    const struct probe_entry *failure =
        why_choose_failure(list, reading->facts.incident, step, &reading->facts.others);
    reading->failure = read_probe(reading, failure, &reading->failure_bytes);
    if (failure != NULL || has_nonfinite(reading)) {
        const int64_t before =
            failure != NULL ? failure->step : reading->incident.first_step;
        reading->calm =
            read_probe(reading, why_choose_calm(list, before), &reading->calm_bytes);
    }
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
    struct probe_list list = {0};
    struct baro_err err = {0};
    /* Without a list of probes there still is a story. */
    (void)link_probes(cli->link, out->run->run, INT64_MIN, INT64_MAX, &list, &err);
    choose_incident(out, &list, step);
    read_probes(out, &list, step);
    probe_list_finish(&list);
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

static void take_points(struct why_reading *reading, const struct why_want *want,
    const struct link_frame *frame)
{
    int64_t *steps = NULL;
    double *values = NULL;
    const size_t n = wire_take_points(frame->bytes, frame->n_bytes, &steps, &values);
    add_series(reading, want, false, steps, values, n);
}

static void take_columns(struct why_reading *reading, const struct why_want *want,
    const struct link_frame *frame)
{
    int64_t *steps = NULL;
    double *values = NULL;
    const size_t n =
        wire_take_columns(frame->bytes, frame->n_bytes, why_is_size(want), &steps, &values);
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

/* ---- batches, and what samples gave ---- */

static int ask_rows(struct why_reading *reading, enum reading_kind kind, int64_t from,
    uint32_t limit, struct link_message *out_reply)
{
    Baro__RowsRequest body = BARO__ROWS_REQUEST__INIT;
    body.run = reading->run->run;
    body.kind = (uint32_t)kind;
    body.from_step = from;
    body.to_step = reading->plan.step;
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

/* The row of the step tells how large they are, and so how many of those before are cheap. Only so
 * many steps are asked for: to find the newest of a million the daemon would read them all. */
static int read_rows(
    struct why_reading *reading, enum reading_kind kind, struct link_message *out_reply)
{
    const int64_t step = reading->plan.step;
    const int64_t first_step = reading->run->first_step;
    struct link_message first;
    int64_t from = step - first_step > NEAR_STEPS ? step - NEAR_STEPS : first_step;
    if (ask_rows(reading, kind, from, 1, &first) != CLI_OK) {
        return CLI_FAILED;
    }
    const size_t n_numbers = first.frames[0].n_bytes / sizeof(int64_t) + 1;
    link_message_release(&first);
    size_t n = MAX_BATCH_NUMBERS / n_numbers;
    n = n < 1 ? 1 : n > MAX_BATCHES ? MAX_BATCHES : n;
    from = step - first_step > (int64_t)n ? step - (int64_t)n : first_step;
    return ask_rows(reading, kind, from, (uint32_t)n, out_reply);
}

static int read_batches(struct why_reading *reading)
{
    struct why_facts *facts = &reading->facts;
    if (!reading->plan.wants_batches) {
        return CLI_OK;
    }
    int rc = read_rows(reading, READING_BATCH, &reading->batches_message);
    if (rc == CLI_OK) {
        const struct link_frame *frame = &reading->batches_message.frames[0];
        facts->n_batches =
            why_take_batches(frame->bytes, frame->n_bytes, &reading->batch_list);
        facts->batches = reading->batch_list;
        rc = read_rows(reading, READING_SAMPLES, &reading->results_message);
    }
    if (rc == CLI_OK) {
        const struct link_frame *frame = &reading->results_message.frames[0];
        facts->n_results =
            why_take_results(frame->bytes, frame->n_bytes, &reading->result_list);
        facts->results = reading->result_list;
    }
    return rc;
}

/* ---- random states ---- */

static int on_state(const struct row *row, void *payload)
{
    why_add_state(payload, row->step);
    return CLI_OK;
}

/* Of which steps the state of random numbers is kept: a number for each, of some thousand. */
static int read_states(struct why_reading *reading)
{
    const struct rows_wanted wanted = {.run = reading->run->run,
        .kind = READING_RNG,
        .from = INT64_MIN,
        .to = INT64_MAX,
        .n_columns = 1};
    struct rows_told told = {0};
    return rows_each(reading->cli, &wanted, on_state, NULL, &reading->facts, &told);
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
    rc = rc == CLI_OK ? read_batches(reading) : rc;
    return rc == CLI_OK ? read_states(reading) : rc;
}

void why_read_finish(struct why_reading *reading)
{
    for (size_t i = 0; i < reading->facts.n_series; i++) {
        free((void *)(uintptr_t)reading->series_list[i].steps);
        free((void *)(uintptr_t)reading->series_list[i].values);
    }
    free(reading->series_list);
    free(reading->batch_list);
    free(reading->result_list);
    free(reading->thing_list);
    free(reading->alert_list);
    probe_free(reading->failure);
    probe_free(reading->calm);
    free(reading->failure_bytes);
    free(reading->calm_bytes);
    things_release(&reading->things);
    link_message_release(&reading->batches_message);
    link_message_release(&reading->results_message);
    link_message_release(&reading->alerts_message);
    runs_release(&reading->runs);
    *reading = (struct why_reading){0};
}
