/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of rows against a model in memory: whatever the limits, ranges and parts, and whatever
 * comes in and is sealed between two pages, each row is given once, whole, in order of arrival.
 */
#include "tests/unit/test_store_rig.h"

#include "daemon/rows.h"
#include "lib/base/record.h"

enum {
    KIND_NARROW = 3,
    KIND_WIDE = 4,
    NARROW_F64 = 16,
    WIDE_F32 = 600, /* such a group is divided from 2,048 rows on */
    N_RUNS = 2,
    MAX_ROWS = 8192,
    MAX_EXTRA = 40
};

/* One group of each of two runs. */
struct model {
    struct rig *rig;
    uint16_t kind;
    size_t n[N_RUNS];
    int64_t steps[N_RUNS][MAX_ROWS];
    uint64_t random;
};

static double number(size_t run, size_t row, size_t column)
{
    return (double)(1000003 * run + 7919 * row + column);
}

static size_t extra_bytes_of(const struct model *model, size_t row)
{
    return model->kind == KIND_NARROW ? row * 7 % MAX_EXTRA / 8 * 8 : 0;
}

static void append(struct model *model, size_t run, size_t n_rows)
{
    static uint8_t payload[8 * NARROW_F64 + 4 * WIDE_F32 + MAX_EXTRA];
    struct store_txn *txn = store_begin(model->rig->store);
    for (size_t i = 0; i < n_rows && model->n[run] < MAX_ROWS; i++) {
        size_t at = model->n[run]++;
        /* Mostly rising, with repeats and steps that go back. */
        int64_t last = at > 0 ? model->steps[run][at - 1] : 0;
        model->steps[run][at] = last + (int64_t)(rig_random(&model->random) % 5) - 1;
        bool is_wide = model->kind == KIND_WIDE;
        struct store_row row = {
            .run = (uint32_t)run + 1,
            .thing = (uint32_t)run + 5,
            .kind = model->kind,
            .n_f64 = is_wide ? 0 : NARROW_F64,
            .n_f32 = is_wide ? WIDE_F32 : 0,
            .extra_bytes = (uint32_t)extra_bytes_of(model, at),
            .step = model->steps[run][at],
            .time_ns = (int64_t)at * 1000,
            .payload = payload,
        };
        for (size_t c = 0; c < row.n_f64; c++) {
            double value = number(run, at, c);
            memcpy(payload + 8 * c, &value, 8);
        }
        for (size_t c = 0; c < row.n_f32; c++) {
            float value = (float)number(run, at, c);
            memcpy(payload + 4 * c, &value, 4);
        }
        memset(payload + 8 * row.n_f64 + 4 * row.n_f32, (int)(at & 0xff), row.extra_bytes);
        store_append(txn, &row);
    }
    rig_commit(txn);
}

/* The next row of the model that a source gives; false when there is none. */
static bool next_expected(
    const struct model *model, const struct row_source *source, size_t *part, size_t *row)
{
    for (; *part < source->n_parts; (*part)++, *row = 0) {
        size_t run = source->parts[*part].run - 1;
        int64_t to = source->parts[*part].to_step < source->to_step
                         ? source->parts[*part].to_step
                         : source->to_step;
        for (; *row < model->n[run]; (*row)++) {
            int64_t step = model->steps[run][*row];
            if (step >= source->from_step && step <= to) {
                return true;
            }
        }
    }
    return false;
}

static void check_record(const struct model *model, const struct row_source *source,
    const struct record_header *header, const uint8_t *payload, size_t run, size_t row)
{
    assert_int_equal(header->step, model->steps[run][row]);
    assert_int_equal(header->time_ns, row * 1000);
    assert_int_equal(header->thing, 77);
    assert_int_equal(header->kind, model->kind);
    for (size_t c = 0; c < source->n_f64; c++) {
        double value;
        memcpy(&value, payload + 8 * c, 8);
        assert_true(value == number(run, row, source->first_column + c));
    }
    for (size_t c = 0; c < source->n_f32; c++) {
        float value;
        memcpy(&value, payload + 4 * c, 4);
        assert_true(value == (float)number(run, row, source->first_column + c));
    }
    size_t n_extra = source->with_extra ? extra_bytes_of(model, row) : 0;
    size_t n_fixed = row_fixed_bytes(source);
    assert_int_equal(header->payload_bytes, n_fixed + n_extra);
    for (size_t i = 0; i < n_extra; i++) {
        assert_int_equal(payload[n_fixed + i], row & 0xff);
    }
}

