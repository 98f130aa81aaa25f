/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers page and what it shares with the tensor and network pages: forms, the strip of
 * units, what moved most; against brute force over the oracle's formula.
 */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/input.h"
#include "client/view/unit_order.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "tests/view/stage.h"

static void begin(struct stage *stage, enum view_page page)
{
    stage_begin(stage, 1440, 900);
    stage->view->page = page;
    oracle_connect(stage->keeper);
    stage_draw(stage);
}

static const struct view_zone *find_zone(
    const struct stage *stage, enum view_act act, int64_t a)
{
    for (size_t i = 0; i < stage->view->n_zones; i++) {
        const struct view_zone *zone = &stage->view->zones[i];
        if (zone->act == act && zone->a == a) {
            return zone;
        }
    }
    return NULL;
}

static void click(struct stage *stage, enum view_act act, int64_t a)
{
    const struct view_zone *zone = find_zone(stage, act, a);
    assert_non_null(zone);
    float x = zone->rect.x + zone->rect.w / 2;
    float y = zone->rect.y + zone->rect.h / 2;
    (void)input_down(stage->view, x, y, INPUT_MAIN, 1);
    (void)input_up(stage->view, stage->model, x, y, INPUT_MAIN);
    (void)input_leave(stage->view);
    stage_draw(stage);
}

static void press(struct stage *stage, const char *key)
{
    assert_true(input_char(stage->view, stage->model, key));
    stage_draw(stage);
}

/* ---- the page ---- */

static void the_layers_page_has_a_row_for_each_tensor_of_the_role(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_OVERVIEW);
    press(&stage, "6");
    assert_int_equal(stage.view->page, VIEW_LAYERS);
    assert_true(stage.model->is_complete);
    assert_true(stage_says(&stage, "2 tensors of role act")); /* where NaN began */
    assert_true(stage_says(&stage, "began here, step"));
    stage_assert_golden(&stage, "layers");
    click(&stage, VIEW_PICK_HEAT, BARO_WEIGHT);
    assert_true(stage_says(&stage, "2 tensors of role weight"));
    press(&stage, "s");
    assert_int_equal(stage.view->layers.stat, FORM_MEAN);
    stage_end(&stage);
}

static void a_folded_module_is_one_row(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    assert_false(stage_says(&stage, "folded: its tensors' lines"));
    for (size_t i = 0; i < stage.view->tree->n; i++) {
        if (stage.view->tree->nodes[i].end > i + 1 &&
            stage.view->tree->nodes[i].depth == 0) {
            view_fold(stage.view, &stage.view->tree->nodes[i]);
        }
    }
    stage_draw(&stage);
    assert_true(stage_says(&stage, "folded: its tensors' lines"));
    assert_true(stage_says(&stage, "2 tensors of role act"));
    stage_end(&stage);
}

static void keys_go_through_forms_scales_and_heights(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    for (int form = 1; form <= FORM_COUNT; form++) {
        press(&stage, "v");
        assert_int_equal(stage.view->layers.form, form % FORM_COUNT);
        assert_true(stage.model->is_complete);
    }
    press(&stage, "y");
    assert_true(stage.view->layers.is_shared);
    for (int size = 1; size <= LAYERS_N_SIZES; size++) {
        press(&stage, "h");
        assert_int_equal(stage.view->layers.size, size % LAYERS_N_SIZES);
    }
    stage_end(&stage);
}

static void only_rows_near_those_seen_are_asked_for(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    size_t n_all = stage.view->wish.n_refs;
    stage.h = 450; /* fewer rows fit */
    press(&stage, "h");
    press(&stage, "h"); /* and they are large */
    assert_true(stage.view->wish.n_refs <= n_all);
    assert_true(stage.view->wish.n_spreads <= MODEL_MAX_SPREADS);
    stage_end(&stage);
}

/* ---- spreads ---- */

