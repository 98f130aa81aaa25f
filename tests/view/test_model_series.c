/* SPDX-License-Identifier: Apache-2.0 */
/* Grids, strips and sheets against brute force. */
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "client/model/grid.h"
#include "client/model/hist.h"
#include "client/model/model.h"
#include "client/model/sheet.h"
#include "client/model/strip.h"
#include "client/model/texts.h"

static uint64_t seed = 1;

static double random_value(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    double value = (double)(seed >> 40) / 1000 - 5000;
    switch ((seed >> 20) % 23) {
    case 0: return (double)NAN;
    case 1: return (double)INFINITY;
    case 2: return (double)-INFINITY;
    default: return value;
    }
}

static void a_grid_covers_its_range_with_at_most_as_many_columns_as_asked(void **state)
{
    (void)state;
    for (int64_t from = -70; from < 70; from += 7) {
        for (int64_t to = from; to < from + 5000; to = to * 2 - from + 3) {
            for (uint32_t columns = 2; columns < 300; columns = columns * 3 + 1) {
                struct grid grid = grid_cover(from, to, columns);
                assert_true(grid.n_columns >= 1 && grid.n_columns <= columns);
                assert_true(grid.from <= from && grid_to(grid) >= to);
                assert_int_equal(grid.from % grid.width, 0);
                assert_int_equal(grid.width & (grid.width - 1), 0);
                if (grid.width > 1) { /* half as wide would have been too many */
                    int64_t half = grid.width / 2;
                    assert_true(grid_column(half, to) - grid_column(half, from) + 1 >
                                (int64_t)columns);
                }
            }
        }
    }
}

static void a_step_keeps_its_column_when_the_range_grows(void **state)
{
    (void)state;
    struct grid a = grid_cover(0, 1000, 256);
    struct grid b = grid_cover(0, 1023, 256);
    assert_int_equal(a.width, b.width);
    for (int64_t step = 0; step <= 1000; step++) {
        assert_int_equal(grid_column(a.width, step), grid_column(b.width, step));
    }
    assert_int_equal(grid_column(4, -1), -1);
    assert_int_equal(grid_column(4, -4), -1);
    assert_int_equal(grid_column(4, -5), -2);
}

/* All readings of one bin, the slow way. */
static struct wire_column brute(const double *values, int64_t n, int64_t width, int64_t bin)
{
    struct wire_column column = {.min = (double)INFINITY, .max = (double)-INFINITY};
    double sum = 0;
    uint32_t n_finite = 0;
    for (int64_t step = bin * width; step < (bin + 1) * width && step < n; step++) {
        double value = values[step];
        column.count++;
        column.n_nan += isnan(value) ? 1 : 0;
        column.n_pos_inf += isinf(value) && value > 0 ? 1 : 0;
        column.n_neg_inf += isinf(value) && value < 0 ? 1 : 0;
        if (isfinite(value)) {
            n_finite++;
            sum += value;
            column.min = fmin(column.min, value);
            column.max = fmax(column.max, value);
        }
    }
    column.mean = n_finite > 0 ? sum / n_finite : (double)NAN;
    column.first_step = bin * width;
    column.last_step = (bin + 1) * width < n ? (bin + 1) * width - 1 : n - 1;
    return column;
}

static void assert_column(const struct wire_column *is, const struct wire_column *should)
{
    assert_int_equal(is->first_step, should->first_step);
    assert_int_equal(is->last_step, should->last_step);
    assert_int_equal(is->count, should->count);
    assert_int_equal(is->n_nan, should->n_nan);
    assert_int_equal(is->n_pos_inf, should->n_pos_inf);
    assert_int_equal(is->n_neg_inf, should->n_neg_inf);
    if (isnan(should->mean)) {
        assert_true(isnan(is->mean) && isnan(is->min) && isnan(is->max));
        return;
    }
    assert_true(is->min >= should->min && is->min <= should->min);
    assert_true(is->max >= should->max && is->max <= should->max);
    assert_true(fabs(is->mean - should->mean) < 1e-9 * (1 + fabs(should->mean)));
}

