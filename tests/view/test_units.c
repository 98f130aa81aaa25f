/* SPDX-License-Identifier: Apache-2.0 */
/* The units on the tensor page: what is asked for, what is shown, and what the hand does. */
#include "tests/testing.h"

#include <math.h>

#include "client/view/input.h"
#include "client/view/units.h"
#include "lib/base/mem.h"
#include "tests/view/stage.h"

static void begin(struct stage *stage, const char *tensor, uint32_t every)
{
    stage_begin(stage, 1440, 900);
    stage->oracle.bad_step = INT64_MAX;
    stage->oracle.every = every;
    stage->view->page = VIEW_TENSOR;
    stage->view->wanted_tensor = tensor;
    oracle_connect(stage->keeper);
    stage_draw(stage);
}

static const struct chart_layout *layout_of(const struct stage *stage)
{
    assert_true(stage->view->units_slot >= 0);
    return &stage->view->slots[stage->view->units_slot].layout;
}

/* Drag with ctrl over a rectangle in data. */
static void brush(struct stage *stage, double from, double to, double lo, double hi)
{
    struct chart_layout layout = *layout_of(stage);
    float x = chart_px_of_x(&layout, from);
    float y = chart_px_of_y(&layout, hi);
    stage->view->has_ctrl = true;
    (void)input_down(stage->view, x, y, INPUT_MAIN, 1);
    x = chart_px_of_x(&layout, to);
    y = chart_px_of_y(&layout, lo);
    (void)input_move(stage->view, x, y);
    stage_draw(stage);
    (void)input_up(stage->view, stage->model, x, y, INPUT_MAIN);
    stage->view->has_ctrl = false;
    (void)input_leave(stage->view);
    stage_draw(stage);
}

/* ---- asking ---- */

static void the_picture_is_asked_for_the_very_chart_and_asked_anew_by_zooming(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 1);
    const struct oracle *oracle = &stage.oracle;
    const struct chart_layout *layout = layout_of(&stage);
    assert_int_equal(oracle->asked.thing, ORACLE_ACT);
    assert_int_equal(oracle->asked.stat, UNIT_L2);
    assert_true(fabs((double)layout->plot.w - oracle->asked.columns) < 64);
    assert_true(fabs((double)layout->plot.h - oracle->asked.height) < 32);
    assert_int_equal(oracle->asked.axis, layout->y.kind);
    uint64_t n = oracle->n_samples;
    stage_draw(&stage);
    assert_int_equal(oracle->n_samples, n); /* nothing has changed */
    view_set_range(stage.view, 100, 200);
    stage_draw(&stage);
    assert_true(oracle->n_samples > n);
    assert_true(oracle->n_cancels > 0);
    assert_int_equal(oracle->asked.from_step, 100);
    assert_int_equal(oracle->asked.to_step, 200);
    assert_int_equal(oracle->asked.n_keep, ORACLE_UNITS); /* who was shown may stay */
    n = oracle->n_samples;
    struct draw_rect plot = layout_of(&stage)->plot;
    (void)input_move(stage.view, plot.x + 5, plot.y + 5);
    (void)input_char(stage.view, stage.model, "l");
    stage_draw(&stage);
    assert_true(oracle->n_samples > n);
    assert_int_equal(oracle->asked.axis, AXIS_LOG);
    stage_end(&stage);
}

static void a_dragged_out_stretch_of_values_is_asked_for_exactly(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 1);
    struct draw_rect plot = layout_of(&stage)->plot;
    stage.view->has_shift = true;
    (void)input_down(stage.view, plot.x + 20, plot.y + 20, INPUT_MAIN, 1);
    (void)input_move(stage.view, plot.x + 220, plot.y + 90);
    (void)input_up(stage.view, stage.model, plot.x + 220, plot.y + 90, INPUT_MAIN);
    stage_draw(&stage);
    const struct axis *y = &layout_of(&stage)->y;
    assert_true(stage.oracle.asked.has_limits);
    assert_float_equal(stage.oracle.asked.lo, y->lo, 1e-9);
    assert_float_equal(stage.oracle.asked.hi, y->hi, 1e-9);
    stage_end(&stage);
}

static void how_far_the_choice_is_and_what_has_no_place_is_said(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.fraction = 0.4;
    stage.oracle.every = 2;
    stage.view->page = VIEW_TENSOR;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "8 of 16 units · refining 40 %"));
    assert_false(stage.model->is_complete);
    stage.oracle.fraction = 0;
    oracle_find(&stage.oracle, stage.keeper, true);
    stage_draw(&stage);
    assert_false(stage_says(&stage, "refining"));
    assert_true(stage.model->is_complete);
    stage_end(&stage);
}

static void a_daemon_that_cannot_choose_is_told_in_the_chart(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.refuses_samples = true;
    stage.view->page = VIEW_TENSOR;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "this daemon does not choose units"));
    assert_true(stage.model->is_complete);
    stage_end(&stage);
}

/* ---- the hand ---- */

