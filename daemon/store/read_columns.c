/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/store/column_reader.h"
#include "daemon/store/read_ahead.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Rows reduced to pixel columns.
 *
 * The rows that summaries cover are gone through once, in order of arrival, from the coarsest
 * summaries down: a summary whose smallest and largest step lie in one column is taken as a
 * whole, one whose steps are all outside the range is passed over, and for any other one goes
 * down, over its rows only, to the finer summaries and in the end to the rows themselves. What
 * is taken whole is therefore exact, however the summaries were made. That summaries have the
 * steps of aligned intervals, and columns end on multiples of a power of two, makes most of them
 * fit, so that few rows are ever read. Each level keeps one decoded chunk and moves it forward.
 *
 * The rows behind those that summaries cover come from store_read. Everything goes by numbers of
 * rows, which never change: so it does not matter that chunks are merged, moved into parts or
 * summarised meanwhile, and no reading transaction outlives one chunk.
 *
 * If rows are pruned while some of their summary have been added already, the rest is told as
 * damage. This file goes through the levels; column_summaries.c and column_rows.c take.
 */

enum {
    LEAST_ROWS = 256, /* of a column, that summaries of level 1 are of use, and ... */
    LEVEL_STEP = 8    /* ... how many times as many for each level above */
};

void reader_need_spans(struct column_reader *reader, size_t n)
{
    if (n > reader->spans_room) {
        free(reader->spans);
        reader->spans = baro_xrealloc(NULL, n, sizeof *reader->spans);
        reader->spans_room = n;
    }
}

/* Add the rows that summaries cover, of the columns of one part. */
static int read_part(struct column_reader *reader, struct baro_err *err)
{
    uint8_t top = (uint8_t)reader->record.n_levels;
    uint64_t end = reader->record.covered[0];
    uint8_t level = top;
    reader->limit[top] = end;
    reader->above[top] = (struct above){0};
    for (uint64_t row = 0; row < end;) {
        while (level < top && row >= reader->limit[level]) {
            level++;
        }
        int rc = level > 0 ? reader_take_summaries(reader, level, &row, err)
                           : reader_take_rows(reader, &row, err);
        if (rc < 0) {
            return rc;
        }
        level -= level > 0 && rc == 0 ? 1 : 0;
    }
    return 0;
}

static struct window_wanted want(const struct group_record *record, uint32_t first_strand,
    uint32_t n_strand, uint32_t first, uint32_t n)
{
    uint32_t end = first_strand + n_strand;
    uint32_t f64_end = end < record->n_f64 ? end : record->n_f64;
    struct window_wanted wanted = {.is_f32 = first >= record->n_f64, .n = n};
    wanted.n_f64 = f64_end > first_strand ? f64_end - first_strand : 0;
    wanted.n_f32 = n_strand - wanted.n_f64;
    wanted.first = first - first_strand - (wanted.is_f32 ? wanted.n_f64 : 0);
    return wanted;
}

/* Add the rows that summaries cover. */
static int read_covered(
    struct column_reader *reader, struct column *out, struct baro_err *err)
{
    const struct group_record *record = &reader->record;
    const struct store_query *query = reader->query;
    uint32_t all = record->n_f64 + record->n_f32;
    uint32_t width = record->part_columns;
    uint32_t end = query->first_column + query->n_columns;
    int rc = 0;
    reader->is_counting = true;
    for (uint32_t first = query->first_column; rc == 0 && first < end;) {
        uint32_t part = width > 0 ? first / width : 0;
        uint32_t strand_first = part * width;
        uint32_t strand_n = width == 0                   ? all
                            : all - strand_first < width ? all - strand_first
                                                         : width;
        uint32_t n =
            strand_first + strand_n < end ? strand_first + strand_n - first : end - first;
        for (uint32_t level = 0; level <= STORE_MAX_LEVELS; level++) {
            reader->windows[level].end_row = 0;
        }
        reader->judged_from = UINT64_MAX;
        reader->is_careful = false;
        reader->is_passing = false;
        reader->id.part = (uint16_t)(width > 0 ? part + 1 : 0);
        reader->wanted = want(record, strand_first, strand_n, first, n);
        reader->in_all = want(record, 0, all, first, n);
        reader->columns =
            out + (size_t)(first - query->first_column) * reader->cut->n_columns;
        rc = read_part(reader, err);
        reader->is_counting = false;
        first += n;
    }
    return rc;
}

/*
 * Rows behind those that summaries cover: when some of them lie in the chunk at hand they are taken
 * from it, or it would be decoded twice.
 *
 * returns  0 with *row behind them, or where it was; negative code
 */
static int take_behind(struct column_reader *reader, uint64_t *row, struct baro_err *err)
{
    const struct group_record *record = &reader->record;
    uint64_t end = reader->windows[0].end_row;
    end = end < record->n_rows ? end : record->n_rows;
    if (record->part_columns > 0 || *row < reader->windows[0].first_row || *row >= end) {
        return 0;
    }
    reader->is_counting = true;
    int rc = reader_add_rows(reader, *row, end, err);
    *row = rc == 0 ? end : *row;
    return rc == BARO_ECORRUPT ? 0 : rc;
}