/* What happens to the store between two pages. */
static void disturb(struct model *model)
{
    switch (rig_random(&model->random) % 6) {
    case 0: append(model, 1, 1 + rig_random(&model->random) % 40); break;
    case 1: rig_seal(model->rig); break;
    case 2: assert_true(store_seal_run(model->rig->store, 2, NULL) >= 0); break;
    default: break;
    }
}

/* Read all pages and compare; returns the number of pages. */
static size_t check_pages(
    struct model *model, const struct row_source *source, uint32_t max_limit)
{
    size_t part = 0;
    size_t row = 0;
    size_t n_pages = 0;
    uint64_t cursor = 0;
    do {
        struct row_page page = {0};
        struct baro_err err = {0};
        struct record_header header;
        const uint8_t *payload = NULL;
        size_t n_records = 0;
        uint32_t limit =
            max_limit > 0 ? 1 + (uint32_t)(rig_random(&model->random) % max_limit) : 0;
        int rc = rows_page(source, model->rig->store, cursor, limit, &page, &err);
        if (rc != 0 || page.damage.code != 0) {
            fail_msg("rows_page: %d %s %s", rc, err.text, page.damage.text);
        }
        const uint8_t *at = page.bytes;
        while (at != NULL &&
               record_next(&at, page.bytes + page.n_bytes, &header, &payload) > 0) {
            assert_true(next_expected(model, source, &part, &row));
            check_record(model, source, &header, payload, source->parts[part].run - 1, row);
            row++;
            n_records++;
        }
        assert_int_equal(n_records, page.n_records);
        assert_true(limit == 0 || n_records <= limit);
        assert_int_equal(page.n_pruned, 0);
        cursor = page.cursor;
        n_pages++;
        free(page.bytes);
        if (cursor == 0) {
            assert_false(next_expected(model, source, &part, &row));
        } else {
            assert_true(n_records > 0); /* it gets on */
            disturb(model);
        }
    } while (cursor != 0);
    return n_pages;
}

static struct row_source source_of(const struct model *model)
{
    bool is_wide = model->kind == KIND_WIDE;
    return (struct row_source){
        .parts = {{2, 6, INT64_MAX}},
        .n_parts = 1,
        .thing = 77,
        .kind = model->kind,
        .n_f64 = is_wide ? 0 : NARROW_F64,
        .n_f32 = is_wide ? WIDE_F32 : 0,
        .with_extra = !is_wide,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX,
    };
}

static struct model *make_model(void **state, uint16_t kind, size_t n_rows)
{
    struct model *model = baro_xcalloc(1, sizeof *model);
    model->rig = *state;
    model->kind = kind;
    model->random = 42;
    rig_open(model->rig);
    for (size_t run = 0; run < N_RUNS; run++) {
        while (model->n[run] < n_rows) {
            append(model, run, 1 + rig_random(&model->random) % 200);
            if (rig_random(&model->random) % 4 == 0) {
                rig_seal(model->rig);
            }
        }
    }
    return model;
}

