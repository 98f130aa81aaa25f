/* SPDX-License-Identifier: Apache-2.0 */
/* The store against a plain array of everything that was ever appended to it. */
#include "test_store_rig.h"

#include <math.h>

#include "daemon/store/internal.h"

enum { N_GROUPS = 14, MAX_ROWS = 40000, N_LAYOUTS = 7, MAX_COLUMNS = 3000 };

static const struct {
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t max_extra;
} layouts[N_LAYOUTS] = {{1, 0, 0}, {16, 0, 100}, {0, 37, 0}, {2, 3, 30}, {0, 0, 200},
    {0, 3000, 0}, {9, 11, 40}};

struct model_row {
    int64_t step;
    int64_t time_ns;
    uint8_t *payload;
    uint32_t extra_bytes;
};

struct model_group {
    uint32_t run;
    uint32_t thing;
    uint16_t kind;
    int layout;
    size_t n;
    struct model_row rows[MAX_ROWS];
};

struct model {
    struct rig *rig;
    uint64_t seed;
    struct model_group *groups;
};

static size_t payload_bytes(const struct model_group *group, uint32_t extra)
{
    return 8 * (size_t)layouts[group->layout].n_f64 +
           4 * (size_t)layouts[group->layout].n_f32 + extra;
}

/* Numbers like a monitor's: some smooth, some noise, some any bits (NaN payloads included). */
static void fill_payload(struct model *model, uint8_t *payload, size_t n)
{
    uint64_t style = rig_random(&model->seed) % 4;
    for (size_t i = 0; i < n; i++) {
        payload[i] = style == 0   ? 0
                     : style == 1 ? (uint8_t)(i * 37)
                                  : (uint8_t)(rig_random(&model->seed) >> 24);
    }
}

static void append_one(
    struct model *model, struct store_txn *txn, struct model_group *group)
{
    uint32_t max_extra = layouts[group->layout].max_extra;
    uint32_t extra =
        max_extra > 0 ? (uint32_t)(rig_random(&model->seed) % (max_extra + 1)) : 0;
    size_t n = payload_bytes(group, extra);
    struct model_row *row = &group->rows[group->n++];
    *row = (struct model_row){
        .step = (int64_t)group->n - (int64_t)(rig_random(&model->seed) % 3),
        .time_ns = (int64_t)(rig_random(&model->seed) >> (rig_random(&model->seed) % 64)),
        .payload = baro_xcalloc(n, 1),
        .extra_bytes = extra,
    };
    fill_payload(model, row->payload, n);
    struct store_row stored = {
        .run = group->run,
        .thing = group->thing,
        .kind = group->kind,
        .n_f64 = layouts[group->layout].n_f64,
        .n_f32 = layouts[group->layout].n_f32,
        .extra_bytes = extra,
        .step = row->step,
        .time_ns = row->time_ns,
        .payload = row->payload,
    };
    store_append(txn, &stored);
}

/* What a read must give: for each column, and for the extra bytes, the row that comes next. */
struct expectation {
    const struct model_group *group;
    const struct store_query *query;
    size_t next[MAX_COLUMNS];
    size_t next_extra;
    size_t next_bare;  /* when no columns are asked for */
    int blocks_left;   /* stop after so many; it is known then where to go on */
    uint64_t next_row; /* where a read that was stopped goes on */
};

static bool is_expected(const struct expectation *expected, size_t i)
{
    const struct store_query *query = expected->query;
    const struct model_row *row = &expected->group->rows[i];
    return i >= query->first_row && row->step >= query->from_step &&
           row->step <= query->to_step;
}

/* The first row from i on that is expected; n when there is none. */
static size_t skip_unexpected(const struct expectation *expected, size_t i)
{
    while (i < expected->group->n && !is_expected(expected, i)) {
        i++;
    }
    return i;
}

static void compare_value(const struct expectation *expected, const struct model_row *row,
    const struct store_block *block, uint32_t c, size_t i)
{
    uint32_t n_f64 = layouts[expected->group->layout].n_f64;
    uint32_t column = block->first_column + c;
    bool is_f64 = column < n_f64;
    const uint8_t *want =
        row->payload + (is_f64 ? 8 * column : 8 * n_f64 + 4 * (column - n_f64));
    const void *got = is_f64 ? (const void *)&block->f64[c * block->n_rows + i]
                             : (const void *)&block->f32[c * block->n_rows + i];
    assert_memory_equal(got, want, is_f64 ? 8 : 4);
}

