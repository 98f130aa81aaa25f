/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/store/read_ahead.h"
#include "daemon/store/window.h"
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
 * Where many of the finest summaries of a chunk do not fit, their rows have to be decoded anyhow,
 * and it costs less to take all of them and none of these summaries.
 *
 * Where the rows, or finer summaries, are pruned or damaged, the finest summary that is left
 * goes as a whole into the column of its middle step and is counted as coarse. If rows are
 * pruned while some of their summary have been added already, the rest is told as damage.
 */

enum {
    PASS_SHARE = 4,   /* one in so many summaries that do not fit is too many */
    LEAST_ROWS = 256, /* of a column, that summaries of level 1 are of use, and ... */
    LEVEL_STEP = 8    /* ... how many times as many for each level above */
};

/* The summary below which the reader went down; it stands in for what is missing there. */
struct above {
    uint8_t level; /* 0: none */
    uint32_t at;   /* in that level's window */
    uint64_t first_row;
    uint64_t end_row;
};

struct column_reader {
    struct store *store;
    const struct store_query *query;
    const struct column_cut *cut;
    struct group_record record;
    struct chunk_codec *codec;
    struct strand_id id;         /* level and part are set for each look */
    struct window_wanted wanted; /* of the part at hand, or of part 0 in a narrow group */
    struct window_wanted in_all; /* the same columns in part 0 of the rows */
    struct column *columns;      /* of the first series of the part at hand */
    struct window windows[STORE_MAX_LEVELS + 1];
    bool is_rows_in_part; /* what windows[0] holds */
    uint64_t
        limit[STORE_MAX_LEVELS + 1]; /* rows before this one are this level's, for now */
    struct above above[STORE_MAX_LEVELS + 1];
    struct column_span *spans;
    size_t n_spans;
    size_t spans_room;
    uint64_t n_rows;
    uint64_t n_coarse;
    bool is_counting; /* the first part at hand: rows count once */
    bool is_damaged;
    bool is_careful; /* rows were missing: no summary is passed by */
    bool is_passing; /* the summaries of windows[1] are passed by, which begins at ... */
    uint64_t judged_from; /* ... this row; UINT64_MAX: not judged yet */
};

static void need_spans(struct column_reader *reader, size_t n)
{
    if (n > reader->spans_room) {
        free(reader->spans);
        reader->spans = baro_xrealloc(NULL, n, sizeof *reader->spans);
        reader->spans_room = n;
    }
}

/* ---- summaries ---- */

/* Count and add what spans say of the summaries in a level's window. */
static int add_summaries(struct column_reader *reader, uint8_t level, bool is_coarse)
{
    struct window *window = &reader->windows[level];
    if (reader->n_spans == 0) {
        return 0;
    }
    int rc = window_values(window, reader->codec, true, &reader->wanted, NULL);
    for (size_t i = 0; rc == 0 && reader->is_counting && i < reader->n_spans; i++) {
        const struct column_span *span = &reader->spans[i];
        uint64_t n = window->row_at[span->from + span->n] - window->row_at[span->from];
        reader->n_rows += n;
        reader->n_coarse += is_coarse ? n : 0;
    }
    for (uint32_t k = 0; rc == 0 && k < reader->wanted.n; k++) {
        struct summary_view view = window_view(window, &reader->wanted, k);
        summary_add(reader->columns + (size_t)k * reader->cut->n_columns, reader->spans,
            reader->n_spans, &view);
    }
    return rc;
}

/* Add summary i to the span at the end, or begin one for its column. */
static void add_to_span(
    struct column_reader *reader, const struct window *window, uint32_t i, uint32_t column)
{
    int64_t first = window->first[i];
    int64_t last = window->last[i];
    struct column_span *span =
        reader->n_spans > 0 ? &reader->spans[reader->n_spans - 1] : NULL;
    if (span == NULL || span->column != column || span->from + span->n != i) {
        reader->spans[reader->n_spans++] =
            (struct column_span){column, i, 1, i, i, first, last};
        return;
    }
    if (first < span->first_step) {
        span->first_step = first;
        span->first_at = i;
    }
    if (last >= span->last_step) {
        span->last_step = last;
        span->last_at = i;
    }
    span->n++;
}

/* Find the steps that share a column with one in range. */
static uint32_t column_bounds(
    const struct column_cut *cut, int64_t step, int64_t *out_low, int64_t *out_high)
{
    uint32_t c = columns_find(cut, step);
    *out_low = columns_edge(cut, c);
    int64_t high = c + 1 < cut->n_columns ? columns_edge(cut, c + 1) - 1 : cut->to_step;
    *out_high = high < cut->last_step ? high : cut->last_step;
    return c;
}