/* Random ranges, lineages and columns. */
static void check_random(struct model *model, size_t n_turns, uint32_t max_limit)
{
    for (size_t turn = 0; turn < n_turns; turn++) {
        struct row_source source = source_of(model);
        uint32_t n_columns = source.n_f64 + source.n_f32;
        int64_t span = model->steps[0][model->n[0] - 1] + 20;
        if (rig_random(&model->random) % 2 == 0) {
            source.from_step = (int64_t)(rig_random(&model->random) % (uint64_t)span) - 10;
            source.to_step =
                source.from_step + (int64_t)(rig_random(&model->random) % (uint64_t)span);
        }
        if (rig_random(&model->random) % 2 == 0) {
            int64_t branch = (int64_t)(rig_random(&model->random) % (uint64_t)span);
            source.n_parts = 2;
            source.parts[0] = (struct lineage_part){1, 5, branch};
            source.parts[1] = (struct lineage_part){2, 6, INT64_MAX};
        }
        if (rig_random(&model->random) % 2 == 0) {
            source.first_column = (uint32_t)(rig_random(&model->random) % n_columns);
            n_columns = 1 + (uint32_t)(rig_random(&model->random) %
                                       (n_columns - source.first_column));
            source.with_extra = false;
            source.n_f64 = source.n_f64 > 0 ? n_columns : 0;
            source.n_f32 = source.n_f32 > 0 ? n_columns : 0;
        }
        (void)check_pages(model, &source, max_limit);
    }
}

/* ---- cases ---- */

static void narrow_rows_come_once_in_order_however_pages_are_cut(void **state)
{
    struct model *model = make_model(state, KIND_NARROW, 3000);
    check_random(model, TEST_ROUNDS(60), 300);
    free(model);
}

static int count_divided(const struct store_block *block, void *payload)
{
    size_t *n = payload;
    *n += block->n_columns < WIDE_F32 ? 1 : 0;
    return 0;
}

static void wide_rows_come_whole_from_parts_chunks_and_tail(void **state)
{
    struct model *model = make_model(state, KIND_WIDE, 2200);
    struct row_source source = source_of(model);
    struct store_query query = row_query(&source, 0);
    size_t n_divided = 0;
    rig_seal(model->rig);
    append(model, 1, 30);
    assert_int_equal(
        store_read(model->rig->store, &query, count_divided, &n_divided, NULL), 0);
    assert_true(n_divided > 0); /* else this case tests nothing */
    check_random(model, TEST_ROUNDS(5), 500);
    free(model);
}

static void a_page_is_as_much_as_a_frame_takes(void **state)
{
    struct model *model = make_model(state, KIND_WIDE, 7000);
    struct row_source source = source_of(model);
    size_t row_bytes = record_bytes(4 * WIDE_F32);
    size_t n_a_page = WIRE_MAX_FRAME_BYTES / row_bytes;
    assert_int_equal(
        check_pages(model, &source, 0), (model->n[1] + n_a_page - 1) / n_a_page);
    free(model);
}

static void nothing_in_range_is_one_empty_page(void **state)
{
    struct model *model = make_model(state, KIND_NARROW, 100);
    struct row_source source = source_of(model);
    source.from_step = 1 << 20;
    assert_int_equal(check_pages(model, &source, 10), 1);
    source = source_of(model);
    source.parts[0] = (struct lineage_part){9, 9, INT64_MAX}; /* no such group */
    struct row_page page = {0};
    assert_int_equal(rows_page(&source, model->rig->store, 0, 0, &page, NULL), 0);
    assert_int_equal(page.n_records, 0);
    assert_int_equal(page.cursor, 0);
    free(page.bytes);
    free(model);
}

static void a_cursor_from_nowhere_is_an_end(void **state)
{
    struct model *model = make_model(state, KIND_NARROW, 100);
    struct row_source source = source_of(model);
    const uint64_t cursors[] = {UINT64_MAX, UINT64_C(5) << 58, UINT64_MAX >> 6};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        struct row_page page = {0};
        assert_int_equal(
            rows_page(&source, model->rig->store, cursors[i], 0, &page, NULL), 0);
        assert_int_equal(page.n_records, 0);
        assert_int_equal(page.cursor, 0);
        free(page.bytes);
    }
    free(model);
}

