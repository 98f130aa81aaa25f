/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of records: one form in the ring file, on the wire, in the daemon's tail log and
 * in live streams, so that a record is written once and never re-encoded. What the payloads
 * mean is lib/base/reading.h's business; here they are bytes.
 *
 *   offset size  meaning (all little-endian)
 *   0      4     bytes: length of the whole record, header and padding included; multiple of 8
 *   4      4     check: low 32 bits of XXH3-64 over everything after this field
 *   8      8     seq: position in its stream, from 1; sticky records have 0
 *   16     8     step
 *   24     8     time_ns: wall time
 *   32     4     thing: id of the scalar or tensor in its stream (in the daemon: in its run);
 *                0 is the run itself
 *   36     2     kind: enum reading_kind
 *   38     2     reserved, 0
 *   40     4     payload_bytes: exact length of the payload
 *   44     4     reserved, 0
 *   48     ...   payload, then zero bytes up to the multiple of 8
 */
#ifndef BARO_RECORD_H
#define BARO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_header {
    uint32_t bytes;
    uint32_t check;
    uint64_t seq;
    int64_t step;
    int64_t time_ns;
    uint32_t thing;
    uint16_t kind;
    uint16_t reserved0;
    uint32_t payload_bytes;
    uint32_t reserved1;
};
_Static_assert(sizeof(struct record_header) == 48, "the layout above is a contract");

enum { RECORD_HEADER_BYTES = 48, RECORD_MAX_BYTES = 4 << 20 };

/** Tell the length of a record with such a payload. payload_bytes: at most RECORD_MAX_BYTES - 64 */
static inline uint32_t record_bytes(uint32_t payload_bytes)
{
    return (RECORD_HEADER_BYTES + payload_bytes + 7U) & ~7U;
}

/**
 * Compute the checksum of a whole record that lies in contiguous memory.
 *
 * record   starts 8-byte aligned; header->bytes must already be right
 */
uint32_t record_check(const void *record);

/**
 * Take the next record out of untrusted bytes.
 *
 * cursor   advanced past the record on success
 * end      one past the last byte
 * out      header copied out; *out_payload points into the buffer (8-byte aligned if it is)
 * returns  1 for a record; 0 at the end; BARO_ECORRUPT when bytes do not form a whole record
 *          with the right checksum
 */
int record_next(const uint8_t **cursor, const uint8_t *end, struct record_header *out,
    const uint8_t **out_payload);

#endif
