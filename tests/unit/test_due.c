/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of a run, and what baro_due() answers, offline. */
#include "tests/testing.h"

#include <unistd.h>

#include "lib/push/baro.h"

enum { N = 4 };

static char dir[64];

static struct baro_options offline(void)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    options.mode = "offline";
    options.ring_dir = dir;
    options.ring_bytes = 1 << 20;
    return options;
}

static int set_up(void **state)
{
    (void)snprintf(dir, sizeof dir, "/tmp/baro-unit-XXXXXX");
    (void)unsetenv("BARO_BUDGET");
    return mkdtemp(dir) == NULL;
}

static int clean(void **state)
{
    char command[100];
    (void)unsetenv("BARO_BUDGET");
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void declare(struct baro_run *run, uint32_t *ids)
{
    static const int64_t shape[1] = {8};
    for (int i = 0; i < N; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "layer.%d", i);
        const struct baro_tensor tensor = {.name = name,
            .role = BARO_WEIGHT,
            .dtype = BARO_F32,
            .n_dims = 1,
            .shape = shape,
            .unit_axis = BARO_NO_UNITS};
        ids[i] = (uint32_t)baro_declare_tensor(run, &tensor);
        assert_true(ids[i] > 0);
    }
}

static void measure(struct baro_run *run, uint32_t id)
{
    static const int64_t shape[1] = {8};
    static const float data[8] = {1, 2, 3};
    const struct baro_tensor tensor = {.role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = data,
        .unit_axis = BARO_NO_UNITS,
        .id = id};
    assert_int_equal(baro_tensor(run, &tensor), 0);
}

static void a_budget_that_is_no_share_is_refused_with_a_sentence(void **state)
{
    static const char *const texts[] = {"1 %", "much", "0", "-0.1", "1.5", "nan", "0,01"};
    struct baro_options options = offline();
    struct baro_err err;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(setenv("BARO_BUDGET", texts[i], 1), 0);
        assert_null(baro_open(&options, &err));
        assert_int_equal(err.code, BARO_EINVAL);
        assert_non_null(strstr(err.text, "BARO_BUDGET"));
        assert_non_null(strstr(err.text, "at most 1, like 0.01"));
    }
    options.budget = 2;
    assert_null(baro_open(&options, &err));
    assert_non_null(strstr(err.text, "budget 2"));
    options.budget = 0.5; /* what the program says wins over the environment */
    struct baro_run *run = baro_open(&options, &err);
    assert_non_null(run);
    (void)baro_close(run, 0);
}

static void an_empty_budget_of_the_environment_is_the_default(void **state)
{
    struct baro_options options = offline();
    assert_int_equal(setenv("BARO_BUDGET", "", 1), 0);
    struct baro_run *run = baro_open(&options, NULL);
    assert_non_null(run);
    (void)baro_close(run, 0);
}

static void what_was_never_measured_is_due_and_what_cost_too_much_is_not(void **state)
{
    struct baro_options options = offline();
    uint32_t ids[N];
    uint8_t is_due[N];
    struct baro_run *run = baro_open(&options, NULL);
    assert_non_null(run);
    declare(run, ids);
    assert_int_equal(baro_step(run, 0), 0);
    assert_int_equal(baro_due(run, ids, N, is_due), N);
    for (int i = 0; i < 3; i++) { /* the last is not there in this step */
        measure(run, ids[i]);
        assert_int_equal(baro_spent(run, ids[i], 1000000000), 0);
    }
    assert_int_equal(baro_step(run, 1), 0);
    /* All is on loan: nothing more for now but what was never seen. */
    assert_int_equal(baro_due(run, ids, N, is_due), 1);
    assert_int_equal(is_due[3], 1);
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_true(stats.own_ns >= 3000000000U); /* what was booked is own time, too */
    (void)baro_close(run, 0);
}

static void in_trouble_everything_is_due(void **state)
{
    struct baro_options options = offline();
    uint32_t ids[N];
    uint8_t is_due[N];
    struct baro_run *run = baro_open(&options, NULL);
    assert_non_null(run);
    declare(run, ids);
    assert_int_equal(baro_step(run, 0), 0);
    assert_int_equal(baro_due(run, ids, N, is_due), N);
    for (int i = 0; i < N; i++) {
        measure(run, ids[i]);
        assert_int_equal(baro_spent(run, ids[i], 200000000), 0);
    }
    assert_int_equal(baro_step(run, 1), 0);
    assert_int_equal(baro_due(run, ids, N, is_due), 0);
    assert_int_equal(baro_trouble(run, 2), 0);
    for (int i = 2; i < 4; i++) {
        assert_int_equal(baro_step(run, i), 0);
        assert_int_equal(baro_due(run, ids, N, is_due), N);
    }
    assert_int_equal(baro_step(run, 4), 0);
    assert_int_equal(baro_due(run, ids, N, is_due), 0);
    assert_int_equal(baro_trouble(run, -1), BARO_EINVAL);
    (void)baro_close(run, 0);
}

static void without_a_run_nothing_is_due(void **state)
{
    const uint32_t ids[2] = {1, 2};
    uint8_t is_due[2] = {7, 7};
    assert_int_equal(baro_due(NULL, ids, 2, is_due), 0);
    assert_int_equal(is_due[0] + is_due[1], 0);
    assert_int_equal(baro_due(NULL, NULL, 0, NULL), 0);
    assert_int_equal(baro_due(NULL, NULL, 1, is_due), BARO_EINVAL);
    assert_int_equal(baro_spent(NULL, 1, 5), 0);
    assert_int_equal(baro_trouble(NULL, 5), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_budget_that_is_no_share_is_refused_with_a_sentence),
        CASE(an_empty_budget_of_the_environment_is_the_default),
        CASE(what_was_never_measured_is_due_and_what_cost_too_much_is_not),
        CASE(in_trouble_everything_is_due),
        CASE(without_a_run_nothing_is_due),
    };
    return cmocka_run_group_tests_name("due", tests, NULL, NULL);
}
