/* SPDX-License-Identifier: Apache-2.0 */
/* What mouse and keyboard do to the pages. */
#include "tests/testing.h"

#include <math.h>

#include "client/view/input.h"
#include "client/view/inside.h"
#include "client/view/undo.h"
#include "lib/base/mem.h"
#include "tests/view/stage.h"

/* Middle of the first zone that does something. */
static bool find_zone(const struct view *view, enum view_act act, float *x, float *y)
{
    for (size_t i = 0; i < view->n_zones; i++) {
        const struct view_zone *zone = &view->zones[i];
        if (zone->act == act) {
            *x = zone->rect.x + zone->rect.w / 2;
            *y = zone->rect.y + zone->rect.h / 2;
            return true;
        }
    }
    return false;
}

static void dragging_in_a_chart_zooms_and_a_double_click_fits(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct view *view = stage.view;
    float x = 0;
    float y = 0;
    assert_true(find_zone(view, VIEW_CHART, &x, &y));
    (void)input_down(view, x - 40, y, INPUT_MAIN, 1);
    (void)input_move(view, x + 40, y);
    stage_draw(&stage);
    (void)input_up(view, stage.model, x + 40, y, INPUT_MAIN);
    assert_false(view->is_fit);
    assert_true(view->hi - view->lo < 100 && view->hi > view->lo);
    stage_draw(&stage);
    assert_true(stage.view->wish.from_step >= 0 && stage.view->wish.to_step < 400);
    double lo = view->lo;
    (void)input_down(
        view, x, y, INPUT_SECOND, 1); /* pan: what was under the pointer stays */
    (void)input_move(view, x + 30, y);
    (void)input_up(view, stage.model, x + 30, y, INPUT_SECOND);
    assert_true(view->lo < lo);
    (void)input_down(view, x, y, INPUT_MAIN, 2);
    (void)input_up(view, stage.model, x, y, INPUT_MAIN);
    assert_true(view->is_fit);
    stage_end(&stage);
}

static void the_wheel_keeps_the_step_under_the_pointer(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.status =
        BARO__RUN_STATUS__RUN_RUNNING; /* the axis reaches beyond the data */
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    float x = 0;
    float y = 0;
    assert_true(find_zone(stage.view, VIEW_CHART, &x, &y));
    (void)input_move(stage.view, x + 33, y);
    stage_draw(&stage);
    double before = stage.view->cursor;
    (void)input_wheel(stage.view, stage.model, 0, 1);
    (void)input_move(stage.view, x + 33, y);
    stage_draw(&stage);
    (void)input_move(stage.view, x + 33, y);
    assert_true(fabs(stage.view->cursor - before) <= 1);
    assert_false(stage.view->is_fit);
    stage_end(&stage);
}

static void keys_change_pages_alerts_themes_and_scales(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(input_char(stage.view, stage.model, "4"));
    assert_int_equal(stage.view->page, VIEW_ALERTS);
    assert_true(input_char(stage.view, stage.model, "]"));
    assert_int_equal(stage.view->page, VIEW_TENSOR);
    assert_int_equal(stage.view->unit, ORACLE_BAD_UNIT);
    assert_true(stage.view->lo < 310 && stage.view->hi > 310);
    assert_true(input_char(stage.view, stage.model, "t"));
    assert_false(stage.view->theme->dark);
    assert_true(input_key(stage.view, stage.model, INPUT_RIGHT, true));
    assert_true(stage.view->cursor >= 320 && stage.view->cursor <= 320);
    assert_true(input_char(stage.view, stage.model, "?"));
    stage_draw(&stage);
    stage_assert_golden(&stage, "keys");
    assert_false(input_char(stage.view, stage.model, "w"));
    stage_end(&stage);
}

