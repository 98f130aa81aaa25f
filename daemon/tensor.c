/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tensor.h"

#include "lib/base/mem.h"
#include "lib/base/reading_raw.h"
#include "lib/measure/measure.h"

/* Where payloads are made; kept from the first raw tensor on. */
struct tensor_room {
    struct measure_summary summary;
    float units[UNIT_STAT_MOST * READING_MAX_UNITS];
};

static struct reading reading_of(
    const struct record_header *raw, enum reading_kind kind, uint32_t payload_bytes)
{
    struct reading reading = {.header = *raw};
    reading.header.kind = (uint16_t)kind;
    reading.header.payload_bytes = payload_bytes;
    reading.header.bytes = record_bytes(payload_bytes);
    return reading;
}

static struct reading summary_of(
    const struct record_header *raw, const struct measure_summary *summary)
{
    struct reading reading =
        reading_of(raw, READING_SUMMARY, measure_summary_bytes(summary));
    reading.n_f64 = SUMMARY_STAT_COUNT;
    reading.extra_bytes = (uint32_t)(summary->n_bins * sizeof summary->bins[0]);
    reading.f64 = summary->stats;
    reading.extra = (const uint8_t *)summary->bins;
    reading.f32 = (const float *)(const void *)summary->bins; /* none, as in any reading */
    return reading;
}

static struct reading units_of(
    const struct record_header *raw, const float *units, size_t n_floats)
{
    struct reading reading =
        reading_of(raw, READING_UNITS, (uint32_t)(n_floats * sizeof *units));
    reading.n_f32 = (uint32_t)n_floats;
    reading.f64 = (const double *)(const void *)units; /* none: where the payload begins */
    reading.f32 = units;
    reading.extra = (const uint8_t *)(units + n_floats);
    return reading;
}

int tensor_measure(struct barod *barod, const struct record_header *header,
    const uint8_t *payload, const Baro__Declare *declare, struct reading *out_readings,
    struct baro_err *err)
{
    const struct reading_raw_thing declared = {
        .dtype = (enum baro_dtype)declare->dtype,
        .unit_axis = declare->unit_axis,
        .n_units = declare->n_units,
    };
    struct reading_raw raw;
    int rc = reading_raw_check(header, payload, &declared, &raw, err);
    if (rc != 0) {
        return rc;
    }
    barod->raw_bytes += header->bytes;
    barod->open_raw_bytes += header->bytes;
    if (barod->tensors == NULL) {
        barod->tensors = baro_xcalloc(1, sizeof *barod->tensors);
    }
    struct tensor_room *room = barod->tensors;
    const struct measure_thing thing = {
        .role = (enum baro_role)declare->role,
        .unit_axis = declare->unit_axis,
        .n_units = declare->n_units,
    };
    if (!raw.has_units) {
        measure_whole(&thing, &raw.span, &room->summary);
        out_readings[0] = summary_of(header, &room->summary);
        return 1;
    }
    size_t n_floats = measure_both(&thing, &raw.span, &room->summary, room->units);
    out_readings[0] = summary_of(header, &room->summary);
    out_readings[1] = units_of(header, room->units, n_floats);
    return 2;
}
