/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_walk.h"

#include <string.h>

/* Strides of an operand along the output's axes: 0 where it is spread. */
static int find_strides(const struct credit_array *out, const struct credit_array *operand,
    int64_t stride[BARO_MAX_DIMS])
{
    const int missing = out->n_dims - operand->n_dims;
    if (missing < 0) {
        return BARO_EUNSUPPORTED;
    }
    int64_t step = 1;
    for (int d = out->n_dims - 1; d >= 0; d--) {
        const int64_t extent = d >= missing ? operand->shape[d - missing] : 1;
        if (extent != 1 && extent != out->shape[d]) {
            return BARO_EUNSUPPORTED;
        }
        stride[d] = extent == 1 ? 0 : step;
        step *= extent;
    }
    return 0;
}

int credit_walk_begin(struct credit_walk *walk, const struct credit_array *out,
    const struct credit_array *const *operands, int n_operands)
{
    *walk = (struct credit_walk){.n_dims = out->n_dims, .n_operands = n_operands};
    memcpy(walk->shape, out->shape, sizeof walk->shape);
    for (int k = 0; k < n_operands; k++) {
        if (operands[k] == NULL || operands[k]->value == NULL) {
            continue;
        }
        const int rc = find_strides(out, operands[k], walk->stride[k]);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
