/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/live.h"
#include "daemon/notes.h"
#include "daemon/notify.h"
#include "daemon/query.h"
#include "daemon/range.h"
#include "daemon/sample.h"
#include "daemon/steer.h"
#include "daemon/tasks.h"
#include "daemon/upkeep.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "control"

static void reply(struct barod *barod, const struct peer *peer, Baro__Envelope *envelope)
{
    count(&barod->counters, COUNT_REQUESTS, 1);
    if (outbox_send(barod->socket, peer, envelope, NULL, 0) != 0) {
        count(&barod->counters, COUNT_REPLIES_LOST, 1);
    }
}

static void refuse(struct barod *barod, const struct peer *peer, uint64_t request,
    const struct baro_err *err)
{
    count(&barod->counters, COUNT_BAD_REQUEST, 1);
    (void)outbox_refuse(barod->socket, peer, request, err->code, err->text);
}

/* ---- answered from memory ---- */

static void answer_status(struct barod *barod, const struct peer *peer, uint64_t request)
{
    barod->counters.values[COUNT_SAMPLES_ENDED] = tasks_n_ended(barod->tasks);
    struct notify_figures notified;
    notify_read(barod->notify, &notified);
    barod->counters.values[COUNT_NOTIFIED] = notified.n_sent;
    barod->counters.values[COUNT_NOTIFY_FAILED] = notified.n_failed;
    barod->counters.values[COUNT_NOTIFY_HELD_BACK] = notified.n_held_back;
    Baro__StatusReply status;
    baro__status_reply__init(&status);
    Baro__Counter counters[COUNTER_COUNT];
    Baro__Counter *pointers[COUNTER_COUNT];
    for (int i = 0; i < COUNTER_COUNT; i++) {
        const struct counter_text *text = counter_text((enum counter)i);
        baro__counter__init(&counters[i]);
        counters[i].name = (char *)(uintptr_t)text->name;
        counters[i].sentence = (char *)(uintptr_t)text->sentence;
        counters[i].unit = (char *)(uintptr_t)text->unit;
        counters[i].value = barod->counters.values[i];
        pointers[i] = &counters[i];
    }
    char trouble[256];
    committer_trouble(barod->committer, trouble, sizeof trouble);
    static char version[] = BAROGRAPH_VERSION;
    status.daemon_version = version;
    status.pid = (uint32_t)getpid();
    status.dir = (char *)(uintptr_t)barod->options->dir;
    status.endpoints = (char **)(uintptr_t)barod->options->endpoints;
    status.n_endpoints = barod->options->n_endpoints;
    status.started_ns = barod->started_ns;
    status.n_runs = barod->registry.n_runs;
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        status.n_running +=
            barod->registry.runs[i]->status == BARO__RUN_STATUS__RUN_RUNNING ? 1 : 0;
        status.n_damaged += barod->registry.runs[i]->n_damaged;
    }
    status.store_bytes = store_bytes(barod->store);
    status.quota_bytes = barod->options->quota_bytes;
    status.free_bytes = store_free_bytes(barod->store);
    status.is_exact = barod->options->is_exact;
    status.n_counters = COUNTER_COUNT;
    status.counters = pointers;
    status.trouble = trouble;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_STATUS_REPLY;
    envelope.status_reply = &status;
    reply(barod, peer, &envelope);
}

static void answer_runs(struct barod *barod, const struct peer *peer, uint64_t request)
{
    uint32_t n = barod->registry.n_runs;
    baro_autofree Baro__RunInfo *infos = baro_xcalloc(n > 0 ? n : 1, sizeof *infos);
    baro_autofree Baro__RunInfo **pointers =
        baro_xcalloc(n > 0 ? n : 1, sizeof(Baro__RunInfo *));
    for (uint32_t i = 0; i < n; i++) {
        registry_describe_run(barod->registry.runs[n - 1 - i], &infos[i]);
        pointers[i] = &infos[i];
    }
    Baro__RunsReply runs;
    baro__runs_reply__init(&runs);
    runs.n_runs = n;
    runs.runs = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_RUNS_REPLY;
    envelope.runs_reply = &runs;
    reply(barod, peer, &envelope);
}

