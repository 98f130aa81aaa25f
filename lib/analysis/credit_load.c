/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/half.h"
#include "lib/base/mem.h"

/*
 * Values as dense arrays of f32. Of a value with a batch axis the rows of the probe are taken,
 * whether it was kept whole or not, so that all operands of an operation fit each other. f32 that
 * lies as it is wanted is borrowed; the rest is copied. A value that was not kept but was only
 * moved (a transposed weight) is made again from what it was made of.
 */

enum { CHAIN = 32 }; /* moves in a row that are followed */

bool credit_has_rows(const struct credit_view *view, const struct probe_value *value)
{
    const struct probe *probe = view->probe;
    return view->n_rows > 0 && value->batch_axis >= 0 &&
           value->batch_axis < value->n_dims && probe->n_batch > 0 &&
           value->shape[value->batch_axis] % probe->n_batch == 0;
}

void credit_array_shape(const struct credit_view *view, const struct probe_value *value,
    struct credit_array *out)
{
    *out = (struct credit_array){.n_dims = value->n_dims, .n = 1, .value = value};
    memcpy(out->shape, value->shape, sizeof out->shape);
    if (credit_has_rows(view, value)) {
        int64_t each = value->shape[value->batch_axis] / view->probe->n_batch;
        out->shape[value->batch_axis] = each * view->n_rows;
    }
    for (int i = 0; i < out->n_dims; i++) {
        out->n *= out->shape[i];
    }
}

static size_t element_bytes(enum baro_dtype dtype)
{
    switch (dtype) {
    case BARO_F64:
    case BARO_I64: return 8;
    case BARO_F32:
    case BARO_I32: return 4;
    case BARO_F16:
    case BARO_BF16:
    case BARO_I16: return 2;
    case BARO_I8:
    case BARO_U8:
    case BARO_BOOL: return 1;
    case BARO_DTYPE_END: break;
    }
    return 0;
}

#define WIDEN(type, expression)                                                            \
    do {                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                  \
            type e;                                                                        \
            memcpy(&e, from + (size_t)i * sizeof e, sizeof e);                             \
            to[i] = (float)(expression);                                                   \
        }                                                                                  \
    } while (0)

static void widen(const unsigned char *from, enum baro_dtype dtype, int64_t n, float *to)
{
    switch (dtype) {
    case BARO_F32: memcpy(to, from, (size_t)n * sizeof *to); break;
    case BARO_F64: WIDEN(double, e); break;
    case BARO_F16: WIDEN(uint16_t, baro_f16_to_f32(e)); break;
    case BARO_BF16: WIDEN(uint16_t, baro_bf16_to_f32(e)); break;
    case BARO_I8: WIDEN(int8_t, e); break;
    case BARO_I16: WIDEN(int16_t, e); break;
    case BARO_I32: WIDEN(int32_t, e); break;
    case BARO_I64: WIDEN(int64_t, e); break;
    case BARO_U8: WIDEN(uint8_t, e); break;
    case BARO_BOOL: WIDEN(uint8_t, e != 0 ? 1 : 0); break;
    case BARO_DTYPE_END: break;
    }
}

/* Copy the rows that count out of what was kept of a value with a batch axis. */
static void widen_rows(
    const struct credit_view *view, const struct probe_value *value, float *to)
{
    const struct probe *probe = view->probe;
    const int axis = value->batch_axis;
    const bool is_whole = value->kept == PROBE_KEPT_ALL;
    const int64_t each = value->shape[axis] / probe->n_batch;
    const int64_t kept = each * (is_whole ? probe->n_batch : (int64_t)probe->n_rows);
    int64_t outer = 1;
    int64_t inner = each;
    for (int i = 0; i < value->n_dims; i++) {
        outer *= i < axis ? value->shape[i] : 1;
        inner *= i > axis ? value->shape[i] : 1;
    }
    const int64_t stretch = kept / each * inner;
    const size_t bytes = element_bytes(value->dtype);
    const unsigned char *from = value->data;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t r = 0; r < view->n_rows; r++) {
            int64_t at = is_whole ? probe->rows[r] : r;
            widen(
                from + (size_t)(o * stretch + at * inner) * bytes, value->dtype, inner, to);
            to += inner;
        }
    }
}

/* Load what was kept of a value itself; false: nothing was. */
static bool load_kept(
    const struct credit_view *view, int32_t at, struct credit_array *out, float **out_owned)
{
    const struct probe_value *value = &view->probe->values[at];
    credit_array_shape(view, value, out);
    *out_owned = NULL;
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL) {
        return false;
    }
    const bool has_rows = credit_has_rows(view, value);
    if (!has_rows && value->kept != PROBE_KEPT_ALL) {
        return false;
    }
    const bool is_cut =
        has_rows && (value->kept == PROBE_KEPT_ALL ? view->n_rows != view->probe->n_batch
                                                   : view->n_rows != view->probe->n_rows);
    if (value->dtype == BARO_F32 && !is_cut) {
        out->x = value->data;
        return true;
    }
    float *x = baro_xcalloc((size_t)out->n, sizeof *x);
    if (is_cut) {
        widen_rows(view, value, x);
    } else {
        widen(value->data, value->dtype, out->n, x);
    }
    out->x = x;
    *out_owned = x;
    return true;
}

