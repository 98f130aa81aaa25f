/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what turns a raw frame into readings: record_next, reading_check, reading_raw_check. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading_raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Look at every byte that a whole tensor says it has. */
static double sum_raw(const struct record_header *header, const uint8_t *payload,
    uint32_t n_units, struct baro_err *err)
{
    const struct reading_raw_thing thing = {
        .dtype = (enum baro_dtype)(1 + header->thing % (BARO_DTYPE_END - 1)),
        .unit_axis = (int)(header->step & 7) - 1,
        .n_units = n_units,
    };
    struct reading_raw raw;
    double sum = 0;
    if (reading_raw_check(header, payload, &thing, &raw, err) == 0) {
        const uint8_t *bytes = raw.span.data;
        size_t n = (size_t)baro_span_count(&raw.span) * baro_dtype_bytes(raw.span.dtype);
        for (size_t i = 0; i < n; i++) {
            sum += bytes[i];
        }
    } else if (err->text[0] == '\0') {
        abort();
    }
    return sum;
}

/* The first byte chooses the declared number of units; checksums are made right on the way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    uint32_t n_units = data[0];
    size_t n = size - 1;
    baro_autofree uint8_t *frame = baro_xcalloc(n, 1); /* malloc aligns it */
    memcpy(frame, data + 1, n);
    const uint8_t *cursor = frame;
    const uint8_t *end = frame + n;
    double sum = 0;
    for (;;) {
        uint32_t bytes = 0;
        if ((size_t)(end - cursor) >= RECORD_HEADER_BYTES) {
            memcpy(&bytes, cursor, sizeof bytes);
        }
        if (bytes >= RECORD_HEADER_BYTES && bytes <= (size_t)(end - cursor)) {
            uint32_t check = record_check(cursor);
            memcpy(frame + (cursor - frame) + 4, &check, sizeof check);
        }
        struct record_header header;
        const uint8_t *payload = NULL;
        if (record_next(&cursor, end, &header, &payload) != 1) {
            break;
        }
        struct reading reading;
        struct baro_err err = {0};
        if (header.kind == READING_RAW) {
            sum += sum_raw(&header, payload, n_units, &err);
            continue;
        }
        enum baro_role role = header.payload_bytes % 24 == 0 ? BARO_UPDATE : BARO_WEIGHT;
        if (reading_check(&header, payload, n_units, role, &reading, &err) == 0) {
            for (uint32_t i = 0; i < reading.n_f64; i++) {
                sum += reading.f64[i];
            }
            for (uint32_t i = 0; i < reading.n_f32; i++) {
                sum += (double)reading.f32[i];
            }
            for (uint32_t i = 0; i < reading.extra_bytes; i++) {
                sum += reading.extra[i];
            }
        } else if (err.text[0] == '\0') {
            abort(); /* a refusal always has a sentence */
        }
    }
    return sum > 1e300 ? 1 : 0;
}
