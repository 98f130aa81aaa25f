/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the bytes of a probe, in memory that is bounded from the begin: libbaro's, and that of
 * tests and benchmarks. Nothing here ends the process or waits.
 */
#ifndef BARO_PROBE_BUILD_H
#define BARO_PROBE_BUILD_H

#include "lib/base/probe.h"
#include "lib/base/ringfile.h"
#include "lib/base/tensor.h"

struct probe_build;

enum { PROBE_BUILD_PARTS = 16 }; /* that a range of bytes has at most */

/* What is known before anything is added. */
struct probe_build_options {
    int64_t step;
    enum probe_reason reason;
    int64_t n_batch;
    uint32_t n_rows;
    const int64_t *rows; /* borrowed for the call */
    size_t max_bytes;    /* of the whole probe */
};

/**
 * Begin to build.
 *
 * returns  0; BARO_EINVAL for rows that are not in the batch, a step or a reason that cannot be;
 *          BARO_ELIMIT when max_bytes is too small for any; BARO_ENOMEM
 */
int probe_build_create(
    struct probe_build **out_build, const struct probe_build_options *options);

/** Free it; accepts NULL. */
void probe_build_destroy(struct probe_build *build);

/**
 * Add a value. What is to be kept is copied; when it does not fit, or takes what operations will
 * need, the value keeps its statistics only and the probe says that it is cut.
 *
 * value    all but op, data and bytes is taken over; count 0: it has not been measured; a name
 *          NULL is none. A result that no operation gives in the end becomes an input
 * span     its elements, borrowed for the call; NULL: not at hand
 * returns  its number; BARO_EINVAL; BARO_ELIMIT when not even that fits; BARO_ENOMEM
 */
int64_t probe_build_value(struct probe_build *build, const struct probe_value *value,
    const struct baro_span *span);

/**
 * Add an operation.
 *
 * op       texts NULL are empty; outputs are values that no operation has taken or given; one
 *          that was called an input, parameter or buffer becomes a result
 * returns  its number; BARO_EINVAL; BARO_ELIMIT; BARO_ENOMEM
 */
int64_t probe_build_op(struct probe_build *build, const struct probe_op *op);

/** Say which value is the loss: 0 or BARO_EINVAL. */
int probe_build_loss(struct probe_build *build, int32_t value);

/** Say that operations are missing: the step had more than were told. */
void probe_build_cut(struct probe_build *build);

/**
 * Say where something became non-finite; the last one counts.
 *
 * origin   borrowed for the call; units and rows beyond PROBE_MAX_ROWS are left out
 * returns  0; BARO_EINVAL for what is not there; BARO_ELIMIT; BARO_ENOMEM
 */
int probe_build_origin(struct probe_build *build, const struct probe_origin *origin);

/** End building; returns the number of bytes. Nothing may be added afterwards. */
size_t probe_build_finish(struct probe_build *build);

/**
 * Give a range of the bytes of a finished probe, without copying.
 *
 * out_parts  PROBE_BUILD_PARTS; they borrow from build
 * returns    how many
 */
int probe_build_range(const struct probe_build *build, size_t from, size_t n_bytes,
    struct ringfile_part *out_parts);

/** Copy the bytes of a finished probe out; the caller frees. NULL: out of memory. */
void *probe_build_copy(const struct probe_build *build);

#endif
