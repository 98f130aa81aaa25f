/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/alarm/alarm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/alarm/alarm_inside.h"
#include "lib/analysis/detect_ranks.h"
#include "lib/analysis/incident.h"
#include "lib/analysis/rule.h"
#include "lib/base/baro_types.h"
#include "lib/base/mem.h"

/*
 * Findings become alerts in causal order as far as they come together (a judge gives those of a
 * step at once; incident.c says what comes first). An alert gets the number of the
 * incident that it joins before it is handed out, and the incident is handed out behind the last
 * alert of the same reading: so whoever gets both can resolve all numbers.
 *
 * After a restart a judge is fed what is stored of the last ALARM_WARM_STEPS steps, and what it
 * finds there is passed over. A step that was completed early (the daemon had to answer before the
 * next one began) may be judged once more afterwards: so no alert is told whose kind, thing, rank,
 * step and unit are those of a stored one.
 */

enum { MAX_KNOWN = ALARM_MAX_ALERTS };

/* ---- begin and end ---- */

struct alarm *alarm_create(const struct rule_book *book)
{
    struct alarm *alarm = baro_xcalloc(1, sizeof *alarm);
    alarm->book = book;
    return alarm;
}

void alarm_destroy(struct alarm *alarm)
{
    if (alarm == NULL) {
        return;
    }
    for (size_t i = 0; i < alarm->n_streams; i++) {
        judge_destroy(alarm->streams[i]->judge);
        free(alarm->streams[i]);
    }
    for (size_t i = alarm->next_alert; i < alarm->n_alerts; i++) {
        baro__alert__free_unpacked(alarm->alerts[i].alert, NULL);
    }
    for (size_t i = 0; i < alarm->n_known; i++) {
        free(alarm->known[i].kind);
    }
    for (size_t i = 0; i < alarm->n_things; i++) {
        free(alarm->things[i].name);
        free(alarm->things[i].module);
    }
    incidents_destroy(alarm->incidents);
    judge_run_destroy(alarm->ranks);
    free(alarm->streams);
    free(alarm->alerts);
    free(alarm->known);
    free(alarm->findings);
    free(alarm->things);
    free(alarm);
}

static struct incident_book *book_of(struct alarm *alarm)
{
    if (alarm->incidents == NULL) {
        alarm->incidents = incidents_create();
        incidents_resume(alarm->incidents, alarm->last_incident);
    }
    return alarm->incidents;
}

static void know(struct alarm *alarm, const Baro__Alert *alert)
{
    alarm->known = baro_xrealloc(alarm->known, alarm->n_known + 1, sizeof *alarm->known);
    alarm->known[alarm->n_known++] = (struct alarm_known){
        baro_xstrdup(alert->kind), alert->thing, alert->rank, alert->step, alert->unit};
}

static bool is_known(const struct alarm *alarm, const struct judge_finding *finding,
    uint32_t rank, const char *kind)
{
    for (size_t i = 0; i < alarm->n_known; i++) {
        const struct alarm_known *known = &alarm->known[i];
        if (known->thing == finding->thing && known->rank == rank &&
            known->step == finding->step && known->unit == finding->unit &&
            strcmp(known->kind, kind) == 0) {
            return true;
        }
    }
    return false;
}

/* The alerts that a stored incident kept. */
static void recall(struct alarm *alarm, const Baro__Incident *stored,
    Baro__Alert *const *alerts, size_t n_alerts)
{
    struct incident_alert kept[INCIDENT_MAX_ALERTS];
    struct judge_evidence evidence[INCIDENT_MAX_ALERTS];
    size_t n = 0;
    for (size_t i = 0; i < stored->n_alerts && n < INCIDENT_MAX_ALERTS; i++) {
        uint64_t id = stored->alerts[i];
        if (id > 0 && id <= n_alerts) {
            alarm_recall_alert(alerts[id - 1], &kept[n], &evidence[n]);
            n++;
        }
    }
    if (n > 0) {
        incidents_recall(
            book_of(alarm), stored->id, stored->is_open, kept, n, stored->n_more);
    }
}

