/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/codec/chunk.h"

static uint64_t seed = 88172645463325252U;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Columns of a chunk and the memory behind them. */
struct sample {
    struct chunk_columns columns;
    int64_t *steps;
    int64_t *times_ns;
    uint64_t *f64; /* bits */
    uint32_t *f32;
    uint32_t *ends;
    uint8_t *extra;
};

static uint64_t some_bits(size_t i)
{
    static const uint64_t special[] = {0, UINT64_C(1) << 63, UINT64_C(0x7ff0000000000000),
        UINT64_C(0xfff0000000000000), UINT64_C(0x7ff8000000000001),
        UINT64_C(0x7ff0dead0000beef), UINT64_C(0xffffffffffffffff), 1};
    switch (next_random() % 4) {
    case 0: return special[next_random() % BARO_LEN(special)];
    case 1: return next_random();
    default: {
        double smooth = sin((double)i / 50.0);
        uint64_t bits;
        memcpy(&bits, &smooth, sizeof bits);
        return bits;
    }
    }
}

static void sample_init(struct sample *sample, uint32_t n_rows, uint32_t n_f64,
    uint32_t n_f32, uint32_t max_extra, size_t stride)
{
    *sample = (struct sample){
        .steps = baro_xcalloc(n_rows, 8),
        .times_ns = baro_xcalloc(n_rows, 8),
        .f64 = baro_xcalloc(stride * n_f64, 8),
        .f32 = baro_xcalloc(stride * n_f32, 4),
        .ends = baro_xcalloc(n_rows, 4),
        .extra = baro_xcalloc((size_t)n_rows * max_extra, 1),
    };
    uint32_t end = 0;
    for (uint32_t i = 0; i < n_rows; i++) {
        sample->steps[i] = (int64_t)i * 10 - (int64_t)(next_random() % 100 == 0 ? i : 0);
        sample->times_ns[i] = (int64_t)i * 100000000 + (int64_t)(next_random() % 1000000);
        end += max_extra > 0 ? (uint32_t)(next_random() % (max_extra + 1)) : 0;
        sample->ends[i] = end;
    }
    for (size_t i = 0; i < (size_t)n_rows * max_extra; i++) {
        sample->extra[i] = (uint8_t)(next_random() % 5);
    }
    for (size_t i = 0; i < stride * n_f64; i++) {
        sample->f64[i] = some_bits(i);
    }
    for (size_t i = 0; i < stride * n_f32; i++) {
        sample->f32[i] = (uint32_t)(some_bits(i) >> 32);
    }
    sample->columns = (struct chunk_columns){
        .n_rows = n_rows,
        .n_f64 = n_f64,
        .n_f32 = n_f32,
        .stride = stride,
        .steps = sample->steps,
        .times_ns = sample->times_ns,
        .f64 = (const double *)(const void *)sample->f64,
        .f32 = (const float *)(const void *)sample->f32,
        .extra_ends = sample->ends,
        .extra = sample->extra,
        .covers = UINT64_C(5000000000) + n_rows,
    };
}

static void sample_finish(struct sample *sample)
{
    free(sample->steps);
    free(sample->times_ns);
    free(sample->f64);
    free(sample->f32);
    free(sample->ends);
    free(sample->extra);
}

static void check_numbers(
    const struct sample *sample, struct chunk_codec *codec, const struct chunk *chunk)
{
    const struct chunk_columns *columns = &sample->columns;
    size_t n = columns->n_rows;
    int64_t *numbers = baro_xcalloc(n, 8);
    assert_int_equal(chunk_steps(codec, chunk, numbers, NULL), 0);
    assert_memory_equal(numbers, sample->steps, n * 8);
    assert_int_equal(chunk_times(codec, chunk, numbers, NULL), 0);
    assert_memory_equal(numbers, sample->times_ns, n * 8);
    free(numbers);
    uint32_t *ends = baro_xcalloc(n, 4);
    uint8_t *extra = baro_xcalloc(chunk->extra_bytes, 1);
    assert_int_equal(chunk_extra(codec, chunk, ends, extra, NULL), 0);
    assert_memory_equal(ends, sample->ends, n * 4);
    if (chunk->extra_bytes > 0) {
        assert_memory_equal(extra, sample->extra, chunk->extra_bytes);
    }
    free(ends);
    free(extra);
}

