/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed view of an n-dimensional array: what every kernel reads. */
#ifndef BARO_TENSOR_H
#define BARO_TENSOR_H

#include <stdbool.h>

#include "lib/base/baro_types.h"

/* A view; owns nothing. Strides count elements and may be 0 or negative. */
struct baro_span {
    const void *data;      /* first element (index 0,0,...); NULL only if count is 0 */
    enum baro_dtype dtype; /* element type */
    int n_dims;            /* 0 to BARO_MAX_DIMS; 0 is one element */
    int64_t shape[BARO_MAX_DIMS];   /* each >= 0 */
    int64_t strides[BARO_MAX_DIMS]; /* in elements */
};

/** Tell the size of one element in bytes; 0 for an unknown type. */
size_t baro_dtype_bytes(enum baro_dtype dtype);

/** Name a type as users write it ("f32", "bf16"); "?" for an unknown one. */
const char *baro_dtype_name(enum baro_dtype dtype);

/** Name a role ("weight", "grad", "act", "act_grad", "update", "input", "opt"); else "?". */
const char *baro_role_name(enum baro_role role);

/** Find a role by its name; 0 when there is none. */
enum baro_role baro_role_parse(const char *name);

/**
 * Tell whether a role follows the data: its tensors have the batch as first axis, and maybe time
 * as another, so that their shape may vary from step to step without meaning anything.
 */
bool baro_role_has_batch(enum baro_role role);

/** Name a level ("info", "watch", "alarm"); else "?". */
const char *baro_level_name(enum baro_level level);

/**
 * Build a view and check it.
 *
 * shape, strides  n_dims numbers each; strides NULL means C order, contiguous
 * returns  0; BARO_EUNSUPPORTED for an unknown type; BARO_EINVAL for a
 *          negative extent, too many dimensions, or NULL data where there are elements;
 *          BARO_ELIMIT when the number of elements does not fit 2^62
 */
int baro_span_make(struct baro_span *out_span, enum baro_dtype dtype, const void *data,
    int n_dims, const int64_t *shape, const int64_t *strides, struct baro_err *err);

/** Count the elements of a view. */
int64_t baro_span_count(const struct baro_span *span);

/** Tell whether the elements lie one after the other in row-major order. */
bool baro_span_is_contiguous(const struct baro_span *span);

#endif
