/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/* Rules over the results of samples, and over how gradients of successive steps agree. */

/* ---- flips ---- */

enum { N_SAMPLES = 320, N_CLASSES = 10, BATCH = 32 };

/* One batch of an epoch in order; is_wrong says who is not recognised. */
static void give_samples(struct judge_rig *rig, int64_t step,
    bool (*is_wrong)(struct judge_rig *rig, int64_t step, int64_t index))
{
    struct reading_sample samples[BATCH];
    for (int64_t i = 0; i < BATCH; i++) {
        int64_t index = (step * BATCH + i) % N_SAMPLES;
        samples[i] = (struct reading_sample){.index = index,
            .loss = 0.1F,
            .label = (int16_t)(index % N_CLASSES),
            .correct = is_wrong(rig, step, index) ? 0 : 1};
    }
    rig_samples(rig, samples, BATCH);
}

static void run_samples(struct judge_rig *rig, int64_t n_steps,
    bool (*is_wrong)(struct judge_rig *rig, int64_t step, int64_t index))
{
    rig_open(rig, "flips");
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        give_samples(rig, step, is_wrong);
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static bool now_and_then(struct judge_rig *rig, int64_t step, int64_t index)
{
    (void)index;
    return rig_uniform(rig) < (step < 40 ? 0.3 : 0.03);
}

static bool all_from_100(struct judge_rig *rig, int64_t step, int64_t index)
{
    return step >= 100 || now_and_then(rig, step, index);
}

static bool class_3_from_100(struct judge_rig *rig, int64_t step, int64_t index)
{
    return (step >= 100 && index % N_CLASSES == 3) || now_and_then(rig, step, index);
}

static bool ten_for_good(struct judge_rig *rig, int64_t step, int64_t index)
{
    (void)rig; /* one of them a step, so that it is no sudden loss */
    return index % BATCH == 0 && step >= 80 + 10 * (index / BATCH);
}

static void samples_that_are_lost_all_at_once_are_told_at_once(void **state)
{
    struct judge_rig rig;
    (void)state;
    run_samples(&rig, 140, all_from_100);
    const struct judge_finding *finding = rig_first(&rig, "flips");
    assert_non_null(finding);
    assert_int_equal(finding->step, 100);
    assert_int_equal(finding->noticed_step, 100);
    assert_true(finding->n_samples > 8 && finding->has_sample);
    assert_non_null(strstr(finding->text, "Samples are lost"));
    rig_close(&rig);
}

static void a_class_that_is_lost_is_named(void **state)
{
    struct judge_rig rig;
    (void)state;
    run_samples(&rig, 140, class_3_from_100);
    const struct judge_finding *finding = rig_first(&rig, "flips");
    assert_non_null(finding);
    assert_non_null(strstr(finding->text, "class 3"));
    assert_in_range(finding->noticed_step, 100, 104);
    rig_close(&rig);
}

static void samples_that_flip_now_and_then_are_no_news(void **state)
{
    struct judge_rig rig;
    (void)state;
    run_samples(&rig, 2000, now_and_then);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void samples_lost_for_good_are_information(void **state)
{
    struct judge_rig rig;
    (void)state;
    run_samples(&rig, 400, ten_for_good);
    const struct judge_finding *finding = rig_only(&rig);
    assert_int_equal(finding->level, BARO_INFO);
    assert_int_equal(finding->n_samples, 8);
    assert_int_equal(finding->samples[0], 0);
    rig_close(&rig);
}

/* ---- gradients of successive steps ---- */

enum { N_UNITS = 16, N_TENSORS = 4 };

struct gradients {
    struct judge_rig rig;
    uint32_t tensors[N_TENSORS];
    uint32_t loss;
    float sums[N_TENSORS][N_UNITS];
    float way[N_TENSORS][N_UNITS]; /* the signal */
};

static void open_gradients(struct gradients *g, const char *rule)
{
    rig_open(&g->rig, rule);
    g->loss = rig_scalar(&g->rig, "loss");
    for (int t = 0; t < N_TENSORS; t++) {
        char name[32];
        (void)snprintf(name, sizeof name, "layers.%d.weight", t);
        g->tensors[t] = rig_tensor(&g->rig, name, BARO_GRAD, N_UNITS, 8);
        for (int u = 0; u < N_UNITS; u++) {
            g->way[t][u] = (float)rig_normal(&g->rig);
        }
    }
}

/* A step: signal * way + noise, added to what was, where they pile up. */
static void give_gradients(
    struct gradients *g, int64_t step, double signal, bool piles_up, double loss)
{
    rig_step(&g->rig, step, 0.1);
    for (int t = 0; t < N_TENSORS; t++) {
        float values[UNIT_STAT_COUNT * N_UNITS] = {0};
        for (int u = 0; u < N_UNITS; u++) {
            float fresh = (float)(signal * (double)g->way[t][u] + rig_normal(&g->rig));
            g->sums[t][u] = fresh + (piles_up ? g->sums[t][u] : 0);
            values[u] = g->sums[t][u];
        }
        rig_units(&g->rig, g->tensors[t], values, UNIT_STAT_COUNT * N_UNITS);
    }
    rig_value(&g->rig, g->loss, loss + 0.01 * rig_normal(&g->rig));
}

static void gradients_that_pile_up_are_told_after_four(void **state)
{
    struct gradients g = {0};
    (void)state;
    open_gradients(&g, "gradient_pile_up");
    for (int64_t step = 0; step < 200; step++) {
        give_gradients(&g, step, 0.3, step > 100, 1);
    }
    rig_end(&g.rig, JUDGE_END_FINISHED);
    const struct judge_finding *finding = rig_first(&g.rig, "gradient_pile_up");
    assert_non_null(finding);
    assert_in_range(finding->noticed_step, 104, 106);
    assert_int_equal(finding->causes[0], JUDGE_CAUSE_NOT_ZEROED);
    rig_close(&g.rig);
}

static void gradients_full_of_signal_do_not_pile_up(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct gradients g = {0};
        open_gradients(&g, "gradient_pile_up");
        for (int64_t step = 0; step < 600; step++) {
            give_gradients(&g, step, i == 0 ? 0 : i == 1 ? 1 : 5, false, 1);
        }
        rig_end(&g.rig, JUDGE_END_FINISHED);
        rig_assert_quiet(&g.rig);
        rig_close(&g.rig);
    }
}

static void gradients_without_signal_and_a_loss_that_stands_are_noise(void **state)
{
    struct gradients g = {0};
    (void)state;
    open_gradients(&g, "noise_gradient");
    for (int64_t step = 0; step < 300; step++) {
        give_gradients(&g, step, 0, false, 2.3);
    }
    rig_end(&g.rig, JUDGE_END_FINISHED);
    const struct judge_finding *finding = rig_only(&g.rig);
    assert_in_range(finding->noticed_step, 96, 100);
    assert_true(fabs(finding->value) < 0.08);
    rig_close(&g.rig);
}

static void noise_of_a_training_that_has_learnt_is_no_fault(void **state)
{
    struct gradients g = {0};
    (void)state;
    open_gradients(&g, "noise_gradient");
    for (int64_t step = 0; step < 1000; step++) {
        double learnt = exp(-(double)step / 50);
        give_gradients(&g, step, 2 * learnt, false, 0.2 + 2 * learnt);
    }
    rig_end(&g.rig, JUDGE_END_FINISHED);
    rig_assert_quiet(&g.rig);
    rig_close(&g.rig);
}

static void signal_that_is_lost_with_what_was_learnt_is_told(void **state)
{
    struct gradients g = {0};
    (void)state;
    open_gradients(&g, "noise_gradient");
    for (int64_t step = 0; step < 500; step++) {
        bool is_lost = step >= 256;
        give_gradients(&g, step, is_lost ? 0 : 1.5, false,
            is_lost ? 2.3 : 0.5 + 1.8 * exp(-(double)step / 50));
    }
    rig_end(&g.rig, JUDGE_END_FINISHED);
    const struct judge_finding *finding = rig_only(&g.rig);
    assert_in_range(finding->step, 256, 300);
    assert_in_range(finding->noticed_step, 310, 330);
    rig_close(&g.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_that_are_lost_all_at_once_are_told_at_once),
        cmocka_unit_test(a_class_that_is_lost_is_named),
        cmocka_unit_test(samples_that_flip_now_and_then_are_no_news),
        cmocka_unit_test(samples_lost_for_good_are_information),
        cmocka_unit_test(gradients_that_pile_up_are_told_after_four),
        cmocka_unit_test(gradients_full_of_signal_do_not_pile_up),
        cmocka_unit_test(gradients_without_signal_and_a_loss_that_stands_are_noise),
        cmocka_unit_test(noise_of_a_training_that_has_learnt_is_no_fault),
        cmocka_unit_test(signal_that_is_lost_with_what_was_learnt_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
