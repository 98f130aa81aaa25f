/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/unit_stats.h"
#include "lib/base/mem.h"
#include "lib/codec/round.h"
#include "tests/unit/judge_rig.h"

/*
 * Rules over units of a layer: dead, saturated, alike, constant, collapsed. Each with a planted
 * fault and a healthy look-alike; and the worked numbers of their essays.
 */

enum { UNITS = 32, EACH = 64 };

/* Statistics of the units of one reading. */
struct units {
    float stat[UNIT_STAT_COUNT][UNITS];
};

/* A rectified layer: half of its values are zero, more or less. */
static void rectified(struct judge_rig *rig, struct units *units)
{
    for (int u = 0; u < UNITS; u++) {
        double size = 0.5 + 0.1 * rig_uniform(rig);
        units->stat[UNIT_MEAN][u] = (float)(0.4 * size);
        units->stat[UNIT_L2][u] = (float)(size * sqrt(EACH));
        units->stat[UNIT_ABS_MAX][u] = (float)(3 * size);
        units->stat[UNIT_FRAC_ZERO][u] = (float)(0.3 + 0.4 * rig_uniform(rig));
        units->stat[UNIT_N_NONFINITE][u] = 0;
    }
}

static void silence(struct units *units, int from, int to)
{
    for (int u = from; u < to; u++) {
        units->stat[UNIT_MEAN][u] = 0;
        units->stat[UNIT_L2][u] = 0;
        units->stat[UNIT_ABS_MAX][u] = 0;
        units->stat[UNIT_FRAC_ZERO][u] = 1;
    }
}

static void feed(struct judge_rig *rig, uint32_t thing, const struct units *units)
{
    rig_units(rig, thing, &units->stat[0][0], UNIT_STAT_COUNT * UNITS);
}

/* ---- dead units ---- */

typedef void (*plan_fn)(struct judge_rig *rig, int64_t step, struct units *units);

static void run_layer(struct judge_rig *rig, const char *rule, enum baro_role role,
    plan_fn plan, int64_t n_steps)
{
    rig_open(rig, rule);
    uint32_t thing = rig_tensor(rig, "encoder.act", role, UNITS, EACH);
    struct units units;
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        rectified(rig, &units);
        plan(rig, step, &units);
        feed(rig, thing, &units);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void dies_at_50(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)rig;
    silence(units, 0, step >= 50 ? UNITS : 4);
}

static void a_layer_that_dies_is_told_after_three_readings(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, dies_at_50, 53);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 50);
    assert_int_equal(found->level, BARO_ALARM);
    assert_int_equal(found->n_units, UNITS);
    assert_non_null(strstr(found->text, "encoder.act"));
    rig_close(&rig);
    run_layer(&rig, "dead_units", BARO_ACT, dies_at_50, 400); /* and once only */
    assert_int_equal(rig.n_found, 1);
    rig_close(&rig);
}

static void never_speaks(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)rig;
    (void)step;
    silence(units, 0, UNITS);
}

static void a_layer_that_never_speaks_is_told_from_its_first_step(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, never_speaks, 7);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_layer(&rig, "dead_units", BARO_ACT, never_speaks, 8);
    assert_int_equal(rig_only(&rig)->step, 0);
    rig_close(&rig);
}

static void begins_at_nothing(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)rig;
    silence(units, 0, step < 2 ? UNITS : 0);
}

static void what_is_initialised_to_nothing_may_begin(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, begins_at_nothing, 200);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void dropped_at_random(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)step;
    silence(units, 0, rig_uniform(rig) < 0.5 ? UNITS : 0);
}

static void a_branch_that_is_dropped_at_random_is_alive(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, dropped_at_random, 5000);
    /* The first few readings are the only ones in which chance looks like death. */
    assert_true(rig.n_found <= 1);
    assert_true(rig.n_found == 0 || rig.found[0].step < 64);
    rig_close(&rig);
}

/* Worked number: at most 19 of 128 before, then 96 of 128; here 5 and 24 of 32. */
static void most_die_at_50(struct judge_rig *rig, int64_t step, struct units *units)
{
    int n = (int)(5 * rig_uniform(rig));
    silence(units, 0, step >= 50 ? 24 : n);
}

static void many_units_that_die_at_once_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, most_die_at_50, 53);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 50);
    assert_int_equal(found->n_units, 24);
    assert_true(fabs(found->value - 0.75) < 1e-9);
    rig_close(&rig);
}

static void die_one_by_one(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)rig;
    silence(units, 0, step < 20 ? 0 : (int)((step - 20) / 60));
}

static void units_that_die_slowly_are_told_when_half_is_gone(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, die_one_by_one, 1300);
    const struct judge_finding *found = rig_only(&rig);
    assert_in_range(found->step, 20 + 16 * 60, 20 + 18 * 60);
    rig_close(&rig);
}