/* What the units held in a column: all by their means, the ends by their readings. */
static void check_column(const struct stage *stage, uint32_t thing, int stat,
    const struct model_spread_column *column)
{
    double means[ORACLE_UNITS];
    size_t n = 0;
    double least = (double)INFINITY;
    double most = -(double)INFINITY;
    for (int unit = 0; unit < ORACLE_UNITS; unit++) {
        double sum = 0;
        int n_readings = 0;
        for (int64_t step = column->first_step; step <= column->last_step; step++) {
            double value = oracle_has(thing, step) ? oracle_value(&stage->oracle, thing,
                                                         READING_UNITS, stat, unit, step)
                                                   : (double)NAN;
            if (isfinite(value)) {
                sum += value;
                n_readings++;
                least = fmin(least, value);
                most = fmax(most, value);
            }
        }
        if (n_readings > 0) {
            means[n++] = sum / n_readings;
        }
    }
    qsort(means, n, sizeof *means, baro_by_double);
    assert_float_equal(column->rows[SPREAD_LEAST], least, 1e-5);
    assert_float_equal(column->rows[SPREAD_MOST], most, 1e-5);
    assert_float_equal(
        column->rows[SPREAD_50], means[(size_t)ceil(0.5 * (double)n) - 1], 1e-5);
    assert_float_equal(
        column->rows[SPREAD_25], means[(size_t)ceil(0.25 * (double)n) - 1], 1e-5);
    assert_float_equal(
        column->rows[SPREAD_75], means[(size_t)ceil(0.75 * (double)n) - 1], 1e-5);
}

static void spreads_are_those_of_all_units(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    stage.view->layers.form = FORM_BANDS;
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    const uint32_t things[] = {ORACLE_ACT, ORACLE_OUT};
    for (size_t i = 0; i < 2; i++) {
        const struct model_spread *spread =
            model_spread_find(stage.model, (struct model_spread_ref){things[i], UNIT_L2});
        assert_non_null(spread);
        assert_true(spread->is_ready);
        assert_true(spread->n > 50 && spread->n <= 128);
        for (size_t c = 0; c < spread->n; c++) {
            check_column(&stage, things[i], UNIT_L2, &spread->columns[c]);
        }
        assert_int_equal(spread->columns[spread->n - 1].n_nonfinite, i == 1 ? 1 : 0);
    }
    stage_end(&stage);
}

static void live_readings_go_on_behind_a_spread(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_LAYERS;
    stage.view->layers.form = FORM_BOX;
    stage.view->heat_role = BARO_ACT;
    stage.oracle.n_steps = 40;
    stage.oracle.status = BARO__RUN_STATUS__RUN_RUNNING;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct model_spread_ref ref = {ORACLE_ACT, UNIT_L2};
    size_t before = model_spread_find(stage.model, ref)->n;
    for (int64_t step = 40; step < 44; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
        stage.oracle.n_steps = step + 1;
    }
    stage_draw(&stage);
    const struct model_spread *spread = model_spread_find(stage.model, ref);
    assert_int_equal(spread->n, before + 4);
    for (size_t c = 0; c < spread->n; c++) {
        check_column(&stage, ORACLE_ACT, UNIT_L2, &spread->columns[c]);
    }
    stage_end(&stage);
}

/* ---- what moved ---- */

/* |log2| of the norm at a step against its mean over 16 distances before. */
static double jump(
    const struct stage *stage, uint32_t thing, int unit, int64_t step, int64_t back)
{
    double sum = 0;
    double last = (double)NAN;
    int n = 0;
    for (int64_t at = step - back < 0 ? 0 : step - back; at <= step; at++) {
        if (oracle_has(thing, at)) {
            last = oracle_value(&stage->oracle, thing, READING_UNITS, UNIT_L2, unit, at);
            sum += last;
            n++;
        }
    }
    return n > 1 ? fabs(log2(last / (sum / n))) : (double)NAN;
}

