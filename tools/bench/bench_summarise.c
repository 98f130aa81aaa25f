/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/simd/summarise.h"
#include "lib/simd/update.h"

/*
 * Reading the memory once is the limit: a plain sum of it, in eight independent vectors,
 * which no statistic can beat. Each case takes turns with that sum over the same memory, so
 * that a neighbour on the machine slows both. Integers are summed: an add a cycle, no
 * rounding unit in the way.
 */

typedef uint64_t word4 __attribute__((vector_size(32)));

enum { MAX_TURNS = 31, N_SIZES = 3, UNITS_MOST = 1 << 16 };

/* What is timed: one call over one span. */
typedef void (*work_fn)(const struct baro_span *span);

static volatile uint64_t sink;
static struct baro_summary summary;
static struct baro_hist hist;
static float unit_columns[6][UNITS_MOST];
static struct baro_update_summary update_summary;

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static void
read_wide(const void *data, size_t bytes)
{
    const word4 *p = data;
    word4 sums[8] = {{0}};
    const size_t n = bytes / sizeof(word4);
    for (size_t i = 0; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            sums[k] += p[i + k];
        }
    }
    for (size_t k = 1; k < 8; k++) {
        sums[0] += sums[k];
    }
    sink += sums[0][0] + sums[0][1] + sums[0][2] + sums[0][3];
}

static void read_all(const struct baro_span *span)
{
    const size_t bytes = (size_t)baro_span_count(span) * baro_dtype_bytes(span->dtype);
    read_wide(span->data, bytes);
}

static void summarise(const struct baro_span *span)
{
    baro_summarise(span, &summary, NULL);
}

static void summarise_hist(const struct baro_span *span)
{
    baro_summarise(span, &summary, &hist);
}

static void units_of(const struct baro_span *span, int axis)
{
    const struct baro_unit_stats out = {unit_columns[0], unit_columns[1], unit_columns[2],
        unit_columns[3], unit_columns[4]};
    baro_summarise_units(span, axis, &out);
}

static void units_0(const struct baro_span *span)
{
    units_of(span, 0);
}

static void units_1(const struct baro_span *span)
{
    units_of(span, 1);
}

/* The first half of the rows is the weight before a step, the second half after it. */
static void update_of(const struct baro_span *both, int axis)
{
    const struct baro_update_units out = {
        {unit_columns[0], unit_columns[1], unit_columns[2], unit_columns[3],
            unit_columns[4]},
        unit_columns[5]};
    struct baro_span before = *both;
    before.shape[0] /= 2;
    struct baro_span after = before;
    after.data = (const char *)both->data +
                 (size_t)baro_span_count(&before) * baro_dtype_bytes(before.dtype);
    baro_summarise_update(&before, &after, axis, &update_summary, &hist, &out);
}

static void update_whole(const struct baro_span *both)
{
    update_of(both, BARO_NO_UNITS);
}

static void update_units(const struct baro_span *both)
{
    update_of(both, 0);
}

static void both_of(const struct baro_span *span, int axis)
{
    const struct baro_unit_stats out = {unit_columns[0], unit_columns[1], unit_columns[2],
        unit_columns[3], unit_columns[4]};
    baro_summarise_both(span, axis, &out, &summary, NULL);
}

static void both_0(const struct baro_span *span)
{
    both_of(span, 0);
}

static void both_1(const struct baro_span *span)
{
    both_of(span, 1);
}

/* Seconds of one call: of as many as take about a millisecond together. */
static double seconds(work_fn work, const struct baro_span *span)
{
    const size_t bytes = (size_t)baro_span_count(span) * baro_dtype_bytes(span->dtype);
    const size_t most = (size_t)4 << 20;
    const int n_calls = bytes >= most ? 1 : (int)(most / (bytes + 64)) + 1;
    const int n = n_calls > 20000 ? 20000 : n_calls;
    const int64_t from = (int64_t)baro_now_ns();
    for (int i = 0; i < n; i++) {
        work(span);
    }
    return (double)((int64_t)baro_now_ns() - from) * 1e-9 / n;
}

