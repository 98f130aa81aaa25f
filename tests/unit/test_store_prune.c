/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_fill.h"

/* Pruning: what goes and what stays, that estimates are true, and that a run goes whole. */

/* ---- what goes, what stays ---- */

static void readings_go_and_their_summaries_stay(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 20000);
    fill(rig, 2, 0, 5000);
    const uint32_t run = 1;
    struct told told = {0};
    uint64_t before = store_used_bytes(rig->store);
    const struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_READINGS};
    assert_int_equal(prune(rig, &what, &told), 0);
    assert_int_equal(told.n_rows, (uint64_t)N_THINGS * 20000);
    assert_true(store_used_bytes(rig->store) < before / 2);
    for (uint32_t thing = 1; thing <= N_THINGS; thing++) {
        assert_int_equal(pruned_of(rig, 1, thing), 20000);
        check_rest(rig, 1, thing, 20000);
        check_summaries(rig, 1, thing, 20000);
        assert_int_equal(pruned_of(rig, 2, thing), 0);
        check_rest(rig, 2, thing, 5000);
    }
    verify(rig);
    rig_reopen(rig);
    check_rest(rig, 1, 3, 20000);
    check_summaries(rig, 1, 3, 20000);
    told = (struct told){0};
    assert_int_equal(prune(rig, &what, &told), 0);
    assert_int_equal(told.n, 0);
}

static void of_a_run_that_goes_on_the_oldest_readings_go(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 30000);
    const uint32_t run = 1;
    uint64_t before = store_used_bytes(rig->store);
    struct told told = {0};
    struct store_prune what = {/* a chunk has about two fifths of the rows of a thing */
        .to_bytes = before - before / 20 * 9,
        .runs = &run,
        .n_runs = 1,
        .level = STORE_PRUNE_READINGS};
    assert_int_equal(prune(rig, &what, &told), 0);
    uint64_t after = store_used_bytes(rig->store);
    assert_in_range(after, before / 3, what.to_bytes);
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint32_t thing = 1; thing <= N_THINGS; thing++) {
        uint64_t n = pruned_of(rig, 1, thing);
        least = n < least ? n : least;
        most = n > most ? n : most;
        check_rest(rig, 1, thing, 30000);
        check_summaries(rig, 1, thing, 30000);
    }
    assert_true(least > 0);
    assert_true(most < 30000);
    fill(rig, 1, 30000, 40000);
    check_rest(rig, 1, 2, 40000);
    check_summaries(rig, 1, 2, 40000);
    verify(rig);
}

static void kinds_that_go_last_stay_until_nothing_else_is_left(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 6000);
    char text[300];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 100; i++) {
        struct store_txn *txn = store_begin(rig->store);
        struct store_row row = {.run = 1,
            .thing = 0,
            .kind = EVENT_KIND,
            .extra_bytes = sizeof text,
            .step = i,
            .payload = (const uint8_t *)text};
        store_append(txn, &row);
        rig_commit(txn);
    }
    while (store_seal_run(rig->store, 1, NULL) == 1) {
    }
    const uint32_t run = 1;
    struct told told = {0};
    struct store_prune what = {.to_bytes = UINT64_MAX,
        .runs = &run,
        .n_runs = 1,
        .level = STORE_PRUNE_FINE,
        .last_kinds = UINT64_C(1) << EVENT_KIND};
    assert_int_equal(prune(rig, &what, &told), 0);
    assert_int_equal(pruned_of(rig, 1, 0), 0);
    assert_int_equal(pruned_of(rig, 1, 1), 6000);
    what.level = STORE_PRUNE_REST;
    assert_int_equal(prune(rig, &what, &told), 0);
    assert_int_equal(pruned_of(rig, 1, 0), 100);
    check_summaries(rig, 1, 1, 6000);
    void *value = NULL;
    assert_int_equal(store_get(rig->store, STORE_ALERTS, 1, 1, &value, NULL), 8);
    free(value);
    verify(rig);
}

static void a_size_that_cannot_be_reached_is_said(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 5000);
    const uint32_t run = 1;
    struct told told = {0};
    struct store_prune what = {
        .to_bytes = 4096, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_REST};
    what.is_dry_run = true;
    assert_int_equal(prune(rig, &what, &told), 1);
    what.is_dry_run = false;
    assert_int_equal(prune(rig, &what, &told), 1);
    verify(rig);
}

static void the_oldest_run_gives_way_before_the_others(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    for (uint32_t run = 1; run <= 3; run++) {
        fill(rig, run, 0, 8000);
    }
    const uint32_t runs[3] = {2, 3, 1};
    uint64_t before = store_used_bytes(rig->store);
    struct told told = {0};
    const struct store_prune what = {.to_bytes = before - before / 6,
        .runs = runs,
        .n_runs = 3,
        .level = STORE_PRUNE_REST};
    assert_int_equal(prune(rig, &what, &told), 0);
    assert_true(pruned_of(rig, 2, 1) > 0);
    assert_int_equal(pruned_of(rig, 3, 1), 0);
    assert_int_equal(pruned_of(rig, 1, 1), 0);
}

