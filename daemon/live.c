/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "live"

/*
 * Records are gathered once per stream, whoever watches, with the run's thing ids and a new
 * checksum; a flush sends the same bytes to each subscriber of the run. What a full pipe could
 * not take is counted per subscriber and told with its next message. Each buffer is bounded:
 * beyond it records are left out for all, and counted, too.
 */

enum {
    FLUSH_MS = 50,
    RUN_NEWS_MS = 250,            /* a changed run is told at most so often */
    MAX_GATHERED_BYTES = 4 << 20, /* per stream and flush */
    MAX_SUBSCRIPTIONS = 1024
};

struct subscription {
    struct peer peer;
    struct run *run; /* NULL: news of all runs */
    uint64_t n_left_out;
    bool is_gone; /* removed at the end of the flush */
};

struct live {
    struct subscription *subscriptions;
    size_t n;
    uint64_t due_ns; /* 0: nothing waits */
};

struct live *live_create(void)
{
    return baro_xcalloc(1, sizeof(struct live));
}

void live_destroy(struct live *live)
{
    if (live != NULL) {
        free(live->subscriptions);
        free(live);
    }
}

static bool is_same_peer(const struct peer *a, const struct peer *b)
{
    return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

static void drop_stream_buffers(struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        free(run->streams[i]->live);
        run->streams[i]->live = NULL;
        run->streams[i]->live_bytes = run->streams[i]->live_size = 0;
        run->streams[i]->n_live_records = 0;
    }
}

static void remove_at(struct live *live, size_t i)
{
    struct run *run = live->subscriptions[i].run;
    if (run != NULL && --run->n_subscribers == 0) {
        drop_stream_buffers(run);
    }
    live->subscriptions[i] = live->subscriptions[--live->n];
}

void live_subscribe(
    struct barod *barod, const struct peer *peer, struct run *run, bool is_off)
{
    struct live *live = barod->live;
    for (size_t i = 0; i < live->n; i++) {
        if (live->subscriptions[i].run == run &&
            is_same_peer(&live->subscriptions[i].peer, peer)) {
            if (is_off) {
                remove_at(live, i);
            }
            return;
        }
    }
    if (is_off) {
        return;
    }
    if (live->n >= MAX_SUBSCRIPTIONS) {
        remove_at(live, 0); /* the oldest; most likely long gone */
    }
    live->subscriptions =
        baro_xrealloc(live->subscriptions, live->n + 1, sizeof *live->subscriptions);
    live->subscriptions[live->n++] = (struct subscription){.peer = *peer, .run = run};
    if (run != NULL && run->n_subscribers++ == 0) {
        run->n_told_things = run->n_things; /* a SeriesRequest tells of those */
    }
}

void live_review(struct barod *barod)
{
    struct live *live = barod->live;
    for (size_t i = live->n; i-- > 0;) {
        if (access_check(
                barod->access, &live->subscriptions[i].peer, KEYS_VIEW, "", NULL) != 0) {
            remove_at(live, i);
        }
    }
}

static void wake(struct barod *barod)
{
    if (barod->live->due_ns == 0) {
        barod->live->due_ns = barod->now_ns + FLUSH_MS * UINT64_C(1000000);
    }
}

void live_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading)
{
    if (barod->live->n == 0) {
        return;
    }
    wake(barod); /* at least for the run that changed */
    if (stream->run->n_subscribers == 0) {
        return;
    }
    if (reading->header.kind == READING_PROBE || reading->header.kind == READING_FAILURE) {
        return; /* it is large: who wants it asks; the run's news tell that there is more */
    }
    size_t n_bytes = record_bytes(reading->header.payload_bytes);
    if (stream->live_bytes + n_bytes > MAX_GATHERED_BYTES) {
        stream->n_live_left_out++;
        return;
    }
    if (stream->live_bytes + n_bytes > stream->live_size) {
        stream->live_size = stream->live_size > 0 ? 2 * stream->live_size : 64 << 10;
        while (stream->live_size < stream->live_bytes + n_bytes) {
            stream->live_size *= 2;
        }
        stream->live = baro_xrealloc(stream->live, stream->live_size, 1);
    }
    uint8_t *record = stream->live + stream->live_bytes;
    struct record_header header = reading->header;
    header.bytes = (uint32_t)n_bytes;
    memset(record + n_bytes - 8, 0, 8);
    memcpy(record + RECORD_HEADER_BYTES, reading->f64, header.payload_bytes);
    memcpy(record, &header, sizeof header);
    uint32_t check = record_check(record);
    memcpy(record + offsetof(struct record_header, check), &check, sizeof check);
    stream->live_bytes += n_bytes;
    stream->n_live_records++;
}

/* Send to one subscriber; false when the message did not go out. */
static bool send_to(struct barod *barod, struct subscription *subscription,
    Baro__Envelope *envelope, struct frame *frame)
{
    int rc = outbox_send(
        barod->socket, &subscription->peer, envelope, frame, frame != NULL ? 1 : 0);
    if (rc == 0) {
        count(&barod->counters, COUNT_LIVE_SENT, 1);
    } else if (rc == BARO_ENOENT) {
        subscription->is_gone = true;
    }
    return rc == 0;
}

