/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole tensor on its way to the daemon, which summarises it (BARO_SUMMARISE=daemon). The record
 * never reaches the store: it becomes a READING_SUMMARY and maybe a READING_UNITS.
 *
 *   offset in the payload   meaning (little-endian)
 *   0      4                dtype: enum baro_dtype, as declared
 *   4      4                n_dims: 0 to 8
 *   8      4                has_units: 1 when its units are wanted too, else 0
 *   12     4                0
 *   16     8 x 8            shape; 0 behind n_dims
 *   80     ...              the elements, row-major without gaps
 */
#ifndef BARO_READING_RAW_H
#define BARO_READING_RAW_H

#include "lib/base/reading.h"

/* The head as it lies in the payload. */
struct reading_raw_head {
    uint32_t dtype;
    uint32_t n_dims;
    uint32_t has_units;
    uint32_t reserved;
    int64_t shape[BARO_MAX_DIMS];
};
_Static_assert(sizeof(struct reading_raw_head) == 80, "the layout above is a contract");

/* The elements of one record: more do not fit, and the daemon summarises them in a millisecond. */
enum {
    READING_RAW_MAX_BYTES = RECORD_MAX_BYTES - 64 - (int)sizeof(struct reading_raw_head)
};

/* What was declared of the tensor. */
struct reading_raw_thing {
    enum baro_dtype dtype;
    int unit_axis;    /* BARO_NO_UNITS: none */
    uint32_t n_units; /* 0: none */
};

/* One record whose layout has been checked; borrows the record's bytes. */
struct reading_raw {
    struct baro_span span;
    bool has_units;
};

/**
 * Check a READING_RAW against what its thing was declared as.
 *
 * header, payload  from record_next(); payload 8-byte aligned
 * returns  0; BARO_ECORRUPT for another element type than declared, a shape that cannot be or
 *          does not match the bytes, and units that the tensor does not have
 */
int reading_raw_check(const struct record_header *header, const uint8_t *payload,
    const struct reading_raw_thing *thing, struct reading_raw *out_raw,
    struct baro_err *err);

#endif