/* ---- estimates ---- */

static void a_dry_run_changes_nothing_and_tells_the_truth(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 20000);
    fill(rig, 2, 0, 20000);
    const uint32_t runs[2] = {1, 2};
    uint64_t before = store_used_bytes(rig->store);
    struct store_prune what = {.is_dry_run = true,
        .to_bytes = UINT64_MAX,
        .runs = runs,
        .n_runs = 1,
        .level = STORE_PRUNE_READINGS};
    struct told dry = {0};
    struct told real = {0};
    assert_int_equal(prune(rig, &what, &dry), 0);
    assert_int_equal(dry.n, 1);
    assert_int_equal(store_used_bytes(rig->store), before);
    assert_int_equal(pruned_of(rig, 1, 1), 0);
    what.is_dry_run = false;
    assert_int_equal(prune(rig, &what, &real), 0);
    assert_int_equal(dry.n_rows, real.n_rows);
    uint64_t freed = before - store_used_bytes(rig->store);
    print_message("readings: %llu told, %llu freed\n", (unsigned long long)dry.bytes,
        (unsigned long long)freed);
    assert_in_range(dry.bytes, freed * 9 / 10, freed * 11 / 10);

    before = store_used_bytes(rig->store);
    what = (struct store_prune){.is_dry_run = true,
        .to_bytes = UINT64_MAX,
        .runs = runs + 1,
        .n_runs = 1,
        .level = STORE_PRUNE_RUN};
    dry = (struct told){0};
    assert_int_equal(prune(rig, &what, &dry), 0);
    what.is_dry_run = false;
    assert_int_equal(prune(rig, &what, &real), 0);
    freed = before - store_used_bytes(rig->store);
    print_message("a run: %llu told, %llu freed\n", (unsigned long long)dry.bytes,
        (unsigned long long)freed);
    assert_in_range(dry.bytes, freed * 9 / 10, freed * 11 / 10);
}

/* ---- whole runs ---- */

static int count_value(
    uint32_t run, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    (void)run;
    (void)id;
    (void)value;
    (void)n_bytes;
    ++*(int *)payload;
    return 0;
}

static int count_values(struct rig *rig, uint32_t run)
{
    int n = 0;
    for (int table = 0; table < STORE_TABLE_COUNT; table++) {
        assert_int_equal(
            store_each(rig->store, (enum store_table)table, run, count_value, &n, NULL), 0);
    }
    return n;
}

static void check_gone(struct rig *rig, uint32_t run)
{
    struct store_group_info *infos = NULL;
    size_t n = 0;
    assert_int_equal(store_groups(rig->store, run, &infos, &n, NULL), 0);
    free(infos);
    assert_int_equal(n, 0);
    assert_int_equal(count_values(rig, run), 0);
}

static void a_run_that_is_removed_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 3000);
    uint64_t empty = store_used_bytes(rig->store);
    fill(rig, 2, 0, 20000);
    assert_int_equal(try_fill(rig, 2, 20000, 20001), 0); /* something in the tail */
    const uint32_t run = 2;
    struct told told = {0};
    const struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_RUN};
    assert_int_equal(prune(rig, &what, &told), 0);
    check_gone(rig, 2);
    check_rest(rig, 1, 1, 3000);
    assert_int_equal(count_values(rig, 1), 2);
    assert_in_range(store_used_bytes(rig->store), 0, empty + 64 * 4096);
    verify(rig);
    rig_reopen(rig);
    check_gone(rig, 2);
    fill(rig, 2, 0, 1000); /* the number may be used again */
    check_rest(rig, 2, 1, 1000);
    verify(rig);
}

static void a_removal_that_was_cut_short_is_ended_at_the_next_start(void **state)
{
    struct rig *rig = *state;
    rig->options.quota_bytes = 8 << 20; /* small transactions */
    rig_open(rig);
    fill(rig, 1, 0, 1000);
    fill(rig, 2, 0, 25000);
    const uint32_t run = 2;
    struct told told = {.stop_after = 1};
    const struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_RUN};
    assert_int_equal(prune(rig, &what, &told), 7);
    verify(rig);
    rig_reopen(rig);
    check_gone(rig, 2);
    check_rest(rig, 1, 1, 1000);
    verify(rig);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(readings_go_and_their_summaries_stay),
        CASE(of_a_run_that_goes_on_the_oldest_readings_go),
        CASE(kinds_that_go_last_stay_until_nothing_else_is_left),
        CASE(a_size_that_cannot_be_reached_is_said),
        CASE(the_oldest_run_gives_way_before_the_others),
        CASE(a_dry_run_changes_nothing_and_tells_the_truth),
        CASE(a_run_that_is_removed_leaves_nothing),
        CASE(a_removal_that_was_cut_short_is_ended_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
