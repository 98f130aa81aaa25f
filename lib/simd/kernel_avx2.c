/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/kernel.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "lib/base/half.h"

/*
 * AVX2 and F16C: 16 f32 lanes are two registers, 8 f64 lanes are two registers. Zeros are
 * found by integer comparison: it runs beside the float units and sees subnormals.
 */

typedef struct {
    __m256 lo;
    __m256 hi;
} v16;
typedef struct {
    __m256i lo;
    __m256i hi;
} v16i;
typedef v16i v16m;
typedef __m256i tally;
typedef __m256 peak;
typedef struct {
    __m256d lo;
    __m256d hi;
} v8;
typedef v16i v8m;
typedef __m256i tally8;
typedef __m256d peak8;

static inline v16 v16_set1(float x)
{
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

static inline v16 v16_max(v16 a, v16 b)
{
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

static inline v16 v16_abs(v16 a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

static inline v16m v16m_all(void)
{
    return (v16m){_mm256_set1_epi32(-1), _mm256_set1_epi32(-1)};
}

static inline v16m v16m_first(size_t n)
{
    const __m256i count = _mm256_set1_epi32((int)n);
    return (v16m){_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
        _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}

static inline v16 v16_keep(v16m m, v16 x)
{
    return (v16){_mm256_and_ps(_mm256_castsi256_ps(m.lo), x.lo),
        _mm256_and_ps(_mm256_castsi256_ps(m.hi), x.hi)};
}

static inline v16 v16_pick(v16m m, v16 yes, v16 no)
{
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_castsi256_ps(m.lo)),
        _mm256_blendv_ps(no.hi, yes.hi, _mm256_castsi256_ps(m.hi))};
}

/*
 * Extremes and counts over all lanes need one register, not two: with two each, the sums
 * would not all fit the sixteen there are, and a spilt accumulator costs half the speed.
 */
static inline peak peak_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline peak peak_min(peak p, v16 x)
{
    return _mm256_min_ps(_mm256_min_ps(x.lo, x.hi), p);
}

static inline peak peak_max(peak p, v16 x)
{
    return _mm256_max_ps(_mm256_max_ps(x.lo, x.hi), p);
}

static inline float peak_least(peak p)
{
    __m128 x = _mm_min_ps(_mm256_castps256_ps128(p), _mm256_extractf128_ps(p, 1));
    x = _mm_min_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_min_ss(x, _mm_movehdup_ps(x)));
}

static inline float peak_most(peak p)
{
    return -peak_least(_mm256_xor_ps(p, _mm256_set1_ps(-0.0f)));
}

static inline v16i v16i_zero(void)
{
    return (v16i){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

static inline v16m v16_is_zero(v16 magnitude)
{
    const __m256i zero = _mm256_setzero_si256();
    return (v16m){_mm256_cmpeq_epi32(_mm256_castps_si256(magnitude.lo), zero),
        _mm256_cmpeq_epi32(_mm256_castps_si256(magnitude.hi), zero)};
}

static inline v16i v16i_count_zero(v16i count, v16 magnitude, v16m here)
{
    const v16m zeros = v16_is_zero(magnitude);
    return (v16i){_mm256_sub_epi32(count.lo, _mm256_and_si256(zeros.lo, here.lo)),
        _mm256_sub_epi32(count.hi, _mm256_and_si256(zeros.hi, here.hi))};
}

static inline tally tally_zero(void)
{
    return _mm256_setzero_si256();
}

static inline tally tally_add_zeros(tally count, v16 magnitude, v16m here)
{
    const v16i zeros = v16i_count_zero(v16i_zero(), magnitude, here);
    return _mm256_add_epi32(count, _mm256_add_epi32(zeros.lo, zeros.hi));
}

static inline uint64_t tally_total(tally sum)
{
    __m128i x =
        _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(x);
}

static inline v8 v8_from_f32(__m256 x)
{
    return (v8){_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
        _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

static inline v8 v8_set1(double x)
{
    return (v8){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}

static inline v8 v8_add(v8 a, v8 b)
{
    return (v8){_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)};
}

static inline v8 v8_sub(v8 a, v8 b)
{
    return (v8){_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi)};
}

static inline v8 v8_mul(v8 a, v8 b)
{
    return (v8){_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi)};
}

static inline v8 v8_max(v8 a, v8 b)
{
    return (v8){_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi)};
}

static inline v8 v8_abs(v8 a)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    return (v8){_mm256_andnot_pd(sign, a.lo), _mm256_andnot_pd(sign, a.hi)};
}

static inline v8m v8m_all(void)
{
    return (v8m){_mm256_set1_epi64x(-1), _mm256_set1_epi64x(-1)};
}

static inline v8m v8m_first(size_t n)
{
    const __m256i count = _mm256_set1_epi64x((long long)n);
    return (v8m){_mm256_cmpgt_epi64(count, _mm256_setr_epi64x(0, 1, 2, 3)),
        _mm256_cmpgt_epi64(count, _mm256_setr_epi64x(4, 5, 6, 7))};
}

static inline v8m v8m_and(v8m a, v8m b)
{
    return (v8m){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}

static inline v8m v8_less(v8 a, v8 b)
{
    return (v8m){_mm256_castpd_si256(_mm256_cmp_pd(a.lo, b.lo, _CMP_LT_OQ)),
        _mm256_castpd_si256(_mm256_cmp_pd(a.hi, b.hi, _CMP_LT_OQ))};
}

static inline v8 v8_keep(v8m m, v8 x)
{
    return (v8){_mm256_and_pd(_mm256_castsi256_pd(m.lo), x.lo),
        _mm256_and_pd(_mm256_castsi256_pd(m.hi), x.hi)};
}

static inline v8 v8_pick(v8m m, v8 yes, v8 no)
{
    return (v8){_mm256_blendv_pd(no.lo, yes.lo, _mm256_castsi256_pd(m.lo)),
        _mm256_blendv_pd(no.hi, yes.hi, _mm256_castsi256_pd(m.hi))};
}

static inline double v8_total(v8 a)
{
    const __m256d four = _mm256_add_pd(a.lo, a.hi);
    const __m128d two =
        _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline peak8 peak8_set1(double x)
{
    return _mm256_set1_pd(x);
}

static inline peak8 peak8_min(peak8 p, v8 x)
{
    return _mm256_min_pd(_mm256_min_pd(x.lo, x.hi), p);
}

static inline peak8 peak8_max(peak8 p, v8 x)
{
    return _mm256_max_pd(_mm256_max_pd(x.lo, x.hi), p);
}

static inline double peak8_least(peak8 p)
{
    const __m128d x = _mm_min_pd(_mm256_castpd256_pd128(p), _mm256_extractf128_pd(p, 1));
    return _mm_cvtsd_f64(_mm_min_sd(x, _mm_unpackhi_pd(x, x)));
}

static inline double peak8_most(peak8 p)
{
    return -peak8_least(_mm256_xor_pd(p, _mm256_set1_pd(-0.0)));
}

static inline tally8 tally8_zero(void)
{
    return _mm256_setzero_si256();
}

static inline tally8 tally8_add(tally8 count, v8m m)
{
    return _mm256_sub_epi64(count, _mm256_add_epi64(m.lo, m.hi));
}

static inline uint64_t tally8_total(tally8 four)
{
    const __m128i two =
        _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return (uint64_t)_mm_cvtsi128_si64(two) + (uint64_t)_mm_extract_epi64(two, 1);
}

static inline void v8_store(double *out, v8 a)
{
    _mm256_storeu_pd(out, a.lo);
    _mm256_storeu_pd(out + 4, a.hi);
}

static inline v8m v8_is_zero(v8 magnitude)
{
    const __m256i zero = _mm256_setzero_si256();
    return (v8m){_mm256_cmpeq_epi64(_mm256_castpd_si256(magnitude.lo), zero),
        _mm256_cmpeq_epi64(_mm256_castpd_si256(magnitude.hi), zero)};
}

static inline v8 v16_lower(v16 a)
{
    return v8_from_f32(a.lo);
}

static inline v8 v16_upper(v16 a)
{
    return v8_from_f32(a.hi);
}

static inline v8 v16i_lower(v16i a)
{
    return (v8){_mm256_cvtepi32_pd(_mm256_castsi256_si128(a.lo)),
        _mm256_cvtepi32_pd(_mm256_extracti128_si256(a.lo, 1))};
}

static inline v8 v16i_upper(v16i a)
{
    return v16i_lower((v16i){a.hi, a.hi});
}

static inline __m256 f32_of_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline __m256 f32_of_bf16(const uint16_t *p)
{
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

static inline v16 load16_f32(const void *data, size_t at)
{
    const float *p = (const float *)data + at;
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

static inline v16 load16_f16(const void *data, size_t at)
{
    const uint16_t *p = (const uint16_t *)data + at;
    return (v16){f32_of_f16(p), f32_of_f16(p + 8)};
}

static inline v16 load16_bf16(const void *data, size_t at)
{
    const uint16_t *p = (const uint16_t *)data + at;
    return (v16){f32_of_bf16(p), f32_of_bf16(p + 8)};
}

static inline v16 part16_f32(const void *data, size_t at, size_t n)
{
    const v16m here = v16m_first(n);
    const float *p = (const float *)data + at;
    return (v16){_mm256_maskload_ps(p, here.lo),
        n > 8 ? _mm256_maskload_ps(p + 8, here.hi) : _mm256_setzero_ps()};
}

static inline v16 part16_f16(const void *data, size_t at, size_t n)
{
    uint16_t padded[16] = {0};
    memcpy(padded, (const uint16_t *)data + at, n * sizeof(padded[0]));
    return load16_f16(padded, 0);
}

static inline v16 part16_bf16(const void *data, size_t at, size_t n)
{
    uint16_t padded[16] = {0};
    memcpy(padded, (const uint16_t *)data + at, n * sizeof(padded[0]));
    return load16_bf16(padded, 0);
}

static inline v8 load8_f64(const void *data, size_t at)
{
    const double *p = (const double *)data + at;
    return (v8){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)};
}

static inline v8 load8_f32(const void *data, size_t at)
{
    return v8_from_f32(_mm256_loadu_ps((const float *)data + at));
}

static inline v8 load8_f16(const void *data, size_t at)
{
    return v8_from_f32(f32_of_f16((const uint16_t *)data + at));
}

static inline v8 load8_bf16(const void *data, size_t at)
{
    return v8_from_f32(f32_of_bf16((const uint16_t *)data + at));
}

static inline v8 part8_f64(const void *data, size_t at, size_t n)
{
    const v8m here = v8m_first(n);
    const double *p = (const double *)data + at;
    return (v8){_mm256_maskload_pd(p, here.lo),
        n > 4 ? _mm256_maskload_pd(p + 4, here.hi) : _mm256_setzero_pd()};
}

static inline v8 part8_f32(const void *data, size_t at, size_t n)
{
    return v8_from_f32(_mm256_maskload_ps((const float *)data + at, v16m_first(n).lo));
}

static inline v8 part8_f16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_f16(data, at, n));
}

static inline v8 part8_bf16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_bf16(data, at, n));
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
    return (v16){_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
        _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
}

static inline v16 ordered_f16(v16 x)
{
    return x;
}

/* Elements 0, 2, ... in one register and 1, 3, ... in the other: one operation each. */
static inline v16 widen_bf16(halves x)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000U);
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)),
        _mm256_castsi256_ps(_mm256_and_si256(x, upper))};
}

static inline v16 ordered_bf16(v16 x)
{
    const __m256 low = _mm256_unpacklo_ps(x.lo, x.hi);
    const __m256 high = _mm256_unpackhi_ps(x.lo, x.hi);
    return (v16){
        _mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

/* Eight f32 lanes: the sums of lanes i and i + 8. */
typedef __m256 octet;

static inline octet octet_zero(void)
{
    return _mm256_setzero_ps();
}

static inline octet octet_fold(v16 x)
{
    return _mm256_add_ps(x.lo, x.hi);
}

static inline octet octet_add(octet x, octet y)
{
    return _mm256_add_ps(x, y);
}

static inline double octet_total(octet x)
{
    return v8_total(v8_from_f32(x));
}

#include "lib/simd/kernel_body.inc"

const struct baro_kernels baro_kernels_avx2 = KERNEL_TABLE;
