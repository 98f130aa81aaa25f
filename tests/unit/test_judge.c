/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "tests/testing.h"

#include "lib/analysis/judge.h"
#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/* The judge itself: order, completeness of steps, refractory time, excuses, the user's rules. */

/* ---- when and in which order ---- */

static void a_finding_comes_when_the_second_step_after_it_begins(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t act = rig_tensor(&rig, "fc1", BARO_ACT, 0, 8);
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, 8, 1);
    rig_step(&rig, 0, (double)NAN);
    rig_summary(&rig, act, stats);
    rig_step(&rig, 1, 0.1);
    stats[SUMMARY_N_NAN] = 2;
    stats[SUMMARY_FIRST_BAD_UNIT] = 3;
    rig_summary(&rig, act, stats);
    rig_step(&rig, 2, 0.1);
    assert_int_equal(rig.n_found, 0);
    rig_step(&rig, 3, 0.1);
    assert_int_equal(rig.n_found, 1);
    assert_string_equal(rig.found[0].kind, "nonfinite");
    assert_int_equal(rig.found[0].step, 1);
    assert_int_equal(rig.found[0].thing, act);
    assert_int_equal(rig.found[0].level, BARO_ALARM);
    assert_string_equal(rig.found[0].text, "fc1 (act) became NaN in unit 3 at step 1.");
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 1);
    rig_close(&rig);
}

/* One reading of a made-up run, so that the order in which things speak can be shuffled. */
struct line {
    uint32_t thing;
    double value;
};

enum { N_THINGS = 12, N_STEPS = 400 };

static int64_t run_shuffled(struct judge_rig *rig, uint64_t seed)
{
    rig_open(rig, NULL);
    char name[32];
    for (int i = 0; i < N_THINGS; i++) {
        snprintf(name, sizeof name, i % 2 == 0 ? "part%d/loss" : "layer.%d", i);
        if (i % 2 == 0) {
            rig_scalar(rig, name);
        } else {
            rig_tensor(rig, name, i % 4 == 1 ? BARO_ACT : BARO_GRAD, 0, 16);
        }
    }
    struct judge_rig values = {.noise = 4711};
    for (int64_t step = 0; step < N_STEPS; step++) {
        struct line lines[N_THINGS];
        for (uint32_t i = 0; i < N_THINGS; i++) {
            double jump = (step * 7 + i * 31) % 150 == 149 ? 30 : 0;
            lines[i] = (struct line){i + 1, 5 + rig_normal(&values) + jump};
        }
        rig->noise = seed * 2654435761U + (uint64_t)step + 1;
        for (uint32_t i = N_THINGS - 1; seed > 0 && i > 0; i--) {
            uint32_t other = (uint32_t)(rig_uniform(rig) * (i + 1));
            struct line kept = lines[i];
            lines[i] = lines[other];
            lines[other] = kept;
        }
        rig_step(rig, step, 0.1);
        for (uint32_t i = 0; i < N_THINGS; i++) {
            double stats[SUMMARY_STAT_COUNT];
            rig_stats(stats, 16, 1);
            stats[SUMMARY_N_POS_INF] = lines[i].value > 25 ? 1 : 0;
            if (lines[i].thing % 2 == 1) {
                rig_value(rig, lines[i].thing, lines[i].value);
            } else {
                rig_summary(rig, lines[i].thing, stats);
            }
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
    return (int64_t)rig->n_found;
}

static void findings_do_not_depend_on_the_order_of_things(void **state)
{
    (void)state;
    struct judge_rig first;
    assert_true(run_shuffled(&first, 0) > 5);
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct judge_rig other;
        assert_int_equal(run_shuffled(&other, seed), first.n_found);
        for (size_t i = 0; i < first.n_found; i++) {
            const struct judge_finding *a = &first.found[i];
            const struct judge_finding *b = &other.found[i];
            assert_string_equal(a->kind, b->kind);
            assert_string_equal(a->text, b->text);
            assert_int_equal(a->thing, b->thing);
            assert_int_equal(a->step, b->step);
        }
        rig_close(&other);
    }
    rig_close(&first);
}

static void steps_that_go_back_complete_what_was_open(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "nonfinite");
    uint32_t loss = rig_scalar(&rig, "loss");
    rig_step(&rig, 100, (double)NAN);
    rig_value(&rig, loss, (double)NAN);
    assert_int_equal(rig.n_found, 0);
    rig_step(&rig, 50, (double)NAN);
    assert_int_equal(rig.n_found, 1);
    assert_int_equal(rig.found[0].step, 100);
    rig_close(&rig);
}

