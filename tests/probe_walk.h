/* SPDX-License-Identifier: Apache-2.0 */
/* Touch everything that a parsed probe refers to: what is wrong shows under a sanitizer. */
#ifndef BARO_PROBE_WALK_H
#define BARO_PROBE_WALK_H

#include <stdlib.h>
#include <string.h>

#include "lib/base/probe.h"
#include "lib/base/tensor.h"

/** Add up all there is; aborts where what probe.h promises does not hold. */
static inline uint64_t probe_walk(const struct probe *probe)
{
    uint64_t sum = (uint64_t)probe->step;
    for (uint32_t i = 0; i < probe->n_rows; i++) {
        sum += (uint64_t)probe->rows[i];
    }
    for (uint32_t v = 0; v < probe->n_values; v++) {
        const struct probe_value *value = &probe->values[v];
        const uint8_t *bytes = value->data;
        int64_t shape[BARO_MAX_DIMS];
        int64_t n = probe_kept_shape(probe, value, shape);
        if (value->bytes != (size_t)n * baro_dtype_bytes(value->dtype) ||
            ((uintptr_t)bytes & 7U) != 0) {
            abort();
        }
        sum += strlen(value->name);
        for (size_t i = 0; i < value->bytes; i++) {
            sum += bytes[i];
        }
    }
    for (uint32_t o = 0; o < probe->n_ops; o++) {
        const struct probe_op *op = &probe->ops[o];
        double number = 0;
        sum += strlen(op->name) + strlen(op->module) + strlen(op->source);
        sum += (uint64_t)probe_attr_count(op, "dim") + probe_attr(op, "dim", 1, &number);
        for (uint32_t i = 0; i < op->n_inputs; i++) {
            if (op->inputs[i] != PROBE_NONE &&
                probe->values[op->inputs[i]].op >= (int64_t)o) {
                abort();
            }
        }
        for (uint32_t i = 0; i < op->n_outputs; i++) {
            if (op->outputs[i] != PROBE_NONE &&
                probe->values[op->outputs[i]].op != (int64_t)o) {
                abort();
            }
        }
    }
    if (probe->has_origin) {
        sum += strlen(probe->origin.cause);
        for (uint32_t i = 0; i < probe->origin.n_units; i++) {
            sum += (uint64_t)probe->origin.units[i];
        }
        for (uint32_t i = 0; i < probe->origin.n_rows; i++) {
            sum += (uint64_t)probe->origin.rows[i];
        }
    }
    return sum;
}

#endif
