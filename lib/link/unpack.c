/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/unpack.h"

#include <stdlib.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "proto/wire_columns.h"

void link_frames_release(struct link_message *message)
{
    for (size_t i = 0; i < message->n_frames; i++) {
        struct link_frame *frame = &message->frames[i];
        if (frame->holder != NULL) {
            (void)zmq_msg_close(frame->holder);
            free(frame->holder);
        } else if (message->columns == NULL) {
            free((void *)(uintptr_t)frame->bytes);
        }
        *frame = (struct link_frame){0};
    }
    free(message->columns);
    message->columns = NULL;
}

/* Unpack the columns of one frame; returns how many there are, or a code. */
static int64_t unpack_frame(const struct link_frame *frame, size_t n_series,
    size_t n_columns, struct wire_column *out)
{
    size_t at = 0;
    for (size_t i = 0; i < n_series; i++) {
        int64_t took = wire_columns_unpack(
            frame->bytes + at, frame->n_bytes - at, n_columns, out + i * n_columns);
        if (took < 0) {
            return took;
        }
        at += (size_t)took;
    }
    return (int64_t)(n_series * n_columns);
}

/* Count the columns of all frames; 0 when they are none that could have come. */
static size_t count_columns(const struct link_message *message)
{
    const Baro__RangeReply *reply = message->wire.envelope->range_reply;
    uint64_t n_series = 0;
    for (size_t i = 0; i < reply->n_n_series; i++) {
        n_series += reply->n_series[i];
    }
    bool is_known = reply->packing == WIRE_PACKED && reply->n_n_series == message->n_frames;
    uint64_t most = WIRE_MAX_REPLY_BYTES / sizeof(struct wire_column);
    return is_known && n_series <= most && reply->n_columns <= most &&
                   n_series * reply->n_columns <= most
               ? n_series * reply->n_columns
               : 0;
}

int link_unpack(struct link_message *message, struct baro_err *err)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    if (envelope->body_case != BARO__ENVELOPE__BODY_RANGE_REPLY ||
        envelope->range_reply->packing == WIRE_AS_THEY_ARE) {
        return 0;
    }
    Baro__RangeReply *reply = envelope->range_reply;
    size_t n = count_columns(message);
    struct wire_column *columns =
        n > 0 ? baro_xrealloc(NULL, n, sizeof *columns) : NULL; /* each is written */
    int64_t rc = n > 0 ? 0 : BARO_ECORRUPT;
    size_t at = 0;
    for (size_t i = 0; rc >= 0 && i < message->n_frames; i++) {
        rc = unpack_frame(
            &message->frames[i], reply->n_series[i], reply->n_columns, columns + at);
        at += rc > 0 ? (size_t)rc : 0;
    }
    if (rc < 0) {
        free(columns);
        return baro_err_set(err, (int)rc, "the columns of a range do not unpack");
    }
    link_frames_release(message);
    message->columns = columns;
    at = 0;
    for (size_t i = 0; i < message->n_frames; i++) {
        size_t n_here = (size_t)reply->n_series[i] * reply->n_columns;
        message->frames[i] = (struct link_frame){
            (const uint8_t *)(columns + at), n_here * sizeof *columns, NULL};
        at += n_here;
    }
    reply->packing = WIRE_AS_THEY_ARE;
    return 0;
}
