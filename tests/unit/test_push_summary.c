/* SPDX-License-Identifier: Apache-2.0 */
/* baro_summary: statistics of a device are recorded as baro_tensor records its own. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "lib/simd/summarise.h"
#include "tests/unit/offline.h"

enum { ROWS = 3, COLS = 70, N = ROWS * COLS };

static const int64_t shape[2] = {ROWS, COLS};
static float data[N];

/* What a device would hand over, and the room that its arrays lie in. */
static struct baro_summary summary;
static struct baro_hist hist;
static float units[UNIT_STAT_COUNT][COLS];
static struct baro_summarised summarised;

struct found {
    struct record_header header;
    const uint8_t *payload;
};

static struct offline rig;

static int set_up(void **state)
{
    return offline_start(&rig) != 0 || baro_step(rig.run, 7) != 0;
}

static int clean(void **state)
{
    return offline_finish(&rig);
}

/* Records of one kind, in order. */
static size_t find(enum reading_kind kind, struct found *out, size_t max)
{
    const uint8_t *cursor = rig.records;
    offline_read(&rig, rig.run);
    struct found found;
    size_t n = 0;
    while (record_next(&cursor, rig.records + rig.n_bytes, &found.header, &found.payload) ==
           1) {
        if (found.header.kind == (uint16_t)kind) {
            assert_true(n < max);
            out[n++] = found;
        }
    }
    return n;
}

static struct baro_tensor tensor_of(enum baro_role role, int unit_axis)
{
    return (struct baro_tensor){.name = "fc",
        .role = role,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data,
        .unit_axis = unit_axis};
}

/* Summarise the data as a device would, by lib/simd. */
static void compute(const struct baro_tensor *t)
{
    struct baro_span span;
    assert_int_equal(
        baro_span_make(&span, t->dtype, t->data, t->n_dims, t->shape, NULL, NULL), 0);
    const struct baro_unit_stats columns = {
        units[UNIT_MEAN],
        units[UNIT_L2],
        units[UNIT_ABS_MAX],
        units[UNIT_FRAC_ZERO],
        units[UNIT_N_NONFINITE],
    };
    baro_summarise_both(&span, t->unit_axis, &columns, &summary, &hist);
    summarised = (struct baro_summarised){
        .count = summary.count,
        .n_nan = summary.n_nan,
        .n_pos_inf = summary.n_pos_inf,
        .n_neg_inf = summary.n_neg_inf,
        .n_zero = summary.n_zero,
        .min = summary.min,
        .max = summary.max,
        .mean = summary.mean,
        .var = summary.var,
        .l1 = summary.l1,
        .l2 = summary.l2,
        .abs_max = summary.abs_max,
        .first_bad_unit =
            t->unit_axis == 0 ? summary.first_bad / COLS : summary.first_bad % COLS,
        .first_bad_row = summary.first_bad / COLS,
        .positive = hist.pos,
        .negative = hist.neg,
        .hist_every = hist.sample_every,
        .unit_mean = units[UNIT_MEAN],
        .unit_l2 = units[UNIT_L2],
        .unit_abs_max = units[UNIT_ABS_MAX],
        .unit_frac_zero = units[UNIT_FRAC_ZERO],
        .unit_n_nonfinite = units[UNIT_N_NONFINITE],
    };
}

static void fill(bool is_bad)
{
    for (int i = 0; i < N; i++) {
        data[i] = i % 11 == 0 ? 0 : 0.37F * (float)((i * 7919) % 101 - 50);
    }
    data[1 * COLS + 5] = is_bad ? NAN : 1;
    data[2 * COLS + 6] = is_bad ? -INFINITY : 1;
}

static void assert_same(enum reading_kind kind)
{
    struct found found[2];
    assert_int_equal(find(kind, found, 2), 2);
    assert_int_equal(found[0].header.thing, found[1].header.thing);
    assert_int_equal(found[0].header.step, found[1].header.step);
    assert_int_equal(found[0].header.payload_bytes, found[1].header.payload_bytes);
    assert_memory_equal(found[0].payload, found[1].payload, found[0].header.payload_bytes);
}

static void compare(enum baro_role role, int unit_axis, bool is_bad)
{
    const struct baro_tensor t = tensor_of(role, unit_axis);
    struct baro_tensor bare = t;
    fill(is_bad);
    compute(&t);
    bare.data = NULL;
    assert_int_equal(baro_tensor(rig.run, &t), 0);
    assert_int_equal(baro_summary(rig.run, &bare, &summarised), 0);
    assert_same(READING_SUMMARY);
    assert_same(READING_UNITS);
}

static void a_weight_leaves_the_record_that_baro_tensor_leaves(void **state)
{
    compare(BARO_WEIGHT, 0, false);
}

static void an_activation_with_bad_elements_leaves_the_same_record(void **state)
{
    compare(BARO_ACT, 1, true);
    struct found found[2];
    assert_int_equal(find(READING_SUMMARY, found, 2), 2);
    const double *stats = (const double *)found[1].payload;
    assert_true(stats[SUMMARY_N_NAN] == 1 && stats[SUMMARY_N_NEG_INF] == 1);
    assert_true(stats[SUMMARY_FIRST_BAD_UNIT] == 5 && stats[SUMMARY_FIRST_BAD_ROW] == 1);
}

