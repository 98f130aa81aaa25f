/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of many units, made of the columns of their readings: what sampling and density work
 * on. Pure; used by the daemon's samples and by baro sample.
 */
#ifndef BARO_SAMPLE_LINES_H
#define BARO_SAMPLE_LINES_H

#include "lib/analysis/columns.h"
#include "lib/analysis/polyline.h"

/* Lines as they come together. Owns its memory; release with sample_lines_finish. */
struct sample_lines {
    struct polylines view; /* valid after sample_lines_pack */
    size_t n_lines, n_columns;
    float *values, *low, *high; /* n_lines x n_columns */
    uint8_t *marks;
    bool *is_used;        /* n_columns: some line has a reading there */
    uint32_t *n_readings; /* n_columns: the most that a line has there; packed like view */
    double *x;
    double least, most; /* of all finite readings; valid if has_any */
    bool has_any;
};

/** Tell how many bytes lines take. */
size_t sample_lines_bytes(size_t n_lines, size_t n_columns);

/** Make room for lines, all without readings; ends the process without memory. */
void sample_lines_init(struct sample_lines *lines, size_t n_lines, size_t n_columns);

/** Release them; accepts a zeroed struct. */
void sample_lines_finish(struct sample_lines *lines);

/**
 * Take the columns of some lines, of each once.
 *
 * columns   n_lines blocks of lines->n_columns, after column_finish
 */
void sample_lines_take(struct sample_lines *lines, size_t first_line, size_t n_lines,
    const struct column *columns);

/**
 * Leave out the columns that no line has a reading in, and make view: a tensor that is measured
 * at every tenth step has no gaps.
 *
 * require  no more is taken afterwards
 */
void sample_lines_pack(struct sample_lines *lines);

/**
 * Fit an axis to readings.
 *
 * least, most  of all that are finite
 * returns      false when that kind of axis shows none of them: log, and nothing is above 0
 */
bool sample_fit_axis(double least, double most, enum axis_kind kind, struct axis *out);

#endif
