/* SPDX-License-Identifier: Apache-2.0 */
/* Readings of all units of a tensor, kept as long as a sample of them goes on. */
#ifndef BAROD_SAMPLE_ROWS_H
#define BAROD_SAMPLE_ROWS_H

#include "daemon/sample_read.h"

/* One row for each step that was measured, in order of arrival. Zeroed: none yet. */
struct sample_rows {
    uint32_t n_units;
    size_t n, room;
    int64_t *steps;
    float *values; /* n x n_units */
    bool is_off; /* they are too many, or not whole: read columns from the store instead */
    size_t part; /* of the source: where reading goes on, ... */
    uint64_t next_row; /* ... with this row of it */
};

/** Tell how many bytes they take at most. */
size_t sample_rows_bytes(uint32_t n_units);

/** Release them; they are as zeroed. */
void sample_rows_finish(struct sample_rows *rows);

/**
 * Read on, for some milliseconds: what is there and, later, what has come since.
 *
 * returns  1 when there is more to do; 0 when all is read, or is_off; a code
 */
int sample_rows_step(struct sample_rows *rows, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step, struct baro_err *err);

/* A few rows of a few units, from everywhere: what can be known of many at once. */
struct sample_glance {
    struct sample_rows rows; /* of the units below, in their order */
    uint32_t *units;         /* rising */
    uint32_t n_units;
    uint64_t first_row, n_rows; /* of the last part of the source: those in range, about */
    uint32_t at;                /* rows read */
};

/** Begin to glance at a source; false: it is not one whose rows are read. */
bool sample_glance_begin(struct sample_glance *glance, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step);

/** Read one more row: 1 when there is more to do, 0 at the end, a code. */
int sample_glance_step(struct sample_glance *glance, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step, struct baro_err *err);

/** Release it; accepts a zeroed one. */
void sample_glance_finish(struct sample_glance *glance);

/**
 * Reduce rows to columns.
 *
 * from     of the rows: those before it are left out
 * units    n_units of them, or NULL: those from first_unit on
 * out      n_units x cut->n_columns, zeroed by the caller; finished
 * returns  how many rows lie in the cut
 */
size_t sample_rows_columns(const struct sample_rows *rows, size_t from,
    const struct column_cut *cut, const uint32_t *units, uint32_t first_unit,
    size_t n_units, struct column *out);

#endif
