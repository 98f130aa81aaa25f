/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/inquiry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/record.h"
#include "proto/wire_readings.h"

struct inquiry {
    const struct model *model; /* a reference: names and sentences belong to it */
    const struct model_probe *failure, *calm; /* references */
    struct why_facts facts;
    struct why_plan plan;
    struct why_incident incident;
    struct why_alert *alerts;
    struct why_thing *things;
    struct why_series *series; /* facts.n_series; each owns steps and values */
    struct why_batch *batches; /* facts.n_batches; their samples lie in batch_bytes */
    struct why_results *results;
    void *batch_bytes, *result_bytes;
};

/* ---- incidents and alerts ---- */

/* The causes that an incident has been given go with its first alert. */
static const struct model_incident *incident_of(
    const struct model *model, const struct model_alert *alert)
{
    for (size_t i = 0; i < model->incidents->n; i++) {
        const struct model_incident *incident = &model->incidents->at[i];
        if (incident->n_alerts > 0 && incident->alerts[0] == alert->id) {
            return incident;
        }
    }
    return NULL;
}

static struct why_alert alert_of(const struct model *model, const struct model_alert *alert)
{
    const struct model_thing *thing = model_thing_find(model, alert->thing);
    const struct model_incident *incident = incident_of(model, alert);
    return (struct why_alert){.id = alert->id,
        .kind = alert->kind,
        .name = alert->tensor,
        .module = alert->module,
        .text = alert->text,
        .advice = alert->advice,
        .level = alert->level,
        .thing = alert->thing,
        .role = (uint32_t)baro_role_parse(alert->role),
        .rank = thing != NULL ? thing->rank : 0,
        .step = alert->step,
        .noticed_step = alert->noticed_step,
        .unit = alert->unit,
        .value = alert->value,
        .usual = (double)NAN,
        .has_sample = alert->has_sample,
        .n_samples = alert->n_samples,
        .samples = alert->samples,
        .n_causes = incident != NULL ? incident->n_causes : 0,
        .causes = incident != NULL ? (char *const *)(uintptr_t)incident->causes : NULL};
}

/* All incidents and alerts of the model. Release with lists_finish(). */
static struct why_lists lists_of(const struct model *model)
{
    const struct model_incidents *incidents = model->incidents;
    struct why_listed *listed = baro_xcalloc(incidents->n + 1, sizeof *listed);
    struct why_alert *alerts = baro_xcalloc(model->alerts->n + 1, sizeof *alerts);
    for (size_t i = 0; i < incidents->n; i++) {
        const struct model_incident *from = &incidents->at[i];
        listed[i] = (struct why_listed){
            from->level, from->first_step, from->last_step, from->n_alerts, from->alerts};
    }
    for (size_t i = 0; i < model->alerts->n; i++) {
        alerts[i] = alert_of(model, &model->alerts->at[i]);
    }
    return (struct why_lists){listed, incidents->n, alerts, model->alerts->n};
}

static void lists_finish(struct why_lists *lists)
{
    free((void *)(uintptr_t)lists->incidents);
    free((void *)(uintptr_t)lists->alerts);
}

size_t inquiry_choose(const struct model *model, const struct probe_list *probes)
{
    struct why_lists lists = lists_of(model);
    const struct model_run *run = model_run_find(model, model->run);
    const size_t chosen = why_choose_listed(
        &lists, probes, run != NULL ? run->last_step : INT64_MAX, INT64_MIN);
    lists_finish(&lists);
    return chosen;
}

static void list_alerts(struct inquiry *inquiry, size_t chosen)
{
    struct why_lists lists = lists_of(inquiry->model);
    inquiry->alerts = baro_xcalloc(lists.n_alerts + 1, sizeof *inquiry->alerts);
    inquiry->facts.alerts = inquiry->alerts;
    inquiry->facts.n_alerts = why_gather_alerts(&lists, chosen, inquiry->alerts);
    lists_finish(&lists);
}

/* ---- things ---- */

static void list_things(struct inquiry *inquiry)
{
    const struct model_things *things = inquiry->model->things;
    size_t n = 0;
    inquiry->things = baro_xcalloc(things->n + 1, sizeof *inquiry->things);
    for (size_t i = 0; i < things->n; i++) {
        const struct model_thing *thing = &things->at[i];
        inquiry->things[n++] = (struct why_thing){.id = thing->thing,
            .name = thing->name,
            .role = (uint32_t)thing->role,
            .dtype = (uint32_t)thing->dtype,
            .n_units = thing->n_units,
            .rank = thing->rank,
            .n_points = thing->n_points,
            .first_step = thing->first_step,
            .last_step = thing->last_step,
            .spacing = thing->cadence,
            .is_own = strncmp(thing->name, "barograph/", 10) == 0};
    }
    inquiry->facts.things = inquiry->things;
    inquiry->facts.n_things = n;
}

static const char *status_word(Baro__RunStatus status)
{
    switch ((int)status) {
    case BARO__RUN_STATUS__RUN_FINISHED: return "finished";
    case BARO__RUN_STATUS__RUN_FAILED: return "failed";
    case BARO__RUN_STATUS__RUN_KILLED: return "killed";
    case BARO__RUN_STATUS__RUN_STALLED: return "stalled";
    default: return "running";
    }
}

/* ---- life ---- */

