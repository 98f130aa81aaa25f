/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/sender.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"
#include "lib/push/peer.h"

/*
 * States of a sender:
 *
 *   RESTING    no socket; connects at retry_ns
 *   GREETING   connecting, or Hello sent and no Welcome yet
 *   STREAMING  Welcome came: batches go out, acknowledgements come in
 *
 * Whatever goes wrong leads back to RESTING with what is under way forgotten: the next Welcome
 * says how far the daemon's commits go, and sending begins anew from there. The daemon knows
 * records by their sequence numbers, so sending one twice does no harm. Silence while something
 * is under way counts as gone wrong, but with growing patience, because a daemon whose disk is
 * full withholds its acknowledgements on purpose.
 *
 * A slow line (tcp://) is sent no more than it carries within a second or two: what waits in it
 * would hold up heartbeats, and would all be sent again after a cut. So the window there grows
 * while acknowledgements come soon and shrinks when they are late.
 *
 * What a recovery has in addition: drops that the dead process had not told yet are sent as one
 * more record behind its last.
 */

enum {
    BATCH_BYTES = 256 << 10,
    BATCH_RECORDS = 4096,
    WINDOW_BYTES = 4 << 20,        /* under way at most, unless one record is larger */
    FAR_WINDOW_BYTES = 256 << 10,  /* over tcp://: at first, */
    SMALL_WINDOW_BYTES = 32 << 10, /* and at least */
    WINDOW_SHARE = 4,              /* a batch is at most so small a part of the window */
    WINDOW_BATCHES = 64,
    MESSAGES_A_TURN = 64
};
#define MS UINT64_C(1000000)
static const uint64_t batch_gap_ns = 5 * MS;
static const uint64_t far_batch_gap_ns = 50 * MS;
static const uint64_t soon_ns = 500 * MS; /* for an acknowledgement over tcp:// */
static const uint64_t late_ns = 1500 * MS;
static const uint64_t pulse_gap_ns = 1000 * MS;
static const uint64_t message_gap_ns = 1000 * MS;
static const uint64_t patience_min_ns = 2000 * MS;
static const uint64_t far_patience_ns = 8000 * MS;
static const uint64_t patience_max_ns = 16000 * MS;
static const uint64_t lost_pause_ns = 20 * MS;
static const uint64_t lost_max_ns = 2000 * MS;
static const uint64_t refusal_min_ns = 1000 * MS;
static const uint64_t refusal_max_ns = 30000 * MS;
static const uint64_t silent_ns = 5000 * MS;

enum phase { RESTING = 0, GREETING, STREAMING };

/* A batch that is not acknowledged yet. */
struct flight {
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t n_missing; /* records before it that had given way */
    size_t bytes;
    uint64_t sent_ns;
};

struct sender {
    struct ringfile *ring;
    const char *endpoint;
    struct keys_client keys;
    bool is_recovery;
    void (*on_message)(const char *text, void *payload);
    void (*read_pulse)(struct sender_pulse *out_pulse, void *payload);
    void (*on_attention)(const uint32_t *ids, size_t n, uint32_t n_steps,
        uint32_t everything_steps, void *payload);
    void (*on_control)(uint64_t id, int kind, double value, void *payload);
    void *payload;

    struct peer *peer;
    enum phase phase;
    uint8_t *buffer;           /* RECORD_MAX_BYTES */
    uint8_t *sticky;           /* as large as the sticky area */
    struct ringfile_info info; /* as it was at the start */

    uint64_t retry_ns;
    uint64_t greeted_ns; /* when Hello went out; 0: not yet */
    uint64_t heard_ns;   /* when the daemon was last heard, or a first batch went out */
    uint64_t started_ns; /* of this attempt to connect */
    bool was_full;     /* the last batch was filled by its bytes: more of the kind waits */
    uint64_t batch_ns; /* when the last batch went out */
    uint64_t pulse_ns;
    uint64_t drops_ns;
    uint64_t patience_ns;
    uint64_t refusal_ns; /* next pause after a refusal */
    uint64_t lost_ns;    /* next pause after a connection that led to nothing */
    uint64_t chance;     /* state of the jitter */

