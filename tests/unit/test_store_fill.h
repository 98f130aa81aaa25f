/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pruning and of room share: noisy runs, and that what is left is right. */
#ifndef BARO_TEST_STORE_FILL_H
#define BARO_TEST_STORE_FILL_H

#include "tests/unit/test_store_rig.h"

#include <math.h>
#include <sys/stat.h>

enum { N_THINGS = 8, COMMIT_ROWS = 500, EVENT_KIND = 6 };

static inline double value_at(uint32_t run, uint32_t thing, int64_t step)
{
    uint64_t seed = (uint64_t)run << 50 ^ (uint64_t)thing << 40 ^ (uint64_t)(step + 1);
    (void)rig_random(&seed);
    return (double)(rig_random(&seed) >> 20);
}

/* Append steps [from, to) of N_THINGS noisy things; returns the code of the first failure. */
static inline int try_fill(struct rig *rig, uint32_t run, int64_t from, int64_t to)
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

static inline void fill(struct rig *rig, uint32_t run, int64_t from, int64_t to)
{
    assert_int_equal(try_fill(rig, run, from, to), 0);
    struct store_txn *txn = store_begin(rig->store);
    store_put(txn, STORE_RUNS, run, 0, "a run", 5);
    store_put(txn, STORE_ALERTS, run, 1, "an alert", 8);
    rig_commit(txn);
    while (store_seal_run(rig->store, run, NULL) == 1) {
    }
}

static inline uint64_t file_bytes(const struct rig *rig)
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

static inline int on_item(const struct store_prune_item *item, void *payload)
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

static inline int prune(struct rig *rig, const struct store_prune *what, struct told *told)
{
    struct baro_err err = {0};
    int rc = store_prune(rig->store, what, on_item, told, &err);
    if (rc < 0) {
        fail_msg("store_prune: %d %s", rc, err.text);
    }
    return rc;
}

static inline void count_damage(const struct store_damage *damage, void *payload)
{
    int *n = payload;
    print_message("run %u thing %u kind %u: %s\n", damage->run, damage->thing, damage->kind,
        damage->sentence);
    ++*n;
}

/* Check all of the store; it must be whole. */
static inline void verify(struct rig *rig)
{
    struct store_verify at = {0};
    int n = 0;
    while (!at.is_done) {
        assert_int_equal(store_verify_step(rig->store, &at, count_damage, &n, NULL), 0);
    }
    assert_int_equal(n, 0);
}

static inline uint64_t pruned_of(struct rig *rig, uint32_t run, uint32_t thing)
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
static inline void check_rest(struct rig *rig, uint32_t run, uint32_t thing, int64_t n_rows)
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
static inline void check_summaries(
    struct rig *rig, uint32_t run, uint32_t thing, int64_t n_rows)
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
    double min = (double)INFINITY;
    double max = -(double)INFINITY;
    for (int64_t step = 0; step < n_rows; step++) {
        double value = value_at(run, thing, step);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    assert_int_equal(n, (uint64_t)n_rows);
    assert_true(column.min == min);
    assert_true(column.max == max);
}

#endif
