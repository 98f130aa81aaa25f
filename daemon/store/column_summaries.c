/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/column_reader.h"
#include "daemon/store/read_ahead.h"

/*
 * Summaries taken whole where they lie in one column; where they do not, the level below goes on.
 * Where many of the finest summaries of a chunk do not fit, their rows have to be decoded anyhow,
 * and it costs less to take all of them and none of these summaries.
 */

enum { PASS_SHARE = 4 }; /* one in so many summaries that do not fit is too many */

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
    reader_need_spans(reader, window->chunk.n_rows);
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

int reader_take_coarse(struct column_reader *reader, const struct above *above)
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
        reader_need_spans(reader, 1);
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

int reader_take_summaries(
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
