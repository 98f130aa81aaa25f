/* SPDX-License-Identifier: Apache-2.0 */
/* The store on a disk that fails: at every single write and synchronisation, and when the power
 * goes. What a commit said is compared with what is there afterwards. */
#include "test_store_rig.h"

#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/disk.h"

enum {
    N_COMMITS = 50,
    N_OLD_ROWS = 6000,  /* of an older run, which is pruned */
    PRUNED_AT = 20,     /* commits */
    ROWS_A_COMMIT = 24, /* of each of two things */
    N_TRIES = 8,
    COMPACT_EVERY = 13, /* commits */
    OLD_RUN = 2
};

/* Fresh folder in memory where there is one: the real disk is not what is tested. */
static void fresh_dir(char *out, size_t n)
{
    (void)snprintf(
        out, n, "%s/baro-disk-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(out));
}

static void begin(struct rig *rig)
{
    *rig = (struct rig){0};
    fresh_dir(rig->dir, sizeof rig->dir);
    rig->options = (struct store_options){.map_bytes = 64 << 10, .seal_tail_bytes = 20000};
}

static void end(struct rig *rig)
{
    struct rig *copy = baro_xcalloc(1, sizeof *copy);
    *copy = *rig;
    void *state = copy;
    (void)rig_teardown(&state);
}

static double value_of(int64_t step, uint32_t thing)
{
    uint64_t seed = (uint64_t)step * 2654435761U + thing;
    return (double)(rig_random(&seed) >> 11);
}

/* Commit number n: rows of two things, and a word on how far it is. */
static int commit(struct rig *rig, int64_t n, struct baro_err *err)
{
    struct store_txn *txn = store_begin(rig->store);
    for (int64_t i = 0; i < ROWS_A_COMMIT; i++) {
        int64_t step = n * ROWS_A_COMMIT + i;
        rig_append(txn, 1, 1, step, value_of(step, 1));
        rig_append(txn, 1, 2, step, value_of(step, 2));
    }
    for (int64_t step = 0; n == 0 && step < N_OLD_ROWS; step++) {
        rig_append(txn, OLD_RUN, 1, step, value_of(step, 3));
    }
    store_put(txn, STORE_STREAMS, 1, 0, &n, sizeof n);
    return store_commit(txn, err);
}

/* Both things hold the rows of so many commits, each once and as it was. */
static void check_commits(struct rig *rig, int64_t n)
{
    for (uint32_t thing = 1; thing <= 2; thing++) {
        struct rig_rows rows = {0};
        struct baro_err err = {0};
        int rc = rig_read(rig, 1, thing, &rows, &err);
        if (rc != 0 || rows.n != (size_t)n * ROWS_A_COMMIT) {
            fail_msg(
                "%d %s: %zu rows after %lld commits", rc, err.text, rows.n, (long long)n);
        }
        for (size_t i = 0; i < rows.n; i++) {
            assert_int_equal(rows.steps[i], i);
            assert_true(rows.values[i] == value_of((int64_t)i, thing));
        }
        rig_rows_finish(&rows);
    }
}

/* The older run has all its readings, or summaries that hold their extremes. */
static void check_old(struct rig *rig, bool is_pruned)
{
    struct column_cut cut = columns_cut(0, N_OLD_ROWS - 1, 1);
    struct store_query query = {
        .run = OLD_RUN, .thing = 1, .kind = 1, .n_columns = 1, .to_step = N_OLD_ROWS - 1};
    struct column got = {0};
    struct column expected = {0};
    struct baro_err err = {0};
    uint64_t n_rows = 0;
    uint64_t n_coarse = 0;
    int rc = store_read_columns(rig->store, &query, &cut, &got, &n_rows, &n_coarse, &err);
    for (int64_t step = 0; step < N_OLD_ROWS; step++) {
        column_add(&expected, step, value_of(step, 3));
    }
    if (rc != 0 || got.count != expected.count || n_rows != N_OLD_ROWS) {
        fail_msg("%d %s: %u old readings", rc, err.text, got.count);
    }
    assert_true(got.min == expected.min && got.max == expected.max);
    struct store_group_info info;
    assert_int_equal(store_group(rig->store, OLD_RUN, 1, 1, &info, NULL), 1);
    assert_true(!is_pruned || info.n_pruned == N_OLD_ROWS);
}

static int64_t commits_told(struct rig *rig)
{
    void *value = NULL;
    int64_t n = -1;
    int64_t n_bytes = store_get(rig->store, STORE_STREAMS, 1, 0, &value, NULL);
    if (n_bytes == (int64_t)sizeof n) {
        memcpy(&n, value, sizeof n);
    }
    free(value);
    return n + 1;
}

/* What the daemon does between commits; may fail while the disk does, and loses nothing then. */
static void work(struct rig *rig, int64_t n)
{
    struct baro_err err = {0};
    int rc = store_work_step(rig->store, &err);
    if (rc >= 0 && n == PRUNED_AT) {
        static const uint32_t run = OLD_RUN;
        const struct store_prune prune = {.to_bytes = UINT64_MAX,
            .runs = &run,
            .n_runs = 1,
            .level = STORE_PRUNE_READINGS};
        rc = store_seal_run(rig->store, OLD_RUN, &err);
        rc = rc < 0 ? rc : store_prune(rig->store, &prune, NULL, NULL, &err);
    }
    if (rc >= 0 && n % COMPACT_EVERY == COMPACT_EVERY - 1) {
        rc = store_compact(rig->store, &err);
    }
    if (rc < 0 && disk_failures() == 0) {
        fail_msg("%s", err.text);
    }
}

/* Commit and work through all; a commit that fails is tried again, as the daemon does. */
static void work_through(struct rig *rig, const struct disk_fault *fault)
{
    for (int64_t n = 0; n < N_COMMITS; n++) {
        struct baro_err err = {0};
        int rc = commit(rig, n, &err);
        for (int i = 0; rc != 0 && i < N_TRIES; i++) {
            assert_true(rc == BARO_EIO || rc == BARO_EFULL);
            assert_true(strlen(err.text) > 20);
            rc = commit(rig, n, &err);
        }
        if (rc != 0) {
            fail_msg("fault %d at %d: commit %d never succeeds: %s", (int)fault->call,
                (int)fault->nth, (int)n, err.text);
        }
        work(rig, n);
        if (disk_failures() > 0 && n % 8 == 0) {
            check_commits(rig, n + 1);
        }
    }
    check_commits(rig, N_COMMITS);
}

/* Run the work with a fault at the nth call; false when the work has fewer calls. */
static bool survives(const struct disk_fault *fault)
{
    struct rig rig;
    begin(&rig);
    rig_open(&rig);
    disk_begin(rig.dir, fault, false);
    work_through(&rig, fault);
    bool has_struck = disk_failures() > 0;
    disk_end();
    rig_reopen(&rig);
    check_commits(&rig, N_COMMITS);
    check_old(&rig, !has_struck);
    end(&rig);
    return has_struck;
}

static void survives_everywhere(
    enum disk_call call, uint64_t n_times, int error, uint64_t stride)
{
    struct disk_fault fault = {.call = call, .nth = 1, .n_times = n_times, .error = error};
    while (survives(&fault)) {
        fault.nth += stride * TEST_SPARSE;
    }
    assert_true(fault.nth > N_COMMITS); /* each commit met it */
}

static void every_write_may_fail_once(void **state)
{
    (void)state;
    survives_everywhere(DISK_WRITE, 1, EIO, 1);
    survives_everywhere(DISK_WRITE, 1, ENOSPC, 5);
}

static void every_write_may_be_cut_short(void **state)
{
    (void)state;
    survives_everywhere(DISK_WRITE, 1, 0, 3);
}

/* What a failed synchronisation leaves of the pages is gone: they must be written again. */
static void every_synchronisation_may_fail_and_lose_what_it_was_for(void **state)
{
    (void)state;
    survives_everywhere(DISK_SYNC, 1, EIO, 1);
    survives_everywhere(DISK_SYNC, 3, EIO, 5);
}

static void every_write_of_the_meta_page_may_fail(void **state)
{
    (void)state;
    survives_everywhere(DISK_META, 1, EIO, 1);
}

/* LMDB then tries to take its page back, and that fails too. */
static void not_even_the_meta_page_can_be_taken_back(void **state)
{
    (void)state;
    survives_everywhere(DISK_META, 2, EIO, 2);
    survives_everywhere(DISK_META, 3, EIO, 5);
}

/* Make the store as it may be after the power went behind the first n_entries. */
static void check_crash(
    const struct rig *rig, size_t n_entries, int64_t n_done, uint64_t *chance)
{
    struct rig after = {.options = rig->options};
    fresh_dir(after.dir, sizeof after.dir);
    disk_crash(after.dir, n_entries, chance);
    rig_open(&after);
    int64_t n = commits_told(&after);
    if (n != n_done && n != n_done + 1) {
        fail_msg("%lld commits are there, %lld were told", (long long)n, (long long)n_done);
    }
    check_commits(&after, n);
    struct baro_err err = {0};
    assert_int_equal(commit(&after, n, &err), 0);
    rig_seal(&after);
    check_commits(&after, n + 1);
    check_old(&after, false);
    end(&after);
}

/* The power goes at many moments of a work during which one call fails. */
static void survives_crashes(const struct disk_fault *fault, int n_rounds, uint64_t *chance)
{
    struct rig rig;
    size_t ends[N_COMMITS];
    begin(&rig);
    disk_begin(rig.dir, fault, true);
    rig_open(&rig);
    size_t created = disk_recorded();
    for (int64_t n = 0; n < N_COMMITS; n++) {
        struct baro_err err = {0};
        int rc = commit(&rig, n, &err);
        for (int i = 0; rc != 0 && i < N_TRIES; i++) {
            rc = commit(&rig, n, &err);
        }
        assert_int_equal(rc, 0);
        ends[n] = disk_recorded();
        work(&rig, n);
    }
    assert_true(fault == NULL || disk_failures() > 0);
    size_t n_all = disk_recorded();
    for (int round = 0; round < n_rounds; round++) {
        size_t at = created + rig_random(chance) % (n_all - created + 1);
        int64_t n_done = 0;
        while (n_done < N_COMMITS && ends[n_done] <= at) {
            n_done++;
        }
        check_crash(&rig, at, n_done, chance);
    }
    disk_end();
    end(&rig);
}

static void whenever_the_power_goes_all_that_was_told_is_there(void **state)
{
    (void)state;
    uint64_t chance = 20261122;
    survives_crashes(NULL, TEST_ROUNDS(150), &chance);
}

static void a_power_cut_after_a_failed_write_brings_nothing_back_that_was_undone(
    void **state)
{
    (void)state;
    uint64_t chance = 411;
    for (int round = 0; round < TEST_ROUNDS(18); round++) {
        const struct disk_fault fault = {
            .call = round % 3 == 0 ? DISK_SYNC : DISK_META,
            .nth = 4 + rig_random(&chance) % 50,
            .n_times = 1 + rig_random(&chance) % 4,
            .error = EIO,
        };
        survives_crashes(&fault, 12, &chance);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_write_may_fail_once),
        cmocka_unit_test(every_write_may_be_cut_short),
        cmocka_unit_test(every_synchronisation_may_fail_and_lose_what_it_was_for),
        cmocka_unit_test(every_write_of_the_meta_page_may_fail),
        cmocka_unit_test(not_even_the_meta_page_can_be_taken_back),
        cmocka_unit_test(whenever_the_power_goes_all_that_was_told_is_there),
        cmocka_unit_test(
            a_power_cut_after_a_failed_write_brings_nothing_back_that_was_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
