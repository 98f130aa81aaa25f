/* SPDX-License-Identifier: Apache-2.0 */
/* libbaro's calls, offline: what they write into the ring, and what they refuse. */
#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/reading.h"
#include "lib/push/baro.h"
#include "lib/push/things.h"
#include "proto/barograph.pb-c.h"

enum { MAX_BYTES = 32 << 20 };

static char dir[64];
static char said[256];
static struct baro_run *run;

/* Everything that lies in the run's ring. */
static uint8_t *data;
static size_t data_bytes;
static uint8_t *sticky;
static size_t sticky_bytes;

static void hear(const char *text, void *payload)
{
    (void)snprintf(said, sizeof said, "%s", text);
}

static struct baro_options offline(void)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    options.mode = "offline";
    options.ring_dir = dir;
    options.ring_bytes = 8 << 20;
    options.on_message = hear;
    return options;
}

static int set_up(void **state)
{
    struct baro_err err = {0};
    (void)snprintf(dir, sizeof dir, "/tmp/baro-unit-XXXXXX");
    said[0] = '\0';
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    const struct baro_options options = offline();
    run = baro_open(&options, &err);
    data = malloc(MAX_BYTES);
    sticky = malloc(MAX_BYTES);
    return run == NULL || data == NULL || sticky == NULL;
}

static int clean(void **state)
{
    char command[128];
    (void)baro_close(run, 0);
    free(data);
    free(sticky);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void read_ring(void)
{
    struct ringfile *ring = NULL;
    struct ringfile_cursor cursor = {0};
    size_t n_bytes;
    size_t n_records;
    assert_int_equal(ringfile_open(&ring, baro_ring_path(run), RINGFILE_PEEK, NULL), 0);
    data_bytes = 0;
    do {
        assert_int_equal(ringfile_read(ring, &cursor, data + data_bytes,
                             MAX_BYTES - data_bytes, 0, &n_bytes, &n_records),
            0);
        data_bytes += n_bytes;
    } while (n_records > 0);
    sticky_bytes = (size_t)ringfile_sticky_used(ring);
    assert_int_equal(ringfile_copy_sticky(ring, 0, sticky_bytes, sticky), 0);
    ringfile_close(ring);
}

/* Give the i-th record of a kind as a checked reading; false when there are not so many. */
static bool find(enum reading_kind kind, int i, uint32_t n_units, struct reading *out)
{
    const uint8_t *at = data;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, data + data_bytes, &header, &payload) == 1) {
        if (header.kind == kind && i-- == 0) {
            struct baro_err err = {0};
            if (reading_check(&header, payload, n_units, BARO_WEIGHT, out, &err) != 0) {
                fail_msg("%s", err.text);
            }
            return true;
        }
    }
    return false;
}

static int count(enum reading_kind kind)
{
    int n = 0;
    const uint8_t *at = data;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, data + data_bytes, &header, &payload) == 1) {
        n += header.kind == kind;
    }
    return n;
}

/* Give the declaration of a thing; free it with baro__declare__free_unpacked. */
static Baro__Declare *declared(uint32_t thing)
{
    const uint8_t *at = sticky;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, sticky + sticky_bytes, &header, &payload) == 1) {
        if (header.kind == READING_DECLARE && header.thing == thing) {
            return baro__declare__unpack(NULL, header.payload_bytes, payload);
        }
    }
    fail_msg("thing %u is not declared", thing);
    return NULL;
}

static struct baro_tensor tensor_of(
    const char *name, const void *values, int n_dims, const int64_t *shape)
{
    return (struct baro_tensor){.name = name,
        .role = BARO_ACT,
        .dtype = BARO_F32,
        .n_dims = n_dims,
        .shape = shape,
        .data = values,
        .unit_axis = BARO_NO_UNITS};
}

