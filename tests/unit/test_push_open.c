/* SPDX-License-Identifier: Apache-2.0 */
/* How a run is opened and closed without a daemon: options, environment, what is refused. */
#include "tests/testing.h"

#include <string.h>

#include "lib/base/ringfile.h"
#include "tests/unit/offline.h"

static struct offline rig;

static int set_up(void **state)
{
    return offline_start(&rig);
}

static int clean(void **state)
{
    return offline_finish(&rig);
}

static void expect_no_run(const struct baro_options *options, int code, const char *word)
{
    struct baro_err err = {0};
    assert_null(baro_open(options, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, word);
    }
}

static void bad_options_are_refused_with_a_sentence(void **state)
{
    struct baro_options options = offline_options(&rig);
    char long_id[200];
    options.mode = "offlin";
    expect_no_run(&options, BARO_EINVAL, "did you mean 'offline'");
    options = offline_options(&rig);
    options.ring_bytes = 1000;
    expect_no_run(&options, BARO_EINVAL, "1 MiB");
    options = offline_options(&rig);
    options.rank = 2;
    options.n_ranks = 2;
    expect_no_run(&options, BARO_EINVAL, "rank 2 of 2");
    options = offline_options(&rig);
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    options.run_id = long_id;
    expect_no_run(&options, BARO_EINVAL, "run id");
    options = offline_options(&rig);
    options.ring_dir = "/proc/nowhere";
    expect_no_run(&options, BARO_EIO, "/proc/nowhere");
    options = offline_options(&rig);
    options.ring_bytes = 0;
    assert_int_equal(setenv("BARO_RING_BYTES", "64Q", 1), 0);
    expect_no_run(&options, BARO_EINVAL, "'64Q' is not a size");
    assert_int_equal(unsetenv("BARO_RING_BYTES"), 0);
}

static void mode_off_opens_nothing_and_is_no_error(void **state)
{
    struct baro_options options = offline_options(&rig);
    struct baro_err err = {.code = 5};
    options.mode = NULL;
    assert_int_equal(setenv("BARO_MODE", "off", 1), 0);
    assert_null(baro_open(&options, &err));
    assert_int_equal(err.code, 0);
    assert_int_equal(unsetenv("BARO_MODE"), 0);
}

static void a_config_too_large_is_left_out_and_said(void **state)
{
    struct baro_options options = offline_options(&rig);
    char *config = malloc(READING_MAX_CONFIG_BYTES + 2);
    assert_non_null(config);
    memset(config, ' ', READING_MAX_CONFIG_BYTES + 1);
    config[READING_MAX_CONFIG_BYTES + 1] = '\0';
    options.config = config;
    struct baro_run *other = baro_open(&options, NULL);
    assert_non_null(other);
    assert_non_null(strstr(rig.said, "config is left out"));
    (void)baro_close(other, 0);
    free(config);
}

static void the_environment_is_heard_and_explicit_options_win(void **state)
{
    struct baro_options options = offline_options(&rig);
    assert_int_equal(setenv("BARO_RUN_ID", "from-env", 1), 0);
    struct baro_run *other = baro_open(&options, NULL);
    assert_string_equal(baro_run_id(other), "from-env");
    (void)baro_close(other, 0);
    options.run_id = "explicit";
    other = baro_open(&options, NULL);
    assert_string_equal(baro_run_id(other), "explicit");
    (void)baro_close(other, 0);
    assert_int_equal(unsetenv("BARO_RUN_ID"), 0);
}

static void a_close_says_how_it_ended_and_keeps_an_offline_ring(void **state)
{
    char path[512];
    struct ringfile *ring = NULL;
    struct ringfile_info info;
    (void)snprintf(path, sizeof path, "%s", baro_ring_path(rig.run));
    assert_int_equal(baro_fail(rig.run, "ValueError: nan"), 0);
    assert_int_equal(baro_fail(rig.run, "a later one"), 0);
    assert_int_equal(baro_close(rig.run, 100), BARO_ETIMEOUT);
    rig.run = NULL;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_true(info.is_closed);
    assert_int_equal(info.head_seq, 1);
    struct ringfile_cursor cursor = {0};
    size_t n_records;
    assert_int_equal(ringfile_read(ring, &cursor, rig.records, OFFLINE_RING_BYTES, 0,
                         &rig.n_bytes, &n_records),
        0);
    struct reading reading;
    assert_true(offline_find(&rig, READING_STATUS, 0, 0, &reading));
    assert_true(reading.f64[0] == READING_END_FAILED);
    assert_int_equal(reading.extra_bytes, strlen("ValueError: nan"));
    ringfile_close(ring);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bad_options_are_refused_with_a_sentence),
        CASE(mode_off_opens_nothing_and_is_no_error),
        CASE(a_config_too_large_is_left_out_and_said),
        CASE(the_environment_is_heard_and_explicit_options_win),
        CASE(a_close_says_how_it_ended_and_keeps_an_offline_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
