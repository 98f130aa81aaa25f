/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: the draw commands of each against tests/golden/view (BARO_UPDATE_GOLDEN=1 writes them
 * anew; look at the difference before you commit it), and what must not be missed on them.
 */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/input.h"
#include "client/view/words.h"
#include "lib/base/mem.h"
#include "tests/view/stage.h"

/* ---- pages ---- */

static void the_overview_says_the_alert_first(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    assert_true(stage_says(&stage, "decoder.out became NaN in unit 3."));
    stage_assert_golden(&stage, "overview");
    stage_end(&stage);
}

static void a_calm_run_is_said_to_be_fine(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1280, 800);
    stage.oracle.bad_step = INT64_MAX;
    stage.view->theme = &theme_light;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "Fine: 400 steps, no alert; every reading of"));
    stage_assert_golden(&stage, "overview_fine_light");
    stage_end(&stage);
}

static void what_the_program_warns_of_itself_is_no_fine_run(void **state)
{
    (void)state;
    struct stage stage;
    char text[WORDS_MAX];
    stage_begin(&stage, 1280, 800);
    stage.oracle.bad_step = INT64_MAX;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    const struct model_event warnings[] = {{.step = 3, .level = BARO_WATCH, .text = "slow"},
        {.step = 5, .level = BARO_INFO, .text = "saved"},
        {.step = 7, .level = BARO_ALARM, .text = "the reward fell"}};
    struct model_events *events = calloc(1, sizeof *events + sizeof warnings);
    assert_non_null(events);
    events->n = 3;
    memcpy(events->at, warnings, sizeof warnings);
    struct model model = *stage.model;
    model.events = events;
    const struct model_run *run = model_run_find(&model, model.run);
    assert_string_equal(words_headline(text, &model, run, NULL),
        "The program's own alarm at step 7: the reward fell · and 1 more");
    assert_int_equal(words_headline_health(&model, run, NULL), THEME_ALARM);
    events->n = 2;
    assert_string_equal(words_headline(text, &model, run, NULL),
        "The program's own warning at step 3: slow");
    assert_int_equal(words_headline_health(&model, run, NULL), THEME_WATCH);
    free(events);
    stage_end(&stage);
}

static void the_network_page_says_where_it_began(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_NETWORK;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(
        &stage, "modules · in the order in which they ran: no step's operations"));
    assert_true(stage_says(&stage, "began here, step"));
    stage_assert_golden(&stage, "network");
    stage_end(&stage);
}

static void the_network_page_has_the_edges_of_the_operations(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_NETWORK;
    stage.oracle.has_probe = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    assert_true(stage_says(&stage, "3 modules · operations of step 2 · now"));
    assert_true(stage_says(&stage, "1 op"));
    assert_true(stage_says(&stage, "loss"));
    stage_assert_golden(&stage, "network_graph");
    for (size_t i = 0; i < stage.view->n_zones; i++) {
        const struct view_zone *zone = &stage.view->zones[i];
        if (zone->act == VIEW_PICK_OPS) {
            (void)input_move(
                stage.view, zone->rect.x + 2, zone->rect.y + 2); /* in its box */
            break;
        }
    }
    stage_draw(&stage);
    (void)input_char(stage.view, stage.model, "o");
    (void)input_leave(stage.view);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "1 operation in the order in which they ran"));
    assert_true(stage_says(&stage, "mm"));
    assert_true(stage_says(&stage, "train.py:57"));
    stage_end(&stage);
}

static void the_why_page_tells_the_story_and_its_shares(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_WHY;
    stage.oracle.has_probe = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    assert_non_null(stage.model->why);
    assert_true(stage.model->why->is_done);
    assert_true(stage.model->why->credit.is_done);
    assert_true(stage_says(&stage, "What broke"));
    assert_true(stage_says(&stage, "unit 3"));
    assert_true(stage_says(&stage, "Of what it was made"));
    assert_true(stage_says(&stage, "encoder.fc1"));
    assert_non_null(
        strstr(stage.model->why->story.looked, "random state of steps 100 to 109 is kept"));
    assert_true(stage_says(&stage, "Looked at: steps 0 to"));
    stage_assert_golden(&stage, "why");
    stage_end(&stage);
}

static void the_why_page_shares_out_a_change_and_a_gradient_too(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_WHY;
    stage.oracle.has_probe = true;
    oracle_connect(stage.keeper);
    stage.view->why_mode = CREDIT_GRADIENT;
    stage_draw(&stage);
    assert_int_equal(stage.model->why->credit.mode, CREDIT_GRADIENT);
    assert_true(stage_says(&stage, "What pulled at it"));
    assert_true(
        stage.model->why->untold[0] != '\0' || stage.model->why->credit.n_edges > 0);
    stage.view->why_mode = CREDIT_CHANGE;
    stage_draw(&stage);
    assert_int_equal(stage.model->why->credit.mode, CREDIT_CHANGE);
    assert_true(stage_says(&stage, "What moved it"));
    assert_true(
        stage.model->why->untold[0] != '\0' || stage.model->why->credit.n_edges > 0);
    stage_end(&stage);
}

