/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_rig.h"

#include <fcntl.h>
#include <lmdb.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * Making room: what goes and what stays, that estimates are true, that the file keeps within the
 * quota and shrinks, and that a kill at any moment leaves a store that is whole.
 */

enum { N_THINGS = 8, COMMIT_ROWS = 500, EVENT_KIND = 6 };

/* ---- helpers ---- */

static double value_at(uint32_t run, uint32_t thing, int64_t step)
{
    uint64_t seed = (uint64_t)run << 50 ^ (uint64_t)thing << 40 ^ (uint64_t)(step + 1);
    (void)rig_random(&seed);
    return (double)(rig_random(&seed) >> 20);
}

/* Append steps [from, to) of N_THINGS noisy things; returns the code of the first failure. */
static int try_fill(struct rig *rig, uint32_t run, int64_t from, int64_t to)
{
    for (int64_t step = from; step < to;) {
        struct store_txn *txn = store_begin(rig->store);
        for (int i = 0; i < COMMIT_ROWS && step < to; i++, step++) {
            for (uint32_t thing = 1; thing <= N_THINGS; thing++) {
                rig_append(txn, run, thing, step, value_at(run, thing, step));
            }
        }
        int rc = store_commit(txn, NULL);
        if (rc != 0) {
            return rc;
        }
        while (store_work_step(rig->store, NULL) == 1) {
        }
    }
    return 0;
}

static void fill(struct rig *rig, uint32_t run, int64_t from, int64_t to)
{
    assert_int_equal(try_fill(rig, run, from, to), 0);
    struct store_txn *txn = store_begin(rig->store);
    store_put(txn, STORE_RUNS, run, 0, "a run", 5);
    store_put(txn, STORE_ALERTS, run, 1, "an alert", 8);
    rig_commit(txn);
    while (store_seal_run(rig->store, run, NULL) == 1) {
    }
}

