/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/kernel.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "lib/base/half.h"

/*
 * AVX-512 (F, BW, DQ, VL): 16 f32 lanes or 8 f64 lanes are one register, tails are masked
 * loads. Mask operations replace the comparisons and selections of the AVX2 file.
 */

typedef __m512 v16;
typedef __m512i v16i;
typedef __mmask16 v16m;
typedef __m512i tally;
typedef __m512 peak;
typedef __m512d v8;
typedef __mmask8 v8m;
typedef __m512i tally8;
typedef __m512d peak8;

static inline v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

static inline v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}

static inline v16 v16_abs(v16 a)
{
    return _mm512_abs_ps(a);
}

static inline v16m v16m_all(void)
{
    return (v16m)0xffff;
}

static inline v16m v16m_first(size_t n)
{
    return (v16m)((1u << n) - 1u);
}

static inline v16 v16_keep(v16m m, v16 x)
{
    return _mm512_maskz_mov_ps(m, x);
}

static inline v16 v16_pick(v16m m, v16 yes, v16 no)
{
    return _mm512_mask_mov_ps(no, m, yes);
}

static inline peak peak_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline peak peak_min(peak p, v16 x)
{
    return _mm512_min_ps(x, p);
}

static inline peak peak_max(peak p, v16 x)
{
    return _mm512_max_ps(x, p);
}

static inline float peak_least(peak p)
{
    return _mm512_reduce_min_ps(p);
}

static inline float peak_most(peak p)
{
    return _mm512_reduce_max_ps(p);
}

static inline v16i v16i_zero(void)
{
    return _mm512_setzero_si512();
}

static inline v16m v16_is_zero(v16 magnitude)
{
    const __m512i bits = _mm512_castps_si512(magnitude);
    return _mm512_testn_epi32_mask(bits, bits);
}

static inline v16i v16i_count_zero(v16i count, v16 magnitude, v16m here)
{
    const v16m zeros = (v16m)(v16_is_zero(magnitude) & here);
    return _mm512_mask_add_epi32(count, zeros, count, _mm512_set1_epi32(1));
}

static inline tally tally_zero(void)
{
    return v16i_zero();
}

static inline tally tally_add_zeros(tally count, v16 magnitude, v16m here)
{
    return v16i_count_zero(count, magnitude, here);
}

static inline uint64_t tally_total(tally count)
{
    return (uint32_t)_mm512_reduce_add_epi32(count);
}

static inline v8 v8_set1(double x)
{
    return _mm512_set1_pd(x);
}

static inline v8 v8_add(v8 a, v8 b)
{
    return _mm512_add_pd(a, b);
}

static inline v8 v8_sub(v8 a, v8 b)
{
    return _mm512_sub_pd(a, b);
}

static inline v8 v8_mul(v8 a, v8 b)
{
    return _mm512_mul_pd(a, b);
}

static inline v8 v8_max(v8 a, v8 b)
{
    return _mm512_max_pd(a, b);
}

static inline v8 v8_abs(v8 a)
{
    return _mm512_abs_pd(a);
}

static inline v8m v8m_all(void)
{
    return (v8m)0xff;
}

static inline v8m v8m_first(size_t n)
{
    return (v8m)((1u << n) - 1u);
}

static inline v8m v8m_and(v8m a, v8m b)
{
    return (v8m)(a & b);
}

static inline v8m v8_less(v8 a, v8 b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}

static inline v8 v8_keep(v8m m, v8 x)
{
    return _mm512_maskz_mov_pd(m, x);
}

static inline v8 v8_pick(v8m m, v8 yes, v8 no)
{
    return _mm512_mask_mov_pd(no, m, yes);
}

/* Not _mm512_reduce_add_pd: the order of additions is part of the contract. */
static inline double v8_total(v8 a)
{
    const __m256d four =
        _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d two =
        _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline peak8 peak8_set1(double x)
{
    return _mm512_set1_pd(x);
}

static inline peak8 peak8_min(peak8 p, v8 x)
{
    return _mm512_min_pd(x, p);
}

static inline peak8 peak8_max(peak8 p, v8 x)
{
    return _mm512_max_pd(x, p);
}

static inline double peak8_least(peak8 p)
{
    return _mm512_reduce_min_pd(p);
}

static inline double peak8_most(peak8 p)
{
    return _mm512_reduce_max_pd(p);
}

static inline void v8_store(double *out, v8 a)
{
    _mm512_storeu_pd(out, a);
}

static inline v8m v8_is_zero(v8 magnitude)
{
    const __m512i bits = _mm512_castpd_si512(magnitude);
    return _mm512_testn_epi64_mask(bits, bits);
}

static inline tally8 tally8_zero(void)
{
    return _mm512_setzero_si512();
}

static inline tally8 tally8_add(tally8 count, v8m m)
{
    return _mm512_mask_add_epi64(count, m, count, _mm512_set1_epi64(1));
}

static inline uint64_t tally8_total(tally8 count)
{
    return (uint64_t)_mm512_reduce_add_epi64(count);
}

static inline v8 v16_lower(v16 a)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}

