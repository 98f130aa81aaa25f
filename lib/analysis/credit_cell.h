/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a recurrent cell, forwards and as credit goes back through it. */
#ifndef BARO_CREDIT_CELL_H
#define BARO_CREDIT_CELL_H

#include <stdbool.h>
#include <stdint.h>

/* As cuDNN and torch number them. */
enum cell_kind { CELL_RELU = 0, CELL_TANH, CELL_LSTM, CELL_GRU, CELL_KIND_COUNT };

enum { CELL_MOST_GATES = 4 };

/* What goes into a step of n samples by `width` units: gates are rows of n_gates times width. */
struct cell_point {
    const float *input_gates;  /* W x + b */
    const float *hidden_gates; /* U h + b */
    const float *state;        /* c of an LSTM; h of a GRU; else not read */
};

/* What comes of it, or what is known of what comes of it. */
struct cell_result {
    float *hidden;
    float *state; /* c of an LSTM; else not used, may be NULL */
};

/* What is known of what goes in; each is written. */
struct cell_of {
    float *input_gates;
    float *hidden_gates;
    float *state;
};

/** Count the gates of a kind. */
int credit_cell_gates(enum cell_kind kind);

/** Compute one step. */
void credit_cell_run(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_result *out);

/** Compute the tangents of one step's results from those of what goes in. */
void credit_cell_tangents(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_point *tangents,
    const struct cell_result *out);

/**
 * Carry slopes back through one step, between the points before and now: exact secants.
 *
 * known    of the results
 */
void credit_cell_slopes(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point points[2], const struct cell_result *known,
    const struct cell_of *out);

/**
 * Carry shares back through one step.
 *
 * eps      1e-6 of the largest new state, new gate input and the like
 */
void credit_cell_shares(enum cell_kind kind, int64_t n, int64_t width,
    const struct cell_point *point, const struct cell_result *known, double eps,
    const struct cell_of *out);

#endif