    struct ringfile_cursor cursor;
    uint64_t next_seq; /* the next batch begins here, or behind what gave way */
    uint64_t sticky_sent;
    struct flight flights[WINDOW_BATCHES]; /* a ring: n_flights from first_flight on */
    unsigned first_flight;
    unsigned n_flights;
    size_t flying_bytes;
    size_t window_bytes; /* flying_bytes may come to */
    uint64_t
        told_seq; /* recovery: number of the record that tells the drops; 0: none sent */
    uint64_t told[2];

    uint64_t message_ns;
    char last_message[240];
    char note[480]; /* of the daemon, to be said as soon as a message may be */
    bool has_said_absent;
    bool has_said_drops;

    _Atomic uint64_t n_sent;
    _Atomic uint64_t acked_seq;
    _Atomic uint64_t n_missing; /* records up to acked_seq that never came to the daemon */
    _Atomic uint64_t
        drained_seq; /* nothing was left to send up to here: damage is passed over */
    _Atomic uint64_t n_damaged_bytes;
    _Atomic uint64_t answer_ns; /* when the daemon last said anything */
    _Atomic bool is_streaming;
    _Atomic bool is_waiting; /* something is under way */
    _Atomic int refusal;
};

static void say(struct sender *s, uint64_t now, const char *text)
{
    if (s->on_message == NULL || strcmp(text, s->last_message) == 0 ||
        (s->message_ns != 0 && now - s->message_ns < message_gap_ns)) {
        return;
    }
    s->message_ns = now;
    (void)snprintf(s->last_message, sizeof s->last_message, "%s", text);
    s->on_message(text, s->payload);
}

/* Hand on what the daemon wants the user to know; unlike other messages it is never left out. */
static void say_note(struct sender *s, uint64_t now)
{
    if (s->note[0] == '\0' ||
        (s->message_ns != 0 && now - s->message_ns < message_gap_ns)) {
        return;
    }
    s->message_ns = now;
    if (s->on_message != NULL) {
        s->on_message(s->note, s->payload);
    }
    s->note[0] = '\0';
}

/* Up to a quarter more or less, so that a thousand ranks do not all come back at once. */
static uint64_t with_jitter(struct sender *s, uint64_t pause_ns)
{
    s->chance ^= s->chance << 13;
    s->chance ^= s->chance >> 7;
    s->chance ^= s->chance << 17;
    return pause_ns - pause_ns / 4 + s->chance % (pause_ns / 2 + 1);
}

/* Forget the connection and everything under way; begin again after a pause. */
static void rest(struct sender *s, uint64_t now, uint64_t pause_ns)
{
    peer_disconnect(s->peer);
    s->phase = RESTING;
    s->retry_ns = now + with_jitter(s, pause_ns);
    s->greeted_ns = 0;
    s->told_seq = 0;
    atomic_store_explicit(&s->is_streaming, false, memory_order_relaxed);
    atomic_store_explicit(&s->is_waiting, false, memory_order_relaxed);
}

static void grow_patience(struct sender *s)
{
    s->patience_ns =
        s->patience_ns * 2 > patience_max_ns ? patience_max_ns : s->patience_ns * 2;
}

static void connect_anew(struct sender *s, uint64_t now)
{
    struct baro_err err = {0};
    if (peer_connect(s->peer, s->endpoint, &s->keys, &err) != 0) {
        say(s, now, err.text);
        rest(s, now, patience_min_ns);
        return;
    }
    s->phase = GREETING;
    s->started_ns = now;
    s->greeted_ns = 0;
}

/* Pause longer each time as long as it is in vain. */
static void rest_refused(struct sender *s, uint64_t now, int code)
{
    atomic_store_explicit(&s->refusal, code, memory_order_relaxed);
    rest(s, now, s->refusal_ns);
    s->refusal_ns = s->refusal_ns * 2 > refusal_max_ns ? refusal_max_ns : s->refusal_ns * 2;
}

