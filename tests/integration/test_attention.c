/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An alert raises the cadence of what it concerns: from a reading in libbaro through a real barod's
 * rules back to what baro_due() answers. And the client's own cost as it comes out of the store.
 */
#include "tests/testing.h"

#include <math.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/push/baro.h"
#include "tests/integration/daemon_rig.h"

enum { N_TENSORS = 6, N_FIRST = 3 /* tensors of the first module */, ELEMENTS = 12 };
#define MS UINT64_C(1000000)

static const struct {
    const char *name;
    enum baro_role role;
} tensors[N_TENSORS] = {
    {"net.first.weight", BARO_WEIGHT},
    {"net.first.bias", BARO_GRAD},
    {"net.first", BARO_ACT},
    {"net.first.more.weight", BARO_WEIGHT}, /* another module, inside the first */
    {"net.second.weight", BARO_WEIGHT},
    {"net.second", BARO_ACT_GRAD},
};

static struct rig rig;
static struct baro_run *run;
static uint32_t ids[N_TENSORS];
static uint8_t is_due[N_TENSORS];
static int64_t at; /* step */

static int set_up(void **state)
{
    rig_start(&rig);
    return 0;
}

static int clean(void **state)
{
    rig_finish(&rig);
    return 0;
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    (void)nanosleep(&pause, NULL);
}

static void push(int i, float first)
{
    static const int64_t shape[2] = {3, 4};
    float data[ELEMENTS] = {first, 1, 2, 3};
    const struct baro_tensor tensor = {.name = tensors[i].name,
        .role = tensors[i].role,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data,
        .id = ids[i]};
    if (ids[i] == 0) {
        ids[i] = (uint32_t)baro_declare_tensor(run, &tensor);
    } else {
        assert_int_equal(baro_tensor(run, &tensor), 0);
    }
}

static int64_t next_step(void)
{
    assert_int_equal(baro_step(run, at++), 0);
    return baro_due(run, ids, N_TENSORS, is_due);
}

/* A run that has spent all that it may for a long time to come. */
static void open_spent(const char *run_id)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.project = "test";
    options.run_id = run_id;
    options.endpoint = rig.endpoint;
    options.ring_dir = rig.dir;
    options.ring_bytes = 8 << 20;
    options.budget = 1e-5;
    run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    memset(ids, 0, sizeof ids);
    at = 0;
    for (int i = 0; i < N_TENSORS; i++) {
        push(i, 1);
    }
    while (next_step() > 0) {
        assert_true(at < 100);
        for (int i = 0; i < N_TENSORS; i++) {
            if (is_due[i]) {
                push(i, 1);
                assert_int_equal(baro_spent(run, ids[i], 30 * MS), 0);
            }
        }
    }
}

/* Go on until something is due that was not pushed for. */
static int64_t wait_for_attention(void)
{
    uint64_t deadline = baro_now_ns() + 20000 * MS;
    int64_t n_due = 0;
    while (n_due == 0) {
        assert_true(baro_now_ns() < deadline);
        nap();
        n_due = next_step();
    }
    return n_due;
}

/* Attention was for so many steps; on a slow machine it may have been asked for once more. */
static void assert_it_ends(int n_steps)
{
    for (int n = 0; next_step() > 0; n++) {
        assert_true(n < n_steps);
    }
}

static void an_alert_makes_the_tensors_of_its_module_due_at_each_step(void **state)
{
    open_spent("attention");
    push(1, NAN);
    assert_int_equal(wait_for_attention(), N_FIRST);
    for (int n = 1; n < 100; n++) {
        for (int i = 0; i < N_TENSORS; i++) {
            assert_int_equal(is_due[i], i < N_FIRST);
        }
        (void)next_step();
    }
    assert_it_ends(100);
    assert_int_equal(baro_close(run, 10000), 0);
}

static void an_alert_on_the_loss_makes_everything_due_for_some_steps(void **state)
{
    open_spent("attention-loss");
    assert_int_equal(baro_scalar(run, "loss", (double)NAN), 0);
    assert_int_equal(wait_for_attention(), N_TENSORS);
    for (int n = 1; n < 10; n++) {
        assert_int_equal(next_step(), N_TENSORS);
    }
    assert_it_ends(10);
    assert_int_equal(baro_close(run, 10000), 0);
}

