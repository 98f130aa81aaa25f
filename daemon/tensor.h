/* SPDX-License-Identifier: Apache-2.0 */
/* Summarising tensors that thin clients send whole. Ingest thread only. */
#ifndef BAROD_TENSOR_H
#define BAROD_TENSOR_H

#include "daemon/barod.h"
#include "lib/base/reading.h"

enum { TENSOR_READINGS = 2 };

/**
 * Check a READING_RAW and make of it what summarising in the client would have given: a
 * READING_SUMMARY and, if wanted, a READING_UNITS with the same step, time and sequence number.
 *
 * out_readings  TENSOR_READINGS; they are valid until the next call
 * returns  how many, or BARO_ECORRUPT
 * cost     one read of the tensor, which is at most READING_RAW_MAX_BYTES
 */
int tensor_measure(struct barod *barod, const struct record_header *header,
    const uint8_t *payload, const Baro__Declare *declare, struct reading *out_readings,
    struct baro_err *err);

#endif