/* Some columns, all of them, none: always the same bits as went in. */
static void check_columns(const struct sample *sample, struct chunk_codec *codec,
    const struct chunk *chunk, uint32_t first, uint32_t n, bool is_f64)
{
    size_t rows = chunk->n_rows;
    size_t stride = rows + 3;
    double *f64 = baro_xcalloc(n * stride, 8);
    float *f32 = baro_xcalloc(n * stride, 4);
    if (is_f64) {
        assert_int_equal(chunk_f64(codec, chunk, first, n, f64, stride, NULL), 0);
    } else {
        assert_int_equal(chunk_f32(codec, chunk, first, n, f32, stride, NULL), 0);
    }
    for (uint32_t c = 0; c < n; c++) {
        size_t from = (first + c) * sample->columns.stride;
        if (is_f64) {
            assert_memory_equal(f64 + c * stride, sample->f64 + from, rows * 8);
        } else {
            assert_memory_equal(f32 + c * stride, sample->f32 + from, rows * 4);
        }
    }
    free(f64);
    free(f32);
}

static void every_shape_comes_back_bit_for_bit(void **state)
{
    static const uint32_t shapes[][4] = {{1, 1, 0, 0}, {1, 0, 0, 0}, {7, 0, 0, 50},
        {1, 0, 1, 9}, {1, 0, 60000, 0}, {3, 16, 0, 100}, {5000, 1, 0, 0}, {500, 16, 2, 40},
        {9, 3, 9000, 3}, {65536, 1, 1, 0}, {2, 5000, 5000, 0}};
    struct chunk_codec *codec = chunk_codec_create();
    for (size_t i = 0; i < BARO_LEN(shapes); i++) {
        struct sample sample;
        const uint32_t *shape = shapes[i];
        sample_init(&sample, shape[0], shape[1], shape[2], shape[3], shape[0] + i % 3);
        const uint8_t *bytes = NULL;
        size_t n = 0;
        assert_int_equal(chunk_encode(codec, &sample.columns, &bytes, &n, NULL), 0);
        uint8_t *copy = baro_xcalloc(n, 1);
        memcpy(copy, bytes, n);
        struct chunk chunk;
        assert_int_equal(chunk_open(&chunk, copy, n, NULL), 0);
        assert_int_equal(chunk.n_rows, shape[0]);
        assert_int_equal(chunk.n_f64, shape[1]);
        assert_int_equal(chunk.n_f32, shape[2]);
        assert_int_equal(chunk.covers, UINT64_C(5000000000) + shape[0]);
        assert_int_equal(chunk.precision, CHUNK_EXACT);
        check_numbers(&sample, codec, &chunk);
        for (int turn = 0; turn < 10; turn++) {
            bool is_f64 = turn % 2 == 0;
            uint32_t of = is_f64 ? shape[1] : shape[2];
            uint32_t first = turn < 2 ? 0 : (uint32_t)(next_random() % (of + 1));
            uint32_t most = of - first;
            uint32_t few = turn < 2 ? most : (uint32_t)(next_random() % (most + 1));
            check_columns(&sample, codec, &chunk, first, few, is_f64);
        }
        double none;
        assert_int_equal(
            chunk_f64(codec, &chunk, shape[1], 1, &none, shape[0], NULL), BARO_EINVAL);
        free(copy);
        sample_finish(&sample);
    }
    chunk_codec_destroy(codec);
}