static void a_click_on_a_line_lists_the_units_that_it_stands_for(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 4);
    const struct chart_layout *layout = layout_of(&stage);
    float x = chart_px_of_x(layout, 200);
    double value = oracle_value(&stage.oracle, ORACLE_ACT, READING_UNITS, UNIT_L2, 8, 200);
    float y = chart_px_of_y(layout, value);
    (void)input_move(stage.view, x, y);
    stage_draw(&stage);
    assert_int_equal(stage.view->unit_hover, 8);
    assert_true(stage_says(&stage, "stands for 3 units like it"));
    assert_true(stage_says(&stage, "of 16 by value"));
    (void)input_down(stage.view, x, y, INPUT_MAIN, 1);
    stage_draw(&stage); /* a frame may well come between */
    (void)input_up(stage.view, stage.model, x, y, INPUT_MAIN);
    (void)input_leave(stage.view);
    stage_draw(&stage);
    assert_int_equal(stage.view->unit, 8);
    stage_assert_golden(&stage, "unit");
    assert_true(stage_says(&stage, "3 units are like it"));
    for (int unit = 9; unit < 12; unit++) {
        char name[16];
        (void)snprintf(name, sizeof name, "unit %d", unit);
        assert_true(stage_says(&stage, name));
    }
    stage_assert_golden(&stage, "unit");
    for (size_t i = 0; i < stage.view->n_zones; i++) { /* a member is one click away */
        const struct view_zone zone = stage.view->zones[i];
        if (zone.act == VIEW_SHOW_UNIT && zone.a == 10) {
            float middle = zone.rect.y + zone.rect.h / 2;
            (void)input_down(stage.view, zone.rect.x + 9, middle, INPUT_MAIN, 1);
            (void)input_up(stage.view, stage.model, zone.rect.x + 9, middle, INPUT_MAIN);
            break;
        }
    }
    stage_draw(&stage);
    assert_int_equal(stage.view->unit, 10);
    assert_true(stage_says(&stage, "stands for them"));
    stage_end(&stage);
}

static void a_brush_marks_exactly_the_units_that_pass_the_rectangle(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 1);
    const double from = 50;
    const double to = 60;
    const double lo = 1.58;
    const double hi = 1.83;
    brush(&stage, from, to, lo, hi);
    size_t n = 0;
    for (int unit = 0; unit < ORACLE_UNITS; unit++) {
        double least = (double)INFINITY;
        double most = (double)-INFINITY;
        for (int64_t step = (int64_t)from; step <= (int64_t)to; step++) {
            double value =
                oracle_value(&stage.oracle, ORACLE_ACT, READING_UNITS, UNIT_L2, unit, step);
            least = fmin(least, value);
            most = fmax(most, value);
        }
        bool passes = most >= lo && least <= hi;
        /* a pixel is 0.01 high: what touches the edge by less may be either */
        bool is_clear = fabs(most - lo) > 0.02 && fabs(least - hi) > 0.02;
        n += marks_has(&stage.view->marks, (uint32_t)unit) ? 1 : 0;
        if (is_clear && passes != marks_has(&stage.view->marks, (uint32_t)unit)) {
            fail_msg("unit %d: %g to %g", unit, least, most);
        }
    }
    assert_int_equal(n, stage.view->marks.n);
    assert_true(n > 1 && n < 8);
    assert_false(stage.view->marks.is_guess);
    stage_end(&stage);
}

static void marks_hold_in_every_role_and_statistic_until_esc(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1.weight:weight", 1);
    struct view *view = stage.view;
    brush(&stage, 50, 60, 1.58, 1.83);
    size_t n = view->marks.n;
    assert_true(n > 0);
    size_t n_charts = 0;
    for (size_t i = 0; i < view->n_zones; i++) { /* one for each role */
        bool is_small = view->zones[i].act == VIEW_CHART && view->zones[i].b != 0;
        uint32_t of = is_small ? (uint32_t)view->zones[i].b : 0;
        n_charts += of == ORACLE_WEIGHT || of == ORACLE_GRAD ||
                    of == ORACLE_ACT; /* has another name, is of the same layer */
    }
    assert_int_equal(n_charts, 3);
    stage_assert_golden(&stage, "brush");
    (void)input_char(view, stage.model, "s");
    stage_draw(&stage);
    assert_int_equal(view->marks.n, n);
    for (size_t i = 0; i < view->n_zones; i++) {
        if (view->zones[i].act == VIEW_PICK_THING && view->zones[i].a == ORACLE_ACT) {
            struct draw_rect rect = view->zones[i].rect;
            (void)input_down(view, rect.x + 5, rect.y + 5, INPUT_MAIN, 1);
            (void)input_up(view, stage.model, rect.x + 5, rect.y + 5, INPUT_MAIN);
            break;
        }
    }
    (void)input_leave(view);
    stage_draw(&stage);
    assert_int_equal(view->thing, ORACLE_ACT);
    assert_true(stage_says(&stage, "marked"));
    assert_int_equal(view->marks.n, n);
    (void)input_key(view, stage.model, INPUT_ESCAPE, false);
    stage_draw(&stage);
    assert_int_equal(view->marks.n, 0);
    assert_false(stage_says(&stage, "marked first"));
    stage_end(&stage);
}