static void live_readings_merge_as_brute_force_says(void **state)
{
    (void)state;
    enum { N = 1000 };
    double values[N];
    for (int i = 0; i < N; i++) {
        values[i] = random_value();
    }
    for (int64_t width = 1; width <= 64; width *= 4) {
        struct strip strip = {0};
        strip_load(&strip, width, NULL, 0);
        for (int i = 0; i < N; i++) {
            assert_true(strip_add(&strip, i, values[i]));
        }
        assert_int_equal(strip.n, (N + width - 1) / width);
        for (size_t i = 0; i < strip.n; i++) {
            struct wire_column should = brute(values, N, width, (int64_t)i);
            assert_column(&strip.columns[i], &should);
        }
        strip_finish(&strip);
    }
}

/* The answer to a question holds less than has come live since: nothing may be lost, nothing
 * counted twice, whatever the order. */
static void history_and_live_readings_join_without_loss_or_repeat(void **state)
{
    (void)state;
    enum { N = 600 };
    double values[N];
    for (int i = 0; i < N; i++) {
        values[i] = random_value();
    }
    for (int committed = 1; committed < N; committed += 61) {
        for (int when = committed; when <= N; when += 97) {
            struct strip strip = {0};
            int live = committed - 20 > 0 ? committed - 20 : 0; /* subscribed earlier */
            for (; live < when; live++) {
                (void)strip_add(&strip, live, values[live]);
            }
            struct wire_column history[N];
            for (int i = 0; i < committed; i++) {
                history[i] = strip_column(i, values[i]);
            }
            strip_load(&strip, 1, history, (size_t)committed);
            for (; live < N; live++) {
                assert_true(strip_add(&strip, live, values[live]));
            }
            assert_int_equal(strip.n, N);
            for (int i = 0; i < N; i++) {
                struct wire_column should = brute(values, N, 1, i);
                assert_column(&strip.columns[i], &should);
            }
            strip_finish(&strip);
        }
    }
}

static void a_step_that_goes_back_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct strip strip = {0};
    strip_load(&strip, 1, NULL, 0);
    assert_true(strip_add(&strip, 10, 1));
    assert_true(strip_add(&strip, 10, 2)); /* the same step again is kept */
    assert_int_equal(strip.columns[0].count, 2);
    assert_false(strip_add(&strip, 9, 3));
    assert_int_equal(strip.n, 1);
    assert_int_equal(strip_last_step(&strip), 10);
    strip_finish(&strip);
}

/* Reads series while their strip goes on, as the window does of what the keeper writes. */
enum { N_SERIES = 40, SERIES_EVERY = 7 };

struct reading_along {
    const double *values;
    _Atomic(struct model_series *) series[N_SERIES];
    int n_wrong;
};

static void *read_along(void *arg)
{
    struct reading_along *along = arg;
    for (int k = 0; k < N_SERIES;) {
        struct model_series *series = along->series[k];
        if (series == NULL) {
            continue;
        }
        size_t n_readings = (size_t)(k + 1) * SERIES_EVERY;
        along->n_wrong += series->n != (n_readings + 2) / 3;
        for (size_t i = 0; i < series->n; i++) {
            struct wire_column should =
                brute(along->values, (int)n_readings, 3, (int64_t)i);
            along->n_wrong += model_column(series, i)->count != should.count;
            along->n_wrong += model_column(series, i)->last_step != should.last_step;
        }
        part_unref(series);
        k++;
    }
    return NULL;
}

static void a_series_stays_as_it_was_while_its_strip_goes_on(void **state)
{
    (void)state;
    enum { N = N_SERIES * SERIES_EVERY };
    double values[N];
    for (size_t i = 0; i < N; i++) {
        values[i] = random_value();
    }
    struct reading_along along = {.values = values};
    struct strip strip = {0};
    pthread_t thread;
    strip_load(&strip, 3, NULL, 0);
    assert_int_equal(pthread_create(&thread, NULL, read_along, &along), 0);
    uint64_t lineage = strip.lineage;
    for (size_t i = 0; i < N; i++) {
        assert_true(strip_add(&strip, (int64_t)i, values[i]));
        if (i % SERIES_EVERY == SERIES_EVERY - 1) {
            along.series[i / SERIES_EVERY] = strip_publish(&strip);
        }
    }
    (void)pthread_join(thread, NULL);
    assert_int_equal(along.n_wrong, 0);
    assert_int_equal(strip.lineage, lineage);
    strip_load(&strip, 3, NULL, 0);
    assert_int_not_equal(strip.lineage, lineage);
    strip_finish(&strip);
}

