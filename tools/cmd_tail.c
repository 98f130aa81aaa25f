/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro tail: live values and alerts of one run. It subscribes first and then reads the last steps
 * from the store, so that nothing falls between; what both bring is recognised by its time. When
 * the daemon has been away, what was missed is read from the store in the same way.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"
#include "lib/link/link.h"
#include "tools/alerts.h"
#include "tools/cli.h"
#include "tools/follow.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"
#include "tools/tail_view.h"

enum {
    TAIL_STEPS = 10, /* of history at the start */
    TAIL_SERIES_A_QUESTION = 256,
    TAIL_SETTLE_MS =
        300, /* longer than a group commit: what came before is in the store then */
    TAIL_POLL_MS = 500,
    TAIL_PENDING_POLL_MS = 50,
    TAIL_ALERTS_AT_START = 3,
    TAIL_EVENTS_AT_START = 20
};

/* One series that is shown. */
struct tailed {
    uint32_t thing;
    uint32_t kind; /* enum reading_kind */
    uint32_t stat;
    size_t view_idx;
    int64_t last_time_ns; /* of what has been shown */
};

struct tail {
    struct cli *cli;
    struct follow follow;
    struct tail_view *view;
    const char *glob; /* NULL: all scalars of the training */
    struct tailed *series;
    size_t n_series;
    uint64_t last_alert;
    uint64_t incident;     /* shown last, */
    char *headline;        /* and what it said; NULL: none */
    int64_t last_event_ns; /* newest shown */
    int64_t
        past_event_ns; /* newest read from the store; what is live and older has been shown */
    int64_t last_step; /* newest shown; -1: none */
    bool has_ended;
};

/* One point of history, to be shown in the order of time. */
struct past {
    int64_t time_ns;
    int64_t step;
    double value;
    size_t idx; /* in tail.series */
};

/* ---- which series ---- */

static void add_series(struct tail *tail, const Baro__ThingInfo *thing, const char *label,
    uint32_t kind, uint32_t stat)
{
    for (size_t i = 0; i < tail->n_series; i++) {
        const struct tailed *known = &tail->series[i];
        if (known->thing == thing->thing && known->kind == kind && known->stat == stat) {
            return;
        }
    }
    tail->series = baro_xrealloc(tail->series, tail->n_series + 1, sizeof *tail->series);
    tail->series[tail->n_series++] = (struct tailed){.thing = thing->thing,
        .kind = kind,
        .stat = stat,
        .view_idx = tail_view_add(tail->view, label, thing->rank)};
}

/* Take up a thing as far as the glob asks for it. */
static void consider(struct tail *tail, const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    char full[SERIES_LABEL_BYTES + 32];
    (void)thing_label(thing, label);
    if (!thing_is_tensor(thing)) {
        bool is_wanted = tail->glob != NULL ? baro_glob(tail->glob, label)
                                            : !thing_is_run(thing) && !thing_is_own(thing);
        if (is_wanted) {
            add_series(
                tail, thing, label, thing_is_run(thing) ? READING_STEP : READING_SCALAR, 0);
        }
        return;
    }
    bool is_whole = tail->glob != NULL && baro_glob(tail->glob, label);
    for (uint32_t stat = 0; tail->glob != NULL && stat < SUMMARY_STAT_COUNT; stat++) {
        (void)snprintf(full, sizeof full, "%s/%s", label, summary_stat_name((int)stat));
        if (is_whole ? stat == SUMMARY_L2 : baro_glob(tail->glob, full)) {
            char epoch[SERIES_LABEL_BYTES];
            (void)snprintf(full, sizeof full, "%s/%s", thing_epoch_label(thing, epoch),
                summary_stat_name((int)stat));
            add_series(tail, thing, full, READING_SUMMARY, stat);
        }
    }
}

