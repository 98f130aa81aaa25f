/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/incident.h"
#include "lib/base/baro_types.h"
#include "lib/base/mem.h"

/* Alerts become stories: who was first, what belongs together, what is said. */

static struct incident_alert alert_of(
    const char *kind, const char *name, uint32_t role, uint32_t thing, int64_t step)
{
    static uint64_t id;
    return (struct incident_alert){
        .id = ++id,
        .kind = kind,
        .level = BARO_WATCH,
        .step = step,
        .time_ns = (int64_t)((uint64_t)step * 1000),
        .thing = thing,
        .name = name,
        .module = "",
        .role = role,
        .unit = -1,
        .value = (double)NAN,
        .usual = (double)NAN,
        .text = kind,
        .advice = "look",
    };
}

static struct incident_place add(struct incident_book *book, const char *kind,
    const char *name, uint32_t role, uint32_t thing, int64_t step)
{
    struct incident_alert alert = alert_of(kind, name, role, thing, step);
    return incidents_add(book, &alert);
}

/* The last state of each incident that is given; the newest is returned. */
static const struct incident *take_all(struct incident_book *book)
{
    const struct incident *last = NULL;
    const struct incident *incident;
    while ((incident = incidents_take(book)) != NULL) {
        last = incident;
    }
    return last;
}

static void a_storm_is_one_incident_in_causal_order(void **state)
{
    struct incident_book *book = incidents_create();
    /* They come as they are found, not as they happened. */
    (void)add(book, "loss_spike", "loss", 0, 9, 403);
    (void)add(book, "nonfinite", "fc.weight", BARO_WEIGHT, 1, 403);
    (void)add(book, "grad_explosion", "fc.weight", BARO_GRAD, 5, 401);
    struct incident_alert lr = alert_of("lr_jump", "lr", 0, 10, 400);
    lr.value = 1.0;
    lr.usual = 0.1;
    lr.text = "lr jumped from 0.1 to 1 at step 400.";
    lr.level = BARO_ALARM;
    (void)incidents_add(book, &lr);
    (void)add(book, "nonfinite", "fc", BARO_ACT, 4, 403);
    const struct incident *incident = take_all(book);
    static const char *const order[] = {
        "lr_jump", "grad_explosion", "nonfinite", "loss_spike", "nonfinite"};
    assert_non_null(incident);
    assert_int_equal(incident->id, 1);
    assert_int_equal(incident->n_members, BARO_LEN(order));
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        assert_string_equal(incident->members[i].kind, order[i]);
    }
    assert_int_equal(incident->level, BARO_ALARM);
    assert_int_equal(incident->first_step, 400);
    assert_int_equal(incident->last_step, 403);
    assert_int_equal(incident->time_ns, 400000);
    assert_string_equal(incident->headline,
        "lr jumped from 0.1 to 1 at step 400; then grad explosion in fc.weight at step 401, "
        "nonfinite in fc and 1 more at step 403, loss spike at step 403.");
    assert_string_equal(incident->causes[0],
        "lr was raised from 0.1 to 1 (10-fold) 1 step before the grad explosion");
    assert_non_null(strstr(incident->causes[1], "gradients exploded 2 steps before"));
    assert_null(incidents_take(book));
    incidents_destroy(book);
}

static void the_order_in_which_alerts_of_a_step_come_changes_nothing(void **state)
{
    static const struct {
        const char *name;
        uint32_t role;
        uint32_t thing;
    } things[] = {{"lr", 0, 20}, {"x", BARO_INPUT, 19}, {"a", BARO_ACT, 2},
        {"b", BARO_ACT, 7}, {"loss", 0, 1}, {"a.grad", BARO_GRAD, 3}, {"grad_norm", 0, 4},
        {"w", BARO_WEIGHT, 5}};
    char first[INCIDENT_TEXT_BYTES] = "";
    for (size_t shift = 0; shift < BARO_LEN(things); shift++) {
        struct incident_book *book = incidents_create();
        for (size_t i = 0; i < BARO_LEN(things); i++) {
            size_t at = (i * 3 + shift) % BARO_LEN(things);
            (void)add(
                book, "nonfinite", things[at].name, things[at].role, things[at].thing, 50);
        }
        const struct incident *incident = take_all(book);
        for (size_t i = 0; i < BARO_LEN(things); i++) {
            assert_string_equal(incident->members[i].name, things[i].name);
        }
        if (shift == 0) {
            memcpy(first, incident->headline, sizeof first);
        }
        assert_string_equal(incident->headline, first);
        incidents_destroy(book);
    }
}

