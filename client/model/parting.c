/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/parting.h"

#include <stddef.h>

_Static_assert(sizeof(struct column) == sizeof(struct wire_column) &&
                   offsetof(struct column, mean) == offsetof(struct wire_column, mean) &&
                   offsetof(struct column, count) == offsetof(struct wire_column, count),
    "columns of the wire are those of the analysis");

void model_series_part(
    const struct model_series *a, const struct model_series *b, struct compare_parting *out)
{
    compare_part((const struct column *)(const void *)a->columns, a->n,
        (const struct column *)(const void *)b->columns, b->n, out);
}

double model_compared_weight(const struct model_compared *pair)
{
    return compare_weight(
        pair->values[0][COMPARED_L2], pair->values[1][COMPARED_L2], pair->is_tensor);
}
