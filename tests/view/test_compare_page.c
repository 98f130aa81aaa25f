/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs, or two steps of one, side by side. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "client/model/config.h"
#include "client/view/input.h"
#include "client/view/inside.h"
#include "tests/view/stage.h"

static void begin(struct stage *stage)
{
    stage_begin(stage, 1280, 800);
    stage->oracle.has_second = true;
    oracle_connect(stage->keeper);
    stage_draw(stage);
}

static void draw_both(struct stage *stage)
{
    stage->view->other_run = ORACLE_SECOND;
    assert_true(input_char(stage->view, stage->model, "7"));
    stage_draw(stage);
    stage_draw(stage);
    assert_true(stage->model->is_complete);
}

static const struct model_compared *pair_of(const struct model *model, uint32_t thing)
{
    for (size_t i = 0; i < model->compare->n; i++) {
        if (model->compare->at[i].thing[0] == thing) {
            return &model->compare->at[i];
        }
    }
    return NULL;
}

static void without_anything_chosen_it_says_how_to(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    assert_true(input_char(stage.view, stage.model, "7"));
    stage_draw(&stage);
    assert_true(stage_says(&stage, "Nothing to compare yet"));
    assert_true(stage_says(&stage, "ctrl-click"));
    assert_null(stage.model->compare);
    assert_true(input_char(stage.view, stage.model, "c"));
    assert_non_null(strstr(stage.view->notice, "Mark a step first"));
    stage_end(&stage);
}

static void two_runs_are_compared_up_to_the_last_step_of_both(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    draw_both(&stage);
    const struct model_compare *compare = stage.model->compare;
    assert_non_null(compare);
    assert_int_equal(compare->n, ORACLE_N_THINGS);
    for (uint32_t thing = 1; thing <= ORACLE_N_THINGS; thing++) {
        const struct model_compared *pair = pair_of(stage.model, thing);
        assert_non_null(pair);
        assert_int_equal(pair->thing[1], thing + ORACLE_SECOND_BY);
        int64_t step = 399;
        while (!oracle_has(thing, step)) {
            step--;
        }
        assert_int_equal(pair->step[0], step);
        assert_int_equal(pair->step[1], step);
        int kind = pair->is_tensor ? READING_SUMMARY : READING_SCALAR;
        int stat = pair->is_tensor ? SUMMARY_L2 : 0;
        double a = oracle_value(&stage.oracle, thing, kind, stat, -1, step);
        stage.oracle.is_of_second = true;
        double b = oracle_value(&stage.oracle, thing, kind, stat, -1, step);
        stage.oracle.is_of_second = false;
        if (thing == ORACLE_LOSS) {
            assert_true(isnan(a) && isnan(pair->values[0][0]));
        } else {
            assert_true(fabs(pair->values[0][0] - a) < 1e-12);
        }
        assert_true(fabs(pair->values[1][0] - b - ORACLE_SECOND_MORE) < 1e-12);
        assert_int_equal(pair->has_units, thing >= ORACLE_WEIGHT && thing <= ORACLE_OUT);
    }
    assert_true(stage_says(&stage, "up to step 399, which both have"));
    assert_true(stage_says(&stage, "First apart by more than their noise"));
    stage_assert_golden(&stage, "compare_runs");
    stage_end(&stage);
}

static void units_of_what_is_seen_are_compared_one_by_one(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    draw_both(&stage);
    const struct model_compare *compare = stage.model->compare;
    assert_int_equal(compare->n_units, 4);
    for (size_t i = 0; i < compare->n_units; i++) {
        const struct model_compared_units *units = &compare->units[i];
        assert_int_equal(units->n, ORACLE_UNITS);
        for (int unit = 0; unit < ORACLE_UNITS; unit++) {
            double should = oracle_value(
                &stage.oracle, units->thing, READING_UNITS, UNIT_L2, unit, units->step[0]);
            double is = (double)units->values[0][unit];
            assert_true(isnan(should) ? isnan(is) : fabs(is - should) < 1e-6);
            assert_false(isnan((double)units->values[1][unit]));
        }
    }
    assert_true(stage_says(&stage, "units differ by more than a tenth"));
    stage_end(&stage);
}

static void two_steps_of_a_run_are_compared_with_m_and_c(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    stage.view->cursor = 40;
    stage.view->cursor_is_kept = true;
    assert_true(input_char(stage.view, stage.model, "m"));
    assert_true(input_char(stage.view, stage.model, "c")); /* the same step */
    assert_non_null(strstr(stage.view->notice, "marked step itself"));
    stage.view->cursor = 22;
    assert_true(input_char(stage.view, stage.model, "c"));
    assert_int_equal(stage.view->page, VIEW_COMPARE);
    stage_draw(&stage);
    stage_draw(&stage);
    assert_true(stage.model->is_complete);
    const struct model_compared *pair = pair_of(stage.model, ORACLE_WEIGHT);
    assert_non_null(pair);
    assert_int_equal(pair->step[0], 20); /* every fourth step: the last up to it */
    assert_int_equal(pair->step[1], 40);
    double a =
        oracle_value(&stage.oracle, ORACLE_WEIGHT, READING_SUMMARY, SUMMARY_MEAN, -1, 20);
    assert_true(fabs(pair->values[0][COMPARED_MEAN] - a) < 1e-12);
    assert_true(stage_says(&stage, "A: step 22 · B: step 40"));
    stage_assert_golden(&stage, "compare_steps");
    stage_end(&stage);
}