static void every_call_accepts_no_run(void **state)
{
    struct baro_stats stats;
    const struct baro_tensor tensor = {0};
    assert_int_equal(baro_step(NULL, 1), 0);
    assert_int_equal(baro_scalar(NULL, "x", 1), 0);
    assert_int_equal(baro_declare_scalar(NULL, "x"), 0);
    assert_int_equal(baro_scalar_id(NULL, 1, 1), 0);
    assert_int_equal(baro_declare_tensor(NULL, &tensor), 0);
    assert_int_equal(baro_tensor(NULL, &tensor), 0);
    assert_int_equal(baro_tensors(NULL, &tensor, 1), 0);
    assert_int_equal(baro_batch(NULL, NULL, 0), 0);
    assert_int_equal(baro_event(NULL, BARO_INFO, "x"), 0);
    assert_int_equal(baro_fail(NULL, "x"), 0);
    assert_int_equal(baro_stats(NULL, &stats), 0);
    assert_int_equal(stats.n_pushed, 0);
    assert_string_equal(baro_run_id(NULL), "");
    assert_string_equal(baro_ring_path(NULL), "");
    assert_int_equal(baro_close(NULL, 1000), 0);
    assert_string_equal(baro_version(), BARO_VERSION);
    assert_string_equal(baro_strerror(BARO_EFULL), "no room left");
}

static void scalars_of_any_value_keep_their_bits(void **state)
{
    const double values[] = {
        0.0, -0.0, 1e-310, (double)NAN, (double)INFINITY, -(double)INFINITY, DBL_MAX, 0.1};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(baro_step(run, i), 0);
        assert_int_equal(baro_scalar(run, "loss", values[i]), 0);
    }
    int64_t id = baro_declare_scalar(run, "loss");
    assert_int_equal(id, 1);
    assert_int_equal(baro_scalar_id(run, id, 0.1), 0);
    assert_int_equal(baro_scalar_id(run, 2, 0.1), BARO_EINVAL);
    assert_int_equal(baro_scalar_id(run, -1, 0.1), BARO_EINVAL);
    assert_int_equal(baro_step(run, -1), BARO_EINVAL);
    read_ring();
    struct reading reading;
    for (int i = 0; i < 8; i++) {
        assert_true(find(READING_SCALAR, i, 0, &reading));
        assert_memory_equal(reading.f64, &values[i], sizeof(double));
        assert_int_equal(reading.header.step, i);
        assert_int_equal(reading.header.thing, 1);
    }
    assert_int_equal(count(READING_SCALAR), 9);
    assert_int_equal(count(READING_STEP), 7); /* none for the first */
    for (int i = 0; i < 7; i++) {
        assert_true(find(READING_STEP, i, 0, &reading));
        assert_int_equal(reading.header.step, i + 1);
        assert_true(reading.f64[0] > 0 && reading.f64[0] < 10);
    }
}

static void steps_may_repeat_and_go_back(void **state)
{
    const int64_t steps[] = {5, 5, 3, 0, INT64_MAX};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(baro_step(run, steps[i]), 0);
    }
    read_ring();
    struct reading reading;
    for (int i = 1; i < 5; i++) {
        assert_true(find(READING_STEP, i - 1, 0, &reading));
        assert_int_equal(reading.header.step, steps[i]);
    }
}

static void a_turn_of_a_loop_can_be_said_in_one_call(void **state)
{
    const int64_t ids[2] = {baro_declare_scalar(run, "a"), baro_declare_scalar(run, "b")};
    const int64_t bad[2] = {ids[0], 99};
    const double values[2] = {1, (double)NAN};
    struct baro_stats before;
    struct baro_stats after;
    assert_int_equal(baro_turn(NULL, 1, ids, values, 2, 0), 0);
    assert_int_equal(baro_step(run, 3), 0);
    (void)baro_stats(run, &before);
    assert_int_equal(baro_turn(run, 5, ids, values, 2, 1000000000), 0);
    assert_int_equal(baro_turn(run, -1, ids, values, 1, 0), 0);
    assert_int_equal(baro_turn(run, 6, bad, values, 2, 0), BARO_EINVAL);
    assert_int_equal(baro_turn(run, 7, NULL, values, 2, 0), BARO_EINVAL);
    (void)baro_stats(run, &after);
    assert_in_range(after.own_ns - before.own_ns, 1000000000, 1900000000);
    read_ring();
    assert_int_equal(count(READING_SCALAR), 4); /* the good one beside a bad one, too */
    static const int64_t steps[4] = {5, 5, 5, 6};
    for (int i = 0; i < 4; i++) {
        struct reading reading;
        assert_true(find(READING_SCALAR, i, 0, &reading));
        assert_int_equal(reading.header.step, steps[i]);
        assert_int_equal(reading.header.thing, ids[i == 1]);
    }
    assert_int_equal(count(READING_STEP), 2); /* how long steps 3 and 5 took */
}

