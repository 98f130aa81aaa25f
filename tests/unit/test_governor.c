/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The governor on a simulated clock: models from ten thousand to a hundred million parameters
 * with drawn costs. What it must hold, whatever they cost: the budget, and everybody's turn.
 */
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/baro_types.h"
#include "lib/push/governor.h"

enum { MAX_THINGS = 2000, MS = 1000000 };

/* A training whose tensors cost what they cost; times in nanoseconds. */
struct world {
    struct governor *governor;
    uint64_t now_ns;
    uint64_t own_ns;
    uint64_t step_ns; /* of the training alone */
    uint32_t n;
    uint32_t ids[MAX_THINGS];
    uint8_t is_due[MAX_THINGS];
    double whole_ns[MAX_THINGS];
    double units_ns[MAX_THINGS];
    uint64_t others_ns;       /* spent in each step without asking */
    bool is_idle[MAX_THINGS]; /* is never measured, though due */
    uint64_t n_steps;
    uint64_t last[MAX_THINGS]; /* step in which it was last measured, from 1 */
    uint64_t last_units[MAX_THINGS];
    uint64_t longest[MAX_THINGS]; /* steps between two measurements */
    uint64_t n_measured[MAX_THINGS];
    uint64_t n_units[MAX_THINGS];
    uint64_t n_full_steps; /* in which all were measured */
    uint64_t most_ns;      /* that one step's measuring took */
    uint64_t seed;
};

static double draw(struct world *w)
{
    w->seed = w->seed * 6364136223846793005U + 1442695040888963407U;
    return (double)(w->seed >> 11) / (double)(UINT64_C(1) << 53);
}

/* From low to high, evenly on a logarithmic scale. */
static double draw_log(struct world *w, double low, double high)
{
    return low * exp(draw(w) * log(high / low));
}

static struct world *make_world(uint32_t n, double step_ms, double share, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->n = n;
    w->step_ns = (uint64_t)(step_ms * MS);
    w->now_ns = 12345;
    w->seed = seed;
    w->governor = governor_create(MAX_THINGS, share, w->now_ns);
    assert_non_null(w->governor);
    for (uint32_t i = 0; i < n; i++) {
        w->ids[i] = i + 1;
        w->whole_ns[i] = 1000;
    }
    return w;
}

static void free_world(struct world *w)
{
    governor_destroy(w->governor);
    free(w);
}

static void measure(struct world *w, uint32_t i)
{
    bool has_units = w->units_ns[i] > 0 && governor_wants_units(w->governor, w->ids[i]);
    double noise = 0.9 + 0.2 * draw(w);
    uint64_t ns = (uint64_t)((w->whole_ns[i] + (has_units ? w->units_ns[i] : 0)) * noise);
    governor_book(w->governor, w->ids[i], ns,
        GOVERNOR_MEASURED | (has_units ? (unsigned)GOVERNOR_UNITS : 0U));
    w->own_ns += ns;
    w->now_ns += ns;
    uint64_t gap = w->n_steps - w->last[i];
    w->longest[i] = w->last[i] > 0 && gap > w->longest[i] ? gap : w->longest[i];
    w->last[i] = w->n_steps;
    w->n_measured[i]++;
    if (has_units) {
        w->n_units[i]++;
        w->last_units[i] = w->n_steps;
    }
}

static int64_t step(struct world *w)
{
    w->n_steps++;
    governor_begin_turn(w->governor);
    uint64_t before_ns = w->own_ns;
    int64_t n_due =
        governor_due(w->governor, w->now_ns, w->own_ns, w->ids, w->n, w->is_due);
    w->now_ns += w->step_ns;
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->is_due[i] && !w->is_idle[i]) {
            measure(w, i);
        }
    }
    w->n_full_steps += n_due == (int64_t)w->n;
    w->most_ns = w->own_ns - before_ns > w->most_ns ? w->own_ns - before_ns : w->most_ns;
    w->own_ns += w->others_ns;
    w->now_ns += w->others_ns;
    return n_due;
}

