/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/ingest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attention.h"
#include "daemon/declare.h"
#include "daemon/live.h"
#include "daemon/resume.h"
#include "daemon/rules.h"
#include "daemon/status.h"
#include "daemon/steer.h"
#include "daemon/tensor.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

#define LOG_MODULE "ingest"

/*
 * Once and in order. A stream's records are numbered from 1. last_seq is the newest taken;
 * whatever comes again with a number up to it is skipped, so that a client may send anything
 * twice. Numbers may jump ahead: the client's ring had to let records go, and says so itself.
 *
 * Back-pressure. When the store is behind, a batch is not taken and not acknowledged. What the
 * client had sent after it is already under way and must not be taken either, or the resent
 * batch would be mistaken for a repeat: the stream is held until a batch joins on to last_seq or
 * the client says Hello again. When there is room, it is asked to do so (Refusal BARO_ENOENT).
 *
 * Damage. A frame that breaks off is taken up to there; its numbers count as seen, so that one
 * bad record cannot make a client send the same batch for ever.
 */

static void refuse(struct barod *barod, const struct peer *peer, uint64_t request,
    enum counter reason, int code, const char *text)
{
    count(&barod->counters, reason, 1);
    log_warn_every_second(
        "refused a message reason=%s: %s", counter_text(reason)->name, text);
    (void)outbox_refuse(barod->socket, peer, request, code, text);
}

/* Say what is committed, and with it what the client is to know. */
static void send_ack(
    struct barod *barod, const struct peer *peer, struct stream *stream, const char *note)
{
    Baro__Ack ack;
    baro__ack__init(&ack);
    ack.last_seq = stream->committed_seq;
    baro_autofree struct attention *attention = attention_take(stream, &ack);
    (void)attention; /* ack points into it */
    steer_put(stream, &ack);
    if (note != NULL) {
        ack.note = (char *)(uintptr_t)note;
    }
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ACK;
    envelope.ack = &ack;
    (void)outbox_send(barod->socket, peer, &envelope, NULL, 0);
}

/* ---- hello ---- */

static bool is_short_text(const char *text)
{
    return strnlen(text, REGISTRY_MAX_TEXT_BYTES + 1) <= REGISTRY_MAX_TEXT_BYTES;
}

/* Find the run's description among the sticky records; the caller frees it. */
static int find_description(
    const struct raw *frame, Baro__RunDescription **out, struct baro_err *err)
{
    const uint8_t *cursor = frame->bytes;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&cursor, frame->bytes + frame->n_bytes, &header, &payload) == 1) {
        if (header.kind != READING_RUN) {
            continue;
        }
        Baro__RunDescription *description =
            baro__run_description__unpack(NULL, header.payload_bytes, payload);
        int rc = description == NULL
                     ? baro_err_set(err, BARO_ECORRUPT, "the run's description is damaged")
                     : declare_check_run(description, err);
        if (rc != 0 && description != NULL) {
            baro__run_description__free_unpacked(description, NULL);
            return rc;
        }
        *out = description;
        return rc;
    }
    return baro_err_set(
        err, BARO_ECORRUPT, "a Hello without the run's description in its sticky records");
}

static int check_hello(const Baro__Hello *hello, const struct raw *frames, size_t n_frames,
    struct baro_err *err)
{
    if (hello->stream.len != WIRE_STREAM_BYTES || n_frames < 1) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a Hello needs a stream of %d bytes and a frame of sticky records",
            WIRE_STREAM_BYTES);
    }
    if (!is_short_text(hello->boot_id) || !is_short_text(hello->ring_path)) {
        return baro_err_set(err, BARO_ELIMIT, "a text of the Hello is over %d bytes",
            REGISTRY_MAX_TEXT_BYTES);
    }
    return frames[0].n_bytes > WIRE_MAX_FRAME_BYTES
               ? baro_err_set(err, BARO_ELIMIT,
                     "a frame of %zu bytes; at most %d are accepted", frames[0].n_bytes,
                     WIRE_MAX_FRAME_BYTES)
               : 0;
}

/* Find or make the stream that a Hello speaks of; *hello is taken when it is new. */
static struct stream *meet(struct barod *barod, Baro__Hello **hello,
    const struct raw *sticky, struct baro_err *err)
{
    struct stream *stream = registry_stream(&barod->registry, (*hello)->stream.data);
    if (stream != NULL) {
        return stream;
    }
    Baro__RunDescription *description = NULL;
    if (find_description(sticky, &description, err) != 0) {
        return NULL;
    }
    assert(description != NULL);
    int64_t created_ns = description->created_ns;
    struct run *run = resume_run(barod, description, (*hello)->rank, (*hello)->is_recovery);
    barod_open_bundle(barod);
    stream = registry_add_stream(&barod->registry, run, BARO_TAKE(*hello));
    stream->created_ns = created_ns;
    return stream;
}

