/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The truth rule from end to end: readings go into a store, are sealed and summarised, come out
 * as the viewer's columns, become a line and pixels; and the pixels are compared with the
 * readings. At any zoom each column of steps has ink at its smallest and largest reading, and a
 * mark for each kind of non-finite one in it.
 */
#include "tests/view/scene.h"

#include "client/model/grid.h"
#include "client/model/part.h"
#include "client/model/strip.h"
#include "client/view/curves.h"
#include "client/view/inside.h"
#include "daemon/store/store.h"
#include "lib/base/reading.h"
#include "tests/unit/test_store_rig.h"

enum { N_READINGS = 60000, A_COMMIT = 997, N_ZOOMS = 60 };

/* All that was ever read, in order of arrival. */
struct truth {
    size_t n;
    int64_t step[N_READINGS];
    double value[N_READINGS];
};

enum shape { SHAPE_PLAIN, SHAPE_GAPS, SHAPE_BACK };

static double unit(uint64_t *seed)
{
    return (double)(rig_random(seed) >> 11) / 9007199254740992.0;
}

static int64_t next_step(enum shape shape, int64_t step, uint64_t *seed)
{
    double chance = unit(seed);
    if (shape == SHAPE_GAPS) {
        return step + (chance < 0.999 ? 1 : 1 + (int64_t)(unit(seed) * 40000));
    }
    if (shape == SHAPE_BACK) {
        return chance < 0.93   ? step + 1
               : chance < 0.97 ? step
                               : step - (int64_t)(unit(seed) * 300);
    }
    return step + 1;
}

/* A walk with spikes, NaN and infinities. */
static void fill(struct truth *truth, enum shape shape, uint64_t seed)
{
    int64_t step = -1000;
    double value = 0;
    truth->n = N_READINGS;
    for (size_t i = 0; i < truth->n; i++) {
        double odd = unit(&seed);
        step = next_step(shape, step, &seed);
        value += unit(&seed) - 0.5;
        truth->step[i] = step;
        truth->value[i] = odd < 0.0003   ? (double)NAN
                          : odd < 0.0006 ? (double)INFINITY
                          : odd < 0.0009 ? (double)-INFINITY
                          : odd < 0.0015 ? value + 300 * (unit(&seed) - 0.5)
                                         : value;
    }
}

static void store_all(struct rig *rig, const struct truth *truth)
{
    rig->options.seal_tail_bytes = 64 << 10;
    rig_open(rig);
    for (size_t i = 0; i < truth->n;) {
        struct store_txn *txn = store_begin(rig->store);
        for (size_t k = 0; k < A_COMMIT && i < truth->n; k++, i++) {
            rig_append(txn, 1, 1, truth->step[i], truth->value[i]);
        }
        rig_commit(txn);
        rig_seal(rig);
    }
}

/* Columns of a grid as the daemon gives them and the keeper takes them. */
static struct model_series *read_series(struct rig *rig, struct grid grid)
{
    struct column_cut cut = columns_cut(grid.from, grid_to(grid), grid.n_columns);
    struct store_query query = {.run = 1,
        .thing = 1,
        .kind = 1,
        .n_columns = 1,
        .from_step = grid.from,
        .to_step = grid_to(grid)};
    struct column *columns = baro_xcalloc(grid.n_columns, sizeof *columns);
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    assert_int_equal(
        store_read_columns(rig->store, &query, &cut, columns, &n_rows, &n_coarse, NULL), 0);
    assert_int_equal(n_coarse, 0);
    struct strip *strip = baro_xcalloc(1, sizeof *strip);
    for (uint32_t c = 0; c < grid.n_columns; c++) {
        column_finish(&columns[c]);
    }
    strip_load(strip, grid.width, (const struct wire_column *)(const void *)columns,
        grid.n_columns);
    struct model_series *series = strip_publish(strip);
    series->ref.kind = READING_SCALAR;
    strip_finish(strip);
    free(strip);
    free(columns);
    return series;
}

/* What the readings themselves say of one column of the grid. */
struct expected {
    int64_t first;
    int64_t last;
    double min;
    double max;
    bool has_nan;
    bool has_pos_inf;
    bool has_neg_inf;
    uint32_t count;
};

static void expect(struct expected *of, int64_t step, double value)
{
    of->first = of->count == 0 || step < of->first ? step : of->first;
    of->last = of->count == 0 || step > of->last ? step : of->last;
    of->count++;
    of->has_nan |= isnan(value);
    of->has_pos_inf |= isinf(value) && value > 0;
    of->has_neg_inf |= isinf(value) && value < 0;
    if (isfinite(value)) {
        of->min = isnan(of->min) || value < of->min ? value : of->min;
        of->max = isnan(of->max) || value > of->max ? value : of->max;
    }
}

