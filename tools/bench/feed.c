/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "proto/wire.h"

/*
 * Records are built in the batch that will carry them. A batch is kept until it is acknowledged;
 * when the daemon was behind and asks for a new Hello, all that are kept go out again.
 */

enum {
    FEED_BATCH_BYTES = 256 << 10,
    FEED_BATCH_RECORDS = 4096,
    FEED_WINDOW = 16, /* batches under way: 4 MiB, as in libbaro */
    FEED_TIMEOUT_MS = 60000
};

/* One batch, in the making or under way. */
struct feed_batch {
    uint8_t *bytes;
    size_t n_bytes;
    size_t room;
    uint64_t first_seq;
    uint32_t n_records;
};

struct feed {
    void *context;
    void *socket;
    uint8_t stream[WIRE_STREAM_BYTES];
    uint8_t *sticky; /* the run's description and all declarations, as records */
    size_t sticky_bytes;
    size_t sticky_room;
    size_t sticky_sent;
    struct feed_batch
        batches[FEED_WINDOW + 1]; /* a ring; the one behind the last is filled */
    unsigned first;
    unsigned n_flying;
    uint64_t seq;
    uint32_t n_things;
    int64_t last_step;
    int64_t last_time_ns;
    int rc; /* the first failure; after it nothing is sent */
    struct baro_err err;
};

static void fail(struct feed *feed, int code, const char *text)
{
    if (feed->rc == 0) {
        feed->rc = baro_err_set(&feed->err, code, "%s", text);
    }
}

/* ---- messages ---- */

static void send_parts(struct feed *feed, Baro__Envelope *envelope, const void *frames[],
    const size_t n_bytes[], int n_frames)
{
    baro_autofree uint8_t *packed = NULL;
    size_t n_packed = 0;
    if (feed->rc != 0 || wire_pack(envelope, &packed, &n_packed) != 0) {
        return;
    }
    int rc = zmq_send(feed->socket, packed, n_packed, ZMQ_SNDMORE);
    for (int i = 0; rc >= 0 && i < n_frames; i++) {
        rc = zmq_send(
            feed->socket, frames[i], n_bytes[i], i + 1 < n_frames ? ZMQ_SNDMORE : 0);
    }
    if (rc < 0) {
        fail(feed, BARO_EIO, zmq_strerror(errno));
    }
}

static void send_hello(struct feed *feed)
{
    Baro__Hello hello;
    baro__hello__init(&hello);
    hello.stream.data = feed->stream;
    hello.stream.len = sizeof feed->stream;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_HELLO;
    envelope.hello = &hello;
    const void *frames[] = {feed->sticky};
    const size_t n_bytes[] = {feed->sticky_bytes};
    send_parts(feed, &envelope, frames, n_bytes, 1);
    feed->sticky_sent = feed->sticky_bytes;
}

static void send_batch(struct feed *feed, const struct feed_batch *batch)
{
    Baro__Batch body;
    baro__batch__init(&body);
    body.stream.data = feed->stream;
    body.stream.len = sizeof feed->stream;
    body.first_seq = batch->first_seq;
    body.n_records = batch->n_records;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_BATCH;
    envelope.batch = &body;
    const void *frames[] = {feed->sticky + feed->sticky_sent, batch->bytes};
    const size_t n_bytes[] = {feed->sticky_bytes - feed->sticky_sent, batch->n_bytes};
    send_parts(feed, &envelope, frames, n_bytes, 2);
    feed->sticky_sent = feed->sticky_bytes;
}

static struct feed_batch *batch_at(struct feed *feed, unsigned i)
{
    return &feed->batches[(feed->first + i) % BARO_LEN(feed->batches)];
}

static void on_committed(struct feed *feed, uint64_t last_seq)
{
    while (feed->n_flying > 0 &&
           batch_at(feed, 0)->first_seq + batch_at(feed, 0)->n_records - 1 <= last_seq) {
        feed->first = (feed->first + 1) % BARO_LEN(feed->batches);
        feed->n_flying--;
    }
}

