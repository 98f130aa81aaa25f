/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readings of all units kept in rows: against a model in memory, whatever the width of the
 * group, the range, the parts, and whatever comes in and is sealed between two looks.
 */
#include "tests/unit/test_store_raw.h"

#include <math.h>

#include "daemon/sample_rows.h"
#include "lib/base/reading.h"

enum { N_RUNS = 2, N_STATS = 5, STAT = 1, MAX_ROWS = 4096, THING = 5, MOST_ROWS = 12288 };

/* A tensor's units in two runs. */
struct model {
    struct rig *rig;
    uint32_t n_units;
    size_t n[N_RUNS];
    int64_t steps[N_RUNS][MAX_ROWS];
    uint64_t random;
};

static float number(size_t run, size_t row, size_t stat, size_t unit)
{
    const size_t mixed = run * 7 + row * 31 + stat * 13 + unit * 17;
    return mixed % 97 == 0   ? NAN
           : mixed % 89 == 0 ? -INFINITY
                             : (float)(row * 1024 + unit % 512) * (stat == STAT ? 1 : -1);
}

/* Mostly rising, with repeats and steps that go back. */
static void append(struct model *model, size_t run, size_t n_rows)
{
    const size_t n = (size_t)model->n_units * N_STATS;
    baro_autofree float *payload = baro_xcalloc(n, sizeof *payload);
    struct store_txn *txn = store_begin(model->rig->store);
    for (size_t i = 0; i < n_rows && model->n[run] < MAX_ROWS; i++) {
        const size_t at = model->n[run]++;
        const int64_t last = at > 0 ? model->steps[run][at - 1] : 0;
        model->steps[run][at] = last + (int64_t)(rig_random(&model->random) % 5) - 1;
        for (size_t stat = 0; stat < N_STATS; stat++) {
            for (size_t unit = 0; unit < model->n_units; unit++) {
                payload[stat * model->n_units + unit] = number(run, at, stat, unit);
            }
        }
        const struct store_row row = {.run = (uint32_t)run + 1,
            .thing = THING,
            .kind = READING_UNITS,
            .n_f32 = (uint32_t)n,
            .step = model->steps[run][at],
            .time_ns = (int64_t)at * 1000,
            .payload = (const uint8_t *)payload};
        store_append(txn, &row);
    }
    rig_commit(txn);
}

static struct model *make_model(void **state, uint32_t n_units)
{
    struct model *model = baro_xcalloc(1, sizeof *model);
    model->rig = *state;
    model->n_units = n_units;
    model->random = 42;
    rig_open(model->rig);
    return model;
}

static struct sample_source source_of(const struct model *model)
{
    return (struct sample_source){.parts = {{1, THING, INT64_MAX}},
        .n_parts = 1,
        .stat = STAT,
        .n_units = model->n_units};
}

static void read_all(struct sample_rows *rows, const struct sample_source *source,
    const struct model *model, int64_t from, int64_t to)
{
    struct baro_err err = {0};
    int rc = 1;
    for (int i = 0; rc == 1; i++) {
        rc = sample_rows_step(rows, source, model->rig->store, from, to, &err);
        assert_true(i < MAX_ROWS);
    }
    if (rc != 0) {
        fail_msg("sample_rows_step: %d %s", rc, err.text);
    }
}

/* Rows as the model has them: those in range, in order of arrival, the last part's last. */
static void expect_rows(const struct sample_rows *rows, const struct sample_source *source,
    const struct model *model, int64_t from, int64_t to)
{
    size_t at = 0;
    assert_false(rows->is_off);
    for (size_t part = 0; part < source->n_parts; part++) {
        const size_t run = source->parts[part].run - 1;
        const int64_t end =
            source->parts[part].to_step < to ? source->parts[part].to_step : to;
        for (size_t row = 0; row < model->n[run]; row++) {
            if (model->steps[run][row] < from || model->steps[run][row] > end) {
                continue;
            }
            assert_true(at < rows->n);
            assert_int_equal(rows->steps[at], model->steps[run][row]);
            for (size_t unit = 0; unit < model->n_units; unit++) {
                const float value = rows->values[at * model->n_units + unit];
                const float should = number(run, row, STAT, unit);
                if (!(value == should || (isnan(value) && isnan(should)))) {
                    fail_msg("row %zu unit %zu: %g, not %g", row, unit, (double)value,
                        (double)should);
                }
            }
            at++;
        }
    }
    assert_int_equal(rows->n, at);
}

