/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/*
 * Rules over whole tensors: weights that stand still, steps of the wrong size, gradients through
 * depth, sizes that run away, the optimiser's memory. Each with a planted fault and a healthy
 * look-alike; and the worked numbers of their essays.
 */

enum { UNITS = 16, EACH = 64, COUNT = UNITS * EACH };

/* A reading of a tensor of that size per element. */
static void feed_size(struct judge_rig *rig, uint32_t thing, double size)
{
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, COUNT, size);
    rig_summary(rig, thing, stats);
}

static void feed_ratio(struct judge_rig *rig, uint32_t thing, double ratio)
{
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, COUNT, ratio);
    stats[SUMMARY_UPDATE_RATIO] = ratio;
    rig_summary(rig, thing, stats);
}

/* ---- frozen weights ---- */

enum { N_WEIGHTS = 4 };

/* What a training measures of its weights; one of them stands still from a step on. */
struct training {
    bool has_updates;
    bool has_gradient; /* of the one that stands still */
    bool all_stand;
    int64_t since;
    int64_t every; /* steps from one update to the next */
};

static void run_training(struct judge_rig *rig, const struct training *training)
{
    static const char *const names[N_WEIGHTS] = {
        "a.weight", "b.weight", "c.weight", "d.weight"};
    uint32_t grads[N_WEIGHTS];
    uint32_t updates[N_WEIGHTS];
    uint32_t weights[N_WEIGHTS];
    rig_open(rig, "frozen_weights");
    for (int i = 0; i < N_WEIGHTS; i++) {
        grads[i] = rig_tensor(rig, names[i], BARO_GRAD, UNITS, EACH);
        updates[i] =
            training->has_updates ? rig_tensor(rig, names[i], BARO_UPDATE, UNITS, EACH) : 0;
        weights[i] = rig_tensor(rig, names[i], BARO_WEIGHT, UNITS, EACH);
    }
    double sizes[N_WEIGHTS] = {0.1, 0.1, 0.1, 0.1};
    for (int64_t step = 0; step < 120; step++) {
        rig_step(rig, step, 0.1);
        for (int i = 0; i < N_WEIGHTS; i++) {
            bool stands = step >= training->since && (i == 2 || training->all_stand);
            bool steps = step % training->every == 0;
            sizes[i] += stands || !steps ? 0 : 1e-4 * rig_uniform(rig);
            feed_size(rig, grads[i], i != 2 || training->has_gradient ? 0.01 : 0);
            if (training->has_updates && steps) {
                feed_ratio(rig, updates[i], stands ? 0 : 1e-3);
            }
            feed_size(rig, weights[i], sizes[i]);
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void a_weight_whose_updates_are_nothing_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_training(
        &rig, &(struct training){
                  .has_updates = true, .has_gradient = true, .since = 50, .every = 1});
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 50);
    assert_non_null(strstr(found->text, "c.weight"));
    rig_close(&rig);
}

static void a_weight_that_nobody_steps_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_training(&rig, &(struct training){.has_gradient = true, .every = 1});
    assert_non_null(strstr(rig_only(&rig)->text, "c.weight"));
    rig_close(&rig);
}

static void weights_that_stand_still_for_a_reason_are_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    /* Frozen on purpose, dead: no gradient comes in. */
    run_training(&rig, &(struct training){.has_updates = true, .every = 1});
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_training(&rig, &(struct training){.every = 1});
    rig_assert_quiet(&rig);
    rig_close(&rig);
    /* A learning rate of 0 for all; gradients that are gathered over four steps. */
    run_training(&rig, &(struct training){.has_updates = true,
                           .has_gradient = true,
                           .all_stand = true,
                           .since = 50,
                           .every = 1});
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_training(
        &rig, &(struct training){
                  .has_updates = true, .has_gradient = true, .since = 1000, .every = 4});
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_training(&rig, &(struct training){.has_gradient = true, .since = 1000, .every = 4});
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

