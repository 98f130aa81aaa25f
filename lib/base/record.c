/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/record.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/baro_types.h"

uint32_t record_check(const void *record)
{
    uint32_t bytes;
    memcpy(&bytes, record, sizeof bytes);
    return (uint32_t)XXH3_64bits((const uint8_t *)record + 8, bytes - 8);
}

int record_next(const uint8_t **cursor, const uint8_t *end, struct record_header *out,
    const uint8_t **out_payload)
{
    size_t left = (size_t)(end - *cursor);
    if (left == 0) {
        return 0;
    }
    if (left < RECORD_HEADER_BYTES) {
        return BARO_ECORRUPT;
    }
    struct record_header header;
    memcpy(&header, *cursor, sizeof header);
    if (header.bytes > left || header.bytes > RECORD_MAX_BYTES || header.bytes % 8 != 0 ||
        header.bytes < RECORD_HEADER_BYTES ||
        header.payload_bytes > header.bytes - RECORD_HEADER_BYTES ||
        record_bytes(header.payload_bytes) != header.bytes ||
        header.check != record_check(*cursor)) {
        return BARO_ECORRUPT;
    }
    *out = header;
    *out_payload = *cursor + RECORD_HEADER_BYTES;
    *cursor += header.bytes;
    return 1;
}
