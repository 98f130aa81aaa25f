/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/analysis/judge.h"
#include "lib/analysis/why.h"
#include "lib/analysis/why_inside.h"
#include "lib/analysis/why_probe.h"
#include "lib/base/mem.h"
#include "tests/unit/story.h"

static const struct why_story *tell(struct story *stage)
{
    why_tell(&stage->facts, &stage->story);
    return &stage->story;
}

static bool says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        print_message("'%s' is not in '%s'\n", words, text);
        return false;
    }
    return true;
}

static bool any_remedy_says(const struct why_story *story, const char *words)
{
    for (size_t i = 0; i < story->n_remedies; i++) {
        if (strstr(story->remedies[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

/* Where operations end, on the side of what they were given. */
static void an_operation_breaks_where_it_is_no_longer_defined(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double operand, limit;
    } known[] = {{"log", -2, 0}, {"log1p", -2, -1}, {"log2", -1, 0}, {"logit", 1.5, 1},
        {"logit", -0.5, 0}, {"sqrt_", -3, 0}, {"rsqrt", 0, 0}, {"acos", 1.25, 1},
        {"acos", -1.25, -1}, {"atanh_backward", 1, 1}, {"acosh", 0.5, 1},
        {"erfinv", -2, -1}, {"special_ndtri", 1.5, 1}, {"binary_cross_entropy", 1.5, 1},
        {"square", 1e30, 1.8446743e19}, {"exp", 91, 88.722839}, {"expm1", 91, 88.722839},
        {"exp2", 130, 128}, {"sinh", -90, -89.415987}, {"cosh", 90, 89.415987},
        {"reciprocal", 0, 0}};
    const struct probe_value result = {.dtype = BARO_F32};
    for (size_t i = 0; i < BARO_LEN(known); i++) {
        const struct probe_op op = {.name = known[i].name};
        const double limit = why_limit_of(&op, &result, known[i].operand, false);
        if (!(fabs(limit - known[i].limit) <= 1e-6 * fabs(known[i].limit))) {
            fail_msg("%s breaks at %g, not %g", known[i].name, known[i].limit, limit);
        }
    }
    char place[WHY_NAME_BYTES];
    assert_string_equal(why_place("0", place), "module 0");
}

/* ---- told from a probe ---- */

static void a_sample_that_overflows_exp_is_found_with_its_number(void **state)
{
    (void)state;
    struct story *stage = story_create();
    struct story_network network;
    story_network_init(&network);
    struct story_probe calm = story_probe_make(&network, 100, NULL);
    for (int i = 0; i < STORY_IN; i++) {
        network.x[STORY_BAD_ROW * STORY_IN + i] *= 200;
    }
    struct story_probe failure = story_probe_make(&network, STORY_STEP, &story_origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    story_add_batches(stage, false);
    (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
    stage->values[0][STORY_STEP] = (double)INFINITY;
    const struct why_story *story = tell(stage);
    double operand = (double)network.b[1];
    for (int i = 0; i < STORY_IN; i++) {
        operand += (double)network.x[STORY_BAD_ROW * STORY_IN + i] *
                   (double)network.w[i * STORY_OUT + 1];
    }
    assert_int_equal(story->answer, WHY_FROM_PROBE);
    assert_string_equal(story->origin.op, "exp");
    assert_string_equal(story->origin.module, "exp_logvar");
    assert_true(fabs(story->origin.operand - operand) < 1e-3);
    assert_true(fabs(story->origin.limit - 88.72284) < 1e-4);
    assert_true(story->origin.usual < 5);
    assert_int_equal(story->origin.calm_step, 100);
    assert_true(says(story->headline, "exp of 91.2"));
    assert_true(says(story->headline, "(exp_logvar, unit 1, sample 12, train.py:57)"));
    assert_int_equal(story->n_samples, 1);
    assert_int_equal(story->samples[0].sample, 12);
    assert_int_equal(story->samples[0].row, STORY_BAD_ROW);
    assert_int_equal(story->verdict.cause, WHY_DATA);
    assert_true(story->verdict.sureness > 0.25);
    assert_true(any_remedy_says(story, "Clamp logvar to [-30, 20]"));
    assert_true(any_remedy_says(story, "sample 12"));
    assert_string_equal(story->suspects[0].module, "exp_logvar");
    assert_true(story->n_hops >= 2);
    assert_string_equal(story->hops[0].module, "logvar");
    assert_string_equal(story->hops[1].module, "input 0");
    assert_true(fabs(story->hops[0].share - 1) < 1e-6);
    assert_true(story->hops[1].share > 0.9);
    story_probe_finish(&calm);
    story_probe_finish(&failure);
    free(stage);
}

static void weights_that_grew_are_told_from_bad_data(void **state)
{
    (void)state;
    struct story *stage = story_create();
    struct story_network network;
    story_network_init(&network);
    struct story_probe calm = story_probe_make(&network, 100, NULL);
    for (int i = 0; i < STORY_IN * STORY_OUT; i++) {
        network.w[i] *= 150;
    }
    struct probe_origin origin = story_origin;
    origin.n_rows = STORY_BATCH;
    origin.rows = story_rows;
    struct story_probe failure = story_probe_make(&network, STORY_STEP, &origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    story_add_batches(stage, true);
    const struct why_story *story = tell(stage); /* no incident: the probe is enough */
    assert_int_equal(story->answer, WHY_FROM_PROBE);
    assert_int_equal(story->verdict.cause, WHY_OPTIMISER);
    assert_int_equal(story->n_samples, 0); /* the whole batch did it */
    bool is_weight_named = false;
    for (size_t i = 0; i < story->verdict.n_evidence; i++) {
        is_weight_named = is_weight_named ||
                          strstr(story->verdict.evidence[i].text, "logvar.weight") != NULL;
    }
    assert_true(is_weight_named);
    story_probe_finish(&calm);
    story_probe_finish(&failure);
    free(stage);
}

static void a_sample_that_was_harmless_before_clears_the_data(void **state)
{
    (void)state;
    double sureness[2];
    for (int has_past = 0; has_past < 2; has_past++) {
        struct story *stage = story_create();
        struct story_network network;
        story_network_init(&network);
        network.w[1] = 300;
        struct story_probe failure = story_probe_make(&network, STORY_STEP, &story_origin);
        stage->facts.failure = failure.probe;
        story_add_batches(stage, has_past != 0);
        const struct why_story *story = tell(stage);
        assert_int_equal(story->samples[0].n_before, has_past != 0 ? 3 : 0);
        if (has_past != 0) {
            assert_int_equal(story->samples[0].last_step, 40);
            assert_true(says(story->samples[0].text, "harmless then"));
        }
        sureness[has_past] = story->verdict.cause == WHY_DATA ? story->verdict.sureness : 0;
        story_probe_finish(&failure);
        free(stage);
    }
    assert_true(sureness[1] <= sureness[0]);
}

static void a_logarithm_of_zero_asks_for_a_guard(void **state)
{
    (void)state;
    struct story *stage = story_create();
    struct story_network network;
    story_network_init(&network);
    network.last = "log";
    network.w[1] = network.w[3] = network.w[5] = 0;
    network.b[1] = 0;
    struct probe_origin origin = story_origin;
    origin.cause = "log of 0 is -Inf";
    struct story_probe failure = story_probe_make(&network, STORY_STEP, &origin);
    stage->facts.failure = failure.probe;
    const struct why_story *story = tell(stage);
    assert_true(fabs(story->origin.operand) < 1e-30);
    assert_true(any_remedy_says(story, "clamp_min(1e-7)"));
    assert_int_equal(story->verdict.cause, WHY_ARCHITECTURE);
    story_probe_finish(&failure);
    free(stage);
}

static void what_was_not_finite_from_outside_is_data_or_poison(void **state)
{
    (void)state;
    for (int is_weight = 0; is_weight < 2; is_weight++) {
        struct story *stage = story_create();
        struct story_network network;
        story_network_init(&network);
        *(is_weight ? &network.w[2] : &network.x[STORY_BAD_ROW * STORY_IN]) = NAN;
        struct probe_origin origin = story_origin;
        origin.op = PROBE_NONE;
        origin.value = is_weight;
        origin.cause = "it holds NaN";
        struct story_probe failure = story_probe_make(&network, STORY_STEP, &origin);
        stage->facts.failure = failure.probe;
        const struct why_story *story = tell(stage);
        assert_true(story->origin.is_outside);
        assert_int_equal(story->verdict.cause, is_weight ? WHY_OPTIMISER : WHY_DATA);
        assert_string_equal(story->suspects[0].module, is_weight ? "logvar" : "input");
        assert_int_equal(any_remedy_says(story, "checkpoint"), is_weight);
        story_probe_finish(&failure);
        free(stage);
    }
}

static void a_probe_of_another_graph_or_without_origin_does_no_harm(void **state)
{
    (void)state;
    struct story *stage = story_create();
    struct story_network network;
    story_network_init(&network);
    network.last = "sqrt";
    struct story_probe calm = story_probe_make(&network, 100, NULL);
    network.last = "exp";
    struct story_probe failure = story_probe_make(&network, STORY_STEP, &story_origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    assert_int_equal(tell(stage)->answer, WHY_FROM_PROBE);
    stage->facts.failure = calm.probe; /* it has no origin */
    assert_int_equal(tell(stage)->answer, WHY_NOTHING);
    (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
    assert_int_equal(tell(stage)->answer, WHY_FROM_READINGS);
    assert_true(says(stage->story.missing[0], "not which operation failed"));
    stage->facts.failure = NULL;
    assert_true(says(tell(stage)->missing[0], "not captured"));
    story_probe_finish(&calm);
    story_probe_finish(&failure);
    free(stage);
}

/* ---- told from readings ---- */

static void a_leap_of_the_learning_rate_is_blamed_on_the_optimiser(void **state)
{
    (void)state;
    struct story *stage = story_create();
    for (int i = STORY_STEP; i < STORY_STEPS; i++) {
        stage->values[1][i] = 5;
        stage->values[0][i] = i > STORY_STEP ? 300 : stage->values[0][i];
    }
    char *causes[] = {(char *)(uintptr_t)judge_cause_text(JUDGE_CAUSE_BAD_BATCH)};
    struct why_alert *alert = story_add_alert(stage, "loss_spike", 1, STORY_STEP + 1);
    alert->causes = causes;
    alert->n_causes = 1;
    const struct why_story *story = tell(stage);
    assert_int_equal(story->answer, WHY_FROM_READINGS);
    assert_int_equal(story->verdict.cause, WHY_OPTIMISER);
    assert_int_equal(story->loss_step, STORY_STEP + 1);
    assert_int_equal(story->beats[0].kind, WHY_BEAT_SETTING);
    assert_int_equal(story->beats[0].step, STORY_STEP);
    assert_int_equal(story->beats[0].lead, 1);
    assert_true(any_remedy_says(story, "Go back to lr 0.05, as it was until step 150"));
    free(stage);
}

static void a_drift_is_told_with_its_lead_over_the_loss(void **state)
{
    (void)state;
    struct story *stage = story_create();
    for (int i = 110; i < STORY_STEPS; i++) {
        stage->values[2][i] *= exp(0.1 * (i - 110));
        stage->values[0][i] = i >= STORY_STEP ? (double)NAN : stage->values[0][i];
    }
    struct why_alert *alert = story_add_alert(stage, "nonfinite", 3, STORY_STEP);
    alert->unit = 7;
    (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
    const struct why_story *story = tell(stage);
    const struct why_beat *drift = NULL;
    for (size_t i = 0; i < story->n_beats; i++) {
        drift = story->beats[i].kind == WHY_BEAT_DRIFT ? &story->beats[i] : drift;
    }
    assert_non_null(drift);
    assert_true(drift->step >= 105 && drift->step <= 116);
    assert_int_equal(drift->lead, STORY_STEP - drift->step);
    assert_true(says(drift->text, "steps before the loss showed it"));
    assert_string_equal(story->suspects[0].module, "logvar");
    assert_int_equal(story->suspects[0].unit, 7);
    assert_int_equal(story->loss_step, STORY_STEP);
    free(stage);
}

static void steps_without_a_random_state_are_not_said_to_have_one(void **state)
{
    (void)state;
    struct story *stage = story_create();
    assert_null(strstr(tell(stage)->looked, "random state"));
    why_add_state(&stage->facts, 5);
    why_add_state(&stage->facts, 6);
    why_add_state(&stage->facts, 6); /* of a second device */
    assert_true(says(tell(stage)->looked, "the random state of steps 5 to 6 is kept"));
    assert_null(strstr(stage->story.looked, "of them"));
    why_add_state(&stage->facts, 9);
    assert_true(says(
        tell(stage)->looked, "the random state of steps 5 to 9 is kept, for 3 of them"));
    free(stage);
}

static void a_run_in_which_nothing_is_wrong_says_so(void **state)
{
    (void)state;
    struct story *stage = story_create();
    assert_int_equal(tell(stage)->answer, WHY_NOTHING);
    assert_true(says(stage->story.headline, "Nothing is wrong with tests/run"));
    assert_int_equal(stage->story.n_remedies, 0);
    assert_true(says(stage->story.looked, "2 scalars and 1 tensor"));
    stage->facts.run.status = "failed";
    stage->facts.run.reason = "KeyError: 'x'";
    assert_true(says(tell(stage)->headline, "failed at step 199: KeyError: 'x'"));
    free(stage);
}

static void a_run_of_which_nothing_is_known_says_so(void **state)
{
    (void)state;
    const struct why_facts facts = {
        .run = {.name = "tests/empty", .status = "running", .reason = ""}};
    struct why_story *story = baro_xcalloc(1, sizeof *story);
    why_tell(&facts, story);
    assert_true(says(story->headline, "Nothing is known of tests/empty yet"));
    assert_int_equal(story->n_beats, 0);
    free(story);
}

static void one_step_is_said_to_be_too_little(void **state)
{
    (void)state;
    struct story *stage = story_create();
    stage->facts.run.n_steps = 1;
    stage->facts.run.last_step = 0;
    for (size_t i = 0; i < stage->facts.n_series; i++) {
        stage->series[i].n = 1;
    }
    assert_true(says(tell(stage)->missing[0], "One step is too little"));
    free(stage);
}

/* ---- what samples gave, and what did no harm ---- */

static void a_samples_own_loss_says_whether_it_was_harmless_before(void **state)
{
    (void)state;
    for (int is_out = 0; is_out < 2; is_out++) {
        struct story *stage = story_create();
        struct story_network network;
        story_network_init(&network);
        for (int i = 0; i < STORY_IN; i++) {
            network.x[STORY_BAD_ROW * STORY_IN + i] *= 200;
        }
        struct story_probe failure = story_probe_make(&network, STORY_STEP, &story_origin);
        stage->facts.failure = failure.probe;
        story_add_batches(stage, true);
        (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
        struct reading_sample given[STORY_BATCH];
        for (int i = 0; i < STORY_BATCH; i++) {
            given[i] = (struct reading_sample){.index = 10 + i, .loss = 0.5F + 0.01F * i};
        }
        given[STORY_BAD_ROW].loss = is_out ? 40.0F : 0.625F;
        const struct why_results results = {30, STORY_BATCH, given};
        stage->facts.results = &results;
        stage->facts.n_results = 1;
        const struct why_story *story = tell(stage);
        assert_true(story->samples[0].has_own);
        assert_int_equal(story->samples[0].own_step, 30);
        assert_int_equal(story->samples[0].is_own_out, is_out);
        assert_true(says(story->samples[0].text,
            is_out ? "its own loss was 40, where 0.52 was usual: it stood out already"
                   : "its own loss was 0.625, where 0.52 was usual: harmless then"));
        story_probe_finish(&failure);
        free(stage);
    }
}

static void without_a_probe_the_sample_whose_own_loss_was_lost_is_named(void **state)
{
    (void)state;
    struct story *stage = story_create();
    story_add_batches(stage, false);
    (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
    struct reading_sample given[STORY_BATCH];
    for (int i = 0; i < STORY_BATCH; i++) {
        given[i] = (struct reading_sample){
            .index = 10 + i, .loss = i == STORY_BAD_ROW ? NAN : 0.5F};
    }
    const struct why_results results = {STORY_STEP, STORY_BATCH, given};
    stage->facts.results = &results;
    stage->facts.n_results = 1;
    const struct why_story *story = tell(stage);
    assert_int_equal(story->n_samples, 1);
    assert_int_equal(story->samples[0].sample, 12);
    assert_true(story->samples[0].is_certain);
    free(stage);
}

static void a_nan_that_never_reaches_the_loss_may_be_meant(void **state)
{
    (void)state;
    struct story *stage = story_create();
    (void)story_add_alert(stage, "nonfinite", 3, STORY_STEP);
    const struct why_story *story = tell(stage);
    assert_true(story->is_harmless);
    assert_true(says(story->headline, "It has not reached the loss"));
    assert_int_equal(story->verdict.cause, WHY_UNKNOWN);
    assert_true(any_remedy_says(story, "If logvar is meant to hold NaN"));
    stage->values[0][STORY_STEP + 3] = (double)NAN;
    assert_false(tell(stage)->is_harmless);
    free(stage);
}

static void a_failure_of_which_pieces_are_missing_is_told_as_such(void **state)
{
    (void)state;
    struct story *stage = story_create();
    (void)story_add_alert(stage, "nonfinite", 1, STORY_STEP);
    stage->facts.others = (struct why_others){.n = 1,
        .steps = {STORY_STEP + 9},
        .cut_step = STORY_STEP,
        .pieces = 9,
        .pieces_here = 4};
    const struct why_story *story = tell(stage);
    bool is_told = false;
    for (size_t i = 0; i < story->n_missing; i++) {
        is_told = is_told || strstr(story->missing[i], "4 of 9 pieces came") != NULL;
        assert_null(strstr(story->missing[i], "run.watch(model, optimizer) the moment"));
    }
    assert_true(is_told);
    assert_true(says(story->looked, "(1 more was captured, at step 159)"));
    free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operation_breaks_where_it_is_no_longer_defined),
        cmocka_unit_test(a_sample_that_overflows_exp_is_found_with_its_number),
        cmocka_unit_test(weights_that_grew_are_told_from_bad_data),
        cmocka_unit_test(a_sample_that_was_harmless_before_clears_the_data),
        cmocka_unit_test(a_logarithm_of_zero_asks_for_a_guard),
        cmocka_unit_test(what_was_not_finite_from_outside_is_data_or_poison),
        cmocka_unit_test(a_probe_of_another_graph_or_without_origin_does_no_harm),
        cmocka_unit_test(a_leap_of_the_learning_rate_is_blamed_on_the_optimiser),
        cmocka_unit_test(a_drift_is_told_with_its_lead_over_the_loss),
        cmocka_unit_test(steps_without_a_random_state_are_not_said_to_have_one),
        cmocka_unit_test(a_run_in_which_nothing_is_wrong_says_so),
        cmocka_unit_test(a_run_of_which_nothing_is_known_says_so),
        cmocka_unit_test(one_step_is_said_to_be_too_little),
        cmocka_unit_test(a_samples_own_loss_says_whether_it_was_harmless_before),
        cmocka_unit_test(without_a_probe_the_sample_whose_own_loss_was_lost_is_named),
        cmocka_unit_test(a_nan_that_never_reaches_the_loss_may_be_meant),
        cmocka_unit_test(a_failure_of_which_pieces_are_missing_is_told_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