static void without_a_captured_step_the_why_page_says_how_to_have_one(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_WHY;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    assert_false(stage.model->why->has_credit);
    assert_false(stage_says(&stage, "Of what it was made"));
    stage_end(&stage);
}

static void a_calm_run_has_nothing_to_explain(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1280, 800);
    stage.oracle.bad_step = INT64_MAX;
    stage.view->page = VIEW_WHY;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "Nothing is wrong with"));
    assert_true(stage_says(&stage, "When an incident opens, its story is told here."));
    assert_false(stage_says(&stage, "What broke"));
    stage_end(&stage);
}

static void the_tensor_page_draws_all_units(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_TENSOR;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(stage.view->thing, ORACLE_OUT); /* the one with the alert */
    assert_true(stage_says(&stage, "16 of 16 units"));
    assert_true(stage_says(&stage, "1 with NaN or Inf"));
    size_t n = 0;
    size_t n_flocks = 0;
    size_t n_lines = 0;
    const struct draw_cmd *cmds = draw_cmds(stage.list, &n);
    for (size_t i = 0; i < n; i++) {
        if (cmds[i].op == DRAW_FLOCK) {
            n_flocks++;
            n_lines += cmds[i].u.flock.n_lines;
        }
    }
    assert_int_equal(n_flocks, 1);
    assert_int_equal(
        n_lines, ORACLE_UNITS - 3); /* those have lines and names of their own */
    assert_true(stage_says(&stage, "unit 3 · NaN"));
    assert_true(stage_says(&stage, "outlier")); /* unit 5, in the list: it is near others */
    assert_true(stage_says(&stage, "unit 15 · highest"));
    assert_true(stage_says(&stage, "unit 0 · lowest"));
    stage_assert_golden(&stage, "tensor");
    stage_end(&stage);
}

static void a_tensor_without_units_shows_its_norm(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_TENSOR;
    stage.view->wanted_tensor = "decoder.bias:weight";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(stage.view->thing, ORACLE_BIAS);
    assert_true(stage_says(&stage, "this tensor has no units"));
    assert_true(stage_says(&stage, "every 4 steps"));
    stage_end(&stage);
}

static void a_tensor_says_how_often_it_is_measured_lately(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_TENSOR;
    stage.view->wanted_tensor = "encoder.fc1:act"; /* on the whole at each step */
    stage.oracle.spacing = 12.4;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(stage.view->thing, ORACLE_ACT);
    assert_true(stage_says(&stage, "16 units · every 12 steps, units every 50"));
    stage_end(&stage);
}

static void what_watching_costs_is_shown_last_and_is_no_scalar_of_the_run(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.bad_step = INT64_MAX;
    stage.oracle.lr_name = "barograph/share";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "every reading of 2 scalars and"));
    char *text = stage_text(stage.list);
    const char *own = strstr(text, "\"barograph/share\"");
    const char *time = strstr(text, "\"step time, ");
    assert_non_null(own);
    assert_non_null(time);
    assert_true(time < own);
    free(text);
    stage_end(&stage);
}

static void what_watching_derived_comes_after_what_the_program_logged(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.bad_step = INT64_MAX;
    stage.oracle.lr_name = "encoder.fc1.weight/rho";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    char *text = stage_text(stage.list);
    const char *logged = strstr(text, "\"grad_norm\"");
    const char *time = strstr(text, "\"step time, ");
    const char *derived = strstr(text, "\"encoder.fc1.weight/rho\"");
    assert_true(logged != NULL && time != NULL && derived != NULL);
    assert_true(logged < time);
    assert_true(time < derived);
    free(text);
    stage_end(&stage);
}

