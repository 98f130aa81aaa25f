/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/base/mem.h"
#include "tests/unit/judge_rig.h"

/*
 * All rules at once, on readings that no training would give: nothing may crash, every finding must
 * be whole, and the same readings must give the same findings in whatever order those of different
 * things come.
 */

enum {
    N_TENSORS = 24,
    N_SCALARS = 8,
    N_THINGS = N_TENSORS + N_SCALARS,
    UNITS = 12,
    EACH = 16
};

static const char *const scalar_names[N_SCALARS] = {"loss", "lr", "grad_norm", "loss_d",
    "loss_g", "fc1.weight/rho", "attn/attn_logit_max", "val/loss"};

static void declare_all(struct judge_rig *rig)
{
    static const enum baro_role roles[] = {BARO_INPUT, BARO_ACT, BARO_ACT, BARO_ACT_GRAD,
        BARO_GRAD, BARO_UPDATE, BARO_OPT, BARO_WEIGHT};
    for (int i = 0; i < N_TENSORS; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%sfc%d.%s", i % 12 == 9 ? "no_grad/" : "", i / 8,
            roles[i % 8] == BARO_ACT && i % 8 == 2 ? "act" : "weight");
        rig_tensor(rig, name, roles[i % 8], UNITS, EACH);
    }
    for (int i = 0; i < N_SCALARS; i++) {
        rig_scalar(rig, scalar_names[i]);
    }
}

/* What a reading says: mostly a mood of its thing that changes now and then. */
enum mood { CALM, ZERO, CONSTANT, GROWING, HUGE_ONES, STRANGE, N_MOODS };

struct mood_of {
    enum mood mood;
    double size;
};

static double strange(struct judge_rig *rig)
{
    static const double values[] = {0, -0.0, 1, -1, 1e308, -1e308, 1e-308, 5e-324};
    double draw = rig_uniform(rig);
    return draw < 0.2   ? (double)NAN
           : draw < 0.3 ? (double)INFINITY
           : draw < 0.4 ? (double)-INFINITY
                        : values[(size_t)(rig_uniform(rig) * (double)BARO_LEN(values))];
}

static double draw_size(struct judge_rig *rig, struct mood_of *mood)
{
    mood->size *= mood->mood == GROWING ? 1.05 : 1;
    return mood->mood == ZERO        ? 0
           : mood->mood == HUGE_ONES ? 1e30 * rig_uniform(rig)
           : mood->mood == CONSTANT  ? mood->size
                                     : mood->size * exp(0.1 * rig_normal(rig));
}

static void feed_tensor(struct judge_rig *rig, uint32_t thing, struct mood_of *mood)
{
    double size = draw_size(rig, mood);
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, UNITS * EACH, size);
    stats[SUMMARY_N_ZERO] = size > 0 ? floor(rig_uniform(rig) * 40) : UNITS * EACH;
    stats[SUMMARY_UPDATE_RATIO] = size;
    float units[UNIT_STAT_MOST * UNITS];
    for (int i = 0; i < UNIT_STAT_MOST * UNITS; i++) {
        bool is_share = i / UNITS == UNIT_FRAC_ZERO;
        double value = is_share                 ? (size > 0 ? 0.5 * rig_uniform(rig) : 1)
                       : mood->mood == CONSTANT ? size
                                                : size * (1 + 0.1 * rig_normal(rig));
        units[i] = (float)(mood->mood == STRANGE ? strange(rig) : value);
    }
    for (int i = 0; i < SUMMARY_STAT_COUNT && mood->mood == STRANGE; i++) {
        stats[i] = i == SUMMARY_FIRST_BAD_UNIT || i == SUMMARY_FIRST_BAD_ROW ? -1
                   : i <= SUMMARY_N_ZERO ? fabs(floor(rig_uniform(rig) * UNITS * EACH))
                                         : strange(rig);
    }
    rig_summary(rig, thing, stats);
    bool is_update = thing <= N_TENSORS && (thing - 1) % 8 == 5;
    rig_units(rig, thing, units, (is_update ? UNIT_STAT_MOST : UNIT_STAT_COUNT) * UNITS);
}

/* One step's readings of one thing depend on the step and the thing alone. */
static void feed_thing(struct judge_rig *rig, uint32_t thing, int64_t step)
{
    struct mood_of mood = {.size = 1};
    rig->noise = UINT64_C(0x9e3779b97f4a7c15) * (thing + 1);
    int64_t since = 0;
    for (int64_t at = 0; at <= step; at += 40) {
        mood.mood =
            rig_uniform(rig) < 0.5 ? CALM : (enum mood)(rig_uniform(rig) * (double)N_MOODS);
        mood.size = pow(10, -3 + 3 * rig_uniform(rig));
        since = at;
    }
    rig->noise ^= UINT64_C(0xbf58476d1ce4e5b9) * (uint64_t)(step + 1);
    (void)rig_uniform(rig);
    (void)rig_uniform(rig);
    mood.size *= mood.mood == GROWING ? pow(1.05, (double)(step - since)) : 1;
    if (thing <= N_TENSORS) {
        feed_tensor(rig, thing, &mood);
    } else {
        rig_value(rig, thing, mood.mood == STRANGE ? strange(rig) : draw_size(rig, &mood));
    }
}

