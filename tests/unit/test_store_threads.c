/* SPDX-License-Identifier: Apache-2.0 */
/* Readers beside the writer: a row is seen once, from its commit on, also while it is sealed. */
#include "test_store_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/store/internal.h"

enum {
    N_READERS = 3,
    N_COMMITS = 600,
    ROWS_PER_COMMIT = 5,
    WIDE = 300,
    FIRST_WIDE = 90,
    N_WIDE = 50
};

struct shared {
    struct rig *rig;
    atomic_llong committed; /* rows that a read begun now must give */
    atomic_llong begun;     /* rows that one may give */
    atomic_bool is_done;
    atomic_llong n_reads;
};

struct seen {
    int64_t n;
    bool is_wrong;
};

/* Row i of the group is step i, its doubles are i and -i. */
static int look(const struct store_block *block, void *payload)
{
    struct seen *seen = payload;
    for (size_t i = 0; i < block->n_rows; i++, seen->n++) {
        seen->is_wrong |= block->steps[i] != seen->n || (int64_t)block->f64[i] != seen->n ||
                          (int64_t)block->f64[block->n_rows + i] != -seen->n ||
                          block->extra_ends[i] != (i + 1) * 8 ||
                          memcmp(block->extra + i * 8, &block->steps[i], 8) != 0;
    }
    return 0;
}

static void *read_on(void *argument)
{
    struct shared *shared = argument;
    struct store *store = shared->rig->store;
    const struct store_query query = {.run = 1,
        .thing = 1,
        .kind = 1,
        .n_columns = 2,
        .with_extra = true,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    bool is_last = false;
    while (!is_last) {
        is_last = atomic_load(&shared->is_done);
        int64_t least = atomic_load(&shared->committed);
        struct seen seen = {0};
        int rc = store_read(store, &query, look, &seen, NULL);
        int64_t most = atomic_load(&shared->begun);
        struct store_group_info *infos = NULL;
        size_t n = 0;
        int groups_rc = store_groups(store, 1, &infos, &n, NULL);
        bool is_counted = n == 0 || (int64_t)infos[0].n_rows >= seen.n;
        free(infos);
        if (rc != 0 || groups_rc != 0 || seen.is_wrong || seen.n < least || seen.n > most ||
            !is_counted || (is_last && seen.n != least)) {
            return shared; /* saw something else than the committed rows */
        }
        atomic_fetch_add(&shared->n_reads, 1);
    }
    return NULL;
}

/* Columns 90 to 139 of the wide group, row by row for each; column c of row i is i * 300 + c. */
struct seen_wide {
    int64_t next[N_WIDE];
    bool is_wrong;
};

static int look_wide(const struct store_block *block, void *payload)
{
    struct seen_wide *seen = payload;
    for (uint32_t c = 0; c < block->n_columns; c++) {
        uint32_t column = block->first_column + c;
        int64_t *next = &seen->next[column - FIRST_WIDE];
        for (size_t i = 0; i < block->n_rows; i++, (*next)++) {
            float value = block->f32[c * block->n_rows + i];
            seen->is_wrong |= block->steps[i] != *next ||
                              (int64_t)value != (*next * WIDE + column) % (1 << 24);
        }
    }
    return 0;
}

static bool is_wide_wrong(struct shared *shared, int64_t least)
{
    const struct store_query query = {.run = 1,
        .thing = 2,
        .kind = 2,
        .first_column = FIRST_WIDE,
        .n_columns = N_WIDE,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    struct seen_wide seen = {0};
    int rc = store_read(shared->rig->store, &query, look_wide, &seen, NULL);
    int64_t most = atomic_load(&shared->begun);
    for (int c = 0; c < N_WIDE; c++) {
        seen.is_wrong |= seen.next[c] != seen.next[0];
    }
    return rc != 0 || seen.is_wrong || seen.next[0] < least || seen.next[0] > most;
}

/* As read_on, of a group whose rows move from the tail to chunks and on into parts. */
static void *read_wide_on(void *argument)
{
    struct shared *shared = argument;
    bool is_last = false;
    while (!is_last) {
        is_last = atomic_load(&shared->is_done);
        if (is_wide_wrong(shared, atomic_load(&shared->committed))) {
            return shared;
        }
        atomic_fetch_add(&shared->n_reads, 1);
    }
    return NULL;
}

static void append_rows(struct store_txn *txn, int64_t from)
{
    for (int64_t step = from; step < from + ROWS_PER_COMMIT; step++) {
        uint8_t payload[24];
        double values[2] = {(double)step, (double)-step};
        memcpy(payload, values, 16);
        memcpy(payload + 16, &step, 8);
        struct store_row row = {.run = 1,
            .thing = 1,
            .kind = 1,
            .n_f64 = 2,
            .extra_bytes = 8,
            .step = step,
            .time_ns = step,
            .payload = payload};
        store_append(txn, &row);
        float wide[WIDE];
        for (int64_t c = 0; c < WIDE; c++) {
            wide[c] = (float)((step * WIDE + c) % (1 << 24));
        }
        row = (struct store_row){.run = 1,
            .thing = 2,
            .kind = 2,
            .n_f32 = WIDE,
            .step = step,
            .payload = (const uint8_t *)wide};
        store_append(txn, &row);
    }
}

/* Parts of 32 columns and 16 rows. */
static void divide_early(struct store *store)
{
    store->parting.bytes = 16 * 4 * WIDE;
    store->parting.values = 512;
}

static void readers_beside_the_writer_see_each_row_once(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 20000;
    rig->options.map_bytes = 128 << 10; /* so that it moves under the readers */
    rig->tune = divide_early;
    rig_open(rig);
    struct shared shared = {.rig = rig};
    pthread_t readers[N_READERS];
    for (int i = 0; i < N_READERS; i++) {
        assert_int_equal(
            pthread_create(&readers[i], NULL, i == 0 ? read_wide_on : read_on, &shared), 0);
    }
    int n_seals = 0;
    for (int64_t commit = 0; commit < N_COMMITS; commit++) {
        struct store_txn *txn = store_begin(rig->store);
        append_rows(txn, commit * ROWS_PER_COMMIT);
        atomic_store(&shared.begun, (commit + 1) * ROWS_PER_COMMIT);
        rig_commit(txn);
        atomic_store(&shared.committed, (commit + 1) * ROWS_PER_COMMIT);
        n_seals += store_work_step(rig->store, NULL);
    }
    atomic_store(&shared.is_done, true);
    for (int i = 0; i < N_READERS; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(readers[i], &wrong), 0);
        assert_null(wrong);
    }
    struct group_record record;
    assert_int_equal(store_group_get(rig->store, 1, 2, 2, &record, NULL), 1);
    assert_int_equal(record.part_columns, 32);
    assert_true(record.parted_rows > N_COMMITS * ROWS_PER_COMMIT / 2);
    assert_true(n_seals > 20);
    assert_true(atomic_load(&shared.n_reads) > N_READERS);
    assert_true(store_bytes(rig->store) > 128 << 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            readers_beside_the_writer_see_each_row_once, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
