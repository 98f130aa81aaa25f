/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/fake_daemon.h"

#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "proto/wire.h"

/* One message: sender's name, envelope, at most two raw frames. */
struct letter {
    zmq_msg_t frames[4];
    int n;
};

static void nap(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};
    (void)nanosleep(&pause, NULL);
}

static bool take_letter(void *socket, struct letter *letter)
{
    letter->n = 0;
    int has_more = 1;
    while (has_more) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            return false;
        }
        has_more = zmq_msg_more(&frame);
        if (letter->n < 4) {
            letter->frames[letter->n++] = frame;
        } else {
            (void)zmq_msg_close(&frame);
        }
    }
    return true;
}

static void drop_letter(struct letter *letter)
{
    for (int i = 0; i < letter->n; i++) {
        (void)zmq_msg_close(&letter->frames[i]);
    }
}

static void answer(
    void *socket, struct letter *letter, Baro__Envelope *envelope, uint32_t version)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    if (wire_pack(envelope, &bytes, &n) != 0) {
        return;
    }
    if (version != WIRE_VERSION) {
        free(bytes);
        envelope->version = version;
        n = baro__envelope__get_packed_size(envelope);
        bytes = malloc(n);
        (void)baro__envelope__pack(envelope, bytes);
    }
    (void)zmq_send(socket, zmq_msg_data(&letter->frames[0]),
        zmq_msg_size(&letter->frames[0]), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, bytes, n, ZMQ_DONTWAIT);
    free(bytes);
}

/* Copy a raw frame to where its doubles are aligned; free it. */
static uint8_t *copy_frame(zmq_msg_t *frame)
{
    size_t n = zmq_msg_size(frame);
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, zmq_msg_data(frame), n);
    return copy;
}

static void take_sticky(struct fake_daemon *fake, zmq_msg_t *frame, bool is_hello)
{
    uint8_t *bytes = copy_frame(frame);
    const uint8_t *at = bytes;
    const uint8_t *end = at + zmq_msg_size(frame);
    const uint8_t *payload;
    struct record_header header;
    int rc;
    uint32_t n = is_hello ? 0 : fake->n_declared;
    while ((rc = record_next(&at, end, &header, &payload)) == 1) {
        if (header.kind == READING_RUN) {
            Baro__RunDescription *run =
                baro__run_description__unpack(NULL, header.payload_bytes, payload);
            (void)snprintf(fake->run_id, sizeof fake->run_id, "%s", run->run_id);
            baro__run_description__free_unpacked(run, NULL);
        } else if (header.kind == READING_DECLARE) {
            Baro__Declare *declare =
                baro__declare__unpack(NULL, header.payload_bytes, payload);
            fake->n_bad += declare == NULL || declare->id != n + 1;
            n = declare->id;
            if (n == 1) {
                (void)snprintf(
                    fake->first_name, sizeof fake->first_name, "%s", declare->name);
            }
            baro__declare__free_unpacked(declare, NULL);
        } else {
            fake->n_bad++;
        }
    }
    free(bytes);
    fake->n_bad += rc != 0;
    fake->n_declared = n > fake->n_declared ? n : fake->n_declared;
}

static void take_record(
    struct fake_daemon *fake, const struct record_header *header, const uint8_t *payload)
{
    struct reading reading;
    uint32_t n_units = header->kind == READING_UNITS ? header->payload_bytes / 20 : 0;
    if (header->seq == 0 || header->seq >= FAKE_MAX_SEQ ||
        header->thing > fake->n_declared ||
        reading_check(header, payload, n_units, BARO_WEIGHT, &reading, NULL) != 0) {
        fake->n_bad++;
        return;
    }
    if (header->seq <= fake->last_seq) {
        fake->n_repeats++;
        return;
    }
    fake->last_seq = header->seq;
    fake->seen[header->seq] = 1;
    fake->n_records++;
    fake->n_by_kind[header->kind]++;
    if (header->kind == READING_SCALAR) {
        fake->last_scalar = reading.f64[0];
    } else if (header->kind == READING_DROPS) {
        fake->told_drops += (uint64_t)reading.f64[0];
    } else if (header->kind == READING_STATUS) {
        fake->status = reading.f64[0];
        (void)snprintf(fake->status_text, sizeof fake->status_text, "%.*s",
            (int)reading.extra_bytes, (const char *)reading.extra);
    }
}

static void take_batch(
    struct fake_daemon *fake, const Baro__Batch *batch, struct letter *letter)
{
    if (letter->n != 4) {
        fake->n_bad++;
        return;
    }
    take_sticky(fake, &letter->frames[2], false);
    uint8_t *bytes = copy_frame(&letter->frames[3]);
    const uint8_t *at = bytes;
    const uint8_t *end = at + zmq_msg_size(&letter->frames[3]);
    const uint8_t *payload;
    struct record_header header;
    uint64_t seq = batch->first_seq;
    while (record_next(&at, end, &header, &payload) == 1) {
        fake->n_bad += header.seq != seq++;
        take_record(fake, &header, payload);
    }
    free(bytes);
    fake->n_bad += at != end || seq - batch->first_seq != batch->n_records;
}

static bool is_greeted(struct fake_daemon *fake, struct letter *letter)
{
    return zmq_msg_size(&letter->frames[0]) == fake->peer_bytes &&
           memcmp(zmq_msg_data(&letter->frames[0]), fake->peer, fake->peer_bytes) == 0;
}