/* A code of which each unit speaks in one reading of ten. */
static void sparse_code(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)step;
    for (int u = 0; u < UNITS; u++) {
        silence(units, u, rig_uniform(rig) < 0.9 ? u + 1 : u);
    }
}

static void a_sparse_code_is_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, sparse_code, 3000);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void zeros_vanish(struct judge_rig *rig, int64_t step, struct units *units)
{
    (void)rig;
    for (int u = 0; u < UNITS && step >= 100; u++) {
        units->stat[UNIT_FRAC_ZERO][u] = 0;
    }
}

static void a_rectifier_that_is_always_on_is_worth_knowing(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_layer(&rig, "dead_units", BARO_ACT, zeros_vanish, 400);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->level, BARO_INFO);
    assert_int_equal(found->step, 100);
    rig_close(&rig);
}

/* ---- saturated ---- */

static void feed_spread(
    struct judge_rig *rig, uint32_t thing, double mean, double var, double min, double max)
{
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, (uint64_t)UNITS * EACH, sqrt(var));
    stats[SUMMARY_MEAN] = mean;
    stats[SUMMARY_VAR] = var;
    stats[SUMMARY_MIN] = min;
    stats[SUMMARY_MAX] = max;
    stats[SUMMARY_ABS_MAX] = fmax(fabs(min), fabs(max));
    rig_summary(rig, thing, stats);
}

static size_t run_saturated(
    struct judge_rig *rig, double mean, double var, double min, double max, bool has_next)
{
    rig_open(rig, "saturated");
    uint32_t thing = rig_tensor(rig, "fc1.act", BARO_ACT, UNITS, EACH);
    if (has_next) {
        rig_tensor(rig, "fc2", BARO_ACT, UNITS, EACH);
    }
    for (int64_t step = 0; step < 100; step++) {
        rig_step(rig, step, 0.1);
        feed_spread(rig, thing, mean, var, min, max);
    }
    rig_end(rig, JUDGE_END_FINISHED);
    return rig->n_found;
}

/* Worked number of rule_saturated.c: half 0.99, half -0.98. */
static void a_tanh_at_its_ends_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_saturated(&rig, 0.005, 0.970225, -0.98, 0.99, true);
    const struct judge_finding *found = rig_only(&rig);
    assert_true(fabs(found->value - 0.02975) < 1e-9);
    assert_int_equal(found->step, 0);
    assert_non_null(strstr(found->text, "tanh"));
    rig_close(&rig);
}

static void a_sigmoid_at_its_ends_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_saturated(&rig, 0.5, 0.245, 0, 1, true);
    assert_non_null(strstr(rig_only(&rig)->text, "sigmoid"));
    rig_close(&rig);
}

static void what_looks_like_a_saturated_layer_is_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_saturated(
        &rig, 0, 0.394, -0.999, 0.999, true); /* tanh of standard normal numbers */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_saturated(&rig, 0.005, 0.970225, -0.98, 0.99, false); /* the last layer */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_saturated(&rig, 1.0 / UNITS, 0.03, 0, 1, true); /* a softmax that is sure */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_saturated(&rig, 0, 0.98, -1.2, 1.1, true); /* no tanh at all */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_saturated(&rig, 0.0, 0.001, -0.1, 0.1, true); /* small */
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void at_ends(struct judge_rig *rig, int64_t step, struct units *units)
{
    for (int u = 0; u < UNITS; u++) {
        bool is_stuck = step >= 40 && u % 2 == 0;
        double mean = is_stuck ? (u % 4 == 0 ? -0.995 : 0.99) : rig_uniform(rig) - 0.5;
        units->stat[UNIT_MEAN][u] = (float)mean;
        units->stat[UNIT_ABS_MAX][u] = 1;
    }
}

static void units_that_become_constants_are_told_once(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "saturated");
    uint32_t thing = rig_tensor(&rig, "tanh1", BARO_ACT, UNITS, EACH);
    rig_tensor(&rig, "fc2", BARO_ACT, UNITS, EACH);
    struct units units;
    for (int64_t step = 0; step < 300; step++) {
        rig_step(&rig, step, 0.1);
        rectified(&rig, &units);
        at_ends(&rig, step, &units);
        feed(&rig, thing, &units);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->n_units, UNITS / 2);
    assert_in_range(found->step, 55, 56);
    rig_close(&rig);
}

/* ---- symmetric units ---- */