static void on_lost(struct sender *s, uint64_t now)
{
    struct baro_err trouble = *peer_trouble(s->peer);
    if (trouble.code != 0 && s->keys.is_tcp) {
        say(s, now, trouble.text);
    }
    if (trouble.code == BARO_EACCES) {
        rest_refused(s, now, trouble.code);
        return;
    }
    rest(s, now, s->lost_ns);
    s->lost_ns = s->lost_ns * 2 > lost_max_ns ? lost_max_ns : s->lost_ns * 2;
}

static bool greet(struct sender *s, uint64_t now)
{
    if (s->greeted_ns != 0) {
        if (now - s->greeted_ns > s->patience_ns) {
            grow_patience(s);
            rest(s, now, 0);
        }
        return false;
    }
    if (!peer_can_send(s->peer)) {
        if (!s->has_said_absent && now - s->started_ns > patience_min_ns) {
            char text[240];
            s->has_said_absent = true;
            (void)snprintf(text, sizeof text,
                "no daemon answers at %.100s; the ring keeps the newest readings until one does",
                s->endpoint);
            say(s, now, text);
        }
        return false;
    }
    uint64_t used = ringfile_sticky_used(s->ring);
    if (ringfile_copy_sticky(s->ring, 0, used, s->sticky) != 0) {
        rest(s, now, patience_min_ns);
        return false;
    }
    Baro__Hello hello;
    baro__hello__init(&hello);
    hello.stream.data = s->info.stream;
    hello.stream.len = sizeof s->info.stream;
    hello.rank = s->info.rank;
    hello.pid = s->info.pid;
    hello.boot_id = s->info.boot_id;
    hello.process_start = s->info.process_start;
    hello.ring_path = (char *)(uintptr_t)ringfile_path(s->ring);
    hello.is_recovery = s->is_recovery;
    hello.is_steerable = s->on_control != NULL;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_HELLO;
    envelope.hello = &hello;
    const struct peer_frame frame = {s->sticky, (size_t)used};
    int rc = peer_send(s->peer, &envelope, &frame, 1);
    if (rc == 0) {
        s->greeted_ns = now;
        s->sticky_sent = used;
    } else if (rc != BARO_EBUSY) {
        rest(s, now, patience_min_ns);
    }
    return rc == 0;
}

static size_t batch_bytes(const struct sender *s)
{
    size_t share = s->window_bytes / WINDOW_SHARE;
    return share < BATCH_BYTES ? share : BATCH_BYTES;
}

/* Read the next records to send into the buffer; false when nothing is due. */
static bool read_batch(struct sender *s, size_t *out_n_bytes, size_t *out_n_records)
{
    int rc = ringfile_read(s->ring, &s->cursor, s->buffer, batch_bytes(s), BATCH_RECORDS,
        out_n_bytes, out_n_records);
    if (rc == BARO_ELIMIT) {
        rc = ringfile_read(s->ring, &s->cursor, s->buffer, RECORD_MAX_BYTES, 1, out_n_bytes,
            out_n_records);
    }
    return rc == 0 && *out_n_records > 0;
}

/* Build the record that tells what a dead process dropped; false when it dropped nothing. */
static bool build_drops(struct sender *s, size_t *out_n_bytes)
{
    struct ringfile_info info;
    if (s->told_seq != 0 || ringfile_read_info(s->ring, &info) != 0 ||
        info.dropped_records <= info.told_records) {
        return false;
    }
    struct {
        struct record_header header;
        double payload[2];
    } record = {
        .header = {.seq = info.head_seq + 1,
            .time_ns = info.created_ns,
            .kind = READING_DROPS,
            .payload_bytes = sizeof record.payload,
            .bytes = sizeof record},
    };
    s->told[0] = info.dropped_records - info.told_records;
    s->told[1] =
        info.dropped_bytes > info.told_bytes ? info.dropped_bytes - info.told_bytes : 0;
    record.payload[0] = (double)s->told[0];
    record.payload[1] = (double)s->told[1];
    record.header.check = record_check(&record);
    memcpy(s->buffer, &record, sizeof record);
    s->told_seq = info.head_seq + 1;
    *out_n_bytes = sizeof record;
    return true;
}