static int ask_series(struct tail *tail)
{
    struct thing_list things;
    int rc = things_ask(tail->cli, tail->follow.run, NULL, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; i < things.n_things; i++) {
        /* The loss first: it is what one looks for. */
        if (!thing_is_run(things.things[i]) &&
            strcmp(things.things[i]->declare->name, "loss") == 0) {
            consider(tail, things.things[i]);
        }
    }
    for (size_t i = 0; i < things.n_things; i++) {
        consider(tail, things.things[i]);
    }
    Baro__ThingInfo run_itself = BARO__THING_INFO__INIT;
    if (tail->glob != NULL) {
        consider(tail, &run_itself);
    }
    things_release(&things);
    return CLI_OK;
}

/* ---- values ---- */

static void show_value(
    struct tail *tail, struct tailed *series, int64_t step, int64_t time_ns, double value)
{
    if (time_ns <= series->last_time_ns) {
        return;
    }
    series->last_time_ns = time_ns;
    tail->last_step = step;
    tail_view_value(tail->view, series->view_idx, step, time_ns, value);
}

static int compare_past(const void *a, const void *b)
{
    const struct past *left = a;
    const struct past *right = b;
    if (left->time_ns != right->time_ns) {
        return left->time_ns < right->time_ns ? -1 : 1;
    }
    return left->idx < right->idx ? -1 : left->idx > right->idx;
}

/* Append the points of one raw frame. */
static struct past *append_past(
    struct past *past, size_t *n_past, const struct link_frame *frame, size_t idx)
{
    struct {
        int64_t step;
        int64_t time_ns;
        double value;
    } point;
    size_t n = frame->n_bytes / sizeof point;
    past = baro_xrealloc(past, *n_past + n + 1, sizeof *past);
    for (size_t i = 0; i < n; i++) {
        memcpy(&point, frame->bytes + i * sizeof point, sizeof point);
        past[(*n_past)++] = (struct past){point.time_ns, point.step, point.value, idx};
    }
    return past;
}

