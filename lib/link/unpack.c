/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/unpack.h"

#include <stdlib.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/link/finding.h"
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

/* Take the memory of one frame away. */
static void release_frame(struct link_frame *frame)
{
    if (frame->holder != NULL) {
        (void)zmq_msg_close(frame->holder);
        free(frame->holder);
    } else {
        free((void *)(uintptr_t)frame->bytes);
    }
    *frame = (struct link_frame){0};
}

/* The columns of a finding are one frame among others; each frame has memory of its own. */
static int unpack_finding(struct link_message *message, struct baro_err *err)
{
    Baro__SampleFinding *finding = message->wire.envelope->sample_finding;
    struct link_frame *frame =
        message->n_frames > FINDING_COLUMNS ? &message->frames[FINDING_COLUMNS] : NULL;
    uint64_t n = (uint64_t)finding->n_shown * finding->n_columns;
    bool is_known = finding->packing == WIRE_PACKED && frame != NULL &&
                    n <= WIRE_MAX_REPLY_BYTES / sizeof(struct wire_column);
    struct wire_column *columns =
        is_known ? baro_xrealloc(NULL, n > 0 ? n : 1, sizeof *columns) : NULL;
    int64_t rc = is_known ? 0 : BARO_ECORRUPT;
    if (is_known && frame->n_bytes > 0) {
        rc = unpack_frame(frame, finding->n_shown, finding->n_columns, columns);
    }
    if (rc < 0) {
        free(columns);
        return baro_err_set(err, (int)rc, "the columns of a finding do not unpack");
    }
    bool is_empty = frame->n_bytes == 0;
    release_frame(frame);
    *frame = (struct link_frame){
        (const uint8_t *)columns, is_empty ? 0 : n * sizeof *columns, NULL};
    finding->packing = WIRE_AS_THEY_ARE;
    return 0;
}

int link_unpack(struct link_message *message, struct baro_err *err)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    if (envelope->body_case == BARO__ENVELOPE__BODY_SAMPLE_FINDING) {
        return envelope->sample_finding->packing == WIRE_AS_THEY_ARE
                   ? 0
                   : unpack_finding(message, err);
    }
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