/* order: 0 by rising id, 1 by falling id, 2 shuffled */
static void run(struct judge_rig *rig, int order, int64_t n_steps)
{
    rig_open(rig, NULL);
    declare_all(rig);
    for (int64_t step = 0; step < n_steps; step++) {
        rig_step(rig, step, 0.1);
        uint32_t things[N_THINGS];
        for (uint32_t i = 0; i < N_THINGS; i++) {
            things[i] = order == 1 ? N_THINGS - i : i + 1;
        }
        rig->noise = (uint64_t)step + 77;
        for (uint32_t i = N_THINGS - 1; i > 0 && order == 2; i--) {
            uint32_t other = (uint32_t)(rig_uniform(rig) * (i + 1));
            uint32_t kept = things[i];
            things[i] = things[other];
            things[other] = kept;
        }
        for (uint32_t i = 0; i < N_THINGS; i++) {
            /* Some are measured seldom, some late, some not any more. */
            uint32_t thing = things[i];
            bool is_due = step % (1 + thing % 3) == 0 && (thing % 7 != 3 || step > 100) &&
                          (thing % 11 != 5 || step < 300);
            if (is_due) {
                feed_thing(rig, thing, step);
            }
        }
    }
    rig_end(rig, JUDGE_END_FINISHED);
}

static void odd_readings_give_whole_findings(void **state)
{
    (void)state;
    struct judge_rig rig;
    run(&rig, 0, TEST_ROUNDS(1200));
    assert_true(rig.n_found > 10);
    for (size_t i = 0; i < rig.n_found; i++) {
        const struct judge_finding *found = &rig.found[i];
        size_t length = strnlen(found->text, JUDGE_TEXT_BYTES);
        assert_in_range(length, 10, JUDGE_TEXT_BYTES - 1);
        assert_true(found->thing == 0 || judge_thing(rig.judge, found->thing) != NULL);
        assert_true(found->step >= 0 && found->step < 1200);
        assert_in_range(found->level, BARO_INFO, BARO_ALARM);
        assert_non_null(found->advice);
        assert_true(found->advice[0] != '\0');
        assert_true(found->unit >= -1 && found->unit < UNITS);
    }
    rig_close(&rig);
}

static void the_order_of_things_changes_nothing(void **state)
{
    (void)state;
    struct judge_rig rigs[3];
    for (int order = 0; order < 3; order++) {
        run(&rigs[order], order, TEST_ROUNDS(800));
    }
    for (int order = 1; order < 3; order++) {
        for (size_t i = 0; i < rigs[0].n_found && i < rigs[order].n_found; i++) {
            const struct judge_finding *a = &rigs[0].found[i];
            const struct judge_finding *b = &rigs[order].found[i];
            assert_string_equal(a->text, b->text);
            assert_string_equal(a->kind, b->kind);
            assert_int_equal(a->step, b->step);
            assert_int_equal(a->thing, b->thing);
            assert_memory_equal(&a->value, &b->value, sizeof a->value);
        }
        assert_int_equal(rigs[0].n_found, rigs[order].n_found);
    }
    for (int order = 0; order < 3; order++) {
        rig_close(&rigs[order]);
    }
}

static void one_step_and_one_reading_are_nothing(void **state)
{
    (void)state;
    struct judge_rig rig;
    run(&rig, 0, 1);
    for (size_t i = 0; i < rig.n_found; i++) {
        print_message("# %s\n", rig.found[i].text);
    }
    rig_close(&rig);
    rig_open(&rig, NULL);
    uint32_t thing = rig_tensor(&rig, "fc.weight", BARO_WEIGHT, 0, 1);
    double stats[SUMMARY_STAT_COUNT];
    rig_stats(stats, 0, 0); /* a tensor without elements */
    for (int64_t step = 0; step < 500; step++) {
        rig_step(&rig, step, 0.1);
        rig_summary(&rig, thing, stats);
    }
    rig_end(&rig, JUDGE_END_FINISHED);
    assert_int_equal(rig.n_found, 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_readings_give_whole_findings),
        cmocka_unit_test(the_order_of_things_changes_nothing),
        cmocka_unit_test(one_step_and_one_reading_are_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
