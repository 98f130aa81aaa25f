/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/*
 * Rules over inputs, over modes of training and evaluation, and over games. Each with a planted
 * fault and a healthy look-alike; and the worked numbers of their essays.
 */

enum { UNITS = 16, EACH = 64, COUNT = UNITS * EACH };

/* A reading of a tensor of that size per element. */
static void feed_size(struct judge_rig *rig, uint32_t thing, double size)
{
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, COUNT, size);
    rig_summary(rig, thing, stats);
}

/* ---- inputs ---- */

struct data {
    double mean;
    double deviation;
    double later_mean; /* from step 100 on */
    double later_deviation;
    double first; /* size of what the model's first layer gives */
};

static void run_input(struct judge_rig *rig, const struct data *data, int64_t n_steps)
{
    rig_open(rig, "input_data");
    uint32_t input = rig_tensor(rig, "input", BARO_INPUT, 0, COUNT);
    uint32_t act = rig_tensor(rig, "norm", BARO_ACT, UNITS, EACH);
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        bool is_later = step >= 100;
        double deviation = is_later ? data->later_deviation : data->deviation;
        double mean =
            (is_later ? data->later_mean : data->mean) + 0.05 * deviation * rig_normal(rig);
        deviation *= exp(0.03 * rig_normal(rig));
        double stats[SUMMARY_STAT_COUNT];
        rig_stats(stats, COUNT, deviation);
        stats[SUMMARY_MEAN] = mean;
        stats[SUMMARY_L2] = sqrt(COUNT * (mean * mean + deviation * deviation));
        stats[SUMMARY_N_ZERO] = stats[SUMMARY_L2] > 0 ? 0 : COUNT;
        rig_summary(rig, input, stats);
        feed_size(rig, act, data->first);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void inputs_that_are_not_normalised_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_input(&rig, &(struct data){78, 96, 78, 96, 40}, 200);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 0);
    assert_true(fabs(found->value - 123.8) < 12);
    rig_close(&rig);
    run_input(&rig, &(struct data){5, 0.1, 5, 0.1, 3}, 200);
    rig_only(&rig);
    rig_close(&rig);
    run_input(&rig, &(struct data){78, 96, 78, 96, 1}, 200); /* batch norm comes first */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_input(&rig, &(struct data){78, 96, 78, 96, 0.3}, 200); /* x / 255 is within */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_input(&rig, &(struct data){0.305, 0.377, 0.305, 0.377, 0.3}, TEST_ROUNDS(20000));
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void inputs_that_change_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_input(&rig, &(struct data){0.3, 0.4, 76, 102, 0.3}, 101); /* at once */
    assert_int_equal(rig_only(&rig)->step, 100);
    rig_close(&rig);
    run_input(&rig, &(struct data){0.3, 0.4, 1.1, 0.4, 0.3}, 103);
    assert_int_equal(rig_only(&rig)->step, 100);
    rig_close(&rig);
    run_input(&rig, &(struct data){0.3, 0.4, 0, 0, 0.3}, 103);
    assert_int_equal(rig_only(&rig)->level, BARO_ALARM);
    rig_close(&rig);
    run_input(&rig, &(struct data){0.3, 0.4, 0.4, 0.45, 0.3}, 1000); /* another chapter */
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* ---- modes ---- */

/* p: share that the dropout drops of a rectifier's output; below 0: it is another rectifier. */
static void feed_dropout(
    struct judge_rig *rig, uint32_t before, uint32_t thing, double n_before, double p)
{
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, COUNT, 1);
    stats[SUMMARY_N_ZERO] = n_before;
    rig_summary(rig, before, stats);
    double share = fabs(p) > 0 ? fabs(p) + 0.02 * (rig_uniform(rig) - 0.5) : 0;
    stats[SUMMARY_N_ZERO] = n_before + floor(share * (COUNT - n_before));
    stats[SUMMARY_ABS_MAX] *= p > 0 ? 1 / (1 - p) : 1;
    rig_summary(rig, thing, stats);
}

