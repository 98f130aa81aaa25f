/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/live_inside.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "live"

/*
 * Records are gathered once per stream, whoever watches, with the run's thing ids and a new
 * checksum; a flush sends the same bytes to each subscriber of the run. What a full pipe could
 * not take is counted per subscriber and told with its next message. Each buffer is bounded:
 * beyond it records are left out for all, and counted, too.
 *
 * Who chooses gets a copy with the records chosen. Who is paced says what has come, and of what is
 * on the way to it there is at most a window: what is beyond is left out, the large kinds before
 * the small ones, and who asks for columns gets them in bounded bytes. The window doubles while
 * what it holds is told as come in FAST_MS, and is halved when that takes SLOW_MS: so that a line
 * of any speed holds about as much as it carries in that time, and no more lies in between.
 */

enum {
    FLUSH_MS = 50,
    RUN_NEWS_MS = 250,            /* a changed run is told at most so often */
    MAX_GATHERED_BYTES = 4 << 20, /* per stream and flush */
    MAX_SUBSCRIPTIONS = 1024,
    MAX_WANTS = 4096,
    FAST_MS = 100,
    SLOW_MS = 400,
    MIN_WINDOW_BYTES = 16 << 10,
    MAX_WINDOW_BYTES = 4 << 20
};

struct live *live_create(void)
{
    return baro_xcalloc(1, sizeof(struct live));
}

