/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/update_kernel.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* AVX2, F16C and FMA: eight f64 lanes are two registers, eight f32 lanes are one. */

typedef struct {
    __m256d lo;
    __m256d hi;
} u8d;
typedef u8d u8m;
typedef __m256 u8f;

static inline u8d u8_zero(void)
{
    return (u8d){_mm256_setzero_pd(), _mm256_setzero_pd()};
}

static inline u8d u8_add(u8d x, u8d y)
{
    return (u8d){_mm256_add_pd(x.lo, y.lo), _mm256_add_pd(x.hi, y.hi)};
}

static inline u8d u8_sub(u8d x, u8d y)
{
    return (u8d){_mm256_sub_pd(x.lo, y.lo), _mm256_sub_pd(x.hi, y.hi)};
}

static inline u8d u8_mul(u8d x, u8d y)
{
    return (u8d){_mm256_mul_pd(x.lo, y.lo), _mm256_mul_pd(x.hi, y.hi)};
}

/* sum + x y, where the product is exact */
static inline u8d u8_fused(u8d sum, u8d x, u8d y)
{
    return (u8d){_mm256_fmadd_pd(x.lo, y.lo, sum.lo), _mm256_fmadd_pd(x.hi, y.hi, sum.hi)};
}

static inline u8m u8_finite(u8d x)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d most = _mm256_set1_pd((double)INFINITY);
    return (u8m){_mm256_cmp_pd(_mm256_andnot_pd(sign, x.lo), most, _CMP_LT_OQ),
        _mm256_cmp_pd(_mm256_andnot_pd(sign, x.hi), most, _CMP_LT_OQ)};
}

static inline u8d u8_set1(double x)
{
    return (u8d){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}

static inline u8m u8_less(u8d x, u8d y)
{
    return (u8m){
        _mm256_cmp_pd(x.lo, y.lo, _CMP_LT_OQ), _mm256_cmp_pd(x.hi, y.hi, _CMP_LT_OQ)};
}

static inline u8d u8_keep(u8m m, u8d x)
{
    return (u8d){_mm256_and_pd(m.lo, x.lo), _mm256_and_pd(m.hi, x.hi)};
}

static inline double u8_total(u8d x)
{
    const __m256d four = _mm256_add_pd(x.lo, x.hi);
    const __m128d two =
        _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline u8d u8_load(const double *at)
{
    return (u8d){_mm256_loadu_pd(at), _mm256_loadu_pd(at + 4)};
}

static inline void u8_store(double *at, u8d x)
{
    _mm256_storeu_pd(at, x.lo);
    _mm256_storeu_pd(at + 4, x.hi);
}

static inline u8d f8_widen(u8f x)
{
    return (u8d){_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
        _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

static inline u8f f8_sub(u8f x, u8f y)
{
    return _mm256_sub_ps(x, y);
}

static inline void f8_store(float *at, u8f x)
{
    _mm256_storeu_ps(at, x);
}

static inline u8f f8_load_f32(const float *at)
{
    return _mm256_loadu_ps(at);
}

static inline u8f f8_load_f16(const uint16_t *at)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
}

static inline u8f f8_load_bf16(const uint16_t *at)
{
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)at);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

#include "lib/simd/update_body.inc"

const struct baro_update_kernels baro_update_kernels_avx2 = UPDATE_TABLE;
