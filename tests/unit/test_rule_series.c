/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/*
 * Rules over one number: gradient norm, loss, learning rate, loss scale. Each with a planted fault
 * and with healthy look-alikes; and the worked numbers of their essays.
 */

typedef double (*series_fn)(struct judge_rig *rig, int64_t step);

/* Feed one scalar, step by step, and count what the one rule found. */
static size_t run_series(struct judge_rig *rig, const char *rule, const char *name,
    series_fn series, int64_t n_steps)
{
    rig_open(rig, rule);
    uint32_t thing = rig_scalar(rig, name);
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        rig_value(rig, thing, series(rig, step));
    }
    rig_end(rig, JUDGE_END_FINISHED);
    return rig->n_found;
}

static void assert_quiet(
    const char *rule, const char *name, series_fn series, int64_t n_steps)
{
    struct judge_rig rig;
    size_t n = run_series(&rig, rule, name, series, n_steps);
    if (n > 0) {
        print_message("# %zu findings, the first: %s\n", n, rig.found[0].text);
    }
    assert_int_equal(n, 0);
    rig_close(&rig);
}

static void assert_found(const char *rule, const char *name, series_fn series,
    int64_t n_steps, int64_t from, int64_t to)
{
    struct judge_rig rig;
    size_t n = run_series(&rig, rule, name, series, n_steps);
    assert_true(n > 0);
    print_message("# %s\n", rig.found[0].text);
    assert_in_range(rig.found[0].noticed_step, from, to);
    assert_true(n <= 2);
    rig_close(&rig);
}

/* ---- gradient explosion ---- */

/* Iterations 31214 to 31219 of BLOOM-176B after a calm past (USERS.md 3d). */
static double bloom(struct judge_rig *rig, int64_t step)
{
    static const double spike[] = {0.242, 0.947, 2.39, 15.9, 145, 960};
    int64_t at = step - 31214;
    return at >= 0 && at < (int64_t)BARO_LEN(spike) ? spike[at]
                                                    : 0.25 * exp(0.1 * rig_normal(rig));
}

static void blooms_gradients_are_told_two_steps_before_the_loss_jumps(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "grad_explosion");
    uint32_t norm = rig_scalar(&rig, "grad_norm");
    for (int64_t step = 30214; step <= 31219; step++) {
        rig_step(&rig, step, 106);
        rig_value(&rig, norm, bloom(&rig, step));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 1);
    print_message("# %s\n", rig.found[0].text);
    assert_int_equal(rig.found[0].step, 31216);
    rig_close(&rig);
}

static double heavy_norm(struct judge_rig *rig, int64_t step)
{
    double single = step % 97 == 50 ? 8 : 1; /* a spike of one step, now and then */
    return single * exp(0.4 * rig_normal(rig));
}

static double warm_norm(struct judge_rig *rig, int64_t step)
{
    double t = (double)step;
    double level =
        0.2 + 3 * exp(-pow((t - 60) / 30, 2)); /* up and down again at the start */
    return level * exp(0.15 * rig_normal(rig));
}

static double shrinking_norm(struct judge_rig *rig, int64_t step)
{
    return 20 / (1 + (double)step / 20) * exp(0.3 * rig_normal(rig));
}

static double zero_then_one(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step % 3 == 0 ? 1 : 0;
}

static void unquiet_gradients_are_no_explosion(void **state)
{
    (void)state;
    assert_quiet("grad_explosion", "grad_norm", heavy_norm, TEST_ROUNDS(20000));
    assert_quiet("grad_explosion", "grad_norm", warm_norm, 2000);
    assert_quiet("grad_explosion", "grad_norm", shrinking_norm, 5000);
    assert_quiet("grad_explosion", "grad_norm", zero_then_one, 500);
}

static double explodes_at_start(struct judge_rig *rig, int64_t step)
{
    return step < 6 ? 1 + 0.1 * rig_normal(rig) : pow(8, (double)(step - 5));
}