static void a_training_is_asked_only_after_a_second_key(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct model_run *run =
        (struct model_run *)(uintptr_t)model_run_find(stage.model, stage.view->run);
    assert_true(input_char(stage.view, stage.model, "k"));
    assert_int_equal(stage.view->overlay, VIEW_PLAIN);
    assert_non_null(strstr(stage.view->notice, "is over"));
    run->status = BARO__RUN_STATUS__RUN_RUNNING;
    assert_true(input_char(stage.view, stage.model, "k"));
    assert_non_null(strstr(stage.view->notice, "looks at nothing"));
    run->is_steerable = true;
    assert_true(input_char(stage.view, stage.model, "k"));
    assert_int_equal(stage.view->overlay, VIEW_CONTROL);
    assert_true(
        input_key(stage.view, stage.model, INPUT_ENTER, false)); /* nothing is chosen */
    assert_false(stage.view->control.has_request);
    (void)input_char(stage.view, stage.model, "k");
    (void)input_char(stage.view, stage.model, "s");
    (void)input_key(stage.view, stage.model, INPUT_ESCAPE, false);
    assert_false(stage.view->control.has_request);
    (void)input_char(stage.view, stage.model, "k");
    (void)input_char(stage.view, stage.model, "s");
    (void)input_char(stage.view, stage.model, "l");
    (void)input_key(stage.view, stage.model, INPUT_ENTER, false);
    assert_true(stage.view->control.has_request);
    assert_int_equal(stage.view->control.kind, BARO__CONTROL_KIND__CONTROL_LR_SCALE);
    assert_true(stage.view->control.value >= 0.5 && stage.view->control.value <= 0.5);
    assert_int_equal(stage.view->control.run, stage.view->run);
    assert_int_equal(stage.view->overlay, VIEW_PLAIN);
    stage_end(&stage);
}

/* The middle of the row of a run in the list. */
static void find_run(const struct view *view, uint32_t run, float *x, float *y)
{
    for (size_t i = 0; i < view->n_zones; i++) {
        const struct view_zone *zone = &view->zones[i];
        if (zone->act == VIEW_PICK_RUN && zone->a == run) {
            *x = zone->rect.x + zone->rect.w / 2;
            *y = zone->rect.y + zone->rect.h / 2;
            return;
        }
    }
    fail_msg("run %u is not in the list", run);
}

static void a_second_run_is_chosen_by_hand_and_drawn_dashed(void **state)
{
    (void)state;
    struct stage stage;
    float x = 0;
    float y = 0;
    stage_begin(&stage, 1440, 900);
    stage.oracle.has_second = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "ctrl-click a run"));
    find_run(stage.view, ORACLE_SECOND, &x, &y);
    stage.view->has_ctrl = true;
    (void)input_down(stage.view, x, y, INPUT_MAIN, 1);
    (void)input_up(stage.view, stage.model, x, y, INPUT_MAIN);
    stage.view->has_ctrl = false;
    assert_int_equal(stage.view->run, ORACLE_RUN);
    assert_int_equal(stage.view->other_run, ORACLE_SECOND);
    stage_draw(&stage);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    assert_true(stage_says(&stage, "beside"));
    size_t n = 0;
    size_t n_dashes = 0;
    const struct draw_cmd *cmds = draw_cmds(stage.list, &n);
    for (size_t i = 0; i < n; i++) {
        n_dashes += cmds[i].op == DRAW_POLYLINE && cmds[i].color == theme_dark.series[1];
    }
    assert_true(n_dashes > 40);
    stage_assert_golden(&stage, "overview_two_runs");
    (void)input_move(stage.view, x, y); /* c over its row: alone again */
    assert_true(input_char(stage.view, stage.model, "c"));
    assert_int_equal(stage.view->other_run, 0);
    (void)input_char(stage.view, stage.model, "/");
    for (const char *c = "beta-8"; *c != '\0'; c++) {
        (void)input_char(stage.view, stage.model, (char[]){*c, '\0'});
    }
    stage_draw(&stage);
    (void)input_key(stage.view, stage.model, INPUT_DOWN, false);
    (void)input_key(stage.view, stage.model, INPUT_ENTER, false);
    assert_int_equal(stage.view->run, ORACLE_RUN);
    assert_int_equal(stage.view->other_run, ORACLE_SECOND);
    stage_end(&stage);
}