static void steps(struct world *w, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        (void)step(w);
    }
}

/* Begin to count anew, when the credit of the start is gone. */
static void forget(struct world *w, uint64_t *out_now_ns, uint64_t *out_own_ns)
{
    memset(w->longest, 0, sizeof w->longest);
    memset(w->n_measured, 0, sizeof w->n_measured);
    memset(w->n_units, 0, sizeof w->n_units);
    w->n_full_steps = 0;
    *out_now_ns = w->now_ns;
    *out_own_ns = w->own_ns;
}

static double share_since(const struct world *w, uint64_t now_ns, uint64_t own_ns)
{
    return (double)(w->own_ns - own_ns) / (double)(w->now_ns - now_ns);
}

/* Steps between two measurements that are best for a thing, by the essay's formula. */
static double ideal_gap(const struct world *w, uint32_t i, double share)
{
    double sum = 0;
    for (uint32_t k = 0; k < w->n; k++) {
        sum += pow(w->whole_ns[k] + w->units_ns[k], 2.0 / 3);
    }
    return cbrt(w->whole_ns[i] + w->units_ns[i]) * sum / (share * (double)w->step_ns);
}

static void the_first_steps_are_looked_at_most_closely(void **state)
{
    /* All cost 2 ms where a step brings 0.1 ms. */
    struct world *w = make_world(100, 10, 0.01, 1);
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 20000;
    }
    assert_int_equal(step(w), 100); /* never measured before */
    steps(w, 99);
    uint64_t early = w->n_measured[0];
    uint64_t early_ns = w->own_ns;
    steps(w, 9900);
    uint64_t before = w->n_measured[0];
    steps(w, 100);
    uint64_t late = w->n_measured[0] - before;
    assert_true(early >= 2 * late && late > 0);
    assert_true(early_ns < 50 * 1000 * 1000); /* and yet it takes no more than 5 % of it */
    free_world(w);
}

static void a_pause_makes_the_steps_after_it_no_slower(void **state)
{
    struct world *w = make_world(100, 10, 0.01, 1);
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 20000;
    }
    steps(w, 20000);
    uint64_t own_ns = w->own_ns;
    steps(w, 50);
    uint64_t before_ns = w->own_ns - own_ns;
    w->now_ns += UINT64_C(100000000000);
    own_ns = w->own_ns;
    steps(w, 50);
    assert_true(w->own_ns - own_ns <= 2 * before_ns);
    /* And yet what was measured meanwhile without asking is paid from it. */
    struct governor_state found;
    w->own_ns += 500000000;
    w->now_ns += UINT64_C(100000000000);
    steps(w, 50);
    governor_read(w->governor, &found);
    assert_true(found.arrears_ns <= 0);
    /* But not what steps have spent without asking. */
    w->own_ns += 900000000; /* of which 0.4 s are a gift */
    steps(w, 10);
    w->now_ns += UINT64_C(100000000000);
    steps(w, 1);
    governor_read(w->governor, &found);
    assert_true(found.arrears_ns > 400000000);
    free_world(w);
}

/* As a reader of the series sees it: who knows how far apart readings were lately expects the
 * next within eight times that. */
static void readings_grow_rarer_little_by_little(void **state)
{
    for (uint64_t seed = 1; seed <= TEST_ROUNDS(8); seed++) {
        struct world *w = make_world(20, 10, 0.01, seed);
        uint64_t last[20] = {0};
        double spacing[20] = {0};
        int n_holes = 0;
        for (uint32_t i = 0; i < w->n; i++) {
            w->whole_ns[i] =
                i < 8 ? draw_log(w, 1, 10) * MS : draw_log(w, 0.005, 0.05) * MS;
        }
        for (int turn = 0; turn < 6000; turn++) {
            (void)step(w);
            for (uint32_t i = 0; i < w->n; i++) {
                double gap = (double)(w->n_steps - last[i]);
                if (w->last[i] != w->n_steps) {
                    continue;
                }
                /* What waits for the first look at everything to be paid has a hole. */
                n_holes += w->n_measured[i] > 2 && gap > 8 * spacing[i];
                spacing[i] = fmax(w->n_measured[i] > 1 ? gap : 0, 0.97 * spacing[i]);
                last[i] = w->n_steps;
            }
        }
        for (uint32_t i = 0; i < w->n; i++) {
            assert_true(w->n_measured[i] > 8);
        }
        assert_int_equal(n_holes, 0);
        free_world(w);
    }
}