/* Make the output of an operation that only moves elements, given its first input. */
static bool move_once(const struct credit_view *view, int32_t at,
    const struct credit_array *first, struct credit_array *out, float **out_owned)
{
    const struct probe_op *op = &view->probe->ops[view->probe->values[at].op];
    const struct credit_rule *rule = credit_rule_find(op->name);
    baro_autofree struct credit_array *in = baro_xcalloc(op->n_inputs, sizeof *in);
    baro_autofree float **owned = baro_xcalloc(op->n_inputs, sizeof *owned);
    baro_autofree const float **moved = baro_xcalloc(op->n_inputs, sizeof *moved);
    baro_autofree struct credit_array *outs = baro_xcalloc(op->n_outputs, sizeof *outs);
    baro_autofree float **to = baro_xcalloc(op->n_outputs, sizeof *to);
    in[0] = *first;
    bool is_whole = true;
    for (uint32_t k = 1; k < op->n_inputs; k++) {
        if (op->inputs[k] != PROBE_NONE) {
            is_whole = load_kept(view, op->inputs[k], &in[k], &owned[k]) && is_whole;
        }
    }
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        moved[k] = in[k].x;
    }
    float *x = NULL;
    for (uint32_t k = 0; k < op->n_outputs; k++) {
        if (op->outputs[k] != PROBE_NONE) {
            credit_array_shape(view, &view->probe->values[op->outputs[k]], &outs[k]);
        }
        if (op->outputs[k] == at) {
            *out = outs[k];
            to[k] = x = baro_xcalloc((size_t)out->n, sizeof *x);
        }
    }
    double own[CREDIT_OWN_COUNT] = {0};
    double gain = 1;
    bool singular = false;
    const struct credit_io io = {.probe = view->probe,
        .op = op,
        .n_in = op->n_inputs,
        .n_out = op->n_outputs,
        .in = in,
        .out = outs,
        .own = own,
        .gain = &gain,
        .singular = &singular,
        .mode = CREDIT_VALUE,
        .tangent_in = moved,
        .tangent_out = to};
    is_whole = is_whole && x != NULL && rule->forward(&io) == 0;
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        free(owned[k]);
    }
    if (!is_whole) {
        free(x);
        return false;
    }
    out->x = x;
    *out_owned = x;
    return true;
}

bool credit_array_load(const struct credit_view *view, int32_t value,
    struct credit_array *out, float **out_owned)
{
    const struct probe *probe = view->probe;
    int32_t chain[CHAIN];
    int n = 0;
    int32_t at = value;
    struct credit_array array;
    float *owned = NULL;
    while (!load_kept(view, at, &array, &owned)) {
        const int32_t made_by = probe->values[at].op;
        const struct probe_op *op = made_by != PROBE_NONE ? &probe->ops[made_by] : NULL;
        const struct credit_rule *rule = op != NULL ? credit_rule_find(op->name) : NULL;
        if (rule == NULL || !rule->is_route || rule->forward == NULL || n == CHAIN ||
            op->n_inputs == 0 || op->inputs[0] == PROBE_NONE) {
            credit_array_shape(view, &probe->values[value], out);
            *out_owned = NULL;
            return false;
        }
        chain[n++] = at;
        at = op->inputs[0];
    }
    while (n > 0) {
        struct credit_array next;
        float *next_owned = NULL;
        bool is_there = move_once(view, chain[--n], &array, &next, &next_owned);
        free(owned);
        if (!is_there) {
            credit_array_shape(view, &probe->values[value], out);
            *out_owned = NULL;
            return false;
        }
        array = next;
        owned = next_owned;
    }
    *out = array;
    *out_owned = owned;
    return true;
}

/* Whether an operation exchanges the last two of its first input's axes and nothing else. */
static bool exchanges_last(const struct probe_op *op, int n_dims)
{
    const char *name = op->name;
    const int prefix = strncmp(name, "aten.", 5) == 0 ? 5 : 0;
    const size_t n = strcspn(name + prefix, ".");
    if (n == 1 && name[prefix] == 't') {
        return n_dims == 2;
    }
    double a = 0;
    double b = 0;
    if (n != 9 || strncmp(name + prefix, "transpose", n) != 0 || n_dims < 2 ||
        !probe_attr(op, "dim0", 0, &a) || !probe_attr(op, "dim1", 0, &b)) {
        return false;
    }
    int first = (int)a < 0 ? (int)a + n_dims : (int)a;
    int second = (int)b < 0 ? (int)b + n_dims : (int)b;
    return first + second == 2 * n_dims - 3 &&
           (first == n_dims - 1 || second == n_dims - 1);
}

const float *credit_array_transposed(const struct credit_view *view, int32_t value)
{
    const struct probe *probe = view->probe;
    const struct probe_value *to = &probe->values[value];
    if (to->op == PROBE_NONE || probe->ops[to->op].n_inputs == 0 ||
        probe->ops[to->op].inputs[0] == PROBE_NONE ||
        !exchanges_last(&probe->ops[to->op], to->n_dims)) {
        return NULL;
    }
    const int32_t from = probe->ops[to->op].inputs[0];
    if (probe->values[from].dtype != BARO_F32 ||
        credit_has_rows(view, &probe->values[from])) {
        return NULL;
    }
    struct credit_array array;
    float *owned = NULL;
    bool is_there = load_kept(view, from, &array, &owned);
    free(owned);
    return is_there ? array.x : NULL;
}