static void the_units_that_moved_most_are_those_of_all_layers(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.spacing = 1; /* told of units: 4 */
    stage.view->page = VIEW_LAYERS;
    stage.view->heat_role = BARO_ACT;
    stage.view->cursor = 97;
    stage.view->cursor_is_kept = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    const struct model_moved *moved = stage.model->moved;
    assert_non_null(moved);
    assert_int_equal(moved->of.kind, MOVED_JUMP); /* it has no updates */
    assert_int_equal(moved->of.steps[0], 97);
    const struct moved_list *list = &moved->at[0].list;
    assert_int_equal(list->n, 2 * ORACLE_UNITS);
    for (size_t i = 0; i < list->n; i++) {
        double value = jump(&stage, list->at[i].thing, (int)list->at[i].unit, 97, 64);
        assert_float_equal(list->at[i].value, value, 1e-5);
        assert_true(i == 0 || list->at[i].value <= list->at[i - 1].value);
    }
    assert_true(stage_says(&stage, "units that changed most"));
    stage_end(&stage);
}

static void picked_steps_tell_what_moved_at_all_of_them(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    stage.view->cursor = 50;
    stage.view->cursor_is_kept = true;
    press(&stage, "i");
    stage.view->cursor = 90;
    press(&stage, "i");
    assert_int_equal(stage.view->layers.n_steps, 2);
    assert_int_equal(stage.view->layers.steps[0], 50);
    assert_true(stage.model->is_complete);
    assert_true(stage_says(&stage, "at each of them"));
    click(&stage, VIEW_LAYERS_TOP, 10);
    struct moved_unit common[MOVED_MOST];
    struct moved_list *lists = baro_xcalloc(2, sizeof *lists);
    lists[0] = stage.model->moved->at[1].list;
    lists[1] = stage.model->moved->at[2].list;
    char text[64];
    (void)snprintf(text, sizeof text, "%zu of the first 10 at each of them",
        moved_common(lists, 2, 10, common));
    free(lists);
    assert_true(stage_says(&stage, text));
    press(&stage, "i"); /* picked already: no longer */
    assert_int_equal(stage.view->layers.n_steps, 1);
    click(&stage, VIEW_LAYERS_STEP, 50);
    assert_int_equal(stage.view->layers.n_steps, 0);
    stage_end(&stage);
}

static void a_shift_click_in_a_row_picks_its_step(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_LAYERS);
    const struct view_zone *zone = NULL;
    for (size_t i = 0; i < stage.view->n_zones; i++) {
        const struct view_zone *at = &stage.view->zones[i];
        zone = at->act == VIEW_CHART && at->b != 0 ? at : zone;
    }
    assert_non_null(zone);
    stage.view->has_shift = true;
    float x = zone->rect.x + zone->rect.w / 2;
    float y = zone->rect.y + zone->rect.h / 2;
    (void)input_down(stage.view, x, y, INPUT_MAIN, 1);
    (void)input_up(stage.view, stage.model, x, y, INPUT_MAIN);
    assert_int_equal(stage.view->page, VIEW_LAYERS);
    assert_int_equal(stage.view->layers.n_steps, 1);
    double middle = (stage.view->lo + stage.view->hi) / 2;
    assert_true(fabs((double)stage.view->layers.steps[0] - middle) <= 1.5);
    stage.view->has_shift = false;
    stage_end(&stage);
}

/* ---- the tensor page ---- */

static void the_strip_has_all_units_in_an_order(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_TENSOR;
    stage.view->wanted_tensor = "encoder.fc1:act";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_true(stage_says(&stage, "units × steps"));
    assert_true(stage_says(&stage, "16 units · l2 norm"));
    struct frame f = {.view = stage.view,
        .list = stage.list,
        .theme = stage.view->theme,
        .model = stage.model};
    const struct model_thing *thing = model_thing_find(stage.model, stage.view->thing);
    struct units units = units_get(&f, thing);
    struct unit_order order;
    for (int by = 0; by < ORDER_BY_COUNT; by++) {
        assert_true(unit_order_get(&f, &units, (enum order_by)by, &order));
        uint32_t seen = 0;
        for (uint32_t i = 0; i < order.n; i++) {
            seen |= 1U << order.order[i];
        }
        assert_int_equal(order.n, ORACLE_UNITS);
        assert_int_equal(seen, (1U << ORACLE_UNITS) - 1);
    }
    assert_true(unit_order_get(&f, &units, ORDER_BY_ODDNESS, &order));
    assert_true(order.order[0] == 0 || order.order[0] == 15); /* lowest and highest */
    struct seriate_near near[3];
    assert_int_equal(unit_order_nearest(&f, &units, 8, 3, near), 3);
    assert_true(near[0].row == 7 || near[0].row == 9);
    stage_end(&stage);
}