static void nan_that_came_with_the_loss_began_in_the_loss(void **state)
{
    (void)state;
    struct model_things *things = calloc(1, sizeof *things + 2 * sizeof things->at[0]);
    struct model_alerts *alerts = calloc(1, sizeof *alerts + 2 * sizeof alerts->at[0]);
    assert_true(things != NULL && alerts != NULL);
    things->n = 2;
    things->at[0] = (struct model_thing){
        .thing = 1, .name = "fc2", .is_tensor = true, .role = BARO_ACT_GRAD};
    things->at[1] = (struct model_thing){.thing = 2, .name = "Loss/train"};
    alerts->n = 2;
    alerts->at[0] = (struct model_alert){
        .thing = 1, .step = 7, .kind = "nonfinite", .level = BARO_ALARM, .incident = 3};
    alerts->at[1] = (struct model_alert){
        .thing = 2, .step = 7, .kind = "nonfinite", .level = BARO_ALARM, .incident = 3};
    struct model model = {.things = things, .alerts = alerts};
    assert_ptr_equal(frame_origin(&model), &alerts->at[1]);
    assert_ptr_equal(frame_worst_alert(&model), &alerts->at[1]);
    things->at[0].role = BARO_ACT; /* the loss is computed from it */
    assert_ptr_equal(frame_origin(&model), &alerts->at[0]);
    things->at[0].role = BARO_GRAD;
    alerts->at[1].step = 8; /* the gradient of the step before spoilt the weights */
    assert_ptr_equal(frame_origin(&model), &alerts->at[0]);
    alerts->at[1].step = 7;
    things->at[1].name = "grad_norm"; /* follows from gradients */
    assert_ptr_equal(frame_origin(&model), &alerts->at[0]);
    free(things);
    free(alerts);
}

static void the_alerts_page_says_what_to_try(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_ALERTS;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "lower the learning rate"));
    assert_true(stage_says(&stage, "Samples of the batch: 100, 107"));
    stage_assert_golden(&stage, "alerts");
    stage_end(&stage);
}

static void without_a_daemon_the_page_says_how_to_start_one(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    keeper_set_state(stage.keeper, MODEL_AWAY, "", INT64_C(1700000000) * 1000000000);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "baro up"));
    stage_assert_golden(&stage, "no_daemon");
    stage_end(&stage);
}

static void without_a_run_the_page_shows_the_lines_to_paste(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.has_no_run = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "run.log({\"loss\": loss})"));
    stage_assert_golden(&stage, "no_run");
    stage_end(&stage);
}

static void a_run_without_tensors_is_told_how_to_watch(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.has_no_tensors = true;
    stage.oracle.bad_step = INT64_MAX;
    stage.view->page = VIEW_TENSOR;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "run.watch(model, optimizer)"));
    stage.view->page = VIEW_OVERVIEW; /* its scalars fill the page */
    stage_draw(&stage);
    assert_true(stage_says(&stage, "grad_norm"));
    stage_assert_golden(&stage, "overview_scalars");
    stage_end(&stage);
}

static void another_protocol_is_said_with_the_side_to_update(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    keeper_set_state(stage.keeper, MODEL_MISMATCH, "update the other side", 1);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "update the other side"));
    stage_end(&stage);
}

static void a_daemon_that_goes_away_leaves_the_page_as_it_was(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    keeper_set_state(stage.keeper, MODEL_AWAY, "", 1);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "daemon away since "));
    assert_true(stage_says(&stage, "decoder.out became NaN in unit 3."));
    stage_end(&stage);
}

/* ---- what must not be missed ---- */

/* The chart or heat strip whose layout a slot keeps. */
static const struct view_slot *slot_of(const struct view *view, uint64_t id)
{
    for (size_t i = 0; i < VIEW_MAX_SLOTS; i++) {
        if (view->slots[i].id == id) {
            return &view->slots[i];
        }
    }
    return NULL;
}

static void the_layers_stand_under_the_loss_on_the_same_steps(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    const struct view_slot *loss =
        slot_of(stage.view, frame_id(VIEW_OVERVIEW, ORACLE_LOSS, READING_SCALAR, 0));
    const struct view_slot *heat = slot_of(stage.view, frame_id(VIEW_OVERVIEW, 0, 0xFF, 0));
    assert_non_null(loss);
    assert_non_null(heat);
    for (int step = 0; step <= 400; step += 100) {
        assert_float_equal(
            chart_px_of_x(&loss->layout, step), chart_px_of_x(&heat->layout, step), 1e-3);
    }
    stage_end(&stage);
}

static size_t count_saying(const struct stage *stage, const char *text)
{
    size_t n = 0;
    size_t n_said = 0;
    const struct draw_cmd *cmds = draw_cmds(stage->list, &n);
    for (size_t i = 0; i < n; i++) {
        n_said += cmds[i].op == DRAW_STRING && strstr(cmds[i].u.string.text, text) != NULL;
    }
    return n_said;
}

static void where_nan_began_is_said_in_the_tree_and_the_layers(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(count_saying(&stage, "began here"), 2);
    stage_end(&stage);
    stage_begin(&stage, 1440, 900);
    stage.oracle.bad_step = INT64_MAX;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(count_saying(&stage, "began here"), 0);
    stage_end(&stage);
}

