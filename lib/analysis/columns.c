/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/columns.h"

#include <math.h>

/*
 * The column of a step. With o = step - from_step, the column wanted is the largest c with
 * floor(c * span / n) <= o. That is c * span < (o + 1) * n, hence c = ((o + 1) * n - 1) / span
 * in integer division: no rounding, no step in two columns, none in between.
 * Worked number: 10 steps in 4 columns begin at 0, 2, 5, 7; step 4 gives (5 * 4 - 1) / 10 = 1.
 *
 * The mean is updated as mean + (value - mean) / n with the products taken apart, so that
 * readings near the largest double do not overflow on the way.
 */

__extension__ typedef unsigned __int128 u128;

struct column_cut columns_cut(int64_t from_step, int64_t to_step, uint32_t n_columns)
{
    return (struct column_cut){
        .from_step = from_step,
        .to_step = to_step,
        .span = (uint64_t)to_step - (uint64_t)from_step + 1,
        .n_columns = n_columns,
    };
}

uint32_t columns_find(const struct column_cut *cut, int64_t step)
{
    if (step < cut->from_step) {
        return cut->n_columns;
    }
    uint64_t offset = (uint64_t)step - (uint64_t)cut->from_step;
    if (cut->span != 0 && offset >= cut->span) {
        return cut->n_columns;
    }
    if (cut->span != 0 && cut->span < UINT64_C(1) << 31) {
        return (uint32_t)(((offset + 1) * cut->n_columns - 1) / cut->span);
    }
    u128 span = cut->span != 0 ? cut->span : (u128)1 << 64;
    return (uint32_t)((((u128)offset + 1) * cut->n_columns - 1) / span);
}

void column_add(struct column *column, int64_t step, double value)
{
    if (column->count == 0 || step < column->first_step) {
        column->first_step = step;
        column->first = value;
    }
    if (column->count == 0 || step >= column->last_step) {
        column->last_step = step;
        column->last = value;
    }
    column->count++;
    if (isnan(value)) {
        column->n_nan++;
        return;
    }
    if (isinf(value)) {
        *(value > 0 ? &column->n_pos_inf : &column->n_neg_inf) += 1;
        return;
    }
    uint32_t n = column->count - column->n_nan - column->n_pos_inf - column->n_neg_inf;
    if (n == 1) {
        column->min = column->max = column->mean = value;
        return;
    }
    column->min = value < column->min ? value : column->min;
    column->max = value > column->max ? value : column->max;
    double share = 1.0 / (double)n;
    column->mean += value * share - column->mean * share;
}

void column_finish(struct column *column)
{
    if (column->count == column->n_nan + column->n_pos_inf + column->n_neg_inf) {
        column->min = column->max = column->mean = (double)NAN;
    }
}