static void on_letter(struct fake_daemon *fake, void *socket, struct letter *letter)
{
    struct wire_message message = {0};
    int manner = atomic_load(&fake->manner);
    if (letter->n < 2 ||
        wire_unpack(zmq_msg_data(&letter->frames[1]), zmq_msg_size(&letter->frames[1]),
            WIRE_MAX_ENVELOPE_BYTES, &message, NULL) != 0) {
        fake->n_bad++;
        return;
    }
    const Baro__Envelope *in = message.envelope;
    Baro__Envelope out;
    Baro__Welcome welcome;
    Baro__Ack ack;
    Baro__Refusal refusal;
    baro__envelope__init(&out);
    baro__welcome__init(&welcome);
    baro__ack__init(&ack);
    baro__refusal__init(&refusal);
    if (in->body_case == BARO__ENVELOPE__BODY_HELLO) {
        fake->n_hellos++;
        fake->is_forgetting = false;
        fake->peer_bytes = zmq_msg_size(&letter->frames[0]);
        memcpy(fake->peer, zmq_msg_data(&letter->frames[0]), fake->peer_bytes);
        fake->n_recovery_hellos += in->hello->is_recovery;
        take_sticky(fake, &letter->frames[2], true);
        welcome.last_seq = fake->last_seq;
        out.body_case = BARO__ENVELOPE__BODY_WELCOME;
        out.welcome = &welcome;
        if (manner == FAKE_REFUSE) {
            refusal.code = BARO_EFULL;
            refusal.text = (char *)(uintptr_t) "no room on the disk";
            out.body_case = BARO__ENVELOPE__BODY_REFUSAL;
            out.refusal = &refusal;
        }
        answer(socket, letter, &out, manner == FAKE_OTHER ? 99 : WIRE_VERSION);
    } else if (in->body_case == BARO__ENVELOPE__BODY_BATCH && !is_greeted(fake, letter)) {
        fake->n_stale++; /* from a connection that its sender has given up */
    } else if (in->body_case == BARO__ENVELOPE__BODY_BATCH && manner == FAKE_FORGET) {
        fake->is_forgetting = true;
    } else if (in->body_case == BARO__ENVELOPE__BODY_BATCH && !fake->is_forgetting) {
        take_batch(fake, in->batch, letter);
        ack.last_seq = fake->last_seq;
        out.body_case = BARO__ENVELOPE__BODY_ACK;
        out.ack = &ack;
        if (manner != FAKE_WITHHOLD) {
            answer(socket, letter, &out, WIRE_VERSION);
        }
    } else if (in->body_case == BARO__ENVELOPE__BODY_HEARTBEAT) {
        fake->n_beats++;
    } else if (in->body_case != BARO__ENVELOPE__BODY_BATCH) {
        fake->n_bad++;
    }
    wire_release(&message);
}

static void *serve(void *payload)
{
    struct fake_daemon *fake = payload;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    int linger = 0;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    atomic_store(&fake->is_bound, zmq_bind(socket, fake->endpoint) == 0);
    while (!atomic_load(&fake->is_stopping)) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        int manner = atomic_load(&fake->manner);
        if (manner == FAKE_DEAF) {
            nap(1000000);
            continue;
        }
        struct letter letter;
        if (zmq_poll(&item, 1, 5) > 0 && take_letter(socket, &letter)) {
            (void)pthread_mutex_lock(&fake->lock);
            on_letter(fake, socket, &letter);
            (void)pthread_mutex_unlock(&fake->lock);
            drop_letter(&letter);
            if (manner == FAKE_SLOW) {
                nap(2000000);
            }
        }
    }
    (void)zmq_close(socket);
    (void)zmq_ctx_term(context);
    return NULL;
}

struct fake_daemon *fake_create(const char *dir)
{
    struct fake_daemon *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    (void)pthread_mutex_init(&fake->lock, NULL);
    (void)snprintf(fake->endpoint, sizeof fake->endpoint, "ipc://%s/fake.sock", dir);
    return fake;
}

void fake_start(struct fake_daemon *fake, enum fake_manner manner)
{
    atomic_store(&fake->manner, (int)manner);
    atomic_store(&fake->is_stopping, false);
    atomic_store(&fake->is_bound, false);
    assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
    fake->is_running = true;
    uint64_t deadline = baro_now_ns() + UINT64_C(10000000000);
    while (!atomic_load(&fake->is_bound)) {
        assert_true(baro_now_ns() < deadline);
        nap(500000);
    }
}

void fake_stop(struct fake_daemon *fake)
{
    if (fake->is_running) {
        atomic_store(&fake->is_stopping, true);
        (void)pthread_join(fake->thread, NULL);
        fake->is_running = false;
    }
}

void fake_destroy(struct fake_daemon *fake)
{
    fake_stop(fake);
    (void)pthread_mutex_destroy(&fake->lock);
    free(fake);
}

uint64_t fake_get(struct fake_daemon *fake, const uint64_t *counter)
{
    (void)pthread_mutex_lock(&fake->lock);
    uint64_t value = *counter;
    (void)pthread_mutex_unlock(&fake->lock);
    return value;
}

void fake_wait(struct fake_daemon *fake, const uint64_t *counter, uint64_t value)
{
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    uint64_t now = 0;
    while (now < value) {
        now = fake_get(fake, counter);
        if (baro_now_ns() > deadline) {
            fail_msg("waited 20 s: %llu of %llu", (unsigned long long)now,
                (unsigned long long)value);
        }
        nap(500000);
    }
}

uint64_t fake_missing(struct fake_daemon *fake, uint64_t last)
{
    uint64_t n = 0;
    (void)pthread_mutex_lock(&fake->lock);
    for (uint64_t seq = 1; seq <= last; seq++) {
        n += fake->seen[seq] == 0;
    }
    (void)pthread_mutex_unlock(&fake->lock);
    return n;
}