static void the_cursor_says_up_to_which_step(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    draw_both(&stage);
    stage.view->cursor = 100;
    stage.view->cursor_is_kept = true;
    stage_draw(&stage);
    stage_draw(&stage);
    assert_int_equal(pair_of(stage.model, ORACLE_GRAD_NORM)->step[0], 100);
    assert_true(stage_says(&stage, "up to step 100"));
    stage.view->other_run = 0; /* nothing is left of it */
    stage_draw(&stage);
    assert_null(stage.model->compare);
    assert_true(stage_says(&stage, "Nothing to compare yet"));
    stage_end(&stage);
}

/* Ink of the texts of a table: no two touch, none leaves the window. */
static void assert_texts_apart(const struct stage *stage)
{
    size_t n = 0;
    struct draw_rect inks[1024];
    size_t n_inks = 0;
    struct draw_rect clip[DRAW_MAX_CLIP_DEPTH + 1] = {draw_frame(stage->list)};
    int depth = 0;
    const struct draw_cmd *cmds = draw_cmds(stage->list, &n);
    for (size_t i = 0; i < n; i++) {
        depth -= cmds[i].op == DRAW_UNCLIP ? 1 : 0;
        if (cmds[i].op == DRAW_CLIP) {
            clip[++depth] = cmds[i].box;
        }
        if (cmds[i].op != DRAW_STRING) {
            continue;
        }
        float h = cmds[i].u.string.size * 0.72F;
        struct draw_rect ink = {cmds[i].box.x, cmds[i].u.string.y - h, cmds[i].box.w, h};
        if (ink.y + h < clip[depth].y || ink.y > clip[depth].y + clip[depth].h) {
            continue; /* scrolled away */
        }
        if (ink.x < -0.5F || ink.x + ink.w > stage->w + 0.5F) {
            fail_msg("'%s' is cut", cmds[i].u.string.text);
        }
        for (size_t k = 0; k < n_inks; k++) {
            bool touch = ink.x + 1 < inks[k].x + inks[k].w &&
                         inks[k].x + 1 < ink.x + ink.w && ink.y + 1 < inks[k].y + h &&
                         inks[k].y + 1 < ink.y + h;
            if (touch) {
                fail_msg("%g x %g: '%s' overlaps another", (double)stage->w,
                    (double)stage->h, cmds[i].u.string.text);
            }
        }
        assert_true(n_inks < 1024);
        inks[n_inks++] = ink;
    }
    assert_true(n_inks > 10);
}

static void nothing_overlaps_at_the_sizes_people_have(void **state)
{
    (void)state;
    static const float sizes[][2] = {
        {640, 400}, {800, 600}, {1000, 640}, {1280, 800}, {1920, 1080}};
    struct stage stage;
    begin(&stage);
    draw_both(&stage);
    for (int steps = 0; steps < 2; steps++) {
        stage.view->compare.is_steps = steps != 0;
        stage.view->compare.steps[0] = 10;
        stage.view->compare.steps[1] = 90;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            stage.w = sizes[i][0];
            stage.h = sizes[i][1];
            stage_draw(&stage);
            assert_texts_apart(&stage);
        }
    }
    stage_end(&stage);
}

static void settings_that_differ_are_told_by_their_paths(void **state)
{
    (void)state;
    struct config_pair pairs[4];
    size_t n_same = 0;
    size_t n = config_differences(
        "{\"lr\": 0.1, \"opt\": {\"name\": \"adam\", \"betas\": [0.9, 0.99]}, \"x\": {}}",
        "{\"opt\": {\"betas\": [0.9, 0.95], \"name\": \"adam\"}, \"lr\": 0.1, \"x\": {}, "
        "\"note\": \"a \\\"b\\\" , c\"}",
        pairs, 4, &n_same);
    assert_int_equal(n, 2);
    assert_int_equal(n_same, 3);
    assert_string_equal(pairs[0].key, "note");
    assert_string_equal(pairs[0].a, "");
    assert_string_equal(pairs[0].b, "\"a \\\"b\\\" , c\"");
    assert_string_equal(pairs[1].key, "opt.betas");
    assert_string_equal(pairs[1].a, "[0.9, 0.99]");
    assert_string_equal(pairs[1].b, "[0.9, 0.95]");
    assert_int_equal(config_differences("", "no json", pairs, 4, &n_same), 0);
    assert_int_equal(config_differences("{\"a\": [1, {", "{\"a\"", pairs, 4, NULL), 0);
    assert_int_equal(config_differences("{\"a\": 1, \"b\": 2}", NULL, pairs, 1, NULL), 2);
    char text[400];
    memset(text, 'x', sizeof text);
    memcpy(text, "{\"k\": \"", 7);
    memcpy(text + sizeof text - 3, "\"}", 3);
    assert_int_equal(config_differences(text, "{}", pairs, 4, NULL), 1);
    assert_string_equal(pairs[0].a + CONFIG_VALUE_BYTES - 4, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_chosen_it_says_how_to),
        cmocka_unit_test(two_runs_are_compared_up_to_the_last_step_of_both),
        cmocka_unit_test(units_of_what_is_seen_are_compared_one_by_one),
        cmocka_unit_test(two_steps_of_a_run_are_compared_with_m_and_c),
        cmocka_unit_test(the_cursor_says_up_to_which_step),
        cmocka_unit_test(nothing_overlaps_at_the_sizes_people_have),
        cmocka_unit_test(settings_that_differ_are_told_by_their_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
