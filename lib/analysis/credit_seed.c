/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

/* Below this part of the sum of absolute values a sum is not what is explained: it cancels out. */
static const double CANCELS = 1e-3;

const char *credit_value_text(
    const struct probe *probe, int32_t at, char *out, size_t out_bytes)
{
    const struct probe_value *value = &probe->values[at];
    if (value->name[0] != '\0') {
        (void)snprintf(out, out_bytes, "'%.100s'", value->name);
    } else if (value->op != PROBE_NONE) {
        (void)snprintf(out, out_bytes, "value #%" PRId32 " (of %.60s in '%.60s')", at,
            probe->ops[value->op].name, probe->ops[value->op].module);
    } else {
        (void)snprintf(out, out_bytes, "value #%" PRId32, at);
    }
    return out;
}

int64_t credit_mask(
    const struct credit *credit, const struct credit_array *array, bool *out_mask)
{
    const struct probe_value *value = array->value;
    int64_t unit_inner = 1;
    int64_t row_inner = 1;
    for (int i = 0; i < array->n_dims; i++) {
        unit_inner *= i > value->unit_axis ? array->shape[i] : 1;
        row_inner *= i > value->batch_axis ? array->shape[i] : 1;
    }
    const bool has_rows =
        credit->target_row >= 0 && credit_has_rows(&credit->now, value) && array->n > 0;
    const int64_t row_extent = has_rows ? array->shape[value->batch_axis] : 1;
    const int64_t each = has_rows ? row_extent / credit->now.n_rows : 1;
    int64_t n = 0;
    for (int64_t i = 0; i < array->n; i++) {
        bool is_it = true;
        if (credit->target.unit >= 0) {
            is_it = i / unit_inner % array->shape[value->unit_axis] == credit->target.unit;
        }
        if (has_rows) {
            is_it = is_it && i / row_inner % row_extent / each == credit->target_row;
        }
        out_mask[i] = is_it;
        n += is_it;
    }
    return n;
}

static void seed_value(
    struct credit *credit, const struct credit_array *array, const bool *mask, float *seed)
{
    double sum = 0;
    double size = 0;
    for (int64_t i = 0; i < array->n; i++) {
        if (mask[i] && isfinite(array->x[i])) {
            sum += (double)array->x[i];
            size += fabs((double)array->x[i]);
        } else if (mask[i]) {
            credit->n_bad++;
        }
    }
    const bool is_plain = size > 0 && fabs(sum) >= CANCELS * size;
    for (int64_t i = 0; i < array->n; i++) {
        if (!mask[i]) {
            continue;
        }
        if (credit->n_bad > 0) {
            seed[i] = isfinite(array->x[i]) ? 0 : (float)(1 / (double)credit->n_bad);
        } else if (size > 0) {
            seed[i] = (float)(is_plain ? (double)array->x[i] / sum
                                       : fabs((double)array->x[i]) / size);
        } else {
            seed[i] = (float)(1 / (double)credit->n_elements);
        }
    }
    credit->total = credit->n_bad > 0 ? (double)credit->n_bad : sum;
}

static void seed_change(struct credit *credit, const struct credit_array *now,
    const struct credit_array *before, const bool *mask, float *seed)
{
    double sum = 0;
    double size = 0;
    for (int64_t i = 0; i < now->n; i++) {
        const double change = (double)now->x[i] - (double)before->x[i];
        if (mask[i] && isfinite(change)) {
            sum += change;
            size += fabs(change);
        } else if (mask[i]) {
            credit->n_bad++;
        }
    }
    const bool is_plain = size > 0 && fabs(sum) >= CANCELS * size;
    credit->total = is_plain ? sum : size;
    credit->scale = credit->total != 0 ? 1 / credit->total : 0;
    for (int64_t i = 0; i < now->n; i++) {
        const float change = now->x[i] - before->x[i];
        if (mask[i] && isfinite(change)) {
            seed[i] = is_plain || change > 0 ? 1.0f : change < 0 ? -1.0f : 0.0f;
        }
    }
}

/* Put the seed where work begins, and note the target's own units and samples. */
static void plant(struct credit *credit, const struct credit_array *array, float *seed,
    const float *parts)
{
    const int32_t at = credit->target.value;
    const int32_t op = array->value->op;
    struct credit_flow flow = credit_sum(parts, array->n, credit->scale);
    credit_note_parts(credit, at, array, parts);
    credit_note_edge(credit, credit->n_edges, PROBE_NONE, op, at, flow);
    credit->flow_of[at] = flow;
    if (op == PROBE_NONE) {
        credit->leaf_share = flow.share;
        free(seed);
        return;
    }
    credit->pending = flow.size;
    credit->of[at] = seed;
}

static int plant_change(struct credit *credit, const struct credit_array *now,
    const bool *mask, float *seed, struct baro_err *err)
{
    struct credit_array before;
    float *owned = NULL;
    char name[200];
    const int32_t at = credit->target.value;
    if (!credit_array_load(&credit->before, credit->before_of[at], &before, &owned)) {
        free(seed);
        return baro_err_set(err, BARO_ENOENT, "%s was not kept at step %" PRId64,
            credit_value_text(credit->now.probe, at, name, sizeof name),
            credit->before.probe->step);
    }
    seed_change(credit, now, &before, mask, seed);
    if (credit->n_bad == credit->n_elements) {
        free(seed);
        free(owned);
        return baro_err_set(err, BARO_ENOENT,
            "%s is not finite, so its change is not a number: explain what it was made from",
            credit_value_text(credit->now.probe, at, name, sizeof name));
    }
    float *parts = baro_xcalloc((size_t)now->n, sizeof *parts);
    for (int64_t i = 0; i < now->n; i++) {
        parts[i] = seed[i] != 0 ? seed[i] * (now->x[i] - before.x[i]) : 0;
    }
    plant(credit, now, seed, parts);
    free(parts);
    free(owned);
    return 0;
}

int credit_seed(struct credit *credit, struct baro_err *err)
{
    const int32_t at = credit->target.value;
    struct credit_array array;
    float *owned = NULL;
    char name[200];
    if (!credit_array_load(&credit->now, at, &array, &owned)) {
        return baro_err_set(err, BARO_ENOENT, "%s was not kept at step %" PRId64,
            credit_value_text(credit->now.probe, at, name, sizeof name),
            credit->now.probe->step);
    }
    baro_autofree bool *mask = baro_xcalloc((size_t)array.n, sizeof *mask);
    credit->n_elements = credit_mask(credit, &array, mask);
    int rc = 0;
    if (credit->n_elements == 0) {
        rc = baro_err_set(err, BARO_ENOENT, "%s has no elements",
            credit_value_text(credit->now.probe, at, name, sizeof name));
    } else {
        float *seed = baro_xcalloc((size_t)array.n, sizeof *seed);
        credit->target_has_rows = credit_has_rows(&credit->now, array.value);
        if (credit->mode == CREDIT_CHANGE) {
            rc = plant_change(credit, &array, mask, seed, err);
        } else {
            seed_value(credit, &array, mask, seed);
            plant(credit, &array, seed, seed);
        }
    }
    free(owned);
    return rc;
}