static void send_records(struct barod *barod, struct subscription *subscription,
    const struct stream *stream, uint64_t n_left_out)
{
    Baro__LiveRecords records;
    baro__live_records__init(&records);
    records.run = stream->run->number;
    records.rank = stream->hello->rank;
    records.n_left_out = subscription->n_left_out + n_left_out;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RECORDS;
    envelope.live_records = &records;
    struct frame frame = {stream->live, stream->live_bytes, false};
    if (send_to(barod, subscription, &envelope, &frame)) {
        subscription->n_left_out = 0;
        return;
    }
    subscription->n_left_out += n_left_out + stream->n_live_records;
    count(&barod->counters, COUNT_LIVE_LEFT_OUT, stream->n_live_records);
}

static void send_things(
    struct barod *barod, struct subscription *subscription, const struct run *run)
{
    size_t n = run->n_things - run->n_told_things;
    baro_autofree Baro__ThingInfo *infos = baro_xcalloc(n, sizeof *infos);
    baro_autofree Baro__ThingInfo **pointers = baro_xcalloc(n, sizeof(Baro__ThingInfo *));
    for (size_t i = 0; i < n; i++) {
        registry_describe_thing(run->things[run->n_told_things + i], &infos[i]);
        pointers[i] = &infos[i];
    }
    Baro__LiveThings things;
    baro__live_things__init(&things);
    things.run = run->number;
    things.n_things = n;
    things.things = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_THINGS;
    envelope.live_things = &things;
    (void)send_to(barod, subscription, &envelope, NULL);
}

/* Send news of a run to its subscribers and to those of all runs' news. */
static void send_news(struct barod *barod, uint32_t run, Baro__Envelope *envelope)
{
    for (size_t i = 0; i < barod->live->n; i++) {
        struct subscription *subscription = &barod->live->subscriptions[i];
        if (subscription->run == NULL || subscription->run->number == run) {
            (void)send_to(barod, subscription, envelope, NULL);
        }
    }
}

void live_incident(struct barod *barod, const Baro__Incident *incident)
{
    Baro__LiveIncident live_incident;
    baro__live_incident__init(&live_incident);
    live_incident.incident = (Baro__Incident *)(uintptr_t)incident;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_INCIDENT;
    envelope.live_incident = &live_incident;
    send_news(barod, incident->run, &envelope);
}

void live_alert(struct barod *barod, const Baro__Alert *alert)
{
    Baro__LiveAlert live_alert;
    baro__live_alert__init(&live_alert);
    live_alert.alert = (Baro__Alert *)(uintptr_t)alert;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_ALERT;
    envelope.live_alert = &live_alert;
    send_news(barod, alert->run, &envelope);
}

static void send_run(struct barod *barod, struct run *run)
{
    Baro__RunInfo info;
    registry_describe_run(run, &info);
    Baro__LiveRun live_run;
    baro__live_run__init(&live_run);
    live_run.run = &info;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RUN;
    envelope.live_run = &live_run;
    for (size_t i = 0; i < barod->live->n; i++) {
        struct subscription *subscription = &barod->live->subscriptions[i];
        if (subscription->run == NULL || subscription->run == run) {
            (void)send_to(barod, subscription, &envelope, NULL);
        }
    }
    run->is_live_dirty = false;
    run->live_told_ns = barod->now_ns;
}

/* Everything of one run that its subscribers have not heard: first what is new, then values. */
static void flush_run(struct barod *barod, struct run *run)
{
    for (size_t i = 0; i < barod->live->n; i++) {
        struct subscription *subscription = &barod->live->subscriptions[i];
        if (subscription->run != run) {
            continue;
        }
        if (run->n_things > run->n_told_things) {
            send_things(barod, subscription, run);
        }
        for (uint32_t k = 0; k < run->n_streams; k++) {
            const struct stream *stream = run->streams[k];
            if (stream->live_bytes > 0) {
                send_records(barod, subscription, stream, stream->n_live_left_out);
            }
        }
    }
    run->n_told_things = run->n_things;
    for (uint32_t k = 0; k < run->n_streams; k++) {
        run->streams[k]->live_bytes = 0;
        run->streams[k]->n_live_records = 0;
        run->streams[k]->n_live_left_out = 0;
    }
}

bool live_is_waiting(const struct barod *barod)
{
    return barod->live->due_ns != 0;
}

uint64_t live_due_ns(const struct barod *barod)
{
    return barod->live->due_ns;
}

void live_flush(struct barod *barod)
{
    struct live *live = barod->live;
    bool is_more = false;
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        if (run->n_subscribers > 0) {
            flush_run(barod, run);
        }
        bool is_due = barod->now_ns - run->live_told_ns >= RUN_NEWS_MS * UINT64_C(1000000);
        if (run->is_live_dirty && is_due && live->n > 0) {
            send_run(barod, run);
        }
        is_more = is_more || run->is_live_dirty;
    }
    for (size_t i = live->n; i > 0; i--) {
        if (live->subscriptions[i - 1].is_gone) {
            remove_at(live, i - 1);
        }
    }
    live->due_ns = 0;
    if (is_more && live->n > 0) {
        wake(barod);
    }
}