static void part_of_the_rows_can_be_encoded_in_place(void **state)
{
    struct chunk_codec *codec = chunk_codec_create();
    struct sample sample;
    sample_init(&sample, 100, 2, 3, 20, 100);
    struct chunk_columns part = sample.columns;
    part.n_rows = 30;
    part.steps += 50;
    part.times_ns += 50;
    part.f64 += 50;
    part.f32 += 50;
    part.extra_ends += 50;
    part.extra_start = sample.ends[49];
    const uint8_t *bytes = NULL;
    size_t n = 0;
    assert_int_equal(chunk_encode(codec, &part, &bytes, &n, NULL), 0);
    uint8_t *copy = baro_xcalloc(n, 1);
    memcpy(copy, bytes, n);
    struct chunk chunk;
    assert_int_equal(chunk_open(&chunk, copy, n, NULL), 0);
    float floats[90];
    uint32_t ends[30];
    uint8_t extra[600];
    assert_int_equal(chunk.extra_bytes, sample.ends[79] - sample.ends[49]);
    assert_int_equal(chunk_f32(codec, &chunk, 0, 3, floats, 30, NULL), 0);
    assert_memory_equal(floats + 60, sample.f32 + 250, 30 * 4);
    assert_int_equal(chunk_extra(codec, &chunk, ends, extra, NULL), 0);
    assert_int_equal(ends[0], sample.ends[50] - sample.ends[49]);
    assert_memory_equal(extra, sample.extra + sample.ends[49], chunk.extra_bytes);
    free(copy);
    sample_finish(&sample);
    chunk_codec_destroy(codec);
}

static void a_chunk_over_its_limits_is_refused(void **state)
{
    struct chunk_codec *codec = chunk_codec_create();
    const uint8_t *bytes = NULL;
    size_t n = 0;
    struct chunk_columns columns = {.n_rows = CHUNK_MAX_ROWS + 1};
    assert_int_equal(chunk_encode(codec, &columns, &bytes, &n, NULL), BARO_ELIMIT);
    columns = (struct chunk_columns){.n_rows = 0};
    assert_int_equal(chunk_encode(codec, &columns, &bytes, &n, NULL), BARO_ELIMIT);
    columns = (struct chunk_columns){.n_rows = 1000, .n_f64 = 100000};
    assert_int_equal(chunk_encode(codec, &columns, &bytes, &n, NULL), BARO_ELIMIT);
    chunk_codec_destroy(codec);
}

/* Decode all that an opened chunk says it has; whatever comes, it must not crash. */
static void decode_all(struct chunk_codec *codec, const struct chunk *chunk)
{
    size_t rows = chunk->n_rows;
    double *f64 = baro_xcalloc(rows * chunk->n_f64, 8);
    float *f32 = baro_xcalloc(rows * chunk->n_f32, 4);
    int64_t *numbers = baro_xcalloc(rows, 8);
    uint32_t *ends = baro_xcalloc(rows, 4);
    uint8_t *extra = baro_xcalloc(chunk->extra_bytes, 1);
    (void)chunk_steps(codec, chunk, numbers, NULL);
    (void)chunk_times(codec, chunk, numbers, NULL);
    (void)chunk_f64(codec, chunk, 0, chunk->n_f64, f64, rows, NULL);
    (void)chunk_f32(codec, chunk, 0, chunk->n_f32, f32, rows, NULL);
    (void)chunk_extra(codec, chunk, ends, extra, NULL);
    free(f64);
    free(f32);
    free(numbers);
    free(ends);
    free(extra);
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct chunk_codec *codec = chunk_codec_create();
    struct sample sample;
    sample_init(&sample, 20, 2, 1, 10, 20);
    const uint8_t *bytes = NULL;
    size_t n = 0;
    assert_int_equal(chunk_encode(codec, &sample.columns, &bytes, &n, NULL), 0);
    uint8_t *copy = baro_xcalloc(n, 1);
    struct chunk chunk;
    for (size_t i = 0; i < n * 8; i++) {
        memcpy(copy, bytes, n);
        copy[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(chunk_open(&chunk, copy, n, NULL), BARO_ECORRUPT);
    }
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(chunk_open(&chunk, bytes, cut, NULL), BARO_ECORRUPT);
    }
    free(copy);
    sample_finish(&sample);
    chunk_codec_destroy(codec);
}