static void a_cheap_model_is_measured_whole_in_each_step(void **state)
{
    struct world *w = make_world(50, 100, 0.01, 2);
    for (uint32_t i = 0; i < 50; i++) {
        w->units_ns[i] = 5000; /* 0.3 ms of 1 ms */
    }
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(step(w), 50);
    }
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(w->n_units[i], 5000); /* it can pay for the units, too */
    }
    free_world(w);
}

static void a_model_of_some_steps_income_is_measured_together(void **state)
{
    struct world *w = make_world(50, 10, 0.01, 3);
    uint64_t now_ns;
    uint64_t own_ns;
    for (uint32_t i = 0; i < 50; i++) {
        w->whole_ns[i] = 10000; /* 0.5 ms where a step brings 0.1 ms */
    }
    steps(w, 5000);
    forget(w, &now_ns, &own_ns);
    for (int i = 0; i < 2000; i++) {
        int64_t n_due = step(w);
        assert_true(n_due == 0 || n_due == 50);
    }
    assert_in_range(w->n_full_steps, 2000 / 6, 2000 / 4);
    assert_true(share_since(w, now_ns, own_ns) <= 0.0102);
    free_world(w);
}

/* A model of a certain size: costs of its tensors as they are read at some gigabytes a second. */
static struct world *make_model(double n_parameters, double share, uint64_t seed)
{
    uint32_t n = 20 + (uint32_t)(seed * 37 % 200);
    struct world *w = make_world(n, 1, share, seed);
    double sum = 0;
    double sizes[MAX_THINGS];
    for (uint32_t i = 0; i < n; i++) {
        sizes[i] = draw_log(w, 1, 10000);
        sum += sizes[i];
    }
    double rate = draw_log(w, 0.5, 10); /* GB a second */
    for (uint32_t i = 0; i < n; i++) {
        w->whole_ns[i] = 1500 + 4 * n_parameters * sizes[i] / sum / rate;
        w->units_ns[i] = draw(w) < 0.7 ? w->whole_ns[i] * draw_log(w, 0.1, 3) : 0;
    }
    w->step_ns = (uint64_t)(draw_log(w, 1, 300) * MS);
    return w;
}

static void the_budget_holds_for_models_of_all_sizes(void **state)
{
    static const double budgets[3] = {0.01, 0.002, 0.1};
    for (uint64_t seed = 1; seed <= TEST_ROUNDS(24); seed++) {
        double share = budgets[seed % 3];
        struct world *w = make_model(pow(10, 4 + (double)(seed % 5)), share, seed);
        steps(w, 8000);
        double limit = share * ((double)w->now_ns + 10e9) + (double)w->most_ns;
        if ((double)w->own_ns > limit) {
            fail_msg("seed %d: %.3g of %.3g s", (int)seed, (double)w->own_ns * 1e-9,
                limit * 1e-9);
        }
        free_world(w);
    }
}

static void the_budget_is_used_where_there_is_use_for_it(void **state)
{
    for (uint64_t seed = 1; seed <= TEST_ROUNDS(10); seed++) {
        struct world *w = make_model(1e8, 0.01, seed);
        struct governor_state before;
        struct governor_state after;
        uint64_t now_ns;
        uint64_t own_ns;
        steps(w, 6000);
        forget(w, &now_ns, &own_ns);
        governor_read(w->governor, &before);
        steps(w, 10000);
        /* The first look at everything may have been dear: it is paid back by and by. */
        governor_read(w->governor, &after);
        double paid_ns = before.loan_ns - after.loan_ns;
        double share =
            share_since(w, now_ns, own_ns) + paid_ns / (double)(w->now_ns - now_ns);
        double all_ns = 0;
        for (uint32_t i = 0; i < w->n; i++) {
            all_ns += w->whole_ns[i] + w->units_ns[i];
        }
        double wanted = fmin(0.01, all_ns / ((double)w->step_ns + all_ns));
        if (share < 0.85 * wanted) {
            fail_msg("seed %d: %.4f where %.4f is wanted", (int)seed, share, wanted);
        }
        free_world(w);
    }
}

