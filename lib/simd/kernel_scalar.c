/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/kernel.h"

#include <math.h>
#include <string.h>

#include "lib/base/half.h"

/*
 * For every machine: the same 16 and 8 lanes in the compiler's 16-byte vectors, which
 * become SSE2 on x86-64, NEON on arm64 and plain scalar code elsewhere. Wider compiler
 * vectors than the target's registers are slow (1.5 GB/s against 9), so four of 16 bytes
 * are spelled out.
 */

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef double d2 __attribute__((vector_size(16)));
typedef int64_t l2 __attribute__((vector_size(16)));

typedef struct {
    f4 a, b, c, d;
} v16;
typedef struct {
    i4 a, b, c, d;
} v16i;
typedef v16i v16m;
typedef i4 tally;
typedef f4 peak;
typedef struct {
    d2 a, b, c, d;
} v8;
typedef struct {
    l2 a, b, c, d;
} v8m;
typedef l2 tally8;
typedef d2 peak8;

/* Applies an operator, or a function of one, two or three parts, to the four parts. */
#define EACH_OP(type, x, op, y)                                                            \
    ((type){(x).a op(y).a, (x).b op(y).b, (x).c op(y).c, (x).d op(y).d})
#define EACH_2(type, fn, x, y)                                                             \
    ((type){fn((x).a, (y).a), fn((x).b, (y).b), fn((x).c, (y).c), fn((x).d, (y).d)})
#define EACH_3(type, fn, x, y, z)                                                          \
    ((type){fn((x).a, (y).a, (z).a), fn((x).b, (y).b, (z).b), fn((x).c, (y).c, (z).c),     \
        fn((x).d, (y).d, (z).d)})

static inline f4 f4_pick(i4 m, f4 yes, f4 no)
{
    return (f4)((m & (i4)yes) | (~m & (i4)no));
}

static inline f4 f4_min(f4 x, f4 y)
{
    return f4_pick(x < y, x, y);
}

static inline f4 f4_max(f4 x, f4 y)
{
    return f4_pick(x > y, x, y);
}

static inline f4 f4_keep(i4 m, f4 x)
{
    return (f4)(m & (i4)x);
}

static inline i4 f4_count_zero(i4 count, f4 magnitude, i4 here)
{
    return count - (((i4)magnitude == (i4){0}) & here);
}

static inline d2 d2_pick(l2 m, d2 yes, d2 no)
{
    return (d2)((m & (l2)yes) | (~m & (l2)no));
}

static inline d2 d2_min(d2 x, d2 y)
{
    return d2_pick(x < y, x, y);
}

static inline d2 d2_max(d2 x, d2 y)
{
    return d2_pick(x > y, x, y);
}

static inline d2 d2_keep(l2 m, d2 x)
{
    return (d2)(m & (l2)x);
}

static inline v16 v16_set1(float x)
{
    const f4 q = {x, x, x, x};
    return (v16){q, q, q, q};
}

static inline v16 v16_add(v16 x, v16 y)
{
    return EACH_OP(v16, x, +, y);
}

static inline v16 v16_sub(v16 x, v16 y)
{
    return EACH_OP(v16, x, -, y);
}

static inline v16 v16_mul(v16 x, v16 y)
{
    return EACH_OP(v16, x, *, y);
}

static inline v16 v16_max(v16 x, v16 y)
{
    return EACH_2(v16, f4_max, x, y);
}

static inline v16m v16m_all(void)
{
    const i4 q = {-1, -1, -1, -1};
    return (v16m){q, q, q, q};
}

static inline v16m v16m_first(size_t n)
{
    const int32_t k = (int32_t)n;
    const i4 count = {k, k, k, k};
    return (v16m){(i4){0, 1, 2, 3} < count, (i4){4, 5, 6, 7} < count,
        (i4){8, 9, 10, 11} < count, (i4){12, 13, 14, 15} < count};
}

static inline v16 v16_keep(v16m m, v16 x)
{
    return EACH_2(v16, f4_keep, m, x);
}

static inline v16 v16_pick(v16m m, v16 yes, v16 no)
{
    return EACH_3(v16, f4_pick, m, yes, no);
}

static inline v16 v16_abs(v16 x)
{
    const i4 q = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    return v16_keep((v16m){q, q, q, q}, x);
}

static inline peak peak_set1(float x)
{
    return (peak){x, x, x, x};
}

static inline peak peak_min(peak p, v16 x)
{
    return f4_min(f4_min(f4_min(x.a, x.b), f4_min(x.c, x.d)), p);
}

static inline peak peak_max(peak p, v16 x)
{
    return f4_max(f4_max(f4_max(x.a, x.b), f4_max(x.c, x.d)), p);
}

static inline float peak_least(peak p)
{
    const float low = p[0] < p[1] ? p[0] : p[1];
    const float high = p[2] < p[3] ? p[2] : p[3];
    return low < high ? low : high;
}

static inline float peak_most(peak p)
{
    return -peak_least(-p);
}

