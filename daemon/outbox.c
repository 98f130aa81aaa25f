/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "lib/base/mem.h"

struct outbox_flow {
    _Atomic size_t n_held;
    _Atomic size_t n_refs; /* its owner and the frames held */
};

struct outbox_flow *outbox_flow_create(void)
{
    struct outbox_flow *flow = baro_xcalloc(1, sizeof *flow);
    flow->n_refs = 1;
    return flow;
}

void outbox_flow_release(struct outbox_flow *flow)
{
    if (flow != NULL && atomic_fetch_sub(&flow->n_refs, 1) == 1) {
        free(flow);
    }
}

size_t outbox_flow_held(const struct outbox_flow *flow)
{
    return flow->n_held;
}

void outbox_flow_hold(struct outbox_flow *flow, struct frame *frame)
{
    (void)atomic_fetch_add(&flow->n_refs, 1);
    (void)atomic_fetch_add(&flow->n_held, 1);
    frame->flow = flow;
}

/* Free bytes that ZeroMQ, in whichever thread, or we have no use for any more. */
static void free_bytes(void *bytes, void *hint)
{
    struct outbox_flow *flow = hint;
    free(bytes);
    if (flow != NULL) {
        (void)atomic_fetch_sub(&flow->n_held, 1);
        outbox_flow_release(flow);
    }
}

void outbox_drop(struct frame *frame)
{
    free_bytes(frame->bytes, frame->flow);
    *frame = (struct frame){0};
}

/* Send one part; takes the message over in any case. */
static int send_part(void *socket, zmq_msg_t *message, bool is_last)
{
    if (zmq_msg_send(message, socket, ZMQ_DONTWAIT | (is_last ? 0 : ZMQ_SNDMORE)) >= 0) {
        return 0;
    }
    int code = errno == EHOSTUNREACH ? BARO_ENOENT
               : errno == EAGAIN     ? BARO_EFULL
                                     : BARO_EIO;
    (void)zmq_msg_close(message);
    return code;
}

static int send_copy(void *socket, const void *bytes, size_t n_bytes, bool is_last)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, n_bytes) != 0) {
        return BARO_ENOMEM;
    }
    if (n_bytes > 0) {
        memcpy(zmq_msg_data(&message), bytes, n_bytes);
    }
    return send_part(socket, &message, is_last);
}

static int send_taken(
    void *socket, void *bytes, size_t n_bytes, struct outbox_flow *flow, bool is_last)
{
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, bytes, n_bytes, free_bytes, flow) != 0) {
        free_bytes(bytes, flow);
        return BARO_ENOMEM;
    }
    return send_part(socket, &message, is_last);
}

static void free_taken(struct frame *frames, size_t from, size_t n_frames)
{
    for (size_t i = from; i < n_frames; i++) {
        if (frames[i].is_taken) {
            outbox_drop(&frames[i]);
        }
    }
}

/* Once the routing id is accepted, ZeroMQ accepts the other parts of the message, too. */
int outbox_send_packed(void *socket, const struct peer *peer, uint8_t *packed,
    size_t n_packed, struct frame *frames, size_t n_frames)
{
    int rc = send_copy(socket, peer->bytes, peer->n_bytes, false);
    if (rc == 0) {
        rc = send_taken(socket, packed, n_packed, NULL, n_frames == 0);
    } else {
        free(packed);
    }
    size_t i = 0;
    for (; rc == 0 && i < n_frames; i++) {
        bool is_last = i + 1 == n_frames;
        if (frames[i].is_taken) {
            rc = send_taken(
                socket, frames[i].bytes, frames[i].n_bytes, frames[i].flow, is_last);
        } else {
            rc = send_copy(socket, frames[i].bytes, frames[i].n_bytes, is_last);
        }
    }
    free_taken(frames, i, n_frames);
    return rc;
}

int outbox_send(void *socket, const struct peer *peer, Baro__Envelope *envelope,
    struct frame *frames, size_t n_frames)
{
    uint8_t *packed = NULL;
    size_t n_packed = 0;
    int rc = wire_pack(envelope, &packed, &n_packed);
    if (rc != 0) {
        free_taken(frames, 0, n_frames);
        return rc;
    }
    return outbox_send_packed(socket, peer, packed, n_packed, frames, n_frames);
}

int outbox_refuse(
    void *socket, const struct peer *peer, uint64_t request, int code, const char *text)
{
    Baro__Refusal refusal;
    baro__refusal__init(&refusal);
    char sentence[256];
    (void)snprintf(sentence, sizeof sentence, "%s", text);
    refusal.code = code;
    refusal.text = sentence;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_REFUSAL;
    envelope.refusal = &refusal;
    return outbox_send(socket, peer, &envelope, NULL, 0);
}
