/* SPDX-License-Identifier: Apache-2.0 */
#include "test_store_rig.h"

#include <math.h>

/* Rows come back in order of arrival, whatever their steps are, before and after sealing. */
static void rows_come_back_in_order_of_arrival(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    static const int64_t steps[] = {5, 6, 6, 3, -1, 7, INT64_MAX, INT64_MIN, 0};
    size_t n = BARO_LEN(steps);
    for (size_t i = 0; i < n; i++) {
        struct store_txn *txn = store_begin(rig->store);
        double value = (double)i + 0.5;
        struct store_row row = {
            .run = 1,
            .thing = 2,
            .kind = 1,
            .n_f64 = 1,
            .step = steps[i],
            .time_ns = (int64_t)i * 1000,
            .payload = (const uint8_t *)&value,
        };
        store_append(txn, &row);
        rig_commit(txn);
        if (i == 4) {
            rig_seal(rig);
        }
    }
    for (int turn = 0; turn < 3; turn++) {
        struct rig_rows rows = {0};
        assert_int_equal(rig_read(rig, 1, 2, &rows, NULL), 0);
        assert_int_equal(rows.n, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(rows.steps[i], steps[i]);
            assert_int_equal(rows.times_ns[i], (int64_t)i * 1000);
            assert_true(fabs(rows.values[i] - ((double)i + 0.5)) < 1e-12);
        }
        rig_rows_finish(&rows);
        if (turn == 0) {
            rig_reopen(rig);
        } else {
            rig_seal(rig);
        }
    }
}

static void rows_are_seen_only_when_committed(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct rig_rows rows = {0};
    struct store_txn *txn = store_begin(rig->store);
    rig_append(txn, 1, 1, 0, 1.0);
    store_put(txn, STORE_RUNS, 1, 0, "x", 1);
    void *value = NULL;
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, 0);
    assert_int_equal(store_get(rig->store, STORE_RUNS, 1, 0, &value, NULL), BARO_ENOENT);
    rig_commit(txn);
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, 1);
    assert_int_equal(store_get(rig->store, STORE_RUNS, 1, 0, &value, NULL), 1);
    free(value);
    rig_rows_finish(&rows);
}

static void a_row_of_another_layout_is_refused_with_its_transaction(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct baro_err err = {0};
    struct store_txn *txn = store_begin(rig->store);
    rig_append(txn, 1, 1, 0, 1.0);
    rig_commit(txn);
    for (int turn = 0; turn < 3; turn++) { /* in the tail, sealed, after a restart */
        static const uint8_t two[16] = {0};
        struct store_row row = {
            .run = 1, .thing = 1, .kind = 1, .n_f64 = 2, .payload = two};
        txn = store_begin(rig->store);
        rig_append(txn, 1, 9, 0, 1.0);
        store_append(txn, &row);
        assert_int_equal(store_commit(txn, &err), BARO_EINVAL);
        assert_non_null(strstr(err.text, "does not fit"));
        struct rig_rows rows = {0};
        assert_int_equal(rig_read(rig, 1, 9, &rows, NULL), 0);
        assert_int_equal(rows.n, 0);
        rig_seal(rig);
        if (turn == 1) {
            rig_reopen(rig);
        }
    }
    /* What only a refused transaction knew may have any layout later. */
    static const uint8_t two[16] = {0};
    struct store_row row = {.run = 1, .thing = 9, .kind = 1, .n_f64 = 2, .payload = two};
    txn = store_begin(rig->store);
    store_append(txn, &row);
    rig_commit(txn);
}

struct seen_values {
    uint32_t runs[700];
    uint64_t ids[700];
    size_t n;
};

static int see_value(
    uint32_t run, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct seen_values *seen = payload;
    assert_int_equal(n_bytes, 8);
    uint64_t held;
    memcpy(&held, value, 8);
    assert_int_equal(held, id * 7 + run);
    seen->runs[seen->n] = run;
    seen->ids[seen->n++] = id;
    return 0;
}

static void small_values_are_listed_by_rising_key(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    for (uint32_t run = 3; run > 0; run--) {
        for (uint64_t id = 0; id < 200; id++) {
            uint64_t value = id * 7 + run;
            store_put(txn, STORE_THINGS, run, id, "old", 3);
            store_put(txn, STORE_THINGS, run, id, &value, sizeof value);
        }
    }
    rig_commit(txn);
    rig_reopen(rig);
    struct seen_values seen = {.n = 0};
    assert_int_equal(store_each(rig->store, STORE_THINGS, 0, see_value, &seen, NULL), 0);
    assert_int_equal(seen.n, 600);
    for (size_t i = 0; i < 600; i++) {
        assert_int_equal(seen.runs[i], 1 + i / 200);
        assert_int_equal(seen.ids[i], i % 200);
    }
    seen.n = 0;
    assert_int_equal(store_each(rig->store, STORE_THINGS, 2, see_value, &seen, NULL), 0);
    assert_int_equal(seen.n, 200);
    assert_int_equal(seen.runs[0], 2);
    seen.n = 0;
    assert_int_equal(store_each(rig->store, STORE_ALERTS, 0, see_value, &seen, NULL), 0);
    assert_int_equal(seen.n, 0);
}