/* Change a byte of every second chunk in the file. */
static void damage_chunks(struct rig *rig)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/store.mdb", rig->dir);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    char magic[8];
    int n_chunks = 0;
    for (long at = 0; fseek(file, at, SEEK_SET) == 0 &&
                      fread(magic, 1, sizeof magic, file) == sizeof magic;
         at += 8) {
        if (memcmp(magic, "BARC", 4) == 0 && ++n_chunks % 2 == 0) {
            assert_int_equal(fseek(file, at + 300, SEEK_SET), 0);
            int byte = fgetc(file);
            assert_int_equal(fseek(file, at + 300, SEEK_SET), 0);
            assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
        }
    }
    assert_true(n_chunks > 4);
    assert_int_equal(fclose(file), 0);
}

static void damaged_chunks_cost_their_own_rows_and_are_told(void **state)
{
    struct model *model = make_model(state, KIND_NARROW, 6000);
    struct row_source source = source_of(model);
    source.n_parts = 2;
    source.parts[0] = (struct lineage_part){1, 5, INT64_MAX};
    source.parts[1] = (struct lineage_part){2, 6, INT64_MAX};
    assert_true(store_seal_run(model->rig->store, 1, NULL) >= 0);
    assert_true(store_seal_run(model->rig->store, 2, NULL) >= 0);
    rig_seal(model->rig);
    rig_close(model->rig);
    damage_chunks(model->rig);
    rig_open(model->rig);
    size_t part = 0;
    size_t row = 0;
    size_t n_records = 0;
    size_t n_damages = 0;
    uint64_t cursor = 0;
    do {
        struct row_page page = {0};
        struct record_header header;
        const uint8_t *payload = NULL;
        assert_int_equal(
            rows_page(&source, model->rig->store, cursor, 150, &page, NULL), 0);
        n_damages += page.damage.code != 0;
        const uint8_t *at = page.bytes;
        while (at != NULL &&
               record_next(&at, page.bytes + page.n_bytes, &header, &payload) > 0) {
            do { /* rows are numbered by their times */
                assert_true(next_expected(model, &source, &part, &row));
            } while (header.time_ns != (int64_t)row * 1000 && ++row > 0);
            check_record(
                model, &source, &header, payload, source.parts[part].run - 1, row++);
            n_records++;
        }
        cursor = page.cursor;
        free(page.bytes);
    } while (cursor != 0);
    assert_true(n_damages > 0);
    assert_true(n_records < model->n[0] + model->n[1]);
    assert_true(n_records > 0);
    free(model);
}

static int ignore_item(const struct store_prune_item *item, void *payload)
{
    (void)item;
    (void)payload;
    return 0;
}

static void pruned_rows_are_counted(void **state)
{
    struct model *model = make_model(state, KIND_NARROW, 6000);
    const uint32_t run = 2;
    const struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_READINGS};
    struct row_source source = source_of(model);
    struct row_page page = {0};
    struct baro_err err = {0};
    assert_true(store_seal_run(model->rig->store, run, &err) >= 0);
    rig_seal(model->rig);
    assert_true(store_prune(model->rig->store, &what, ignore_item, NULL, &err) >= 0);
    size_t at = model->n[1];
    append(model, 1, 50);
    assert_int_equal(rows_page(&source, model->rig->store, 0, 0, &page, &err), 0);
    assert_int_equal(page.n_pruned, at);
    assert_int_equal(page.n_records, 50);
    const uint8_t *cursor = page.bytes;
    const uint8_t *payload = NULL;
    struct record_header header;
    for (; record_next(&cursor, page.bytes + page.n_bytes, &header, &payload) > 0; at++) {
        check_record(model, &source, &header, payload, 1, at);
    }
    assert_int_equal(at, model->n[1]);
    free(page.bytes);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            narrow_rows_come_once_in_order_however_pages_are_cut, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(
            wide_rows_come_whole_from_parts_chunks_and_tail, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(
            a_page_is_as_much_as_a_frame_takes, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(
            nothing_in_range_is_one_empty_page, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(
            a_cursor_from_nowhere_is_an_end, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(
            damaged_chunks_cost_their_own_rows_and_are_told, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(pruned_rows_are_counted, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
