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
#include "lib/push/outbox.h"
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
 */

enum { MESSAGES_A_TURN = 64 };
#define MS UINT64_C(1000000)
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

struct sender {
    struct ringfile *ring;
    const char *endpoint;
    struct keys_client keys;
    void (*on_message)(const char *text, void *payload);
    void (*read_pulse)(struct sender_pulse *out_pulse, void *payload);
    void (*on_attention)(const uint32_t *ids, size_t n, uint32_t n_steps,
        uint32_t everything_steps, void *payload);
    void (*on_control)(uint64_t id, int kind, double value, void *payload);
    void *payload;

    struct peer *peer;
    enum phase phase;
    struct outbox outbox;

    uint64_t retry_ns;
    uint64_t greeted_ns; /* when Hello went out; 0: not yet */
    uint64_t heard_ns;   /* when the daemon was last heard, or a first batch went out */
    uint64_t started_ns; /* of this attempt to connect */
    uint64_t pulse_ns;
    uint64_t drops_ns;
    uint64_t patience_ns;
    uint64_t refusal_ns; /* next pause after a refusal */
    uint64_t lost_ns;    /* next pause after a connection that led to nothing */
    uint64_t chance;     /* state of the jitter */

    uint64_t message_ns;
    char last_message[240];
    char note[480]; /* of the daemon, to be said as soon as a message may be */
    bool has_said_absent;
    bool has_said_drops;

    _Atomic uint64_t answer_ns; /* when the daemon last said anything */
    _Atomic bool is_streaming;
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
    outbox_interrupt(&s->outbox);
    atomic_store_explicit(&s->is_streaming, false, memory_order_relaxed);
}

static void grow_patience(struct sender *s)
{
    s->patience_ns =
        s->patience_ns * 2 > patience_max_ns ? patience_max_ns : s->patience_ns * 2;
}

static uint64_t usual_patience_ns(const struct sender *s)
{
    return s->keys.is_tcp ? far_patience_ns : patience_min_ns;
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
    struct peer_frame names;
    if (outbox_read_sticky(&s->outbox, &names) != 0) {
        rest(s, now, patience_min_ns);
        return false;
    }
    Baro__Hello hello;
    baro__hello__init(&hello);
    struct ringfile_info *info = &s->outbox.info;
    hello.stream.data = info->stream;
    hello.stream.len = sizeof info->stream;
    hello.rank = info->rank;
    hello.pid = info->pid;
    hello.boot_id = info->boot_id;
    hello.process_start = info->process_start;
    hello.ring_path = (char *)(uintptr_t)ringfile_path(s->ring);
    hello.is_recovery = s->outbox.is_recovery;
    hello.is_steerable = s->on_control != NULL;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_HELLO;
    envelope.hello = &hello;
    int rc = peer_send(s->peer, &envelope, &names, 1);
    if (rc == 0) {
        s->greeted_ns = now;
    } else if (rc != BARO_EBUSY) {
        rest(s, now, patience_min_ns);
    }
    return rc == 0;
}

/* Tell the drops of a living process by a record of their own: once a second and at the end. */
static void tell_drops(struct sender *s, uint64_t now, bool is_urgent)
{
    bool is_last = is_urgent && outbox_is_empty(&s->outbox);
    if (s->outbox.is_recovery || (now - s->drops_ns < pulse_gap_ns && !is_last)) {
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

/* Send what is due; a failure leads back to RESTING. */
static bool send_batches(struct sender *s, uint64_t now, bool is_urgent)
{
    bool was_waiting = outbox_is_waiting(&s->outbox);
    bool has_sent = false;
    int rc = outbox_fill(&s->outbox, now, is_urgent, &has_sent);
    if (!was_waiting && outbox_is_waiting(&s->outbox)) {
        s->heard_ns = now;
    }
    if (rc != 0) {
        rest(s, now, rc == BARO_EIO ? lost_pause_ns : patience_min_ns);
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
    beat.stream.data = info.stream;
    beat.stream.len = sizeof info.stream;
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

static void on_welcome(struct sender *s, uint64_t now, const Baro__Welcome *welcome)
{
    if (s->phase != GREETING) {
        return;
    }
    outbox_begin(&s->outbox, welcome->last_seq);
    s->phase = STREAMING;
    s->pulse_ns = 0;
    s->refusal_ns = refusal_min_ns;
    s->lost_ns = lost_pause_ns;
    s->has_said_absent = true;
    s->heard_ns = now;
    atomic_store_explicit(&s->refusal, 0, memory_order_relaxed);
    atomic_store_explicit(&s->is_streaming, true, memory_order_relaxed);
}

static void on_ack(struct sender *s, uint64_t now, const Baro__Ack *ack)
{
    if (s->phase != STREAMING) {
        return;
    }
    if (outbox_on_ack(&s->outbox, now, ack->last_seq)) {
        s->patience_ns = usual_patience_ns(s);
    }
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
        has_worked = send_batches(s, now, is_urgent) || has_worked;
    }
    has_worked = take_answers(s, now) || has_worked;
    if (s->phase == STREAMING && outbox_is_waiting(&s->outbox) &&
        now - s->heard_ns > s->patience_ns) {
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
    int rc = 0;
    if (s == NULL || (s->peer = peer_create()) == NULL) {
        sender_destroy(s);
        return baro_err_set(err, BARO_ENOMEM, "out of memory for the sender");
    }
    if (options->keys != NULL) {
        s->keys = *options->keys;
    } else if ((rc = keys_choose(options->endpoint, NULL, &s->keys, err)) != 0) {
        sender_destroy(s);
        return rc;
    }
    rc = outbox_init(
        &s->outbox, options->ring, s->peer, options->is_recovery, s->keys.is_tcp);
    if (rc != 0) {
        sender_destroy(s);
        return baro_err_set(err, rc, "out of memory for the sender");
    }
    s->ring = options->ring;
    s->endpoint = options->endpoint;
    s->on_message = options->on_message;
    s->read_pulse = options->read_pulse;
    s->on_attention = options->on_attention;
    s->on_control = options->on_control;
    s->payload = options->payload;
    s->patience_ns = usual_patience_ns(s);
    s->refusal_ns = refusal_min_ns;
    s->lost_ns = lost_pause_ns;
    memcpy(&s->chance, s->outbox.info.stream, sizeof s->chance);
    s->chance |= 1; /* never 0 */
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
    outbox_free(&s->outbox);
    free(s);
}

void sender_read_progress(struct sender *s, struct sender_progress *out_progress)
{
    bool is_streaming = atomic_load_explicit(&s->is_streaming, memory_order_relaxed);
    bool is_waiting = atomic_load_explicit(&s->outbox.is_waiting, memory_order_relaxed);
    uint64_t answer_ns = atomic_load_explicit(&s->answer_ns, memory_order_relaxed);
    *out_progress = (struct sender_progress){
        .is_connected =
            is_streaming && (!is_waiting || baro_now_ns() - answer_ns < silent_ns),
        .refusal = atomic_load_explicit(&s->refusal, memory_order_relaxed),
    };
    outbox_read_progress(&s->outbox, out_progress);
}
