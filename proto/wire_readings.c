/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_readings.h"

#include <string.h>

#include "lib/base/mem.h"
#include "proto/wire.h"

enum { POINT_BYTES = 24, POINT_VALUE_AT = 16 };

size_t wire_take_points(
    const void *bytes, size_t n_bytes, int64_t **out_steps, double **out_values)
{
    const size_t n_points = n_bytes / POINT_BYTES;
    int64_t *steps = baro_xcalloc(n_points + 1, sizeof *steps);
    double *values = baro_xcalloc(n_points + 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < n_points; i++) {
        const uint8_t *at = (const uint8_t *)bytes + i * POINT_BYTES;
        int64_t step;
        memcpy(&step, at, sizeof step);
        if (n == 0 || step > steps[n - 1]) {
            steps[n] = step;
            memcpy(&values[n++], at + POINT_VALUE_AT, sizeof *values);
        }
    }
    *out_steps = steps;
    *out_values = values;
    return n;
}

size_t wire_take_columns(const void *bytes, size_t n_bytes, bool is_size,
    int64_t **out_steps, double **out_values)
{
    const size_t n_columns = n_bytes / sizeof(struct wire_column);
    int64_t *steps = baro_xcalloc(n_columns + 1, sizeof *steps);
    double *values = baro_xcalloc(n_columns + 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < n_columns; i++) {
        struct wire_column column;
        memcpy(&column, (const uint8_t *)bytes + i * sizeof column, sizeof column);
        if (column.count > 0 && (n == 0 || column.last_step > steps[n - 1])) {
            steps[n] = column.last_step;
            values[n++] = is_size ? column.max : column.mean;
        }
    }
    *out_steps = steps;
    *out_values = values;
    return n;
}