void alarm_resume(struct alarm *alarm, Baro__Alert *const *alerts, size_t n_alerts,
    Baro__Incident *const *incidents, size_t n_incidents)
{
    alarm->last_alert = n_alerts;
    for (size_t i = 0; i < n_alerts; i++) {
        if (alarm->n_known < MAX_KNOWN) {
            know(alarm, alerts[i]);
        }
        alarm->last_incident = alerts[i]->incident > alarm->last_incident
                                   ? alerts[i]->incident
                                   : alarm->last_incident;
    }
    size_t first = n_incidents > INCIDENT_MAX_KNOWN ? n_incidents - INCIDENT_MAX_KNOWN : 0;
    for (size_t i = first; i < n_incidents; i++) {
        recall(alarm, incidents[i], alerts, n_alerts);
    }
}

/* From now on ranks are compared. */
static void compare_ranks(struct alarm *alarm)
{
    alarm->ranks = judge_run_create(alarm->book);
    for (size_t id = 0; id < alarm->n_things; id++) {
        const struct alarm_thing *thing = &alarm->things[id];
        if (thing->is_replicated) {
            judge_run_declare(alarm->ranks, thing->rank, (uint32_t)id, thing->name);
        }
    }
}

void alarm_expect_ranks(struct alarm *alarm, uint32_t n_ranks)
{
    if (n_ranks > 1 && alarm->ranks == NULL) {
        compare_ranks(alarm);
        judge_run_expect(alarm->ranks, n_ranks);
    }
}

struct alarm_stream *alarm_add_stream(struct alarm *alarm, uint32_t rank)
{
    struct alarm_stream *stream = baro_xcalloc(1, sizeof *stream);
    stream->alarm = alarm;
    stream->rank = rank;
    stream->judge = judge_create(alarm->book, rank);
    alarm->streams =
        baro_xrealloc(alarm->streams, alarm->n_streams + 1, sizeof(struct alarm_stream *));
    alarm->streams[alarm->n_streams++] = stream;
    if (alarm->ranks == NULL && alarm->streams[0]->rank != rank) {
        compare_ranks(alarm);
    }
    return stream;
}

/* ---- things ---- */

/* The module path of a thing: the name itself for what a module puts out or takes in, the name
 * without its last part for parameters, "" for scalars. To be freed. */
static char *module_of(const Baro__Declare *declare)
{
    if (!declare->is_tensor) {
        return baro_xstrdup("");
    }
    char *module = baro_xstrdup(declare->name);
    bool is_of_module = declare->role == BARO_ACT || declare->role == BARO_ACT_GRAD ||
                        declare->role == BARO_INPUT;
    char *dot = strrchr(module, '.');
    if (!is_of_module) {
        *(dot != NULL ? dot : module) = '\0';
    }
    return module;
}

static void note_thing(
    struct alarm *alarm, uint32_t id, uint32_t rank, const Baro__Declare *declare)
{
    if (id >= alarm->n_things) {
        size_t n = (size_t)id + 1 + id / 2;
        alarm->things = baro_xrealloc(alarm->things, n, sizeof *alarm->things);
        memset(&alarm->things[alarm->n_things], 0,
            (n - alarm->n_things) * sizeof *alarm->things);
        alarm->n_things = n;
    }
    struct alarm_thing *thing = &alarm->things[id];
    if (thing->name == NULL) {
        thing->name = baro_xstrdup(declare->name);
        thing->module = module_of(declare);
        thing->role = declare->is_tensor ? declare->role : 0;
        thing->rank = rank;
        thing->is_replicated = !declare->is_tensor && strncmp(declare->name, RANKS_PREFIX,
                                                          strlen(RANKS_PREFIX)) == 0;
    }
}