static void the_watchers_word_is_taken(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "frozen_weights");
    uint32_t other = rig_tensor(&rig, "fc.weight", BARO_WEIGHT, UNITS, EACH);
    uint32_t thing = rig_tensor(&rig, "pos", BARO_WEIGHT, UNITS, EACH);
    for (int64_t step = 0; step < 30; step++) {
        rig_step(&rig, step, 0.1);
        feed_size(&rig, other, 0.1 + 0.001 * (double)step);
        feed_size(&rig, thing, 0.1);
        if (step == 20) {
            rig_event(&rig, BARO_WATCH,
                "barograph: 2 parameters that are not frozen are in no optimiser: 'pos', 'bias'");
            rig_event(
                &rig, BARO_INFO, "barograph: 11 of 12 parameters are frozen: 'fc.weight'");
        }
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->thing, thing);
    assert_int_equal(found->step, 20);
    rig_close(&rig);
    rig_open(&rig, "frozen_weights");
    rig_step(&rig, 0, 0.1);
    rig_event(&rig, BARO_WATCH,
        "barograph: 1 parameters have got no gradient in 20 steps: 'unheard.of'");
    rig_event(&rig, BARO_WATCH, "barograph: 12");
    rig_event(&rig, BARO_WATCH, "barograph: 1 parameters have got no gradient in ");
    rig_end(&rig, JUDGE_END_FINISHED);
    rig_only(&rig);
    rig_close(&rig);
}

static void a_few_frozen_parameters_are_worth_knowing(void **state)
{
    (void)state;
    static const char *const words[] = {"barograph: 1 of 12 parameters are frozen: 'pos'",
        "barograph: 2 of 12 parameters are frozen: 'pos', 'fc.weight'",
        "barograph: 1 parameters are frozen now: 'pos'",
        "1 of 12 parameters are frozen: 'pos'"};
    for (size_t i = 0; i < BARO_LEN(words); i++) {
        struct judge_rig rig;
        rig_open(&rig, "frozen_weights");
        uint32_t thing = rig_tensor(&rig, "pos", BARO_WEIGHT, UNITS, EACH);
        for (int64_t step = 0; step < 20; step++) {
            rig_step(&rig, step, 0.1);
            feed_size(&rig, thing, 0.1);
            if (step == 5) {
                rig_event(&rig, BARO_WATCH, words[i]);
            }
        }
        rig_end(&rig, JUDGE_END_FINISHED);
        if (i == 0) {
            assert_int_equal(rig_only(&rig)->level, BARO_INFO);
            assert_int_equal(rig.found[0].thing, thing);
        } else {
            rig_assert_quiet(&rig);
        }
        rig_close(&rig);
    }
}

/* ---- size of updates ---- */

typedef double (*ratio_fn)(struct judge_rig *rig, int64_t step, int weight);

