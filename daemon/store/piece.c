/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/piece.h"

#include <string.h>

#include <xxhash.h>

#include "lib/base/mem.h"

/*
 * A piece is written once, read at the next start if it is still there, and deleted when its
 * rows are sealed. Compressed, since what the tail takes at most counts into the file for ever:
 * LMDB does not give pages back. The checksum is over what lies on disk.
 */

void piece_add(
    struct tail_run *run, const struct tail_record *record, const uint8_t *payload)
{
    size_t n = tail_payload_bytes(record->n_f64, record->n_f32, record->extra_bytes);
    size_t more = sizeof *record + tail_pad(n);
    if (run->piece_bytes == 0) {
        run->piece_bytes = PIECE_HEAD_BYTES;
        run->piece_rows = 0;
    }
    if (run->piece_bytes + more > run->piece_room) {
        run->piece_room = (run->piece_bytes + more) * 2;
        run->piece = baro_xrealloc(run->piece, run->piece_room, 1);
    }
    uint8_t *to = run->piece + run->piece_bytes;
    memcpy(to, record, sizeof *record);
    if (n > 0) {
        memcpy(to + sizeof *record, payload, n);
    }
    memset(to + sizeof *record + n, 0, tail_pad(n) - n);
    run->piece_bytes += more;
    run->piece_rows++;
}

size_t piece_finish(
    struct tail_run *run, struct frame_codec *codec, const uint8_t **out_bytes)
{
    size_t n_raw = run->piece_bytes - PIECE_HEAD_BYTES;
    uint32_t counts[2] = {run->piece_rows, (uint32_t)n_raw};
    uint8_t *bytes = NULL;
    size_t n =
        frame_pack(codec, run->piece + PIECE_HEAD_BYTES, n_raw, PIECE_HEAD_BYTES, &bytes);
    if (n == 0) {
        bytes = run->piece;
        n = n_raw;
    }
    memcpy(bytes + 8, counts, sizeof counts);
    uint64_t check = XXH3_64bits(bytes + 8, PIECE_HEAD_BYTES - 8 + n);
    memcpy(bytes, &check, sizeof check);
    *out_bytes = bytes;
    run->piece_bytes = 0;
    return PIECE_HEAD_BYTES + n;
}

int piece_open(
    struct piece *out, const uint8_t *bytes, size_t n_bytes, struct frame_codec *codec)
{
    uint64_t check;
    uint32_t counts[2];
    if (n_bytes < PIECE_HEAD_BYTES) {
        return BARO_ECORRUPT;
    }
    memcpy(&check, bytes, sizeof check);
    memcpy(counts, bytes + 8, sizeof counts);
    if (XXH3_64bits(bytes + 8, n_bytes - 8) != check || counts[1] > PIECE_MAX_RAW_BYTES) {
        return BARO_ECORRUPT;
    }
    *out = (struct piece){.rows = bytes + PIECE_HEAD_BYTES, .n_bytes = counts[1]};
    size_t n = n_bytes - PIECE_HEAD_BYTES;
    return n == counts[1] ? 0 : frame_unpack(codec, out->rows, n, counts[1], &out->rows);
}

int piece_next(struct piece *piece, struct tail_record *out, const uint8_t **out_payload)
{
    size_t left = piece->n_bytes - piece->at;
    if (left == 0) {
        return 0;
    }
    if (left < sizeof *out) {
        return BARO_ECORRUPT;
    }
    memcpy(out, piece->rows + piece->at, sizeof *out);
    size_t payload = tail_payload_bytes(out->n_f64, out->n_f32, out->extra_bytes);
    if (payload > TAIL_MAX_PAYLOAD_BYTES || tail_pad(payload) > left - sizeof *out) {
        return BARO_ECORRUPT;
    }
    *out_payload = piece->rows + piece->at + sizeof *out;
    piece->at += sizeof *out + tail_pad(payload);
    return 1;
}