static void the_nearest_of_a_unit_beyond_the_colours_are_those_beside_it(void **unused)
{
    enum { N = 400, FAR = 397 };
    (void)unused;
    float mean[N * 2];
    double x[2] = {0, 1};
    for (size_t i = 0; i < N; i++) { /* the last three leave the percentiles far behind */
        mean[2 * i] = mean[2 * i + 1] =
            i < FAR ? (float)((i * 7) % FAR) / FAR : 4 + (float)(i - FAR) / 4;
    }
    const struct model_units units = {
        .n_units = N, .n = 2, .x = x, .x_to = x, .mean = mean};
    struct order order = {0};
    order_make(&order, &units, N, 0, 2, ORDER_BY_INDEX, false);
    struct seriate_near near[2];
    assert_int_equal(seriate_nearest(order.places, N, order.n_columns, FAR, 2, near), 2);
    assert_int_equal(near[0].row, FAR + 1);
    assert_int_equal(near[1].row, FAR + 2);
    assert_true(near[0].distance > 0.2F && near[0].distance < 0.3F);
    order_finish(&order);
}

static void an_order_stays_while_a_run_grows_a_little(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_TENSOR;
    stage.oracle.n_steps = 200;
    stage.oracle.status = BARO__RUN_STATUS__RUN_RUNNING;
    stage.oracle.bad_step = INT64_MAX;
    stage.view->wanted_tensor = "encoder.fc1:act";
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct frame f = {.view = stage.view,
        .list = stage.list,
        .theme = stage.view->theme,
        .model = stage.model};
    const struct model_thing *thing = model_thing_find(stage.model, ORACLE_ACT);
    struct units units = units_get(&f, thing);
    struct unit_order order;
    assert_true(unit_order_get(&f, &units, ORDER_BY_LIKENESS, &order));
    uint32_t before[ORACLE_UNITS];
    memcpy(before, order.order, sizeof before);
    uint64_t stamp = order.stamp;
    for (int64_t step = 200; step < 210; step++) {
        oracle_live(&stage.oracle, stage.keeper, step);
        stage.oracle.n_steps = step + 1;
    }
    stage_draw(&stage);
    f.model = stage.model;
    units = units_get(&f, model_thing_find(stage.model, ORACLE_ACT));
    assert_true(unit_order_get(&f, &units, ORDER_BY_LIKENESS, &order));
    assert_memory_equal(before, order.order, sizeof before);
    assert_true(order.stamp != stamp); /* the picture has the new steps */
    stage_end(&stage);
}

static void the_distribution_over_time_has_three_forms(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_TENSOR);
    press(&stage, "h");
    assert_int_equal(stage.view->tensor.tab, TENSOR_DISTRIBUTION);
    assert_true(stage_says(&stage, "bins are powers of two"));
    stage_assert_golden(&stage, "tensor_bands");
    press(&stage, "v");
    assert_true(stage_says(&stage, "to the right: value"));
    stage_assert_golden(&stage, "tensor_ridges");
    press(&stage, "v");
    assert_true(stage_says(&stage, "darker: more elements"));
    press(&stage, "h");
    assert_true(stage_says(&stage, "No updates of this layer are watched"));
    stage_end(&stage);
}

/* ---- the network page ---- */

