/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One chunk of a strand, copied out of LMDB and decoded as far as somebody looks at it. A reader
 * keeps one window per level of summaries and one for the rows, and moves each of them forward.
 * Private to daemon/store.
 */
#ifndef BARO_STORE_WINDOW_H
#define BARO_STORE_WINDOW_H

#include "daemon/store/strand.h"
#include "daemon/store/summary.h"

/* Which columns of a strand are wanted: all doubles or all floats, counted among those. */
struct window_wanted {
    bool is_f32;
    uint32_t first;
    uint32_t n;
    uint32_t n_f64; /* of all columns of the group that the strand has */
    uint32_t n_f32;
};

/* Zero is empty. */
struct window {
    uint64_t first_row; /* rows of the group that the chunk stands for; none when equal */
    uint64_t end_row;
    uint64_t next_row; /* when nothing was found: where the strand goes on, or UINT64_MAX */
    bool is_damaged;   /* when nothing was found: there is something that cannot be read */
    bool has_values;
    struct chunk chunk;
    uint8_t *bytes;
    size_t bytes_room;
    size_t room;      /* of those below */
    bool is_line;     /* rows: first has only two, the others go on in a straight line */
    int64_t *first;   /* n_rows: smallest steps; of rows: steps */
    int64_t *last;    /* n_rows: largest steps; of summaries only */
    uint64_t *row_at; /* n_rows + 1: where each summary begins */
    double *f64;      /* [wanted->n * (1 or SUMMARY_FIGURES)][n_rows], or ... */
    float *f32;
    size_t f64_room;
    size_t f32_room;
    struct summary_odd *odd; /* [wanted->n][n_rows]; NULL: all readings are finite */
};

/** Release what a window holds. */
void window_finish(struct window *window);

/**
 * Move a window to the chunk that stands for a row, unless it is there already, and decode its
 * steps.
 *
 * id       level 0: rows, else summaries
 * returns  1; 0 when there is no such chunk or it is damaged; BARO_EIO
 */
int window_load(struct window *window, struct store *store, struct chunk_codec *codec,
    const struct strand_id *id, const struct window_wanted *wanted, uint64_t row,
    struct baro_err *err);

/**
 * Decode the values of the columns that are wanted, unless that was done.
 *
 * returns  0; BARO_ECORRUPT
 */
int window_values(struct window *window, struct chunk_codec *codec, bool is_summary,
    const struct window_wanted *wanted, struct baro_err *err);

/** Look at the figures of one of the columns that are wanted; after window_values. */
struct summary_view window_view(
    const struct window *window, const struct window_wanted *wanted, uint32_t column);

#endif
