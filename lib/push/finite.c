/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/baro.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/baro_types.h"

/*
 * NaN and both infinities have an exponent of ones alone, and nothing else has. So a look at bits is
 * enough: no floating-point flag is raised, and nothing is added up that could overflow. Worked:
 * 65504, the largest finite half, is 0x7BFF; the exponent's bits are 0x7C00, of which it lacks one;
 * infinity is 0x7C00 itself.
 */

#define DEFINE_IS_FINITE(name, word, exponent)                                             \
    static bool name(const char *data, size_t n)                                           \
    {                                                                                      \
        word n_bad = 0;                                                                    \
        for (size_t i = 0; i < n; i++) {                                                   \
            word bits;                                                                     \
            memcpy(&bits, data + i * sizeof bits, sizeof bits);                            \
            n_bad |= (bits & (exponent)) == (exponent);                                    \
        }                                                                                  \
        return n_bad == 0;                                                                 \
    }

DEFINE_IS_FINITE(are_finite_f16, uint16_t, 0x7C00)
DEFINE_IS_FINITE(are_finite_bf16, uint16_t, 0x7F80)
DEFINE_IS_FINITE(are_finite_f32, uint32_t, UINT32_C(0x7F800000))
DEFINE_IS_FINITE(are_finite_f64, uint64_t, UINT64_C(0x7FF0000000000000))

int baro_is_finite(enum baro_dtype dtype, const void *data, size_t n)
{
    const bool is_known = dtype > 0 && dtype < BARO_DTYPE_END;
    if (!is_known || (data == NULL && n > 0)) {
        return BARO_EINVAL;
    }
    return dtype == BARO_F16    ? are_finite_f16(data, n)
           : dtype == BARO_BF16 ? are_finite_bf16(data, n)
           : dtype == BARO_F32  ? are_finite_f32(data, n)
           : dtype == BARO_F64  ? are_finite_f64(data, n)
                                : true; /* whole numbers are */
}
