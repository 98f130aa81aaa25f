/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/* Rules over types' limits, step times, batches, evaluation, and how processes end. */

/* ---- overflow ---- */

static size_t run_abs_max(struct judge_rig *rig, const char *name, enum baro_dtype dtype,
    double (*series)(int64_t step), int64_t n_steps)
{
    rig_open(rig, "overflow");
    struct judge_thing thing = {
        .id = 1, .name = name, .is_tensor = true, .role = BARO_ACT, .dtype = dtype};
    judge_declare(rig->judge, &thing);
    for (int64_t step = 0; step < n_steps; step++) {
        double stats[SUMMARY_STAT_COUNT];
        rig_stats(stats, 100, 1);
        stats[SUMMARY_MAX] = series(step);
        stats[SUMMARY_ABS_MAX] = series(step);
        rig_step(rig, step, 0.1);
        rig_summary(rig, 1, stats);
    }
    rig_end(rig, JUDGE_END_FINISHED);
    for (size_t i = 0; i < rig->n_found; i++) {
        print_message("# %s\n", rig->found[i].text);
    }
    return rig->n_found;
}

static double worked_growth(int64_t step)
{
    return 500 * pow(1.6, (double)step);
}

static double doubles(int64_t step)
{
    return ldexp(1, (int)step);
}

static double large_but_calm(int64_t step)
{
    return 4000 + 300 * sin((double)step);
}

static double slow_growth(int64_t step)
{
    return 10 * sqrt((double)step);
}

static double log_variance(int64_t step)
{
    return 2 + (double)step;
}

static double jumps_to_half(int64_t step)
{
    return step == 50 ? 40000 : 10;
}

static void growth_towards_the_limit_of_f16_is_told_before_it(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F16, worked_growth, 10), 1);
    /* 65504 is passed at step 10.4 */
    assert_int_equal(rig.found[0].step, 8);
    assert_true(fabs(rig.found[0].score - 2.37) < 0.01);
    rig_close(&rig);
}

static void growth_of_f32_is_told_when_squares_near_their_limit(void **state)
{
    (void)state;
    struct judge_rig rig;
    /* 2^63.97 = 1.8e19 */
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F32, doubles, 60), 1);
    assert_in_range(rig.found[0].step, 45, 60);
    rig_close(&rig);
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F16, jumps_to_half, 60), 1);
    assert_int_equal(rig.found[0].step, 50);
    rig_close(&rig);
}

static void gradients_that_a_loss_scale_makes_large_are_as_they_should_be(void **state)
{
    (void)state;
    for (int is_scaled = 0; is_scaled < 2; is_scaled++) {
        struct judge_rig rig;
        rig_open(&rig, "overflow");
        const struct judge_thing gradient = {.id = 1,
            .name = "fc",
            .is_tensor = true,
            .role = BARO_ACT_GRAD,
            .dtype = BARO_F16};
        const struct judge_thing scale = {.id = 2, .name = "loss_scale"};
        judge_declare(rig.judge, &gradient);
        if (is_scaled) {
            judge_declare(rig.judge, &scale);
        }
        for (int64_t step = 0; step < 20; step++) {
            double stats[SUMMARY_STAT_COUNT];
            rig_stats(stats, 100, 1);
            stats[SUMMARY_ABS_MAX] = 4.4e4;
            rig_step(&rig, step, 0.1);
            rig_summary(&rig, 1, stats);
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        assert_int_equal(rig.n_found, is_scaled ? 0 : 1);
        rig_close(&rig);
    }
}

static void a_log_variance_is_told_before_exp_overflows(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_abs_max(&rig, "enc.fc_logvar", BARO_F32, log_variance, 80), 1);
    assert_in_range(rig.found[0].step, 40, 85);
    rig_close(&rig);
}

static void values_far_from_a_limit_or_calm_are_healthy(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F16, large_but_calm, 2000), 0);
    rig_close(&rig);
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F16, slow_growth, 20000), 0);
    rig_close(&rig);
    assert_int_equal(run_abs_max(&rig, "fc", BARO_F32, worked_growth, 60), 0);
    rig_close(&rig);
}

/* ---- throughput ---- */

typedef double (*pace_fn)(struct judge_rig *rig, int64_t step);

static size_t run_paces(struct judge_rig *rig, pace_fn pace, int64_t n_steps)
{
    rig_open(rig, "throughput");
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, pace(rig, step));
    }
    rig_end(rig, JUDGE_END_FINISHED);
    for (size_t i = 0; i < rig->n_found; i++) {
        print_message("# %s\n", rig->found[i].text);
    }
    return rig->n_found;
}