/* ---- all rows ---- */

static void rows_are_all_readings_in_order_of_arrival_however_they_are_stored(void **state)
{
    static const struct {
        uint32_t n_units;
        size_t n_rows;
    } sizes[] = {{1, 1500}, {7, 1500}, {700, 2300}, {3000, 120}};
    for (size_t i = 0; i < BARO_LEN(sizes); i++) {
        struct model *model = make_model(state, sizes[i].n_units);
        const struct sample_source source = source_of(model);
        struct sample_rows rows = {0};
        for (size_t turn = 0; model->n[0] < sizes[i].n_rows; turn++) {
            append(model, 0, 1 + rig_random(&model->random) % (sizes[i].n_rows / 2));
            if (turn % 3 != 1) { /* now and then new ones lie in the tail only */
                rig_seal(model->rig);
            }
            read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
            expect_rows(&rows, &source, model, INT64_MIN, INT64_MAX);
        }
        sample_rows_finish(&rows);
        rig_close(model->rig);
        (void)rig_teardown(state);
        free(model);
        (void)rig_setup(state);
    }
    rig_open(*state);
}

static void a_range_of_steps_and_what_a_run_branched_from_are_followed(void **state)
{
    struct model *model = make_model(state, 300);
    append(model, 0, 400);
    append(model, 1, 200);
    rig_seal(model->rig);
    append(model, 1, 50);
    struct sample_source source = source_of(model);
    const int64_t most = model->steps[0][399];
    struct sample_rows rows = {0};
    read_all(&rows, &source, model, most / 4, most / 2);
    expect_rows(&rows, &source, model, most / 4, most / 2);
    sample_rows_finish(&rows);
    source.n_parts = 2;
    source.parts[0].to_step = most / 3;
    source.parts[1] = (struct lineage_part){2, THING, INT64_MAX};
    read_all(&rows, &source, model, 3, INT64_MAX);
    expect_rows(&rows, &source, model, 3, INT64_MAX);
    append(model, 1, 20); /* the second one goes on */
    read_all(&rows, &source, model, 3, INT64_MAX);
    expect_rows(&rows, &source, model, 3, INT64_MAX);
    sample_rows_finish(&rows);
    read_all(&rows, &source, model, most * 2, most * 3); /* where there is nothing */
    assert_int_equal(rows.n, 0);
    assert_false(rows.is_off);
    sample_rows_finish(&rows);
    free(model);
}

static void too_many_rows_are_not_kept(void **state)
{
    struct model *model = make_model(state, 1);
    const struct sample_source source = source_of(model);
    struct sample_rows rows = {0};
    for (size_t n = 0; n <= MOST_ROWS;) {
        model->n[0] = 0;
        append(model, 0, MOST_ROWS - n < MAX_ROWS ? MOST_ROWS - n + 1 : MAX_ROWS);
        n += model->n[0];
        read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
        assert_int_equal(rows.is_off, n > MOST_ROWS);
        assert_int_equal(rows.n, n > MOST_ROWS ? 0 : n);
    }
    assert_null(rows.values);
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX); /* and it stays so */
    assert_true(rows.is_off);
    assert_true(sample_rows_bytes(65536) <= (48 << 20) + (4 << 10));
    assert_true(sample_rows_bytes(1) < 1 << 20);
    sample_rows_finish(&rows);
    free(model);
}

static void pruned_rows_are_left_to_the_store(void **state)
{
    struct model *model = make_model(state, 40);
    append(model, 0, MAX_ROWS);
    rig_seal(model->rig);
    assert_true(store_seal_run(model->rig->store, 1, NULL) >= 0);
    const uint32_t run = 1;
    const struct store_prune what = {
        .to_bytes = 1, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_READINGS};
    assert_true(store_prune(model->rig->store, &what, NULL, NULL, NULL) >= 0);
    struct store_group_info info;
    assert_int_equal(
        store_group(model->rig->store, 1, THING, READING_UNITS, &info, NULL), 1);
    assert_true(info.n_pruned > 0);
    const struct sample_source source = source_of(model);
    struct sample_rows rows = {0};
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
    assert_true(rows.is_off);
    sample_rows_finish(&rows);
    free(model);
}

