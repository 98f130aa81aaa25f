/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/tensor.h"

#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[BARO_DTYPE_END] = {
    [BARO_F32] = {"f32", 4},
    [BARO_F64] = {"f64", 8},
    [BARO_F16] = {"f16", 2},
    [BARO_BF16] = {"bf16", 2},
    [BARO_I8] = {"i8", 1},
    [BARO_I16] = {"i16", 2},
    [BARO_I32] = {"i32", 4},
    [BARO_I64] = {"i64", 8},
    [BARO_U8] = {"u8", 1},
    [BARO_BOOL] = {"bool", 1},
};

static const char *const role_names[BARO_ROLE_END] = {
    [BARO_WEIGHT] = "weight",
    [BARO_GRAD] = "grad",
    [BARO_ACT] = "act",
    [BARO_ACT_GRAD] = "act_grad",
    [BARO_UPDATE] = "update",
    [BARO_INPUT] = "input",
    [BARO_OPT] = "opt",
};

static const char *const level_names[BARO_LEVEL_END] = {
    [BARO_INFO] = "info",
    [BARO_WATCH] = "watch",
    [BARO_ALARM] = "alarm",
};

static bool is_dtype(enum baro_dtype dtype)
{
    return (int)dtype > 0 && dtype < BARO_DTYPE_END;
}

size_t baro_dtype_bytes(enum baro_dtype dtype)
{
    return is_dtype(dtype) ? dtypes[dtype].bytes : 0;
}

const char *baro_dtype_name(enum baro_dtype dtype)
{
    return is_dtype(dtype) ? dtypes[dtype].name : "?";
}

const char *baro_role_name(enum baro_role role)
{
    return (int)role > 0 && role < BARO_ROLE_END ? role_names[role] : "?";
}

enum baro_role baro_role_parse(const char *name)
{
    for (int r = 1; r < BARO_ROLE_END; r++) {
        if (strcmp(name, role_names[r]) == 0) {
            return (enum baro_role)r;
        }
    }
    return (enum baro_role)0;
}

bool baro_role_has_batch(enum baro_role role)
{
    return role == BARO_ACT || role == BARO_ACT_GRAD || role == BARO_INPUT;
}

const char *baro_level_name(enum baro_level level)
{
    return (int)level > 0 && level < BARO_LEVEL_END ? level_names[level] : "?";
}

int baro_span_make(struct baro_span *out_span, enum baro_dtype dtype, const void *data,
    int n_dims, const int64_t *shape, const int64_t *strides, struct baro_err *err)
{
    struct baro_span span = {.data = data, .dtype = dtype, .n_dims = n_dims};
    if (!is_dtype(dtype)) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "element type %d is not supported; use f32, f64, f16, bf16, i8 to i64, u8 or bool",
            (int)dtype);
    }
    if (n_dims < 0 || n_dims > BARO_MAX_DIMS) {
        return baro_err_set(err, BARO_EINVAL,
            "a tensor of %d dimensions; 0 to %d are supported: reshape it", n_dims,
            BARO_MAX_DIMS);
    }
    int64_t count = 1;
    bool empty = false;
    for (int d = n_dims - 1; d >= 0; d--) {
        if (shape[d] < 0) {
            return baro_err_set(err, BARO_EINVAL, "dimension %d has the extent %lld", d,
                (long long)shape[d]);
        }
        span.shape[d] = shape[d];
        span.strides[d] = strides != NULL ? strides[d] : count;
        empty = empty || shape[d] == 0;
        if (shape[d] > 0 && (__builtin_mul_overflow(count, shape[d], &count) ||
                                count > (INT64_C(1) << 62))) {
            return baro_err_set(err, BARO_ELIMIT, "a tensor of more than 2^62 elements");
        }
    }
    if (data == NULL && !empty) {
        return baro_err_set(
            err, BARO_EINVAL, "no data for %lld elements", (long long)count);
    }
    *out_span = span;
    return 0;
}

int64_t baro_span_count(const struct baro_span *span)
{
    int64_t count = 1;
    for (int d = 0; d < span->n_dims; d++) {
        count *= span->shape[d];
    }
    return count;
}

bool baro_span_is_contiguous(const struct baro_span *span)
{
    int64_t expected = 1;
    for (int d = span->n_dims - 1; d >= 0; d--) {
        if (span->shape[d] != 1 && span->strides[d] != expected) {
            return baro_span_count(span) == 0;
        }
        expected *= span->shape[d];
    }
    return true;
}