static void what_lies_apart_is_another_incident(void **state)
{
    struct incident_book *book = incidents_create();
    assert_int_equal(add(book, "loss_spike", "loss", 0, 1, 100).incident, 1);
    assert_int_equal(add(book, "dead_units", "fc1", BARO_ACT, 2, 108).incident, 1);
    assert_int_equal(
        add(book, "saturated", "fc2", BARO_ACT, 3, 117).incident, 2); /* 9 away */
    /* Another reading of the same thing joins from further away. */
    assert_int_equal(add(book, "loss_spike", "loss", 0, 1, 172).incident, 1);
    assert_int_equal(add(book, "loss_spike", "loss", 0, 1, 237).incident, 3); /* 65 away */
    /* The pace of a training is another story than its numbers. */
    assert_int_equal(add(book, "throughput", "step_time", 0, 0, 237).incident, 4);
    incidents_destroy(book);
}

static void a_condition_that_goes_on_stays_the_same_incident(void **state)
{
    struct incident_book *book = incidents_create();
    (void)add(book, "dead_units", "fc1", BARO_ACT, 2, 100);
    incidents_see_step(book, 5000);
    assert_false(take_all(book)->is_open);
    struct incident_alert again = alert_of("dead_units", "fc1", BARO_ACT, 2, 5000);
    again.goes_on = true;
    const struct incident_place place = incidents_add(book, &again);
    assert_int_equal(place.incident, 1);
    assert_false(place.is_new);
    const struct incident *incident = take_all(book);
    assert_true(incident->is_open);
    assert_int_equal(incident->last_step, 5000);
    incidents_destroy(book);
}

static void what_is_found_late_joins_the_step_that_it_speaks_of(void **state)
{
    struct incident_book *book = incidents_create();
    (void)add(book, "grad_explosion", "a", BARO_GRAD, 1, 400);
    incidents_see_step(book, 464);
    assert_true(take_all(book)->is_open);
    incidents_see_step(book, 465);
    assert_false(take_all(book)->is_open);
    assert_int_equal(add(book, "dead_units", "b", BARO_ACT, 2, 401).incident, 1);
    incidents_end(book);
    assert_false(take_all(book)->is_open);
    assert_int_equal(add(book, "dead_units", "b", BARO_ACT, 2, 402).incident, 2);
    incidents_destroy(book);
}

static void of_too_many_alerts_the_first_are_kept_and_the_others_counted(void **state)
{
    struct incident_book *book = incidents_create();
    char name[32];
    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "layer%d", i);
        const struct incident_place place =
            add(book, "dead_units", name, BARO_ACT, (uint32_t)i + 1, 100);
        assert_int_equal(place.incident, 1);
        assert_int_equal(place.is_kept, i < INCIDENT_MAX_SAME);
    }
    struct incident_alert loss = alert_of("nonfinite", "loss", 0, 99, 103);
    loss.level = BARO_ALARM;
    assert_true(incidents_add(book, &loss).is_kept);
    const struct incident *incident = take_all(book);
    assert_int_equal(incident->n_members, INCIDENT_MAX_SAME + 1);
    assert_int_equal(incident->n_more, 40 - INCIDENT_MAX_SAME);
    assert_int_equal(incident->level, BARO_ALARM);
    incidents_destroy(book);
}

static void memory_is_bounded_however_many_incidents_there_are(void **state)
{
    struct incident_book *book = incidents_create();
    for (int64_t i = 0; i < 1000; i++) {
        assert_int_equal(add(book, "loss_spike", "loss", 0, 1, 1000 * i).incident, i + 1);
        (void)take_all(book);
    }
    incidents_destroy(book);
}

