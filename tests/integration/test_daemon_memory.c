/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of barod while it takes in thousands of series: within a stated bound, and flat. The
 * same at full size and for as long as one likes: `baro bench store memory --seconds N`.
 */
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

#include "daemon_rig.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/bench/feed.h"

enum {
    N_SERIES = 5000,
    STEPS_A_BLOCK = 40,
    N_BLOCKS = 8,
    /* The bound: tails, bundles and buffers are of fixed size, series have records of theirs. */
    BOUND_FIXED_BYTES = 160 << 20,
    BOUND_SERIES_BYTES = 4096,
    FLAT_SLACK_BYTES = 16 << 20
};

/* What the process has of its own; pages of mapped files are the system's to take back. */
static uint64_t own_bytes(pid_t pid)
{
    char path[64];
    char line[256];
    uint64_t bytes = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    baro_autofclose FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            bytes = strtoull(line + 8, NULL, 10) << 10;
        }
    }
    assert_true(bytes > 0);
    return bytes;
}

static void push_block(struct feed *feed, int64_t first_step)
{
    struct baro_err err = {0};
    for (int64_t step = first_step; step < first_step + STEPS_A_BLOCK; step++) {
        for (uint32_t i = 1; i <= N_SERIES; i++) {
            feed_scalar(
                feed, i, step, step * 1000000 + i, (double)(step * 31 % 1009) * 1e-3 + i);
        }
    }
    if (feed_wait(feed, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void memory_is_bounded_and_flat_while_thousands_of_series_come_in(void **state)
{
    (void)state;
    struct rig rig = {0};
    struct baro_err err = {0};
    uint64_t seen[N_BLOCKS];
    rig_start(&rig);
    struct feed *feed = feed_open(rig.endpoint, "many", &err);
    assert_non_null(feed);
    for (uint32_t i = 0; i < N_SERIES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "series %u", i);
        assert_int_equal(feed_declare(feed, name, 0), i + 1);
    }
    for (int64_t block = 0; block < N_BLOCKS; block++) {
        push_block(feed, block * STEPS_A_BLOCK);
        seen[block] = own_bytes(rig.pid);
        assert_in_range(
            seen[block], 0, BOUND_FIXED_BYTES + (uint64_t)BOUND_SERIES_BYTES * N_SERIES);
    }
    uint64_t first_half = 0;
    uint64_t second_half = 0;
    for (size_t i = 0; i < N_BLOCKS; i++) {
        uint64_t *half = i < N_BLOCKS / 2 ? &first_half : &second_half;
        *half = seen[i] > *half ? seen[i] : *half;
    }
    assert_in_range(second_half, 0, first_half + FLAT_SLACK_BYTES);
    assert_int_equal(feed_close(feed, &err), 0);
    rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_bounded_and_flat_while_thousands_of_series_come_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