static int compare_alerts(const void *a, const void *b)
{
    const Baro__Alert *x = *(Baro__Alert *const *)a;
    const Baro__Alert *y = *(Baro__Alert *const *)b;
    if (x->step != y->step) {
        return x->step < y->step ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

static void answer_alerts(
    struct barod *barod, const struct peer *peer, uint64_t request, const struct run *run)
{
    size_t n = run->n_alerts;
    baro_autofree Baro__Alert **sorted = baro_xcalloc(n > 0 ? n : 1, sizeof(Baro__Alert *));
    if (n > 0) {
        memcpy(sorted, run->alerts, n * sizeof(Baro__Alert *));
        qsort(sorted, n, sizeof(Baro__Alert *), compare_alerts);
    }
    Baro__AlertsReply alerts;
    baro__alerts_reply__init(&alerts);
    alerts.n_alerts = n;
    alerts.alerts = sorted;
    alerts.n_incidents = run->n_incidents;
    alerts.incidents = run->incidents;
    baro_autofree Baro__StreamMark *marks =
        baro_xcalloc((size_t)run->n_streams + 1, sizeof *marks);
    baro_autofree Baro__StreamMark **pointers =
        baro_xcalloc((size_t)run->n_streams + 1, sizeof(Baro__StreamMark *));
    for (uint32_t i = 0; i < run->n_streams; i++) {
        const struct stream *stream = run->streams[i];
        baro__stream_mark__init(&marks[i]);
        marks[i].rank = stream->hello->rank;
        marks[i].created_ns = stream->created_ns;
        marks[i].status = stream->status;
        if (stream->status_text != NULL) {
            marks[i].status_text = stream->status_text;
        }
        pointers[i] = &marks[i];
    }
    alerts.n_streams = run->n_streams;
    alerts.streams = pointers;
    if (barod->options->rules_path != NULL) {
        alerts.rules = barod->options->rules_path;
    }
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_ALERTS_REPLY;
    envelope.alerts_reply = &alerts;
    reply(barod, peer, &envelope);
}

static void answer_subscribe(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__SubscribeRequest *subscribe, struct run *run)
{
    live_subscribe(barod, peer, run, subscribe);
    Baro__SubscribeReply subscribed;
    baro__subscribe_reply__init(&subscribed);
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REPLY;
    envelope.subscribe_reply = &subscribed;
    reply(barod, peer, &envelope);
}

void control_confirm_shutdown(struct barod *barod)
{
    if (barod->stop_peer.n_bytes == 0) {
        return;
    }
    Baro__ShutdownReply done;
    baro__shutdown_reply__init(&done);
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = barod->stop_request;
    envelope.body_case = BARO__ENVELOPE__BODY_SHUTDOWN_REPLY;
    envelope.shutdown_reply = &done;
    reply(barod, &barod->stop_peer, &envelope);
}

/* ---- answered by workers ---- */

static void submit(struct barod *barod, const struct peer *peer, uint64_t request,
    struct job *job, struct baro_err *err)
{
    if (job == NULL) {
        refuse(barod, peer, request, err);
        return;
    }
    job->peer = *peer;
    job->request = request;
    if (query_submit(barod->queries, job) != 0) {
        (void)baro_err_set(
            err, BARO_EBUSY, "too many questions are waiting: ask again later");
        refuse(barod, peer, request, err);
        query_end(job);
    }
}

/* A question that is answered bit by bit. */
static void submit_task(struct barod *barod, const struct peer *peer, uint64_t request,
    struct task *task, bool is_paced, struct baro_err *err)
{
    if (task == NULL) {
        refuse(barod, peer, request, err);
        return;
    }
    task->peer = *peer;
    task->request = request;
    task->is_paced = is_paced;
    if (tasks_submit(barod->tasks, task, err) != 0) {
        refuse(barod, peer, request, err);
        task->destroy(task);
        return;
    }
    count(&barod->counters, COUNT_SAMPLES, 1);
}

/* Send what a worker answered. */
static void send_done(struct barod *barod, struct job *job)
{
    int rc = 0;
    if (job->packed == NULL) {
        refuse(barod, &job->peer, job->request, &job->err);
    } else {
        uint8_t *packed = BARO_TAKE(job->packed);
        size_t n_frames = job->n_frames;
        job->n_frames = 0;
        rc = outbox_send_packed(
            barod->socket, &job->peer, packed, job->n_packed, job->frames, n_frames);
        count(&barod->counters, job->task != 0 ? COUNT_FINDINGS : COUNT_REQUESTS, 1);
        count(&barod->counters, COUNT_REPLIES_LOST, rc != 0 && job->task == 0 ? 1 : 0);
    }
    if (job->task != 0) {
        tasks_on_sent(barod->tasks, job, rc);
    }
    query_end(job);
}

static struct job *take_done(struct barod *barod)
{
    struct job *job = query_take(barod->queries);
    return job != NULL ? job : committer_take_job(barod->committer);
}

void control_send_replies(struct barod *barod)
{
    struct job *job;
    while ((job = take_done(barod)) != NULL) {
        send_done(barod, job);
    }
    upkeep_take_damage(barod);
}

/* Only the store thread may prune; before a dry run it packs the tails, too. */
static void answer_prune(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__PruneRequest *prune)
{
    struct baro_err err = {0};
    struct job *job = upkeep_prune_job(barod, prune, &err);
    if (job == NULL) {
        refuse(barod, peer, request, &err);
        return;
    }
    job->peer = *peer;
    job->request = request;
    upkeep_submit(barod, job);
}

/* ---- notifications ---- */

static void begin_test(struct barod *barod, const struct peer *peer, uint64_t request)
{
    struct baro_err err = {0};
    if (notify_test(barod->notify, &err) != 0) {
        refuse(barod, peer, request, &err);
        return;
    }
    barod->notify_peer = *peer;
    barod->notify_request = request;
}

void control_send_test(struct barod *barod)
{
    struct notify_result results[NOTIFY_MAX_TARGETS];
    size_t n = notify_take_test(barod->notify, results);
    if (n == 0) {
        return;
    }
    Baro__NotifyResult messages[NOTIFY_MAX_TARGETS];
    Baro__NotifyResult *pointers[NOTIFY_MAX_TARGETS];
    for (size_t i = 0; i < n; i++) {
        baro__notify_result__init(&messages[i]);
        messages[i].way = results[i].way;
        messages[i].is_good = results[i].is_good;
        messages[i].text = results[i].text;
        messages[i].took_ms = results[i].took_ms;
        pointers[i] = &messages[i];
    }
    Baro__NotifyReply body;
    baro__notify_reply__init(&body);
    body.n_results = n;
    body.results = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = barod->notify_request;
    envelope.body_case = BARO__ENVELOPE__BODY_NOTIFY_REPLY;
    envelope.notify_reply = &body;
    reply(barod, &barod->notify_peer, &envelope);
}

/* ---- the back channel ---- */

static void answer_control(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__ControlRequest *control, struct run *run)
{
    struct baro_err err = {0};
    Baro__ControlReply body;
    baro__control_reply__init(&body);
    if (steer_on_request(barod, peer, run, control, &body, &err) != 0) {
        refuse(barod, peer, request, &err);
        return;
    }
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_CONTROL_REPLY;
    envelope.control_reply = &body;
    reply(barod, peer, &envelope);
}

/* ---- notes ---- */

static void answer_note(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__NoteRequest *note, struct run *run)
{
    struct baro_err err = {0};
    Baro__NotesReply body;
    baro__notes_reply__init(&body);
    if (notes_on_request(barod, peer, run, note, &body.id, &err) != 0) {
        refuse(barod, peer, request, &err);
        return;
    }
    baro_autofree Baro__Note **notes =
        baro_xcalloc((size_t)run->n_notes + 1, sizeof(Baro__Note *));
    body.n_notes = notes_list(run, notes);
    body.notes = notes;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_NOTES_REPLY;
    envelope.notes_reply = &body;
    reply(barod, peer, &envelope);
}

/* ---- all requests ---- */

/* The run that a request names; 0 for requests without one. */
static uint32_t run_of(const Baro__Envelope *envelope, bool *out_needs_run)
{
    *out_needs_run = true;
    switch ((int)envelope->body_case) { /* most bodies are not asked */
    case BARO__ENVELOPE__BODY_SERIES_REQUEST: return envelope->series_request->run;
    case BARO__ENVELOPE__BODY_RANGE_REQUEST: return envelope->range_request->run;
    case BARO__ENVELOPE__BODY_ROWS_REQUEST: return envelope->rows_request->run;
    case BARO__ENVELOPE__BODY_ALERTS_REQUEST: return envelope->alerts_request->run;
    case BARO__ENVELOPE__BODY_SAMPLE_REQUEST: return envelope->sample_request->run;
    case BARO__ENVELOPE__BODY_CONTROL_REQUEST: return envelope->control_request->run;
    case BARO__ENVELOPE__BODY_NOTE_REQUEST: return envelope->note_request->run;
    case BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST:
        *out_needs_run = envelope->subscribe_request->run != 0;
        return envelope->subscribe_request->run;
    default: *out_needs_run = false; return 0;
    }
}

bool control_on_request(
    struct barod *barod, const struct peer *peer, const Baro__Envelope *envelope)
{
    struct baro_err err = {0};
    uint64_t request = envelope->request;
    bool needs_run = false;
    uint32_t number = run_of(envelope, &needs_run);
    struct run *run = registry_run(&barod->registry, number);
    if (needs_run && run == NULL) {
        (void)baro_err_set(&err, BARO_ENOENT, "there is no run %" PRIu32 " here", number);
        refuse(barod, peer, request, &err);
        return true;
    }
    switch ((int)envelope->body_case) { /* most bodies are not asked */
    case BARO__ENVELOPE__BODY_STATUS_REQUEST: answer_status(barod, peer, request); break;
    case BARO__ENVELOPE__BODY_RUNS_REQUEST: answer_runs(barod, peer, request); break;
    case BARO__ENVELOPE__BODY_ALERTS_REQUEST:
        answer_alerts(barod, peer, request, run);
        break;
    case BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST:
        answer_subscribe(barod, peer, request, envelope->subscribe_request, run);
        break;
    case BARO__ENVELOPE__BODY_SHUTDOWN_REQUEST:
        barod->is_stopping = true;
        barod->stop_peer = *peer;
        barod->stop_request = request;
        break;
    case BARO__ENVELOPE__BODY_SERIES_REQUEST:
        submit(barod, peer, request, series_job(run, envelope->series_request, &err), &err);
        break;
    case BARO__ENVELOPE__BODY_RANGE_REQUEST:
        submit(barod, peer, request,
            range_job(&barod->registry, run, envelope->range_request, &err), &err);
        break;
    case BARO__ENVELOPE__BODY_ROWS_REQUEST:
        submit(barod, peer, request,
            rows_job(&barod->registry, run, envelope->rows_request, &err), &err);
        break;
    case BARO__ENVELOPE__BODY_SAMPLE_REQUEST:
        submit_task(barod, peer, request,
            sample_task(&barod->registry, run, envelope->sample_request, &err),
            envelope->sample_request->is_paced, &err);
        break;
    case BARO__ENVELOPE__BODY_CANCEL_REQUEST:
        tasks_cancel(barod->tasks, peer, envelope->cancel_request->request);
        break;
    case BARO__ENVELOPE__BODY_PRUNE_REQUEST:
        answer_prune(barod, peer, request, envelope->prune_request);
        break;
    case BARO__ENVELOPE__BODY_VERIFY_REQUEST:
        submit(barod, peer, request,
            upkeep_verify_job(barod, envelope->verify_request, &err), &err);
        break;
    case BARO__ENVELOPE__BODY_CONTROL_REQUEST:
        answer_control(barod, peer, request, envelope->control_request, run);
        break;
    case BARO__ENVELOPE__BODY_NOTE_REQUEST:
        answer_note(barod, peer, request, envelope->note_request, run);
        break;
    case BARO__ENVELOPE__BODY_FINDING_TAKEN:
        tasks_on_taken(barod->tasks, peer, envelope->finding_taken->request);
        break;
    case BARO__ENVELOPE__BODY_LIVE_TAKEN:
        live_on_taken(barod, peer, envelope->live_taken);
        break;
    case BARO__ENVELOPE__BODY_NOTIFY_REQUEST: begin_test(barod, peer, request); break;
    default: return false;
    }
    return true;
}