/* Leave out of a batch what gave way, and was counted as dropped, after it was copied. */
static void skip_dropped(uint64_t oldest_seq, struct record_header *first,
    const uint8_t **bytes, size_t *n_bytes, size_t *n_records)
{
    while (*n_records > 0 && first->seq < oldest_seq) {
        *bytes += first->bytes;
        *n_bytes -= first->bytes;
        if (--*n_records > 0) {
            memcpy(first, *bytes, sizeof *first);
        }
    }
}

/* Send what lies in the buffer; a failure leads back to RESTING. */
static bool send_batch(struct sender *s, uint64_t now, size_t n_bytes, size_t n_records)
{
    struct record_header first;
    const uint8_t *bytes = s->buffer;
    memcpy(&first, bytes, sizeof first);
    uint64_t last_seq = first.seq + n_records - 1;
    skip_dropped(
        ringfile_set_sent(s->ring, last_seq), &first, &bytes, &n_bytes, &n_records);
    if (n_records == 0) {
        return true; /* the next batch begins behind the gap */
    }
    uint64_t used =
        ringfile_sticky_used(s->ring); /* after the records: names all of them */
    if (ringfile_copy_sticky(s->ring, s->sticky_sent, used, s->sticky) != 0) {
        rest(s, now, patience_min_ns);
        return false;
    }
    Baro__Batch batch;
    baro__batch__init(&batch);
    batch.stream.data = s->info.stream;
    batch.stream.len = sizeof s->info.stream;
    batch.first_seq = first.seq;
    batch.n_records = (uint32_t)n_records;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_BATCH;
    envelope.batch = &batch;
    const struct peer_frame frames[2] = {
        {s->sticky, (size_t)(used - s->sticky_sent)}, {bytes, n_bytes}};
    if (peer_send(s->peer, &envelope, frames, 2) != 0) {
        rest(s, now, lost_pause_ns);
        return false;
    }
    if (s->n_flights == 0) {
        s->heard_ns = now;
    }
    unsigned slot = (s->first_flight + s->n_flights) % WINDOW_BATCHES;
    s->flights[slot] =
        (struct flight){first.seq, last_seq, first.seq - s->next_seq, n_bytes, now};
    s->next_seq = last_seq + 1;
    s->n_flights++;
    s->flying_bytes += n_bytes;
    s->sticky_sent = used;
    s->batch_ns = now;
    atomic_fetch_add_explicit(&s->n_sent, n_records, memory_order_relaxed);
    atomic_store_explicit(&s->is_waiting, true, memory_order_relaxed);
    return true;
}

/* Tell the drops of a living process by a record of their own: once a second and at the end. */
static void tell_drops(struct sender *s, uint64_t now, bool is_urgent)
{
    bool is_last =
        is_urgent && s->n_flights == 0 && s->cursor.seq > ringfile_head_seq(s->ring);
    if (s->is_recovery || (now - s->drops_ns < pulse_gap_ns && !is_last)) {
        return;
    }
    s->drops_ns = now;
    struct sender_pulse pulse = {0};
    if (s->read_pulse != NULL) {
        s->read_pulse(&pulse, s->payload);
    }
    const struct record_header header = {
        .kind = READING_DROPS, .step = pulse.step, .time_ns = baro_wall_ns()};
    (void)ringfile_put_drops(s->ring, &header);
}

/* Nothing is left to read: when nothing is under way either, the ring is done so far. */
static void note_drained(struct sender *s, uint64_t head_seq)
{
    atomic_store_explicit(
        &s->n_damaged_bytes, s->cursor.n_damaged_bytes, memory_order_relaxed);
    if (s->n_flights == 0) {
        atomic_store_explicit(&s->drained_seq, head_seq, memory_order_release);
    }
}