static void run_updates(struct judge_rig *rig, ratio_fn ratio, int64_t n_steps)
{
    rig_open(rig, "update_size");
    uint32_t things[N_WEIGHTS];
    for (int i = 0; i < N_WEIGHTS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "fc%d.weight", i);
        things[i] = rig_tensor(rig, name, BARO_UPDATE, UNITS, EACH);
    }
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        for (int i = 0; i < N_WEIGHTS; i++) {
            feed_ratio(rig, things[i], ratio(rig, step, i));
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

/* Medians as recorded from a perceptron on digits, Adam with a learning rate of 0.01. */
static double recorded(struct judge_rig *rig, int64_t step, int weight)
{
    static const double medians[] = {0.139, 0.106, 0.0854, 0.0802, 0.076, 0.0719, 0.068,
        0.064, 0.0601, 0.055, 0.051, 0.048, 0.0455};
    double median =
        step < (int64_t)BARO_LEN(medians) ? medians[step] : 0.6 / (double)(step + 1);
    (void)weight;
    return median * exp(0.3 * rig_normal(rig));
}

static double far_too_large(struct judge_rig *rig, int64_t step, int weight)
{
    return (step == 0 ? 4 : 0.7) * recorded(rig, 100, weight) * 100;
}

static double rather_large(struct judge_rig *rig, int64_t step, int weight)
{
    return step < 100 ? recorded(rig, step, weight) : 0.4 * exp(0.1 * rig_normal(rig));
}

/* All weights at once by a factor of 6, as weight decay of 1 does. */
static double all_leap(struct judge_rig *rig, int64_t step, int weight)
{
    (void)weight;
    return (step < 100 ? 0.004 : 0.024) * exp(0.1 * rig_normal(rig));
}

static double tiny(struct judge_rig *rig, int64_t step, int weight)
{
    (void)step;
    (void)weight;
    return 1e-7 * exp(0.1 * rig_normal(rig));
}

static double warming_up(struct judge_rig *rig, int64_t step, int weight)
{
    (void)weight;
    return 1e-8 * (double)(step + 1) * exp(0.1 * rig_normal(rig));
}

static double annealing(struct judge_rig *rig, int64_t step, int weight)
{
    (void)weight;
    return 1e-3 * exp(-0.02 * (double)step) * exp(0.1 * rig_normal(rig));
}

/* One weight by a factor of 20, the essay's number. */
static double one_leaves(struct judge_rig *rig, int64_t step, int weight)
{
    static const double usual[N_WEIGHTS] = {0.001, 0.002, 0.001, 0.004};
    bool has_left = step >= 100 && weight == 3;
    return (has_left ? 0.08 : usual[weight]) * exp(0.1 * rig_normal(rig));
}

/* All by the same factor: a schedule. */
static double all_leave(struct judge_rig *rig, int64_t step, int weight)
{
    return one_leaves(rig, 0, weight) * (step >= 100 ? 0.05 : 1);
}

static double one_is_fast(struct judge_rig *rig, int64_t step, int weight)
{
    (void)step;
    return (weight == 1 ? 0.15 : 0.001) * exp(0.1 * rig_normal(rig));
}

static void steps_of_the_wrong_size_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_updates(&rig, far_too_large, 20);
    assert_int_equal(rig_only(&rig)->step, 0);
    assert_int_equal(rig.found[0].thing, 0);
    rig_close(&rig);
    run_updates(&rig, rather_large, 200);
    assert_int_equal(rig.found[0].step, 100);
    rig_close(&rig);
    run_updates(&rig, all_leap, 200);
    assert_int_equal(rig_only(&rig)->step, 100);
    assert_int_equal(rig.found[0].noticed_step, 101);
    assert_int_equal(rig.found[0].causes[0], JUDGE_CAUSE_WEIGHT_DECAY);
    rig_close(&rig);
    run_updates(&rig, tiny, 100);
    assert_int_equal(rig_only(&rig)->step, 63);
    rig_close(&rig);
    run_updates(&rig, one_is_fast, 100);
    assert_int_equal(rig_only(&rig)->thing, 2);
    rig_close(&rig);
    run_updates(&rig, one_leaves, 105);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 100);
    assert_int_equal(found->thing, 4);
    assert_true(fabs(found->value / 0.08 - 1) < 0.5);
    assert_true(fabs(found->usual / 0.004 - 1) < 0.5);
    rig_close(&rig);
}

static void steps_of_healthy_trainings_are_quiet(void **state)
{
    (void)state;
    static const ratio_fn healthy[] = {recorded, warming_up, annealing, all_leave};
    for (size_t i = 0; i < BARO_LEN(healthy); i++) {
        struct judge_rig rig;
        run_updates(&rig, healthy[i], 1000);
        rig_assert_quiet(&rig);
        rig_close(&rig);
    }
}

/* ---- gradients through depth ---- */

enum { N_LAYERS = 8 };

