/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of rows as pixel columns (read_columns.c), as its two halves share it: one takes
 * summaries (column_summaries.c), the other rows (column_rows.c). Private to daemon/store.
 */
#ifndef BARO_STORE_COLUMN_READER_H
#define BARO_STORE_COLUMN_READER_H

#include "daemon/store/window.h"

/* The summary below which the reader went down; it stands in for what is missing there. */
struct above {
    uint8_t level; /* 0: none */
    uint32_t at;   /* in that level's window */
    uint64_t first_row;
    uint64_t end_row;
};

/* Zero it, then set store, query, cut and id. */
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

/** Have room for n spans; those that were there are lost. */
void reader_need_spans(struct column_reader *reader, size_t n);

/**
 * Take summaries of a level from a row on, as far as it goes.
 *
 * returns  1: *row is at the level's limit or at its next chunk; 0: the level below is to go on;
 *          negative code
 */
int reader_take_summaries(
    struct column_reader *reader, uint8_t level, uint64_t *row, struct baro_err *err);

/**
 * Put the summary that the reader went down from, as a whole, where its middle is.
 *
 * returns  0; BARO_ECORRUPT when its values cannot be had
 */
int reader_take_coarse(struct column_reader *reader, const struct above *above);

/** Take rows from *row up to the limit of level 0. Returns 0 or a negative code. */
int reader_take_rows(struct column_reader *reader, uint64_t *row, struct baro_err *err);

/** Add rows [row, end) of the window of rows. Returns 0 or a negative code. */
int reader_add_rows(
    struct column_reader *reader, uint64_t row, uint64_t end, struct baro_err *err);

/**
 * Find the spans of n rows from the one at from on.
 *
 * steps    of n_steps rows; with is_line only the first two of them, the rest in a straight line
 * returns  how many spans there are now
 */
size_t reader_find_spans(struct column_reader *reader, const int64_t *steps, bool is_line,
    size_t n_steps, size_t from, size_t n);

/** Rows are not where they were: tell whether they are pruned by now. */
bool reader_is_pruned(struct column_reader *reader, uint64_t row);

#endif
