/* SPDX-License-Identifier: Apache-2.0 */
/* libbaro's calls, offline: what they write into the ring, and what they refuse. */
#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/push/things.h"
#include "tests/unit/offline.h"

static struct offline rig;

static int set_up(void **state)
{
    return offline_start(&rig);
}

static int clean(void **state)
{
    return offline_finish(&rig);
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
        assert_int_equal(baro_step(rig.run, i), 0);
        assert_int_equal(baro_scalar(rig.run, "loss", values[i]), 0);
    }
    int64_t id = baro_declare_scalar(rig.run, "loss");
    assert_int_equal(id, 1);
    assert_int_equal(baro_scalar_id(rig.run, id, 0.1), 0);
    assert_int_equal(baro_scalar_id(rig.run, 2, 0.1), BARO_EINVAL);
    assert_int_equal(baro_scalar_id(rig.run, -1, 0.1), BARO_EINVAL);
    assert_int_equal(baro_step(rig.run, -1), BARO_EINVAL);
    offline_read(&rig, rig.run);
    struct reading reading;
    for (int i = 0; i < 8; i++) {
        assert_true(offline_find(&rig, READING_SCALAR, i, 0, &reading));
        assert_memory_equal(reading.f64, &values[i], sizeof(double));
        assert_int_equal(reading.header.step, i);
        assert_int_equal(reading.header.thing, 1);
    }
    assert_int_equal(offline_count(&rig, READING_SCALAR), 9);
    assert_int_equal(offline_count(&rig, READING_STEP), 7); /* none for the first */
    for (int i = 0; i < 7; i++) {
        assert_true(offline_find(&rig, READING_STEP, i, 0, &reading));
        assert_int_equal(reading.header.step, i + 1);
        assert_true(reading.f64[0] > 0 && reading.f64[0] < 10);
    }
}

static void steps_may_repeat_and_go_back(void **state)
{
    const int64_t steps[] = {5, 5, 3, 0, INT64_MAX};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(baro_step(rig.run, steps[i]), 0);
    }
    offline_read(&rig, rig.run);
    struct reading reading;
    for (int i = 1; i < 5; i++) {
        assert_true(offline_find(&rig, READING_STEP, i - 1, 0, &reading));
        assert_int_equal(reading.header.step, steps[i]);
    }
}