static void everything_has_its_turn_however_dear_the_rest_is(void **state)
{
    for (uint64_t seed = 1; seed <= TEST_ROUNDS(16); seed++) {
        struct world *w = make_model(pow(10, 5 + (double)(seed % 4)), 0.01, seed);
        uint64_t now_ns;
        uint64_t own_ns;
        steps(w, 4000);
        forget(w, &now_ns, &own_ns);
        steps(w, 20000);
        for (uint32_t i = 0; i < w->n; i++) {
            double bound = 3 * ideal_gap(w, i, 0.01) + 100;
            uint64_t open = w->n_steps - w->last[i];
            uint64_t gap = open > w->longest[i] ? open : w->longest[i];
            if ((double)gap > bound) {
                fail_msg(
                    "seed %d: thing %u of %u, %.3g ms, step %.3g ms: %d steps, ideal %.0f",
                    (int)seed, i, w->n, (w->whole_ns[i] + w->units_ns[i]) / MS,
                    (double)w->step_ns / MS, (int)gap, ideal_gap(w, i, 0.01));
            }
        }
        free_world(w);
    }
}

static void intervals_follow_the_worked_example_of_roots(void **state)
{
    /* Costs of 1, 1 and 8 ms, an income of 0.1 ms: every 60, 60 and 120 turns. */
    struct world *w = make_world(3, 10, 0.01, 5);
    uint64_t now_ns;
    uint64_t own_ns;
    w->whole_ns[0] = w->whole_ns[1] = 1.0 * MS;
    w->whole_ns[2] = 8.0 * MS;
    steps(w, 20000);
    forget(w, &now_ns, &own_ns);
    steps(w, 80000);
    assert_in_range(w->n_measured[0], 1150, 1550);
    assert_in_range(w->n_measured[1], 1150, 1550);
    assert_in_range(w->n_measured[2], 590, 735);
    free_world(w);
}

static void a_tensor_dearer_than_all_savings_is_still_measured(void **state)
{
    /* 2 s for one tensor where 1 % of a second comes in with each step, beside cheap ones. */
    struct world *w = make_world(40, 1000, 0.01, 6);
    uint64_t now_ns;
    uint64_t own_ns;
    w->whole_ns[7] = 2000.0 * MS;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = i == 7 ? 2000.0 * MS : 5.0 * MS;
    }
    steps(w, 2000);
    forget(w, &now_ns, &own_ns);
    steps(w, 20000);
    assert_in_range(w->n_measured[7], 20, 100);
    for (uint32_t i = 0; i < w->n; i++) {
        assert_true(i == 7 || w->n_measured[i] > 10 * w->n_measured[7]);
        assert_true(i == 7 || w->longest[i] < 300);
    }
    assert_true(share_since(w, now_ns, own_ns) <= 0.0101);
    free_world(w);
}

static void the_budget_holds_when_a_cost_jumps_a_hundredfold(void **state)
{
    for (uint64_t seed = 1; seed <= TEST_ROUNDS(10); seed++) {
        struct world *w = make_model(1e6, 0.01, seed);
        steps(w, 4000);
        double most = 0;
        for (uint32_t i = 0; i < w->n; i += 3) {
            w->whole_ns[i] *= 100;
            most += w->whole_ns[i] + w->units_ns[i];
        }
        steps(w, 10000);
        double limit = 0.01 * (double)w->now_ns + 0.1e9 + 2.4 * most;
        if ((double)w->own_ns > limit) {
            fail_msg("seed %d: %.3g of %.3g s", (int)seed, (double)w->own_ns * 1e-9,
                limit * 1e-9);
        }
        free_world(w);
    }
}