static void names_of_any_kind_become_valid_and_stay_distinct(void **state)
{
    char long_a[10001];
    char long_b[10001];
    memset(long_a, 'n', 10000);
    memset(long_b, 'n', 10000);
    long_a[10000] = '\0';
    long_b[10000] = '\0';
    long_b[9999] = 'm';
    memcpy(long_a + 490, "\xc3\xa4\xc3\xa4\xc3\xa4", 6); /* cut lies within a character */
    const char *names[] = {"a b", "a/b", "größe/λ", "bad\xff utf8", long_a, long_b};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(baro_scalar(run, names[i], i), 0);
        assert_int_equal(baro_declare_scalar(run, names[i]), i + 1);
    }
    assert_int_equal(baro_scalar(run, "", 1), BARO_EINVAL);
    assert_int_equal(baro_scalar(run, NULL, 1), BARO_EINVAL);
    read_ring();
    char clean_names[6][READING_MAX_NAME_BYTES + 1];
    for (uint32_t i = 0; i < 6; i++) {
        Baro__Declare *declare = declared(i + 1);
        assert_true(strlen(declare->name) <= READING_MAX_NAME_BYTES);
        (void)snprintf(clean_names[i], sizeof clean_names[i], "%s", declare->name);
        baro__declare__free_unpacked(declare, NULL);
    }
    assert_string_equal(clean_names[0], "a b");
    assert_string_equal(clean_names[1], "a/b");
    assert_string_equal(clean_names[2], "größe/λ");
    assert_string_equal(clean_names[3], "bad? utf8");
    assert_string_not_equal(clean_names[4], clean_names[5]);
    assert_int_equal(clean_names[5][strlen(clean_names[5]) - 17], '~');
}

static void more_names_than_fit_are_refused_counted_and_said(void **state)
{
    int rc = 0;
    int n = 0;
    char name[64];
    while (rc == 0 && n < 100000) {
        (void)snprintf(name, sizeof name, "a scalar with a rather long name %d", n++);
        rc = baro_scalar(run, name, 1);
    }
    assert_int_equal(rc, BARO_EFULL);
    assert_true(n > 5000);
    assert_non_null(strstr(said, "no more names"));
    char limit[64]; /* which limit it was */
    (void)snprintf(limit, sizeof limit, "after %d, the ring has at most 1024 KiB", n - 1);
    assert_non_null(strstr(said, limit));
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_true(stats.n_dropped >= 1);
    assert_int_equal(baro_scalar(run, "a scalar with a rather long name 0", 2), 0);
}