void alarm_declare(
    struct alarm_stream *stream, uint32_t thing, const Baro__Declare *declare)
{
    if (thing == 0 || thing > JUDGE_MAX_THING) {
        return;
    }
    note_thing(stream->alarm, thing, stream->rank, declare);
    struct judge_thing about = {
        .id = thing,
        .name = declare->name,
        .is_tensor = declare->is_tensor,
        .n_units = declare->n_units,
    };
    if (declare->is_tensor) {
        about.role = (enum baro_role)declare->role;
        about.dtype = (enum baro_dtype)declare->dtype;
        about.n_dims =
            (uint32_t)(declare->n_shape < BARO_MAX_DIMS ? declare->n_shape : BARO_MAX_DIMS);
        if (about.n_dims > 0) {
            memcpy(about.shape, declare->shape, about.n_dims * sizeof about.shape[0]);
        }
    }
    judge_declare(stream->judge, &about);
    struct alarm *alarm = stream->alarm;
    if (alarm->ranks == NULL && alarm->things[thing].is_replicated) {
        compare_ranks(alarm); /* that the other ranks are to come is known by this */
    } else if (alarm->things[thing].is_replicated) {
        judge_run_declare(alarm->ranks, stream->rank, thing, declare->name);
    }
}

/* ---- readings ---- */

/* Give an alert its incident; false when that has too many already. What is only information is
 * listed and stored, but neither opens an incident nor joins one. */
static bool join_incident(
    struct alarm *alarm, const struct incident_alert *news, Baro__Alert *alert)
{
    const struct incident_place place = incidents_add(book_of(alarm), news);
    alert->incident = place.incident;
    alarm->last_incident =
        place.incident > alarm->last_incident ? place.incident : alarm->last_incident;
    return place.is_kept;
}

/* Give a finding to the run: an alert, in an incident. */
static void take_finding(
    struct alarm_stream *stream, const struct judge_finding *finding, uint32_t rank)
{
    struct alarm *alarm = stream->alarm;
    const char *kind = finding->kind;
    if (stream->is_warming || is_known(alarm, finding, rank, kind)) {
        return;
    }
    struct alarm_thing about = {0};
    if (finding->thing < alarm->n_things) {
        about = alarm->things[finding->thing];
    }
    struct incident_alert news = {0};
    Baro__Alert *alert =
        alarm_make_alert(finding, kind, &about, rank, alarm->last_alert + 1);
    alarm_describe(alert, finding, &news);
    if (alarm->last_alert >= ALARM_MAX_ALERTS) {
        alarm->n_withheld++;
        baro__alert__free_unpacked(alert, NULL);
        return;
    }
    if (finding->level > BARO_INFO && !join_incident(alarm, &news, alert)) {
        alarm->n_withheld++;
        baro__alert__free_unpacked(alert, NULL);
        return;
    }
    alarm->last_alert++;
    if (alarm->next_alert == alarm->n_alerts) {
        alarm->next_alert = alarm->n_alerts = 0;
    }
    alarm->alerts =
        baro_xrealloc(alarm->alerts, alarm->n_alerts + 1, sizeof *alarm->alerts);
    alarm->alerts[alarm->n_alerts++] = (struct alarm_news){alert, stream};
}

static enum incident_stage stage_of(
    const struct alarm *alarm, const struct judge_finding *finding)
{
    bool is_thing =
        finding->thing < alarm->n_things && alarm->things[finding->thing].name != NULL;
    const struct alarm_thing *about = is_thing ? &alarm->things[finding->thing] : NULL;
    return incident_stage_of(
        finding->kind, is_thing ? about->name : "", is_thing ? about->role : 0);
}

/* Put a finding where it belongs in causal order; what is alike stays as it came. */
static void insert_finding(struct alarm *alarm, const struct judge_finding *finding)
{
    size_t at = alarm->n_findings++;
    alarm->findings =
        baro_xrealloc(alarm->findings, alarm->n_findings, sizeof *alarm->findings);
    for (; at > 0; at--) {
        const struct judge_finding *before = &alarm->findings[at - 1];
        bool is_later = before->step > finding->step ||
                        (before->step == finding->step &&
                            stage_of(alarm, before) > stage_of(alarm, finding));
        if (!is_later) {
            break;
        }
        alarm->findings[at] = *before;
    }
    alarm->findings[at] = *finding;
}

