/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading all rows of one group of readings, however many: page by page, in order of arrival,
 * each exactly once. While a page is looked at the next one is on its way.
 */
#ifndef BARO_TOOLS_ROWS_H
#define BARO_TOOLS_ROWS_H

#include "lib/base/reading.h"
#include "lib/link/link.h"
#include "tools/cli.h"

/* Which rows. */
struct rows_wanted {
    uint32_t run;
    uint32_t thing;
    enum reading_kind kind;
    int64_t from;
    int64_t to;
    uint32_t n_units;      /* of the tensor, for READING_UNITS */
    uint32_t n_unit_stats; /* likewise: reading_unit_stats() of its role */
    uint32_t first_column; /* with n_columns > 0: only these numbers of each row */
    uint32_t n_columns;
};

/* One row; borrowed for the call. */
struct row {
    int64_t step;
    int64_t time_ns;
    const double *f64; /* the columns wanted, NULL for READING_UNITS */
    const float *f32;  /* likewise, NULL for all others */
    const uint8_t *extra;
    size_t extra_bytes;
};

/* What the daemon told beside the rows. */
struct rows_told {
    uint64_t n_rows;
    uint64_t n_pruned; /* of which only summaries are left */
    char damage[256];  /* what cannot be read any more, or empty */
};

/* Return CLI_OK to go on, anything else to stop. */
typedef int (*row_fn)(const struct row *row, void *payload);

/**
 * Call fn for each row.
 *
 * on_page  called between pages, or NULL: CLI_OK to go on
 * told     added to; the caller zeroes it
 * returns  CLI_OK; what fn or on_page gave; CLI_FAILED after saying what is wrong
 */
int rows_each(struct cli *cli, const struct rows_wanted *wanted, row_fn fn,
    int (*on_page)(void *payload), void *payload, struct rows_told *told);

/** Tell whether there is any such row. Returns CLI_OK; CLI_FAILED after saying what is wrong. */
int rows_any(struct cli *cli, const struct rows_wanted *wanted, bool *out_any);

#endif