static uint64_t file_bytes(const struct rig *rig)
{
    char path[128];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/store.mdb", rig->dir);
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* What pruning told, summed up. */
struct told {
    int n;
    struct store_prune_item items[64];
    uint64_t bytes;
    uint64_t n_rows;
    int stop_after; /* 0: never */
};

static int on_item(const struct store_prune_item *item, void *payload)
{
    struct told *told = payload;
    if (told->n < 64) {
        told->items[told->n] = *item;
    }
    told->n++;
    told->bytes += item->bytes;
    told->n_rows += item->n_rows;
    return told->stop_after > 0 && told->n >= told->stop_after ? 7 : 0;
}

static int prune(struct rig *rig, const struct store_prune *what, struct told *told)
{
    struct baro_err err = {0};
    int rc = store_prune(rig->store, what, on_item, told, &err);
    if (rc < 0) {
        fail_msg("store_prune: %d %s", rc, err.text);
    }
    return rc;
}

static void count_damage(
    uint32_t run, uint32_t thing, uint16_t kind, const char *sentence, void *payload)
{
    int *n = payload;
    print_message("run %u thing %u kind %u: %s\n", run, thing, kind, sentence);
    ++*n;
}

/* Check all of the store; it must be whole. */
static void verify(struct rig *rig)
{
    struct store_verify at = {0};
    int n = 0;
    while (!at.is_done) {
        assert_int_equal(store_verify_step(rig->store, &at, count_damage, &n, NULL), 0);
    }
    assert_int_equal(n, 0);
}

static uint64_t pruned_of(struct rig *rig, uint32_t run, uint32_t thing)
{
    struct store_group_info *infos = NULL;
    size_t n = 0;
    uint64_t n_pruned = 0;
    assert_int_equal(store_groups(rig->store, run, &infos, &n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        n_pruned = infos[i].thing == thing ? infos[i].n_pruned : n_pruned;
    }
    free(infos);
    return n_pruned;
}

/* All rows from the pruned ones on come back as they were. */
static void check_rest(struct rig *rig, uint32_t run, uint32_t thing, int64_t n_rows)
{
    struct rig_rows rows = {0};
    uint64_t n_pruned = pruned_of(rig, run, thing);
    assert_int_equal(rig_read(rig, run, thing, &rows, NULL), 0);
    assert_int_equal(rows.n, (uint64_t)n_rows - n_pruned);
    for (size_t i = 0; i < rows.n; i++) {
        int64_t step = (int64_t)(n_pruned + i);
        assert_int_equal(rows.steps[i], step);
        assert_true(rows.values[i] == value_at(run, thing, step));
    }
    rig_rows_finish(&rows);
}

/* One pixel over everything knows the smallest and the largest of all readings ever. */
static void check_summaries(struct rig *rig, uint32_t run, uint32_t thing, int64_t n_rows)
{
    struct column column = {0};
    struct column_cut cut = columns_cut(0, n_rows - 1, 1);
    const struct store_query query = {
        .run = run, .thing = thing, .kind = 1, .n_columns = 1, .to_step = n_rows - 1};
    uint64_t n = 0;
    uint64_t n_coarse = 0;
    assert_int_equal(
        store_read_columns(rig->store, &query, &cut, &column, &n, &n_coarse, NULL), 0);
    column_finish(&column);
    double min = INFINITY;
    double max = -INFINITY;
    for (int64_t step = 0; step < n_rows; step++) {
        double value = value_at(run, thing, step);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    assert_int_equal(n, (uint64_t)n_rows);
    assert_true(column.min == min);
    assert_true(column.max == max);
}

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
    struct store_prune what = {.to_bytes = before - before / 4,
        .runs = &run,
        .n_runs = 1,
        .level = STORE_PRUNE_READINGS};
    assert_int_equal(prune(rig, &what, &told), 0);
    uint64_t after = store_used_bytes(rig->store);
    assert_in_range(after, before / 2, what.to_bytes);
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

/* ---- room ---- */

static void what_was_freed_is_used_again(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 20000);
    uint64_t most = file_bytes(rig);
    for (uint32_t run = 2; run < 8; run++) {
        const uint32_t old = run - 1;
        struct told told = {0};
        const struct store_prune what = {
            .to_bytes = UINT64_MAX, .runs = &old, .n_runs = 1, .level = STORE_PRUNE_RUN};
        assert_int_equal(prune(rig, &what, &told), 0);
        fill(rig, run, 0, 20000);
    }
    print_message("%llu bytes after one run, %llu after seven\n", (unsigned long long)most,
        (unsigned long long)file_bytes(rig));
    assert_in_range(file_bytes(rig), 0, most * 3 / 2);
    verify(rig);
}

/* Fill run after run; when there is no room the oldest gives way, as the daemon does it. */
static void the_file_never_passes_the_quota(void **state)
{
    struct rig *rig = *state;
    const uint64_t quota = 4 << 20;
    rig->options.quota_bytes = quota;
    rig_open(rig);
    uint32_t runs[20];
    size_t n_pruned = 0;
    for (uint32_t run = 1; run <= 20; run++) {
        runs[run - 1] = run;
        int64_t step = 0;
        while (step < 12000) {
            int rc = try_fill(rig, run, step, step + COMMIT_ROWS);
            assert_in_range(file_bytes(rig), 0, quota);
            if (rc == 0) {
                step += COMMIT_ROWS;
                continue;
            }
            assert_int_equal(rc, BARO_EFULL);
            struct told told = {0};
            const struct store_prune what = {
                .to_bytes = store_used_bytes(rig->store) - (256 << 10),
                .runs = runs,
                .n_runs = run,
                .level = STORE_PRUNE_REST,
            };
            (void)prune(rig, &what, &told);
            n_pruned += (size_t)told.n;
            assert_in_range(file_bytes(rig), 0, quota);
            if (told.n == 0 && store_compact(rig->store, NULL) != 0) {
                fail_msg("nothing may give way");
            }
        }
    }
    assert_true(n_pruned > 0);
    check_rest(rig, 20, 1, 12000);
    check_summaries(rig, 20, 2, 12000);
    verify(rig);
}

static void the_file_shrinks_when_it_is_written_anew(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 2000);
    fill(rig, 2, 0, 30000);
    const uint32_t run = 2;
    struct told told = {0};
    const struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_RUN};
    assert_int_equal(prune(rig, &what, &told), 0);
    uint64_t before = file_bytes(rig);
    assert_true(store_free_bytes(rig->store) > before / 2);
    assert_int_equal(store_compact(rig->store, NULL), 0);
    assert_in_range(file_bytes(rig), 0, before / 4);
    assert_in_range(store_free_bytes(rig->store), 0, 64 * 4096);
    check_rest(rig, 1, 1, 2000);
    fill(rig, 1, 2000, 4000);
    check_rest(rig, 1, 1, 4000);
    verify(rig);
    rig_reopen(rig);
    check_rest(rig, 1, 1, 4000);
}