static double worked_pace(struct judge_rig *rig, int64_t step)
{
    return (step < 600 ? 1 : 1.07) * (1 + 0.01 * rig_normal(rig));
}

static double halved(struct judge_rig *rig, int64_t step)
{
    return (step < 200 ? 0.3 : 0.9) * exp(0.1 * rig_normal(rig));
}

static double tenfold(struct judge_rig *rig, int64_t step)
{
    return (step < 300 ? 0.3 : 3) * exp(0.05 * rig_normal(rig));
}

static double hiccups(struct judge_rig *rig, int64_t step)
{
    bool is_eval = step % 100 < 3;
    bool is_checkpoint = step % 500 == 499;
    double first = step == 0 ? 60 : 1;
    return first * (is_eval ? 8 : is_checkpoint ? 30 : 1) * exp(0.1 * rig_normal(rig));
}

static double noisy_pace(struct judge_rig *rig, int64_t step)
{
    (void)step;
    return 0.2 * exp(0.5 * rig_normal(rig));
}

static double short_steps(struct judge_rig *rig, int64_t step)
{
    return (step < 1000 ? 0.004 : 0.005) * exp(0.05 * rig_normal(rig));
}

static void slow_downs_are_told_with_the_step_they_began_at(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_paces(&rig, worked_pace, 900), 1);
    assert_in_range(rig.found[0].noticed_step, 640, 700);
    assert_in_range(rig.found[0].step, 590, 625);
    rig_close(&rig);
    assert_int_equal(run_paces(&rig, halved, 400), 1);
    assert_in_range(rig.found[0].noticed_step, 205, 225);
    rig_close(&rig);
    assert_int_equal(run_paces(&rig, tenfold, 400), 1);
    assert_int_equal(rig.found[0].noticed_step, 302);
    rig_close(&rig);
}

static void hiccups_and_noise_are_no_slow_down(void **state)
{
    (void)state;
    struct judge_rig rig;
    static const pace_fn paces[] = {hiccups, noisy_pace, short_steps};
    for (size_t i = 0; i < BARO_LEN(paces); i++) {
        assert_int_equal(run_paces(&rig, paces[i], 5000), 0);
        rig_close(&rig);
    }
}

/* ---- repeated batches ---- */

/* Feed batches of 16 samples by their letters; how many findings there are. */
static size_t run_batches(struct judge_rig *rig, const char *letters, size_t n_samples)
{
    rig_open(rig, "repeated_batch");
    for (size_t i = 0; letters[i] != '\0'; i++) {
        int64_t samples[64];
        for (size_t k = 0; k < n_samples; k++) {
            /* the order within a batch does not matter */
            samples[k] = letters[i] * 1000 + (int64_t)((k + i) % n_samples);
        }
        rig_step(rig, (int64_t)i, 0.1);
        rig_batch(rig, samples, n_samples);
    }
    rig_end(rig, JUDGE_END_FINISHED);
    return rig->n_found;
}

static void a_batch_that_comes_again_too_soon_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_batches(&rig, "ABCDEE", 16), 1);
    assert_int_equal(rig.found[0].step, 5);
    rig_close(&rig);
    assert_int_equal(run_batches(&rig, "ABCDCD", 16), 1);
    assert_int_equal(rig.found[0].step, 5);
    rig_close(&rig);
    assert_int_equal(run_batches(&rig, "ABCDEEEEEEEE", 4), 1);
    rig_close(&rig);
}

static void epochs_in_the_same_order_and_small_batches_are_healthy(void **state)
{
    (void)state;
    struct judge_rig rig;
    static const char *const healthy[] = {
        "ABCABCABCABC", "AAAAAAAAA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABABABAB"};
    for (size_t i = 0; i < BARO_LEN(healthy); i++) {
        assert_int_equal(run_batches(&rig, healthy[i], 16), 0);
        rig_close(&rig);
    }
    assert_int_equal(run_batches(&rig, "ABCDCDABDCAB", 4), 0);
    rig_close(&rig);
}

static void shuffled_epochs_are_healthy(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "repeated_batch");
    int64_t order[512];
    for (int i = 0; i < 512; i++) {
        order[i] = i;
    }
    for (int64_t step = 0; step < TEST_ROUNDS(8000); step++) {
        size_t at = (size_t)(step % 32) * 16;
        for (size_t i = 511; at == 0 && i > 0; i--) {
            size_t other = (size_t)(rig_uniform(&rig) * (double)(i + 1));
            int64_t kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        rig_step(&rig, step, 0.1);
        rig_batch(&rig, order + at, 16);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 0);
    rig_close(&rig);
}