static void a_turn_of_a_loop_can_be_said_in_one_call(void **state)
{
    const int64_t ids[2] = {
        baro_declare_scalar(rig.run, "a"), baro_declare_scalar(rig.run, "b")};
    const int64_t bad[2] = {ids[0], 99};
    const double values[2] = {1, (double)NAN};
    struct baro_stats before;
    struct baro_stats after;
    assert_int_equal(baro_turn(NULL, 1, ids, values, 2, 0), 0);
    assert_int_equal(baro_step(rig.run, 3), 0);
    (void)baro_stats(rig.run, &before);
    assert_int_equal(baro_turn(rig.run, 5, ids, values, 2, 1000000000), 0);
    assert_int_equal(baro_turn(rig.run, -1, ids, values, 1, 0), 0);
    assert_int_equal(baro_turn(rig.run, 6, bad, values, 2, 0), BARO_EINVAL);
    assert_int_equal(baro_turn(rig.run, 7, NULL, values, 2, 0), BARO_EINVAL);
    (void)baro_stats(rig.run, &after);
    assert_in_range(after.own_ns - before.own_ns, 1000000000, 1900000000);
    offline_read(&rig, rig.run);
    assert_int_equal(
        offline_count(&rig, READING_SCALAR), 4); /* the good one beside a bad one, too */
    static const int64_t steps[4] = {5, 5, 5, 6};
    for (int i = 0; i < 4; i++) {
        struct reading reading;
        assert_true(offline_find(&rig, READING_SCALAR, i, 0, &reading));
        assert_int_equal(reading.header.step, steps[i]);
        assert_int_equal(reading.header.thing, ids[i == 1]);
    }
    assert_int_equal(
        offline_count(&rig, READING_STEP), 2); /* how long steps 3 and 5 took */
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
        assert_int_equal(baro_scalar(rig.run, names[i], i), 0);
        assert_int_equal(baro_declare_scalar(rig.run, names[i]), i + 1);
    }
    assert_int_equal(baro_scalar(rig.run, "", 1), BARO_EINVAL);
    assert_int_equal(baro_scalar(rig.run, NULL, 1), BARO_EINVAL);
    offline_read(&rig, rig.run);
    char clean_names[6][READING_MAX_NAME_BYTES + 1];
    for (uint32_t i = 0; i < 6; i++) {
        Baro__Declare *declare = offline_declared(&rig, i + 1);
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
        rc = baro_scalar(rig.run, name, 1);
    }
    assert_int_equal(rc, BARO_EFULL);
    assert_true(n > 5000);
    assert_non_null(strstr(rig.said, "no more names"));
    char limit[64]; /* which limit it was */
    (void)snprintf(limit, sizeof limit, "after %d, the ring has at most 1024 KiB", n - 1);
    assert_non_null(strstr(rig.said, limit));
    struct baro_stats stats;
    assert_int_equal(baro_stats(rig.run, &stats), 0);
    assert_true(stats.n_dropped >= 1);
    assert_int_equal(baro_scalar(rig.run, "a scalar with a rather long name 0", 2), 0);
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
    assert_int_equal(baro_batch(rig.run, samples, 5000), 0);
    assert_int_equal(baro_batch(rig.run, NULL, 0), 0);
    assert_int_equal(baro_event(rig.run, BARO_ALARM, text), 0);
    assert_int_equal(baro_event(rig.run, BARO_INFO, "two\nlines \xff"), 0);
    assert_int_equal(baro_event(rig.run, BARO_INFO, NULL), 0);
    offline_read(&rig, rig.run);
    assert_true(offline_find(&rig, READING_BATCH, 0, 0, &reading));
    assert_true(reading.f64[0] == 5000);
    assert_int_equal(reading.extra_bytes, READING_MAX_SAMPLES * 8);
    assert_memory_equal(reading.extra, samples, READING_MAX_SAMPLES * 8);
    assert_true(offline_find(&rig, READING_BATCH, 1, 0, &reading));
    assert_int_equal(reading.extra_bytes, 0);
    assert_true(offline_find(&rig, READING_EVENT, 0, 0, &reading));
    assert_true(reading.f64[0] == BARO_ALARM);
    assert_int_equal(reading.extra_bytes, READING_MAX_TEXT_BYTES - 1);
    assert_true(offline_find(&rig, READING_EVENT, 1, 0, &reading));
    assert_true(offline_find(&rig, READING_EVENT, 2, 0, &reading));
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
    assert_int_equal(baro_samples(rig.run, -1, samples, losses, correct, labels, 5000), 0);
    assert_int_equal(baro_samples(rig.run, 3, samples, NULL, NULL, NULL, 1), 0);
    assert_int_equal(baro_samples(rig.run, -2, samples, NULL, NULL, NULL, 1), BARO_EINVAL);
    assert_int_equal(baro_samples(rig.run, -1, NULL, NULL, NULL, NULL, 1), BARO_EINVAL);
    offline_read(&rig, rig.run);
    assert_true(offline_find(&rig, READING_SAMPLES, 0, 0, &reading));
    assert_true(reading.f64[0] == 5000);
    size_t n = reading.extra_bytes / sizeof sample;
    memcpy(&sample, reading.extra + (n - 1) * sizeof sample, sizeof sample);
    assert_int_equal(sample.index, ((int64_t)n - 1) * 7);
    assert_true(sample.loss == (float)(n - 1));
    assert_int_equal(sample.correct, (int8_t)((n - 1) % 3) - 1);
    assert_int_equal(sample.label, (n - 1) * 10);
    assert_int_equal(
        offline_count(&rig, READING_SAMPLES), READING_MAX_SAMPLES / (int)n + 1);
    assert_true(
        offline_find(&rig, READING_SAMPLES, READING_MAX_SAMPLES / (int)n, 0, &reading));
    memcpy(&sample, reading.extra, sizeof sample);
    assert_int_equal(reading.header.step, 3);
    assert_true(isnan(sample.loss) && sample.correct == -1 && sample.label == -1);
    assert_true(
        offline_find(&rig, READING_SAMPLES, READING_MAX_SAMPLES / (int)n - 1, 0, &reading));
    memcpy(&sample, reading.extra, sizeof sample); /* 3840 and on: classes beyond 32,767 */
    assert_int_equal(sample.label, -1);
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
        int rc = baro_scalar(rig.run, name, i);
        atomic_fetch_add(&n_busy, rc == BARO_EBUSY); /* on a crowded machine; counted */
        struct baro_tensor tensor = tensor_of(name, values, 2, shape);
        tensor.unit_axis = 1;
        int tensor_rc = baro_tensor(rig.run, &tensor);
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
    assert_int_equal(baro_stats(rig.run, &stats), 0);
    assert_int_equal(stats.n_pushed + stats.n_dropped, 3 * 2400);
    assert_true((stats.n_dropped == 0) == (atomic_load(&n_busy) == 0));
    offline_read(&rig, rig.run);
    int n_units = offline_count(&rig, READING_UNITS);
    assert_true(offline_count(&rig, READING_SCALAR) > 2000 && n_units > 2000);
    for (uint32_t thing = 1; thing <= 100; thing++) {
        baro__declare__free_unpacked(offline_declared(&rig, thing), NULL);
    }
    struct reading reading;
    for (int i = 0; i < n_units; i += 100) {
        assert_true(offline_find(&rig, READING_UNITS, i, 8, &reading));
        assert_true(reading.f32[UNIT_MEAN * 8] == 0.125F && reading.f32[1] == 0);
    }
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
        CASE(batches_events_and_reasons_are_cut_to_their_limits),
        CASE(results_of_samples_go_in_pieces),
        CASE(threads_share_names_and_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
