/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/why_probe.h"
#include "lib/base/half.h"
#include "lib/base/tensor.h"

/* The kept elements of a probe's values, unit by unit and row by row. */

static double number_at(const struct probe_value *value, int64_t i)
{
    const uint8_t *at =
        (const uint8_t *)value->data + (size_t)i * baro_dtype_bytes(value->dtype);
    switch (value->dtype) {
    case BARO_F32: return (double)*(const float *)(const void *)at;
    case BARO_F64: return *(const double *)(const void *)at;
    case BARO_F16: return (double)baro_f16_to_f32(*(const uint16_t *)(const void *)at);
    case BARO_BF16: return (double)baro_bf16_to_f32(*(const uint16_t *)(const void *)at);
    case BARO_I8: return *(const int8_t *)at;
    case BARO_I16: return *(const int16_t *)(const void *)at;
    case BARO_I32: return *(const int32_t *)(const void *)at;
    case BARO_I64: return (double)*(const int64_t *)(const void *)at;
    case BARO_U8:
    case BARO_BOOL: return *at;
    case BARO_DTYPE_END:
    default: return (double)NAN;
    }
}

/* Coordinates of element i of a value as it was kept. */
static int64_t coordinate(const int64_t *shape, int n_dims, int64_t i, int axis)
{
    for (int d = n_dims - 1; d > axis; d--) {
        i /= shape[d];
    }
    return i % shape[axis];
}

static bool is_among(int64_t x, const int64_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == x) {
            return true;
        }
    }
    return n == 0;
}

/* Row of the batch of element i; -1: none is known. */
static int64_t row_of(const struct probe *probe, const struct probe_value *value,
    const int64_t *shape, int64_t i)
{
    if (value->batch_axis < 0 || probe->n_batch <= 0) {
        return -1;
    }
    int64_t per_sample = value->shape[value->batch_axis] / probe->n_batch;
    int64_t place = coordinate(shape, value->n_dims, i, value->batch_axis);
    place /= per_sample > 0 ? per_sample : 1;
    if (value->kept != PROBE_KEPT_ROWS) {
        return place;
    }
    return place < (int64_t)probe->n_rows ? probe->rows[place] : -1;
}

double why_extreme_where_bad(const struct probe *probe, const struct probe_value *value,
    const struct probe_origin *bad, enum why_extreme extreme)
{
    int64_t shape[BARO_MAX_DIMS];
    double found = (double)NAN;
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL) {
        return found;
    }
    int64_t n = probe_kept_shape(probe, value, shape);
    const struct probe_value *result = &probe->values[bad->value];
    bool has_units = value->unit_axis >= 0 && bad->n_units > 0 && result->unit_axis >= 0 &&
                     result->shape[result->unit_axis] == value->shape[value->unit_axis];
    for (int64_t i = 0; i < n; i++) {
        double x = number_at(value, i);
        int64_t row = row_of(probe, value, shape, i);
        bool is_here =
            !isnan(x) && (row < 0 || is_among(row, bad->rows, bad->n_rows)) &&
            (!has_units || is_among(coordinate(shape, value->n_dims, i, value->unit_axis),
                               bad->units, bad->n_units));
        if (is_here && why_is_further(extreme, x, found)) {
            found = x;
        }
    }
    return found;
}

/* How far the bad rows of an input lie from the others, by their sizes. */
static double oddness(const struct probe *probe, const struct probe_value *value)
{
    const struct probe_origin *origin = &probe->origin;
    int64_t shape[BARO_MAX_DIMS];
    double size[WHY_MAX_ROWS] = {0};
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL || value->batch_axis < 0 ||
        origin->n_rows == 0) {
        return (double)NAN;
    }
    bool is_all = value->kept == PROBE_KEPT_ALL;
    int64_t n = probe_kept_shape(probe, value, shape);
    int64_t n_rows = is_all ? probe->n_batch : (int64_t)probe->n_rows;
    n_rows = n_rows < WHY_MAX_ROWS ? n_rows : WHY_MAX_ROWS;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = row_of(probe, value, shape, i);
        for (int64_t r = 0; r < n_rows; r++) {
            if ((is_all ? r : probe->rows[r]) == row) {
                size[r] = fmax(size[r], fabs(number_at(value, i)));
            }
        }
    }
    double mean = 0;
    double square = 0;
    double worst = 0;
    int n_others = 0;
    for (int64_t r = 0; r < n_rows; r++) {
        if (is_among(is_all ? r : probe->rows[r], origin->rows, origin->n_rows)) {
            worst = fmax(worst, size[r]);
        } else {
            n_others++;
            mean += size[r];
            square += size[r] * size[r];
        }
    }
    if (n_others < 3) {
        return (double)NAN;
    }
    mean /= n_others;
    double spread = sqrt(fmax(square / n_others - mean * mean, 0)) + 0.05 * mean + 1e-30;
    return (worst - mean) / spread;
}

/* Whether all numbers of each bad row are the same one, and of no other row. */
static bool is_blank(
    const struct probe *probe, const struct probe_value *value, double *out_number)
{
    const struct probe_origin *origin = &probe->origin;
    int64_t shape[BARO_MAX_DIMS];
    double least[WHY_MAX_ROWS];
    double most[WHY_MAX_ROWS];
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL || value->batch_axis < 0 ||
        origin->n_rows == 0) {
        return false;
    }
    const bool is_all = value->kept == PROBE_KEPT_ALL;
    const int64_t n = probe_kept_shape(probe, value, shape);
    int64_t n_rows = is_all ? probe->n_batch : (int64_t)probe->n_rows;
    n_rows = n_rows < WHY_MAX_ROWS ? n_rows : WHY_MAX_ROWS;
    if (n_rows < 2 || n < 3 * n_rows) {
        return false;
    }
    for (int64_t r = 0; r < n_rows; r++) {
        least[r] = HUGE_VAL;
        most[r] = -HUGE_VAL;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = row_of(probe, value, shape, i);
        const double x = number_at(value, i);
        for (int64_t r = 0; r < n_rows; r++) {
            if ((is_all ? r : probe->rows[r]) == row) {
                least[r] = fmin(least[r], x);
                most[r] = fmax(most[r], x);
            }
        }
    }
    int64_t n_bad = 0;
    for (int64_t r = 0; r < n_rows; r++) {
        const bool is_bad =
            is_among(is_all ? r : probe->rows[r], origin->rows, origin->n_rows);
        if (is_bad != (least[r] >= most[r])) {
            return false;
        }
        n_bad += is_bad;
        *out_number = is_bad ? most[r] : *out_number;
    }
    return n_bad > 0 && n_bad < n_rows;
}

void why_look_at_inputs(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    work->found.odd_input = (double)NAN;
    for (uint32_t i = 0; i < probe->n_values; i++) {
        const struct probe_value *value = &probe->values[i];
        if (value->kind != PROBE_INPUT) {
            continue;
        }
        work->found.is_blank =
            work->found.is_blank || is_blank(probe, value, &work->found.blank);
        double odd = oddness(probe, value);
        if (odd > work->found.odd_input || isnan(work->found.odd_input)) {
            work->found.odd_input = odd;
        }
    }
}