/* Damaged declarations are no reason to refuse the rest: a refusal would come with each Hello. */
static void take_sticky(struct barod *barod, struct stream *stream, const struct raw *frame)
{
    struct baro_err err = {0};
    if (ingest_sticky(barod, stream, frame, &err) != 0) {
        log_warn_every_second(
            "run=%" PRIu32 ": left out a declaration: %s", stream->run->number, err.text);
    }
}

void ingest_hello(struct barod *barod, const struct peer *peer, uint64_t request,
    Baro__Envelope *envelope, const struct raw *frames, size_t n_frames)
{
    struct baro_err err = {0};
    bool is_recovery = envelope->hello->is_recovery;
    struct stream *stream = NULL;
    if (check_hello(envelope->hello, frames, n_frames, &err) == 0) {
        stream = meet(barod, &envelope->hello, &frames[0], &err);
    }
    if (stream == NULL) {
        refuse(barod, peer, request, COUNT_BAD_MESSAGE, err.code, err.text);
        return;
    }
    if (envelope->hello == NULL) { /* it was taken */
        envelope->body_case = BARO__ENVELOPE__BODY__NOT_SET;
    }
    stream->peer = *peer;
    stream->is_held = false;
    stream->met_ns = barod->now_ns;
    status_on_hello(barod, stream, is_recovery);
    take_sticky(barod, stream, &frames[0]);
    Baro__Welcome welcome;
    baro__welcome__init(&welcome);
    welcome.last_seq = stream->committed_seq;
    welcome.run_id = stream->run->description->run_id;
    Baro__Envelope reply;
    baro__envelope__init(&reply);
    reply.request = request;
    reply.body_case = BARO__ENVELOPE__BODY_WELCOME;
    reply.welcome = &welcome;
    (void)outbox_send(barod->socket, peer, &reply, NULL, 0);
}

/* ---- declarations ---- */

static int take_declare(struct barod *barod, struct stream *stream,
    const struct record_header *header, const uint8_t *payload, struct baro_err *err)
{
    Baro__Declare *declare = baro__declare__unpack(NULL, header->payload_bytes, payload);
    if (declare == NULL) {
        return baro_err_set(err, BARO_ECORRUPT, "a declaration is damaged");
    }
    int rc = declare_check(declare, err);
    if (rc != 0) {
        baro__declare__free_unpacked(declare, NULL);
        return rc;
    }
    uint32_t id = declare->id;
    if (id < stream->map_size && stream->map[id] != NULL) {
        baro__declare__free_unpacked(declare, NULL);
        return 0; /* said before: a declaration never changes within a stream */
    }
    if (id >= stream->map_size) {
        uint32_t size = stream->map_size > 0 ? stream->map_size : 64;
        while (size <= id) {
            size *= 2;
        }
        stream->map = baro_xrealloc(stream->map, size, sizeof(struct thing *));
        memset(stream->map + stream->map_size, 0,
            (size - stream->map_size) * sizeof(struct thing *));
        stream->map_size = size;
    }
    struct run *run = stream->run;
    stream->map[id] =
        registry_add_thing(&barod->registry, run, stream->hello->rank, declare);
    barod_open_bundle(barod);
    if (stream->map[id] != NULL) {
        rules_on_declare(stream, stream->map[id]);
    }
    return stream->map[id] != NULL
               ? 0
               : baro_err_set(err, BARO_ELIMIT,
                     "a run has at most %d names, and a name at most %d epochs",
                     REGISTRY_MAX_THINGS, REGISTRY_MAX_EPOCHS);
}

int ingest_sticky(struct barod *barod, struct stream *stream, const struct raw *frame,
    struct baro_err *err)
{
    const uint8_t *cursor = frame->bytes;
    const uint8_t *payload;
    struct record_header header;
    int result = 0;
    int rc;
    while (
        (rc = record_next(&cursor, frame->bytes + frame->n_bytes, &header, &payload)) > 0) {
        if (header.kind == READING_DECLARE &&
            take_declare(barod, stream, &header, payload, err) != 0) {
            count(&barod->counters, COUNT_BAD_RECORD, 1);
            result = BARO_ECORRUPT;
            if (err->code == BARO_ELIMIT) {
                resume_on_limit(barod, stream, err->text);
            }
        }
    }
    if (rc < 0) {
        count(&barod->counters, COUNT_BAD_FRAME, 1);
        return baro_err_set(err, BARO_ECORRUPT, "the sticky records break off");
    }
    return result;
}