static bool fill_window(struct sender *s, uint64_t now, bool is_urgent)
{
    bool has_sent = false;
    while (s->phase == STREAMING && s->n_flights < WINDOW_BATCHES &&
           s->flying_bytes < s->window_bytes) {
        uint64_t head_seq = ringfile_head_seq(s->ring);
        uint64_t n_waiting = head_seq + 1 - s->cursor.seq;
        uint64_t gap_ns = s->keys.is_tcp ? far_batch_gap_ns : batch_gap_ns;
        bool is_due = is_urgent || s->is_recovery || s->was_full ||
                      n_waiting >= BATCH_RECORDS || now - s->batch_ns >= gap_ns;
        if (!is_due || !peer_can_send(s->peer)) {
            break;
        }
        size_t n_bytes = 0;
        size_t n_records = 0;
        if (!read_batch(s, &n_bytes, &n_records)) {
            if (!s->is_recovery || !build_drops(s, &n_bytes)) {
                note_drained(s, head_seq);
                break;
            }
            n_records = 1;
        }
        /* Filled, or ended before a record that is longer than a batch. */
        s->was_full = n_bytes >= batch_bytes(s) / 2 ||
                      (n_records < BATCH_RECORDS && s->cursor.seq <= head_seq);
        has_sent = send_batch(s, now, n_bytes, n_records) || has_sent;
    }
    return has_sent;
}

static void send_pulse(struct sender *s, uint64_t now)
{
    if (s->read_pulse == NULL || now - s->pulse_ns < pulse_gap_ns ||
        !peer_can_send(s->peer)) {
        return;
    }
    s->pulse_ns = now;
    struct ringfile_info info;
    struct sender_pulse pulse = {0};
    s->read_pulse(&pulse, s->payload);
    if (ringfile_read_info(s->ring, &info) != 0) {
        return;
    }
    Baro__Heartbeat beat;
    baro__heartbeat__init(&beat);
    beat.stream.data = s->info.stream;
    beat.stream.len = sizeof s->info.stream;
    beat.step = pulse.step;
    beat.n_pushed = info.head_seq;
    beat.n_acked = info.acked_seq;
    beat.n_dropped = info.dropped_records;
    beat.own_ns = pulse.own_ns;
    beat.last_control = pulse.last_control;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_HEARTBEAT;
    envelope.heartbeat = &beat;
    if (peer_send(s->peer, &envelope, NULL, 0) == BARO_EIO) {
        rest(s, now, lost_pause_ns);
    }
    if (info.dropped_records > 0 && !s->has_said_drops) {
        s->has_said_drops = true;
        say(s, now,
            "the ring overflowed and dropped its oldest readings; they are counted");
    }
}

static void note_acked(struct sender *s, uint64_t seq, bool is_settled)
{
    uint64_t before = atomic_load_explicit(&s->acked_seq, memory_order_relaxed);
    ringfile_set_acked(s->ring, seq, is_settled);
    if (seq > before) {
        atomic_store_explicit(&s->acked_seq, seq, memory_order_release);
        s->patience_ns = s->keys.is_tcp ? far_patience_ns : patience_min_ns;
    }
    if (s->told_seq != 0 && seq >= s->told_seq) {
        ringfile_add_told(s->ring, s->told[0], s->told[1]);
        s->told[0] = 0;
        s->told[1] = 0;
    }
}

/* Take the first flight off the list; is_there: the daemon has it, or a part of it. */
static void land(struct sender *s, bool is_there)
{
    const struct flight *flight = &s->flights[s->first_flight];
    s->flying_bytes -= flight->bytes;
    if (is_there) {
        atomic_fetch_add_explicit(&s->n_missing, flight->n_missing, memory_order_relaxed);
    }
    s->first_flight = (s->first_flight + 1) % WINDOW_BATCHES;
    s->n_flights--;
}

static void on_welcome(struct sender *s, uint64_t now, const Baro__Welcome *welcome)
{
    if (s->phase != GREETING) {
        return;
    }
    while (s->n_flights > 0) { /* of the connection before */
        land(s, s->flights[s->first_flight].first_seq <= welcome->last_seq);
    }
    if (welcome->last_seq <= ringfile_head_seq(s->ring) + (s->is_recovery ? 1 : 0)) {
        note_acked(s, welcome->last_seq, true);
    }
    s->next_seq = welcome->last_seq + 1;
    s->cursor = (struct ringfile_cursor){.seq = welcome->last_seq + 1,
        .n_lost = s->cursor.n_lost,
        .n_damaged_bytes = s->cursor.n_damaged_bytes};
    s->phase = STREAMING;
    s->batch_ns = 0;
    s->pulse_ns = 0;
    s->refusal_ns = refusal_min_ns;
    s->lost_ns = lost_pause_ns;
    s->has_said_absent = true;
    s->heard_ns = now;
    atomic_store_explicit(&s->refusal, 0, memory_order_relaxed);
    atomic_store_explicit(&s->is_streaming, true, memory_order_relaxed);
}