static void a_sheet_keeps_every_unit_and_its_flags(void **state)
{
    (void)state;
    enum { UNITS = 5, N = 40 };
    struct sheet sheet;
    sheet_init(&sheet, UNITS);
    struct wire_column columns[UNITS * N] = {0};
    for (int unit = 0; unit < UNITS; unit++) {
        for (int i = 0; i < 20; i += 2) { /* every second column is empty */
            columns[unit * N + i] = strip_column(i, unit * 100 + i);
        }
    }
    float values[UNITS];
    float bad[UNITS] = {0};
    for (int step = 15; step < 30; step++) { /* some of them are in the history, too */
        for (int unit = 0; unit < UNITS; unit++) {
            values[unit] = (float)(unit * 100 + step);
        }
        values[4] = step == 25 ? NAN : values[4];
        bad[2] = step == 26 ? 1 : 0;
        (void)sheet_add(&sheet, step, values, bad);
    }
    sheet_load(&sheet, 1, N, columns, NULL);
    assert_int_equal(sheet.n, 10 + 11); /* 0, 2, .. 18 and 19 .. 29 */
    for (size_t i = 0; i < sheet.n; i++) {
        int64_t step = sheet.columns[i].first_step;
        for (int unit = 0; unit < UNITS; unit++) {
            const struct sheet_cell *cell = &sheet.cells[i * UNITS + (size_t)unit];
            bool is_nan = unit == 4 && step == 25;
            bool is_hit = is_nan || (unit == 2 && step == 26);
            assert_int_equal(cell->flags, is_hit ? SHEET_NAN : 0);
            assert_int_equal(isnan(cell->mean), is_nan);
            if (!is_nan) {
                assert_int_equal((int)cell->mean, unit * 100 + (int)step);
            }
        }
    }
    sheet_finish(&sheet);
}

static void a_text_is_kept_once(void **state)
{
    (void)state;
    struct texts *texts = texts_create();
    const char *kept[2000];
    char name[32];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "layer.%d.weight", i);
        kept[i] = texts_keep(texts, name);
    }
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "layer.%d.weight", i);
        assert_ptr_equal(texts_keep(texts, name), kept[i]);
        assert_string_equal(kept[i], name);
    }
    assert_string_equal(texts_keep(texts, NULL), "");
    texts_destroy(texts);
}

static void histograms_of_a_long_run_are_thinned_and_cover_all_of_it(void **state)
{
    (void)state;
    struct hist hist = {.every = hist_every(0, 99999)};
    double stats[SUMMARY_STAT_COUNT] = {0};
    struct reading summary = {.n_f64 = SUMMARY_STAT_COUNT, .f64 = stats};
    assert_int_equal(hist.every, 256);
    assert_int_equal(hist_every(5, 5), 1);
    for (int64_t step = 0; step < 1000000; step += 7) { /* it goes on, ten times as long */
        summary.header.step = step;
        stats[SUMMARY_COUNT] = 4;
        stats[SUMMARY_N_ZERO] = step % 2 == 0 ? 4 : 1;
        hist_add(&hist, &summary);
        assert_true(hist.n <= HIST_MAX_ROWS);
    }
    struct model_hist *part = hist_publish(&hist, 1);
    assert_int_equal(part->every, 2048);
    assert_int_equal(part->n, 1000000 / 2048 + 1);
    assert_int_equal(part->steps[part->n - 1], 999999 - 999999 % 7);
    for (size_t i = 0; i < part->n; i++) { /* the last of each turn, and its own numbers */
        assert_int_equal(part->steps[i] / 2048, i);
        assert_true(i + 1 == part->n || (part->steps[i] + 7) / 2048 > (int64_t)i);
        float zeros = part->steps[i] % 2 == 0 ? 1.0F : 0.25F;
        assert_true(fabsf(part->shares[i] - zeros) < 1e-6F); /* one bin each: zero */
    }
    part_unref(part);
    hist_finish(&hist);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grid_covers_its_range_with_at_most_as_many_columns_as_asked),
        cmocka_unit_test(a_step_keeps_its_column_when_the_range_grows),
        cmocka_unit_test(live_readings_merge_as_brute_force_says),
        cmocka_unit_test(history_and_live_readings_join_without_loss_or_repeat),
        cmocka_unit_test(a_step_that_goes_back_is_refused_and_changes_nothing),
        cmocka_unit_test(a_series_stays_as_it_was_while_its_strip_goes_on),
        cmocka_unit_test(a_sheet_keeps_every_unit_and_its_flags),
        cmocka_unit_test(a_text_is_kept_once),
        cmocka_unit_test(histograms_of_a_long_run_are_thinned_and_cover_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
