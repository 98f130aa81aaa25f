/* SPDX-License-Identifier: Apache-2.0 */
/* baro_probe_*: statistics beside the plainest way, samples, room in the ring, threads, forks. */
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/probe_pieces.h"
#include "lib/base/reading.h"
#include "lib/base/ringfile.h"
#include "lib/push/baro.h"
#include "lib/simd/summarise.h"
#include "tests/probe_walk.h"

enum { RING_BYTES = 8 << 20 };

static char dir[64];
static struct baro_run *run;
static unsigned n_said;

static void hear(const char *text, void *payload)
{
    n_said += strstr(text, "captured") != NULL;
}

static int set_up(void **state)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    (void)snprintf(dir, sizeof dir, "/tmp/baro-unit-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    options.mode = "offline";
    options.ring_dir = dir;
    options.ring_bytes = RING_BYTES;
    options.on_message = hear;
    n_said = 0;
    run = baro_open(&options, NULL);
    return run == NULL || baro_step(run, 7) != 0;
}

static int clean(void **state)
{
    char command[128];
    (void)baro_close(run, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* The newest probe in the ring, parsed; NULL when there is none. *out_bytes: free it last. */
static struct probe *newest(void **out_bytes, struct probe_entry *out_entry)
{
    static uint8_t buffer[RECORD_MAX_BYTES] __attribute__((aligned(8)));
    struct probe_list list = {0};
    struct probe_gather gather = {0};
    struct probe *probe = NULL;
    for (int pass = 0; pass < 2; pass++) {
        struct ringfile *ring = NULL;
        struct ringfile_cursor cursor = {0};
        size_t n_bytes = 0;
        size_t n_records = 1;
        assert_int_equal(ringfile_open(&ring, baro_ring_path(run), RINGFILE_PEEK, NULL), 0);
        while (n_records > 0) {
            assert_int_equal(ringfile_read(ring, &cursor, buffer, sizeof buffer, 0,
                                 &n_bytes, &n_records),
                0);
            const uint8_t *at = buffer;
            const uint8_t *payload;
            struct record_header header;
            while (record_next(&at, buffer + n_bytes, &header, &payload) == 1) {
                struct reading reading;
                if (header.kind != READING_PROBE && header.kind != READING_FAILURE) {
                    continue;
                }
                assert_int_equal(reading_check(&header, payload, 0, 0, &reading, NULL), 0);
                if (pass == 0) {
                    assert_int_equal(
                        probe_list_add(&list, header.step, header.time_ns, reading.f64), 0);
                } else {
                    assert_int_equal(probe_gather_add(&gather, reading.f64, reading.extra,
                                         reading.extra_bytes),
                        0);
                }
            }
        }
        ringfile_close(ring);
        if (list.n == 0) {
            return NULL;
        }
        if (pass == 0) {
            *out_entry = list.entries[list.n - 1];
            assert_int_equal(probe_gather_init(&gather, out_entry), 0);
        }
    }
    struct baro_err err = {0};
    size_t n = 0;
    if (probe_gather_take(&gather, out_bytes, &n, &err) != 0 ||
        probe_parse(&probe, *out_bytes, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    probe_gather_finish(&gather);
    probe_list_finish(&list);
    (void)probe_walk(probe);
    return probe;
}

static struct baro_probe *begin(int reason, size_t max_bytes)
{
    static const int64_t rows[2] = {1, 2};
    const struct baro_probe_options options = {.step = -1,
        .reason = reason,
        .n_batch = 3,
        .n_rows = 2,
        .rows = rows,
        .max_bytes = max_bytes};
    return baro_probe_begin(run, &options);
}

/* ---- statistics ---- */

static double plain_value(const struct baro_span *span, int64_t i)
{
    return baro_span_value(span, i);
}

static void compare(const struct probe_value *value, const struct baro_span *span)
{
    const int64_t n = baro_span_count(span);
    uint64_t n_nan = 0;
    uint64_t n_inf = 0;
    int64_t n_finite = 0;
    double min = (double)INFINITY;
    double max = -(double)INFINITY;
    double sum = 0;
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = plain_value(span, i);
        n_nan += isnan(x) != 0;
        n_inf += isinf(x) != 0;
        if (isfinite(x)) {
            n_finite++;
            min = fmin(min, x);
            max = fmax(max, x);
            sum += x;
            squares += x * x;
        }
    }
    assert_int_equal(value->count, n);
    assert_int_equal(value->n_nan, n_nan);
    assert_int_equal(value->n_inf, n_inf);
    if (n_finite == 0) {
        assert_true(isnan(value->min) && isnan(value->mean) && isnan(value->l2));
        return;
    }
    assert_true(fabs(value->min - min) <= 0 && fabs(value->max - max) <= 0);
    const double scale = sqrt(squares) + 1e-30;
    assert_true(fabs(value->mean - sum / (double)n_finite) <= 1e-9 * scale);
    assert_true(fabs(value->l2 - sqrt(squares)) <= 1e-6 * scale);
}

static void statistics_are_those_of_the_plain_way(void **state)
{
    enum { ROWS = 6, COLS = 17 };
    static const enum baro_dtype types[] = {BARO_F32, BARO_F64, BARO_F16, BARO_BF16,
        BARO_I8, BARO_I16, BARO_I32, BARO_I64, BARO_U8, BARO_BOOL};
    static uint8_t data[2 * ROWS * COLS * 8] __attribute__((aligned(8)));
    static const int64_t shape[2] = {ROWS, COLS};
    static const int64_t strides[3][2] = {{COLS, 1}, {1, ROWS}, {2 * COLS, 2}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof data; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        data[i] = (uint8_t)(seed >> 40); /* random bits: NaN and infinite f16 among them */
    }
    struct baro_probe *probe = begin(1, 0);
    assert_non_null(probe);
    for (size_t t = 0; t < BARO_LEN(types); t++) {
        for (size_t s = 0; s < 3; s++) {
            struct baro_probe_value value = {.kind = 1,
                .dtype = types[t],
                .n_dims = 2,
                .shape = shape,
                .strides = s > 0 ? strides[s] : NULL,
                .data = data,
                .batch_axis = 0,
                .unit_axis = 1,
                .keep = 1};
            if (types[t] == BARO_BOOL) {
                for (size_t i = 0; i < sizeof data; i++) {
                    data[i] &= 1;
                }
            }
            assert_int_equal(baro_probe_value(probe, &value), (int64_t)(3 * t + s));
        }
    }
    assert_int_equal(baro_probe_end(probe, 0), 0);
    void *bytes = NULL;
    struct probe_entry entry;
    struct probe *parsed = newest(&bytes, &entry);
    assert_non_null(parsed);
    assert_int_equal(parsed->step, 7);
    assert_int_equal(parsed->n_values, 3 * BARO_LEN(types));
    seed = 5;
    for (size_t i = 0; i < sizeof data; i++) { /* as before the boolean ones */
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        data[i] = (uint8_t)(seed >> 40);
    }
    for (size_t t = 0; t + 1 < BARO_LEN(types); t++) {
        for (size_t s = 0; s < 3; s++) {
            const struct probe_value *value = &parsed->values[3 * t + s];
            const size_t item = baro_dtype_bytes(types[t]);
            struct baro_span span;
            assert_int_equal(
                baro_span_make(&span, types[t], data, 2, shape, strides[s], NULL), 0);
            compare(value, &span);
            assert_int_equal(
                value->bytes, 4 * COLS * item); /* rows 1, 2: two entries each */
            const uint8_t *kept = value->data;
            for (int64_t i = 0; i < 4 * COLS; i++) {
                const int64_t row = 2 + i / COLS;
                const int64_t from = row * strides[s][0] + i % COLS * strides[s][1];
                assert_memory_equal(
                    kept + (size_t)i * item, data + (size_t)from * item, item);
            }
        }
    }
    probe_free(parsed);
    free(bytes);
}

/* ---- room ---- */

/* Put a probe of about so many bytes in. */
static int push_bytes(int reason, int64_t n)
{
    float *data = baro_xcalloc((size_t)n / 4, 4);
    const int64_t shape[1] = {n / 4};
    struct baro_probe *probe = begin(reason, (size_t)n * 2 + 4096);
    if (probe == NULL) {
        free(data);
        return BARO_EFULL;
    }
    const struct baro_probe_value value = {.kind = 2,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = data,
        .batch_axis = -1,
        .unit_axis = -1,
        .keep = 2};
    assert_int_equal(baro_probe_value(probe, &value), 0);
    free(data);
    return baro_probe_end(probe, 0);
}

static bool is_newest_cut(void)
{
    void *bytes = NULL;
    struct probe_entry entry;
    struct probe *parsed = newest(&bytes, &entry);
    assert_non_null(parsed);
    const bool is_cut = parsed->is_cut;
    probe_free(parsed);
    free(bytes);
    return is_cut;
}

static void it_takes_a_quarter_of_the_ring_at_most_a_failure_half(void **state)
{
    assert_int_equal(push_bytes(1, RING_BYTES / 6), 0);
    assert_false(is_newest_cut());
    assert_int_equal(push_bytes(1, RING_BYTES / 4), 0);
    assert_true(is_newest_cut()); /* statistics only */
    assert_int_equal(push_bytes(3, RING_BYTES / 4), 0);
    assert_false(is_newest_cut());
}

static void a_full_ring_still_takes_a_small_one(void **state)
{
    struct baro_stats stats = {0};
    for (int i = 0; stats.n_dropped == 0; i++) {
        assert_int_equal(push_bytes(3, RING_BYTES / 8), 0);
        (void)baro_stats(run, &stats);
        assert_true(i < 100);
    }
    assert_int_equal(push_bytes(1, RING_BYTES / 32), 0);
    assert_false(is_newest_cut());
    assert_int_equal(push_bytes(1, RING_BYTES / 16), 0);
    assert_true(is_newest_cut());
    assert_int_equal(push_bytes(3, RING_BYTES / 6), 0); /* a failure: more */
    assert_false(is_newest_cut());
}

static void a_ring_that_fills_meanwhile_refuses_and_says_so_once(void **state)
{
    static float data[RING_BYTES / 8 / 4];
    const int64_t shape[1] = {BARO_LEN(data)};
    const struct baro_probe_value value = {.kind = 2,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = data,
        .batch_axis = -1,
        .unit_axis = -1,
        .keep = 2};
    struct baro_probe *probes[2];
    for (int i = 0; i < 2; i++) {
        probes[i] = begin(1, 0);
        assert_int_equal(baro_probe_value(probes[i], &value), 0);
    }
    for (int k = 0; k < 8; k++) {
        assert_int_equal(push_bytes(3, RING_BYTES / 6), 0);
    }
    assert_int_equal(baro_probe_end(probes[0], 0), BARO_EFULL);
    assert_int_equal(baro_probe_end(probes[1], 0), BARO_EFULL);
    assert_int_equal(n_said, 1);
}

/* ---- odd uses ---- */

static void nothing_is_done_without_a_run_or_a_probe(void **state)
{
    const struct baro_probe_options options = {.reason = 1};
    const struct baro_probe_value value = {.dtype = BARO_F32};
    const struct baro_probe_op op = {.name = "exp"};
    const struct baro_probe_origin origin = {.op = -1};
    assert_null(baro_probe_begin(NULL, &options));
    assert_null(baro_probe_begin(run, NULL));
    assert_int_equal(baro_probe_value(NULL, &value), 0);
    assert_int_equal(baro_probe_op(NULL, &op), 0);
    assert_int_equal(baro_probe_loss(NULL, 3), 0);
    assert_int_equal(baro_probe_origin(NULL, &origin), 0);
    assert_int_equal(baro_probe_end(NULL, 0), 0);
    struct baro_probe *probe = begin(1, 0);
    assert_int_equal(baro_probe_value(probe, NULL), BARO_EINVAL);
    assert_int_equal(baro_probe_op(probe, NULL), BARO_EINVAL);
    assert_int_equal(baro_probe_origin(probe, NULL), BARO_EINVAL);
    assert_int_equal(baro_probe_loss(probe, 0), BARO_EINVAL);
    struct baro_probe_value bad = {.dtype = BARO_F32, .n_dims = 9};
    assert_int_equal(baro_probe_value(probe, &bad), BARO_EINVAL);
    bad = (struct baro_probe_value){.dtype = 77};
    assert_int_equal(baro_probe_value(probe, &bad), BARO_EINVAL);
    bad = (struct baro_probe_value){.dtype = BARO_F32, .n_dims = 1};
    assert_int_equal(baro_probe_value(probe, &bad), BARO_EINVAL); /* no shape */
    bad = (struct baro_probe_value){.dtype = BARO_F32, .kind = 6};
    assert_int_equal(baro_probe_value(probe, &bad), BARO_EINVAL);
    const int64_t odd = 4; /* no multiple of three samples */
    bad = (struct baro_probe_value){.dtype = BARO_F32, .n_dims = 1, .shape = &odd};
    assert_int_equal(baro_probe_value(probe, &bad), BARO_EINVAL);
    const struct baro_probe_op large = {.name = "cat", .n_inputs = 5000};
    assert_int_equal(baro_probe_op(probe, &large), BARO_EINVAL);
    assert_int_equal(baro_probe_end(probe, 1), 0); /* dropped */
    void *bytes = NULL;
    struct probe_entry entry;
    assert_null(newest(&bytes, &entry));
    struct baro_probe_options wrong = {.reason = 4};
    assert_null(baro_probe_begin(run, &wrong));
    const int64_t row = 3;
    wrong =
        (struct baro_probe_options){.reason = 1, .n_batch = 3, .n_rows = 1, .rows = &row};
    assert_null(baro_probe_begin(run, &wrong));
}

static void after_the_close_it_says_that_it_is_closed(void **state)
{
    const struct baro_probe_value value = {.dtype = BARO_F32};
    struct baro_probe *probe = begin(1, 0);
    assert_non_null(probe);
    (void)baro_close(run, 0);
    assert_int_equal(baro_probe_value(probe, &value), BARO_ECLOSED);
    assert_int_equal(baro_probe_end(probe, 0), BARO_ECLOSED);
    assert_null(begin(1, 0));
}

static void a_forked_child_leaves_the_ring_alone(void **state)
{
    struct baro_probe *probe = begin(1, 0);
    struct baro_stats before;
    struct baro_stats after;
    (void)baro_stats(run, &before);
    const pid_t child = fork();
    if (child == 0) {
        const struct baro_probe_value value = {.dtype = BARO_F32};
        const bool is_right = baro_probe_value(probe, &value) < 0 &&
                              baro_probe_end(probe, 0) == BARO_ECLOSED &&
                              begin(1, 0) == NULL;
        _exit(is_right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)baro_stats(run, &after);
    assert_int_equal(before.n_pushed, after.n_pushed);
    assert_int_equal(baro_probe_end(probe, 0), 0);
}

/* ---- threads ---- */

static _Atomic int n_whole;

static void *push_in_a_thread(void *payload)
{
    static const int64_t shape[2] = {3, 1000};
    const float *data = payload;
    for (int i = 0; i < 20; i++) {
        struct baro_probe *probe = begin(1 + i % 3, 0);
        const struct baro_probe_value value = {.kind = 1,
            .dtype = BARO_F32,
            .n_dims = 2,
            .shape = shape,
            .data = data,
            .batch_axis = 0,
            .unit_axis = 1,
            .keep = 1};
        for (int k = 0; k < 5; k++) {
            (void)baro_probe_value(probe, &value);
        }
        n_whole += probe != NULL && baro_probe_end(probe, 0) == 0;
    }
    return NULL;
}

static void threads_may_probe_while_another_closes(void **state)
{
    static float data[3000];
    pthread_t threads[4];
    n_whole = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, push_in_a_thread, data), 0);
    }
    while (n_whole < 3) {
        (void)usleep(100);
    }
    (void)baro_close(run, 0);
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)
    const struct CMUnitTest tests[] = {
        CASE(statistics_are_those_of_the_plain_way),
        CASE(it_takes_a_quarter_of_the_ring_at_most_a_failure_half),
        CASE(a_full_ring_still_takes_a_small_one),
        CASE(a_ring_that_fills_meanwhile_refuses_and_says_so_once),
        CASE(nothing_is_done_without_a_run_or_a_probe),
        CASE(after_the_close_it_says_that_it_is_closed),
        CASE(a_forked_child_leaves_the_ring_alone),
        CASE(threads_may_probe_while_another_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