static void compare_extra(const struct expectation *expected, const struct model_row *row,
    const struct store_block *block, size_t i)
{
    uint32_t start = i > 0 ? block->extra_ends[i - 1] : 0;
    assert_int_equal(block->extra_ends[i] - start, row->extra_bytes);
    if (row->extra_bytes > 0) {
        assert_memory_equal(block->extra + start,
            row->payload + payload_bytes(expected->group, 0), row->extra_bytes);
    }
}

/* Whether a block is the last one of its rows. */
static bool is_last_of_rows(
    const struct store_query *query, const struct store_block *block)
{
    return block->first_column + block->n_columns == query->first_column + query->n_columns;
}

static int compare_block(const struct store_block *block, void *payload)
{
    struct expectation *expected = payload;
    const struct store_query *query = expected->query;
    bool is_bare = query->n_columns == 0;
    size_t *next = is_bare ? &expected->next_bare
                   : block->n_columns == 0
                       ? &expected->next_extra
                       : &expected->next[block->first_column - query->first_column];
    size_t at = *next;
    for (size_t i = 0; i < block->n_rows; i++, at++) {
        at = skip_unexpected(expected, at);
        assert_true(at < expected->group->n);
        const struct model_row *row = &expected->group->rows[at];
        assert_int_equal(block->steps[i], row->step);
        assert_int_equal(block->times_ns[i], row->time_ns);
        for (uint32_t c = 0; c < block->n_columns; c++) {
            compare_value(expected, row, block, c, i);
        }
        if (block->extra_ends != NULL) {
            compare_extra(expected, row, block, i);
        }
    }
    assert_true(at <= block->next_row);
    size_t begin = *next;
    for (uint32_t c = 0; c < block->n_columns; c++) {
        size_t *of_column = &next[c];
        assert_int_equal(*of_column, begin);
        *of_column = at;
    }
    *next = at;
    if (block->extra_ends != NULL) {
        assert_true(query->with_extra);
        assert_true(is_bare || block->n_columns == 0 || expected->next_extra == begin);
        expected->next_extra = at;
    }
    expected->next_row = block->next_row;
    return is_last_of_rows(query, block) && --expected->blocks_left == 0 ? 1 : 0;
}

static void check_complete(const struct expectation *expected)
{
    const struct store_query *query = expected->query;
    size_t n = expected->group->n;
    for (uint32_t c = 0; c < query->n_columns; c++) {
        assert_int_equal(skip_unexpected(expected, expected->next[c]), n);
    }
    if (query->with_extra) {
        assert_int_equal(skip_unexpected(expected, expected->next_extra), n);
    }
    if (query->n_columns == 0) {
        assert_int_equal(skip_unexpected(expected, expected->next_bare), n);
    }
}

/* Read in pages of some blocks each, and compare what comes with what must come. */
static void read_and_compare(
    struct model *model, struct store_query *query, const struct model_group *group)
{
    struct expectation *expected = baro_xcalloc(1, sizeof *expected);
    bool is_paged = rig_random(&model->seed) % 3 == 0;
    int rc = 1;
    *expected = (struct expectation){.group = group, .query = query};
    while (rc == 1) {
        struct baro_err err = {0};
        expected->blocks_left = is_paged ? 1 + (int)(rig_random(&model->seed) % 3) : -1;
        rc = store_read(model->rig->store, query, compare_block, expected, &err);
        if (rc < 0) {
            fail_msg("store_read: %d %s", rc, err.text);
        }
        if (rc == 1) { /* other columns may have been given further on already */
            query->first_row = expected->next_row;
            expected->next_extra = expected->next_bare = expected->next_row;
            for (uint32_t c = 0; c < query->n_columns; c++) {
                expected->next[c] = expected->next_row;
            }
        }
    }
    check_complete(expected);
    free(expected);
}

static void check_group(struct model *model, const struct model_group *group)
{
    uint32_t n_f64 = layouts[group->layout].n_f64;
    uint32_t n_f32 = layouts[group->layout].n_f32;
    bool floats = n_f32 > 0 && (n_f64 == 0 || rig_random(&model->seed) % 2 == 0);
    uint32_t of = floats ? n_f32 : n_f64;
    uint32_t first = of > 0 ? (uint32_t)(rig_random(&model->seed) % of) : 0;
    struct store_query query = {
        .run = group->run,
        .thing = group->thing,
        .kind = group->kind,
        .first_column = first + (floats ? n_f64 : 0),
        .n_columns = of > 0 ? (uint32_t)(rig_random(&model->seed) % (of - first + 1)) : 0,
        .with_extra = rig_random(&model->seed) % 2 == 0,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX,
    };
    if (rig_random(&model->seed) % 2 == 0) {
        query.from_step = (int64_t)(rig_random(&model->seed) % (group->n + 2));
        query.to_step =
            query.from_step + (int64_t)(rig_random(&model->seed) % (group->n + 2));
    }
    if (rig_random(&model->seed) % 3 == 0) {
        query.first_row = rig_random(&model->seed) % (group->n + 2);
    }
    read_and_compare(model, &query, group);
}