static void check_extreme(
    const struct scene *scene, const struct expected *of, double value)
{
    int from = column_of(scene, (double)of->first);
    int to = column_of(scene, (double)of->last);
    if (value > scene->layout.y.hi || value < scene->layout.y.lo) {
        check_edge(scene, from, value > scene->layout.y.hi ? 1 : -1);
    } else if (!ink_between(scene, from, to, value)) {
        fail_msg("no ink for %g at steps %lld to %lld", value, (long long)of->first,
            (long long)of->last);
    }
}

static void check_pixels(const struct scene *scene, const struct truth *truth,
    struct grid grid, double lo, double hi)
{
    struct expected *expected = baro_xcalloc(grid.n_columns, sizeof *expected);
    for (uint32_t c = 0; c < grid.n_columns; c++) {
        expected[c].min = expected[c].max = (double)NAN;
    }
    for (size_t i = 0; i < truth->n; i++) {
        int64_t c = grid_column(grid.width, truth->step[i] - grid.from);
        if (c >= 0 && c < (int64_t)grid.n_columns) {
            expect(&expected[c], truth->step[i], truth->value[i]);
        }
    }
    for (uint32_t c = 0; c < grid.n_columns; c++) {
        const struct expected *of = &expected[c];
        if (of->count == 0 || (double)of->first < lo || (double)of->last > hi) {
            continue; /* nothing there, or partly outside of the view */
        }
        int at = column_of(scene, (double)of->first);
        if (!isnan(of->min)) {
            check_extreme(scene, of, of->min);
            check_extreme(scene, of, of->max);
        }
        if (of->has_nan) {
            check_edge(scene, at, (double)NAN);
        }
        if (of->has_pos_inf) {
            check_edge(scene, at, 1);
        }
        if (of->has_neg_inf) {
            check_edge(scene, at, -1);
        }
    }
    free(expected);
}

/* One zoom: lo and hi in steps, w logical pixels. */
static void check_zoom(
    struct rig *rig, const struct truth *truth, double lo, double hi, int w, float scale)
{
    struct grid grid =
        grid_cover((int64_t)floor(lo), (int64_t)ceil(hi), (uint32_t)((float)w * scale));
    struct model_series *series = read_series(rig, grid);
    struct view *view = baro_xcalloc(1, sizeof *view);
    struct font *font = font_open_fixed(scale);
    struct frame frame = {.view = view, .list = draw_create(font, 0)};
    view->lo = lo;
    view->hi = hi;
    draw_begin(frame.list, 10, 10, GROUND);
    struct chart_line line = frame_line(&frame, series, 0, INK);
    struct chart chart = {.lines = &line,
        .n_lines = 1,
        .sparkline = true,
        .x = {.lo = lo, .hi = hi},
        .cursor = (double)NAN};
    struct scene scene = draw_scene(&chart, w, 120, scale);
    check_pixels(&scene, truth, grid, lo, hi);
    free_scene(&scene);
    draw_destroy(frame.list);
    font_close(font);
    curves_destroy(view->curves);
    free(view);
    part_unref(series);
}

static void check_shape(struct rig *rig, enum shape shape)
{
    struct truth *truth = baro_xcalloc(1, sizeof *truth);
    uint64_t seed = 77 + (uint64_t)shape;
    fill(truth, shape, seed);
    store_all(rig, truth);
    int64_t first = INT64_MAX;
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < truth->n; i++) {
        first = truth->step[i] < first ? truth->step[i] : first;
        last = truth->step[i] > last ? truth->step[i] : last;
    }
    double all = (double)(last - first);
    for (int i = 0; i < N_ZOOMS; i++) {
        double width = i == 0 ? all : 20 + all * pow(10, -4 * unit(&seed));
        double lo = (double)first + (all - width) * (i == 0 ? 0 : unit(&seed));
        check_zoom(rig, truth, lo, lo + width, 60 + (int)(rig_random(&seed) % 900),
            i % 2 == 0 ? 1 : 2);
    }
    free(truth);
}

static void pixels_from_summaries_hold_each_spike_and_nan(void **state)
{
    check_shape(*state, SHAPE_PLAIN);
}

static void pixels_hold_them_where_steps_are_missing(void **state)
{
    check_shape(*state, SHAPE_GAPS);
}

static void pixels_hold_them_where_steps_repeat_and_go_back(void **state)
{
    check_shape(*state, SHAPE_BACK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        CASE(pixels_from_summaries_hold_each_spike_and_nan),
        CASE(pixels_hold_them_where_steps_are_missing),
        CASE(pixels_hold_them_where_steps_repeat_and_go_back),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