/* Fit what may be under way to what the line carries. */
static void fit_window(struct sender *s, uint64_t now, const struct flight *flight)
{
    uint64_t age_ns = now - flight->sent_ns;
    if (!s->keys.is_tcp) {
        return;
    }
    if (age_ns > late_ns && s->window_bytes > SMALL_WINDOW_BYTES) {
        s->window_bytes /= 2;
    } else if (age_ns < soon_ns && s->window_bytes < WINDOW_BYTES &&
               s->flying_bytes >= s->window_bytes / 2) {
        s->window_bytes *= 2;
    }
}

static void on_ack(struct sender *s, uint64_t now, const Baro__Ack *ack)
{
    if (s->phase != STREAMING) {
        return;
    }
    if (s->n_flights > 0 && s->flights[s->first_flight].last_seq <= ack->last_seq) {
        fit_window(s, now, &s->flights[s->first_flight]);
    }
    while (s->n_flights > 0 && s->flights[s->first_flight].last_seq <= ack->last_seq) {
        land(s, true);
    }
    atomic_store_explicit(&s->is_waiting, s->n_flights > 0, memory_order_relaxed);
    note_acked(s, ack->last_seq, false);
    if (ack->note[0] != '\0') {
        baro_text_safe(s->note, sizeof s->note, ack->note);
    }
    if (s->on_attention != NULL && (ack->n_attention > 0 || ack->everything_steps > 0)) {
        s->on_attention(ack->attention, ack->n_attention, ack->attention_steps,
            ack->everything_steps, s->payload);
    }
    for (size_t i = 0; s->on_control != NULL && i < ack->n_controls; i++) {
        const Baro__Control *control = ack->controls[i];
        s->on_control(control->id, (int)control->kind, control->value, s->payload);
    }
}

static void on_refusal(struct sender *s, uint64_t now, int code, const char *text)
{
    if (code == BARO_ENOENT) { /* it does not know this connection: greet it anew */
        rest(s, now, lost_pause_ns);
        return;
    }
    char safe[240];
    (void)snprintf(safe, sizeof safe, "the daemon refuses: %.200s", text);
    say(s, now, safe);
    rest_refused(s, now, code != 0 ? code : BARO_EINVAL);
}

static bool take_answers(struct sender *s, uint64_t now)
{
    bool has_taken = false;
    for (int i = 0; i < MESSAGES_A_TURN && s->phase != RESTING; i++) {
        struct wire_message message = {0};
        struct baro_err err = {0};
        int rc = peer_receive(s->peer, &message, &err);
        if (rc == 0) {
            break;
        }
        has_taken = true;
        if (rc == BARO_EVERSION) {
            on_refusal(s, now, rc, err.text);
            break;
        }
        if (rc < 0) {
            continue; /* garbage is passed over; silence will show if it was needed */
        }
        s->heard_ns = now;
        atomic_store_explicit(&s->answer_ns, now, memory_order_relaxed);
        const Baro__Envelope *envelope = message.envelope;
        if (envelope->body_case == BARO__ENVELOPE__BODY_WELCOME) {
            on_welcome(s, now, envelope->welcome);
        } else if (envelope->body_case == BARO__ENVELOPE__BODY_ACK) {
            on_ack(s, now, envelope->ack);
        } else if (envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL) {
            on_refusal(s, now, envelope->refusal->code, envelope->refusal->text);
        }
        wire_release(&message);
    }
    return has_taken;
}

