/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_loops.h"

#include "lib/analysis/credit_parts.h"

void credit_loops_move(const struct credit_mover *mover, uint32_t in, uint32_t out,
    const struct credit_loops *loops)
{
    const struct credit_io *io = mover->io;
    const float *from = mover->is_forward ? io->tangent_in[in] : io->of_out[out];
    float *to = mover->is_forward ? io->tangent_out[out] : io->of_in[in];
    if (from == NULL || to == NULL) {
        return;
    }
    const int last = loops->n - 1;
    int64_t n_runs = 1;
    for (int d = 0; d < last; d++) {
        n_runs *= loops->extent[d];
    }
    const int64_t length = loops->n > 0 ? loops->extent[last] : 1;
    const int64_t in_step = loops->n > 0 ? loops->in_step[last] : 0;
    const int64_t out_step = loops->n > 0 ? loops->out_step[last] : 0;
    const int64_t from_step = mover->is_forward ? in_step : out_step;
    const int64_t to_step = mover->is_forward ? out_step : in_step;
    int64_t at[CREDIT_LOOPS_MOST] = {0};
    int64_t in_at = loops->in_base;
    int64_t out_at = loops->out_base;
    for (int64_t run = 0; run < n_runs; run++) {
        const float *x = from + (mover->is_forward ? in_at : out_at);
        float *y = to + (mover->is_forward ? out_at : in_at);
        for (int64_t i = 0; i < length; i++) {
            y[i * to_step] += x[i * from_step];
        }
        for (int d = last - 1; d >= 0; d--) {
            in_at += loops->in_step[d];
            out_at += loops->out_step[d];
            if (++at[d] < loops->extent[d]) {
                break;
            }
            in_at -= loops->in_step[d] * loops->extent[d];
            out_at -= loops->out_step[d] * loops->extent[d];
            at[d] = 0;
        }
    }
}

int64_t credit_full_place(
    const struct credit_io *io, const struct credit_array *array, int64_t at)
{
    const int axis = array->value->batch_axis;
    const int64_t each = array->value->shape[axis] / io->probe->n_batch;
    return io->probe->rows[at / each] * each + at % each;
}

void credit_strides(const struct credit_array *array, int64_t out[BARO_MAX_DIMS])
{
    int64_t step = 1;
    for (int d = array->n_dims - 1; d >= 0; d--) {
        out[d] = step;
        step *= array->shape[d];
    }
}

int credit_attr_axis(
    const struct credit_io *io, const char *name, int place, int n_dims, int64_t otherwise)
{
    const int64_t axis = credit_attr_int(io, name, place, otherwise);
    const int64_t from_front = axis < 0 ? axis + n_dims : axis;
    return from_front >= 0 && from_front < n_dims ? (int)from_front : -1;
}