static void run_model(
    struct rig *rig, uint64_t seed, int n_commits, uint32_t rows_per_commit)
{
    struct model model = {.rig = rig, .seed = seed};
    model.groups = baro_xcalloc(N_GROUPS, sizeof *model.groups);
    for (int i = 0; i < N_GROUPS; i++) {
        model.groups[i].run = 1 + (uint32_t)i % 2;
        model.groups[i].thing = (uint32_t)i * 0x01010101U;
        model.groups[i].kind = (uint16_t)(1 + i % 3);
        model.groups[i].layout = i % N_LAYOUTS;
    }
    rig_open(rig);
    for (int commit = 0; commit < n_commits; commit++) {
        struct store_txn *txn = store_begin(rig->store);
        for (uint32_t i = 0; i < rows_per_commit; i++) {
            /* Groups grow at very different rates. */
            uint64_t pick = rig_random(&model.seed) % N_GROUPS;
            pick = pick > 2 ? rig_random(&model.seed) % (pick + 1) : pick;
            append_one(&model, txn, &model.groups[pick]);
        }
        rig_commit(txn);
        uint64_t chance = rig_random(&model.seed) % 40;
        if (chance == 0) {
            rig_reopen(rig);
        }
        for (uint64_t i = 0; i < chance % 4; i++) {
            assert_true(store_work_step(rig->store, NULL) >= 0);
        }
        if (chance == 7) {
            assert_true(store_seal_run(rig->store, 1, NULL) >= 0);
        }
        check_group(&model, &model.groups[rig_random(&model.seed) % N_GROUPS]);
    }
    rig_reopen(rig);
    rig_seal(rig);
    for (int i = 0; i < N_GROUPS; i++) {
        check_group(&model, &model.groups[i]);
        for (size_t r = 0; r < model.groups[i].n; r++) {
            free(model.groups[i].rows[r].payload);
        }
    }
    free(model.groups);
}

/* Wide is what has more than ten columns, parts are narrow and short, and steps are small. */
static void divide_early(struct store *store)
{
    store->step_bytes = 2000;
    store->parting.bytes = 4096;
    store->parting.min_rows = 4;
    store->parting.max_rows = 64;
    store->parting.values = 256;
    store->parting.wide_columns = 10;
}

static void wide_groups_in_parts_read_as_what_was_appended(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 3000;
    rig->tune = divide_early;
    run_model(rig, 0x2468ace, TEST_ROUNDS(300), 20);
}

static void large_seals_in_parts_read_as_what_was_appended(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 200000;
    rig->tune = divide_early;
    run_model(rig, 0xfedcba, TEST_ROUNDS(60), 300);
}

static void any_history_of_seals_reads_as_what_was_appended(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 3000;
    run_model(rig, 0x1234567, TEST_ROUNDS(200), 20);
}

static void rare_large_seals_read_as_what_was_appended(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 1 << 20;
    run_model(rig, 0xabcdef, TEST_ROUNDS(60), 800);
}

static void single_rows_with_a_seal_after_each_read_as_what_was_appended(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 1;
    run_model(rig, 0x77777, TEST_ROUNDS(300), 1);
}

static void the_map_grows_from_a_tiny_one_by_itself(void **state)
{
    struct rig *rig = *state;
    rig->options.map_bytes = 128 << 10;
    rig->options.seal_tail_bytes = 200000;
    run_model(rig, 0x31415, 40, 300);
    assert_true(store_bytes(rig->store) > 128 << 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        CASE(any_history_of_seals_reads_as_what_was_appended),
        CASE(wide_groups_in_parts_read_as_what_was_appended),
        CASE(large_seals_in_parts_read_as_what_was_appended),
        CASE(rare_large_seals_read_as_what_was_appended),
        CASE(single_rows_with_a_seal_after_each_read_as_what_was_appended),
        CASE(the_map_grows_from_a_tiny_one_by_itself),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