/* Measures one case in turns with the limit and reports GB/s. */
static void measure(
    struct bench *bench, const char *name, work_fn work, const struct baro_span *span)
{
    const double gigabytes =
        (double)baro_span_count(span) * (double)baro_dtype_bytes(span->dtype) * 1e-9;
    const int n_turns = bench_is_quick(bench) ? 3 : gigabytes > 0.1 ? 9 : MAX_TURNS;
    double speed[MAX_TURNS];
    double limit[MAX_TURNS];
    seconds(work, span);
    for (int i = 0; i < n_turns; i++) {
        limit[i] = gigabytes / seconds(read_all, span);
        speed[i] = gigabytes / seconds(work, span);
    }
    bench_report_samples(bench, "summarise", name, speed, (size_t)n_turns, "GB/s",
        bench_median(limit, (size_t)n_turns), "plain read of the same memory");
}

static struct baro_span span_of(
    void *data, enum baro_dtype dtype, int64_t rows, int64_t cols)
{
    struct baro_span span;
    const int64_t shape[2] = {rows, cols};
    baro_span_make(&span, dtype, data, 2, shape, NULL, NULL);
    return span;
}

static const char *size_name(size_t bytes)
{
    return bytes >= (size_t)64 << 20  ? "256 MiB"
           : bytes >= (size_t)1 << 20 ? "4 MiB"
                                      : "64 KiB";
}

static void measure_whole(struct bench *bench, void *data, const size_t *sizes, int n_sizes)
{
    char name[80];
    for (int s = 0; s < n_sizes; s++) {
        const struct baro_span f32 = span_of(data, BARO_F32, 1, (int64_t)sizes[s] / 4);
        for (int simd = 0; simd < BARO_SIMD_COUNT; simd++) {
            if (baro_simd_use((enum baro_simd)simd)) {
                snprintf(name, sizeof(name), "f32 %s %s", size_name(sizes[s]),
                    baro_simd_name((enum baro_simd)simd));
                measure(bench, name, summarise, &f32);
            }
        }
        baro_simd_use(baro_simd_best());
        snprintf(name, sizeof(name), "f32 %s with histogram", size_name(sizes[s]));
        measure(bench, name, summarise_hist, &f32);
    }
    static const enum baro_dtype others[3] = {BARO_F16, BARO_BF16, BARO_F64};
    for (int k = 0; k < 3; k++) {
        for (int s = 0; s < n_sizes; s++) {
            const int64_t n = (int64_t)(sizes[s] / baro_dtype_bytes(others[k]));
            const struct baro_span span = span_of(data, others[k], 1, n);
            snprintf(name, sizeof(name), "%s %s", baro_dtype_name(others[k]),
                size_name(sizes[s]));
            measure(bench, name, summarise, &span);
        }
    }
}

static void measure_units(struct bench *bench, void *data, size_t bytes)
{
    static const int64_t shapes[5][2] = {
        {65536, 64}, {4096, 1024}, {1024, 4096}, {64, 65536}, {4096, 4096}};
    char name[80];
    for (int s = 0; s < 5; s++) {
        if ((size_t)(shapes[s][0] * shapes[s][1]) * sizeof(float) > bytes) {
            continue;
        }
        const struct baro_span span = span_of(data, BARO_F32, shapes[s][0], shapes[s][1]);
        snprintf(name, sizeof(name), "units, rows of [%lld, %lld]", (long long)shapes[s][0],
            (long long)shapes[s][1]);
        measure(bench, name, units_0, &span);
        snprintf(name, sizeof(name), "units, columns of [%lld, %lld]",
            (long long)shapes[s][0], (long long)shapes[s][1]);
        measure(bench, name, units_1, &span);
    }
}

/* 16-bit patterns that are ordinary numbers of both signs, whatever float type reads them. */
static void fill(void *data, size_t bytes)
{
    uint16_t *p = data;
    uint32_t state = 1;
    for (size_t i = 0; i < bytes / sizeof(*p); i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (uint16_t)(0x3800u | (state >> 16 & 0x83ffu));
    }
}

/*
 * Makes the second half of the rows the first half after a step of an optimiser: f32 and f64 move
 * by up to 1e-3 of themselves, of bf16 one in sixteen moves by its last bit.
 */
static void take_step(const struct baro_span *both, void *data)
{
    const int64_t n = baro_span_count(both) / 2;
    for (int64_t i = 0; i < n; i++) {
        const double part = 1e-3 * ((double)((uint32_t)i * 2654435761u >> 24) / 128 - 1);
        if (both->dtype == BARO_F32) {
            float *x = data;
            x[n + i] = (float)((double)x[i] * (1 + part));
        } else if (both->dtype == BARO_F64) {
            double *x = data;
            x[n + i] = x[i] * (1 + part);
        } else {
            uint16_t *x = data;
            x[n + i] = (uint16_t)(x[i] ^ (i % 16 == 0));
        }
    }
}