static void the_own_cost_comes_back_as_series_of_the_run(void **state)
{
    open_spent("own-cost");
    uint64_t deadline = baro_now_ns() + 3000 * MS;
    uint64_t began = baro_now_ns();
    for (int64_t n = 0; baro_now_ns() < deadline; n++) {
        assert_int_equal(next_step(), 0);
        assert_int_equal(
            baro_spent(run, 0, MS / 2), 0); /* half of each millisecond or so */
        nap();
    }
    double elapsed_s = (double)(baro_now_ns() - began) * 1e-9;
    assert_int_equal(baro_close(run, 10000), 0);
    struct link_message message;
    Baro__RunInfo *info = rig_run_info(&rig, "own-cost", &message);
    assert_non_null(info);
    uint32_t number = info->run;
    link_message_release(&message);
    double *share = NULL;
    double *own_ms = NULL;
    int64_t *steps = NULL;
    size_t n = rig_points(
        &rig, number, rig_thing(&rig, number, "barograph/share"), &share, &steps);
    assert_in_range(n, 1, (uint64_t)elapsed_s + 1);
    free(steps);
    assert_int_equal(rig_points(&rig, number, rig_thing(&rig, number, "barograph/own_ms"),
                         &own_ms, &steps),
        n);
    for (size_t i = 0; i < n; i++) {
        assert_true(own_ms[i] >= 0.5);
        assert_true(share[i] > 0 && share[i] < 1);
    }
    assert_int_equal(rig_thing(&rig, number, "barograph/dropped"), 0);
    free(share);
    free(own_ms);
    free(steps);
}

struct phase {
    int n;
    int64_t every;
};

/* Push a number now and then: so many times each so many steps; gives how often in all. */
static uint64_t push_phases(
    const char *name, const struct phase *phases, size_t n_phases, int64_t *step)
{
    uint64_t n_points = 0;
    for (size_t p = 0; p < n_phases; p++) {
        for (int i = 0; i < phases[p].n; i++) {
            *step += phases[p].every;
            assert_int_equal(baro_step(run, *step), 0);
            assert_int_equal(baro_scalar(run, name, 1), 0);
            n_points++;
        }
    }
    return n_points;
}

static const Baro__ThingInfo *named(const Baro__SeriesReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_things; i++) {
        if (strcmp(reply->things[i]->declare->name, name) == 0) {
            return reply->things[i];
        }
    }
    fail_msg("there is no '%s'", name);
    return NULL;
}

/* What is measured ever more rarely, with one hole, and then often again; and two holes in a row,
 * which are how it goes on. */
static void how_far_apart_readings_are_follows_the_governor(void **state)
{
    static const struct phase rarer[] = {{20, 1}, {12, 20}, {1, 5000}, {12, 20}};
    static const struct phase leap[] = {{50, 1}, {1, 400}, {1, 700}};
    struct baro_options options = BARO_OPTIONS_INIT;
    options.run_id = "spacing";
    options.endpoint = rig.endpoint;
    options.ring_dir = rig.dir;
    run = baro_open(&options, NULL);
    assert_non_null(run);
    int64_t step = 0;
    uint64_t n_points = push_phases("now and then", rarer, BARO_LEN(rarer), &step);
    int64_t last = step;
    (void)push_phases("leaps", leap, BARO_LEN(leap), &step);
    assert_int_equal(baro_close(run, 10000), 0);
    struct link_message message;
    Baro__RunInfo *info = rig_run_info(&rig, "spacing", &message);
    assert_non_null(info);
    Baro__SeriesRequest series;
    Baro__Envelope envelope;
    baro__series_request__init(&series);
    baro__envelope__init(&envelope);
    series.run = info->run;
    envelope.body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
    envelope.series_request = &series;
    link_message_release(&message);
    rig_ask(&rig, &envelope, &message);
    const Baro__SeriesReply *reply = message.wire.envelope->series_reply;
    const Baro__ThingInfo *thing = named(reply, "now and then");
    assert_true(thing->spacing >= 20 && thing->spacing < 80); /* not 5,000, not 1 */
    assert_int_equal(thing->n_points, n_points);
    assert_true(fabs(thing->cadence - (double)(last - 1) / (double)(n_points - 1)) < 1e-9);
    assert_true(named(reply, "leaps")->spacing >= 400);
    link_message_release(&message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alert_makes_the_tensors_of_its_module_due_at_each_step),
        cmocka_unit_test(an_alert_on_the_loss_makes_everything_due_for_some_steps),
        cmocka_unit_test(how_far_apart_readings_are_follows_the_governor),
        cmocka_unit_test(the_own_cost_comes_back_as_series_of_the_run),
    };
    return cmocka_run_group_tests_name("attention", tests, set_up, clean);
}