static void without_a_sheet_the_units_like_a_brushed_line_are_marked_with_it(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 4);
    struct view_brush rect = {true, 0, 400, -10, 1.3}; /* unit 0 alone is that low */
    struct model_units none = {0};
    stage.view->brush = rect;
    struct units units = {.thing = model_thing_find(stage.model, ORACLE_ACT),
        .stat = UNIT_L2,
        .sample = stage.model->sample,
        .sheet = &none};
    units_brush(stage.view, &units);
    assert_int_equal(stage.view->marks.n, 4);
    assert_true(stage.view->marks.is_guess);
    for (uint32_t unit = 0; unit < 4; unit++) {
        assert_true(marks_has(&stage.view->marks, unit));
    }
    stage_end(&stage);
}

static void any_unit_is_found_by_its_number_and_shown_alone(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 4);
    (void)input_char(stage.view, stage.model, "/");
    (void)input_char(stage.view, stage.model, "unit 13");
    stage_draw(&stage);
    assert_int_equal(stage.view->n_found, 1);
    (void)input_key(stage.view, stage.model, INPUT_ENTER, false);
    stage_draw(&stage);
    assert_int_equal(stage.view->unit, 13);
    assert_true(
        stage_says(&stage, "unit 13")); /* drawn, though it is not among the shown */
    (void)input_char(stage.view, stage.model, "d");
    stage_draw(&stage);
    assert_true(stage_says(&stage, "unit 13 alone · l2 norm"));
    stage_assert_golden(&stage, "unit_alone");
    (void)input_char(stage.view, stage.model, "d");
    stage_draw(&stage);
    assert_false(stage_says(&stage, "alone · l2 norm"));
    (void)input_char(stage.view, stage.model, "/");
    (void)input_char(stage.view, stage.model, "unit 16"); /* there are 16: the last is 15 */
    stage_draw(&stage);
    assert_int_equal(stage.view->n_found, 0);
    stage_end(&stage);
}

/* The most that a line of the flocks covers what is behind it. */
static float opacity_of(struct frame *f, const struct units *units)
{
    static struct units_picture picture;
    float most = 0;
    units_picture(f, units, &picture);
    for (size_t i = 0; i < picture.n_flocks; i++) {
        most = fmaxf(most, picture.flocks[i].alpha);
    }
    return most;
}

static void lines_that_cross_all_over_the_chart_are_fainter_than_calm_ones(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, "encoder.fc1", 1);
    struct frame f = {.view = stage.view,
        .list = stage.list,
        .theme = stage.view->theme,
        .model = stage.model};
    struct units units = {.thing = model_thing_find(stage.model, ORACLE_ACT),
        .stat = UNIT_L2,
        .sample = stage.model->sample};
    const float calm = opacity_of(&f, &units);
    struct model_sample noisy = *units.sample;
    const size_t n = noisy.n_shown * noisy.lines.n;
    baro_autofree float *mean = baro_xcalloc(n, sizeof *mean);
    for (size_t i = 0; i < n; i++) {
        mean[i] =
            (float)(noisy.y.lo + (noisy.y.hi - noisy.y.lo) * (double)(i * 7919 % 97) / 96);
    }
    noisy.lines.mean = mean;
    units.sample = &noisy;
    const float faint = opacity_of(&f, &units);
    assert_true(calm > 0.2F);
    assert_true(faint > 0.02F && faint < calm / 2);
    stage_end(&stage);
}

static void following_a_run_asks_rarely_and_live(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.bad_step = INT64_MAX;
    stage.oracle.status = BARO__RUN_STATUS__RUN_RUNNING;
    stage.view->page = VIEW_TENSOR;
    stage.view->wanted_tensor = "encoder.fc1";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.oracle.asked.is_live);
    view_set_range(stage.view, 200, 400);
    stage.view->is_live = true;
    stage_draw(&stage);
    uint64_t n = stage.oracle.n_samples;
    for (int64_t step = 400; step < 440; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
        stage_draw(&stage);
        assert_true(stage.oracle.asked.to_step >= step);
    }
    assert_true(stage.oracle.n_samples - n <= 4);
    assert_true(stage.oracle.asked.is_live);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_picture_is_asked_for_the_very_chart_and_asked_anew_by_zooming),
        cmocka_unit_test(a_dragged_out_stretch_of_values_is_asked_for_exactly),
        cmocka_unit_test(how_far_the_choice_is_and_what_has_no_place_is_said),
        cmocka_unit_test(a_daemon_that_cannot_choose_is_told_in_the_chart),
        cmocka_unit_test(a_click_on_a_line_lists_the_units_that_it_stands_for),
        cmocka_unit_test(a_brush_marks_exactly_the_units_that_pass_the_rectangle),
        cmocka_unit_test(marks_hold_in_every_role_and_statistic_until_esc),
        cmocka_unit_test(without_a_sheet_the_units_like_a_brushed_line_are_marked_with_it),
        cmocka_unit_test(any_unit_is_found_by_its_number_and_shown_alone),
        cmocka_unit_test(lines_that_cross_all_over_the_chart_are_fainter_than_calm_ones),
        cmocka_unit_test(following_a_run_asks_rarely_and_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