static void an_explosion_from_the_start_is_told(void **state)
{
    (void)state;
    assert_found("grad_explosion", "grad_norm", explodes_at_start, 20, 7, 12);
}

static void the_tensor_that_is_furthest_out_is_told_with_the_norm_of_all(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "grad_explosion");
    uint32_t tensors[4];
    char name[32];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "fc%d.weight", i);
        tensors[i] = rig_tensor(&rig, name, BARO_GRAD, 0, 100);
    }
    uint32_t norm = rig_scalar(&rig, "grad_norm");
    for (int64_t step = 0; step < 210; step++) {
        double factor = step >= 200 ? 4 * (double)(step - 199) : 1;
        rig_step(&rig, step, 0.1);
        for (int i = 0; i < 4; i++) {
            double stats[SUMMARY_STAT_COUNT];
            rig_stats(stats, 100,
                exp(0.2 * rig_normal(&rig)) * (i == 2 ? 4 * factor - 3 : factor));
            rig_summary(&rig, tensors[i], stats);
        }
        rig_value(&rig, norm, 20 * factor * exp(0.1 * rig_normal(&rig)));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 2);
    assert_int_equal(rig.found[0].thing, tensors[2]);
    assert_int_equal(rig.found[1].thing, norm);
    assert_in_range(rig.found[1].step, 200, 201);
    rig_close(&rig);
}