/* ---- records ---- */

/*
 * Follow how far apart readings are, at most, where that changes by and by: a governor measures
 * rarely what is dear, and often what an alert concerns. One hole in them is no new custom, two in
 * a row are: as wide as the narrower of them.
 *
 * hole  the one that was met last, when nothing came since but it; else 0
 */
static void follow_spacing(double *spacing, double *hole, int64_t last_step, int64_t step)
{
    double gap = (double)step - (double)last_step;
    if (gap <= 0) {
        return;
    }
    if (*spacing <= 0 || gap <= 8 * *spacing) {
        *spacing = gap > 0.97 * *spacing ? gap : 0.97 * *spacing;
        *hole = 0;
        return;
    }
    if (*hole > 0) {
        *spacing = gap < *hole ? gap : *hole;
    }
    *hole = gap;
}

/* Keep what readings of a thing say about it at a glance. */
static void note_thing(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading)
{
    int64_t step = reading->header.step;
    bool is_first = thing->n_points + thing->n_unit_points == 0;
    if (is_first && thing->epoch > 1) {
        resume_on_epoch(barod, stream, thing, reading);
    }
    bool is_point = reading->header.kind != READING_UNITS;
    thing->n_repeats += is_point && thing->n_points > 0 && step <= thing->last_step ? 1 : 0;
    if (is_point && thing->n_points > 0) {
        follow_spacing(&thing->spacing, &thing->hole, thing->last_step, step);
    } else if (!is_point && thing->has_units) {
        follow_spacing(
            &thing->unit_spacing, &thing->unit_hole, thing->last_unit_step, step);
    }
    thing->first_step = is_first || step < thing->first_step ? step : thing->first_step;
    thing->last_step = is_first || step > thing->last_step ? step : thing->last_step;
    if (!is_point) {
        thing->n_unit_points++;
        thing->has_units = true;
        thing->last_unit_step = step;
    } else {
        bool is_scalar = reading->header.kind == READING_SCALAR;
        thing->n_points++;
        if (!stream->is_superseded) {
            thing->last_value = is_scalar ? reading->f64[0] : reading->f64[SUMMARY_L2];
        }
        thing->n_nonfinite += rules_is_nonfinite(reading) ? 1 : 0;
        if (thing->n_nonfinite == 1 && rules_is_nonfinite(reading)) {
            live_on_thing(
                barod, stream->run, thing); /* who chose may not get the reading */
        }
    }
    registry_touch_thing(&barod->registry, thing);
}

/* A rank ends at a step before its last one, which had only begun. */
static void take_back(struct run *run, const struct stream *stream, int64_t step)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        const struct stream *other = run->streams[i];
        if (other != stream && other->has_begun && other->last_step > step) {
            step = other->last_step;
        }
    }
    if (step >= run->first_step && step < run->last_step) {
        run->last_step = step;
    }
}

static void note_run(
    struct run *run, const struct stream *stream, const struct reading *reading)
{
    const struct record_header *header = &reading->header;
    run->n_records++;
    if (header->kind == READING_DROPS) {
        return; /* a recovery tells them behind the last record, at no step of their own */
    }
    if (run->first_time_ns == 0) {
        run->first_time_ns = run->last_time_ns = header->time_ns;
    }
    if (!stream->has_begun) {
        return; /* an event before its first step */
    }
    if (!run->has_steps) {
        run->has_steps = true;
        run->first_step = run->last_step = header->step;
    }
    run->first_step = header->step < run->first_step ? header->step : run->first_step;
    run->last_step = header->step > run->last_step ? header->step : run->last_step;
    run->last_time_ns =
        header->time_ns > run->last_time_ns ? header->time_ns : run->last_time_ns;
    if (header->kind == READING_STATUS &&
        reading->f64[0] == (double)READING_END_TAKEN_BACK) {
        take_back(run, stream, header->step);
    }
}

/* In a run of several ranks: keep whose a row of the run itself is. */
static void append_rank(
    struct barod *barod, const struct stream *stream, const struct store_row *of)
{
    bool is_own = of->thing == 0 && of->kind != READING_DROPS &&
                  of->kind != READING_PROBE && of->kind != READING_FAILURE &&
                  of->kind != READING_RNG;
    if (!is_own || !rules_has_ranks(stream->run)) {
        return;
    }
    const double numbers[2] = {(double)stream->hello->rank, (double)of->kind};
    struct store_row row = {
        .run = of->run,
        .kind = READING_RANK,
        .n_f64 = 2,
        .step = of->step,
        .time_ns = of->time_ns,
        .payload = (const uint8_t *)numbers,
    };
    bundle_append(barod->open, &row);
}

