/* SPDX-License-Identifier: Apache-2.0 */
/* How the keeper asks for a sample of units, and what it takes of the answers. */
#include "tests/testing.h"

#include <math.h>

#include "client/model/apart.h"
#include "client/model/keeper.h"
#include "lib/base/mem.h"
#include "tests/view/oracle.h"

static struct model_sample_wish wish_of(uint32_t thing, int64_t from, int64_t to)
{
    return (struct model_sample_wish){.thing = thing,
        .stat = UNIT_L2,
        .from_step = from,
        .to_step = to,
        .columns = 128,
        .height = 256};
}

/* A keeper whose page wishes for a sample. */
struct rig {
    struct oracle oracle;
    struct keeper *keeper;
    struct model_wish wish;
    uint64_t serial;
    struct model *model;
};

static void publish(struct rig *rig)
{
    part_unref(rig->model);
    rig->model = keeper_publish(rig->keeper);
}

static void set_wish(struct rig *rig, const struct model_sample_wish *sample)
{
    rig->wish.sample = *sample;
    keeper_set_wish(rig->keeper, &rig->wish, ++rig->serial);
}

static void begin(struct rig *rig)
{
    *rig = (struct rig){.keeper = keeper_create("ipc:///nowhere")};
    rig->oracle = (struct oracle){
        .n_steps = 400, .bad_step = INT64_MAX, .status = BARO__RUN_STATUS__RUN_FINISHED};
    rig->wish.run = 7;
    rig->wish.to_step = 400;
    rig->wish.columns = rig->wish.coarse_columns = 64;
    oracle_connect(rig->keeper);
    keeper_set_wish(rig->keeper, &rig->wish, ++rig->serial);
    oracle_answer(&rig->oracle, rig->keeper);
}

static void end(struct rig *rig)
{
    part_unref(rig->model);
    keeper_destroy(rig->keeper);
}

/* Take what the keeper asks without answering; the last sample's request number, 0: none. */
static uint64_t only_ask(struct rig *rig, size_t *out_n_cancels)
{
    Baro__Envelope question;
    uint64_t request = 0;
    while (keeper_ask(rig->keeper, &question)) {
        keeper_sent(rig->keeper, (int64_t)++rig->oracle.request);
        if (question.body_case == BARO__ENVELOPE__BODY_SAMPLE_REQUEST) {
            request = rig->oracle.request;
        } else if (question.body_case == BARO__ENVELOPE__BODY_CANCEL_REQUEST) {
            (*out_n_cancels)++;
        }
    }
    return request;
}

static void what_is_shown_stays_until_the_next_choice_is_there(void **state)
{
    (void)state;
    struct rig rig;
    size_t n_cancels = 0;
    begin(&rig);
    struct model_sample_wish all = wish_of(ORACLE_ACT, 0, 400);
    struct model_sample_wish part = wish_of(ORACLE_ACT, 100, 200);
    set_wish(&rig, &all);
    oracle_answer(&rig.oracle, rig.keeper);
    publish(&rig);
    assert_non_null(rig.model->sample);
    assert_true(rig.model->is_complete);
    assert_int_equal(rig.model->sample->n_shown, ORACLE_UNITS);
    assert_int_equal(rig.model->sample->of.to_step, 400);
    set_wish(&rig, &part);
    assert_true(only_ask(&rig, &n_cancels) > 0);
    assert_int_equal(n_cancels, 1);
    publish(&rig);
    assert_int_equal(rig.model->sample->of.to_step, 400); /* still the old one */
    assert_non_null(rig.model->sample->density);
    assert_false(rig.model->is_complete);
    rig.oracle.sample_request = rig.oracle.request;
    rig.oracle.asked.from_step = 100;
    rig.oracle.asked.to_step = 200;
    oracle_find(&rig.oracle, rig.keeper, true);
    publish(&rig);
    assert_int_equal(rig.model->sample->of.to_step, 200);
    assert_int_equal(rig.model->sample->from_step, 100);
    assert_true(rig.model->is_complete);
    end(&rig);
}

