/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rules.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attention.h"
#include "daemon/live.h"
#include "daemon/notify.h"
#include "lib/alarm/alarm.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

#define LOG_MODULE "rules"

/*
 * A judge sees every new record of its stream once: a record that is sent again is skipped before it
 * gets here, and alerts are committed together with the record that completed their step. So
 * neither a resend nor a restart tells anything twice. A judge is made with the first reading of
 * its stream. After a restart of the daemon, or when it was let go because its run was over, it is
 * fed the last ALARM_WARM_STEPS steps from the store first.
 *
 * A step is complete when the second one after it has begun. Where nothing comes for much longer
 * than a step takes, what is known of it is judged as it is.
 */

enum {
    BAD_CALM_STEPS =
        32,      /* without non-finite values, before they are met with attention again */
    KEEP_S = 30, /* judges of a run that is over, for what may still come */
    MIN_WAIT_MS = 1000,
    WAIT_PACES = 4 /* usual step times, before a step is judged as it is */
};

bool rules_has_ranks(const struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (run->streams[i]->hello->rank > 0) {
            return true;
        }
    }
    return run->description->n_ranks > 1;
}

bool rules_is_nonfinite(const struct reading *reading)
{
    if (reading->header.kind == READING_SCALAR) {
        return !isfinite(reading->f64[0]);
    }
    return reading->header.kind == READING_SUMMARY &&
           (reading->f64[SUMMARY_N_NAN] > 0 || reading->f64[SUMMARY_N_POS_INF] > 0 ||
               reading->f64[SUMMARY_N_NEG_INF] > 0);
}

/* ---- keeping and telling ---- */

static struct stream *stream_of(const struct run *run, const struct alarm_stream *judged)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (run->streams[i]->alarm == judged) {
            return run->streams[i];
        }
    }
    return NULL;
}

static void keep_alert(
    struct barod *barod, struct run *run, Baro__Alert *alert, struct stream *stream)
{
    registry_add_alert(&barod->registry, run, alert);
    registry_save_alert(barod->open, run, alert);
    barod_open_bundle(barod);
    count(&barod->counters, COUNT_ALERTS, 1);
    log_info("alert run=%" PRIu32 " step=%" PRId64 " kind=%s: %s", alert->run, alert->step,
        alert->kind, alert->text);
    const struct thing *thing = registry_thing(run, alert->thing);
    if (stream != NULL && thing != NULL) {
        attention_on_alert(stream, thing);
    }
    live_alert(barod, alert);
}

/* An incident as it is known until now; NULL: it is new. */
static const Baro__Incident *known_incident(const struct run *run, uint64_t id)
{
    for (uint32_t i = run->n_incidents; i > 0; i--) {
        if (run->incidents[i - 1]->id == id) {
            return run->incidents[i - 1];
        }
    }
    return NULL;
}

/* Keep and tell all that the judges of a run have found. */
static void publish(struct barod *barod, struct run *run)
{
    const struct alarm_stream *judged = NULL;
    Baro__Alert *alert;
    while ((alert = alarm_take(run->alarm, &judged)) != NULL) {
        keep_alert(barod, run, alert, stream_of(run, judged));
    }
    Baro__Incident *incident;
    while ((incident = alarm_take_incident(run->alarm)) != NULL) {
        incident->run = run->number;
        notify_on_incident(
            barod->notify, run->description, known_incident(run, incident->id), incident);
        registry_put_incident(&barod->registry, run, incident);
        registry_save_incident(barod->open, incident);
        barod_open_bundle(barod);
        log_info("incident run=%" PRIu32 " id=%" PRIu64 " %s: %s", run->number,
            incident->id, incident->is_open ? "open" : "closed", incident->headline);
        live_incident(barod, incident);
    }
    uint64_t n_withheld = alarm_n_withheld(run->alarm);
    count(&barod->counters, COUNT_ALERTS_WITHHELD, n_withheld - run->n_withheld_told);
    run->n_withheld_told = n_withheld;
}

/* ---- judges ---- */

void rules_on_declare(struct stream *stream, const struct thing *thing)
{
    if (stream->alarm != NULL) {
        alarm_declare(stream->alarm, thing->id, thing->declare);
    }
}

/* Make the judge of a stream, or make it again. */
static void open_judge(struct barod *barod, struct stream *stream)
{
    struct run *run = stream->run;
    if (run->alarm == NULL) {
        run->alarm = alarm_create(barod->rules);
        run->n_withheld_told = 0;
        alarm_expect_ranks(run->alarm, run->description->n_ranks);
        alarm_resume(
            run->alarm, run->alerts, run->n_alerts, run->incidents, run->n_incidents);
    }
    stream->alarm = alarm_add_stream(run->alarm, stream->hello->rank);
    for (uint32_t i = 0; i < stream->map_size; i++) {
        if (stream->map[i] != NULL) {
            rules_on_declare(stream, stream->map[i]);
        }
    }
    if (stream->is_past) {
        rules_warm(barod, stream);
    }
    stream->is_past = true; /* from now on there is something to see again */
}