static inline v16m v16_is_zero(v16 magnitude)
{
    const v16m bits = {(i4)magnitude.a, (i4)magnitude.b, (i4)magnitude.c, (i4)magnitude.d};
    return EACH_OP(v16m, bits, ==, ((v16m){{0}, {0}, {0}, {0}}));
}

static inline v16i v16i_zero(void)
{
    return (v16i){{0}, {0}, {0}, {0}};
}

static inline v16i v16i_count_zero(v16i count, v16 magnitude, v16m here)
{
    return EACH_3(v16i, f4_count_zero, count, magnitude, here);
}

static inline tally tally_zero(void)
{
    return (tally){0};
}

static inline tally tally_add_zeros(tally count, v16 magnitude, v16m here)
{
    const v16i zeros = v16i_count_zero(v16i_zero(), magnitude, here);
    return count + (zeros.a + zeros.b) + (zeros.c + zeros.d);
}

static inline uint64_t tally_total(tally count)
{
    return (uint64_t)(count[0] + count[1] + count[2] + count[3]);
}

static inline v8 v8_set1(double x)
{
    const d2 q = {x, x};
    return (v8){q, q, q, q};
}

static inline v8 v8_add(v8 x, v8 y)
{
    return EACH_OP(v8, x, +, y);
}

static inline v8 v8_sub(v8 x, v8 y)
{
    return EACH_OP(v8, x, -, y);
}

static inline v8 v8_mul(v8 x, v8 y)
{
    return EACH_OP(v8, x, *, y);
}

static inline v8 v8_max(v8 x, v8 y)
{
    return EACH_2(v8, d2_max, x, y);
}

static inline v8m v8m_all(void)
{
    const l2 q = {-1, -1};
    return (v8m){q, q, q, q};
}

static inline v8m v8m_first(size_t n)
{
    const l2 count = {(int64_t)n, (int64_t)n};
    return (v8m){
        (l2){0, 1} < count, (l2){2, 3} < count, (l2){4, 5} < count, (l2){6, 7} < count};
}

static inline v8m v8m_and(v8m x, v8m y)
{
    return EACH_OP(v8m, x, &, y);
}

static inline v8m v8_less(v8 x, v8 y)
{
    return EACH_OP(v8m, x, <, y);
}

static inline v8 v8_keep(v8m m, v8 x)
{
    return EACH_2(v8, d2_keep, m, x);
}

static inline v8 v8_pick(v8m m, v8 yes, v8 no)
{
    return EACH_3(v8, d2_pick, m, yes, no);
}

static inline v8 v8_abs(v8 x)
{
    const l2 q = {INT64_MAX, INT64_MAX};
    return v8_keep((v8m){q, q, q, q}, x);
}

static inline double v8_total(v8 x)
{
    const d2 two = (x.a + x.c) + (x.b + x.d);
    return two[0] + two[1];
}

static inline peak8 peak8_set1(double x)
{
    return (peak8){x, x};
}

static inline peak8 peak8_min(peak8 p, v8 x)
{
    return d2_min(d2_min(d2_min(x.a, x.b), d2_min(x.c, x.d)), p);
}

static inline peak8 peak8_max(peak8 p, v8 x)
{
    return d2_max(d2_max(d2_max(x.a, x.b), d2_max(x.c, x.d)), p);
}

static inline double peak8_least(peak8 p)
{
    return p[0] < p[1] ? p[0] : p[1];
}

static inline double peak8_most(peak8 p)
{
    return p[0] > p[1] ? p[0] : p[1];
}

static inline void v8_store(double *out, v8 x)
{
    memcpy(out, &x, sizeof(x));
}

static inline v8m v8_is_zero(v8 magnitude)
{
    const v8m bits = {(l2)magnitude.a, (l2)magnitude.b, (l2)magnitude.c, (l2)magnitude.d};
    return EACH_OP(v8m, bits, ==, ((v8m){{0}, {0}, {0}, {0}}));
}

static inline tally8 tally8_zero(void)
{
    return (tally8){0};
}

static inline tally8 tally8_add(tally8 count, v8m m)
{
    return count - ((m.a + m.b) + (m.c + m.d));
}

static inline uint64_t tally8_total(tally8 count)
{
    return (uint64_t)(count[0] + count[1]);
}

static inline v8 v16_lower(v16 x)
{
    return (v8){{(double)x.a[0], (double)x.a[1]}, {(double)x.a[2], (double)x.a[3]},
        {(double)x.b[0], (double)x.b[1]}, {(double)x.b[2], (double)x.b[3]}};
}

static inline v8 v16_upper(v16 x)
{
    return v16_lower((v16){x.c, x.d, x.c, x.d});
}

static inline v8 v16i_lower(v16i x)
{
    return (v8){{x.a[0], x.a[1]}, {x.a[2], x.a[3]}, {x.b[0], x.b[1]}, {x.b[2], x.b[3]}};
}

static inline v8 v16i_upper(v16i x)
{
    return v16i_lower((v16i){x.c, x.d, x.c, x.d});
}

static inline v16 part16_f32(const void *data, size_t at, size_t n)
{
    v16 x = v16_set1(0);
    memcpy(&x, (const float *)data + at, n * sizeof(float));
    return x;
}

