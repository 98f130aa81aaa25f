/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_rig.h"

#include <math.h>

#include "daemon/store/internal.h"
#include "daemon/store/tiers.h"

/*
 * Pixels drawn from summaries are those drawn from all rows: over series of every ugly kind,
 * random zooms, and whatever state sealing, dividing and summarising have come to. The model is
 * all rows in memory, added one by one to the column that columns_find tells.
 */

enum series {
    SERIES_NOISE = 0,
    SERIES_SPIKES,
    SERIES_ODD, /* NaN and infinities, some stretches of nothing else */
    SERIES_GAPS,
    SERIES_CONSTANT,
    SERIES_REPEATED,
    SERIES_BACKWARD,
    SERIES_LOW_STEPS, /* near -2^63 */
    SERIES_HIGH_STEPS,
    SERIES_WILD_STEPS,
    SERIES_HUGE, /* near the largest double */
    SERIES_SMOOTH,
    SERIES_KINDS
};

struct model {
    uint32_t n_f64;
    uint32_t n_f32;
    size_t n_rows;
    size_t room;
    int64_t *steps;
    double *values; /* [n_rows][n_f64 + n_f32] */
    enum series series;
    int64_t step;
    uint64_t random;
};

static const char *const series_names[SERIES_KINDS] = {"noise", "spikes", "odd", "gaps",
    "constant", "repeated", "backward", "low steps", "high steps", "wild steps", "huge",
    "smooth"};

static uint64_t roll(struct model *model, uint64_t sides)
{
    return (rig_random(&model->random) >> 11) % sides;
}

static void model_finish(struct model *model)
{
    free(model->steps);
    free(model->values);
}

static int64_t next_step(struct model *model)
{
    int64_t step = model->step;
    switch (model->series) {
    case SERIES_GAPS: step += roll(model, 50) == 0 ? (int64_t)roll(model, 5000) : 3; break;
    case SERIES_REPEATED: step += roll(model, 20) == 0 ? 1 : 0; break;
    case SERIES_BACKWARD:
        step += roll(model, 300) == 0 ? -(int64_t)roll(model, 400) : 1;
        break;
    case SERIES_LOW_STEPS: step = INT64_MIN + (int64_t)model->n_rows * 7; break;
    case SERIES_HIGH_STEPS: step = INT64_MAX - 3000 + (int64_t)model->n_rows % 3001; break;
    case SERIES_WILD_STEPS:
        step = (int64_t)((roll(model, UINT64_C(1) << 53) << 11) >> roll(model, 60));
        step = roll(model, 2) == 0 ? step : -step;
        break;
    case SERIES_NOISE:
    case SERIES_SPIKES:
    case SERIES_ODD:
    case SERIES_CONSTANT:
    case SERIES_HUGE:
    case SERIES_SMOOTH:
    case SERIES_KINDS:
    default: step++; break;
    }
    model->step = step;
    return step;
}

static double next_value(struct model *model, uint32_t column)
{
    double noise = (double)roll(model, 1 << 24) / (1 << 20) - 7.5;
    switch (model->series) {
    case SERIES_SPIKES: return roll(model, 700) == 0 ? noise * 1e9 : noise;
    case SERIES_ODD:
        if (model->n_rows / 500 % 5 == column % 5) {
            return (double)NAN;
        }
        switch (roll(model, 90)) {
        case 0: return (double)NAN;
        case 1: return (double)INFINITY;
        case 2: return -(double)INFINITY;
        default: return noise;
        }
    case SERIES_CONSTANT: return 0.1 + column;
    case SERIES_HUGE: return noise * 2e307;
    case SERIES_SMOOTH: return 1000 + sin((double)model->n_rows / 300 + column) / 8;
    case SERIES_NOISE:
    case SERIES_GAPS:
    case SERIES_REPEATED:
    case SERIES_BACKWARD:
    case SERIES_LOW_STEPS:
    case SERIES_HIGH_STEPS:
    case SERIES_WILD_STEPS:
    case SERIES_KINDS:
    default: return noise;
    }
}

/* Append rows to the store and to the model. */
static void append_rows(struct rig *rig, struct model *model, size_t n)
{
    uint32_t all = model->n_f64 + model->n_f32;
    uint8_t *payload = baro_xcalloc(all, sizeof(double));
    struct store_txn *txn = store_begin(rig->store);
    for (size_t i = 0; i < n; i++) {
        if (model->n_rows == model->room) {
            model->room = model->room * 2 + 1024;
            model->steps = baro_xrealloc(model->steps, model->room, sizeof(int64_t));
            model->values = baro_xrealloc(model->values, model->room * all, sizeof(double));
        }
        double *values = model->values + model->n_rows * all;
        for (uint32_t c = 0; c < all; c++) {
            values[c] = next_value(model, c);
            if (c < model->n_f64) {
                memcpy(payload + 8 * (size_t)c, &values[c], 8);
            } else {
                float value = (float)values[c];
                memcpy(payload + 8 * (size_t)model->n_f64 + 4 * (size_t)(c - model->n_f64),
                    &value, 4);
                values[c] = (double)value;
            }
        }
        struct store_row row = {.run = 1,
            .thing = 1,
            .kind = 1,
            .n_f64 = model->n_f64,
            .n_f32 = model->n_f32,
            .step = next_step(model),
            .time_ns = (int64_t)model->n_rows,
            .payload = payload};
        store_append(txn, &row);
        model->steps[model->n_rows++] = row.step;
    }
    rig_commit(txn);
    free(payload);
}

