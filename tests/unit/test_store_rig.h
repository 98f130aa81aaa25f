/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: a folder per case, rows from a number, a memory model. */
#ifndef BARO_TEST_STORE_RIG_H
#define BARO_TEST_STORE_RIG_H

#include "tests/testing.h"

#include <dirent.h>
#include <unistd.h>

#include "daemon/store/store.h"
#include "lib/base/mem.h"

struct rig {
    char dir[64];
    struct store *store;
    struct store_options options;
    void (*tune)(struct store *store); /* called after each opening; may be NULL */
};

static inline void rig_open(struct rig *rig)
{
    struct baro_err err = {0};
    int rc = store_open(rig->dir, &rig->options, &rig->store, &err);
    if (rc != 0) {
        fail_msg("store_open: %d %s", rc, err.text);
    }
    if (rig->tune != NULL) {
        rig->tune(rig->store);
    }
}

static inline void rig_close(struct rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
}

static inline void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static inline int rig_setup(void **state)
{
    struct rig *rig = baro_xcalloc(1, sizeof *rig);
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/baro-store-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    rig->options.seal_tail_bytes = 1;
    rig->options.is_exact = true; /* what is read is compared bit by bit */
    *state = rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;
    rig_close(rig);
    DIR *folder = opendir(rig->dir);
    for (struct dirent *entry = NULL;
         folder != NULL && (entry = readdir(folder)) != NULL;) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", rig->dir, entry->d_name);
        (void)unlink(path);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(rig->dir);
    free(rig);
    return 0;
}

/* Small seeded numbers, the same on every machine. */
static inline uint64_t rig_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Append a row of one double. */
static inline void rig_append(
    struct store_txn *txn, uint32_t run, uint32_t thing, int64_t step, double value)
{
    struct store_row row = {
        .run = run,
        .thing = thing,
        .kind = 1,
        .n_f64 = 1,
        .step = step,
        .time_ns = step * 1000,
        .payload = (const uint8_t *)&value,
    };
    store_append(txn, &row);
}

static inline void rig_commit(struct store_txn *txn)
{
    struct baro_err err = {0};
    int rc = store_commit(txn, &err);
    if (rc != 0) {
        fail_msg("store_commit: %d %s", rc, err.text);
    }
}

/* Seal until there is nothing left to do. */
static inline void rig_seal(struct rig *rig)
{
    struct baro_err err = {0};
    int rc = 0;
    while ((rc = store_work_step(rig->store, &err)) == 1) {
    }
    if (rc != 0) {
        fail_msg("store_work_step: %d %s", rc, err.text);
    }
}

/* What a read of one column of doubles gave. */
struct rig_rows {
    size_t n;
    size_t n_blocks;
    int64_t *steps;
    int64_t *times_ns;
    double *values;
};

static inline int rig_collect(const struct store_block *block, void *payload)
{
    struct rig_rows *rows = payload;
    size_t n = rows->n + block->n_rows;
    rows->steps = baro_xrealloc(rows->steps, n, sizeof *rows->steps);
    rows->times_ns = baro_xrealloc(rows->times_ns, n, sizeof *rows->times_ns);
    rows->values = baro_xrealloc(rows->values, n, sizeof *rows->values);
    memcpy(rows->steps + rows->n, block->steps, block->n_rows * sizeof *rows->steps);
    memcpy(
        rows->times_ns + rows->n, block->times_ns, block->n_rows * sizeof *rows->times_ns);
    memcpy(rows->values + rows->n, block->f64, block->n_rows * sizeof *rows->values);
    rows->n = n;
    rows->n_blocks++;
    return 0;
}

static inline void rig_rows_finish(struct rig_rows *rows)
{
    free(rows->steps);
    free(rows->times_ns);
    free(rows->values);
    *rows = (struct rig_rows){0};
}

static inline int rig_read(struct rig *rig, uint32_t run, uint32_t thing,
    struct rig_rows *rows, struct baro_err *err)
{
    struct store_query query = {
        .run = run,
        .thing = thing,
        .kind = 1,
        .n_columns = 1,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX,
    };
    rig_rows_finish(rows);
    return store_read(rig->store, &query, rig_collect, rows, err);
}

#endif