static int add_block(const struct store_block *block, void *payload)
{
    struct column_reader *reader = payload;
    const struct store_query *query = reader->query;
    reader_need_spans(reader, block->n_rows);
    size_t n_spans = reader_find_spans(
        reader, block->steps, block->is_line, block->n_rows, 0, block->n_rows);
    size_t series = block->n_columns == query->n_columns
                        ? 0
                        : block->first_column - query->first_column;
    for (size_t i = 0; series == 0 && i < n_spans; i++) {
        reader->n_rows += reader->spans[i].n;
    }
    for (size_t k = 0; k < block->n_columns; k++, series++) {
        struct column *columns = reader->columns + series * reader->cut->n_columns;
        size_t at = k * block->n_rows;
        if (block->f64 != NULL) {
            columns_add_f64(columns, reader->spans, n_spans, block->f64 + at);
        } else {
            columns_add_f32(columns, reader->spans, n_spans, block->f32 + at);
        }
    }
    return 0;
}

/* What is known of a group now; as store_group_get. */
static int snapshot(struct store *store, const struct store_query *query,
    struct group_record *out, struct baro_err *err)
{
    (void)pthread_mutex_lock(&store->memory_lock);
    const struct tail_group *group =
        tail_find(&store->tail, query->run, query->thing, query->kind);
    if (group != NULL) {
        *out = group->record;
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    return group != NULL
               ? 1
               : store_group_get(store, query->run, query->thing, query->kind, out, err);
}

/* Tell whether all columns asked for are doubles, or all floats. */
static bool is_one_type(const struct group_record *record, const struct store_query *query)
{
    uint64_t end = (uint64_t)query->first_column + query->n_columns;
    return query->n_columns > 0 &&
           (end <= record->n_f64 || (query->first_column >= record->n_f64 &&
                                        end <= (uint64_t)record->n_f64 + record->n_f32));
}

/* Read everything. */
static int read_all(struct column_reader *reader, struct column *out, struct baro_err *err)
{
    struct store_query rest = *reader->query;
    int rc = snapshot(reader->store, reader->query, &reader->record, err);
    if (rc < 0) {
        return rc;
    }
    rest.first_row = 0;
    if (rc == 1 && reader->record.n_levels > 0 &&
        is_one_type(&reader->record, reader->query)) {
        if (reader->codec == NULL) {
            reader->codec = store_codec_take(reader->store);
        }
        rest.first_row = reader->record.covered[0];
        rc = read_covered(reader, out, err);
        rc = rc == 0 ? take_behind(reader, &rest.first_row, err) : rc;
        if (rc != 0) {
            return rc;
        }
    }
    reader->columns = out;
    rc = store_read(reader->store, &rest, add_block, reader, err);
    reader->is_damaged |=
        reader->record.n_levels > 0 && reader_is_pruned(reader, rest.first_row);
    if (rc == 0 && reader->is_damaged) {
        rc = baro_err_set(err, BARO_ECORRUPT,
            "run %u thing %u kind %u: some rows cannot be read; the rest was read",
            rest.run, rest.thing, rest.kind);
    }
    return rc;
}

int store_read_columns(struct store *store, const struct store_query *query,
    const struct column_cut *cut, struct column *out, uint64_t *out_n_rows,
    uint64_t *out_n_coarse, struct baro_err *err)
{
    struct store_query all = *query;
    all.from_step = cut->from_step;
    all.to_step = cut->last_step;
    all.with_extra = false;
    all.without_times = true;
    all.may_be_line = true;
    struct column_reader reader = {.store = store, .query = &all, .cut = cut};
    reader.id = (struct strand_id){query->run, query->thing, query->kind, 0, 0};
    int rc = read_all(&reader, out, err);
    *out_n_rows = reader.n_rows;
    *out_n_coarse = reader.n_coarse;
    for (uint32_t level = 0; level <= STORE_MAX_LEVELS; level++) {
        window_finish(&reader.windows[level]);
    }
    store_codec_give(store, reader.codec);
    free(reader.spans);
    return rc;
}

/* About which row of a group has a step, if they are evenly spread. */
static uint64_t guess_row(const struct group_record *record, int64_t step)
{
    double way = (double)step - (double)record->first_step;
    double whole = (double)record->last_step - (double)record->first_step;
    double share = whole > 0 ? way / whole : 0;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return (uint64_t)(share * (double)record->n_rows);
}

void store_expect_columns(
    struct store *store, const struct store_query *query, const struct column_cut *cut)
{
    struct group_record record;
    struct read_ahead ahead = {0};
    if (snapshot(store, query, &record, NULL) != 1 || record.part_columns > 0) {
        return;
    }
    uint64_t from = guess_row(&record, cut->from_step);
    uint64_t end = guess_row(&record, cut->last_step) + 1;
    struct strand_id id = {query->run, query->thing, query->kind, 0, 0};
    uint64_t rows = (end - from) / cut->n_columns; /* of a column */
    for (uint64_t least = LEAST_ROWS; id.level < record.n_levels && least <= rows;
         least *= LEVEL_STEP) {
        id.level++;
    }
    read_ahead_add(&ahead, from, end);
    read_ahead_start(store, &id, &ahead, false);
}