static void feed_weight(struct judge_rig *rig, uint32_t thing, int n_alike, double common,
    double step_size, int64_t step)
{
    struct units units = {0};
    for (int u = 0; u < UNITS; u++) {
        double own = u < n_alike ? 0 : 0.2 + 0.01 * u + 0.003 * rig_uniform(rig);
        double value = common + own + step_size * (double)step;
        units.stat[UNIT_MEAN][u] = (float)value;
        units.stat[UNIT_L2][u] = (float)(sqrt(EACH) * value);
        units.stat[UNIT_ABS_MAX][u] = (float)value;
    }
    feed(rig, thing, &units);
}

static void run_symmetric(struct judge_rig *rig, enum baro_role role, int n_alike,
    double common, double step_size, int64_t n_steps)
{
    rig_open(rig, "symmetric_units");
    uint32_t thing = rig_tensor(rig, "fc1.weight", role, UNITS, EACH);
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        feed_weight(rig, thing, n_alike, common, step_size, step);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void units_that_move_together_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_symmetric(&rig, BARO_WEIGHT, UNITS, 0.5, 0.01, 4); /* the essay's number */
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->n_units, UNITS);
    assert_int_equal(found->level, BARO_ALARM);
    rig_close(&rig);
    run_symmetric(&rig, BARO_WEIGHT, 2, 0.5, 0.01, 200);
    found = rig_only(&rig);
    assert_int_equal(found->n_units, 2);
    assert_int_equal(found->unit, 0);
    assert_int_equal(found->level, BARO_WATCH);
    rig_close(&rig);
}

static void units_that_are_alike_without_fault_are_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_symmetric(&rig, BARO_WEIGHT, 0, 0.5, 0.01, 500); /* none alike */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_symmetric(&rig, BARO_WEIGHT, UNITS, 0.5, 0, 500); /* frozen */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_symmetric(&rig, BARO_WEIGHT, UNITS, 0, 0, 500); /* padding */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_symmetric(&rig, BARO_GRAD, UNITS, 0.5, 0.01, 500); /* gradients may be */
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* ---- columns of an input ---- */

static void run_columns(struct judge_rig *rig, int64_t n_steps, int64_t dies, double chance)
{
    rig_open(rig, "input_data");
    uint32_t thing = rig_tensor(rig, "input", BARO_INPUT, UNITS, EACH);
    struct units units = {0};
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        for (int u = 0; u < UNITS; u++) {
            bool is_there = rig_uniform(rig) < (u == 5 ? chance : 1);
            units.stat[UNIT_MEAN][u] = u == 0 || !is_there ? 0 : (float)rig_uniform(rig);
        }
        if (step >= dies) {
            units.stat[UNIT_MEAN][7] = 0.25F;
        }
        feed(rig, thing, &units);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void a_column_that_stops_varying_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_columns(&rig, 300, 100, 1);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->unit, 7);
    assert_int_equal(found->n_units, 1);
    assert_in_range(found->step, 105, 107);
    rig_close(&rig);
}

static void columns_that_are_mostly_zero_are_quiet(void **state)
{
    (void)state;
    static const double chances[] = {0.1, 0.5, 0.8, 0.97};
    for (size_t i = 0; i < BARO_LEN(chances); i++) {
        struct judge_rig rig;
        run_columns(&rig, 4000, INT64_MAX, chances[i]);
        rig_assert_quiet(&rig);
        rig_close(&rig);
    }
}

/* ---- collapse ---- */

/* spread: of each unit between samples; common: what all share. */
static void feed_output(struct judge_rig *rig, uint32_t thing, double spread, double common)
{
    struct units units = {0};
    for (int u = 0; u < UNITS; u++) {
        double mean = common * (u % 2 == 0 ? 1 : -1) + 0.05 * spread * rig_normal(rig);
        units.stat[UNIT_MEAN][u] = (float)mean;
        units.stat[UNIT_L2][u] = (float)sqrt(EACH * (mean * mean + spread * spread));
        units.stat[UNIT_ABS_MAX][u] = 2;
    }
    feed(rig, thing, &units);
}

static void run_collapse(
    struct judge_rig *rig, double spread_after, double common_after, int64_t n_steps)
{
    rig_open(rig, "collapse");
    uint32_t thing = rig_tensor(rig, "G.out", BARO_ACT, UNITS, EACH);
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        bool is_after = step >= 200;
        feed_output(
            rig, thing, is_after ? spread_after : 0.5, is_after ? common_after : 0.4);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void outputs_that_no_longer_depend_on_inputs_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_collapse(&rig, 0.01, 0.6, 205);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 200);
    assert_true(found->value < 0.01 && found->usual > 0.3);
    rig_close(&rig);
    run_collapse(&rig, 0.02, 0.01, 205); /* all of it shrinks to nothing */
    assert_int_equal(rig_only(&rig)->step, 200);
    rig_close(&rig);
}