static void damage_under_a_right_checksum_neither_crashes_nor_overflows(void **state)
{
    struct chunk_codec *codec = chunk_codec_create();
    struct chunk_codec *reader = chunk_codec_create();
    struct sample sample;
    sample_init(&sample, 40, 2, 3, 10, 40);
    const uint8_t *bytes = NULL;
    size_t n = 0;
    assert_int_equal(chunk_encode(codec, &sample.columns, &bytes, &n, NULL), 0);
    uint8_t *copy = baro_xcalloc(n, 1);
    int n_opened = 0;
    for (int turn = 0; turn < 20000; turn++) {
        memcpy(copy, bytes, n);
        for (uint64_t flips = 1 + next_random() % 3; flips > 0; flips--) {
            size_t at = next_random() % (turn % 2 == 0 ? n : 160);
            copy[at] = (uint8_t)next_random();
        }
        uint64_t check = XXH3_64bits(copy, n - 8);
        memcpy(copy + n - 8, &check, 8);
        struct chunk chunk;
        if (chunk_open(&chunk, copy, n, NULL) == 0) {
            decode_all(reader, &chunk);
            n_opened++;
        }
    }
    assert_true(n_opened > 1000);
    free(copy);
    sample_finish(&sample);
    chunk_codec_destroy(codec);
    chunk_codec_destroy(reader);
}

static void a_newer_chunk_is_told_apart_from_a_damaged_one(void **state)
{
    struct chunk_codec *codec = chunk_codec_create();
    struct sample sample;
    sample_init(&sample, 1, 1, 0, 0, 1);
    const uint8_t *bytes = NULL;
    size_t n = 0;
    assert_int_equal(chunk_encode(codec, &sample.columns, &bytes, &n, NULL), 0);
    uint8_t *copy = baro_xcalloc(n, 1);
    memcpy(copy, bytes, n);
    copy[4] = 3;
    uint64_t check = XXH3_64bits(copy, n - 8);
    memcpy(copy + n - 8, &check, 8);
    struct chunk chunk;
    assert_int_equal(chunk_open(&chunk, copy, n, NULL), BARO_EVERSION);
    free(copy);
    sample_finish(&sample);
    chunk_codec_destroy(codec);
}

/* ---- what it costs ---- */

/* Encode one column of doubles at even steps; returns the bytes for each row. */
static double bytes_per_row(const double *values, uint32_t n)
{
    struct chunk_codec *codec = chunk_codec_create();
    int64_t *steps = baro_xcalloc(n, 8);
    double *back = baro_xcalloc(n, 8);
    for (uint32_t i = 0; i < n; i++) {
        steps[i] = i;
    }
    struct chunk_columns columns = {.n_rows = n,
        .n_f64 = values != NULL,
        .stride = n,
        .steps = steps,
        .times_ns = steps,
        .f64 = values};
    const uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct chunk chunk;
    assert_int_equal(chunk_encode(codec, &columns, &bytes, &n_bytes, NULL), 0);
    assert_int_equal(chunk_open(&chunk, bytes, n_bytes, NULL), 0);
    if (values != NULL) {
        assert_int_equal(chunk_f64(codec, &chunk, 0, 1, back, n, NULL), 0);
        assert_memory_equal(back, values, n * sizeof *values);
    }
    free(steps);
    free(back);
    chunk_codec_destroy(codec);
    return (double)n_bytes / n;
}

static double noise(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += (double)(next_random() >> 11) * 0x1p-53;
    }
    return sum - 6;
}

/* Bounds a tenth above what was measured: a worse choice of coding is noticed. */
static void each_sort_of_series_costs_what_it_should(void **state)
{
    enum { N = 8000 };
    static double values[N];
    double stamps = bytes_per_row(NULL, N);
    assert_true(stamps < 0.02);
    for (size_t i = 0; i < N; i++) {
        values[i] = 0.001;
    }
    assert_true(bytes_per_row(values, N) - stamps < 0.004);
    for (size_t i = 0; i < N; i++) { /* a loss: floats around a level that falls */
        values[i] = (double)(float)((1 + 4 * exp(-(double)i / 1000)) * (1 + 0.1 * noise()));
    }
    assert_true(bytes_per_row(values, N) - stamps < 2.95);
    for (size_t i = 0; i < N; i++) { /* a cosine schedule, in doubles */
        values[i] = 1e-3 * 0.5 * (1 + cos(M_PI * (double)i / N));
    }
    assert_true(bytes_per_row(values, N) - stamps < 1.1);
    for (size_t i = 0; i < N; i++) { /* the hits in a batch of 64 */
        values[i] = (double)(32 + next_random() % 32) / 64;
    }
    assert_true(bytes_per_row(values, N) - stamps < 0.7);
    double norm = 10;
    double drift = 1e-5;
    for (size_t i = 0; i < N; i++) { /* a weight norm */
        drift += 1e-6 * noise();
        norm += drift;
        values[i] = (double)(float)norm;
    }
    assert_true(bytes_per_row(values, N) - stamps < 0.42);
    for (size_t i = 0; i < N; i++) { /* doubles that are noise to the last bit */
        values[i] = noise();
    }
    assert_true(bytes_per_row(values, N) - stamps < 7.2);
}

