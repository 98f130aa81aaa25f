/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of numbers, for qsort. */
#ifndef BARO_ORDER_H
#define BARO_ORDER_H

/** Compare two doubles; NaN is equal to all, so none must be among them. */
static inline int baro_by_double(const void *left, const void *right)
{
    const double *a = left;
    const double *b = right;
    return (*a > *b) - (*a < *b);
}

/** Compare two floats, likewise. */
static inline int baro_by_float(const void *left, const void *right)
{
    const float *a = left;
    const float *b = right;
    return (*a > *b) - (*a < *b);
}

#endif