static void a_quick_hand_waits_for_one_picture_and_skips_what_lies_between(void **state)
{
    (void)state;
    struct rig rig;
    size_t n_cancels = 0;
    begin(&rig);
    struct model_sample_wish wish = wish_of(ORACLE_ACT, 0, 400);
    set_wish(&rig, &wish);
    uint64_t first = only_ask(&rig, &n_cancels);
    assert_true(first > 0);
    for (int64_t from = 1; from < 20; from++) {
        wish.from_step = from;
        set_wish(&rig, &wish);
        assert_int_equal(only_ask(&rig, &n_cancels), 0);
    }
    assert_int_equal(n_cancels, 0);
    rig.oracle.sample_request = first;
    rig.oracle.asked = (struct oracle_asked){
        .thing = ORACLE_ACT, .stat = UNIT_L2, .columns = 128, .to_step = 400};
    oracle_find(&rig.oracle, rig.keeper, false);
    uint64_t second = only_ask(&rig, &n_cancels);
    assert_true(second > first);
    assert_int_equal(n_cancels, 1);
    publish(&rig);
    assert_int_equal(rig.model->sample->of.from_step, 0);
    oracle_find(&rig.oracle, rig.keeper, true); /* of the first: cancelled, so ignored */
    publish(&rig);
    assert_false(rig.model->sample->is_done);
    struct model_sample_wish other = wish_of(ORACLE_WEIGHT, 0, 400);
    set_wish(&rig, &other); /* another tensor does not wait */
    assert_true(only_ask(&rig, &n_cancels) > second);
    assert_int_equal(n_cancels, 2);
    end(&rig);
}

static void what_was_chosen_is_told_back_and_shown_again_at_once(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig.oracle.every = 4;
    struct model_sample_wish act = wish_of(ORACLE_ACT, 0, 400);
    struct model_sample_wish weight = wish_of(ORACLE_WEIGHT, 0, 400);
    set_wish(&rig, &act);
    oracle_answer(&rig.oracle, rig.keeper);
    assert_int_equal(rig.oracle.asked.n_keep, 0);
    set_wish(&rig, &weight);
    oracle_answer(&rig.oracle, rig.keeper);
    set_wish(&rig, &act);
    publish(&rig); /* nothing has been answered yet */
    assert_non_null(rig.model->sample);
    assert_int_equal(rig.model->sample->of.thing, ORACLE_ACT);
    oracle_answer(&rig.oracle, rig.keeper);
    assert_int_equal(rig.oracle.asked.n_keep, 4);
    publish(&rig);
    const struct model_sample *sample = rig.model->sample;
    assert_int_equal(sample->n_shown, 4);
    assert_int_equal(sample->n_members[1], 4);
    assert_int_equal(sample->nearest[7], 1);
    assert_int_equal(model_sample_place(sample, 8), 2);
    assert_int_equal(model_sample_place(sample, 9), 4);
    end(&rig);
}

static void the_columns_of_a_finding_are_those_of_its_units(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig.oracle.every = 3;
    rig.oracle.bad_step = 310;
    struct model_sample_wish wish = wish_of(ORACLE_OUT, 0, 99);
    set_wish(&rig, &wish);
    oracle_answer(&rig.oracle, rig.keeper);
    publish(&rig);
    const struct model_units *lines = &rig.model->sample->lines;
    assert_int_equal(lines->n, 100);
    for (size_t place = 0; place < lines->n_units; place++) {
        int unit = (int)rig.model->sample->shown[place];
        for (size_t i = 0; i < lines->n; i++) {
            double value = oracle_value(
                &rig.oracle, ORACLE_OUT, READING_UNITS, UNIT_L2, unit, (int64_t)i);
            assert_float_equal(lines->x[i], (double)i, 0);
            assert_float_equal(lines->mean[place * lines->n + i], value, 1e-6);
            assert_int_equal(lines->flags[place * lines->n + i], 0);
        }
    }
    wish.to_step = 399;
    wish.columns = 400;
    set_wish(&rig, &wish);
    oracle_answer(&rig.oracle, rig.keeper);
    publish(&rig);
    lines = &rig.model->sample->lines;
    uint32_t bad = model_sample_place(rig.model->sample, ORACLE_BAD_UNIT);
    assert_int_equal(lines->any[bad], SHEET_NAN);
    assert_int_equal(lines->any[bad + 1], 0);
    assert_int_equal(lines->flags[bad * lines->n + 309], 0);
    assert_int_equal(lines->flags[bad * lines->n + 310], SHEET_NAN);
    assert_true(isnan(lines->mean[bad * lines->n + 310]));
    assert_int_equal(rig.model->sample->n_nonfinite, 1);
    end(&rig);
}