/* The client's own figures of a step may be on their way before the step is. */
static void a_reading_before_its_step_is_no_restart(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "loss_spike");
    uint32_t loss = rig_scalar(&rig, "loss");
    uint32_t own = rig_scalar(&rig, "barograph/own_ms");
    for (int64_t step = 0; step < 200; step++) {
        rig.step = step;
        if (step == 150) {
            rig_value(&rig, own, 0.01);
        }
        rig_step(&rig, step, (double)NAN);
        rig_value(&rig, loss, step == 160 ? 9 : 1 + 0.01 * (double)(step % 5));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig_count(&rig, "loss_spike"), 1);
    assert_int_equal(rig.found[0].step, 160);
    rig_close(&rig);
}

/* The client's own words are no change that somebody meant; the user's are. */
static void only_the_users_events_excuse(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct judge_rig rig;
        rig_open(&rig, "divergence");
        uint32_t loss = rig_scalar(&rig, "loss");
        for (int64_t step = 0; step < 40; step++) {
            rig_step(&rig, step, (double)NAN);
            if (step == 19) {
                rig_event(&rig, BARO_INFO,
                    i == 0 ? "barograph: 2 parameters are shared" : "phase 2");
            }
            rig_value(&rig, loss, step < 20 ? 2.3 : 20 + (double)step);
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        assert_int_equal(rig_count(&rig, "divergence"), i == 0 ? 1 : 0);
        rig_close(&rig);
    }
}

/* ---- what is told, and how often ---- */

static void what_never_heals_is_told_ever_more_rarely(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    struct rule_custom custom = {
        .name = "big", .glob = "x", .test = RULE_ABOVE, .limit = 10, .n_times = 1};
    assert_int_equal(rule_book_add(rig.book, &custom, NULL), 0);
    rig_reopen(&rig);
    uint32_t x = rig_scalar(&rig, "x");
    for (int64_t step = 0; step < 20000; step++) {
        rig_step(&rig, step, 0.1);
        rig_value(&rig, x, step % 2 == 0 ? 11 : 9);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    /* 0, 200, 600, 1400, 3000, 6200, 12600, (19000 + 6400) */
    assert_int_equal(rig_count(&rig, "big"), 7);
    assert_int_equal(rig.found[1].step, 200);
    assert_int_equal(rig.found[6].step, 12600);
    assert_string_equal(rig.found[0].text, "x is above 10 at step 0: 11.");
    rig_close(&rig);
}

static void a_mixed_precision_step_that_is_skipped_is_no_alarm(void **state)
{
    (void)state;
    for (int n_bad = 1; n_bad < 40; n_bad += 19) {
        struct judge_rig rig;
        rig_open(&rig, "nonfinite");
        uint32_t grad = rig_tensor(&rig, "fc.weight", BARO_GRAD, 0, 8);
        uint32_t scale = rig_scalar(&rig, "loss_scale");
        double stats[SUMMARY_STAT_COUNT];
        for (int64_t step = 0; step < 100; step++) {
            rig_stats(stats, 8, 1);
            stats[SUMMARY_N_POS_INF] = step < n_bad ? 1 : 0;
            rig_step(&rig, step, 0.1);
            rig_summary(&rig, grad, stats);
            rig_value(&rig, scale, 65536);
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        assert_int_equal(rig.n_found, n_bad > 20 ? 1 : 0);
        rig_close(&rig);
    }
}

static void the_sample_that_began_it_is_named(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "nonfinite");
    uint32_t act = rig_tensor(&rig, "fc1", BARO_ACT, 4, 8);
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, 32, 1);
    stats[SUMMARY_N_POS_INF] = 1;
    stats[SUMMARY_FIRST_BAD_UNIT] = 7;
    stats[SUMMARY_FIRST_BAD_ROW] = 2;
    rig_step(&rig, 9, (double)NAN);
    rig_summary(&rig, act, stats);
    rig_batch(&rig, (int64_t[]){501, 502, 503, 504}, 4);
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 1);
    assert_true(rig.found[0].has_sample);
    assert_int_equal(rig.found[0].samples[0], 503);
    assert_string_equal(rig.found[0].text,
        "fc1 (act) became +Inf in unit 7 at step 9: sample 503, row 2 of the batch of 4.");
    rig_close(&rig);
}

