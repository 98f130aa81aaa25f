/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/column_reader.h"
#include "lib/base/mem.h"

/*
 * Rows that no summary stands for. Where they are pruned or damaged, the finest summary that is
 * left goes as a whole into the column of its middle step and is counted as coarse.
 */

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

size_t reader_find_spans(struct column_reader *reader, const int64_t *steps, bool is_line,
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

int reader_add_rows(
    struct column_reader *reader, uint64_t row, uint64_t end, struct baro_err *err)
{
    struct window *window = &reader->windows[0];
    const struct window_wanted *wanted =
        reader->is_rows_in_part ? &reader->wanted : &reader->in_all;
    size_t skip = row - window->first_row;
    size_t n = window->chunk.n_rows;
    reader_need_spans(reader, end - row);
    reader->n_spans = reader_find_spans(
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

bool reader_is_pruned(struct column_reader *reader, uint64_t row)
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
    reader->is_damaged |= !reader_is_pruned(reader, *row) || !is_whole;
    if (is_whole) {
        *row = above->end_row;
        return reader_take_coarse(reader, above);
    }
    uint64_t next = reader->windows[0].next_row;
    next = next > *row ? next : *row + 1;
    *row = next < limit ? next : limit;
    return 0;
}

int reader_take_rows(struct column_reader *reader, uint64_t *row, struct baro_err *err)
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
        } else if (reader_add_rows(reader, *row, end, err) != 0) {
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