static void what_a_compaction_left_is_removed_at_the_next_start(void **state)
{
    struct rig *rig = *state;
    char path[128];
    rig_open(rig);
    fill(rig, 1, 0, 1000);
    rig_close(rig);
    (void)snprintf(path, sizeof path, "%s/store.mdb.new", rig->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "half a store", 12), 12);
    (void)close(fd);
    rig_open(rig);
    assert_int_not_equal(access(path, F_OK), 0);
    check_rest(rig, 1, 1, 1000);
}

/* ---- readers ---- */

struct reading {
    struct rig *rig;
    atomic_bool is_over;
    atomic_int n_reads;
    atomic_int n_bad;
};

static void *read_on(void *payload)
{
    struct reading *reading = payload;
    while (!atomic_load(&reading->is_over)) {
        struct rig_rows rows = {0};
        if (rig_read(reading->rig, 1, 1, &rows, NULL) != 0 || rows.n != 3000) {
            atomic_fetch_add(&reading->n_bad, 1);
        }
        rig_rows_finish(&rows);
        atomic_fetch_add(&reading->n_reads, 1);
    }
    return NULL;
}

static void readers_go_on_while_the_file_is_replaced(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 3000);
    struct reading reading = {.rig = rig};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    }
    for (int i = 0; i < 40; i++) {
        fill(rig, 2, i * 100, i * 100 + 100);
        assert_int_equal(store_compact(rig->store, NULL), 0);
    }
    atomic_store(&reading.is_over, true);
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&reading.n_reads) > 0);
    assert_int_equal(atomic_load(&reading.n_bad), 0);
}

/* A reader that stops in the midst of what it is given. */
struct stuck {
    struct rig *rig;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_in;
    bool may_go;
    size_t n_rows;
    int rc;
};

static int stop_here(const struct store_block *block, void *payload)
{
    struct stuck *stuck = payload;
    (void)pthread_mutex_lock(&stuck->lock);
    stuck->is_in = true;
    (void)pthread_cond_broadcast(&stuck->wake);
    while (!stuck->may_go) {
        (void)pthread_cond_wait(&stuck->wake, &stuck->lock);
    }
    (void)pthread_mutex_unlock(&stuck->lock);
    stuck->n_rows += block->n_rows;
    return 0;
}

static void *read_and_stop(void *payload)
{
    struct stuck *stuck = payload;
    const struct store_query query = {.run = 1,
        .thing = 1,
        .kind = 1,
        .n_columns = 1,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    stuck->rc = store_read(stuck->rig->store, &query, stop_here, stuck, NULL);
    return NULL;
}

/* Runs come and go meanwhile; returns how large the file became. */
static uint64_t come_and_go(struct rig *rig)
{
    for (uint32_t run = 3; run < 9; run++) {
        fill(rig, run, 0, 8000);
        struct told told = {0};
        const struct store_prune what = {
            .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_RUN};
        assert_int_equal(prune(rig, &what, &told), 0);
    }
    return file_bytes(rig);
}

static void a_reader_that_stops_does_not_make_the_file_grow(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 20000);
    uint64_t alone = come_and_go(rig);
    struct stuck stuck = {
        .rig = rig, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_and_stop, &stuck), 0);
    (void)pthread_mutex_lock(&stuck.lock);
    while (!stuck.is_in) {
        (void)pthread_cond_wait(&stuck.wake, &stuck.lock);
    }
    (void)pthread_mutex_unlock(&stuck.lock);
    uint64_t beside = come_and_go(rig);
    assert_int_equal(store_compact(rig->store, NULL), 0); /* nor does it block this */
    (void)pthread_mutex_lock(&stuck.lock);
    stuck.may_go = true;
    (void)pthread_cond_broadcast(&stuck.wake);
    (void)pthread_mutex_unlock(&stuck.lock);
    (void)pthread_join(thread, NULL);
    assert_int_equal(stuck.rc, 0);
    assert_int_equal(stuck.n_rows, 20000);
    print_message("%llu bytes alone, %llu beside a reader that stopped\n",
        (unsigned long long)alone, (unsigned long long)beside);
    assert_in_range(beside, 0, alone + alone / 8);
}