/* One checked reading goes to the store, to the rules and to those who watch. */
static void take_reading(struct barod *barod, struct stream *stream, struct thing *thing,
    struct reading *reading)
{
    struct record_header *header = &reading->header;
    header->thing = thing != NULL ? thing->id : 0;
    resume_on_reading(barod, stream, reading);
    struct store_row row = {
        .run = stream->run->number,
        .thing = header->thing,
        .kind = header->kind,
        .n_f64 = reading->n_f64,
        .n_f32 = reading->n_f32,
        .extra_bytes = reading->extra_bytes,
        .step = header->step,
        .time_ns = header->time_ns,
        .payload = (const uint8_t *)reading->f64,
    };
    bundle_append(barod->open, &row);
    append_rank(barod, stream, &row);
    if (header->kind == READING_RNG) {
        return; /* of steps that are over: nothing that is watched depends on it */
    }
    note_run(stream->run, stream, reading);
    if (thing != NULL) {
        note_thing(barod, stream, thing, reading);
    }
    status_on_reading(barod, stream, reading);
    live_on_reading(barod, stream, reading);
    rules_on_reading(barod, stream, thing, reading);
}

/* A record's kind must be one of its thing. */
static bool fits_thing(const struct record_header *header, const struct thing *thing)
{
    switch ((enum reading_kind)header->kind) {
    case READING_SCALAR: return thing != NULL && !thing->declare->is_tensor;
    case READING_SUMMARY:
    case READING_RAW:
    case READING_UNITS: return thing != NULL && thing->declare->is_tensor;
    case READING_STEP:
    case READING_BATCH:
    case READING_SAMPLES:
    case READING_EVENT:
    case READING_STATUS:
    case READING_PROBE:
    case READING_FAILURE:
    case READING_RNG:
    case READING_DROPS: return header->thing == 0;
    case READING_RANK:
    case READING_KIND_END:
    case READING_RUN:
    case READING_DECLARE:
    default: return false;
    }
}

static void leave_out(struct barod *barod, const struct stream *stream,
    const struct record_header *header, const char *why)
{
    count(&barod->counters, COUNT_BAD_RECORD, 1);
    log_warn_every_second("left out a record run=%" PRIu32 " seq=%" PRIu64
                          " kind=%u thing=%" PRIu32 ": %s",
        stream->run->number, header->seq, (unsigned)header->kind, header->thing, why);
}

static void take_record(struct barod *barod, struct stream *stream,
    const struct record_header *header, const uint8_t *payload)
{
    struct thing *thing =
        header->thing < stream->map_size ? stream->map[header->thing] : NULL;
    if (!fits_thing(header, thing)) {
        leave_out(barod, stream, header, "its kind does not fit its thing");
        return;
    }
    struct reading readings[TENSOR_READINGS];
    int n = 1;
    struct baro_err err = {0};
    uint32_t n_units = thing != NULL ? thing->declare->n_units : 0;
    enum baro_role role = thing != NULL ? (enum baro_role)thing->declare->role : 0;
    if (header->kind == READING_RAW) {
        assert(thing != NULL);
        n = tensor_measure(barod, header, payload, thing->declare, readings, &err);
    } else if (reading_check(header, payload, n_units, role, &readings[0], &err) != 0) {
        n = -1;
    }
    if (n < 0) {
        leave_out(barod, stream, header, err.text);
        return;
    }
    for (int i = 0; i < n; i++) {
        take_reading(barod, stream, thing, &readings[i]);
    }
    count(&barod->counters, COUNT_RECORDS, 1);
    count(&barod->counters, COUNT_RECORD_BYTES, header->bytes);
    stream->n_since++;
}

int ingest_records(struct barod *barod, struct stream *stream, const struct raw *frame,
    struct baro_err *err)
{
    const uint8_t *cursor = frame->bytes;
    const uint8_t *payload;
    struct record_header header;
    uint64_t seq_before = stream->last_seq;
    int rc;
    while (
        (rc = record_next(&cursor, frame->bytes + frame->n_bytes, &header, &payload)) > 0) {
        if (header.seq <= stream->last_seq) {
            count(&barod->counters, COUNT_REPEATED, 1);
            continue;
        }
        stream->last_seq = header.seq;
        take_record(barod, stream, &header, payload);
    }
    if (stream->last_seq != seq_before) {
        registry_touch_stream(stream);
        barod_open_bundle(barod);
    }
    if (rc < 0) {
        count(&barod->counters, COUNT_BAD_FRAME, 1);
        return baro_err_set(err, BARO_ECORRUPT,
            "a frame of records breaks off after record %" PRIu64 " of its stream",
            stream->last_seq);
    }
    return 0;
}

