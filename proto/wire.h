/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelope frames: packing, and checked unpacking of untrusted bytes. Every size has a limit
 * that is tested before memory is taken.
 */
#ifndef BARO_WIRE_H
#define BARO_WIRE_H

#include <stdint.h>

#include "lib/base/baro_types.h"
#include "proto/barograph.pb-c.h"

enum {
    WIRE_VERSION = 1,
    WIRE_MAX_ENVELOPE_BYTES = 1 << 20, /* asked of and by the daemon */
    WIRE_MAX_REPLY_BYTES = 64 << 20,   /* an envelope that the asking side accepts */
    WIRE_MAX_FRAME_BYTES = 16 << 20,   /* a raw frame of records */
    WIRE_STREAM_BYTES = 16
};

/* How RangeReply's columns are written. */
enum wire_packing {
    WIRE_AS_THEY_ARE = 0, /* struct wire_column */
    WIRE_PACKED = 1       /* wire_columns.h */
};

/* One pixel column of a series, as RangeReply's raw frames carry it. */
struct wire_column {
    int64_t first_step; /* of the first reading in the column; valid if count > 0 */
    int64_t last_step;
    double min; /* of finite values; NaN when none is finite */
    double max;
    double mean;
    double first; /* first and last reading, whatever they are */
    double last;
    uint32_t count; /* readings in the column; 0: a gap */
    uint32_t n_nan;
    uint32_t n_pos_inf;
    uint32_t n_neg_inf;
};
_Static_assert(sizeof(struct wire_column) == 72, "the layout is part of the protocol");

/* An unpacked envelope; release with wire_release. */
struct wire_message {
    Baro__Envelope *envelope; /* never NULL after wire_unpack succeeded */
};

/**
 * Unpack one envelope frame.
 *
 * max_bytes  limit for this side, WIRE_MAX_ENVELOPE_BYTES or WIRE_MAX_REPLY_BYTES
 * returns  0; BARO_ELIMIT when too large; BARO_ECORRUPT when it does not parse; BARO_EVERSION
 *          when the version differs: the text says which side to update
 */
int wire_unpack(const void *bytes, size_t n_bytes, size_t max_bytes,
    struct wire_message *out_message, struct baro_err *err);

/** Release what wire_unpack gave; accepts a zeroed message. */
void wire_release(struct wire_message *message);

/**
 * Pack an envelope; sets its version.
 *
 * out_bytes  allocated, the caller frees
 * returns  0; BARO_ENOMEM
 */
int wire_pack(Baro__Envelope *envelope, uint8_t **out_bytes, size_t *out_n_bytes);

/**
 * Give the default endpoint "ipc://..." of the daemon that serves a data folder: the socket lies
 * in the folder, or, when that path is too long for a Unix socket, in a private folder under
 * XDG_RUNTIME_DIR or /tmp with a name hashed from it.
 *
 * returns  0; BARO_ELIMIT when even that does not fit
 */
int wire_endpoint(const char *dir, char *out, size_t out_bytes, struct baro_err *err);

#endif