static void steps_in_a_straight_line_come_back(void **state)
{
    enum { N = 300 };
    static const int64_t strides[] = {1, -7, 0, 1000000007, INT64_MAX, INT64_MIN};
    struct chunk_codec *codec = chunk_codec_create();
    int64_t steps[N];
    int64_t back[N];
    int n_lines = 0;
    for (size_t turn = 0; turn < 4 * BARO_LEN(strides); turn++) {
        uint64_t at = turn * 12345;
        for (size_t i = 0; i < N; i++, at += (uint64_t)strides[turn / 4]) {
            steps[i] = (int64_t)at;
        }
        static const size_t breaks[] = {N, 1, N / 2, N - 1}; /* where it is no line */
        if (breaks[turn % 4] < N) {
            steps[breaks[turn % 4]] ^= 5;
        }
        struct chunk_columns columns = {.n_rows = turn % 4 == 0 ? N - (uint32_t)turn : N,
            .steps = steps,
            .times_ns = steps};
        const uint8_t *bytes = NULL;
        size_t n = 0;
        struct chunk chunk;
        assert_int_equal(chunk_encode(codec, &columns, &bytes, &n, NULL), 0);
        assert_int_equal(chunk_open(&chunk, bytes, n, NULL), 0);
        assert_int_equal(chunk_steps(codec, &chunk, back, NULL), 0);
        assert_memory_equal(back, steps, columns.n_rows * sizeof *steps);
        memset(back, 0x5a, sizeof back);
        int is_line = chunk_steps_line(codec, &chunk, back, NULL);
        assert_in_range(is_line, 0, breaks[turn % 4] == N ? 1 : 0);
        n_lines += is_line;
        assert_memory_equal(back, steps, (is_line ? 2 : columns.n_rows) * sizeof *steps);
    }
    assert_true(n_lines >= 3);
    chunk_codec_destroy(codec);
}

/* ---- rounding ---- */

/* Decode all columns of a chunk. */
struct rows {
    int64_t times_ns[400];
    double f64[400 * 2];
    float f32[400 * 30];
};

static void encode_rows(struct chunk_codec *codec, const struct rows *rows, size_t from,
    uint32_t n, uint32_t n_settled, enum chunk_precision precision, struct rows *out)
{
    struct chunk_columns columns = {.n_rows = n,
        .n_f64 = 2,
        .n_f32 = 30,
        .stride = 400,
        .steps = rows->times_ns + from,
        .times_ns = rows->times_ns + from,
        .n_settled = n_settled,
        .f64 = rows->f64 + from,
        .f32 = rows->f32 + from,
        .precision = precision};
    const uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct chunk chunk;
    assert_int_equal(chunk_encode(codec, &columns, &bytes, &n_bytes, NULL), 0);
    assert_int_equal(chunk_open(&chunk, bytes, n_bytes, NULL), 0);
    assert_int_equal(chunk.precision, precision);
    uint8_t *copy = baro_xcalloc(n_bytes, 1);
    memcpy(copy, bytes, n_bytes);
    assert_int_equal(chunk_open(&chunk, copy, n_bytes, NULL), 0);
    assert_int_equal(chunk_times(codec, &chunk, out->times_ns + from, NULL), 0);
    assert_int_equal(chunk_f64(codec, &chunk, 0, 2, out->f64 + from, 400, NULL), 0);
    assert_int_equal(chunk_f32(codec, &chunk, 0, 30, out->f32 + from, 400, NULL), 0);
    free(copy);
}