/* Take what the judge has found; false when it was nothing. */
static bool gather(struct alarm_stream *stream)
{
    struct alarm *alarm = stream->alarm;
    struct judge_finding finding;
    alarm->n_findings = 0;
    while (judge_take(stream->judge, &finding)) {
        insert_finding(alarm, &finding);
    }
    for (size_t i = 0; i < alarm->n_findings; i++) {
        take_finding(stream, &alarm->findings[i], stream->rank);
    }
    return alarm->n_findings > 0;
}

/* Take what was found about ranks. stream: whose reading it came with. */
static bool gather_run(struct alarm *alarm, struct alarm_stream *stream)
{
    struct judge_finding finding;
    uint32_t rank = 0;
    bool is_any = false;
    while (alarm->ranks != NULL && judge_run_take(alarm->ranks, &finding, &rank)) {
        struct alarm_stream *about = stream;
        for (size_t i = 0; i < alarm->n_streams; i++) {
            about = alarm->streams[i]->rank == rank ? alarm->streams[i] : about;
        }
        take_finding(stream->is_warming ? stream : about, &finding, rank);
        is_any = true;
    }
    return is_any;
}

/* What only shows when ranks are compared; there is no judge of it before a second one comes. */
static bool feed_run(
    struct alarm_stream *stream, const struct reading *reading, uint32_t thing)
{
    struct alarm *alarm = stream->alarm;
    bool is_replicated =
        thing != 0 && thing < alarm->n_things && alarm->things[thing].is_replicated;
    if (alarm->ranks == NULL || (reading->header.kind != READING_STEP && !is_replicated)) {
        return false;
    }
    judge_run_reading(alarm->ranks, stream->rank, reading, thing);
    return gather_run(alarm, stream);
}

bool alarm_reading(
    struct alarm_stream *stream, const struct reading *reading, uint32_t thing)
{
    struct alarm *alarm = stream->alarm;
    judge_reading(stream->judge, reading, thing);
    bool is_news = gather(stream);
    is_news |= feed_run(stream, reading, thing);
    if (reading->header.kind == READING_STEP && alarm->incidents != NULL) {
        incidents_see_step(alarm->incidents, reading->header.step);
        is_news = true;
    }
    return is_news;
}

void alarm_end(
    struct alarm_stream *stream, enum judge_end why, const char *reason, int64_t time_ns)
{
    struct alarm *alarm = stream->alarm;
    judge_end(stream->judge, why, reason, time_ns);
    (void)gather(stream);
    bool has_left =
        why == JUDGE_END_FINISHED || why == JUDGE_END_FAILED || why == JUDGE_END_GONE;
    if (alarm->ranks != NULL && has_left) {
        judge_run_leave(alarm->ranks, stream->rank);
        (void)gather_run(alarm, stream);
    }
}

void alarm_set_warming(struct alarm_stream *stream, bool is_warming)
{
    (void)gather(stream);
    stream->is_warming = is_warming;
}

void alarm_close(struct alarm *alarm)
{
    if (alarm->incidents != NULL) {
        incidents_end(alarm->incidents);
    }
}

Baro__Alert *alarm_take(struct alarm *alarm, const struct alarm_stream **out_stream)
{
    if (alarm->next_alert == alarm->n_alerts) {
        return NULL;
    }
    const struct alarm_news *news = &alarm->alerts[alarm->next_alert++];
    if (out_stream != NULL) {
        *out_stream = news->stream;
    }
    return news->alert;
}

Baro__Incident *alarm_take_incident(struct alarm *alarm)
{
    const struct incident *incident =
        alarm->incidents != NULL ? incidents_take(alarm->incidents) : NULL;
    return incident != NULL ? alarm_make_incident(incident) : NULL;
}

uint64_t alarm_n_withheld(const struct alarm *alarm)
{
    return alarm->n_withheld;
}