/* Let the judges of a run go: what they know comes back from the store. */
static void close_judges(struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        run->streams[i]->alarm = NULL;
    }
    alarm_destroy(run->alarm);
    run->alarm = NULL;
}

static bool is_over(const struct stream *stream)
{
    return stream->status == BARO__RUN_STATUS__RUN_FINISHED ||
           stream->status == BARO__RUN_STATUS__RUN_FAILED ||
           stream->status == BARO__RUN_STATUS__RUN_KILLED;
}

static bool is_run_over(const struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (!is_over(run->streams[i])) {
            return false;
        }
    }
    return true;
}

/* Complete what is known of a stream's steps. */
static void end_judging(
    struct barod *barod, struct stream *stream, enum judge_end why, const char *reason)
{
    struct run *run = stream->run;
    if (stream->alarm == NULL) {
        open_judge(barod, stream);
    }
    alarm_end(stream->alarm, why, reason, stream->last_time_ns);
    stream->is_paused = true;
    if (is_run_over(run)) {
        alarm_close(run->alarm);
    }
    publish(barod, run);
}

/* ---- readings ---- */

/* Non-finite values are looked at closely at once, before their step is complete. */
static void watch_nonfinite(
    struct stream *stream, const struct thing *thing, const struct reading *reading)
{
    if (!rules_is_nonfinite(reading)) {
        return;
    }
    int64_t step = reading->header.step;
    bool is_calm = !stream->has_bad || step < stream->bad_step ||
                   step - stream->bad_step > BAD_CALM_STEPS;
    stream->has_bad = true;
    stream->bad_step = step;
    if (is_calm) {
        attention_on_alert(stream, thing);
    }
}

void rules_on_reading(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading)
{
    if (reading->header.kind == READING_DROPS) {
        return;
    }
    if (stream->alarm == NULL) {
        open_judge(barod, stream);
    }
    if (thing != NULL) {
        watch_nonfinite(stream, thing, reading);
    }
    stream->judged_ns = barod->now_ns;
    stream->is_paused = false;
    bool is_news = alarm_reading(stream->alarm, reading, thing != NULL ? thing->id : 0);
    if (is_news) {
        publish(barod, stream->run);
    }
    if (reading->header.kind == READING_STATUS) {
        bool is_failed = stream->status == BARO__RUN_STATUS__RUN_FAILED;
        end_judging(barod, stream, is_failed ? JUDGE_END_FAILED : JUDGE_END_FINISHED,
            is_failed ? stream->status_text : NULL);
    }
}

void rules_on_trouble(struct barod *barod, struct stream *stream, enum judge_end why)
{
    if (stream->last_seq > 0 && !stream->is_superseded) {
        end_judging(barod, stream, why, NULL);
    }
}

void rules_change(struct barod *barod, const struct rule_book *book)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        if (run->alarm == NULL) {
            continue;
        }
        for (uint32_t k = 0; k < run->n_streams; k++) {
            struct stream *stream = run->streams[k];
            if (stream->alarm != NULL && !stream->is_paused) {
                stream->is_paused = true;
                alarm_end(stream->alarm, JUDGE_END_PAUSED, NULL, stream->last_time_ns);
            }
        }
        publish(barod, run);
        close_judges(run);
    }
    barod->rules = book;
}

/* How long a step may be quiet before it is judged as it is. */
static uint64_t wait_ns(const struct stream *stream)
{
    uint32_t n = stream->n_paces < STREAM_N_PACES ? stream->n_paces : STREAM_N_PACES;
    double wait_s = 1e-3 * MIN_WAIT_MS;
    if (n > 0) {
        float paces[STREAM_N_PACES];
        memcpy(paces, stream->paces, n * sizeof paces[0]);
        qsort(paces, n, sizeof paces[0], baro_by_float);
        wait_s = fmin(fmax(wait_s, WAIT_PACES * (double)paces[n / 2]), 1e9);
    }
    return (uint64_t)(wait_s * 1e9);
}

static void tick_stream(struct barod *barod, struct stream *stream)
{
    if (stream->alarm == NULL || stream->is_paused ||
        barod->now_ns - stream->judged_ns < wait_ns(stream)) {
        return;
    }
    stream->is_paused = true;
    alarm_end(stream->alarm, JUDGE_END_PAUSED, NULL, stream->last_time_ns);
    publish(barod, stream->run);
}

/* Tell whether nothing has come of a run that is over for a while. */
static bool is_done_with(const struct barod *barod, const struct run *run)
{
    if (run->alarm == NULL || !is_run_over(run)) {
        return false;
    }
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (barod->now_ns - run->streams[i]->judged_ns < KEEP_S * UINT64_C(1000000000)) {
            return false;
        }
    }
    return true;
}

void rules_tick(struct barod *barod)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            tick_stream(barod, run->streams[k]);
        }
        if (is_done_with(barod, run)) {
            close_judges(run);
        }
    }
}
