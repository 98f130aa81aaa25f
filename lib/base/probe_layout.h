/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the bytes of a probe lie: shared by those who write (probe_build.c) and read them (probe.c).
 *
 * All numbers little-endian; each section begins at a multiple of 8, right after the one before:
 *
 *   header     struct probe_head, 128 bytes
 *   numbers    int64 x n_numbers: the probe's rows; shapes, which values name by the place of
 *              their first extent; the origin's units and rows, the last of them all
 *   values     struct probe_value_record, 80 bytes each
 *   ops        struct probe_op_record, 32 bytes each
 *   operands   int32 x n_operands: of each operation its inputs, then its outputs
 *   text       texts of UTF-8, each ended by a zero byte, the first empty; each different text
 *              is there once
 *   data       elements that were kept, each value's at a multiple of 8
 *
 * What fills up to a multiple of 8 is zero. A text is named by the place of its first byte.
 */
#ifndef BARO_PROBE_LAYOUT_H
#define BARO_PROBE_LAYOUT_H

#include <stdint.h>

#include "lib/base/probe.h"

#define PROBE_MAGIC "BAROPROB"

enum { PROBE_VERSION = 1, PROBE_ALIGN = 8 };

/* Bits of probe_head.flags. */
enum {
    PROBE_HAS_ORIGIN = 1,
    PROBE_IS_CUT = 2,
    PROBE_IS_GRADIENT = 4, /* these three of the origin */
    PROBE_IS_REPLAYED = 8,
    PROBE_IS_EXACT = 16,
    PROBE_FLAGS = 31 /* all there are */
};

struct probe_head {
    char magic[8];
    uint32_t version;
    uint32_t head_bytes; /* where the numbers begin */
    uint64_t bytes;      /* of everything */
    int64_t step;
    int64_t n_batch;
    uint32_t reason;
    uint32_t flags;
    int32_t loss;
    uint32_t n_rows;
    uint32_t n_numbers;
    uint32_t n_values;
    uint32_t n_ops;
    uint32_t n_operands;
    uint64_t text_bytes; /* without what fills up */
    uint64_t data_bytes;
    int32_t origin_op;
    int32_t origin_value;
    uint32_t origin_n_units;
    uint32_t origin_n_rows;
    uint32_t origin_cause; /* a text */
    uint32_t reserved[5];  /* 0 */
};
_Static_assert(sizeof(struct probe_head) == 128, "the layout is a contract");

/* Bits of probe_value_record.flags. */
enum { PROBE_IS_MEASURED = 1 }; /* its statistics are known, count is that of its shape */

struct probe_value_record {
    uint32_t name;  /* a text */
    uint32_t shape; /* place of its first extent among the numbers */
    int32_t op;
    uint8_t kind;
    uint8_t dtype;
    uint8_t n_dims;
    uint8_t kept;
    int8_t batch_axis;
    int8_t unit_axis;
    uint16_t flags;
    uint32_t reserved; /* 0 */
    uint64_t n_nan;
    uint64_t n_inf;
    double min;
    double max;
    double mean;
    double l2;
    uint64_t data; /* place within the data; 0 when nothing is kept */
};
_Static_assert(sizeof(struct probe_value_record) == 80, "the layout is a contract");

struct probe_op_record {
    uint32_t name; /* texts */
    uint32_t module;
    uint32_t source;
    uint32_t attrs;
    uint32_t operands; /* place of its first input; its outputs follow its inputs */
    uint16_t n_inputs;
    uint16_t n_outputs;
    uint32_t phase;
    uint32_t reserved; /* 0 */
};
_Static_assert(sizeof(struct probe_op_record) == 32, "the layout is a contract");

/** Round up to where the next section may begin. */
static inline uint64_t probe_align(uint64_t bytes)
{
    return (bytes + (PROBE_ALIGN - 1)) & ~(uint64_t)(PROBE_ALIGN - 1);
}

/**
 * Give the shape that the kept elements of a value have.
 *
 * shape    of the value
 * returns  the number of elements; 0 with nothing kept; -1 when it does not fit 2^62
 */
int64_t probe_kept_dims(const struct probe_value *value, int64_t n_batch, int64_t n_rows,
    int64_t out_shape[BARO_MAX_DIMS]);

#endif