/* Where a step is drawn in the first chart of the page. */
static float px_of(const struct stage *stage, double step)
{
    for (size_t i = 0; i < stage->view->n_zones; i++) {
        const struct view_zone *zone = &stage->view->zones[i];
        if (zone->act == VIEW_CHART) {
            return xaxis_px(stage->view, &stage->view->slots[zone->a].layout, step);
        }
    }
    fail_msg("no chart");
    return 0;
}

static void the_x_axis_counts_time_and_an_idle_hour_is_a_gap(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.has_restart = true;
    stage.oracle.bad_step = INT64_MAX;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    float apart = px_of(&stage, ORACLE_RESTART) - px_of(&stage, ORACLE_RESTART - 1);
    assert_true(apart < 3);
    assert_true(input_char(stage.view, stage.model, "x"));
    stage_draw(&stage);
    assert_int_equal(stage.view->x.shown, XAXIS_ELAPSED);
    apart = px_of(&stage, ORACLE_RESTART) - px_of(&stage, ORACLE_RESTART - 1);
    assert_true(apart > 400); /* an hour of an hour and three minutes */
    assert_true(stage_says(&stage, "+30 min"));
    assert_true(input_char(stage.view, stage.model, "x"));
    stage_draw(&stage);
    assert_int_equal(stage.view->x.shown, XAXIS_CLOCK);
    for (double step = 0; step < 400; step += 7) { /* there and back */
        double x = xaxis_of(&stage.view->x.map, step);
        assert_true(fabs(xaxis_step(&stage.view->x.map, x) - step) < 1e-3);
        assert_true(fabs(x - oracle_time(&stage.oracle, (int64_t)step)) < 1);
    }
    float x = px_of(&stage, 300); /* the pointer finds its step, a zoom keeps it */
    (void)input_move(stage.view, x, 300);
    stage_draw(&stage);
    assert_true(fabs(stage.view->cursor - 300) <= 2);
    double before = stage.view->cursor;
    (void)input_wheel(stage.view, stage.model, 0, 1);
    stage_draw(&stage);
    (void)input_move(stage.view, x, 300);
    assert_true(fabs(stage.view->cursor - before) <= 2);
    assert_true(input_char(stage.view, stage.model, "x")); /* it has no epochs */
    assert_int_equal(stage.view->x.wanted, XAXIS_STEP);
    stage_end(&stage);
}

static void a_glob_chooses_scalars_and_pins_put_them_first(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "grad_norm"));
    assert_true(input_char(stage.view, stage.model, "g"));
    assert_int_equal(stage.view->overlay, VIEW_GLOB);
    for (const char *c = "*l?ss"; *c != '\0'; c++) {
        (void)input_char(stage.view, stage.model, (char[]){*c, '\0'});
    }
    stage_draw(&stage);
    assert_true(stage_says(&stage, "1 of 3 scalars"));
    assert_false(stage_says(&stage, "grad_norm"));
    (void)input_key(stage.view, stage.model, INPUT_ENTER, false);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "1 of 3 scalars: *l?ss"));
    (void)input_char(stage.view, stage.model, "g");
    (void)input_char(stage.view, stage.model, "x"); /* typed, no command */
    stage_draw(&stage);
    assert_true(stage_says(&stage, "None of 3 scalars"));
    (void)input_key(stage.view, stage.model, INPUT_ESCAPE, false);
    stage_draw(&stage);
    assert_int_equal(stage.view->overview.n_shown, 3);
    float x = 0;
    float y = 0;
    overview_pin(stage.view, "lr");
    stage_draw(&stage);
    assert_true(stage_says(&stage, "pinned"));
    assert_true(find_zone(stage.view, VIEW_CHART, &x, &y));
    (void)input_move(stage.view, x, y);
    assert_true(overview_pin_hovered(stage.view, stage.model)); /* it stands first now */
    assert_int_equal(stage.view->overview.n_pins, 0);
    assert_false(overview_passes("*acc", "loss"));
    assert_true(overview_passes("OS", "loss"));
    stage_end(&stage);
}