/* Put summaries from i on into spans, until one must be looked into; returns that one. */
static uint32_t span_summaries(
    struct column_reader *reader, const struct window *window, uint32_t i, uint64_t limit)
{
    const struct column_cut *cut = reader->cut;
    uint32_t column = 0;
    int64_t low = 1; /* steps low .. high are in column; none at first */
    int64_t high = 0;
    need_spans(reader, window->chunk.n_rows);
    reader->n_spans = 0;
    for (; i < window->chunk.n_rows && window->row_at[i + 1] <= limit; i++) {
        int64_t first = window->first[i];
        int64_t last = window->last[i];
        if (first < low || last > high) {
            if (first > cut->last_step || last < cut->from_step) {
                continue;
            }
            if (first < cut->from_step || last > cut->last_step) {
                break;
            }
            column = column_bounds(cut, first, &low, &high);
            if (last > high) {
                break;
            }
        }
        add_to_span(reader, window, i, column);
    }
    return i;
}

/* Tell whether the finest summaries at hand are of little use, as most have to be looked into. */
static bool is_of_little_use(struct column_reader *reader, const struct window *window)
{
    const struct column_cut *cut = reader->cut;
    uint32_t n_inside = 0;
    uint32_t n_unfit = 0;
    int64_t low = 1;
    int64_t high = 0;
    if (reader->is_careful || window->first_row < reader->record.pruned[0]) {
        return false;
    }
    if (reader->judged_from == window->first_row) {
        return reader->is_passing;
    }
    for (uint32_t i = 0; i < window->chunk.n_rows; i++) {
        int64_t first = window->first[i];
        int64_t last = window->last[i];
        if (first < cut->from_step || last > cut->last_step) {
            continue;
        }
        n_inside++;
        if (first < low || last > high) {
            (void)column_bounds(cut, first, &low, &high);
            n_unfit += last > high ? 1 : 0;
        }
    }
    reader->judged_from = window->first_row;
    reader->is_passing = n_inside > 0 && n_unfit * PASS_SHARE >= n_inside;
    return reader->is_passing;
}

/* Put the summary that the reader went down from, as a whole, where its middle is. */
static int take_coarse(struct column_reader *reader, const struct above *above)
{
    const struct window *window = &reader->windows[above->level];
    uint64_t first = (uint64_t)window->first[above->at];
    uint64_t width = (uint64_t)window->last[above->at] - first;
    int64_t middle = (int64_t)(first + width / 2);
    uint32_t column = columns_find(reader->cut, middle);
    reader->n_spans = 0;
    if (column < reader->cut->n_columns) {
        int64_t low = 0;
        int64_t high = 0;
        (void)column_bounds(reader->cut, middle, &low, &high);
        need_spans(reader, 1);
        add_to_span(reader, window, above->at, column);
        struct column_span *span = reader->spans;
        span->first_step = span->first_step < low ? low : span->first_step;
        span->last_step = span->last_step > high ? high : span->last_step;
    }
    return add_summaries(reader, above->level, true);
}