static void work_some(struct rig *rig, uint64_t n)
{
    struct baro_err err = {0};
    for (int rc = 1; rc == 1 && n > 0; n--) {
        rc = store_work_step(rig->store, &err);
        if (rc < 0) {
            fail_msg("store_work_step: %d %s", rc, err.text);
        }
    }
}

static bool is_same(double a, double b)
{
    return isnan(a) ? isnan(b) : !isnan(b) && !(a < b) && !(a > b);
}

/* The rounding that docs/STORAGE.md states, for a number of a column with such extremes. */
static bool is_near(double got, double wanted, const struct column *column)
{
    if (!isfinite(wanted)) {
        return is_same(got, wanted);
    }
    double scale = fmax(fabs(column->min), fabs(column->max));
    double range = column->max - column->min;
    double allowed = isfinite(range) ? fmin(scale / 8192, range / 512) : scale / 8192;
    return fabs(got / 2 - wanted / 2) <= allowed / 2 + scale * 1.2e-7;
}

static void check_same(const struct model *model, const struct column_cut *cut, uint32_t c,
    const struct column *got, const struct column *wanted)
{
    bool is_right = got->count == wanted->count && got->n_nan == wanted->n_nan &&
                    got->n_pos_inf == wanted->n_pos_inf &&
                    got->n_neg_inf == wanted->n_neg_inf && is_same(got->min, wanted->min) &&
                    is_same(got->max, wanted->max);
    if (is_right && got->count > 0) {
        is_right = got->first_step == wanted->first_step &&
                   got->last_step == wanted->last_step &&
                   is_near(got->first, wanted->first, wanted) &&
                   is_near(got->last, wanted->last, wanted) &&
                   (isnan(wanted->mean) ? isnan(got->mean)
                                        : is_near(got->mean, wanted->mean, wanted));
    }
    if (!is_right) {
        fail_msg("%s, %zu rows of %u + %u, steps %lld to %lld in %u columns, column %u: "
                 "count %u %u min %.17g %.17g max %.17g %.17g mean %.17g %.17g first %.17g "
                 "%.17g last %.17g %.17g nan %u %u steps %lld %lld, %lld %lld",
            series_names[model->series], model->n_rows, model->n_f64, model->n_f32,
            (long long)cut->from_step, (long long)cut->to_step, cut->n_columns, c,
            got->count, wanted->count, got->min, wanted->min, got->max, wanted->max,
            got->mean, wanted->mean, got->first, wanted->first, got->last, wanted->last,
            got->n_nan, wanted->n_nan, (long long)got->first_step,
            (long long)wanted->first_step, (long long)got->last_step,
            (long long)wanted->last_step);
    }
}

/* Read columns of series [first, first + n) and compare each with all rows. */
static void check_zoom(struct rig *rig, const struct model *model, uint32_t first,
    uint32_t n, const struct column_cut *cut)
{
    struct baro_err err = {0};
    uint32_t all = model->n_f64 + model->n_f32;
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    uint64_t n_inside = 0;
    struct column *got = baro_xcalloc((size_t)n * cut->n_columns, sizeof *got);
    struct column *wanted = baro_xcalloc((size_t)n * cut->n_columns, sizeof *wanted);
    struct store_query query = {
        .run = 1, .thing = 1, .kind = 1, .first_column = first, .n_columns = n};
    int rc = store_read_columns(rig->store, &query, cut, got, &n_rows, &n_coarse, &err);
    if (rc != 0) {
        fail_msg("store_read_columns: %d %s", rc, err.text);
    }
    for (size_t i = 0; i < model->n_rows; i++) {
        uint32_t c = columns_find(cut, model->steps[i]);
        n_inside += c < cut->n_columns;
        for (uint32_t k = 0; c < cut->n_columns && k < n; k++) {
            column_add(&wanted[k * cut->n_columns + c], model->steps[i],
                model->values[i * all + first + k]);
        }
    }
    assert_int_equal(n_rows, n_inside);
    assert_int_equal(n_coarse, 0);
    for (size_t i = 0; i < (size_t)n * cut->n_columns; i++) {
        column_finish(&got[i]);
        column_finish(&wanted[i]);
        check_same(model, cut, (uint32_t)(i % cut->n_columns), &got[i], &wanted[i]);
    }
    free(got);
    free(wanted);
}