/* ---- books ---- */

static void a_rule_is_switched_and_tuned_by_name(void **state)
{
    (void)state;
    struct rule_book *book = rule_book_default();
    struct baro_err err;
    assert_int_equal(rule_book_switch(book, "loss_spik", NULL, false, &err), BARO_ENOENT);
    assert_string_equal(err.text, "there is no rule 'loss_spik'; is it 'loss_spike'?");
    assert_int_equal(
        rule_book_set(book, "loss_spike", "min_scor", NULL, 5, &err), BARO_ENOENT);
    assert_int_equal(
        rule_book_set(book, "loss_spike", "min_score", NULL, -5, &err), BARO_EINVAL);
    assert_int_equal(rule_book_set(book, "loss_spike", "min_score", NULL, 5, &err), 0);
    assert_true(book->params[rule_find("loss_spike")][0] > 4.9);
    assert_true(book->params[rule_find("loss_spike")][0] < 5.1);
    rule_book_destroy(book);
}

static size_t count_nan_with_override(bool is_off_for_x)
{
    struct judge_rig rig;
    rig_open(&rig, "nonfinite");
    if (is_off_for_x) {
        assert_int_equal(rule_book_switch(rig.book, "nonfinite", "x*", false, NULL), 0);
    }
    rig_reopen(&rig);
    uint32_t x = rig_scalar(&rig, "x/y");
    rig_step(&rig, 0, (double)NAN);
    rig_value(&rig, x, (double)NAN);
    rig_end(&rig, JUDGE_END_FINISHED);
    size_t n = rig.n_found;
    rig_close(&rig);
    return n;
}

static void a_rule_may_be_off_for_some_series_only(void **state)
{
    (void)state;
    assert_int_equal(count_nan_with_override(false), 1);
    assert_int_equal(count_nan_with_override(true), 0);
}

static void a_users_jump_finds_its_worked_number(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    struct rule_custom custom = {
        .name = "my_jump", .glob = "x", .test = RULE_JUMP, .limit = 5, .text = "Mine."};
    assert_int_equal(rule_book_add(rig.book, &custom, NULL), 0);
    rig_reopen(&rig);
    uint32_t x = rig_scalar(&rig, "x");
    for (int64_t step = 0; step < 33; step++) {
        rig_step(&rig, step, 0.1);
        rig_value(&rig, x, step == 32 ? 9 : 1 + (double)(step % 2));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig_count(&rig, "my_jump"), 1);
    assert_int_equal(rig.found[0].step, 32);
    assert_true(fabs(rig.found[0].score - 15) < 0.5);
    rig_close(&rig);
}

static void a_users_rule_over_units_names_the_worst(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    struct rule_custom custom = {.name = "unit_big",
        .glob = "*:act",
        .stat = "unit.l2",
        .test = RULE_ABOVE,
        .limit = 2};
    assert_int_equal(rule_book_add(rig.book, &custom, NULL), 0);
    rig_reopen(&rig);
    uint32_t act = rig_tensor(&rig, "fc1", BARO_ACT, 3, 4);
    float values[3 * UNIT_STAT_COUNT] = {0, 0, 0, 1, 3, 2.5F};
    rig_step(&rig, 0, 0.1);
    rig_units(&rig, act, values, 3 * UNIT_STAT_COUNT);
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig_count(&rig, "unit_big"), 1);
    const struct judge_finding *found = rig_first(&rig, "unit_big");
    assert_int_equal(found->n_units, 2);
    assert_true(found->unit == 1 || found->unit == 2);
    rig_close(&rig);
}