/* A foreign process looks at the store and is killed. */
static void look_and_be_killed(const struct rig *rig)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/store.mdb", rig->dir);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        MDB_env *env = NULL;
        MDB_txn *txn = NULL;
        bool is_good = mdb_env_create(&env) == 0 &&
                       mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0600) == 0 &&
                       mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0;
        if (is_good && write(fds[1], "x", 1) == 1) {
            (void)pause();
        }
        _exit(1);
    }
    char byte = 0;
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void a_foreign_reader_that_was_killed_holds_nothing(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 5000);
    uint64_t alone = come_and_go(rig);
    rig_close(rig);
    rig_open(rig); /* in this process no other environment of the file may be open */
    look_and_be_killed(rig);
    store_tick(rig->store, 1);
    uint64_t beside = come_and_go(rig);
    print_message("%llu bytes alone, %llu behind a reader that was killed\n",
        (unsigned long long)alone, (unsigned long long)beside);
    assert_in_range(beside, 0, alone + alone / 8);
    look_and_be_killed(rig);
    rig_reopen(rig);
    assert_in_range(come_and_go(rig), 0, alone + alone / 8);
    check_rest(rig, 1, 1, 5000);
}

/* ---- kills ---- */

/* Write, prune and compact until killed; each committed step of run 9 is told. */
static void work_until_killed(struct rig *rig, int fd)
{
    rig_open(rig);
    for (uint32_t run = 10;; run++) {
        for (int64_t step = 0; step < 4000; step += COMMIT_ROWS) {
            if (try_fill(rig, run, step, step + COMMIT_ROWS) != 0) {
                _exit(3);
            }
        }
        struct store_txn *txn = store_begin(rig->store);
        store_put(txn, STORE_RUNS, run, 0, "a run", 5);
        if (store_commit(txn, NULL) != 0 || write(fd, &run, sizeof run) != sizeof run) {
            _exit(4);
        }
        struct told told = {0};
        const uint32_t old = run - 2;
        struct store_prune what = {.to_bytes = UINT64_MAX,
            .runs = &old,
            .n_runs = 1,
            .level = run % 2 == 0 ? STORE_PRUNE_RUN : STORE_PRUNE_READINGS};
        if (store_prune(rig->store, &what, on_item, &told, NULL) < 0 ||
            store_compact(rig->store, NULL) != 0) {
            _exit(5);
        }
    }
}

static void a_kill_at_any_moment_leaves_a_store_that_is_whole(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 2000);
    rig_close(rig);
    uint64_t seed = 4711;
    for (int i = 0; i < 12; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(fds[0]);
            work_until_killed(rig, fds[1]);
        }
        (void)close(fds[1]);
        uint32_t run = 0;
        uint32_t last = 0;
        int n_told = 0;
        while (n_told < 2 && read(fds[0], &run, sizeof run) == sizeof run) {
            last = run;
            n_told++;
        }
        (void)usleep((useconds_t)(rig_random(&seed) % 60000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &run, sizeof run) == sizeof run) {
            last = run;
        }
        (void)close(fds[0]);
        rig_open(rig);
        verify(rig);
        check_rest(rig, 1, 1, 2000);
        check_rest(rig, last, 1, 4000);
        for (uint32_t old = 8; old <= last + 1; old++) { /* clean up for the next turn */
            struct told told = {0};
            const struct store_prune what = {.to_bytes = UINT64_MAX,
                .runs = &old,
                .n_runs = 1,
                .level = STORE_PRUNE_RUN};
            assert_int_equal(prune(rig, &what, &told), 0);
        }
        rig_close(rig);
    }
    rig_open(rig);
    check_rest(rig, 1, 1, 2000);
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
        CASE(what_was_freed_is_used_again),
        CASE(the_file_never_passes_the_quota),
        CASE(the_file_shrinks_when_it_is_written_anew),
        CASE(what_a_compaction_left_is_removed_at_the_next_start),
        CASE(readers_go_on_while_the_file_is_replaced),
        CASE(a_reader_that_stops_does_not_make_the_file_grow),
        CASE(a_foreign_reader_that_was_killed_holds_nothing),
        CASE(a_kill_at_any_moment_leaves_a_store_that_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