static void check_random_zoom(struct rig *rig, struct model *model)
{
    int64_t a = model->steps[roll(model, model->n_rows)];
    int64_t b = model->steps[roll(model, model->n_rows)];
    switch (roll(model, 5)) {
    case 0:
        a = INT64_MIN;
        b = INT64_MAX;
        break;
    case 1: b = (int64_t)((uint64_t)a + roll(model, 2000)); break;
    default: break;
    }
    uint32_t all = model->n_f64 + model->n_f32;
    uint32_t first = (uint32_t)roll(model, all);
    uint32_t end = first < model->n_f64 ? model->n_f64 : all;
    uint32_t n = roll(model, 3) == 0 ? end - first
                                     : 1 + (uint32_t)roll(model, (end - first + 1) / 2);
    uint32_t n_columns = 1 + (uint32_t)roll(model, roll(model, 3) == 0 ? 700 : 60);
    struct column_cut cut = columns_cut(a < b ? a : b, a < b ? b : a, n_columns);
    check_zoom(rig, model, first, n, &cut);
}

/* Small summaries, so that few rows have many levels. */
static void make_small(struct rig *rig, struct model *model)
{
    struct tiers_sizes *sizes = tiers_sizes(rig->store);
    sizes->narrow_rows = 1 + (uint32_t)roll(model, 12);
    sizes->narrow_first = 1 + (uint32_t)roll(model, 100);
    sizes->narrow_next = 2 + (uint32_t)roll(model, 20);
    sizes->wide_rows = 1 + (uint32_t)roll(model, 8);
    sizes->wide_first = 1 + (uint32_t)roll(model, 10);
    sizes->wide_next = 2 + (uint32_t)roll(model, 10);
    sizes->fan_out = 2 + (uint32_t)roll(model, 4);
    rig->store->parting.wide_columns = 16;
    rig->store->parting.bytes = 4096 << roll(model, 4);
    rig->store->parting.values = 128U << roll(model, 4);
    rig->store->parting.min_rows = 4;
}

static uint32_t levels_of(struct rig *rig)
{
    struct group_record record = {0};
    assert_int_equal(store_group_get(rig->store, 1, 1, 1, &record, NULL), 1);
    return record.n_levels;
}

/* Append, work and look, again and again. */
static void try_series(
    struct rig *rig, struct model *model, size_t n_rows, int rounds, int zooms)
{
    for (int round = 0; round < rounds; round++) {
        append_rows(
            rig, model, n_rows / (size_t)rounds / 2 + roll(model, n_rows / (size_t)rounds));
        work_some(rig, roll(model, 3) == 0 ? UINT64_MAX : roll(model, 40));
        if (roll(model, 6) == 0) {
            rig_reopen(rig);
            make_small(rig, model);
        }
        for (int zoom = 0; zoom < zooms; zoom++) {
            check_random_zoom(rig, model);
        }
    }
}

static void each_series(
    void **state, uint32_t n_f64, uint32_t n_f32, size_t n_rows, int zooms)
{
    for (int series = 0; series < SERIES_KINDS; series++) {
        struct rig *rig = NULL;
        struct model model = {.n_f64 = n_f64,
            .n_f32 = n_f32,
            .series = (enum series)series,
            .random = 88172645463325252U + (uint64_t)series};
        assert_int_equal(rig_setup((void **)&rig), 0);
        rig->options.is_exact = series % 4 == 3;
        rig_open(rig);
        make_small(rig, &model);
        try_series(rig, &model, n_rows, 6, zooms);
        work_some(rig, UINT64_MAX);
        assert_true(levels_of(rig) >= 1);
        check_random_zoom(rig, &model);
        model_finish(&model);
        assert_int_equal(rig_teardown((void **)&rig), 0);
    }
    (void)state;
}

static void pixels_of_one_series_are_those_of_all_rows(void **state)
{
    each_series(state, 1, 0, 4000, 25);
}

static void pixels_of_one_series_of_floats_are_those_of_all_rows(void **state)
{
    each_series(state, 0, 1, 4000, 25);
}

static void pixels_of_a_mixed_group_are_those_of_all_rows(void **state)
{
    each_series(state, 3, 5, 2000, 15);
}

static void pixels_of_a_wide_group_are_those_of_all_rows(void **state)
{
    each_series(state, 0, 57, 1500, 10);
}

static void pixels_of_a_wide_mixed_group_are_those_of_all_rows(void **state)
{
    each_series(state, 11, 23, 1500, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_of_one_series_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_one_series_of_floats_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_mixed_group_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_wide_group_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_wide_mixed_group_are_those_of_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
