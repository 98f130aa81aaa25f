/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units in an order: by likeness, oddness or index, by what is seen of them. What counts as alike
 * are the colours that a strip of units has, put into a few columns.
 */
#ifndef CLIENT_MODEL_ORDER_H
#define CLIENT_MODEL_ORDER_H

#include "client/model/model.h"
#include "lib/analysis/seriate.h"

enum order_by { ORDER_BY_LIKENESS, ORDER_BY_ODDNESS, ORDER_BY_INDEX, ORDER_BY_COUNT };

/* Zero is empty. */
struct order {
    enum order_by by;
    uint32_t n; /* rows */
    size_t n_columns;
    float *cells;      /* [n][n_columns] places on the scale; NaN: nothing finite */
    float *places;     /* likewise, of values beyond the scale where they would be */
    uint32_t *rows;    /* [n] from top to bottom */
    struct axis scale; /* of colours: the 1st to the 99th percentile of what is visible */
};

/**
 * Order the rows of units by their columns from..to - 1.
 *
 * like  rows are those that the order was of before: a new one is turned to be near to it
 * cost  10 ms for 4,096 units
 */
void order_make(struct order *order, const struct model_units *units, uint32_t n,
    size_t from, size_t to, enum order_by by, bool like);

/** Free what it holds and make it empty. */
void order_finish(struct order *order);

/** Place of a value on a scale, 0 to 1; NaN: it is not finite. */
float order_place(const struct axis *scale, float value);

#endif