static void an_output_that_learns_a_large_mean_is_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_collapse(&rig, 0.5, 8, 400);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_collapse(&rig, 0.2, 0.2, 400);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* ---- rounding ---- */

static void units_round_as_the_store_rounds(void **state)
{
    (void)state;
    struct judge_rig rig = {.noise = 12345};
    for (int i = 0; i < 20000; i++) {
        float value = (float)(rig_normal(&rig) * exp(40 * rig_normal(&rig)));
        float three[3] = {-3.4e38F, value, 3.4e38F};
        float out[3];
        round_floats(three, 3, out);
        assert_memory_equal(&(float){unit_rounded(value)}, &out[1], sizeof out[1]);
        assert_memory_equal(&(float){unit_rounded(out[1])}, &out[1], sizeof out[1]);
    }
    const float kept[] = {0, -0.0F, 1e-40F, INFINITY, -INFINITY};
    for (size_t i = 0; i < BARO_LEN(kept); i++) {
        assert_memory_equal(&(float){unit_rounded(kept[i])}, &kept[i], sizeof kept[i]);
    }
}

/* Two judges, one fed what was measured, one what the store gives back: the same findings. */
static void rounded_units_give_the_same_findings(void **state)
{
    (void)state;
    enum { STEPS = 400 };
    struct units *units = baro_xcalloc(STEPS, sizeof *units);
    struct judge_rig rig;
    rig_open(&rig, NULL);
    for (int64_t step = 0; step < STEPS; step++) {
        rectified(&rig, &units[step]);
        most_die_at_50(&rig, step - 200, &units[step]);
    }
    rig_close(&rig);
    struct judge_finding found[2][8];
    size_t n_found[2] = {0, 0};
    for (int is_rounded = 0; is_rounded < 2; is_rounded++) {
        for (int c = 0; c < UNIT_STAT_COUNT * UNITS && is_rounded == 1; c++) {
            float column[STEPS];
            for (int i = 0; i < STEPS; i++) {
                column[i] = (&units[i].stat[0][0])[c];
            }
            round_floats(column, STEPS, column);
            for (int i = 0; i < STEPS; i++) {
                (&units[i].stat[0][0])[c] = column[i];
            }
        }
        rig_open(&rig, NULL);
        uint32_t act = rig_tensor(&rig, "act", BARO_ACT, UNITS, EACH);
        uint32_t weight = rig_tensor(&rig, "w", BARO_WEIGHT, UNITS, EACH);
        for (int64_t step = 0; step < STEPS; step++) {
            rig_step(&rig, step, 0.1);
            feed(&rig, act, &units[step]);
            feed(&rig, weight, &units[step]);
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        n_found[is_rounded] = rig.n_found;
        assert_in_range(rig.n_found, 1, 8);
        memcpy(found[is_rounded], rig.found, rig.n_found * sizeof *rig.found);
        rig_close(&rig);
    }
    assert_int_equal(n_found[0], n_found[1]);
    for (size_t i = 0; i < n_found[0]; i++) {
        assert_string_equal(found[0][i].text, found[1][i].text);
        assert_memory_equal(&found[0][i].value, &found[1][i].value, sizeof(double));
        assert_int_equal(found[0][i].step, found[1][i].step);
    }
    free(units);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_that_dies_is_told_after_three_readings),
        cmocka_unit_test(a_layer_that_never_speaks_is_told_from_its_first_step),
        cmocka_unit_test(what_is_initialised_to_nothing_may_begin),
        cmocka_unit_test(a_branch_that_is_dropped_at_random_is_alive),
        cmocka_unit_test(many_units_that_die_at_once_are_told),
        cmocka_unit_test(units_that_die_slowly_are_told_when_half_is_gone),
        cmocka_unit_test(a_sparse_code_is_quiet),
        cmocka_unit_test(a_rectifier_that_is_always_on_is_worth_knowing),
        cmocka_unit_test(a_tanh_at_its_ends_is_told),
        cmocka_unit_test(a_sigmoid_at_its_ends_is_told),
        cmocka_unit_test(what_looks_like_a_saturated_layer_is_quiet),
        cmocka_unit_test(units_that_become_constants_are_told_once),
        cmocka_unit_test(units_that_move_together_are_told),
        cmocka_unit_test(units_that_are_alike_without_fault_are_quiet),
        cmocka_unit_test(a_column_that_stops_varying_is_told),
        cmocka_unit_test(columns_that_are_mostly_zero_are_quiet),
        cmocka_unit_test(outputs_that_no_longer_depend_on_inputs_are_told),
        cmocka_unit_test(an_output_that_learns_a_large_mean_is_quiet),
        cmocka_unit_test(units_round_as_the_store_rounds),
        cmocka_unit_test(rounded_units_give_the_same_findings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