/* Gradients of four layers whose scale is `factor` times the usual from step 200 on. */
static size_t run_layers(
    struct judge_rig *rig, int n_that_grow, double noise, int64_t n_steps)
{
    rig_open(rig, "grad_explosion");
    uint32_t tensors[4];
    char name[32];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "fc%d.weight", i);
        tensors[i] = rig_tensor(rig, name, BARO_GRAD, 0, 100);
    }
    for (int64_t step = 0; step < n_steps; step++) {
        double factor = step == 200 ? 4 : step > 200 ? 6.5 : 1;
        rig_step(rig, step, 0.1);
        for (int i = 0; i < 4; i++) {
            double stats[SUMMARY_STAT_COUNT];
            double scale = i < n_that_grow ? factor * (i == 1 ? 1.2 : 1) : 1;
            rig_stats(stats, 100, scale * exp(noise * rig_normal(rig)));
            rig_summary(rig, tensors[i], stats);
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
    return rig->n_found;
}

static void tensors_bear_each_other_out_where_one_alone_would_not_do(void **state)
{
    (void)state;
    struct judge_rig rig;
    assert_int_equal(run_layers(&rig, 3, 0.05, 220), 1);
    print_message("# %s\n", rig.found[0].text);
    assert_int_equal(rig.found[0].step, 201);
    assert_int_equal(rig.found[0].thing, 2);
    rig_close(&rig);
    assert_int_equal(run_layers(&rig, 1, 0.05, 220), 0);
    rig_close(&rig);
    assert_int_equal(run_layers(&rig, 0, 0.7, TEST_ROUNDS(4000)), 0);
    rig_close(&rig);
}

/* ---- divergence ---- */

static double learns(struct judge_rig *rig, int64_t step)
{
    return (0.3 + 2 / sqrt(1 + (double)step / 50)) * (1 + 0.08 * rig_normal(rig));
}

static double learns_then_rises(struct judge_rig *rig, int64_t step)
{
    double rise = step > 1000 ? 0.004 * (double)(step - 1000) : 0;
    return learns(rig, step < 1000 ? step : 1000) + rise;
}

static double lost_at_once(struct judge_rig *rig, int64_t step)
{
    return step < 500 ? learns(rig, step) : 3.5 + 0.1 * rig_normal(rig);
}

static double grows_from_the_start(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return 2.3 * pow(1.5, (double)step);
}

/* Noisier than it is high: single readings say little. */
static double lost_in_noise(struct judge_rig *rig, int64_t step)
{
    return step < 60 ? 1 + 1.3 * exp(-(double)step / 10) + 0.05 * rig_normal(rig)
                     : 2.8 + 0.5 * rig_normal(rig);
}

/* The codes of a VQ autoencoder: five times the beginning for a dozen of steps, then it learns. */
static double late_term(struct judge_rig *rig, int64_t step)
{
    double hill = exp(-pow(((double)step - 20) / 5, 2));
    return (0.25 / (1 + (double)step / 100) + 1.2 * hill) * (1 + 0.05 * rig_normal(rig));
}

static double stays_high(struct judge_rig *rig, int64_t step)
{
    return (step < 10 ? 2.3 : 12) * (1 + 0.05 * rig_normal(rig));
}

static double bumpy_start(struct judge_rig *rig, int64_t step)
{
    double bump = step > 2 && step < 6 ? 3 : 0;
    return learns(rig, step) + bump;
}

static double negative_loss(struct judge_rig *rig, int64_t step)
{
    return -100 * (1 - exp(-(double)step / 300)) + 3 * rig_normal(rig);
}

static double around_zero(struct judge_rig *rig, int64_t step)
{
    return exp(-(double)step / 100) + 0.02 * rig_normal(rig);
}

static double constant(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    (void)step;
    return 1.5;
}

static double slow_waves(struct judge_rig *rig, int64_t step)
{
    return learns(rig, step) + 0.05 * sin((double)step / 100);
}

static void a_loss_that_rises_for_good_is_told(void **state)
{
    (void)state;
    assert_found("divergence", "loss", learns_then_rises, 3000, 1000, 1200);
    assert_found("divergence", "loss", lost_at_once, 1000, 500, 508);
    assert_found("divergence", "loss", grows_from_the_start, 60, 3, 12);
    assert_found("divergence", "loss", stays_high, 60, 24, 26);
    assert_found("divergence", "loss", lost_in_noise, 300, 60, 112);
}

static void a_loss_that_learns_or_wanders_does_not_diverge(void **state)
{
    (void)state;
    assert_quiet("divergence", "loss", learns, TEST_ROUNDS(20000));
    assert_quiet("divergence", "loss", bumpy_start, 2000);
    assert_quiet("divergence", "loss", late_term, 2000);
    assert_quiet("divergence", "train/loss", negative_loss, 5000);
    assert_quiet("divergence", "loss", around_zero, 5000);
    assert_quiet("divergence", "loss", constant, 1000);
    assert_quiet("divergence", "loss", slow_waves, 5000);
    assert_quiet("divergence", "kl_loss", learns_then_rises, 3000);
    assert_quiet("divergence", "val_loss", learns_then_rises, 3000);
    assert_quiet("divergence", "g_loss", learns_then_rises, 3000);
}

static void a_rising_block_is_judged_as_worked_in_the_essay(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "divergence");
    uint32_t loss = rig_scalar(&rig, "loss");
    static const double blocks[] = {2.3, 1.0, 1.2, 1.35, 1.5};
    for (int64_t step = 0; step < 5 * 16; step++) {
        /* alternating by 0.04 around the mean: standard error 0.02 when doubled */
        double wave = step % 2 == 0 ? 0.04 : -0.04;
        rig_step(&rig, step, 0.1);
        rig_value(&rig, loss, blocks[step / 16] + wave);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 1);
    assert_int_equal(rig.found[0].step, 32);
    assert_int_equal(rig.found[0].noticed_step, 79);
    assert_true(fabs(rig.found[0].value - 1.5) < 1e-9);
    assert_true(fabs(rig.found[0].usual - 1.0) < 1e-9);
    rig_close(&rig);
}

/* ---- plateau ---- */

static double never_learns(struct judge_rig *rig, int64_t step)
{
    (void)step;
    return 2.303 + 0.02 * rig_normal(rig);
}

static double learns_late(struct judge_rig *rig, int64_t step)
{
    double t = step > 60 ? (double)(step - 60) : 0;
    return 2.3 * exp(-t / 100) + 0.1 + 0.02 * rig_normal(rig);
}

