/* SPDX-License-Identifier: Apache-2.0 */
/* One element or a few of any type as doubles; which kernels an element type has. */
#ifndef BARO_ELEMENT_H
#define BARO_ELEMENT_H

#include "lib/base/half.h"
#include "lib/base/tensor.h"
#include "lib/simd/kernel.h"

/** Tell which kernels read a type; the integers and bool are widened and read as f64. */
static inline enum baro_lane baro_element_lane(enum baro_dtype dtype)
{
    switch ((int)dtype) {
    case BARO_F32: return BARO_LANE_F32;
    case BARO_F16: return BARO_LANE_F16;
    case BARO_BF16: return BARO_LANE_BF16;
    default: return BARO_LANE_F64;
    }
}

/** Tell whether a type is read as it lies in memory. */
static inline bool baro_element_is_float(enum baro_dtype dtype)
{
    return dtype == BARO_F64 || baro_element_lane(dtype) != BARO_LANE_F64;
}

/** Give the element number i of a contiguous run. An i64 beyond 2^53 is rounded. */
static inline double baro_element_get(enum baro_dtype dtype, const void *run, size_t i)
{
    switch ((int)dtype) {
    case BARO_F32: return (double)((const float *)run)[i];
    case BARO_F64: return ((const double *)run)[i];
    case BARO_F16: return (double)baro_f16_to_f32(((const uint16_t *)run)[i]);
    case BARO_BF16: return (double)baro_bf16_to_f32(((const uint16_t *)run)[i]);
    case BARO_I8: return (double)((const int8_t *)run)[i];
    case BARO_I16: return (double)((const int16_t *)run)[i];
    case BARO_I32: return (double)((const int32_t *)run)[i];
    case BARO_I64: return (double)((const int64_t *)run)[i];
    case BARO_U8: return (double)((const uint8_t *)run)[i];
    case BARO_BOOL: return ((const uint8_t *)run)[i] != 0 ? 1.0 : 0.0;
    default: return (double)NAN;
    }
}

/** Widen a run to doubles. */
static inline void baro_element_widen(
    enum baro_dtype dtype, const void *run, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = baro_element_get(dtype, run, i);
    }
}

#endif