static void dear_units_are_measured_less_often_than_the_whole(void **state)
{
    struct world *w = make_world(30, 10, 0.01, 7);
    uint64_t now_ns;
    uint64_t own_ns;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 200000;
        w->units_ns[i] = i < 10 ? 20000 : i < 20 ? 200000 : 8000000;
    }
    steps(w, 20000);
    forget(w, &now_ns, &own_ns);
    steps(w, 80000);
    for (uint32_t i = 0; i < w->n; i++) {
        uint64_t times = i < 10 ? 1 : i < 20 ? 2 : 16;
        assert_in_range(
            w->n_measured[i], w->n_units[i] * times - times, w->n_units[i] * times + times);
    }
    free_world(w);
}

static void what_is_not_measured_holds_nobody_up(void **state)
{
    /* Half of the things are dear, due in their turn, and then not measured any more. */
    struct world *w = make_world(100, 10, 0.01, 8);
    uint64_t now_ns;
    uint64_t own_ns;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = i % 2 == 0 ? 100000 : 500000;
    }
    steps(w, 3000);
    for (uint32_t i = 1; i < w->n; i += 2) {
        w->is_idle[i] = true;
    }
    steps(w, 3000);
    forget(w, &now_ns, &own_ns);
    steps(w, 20000);
    for (uint32_t i = 0; i < w->n; i += 2) {
        assert_true(w->longest[i] < 250);
    }
    assert_true(share_since(w, now_ns, own_ns) > 0.008);
    free_world(w);
}

static void those_who_do_not_ask_pay_before_those_who_do(void **state)
{
    struct world *w = make_world(100, 10, 0.01, 9);
    uint64_t now_ns;
    uint64_t own_ns;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 100000;
    }
    w->others_ns = 70000; /* 0.7 % */
    steps(w, 20000);
    forget(w, &now_ns, &own_ns);
    steps(w, 50000);
    assert_true(share_since(w, now_ns, own_ns) <= 0.0101);
    assert_true(share_since(w, now_ns, own_ns) > 0.009);
    free_world(w);
}

static void what_can_be_left_out_is_left_out_while_it_exceeds_the_budget(void **state)
{
    struct world *w = make_world(100, 10, 0.01, 12);
    uint64_t now_ns = 0;
    uint64_t own_ns = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 100000;
    }
    /* 0.5 % that must be, and 2 % that can be left out. */
    uint64_t n_taken = 0;
    for (int i = 0; i < 70000; i++) {
        bool has_spare = governor_has_spare(w->governor);
        w->others_ns = has_spare ? 250000 : 50000;
        (void)step(w);
        n_taken += has_spare;
        if (i == 100) {
            assert_int_equal(n_taken, 101); /* there is a gift to begin with */
        } else if (i == 19999) {
            forget(w, &now_ns, &own_ns);
            n_taken = 0;
        }
    }
    assert_true(share_since(w, now_ns, own_ns) <= 0.0101);
    assert_in_range(
        n_taken, 50000 / 10, 50000 / 4); /* 3/8 of the budget pay for 3/16 of them */
    free_world(w);
}

static void pushing_above_the_budget_starves_nobody(void **state)
{
    struct world *w = make_world(100, 10, 0.01, 10);
    uint64_t now_ns;
    uint64_t own_ns;
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 20000;
    }
    w->others_ns = 3 * MS; /* 23 % */
    steps(w, 20000);
    forget(w, &now_ns, &own_ns);
    steps(w, 20000);
    for (uint32_t i = 0; i < w->n; i++) {
        assert_true(w->n_measured[i] > 20);
    }
    /* An eighth of the budget is kept for them. */
    double others = (double)w->others_ns / (double)(w->others_ns + w->step_ns);
    assert_true(share_since(w, now_ns, own_ns) < others + 0.01 / 8 + 0.0005);
    free_world(w);
}