static inline v8 v16_upper(v16 a)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}

static inline v8 v16i_lower(v16i a)
{
    return _mm512_cvtepi32_pd(_mm512_castsi512_si256(a));
}

static inline v8 v16i_upper(v16i a)
{
    return _mm512_cvtepi32_pd(_mm512_extracti32x8_epi32(a, 1));
}

static inline v16 f32_of_bf16(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline __m256i load_halves(const void *data, size_t at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)data + at));
}

static inline __m256i part_halves(const void *data, size_t at, size_t n)
{
    return _mm256_maskz_loadu_epi16(v16m_first(n), (const uint16_t *)data + at);
}

static inline v16 load16_f32(const void *data, size_t at)
{
    return _mm512_loadu_ps((const float *)data + at);
}

static inline v16 load16_f16(const void *data, size_t at)
{
    return _mm512_cvtph_ps(load_halves(data, at));
}

static inline v16 load16_bf16(const void *data, size_t at)
{
    return f32_of_bf16(load_halves(data, at));
}

static inline v16 part16_f32(const void *data, size_t at, size_t n)
{
    return _mm512_maskz_loadu_ps(v16m_first(n), (const float *)data + at);
}

static inline v16 part16_f16(const void *data, size_t at, size_t n)
{
    return _mm512_cvtph_ps(part_halves(data, at, n));
}

static inline v16 part16_bf16(const void *data, size_t at, size_t n)
{
    return f32_of_bf16(part_halves(data, at, n));
}

static inline v8 load8_f64(const void *data, size_t at)
{
    return _mm512_loadu_pd((const double *)data + at);
}

static inline v8 load8_f32(const void *data, size_t at)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps((const float *)data + at));
}

static inline v8 part8_f64(const void *data, size_t at, size_t n)
{
    return _mm512_maskz_loadu_pd(v8m_first(n), (const double *)data + at);
}

static inline v8 part8_f32(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_f32(data, at, n));
}

/* Eight halves are masked too: reading sixteen could leave the tensor. */
static inline v8 part8_f16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_f16(data, at, n));
}

static inline v8 part8_bf16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_bf16(data, at, n));
}

static inline v8 load8_f16(const void *data, size_t at)
{
    return part8_f16(data, at, 8);
}

static inline v8 load8_bf16(const void *data, size_t at)
{
    return part8_bf16(data, at, 8);
}

typedef __m256i halves;

static inline halves halves_load(const uint16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline halves halves_set1(uint16_t x)
{
    return _mm256_set1_epi16((short)x);
}

static inline halves halves_magnitude(halves x)
{
    return _mm256_and_si256(x, _mm256_set1_epi16(0x7fff));
}

static inline halves halves_max_signed(halves a, halves b)
{
    return _mm256_max_epi16(a, b);
}

static inline halves halves_max_unsigned(halves a, halves b)
{
    return _mm256_max_epu16(a, b);
}

static inline halves halves_count_zero(halves count, halves magnitude)
{
    return _mm256_sub_epi16(count, _mm256_cmpeq_epi16(magnitude, _mm256_setzero_si256()));
}

/* The least unsigned one of sixteen has an instruction of its own; the others are made of it. */
static inline unsigned least_unsigned(halves x)
{
    const __m128i eight =
        _mm_min_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return (unsigned)_mm_cvtsi128_si32(_mm_minpos_epu16(eight)) & 0xffffU;
}

static inline unsigned halves_most_unsigned(halves x)
{
    return 0xffffU - least_unsigned(_mm256_xor_si256(x, _mm256_set1_epi16(-1)));
}

static inline int halves_most_signed(halves x)
{
    return 0x7fff - (int)least_unsigned(_mm256_xor_si256(x, _mm256_set1_epi16(0x7fff)));
}

static inline uint64_t halves_total(halves count)
{
    const __m256i pairs = _mm256_madd_epi16(count, _mm256_set1_epi16(1));
    __m128i x =
        _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(x);
}

static inline v16 widen_f16(halves x)
{
    return _mm512_cvtph_ps(x);
}

static inline v16 ordered_f16(v16 x)
{
    return x;
}

static inline v16 widen_bf16(halves x)
{
    return f32_of_bf16(x);
}

static inline v16 ordered_bf16(v16 x)
{
    return x;
}

/* Eight f32 lanes: the sums of lanes i and i + 8. */
typedef __m256 octet;

static inline octet octet_zero(void)
{
    return _mm256_setzero_ps();
}

static inline octet octet_fold(v16 x)
{
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}

static inline octet octet_add(octet x, octet y)
{
    return _mm256_add_ps(x, y);
}

static inline double octet_total(octet x)
{
    return v8_total(_mm512_cvtps_pd(x));
}

#include "lib/simd/kernel_body.inc"

const struct baro_kernels baro_kernels_avx512 = KERNEL_TABLE;
