/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strip: one series as columns of a grid, history from the daemon at its left and live
 * readings appended at its right. It is what every curve is drawn from.
 */
#ifndef CLIENT_MODEL_STRIP_H
#define CLIENT_MODEL_STRIP_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/wire.h"

struct model_series;

enum { STRIP_N_RECENT = 1024 };

/* A live reading that is kept for a while. */
struct strip_point {
    int64_t step;
    double value;
};

/* Zero is an empty strip of no width. */
struct strip {
    int64_t width; /* steps in a column; 0 until loaded */
    uint64_t
        lineage; /* of what was loaded last, among all strips; as in struct model_series */
    size_t n, capacity;
    struct wire_column *columns; /* filled ones only, rising; a part: see strip_publish() */
    /* The newest live readings, to put them behind a history that does not hold them yet. */
    struct strip_point recent[STRIP_N_RECENT];
    size_t n_recent; /* ever; the ring holds the last STRIP_N_RECENT */
};

/** Free what a strip holds and make it empty. */
void strip_finish(struct strip *strip);

/**
 * Replace the history; recent live readings later than its last one are appended again.
 *
 * columns  as the daemon gave them, rising; empty ones are left out
 */
void strip_load(
    struct strip *strip, int64_t width, const struct wire_column *columns, size_t n);

/**
 * Append one live reading.
 *
 * returns  false when the step lies before the last column: the history must be asked again
 */
bool strip_add(struct strip *strip, int64_t step, double value);

/**
 * Make a series of a strip as it is: a part, whose ref, is_coarse and n_coarse are left to be set.
 * It shares the columns but the last, which is the only one that changes: what comes is written
 * behind them, or, when there is no room, to a copy. So it costs the same however long it is.
 */
struct model_series *strip_publish(const struct strip *strip);

/** Step of the last reading; INT64_MIN when there is none. */
int64_t strip_last_step(const struct strip *strip);

/** Make a column of one reading. */
struct wire_column strip_column(int64_t step, double value);

#endif