/* Read from the store what up to 256 series have from a step on. */
static int ask_past(
    struct tail *tail, size_t first, int64_t from_step, struct past **past, size_t *n_past)
{
    struct baro_err err = {0};
    Baro__SeriesRef references[TAIL_SERIES_A_QUESTION];
    Baro__SeriesRef *pointers[TAIL_SERIES_A_QUESTION];
    size_t n = tail->n_series - first;
    n = n < TAIL_SERIES_A_QUESTION ? n : TAIL_SERIES_A_QUESTION;
    for (size_t i = 0; i < n; i++) {
        references[i] = (Baro__SeriesRef)BARO__SERIES_REF__INIT;
        references[i].thing = tail->series[first + i].thing;
        references[i].kind = tail->series[first + i].kind;
        references[i].stat = tail->series[first + i].stat;
        pointers[i] = &references[i];
    }
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = tail->follow.run;
    body.n_series = n;
    body.series = pointers;
    body.from_step = from_step;
    body.to_step = INT64_MAX;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    struct link_message reply;
    if (link_ask(tail->cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    for (size_t i = 0; i < n && i < reply.n_frames; i++) {
        *past = append_past(*past, n_past, &reply.frames[i], first + i);
    }
    link_message_release(&reply);
    return CLI_OK;
}

static int catch_up(struct tail *tail, int64_t from_step)
{
    baro_autofree struct past *past = NULL;
    size_t n_past = 0;
    for (size_t i = 0; i < tail->n_series; i += TAIL_SERIES_A_QUESTION) {
        int rc = ask_past(tail, i, from_step, &past, &n_past);
        if (rc != CLI_OK) {
            return rc;
        }
    }
    if (n_past > 0) {
        qsort(past, n_past, sizeof *past, compare_past);
    }
    tail_view_set_merging(tail->view, false);
    for (size_t i = 0; i < n_past; i++) {
        show_value(
            tail, &tail->series[past[i].idx], past[i].step, past[i].time_ns, past[i].value);
    }
    tail_view_set_merging(tail->view, true);
    return CLI_OK;
}

/* ---- live messages ---- */

/* An incident is one line, written again when it says more. */
static void show_incident(struct tail *tail, const Baro__Incident *incident)
{
    if (incident == NULL || incident->run != tail->follow.run) {
        return;
    }
    bool is_known = tail->incident == incident->id && tail->headline != NULL &&
                    strcmp(tail->headline, incident->headline) == 0;
    bool is_old = incident->id < tail->incident && !incident->is_open;
    if (is_known || is_old) {
        return;
    }
    free(tail->headline);
    tail->headline = baro_xstrdup(incident->headline);
    tail->incident = incident->id;
    if (tail->cli->values.is_json) {
        json_print(&tail->cli->out, incident_to_json(incident));
        return;
    }
    tail_view_flush(tail->view, true);
    incident_print_line(&tail->cli->out, incident);
}

static void show_alert(struct tail *tail, const Baro__Alert *alert)
{
    if (alert == NULL || alert->run != tail->follow.run || alert->id <= tail->last_alert) {
        return;
    }
    tail->last_alert = alert->id;
    if (tail->cli->values.is_json) {
        json_t *object = alert_to_json(alert);
        (void)json_object_set_new(object, "type", json_string("alert"));
        json_print(&tail->cli->out, object);
        return;
    }
    if (alert->incident == 0) { /* else its incident is shown */
        tail_view_flush(tail->view, true);
        alert_print(&tail->cli->out, alert);
    }
}

static void show_event(struct tail *tail, const struct reading *reading)
{
    char text[READING_MAX_TEXT_BYTES + 1];
    int64_t time_ns = reading->header.time_ns;
    tail->last_event_ns = time_ns > tail->last_event_ns ? time_ns : tail->last_event_ns;
    size_t n = reading->extra_bytes < READING_MAX_TEXT_BYTES ? reading->extra_bytes
                                                             : READING_MAX_TEXT_BYTES;
    memcpy(text, reading->extra, n);
    text[n] = '\0';
    if (tail->cli->values.is_json) {
        json_print(&tail->cli->out,
            json_pack("{s:s, s:I, s:I, s:o}", "type", "event", "step",
                (json_int_t)reading->header.step, "time_ns",
                (json_int_t)reading->header.time_ns, "text", json_text(text)));
        return;
    }
    tail_view_note(tail->view, reading->f64[0] >= BARO_WATCH ? TERM_WARN : TERM_ACCENT,
        "%s %lld: %s", term_mark(&tail->cli->out, "◆ step", "* step"),
        (long long)reading->header.step, text);
}

static void take_reading(struct tail *tail, const struct reading *reading)
{
    const struct record_header *header = &reading->header;
    if (header->kind == READING_EVENT) {
        if (header->time_ns > tail->past_event_ns) {
            show_event(tail, reading);
        }
        return;
    }
    if (header->kind == READING_DROPS) {
        tail_view_note(tail->view, TERM_WARN,
            "the training's ring had no room for %.0f records: they are dropped",
            reading->f64[0]);
        return;
    }
    for (size_t i = 0; i < tail->n_series; i++) {
        struct tailed *series = &tail->series[i];
        if (series->thing == header->thing && series->kind == header->kind &&
            series->stat < reading->n_f64) {
            show_value(
                tail, series, header->step, header->time_ns, reading->f64[series->stat]);
        }
    }
}

static void take_records(struct tail *tail, const struct link_message *message)
{
    const Baro__LiveRecords *live = message->wire.envelope->live_records;
    if (live->run != tail->follow.run || message->n_frames < 1) {
        return;
    }
    if (live->n_left_out > 0) {
        tail_view_note(tail->view, TERM_DIM,
            "%llu values came too fast to show; 'baro get' has them",
            (unsigned long long)live->n_left_out);
    }
    const uint8_t *cursor = message->frames[0].bytes;
    const uint8_t *end = cursor + message->frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        struct reading reading;
        /* Units are not shown here; their number is not known, nor needed. */
        if (header.kind != READING_UNITS &&
            reading_check(&header, payload, 0, 0, &reading, NULL) == 0) {
            take_reading(tail, &reading);
        }
    }
}

static void take_run(struct tail *tail, const Baro__RunInfo *info)
{
    if (info == NULL || info->run != tail->follow.run) {
        return;
    }
    bool is_news = info->status != tail->follow.status;
    follow_note(&tail->follow, info);
    tail->has_ended = run_has_ended(info->status);
    if (is_news && !tail->has_ended) {
        tail_view_note(tail->view, run_status_paint(info->status), "%s is %s",
            tail->follow.name, run_status_name(info->status));
    }
}

static void take_message(struct tail *tail, const struct link_message *message)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RECORDS) {
        take_records(tail, message);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_ALERT) {
        show_alert(tail, envelope->live_alert->alert);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_INCIDENT) {
        show_incident(tail, envelope->live_incident->incident);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RUN) {
        take_run(tail, envelope->live_run->run);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_THINGS &&
               envelope->live_things->run == tail->follow.run) {
        for (size_t i = 0; i < envelope->live_things->n_things; i++) {
            consider(tail, envelope->live_things->things[i]);
        }
    }
}