/* Which of a window's summaries begins at a row, or the first behind it. */
static uint32_t find_summary(const struct window *window, uint64_t row)
{
    uint32_t low = 0;
    uint32_t high = window->chunk.n_rows;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (window->row_at[middle] < row) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Leave rows from *row up to a limit to the level below. */
static void go_down(
    struct column_reader *reader, uint8_t level, uint64_t limit, const struct above *above)
{
    uint64_t own = reader->limit[level];
    reader->limit[level - 1] = limit < own ? limit : own;
    reader->above[level - 1] = *above;
}

/*
 * A level's chunk is at hand for the first time: have all that must be looked at below it brought
 * in at once.
 */
static void look_ahead(struct column_reader *reader, uint8_t level)
{
    const struct window *window = &reader->windows[level];
    const struct column_cut *cut = reader->cut;
    struct read_ahead ahead = {0};
    int64_t low = 1;
    int64_t high = 0;
    bool is_passing = level == 1 && is_of_little_use(reader, window);
    for (uint32_t i = 0; i < window->chunk.n_rows; i++) {
        int64_t first = window->first[i];
        int64_t last = window->last[i];
        if (first > cut->last_step || last < cut->from_step) {
            continue;
        }
        bool is_inside = first >= cut->from_step && last <= cut->last_step;
        if (is_inside && !is_passing && (first < low || last > high)) {
            (void)column_bounds(cut, first, &low, &high);
        }
        if (!is_inside || is_passing || last > high) {
            read_ahead_add(&ahead, window->row_at[i], window->row_at[i + 1]);
        }
    }
    struct strand_id below = reader->id;
    below.level = level - 1;
    if (level == 1 && window->first_row >= reader->record.parted_rows) {
        below.part = 0;
    }
    read_ahead_start(reader->store, &below, &ahead, true);
}

/*
 * Take summaries of a level from a row on, as far as it goes.
 *
 * returns  1: *row is at the level's limit or at its next chunk; 0: the level below is to go on;
 *          negative code
 */
static int take_summaries(
    struct column_reader *reader, uint8_t level, uint64_t *row, struct baro_err *err)
{
    struct window *window = &reader->windows[level];
    uint64_t limit = reader->limit[level];
    uint64_t covered = reader->record.covered[level - 1];
    if (*row >= covered) {
        go_down(reader, level, limit, &reader->above[level]);
        return 0;
    }
    reader->id.level = level;
    bool is_new = *row < window->first_row || *row >= window->end_row;
    int rc = window_load(
        window, reader->store, reader->codec, &reader->id, &reader->wanted, *row, err);
    if (rc <= 0) { /* pruned or damaged, up to where it goes on */
        uint64_t next = window->next_row > *row ? window->next_row : *row + 1;
        go_down(reader, level, next < covered ? next : covered, &reader->above[level]);
        return rc;
    }
    if (is_new) {
        look_ahead(reader, level);
    }
    uint32_t i = find_summary(window, *row);
    if (window->row_at[i] != *row) {
        go_down(reader, level, window->row_at[i], &reader->above[level]);
        return 0;
    }
    if (level == 1 && is_of_little_use(reader, window)) {
        go_down(reader, level, window->end_row, &reader->above[level]);
        return 0;
    }
    uint32_t end = span_summaries(reader, window, i, limit);
    if (add_summaries(reader, level, false) != 0) { /* as if the chunk were not there */
        reader->n_spans = 0;
        go_down(reader, level, window->end_row, &reader->above[level]);
        window->end_row = 0;
        return 0;
    }
    *row = window->row_at[end];
    if (*row >= limit || end == window->chunk.n_rows) {
        return 1;
    }
    struct above above = {level, end, *row, window->row_at[end + 1]};
    if (above.end_row > limit) { /* cannot be, but for damage */
        above = reader->above[level];
    }
    go_down(reader, level, window->row_at[end + 1], &above);
    return 0;
}

/* ---- rows ---- */

/* Find the rows from one on in a part, or in part 0. */
static int load_rows(struct column_reader *reader, uint64_t row, struct baro_err *err)
{
    struct window *window = &reader->windows[0];
    struct strand_id part = reader->id;
    struct strand_id all = reader->id;
    part.level = all.level = 0;
    all.part = 0;
    if (row >= window->first_row && row < window->end_row) {
        return 1;
    }
    bool is_part = part.part > 0 && row < reader->record.parted_rows;
    uint64_t next = UINT64_MAX;
    int rc = 0;
    for (int tries = 0; rc == 0 && tries < (part.part > 0 ? 2 : 1); tries++) {
        bool look_in_part = part.part > 0 && is_part == (tries == 0);
        rc = window_load(window, reader->store, reader->codec, look_in_part ? &part : &all,
            look_in_part ? &reader->wanted : &reader->in_all, row, err);
        reader->is_rows_in_part = look_in_part;
        next = window->next_row < next ? window->next_row : next;
    }
    window->next_row = next;
    return rc;
}

/* Find the spans of n steps from the one at from on. */
static size_t find_spans(struct column_reader *reader, const int64_t *steps, bool is_line,
    size_t n_steps, size_t from, size_t n)
{
    if (!is_line) {
        return columns_spans(reader->cut, steps + from, n, reader->spans);
    }
    int64_t stride = 0;
    int64_t way = 0;
    int64_t last = 0;
    bool is_rising = !__builtin_sub_overflow(steps[1], steps[0], &stride) && stride > 0 &&
                     !__builtin_mul_overflow(stride, (int64_t)n_steps - 1, &way) &&
                     !__builtin_add_overflow(steps[0], way, &last);
    if (is_rising) {
        return columns_spans_line(reader->cut, steps[0] + stride * (int64_t)from,
            (uint64_t)stride, n, reader->spans);
    }
    baro_autofree int64_t *all = baro_xcalloc(n, sizeof *all);
    uint64_t slope = (uint64_t)steps[1] - (uint64_t)steps[0];
    for (size_t i = 0; i < n; i++) {
        all[i] = (int64_t)((uint64_t)steps[0] + (from + i) * slope);
    }
    return columns_spans(reader->cut, all, n, reader->spans);
}

/* Add rows [row, end) of the window. */
static int add_rows(
    struct column_reader *reader, uint64_t row, uint64_t end, struct baro_err *err)
{
    struct window *window = &reader->windows[0];
    const struct window_wanted *wanted =
        reader->is_rows_in_part ? &reader->wanted : &reader->in_all;
    size_t skip = row - window->first_row;
    size_t n = window->chunk.n_rows;
    need_spans(reader, end - row);
    reader->n_spans = find_spans(
        reader, window->first, window->is_line, window->chunk.n_rows, skip, end - row);
    if (reader->n_spans == 0) {
        return 0;
    }
    int rc = window_values(window, reader->codec, false, wanted, err);
    for (size_t i = 0; rc == 0 && reader->is_counting && i < reader->n_spans; i++) {
        reader->n_rows += reader->spans[i].n;
    }
    for (uint32_t k = 0; rc == 0 && k < wanted->n; k++) {
        struct column *columns = reader->columns + (size_t)k * reader->cut->n_columns;
        size_t at = k * n + skip;
        if (wanted->is_f32) {
            columns_add_f32(columns, reader->spans, reader->n_spans, window->f32 + at);
        } else {
            columns_add_f64(columns, reader->spans, reader->n_spans, window->f64 + at);
        }
    }
    return rc;
}

/* Rows are not where they were: tell whether they are pruned by now. */
static bool is_pruned(struct column_reader *reader, uint64_t row)
{
    struct group_record now = {0};
    const struct strand_id *id = &reader->id;
    if (row >= reader->record.pruned[0] &&
        store_group_get(reader->store, id->run, id->thing, id->kind, &now, NULL) == 1) {
        reader->record.pruned[0] = now.pruned[0];
    }
    return row < reader->record.pruned[0];
}

/* What to do when rows from *row on cannot be had. */
static int take_missing(struct column_reader *reader, uint64_t *row)
{
    const struct above *above = &reader->above[0];
    uint64_t limit = reader->limit[0];
    bool is_whole = above->level > 0 && above->first_row == *row;
    if (reader->is_passing && !reader->is_careful) { /* begin again with the summaries */
        reader->is_careful = true;
        reader->limit[0] = *row;
        return 0;
    }
    reader->is_damaged |= !is_pruned(reader, *row) || !is_whole;
    if (is_whole) {
        *row = above->end_row;
        return take_coarse(reader, above);
    }
    uint64_t next = reader->windows[0].next_row;
    next = next > *row ? next : *row + 1;
    *row = next < limit ? next : limit;
    return 0;
}

/* Take rows from *row up to the limit of level 0. */
static int take_rows(struct column_reader *reader, uint64_t *row, struct baro_err *err)
{
    while (*row < reader->limit[0]) {
        int rc = load_rows(reader, *row, err);
        if (rc < 0) {
            return rc;
        }
        uint64_t end = reader->windows[0].end_row;
        end = end < reader->limit[0] ? end : reader->limit[0];
        if (rc == 0) {
            rc = take_missing(reader, row);
        } else if (add_rows(reader, *row, end, err) != 0) {
            reader->windows[0].end_row = 0;
            reader->windows[0].next_row = end;
            rc = take_missing(reader, row);
        } else {
            *row = end;
        }
        reader->is_damaged |= rc == BARO_ECORRUPT;
    }
    return 0;
}

/* ---- all of it ---- */

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
        int rc = level > 0 ? take_summaries(reader, level, &row, err)
                           : take_rows(reader, &row, err);
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
    int rc = add_rows(reader, *row, end, err);
    *row = rc == 0 ? end : *row;
    return rc == BARO_ECORRUPT ? 0 : rc;
}

static int add_block(const struct store_block *block, void *payload)
{
    struct column_reader *reader = payload;
    const struct store_query *query = reader->query;
    need_spans(reader, block->n_rows);
    size_t n_spans =
        find_spans(reader, block->steps, block->is_line, block->n_rows, 0, block->n_rows);
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
    reader->is_damaged |= reader->record.n_levels > 0 && is_pruned(reader, rest.first_row);
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