static void run_dropout(struct judge_rig *rig, double p, int64_t off_at)
{
    rig_open(rig, "eval_mode");
    uint32_t before = rig_tensor(rig, "relu1", BARO_ACT, UNITS, EACH);
    uint32_t thing = rig_tensor(rig, "drop1", BARO_ACT, UNITS, EACH);
    for (int64_t step = 0; step < 200; step++) {
        rig_step(rig, step, 0.1);
        double zeros = floor(COUNT * (0.45 + 0.1 * rig_uniform(rig)));
        feed_dropout(rig, before, thing, zeros, step < off_at ? p : 0);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void a_dropout_that_lets_everything_pass_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_dropout(&rig, 0.3, 100);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 100);
    assert_true(fabs(found->usual - 0.3) < 0.02);
    rig_close(&rig);
    run_dropout(&rig, 0.3, 1000);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_dropout(
        &rig, -0.3, 100); /* a rectifier behind a rectifier drops, too: it is none */
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void training_in_evaluation_mode_is_taken_from_the_watcher(void **state)
{
    (void)state;
    static const char word[] =
        "barograph: the model is trained while it is in evaluation mode (model.eval()): dropout is off";
    for (int64_t at = 0; at <= 50; at += 50) {
        struct judge_rig rig;
        rig_open(&rig, "eval_mode");
        for (int64_t step = 0; step < 100; step++) {
            rig_step(&rig, step, 0.1);
            if (step == at) {
                rig_event(&rig, BARO_WATCH, word);
            }
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        if (at == 0) {
            rig_assert_quiet(&rig); /* meant so from the start */
        } else {
            assert_int_equal(rig_only(&rig)->step, 50);
        }
        rig_close(&rig);
    }
}

/* What a client says of a step that it computes again, at step 50; readings end there or go on. */
static void run_capture(struct judge_rig *rig, const char *after, bool goes_on, double loss)
{
    rig_open(rig, "nonfinite");
    uint32_t thing = rig_scalar(rig, "loss");
    for (int64_t step = 0; step < (goes_on ? 60 : 51); step++) {
        rig_step(rig, step, 0.1);
        if (step == 50) {
            rig_event(rig, BARO_INFO,
                "barograph: the loss became NaN: the step is computed again");
        }
        if (step == 50 && after != NULL) {
            rig_event(rig, BARO_INFO, after);
        }
        if (step != 50 || goes_on) {
            rig_value(rig, thing, step == 50 ? loss : 0.5);
        }
    }
    rig_end(rig, goes_on ? JUDGE_END_FINISHED : JUDGE_END_GONE);
}

static void a_loss_that_was_looked_into_when_all_ended_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_capture(&rig, NULL, false, 0);
    assert_int_equal(rig_only(&rig)->step, 50);
    assert_non_null(strstr(rig_only(&rig)->text, "The loss became NaN at step 50; "));
    rig_close(&rig);
    run_capture(&rig, "barograph: first not finite: log of 0 is -inf", false, 0);
    rig_assert_quiet(
        &rig); /* the probe tells it, and the loop may have left the step out */
    rig_close(&rig);
    run_capture(&rig, "barograph: not found what first was not finite", true, 0.5);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_capture(&rig, NULL, true, (double)NAN); /* told once, of the loss itself */
    assert_null(strstr(rig_only(&rig)->text, "readings end"));
    rig_close(&rig);
}

static void run_evaluation(struct judge_rig *rig, bool has_score, bool has_eval, double p)
{
    rig_open(rig, "eval_mode");
    uint32_t before = rig_tensor(rig, "no_grad/relu1", BARO_ACT, UNITS, EACH);
    uint32_t thing = rig_tensor(rig, "no_grad/drop1", BARO_ACT, UNITS, EACH);
    uint32_t eval = rig_tensor(rig, "eval/relu1", BARO_ACT, UNITS, EACH);
    uint32_t score = rig_scalar(rig, "val/loss");
    for (int64_t step = 0; step < 100; step++) {
        rig_step(rig, step, 0.1);
        if (step % 20 != 19) {
            continue;
        }
        feed_dropout(rig, before, thing, 400, p);
        if (has_eval) {
            feed_size(rig, eval, 1);
        }
        if (has_score) {
            rig_value(rig, score, 0.5);
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void evaluation_in_training_mode_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_evaluation(&rig, true, false, 0.3);
    assert_int_equal(rig_only(&rig)->step, 19);
    rig_close(&rig);
    run_evaluation(&rig, false, false, 0.3); /* a teacher, a generator's samples */
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_evaluation(&rig, true, true, 0.3);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_evaluation(&rig, true, false, -0.3); /* no dropout, a rectifier */
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* ---- games ---- */

static void run_game(
    struct judge_rig *rig, const char *judge, const char *maker, double fall)
{
    rig_open(rig, "collapse");
    uint32_t d = rig_scalar(rig, judge);
    uint32_t g = rig_scalar(rig, maker);
    for (int64_t step = 0; step < 400; step++) {
        rig_step(rig, step, 0.1);
        double won = pow(fall, fmin((double)step, 200));
        rig_value(rig, d, 1.386 * won * exp(0.1 * rig_normal(rig)));
        rig_value(rig, g, 0.7 * (1 - log(won)) * exp(0.1 * rig_normal(rig)));
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void a_discriminator_that_wins_is_told(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"loss_d", "loss_g"}, {"D/loss", "G/loss"}, {"critic_loss", "generator_loss"}};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        struct judge_rig rig;
        run_game(&rig, names[i][0], names[i][1], 0.9);
        assert_in_range(rig_only(&rig)->step, 30, 90);
        rig_close(&rig);
        run_game(&rig, names[i][0], names[i][1], 0.999);
        rig_assert_quiet(&rig);
        rig_close(&rig);
    }
    struct judge_rig rig;
    run_game(&rig, "loss", "val_loss", 0.9);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_game(&rig, "decoder_loss", "regression_loss", 0.9);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* Labels of 0.9 leave the discriminator a loss of 0.325. */
static void a_discriminator_that_lies_at_its_floor_has_won(void **state)
{
    (void)state;
    for (int is_won = 0; is_won < 2; is_won++) {
        struct judge_rig rig;
        rig_open(&rig, "collapse");
        uint32_t d = rig_scalar(&rig, "d_loss");
        uint32_t g = rig_scalar(&rig, "g_loss");
        for (int64_t step = 0; step < 300; step++) {
            double fade = exp(-(double)step / 12);
            rig_step(&rig, step, 0.1);
            rig_value(&rig, d,
                is_won != 0 ? 0.325 + 1.05 * fade + 0.004 * rig_normal(&rig)
                            : 1.2 + 0.15 * rig_normal(&rig));
            rig_value(&rig, g,
                is_won != 0 ? 0.7 + 6 * (1 - fade) + 0.2 * rig_normal(&rig)
                            : 0.9 + 0.1 * rig_normal(&rig));
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        if (is_won != 0) {
            assert_in_range(rig_only(&rig)->noticed_step, 25, 90);
        } else {
            rig_assert_quiet(&rig);
        }
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_that_are_not_normalised_are_told),
        cmocka_unit_test(inputs_that_change_are_told),
        cmocka_unit_test(a_dropout_that_lets_everything_pass_is_told),
        cmocka_unit_test(training_in_evaluation_mode_is_taken_from_the_watcher),
        cmocka_unit_test(a_loss_that_was_looked_into_when_all_ended_is_told),
        cmocka_unit_test(evaluation_in_training_mode_is_told),
        cmocka_unit_test(a_discriminator_that_wins_is_told),
        cmocka_unit_test(a_discriminator_that_lies_at_its_floor_has_won),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