bool sender_step(struct sender *s, int wait_ms, bool is_urgent)
{
    bool has_worked = false;
    uint64_t now = baro_now_ns();
    if (s->phase == RESTING && now >= s->retry_ns) {
        connect_anew(s, now);
    }
    if (s->phase != RESTING && peer_is_lost(s->peer)) {
        on_lost(s, now);
    }
    if (s->phase == GREETING) {
        has_worked = greet(s, now);
    }
    if (s->phase == STREAMING) {
        tell_drops(s, now, is_urgent);
        send_pulse(s, now);
        say_note(s, now);
        has_worked = fill_window(s, now, is_urgent) || has_worked;
    }
    has_worked = take_answers(s, now) || has_worked;
    if (s->phase == STREAMING && s->n_flights > 0 && now - s->heard_ns > s->patience_ns) {
        grow_patience(s);
        rest(s, now, 0);
    }
    if (!has_worked) {
        peer_wait(s->peer, wait_ms);
    }
    return has_worked;
}

int sender_create(
    struct sender **out_sender, const struct sender_options *options, struct baro_err *err)
{
    struct sender *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->peer = peer_create();
        s->buffer = malloc(RECORD_MAX_BYTES);
    }
    if (s == NULL || s->peer == NULL || s->buffer == NULL ||
        ringfile_read_info(options->ring, &s->info) != 0 ||
        (s->sticky = malloc(s->info.sticky_bytes)) == NULL) {
        sender_destroy(s);
        return baro_err_set(err, BARO_ENOMEM, "out of memory for the sender");
    }
    int rc = 0;
    if (options->keys != NULL) {
        s->keys = *options->keys;
    } else if ((rc = keys_choose(options->endpoint, NULL, &s->keys, err)) != 0) {
        sender_destroy(s);
        return rc;
    }
    s->ring = options->ring;
    s->endpoint = options->endpoint;
    s->is_recovery = options->is_recovery;
    s->on_message = options->on_message;
    s->read_pulse = options->read_pulse;
    s->on_attention = options->on_attention;
    s->on_control = options->on_control;
    s->payload = options->payload;
    s->patience_ns = s->keys.is_tcp ? far_patience_ns : patience_min_ns;
    s->refusal_ns = refusal_min_ns;
    s->lost_ns = lost_pause_ns;
    s->window_bytes = s->keys.is_tcp ? FAR_WINDOW_BYTES : WINDOW_BYTES;
    memcpy(&s->chance, s->info.stream, sizeof s->chance);
    s->chance |= 1; /* never 0 */
    atomic_store_explicit(&s->acked_seq, s->info.acked_seq, memory_order_relaxed);
    *out_sender = s;
    return 0;
}

void sender_destroy(struct sender *s)
{
    if (s == NULL) {
        return;
    }
    peer_destroy(s->peer);
    keys_forget(&s->keys.pair);
    free(s->sticky);
    free(s->buffer);
    free(s);
}

void sender_read_progress(struct sender *s, struct sender_progress *out_progress)
{
    uint64_t acked = atomic_load_explicit(&s->acked_seq, memory_order_acquire);
    uint64_t n_missing = atomic_load_explicit(&s->n_missing, memory_order_relaxed);
    uint64_t drained = atomic_load_explicit(&s->drained_seq, memory_order_acquire);
    bool is_streaming = atomic_load_explicit(&s->is_streaming, memory_order_relaxed);
    bool is_waiting = atomic_load_explicit(&s->is_waiting, memory_order_relaxed);
    uint64_t answer_ns = atomic_load_explicit(&s->answer_ns, memory_order_relaxed);
    struct ringfile_info info = {0};
    bool is_told = ringfile_read_info(s->ring, &info) == 0 &&
                   info.dropped_records <= info.told_records;
    *out_progress = (struct sender_progress){
        .n_sent = atomic_load_explicit(&s->n_sent, memory_order_relaxed),
        .acked_seq = acked,
        .n_acked = acked > n_missing ? acked - n_missing : 0,
        .is_connected =
            is_streaming && (!is_waiting || baro_now_ns() - answer_ns < silent_ns),
        .is_done = (acked > drained ? acked : drained) >= info.head_seq && is_told,
        .n_damaged_bytes = atomic_load_explicit(&s->n_damaged_bytes, memory_order_relaxed),
        .refusal = atomic_load_explicit(&s->refusal, memory_order_relaxed),
    };
}