static inline v16 load16_f32(const void *data, size_t at)
{
    v16 x;
    memcpy(&x, (const float *)data + at, sizeof(x));
    return x;
}

static inline v16 part16_f16(const void *data, size_t at, size_t n)
{
    float lanes[BARO_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        lanes[i] = baro_f16_to_f32(((const uint16_t *)data)[at + i]);
    }
    return load16_f32(lanes, 0);
}

static inline v16 load16_f16(const void *data, size_t at)
{
    return part16_f16(data, at, BARO_LANES);
}

static inline v16 part16_bf16(const void *data, size_t at, size_t n)
{
    float lanes[BARO_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        lanes[i] = baro_bf16_to_f32(((const uint16_t *)data)[at + i]);
    }
    return load16_f32(lanes, 0);
}

static inline v16 load16_bf16(const void *data, size_t at)
{
    return part16_bf16(data, at, BARO_LANES);
}

static inline v8 part8_f64(const void *data, size_t at, size_t n)
{
    v8 x = v8_set1(0);
    memcpy(&x, (const double *)data + at, n * sizeof(double));
    return x;
}

static inline v8 load8_f64(const void *data, size_t at)
{
    v8 x;
    memcpy(&x, (const double *)data + at, sizeof(x));
    return x;
}

static inline v8 part8_f32(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_f32(data, at, n));
}

static inline v8 part8_f16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_f16(data, at, n));
}

static inline v8 part8_bf16(const void *data, size_t at, size_t n)
{
    return v16_lower(part16_bf16(data, at, n));
}

static inline v8 load8_f32(const void *data, size_t at)
{
    return part8_f32(data, at, 8);
}

static inline v8 load8_f16(const void *data, size_t at)
{
    return part8_f16(data, at, 8);
}

static inline v8 load8_bf16(const void *data, size_t at)
{
    return part8_bf16(data, at, 8);
}

typedef uint16_t h8 __attribute__((vector_size(16)));
typedef int16_t s8 __attribute__((vector_size(16)));
typedef struct {
    h8 a, b;
} halves;

static inline h8 h8_pick(h8 m, h8 yes, h8 no)
{
    return (m & yes) | (~m & no);
}

static inline halves halves_load(const uint16_t *p)
{
    halves x;
    memcpy(&x, p, sizeof(x));
    return x;
}

static inline halves halves_set1(uint16_t x)
{
    const h8 q = {x, x, x, x, x, x, x, x};
    return (halves){q, q};
}

static inline halves halves_magnitude(halves x)
{
    const halves m = halves_set1(0x7fff);
    return (halves){x.a & m.a, x.b & m.b};
}

static inline halves halves_max_signed(halves x, halves y)
{
    return (halves){h8_pick((h8)((s8)x.a > (s8)y.a), x.a, y.a),
        h8_pick((h8)((s8)x.b > (s8)y.b), x.b, y.b)};
}

static inline halves halves_max_unsigned(halves x, halves y)
{
    return (halves){h8_pick((h8)(x.a > y.a), x.a, y.a), h8_pick((h8)(x.b > y.b), x.b, y.b)};
}

static inline halves halves_count_zero(halves count, halves magnitude)
{
    return (halves){
        count.a - (h8)(magnitude.a == (h8){0}), count.b - (h8)(magnitude.b == (h8){0})};
}

static inline unsigned halves_most_unsigned(halves x)
{
    const h8 eight = h8_pick((h8)(x.a > x.b), x.a, x.b);
    unsigned most = 0;
    for (int i = 0; i < 8; i++) {
        most = eight[i] > most ? eight[i] : most;
    }
    return most;
}

static inline int halves_most_signed(halves x)
{
    const halves turned = {x.a ^ halves_set1(0x8000).a, x.b ^ halves_set1(0x8000).b};
    return (int)halves_most_unsigned(turned) - 0x8000;
}

static inline uint64_t halves_total(halves count)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) {
        n += (uint64_t)count.a[i] + (uint64_t)count.b[i];
    }
    return n;
}

static inline v16 widen_f16(halves x)
{
    return load16_f16(&x, 0);
}

static inline v16 ordered_f16(v16 x)
{
    return x;
}

static inline v16 widen_bf16(halves x)
{
    return load16_bf16(&x, 0);
}

static inline v16 ordered_bf16(v16 x)
{
    return x;
}

/* Eight f32 lanes: the sums of lanes i and i + 8. */
typedef struct {
    f4 a, b;
} octet;

static inline octet octet_zero(void)
{
    return (octet){{0}, {0}};
}

static inline octet octet_fold(v16 x)
{
    return (octet){x.a + x.c, x.b + x.d};
}

static inline octet octet_add(octet x, octet y)
{
    return (octet){x.a + y.a, x.b + y.b};
}

static inline double octet_total(octet x)
{
    return v8_total(v16_lower((v16){x.a, x.b, x.a, x.b}));
}

#include "lib/simd/kernel_body.inc"

const struct baro_kernels baro_kernels_scalar = KERNEL_TABLE;