static void on_message(struct feed *feed, const Baro__Envelope *envelope)
{
    if (envelope->body_case == BARO__ENVELOPE__BODY_ACK) {
        on_committed(feed, envelope->ack->last_seq);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_WELCOME) {
        on_committed(feed, envelope->welcome->last_seq);
        for (unsigned i = 0; i < feed->n_flying; i++) {
            send_batch(feed, batch_at(feed, i));
        }
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL) {
        if (envelope->refusal->code == BARO_ENOENT) {
            send_hello(feed);
        } else {
            fail(feed, envelope->refusal->code, envelope->refusal->text);
        }
    }
}

/* Take what the daemon has said; waits for the first of it when it must. */
static void hear(struct feed *feed, bool must_wait)
{
    for (bool is_first = true; feed->rc == 0; is_first = false) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, feed->socket, must_wait && is_first ? 0 : ZMQ_DONTWAIT) <
            0) {
            bool is_late = must_wait && is_first && errno == EAGAIN;
            (void)zmq_msg_close(&part);
            if (is_late) {
                fail(feed, BARO_ETIMEOUT, "the daemon says nothing");
            }
            return;
        }
        struct wire_message message = {0};
        int rc = wire_unpack(zmq_msg_data(&part), zmq_msg_size(&part),
            WIRE_MAX_ENVELOPE_BYTES, &message, &feed->err);
        (void)zmq_msg_close(&part);
        if (rc != 0) {
            feed->rc = rc;
            return;
        }
        on_message(feed, message.envelope);
        wire_release(&message);
    }
}

/* ---- records ---- */

/* Append a record to bytes that grow; returns where its payload belongs. */
static uint8_t *add_record(uint8_t **bytes, size_t *n_bytes, size_t *room,
    struct record_header header, size_t n_payload)
{
    header.payload_bytes = (uint32_t)n_payload;
    header.bytes = record_bytes(header.payload_bytes);
    if (*n_bytes + header.bytes > *room) {
        *room = 2 * *room + header.bytes;
        *bytes = baro_xrealloc(*bytes, *room, 1);
    }
    uint8_t *record = *bytes + *n_bytes;
    memcpy(record, &header, sizeof header);
    memset(record + header.bytes - 8, 0, 8);
    *n_bytes += header.bytes;
    return record + sizeof header;
}

static void add_check(uint8_t *payload)
{
    uint8_t *record = payload - sizeof(struct record_header);
    uint32_t check = record_check(record);
    memcpy(record + offsetof(struct record_header, check), &check, sizeof check);
}

static uint8_t *add_sticky(struct feed *feed, uint16_t kind, size_t n_payload)
{
    return add_record(&feed->sticky, &feed->sticky_bytes, &feed->sticky_room,
        (struct record_header){.kind = kind}, n_payload);
}

/* Send the batch in the making; waits while the window is full. */
static void flush(struct feed *feed)
{
    struct feed_batch *batch = batch_at(feed, feed->n_flying);
    if (batch->n_records == 0) {
        return;
    }
    send_batch(feed, batch);
    feed->n_flying++;
    hear(feed, false);
    while (feed->rc == 0 && feed->n_flying == FEED_WINDOW) {
        hear(feed, true);
    }
    batch = batch_at(feed, feed->n_flying);
    batch->n_bytes = 0;
    batch->n_records = 0;
}

/* ---- the whole ---- */

static void describe_run(struct feed *feed, const char *run_name)
{
    Baro__RunDescription run;
    baro__run_description__init(&run);
    char id[2 * WIRE_STREAM_BYTES + 1];
    for (size_t i = 0; i < WIRE_STREAM_BYTES; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", feed->stream[i]);
    }
    run.run_id = id;
    run.project = (char[]){"bench"};
    run.name = (char *)(uintptr_t)run_name;
    run.n_ranks = 1;
    run.client = (char[]){"baro bench"};
    run.created_ns = baro_wall_ns();
    uint8_t *payload =
        add_sticky(feed, READING_RUN, baro__run_description__get_packed_size(&run));
    (void)baro__run_description__pack(&run, payload);
    add_check(payload);
}