/* ---- the whole ---- */

/* Stored alerts that have not been shown; at the start only the newest few. */
static int catch_up_alerts(struct tail *tail, size_t max_shown)
{
    struct link_message reply;
    const Baro__AlertsReply *alerts = alerts_ask(tail->cli, tail->follow.run, &reply);
    if (alerts == NULL) {
        return CLI_FAILED;
    }
    size_t n = alerts->n_alerts;
    for (size_t i = n > max_shown ? n - max_shown : 0; i < n; i++) {
        show_alert(tail, alerts->alerts[i]);
    }
    n = alerts->n_incidents;
    for (size_t i = n > max_shown ? n - max_shown : 0; i < n; i++) {
        show_incident(tail, alerts->incidents[i]);
    }
    link_message_release(&reply);
    return CLI_OK;
}

/* Stored events that have not been shown, the newest few of them. */
static int catch_up_events(struct tail *tail)
{
    struct baro_err err = {0};
    struct link_message reply;
    Baro__RowsRequest body = BARO__ROWS_REQUEST__INIT;
    body.run = tail->follow.run;
    body.kind = READING_EVENT;
    body.to_step = INT64_MAX;
    body.limit = TAIL_EVENTS_AT_START;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &body;
    if (link_ask(tail->cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    const uint8_t *cursor = reply.n_frames > 0 ? reply.frames[0].bytes : NULL;
    const uint8_t *end = reply.n_frames > 0 ? cursor + reply.frames[0].n_bytes : NULL;
    const uint8_t *payload;
    struct record_header header;
    int64_t shown_ns = tail->last_event_ns;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        struct reading reading;
        if (header.kind == READING_EVENT && header.time_ns > shown_ns &&
            reading_check(&header, payload, 0, 0, &reading, NULL) == 0) {
            show_event(tail, &reading);
        }
    }
    tail->past_event_ns = tail->last_event_ns;
    link_message_release(&reply);
    return CLI_OK;
}

/* Show what the store has of what has not been shown yet. */
static int catch_up_all(struct tail *tail, int64_t from_step, size_t max_alerts)
{
    int rc = catch_up(tail, from_step);
    rc = rc == CLI_OK ? catch_up_events(tail) : rc;
    return rc == CLI_OK ? catch_up_alerts(tail, max_alerts) : rc;
}

static void print_status(struct tail *tail)
{
    const struct follow *follow = &tail->follow;
    if (tail->cli->values.is_json) {
        json_print(&tail->cli->out,
            json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "type", "status", "run", follow->id,
                "status", run_status_name(follow->status), "last_step",
                (json_int_t)follow->last_step, "last_loss", json_number(follow->last_loss),
                "text", json_text_or_null(follow->reason)));
        return;
    }
    tail_view_note(tail->view, run_status_paint(follow->status),
        "%s %s at step %lld, loss %.6g%s%s", follow->name, run_status_name(follow->status),
        (long long)follow->last_step, cli_number(follow->last_loss),
        follow->reason[0] != '\0' ? ": " : "", follow->reason);
}