static void boxes_are_tinted_by_what_is_chosen_and_say_so(void **unused)
{
    (void)unused;
    struct stage stage;
    begin(&stage, VIEW_NETWORK);
    assert_true(stage_says(&stage, "÷16"));
    click(&stage, VIEW_NETWORK_COLOR, NETWORK_BY_HEALTH);
    assert_true(stage_says(&stage, "calm"));
    assert_true(stage_says(&stage, "alarm"));
    click(&stage, VIEW_NETWORK_COLOR, NETWORK_BY_VALUE);
    assert_false(stage_says(&stage, "÷16"));
    for (int form = 1; form < FORM_COUNT; form++) {
        press(&stage, "v");
        assert_int_equal(stage.view->network.form, form);
        assert_true(stage.model->is_complete);
    }
    click(&stage, VIEW_NETWORK_STAT, FORM_ABS_MAX);
    assert_int_equal(stage.view->network.stat, FORM_ABS_MAX);
    stage_end(&stage);
}

static void the_wheel_scrolls_what_is_long_and_zooms_with_ctrl(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.view->page = VIEW_LAYERS;
    stage.view->is_still = true;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    const struct view_zone *zone = NULL;
    for (size_t i = 0; i < stage.view->n_zones; i++) {
        const struct view_zone *at = &stage.view->zones[i];
        zone = at->act == VIEW_CHART && at->b != 0 ? at : zone; /* a row's */
    }
    assert_non_null(zone);
    (void)input_move(stage.view, zone->rect.x + 200, zone->rect.y + 10);
    stage_draw(&stage);
    stage.view->scroll_max[VIEW_SCROLL_LAYERS] = 9000; /* as of a run of many layers */
    double span = stage.view->hi - stage.view->lo;
    assert_true(input_wheel(stage.view, stage.model, 0, -1));
    assert_true(stage.view->scroll[VIEW_SCROLL_LAYERS] > 0);
    assert_true(fabs(stage.view->hi - stage.view->lo - span) < 1e-9);
    stage.view->has_ctrl = true;
    assert_true(input_wheel(stage.view, stage.model, 0, 1));
    assert_true(stage.view->hi - stage.view->lo < span);
    stage_end(&stage);
}

static void nothing_breaks_without_tensors_or_steps(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    stage.oracle.has_no_tensors = true;
    stage.view->page = VIEW_LAYERS;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    stage_end(&stage);
    stage_begin(&stage, 700, 420);
    stage.oracle.n_steps = 1;
    stage.view->page = VIEW_LAYERS;
    stage.view->layers.form = FORM_HORIZON;
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    assert_int_equal(draw_dropped(stage.list), 0);
    press(&stage, "2");
    press(&stage, "3");
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layers_page_has_a_row_for_each_tensor_of_the_role),
        cmocka_unit_test(a_folded_module_is_one_row),
        cmocka_unit_test(keys_go_through_forms_scales_and_heights),
        cmocka_unit_test(only_rows_near_those_seen_are_asked_for),
        cmocka_unit_test(spreads_are_those_of_all_units),
        cmocka_unit_test(live_readings_go_on_behind_a_spread),
        cmocka_unit_test(the_units_that_moved_most_are_those_of_all_layers),
        cmocka_unit_test(picked_steps_tell_what_moved_at_all_of_them),
        cmocka_unit_test(a_shift_click_in_a_row_picks_its_step),
        cmocka_unit_test(the_strip_has_all_units_in_an_order),
        cmocka_unit_test(the_nearest_of_a_unit_beyond_the_colours_are_those_beside_it),
        cmocka_unit_test(an_order_stays_while_a_run_grows_a_little),
        cmocka_unit_test(the_distribution_over_time_has_three_forms),
        cmocka_unit_test(boxes_are_tinted_by_what_is_chosen_and_say_so),
        cmocka_unit_test(the_wheel_scrolls_what_is_long_and_zooms_with_ctrl),
        cmocka_unit_test(nothing_breaks_without_tensors_or_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