static void a_rule_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct rule_book *book = rule_book_default();
    struct rule_custom custom = {.name = "a b", .glob = "x", .test = RULE_ABOVE};
    assert_int_equal(rule_book_add(book, &custom, NULL), BARO_EINVAL);
    strcpy(custom.name, "nonfinite");
    assert_int_equal(rule_book_add(book, &custom, NULL), BARO_EINVAL);
    strcpy(custom.name, "mine");
    strcpy(custom.stat, "l3");
    assert_int_equal(rule_book_add(book, &custom, NULL), BARO_EINVAL);
    strcpy(custom.stat, "unit.l2");
    custom.limit = (double)NAN;
    assert_int_equal(rule_book_add(book, &custom, NULL), BARO_EINVAL);
    custom.limit = 1;
    assert_int_equal(rule_book_add(book, &custom, NULL), 0);
    assert_int_equal(rule_book_add(book, &custom, NULL), BARO_EINVAL);
    rule_book_destroy(book);
}

/* ---- names ---- */

static void names_tell_what_they_mean(void **state)
{
    (void)state;
    assert_int_equal(judge_meaning_of("loss"), JUDGE_LOSS);
    assert_int_equal(judge_meaning_of("Loss/train"), JUDGE_LOSS);
    assert_int_equal(judge_meaning_of("lr.2"), JUDGE_LR);
    assert_int_equal(judge_meaning_of("train/lr"), JUDGE_LR);
    assert_int_equal(judge_meaning_of("slr"), JUDGE_PLAIN);
    assert_int_equal(judge_meaning_of("grad_norm"), JUDGE_GRAD_NORM);
    assert_int_equal(judge_meaning_of("loss_scale"), JUDGE_LOSS_SCALE);
    assert_true(judge_is_eval_name("val_loss"));
    assert_true(judge_is_eval_name("loss/test"));
    assert_false(judge_is_eval_name("interval"));
}

static void siblings_differ_in_their_numbers_only(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t a = rig_tensor(&rig, "layers.3.attn.weight", BARO_WEIGHT, 4, 4);
    uint32_t b = rig_tensor(&rig, "layers.11.attn.weight", BARO_WEIGHT, 4, 4);
    uint32_t c = rig_tensor(&rig, "layers.3.attn.weight", BARO_GRAD, 4, 4);
    uint32_t d = rig_tensor(&rig, "layers.3.attn", BARO_ACT, 4, 4);
    assert_int_equal(judge_thing(rig.judge, a)->family, judge_thing(rig.judge, b)->family);
    assert_int_not_equal(
        judge_thing(rig.judge, a)->family, judge_thing(rig.judge, c)->family);
    assert_int_equal(judge_thing(rig.judge, a)->module, judge_thing(rig.judge, d)->module);
    assert_int_not_equal(
        judge_thing(rig.judge, a)->module, judge_thing(rig.judge, b)->module);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finding_comes_when_the_second_step_after_it_begins),
        cmocka_unit_test(findings_do_not_depend_on_the_order_of_things),
        cmocka_unit_test(steps_that_go_back_complete_what_was_open),
        cmocka_unit_test(a_reading_before_its_step_is_no_restart),
        cmocka_unit_test(only_the_users_events_excuse),
        cmocka_unit_test(what_never_heals_is_told_ever_more_rarely),
        cmocka_unit_test(a_mixed_precision_step_that_is_skipped_is_no_alarm),
        cmocka_unit_test(the_sample_that_began_it_is_named),
        cmocka_unit_test(a_rule_is_switched_and_tuned_by_name),
        cmocka_unit_test(a_rule_may_be_off_for_some_series_only),
        cmocka_unit_test(a_users_jump_finds_its_worked_number),
        cmocka_unit_test(a_users_rule_over_units_names_the_worst),
        cmocka_unit_test(a_rule_that_makes_no_sense_is_refused),
        cmocka_unit_test(names_tell_what_they_mean),
        cmocka_unit_test(siblings_differ_in_their_numbers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