/* Let the store commit what came before the subscription. */
static void settle(void)
{
    struct timespec pause = {.tv_nsec = TAIL_SETTLE_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static int begin(struct tail *tail)
{
    if (tail->cli->out.is_tty && !tail->cli->values.is_json) {
        (void)printf("%s%s%s (%s%s%s)\n", term_paint(&tail->cli->out, TERM_BOLD),
            tail->follow.name, term_paint(&tail->cli->out, TERM_PLAIN),
            term_paint(&tail->cli->out, run_status_paint(tail->follow.status)),
            run_status_name(tail->follow.status), term_paint(&tail->cli->out, TERM_PLAIN));
    }
    tail->has_ended = run_has_ended(tail->follow.status);
    if (!tail->has_ended) {
        settle();
    }
    int rc = ask_series(tail);
    if (rc == CLI_OK && tail->n_series == 0 && tail->glob != NULL && tail->has_ended) {
        return cli_fail("nothing matches '%s'; 'baro series' lists all", tail->glob);
    }
    return rc == CLI_OK ? catch_up_all(tail, tail->follow.last_step - TAIL_STEPS + 1,
                              TAIL_ALERTS_AT_START)
                        : rc;
}

/* One turn: whether the daemon is there, then one message. Returns CLI_OK to go on. */
static int turn(struct tail *tail)
{
    struct baro_err err = {0};
    enum follow_news news = follow_check(&tail->follow);
    if (news == FOLLOW_LOST_RUN) {
        return CLI_FAILED;
    }
    if (news == FOLLOW_BACK) {
        tail->has_ended = run_has_ended(tail->follow.status);
        settle();
        int rc = ask_series(tail);
        rc = rc == CLI_OK ? catch_up_all(tail, tail->last_step, SIZE_MAX) : rc;
        if (rc != CLI_OK) {
            return rc;
        }
    }
    struct link_message message;
    int wait_ms = tail_view_is_pending(tail->view) ? TAIL_PENDING_POLL_MS : TAIL_POLL_MS;
    int rc = link_next(tail->cli->link, wait_ms, &message, &err);
    if (rc < 0) {
        return cli_fail_err(&err);
    }
    if (rc > 0) {
        take_message(tail, &message);
        link_message_release(&message);
    }
    tail_view_flush(tail->view, false);
    return CLI_OK;
}

int cmd_tail(struct cli *cli)
{
    struct tail tail = {.cli = cli, .last_step = -1};
    tail.glob = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
    int rc = follow_begin(
        cli, cli->n_arguments > 0 ? cli->arguments[0] : NULL, true, &tail.follow);
    if (rc != CLI_OK) {
        return rc;
    }
    tail.view = tail_view_create(cli);
    rc = begin(&tail);
    while (rc == CLI_OK && !follow_is_interrupted() &&
           (!tail.has_ended || cli->values.is_follow)) {
        rc = turn(&tail);
    }
    if (rc == CLI_OK && tail.has_ended) {
        rc = catch_up_all(&tail, tail.last_step, SIZE_MAX);
    }
    if (rc == CLI_OK) {
        tail_view_flush(tail.view, true);
        print_status(&tail);
    }
    tail_view_destroy(tail.view);
    free(tail.headline);
    free(tail.series);
    follow_end(&tail.follow);
    return rc;
}