/* sizes: log10 of each layer's gradient, first to last */
static void run_depth(struct judge_rig *rig, enum baro_role role, const double *sizes,
    int64_t n_steps, bool in_turns)
{
    rig_open(rig, "gradient_depth");
    uint32_t things[N_LAYERS];
    for (int i = 0; i < N_LAYERS; i++) {
        /* Activations' gradients are measured from the last to the first. */
        char name[16];
        int layer = role == BARO_ACT_GRAD ? N_LAYERS - 1 - i : i;
        (void)snprintf(name, sizeof name, "fc%d.weight", layer);
        things[layer] = rig_tensor(rig, name, role, UNITS, EACH);
    }
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        for (int i = 0; i < N_LAYERS; i++) {
            if (!in_turns || step % N_LAYERS == i) {
                double noise = 0.1 * rig_normal(rig);
                feed_size(rig, things[i], pow(10, sizes[i] + noise));
            }
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

/* Worked number: a factor of 4 from layer to layer. */
static void a_gradient_that_vanishes_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    double sizes[N_LAYERS];
    for (int i = 0; i < N_LAYERS; i++) {
        sizes[i] = -2 - (N_LAYERS - 1 - i) * log10(4);
    }
    run_depth(&rig, BARO_GRAD, sizes, 30, false);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 0);
    assert_true(fabs(found->score - 3.61) < 0.4);
    assert_non_null(strstr(found->text, "fc0.weight"));
    rig_close(&rig);
    run_depth(&rig, BARO_ACT_GRAD, sizes, 30, false);
    assert_non_null(strstr(rig_only(&rig)->text, "fc0.weight"));
    rig_close(&rig);
    run_depth(&rig, BARO_GRAD, sizes, 60, true); /* one layer a step */
    rig_only(&rig);
    rig_close(&rig);
}

static void a_gradient_that_explodes_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    double sizes[N_LAYERS];
    for (int i = 0; i < N_LAYERS; i++) {
        sizes[i] = 0.5 * (N_LAYERS - i);
    }
    run_depth(&rig, BARO_ACT_GRAD, sizes, 30, false);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->level, BARO_ALARM);
    assert_non_null(strstr(found->text, "explodes"));
    rig_close(&rig);
}

static void a_gradient_that_is_cut_off_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    double sizes[N_LAYERS];
    for (int i = 0; i < N_LAYERS; i++) {
        sizes[i] = i < 3 ? (double)-INFINITY : -2;
    }
    run_depth(&rig, BARO_GRAD, sizes, 30, false);
    assert_non_null(strstr(rig_only(&rig)->text, "No gradient at all"));
    rig_close(&rig);
}

static void gradients_of_healthy_networks_are_quiet(void **state)
{
    (void)state;
    /* As recorded: three sigmoids, a transformer, an embedding before a small head. */
    static const double healthy[][N_LAYERS] = {
        {-4.3, -4.1, -3.7, -3.2, -3.1, -2.4, -2.2, -2.0},
        {-2.9, -3.6, -3.1, -3.5, -3.2, -3.4, -3.7, -4.1},
        {-5.0, -1.9, -2.1, -2.0, -2.2, -1.9, -2.4, -1.6},
        {-20, -20, -20, -20, -20, -20, -20, -20}};
    for (size_t i = 0; i < BARO_LEN(healthy); i++) {
        struct judge_rig rig;
        run_depth(&rig, BARO_GRAD, healthy[i], 200, false);
        rig_assert_quiet(&rig);
        rig_close(&rig);
        run_depth(&rig, BARO_ACT_GRAD, healthy[i], 200, false);
        rig_assert_quiet(&rig);
        rig_close(&rig);
    }
}

/* ---- drift ---- */

typedef double (*size_fn)(struct judge_rig *rig, int64_t step);

static void run_drift(
    struct judge_rig *rig, enum baro_role role, size_fn size, size_fn loss, int64_t n_steps)
{
    rig_open(rig, "norm_drift");
    uint32_t thing = rig_tensor(rig, "layers.3.out", role, UNITS, EACH);
    uint32_t others[3];
    for (int i = 0; i < 3; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "layers.%d.in", i);
        others[i] = rig_tensor(rig, name, role, UNITS, EACH);
    }
    uint32_t scalar = rig_scalar(rig, "loss");
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        feed_size(rig, thing, size(rig, step) * exp(0.005 * rig_normal(rig)));
        for (int i = 0; i < 3; i++) {
            feed_size(rig, others[i], 1 + 0.01 * rig_normal(rig));
        }
        rig_value(rig, scalar, loss(rig, step));
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static double steady_loss(struct judge_rig *rig, int64_t step)
{
    (void)step;
    return 1 + 0.05 * rig_normal(rig);
}

