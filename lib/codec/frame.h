/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame: any bytes, compressed fast rather than small. The store's tail is kept in frames,
 * since what comes in is written at once and lives for seconds only.
 */
#ifndef BARO_FRAME_H
#define BARO_FRAME_H

#include "lib/base/baro_types.h"

/* Compression state and scratch memory; one per thread at a time. */
struct frame_codec;

/** Create a codec; never NULL. */
struct frame_codec *frame_codec_create(void);

/** Release a codec; accepts NULL. */
void frame_codec_destroy(struct frame_codec *codec);

/**
 * Compress bytes.
 *
 * head       room to leave before the frame, for whoever stores it
 * out_bytes  the head and the frame; the codec's, valid until its next call
 * returns    size of the frame; 0 when it is not less than n: keep the bytes as they are
 * cost       about 600 MB/s
 */
size_t frame_pack(struct frame_codec *codec, const uint8_t *bytes, size_t n, size_t head,
    uint8_t **out_bytes);

/**
 * Decompress untrusted bytes that frame_pack made of n_raw bytes.
 *
 * out_raw  the codec's, valid until its next call
 * returns  0; BARO_ECORRUPT when they are anything else
 */
int frame_unpack(struct frame_codec *codec, const uint8_t *bytes, size_t n, size_t n_raw,
    const uint8_t **out_raw);

#endif