static void what_is_under_attention_is_due_at_each_step_for_a_while(void **state)
{
    struct world *w = make_world(200, 10, 0.01, 11);
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 500000;
        w->units_ns[i] = 500000;
    }
    steps(w, 5000);
    uint64_t before = w->n_measured[42];
    uint64_t units = w->n_units[42];
    governor_attend(w->governor, 43, 100);
    steps(w, 100);
    assert_int_equal(w->n_measured[42], before + 100);
    assert_int_equal(w->n_units[42], units + 100);
    steps(w, 1000);
    assert_in_range(w->n_measured[42], before + 100, before + 105);
    free_world(w);
}

static void in_trouble_everything_is_due_and_paid_back_later(void **state)
{
    struct world *w = make_world(200, 10, 0.01, 12);
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 100000;
    }
    steps(w, 5000);
    governor_trouble(w->governor, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(step(w), 200);
    }
    assert_true(step(w) < 10);
    steps(w, 20000);
    assert_true((double)w->own_ns < 0.01 * (double)w->now_ns + 0.1e9 + (double)w->most_ns);
    free_world(w);
}

static void trouble_without_end_is_measured_within_bounds(void **state)
{
    struct world *w = make_world(200, 10, 0.01, 13);
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 1000000;
    }
    for (int i = 0; i < 20000; i++) {
        governor_trouble(w->governor, 10);
        governor_attend(w->governor, 1 + (uint32_t)i % 200, 1000);
        (void)step(w);
    }
    assert_true(
        (double)w->own_ns < 0.01 * (double)w->now_ns + 0.1e9 + 2e9 + (double)w->most_ns);
    free_world(w);
}

static void a_second_question_in_a_step_gets_the_same_answer(void **state)
{
    struct world *w = make_world(200, 10, 0.01, 14);
    uint8_t again[MAX_THINGS];
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 300000;
    }
    for (int i = 0; i < 2000; i++) {
        int64_t n_due = step(w);
        assert_int_equal(
            governor_due(w->governor, w->now_ns, w->own_ns, w->ids, w->n, again), n_due);
        assert_memory_equal(again, w->is_due, w->n);
    }
    free_world(w);
}

static void those_who_ask_rarely_get_their_turn(void **state)
{
    /* 20 more things are asked for in every tenth step only. */
    struct world *w = make_world(100, 10, 0.01, 15);
    uint32_t rare[20];
    uint8_t is_due[20];
    uint64_t n_rare[20] = {0};
    for (uint32_t i = 0; i < w->n; i++) {
        w->whole_ns[i] = 200000;
    }
    for (uint32_t i = 0; i < 20; i++) {
        rare[i] = 1000 + i;
    }
    for (int i = 0; i < 20000; i++) {
        (void)step(w);
        if (i % 10 != 0) {
            continue;
        }
        (void)governor_due(w->governor, w->now_ns, w->own_ns, rare, 20, is_due);
        for (uint32_t k = 0; k < 20; k++) {
            if (is_due[k]) {
                governor_book(w->governor, rare[k], 200000, GOVERNOR_MEASURED);
                w->own_ns += 200000;
                w->now_ns += 200000;
                n_rare[k]++;
            }
        }
    }
    for (uint32_t k = 0; k < 20; k++) {
        assert_true(n_rare[k] > 20); /* an even share would be every 240 steps: 83 */
    }
    for (uint32_t i = 0; i < w->n; i++) {
        assert_true(w->n_measured[i] > 40);
    }
    assert_true((double)w->own_ns < 0.01 * (double)w->now_ns + 0.1e9 + 20e6);
    free_world(w);
}

static void ids_that_cannot_be_are_never_due(void **state)
{
    struct governor *g = governor_create(10, 0.01, 0);
    const uint32_t ids[4] = {0, 11, UINT32_MAX, 10};
    uint8_t is_due[4];
    assert_int_equal(governor_due(g, 1, 0, ids, 4, is_due), 1);
    assert_int_equal(is_due[0] + is_due[1] + is_due[2], 0);
    assert_int_equal(is_due[3], 1);
    governor_book(g, 0, 1, GOVERNOR_MEASURED);
    governor_book(g, 11, 1, GOVERNOR_MEASURED);
    governor_attend(g, 11, 5);
    assert_true(governor_wants_units(g, 11));
    governor_destroy(g);
}