/* Change bytes all over the first chunk. */
static void damage_chunk(struct rig *rig)
{
    uint8_t key[KEY_CHUNK_BYTES];
    size_t n_bytes = 0;
    struct raw raw;
    rig_close(rig);
    raw_open(&raw, rig, "chunk");
    uint8_t *bytes = raw_chunk(&raw, THING, READING_UNITS, 0, 0, 0, key, &n_bytes);
    for (size_t i = n_bytes / 8; i < n_bytes; i += 64) {
        bytes[i] ^= 4;
    }
    raw_put(&raw, key, sizeof key, bytes, n_bytes);
    raw_close(&raw);
    free(bytes);
    rig_open(rig);
}

static void damaged_rows_are_left_to_the_store(void **state)
{
    struct model *model = make_model(state, 40);
    append(model, 0, MAX_ROWS);
    rig_seal(model->rig);
    const struct sample_source source = source_of(model);
    struct sample_rows rows = {0};
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
    expect_rows(&rows, &source, model, INT64_MIN, INT64_MAX);
    sample_rows_finish(&rows);
    damage_chunk(model->rig);
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
    assert_true(rows.is_off);
    sample_rows_finish(&rows);
    free(model);
}

/* ---- columns ---- */

static bool is_same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) < 1e-9 * fabs(a);
}

/* One unit's columns, reading by reading. */
static void expect_columns(const struct model *model, size_t from_row,
    const struct column_cut *cut, uint32_t unit, const struct column *columns)
{
    baro_autofree struct column *should = baro_xcalloc(cut->n_columns, sizeof *should);
    for (size_t row = from_row; row < model->n[0]; row++) {
        const uint32_t c = columns_find(cut, model->steps[0][row]);
        if (c < cut->n_columns) {
            column_add(
                &should[c], model->steps[0][row], (double)number(0, row, STAT, unit));
        }
    }
    for (uint32_t c = 0; c < cut->n_columns; c++) {
        column_finish(&should[c]);
        assert_int_equal(columns[c].count, should[c].count);
        assert_int_equal(columns[c].n_nan, should[c].n_nan);
        assert_int_equal(columns[c].n_neg_inf, should[c].n_neg_inf);
        assert_true(is_same(columns[c].min, should[c].min));
        assert_true(is_same(columns[c].max, should[c].max));
        assert_true(is_same(columns[c].mean, should[c].mean));
        if (should[c].count > 0) {
            assert_int_equal(columns[c].first_step, should[c].first_step);
            assert_int_equal(columns[c].last_step, should[c].last_step);
            assert_true(is_same(columns[c].first, should[c].first));
            assert_true(is_same(columns[c].last, should[c].last));
        }
    }
}

static void columns_of_rows_are_those_of_their_readings_one_by_one(void **state)
{
    enum { N = 50, N_SOME = 19 };
    struct model *model = make_model(state, N);
    append(model, 0, 700);
    const struct sample_source source = source_of(model);
    struct sample_rows rows = {0};
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
    for (int trial = 0; trial < 40; trial++) {
        const int64_t a = (int64_t)(rig_random(&model->random) % 900) - 50;
        const int64_t b = a + (int64_t)(rig_random(&model->random) % 900);
        uint32_t n_columns = 1 + (uint32_t)(rig_random(&model->random) % 96);
        n_columns = (int64_t)n_columns > b - a + 1 ? (uint32_t)(b - a + 1) : n_columns;
        const size_t from = trial % 2 == 0 ? 0 : rig_random(&model->random) % 700;
        const struct column_cut cut = columns_cut(a, b, n_columns);
        uint32_t some[N_SOME];
        for (uint32_t i = 0; i < N_SOME; i++) {
            some[i] = (uint32_t)(rig_random(&model->random) % N);
        }
        const bool is_list = trial % 3 == 0;
        const uint32_t first = (uint32_t)(rig_random(&model->random) % (N - N_SOME));
        baro_autofree struct column *out =
            baro_xcalloc((size_t)N_SOME * n_columns, sizeof *out);
        const size_t n_in = sample_rows_columns(
            &rows, from, &cut, is_list ? some : NULL, first, N_SOME, out);
        size_t should = 0;
        for (size_t row = from; row < model->n[0]; row++) {
            should += columns_find(&cut, model->steps[0][row]) < n_columns;
        }
        assert_int_equal(n_in, should);
        for (uint32_t i = 0; i < N_SOME; i++) {
            expect_columns(model, from, &cut, is_list ? some[i] : first + i,
                out + (size_t)i * n_columns);
        }
    }
    sample_rows_finish(&rows);
    free(model);
}

