/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/grid.h"

static const int64_t MAX_STEP = INT64_C(1) << 52;

static int64_t hold(int64_t step)
{
    return step < -MAX_STEP ? -MAX_STEP : step > MAX_STEP ? MAX_STEP : step;
}

int64_t grid_column(int64_t width, int64_t step)
{
    int64_t column = step / width;
    return column * width > step ? column - 1 : column;
}

struct grid grid_cover(int64_t from, int64_t to, uint32_t max_columns)
{
    int64_t lo = hold(from < to ? from : to);
    int64_t hi = hold(from < to ? to : from);
    int64_t width = 1;
    while (grid_column(width, hi) - grid_column(width, lo) + 1 > (int64_t)max_columns) {
        width *= 2;
    }
    int64_t first = grid_column(width, lo);
    return (struct grid){
        .from = first * width,
        .width = width,
        .n_columns = (uint32_t)(grid_column(width, hi) - first + 1),
    };
}

int64_t grid_to(struct grid grid)
{
    return grid.from + grid.width * (int64_t)grid.n_columns - 1;
}

bool grid_equal(struct grid a, struct grid b)
{
    return a.from == b.from && a.width == b.width && a.n_columns == b.n_columns;
}