struct feed *feed_open(const char *endpoint, const char *run_name, struct baro_err *err)
{
    struct feed *feed = baro_xcalloc(1, sizeof *feed);
    int timeout_ms = FEED_TIMEOUT_MS;
    int linger_ms = 0;
    (void)!getrandom(feed->stream, sizeof feed->stream, 0);
    feed->context = zmq_ctx_new();
    feed->socket = zmq_socket(feed->context, ZMQ_DEALER);
    (void)zmq_setsockopt(feed->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    (void)zmq_setsockopt(feed->socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
    (void)zmq_setsockopt(feed->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (zmq_connect(feed->socket, endpoint) != 0) {
        fail(feed, BARO_EINVAL, zmq_strerror(errno));
    }
    describe_run(feed, run_name);
    send_hello(feed);
    hear(feed, true);
    if (feed->rc != 0) {
        (void)baro_err_set(err, feed->rc, "%s", feed->err.text);
        feed_abandon(feed);
        return NULL;
    }
    return feed;
}

uint32_t feed_declare(struct feed *feed, const char *name, uint32_t n_units)
{
    int64_t shape[2] = {n_units, 8};
    Baro__Declare declare;
    baro__declare__init(&declare);
    declare.id = ++feed->n_things;
    declare.name = (char *)(uintptr_t)name;
    declare.unit_axis = BARO_NO_UNITS;
    if (n_units > 0) {
        declare.is_tensor = true;
        declare.role = BARO_WEIGHT;
        declare.dtype = BARO_F32;
        declare.n_shape = 2;
        declare.shape = shape;
        declare.unit_axis = 0;
        declare.n_units = n_units;
    }
    uint8_t *payload =
        add_sticky(feed, READING_DECLARE, baro__declare__get_packed_size(&declare));
    (void)baro__declare__pack(&declare, payload);
    add_check(payload);
    return declare.id;
}

void feed_put(struct feed *feed, enum reading_kind kind, uint32_t thing, int64_t step,
    int64_t time_ns, const void *payload, size_t n_bytes)
{
    struct feed_batch *batch = batch_at(feed, feed->n_flying);
    if (batch->n_records == FEED_BATCH_RECORDS ||
        (batch->n_records > 0 && batch->n_bytes + n_bytes > FEED_BATCH_BYTES)) {
        flush(feed);
        batch = batch_at(feed, feed->n_flying);
    }
    feed->seq++;
    if (batch->n_records == 0) {
        batch->first_seq = feed->seq;
    }
    const struct record_header header = {.seq = feed->seq,
        .step = step,
        .time_ns = time_ns,
        .thing = thing,
        .kind = (uint16_t)kind};
    uint8_t *to = add_record(&batch->bytes, &batch->n_bytes, &batch->room, header, n_bytes);
    memcpy(to, payload, n_bytes);
    add_check(to);
    batch->n_records++;
    feed->last_step = step;
    feed->last_time_ns = time_ns;
}

void feed_scalar(
    struct feed *feed, uint32_t thing, int64_t step, int64_t time_ns, double value)
{
    feed_put(feed, READING_SCALAR, thing, step, time_ns, &value, sizeof value);
}

int feed_wait(struct feed *feed, struct baro_err *err)
{
    flush(feed);
    while (feed->rc == 0 && feed->n_flying > 0) {
        hear(feed, true);
    }
    return feed->rc == 0 ? 0 : baro_err_set(err, feed->rc, "%s", feed->err.text);
}

uint64_t feed_n_records(const struct feed *feed)
{
    return feed->seq;
}

int feed_close(struct feed *feed, struct baro_err *err)
{
    if (feed == NULL) {
        return 0;
    }
    int rc = feed->rc;
    if (rc == 0) {
        const double end = READING_END_FINISHED;
        feed_put(
            feed, READING_STATUS, 0, feed->last_step, feed->last_time_ns, &end, sizeof end);
        rc = feed_wait(feed, err);
    } else {
        (void)baro_err_set(err, rc, "%s", feed->err.text);
    }
    feed_abandon(feed);
    return rc;
}

void feed_abandon(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    (void)zmq_close(feed->socket);
    (void)zmq_ctx_term(feed->context);
    for (size_t i = 0; i < BARO_LEN(feed->batches); i++) {
        free(feed->batches[i].bytes);
    }
    free(feed->sticky);
    free(feed);
}
