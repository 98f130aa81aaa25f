/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/inquiry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

enum { POINT_BYTES = 24, POINT_VALUE_AT = 16 };

struct inquiry {
    const struct model *model; /* a reference: names and sentences belong to it */
    const struct model_probe *failure, *calm; /* references */
    struct why_facts facts;
    struct why_plan plan;
    struct why_incident incident;
    struct why_alert *alerts;
    struct why_thing *things;
    struct why_series *series; /* facts.n_series; each owns steps and values */
    struct why_batch *batches; /* facts.n_batches; each owns its samples */
};

/* ---- incidents and alerts ---- */

static const struct model_alert *find_alert(const struct model *model, uint64_t id)
{
    for (size_t i = 0; i < model->alerts->n; i++) {
        if (model->alerts->at[i].id == id) {
            return &model->alerts->at[i];
        }
    }
    return NULL;
}

static bool is_nonfinite(const struct model *model, const struct model_incident *incident)
{
    for (size_t i = 0; i < incident->n_alerts; i++) {
        const struct model_alert *alert = find_alert(model, incident->alerts[i]);
        if (alert != NULL && strcmp(alert->kind, "nonfinite") == 0) {
            return true;
        }
    }
    return false;
}

size_t inquiry_choose(const struct model *model)
{
    const struct model_incidents *incidents = model->incidents;
    struct why_choice *choices = baro_xcalloc(incidents->n + 1, sizeof *choices);
    for (size_t i = 0; i < incidents->n; i++) {
        const struct model_incident *incident = &incidents->at[i];
        choices[i] = (struct why_choice){.level = incident->level,
            .is_nonfinite = is_nonfinite(model, incident),
            .first_step = incident->first_step,
            .last_step = incident->last_step};
    }
    size_t chosen = why_choose(choices, incidents->n, false, 0);
    free(choices);
    return chosen;
}

static struct why_alert alert_of(
    const struct model *model, const struct model_alert *alert, bool is_before)
{
    const struct model_thing *thing = model_thing_find(model, alert->thing);
    return (struct why_alert){.kind = alert->kind,
        .name = alert->tensor,
        .module = alert->module,
        .text = alert->text,
        .advice = alert->advice,
        .level = alert->level,
        .thing = alert->thing,
        .role = (uint32_t)baro_role_parse(alert->role),
        .rank = thing != NULL ? thing->rank : 0,
        .step = alert->step,
        .unit = alert->unit,
        .value = alert->value,
        .usual = (double)NAN,
        .is_before = is_before,
        .has_sample = alert->has_sample,
        .n_samples = alert->n_samples,
        .samples = alert->samples};
}

/* The causes that the incident has been given go with its first alert. */
static void list_alerts(struct inquiry *inquiry, size_t chosen)
{
    const struct model *model = inquiry->model;
    const struct model_incident *incident = &model->incidents->at[chosen];
    const struct why_choice to = {.level = incident->level,
        .first_step = incident->first_step,
        .last_step = incident->last_step};
    inquiry->alerts = baro_xcalloc(model->alerts->n + 1, sizeof *inquiry->alerts);
    size_t n = 0;
    for (size_t i = 0; i < model->incidents->n; i++) {
        const struct model_incident *other = &model->incidents->at[i];
        bool is_before = other != incident &&
                         why_may_have_led(&(struct why_choice){.level = other->level,
                                              .first_step = other->first_step,
                                              .last_step = other->last_step},
                             &to);
        for (size_t k = 0; (is_before || other == incident) && k < other->n_alerts; k++) {
            const struct model_alert *alert = find_alert(model, other->alerts[k]);
            /* One that was noticed only afterwards may be dated back too far. */
            bool is_late =
                is_before && alert != NULL && alert->noticed_step > incident->first_step;
            if (alert == NULL || is_late || n >= model->alerts->n) {
                continue;
            }
            inquiry->alerts[n] = alert_of(model, alert, is_before);
            if (other == incident && k == 0) {
                inquiry->alerts[n].n_causes = incident->n_causes;
                inquiry->alerts[n].causes = (char *const *)(uintptr_t)incident->causes;
            }
            n++;
        }
    }
    why_sort_alerts(inquiry->alerts, n);
    inquiry->facts.alerts = inquiry->alerts;
    inquiry->facts.n_alerts = n;
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
    const struct model_probe *failure, const struct model_probe *calm)
{
    struct inquiry *inquiry = baro_xcalloc(1, sizeof *inquiry);
    const struct model_run *run = model_run_find(model, model->run);
    inquiry->model = part_ref(model);
    inquiry->failure = part_ref(failure);
    inquiry->calm = part_ref(calm);
    inquiry->facts.failure = failure != NULL ? failure->probe : NULL;
    inquiry->facts.calm = calm != NULL ? calm->probe : NULL;
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
    for (size_t i = 0; i < inquiry->facts.n_batches; i++) {
        free((void *)(uintptr_t)inquiry->batches[i].samples);
    }
    free(inquiry->series);
    free(inquiry->batches);
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

/* Every reading, but for those whose step is not after the one before. */
static size_t take_points(
    const struct keeper_frame *frame, int64_t **out_steps, double **out_values)
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
            memcpy(&values[n++], at + POINT_VALUE_AT, sizeof *values);
        }
    }
    *out_steps = steps;
    *out_values = values;
    return n;
}

/* One number for each column: its largest for sizes, else its mean. */
static size_t take_columns(const struct why_want *want, const struct keeper_frame *frame,
    int64_t **out_steps, double **out_values)
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
        if (column.count > 0 && (n == 0 || column.last_step > steps[n - 1])) {
            steps[n] = column.last_step;
            values[n++] = is_size ? column.max : column.mean;
        }
    }
    *out_steps = steps;
    *out_values = values;
    return n;
}

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
    series.n = is_coarse ? take_columns(want, frame, &steps, &values)
                         : take_points(frame, &steps, &values);
    series.steps = steps;
    series.values = values;
    size_t n = inquiry->facts.n_series;
    inquiry->series = baro_xrealloc(inquiry->series, n + 1, sizeof *inquiry->series);
    inquiry->series[n] = series;
    inquiry->facts.series = inquiry->series;
    inquiry->facts.n_series = n + 1;
}

static int compare_batches(const void *a, const void *b)
{
    const struct why_batch *x = a;
    const struct why_batch *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

void inquiry_add_batches(struct inquiry *inquiry, const struct keeper_frame *frame)
{
    const uint8_t *at = frame->bytes;
    const uint8_t *end = at + frame->n_bytes;
    struct record_header header;
    const uint8_t *payload = NULL;
    size_t n = inquiry->facts.n_batches;
    while (record_next(&at, end, &header, &payload) > 0) {
        if (header.kind != READING_BATCH || header.payload_bytes < sizeof(double)) {
            continue;
        }
        size_t n_samples = (header.payload_bytes - sizeof(double)) / sizeof(int64_t);
        int64_t *samples = baro_xcalloc(n_samples + 1, sizeof *samples);
        memcpy(samples, payload + sizeof(double), n_samples * sizeof *samples);
        inquiry->batches = baro_xrealloc(inquiry->batches, n + 1, sizeof *inquiry->batches);
        inquiry->batches[n++] = (struct why_batch){header.step, n_samples, samples};
    }
    if (n > 0) {
        qsort(inquiry->batches, n, sizeof *inquiry->batches, compare_batches);
    }
    inquiry->facts.batches = inquiry->batches;
    inquiry->facts.n_batches = n;
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