static void make_rows(struct rows *rows)
{
    int64_t time = 1700000000000000000;
    for (size_t i = 0; i < 400; i++) {
        time += 3000000 + (int64_t)(next_random() % 1000000);
        rows->times_ns[i] = time;
        rows->f64[i] = noise();
        rows->f64[400 + i] = (double)time;
        for (size_t c = 0; c < 30; c++) {
            float value = (float)(exp(3 * noise()) * (c % 2 == 0 ? 1 : noise()));
            value = c % 5 == 0 && i % 7 == 0 ? 0 : value;
            rows->f32[c * 400 + i] = c == 3 && i % 50 == 0 ? NAN : value;
        }
    }
    rows->f32[3 * 400 + 5] = -INFINITY;
    rows->f32[4 * 400 + 6] = 0x1p-140F;
}

static void what_may_be_rounded_is_and_nothing_else(void **state)
{
    static struct rows rows;
    static struct rows out;
    make_rows(&rows);
    struct chunk_codec *codec = chunk_codec_create();
    encode_rows(codec, &rows, 0, 400, 0, CHUNK_EXACT, &out);
    assert_memory_equal(&out, &rows, sizeof rows);
    encode_rows(codec, &rows, 0, 400, 0, CHUNK_ROUND_TIMES, &out);
    assert_memory_equal(out.f64, rows.f64, sizeof rows.f64);
    assert_memory_equal(out.f32, rows.f32, sizeof rows.f32);
    assert_true(memcmp(out.times_ns, rows.times_ns, sizeof rows.times_ns) != 0);
    encode_rows(codec, &rows, 0, 400, 0, CHUNK_ROUND_ALL, &out);
    assert_memory_equal(out.f64, rows.f64, sizeof rows.f64);
    size_t n_changed = 0;
    for (size_t i = 0; i < 400; i++) {
        assert_true(llabs(rows.times_ns[i] - out.times_ns[i]) <= 1 << 24);
        for (size_t at = i; at < (size_t)400 * 30; at += 400) {
            double was = (double)rows.f32[at];
            double is = (double)out.f32[at];
            bool is_same = memcmp(&rows.f32[at], &out.f32[at], 4) == 0;
            assert_true(is_same || fabs(is - was) <= fabs(was) * 0x1p-13);
            n_changed += !is_same;
        }
    }
    assert_true(n_changed > 9000);
    chunk_codec_destroy(codec);
}

static void rounding_again_or_after_a_merge_changes_nothing_more(void **state)
{
    static struct rows rows;
    static struct rows once;
    static struct rows again;
    static struct rows parts;
    make_rows(&rows);
    struct chunk_codec *codec = chunk_codec_create();
    encode_rows(codec, &rows, 0, 400, 0, CHUNK_ROUND_ALL, &once);
    encode_rows(codec, &once, 0, 400, 400, CHUNK_ROUND_ALL, &again);
    assert_memory_equal(&again, &once, sizeof once);
    for (size_t from = 0; from < 400; from += 40) {
        encode_rows(codec, &rows, from, 40, 0, CHUNK_ROUND_ALL, &parts);
    }
    encode_rows(codec, &parts, 0, 400, 400, CHUNK_ROUND_ALL, &again);
    assert_memory_equal(again.f32, once.f32, sizeof once.f32);
    assert_memory_equal(again.times_ns, parts.times_ns, sizeof parts.times_ns);
    for (size_t i = 1; i < 400; i++) {
        assert_true(again.times_ns[i] >= again.times_ns[i - 1]);
    }
    chunk_codec_destroy(codec);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_comes_back_bit_for_bit),
        cmocka_unit_test(part_of_the_rows_can_be_encoded_in_place),
        cmocka_unit_test(a_chunk_over_its_limits_is_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(damage_under_a_right_checksum_neither_crashes_nor_overflows),
        cmocka_unit_test(each_sort_of_series_costs_what_it_should),
        cmocka_unit_test(steps_in_a_straight_line_come_back),
        cmocka_unit_test(what_may_be_rounded_is_and_nothing_else),
        cmocka_unit_test(rounding_again_or_after_a_merge_changes_nothing_more),
        cmocka_unit_test(a_newer_chunk_is_told_apart_from_a_damaged_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