/* Both arrays of an update count as read. */
static void measure_updates(
    struct bench *bench, void *data, const size_t *sizes, int n_sizes)
{
    static const enum baro_dtype dtypes[3] = {BARO_F32, BARO_BF16, BARO_F64};
    char name[80];
    for (int s = 1; s < n_sizes; s++) {
        for (int k = 0; k < 3; k++) {
            const int64_t n = (int64_t)(sizes[s] / baro_dtype_bytes(dtypes[k]));
            const struct baro_span span = span_of(data, dtypes[k], n / 1024, 1024);
            snprintf(name, sizeof(name), "update, %s 2 x %s", baro_dtype_name(dtypes[k]),
                s == 1 ? "2 MiB" : "128 MiB");
            fill(data, sizes[s]);
            take_step(&span, data);
            measure(bench, name, update_whole, &span);
        }
    }
    const struct baro_span rows = span_of(data, BARO_F32, 2 * 8192, 64);
    const struct baro_span long_rows = span_of(data, BARO_F32, 2 * 512, 1024);
    fill(data, sizes[1]);
    take_step(&rows, data);
    measure(bench, "update, units of 2 x [8192, 64]", update_units, &rows);
    measure(bench, "update, units of 2 x [512, 1024]", update_units, &long_rows);
}

/* The whole tensor and its units in one look: large ones, and one of narrow rows. */
static void measure_both(struct bench *bench, void *data, size_t bytes)
{
    static const int64_t shapes[5][2] = {
        {65536, 64}, {1024, 4096}, {4096, 4096}, {65536, 1024}, {16384, 4096}};
    char name[80];
    for (int s = 0; s < 5; s++) {
        const long long rows = shapes[s][0];
        const long long cols = shapes[s][1];
        if ((size_t)(rows * cols) * sizeof(float) > bytes) {
            continue;
        }
        const struct baro_span span = span_of(data, BARO_F32, rows, cols);
        snprintf(name, sizeof(name), "whole and rows of [%lld, %lld]", rows, cols);
        measure(bench, name, both_0, &span);
        snprintf(name, sizeof(name), "whole and columns of [%lld, %lld]", rows, cols);
        measure(bench, name, both_1, &span);
    }
}

/* The fixed cost; its limit is the same call on no element at all. */
static void measure_small(struct bench *bench, void *data)
{
    static const int64_t counts[3] = {16, 256, 4096};
    const struct baro_span none = span_of(data, BARO_F32, 1, 0);
    for (int k = 0; k < 3; k++) {
        const struct baro_span span = span_of(data, BARO_F32, 1, counts[k]);
        double cost[MAX_TURNS];
        double least[MAX_TURNS];
        for (int i = 0; i < MAX_TURNS; i++) {
            least[i] = seconds(summarise, &none) * 1e9;
            cost[i] = seconds(summarise, &span) * 1e9;
        }
        char name[80];
        snprintf(name, sizeof(name), "f32 %lld elements, one call", (long long)counts[k]);
        bench_report_samples(bench, "summarise", name, cost, MAX_TURNS, "ns",
            bench_median(least, MAX_TURNS), "the call without elements");
    }
}

int bench_summarise(struct bench *bench)
{
    static const size_t sizes[N_SIZES] = {
        (size_t)64 << 10, (size_t)4 << 20, (size_t)256 << 20};
    const int n_sizes = bench_is_quick(bench) ? 2 : N_SIZES;
    const size_t bytes = sizes[n_sizes - 1];
    void *data = NULL;
    if (posix_memalign(&data, 64, bytes) != 0) {
        return bench_fail(bench, "no memory for %zu MiB", bytes >> 20);
    }
    fill(data, bytes);
    measure_whole(bench, data, sizes, n_sizes);
    measure_units(bench, data, bytes);
    measure_both(bench, data, bytes);
    measure_updates(bench, data, sizes, n_sizes);
    measure_small(bench, data);
    bench_note(bench, "Widest instructions here: %s.", baro_simd_name(baro_simd_best()));
    free(data);
    return 0;
}