static void a_loss_that_never_falls_is_told(void **state)
{
    (void)state;
    assert_found("plateau", "loss", never_learns, 400, 95, 95);
    assert_found("plateau", "loss", constant, 400, 95, 95);
}

static void a_loss_that_falls_is_no_plateau(void **state)
{
    (void)state;
    assert_quiet("plateau", "loss", learns, 8000);
    assert_quiet("plateau", "loss", learns_late, 3000);
    assert_quiet("plateau", "loss", negative_loss, 4000);
}

static double two_levels(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step % 2 == 0 ? 2.1 : 2;
}

static void the_line_is_laid_as_worked_in_the_essay(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_series(&rig, "plateau", "loss", two_levels, 98);
    assert_int_equal(rig.n_found, 1);
    assert_true(fabs(rig.found[0].score + 0.175) < 0.001);
    assert_true(fabs(rig.found[0].usual - rig.found[0].value - 0.00309) < 0.00001);
    rig_close(&rig);
}

static double stops(struct judge_rig *rig, int64_t step)
{
    return fmax(2 - (double)step / 500, 0.5) + 0.05 * rig_normal(rig);
}

/* Rises for 70 steps, then comes down: the codes of a VQ autoencoder with a small learning rate. */
static double comes_down(struct judge_rig *rig, int64_t step)
{
    double hill = exp(-pow(((double)step - 70) / 25, 2));
    return (0.25 / (1 + (double)step / 300) + 0.9 * hill) * (1 + 0.05 * rig_normal(rig));
}

static void a_loss_that_comes_down_again_is_no_plateau(void **state)
{
    (void)state;
    assert_quiet("plateau", "loss", comes_down, 1000);
}

static void progress_that_stopped_long_ago_is_information(void **state)
{
    (void)state;
    struct judge_rig rig;
    run_series(&rig, "plateau", "loss", stops, 30000);
    assert_int_equal(rig.n_found, 1);
    assert_int_equal(rig.found[0].level, BARO_INFO);
    assert_true(rig.found[0].step > 4000);
    rig_close(&rig);
}

/* ---- learning rate ---- */

static double warm_up_and_cosine(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    double t = (double)step;
    return step < 100 ? 1e-3 * (t + 1) / 100
                      : 5e-4 * (1 + cos(3.14159265 * (t - 100) / 900));
}

static double warm_restarts(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return 5e-4 * (1 + cos(3.14159265 * (double)(step % 200) / 200));
}

static double steps_down(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return 0.1 * pow(0.1, (double)(step / 300));
}

static double jumps(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 100 ? 1e-3 : 1e-1;
}

static double falls_to_zero(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 100 ? 1e-3 : 0;
}

static double over_too_soon(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return 1e-3 * pow(0.8, (double)step);
}

static double ends_at_zero(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 200 ? 1e-3 * (1 - (double)step / 200) : 0;
}

static double rises_again(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 100 ? 1e-3 : 1e-3 * pow(1.04, (double)(step - 99));
}

static void schedules_are_no_jumps(void **state)
{
    (void)state;
    assert_quiet("lr_jump", "lr", warm_up_and_cosine, 1000);
    assert_quiet("lr_jump", "lr", warm_restarts, 1000);
    assert_quiet("lr_jump", "lr", steps_down, 1000);
    assert_quiet("lr_jump", "lr", constant, 1000);
    assert_quiet("lr_jump", "lr", ends_at_zero, 210);
}

static void what_no_schedule_does_is_told(void **state)
{
    (void)state;
    assert_found("lr_jump", "lr", jumps, 300, 100, 100);
    assert_found("lr_jump", "train/lr", falls_to_zero, 300, 100, 110);
    assert_found("lr_jump", "lr", rises_again, 300, 110, 110);
    assert_found("lr_jump", "lr", over_too_soon, 300, 105, 105);
    assert_found("lr_jump", "lr", ends_at_zero, 300, 215, 215);
}

