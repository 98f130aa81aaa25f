/* SPDX-License-Identifier: Apache-2.0 */
#include "test_store_rig.h"

#include <math.h>

#include "daemon/store/internal.h"

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

/* A run that had no rows for three ticks is packed, and its groups leave memory; rows that come
 * later find it as it was. */
static void a_quiet_run_is_packed_and_leaves_memory(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 1 << 20;
    rig_open(rig);
    for (int64_t step = 0; step < 30; step++) {
        struct store_txn *txn = store_begin(rig->store);
        rig_append(txn, 1, 1, step, 0.25);
        rig_append(txn, 2, 1, step, 0.5);
        rig_commit(txn);
    }
    store_tick(rig->store, 2);
    rig_seal(rig); /* nothing is due */
    assert_int_equal(tail_find(&rig->store->tail, 1, 1, 1)->tail_rows, 30);
    struct store_txn *txn = store_begin(rig->store);
    rig_append(txn, 2, 1, 30, 0.5);
    rig_commit(txn);
    store_tick(rig->store, 1);
    rig_seal(rig); /* run 1 only */
    assert_null(tail_find(&rig->store->tail, 1, 1, 1));
    assert_non_null(tail_find(&rig->store->tail, 2, 1, 1));
    struct group_record record;
    assert_int_equal(store_group_get(rig->store, 1, 1, 1, &record, NULL), 1);
    assert_int_equal(record.n_rows, 30);
    assert_int_equal(store_group_get(rig->store, 2, 1, 1, &record, NULL), 0);
    for (int turn = 0; turn < 2;
         turn++) { /* also rows in new pieces of tail, after a start */
        txn = store_begin(rig->store);
        rig_append(txn, 1, 1, 30 + turn, 0.25);
        rig_commit(txn);
        rig_reopen(rig);
        struct store_group_info *infos = NULL;
        size_t n = 0;
        assert_int_equal(store_groups(rig->store, 1, &infos, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_int_equal(infos[0].n_rows, 31 + turn);
        free(infos);
    }
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, 32);
    rig_rows_finish(&rows);
}

/* One float per step, as it is and as it comes back. */
static int compare_rounded(const struct store_block *block, void *payload)
{
    size_t *n_changed = payload;
    for (size_t i = 0; i < block->n_rows; i++) {
        float value = 1.0F / (float)(block->steps[i] + 3);
        assert_true(fabsf(block->f32[i] - value) <= value / 8192);
        *n_changed += memcmp(&block->f32[i], &value, sizeof value) != 0;
    }
    return 0;
}

static size_t count_rounded(struct rig *rig, uint32_t run, uint16_t kind)
{
    size_t n_changed = 0;
    const struct store_query query = {.run = run,
        .thing = 1,
        .kind = kind,
        .n_columns = 1,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    assert_int_equal(store_read(rig->store, &query, compare_rounded, &n_changed, NULL), 0);
    return n_changed;
}

/* Floats of the kinds that are named lose bits behind the twelfth, any other none. */
static void only_kinds_that_are_named_are_rounded(void **state)
{
    struct rig *rig = *state;
    for (uint32_t run = 1; run <= 2; run++) {
        rig->options.is_exact = run == 2;
        rig->options.rounded_kinds = UINT64_C(1) << 4;
        rig_open(rig);
        struct store_txn *txn = store_begin(rig->store);
        for (int64_t step = 0; step < 2000; step++) {
            for (uint16_t kind = 4; kind <= 5; kind++) {
                float value = 1.0F / (float)(step + 3);
                struct store_row row = {.run = run,
                    .thing = 1,
                    .kind = kind,
                    .n_f32 = 1,
                    .step = step,
                    .payload = (const uint8_t *)&value};
                store_append(txn, &row);
            }
        }
        rig_commit(txn);
        assert_int_equal(count_rounded(rig, run, 4), 0); /* in the tail nothing is */
        rig_seal(rig);
        assert_int_equal(count_rounded(rig, run, 5), 0);
        assert_int_equal(count_rounded(rig, run, 4) > 1000, run == 1);
        assert_int_equal(count_rounded(rig, run, 4) > 0, run == 1);
        rig_close(rig);
    }
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
        CASE(a_quiet_run_is_packed_and_leaves_memory),
        CASE(only_kinds_that_are_named_are_rounded),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
