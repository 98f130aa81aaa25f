/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_rig.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "daemon/store/internal.h"
#include "daemon/store/summary.h"
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
    int64_t *edges = baro_xcalloc((size_t)cut->n_columns + 1, sizeof *edges);
    struct column_cut quick = *cut;
    columns_edges(cut, edges);
    quick.edges = edges;
    store_expect_columns(rig->store, &query, &quick);
    int rc = store_read_columns(rig->store, &query, &quick, got, &n_rows, &n_coarse, &err);
    free(edges);
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
    each_series(state, 1, 0, 4000, TEST_ROUNDS(8));
}

static void pixels_of_one_series_of_floats_are_those_of_all_rows(void **state)
{
    each_series(state, 0, 1, 4000, TEST_ROUNDS(8));
}

static void pixels_of_a_mixed_group_are_those_of_all_rows(void **state)
{
    each_series(state, 3, 5, 2000, TEST_ROUNDS(8));
}

static void pixels_of_a_wide_group_are_those_of_all_rows(void **state)
{
    each_series(state, 0, 57, 1500, TEST_ROUNDS(6));
}

static void pixels_of_a_wide_mixed_group_are_those_of_all_rows(void **state)
{
    each_series(state, 11, 23, 1500, TEST_ROUNDS(6));
}

/* ---- single properties ---- */

static void the_worked_number_of_the_essay_is_right(void **state)
{
    (void)state;
    int64_t steps[64];
    uint32_t ends[64];
    const uint32_t wanted[] = {13, 26, 39, 52, 64};
    for (int i = 0; i < 64; i++) {
        steps[i] = 10 * i;
    }
    assert_int_equal(summary_cut(steps, steps, 64, 16, ends), BARO_LEN(wanted));
    assert_memory_equal(ends, wanted, sizeof wanted);
}

static void summaries_never_outnumber_what_they_stand_for(void **state)
{
    (void)state;
    enum { N = 1000 };
    static int64_t steps[N];
    static uint32_t ends[N];
    struct model model = {.random = 4711, .series = SERIES_WILD_STEPS};
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + roll(&model, N);
        uint32_t per_group = 1 + (uint32_t)roll(&model, 64);
        model.series = (enum series)roll(&model, SERIES_KINDS);
        model.step = 0;
        for (size_t i = 0; i < n; i++, model.n_rows++) {
            steps[i] = next_step(&model);
        }
        size_t n_groups = summary_cut(steps, steps, n, per_group, ends);
        assert_true(n_groups <= n / per_group * 3 / 2 + 1);
        assert_int_equal(ends[n_groups - 1], n);
    }
}

/* A series of steps 0, 1 .. with value = step and a bit, summarised. */
static void counting_series(struct rig *rig, size_t n, double most_more)
{
    struct model model = {.random = 99};
    for (size_t i = 0; i < n;) {
        struct store_txn *txn = store_begin(rig->store);
        for (size_t k = 0; k < 500 && i < n; k++, i++) {
            double more = most_more * (double)roll(&model, 1 << 20) / (1 << 20);
            rig_append(txn, 1, 1, (int64_t)i, (double)i + more);
        }
        rig_commit(txn);
        work_some(rig, UINT64_MAX);
    }
}

static int read_counting(struct rig *rig, const struct column_cut *cut,
    struct column *columns, uint64_t *n_rows, uint64_t *n_coarse)
{
    struct baro_err err = {0};
    struct store_query query = {.run = 1, .thing = 1, .kind = 1, .n_columns = 1};
    memset(columns, 0, cut->n_columns * sizeof *columns);
    return store_read_columns(rig->store, &query, cut, columns, n_rows, n_coarse, &err);
}

