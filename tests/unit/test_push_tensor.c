/* SPDX-License-Identifier: Apache-2.0 */
/* baro_tensor: statistics, units, views, and what is no tensor. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

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

static void a_tensor_gives_its_statistics_and_those_of_its_units(void **state)
{
    float values[3][4] = {{1, 2, 3, 4}, {0, 0, -8, 8}, {(float)NAN, 1, (float)INFINITY, 0}};
    const int64_t shape[2] = {3, 4};
    struct baro_tensor tensor = tensor_of("fc.weight", values, 2, shape);
    tensor.role = BARO_WEIGHT;
    tensor.unit_axis = 0;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    offline_read(&rig, rig.run);
    struct reading reading;
    assert_true(offline_find(&rig, READING_SUMMARY, 0, 0, &reading));
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
    assert_true(offline_find(&rig, READING_UNITS, 0, 3, &reading));
    assert_true(reading.f32[UNIT_MEAN * 3] == 2.5F);
    assert_true(reading.f32[UNIT_ABS_MAX * 3 + 1] == 8);
    assert_true(reading.f32[UNIT_FRAC_ZERO * 3 + 1] == 0.5F);
    assert_true(reading.f32[UNIT_N_NONFINITE * 3 + 2] == 2);
    Baro__Declare *declare = offline_declared(&rig, 1);
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
        assert_int_equal(baro_tensor(rig.run, &tensor), 0);
        offline_read(&rig, rig.run);
        assert_true(offline_find(&rig, READING_SUMMARY, i, 0, &reading));
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
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    offline_read(&rig, rig.run);
    assert_true(offline_find(&rig, READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 12);
    assert_true(reading.f64[SUMMARY_MIN] == 0 && reading.f64[SUMMARY_MAX] == 22);
    assert_true(offline_find(&rig, READING_UNITS, 0, 3, &reading));
    assert_true(reading.f32[0] == 9 && reading.f32[1] == 11 && reading.f32[2] == 13);
}

static void tensors_without_elements_or_dimensions_are_fine(void **state)
{
    const float one = -2.5F;
    const int64_t empty[2] = {0, 4};
    struct baro_tensor tensor = tensor_of("empty", NULL, 2, empty);
    struct reading reading;
    tensor.unit_axis = 1;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    tensor = tensor_of("zero-d", &one, 0, NULL);
    tensor.unit_axis = 0; /* what a zeroed struct says */
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    offline_read(&rig, rig.run);
    assert_true(offline_find(&rig, READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_COUNT] == 0);
    assert_true(isnan(reading.f64[SUMMARY_MEAN]));
    assert_true(offline_find(&rig, READING_SUMMARY, 1, 0, &reading));
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
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    offline_read(&rig, rig.run);
    assert_true(offline_find(&rig, READING_SUMMARY, 0, 0, &reading));
    assert_true(reading.f64[SUMMARY_N_ZERO] == (double)n);
    assert_true(reading.f64[SUMMARY_HIST_EVERY] == 16);
    assert_true(offline_find(&rig, READING_UNITS, 0, 1000, &reading));
    free((void *)(uintptr_t)values);
}

static void more_units_than_the_limit_leave_the_summary(void **state)
{
    static float values[READING_MAX_UNITS + 1];
    const int64_t shape = READING_MAX_UNITS + 1;
    struct baro_tensor tensor = tensor_of("wide", values, 1, &shape);
    tensor.unit_axis = 0;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    const int64_t most = READING_MAX_UNITS;
    tensor.name = "just";
    tensor.shape = &most;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    offline_read(&rig, rig.run);
    assert_int_equal(offline_count(&rig, READING_SUMMARY), 2);
    assert_int_equal(offline_count(&rig, READING_UNITS), 1);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const float one = 1;
    int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct baro_tensor tensor = tensor_of("t", &one, 2, shape);
    struct baro_tensor bad = tensor;
    bad.dtype = (enum baro_dtype)99;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EUNSUPPORTED);
    assert_int_equal(baro_declare_tensor(rig.run, &bad), BARO_EUNSUPPORTED);
    bad = tensor;
    bad.role = (enum baro_role)0;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.n_dims = 9;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.unit_axis = 2;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.data = NULL;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.shape = NULL;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.name = NULL;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    bad = tensor;
    bad.id = 77;
    assert_int_equal(baro_tensor(rig.run, &bad), BARO_EINVAL);
    shape[1] = -1;
    assert_int_equal(baro_tensor(rig.run, &tensor), BARO_EINVAL);
    assert_int_equal(baro_tensor(rig.run, NULL), BARO_EINVAL);
    assert_int_equal(baro_batch(rig.run, NULL, 3), BARO_EINVAL);
    assert_int_equal(baro_event(rig.run, (enum baro_level)9, "x"), BARO_EINVAL);
    offline_read(&rig, rig.run);
    assert_int_equal(rig.n_bytes, 0);
}

static void a_tensor_can_be_declared_once_and_pushed_by_id(void **state)
{
    float values[6] = {1, 2, 3, 4, 5, 6};
    const int64_t shape[2] = {2, 3};
    struct baro_tensor tensor = tensor_of("w", NULL, 2, shape);
    tensor.unit_axis = 0;
    int64_t id = baro_declare_tensor(rig.run, &tensor);
    assert_true(id > 0);
    tensor.id = (uint32_t)id;
    tensor.name = NULL;
    tensor.data = values;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    const int64_t other[2] = {3, 2}; /* other units than declared: no unit statistics */
    tensor.shape = other;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_non_null(strstr(rig.said, "another number of units"));
    offline_read(&rig, rig.run);
    assert_int_equal(offline_count(&rig, READING_SUMMARY), 2);
    assert_int_equal(offline_count(&rig, READING_UNITS), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_tensor_gives_its_statistics_and_those_of_its_units),
        CASE(the_first_bad_element_is_placed_by_unit_and_row),
        CASE(strided_views_are_read_as_they_are),
        CASE(tensors_without_elements_or_dimensions_are_fine),
        CASE(a_hundred_million_elements_are_summarised),
        CASE(more_units_than_the_limit_leave_the_summary),
        CASE(what_makes_no_sense_is_refused),
        CASE(a_tensor_can_be_declared_once_and_pushed_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
