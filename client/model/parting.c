/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/parting.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/mem.h"

_Static_assert(sizeof(struct column) == sizeof(struct wire_column) &&
                   offsetof(struct column, mean) == offsetof(struct wire_column, mean) &&
                   offsetof(struct column, count) == offsetof(struct wire_column, count),
    "columns of the wire are those of the analysis");

/* All of a series in one piece. */
static void copy_columns(const struct model_series *series, struct column *out)
{
    for (size_t i = 0; i < series->n; i++) {
        memcpy(&out[i], model_column(series, i), sizeof out[i]);
    }
}

void model_series_part(
    const struct model_series *a, const struct model_series *b, struct compare_parting *out)
{
    baro_autofree struct column *columns = baro_xcalloc(a->n + b->n + 1, sizeof *columns);
    copy_columns(a, columns);
    copy_columns(b, columns + a->n);
    compare_part(columns, a->n, columns + a->n, b->n, out);
}

double model_compared_weight(const struct model_compared *pair)
{
    return compare_weight(
        pair->values[0][COMPARED_L2], pair->values[1][COMPARED_L2], pair->is_tensor);
}