/* ---- overfitting ---- */

static size_t run_evals(struct judge_rig *rig,
    double (*eval)(struct judge_rig *rig, int64_t step), double floor)
{
    rig_open(rig, "overfitting");
    uint32_t train = rig_scalar(rig, "loss");
    uint32_t held_out = rig_scalar(rig, "val_loss");
    for (int64_t step = 0; step < 5000; step++) {
        rig_step(rig, step, 0.1);
        rig_value(
            rig, train, (floor + exp(-(double)step / 1500)) * (1 + 0.1 * rig_normal(rig)));
        if (step % 100 == 99) {
            rig_value(rig, held_out, eval(rig, step));
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
    for (size_t i = 0; i < rig->n_found; i++) {
        print_message("# %s\n", rig->found[i].text);
    }
    return rig->n_found;
}

static double rises_from_the_middle(struct judge_rig *rig, int64_t step)
{
    double t = (double)step / 1000;
    return 0.5 + exp(-t) + (t > 2 ? 0.3 * (t - 2) : 0) + 0.005 * rig_normal(rig);
}

static double stays(struct judge_rig *rig, int64_t step)
{
    return 0.5 + exp(-(double)step / 1000) + 0.02 * rig_normal(rig);
}

static double wild(struct judge_rig *rig, int64_t step)
{
    return 0.5 + exp(-(double)step / 1000) + 0.3 * fabs(rig_normal(rig));
}

static void a_rising_evaluation_is_told_while_training_falls(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_evals(&rig, rises_from_the_middle, 0.01), 1);
    assert_in_range(rig.found[0].step, 2000, 3200);
    assert_int_equal(rig.found[0].n_evidence, 2);
    rig_close(&rig);
}

static void an_evaluation_that_stays_or_is_noisy_is_healthy(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_evals(&rig, stays, 0.2), 0);
    rig_close(&rig);
    assert_int_equal(run_evals(&rig, wild, 0.2), 0);
    rig_close(&rig);
}

/* ---- ends ---- */

static void each_end_has_its_words(void **state)
{
    (void)state;
    static const char *const kinds[] = {[JUDGE_END_FAILED] = "failed",
        [JUDGE_END_GONE] = "killed",
        [JUDGE_END_STALLED] = "stalled",
        [JUDGE_END_SILENT] = "silent"};
    for (int why = JUDGE_END_FINISHED; why <= JUDGE_END_PAUSED; why++) {
        struct judge_rig rig;
        rig_open(&rig, NULL);
        rig_step(&rig, 41, 0.1);
        judge_end(rig.judge, (enum judge_end)why, "CUDA out of memory.\nmore", 5);
        struct judge_finding found;
        bool is_told = judge_take(rig.judge, &found);
        bool is_wanted = why < (int)BARO_LEN(kinds) && kinds[why] != NULL;
        assert_int_equal(is_told, is_wanted);
        if (is_told) {
            assert_string_equal(found.kind, kinds[why]);
            assert_int_equal(found.step, 41);
            assert_int_equal(found.time_ns, 5);
        }
        if (why == JUDGE_END_FAILED) {
            assert_string_equal(
                found.text, "The training failed after step 41: CUDA out of memory.");
            assert_int_equal(found.causes[0], JUDGE_CAUSE_OUT_OF_MEMORY);
        }
        assert_false(judge_take(rig.judge, &found));
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_towards_the_limit_of_f16_is_told_before_it),
        cmocka_unit_test(growth_of_f32_is_told_when_squares_near_their_limit),
        cmocka_unit_test(gradients_that_a_loss_scale_makes_large_are_as_they_should_be),
        cmocka_unit_test(a_log_variance_is_told_before_exp_overflows),
        cmocka_unit_test(values_far_from_a_limit_or_calm_are_healthy),
        cmocka_unit_test(slow_downs_are_told_with_the_step_they_began_at),
        cmocka_unit_test(hiccups_and_noise_are_no_slow_down),
        cmocka_unit_test(a_batch_that_comes_again_too_soon_is_told),
        cmocka_unit_test(epochs_in_the_same_order_and_small_batches_are_healthy),
        cmocka_unit_test(shuffled_epochs_are_healthy),
        cmocka_unit_test(a_rising_evaluation_is_told_while_training_falls),
        cmocka_unit_test(an_evaluation_that_stays_or_is_noisy_is_healthy),
        cmocka_unit_test(each_end_has_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
