/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/testing.h"

#include "lib/analysis/why.h"
#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"
#include "tests/unit/story.h"

static void the_gravest_incident_is_chosen_or_the_one_at_a_step(void **state)
{
    (void)state;
    const struct why_choice choices[] = {{BARO_WATCH, false, 10, 20},
        {BARO_ALARM, false, 50, 60}, {BARO_ALARM, true, 90, 95},
        {BARO_ALARM, true, 120, 130}, {BARO_WATCH, true, 200, 210}};
    assert_int_equal(why_choose(choices, 5, false, 0), 2);
    assert_int_equal(why_choose(choices, 2, false, 0), 1);
    assert_int_equal(why_choose(choices, 5, true, 15), 0);
    assert_int_equal(why_choose(choices, 5, true, 195), 4);
    assert_int_equal(why_choose(choices, 5, true, -1000), 0);
    assert_int_equal(why_choose(choices, 0, false, 0), 0);
}

static void a_plan_is_bounded_whatever_the_run_has(void **state)
{
    (void)state;
    enum { N_THINGS = 4000 };
    struct story *stage = story_create();
    struct why_thing *things = baro_xcalloc(N_THINGS, sizeof *things);
    char(*names)[32] = baro_xcalloc(N_THINGS, sizeof *names);
    for (uint32_t i = 0; i < N_THINGS; i++) {
        (void)snprintf(
            names[i], sizeof names[i], "layers.%u%s", i / 4, i % 4 == 0 ? "" : ".weight");
        things[i] = (struct why_thing){.id = i + 1,
            .name = names[i],
            .role = i % 4 == 0 ? BARO_ACT : BARO_WEIGHT,
            .n_points = 9,
            .n_units = 64,
            .spacing = 100};
    }
    (void)story_add_alert(stage, "nonfinite", 1, 1000000);
    stage->alerts[0].thing = 2001;
    stage->alerts[0].module = names[2000];
    stage->alerts[0].role = BARO_ACT;
    stage->alerts[0].unit = 5;
    stage->facts.things = things;
    stage->facts.n_things = N_THINGS;
    stage->facts.run.last_step = 1000100;
    struct why_plan *plan = baro_xcalloc(1, sizeof *plan);
    why_plan(&stage->facts, plan);
    assert_int_equal(plan->step, 1000000);
    assert_true(plan->n_wants > 8 && plan->n_wants <= WHY_MAX_WANTS);
    assert_true(plan->wants_past && plan->to <= 1000100);
    assert_true(plan->to - plan->from <= 64 * WHY_WINDOW + WHY_WINDOW);
    assert_true(plan->step - plan->from >= 256 * 100); /* readings are rare */
    bool has_unit = false;
    for (size_t i = 0; i < plan->n_wants; i++) {
        has_unit = has_unit || (plan->wants[i].thing == 2001 && plan->wants[i].unit == 5);
    }
    assert_true(has_unit);
    free(plan);
    free(names);
    free(things);
    free(stage);
}

static void steps_are_written_with_their_thousands_apart(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(why_step(0, text), "0");
    assert_string_equal(why_step(999, text), "999");
    assert_string_equal(why_step(24397, text), "24,397");
    assert_string_equal(why_step(-1000000, text), "-1,000,000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gravest_incident_is_chosen_or_the_one_at_a_step),
        cmocka_unit_test(a_plan_is_bounded_whatever_the_run_has),
        cmocka_unit_test(steps_are_written_with_their_thousands_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