static double runs_from_200(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 200 ? 1 : pow(1.03, (double)(step - 200));
}

static double walks_from_500(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 500 ? 1 : pow(1.005, (double)(step - 500));
}

static double creeps_from_500(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 500 ? 1 : pow(1.0025, (double)(step - 500));
}

static double grows_like_t(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return 0.01 * (double)(step + 1);
}

static double grows_like_log(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return log((double)(step + 2));
}

static double wanders(struct judge_rig *rig, int64_t step)
{
    static double x;
    x = step == 0 ? 0 : 0.99 * x + 0.03 * rig_normal(rig);
    return exp(x);
}

static void a_size_that_runs_away_is_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_drift(&rig, BARO_WEIGHT, runs_from_200, steady_loss, 240);
    const struct judge_finding *found = rig_only(&rig);
    assert_in_range(found->step, 193, 208);
    assert_int_equal(found->thing, 1);
    rig_close(&rig);
    run_drift(&rig, BARO_ACT, runs_from_200, steady_loss, 320);
    rig_only(&rig);
    rig_close(&rig);
    run_drift(&rig, BARO_WEIGHT, walks_from_500, steady_loss, 730);
    found = rig_only(&rig);
    assert_in_range(found->step, 475, 525);
    rig_close(&rig);
    run_drift(&rig, BARO_WEIGHT, creeps_from_500, steady_loss, 900);
    rig_only(&rig);
    rig_close(&rig);
}

static void sizes_that_grow_as_they_should_are_quiet(void **state)
{
    (void)state;
    static const size_fn healthy[] = {grows_like_t, grows_like_log, wanders};
    for (size_t i = 0; i < BARO_LEN(healthy); i++) {
        struct judge_rig rig;
        run_drift(&rig, BARO_WEIGHT, healthy[i], steady_loss, TEST_ROUNDS(20000));
        rig_assert_quiet(&rig);
        rig_close(&rig);
    }
}

/* As recorded from a small convolutional network without normalisation, learning digits by SGD: it
 * sits on a plateau for 100 steps, then its last activation grows sixtyfold within 80. */
static const float plateau_size[] = {0.0321F, 0.0321F, 0.0331F, 0.0352F, 0.0389F, 0.043F,
    0.0436F, 0.0465F, 0.0477F, 0.0502F, 0.0521F, 0.052F, 0.0536F, 0.0537F, 0.0527F, 0.0523F,
    0.0494F, 0.0485F, 0.0471F, 0.0449F, 0.043F, 0.0404F, 0.0388F, 0.0388F, 0.0379F, 0.0379F,
    0.0367F, 0.0359F, 0.0345F, 0.0328F, 0.0309F, 0.0296F, 0.0287F, 0.0296F, 0.0297F,
    0.0296F, 0.0294F, 0.0307F, 0.031F, 0.0309F, 0.0303F, 0.0307F, 0.031F, 0.0321F, 0.0319F,
    0.0331F, 0.0335F, 0.0374F, 0.0404F, 0.0421F, 0.0439F, 0.0507F, 0.052F, 0.0561F, 0.0549F,
    0.0577F, 0.062F, 0.063F, 0.0683F, 0.0728F, 0.0748F, 0.0776F, 0.0814F, 0.088F, 0.0931F,
    0.0969F, 0.106F, 0.107F, 0.12F, 0.12F, 0.131F, 0.15F, 0.16F, 0.172F, 0.175F, 0.187F,
    0.211F, 0.219F, 0.261F, 0.307F, 0.353F, 0.378F, 0.408F, 0.47F, 0.549F, 0.676F, 0.757F,
    0.844F, 0.959F, 1.15F, 1.21F, 1.28F, 1.74F, 2.05F, 2.14F, 2.49F, 2.83F, 3.33F, 3.33F,
    3.73F, 3.32F, 3.64F, 3.83F, 3.42F, 3.43F, 3.27F, 3.29F, 3.13F, 3.18F, 3.45F, 3.15F,
    2.98F, 2.94F, 2.99F, 3.22F, 2.87F, 3.21F, 3.14F, 3.65F, 3.59F, 3.61F, 3.84F, 3.95F,
    4.39F, 4.13F, 4.12F, 4.34F, 4.62F, 4.44F, 4.51F, 4.73F, 4.49F, 4.47F, 4.54F, 4.82F,
    4.34F, 4.27F, 4.87F, 4.92F, 4.91F, 4.76F, 5.07F, 4.86F, 4.78F, 4.87F, 4.62F, 4.96F,
    4.91F, 4.61F, 4.53F, 4.6F, 4.72F, 4.59F, 4.65F, 4.85F, 4.52F, 4.19F, 4.51F, 4.56F,
    4.46F, 4.11F, 4.56F, 4.08F, 4.58F, 4.61F, 4.64F, 4.67F, 4.88F, 4.7F, 4.52F, 4.78F,
    4.85F, 4.89F, 4.61F, 4.72F, 4.4F, 4.45F, 4.25F, 4.25F, 4.3F};