static void typing_finds_a_tensor_and_enter_shows_it(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    (void)input_char(stage.view, stage.model, "/");
    (void)input_char(stage.view, stage.model, "FC1.w");
    stage_draw(&stage);
    assert_int_equal(stage.view->n_found, 2);
    stage_assert_golden(&stage, "find");
    (void)input_key(stage.view, stage.model, INPUT_DOWN, false);
    (void)input_key(stage.view, stage.model, INPUT_ENTER, false);
    assert_int_equal(stage.view->thing, ORACLE_GRAD);
    assert_int_equal(stage.view->page, VIEW_TENSOR);
    stage_end(&stage);
}

static void a_paused_view_stands_still_while_steps_come(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.bad_step = INT64_MAX;
    stage.oracle.status = BARO__RUN_STATUS__RUN_RUNNING;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    double hi = stage.view->hi;
    for (int64_t step = 400; step < 900; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
    }
    stage_draw(&stage);
    assert_true(stage.view->hi > hi);
    (void)input_char(stage.view, stage.model, " ");
    hi = stage.view->hi;
    for (int64_t step = 900; step < 1900; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
    }
    stage_draw(&stage);
    assert_true(stage.view->hi >= hi && stage.view->hi <= hi);
    assert_true(stage_says(&stage, "paused"));
    stage_end(&stage);
}

static void a_command_is_found_by_its_words_and_done(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_ptr_equal(stage.view->theme, &theme_dark);
    assert_true(input_char(stage.view, stage.model, "/"));
    const char *const typed[] = {"t", "h", "e", "m", "e", ":"};
    for (size_t i = 0; i < BARO_LEN(typed); i++) {
        assert_true(input_char(stage.view, stage.model, typed[i]));
    }
    stage_draw(&stage);
    assert_int_equal(stage.view->n_found, 1);
    assert_true(input_key(stage.view, stage.model, INPUT_ENTER, false));
    assert_ptr_equal(stage.view->theme, &theme_light);
    assert_int_equal(stage.view->overlay, VIEW_PLAIN);
    stage_end(&stage);
}

static void smoothing_is_said_and_goes_away_again(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(input_char(stage.view, stage.model, "s"));
    stage_draw(&stage);
    assert_true(stage_says(&stage, "smoothed · half-life 10 steps"));
    for (int i = 0; i < 3; i++) {
        assert_true(input_char(stage.view, stage.model, "s"));
    }
    stage_draw(&stage);
    assert_false(stage_says(&stage, "smoothed"));
    stage_end(&stage);
}

/* What was smoothed stays as it is when more comes, and a spike stays in the line behind. */
static void smoothing_never_rewrites_the_past(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 640, 400);
    draw_begin(stage.list, 640, 400, 0);
    struct frame f = {.view = stage.view, .list = stage.list};
    struct chart_column columns[200];
    for (int i = 0; i < 200; i++) {
        double y = i == 120 ? 1e6 : sin(i * 0.7) + i;
        columns[i] = (struct chart_column){.from = 3.0 * i,
            .to = 3.0 * i + 2,
            .mean = i % 17 == 0 ? (double)NAN : y,
            .count = 3,
            .n_nonfinite = i % 17 == 0 ? 3 : 0};
    }
    struct chart_line line = {.columns = columns, .n_columns = 200};
    struct chart_line all = frame_smooth(&f, &line, 10);
    line.n_columns = 90;
    struct chart_line some = frame_smooth(&f, &line, 10);
    assert_int_equal(all.n_columns, 200);
    assert_int_equal(some.n_columns, 90);
    for (size_t i = 0; i < some.n_columns; i++) {
        assert_int_equal(isnan(all.columns[i].mean), i % 17 == 0);
        assert_true(i % 17 == 0 || fabs(all.columns[i].mean - some.columns[i].mean) == 0);
    }
    /* brute force of one of them */
    double sum = 0;
    double weight = 0;
    for (int i = 0; i <= 50; i++) {
        double w = exp2((columns[i].to - columns[50].to) / 10);
        sum += isnan(columns[i].mean) ? 0 : w * columns[i].mean;
        weight += isnan(columns[i].mean) ? 0 : w;
    }
    assert_true(fabs(all.columns[50].mean - sum / weight) < 1e-9);
    stage_end(&stage);
}