/* Change a byte in the middle of each chunk of a level. */
static void damage_level(struct rig *rig, uint8_t level)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    size_t n = 0;
    assert_int_equal(mdb_txn_begin(rig->store->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_cursor_open(txn, rig->store->chunk_table, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        if (((const uint8_t *)key.mv_data)[KEY_GROUP_BYTES] == level) {
            uint8_t *bytes = baro_xrealloc(NULL, value.mv_size, 1);
            memcpy(bytes, value.mv_data, value.mv_size);
            bytes[value.mv_size / 2] ^= 1;
            value.mv_data = bytes;
            assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
            free(bytes);
            n++;
        }
    }
    mdb_cursor_close(cursor);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_true(n > 0);
}

static void small_rig(struct rig *rig)
{
    rig_open(rig);
    *tiers_sizes(rig->store) = (struct tiers_sizes){.narrow_rows = 8,
        .narrow_first = 64,
        .narrow_next = 16,
        .wide_rows = 4,
        .wide_first = 4,
        .wide_next = 8,
        .fan_out = 4};
}

static void damaged_summaries_are_done_without(void **state)
{
    struct rig *rig = *state;
    enum { N = 3000, COLUMNS = 50 };
    struct column columns[COLUMNS];
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    small_rig(rig);
    counting_series(rig, N, 0);
    assert_true(levels_of(rig) >= 3);
    struct column_cut cut = columns_cut(0, N - 1, COLUMNS);
    for (uint8_t level = (uint8_t)levels_of(rig); level > 0; level--) {
        damage_level(rig, level);
        assert_int_equal(read_counting(rig, &cut, columns, &n_rows, &n_coarse), 0);
        assert_int_equal(n_rows, N);
        assert_int_equal(n_coarse, 0);
        for (uint32_t c = 0; c < COLUMNS; c++) {
            assert_true(columns[c].min == (double)columns_edge(&cut, c));
            assert_true(columns[c].max == (double)columns_edge(&cut, c + 1) - 1);
        }
    }
}

/* Each column counts, has no value of another column but for one summary's width, and all
 * readings are in one. */
static void check_coarse(const struct column_cut *cut, const struct column *columns,
    uint64_t n_wanted, double most_off)
{
    uint64_t n = 0;
    for (uint32_t c = 0; c < cut->n_columns; c++) {
        n += columns[c].count;
        if (columns[c].count > 0) {
            assert_true(columns[c].min >= (double)columns_edge(cut, c) - most_off);
            assert_true(columns[c].max < (double)columns_edge(cut, c + 1) + most_off);
            assert_true(columns[c].first_step >= columns_edge(cut, c));
            assert_true(columns[c].last_step < columns_edge(cut, c + 1));
        }
    }
    assert_int_equal(n, n_wanted);
}

static void where_rows_are_damaged_their_summaries_stand_in(void **state)
{
    struct rig *rig = *state;
    enum { N = 3000, COLUMNS = 700 };
    struct column columns[COLUMNS];
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    small_rig(rig);
    counting_series(rig, N, 0);
    struct group_record record = {0};
    assert_int_equal(store_group_get(rig->store, 1, 1, 1, &record, NULL), 1);
    damage_level(rig, 0);
    struct column_cut cut = columns_cut(0, N - 1, COLUMNS);
    assert_int_equal(read_counting(rig, &cut, columns, &n_rows, &n_coarse), BARO_ECORRUPT);
    assert_int_equal(n_rows, record.covered[0]);
    assert_true(n_coarse > 0);
    check_coarse(&cut, columns, record.covered[0], 8);
}

static void pruned_rows_are_drawn_from_their_summaries(void **state)
{
    struct rig *rig = *state;
    enum { N = 5003, COLUMNS = 900 };
    struct column columns[COLUMNS];
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    struct baro_err err = {0};
    const uint32_t run = 1;
    small_rig(rig);
    rig->store->seal_tail_bytes = 1 << 20;
    counting_series(rig, N, 0.5);
    while (store_seal_run(rig->store, 1, &err) == 1) {
    }
    for (enum store_prune_level level = STORE_PRUNE_READINGS; level <= STORE_PRUNE_FINE;
         level++) {
        struct store_prune what = {
            .to_bytes = 1, .runs = &run, .n_runs = 1, .level = level};
        assert_true(store_prune(rig->store, &what, NULL, NULL, &err) >= 0);
        struct group_record record = {0};
        assert_int_equal(store_group_get(rig->store, 1, 1, 1, &record, NULL), 1);
        assert_int_equal(record.pruned[0], N);
        assert_int_equal(record.covered[0], N);
        struct column_cut cut = columns_cut(0, N - 1, COLUMNS);
        assert_int_equal(read_counting(rig, &cut, columns, &n_rows, &n_coarse), 0);
        assert_int_equal(n_rows, N);
        assert_true(n_coarse > 0);
        check_coarse(&cut, columns, N, level == STORE_PRUNE_READINGS ? 8 : N);
        cut = columns_cut(0, N - 1, 1);
        assert_int_equal(read_counting(rig, &cut, columns, &n_rows, &n_coarse), 0);
        assert_int_equal(n_coarse, 0);
        assert_true(columns[0].min < 0.5 && columns[0].max >= N - 1);
        assert_int_equal(columns[0].count, N);
    }
}

struct shared {
    struct rig *rig;
    atomic_llong committed;
    atomic_llong begun;
    atomic_bool is_done;
    atomic_int n_wrong;
    atomic_int n_reads;
};

/* Row i is step i and value i: whatever prefix is seen, all figures follow from its length. */
static void *look_on(void *argument)
{
    struct shared *shared = argument;
    struct column_cut cut = columns_cut(0, 1 << 20, 64);
    struct column columns[64];
    for (bool is_last = false; !is_last;) {
        is_last = atomic_load(&shared->is_done);
        int64_t least = atomic_load(&shared->committed);
        uint64_t n_rows = 0;
        uint64_t n_coarse = 0;
        int rc = read_counting(shared->rig, &cut, columns, &n_rows, &n_coarse);
        int64_t n = (int64_t)n_rows;
        bool is_wrong = rc != 0 || n < least || n > atomic_load(&shared->begun);
        for (uint32_t c = 0; c < 64 && columns_edge(&cut, c) < n; c++) {
            int64_t end = columns_edge(&cut, c + 1) < n ? columns_edge(&cut, c + 1) : n;
            is_wrong |= columns[c].count != end - columns_edge(&cut, c) ||
                        columns[c].min != (double)columns_edge(&cut, c) ||
                        columns[c].max != (double)(end - 1);
        }
        atomic_fetch_add(&shared->n_wrong, is_wrong ? 1 : 0);
        atomic_fetch_add(&shared->n_reads, 1);
    }
    return NULL;
}

static void readers_beside_the_writer_see_each_row_once(void **state)
{
    struct rig *rig = *state;
    enum { N_THREADS = 2, N_COMMITS = 300, ROWS = 150 };
    struct shared shared = {.rig = rig};
    pthread_t threads[N_THREADS];
    small_rig(rig);
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_on, &shared), 0);
    }
    for (int64_t commit = 0; commit < N_COMMITS; commit++) {
        struct store_txn *txn = store_begin(rig->store);
        for (int64_t i = commit * ROWS; i < (commit + 1) * ROWS; i++) {
            rig_append(txn, 1, 1, i, (double)i);
        }
        atomic_store(&shared.begun, (commit + 1) * ROWS);
        rig_commit(txn);
        atomic_store(&shared.committed, (commit + 1) * ROWS);
        work_some(rig, 3);
    }
    atomic_store(&shared.is_done, true);
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&shared.n_wrong), 0);
    assert_true(atomic_load(&shared.n_reads) >= N_THREADS);
    assert_true(levels_of(rig) >= 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_number_of_the_essay_is_right),
        cmocka_unit_test(summaries_never_outnumber_what_they_stand_for),
        CASE(damaged_summaries_are_done_without),
        CASE(where_rows_are_damaged_their_summaries_stand_in),
        CASE(pruned_rows_are_drawn_from_their_summaries),
        CASE(readers_beside_the_writer_see_each_row_once),
        cmocka_unit_test(pixels_of_one_series_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_one_series_of_floats_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_mixed_group_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_wide_group_are_those_of_all_rows),
        cmocka_unit_test(pixels_of_a_wide_mixed_group_are_those_of_all_rows),
    };
    TEST_THREADS_ONLY("readers_*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