static const float plateau_loss[] = {2.31F, 2.29F, 2.3F, 2.3F, 2.31F, 2.31F, 2.3F, 2.31F,
    2.3F, 2.31F, 2.31F, 2.29F, 2.31F, 2.31F, 2.31F, 2.31F, 2.3F, 2.29F, 2.31F, 2.3F, 2.31F,
    2.29F, 2.3F, 2.29F, 2.3F, 2.3F, 2.29F, 2.3F, 2.29F, 2.29F, 2.29F, 2.28F, 2.29F, 2.28F,
    2.29F, 2.3F, 2.28F, 2.28F, 2.29F, 2.28F, 2.28F, 2.28F, 2.28F, 2.27F, 2.28F, 2.28F,
    2.27F, 2.27F, 2.27F, 2.28F, 2.26F, 2.25F, 2.25F, 2.24F, 2.27F, 2.26F, 2.22F, 2.25F,
    2.24F, 2.23F, 2.25F, 2.22F, 2.2F, 2.2F, 2.21F, 2.21F, 2.2F, 2.2F, 2.16F, 2.15F, 2.16F,
    2.1F, 2.14F, 2.12F, 2.13F, 2.14F, 2.01F, 1.98F, 1.85F, 1.91F, 1.89F, 1.89F, 1.81F,
    1.67F, 1.64F, 1.47F, 1.6F, 1.48F, 1.23F, 1.07F, 1.21F, 1.01F, 0.854F, 0.704F, 0.865F,
    0.837F, 0.695F, 0.941F, 0.768F, 0.731F, 0.836F, 0.587F, 1.12F, 0.621F, 0.487F, 0.596F,
    0.33F, 0.554F, 0.688F, 0.744F, 0.592F, 0.519F, 0.293F, 0.481F, 0.443F, 0.57F, 0.417F,
    0.656F, 0.698F, 0.0987F, 0.115F, 0.319F, 0.148F, 0.285F, 0.299F, 0.2F, 0.234F, 0.616F,
    0.413F, 0.272F, 0.11F, 0.393F, 0.214F, 0.363F, 0.124F, 0.121F, 0.162F, 0.189F, 0.263F,
    0.269F, 0.137F, 0.172F, 0.0861F, 0.177F, 0.389F, 0.249F, 0.26F, 0.244F, 0.158F, 0.273F,
    0.173F, 0.138F, 0.204F, 0.198F, 0.125F, 0.505F, 0.463F, 0.121F, 0.201F, 0.162F, 0.225F,
    0.233F, 0.273F, 0.151F, 0.242F, 0.668F, 0.0756F, 0.249F, 0.111F, 0.0504F, 0.111F,
    0.344F, 0.182F, 0.418F, 0.104F, 0.066F, 0.135F, 0.19F, 0.0825F, 0.118F};

static double leaves_plateau(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    size_t n = BARO_LEN(plateau_size);
    return (double)plateau_size[step < (int64_t)n ? (size_t)step : n - 1];
}

static double plateau_loss_of(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    size_t n = BARO_LEN(plateau_loss);
    return (double)plateau_loss[step < (int64_t)n ? (size_t)step : n - 1];
}

