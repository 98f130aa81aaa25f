/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/spans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/half.h"

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t rng_below(struct rng *rng, int64_t n)
{
    return (int64_t)(rng_next(rng) % (uint64_t)n);
}

static double uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *rng)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += uniform(rng);
    }
    return sum;
}

static uint16_t f16_of(float x)
{
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    const float magnitude = fabsf(x);
    if (isnan(x)) {
        return 0x7e00;
    }
    if (magnitude >= 65536) {
        return sign | (isinf(x) ? 0x7c00 : 0x7bff);
    }
    if (magnitude < 0x1p-14f) {
        return (uint16_t)(sign | (uint16_t)(magnitude * 0x1p24f));
    }
    const int e = ilogbf(magnitude);
    const int mantissa = (int)ldexpf(magnitude, 10 - e) - 1024;
    return (uint16_t)(sign | (e + 15) << 10 | mantissa);
}

static uint16_t bf16_of(float x)
{
    return isnan(x) ? 0x7fc0 : (uint16_t)(baro_f32_bits(x) >> 16);
}

static double clamped(double x, double low, double high)
{
    return isnan(x) ? 0 : x < low ? low : x > high ? high : x;
}

void spans_put(enum baro_dtype dtype, void *array, size_t i, double x)
{
    switch ((int)dtype) {
    case BARO_F32: ((float *)array)[i] = (float)x; break;
    case BARO_F64: ((double *)array)[i] = x; break;
    case BARO_F16: ((uint16_t *)array)[i] = f16_of((float)x); break;
    case BARO_BF16: ((uint16_t *)array)[i] = bf16_of((float)x); break;
    case BARO_I8: ((int8_t *)array)[i] = (int8_t)clamped(x, -128, 127); break;
    case BARO_I16: ((int16_t *)array)[i] = (int16_t)clamped(x, -32768, 32767); break;
    case BARO_I32: ((int32_t *)array)[i] = (int32_t)clamped(x, -2e9, 2e9); break;
    case BARO_I64: ((int64_t *)array)[i] = (int64_t)clamped(x, -9e18, 9e18); break;
    case BARO_U8: ((uint8_t *)array)[i] = (uint8_t)clamped(x, 0, 255); break;
    default: ((uint8_t *)array)[i] = x > 0.5; break;
    }
}

static double bad_number(struct rng *rng)
{
    static const double bad[3] = {(double)NAN, (double)INFINITY, (double)-INFINITY};
    return bad[rng_below(rng, 3)];
}

/* at: how far through the memory, 0 to 1 */
static double draw(struct rng *rng, enum baro_dtype dtype, enum fill fill, double at)
{
    const double z = rng_normal(rng);
    const bool f64 = dtype == BARO_F64;
    switch (fill) {
    case FILL_NEAR_ONE: return 1 + 1e-3 * z;
    case FILL_NEAR_HUNDRED: return 100 + 1e-3 * z;
    case FILL_DRIFT: return at < 0.3 ? 0 : at < 0.6 ? 5000 + z : -70 + 1e-3 * z;
    case FILL_CONSTANT: return 0.1;
    case FILL_SPARSE: return rng_below(rng, 8) == 0 ? z : rng_below(rng, 2) ? 0.0 : -0.0;
    case FILL_TINY: return z * (f64 ? 1e-170 : 1e-25);
    case FILL_DENORMAL: return z * (f64 ? 1e-315 : 1e-40);
    case FILL_HUGE: return z * (f64 ? 1e306 : 1e36);
    case FILL_LOG: return z * exp2((double)rng_below(rng, 120) - 60);
    case FILL_SOME_BAD: return rng_below(rng, 1000) == 0 ? bad_number(rng) : z;
    case FILL_MANY_BAD: return rng_below(rng, 4) == 0 ? bad_number(rng) : z;
    case FILL_ALL_BAD: return bad_number(rng);
    case FILL_NORMAL:
    case FILL_COUNT:
    default: return z * 3;
    }
}

static void *filled(struct rng *rng, enum baro_dtype dtype, enum fill fill, int64_t n)
{
    void *memory = malloc((size_t)n * baro_dtype_bytes(dtype) + 1);
    for (int64_t i = 0; i < n; i++) {
        spans_put(dtype, memory, (size_t)i, draw(rng, dtype, fill, (double)i / (double)n));
    }
    return memory;
}

struct test_span spans_contiguous(struct rng *rng, enum baro_dtype dtype, enum fill fill,
    int n_dims, const int64_t *shape)
{
    struct test_span test = {0};
    int64_t n = 1;
    for (int d = 0; d < n_dims; d++) {
        n *= shape[d];
    }
    test.memory = filled(rng, dtype, fill, n);
    if (baro_span_make(&test.span, dtype, test.memory, n_dims, shape, NULL, NULL) != 0) {
        abort();
    }
    return test;
}

/* Extents with a random product up to max_count; now and then 0. */
static int random_shape(struct rng *rng, int64_t max_count, int64_t *shape)
{
    const int n_dims = (int)rng_below(rng, 6);
    int64_t room = 1 + rng_below(rng, max_count);
    for (int d = 0; d < n_dims; d++) {
        const int64_t most = d == n_dims - 1 || room < 3 ? room : 1 + rng_below(rng, room);
        shape[d] = rng_below(rng, 4) == 0 ? 1 + rng_below(rng, most < 9 ? most : 9) : most;
        room /= shape[d];
        if (rng_below(rng, 100) == 0) {
            shape[d] = 0;
        }
    }
    for (int d = n_dims - 1; d > 0; d--) {
        const int other = (int)rng_below(rng, d + 1);
        const int64_t extent = shape[d];
        shape[d] = shape[other];
        shape[other] = extent;
    }
    return n_dims;
}

struct test_span spans_random(
    struct rng *rng, enum baro_dtype dtype, enum fill fill, int64_t max_count)
{
    struct test_span test = {0};
    int64_t shape[BARO_MAX_DIMS];
    int64_t strides[BARO_MAX_DIMS];
    const int n_dims = random_shape(rng, max_count, shape);
    int order[BARO_MAX_DIMS];
    for (int d = 0; d < n_dims; d++) {
        order[d] = d;
    }
    const bool permuted = rng_below(rng, 2) == 0;
    for (int d = n_dims - 1; d > 0 && permuted; d--) {
        const int other = (int)rng_below(rng, d + 1);
        const int dim = order[d];
        order[d] = order[other];
        order[other] = dim;
    }
    const bool plain = rng_below(rng, 3) == 0;
    int64_t size = 1;
    int64_t first = 0;
    for (int k = n_dims - 1; k >= 0; k--) {
        const int d = order[k];
        const int64_t extent = shape[d] > 0 ? shape[d] : 1;
        const int64_t kind = plain ? 9 : rng_below(rng, 12);
        const int64_t gap = kind < 3 ? 1 + kind : 1;
        strides[d] = kind == 3 ? 0 : size * gap;
        size *= kind == 3 ? 1 : extent * gap + (kind == 4 ? 3 : 0);
        if (kind == 5 || kind == 6) {
            first += strides[d] * (extent - 1);
            strides[d] = -strides[d];
        }
    }
    test.memory = filled(rng, dtype, fill, size);
    const char *data = (const char *)test.memory + first * (int64_t)baro_dtype_bytes(dtype);
    if (baro_span_make(&test.span, dtype, data, n_dims, shape, strides, NULL) != 0) {
        abort();
    }
    return test;
}

void spans_free(struct test_span *test)
{
    free(test->memory);
    test->memory = NULL;
}