/* Shown units' columns: from kept rows, from the store, and some taken from a table before. */
static void a_table_has_the_same_columns_wherever_they_come_from(void **state)
{
    enum { N = 200, N_SHOWN = 60 };
    struct model *model = make_model(state, N);
    append(model, 0, 600);
    rig_seal(model->rig);
    const struct sample_source source = source_of(model);
    struct sample_rows rows = {0};
    read_all(&rows, &source, model, INT64_MIN, INT64_MAX);
    uint32_t shown[N_SHOWN];
    for (uint32_t i = 0; i < N_SHOWN; i++) {
        shown[i] = i * 37 % N; /* each once, in no order */
    }
    struct sample_table before = {0};
    for (int from_store = 0; from_store < 2; from_store++) {
        for (int64_t to = 300; to <= 900; to += 200) {
            struct column_cut cut;
            assert_true(sample_cut_growing(INT64_MIN, 0, to, 128, &cut));
            assert_true(cut.n_columns <= 128 && cut.n_columns > 64);
            struct sample_table table;
            struct sample_tally tally = {0};
            sample_table_init(&table, shown, N_SHOWN - (to == 900 ? 7 : 0), &cut);
            sample_table_take(&table, &before);
            int rc = 1;
            while (rc == 1) {
                rc = sample_table_step(&table, from_store != 0 ? NULL : &rows, &source,
                    model->rig->store, &tally, NULL);
            }
            assert_int_equal(rc, 0);
            assert_int_equal(tally.n_coarse, 0);
            for (size_t i = 0; i < table.n; i++) {
                expect_columns(model, 0, &table.cut, table.units[i],
                    table.columns + i * table.cut.n_columns);
            }
            sample_table_finish(&before);
            before = table;
        }
    }
    sample_table_finish(&before);
    sample_rows_finish(&rows);
    free(model);
}

/* ---- a glance ---- */

static void a_glance_has_true_readings_from_everywhere(void **state)
{
    struct model *model = make_model(state, 1000);
    append(model, 0, 1500);
    rig_seal(model->rig);
    append(model, 0, 100);
    struct sample_source source = source_of(model);
    struct sample_glance glance = {0};
    assert_true(
        sample_glance_begin(&glance, &source, model->rig->store, INT64_MIN, INT64_MAX));
    assert_int_equal(glance.n_units, 192);
    int rc = 1;
    for (int i = 0; rc == 1; i++) {
        rc = sample_glance_step(
            &glance, &source, model->rig->store, INT64_MIN, INT64_MAX, NULL);
        assert_true(i < 64);
    }
    assert_int_equal(rc, 0);
    const struct sample_rows *rows = &glance.rows;
    assert_in_range(rows->n, 8, 16);
    for (size_t i = 0; i < rows->n; i++) {
        bool is_there = false; /* a step may come twice: one of them it is */
        for (size_t row = 0; row < model->n[0] && !is_there; row++) {
            is_there = model->steps[0][row] == rows->steps[i];
            for (uint32_t k = 0; is_there && k < glance.n_units; k++) {
                const float value = rows->values[i * glance.n_units + k];
                const float should = number(0, row, STAT, glance.units[k]);
                is_there = value == should || (isnan(value) && isnan(should));
            }
        }
        assert_true(is_there);
        assert_true(i == 0 || rows->steps[i] > rows->steps[i - 1]);
    }
    assert_true(rows->steps[0] <= 3 && rows->steps[rows->n - 1] >= 1400);
    sample_glance_finish(&glance);
    source.n_parts = 2; /* a branch is read whole */
    source.parts[1] = source.parts[0];
    assert_false(
        sample_glance_begin(&glance, &source, model->rig->store, INT64_MIN, INT64_MAX));
    source.n_parts = 1;
    source.n_units = 100;
    assert_false(
        sample_glance_begin(&glance, &source, model->rig->store, INT64_MIN, INT64_MAX));
    sample_glance_finish(&glance);
    free(model);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rows_are_all_readings_in_order_of_arrival_however_they_are_stored),
        CASE(a_range_of_steps_and_what_a_run_branched_from_are_followed),
        CASE(too_many_rows_are_not_kept),
        CASE(pruned_rows_are_left_to_the_store),
        CASE(damaged_rows_are_left_to_the_store),
        CASE(columns_of_rows_are_those_of_their_readings_one_by_one),
        CASE(a_table_has_the_same_columns_wherever_they_come_from),
        CASE(a_glance_has_true_readings_from_everywhere),
    };
    return cmocka_run_group_tests_name("sample_rows", tests, NULL, NULL);
}