static void a_stored_incident_is_taken_up_again(void **state)
{
    struct incident_book *book = incidents_create();
    struct incident_alert stored[2] = {alert_of("loss_spike", "loss", 0, 1, 100),
        alert_of("grad_explosion", "w", BARO_GRAD, 2, 99)};
    incidents_recall(book, 7, true, stored, 2, 3);
    assert_null(incidents_take(book)); /* nothing is new */
    assert_int_equal(add(book, "nonfinite", "loss", 0, 1, 104).incident, 7);
    const struct incident *incident = take_all(book);
    assert_int_equal(incident->n_members, 3);
    assert_int_equal(incident->n_more, 3);
    assert_string_equal(incident->members[0].kind, "grad_explosion");
    assert_int_equal(add(book, "loss_spike", "loss", 0, 1, 9000).incident, 8);
    incidents_destroy(book);
}

static void extreme_steps_and_long_words_do_no_harm(void **state)
{
    struct incident_book *book = incidents_create();
    char name[2000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct incident_alert alert = alert_of(name, name, BARO_ACT, UINT32_MAX, INT64_MAX);
    alert.text = name;
    alert.advice = name;
    assert_int_equal(incidents_add(book, &alert).incident, 1);
    assert_int_equal(add(book, "loss_spike", "", 0, 0, INT64_MIN).incident, 2);
    assert_int_equal(add(book, "", "loss", 0, 1, INT64_MIN).incident, 2);
    incidents_see_step(book, INT64_MAX);
    incidents_see_step(book, INT64_MIN);
    assert_non_null(take_all(book));
    incidents_destroy(book);
}

static void things_are_put_where_they_are_computed(void **state)
{
    static const struct {
        const char *name;
        uint32_t role;
        enum incident_stage stage;
    } cases[] = {
        {"lr", 0, INCIDENT_SETTING},
        {"opt/lr.0", 0, INCIDENT_SETTING},
        {"learning_rate", 0, INCIDENT_SETTING},
        {"loss", 0, INCIDENT_LOSS},
        {"train/loss", 0, INCIDENT_LOSS},
        {"floss", 0, INCIDENT_OTHER},
        {"loss_scale", 0, INCIDENT_OPTIMISER},
        {"grad_norm", 0, INCIDENT_OPTIMISER},
        {"tokens_per_s", 0, INCIDENT_PACE},
        {"replicated/fc.weight", 0, INCIDENT_RANKS},
        {"fc.weight", BARO_WEIGHT, INCIDENT_WEIGHTS},
        {"loss", BARO_ACT, INCIDENT_FORWARD},
        {"fc", BARO_ACT_GRAD, INCIDENT_BACKWARD},
        {"images", BARO_INPUT, INCIDENT_DATA},
    };
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        assert_int_equal(
            incident_stage_of("x", cases[i].name, cases[i].role), cases[i].stage);
    }
    assert_int_equal(incident_stage_of("killed", "", 0), INCIDENT_PACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_is_one_incident_in_causal_order),
        cmocka_unit_test(the_order_in_which_alerts_of_a_step_come_changes_nothing),
        cmocka_unit_test(what_lies_apart_is_another_incident),
        cmocka_unit_test(a_condition_that_goes_on_stays_the_same_incident),
        cmocka_unit_test(what_is_found_late_joins_the_step_that_it_speaks_of),
        cmocka_unit_test(of_too_many_alerts_the_first_are_kept_and_the_others_counted),
        cmocka_unit_test(memory_is_bounded_however_many_incidents_there_are),
        cmocka_unit_test(a_stored_incident_is_taken_up_again),
        cmocka_unit_test(extreme_steps_and_long_words_do_no_harm),
        cmocka_unit_test(things_are_put_where_they_are_computed),
    };
    return cmocka_run_group_tests_name("incident", tests, NULL, NULL);
}