static void a_value_over_one_mebibyte_is_refused(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    void *big = baro_xcalloc(1, (1 << 20) + 1);
    struct store_txn *txn = store_begin(rig->store);
    store_put(txn, STORE_RUNS, 1, 0, big, (1 << 20) + 1);
    assert_int_equal(store_commit(txn, NULL), BARO_EINVAL);
    txn = store_begin(rig->store);
    store_put(txn, STORE_RUNS, 1, 0, big, 1 << 20);
    rig_commit(txn);
    free(big);
}

static void groups_are_described_without_reading_them(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    for (int64_t step = 10; step < 30; step++) {
        rig_append(txn, 1, 5, step, 1.0);
    }
    rig_append(txn, 1, 4, -3, 1.0);
    rig_append(txn, 2, 1, 0, 1.0);
    rig_commit(txn);
    for (int turn = 0; turn < 4; turn++) { /* in the tail, sealed, after a restart, both */
        struct store_group_info *infos = NULL;
        size_t n = 0;
        assert_int_equal(store_groups(rig->store, 1, &infos, &n, NULL), 0);
        assert_int_equal(n, 2);
        assert_int_equal(infos[0].thing, 4);
        assert_int_equal(infos[0].n_rows, 1);
        assert_int_equal(infos[0].first_step, -3);
        assert_int_equal(infos[0].last_step, -3);
        assert_int_equal(infos[1].thing, 5);
        assert_int_equal(infos[1].kind, 1);
        assert_int_equal(infos[1].n_f64, 1);
        assert_int_equal(infos[1].n_f32, 0);
        assert_int_equal(infos[1].n_rows, turn < 3 ? 20 : 21);
        assert_int_equal(infos[1].first_step, 10);
        assert_int_equal(infos[1].last_step, turn < 3 ? 29 : 99);
        assert_true(infos[1].bytes > 0);
        free(infos);
        if (turn == 0) {
            rig_seal(rig);
        } else if (turn == 1) {
            rig_reopen(rig);
        } else {
            txn = store_begin(rig->store);
            rig_append(txn, 1, 5, 99, 1.0);
            rig_commit(txn);
        }
    }
}

static void what_does_not_exist_reads_as_nothing(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 7, 7, &rows, NULL), 0);
    assert_int_equal(rows.n, 0);
    struct store_group_info *infos = NULL;
    size_t n = 1;
    assert_int_equal(store_groups(rig->store, 7, &infos, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(infos);
}

/* A block has floats, doubles or neither, as asked for. */
static int look_at_block(const struct store_block *block, void *payload)
{
    const struct store_query *query = payload;
    assert_int_equal(block->n_rows, 1);
    assert_int_equal(block->f64 != NULL, query->n_columns > 0 && query->first_column < 2);
    assert_int_equal(block->f32 != NULL, query->n_columns > 0 && query->first_column >= 2);
    return 0;
}

static void columns_out_of_the_layout_are_refused(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    static const uint8_t payload[8 * 2 + 4 * 3] = {0};
    struct store_row row = {
        .run = 1, .thing = 1, .kind = 2, .n_f64 = 2, .n_f32 = 3, .payload = payload};
    struct store_txn *txn = store_begin(rig->store);
    store_append(txn, &row);
    rig_commit(txn);
    static const struct {
        uint32_t first, n;
        int rc;
    } cases[] = {{0, 2, 0}, {2, 3, 0}, {1, 1, 0}, {4, 1, 0}, {0, 0, 0}, {1, 2, BARO_EINVAL},
        {4, 2, BARO_EINVAL}, {5, 1, BARO_EINVAL}, {UINT32_MAX, 2, BARO_EINVAL}};
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < BARO_LEN(cases); i++) {
            struct store_query query = {.run = 1,
                .thing = 1,
                .kind = 2,
                .first_column = cases[i].first,
                .n_columns = cases[i].n,
                .from_step = INT64_MIN,
                .to_step = INT64_MAX};
            assert_int_equal(
                store_read(rig->store, &query, look_at_block, &query, NULL), cases[i].rc);
        }
        rig_seal(rig);
    }
}

/* Merged chunks are few, and what they replaced is gone. */
static void many_small_seals_leave_few_chunks_and_a_small_file(void **state)
{
    enum { N = 1500 };
    struct rig *rig = *state;
    rig_open(rig);
    for (int64_t step = 0; step < N; step++) {
        struct store_txn *txn = store_begin(rig->store);
        rig_append(txn, 1, 1, step, 0.5);
        rig_commit(txn);
        rig_seal(rig);
    }
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, N);
    assert_true(rows.n_blocks < 30);
    assert_true(store_bytes(rig->store) < 150000); /* more if all were kept */
    rig_rows_finish(&rows);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        CASE(rows_come_back_in_order_of_arrival),
        CASE(rows_are_seen_only_when_committed),
        CASE(a_row_of_another_layout_is_refused_with_its_transaction),
        CASE(small_values_are_listed_by_rising_key),
        CASE(a_value_over_one_mebibyte_is_refused),
        CASE(groups_are_described_without_reading_them),
        CASE(what_does_not_exist_reads_as_nothing),
        CASE(columns_out_of_the_layout_are_refused),
        CASE(many_small_seals_leave_few_chunks_and_a_small_file),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
