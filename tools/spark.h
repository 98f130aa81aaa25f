/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a few characters: a series as blocks, its extremes kept. */
#ifndef BARO_TOOLS_SPARK_H
#define BARO_TOOLS_SPARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPARK_COLUMNS = 512, SPARK_BYTES = 4 * SPARK_COLUMNS + 1 };

/* A series in at most SPARK_COLUMNS columns of 2^k steps each; zeroed: empty. */
struct spark {
    int64_t width; /* steps in a column, a power of two; 0: empty */
    int64_t first; /* number of the first column, from step 0 */
    size_t n;
    struct spark_column {
        double lo, hi; /* of finite values; NaN: there is none */
        bool has_bad;  /* a NaN or an infinity */
        bool has_any;
    } columns[SPARK_COLUMNS];
    bool has_last;
    int64_t last_step;
    double last;
};

/** Add a reading; steps may come in any order. One before the first column is left out. */
void spark_add(struct spark *spark, int64_t step, double value);

/**
 * Draw the newest columns, each character the mean of the extremes of its steps, from the lowest
 * to the highest.
 *
 * width    characters
 * is_utf8  eighths of blocks; else ASCII
 * out      SPARK_BYTES; a NaN or an infinity is '!', a gap ' '
 */
void spark_draw(const struct spark *spark, size_t width, bool is_utf8, char *out);

#endif