static void a_jump_with_an_event_is_intended(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, "lr_jump");
    uint32_t lr = rig_scalar(&rig, "lr");
    for (int64_t step = 0; step < 200; step++) {
        rig_step(&rig, step, 0.1);
        if (step == 100) {
            rig_event(&rig, BARO_INFO, "phase 2: all layers, larger rate");
        }
        rig_value(&rig, lr, jumps(&rig, step));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 0);
    rig_close(&rig);
}

/* ---- loss scale ---- */

static double worked_scale(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 200 ? 65536 : ldexp(65536, -(int)(step - 199));
}

static double usual_scale(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    int at = step < 7 ? -(int)step : -7; /* searched from above */
    at += (int)(step / 2000);
    at -= step % 2000 == 1999 ? 1 : 0;
    return ldexp(65536, at);
}

static double low_scale(struct judge_rig *rig, int64_t step)
{
    (void)rig;
    return step < 50 ? ldexp(65536, -(int)step / 2) : 0.5;
}

static void a_collapse_of_the_scale_is_told(void **state)
{
    (void)state;
    assert_found("loss_scale_collapse", "loss_scale", worked_scale, 210, 203, 203);
    assert_found("loss_scale_collapse", "loss_scale", low_scale, 100, 30, 53);
}

static void a_scale_that_is_searched_and_grows_is_healthy(void **state)
{
    (void)state;
    assert_quiet("loss_scale_collapse", "loss_scale", usual_scale, 12000);
    assert_quiet("loss_scale_collapse", "loss_scale", constant, 1000);
}

/* ---- all rules at once ---- */

/* A loss, its gradient's norm and a tensor's gradient, each with noise of its own kind. */
static size_t count_in_noise(double correlation, double skew, int64_t n_steps)
{
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t grad = rig_tensor(&rig, "fc.weight", BARO_GRAD, 0, 100);
    uint32_t loss = rig_scalar(&rig, "loss");
    uint32_t norm = rig_scalar(&rig, "grad_norm");
    double wander = 0;
    for (int64_t step = 0; step < n_steps; step++) {
        double stats[SUMMARY_STAT_COUNT];
        double level = 0.3 + 2 / sqrt(1 + (double)step / 50);
        wander = correlation * wander + 0.1 * rig_normal(&rig);
        rig_step(&rig, step, 0.1 * exp(0.1 * rig_normal(&rig)));
        rig_stats(stats, 100, exp(0.5 * rig_normal(&rig)));
        rig_summary(&rig, grad, stats);
        rig_value(&rig, loss, (level + wander) * exp(skew * rig_normal(&rig)));
        rig_value(&rig, norm, exp(0.5 * rig_normal(&rig)));
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    size_t n = 0;
    for (size_t i = 0; i < rig.n_found; i++) {
        n += rig.found[i].level > BARO_INFO ? 1 : 0;
        print_message("# %s\n", rig.found[i].text);
    }
    rig_close(&rig);
    return n;
}

static void noise_of_a_hundred_thousand_readings_is_quiet(void **state)
{
    (void)state;
    assert_int_equal(count_in_noise(0, 0, TEST_ROUNDS(30000)), 0);
    assert_int_equal(count_in_noise(0.9, 0, TEST_ROUNDS(30000)), 0);
    assert_int_equal(count_in_noise(0, 0.5, TEST_ROUNDS(30000)), 0);
}

/* Every kind of series with few, far, late, going-back or odd readings: nothing breaks. */
static void odd_series_do_no_harm(void **state)
{
    (void)state;
    static const char *const names[] = {
        "loss", "val_loss", "lr", "grad_norm", "loss_scale", "accuracy", "number"};
    static const double values[] = {0, -1, 1e308, -1e308, 1e-308, 1, 1};
    static const int64_t steps[] = {
        0, 0, 1, 10000000, 10000001, 5, INT64_MAX - 1, INT64_MAX, INT64_MIN, 7};
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t things[BARO_LEN(names)];
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        things[i] = rig_scalar(&rig, names[i]);
    }
    uint32_t tensor = rig_tensor(&rig, "fc.weight", BARO_GRAD, 4, 4);
    for (size_t k = 0; k < 20 * BARO_LEN(steps); k++) {
        double stats[SUMMARY_STAT_COUNT];
        rig_stats(stats, 16, values[k % BARO_LEN(values)]);
        rig.step = steps[k % BARO_LEN(steps)];
        rig_batch(&rig, steps, k % BARO_LEN(steps));
        rig_step(&rig, rig.step, values[k % BARO_LEN(values)]);
        for (size_t i = 0; i < BARO_LEN(names); i++) {
            rig_value(&rig, things[i], values[(k + i) % BARO_LEN(values)]);
        }
        rig_summary(&rig, tensor, stats);
    }
    rig_end(&rig, JUDGE_END_GONE);
    rig_end(&rig, JUDGE_END_GONE);
    assert_non_null(rig_first(&rig, "killed"));
    rig_close(&rig);
}