void live_destroy(struct live *live)
{
    if (live != NULL) {
        for (size_t i = 0; i < live->n; i++) {
            free(live->subscriptions[i].wants);
        }
        free(live->chosen);
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
    free(live->subscriptions[i].wants);
    live->subscriptions[i] = live->subscriptions[--live->n];
}

/* ---- who wants what ---- */

static uint64_t want_of(uint32_t kind, uint32_t thing)
{
    return (uint64_t)kind << 32 | thing;
}

static int compare_wants(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool has_want(const struct subscription *subscription, uint64_t want)
{
    return subscription->n_wants > 0 &&
           bsearch(&want, subscription->wants, subscription->n_wants, sizeof want,
               compare_wants) != NULL;
}

static bool is_wanted(
    const struct subscription *subscription, const struct record_header *header)
{
    return !subscription->is_chosen || has_want(subscription, want_of(header->kind, 0)) ||
           has_want(subscription, want_of(header->kind, header->thing));
}

static void choose(struct subscription *subscription, const Baro__SubscribeRequest *request)
{
    size_t n = request->n_wants < MAX_WANTS ? request->n_wants : MAX_WANTS;
    free(subscription->wants);
    subscription->wants = NULL;
    subscription->n_wants = 0;
    subscription->is_chosen = request->is_chosen;
    if (request->is_chosen && n > 0) {
        subscription->wants = baro_xcalloc(n, sizeof *subscription->wants);
        for (size_t i = 0; i < n; i++) {
            subscription->wants[i] =
                want_of(request->wants[i]->kind, request->wants[i]->thing);
        }
        subscription->n_wants = n;
        qsort(subscription->wants, n, sizeof *subscription->wants, compare_wants);
    }
    if (request->is_paced && !subscription->is_paced) {
        subscription->window_bytes = MIN_WINDOW_BYTES * 4;
    }
    subscription->is_paced = request->is_paced;
}

/* ---- beginning and ending ---- */

static struct subscription *find_of_peer(
    struct live *live, const struct peer *peer, const struct run *run)
{
    for (size_t i = 0; i < live->n; i++) {
        if (live->subscriptions[i].run == run &&
            is_same_peer(&live->subscriptions[i].peer, peer)) {
            return &live->subscriptions[i];
        }
    }
    return NULL;
}

void live_subscribe(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__SubscribeRequest *request)
{
    struct live *live = barod->live;
    struct subscription *known = find_of_peer(live, peer, run);
    if (known != NULL && request->is_off) {
        remove_at(live, (size_t)(known - live->subscriptions));
    } else if (known != NULL) {
        choose(known, request);
    }
    if (known != NULL || request->is_off) {
        return;
    }
    if (live->n >= MAX_SUBSCRIPTIONS) {
        remove_at(live, 0); /* the oldest; most likely long gone */
    }
    live->subscriptions =
        baro_xrealloc(live->subscriptions, live->n + 1, sizeof *live->subscriptions);
    live->subscriptions[live->n] = (struct subscription){.peer = *peer, .run = run};
    choose(&live->subscriptions[live->n++], request);
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

/* How long a message was on its way tells whether the line carries more, or less. */
static void set_window(struct subscription *subscription, uint64_t took_ns)
{
    uint64_t took_ms = took_ns / 1000000;
    uint64_t window = subscription->window_bytes;
    if (took_ms <= FAST_MS) {
        window = window * 2 > MAX_WINDOW_BYTES ? MAX_WINDOW_BYTES : window * 2;
    } else if (took_ms >= SLOW_MS) {
        window = window / 2 < MIN_WINDOW_BYTES ? MIN_WINDOW_BYTES : window / 2;
    }
    subscription->window_bytes = window;
}

void live_on_taken(
    struct barod *barod, const struct peer *peer, const Baro__LiveTaken *taken)
{
    struct run *run = registry_run(&barod->registry, taken->run);
    struct subscription *subscription =
        run != NULL ? find_of_peer(barod->live, peer, run) : NULL;
    if (subscription == NULL || !subscription->is_paced) {
        return;
    }
    uint64_t under_way = subscription->sent_bytes - subscription->taken_bytes;
    subscription->taken_bytes += taken->n_bytes < under_way ? taken->n_bytes : under_way;
    size_t n_come = 0;
    while (n_come < subscription->n_marks &&
           subscription->marks[n_come].sent_bytes <= subscription->taken_bytes) {
        n_come++;
    }
    if (n_come > 0) {
        set_window(subscription, barod->now_ns - subscription->marks[n_come - 1].sent_ns);
        subscription->n_marks -= n_come;
        memmove(subscription->marks, subscription->marks + n_come,
            subscription->n_marks * sizeof subscription->marks[0]);
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

bool live_send(struct barod *barod, struct subscription *subscription,
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

/* How many bytes of records may go to a subscriber now. */
static uint64_t room_for(const struct subscription *subscription)
{
    uint64_t under_way = subscription->sent_bytes - subscription->taken_bytes;
    if (!subscription->is_paced) {
        return UINT64_MAX;
    }
    if (subscription->n_marks == LIVE_MAX_MARKS ||
        under_way >= subscription->window_bytes) {
        return 0;
    }
    return subscription->window_bytes - under_way;
}

/* Copy the records that a subscriber gets; *out_n_left_out: those it wants, but has no room for. */
static struct frame choose_records(struct live *live, struct subscription *subscription,
    const struct stream *stream, uint64_t *out_n_left_out)
{
    uint64_t room = room_for(subscription);
    bool is_idle = subscription->sent_bytes == subscription->taken_bytes;
    size_t n_bytes = 0;
    *out_n_left_out = 0;
    if (live->chosen_size < stream->live_bytes) {
        live->chosen = baro_xrealloc(live->chosen, stream->live_bytes, 1);
        live->chosen_size = stream->live_bytes;
    }
    struct record_header header;
    for (size_t at = 0; at < stream->live_bytes; at += header.bytes) {
        memcpy(&header, stream->live + at, sizeof header);
        if (!is_wanted(subscription, &header)) {
            continue;
        }
        bool is_large = header.kind == READING_UNITS || header.kind == READING_SUMMARY;
        uint64_t mine = is_large && room != UINT64_MAX ? room / 2 : room;
        if (n_bytes + header.bytes > mine && !(is_idle && n_bytes == 0)) {
            (*out_n_left_out)++;
            continue;
        }
        memcpy(live->chosen + n_bytes, stream->live + at, header.bytes);
        n_bytes += header.bytes;
    }
    return (struct frame){live->chosen, n_bytes, false, NULL};
}

static void note_sent(
    struct barod *barod, struct subscription *subscription, size_t n_bytes)
{
    subscription->sent_bytes += n_bytes;
    if (subscription->is_paced && subscription->n_marks < LIVE_MAX_MARKS) {
        subscription->marks[subscription->n_marks].sent_bytes = subscription->sent_bytes;
        subscription->marks[subscription->n_marks++].sent_ns = barod->now_ns;
    } else if (!subscription->is_paced) {
        subscription->taken_bytes = subscription->sent_bytes;
    }
}

static void send_records(struct barod *barod, struct subscription *subscription,
    const struct stream *stream, uint64_t n_left_out)
{
    struct frame frame = {stream->live, stream->live_bytes, false, NULL};
    uint64_t n_no_room = 0;
    if (subscription->is_chosen || subscription->is_paced) {
        frame = choose_records(barod->live, subscription, stream, &n_no_room);
        count(&barod->counters, COUNT_LIVE_LEFT_OUT, n_no_room);
        n_left_out += n_no_room;
        if (frame.n_bytes == 0) {
            subscription->n_left_out += n_left_out;
            return;
        }
    }
    Baro__LiveRecords records;
    baro__live_records__init(&records);
    records.run = stream->run->number;
    records.rank = stream->hello->rank;
    records.n_left_out = subscription->n_left_out + n_left_out;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RECORDS;
    envelope.live_records = &records;
    if (live_send(barod, subscription, &envelope, &frame)) {
        subscription->n_left_out = 0;
        note_sent(barod, subscription, frame.n_bytes);
        return;
    }
    subscription->n_left_out += n_left_out - n_no_room + stream->n_live_records;
    count(&barod->counters, COUNT_LIVE_LEFT_OUT, stream->n_live_records);
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
            live_send_things(barod, subscription, run, run->things + run->n_told_things,
                run->n_things - run->n_told_things);
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
            live_send_run(barod, run);
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