static void a_summary_may_belong_to_an_earlier_step(void **state)
{
    const struct baro_tensor t = tensor_of(BARO_WEIGHT, 0);
    struct found found[1];
    fill(false);
    compute(&t);
    assert_int_equal(baro_summary_at(rig.run, &t, 3, &summarised), 0);
    assert_int_equal(find(READING_SUMMARY, found, 1), 1);
    assert_int_equal(found[0].header.step, 3);
    assert_int_equal(find(READING_UNITS, found, 1), 1);
    assert_int_equal(found[0].header.step, 3);
    assert_int_equal(baro_summary_at(rig.run, &t, -1, &summarised), BARO_EINVAL);
}

static void units_and_histogram_may_be_missing(void **state)
{
    const struct baro_tensor t = tensor_of(BARO_WEIGHT, 0);
    struct found found[1];
    fill(false);
    compute(&t);
    summarised.positive = NULL;
    summarised.unit_l2 = NULL;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), 0);
    assert_int_equal(find(READING_UNITS, found, 1), 0);
    assert_int_equal(find(READING_SUMMARY, found, 1), 1);
    assert_int_equal(found[0].header.payload_bytes, SUMMARY_STAT_COUNT * sizeof(double));
    assert_true(((const double *)found[0].payload)[SUMMARY_HIST_EVERY] == 0);
}

static void an_update_has_its_ratio_and_change(void **state)
{
    static const float change[ROWS] = {0.5F, 0, 2};
    const struct baro_tensor t = tensor_of(BARO_UPDATE, 0);
    struct found found[1];
    fill(false);
    compute(&t);
    summarised.update_ratio = 0.25;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), 0);
    assert_int_equal(find(READING_SUMMARY, found, 1), 1);
    assert_true(((const double *)found[0].payload)[SUMMARY_UPDATE_RATIO] == 0.25);
    assert_int_equal(find(READING_UNITS, found, 1), 1);
    assert_true(isnan(((const float *)found[0].payload)[UNIT_CHANGE * ROWS]));
    summarised.unit_change = change;
    assert_int_equal(baro_step(rig.run, 8), 0);
    struct found both[2];
    assert_int_equal(baro_summary(rig.run, &t, &summarised), 0);
    assert_int_equal(find(READING_UNITS, both, 2), 2);
    assert_true(((const float *)both[1].payload)[UNIT_CHANGE * ROWS + 2] == 2);
}

static void counts_that_cannot_be_are_refused(void **state)
{
    const struct baro_tensor t = tensor_of(BARO_WEIGHT, 0);
    struct found found[1];
    fill(false);
    compute(&t);
    summarised.count = N + 1;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), BARO_EINVAL);
    summarised.count = N;
    summarised.n_nan = UINT64_MAX;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), BARO_EINVAL);
    summarised.n_nan = N;
    summarised.n_zero = 1;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), BARO_EINVAL);
    assert_int_equal(baro_summary(rig.run, &t, NULL), BARO_EINVAL);
    assert_int_equal(baro_summary(rig.run, NULL, &summarised), BARO_EINVAL);
    assert_int_equal(baro_summary(NULL, &t, &summarised), 0);
    assert_int_equal(find(READING_SUMMARY, found, 1), 0);
}

static void odd_places_and_numbers_do_no_harm(void **state)
{
    const struct baro_tensor t = tensor_of(BARO_ACT, 1);
    struct found found[1];
    fill(true);
    compute(&t);
    summarised.first_bad_unit = INT64_MAX;
    summarised.first_bad_row = INT64_MIN;
    summarised.n_nan = N;
    summarised.n_zero = summarised.n_neg_inf = 0;
    assert_int_equal(baro_summary(rig.run, &t, &summarised), 0);
    assert_int_equal(find(READING_SUMMARY, found, 1), 1);
    const double *stats = (const double *)found[0].payload;
    assert_true(stats[SUMMARY_FIRST_BAD_UNIT] == -1 && stats[SUMMARY_FIRST_BAD_ROW] == -1);
    assert_true(isnan(stats[SUMMARY_MEAN]) && isnan(stats[SUMMARY_ABS_MAX]));
}

static void a_batch_may_belong_to_an_earlier_step(void **state)
{
    static const int64_t samples[2] = {5, 9};
    struct found found[1];
    assert_int_equal(baro_batch_at(rig.run, 4, samples, 2), 0);
    assert_int_equal(baro_batch_at(rig.run, -4, samples, 2), BARO_EINVAL);
    assert_int_equal(baro_batch_at(rig.run, 4, NULL, 2), BARO_EINVAL);
    assert_int_equal(find(READING_BATCH, found, 1), 1);
    assert_int_equal(found[0].header.step, 4);
    assert_int_equal(found[0].header.payload_bytes, sizeof(double) + sizeof samples);
    assert_memory_equal(found[0].payload + sizeof(double), samples, sizeof samples);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_weight_leaves_the_record_that_baro_tensor_leaves),
        CASE(an_activation_with_bad_elements_leaves_the_same_record),
        CASE(a_summary_may_belong_to_an_earlier_step),
        CASE(units_and_histogram_may_be_missing),
        CASE(an_update_has_its_ratio_and_change),
        CASE(counts_that_cannot_be_are_refused),
        CASE(odd_places_and_numbers_do_no_harm),
        CASE(a_batch_may_belong_to_an_earlier_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
