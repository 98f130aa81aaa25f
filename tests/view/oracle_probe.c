/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "lib/base/probe_build.h"
#include "tests/view/oracle.h"

/*
 * The oracle's network: input 4 x 4, times the weight of encoder.fc1 4 x 16, plus 1 in no module,
 * exp in decoder.out, its mean the loss. In the failing step unit 3 of row 2 overflows.
 */

enum { N_ROWS = 4, N_IN = 4, BAD_ROW = 2 };

static int64_t add(struct probe_build *build, const char *name, enum probe_value_kind kind,
    int64_t n0, int64_t n1, const float *data)
{
    struct probe_value value = {.name = name,
        .kind = kind,
        .dtype = BARO_F32,
        .n_dims = n1 > 0 ? 2 : 0,
        .shape = {n0, n1},
        .batch_axis = kind != PROBE_PARAMETER && n1 > 0 ? 0 : PROBE_NONE,
        .unit_axis = n1 > 0 ? 1 : PROBE_NONE,
        .count = (uint64_t)(n1 > 0 ? n0 * n1 : 1),
        .min = (double)INFINITY,
        .max = -(double)INFINITY,
        .kept = PROBE_KEPT_ALL};
    for (uint64_t i = 0; i < value.count; i++) {
        double x = (double)data[i];
        value.n_inf += isinf(x) ? 1 : 0;
        value.min = isfinite(x) ? fmin(value.min, x) : value.min;
        value.max = isfinite(x) ? fmax(value.max, x) : value.max;
    }
    value.mean = (value.min + value.max) / 2;
    value.l2 = value.max;
    struct baro_span span;
    assert_int_equal(
        baro_span_make(&span, BARO_F32, data, value.n_dims, value.shape, NULL, NULL), 0);
    return probe_build_value(build, &value, &span);
}

static void add_op(struct probe_build *build, const char *name, const char *module,
    uint32_t n_inputs, const int32_t *inputs, int32_t output)
{
    const struct probe_op op = {.name = name,
        .module = module,
        .source = "train.py:57",
        .n_inputs = n_inputs,
        .inputs = inputs,
        .n_outputs = 1,
        .outputs = &output};
    assert_true(probe_build_op(build, &op) >= 0);
}

void *oracle_probe(enum probe_reason reason, int64_t step, size_t *out_n)
{
    static float x[N_ROWS * N_IN];
    static float w[N_IN * ORACLE_UNITS];
    static float y[N_ROWS * ORACLE_UNITS];
    static float z[N_ROWS * ORACLE_UNITS];
    static float e[N_ROWS * ORACLE_UNITS];
    static const int64_t rows[N_ROWS] = {0, 1, 2, 3};
    static const int64_t bad_rows[1] = {BAD_ROW};
    static const int64_t bad_units[1] = {ORACLE_BAD_UNIT};
    static const float one = 1;
    bool is_bad = reason == PROBE_FAILURE;
    for (int r = 0; r < N_ROWS; r++) {
        for (int k = 0; k < N_IN; k++) {
            x[r * N_IN + k] = is_bad && r == BAD_ROW ? 21.0F + (float)k : 0.1F * (float)k;
        }
    }
    for (int k = 0; k < N_IN; k++) {
        for (int u = 0; u < ORACLE_UNITS; u++) {
            w[k * ORACLE_UNITS + u] = u == ORACLE_BAD_UNIT ? 1 : 0.1F;
        }
    }
    float sum = 0;
    for (int r = 0; r < N_ROWS; r++) {
        for (int u = 0; u < ORACLE_UNITS; u++) {
            int at = r * ORACLE_UNITS + u;
            y[at] = 0;
            for (int k = 0; k < N_IN; k++) {
                y[at] += x[r * N_IN + k] * w[k * ORACLE_UNITS + u];
            }
            z[at] = y[at] + 1;
            e[at] = z[at] > 80 ? INFINITY : 1 + z[at]; /* as good as exp for a picture */
            sum += e[at];
        }
    }
    const struct probe_build_options options = {.step = step,
        .reason = reason,
        .n_batch = N_ROWS,
        .n_rows = N_ROWS,
        .rows = rows,
        .max_bytes = 1 << 20};
    struct probe_build *build = NULL;
    assert_int_equal(probe_build_create(&build, &options), 0);
    (void)add(build, "input 0", PROBE_INPUT, N_ROWS, N_IN, x);
    (void)add(build, "encoder.fc1.weight", PROBE_PARAMETER, N_IN, ORACLE_UNITS, w);
    (void)add(build, "", PROBE_RESULT, N_ROWS, ORACLE_UNITS, y);
    (void)add(build, "", PROBE_CONSTANT, 0, 0, &one);
    (void)add(build, "", PROBE_RESULT, N_ROWS, ORACLE_UNITS, z);
    (void)add(build, "", PROBE_RESULT, N_ROWS, ORACLE_UNITS, e);
    (void)add(build, "", PROBE_RESULT, 0, 0, &sum);
    add_op(build, "mm", "encoder.fc1", 2, (int32_t[]){0, 1}, 2);
    add_op(build, "add", "", 2, (int32_t[]){2, 3}, 4);
    add_op(build, "exp", "decoder.out", 1, (int32_t[]){4}, 5);
    add_op(build, "mean", "", 1, (int32_t[]){5}, 6);
    assert_int_equal(probe_build_loss(build, 6), 0);
    const struct probe_origin origin = {.op = 2,
        .value = 5,
        .is_replayed = true,
        .is_exact = true,
        .n_units = 1,
        .units = bad_units,
        .n_rows = 1,
        .rows = bad_rows,
        .cause = "exp of 91 is more than 3.4e+38, the most an f32 holds"};
    if (is_bad) {
        assert_int_equal(probe_build_origin(build, &origin), 0);
    }
    *out_n = probe_build_finish(build);
    void *bytes = probe_build_copy(build);
    probe_build_destroy(build);
    assert_non_null(bytes);
    return bytes;
}
