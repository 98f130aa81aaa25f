/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_fill.h"

#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/*
 * Room: the file keeps within the quota, is used again and shrinks, whoever reads meanwhile; and a
 * kill at any moment leaves a store that is whole.
 */

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
    for (int i = 0; i < TEST_ROUNDS(12); i++) {
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
        CASE(what_was_freed_is_used_again),
        CASE(the_file_never_passes_the_quota),
        CASE(the_file_shrinks_when_it_is_written_anew),
        CASE(what_a_compaction_left_is_removed_at_the_next_start),
        CASE(readers_go_on_while_the_file_is_replaced),
        CASE(a_reader_that_stops_does_not_make_the_file_grow),
        CASE(a_foreign_reader_that_was_killed_holds_nothing),
        CASE(a_kill_at_any_moment_leaves_a_store_that_is_whole),
    };
    TEST_THREADS_ONLY("*reader*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