static void a_tensor_gives_its_statistics_and_those_of_its_units(void **state)
{
    float values[3][4] = {{1, 2, 3, 4}, {0, 0, -8, 8}, {(float)NAN, 1, (float)INFINITY, 0}};
    const int64_t shape[2] = {3, 4};
    struct baro_tensor tensor = tensor_of("fc.weight", values, 2, shape);
    tensor.role = BARO_WEIGHT;
    tensor.unit_axis = 0;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    read_ring();
    struct reading reading;
    assert_true(find(READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 12);
    assert_true(reading.f64[SUMMARY_N_NAN] == 1);
    assert_true(reading.f64[SUMMARY_N_POS_INF] == 1);
    assert_true(reading.f64[SUMMARY_N_ZERO] == 3);
    assert_true(reading.f64[SUMMARY_MIN] == -8);
    assert_true(reading.f64[SUMMARY_MAX] == 8);
    assert_true(fabs(reading.f64[SUMMARY_MEAN] - 1.1) < 1e-6);
    assert_true(reading.f64[SUMMARY_L1] == 27);
    assert_true(isnan(reading.f64[SUMMARY_UPDATE_RATIO]));
    assert_true(reading.f64[SUMMARY_FIRST_BAD_UNIT] == 2);
    assert_true(reading.f64[SUMMARY_FIRST_BAD_ROW] == -1);
    assert_true(reading.f64[SUMMARY_HIST_EVERY] == 1);
    struct reading_bin bins[5];
    assert_int_equal(reading.extra_bytes, sizeof bins);
    memcpy(bins, reading.extra, sizeof bins);
    const struct reading_bin expected[5] = {
        {0, 1, 2}, {1, 1, 2}, {2, 1, 1}, {3, -1, 1}, {3, 1, 1}};
    assert_memory_equal(bins, expected, sizeof bins);
    assert_true(find(READING_UNITS, 0, 3, &reading));
    assert_true(reading.f32[UNIT_MEAN * 3] == 2.5F);
    assert_true(reading.f32[UNIT_ABS_MAX * 3 + 1] == 8);
    assert_true(reading.f32[UNIT_FRAC_ZERO * 3 + 1] == 0.5F);
    assert_true(reading.f32[UNIT_N_NONFINITE * 3 + 2] == 2);
    Baro__Declare *declare = declared(1);
    assert_string_equal(declare->name, "fc.weight");
    assert_int_equal(declare->role, BARO_WEIGHT);
    assert_int_equal(declare->n_units, 3);
    assert_int_equal(declare->unit_axis, 0);
    assert_int_equal(declare->n_shape, 2);
    baro__declare__free_unpacked(declare, NULL);
}

static void the_first_bad_element_is_placed_by_unit_and_row(void **state)
{
    static float values[6][5][4];
    const int64_t shape[3] = {6, 5, 4};
    values[3][2][1] = (float)NAN;
    values[4][0][0] = (float)NAN;
    struct baro_tensor tensor = tensor_of("conv", values, 3, shape);
    const struct {
        enum baro_role role;
        int axis;
        double unit;
        double row;
    } cases[] = {{BARO_ACT, 1, 2, 3}, {BARO_ACT, 2, 1, 3}, {BARO_ACT, 0, 3, -1},
        {BARO_ACT_GRAD, BARO_NO_UNITS, -1, 3}, {BARO_WEIGHT, 1, 2, -1}};
    for (int i = 0; i < 5; i++) {
        char name[8];
        struct reading reading;
        (void)snprintf(name, sizeof name, "t%d", i);
        tensor.name = name;
        tensor.role = cases[i].role;
        tensor.unit_axis = cases[i].axis;
        assert_int_equal(baro_tensor(run, &tensor), 0);
        read_ring();
        assert_true(find(READING_SUMMARY, i, 0, &reading));
        assert_true(reading.f64[SUMMARY_FIRST_BAD_UNIT] == cases[i].unit);
        assert_true(reading.f64[SUMMARY_FIRST_BAD_ROW] == cases[i].row);
    }
}

static void strided_views_are_read_as_they_are(void **state)
{
    float values[24];
    struct reading reading;
    for (int i = 0; i < 24; i++) {
        values[i] = (float)i;
    }
    /* The transpose of the 4 x 6 matrix, every other column, rows backwards. */
    const int64_t shape[2] = {3, 4};
    const int64_t strides[2] = {2, -6};
    struct baro_tensor tensor = tensor_of("view", values + 18, 2, shape);
    tensor.strides = strides;
    tensor.unit_axis = 0;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    read_ring();
    assert_true(find(READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 12);
    assert_true(reading.f64[SUMMARY_MIN] == 0 && reading.f64[SUMMARY_MAX] == 22);
    assert_true(find(READING_UNITS, 0, 3, &reading));
    assert_true(reading.f32[0] == 9 && reading.f32[1] == 11 && reading.f32[2] == 13);
}

static void tensors_without_elements_or_dimensions_are_fine(void **state)
{
    const float one = -2.5F;
    const int64_t empty[2] = {0, 4};
    struct baro_tensor tensor = tensor_of("empty", NULL, 2, empty);
    struct reading reading;
    tensor.unit_axis = 1;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    tensor = tensor_of("zero-d", &one, 0, NULL);
    tensor.unit_axis = 0; /* what a zeroed struct says */
    assert_int_equal(baro_tensor(run, &tensor), 0);
    read_ring();
    assert_true(find(READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 0);
    assert_true(isnan(reading.f64[SUMMARY_MEAN]));
    assert_true(find(READING_SUMMARY, 1, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 1 && reading.f64[SUMMARY_MIN] == -2.5);
}

static void a_hundred_million_elements_are_summarised(void **state)
{
    const int64_t n = 100000000;
    const uint8_t *values = calloc((size_t)n, 1);
    const int64_t shape[2] = {1000, n / 1000};
    struct baro_tensor tensor = tensor_of("huge", values, 2, shape);
    struct reading reading;
    tensor.dtype = BARO_U8;
    tensor.unit_axis = 0;
    assert_non_null(values);
    assert_int_equal(baro_tensor(run, &tensor), 0);
    read_ring();
    assert_true(find(READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_N_ZERO] == (double)n);
    assert_true(reading.f64[SUMMARY_HIST_EVERY] == 16);
    assert_true(find(READING_UNITS, 0, 1000, &reading));
    free((void *)(uintptr_t)values);
}

static void more_units_than_the_limit_leave_the_summary(void **state)
{
    static float values[READING_MAX_UNITS + 1];
    const int64_t shape = READING_MAX_UNITS + 1;
    struct baro_tensor tensor = tensor_of("wide", values, 1, &shape);
    tensor.unit_axis = 0;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    const int64_t most = READING_MAX_UNITS;
    tensor.name = "just";
    tensor.shape = &most;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    read_ring();
    assert_int_equal(count(READING_SUMMARY), 2);
    assert_int_equal(count(READING_UNITS), 1);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const float one = 1;
    int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct baro_tensor tensor = tensor_of("t", &one, 2, shape);
    struct baro_tensor bad = tensor;
    bad.dtype = (enum baro_dtype)99;
    assert_int_equal(baro_tensor(run, &bad), BARO_EUNSUPPORTED);
    assert_int_equal(baro_declare_tensor(run, &bad), BARO_EUNSUPPORTED);
    bad = tensor;
    bad.role = (enum baro_role)0;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.n_dims = 9;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.unit_axis = 2;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.data = NULL;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.shape = NULL;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.name = NULL;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.id = 77;
    assert_int_equal(baro_tensor(run, &bad), BARO_EINVAL);
    shape[1] = -1;
    assert_int_equal(baro_tensor(run, &tensor), BARO_EINVAL);
    assert_int_equal(baro_tensor(run, NULL), BARO_EINVAL);
    assert_int_equal(baro_batch(run, NULL, 3), BARO_EINVAL);
    assert_int_equal(baro_event(run, (enum baro_level)9, "x"), BARO_EINVAL);
    read_ring();
    assert_int_equal(data_bytes, 0);
}

static void a_tensor_can_be_declared_once_and_pushed_by_id(void **state)
{
    float values[6] = {1, 2, 3, 4, 5, 6};
    const int64_t shape[2] = {2, 3};
    struct baro_tensor tensor = tensor_of("w", NULL, 2, shape);
    tensor.unit_axis = 0;
    int64_t id = baro_declare_tensor(run, &tensor);
    assert_true(id > 0);
    tensor.id = (uint32_t)id;
    tensor.name = NULL;
    tensor.data = values;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    const int64_t other[2] = {3, 2}; /* other units than declared: no unit statistics */
    tensor.shape = other;
    assert_int_equal(baro_tensor(run, &tensor), 0);
    assert_non_null(strstr(said, "another number of units"));
    read_ring();
    assert_int_equal(count(READING_SUMMARY), 2);
    assert_int_equal(count(READING_UNITS), 1);
}

static void batches_events_and_reasons_are_cut_to_their_limits(void **state)
{
    static int64_t samples[5000];
    static char text[5000];
    struct reading reading;
    for (int64_t i = 0; i < 5000; i++) {
        samples[i] = i * 7;
    }
    memset(text, 'e', sizeof text - 1);
    memcpy(text + READING_MAX_TEXT_BYTES - 1, "\xc3\xa4", 2);
    assert_int_equal(baro_batch(run, samples, 5000), 0);
    assert_int_equal(baro_batch(run, NULL, 0), 0);
    assert_int_equal(baro_event(run, BARO_ALARM, text), 0);
    assert_int_equal(baro_event(run, BARO_INFO, "two\nlines \xff"), 0);
    assert_int_equal(baro_event(run, BARO_INFO, NULL), 0);
    read_ring();
    assert_true(find(READING_BATCH, 0, 0, &reading));
    assert_true(reading.f64[0] == 5000);
    assert_int_equal(reading.extra_bytes, READING_MAX_SAMPLES * 8);
    assert_memory_equal(reading.extra, samples, READING_MAX_SAMPLES * 8);
    assert_true(find(READING_BATCH, 1, 0, &reading));
    assert_int_equal(reading.extra_bytes, 0);
    assert_true(find(READING_EVENT, 0, 0, &reading));
    assert_true(reading.f64[0] == BARO_ALARM);
    assert_int_equal(reading.extra_bytes, READING_MAX_TEXT_BYTES - 1);
    assert_true(find(READING_EVENT, 1, 0, &reading));
    assert_true(find(READING_EVENT, 2, 0, &reading));
    assert_int_equal(reading.extra_bytes, 0);
}

static void results_of_samples_go_in_pieces(void **state)
{
    static int64_t samples[5000];
    static float losses[5000];
    static int8_t correct[5000];
    static int32_t labels[5000];
    struct reading reading;
    struct reading_sample sample;
    (void)state;
    for (int i = 0; i < 5000; i++) {
        samples[i] = i * 7;
        losses[i] = (float)i;
        correct[i] = (int8_t)(i % 3 - 1);
        labels[i] = i * 10;
    }
    assert_int_equal(baro_samples(run, -1, samples, losses, correct, labels, 5000), 0);
    assert_int_equal(baro_samples(run, 3, samples, NULL, NULL, NULL, 1), 0);
    assert_int_equal(baro_samples(run, -2, samples, NULL, NULL, NULL, 1), BARO_EINVAL);
    assert_int_equal(baro_samples(run, -1, NULL, NULL, NULL, NULL, 1), BARO_EINVAL);
    read_ring();
    assert_true(find(READING_SAMPLES, 0, 0, &reading));
    assert_true(reading.f64[0] == 5000);
    size_t n = reading.extra_bytes / sizeof sample;
    memcpy(&sample, reading.extra + (n - 1) * sizeof sample, sizeof sample);
    assert_int_equal(sample.index, ((int64_t)n - 1) * 7);
    assert_true(sample.loss == (float)(n - 1));
    assert_int_equal(sample.correct, (int8_t)((n - 1) % 3) - 1);
    assert_int_equal(sample.label, (n - 1) * 10);
    assert_int_equal(count(READING_SAMPLES), READING_MAX_SAMPLES / (int)n + 1);
    assert_true(find(READING_SAMPLES, READING_MAX_SAMPLES / (int)n, 0, &reading));
    memcpy(&sample, reading.extra, sizeof sample);
    assert_int_equal(reading.header.step, 3);
    assert_true(isnan(sample.loss) && sample.correct == -1 && sample.label == -1);
    assert_true(find(READING_SAMPLES, READING_MAX_SAMPLES / (int)n - 1, 0, &reading));
    memcpy(&sample, reading.extra, sizeof sample); /* 3840 and on: classes beyond 32,767 */
    assert_int_equal(sample.label, -1);
}

static void a_close_says_how_it_ended_and_keeps_an_offline_ring(void **state)
{
    char path[512];
    struct ringfile *ring = NULL;
    struct ringfile_info info;
    (void)snprintf(path, sizeof path, "%s", baro_ring_path(run));
    assert_int_equal(baro_fail(run, "ValueError: nan"), 0);
    assert_int_equal(baro_fail(run, "a later one"), 0);
    assert_int_equal(baro_close(run, 100), BARO_ETIMEOUT);
    run = NULL;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_true(info.is_closed);
    assert_int_equal(info.head_seq, 1);
    struct ringfile_cursor cursor = {0};
    size_t n_records;
    assert_int_equal(
        ringfile_read(ring, &cursor, data, MAX_BYTES, 0, &data_bytes, &n_records), 0);
    struct reading reading;
    assert_true(find(READING_STATUS, 0, 0, &reading));
    assert_true(reading.f64[0] == READING_END_FAILED);
    assert_int_equal(reading.extra_bytes, strlen("ValueError: nan"));
    ringfile_close(ring);
}

/* ---- threads ---- */

static atomic_uint n_busy;

static void *push_names(void *payload)
{
    char name[32];
    float values[64] = {1};
    const int64_t shape[2] = {8, 8};
    for (int i = 0; i < 400; i++) {
        (void)snprintf(name, sizeof name, "shared.%d", i % 50);
        int rc = baro_scalar(run, name, i);
        atomic_fetch_add(&n_busy, rc == BARO_EBUSY); /* on a crowded machine; counted */
        struct baro_tensor tensor = tensor_of(name, values, 2, shape);
        tensor.unit_axis = 1;
        int tensor_rc = baro_tensor(run, &tensor);
        atomic_fetch_add(&n_busy, tensor_rc == BARO_EBUSY);
        if ((rc != 0 && rc != BARO_EBUSY) || (tensor_rc != 0 && tensor_rc != BARO_EBUSY)) {
            return payload;
        }
    }
    return NULL;
}

static void threads_share_names_and_scratch(void **state)
{
    pthread_t threads[6];
    int complaint = 0; /* a thread that fails returns its argument */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, push_names, &complaint), 0);
    }
    bool has_failed = false;
    for (int i = 0; i < 6; i++) {
        void *returned = NULL;
        (void)pthread_join(threads[i], &returned);
        has_failed = has_failed || returned != NULL;
    }
    assert_false(has_failed);
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_int_equal(stats.n_pushed + stats.n_dropped, 3 * 2400);
    assert_true((stats.n_dropped == 0) == (atomic_load(&n_busy) == 0));
    read_ring();
    int n_units = count(READING_UNITS);
    assert_true(count(READING_SCALAR) > 2000 && n_units > 2000);
    for (uint32_t thing = 1; thing <= 100; thing++) {
        baro__declare__free_unpacked(declared(thing), NULL);
    }
    struct reading reading;
    for (int i = 0; i < n_units; i += 100) {
        assert_true(find(READING_UNITS, i, 8, &reading));
        assert_true(reading.f32[UNIT_MEAN * 8] == 0.125F && reading.f32[1] == 0);
    }
}

/* ---- opening ---- */

static void expect_no_run(const struct baro_options *options, int code, const char *word)
{
    struct baro_err err = {0};
    assert_null(baro_open(options, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, word);
    }
}

static void bad_options_are_refused_with_a_sentence(void **state)
{
    struct baro_options options = offline();
    char long_id[200];
    options.mode = "offlin";
    expect_no_run(&options, BARO_EINVAL, "did you mean 'offline'");
    options = offline();
    options.ring_bytes = 1000;
    expect_no_run(&options, BARO_EINVAL, "1 MiB");
    options = offline();
    options.rank = 2;
    options.n_ranks = 2;
    expect_no_run(&options, BARO_EINVAL, "rank 2 of 2");
    options = offline();
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    options.run_id = long_id;
    expect_no_run(&options, BARO_EINVAL, "run id");
    options = offline();
    options.ring_dir = "/proc/nowhere";
    expect_no_run(&options, BARO_EIO, "/proc/nowhere");
    options = offline();
    options.ring_bytes = 0;
    assert_int_equal(setenv("BARO_RING_BYTES", "64Q", 1), 0);
    expect_no_run(&options, BARO_EINVAL, "'64Q' is not a size");
    assert_int_equal(unsetenv("BARO_RING_BYTES"), 0);
}

static void mode_off_opens_nothing_and_is_no_error(void **state)
{
    struct baro_options options = offline();
    struct baro_err err = {.code = 5};
    options.mode = NULL;
    assert_int_equal(setenv("BARO_MODE", "off", 1), 0);
    assert_null(baro_open(&options, &err));
    assert_int_equal(err.code, 0);
    assert_int_equal(unsetenv("BARO_MODE"), 0);
}

static void a_config_too_large_is_left_out_and_said(void **state)
{
    struct baro_options options = offline();
    char *config = malloc(READING_MAX_CONFIG_BYTES + 2);
    assert_non_null(config);
    memset(config, ' ', READING_MAX_CONFIG_BYTES + 1);
    config[READING_MAX_CONFIG_BYTES + 1] = '\0';
    options.config = config;
    struct baro_run *other = baro_open(&options, NULL);
    assert_non_null(other);
    assert_non_null(strstr(said, "config is left out"));
    (void)baro_close(other, 0);
    free(config);
}

static void the_environment_is_heard_and_explicit_options_win(void **state)
{
    struct baro_options options = offline();
    assert_int_equal(setenv("BARO_RUN_ID", "from-env", 1), 0);
    struct baro_run *other = baro_open(&options, NULL);
    assert_string_equal(baro_run_id(other), "from-env");
    (void)baro_close(other, 0);
    options.run_id = "explicit";
    other = baro_open(&options, NULL);
    assert_string_equal(baro_run_id(other), "explicit");
    (void)baro_close(other, 0);
    assert_int_equal(unsetenv("BARO_RUN_ID"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_call_accepts_no_run),
        CASE(scalars_of_any_value_keep_their_bits),
        CASE(steps_may_repeat_and_go_back),
        CASE(a_turn_of_a_loop_can_be_said_in_one_call),
        CASE(names_of_any_kind_become_valid_and_stay_distinct),
        CASE(more_names_than_fit_are_refused_counted_and_said),
        CASE(a_tensor_gives_its_statistics_and_those_of_its_units),
        CASE(the_first_bad_element_is_placed_by_unit_and_row),
        CASE(strided_views_are_read_as_they_are),
        CASE(tensors_without_elements_or_dimensions_are_fine),
        CASE(a_hundred_million_elements_are_summarised),
        CASE(more_units_than_the_limit_leave_the_summary),
        CASE(what_makes_no_sense_is_refused),
        CASE(a_tensor_can_be_declared_once_and_pushed_by_id),
        CASE(batches_events_and_reasons_are_cut_to_their_limits),
        CASE(results_of_samples_go_in_pieces),
        CASE(a_close_says_how_it_ended_and_keeps_an_offline_ring),
        CASE(threads_share_names_and_scratch),
        CASE(bad_options_are_refused_with_a_sentence),
        CASE(mode_off_opens_nothing_and_is_no_error),
        CASE(a_config_too_large_is_left_out_and_said),
        CASE(the_environment_is_heard_and_explicit_options_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