static void the_steps_are_played_to_their_end_and_home_is_live_again(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1280, 800);
    stage.view->page = VIEW_NETWORK;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct view *view = stage.view;
    assert_false(view_tick(view, 1)); /* nothing moves by itself */
    (void)input_char(view, stage.model, "p");
    assert_true(view->is_playing);
    double lo = view->lo;
    double hi = view->hi;
    assert_true(fabs(view->cursor - lo) < 1.5);
    double before = view->cursor;
    assert_true(view_tick(view, 0.1));
    assert_true(fabs(view->cursor - before - (hi - lo) / 100) < 1e-9);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "playing"));
    int n = 0;
    while (view_tick(
        view, 5)) { /* a slow machine makes no leaps: a quarter of a second at most */
        n++;
    }
    assert_true(n >= 38 && n <= 42);
    assert_false(view->is_playing);
    assert_true(fabs(view->cursor - floor(hi)) < 0.5);
    (void)input_char(view, stage.model, "p"); /* from the end: from the beginning */
    assert_true(view->is_playing && view->cursor < lo + 2);
    (void)input_key(view, stage.model, INPUT_ESCAPE, false);
    assert_false(view->is_playing);
    (void)input_char(view, stage.model, "p");
    (void)input_key(view, stage.model, INPUT_HOME, false);
    assert_false(view->is_playing);
    assert_true(isnan(view->cursor) && view->is_live && view->is_fit);
    stage_end(&stage);
}

static void what_was_shown_before_comes_back_step_by_step(void **state)
{
    (void)state;
    struct stage stage;
    struct undo undo = {0};
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct view *view = stage.view;
    undo_note(&undo, view, false);
    assert_false(undo_back(&undo, view));
    view_set_range(view, 10, 50);
    undo_note(&undo, view, true);
    view_set_range(view, 20, 40); /* the wheel goes on */
    undo_note(&undo, view, true);
    undo_note(&undo, view, false); /* nothing happened */
    (void)input_char(view, stage.model, "2");
    undo_note(&undo, view, false);
    assert_true(undo_back(&undo, view));
    assert_int_equal(view->page, VIEW_OVERVIEW);
    assert_true(fabs(view->lo - 20) < 1e-9 && fabs(view->hi - 40) < 1e-9);
    assert_true(undo_back(&undo, view)); /* over all of the wheel's turns */
    assert_true(view->is_fit);
    assert_false(undo_back(&undo, view));
    for (int i = 0; i < 3 * UNDO_MAX; i++) {
        view_set_range(view, i, i + 10);
        undo_note(&undo, view, false);
    }
    for (int i = 0; i < UNDO_MAX; i++) {
        assert_true(undo_back(&undo, view));
    }
    assert_false(undo_back(&undo, view));
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dragging_in_a_chart_zooms_and_a_double_click_fits),
        cmocka_unit_test(the_wheel_keeps_the_step_under_the_pointer),
        cmocka_unit_test(keys_change_pages_alerts_themes_and_scales),
        cmocka_unit_test(a_training_is_asked_only_after_a_second_key),
        cmocka_unit_test(a_second_run_is_chosen_by_hand_and_drawn_dashed),
        cmocka_unit_test(the_x_axis_counts_time_and_an_idle_hour_is_a_gap),
        cmocka_unit_test(a_glob_chooses_scalars_and_pins_put_them_first),
        cmocka_unit_test(typing_finds_a_tensor_and_enter_shows_it),
        cmocka_unit_test(a_paused_view_stands_still_while_steps_come),
        cmocka_unit_test(a_command_is_found_by_its_words_and_done),
        cmocka_unit_test(smoothing_is_said_and_goes_away_again),
        cmocka_unit_test(smoothing_never_rewrites_the_past),
        cmocka_unit_test(the_steps_are_played_to_their_end_and_home_is_live_again),
        cmocka_unit_test(what_was_shown_before_comes_back_step_by_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