static void a_window_without_room_says_so_instead_of_drawing_a_heap(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 500, 300);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    size_t n = 0;
    (void)draw_cmds(stage.list, &n);
    assert_true(n <= 2);
    assert_true(stage_says(&stage, "The window is too small"));
    stage_end(&stage);
}

static void a_drag_with_shift_chooses_values_too_and_f_forgets_them(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    uint64_t id = frame_id(VIEW_OVERVIEW, ORACLE_LOSS, READING_SCALAR, 0);
    struct draw_rect plot = slot_of(stage.view, id)->layout.plot;
    double lo = slot_of(stage.view, id)->layout.y.lo;
    double hi = slot_of(stage.view, id)->layout.y.hi;
    float x = plot.x + plot.w / 4;
    float y = plot.y + plot.h / 4;
    stage.view->has_shift = true;
    (void)input_down(stage.view, x, y, INPUT_MAIN, 1);
    (void)input_move(stage.view, x + plot.w / 4, y + plot.h / 2);
    (void)input_up(stage.view, stage.model, x + plot.w / 4, y + plot.h / 2, INPUT_MAIN);
    stage_draw(&stage);
    const struct axis *axis = &slot_of(stage.view, id)->layout.y;
    assert_true(fabs(axis->lo - (lo + (hi - lo) / 4)) < 1e-6);
    assert_true(fabs(axis->hi - (lo + (hi - lo) * 3 / 4)) < 1e-6);
    (void)input_char(stage.view, stage.model, "f");
    stage_draw(&stage);
    assert_true(axis->hi > lo + (hi - lo) * 0.8); /* axis follows its slot */
    assert_false(slot_of(stage.view, id)->has_y);
    stage_end(&stage);
}

static void the_cursor_is_under_a_pointer_that_holds_still(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.status = BARO__RUN_STATUS__RUN_RUNNING;
    stage.oracle.bad_step = INT64_MAX;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    uint64_t id = frame_id(VIEW_OVERVIEW, ORACLE_LOSS, READING_SCALAR, 0);
    struct draw_rect plot = slot_of(stage.view, id)->layout.plot;
    (void)input_move(stage.view, plot.x + plot.w / 2, plot.y + plot.h / 2);
    for (int64_t step = 400; step < 900; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
    }
    stage_draw(&stage);
    double under = chart_x_at(&slot_of(stage.view, id)->layout, plot.x + plot.w / 2);
    assert_true(fabs(stage.view->cursor - under) <= 0.5);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_overview_says_the_alert_first),
        cmocka_unit_test(a_calm_run_is_said_to_be_fine),
        cmocka_unit_test(what_the_program_warns_of_itself_is_no_fine_run),
        cmocka_unit_test(the_network_page_says_where_it_began),
        cmocka_unit_test(the_network_page_has_the_edges_of_the_operations),
        cmocka_unit_test(the_why_page_tells_the_story_and_its_shares),
        cmocka_unit_test(the_why_page_shares_out_a_change_and_a_gradient_too),
        cmocka_unit_test(without_a_captured_step_the_why_page_says_how_to_have_one),
        cmocka_unit_test(a_calm_run_has_nothing_to_explain),
        cmocka_unit_test(the_tensor_page_draws_all_units),
        cmocka_unit_test(a_tensor_without_units_shows_its_norm),
        cmocka_unit_test(a_tensor_says_how_often_it_is_measured_lately),
        cmocka_unit_test(what_watching_costs_is_shown_last_and_is_no_scalar_of_the_run),
        cmocka_unit_test(what_watching_derived_comes_after_what_the_program_logged),
        cmocka_unit_test(nan_that_came_with_the_loss_began_in_the_loss),
        cmocka_unit_test(the_alerts_page_says_what_to_try),
        cmocka_unit_test(without_a_daemon_the_page_says_how_to_start_one),
        cmocka_unit_test(without_a_run_the_page_shows_the_lines_to_paste),
        cmocka_unit_test(a_run_without_tensors_is_told_how_to_watch),
        cmocka_unit_test(another_protocol_is_said_with_the_side_to_update),
        cmocka_unit_test(a_daemon_that_goes_away_leaves_the_page_as_it_was),
        cmocka_unit_test(the_layers_stand_under_the_loss_on_the_same_steps),
        cmocka_unit_test(where_nan_began_is_said_in_the_tree_and_the_layers),
        cmocka_unit_test(a_window_without_room_says_so_instead_of_drawing_a_heap),
        cmocka_unit_test(a_drag_with_shift_chooses_values_too_and_f_forgets_them),
        cmocka_unit_test(the_cursor_is_under_a_pointer_that_holds_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