static void a_network_that_leaves_a_plateau_is_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_drift(&rig, BARO_ACT, leaves_plateau, plateau_loss_of, 300);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    /* The very same growth while the loss stands is no learning. */
    run_drift(&rig, BARO_ACT, leaves_plateau, steady_loss, 300);
    rig_only(&rig);
    rig_close(&rig);
}

static void run_logits(struct judge_rig *rig, double from, double factor)
{
    rig_open(rig, "norm_drift");
    uint32_t thing = rig_scalar(rig, "blocks.0.attn/attn_logit_max");
    double logit = from;
    for (int64_t step = 0; step < 400; step++) {
        rig_step(rig, step, 0.1);
        rig_value(rig, thing, logit * exp(0.02 * rig_normal(rig)));
        logit *= step > 150 ? factor : 1;
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void attention_logits_that_grow_and_grow_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_logits(&rig, 8, 1.03);
    assert_in_range(rig.n_found, 1, 2);
    assert_in_range(rig.found[0].step, 140, 180);
    rig_close(&rig);
    run_logits(&rig, 700, 1);
    assert_int_equal(rig_only(&rig)->level, BARO_ALARM);
    rig_close(&rig);
    run_logits(&rig, 20, 1);
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

/* ---- second moment ---- */

static void run_rho(struct judge_rig *rig, size_fn rho, int64_t n_steps)
{
    rig_open(rig, "second_moment");
    uint32_t thing = rig_scalar(rig, "fc.weight/rho");
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        rig_value(rig, thing, rho(rig, step));
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

/* Worked number: between 0.8 and 1.25, then 6 and 7. */
static double outgrows(struct judge_rig *rig, int64_t step)
{
    return step == 40 ? 6 : step == 41 ? 7 : exp(0.446 * (rig_uniform(rig) - 0.5));
}

static double leaps(struct judge_rig *rig, int64_t step)
{
    return step == 40 ? 280 : exp(0.446 * (rig_uniform(rig) - 0.5));
}

static double one_batch(struct judge_rig *rig, int64_t step)
{
    return step % 97 == 40 ? 7 : exp(0.446 * (rig_uniform(rig) - 0.5));
}

static double heavy_tails(struct judge_rig *rig, int64_t step)
{
    (void)step;
    return exp(0.8 * rig_normal(rig));
}

static void gradients_that_outgrow_the_memory_are_told(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_rho(&rig, outgrows, 200);
    const struct judge_finding *found = rig_only(&rig);
    assert_int_equal(found->step, 40);
    assert_true(fabs(found->value - 7) < 1e-9);
    rig_close(&rig);
    run_rho(&rig, leaps, 200);
    assert_int_equal(rig_only(&rig)->step, 40);
    rig_close(&rig);
    run_rho(&rig, one_batch, 2000);
    rig_assert_quiet(&rig);
    rig_close(&rig);
    run_rho(&rig, heavy_tails, TEST_ROUNDS(20000));
    rig_assert_quiet(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_weight_whose_updates_are_nothing_is_told),
        cmocka_unit_test(a_weight_that_nobody_steps_is_told),
        cmocka_unit_test(weights_that_stand_still_for_a_reason_are_quiet),
        cmocka_unit_test(the_watchers_word_is_taken),
        cmocka_unit_test(a_few_frozen_parameters_are_worth_knowing),
        cmocka_unit_test(steps_of_the_wrong_size_are_told),
        cmocka_unit_test(steps_of_healthy_trainings_are_quiet),
        cmocka_unit_test(a_gradient_that_vanishes_is_told),
        cmocka_unit_test(a_gradient_that_explodes_is_told),
        cmocka_unit_test(a_gradient_that_is_cut_off_is_told),
        cmocka_unit_test(gradients_of_healthy_networks_are_quiet),
        cmocka_unit_test(a_size_that_runs_away_is_told),
        cmocka_unit_test(sizes_that_grow_as_they_should_are_quiet),
        cmocka_unit_test(a_network_that_leaves_a_plateau_is_quiet),
        cmocka_unit_test(attention_logits_that_grow_and_grow_are_told),
        cmocka_unit_test(gradients_that_outgrow_the_memory_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