struct inquiry *inquiry_create(const struct model *model, size_t incident,
    const struct model_probe *failure, const struct model_probe *calm,
    const struct why_others *others)
{
    struct inquiry *inquiry = baro_xcalloc(1, sizeof *inquiry);
    const struct model_run *run = model_run_find(model, model->run);
    inquiry->model = part_ref(model);
    inquiry->failure = part_ref(failure);
    inquiry->calm = part_ref(calm);
    inquiry->facts.failure = failure != NULL ? failure->probe : NULL;
    inquiry->facts.calm = calm != NULL ? calm->probe : NULL;
    inquiry->facts.others = *others;
    inquiry->facts.run.name = inquiry->facts.run.status = inquiry->facts.run.reason = "";
    if (run != NULL) {
        inquiry->facts.run = (struct why_run){.name = run->name,
            .status = status_word(run->status),
            .reason = run->status_text,
            .first_step = run->first_step,
            .last_step = run->last_step,
            .n_steps = run->n_steps,
            .n_alerts = run->n_alerts};
    }
    if (incident < model->incidents->n) {
        const struct model_incident *from = &model->incidents->at[incident];
        inquiry->incident = (struct why_incident){from->id, from->headline, from->level,
            from->first_step, from->last_step, from->is_open};
        inquiry->facts.incident = &inquiry->incident;
        list_alerts(inquiry, incident);
    }
    list_things(inquiry);
    why_plan(&inquiry->facts, &inquiry->plan);
    return inquiry;
}

void inquiry_destroy(struct inquiry *inquiry)
{
    if (inquiry == NULL) {
        return;
    }
    for (size_t i = 0; i < inquiry->facts.n_series; i++) {
        free((void *)(uintptr_t)inquiry->series[i].steps);
        free((void *)(uintptr_t)inquiry->series[i].values);
    }
    free(inquiry->series);
    free(inquiry->batches);
    free(inquiry->batch_bytes);
    free(inquiry->results);
    free(inquiry->result_bytes);
    free(inquiry->alerts);
    free(inquiry->things);
    part_unref(inquiry->failure);
    part_unref(inquiry->calm);
    part_unref(inquiry->model);
    free(inquiry);
}

const struct why_plan *inquiry_plan(const struct inquiry *inquiry)
{
    return &inquiry->plan;
}

/* ---- readings ---- */

void inquiry_add_series(struct inquiry *inquiry, const struct why_want *want,
    bool is_coarse, const struct keeper_frame *frame)
{
    struct why_series series = {.thing = want->thing,
        .kind = want->kind,
        .stat = want->stat,
        .unit = want->unit,
        .is_coarse = is_coarse};
    int64_t *steps = NULL;
    double *values = NULL;
    series.n = is_coarse ? wire_take_columns(frame->bytes, frame->n_bytes,
                               why_is_size(want), &steps, &values)
                         : wire_take_points(frame->bytes, frame->n_bytes, &steps, &values);
    series.steps = steps;
    series.values = values;
    size_t n = inquiry->facts.n_series;
    inquiry->series = baro_xrealloc(inquiry->series, n + 1, sizeof *inquiry->series);
    inquiry->series[n] = series;
    inquiry->facts.series = inquiry->series;
    inquiry->facts.n_series = n + 1;
}

/* Frames go when they have been handed over: what lies in them is copied. */
static void *keep_bytes(const struct keeper_frame *frame)
{
    void *bytes = baro_xcalloc(frame->n_bytes + 1, 1);
    memcpy(bytes, frame->bytes, frame->n_bytes);
    return bytes;
}

void inquiry_add_batches(struct inquiry *inquiry, const struct keeper_frame *frame)
{
    free(inquiry->batches);
    free(inquiry->batch_bytes);
    inquiry->batch_bytes = keep_bytes(frame);
    inquiry->facts.n_batches =
        why_take_batches(inquiry->batch_bytes, frame->n_bytes, &inquiry->batches);
    inquiry->facts.batches = inquiry->batches;
}

void inquiry_add_results(struct inquiry *inquiry, const struct keeper_frame *frame)
{
    free(inquiry->results);
    free(inquiry->result_bytes);
    inquiry->result_bytes = keep_bytes(frame);
    inquiry->facts.n_results =
        why_take_results(inquiry->result_bytes, frame->n_bytes, &inquiry->results);
    inquiry->facts.results = inquiry->results;
}

void inquiry_add_states(struct inquiry *inquiry, const struct keeper_frame *frame)
{
    const uint8_t *at = frame->bytes;
    const uint8_t *end = at + frame->n_bytes;
    struct record_header header;
    const uint8_t *payload = NULL;
    while (record_next(&at, end, &header, &payload) > 0) {
        why_add_state(&inquiry->facts, header.step);
    }
}

/* ---- the story ---- */

static void finish_why(void *part)
{
    struct model_why *why = part;
    part_unref(why->failure);
    part_unref(why->calm);
}

struct model_why *inquiry_tell(const struct inquiry *inquiry)
{
    struct model_why *why = part_create(sizeof *why, finish_why);
    why_tell(&inquiry->facts, &why->story);
    why->has_story = true;
    why->incident = inquiry->facts.incident != NULL ? inquiry->incident.id : 0;
    why->failure = part_ref(inquiry->failure);
    why->calm = part_ref(inquiry->calm);
    return why;
}
