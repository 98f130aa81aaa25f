/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/reading_raw.h"

#include <string.h>

#include "lib/base/err.h"

/* Tell whether the shape is one, and of so many bytes. */
static bool is_shape_of(
    const struct reading_raw_head *head, size_t element_bytes, size_t n_bytes)
{
    uint64_t count = 1;
    for (unsigned d = 0; d < BARO_MAX_DIMS; d++) {
        int64_t extent = head->shape[d];
        if (d >= head->n_dims ? extent != 0 : extent < 0) {
            return false;
        }
        if (d < head->n_dims && __builtin_mul_overflow(count, (uint64_t)extent, &count)) {
            return false;
        }
    }
    return count <= n_bytes && count * element_bytes == n_bytes;
}

int reading_raw_check(const struct record_header *header, const uint8_t *payload,
    const struct reading_raw_thing *thing, struct reading_raw *out_raw,
    struct baro_err *err)
{
    struct reading_raw_head head;
    if (header->kind != READING_RAW || header->payload_bytes < sizeof head) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a raw record with %u bytes, where at least %zu belong", header->payload_bytes,
            sizeof head);
    }
    memcpy(&head, payload, sizeof head);
    size_t n_bytes = header->payload_bytes - sizeof head;
    size_t element_bytes = baro_dtype_bytes((enum baro_dtype)head.dtype);
    if (element_bytes == 0 || head.dtype != (uint32_t)thing->dtype) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a raw record of element type %u, where %s was declared", head.dtype,
            baro_dtype_name(thing->dtype));
    }
    if (head.n_dims > BARO_MAX_DIMS || head.has_units > 1 || head.reserved != 0 ||
        !is_shape_of(&head, element_bytes, n_bytes)) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a raw record whose shape of %u dimensions does not make its %zu bytes of %s",
            head.n_dims, n_bytes, baro_dtype_name(thing->dtype));
    }
    int axis = thing->unit_axis;
    bool fits_units = thing->n_units > 0 && thing->n_units <= READING_MAX_UNITS &&
                      axis >= 0 && axis < (int)head.n_dims &&
                      head.shape[axis] == (int64_t)thing->n_units;
    if (head.has_units == 1 && !fits_units) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a raw record whose units are wanted, but it has not the %u that were declared",
            thing->n_units);
    }
    struct reading_raw raw = {.has_units = head.has_units == 1};
    int rc = baro_span_make(&raw.span, thing->dtype, payload + sizeof head,
        (int)head.n_dims, head.shape, NULL, err);
    if (rc == 0) {
        *out_raw = raw;
    }
    return rc != 0 ? BARO_ECORRUPT : 0;
}
