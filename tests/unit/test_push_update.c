/* SPDX-License-Identifier: Apache-2.0 */
/* baro_update: what it writes into the ring, and what it refuses. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/offline.h"

enum { ROWS = 3, COLS = 4 };

static const int64_t shape[2] = {ROWS, COLS};
static float before[ROWS * COLS] = {1, 0, 0, 0, 0, 2, 0, 0, 3, 3, 3, 3};
static float after[ROWS * COLS] = {0, 1, 0, 0, 0, 2, 0, 0, 6, 6, 6, 6};

static struct offline rig;

static int set_up(void **state)
{
    return offline_start(&rig) != 0 || baro_step(rig.run, 7) != 0;
}

static int clean(void **state)
{
    return offline_finish(&rig);
}

/* Give the only record of a kind as a checked reading. */
static struct reading only(enum reading_kind kind)
{
    struct reading reading = {0};
    rig.role = BARO_UPDATE;
    offline_read(&rig, rig.run);
    assert_int_equal(offline_count(&rig, kind), 1);
    assert_true(offline_find(&rig, kind, 0, ROWS, &reading));
    return reading;
}

static size_t n_declared(void)
{
    const uint8_t *cursor = rig.sticky;
    const uint8_t *payload;
    struct record_header header;
    size_t n = 0;
    offline_read(&rig, rig.run);
    while (record_next(&cursor, rig.sticky + rig.n_sticky_bytes, &header, &payload) == 1) {
        n += header.kind == READING_DECLARE ? 1 : 0;
    }
    return n;
}

static struct baro_tensor tensor_of(const void *values)
{
    return (struct baro_tensor){.name = "fc.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = values};
}

static void an_update_has_its_ratio_and_each_unit_its_change(void **state)
{
    const struct baro_tensor b = tensor_of(before);
    const struct baro_tensor a = tensor_of(after);
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
    const struct reading summary = only(READING_SUMMARY);
    assert_int_equal(summary.header.step, 7);
    assert_true(summary.f64[SUMMARY_COUNT] == 12 && summary.f64[SUMMARY_N_ZERO] == 6);
    assert_true(fabs(summary.f64[SUMMARY_L2] - sqrt(38)) < 1e-6);
    assert_true(fabs(summary.f64[SUMMARY_UPDATE_RATIO] - sqrt(38.0 / 41)) < 1e-12);
    assert_true(summary.f64[SUMMARY_HIST_EVERY] == 1 && summary.extra_bytes > 0);
    const struct reading units = only(READING_UNITS);
    assert_int_equal(units.n_f32, UNIT_STAT_MOST * ROWS);
    assert_true(units.f32[UNIT_CHANGE * ROWS] == 1);     /* turned by a right angle */
    assert_true(units.f32[UNIT_CHANGE * ROWS + 1] == 0); /* stayed */
    assert_true(units.f32[UNIT_CHANGE * ROWS + 2] == 0); /* only grew */
    assert_true(units.f32[UNIT_MEAN * ROWS + 2] == 3);
    assert_true(units.f32[UNIT_FRAC_ZERO * ROWS + 1] == 1);
}

static void the_weights_own_id_does_as_well_as_its_name(void **state)
{
    const struct baro_tensor b = tensor_of(before);
    struct baro_tensor a = tensor_of(after);
    a.id = (uint32_t)baro_declare_tensor(rig.run, &a);
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
    a.role = BARO_UPDATE;
    const int64_t id = baro_declare_tensor(rig.run, &a);
    assert_int_equal(n_declared(), 2); /* the weight and the update */
    assert_true(id > 0 && id != a.id);
    assert_true(only(READING_SUMMARY).header.thing == id);
    a.id = (uint32_t)id;
    a.name = NULL;
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
    assert_int_equal(n_declared(), 2);
}

static void an_update_without_the_values_before_has_no_change(void **state)
{
    struct baro_tensor t = tensor_of(after);
    t.role = BARO_UPDATE;
    assert_int_equal(baro_tensor(rig.run, &t), 0);
    assert_true(isnan(only(READING_SUMMARY).f64[SUMMARY_UPDATE_RATIO]));
    const struct reading units = only(READING_UNITS);
    for (int u = 0; u < ROWS; u++) {
        assert_true(isnan(units.f32[UNIT_CHANGE * ROWS + u]));
    }
    assert_true(units.f32[UNIT_ABS_MAX * ROWS + 2] == 6);
}

static void without_units_an_update_is_its_summary(void **state)
{
    struct baro_tensor b = tensor_of(before);
    struct baro_tensor a = tensor_of(after);
    a.unit_axis = BARO_NO_UNITS;
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
    assert_true(only(READING_SUMMARY).f64[SUMMARY_UPDATE_RATIO] > 0.9);
    b.n_dims = a.n_dims = 0;
    a.name = "scale";
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
}

static void a_bad_element_is_placed_by_its_unit(void **state)
{
    float bad[ROWS * COLS];
    memcpy(bad, after, sizeof bad);
    bad[1 * COLS + 2] = NAN;
    const struct baro_tensor b = tensor_of(before);
    const struct baro_tensor a = tensor_of(bad);
    assert_int_equal(baro_update(rig.run, &b, &a), 0);
    const struct reading summary = only(READING_SUMMARY);
    assert_true(summary.f64[SUMMARY_N_NAN] == 1);
    assert_true(summary.f64[SUMMARY_FIRST_BAD_UNIT] == 1);
    assert_true(summary.f64[SUMMARY_FIRST_BAD_ROW] == -1);
}

static void what_does_not_fit_together_is_refused(void **state)
{
    static const int64_t other[2] = {COLS, ROWS};
    struct baro_tensor b = tensor_of(before);
    struct baro_tensor a = tensor_of(after);
    assert_int_equal(baro_update(rig.run, NULL, &a), BARO_EINVAL);
    assert_int_equal(baro_update(rig.run, &b, NULL), BARO_EINVAL);
    b.shape = other;
    assert_int_equal(baro_update(rig.run, &b, &a), BARO_EINVAL);
    b = a;
    b.dtype = BARO_F64;
    assert_int_equal(baro_update(rig.run, &b, &a), BARO_EINVAL);
    b.dtype = a.dtype = BARO_I32;
    assert_int_equal(baro_update(rig.run, &b, &a), BARO_EUNSUPPORTED);
    b = tensor_of(NULL);
    a = tensor_of(after);
    assert_int_equal(baro_update(rig.run, &b, &a), BARO_EINVAL);
    a.id = 99;
    b = tensor_of(before);
    assert_int_equal(baro_update(rig.run, &b, &a), BARO_EINVAL);
    assert_int_equal(baro_update(NULL, &b, &a), 0);
    assert_int_equal(n_declared(), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)
    const struct CMUnitTest tests[] = {
        CASE(an_update_has_its_ratio_and_each_unit_its_change),
        CASE(the_weights_own_id_does_as_well_as_its_name),
        CASE(an_update_without_the_values_before_has_no_change),
        CASE(without_units_an_update_is_its_summary),
        CASE(a_bad_element_is_placed_by_its_unit),
        CASE(what_does_not_fit_together_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
