/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one trust boundary for pushed data: Hello, Batch and Heartbeat of push clients, and the
 * rings of dead ones, become checked readings of known things. Ingest thread only.
 */
#ifndef BAROD_INGEST_H
#define BAROD_INGEST_H

#include "daemon/barod.h"

/* One raw frame as it came. */
struct raw {
    const uint8_t *bytes; /* 8-byte aligned */
    size_t n_bytes;
};

/** Answer a Hello: find or make run and stream, send Welcome. hello: taken from the envelope. */
void ingest_hello(struct barod *barod, const struct peer *peer, uint64_t request,
    Baro__Envelope *envelope, const struct raw *frames, size_t n_frames);

/** Take a Batch; it is acknowledged after its commit. */
void ingest_batch(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__Batch *batch, const struct raw *frames, size_t n_frames);

/** Note a sign of life and answer it with an Ack. */
void ingest_heartbeat(struct barod *barod, const struct peer *peer, uint64_t request,
    const Baro__Heartbeat *beat);

/**
 * Take declarations of a stream: sticky records.
 *
 * returns  0; BARO_ECORRUPT or BARO_ELIMIT: the good ones before it have been taken
 */
int ingest_sticky(struct barod *barod, struct stream *stream, const struct raw *frame,
    struct baro_err *err);

/**
 * Take data records of a stream; those taken before are skipped.
 *
 * returns  0; BARO_ECORRUPT when the frame breaks off: the good ones before it have been taken
 */
int ingest_records(struct barod *barod, struct stream *stream, const struct raw *frame,
    struct baro_err *err);

#endif
