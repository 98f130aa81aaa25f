/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of tail: the rows of one commit as they lie in LMDB until they are sealed. Private to
 * daemon/store.
 */
#ifndef BARO_STORE_PIECE_H
#define BARO_STORE_PIECE_H

#include "daemon/store/tail.h"
#include "lib/codec/frame.h"

enum {
    PIECE_HEAD_BYTES = 16,        /* XXH3-64 of the rest, rows, bytes of the rows decoded */
    PIECE_BYTES = 32 * 4096 - 16, /* a piece is no larger unless one row is */
    PIECE_MAX_RAW_BYTES = TAIL_MAX_PAYLOAD_BYTES + PIECE_BYTES
};

/* The rows of an opened piece, and how far one has come. */
struct piece {
    const uint8_t *rows;
    size_t n_bytes;
    size_t at;
};

/** Append a row to the piece that a run's commit in progress fills. */
void piece_add(
    struct tail_run *run, const struct tail_record *record, const uint8_t *payload);

/**
 * Complete the piece in progress, so that it can be stored.
 *
 * out_bytes  the run's or the codec's; valid until either is used again
 * returns    its size; the run has no piece in progress any more
 */
size_t piece_finish(
    struct tail_run *run, struct frame_codec *codec, const uint8_t **out_bytes);

/**
 * Check a piece and decode it.
 *
 * out      borrows the bytes, or is valid until the codec is used again
 * returns  0; BARO_ECORRUPT
 */
int piece_open(
    struct piece *out, const uint8_t *bytes, size_t n_bytes, struct frame_codec *codec);

/** Take the next row out of a piece. Returns 1 for a row; 0 at the end; BARO_ECORRUPT. */
int piece_next(struct piece *piece, struct tail_record *out, const uint8_t **out_payload);

#endif
