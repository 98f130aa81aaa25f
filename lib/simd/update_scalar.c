/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/update_kernel.h"

#include <math.h>
#include <string.h>

#include "lib/base/half.h"

/* For every machine: the eight f64 lanes in the compiler's 16-byte vectors. */

typedef double d2 __attribute__((vector_size(16)));
typedef int64_t l2 __attribute__((vector_size(16)));

typedef struct {
    d2 a, b, c, d;
} u8d;
typedef struct {
    l2 a, b, c, d;
} u8m;
typedef struct {
    float at[8];
} u8f;

#define EACH(op, x, y) ((u8d){(x).a op(y).a, (x).b op(y).b, (x).c op(y).c, (x).d op(y).d})

static inline u8d u8_zero(void)
{
    return (u8d){{0}, {0}, {0}, {0}};
}

static inline u8d u8_add(u8d x, u8d y)
{
    return EACH(+, x, y);
}

static inline u8d u8_sub(u8d x, u8d y)
{
    return EACH(-, x, y);
}

static inline u8d u8_mul(u8d x, u8d y)
{
    return EACH(*, x, y);
}

/* sum + x y, where the product is exact */
static inline u8d u8_fused(u8d sum, u8d x, u8d y)
{
    return u8_add(sum, u8_mul(x, y));
}

static inline l2 d2_finite(d2 x)
{
    const l2 magnitude = {INT64_MAX, INT64_MAX};
    const d2 most = {(double)INFINITY, (double)INFINITY};
    return (d2)((l2)x & magnitude) < most;
}

static inline u8m u8_finite(u8d x)
{
    return (u8m){d2_finite(x.a), d2_finite(x.b), d2_finite(x.c), d2_finite(x.d)};
}

static inline u8d u8_set1(double x)
{
    return (u8d){{x, x}, {x, x}, {x, x}, {x, x}};
}

static inline u8m u8_less(u8d x, u8d y)
{
    return (u8m){x.a < y.a, x.b < y.b, x.c < y.c, x.d < y.d};
}

static inline u8d u8_keep(u8m m, u8d x)
{
    return (u8d){
        (d2)(m.a & (l2)x.a), (d2)(m.b & (l2)x.b), (d2)(m.c & (l2)x.c), (d2)(m.d & (l2)x.d)};
}

/* Lanes i and i + 4 first, then i and i + 2, then the last two. */
static inline double u8_total(u8d x)
{
    const d2 low = x.a + x.c;
    const d2 high = x.b + x.d;
    const d2 two = low + high;
    return two[0] + two[1];
}

static inline u8d u8_load(const double *at)
{
    u8d x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline void u8_store(double *at, u8d x)
{
    memcpy(at, &x, sizeof x);
}

static inline u8d f8_widen(u8f x)
{
    double wide[8];
    for (int i = 0; i < 8; i++) {
        wide[i] = (double)x.at[i];
    }
    return u8_load(wide);
}

static inline u8f f8_sub(u8f x, u8f y)
{
    for (int i = 0; i < 8; i++) {
        x.at[i] -= y.at[i];
    }
    return x;
}

static inline void f8_store(float *at, u8f x)
{
    memcpy(at, &x, sizeof x);
}

static inline u8f f8_load_f32(const float *at)
{
    u8f x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline u8f f8_load_f16(const uint16_t *at)
{
    u8f x;
    for (int i = 0; i < 8; i++) {
        x.at[i] = baro_f16_to_f32(at[i]);
    }
    return x;
}

static inline u8f f8_load_bf16(const uint16_t *at)
{
    u8f x;
    for (int i = 0; i < 8; i++) {
        x.at[i] = baro_bf16_to_f32(at[i]);
    }
    return x;
}

#include "lib/simd/update_body.inc"

const struct baro_update_kernels baro_update_kernels_scalar = UPDATE_TABLE;