/* ---- batches ---- */

/* The stream of a batch, if this connection has introduced it; NULL after a refusal. */
static struct stream *find_stream(struct barod *barod, const struct peer *peer,
    uint64_t request, const ProtobufCBinaryData *id)
{
    struct stream *stream = NULL;
    if (id->len == WIRE_STREAM_BYTES) {
        stream = registry_stream(&barod->registry, id->data);
    }
    if (stream == NULL || stream->peer.n_bytes != peer->n_bytes ||
        memcmp(stream->peer.bytes, peer->bytes, peer->n_bytes) != 0) {
        count(&barod->counters, COUNT_NO_HELLO, 1);
        (void)outbox_refuse(barod->socket, peer, request, BARO_ENOENT,
            "this connection has not said Hello for that stream: say it (again) first");
        return NULL;
    }
    return stream;
}

/* Tell whether a batch may be taken now; see the essay. */
static bool may_take(struct barod *barod, struct stream *stream, const Baro__Batch *batch)
{
    if (!barod_has_room(barod)) {
        stream->is_held = true;
        count(&barod->counters, COUNT_HELD_BACK, 1);
        return false;
    }
    if (stream->is_held && batch->first_seq > stream->last_seq + 1) {
        count(&barod->counters, COUNT_HELD_BACK, 1);
        (void)outbox_refuse(barod->socket, &stream->peer, 0, BARO_ENOENT,
            "the store was behind and a batch was not taken: say Hello again and resend");
        return false;
    }
    stream->is_held = false;
    return true;
}

void ingest_batch(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__Batch *batch, const struct raw *frames, size_t n_frames)
{
    struct stream *stream = find_stream(barod, peer, request, &batch->stream);
    if (stream == NULL) {
        return;
    }
    status_on_sign_of_life(barod, stream);
    resume_on_sign_of_life(barod, stream);
    if (n_frames < 2 || frames[0].n_bytes > WIRE_MAX_FRAME_BYTES ||
        frames[1].n_bytes > WIRE_MAX_FRAME_BYTES) {
        refuse(barod, peer, request, COUNT_BAD_LIMIT, BARO_ELIMIT,
            "a Batch has two frames of at most 16 MiB: sticky records and records");
        return;
    }
    if (!may_take(barod, stream, batch)) {
        return;
    }
    struct baro_err err = {0};
    take_sticky(barod, stream, &frames[0]);
    if (ingest_records(barod, stream, &frames[1], &err) != 0) {
        refuse(barod, peer, request, COUNT_BAD_MESSAGE, err.code, err.text);
        uint64_t end_seq = batch->first_seq + batch->n_records - 1;
        bool is_sane = batch->n_records > 0 && batch->n_records <= frames[1].n_bytes &&
                       batch->first_seq <= stream->last_seq + 1;
        if (is_sane && end_seq > stream->last_seq) {
            stream->last_seq = end_seq;
            registry_touch_stream(stream);
            barod_open_bundle(barod);
        }
    }
    /* All of it was a repeat; or an alert must not wait for the commit. */
    if (stream->last_seq == stream->committed_seq || attention_is_waiting(stream)) {
        send_ack(barod, peer, stream, NULL);
    }
}

void ingest_heartbeat(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__Heartbeat *beat)
{
    struct stream *stream = find_stream(barod, peer, request, &beat->stream);
    if (stream == NULL) {
        return;
    }
    if (stream->is_held && barod_has_room(barod)) {
        (void)outbox_refuse(barod->socket, peer, request, BARO_ENOENT,
            "the store was behind and a batch was not taken: say Hello again and resend");
    }
    if (beat->n_dropped != stream->n_dropped_beat) {
        stream->n_dropped_beat = beat->n_dropped;
        stream->run->is_live_dirty = true;
    }
    status_on_sign_of_life(barod, stream);
    resume_on_sign_of_life(barod, stream);
    status_on_step(barod, stream, beat->step);
    steer_on_heartbeat(stream, beat->last_control);
    baro_autofree char *note = BARO_TAKE(stream->note);
    send_ack(barod, peer, stream, note);
}