static void frames_that_do_not_fit_are_refused_and_said(void **state)
{
    (void)state;
    struct rig rig;
    size_t n_cancels = 0;
    begin(&rig);
    struct model_sample_wish wish = wish_of(ORACLE_ACT, 0, 400);
    set_wish(&rig, &wish);
    uint64_t request = only_ask(&rig, &n_cancels);
    Baro__SampleFinding finding;
    Baro__Envelope envelope;
    baro__sample_finding__init(&finding);
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_FINDING;
    envelope.sample_finding = &finding;
    envelope.request = request;
    finding.n_lines = ORACLE_UNITS;
    finding.n_shown = 2;
    const uint32_t shown[2] = {0, ORACLE_UNITS}; /* the last is one too many */
    const uint8_t reasons[2] = {1, 1};
    const struct keeper_frame frames[2] = {
        {(const uint8_t *)shown, sizeof shown}, {reasons, sizeof reasons}};
    keeper_take(rig.keeper, &envelope, frames, 2);
    publish(&rig);
    assert_non_null(rig.model->sample);
    assert_int_equal(rig.model->sample->n_shown, 0);
    assert_true(rig.model->sample->trouble[0] != '\0');
    keeper_take(rig.keeper, &envelope, NULL, 0);
    finding.n_shown = UINT32_MAX;
    finding.n_columns = UINT32_MAX;
    finding.density_width = finding.density_height = UINT32_MAX;
    keeper_take(rig.keeper, &envelope, frames, 2);
    publish(&rig);
    assert_int_equal(rig.model->sample->n_shown, 0);
    end(&rig);
}

static void a_new_connection_asks_anew_and_keeps_the_picture(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    struct model_sample_wish wish = wish_of(ORACLE_ACT, 0, 400);
    set_wish(&rig, &wish);
    oracle_answer(&rig.oracle, rig.keeper);
    uint64_t n = rig.oracle.n_samples;
    oracle_connect(rig.keeper);
    publish(&rig);
    assert_int_equal(rig.model->sample->n_shown, ORACLE_UNITS);
    oracle_answer(&rig.oracle, rig.keeper);
    assert_int_equal(rig.oracle.n_samples, n + 1);
    rig.wish.run = 8; /* another run: its units are others */
    keeper_set_wish(rig.keeper, &rig.wish, ++rig.serial);
    publish(&rig);
    assert_null(rig.model->sample);
    end(&rig);
}

static void one_unit_by_itself_comes_as_a_series_and_goes_on_live(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    struct model_ref ref = {ORACLE_ACT, READING_UNITS, UNIT_L2, 11};
    struct model_ref other = {ORACLE_ACT, READING_UNITS, UNIT_L2, 12};
    rig.wish.columns = 4096;
    assert_true(model_wish_add(&rig.wish, ref, false));
    assert_true(model_wish_add(&rig.wish, other, false));
    rig.wish.to_step = 1000;
    keeper_set_wish(rig.keeper, &rig.wish, ++rig.serial);
    oracle_answer(&rig.oracle, rig.keeper);
    oracle_live(&rig.oracle, rig.keeper, 400);
    publish(&rig);
    for (uint32_t unit = 11; unit <= 12; unit++) {
        ref.unit = unit;
        const struct model_series *series = model_find(rig.model, ref, false);
        assert_non_null(series);
        assert_int_equal(series->n, 401);
        for (size_t i = 0; i < series->n; i++) {
            assert_float_equal(model_column(series, i)->mean,
                oracle_value(&rig.oracle, ORACLE_ACT, READING_UNITS, UNIT_L2, (int)unit,
                    model_column(series, i)->first_step),
                1e-6);
        }
    }
    end(&rig);
}