static void one_step_and_two_readings_tell_nothing(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t loss = rig_scalar(&rig, "loss");
    rig_step(&rig, 0, (double)NAN);
    rig_value(&rig, loss, 1);
    rig_value(&rig, loss, 1e6);
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 0);
    rig_close(&rig);
}

static void ten_million_steps_with_gaps_are_quiet(void **state)
{
    (void)state;
    struct judge_rig rig;
    rig_open(&rig, NULL);
    uint32_t loss = rig_scalar(&rig, "loss");
    uint32_t lr = rig_scalar(&rig, "lr");
    for (int64_t step = 9000000; step < 10000000; step += step % 5000 == 0 ? 4000 : 97) {
        rig_step(&rig, step, 0.1 * exp(0.1 * rig_normal(&rig)));
        rig_value(&rig, loss, 2 + 0.1 * rig_normal(&rig));
        rig_value(&rig, lr, 1e-3 * (1e7 - (double)step) / 1e7);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    for (size_t i = 0; i < rig.n_found; i++) {
        assert_int_equal(rig.found[i].level, BARO_INFO);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blooms_gradients_are_told_two_steps_before_the_loss_jumps),
        cmocka_unit_test(unquiet_gradients_are_no_explosion),
        cmocka_unit_test(an_explosion_from_the_start_is_told),
        cmocka_unit_test(the_tensor_that_is_furthest_out_is_told_with_the_norm_of_all),
        cmocka_unit_test(tensors_bear_each_other_out_where_one_alone_would_not_do),
        cmocka_unit_test(a_loss_that_rises_for_good_is_told),
        cmocka_unit_test(a_loss_that_learns_or_wanders_does_not_diverge),
        cmocka_unit_test(a_rising_block_is_judged_as_worked_in_the_essay),
        cmocka_unit_test(a_loss_that_never_falls_is_told),
        cmocka_unit_test(a_loss_that_falls_is_no_plateau),
        cmocka_unit_test(the_line_is_laid_as_worked_in_the_essay),
        cmocka_unit_test(a_loss_that_comes_down_again_is_no_plateau),
        cmocka_unit_test(progress_that_stopped_long_ago_is_information),
        cmocka_unit_test(schedules_are_no_jumps),
        cmocka_unit_test(what_no_schedule_does_is_told),
        cmocka_unit_test(a_jump_with_an_event_is_intended),
        cmocka_unit_test(a_collapse_of_the_scale_is_told),
        cmocka_unit_test(a_scale_that_is_searched_and_grows_is_healthy),
        cmocka_unit_test(noise_of_a_hundred_thousand_readings_is_quiet),
        cmocka_unit_test(odd_series_do_no_harm),
        cmocka_unit_test(one_step_and_two_readings_tell_nothing),
        cmocka_unit_test(ten_million_steps_with_gaps_are_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