/* ---- threads ---- */

struct crowd {
    struct governor *governor;
    _Atomic uint64_t own_ns;
    _Atomic uint64_t now_ns;
};

static void *push_a_while(void *payload)
{
    struct crowd *crowd = payload;
    uint32_t ids[64];
    uint8_t is_due[64];
    for (uint32_t i = 0; i < 64; i++) {
        ids[i] = i + 1;
    }
    for (int turn = 0; turn < TEST_ROUNDS(2000); turn++) {
        governor_begin_turn(crowd->governor);
        uint64_t now = atomic_fetch_add(&crowd->now_ns, MS);
        int64_t n_due = governor_due(
            crowd->governor, now, atomic_load(&crowd->own_ns), ids, 64, is_due);
        assert_true(n_due >= 0 || n_due == BARO_EBUSY);
        for (uint32_t i = 0; i < 64; i++) {
            if (is_due[i]) {
                bool has_units = governor_wants_units(crowd->governor, ids[i]);
                governor_book(crowd->governor, ids[i], 2000,
                    GOVERNOR_MEASURED | (has_units ? (unsigned)GOVERNOR_UNITS : 0U));
                atomic_fetch_add(&crowd->own_ns, 2000);
            }
        }
        governor_attend(crowd->governor, 1 + (uint32_t)turn % 64, 3);
    }
    return NULL;
}

static void several_threads_ask_and_book_at_once(void **state)
{
    struct crowd crowd = {.governor = governor_create(64, 0.01, 0)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, push_a_while, &crowd), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    struct governor_state found;
    governor_read(crowd.governor, &found);
    assert_int_equal(found.n_governed, 64);
    assert_int_equal(found.turn, 4 * TEST_ROUNDS(2000) + 1);
    governor_destroy(crowd.governor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_steps_are_looked_at_most_closely),
        cmocka_unit_test(readings_grow_rarer_little_by_little),
        cmocka_unit_test(a_pause_makes_the_steps_after_it_no_slower),
        cmocka_unit_test(a_cheap_model_is_measured_whole_in_each_step),
        cmocka_unit_test(a_model_of_some_steps_income_is_measured_together),
        cmocka_unit_test(the_budget_holds_for_models_of_all_sizes),
        cmocka_unit_test(the_budget_is_used_where_there_is_use_for_it),
        cmocka_unit_test(everything_has_its_turn_however_dear_the_rest_is),
        cmocka_unit_test(intervals_follow_the_worked_example_of_roots),
        cmocka_unit_test(a_tensor_dearer_than_all_savings_is_still_measured),
        cmocka_unit_test(the_budget_holds_when_a_cost_jumps_a_hundredfold),
        cmocka_unit_test(dear_units_are_measured_less_often_than_the_whole),
        cmocka_unit_test(what_is_not_measured_holds_nobody_up),
        cmocka_unit_test(those_who_do_not_ask_pay_before_those_who_do),
        cmocka_unit_test(what_can_be_left_out_is_left_out_while_it_exceeds_the_budget),
        cmocka_unit_test(pushing_above_the_budget_starves_nobody),
        cmocka_unit_test(what_is_under_attention_is_due_at_each_step_for_a_while),
        cmocka_unit_test(in_trouble_everything_is_due_and_paid_back_later),
        cmocka_unit_test(trouble_without_end_is_measured_within_bounds),
        cmocka_unit_test(a_second_question_in_a_step_gets_the_same_answer),
        cmocka_unit_test(those_who_ask_rarely_get_their_turn),
        cmocka_unit_test(ids_that_cannot_be_are_never_due),
        cmocka_unit_test(several_threads_ask_and_book_at_once),
    };
    TEST_THREADS_ONLY("several_threads_*");
    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