static void a_whole_picture_is_not_given_up_for_the_beginnings_of_the_next_step(
    void **state)
{
    (void)state;
    struct rig rig;
    size_t n_cancels = 0;
    begin(&rig);
    struct model_sample_wish wish = wish_of(ORACLE_ACT, 0, 400);
    wish.is_live = true;
    set_wish(&rig, &wish);
    oracle_answer(&rig.oracle, rig.keeper);
    publish(&rig);
    assert_true(rig.model->sample->is_done);
    wish.to_step = 500; /* the run has grown */
    set_wish(&rig, &wish);
    rig.oracle.sample_request = only_ask(&rig, &n_cancels);
    rig.oracle.every = 8;
    oracle_find(&rig.oracle, rig.keeper, false);
    publish(&rig);
    assert_int_equal(rig.model->sample->n_shown, ORACLE_UNITS);
    assert_false(rig.model->is_complete);
    rig.oracle.every = 2;
    oracle_find(&rig.oracle, rig.keeper, true);
    publish(&rig);
    assert_int_equal(rig.model->sample->n_shown, ORACLE_UNITS / 2);
    assert_int_equal(rig.model->sample->of.to_step, 500);
    wish.from_step = 100; /* a hand that zooms wants to see at once */
    wish.to_step = 200;
    set_wish(&rig, &wish);
    rig.oracle.sample_request = only_ask(&rig, &n_cancels);
    rig.oracle.every = 8;
    oracle_find(&rig.oracle, rig.keeper, false);
    publish(&rig);
    assert_int_equal(rig.model->sample->n_shown, ORACLE_UNITS / 8);
    end(&rig);
}

static void the_distance_of_lines_is_that_of_pixels_on_the_axis(void **state)
{
    (void)state;
    enum { N = 10 };
    float mean[4 * N];
    for (size_t i = 0; i < N; i++) {
        mean[i] = 1;
        mean[N + i] = 10;
        mean[2 * N + i] = i < N / 2 ? 100 : 1000; /* crosses nothing, jumps on */
        mean[3 * N + i] = NAN;
    }
    struct model_units rows = {.n_units = 4, .n = N, .mean = mean};
    struct axis axis = {.kind = AXIS_LOG, .lo = 1, .hi = 1000, .linear_to = 1};
    float apart[4];
    apart_measure(&rows, &axis, 300, apart);
    assert_float_equal(apart[0], 100, 0.01);
    assert_float_equal(apart[1], 100, 0.01);
    assert_float_equal(apart[2], 150, 0.01); /* 100 px for one half, 200 for the other */
    assert_float_equal(apart[3], 0, 0);
    rows.n_units = 1;
    apart_measure(&rows, &axis, 300, apart);
    assert_float_equal(apart[0], 300, 0.01); /* alone */
    rows.n = 0;
    apart_measure(&rows, &axis, 300, apart);
    assert_float_equal(apart[0], 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_stays_until_the_next_choice_is_there),
        cmocka_unit_test(a_quick_hand_waits_for_one_picture_and_skips_what_lies_between),
        cmocka_unit_test(what_was_chosen_is_told_back_and_shown_again_at_once),
        cmocka_unit_test(the_columns_of_a_finding_are_those_of_its_units),
        cmocka_unit_test(frames_that_do_not_fit_are_refused_and_said),
        cmocka_unit_test(a_new_connection_asks_anew_and_keeps_the_picture),
        cmocka_unit_test(
            a_whole_picture_is_not_given_up_for_the_beginnings_of_the_next_step),
        cmocka_unit_test(the_distance_of_lines_is_that_of_pixels_on_the_axis),
        cmocka_unit_test(one_unit_by_itself_comes_as_a_series_and_goes_on_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
